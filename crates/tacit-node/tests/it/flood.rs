//! Clients that take what they can get: places, memory, processors. Others are answered all the same.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tacit_node::NodeConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::support::Running;

fn authority(node: &Running) -> SocketAddr {
    node.client.url.strip_prefix("http://").unwrap().trim_end_matches('/').parse().unwrap()
}

/// Asks over a connection of its own, and gives the connection with the answer yet to come.
async fn ask(node: &Running, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(authority(node)).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: node\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn silent_connections_give_up_their_places() {
    let mut config = NodeConfig::dev([]);
    config.rpc.connections_max = 4;
    let node = Running::start(config).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(authority(&node)).await.unwrap());
    }
    let asked = timeout(Duration::from_secs(5), node.client.number("eth_chainId", json!([])));
    asked.await.expect("an answer in spite of silent connections");
    // The oldest were closed.
    let mut byte = [0];
    let closed = timeout(Duration::from_secs(5), silent[0].read(&mut byte)).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    // Who asks again and again over one connection keeps it, whoever else comes.
    for _ in 0..10 {
        silent.push(TcpStream::connect(authority(&node)).await.unwrap());
        assert!(node.client.number("eth_blockNumber", json!([])).await < 1);
    }
}

/// A call that gives a mebibyte, as often as wanted.
fn long(times: usize) -> String {
    let to = "0x00000000000000000000000000000000000000cc";
    // return(0, 0x0fffff)
    let code = json!({ to: { "code": "0x620fffff6000f3" } });
    let call = |id: usize| {
        let params = json!([{ "to": to, "gas": "0x2faf080" }, "latest", code]);
        json!({ "jsonrpc": "2.0", "id": id, "method": "eth_call", "params": params })
    };
    Value::from((0..times).map(call).collect::<Vec<_>>()).to_string()
}

#[tokio::test]
async fn long_answers_wait_for_few_clients_only() {
    let mut config = NodeConfig::dev([]);
    config.rpc.long_answers_max = 1;
    let node = Running::start(config).await;
    let (status, text) = node.client.post(long(1)).await.unwrap();
    assert!(status == 200 && text.len() > 2 << 20, "{status}: {} bytes", text.len());
    // More than any buffer on the way takes, and nobody takes it.
    let mut slow = ask(&node, &long(10)).await;
    slow.readable().await.unwrap();
    let (_, text) = node.client.post(long(1)).await.unwrap();
    let refused: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(refused["error"]["code"], -32005, "{refused}");
    assert!(node.client.number("eth_chainId", json!([])).await > 0, "short answers need no place");
    slow.shutdown().await.unwrap();
    drop(slow);
    let started = Instant::now();
    while node.client.post(long(1)).await.unwrap().1.len() < 1 << 20 {
        assert!(started.elapsed() < Duration::from_secs(10), "the place is not given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn calls_without_end_keep_nobody_else_waiting() {
    let mut config = NodeConfig::dev([]);
    config.rpc.concurrent_executions_max = 1;
    let node = Running::start(config).await;
    // Jumps to its own beginning until the gas is gone.
    let endless = |id: usize| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_call", "params": [{ "data": "0x5b5f56", "gas": "0x3938700" }] });
    let started = Instant::now();
    let bomb = Value::from((0..200).map(endless).collect::<Vec<_>>()).to_string();
    let mut bombs = Vec::new();
    for _ in 0..4 {
        bombs.push(ask(&node, &bomb).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let patience = Duration::from_secs(10);
    timeout(patience, node.client.number("eth_blockNumber", json!([]))).await.expect("a read");
    let call = json!([{ "to": "0x00000000000000000000000000000000000000cc" }, "latest"]);
    timeout(patience, node.client.rpc("eth_call", call)).await.expect("another call");
    let mut byte = [0];
    for bomb in &mut bombs {
        let early = timeout(Duration::from_millis(1), bomb.read(&mut byte)).await;
        assert!(early.is_err(), "the bomb was over after {:?}: it shows nothing", started.elapsed());
    }
}
