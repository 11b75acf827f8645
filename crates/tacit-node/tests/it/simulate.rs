//! `eth_simulateV1`: blocks that are assumed and leave nothing behind.

use alloy_primitives::{Address, B256, Bytes, U256, address, hex};
use alloy_rpc_types_eth::Block;
use serde_json::{Value, json};

use crate::support::{Client, ECHO, Running, address as person, config, deployment, message, sign, transfer};

const RICH: Address = Address::repeat_byte(0xc0);
const OTHER: Address = Address::repeat_byte(0xc1);
const THIRD: Address = Address::repeat_byte(0xc2);
const COIN: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
const ECRECOVER: Address = Address::with_last_byte(1);
const SHA256: Address = Address::with_last_byte(2);

async fn simulate(client: &Client, payload: Value) -> Vec<Value> {
    let blocks = client.rpc("eth_simulateV1", json!([payload, "latest"])).await;
    blocks.as_array().unwrap().clone()
}

/// One block with these overrides and calls.
async fn calls(client: &Client, state: Value, calls: Value) -> Vec<Value> {
    let block = json!({ "stateOverrides": state, "calls": calls });
    let blocks = simulate(client, json!({ "blockStateCalls": [block], "traceTransfers": true })).await;
    blocks[0]["calls"].as_array().unwrap().clone()
}

async fn refused(client: &Client, payload: Value) -> i64 {
    client.error("eth_simulateV1", json!([payload])).await.0
}

/// Code that calls `to` with the value it was sent, and ends well whatever happens there.
fn forwarder(to: Address) -> String {
    format!("0x5f5f5f5f3473{}5af15000", hex::encode(to))
}

#[tokio::test]
async fn calls_see_what_those_before_them_did_and_nothing_stays() {
    let node = Running::memory().await;
    let client = &node.client;
    let contract = RICH.create(1);
    let blocks = json!([
        {
            "stateOverrides": { RICH.to_string(): { "balance": "0x3e8" } },
            "calls": [
                { "from": RICH, "to": OTHER, "value": "0x3e8" },
                { "from": OTHER, "to": THIRD, "value": "0x3e8" },
                { "from": OTHER, "to": THIRD, "value": "0x0" },
                { "from": RICH, "nonce": "0x2", "input": format!("0x{ECHO}") },
            ],
        },
        { "calls": [{ "from": THIRD, "to": contract }, { "from": THIRD, "to": contract, "input": "0xbeef" }] },
    ]);
    // A contract's address comes from the account's nonce, whatever the call says.
    let blocks = simulate(client, json!({ "blockStateCalls": blocks })).await;
    let statuses = |block: &Value| -> Vec<String> {
        let calls = block["calls"].as_array().unwrap().iter();
        calls.map(|call| call["status"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(statuses(&blocks[0]), ["0x1"; 4]);
    assert_eq!(statuses(&blocks[1]), ["0x1", "0x0"]);
    let [returned, reverted] = &blocks[1]["calls"].as_array().unwrap()[..] else { panic!("two calls") };
    assert_eq!(returned["returnData"], json!(B256::with_last_byte(7)));
    assert_eq!(returned["logs"][0]["topics"], json!([B256::with_last_byte(0x2a)]));
    assert_eq!(returned["logs"][0]["blockHash"], blocks[1]["hash"]);
    assert_eq!(returned["logs"][0]["transactionHash"], blocks[1]["transactions"][0]);
    assert_eq!(reverted["error"], json!({ "code": 3, "message": "execution reverted", "data": "0xbeef" }));
    assert_eq!(reverted["returnData"], "0x");
    assert_eq!(client.number("eth_blockNumber", json!([])).await, 0);
    assert_eq!(client.rpc("eth_getCode", json!([contract, "latest"])).await, "0x");
    assert_eq!(client.balance(THIRD).await, U256::ZERO);
}

#[tokio::test]
async fn blocks_follow_each_other_and_gaps_are_filled() {
    let node = Running::memory().await;
    let client = &node.client;
    client.mine(&sign(transfer(0), 0)).await;
    let base = client.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
    let number = |value: &Value| u64::from_str_radix(&value.as_str().unwrap()[2..], 16).unwrap();
    let time = number(&base["timestamp"]);
    let at = json!({ "blockOverrides": {
        "number": "0x4", "time": format!("{:#x}", time + 100), "feeRecipient": OTHER, "gasLimit": "0xf4240",
        "prevRandao": B256::repeat_byte(3), "baseFeePerGas": "0x7",
    } });
    let blocks = simulate(client, json!({ "blockStateCalls": [{}, at, {}] })).await;
    let told: Vec<(u64, u64)> =
        blocks.iter().map(|block| (number(&block["number"]), number(&block["timestamp"]) - time)).collect();
    assert_eq!(told, [(2, 12), (3, 24), (4, 100), (5, 112)]);
    let mut parent = base["hash"].clone();
    for block in &blocks {
        assert_eq!(block["parentHash"], parent);
        parent = block["hash"].clone();
        let parsed: Block = serde_json::from_value(block.clone()).unwrap();
        assert_eq!(parsed.header.hash_slow(), parsed.header.hash);
    }
    let told = |block: &Value| -> Vec<Value> {
        ["miner", "gasLimit", "mixHash", "baseFeePerGas"].map(|name| block[name].clone()).to_vec()
    };
    assert_eq!(told(&blocks[2]), [json!(OTHER), json!("0xf4240"), json!(B256::repeat_byte(3)), json!("0x7")]);
    assert_eq!(told(&blocks[3]), [json!(OTHER), json!("0xf4240"), json!(B256::ZERO), json!("0x0")]);
    assert_eq!(
        told(&blocks[1]),
        [base["miner"].clone(), base["gasLimit"].clone(), json!(B256::ZERO), json!("0x0")]
    );
}

#[tokio::test]
async fn contracts_see_the_block_they_are_simulated_in() {
    let node = Running::memory().await;
    // BASEFEE, BLOBBASEFEE, COINBASE, PREVRANDAO, and the hash of the block before.
    let code = "0x485f524a60205241604052446060526001430340608052 60a05ff3".replace(' ', "");
    let state = json!({ OTHER.to_string(): { "code": code } });
    let overrides = json!({
        "baseFeePerGas": "0x9", "blobBaseFee": "0x5", "feeRecipient": THIRD, "prevRandao": B256::repeat_byte(4),
    });
    let blocks =
        json!([{}, { "blockOverrides": overrides, "stateOverrides": state, "calls": [{ "to": OTHER }] }]);
    let blocks = simulate(&node.client, json!({ "blockStateCalls": blocks })).await;
    let parent: B256 = serde_json::from_value(blocks[0]["hash"].clone()).unwrap();
    let words =
        [B256::with_last_byte(9), B256::with_last_byte(5), THIRD.into_word(), B256::repeat_byte(4), parent];
    assert_eq!(blocks[1]["calls"][0]["returnData"], json!(Bytes::from(words.concat())));
}

#[tokio::test]
async fn transfers_are_told_like_those_of_tokens() {
    let node = Running::memory().await;
    let log = |from: Address, to: Address| (COIN, vec![from.into_word(), to.into_word()]);
    let told = |call: &Value| -> Vec<(Address, Vec<B256>)> {
        let logs: Vec<alloy_rpc_types_eth::Log> = serde_json::from_value(call["logs"].clone()).unwrap();
        logs.iter().map(|log| (log.address(), log.topics().iter().skip(1).copied().collect())).collect()
    };
    let reverter = Address::repeat_byte(0xd1);
    let (forward, fail, destroy) =
        (Address::repeat_byte(0xd2), Address::repeat_byte(0xd3), Address::repeat_byte(0xd4));
    let (create, logger) = (Address::repeat_byte(0xd5), Address::repeat_byte(0xd6));
    // Sends on, and then fails; and what calls that.
    let (undone, above) = (Address::repeat_byte(0xd7), Address::repeat_byte(0xd8));
    let state = json!({
        RICH.to_string(): { "balance": "0xffff" },
        reverter.to_string(): { "code": "0x5f5ffd" },
        forward.to_string(): { "code": forwarder(THIRD) },
        fail.to_string(): { "code": forwarder(reverter) },
        destroy.to_string(): { "code": format!("0x73{}ff", hex::encode(THIRD)), "balance": "0x5" },
        create.to_string(): { "code": "0x5f5f34f05000" },
        logger.to_string(): { "code": "0x5f5fa000" },
        undone.to_string(): { "code": forwarder(THIRD).replace("5000", "505f5ffd") },
        above.to_string(): { "code": forwarder(undone) },
    });
    let call = |to: Address, value: &str| json!({ "from": RICH, "to": to, "value": value });
    let list = json!([
        call(OTHER, "0x7"), call(OTHER, "0x0"), call(forward, "0x1"), call(fail, "0x1"), call(reverter, "0x1"),
        call(destroy, "0x0"), call(create, "0x2"), call(logger, "0x3"), { "from": RICH, "value": "0x4" },
        call(above, "0x1"),
    ]);
    let done = calls(&node.client, state.clone(), list.clone()).await;
    // But for coin, what is told is what is told unasked.
    let block = json!({ "stateOverrides": state, "calls": list });
    let quiet = simulate(&node.client, json!({ "blockStateCalls": [block] })).await;
    for (traced, plain) in done.iter().zip(quiet[0]["calls"].as_array().unwrap()) {
        let without_coin: Vec<_> = told(traced).into_iter().filter(|log| log.0 != COIN).collect();
        assert_eq!((without_coin, &traced["gasUsed"]), (told(plain), &plain["gasUsed"]));
    }
    assert_eq!(told(&done[0]), [log(RICH, OTHER)]);
    assert_eq!(done[0]["logs"][0]["data"], json!(B256::with_last_byte(7)));
    assert_eq!(told(&done[1]), []);
    assert_eq!(told(&done[2]), [log(RICH, forward), log(forward, THIRD)]);
    // The inner call failed: its coin stayed.
    assert_eq!(done[3]["status"], "0x1");
    assert_eq!(told(&done[3]), [log(RICH, fail)]);
    assert_eq!((told(&done[4]), &done[4]["status"]), (vec![], &json!("0x0")));
    assert_eq!(told(&done[5]), [log(destroy, THIRD)]);
    assert_eq!(told(&done[6]), [log(RICH, create), log(create, create.create(0))]);
    // In the order in which they happened, and counted through the block.
    assert_eq!(told(&done[7]), [log(RICH, logger), (logger, vec![])]);
    assert_eq!(told(&done[8]), [log(RICH, RICH.create(8))]);
    assert_eq!(told(&done[9]), [log(RICH, above)]);
    let indices: Vec<&Value> =
        done.iter().flat_map(|call| call["logs"].as_array().unwrap()).map(|log| &log["logIndex"]).collect();
    let counted: Vec<Value> = (0..indices.len()).map(|index| json!(format!("{index:#x}"))).collect();
    assert_eq!(indices, counted.iter().collect::<Vec<_>>());
    // Unasked, nothing of coin is told, and the bloom never knows of it.
    let block = json!({ "stateOverrides": state, "calls": [call(OTHER, "0x7"), call(logger, "0x1")] });
    let plain = simulate(&node.client, json!({ "blockStateCalls": [block] })).await;
    assert_eq!((told(&plain[0]["calls"][0]), told(&plain[0]["calls"][1])), (vec![], vec![(logger, vec![])]));
    let traced = simulate(&node.client, json!({ "blockStateCalls": [block], "traceTransfers": true })).await;
    assert_eq!(traced[0]["logsBloom"], plain[0]["logsBloom"]);
    assert_eq!(traced[0]["hash"], plain[0]["hash"]);
}

#[tokio::test]
async fn full_transactions_have_their_senders() {
    let node = Running::memory().await;
    let list = json!([
        { "from": RICH, "to": OTHER }, { "from": RICH, "to": OTHER, "gasPrice": "0x0" },
        { "from": RICH, "to": OTHER, "gasPrice": "0x0", "accessList": [] },
    ]);
    let payload = json!({ "blockStateCalls": [{ "calls": list }], "returnFullTransactions": true });
    let blocks = simulate(&node.client, payload).await;
    let told: Vec<(Value, Value, Value)> = blocks[0]["transactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|transaction| ["type", "from", "nonce"].map(|name| transaction[name].clone()).into())
        .collect();
    let want = |kind: &str, nonce: &str| (json!(kind), json!(RICH), json!(nonce));
    assert_eq!(told, [want("0x2", "0x0"), want("0x0", "0x1"), want("0x1", "0x2")]);
    let parsed: Block = serde_json::from_value(blocks[0].clone()).unwrap();
    assert!(parsed.transactions.txns().all(|transaction| transaction.inner.signer() == RICH));
}

/// What is simulated with validation is what then happens.
#[tokio::test]
async fn a_validated_simulation_foretells_the_block() {
    let node = Running::memory().await;
    let client = &node.client;
    let receipt = client.mine(&sign(deployment(0), 0)).await;
    let contract: Address = serde_json::from_value(receipt["contractAddress"].clone()).unwrap();
    client.rpc("evm_setAutomine", json!([false])).await;
    let inputs: [&[u8]; 4] = [&[], &[1, 2], &[], &[0; 40]];
    let call = |input: &[u8]| {
        json!({ "from": person(0), "to": contract, "input": Bytes::copy_from_slice(input), "gas": "0x186a0",
            "maxFeePerGas": "0x3b9aca00", "maxPriorityFeePerGas": "0x1" })
    };
    let block = json!({ "calls": inputs.map(call) });
    let foretold = simulate(client, json!({ "blockStateCalls": [block], "validation": true })).await;
    for (nonce, input) in (1..).zip(inputs) {
        client.send(&sign(message(nonce, contract, input), 0)).await;
    }
    client.rpc("evm_mine", json!([])).await;
    let mined = client.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
    for name in ["number", "baseFeePerGas", "gasUsed", "receiptsRoot", "logsBloom", "parentHash"] {
        assert_eq!(foretold[0][name], mined[name], "{name}");
    }
    let receipts = client.rpc("eth_getBlockReceipts", json!(["latest"])).await;
    for (call, receipt) in foretold[0]["calls"].as_array().unwrap().iter().zip(receipts.as_array().unwrap()) {
        for name in ["status", "gasUsed"] {
            assert_eq!(call[name], receipt[name], "{name}");
        }
        assert_eq!(call["logs"].as_array().unwrap().len(), receipt["logs"].as_array().unwrap().len());
    }
}

#[tokio::test]
async fn calls_that_cannot_be_in_a_block_have_their_codes() {
    let node = Running::memory().await;
    let client = &node.client;
    let state = json!({ RICH.to_string(): { "balance": "0xde0b6b3a7640000", "nonce": "0x5" } });
    let attempt = async |validation: bool, limit: &str, list: Value| {
        let block =
            json!({ "stateOverrides": state, "calls": list, "blockOverrides": { "gasLimit": limit } });
        refused(client, json!({ "blockStateCalls": [block], "validation": validation })).await
    };
    let priced = |extra: Value| {
        let mut call = json!({ "from": RICH, "to": OTHER, "maxFeePerGas": "0x3b9aca00" });
        call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        call
    };
    let most = "0x2faf080";
    assert_eq!(attempt(true, most, json!([priced(json!({ "nonce": "0x4" }))])).await, -38010);
    assert_eq!(attempt(true, most, json!([priced(json!({ "nonce": "0x6" }))])).await, -38011);
    assert_eq!(
        attempt(true, most, json!([{ "from": RICH, "to": OTHER, "maxFeePerGas": "0x1" }])).await,
        -38012
    );
    assert_eq!(attempt(false, most, json!([{ "from": RICH, "to": OTHER, "gas": "0x5207" }])).await, -38013);
    let poor = json!([{ "from": RICH, "to": OTHER, "value": "0xde0b6b3a7640001" }]);
    assert_eq!(attempt(false, most, poor).await, -38014);
    let overflow = json!([{ "from": RICH, "to": OTHER, "value": U256::MAX, "gasPrice": "0x1" }]);
    assert_eq!(attempt(false, most, overflow).await, -38014);
    let asking = json!([{ "from": RICH, "to": OTHER }, { "from": RICH, "to": OTHER, "gas": "0x5208" }]);
    assert_eq!(attempt(false, "0x7530", asking).await, -38015);
    let code = format!("0x{}", "00".repeat(49_153));
    assert_eq!(attempt(false, most, json!([{ "from": RICH, "input": code }])).await, -38025);
    let last = json!({ RICH.to_string(): { "balance": "0xde0b6b3a7640000", "nonce": "0xffffffffffffffff" } });
    let block = json!({ "stateOverrides": last, "calls": [priced(json!({}))] });
    assert_eq!(refused(client, json!({ "blockStateCalls": [block], "validation": true })).await, -38011);
    // A tip above the fee, a transaction of more gas than any may have.
    let tip = priced(json!({ "maxPriorityFeePerGas": "0x3b9aca01" }));
    assert_eq!(attempt(true, most, json!([tip])).await, -32000);
    assert_eq!(attempt(true, most, json!([priced(json!({ "gas": "0x1000001" }))])).await, -32000);
    // Without validation neither fee nor nonce is looked at.
    let free = json!([{ "from": RICH, "to": OTHER, "nonce": "0x4" }, { "from": RICH, "to": OTHER, "maxFeePerGas": "0x1" }]);
    let done = calls(client, state.clone(), free).await;
    assert!(done.iter().all(|call| call["status"] == "0x1"));
}

#[tokio::test]
async fn blocks_in_disorder_are_refused() {
    let node = Running::memory().await;
    let client = &node.client;
    let blocks = async |list: Value| refused(client, json!({ "blockStateCalls": list })).await;
    let at = |number: u64| json!({ "blockOverrides": { "number": format!("{number:#x}") } });
    let head = client.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(blocks(json!([at(0)])).await, -38020);
    assert_eq!(blocks(json!([at(5), at(5)])).await, -38020);
    assert_eq!(blocks(json!([at(5), at(4)])).await, -38020);
    let time = |time: &Value| json!({ "blockOverrides": { "time": time } });
    assert_eq!(blocks(json!([time(&head["timestamp"])])).await, -38021);
    assert_eq!(blocks(json!([time(&json!("0x7fffffff")), time(&json!("0x7ffffffe"))])).await, -38021);
    // The end of time and of numbers is no way out.
    assert_eq!(blocks(json!([time(&json!("0xffffffffffffffff")), {}])).await, -38021);
    assert_eq!(blocks(json!([{ "blockOverrides": { "number": U256::MAX } }])).await, -38026);
}

#[tokio::test]
async fn simulations_are_bounded() {
    let node = Running::memory().await;
    let client = &node.client;
    assert_eq!(refused(client, json!({ "blockStateCalls": [] })).await, -32602);
    assert_eq!(refused(client, json!({ "blockStateCalls": vec![json!({}); 257] })).await, -38026);
    assert_eq!(
        refused(client, json!({ "blockStateCalls": [{ "blockOverrides": { "number": "0x101" } }] })).await,
        -38026
    );
    let full =
        simulate(client, json!({ "blockStateCalls": [{ "blockOverrides": { "number": "0x100" } }] })).await;
    assert_eq!(full.len(), 256);
    let many =
        |count: usize| json!({ "blockStateCalls": [{ "calls": vec![json!({ "to": OTHER }); count] }] });
    assert_eq!(refused(client, many(1001)).await, -38026);
    assert_eq!(simulate(client, many(1000)).await[0]["calls"].as_array().unwrap().len(), 1000);
    // Loops without end share the gas of one call, also over blocks.
    let state = json!({ OTHER.to_string(): { "code": "0x5b5f56" } });
    let call = json!({ "to": OTHER, "gas": "0x1312d00" });
    let blocks = json!([{ "stateOverrides": state, "calls": [call, call] }, { "calls": [call] }]);
    let done = simulate(client, json!({ "blockStateCalls": blocks })).await;
    let used = |block: usize, call: usize| done[block]["calls"][call]["gasUsed"].clone();
    assert_eq!(
        [used(0, 0), used(0, 1), used(1, 0)],
        [json!("0x1312d00"), json!("0x1312d00"), json!("0x989680")]
    );
    assert_eq!(
        done[1]["calls"][0]["error"],
        json!({ "code": -32015, "message": "vm execution error: out of gas" })
    );
    let blocks = json!([{ "stateOverrides": state, "calls": [call, call, call, call] }]);
    assert_eq!(refused(client, json!({ "blockStateCalls": blocks })).await, -38013);
}

#[tokio::test]
async fn logs_of_a_simulation_are_bounded() {
    let mut config = config(None);
    config.rpc.log_results_max = 100;
    let node = Running::start(config).await;
    // Logs as long as there are 65535 gas.
    let state = json!({ OTHER.to_string(): { "code": "0x5b5f5fa05a61ffff105f5700" } });
    let payload = |gas: &str| {
        let call = json!({ "to": OTHER, "gas": gas });
        json!({ "blockStateCalls": [{ "stateOverrides": state, "calls": [call, call] }] })
    };
    let done = simulate(&node.client, payload("0x18000")).await;
    let logs = done[0]["calls"][1]["logs"].as_array().unwrap().len();
    assert!(logs > 20 && logs <= 50, "{logs}");
    assert_eq!(refused(&node.client, payload("0x20000")).await, -38026);
}

#[tokio::test]
async fn what_is_not_supported_is_refused() {
    let node = Running::memory().await;
    let client = &node.client;
    let over = |what: Value| json!({ "blockStateCalls": [{ "blockOverrides": what }] });
    let withdrawal = json!({ "index": "0x0", "validatorIndex": "0x0", "address": OTHER, "amount": "0x1" });
    for what in [
        json!({ "withdrawals": [withdrawal] }),
        json!({ "beaconRoot": B256::repeat_byte(1) }),
        json!({ "difficulty": "0x1" }),
        json!({ "blockHash": { "1": B256::ZERO } }),
    ] {
        assert_eq!(refused(client, over(what.clone())).await, -32602, "{what}");
    }
    simulate(client, over(json!({ "withdrawals": [] }))).await;
    for call in [
        json!({ "from": RICH, "to": OTHER, "blobVersionedHashes": [B256::repeat_byte(1)], "maxFeePerBlobGas": "0x1" }),
        json!({ "chainId": "0x1" }),
        json!({ "input": "0x01", "data": "0x02" }),
        json!({ "gasPrice": "0x1", "maxFeePerGas": "0x1" }),
        json!({ "gasPrice": "0x1", "to": OTHER, "authorizationList": [] }),
        json!({ "authorizationList": [] }),
    ] {
        let code = refused(client, json!({ "blockStateCalls": [{ "calls": [call] }] })).await;
        assert_eq!(code, -32602, "{call}");
    }
    let payload = json!({ "blockStateCalls": [{}] });
    assert_eq!(client.error("eth_simulateV1", json!([payload, "0x9"])).await.0, -32001);
    assert_eq!(client.error("eth_call", json!([{}, "latest", {}, { "blobBaseFee": "0x1" }])).await.0, -32602);
}

#[tokio::test]
async fn precompiles_move_for_one_block_or_call() {
    let node = Running::memory().await;
    let client = &node.client;
    let sha = |input: &str| json!({ "to": SHA256, "input": input });
    let moved = json!({ SHA256.to_string(): { "movePrecompileToAddress": OTHER } });
    let there = json!({ "to": OTHER, "input": "0x01" });
    let blocks = json!([{ "stateOverrides": moved, "calls": [sha("0x01"), there] }, { "calls": [sha("0x01"), there] }]);
    let blocks = simulate(client, json!({ "blockStateCalls": blocks })).await;
    let returned = |block: usize, call: usize| blocks[block]["calls"][call]["returnData"].clone();
    let digest = json!("0x4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a");
    assert_eq!([returned(0, 0), returned(0, 1)], [json!("0x"), digest.clone()]);
    assert_eq!([returned(1, 0), returned(1, 1)], [digest.clone(), json!("0x")]);
    assert_eq!(client.rpc("eth_call", json!([there, "latest", moved])).await, digest);
    // Code takes a precompile's place, also once the precompile has moved.
    let replaced =
        json!({ SHA256.to_string(): { "code": "0x60075f5260205ff3", "movePrecompileToAddress": OTHER } });
    assert_eq!(
        client.rpc("eth_call", json!([sha("0x01"), "latest", replaced])).await,
        json!(B256::with_last_byte(7))
    );
    assert_eq!(client.rpc("eth_call", json!([there, "latest", replaced])).await, digest);
    let state = async |state: Value| {
        refused(client, json!({ "blockStateCalls": [{ "stateOverrides": state }] })).await
    };
    let to = |target: Address| json!({ "movePrecompileToAddress": target });
    assert_eq!(state(json!({ SHA256.to_string(): to(SHA256) })).await, -38022);
    assert_eq!(
        state(json!({ SHA256.to_string(): to(OTHER), ECRECOVER.to_string(): to(OTHER) })).await,
        -38023
    );
    assert_eq!(state(json!({ RICH.to_string(): to(OTHER) })).await, -32000);
    assert_eq!(
        state(json!({ SHA256.to_string(): to(OTHER), OTHER.to_string(): { "nonce": "0x1" } })).await,
        -32000
    );
    assert_eq!(state(json!({ OTHER.to_string(): { "code": "0xef0100" } })).await, -32000);
}

#[tokio::test]
async fn overrides_reach_the_blocks_after_them() {
    let node = Running::memory().await;
    // Returns slot 0.
    let reader = json!({ OTHER.to_string(): { "code": "0x5f545f5260205ff3", "state": { B256::ZERO.to_string(): B256::with_last_byte(5) } } });
    // Adds one to slot 0.
    let counter = json!({ OTHER.to_string(): { "code": "0x5f546001015f5500" } });
    let empty = json!({ OTHER.to_string(): { "code": "0x5f545f5260205ff3", "state": {} } });
    let back = json!({ OTHER.to_string(): { "code": "0x5f545f5260205ff3" } });
    let call = json!([{ "to": OTHER }]);
    let blocks = json!([
        { "stateOverrides": reader, "calls": call }, { "stateOverrides": counter, "calls": call },
        { "stateOverrides": back, "calls": call }, { "stateOverrides": empty, "calls": call }, { "calls": call },
    ]);
    let blocks = simulate(&node.client, json!({ "blockStateCalls": blocks })).await;
    let returned: Vec<&Value> = blocks.iter().map(|block| &block["calls"][0]["returnData"]).collect();
    let word = |value: u8| json!(B256::with_last_byte(value));
    assert_eq!(returned, [&word(5), &json!("0x"), &word(6), &word(0), &word(0)]);
}
