"""What audits of a gateway compare, without a network: engines of SmolLM2-135M, one with weaker weights, continue each other's answers at six places, or are asked the same.

    python places.py [whole] [ROUNDS] [PYTHON=KIND...]        engines as in audit.py; mistral.rs goes on with nothing, so that it is none of these but with `whole`

Prints for each two engines the mean distance and gap over all places, and the largest and the least means of 24 in a row, which is where a gateway begins to judge.
"""

import itertools
import json
import pathlib
import random
import sys
import tempfile

from audit import engines
from measure import MODULES

PLACES, TOKENS, JUDGED = 6, 32, 24
UNLISTED, MOST = 1.0, 10.0


def chat(engine, messages, **more):
    body = {"temperature": 0, "messages": messages, "logprobs": True, **more}
    return engine.ask("/v1/chat/completions", body)["choices"][0]["logprobs"]["content"]


def named(likely):
    """Candidates by text, without those that are none (`tacit_gateway::openai::likeness`)."""
    texts = [(bytes(one["bytes"]).decode(errors="replace"), one["logprob"]) for one in likely]
    return {text: logprob for text, logprob in texts if text and "\ufffd" not in text and not (len(text) > 2 and text[0] == "<" and text[-1] == ">")}


def compare(said, again):
    """`tacit_market::likeness` of one step."""
    committed, listed = named(said["top_logprobs"]), named(again["top_logprobs"])
    found = lambda text: listed.get(text, min(listed.values()) - UNLISTED)
    distances = [min(abs(logprob - found(text)), MOST) for text, logprob in committed.items()]
    return sum(distances) / len(distances), min(max(listed.values()) - found(said["token"]), MOST)


def beside(said, again):
    """`tacit_market::likeness::likeness_beside` of one step, but for engines that say log-probabilities at a temperature."""
    one, other = named(said["top_logprobs"]), named(again["top_logprobs"])
    beyond = lambda logprob, listed: max(0, logprob - min(listed.values()))
    distances = [abs(logprob - other[text]) if text in other else beyond(logprob, other) for text, logprob in one.items()]
    distances += [beyond(logprob, one) for text, logprob in other.items() if text not in one]
    gap = max(other.values()) - other.get(said["token"], min(other.values()))
    return sum(min(distance, MOST) for distance in distances) / len(distances), min(gap, MOST)


def whole(first, second, question, temperature):
    messages = [{"role": "user", "content": question}]
    one, other = (chat(engine, messages, max_tokens=TOKENS, top_logprobs=5, temperature=temperature) for engine in (first, second))
    places = []
    for said, again in zip(one, other):
        if named(said["top_logprobs"]) and named(again["top_logprobs"]):
            places.append(beside(said, again))
        if said["bytes"] != again["bytes"]:
            break
    return random.sample(places, min(PLACES, len(places)))


def audit(first, second, question):
    messages = [{"role": "user", "content": question}]
    said = chat(first, messages, max_tokens=TOKENS, top_logprobs=5)
    texts = [bytes(token["bytes"]).decode(errors="replace") for token in said]
    before = ["".join(texts[:at]) for at in range(len(texts))]
    places = [at for at, text in enumerate(before) if texts[at] and texts[at].isascii() and text == text.strip() and "\ufffd" not in text]
    for at in random.sample(places, min(PLACES, len(places))):
        continued = [{"role": "assistant", "content": before[at]}] if before[at] else []
        goes_on = {"add_generation_prompt": False, "continue_final_message": True} if before[at] else {}
        yield compare(said[at], chat(second, messages + continued, max_tokens=1, top_logprobs=20, **goes_on)[0])


def main(is_whole, rounds, others):
    random.seed(1)
    mean = lambda values: sum(values) / len(values)
    with tempfile.TemporaryDirectory() as folder:
        served = engines(pathlib.Path(folder), others)
        names, steps = list(served), {}
        pairs = list(itertools.permutations(range(len(names)), 2))
        for number in range(rounds * len(pairs)):
            first, second = pairs[number % len(pairs)]
            question = f"Explain in a few sentences what the Python module {MODULES[number % len(MODULES)]} does."
            pair = (min(first, second), max(first, second))
            if is_whole:
                for temperature in (0, 0.7):
                    found = whole(served[names[first]], served[names[second]], question, temperature)
                    steps.setdefault((*pair, temperature), []).append(found)
            else:
                steps.setdefault((*pair, 0), []).append(list(audit(served[names[first]], served[names[second]], question)))
            if number % len(pairs) == len(pairs) - 1:
                for (one, other, temperature), answers in sorted(steps.items()):
                    found = [place for answer in answers for place in answer]
                    row = {"engines": [names[one], names[other]], "temperature": temperature, "answers": len(answers), "places": len(found)}
                    for name, values in zip(("distance", "gap"), zip(*found)):
                        runs = [mean(values[at : at + JUDGED]) for at in range(len(values) - JUDGED + 1)]
                        row |= {name: round(mean(values), 3)}
                        row |= {f"{name}_of_{JUDGED}": [round(least(runs), 3) for least in (min, max)] if runs else None}
                    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    is_whole = words[:1] == ["whole"]
    words = words[is_whole:]
    main(is_whole, int(words[0]) if words else 8, words[1:])
