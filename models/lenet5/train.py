"""Trains the LeNet-5 model and writes every file beside this script.

pip install -r ../requirements.txt
python train.py
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))

import vision  # noqa: E402


def network(b, x):
    x = b.scale(x, 255)
    x = b.max_pool(b.relu(b.convolution(x, 6, 5, pad=2, bias=True)))
    x = b.max_pool(b.relu(b.convolution(x, 16, 5, bias=True)))
    x = b.relu(b.dense(b.flatten(x), 120))
    return b.dense(b.relu(b.dense(x, 84)), 10)


data = vision.mnist()
trained = vision.train(network, *data[:2], epochs=60, rate=0.02, flip=False)
vision.export(network, *trained, HERE / "model.onnx")
vision.write(HERE, vision.DIGIT_NAMES, data)
