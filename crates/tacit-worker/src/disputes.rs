//! Answers challenges of audited answers on the ledger (`specs/0011-audits.md`), in time and whatever was interrupted.
//!
//! A challenge that is not answered within an hour costs the whole stake. So a receipt that commits to a trace is only given out once its ledger has a root of
//! the weights that is this worker's own, a block is on disk from which challenges are looked for, and, in the transaction that keeps the answer, what it takes to do the
//! run again. Nothing else is remembered: what is to be done next follows from the challenge on the ledger, so a step that was cut off is taken again.

use core::time::Duration;
use std::sync::{Arc, PoisonError};

use alloy_primitives::{Address, B256};
use tacit_abi::{
    IAudits::{self, IAuditsErrors},
    audits::UNSETTLED_S,
};
use tacit_graph::trace::Node;
use tacit_wire::{LedgerError, Revert, ledger::LOG_PAGE_BLOCKS};

use crate::{
    engine::Revealed,
    served::ServedModel,
    worker::{Worker, WorkerError},
};

/// How long what it takes to do a run again is kept: while it may be challenged, and the longest dispute after.
pub const KEEP_S: u64 = UNSETTLED_S;

/// How often challenges are looked for.
const POLL: Duration = Duration::from_secs(3);
/// Blocks without challenges that are searched again after a restart rather than noted.
const UNNOTED_BLOCKS_MAX: u64 = 1_000;

/// Turns of a challenge, as the ledger numbers them.
const REVEAL: u8 = 1;
const CHOOSE: u8 = 2;
const CONVICT: u8 = 3;

impl Worker {
    /// Looks for challenges and answers them until dropped. [`Self::serve`] runs this beside the requests.
    pub(crate) async fn respond_forever(self: Arc<Self>) {
        loop {
            if let Err(error) = self.answer_challenges().await {
                tracing::warn!(%error, "challenges are not answered yet");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Takes the step that is this worker's in every challenge of its receipts, and the bonds of those that were given up.
    ///
    /// # Errors
    /// [`WorkerError`]; what is left is taken up next time.
    pub async fn answer_challenges(&self) -> Result<(), WorkerError> {
        let _alone = self.disputing.lock().await;
        let Some(from) = self.store.watched()? else { return Ok(()) };
        self.find_challenges(from).await?;
        let mut failure = None;
        for (id, receipt) in self.store.challenges()? {
            // One challenge that cannot be answered does not keep the others waiting.
            if let Err(error) = self.answer_challenge(id, receipt).await {
                tracing::warn!(%error, %id, "a challenge is not answered yet");
                failure = failure.or(Some(error));
            }
        }
        self.store.forget_runs(self.clock.unix_time_s())?;
        failure.map_or(Ok(()), Err)
    }

    /// Keeps on disk what was opened since the block that was searched last.
    async fn find_challenges(&self, from: u64) -> Result<(), WorkerError> {
        let latest = self.ledger.block_number().await?;
        let mut first = from;
        while first <= latest {
            let last = first.saturating_add(LOG_PAGE_BLOCKS.saturating_sub(1)).min(latest);
            let found = self.ledger.challenges_of(self.address(), first, last).await?;
            let found: Vec<(B256, B256)> = found.iter().map(|opened| (opened.id, opened.receipt)).collect();
            let next = last.saturating_add(1);
            if !found.is_empty() || next.saturating_sub(first) >= UNNOTED_BLOCKS_MAX {
                self.store.put_challenges(&found, next)?;
            }
            first = next;
        }
        Ok(())
    }

    async fn answer_challenge(&self, id: B256, receipt: B256) -> Result<(), WorkerError> {
        let challenge = self.ledger.challenge_of(id).await?;
        let open = challenge.filter(|challenge| matches!(challenge.turn, REVEAL | CHOOSE | CONVICT));
        let Some(challenge) = open else { return Ok(self.store.remove_challenge(id)?) };
        if self.ledger.is_convicted(receipt).await? {
            tracing::error!(%receipt, "this worker was convicted");
            return Ok(self.store.remove_challenge(id)?);
        }
        if challenge.turn == REVEAL {
            return self.reveal(id, &challenge).await;
        }
        let now = self.clock.unix_time_s().max(self.ledger.block_time_s().await?);
        if now <= challenge.deadline {
            return Ok(());
        }
        match self.ledger.settle_challenge(&self.wallet, id).await {
            // Our clock is ahead of the ledger's.
            Err(LedgerError::Reverted(Revert::Audits(IAuditsErrors::StillOpen(_)))) => Ok(()),
            settled => {
                settled?;
                tracing::info!(%id, "a challenge was given up; its bond is ours");
                Ok(self.store.remove_challenge(id)?)
            }
        }
    }

    /// Shows what lies under the disputed node.
    async fn reveal(&self, id: B256, challenge: &IAudits::Challenge) -> Result<(), WorkerError> {
        let run = self.store.run(challenge.receipt)?.ok_or(WorkerError::NoRun { challenge: id })?;
        let model = self.models.get(&run.model_id).ok_or(WorkerError::NoRun { challenge: id })?;
        let engine = Arc::clone(model.engine());
        let node = Node { level: challenge.level, index: u64::from(challenge.index) };
        let revealing = tokio::task::spawn_blocking(move || engine.reveal(&run.values, node));
        let revealed = revealing.await.map_err(|_| WorkerError::NoRun { challenge: id })??;
        match revealed {
            Revealed::Hashes(hashes) => {
                let hashes = hashes.into_iter().map(B256::from).collect();
                self.ledger.reveal(&self.wallet, id, hashes).await?
            }
            Revealed::Tile(tile) => self.ledger.reveal_tile(&self.wallet, id, tile.into()).await?,
        };
        tracing::info!(%id, level = challenge.level, "a challenge was answered");
        Ok(())
    }

    /// Whether runs of a model can be defended: the registered weights are this worker's own, and challenges are looked for.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub(crate) async fn is_disputable(&self, model: &ServedModel) -> Result<bool, WorkerError> {
        let model_id = model.model_id();
        let known = |worker: &Self| {
            worker.disputable.lock().unwrap_or_else(PoisonError::into_inner).contains(&model_id)
        };
        if known(self) {
            return Ok(true);
        }
        let Some(own) = model.engine().weights_root() else { return Ok(false) };
        if self.ledger.weights_of(model_id).await? != Some(own) {
            return Ok(false);
        }
        // On disk before any receipt that might be challenged is given out.
        self.store.watch_from(self.ledger.block_number().await?)?;
        self.disputable.lock().unwrap_or_else(PoisonError::into_inner).insert(model_id);
        Ok(true)
    }

    /// Registers the weights of a model that this account published, once, and says whether its runs can be defended.
    pub(crate) async fn register_weights(&self, model: &ServedModel) -> Result<bool, WorkerError> {
        let model_id = model.model_id();
        let Some(own) = model.engine().weights_root() else { return Ok(false) };
        if self.ledger.weights_of(model_id).await?.is_none()
            && self.owner_of(model_id).await? == self.address()
        {
            self.ledger.register_weights(&self.wallet, model_id, own).await?;
        }
        let disputable = self.is_disputable(model).await?;
        if !disputable {
            let registered = self.ledger.weights_of(model_id).await?;
            tracing::warn!(%model_id, %own, ?registered, "not offered as audited: the registered weights are not this worker's");
        }
        Ok(disputable)
    }

    async fn owner_of(&self, model_id: B256) -> Result<Address, WorkerError> {
        Ok(self.ledger.listing(model_id).await?.model.owner)
    }
}
