//! Answers: what is sent, what it costs, and how it ends.

use tacit_wire::{
    Amount,
    message::{ReceiptInfo, WorkerInfo},
    meter::Route,
    stream::{EndReason, Frame, StreamHead},
};

use crate::{
    client::{DEPOSIT, key_hash, unary_body},
    engine::{ENGINE_MODEL, event},
    support::{BODY, CHUNK, PRICES, PROMPT, Plan, Scene, manifest, model_id, tokenizer},
};

#[tokio::test]
async fn what_is_asked_on_the_ledger_is_what_the_worker_serves() {
    let scene = Scene::new().await;
    let info = scene.client.language().await;
    assert_eq!(info.manifest, manifest().write().unwrap().0);
    let listing = scene.ledger.client.listing(model_id()).await.unwrap();
    assert_eq!(listing.model.weightRoot, manifest().weights);
    let terms = &listing.asks[0].terms;
    assert_eq!((terms.price, terms.promptPrice, terms.completionPrice), (10, 2, 3));
    assert_eq!((terms.capacity, terms.sealingKey), (8, key_hash(&info)));
    // Doing it again changes nothing.
    scene.worker.worker.publish_and_ask(&scene.worker.url).await.unwrap();
    assert_eq!(scene.ledger.client.listing(model_id()).await.unwrap().asks.len(), 1);
    let listed: Vec<tacit_wire::language::LanguageInfo> = scene.client.get("/v1/languages").await.unwrap();
    assert_eq!(listed, [info]);
}

#[tokio::test]
async fn an_honest_stream_is_paid_to_the_last_token() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let head = StreamHead { voucher: Some(client.voucher(1_000)), ..client.head() };
    let job_id = head.job_id;
    let mut answer = client.ask_with(head, BODY).await;
    let asked = scene.engine.asked().await;
    assert_eq!(asked.route, "chat/completions");
    assert_eq!(
        String::from_utf8(asked.body.clone()).unwrap(),
        BODY.replace("\"tiny\"", &format!("{ENGINE_MODEL:?}"))
    );
    let talk = asked.begin(200, "text/event-stream");
    answer.head_frame(200).await;
    for word in ["An", " answer", " of", " some", " words"] {
        let (text, before) = (event(word), answer.data.len());
        talk.event(word).await;
        answer.data_upto(before + text.len()).await;
        assert_eq!(answer.data[before..], *text.as_bytes(), "byte for byte");
    }
    talk.say("data: [DONE]\n\n").await;
    drop(talk);
    let end = answer.end().await;
    let letters = "An answer of some words".len() as u64;
    assert_eq!((end.reason, end.tokens.prompt, end.tokens.completion), (EndReason::Complete, 9, letters));
    let cost = PROMPT + 3 * u128::from(letters);
    assert_eq!((end.receipt.receipt.price, end.receipt.receipt.cumulative), (cost, cost));
    let account = client.account().await;
    assert_eq!((account.owed, account.running), (Amount(cost), 0));
    // It is paid for, so that it is anchored.
    loop {
        let info: ReceiptInfo = client.get(&format!("/v1/receipts/{job_id}")).await.unwrap();
        assert_eq!(info.receipt, end.receipt);
        if info.anchor.is_some() {
            break;
        }
        tokio::task::yield_now().await;
    }
    scene.worker.worker.settle_all().await.unwrap();
    assert_eq!(scene.ledger.client.channel(client.channel_id).await.unwrap().settled, 1_000);
    let status: WorkerInfo = client.get("/v1/status").await.unwrap();
    let tally = &status.tallies[0];
    assert_eq!((tally.requests, tally.failures, tally.earned), (1, 0, Amount(cost)));
    assert_eq!((tally.prompt_tokens, tally.completion_tokens), (9, letters));
    assert!(status.languages[0].available);
    assert_eq!(status.languages[0].running, 0);
}

#[tokio::test]
async fn without_a_voucher_an_answer_stops_after_a_chunk() {
    let plan = Plan::default();
    let limits = tacit_worker::Limits { unpaid_wait: core::time::Duration::from_millis(200), ..plan.limits };
    let scene = Scene::with(Plan { limits, ..plan }).await;
    let mut answer = scene.client.ask().await;
    let talk = scene.engine.begins().await;
    talk.event(&"x".repeat(100)).await;
    // As many letters as a chunk has room for beside the prompt, then what the next one needs.
    assert_eq!(answer.wait().await, 1);
    let letters = (CHUNK - PROMPT) / 3;
    assert_eq!(u128::from(answer.tokens()), letters);
    let end = answer.end().await;
    assert_eq!((end.reason, end.receipt.receipt.price), (EndReason::Unpaid, PROMPT + 3 * letters));
    talk.hung_up().await;
    assert!(scene.client.account().await.owed.0 <= CHUNK);
}

#[tokio::test]
async fn a_voucher_lets_an_answer_go_on() {
    let scene = Scene::new().await;
    let mut answer = scene.client.ask().await;
    let talk = scene.engine.begins().await;
    talk.event(&"x".repeat(100)).await;
    drop(talk);
    for _ in 0..4 {
        let promised = answer.wait().await;
        let owed = PROMPT + 3 * u128::from(answer.tokens());
        assert!(owed > CHUNK - 3 && owed + 3 == promised + CHUNK, "{owed} {promised}");
        // A voucher for what the worker waits for lets exactly the next token through.
        scene.client.pay(promised).await.unwrap();
        let before = answer.tokens();
        assert_eq!(answer.wait().await, promised + 3);
        assert_eq!(answer.tokens(), before + 1);
        scene.client.pay(owed + 3).await.unwrap();
        if answer.tokens() + 32 >= 100 {
            break;
        }
    }
    let end = answer.end().await;
    assert_eq!((end.reason, end.tokens.completion), (EndReason::Complete, 100));
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_engine_and_owes_what_came() {
    let scene = Scene::new().await;
    let head = scene.client.head();
    let job_id = head.job_id;
    let mut answer = scene.client.ask_with(head, BODY).await;
    let talk = scene.engine.begins().await;
    talk.event("abc").await;
    answer.head_frame(200).await;
    answer.data_upto(event("abc").len()).await;
    drop(answer);
    talk.hung_up().await;
    // The receipt is written although nobody waits for it.
    let receipt = loop {
        match scene.client.get::<ReceiptInfo>(&format!("/v1/receipts/{job_id}")).await {
            Ok(info) => break info.receipt,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(receipt.receipt.price, PROMPT + 9);
    let account = scene.client.account().await;
    assert_eq!((account.owed, account.running), (Amount(PROMPT + 9), 0));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_owes_nothing() {
    let scene = Scene::new().await;
    let answer = scene.client.ask().await;
    let asked = scene.engine.asked().await;
    drop(answer);
    while scene.client.account().await.running > 0 {
        tokio::task::yield_now().await;
    }
    drop(asked);
    assert_eq!(scene.client.account().await.owed, Amount::ZERO);
}

#[tokio::test]
async fn an_engine_that_breaks_off_before_the_first_byte_costs_nothing() {
    let scene = Scene::new().await;
    let mut answer = scene.client.ask().await;
    let talk = scene.engine.begins().await;
    answer.head_frame(200).await;
    talk.die().await;
    let end = answer.end().await;
    assert_eq!((end.reason, end.tokens.prompt, end.receipt.receipt.price), (EndReason::EngineFailed, 0, 0));
    assert_eq!(scene.client.account().await.owed, Amount::ZERO);
    let status: WorkerInfo = scene.client.get("/v1/status").await.unwrap();
    assert_eq!((status.tallies[0].requests, status.tallies[0].failures), (1, 1));
}

#[tokio::test]
async fn an_engine_that_breaks_off_later_is_paid_for_what_it_gave() {
    let scene = Scene::new().await;
    let mut answer = scene.client.ask().await;
    let talk = scene.engine.begins().await;
    talk.event("abcd").await;
    answer.head_frame(200).await;
    answer.data_upto(event("abcd").len()).await;
    talk.die().await;
    let end = answer.end().await;
    assert_eq!((end.reason, end.receipt.receipt.price), (EndReason::EngineFailed, PROMPT + 12));
}

#[tokio::test]
async fn an_engines_refusal_is_passed_on_and_costs_nothing() {
    let scene = Scene::new().await;
    let mut answer = scene.client.ask().await;
    let talk = scene.engine.asked().await.begin(429, "application/json");
    talk.say(r#"{"choices":[{"text":"slow down"}]}"#).await;
    drop(talk);
    answer.head_frame(429).await;
    let end = answer.end().await;
    assert_eq!(answer.data, br#"{"choices":[{"text":"slow down"}]}"#);
    assert_eq!((end.reason, end.receipt.receipt.price), (EndReason::Complete, 0));
    assert_eq!(scene.client.account().await.owed, Amount::ZERO);
}

#[tokio::test]
async fn an_engines_refusal_has_an_end() {
    let scene = Scene::new().await;
    let mut answer = scene.client.ask().await;
    let talk = scene.engine.asked().await.begin(500, "text/plain");
    for _ in 0..5 {
        talk.say(vec![b'x'; 16 * 1024]).await;
    }
    let end = answer.end().await;
    assert_eq!((end.reason, end.receipt.receipt.price), (EndReason::EngineFailed, 0));
    talk.hung_up().await;
}

#[tokio::test]
async fn a_request_costs_no_more_than_its_limit() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let limit = Amount(PROMPT + 3 * 7 + 2);
    let head = StreamHead { limit, voucher: Some(client.voucher(1_000)), ..client.head() };
    let mut answer = client.ask_with(head, BODY).await;
    let talk = scene.engine.begins().await;
    talk.event("123456789").await;
    let end = answer.end().await;
    assert_eq!((end.reason, end.tokens.completion), (EndReason::Limit, 7));
    assert!(end.receipt.receipt.price <= limit.0);
    talk.hung_up().await;
}

#[tokio::test]
async fn an_answer_that_is_one_value_is_cut_into_chunks_and_comes_as_it_was() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let mut answer = client.ask_with(client.head(), &unary_body()).await;
    let talk = scene.engine.asked().await.begin(200, "application/json");
    let text = "word ".repeat(2_000);
    let value = format!(r#"{{"id":"x","choices":[{{"message":{{"content":"{text}"}}}}],"usage":{{}}}}"#);
    let saying = value.clone();
    tokio::spawn(async move { talk.say(saying).await });
    // A client that promises what it counts, whenever it is asked.
    let end = loop {
        match answer.next().await {
            Some(Frame::Wait { promised }) => {
                let owed = PROMPT + 3 * u128::from(answer.tokens());
                assert!(promised.0 <= owed + 3, "never more than one token ahead");
                client.pay(owed).await.unwrap();
            }
            Some(Frame::End(end)) => break end,
            Some(_) => {}
            None => panic!("no end"),
        }
    };
    assert!(answer.data == value.as_bytes(), "byte for byte");
    assert_eq!((end.reason, end.tokens.completion), (EndReason::Complete, text.len() as u64));
    assert!(DEPOSIT.0 > end.receipt.receipt.cumulative);
}

#[tokio::test]
async fn embeddings_are_paid_by_the_prompt() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let head = StreamHead { route: Route::Embeddings, ..client.head() };
    let mut answer = client.ask_with(head, r#"{"model":"tiny","input":["ab","c"]}"#).await;
    let asked = scene.engine.asked().await;
    assert_eq!(asked.route, "embeddings");
    let talk = asked.begin(200, "application/json");
    talk.say(r#"{"data":[{"embedding":[0.5]},{"embedding":[0.25]}]}"#).await;
    drop(talk);
    let end = answer.end().await;
    assert_eq!((end.tokens.prompt, end.tokens.completion, end.receipt.receipt.price), (3, 0, 16));
}

#[tokio::test]
async fn the_tokenizer_is_the_one_that_the_manifest_names() {
    let scene = Scene::new().await;
    let url = format!("{}/v1/languages/{}/tokenizer", scene.worker.url, model_id());
    let http = tacit_wire::http::JsonClient::unhurried().unwrap();
    let mut download = http.download(&url, core::time::Duration::from_secs(5)).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(more) = download.next().await.unwrap() {
        bytes.extend(more);
    }
    assert_eq!(bytes, tokenizer());
}

#[tokio::test]
async fn a_worker_that_closes_down_ends_what_runs_too_long() {
    let plan = Plan::default();
    let limits = tacit_worker::Limits { stream_grace: core::time::Duration::from_millis(100), ..plan.limits };
    let mut scene = Scene::with(Plan { limits, ..plan }).await;
    let mut answer = scene.client.ask().await;
    let talk = scene.engine.begins().await;
    talk.event("abc").await;
    answer.head_frame(200).await;
    answer.data_upto(event("abc").len()).await;
    scene.worker.close();
    let end = answer.end().await;
    assert_eq!((end.reason, end.receipt.receipt.price), (EndReason::Drained, PROMPT + 9));
    talk.hung_up().await;
    scene.worker.closed().await;
}

#[tokio::test]
async fn a_worker_that_closes_down_begins_nothing() {
    let mut scene = Scene::new().await;
    let mut answer = scene.client.ask().await;
    let talk = scene.engine.begins().await;
    scene.worker.close();
    // It may not have heard yet: what it began meanwhile is given up.
    loop {
        let mut late = scene.client.ask().await;
        tokio::select! {
            frame = late.next() => match frame {
                Some(Frame::Refusal(body)) if body.code == "draining" => break,
                // Those that were given up take room until the worker notices.
                Some(Frame::Refusal(body)) => assert!(matches!(body.code.as_str(), "payment_required" | "busy")),
                other => panic!("{other:?}"),
            },
            asked = scene.engine.asked() => drop(asked),
        }
    }
    talk.event("abc").await;
    drop(talk);
    assert_eq!(answer.end().await.reason, EndReason::Complete);
    scene.worker.closed().await;
}

#[tokio::test]
async fn a_stream_that_ends_in_time_lets_the_worker_close_down() {
    let mut scene = Scene::new().await;
    let mut answer = scene.client.ask().await;
    let talk = scene.engine.begins().await;
    scene.worker.close();
    talk.event("abc").await;
    drop(talk);
    assert_eq!(answer.end().await.reason, EndReason::Complete);
    scene.worker.closed().await;
}

#[tokio::test]
async fn a_stream_keeps_within_a_chunk_at_every_frame() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let mut answer = client.ask().await;
    let talk = scene.engine.begins().await;
    tokio::spawn(async move {
        for _ in 0..60 {
            talk.event("some more").await;
        }
    });
    let (mut promised, mut ended) = (0, None);
    while ended.is_none() {
        match answer.next().await.unwrap() {
            Frame::Data(_) => {
                let owed = PROMPT + 3 * u128::from(answer.tokens());
                assert!(owed <= promised + CHUNK, "{owed} {promised}");
                // As the specification says: as soon as half a chunk is owed.
                if owed >= promised + CHUNK / 2 {
                    promised = owed;
                    client.pay(promised).await.unwrap();
                }
            }
            Frame::End(end) => ended = Some(end),
            _ => {}
        }
    }
    let end = ended.unwrap();
    assert_eq!((end.reason, end.tokens.completion), (EndReason::Complete, 60 * 9));
    assert_eq!(PRICES.cost(end.tokens), Some(Amount(end.receipt.receipt.price)));
}
