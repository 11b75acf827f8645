//! What a validator is plugged into: where transactions come from, and where final blocks go.

use crate::block::ChainBlock;
use alloy_consensus::{Header, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, TxHash};
use bytes::Bytes;
use core::future::Future;
use tacit_ledger::Fault;

/// How much one block can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandidateLimits {
    /// Gas of the block. Candidates beyond it are left out one by one, so that offering somewhat more does no harm.
    pub gas_max: u64,
    /// Bytes of all candidates together, as EIP-2718 encodes them. What lies beyond is cut off.
    pub bytes_max: usize,
    /// Lowest fee cap per gas that the block takes.
    pub base_fee: u64,
}

/// Where a proposer gets transactions. Cheap to clone; clones are one source.
pub trait TransactionSource: Clone + Send + Sync + 'static {
    /// Resolves when there is something to propose, or never: the proposer stops waiting by itself.
    fn ready(&self) -> impl Future<Output = ()> + Send;

    /// Candidates for the child of `parent`, best first. Senders are those of the signatures. A candidate that is already
    /// in a block that is not final yet may come again: it is left out, at no cost to its sender.
    fn candidates(
        &self,
        parent: &Header,
        limits: CandidateLimits,
    ) -> impl Future<Output = Vec<Recovered<TxEnvelope>>> + Send;

    /// The sender of a transaction that this source has checked before. Saves a signature recovery; `None` is always right.
    fn sender(&self, hash: &TxHash) -> Option<Address>;

    /// A block with this number was proposed by another validator, and its signatures were checked. It may never be final.
    fn seen(&self, number: u64, transactions: &[Recovered<TxEnvelope>]) {
        let _ = (number, transactions);
    }
}

/// Where final blocks go: an index for queries, a pool that forgets what was included. Cheap to clone; clones are one sink.
pub trait BlockSink: Clone + Send + Sync + 'static {
    /// What can go wrong. It ends the validator, since a block that is not handed on would be missing for good.
    type Error: core::error::Error + Send + Sync + 'static;

    /// Number of the newest block that the sink has durably; the first block's, where it has none.
    fn head(&self) -> u64;

    /// Takes a final block. When this returns, the sink has it durably.
    ///
    /// Blocks come in order of height, without gaps while the validator runs, each **at least once**: after a crash the
    /// last ones come again. A sink that is behind gets what it lacks first.
    ///
    /// # Errors
    /// The block could not be taken.
    fn finalized(&self, block: &ChainBlock) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Root of the flat state after the final block of this number, by the ledger's own commitment (`tacit_ledger::LtHash`). Where the
    /// sink does not have that block yet, it waits until it does: without the root a validator neither proposes nor votes.
    ///
    /// # Errors
    /// The root cannot be read.
    fn state_root(&self, number: u64) -> impl Future<Output = Result<B256, Self::Error>> + Send;
}

/// Where evidence against validators goes. Cheap to clone; clones are one sink.
pub trait EvidenceSink: Clone + Send + Sync + 'static {
    /// Takes two votes of `key` that contradict each other. `evidence` is what `slash(key, evidence)` of the ledger's `validators`
    /// module takes: its decoder and both signatures were checked, under the namespace of this network's votes.
    ///
    /// Called where votes are counted: it must not wait. The same evidence may come again after a restart.
    fn report(&self, key: B256, fault: Fault, evidence: Bytes);
}
