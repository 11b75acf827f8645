//! What a receipt charges.

use tacit_wire::{Amount, JobHeader};

/// The two amounts on a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bill {
    /// Price of this job.
    pub price: Amount,
    /// What the channel owes in all.
    pub cumulative: Amount,
}

/// Decides what a receipt charges for a job that was accepted at its header's price.
pub trait Billing: Send + Sync + 'static {
    /// The amounts for the receipt of this job.
    fn bill(&self, header: &JobHeader) -> Bill;
}

/// Charges what was agreed.
#[derive(Debug, Clone, Copy, Default)]
pub struct AskedPrice;

impl Billing for AskedPrice {
    fn bill(&self, header: &JobHeader) -> Bill {
        Bill { price: header.price, cumulative: header.cumulative }
    }
}
