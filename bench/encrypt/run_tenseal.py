"""TenSEAL on one thread: see README.md.

CKKS as in TenSEAL's tutorials: an encrypted vector times a matrix in the clear, for the network with a square between two
of them (Gilad-Bachrach et al. 2016, CryptoNets), which takes the place of the ReLU that CKKS has not. Parameters are the smallest
at which labels are those of the same model in the clear, of those that SEAL allows for 128 bits.
"""

import argparse
import os
import sys

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import tenseal as ts
from sklearn.linear_model import LogisticRegression

from data import Cost, line, scaled

LIBRARY = f"tenseal {ts.__version__}"


def logistic(train, labels):
    """Logistic regression; two classes have one score."""
    model = LogisticRegression(max_iter=2000).fit(train, labels)
    return [(model.coef_.T, model.intercept_)]


def network(train, labels, hidden=32, epochs=150, rate=0.02):
    """One hidden layer with squares, trained by Adam on the cross entropy."""
    random = np.random.default_rng(0)
    classes = int(labels.max()) + 1
    shapes = [(train.shape[1], hidden), (hidden,), (hidden, classes), (classes,)]
    weights = [random.normal(0, shape[0] ** -0.5, shape) if len(shape) == 2 else np.zeros(shape) for shape in shapes]
    means, squares = [np.zeros(s) for s in shapes], [np.zeros(s) for s in shapes]
    wanted = np.eye(classes)[labels]
    for step in range(1, epochs + 1):
        w1, b1, w2, b2 = weights
        z = train @ w1 + b1
        a = z * z
        scores = a @ w2 + b2
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        ds = (shares - wanted) / len(train)
        dz = (ds @ w2.T) * 2 * z
        gradients = [train.T @ dz + 1e-3 * w1, dz.sum(0), a.T @ ds + 1e-3 * w2, ds.sum(0)]
        for k, gradient in enumerate(gradients):
            means[k] = 0.9 * means[k] + 0.1 * gradient
            squares[k] = 0.999 * squares[k] + 0.001 * gradient ** 2
            mean, square = means[k] / (1 - 0.9 ** step), squares[k] / (1 - 0.999 ** step)
            weights[k] = weights[k] - rate * mean / (np.sqrt(square) + 1e-8)
    return [(weights[0], weights[1]), (weights[2], weights[3])]


def clear(layers, rows):
    values = rows
    for index, (weights, bias) in enumerate(layers):
        values = (values * values if index else values) @ weights + bias
    return values


def labels_of(scores):
    scores = np.asarray(scores)
    return (scores[:, 0] > 0).astype(int) if scores.shape[1] == 1 else scores.argmax(axis=1)


def measure(model, train_model, dataset, parameters, limit):
    degree, moduli, scale = parameters
    train, train_labels, held, held_labels = scaled(dataset)
    layers = train_model(train.astype(float), train_labels)
    expected = labels_of(clear(layers, held))
    with Cost() as making:
        secret = ts.context(ts.SCHEME_TYPE.CKKS, degree, coeff_mod_bit_sizes=moduli, n_threads=1)
        secret.global_scale = 2 ** scale
        secret.generate_galois_keys()
        if len(layers) > 1:
            secret.generate_relin_keys()
    # What the worker gets: everything but the secret key.
    public = secret.copy()
    public.make_context_public()
    keys = public.serialize(save_secret_key=False)
    worker = ts.context_from(keys, n_threads=1)
    line("keygen", model, making, len(keys), LIBRARY, clear_accuracy=accuracy(expected, held_labels))

    plain = [(weights.tolist(), bias.tolist()) for weights, bias in layers]
    encrypting, answering, decrypting = Cost(), Cost(), Cost()
    scores, sizes = [], (0, 0)
    count = len(held) if limit is None else min(limit, len(held))
    for row in held[:count]:
        with encrypting:
            question = ts.ckks_vector(secret, row.tolist()).serialize()
        with answering:
            values = ts.ckks_vector_from(worker, question)
            for index, (weights, bias) in enumerate(plain):
                if index:
                    values.square_()
                values = values.mm(weights) + bias
            answer = values.serialize()
        with decrypting:
            values = ts.ckks_vector_from(secret, answer)
            scores.append(values.decrypt())
        sizes = (len(question), len(answer))
    answers = labels_of(scores)
    right = {"rows": count, "accuracy": accuracy(answers, held_labels[:count]),
             "agreement": accuracy(answers, expected[:count])}
    line("encrypt", model, encrypting, sizes[0], LIBRARY)
    line("answer", model, answering, sizes[1], LIBRARY, **right)
    line("decrypt", model, decrypting, sizes[1], LIBRARY)


def accuracy(answers, labels):
    return round(float(np.mean(np.asarray(answers) == np.asarray(labels))), 4)


ONE_PRODUCT = (4096, [40, 20, 40], 20)
TWO_PRODUCTS_AND_A_SQUARE = (8192, [40, 26, 26, 26, 40], 26)
MODELS = {
    "lr-digits": (logistic, "digits", ONE_PRODUCT, False),
    "lr-breast-cancer": (logistic, "breast-cancer", ONE_PRODUCT, False),
    "mlp-digits": (network, "digits", TWO_PRODUCTS_AND_A_SQUARE, True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--rows", type=int, help="held-out rows; all of them otherwise")
    parser.add_argument("--slow-rows", type=int, default=30, help="held-out rows of the network")
    arguments = parser.parse_args()
    for model in arguments.models:
        if model not in MODELS:
            sys.exit(f"no model {model}")
        train, dataset, parameters, slow = MODELS[model]
        measure(model, train, dataset, parameters, arguments.slow_rows if slow else arguments.rows)


main()
