"""EZKL beside Tacit on one network: see README.md."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STAGES = ["settings", "calibrate", "compile", "srs", "setup", "witness", "prove", "verify"]


def make_network(folder: Path, widths: list[int]) -> None:
    """Writes a random ReLU network and inputs for it."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(7)
    nodes, weights, name = [], [], "input"
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        weights.append(numpy_helper.from_array(
            rng.normal(0, inputs ** -0.5, (inputs, outputs)).astype("float32"), f"w{layer}"))
        weights.append(numpy_helper.from_array(np.zeros(outputs, "float32"), f"b{layer}"))
        nodes.append(helper.make_node("Gemm", [name, f"w{layer}", f"b{layer}"], [f"z{layer}"]))
        name = f"z{layer}"
        if layer < len(widths) - 2:
            nodes.append(helper.make_node("Relu", [name], [f"a{layer}"]))
            name = f"a{layer}"
    graph = helper.make_graph(
        nodes, "mlp",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, widths[0]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, widths[-1]])],
        weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, folder / "network.onnx")
    write_rows(folder, rng.uniform(0, 1, (20, widths[0])).astype("float32"))


def take_network(folder: Path, path: Path, calibration: Path) -> None:
    """Copies a network, its batch made one, and inputs for it."""
    import numpy as np
    import onnx

    model = onnx.load(path)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, folder / "network.onnx")
    write_rows(folder, np.load(calibration)[:20].astype("float32"))


def write_rows(folder: Path, rows) -> None:
    """One input and a calibration set, as EZKL reads them."""
    (folder / "input.json").write_text(json.dumps({"input_data": [rows[0].reshape(-1).tolist()]}))
    (folder / "calibration.json").write_text(json.dumps({"input_data": [rows.reshape(-1).tolist()]}))


def stage(name: str, folder: Path) -> None:
    """One EZKL step; run in a process of its own."""
    import ezkl

    def at(file: str) -> str:
        return str(folder / file)

    if name == "settings":
        arguments = ezkl.PyRunArgs()
        arguments.input_visibility, arguments.param_visibility, arguments.output_visibility = "private", "fixed", "public"
        assert ezkl.gen_settings(at("network.onnx"), at("settings.json"), py_run_args=arguments)
    elif name == "calibrate":
        ezkl.calibrate_settings(at("calibration.json"), at("network.onnx"), at("settings.json"), target="resources")
    elif name == "compile":
        assert ezkl.compile_circuit(at("network.onnx"), at("circuit"), at("settings.json"))
    elif name == "srs":
        ezkl.gen_srs(at("srs"), json.loads((folder / "settings.json").read_text())["run_args"]["logrows"])
    elif name == "setup":
        assert ezkl.setup(at("circuit"), at("vk"), at("pk"), at("srs"))
    elif name == "witness":
        ezkl.gen_witness(at("input.json"), at("circuit"), at("witness.json"))
    elif name == "prove":
        ezkl.prove(at("witness.json"), at("circuit"), at("pk"), at("proof.json"), at("srs"))
    elif name == "verify":
        assert ezkl.verify(at("proof.json"), at("settings.json"), at("vk"), at("srs"))


def measure(command: list[str], threads: int) -> dict:
    """Runs a command to its end and reads what the operating system counted for it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               env=os.environ | {"RAYON_NUM_THREADS": str(threads)})
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{errors[-2000:]}")
    return {"user_s": round(usage.ru_utime, 3), "peak_mib": usage.ru_maxrss // 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tacit", default="../../target/release/tacit", help="the tacit binary")
    parser.add_argument("--widths", default="784,128,10", help="an untrained multi-layer perceptron")
    parser.add_argument("--model", type=Path, help="a folder with model.onnx and calibration.npy, instead of --widths")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for EZKL's SRS and keys; a later run starts from what is there")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        return stage(arguments.stage, Path(arguments.folder))

    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        return compare(arguments, arguments.keep)
    with tempfile.TemporaryDirectory() as temporary:
        compare(arguments, Path(temporary))


def compare(arguments, folder: Path) -> None:
    """Both provers on one network; what the set-up measured is kept beside the keys."""
    model = f"mlp:{arguments.widths}"
    name = arguments.model.resolve().name if arguments.model else model
    done = folder / "set-up.json"
    ezkl = json.loads(done.read_text()) if done.exists() else {}
    if ezkl.get("model", name) != name:
        sys.exit(f"{folder} holds the keys of {ezkl['model']}: choose another folder")
    if not ezkl:
        if arguments.model:
            take_network(folder, arguments.model / "model.onnx", arguments.model / "calibration.npy")
        else:
            make_network(folder, [int(width) for width in arguments.widths.split(",")])
    if arguments.model:
        model = str(folder / f"{name}.tacit")
        import onnx

        classes = onnx.load(folder / "network.onnx").graph.output[0].type.tensor_type.shape.dim[-1].dim_value
        subprocess.run([arguments.tacit, "model", "import", arguments.model / "model.onnx",
                        "--calibration", arguments.model / "calibration.npy", "-o", model,
                        *(["--classes", ",".join(map(str, range(classes)))] if classes > 1 else [])],
                       check=True, stdout=sys.stderr)
    for step in STAGES:
        if step in ezkl:
            continue
        command = [sys.executable, __file__, "--stage", step, "--folder", str(folder)]
        ezkl[step] = measure(command, arguments.threads)
        print(f"ezkl {step}: {ezkl[step]}", file=sys.stderr)
        if step == "setup":
            done.write_text(json.dumps(ezkl | {"model": name}))
    proof = json.loads((folder / "proof.json").read_text())
    print(json.dumps({
        "model": name, "threads": arguments.threads,
        "ezkl": {"prove_user_s": ezkl["prove"]["user_s"], "verify_user_s": ezkl["verify"]["user_s"],
                 "setup_user_s": ezkl["setup"]["user_s"] + ezkl["srs"]["user_s"],
                 "prove_peak_mib": ezkl["prove"]["peak_mib"], "proof_bytes": (len(proof["hex_proof"]) - 2) // 2,
                 "proving_key_bytes": (folder / "pk").stat().st_size},
        "tacit": tacit(arguments, model, []), "tacit_zk": tacit(arguments, model, ["--zk"])}))


def tacit(arguments, model: str, options: list[str]) -> dict:
    """Tacit's figures for one kind of proof."""
    lines = subprocess.run(
        [arguments.tacit, "--json", "bench", "prove", "--model", model, "--batch", "1", *options],
        check=True, capture_output=True, text=True, env=os.environ | {"RAYON_NUM_THREADS": str(arguments.threads)}).stdout
    kind = bool(options)
    steps = {line["bench"]: line for line in map(json.loads, lines.splitlines()) if line["zk"] == kind}
    return {"prove_user_s": steps["prove"]["user_cpu_ms"] / 1000, "verify_user_s": steps["verify"]["user_cpu_ms"] / 1000,
            "setup_user_s": steps["import"]["user_cpu_ms"] / 1000, "prove_peak_mib": steps["prove"]["peak_mib"],
            "proof_bytes": steps["prove"]["bytes"]}


if __name__ == "__main__":
    main()
