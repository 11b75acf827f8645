//! What the log and the measurements say of epochs, and what an epoch leaves behind on the disk.

use crate::{certify::Marshal, epochs::record};
use commonware_consensus::types::{Epoch, Height};
use commonware_cryptography::ed25519::PublicKey;
use commonware_glue::dkg::types::EpochOutcome;
use commonware_runtime::{
    Metrics, Spawner, Storage,
    telemetry::metrics::{GaugeExt as _, MetricsExt as _},
};
use core::num::NonZeroU64;
use futures::{StreamExt as _, channel::mpsc};
use tracing::{error, info, warn};

/// Watches epochs begin.
pub(crate) struct Watch {
    pub(crate) me: PublicKey,
    pub(crate) marshal: Marshal,
    pub(crate) epoch_blocks: NonZeroU64,
    /// Epochs that stake is held for after its key has left the set.
    pub(crate) unbonding_epochs: u32,
    /// Where an epoch's votes are kept, without its number.
    pub(crate) votes: String,
}

impl Watch {
    /// Runs in a task below `context`, for as long as epochs are told.
    pub(crate) fn start<E: Spawner + Metrics + Storage>(
        self,
        context: E,
        mut epochs: mpsc::UnboundedReceiver<Epoch>,
    ) {
        context.spawn(move |context| async move {
            let failed = context.gauge("dealings_failed", "dealings in a row that did not succeed");
            while let Some(epoch) = epochs.next().await {
                let failures = self.tell(epoch).await;
                // More than a gauge can hold is not reached.
                let _ = failed.try_set(failures);
                self.sweep(&context, epoch).await;
            }
        });
    }

    /// Says how the epoch begins; gives how many dealings in a row have failed.
    async fn tell(&self, epoch: Epoch) -> u32 {
        let mut failures = 0;
        let mut at = epoch;
        loop {
            let last = at.get().checked_mul(self.epoch_blocks.get()).and_then(|first| first.checked_sub(1));
            let block = self.marshal.get_block(Height::new(last.unwrap_or(0))).await;
            let Some(record) = block.and_then(|block| record(block.inner())) else { break };
            if at == epoch {
                let votes = record.output.players().position(&self.me).is_some();
                let next = record.players.position(&self.me).is_some();
                info!(%epoch, validators = record.output.players().len(), votes, next, "epoch begins");
            }
            let (EpochOutcome::Failure, Some(before)) = (record.outcome, at.previous()) else { break };
            failures += 1;
            if failures > self.unbonding_epochs {
                error!(%epoch, failures, "no dealing succeeds: those who left go on, and their stakes stay");
                return failures;
            }
            at = before;
        }
        if failures > 0 {
            warn!(%epoch, failures, "the dealing to the next validators failed: those of before go on");
        }
        failures
    }

    /// Removes the votes of an epoch that is over: nobody comes back to it.
    async fn sweep<E: Storage>(&self, context: &E, epoch: Epoch) {
        let Some(over) = epoch.get().checked_sub(2) else { return };
        // There is nothing to remove where this validator was not there.
        let _ = context.remove(&format!("{}_consensus_{over}", self.votes), None).await;
    }
}
