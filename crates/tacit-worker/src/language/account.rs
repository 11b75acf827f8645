//! The running account of a channel: what its requests may be given before a voucher must come.
//!
//! # The rule
//! A request begins, and a piece of an answer is sent, only if afterwards `owed + reserved <= promised + chunk`. **Reserved** is what requests and prompts will cost
//! that were let in and whose answers have not begun: they are owed with the first byte, and not at all if none comes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use alloy_primitives::{Address, B256};
use tacit_abi::{IChannels::Channel, channels::SignedVoucher};
use tacit_wire::{Amount, stream};
use tokio::{sync::Notify, time::Instant};

use crate::store::AccountRecord;

/// The numbers of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Balance {
    pub(super) owed: Amount,
    pub(super) reserved: Amount,
    pub(super) promised: Amount,
}

/// What one request stands for in a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// Let in, and nothing sent.
    Reserved(Amount),
    /// Sent, and owed.
    Owed(Amount),
}

/// So much must be promised before there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand(pub(super) Amount);

impl Balance {
    /// Lets a request in that will cost at least `price`.
    pub(super) fn begin(&mut self, price: Amount, chunk: Amount) -> Result<Share, Demand> {
        self.make_room(self.reserved, self.owed, price, chunk)?;
        self.reserved = Amount(self.reserved.0.saturating_add(price.0));
        Ok(Share::Reserved(price))
    }

    /// Lets a request cost `cost` in all, which may also be less than before.
    pub(super) fn raise(&mut self, share: &mut Share, cost: Amount, chunk: Amount) -> Result<(), Demand> {
        let (reserved, owed) = self.without(*share);
        self.make_room(reserved, owed, cost, chunk)?;
        (self.reserved, self.owed) = (reserved, Amount(owed.0.saturating_add(cost.0)));
        *share = Share::Owed(cost);
        Ok(())
    }

    /// Ends a request: what it reserved is free, what it owes stays.
    pub(super) fn end(&mut self, share: Share) {
        if let Share::Reserved(_) = share {
            self.reserved = self.without(share).0;
        }
    }

    /// Most that the request may cost in all, as things are.
    pub(super) fn room(&self, share: Share, chunk: Amount) -> Amount {
        let (reserved, owed) = self.without(share);
        let others = reserved.0.saturating_add(owed.0);
        Amount(self.promised.0.saturating_add(chunk.0).saturating_sub(others))
    }

    /// What must be promised before the request may cost `cost` in all.
    pub(super) fn demand(&self, share: Share, cost: Amount, chunk: Amount) -> Demand {
        let (reserved, owed) = self.without(share);
        let total = reserved.0.saturating_add(owed.0).saturating_add(cost.0);
        Demand(Amount(total.saturating_sub(chunk.0)))
    }

    /// Reserved and owed of the other requests. A share is part of its balance, so that nothing is cut off here.
    fn without(&self, share: Share) -> (Amount, Amount) {
        match share {
            Share::Reserved(price) => (Amount(self.reserved.0.saturating_sub(price.0)), self.owed),
            Share::Owed(cost) => (self.reserved, Amount(self.owed.0.saturating_sub(cost.0))),
        }
    }

    /// Sums that are more than any amount are more than any promise: cutting them off refuses as well.
    fn make_room(&self, reserved: Amount, owed: Amount, cost: Amount, chunk: Amount) -> Result<(), Demand> {
        let total = reserved.0.saturating_add(owed.0).saturating_add(cost.0);
        if total <= self.promised.0.saturating_add(chunk.0) && total < u128::MAX {
            return Ok(());
        }
        Err(Demand(Amount(total.saturating_sub(chunk.0))))
    }
}

/// An account in memory. What changes is written by the journal.
pub(super) struct Account {
    channel_id: B256,
    pub(super) client: Address,
    pub(super) signer: Address,
    state: Mutex<State>,
    /// Told when there may be more room than before.
    pub(super) changed: Notify,
    dirty: AtomicBool,
}

struct State {
    balance: Balance,
    voucher: Option<SignedVoucher>,
    settled: Amount,
    running: u32,
    listed: Option<Listed>,
}

/// What the ledger said of the channel, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) deposit: Amount,
    /// Neither closed nor closing.
    pub(super) is_open: bool,
    /// Vouchers can be settled.
    pub(super) can_settle: bool,
    pub(super) at: Instant,
}

impl Listed {
    pub(super) fn new(channel: &Channel, at: Instant) -> Self {
        let (can_settle, is_open) = (channel.open, channel.open && channel.closeAt == 0);
        Self { deposit: Amount(channel.deposit), is_open, can_settle, at }
    }
}

impl Account {
    /// After a crash more was sent than is written: what was promised counts as owed.
    fn restored(channel_id: B256, record: AccountRecord) -> Self {
        let promised = record.promised();
        let owed = if record.running { record.owed.max(promised) } else { record.owed };
        let state = State {
            balance: Balance { owed, reserved: Amount::ZERO, promised },
            voucher: record.voucher,
            settled: record.settled,
            running: 0,
            listed: None,
        };
        Self {
            channel_id,
            client: record.client,
            signer: record.signer,
            state: Mutex::new(state),
            changed: Notify::new(),
            dirty: AtomicBool::new(false),
        }
    }

    pub(super) fn channel_id(&self) -> B256 {
        self.channel_id
    }

    /// What is written down.
    pub(super) fn record(&self) -> AccountRecord {
        let state = self.state();
        AccountRecord {
            client: self.client,
            signer: self.signer,
            voucher: state.voucher.clone(),
            settled: state.settled,
            owed: state.balance.owed,
            running: state.running > 0,
        }
    }

    /// What clients are told.
    pub(super) fn info(&self) -> stream::Account {
        let state = self.state();
        stream::Account {
            channel_id: self.channel_id,
            owed: state.balance.owed,
            voucher: state.voucher.clone(),
            running: state.running,
        }
    }

    pub(super) fn promised(&self) -> Amount {
        self.state().balance.promised
    }

    pub(super) fn listed(&self) -> Option<Listed> {
        self.state().listed
    }

    pub(super) fn set_listed(&self, listed: Listed, settled: Amount) {
        let mut state = self.state();
        state.listed = Some(listed);
        state.settled = state.settled.max(settled);
        state.balance.promised = state.balance.promised.max(settled);
    }

    /// Takes a voucher whose signature, channel and deposit were checked. Tells whether it is better than the one held.
    pub(super) fn promise(&self, signed: &SignedVoucher) -> bool {
        let mut state = self.state();
        let promised = Amount(signed.voucher.cumulative);
        let held = state.voucher.as_ref().map_or(0, |held| held.voucher.cumulative);
        if signed.voucher.cumulative <= held {
            return false;
        }
        state.voucher = Some(signed.clone());
        state.balance.promised = state.balance.promised.max(promised);
        drop(state);
        self.changed.notify_waiters();
        true
    }

    /// Lets a request in.
    pub(super) fn begin(self: &Arc<Self>, price: Amount, chunk: Amount) -> Result<Charge, Demand> {
        let mut state = self.state();
        let share = state.balance.begin(price, chunk)?;
        state.running = state.running.saturating_add(1);
        drop(state);
        Ok(Charge { account: Arc::clone(self), share, chunk, ended: false })
    }

    /// Notes that it is to be written, and tells whether that was not noted before.
    pub(super) fn mark(&self) -> bool {
        !self.dirty.swap(true, Ordering::AcqRel)
    }

    /// Notes that it is being written.
    pub(super) fn unmark(&self) {
        self.dirty.store(false, Ordering::Release);
    }

    fn is_idle(&self) -> bool {
        !self.dirty.load(Ordering::Acquire) && self.state().running == 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole after every operation on it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request on an account. Dropped, it ends, and owes what was sent.
pub(super) struct Charge {
    account: Arc<Account>,
    share: Share,
    chunk: Amount,
    ended: bool,
}

impl Charge {
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// What the request cost so far; nothing while nothing was sent.
    pub(super) fn cost(&self) -> Option<Amount> {
        match self.share {
            Share::Reserved(_) => None,
            Share::Owed(cost) => Some(cost),
        }
    }

    /// Most that it may cost in all, as things are.
    pub(super) fn room(&self) -> Amount {
        self.account.state().balance.room(self.share, self.chunk)
    }

    /// What must be promised before it may cost so much.
    pub(super) fn demand(&self, cost: Amount) -> Demand {
        self.account.state().balance.demand(self.share, cost, self.chunk)
    }

    /// Lets it cost so much in all.
    pub(super) fn raise(&mut self, cost: Amount) -> Result<(), Demand> {
        let less = self.cost().is_some_and(|before| cost < before);
        self.account.state().balance.raise(&mut self.share, cost, self.chunk)?;
        if less {
            self.account.changed.notify_waiters();
        }
        Ok(())
    }

    /// Ends it; tells what is owed on the account afterwards.
    pub(super) fn end(&mut self) -> Amount {
        let mut state = self.account.state();
        if !self.ended {
            self.ended = true;
            state.balance.end(self.share);
            state.running = state.running.saturating_sub(1);
        }
        let owed = state.balance.owed;
        drop(state);
        self.account.changed.notify_waiters();
        owed
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.end();
    }
}

/// The accounts in use.
#[derive(Default)]
pub(super) struct Accounts(Mutex<HashMap<B256, Arc<Account>>>);

/// Accounts held in memory beside those that are in use.
const IDLE_ACCOUNTS_MAX: usize = 16 * 1024;

impl Accounts {
    pub(super) fn find(&self, channel_id: B256) -> Option<Arc<Account>> {
        self.table().get(&channel_id).cloned()
    }

    /// The account of a record, or the one that somebody else made of it meanwhile.
    pub(super) fn restore(&self, channel_id: B256, record: AccountRecord) -> Arc<Account> {
        let mut table = self.table();
        if table.len() >= IDLE_ACCOUNTS_MAX {
            // Nobody else has those, so nothing is lost.
            table.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_idle());
        }
        let new = || Arc::new(Account::restored(channel_id, record));
        Arc::clone(table.entry(channel_id).or_insert_with(new))
    }

    fn table(&self) -> MutexGuard<'_, HashMap<B256, Arc<Account>>> {
        // Whole after every operation on it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Begin(u128),
        /// Of the request at this place, as far as there is one.
        Raise(usize, u128),
        End(usize),
        Promise(u128),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u128..200).prop_map(Step::Begin),
            (any::<usize>(), 0_u128..300).prop_map(|(at, cost)| Step::Raise(at, cost)),
            any::<usize>().prop_map(Step::End),
            (0_u128..100).prop_map(Step::Promise),
        ]
    }

    proptest! {
        /// Whatever order requests begin, go on, shrink by a token and end in: no more than a chunk is owed beyond what is promised, what is owed is the sum of
        /// what the requests cost, and what is demanded is exactly what makes room.
        #[test]
        fn no_more_is_owed_than_promised_and_a_chunk(steps in prop::collection::vec(step(), 1..200), chunk in 0_u128..100) {
            let chunk = Amount(chunk);
            let (mut balance, mut running, mut ended) = (Balance::default(), Vec::<Share>::new(), 0_u128);
            for step in steps {
                let before = balance;
                match step {
                    Step::Begin(price) => match balance.begin(Amount(price), chunk) {
                        Ok(share) => running.push(share),
                        Err(Demand(demand)) => {
                            prop_assert_eq!(balance, before);
                            let mut enough = Balance { promised: demand, ..before };
                            prop_assert!(enough.begin(Amount(price), chunk).is_ok());
                            let mut short = Balance { promised: Amount(demand.0 - 1), ..before };
                            prop_assert!(short.begin(Amount(price), chunk).is_err());
                        }
                    },
                    Step::Raise(at, cost) if !running.is_empty() => {
                        let at = at % running.len();
                        let fits = cost <= balance.room(running[at], chunk).0;
                        let raised = balance.raise(&mut running[at], Amount(cost), chunk);
                        prop_assert_eq!(raised.is_ok(), fits);
                        if let Err(demand) = raised {
                            prop_assert_eq!(balance, before);
                            prop_assert_eq!(demand, balance.demand(running[at], Amount(cost), chunk));
                            prop_assert!(demand.0 > balance.promised);
                        }
                    }
                    Step::End(at) if !running.is_empty() => {
                        let share = running.swap_remove(at % running.len());
                        balance.end(share);
                        if let Share::Owed(cost) = share { ended += cost.0; }
                    }
                    Step::Promise(more) => balance.promised = Amount(balance.promised.0 + more),
                    _ => {}
                }
                let sum = |pick: fn(&Share) -> u128| running.iter().map(pick).sum::<u128>();
                let owed = ended + sum(|share| if let Share::Owed(cost) = share { cost.0 } else { 0 });
                let reserved = sum(|share| if let Share::Reserved(price) = share { price.0 } else { 0 });
                prop_assert_eq!((balance.owed.0, balance.reserved.0), (owed, reserved));
                prop_assert!(owed + reserved <= balance.promised.0 + chunk.0);
            }
        }
    }

    #[test]
    fn more_than_any_amount_is_refused() {
        let mut balance = Balance { promised: Amount(u128::MAX), ..Balance::default() };
        assert!(balance.begin(Amount(u128::MAX), Amount(1)).is_err());
        let mut share = balance.begin(Amount(u128::MAX - 1), Amount(1)).unwrap();
        assert!(balance.raise(&mut share, Amount(u128::MAX), Amount(1)).is_err());
        assert!(balance.begin(Amount(1), Amount(1)).is_err());
    }

    #[test]
    fn after_a_crash_what_was_promised_is_owed() {
        let record = |running, owed, settled| AccountRecord {
            client: Address::ZERO,
            signer: Address::ZERO,
            voucher: None,
            settled: Amount(settled),
            owed: Amount(owed),
            running,
        };
        for (running, owed, promised, expected) in [(false, 3, 9, 3), (true, 3, 9, 9), (true, 12, 9, 12)] {
            let account = Account::restored(B256::ZERO, record(running, owed, promised));
            assert_eq!(account.info().owed, Amount(expected));
        }
    }
}
