//! Transactions waiting for a block.
//!
//! # State
//! One queue for each sender, ordered by nonce. A transaction is *ready* when every nonce from the account's
//! own up to it is present; the others wait for the gap to close.
//!
//! # Invariants
//! Counts and bytes never pass [`PoolLimits`]. One transaction for each sender and nonce: a second one takes
//! its place only when it raises both fees by a tenth, so that replacing costs something. A sender can pay each
//! beside those that waited before it, with lower nonces, when it came.
//!
//! # A full pool
//! It keeps what pays most. A ready transaction takes the place of others' last ones that pay a tenth less for their gas, or that could
//! not be mined now; the least goes first, the latest of those that are equal. What a transaction pays is the least of what it and
//! those before it pay. Whoever fills the pool at the lowest fee so keeps nobody out who offers more.
//!
//! # Behind a gap
//! What waits for a missing nonce is given up after three hours, if the caller tells what time it is. Nothing else ever gives it up: its
//! sender may have lost the one before.
//!
//! The pool knows no state: the caller checks signature, balance and nonce (see `admission`), and tells where each
//! account stands when that changes.
//!
//! # Proposals
//! What a validator proposed stays here until a final block has it. Until then it is *in flight*: it is not proposed again
//! on top of the block that it may be in, nor a reason to propose at all.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
};

use alloy_consensus::{Transaction, TxEnvelope, transaction::Recovered};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, U256};
use tacit_ledger::Account;

mod rejected;
mod worst;

pub use rejected::Rejected;

use worst::Worst;

/// How much the pool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Transactions of one sender.
    pub sender_transactions_max: usize,
    /// Transactions in all.
    pub transactions_max: usize,
    /// Encoded bytes in all.
    pub bytes_max: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { sender_transactions_max: 1024, transactions_max: 32_768, bytes_max: 64 << 20 }
    }
}

/// A transaction in the pool.
#[derive(Debug, Clone)]
struct Entry {
    transaction: Recovered<TxEnvelope>,
    bytes: usize,
    /// The most that it can take from its sender.
    cost: U256,
    arrival: u64,
    /// When it came, in seconds.
    came_s: u64,
    /// Number of the block that it was last proposed for; 0 for none.
    proposed: u64,
}

/// What one sender has waiting.
#[derive(Debug, Default)]
struct Queue {
    account_nonce: u64,
    entries: BTreeMap<u64, Entry>,
}

impl Queue {
    /// The nonce after the ready transactions.
    fn next_nonce(&self) -> u64 {
        let mut next = self.account_nonce;
        for nonce in self.entries.range(next..).map(|(nonce, _)| *nonce) {
            if nonce != next {
                break;
            }
            next = next.saturating_add(1);
        }
        next
    }

    /// The first nonce that is not in flight: proposed for a block above `head`, at most `parent`.
    fn first(&self, head: u64, parent: u64) -> Option<u64> {
        let mut nonce = self.account_nonce;
        while let Some(entry) = self.entries.get(&nonce) {
            if entry.proposed <= head || entry.proposed > parent {
                break;
            }
            nonce = nonce.checked_add(1)?;
        }
        Some(nonce)
    }

    /// The most that transactions before this nonce can take from their sender.
    fn cost_before(&self, nonce: u64) -> U256 {
        let before = self.entries.range(..nonce).map(|(_, entry)| entry.cost);
        before.fold(U256::ZERO, U256::saturating_add)
    }

    /// Least tip per gas that the transactions before `end` pay; `None` when there is a gap, when one does not pay the base fee, or when
    /// the account has passed `end`.
    fn worth(&self, end: u64, base_fee: u64) -> Option<u128> {
        let mut least = u128::MAX;
        let mut next = self.account_nonce;
        if end < next {
            return None;
        }
        for (nonce, entry) in self.entries.range(next..end) {
            if *nonce != next {
                return None;
            }
            least = least.min(entry.transaction.effective_tip_per_gas(base_fee)?);
            next = nonce.checked_add(1)?;
        }
        (next == end).then_some(least)
    }
}

/// The pool.
#[derive(Debug)]
pub struct Pool {
    limits: PoolLimits,
    senders: HashMap<Address, Queue>,
    by_hash: HashMap<B256, (Address, u64)>,
    bytes: usize,
    arrivals: u64,
    now_s: u64,
    /// When gaps were last looked at.
    looked_s: u64,
    /// Whom to give up first, while the pool is nearly full.
    worst: Option<Worst>,
    /// Hashes of what left since somebody asked.
    gone: Vec<B256>,
}

/// What a proposal may hold, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    /// Number of the newest final block.
    pub head: u64,
    /// Number of the block on top of which the proposal goes.
    pub parent: u64,
    /// Lowest fee per gas that it takes.
    pub base_fee: u64,
    /// Most gas, by the transactions' own limits.
    pub gas_max: u64,
    /// Most encoded bytes.
    pub bytes_max: usize,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            senders: HashMap::new(),
            by_hash: HashMap::new(),
            bytes: 0,
            arrivals: 0,
            now_s: 0,
            looked_s: 0,
            worst: None,
            gone: Vec::new(),
        }
    }

    /// Transactions held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Encoded bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Adds a transaction that the caller has checked against the state, where its sender is as `account` says. `base_fee` is that of the
    /// next block.
    ///
    /// # Errors
    /// Refuses what is known, underpriced, more than its sender can pay or over a limit; the pool is then as before.
    pub fn insert(
        &mut self,
        transaction: Recovered<TxEnvelope>,
        account: &Account,
        base_fee: u64,
    ) -> Result<(), Rejected> {
        let hash = *transaction.tx_hash();
        if self.by_hash.contains_key(&hash) {
            return Err(Rejected::AlreadyKnown);
        }
        let (sender, nonce) = (transaction.signer(), transaction.nonce());
        self.set_account_nonce(sender, account.nonce);
        let queue = self.senders.get(&sender);
        let old = queue.and_then(|queue| queue.entries.get(&nonce));
        if let Some(old) = old {
            if !outbids(&transaction, &old.transaction) {
                return Err(Rejected::Underpriced);
            }
        } else if queue.is_some_and(|queue| queue.entries.len() >= self.limits.sender_transactions_max) {
            return Err(Rejected::SenderFull { limit: self.limits.sender_transactions_max });
        }
        let (bytes, cost) = (transaction.encode_2718_len(), cost(&transaction));
        let old_bytes = old.map_or(0, |old| old.bytes);
        let queued = queue.map_or(U256::ZERO, |queue| queue.cost_before(nonce));
        let total = queued.saturating_add(cost);
        if total > account.balance {
            return Err(Rejected::InsufficientFunds { balance: account.balance, cost: total });
        }
        let before = match queue {
            Some(queue) => queue.worth(nonce, base_fee),
            None => (nonce == account.nonce).then_some(u128::MAX),
        };
        let tip = transaction.effective_tip_per_gas(base_fee);
        let worth = before.zip(tip).map(|(before, tip)| before.min(tip));
        let old = old.map(|old| *old.transaction.tx_hash());
        self.make_room(usize::from(old.is_none()), bytes.saturating_sub(old_bytes), sender, worth, base_fee)?;

        if let Some(old) = old {
            self.remove(&old);
        }
        let entry =
            Entry { transaction, bytes, cost, arrival: self.arrivals, came_s: self.now_s, proposed: 0 };
        self.arrivals = self.arrivals.saturating_add(1);
        self.senders.entry(sender).or_default().account_nonce = account.nonce;
        self.attach(entry);
        Ok(())
    }

    /// Frees space for a transaction of `sender` that is worth so much, at the cost of others that are worth less.
    fn make_room(
        &mut self,
        count: usize,
        bytes: usize,
        sender: Address,
        worth: Option<u128>,
        base_fee: u64,
    ) -> Result<(), Rejected> {
        let mut evicted = Vec::new();
        while self.len().saturating_add(count) > self.limits.transactions_max
            || self.bytes.saturating_add(bytes) > self.limits.bytes_max
        {
            let victim =
                if evicted.len() < EVICTED_MAX { self.victim(sender, worth, base_fee) } else { None };
            let Some(entry) = victim.and_then(|victim| self.detach(&victim)) else {
                for entry in evicted {
                    self.attach(entry);
                }
                return Err(Rejected::PoolFull);
            };
            evicted.push(entry);
        }
        for entry in &evicted {
            self.forget_idle(entry.transaction.signer());
            self.gone.push(*entry.transaction.tx_hash());
        }
        if self.is_roomy() {
            self.worst = None;
        }
        Ok(())
    }

    /// The transaction to give up for one of `sender` that is worth so much.
    fn victim(&mut self, sender: Address, worth: Option<u128>, base_fee: u64) -> Option<B256> {
        // What could not be mined now displaces nothing.
        let other = self.worst(base_fee).first_but(sender, worth?)?;
        let (_, entry) = self.senders.get(&other)?.entries.last_key_value()?;
        Some(*entry.transaction.tx_hash())
    }

    fn worst(&mut self, base_fee: u64) -> &Worst {
        let senders = &self.senders;
        let worst = self.worst.take().filter(|worst| worst.base_fee() == base_fee);
        self.worst.insert(worst.unwrap_or_else(|| Worst::of(senders, base_fee)))
    }

    /// The least tip per gas with which a transaction still finds a place, under this base fee.
    pub fn tip_min(&mut self, base_fee: u64) -> u128 {
        if self.is_roomy() { 0 } else { self.worst(base_fee).tip_min() }
    }

    /// Whether the pool is far from its limits, so that nobody need be ranked.
    fn is_roomy(&self) -> bool {
        self.len() < self.limits.transactions_max / 4 * 3 && self.bytes < self.limits.bytes_max / 4 * 3
    }

    fn attach(&mut self, entry: Entry) {
        let (sender, nonce) = (entry.transaction.signer(), entry.transaction.nonce());
        self.by_hash.insert(*entry.transaction.tx_hash(), (sender, nonce));
        self.bytes = self.bytes.saturating_add(entry.bytes);
        let queue = self.senders.entry(sender).or_default();
        queue.entries.insert(nonce, entry);
        self.rank(sender);
    }

    /// Takes a transaction out as if it had never been there. An empty queue stays.
    fn detach(&mut self, hash: &B256) -> Option<Entry> {
        let (sender, nonce) = self.by_hash.remove(hash)?;
        let queue = self.senders.get_mut(&sender)?;
        let entry = queue.entries.remove(&nonce)?;
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        self.rank(sender);
        Some(entry)
    }

    fn forget_idle(&mut self, sender: Address) {
        if self.senders.get(&sender).is_some_and(|queue| queue.entries.is_empty()) {
            self.senders.remove(&sender);
        }
    }

    fn rank(&mut self, sender: Address) {
        if let Some(worst) = &mut self.worst {
            worst.rank(sender, self.senders.get(&sender));
        }
    }

    /// A waiting transaction.
    #[must_use]
    pub fn transaction(&self, hash: &B256) -> Option<&Recovered<TxEnvelope>> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        self.senders.get(sender)?.entries.get(nonce).map(|entry| &entry.transaction)
    }

    /// The nonce after the ready transactions of `sender`, if anything of its waits.
    #[must_use]
    pub fn next_nonce(&self, sender: Address) -> Option<u64> {
        self.senders.get(&sender).map(Queue::next_nonce)
    }

    /// Takes out a transaction; nothing happens when it is not there.
    pub fn remove(&mut self, hash: &B256) -> Option<Recovered<TxEnvelope>> {
        let entry = self.detach(hash)?;
        self.forget_idle(entry.transaction.signer());
        self.gone.push(*hash);
        Some(entry.transaction)
    }

    /// Hashes of all that left the pool since the last call, whatever the reason.
    pub fn take_gone(&mut self) -> Vec<B256> {
        std::mem::take(&mut self.gone)
    }

    /// Tells where an account now stands; what it has passed is dropped.
    pub fn set_account_nonce(&mut self, sender: Address, account_nonce: u64) {
        let Some(queue) = self.senders.get_mut(&sender) else { return };
        if queue.account_nonce == account_nonce {
            return;
        }
        queue.account_nonce = account_nonce;
        let passed = queue.entries.range(..account_nonce);
        let passed: Vec<B256> = passed.map(|(_, entry)| *entry.transaction.tx_hash()).collect();
        for hash in passed {
            self.remove(&hash);
        }
        self.rank(sender);
    }

    /// Tells where an account now stands: what it has passed, or can no longer pay, is dropped.
    pub fn set_account(&mut self, sender: Address, account: &Account) {
        self.set_account_nonce(sender, account.nonce);
        let Some(queue) = self.senders.get(&sender) else { return };
        let unpayable = queue.entries.values().filter(|entry| entry.cost > account.balance);
        let unpayable: Vec<B256> = unpayable.map(|entry| *entry.transaction.tx_hash()).collect();
        for hash in unpayable {
            self.remove(&hash);
        }
    }

    /// Tells what time it is, in seconds. What has waited long enough for a gap to close is dropped, a minute late at most.
    pub fn pass_time(&mut self, now_s: u64) {
        self.now_s = self.now_s.max(now_s);
        if self.now_s.saturating_sub(self.looked_s) < LOOK_EVERY_S {
            return;
        }
        self.looked_s = self.now_s;
        let Some(before) = self.now_s.checked_sub(GAP_S) else { return };
        let behind = self.senders.values().flat_map(|queue| queue.entries.range(queue.next_nonce()..));
        let old = behind.filter(|(_, entry)| entry.came_s <= before);
        let old: Vec<B256> = old.map(|(_, entry)| *entry.transaction.tx_hash()).collect();
        for hash in old {
            self.remove(&hash);
        }
    }

    /// Senders with something waiting.
    pub fn senders(&self) -> impl Iterator<Item = Address> {
        self.senders.keys().copied()
    }

    /// The ready transactions in block order: highest tip first, then first come, nonces of a sender in order,
    /// as many as fit into `gas_limit` by their own limits.
    #[must_use]
    pub fn ready(&self, base_fee: u64, gas_limit: u64) -> Vec<Recovered<TxEnvelope>> {
        let proposal =
            Proposal { head: 0, parent: 0, base_fee, gas_max: gas_limit, bytes_max: self.limits.bytes_max };
        self.choose(&proposal).into_iter().map(|entry| entry.transaction.clone()).collect()
    }

    /// The ready transactions for a proposal, in block order, less those in flight below it. They are in flight from now on.
    pub fn propose(&mut self, proposal: &Proposal) -> Vec<Recovered<TxEnvelope>> {
        let chosen: Vec<_> =
            self.choose(proposal).into_iter().map(|entry| entry.transaction.clone()).collect();
        self.in_flight(proposal.parent.saturating_add(1), &chosen);
        chosen
    }

    /// Marks what waits here of `transactions`, which were proposed for block `number`.
    pub fn in_flight(&mut self, number: u64, transactions: &[Recovered<TxEnvelope>]) {
        for transaction in transactions {
            let queue = self.senders.get_mut(transaction.signer_ref());
            if let Some(entry) = queue.and_then(|queue| queue.entries.get_mut(&transaction.nonce())) {
                entry.proposed = number;
            }
        }
    }

    /// Whether something is ready and not in flight, when `head` is the newest final block.
    #[must_use]
    pub fn has_ready(&self, head: u64, base_fee: u64) -> bool {
        self.senders.iter().any(|(sender, queue)| {
            let nonce = queue.first(head, u64::MAX);
            nonce.and_then(|nonce| Head::new(sender, queue, nonce, base_fee)).is_some()
        })
    }

    fn choose(&self, proposal: &Proposal) -> Vec<&Entry> {
        let Proposal { head, parent, base_fee, gas_max, bytes_max } = *proposal;
        let senders = self.senders.iter();
        let mut heads: BinaryHeap<Head> = senders
            .filter_map(|(sender, queue)| {
                let nonce = queue.first(head, parent)?;
                Head::new(sender, queue, nonce, base_fee)
            })
            .collect();
        let (mut gas_left, mut bytes_left) = (gas_max, bytes_max);
        let mut chosen = Vec::new();
        while let Some(head) = heads.pop() {
            let Some(queue) = self.senders.get(&head.sender) else { continue };
            let Some(entry) = queue.entries.get(&head.nonce) else { continue };
            // A sender whose next transaction does not fit waits for the next block.
            let Some(gas) = gas_left.checked_sub(entry.transaction.gas_limit()) else { continue };
            let Some(bytes) = bytes_left.checked_sub(entry.bytes) else { continue };
            (gas_left, bytes_left) = (gas, bytes);
            chosen.push(entry);
            let next = head.nonce.checked_add(1);
            heads.extend(next.and_then(|nonce| Head::new(&head.sender, queue, nonce, base_fee)));
        }
        chosen
    }

    /// Everything that waits, by sender and nonce.
    pub fn iter(&self) -> impl Iterator<Item = &Recovered<TxEnvelope>> {
        self.senders.values().flat_map(|queue| queue.entries.values().map(|entry| &entry.transaction))
    }
}

/// The next transaction of a sender, ordered by tip and then by arrival.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    tip: u128,
    arrival: Reverse<u64>,
    sender: Address,
    nonce: u64,
}

impl Head {
    fn new(sender: &Address, queue: &Queue, nonce: u64, base_fee: u64) -> Option<Self> {
        let entry = queue.entries.get(&nonce)?;
        let tip = entry.transaction.effective_tip_per_gas(base_fee)?;
        Some(Self { tip, arrival: Reverse(entry.arrival), sender: *sender, nonce })
    }
}

/// The most that a transaction can take from its sender.
#[must_use]
pub fn cost(transaction: &TxEnvelope) -> U256 {
    let gas = U256::from(transaction.gas_limit()).checked_mul(U256::from(transaction.max_fee_per_gas()));
    gas.and_then(|gas| gas.checked_add(transaction.value())).unwrap_or(U256::MAX)
}

/// Whether `new` raises both fees of `old` by at least a tenth.
fn outbids(new: &TxEnvelope, old: &TxEnvelope) -> bool {
    fn tenth_more(new: u128, old: u128) -> bool {
        new > old && new >= old.saturating_add(old / 10)
    }
    let tip = |tx: &TxEnvelope| tx.max_priority_fee_per_gas().unwrap_or_else(|| tx.max_fee_per_gas());
    tenth_more(new.max_fee_per_gas(), old.max_fee_per_gas()) && tenth_more(tip(new), tip(old))
}

/// How long a transaction may wait for one before it.
const GAP_S: u64 = 3 * 60 * 60;
/// A look goes over all that wait.
const LOOK_EVERY_S: u64 = 60;
/// Transactions that one may displace: it bounds what a refusal costs.
const EVICTED_MAX: usize = 512;

#[cfg(test)]
mod tests;
