//! The first block.

use crate::support::{address, genesis};
use alloy_primitives::{B256, U256, bytes};
use tacit_abi::channels;
use tacit_ledger::{
    Genesis, GenesisAccount, GenesisError, LtHash, MemoryState, Origin, StateCommitment, StateReader,
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
    other.alloc.get_mut(&address(1)).unwrap().balance += U256::ONE;
    assert_ne!(hash(&genesis()), hash(&other));
}

#[test]
fn json_round_trips() {
    let mut genesis = genesis();
    let account = GenesisAccount {
        code: bytes!("6001"),
        storage: [(B256::with_last_byte(1), B256::with_last_byte(2))].into(),
        ..GenesisAccount::default()
    };
    genesis.alloc.insert(address(9), account);
    let json = serde_json::to_string(&genesis).unwrap();
    assert_eq!(serde_json::from_str::<Genesis>(&json).unwrap(), genesis);
}

#[test]
fn each_rule_is_kept() {
    assert_eq!(error(|g| g.extra_data = vec![0; 33].into()), GenesisError::ExtraData { got: 33 });
    assert_eq!(error(|g| g.base_fee = 6), GenesisError::BaseFee { floor: 7, got: 6 });
    let module = error(|g| {
        g.alloc.insert(channels::ADDRESS, GenesisAccount::default());
    });
    assert_eq!(module, GenesisError::Module(channels::ADDRESS));
    let loose = error(|g| {
        let storage = [(B256::ZERO, B256::with_last_byte(1))].into();
        g.alloc.insert(address(9), GenesisAccount { storage, ..GenesisAccount::default() });
    });
    assert_eq!(loose, GenesisError::LooseStorage(address(9)));
    let code = error(|g| {
        g.alloc.insert(address(9), GenesisAccount { code: bytes!("ef0100aa"), ..GenesisAccount::default() });
    });
    assert_eq!(code, GenesisError::Code(address(9)));
    let supply = error(|g| g.alloc.get_mut(&address(1)).unwrap().balance = U256::MAX);
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
    genesis.alloc.insert(channels::ADDRESS, module);
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
    assert_eq!(serde_json::from_str::<Genesis>(&json).unwrap(), genesis);

    let mut other = genesis.clone();
    other.staking.parameters.epoch_blocks += 1;
    assert_eq!(other.build(LtHash::default()).err(), Some(GenesisError::OriginStaking));

    type Change = fn(&mut GenesisAccount);
    let changes: [Change; 2] = [|account| account.nonce = 2, |account| account.code = bytes!("fe")];
    for change in changes {
        let mut other = genesis.clone();
        change(other.alloc.get_mut(&channels::ADDRESS).unwrap());
        assert_eq!(other.build(LtHash::default()).err(), Some(GenesisError::Module(channels::ADDRESS)));
    }
}
