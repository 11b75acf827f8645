//! State that a call or a simulated block assumes instead of what is stored.

use crate::{
    overlay::{Overlay, StateUnavailable},
    state::{Account, StateReader},
};
use alloy_evm::precompiles::PrecompilesMap;
use alloy_primitives::{Address, Bytes, U256, keccak256};
use revm::state::Bytecode;
use std::collections::{BTreeMap, BTreeSet};

/// State to assume instead of what is stored, by address.
pub type Overrides = BTreeMap<Address, AccountOverride>;

/// What to assume about one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountOverride {
    /// Balance.
    pub balance: Option<U256>,
    /// Nonce.
    pub nonce: Option<u64>,
    /// Code.
    pub code: Option<Bytes>,
    /// Storage.
    pub storage: Option<StorageOverride>,
    /// Where the precompile at this address answers instead.
    pub precompile_to: Option<Address>,
}

/// What to assume about storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageOverride {
    /// These slots and no others (`state`).
    All(BTreeMap<U256, U256>),
    /// These slots beside what is stored (`stateDiff`).
    Some(BTreeMap<U256, U256>),
}

/// Why state cannot be assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverrideError {
    /// Code starts with a prefix that is reserved and malformed.
    #[error("override of {0} has malformed code")]
    Code(Address),
    /// There is no precompile to move.
    #[error("account {0} is not a precompile")]
    NotPrecompile(Address),
    /// A precompile is to move to where it is.
    #[error("precompile {0} is moved to itself")]
    MovedToItself(Address),
    /// Two precompiles are to move to one address.
    #[error("two precompiles are moved to {0}")]
    MovedTwice(Address),
    /// A precompile is to move to an account that is overridden itself.
    #[error("account {0} is already overridden")]
    Occupied(Address),
}

/// [`OverrideError`], or the state cannot be read.
pub(crate) enum ApplyError {
    State,
    Override(OverrideError),
}

impl From<StateUnavailable> for ApplyError {
    fn from(_: StateUnavailable) -> Self {
        Self::State
    }
}

impl From<OverrideError> for ApplyError {
    fn from(error: OverrideError) -> Self {
        Self::Override(error)
    }
}

/// Lets `overrides` hold from now on. Precompiles move first, and where code is given it takes the place of a precompile.
pub(crate) fn apply<R: StateReader>(
    overlay: &mut Overlay<'_, R>,
    precompiles: &mut PrecompilesMap,
    overrides: &Overrides,
) -> Result<(), ApplyError> {
    move_precompiles(precompiles, overrides)?;
    for (address, change) in overrides {
        let address = *address;
        let mut account: Account = overlay.account(address)?.unwrap_or_default();
        if let Some(balance) = change.balance {
            account.balance = balance;
        }
        if let Some(nonce) = change.nonce {
            account.nonce = nonce;
        }
        if let Some(code) = &change.code {
            let bytecode =
                Bytecode::new_raw_checked(code.clone()).map_err(|_| OverrideError::Code(address))?;
            account.code_hash = keccak256(code);
            overlay.override_code(account.code_hash, bytecode);
            precompiles.apply_precompile(&address, |_| None);
        }
        overlay.override_account(address, account);
        let slots = match &change.storage {
            None => continue,
            Some(StorageOverride::All(slots)) => {
                overlay.override_all_storage(address);
                slots
            }
            Some(StorageOverride::Some(slots)) => slots,
        };
        for (slot, value) in slots {
            overlay.override_slot(address, *slot, *value);
        }
    }
    Ok(())
}

fn move_precompiles(precompiles: &mut PrecompilesMap, overrides: &Overrides) -> Result<(), OverrideError> {
    let mut targets = BTreeSet::new();
    let mut moves = Vec::new();
    for (address, change) in overrides {
        let Some(target) = change.precompile_to else { continue };
        if precompiles.get(address).is_none() {
            return Err(OverrideError::NotPrecompile(*address));
        }
        if target == *address {
            return Err(OverrideError::MovedToItself(target));
        }
        if !targets.insert(target) {
            return Err(OverrideError::MovedTwice(target));
        }
        if overrides.contains_key(&target) {
            return Err(OverrideError::Occupied(target));
        }
        moves.push((*address, target));
    }
    // Each source was just found, and sources are no targets.
    precompiles.move_precompiles(moves).map_err(|error| match error {
        alloy_evm::precompiles::MovePrecompileError::NotAPrecompile(address) => {
            OverrideError::NotPrecompile(address)
        }
    })
}
