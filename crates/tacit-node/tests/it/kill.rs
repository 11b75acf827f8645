//! `kill -9` under load: what was acknowledged is there after the restart.
//!
//! The node runs in a child process, which is this test binary asked for its one ignored test.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy_primitives::B256;
use serde_json::json;
use tacit_node::Node;
use tokio::net::TcpListener;

use crate::support::{Client, address, config, sign, transfer};

const DATA: &str = "TACIT_TEST_DATA";
const SENDERS: usize = 4;

#[tokio::test]
#[ignore = "run by the tests of this file, as a child process"]
async fn child() {
    let Ok(data) = std::env::var(DATA) else { return };
    let node = Node::open(config(Some(data.into()))).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "\nlistening http://{}", listener.local_addr().unwrap()).unwrap();
    out.flush().unwrap();
    node.serve(listener, std::future::pending()).await.unwrap();
}

fn start(data: &Path) -> (Child, Client) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--ignored", "--nocapture"])
        .env(DATA, data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("listening ").map(str::to_owned));
    (child, Client::new(url.expect("the child tells its address")))
}

/// Sends transfers one after the other until the node is gone; gives what was acknowledged, and counts it.
async fn load(client: Client, sender: usize, mut nonce: u64, count: Arc<AtomicU64>) -> Vec<B256> {
    let mut acknowledged = Vec::new();
    loop {
        let raw = sign(transfer(nonce), sender);
        let Ok(response) = client.exchange("eth_sendRawTransaction", json!([raw])).await else {
            return acknowledged;
        };
        acknowledged.push(serde_json::from_value(response["result"].clone()).expect("a hash"));
        count.fetch_add(1, Ordering::Relaxed);
        nonce += 1;
    }
}

#[tokio::test]
async fn acknowledged_transactions_survive() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<B256> = Vec::new();
    for round in 0..6_u64 {
        let (mut child, client) = start(directory.path());
        for hash in &acknowledged {
            let receipt = client.rpc("eth_getTransactionReceipt", json!([hash])).await;
            assert_eq!(receipt["status"], "0x1", "round {round}: {hash} was acknowledged and is gone");
        }
        let count = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        let mut sum = 0;
        for sender in 0..SENDERS {
            let nonce = client.number("eth_getTransactionCount", json!([address(sender), "latest"])).await;
            sum += nonce;
            tasks.push(tokio::spawn(load(client.clone(), sender, nonce, Arc::clone(&count))));
        }
        assert!(sum >= acknowledged.len() as u64);
        // In the middle of work, and not at the same point of it each time.
        while count.load(Ordering::Relaxed) < 10 + 3 * round {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for task in tasks {
            acknowledged.extend(task.await.unwrap());
        }
    }
    assert!(acknowledged.len() >= 105, "{}", acknowledged.len());
}
