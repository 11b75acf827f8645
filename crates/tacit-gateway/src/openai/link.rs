//! What a gateway has with one worker: a channel for streams, its account, a session, and vouchers on their way.
//!
//! Channel number `n` for streams has the salt `keccak256("tacit stream channel" || worker || n)`, beside the channels for jobs. A session is opened when it is needed, and
//! again when the worker has forgotten it; with a guest another one for each time that it was judged. Vouchers go one at a time, the best one last: what becomes due meanwhile is in the next.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{Address, B256};
use tacit_abi::{
    IChannels::{Channel, IChannelsErrors},
    Voucher,
    channels::{self, SignedVoucher},
};
use tacit_wire::{
    Amount, JobId, LedgerError, Revert,
    http::HttpError,
    session::{SessionOpen, SessionReply, SessionSecret, random_session_id, session_key_hash},
    stream::{Account as WorkersAccount, Payment},
    wallet::voucher_signer,
};

use tokio::sync::Notify;

use super::{
    account::{Account, Promise, Terms},
    attempt::Failure,
    caps::Reservation,
    error::ApiError,
    market::TokenAsk,
};
use crate::{
    attested::Session as Guest,
    channel::channel_salt,
    gateway::Gateway,
    store::{ChannelRecord, Distrust, StreamReceipt},
};

/// Links by worker.
#[derive(Default)]
pub(crate) struct Links(Mutex<HashMap<Address, Arc<Slot>>>);

#[derive(Default)]
struct Slot {
    /// One at a time finds or opens the channel.
    turn: tokio::sync::Mutex<()>,
    link: Mutex<Option<Arc<Link>>>,
}

/// A channel with a worker in use.
pub(crate) struct Link {
    pub(crate) worker: Address,
    pub(crate) channel_id: B256,
    account: Mutex<Account>,
    promised: Mutex<Promised>,
    /// By the evidence of the guest that each was agreed with; under none, with the worker.
    sessions: Mutex<HashMap<Option<B256>, Arc<Session>>>,
    opening: tokio::sync::Mutex<()>,
    paying: AtomicBool,
    /// The next ceiling is being written.
    raising: AtomicBool,
    topping_up: tokio::sync::Mutex<()>,
    given_up: AtomicBool,
    /// The account has changed.
    pub(crate) moved: Notify,
}

#[derive(Default)]
struct Promised {
    best: Option<SignedVoucher>,
    delivered: Amount,
}

/// A session with a worker.
pub(crate) struct Session {
    pub(crate) id: B256,
    pub(crate) secret: SessionSecret,
    next: AtomicU64,
    expires_at: u64,
}

/// A request on the account of its worker. Dropping it before its end is an answer that broke off.
pub(crate) struct Running {
    gateway: Arc<Gateway>,
    link: Arc<Link>,
    endpoint: String,
    terms: Terms,
    reservation: Option<Reservation>,
    begun: bool,
    /// Cost of what came.
    counted: Amount,
    broken_by_worker: bool,
}

const CHANNELS_PER_WORKER_MAX: u32 = 1_000;
const REPLY_BYTES_MAX: usize = 16 * 1024;
/// A session is renewed so long before its end.
const RENEW_S: u64 = 60;
const PAYMENT_TRIES: u32 = 3;
const PAYMENT_PAUSE: Duration = Duration::from_millis(250);

impl Links {
    fn slot(&self, worker: Address) -> Arc<Slot> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(worker).or_default())
    }

    /// Later requests look for their channels anew.
    pub(crate) fn forget_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Slot {
    fn link(&self) -> Option<Arc<Link>> {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner).clone();
        link.filter(|link| !link.given_up.load(Ordering::Acquire))
    }
}

impl Session {
    /// The next number, used once.
    pub(crate) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Link {
    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The best voucher, if the worker is not known to have it.
    pub(crate) fn undelivered(&self) -> Option<SignedVoucher> {
        let promised = self.promised();
        promised.best.clone().filter(|best| best.voucher.cumulative > promised.delivered.0)
    }

    pub(crate) fn delivered(&self, amount: u128) {
        let mut promised = self.promised();
        promised.delivered = promised.delivered.max(Amount(amount));
    }

    /// The worker wants to be promised what it was promised: a voucher came with a request that it refused before it took it. The next request brings it again.
    pub(crate) fn bring_again(&self) {
        self.promised().delivered = Amount::ZERO;
    }

    /// Has the next request look for the channel anew.
    pub(crate) fn abandon(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    /// Forgets a session that its worker does not know.
    pub(crate) fn forget_session(&self, session: &Arc<Session>) {
        self.sessions().retain(|_, kept| !Arc::ptr_eq(kept, session));
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Option<B256>, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn promised(&self) -> MutexGuard<'_, Promised> {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, with: Option<B256>, now_s: u64) -> Option<Arc<Session>> {
        let session = self.sessions().get(&with).cloned();
        session.filter(|session| session.expires_at > now_s.saturating_add(RENEW_S))
    }
}

impl Gateway {
    /// The channel to a worker, with its account settled as far as it can be.
    pub(crate) async fn link(&self, ask: &TokenAsk) -> Result<Arc<Link>, Failure> {
        if let Some(distrust) = self.store.distrust(ask.worker).map_err(ApiError::from)? {
            return Err(Failure::dishonest(ask.worker, distrust.message));
        }
        let slot = self.links.slot(ask.worker);
        let settled = |link: &Link| {
            let account = link.account();
            !(account.is_uncertain() && account.is_idle())
        };
        if let Some(link) = slot.link().filter(|link| settled(link)) {
            return Ok(link);
        }
        let _turn = slot.turn.lock().await;
        if let Some(link) = slot.link() {
            if !settled(&link) {
                self.reconcile_streams(&link, ask).await?;
            }
            return Ok(link);
        }
        let link = Arc::new(self.find_link(ask).await?);
        *slot.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&link));
        Ok(link)
    }

    /// The first channel to the worker that is not given up, opened if there is none.
    async fn find_link(&self, ask: &TokenAsk) -> Result<Link, Failure> {
        for number in 0..CHANNELS_PER_WORKER_MAX {
            let salt = channel_salt("tacit stream channel", ask.worker, number);
            let (chain_id, client) = (self.ledger.chain_id(), self.address());
            let channel_id = channels::channel_id(chain_id, client, ask.worker, client, salt);
            let kept = self.store.channel(channel_id).map_err(ApiError::from)?;
            if kept.as_ref().is_some_and(|channel| channel.retired) {
                continue;
            }
            let record = kept.clone().unwrap_or_else(|| ChannelRecord {
                ceiling: Some(Amount::ZERO),
                ..ChannelRecord::new(ask.worker, number)
            });
            match self.listed(channel_id).await.map_err(ApiError::from)? {
                None => {
                    // Written down first: whatever happens to the transaction, the channel is found under its number again.
                    self.store.put_channel(channel_id, &record).map_err(ApiError::from)?;
                    let deposit = self.spending.deposit;
                    match self.ledger.open_channel(&self.wallet, ask.worker, salt, deposit).await {
                        Ok(_)
                        | Err(LedgerError::Reverted(Revert::Channels(IChannelsErrors::ChannelExists(_)))) => {
                        }
                        Err(error) => return Err(ApiError::from(error).into()),
                    }
                    let account = Account::found(deposit, Amount::ZERO, Amount::ZERO);
                    return Ok(Link::new(ask.worker, channel_id, account, None));
                }
                Some(listed) if !listed.open || listed.closeAt != 0 => {
                    self.store.put_retired(channel_id, record).map_err(ApiError::from)?;
                }
                Some(listed) => {
                    if let Some(link) = self.resume_link(ask, channel_id, kept, &record, &listed).await? {
                        return Ok(link);
                    }
                }
            }
        }
        Err(ApiError::Internal.into())
    }

    /// Takes a channel up again. `None` gives it up.
    async fn resume_link(
        &self,
        ask: &TokenAsk,
        channel_id: B256,
        kept: Option<ChannelRecord>,
        record: &ChannelRecord,
        listed: &Channel,
    ) -> Result<Option<Link>, Failure> {
        let theirs = self.workers_account(ask, channel_id).await?;
        let voucher = theirs.as_ref().and_then(|account| account.voucher.clone());
        let voucher = voucher.filter(|signed| self.is_ours(signed, channel_id));
        let held = Amount(voucher.as_ref().map_or(0, |signed| signed.voucher.cumulative));
        let promised = held.max(Amount(listed.settled));
        // A gateway without its disk has nothing but its own signature.
        let ceiling = kept.map_or(promised, |channel| channel.ceiling.unwrap_or_default());
        if promised > ceiling {
            self.store.put_retired(channel_id, record.clone()).map_err(ApiError::from)?;
            return Ok(None);
        }
        self.store.put_channel(channel_id, record).map_err(ApiError::from)?;
        self.store.put_ceiling(channel_id, ceiling, promised).map_err(ApiError::from)?;
        let mut account = Account::found(Amount(listed.deposit), promised, ceiling);
        let owed = theirs.map_or(promised, |account| account.owed);
        let link = |account| Link::new(ask.worker, channel_id, account, voucher.clone());
        match account.resume(owed, ask.prices.chunk()) {
            Ok(()) => Ok(Some(link(account))),
            Err(reject) => {
                let message =
                    format!("it says that {} is owed, and {} can be", reject.claimed, reject.explained);
                Err(self.give_up(&link(account), JobId(B256::ZERO), "account", message, None))
            }
        }
    }

    /// Asks a worker what it counts, after answers that broke off.
    async fn reconcile_streams(&self, link: &Link, ask: &TokenAsk) -> Result<(), Failure> {
        let Some(theirs) = self.workers_account(ask, link.channel_id).await? else { return Ok(()) };
        let reconciled = link.account().reconcile(theirs.owed, ask.prices.chunk());
        reconciled.map_err(|reject| {
            let message = format!("it says that {} is owed, and {} can be", reject.claimed, reject.explained);
            self.give_up(link, JobId(B256::ZERO), "account", message, None)
        })
    }

    /// `None` when the worker knows nothing of the channel.
    async fn workers_account(
        &self,
        ask: &TokenAsk,
        channel_id: B256,
    ) -> Result<Option<WorkersAccount>, Failure> {
        let url = format!("{}/v1/accounts/{channel_id}", ask.endpoint);
        match self.quick.get::<WorkersAccount>(&url, REPLY_BYTES_MAX).await {
            Ok(account) => Ok(Some(account)),
            Err(HttpError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(Failure::unreachable(&error)),
        }
    }

    fn is_ours(&self, signed: &SignedVoucher, channel_id: B256) -> bool {
        signed.voucher.channelId == channel_id
            && voucher_signer(signed, self.ledger.chain_id()) == Ok(self.address())
    }

    /// Ends the acquaintance: the channel is closed, the worker not asked again, what shows it is kept.
    pub(crate) fn give_up(
        &self,
        link: &Link,
        job_id: JobId,
        code: &str,
        message: String,
        record: Option<&StreamReceipt>,
    ) -> Failure {
        link.given_up.store(true, Ordering::Release);
        tracing::warn!(worker = %link.worker, code, %message, "a worker is not asked again");
        let distrust = Distrust { code: code.to_owned(), message: message.clone(), job_id };
        match self.store.put_false_stream(link.channel_id, link.worker, &distrust, record) {
            Ok(()) => Failure::dishonest(link.worker, message),
            Err(error) => ApiError::from(error).into(),
        }
    }

    /// A session with the worker, or with a guest of its that was judged, opened if there is none. `None` when the guest's key is gone: it has to be judged anew.
    pub(crate) async fn session(
        &self,
        link: &Link,
        model_id: B256,
        ask: &TokenAsk,
        guest: Option<&Guest>,
    ) -> Result<Option<Arc<Session>>, Failure> {
        let (with, now_s) = (guest.map(|guest| guest.attested.evidence()), self.session_time_s());
        if let Some(session) = link.session(with, now_s) {
            return Ok(Some(session));
        }
        let _alone = link.opening.lock().await;
        if let Some(session) = link.session(with, now_s) {
            return Ok(Some(session));
        }
        let (key, guest_key) = match guest {
            Some(guest) => {
                let key = guest.messages.key.to_vec();
                let name = session_key_hash(&key);
                (key, Some(name))
            }
            None => {
                let info = self.language_info(model_id, ask).await;
                (info.map_err(|error| Failure::unusable(&error))?.session_key, None)
            }
        };
        let open = SessionOpen {
            chain_id: self.ledger.chain_id(),
            session_id: random_session_id(),
            channel_id: link.channel_id,
            client: self.address(),
            worker: ask.worker,
            opened_at: now_s,
            guest_key,
            enc: Vec::new(),
        };
        let (open, secret) = open.begin(&key).map_err(|error| Failure::unusable(&error))?;
        let id = open.session_id;
        let request = open.sign(&self.wallet);
        let url = format!("{}/v1/sessions", ask.endpoint);
        let reply: SessionReply = match self.quick.post(&url, &request, REPLY_BYTES_MAX).await {
            Ok(reply) => reply,
            Err(HttpError::Refused { body, .. }) if guest.is_some() && body.code == "no_session" => {
                return Ok(None);
            }
            Err(error) => return Err(Failure::unreachable(&error)),
        };
        let session = Arc::new(Session { id, secret, next: AtomicU64::new(0), expires_at: reply.expires_at });
        let mut sessions = link.sessions();
        sessions.retain(|_, session| session.expires_at > now_s);
        sessions.insert(with, Arc::clone(&session));
        Ok(Some(session))
    }

    /// Puts a request on the account, with room on the channel for it.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        link: &Arc<Link>,
        ask: &TokenAsk,
        terms: Terms,
        reservation: Reservation,
    ) -> Result<Running, Failure> {
        let soon = Amount(terms.prompt.0.saturating_add(terms.chunk.0.saturating_mul(2)));
        let lacks_room = link.account().lacks_room(soon);
        if lacks_room {
            self.top_up_link(link, soon).await?;
        }
        let needed = link.account().begin(terms);
        let running = Running {
            gateway: Arc::clone(self),
            link: Arc::clone(link),
            endpoint: ask.endpoint.clone(),
            terms,
            reservation: Some(reservation),
            begun: false,
            counted: Amount::ZERO,
            broken_by_worker: false,
        };
        self.promise(link, needed)?;
        self.raise_soon(link);
        Ok(running)
    }

    /// Writes the next ceiling before it is needed, if it soon is, so that no request waits for that.
    fn raise_soon(self: &Arc<Self>, link: &Arc<Link>) {
        if link.account().next_ceiling().is_none() || link.raising.swap(true, Ordering::AcqRel) {
            return;
        }
        let (gateway, link) = (Arc::clone(self), Arc::clone(link));
        tokio::task::spawn_blocking(move || {
            let next = link.account().next_ceiling();
            if let Some(Promise { amount, ceiling: Some(ceiling) }) = next {
                match gateway.store.put_ceiling(link.channel_id, ceiling, amount) {
                    Ok(()) => link.account().raised(ceiling),
                    // Whoever needs it writes it, or is told.
                    Err(error) => tracing::warn!(%error, "a ceiling cannot be written ahead"),
                }
            }
            link.raising.store(false, Ordering::Release);
        });
    }

    /// Signs a promise, once it is on disk that it may have been made.
    pub(crate) fn promise(&self, link: &Link, amount: Amount) -> Result<(), ApiError> {
        {
            let mut account = link.account();
            let Some(promise) = account.promise(amount) else { return Ok(()) };
            if let Some(ceiling) = promise.ceiling {
                // Under the lock, so that no other voucher leaves before this is written; only where it was not written ahead.
                self.store.put_ceiling(link.channel_id, ceiling, promise.amount)?;
            }
        }
        let voucher = Voucher { channelId: link.channel_id, cumulative: amount.0 };
        let signed = self.wallet.sign_voucher(voucher, self.ledger.chain_id());
        let mut promised = link.promised();
        if promised.best.as_ref().is_none_or(|best| best.voucher.cumulative < amount.0) {
            promised.best = Some(signed);
        }
        Ok(())
    }

    /// Pays what is due, on a task of its own; one at a time for a channel.
    pub(crate) fn pay_soon(self: &Arc<Self>, link: &Arc<Link>, endpoint: &str) {
        let due = link.account().due().is_some() || link.undelivered().is_some();
        // A runtime that is being torn down pays nothing any more.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !due || link.given_up.load(Ordering::Acquire) || link.paying.swap(true, Ordering::AcqRel) {
            return;
        }
        let (gateway, link, endpoint) = (Arc::clone(self), Arc::clone(link), endpoint.to_owned());
        runtime.spawn(async move {
            let paid = gateway.pay(&link, &endpoint).await;
            link.paying.store(false, Ordering::Release);
            if paid {
                // What became due while this was being noted.
                gateway.pay_soon(&link, &endpoint);
            }
        });
    }

    async fn pay(self: &Arc<Self>, link: &Arc<Link>, endpoint: &str) -> bool {
        let mut tries = 0;
        loop {
            let missing = link.account().room_missing(Amount::ZERO);
            if missing.is_some() && link.topping_up.try_lock().is_ok() {
                let (gateway, link) = (Arc::clone(self), Arc::clone(link));
                tokio::spawn(async move { gateway.top_up_link(&link, Amount::ZERO).await });
            }
            let due = link.account().due();
            if let Some(due) = due
                && self.promise(link, due).is_err()
            {
                return false;
            }
            self.raise_soon(link);
            let Some(voucher) = link.undelivered() else { return true };
            let cumulative = voucher.voucher.cumulative;
            let url = format!("{endpoint}/v1/payments");
            match self.quick.post::<_, WorkersAccount>(&url, &Payment { voucher }, REPLY_BYTES_MAX).await {
                Ok(_) => {
                    link.delivered(cumulative);
                    tries = 0;
                }
                Err(error) => {
                    tries += 1;
                    if tries >= PAYMENT_TRIES {
                        tracing::warn!(%error, worker = %link.worker, "a voucher is kept and sent later");
                        return false;
                    }
                    tokio::time::sleep(PAYMENT_PAUSE).await;
                }
            }
        }
    }

    async fn top_up_link(&self, link: &Link, soon: Amount) -> Result<(), ApiError> {
        let _alone = link.topping_up.lock().await;
        let missing = link.account().room_missing(soon);
        let Some(missing) = missing else { return Ok(()) };
        let amount = self.spending.deposit.max(missing);
        self.ledger.top_up(&self.wallet, link.channel_id, amount).await?;
        let mut account = link.account();
        let deposit = account.deposit().checked_add(amount).ok_or(ApiError::Internal)?;
        account.deposited(deposit);
        Ok(())
    }
}

impl Link {
    fn new(worker: Address, channel_id: B256, account: Account, voucher: Option<SignedVoucher>) -> Self {
        let delivered = Amount(voucher.as_ref().map_or(0, |signed| signed.voucher.cumulative));
        Self {
            worker,
            channel_id,
            account: Mutex::new(account),
            promised: Mutex::new(Promised { best: voucher, delivered }),
            sessions: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            paying: AtomicBool::new(false),
            raising: AtomicBool::new(false),
            topping_up: tokio::sync::Mutex::default(),
            given_up: AtomicBool::new(false),
            moved: Notify::new(),
        }
    }
}

impl Running {
    /// The most that it may cost.
    pub(crate) fn limit(&self) -> Amount {
        self.reservation.as_ref().map_or(Amount::ZERO, |reservation| reservation.amount)
    }

    /// Its answer began: the prompt is owed.
    pub(crate) fn begun(&mut self) {
        self.begun = true;
        self.counted = self.terms.prompt;
        self.link.account().begun(self.terms);
        self.pay();
    }

    /// What came costs so much in all.
    pub(crate) fn count(&mut self, cost: Amount) {
        let Some(more) = cost.checked_sub(self.counted) else { return };
        self.counted = cost;
        self.link.account().count(more);
        self.pay();
    }

    /// It was refused, or failed at no cost.
    pub(crate) fn refuse(&mut self) {
        let Some(reservation) = self.reservation.take() else { return };
        self.gateway.budget.settle(reservation, Amount::ZERO);
        self.link.account().refused(self.terms);
        self.pay();
    }

    /// It ended at a price that was checked to be at most what was counted. An answer without a byte never began.
    pub(crate) fn end(&mut self, price: Amount) {
        let Some(reservation) = self.reservation.take() else { return };
        self.gateway.budget.settle(reservation, price);
        let less = Amount(self.counted.0.saturating_sub(price.0));
        if self.begun {
            self.link.account().ended(self.terms, less);
        } else {
            self.link.account().refused(self.terms);
        }
        self.pay();
    }

    /// The worker breaks it off, and not we.
    pub(crate) fn broke_off(&mut self) {
        self.broken_by_worker = true;
    }

    fn pay(&self) {
        self.link.moved.notify_waiters();
        self.gateway.pay_soon(&self.link, &self.endpoint);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(reservation) = self.reservation.take() else { return };
        // The worker may have sent a chunk that did not come, and its prompt's price is owed once it has begun.
        let begun = if self.begun { self.counted } else { self.terms.prompt };
        let most = Amount(begun.0.saturating_add(self.terms.chunk.0)).min(reservation.amount);
        self.gateway.budget.settle(reservation, most);
        self.link.account().broke(self.terms, self.begun, !self.broken_by_worker);
        self.pay();
    }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
