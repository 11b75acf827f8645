//! Speaks for audited answers with the stake: no client pays for more of them than the ledger says the stake covers ([`tacit_abi::audits`]).
//!
//! A worker's room is its stake's, so strangers must not use it up: a channel gets room for a few answers, and for as much again as was paid over it, which
//! nobody pays to a worker for nothing. Each time costs the worker a transaction; with that rule they are as many as the doublings of what a client pays.

use alloy_primitives::B256;
use tacit_abi::{
    IAudits::{IAuditsErrors, TooLittleRoom},
    audits::PERIOD_S,
};
use tacit_wire::{
    Amount, LedgerError, Revert,
    ledger::period_at,
    message::{CoverReply, CoverRequest},
};

use crate::{
    reject::JobReject,
    served::{ServedModel, may_be_disputed},
    worker::Worker,
};

/// Answers, of the dearest kind, that a channel is covered for before anything was paid over it.
const FIRST_ANSWERS: u128 = 4;
/// Covers are for so many times what was paid over a channel.
const PAID_TIMES: u128 = 2;
/// Answers, of the dearest kind, that a worker has a stake for which nobody set.
const STAKED_ANSWERS: u128 = 256;

impl Worker {
    /// Covers what a client is about to pay over a channel, if that is no more than it may ask for, and the stake has room.
    ///
    /// # Errors
    /// [`JobReject`].
    pub async fn cover(&self, request: CoverRequest) -> Result<CoverReply, JobReject> {
        let CoverRequest { channel_id, amount } = request;
        if self.is_drained() {
            return Err(JobReject::Draining);
        }
        let listed = self.listed_channel(channel_id).await?;
        if listed.worker != self.address() {
            return Err(JobReject::NotOurChannel { channel_id, client: listed.client });
        }
        if !listed.open || listed.closeAt != 0 {
            return Err(JobReject::ChannelClosing { channel_id });
        }
        let held = self.covered(channel_id).await?;
        if held.covered >= amount {
            return Ok(held);
        }
        let promised = self.store.channel(channel_id)?.map(|channel| channel.promised()).unwrap_or_default();
        let first = self.dearest_audited().0.saturating_mul(FIRST_ANSWERS);
        let allowed = promised.0.saturating_mul(PAID_TIMES).max(first).min(listed.deposit);
        if amount.0 > allowed {
            return Err(JobReject::NotEarned { allowed: Amount(allowed) });
        }
        // One after another: each is a transaction, and two of one channel would cover it twice.
        let _alone = self.covering.lock().await;
        let held = self.covered(channel_id).await?;
        if held.covered >= amount {
            return Ok(held);
        }
        let missing = |wanted: u128| Amount(wanted.saturating_sub(held.covered.0));
        let mined = match self.ledger.cover(&self.wallet, channel_id, missing(allowed)).await {
            // Not as much as later ones need, but enough for this one.
            Err(LedgerError::Reverted(Revert::Audits(IAuditsErrors::TooLittleRoom(TooLittleRoom {
                room,
            }))))
                if room >= missing(amount.0).0 =>
            {
                self.ledger.cover(&self.wallet, channel_id, Amount(room)).await
            }
            mined => mined,
        };
        match mined {
            // The block decides in which period that was.
            Ok(_) => self.covered(channel_id).await,
            Err(LedgerError::Reverted(Revert::Audits(IAuditsErrors::TooLittleRoom(TooLittleRoom {
                room,
            })))) => {
                let ends_at = held.period.saturating_add(1).saturating_mul(PERIOD_S);
                Err(JobReject::NoRoom { room: Amount(room), ends_at })
            }
            Err(error) => Err(JobReject::Ledger(error)),
        }
    }

    /// What is covered on a channel now.
    async fn covered(&self, channel_id: B256) -> Result<CoverReply, JobReject> {
        let exposure = self.ledger.exposure_of(self.address()).await.map_err(JobReject::Ledger)?;
        // A ledger that makes no blocks for a while does not know that a period is over.
        let period = exposure.period.max(period_at(self.clock.unix_time_s()));
        let covered = self.ledger.cover_of(channel_id, period).await.map_err(JobReject::Ledger)?;
        Ok(CoverReply { period, covered })
    }

    /// The dearest answer that this worker's stake has to speak for.
    fn dearest_audited(&self) -> Amount {
        let asks = self.models.values().flat_map(ServedModel::asks);
        let audited = asks.filter(|ask| may_be_disputed(ask.privacy, ask.evidence));
        audited.map(|ask| ask.price).max().unwrap_or_default()
    }

    /// What must be at stake so that audited answers can be sold at all.
    pub(crate) fn stake_for_covers(&self) -> u128 {
        let covered = self.dearest_audited().0.saturating_mul(STAKED_ANSWERS);
        if covered == 0 { 0 } else { tacit_abi::audits::stake_for(covered).unwrap_or(u128::MAX) }
    }
}
