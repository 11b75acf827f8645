"""web3.py over WebSocket: requests, and subscriptions as it reads them."""

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path

from eth_account import Account
from web3 import AsyncWeb3, WebSocketProvider
from web3.exceptions import ContractLogicError

MNEMONIC = "test test test test test test test test test test test junk"
TOKEN = json.loads((Path(__file__).parent / "node_modules/@openzeppelin/contracts/build/contracts/ERC20PresetMinterPauser.json").read_text())
Account.enable_unaudited_hdwallet_features()
alice, bob = (Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{i}") for i in range(2))
kept = {}


async def send(w3, **fields):
    nonce = await w3.eth.get_transaction_count(alice.address)
    transaction = {"chainId": await w3.eth.chain_id, "nonce": nonce, "gas": 3_000_000, "maxFeePerGas": 2 * 10**9, "maxPriorityFeePerGas": 1, "value": 0, **fields}
    return await w3.eth.send_raw_transaction(alice.sign_transaction(transaction).raw_transaction)


async def mined(w3, **fields):
    return await w3.eth.wait_for_transaction_receipt(await send(w3, **fields), timeout=10, poll_latency=0.02)


async def told(w3, count):
    """The next messages of this connection's subscriptions."""
    heard = []

    async def listen():
        async for message in w3.socket.process_subscriptions():
            heard.append(message)
            if len(heard) == count:
                return

    await asyncio.wait_for(listen(), 10)
    return heard


async def requests(w3):
    assert await w3.is_connected()
    assert "tacit" in (await w3.client_version).lower()
    receipt = await mined(w3, data=w3.eth.contract(abi=TOKEN["abi"], bytecode=TOKEN["bytecode"]).constructor("Work", "WRK").data_in_transaction)
    kept["token"] = receipt.contractAddress
    token = w3.eth.contract(receipt.contractAddress, abi=TOKEN["abi"])
    assert await token.functions.symbol().call() == "WRK"
    numbers = await asyncio.gather(*(w3.eth.block_number for _ in range(50)))
    assert set(numbers) == {receipt.blockNumber}
    try:
        await token.functions.mint(bob.address, 1).call({"from": bob.address})
    except ContractLogicError as why:
        assert "minter role" in str(why)
    else:
        raise AssertionError("a mint by a stranger")


async def new_heads(w3):
    subscription = await w3.eth.subscribe("newHeads")
    receipts = [await mined(w3, to=bob.address, value=1) for _ in range(3)]
    heard = await told(w3, 3)
    assert [message["result"]["hash"] for message in heard] == [receipt.blockHash for receipt in receipts]
    assert all(message["subscription"] == subscription for message in heard)
    assert await w3.eth.unsubscribe(subscription)


async def logs(w3):
    token = w3.eth.contract(kept["token"], abi=TOKEN["abi"])
    subscription = await w3.eth.subscribe("logs", {"address": token.address, "topics": [token.events.Transfer().topic]})
    data = token.encode_abi("mint", [bob.address, 77])
    receipt = await mined(w3, to=token.address, data=data)
    await mined(w3, to=bob.address, value=1)
    [message] = await told(w3, 1)
    event = token.events.Transfer().process_log(message["result"])
    assert event.args.to == bob.address and event.args.value == 77
    assert event.transactionHash == receipt.transactionHash
    assert await w3.eth.unsubscribe(subscription)


async def pending(w3):
    hashes = await w3.eth.subscribe("newPendingTransactions")
    whole = await w3.eth.subscribe("newPendingTransactions", True)
    await w3.provider.make_request("evm_setAutomine", [False])
    sent = await send(w3, to=bob.address, value=3)
    heard = {message["subscription"]: message["result"] for message in await told(w3, 2)}
    assert heard[hashes] == sent and heard[whole]["hash"] == sent and heard[whole]["value"] == 3
    await w3.provider.make_request("evm_setAutomine", [True])
    await w3.eth.wait_for_transaction_receipt(sent, timeout=10, poll_latency=0.02)
    assert await w3.eth.unsubscribe(hashes) and await w3.eth.unsubscribe(whole)


async def simulation(w3):
    payload = {"blockStateCalls": [{"calls": [{"from": alice.address, "to": bob.address, "value": 5}]}], "traceTransfers": True, "validation": False}
    [block] = await w3.eth.simulate_v1(payload, "latest")
    [call] = block["calls"]
    assert call["status"] == 1 and call["gasUsed"] == 21_000 and len(call["logs"]) == 1


CHECKS = [requests, new_heads, logs, pending, simulation]


async def main():
    failed = 0
    async with AsyncWeb3(WebSocketProvider(os.environ["TACIT_URL"].replace("http", "ws"))) as w3:
        for check in CHECKS:
            try:
                await check(w3)
                print(f"ok   web3.py, WebSocket: {check.__name__.replace('_', ' ')}")
            except Exception:
                failed += 1
                print(f"FAIL web3.py, WebSocket: {check.__name__}\n{traceback.format_exc(limit=-4)}")
    print(f"web3.py, WebSocket: {len(CHECKS) - failed} of {len(CHECKS)} passed")
    return 1 if failed else 0


sys.exit(asyncio.run(main()))
