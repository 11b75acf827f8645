//! Whom a full pool gives up first.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use alloy_primitives::Address;

use super::Queue;

/// How little a sender's last transaction is worth keeping: the least first, and of equal ones the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// As [`Queue::worth`] of all that the sender has.
    worth: Option<u128>,
    arrival: Reverse<u64>,
    sender: Address,
}

impl Rank {
    fn of(sender: Address, queue: &Queue, base_fee: u64) -> Option<Self> {
        let (nonce, entry) = queue.entries.last_key_value()?;
        let worth = nonce.checked_add(1).and_then(|end| queue.worth(end, base_fee));
        Some(Self { worth, arrival: Reverse(entry.arrival), sender })
    }

    /// Least worth of what may take its place.
    fn price(&self) -> u128 {
        self.worth.map_or(0, |own| own.saturating_add((own / 10).max(1)))
    }
}

/// All senders of a pool by their last transactions, under one base fee. Made when it is first needed, which takes a walk over the pool,
/// and then kept in step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Worst {
    base_fee: u64,
    order: BTreeSet<Rank>,
    ranks: HashMap<Address, Rank>,
}

impl Worst {
    pub(super) fn of(senders: &HashMap<Address, Queue>, base_fee: u64) -> Self {
        let ranks = senders.iter().filter_map(|(sender, queue)| Rank::of(*sender, queue, base_fee));
        let ranks: HashMap<Address, Rank> = ranks.map(|rank| (rank.sender, rank)).collect();
        Self { base_fee, order: ranks.values().copied().collect(), ranks }
    }

    pub(super) const fn base_fee(&self) -> u64 {
        self.base_fee
    }

    /// Ranks a sender anew.
    pub(super) fn rank(&mut self, sender: Address, queue: Option<&Queue>) {
        let rank = queue.and_then(|queue| Rank::of(sender, queue, self.base_fee));
        let old = match rank {
            Some(rank) => self.ranks.insert(sender, rank),
            None => self.ranks.remove(&sender),
        };
        if let Some(old) = old {
            self.order.remove(&old);
        }
        self.order.extend(rank);
    }

    /// What a transaction must be worth to find a place.
    pub(super) fn tip_min(&self) -> u128 {
        self.order.first().map_or(0, Rank::price)
    }

    /// The sender whose last transaction goes first, if it yields to one of `sender` that is worth so much.
    pub(super) fn first_but(&self, sender: Address, worth: u128) -> Option<Address> {
        let other = self.order.iter().find(|rank| rank.sender != sender)?;
        (worth >= other.price()).then_some(other.sender)
    }
}
