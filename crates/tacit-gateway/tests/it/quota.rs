//! The most questions that a model answers in a day: counted with the answer, whoever asks, however, and whenever the worker dies.

use core::num::NonZeroU64;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
    mpsc,
};

use alloy_primitives::B256;
use tacit_abi::{Evidence, Privacy};
use tacit_gateway::{AskRequest, GatewayError};
use tacit_wire::{
    Amount, JobHeader, JobId, SealingKey, job::Payload, message::JobRequest, message::VoucherRequest,
};
use tacit_worker::{
    Clock, Engine, EngineAnswer, EngineError, GraphEngine, JobReject, OpenedJob, Quota, Worker,
    quota::{Counted, Day},
};

use crate::{
    disk::{Death, Disk},
    support::{
        FEATURES, Ledger, PRICE, RunningWorker, WorkerPlan, gateway, honest_encrypted, ledger, model,
        question, served, wallet,
    },
};

/// Shows the time it is set to.
#[derive(Default)]
struct Hands(AtomicU64);

const NOON: u64 = 86_400 * 20_000 + 43_200;
const DAY: u64 = 86_400;

impl Hands {
    fn noon() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(NOON)))
    }

    fn set(&self, second: u64) {
        self.0.store(second, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn unix_time_s(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Counts what it is asked, and fails when told to.
#[derive(Default)]
struct Tally {
    asked: AtomicU64,
    broken: AtomicU64,
}

impl Engine for Tally {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) > 0 {
            return Err(EngineError("broken".into()));
        }
        GraphEngine::new(model()).answer(job)
    }
}

fn quota(per_client: Option<u64>, total: Option<u64>) -> Quota {
    Quota { per_client: per_client.and_then(NonZeroU64::new), total: total.and_then(NonZeroU64::new) }
}

fn plan(engine: Arc<dyn Engine>, quota: Quota, clock: &Arc<Hands>) -> WorkerPlan {
    let clock: Arc<dyn Clock> = Arc::<Hands>::clone(clock);
    let models = vec![served(&model(), "small", engine, PRICE).with_quota(quota)];
    WorkerPlan { models, clock, ..WorkerPlan::honest(1) }
}

fn signed(seed: u64) -> AskRequest {
    AskRequest { evidence: Some(Evidence::Signed), ..question(seed) }
}

/// The day of the refusal's promise, if it is one.
fn opens(refused: Result<tacit_gateway::AskAnswer, GatewayError>) -> u64 {
    let error = refused.unwrap_err();
    let body = error.body();
    assert_eq!((body.code.as_str(), error.describe().1), ("quota_exceeded", 429), "{error:?}");
    body.opens_at.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_beyond_its_quota_is_refused_before_any_work_until_the_day_is_over() {
    let ledger = ledger(&[1, 2, 3].map(|key| wallet(key).address())).await;
    let (engine, clock) = (Arc::new(Tally::default()), Hands::noon());
    let running =
        plan(Arc::<Tally>::clone(&engine), quota(Some(2), None), &clock).start(&ledger.client).await;
    let (one, other) = (gateway(&ledger.client, 2), gateway(&ledger.client, 3));
    // A question that gets no answer does not count.
    engine.broken.store(1, Ordering::SeqCst);
    assert!(matches!(one.ask(signed(1)).await, Err(GatewayError::Refused { .. })));
    engine.broken.store(0, Ordering::SeqCst);
    let first = AskRequest { job_id: Some(JobId::random()), ..signed(1) };
    one.ask(first.clone()).await.unwrap();
    // Nor does the same question again.
    one.ask(first).await.unwrap();
    let clear = AskRequest { privacy: Privacy::Clear, ..question(2) };
    one.ask(clear).await.unwrap();
    let asked = engine.asked.load(Ordering::SeqCst);
    let midnight = NOON + DAY / 2;
    let late = AskRequest { job_id: Some(JobId::random()), ..signed(3) };
    assert_eq!(opens(one.ask(late.clone()).await), midnight);
    assert_eq!(engine.asked.load(Ordering::SeqCst), asked, "it was worked on");
    assert_eq!(running.worker.earnings().unwrap().jobs, 2);
    // Somebody else has a quota of their own.
    other.ask(signed(3)).await.unwrap();
    clock.set(midnight - 1);
    assert_eq!(opens(one.ask(late.clone()).await), midnight);
    clock.set(midnight);
    one.ask(late).await.unwrap();
    one.ask(signed(4)).await.unwrap();
    assert_eq!(opens(one.ask(signed(5)).await), midnight + DAY);
    // A clock that steps back over midnight finds the count of the day before.
    clock.set(midnight - 1);
    assert_eq!(opens(one.ask(signed(6)).await), midnight);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_caps_a_client_with_many_accounts_and_each_model_has_its_own() {
    let ledger = ledger(&[1, 2, 3, 4].map(|key| wallet(key).address())).await;
    let clock = Hands::noon();
    let mut plan = plan(Arc::new(GraphEngine::new(model())), quota(Some(2), Some(3)), &clock);
    plan.models.push(honest_encrypted().with_quota(quota(Some(3), None)));
    let _running = plan.start(&ledger.client).await;
    let accounts = [2, 3, 4].map(|key| gateway(&ledger.client, key));
    accounts[0].ask(signed(1)).await.unwrap();
    accounts[1].ask(signed(2)).await.unwrap();
    accounts[2].ask(signed(3)).await.unwrap();
    let error = accounts[2].ask(signed(4)).await.unwrap_err();
    assert!(error.to_string().contains("at most 3 of all clients' questions"), "{error}");
    // Encrypted or not, a question is one.
    for privacy in [Privacy::Encrypted, Privacy::Sealed, Privacy::Clear] {
        let request = AskRequest { model: "linear".to_owned(), privacy, ..signed(5) };
        accounts[0].ask(request).await.unwrap();
    }
    let request = AskRequest { model: "linear".to_owned(), privacy: Privacy::Encrypted, ..signed(6) };
    let error = accounts[0].ask(request).await.unwrap_err();
    assert!(error.to_string().contains("at most 3 of one client's questions"), "{error}");
}

/// Requests by hand, over channels of the test's choice.
struct Client<'a> {
    ledger: &'a Ledger,
    sealing_key: B256,
    header: JobHeader,
}

impl<'a> Client<'a> {
    async fn new(ledger: &'a Ledger, sealing_key: B256, channel: u8) -> Self {
        let (client, worker) = (wallet(2), wallet(1).address());
        let salt = B256::repeat_byte(channel);
        ledger.client.open_channel(&client, worker, salt, Amount(PRICE.0 * 8)).await.unwrap();
        let (owner, chain_id) = (client.address(), ledger.client.chain_id());
        let header = JobHeader {
            chain_id,
            job_id: JobId::random(),
            model_id: crate::support::honest().model_id(),
            channel_id: tacit_abi::channels::channel_id(chain_id, owner, worker, owner, salt),
            client: owner,
            worker,
            privacy: Privacy::Sealed,
            evidence: Evidence::Signed,
            price: PRICE,
            cumulative: PRICE,
        };
        Self { ledger, sealing_key, header }
    }

    fn request(&self) -> JobRequest {
        let (payload, _) = Payload::make(&self.header, self.sealing_key, &[0; FEATURES]).unwrap();
        let signature = wallet(2).sign_digest(self.header.digest(&payload));
        JobRequest { header: self.header, payload, signature }
    }

    /// Pays for the job and turns to the next.
    async fn pay(&mut self, worker: &Worker) {
        let JobHeader { job_id, channel_id, cumulative, .. } = self.header;
        let voucher = tacit_abi::Voucher { channelId: channel_id, cumulative: cumulative.0 };
        let voucher = wallet(2).sign_voucher(voucher, self.ledger.client.chain_id());
        worker.accept_voucher(VoucherRequest { job_id, voucher }).await.unwrap();
        let cumulative = Amount(cumulative.0 + PRICE.0);
        self.header = JobHeader { job_id: JobId::random(), cumulative, ..self.header };
    }
}

/// Works when told.
struct Waiting {
    begun: mpsc::Sender<()>,
    go: Mutex<mpsc::Receiver<()>>,
}

impl Engine for Waiting {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        let _ = self.begun.send(());
        self.go.lock().unwrap().recv().map_err(|error| EngineError(Box::new(error)))?;
        GraphEngine::new(model()).answer(job)
    }
}

/// A client with several channels asked over all of them at once: each question found the count as it was before the others.
#[tokio::test(flavor = "multi_thread")]
async fn many_questions_at_once_get_no_further_than_one_after_another() {
    let ledger = ledger(&[1, 2].map(|key| wallet(key).address())).await;
    let ((go, wait), (begun, has_begun)) = (mpsc::channel(), mpsc::channel());
    let engine = Arc::new(Waiting { begun, go: Mutex::new(wait) });
    let plan = plan(engine, quota(Some(2), None), &Hands::noon());
    let key = plan.sealing.public();
    let running = plan.start(&ledger.client).await;
    let ask = |request: JobRequest| {
        let worker = Arc::clone(&running.worker);
        tokio::spawn(async move { worker.answer(request).await })
    };
    let first = ask(Client::new(&ledger, key, 1).await.request());
    has_begun.recv().unwrap();
    let second = ask(Client::new(&ledger, key, 2).await.request());
    while running.worker.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let third = ask(Client::new(&ledger, key, 3).await.request()).await.unwrap().unwrap_err();
    let day = Day::of(NOON + DAY);
    assert!(
        matches!(third, JobReject::QuotaExceeded { counted: Counted::Client, limit: 2, opens } if opens == day),
        "{third:?}"
    );
    go.send(()).unwrap();
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    let fourth = ask(Client::new(&ledger, key, 4).await.request()).await.unwrap();
    assert!(matches!(fourth, Err(JobReject::QuotaExceeded { .. })));
}

/// Starts the worker again on what its disk kept.
async fn again(ledger: &Ledger, disk: &Disk, sealing: &tempfile::TempDir) -> RunningWorker {
    let mut plan = plan(Arc::new(GraphEngine::new(model())), quota(Some(3), None), &Hands::noon());
    plan.disk = disk.clone();
    plan.sealing = SealingKey::load_or_create(&sealing.path().join("key")).unwrap();
    // Every synchronisation belongs to a job.
    plan.settlement.anchor_delay = core::time::Duration::from_secs(3600);
    plan.settlement.poll = core::time::Duration::from_secs(3600);
    plan.start(&ledger.client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_anywhere_has_counted_what_it_answered_and_nothing_else() {
    let ledger = ledger(&[1, 2].map(|key| wallet(key).address())).await;
    let sealing = tempfile::tempdir().unwrap();
    // Of two questions, each with its answer and its voucher, the worker dies at every synchronisation of the first.
    for (channel, death) in (1..).zip([
        None,
        Some(Death::Before(1)),
        Some(Death::After(1)),
        Some(Death::Before(2)),
        Some(Death::After(2)),
    ]) {
        let disk = Disk::default();
        let mut running = again(&ledger, &disk, &sealing).await;
        let key = SealingKey::load_or_create(&sealing.path().join("key")).unwrap().public();
        let mut client = Client::new(&ledger, key, channel).await;
        disk.die(death);
        let request = client.request();
        let answered = running.worker.answer(request.clone()).await;
        assert_eq!(answered.is_err(), matches!(death, Some(Death::Before(1) | Death::After(1))), "{death:?}");
        if answered.is_err() {
            drop(running);
            disk.die(None);
            running = again(&ledger, &disk, &sealing).await;
            running.worker.answer(request).await.unwrap();
        }
        if disk.is_dead() || matches!(death, Some(Death::Before(2) | Death::After(2))) {
            let voucher = VoucherRequest {
                job_id: client.header.job_id,
                voucher: wallet(2).sign_voucher(
                    tacit_abi::Voucher { channelId: client.header.channel_id, cumulative: PRICE.0 },
                    ledger.client.chain_id(),
                ),
            };
            assert!(running.worker.accept_voucher(voucher).await.is_err());
            drop(running);
            disk.die(None);
            running = again(&ledger, &disk, &sealing).await;
        }
        client.pay(&running.worker).await;
        // Two more, and the quota of three is used up: the first was counted exactly once.
        for _ in 0..2 {
            running.worker.answer(client.request()).await.unwrap();
            client.pay(&running.worker).await;
        }
        let refused = running.worker.answer(client.request()).await;
        assert!(matches!(refused, Err(JobReject::QuotaExceeded { .. })), "{death:?}: {refused:?}");
        assert_eq!(running.worker.earnings().unwrap().jobs, 3);
    }
}
