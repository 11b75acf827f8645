//! A client of language models, as short as the specification lets it be: what `clients/language` asks a worker with.
//!
//! `language count TOKENIZER MESSAGE_TOKENS`: counts the texts in a JSON array on stdin.
//! `language ask LEDGER WORKER KEY`: asks the requests in a JSON array on stdin over a channel of its own, pays as it counts, and says what came.
//!
//! It prices nothing and trusts what a check would have shown it: every answer's end is checked against its own count, and a difference ends the program.

use std::{io::Read, sync::Arc};

use alloy_primitives::B256;
use serde_json::{Value, json};
use tacit_abi::{Evidence, Privacy, Voucher};
use tacit_wire::{
    Amount, JobId, LedgerClient, Wallet,
    http::JsonClient,
    language::{LanguageInfo, LanguageManifest, TOKENIZER_BYTES_MAX, TokenCount},
    meter::{Framing, Meter, Route},
    session::{SessionOpen, SessionReply, random_session_id},
    stream::{Account, Envelope, Frame, Payment, StreamHead, seal_request},
    wallet::receipt_signer,
};

type Failure = Box<dyn std::error::Error>;

const STALL: std::time::Duration = std::time::Duration::from_secs(120);
const ANSWER_BYTES_MAX: usize = 1 << 20;
const DEPOSIT: Amount = Amount::coins(1);

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["count", tokenizer, message_tokens] => {
            let meter = Meter::new(&std::fs::read(tokenizer)?, message_tokens.parse()?)?;
            let texts: Vec<String> = serde_json::from_str(&text)?;
            let counts = texts.iter().map(|text| meter.text(text)).collect::<Result<Vec<_>, _>>()?;
            json!(counts)
        }
        ["ask", ledger, worker, key] => {
            let bodies: Vec<Value> = serde_json::from_str(&text)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut client = Client::open(ledger, worker, key).await?;
                let mut answers = Vec::new();
                for body in bodies {
                    answers.push(client.ask(&body.to_string()).await?);
                }
                Ok::<_, Failure>(json!(answers))
            })?
        }
        _ => return Err("language count TOKENIZER MESSAGE_TOKENS | ask LEDGER WORKER KEY".into()),
    };
    use std::io::Write;
    writeln!(std::io::stdout(), "{result}")?;
    Ok(())
}

struct Client {
    http: JsonClient,
    worker: String,
    wallet: Wallet,
    chain_id: u64,
    channel_id: B256,
    info: LanguageInfo,
    meter: Arc<Meter>,
    secret: tacit_wire::session::SessionSecret,
    session_id: B256,
    next: u64,
    owed: Amount,
    promised: Amount,
}

impl Client {
    async fn open(ledger: &str, worker: &str, key: &str) -> Result<Self, Failure> {
        let http = JsonClient::unhurried()?;
        let wallet = Wallet::load(std::path::Path::new(key))?;
        let ledger = LedgerClient::connect(ledger).await?;
        let listed: Vec<LanguageInfo> = http.get(&format!("{worker}/v1/languages"), ANSWER_BYTES_MAX).await?;
        let info = listed.into_iter().next().ok_or("the worker serves no language model")?;
        let manifest = LanguageManifest::read(&info.manifest, info.model_id)?;
        let url = format!("{worker}/v1/languages/{}/tokenizer", info.model_id);
        let (mut download, mut tokenizer) = (http.download(&url, STALL).await?, Vec::new());
        while let Some(bytes) = download.next().await? {
            tokenizer.extend(bytes);
            if tokenizer.len() > TOKENIZER_BYTES_MAX {
                return Err("the tokenizer is too long".into());
            }
        }
        let meter = Arc::new(Meter::new(&tokenizer, manifest.message_tokens)?);
        let (chain_id, salt, client) = (ledger.chain_id(), random_session_id(), wallet.address());
        ledger.open_channel(&wallet, info.worker, salt, DEPOSIT).await?;
        let channel_id = tacit_abi::channels::channel_id(chain_id, client, info.worker, client, salt);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let (open, secret) = SessionOpen {
            chain_id,
            session_id: random_session_id(),
            channel_id,
            client,
            worker: info.worker,
            opened_at: now,
            guest_key: None,
            enc: Vec::new(),
        }
        .begin(&info.session_key)?;
        let session_id = open.session_id;
        let request = open.sign(&wallet);
        let _: SessionReply = http.post(&format!("{worker}/v1/sessions"), &request, ANSWER_BYTES_MAX).await?;
        let (worker, owed, promised) = (worker.to_owned(), Amount::ZERO, Amount::ZERO);
        Ok(Self {
            http,
            worker,
            wallet,
            chain_id,
            channel_id,
            info,
            meter,
            secret,
            session_id,
            next: 0,
            owed,
            promised,
        })
    }

    fn voucher(&self, promised: Amount) -> tacit_abi::channels::SignedVoucher {
        let voucher = Voucher { channelId: self.channel_id, cumulative: promised.0 };
        self.wallet.sign_voucher(voucher, self.chain_id)
    }

    async fn promise(&mut self, owed: Amount) -> Result<(), Failure> {
        if owed > self.promised {
            let payment = Payment { voucher: self.voucher(owed) };
            let url = format!("{}/v1/payments", self.worker);
            let _: Account = self.http.post(&url, &payment, ANSWER_BYTES_MAX).await?;
            self.promised = owed;
        }
        Ok(())
    }

    async fn ask(&mut self, body: &str) -> Result<Value, Failure> {
        let begun = std::time::Instant::now();
        let terms = self.info.asks.first().ok_or("the model is not asked for")?;
        let prices = terms.prices;
        let counter = Arc::clone(&self.meter);
        let prompt = counter.prompt(body.as_bytes())?;
        let cost = |completion| prices.cost(TokenCount { prompt, completion }).ok_or("more than any amount");
        // A request begins if there is room for its prompt: what a chunk does not cover is promised ahead.
        let owed_before = self.owed.0;
        let first = owed_before + cost(0)?.0;
        let ahead = Amount(first.saturating_sub(prices.chunk().0).max(owed_before));
        self.promise(ahead).await?;
        let head = StreamHead {
            job_id: JobId::random(),
            model_id: self.info.model_id,
            route: Route::ChatCompletions,
            privacy: Privacy::Sealed,
            evidence: Evidence::Signed,
            prices,
            limit: DEPOSIT,
            voucher: None,
        };
        let envelope = Envelope { session_id: self.session_id, sequence: self.next };
        let bytes = seal_request(&self.secret, envelope, &head, body.as_bytes())?;
        let mut opener = self.secret.opener(self.next);
        self.next += 1;
        let url = format!("{}/v1/streams", self.worker);
        let mut relayed = self.http.relay(&url, "application/octet-stream", bytes, STALL).await?;
        let (mut buffer, mut data, mut counted, mut vouchers) = (Vec::new(), Vec::new(), 0, 0);
        let mut first_ms = None;
        let mut meter = counter.answer(Framing::Events);
        let end = 'end: loop {
            let bytes = relayed.body.next().await?.ok_or("the answer breaks off")?;
            buffer.extend(bytes);
            while let Some((length, rest)) = buffer.split_first_chunk::<4>() {
                let length = usize::try_from(u32::from_le_bytes(*length))?;
                let Some((sealed, rest)) = rest.split_at_checked(length) else { break };
                let frame = Frame::open(&mut opener, sealed)?;
                buffer = rest.to_vec();
                let mut wanted = None;
                match frame {
                    Frame::Head { content_type, .. } => meter = counter.answer(Framing::of(&content_type)),
                    Frame::Data(bytes) => {
                        first_ms.get_or_insert_with(|| begun.elapsed().as_secs_f64() * 1e3);
                        meter.feed(&bytes)?;
                        data.extend(bytes);
                        counted = meter.tokens()?;
                        let owed = owed_before + cost(counted)?.0;
                        wanted = (owed >= self.promised.0 + prices.chunk().0 / 2).then_some(owed);
                    }
                    Frame::Wait { .. } => wanted = Some(owed_before + cost(counted)?.0),
                    Frame::End(end) => break 'end end,
                    Frame::Refusal(body) => return Err(format!("refused: {}", body.message).into()),
                }
                if let Some(owed) = wanted {
                    self.owed = Amount(owed);
                    self.promise(Amount(owed)).await?;
                    vouchers += 1;
                }
            }
        };
        let receipt = &end.receipt.receipt;
        let mut output = end.salts.output_commitment();
        output.push(&data);
        let honest = receipt_signer(&end.receipt, self.chain_id)? == self.info.worker
            && receipt.inputCommitment == end.salts.commit_request(Route::ChatCompletions, body.as_bytes())
            && receipt.outputCommitment == output.finish()
            && end.tokens == TokenCount { prompt, completion: counted }
            && receipt.price == cost(counted)?.0;
        if !honest {
            return Err("the receipt is false".into());
        }
        self.owed = Amount(owed_before + receipt.price);
        let owed = self.owed;
        self.promise(owed).await?;
        Ok(json!({
            "reason": end.reason, "prompt_tokens": prompt, "completion_tokens": counted,
            "price": Amount(receipt.price), "vouchers": vouchers, "first_byte_ms": first_ms,
            "data": String::from_utf8_lossy(&data),
        }))
    }
}
