//! Opens sessions and takes vouchers.

use std::sync::Arc;

use alloy_primitives::B256;
use tacit_abi::channels::SignedVoucher;
use tacit_wire::{
    Amount, JobId,
    session::{SessionOpen, SessionReply, SessionRequest, SessionSecret},
    stream,
    wallet::voucher_signer,
};
use tokio::time::Instant;

use super::{
    account::{Account, Listed},
    refusal::StreamRefusal,
    session::{CLOCK_SKEW, Guest},
};
use crate::{attest, reject::JobReject, store::AccountRecord, worker::Worker};

impl Worker {
    /// Opens a session. Its channel pays for streams from then on.
    pub(super) async fn open_session(
        self: &Arc<Self>,
        request: SessionRequest,
    ) -> Result<SessionReply, StreamRefusal> {
        if self.is_drained() {
            return Err(StreamRefusal::Draining);
        }
        let open = &request.open;
        let expected = self.ledger.chain_id();
        if open.chain_id != expected {
            return Err(JobReject::WrongChain { expected, got: open.chain_id }.into());
        }
        if open.worker != self.address() {
            return Err(JobReject::WrongWorker { expected: self.address(), got: open.worker }.into());
        }
        let now = self.clock.unix_time_s();
        if open.opened_at.abs_diff(now) > CLOCK_SKEW.as_secs() {
            return Err(StreamRefusal::Clock { opened_at: open.opened_at, now });
        }
        let signer = request.signer()?;
        let account = match self.account(open.channel_id)? {
            Some(account) => {
                // Sessions are few, and last long: what the ledger said before is not enough.
                self.look_up(&account).await?;
                account
            }
            None => self.open_account(&request).await?,
        };
        if account.client != open.client {
            let (channel_id, client) = (open.channel_id, open.client);
            return Err(JobReject::NotOurChannel { channel_id, client }.into());
        }
        if signer != account.signer {
            return Err(JobReject::NotSigner { expected: account.signer, got: signer }.into());
        }
        self.listed(&account, |listed| listed.is_open).await?;
        let (secret, guest) = self.agree(open)?;
        let (session_id, sessions) = (open.session_id, &self.languages.sessions);
        let expires_at = sessions.insert(session_id, account, secret, guest, now)?;
        Ok(SessionReply { session_id, expires_at })
    }

    /// The secret of a session, by our key or by that of a guest's session which lasts.
    fn agree(&self, open: &SessionOpen) -> Result<(SessionSecret, Option<Guest>), StreamRefusal> {
        let Some(key) = open.guest_key else {
            return Ok((self.languages.key.accept(open).map_err(StreamRefusal::Secret)?, None));
        };
        match self.session(key)? {
            attest::Session { key: attest::Key::Streams(secret), evidence, model, until_s } => {
                let secret = secret.accept(open).map_err(StreamRefusal::Secret)?;
                Ok((secret, Some(Guest { key, evidence, model, until_s })))
            }
            _ => Err(JobReject::NoSession { key }.into()),
        }
    }

    /// Takes a voucher for an account, and tells how it stands.
    pub(super) async fn take_payment(
        &self,
        signed: &SignedVoucher,
    ) -> Result<stream::Account, StreamRefusal> {
        let channel_id = signed.voucher.channelId;
        let account = self.account(channel_id)?.ok_or(JobReject::UnknownChannel { channel_id })?;
        self.take_voucher(&account, signed).await?;
        Ok(account.info())
    }

    /// What a client is told of its account.
    pub(super) fn account_info(&self, channel_id: B256) -> Result<stream::Account, StreamRefusal> {
        let account = self.account(channel_id)?.ok_or(JobReject::UnknownChannel { channel_id })?;
        Ok(account.info())
    }

    /// Takes a voucher if it is good; one that is not better than the one held changes nothing.
    pub(super) async fn take_voucher(
        &self,
        account: &Arc<Account>,
        signed: &SignedVoucher,
    ) -> Result<(), StreamRefusal> {
        if signed.voucher.channelId != account.channel_id() {
            return Err(StreamRefusal::WrongChannel);
        }
        let cumulative = Amount(signed.voucher.cumulative);
        if cumulative <= account.promised() {
            return Ok(());
        }
        let signer = voucher_signer(signed, self.ledger.chain_id())?;
        if signer != account.signer {
            return Err(JobReject::NotSigner { expected: account.signer, got: signer }.into());
        }
        // A promise beyond the deposit is worth nothing, nor is one that cannot be settled any more.
        let covers = |listed: &Listed| listed.can_settle && cumulative <= listed.deposit;
        let listed = self.looked_up(account, covers).await?;
        if !listed.can_settle {
            return Err(JobReject::ChannelClosing { channel_id: account.channel_id() }.into());
        }
        let deposit = listed.deposit;
        if deposit < cumulative {
            return Err(JobReject::DepositTooSmall { deposit, cumulative }.into());
        }
        if account.promise(signed) {
            self.languages.journal.note(account);
        }
        Ok(())
    }

    /// An account, from memory or from disk.
    pub(super) fn account(&self, channel_id: B256) -> Result<Option<Arc<Account>>, StreamRefusal> {
        if let Some(account) = self.languages.accounts.find(channel_id) {
            return Ok(Some(account));
        }
        let record = self.store.account(channel_id)?;
        Ok(record.map(|record| self.languages.accounts.restore(channel_id, record)))
    }

    /// What the ledger says of an account's channel, which must be `good`.
    pub(super) async fn listed(
        &self,
        account: &Account,
        good: impl Fn(&Listed) -> bool,
    ) -> Result<(), StreamRefusal> {
        match self.looked_up(account, &good).await? {
            listed if good(&listed) => Ok(()),
            _ => Err(JobReject::ChannelClosing { channel_id: account.channel_id() }.into()),
        }
    }

    /// What the ledger said a moment ago, if that is `good`; what it says now otherwise.
    async fn looked_up(
        &self,
        account: &Account,
        good: impl Fn(&Listed) -> bool,
    ) -> Result<Listed, StreamRefusal> {
        if let Some(listed) = account.listed()
            && listed.at.elapsed() < self.limits.listed_for
            && good(&listed)
        {
            return Ok(listed);
        }
        self.look_up(account).await
    }

    /// What the ledger says of an account's channel.
    async fn look_up(&self, account: &Account) -> Result<Listed, StreamRefusal> {
        let channel = self.listed_channel(account.channel_id()).await?;
        let listed = Listed::new(&channel, Instant::now());
        account.set_listed(listed, Amount(channel.settled));
        Ok(listed)
    }

    /// Makes a channel one that pays for streams, if it is one of ours that has paid for nothing else.
    async fn open_account(self: &Arc<Self>, request: &SessionRequest) -> Result<Arc<Account>, StreamRefusal> {
        let open = &request.open;
        let channel_id = open.channel_id;
        let channel = self.listed_channel(channel_id).await?;
        if channel.worker != self.address() || channel.client != open.client {
            return Err(JobReject::NotOurChannel { channel_id, client: open.client }.into());
        }
        let signer = request.signer()?;
        if signer != channel.signer {
            return Err(JobReject::NotSigner { expected: channel.signer, got: signer }.into());
        }
        // No job of the channel is computed meanwhile.
        let _reservation = self.reserve_channel(channel_id, JobId(open.session_id))?;
        if let Some(account) = self.account(channel_id)? {
            return Ok(account);
        }
        let settled = Amount(channel.settled);
        let record = AccountRecord {
            client: channel.client,
            signer: channel.signer,
            voucher: None,
            settled,
            // What the ledger paid was owed.
            owed: settled,
            running: false,
        };
        self.store.open_account(channel_id, &record)?;
        let account = self.languages.accounts.restore(channel_id, record);
        account.set_listed(Listed::new(&channel, Instant::now()), settled);
        Ok(account)
    }
}
