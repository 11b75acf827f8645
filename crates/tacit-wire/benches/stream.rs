//! What a stream costs on either side: a session, a request, a frame, a voucher, an event counted.
//!
//! `cargo bench -p tacit-wire` prints one JSON object a line, with the median of processor time of one operation.
//! `TACIT_TOKENIZER=tokenizer.json` counts with that tokenizer; without it nothing is counted.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on must stop")]

use alloy_primitives::{Address, B256};
use rustix::time::{ClockId, clock_gettime};
use std::{hint::black_box, io::Write as _};
use tacit_abi::{Evidence, Privacy, Receipt, Voucher};
use tacit_wire::{
    Amount, JobId, Wallet,
    language::TokenPrices,
    meter::{Framing, Meter, Route},
    session::{SessionKey, SessionOpen, SessionSecret, random_session_id},
    stream::{Envelope, Frame, StreamHead, open_request, read_envelope, seal_request},
    wallet::voucher_signer,
};

const ROUNDS: usize = 301;
const EVENT: &str = "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\" welcome\"}}],\"created\":1795965754,\"id\":\"chatcmpl-SoDv0WLGL9Wn9Bc3fSjaLTfazRP3gIMA\",\"model\":\"smollm2-135m\",\"object\":\"chat.completion.chunk\"}\n\n";

fn main() {
    let (wallet, key) = (Wallet::random(), SessionKey::random());
    let public = key.public();
    let (open, client) = opening().begin(&public).unwrap();
    let worker = key.accept(&open).unwrap();
    measure("session_opened", || opening().begin(&public).unwrap().0.sign(&wallet));
    let request = open.clone().sign(&wallet);
    measure("session_accepted", || (request.signer().unwrap(), key.accept(&request.open).unwrap().sealer(0)));
    requests(&client, &worker, open.session_id);
    let voucher = Voucher { channelId: B256::repeat_byte(1), cumulative: 9 };
    let signed = wallet.sign_voucher(voucher.clone(), 7);
    measure("voucher_signed", || wallet.sign_voucher(voucher.clone(), 7));
    measure("voucher_verified", || voucher_signer(&signed, 7).unwrap());
    measure("receipt_signed", || wallet.sign_receipt(receipt(), 7));
    let mut sealer = worker.sealer(0);
    let frame = Frame::Data(EVENT.as_bytes().to_vec());
    measure("frame_sealed", || frame.seal(&mut sealer).unwrap());
    let mut sealer = worker.sealer(1);
    let mut frames = Vec::new();
    frames.resize_with(ROUNDS * BATCH + BATCH, || frame.seal(&mut sealer).unwrap());
    let (mut opener, mut frames) = (client.opener(1), frames.iter());
    measure("frame_opened", || Frame::open(&mut opener, &frames.next().unwrap()[4..]).unwrap());
    if let Some(path) = std::env::var_os("TACIT_TOKENIZER") {
        let meter = Meter::new(&std::fs::read(path).unwrap(), 4).unwrap();
        let mut answer = meter.answer(Framing::Events);
        measure("event_counted", || {
            // As a worker does: a copy is asked first whether there is room.
            let mut ahead = answer.clone();
            ahead.feed(EVENT.as_bytes()).unwrap();
            let tokens = ahead.tokens().unwrap();
            answer = ahead;
            tokens
        });
    }
}

fn requests(client: &SessionSecret, worker: &SessionSecret, session_id: B256) {
    let body = br#"{"model":"smollm2-135m","messages":[{"role":"user","content":"What is the capital of France?"}],"stream":true}"#;
    let envelope = Envelope { session_id, sequence: 3 };
    let head = StreamHead {
        job_id: JobId::random(),
        model_id: B256::repeat_byte(4),
        route: Route::ChatCompletions,
        privacy: Privacy::Sealed,
        evidence: Evidence::Signed,
        prices: TokenPrices::default(),
        limit: Amount(100),
        voucher: None,
    };
    let sealed = seal_request(client, envelope, &head, body).unwrap();
    measure("request_sealed", || seal_request(client, envelope, &head, body).unwrap());
    measure("request_opened", || {
        let (envelope, sealed) = read_envelope(&sealed).unwrap();
        open_request(worker, envelope.sequence, sealed).unwrap()
    });
}

fn opening() -> SessionOpen {
    SessionOpen {
        chain_id: 7,
        session_id: random_session_id(),
        channel_id: B256::repeat_byte(1),
        client: Address::repeat_byte(2),
        worker: Address::repeat_byte(3),
        opened_at: 5,
        guest_key: None,
        enc: Vec::new(),
    }
}

fn receipt() -> Receipt {
    Receipt {
        jobId: B256::ZERO,
        modelId: B256::ZERO,
        channelId: B256::ZERO,
        client: Address::ZERO,
        worker: Address::ZERO,
        privacy: 1,
        evidence: 0,
        inputCommitment: B256::ZERO,
        outputCommitment: B256::ZERO,
        evidenceHash: B256::ZERO,
        price: 1,
        cumulative: 2,
        completedAt: 3,
    }
}

/// Operations in one reading of the clock.
const BATCH: usize = 8;

fn measure<T>(name: &str, mut operation: impl FnMut() -> T) {
    let mut times: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let started = processor_ns();
            for _ in 0..BATCH {
                black_box(operation());
            }
            processor_ns() - started
        })
        .collect();
    times.sort_unstable();
    let tenths_us = times[ROUNDS / 2] / BATCH as u128 / 100;
    let line =
        format!("{{\"bench\":\"wire::stream/{name}\",\"cpu_us\":{}.{}}}\n", tenths_us / 10, tenths_us % 10);
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

fn processor_ns() -> u128 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    u128::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u128::try_from(now.tv_nsec).unwrap()
}
