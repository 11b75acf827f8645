//! `tacit node follow`: the whole ledger of a network, without a vote and without believing anybody.

use crate::args::Follow;
use crate::commands::network::refused;
use crate::commands::node::{bind, url};
use crate::failure::{Context, Failure};
use crate::lifetime;
use crate::output::Output;
use alloy_primitives::{Bytes, U256};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tacit_ledger::Genesis;
use tacit_light::Trust;
use tacit_node::follower::{self, Answer, BeginError, Chunks, FollowTiming, Follower, Source, Unanswered};
use tacit_node::store::Filling;
use tacit_node::{Node, NodeConfig, NodeError, RawBlock, StoreError};
use tacit_validator::NetworkFile;
use tacit_wire::RpcClient;
use tacit_wire::http::{Download, JsonClient};
use tokio::net::TcpListener;

/// Follows a network until told to stop.
pub(crate) async fn follow(arguments: &Follow, output: Output) -> Result<(), Failure> {
    let hint = "`tacit node init-network` wrote this file and the genesis beside it; take both from whoever made the network";
    let path = &arguments.network;
    let network = NetworkFile::load(path).failed("bad_config", "cannot read the network's file", hint)?;
    let trust = network.trust();
    let sources = arguments.sources.iter().map(|url| source(url));
    let sources = sources.collect::<Result<Vec<Arc<dyn Source>>, Failure>>()?;
    if arguments.from_checkpoint && !Filling::is_done(&arguments.data) {
        begin(arguments, &network.genesis, &trust, &sources, output).await?;
    }
    let mut config =
        NodeConfig::network(network.genesis, network.first_block).with_data_dir(Some(arguments.data.clone()));
    config.rpc.snapshots_max = arguments.snapshots;
    let in_use = |error: &NodeError| matches!(error, NodeError::Store(StoreError::Locked { .. }));
    let node = lifetime::once_free(|| Node::open(config.clone()), in_use).await;
    let node = node.map_err(|error| refused(&error, &arguments.data))?;
    let listener = bind(arguments.rpc, "follower").await?;
    let follower = Follower::new(node.clone(), trust, sources, FollowTiming::default());
    let following = tokio::spawn(follower.run());
    let served = serve(&node, listener, arguments, following, output).await;
    drop(node);
    served
}

/// Fills the folder with the state at the newest checkpoint.
async fn begin(
    arguments: &Follow,
    genesis: &Genesis,
    trust: &Trust,
    sources: &[Arc<dyn Source>],
    output: Output,
) -> Result<(), Failure> {
    let bytes_max = u64::from(arguments.checkpoint_gib_max) << 30;
    let started = Instant::now();
    let begun = follower::begin(&arguments.data, genesis, trust, sources, bytes_max).await;
    let number = begun.map_err(|error| {
        let hint = match &error {
            BeginError::NoSnapshot { .. } => {
                "ask another node, or leave --from-checkpoint out: every block is executed then"
            }
            BeginError::Store(StoreError::Locked { .. }) => "another process uses this folder; stop it",
            _ => "",
        };
        Failure::new("no_checkpoint", crate::failure::sentence(&error), hint)
    })?;
    output.note(format!(
        "the state after block {number} is here, as the validators certified it ({:.1} s)",
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Answers requests until the process should end, or the node takes nothing more.
async fn serve(
    node: &Node,
    listener: TcpListener,
    arguments: &Follow,
    mut following: tokio::task::JoinHandle<tacit_node::WriteError>,
    output: Output,
) -> Result<(), Failure> {
    let url = url(&listener)?;
    let ended = lifetime::ended(arguments.lifetime.with_parent);
    tokio::pin!(ended);
    tokio::select! {
        () = caught_up(node) => {}
        why = &mut following => return Err(stopped(why)),
        () = &mut ended => return Ok(()),
    }
    let result = json!({
        "role": "follower", "caught_up": node.has_caught_up(), "url": url, "chain_id": node.chain_id(),
        "head": node.head().number,
    });
    output.data(&result, || {
        format!(
            "follower: JSON-RPC at {url}, chain {}, block {}{}\nctrl-c stops it",
            node.chain_id(),
            node.head().number,
            if node.has_caught_up() { "" } else { "; still fetching blocks" }
        )
    });
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let serving = node.serve(listener, async {
        // The sender going away means the same.
        let _ = stopping.await;
    });
    let until = async {
        let outcome = tokio::select! {
            () = &mut ended => Ok(()),
            why = &mut following => Err(stopped(why)),
        };
        following.abort();
        drop(stop);
        outcome
    };
    let (served, outcome) = tokio::join!(serving, until);
    served.failed("node", "the ledger stopped", "")?;
    outcome
}

/// Gives the follower a moment to have every block, so that whoever waits for it can use it at once. One that began with a checkpoint
/// has no block at all for a moment, and answers nothing until it has.
async fn caught_up(node: &Node) {
    let start = Instant::now();
    while !(node.has_blocks() && (node.has_caught_up() || start.elapsed() > PATIENCE)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn stopped(why: Result<tacit_node::WriteError, tokio::task::JoinError>) -> Failure {
    let why = why.map_or_else(|error| error.to_string(), |error| crate::failure::sentence(&error));
    Failure::new(
        "halted",
        format!("the follower stopped: {why}"),
        "a full or broken disk, or a build that executes a block to another result than the validators. What it has is on disk",
    )
}

/// A node over HTTP.
struct HttpSource {
    rpc: RpcClient,
    http: JsonClient,
}

fn source(url: &str) -> Result<Arc<dyn Source>, Failure> {
    let url = url.trim_end_matches('/');
    let rpc = RpcClient::new(url, ANSWER_MAX).failed("http", "no HTTP here", "")?;
    let http = JsonClient::new(SNAPSHOT_MAX).failed("http", "no HTTP here", "")?;
    Ok(Arc::new(HttpSource { rpc, http }))
}

fn unanswered(error: impl std::error::Error) -> Unanswered {
    Unanswered(crate::failure::sentence(&error))
}

impl Source for HttpSource {
    fn name(&self) -> &str {
        self.rpc.url()
    }

    fn head(&self) -> Answer<'_, u64> {
        Box::pin(async {
            let head: Option<U256> =
                self.rpc.ask("eth_blockNumber", json!([]), SHORT_BYTES_MAX).await.map_err(unanswered)?;
            let head = head.and_then(|head| u64::try_from(head).ok());
            head.ok_or_else(|| Unanswered("its newest block has no number".into()))
        })
    }

    fn blocks(&self, first: u64, count: u64) -> Answer<'_, Vec<RawBlock>> {
        Box::pin(async move {
            let params = json!([format!("{first:#x}"), format!("{count:#x}")]);
            let blocks =
                self.rpc.ask("tacit_getBlocks", params, BLOCKS_BYTES_MAX).await.map_err(unanswered)?;
            Ok(blocks.unwrap_or_default())
        })
    }

    fn finality(&self, number: u64) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move {
            let params = json!([format!("{number:#x}")]);
            self.rpc.ask("tacit_getFinality", params, SHORT_BYTES_MAX).await.map_err(unanswered)
        })
    }

    fn send(&self, transactions: Vec<Bytes>) -> Answer<'_, ()> {
        Box::pin(async move {
            let params = transactions.iter().map(|bytes| json!([bytes]));
            self.rpc.tell("eth_sendRawTransaction", params, SHORT_BYTES_MAX).await.map_err(unanswered)
        })
    }

    fn snapshot(&self) -> Answer<'_, Box<dyn Chunks>> {
        Box::pin(async {
            let url = format!("{}/snapshot", self.rpc.url());
            let download = self.http.download(&url, STALL_MAX).await.map_err(unanswered)?;
            Ok(Box::new(HttpChunks(download)) as Box<dyn Chunks>)
        })
    }
}

struct HttpChunks(Download);

impl Chunks for HttpChunks {
    fn next(&mut self) -> Answer<'_, Option<Bytes>> {
        Box::pin(async { Ok(self.0.next().await.map_err(unanswered)?.map(Bytes::from)) })
    }
}

/// How long a source may take for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How long it may take for a snapshot, as long as parts of it come.
const SNAPSHOT_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long it may take for the next part.
const STALL_MAX: Duration = Duration::from_secs(60);
/// How long others wait until the follower has every block.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest answer without blocks: a certificate, or what became of a batch of transactions.
const SHORT_BYTES_MAX: usize = 1 << 20;
/// Longest answer with blocks: one may be longer than all others together are allowed to be, and hex digits double it.
const BLOCKS_BYTES_MAX: usize = 8 << 20;
