//! The first block: what state starts as.
//!
//! A genesis says little beside its accounts, of which there may be many millions. So they are read in order, once for each store that
//! begins with them ([`Founding`]); whoever knows the root of the first state knows header and namespace without them.

mod alloc;
mod anew;
mod founding;

pub use self::{
    alloc::{Accounts, AccountsError, Alloc, Entries, Entry, GenesisAccount},
    founding::{Founded, Founding, PART_CODE_BYTES, PART_ENTRIES},
};

use crate::{
    block::{Block, constant_header},
    chain::{Chain, EXTRA_DATA_MAX},
    commitment::StateCommitment,
    state::StateChanges,
};
use alloy_consensus::{BlockBody, Header, Sealed};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use tacit_modules::validators::{Staking, StakingError};

/// Everything that decides a chain's first block. Serialised without its accounts.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
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
    #[serde(skip)]
    pub alloc: Alloc,
    /// Root of the first state before the namespace is in it, where it is known: what the accounts must give when they are read.
    /// Without it they are read whenever it is needed.
    #[serde(skip)]
    pub first_state: Option<B256>,
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

/// Why a genesis is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// The account, or a slot of it, does not come after the one before it.
    #[error("{0} is out of order")]
    Order(Address),
    /// The accounts are not those that were announced.
    #[error("the first state has root {got}, not {expected}")]
    FirstState {
        /// Announced.
        expected: B256,
        /// Of the accounts.
        got: B256,
    },
    /// The accounts could not be read.
    #[error(transparent)]
    Accounts(AccountsError),
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
    /// An account does not have the coin that is to become a stake, also once it has its own stake of before back.
    #[error("{payer} has less than {needs}, which would be staked of its coin")]
    Payer {
        /// The account.
        payer: Address,
        /// What founders' stakes take of it, in the smallest unit.
        needs: U256,
    },
    /// The state's `validators` module holds less coin than the stakes that it names.
    #[error("stakes without coin")]
    Stakes,
    /// Nobody can stake like that.
    #[error("staking: {0}")]
    Staking(#[from] StakingError),
}

/// The first block of a state that fits into memory, with everything that storing it needs.
#[derive(Debug, Clone)]
#[must_use = "nothing has been stored"]
pub struct GenesisBlock<C> {
    /// The block under its hash.
    pub block: Sealed<Block>,
    /// Changes from the empty state.
    pub changes: StateChanges,
    /// Commitment to the state after the block.
    pub commitment: C,
    /// As [`Genesis::first_state`].
    pub first_state: B256,
}

impl Genesis {
    /// Begins to read the accounts, for whoever stores them.
    pub fn found(&self) -> Founding<'_> {
        Founding::new(self)
    }

    /// Makes the first block with all of the first state in memory, folding it into `commitment`, which must be of the empty state.
    ///
    /// # Errors
    /// One [`GenesisError`] for each rule that a genesis can break.
    pub fn build<C: StateCommitment>(&self, mut commitment: C) -> Result<GenesisBlock<C>, GenesisError> {
        let mut founding = self.found();
        let mut changes = StateChanges::default();
        while let Some(part) = founding.next_part()? {
            commitment.apply(&part);
            changes.accounts.extend(part.accounts);
            changes.storage.extend(part.storage);
            changes.code.extend(part.code);
        }
        let first_state = founding.finish()?.first_state;
        let block = self.block(commitment.root())?;
        Ok(GenesisBlock { block, changes, commitment, first_state })
    }

    /// Header of the first block on a state with this root.
    ///
    /// # Errors
    /// One [`GenesisError`] for each rule that a header can break.
    pub fn header(&self, state_root: B256) -> Result<Header, GenesisError> {
        if self.extra_data.len() > EXTRA_DATA_MAX {
            return Err(GenesisError::ExtraData { got: self.extra_data.len() });
        }
        let floor = self.chain.base_fee_floor;
        if self.base_fee < floor {
            return Err(GenesisError::BaseFee { floor, got: self.base_fee });
        }
        let named = self.staking != Staking::default();
        if self.origin.is_some() && self.staking.founders.is_empty() && named {
            return Err(GenesisError::OriginStaking);
        }
        let (number, parent_hash) = self.position()?;
        Ok(Header {
            number,
            parent_hash,
            state_root,
            gas_limit: self.chain.gas_limit,
            timestamp: self.timestamp,
            extra_data: self.extra_data.clone(),
            base_fee_per_gas: Some(self.base_fee),
            ..constant_header()
        })
    }

    fn block(&self, state_root: B256) -> Result<Sealed<Block>, GenesisError> {
        let header = self.header(state_root)?;
        let hash = header.hash_slow();
        let body =
            BlockBody { transactions: Vec::new(), ommers: Vec::new(), withdrawals: Some(Vec::new().into()) };
        Ok(Sealed::new_unchecked(Block { header, body }, hash))
    }

    /// Number of the first block, and its parent.
    fn position(&self) -> Result<(u64, B256), GenesisError> {
        let Some(origin) = &self.origin else { return Ok((0, B256::ZERO)) };
        let error = GenesisError::Origin { number: origin.number, got: origin.hashes.len() };
        let Some(first) = origin.number.checked_add(1) else { return Err(error) };
        match origin.hashes.last() {
            Some(parent) if origin.length() <= BLOCK_HASHES.min(first) => Ok((first, *parent)),
            _ => Err(error),
        }
    }

    /// Root of the first state before the namespace is in it: [`Self::first_state`], or else read from the accounts.
    ///
    /// # Errors
    /// Those of [`Founding::finish`].
    pub fn first_root(&self) -> Result<B256, GenesisError> {
        match self.first_state {
            Some(root) => Ok(root),
            None => Ok(self.found().finish()?.first_state),
        }
    }

    /// What every vote of this network is bound to: a hash of everything in this genesis. The `validators` module keeps it, so
    /// it cannot be the hash of block 0; it is taken over the hash that block 0 would have without it.
    ///
    /// # Errors
    /// Those of [`Self::first_root`] and [`Self::header`].
    pub fn namespace(&self) -> Result<B256, GenesisError> {
        Ok(self.namespace_over(&self.header(self.first_root()?)?))
    }

    fn namespace_over(&self, draft: &Header) -> B256 {
        let draft = draft.hash_slow();
        let (id, floor) = (self.chain.chain_id.to_be_bytes(), self.chain.base_fee_floor.to_be_bytes());
        keccak256([NAMESPACE_DOMAIN, &id, &floor, draft.as_slice()].concat())
    }
}

/// Hashes that `BLOCKHASH` reaches.
const BLOCK_HASHES: u64 = 256;
const NAMESPACE_DOMAIN: &[u8] = b"tacit/consensus/2";
