//! The pool against limits, floods and a list.

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

/// From a sender who can pay everything, under a base fee of 10.
fn insert(pool: &mut Pool, transaction: Recovered<TxEnvelope>, nonce: u64) -> Result<(), Rejected> {
    let account = Account { nonce, balance: U256::MAX, ..Account::default() };
    pool.insert(transaction, &account, 10)
}

fn order(pool: &Pool, gas_limit: u64) -> Vec<(u8, u64)> {
    pool.ready(10, gas_limit).iter().map(|tx| (tx.signer()[0], tx.nonce())).collect()
}

#[test]
fn gaps_wait_and_close() {
    let mut pool = Pool::new(PoolLimits::default());
    insert(&mut pool, tx(1, 2, 5), 0).unwrap();
    insert(&mut pool, tx(1, 1, 5), 0).unwrap();
    assert_eq!(order(&pool, u64::MAX), []);
    assert_eq!(pool.next_nonce(Address::repeat_byte(1)), Some(0));
    insert(&mut pool, tx(1, 0, 5), 0).unwrap();
    assert_eq!(order(&pool, u64::MAX), [(1, 0), (1, 1), (1, 2)]);
    assert_eq!(pool.next_nonce(Address::repeat_byte(1)), Some(3));
    pool.set_account_nonce(Address::repeat_byte(1), 2);
    assert_eq!(order(&pool, u64::MAX), [(1, 2)]);
    pool.set_account_nonce(Address::repeat_byte(1), 3);
    assert!(pool.is_empty() && pool.bytes == 0 && pool.senders.is_empty());
}

#[test]
fn behind_a_gap_nothing_waits_for_ever() {
    let mut pool = Pool::new(PoolLimits::default());
    pool.pass_time(1_000);
    for nonce in [0, 1, 3] {
        insert(&mut pool, tx(1, nonce, 5), 0).unwrap();
    }
    pool.pass_time(1_000 + GAP_S / 2);
    insert(&mut pool, tx(1, 4, 5), 0).unwrap();
    insert(&mut pool, tx(2, 1, 5), 0).unwrap();
    let held = |pool: &Pool| {
        let mut held: Vec<_> = pool.iter().map(|tx| (tx.signer()[0], tx.nonce())).collect();
        held.sort_unstable();
        held
    };
    pool.pass_time(1_000 + GAP_S - 1);
    assert_eq!(held(&pool), [(1, 0), (1, 1), (1, 3), (1, 4), (2, 1)]);
    pool.pass_time(1_000 + GAP_S + LOOK_EVERY_S);
    assert_eq!(held(&pool), [(1, 0), (1, 1), (1, 4), (2, 1)], "what is ready stays, and what came later");
    assert_eq!(pool.take_gone(), [*tx(1, 3, 5).tx_hash()], "its place on the disk can be given up");
    // The gap closes in time.
    insert(&mut pool, tx(2, 0, 5), 0).unwrap();
    pool.pass_time(1_000 + GAP_S * 9);
    assert_eq!(held(&pool), [(1, 0), (1, 1), (2, 0), (2, 1)]);
    // Time does not go back.
    pool.pass_time(0);
    insert(&mut pool, tx(2, 5, 5), 0).unwrap();
    pool.pass_time(1_000 + GAP_S * 9 + LOOK_EVERY_S);
    assert_eq!(held(&pool).last(), Some(&(2, 5)));
}

#[test]
fn tips_go_first_but_nonces_stay_in_order() {
    let mut pool = Pool::new(PoolLimits::default());
    insert(&mut pool, tx(1, 0, 1), 0).unwrap();
    insert(&mut pool, tx(1, 1, 900), 0).unwrap();
    insert(&mut pool, tx(2, 0, 5), 0).unwrap();
    insert(&mut pool, tx(3, 0, 1), 0).unwrap();
    assert_eq!(order(&pool, u64::MAX), [(2, 0), (1, 0), (1, 1), (3, 0)]);
    assert_eq!(order(&pool, 50_000), [(2, 0), (1, 0)]);
}

#[test]
fn what_is_in_flight_is_neither_proposed_again_nor_a_reason_to_propose() {
    let mut pool = Pool::new(PoolLimits::default());
    for nonce in 0..4 {
        insert(&mut pool, tx(1, nonce, 5), 0).unwrap();
    }
    let one = tx(1, 0, 5).encode_2718_len();
    let propose = |pool: &mut Pool, head, parent, count: usize| -> Vec<u64> {
        let proposal = Proposal { head, parent, base_fee: 10, gas_max: 21_000 * 9, bytes_max: one * count };
        pool.propose(&proposal).iter().map(|tx| tx.nonce()).collect()
    };
    assert!(pool.has_ready(7, 10));
    assert!(!pool.has_ready(7, 2_000), "the fee is below the base fee");
    assert_eq!(propose(&mut pool, 7, 7, 2), [0, 1], "as many bytes as fit");
    assert_eq!(propose(&mut pool, 7, 7, 3), [0, 1, 2], "the view was given up, the same height comes again");
    assert_eq!(propose(&mut pool, 7, 8, 9), [3], "on top of the block that has them");
    assert!(!pool.has_ready(7, 10), "everything is in flight");
    insert(&mut pool, tx(1, 4, 5), 0).unwrap();
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
        insert(&mut pool, tx(1, nonce, tip), 0).unwrap();
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
    insert(&mut pool, tx(1, 0, 100), 0).unwrap();
    assert_eq!(insert(&mut pool, tx(1, 0, 100), 0), Err(Rejected::AlreadyKnown));
    assert_eq!(insert(&mut pool, tx(1, 0, 111), 0), Err(Rejected::Underpriced));
    insert(&mut pool, tx(1, 0, 220), 0).unwrap();
    assert_eq!(pool.len(), 1);
    assert!(pool.transaction(tx(1, 0, 100).tx_hash()).is_none());
    assert!(pool.transaction(tx(1, 0, 220).tx_hash()).is_some());
}

#[test]
fn limits_hold_and_a_flood_behind_gaps_yields() {
    let limits = PoolLimits { sender_transactions_max: 3, transactions_max: 5, bytes_max: 1 << 20 };
    let mut pool = Pool::new(limits);
    for nonce in [7, 8, 9] {
        insert(&mut pool, tx(1, nonce, 1), 0).unwrap();
    }
    assert_eq!(insert(&mut pool, tx(1, 10, 1), 0), Err(Rejected::SenderFull { limit: 3 }));
    insert(&mut pool, tx(2, 0, 1), 0).unwrap();
    insert(&mut pool, tx(3, 0, 1), 0).unwrap();
    assert_eq!(insert(&mut pool, tx(4, 1, 1), 0), Err(Rejected::PoolFull));
    for nonce in [0, 1, 2] {
        insert(&mut pool, tx(4, nonce, 1), 0).unwrap();
    }
    assert_eq!(pool.len(), 5);
    assert_eq!(insert(&mut pool, tx(5, 0, 1), 0), Err(Rejected::PoolFull));
}

/// Whoever filled the pool at the lowest fee, with as much gas as a block has, kept everybody out for hours.
#[test]
fn a_full_pool_keeps_what_pays_most() {
    let limits = PoolLimits { sender_transactions_max: 3, transactions_max: 5, bytes_max: 1 << 20 };
    let mut pool = Pool::new(limits);
    for (sender, nonce) in [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)] {
        insert(&mut pool, tx(sender, nonce, 10), 0).unwrap();
    }
    assert_eq!(insert(&mut pool, tx(3, 0, 10), 0), Err(Rejected::PoolFull), "no more than others");
    assert_eq!(insert(&mut pool, tx(3, 1, 500), 0), Err(Rejected::PoolFull), "behind a gap");
    assert_eq!(insert(&mut pool, tx(1, 3, 500), 0), Err(Rejected::SenderFull { limit: 3 }));
    insert(&mut pool, tx(3, 0, 11), 0).unwrap();
    assert_eq!(order(&pool, u64::MAX), [(3, 0), (1, 0), (1, 1), (1, 2), (2, 0)], "the latest of the least");
    insert(&mut pool, tx(3, 1, 500), 0).unwrap();
    insert(&mut pool, tx(3, 2, 500), 0).unwrap();
    assert_eq!(order(&pool, u64::MAX), [(3, 0), (3, 1), (3, 2), (1, 0), (1, 1)]);
    assert_eq!(insert(&mut pool, tx(4, 0, 9), 0), Err(Rejected::PoolFull));
    assert_eq!((pool.len(), pool.take_gone().len()), (5, 3));
}

/// Two transactions of one sender in one block halted every validator whose pool was full.
#[test]
fn a_full_pool_lets_go_of_what_a_block_took() {
    let limits = PoolLimits { transactions_max: 4, ..PoolLimits::default() };
    let mut pool = Pool::new(limits);
    for nonce in 0..4 {
        insert(&mut pool, tx(1, nonce, 10), 0).unwrap();
    }
    assert_eq!(insert(&mut pool, tx(2, 0, 1), 0), Err(Rejected::PoolFull));
    pool.set_account_nonce(Address::repeat_byte(1), 3);
    assert_eq!(order(&pool, u64::MAX), [(1, 3)]);
    pool.set_account_nonce(Address::repeat_byte(1), 9);
    assert!(pool.is_empty());
}

/// A high tip at the end of a queue does not shield the low ones before it, and is not paid before them.
#[test]
fn a_transaction_is_worth_no_more_than_those_before_it() {
    let limits = PoolLimits { transactions_max: 4, ..PoolLimits::default() };
    let mut pool = Pool::new(limits);
    insert(&mut pool, tx(1, 0, 1), 0).unwrap();
    insert(&mut pool, tx(1, 1, 900), 0).unwrap();
    insert(&mut pool, tx(2, 0, 30), 0).unwrap();
    insert(&mut pool, tx(2, 1, 30), 0).unwrap();
    assert_eq!(insert(&mut pool, tx(3, 1, 900), 0), Err(Rejected::PoolFull));
    insert(&mut pool, tx(3, 0, 20), 0).unwrap();
    assert_eq!(order(&pool, u64::MAX), [(2, 0), (2, 1), (3, 0), (1, 0)]);
    let cheap = insert(&mut pool, tx(1, 1, 900), 0);
    assert_eq!(cheap, Err(Rejected::PoolFull), "it pays 1, as the one before it");
}

#[test]
fn a_refusal_leaves_the_pool_as_it_was() {
    let one = tx(1, 0, 1).encode_2718_len();
    let limits = PoolLimits { bytes_max: 3 * one + 20, ..PoolLimits::default() };
    let mut pool = Pool::new(limits);
    insert(&mut pool, tx(1, 1, 1), 0).unwrap();
    insert(&mut pool, tx(2, 1, 1), 0).unwrap();
    insert(&mut pool, tx(3, 0, 900), 0).unwrap();
    let mut long = tx(4, 0, 200).into_inner();
    if let TxEnvelope::Eip1559(signed) = &mut long {
        let mut inner = signed.tx().clone();
        inner.input = vec![1; one + 40].into();
        *signed = Signed::new_unhashed(inner, Signature::test_signature());
    }
    let long = Recovered::new_unchecked(long, Address::repeat_byte(4));
    assert!(long.encode_2718_len() > 2 * one && long.encode_2718_len() <= limits.bytes_max);
    let before: Vec<B256> = sorted(pool.iter().map(|tx| *tx.tx_hash()));
    assert_eq!(insert(&mut pool, long, 0), Err(Rejected::PoolFull), "two may go, and that is not enough");
    assert_eq!(sorted(pool.iter().map(|tx| *tx.tx_hash())), before);
    assert!(pool.take_gone().is_empty() && pool.bytes() <= limits.bytes_max);
}

fn sorted(hashes: impl Iterator<Item = B256>) -> Vec<B256> {
    let mut hashes: Vec<B256> = hashes.collect();
    hashes.sort_unstable();
    hashes
}

/// One account with coins for one transaction had a thousand waiting, whatever they promised to pay.
#[test]
fn a_sender_can_pay_each_beside_those_before_it() {
    let mut pool = Pool::new(PoolLimits::default());
    let one = cost(&tx(1, 0, 5));
    let mut insert = |nonce, tip| {
        let account = Account { balance: one * U256::from(2), ..Account::default() };
        pool.insert(tx(1, nonce, tip), &account, 10)
    };
    insert(0, 5).unwrap();
    insert(1, 5).unwrap();
    let third = insert(2, 5);
    assert_eq!(
        third,
        Err(Rejected::InsufficientFunds { balance: one * U256::from(2), cost: one * U256::from(3) })
    );
    let dearer = insert(1, 200);
    assert!(
        matches!(dearer, Err(Rejected::InsufficientFunds { cost, .. }) if cost > one * U256::from(2)),
        "{dearer:?}"
    );
}

#[test]
fn bytes_are_bounded() {
    let one = tx(1, 0, 1).encode_2718_len();
    let mut pool = Pool::new(PoolLimits { bytes_max: one * 2 + 1, ..PoolLimits::default() });
    insert(&mut pool, tx(1, 0, 1), 0).unwrap();
    insert(&mut pool, tx(1, 1, 1), 0).unwrap();
    assert_eq!(insert(&mut pool, tx(1, 2, 1), 0), Err(Rejected::PoolFull));
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
    /// Whatever happens to a pool with little room: it keeps its limits, counts what it holds, and ranks as if it began to.
    #[test]
    fn a_small_pool_keeps_in_step(steps in proptest::collection::vec(step(), 0..80), room in 1..7_usize) {
        let limits = PoolLimits { transactions_max: room, ..PoolLimits::default() };
        let mut pool = Pool::new(limits);
        let mut nonces = [0_u64; 4];
        for step in steps {
            match step {
                Step::Insert { sender, nonce, tip } => {
                    let account_nonce = nonces[usize::from(sender)];
                    if nonce >= account_nonce {
                        let before = pool.len();
                        let inserted = insert(&mut pool, tx(sender, nonce, tip), account_nonce).is_ok();
                        prop_assert_eq!(pool.transaction(tx(sender, nonce, tip).tx_hash()).is_some() || !inserted, true);
                        prop_assert!(inserted || pool.len() == before);
                    }
                }
                Step::Advance { sender, by } => {
                    nonces[usize::from(sender)] += by;
                    pool.set_account_nonce(Address::repeat_byte(sender), nonces[usize::from(sender)]);
                }
            }
            prop_assert!(pool.len() <= room);
            let bytes: usize = pool.iter().map(|held| held.encode_2718_len()).sum();
            prop_assert_eq!((pool.bytes, pool.iter().count()), (bytes, pool.len()));
            if let Some(worst) = &pool.worst {
                prop_assert_eq!(worst, &Worst::of(&pool.senders, worst.base_fee()));
            }
        }
    }

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
                    prop_assert_eq!(insert(&mut pool, tx(sender, nonce, tip), account_nonce).is_ok(), fits);
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
