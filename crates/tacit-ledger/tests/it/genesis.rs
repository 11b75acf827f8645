//! The first block.

use crate::support::{address, genesis};
use alloy_primitives::{B256, U256, bytes};
use tacit_abi::channels;
use tacit_ledger::{
    Genesis, GenesisAccount, GenesisError, LtHash, MemoryState, StateCommitment, StateReader,
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
}
