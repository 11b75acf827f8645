//! From a proof to what it proves.

use crate::{
    error::{LightError, Trie},
    proof::{LightProof, ReceiptBody},
    trie,
    trust::Trust,
};
use alloy_consensus::{Header, Sealed};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{B256, Log, keccak256};

/// A receipt of a final block. Only [`verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct VerifiedReceipt {
    chain_id: u64,
    header: Sealed<Header>,
    index: u64,
    receipt: ReceiptBody,
    transaction: Option<B256>,
}

/// Checks a proof.
///
/// # Errors
/// [`LightError`] names the first thing that is wrong. No input makes this panic.
///
/// # Soundness
/// The receipt is that of a final block of the network, if `trust` is right about who signs: see the crate's documentation.
/// Whether it is that of a transaction in question, only [`VerifiedReceipt::transaction`] says.
pub fn verify(trust: &Trust, proof: &LightProof) -> Result<VerifiedReceipt, LightError> {
    let header = proof.finality.verify(trust)?;
    let receipt = proof.receipt.receipt.envelope()?.encoded_2718();
    let fault = |trie| move |error| LightError::Trie { trie, error };
    trie::check(header.receipts_root, proof.index, &proof.receipt.nodes, &receipt)
        .map_err(fault(Trie::Receipts))?;
    if let Some(path) = &proof.transaction {
        trie::check(header.transactions_root, proof.index, &path.nodes, &path.transaction)
            .map_err(fault(Trie::Transactions))?;
    }
    Ok(VerifiedReceipt {
        chain_id: trust.chain_id(),
        header,
        index: proof.index,
        receipt: proof.receipt.receipt.clone(),
        transaction: proof.transaction.as_ref().map(|path| keccak256(&path.transaction)),
    })
}

impl VerifiedReceipt {
    /// The network's chain id.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The block's header under its hash.
    #[must_use]
    pub fn header(&self) -> &Sealed<Header> {
        &self.header
    }

    /// The block's number.
    #[must_use]
    pub fn block_number(&self) -> u64 {
        self.header.number
    }

    /// The block's hash.
    #[must_use]
    pub fn block_hash(&self) -> B256 {
        self.header.hash()
    }

    /// The block's time, in seconds since 1970.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.header.timestamp
    }

    /// Index of the transaction in the block.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Hash of the transaction, if the proof names it. Compare it with the one in question.
    #[must_use]
    pub fn transaction(&self) -> Option<B256> {
        self.transaction
    }

    /// Whether the transaction succeeded. One that failed has no logs.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.receipt.succeeded
    }

    /// Gas that the block used up to this transaction and with it.
    #[must_use]
    pub fn cumulative_gas_used(&self) -> u64 {
        self.receipt.cumulative_gas_used
    }

    /// What the transaction emitted.
    #[must_use]
    pub fn logs(&self) -> &[Log] {
        &self.receipt.logs
    }
}
