//! Stored values as Ethereum clients expect to see them.

use alloy_consensus::{
    Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Transaction as _, TxEnvelope,
    transaction::{Recovered, TransactionInfo},
};
use alloy_primitives::{B256, Sealed, U256, logs_bloom};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{Block, BlockTransactions, Log, Transaction, TransactionReceipt};

use super::{
    error::RpcError,
    frame::{Encoded, encode},
};
use crate::store::StoredReceipt;

/// Where a mined thing is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) hash: B256,
    pub(super) header: &'a Header,
    pub(super) index: u32,
}

/// A mined transaction.
pub(super) fn mined(transaction: Recovered<TxEnvelope>, place: Place<'_>) -> Transaction {
    let info = TransactionInfo {
        hash: Some(*transaction.tx_hash()),
        index: Some(u64::from(place.index)),
        block_hash: Some(place.hash),
        block_number: Some(place.header.number),
        base_fee: place.header.base_fee_per_gas,
        block_timestamp: Some(place.header.timestamp),
    };
    Transaction::from_transaction(transaction, info)
}

/// A transaction that waits in the pool.
pub(super) fn waiting(transaction: Recovered<TxEnvelope>) -> Transaction {
    let info = TransactionInfo { hash: Some(*transaction.tx_hash()), ..TransactionInfo::default() };
    Transaction::from_transaction(transaction, info)
}

/// A block with its transactions in full or by hash.
pub(super) fn block(
    hash: B256,
    header: &Header,
    transactions: Vec<Recovered<TxEnvelope>>,
    full: bool,
) -> Block {
    let size = block_bytes(header, &transactions);
    let transactions = if full {
        let place = |index| Place { hash, header, index };
        let transactions = (0_u32..).zip(transactions).map(|(index, tx)| mined(tx, place(index)));
        BlockTransactions::Full(transactions.collect())
    } else {
        BlockTransactions::Hashes(transactions.iter().map(|tx| *tx.tx_hash()).collect())
    };
    let header = with_size(hash, header, size);
    let withdrawals = header.withdrawals_root.map(|_| Default::default());
    Block { header, uncles: Vec::new(), transactions, withdrawals }
}

/// A header alone; its size is that of no block, so it is left out.
pub(super) fn header(hash: B256, header: &Header) -> Result<Encoded, RpcError> {
    encode(&alloy_rpc_types_eth::Header::from_consensus(
        Sealed::new_unchecked(header.clone(), hash),
        None,
        None,
    ))
}

fn with_size(hash: B256, header: &Header, size: usize) -> alloy_rpc_types_eth::Header {
    let sealed = Sealed::new_unchecked(header.clone(), hash);
    alloy_rpc_types_eth::Header::from_consensus(sealed, None, Some(U256::from(size)))
}

/// Length of the block's RLP: header, transactions, no ommers, no withdrawals.
fn block_bytes(header: &Header, transactions: &[Recovered<TxEnvelope>]) -> usize {
    let list = |payload: usize| payload.saturating_add(alloy_rlp::length_of_length(payload));
    let transactions: usize = transactions.iter().map(|transaction| transaction.inner().length()).sum();
    let ommers_and_withdrawals = 2;
    list(header.length().saturating_add(list(transactions)).saturating_add(ommers_and_withdrawals))
}

/// Logs of one receipt with their place in the chain.
pub(super) fn logs(receipt: &StoredReceipt, transaction: B256, place: Place<'_>) -> Vec<Log> {
    placed(receipt.logs.iter().cloned(), receipt.first_log_index, transaction, place)
}

/// Logs of one transaction, counted from `first`.
pub(super) fn placed(
    logs: impl IntoIterator<Item = alloy_primitives::Log>,
    first: u64,
    transaction: B256,
    place: Place<'_>,
) -> Vec<Log> {
    let logs = (first..).zip(logs);
    logs.map(|(log_index, inner)| Log {
        inner,
        block_hash: Some(place.hash),
        block_number: Some(place.header.number),
        block_timestamp: Some(place.header.timestamp),
        transaction_hash: Some(transaction),
        transaction_index: Some(u64::from(place.index)),
        log_index: Some(log_index),
        removed: false,
    })
    .collect()
}

/// A receipt.
pub(super) fn receipt(
    stored: &StoredReceipt,
    transaction: &Recovered<TxEnvelope>,
    place: Place<'_>,
) -> TransactionReceipt {
    let transaction_hash = *transaction.tx_hash();
    let receipt = Receipt {
        status: stored.succeeded.into(),
        cumulative_gas_used: stored.cumulative_gas_used,
        logs: logs(stored, transaction_hash, place),
    };
    let inner = ReceiptWithBloom { receipt, logs_bloom: logs_bloom(&stored.logs) };
    let from = transaction.signer();
    TransactionReceipt {
        inner: ReceiptEnvelope::from_typed(transaction.tx_type(), inner),
        transaction_hash,
        transaction_index: Some(u64::from(place.index)),
        block_hash: Some(place.hash),
        block_number: Some(place.header.number),
        gas_used: stored.gas_used,
        effective_gas_price: transaction.effective_gas_price(place.header.base_fee_per_gas),
        blob_gas_used: None,
        blob_gas_price: None,
        from,
        to: transaction.to(),
        contract_address: transaction.is_create().then(|| from.create(transaction.nonce())),
    }
}
