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
    validators::{self, FirstState, Staking, StakingError},
};

/// Everything that decides a chain's first block.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Genesis {
    /// Parameters of the chain.
    pub chain: Chain,
    /// Timestamp of the first block, seconds since 1970.
    pub timestamp: u64,
    /// Base fee of the first block.
    pub base_fee: u64,
    /// Up to [`EXTRA_DATA_MAX`] bytes.
    #[serde(default)]
    pub extra_data: Bytes,
    /// Accounts that exist from the start.
    pub alloc: BTreeMap<Address, GenesisAccount>,
    /// Rules of stake, and the validators that the network begins with. In a new chain their stakes are coin beside `alloc`. Where a chain goes
    /// on, stakes that its state holds go back to their owners first, and those of the founders are taken from accounts of `alloc`; without
    /// founders, the state is left as it is.
    #[serde(default)]
    pub staking: Staking,
    /// The chain whose state this is, when it does not begin from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// Where a chain goes on that ended, or was left, at some height: the first block follows that height's.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Origin {
    /// Number of its last block.
    pub number: u64,
    /// Hashes of its last blocks, that one's last: as many as `BLOCKHASH` reaches, or all there are.
    pub hashes: Vec<B256>,
}

impl Origin {
    fn length(&self) -> u64 {
        u64::try_from(self.hashes.len()).unwrap_or(u64::MAX)
    }

    /// Numbers and hashes, oldest first; none when there are more hashes than blocks.
    pub fn blocks(&self) -> impl Iterator<Item = (u64, B256)> {
        let first = self.number.checked_add(1).and_then(|next| next.checked_sub(self.length()));
        first.into_iter().flat_map(|first| (first..).zip(self.hashes.iter().copied()))
    }
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
    /// The address belongs to a module: the ledger makes its nonce and code itself, and what else it has comes only with
    /// an [`Origin`].
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
    /// The blocks before the first are none, more than `BLOCKHASH` reaches, or more than there can be.
    #[error("{got} hashes of earlier blocks up to number {number}")]
    Origin {
        /// Number of the last of them.
        number: u64,
        /// Hashes given.
        got: usize,
    },
    /// All balances together exceed 256 bits, so that a transfer could overflow.
    #[error("total supply overflows")]
    Supply,
    /// A chain that goes on without founders has the rules of stake that its state holds.
    #[error("rules of stake are named beside a state that has them already")]
    OriginStaking,
    /// An account does not have the coin that is to become a stake.
    #[error("{payer} has {has}, and {needs} of it would be staked")]
    Payer {
        /// The account.
        payer: Address,
        /// Its coin, the smallest unit, once it has its own stake of before back.
        has: U256,
        /// What founders' stakes take of it.
        needs: U256,
    },
    /// The state's `validators` module holds less coin than the stakes that it names.
    #[error("stakes without coin")]
    Stakes,
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
    /// Makes the first block, folding the first state into `commitment`, which must be of the empty state.
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
        let position = self.position()?;
        let changes = self.changes(self.namespace()?)?;
        commitment.apply(&changes);
        let header = self.header(commitment.root(), position);
        let hash = header.hash_slow();
        let body =
            BlockBody { transactions: Vec::new(), ommers: Vec::new(), withdrawals: Some(Vec::new().into()) };
        let block = Sealed::new_unchecked(Block { header, body }, hash);
        Ok(GenesisBlock { block, changes, commitment })
    }

    /// Number of the first block, and its parent.
    fn position(&self) -> Result<(u64, B256), GenesisError> {
        let Some(origin) = &self.origin else { return Ok((0, B256::ZERO)) };
        let error = GenesisError::Origin { number: origin.number, got: origin.hashes.len() };
        let first = origin.number.checked_add(1).ok_or(error)?;
        match origin.hashes.last() {
            Some(parent) if origin.length() <= BLOCK_HASHES.min(first) => Ok((first, *parent)),
            _ => Err(error),
        }
    }

    /// What every vote of this network is bound to: a hash of everything in this genesis. The `validators` module keeps it, so
    /// it cannot be the hash of block 0; it is taken over the hash that block 0 would have without it.
    ///
    /// # Errors
    /// Those of [`Self::build`] that concern accounts and staking.
    pub fn namespace(&self) -> Result<B256, GenesisError> {
        let mut commitment = LtHash::default();
        commitment.apply(&self.changes(B256::ZERO)?);
        let draft = self.header(commitment.root(), self.position()?).hash_slow();
        let (id, floor) = (self.chain.chain_id.to_be_bytes(), self.chain.base_fee_floor.to_be_bytes());
        Ok(keccak256([NAMESPACE_DOMAIN, &id, &floor, draft.as_slice()].concat()))
    }

    fn header(&self, state_root: B256, (number, parent_hash): (u64, B256)) -> Header {
        Header {
            number,
            parent_hash,
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
            let module = MODULES.iter().any(|module| module.address == address);
            if module && (self.origin.is_none() || account.nonce != 1 || account.code[..] != MODULE_CODE) {
                return Err(GenesisError::Module(address));
            }
            if !account.storage.is_empty() && account.code.is_empty() && account.nonce == 0 {
                return Err(GenesisError::LooseStorage(address));
            }
            if !module && Bytecode::new_raw_checked(account.code.clone()).is_err() {
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
        let staking = match &self.origin {
            None => self.staking.first_state(namespace)?,
            // What the module holds comes with the rest of the state.
            Some(_) => FirstState::default(),
        };
        supply.checked_add(staking.balance).ok_or(GenesisError::Supply)?;
        for module in MODULES {
            // Nonce 1, as every contract has: the account is never empty, and nothing can be created on top of it.
            let balance = match self.alloc.get(&module.address) {
                Some(account) => account.balance,
                None if module.address == validators::ADDRESS => staking.balance,
                None => U256::ZERO,
            };
            let account = insert_code(&mut changes, 1, balance, &Bytes::from_static(&MODULE_CODE));
            changes.accounts.insert(module.address, Change { before: None, after: Some(account) });
        }
        for (slot, value) in staking.slots {
            let change = Change { before: U256::ZERO, after: value };
            changes.storage.insert((validators::ADDRESS, slot), change);
        }
        if let Some(origin) = &self.origin {
            self.begin_anew(&mut changes, namespace, origin)?;
        }
        Ok(changes)
    }

    /// Puts the founders in the place of the validators that a carried state names. Coin moves and does not change in sum.
    fn begin_anew(
        &self,
        changes: &mut StateChanges,
        namespace: B256,
        origin: &Origin,
    ) -> Result<(), GenesisError> {
        if self.staking.founders.is_empty() {
            let usual = self.staking == Staking::default();
            return if usual { Ok(()) } else { Err(GenesisError::OriginStaking) };
        }
        let module = validators::ADDRESS;
        let read =
            |slot: U256| changes.storage.get(&(module, slot)).map_or(U256::ZERO, |change| change.after);
        let first = origin.number.saturating_add(1);
        let begun = self.staking.begin_anew(namespace, first, self.alloc.keys().copied(), read)?;
        for (slot, value) in begun.slots {
            match value.is_zero() {
                true => changes.storage.remove(&(module, slot)),
                false => changes.storage.insert((module, slot), Change { before: U256::ZERO, after: value }),
            };
        }
        for (owner, stake) in begun.returned {
            withdraw(changes, module, stake).map_err(|_| GenesisError::Stakes)?;
            deposit(changes, owner, stake)?;
        }
        for (payer, needs) in begun.taken {
            withdraw(changes, payer, needs).map_err(|has| GenesisError::Payer { payer, has, needs })?;
            deposit(changes, module, needs)?;
        }
        Ok(())
    }
}

/// Takes coin from an account; gives what it has where that is less.
fn withdraw(changes: &mut StateChanges, from: Address, amount: U256) -> Result<(), U256> {
    let Some(Change { after: Some(account), .. }) = changes.accounts.get_mut(&from) else {
        return Err(U256::ZERO);
    };
    account.balance = account.balance.checked_sub(amount).ok_or(account.balance)?;
    if account.is_empty() {
        changes.accounts.remove(&from);
    }
    Ok(())
}

/// Gives coin to an account.
fn deposit(changes: &mut StateChanges, to: Address, amount: U256) -> Result<(), GenesisError> {
    let none = Change { before: None, after: None };
    let account = changes.accounts.entry(to).or_insert(none);
    let mut held = account.after.unwrap_or_default();
    held.balance = held.balance.checked_add(amount).ok_or(GenesisError::Supply)?;
    account.after = Some(held);
    Ok(())
}

fn insert_code(changes: &mut StateChanges, nonce: u64, balance: U256, code: &Bytes) -> Account {
    if code.is_empty() {
        return Account { nonce, balance, code_hash: KECCAK256_EMPTY };
    }
    let code_hash = keccak256(code);
    changes.code.insert(code_hash, code.clone());
    Account { nonce, balance, code_hash }
}

/// Hashes that `BLOCKHASH` reaches.
const BLOCK_HASHES: u64 = 256;
/// Code at every module's address: an opcode that no contract can deploy, seen by `EXTCODESIZE`.
const MODULE_CODE: [u8; 1] = [0xEF];
const NAMESPACE_DOMAIN: &[u8] = b"tacit/consensus/2";
