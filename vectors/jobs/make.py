#!/usr/bin/env python3
"""Writes the vectors beside this file with implementations that are not ours.

    python3 -m venv venv && venv/bin/pip install eth-account blake3 && venv/bin/python make.py

Keys are public test keys; the values are arbitrary but fixed.
"""

import json
import pathlib
import struct

import eth_account
from blake3 import __version__ as blake3_version
from blake3 import blake3
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak, to_checksum_address

HERE = pathlib.Path(__file__).parent
CHANNELS = "0x7ac1700000000000000000000000000000000002"
KEYS = ["0x" + f"{n:064x}" for n in (1, 0xB0B, 2**255 + 19, 0xC1FE, 0xE2C)]
DOMAIN = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
JOB = [
    ("jobId", "bytes32"),
    ("modelId", "bytes32"),
    ("channelId", "bytes32"),
    ("client", "address"),
    ("worker", "address"),
    ("privacy", "uint8"),
    ("evidence", "uint8"),
    ("price", "uint128"),
    ("cumulative", "uint128"),
    ("payloadHash", "bytes32"),
]


def word(label):
    return "0x" + keccak(text=label).hex()


def address(label):
    return to_checksum_address(keccak(text=label)[:20])


def job_case(n, chain_id, key):
    # In the clear, sealed, encrypted, or sealed to a session; by its number as privacy, and as form of the payload.
    privacy, form = ((0, 0), (1, 1), (0, 0), (4, 2), (2, 3))[n]
    body = bytes(range(n * 40))
    enc = keccak(text=f"enc {n}") if form in (1, 3) else b""
    session = keccak(text=f"session {n}") if form == 3 else b""
    message = {
        "jobId": word(f"job {n}"),
        "modelId": word(f"model {n}"),
        "channelId": word(f"channel {n}"),
        "client": address(f"client {n}"),
        "worker": address(f"worker {n}"),
        "privacy": privacy,
        "evidence": (0, 3, 3, 0, 2)[n],
        "price": (0, 200_000_000_000_000, 2**128 - 1, 5, 6)[n],
        "cumulative": (0, 10**18, 2**128 - 1, 10, 12)[n],
        "payloadHash": "0x" + keccak(bytes([form]) + session + enc + body).hex(),
    }
    typed = {
        "types": {"EIP712Domain": DOMAIN, "Job": [{"name": n, "type": t} for n, t in JOB]},
        "primaryType": "Job",
        "domain": {"name": "Tacit Jobs", "version": "1", "chainId": chain_id, "verifyingContract": CHANNELS},
        "message": message,
    }
    signed = Account.sign_message(encode_typed_data(full_message=typed), key)
    return {
        "chain_id": str(chain_id),
        "message": {k: v.lower() if isinstance(v, str) else str(v) for k, v in message.items()},
        "enc": "0x" + enc.hex() if enc else None,
        "session": "0x" + session.hex() if session else None,
        "body": "0x" + body.hex(),
        "key": key,
        "digest": "0x" + bytes(signed.message_hash).hex(),
        "signature": "0x" + bytes(signed.signature).hex(),
        "signer": Account.from_key(key).address.lower(),
    }


def commitment(kind, salt, data):
    hasher = blake3(derive_key_context=f"tacit 2026 {kind} commitment v1")
    return "0x" + hasher.update(salt).update(data).digest().hex()


def commitment_case(n):
    salts = [keccak(text=f"{kind} salt {n}") for kind in ("input", "output", "evidence")]
    values = [0, -1, 2**63 - 1, -(2**63)][: n + 1]
    logits = [0, -1, 2**31 - 1, -(2**31)][: n + 1]
    proof = bytes(range(n * 60))
    query, ciphertext = (keccak(text=f"{kind} {n}") * n for kind in ("query", "ciphertext"))
    return {
        "salts": ["0x" + salt.hex() for salt in salts],
        "input": [str(value) for value in values],
        "output": logits,
        "proof": "0x" + proof.hex(),
        "input_commitment": commitment("input", salts[0], b"".join(struct.pack("<q", v) for v in values)),
        "output_commitment": commitment("output", salts[1], b"".join(struct.pack("<i", v) for v in logits)),
        "evidence_hash": commitment("evidence", salts[2], proof),
        "query": "0x" + query.hex(),
        "ciphertext": "0x" + ciphertext.hex(),
        "query_commitment": commitment("input", salts[0], query),
        "ciphertext_commitment": commitment("output", salts[1], ciphertext),
    }


def seed_case(n):
    parts = {name: keccak(text=f"{name} {n}") for name in ("audit_key", "job_id", "model_id", "payload_hash")}
    seed = blake3(b"".join(parts.values()), derive_key_context="tacit 2026 re-execution seed v1").digest()
    commitment = blake3(seed, derive_key_context="tacit 2026 re-execution seed commitment v1").digest()
    values = {**parts, "seed": seed, "seed_commitment": commitment}
    return {name: "0x" + value.hex() for name, value in values.items()}


def write(name, made_with, cases):
    text = json.dumps({"made_with": made_with, "cases": cases}, indent=1)
    (HERE / name).write_text(text + "\n")


chains = [1, 82_248, 2**53 + 1, 7, 8]
write(
    "job.json",
    {"eth-account": eth_account.__version__},
    [job_case(n, chain, key) for n, (chain, key) in enumerate(zip(chains, KEYS))],
)
write("commitments.json", {"blake3": blake3_version}, [commitment_case(n) for n in range(4)])
write("seeds.json", {"blake3": blake3_version}, [seed_case(n) for n in range(3)])
