//! Making proofs, where blocks and receipts are.

use crate::{
    error::{ProveError, Trie},
    proof::{Finality, LightProof, ReceiptBody, ReceiptPath, TransactionPath},
    trie::path,
};
use alloy_consensus::ReceiptEnvelope;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes};

/// A proof of the receipt at `index`. `finality` is that of the block, `receipts` are all of the block's.
///
/// # Errors
/// There is no such receipt, or `receipts` are not those of the first header of `finality`.
pub fn prove_receipt(
    finality: Finality,
    receipts: &[ReceiptEnvelope],
    index: usize,
) -> Result<LightProof, ProveError> {
    let root = finality.headers.first().ok_or(ProveError::NoHeader)?.receipts_root;
    let (nodes, _) = prove(receipts, index, root, Trie::Receipts)?;
    let count = receipts.len();
    let receipt = receipts.get(index).map(ReceiptBody::of).ok_or(ProveError::Index { index, count })?;
    let at = u64::try_from(index).map_err(|_| ProveError::Index { index, count })?;
    Ok(LightProof { finality, index: at, receipt: ReceiptPath { receipt, nodes }, transaction: None })
}

impl LightProof {
    /// The same proof with the transaction that the receipt is of. `transactions` are all of the block's.
    ///
    /// # Errors
    /// `transactions` are not those of the block.
    pub fn with_transaction<T: Encodable2718>(self, transactions: &[T]) -> Result<Self, ProveError> {
        let root = self.finality.headers.first().ok_or(ProveError::NoHeader)?.transactions_root;
        let index = usize::try_from(self.index).unwrap_or(usize::MAX);
        let (nodes, transaction) = prove(transactions, index, root, Trie::Transactions)?;
        Ok(Self { transaction: Some(TransactionPath { transaction, nodes }), ..self })
    }
}

/// Path to the value at `index`, and the value.
fn prove<T: Encodable2718>(
    values: &[T],
    index: usize,
    root: B256,
    trie: Trie,
) -> Result<(Vec<Bytes>, Bytes), ProveError> {
    let values: Vec<Vec<u8>> = values.iter().map(Encodable2718::encoded_2718).collect();
    let value = values.get(index).ok_or(ProveError::Index { index, count: values.len() })?;
    let (found, nodes) = path(&values, index);
    if found == root { Ok((nodes, value.clone().into())) } else { Err(ProveError::Root(trie)) }
}
