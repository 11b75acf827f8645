//! Turns vouchers into coins and receipts into anchors.
//!
//! A batch is written down before its transaction is sent, and asked about before it is sent again; settling the same
//! voucher twice is refused by the ledger. So a crash between any two steps costs at most gas.

use core::{sync::atomic::Ordering, time::Duration};
use std::{sync::Arc, time::Instant};

use alloy_primitives::B256;
use tacit_abi::{IChannels::IChannelsErrors, IReceipts::IReceiptsErrors};
use tacit_wire::{Amount, LedgerError, Revert};

use crate::{
    store::{BatchRecord, Promise, Store, StoreError},
    worker::{Worker, WorkerError},
};

/// When to settle and anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettlementPolicy {
    /// How often to look, when no payment comes.
    pub poll: Duration,
    /// How long after a payment to wait for more receipts before a batch is anchored.
    pub anchor_delay: Duration,
    /// Most receipts in a batch.
    pub batch_receipts_max: usize,
    /// Settle a channel when this much is unsettled.
    pub settle_threshold: Amount,
}

impl Default for SettlementPolicy {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(10),
            anchor_delay: Duration::from_millis(250),
            batch_receipts_max: 1024,
            // Half of a gateway's usual deposit.
            settle_threshold: Amount(5 * 10_u128.pow(16)),
        }
    }
}

/// How often asks are looked at: they live for weeks.
const RENEWAL: Duration = Duration::from_secs(3600);

impl Worker {
    /// Settles, anchors and beats until dropped. [`Self::serve`] runs this beside the requests.
    pub(crate) async fn settle_forever(self: Arc<Self>) {
        let mut renewed = Instant::now();
        let mut looked = Instant::now();
        let mut failed = false;
        let (mut tried, mut unbeaten) = (Instant::now(), false);
        loop {
            let pause = failed && renewed.elapsed() < self.settlement.poll;
            if !pause && (failed || self.owner.take_asks_due() || renewed.elapsed() >= RENEWAL) {
                renewed = Instant::now();
                let asked = self.renew_asks().await;
                failed = asked.is_err();
                if let Err(error) = asked {
                    tracing::warn!(%error, "asks are not renewed yet");
                }
            }
            if !unbeaten || tried.elapsed() >= self.settlement.poll {
                tried = Instant::now();
                let beaten = self.beat_if_due().await;
                unbeaten = beaten.is_err();
                if let Err(error) = beaten {
                    tracing::warn!(%error, "the ledger is not told yet that this worker is there");
                }
            }
            let paid = tokio::time::timeout(self.settlement.poll, self.paid.notified()).await.is_ok();
            if paid {
                tokio::time::sleep(self.settlement.anchor_delay).await;
            }
            if let Err(error) = self.anchor_receipts().await {
                tracing::warn!(%error, "receipts are not anchored yet");
            }
            // Whether channels are closing is asked of the ledger, once in a while: streams pay many times a second.
            let look = looked.elapsed() >= self.settlement.poll;
            if look {
                looked = Instant::now();
            }
            let settled = match (self.is_drained(), look) {
                (true, _) => self.settle_all().await,
                (false, true) => self.settle_due().await,
                (false, false) => self.settle_large().await,
            };
            if let Err(error) = settled {
                tracing::warn!(%error, "channels are not settled yet");
            }
        }
    }

    /// Anchors every paid receipt that is not anchored, and finishes batches that a crash left open.
    ///
    /// # Errors
    /// [`WorkerError`]; what is left is taken up next time.
    pub async fn anchor_receipts(self: &Arc<Self>) -> Result<(), WorkerError> {
        for (root, batch) in self.store.open_batches()? {
            self.anchor(root, &batch).await?;
        }
        let (receipts_max, chain_id) = (self.settlement.batch_receipts_max, self.ledger.chain_id());
        while let Some(root) = self.beside(move |store| store.begin_batch(receipts_max, chain_id)).await? {
            if let Some(batch) = self.store.batch(root)? {
                self.anchor(root, &batch).await?;
            }
        }
        Ok(())
    }

    /// Does what waits for the disk on a thread that answers nobody.
    async fn beside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, WorkerError> {
        let worker = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&worker.store)).await;
        done.map_err(|_| WorkerError::Interrupted)?.map_err(WorkerError::from)
    }

    async fn anchor(self: &Arc<Self>, root: B256, batch: &BatchRecord) -> Result<(), WorkerError> {
        let block = match self.ledger.anchor_of(root).await {
            Ok(anchor) => anchor.block,
            Err(LedgerError::Reverted(Revert::Receipts(IReceiptsErrors::UnknownRoot(_)))) => {
                let count = u32::try_from(batch.leaves.len()).unwrap_or(u32::MAX);
                self.ledger.anchor(&self.wallet, root, count).await?.block
            }
            Err(error) => return Err(error.into()),
        };
        self.beside(move |store| store.end_batch(root, block)).await
    }

    /// Settles channels that owe much or are closing.
    ///
    /// # Errors
    /// [`WorkerError`]; what is left is taken up next time.
    pub async fn settle_due(&self) -> Result<(), WorkerError> {
        let mut failure = None;
        for promise in self.store.promises()? {
            let Some(unsettled) = unsettled(&promise) else { continue };
            // One channel that cannot be settled does not keep the coins of the others.
            if let Err(error) = self.settle_if_due(&promise, unsettled).await {
                failure = failure.or(Some(error));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Settles channels that owe much.
    async fn settle_large(&self) -> Result<(), WorkerError> {
        let mut failure = None;
        for promise in self.store.promises()? {
            if unsettled(&promise).is_some_and(|amount| amount >= self.settlement.settle_threshold)
                && let Err(error) = self.settle(&promise).await
            {
                failure = failure.or(Some(error));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn settle_if_due(&self, promise: &Promise, unsettled: Amount) -> Result<(), WorkerError> {
        let due = unsettled >= self.settlement.settle_threshold
            || self.ledger.channel(promise.channel_id).await?.closeAt != 0;
        if due { self.settle(promise).await } else { Ok(()) }
    }

    /// Settles every channel that owes anything, now.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub async fn settle_all(&self) -> Result<(), WorkerError> {
        let mut failure = None;
        for promise in self.store.promises()? {
            if unsettled(&promise).is_some()
                && let Err(error) = self.settle(&promise).await
            {
                failure = failure.or(Some(error));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn settle(&self, promise: &Promise) -> Result<(), WorkerError> {
        let Some(voucher) = &promise.voucher else { return Ok(()) };
        let settled = match self.ledger.settle(&self.wallet, voucher).await {
            Ok(_) => {
                self.owner.settled_at_s.store(self.clock.unix_time_s(), Ordering::Release);
                Amount(voucher.voucher.cumulative)
            }
            // Someone else may have sent it, or we did before a crash: the voucher decides, not the sender.
            Err(LedgerError::Reverted(Revert::Channels(
                IChannelsErrors::StaleVoucher(_) | IChannelsErrors::ChannelClosed(_),
            ))) => Amount(voucher.voucher.cumulative),
            Err(error) => return Err(error.into()),
        };
        Ok(self.store.put_settled(promise.channel_id, settled)?)
    }
}

/// What a channel owes beyond what the ledger has paid, or `None`.
fn unsettled(promise: &Promise) -> Option<Amount> {
    promise.promised().checked_sub(promise.settled).filter(|amount| *amount > Amount::ZERO)
}
