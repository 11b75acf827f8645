//! Blocks: built from candidates, or verified as somebody else built them.

use crate::{
    chain::{Attributes, BlockContext, Chain, EXTRA_DATA_MAX},
    commitment::StateCommitment,
    execute::{ExecuteError, Executed, Outcome, Rejection, execute},
    state::StateReader,
};
use alloy_consensus::{
    BlockBody, EMPTY_OMMER_ROOT_HASH, Header, Sealed, TxEnvelope, TxReceipt,
    constants::EMPTY_ROOT_HASH,
    proofs::{calculate_receipt_root, calculate_transaction_root},
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{B64, B256, Bloom, U256};

/// A standard Ethereum block.
pub type Block = alloy_consensus::Block<TxEnvelope>;

/// A block together with everything that storing it needs.
#[derive(Debug, Clone)]
#[must_use = "nothing has been stored"]
pub struct Built<C> {
    /// The block under its hash.
    pub block: Sealed<Block>,
    /// Receipts, senders, changes and left-out candidates.
    pub executed: Executed,
    /// Commitment to the state after the block.
    pub commitment: C,
}

/// Context of a block on top of `parent`.
///
/// # Errors
/// The attributes break a rule that needs no execution.
pub fn next_context<E: core::error::Error>(
    chain: &Chain,
    parent: &Header,
    attributes: &Attributes,
) -> Result<BlockContext, ExecuteError<E>> {
    let got = attributes.extra_data.len();
    if got > EXTRA_DATA_MAX {
        return Err(ExecuteError::ExtraData { limit: EXTRA_DATA_MAX, got });
    }
    if attributes.timestamp < parent.timestamp {
        return Err(ExecuteError::Timestamp { parent: parent.timestamp, got: attributes.timestamp });
    }
    Ok(BlockContext {
        number: parent.number.checked_add(1).ok_or(ExecuteError::Height)?,
        timestamp: attributes.timestamp,
        beneficiary: attributes.beneficiary,
        gas_limit: chain.gas_limit,
        base_fee: chain.next_base_fee(parent),
        prev_randao: attributes.prev_randao,
    })
}

/// Builds the block on top of `parent` from `candidates`, whose senders the caller vouches for. `reader` and `commitment` are
/// of the state after `parent`.
///
/// # Errors
/// Bad attributes, or state that cannot be read. Candidates that cannot be included are no error: see [`Executed::rejected`].
pub fn build<R: StateReader, C: StateCommitment>(
    chain: &Chain,
    parent: &Sealed<Header>,
    attributes: &Attributes,
    reader: &R,
    commitment: &C,
    candidates: impl IntoIterator<Item = Recovered<TxEnvelope>>,
) -> Result<Built<C>, ExecuteError<R::Error>> {
    let context = next_context(chain, parent, attributes)?;
    let executed = execute(chain, context, reader, candidates)?;
    let mut commitment = commitment.clone();
    commitment.apply(&executed.changes);
    let block = executed.seal(parent, attributes, commitment.root());
    Ok(Built { block, executed, commitment })
}

/// Why a block is not the child of its parent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError<E: core::error::Error + 'static> {
    /// Execution could not be carried out, or the header breaks a rule that needs none.
    #[error(transparent)]
    Execute(#[from] ExecuteError<E>),
    /// A signature recovers to no sender, or is the mirrored twin of one that does.
    #[error("transaction {index} has a bad signature")]
    Signature {
        /// Position in the block.
        index: usize,
    },
    /// A transaction that cannot be in this block.
    #[error("transaction {index} is invalid: {reason}")]
    Transaction {
        /// Position in the block.
        index: usize,
        /// Why.
        reason: Rejection,
    },
    /// The body holds what no block of this ledger holds: ommers, or withdrawals.
    #[error("unexpected block body")]
    Body,
    /// The header is not the one that execution gives.
    #[error("header differs in {0:?}")]
    Header(HeaderField),
}

/// First field in which two headers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderField {
    /// `parentHash`
    ParentHash,
    /// `number`
    Number,
    /// `gasLimit`
    GasLimit,
    /// `baseFeePerGas`
    BaseFee,
    /// `gasUsed`
    GasUsed,
    /// `transactionsRoot`
    TransactionsRoot,
    /// `receiptsRoot`
    ReceiptsRoot,
    /// `logsBloom`
    LogsBloom,
    /// `stateRoot`
    StateRoot,
    /// A field that is constant on this ledger.
    Constant,
}

/// Checks somebody else's block on top of `parent`: recovers senders, executes, and demands the very same header.
///
/// # Errors
/// The block is not valid, or the state cannot be read.
pub fn verify<R: StateReader, C: StateCommitment>(
    chain: &Chain,
    parent: &Sealed<Header>,
    block: &Block,
    reader: &R,
    commitment: &C,
) -> Result<Built<C>, VerifyError<R::Error>> {
    let header = &block.header;
    if !block.body.ommers.is_empty() || block.body.withdrawals.as_ref().is_none_or(|list| !list.is_empty()) {
        return Err(VerifyError::Body);
    }
    if header.parent_hash != parent.hash() {
        return Err(VerifyError::Header(HeaderField::ParentHash));
    }
    let attributes = Attributes {
        timestamp: header.timestamp,
        beneficiary: header.beneficiary,
        prev_randao: header.mix_hash,
        extra_data: header.extra_data.clone(),
    };
    // Cheap checks come before signatures, and both before execution.
    let context = next_context(chain, parent, &attributes)?;
    if header.number != context.number {
        return Err(VerifyError::Header(HeaderField::Number));
    }
    if header.gas_limit != context.gas_limit {
        return Err(VerifyError::Header(HeaderField::GasLimit));
    }
    if header.base_fee_per_gas != Some(context.base_fee) {
        return Err(VerifyError::Header(HeaderField::BaseFee));
    }
    let mut transactions = Vec::with_capacity(block.body.transactions.len());
    for (index, transaction) in block.body.transactions.iter().enumerate() {
        let sender = transaction.recover_signer().map_err(|_| VerifyError::Signature { index })?;
        transactions.push(Recovered::new_unchecked(transaction.clone(), sender));
    }
    let mut executed = execute(chain, context, reader, transactions)?;
    if !executed.rejected.is_empty() {
        let rejected = executed.rejected.swap_remove(0);
        return Err(VerifyError::Transaction { index: rejected.index, reason: rejected.reason });
    }
    let mut commitment = commitment.clone();
    commitment.apply(&executed.changes);
    let expected = executed.seal(parent, &attributes, commitment.root());
    if let Some(field) = first_difference(&expected.header, header) {
        return Err(VerifyError::Header(field));
    }
    Ok(Built { block: expected, executed, commitment })
}

fn first_difference(expected: &Header, got: &Header) -> Option<HeaderField> {
    let checks = [
        (expected.gas_used == got.gas_used, HeaderField::GasUsed),
        (expected.transactions_root == got.transactions_root, HeaderField::TransactionsRoot),
        (expected.receipts_root == got.receipts_root, HeaderField::ReceiptsRoot),
        (expected.logs_bloom == got.logs_bloom, HeaderField::LogsBloom),
        (expected.state_root == got.state_root, HeaderField::StateRoot),
        (expected == got, HeaderField::Constant),
    ];
    checks.into_iter().find(|(same, _)| !same).map(|(_, field)| field)
}

pub(crate) fn assemble(
    executed: &Executed,
    parent_hash: B256,
    attributes: &Attributes,
    state_root: B256,
) -> Sealed<Block> {
    let context = &executed.context;
    let transactions: Vec<TxEnvelope> =
        executed.transactions.iter().map(|transaction| transaction.inner().clone()).collect();
    let receipts: Vec<_> = executed.outcomes.iter().map(|outcome| outcome.receipt.clone()).collect();
    let header = Header {
        parent_hash,
        beneficiary: context.beneficiary,
        state_root,
        transactions_root: calculate_transaction_root(&transactions),
        receipts_root: calculate_receipt_root(&receipts),
        logs_bloom: bloom(&executed.outcomes),
        number: context.number,
        gas_limit: context.gas_limit,
        gas_used: executed.gas_used,
        timestamp: context.timestamp,
        extra_data: attributes.extra_data.clone(),
        mix_hash: context.prev_randao,
        base_fee_per_gas: Some(context.base_fee),
        ..constant_header()
    };
    let hash = header.hash_slow();
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: Some(Vec::new().into()) };
    Sealed::new_unchecked(Block { header, body }, hash)
}

/// The fields that are the same in every header of this ledger.
pub(crate) fn constant_header() -> Header {
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        difficulty: U256::ZERO,
        nonce: B64::ZERO,
        withdrawals_root: Some(EMPTY_ROOT_HASH),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}

fn bloom(outcomes: &[Outcome]) -> Bloom {
    outcomes.iter().fold(Bloom::ZERO, |sum, outcome| sum | outcome.receipt.bloom())
}
