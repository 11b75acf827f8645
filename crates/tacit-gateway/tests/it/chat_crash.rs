//! `kill -9` at every synchronisation of either disk, while tokens are bought and a language model is asked with them.
//!
//! What must hold whatever happens: the client has promised exactly the price of the tokens that it bought, and holds all of them but what its answers cost, rounded up to a token each; each
//! token pays for one answer; what was asked is answered, and charged once.

use std::sync::Arc;

use serde_json::json;
use tacit_gateway::{stream_receipt::Judgement, verify_stream};
use tacit_wire::Amount;

use crate::{
    chats::{Door, FOUR, Mouth, TOKEN, four, open, plan, some},
    disk::{Death, Disk},
    openai::spending,
    reference::byte_tokenizer,
    support::{Ledger, RunningWorker, Server, ledger, wallet},
    unlinkable::{policy, start_relay},
};

const TRIES: usize = 12;
const RESUMES: usize = 400;
/// Bought at once; all of them are shown, and three come back.
const BOUGHT: u32 = 4;

struct Stage {
    ledger: Ledger,
    relay: Server,
    engine: Server,
    _mouth: Mouth,
    keys: Arc<tempfile::TempDir>,
}

struct Pair<'a> {
    stage: &'a Stage,
    client: u8,
    gateway_disk: Disk,
    door: Option<Door>,
    worker_disk: Disk,
    worker: Option<RunningWorker>,
    port: u16,
}

impl Stage {
    async fn new() -> Self {
        let everyone: Vec<_> = (1..=200).map(|key| wallet(key).address()).collect();
        let ledger = ledger(&everyone).await;
        let relay = start_relay(&ledger.client).await;
        let (mouth, engine) = Mouth::start(four()).await;
        Self { ledger, relay, engine, _mouth: mouth, keys: Arc::new(tempfile::tempdir().unwrap()) }
    }
}

impl<'a> Pair<'a> {
    async fn new(stage: &'a Stage, client: u8) -> Self {
        let (gateway_disk, worker_disk) = (Disk::default(), Disk::default());
        let mut pair = Self { stage, client, gateway_disk, door: None, worker_disk, worker: None, port: 0 };
        pair.start_worker().await;
        let running = pair.worker.as_ref().unwrap();
        running.worker.publish_and_ask(&running.server.url).await.unwrap();
        pair.port = running.server.url.rsplit(':').next().unwrap().parse().unwrap();
        pair.start_gateway().await;
        pair
    }

    async fn start_gateway(&mut self) {
        drop(self.door.take());
        let (ledger, policy) = (&self.stage.ledger.client, policy(&self.stage.relay.url));
        self.door = Some(open(ledger, self.client, &self.gateway_disk, spending(), policy).await);
    }

    async fn start_worker(&mut self) {
        drop(self.worker.take());
        let mut plan = plan(&self.stage.keys, &self.worker_disk, &self.stage.engine.url);
        plan.port = self.port;
        plan.settlement.anchor_delay = core::time::Duration::from_secs(3600);
        plan.settlement.poll = core::time::Duration::from_secs(3600);
        self.worker = Some(plan.start_quietly(&self.stage.ledger.client).await);
    }

    fn door(&self) -> &Door {
        self.door.as_ref().unwrap()
    }

    /// Whether somebody was dead and lives again.
    async fn revive(&mut self) -> bool {
        let died = self.gateway_disk.is_dead() || self.worker_disk.is_dead();
        if self.gateway_disk.is_dead() {
            self.gateway_disk.die(None);
            self.start_gateway().await;
        }
        if self.worker_disk.is_dead() {
            self.worker_disk.die(None);
            self.start_worker().await;
        }
        died
    }

    /// As the gateway does now and then, and at its start: what that one is at is left to it.
    async fn resume(&mut self) {
        for _ in 0..RESUMES {
            let _ = self.door().gateway.resume().await;
            self.revive().await;
            if self.door().gateway.store().prepaid_streams_in_flight().unwrap().is_empty() {
                return;
            }
            tokio::time::sleep(core::time::Duration::from_millis(50)).await;
        }
        panic!("a request is never finished");
    }

    async fn held(&self) -> u64 {
        let (fresh, shown) = self.door().held().await;
        fresh + shown
    }

    /// Buys until there are tokens: a purchase that a crash interrupted is finished by the next.
    async fn buy(&mut self) {
        for _ in 0..TRIES {
            let bought = self.door().gateway.buy_tokens(some(BOUGHT)).await;
            let died = self.revive().await;
            match bought {
                Ok(_) => return,
                Err(error) => assert!(died, "failed with both alive: {error}"),
            }
            self.resume().await;
            if self.held().await > 0 {
                return;
            }
        }
        panic!("no tokens");
    }

    fn answers(&self) -> usize {
        self.door().gateway.store().streams(10).unwrap().len()
    }

    /// Asks until there is an answer, to whoever asked or with its receipt.
    async fn ask(&mut self) {
        let mut failures = Vec::new();
        for _ in 0..TRIES {
            let response = self.door().chat(json!({})).await;
            let status = response.status();
            let text = response.text().await.unwrap();
            let died = self.revive().await;
            if status == 200 {
                assert!(text.contains("four"));
                return;
            }
            assert!(died || !failures.is_empty(), "failed with both alive: {text}");
            failures.push(text);
            self.resume().await;
            if self.answers() > 0 {
                return;
            }
        }
        panic!("no answer: {failures:?}");
    }

    async fn check_end(&mut self) {
        self.gateway_disk.die(None);
        self.worker_disk.die(None);
        self.resume().await;
        let gateway = Arc::clone(&self.door().gateway);
        let answers = u64::try_from(self.answers()).unwrap();
        assert!(answers >= 1);
        for record in gateway.store().streams(10).unwrap() {
            assert_eq!((record.receipt.receipt.price, &record.fault), (FOUR, &None));
            let bundle = gateway.stream_bundle(tacit_wire::JobId(record.receipt.receipt.jobId)).unwrap();
            let judged = verify_stream(&bundle, Some(&byte_tokenizer())).unwrap().judgement();
            assert!(matches!(judged, Judgement::True { .. }));
        }
        // Each answer took a token's worth: all that was paid for is there but for that.
        let tokens = self.held().await + answers;
        assert_eq!(tokens % u64::from(BOUGHT), 0);
        let signed: u128 = gateway.channels().unwrap().iter().map(|channel| channel.signed.0).sum();
        assert_eq!(signed, u128::from(tokens) * TOKEN);
        let earnings = self.worker.as_ref().unwrap().worker.earnings().unwrap();
        assert_eq!((earnings.vouchered, earnings.unpaid_jobs), (Amount(signed), 0));
        assert_eq!(earnings.jobs, tokens / u64::from(BOUGHT) + answers);
    }
}

fn deaths(syncs: u64) -> impl Iterator<Item = Death> {
    (1..=syncs).flat_map(|at| [Death::Before(at), Death::After(at)])
}

async fn buy_and_ask(pair: &mut Pair<'_>) {
    pair.buy().await;
    pair.ask().await;
}

/// One side at each of its synchronisations.
async fn killed_everywhere(disk: fn(&Pair<'_>) -> Disk, syncs_min: u64) {
    let stage = Stage::new().await;
    let mut pair = Pair::new(&stage, 10).await;
    let start = disk(&pair).syncs();
    buy_and_ask(&mut pair).await;
    let syncs = disk(&pair).syncs() - start;
    pair.check_end().await;
    assert!(syncs >= syncs_min, "it synchronises before each step that matters: {syncs}");
    for (client, death) in (11..).zip(deaths(syncs)) {
        assert!(client < 200, "more deaths than clients");
        drop(pair);
        pair = Pair::new(&stage, client).await;
        disk(&pair).die(Some(death));
        buy_and_ask(&mut pair).await;
        pair.check_end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_anywhere_loses_no_token_and_no_change() {
    killed_everywhere(|pair| pair.gateway_disk.clone(), 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_anywhere_takes_each_token_once_and_gives_its_change() {
    killed_everywhere(|pair| pair.worker_disk.clone(), 3).await;
}
