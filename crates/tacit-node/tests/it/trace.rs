//! What a call or a transaction did inside.

use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};

use crate::support::{Running, address, deployment, hash_of, message, sign, transfer};

/// A node with the contract of [`deployment`].
async fn with_contract() -> (Running, Address) {
    let node = Running::memory().await;
    let receipt = node.client.mine(&sign(deployment(0), 0)).await;
    let contract = serde_json::from_value(receipt["contractAddress"].clone()).unwrap();
    (node, contract)
}

#[tokio::test]
async fn an_access_list_names_what_a_message_touches() {
    let (node, contract) = with_contract().await;
    let request = json!({ "from": address(0), "to": contract });
    let answer = node.client.rpc("eth_createAccessList", json!([request])).await;
    assert_eq!(answer["accessList"], json!([{ "address": contract, "storageKeys": [B256::ZERO] }]));
    assert!(answer.get("error").is_none());
    // The gas is what the message uses with that list.
    let listed = json!({ "from": address(0), "to": contract, "accessList": answer["accessList"] });
    let again = node.client.rpc("eth_createAccessList", json!([listed])).await;
    assert_eq!(again, answer);
    let used: U256 = serde_json::from_value(answer["gasUsed"].clone()).unwrap();
    let estimate: U256 =
        serde_json::from_value(node.client.rpc("eth_estimateGas", json!([listed])).await).unwrap();
    assert!(estimate >= used && estimate < used + used / U256::from(10), "{estimate} {used}");
    // A transfer touches nothing that could be listed; a message that fails says so.
    let plain = json!({ "from": address(0), "to": address(1), "value": "0x1" });
    assert_eq!(node.client.rpc("eth_createAccessList", json!([plain])).await["accessList"], json!([]));
    let failing = json!({ "from": address(0), "to": contract, "data": "0x01" });
    let failed = node.client.rpc("eth_createAccessList", json!([failing])).await;
    assert_eq!(failed["error"], "execution reverted");
}

#[tokio::test]
async fn a_transaction_is_traced_as_it_was_mined() {
    let (node, contract) = with_contract().await;
    let client = &node.client;
    let calls = json!({ "tracer": "callTracer", "tracerConfig": { "withLog": true } });
    for (nonce, input, error) in [(1, &[][..], None), (2, &[7, 8][..], Some("execution reverted"))] {
        let raw = sign(message(nonce, contract, input), 0);
        let receipt = client.mine(&raw).await;
        let trace = client.rpc("debug_traceTransaction", json!([hash_of(&raw), calls])).await;
        assert_eq!(
            (&trace["type"], &trace["to"], &trace["from"]),
            (&json!("CALL"), &json!(contract), &json!(address(0)))
        );
        assert_eq!(trace["gasUsed"], receipt["gasUsed"]);
        assert_eq!(trace.get("error").and_then(Value::as_str), error);
        match error {
            None => {
                assert_eq!(trace["output"], json!(B256::with_last_byte(7)));
                assert_eq!(trace["logs"][0]["topics"], json!([B256::with_last_byte(0x2a)]));
            }
            Some(_) => assert_eq!(trace["output"], "0x0708"),
        }
        let steps = client.rpc("debug_traceTransaction", json!([hash_of(&raw)])).await;
        assert_eq!(
            steps["gas"],
            u64::from_str_radix(&receipt["gasUsed"].as_str().unwrap()[2..], 16).unwrap()
        );
        assert_eq!(steps["failed"], error.is_some());
        let opcodes: Vec<&str> =
            steps["structLogs"].as_array().unwrap().iter().map(|step| step["op"].as_str().unwrap()).collect();
        assert_eq!(opcodes[..2], ["CALLDATASIZE", "PUSH1"]);
        assert_eq!(opcodes.last(), Some(if error.is_some() { &"REVERT" } else { &"RETURN" }));
    }
    // A creation, and what came before the first block.
    let creation = client.rpc("eth_getBlockByNumber", json!(["0x1", false])).await["transactions"][0].clone();
    let trace = client.rpc("debug_traceTransaction", json!([creation, calls])).await;
    assert_eq!((&trace["type"], &trace["to"]), (&json!("CREATE"), &json!(contract)));
    assert_eq!(client.error("debug_traceBlockByNumber", json!(["0x0"])).await.0, -32000);
}

/// The state that each transaction of a block saw is that which those before it left.
#[tokio::test]
async fn a_block_is_traced_in_one_go() {
    let (node, contract) = with_contract().await;
    let client = &node.client;
    client.rpc("evm_setAutomine", json!([false])).await;
    let raws: Vec<String> = (1..5).map(|nonce| sign(message(nonce, contract, &[]), 0)).collect();
    for raw in &raws {
        client.send(raw).await;
    }
    client.rpc("evm_mine", json!([])).await;
    let block = client.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(block["transactions"].as_array().unwrap().len(), 4);
    let options = json!({ "tracer": "callTracer" });
    let traces = client.rpc("debug_traceBlockByHash", json!([block["hash"], options])).await;
    for (index, raw) in raws.iter().enumerate() {
        let receipt = client.rpc("eth_getTransactionReceipt", json!([hash_of(raw)])).await;
        let trace = &traces[index];
        assert_eq!(
            (&trace["txHash"], &trace["result"]["gasUsed"]),
            (&json!(hash_of(raw)), &receipt["gasUsed"])
        );
        assert_eq!(
            client.rpc("debug_traceTransaction", json!([hash_of(raw), options])).await,
            trace["result"]
        );
    }
    // The first found the slot empty, and paid for it.
    assert_ne!(traces[0]["result"]["gasUsed"], traces[1]["result"]["gasUsed"]);
    assert_eq!(client.rpc("debug_traceBlockByNumber", json!(["latest", options])).await, traces);
}

#[tokio::test]
async fn a_call_is_traced_with_what_it_is_to_assume() {
    let node = Running::memory().await;
    let target = address(8);
    let request = json!({ "to": target, "data": "0x" });
    // ADDRESS BALANCE PUSH0 MSTORE PUSH1 32 PUSH0 RETURN
    let overrides = json!({ target.to_string(): { "code": "0x30315f5260205ff3", "balance": "0x5" } });
    let options = json!({ "tracer": "callTracer", "stateOverrides": overrides });
    let trace = node.client.rpc("debug_traceCall", json!([request, "latest", options])).await;
    assert_eq!(trace["output"], json!(B256::with_last_byte(5)));
    let steps =
        node.client.rpc("debug_traceCall", json!([request, "latest", { "stateOverrides": overrides }])).await;
    assert_eq!(steps["structLogs"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn traces_are_bounded_and_what_is_unknown_is_refused() {
    let node = Running::memory().await;
    let client = &node.client;
    let raw = sign(transfer(0), 0);
    client.mine(&raw).await;
    assert_eq!(client.error("debug_traceTransaction", json!([B256::ZERO])).await.0, -32001);
    assert_eq!(client.error("debug_traceBlockByNumber", json!(["0x99"])).await.0, -32001);
    for tracer in ["prestateTracer", "{ step: function() {} }"] {
        let refused =
            client.error("debug_traceTransaction", json!([hash_of(&raw), { "tracer": tracer }])).await;
        assert_eq!(refused.0, -32004, "{tracer}: {refused:?}");
    }
    let target = address(8);
    let call = async |code: &str, options: Value| {
        let mut options = options;
        options["stateOverrides"] = json!({ target.to_string(): { "code": code } });
        client.error("debug_traceCall", json!([{ "to": target, "gas": "0xf00000" }, "latest", options])).await
    };
    // JUMPDEST PUSH0 JUMP: steps without end.
    let refused = call("0x5b5f56", json!({})).await;
    assert_eq!(refused.0, -32005, "{refused:?}");
    // Calls of the identity precompile with 100 kB, again and again.
    let copies = "0x5b5f5f620186a05f5f6004620f4240f1505f56";
    assert_eq!(call(copies, json!({ "tracer": "callTracer" })).await.0, -32005);
    // The node goes on.
    assert_eq!(client.number("eth_blockNumber", json!([])).await, 1);
}
