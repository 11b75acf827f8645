//! Ledger interfaces, fixed addresses and EIP-712 types shared by clients, contracts and modules.
//!
//! Amounts are in the native coin's smallest unit (10^-18), as `uint128`. The same interfaces in Solidity lie in `solidity/`, and
//! tests keep the two equal; vectors of the signed types, made by another implementation, lie in `vectors/eip712/`.
//!
//! # Examples
//! What a client signs to pay, in total, 5 on a channel:
//! ```
//! use alloy_primitives::{Address, B256};
//! use alloy_sol_types::SolStruct;
//! use tacit_abi::{Voucher, channels};
//!
//! let (client, worker) = (Address::repeat_byte(1), Address::repeat_byte(2));
//! let id = channels::channel_id(1337, client, worker, client, B256::ZERO);
//! let digest = Voucher { channelId: id, cumulative: 5 }.eip712_signing_hash(&channels::domain(1337));
//! # assert_ne!(digest, B256::ZERO);
//! ```

pub mod asks;
pub mod audits;
pub mod beacons;
pub mod channels;
pub mod models;
pub mod modes;
pub mod module;
pub mod policies;
pub mod proofs;
pub mod receipts;
pub mod stakes;
pub mod subnets;
pub mod validators;

pub use asks::IAsks;
pub use audits::{IAudits, Verdict};
pub use beacons::IBeacons;
pub use channels::{IChannels, Voucher};
pub use models::IModels;
pub use modes::{Evidence, Privacy};
pub use module::IModule;
pub use policies::IPolicies;
pub use proofs::IProofs;
pub use receipts::{IReceipts, Receipt};
pub use stakes::IStakes;
pub use subnets::ISubnets;
pub use validators::IValidators;
