//! Where a validator with an empty folder begins: an anchor from other nodes, none of which is believed.
//!
//! The node has been brought to some height before, as a follower is; what is looked for is a block that it has, with what consensus
//! needs beside it (`tacit_consensus::Anchor`).

use crate::run::PARTITION;
use alloy_primitives::Bytes;
use commonware_runtime::{
    Runner as _, Supervisor as _,
    tokio::{Config as RuntimeConfig, Runner},
};
use std::{path::Path, sync::Arc};
use tacit_consensus::{Anchor, AnchorError, Group, Served, has_begun};
use tacit_ledger::Genesis;
use tacit_light::{DecodeError, Finality, HEADERS_MAX, Trust};
use tacit_node::{
    Node, StoreError,
    follower::{Source, Unanswered},
};

/// What is known of a network beforehand.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its genesis.
    pub genesis: Genesis,
    /// The group of its first validators.
    pub group: Group,
    /// Its chain id and first block, and the group's key.
    pub trust: Trust,
}

/// Why no anchor was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnchor {
    /// There is nobody to ask.
    #[error("there are no sources")]
    NoSources,
    /// Nobody served a true one.
    #[error("no source gave a place to begin; {source_name}: {why}")]
    Nobody {
        /// The last one asked.
        source_name: String,
        /// Why what it served was not taken.
        why: Refused,
    },
    /// The node's store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a source's anchor was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It does not have all of one.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// Bytes that are no certificate.
    #[error("a certificate: {0}")]
    Certificate(#[from] DecodeError),
    /// It is none of this network.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// Its block is not here yet, or not the one that is here.
    #[error("block {number} is not here, or another one")]
    NotHere {
        /// The block's number.
        number: u64,
    },
}

enum Fault {
    Refused(Refused),
    Store(StoreError),
}

impl<E: Into<Refused>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// Whether consensus has begun in this folder, as in [`ValidatorConfig::data_dir`](crate::ValidatorConfig::data_dir): no anchor is needed then. Not to be called inside a runtime.
#[must_use]
pub fn consensus_has_begun(data_dir: &Path) -> bool {
    if !data_dir.exists() {
        return false;
    }
    let runtime = RuntimeConfig::new().with_storage_directory(data_dir).with_worker_threads(1);
    Runner::new(runtime).start(|context| has_begun(context.child("begun"), PARTITION))
}

/// An anchor at one of the newest blocks of `node`, from the first of `sources` that has a true one.
///
/// # Errors
/// [`NoAnchor`]; it may be another time in a moment.
pub async fn find_anchor(
    node: &Node,
    known: &Known,
    sources: &[Arc<dyn Source>],
) -> Result<Anchor, NoAnchor> {
    let mut last = NoAnchor::NoSources;
    for source in sources {
        let why = match ask(node, known, source).await {
            Ok(anchor) => return Ok(anchor),
            Err(Fault::Store(error)) => return Err(error.into()),
            Err(Fault::Refused(why)) => why,
        };
        if matches!(why, Refused::Certificate(_) | Refused::Anchor(_)) {
            tracing::warn!(source = source.name(), %why, "what a source serves does not verify");
        }
        last = NoAnchor::Nobody { source_name: source.name().to_owned(), why };
    }
    Err(last)
}

async fn ask(node: &Node, known: &Known, source: &Arc<dyn Source>) -> Result<Anchor, Fault> {
    let first = known.trust.first_number();
    // So far back that the first block from there on that has votes is here.
    let newest = node.head().number.saturating_sub(HEADERS_MAX as u64 - 1).max(first);
    let votes = source.votes(newest).await?;
    let votes =
        votes.ok_or_else(|| missing(format!("it keeps no votes for block {newest}: ask a validator")))?;
    let floor = Finality::decode(&votes).map_err(Refused::from)?;
    let number = floor.headers.last().map_or(first, |header| header.number);
    let epoch_blocks = known.genesis.staking.parameters.epoch_blocks;
    let epoch = number.checked_sub(first).and_then(|height| height.checked_div(epoch_blocks)).unwrap_or(0);
    let began = epoch.checked_mul(epoch_blocks).and_then(|blocks| first.checked_add(blocks)?.checked_sub(1));
    let boundary = match began.filter(|_| epoch > 0) {
        None => None,
        Some(began) => Some(boundary(source, began).await?),
    };
    let served = Served { boundary, floor };
    let anchor = Anchor::check(&known.genesis, &known.group, &known.trust, &served)?;
    let here = node.hash(number).map_err(Fault::Store)?;
    if here == Some(anchor.header().hash()) { Ok(anchor) } else { Err(Refused::NotHere { number }.into()) }
}

/// The certificate of a block, and its seal.
async fn boundary(source: &Arc<dyn Source>, number: u64) -> Result<(Finality, Bytes), Fault> {
    let certificate = source.finality(number).await?;
    let certificate =
        certificate.ok_or_else(|| missing(format!("it has no certificate of block {number}")))?;
    let finality = Finality::decode(&certificate).map_err(Refused::from)?;
    let block = source.blocks(number, 1).await?.into_iter().next();
    let block =
        block.ok_or_else(|| missing(format!("it does not have block {number}, which began the epoch")))?;
    Ok((finality, block.seal))
}

fn missing(what: String) -> Unanswered {
    Unanswered(what)
}
