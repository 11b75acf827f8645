//! `tacit node run --from-checkpoint`: what comes before a validator with an empty folder begins.

use crate::args::FromCheckpoint;
use crate::commands::follow::stopped;
use crate::commands::network::refused;
use crate::commands::sources;
use crate::failure::{Context, Failure, sentence};
use crate::lifetime;
use crate::output::Output;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tacit_node::follower::{FollowTiming, Follower, Source};
use tacit_node::store::Filling;
use tacit_node::{Node, NodeConfig, NodeError, StoreError};
use tacit_validator::{Anchor, Known, consensus_has_begun, find_anchor};

/// Where the node's folder and consensus' are.
pub(crate) struct Folders<'a> {
    pub(crate) data: &'a Path,
    pub(crate) consensus: &'a Path,
}

/// Brings the folder to the newest block that other nodes have, from a checkpoint on, and finds where consensus can begin. Nothing
/// where it has begun, or is not to begin so.
pub(crate) async fn prepare(
    folders: Folders<'_>,
    node: &NodeConfig,
    known: &Known,
    arguments: &FromCheckpoint,
    output: Output,
) -> Result<Option<Anchor>, Failure> {
    let sources = sources::sources(&arguments.from_checkpoint)?;
    if sources.is_empty() || has_begun(folders.consensus).await? {
        return Ok(None);
    }
    if !Filling::is_done(folders.data) {
        let gib_max = arguments.checkpoint_gib_max;
        let known = (&known.genesis, &known.trust);
        sources::begin(folders.data, known, &sources, gib_max, output).await?;
    }
    let in_use = |error: &NodeError| matches!(error, NodeError::Store(StoreError::Locked { .. }));
    let node = lifetime::once_free(|| Node::open(node.clone()), in_use).await;
    let node = node.map_err(|error| refused(&error, folders.data))?;
    let follower = Follower::new(node.clone(), known.trust.clone(), sources.clone(), FollowTiming::default());
    let mut following = tokio::spawn(follower.run());
    let anchor = tokio::select! {
        why = &mut following => Err(stopped(why)),
        found = anchor(&node, known, &sources) => found,
    };
    // It holds the node.
    following.abort();
    let _ = following.await;
    let anchor = anchor?;
    output.note(format!(
        "all blocks up to {} are here; consensus begins after block {}",
        node.head().number,
        anchor.header().number
    ));
    Ok(Some(anchor))
}

async fn has_begun(consensus: &Path) -> Result<bool, Failure> {
    let consensus = consensus.to_owned();
    // The engine's stores bring a runtime of their own.
    let task = tokio::task::spawn_blocking(move || consensus_has_begun(&consensus));
    task.await.failed("validator", "cannot read the validator's folder", "is its disk well?")
}

/// Waits until the node has every block, then asks for an anchor, for a while.
async fn anchor(node: &Node, known: &Known, sources: &[Arc<dyn Source>]) -> Result<Anchor, Failure> {
    while !(node.has_blocks() && node.has_caught_up()) {
        tokio::time::sleep(POLL).await;
    }
    let started = Instant::now();
    loop {
        match find_anchor(node, known, sources).await {
            Ok(anchor) => return Ok(anchor),
            Err(error) if started.elapsed() > PATIENCE => {
                let hint = "name a validator of the network, or leave --from-checkpoint out: every block is executed then";
                return Err(Failure::new("no_checkpoint", sentence(&error), hint));
            }
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

const POLL: Duration = Duration::from_millis(200);
/// How long sources may have no anchor: the newest blocks get their certificates in a moment.
const PATIENCE: Duration = Duration::from_secs(20);
