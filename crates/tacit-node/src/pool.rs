//! Transactions waiting for a block.
//!
//! # State
//! One queue for each sender, ordered by nonce. A transaction is *ready* when every nonce from the account's
//! own up to it is present; the others wait for the gap to close.
//!
//! # Invariants
//! Counts and bytes never pass [`PoolLimits`]. One transaction for each sender and nonce: a second one takes
//! its place only when it raises both fees by a tenth, so that replacing costs something. When the pool is full
//! a transaction that can never be mined soon (behind a gap) yields to one that can.
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
use tacit_ledger::{Account, Rejection};
use thiserror::Error;

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

/// Why a transaction was refused. Messages are those of existing clients, because libraries look for them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The bytes are not a transaction.
    #[error("failed to decode signed transaction")]
    Malformed,
    /// The transaction is longer than allowed.
    #[error("oversized data: transaction size {got}, limit {limit}")]
    Oversized {
        /// Its bytes.
        got: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Blob transactions are not part of this chain.
    #[error("transaction type not supported")]
    TypeNotSupported,
    /// The signature recovers no sender.
    #[error("invalid sender")]
    InvalidSender,
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {got} want {expected}")]
    WrongChain {
        /// This chain.
        expected: u64,
        /// The transaction's.
        got: u64,
    },
    /// Signed for no chain in particular.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    /// The nonce was used before.
    #[error("nonce too low: next nonce {expected}, tx nonce {got}")]
    NonceTooLow {
        /// The account's next nonce.
        expected: u64,
        /// The transaction's.
        got: u64,
    },
    /// The largest nonce can never be used (EIP-2681).
    #[error("nonce has max value")]
    NonceMax,
    /// More gas than a block or a transaction may use.
    #[error("exceeds block gas limit: gas {got}, limit {limit}")]
    GasLimitTooHigh {
        /// Gas allowed.
        limit: u64,
        /// The transaction's limit.
        got: u64,
    },
    /// Less gas than the transaction costs before it runs.
    #[error("intrinsic gas too low: gas {got}, minimum needed {needed}")]
    IntrinsicGas {
        /// Gas needed.
        needed: u64,
        /// The transaction's limit.
        got: u64,
    },
    /// The tip exceeds the maximal fee.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFee,
    /// The maximal fee does not cover the next block's base fee.
    #[error("max fee per gas less than block base fee: maxFeePerGas: {got}, baseFee: {base_fee}")]
    FeeTooLow {
        /// The next block's base fee.
        base_fee: u64,
        /// The transaction's maximal fee.
        got: u128,
    },
    /// The account cannot pay value and gas.
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}")]
    InsufficientFunds {
        /// What the account holds.
        balance: U256,
        /// What the transaction may cost.
        cost: U256,
    },
    /// The sender is a contract (EIP-3607).
    #[error("sender not an eoa")]
    SenderNotEoa,
    /// The creation code is longer than allowed (EIP-3860).
    #[error("max initcode size exceeded: code size {got}, limit {limit}")]
    InitCodeTooLong {
        /// Its bytes.
        got: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// An EIP-7702 transaction without authorizations, or creating a contract.
    #[error("EIP-7702 transaction with empty auth list or without destination")]
    MalformedSetCode,
    /// The same transaction waits already.
    #[error("already known")]
    AlreadyKnown,
    /// Another transaction has this nonce and the new one does not pay a tenth more.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// The sender has too many transactions waiting.
    #[error("account limit exceeded: {limit} transactions waiting")]
    SenderFull {
        /// Transactions allowed.
        limit: usize,
    },
    /// The pool holds as much as it may.
    #[error("txpool is full")]
    PoolFull,
    /// The executor refused it for a reason of its own.
    #[error(transparent)]
    Invalid(Rejection),
}

/// A transaction in the pool.
#[derive(Debug, Clone)]
struct Entry {
    transaction: Recovered<TxEnvelope>,
    bytes: usize,
    arrival: u64,
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

    /// The last transaction, when it waits behind a gap.
    fn gapped(&self) -> Option<&Entry> {
        let (nonce, entry) = self.entries.last_key_value()?;
        (*nonce >= self.next_nonce()).then_some(entry)
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

    /// Adds a transaction that the caller has checked against the state, where its sender's nonce is
    /// `account_nonce`.
    ///
    /// # Errors
    /// Refuses what is known, underpriced or over a limit; the pool is then as before.
    pub fn insert(&mut self, transaction: Recovered<TxEnvelope>, account_nonce: u64) -> Result<(), Rejected> {
        let hash = *transaction.tx_hash();
        if self.by_hash.contains_key(&hash) {
            return Err(Rejected::AlreadyKnown);
        }
        let (sender, nonce) = (transaction.signer(), transaction.nonce());
        let bytes = transaction.encode_2718_len();
        self.set_account_nonce(sender, account_nonce);
        let queue = self.senders.get(&sender);
        let replaced =
            queue.and_then(|queue| queue.entries.get(&nonce)).map(|old| (*old.transaction.tx_hash(), old));
        if let Some((_, old)) = replaced {
            if !outbids(&transaction, &old.transaction) {
                return Err(Rejected::Underpriced);
            }
        } else if queue.is_some_and(|queue| queue.entries.len() >= self.limits.sender_transactions_max) {
            return Err(Rejected::SenderFull { limit: self.limits.sender_transactions_max });
        }
        let added = usize::from(replaced.is_none());
        let grown = bytes.saturating_sub(replaced.map_or(0, |(_, old)| old.bytes));
        let replaced = replaced.map(|(hash, _)| hash);
        let ready = nonce <= queue.map_or(account_nonce, Queue::next_nonce);
        self.make_room(added, grown, ready, sender)?;

        if let Some(old) = replaced {
            self.remove(&old);
        }
        self.by_hash.insert(hash, (sender, nonce));
        self.bytes = self.bytes.saturating_add(bytes);
        let entry = Entry { transaction, bytes, arrival: self.arrivals, proposed: 0 };
        self.arrivals = self.arrivals.saturating_add(1);
        let queue = self.senders.entry(sender).or_default();
        queue.account_nonce = account_nonce;
        queue.entries.insert(nonce, entry);
        Ok(())
    }

    /// Frees space, at the cost of other senders' latest gapped transactions, and only for a ready one.
    fn make_room(
        &mut self,
        count: usize,
        bytes: usize,
        ready: bool,
        sender: Address,
    ) -> Result<(), Rejected> {
        while self.len().saturating_add(count) > self.limits.transactions_max
            || self.bytes.saturating_add(bytes) > self.limits.bytes_max
        {
            let others = self.senders.iter().filter(|(other, _)| ready && **other != sender);
            let victim = others.filter_map(|(_, queue)| queue.gapped()).max_by_key(|entry| entry.arrival);
            let victim = victim.map(|entry| *entry.transaction.tx_hash()).ok_or(Rejected::PoolFull)?;
            self.remove(&victim);
        }
        Ok(())
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
        let (sender, nonce) = self.by_hash.remove(hash)?;
        let queue = self.senders.get_mut(&sender)?;
        let entry = queue.entries.remove(&nonce)?;
        if queue.entries.is_empty() {
            self.senders.remove(&sender);
        }
        self.bytes = self.bytes.saturating_sub(entry.bytes);
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
        queue.account_nonce = account_nonce;
        let passed = queue.entries.range(..account_nonce);
        let passed: Vec<B256> = passed.map(|(_, entry)| *entry.transaction.tx_hash()).collect();
        for hash in passed {
            self.remove(&hash);
        }
    }

    /// Tells where an account now stands: what it has passed, or can no longer pay, is dropped.
    pub fn set_account(&mut self, sender: Address, account: &Account) {
        self.set_account_nonce(sender, account.nonce);
        let Some(queue) = self.senders.get(&sender) else { return };
        let unpayable = queue.entries.values().filter(|entry| cost(&entry.transaction) > account.balance);
        let unpayable: Vec<B256> = unpayable.map(|entry| *entry.transaction.tx_hash()).collect();
        for hash in unpayable {
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

#[cfg(test)]
mod tests {
    use alloy_consensus::{Signed, TxEip1559};
    use alloy_primitives::{Bytes, Signature, TxKind};
    use proptest::prelude::*;

    use super::*;

    fn tx(sender: u8, nonce: u64, tip: u128) -> Recovered<TxEnvelope> {
        let inner = TxEip1559 {
            chain_id: 1,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 1000 + tip,
            max_priority_fee_per_gas: tip,
            to: TxKind::Call(Address::repeat_byte(sender)),
            value: U256::ZERO,
            access_list: Default::default(),
            input: Bytes::new(),
        };
        let signature = Signature::test_signature();
        Recovered::new_unchecked(Signed::new_unhashed(inner, signature).into(), Address::repeat_byte(sender))
    }

    fn order(pool: &Pool, gas_limit: u64) -> Vec<(u8, u64)> {
        pool.ready(10, gas_limit).iter().map(|tx| (tx.signer()[0], tx.nonce())).collect()
    }

    #[test]
    fn gaps_wait_and_close() {
        let mut pool = Pool::new(PoolLimits::default());
        pool.insert(tx(1, 2, 5), 0).unwrap();
        pool.insert(tx(1, 1, 5), 0).unwrap();
        assert_eq!(order(&pool, u64::MAX), []);
        assert_eq!(pool.next_nonce(Address::repeat_byte(1)), Some(0));
        pool.insert(tx(1, 0, 5), 0).unwrap();
        assert_eq!(order(&pool, u64::MAX), [(1, 0), (1, 1), (1, 2)]);
        assert_eq!(pool.next_nonce(Address::repeat_byte(1)), Some(3));
        pool.set_account_nonce(Address::repeat_byte(1), 2);
        assert_eq!(order(&pool, u64::MAX), [(1, 2)]);
        pool.set_account_nonce(Address::repeat_byte(1), 3);
        assert!(pool.is_empty() && pool.bytes == 0 && pool.senders.is_empty());
    }

    #[test]
    fn tips_go_first_but_nonces_stay_in_order() {
        let mut pool = Pool::new(PoolLimits::default());
        pool.insert(tx(1, 0, 1), 0).unwrap();
        pool.insert(tx(1, 1, 900), 0).unwrap();
        pool.insert(tx(2, 0, 5), 0).unwrap();
        pool.insert(tx(3, 0, 1), 0).unwrap();
        assert_eq!(order(&pool, u64::MAX), [(2, 0), (1, 0), (1, 1), (3, 0)]);
        assert_eq!(order(&pool, 50_000), [(2, 0), (1, 0)]);
    }

    #[test]
    fn what_is_in_flight_is_neither_proposed_again_nor_a_reason_to_propose() {
        let mut pool = Pool::new(PoolLimits::default());
        for nonce in 0..4 {
            pool.insert(tx(1, nonce, 5), 0).unwrap();
        }
        let one = tx(1, 0, 5).encode_2718_len();
        let propose = |pool: &mut Pool, head, parent, count: usize| -> Vec<u64> {
            let proposal =
                Proposal { head, parent, base_fee: 10, gas_max: 21_000 * 9, bytes_max: one * count };
            pool.propose(&proposal).iter().map(|tx| tx.nonce()).collect()
        };
        assert!(pool.has_ready(7, 10));
        assert!(!pool.has_ready(7, 2_000), "the fee is below the base fee");
        assert_eq!(propose(&mut pool, 7, 7, 2), [0, 1], "as many bytes as fit");
        assert_eq!(
            propose(&mut pool, 7, 7, 3),
            [0, 1, 2],
            "the view was given up, the same height comes again"
        );
        assert_eq!(propose(&mut pool, 7, 8, 9), [3], "on top of the block that has them");
        assert!(!pool.has_ready(7, 10), "everything is in flight");
        pool.insert(tx(1, 4, 5), 0).unwrap();
        assert!(pool.has_ready(7, 10));
        assert_eq!(propose(&mut pool, 8, 8, 9), [0, 1, 2, 3, 4], "block 8 is final and has none of them");
        pool.set_account_nonce(Address::repeat_byte(1), 4);
        assert_eq!(propose(&mut pool, 9, 9, 9), [4]);
    }

    #[test]
    fn what_its_sender_cannot_pay_any_more_is_dropped_and_told() {
        let mut pool = Pool::new(PoolLimits::default());
        let hashes = [tx(1, 0, 1), tx(1, 1, 1_000), tx(1, 2, 1)].map(|tx| *tx.tx_hash());
        for (nonce, tip) in [(0, 1), (1, 1_000), (2, 1)] {
            pool.insert(tx(1, nonce, tip), 0).unwrap();
        }
        let balance = U256::from(21_000 * 1_001);
        pool.set_account(Address::repeat_byte(1), &Account { nonce: 1, balance, ..Account::default() });
        assert_eq!(pool.iter().map(|tx| *tx.tx_hash()).collect::<Vec<_>>(), [hashes[2]]);
        assert_eq!(pool.take_gone(), hashes[..2]);
        assert!(pool.take_gone().is_empty());
    }

    #[test]
    fn replacing_costs_a_tenth_of_both_fees() {
        let mut pool = Pool::new(PoolLimits::default());
        pool.insert(tx(1, 0, 100), 0).unwrap();
        assert_eq!(pool.insert(tx(1, 0, 100), 0), Err(Rejected::AlreadyKnown));
        assert_eq!(pool.insert(tx(1, 0, 111), 0), Err(Rejected::Underpriced));
        pool.insert(tx(1, 0, 220), 0).unwrap();
        assert_eq!(pool.len(), 1);
        assert!(pool.transaction(tx(1, 0, 100).tx_hash()).is_none());
        assert!(pool.transaction(tx(1, 0, 220).tx_hash()).is_some());
    }

    #[test]
    fn limits_hold_and_a_flood_behind_gaps_yields() {
        let limits = PoolLimits { sender_transactions_max: 3, transactions_max: 5, bytes_max: 1 << 20 };
        let mut pool = Pool::new(limits);
        for nonce in [7, 8, 9] {
            pool.insert(tx(1, nonce, 1), 0).unwrap();
        }
        assert_eq!(pool.insert(tx(1, 10, 1), 0), Err(Rejected::SenderFull { limit: 3 }));
        pool.insert(tx(2, 0, 1), 0).unwrap();
        pool.insert(tx(3, 0, 1), 0).unwrap();
        assert_eq!(pool.insert(tx(4, 1, 1), 0), Err(Rejected::PoolFull));
        for nonce in [0, 1, 2] {
            pool.insert(tx(4, nonce, 1), 0).unwrap();
        }
        assert_eq!(pool.len(), 5);
        assert_eq!(pool.insert(tx(5, 0, 1), 0), Err(Rejected::PoolFull));
    }

    #[test]
    fn bytes_are_bounded() {
        let one = tx(1, 0, 1).encode_2718_len();
        let mut pool = Pool::new(PoolLimits { bytes_max: one * 2 + 1, ..PoolLimits::default() });
        pool.insert(tx(1, 0, 1), 0).unwrap();
        pool.insert(tx(1, 1, 1), 0).unwrap();
        assert_eq!(pool.insert(tx(1, 2, 1), 0), Err(Rejected::PoolFull));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert { sender: u8, nonce: u64, tip: u128 },
        Advance { sender: u8, by: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_u8, 0..8_u64, 1..2000_u128)
                .prop_map(|(sender, nonce, tip)| Step::Insert { sender, nonce, tip }),
            1 => (0..4_u8, 0..3_u64).prop_map(|(sender, by)| Step::Advance { sender, by }),
        ]
    }

    proptest! {
        /// Against a list: the same transactions are held, in the same state, whatever happens.
        #[test]
        fn agrees_with_a_list(steps in proptest::collection::vec(step(), 0..60)) {
            let limits = PoolLimits { sender_transactions_max: 4, ..PoolLimits::default() };
            let mut pool = Pool::new(limits);
            let mut list: Vec<(u8, u64, u128)> = Vec::new();
            let mut nonces = [0_u64; 4];
            for step in steps {
                match step {
                    Step::Insert { sender, nonce, tip } => {
                        let account_nonce = nonces[usize::from(sender)];
                        if nonce < account_nonce {
                            continue;
                        }
                        let old = list.iter().position(|held| (held.0, held.1) == (sender, nonce));
                        let held = list.iter().filter(|held| held.0 == sender).count();
                        let fits = match old.map(|old| list[old].2) {
                            Some(old) => {
                                let (fee, old_fee) = (1000 + tip, 1000 + old);
                                tip != old && fee >= old_fee + old_fee / 10 && tip > old && tip >= old + old / 10
                            }
                            None => held < 4,
                        };
                        prop_assert_eq!(pool.insert(tx(sender, nonce, tip), account_nonce).is_ok(), fits);
                        if fits {
                            list.retain(|held| (held.0, held.1) != (sender, nonce));
                            list.push((sender, nonce, tip));
                        }
                    }
                    Step::Advance { sender, by } => {
                        let nonce = &mut nonces[usize::from(sender)];
                        *nonce += by;
                        pool.set_account_nonce(Address::repeat_byte(sender), *nonce);
                        list.retain(|held| held.0 != sender || held.1 >= *nonce);
                    }
                }
                prop_assert_eq!(pool.len(), list.len());
                let bytes: usize = pool.iter().map(|held| held.encode_2718_len()).sum();
                prop_assert_eq!(pool.bytes, bytes);
            }
            let mut ready = order(&pool, u64::MAX);
            let mut expected = Vec::new();
            for (sender, nonce) in (0..4_u8).zip(nonces) {
                let holds = |nonce: &u64| list.iter().any(|held| (held.0, held.1) == (sender, *nonce));
                let run: Vec<u64> = (nonce..).take_while(holds).collect();
                let mined: Vec<u64> = ready.iter().filter(|held| held.0 == sender).map(|held| held.1).collect();
                prop_assert_eq!(&mined, &run, "nonces of a sender are in order");
                expected.extend(run.into_iter().map(|nonce| (sender, nonce)));
            }
            ready.sort_unstable();
            prop_assert_eq!(ready, expected);
        }
    }
}
