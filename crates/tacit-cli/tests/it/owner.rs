//! An owner of a machine and a developer at the market's doors: processes as people start them, between an engine and a program that asks.

use super::roles::{Folder, Role};
use super::{ok, refused, tacit, text};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tacit_gateway::StreamBundle;
use tacit_wire::language::{LanguageKind, LanguageManifest};
use tacit_wire::{Amount, Salts, Wallet};
use tokio::runtime::Runtime;

/// An engine that answers each request with eleven letters.
pub(crate) struct Engine {
    pub(crate) url: String,
    runtime: Runtime,
}

impl Engine {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let models = Json(json!({"object": "list", "data": [{"id": "small"}]}));
        let answer = || async {
            let event = |text: &str| {
                format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": text}}]}))
            };
            let words: String = ["Hello", " there"].iter().map(|text| event(text)).collect();
            ([("content-type", "text/event-stream")], words + "data: [DONE]\n\n").into_response()
        };
        let router = Router::new()
            .route("/v1/models", get(move || async move { models }))
            .route("/v1/chat/completions", post(answer))
            .route("/v1/completions", post(answer));
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, runtime }
    }

    /// Asks a gateway, as a program does.
    pub(crate) fn ask(&self, gateway: &str) -> (u16, String) {
        self.runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let body =
                json!({"model": "small", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
            let reply =
                client.post(format!("{gateway}/v1/chat/completions")).json(&body).send().await.unwrap();
            (reply.status().as_u16(), reply.text().await.unwrap())
        })
    }
}

/// A tokenizer that gives each byte a token.
fn tokenizer() -> Vec<u8> {
    let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut others = 256..;
    let letters: Map<String, Value> = (0..256_u32)
        .map(|byte| if printable(byte) { byte } else { others.next().unwrap() })
        .enumerate()
        .map(|(id, letter)| (char::from_u32(letter).unwrap().to_string(), Value::from(id)))
        .collect();
    let cut =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    serde_json::to_vec(&json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": cut, "post_processor": null, "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": letters, "merges": []
        }
    }))
    .unwrap()
}

/// Writes what `tacit model language` writes, for a model without weights.
pub(crate) fn describe(folder: &Folder, name: &str) -> String {
    let tokenizer = tokenizer();
    let manifest = LanguageManifest {
        kind: LanguageKind::Language,
        name: name.to_owned(),
        weights: alloy_primitives::B256::repeat_byte(9),
        tokenizer: alloy_primitives::B256::from(*blake3::hash(&tokenizer).as_bytes()),
        format: "gguf".to_owned(),
        quantisation: "Q4_1".to_owned(),
        context_tokens: 4096,
        message_tokens: 4,
        licence: "Apache-2.0".to_owned(),
    };
    std::fs::create_dir_all(folder.join(name)).unwrap();
    std::fs::write(folder.join(name).join("manifest.json"), manifest.write().unwrap().0).unwrap();
    std::fs::write(folder.join(name).join("tokenizer.json"), tokenizer).unwrap();
    folder.path(&format!("{name}/manifest.json"))
}

/// Ledger, worker with two models of which the second's engine is away, and gateway.
struct Market {
    folder: Folder,
    engine: Engine,
    ledger: Role,
    worker: Option<Role>,
    gateway: Role,
    worker_key: String,
}

const MODELS: &str = r#"
[[model]]
engine = "ENGINE"
manifest = "small/manifest.json"
prompt_price = 0.02
completion_price = "0.08"

[[model]]
engine = "http://127.0.0.1:9"
manifest = "absent/manifest.json"
completion_price = 1
capacity = 3
"#;

impl Market {
    fn open() -> Self {
        let (folder, engine) = (Folder::new(), Engine::start());
        let (worker_key, worker) = folder.key("worker.key");
        let (client_key, client) = folder.key("client.key");
        let ledger = Role::start(&["node", "dev", "--fund", &worker, "--fund", &client]);
        describe(&folder, "small");
        describe(&folder, "absent");
        std::fs::write(folder.join("models.toml"), MODELS.replace("ENGINE", &engine.url)).unwrap();
        let data = folder.path("gateway");
        let gateway = ["gateway", "--ledger", ledger.url(), "--key", &client_key, "--data", &data];
        let gateway = Role::start(&gateway);
        let mut market = Self { folder, engine, ledger, worker: None, gateway, worker_key };
        market.start_worker();
        market
    }

    fn start_worker(&mut self) -> Value {
        let (models, data) = (self.folder.path("models.toml"), self.folder.path("worker"));
        let ledger = self.ledger.url();
        let words =
            ["worker", "--models", &models, "--ledger", ledger, "--key", &self.worker_key, "--data", &data];
        let worker = Role::start(&words);
        let ready = worker.ready.clone();
        self.worker = Some(worker);
        ready
    }

    fn estimate(&self, more: &[&str]) -> Value {
        let manifest = self.folder.path("small/manifest.json");
        let words = [
            "worker",
            "estimate",
            "--engine",
            &self.engine.url,
            "--manifest",
            &manifest,
            "--ledger",
            self.ledger.url(),
        ];
        ok(&[&words[..], &["--capacity", "2", "--prompt-tokens", "16", "--completion-tokens", "16"], more]
            .concat())
    }

    /// An order to the worker.
    fn order(&self, words: &[&str]) -> Value {
        let worker = self.worker.as_ref().unwrap().url();
        ok(&[&["worker"][..], words, &["--key", &self.worker_key, "--worker", worker]].concat())
    }

    fn receipts(&self) -> Vec<Value> {
        ok(&["receipt", "list", "--gateway", self.gateway.url()])["receipts"].as_array().unwrap().clone()
    }
}

/// Waits for what another process does beside.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn receipts_of_streams_are_listed_saved_and_checked_by_anybody() {
    let market = Market::open();
    let info = &market.worker.as_ref().unwrap().ready["info"]["languages"];
    let available = |name: &str| {
        info.as_array().unwrap().iter().find(|model| model["name"] == name).unwrap()["available"].clone()
    };
    assert_eq!((available("small"), available("absent")), (json!(true), json!(false)));
    let (status, body) = market.engine.ask(market.gateway.url());
    assert_eq!(status, 200, "{body}");
    let entry = until(|| market.receipts().pop());
    assert_eq!((&entry["model"], &entry["kind"]), (&json!("small"), &json!("stream")));
    let tokens = json!({"prompt": 6, "completion": 11});
    assert_eq!((&entry["stream"]["claimed"], &entry["stream"]["counted"]), (&tokens, &tokens));
    // Six at 0.02 and eleven at 0.08 of a million.
    assert_eq!(entry["price"], "0.000001");
    let line = tacit().args(["receipt", "list", "--gateway", market.gateway.url()]).output().unwrap();
    let line = String::from_utf8(line.stdout).unwrap();
    assert!(line.contains("small  6 + 11 tokens  paid 0.000001 to 0x"), "{line}");

    let id = entry["receipt"].as_str().unwrap();
    let show = ["receipt", "show", id, "--gateway", market.gateway.url()];
    // The worker anchors it once a voucher covers it.
    until(|| ok(&show)["block"].as_u64());
    let file = market.folder.path("receipt.json");
    ok(&[&show[..], &["-o", &file]].concat());
    let verified = ok(&["receipt", "verify", &file]);
    assert_eq!((&verified["verified"], &verified["account"]["verdict"]), (&json!(true), &json!("true")));
    assert_eq!((&verified["account"]["counted"], &verified["price"]), (&tokens, &json!("0.000001")));
    let anchored = ok(&["receipt", "verify", &file, "--ledger", market.ledger.url()]);
    assert_eq!(anchored["block"], ok(&show)["block"]);
    // Without the tokenizer the counts are the worker's word.
    let beside = market.folder.path("tokenizer.json");
    std::fs::rename(market.folder.join("receipt.json.tokenizer"), &beside).unwrap();
    assert_eq!(ok(&["receipt", "verify", &file])["account"]["verdict"], "uncounted");
    let verified = ok(&["receipt", "verify", &file, "--tokenizer", &beside]);
    assert_eq!(verified["account"]["counted"], tokens);
    let wrong = market.folder.path("small/manifest.json");
    let refusal = refused(&["receipt", "verify", &file, "--tokenizer", &wrong]);
    assert_eq!(refusal["code"], "receipt_rejected");

    // Whoever changes it has nothing.
    let bundle: StreamBundle = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let mut changed = bundle.clone();
    changed.answer.truncate(40);
    let other = market.folder.path("changed.json");
    std::fs::write(&other, serde_json::to_vec(&changed).unwrap()).unwrap();
    assert_eq!(refused(&["receipt", "verify", &other])["code"], "receipt_rejected");

    // A worker that signs more than came has signed it.
    let mut lie = bundle;
    lie.bill.tokens.completion += 32;
    lie.receipt.receipt.price += 32 * lie.bill.prices.completion.0;
    let [input, output, evidence] = [lie.input_salt, lie.output_salt, lie.evidence_salt].map(|salt| salt.0);
    let salts = Salts { input, output, evidence };
    lie.receipt.receipt.evidenceHash = salts.commit_evidence(&lie.bill.to_bytes());
    let worker = Wallet::load(&market.folder.join("worker.key")).unwrap();
    lie.receipt = worker.sign_receipt(lie.receipt.receipt, lie.chain_id);
    lie.anchor = None;
    let other = market.folder.path("lie.json");
    std::fs::write(&other, serde_json::to_vec(&lie).unwrap()).unwrap();
    for more in [&[][..], &["--ledger", market.ledger.url()]] {
        let words = ["receipt", "verify", &other, "--tokenizer", &beside];
        let refusal = refused(&[&words[..], more].concat());
        assert_eq!(refusal["code"], "false_account");
        let account = &refusal["figures"]["account"];
        assert_eq!((&account["verdict"], &account["counted"]), (&json!("false_account"), &tokens));
        assert_eq!(account["claimed"]["completion"], 43);
        assert_eq!((&account["charged"], &account["due"]), (&json!("0.00000356"), &json!("0.000001")));
    }
    let output = tacit().args(["receipt", "verify", &other, "--tokenizer", &beside]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(said.contains("6 + 43 tokens for 0.00000356") && said.contains("6 + 11 tokens"), "{said}");
}

#[test]
fn an_owner_estimates_joins_drains_and_goes_home() {
    let mut market = Market::open();
    // What the figures are is what was measured: an hour of the tokens and the time that are told.
    let prices = ["--prompt-price", "0.02", "--completion-price", "0.08"];
    let told = market.estimate(&[&prices[..], &["--cost-per-hour", "1000000"]].concat());
    let full = &told["measured"]["full"];
    assert_eq!((&full["requests_at_once"], &full["completion_tokens"]), (&json!(2), &json!(22)));
    let number = |value: &Value| u128::from(value.as_u64().unwrap());
    let bill = number(&full["prompt_tokens"]) * 20_000_000_000 + 22 * 80_000_000_000;
    let hour = bill * 3_600_000_000 / number(&full["wall_us"]);
    let rows = told["prices"].as_array().unwrap();
    let of = |source: &str| rows.iter().find(|row| row["source"] == source).unwrap();
    assert_eq!(of("yours")["coins_per_hour"]["100"], Amount(hour).to_string());
    assert_eq!(of("yours")["pays"], false);
    // The worker's own ask is the only one of the model; the other model's engine is away, so that it is not asked for.
    assert_eq!(of("lowest of this model")["coins_per_hour"], of("yours")["coins_per_hour"]);
    assert_eq!(of("median of this model")["asks"], 1);
    assert!(!rows.iter().any(|row| row["source"] == "lowest of other models"));
    assert_eq!((&told["to_join"]["stake"], &told["demand"]), (&json!("0.01"), &json!("unknown")));
    assert!(told["to_join"]["gas"].as_u64().unwrap() > 50_000);
    assert!((21_000..50_000).contains(&told["to_stay"]["gas_per_hour"].as_u64().unwrap()));

    assert_eq!(market.engine.ask(market.gateway.url()).0, 200);
    let report =
        until(|| Some(market.order(&["status"])).filter(|report| report["money"]["promised"] != "0"));
    assert_eq!(report["languages"].as_array().unwrap().len(), 2);
    assert_eq!((&report["stake"]["asks"], &report["safe_to_stop"]), (&json!(1), &json!(false)));
    let withdraw = ["worker", "withdraw", "--key", &market.worker_key, "--ledger", market.ledger.url()];
    assert_eq!(refused(&withdraw)["code"], "not_drained");
    let client_key = market.folder.path("client.key");
    let worker_url = market.worker.as_ref().unwrap().url().to_owned();
    let stranger = refused(&["worker", "drain", "--key", &client_key, "--worker", &worker_url]);
    assert_eq!(stranger["code"], "not_owner");

    let report = market.order(&["drain", "--wait"]);
    assert_eq!((&report["safe_to_stop"], &report["waiting_for"]), (&json!(true), &json!([])));
    assert_eq!(report["money"]["unsettled"], "0");
    assert_eq!(report["money"]["settled"], "0.000001");
    // What the ledger shows of it, to anybody: the same at the same block.
    let (worker, url) = (report["worker"].as_str().unwrap(), market.ledger.url());
    let past = ok(&["worker", "reputation", worker, "--ledger", url]);
    assert_eq!((&past["worker"], &past["bonded"]), (&report["worker"], &json!("0.01")));
    assert_eq!(past["settlements"].as_array().unwrap().len(), 1);
    assert_ne!((&past["history"], &past["hours_beaten"]), (&json!("0"), &json!(0)));
    // Nobody audited it, so that nothing is trusted yet.
    assert_eq!((&past["passed"], &past["reputation"]), (&json!(0), &json!("0")));
    let block = past["block"].to_string();
    assert_eq!(ok(&["worker", "reputation", worker, "--ledger", url, "--block", &block]), past);
    let early = ok(&["worker", "reputation", worker, "--ledger", url, "--block", "0"]);
    assert_eq!((&early["history"], &early["last_beat_s"]), (&json!("0"), &Value::Null));
    let beyond = ["worker", "reputation", worker, "--ledger", url, "--block", "1000000"];
    assert_eq!(refused(&beyond)["code"], "history");
    assert_ne!(market.engine.ask(market.gateway.url()).0, 200);
    // Started again, it stays out.
    market.worker = None;
    assert_eq!(market.start_worker()["drained"], true);
    assert_eq!(market.order(&["status"])["safe_to_stop"], true);
    let home = ok(&withdraw_words(&market));
    assert_eq!((&home["asked_back"], &home["came_home"]), (&json!("0.01"), &json!("0")));
    let home = ok(&withdraw_words(&market));
    assert_eq!((&home["asked_back"], &home["unbonding"]), (&json!("0"), &json!("0.01")));
    assert!(home["release_at"].is_u64());
    // And comes back, with a new stake, when its owner says so.
    assert_eq!(market.order(&["resume"])["drained_since_s"], Value::Null);
    until(|| Some(market.order(&["status"])).filter(|report| report["stake"]["asks"] == 1));
    until(|| Some(market.engine.ask(market.gateway.url()).0).filter(|status| *status == 200));
}

/// What an audit of a language model's answer found stands with its receipt.
#[test]
fn a_receipt_says_what_became_of_its_answers_audit() {
    let market = Market::open();
    let (client_key, client) = market.folder.key("auditing.key");
    let fund = ["wallet", "send", &market.worker_key, &client, "5", "--ledger", market.ledger.url()];
    ok(&fund);
    let data = market.folder.path("auditing");
    let start = ["gateway", "--ledger", market.ledger.url(), "--key", &client_key, "--data", &data];
    let gateway = Role::start(&[&start[..], &["--audit-language", "1"]].concat());
    assert_eq!(market.engine.ask(gateway.url()).0, 200);
    let listed = || ok(&["receipt", "list", "--gateway", gateway.url()])["receipts"][0].clone();
    let entry = until(|| Some(listed()).filter(|entry| entry["stream"]["audit"].is_object()));
    let reason = "its engine gives no log-probabilities";
    let expected = json!({"unsupported": {"reason": reason}});
    let show = ["receipt", "show", entry["receipt"].as_str().unwrap(), "--gateway", gateway.url()];
    assert_eq!(ok(&show)["stream"]["audit"], expected);
    let line = String::from_utf8(tacit().args(show).output().unwrap().stdout).unwrap();
    assert!(line.contains(&format!("(cannot be audited: {reason})")), "{line}");
    // The other gateway audits nothing, and says nothing.
    assert_eq!(market.engine.ask(market.gateway.url()).0, 200);
    assert_eq!(until(|| market.receipts().pop())["stream"]["audit"], Value::Null);
}

fn withdraw_words(market: &Market) -> [&str; 6] {
    ["worker", "withdraw", "--key", &market.worker_key, "--ledger", market.ledger.url()]
}

#[test]
fn a_file_of_models_that_is_wrong_says_what_is_wrong() {
    let folder = Folder::new();
    let (key, account) = folder.key("worker.key");
    let ledger = Role::start(&["node", "dev", "--fund", &account]);
    describe(&folder, "small");
    let (models, data) = (folder.path("models.toml"), folder.path("worker"));
    let entry = "[[model]]\nengine = \"http://127.0.0.1:9\"\nmanifest = \"small/manifest.json\"\n";
    for (text, said) in [
        (format!("{entry}promt_price = 1\n"), "promt_price"),
        (entry.repeat(2), "models 1 and 2 are one: small"),
        (entry.replace("small", "nobody"), "model 1: "),
    ] {
        std::fs::write(&models, text).unwrap();
        let words = ["worker", "--models", &models, "--ledger", ledger.url(), "--key", &key, "--data", &data];
        let refusal = refused(&words);
        assert!(refusal["message"].as_str().unwrap().contains(said), "{refusal}");
        assert!(!refusal["hint"].as_str().unwrap().is_empty());
    }
}
