//! Channels: found or opened once for each worker, topped up, compared with what the worker holds, closed at the end.
//!
//! Channel number `n` to a worker has the salt `keccak256("tacit channel" || worker || n)`, so that a client that lost
//! its disk finds its channels on the ledger again.

use alloy_primitives::{Address, B256, U256, keccak256};
use tacit_abi::{
    IChannels::{Channel, IChannelsErrors},
    channels,
};
use tacit_wire::{
    Amount, LedgerError, Revert,
    http::HttpError,
    ledger::{period_at, unix_time_s},
    message::{ChannelInfo, VoucherReply, VoucherRequest},
    wallet::voucher_signer,
};

use crate::{
    check::AnswerReject,
    error::GatewayError,
    gateway::Gateway,
    market::Offer,
    store::{ChannelRecord, Cover, Distrust},
    view::ChannelEntry,
};

/// What became of a voucher that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The worker has it.
    Acknowledged,
    /// The worker could not be reached; it is sent again before the next job.
    Pending,
    /// The worker wants something else.
    Refused,
}

const CHANNELS_PER_WORKER_MAX: u32 = 1_000;
const REPLY_BYTES_MAX: usize = 16 * 1024;

impl Gateway {
    /// A channel to this worker with room for `price`, with nothing left open from before. The caller holds the lane.
    pub(crate) async fn ready_channel(
        &self,
        offer: &Offer,
        price: Amount,
    ) -> Result<(B256, ChannelRecord), GatewayError> {
        for number in 0..CHANNELS_PER_WORKER_MAX {
            // Asked each time round: finishing what was open may be what reveals a cheat.
            if let Some(distrust) = self.store.distrust(offer.worker)? {
                return Err(GatewayError::Distrusted { worker: offer.worker, reason: distrust.message });
            }
            let salt = channel_salt("tacit channel", offer.worker, number);
            let channel_id = channels::channel_id(
                self.ledger.chain_id(),
                self.address(),
                offer.worker,
                self.address(),
                salt,
            );
            let kept = self.store.channel(channel_id)?;
            if kept.as_ref().is_some_and(|channel| channel.retired) {
                continue;
            }
            let Some(listed) = self.listed(channel_id).await? else {
                let channel = kept.unwrap_or_else(|| ChannelRecord::new(offer.worker, number));
                return self.open_channel(offer, channel_id, channel, salt, price).await;
            };
            if !listed.open || listed.closeAt != 0 {
                self.store.put_retired(
                    channel_id,
                    kept.unwrap_or_else(|| ChannelRecord::new(offer.worker, number)),
                )?;
                continue;
            }
            let channel = match kept {
                Some(channel) => channel,
                None => match self.adopt(offer, channel_id, number, &listed).await? {
                    Some(channel) => channel,
                    None => continue,
                },
            };
            if channel.in_flight.is_some() {
                self.finish_in_flight(&channel).await?;
            }
            let channel = self.store.channel(channel_id)?.ok_or(GatewayError::Internal)?;
            if channel.retired {
                continue;
            }
            if self.deliver_voucher(&offer.endpoint, channel_id, &channel).await? == Delivery::Refused {
                continue;
            }
            self.make_room(channel_id, &channel, &listed, price).await?;
            return Ok((channel_id, channel));
        }
        Err(GatewayError::Overflow)
    }

    pub(crate) async fn listed(&self, channel_id: B256) -> Result<Option<Channel>, GatewayError> {
        match self.ledger.channel(channel_id).await {
            Ok(channel) => Ok(Some(channel)),
            Err(LedgerError::Reverted(Revert::Channels(IChannelsErrors::UnknownChannel(_)))) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn open_channel(
        &self,
        offer: &Offer,
        channel_id: B256,
        channel: ChannelRecord,
        salt: B256,
        price: Amount,
    ) -> Result<(B256, ChannelRecord), GatewayError> {
        // Written down first: whatever happens to the transaction, the channel is found under its number again.
        self.store.put_channel(channel_id, &channel)?;
        let deposit = self.spending.deposit.max(price);
        match self.ledger.open_channel(&self.wallet, offer.worker, salt, deposit).await {
            Ok(_) | Err(LedgerError::Reverted(Revert::Channels(IChannelsErrors::ChannelExists(_)))) => {
                Ok((channel_id, channel))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes up a channel that the ledger knows and our disk does not. `None` retires it: the worker is owed for an
    /// answer we no longer have, and nothing is paid unchecked.
    async fn adopt(
        &self,
        offer: &Offer,
        channel_id: B256,
        number: u32,
        listed: &Channel,
    ) -> Result<Option<ChannelRecord>, GatewayError> {
        let mut channel = ChannelRecord::new(offer.worker, number);
        channel.signed = Amount(listed.settled);
        channel.delivered = channel.signed;
        let url = format!("{}/v1/channels/{channel_id}", offer.endpoint);
        match self.http.get::<ChannelInfo>(&url, REPLY_BYTES_MAX).await {
            Ok(info) => {
                self.take_over(channel_id, &mut channel, &info);
                if info.unpaid.is_some() {
                    self.store.put_retired(channel_id, channel)?;
                    return Ok(None);
                }
                // What of it was for audited answers in this period is forgotten: all of it may have been.
                let (period, covered) = (period_at(unix_time_s()), Amount::ZERO);
                channel.cover = Some(Cover { period, covered, paid: channel.signed });
            }
            Err(HttpError::Refused { status: 402 | 404, .. }) => {}
            Err(source) => {
                let (worker, source) = (offer.worker, Box::new(source));
                return Err(GatewayError::Unreachable { worker, job_id: None, source });
            }
        }
        self.store.put_channel(channel_id, &channel)?;
        Ok(Some(channel))
    }

    /// Counts from the worker's voucher where it is better than ours and we did sign it.
    fn take_over(&self, channel_id: B256, channel: &mut ChannelRecord, info: &ChannelInfo) -> bool {
        let Some(signed) = &info.voucher else { return false };
        let ours = signed.voucher.channelId == channel_id
            && voucher_signer(signed, self.ledger.chain_id()) == Ok(self.address());
        if !ours || signed.voucher.cumulative <= channel.signed.0 {
            return false;
        }
        channel.signed = Amount(signed.voucher.cumulative);
        channel.delivered = channel.signed;
        channel.voucher = Some(signed.clone());
        true
    }

    /// After a worker said that it counts from another amount: sends our voucher, or takes over a better one that we
    /// signed. `false` when neither explains the difference.
    pub(crate) async fn reconcile(&self, endpoint: &str, channel_id: B256) -> Result<bool, GatewayError> {
        let mut channel = self.store.channel(channel_id)?.ok_or(GatewayError::Internal)?;
        let url = format!("{endpoint}/v1/channels/{channel_id}");
        let held = self.http.get::<ChannelInfo>(&url, REPLY_BYTES_MAX).await;
        if let Ok(info) = &held
            && self.take_over(channel_id, &mut channel, info)
        {
            self.store.put_channel(channel_id, &channel)?;
            return Ok(true);
        }
        let behind = held.ok().and_then(|info| info.voucher).map_or(0, |signed| signed.voucher.cumulative);
        if channel.voucher.is_none() || behind >= channel.signed.0 {
            return Ok(false);
        }
        channel.delivered = Amount::ZERO;
        Ok(self.deliver_voucher(endpoint, channel_id, &channel).await? == Delivery::Acknowledged)
    }

    async fn make_room(
        &self,
        channel_id: B256,
        channel: &ChannelRecord,
        listed: &Channel,
        price: Amount,
    ) -> Result<(), GatewayError> {
        let needed = channel.signed.checked_add(price).ok_or(GatewayError::Overflow)?;
        if let Some(missing) = needed.checked_sub(Amount(listed.deposit)).filter(|amount| amount.0 > 0) {
            self.ledger.top_up(&self.wallet, channel_id, self.spending.deposit.max(missing)).await?;
        }
        Ok(())
    }

    /// Hands the channel's voucher over unless the worker has it already.
    pub(crate) async fn deliver_voucher(
        &self,
        endpoint: &str,
        channel_id: B256,
        channel: &ChannelRecord,
    ) -> Result<Delivery, GatewayError> {
        let (Some(voucher), Some(job_id)) = (&channel.voucher, channel.last_job) else {
            return Ok(Delivery::Acknowledged);
        };
        if channel.delivered >= channel.signed {
            return Ok(Delivery::Acknowledged);
        }
        let request = VoucherRequest { job_id, voucher: voucher.clone() };
        let url = format!("{endpoint}/v1/vouchers");
        match self.http.post::<_, VoucherReply>(&url, &request, REPLY_BYTES_MAX).await {
            Ok(_) => {
                self.store.put_delivered(channel_id, channel.signed)?;
                Ok(Delivery::Acknowledged)
            }
            Err(HttpError::Refused { status, body }) if status < 500 => {
                // The channel is given up already, and what its worker did was judged then.
                if channel.retired {
                    return Ok(Delivery::Refused);
                }
                // The voucher pays the agreed price for a checked answer. Whoever wants more is not asked again.
                let demanded = body.demand.unwrap_or_default();
                let reject = AnswerReject::Overcharge { agreed: channel.signed, demanded };
                let message = if body.demand.is_some() { reject.to_string() } else { body.message.clone() };
                let distrust = Distrust { code: reject.code().to_owned(), message, job_id };
                self.store.put_distrusted(channel.worker, &distrust)?;
                self.store.put_retired(channel_id, channel.clone())?;
                Ok(Delivery::Refused)
            }
            Err(error) => {
                tracing::warn!(%error, "the voucher is kept and sent again");
                Ok(Delivery::Pending)
            }
        }
    }

    /// Closes retired channels step by step: requests it, and after the grace period takes back what is left. Doing it
    /// again is harmless. Returns the channels that are still on their way.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn close_retired(&self) -> Result<usize, GatewayError> {
        let _alone = self.closing.lock().await;
        let (mut open, mut failure) = (0, None);
        for (channel_id, channel) in self.store.channels()? {
            if !channel.retired {
                continue;
            }
            let Some(listed) = self.listed(channel_id).await?.filter(|listed| listed.open) else { continue };
            open += 1;
            let step = if listed.closeAt == 0 {
                self.ledger.request_close(&self.wallet, channel_id).await
            } else {
                self.ledger.close(&self.wallet, channel_id).await
            };
            match step {
                Ok(_) | Err(LedgerError::Reverted(Revert::Channels(IChannelsErrors::GraceRunning(_)))) => {}
                // One that cannot be closed now does not keep the others' deposits.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(open), |error| Err(error.into()))
    }

    /// Retires every channel, so that [`Self::close_retired`] brings the deposits home. One that awaits an answer is
    /// no exception: nothing is owed for an answer that has not come, and one that comes before the channel is closed
    /// is still paid ([`Self::resume`]).
    ///
    /// # Errors
    /// [`GatewayError::Store`].
    pub fn retire_all(&self) -> Result<(), GatewayError> {
        for (channel_id, channel) in self.store.channels()? {
            self.store.put_retired(channel_id, channel)?;
        }
        self.links.forget_all();
        Ok(())
    }

    /// Retires every channel, and takes the first step of closing each. The deposits come back after the grace period,
    /// by [`Self::close_retired`].
    ///
    /// # Errors
    /// [`GatewayError`]; the channels are retired even if the ledger cannot be asked.
    pub async fn close_all(&self) -> Result<Vec<ChannelEntry>, GatewayError> {
        self.retire_all()?;
        self.close_retired().await?;
        self.channels()
    }

    /// Asks a worker again that was caught once.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub fn forgive(&self, worker: Address) -> Result<(), GatewayError> {
        Ok(self.store.remove_distrust(worker)?)
    }
}

/// Salt of a client's channel number `number` of a kind to a worker.
pub(crate) fn channel_salt(kind: &str, worker: Address, number: u32) -> B256 {
    let number = U256::from(number).to_be_bytes::<32>();
    keccak256([kind.as_bytes(), worker.as_slice(), &number].concat())
}
