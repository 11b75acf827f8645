//! The first state, made part by part: all of it may not fit into memory.
//!
//! # Parts
//! Entries come by address, the slots of an account after it, and are checked as they come. A part ends once it has [`PART_ENTRIES`]
//! accounts and slots, or [`PART_CODE_BYTES`] of code. The last one has the modules' accounts as well, and what the `validators`
//! module begins with. Parts are a function of the state alone: a store whose root depends on batches takes one part for one batch.

use super::{
    Genesis, GenesisError,
    alloc::{Entries, Entry},
    anew::Anew,
};
use crate::{
    block::Block,
    commitment::{LtHash, StateCommitment as _},
    state::{Account, Change, StateChanges},
};
use alloy_consensus::Sealed;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use revm::state::Bytecode;
use std::collections::BTreeMap;
use tacit_modules::{
    MODULES,
    validators::{self, FirstState},
};

/// Accounts and slots of one part. Part of the protocol of whoever's root depends on it.
pub const PART_ENTRIES: usize = 1 << 16;
/// Bytes of code with which a part ends early. Part of the protocol likewise.
pub const PART_CODE_BYTES: usize = 8 << 20;

/// A first state on its way from its source to whoever stores it.
#[must_use = "nothing has been read"]
pub struct Founding<'a> {
    genesis: &'a Genesis,
    entries: Entries<'a>,
    checks: Checks,
    /// Whether reading has begun.
    begun: bool,
    /// Of the parts that were given.
    sum: LtHash,
    /// Root of the first state without its namespace, once all of it was given.
    first_state: Option<B256>,
}

impl core::fmt::Debug for Founding<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Founding").field("last", &self.checks.last).finish_non_exhaustive()
    }
}

/// The first block, and what follows from the whole first state.
#[derive(Debug, Clone)]
#[must_use = "nothing has been stored"]
pub struct Founded {
    /// The block under its hash.
    pub block: Sealed<Block>,
    /// Commitment to the state after the block.
    pub commitment: LtHash,
    /// As [`Genesis::first_state`].
    pub first_state: B256,
}

impl<'a> Founding<'a> {
    pub(super) fn new(genesis: &'a Genesis) -> Self {
        let checks = Checks { goes_on: genesis.origin.is_some(), ..Checks::default() };
        let entries = genesis.alloc.entries();
        Self { genesis, entries, checks, begun: false, sum: LtHash::default(), first_state: None }
    }

    /// The next part, as changes from the empty state; `None` once there were all.
    ///
    /// # Errors
    /// One [`GenesisError`] for each rule that accounts and stakes can break, or the accounts cannot be read. What was stored of earlier
    /// parts is of no use then.
    pub fn next_part(&mut self) -> Result<Option<StateChanges>, GenesisError> {
        if self.first_state.is_some() {
            return Ok(None);
        }
        if !self.begun {
            self.checks.anew = Anew::read(self.genesis)?;
            self.begun = true;
        }
        let mut part = Part::default();
        while !part.is_full() {
            let Some(entry) = self.entries.next() else {
                self.sum.apply(&part.changes);
                self.end(&mut part.changes)?;
                return Ok(Some(part.changes));
            };
            self.checks.take(entry.map_err(GenesisError::Accounts)?, &mut part)?;
        }
        self.sum.apply(&part.changes);
        Ok(Some(part.changes))
    }

    /// The first block, once all parts were given; those that were not are read and dropped.
    ///
    /// # Errors
    /// Those of [`Self::next_part`], and one [`GenesisError`] for each rule that a header can break.
    pub fn finish(mut self) -> Result<Founded, GenesisError> {
        let first_state = loop {
            match self.first_state {
                Some(root) => break root,
                // Whoever wanted the part has asked for it.
                None => drop(self.next_part()?),
            }
        };
        let block = self.genesis.block(self.sum.root())?;
        Ok(Founded { block, commitment: self.sum, first_state })
    }

    /// Adds the modules to the last part.
    fn end(&mut self, part: &mut StateChanges) -> Result<(), GenesisError> {
        let mut draft = self.sum.clone();
        draft.apply(&self.modules(B256::ZERO)?);
        let got = draft.root();
        if let Some(expected) = self.genesis.first_state.filter(|expected| *expected != got) {
            return Err(GenesisError::FirstState { expected, got });
        }
        let modules = self.modules(self.genesis.namespace_over(&self.genesis.header(got)?))?;
        self.sum.apply(&modules);
        part.accounts.extend(modules.accounts);
        part.storage.extend(modules.storage);
        part.code.extend(modules.code);
        self.first_state = Some(got);
        Ok(())
    }

    /// The modules' accounts, and storage of the `validators` module.
    fn modules(&self, namespace: B256) -> Result<StateChanges, GenesisError> {
        let staking = match (&self.checks.anew, &self.genesis.origin) {
            (Some(anew), _) => {
                FirstState { slots: anew.slots(self.genesis, namespace)?, balance: U256::ZERO }
            }
            (None, None) => self.genesis.staking.first_state(namespace)?,
            // What the module holds comes with the rest of the state.
            (None, Some(_)) => FirstState::default(),
        };
        self.checks.supply.checked_add(staking.balance).ok_or(GenesisError::Supply)?;
        let mut changes = StateChanges::default();
        for module in MODULES {
            // Nonce 1, as every contract has: the account is never empty, and nothing can be created on top of it.
            let balance = match self.checks.modules.get(&module.address) {
                Some(balance) => *balance,
                None if module.address == validators::ADDRESS => staking.balance,
                None => U256::ZERO,
            };
            let balance = match &self.checks.anew {
                Some(anew) if module.address == validators::ADDRESS => anew.module_balance(balance)?,
                _ => balance,
            };
            let account = insert_code(&mut changes, 1, balance, Bytes::from_static(&MODULE_CODE));
            changes.accounts.insert(module.address, Change { before: None, after: Some(account) });
        }
        for (slot, value) in staking.slots {
            let change = Change { before: U256::ZERO, after: value };
            changes.storage.insert((validators::ADDRESS, slot), change);
        }
        Ok(changes)
    }
}

#[derive(Default)]
struct Part {
    changes: StateChanges,
    code_bytes: usize,
}

impl Part {
    fn is_full(&self) -> bool {
        let entries = self.changes.accounts.len().saturating_add(self.changes.storage.len());
        entries >= PART_ENTRIES || self.code_bytes >= PART_CODE_BYTES
    }
}

/// What has to be known of earlier entries.
#[derive(Default)]
struct Checks {
    /// Whether the chain is another's continuation, so that modules have a state.
    goes_on: bool,
    last: Option<Last>,
    supply: U256,
    /// What modules that came hold.
    modules: BTreeMap<Address, U256>,
    /// What changes of a state that goes on with other validators.
    anew: Option<Anew>,
}

#[derive(Debug)]
struct Last {
    address: Address,
    slot: Option<B256>,
    /// Whether it may have storage.
    rooted: bool,
}

impl Checks {
    fn take(&mut self, entry: Entry, part: &mut Part) -> Result<(), GenesisError> {
        match entry {
            Entry::Account { address, balance, nonce, code } => {
                self.account(address, balance, nonce, code, part)
            }
            Entry::Slot { slot, value } => self.slot(slot, value, part),
        }
    }

    fn account(
        &mut self,
        address: Address,
        balance: U256,
        nonce: u64,
        code: Bytes,
        part: &mut Part,
    ) -> Result<(), GenesisError> {
        if self.last.as_ref().is_some_and(|last| address <= last.address) {
            return Err(GenesisError::Order(address));
        }
        self.last = Some(Last { address, slot: None, rooted: nonce != 0 || !code.is_empty() });
        self.supply = self.supply.checked_add(balance).ok_or(GenesisError::Supply)?;
        if MODULES.iter().any(|module| module.address == address) {
            if !self.goes_on || nonce != 1 || code[..] != MODULE_CODE {
                return Err(GenesisError::Module(address));
            }
            self.modules.insert(address, balance);
            return Ok(());
        }
        let balance = match &mut self.anew {
            Some(anew) => anew.balance(address, balance)?,
            None => balance,
        };
        let known = part.changes.code.len();
        let code_bytes = code.len();
        if Bytecode::new_raw_checked(code.clone()).is_err() {
            return Err(GenesisError::Code(address));
        }
        let account = insert_code(&mut part.changes, nonce, balance, code);
        if part.changes.code.len() > known {
            part.code_bytes = part.code_bytes.saturating_add(code_bytes);
        }
        if !account.is_empty() {
            part.changes.accounts.insert(address, Change { before: None, after: Some(account) });
        }
        Ok(())
    }

    fn slot(&mut self, slot: B256, value: B256, part: &mut Part) -> Result<(), GenesisError> {
        let last = self.last.as_mut().ok_or(GenesisError::Order(Address::ZERO))?;
        if last.slot.is_some_and(|last| slot <= last) {
            return Err(GenesisError::Order(last.address));
        }
        last.slot = Some(slot);
        if !last.rooted {
            return Err(GenesisError::LooseStorage(last.address));
        }
        // Storage that changes comes with the modules, once all is known.
        let withheld = self.anew.is_some() && last.address == validators::ADDRESS;
        if !value.is_zero() && !withheld {
            let change = Change { before: U256::ZERO, after: value.into() };
            part.changes.storage.insert((last.address, slot.into()), change);
        }
        Ok(())
    }
}

fn insert_code(changes: &mut StateChanges, nonce: u64, balance: U256, code: Bytes) -> Account {
    if code.is_empty() {
        return Account { nonce, balance, code_hash: KECCAK256_EMPTY };
    }
    let code_hash = keccak256(&code);
    changes.code.insert(code_hash, code);
    Account { nonce, balance, code_hash }
}

/// Code at every module's address: an opcode that no contract can deploy, seen by `EXTCODESIZE`.
const MODULE_CODE: [u8; 1] = [0xEF];
