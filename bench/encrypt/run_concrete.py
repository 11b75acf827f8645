"""Concrete ML on one thread: see README.md.

What it does is what the documentation of Concrete ML 1.9 shows: fit, compile on the rows it was trained on, make keys, then
quantise, encrypt, run, decrypt and decode row by row (`docs/guides/prediction_with_fhe.md`). Bits are those at which it is
about as accurate as without encryption.
"""

import argparse
import os
import sys
import warnings

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"
warnings.filterwarnings("ignore")

import concrete.ml
import numpy as np
import torch

from data import Cost, MinMaxScaler, StandardScaler, line, scaled, split

torch.set_num_threads(1)
LIBRARY = f"concrete-ml {concrete.ml.version.__version__}"


def logistic():
    from concrete.ml.sklearn import LogisticRegression

    return LogisticRegression(n_bits=8, max_iter=2000)


def network():
    from concrete.ml.sklearn import NeuralNetClassifier

    torch.manual_seed(0)
    # Half as many neurons as inputs: 32 for the 64 pixels of digits.
    return NeuralNetClassifier(
        module__n_layers=2, module__n_w_bits=4, module__n_a_bits=4, module__n_hidden_neurons_multiplier=0.5,
        module__activation_function=torch.nn.ReLU, max_epochs=30, lr=0.01, verbose=0)


def trees():
    from concrete.ml.sklearn import XGBClassifier

    return XGBClassifier(n_bits=4, n_estimators=20, max_depth=3, random_state=0)


def rows_of(name, scaler):
    return scaled(name, scaler) if scaler else split(name)


def measure(model, make, dataset, scaler, limit):
    train, train_labels, held, held_labels = rows_of(dataset, scaler)
    estimator = make()
    estimator.fit(train, train_labels)
    clear = estimator.predict(held)
    with Cost() as preparing:
        circuit = estimator.compile(train)
    with Cost() as making:
        circuit.keygen(force=True)
    keys = len(circuit.client.evaluation_keys.serialize())
    statistics = getattr(circuit, "statistics", {})
    more = {"bootstraps": statistics.get("programmable_bootstrap_count"), "clear_accuracy": accuracy(clear, held_labels)}
    line("prepare", model, preparing, 0, LIBRARY, **more)
    line("keygen", model, making, keys, LIBRARY)

    encrypting, answering, decrypting = Cost(), Cost(), Cost()
    answers, sizes = [], (0, 0)
    count = len(held) if limit is None else min(limit, len(held))
    for row in held[:count]:
        with encrypting:
            question = circuit.encrypt(estimator.quantize_input(row[None]))
        with answering:
            answer = circuit.run(question)
        with decrypting:
            scores = estimator.post_processing(estimator.dequantize_output(circuit.decrypt(answer)))
        answers.append(label(estimator, scores))
        sizes = (len(question.serialize()), len(answer.serialize()))
    right = {"rows": count, "accuracy": accuracy(answers, held_labels[:count]),
             "agreement": accuracy(answers, clear[:count])}
    line("encrypt", model, encrypting, sizes[0], LIBRARY)
    line("answer", model, answering, sizes[1], LIBRARY, **right)
    line("decrypt", model, decrypting, sizes[1], LIBRARY)


def label(estimator, scores):
    """The class that probabilities of one row say."""
    return int(np.asarray(estimator.classes_ if hasattr(estimator, "classes_") else range(scores.shape[-1]))[
        np.argmax(scores.reshape(-1))])


def accuracy(answers, labels):
    return round(float(np.mean(np.asarray(answers) == np.asarray(labels))), 4)


MODELS = {
    "lr-digits": (logistic, "digits", StandardScaler, False),
    "lr-breast-cancer": (logistic, "breast-cancer", StandardScaler, False),
    # Few bits want inputs of one range: standardised rare pixels take most of it.
    "mlp-digits": (network, "digits", MinMaxScaler, True),
    "xgb-breast-cancer": (trees, "breast-cancer", None, True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--rows", type=int, help="held-out rows; all of them otherwise")
    parser.add_argument("--slow-rows", type=int, default=3, help="held-out rows of models with bootstraps")
    arguments = parser.parse_args()
    for model in arguments.models:
        if model not in MODELS:
            sys.exit(f"no model {model}")
        make, dataset, scaler, slow = MODELS[model]
        measure(model, make, dataset, scaler, arguments.slow_rows if slow else arguments.rows)


main()
