"""The rows that every program here is measured on, and what is measured about it.

Data come with scikit-learn: digits (Alpaydin and Kaynak 1998), breast cancer (Wolberg et al. 1995). A quarter is held out,
always the same one.
"""

import json
import resource
import time

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler

SETS = {"digits": load_digits, "breast-cancer": load_breast_cancer}


def split(name):
    """Rows and labels to train on, then those held out."""
    rows, labels = SETS[name](return_X_y=True)
    train, held, train_labels, held_labels = train_test_split(
        rows.astype(np.float32), labels, test_size=0.25, random_state=0)
    return train, train_labels, held, held_labels


def scaled(name, scaler=StandardScaler):
    """The same, scaled as the rows to train on ask for."""
    train, train_labels, held, held_labels = split(name)
    scaler = scaler().fit(train)
    return scaler.transform(train).astype(np.float32), train_labels, scaler.transform(held).astype(np.float32), held_labels


class Cost:
    """User CPU and wall time of a block, added up over blocks."""

    def __init__(self):
        self.user, self.wall, self.count = 0.0, 0.0, 0

    def __enter__(self):
        self.started = (resource.getrusage(resource.RUSAGE_SELF).ru_utime, time.perf_counter())
        return self

    def __exit__(self, *_):
        user, wall = self.started
        self.user += resource.getrusage(resource.RUSAGE_SELF).ru_utime - user
        self.wall += time.perf_counter() - wall
        self.count += 1


def line(bench, model, cost, size, library, **more):
    """One line with the fields of `tacit bench`; times are of one row."""
    each = max(cost.count, 1)
    print(json.dumps({
        "bench": bench, "model": model, "batch": 1, "zk": False, "threads": 1,
        "user_cpu_ms": round(cost.user * 1000 / each, 3), "wall_ms": round(cost.wall * 1000 / each, 3),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "bytes": size, "security_bits": 128,
        "library": library, **more}), flush=True)


__all__ = ["Cost", "MinMaxScaler", "StandardScaler", "line", "scaled", "split"]
