//! A fresh chain with one funded account, shared by the targets.

use alloy_primitives::{Address, U256};
use std::sync::LazyLock;
use tacit_ledger::{Chain, Genesis, GenesisAccount, GenesisBlock, LtHash, MemoryState};

/// Everything that executing on top of the first block needs.
pub struct Fresh {
    pub chain: Chain,
    pub first: GenesisBlock<LtHash>,
    pub state: MemoryState,
}

/// Who has coin.
pub const RICH: Address = Address::repeat_byte(1);

pub static FRESH: LazyLock<Fresh> = LazyLock::new(|| {
    let rich = GenesisAccount { balance: U256::from(1_u128 << 100), ..GenesisAccount::default() };
    let genesis = Genesis {
        chain: Chain { chain_id: 1337, gas_limit: 60_000_000, base_fee_floor: 0, certifier: None },
        timestamp: 1_800_000_000,
        base_fee: 0,
        extra_data: Default::default(),
        alloc: [(RICH, rich)].into(),
        first_state: None,
        origin: None,
        staking: tacit_ledger::Staking::default(),
    };
    let first = genesis.build(LtHash::default()).expect("a valid genesis");
    let mut state = MemoryState::default();
    state.apply(&first.changes);
    Fresh { chain: genesis.chain, first, state }
});
