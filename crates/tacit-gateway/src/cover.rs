//! Pays for audited answers no more than the worker's stake speaks for.
//!
//! What a worker gains by false answers, once it knows that it will be convicted, is what clients pay it until its stake is gone. The ledger keeps that below a part of the stake
//! ([`tacit_abi::audits`]), as long as each client pays no more over a channel than is covered there. So a question whose answer is to be `audited` is sent only if the ledger
//! says so; what the worker says of it counts nothing. Its stake may speak for others at the moment: then another worker is asked.

use alloy_primitives::B256;
use tacit_wire::{
    Amount,
    http::HttpError,
    ledger::{period_at, unix_time_s},
    message::{CoverReply, CoverRequest},
};

use crate::{error::GatewayError, gateway::Gateway, market::Offer, store::ChannelRecord};

const REPLY_BYTES_MAX: usize = 16 * 1024;

impl Gateway {
    /// Makes sure that a worker's stake speaks for one more audited answer of this price. The caller holds the lane.
    pub(crate) async fn ensure_cover(
        &self,
        offer: &Offer,
        channel_id: B256,
        channel: &ChannelRecord,
    ) -> Result<(), GatewayError> {
        let (worker, price) = (offer.worker, offer.price);
        let now = period_at(unix_time_s());
        // One of a later period is good: the ledger's clock decides, and may be ahead of this one.
        let cover = channel.cover.filter(|cover| cover.period >= now);
        let paid = cover.map(|cover| cover.paid).unwrap_or_default();
        let amount = paid.checked_add(price).ok_or(GatewayError::Overflow)?;
        if cover.is_some_and(|cover| amount <= cover.covered) {
            return Ok(());
        }
        let url = format!("{}/v1/covers", offer.endpoint);
        let request = CoverRequest { channel_id, amount };
        let said: CoverReply = match self.http.post(&url, &request, REPLY_BYTES_MAX).await {
            Ok(said) => said,
            Err(HttpError::Refused { body, .. }) => {
                let (code, message, hint, opens_at) = (body.code, body.message, body.hint, body.opens_at);
                return Err(GatewayError::Refused { worker, code, message, hint, opens_at });
            }
            Err(source) => {
                return Err(GatewayError::Unreachable { worker, job_id: None, source: Box::new(source) });
            }
        };
        let covered = self.ledger.cover_of(channel_id, said.period).await?;
        let cover = self.store.put_cover(channel_id, said.period, covered)?;
        let amount = cover.paid.checked_add(price).ok_or(GatewayError::Overflow)?;
        if said.period < now || amount > covered {
            let covered = if said.period < now { Amount::ZERO } else { covered };
            return Err(GatewayError::NotCovered { worker, amount, covered });
        }
        Ok(())
    }
}
