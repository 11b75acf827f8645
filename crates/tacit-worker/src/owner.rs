//! What an owner tells a running worker, and what the worker tells its owner.
//!
//! # Draining
//! A worker that is drained refuses what is new (`draining`), takes its asks off the ledger so that nobody chooses it, lets what runs end, settles every voucher whatever its amount, and anchors every
//! receipt. It goes on to take vouchers and to answer challenges. The order is on disk before it is acknowledged, and holds over a restart, until the owner says otherwise: a machine that comes back by
//! itself does not begin to take requests that its owner did not want.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use tacit_abi::{IAsks, asks::ASK_STAKE};
use tacit_wire::{
    Amount,
    owner::{
        AuditReport, LanguageReport, MoneyReport, ORDER_SKEW_MS, Occupied, OwnerAction, OwnerReport,
        OwnerRequest, StakeReport, Waiting,
    },
};

use crate::{
    language::LanguageModel,
    reject::JobReject,
    store::StoreError,
    worker::{Worker, WorkerError},
};

/// What the owner said, and what is told of it.
#[derive(Debug, Default)]
pub(crate) struct Owner {
    /// Since when nothing new is taken, seconds since 1970; 0 where it is.
    drained_since_s: AtomicU64,
    /// Asks are to be set or taken back, soon.
    asks_due: AtomicBool,
    pub(crate) started_s: u64,
    /// When the ledger was last paid out by; 0 when it was not.
    pub(crate) settled_at_s: AtomicU64,
    /// One order at a time.
    ordering: tokio::sync::Mutex<()>,
}

impl Owner {
    pub(crate) fn new(drained_since_s: Option<u64>, started_s: u64) -> Self {
        let drained_since_s = AtomicU64::new(drained_since_s.unwrap_or_default());
        Self { drained_since_s, started_s, ..Self::default() }
    }

    /// Since when nothing new is taken.
    pub(crate) fn drained_since_s(&self) -> Option<u64> {
        Some(self.drained_since_s.load(Ordering::Acquire)).filter(|since| *since > 0)
    }

    /// Whether asks are to be looked at; once.
    pub(crate) fn take_asks_due(&self) -> bool {
        self.asks_due.swap(false, Ordering::AcqRel)
    }

    /// Has asks looked at again.
    pub(crate) fn set_asks_due(&self) {
        self.asks_due.store(true, Ordering::Release);
    }
}

impl Worker {
    /// Whether nothing new is taken, because the owner said so.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.owner.drained_since_s().is_some()
    }

    /// Does what the owner says.
    pub(crate) async fn obey(self: &Arc<Self>, request: &OwnerRequest) -> Result<OwnerReport, JobReject> {
        let expected = self.address();
        let got = request.signer(expected, self.ledger.chain_id())?;
        if got != expected {
            return Err(JobReject::NotOwner { got });
        }
        let now_ms = self.clock.unix_time_s().saturating_mul(1_000);
        if request.issued_at_ms.abs_diff(now_ms) > ORDER_SKEW_MS {
            return Err(JobReject::OrderTime { issued_at_ms: request.issued_at_ms, now_ms });
        }
        // What is told is what is on disk, so that nothing that was taken is left out of it.
        // On a task of its own: an owner that hangs up does not leave a write half told.
        let _ = tokio::spawn(Arc::clone(self).write_pending()).await;
        let drain = match request.action {
            OwnerAction::Status => return Ok(self.report().await?),
            OwnerAction::Drain => true,
            OwnerAction::Resume => false,
        };
        let _alone = self.owner.ordering.lock().await;
        let before = self.owner.drained_since_s();
        let since = drain.then(|| before.unwrap_or_else(|| self.clock.unix_time_s().max(1)));
        if !self.store.put_order(request.issued_at_ms, since)? {
            return Err(JobReject::OrderReplayed);
        }
        self.owner.drained_since_s.store(since.unwrap_or_default(), Ordering::Release);
        if before.is_some() != drain {
            tracing::info!(drained = drain, "the owner said so");
        }
        // Settles and anchors at once.
        self.owner.set_asks_due();
        self.paid.notify_one();
        Ok(self.report().await?)
    }

    /// Takes every ask of this account off the ledger.
    pub(crate) async fn withdraw_asks(&self) -> Result<(), WorkerError> {
        for (model_id, IAsks::Ask { terms, .. }) in self.ledger.asks_of(self.address()).await? {
            self.ledger.remove_ask(&self.wallet, model_id, terms.privacy, terms.evidence).await?;
        }
        Ok(())
    }

    /// How the worker is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn report(&self) -> Result<OwnerReport, StoreError> {
        let languages: Vec<LanguageReport> =
            self.languages.models().into_iter().map(|model| language_report(model)).collect();
        let most = self.limits.running_max.saturating_add(self.limits.waiting_max);
        let free = self.admitted.available_permits();
        let jobs = Occupied { taken: wide(most.saturating_sub(free)), most: wide(most) };
        let money = self.money()?;
        let (stake, audits) = match self.at_stake().await {
            Ok((stake, audits)) => (Some(stake), audits),
            Err(WorkerError::Store(error)) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "the ledger does not say what is at stake");
                (None, self.audits(0)?)
            }
        };
        let drained_since_s = self.owner.drained_since_s();
        let now_s = self.clock.unix_time_s();
        let waiting_for = match drained_since_s {
            None => Vec::new(),
            Some(_) => waiting_for(&languages, jobs, &money, &audits, stake.as_ref(), now_s),
        };
        Ok(OwnerReport {
            worker: self.address(),
            now_s,
            started_s: self.owner.started_s,
            drained_since_s,
            safe_to_stop: drained_since_s.is_some() && waiting_for.is_empty(),
            waiting_for,
            languages,
            jobs,
            refused: self.refused.all(),
            money,
            audits,
            stake,
        })
    }

    pub(crate) fn money(&self) -> Result<MoneyReport, StoreError> {
        let earnings = self.earnings()?;
        let settled_at_s = self.owner.settled_at_s.load(Ordering::Acquire);
        let in_batches: usize = self.store.open_batches()?.iter().map(|(_, batch)| batch.leaves.len()).sum();
        Ok(MoneyReport {
            promised: earnings.vouchered,
            settled: earnings.settled,
            // What the ledger paid counts as promised, so that this is no less than nothing.
            unsettled: earnings.vouchered.checked_sub(earnings.settled).unwrap_or_default(),
            unpromised: self.store.unpromised()?,
            unanchored: earnings.unanchored.saturating_add(wide(in_batches)),
            settled_at_s: Some(settled_at_s).filter(|at| *at > 0),
        })
    }

    async fn at_stake(&self) -> Result<(StakeReport, AuditReport), WorkerError> {
        let stake = self.ledger.stake_of(self.address()).await?;
        let asks = wide(self.ledger.asks_of(self.address()).await?.len());
        let mut lost = 0_u64;
        for (_, receipt) in self.store.challenges()? {
            lost = lost.saturating_add(u64::from(self.ledger.is_convicted(receipt).await?));
        }
        let exposure = self.ledger.exposure_of(self.address()).await?;
        let backing = Amount(ASK_STAKE.saturating_mul(asks.into()).min(stake.bonded));
        let stake = StakeReport {
            bonded: Amount(stake.bonded),
            backing,
            asks,
            unbonding: Amount(stake.unbonding),
            release_at_s: Some(stake.releaseAt).filter(|at| *at > 0),
            covered: Amount(exposure.taken),
            coverable: Amount(exposure.limit),
            period_ends_s: exposure.endsAt,
        };
        Ok((stake, self.audits(lost)?))
    }

    fn audits(&self, lost: u64) -> Result<AuditReport, StoreError> {
        let open = wide(self.store.challenges()?.len());
        Ok(AuditReport { open, lost, until_s: self.store.runs_until()? })
    }
}

fn waiting_for(
    languages: &[LanguageReport],
    jobs: Occupied,
    money: &MoneyReport,
    audits: &AuditReport,
    stake: Option<&StakeReport>,
    now_s: u64,
) -> Vec<Waiting> {
    let running = jobs.taken > 0 || languages.iter().any(|model| model.places.taken > 0);
    let disputable = audits.open > 0 || audits.until_s.is_some_and(|until| until >= now_s);
    [
        (stake.is_none(), Waiting::Ledger),
        (stake.is_some_and(|stake| stake.asks > 0), Waiting::Asks),
        (running, Waiting::Requests),
        (money.unsettled > Amount::ZERO, Waiting::Settlement),
        (money.unanchored > 0, Waiting::Anchors),
        (disputable, Waiting::Disputes),
    ]
    .into_iter()
    .filter_map(|(waits, what)| waits.then_some(what))
    .collect()
}

fn language_report(model: &LanguageModel) -> LanguageReport {
    let (status, used) = (model.status(), model.usage.used());
    LanguageReport {
        model_id: status.model_id,
        name: status.name,
        prices: status.prices,
        available: status.available,
        places: Occupied { taken: used.taken.into(), most: status.capacity.into() },
        utilisation: used.utilisation(status.capacity),
        requests: used.requests,
        first_byte_p50_ms: used.wait_ms(50),
        first_byte_p99_ms: used.wait_ms(99),
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stake(asks: u64) -> StakeReport {
        StakeReport {
            bonded: Amount(1),
            backing: Amount(asks.into()),
            asks,
            unbonding: Amount(0),
            release_at_s: None,
            covered: Amount(0),
            coverable: Amount(0),
            period_ends_s: 0,
        }
    }

    /// A drained worker with nothing else to wait for, whose answers may be disputed until second 100.
    fn waits(open: u64, until_s: Option<u64>, now_s: u64) -> Vec<Waiting> {
        let stake = stake(0);
        let audits = AuditReport { open, lost: 0, until_s };
        waiting_for(
            &[],
            Occupied { taken: 0, most: 1 },
            &MoneyReport::default(),
            &audits,
            Some(&stake),
            now_s,
        )
    }

    #[test]
    fn answers_are_waited_for_to_the_second_until_which_they_may_be_disputed() {
        assert_eq!(waits(0, None, 0), []);
        for (now_s, expected) in [(0, true), (100, true), (101, false)] {
            assert_eq!(waits(0, Some(100), now_s) == [Waiting::Disputes], expected, "{now_s}");
        }
        // A dispute is waited for however long it takes.
        assert_eq!(waits(1, Some(100), u64::MAX), [Waiting::Disputes]);
        assert_eq!(waits(1, None, 0), [Waiting::Disputes]);
    }

    #[test]
    fn each_thing_that_is_not_done_is_waited_for() {
        let audits = AuditReport::default();
        let busy = Occupied { taken: 1, most: 1 };
        let money = MoneyReport { unsettled: Amount(1), unanchored: 1, ..MoneyReport::default() };
        let expected = [Waiting::Ledger, Waiting::Requests, Waiting::Settlement, Waiting::Anchors];
        assert_eq!(waiting_for(&[], busy, &money, &audits, None, 0), expected);
        let stake = stake(1);
        let idle = Occupied { taken: 0, most: 1 };
        let found = waiting_for(&[], idle, &MoneyReport::default(), &audits, Some(&stake), 0);
        assert_eq!(found, [Waiting::Asks]);
    }
}
