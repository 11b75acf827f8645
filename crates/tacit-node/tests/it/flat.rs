//! The flat state after any past block, read in pages, is what a replay of the changes gives.

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use proptest::prelude::*;
use tacit_ledger::{Account, Change, LtHash, StateChanges, StateCommitment as _};
use tacit_node::store::{First, FromConsensus, Identity, MadeBy, NewBlock, RedbStore, Store, View};

use crate::support::config;

type Accounts = BTreeMap<Address, Account>;
type Slots = BTreeMap<(Address, U256), U256>;

/// A change of one account, and of one slot: which, and to what; nothing removes it.
type Step = (u8, Option<u8>, u8, u8);

fn account(balance: u8) -> Account {
    let code = [balance; 3];
    let code_hash = if balance.is_multiple_of(3) { keccak256(code) } else { Account::default().code_hash };
    Account { nonce: 1, balance: U256::from(balance), code_hash }
}

/// First and last of all keys are among them.
fn key(seed: u8) -> Address {
    match seed {
        0 => Address::ZERO,
        7 => Address::repeat_byte(0xff),
        _ => Address::repeat_byte(seed.wrapping_mul(37)),
    }
}

fn slot(seed: u8) -> U256 {
    match seed {
        0 => U256::ZERO,
        3 => U256::MAX,
        _ => U256::from(seed),
    }
}

/// Applies the steps of one block to the model; gives what changed.
fn apply(steps: &[Step], accounts: &mut Accounts, slots: &mut Slots) -> StateChanges {
    let (before, held) = (accounts.clone(), slots.clone());
    for (who, balance, at, value) in steps {
        match balance {
            Some(balance) => drop(accounts.insert(key(who % 8), account(*balance))),
            None => drop(accounts.remove(&key(who % 8))),
        }
        let place = (key(who % 8), slot(at % 4));
        match value % 3 {
            0 => drop(slots.remove(&place)),
            value => drop(slots.insert(place, U256::from(value))),
        }
    }
    let mut changes = StateChanges::default();
    for (who, _, at, _) in steps {
        let address = key(who % 8);
        let change = Change { before: before.get(&address).copied(), after: accounts.get(&address).copied() };
        changes.accounts.insert(address, change);
        if let Some(balance) = change.after.filter(Account::has_code).map(|account| account.balance) {
            let code = Bytes::from(vec![balance.to::<u8>(); 3]);
            changes.code.insert(keccak256(&code), code);
        }
        let place = (address, slot(at % 4));
        let value = |slots: &Slots| slots.get(&place).copied().unwrap_or_default();
        changes.storage.insert(place, Change { before: value(&held), after: value(slots) });
    }
    changes
}

/// All of it, in pages.
fn read(view: &dyn View, height: u64, page: usize) -> (Accounts, Slots) {
    let (mut accounts, mut last) = (Vec::new(), None);
    loop {
        let more = view.accounts(last, height, page).unwrap();
        assert!(more.len() <= page);
        let Some((address, _)) = more.last() else { break };
        last = Some(*address);
        accounts.extend(more);
    }
    let (mut slots, mut last) = (Vec::new(), None);
    loop {
        let more = view.slots(last, height, page).unwrap();
        assert!(more.len() <= page);
        let Some((address, slot, _)) = more.last() else { break };
        last = Some((*address, *slot));
        slots.extend(more);
    }
    assert!(accounts.is_sorted_by(|one, other| one.0 < other.0));
    assert!(slots.is_sorted_by(|one, other| (one.0, one.1) < (other.0, other.1)));
    let slots = slots.into_iter().map(|(address, slot, value)| ((address, slot), value));
    (accounts.into_iter().collect(), slots.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_past_state_is_read_as_it_was(
        blocks in prop::collection::vec(prop::collection::vec(any::<Step>(), 0..6), 1..12),
        page in 1_usize..5,
    ) {
        let genesis = config(None).genesis;
        let first = genesis.build(LtHash::default()).unwrap();
        let after = first.changes.accounts.iter().filter_map(|(key, change)| Some((*key, change.after?)));
        let mut accounts: Accounts = after.collect();
        let mut slots: Slots = first.changes.storage.iter().map(|(key, change)| (*key, change.after)).collect();
        let mut sum = first.commitment;
        let (hash, header) = (first.block.hash(), &first.block.header);
        let identity = Identity { chain: genesis.chain, genesis: hash, made_by: MadeBy::Validators };
        let store = RedbStore::open(None, identity, &First { genesis: &genesis, hash, header }).unwrap();
        let mut past = vec![(accounts.clone(), slots.clone(), sum.root())];
        for (number, steps) in (1..).zip(&blocks) {
            let changes = apply(steps, &mut accounts, &mut slots);
            sum.apply(&changes);
            let header = Header { number, state_root: sum.root(), ..Header::default() };
            let block = NewBlock {
                hash: header.hash_slow(),
                header: &header,
                transactions: &[],
                receipts: &[],
                changes: &changes,
                accumulator: &sum,
                consensus: FromConsensus::default(),
            };
            store.commit(&block).unwrap();
            past.push((accounts.clone(), slots.clone(), sum.root()));
        }
        let view = store.view().unwrap();
        for (height, (accounts, slots, root)) in (0..).zip(&past) {
            let read = read(view.as_ref(), height, page);
            prop_assert_eq!(&read.0, accounts, "accounts after block {}", height);
            prop_assert_eq!(&read.1, slots, "slots after block {}", height);
            prop_assert_eq!(view.root(height).unwrap(), Some(*root));
            for account in accounts.values().filter(|account| account.has_code()) {
                let codes = view.codes(None, usize::MAX).unwrap();
                prop_assert!(codes.iter().any(|(hash, _)| *hash == account.code_hash));
            }
        }
        // Code by code, however little is asked for.
        let (mut codes, mut last) = (Vec::new(), None::<B256>);
        loop {
            let more = view.codes(last, 0).unwrap();
            let Some((hash, code)) = more.last().cloned() else { break };
            prop_assert_eq!((more.len(), keccak256(&code)), (1, hash));
            last = Some(hash);
            codes.extend(more);
        }
        prop_assert_eq!(codes, view.codes(None, usize::MAX).unwrap());
    }
}
