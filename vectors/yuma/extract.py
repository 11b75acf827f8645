"""Takes numbers out of a checkout of opentensor/subtensor and writes epoch.json and yuma3.json beside this file.

    python3 extract.py PATH/pallets/subtensor/src/tests/epoch.rs

What is taken: the traces in the comments of `test_bonds` and `test_outdated_weights`, what `test_active_stake`, `test_10_graph` and
`test_zero_weights` assert, and the targets of the `test_yuma_3_*`. See README.md for origin, licence and what was shifted.
"""
import ast
import json
import pathlib
import re
import sys

text = pathlib.Path(sys.argv[1]).read_text()
here = pathlib.Path(__file__).parent


def body(name, after):
    return text[text.index(f"fn {name}()"):text.index(f"fn {after}()")]


def dense(rows, n):
    """Rows of (index, value) as rows of n decimal strings."""
    pairs = [re.findall(r"\((\d+), ([\d.]+)\)", row) for row in re.findall(r"\[((?:\(\d+, [\d.]+\)(?:, )?)*)\]", rows[1:-1])]
    assert len(pairs) == n, rows
    return [[dict((int(i), v) for i, v in row).get(j, "0") for j in range(n)] for row in pairs]


def vector(values):
    return [value.strip() for value in values.strip("[]").split(",")]


def trace(comment, n, before):
    """One trace; what it leaves out is as in the one before."""
    step = dict(before)
    seen = {}
    for line in comment.split("\n"):
        key, _, value = line.strip().partition(": ")
        seen.setdefault(key, []).append(value.split("; ")[0].strip())
    for key, name in [("W (permit+diag+outdate)", "weights"), ("W (mask+norm)", "normal_weights"), ("ΔB (norm)", "bonds_delta"), ("B", "bonds"), ("B (mask+norm)", "normal_bonds")]:
        if key in seen:
            step[name] = dense(seen[key][0], n)
    if "W" in seen:
        step["clipped"] = dense(seen["W"][-1], n)
    if "B (outdatedmask)" in seen:
        # Which of them were dropped was decided otherwise when the trace was made: what is left is what goes in.
        step["bonds"] = dense(seen["B (outdatedmask)"][0], n)
    step["new_bonds"] = dense(seen["emaB"][0], n)
    for key, name in [("C", "consensus"), ("Tv", "validator_trust"), ("R (before)", "ranks_before"), ("R (after)", "ranks"), ("T", "trust"), ("I (=R)", "incentive"), ("D", "dividends"), ("nE", "shares"), ("E", "emission")]:
        if key in seen:
            step[name] = vector(seen[key][0])
    if "S" in seen:
        step["stake"] = vector(seen["S"][-1])
    return step


def traces(name, after, n, stakes):
    steps, step = [], {}
    for comment in re.findall(r"/\*(.*?)\*/", body(name, after), re.S):
        step = trace(comment.replace("*/", ""), n, step)
        steps.append(step)
    return {"name": name, "stakes": stakes, "bonds_average": 900000, "steps": steps}


def dict_or_list(block):
    return ast.literal_eval(re.sub(r"//.*", "", block).replace("vec!", "").strip().rstrip(";"))


def targets(source, name):
    start = re.search(name + r"[^=]*= \[", source).end() - 1
    depth = 0
    for end in range(start, len(source)):
        depth += {"[": 1, "]": -1}.get(source[end], 0)
        if depth == 0:
            break
    return dict_or_list(source[start:end + 1])


def scenario(name, after, stakes, weights, liquid=True, reset=None):
    source = body(name, after)
    bonds, dividends = targets(source, "targets_bonds"), targets(source, "targets_dividends")
    if isinstance(bonds[0], list):
        bonds, dividends = list(enumerate(bonds)), list(enumerate(dividends))
    dividends = dict(dividends)
    workers = len(weights[0][1][0])
    steps = []
    for epoch, target in bonds:
        # One test has each row a column too late.
        target = [row[1:] if len(row) > workers else row for row in target]
        steps.append({"epoch": epoch, "bonds": [[f"{b:.4f}" for b in row] for row in target], "dividends": [f"{d:.4f}" for d in dividends[epoch][:len(stakes)]]})
    return {"name": name, "stakes": stakes, "liquid_alpha": liquid, "weights": [{"from": epoch, "rows": rows} for epoch, rows in weights], "reset": reset, "targets": steps}


M = 65535
H = M // 2
first, second = [M, 0], [0, M]
switch = [(0, [first] * 3), (2, [first, first, second]), (3, [first] * 3)]
third = [H, 0, H]
moved = [0, H, H]
yuma3 = [
    scenario("test_yuma_3_kappa_moves_first", "test_yuma_3_kappa_moves_second", [8, 1, 1], [(0, [first] * 3), (1, [second, first, first]), (2, [second, second, first]), (3, [second] * 3)]),
    scenario("test_yuma_3_kappa_moves_second", "test_yuma_3_kappa_moves_last", [8, 1, 1], [(0, [first] * 3), (1, [first, second, first]), (2, [second, second, first]), (3, [second] * 3)]),
    scenario("test_yuma_3_kappa_moves_last", "test_yuma_3_one_epoch_switch", [8, 1, 1], [(0, [first] * 3), (1, [first, second, first]), (2, [first, second, second]), (3, [second] * 3)]),
    scenario("test_yuma_3_one_epoch_switch", "test_yuma_3_liquid_alpha_disabled", [33, 33, 34], switch),
    scenario("test_yuma_3_liquid_alpha_disabled", "test_yuma_3_stable_miner", [33, 33, 34], switch, liquid=False),
    scenario("test_yuma_3_stable_miner", "test_yuma_3_bonds_reset", [8, 1, 1], [(0, [third] * 3), (1, [third, moved, third]), (2, [moved, moved, third]), (3, [moved] * 3)]),
    scenario("test_yuma_3_bonds_reset", "test_liquid_alpha_equal_values_against_itself", [8, 1, 1], [(0, [first] * 3), (1, [first, second, second]), (2, [second] * 3), (21, [second, first, first]), (22, [first] * 3)], reset={"epoch": 20, "worker": 0}),
]
origin = "opentensor/subtensor 14bc6f9f964b9cc362e9635dd110a487fa5d15a0, pallets/subtensor/src/tests/epoch.rs (The Unlicense)"
epoch = {"origin": origin, "traces": [
    traces("test_bonds", "test_set_alpha_disabled", 8, ["1", "2", "3", "4", "0", "0", "0", "0"]),
    traces("test_outdated_weights", "test_zero_weights", 4, ["1", "1", "1", "1"]),
]}
# Who was registered anew has no stake in the second step.
epoch["traces"][1]["steps"][1]["stakes"] = ["1", "1", "1", "0"]
for file, content in [("epoch.json", epoch), ("yuma3.json", {"origin": origin, "scenarios": yuma3})]:
    text_out = json.dumps(content, indent=1)
    text_out = re.sub(r"\[\s+((?:[^\[\]{}]|\n)*?)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m.group(1)) + "]", text_out)
    (here / file).write_text(text_out + "\n")
