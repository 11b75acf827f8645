//! The module `audits`: how much of a worker's stake is spoken for.

use alloy_primitives::{Address, B256};
use tacit_abi::{
    IAudits,
    audits::{self, PERIOD_S},
};

use super::{LedgerClient, LedgerError, Mined};
use crate::{Amount, Wallet};

/// Number of the period at a time (Unix seconds).
#[must_use]
pub const fn period_at(now_s: u64) -> u64 {
    now_s / PERIOD_S
}

impl LedgerClient {
    /// Speaks for so much more of the wallet's stake on a channel to it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn cover(
        &self,
        wallet: &Wallet,
        channel_id: B256,
        amount: Amount,
    ) -> Result<Mined, LedgerError> {
        let call = IAudits::coverCall { channelId: channel_id, amount: amount.0 };
        self.send_audits(wallet, Amount::ZERO, &call).await
    }

    /// For how much of what is paid over a channel for audited answers in a period its worker's stake speaks.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn cover_of(&self, channel_id: B256, period: u64) -> Result<Amount, LedgerError> {
        let call = IAudits::coverOfCall { channelId: channel_id, period };
        self.call(audits::ADDRESS, &call).await.map(Amount)
    }

    /// How much of a worker's stake is spoken for.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn exposure_of(&self, worker: Address) -> Result<IAudits::Exposure, LedgerError> {
        self.call(audits::ADDRESS, &IAudits::exposureOfCall { worker }).await
    }
}
