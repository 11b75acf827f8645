//! What may be spent: by a request, by a key in a day, by the gateway in a day (UTC).
//!
//! A request reserves what it may cost before anything is sent, and gives back what it did not. What is reserved or spent never exceeds what is on disk as possibly spent;
//! that is raised in steps, and ahead ([`Budget::raise_ahead`]), so that requests wait for no disk; one that comes before the disk has caught up waits. After a crash what
//! may have been spent counts as spent.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use alloy_primitives::B256;
use tacit_wire::Amount;

use super::error::ApiError;
use crate::store::{Holder, Store, StoreError};

/// The caps that hold for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    /// Of the request.
    pub(crate) request: Amount,
    /// Of its key in a day.
    pub(crate) key_day: Amount,
    /// Of the gateway in a day.
    pub(crate) day: Amount,
}

/// What was spent today.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    today: Mutex<Today>,
    /// One at a time raises what is on disk. Taken before `today`, never under it.
    writing: Mutex<()>,
    /// Somebody raises ahead.
    raising: AtomicBool,
}

/// A line of what is spent, its cap, and what is left of it in words.
type Line = (Holder, Amount, &'static str);

#[derive(Debug, Default)]
struct Today {
    day: u64,
    spent: HashMap<Holder, Spent>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    /// Spent or reserved.
    used: u128,
    /// On disk as possibly spent.
    written: u128,
}

/// So much may be spent. It counts as spent until it is settled.
#[derive(Debug)]
#[must_use = "what is not settled counts as spent"]
pub(crate) struct Reservation {
    day: u64,
    key: B256,
    pub(crate) amount: Amount,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    /// What it certainly needs.
    pub(crate) least: Amount,
    /// What it may cost. A request that says how long its answer may be needs that; one that does not takes what is left.
    pub(crate) most: Amount,
    /// Whether less than `most` will do.
    pub(crate) bendable: bool,
}

/// What is on disk is raised by this part of a day's cap at least.
const STEPS: u128 = 64;

impl Budget {
    /// Reserves what a request may cost.
    ///
    /// # Errors
    /// [`ApiError::Cap`]; nothing is reserved then.
    pub(crate) fn reserve(
        &self,
        store: &Store,
        day: u64,
        key: B256,
        caps: Caps,
        want: Want,
    ) -> Result<Reservation, ApiError> {
        loop {
            match self.try_reserve(store, day, key, caps, want)? {
                Ok(reservation) => return Ok(reservation),
                Err(amount) => self.raise(store, day, lines(key, caps), amount)?,
            }
        }
    }

    /// Reserves what is within what is on disk; otherwise tells for how much there must be room.
    fn try_reserve(
        &self,
        store: &Store,
        day: u64,
        key: B256,
        caps: Caps,
        want: Want,
    ) -> Result<Result<Reservation, Amount>, ApiError> {
        let mut today = self.today();
        if today.day != day {
            *today = Today { day, spent: HashMap::new() };
        }
        let lines = lines(key, caps);
        let mut amount = want.most;
        let mut least_left = (caps.request, "of what one request may cost");
        for (holder, cap, name) in lines {
            let spent = today.load(store, holder)?;
            let left = Amount(cap.0.saturating_sub(spent.used));
            if left < least_left.0 {
                least_left = (left, name);
            }
        }
        let (left, cap) = least_left;
        if amount > left {
            if !want.bendable || want.least > left {
                let needed = if want.bendable { want.least } else { want.most };
                return Err(ApiError::Cap { needed, left, cap });
            }
            amount = left;
        }
        let within = lines.iter().all(|(holder, ..)| {
            let spent = today.spent.get(holder).copied().unwrap_or_default();
            spent.used.checked_add(amount.0).is_some_and(|used| used <= spent.written)
        });
        if !within {
            return Ok(Err(amount));
        }
        for (holder, ..) in lines {
            let spent = today.spent.entry(holder).or_default();
            spent.used = spent.used.saturating_add(amount.0);
        }
        Ok(Ok(Reservation { day, key, amount }))
    }

    /// Whether what is on disk is to be raised before it is reached, by [`Self::raise_ahead`], which whoever is told so must call.
    pub(crate) fn is_low(&self, day: u64, key: B256, caps: Caps) -> bool {
        let today = self.today();
        let low = today.day == day
            && lines(key, caps).iter().any(|(holder, cap, _)| {
                today.spent.get(holder).is_some_and(|spent| spent.next(*cap, Amount::ZERO).is_some())
            });
        low && !self.raising.swap(true, Ordering::AcqRel)
    }

    /// Raises what is on disk. It waits for the disk, and belongs on a thread that may.
    pub(crate) fn raise_ahead(&self, store: &Store, day: u64, key: B256, caps: Caps) {
        if let Err(error) = self.raise(store, day, lines(key, caps), Amount::ZERO) {
            // Whoever needs it raises it, or is told.
            tracing::warn!(%error, "what may be spent cannot be written ahead");
        }
        self.raising.store(false, Ordering::Release);
    }

    /// Raises what is on disk so that there is room for `amount`.
    fn raise(&self, store: &Store, day: u64, lines: [Line; 2], amount: Amount) -> Result<(), StoreError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut raised = Vec::new();
        {
            let today = self.today();
            if today.day != day {
                return Ok(());
            }
            for (holder, cap, _) in lines {
                // Of a line that was not read nothing is known, and less must not be written than is there.
                let next = today.spent.get(&holder).and_then(|spent| spent.next(cap, amount));
                raised.extend(next.map(|next| (holder, next)));
            }
        }
        if raised.is_empty() {
            return Ok(());
        }
        store.put_spent(day, &raised)?;
        let mut today = self.today();
        if today.day == day {
            for (holder, written) in raised {
                if let Some(spent) = today.spent.get_mut(&holder) {
                    spent.written = spent.written.max(written.0);
                }
            }
        }
        Ok(())
    }

    /// Gives back what a request did not cost. What it cost above its reservation, which its limit excludes, is not counted.
    pub(crate) fn settle(&self, reservation: Reservation, cost: Amount) {
        let mut today = self.today();
        if today.day != reservation.day {
            return;
        }
        let back = reservation.amount.0.saturating_sub(cost.0);
        for holder in [Holder::Key(reservation.key), Holder::Gateway] {
            if let Some(spent) = today.spent.get_mut(&holder) {
                spent.used = spent.used.saturating_sub(back);
            }
        }
    }

    /// Writes what was spent exactly: before the gateway ends, when nothing runs any more.
    pub(crate) fn write_down(&self, store: &Store) -> Result<(), StoreError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut today = self.today();
        let lines: Vec<_> = today.spent.iter().map(|(holder, spent)| (*holder, Amount(spent.used))).collect();
        if lines.is_empty() {
            return Ok(());
        }
        store.put_spent(today.day, &lines)?;
        for spent in today.spent.values_mut() {
            spent.written = spent.used;
        }
        Ok(())
    }

    /// What was spent or reserved on a day, as far as it counts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn used(&self, store: &Store, day: u64, holder: Holder) -> Result<Amount, StoreError> {
        let today = self.today();
        match today.spent.get(&holder).filter(|_| today.day == day) {
            Some(spent) => Ok(Amount(spent.used)),
            None => store.spent(day, holder),
        }
    }

    fn today(&self) -> MutexGuard<'_, Today> {
        self.today.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spent {
    /// What to have on disk, where that has no room for `amount`, or where half a step is left.
    fn next(self, cap: Amount, amount: Amount) -> Option<Amount> {
        let step = (cap.0 / STEPS).max(1);
        let used = self.used.saturating_add(amount.0);
        let next = used.saturating_add(step).min(cap.0).max(used);
        (used.saturating_add(step / 2) > self.written && next > self.written).then_some(Amount(next))
    }
}

fn lines(key: B256, caps: Caps) -> [Line; 2] {
    [
        (Holder::Key(key), caps.key_day, "of what this key may spend today"),
        (Holder::Gateway, caps.day, "of what the gateway may spend today"),
    ]
}

impl Today {
    fn load(&mut self, store: &Store, holder: Holder) -> Result<Spent, StoreError> {
        if let Some(spent) = self.spent.get(&holder) {
            return Ok(*spent);
        }
        let written = store.spent(self.day, holder)?.0;
        let spent = Spent { used: written, written };
        self.spent.insert(holder, spent);
        Ok(spent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;

    const CAPS: Caps = Caps { request: Amount(100), key_day: Amount(250), day: Amount(400) };

    fn store() -> Store {
        Store::with_backend(InMemoryBackend::new()).unwrap()
    }

    fn key(number: u8) -> B256 {
        B256::repeat_byte(number)
    }

    fn exact(amount: u128) -> Want {
        Want { least: Amount(amount), most: Amount(amount), bendable: false }
    }

    #[test]
    fn each_cap_holds_and_says_which_it_is() {
        let (budget, store) = (Budget::default(), store());
        let refused = |amount, number| match budget.reserve(&store, 1, key(number), CAPS, exact(amount)) {
            Err(ApiError::Cap { left, cap, .. }) => (left.0, cap),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(101, 1), (100, "of what one request may cost"));
        let held: Vec<_> =
            (0..2).map(|_| budget.reserve(&store, 1, key(1), CAPS, exact(100)).unwrap()).collect();
        assert_eq!(refused(51, 1), (50, "of what this key may spend today"));
        let other: Vec<_> =
            (0..2).map(|_| budget.reserve(&store, 1, key(2), CAPS, exact(90)).unwrap()).collect();
        assert_eq!(refused(21, 3), (20, "of what the gateway may spend today"));
        for reservation in held.into_iter().chain(other) {
            budget.settle(reservation, Amount(10));
        }
        let bendable = Want { least: Amount(5), most: Amount(1_000), bendable: true };
        assert_eq!(budget.reserve(&store, 1, key(1), CAPS, bendable).unwrap().amount, Amount(100));
        assert_eq!(budget.reserve(&store, 2, key(1), CAPS, exact(100)).unwrap().amount, Amount(100));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Reserve { key: u8, amount: u128 },
        Settle { which: usize, share: u128 },
        Ahead { key: u8 },
        Crash,
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..3_u8, 0..120_u128).prop_map(|(key, amount)| Step::Reserve { key, amount }),
            3 => (any::<prop::sample::Index>(), 0..=100_u128)
                .prop_map(|(which, share)| Step::Settle { which: which.index(1 << 16), share }),
            2 => (1..3_u8).prop_map(|key| Step::Ahead { key }),
            1 => Just(Step::Crash),
            1 => Just(Step::Restart),
        ]
    }

    proptest! {
        /// Whatever crashes when, what was really spent in a day is within the caps: a request that a crash interrupted may have cost its whole reservation.
        #[test]
        fn no_order_of_events_spends_more_than_the_caps(steps in prop::collection::vec(step(), 1..60)) {
            let store = store();
            let mut budget = Budget::default();
            let mut held: Vec<(u8, Reservation)> = Vec::new();
            let mut spent: HashMap<u8, u128> = HashMap::new();
            for step in steps {
                match step {
                    Step::Reserve { key: number, amount } => {
                        if let Ok(reservation) = budget.reserve(&store, 7, key(number), CAPS, exact(amount)) {
                            held.push((number, reservation));
                        }
                    }
                    Step::Settle { which, share } if !held.is_empty() => {
                        let (number, reservation) = held.swap_remove(which % held.len());
                        let cost = Amount(reservation.amount.0 * share / 100);
                        *spent.entry(number).or_default() += cost.0;
                        budget.settle(reservation, cost);
                    }
                    Step::Settle { .. } => {}
                    Step::Ahead { key: number } => {
                        if budget.is_low(7, key(number), CAPS) {
                            budget.raise_ahead(&store, 7, key(number), CAPS);
                            prop_assert!(!budget.is_low(7, key(number), CAPS));
                        }
                    }
                    Step::Crash => {
                        for (number, reservation) in held.drain(..) {
                            *spent.entry(number).or_default() += reservation.amount.0;
                        }
                        budget = Budget::default();
                    }
                    Step::Restart => {
                        for (number, reservation) in held.drain(..) {
                            let cost = Amount(reservation.amount.0.min(1));
                            *spent.entry(number).or_default() += cost.0;
                            budget.settle(reservation, cost);
                        }
                        budget.write_down(&store).unwrap();
                        budget = Budget::default();
                    }
                }
                let running = |number: u8| -> u128 {
                    held.iter().filter(|(of, _)| *of == number).map(|(_, held)| held.amount.0).sum()
                };
                let total: u128 = (1..3).map(|number| spent.get(&number).copied().unwrap_or(0) + running(number)).sum();
                prop_assert!(total <= CAPS.day.0);
                for number in 1..3 {
                    prop_assert!(spent.get(&number).copied().unwrap_or(0) + running(number) <= CAPS.key_day.0);
                }
            }
        }
    }
}
