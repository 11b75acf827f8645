//! Prepaid tokens: sold over a channel, taken for payment from whoever shows one (`specs/0013-unlinkable.md`).
//!
//! A purchase is a job: the model is the token key, the query is what is to be signed and cannot be read, the answer is the blind signatures. So it is accounted as
//! any other job: on disk before it is answered, the same bytes for the same id, one unpaid on a channel at most.
//!
//! A job that tokens pay for names no channel and nobody's account. Its tokens are spent in the transaction that keeps its answer: no crash spends one without an answer, or
//! answers twice for one. What is being computed holds its tokens meanwhile, so that one token buys one computation.
//!
//! # What is kept of a token
//! Its hash and the job that it paid for, for as long as the ledger lists its key. Nothing joins it to a purchase: the signer saw it behind a factor that explains every token equally well
//! ([`tacit_wire::blind`]).

use std::{path::Path, sync::Arc};

use alloy_primitives::B256;
use tacit_abi::{Evidence, IAsks, Privacy};
use tacit_wire::{
    Amount, AnswerEvidence, EngineTime, JobHeader, JobId, KeyFileError, Output, Salts,
    blind::SecretKey,
    job::{Payload, ReturnPath},
    message::{JobRequest, JobResponse, PrepaidRequest, TokenKeyInfo},
    token::{self, Token, TokenReject},
};

use crate::{
    job::{Admitted, Payment, Reservation},
    quota::Day,
    reject::JobReject,
    worker::{Worker, WorkerError},
};

/// What a worker sells tokens under.
#[expect(missing_debug_implementations, reason = "it holds secret keys")]
pub struct TokenSale {
    /// Signs what is sold.
    pub key: SecretKey,
    /// Signed what was sold before, which is still good for a time.
    pub previous: Option<SecretKey>,
    /// What a token costs, and pays for.
    pub price: Amount,
}

/// A token that a job pays with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// The key it is under.
    pub key_id: B256,
    /// Its hash.
    pub token: B256,
}

/// Tokens that can pay.
pub(crate) struct Shown {
    pub(crate) spent: Vec<Spent>,
    /// Id of their key.
    pub(crate) key_id: B256,
    /// What each is good for.
    pub(crate) price: u128,
}

impl TokenSale {
    /// The sale whose keys are in a folder: `tokens.key`, made first where it is missing, and `tokens.previous.key`, where it is there. A new key is begun by renaming the one to the
    /// other.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn open(folder: &Path, price: Amount) -> Result<Self, KeyFileError> {
        let previous = folder.join("tokens.previous.key");
        Ok(Self {
            key: SecretKey::load_or_create(&folder.join("tokens.key"))?,
            previous: if previous.exists() { Some(SecretKey::load(&previous)?) } else { None },
            price,
        })
    }

    pub(crate) fn key_of(&self, key_id: B256) -> Option<&SecretKey> {
        [Some(&self.key), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| token::key_id(key.public()) == key_id)
    }
}

impl Worker {
    /// What tokens are sold under.
    ///
    /// # Errors
    /// [`JobReject::NotFound`] where none are.
    pub(crate) fn token_key(&self) -> Result<TokenKeyInfo, JobReject> {
        let sale = self.tokens.as_ref().ok_or(JobReject::NotFound)?;
        Ok(TokenKeyInfo { key: token::encode_key(sale.key.public()) })
    }

    /// The sale that a job asks for, if it is one.
    pub(crate) fn sale(&self, header: &JobHeader) -> Option<&TokenSale> {
        self.tokens.as_ref().filter(|sale| token::key_id(sale.key.public()) == header.model_id)
    }

    /// Sells tokens. The caller knows that this job was not answered before.
    pub(crate) async fn sell(self: &Arc<Self>, request: JobRequest) -> Result<JobResponse, JobReject> {
        if self.is_drained() {
            return Err(JobReject::Draining);
        }
        let (header, job_id) = (request.header, request.header.job_id);
        self.check_addressed(header.chain_id, header.worker)?;
        let sale = self.sale(&header).ok_or(JobReject::UnknownModel { model_id: header.model_id })?;
        let (privacy, evidence) = (header.privacy, header.evidence);
        let Payload::Encrypted { body } = &request.payload else {
            return Err(JobReject::UnsupportedMode { privacy, evidence });
        };
        if (privacy, evidence) != (Privacy::Encrypted, Evidence::Signed) {
            return Err(JobReject::UnsupportedMode { privacy, evidence });
        }
        let blinded = token::decode_requests(body, sale.key.public())?;
        let count = u128::try_from(blinded.len()).unwrap_or(u128::MAX);
        // As everybody reads it: a price of one's own would tell a buyer's tokens from others'.
        let listed = self.ledger.tokens(self.address()).await.map_err(JobReject::Ledger)?;
        if listed.keyHash != header.model_id {
            return Err(JobReject::UnknownModel { model_id: header.model_id });
        }
        let expected = listed.price.checked_mul(count).map(Amount).unwrap_or(Amount(u128::MAX));
        if header.price != expected {
            return Err(JobReject::StalePrice { expected, got: header.price });
        }
        let (channel, reservation) = self.admit_channel(&request).await?;
        let place = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| JobReject::Busy)?;
        let worker = Arc::clone(self);
        let signing = tokio::task::spawn_blocking(move || {
            let sale = worker.tokens.as_ref().ok_or(JobReject::Internal)?;
            let mut signed = Vec::new();
            for blinded in &blinded {
                signed.extend_from_slice(&sale.key.sign(blinded).map_err(TokenReject::from)?);
            }
            let salts = Salts::random();
            let Payload::Encrypted { body } = &request.payload else { return Err(JobReject::Internal) };
            let input = salts.commit_query(body);
            let digest = header.digest(&request.payload);
            let (output, time) = (Output::Ciphertext(signed), EngineTime::default());
            let parts = (output, AnswerEvidence::None, salts);
            let (job, body, _) =
                worker.sign_answer(&header, digest, input, parts, time, &ReturnPath::Clear)?;
            let day = Day::of(worker.clock.unix_time_s());
            worker.store.put_answer(job_id, &job, &body, channel, day, None)?;
            drop((reservation, place));
            Ok::<_, JobReject>(body)
        });
        let body = signing.await.map_err(|_| JobReject::Internal)??;
        Ok(JobResponse { job_id, body })
    }

    /// Answers a job that tokens pay for, or says why not. Asking again with the same request gives the same bytes.
    ///
    /// # Errors
    /// [`JobReject`].
    pub async fn answer_prepaid(self: &Arc<Self>, request: PrepaidRequest) -> Result<JobResponse, JobReject> {
        let job_id = request.job.header.job_id;
        if let Some(body) = self.answered(&request.job)? {
            return Ok(JobResponse { job_id, body });
        }
        let admitted = self.admit_prepaid(request).await?;
        self.compute_beside(job_id, admitted).await
    }

    async fn admit_prepaid(self: &Arc<Self>, request: PrepaidRequest) -> Result<Admitted, JobReject> {
        if self.is_drained() {
            return Err(JobReject::Draining);
        }
        let PrepaidRequest { job: JobRequest { header, payload, signature }, tokens } = request;
        let model = self.check_terms(&header, &payload)?.clone();
        let (privacy, evidence) = (header.privacy, header.evidence);
        match (privacy, evidence) {
            (Privacy::Clear | Privacy::Sealed, Evidence::Signed | Evidence::Proved) => {}
            // The others need more of a client than one request.
            _ => return Err(JobReject::UnsupportedMode { privacy, evidence }),
        }
        let digest = header.digest(&payload);
        let signer = header.signer(&payload, &signature)?;
        if signer != header.client {
            return Err(JobReject::NotSigner { expected: header.client, got: signer });
        }
        if header.cumulative != header.price {
            return Err(JobReject::WrongCumulative { expected: header.price, got: header.cumulative });
        }
        // A client of one question has a day's quota for it: such a limit would hold nobody.
        if model.quota().per_client.is_some() {
            return Err(JobReject::NoTokens);
        }
        if header.channel_id != token::payment_id(&tokens) {
            return Err(JobReject::OtherPayment);
        }
        let as_many = |got, token_price| {
            let expected = token::tokens_for(header.price.0, token_price).ok_or(JobReject::NoTokens)?;
            if got == expected { Ok(()) } else { Err(JobReject::WrongPayment { expected, got }) }
        };
        let Shown { spent, .. } = self.check_tokens(tokens, as_many).await?;
        let reservation = self.reserve_tokens(&spent, header.job_id)?;
        if self.store.job(header.job_id)?.is_some() {
            return Err(JobReject::InProgress { job_id: header.job_id });
        }
        if self.store.is_any_spent(&spent)? {
            return Err(JobReject::TokenSpent);
        }
        let counting = self.count(&header, &model)?;
        let place = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| JobReject::Busy)?;
        let opened = self.open_payload(header, &payload, &model).await?;
        let payment = Payment::Tokens(spent);
        Ok(Admitted::new(opened, digest, model, payment, reservation, counting, place))
    }

    /// Whether these tokens can pay: of one key that the ledger lists, as many as `as_many` wants at their price, none twice, each signed.
    pub(crate) async fn check_tokens(
        self: &Arc<Self>,
        tokens: Vec<Token>,
        as_many: impl FnOnce(usize, u128) -> Result<(), JobReject>,
    ) -> Result<Shown, JobReject> {
        if self.tokens.is_none() {
            return Err(JobReject::NoTokens);
        }
        let key_id = tokens.first().ok_or(JobReject::OtherPayment)?.key_id();
        let listed = self.ledger.tokens(self.address()).await.map_err(JobReject::Ledger)?;
        let price = listed.price_of(key_id, self.clock.unix_time_s()).ok_or(TokenReject::Key)?;
        as_many(tokens.len(), price)?;
        let spent: Vec<Spent> =
            tokens.iter().map(|token| Spent { key_id, token: token.spent_id() }).collect();
        let twice = |(at, token): (usize, &Spent)| spent.iter().skip(at + 1).any(|other| other == token);
        if spent.iter().enumerate().any(twice) {
            return Err(JobReject::TokenSpent);
        }
        let (worker, chain_id) = (Arc::clone(self), self.ledger.chain_id());
        let checking = tokio::task::spawn_blocking(move || {
            let sale = worker.tokens.as_ref().ok_or(JobReject::NoTokens)?;
            let key = sale.key_of(key_id).ok_or(TokenReject::Key)?.public();
            for token in &tokens {
                token.verify(key, chain_id, worker.address())?;
            }
            Ok::<_, JobReject>(())
        });
        checking.await.map_err(|_| JobReject::Internal)??;
        Ok(Shown { spent, key_id, price })
    }

    /// Holds tokens for one job.
    pub(crate) fn reserve_tokens(
        self: &Arc<Self>,
        spent: &[Spent],
        job_id: JobId,
    ) -> Result<Reservation, JobReject> {
        let mut busy = self.busy();
        for token in spent {
            match busy.get(&token.token) {
                Some(running) if *running == job_id => return Err(JobReject::InProgress { job_id }),
                Some(_) => return Err(JobReject::TokenSpent),
                None => {}
            }
        }
        // Ids are the clients' choice: one that names another's job must not come between it and its answer.
        if busy.values().any(|running| *running == job_id) {
            return Err(JobReject::InProgress { job_id });
        }
        busy.extend(spent.iter().map(|token| (token.token, job_id)));
        Ok(Reservation::of(Arc::clone(self), spent.iter().map(|token| token.token).collect()))
    }

    /// Lists the token key, where it is not listed yet, and forgets what was spent under keys that are good no more.
    pub(crate) async fn list_tokens(&self) -> Result<(), WorkerError> {
        let Some(sale) = &self.tokens else { return Ok(()) };
        let ours = token::key_id(sale.key.public());
        let mut listed = self.ledger.tokens(self.address()).await?;
        if listed.keyHash == ours && listed.price != sale.price.0 {
            return Err(WorkerError::TokenPrice { listed: Amount(listed.price), wanted: sale.price });
        }
        if listed.keyHash != ours {
            self.ledger.set_tokens(&self.wallet, ours, sale.price).await?;
            listed = self.ledger.tokens(self.address()).await?;
        }
        let IAsks::Tokens { keyHash, previousKeyHash, previousUntil, .. } = listed;
        let mut kept = vec![keyHash];
        // A clock that is wrong by a day forgets nothing too early.
        if self.clock.unix_time_s() <= previousUntil.saturating_add(FORGET_AFTER_S) {
            kept.push(previousKeyHash);
        }
        Ok(self.store.forget_spent(&kept)?)
    }
}

const FORGET_AFTER_S: u64 = 24 * 3600;
