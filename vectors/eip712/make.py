#!/usr/bin/env python3
"""Writes the EIP-712 vectors beside this file with implementations that are not ours.

    python3 -m venv venv && venv/bin/pip install eth-account eth-abi && venv/bin/python make.py

Keys are public test keys; the values are arbitrary but fixed.
"""

import json
import pathlib

import eth_abi
import eth_account
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak, to_checksum_address

HERE = pathlib.Path(__file__).parent
CHAINS = [1, 1337, 2**53 + 1]
KEYS = ["0x" + f"{n:064x}" for n in (1, 0xB0B, 2**255 + 19)]
CHANNELS = "0x7ac1700000000000000000000000000000000002"
RECEIPTS = "0x7ac1700000000000000000000000000000000003"
AUDITS = "0x7ac1700000000000000000000000000000000008"

DOMAIN = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
VOUCHER = [
    {"name": "channelId", "type": "bytes32"},
    {"name": "cumulative", "type": "uint128"},
]
RECEIPT = [
    {"name": "jobId", "type": "bytes32"},
    {"name": "modelId", "type": "bytes32"},
    {"name": "channelId", "type": "bytes32"},
    {"name": "client", "type": "address"},
    {"name": "worker", "type": "address"},
    {"name": "privacy", "type": "uint8"},
    {"name": "evidence", "type": "uint8"},
    {"name": "inputCommitment", "type": "bytes32"},
    {"name": "outputCommitment", "type": "bytes32"},
    {"name": "evidenceHash", "type": "bytes32"},
    {"name": "price", "type": "uint128"},
    {"name": "cumulative", "type": "uint128"},
    {"name": "completedAt", "type": "uint64"},
]
VERDICT = [
    {"name": "receipt", "type": "bytes32"},
    {"name": "own", "type": "bytes32"},
]


def word(label: str) -> str:
    return "0x" + keccak(text=label).hex()


def address(label: str) -> str:
    return "0x" + keccak(text=label)[12:].hex()


def sign(domain: dict, primary: str, fields: list, message: dict, key: str) -> dict:
    typed = {
        "types": {"EIP712Domain": DOMAIN, primary: fields},
        "primaryType": primary,
        "domain": domain,
        "message": message,
    }
    signable = encode_typed_data(full_message=typed)
    signed = Account.sign_message(signable, key)
    recovered = Account.recover_message(signable, signature=signed.signature)
    assert recovered == Account.from_key(key).address
    return {
        "chain_id": str(domain["chainId"]),
        "message": {name: str(value) if isinstance(value, int) else value for name, value in message.items()},
        "key": key,
        "domain_separator": "0x" + signable.header.hex(),
        "struct_hash": "0x" + signable.body.hex(),
        "digest": "0x" + signed.message_hash.hex(),
        "signature": "0x" + signed.signature.hex(),
        "signer": recovered.lower(),
    }


def vouchers() -> list:
    amounts = [0, 1, 200_000_000_000_000, 2**128 - 1]
    out = []
    for index, amount in enumerate(amounts):
        chain = CHAINS[index % len(CHAINS)]
        domain = {"name": "Tacit Channels", "version": "1", "chainId": chain, "verifyingContract": CHANNELS}
        message = {"channelId": word(f"channel {index}"), "cumulative": amount}
        out.append(sign(domain, "Voucher", VOUCHER, message, KEYS[index % len(KEYS)]))
    return out


def receipts() -> list:
    out = []
    for index in range(4):
        top = index == 3
        chain = CHAINS[index % len(CHAINS)]
        domain = {"name": "Tacit Receipts", "version": "1", "chainId": chain, "verifyingContract": RECEIPTS}
        message = {
            "jobId": word(f"job {index}"),
            "modelId": word(f"model {index}"),
            "channelId": word(f"channel {index}"),
            "client": address(f"client {index}"),
            "worker": address(f"worker {index}"),
            "privacy": 255 if top else index,
            "evidence": 255 if top else 3 - index,
            "inputCommitment": word(f"input {index}"),
            "outputCommitment": word(f"output {index}"),
            "evidenceHash": word(f"evidence {index}"),
            "price": 2**128 - 1 if top else 10**14 * index,
            "cumulative": 2**128 - 1 if top else 10**15 * index,
            "completedAt": 2**64 - 1 if top else 1_795_000_000 + index,
        }
        out.append(sign(domain, "Receipt", RECEIPT, message, KEYS[index % len(KEYS)]))
    return out


def verdicts() -> list:
    out = []
    for index, chain in enumerate(CHAINS):
        domain = {"name": "Tacit Audits", "version": "1", "chainId": chain, "verifyingContract": AUDITS}
        message = {"receipt": word(f"receipt {index}"), "own": word(f"own {index}")}
        out.append(sign(domain, "Verdict", VERDICT, message, KEYS[index]))
    return out


def channel_ids() -> list:
    out = []
    for index, chain in enumerate(CHAINS):
        client, worker, signer = (address(f"{role} {index}") for role in ("client", "worker", "signer"))
        salt = word(f"salt {index}")
        encoded = eth_abi.encode(
            ["uint256", "address", "address", "address", "address", "bytes32"],
            [chain] + [to_checksum_address(a) for a in (CHANNELS, client, worker, signer)] + [bytes.fromhex(salt[2:])],
        )
        out.append({
            "chain_id": str(chain), "client": client, "worker": worker, "signer": signer, "salt": salt,
            "channel_id": "0x" + keccak(encoded).hex(),
        })
    return out


def write(name: str, cases: list) -> None:
    document = {"made_with": {"eth-account": eth_account.__version__}, "cases": cases}
    (HERE / name).write_text(json.dumps(document, indent=1) + "\n")


write("voucher.json", vouchers())
write("receipt.json", receipts())
write("verdict.json", verdicts())
write("channel_id.json", channel_ids())
