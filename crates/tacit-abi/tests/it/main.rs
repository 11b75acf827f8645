//! What we share with other people's software, checked against other people's software.

mod eip712;
mod modes;
mod receipts;
mod solidity;
