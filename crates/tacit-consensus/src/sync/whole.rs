//! A sink that gets every block, those too that a state sync passes over.

use crate::{block::ChainBlock, certify::Marshal, ports::BlockSink};
use alloy_primitives::B256;
use commonware_consensus::types::Height;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Fills gaps from the archive before it hands a block on. Each block below one that is handed on and above the floor of a state sync
/// is in the archive.
#[derive(Clone)]
pub(crate) struct Whole<S> {
    sink: S,
    marshal: Marshal,
    /// Number of the network's first block.
    first: u64,
    /// Whether a block was handed on: there is no gap any more.
    filled: Arc<AtomicBool>,
}

impl<S: BlockSink> Whole<S> {
    pub(crate) fn new(sink: S, marshal: Marshal, first: u64) -> Self {
        Self { sink, marshal, first, filled: Arc::default() }
    }

    /// Hands on what the sink lacks below this number, as far as the archive has it.
    async fn fill(&self, below: u64) -> Result<(), S::Error> {
        for missing in self.sink.head().saturating_add(1)..below {
            let height = Height::new(missing.saturating_sub(self.first));
            let Some(found) = self.marshal.get_block(height).await else { break };
            self.sink.finalized(found.inner()).await?;
        }
        Ok(())
    }
}

impl<S: BlockSink> BlockSink for Whole<S> {
    type Error = S::Error;

    fn head(&self) -> u64 {
        self.sink.head()
    }

    async fn finalized(&self, block: &ChainBlock) -> Result<(), S::Error> {
        self.fill(block.block().header.number).await?;
        self.sink.finalized(block).await?;
        self.filled.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn state_root(&self, number: u64) -> Result<B256, S::Error> {
        // The first block after a state sync may be about one that was passed over, and waits for the answer.
        if !self.filled.load(Ordering::Relaxed) {
            self.fill(number.saturating_add(1)).await?;
        }
        self.sink.state_root(number).await
    }
}
