//! Takes vouchers.

use tacit_wire::{
    Amount, JobId,
    message::{VoucherReply, VoucherRequest},
    wallet::voucher_signer,
};

use crate::{
    reject::JobReject,
    store::{ChannelRecord, JobRecord},
    worker::Worker,
};

impl Worker {
    /// Keeps a voucher, durably, before it says so. The same voucher again is fine; so is a voucher for a job that this
    /// worker has forgotten, as long as it is good on the ledger.
    ///
    /// # Errors
    /// [`JobReject`].
    pub async fn accept_voucher(&self, request: VoucherRequest) -> Result<VoucherReply, JobReject> {
        let VoucherRequest { job_id, voucher: signed } = request;
        let channel_id = signed.voucher.channelId;
        let got = Amount(signed.voucher.cumulative);
        let job = self.store.job(job_id)?;
        if let Some(JobRecord { receipt, .. }) = &job {
            if receipt.receipt.channelId != channel_id {
                return Err(JobReject::WrongChannel);
            }
            let demand = Amount(receipt.receipt.cumulative);
            if got < demand {
                return Err(JobReject::Underpaid { demand, got });
            }
        }
        if self.store.account(channel_id)?.is_some() {
            return Err(JobReject::ChannelForStreams { channel_id });
        }
        let signer = voucher_signer(&signed, self.ledger.chain_id())?;
        let channel = self.channel_for_voucher(channel_id, got).await?;
        if signer != channel.signer {
            return Err(JobReject::NotSigner { expected: channel.signer, got: signer });
        }
        let paid_job: Option<JobId> = job.map(|_| job_id);
        let cumulative = self.store.put_voucher(channel, &signed, paid_job)?;
        self.paid.notify_one();
        Ok(VoucherReply { cumulative })
    }

    /// The channel, whose deposit must cover the voucher: a promise beyond it is worth nothing.
    async fn channel_for_voucher(
        &self,
        channel_id: alloy_primitives::B256,
        cumulative: Amount,
    ) -> Result<ChannelRecord, JobReject> {
        let known = self.store.channel(channel_id)?;
        if let Some(known) = known.as_ref().filter(|known| cumulative <= known.promised()) {
            return Ok(known.clone());
        }
        let listed = self.listed_channel(channel_id).await?;
        if listed.worker != self.address() {
            return Err(JobReject::NotOurChannel { channel_id, client: listed.client });
        }
        if !listed.open {
            return Err(JobReject::ChannelClosing { channel_id });
        }
        let deposit = Amount(listed.deposit);
        if deposit < cumulative {
            return Err(JobReject::DepositTooSmall { deposit, cumulative });
        }
        Ok(known.unwrap_or(ChannelRecord {
            client: listed.client,
            signer: listed.signer,
            voucher: None,
            settled: Amount(listed.settled),
            unpaid: None,
        }))
    }
}
