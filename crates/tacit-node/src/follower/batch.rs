//! From what a source serves to blocks that are final.

use alloy_consensus::{Block, Header, Sealed, TxEnvelope, proofs::calculate_transaction_root};
use alloy_primitives::B256;
use alloy_rlp::Decodable as _;
use tacit_light::{DecodeError, Finality, LightError, SealError, Trust, checkpoint};
use thiserror::Error;

use crate::{follow::RawBlock, snapshot::SnapshotReject, writer::FinalBlock};

/// Why what a source served is refused. An honest node of the network serves nothing of the kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Lie {
    /// Bytes that are no certificate.
    #[error("certificate of block {number}: {error}")]
    Certificate {
        /// The block asked about.
        number: u64,
        /// Why.
        error: DecodeError,
    },
    /// A certificate that the network's validators did not make.
    #[error("certificate of block {number}: {error}")]
    Final {
        /// The block asked about.
        number: u64,
        /// Why.
        error: LightError,
    },
    /// A certificate of another block than was asked about, or with headers of no chain.
    #[error("certificate of block {got}, asked about block {expected}")]
    NotAsked {
        /// Asked about.
        expected: u64,
        /// Served.
        got: u64,
    },
    /// More blocks than were asked for.
    #[error("{got} blocks, asked for {expected}")]
    TooMany {
        /// Asked for.
        expected: u64,
        /// Served.
        got: usize,
    },
    /// Bytes that are no block.
    #[error("block {number} is malformed")]
    Malformed {
        /// Number of the block that should have been there.
        number: u64,
    },
    /// The block is not the child of the one before, or not the one that is certified.
    #[error("block {number} is another than the validators certified")]
    Unlinked {
        /// Number of the block that should have been there.
        number: u64,
    },
    /// The transactions are not those of the block.
    #[error("block {number} has other transactions than its header says")]
    Transactions {
        /// The block's number.
        number: u64,
    },
    /// The seal is not the block's.
    #[error("block {number}: {error}")]
    Seal {
        /// The block's number.
        number: u64,
        /// Why.
        error: SealError,
    },
    /// The snapshot is not a true one.
    #[error(transparent)]
    Snapshot(#[from] SnapshotReject),
}

/// Reads the certificate that a source has of block `asked`, and checks it: what it says is final in the network.
///
/// # Errors
/// [`Lie`].
pub fn check_certificate(trust: &Trust, asked: u64, bytes: &[u8]) -> Result<Finality, Lie> {
    let finality = Finality::decode(bytes).map_err(|error| Lie::Certificate { number: asked, error })?;
    for (expected, header) in (asked..).zip(&finality.headers) {
        if header.number != expected {
            return Err(Lie::NotAsked { expected, got: header.number });
        }
    }
    finality.verify(trust).map_err(|error| Lie::Final { number: asked, error })?;
    Ok(finality)
}

/// Checks that `blocks` lead from `head` to the last block of `finality`, whose certificate the caller has checked. Gives them for a
/// node that keeps certificates itself.
///
/// # Errors
/// [`Lie`].
pub fn check_blocks(
    head: &Sealed<Header>,
    finality: Finality,
    blocks: Vec<RawBlock>,
) -> Result<Vec<FinalBlock>, Lie> {
    let mut parent = (head.number, head.hash());
    let mut checked = Vec::with_capacity(blocks.len());
    for raw in blocks {
        let number = parent.0.saturating_add(1);
        let block = check_one(number, parent.1, &raw)?;
        parent = (number, block.header.hash());
        checked.push(block);
    }
    let unlinked = Lie::Unlinked { number: parent.0 };
    let certified = finality.headers.last().map(|header| (header.number, header.hash_slow()));
    match (certified == Some(parent), checked.last_mut()) {
        (true, Some(last)) => last.certificate = Some(finality.certificate),
        _ => return Err(unlinked),
    }
    Ok(checked)
}

fn check_one(number: u64, parent: B256, raw: &RawBlock) -> Result<FinalBlock, Lie> {
    let mut rest = &raw.block[..];
    let block = Block::<TxEnvelope>::decode(&mut rest).map_err(|_| Lie::Malformed { number })?;
    // Some decoders forgive what an encoder never writes.
    let body = &block.body;
    let empty = body.ommers.is_empty() && body.withdrawals.as_ref().is_some_and(|list| list.is_empty());
    if !rest.is_empty() || !empty || alloy_rlp::encode(&block) != raw.block {
        return Err(Lie::Malformed { number });
    }
    let Block { header, body } = block;
    if header.number != number || header.parent_hash != parent {
        return Err(Lie::Unlinked { number });
    }
    if header.transactions_root != calculate_transaction_root(&body.transactions) {
        return Err(Lie::Transactions { number });
    }
    checkpoint(&header, &raw.seal).map_err(|error| Lie::Seal { number, error })?;
    let hash = header.hash_slow();
    Ok(FinalBlock {
        header: Sealed::new_unchecked(header, hash),
        transactions: body.transactions,
        seal: Some(raw.seal.clone()),
        certificate: None,
    })
}
