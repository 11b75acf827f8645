//! A thin client of the ledger's standard JSON-RPC: calls, transactions, and the modules' methods by name.
//!
//! Nothing is remembered but the chain id. Transactions of one client object go one at a time, each waiting until the
//! one before is in a block, so that nonces neither collide nor leave gaps.

mod beacons;
mod covers;
mod disputes;
mod history;
mod policies;

use core::time::Duration;
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::SolCall;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tacit_abi::{
    IAsks, IChannels, IModels, IReceipts, IStakes, asks,
    channels::{self, SignedVoucher},
    models, receipts, stakes,
};
use tokio::{sync::Mutex, time::Instant};

use crate::{Amount, Revert, Wallet, http::HttpError, rpc::RpcClient};

pub use covers::period_at;
pub use disputes::{LOG_PAGE_BLOCKS, challenge_id, receipt_digest};
pub use history::{HistoryError, WorkerHistory};

/// A ledger at an address. Cloning it is cheap and shares the transaction queue.
#[derive(Debug, Clone)]
pub struct LedgerClient {
    rpc: RpcClient,
    chain_id: u64,
    sending: Arc<Mutex<()>>,
}

/// Why the ledger did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The ledger cannot be reached or read.
    #[error("the ledger cannot be used: {0}")]
    Http(#[from] HttpError),
    /// The ledger refused the request itself.
    #[error("the ledger refused: {message}")]
    Rpc {
        /// JSON-RPC code.
        code: i64,
        /// What it said.
        message: String,
    },
    /// A module or contract reverted.
    #[error("{0}")]
    Reverted(Revert),
    /// The answer does not have the agreed form.
    #[error("the ledger answered {method} with something else than expected")]
    Malformed {
        /// Which method.
        method: &'static str,
    },
    /// The account cannot pay value and gas.
    #[error("{address} has {balance}, and {needed} is needed")]
    InsufficientFunds {
        /// Whose account.
        address: Address,
        /// What it holds.
        balance: Amount,
        /// Value and the most that gas may cost.
        needed: Amount,
    },
    /// The transaction is in a block and failed, without a reason that can be found.
    #[error("transaction {hash} failed")]
    Failed {
        /// Its hash.
        hash: B256,
    },
    /// The transaction was sent and is in no block yet.
    #[error("transaction {hash} is not in a block after {waited_s} s")]
    NotMined {
        /// Its hash.
        hash: B256,
        /// How long we waited.
        waited_s: u64,
    },
    /// Another transaction of the account has its nonce, so it will never be in a block: the node did not know of the other one yet.
    #[error("transaction {hash} is void: another one of this account took its place")]
    Displaced {
        /// Its hash.
        hash: B256,
    },
    /// The node has no signature of the validators over this very block.
    #[error("the node has no certificate of block {number} itself")]
    NotCertified {
        /// Which block.
        number: u64,
    },
    /// An amount does not fit.
    #[error("the amount is too large for the ledger")]
    Overflow,
}

/// A transaction in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mined {
    /// Transaction hash.
    pub hash: B256,
    /// Block that holds it.
    pub block: u64,
    /// Gas it used.
    pub gas_used: u64,
}

/// A published model with what is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The registry's record.
    pub model: IModels::Model,
    /// Asks that are live ([`IAsks::Ask::is_live`]), up to a limit.
    pub asks: Vec<IAsks::Ask>,
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
const MINED_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_FIRST: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(500);
const REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most gas that a transaction may ask for (EIP-7825).
const TRANSACTION_GAS_MAX: u64 = 1 << 24;
const LISTINGS_MAX: u64 = 1_000;
/// Asks on one model that are read, page by page.
const ASKS_READ_MAX: u64 = 4_096;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    block_number: U256,
    gas_used: U256,
    status: U256,
}

impl LedgerClient {
    /// Connects to the JSON-RPC at `url` and learns its chain id.
    ///
    /// # Errors
    /// [`LedgerError`] when it does not answer.
    pub async fn connect(url: &str) -> Result<Self, LedgerError> {
        let rpc = RpcClient::new(url, REQUEST_TIMEOUT)?;
        let mut client = Self { rpc, chain_id: 0, sending: Arc::default() };
        client.chain_id = client.quantity("eth_chainId", json!([])).await?;
        Ok(client)
    }

    /// The ledger's chain id.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.rpc.url()
    }

    /// Bytes that prove a transaction's receipt to a light client; `None` when it is in no block, or the node has no
    /// certificate of its block.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn receipt_proof(&self, transaction: B256) -> Result<Option<Bytes>, LedgerError> {
        self.request_optional("tacit_getReceiptProof", json!([transaction])).await
    }

    /// Number of the latest block.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn block_number(&self) -> Result<u64, LedgerError> {
        self.quantity("eth_blockNumber", json!([])).await
    }

    /// What a unit of gas costs now.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn gas_price(&self) -> Result<Amount, LedgerError> {
        self.quantity("eth_gasPrice", json!([])).await.map(Amount)
    }

    /// What an account holds.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn balance(&self, address: Address) -> Result<Amount, LedgerError> {
        let balance: U256 = self.request("eth_getBalance", json!([address, "latest"])).await?;
        u128::try_from(balance).map(Amount).map_err(|_| LedgerError::Overflow)
    }

    /// Calls a view method.
    ///
    /// # Errors
    /// [`LedgerError::Reverted`] with the module's reason, and the rest of [`LedgerError`].
    pub async fn call<C: SolCall + Sync>(&self, to: Address, call: &C) -> Result<C::Return, LedgerError> {
        self.call_at("latest", to, call).await
    }

    /// Calls a view method as the next block would see it: where nothing happens, time passes all the same.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn call_next<C: SolCall + Sync>(
        &self,
        to: Address,
        call: &C,
    ) -> Result<C::Return, LedgerError> {
        self.call_at("pending", to, call).await
    }

    async fn call_at<C: SolCall + Sync>(
        &self,
        block: &str,
        to: Address,
        call: &C,
    ) -> Result<C::Return, LedgerError> {
        let data = Bytes::from(call.abi_encode());
        let returned: Bytes = self.request("eth_call", json!([{ "to": to, "data": data }, block])).await?;
        C::abi_decode_returns_validate(&returned).map_err(|_| LedgerError::Malformed { method: "eth_call" })
    }

    /// Sends a transaction and waits until it is in a block.
    ///
    /// # Errors
    /// [`LedgerError::Reverted`] before anything is sent when the call would revert; [`LedgerError::NotMined`] when its
    /// fate is open; the rest of [`LedgerError`].
    pub async fn send(
        &self,
        wallet: &Wallet,
        to: Address,
        value: Amount,
        input: Vec<u8>,
    ) -> Result<Mined, LedgerError> {
        let _one_at_a_time = self.sending.lock().await;
        let from = wallet.address();
        let input = Bytes::from(input);
        let value = U256::from(value.0);
        let call = json!({ "from": from, "to": to, "value": value, "data": input });
        let price: u128 = self.quantity("eth_gasPrice", json!([])).await?;
        let tip: u128 = self.quantity("eth_maxPriorityFeePerGas", json!([])).await?;
        let gas = match self.quantity::<u64>("eth_estimateGas", json!([call])).await {
            // Where a node does not know the account's last transaction yet, the same call has the same nonce. It must not be the same
            // transaction, which would look as if it had been sent twice.
            Ok(gas) => gas
                .saturating_add(gas / 4)
                .saturating_add(rand::random_range(1_000..2_000))
                .min(gas.max(TRANSACTION_GAS_MAX)),
            Err(LedgerError::Rpc { code, message }) => {
                return Err(self.explain_funds(from, value, price, LedgerError::Rpc { code, message }).await);
            }
            Err(error) => return Err(error),
        };
        let fee = price.saturating_mul(2).max(tip);
        let needed = U256::from(gas).saturating_mul(U256::from(fee)).saturating_add(value);
        let held = self.balance(from).await?;
        if U256::from(held.0) < needed {
            let needed = u128::try_from(needed).map(Amount).map_err(|_| LedgerError::Overflow)?;
            return Err(LedgerError::InsufficientFunds { address: from, balance: held, needed });
        }
        let nonce: u64 = self.quantity("eth_getTransactionCount", json!([from, "pending"])).await?;
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce,
            gas_limit: gas,
            max_fee_per_gas: fee,
            max_priority_fee_per_gas: tip,
            to: TxKind::Call(to),
            value,
            access_list: alloy_eips::eip2930::AccessList::default(),
            input,
        };
        let signature = wallet.sign_raw(transaction.signature_hash());
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        let hash = *envelope.tx_hash();
        let raw = Bytes::from(envelope.encoded_2718());
        let sent: B256 = self.request("eth_sendRawTransaction", json!([raw])).await?;
        if sent != hash {
            return Err(LedgerError::Malformed { method: "eth_sendRawTransaction" });
        }
        self.wait(hash, (from, nonce), &call).await
    }

    /// A call that fails because the sender is poor says so, however the node words it.
    async fn explain_funds(
        &self,
        from: Address,
        value: U256,
        price: u128,
        error: LedgerError,
    ) -> LedgerError {
        const PLAIN_CALL_GAS: u64 = 21_000;
        let needed = U256::from(PLAIN_CALL_GAS).saturating_mul(U256::from(price)).saturating_add(value);
        match (self.balance(from).await, u128::try_from(needed)) {
            (Ok(balance), Ok(needed)) if balance.0 < needed => {
                LedgerError::InsufficientFunds { address: from, balance, needed: Amount(needed) }
            }
            _ => error,
        }
    }

    async fn wait(
        &self,
        hash: B256,
        (from, nonce): (Address, u64),
        call: &Value,
    ) -> Result<Mined, LedgerError> {
        let start = Instant::now();
        let mut pause = POLL_FIRST;
        loop {
            // In this order: once the account has passed the nonce, the receipt is there or never will be.
            let passed = pause >= POLL_MAX && {
                let next: u64 = self.quantity("eth_getTransactionCount", json!([from, "latest"])).await?;
                next > nonce
            };
            let found: Option<Receipt> =
                self.request_optional("eth_getTransactionReceipt", json!([hash])).await?;
            if let Some(receipt) = found {
                return self.mined(hash, &receipt, call).await;
            }
            if passed {
                return Err(LedgerError::Displaced { hash });
            }
            if start.elapsed() > MINED_TIMEOUT {
                return Err(LedgerError::NotMined { hash, waited_s: MINED_TIMEOUT.as_secs() });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    async fn mined(&self, hash: B256, receipt: &Receipt, call: &Value) -> Result<Mined, LedgerError> {
        let malformed = |_| LedgerError::Malformed { method: "eth_getTransactionReceipt" };
        if receipt.status.is_zero() {
            // The state has moved on, but most failures repeat themselves and then say why.
            let again = self.request::<Bytes>("eth_call", json!([call, "latest"])).await;
            return Err(match again {
                Err(error @ LedgerError::Reverted(_)) => error,
                _ => LedgerError::Failed { hash },
            });
        }
        Ok(Mined {
            hash,
            block: u64::try_from(receipt.block_number).map_err(malformed)?,
            gas_used: u64::try_from(receipt.gas_used).map_err(malformed)?,
        })
    }

    async fn quantity<N: TryFrom<U256>>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<N, LedgerError> {
        let number: U256 = self.request(method, params).await?;
        N::try_from(number).map_err(|_| LedgerError::Malformed { method })
    }

    async fn request<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<R, LedgerError> {
        self.request_optional(method, params).await?.ok_or(LedgerError::Malformed { method })
    }

    async fn request_optional<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<Option<R>, LedgerError> {
        self.rpc.ask(method, params, REPLY_BYTES_MAX).await
    }
}

/// The modules, method by method.
impl LedgerClient {
    /// Sends coins.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn transfer(&self, wallet: &Wallet, to: Address, amount: Amount) -> Result<Mined, LedgerError> {
        self.send(wallet, to, amount, Vec::new()).await
    }

    /// The model published under `name`.
    ///
    /// # Errors
    /// [`LedgerError::Reverted`] when there is none.
    pub async fn model_by_name(&self, name: &str) -> Result<B256, LedgerError> {
        self.call(models::ADDRESS, &IModels::byNameCall { name: name.to_owned() }).await
    }

    /// A model and what is asked for it.
    ///
    /// # Errors
    /// [`LedgerError::Reverted`] when it is not published.
    pub async fn listing(&self, model_id: B256) -> Result<Listing, LedgerError> {
        let model = self.call(models::ADDRESS, &IModels::modelCall { modelId: model_id }).await?;
        let asks = self.asks(model_id).await?;
        Ok(Listing { model, asks })
    }

    /// Every published model, oldest first, up to a limit.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn listings(&self) -> Result<Vec<Listing>, LedgerError> {
        let count: u64 = self.call(models::ADDRESS, &IModels::countCall {}).await?;
        let mut listings = Vec::new();
        for index in 0..count.min(LISTINGS_MAX) {
            let model = self.call(models::ADDRESS, &IModels::modelAtCall { index }).await?;
            let asks = self.asks(model.modelId).await?;
            listings.push(Listing { model, asks });
        }
        Ok(listings)
    }

    /// Publishes a model under a name.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn publish(
        &self,
        wallet: &Wallet,
        model_id: B256,
        weight_root: B256,
        name: &str,
    ) -> Result<Mined, LedgerError> {
        let call = IModels::publishCall { modelId: model_id, weightRoot: weight_root, name: name.to_owned() };
        self.send(wallet, models::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// Asks on a model that are live: they have not ended, stake backs them, and their workers were there a moment ago. Up to a limit.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn asks(&self, model_id: B256) -> Result<Vec<IAsks::Ask>, LedgerError> {
        let now = unix_time_s();
        let mut asks = self.every_ask(model_id).await?;
        asks.retain(|ask| ask.is_live(now));
        Ok(asks)
    }

    /// Asks on a model, live or not, up to a limit.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn every_ask(&self, model_id: B256) -> Result<Vec<IAsks::Ask>, LedgerError> {
        let (mut found, mut from) = (Vec::new(), 0);
        while from < ASKS_READ_MAX {
            let call = IAsks::pageCall { modelId: model_id, from, limit: asks::PAGE_MAX };
            let page = self.call(asks::ADDRESS, &call).await?;
            let is_last = page.len() < usize::try_from(asks::PAGE_MAX).unwrap_or(usize::MAX);
            found.extend(page);
            if is_last {
                break;
            }
            from = from.saturating_add(u64::from(asks::PAGE_MAX));
        }
        Ok(found)
    }

    /// A worker's asks, live or not, each with its model, up to the limits of [`Self::listings`].
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn asks_of(&self, worker: Address) -> Result<Vec<(B256, IAsks::Ask)>, LedgerError> {
        let count: u64 = self.call(models::ADDRESS, &IModels::countCall {}).await?;
        let mut found = Vec::new();
        for index in 0..count.min(LISTINGS_MAX) {
            let model_id = self.call(models::ADDRESS, &IModels::modelAtCall { index }).await?.modelId;
            let asks = self.every_ask(model_id).await?;
            found.extend(asks.into_iter().filter(|ask| ask.worker == worker).map(|ask| (model_id, ask)));
        }
        Ok(found)
    }

    /// Says that this wallet's worker is there.
    ///
    /// # Errors
    /// [`LedgerError::Reverted`] with `BeatTooSoon` when it has said so in this hour, and the rest of [`LedgerError`].
    pub async fn beat(&self, wallet: &Wallet) -> Result<Mined, LedgerError> {
        self.send(wallet, asks::ADDRESS, Amount::ZERO, IAsks::beatCall {}.abi_encode()).await
    }

    /// Sets this wallet's ask.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn set_ask(
        &self,
        wallet: &Wallet,
        model_id: B256,
        terms: IAsks::Terms,
    ) -> Result<Mined, LedgerError> {
        let call = IAsks::setCall { modelId: model_id, terms };
        self.send(wallet, asks::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// Takes this wallet's ask back.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn remove_ask(
        &self,
        wallet: &Wallet,
        model_id: B256,
        privacy: u8,
        evidence: u8,
    ) -> Result<Mined, LedgerError> {
        let call = IAsks::removeCall { modelId: model_id, privacy, evidence };
        self.send(wallet, asks::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// What a worker sells prepaid tokens under.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn tokens(&self, worker: Address) -> Result<IAsks::Tokens, LedgerError> {
        self.call(asks::ADDRESS, &IAsks::tokensCall { worker }).await
    }

    /// Sells tokens under another key from now on.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn set_tokens(
        &self,
        wallet: &Wallet,
        key_hash: B256,
        price: Amount,
    ) -> Result<Mined, LedgerError> {
        let call = IAsks::setTokensCall { keyHash: key_hash, price: price.0 };
        self.send(wallet, asks::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// What a worker has at stake.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn stake_of(&self, worker: Address) -> Result<IStakes::Stake, LedgerError> {
        self.call(stakes::ADDRESS, &IStakes::stakeOfCall { worker }).await
    }

    /// Adds to this wallet's stake.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn bond(&self, wallet: &Wallet, amount: Amount) -> Result<Mined, LedgerError> {
        self.send(wallet, stakes::ADDRESS, amount, IStakes::bondCall {}.abi_encode()).await
    }

    /// Begins to take stake home.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn unbond(&self, wallet: &Wallet, amount: Amount) -> Result<Mined, LedgerError> {
        let call = IStakes::unbondCall { amount: amount.0 };
        self.send(wallet, stakes::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// Takes home what is no longer bonded.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn withdraw_stake(&self, wallet: &Wallet) -> Result<Mined, LedgerError> {
        self.send(wallet, stakes::ADDRESS, Amount::ZERO, IStakes::withdrawCall {}.abi_encode()).await
    }

    /// A channel as it stands.
    ///
    /// # Errors
    /// [`LedgerError::Reverted`] with `UnknownChannel` when there is none.
    pub async fn channel(&self, channel_id: B256) -> Result<IChannels::Channel, LedgerError> {
        self.call(channels::ADDRESS, &IChannels::channelCall { channelId: channel_id }).await
    }

    /// Opens a channel whose vouchers the wallet itself signs.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn open_channel(
        &self,
        wallet: &Wallet,
        worker: Address,
        salt: B256,
        deposit: Amount,
    ) -> Result<Mined, LedgerError> {
        let call = IChannels::openCall { worker, signer: wallet.address(), salt };
        self.send(wallet, channels::ADDRESS, deposit, call.abi_encode()).await
    }

    /// Adds to a channel's deposit.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn top_up(
        &self,
        wallet: &Wallet,
        channel_id: B256,
        amount: Amount,
    ) -> Result<Mined, LedgerError> {
        let call = IChannels::topUpCall { channelId: channel_id };
        self.send(wallet, channels::ADDRESS, amount, call.abi_encode()).await
    }

    /// Pays the worker of a channel what a voucher promises.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn settle(&self, wallet: &Wallet, signed: &SignedVoucher) -> Result<Mined, LedgerError> {
        let call = IChannels::settleCall {
            channelId: signed.voucher.channelId,
            cumulative: signed.voucher.cumulative,
            signature: signed.signature.clone(),
        };
        self.send(wallet, channels::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// As the client: starts the grace period.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn request_close(&self, wallet: &Wallet, channel_id: B256) -> Result<Mined, LedgerError> {
        let call = IChannels::requestCloseCall { channelId: channel_id };
        self.send(wallet, channels::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// As the client, after grace: takes back what is left.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn close(&self, wallet: &Wallet, channel_id: B256) -> Result<Mined, LedgerError> {
        let call = IChannels::closeCall { channelId: channel_id };
        self.send(wallet, channels::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// Anchors a batch of receipts.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn anchor(&self, wallet: &Wallet, root: B256, count: u32) -> Result<Mined, LedgerError> {
        let call = IReceipts::anchorCall { root, count };
        self.send(wallet, receipts::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// Who anchored a batch, and when.
    ///
    /// # Errors
    /// [`LedgerError::Reverted`] with `UnknownRoot` when nobody did.
    pub async fn anchor_of(&self, root: B256) -> Result<IReceipts::Anchor, LedgerError> {
        self.call(receipts::ADDRESS, &IReceipts::anchorOfCall { root }).await
    }

    /// Whether the ledger finds `leaf` in the anchored batch.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn included(&self, root: B256, leaf: B256, proof: Vec<B256>) -> Result<bool, LedgerError> {
        self.call(receipts::ADDRESS, &IReceipts::includedCall { root, leaf, proof }).await
    }
}

/// When an ask that is set now may end at the latest, less an hour by which clocks may differ from the ledger's; seconds since 1970.
#[must_use]
pub fn ask_end_s() -> u64 {
    unix_time_s().saturating_add(asks::ASK_LIFE_S).saturating_sub(3600)
}

/// The operating system's clock, seconds since 1970.
#[must_use]
pub fn unix_time_s() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
