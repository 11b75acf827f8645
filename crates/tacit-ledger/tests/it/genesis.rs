//! The first block.

use crate::support::{address, genesis};
use alloy_primitives::{Address, B256, Bytes, U256, bytes};
use std::sync::Arc;
use tacit_abi::channels;
use tacit_ledger::{
    Accounts, Alloc, Entries, Entry, Genesis, GenesisAccount, GenesisError, LtHash, MemoryState, Origin,
    PART_ENTRIES, StateChanges, StateCommitment, StateReader,
};

fn error(change: impl FnOnce(&mut Genesis)) -> GenesisError {
    let mut genesis = genesis();
    change(&mut genesis);
    genesis.build(LtHash::default()).map(|_| ()).unwrap_err()
}

#[test]
fn modules_have_code_that_nobody_can_deploy() {
    let first = genesis().build(LtHash::default()).unwrap();
    let mut state = MemoryState::default();
    state.apply(&first.changes);
    let account = state.account(channels::ADDRESS).unwrap().unwrap();
    assert_eq!(state.code(account.code_hash).unwrap(), bytes!("ef"));
    assert_eq!(first.block.header.state_root, first.commitment.root());
    assert_eq!(first.block.header.number, 0);
    assert_eq!(first.block.hash(), first.block.header.hash_slow());
}

#[test]
fn the_same_genesis_gives_the_same_block() {
    let hash = |genesis: &Genesis| genesis.build(LtHash::default()).unwrap().block.hash();
    assert_eq!(hash(&genesis()), hash(&genesis()));
    let mut other = genesis();
    other.alloc.held().unwrap().get_mut(&address(1)).unwrap().balance += U256::ONE;
    assert_ne!(hash(&genesis()), hash(&other));
}

#[test]
fn each_rule_is_kept() {
    assert_eq!(error(|g| g.extra_data = vec![0; 33].into()), GenesisError::ExtraData { got: 33 });
    assert_eq!(error(|g| g.base_fee = 6), GenesisError::BaseFee { floor: 7, got: 6 });
    let module = error(|g| {
        g.alloc.held().unwrap().insert(channels::ADDRESS, GenesisAccount::default());
    });
    assert_eq!(module, GenesisError::Module(channels::ADDRESS));
    let loose = error(|g| {
        let storage = [(B256::ZERO, B256::with_last_byte(1))].into();
        g.alloc.held().unwrap().insert(address(9), GenesisAccount { storage, ..GenesisAccount::default() });
    });
    assert_eq!(loose, GenesisError::LooseStorage(address(9)));
    let code = error(|g| {
        g.alloc
            .held()
            .unwrap()
            .insert(address(9), GenesisAccount { code: bytes!("ef0100aa"), ..GenesisAccount::default() });
    });
    assert_eq!(code, GenesisError::Code(address(9)));
    let supply = error(|g| g.alloc.held().unwrap().get_mut(&address(1)).unwrap().balance = U256::MAX);
    assert_eq!(supply, GenesisError::Supply);
    let origin =
        |number, got| error(|g| g.origin = Some(Origin { number, hashes: vec![B256::repeat_byte(1); got] }));
    for (number, got) in [(7, 0), (7, 9), (1_000, 257), (u64::MAX, 1)] {
        assert_eq!(origin(number, got), GenesisError::Origin { number, got });
    }
}

#[test]
fn a_chain_goes_on_where_another_was_left() {
    let hashes: Vec<B256> = (1..=3).map(B256::with_last_byte).collect();
    let mut genesis = genesis();
    genesis.origin = Some(Origin { number: 9, hashes: hashes.clone() });
    let storage = [(B256::ZERO, B256::with_last_byte(1))].into();
    let module = GenesisAccount { balance: U256::from(5), nonce: 1, code: bytes!("ef"), storage };
    genesis.alloc.held().unwrap().insert(channels::ADDRESS, module);
    let first = genesis.build(LtHash::default()).unwrap();
    assert_eq!(first.block.header.number, 10);
    assert_eq!(first.block.header.parent_hash, hashes[2]);
    let mut state = MemoryState::default();
    state.apply(&first.changes);
    assert_eq!(state.account(channels::ADDRESS).unwrap().unwrap().balance, U256::from(5));
    assert_eq!(state.storage(channels::ADDRESS, U256::ZERO).unwrap(), U256::ONE);
    let blocks: Vec<_> = genesis.origin.as_ref().unwrap().blocks().collect();
    assert_eq!(blocks, [(7, hashes[0]), (8, hashes[1]), (9, hashes[2])]);
    let json = serde_json::to_string(&genesis).unwrap();
    assert_eq!(serde_json::from_str::<Genesis>(&json).unwrap().origin, genesis.origin);

    let mut other = genesis.clone();
    other.staking.parameters.epoch_blocks += 1;
    assert_eq!(other.build(LtHash::default()).err(), Some(GenesisError::OriginStaking));

    type Change = fn(&mut GenesisAccount);
    let changes: [Change; 2] = [|account| account.nonce = 2, |account| account.code = bytes!("fe")];
    for change in changes {
        let mut other = genesis.clone();
        change(other.alloc.held().unwrap().get_mut(&channels::ADDRESS).unwrap());
        assert_eq!(other.build(LtHash::default()).err(), Some(GenesisError::Module(channels::ADDRESS)));
    }
}

/// Accounts that nobody holds, some of them with slots.
#[derive(Debug)]
struct Listed(Vec<Entry>);

impl Accounts for Listed {
    fn entries(&self) -> Entries<'_> {
        Box::new(self.0.iter().cloned().map(Ok))
    }
}

fn rich(index: usize) -> Entry {
    let address = Address::from_word(U256::from(index + (1 << 40)).into());
    Entry::Account { address, balance: U256::ONE, nonce: 1, code: Bytes::new() }
}

fn slot(n: u8) -> Entry {
    Entry::Slot { slot: B256::with_last_byte(n), value: B256::with_last_byte(n) }
}

#[test]
fn a_state_comes_in_parts_that_are_functions_of_it() {
    let with = |more: &[Entry]| {
        let entries = (0..PART_ENTRIES - 2).map(rich).chain(more.iter().cloned());
        let entries = entries.chain([rich(PART_ENTRIES), slot(1), slot(2), slot(3)]);
        Genesis { alloc: Alloc::Kept(Arc::new(Listed(entries.collect()))), ..genesis() }
    };
    let parts = |genesis: &Genesis| {
        let mut founding = genesis.found();
        let mut parts: Vec<StateChanges> = Vec::new();
        while let Some(part) = founding.next_part().unwrap() {
            parts.push(part);
        }
        (parts, founding.finish().unwrap())
    };
    let plain = with(&[]);
    let (some, founded) = parts(&plain);
    let sizes: Vec<(usize, usize)> =
        some.iter().map(|part| (part.accounts.len(), part.storage.len())).collect();
    assert_eq!(sizes[0], (PART_ENTRIES - 1, 1), "a part ends among the slots of an account");
    assert_eq!(sizes.len(), 2);
    let built = plain.build(LtHash::default()).unwrap();
    assert_eq!(founded.block, built.block);
    let mut commitment = LtHash::default();
    some.iter().for_each(|part| commitment.apply(part));
    assert_eq!((commitment.root(), founded.commitment.root()), (built.commitment.root(), commitment.root()));
    assert_eq!(
        plain.found().finish().unwrap().block,
        built.block,
        "whoever stores nothing need not ask for parts"
    );

    // What is not in the state moves no boundary.
    let nothing = Entry::Account {
        address: Address::from_word(U256::from(PART_ENTRIES - 1 + (1 << 40)).into()),
        balance: U256::ZERO,
        nonce: 0,
        code: Bytes::new(),
    };
    assert_eq!(parts(&with(&[nothing])).0, some);
}

#[test]
fn accounts_are_those_that_were_announced() {
    let first_state = genesis().build(LtHash::default()).unwrap().first_state;
    let announced = Genesis { first_state: Some(first_state), ..genesis() };
    assert_eq!(announced.namespace(), genesis().namespace());
    assert_eq!(announced.found().finish().unwrap().first_state, first_state);
    let mut poorer = announced;
    poorer.alloc.held().unwrap().get_mut(&address(1)).unwrap().balance -= U256::ONE;
    assert_eq!(poorer.namespace(), genesis().namespace(), "nobody has read them");
    let refused = poorer.found().finish().map(|_| ()).unwrap_err();
    assert!(matches!(refused, GenesisError::FirstState { expected, .. } if expected == first_state));
}

#[test]
fn entries_out_of_order_are_refused() {
    let refused = |entries: &[Entry]| {
        let alloc = Alloc::Kept(Arc::new(Listed(entries.to_vec())));
        Genesis { alloc, ..genesis() }.found().finish().map(|_| ()).unwrap_err()
    };
    let at = |entry: Entry| match entry {
        Entry::Account { address, .. } => GenesisError::Order(address),
        Entry::Slot { .. } => GenesisError::Order(Address::ZERO),
    };
    assert_eq!(refused(&[rich(2), rich(1)]), at(rich(1)));
    assert_eq!(refused(&[rich(1), rich(1)]), at(rich(1)));
    assert_eq!(refused(&[rich(1), slot(2), slot(1)]), at(rich(1)));
    assert_eq!(refused(&[rich(1), slot(2), slot(2)]), at(rich(1)));
    assert_eq!(refused(&[slot(1)]), at(slot(1)));
}
