//! What an owner tells a running worker, and what it is told.

use alloy_primitives::B256;
use tacit_wire::{
    Amount,
    http::HttpError,
    message::ReceiptInfo,
    owner::{OwnerAction, OwnerReport, OwnerRequest, Waiting},
    stream::{EndReason, StreamHead},
};

use crate::{
    engine::ScriptedEngine,
    support::{BODY, CHUNK, PROMPT, Plan, Scene, model_id, other_manifest, start, wallet},
};

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Orders, each later than the one before.
struct Orders<'a> {
    scene: &'a Scene,
    at_ms: std::cell::Cell<u64>,
}

impl<'a> Orders<'a> {
    fn to(scene: &'a Scene) -> Self {
        Self { scene, at_ms: std::cell::Cell::new(now_ms()) }
    }

    async fn give(&self, action: OwnerAction) -> OwnerReport {
        self.at_ms.set(self.at_ms.get() + 1);
        self.signed(2, action, self.at_ms.get()).await.unwrap()
    }

    async fn signed(&self, key: u8, action: OwnerAction, at_ms: u64) -> Result<OwnerReport, HttpError> {
        let chain_id = self.scene.ledger.client.chain_id();
        let order = OwnerRequest::sign(&wallet(key), chain_id, action, at_ms);
        self.scene.client.post("/v1/owner", &order).await
    }

    async fn refused(&self, key: u8, action: OwnerAction, at_ms: u64) -> String {
        match self.signed(key, action, at_ms).await {
            Err(HttpError::Refused { body, .. }) => body.code,
            other => panic!("{other:?}"),
        }
    }

    /// Asks until it is so.
    async fn until(&self, so: impl Fn(&OwnerReport) -> bool) -> OwnerReport {
        loop {
            let report = self.give(OwnerAction::Status).await;
            if so(&report) {
                return report;
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn asks_of(scene: &Scene, model_id: B256) -> usize {
    scene.ledger.client.listing(model_id).await.map_or(0, |listing| listing.asks.len())
}

#[tokio::test]
async fn nobody_else_gives_orders_and_no_order_counts_twice() {
    let scene = Scene::new().await;
    let orders = Orders::to(&scene);
    let now = now_ms();
    assert_eq!(orders.refused(3, OwnerAction::Drain, now).await, "not_owner");
    assert_eq!(orders.refused(2, OwnerAction::Drain, now - 301_000).await, "wrong_clock");
    assert_eq!(orders.refused(2, OwnerAction::Drain, now + 302_000).await, "wrong_clock");
    assert!(!scene.worker.worker.is_drained());
    orders.signed(2, OwnerAction::Drain, now).await.unwrap();
    assert!(scene.worker.worker.is_drained());
    orders.signed(2, OwnerAction::Resume, now + 2).await.unwrap();
    // Whoever heard both repeats the first, or one that came before.
    for at in [now, now + 1, now + 2] {
        assert_eq!(orders.refused(2, OwnerAction::Drain, at).await, "order_replayed");
    }
    assert!(!scene.worker.worker.is_drained());
}

#[tokio::test]
async fn a_drained_worker_ends_what_runs_settles_all_and_says_when_it_is_safe() {
    let scene = Scene::new().await;
    let (client, orders) = (&scene.client, Orders::to(&scene));
    let head = StreamHead { voucher: Some(client.voucher(1_000)), ..client.head() };
    let job_id = head.job_id;
    let mut answer = client.ask_with(head, BODY).await;
    let talk = scene.engine.begins().await;
    answer.head_frame(200).await;
    talk.event("so").await;
    answer.data_upto(1).await;

    let report = orders.give(OwnerAction::Drain).await;
    assert!(report.drained_since_s.is_some() && !report.safe_to_stop);
    assert!(report.waiting_for.contains(&Waiting::Requests), "{report:?}");
    // Nothing new, neither on the session nor on another.
    assert_eq!(client.ask().await.refusal().await.code, "draining");
    match client.again(3).await.map(drop) {
        Err(HttpError::Refused { body, .. }) => assert_eq!(body.code, "draining"),
        other => panic!("{other:?}"),
    }
    // Nobody is told to come here, and what is promised is taken although it is little.
    let report = orders.until(|report| !report.waiting_for.contains(&Waiting::Asks)).await;
    assert_eq!(asks_of(&scene, model_id()).await, 0);
    assert_eq!(report.stake.unwrap().asks, 0);
    orders.until(|report| report.money.settled == Amount(1_000)).await;
    assert_eq!(scene.ledger.client.channel(client.channel_id).await.unwrap().settled, 1_000);

    // What runs goes on, is paid, and ends.
    talk.event("far").await;
    drop(talk);
    let end = answer.end().await;
    assert_eq!(end.reason, EndReason::Complete);
    let owed = PROMPT + 3 * 5;
    assert_eq!(client.account().await.owed, Amount(owed));
    client.pay(1_500).await.unwrap();
    let report = orders.until(|report| report.safe_to_stop).await;
    assert_eq!((report.money.settled, report.money.unsettled), (Amount(1_500), Amount::ZERO));
    assert_eq!((report.money.unanchored, report.money.unpromised), (0, Amount::ZERO));
    assert!(report.money.settled_at_s.is_some());
    let info: ReceiptInfo = client.get(&format!("/v1/receipts/{job_id}")).await.unwrap();
    assert!(info.anchor.is_some());
    assert_eq!(scene.ledger.client.channel(client.channel_id).await.unwrap().settled, 1_500);
}

#[tokio::test]
async fn a_drained_worker_stays_out_over_a_restart_until_it_is_told_otherwise() {
    let plan = Plan::default();
    let disk = plan.disk.clone();
    let mut scene = Scene::with(plan).await;
    Orders::to(&scene).give(OwnerAction::Drain).await;
    let orders = Orders::to(&scene);
    orders.until(|report| report.safe_to_stop).await;
    let port = scene.worker.port();
    let Scene { ledger, engine, worker, client } = scene;
    drop(worker);
    let plan = Plan { disk, port, ..Plan::default() };
    let worker = start(&plan, &ledger.client, &engine).await;
    worker.worker.publish_and_ask(&worker.url).await.unwrap();
    scene = Scene { ledger, engine, worker, client };
    assert!(scene.worker.worker.is_drained());
    assert_eq!(asks_of(&scene, model_id()).await, 0);
    let orders = Orders::to(&scene);
    orders.at_ms.set(now_ms() + 1_000);
    let report = orders.give(OwnerAction::Status).await;
    assert!(report.safe_to_stop && report.drained_since_s.is_some());
    let report = orders.give(OwnerAction::Resume).await;
    assert_eq!((report.drained_since_s, report.safe_to_stop, report.waiting_for), (None, false, vec![]));
    while asks_of(&scene, model_id()).await == 0 {
        tokio::task::yield_now().await;
    }
    let again = scene.client.again(3).await.unwrap();
    let mut answer = again.ask().await;
    let talk = scene.engine.begins().await;
    talk.event("x").await;
    drop(talk);
    assert_eq!(answer.end().await.reason, EndReason::Complete);
}

#[tokio::test]
async fn what_an_owner_is_told_is_what_happened() {
    let scene = Scene::new().await;
    let (client, orders) = (&scene.client, Orders::to(&scene));
    let before = orders.give(OwnerAction::Status).await;
    let model = &before.languages[0];
    assert_eq!((model.name.as_str(), model.requests, model.places.most), ("tiny", 0, 8));
    assert_eq!((model.first_byte_p50_ms, before.safe_to_stop), (None, false));
    let stake = before.stake.unwrap();
    assert_eq!((stake.asks, stake.backing, stake.bonded), (1, stake.bonded, Amount(10_u128.pow(16))));

    let mut answer = client.ask().await;
    let talk = scene.engine.begins().await;
    talk.event("abc").await;
    answer.head_frame(200).await;
    answer.data_upto(1).await;
    let during = orders.give(OwnerAction::Status).await;
    assert_eq!((during.languages[0].places.taken, during.languages[0].requests), (1, 1));
    let first_byte = during.languages[0].first_byte_p50_ms.unwrap();
    assert_eq!(during.languages[0].first_byte_p99_ms, Some(first_byte));
    assert!(during.languages[0].utilisation > 0.0);
    drop(talk);
    answer.end().await;
    // Not promised yet: less than a chunk.
    let report = orders.until(|report| report.money.unpromised > Amount::ZERO).await;
    assert_eq!(report.money.unpromised, Amount(PROMPT + 9));
    assert!(report.money.unpromised.0 <= CHUNK);
    client.pay(PROMPT + 9).await.unwrap();
    let report = orders.until(|report| report.money.unsettled > Amount::ZERO).await;
    assert_eq!((report.money.unsettled, report.money.unpromised), (Amount(PROMPT + 9), Amount::ZERO));
    scene.worker.worker.settle_all().await.unwrap();
    let report = orders.give(OwnerAction::Status).await;
    assert_eq!((report.money.settled, report.money.unsettled), (Amount(PROMPT + 9), Amount::ZERO));

    // Each refusal once, by its reason.
    let stale = StreamHead { limit: Amount(1), ..client.head() };
    assert_eq!(client.ask_with(stale, BODY).await.refusal().await.code, "over_limit");
    let other = StreamHead { model_id: B256::ZERO, ..client.head() };
    assert_eq!(client.ask_with(other, BODY).await.refusal().await.code, "unknown_model");
    let report = orders.give(OwnerAction::Status).await;
    let counted = |code: &str| report.refused.get(code).copied();
    assert_eq!((counted("over_limit"), counted("unknown_model")), (Some(1), Some(1)));
}

#[tokio::test]
async fn prometheus_reads_the_same_counts() {
    let scene = Scene::new().await;
    let mut answer = scene.client.ask().await;
    let talk = scene.engine.begins().await;
    talk.event("abc").await;
    answer.head_frame(200).await;
    answer.data_upto(1).await;
    let stale = StreamHead { limit: Amount(1), ..scene.client.head() };
    scene.client.ask_with(stale, BODY).await.refusal().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let serving = tokio::spawn(scene.worker.worker.clone().serve_metrics(listener));
    let text = async || {
        let http = tacit_wire::http::JsonClient::unhurried().unwrap();
        let mut download = http.download(&url, core::time::Duration::from_secs(10)).await.unwrap();
        let mut text = Vec::new();
        while let Some(bytes) = download.next().await.unwrap() {
            text.extend(bytes);
        }
        String::from_utf8(text).unwrap()
    };
    let value = |text: &str, name: &str| {
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned);
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    let during = text().await;
    for (name, expected) in [
        ("tacit_worker_requests_total{model=\"tiny\"}", "1"),
        ("tacit_worker_places{model=\"tiny\"}", "8"),
        ("tacit_worker_places_taken{model=\"tiny\"}", "1"),
        ("tacit_worker_engine_available{model=\"tiny\"}", "1"),
        ("tacit_worker_first_byte_seconds_count{model=\"tiny\"}", "1"),
        ("tacit_worker_first_byte_seconds_bucket{model=\"tiny\",le=\"+Inf\"}", "1"),
        ("tacit_worker_refused_total{reason=\"over_limit\"}", "1"),
        ("tacit_worker_drained", "0"),
    ] {
        assert_eq!(value(&during, name), expected, "{name}");
    }
    drop(talk);
    answer.end().await;
    Orders::to(&scene).until(|report| report.money.unpromised > Amount::ZERO).await;
    let after = text().await;
    assert_eq!(value(&after, "tacit_worker_places_taken{model=\"tiny\"}"), "0");
    assert_eq!(value(&after, "tacit_worker_unpromised_coins"), Amount(PROMPT + 9).to_string());
    // A histogram grows with its bounds, and each series is told of once.
    let buckets: Vec<u64> = after
        .lines()
        .filter(|line| line.starts_with("tacit_worker_first_byte_seconds_bucket"))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(buckets.len() > 10 && buckets.is_sorted());
    let series: Vec<&str> = after
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect();
    assert_eq!(series.iter().collect::<std::collections::BTreeSet<_>>().len(), series.len());
    serving.abort();
}

/// The first model is served, whatever became of the second one's engine; the second as soon as that gives a token.
#[tokio::test]
async fn a_model_whose_engine_is_away_does_not_hurt_the_others() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let plan = Plan { away: vec![format!("http://{address}")], ..Plan::default() };
    let scene = Scene::with(plan).await;
    let (other, client) = (other_manifest(0).write().unwrap().1, &scene.client);
    assert_eq!((asks_of(&scene, model_id()).await, asks_of(&scene, other).await), (1, 0));
    let ask = || StreamHead { model_id: other, ..client.head() };
    assert_eq!(client.ask_with(ask(), BODY).await.refusal().await.code, "engine_unavailable");
    let mut answer = client.ask().await;
    scene.engine.begins().await.event("x").await;
    assert_eq!(answer.end().await.tokens.completion, 1);

    let second = ScriptedEngine::start_at(&address).await;
    second.asked().await.begin(200, "application/json").say("{}").await;
    while asks_of(&scene, other).await == 0 {
        tokio::task::yield_now().await;
    }
    client.settle_up().await;
    let mut answer = client.ask_with(ask(), BODY).await;
    second.begins().await.event("yz").await;
    assert_eq!(answer.end().await.tokens.completion, 2);

    // Each has capacity of its own: two for the second, and the first is not busy when they are taken.
    client.pay(10_000).await.unwrap();
    let (mut one, mut two) = (client.ask_with(ask(), BODY).await, client.ask_with(ask(), BODY).await);
    let (first, last) = (second.begins().await, second.begins().await);
    assert_eq!(client.ask_with(ask(), BODY).await.refusal().await.code, "busy");
    let mut answer = client.ask().await;
    scene.engine.begins().await.event("x").await;
    assert_eq!(answer.end().await.reason, EndReason::Complete);
    for (talk, answer) in [(first, &mut one), (last, &mut two)] {
        talk.event("x").await;
        drop(talk);
        assert_eq!(answer.end().await.reason, EndReason::Complete);
    }

    // An engine that dies later is refused, and the other goes on.
    drop(second);
    let mut answer = client.ask_with(ask(), BODY).await;
    assert_eq!(answer.refusal().await.code, "engine_unavailable");
    let mut answer = client.ask().await;
    scene.engine.begins().await.event("x").await;
    assert_eq!(answer.end().await.reason, EndReason::Complete);
}
