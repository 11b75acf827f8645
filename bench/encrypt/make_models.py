"""Trains the models that Tacit is measured on, and writes them with their rows into a folder: see README.md.

    python make_models.py FOLDER            # logistic regressions, a network, ensembles of trees
    python make_models.py FOLDER --trees    # the ensembles of docs/operators.md
"""

import argparse
import json
import pathlib

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from data import SETS, MinMaxScaler, StandardScaler, split


def made():
    """Rows that scikit-learn makes up, more than either data set has."""
    from sklearn.datasets import make_classification

    return make_classification(12000, 20, n_informative=12, random_state=0)


def rows(folder, dataset):
    """Rows of a data set as Tacit reads them, once."""
    train, _, held, held_labels = split(dataset)
    np.save(folder / f"{dataset}-calibration.npy", train[:256])
    np.save(folder / f"{dataset}-held_out.npy", held)
    np.save(folder / f"{dataset}-labels.npy", held_labels.astype(np.int64))
    text = {"rows": [[float(str(x)) for x in row] for row in held], "labels": [str(label) for label in held_labels]}
    (folder / f"{dataset}-held_out.json").write_text(json.dumps(text, separators=(",", ":")) + "\n")


def sklearn(estimator, train, labels):
    from skl2onnx import to_onnx

    estimator.fit(train, labels)
    return to_onnx(estimator, train[:1], options={"zipmap": False}).SerializeToString()


def forest(estimator, train, labels):
    from skl2onnx import to_onnx

    estimator.fit(train, labels)
    return to_onnx(estimator, train[:1], options={id(estimator): {"zipmap": False}}).SerializeToString()


def boosted(estimator, train, labels):
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    estimator.fit(train, labels)
    convert = onnxmltools.convert_xgboost if "XGB" in type(estimator).__name__ else onnxmltools.convert_lightgbm
    return convert(estimator, initial_types=[("x", FloatTensorType([None, train.shape[1]]))]).SerializeToString()


def cat(estimator, train, labels):
    import tempfile

    estimator.fit(train, labels)
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        estimator.save_model(file.name, format="onnx")
        return pathlib.Path(file.name).read_bytes()


def models():
    import catboost
    import xgboost

    yield "lr-digits", "digits", sklearn, make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    yield "lr-breast-cancer", "breast-cancer", sklearn, make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    yield "mlp-digits", "digits", sklearn, make_pipeline(
        MinMaxScaler(), MLPClassifier((32,), alpha=0.1, max_iter=400, random_state=0))
    yield "xgb-breast-cancer", "breast-cancer", boosted, xgboost.XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1)
    yield "cat-breast-cancer", "breast-cancer", cat, catboost.CatBoostClassifier(
        iterations=20, depth=4, random_seed=0, verbose=0, allow_writing_files=False)
    yield "cat-digits", "digits", cat, catboost.CatBoostClassifier(
        iterations=20, depth=4, random_seed=0, verbose=0, allow_writing_files=False)


def ensembles():
    import catboost
    import lightgbm
    import xgboost
    from sklearn.ensemble import RandomForestClassifier

    for dataset in ("breast-cancer", "digits", "made"):
        for depth in (4, 6):
            yield f"cat20x{depth}-{dataset}", dataset, cat, catboost.CatBoostClassifier(
                iterations=20, depth=depth, random_seed=0, verbose=0, allow_writing_files=False)
        yield f"xgb20x3-{dataset}", dataset, boosted, xgboost.XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1)
        yield f"rf50x6-{dataset}", dataset, forest, RandomForestClassifier(50, max_depth=6, random_state=0)
        yield f"lgb20x31-{dataset}", dataset, boosted, lightgbm.LGBMClassifier(
            n_estimators=20, num_leaves=31, verbose=-1, n_jobs=1)
    yield "xgb100x6-made", "made", boosted, xgboost.XGBClassifier(n_estimators=100, max_depth=6, n_jobs=1)
    yield "rf100-made", "made", forest, RandomForestClassifier(100, random_state=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--trees", action="store_true", help="the ensembles of docs/operators.md instead")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    SETS["made"] = lambda return_X_y: made()
    seen = set()
    for name, dataset, export, estimator in ensembles() if arguments.trees else models():
        if dataset not in seen:
            rows(arguments.folder, dataset)
            seen.add(dataset)
        train, labels, held, held_labels = split(dataset)
        (arguments.folder / f"{name}.onnx").write_bytes(export(estimator, train, labels))
        right = np.mean(np.ravel(estimator.predict(held)) == held_labels)
        print(f"{name}: right on {right:.4f} of {len(held)} held-out rows")


main()
