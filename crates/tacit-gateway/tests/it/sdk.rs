//! OpenAI's SDKs as judges: `clients/openai/run.sh` says which program to run. What its engine answers is written here.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};
use tacit_gateway::{DoorConfig, Gateway, GatewayConfig, Spending, Store, openai::ApiKeys};
use tacit_wire::{
    Amount,
    language::{LanguageKind, TokenPrices},
};
use tokio::sync::Semaphore;

use crate::{
    disk::Disk,
    reference::{PRICES, Reference, Script, event},
    support::{Server, ledger, listen, wallet},
};

fn completion(message: Value, finish: &str) -> Value {
    let choice = json!({"index": 0, "message": message, "finish_reason": finish, "logprobs": null});
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "talk", "choices": [choice],
        "usage": {"prompt_tokens": 9, "completion_tokens": 18, "total_tokens": 27}})
}

fn says(text: &str) -> Script {
    Script::json(200, &completion(json!({"role": "assistant", "content": text}), "stop"))
}

fn failing(status: u16, code: &str) -> Script {
    let error = json!({"message": "so says the engine", "type": "invalid_request_error", "param": null, "code": code});
    Script::json(status, &json!({"error": error}))
}

fn words() -> Script {
    let chunk = |value: Value| format!("data: {value}\n\n").into_bytes();
    let head = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "talk"});
    let with = |choices: Value, usage: Value| {
        let mut value = head.clone();
        value["choices"] = choices;
        value["usage"] = usage;
        chunk(value)
    };
    let mut pieces = vec![b": keep-alive\n\n".to_vec()];
    let delta =
        |delta: Value| with(json!([{"index": 0, "delta": delta, "finish_reason": null}]), Value::Null);
    pieces.push(delta(json!({"role": "assistant", "content": ""})));
    pieces.extend((0..40).map(|word| delta(json!({"content": format!("word {word} ")}))));
    pieces.push(with(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), Value::Null));
    pieces.push(with(json!([]), json!({"prompt_tokens": 9, "completion_tokens": 40, "total_tokens": 49})));
    pieces.push(b"data: [DONE]\n\n".to_vec());
    Script { pieces, ..Script::stream(&[]) }
}

fn talk(busy: &AtomicBool, request: &Value) -> Script {
    assert!(request.get("provider").is_none() && request["model"] == "talk");
    if request.get("prompt").is_some() {
        let choice = json!({"index": 0, "text": " upon a time", "finish_reason": "length", "logprobs": null});
        return Script::json(
            200,
            &json!({"id": "c", "object": "text_completion", "created": 1, "model": "talk", "choices": [choice]}),
        );
    }
    match request["messages"][0]["content"].as_str().unwrap() {
        "plain" => says("four words of text"),
        "stream" => words(),
        "tools" => {
            assert_eq!(request["tools"][0]["function"]["name"], "weather");
            let call = json!({"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Bern\"}"}});
            let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
            Script::json(200, &completion(message, "tool_calls"))
        }
        "shape" => {
            assert_eq!(request["response_format"]["type"], "json_schema");
            says("{\"a\":1}")
        }
        "logprobs" => {
            let mut value = completion(json!({"role": "assistant", "content": "y"}), "stop");
            let one = json!({"token": "y", "logprob": -0.25, "bytes": [121], "top_logprobs": []});
            value["choices"][0]["logprobs"] = json!({"content": [one]});
            Script::json(200, &value)
        }
        "refuse" => failing(400, "engine_says_no"),
        "down" => failing(500, "engine_down"),
        "break" => Script { dies_at: Some(2), ..Script::stream(&["some", "thing", "more"]) },
        "busy once" if !busy.swap(true, Ordering::SeqCst) => Script { refusal: Some("busy"), ..says("") },
        "busy once" => says("at last"),
        "endless" => Script { pieces: vec![event("again"); 100_000], ..Script::stream(&[]) },
        "never" => Script { gate: Some(Arc::new(Semaphore::new(0))), ..says("never") },
        other => panic!("no script for {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an SDK: clients/openai/run.sh"]
async fn openais_sdk_is_served() {
    let command = std::env::var("TACIT_SDK").expect("clients/openai/run.sh sets it");
    let ledger = ledger(&[wallet(1).address(), wallet(2).address(), wallet(3).address()]).await;
    let worker = Reference::start(&ledger.client, 1, LanguageKind::Language, PRICES, says("")).await;
    let busy = AtomicBool::new(false);
    worker.run(Box::new(move |request| talk(&busy, request)));
    let vectors = json!({"object": "list", "model": "vectors", "data": [
        {"object": "embedding", "index": 0, "embedding": [1.0, 2.0]},
        {"object": "embedding", "index": 1, "embedding": [0.5, -1.5]}], "usage": {"prompt_tokens": 2, "total_tokens": 2}});
    let prices = TokenPrices { completion: Amount(0), ..PRICES };
    let script = Script::json(200, &vectors);
    let _vectors = Reference::start(&ledger.client, 3, LanguageKind::Embedding, prices, script).await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let keys = ApiKeys::at(&file);
    let key = keys.create("mine", None, None).unwrap();
    let poor = keys.create("poor", Some(Amount(10_000)), None).unwrap();
    let gateway = Gateway::open(GatewayConfig {
        attestation: None,
        wallet: wallet(2),
        ledger: ledger.client.clone(),
        store: Store::with_backend(Disk::default().open()).unwrap(),
        spending: Spending { max_price_default: Amount(100_000_000), ..Spending::default() },
        canaries: tacit_gateway::CanaryPolicy::default(),
        audits: tacit_gateway::AuditPolicy::default(),
        unlinkable: tacit_gateway::UnlinkablePolicy::default(),
        door: DoorConfig { api_keys: Some(file), ..DoorConfig::default() },
    })
    .unwrap();
    let server = Server::spawn(listen(0).await, |listener| async move {
        let _ = gateway.serve(listener, core::future::pending()).await;
    });
    let mut words = command.split_whitespace();
    let status = tokio::process::Command::new(words.next().unwrap())
        .args(words)
        .args([&server.url, key.as_str(), poor.as_str()])
        .stdin(Stdio::null())
        .status()
        .await
        .unwrap();
    assert!(status.success(), "{status}");
    // Whoever left an endless answer, and whoever gave up waiting, stopped the engine.
    while worker.state.left.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    let (owed, promised, unpaid) = worker.books();
    assert!(
        unpaid <= PRICES.chunk().0 && promised <= owed + 2 * PRICES.chunk().0,
        "{owed} {promised} {unpaid}"
    );
}
