//! The running account with one worker, as the client keeps it (`specs/0010-streams.md`, *The account*).
//!
//! A pure rule: events in, amounts to promise out. **Owed** is what requests cost by our own count; **promised** is the best voucher that was signed. A worker gives whatever keeps its owed within promised and a chunk.
//!
//! # Invariants
//! `promised <= ceiling <= deposit`. When a promise is made, it is at most owed, the prompts of answers that have not begun, a chunk for each request that runs, and
//! what may have been sent in answers that broke off.

use std::collections::BTreeMap;

use tacit_wire::Amount;

/// The account.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    owed: u128,
    /// Prices of prompts that were sent, of answers that have not begun.
    pending: u128,
    /// How many requests run, by what a chunk of theirs costs.
    running: BTreeMap<u128, u32>,
    /// The dearest chunk since nothing ran: the worker may have sent as much above what is promised.
    largest: u128,
    /// What the worker may have counted above us in answers that broke off.
    broken: u128,
    /// The part of that which is because we left.
    left: u128,
    promised: u128,
    ceiling: u128,
    deposit: u128,
    /// What the worker counted above us without our having left, since the channel was found.
    written_off: u128,
}

/// What a running request is on the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Price of request and prompt.
    pub(crate) prompt: Amount,
    /// Price of a chunk.
    pub(crate) chunk: Amount,
}

/// The worker's account cannot be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unexplained {
    /// What it says is owed, or wants to be promised.
    pub(crate) claimed: Amount,
    /// The most that can be.
    pub(crate) explained: Amount,
}

/// What a wish for a promise is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Explained by what runs: to be fulfilled.
    Explained,
    /// Explained once what is on its way has come.
    Early,
    /// No honest worker has it.
    Unexplained(Unexplained),
}

/// A promise to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    /// Cumulative.
    pub(crate) amount: Amount,
    /// To be on disk before, if it is not.
    pub(crate) ceiling: Option<Amount>,
}

/// Ceilings are raised by this part of the deposit at least.
const STEPS: u128 = 16;
/// Chunks that a worker may lose us by crashes before it is given up.
const WRITTEN_OFF_CHUNKS_MAX: u128 = 64;

impl Account {
    /// A channel as it is found: so much deposited, so much promised, so much possibly promised.
    pub(crate) fn found(deposit: Amount, promised: Amount, ceiling: Amount) -> Self {
        Self {
            owed: promised.0,
            promised: promised.0,
            ceiling: ceiling.0.max(promised.0),
            deposit: deposit.0,
            ..Self::default()
        }
    }

    pub(crate) fn deposit(&self) -> Amount {
        Amount(self.deposit)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether answers broke off since the worker was asked for its account.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.broken > 0
    }

    pub(crate) fn deposited(&mut self, deposit: Amount) {
        self.deposit = self.deposit.max(deposit.0);
    }

    /// A request is about to be sent. Gives what must be promised with it. Where others run, what is promised ahead for them is room for this one as well, and only once less
    /// than half of that is left more is promised: most requests bring no voucher, and a worker that has sent more than half of what it may before it was counted refuses
    /// one now and then, with a demand.
    pub(crate) fn begin(&mut self, terms: Terms) -> Amount {
        let (prompt, chunk) = (terms.prompt.0, terms.chunk.0);
        let idle = self.is_idle();
        let count = self.running.entry(chunk).or_default();
        *count = count.saturating_add(1);
        self.largest = self.largest.max(chunk);
        self.pending = self.pending.saturating_add(prompt);
        let counted = self.owed.saturating_add(self.pending);
        if idle {
            return Amount(counted.saturating_sub(chunk).min(self.most()));
        }
        let half = self.broken.saturating_add(self.chunks() / 2);
        let enough = counted.saturating_add(half).saturating_sub(chunk);
        if self.promised >= enough {
            return Amount(self.promised);
        }
        Amount(self.ahead().max(enough).min(self.most()))
    }

    /// Its answer began: the prompt is owed.
    pub(crate) fn begun(&mut self, terms: Terms) {
        self.pending = self.pending.saturating_sub(terms.prompt.0);
        self.owed = self.owed.saturating_add(terms.prompt.0);
    }

    /// It was refused, or failed before its answer began: nothing is owed.
    pub(crate) fn refused(&mut self, terms: Terms) {
        self.pending = self.pending.saturating_sub(terms.prompt.0);
        self.leave(terms);
    }

    /// More of an answer came.
    pub(crate) fn count(&mut self, more: Amount) {
        self.owed = self.owed.saturating_add(more.0);
    }

    /// An answer ended, and cost so much less than was counted.
    pub(crate) fn ended(&mut self, terms: Terms, less: Amount) {
        self.owed = self.owed.saturating_sub(less.0);
        self.leave(terms);
    }

    /// An answer broke off, because we left or not: the worker may have sent more than came.
    pub(crate) fn broke(&mut self, terms: Terms, begun: bool, left: bool) {
        let mut more = terms.chunk.0;
        if !begun {
            self.pending = self.pending.saturating_sub(terms.prompt.0);
            more = more.saturating_add(terms.prompt.0);
        }
        self.broken = self.broken.saturating_add(more);
        if left {
            self.left = self.left.saturating_add(more);
        }
        self.leave(terms);
    }

    /// What is to be promised now, once it is worth a voucher: half a chunk, or a quarter of those of all that run, or anything where nothing does.
    pub(crate) fn due(&self) -> Option<Amount> {
        let target = self.ahead().min(self.deposit);
        let half = self.running.keys().next().map_or(0, |least| least / 2);
        let threshold = half.max(self.chunks() / 4).max(1);
        (target.saturating_sub(self.promised) >= threshold).then_some(Amount(target))
    }

    /// Whether the deposit does not cover what is to be promised soon.
    pub(crate) fn lacks_room(&self, soon: Amount) -> bool {
        self.most().saturating_add(soon.0) > self.deposit
    }

    /// What is missing on the deposit for what is to be promised soon, once a quarter of it is left.
    pub(crate) fn room_missing(&self, soon: Amount) -> Option<Amount> {
        let wanted = self.most().saturating_add(soon.0);
        let low = self.deposit.saturating_sub(self.deposit / 4);
        (wanted > low).then(|| Amount(wanted.saturating_sub(low)))
    }

    /// What to make of a worker that wants so much promised before it goes on.
    pub(crate) fn explain(&self, claimed: Amount) -> Wish {
        let (most, sent) = (self.most(), self.promised.saturating_add(self.largest));
        if claimed.0 <= most {
            Wish::Explained
        } else if claimed.0 <= sent {
            Wish::Early
        } else {
            Wish::Unexplained(Unexplained { claimed, explained: Amount(most.max(sent)) })
        }
    }

    /// Notes a promise; none when it is not more than the one before, or the deposit does not cover it.
    pub(crate) fn promise(&mut self, amount: Amount) -> Option<Promise> {
        if amount.0 <= self.promised || amount.0 > self.deposit {
            return None;
        }
        self.promised = amount.0;
        if amount.0 <= self.ceiling {
            return Some(Promise { amount, ceiling: None });
        }
        self.ceiling = amount.0.saturating_add(self.deposit / STEPS).min(self.deposit).max(amount.0);
        Some(Promise { amount, ceiling: Some(Amount(self.ceiling)) })
    }

    /// A ceiling to write before it is needed: less than half a step is left below the one there is.
    pub(crate) fn next_ceiling(&self) -> Option<Promise> {
        let step = self.deposit / STEPS;
        let next = self.promised.saturating_add(step).min(self.deposit);
        let low = self.promised.saturating_add(step / 2) > self.ceiling && next > self.ceiling;
        low.then_some(Promise { amount: Amount(self.promised), ceiling: Some(Amount(next)) })
    }

    /// A ceiling is on disk.
    pub(crate) fn raised(&mut self, ceiling: Amount) {
        self.ceiling = self.ceiling.max(ceiling.0);
    }

    /// Takes over the worker's account while nothing runs: at most what broken answers explain, or what was promised, with a chunk if an answer broke off.
    ///
    /// # Errors
    /// [`Unexplained`]: the channel and its worker are given up.
    pub(crate) fn reconcile(&mut self, owed: Amount, chunk: Amount) -> Result<(), Unexplained> {
        let over = if self.broken > 0 { self.largest } else { 0 };
        let explained = self.owed.saturating_add(self.broken).max(self.promised.saturating_add(over));
        let lost = owed.0.saturating_sub(self.owed.saturating_add(self.left));
        let written_off = self.written_off.saturating_add(lost);
        if owed.0 > explained || written_off > chunk.0.saturating_mul(WRITTEN_OFF_CHUNKS_MAX) {
            return Err(Unexplained { claimed: owed, explained: Amount(explained) });
        }
        self.written_off = written_off;
        self.owed = owed.0;
        self.broken = 0;
        self.left = 0;
        self.largest = 0;
        Ok(())
    }

    /// After a restart nothing is known of what ran: the worker may have sent what is promised and a chunk.
    ///
    /// # Errors
    /// [`Unexplained`].
    pub(crate) fn resume(&mut self, owed: Amount, chunk: Amount) -> Result<(), Unexplained> {
        let explained = Amount(self.promised.saturating_add(chunk.0));
        if owed > explained {
            return Err(Unexplained { claimed: owed, explained });
        }
        self.owed = owed.0;
        Ok(())
    }

    /// As the worker must have it once everything that is on its way has come, with a chunk for each but one of those that run: so much is promised ahead.
    fn ahead(&self) -> u128 {
        let most = self.running.keys().next_back().copied().unwrap_or(0);
        self.owed.saturating_add(self.pending).saturating_add(self.chunks().saturating_sub(most))
    }

    /// The most that an honest worker can want.
    fn most(&self) -> u128 {
        self.owed.saturating_add(self.pending).saturating_add(self.chunks()).saturating_add(self.broken)
    }

    fn chunks(&self) -> u128 {
        self.running
            .iter()
            .fold(0_u128, |sum, (chunk, count)| sum.saturating_add(chunk.saturating_mul(u128::from(*count))))
    }

    fn leave(&mut self, terms: Terms) {
        if let Some(count) = self.running.get_mut(&terms.chunk.0) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.running.remove(&terms.chunk.0);
            }
        }
        if self.is_idle() && self.broken == 0 {
            self.largest = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEPOSIT: Amount = Amount(1_000_000);

    fn terms(prompt: u128, chunk: u128) -> Terms {
        Terms { prompt: Amount(prompt), chunk: Amount(chunk) }
    }

    fn account() -> Account {
        Account::found(DEPOSIT, Amount(0), Amount(0))
    }

    #[test]
    fn one_request_promises_its_prompt_less_a_chunk_and_then_what_came() {
        let mut account = account();
        let terms = terms(100, 64);
        assert_eq!(account.begin(terms), Amount(36));
        assert!(account.promise(Amount(36)).is_some());
        account.begun(terms);
        assert_eq!(account.due(), Some(Amount(100)), "the prompt is owed once the answer begins");
        assert!(account.promise(Amount(100)).is_some());
        account.count(Amount(31));
        assert_eq!(account.due(), None, "less than half a chunk");
        account.count(Amount(1));
        assert_eq!(account.due(), Some(Amount(132)));
        account.count(Amount(1));
        account.ended(terms, Amount(3));
        assert_eq!(account.due(), Some(Amount(130)), "all of it at the end");
        assert_eq!(account.explain(Amount(130)), Wish::Explained);
        assert!(matches!(account.explain(Amount(133)), Wish::Unexplained(_)));
    }

    #[test]
    fn a_promise_is_on_disk_as_possible_before_it_is_made() {
        let mut account = account();
        assert_eq!(
            account.promise(Amount(10)),
            Some(Promise { amount: Amount(10), ceiling: Some(Amount(62_510)) })
        );
        assert_eq!(account.promise(Amount(62_510)), Some(Promise { amount: Amount(62_510), ceiling: None }));
        assert_eq!(account.promise(Amount(62_510)), None, "not more");
        assert_eq!(account.promise(Amount(1_000_001)), None, "not deposited");
    }

    #[test]
    fn the_next_ceiling_is_written_before_it_is_needed() {
        let mut account = account();
        account.promise(Amount(10));
        assert_eq!((account.ceiling, account.next_ceiling()), (62_510, None));
        account.promise(Amount(31_261));
        let next = Promise { amount: Amount(31_261), ceiling: Some(Amount(93_761)) };
        assert_eq!(account.next_ceiling(), Some(next));
        account.raised(Amount(93_761));
        assert_eq!(account.next_ceiling(), None);
        assert_eq!(account.promise(Amount(93_761)), Some(Promise { amount: Amount(93_761), ceiling: None }));
        account.promise(DEPOSIT);
        assert_eq!((account.ceiling, account.next_ceiling()), (DEPOSIT.0, None), "it is all there is");
    }

    #[test]
    fn what_is_promised_ahead_is_room_for_the_next_request() {
        let mut account = account();
        let terms = terms(10, 64);
        for _ in 0..8 {
            account.begin(terms);
        }
        let due = account.due().unwrap();
        assert_eq!(due, Amount(8 * 10 + 7 * 64));
        account.promise(due);
        assert_eq!(account.begin(terms), due, "no more is promised");
        account.count(Amount(300));
        assert_eq!(account.begin(terms), Amount(300 + 10 * 10 + 9 * 64));
    }

    #[test]
    fn what_a_worker_says_is_taken_if_it_can_be() {
        let mut account = account();
        let terms = terms(10, 64);
        account.begin(terms);
        account.begun(terms);
        account.count(Amount(20));
        account.broke(terms, true, false);
        assert!(account.is_uncertain());
        let mut other = account.clone();
        assert_eq!(other.reconcile(Amount(95), Amount(64)).unwrap_err().explained, Amount(94));
        assert!(account.reconcile(Amount(94), Amount(64)).is_ok());
        assert!(!account.is_uncertain());
        assert_eq!(account.due(), Some(Amount(94)));
        assert!(account.reconcile(Amount(95), Amount(64)).is_err(), "once only");
    }

    #[test]
    fn a_worker_that_keeps_losing_what_was_promised_is_given_up() {
        let mut account = account();
        let mut rounds = 0;
        // It says each time that it forgot what it gave, and counts what was promised as owed.
        loop {
            account.promise(Amount(account.promised + 64));
            if account.reconcile(Amount(account.promised), Amount(64)).is_err() {
                break;
            }
            rounds += 1;
        }
        assert_eq!(rounds, WRITTEN_OFF_CHUNKS_MAX);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Begin {
            prompt: u128,
            large: bool,
        },
        /// The worker's next piece of a running answer, if its rule lets it.
        Piece {
            which: prop::sample::Index,
            cost: u128,
        },
        /// What is on its way to the client arrives.
        Arrive,
        Pay,
        End {
            which: prop::sample::Index,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => (0..300_u128, any::<bool>()).prop_map(|(prompt, large)| Step::Begin { prompt, large }),
            6 => (any::<prop::sample::Index>(), 0..=64_u128).prop_map(|(which, cost)| Step::Piece { which, cost }),
            3 => Just(Step::Arrive),
            3 => Just(Step::Pay),
            1 => any::<prop::sample::Index>().prop_map(|which| Step::End { which }),
        ]
    }

    proptest! {
        /// A worker that keeps the rule takes every request that the client may promise enough for, waits for nothing that never comes, and never has more than a chunk
        /// unpaid; the client never promises more than its bound.
        #[test]
        fn neither_side_risks_more_than_a_chunk(steps in prop::collection::vec(step(), 1..120)) {
            let mut client = account();
            let (mut owed, mut held) = (0_u128, 0_u128);
            let mut running: Vec<(Terms, u128, bool)> = Vec::new();
            for step in steps {
                match step {
                    Step::Begin { prompt, large } => {
                        let terms = terms(prompt, if large { 128 } else { 64 });
                        let need = client.begin(terms);
                        if client.promise(need).is_some() {
                            held = held.max(need.0);
                            prop_assert!(client.promised <= client.most(), "the client's risk");
                        }
                        if owed + prompt > held + terms.chunk.0 {
                            let demand = Amount(owed + prompt - terms.chunk.0);
                            client.refused(terms);
                            let wish = client.explain(Amount(demand.0.saturating_sub(prompt)));
                            prop_assert!(!matches!(wish, Wish::Unexplained(_)));
                            let flying: u128 = running.iter().map(|(_, flying, _)| flying).sum();
                            prop_assert!(flying > 0 || wish == Wish::Explained, "it would be refused for ever");
                            if wish != Wish::Explained {
                                continue;
                            }
                            if client.promise(demand).is_some() {
                                held = held.max(demand.0);
                            }
                            let need = client.begin(terms);
                            if client.promise(need).is_some() {
                                held = held.max(need.0);
                            }
                            prop_assert!(client.promised <= client.most(), "the client's risk");
                            prop_assert!(owed + prompt <= held + terms.chunk.0, "what it demanded was promised");
                        }
                        owed += prompt;
                        running.push((terms, 0, false));
                    }
                    Step::Piece { which, cost } if !running.is_empty() => {
                        let at = which.index(running.len());
                        let (terms, flying, _) = &mut running[at];
                        if owed + cost <= held + terms.chunk.0 {
                            owed += cost;
                            *flying += cost;
                        } else {
                            let wish = client.explain(Amount(owed + cost.min(terms.chunk.0) - terms.chunk.0));
                            prop_assert!(!matches!(wish, Wish::Unexplained(_)));
                            let flying: u128 = running.iter().map(|(_, flying, _)| flying).sum();
                            prop_assert!(flying > 0 || wish == Wish::Explained, "it would wait for ever");
                        }
                    }
                    Step::Arrive => {
                        for (terms, flying, begun) in &mut running {
                            if !*begun {
                                client.begun(*terms);
                                *begun = true;
                            }
                            client.count(Amount(*flying));
                            *flying = 0;
                        }
                    }
                    Step::Pay => {
                        if let Some(due) = client.due()
                            && client.promise(due).is_some()
                        {
                            held = held.max(due.0);
                            prop_assert!(client.promised <= client.most(), "the client's risk");
                        }
                    }
                    Step::End { which } if !running.is_empty() => {
                        let (terms, flying, begun) = running.swap_remove(which.index(running.len()));
                        if !begun {
                            client.begun(terms);
                        }
                        client.count(Amount(flying));
                        client.ended(terms, Amount(0));
                    }
                    _ => {}
                }
                prop_assert!(owed <= held + 128, "the worker's risk");
            }
        }
    }
}
