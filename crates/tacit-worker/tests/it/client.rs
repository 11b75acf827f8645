//! A client of language models, written with `tacit-wire` from the specification.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use alloy_primitives::{Address, B256};
use serde_json::json;
use tacit_abi::{Voucher, channels::SignedVoucher};
use tacit_attest::Evidence;
use tacit_wire::{
    Amount, JobId, LedgerClient, Wallet,
    http::{Download, HttpError, JsonClient},
    language::{GUEST_MODE, LanguageInfo, MODE, TokenBill},
    message::{AttestRequest, AttestResponse, ErrorBody},
    meter::Route,
    session::{FrameOpener, SessionOpen, SessionReply, SessionSecret, random_session_id, session_key_hash},
    stream::{Account, End, Envelope, Frame, Payment, StreamHead, seal_request},
    wallet::receipt_signer,
};

use crate::support::{BODY, PRICES, meter, model_id, wallet};

/// A client with a channel and a session.
pub(crate) struct Client {
    pub(crate) wallet: Wallet,
    pub(crate) chain_id: u64,
    pub(crate) channel_id: B256,
    pub(crate) url: String,
    pub(crate) worker: Address,
    pub(crate) secret: SessionSecret,
    pub(crate) session_id: B256,
    /// Id of the evidence of the guest that its session is with.
    pub(crate) attested: Option<B256>,
    next: AtomicU64,
    http: JsonClient,
}

/// An answer that comes in.
pub(crate) struct Answer {
    pub(crate) head: StreamHead,
    body: String,
    worker: Address,
    chain_id: u64,
    attested: Option<B256>,
    download: Download,
    opener: FrameOpener,
    buffer: Vec<u8>,
    /// Data so far.
    pub(crate) data: Vec<u8>,
    content_type: String,
}

const LIMIT: usize = 1 << 20;
pub(crate) const DEPOSIT: Amount = Amount(100_000);

impl Client {
    pub(crate) async fn new(key: u8, ledger: &LedgerClient, url: &str, worker: Address) -> Self {
        let wallet = wallet(key);
        let channel_id = open_channel(ledger, &wallet, worker).await;
        Self::on_channel(wallet, ledger.chain_id(), url, worker, channel_id).await.unwrap()
    }

    /// Opens a session on a channel.
    pub(crate) async fn on_channel(
        wallet: Wallet,
        chain_id: u64,
        url: &str,
        worker: Address,
        channel_id: B256,
    ) -> Result<Self, HttpError> {
        let http = JsonClient::unhurried().unwrap();
        let info: LanguageInfo = http.get(&format!("{url}/v1/languages/{}", model_id()), LIMIT).await?;
        let open = Self::opening(&wallet, chain_id, worker, channel_id);
        Self::open(wallet, url, open, &info.session_key, None).await
    }

    async fn open(
        wallet: Wallet,
        url: &str,
        open: SessionOpen,
        key: &[u8],
        attested: Option<B256>,
    ) -> Result<Self, HttpError> {
        let http = JsonClient::unhurried().unwrap();
        let (open, secret) = open.begin(key).unwrap();
        let SessionOpen { session_id, chain_id, channel_id, worker, .. } = open;
        let request = open.sign(&wallet);
        let _: SessionReply = http.post(&format!("{url}/v1/sessions"), &request, LIMIT).await?;
        let (url, next) = (url.to_owned(), AtomicU64::new(0));
        Ok(Self { wallet, chain_id, channel_id, url, worker, secret, session_id, attested, next, http })
    }

    /// Begins a session with a guest. Who judges evidence is somebody else.
    pub(crate) async fn attest(&self, request: AttestRequest) -> Result<AttestResponse, HttpError> {
        self.post("/v1/attest", &request).await
    }

    /// Another session on the same channel, agreed with the key of a guest, at so many seconds from now.
    pub(crate) async fn with_guest(
        &self,
        key: u8,
        guest: &AttestResponse,
        ahead_s: u64,
    ) -> Result<Self, HttpError> {
        let wallet = wallet(key);
        let plain = Self::opening(&wallet, self.chain_id, self.worker, self.channel_id);
        let (opened_at, guest_key) = (plain.opened_at + ahead_s, Some(session_key_hash(&guest.key)));
        let evidence = Evidence::decode(&guest.evidence).unwrap().id();
        let open = SessionOpen { opened_at, guest_key, ..plain };
        Self::open(wallet, &self.url, open, &guest.key, Some(evidence)).await
    }

    /// What opens a session, before the secret is agreed on.
    pub(crate) fn opening(wallet: &Wallet, chain_id: u64, worker: Address, channel_id: B256) -> SessionOpen {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        SessionOpen {
            chain_id,
            session_id: random_session_id(),
            channel_id,
            client: wallet.address(),
            worker,
            opened_at: now,
            guest_key: None,
            enc: Vec::new(),
        }
    }

    /// The model as the worker describes it.
    pub(crate) async fn language(&self) -> LanguageInfo {
        self.get(&format!("/v1/languages/{}", model_id())).await.unwrap()
    }

    /// Another session on the same channel.
    pub(crate) async fn again(&self, key: u8) -> Result<Self, HttpError> {
        Self::on_channel(wallet(key), self.chain_id, &self.url, self.worker, self.channel_id).await
    }

    pub(crate) async fn post<B: serde::Serialize + Sync, R: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<R, HttpError> {
        self.http.post(&format!("{}{path}", self.url), body, LIMIT).await
    }

    pub(crate) async fn get<R: serde::de::DeserializeOwned>(&self, path: &str) -> Result<R, HttpError> {
        self.http.get(&format!("{}{path}", self.url), LIMIT).await
    }

    pub(crate) fn voucher(&self, cumulative: u128) -> SignedVoucher {
        let voucher = Voucher { channelId: self.channel_id, cumulative };
        self.wallet.sign_voucher(voucher, self.chain_id)
    }

    pub(crate) async fn pay(&self, cumulative: u128) -> Result<Account, HttpError> {
        self.post("/v1/payments", &Payment { voucher: self.voucher(cumulative) }).await
    }

    pub(crate) async fn account(&self) -> Account {
        self.get(&format!("/v1/accounts/{}", self.channel_id)).await.unwrap()
    }

    pub(crate) fn head(&self) -> StreamHead {
        let (privacy, evidence) = if self.attested.is_some() { GUEST_MODE } else { MODE };
        StreamHead {
            job_id: JobId::random(),
            model_id: model_id(),
            route: Route::ChatCompletions,
            privacy,
            evidence,
            prices: PRICES,
            limit: DEPOSIT,
            voucher: None,
        }
    }

    /// Asks the usual question on the usual terms.
    pub(crate) async fn ask(&self) -> Answer {
        self.ask_with(self.head(), BODY).await
    }

    pub(crate) async fn ask_with(&self, head: StreamHead, body: &str) -> Answer {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        self.ask_numbered(sequence, head, body).await.unwrap()
    }

    /// Sends a request under a number, in whatever session the secret is of.
    pub(crate) async fn ask_numbered(
        &self,
        sequence: u64,
        head: StreamHead,
        body: &str,
    ) -> Result<Answer, (u16, Box<ErrorBody>)> {
        let envelope = Envelope { session_id: self.session_id, sequence };
        let bytes = seal_request(&self.secret, envelope, &head, body.as_bytes()).unwrap();
        let mut relayed = self.send_bytes(bytes).await;
        if relayed.0 != 200 {
            let mut text = Vec::new();
            while let Some(bytes) = relayed.1.next().await.unwrap() {
                text.extend(bytes);
            }
            let reply: tacit_wire::message::ErrorReply = serde_json::from_slice(&text).unwrap();
            return Err((relayed.0, Box::new(reply.error)));
        }
        Ok(Answer {
            head,
            body: body.to_owned(),
            worker: self.worker,
            chain_id: self.chain_id,
            attested: self.attested,
            download: relayed.1,
            opener: self.secret.opener(sequence),
            buffer: Vec::new(),
            data: Vec::new(),
            content_type: String::new(),
        })
    }

    pub(crate) async fn send_bytes(&self, bytes: Vec<u8>) -> (u16, Download) {
        let url = format!("{}/v1/streams", self.url);
        let stall = Duration::from_secs(60);
        let relayed = self.http.relay(&url, "application/octet-stream", bytes, stall).await.unwrap();
        (relayed.status, relayed.body)
    }

    /// Pays all that is owed.
    pub(crate) async fn settle_up(&self) {
        let owed = self.account().await.owed.0;
        self.pay(owed).await.unwrap();
    }
}

impl Answer {
    /// The next frame; nothing when the connection ends.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((length, rest)) = self.buffer.split_first_chunk::<4>() {
                let length = u32::from_le_bytes(*length) as usize;
                if let Some((sealed, rest)) = rest.split_at_checked(length) {
                    let frame = Frame::open(&mut self.opener, sealed).unwrap();
                    self.buffer = rest.to_vec();
                    match &frame {
                        Frame::Data(bytes) => self.data.extend(bytes),
                        Frame::Head { content_type, .. } => self.content_type.clone_from(content_type),
                        _ => {}
                    }
                    return Some(frame);
                }
            }
            match self.download.next().await {
                Ok(Some(bytes)) => self.buffer.extend(bytes),
                Ok(None) => {
                    assert!(self.buffer.is_empty());
                    return None;
                }
                Err(_) => return None,
            }
        }
    }

    /// The next frame, which is a head with this status.
    pub(crate) async fn head_frame(&mut self, expected: u16) {
        let frame = self.next().await;
        assert!(matches!(frame, Some(Frame::Head { status, .. }) if status == expected), "{frame:?}");
    }

    /// Reads data until so many bytes of it came.
    pub(crate) async fn data_upto(&mut self, bytes: usize) {
        while self.data.len() < bytes {
            let frame = self.next().await;
            assert!(matches!(frame, Some(Frame::Data(_))), "{frame:?}");
        }
    }

    /// Reads data until the worker waits; what it waits for.
    pub(crate) async fn wait(&mut self) -> u128 {
        loop {
            match self.next().await {
                Some(Frame::Data(_) | Frame::Head { .. }) => {}
                Some(Frame::Wait { promised }) => return promised.0,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads up to the end, which must be honest about what came.
    pub(crate) async fn end(&mut self) -> End {
        loop {
            match self.next().await {
                Some(Frame::Data(_) | Frame::Head { .. } | Frame::Wait { .. }) => {}
                Some(Frame::End(end)) => {
                    self.check(&end);
                    assert!(self.next().await.is_none());
                    return *end;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The refusal, which is all that comes.
    pub(crate) async fn refusal(&mut self) -> ErrorBody {
        match self.next().await {
            Some(Frame::Refusal(body)) => {
                assert!(self.next().await.is_none());
                *body
            }
            other => panic!("{other:?}"),
        }
    }

    /// Tokens of the text that came, by the client's own count.
    pub(crate) fn tokens(&self) -> u64 {
        let framing = tacit_wire::meter::Framing::of(&self.content_type);
        let mut answer = meter().answer(framing);
        answer.feed(&self.data).unwrap();
        answer.tokens().unwrap()
    }

    /// What a client checks of an end.
    fn check(&self, end: &End) {
        let receipt = &end.receipt.receipt;
        assert_eq!(receipt_signer(&end.receipt, self.chain_id).unwrap(), self.worker);
        assert_eq!(receipt.jobId, self.head.job_id.0);
        assert_eq!(receipt.inputCommitment, end.salts.commit_request(self.head.route, self.body.as_bytes()));
        let mut output = end.salts.output_commitment();
        output.push(&self.data);
        assert_eq!(receipt.outputCommitment, output.finish());
        let bill = TokenBill { tokens: end.tokens, prices: self.head.prices };
        assert_eq!(receipt.evidenceHash, end.salts.commit_evidence(&bill.committed(self.attested)));
        let (privacy, evidence) = (self.head.privacy as u8, self.head.evidence as u8);
        assert_eq!((receipt.privacy, receipt.evidence), (privacy, evidence));
        if receipt.price > 0 {
            assert_eq!(end.tokens.completion, self.tokens());
            assert_eq!(end.tokens.prompt, meter().prompt(self.body.as_bytes()).unwrap());
            assert_eq!(Some(Amount(receipt.price)), self.head.prices.cost(end.tokens));
        }
    }
}

/// Opens a channel to `worker`.
pub(crate) async fn open_channel(ledger: &LedgerClient, wallet: &Wallet, worker: Address) -> B256 {
    let salt = random_session_id();
    ledger.open_channel(wallet, worker, salt, DEPOSIT).await.unwrap();
    let client = wallet.address();
    tacit_abi::channels::channel_id(ledger.chain_id(), client, worker, client, salt)
}

/// The hash of the session key that the ledger's ask names.
pub(crate) fn key_hash(info: &LanguageInfo) -> B256 {
    session_key_hash(&info.session_key)
}

/// A request that is no stream.
pub(crate) fn unary_body() -> String {
    json!({ "model": "tiny", "messages": [{ "role": "user", "content": "hello" }] }).to_string()
}
