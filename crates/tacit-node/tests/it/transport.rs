//! HTTP, batches, limits and malformed requests.

use serde_json::{Value, json};

use crate::support::{Running, address, config, sign, transfer};

async fn answer(node: &Running, body: impl Into<reqwest::Body>) -> Value {
    let (status, text) = node.client.post(body).await.unwrap();
    assert_eq!(status, 200);
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn batches_are_answered_in_order() {
    let node = Running::memory().await;
    let request = |id: u64, method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    let batch = json!([
        request(5, "eth_sendRawTransaction", json!([sign(transfer(0), 0)])),
        request(4, "eth_sendRawTransaction", json!([sign(transfer(1), 0)])),
        request(3, "eth_getTransactionCount", json!([address(0), "latest"])),
        { "jsonrpc": "2.0", "method": "eth_chainId" },
        7,
        request(2, "eth_sendRawTransaction", json!([sign(transfer(2), 0)])),
        request(1, "eth_blockNumber", json!([])),
    ]);
    let answers = answer(&node, batch.to_string()).await;
    let ids: Vec<Value> = answers.as_array().unwrap().iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!(5), json!(4), json!(3), Value::Null, json!(2), json!(1)]);
    assert_eq!(answers[2]["result"], "0x2", "a read after sends sees them");
    assert_eq!(answers[3]["error"]["code"], -32600);
    let height = answers[5]["result"].as_str().unwrap();
    assert!(
        ["0x2", "0x3"].contains(&height),
        "the first two share a block unless the writer was quicker: {height}"
    );
}

#[tokio::test]
async fn a_burst_shares_blocks() {
    let node = Running::memory().await;
    let batch: Vec<Value> = (0..200)
        .map(|nonce| json!({ "jsonrpc": "2.0", "id": nonce, "method": "eth_sendRawTransaction", "params": [sign(transfer(nonce), 0)] }))
        .collect();
    let answers = answer(&node, Value::from(batch).to_string()).await;
    assert!(answers.as_array().unwrap().iter().all(|answer| answer["result"].is_string()));
    assert_eq!(node.client.number("eth_getTransactionCount", json!([address(0), "latest"])).await, 200);
    assert!(node.client.number("eth_blockNumber", json!([])).await < 200);
}

#[tokio::test]
async fn notifications_get_no_answer() {
    let node = Running::memory().await;
    let (status, text) = node.client.post(r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#).await.unwrap();
    assert_eq!((status, text.as_str()), (200, ""));
}

#[tokio::test]
async fn malformed_bodies_are_told_so() {
    let node = Running::memory().await;
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("[]", -32600),
        ("1", -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[1]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_nothing"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"evm_nothing"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getProof","params":[]}"#, -32004),
    ] {
        assert_eq!(answer(&node, body).await["error"]["code"], code, "{body}");
    }
}

#[tokio::test]
async fn malformed_parameters_are_told_so() {
    let node = Running::memory().await;
    let one = address(1);
    for (method, params) in [
        ("eth_getBalance", json!([])),
        ("eth_getBalance", json!(["0x12"])),
        ("eth_getBalance", json!([one, "0x01"])),
        ("eth_getBalance", json!([one, "soon"])),
        ("eth_getBalance", json!([one, "latest", 1])),
        ("eth_getBalance", json!([one, { "blockNumber": "0x0", "blockHash": "0x0" }])),
        ("eth_getStorageAt", json!([one, "0", "latest"])),
        ("eth_getStorageAt", json!([one, format!("0x{}", "1".repeat(65)), "latest"])),
        ("eth_getBlockByNumber", json!(["latest", "yes"])),
        ("eth_getBlockByHash", json!(["0x1", false])),
        ("eth_sendRawTransaction", json!(["0x0"])),
        ("eth_sendRawTransaction", json!(["zz"])),
        ("eth_call", json!([{ "to": "0x1" }])),
        ("eth_call", json!([{ "to": one, "data": "0x01", "input": "0x02" }])),
        ("eth_call", json!([{ "to": one, "gasPrice": "0x1", "maxFeePerGas": "0x1" }])),
        ("eth_call", json!([{ "to": one, "chainId": "0x1" }])),
        ("eth_call", json!([{ "to": one }, "latest", { one.to_string(): { "state": {}, "stateDiff": {} } }])),
        ("eth_getLogs", json!([{ "fromBlock": "0x0", "blockHash": format!("0x{}", "0".repeat(64)) }])),
        ("eth_feeHistory", json!(["0x1", "latest", [101]])),
        ("evm_increaseTime", json!([-1])),
        ("evm_mine", json!([{ "blocks": 1_000_000 }])),
    ] {
        let (code, said) = node.client.error(method, params.clone()).await;
        assert_eq!(code, -32602, "{method} {params}: {said}");
    }
}

#[tokio::test]
async fn bodies_and_batches_are_bounded() {
    let mut config = config(None);
    config.rpc.body_bytes_max = 10_000;
    config.rpc.batch_requests_max = 3;
    let node = Running::start(config).await;
    let (status, text) = node.client.post(vec![b' '; 10_001]).await.unwrap();
    assert_eq!(status, 413);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["error"]["code"], -32600);
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" });
    let answers = answer(&node, Value::from(vec![request.clone(); 4]).to_string()).await;
    assert_eq!(answers["error"]["code"], -32600);
    assert_eq!(answer(&node, Value::from(vec![request; 3]).to_string()).await.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn answers_are_bounded() {
    let mut config = config(None);
    config.rpc.response_bytes_max = 5000;
    let node = Running::start(config).await;
    let request =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", true] });
    let answers = answer(&node, Value::from(vec![request; 100]).to_string()).await;
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 100);
    assert!(answers[0]["result"].is_object());
    assert_eq!(answers[99]["error"]["code"], -32002);
}

#[tokio::test]
async fn log_queries_are_bounded() {
    let mut config = config(None);
    config.rpc.log_blocks_max = 2;
    let node = Running::start(config).await;
    node.client.rpc("evm_mine", json!([{ "blocks": 3 }])).await;
    let (code, _) = node.client.error("eth_getLogs", json!([{ "fromBlock": "0x0" }])).await;
    assert_eq!(code, -32005);
    node.client.rpc("eth_getLogs", json!([{ "fromBlock": "0x0", "address": address(0) }])).await;
}

#[tokio::test]
async fn web_pages_may_ask() {
    let node = Running::memory().await;
    let preflight =
        node.client.http.request(reqwest::Method::OPTIONS, &node.client.url).send().await.unwrap();
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    let get = node.client.http.get(&node.client.url).send().await.unwrap();
    assert_eq!(get.status(), 405);
}

const METHODS: [&str; 55] = [
    "eth_chainId",
    "net_version",
    "web3_sha3",
    "eth_blockNumber",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getBlockReceipts",
    "eth_getBlockTransactionCountByNumber",
    "eth_getUncleCountByBlockHash",
    "eth_getUncleByBlockNumberAndIndex",
    "eth_getTransactionByHash",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionReceipt",
    "eth_getRawTransactionByHash",
    "eth_getBalance",
    "eth_getTransactionCount",
    "eth_getCode",
    "eth_getStorageAt",
    "eth_getProof",
    "eth_call",
    "eth_estimateGas",
    "eth_simulateV1",
    "eth_createAccessList",
    "eth_getStorageValues",
    "eth_capabilities",
    "eth_baseFee",
    "debug_traceCall",
    "debug_getRawHeader",
    "debug_getRawBlock",
    "debug_getRawReceipts",
    "debug_getRawTransaction",
    "txpool_content",
    "txpool_contentFrom",
    "txpool_inspect",
    "eth_gasPrice",
    "eth_maxPriorityFeePerGas",
    "eth_feeHistory",
    "eth_getLogs",
    "eth_newFilter",
    "eth_newBlockFilter",
    "eth_newPendingTransactionFilter",
    "eth_getFilterChanges",
    "eth_getFilterLogs",
    "eth_uninstallFilter",
    "txpool_status",
    "eth_sendRawTransaction",
    "eth_sendRawTransactionSync",
    "evm_mine",
    "evm_increaseTime",
    "evm_setNextBlockTimestamp",
    "evm_setAutomine",
    "evm_snapshot",
    "evm_revert",
    "anvil_mine",
    "eth_nothing",
];

/// Values that some method takes, and values that none does.
fn values() -> Vec<Value> {
    let one = address(1);
    let hash = format!("0x{}", "07".repeat(32));
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        serde_json::from_str("123456789012345678901234567890123456789012345678901234567890").unwrap(),
        json!("latest"),
        json!("pending"),
        json!("earliest"),
        json!(""),
        json!("0x"),
        json!("0x0"),
        json!("0x1"),
        json!("0xffffffffffffffff"),
        json!(one),
        json!(hash),
        json!([]),
        json!([0, 50.5, 100]),
        json!({}),
        json!({ "to": one }),
        json!({ "data": "0x5b600056" }),
        json!({ "from": one, "to": one, "value": "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" }),
        json!({ "to": one, "gas": "0xffffffffffffffff", "gasPrice": "0xffffffffffffffffffffffffffffffff" }),
        json!({ "to": null, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x0", "gas": "0x0" }),
        json!({ "fromBlock": "0x0", "toBlock": "latest" }),
        json!({ "fromBlock": "0xffffffffffffffff", "topics": [null, [hash]] }),
        json!({ "blockHash": hash }),
        json!({ "blockNumber": "0x0" }),
        json!({ "timestamp": 1, "blocks": 2 }),
        json!({ one.to_string(): { "code": "0xef01", "nonce": "0xffffffffffffffff" } }),
        json!({ one.to_string(): { "code": "0x5b5f56", "state": {} } }),
        json!({ "number": "0xffffffffffffffffffff", "time": "0x0", "baseFee": "0x0" }),
        json!({ "blockStateCalls": [{ "calls": [{ "from": one, "value": "0x1" }] }], "traceTransfers": true }),
        json!({ "blockStateCalls": [{ "blockOverrides": { "time": "0xffffffffffffffff" } }, {}] }),
        json!({ "blockStateCalls": 1 }),
        deep,
    ]
}

#[tokio::test]
async fn no_parameters_break_a_method() {
    let mut config = config(None);
    config.rpc.response_bytes_max = usize::MAX;
    let node = Running::start(config).await;
    let values = values();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % below
    };
    for _ in 0..8 {
        let mut batch = Vec::new();
        for id in 0..900 {
            let method = METHODS[draw(METHODS.len())];
            let params: Vec<Value> = (0..draw(5)).map(|_| values[draw(values.len())].clone()).collect();
            batch.push(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        }
        let answers = answer(&node, Value::from(batch.clone()).to_string()).await;
        let answers = answers.as_array().unwrap();
        assert_eq!(answers.len(), batch.len());
        for (request, answer) in batch.iter().zip(answers) {
            assert_eq!(request["id"], answer["id"]);
            let broken = answer["error"]["code"] == -32603 || answer["error"]["code"] == -32700;
            assert!(!broken, "{request}: {answer}");
        }
    }
}
