//! Ledger interfaces, fixed addresses and EIP-712 types shared by clients, contracts and modules.
//!
//! Amounts are in the native coin's smallest unit (10^-18), as `uint128`.

pub mod channels;
pub mod models;
pub mod modes;
pub mod module;
pub mod receipts;

pub use channels::{IChannels, Voucher};
pub use models::IModels;
pub use modes::{Evidence, Privacy};
pub use module::IModule;
pub use receipts::{IReceipts, Receipt};
