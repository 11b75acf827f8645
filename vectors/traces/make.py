#!/usr/bin/env python3
"""Writes trees.json beside this file with the reference BLAKE3, from `specs/0011-audits.md` alone.

    python3 -m venv venv && venv/bin/pip install blake3 && venv/bin/python make.py

Traces are those of `crates/tacit-graph/vectors/graph.json`: tensors as numbers, with the bytes of their elements.
"""

import json
import pathlib

from blake3 import __version__ as blake3_version
from blake3 import blake3

HERE = pathlib.Path(__file__).parent
GRAPHS = HERE / "../../crates/tacit-graph/vectors/graph.json"
NAMES = {"trace": "tacit 2026 audited trace {} v1", "weights": "tacit 2026 model weights {} v1"}
EMPTY = bytes(32)


def keyed(kind, use, data):
    key = NAMES[kind].format(use).encode()
    assert len(key) == 32
    return blake3(data, key=key).digest()


def u64(number):
    return number.to_bytes(8, "little")


class Tree:
    def __init__(self, kind, tiles):
        self.kind = kind
        self.levels = [[keyed(kind, "leaf", u64(i) + tile) for i, tile in enumerate(tiles)]]
        while len(self.levels[-1]) > 1:
            level, below = len(self.levels), self.levels[-1] + [EMPTY]
            self.levels.append(
                [
                    keyed(kind, "node", bytes([level]) + u64(i) + below[2 * i] + below[2 * i + 1])
                    for i in range((len(below)) // 2)
                ]
            )
        self.top = (self.levels[-1] + [EMPTY])[0]
        self.root = keyed(kind, "root", u64(len(tiles)) + self.top)

    def siblings(self, leaves):
        """What is missing on the way from these leaves to the top, level by level from below, each from the left."""
        found, known = [], set(leaves)
        for level in self.levels[:-1]:
            for i in sorted(known):
                if i ^ 1 not in known and i ^ 1 < len(level):
                    found.append(level[i ^ 1])
            known = {i // 2 for i in known}
        return found

    def step(self, level, index):
        """The nodes four levels below, or the leaves; none below a leaf."""
        down = min(level, 4)
        if down == 0:
            return []
        first = index << down
        return self.levels[level - down][first : first + (1 << down)]


def tiles(numbers, width):
    data = b"".join(number.to_bytes(width, "little", signed=True) for number in numbers)
    return [data[at : at + 64 * width] for at in range(0, len(data), 64 * width)]


def tree_case(kind, count):
    made = [bytes((7 * i + k) % 256 for k in range(i % 5 * 60)) for i in range(count)]
    tree = Tree(kind, made)
    opened = sorted({0, count // 3, count // 2, count - 1})
    return {
        "kind": kind,
        "tiles": [tile.hex() for tile in made],
        "top": tree.top.hex(),
        "root": tree.root.hex(),
        "opened": opened,
        "siblings": [sibling.hex() for sibling in tree.siblings(opened)],
        "level": len(tree.levels) - 1,
        "step": [child.hex() for child in tree.step(len(tree.levels) - 1, 0)],
    }


def trace_case(model):
    roots, faces = [], []
    for row in range(model["rows"]):
        made, counts = [], []
        for numbers, width in zip(model["tensors"], model["element_bytes"]):
            cells = len(numbers) // model["rows"]
            of = tiles(numbers[row * cells : (row + 1) * cells], width)
            made += of
            counts.append(len(of))
        tree = Tree("trace", made)
        ends = list(range(counts[0])) + list(range(len(made) - counts[-1], len(made)))
        roots.append(tree.root.hex())
        faces.append([sibling.hex() for sibling in tree.siblings(ends)])
    return {"name": model["name"], "roots": roots, "faces": faces}


def main():
    graphs = json.loads(GRAPHS.read_text())
    document = {
        "made_with": f"blake3 {blake3_version}",
        "trees": [tree_case(kind, count) for kind in NAMES for count in (1, 2, 3, 16, 17, 37)],
        "traces": [trace_case(model) for model in graphs["models"]],
    }
    (HERE / "trees.json").write_text(json.dumps(document, indent=1) + "\n")


main()
