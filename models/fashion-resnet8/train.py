"""Trains the ResNet-8 model and writes every file beside this script.

apt install dataset-fashion-mnist
pip install -r ../requirements.txt
python train.py
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))

import vision  # noqa: E402


def network(b, x):
    # The padding of the first convolution makes 32 by 32 of 28 by 28, the size this network is known by.
    x = b.relu(b.batch_norm(b.convolution(b.scale(x, 255), 16, 3, pad=3)))
    for channels, stride in [(16, 1), (32, 2), (64, 2)]:
        y = b.relu(b.batch_norm(b.convolution(x, channels, 3, stride, pad=1)))
        y = b.batch_norm(b.convolution(y, channels, 3, pad=1))
        short = x if stride == 1 else b.convolution(x, channels, 1, stride, bias=True)
        x = b.relu(b.add(short, y))
    return b.dense(b.global_pool(x), 10)


data = vision.fashion()
trained = vision.train(network, *data[:2], epochs=5, rate=0.05, flip=True)
vision.export(network, *trained, HERE / "model.onnx")
vision.write(HERE, vision.FASHION_NAMES, data)
