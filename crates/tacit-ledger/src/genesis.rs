//! The first block: what state starts as.

use crate::{
    block::{Block, constant_header},
    chain::{Chain, EXTRA_DATA_MAX},
    commitment::{LtHash, StateCommitment},
    state::{Account, Change, StateChanges},
};
use alloy_consensus::{BlockBody, Header, Sealed};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use revm::state::Bytecode;
use std::collections::BTreeMap;
use tacit_modules::{
    MODULES,
    validators::{self, Staking, StakingError},
};

/// Everything that decides a chain's first block.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Genesis {
    /// Parameters of the chain.
    pub chain: Chain,
    /// Timestamp of block 0, seconds since 1970.
    pub timestamp: u64,
    /// Base fee of block 0.
    pub base_fee: u64,
    /// Up to [`EXTRA_DATA_MAX`] bytes.
    #[serde(default)]
    pub extra_data: Bytes,
    /// Accounts that exist from the start.
    pub alloc: BTreeMap<Address, GenesisAccount>,
    /// Rules of stake, and the validators that the network begins with. Their stakes are coin beside `alloc`.
    #[serde(default)]
    pub staking: Staking,
}

/// An account at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenesisAccount {
    /// Coin in its smallest unit.
    #[serde(default)]
    pub balance: U256,
    /// Transactions already sent.
    #[serde(default)]
    pub nonce: u64,
    /// Code, empty for none.
    #[serde(default)]
    pub code: Bytes,
    /// Slots; zeros are ignored.
    #[serde(default)]
    pub storage: BTreeMap<B256, B256>,
}

/// Why a genesis is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// `extraData` is too long.
    #[error("extra data has {got} bytes, at most {EXTRA_DATA_MAX} are allowed")]
    ExtraData {
        /// Bytes given.
        got: usize,
    },
    /// The address belongs to a module, whose account the ledger makes itself.
    #[error("{0} is the address of a module")]
    Module(Address),
    /// Storage without code or nonce: a contract created there later would not see it.
    #[error("{0} has storage but neither code nor nonce")]
    LooseStorage(Address),
    /// The code starts with a prefix that is reserved and malformed.
    #[error("{0} has malformed code")]
    Code(Address),
    /// The base fee lies below the chain's floor.
    #[error("base fee {got} is below the floor {floor}")]
    BaseFee {
        /// The chain's floor.
        floor: u64,
        /// Given.
        got: u64,
    },
    /// All balances together exceed 256 bits, so that a transfer could overflow.
    #[error("total supply overflows")]
    Supply,
    /// Nobody can stake like that.
    #[error("staking: {0}")]
    Staking(#[from] StakingError),
}

/// The first block, with everything that storing it needs.
#[derive(Debug, Clone)]
#[must_use = "nothing has been stored"]
pub struct GenesisBlock<C> {
    /// The block under its hash.
    pub block: Sealed<Block>,
    /// Changes from the empty state.
    pub changes: StateChanges,
    /// Commitment to the state after the block.
    pub commitment: C,
}

impl Genesis {
    /// Makes block 0, folding the first state into `commitment`, which must be of the empty state.
    ///
    /// # Errors
    /// One [`GenesisError`] for each rule that a genesis can break.
    pub fn build<C: StateCommitment>(&self, mut commitment: C) -> Result<GenesisBlock<C>, GenesisError> {
        if self.extra_data.len() > EXTRA_DATA_MAX {
            return Err(GenesisError::ExtraData { got: self.extra_data.len() });
        }
        let floor = self.chain.base_fee_floor;
        if self.base_fee < floor {
            return Err(GenesisError::BaseFee { floor, got: self.base_fee });
        }
        let changes = self.changes(self.namespace()?)?;
        commitment.apply(&changes);
        let header = self.header(commitment.root());
        let hash = header.hash_slow();
        let body =
            BlockBody { transactions: Vec::new(), ommers: Vec::new(), withdrawals: Some(Vec::new().into()) };
        let block = Sealed::new_unchecked(Block { header, body }, hash);
        Ok(GenesisBlock { block, changes, commitment })
    }

    /// What every vote of this network is bound to: a hash of everything in this genesis. The `validators` module keeps it, so
    /// it cannot be the hash of block 0; it is taken over the hash that block 0 would have without it.
    ///
    /// # Errors
    /// Those of [`Self::build`] that concern accounts and staking.
    pub fn namespace(&self) -> Result<B256, GenesisError> {
        let mut commitment = LtHash::default();
        commitment.apply(&self.changes(B256::ZERO)?);
        let draft = self.header(commitment.root()).hash_slow();
        let (id, floor) = (self.chain.chain_id.to_be_bytes(), self.chain.base_fee_floor.to_be_bytes());
        Ok(keccak256([NAMESPACE_DOMAIN, &id, &floor, draft.as_slice()].concat()))
    }

    fn header(&self, state_root: B256) -> Header {
        Header {
            state_root,
            gas_limit: self.chain.gas_limit,
            timestamp: self.timestamp,
            extra_data: self.extra_data.clone(),
            base_fee_per_gas: Some(self.base_fee),
            ..constant_header()
        }
    }

    fn changes(&self, namespace: B256) -> Result<StateChanges, GenesisError> {
        let mut changes = StateChanges::default();
        let mut supply = U256::ZERO;
        for (address, account) in &self.alloc {
            let address = *address;
            supply = supply.checked_add(account.balance).ok_or(GenesisError::Supply)?;
            if MODULES.iter().any(|module| module.address == address) {
                return Err(GenesisError::Module(address));
            }
            if !account.storage.is_empty() && account.code.is_empty() && account.nonce == 0 {
                return Err(GenesisError::LooseStorage(address));
            }
            if Bytecode::new_raw_checked(account.code.clone()).is_err() {
                return Err(GenesisError::Code(address));
            }
            for (slot, value) in account.storage.iter().filter(|(_, value)| !value.is_zero()) {
                let change = Change { before: U256::ZERO, after: (*value).into() };
                changes.storage.insert((address, (*slot).into()), change);
            }
            let account = insert_code(&mut changes, account.nonce, account.balance, &account.code);
            if !account.is_empty() {
                changes.accounts.insert(address, Change { before: None, after: Some(account) });
            }
        }
        let staking = self.staking.first_state(namespace)?;
        supply.checked_add(staking.balance).ok_or(GenesisError::Supply)?;
        for module in MODULES {
            let balance = if module.address == validators::ADDRESS { staking.balance } else { U256::ZERO };
            // Nonce 1, as every contract has: the account is never empty, and nothing can be created on top of it.
            let account = insert_code(&mut changes, 1, balance, &Bytes::from_static(&MODULE_CODE));
            changes.accounts.insert(module.address, Change { before: None, after: Some(account) });
        }
        for (slot, value) in staking.slots {
            let change = Change { before: U256::ZERO, after: value };
            changes.storage.insert((validators::ADDRESS, slot), change);
        }
        Ok(changes)
    }
}

fn insert_code(changes: &mut StateChanges, nonce: u64, balance: U256, code: &Bytes) -> Account {
    if code.is_empty() {
        return Account { nonce, balance, code_hash: KECCAK256_EMPTY };
    }
    let code_hash = keccak256(code);
    changes.code.insert(code_hash, code.clone());
    Account { nonce, balance, code_hash }
}

/// Code at every module's address: an opcode that no contract can deploy, seen by `EXTCODESIZE`.
const MODULE_CODE: [u8; 1] = [0xEF];
const NAMESPACE_DOMAIN: &[u8] = b"tacit/consensus/2";
