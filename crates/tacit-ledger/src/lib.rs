//! Pure executor: blocks in, changes, receipts and roots out.
//!
//! This crate is a function from (parent state, transactions) to (changes, receipts, header). It knows no consensus, no
//! network, no clock and no disk: state is read through [`StateReader`], time and beneficiary come in [`Attributes`], and what
//! changed goes out as [`StateChanges`] in canonical order. Development mode, one validator and many validators call the same functions.
//!
//! # Life of a block
//! 1. [`build`] executes candidate transactions on the parent state, leaves out those that cannot be included (each with its
//!    [`Rejection`]), folds the changes into the [`StateCommitment`] and seals a standard Ethereum header.
//! 2. [`verify`] takes somebody else's block, recovers senders, executes again and demands the same header, field by field.
//! 3. The caller stores block, receipts and changes. Both return the same value, so that storing has one form.
//!
//! A store whose root is computed elsewhere (asynchronously, in an authenticated database) calls [`execute`] and [`Executed::seal`]
//! itself; nothing else in this crate depends on the commitment.
//!
//! # What is Ethereum and what is not
//! Osaka rules through revm; transaction types 0, 1, 2 and 4 (blobs are refused); real Merkle-Patricia roots over
//! transactions and receipts; real log blooms; EIP-1559 base fee with a floor. Deviations:
//! - `stateRoot` is the root of a [`StateCommitment`], not of a Merkle-Patricia trie, so `eth_getProof` cannot be served.
//! - `timestamp` may equal the parent's: blocks come faster than once a second.
//! - `gasLimit` is a constant of the [`Chain`].
//! - There are no withdrawals, requests or beacon roots, and no system contracts that would hold them.
//! - The modules of `tacit-modules` answer at fixed addresses, as stateful precompiles with the code `0xEF`, which no
//!   transaction can deploy (EIP-3541) and `EXTCODESIZE` sees.
//!
//! # Examples
//! ```
//! use alloy_consensus::Sealed;
//! use tacit_ledger::{Attributes, Chain, Genesis, LtHash, MemoryState, build, verify};
//!
//! let genesis = Genesis {
//!     chain: Chain { chain_id: 1337, gas_limit: 60_000_000, base_fee_floor: 0, certifier: None },
//!     timestamp: 1_800_000_000,
//!     base_fee: 0,
//!     extra_data: Default::default(),
//!     alloc: Default::default(),
//!     first_state: None,
//!     origin: None,
//!     staking: Default::default(),
//! };
//! let first = genesis.build(LtHash::default())?;
//! let mut state = MemoryState::default();
//! state.apply(&first.changes);
//! let parent = Sealed::new_unchecked(first.block.header.clone(), first.block.hash());
//!
//! let attributes = Attributes { timestamp: 1_800_000_001, ..Attributes::default() };
//! let built = build(&genesis.chain, &parent, &attributes, &state, &first.commitment, Vec::new())?;
//! let checked = verify(&genesis.chain, &parent, &built.block, &state, &first.commitment)?;
//! assert_eq!(checked.block.hash(), built.block.hash());
//! state.apply(&checked.executed.changes);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # Determinism
//! No clock, float, ambient randomness or hash-map order: everything that reaches a hash is walked in key order.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    clippy::unreachable
)]
mod block;
mod call;
mod chain;
mod commitment;
mod execute;
mod genesis;
mod host;
mod memory;
mod overlay;
mod overrides;
mod simulate;
mod state;
mod validators;

pub use block::{Block, Built, HeaderField, VerifyError, build, next_context, verify};
pub use call::{
    CALL_GAS_MAX, CallError, CallOutcome, CallRequest, CallStatus, EstimateError, Inspected, call,
    estimate_gas, inspect_call,
};
pub use chain::{Attributes, BlockContext, Chain, EXTRA_DATA_MAX, TRANSACTION_GAS_MAX};
pub use commitment::{LT_HASH_BYTES, LtHash, StateCommitment};
pub use execute::{
    ExecuteError, Executed, Outcome, Rejected, Rejection, execute, inspect_transactions, intrinsic_check,
};
pub use genesis::{
    Accounts, AccountsError, Alloc, Entries, Entry, Founded, Founding, Genesis, GenesisAccount, GenesisBlock,
    GenesisError, Origin, PART_CODE_BYTES, PART_ENTRIES,
};
pub use memory::{MemoryState, NoCode};
pub use overlay::{Overlay, StateUnavailable};
pub use overrides::{AccountOverride, OverrideError, Overrides, StorageOverride};
pub use simulate::{Checks, Simulated, SimulatedBlock, Simulation};
pub use state::{Account, Change, StateChanges, StateReader};
pub use validators::validators_of;

pub use revm::context_interface::result::HaltReason;
pub use tacit_modules::validators::{
    BLOCKS_PER_SEAT, DELAY_EPOCHS, Evidence, EvidenceError, Fault, Founder, Kind as FaultKind,
    Parameters as StakingParameters, SEATS_MAX, Seat, SetError, Staking, StakingError,
};
