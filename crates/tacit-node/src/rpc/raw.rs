//! Headers, blocks, receipts and transactions as their hashes and roots see them: `debug_getRaw*`.

use alloy_consensus::{Block, BlockBody, Receipt, ReceiptEnvelope, ReceiptWithBloom, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Bytes, logs_bloom};
use alloy_rlp::Encodable;

use super::{
    error::RpcError,
    frame::{Encoded, encode},
    params::Params,
    read,
    server::Service,
};

pub(super) fn header(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let block = params.required_block()?;
    params.end()?;
    let view = service.shared().store.view()?;
    let found = read::resolve(view.as_ref(), block)?.ok_or(RpcError::UnknownBlock)?;
    encode(&Bytes::from(alloy_rlp::encode(&found.header)))
}

pub(super) fn block(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let block = params.required_block()?;
    params.end()?;
    let view = service.shared().store.view()?;
    let found = read::resolve(view.as_ref(), block)?.ok_or(RpcError::UnknownBlock)?;
    let transactions = view.transactions(found.header.number)?;
    let transactions = transactions.into_iter().map(|mined| mined.into_inner()).collect();
    let withdrawals = found.header.withdrawals_root.map(|_| Default::default());
    let body = BlockBody::<TxEnvelope> { transactions, ommers: Vec::new(), withdrawals };
    let mut bytes = Vec::new();
    Block { header: found.header, body }.encode(&mut bytes);
    encode(&Bytes::from(bytes))
}

pub(super) fn receipts(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let block = params.required_block()?;
    params.end()?;
    let view = service.shared().store.view()?;
    let found = read::resolve(view.as_ref(), block)?.ok_or(RpcError::UnknownBlock)?;
    let height = found.header.number;
    let mined = view.transactions(height)?.into_iter().zip(view.receipts(height)?);
    let encoded = mined.map(|(transaction, stored)| {
        let logs_bloom = logs_bloom(&stored.logs);
        let (status, cumulative_gas_used) = (stored.succeeded.into(), stored.cumulative_gas_used);
        let receipt = Receipt { status, cumulative_gas_used, logs: stored.logs };
        let receipt = ReceiptWithBloom { receipt, logs_bloom };
        Bytes::from(ReceiptEnvelope::from_typed(transaction.tx_type(), receipt).encoded_2718())
    });
    encode(&encoded.collect::<Vec<_>>())
}
