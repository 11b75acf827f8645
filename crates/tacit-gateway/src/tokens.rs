//! Tokens: bought of a worker over a channel, ahead of the questions that they pay for (`specs/0013-unlinkable.md`).
//!
//! A purchase is a job whose query is what the worker is to sign, blinded, and it is sent, checked, paid and resumed as every other. Its voucher is signed once every token checks under the key
//! whose hash is on the ledger.
//!
//! # One key for all
//! A worker that sold each buyer tokens of a key of its own would know them again. So tokens are bought only under the key that the ledger lists, where everybody reads the same, and only once
//! it has stood there for a time ([`UnlinkablePolicy::key_age`]): others bought under it meanwhile, and no other can be listed for thirty days.

use core::time::Duration;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, IAsks, Privacy};
use tacit_wire::{
    Amount, Answer, JobHeader, JobId,
    blind::PublicKey,
    job::Payload,
    ledger::unix_time_s,
    message::{JobRequest, JobResponse, TokenKeyInfo, base64_bytes},
    token::{self, PURCHASE_TOKENS_MAX, TokenReject, TokenSecret},
};

use crate::{
    channel::Delivery,
    check::{self, AnswerReject, CheckedPurchase},
    deliver::{Sending, Undelivered},
    error::GatewayError,
    gateway::Gateway,
    market::{Offer, seller_of},
    store::{JobRecord, JobState, Purpose, TokenBalance},
};

/// How questions are asked that nobody can join to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlinkablePolicy {
    /// The relay that they go through, `http://host:port`; none: they are refused.
    pub relay: Option<String>,
    /// How long a token key must have been on the ledger.
    pub key_age: Duration,
}

impl Default for UnlinkablePolicy {
    /// No relay, and a day.
    fn default() -> Self {
        Self { relay: None, key_age: TOKEN_KEY_AGE }
    }
}

/// Tokens to buy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuyTokens {
    /// Name or id of a model: tokens are of a worker that serves it.
    pub model: String,
    /// How many.
    pub count: u32,
    /// Of this worker only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Address>,
    /// Most to pay for all of them; for each the gateway's default for an answer, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price: Option<Amount>,
}

/// Tokens that were bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokensBought {
    /// Of whom.
    pub worker: Address,
    /// How many.
    pub count: u32,
    /// What each pays for.
    pub token_price: Amount,
    /// What all of them cost.
    pub price: Amount,
    /// Name of the purchase.
    pub job_id: JobId,
}

/// Tokens of one worker and key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokensEntry {
    /// Whose.
    pub worker: Address,
    /// Id of their key.
    pub key_id: B256,
    /// How many were never shown to anybody.
    pub count: u64,
    /// How many were shown with a question that was refused, and are kept for that question.
    pub shown: u64,
    /// What each pays for; none where they are good no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_price: Option<Amount>,
    /// When they stop to be good, once the worker sells others; seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_until: Option<u64>,
}

/// What is kept of a purchase until it is answered.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    /// The model by which the worker was found, and is found again.
    pub model_id: B256,
    /// The key, as the worker gave it and the ledger's hash confirmed it.
    #[serde(with = "base64_bytes")]
    pub key: Vec<u8>,
    /// What makes tokens of the answer; nothing once it was made.
    pub secrets: Vec<TokenSecret>,
}

/// How long a key must have been on the ledger, where nobody says.
pub const TOKEN_KEY_AGE: Duration = Duration::from_secs(24 * 3600);

const KEY_BYTES_MAX: usize = 4096;
/// Accounts that are to be brought together once.
const ATTEMPTS: u32 = 2;

impl core::fmt::Debug for Purchase {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Purchase({} tokens)", self.secrets.len())
    }
}

impl Gateway {
    /// Buys tokens of a worker that serves a model. To ask with them is another matter, and should be another time.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn buy_tokens(&self, request: BuyTokens) -> Result<TokensBought, GatewayError> {
        let BuyTokens { model, count, worker, max_price } = request;
        let limit = PURCHASE_TOKENS_MAX;
        let length = usize::try_from(count).ok().filter(|count| (1..=limit).contains(count));
        let length = length.ok_or(GatewayError::TokenCount { limit })?;
        let model_id = self.resolve(&model).await?;
        let mut offers: Vec<Offer> = Vec::new();
        for offer in self.listing(&model, model_id).await?.asks.into_iter().filter_map(seller_of) {
            let asked = worker.is_none_or(|worker| worker == offer.worker);
            if asked && offers.iter().all(|known| known.worker != offer.worker) {
                offers.push(offer);
            }
        }
        let each = self.spending.max_price_default.0.checked_mul(u128::from(count)).map(Amount);
        let max_price = max_price.or(each).ok_or(GatewayError::Overflow)?;
        let mut failure = GatewayError::NoTokenSale;
        for offer in offers {
            match self.sale_of(&offer, count, max_price).await {
                Ok((listed, key)) => {
                    return self.buy_of(&model, model_id, &offer, &listed, key, length).await;
                }
                Err(error @ (GatewayError::Ledger(_) | GatewayError::Store(_))) => return Err(error),
                Err(GatewayError::NoTokenSale) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// What a worker sells tokens under, if they may be bought.
    async fn sale_of(
        &self,
        offer: &Offer,
        count: u32,
        max_price: Amount,
    ) -> Result<(IAsks::Tokens, PublicKey), GatewayError> {
        let worker = offer.worker;
        if let Some(distrust) = self.store.distrust(worker)? {
            return Err(GatewayError::Distrusted { worker, reason: distrust.message });
        }
        let listed = self.ledger.tokens(worker).await?;
        if listed.keyHash.is_zero() {
            return Err(GatewayError::NoTokenSale);
        }
        let old_enough = listed.since.saturating_add(self.unlinkable.key_age.as_secs());
        if unix_time_s() < old_enough {
            return Err(GatewayError::YoungTokenKey { worker, opens_at: old_enough });
        }
        let price = listed.price.checked_mul(u128::from(count)).map(Amount).ok_or(GatewayError::Overflow)?;
        if price > max_price {
            return Err(GatewayError::TooExpensive { cheapest: price, max_price });
        }
        let url = format!("{}/v1/token-key", offer.endpoint);
        let unreachable =
            |source| GatewayError::Unreachable { worker, job_id: None, source: Box::new(source) };
        let info: TokenKeyInfo = self.http.get(&url, KEY_BYTES_MAX).await.map_err(unreachable)?;
        let key = token::decode_key(&info.key).ok().filter(|key| token::key_id(key) == listed.keyHash);
        Ok((listed, key.ok_or(GatewayError::TokenKeyMismatch { worker })?))
    }

    async fn buy_of(
        &self,
        model: &str,
        model_id: B256,
        offer: &Offer,
        listed: &IAsks::Tokens,
        key: PublicKey,
        count: usize,
    ) -> Result<TokensBought, GatewayError> {
        let worker = offer.worker;
        let sold = u32::try_from(count).map_err(|_| GatewayError::Overflow)?;
        let price = listed.price.checked_mul(u128::from(sold)).map(Amount).ok_or(GatewayError::Overflow)?;
        let lane = self.lane(worker);
        let _alone = lane.lock().await;
        for _ in 0..ATTEMPTS {
            let (channel_id, channel) = self.ready_channel(offer, price).await?;
            let header = JobHeader {
                chain_id: self.ledger.chain_id(),
                job_id: JobId::random(),
                model_id: listed.keyHash,
                channel_id,
                client: self.address(),
                worker,
                privacy: Privacy::Encrypted,
                evidence: Evidence::Signed,
                price,
                cumulative: channel.signed.checked_add(price).ok_or(GatewayError::Overflow)?,
            };
            let job = self.make_purchase(model, model_id, offer, header, &key, count)?;
            self.store.put_sent(&job)?;
            match self.deliver(&job, Sending::First).await {
                Ok(_) => {
                    let (job_id, token_price) = (header.job_id, Amount(listed.price));
                    return Ok(TokensBought { worker, count: sold, token_price, price, job_id });
                }
                Err(Undelivered::Retry) => {}
                Err(Undelivered::Failed(error)) => return Err(error),
            }
        }
        Err(GatewayError::StalePrice { worker })
    }

    fn make_purchase(
        &self,
        model: &str,
        model_id: B256,
        offer: &Offer,
        header: JobHeader,
        key: &PublicKey,
        count: usize,
    ) -> Result<JobRecord, GatewayError> {
        let about = token::challenge(header.chain_id, header.worker);
        let secrets: Vec<TokenSecret> = (0..count).map(|_| TokenSecret::random(key)).collect();
        let mut query = Vec::new();
        for secret in &secrets {
            query.extend_from_slice(&secret.request(key, about).map_err(|_| GatewayError::Internal)?);
        }
        let (payload, _) = Payload::encrypted(query)?;
        let signature = self.wallet.sign_digest(header.digest(&payload));
        Ok(JobRecord {
            fingerprint: B256::ZERO,
            model: model.to_owned(),
            endpoint: offer.endpoint.clone(),
            request: JobRequest { header, payload, signature },
            values: Vec::new(),
            response_key: None,
            encrypted: None,
            purpose: Purpose::default(),
            sent_at: unix_time_s(),
            max_price: None,
            purchase: Some(Purchase { model_id, key: token::encode_key(key), secrets }),
            prepaid: None,
            attested: None,
            state: JobState::Sent,
        })
    }

    /// Checks what answers a purchase; only if every token does is a voucher signed, kept with them, and handed over.
    pub(crate) async fn receive_tokens(
        &self,
        job: &JobRecord,
        purchase: &Purchase,
        response: JobResponse,
    ) -> Result<Delivery, GatewayError> {
        let (header, query) = (job.request.header, job.request.payload.body().to_vec());
        let purchase = purchase.clone();
        let checking = move || -> Result<CheckedPurchase, AnswerReject> {
            if response.job_id != header.job_id {
                return Err(AnswerReject::WrongJob);
            }
            let signed = check::check_blind(&header, &query, Answer::decode(&response.body)?)?;
            let key = token::decode_key(&purchase.key)?;
            let about = token::challenge(header.chain_id, header.worker);
            let signatures = token::decode_responses(signed.signatures(), purchase.secrets.len())?;
            let tokens = purchase.secrets.iter().zip(&signatures);
            let tokens: Result<_, TokenReject> =
                tokens.map(|(secret, signature)| secret.finish(&key, about, signature)).collect();
            Ok(signed.with_tokens(tokens?))
        };
        let checked = tokio::task::spawn_blocking(checking).await.map_err(|_| GatewayError::Internal)?;
        let checked = match checked {
            Ok(checked) => checked,
            Err(reject) => return Err(self.reject(job, reject)?),
        };
        let voucher = checked.sign_voucher(&self.wallet);
        self.store.put_bought(job, checked.tokens(), &voucher)?;
        let channel = self.store.channel(header.channel_id)?.ok_or(GatewayError::Internal)?;
        self.deliver_voucher(&job.endpoint, header.channel_id, &channel).await
    }

    /// Tokens that are there, with what they are good for as the ledger says now.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn tokens(&self) -> Result<Vec<TokensEntry>, GatewayError> {
        let mut entries = Vec::new();
        for TokenBalance { worker, key_id, fresh, shown } in self.store.token_balances()? {
            let listed = self.ledger.tokens(worker).await?;
            let token_price = listed.price_of(key_id, unix_time_s()).map(Amount);
            let good_until = (listed.previousKeyHash == key_id).then_some(listed.previousUntil);
            entries.push(TokensEntry { worker, key_id, count: fresh, shown, token_price, good_until });
        }
        Ok(entries)
    }
}
