"""Trains the small digits network on few levels and writes every file beside this script.

pip install scikit-learn==1.9.1 onnx==1.23.2 numpy==2.4.6
python train.py
"""

import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = pathlib.Path(__file__).parent
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
HIDDEN = 32
# Hidden values are 0, STEP, .. CAP: 32 levels.
CAP, STEP = 4.0, 4.0 / 31
WEIGHT_BITS = 6
EPOCHS, BATCH, RATE, DECAY, SMOOTHING, NOISE = 200, 64, 3e-3, 1e-3, 0.1, 0.2
SEEDS, VALIDATION = range(5), 200


def rounded(weights):
    """The nearest on a grid of WEIGHT_BITS around zero."""
    step = np.abs(weights).max() / (2 ** (WEIGHT_BITS - 1) - 1)
    return np.round(weights / step) * step


def run(parameters, rows):
    """Sums before the ceiling, hidden levels, scores."""
    first, bias, second, last = parameters
    sums = rows @ rounded(first) + bias
    hidden = np.round(np.clip(sums, 0, CAP) / STEP) * STEP
    return sums, hidden, hidden @ rounded(second) + last


def softmax(scores):
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def train(rows, labels, seed):
    """Adam on the rounded network; gradients pass through the rounding as if it were not there."""
    draw = np.random.default_rng(seed)
    parameters = [draw.normal(0, (2 / 64) ** 0.5, (64, HIDDEN)), np.zeros(HIDDEN),
                  draw.normal(0, (2 / HIDDEN) ** 0.5, (HIDDEN, 10)), np.zeros(10)]
    means, squares = [np.zeros_like(p) for p in parameters], [np.zeros_like(p) for p in parameters]
    targets = np.eye(10)[labels] * (1 - SMOOTHING) + SMOOTHING / 10
    step = 0
    for epoch in range(EPOCHS):
        rate = RATE * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2
        for batch in np.array_split(draw.permutation(len(rows)), len(rows) // BATCH):
            noisy = rows[batch] + NOISE * draw.normal(size=(len(batch), 64))
            sums, hidden, scores = run(parameters, noisy)
            out = (softmax(scores) - targets[batch]) / len(batch)
            inner = out @ rounded(parameters[2]).T * ((sums > 0) & (sums < CAP))
            step += 1
            for index, slope in enumerate([noisy.T @ inner, inner.sum(axis=0), hidden.T @ out, out.sum(axis=0)]):
                means[index] = 0.9 * means[index] + 0.1 * slope
                squares[index] = 0.999 * squares[index] + 0.001 * slope**2
                pull = means[index] / (1 - 0.9**step) / (np.sqrt(squares[index] / (1 - 0.999**step)) + 1e-8)
                decay = DECAY if index in (0, 2) else 0
                parameters[index] = parameters[index] - rate * (pull + decay * parameters[index])
    return parameters


def accuracy(parameters, rows, labels):
    return float((run(parameters, rows)[2].argmax(axis=1) == labels).mean())


def loss(parameters, rows, labels):
    shares = softmax(run(parameters, rows)[2])
    return -float(np.log(shares[np.arange(len(rows)), labels]).mean())


def network(parameters):
    """ONNX of raw pixels: two dense layers, a ReLU with a ceiling between them. Weights lie on their grids, hidden values are free."""
    first, bias, second, last = parameters
    arrays = {"first": rounded(first) / 16, "bias": bias, "second": rounded(second), "last": last,
              "floor": np.array(0.0), "ceiling": np.array(CAP)}
    nodes = [
        helper.make_node("Gemm", ["pixels", "first", "bias"], ["sums"]),
        helper.make_node("Clip", ["sums", "floor", "ceiling"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "second", "last"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [None, 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 10])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in arrays.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def main():
    digits = load_digits()
    rows, held_rows, labels, held_labels = train_test_split(
        digits.data / 16, digits.target, test_size=0.25, random_state=0)
    # The seed is chosen by rows that are neither trained on nor held out.
    own, check = slice(VALIDATION, None), slice(None, VALIDATION)
    tried = [train(rows[own], labels[own], seed) for seed in SEEDS]
    losses = [loss(parameters, rows[check], labels[check]) for parameters in tried]
    parameters = tried[int(np.argmin(losses))]
    print("held-out accuracy of each seed", [round(accuracy(p, held_rows, held_labels), 4) for p in tried])
    print(f"seed {int(np.argmin(losses))}, {len(held_rows)} held-out rows: {accuracy(parameters, held_rows, held_labels):.4f}")

    (HERE / "model.onnx").write_bytes(network(parameters).SerializeToString())
    np.save(HERE / "calibration.npy", (rows[own][:256] * 16).astype(np.uint8))
    raw = (held_rows * 16).astype(int)
    held = {"rows": raw.tolist(), "labels": [str(label) for label in held_labels]}
    (HERE / "held_out.json").write_text(json.dumps(held, separators=(",", ":")) + "\n")

    expected, sure = {}, softmax(run(parameters, held_rows)[2])
    for digit, name in enumerate(NAMES):
        best = int(np.argmax(np.where(held_labels == digit, sure[:, digit], 0)))
        sample = {"shape": [64], "data": raw[best].tolist()}
        (HERE / "samples" / f"{name}.json").write_text(json.dumps(sample) + "\n")
        expected[f"{name}.json"] = str(digit)
    (HERE / "samples" / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


main()
