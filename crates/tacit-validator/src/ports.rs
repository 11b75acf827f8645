//! The node as consensus sees it: where transactions come from and final blocks go.

use alloy_consensus::{Header, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, TxHash};
use commonware_codec::Encode as _;
use tacit_consensus::{BlockSink, CandidateLimits, ChainBlock, TransactionSource};
use tacit_node::{FinalBlock, Node, WriteError};

/// Source and sink of one validator.
#[derive(Debug, Clone)]
pub struct Ports(pub(crate) Node);

impl TransactionSource for Ports {
    async fn ready(&self) {
        self.0.ready().await;
    }

    async fn candidates(&self, parent: &Header, limits: CandidateLimits) -> Vec<Recovered<TxEnvelope>> {
        self.0.propose(parent, limits.gas_max, limits.bytes_max)
    }

    fn sender(&self, hash: &TxHash) -> Option<Address> {
        self.0.sender(hash)
    }

    fn seen(&self, number: u64, transactions: &[Recovered<TxEnvelope>]) {
        self.0.seen(number, transactions);
    }
}

impl BlockSink for Ports {
    type Error = WriteError;

    fn head(&self) -> u64 {
        self.0.head().number
    }

    async fn finalized(&self, block: &ChainBlock) -> Result<(), WriteError> {
        let header = block.header();
        // The first block is the node's own beginning.
        if block.seal().height.is_zero() {
            return Ok(());
        }
        let transactions = block.block().body.transactions.clone();
        let seal = Some(block.seal().encode().into());
        // The engine keeps certificates.
        self.0.append(FinalBlock { header, transactions, seal, certificate: None }).await
    }

    async fn state_root(&self, number: u64) -> Result<B256, WriteError> {
        self.0.state_root(number).await
    }
}
