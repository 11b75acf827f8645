//! Where the user's coins are.

use alloy_primitives::{Address, B256};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tacit_wire::{Amount, JobId, ledger::unix_time_s};

use crate::{
    error::GatewayError,
    gateway::Gateway,
    store::{ChannelRecord, Holder},
};

/// Wallet, channels, caps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// The account that pays.
    pub address: Address,
    /// What it holds outside channels.
    pub balance: Amount,
    /// The ledger.
    pub chain_id: u64,
    /// Where its JSON-RPC is.
    pub ledger_url: String,
    /// Channels, open ones first.
    pub channels: Vec<ChannelState>,
    /// How many there are; not all are shown when they are many.
    pub channel_count: usize,
    /// What may be spent.
    pub caps: CapsView,
    /// What may have been spent today at the OpenAI interface; counts against its caps.
    pub spent_today_streams: Amount,
}

/// What may be spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapsView {
    /// For one answer, where the question does not say.
    pub request: Amount,
    /// In one day, by one key of the OpenAI interface.
    pub key_day: Amount,
    /// In one day, at the OpenAI interface.
    pub day: Amount,
    /// Deposit of a new channel.
    pub deposit: Amount,
}

/// A channel, here and on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelState {
    /// Which.
    pub channel_id: B256,
    /// Who is paid.
    pub worker: Address,
    /// Whether it pays for streams.
    pub streams: bool,
    /// What was put in.
    pub deposit: Amount,
    /// What the ledger has paid out.
    pub settled: Amount,
    /// What is promised in all.
    pub promised: Amount,
    /// What is neither promised nor paid out.
    pub left: Amount,
    /// Whether the ledger has it open.
    pub open: bool,
    /// When it may be closed, seconds since 1970, if that was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_at: Option<u64>,
    /// The job whose answer is awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<JobId>,
    /// Closed or to be closed.
    pub retired: bool,
    /// Why its worker is not asked again, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distrust: Option<String>,
}

const CHANNELS_SHOWN_MAX: usize = 100;
const READ_AT_ONCE: usize = 4;
const DAY_S: u64 = 24 * 3600;

impl Gateway {
    /// Where the user's coins are.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn money(&self) -> Result<Money, GatewayError> {
        let mut kept = self.store.channels()?;
        kept.sort_by_key(|(channel_id, channel)| (channel.retired, channel.worker, *channel_id));
        let channel_count = kept.len();
        let reading = kept.into_iter().take(CHANNELS_SHOWN_MAX);
        let reading = reading.map(|(channel_id, channel)| self.channel_state(channel_id, channel));
        let channels = futures::stream::iter(reading).buffered(READ_AT_ONCE).try_collect().await?;
        let spending = self.spending;
        Ok(Money {
            address: self.address(),
            balance: self.ledger.balance(self.address()).await?,
            chain_id: self.ledger.chain_id(),
            ledger_url: self.ledger.url().to_owned(),
            channels,
            channel_count,
            caps: CapsView {
                request: spending.max_price_default,
                key_day: spending.key_day_max,
                day: spending.day_max,
                deposit: spending.deposit,
            },
            spent_today_streams: self.budget.used(&self.store, unix_time_s() / DAY_S, Holder::Gateway)?,
        })
    }

    async fn channel_state(
        &self,
        channel_id: B256,
        channel: ChannelRecord,
    ) -> Result<ChannelState, GatewayError> {
        let listed = self.listed(channel_id).await?;
        let (deposit, settled, open, close_at) = match &listed {
            Some(listed) => (Amount(listed.deposit), Amount(listed.settled), listed.open, listed.closeAt),
            None => (Amount::ZERO, Amount::ZERO, false, 0),
        };
        // Our own word and the ledger's: a worker may have settled more than a lost disk remembers.
        let promised = channel.signed.max(settled);
        let left = if open { deposit.checked_sub(promised).unwrap_or_default() } else { Amount::ZERO };
        Ok(ChannelState {
            channel_id,
            worker: channel.worker,
            streams: channel.ceiling.is_some(),
            deposit,
            settled,
            promised,
            left,
            open,
            close_at: Some(close_at).filter(|time| *time != 0),
            in_flight: channel.in_flight,
            retired: channel.retired,
            distrust: self.store.distrust(channel.worker)?.map(|distrust| distrust.message),
        })
    }
}
