"""Trains the depthwise-separable model and writes every file beside this script.

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
    x = b.relu6(b.batch_norm(b.convolution(b.scale(x, 255), 16, 3, stride=2, pad=1)))
    for channels, stride in [(32, 1), (64, 2), (64, 1), (128, 2), (128, 1)]:
        x = b.relu6(b.batch_norm(b.depthwise(x, 3, stride, pad=1)))
        x = b.relu6(b.batch_norm(b.convolution(x, channels, 1)))
    return b.dense(b.global_pool(x), 10)


data = vision.fashion()
trained = vision.train(network, *data[:2], epochs=8, rate=0.05, flip=True)
vision.export(network, *trained, HERE / "model.onnx")
vision.write(HERE, vision.FASHION_NAMES, data)
