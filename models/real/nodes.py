"""Judges import by the ONNX project's own node tests (PyPI `onnx`): one operator each, with its inputs and right answers.

python nodes.py --tacit ../../target/release/tacit --table coverage.md [--cases JSON]

The first input of a test stays the network's input and the others become its weights; where a test's answer has several
outputs the first is judged. An answer is right when every value is within 5 % of the largest, which eight bits allow. The
table says for each operator how many tests are right, refused and wrong, and the worst error of those that are right.
"""

import argparse
import collections
import json
import pathlib
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from compare import tacit

# Where quantising the input moves a value across a step, or where import leaves the last softmax out.
EXPECTED = {"Ceil", "Floor", "Round", "Sign", "ThresholdedRelu", "Shrink", "Softmax", "LogSoftmax"}


def read(path):
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)


def cases():
    """Tests of one node whose first input and first output are float32, as (name, operator, model, input, answer)."""
    for case in load_model_tests(kind="node"):
        model = case.model or onnx.load(pathlib.Path(case.model_dir) / "model.onnx")
        if case.data_sets:
            inputs, outputs = case.data_sets[0]
        else:
            folder = pathlib.Path(case.model_dir) / "test_data_set_0"
            try:
                inputs, outputs = ([read(folder / f"{kind}_{i}.pb") for i in range(len(list(folder.glob(f"{kind}_*"))))]
                                   for kind in ("input", "output"))
            except (TypeError, ValueError, AttributeError):
                continue
        arrays = all(isinstance(array, np.ndarray) for array in [*inputs, *outputs])
        names = [value.name for value in model.graph.input]
        if (len(model.graph.node) != 1 or not inputs or not arrays or len(names) != len(inputs)
                or inputs[0].dtype != np.float32 or outputs[0].dtype != np.float32 or inputs[0].size < 2
                or not outputs[0].size or model.graph.node[0].domain not in ("", "ai.onnx")):
            continue
        single = onnx.ModelProto()
        single.CopyFrom(model)
        single.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in list(zip(names, inputs))[1:])
        del single.graph.input[1:], single.graph.output[1:]
        yield case.name, model.graph.node[0].op_type, single, inputs[0], outputs[0]


def judge(binary, folder, model, row, answer):
    """The largest error as a part of the largest value, or why there is none."""
    random = np.random.default_rng(0)
    others = [random.permutation(row.reshape(-1)).reshape(row.shape) * np.float32(random.uniform(0.5, 1)) for _ in range(15)]
    onnx.save(model, folder / "model.onnx")
    np.save(folder / "calibration.npy", np.stack([row, *others]))
    np.save(folder / "input.npy", row[None])
    report = tacit(binary, "model", "import", folder / "model.onnx", "--calibration", folder / "calibration.npy", "-o", folder / "model.tacit")
    if "error" in report:
        return report["error"]
    result = tacit(binary, "run", folder / "model.tacit", "--input", folder / "input.npy")
    if "error" in result:
        return result["error"]
    (found,) = result["answers"]
    values = np.array(found.get("values") or found["scores"])
    if values.size != answer.size:
        return float("inf")
    return float(np.max(np.abs(values - answer.reshape(-1))) / max(1e-9, np.max(np.abs(answer))))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tacit", default="../../target/release/tacit")
    parser.add_argument("--table", type=pathlib.Path, required=True)
    parser.add_argument("--cases", type=pathlib.Path, help="also write every test's outcome")
    arguments = parser.parse_args()
    outcomes = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, operator, model, row, answer in cases():
            outcomes[name] = operator, judge(arguments.tacit, pathlib.Path(folder), model, row, answer)
    if arguments.cases:
        arguments.cases.write_text(json.dumps(outcomes, indent=1) + "\n")
    operators = collections.defaultdict(list)
    for operator, outcome in outcomes.values():
        operators[operator].append(outcome)
    lines = ["| operator | tests | right | refused | off | worst error of the right ones |", "|---|---|---|---|---|---|"]
    for operator, found in sorted(operators.items()):
        errors = [outcome for outcome in found if not isinstance(outcome, str)]
        right = [error for error in errors if error < 0.05]
        if errors:
            note = " (see above)" if operator in EXPECTED and len(right) < len(errors) else ""
            lines.append(f"| {operator} | {len(found)} | {len(right)} | {len(found) - len(errors)} | {len(errors) - len(right)}{note} | "
                         f"{max(right, default=0):.4f} |")
    unsupported = sorted(operator for operator, found in operators.items() if all(isinstance(outcome, str) for outcome in found))
    lines += ["", f"Refused in every test: {', '.join(unsupported)}."]
    arguments.table.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
