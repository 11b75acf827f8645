//! Jobs of several clients in one proof: each answer is checked, paid and kept alone, and who cheats is not paid.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, AtomicUsize, Ordering},
    mpsc,
};

use alloy_primitives::{Address, B256};
use redb::StorageBackend;
use tacit_abi::{Evidence, Privacy};
use tacit_gateway::{AnswerReject, AskAnswer, AskRequest, Gateway, GatewayError, verify_bundle};
use tacit_prove::{CommittedModel, ProvedBatch, Seed};
use tacit_verify::{Reject, RowSalt};
use tacit_wire::{Amount, JobHeader, JobId, Output, RowProof};
use tacit_worker::{Engine, EngineAnswer, EngineError, GraphEngine, JobInput, OpenedJob, Openings};

use crate::{
    disk::{Death, Disk, Medium},
    support::{
        FEATURES, Ledger, OPENINGS, PRICE, RunningWorker, Uncounted, WorkerPlan, expected_label, gateway,
        gateway_on, hiding_model, ledger, logits, model, question, served, wallet,
    },
};

fn hiding_engine(model: &Arc<CommittedModel>) -> GraphEngine {
    GraphEngine::hiding(Arc::clone(model), Arc::new(Uncounted))
}

fn plan(model: &Arc<CommittedModel>, engine: impl Engine) -> WorkerPlan {
    WorkerPlan { models: vec![served(model, "small", Arc::new(engine), PRICE)], ..WorkerPlan::honest(1) }
}

async fn everyone() -> Ledger {
    let keys: Vec<Address> = (1..=200).map(|key| wallet(key).address()).collect();
    ledger(&keys).await
}

/// The honest engine, except that each computation waits to be told to go on.
struct Held {
    inner: GraphEngine,
    go: Mutex<mpsc::Receiver<()>>,
    /// What becomes of proofs of several jobs.
    together: Together,
    begun: Arc<AtomicUsize>,
    sizes: Arc<Mutex<Vec<usize>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Together {
    Honest,
    Fails,
    Panics,
    LosesOne,
}

impl Held {
    fn wait(&self, jobs: usize) {
        self.begun.fetch_add(jobs, Ordering::SeqCst);
        self.go.lock().unwrap().recv().unwrap();
        self.sizes.lock().unwrap().push(jobs);
    }
}

impl Engine for Held {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        self.wait(1);
        self.inner.answer(job)
    }

    fn together_max(&self) -> usize {
        4
    }

    fn answer_together(&self, jobs: &[&OpenedJob]) -> Result<Vec<EngineAnswer>, EngineError> {
        self.wait(jobs.len());
        match self.together {
            Together::Honest => self.inner.answer_together(jobs),
            Together::Fails => Err(EngineError("no memory".into())),
            Together::Panics => panic!("a bug in an engine"),
            Together::LosesOne => self.inner.answer_together(&jobs[1..]),
        }
    }
}

/// A worker whose computations are held up, and clients that ask one question each.
struct Hall {
    ledger: Ledger,
    running: RunningWorker,
    model: Arc<CommittedModel>,
    gateways: Vec<Arc<Gateway>>,
    go: mpsc::Sender<()>,
    asked: AtomicUsize,
    begun: Arc<AtomicUsize>,
    sizes: Arc<Mutex<Vec<usize>>>,
}

impl Hall {
    async fn open(clients: u8, together: Together) -> Self {
        let ledger = everyone().await;
        let model = hiding_model(0);
        let (go, wait) = mpsc::channel();
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let (inner, go_on) = (hiding_engine(&model), Mutex::new(wait));
        let begun = Arc::new(AtomicUsize::new(0));
        let held = Held { inner, go: go_on, together, begun: Arc::clone(&begun), sizes: Arc::clone(&sizes) };
        let running = plan(&model, held).start(&ledger.client).await;
        let gateways = (0..clients).map(|client| gateway(&ledger.client, 10 + client)).collect();
        Self { ledger, running, model, gateways, go, asked: AtomicUsize::new(0), begun, sizes }
    }

    /// Has a client ask; returns once its question waits at the worker.
    async fn ask(&self, client: usize) -> tokio::task::JoinHandle<Result<AskAnswer, GatewayError>> {
        self.ask_for(client, question(client as u64)).await
    }

    async fn ask_for(
        &self,
        client: usize,
        request: AskRequest,
    ) -> tokio::task::JoinHandle<Result<AskAnswer, GatewayError>> {
        let gateway = Arc::clone(&self.gateways[client]);
        let there = || self.running.worker.waiting() + self.begun.load(Ordering::SeqCst);
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let asking = tokio::spawn(async move { gateway.ask(request).await });
        while there() < asked {
            assert!(!asking.is_finished(), "the question never reached the worker");
            tokio::task::yield_now().await;
        }
        asking
    }

    fn go(&self, computations: usize) {
        (0..computations).for_each(|_| self.go.send(()).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_are_proved_together_and_each_receipt_stands_alone() {
    let hall = Hall::open(6, Together::Honest).await;
    let mut asking = Vec::new();
    for client in 0..6 {
        asking.push(hall.ask(client).await);
    }
    hall.go(3);
    let mut bundles = Vec::new();
    for (client, asking) in asking.into_iter().enumerate() {
        let answer = asking.await.unwrap().unwrap();
        assert!(answer.verified && answer.paid);
        assert_eq!(answer.label, Some(expected_label(&question(client as u64))));
        bundles.push(hall.gateways[client].bundle(answer.job_id).unwrap());
    }
    // The first waits for nobody; the next proof takes as many as it may, the last one the rest.
    assert_eq!(*hall.sizes.lock().unwrap(), [1, 4, 1]);
    assert_eq!(hall.model.openings_used(), Some(3));
    let proof = |bundle: &tacit_gateway::Bundle| bundle.proof.clone().unwrap();
    let together: Vec<RowProof> = bundles.iter().map(proof).filter(|proof| proof.rows == 4).collect();
    assert_eq!(together.len(), 4);
    for (index, row) in together.iter().enumerate() {
        assert_eq!(row.proof, together[0].proof);
        assert!(together[..index].iter().all(|other| other.index != row.index && other.salt != row.salt));
    }
    for bundle in &bundles {
        // Read back by somebody who has nothing but the file.
        let text = serde_json::to_vec(bundle).unwrap();
        let _verified = verify_bundle(&tacit_gateway::Bundle::from_json(&text).unwrap()).unwrap();
        // A neighbour's receipt shows nothing about mine.
        for other in bundles.iter().filter(|other| *other != bundle) {
            let mut mixed = bundle.clone();
            mixed.proof.clone_from(&other.proof);
            assert!(verify_bundle(&mixed).is_err());
        }
    }
    let earnings = hall.running.worker.earnings().unwrap();
    assert_eq!((earnings.jobs, earnings.vouchered, earnings.unpaid_jobs), (6, Amount(6 * PRICE.0), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_of_several_jobs_that_fails_costs_nobody_the_answer() {
    for together in [Together::Fails, Together::Panics, Together::LosesOne] {
        let hall = Hall::open(4, together).await;
        let mut asking = Vec::new();
        for client in 0..4 {
            asking.push(hall.ask(client).await);
        }
        hall.go(5);
        for asking in asking {
            let answer = asking.await.unwrap().unwrap();
            assert!(answer.paid);
            assert_eq!(answer.proved_together, 1, "{together:?}");
        }
        assert_eq!(*hall.sizes.lock().unwrap(), [1, 3, 1, 1, 1], "{together:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_keeps_no_other_from_its_answer() {
    let hall = Hall::open(4, Together::Honest).await;
    let mut asking = Vec::new();
    for client in 0..4 {
        asking.push(hall.ask(client).await);
    }
    asking.remove(2).abort();
    hall.go(2);
    for asking in asking {
        assert!(asking.await.unwrap().unwrap().paid);
    }
    // It is answered all the same, and pays when it asks again.
    hall.gateways[2].resume().await.unwrap();
    let earnings = hall.running.worker.earnings().unwrap();
    assert_eq!((earnings.jobs, earnings.unpaid_jobs), (4, 0));
    assert_eq!(*hall.sizes.lock().unwrap(), [1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_proof_is_nobodys_company() {
    let hall = Hall::open(4, Together::Honest).await;
    let mut asking = vec![hall.ask(0).await];
    for client in 1..3 {
        let request = AskRequest { evidence: Some(Evidence::Signed), ..question(client as u64) };
        asking.push(hall.ask_for(client, request).await);
    }
    asking.push(hall.ask(3).await);
    hall.go(4);
    for asking in asking {
        assert!(asking.await.unwrap().unwrap().proved_together <= 1);
    }
    assert_eq!(*hall.sizes.lock().unwrap(), [1, 1, 1, 1]);
    assert!(hall.ledger.client.chain_id() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_client_cannot_take_the_name_of_a_job_that_is_computed() {
    let hall = Hall::open(2, Together::Honest).await;
    let job_id = Some(JobId::random());
    let ask = |client: usize| {
        let gateway = Arc::clone(&hall.gateways[client]);
        let request = AskRequest { job_id, ..question(client as u64) };
        tokio::spawn(async move { gateway.ask(request).await })
    };
    let honest = hall.ask_for(0, AskRequest { job_id, ..question(0) }).await;
    let thief = ask(1);
    // Time to come while the job is computed, which is what this is about; one that comes later is refused as well.
    tokio::time::sleep(core::time::Duration::from_millis(400)).await;
    hall.go(1);
    assert!(honest.await.unwrap().unwrap().paid);
    assert!(matches!(thief.await.unwrap(), Err(GatewayError::Refused { .. })));
    assert_eq!(hall.running.worker.earnings().unwrap().vouchered, PRICE);
}

#[test]
fn memory_and_look_ups_limit_how_many_jobs_are_proved_together() {
    let hidden = || hiding_engine(&hiding_model(0));
    assert_eq!(hidden().together_max(), 64);
    assert_eq!(hidden().together(5, u64::MAX).together_max(), 5);
    assert_eq!(hidden().together(0, u64::MAX).together_max(), 1);
    assert_eq!(hidden().together(64, 0).together_max(), 1);
    // A plain proof shows something of its rows to everybody who has it.
    assert_eq!(GraphEngine::new(model()).together(64, u64::MAX).together_max(), 1);
}

/// Remembers every count that is recorded, and takes its time over it.
#[derive(Default)]
struct Log(Mutex<Vec<u32>>);

impl Openings for Log {
    fn record(&self, used: u32) -> std::io::Result<()> {
        std::thread::sleep(core::time::Duration::from_millis(20));
        self.0.lock().unwrap().push(used);
        Ok(())
    }
}

#[test]
fn the_count_of_openings_never_goes_back() {
    // Proofs that end in another order than they began wrote a lower count over a higher one.
    let (model, log) = (hiding_model(3), Arc::new(Log::default()));
    let engine = GraphEngine::hiding(Arc::clone(&model), Arc::clone(&log) as Arc<dyn Openings>);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let engine = &engine;
            scope.spawn(move || engine.answer(&job(&row(seed))).unwrap());
        }
    });
    let recorded = log.0.lock().unwrap();
    assert!(recorded.is_sorted() && recorded.last() == Some(&7), "{recorded:?}");
}

fn job(values: &[i64]) -> OpenedJob {
    let header = JobHeader {
        chain_id: 5,
        job_id: JobId::random(),
        model_id: B256::ZERO,
        channel_id: B256::ZERO,
        client: Address::ZERO,
        worker: Address::ZERO,
        privacy: Privacy::Sealed,
        evidence: Evidence::Proved,
        price: PRICE,
        cumulative: PRICE,
    };
    OpenedJob { header, input: JobInput::Values(values.to_vec().into()) }
}

/// A batch of strangers' rows.
struct Batch {
    rows: Vec<Vec<i64>>,
    salts: Vec<B256>,
    proved: ProvedBatch,
}

fn row(seed: i64) -> Vec<i64> {
    (0..FEATURES as i64).map(|index| ((seed * 13 + index * 29) % 128) << 24).collect()
}

impl Batch {
    fn of(model: &CommittedModel, rows: &[Vec<i64>]) -> Self {
        let salts: Vec<B256> = rows.iter().map(|_| B256::from(JobId::random().0)).collect();
        let row_salts: Vec<RowSalt> = salts.iter().map(|salt| RowSalt::new(salt.0)).collect();
        let proved = if model.openings_left().is_some() {
            tacit_prove::prove_batch_zk(model, rows, &row_salts, &Seed::new(JobId::random().0.0)).unwrap()
        } else {
            tacit_prove::prove_batch(model, rows, &row_salts).unwrap()
        };
        Self { rows: rows.to_vec(), salts, proved }
    }

    fn answer(&self, index: usize) -> EngineAnswer {
        let proof = Some(RowProof {
            rows: u32::try_from(self.rows.len()).unwrap(),
            index: u32::try_from(index).unwrap(),
            salt: self.salts[index],
            proof: self.proved.proof.clone(),
        });
        EngineAnswer { output: Output::Logits(self.proved.outputs[index].clone()), proof, trace: None }
    }
}

/// Answers with what a cheat makes of the question.
struct Cheat<F>(F);

impl<F: Fn(&[i64]) -> EngineAnswer + Send + Sync + 'static> Engine for Cheat<F> {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        match &job.input {
            JobInput::Values(values) => Ok((self.0)(values)),
            JobInput::Query { .. } => Err(EngineError("not values".into())),
        }
    }
}

/// Asks a cheat, expects to catch it, and not to have paid.
async fn caught(
    model: &Arc<CommittedModel>,
    cheat: impl Fn(&[i64]) -> EngineAnswer + Send + Sync + 'static,
    expected: AnswerReject,
) {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = plan(model, Cheat(cheat)).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    expect_caught(&gateway, &worker, Some(&expected)).await;
}

async fn expect_caught(gateway: &Gateway, worker: &RunningWorker, expected: Option<&AnswerReject>) {
    let before = worker.worker.earnings().unwrap().vouchered;
    match gateway.ask(question(9)).await {
        Err(GatewayError::Rejected { reject, .. })
            if expected.is_none_or(|expected| *expected == *reject) => {}
        other => panic!("expected {expected:?}, got {other:?}"),
    }
    assert!(gateway.status().await.unwrap().channels.iter().all(|channel| channel.signed == Amount::ZERO));
    assert_eq!(worker.worker.earnings().unwrap().vouchered, before);
}

fn fingerprint(row: usize) -> AnswerReject {
    AnswerReject::Proof(Reject::Fingerprint { row })
}

fn salt(row: usize) -> AnswerReject {
    AnswerReject::Proof(Reject::Salt { row })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_of_another_batch_is_caught() {
    let model = hiding_model(0);
    let other = Batch::of(&model, &[row(1), row(2)]);
    let honest = hiding_model(0);
    caught(
        &model,
        move |asked| {
            // The right answer under a proof of other questions.
            let right = Batch::of(&honest, &[asked.to_vec()]).answer(0);
            EngineAnswer { output: right.output, ..other.answer(0) }
        },
        fingerprint(0),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_swapped_with_a_neighbours_is_caught() {
    let model = hiding_model(0);
    let prover = Arc::clone(&model);
    let swapped = move |asked: &[i64]| {
        let batch = Batch::of(&prover, &[asked.to_vec(), row(1)]);
        EngineAnswer { output: batch.answer(0).output, ..batch.answer(1) }
    };
    caught(&model, swapped, fingerprint(1)).await;
    let prover = Arc::clone(&model);
    let place_only = move |asked: &[i64]| {
        let mut answer = Batch::of(&prover, &[asked.to_vec(), row(1)]).answer(0);
        answer.proof.as_mut().unwrap().index = 1;
        answer
    };
    caught(&model, place_only, salt(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_row_salt_is_caught() {
    let model = hiding_model(0);
    let prover = Arc::clone(&model);
    let cheat = move |asked: &[i64]| {
        let mut answer = Batch::of(&prover, &[row(1), asked.to_vec()]).answer(1);
        answer.proof.as_mut().unwrap().salt.0[31] ^= 1;
        answer
    };
    caught(&model, cheat, salt(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_answer_in_a_batch_is_caught() {
    let model = hiding_model(0);
    let prover = Arc::clone(&model);
    let cheat = move |asked: &[i64]| {
        let mut answer = Batch::of(&prover, &[row(1), asked.to_vec()]).answer(1);
        logits(&mut answer.output)[0] += 1;
        answer
    };
    caught(&model, cheat, fingerprint(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_without_my_row_is_caught() {
    let model = hiding_model(0);
    let prover = Arc::clone(&model);
    let cheat = move |asked: &[i64]| {
        let output = Batch::of(&prover, &[asked.to_vec()]).answer(0).output;
        let mut answer = Batch::of(&prover, &[row(1), row(2)]).answer(1);
        answer.output = output;
        // A place behind the last row of the proof.
        answer.proof.as_mut().unwrap().index = 2;
        answer
    };
    caught(&model, cheat, salt(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_another_size_than_said_is_caught() {
    let model = hiding_model(0);
    for said in [0, 1, 3, u32::MAX] {
        let prover = Arc::clone(&model);
        let cheat = move |asked: &[i64]| {
            let mut answer = Batch::of(&prover, &[asked.to_vec(), row(1)]).answer(0);
            answer.proof.as_mut().unwrap().rows = said;
            answer
        };
        let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
        let worker = plan(&model, Cheat(cheat)).start(&ledger.client).await;
        expect_caught(&gateway(&ledger.client, 2), &worker, None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_does_not_serve_two_clients() {
    // The first client's row is honest; the second, who asks the same, is given the same row with another answer, and the
    // third, who asks something else, the same row with its own right answer.
    let model = hiding_model(0);
    let first: Mutex<Option<EngineAnswer>> = Mutex::new(None);
    let count = AtomicUsize::new(0);
    let prover = Arc::clone(&model);
    let cheat = move |asked: &[i64]| {
        let mut first = first.lock().unwrap();
        let kept = first.get_or_insert_with(|| Batch::of(&prover, &[asked.to_vec(), row(1)]).answer(0));
        let mut output = kept.output.clone();
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => {}
            1 => logits(&mut output).iter_mut().for_each(|logit| *logit += 1),
            _ => output = Batch::of(&prover, &[asked.to_vec()]).answer(0).output,
        }
        EngineAnswer { output, proof: kept.proof.clone(), trace: None }
    };
    let ledger = everyone().await;
    let worker = plan(&model, Cheat(cheat)).start(&ledger.client).await;
    assert!(gateway(&ledger.client, 2).ask(question(9)).await.unwrap().paid);
    expect_caught(&gateway(&ledger.client, 3), &worker, Some(&fingerprint(0))).await;
    let third = gateway(&ledger.client, 4);
    let asked = third.ask(question(10)).await;
    assert!(
        matches!(&asked, Err(GatewayError::Rejected { reject, .. }) if **reject == fingerprint(0)),
        "{asked:?}"
    );
    assert_eq!(worker.worker.earnings().unwrap().vouchered, PRICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_proof_shared_with_strangers_is_not_paid() {
    let plain = model();
    let cheat = |asked: &[i64]| Batch::of(&model(), &[asked.to_vec(), row(1)]).answer(0);
    caught(&plain, cheat, AnswerReject::Shown).await;
}

/// Counts openings on a disk that can die.
struct Count(Mutex<Medium>);

impl Count {
    fn open(disk: &Disk) -> (Self, u32) {
        let medium = disk.open();
        let mut bytes = [0; 4];
        if medium.len().unwrap() == 0 {
            medium.set_len(4).unwrap();
        } else {
            medium.read(0, &mut bytes).unwrap();
        }
        (Self(Mutex::new(medium)), u32::from_le_bytes(bytes))
    }
}

impl Openings for Count {
    fn record(&self, used: u32) -> std::io::Result<()> {
        let medium = self.0.lock().unwrap();
        medium.write(0, &used.to_le_bytes())?;
        medium.sync_data()
    }
}

const CROWD: u8 = 3;

/// Clients that ask together, and a worker whose two disks can die.
struct Crowd<'a> {
    ledger: &'a Ledger,
    gateways: Vec<Arc<Gateway>>,
    worker_disk: Disk,
    count_disk: Disk,
    sealing: tempfile::TempDir,
    worker: Option<RunningWorker>,
    port: u16,
    deaths: AtomicU32,
}

impl<'a> Crowd<'a> {
    async fn new(ledger: &'a Ledger, first: u8) -> Self {
        let mut crowd = Self {
            ledger,
            gateways: (first..first + CROWD)
                .map(|key| gateway_on(&ledger.client, key, &Disk::default()))
                .collect(),
            worker_disk: Disk::default(),
            count_disk: Disk::default(),
            sealing: tempfile::tempdir().unwrap(),
            worker: None,
            port: 0,
            deaths: AtomicU32::new(0),
        };
        crowd.start().await;
        let running = crowd.worker.as_ref().unwrap();
        running.worker.publish_and_ask(&running.server.url).await.unwrap();
        crowd.port = running.server.url.rsplit(':').next().unwrap().parse().unwrap();
        crowd
    }

    async fn start(&mut self) {
        drop(self.worker.take());
        let (count, used) = Count::open(&self.count_disk);
        let model = hiding_model(used);
        let engine = GraphEngine::hiding(Arc::clone(&model), Arc::new(count));
        let mut plan = plan(&model, engine);
        plan.disk = self.worker_disk.clone();
        plan.sealing = tacit_wire::SealingKey::load_or_create(&self.sealing.path().join("key")).unwrap();
        plan.port = self.port;
        plan.settlement.anchor_delay = core::time::Duration::from_secs(3600);
        plan.settlement.poll = core::time::Duration::from_secs(3600);
        self.worker = Some(plan.start_quietly(&self.ledger.client).await);
    }

    /// All ask together, again and again until all have their answer, while the worker dies and comes back.
    async fn ask(&mut self, seed: u64) {
        let requests: Vec<AskRequest> = (0..self.gateways.len() as u64)
            .map(|client| AskRequest { job_id: Some(JobId::random()), ..question(seed + client) })
            .collect();
        for _ in 0..12 {
            let asking: Vec<_> = self
                .gateways
                .iter()
                .zip(&requests)
                .map(|(gateway, request)| {
                    let (gateway, request) = (Arc::clone(gateway), request.clone());
                    tokio::spawn(async move { gateway.ask(request).await })
                })
                .collect();
            let mut answered = 0;
            for (asking, request) in asking.into_iter().zip(&requests) {
                if let Ok(answer) = asking.await.unwrap() {
                    assert_eq!(answer.label, Some(expected_label(request)));
                    answered += 1;
                }
            }
            if self.worker_disk.is_dead() || self.count_disk.is_dead() {
                self.deaths.fetch_add(1, Ordering::SeqCst);
                self.worker_disk.die(None);
                self.count_disk.die(None);
                self.start().await;
            } else if answered == requests.len() {
                return;
            }
        }
        panic!("not all are answered");
    }

    /// Everything asked is answered and paid once, and no opening was used for two proofs.
    async fn check(&mut self, asked: usize) {
        let mut proofs: Vec<(u32, Vec<u8>)> = Vec::new();
        for gateway in &self.gateways {
            gateway.resume().await.unwrap();
            let receipts = gateway.receipts().unwrap();
            assert_eq!(receipts.len(), asked);
            for receipt in receipts {
                let bundle = gateway.bundle(receipt.job_id).unwrap();
                let _verified = verify_bundle(&bundle).unwrap();
                let row = bundle.proof.unwrap();
                // Version, level and kind, a digest for each row, openings, then which of them this is.
                let at = 3 + 32 * row.rows as usize + 4;
                let opening = u32::from_le_bytes(row.proof[at..at + 4].try_into().unwrap());
                proofs.push((opening, row.proof));
            }
        }
        for (opening, proof) in &proofs {
            assert!(proofs.iter().all(|(other, same)| other != opening || same == proof));
        }
        let (_, used) = Count::open(&self.count_disk);
        assert!(proofs.iter().all(|(opening, _)| *opening < used) && used < OPENINGS);
        let earnings = self.worker.as_ref().unwrap().worker.earnings().unwrap();
        let jobs = asked as u64 * u64::from(CROWD);
        assert_eq!((earnings.jobs, earnings.unpaid_jobs), (jobs, 0));
        assert_eq!(earnings.vouchered, Amount(u128::from(jobs) * PRICE.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_anywhere_loses_no_job_and_uses_no_opening_twice() {
    let ledger = everyone().await;
    let mut crowd = Crowd::new(&ledger, 10).await;
    let (worker, count) = (crowd.worker_disk.syncs(), crowd.count_disk.syncs());
    crowd.ask(1).await;
    crowd.ask(5).await;
    let (worker, count) = (crowd.worker_disk.syncs() - worker, crowd.count_disk.syncs() - count);
    crowd.check(2).await;
    assert!(worker >= 12 && count >= 2);
    let ends = |at: u64| [Death::Before(at), Death::After(at)];
    let deaths = (1..=count).flat_map(ends).map(|death| (None, Some(death)));
    let deaths = deaths.chain((1..=worker).flat_map(ends).map(|death| (Some(death), None)));
    for (number, (worker_death, count_death)) in (0_u8..).zip(deaths) {
        let mut crowd = Crowd::new(&ledger, 13 + number * CROWD).await;
        crowd.worker_disk.die(worker_death);
        crowd.count_disk.die(count_death);
        crowd.ask(1).await;
        crowd.ask(5).await;
        crowd.check(2).await;
    }
}
