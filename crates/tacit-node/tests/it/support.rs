//! A running node, a client, and transactions to send.

use std::path::PathBuf;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use serde_json::{Value, json};
use tacit_node::{DEV_CHAIN_ID, Node, NodeConfig, dev_accounts};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A node in this process and a connection to it.
pub(crate) struct Running {
    pub(crate) client: Client,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(config: NodeConfig) -> Self {
        let node = Node::open(config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(format!("http://{}", listener.local_addr().unwrap()));
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            node.serve(listener, async { stopped.await.unwrap_or_default() }).await.unwrap();
        });
        Self { client, stop, serving }
    }

    /// In memory, with the public accounts.
    pub(crate) async fn memory() -> Self {
        Self::start(config(None)).await
    }

    /// Stops serving and closes the store.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
    }
}

pub(crate) fn config(data_dir: Option<PathBuf>) -> NodeConfig {
    NodeConfig::dev_with_public_accounts([]).with_data_dir(data_dir)
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(url: String) -> Self {
        Self { url, http: reqwest::Client::new() }
    }

    /// Posts a body as it is; status and text come back.
    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> Result<(u16, String), reqwest::Error> {
        let response = self.http.post(&self.url).body(body).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// The whole response object.
    pub(crate) async fn exchange(&self, method: &str, params: Value) -> Result<Value, reqwest::Error> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let (_, text) = self.post(body).await?;
        Ok(serde_json::from_str(&text).unwrap())
    }

    /// The result of a request that must succeed.
    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        let response = self.exchange(method, params).await.unwrap();
        assert!(response.get("error").is_none(), "{method}: {response}");
        response["result"].clone()
    }

    /// Code and message of a request that must fail.
    pub(crate) async fn error(&self, method: &str, params: Value) -> (i64, String) {
        let response = self.exchange(method, params).await.unwrap();
        let error = response.get("error").unwrap_or_else(|| panic!("{method} succeeded: {response}"));
        (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn number(&self, method: &str, params: Value) -> u64 {
        let text = self.rpc(method, params).await;
        let digits = text.as_str().and_then(|text| text.strip_prefix("0x")).expect("a quantity");
        u64::from_str_radix(digits, 16).unwrap()
    }

    pub(crate) async fn balance(&self, address: Address) -> U256 {
        serde_json::from_value(self.rpc("eth_getBalance", json!([address, "latest"])).await).unwrap()
    }

    pub(crate) async fn send(&self, raw: &str) -> Value {
        self.rpc("eth_sendRawTransaction", json!([raw])).await
    }

    /// Sends and gives the receipt, which must be there at once.
    pub(crate) async fn mine(&self, raw: &str) -> Value {
        let hash = self.send(raw).await;
        let receipt = self.rpc("eth_getTransactionReceipt", json!([hash])).await;
        assert!(receipt.is_object(), "no receipt for {hash}");
        receipt
    }
}

/// One of the public accounts.
pub(crate) fn signer(index: usize) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&dev_accounts()[index].public_secret).unwrap()
}

pub(crate) fn address(index: usize) -> Address {
    dev_accounts()[index].address
}

/// A transfer of one unit, to be changed.
pub(crate) fn transfer(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: DEV_CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 1_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(address(9)),
        value: U256::from(1),
        access_list: Default::default(),
        input: Bytes::new(),
    }
}

pub(crate) fn sign(
    transaction: impl SignableTransaction<alloy_primitives::Signature> + Into<Unsigned>,
    by: usize,
) -> String {
    let signature = signer(by).sign_hash_sync(&transaction.signature_hash()).unwrap();
    let unsigned: Unsigned = transaction.into();
    raw(&unsigned.signed(signature))
}

pub(crate) fn raw(envelope: &TxEnvelope) -> String {
    hex::encode_prefixed(envelope.encoded_2718())
}

/// Hash of a raw transaction.
pub(crate) fn hash_of(raw: &str) -> B256 {
    alloy_primitives::keccak256(hex::decode(raw).unwrap())
}

/// Any kind of transaction before it is signed.
pub(crate) enum Unsigned {
    Legacy(alloy_consensus::TxLegacy),
    Eip1559(TxEip1559),
    Eip7702(alloy_consensus::TxEip7702),
}

impl Unsigned {
    fn signed(self, signature: alloy_primitives::Signature) -> TxEnvelope {
        match self {
            Self::Legacy(transaction) => transaction.into_signed(signature).into(),
            Self::Eip1559(transaction) => transaction.into_signed(signature).into(),
            Self::Eip7702(transaction) => transaction.into_signed(signature).into(),
        }
    }
}

impl From<alloy_consensus::TxLegacy> for Unsigned {
    fn from(transaction: alloy_consensus::TxLegacy) -> Self {
        Self::Legacy(transaction)
    }
}

impl From<TxEip1559> for Unsigned {
    fn from(transaction: TxEip1559) -> Self {
        Self::Eip1559(transaction)
    }
}

impl From<alloy_consensus::TxEip7702> for Unsigned {
    fn from(transaction: alloy_consensus::TxEip7702) -> Self {
        Self::Eip7702(transaction)
    }
}

/// Creation code of a contract that, called without data, stores 7 in slot 0, logs 32 zero bytes under topic 0x2a and
/// returns 7; called with data, it reverts with that data.
pub(crate) const ECHO: &str =
    "6026600c60003960266000f336601b576007600055602a60206000a160005460005260206000f35b366000600037366000fd";

pub(crate) fn deployment(nonce: u64) -> TxEip1559 {
    let code = hex::decode(ECHO).unwrap();
    TxEip1559 {
        to: TxKind::Create,
        input: code.into(),
        gas_limit: 200_000,
        value: U256::ZERO,
        ..transfer(nonce)
    }
}

pub(crate) fn message(nonce: u64, to: Address, input: &[u8]) -> TxEip1559 {
    TxEip1559 {
        to: TxKind::Call(to),
        input: Bytes::copy_from_slice(input),
        gas_limit: 100_000,
        value: U256::ZERO,
        ..transfer(nonce)
    }
}
