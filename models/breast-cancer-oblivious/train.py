"""Trains twenty oblivious trees (one comparison for each level) and writes every file beside this script.

pip install scikit-learn==1.9.1 catboost==1.2.10 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
python train.py
"""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from catboost import CatBoostClassifier
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

HERE = pathlib.Path(__file__).parent


def main():
    data = load_breast_cancer()
    rows, held_rows, labels, held_labels = train_test_split(
        data.data.astype(np.float32), data.target, test_size=0.25, random_state=0)
    model = CatBoostClassifier(
        iterations=20, depth=4, learning_rate=0.2, l2_leaf_reg=3, border_count=16, random_strength=0, random_seed=0,
        thread_count=1, verbose=False, allow_writing_files=False).fit(rows, labels)
    model.save_model(str(HERE / "model.onnx"), format="onnx")
    # Without the time and the settings: the same file every time.
    network = onnx.load(HERE / "model.onnx")
    del network.metadata_props[:]
    name_labels(network, [str(name) for name in data.target_names])
    onnx.save(network, HERE / "model.onnx")

    session = onnxruntime.InferenceSession(str(HERE / "model.onnx"))
    answers = session.run(None, {session.get_inputs()[0].name: held_rows})[0]
    held_names, trained_names = data.target_names[held_labels], data.target_names[model.predict(held_rows)]
    print(f"accuracy on {len(held_rows)} held-out rows: {np.mean(answers == held_names):.4f}, "
          f"converted as trained: {np.mean(answers == trained_names):.4f}")

    np.save(HERE / "calibration.npy", rows)
    # The shortest decimals: as published.
    decimals = [[float(str(value)) for value in row] for row in held_rows]
    held = {"rows": decimals, "labels": [str(name) for name in held_names]}
    (HERE / "held_out.json").write_text(json.dumps(held, separators=(",", ":")) + "\n")
    names = [str(name) for name in data.feature_names]
    (HERE / "features.json").write_text(json.dumps(names, separators=(",", ":")) + "\n")


def name_labels(network, names):
    """Class names instead of their numbers, which is all that the exporter writes."""
    for node in network.graph.node:
        for attribute in node.attribute:
            if attribute.name == "classlabels_int64s":
                order = [names[label] for label in attribute.ints]
                attribute.CopyFrom(onnx.helper.make_attribute("classlabels_strings", order))
    label, probabilities = network.graph.output
    label.type.tensor_type.elem_type = onnx.TensorProto.STRING
    probabilities.type.sequence_type.elem_type.map_type.key_type = onnx.TensorProto.STRING


main()
