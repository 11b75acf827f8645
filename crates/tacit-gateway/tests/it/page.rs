//! What the page asks for: stages of a question as it is asked, receipts checked again, the ledger taken apart, money and market.

use std::sync::Arc;

use redb::{ReadableTable, TableDefinition};
use reqwest::{Client, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tacit_abi::{Evidence, Privacy, channels};
use tacit_gateway::{
    AskAnswer, AskRequest, Gateway,
    explorer::{Argument, BLOCKS_MAX, BlockDetail, Blocks, Kind, TransactionDetail},
    page::{
        CheckName, CheckOutcome, History, ModelDetail, Money, ReceiptDetail, Stage, StageEvent, Verification,
        WorkerView,
    },
};
use tacit_wire::{Amount, JobId};
use tacit_worker::{GraphEngine, ServedModel};

use crate::{
    dishonest::ChangedOutput,
    disk::Disk,
    support::{
        FEATURES, PRICE, RunningWorker, Server, WorkerPlan, expected_label, gateway_on, ledger, listen,
        model, named_model, question, served, wallet,
    },
};

const EVERY_STAGE: [Stage; 10] = [
    Stage::Found,
    Stage::Channel,
    Stage::Sealed,
    Stage::Sent,
    Stage::Run,
    Stage::Proved,
    Stage::Received,
    Stage::Verified,
    Stage::Paid,
    Stage::Anchored,
];
const WAIT_MS: u64 = 10_000;

struct Cast {
    ledger: crate::support::Ledger,
    worker: RunningWorker,
    gateway: Arc<Gateway>,
    server: Server,
    disk: Disk,
}

async fn serve(gateway: &Arc<Gateway>) -> Server {
    let serving = Arc::clone(gateway);
    Server::spawn(listen(0).await, |listener| async move {
        let _ = serving.serve(listener, core::future::pending()).await;
    })
}

async fn cast(plan: WorkerPlan) -> Cast {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address(), wallet(3).address()]).await;
    let worker = plan.start(&ledger.client).await;
    let disk = Disk::default();
    let gateway = gateway_on(&ledger.client, 2, &disk);
    let server = serve(&gateway).await;
    Cast { ledger, worker, gateway, server, disk }
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

async fn get(url: &str, path: &str) -> Response {
    client().get(format!("{url}{path}")).send().await.unwrap()
}

async fn read<T: DeserializeOwned>(url: &str, path: &str) -> T {
    let response = get(url, path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.unwrap()
}

/// One event of a stream.
#[derive(Debug)]
enum Told {
    Stage(StageEvent),
    Retry(Value),
    Answer(Box<AskAnswer>),
    Error(Value),
}

async fn watch(url: &str, request: &AskRequest) -> Vec<Told> {
    let asked = client().post(format!("{url}/tacit/v1/ask")).header(header::ACCEPT, "text/event-stream");
    let response = asked.json(request).send().await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let text = response.text().await.unwrap();
    assert!(text.ends_with("\n\n"), "{text}");
    let event = |event: &str| {
        let (name, data) = event.split_once('\n').unwrap();
        let data = data.strip_prefix("data: ").unwrap();
        match name.strip_prefix("event: ").unwrap() {
            "stage" => Told::Stage(serde_json::from_str(data).unwrap()),
            "retry" => Told::Retry(serde_json::from_str(data).unwrap()),
            "answer" => Told::Answer(serde_json::from_str(data).unwrap()),
            "error" => Told::Error(serde_json::from_str(data).unwrap()),
            other => panic!("{other}"),
        }
    };
    text.split_terminator("\n\n").map(event).collect()
}

fn stages(told: &[Told]) -> Vec<Stage> {
    let stage = |told: &Told| if let Told::Stage(event) = told { Some(event.stage) } else { None };
    told.iter().filter_map(stage).collect()
}

fn waiting(request: AskRequest) -> AskRequest {
    AskRequest { anchor_wait_ms: Some(WAIT_MS), ..request }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_tells_each_stage_once_and_in_order() {
    let cast = cast(WorkerPlan::honest(1)).await;
    let request = waiting(question(1));
    let told = watch(&cast.server.url, &request).await;
    assert_eq!(stages(&told), EVERY_STAGE);
    // The answer comes once it is paid; its place on the ledger may follow.
    let [.., Told::Stage(paid), Told::Answer(answer), Told::Stage(anchored)] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!((paid.stage, paid.price), (Stage::Paid, Some(PRICE)));
    assert_eq!(answer.label, Some(expected_label(&request)));
    assert!(answer.verified && answer.paid);
    assert_eq!(anchored.block, cast.gateway.receipt(answer.job_id).unwrap().block);

    let events: Vec<&StageEvent> = told
        .iter()
        .filter_map(|told| if let Told::Stage(event) = told { Some(event) } else { None })
        .collect();
    assert!(events.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms), "{events:?}");
    assert_eq!((events[0].worker, events[0].price), (Some(wallet(1).address()), Some(PRICE)));
    let channel_id = cast.gateway.status().await.unwrap().channels[0].channel_id;
    assert_eq!(events[1].channel_id, Some(channel_id));
    assert_eq!(events[2].bytes, Some(answer.bytes_up));
    assert_eq!(events[4].took_ms, Some(answer.prove_ms));
    assert_eq!(events[5].bytes, Some(answer.proof_bytes));
    assert_eq!(events[6].bytes, Some(answer.bytes_down));
    assert_eq!(events[7].took_ms, Some(answer.verify_cpu_ms));

    // Without a proof nothing is proved; without a wait nothing is waited for.
    let signed = AskRequest { evidence: Some(Evidence::Signed), ..question(2) };
    let told = watch(&cast.server.url, &signed).await;
    let expected: Vec<Stage> =
        EVERY_STAGE.into_iter().filter(|stage| !matches!(stage, Stage::Proved | Stage::Anchored)).collect();
    assert_eq!(stages(&told), expected);
    assert!(matches!(told.last(), Some(Told::Answer(answer)) if !answer.verified));

    // The same request without the header has one answer, as ever.
    let plain =
        client().post(format!("{}/tacit/v1/ask", cast.server.url)).json(&question(3)).send().await.unwrap();
    assert_eq!(plain.headers()[header::CONTENT_TYPE], "application/json");
    assert!(plain.json::<AskAnswer>().await.unwrap().paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_tells_how_far_it_came() {
    let cheat = served(&model(), "small", Arc::new(ChangedOutput), PRICE);
    let cast = cast(WorkerPlan { models: vec![cheat], ..WorkerPlan::honest(1) }).await;
    let told = watch(&cast.server.url, &waiting(question(1))).await;
    assert_eq!(stages(&told), EVERY_STAGE[..7], "it came, and was not believed");
    let Some(Told::Error(error)) = told.last() else { panic!("{told:?}") };
    assert_eq!(error["error"]["code"], "false_proof");
    assert_eq!(cast.worker.worker.earnings().unwrap().vouchered, Amount::ZERO);

    // It is not asked again, and nobody else is there: nothing begins.
    let told = watch(&cast.server.url, &question(2)).await;
    let [Told::Error(error)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(error["error"]["code"], "distrusted");
    let unknown = AskRequest { model: "nobody".to_owned(), ..question(1) };
    let told = watch(&cast.server.url, &unknown).await;
    let [Told::Error(error)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(error["error"]["code"], "unknown_model");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_begins_the_stages_again() {
    let cast = cast(WorkerPlan::honest(1)).await;
    // A cheaper one, that has lost the key which its asks name: what is sealed to it, it cannot open.
    let cheaper =
        || vec![served(&model(), "small", Arc::new(GraphEngine::new(model())), Amount(PRICE.0 / 2))];
    let lost = WorkerPlan { models: cheaper(), ..WorkerPlan::honest(3) }.start(&cast.ledger.client).await;
    let port = lost.server.url.rsplit(':').next().unwrap().parse().unwrap();
    drop(lost);
    let plan = WorkerPlan { models: cheaper(), port, ..WorkerPlan::honest(3) };
    let _forgetful = plan.start_quietly(&cast.ledger.client).await;
    let told = watch(&cast.server.url, &waiting(question(2))).await;
    let at = told.iter().position(|told| matches!(told, Told::Retry(_))).unwrap();
    assert_eq!(stages(&told[..at]), EVERY_STAGE[..4], "it was asked, and refused");
    let Told::Retry(retried) = &told[at] else { panic!() };
    assert_eq!(retried["worker"], json!(wallet(3).address()));
    assert_eq!(retried["error"]["code"], "refused");
    assert_eq!(stages(&told[at..]), EVERY_STAGE);
}

type Records<'a> = TableDefinition<'a, [u8; 32], &'static [u8]>;
/// What is changed, where, how, and which checks must see it.
type Case<'a> = (&'a str, Records<'a>, [u8; 32], &'a dyn Fn(&mut Value), &'a [CheckName]);

const ANSWERS: Records<'_> = TableDefinition::new("answers");
const JOBS: Records<'_> = TableDefinition::new("jobs");
const MODELS: Records<'_> = TableDefinition::new("models");

/// Changes a record on the disk, as whoever has the file can.
fn tamper(disk: &Disk, table: Records<'_>, key: [u8; 32], change: impl Fn(&mut Value)) {
    let database = redb::Database::builder().create_with_backend(disk.open()).unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut table = write.open_table(table).unwrap();
        let mut record: Value = serde_json::from_slice(table.get(key).unwrap().unwrap().value()).unwrap();
        change(&mut record);
        table.insert(key, serde_json::to_vec(&record).unwrap().as_slice()).unwrap();
    }
    write.commit().unwrap();
}

async fn verify(url: &str, id: &str) -> Verification {
    let response =
        client().post(format!("{url}/tacit/v1/receipts/{id}/verify")).json(&json!({})).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

fn outcomes(verification: &Verification) -> Vec<(CheckName, CheckOutcome)> {
    verification.checks.iter().map(|check| (check.name, check.outcome)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_receipt_is_checked_again_and_a_tampered_one_refused() {
    use CheckName::{Anchor, Evidence as Proof, Input, Model, Output, Path, Signature};
    use CheckOutcome::{Failed, Open, Passed};
    let Cast { ledger, worker, gateway, server, disk } = cast(WorkerPlan::honest(1)).await;
    let answer = gateway.ask(waiting(question(1))).await.unwrap();
    assert!(answer.block.is_some());
    let id = answer.receipt.to_string();
    let found = verify(&server.url, &id).await;
    let all = [Model, Signature, Input, Output, Proof, Path, Anchor];
    assert_eq!(outcomes(&found), all.map(|name| (name, Passed)));
    assert!(found.verified);
    assert_eq!(
        (found.receipt, found.job_id, found.security_bits),
        (Some(answer.receipt), answer.job_id, Some(100))
    );
    assert!(found.checks.iter().all(|check| check.took_ms >= 0.0 && !check.detail.is_empty()));
    let proof = found.checks.iter().find(|check| check.name == Proof).unwrap();
    assert!(proof.took_ms > 0.0 && proof.detail.contains("100 bits"), "{proof:?}");

    drop((server, gateway, worker));
    let whole = disk.clone();
    let (job, model_id) = (answer.job_id.0.0, answer.model_id.0);
    let bump = |value: &mut Value| *value = json!(value.as_i64().unwrap() + 1);
    let flip = |value: &mut Value, at: usize| {
        let mut text = value.as_str().unwrap().to_owned().into_bytes();
        text[at] = if text[at] == b'0' { b'1' } else { b'0' };
        *value = json!(String::from_utf8(text).unwrap());
    };
    let cases: [Case<'_>; 10] = [
        ("output", ANSWERS, job, &|answer: &mut Value| bump(&mut answer["output"][0]), &[Output, Proof]),
        ("question", JOBS, job, &|job: &mut Value| bump(&mut job["values"][0]), &[Input, Proof]),
        (
            "price",
            ANSWERS,
            job,
            &|answer: &mut Value| answer["receipt"]["price"] = json!("1"),
            &[Signature, Proof],
        ),
        (
            "signature",
            ANSWERS,
            job,
            &|answer: &mut Value| flip(&mut answer["receipt"]["signature"], 9),
            &[Signature, Proof],
        ),
        ("proof", ANSWERS, job, &|answer: &mut Value| flip(&mut answer["proof"]["proof"], 400), &[Proof]),
        ("no proof", ANSWERS, job, &|answer: &mut Value| answer["proof"] = Value::Null, &[Proof]),
        (
            "salt",
            ANSWERS,
            job,
            &|answer: &mut Value| bump_byte(&mut answer["salts"]["evidence"][0]),
            &[Proof],
        ),
        ("model", MODELS, model_id, &|model: &mut Value| flip(&mut model["weight_root"], 9), &[Model, Proof]),
        (
            "path",
            ANSWERS,
            job,
            &|answer: &mut Value| answer["anchor"]["siblings"] = json!([answer["anchor"]["root"]]),
            &[Path],
        ),
        ("block", ANSWERS, job, &|answer: &mut Value| bump(&mut answer["anchor"]["block"]), &[Anchor]),
    ];
    for (name, table, key, change, expected) in cases {
        let disk = whole.copy();
        tamper(&disk, table, key, change);
        let gateway = gateway_on(&ledger.client, 2, &disk);
        let server = serve(&gateway).await;
        let found = verify(&server.url, &answer.job_id.to_string()).await;
        assert!(!found.verified, "{name}");
        let failed: Vec<CheckName> =
            found.checks.iter().filter(|check| check.outcome == Failed).map(|check| check.name).collect();
        assert_eq!(failed, expected, "{name}: {found:?}");
        assert!(found.checks.iter().all(|check| !check.detail.is_empty()));
    }

    // One that is not anchored yet is believed, and says so: its worker is gone.
    let disk = whole.copy();
    tamper(&disk, ANSWERS, job, |answer| answer["anchor"] = Value::Null);
    let gateway = gateway_on(&ledger.client, 2, &disk);
    let server = serve(&gateway).await;
    let found = verify(&server.url, &id).await;
    assert!(found.verified);
    assert_eq!(outcomes(&found)[5..], [(Path, Open), (Anchor, Open)]);
}

fn bump_byte(value: &mut Value) {
    *value = json!((value.as_u64().unwrap() + 1) % 256);
}

#[tokio::test(flavor = "multi_thread")]
async fn checking_again_is_refused_to_other_sites_and_unknown_receipts() {
    let cast = cast(WorkerPlan::honest(1)).await;
    let answer = cast.gateway.ask(question(1)).await.unwrap();
    let url = format!("{}/tacit/v1/receipts/{}/verify", cast.server.url, answer.receipt);
    // What a page of another site can send without being asked.
    let plain = client().post(&url).body("{}").send().await.unwrap();
    assert_eq!(plain.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(get(&url, "").await.status(), StatusCode::NOT_FOUND);
    let unknown = url.replace(&answer.receipt.to_string(), &JobId::random().to_string());
    assert_eq!(
        client().post(&unknown).json(&json!({})).send().await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_all_it_asks_for_are_behind_the_guard() {
    let cast = cast(WorkerPlan::honest(1)).await;
    let page = get(&cast.server.url, "/").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(page.headers()[header::CONTENT_SECURITY_POLICY], tacit_web::POLICY);
    let file = format!("/page/{}/main.js", tacit_web::hash());
    assert!(page.text().await.unwrap().contains(&file));
    assert_eq!(get(&cast.server.url, &file).await.status(), StatusCode::OK);

    let id = JobId::random();
    for path in [
        "/",
        &file,
        "/tacit/v1/market",
        "/tacit/v1/money",
        "/tacit/v1/history",
        "/tacit/v1/blocks",
        "/tacit/v1/blocks/1",
        "/tacit/v1/models/small",
        &format!("/tacit/v1/receipts/{id}/detail"),
    ] {
        let url = format!("{}{path}", cast.server.url);
        for (name, value) in [
            (header::HOST, "evil.example"),
            (header::ORIGIN, "http://evil.example"),
            (header::ORIGIN, "null"),
        ] {
            let refused = client().get(&url).header(name.clone(), value).send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path} {name} {value}");
            assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], "foreign_origin");
        }
    }
    let watched = client()
        .post(format!("{}/tacit/v1/ask", cast.server.url))
        .header(header::ACCEPT, "text/event-stream");
    let refused =
        watched.header(header::ORIGIN, "http://evil.example").json(&question(1)).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(cast.gateway.receipts().unwrap().is_empty());
}

async fn transactions(url: &str, action: &str) -> Vec<TransactionDetail> {
    let blocks: Blocks = read(url, "/tacit/v1/blocks").await;
    let mut found = Vec::new();
    for block in blocks.blocks.iter().filter(|block| block.actions.iter().any(|name| name == action)) {
        let detail: BlockDetail = read(url, &format!("/tacit/v1/blocks/{}", block.number)).await;
        assert_eq!(
            (detail.hash, detail.time_s, detail.count),
            (block.hash, block.time_s, block.transactions)
        );
        found.extend(detail.transactions.into_iter().filter(|transaction| transaction.action == action));
    }
    found
}

fn argument<'a>(arguments: &'a [Argument], name: &str) -> (Kind, &'a Value) {
    let found = arguments.iter().find(|argument| argument.name == name).unwrap();
    (found.kind, &found.value)
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_read_with_their_module_calls_taken_apart() {
    let cast = cast(WorkerPlan::honest(1)).await;
    let answer = cast.gateway.ask(waiting(question(1))).await.unwrap();
    let url = &cast.server.url;
    let blocks: Blocks = read(url, "/tacit/v1/blocks").await;
    assert_eq!(blocks.chain_id, cast.ledger.client.chain_id());
    assert_eq!(blocks.latest, cast.ledger.client.block_number().await.unwrap());
    let numbers: Vec<u64> = blocks.blocks.iter().map(|block| block.number).collect();
    let expected: Vec<u64> = (0..=blocks.latest).rev().take(usize::try_from(BLOCKS_MAX).unwrap()).collect();
    assert_eq!(numbers, expected);
    let page: Blocks = read(url, "/tacit/v1/blocks?before=3&limit=2").await;
    assert_eq!(page.blocks.iter().map(|block| block.number).collect::<Vec<_>>(), [2, 1]);
    let none: Blocks = read(url, "/tacit/v1/blocks?before=0").await;
    assert!(none.blocks.is_empty());

    let opened = transactions(url, "channels.open").await;
    let [opened] = opened.as_slice() else { panic!("{opened:?}") };
    assert!(opened.succeeded && opened.gas_used > 21_000 && opened.input.is_none());
    assert_eq!((opened.from, opened.to), (wallet(2).address(), Some(channels::ADDRESS)));
    assert_eq!(opened.value, Amount(10_u128.pow(17)));
    let call = opened.call.as_ref().unwrap();
    let worker = json!(wallet(1).address().to_string());
    assert_eq!((call.module.as_str(), call.name.as_str()), ("channels", "open"));
    assert_eq!(argument(&call.arguments, "worker"), (Kind::Address, &worker));
    let [event] = opened.events.as_slice() else { panic!("{opened:?}") };
    let channel_id = cast.gateway.status().await.unwrap().channels[0].channel_id;
    assert_eq!((event.module.as_str(), event.name.as_str()), ("channels", "Opened"));
    assert_eq!(argument(&event.arguments, "channelId"), (Kind::Hash, &json!(channel_id.to_string())));
    assert_eq!(argument(&event.arguments, "deposit"), (Kind::Coins, &json!("0.1")));
    assert_eq!(opened.other_logs, 0);

    let asked = transactions(url, "asks.set").await;
    assert!(!asked.is_empty());
    let anchored = transactions(url, "receipts.anchor").await;
    let [anchored] = anchored.as_slice() else { panic!("{anchored:?}") };
    let root = cast.gateway.bundle(answer.job_id).unwrap().anchor.unwrap().root;
    let call = anchored.call.as_ref().unwrap();
    assert_eq!(argument(&call.arguments, "root"), (Kind::Hash, &json!(root.to_string())));

    // Coins, and words for nobody.
    cast.ledger.client.transfer(&wallet(3), wallet(9).address(), Amount::coins(1)).await.unwrap();
    let sent = transactions(url, "transfer").await;
    assert_eq!(
        (sent[0].value, sent[0].to, &sent[0].call),
        (Amount::coins(1), Some(wallet(9).address()), &None)
    );
    cast.ledger
        .client
        .send(&wallet(3), wallet(9).address(), Amount::ZERO, vec![1, 2, 3, 4, 5])
        .await
        .unwrap();
    let odd = transactions(url, "call 0x01020304").await;
    assert_eq!(odd[0].input.as_deref(), Some("0x0102030405"));

    for (path, status, code) in [
        ("/tacit/v1/blocks/999999", 404, "unknown_block"),
        ("/tacit/v1/blocks/x", 404, "not_found"),
        ("/tacit/v1/blocks?limit=x", 400, "malformed_request"),
        ("/tacit/v1/blocks?url=http://elsewhere", 400, "malformed_request"),
    ] {
        let refused = get(url, path).await;
        assert_eq!(refused.status().as_u16(), status, "{path}");
        assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], code, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_market_and_history_are_what_ledger_and_disk_say() {
    let cast = cast(WorkerPlan::honest(1)).await;
    let url = &cast.server.url;
    let empty: History = read(url, "/tacit/v1/history").await;
    assert_eq!((empty.answers.len(), empty.days.len(), empty.whole), (0, 0, true));
    let money: Money = read(url, "/tacit/v1/money").await;
    assert!(money.channels.is_empty());

    for seed in 1..=2 {
        cast.gateway.ask(waiting(question(seed))).await.unwrap();
    }
    cast.worker.worker.settle_all().await.unwrap();
    cast.gateway.ask(question(3)).await.unwrap();
    let money: Money = read(url, "/tacit/v1/money").await;
    assert_eq!(money.balance, cast.ledger.client.balance(wallet(2).address()).await.unwrap());
    assert_eq!((money.address, money.chain_id), (wallet(2).address(), cast.ledger.client.chain_id()));
    let [channel] = money.channels.as_slice() else { panic!("{money:?}") };
    let deposit = money.caps.deposit;
    let times = |count: u128| Amount(PRICE.0 * count);
    assert_eq!((channel.deposit, channel.settled, channel.promised), (deposit, times(2), times(3)));
    assert_eq!(channel.left, Amount(deposit.0 - times(3).0));
    assert!(channel.open && !channel.retired && !channel.streams && channel.close_at.is_none());
    assert_eq!(money.spent_today_streams, Amount::ZERO);

    let history: History = read(url, "/tacit/v1/history").await;
    let [day] = history.days.as_slice() else { panic!("{history:?}") };
    assert_eq!((day.answers, day.hidden, day.streams), (3, 0, 0));
    assert_eq!((day.spent_jobs, day.spent_streams), (times(3), Amount::ZERO));
    let newest = cast.gateway.receipts().unwrap();
    let listed: Vec<JobId> = newest.iter().map(|receipt| receipt.job_id).collect();
    assert_eq!(history.answers.iter().map(|point| point.job_id).collect::<Vec<_>>(), listed);
    assert!(history.answers.iter().all(|point| point.engine_ms > 0.0 && point.verify_cpu_ms > 0.0));

    let market: Vec<WorkerView> = read(url, "/tacit/v1/market").await;
    let [worker] = market.as_slice() else { panic!("{market:?}") };
    assert_eq!((worker.worker, worker.promised), (wallet(1).address(), times(3)));
    assert!(worker.reachable && worker.local && worker.round_trip_ms.is_some_and(|time| time > 0.0));
    assert_eq!(worker.models, ["small"]);
    let stake = cast.ledger.client.stake_of(wallet(1).address()).await.unwrap();
    assert_eq!(worker.bonded, Amount(stake.bonded));
    // Its past is read in the background.
    let standing = loop {
        let market: Vec<WorkerView> = read(url, "/tacit/v1/market").await;
        if let Some(standing) = market[0].standing {
            break standing;
        }
        tokio::task::yield_now().await;
    };
    let past = cast.ledger.client.history_of(wallet(1).address(), Some(standing.block)).await.unwrap();
    assert_eq!(past.facts.settlements.len(), 1);
    assert_eq!(standing.burnt, Amount(past.reputation().history));
    assert_eq!((standing.reputation, standing.passed), (Amount::ZERO, 0));
    assert_eq!((standing.hours_covered, standing.hours_beaten), (1, 1));

    // Whoever answers there is somebody else, and then nobody.
    let Cast { ledger, worker, server, .. } = cast;
    let port = worker.server.url.rsplit(':').next().unwrap().parse().unwrap();
    drop(worker);
    let other = WorkerPlan { port, ..WorkerPlan::honest(3) }.start_quietly(&ledger.client).await;
    let market: Vec<WorkerView> = read(&server.url, "/tacit/v1/market").await;
    assert!(!market[0].reachable && market[0].trouble.as_ref().unwrap().contains("another worker"));
    drop(other);
    let market: Vec<WorkerView> = read(&server.url, "/tacit/v1/market").await;
    assert!(!market[0].reachable && market[0].trouble.is_some());
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_says_what_its_questions_look_like() {
    let named = named_model();
    let engine = Arc::new(GraphEngine::new(Arc::clone(&named)));
    let loans: ServedModel = served(&named, "loans", engine, PRICE);
    let cast = cast(WorkerPlan { models: vec![loans], ..WorkerPlan::honest(1) }).await;
    let url = &cast.server.url;
    let detail: ModelDetail = read(url, "/tacit/v1/models/loans").await;
    assert_eq!(detail.model.name, "loans");
    assert!(detail.model.asks.iter().any(|ask| ask.terms.price == PRICE));
    let graph = detail.graph.unwrap();
    assert_eq!((graph.inputs, graph.operators), (FEATURES, named.model().graph().nodes.len()));
    let columns: Vec<(&str, usize)> =
        graph.columns.iter().map(|column| (column.name.as_str(), column.kinds.len())).collect();
    assert_eq!(columns, [("age", 0), ("months", 0), ("amount", 0), ("purpose", 3)]);
    assert_eq!(graph.columns[3].kinds, ["car", "roof", "other"]);
    let [low, high] = graph.range.unwrap();
    assert!(low < high, "{low} {high}");
    // At both ends of the range the encoder is at its own ends, give or take what rounds away.
    let ends = named.model().graph();
    let encode = |value: f64| {
        let raw = (value * f64::from(1 << 24)) as i64;
        ends.encode_input(&[raw; FEATURES]).unwrap()
    };
    let (least, most, beyond) = (encode(low), encode(high), encode(high * 4.0 + 1.0));
    assert_eq!(most, beyond);
    assert_ne!(least, most);
    assert_eq!(get(url, "/tacit/v1/models/nobody").await.status(), StatusCode::NOT_FOUND);

    let row =
        serde_json::from_value(json!({"row": {"age": 35, "months": 24, "amount": 12.5, "purpose": "roof"}}))
            .unwrap();
    let request = AskRequest {
        evidence: Some(Evidence::Signed),
        privacy: Privacy::Clear,
        ..AskRequest::new("loans", row)
    };
    let answer = cast.gateway.ask(waiting(request)).await.unwrap();
    let receipt: ReceiptDetail = read(url, &format!("/tacit/v1/receipts/{}/detail", answer.receipt)).await;
    assert_eq!(receipt.input, [35.0, 24.0, 12.5, 0.0, 1.0, 0.0]);
    assert_eq!(
        (receipt.answer.label, receipt.answer.receipt, receipt.answer.block),
        (answer.label, answer.receipt, answer.block)
    );
    assert!(receipt.answer.paid && !receipt.answer.verified);
    assert_eq!(receipt.signed, cast.gateway.bundle(answer.job_id).unwrap().receipt);
    assert_eq!(receipt.anchor.map(|anchor| anchor.block), answer.block);

    // What nobody serves any more is still listed, without its graph where that was never fetched.
    let Cast { ledger, worker, .. } = cast;
    drop(worker);
    let fresh = gateway_on(&ledger.client, 3, &Disk::default());
    let server = serve(&fresh).await;
    let detail: ModelDetail = read(&server.url, "/tacit/v1/models/loans").await;
    assert!(detail.graph.is_none());
}
