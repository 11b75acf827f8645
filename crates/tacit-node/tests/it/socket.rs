//! WebSocket: the same methods, and what is told without being asked.

use std::time::Duration;

use alloy_primitives::{Address, B256};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tacit_node::NodeConfig;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, http::StatusCode},
};

use crate::support::{Client, Running, address, config, deployment, hash_of, message, sign, transfer};

struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Told while an answer was waited for.
    told: Vec<Value>,
    id: u64,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Socket {
    async fn try_connect(client: &Client) -> Result<Self, Error> {
        let (stream, _) = connect_async(client.url.replace("http://", "ws://")).await?;
        Ok(Self { stream, told: Vec::new(), id: 0 })
    }

    async fn connect(client: &Client) -> Self {
        Self::try_connect(client).await.unwrap()
    }

    async fn send(&mut self, text: impl Into<String>) {
        self.stream.send(Message::text(text.into())).await.unwrap();
    }

    /// The next message with text; none when the connection ended.
    async fn read(&mut self) -> Option<Value> {
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("a message in time")? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn answer(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let id = self.id;
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string())
            .await;
        loop {
            let message = self.read().await.expect("an answer");
            if message["id"] == id {
                return message;
            }
            self.told.push(message);
        }
    }

    async fn rpc(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// What a subscription tells next.
    async fn next(&mut self, id: &Value) -> Value {
        let wanted = |message: &Value| message["params"]["subscription"] == *id;
        let message = match self.told.iter().position(wanted) {
            Some(at) => self.told.remove(at),
            None => loop {
                let message = self.read().await.expect("a notification");
                if wanted(&message) {
                    break message;
                }
                self.told.push(message);
            },
        };
        assert_eq!((&message["jsonrpc"], &message["method"]), (&json!("2.0"), &json!("eth_subscription")));
        message["params"]["result"].clone()
    }
}

#[tokio::test]
async fn a_connection_answers_as_http_does() {
    let node = Running::memory().await;
    let mut socket = Socket::connect(&node.client).await;
    let raw = sign(transfer(0), 0);
    assert_eq!(socket.rpc("eth_sendRawTransaction", json!([raw])).await, json!(hash_of(&raw)));
    for (method, params) in [
        ("eth_getTransactionReceipt", json!([hash_of(&raw)])),
        ("eth_getBlockByNumber", json!(["latest", true])),
        ("eth_chainId", json!([])),
    ] {
        assert_eq!(socket.rpc(method, params.clone()).await, node.client.rpc(method, params).await);
    }
    for (body, code) in
        [("{", -32700), ("[]", -32600), (r#"{"jsonrpc":"2.0","id":1,"method":"eth_nothing"}"#, -32601)]
    {
        socket.send(body).await;
        assert_eq!(socket.read().await.unwrap()["error"]["code"], code);
    }
    socket
        .stream
        .send(Message::binary(r#"{"jsonrpc":"2.0","id":"b","method":"eth_chainId"}"#))
        .await
        .unwrap();
    assert_eq!(socket.read().await.unwrap()["id"], "b");
    socket.send(r#"[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},{"jsonrpc":"2.0","id":2,"method":"eth_chainId"}]"#).await;
    let answers = socket.read().await.unwrap();
    assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn every_block_is_told_once_in_order() {
    let node = Running::memory().await;
    let mut socket = Socket::connect(&node.client).await;
    node.client.mine(&sign(transfer(0), 0)).await;
    let heads = socket.rpc("eth_subscribe", json!(["newHeads"])).await;
    for nonce in 1..8 {
        node.client.send(&sign(transfer(nonce), 0)).await;
    }
    for height in 2..9_u64 {
        let head = socket.next(&heads).await;
        assert_eq!(head["number"], format!("0x{height:x}"));
        let block = node.client.rpc("eth_getBlockByNumber", json!([head["number"], false])).await;
        for member in
            ["hash", "parentHash", "stateRoot", "timestamp", "gasUsed", "logsBloom", "baseFeePerGas"]
        {
            assert_eq!(head[member], block[member], "{member}");
        }
        assert!(head.get("transactions").is_none());
    }
    // Back to a snapshot: the heights that come again are told again.
    let snapshot = node.client.rpc("evm_snapshot", json!([])).await;
    node.client.rpc("evm_mine", json!([])).await;
    assert_eq!(socket.next(&heads).await["number"], "0x9");
    node.client.rpc("evm_revert", json!([snapshot])).await;
    node.client.rpc("evm_mine", json!([])).await;
    assert_eq!(socket.next(&heads).await["number"], "0x9");

    assert_eq!(socket.rpc("eth_unsubscribe", json!([heads])).await, true);
    assert_eq!(socket.rpc("eth_unsubscribe", json!([heads])).await, false);
    node.client.rpc("evm_mine", json!([])).await;
    socket.rpc("eth_chainId", json!([])).await;
    assert!(socket.told.is_empty(), "{:?}", socket.told);
}

#[tokio::test]
async fn logs_are_told_to_whoever_wants_them() {
    let node = Running::memory().await;
    let contract: Address =
        serde_json::from_value(node.client.mine(&sign(deployment(0), 0)).await["contractAddress"].clone())
            .unwrap();
    let topic = B256::with_last_byte(0x2a);
    let mut socket = Socket::connect(&node.client).await;
    let mut ids = Vec::new();
    for filter in [
        Value::Null,
        json!({}),
        json!({ "address": contract }),
        json!({ "topics": [[topic, B256::ZERO]] }),
        // The range says nothing about what is new.
        json!({ "address": [contract], "topics": [topic], "fromBlock": "0x0", "toBlock": "0x1" }),
    ] {
        ids.push(socket.rpc("eth_subscribe", json!(["logs", filter])).await);
    }
    let nothing = socket.rpc("eth_subscribe", json!(["logs", { "address": address(3) }])).await;
    for nonce in 1..3 {
        node.client.mine(&sign(message(nonce, contract, &[]), 0)).await;
    }
    let expected = node.client.rpc("eth_getLogs", json!([{ "fromBlock": "0x0", "address": contract }])).await;
    for id in &ids {
        for log in expected.as_array().unwrap() {
            assert_eq!(socket.next(id).await, *log);
        }
    }
    assert!(socket.told.iter().all(|told| told["params"]["subscription"] != nothing));
}

#[tokio::test]
async fn transactions_are_told_when_the_pool_takes_them() {
    let node = Running::memory().await;
    let mut socket = Socket::connect(&node.client).await;
    let hashes = socket.rpc("eth_subscribe", json!(["newPendingTransactions"])).await;
    let whole = socket.rpc("eth_subscribe", json!(["newPendingTransactions", true])).await;
    // It waits behind a gap, so that it is still there to be shown.
    let waiting = sign(transfer(1), 0);
    let mut sender = Socket::connect(&node.client).await;
    node.client.send(&waiting).await;
    assert_eq!(socket.next(&hashes).await, json!(hash_of(&waiting)));
    let shown = socket.next(&whole).await;
    assert_eq!((&shown["hash"], &shown["blockHash"]), (&json!(hash_of(&waiting)), &Value::Null));
    let first = sign(transfer(0), 0);
    sender.rpc("eth_sendRawTransaction", json!([first])).await;
    assert_eq!(socket.next(&hashes).await, json!(hash_of(&first)));
}

/// A connection used to keep every transaction that came while nobody had subscribed, and told them all to the first subscription: viem heard, as
/// pending, what it had itself sent and seen mined before it asked.
#[tokio::test]
async fn a_subscription_to_transactions_begins_when_it_is_asked_for() {
    let node = Running::memory().await;
    let mut socket = Socket::connect(&node.client).await;
    socket.rpc("eth_chainId", json!([])).await;
    for nonce in 0..3 {
        node.client.mine(&sign(transfer(nonce), 0)).await;
    }
    let first = socket.rpc("eth_subscribe", json!(["newPendingTransactions"])).await;
    let raw = sign(transfer(3), 0);
    node.client.mine(&raw).await;
    assert_eq!(socket.next(&first).await, json!(hash_of(&raw)));
    // The same after an interval without.
    assert_eq!(socket.rpc("eth_unsubscribe", json!([first])).await, true);
    node.client.mine(&sign(transfer(4), 0)).await;
    let second = socket.rpc("eth_subscribe", json!(["newPendingTransactions"])).await;
    let raw = sign(transfer(5), 0);
    node.client.mine(&raw).await;
    assert_eq!(socket.next(&second).await, json!(hash_of(&raw)));
    assert!(socket.told.is_empty(), "{:?}", socket.told);
}

#[tokio::test]
async fn what_is_too_much_or_unknown_is_refused() {
    let mut limits = NodeConfig::dev([]);
    limits.rpc.sockets_max = 2;
    limits.rpc.socket_subscriptions_max = 3;
    limits.rpc.socket_bytes_max = 10_000;
    let node = Running::start(limits).await;
    let mut socket = Socket::connect(&node.client).await;
    for params in [json!([]), json!(["newMoons"]), json!(["newHeads", 1]), json!(["logs", 7]), json!([7])] {
        let answer = socket.answer("eth_subscribe", params.clone()).await;
        assert_eq!(answer["error"]["code"], -32602, "{params}: {answer}");
    }
    assert_eq!(socket.answer("eth_unsubscribe", json!(["x"])).await["error"]["code"], -32602);
    for _ in 0..3 {
        socket.rpc("eth_subscribe", json!(["newHeads"])).await;
    }
    assert_eq!(socket.answer("eth_subscribe", json!(["newHeads"])).await["error"]["code"], -32005);
    // Not over HTTP, and not in a batch.
    assert_eq!(node.client.error("eth_subscribe", json!(["newHeads"])).await.0, -32004);
    socket.send(r#"[{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}]"#).await;
    assert_eq!(socket.read().await.unwrap()[0]["error"]["code"], -32004);

    let mut second = Socket::connect(&node.client).await;
    match Socket::try_connect(&node.client).await {
        Err(Error::Http(refused)) => assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE),
        other => panic!("{:?}", other.map(|_| ())),
    }
    // A message that is too long ends its connection, and makes room for another.
    let _ = second.stream.send(Message::text("x".repeat(20_000))).await;
    assert!(second.read().await.is_none());
    let third = async {
        loop {
            if let Ok(socket) = Socket::try_connect(&node.client).await {
                return socket;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut third = timeout(PATIENCE, third).await.unwrap();
    third.rpc("eth_chainId", json!([])).await;
}

#[tokio::test]
async fn a_connection_ends_with_the_node_which_can_be_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let node = Running::start(config(Some(folder.path().to_owned()))).await;
    let mut socket = Socket::connect(&node.client).await;
    let heads = socket.rpc("eth_subscribe", json!(["newHeads"])).await;
    node.client.mine(&sign(transfer(0), 0)).await;
    socket.next(&heads).await;
    node.stop().await;
    assert!(socket.read().await.is_none());
    let node = Running::start(config(Some(folder.path().to_owned()))).await;
    assert_eq!(node.client.number("eth_blockNumber", json!([])).await, 1);
}
