//! Source and sink behind pointers, so that the engine is compiled for one type of each.

use alloy_consensus::{Header, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, TxHash};
use core::fmt;
use futures::future::BoxFuture;
use std::sync::Arc;
use tacit_consensus::{BlockSink, CandidateLimits, ChainBlock, TransactionSource};

/// Any [`TransactionSource`].
#[derive(Clone)]
pub struct SharedSource(Arc<dyn ErasedSource>);

/// Any [`BlockSink`].
#[derive(Clone)]
pub struct SharedSink(Arc<dyn ErasedSink>);

/// A sink did not take a block.
#[derive(Debug, thiserror::Error)]
#[error("the block was not taken")]
pub struct SinkFailed(#[source] Box<dyn core::error::Error + Send + Sync>);

impl SharedSource {
    /// Hides the type of `source`.
    pub fn new(source: impl TransactionSource) -> Self {
        Self(Arc::new(source))
    }
}

impl SharedSink {
    /// Hides the type of `sink`.
    pub fn new(sink: impl BlockSink) -> Self {
        Self(Arc::new(sink))
    }
}

impl fmt::Debug for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSource")
    }
}

impl fmt::Debug for SharedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSink")
    }
}

impl TransactionSource for SharedSource {
    async fn ready(&self) {
        self.0.ready().await;
    }

    async fn candidates(&self, parent: &Header, limits: CandidateLimits) -> Vec<Recovered<TxEnvelope>> {
        self.0.candidates(parent, limits).await
    }

    fn sender(&self, hash: &TxHash) -> Option<Address> {
        self.0.sender(hash)
    }
}

impl BlockSink for SharedSink {
    type Error = SinkFailed;

    async fn finalized(&self, block: &ChainBlock) -> Result<(), SinkFailed> {
        self.0.finalized(block).await
    }
}

trait ErasedSource: Send + Sync {
    fn ready(&self) -> BoxFuture<'_, ()>;
    fn candidates<'a>(
        &'a self,
        parent: &'a Header,
        limits: CandidateLimits,
    ) -> BoxFuture<'a, Vec<Recovered<TxEnvelope>>>;
    fn sender(&self, hash: &TxHash) -> Option<Address>;
}

impl<T: TransactionSource> ErasedSource for T {
    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(TransactionSource::ready(self))
    }

    fn candidates<'a>(
        &'a self,
        parent: &'a Header,
        limits: CandidateLimits,
    ) -> BoxFuture<'a, Vec<Recovered<TxEnvelope>>> {
        Box::pin(TransactionSource::candidates(self, parent, limits))
    }

    fn sender(&self, hash: &TxHash) -> Option<Address> {
        TransactionSource::sender(self, hash)
    }
}

trait ErasedSink: Send + Sync {
    fn finalized<'a>(&'a self, block: &'a ChainBlock) -> BoxFuture<'a, Result<(), SinkFailed>>;
}

impl<S: BlockSink> ErasedSink for S {
    fn finalized<'a>(&'a self, block: &'a ChainBlock) -> BoxFuture<'a, Result<(), SinkFailed>> {
        Box::pin(async move {
            BlockSink::finalized(self, block).await.map_err(|error| SinkFailed(Box::new(error)))
        })
    }
}
