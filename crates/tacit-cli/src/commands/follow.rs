//! `tacit node follow`: the whole ledger of a network, without a vote and without believing anybody.

use crate::args::Follow;
use crate::commands::network::refused;
use crate::commands::node::{bind, url};
use crate::commands::sources;
use crate::failure::{Context, Failure};
use crate::lifetime;
use crate::output::Output;
use serde_json::json;
use std::time::{Duration, Instant};
use tacit_node::follower::{FollowTiming, Follower};
use tacit_node::store::Filling;
use tacit_node::{Node, NodeConfig, NodeError, StoreError};
use tacit_validator::NetworkFile;
use tokio::net::TcpListener;

/// Follows a network until told to stop.
pub(crate) async fn follow(arguments: &Follow, output: Output) -> Result<(), Failure> {
    let hint = "`tacit node init-network` wrote this file and the genesis beside it; take both from whoever made the network";
    let path = &arguments.network;
    let network = NetworkFile::load(path).failed("bad_config", "cannot read the network's file", hint)?;
    let trust = network.trust();
    let sources = sources::sources(&arguments.sources)?;
    if arguments.from_checkpoint && !Filling::is_done(&arguments.data) {
        let (known, gib_max) = ((&network.genesis, &trust), arguments.checkpoint_gib_max);
        sources::begin(&arguments.data, known, &sources, gib_max, output).await?;
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

/// Why following has ended.
pub(crate) fn stopped(why: Result<tacit_node::WriteError, tokio::task::JoinError>) -> Failure {
    let why = why.map_or_else(|error| error.to_string(), |error| crate::failure::sentence(&error));
    Failure::new(
        "halted",
        format!("the follower stopped: {why}"),
        "a full or broken disk, or a build that executes a block to another result than the validators. What it has is on disk",
    )
}

/// How long others wait until the follower has every block.
const PATIENCE: Duration = Duration::from_secs(3);
