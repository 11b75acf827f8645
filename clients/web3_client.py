"""web3.py and eth-account against the node: the strictest reader of headers among the common clients."""

import json
import os
import sys
import traceback
from pathlib import Path

import rlp
from eth_account import Account
from eth_account.messages import encode_typed_data
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError

MNEMONIC = "test test test test test test test test test test test junk"
CONTRACTS = Path(__file__).parent / "node_modules/@openzeppelin/contracts/build/contracts"

w3 = Web3(Web3.HTTPProvider(os.environ["TACIT_URL"]))
Account.enable_unaudited_hdwallet_features()
alice, bob, carol = (Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{i}") for i in range(3))
kept = {}


def send(account, **fields):
    """Signs with eth-account, sends, waits."""
    transaction = {"chainId": w3.eth.chain_id, "nonce": w3.eth.get_transaction_count(account.address), **fields}
    if "gasPrice" not in transaction:
        transaction.setdefault("maxFeePerGas", 2 * 10**9)
        transaction.setdefault("maxPriorityFeePerGas", 1)
    if "gas" not in transaction:
        transaction["gas"] = w3.eth.estimate_gas({"from": account.address, **{k: v for k, v in fields.items() if k in ("to", "data", "value")}})
    signed = account.sign_transaction(transaction)
    sent = w3.eth.send_raw_transaction(signed.raw_transaction)
    assert sent == signed.hash, "the node and the signer disagree on the hash"
    return w3.eth.wait_for_transaction_receipt(sent, timeout=10, poll_latency=0.02)


def raises(kind, part, action):
    try:
        action()
    except kind as why:
        assert part in str(why), f"{why!r} lacks {part!r}"
    else:
        raise AssertionError(f"no {kind.__name__}")


def connection():
    assert w3.is_connected()
    assert "tacit" in w3.client_version.lower()
    assert w3.eth.get_balance(alice.address) == w3.to_wei(10_000, "ether")
    assert w3.eth.accounts == [] and w3.eth.syncing is False


def transfers():
    fees = {0: {"gasPrice": 2 * 10**9}, 1: {"gasPrice": 2 * 10**9, "type": 1, "accessList": [{"address": bob.address, "storageKeys": ["0x" + "00" * 31 + "01"]}], "gas": 30_000}, 2: {}}
    for kind, fields in fees.items():
        before = w3.eth.get_balance(bob.address), w3.eth.get_balance(alice.address)
        receipt = send(alice, to=bob.address, value=9, **fields)
        assert receipt.status == 1 and receipt.type == kind
        assert w3.eth.get_balance(bob.address) == before[0] + 9
        assert w3.eth.get_balance(alice.address) == before[1] - 9 - receipt.gasUsed * receipt.effectiveGasPrice
        assert w3.eth.get_transaction(receipt.transactionHash)["from"] == alice.address


def deployment():
    artifact = json.loads((CONTRACTS / "ERC20PresetMinterPauser.json").read_text())
    factory = w3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    receipt = send(alice, data=factory.constructor("Work", "WRK").data_in_transaction, value=0)
    kept["token"] = w3.eth.contract(receipt.contractAddress, abi=artifact["abi"])
    assert w3.eth.get_code(receipt.contractAddress) == HexBytes(artifact["deployedBytecode"])
    assert kept["token"].functions.name().call() == "Work"


def call_and_logs():
    token = kept["token"]
    data = token.encode_abi("mint", [carol.address, 777])
    receipt = send(alice, to=token.address, data=data)
    kept["mint"] = receipt
    [event] = token.events.Transfer().process_receipt(receipt)
    assert event.args.to == carol.address and event.args.value == 777
    logs = token.events.Transfer().get_logs(from_block=0, argument_filters={"to": carol.address})
    assert [log.transactionHash for log in logs] == [receipt.transactionHash]
    assert token.functions.balanceOf(carol.address).call() == 777
    assert token.functions.balanceOf(carol.address).call(block_identifier=receipt.blockNumber - 1) == 0


def event_filter():
    token = kept["token"]
    watch = token.events.Transfer.create_filter(from_block="latest")
    watch.get_new_entries()
    send(alice, to=token.address, data=token.encode_abi("mint", [bob.address, 3]))
    assert [entry.args.value for entry in watch.get_new_entries()] == [3]
    assert watch.get_new_entries() == []


def reverts():
    token = kept["token"]
    raises(ContractLogicError, "transfer amount exceeds balance", lambda: token.functions.transfer(alice.address, 10**9).call({"from": bob.address}))
    raises(ContractLogicError, "minter role", lambda: token.functions.mint(alice.address, 1).estimate_gas({"from": bob.address}))


def typed_data():
    domain = {"name": "Tacit", "version": "1", "chainId": w3.eth.chain_id, "verifyingContract": "0x" + "00" * 19 + "aa"}
    types = {"Mail": [{"name": "to", "type": "address"}, {"name": "amount", "type": "uint128"}, {"name": "text", "type": "string"}]}
    message = encode_typed_data(domain, types, {"to": bob.address, "amount": 5, "text": "for what was proved"})
    assert Account.recover_message(message, signature=alice.sign_message(message).signature) == alice.address


def access_list():
    token = kept["token"]
    call = {"to": token.address, "data": token.encode_abi("mint", [bob.address, 1])}
    answer = w3.eth.create_access_list({"from": alice.address, **call})
    [entry] = answer["accessList"]
    assert entry["address"] == token.address and len(entry["storageKeys"]) > 1
    listed = [{"address": entry["address"], "storageKeys": [HexBytes(key).to_0x_hex() for key in entry["storageKeys"]]}]
    for kind, fields in {1: {"gasPrice": 2 * 10**9, "type": 1}, 2: {}}.items():
        receipt = send(alice, gas=200_000, accessList=listed, **call, **fields)
        assert receipt.status == 1 and receipt.type == kind and receipt.gasUsed == answer["gasUsed"]
        assert len(w3.eth.get_transaction(receipt.transactionHash).accessList) == 1


def simulation():
    token = kept["token"]
    mint = {"from": alice.address, "to": token.address, "data": token.encode_abi("mint", [bob.address, 5])}
    payload = {"blockStateCalls": [{"calls": [mint, {**mint, "from": bob.address}]}], "traceTransfers": False, "validation": False}
    [block] = w3.eth.simulate_v1(payload, "latest")
    minted, refused = block["calls"]
    assert minted["status"] == 1 and len(minted["logs"]) == 1
    assert refused["status"] == 0 and "minter role" in refused["error"]["message"]
    assert block["number"] == w3.eth.block_number + 1


def delegation():
    token = kept["token"]
    authorization = carol.sign_authorization({"chainId": w3.eth.chain_id, "address": token.address, "nonce": w3.eth.get_transaction_count(carol.address)})
    receipt = send(alice, to=carol.address, value=0, data="0x18160ddd", gas=200_000, authorizationList=[authorization])
    assert receipt.status == 1 and receipt.type == 4
    assert w3.eth.get_code(carol.address) == HexBytes("0xef0100" + token.address[2:])


def block_hash_is_the_hash_of_the_header():
    """Recomputes the hash of every block from its fields, and checks the chain of parents."""
    number = lambda value: b"" if value == 0 else value.to_bytes((value.bit_length() + 7) // 8, "big")
    parent = None
    for height in range(w3.eth.block_number + 1):
        block = w3.eth.get_block(height)
        assert len(block.extraData if "extraData" in block else block.proofOfAuthorityData) <= 32
        fields = [
            block.parentHash, block.sha3Uncles, HexBytes(block.miner), block.stateRoot, block.transactionsRoot,
            block.receiptsRoot, block.logsBloom, number(block.difficulty), number(block.number), number(block.gasLimit),
            number(block.gasUsed), number(block.timestamp), block.extraData, block.mixHash, block.nonce,
            number(block.baseFeePerGas), block.withdrawalsRoot, number(block.blobGasUsed), number(block.excessBlobGas),
            block.parentBeaconBlockRoot, HexBytes(block.requestsHash),
        ]
        assert Web3.keccak(rlp.encode([bytes(field) for field in fields])) == block.hash, f"block {height}"
        assert parent is None or block.parentHash == parent
        parent = block.hash
        receipts = w3.eth.get_block_receipts(height)
        assert sum(receipt.gasUsed for receipt in receipts) == block.gasUsed
    assert w3.eth.get_block("finalized").hash == parent


def fees():
    history = w3.eth.fee_history(3, "latest", [10, 90])
    assert len(history.baseFeePerGas) == 4 and len(history.reward) == 3
    assert w3.eth.gas_price > 0 and w3.eth.max_priority_fee >= 0


def errors():
    def transfer(**fields):
        base = {"chainId": w3.eth.chain_id, "to": bob.address, "value": 1, "gas": 21_000, "nonce": w3.eth.get_transaction_count(alice.address), "maxFeePerGas": 10**9, "maxPriorityFeePerGas": 1}
        return w3.eth.send_raw_transaction(alice.sign_transaction({**base, **fields}).raw_transaction)

    raises(Web3RPCError, "nonce too low", lambda: transfer(nonce=0))
    raises(Web3RPCError, "insufficient funds", lambda: transfer(value=w3.to_wei(20_000, "ether")))
    raises(Web3RPCError, "invalid chain id", lambda: transfer(chainId=1))
    raises(Web3RPCError, "less than block base fee", lambda: transfer(maxFeePerGas=1))
    raises(Web3RPCError, "intrinsic gas too low", lambda: transfer(gas=20_000))
    raises(TransactionNotFound, "", lambda: w3.eth.get_transaction(b"\1" * 32))


CHECKS = [connection, transfers, deployment, call_and_logs, event_filter, reverts, typed_data, access_list, simulation, delegation,
          block_hash_is_the_hash_of_the_header, fees, errors]

failed = 0
for check in CHECKS:
    try:
        check()
        print(f"ok   web3.py: {check.__name__.replace('_', ' ')}")
    except Exception:
        failed += 1
        print(f"FAIL web3.py: {check.__name__}\n{traceback.format_exc(limit=-4)}")
print(f"web3.py: {len(CHECKS) - failed} of {len(CHECKS)} passed")
sys.exit(1 if failed else 0)
