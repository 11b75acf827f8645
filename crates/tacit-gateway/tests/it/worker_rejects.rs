//! A worker's every reason to refuse, each produced once.

use std::sync::{Arc, Mutex, mpsc};

use alloy_primitives::{B256, Bytes};
use tacit_abi::{Evidence, Privacy, Voucher};
use tacit_wire::{
    Amount, JobHeader, JobId,
    job::{Payload, PayloadReject},
    message::{JobRequest, VoucherRequest},
};
use tacit_worker::{Engine, EngineAnswer, EngineError, GraphEngine, JobReject, Limits, OpenedJob, Worker};

use crate::{
    disk::Death,
    support::{
        FEATURES, Ledger, PRICE, RunningWorker, WorkerPlan, honest, honest_encrypted, ledger, model, served,
        wallet,
    },
};

/// A worker, a client's channel to it, and the terms of the next job.
struct Table {
    ledger: Ledger,
    running: RunningWorker,
    header: JobHeader,
    sealing_key: B256,
}

impl Table {
    async fn lay(plan: WorkerPlan) -> Self {
        let ledger = ledger(&[1, 2, 3, 4].map(|key| wallet(key).address())).await;
        let sealing_key = plan.sealing.public();
        let running = plan.start(&ledger.client).await;
        let channel_id = open(&ledger, 2, 1, B256::ZERO, Amount(PRICE.0 * 2)).await;
        let header = JobHeader {
            chain_id: ledger.client.chain_id(),
            job_id: JobId::random(),
            model_id: honest().model_id(),
            channel_id,
            client: wallet(2).address(),
            worker: wallet(1).address(),
            privacy: Privacy::Sealed,
            evidence: Evidence::Signed,
            price: PRICE,
            cumulative: PRICE,
        };
        Self { ledger, running, header, sealing_key }
    }

    fn worker(&self) -> &Arc<Worker> {
        &self.running.worker
    }

    fn request(&self, header: JobHeader) -> JobRequest {
        self.request_with(header, 2, &[0; FEATURES])
    }

    fn request_with(&self, header: JobHeader, signer: u8, values: &[i64]) -> JobRequest {
        let made = JobHeader { privacy: Privacy::Sealed, ..header };
        let form = if header.privacy == Privacy::Clear { header } else { made };
        let (payload, _) = Payload::make(&form, self.sealing_key, values).unwrap();
        let signature = wallet(signer).sign_digest(header.digest(&payload));
        JobRequest { header, payload, signature }
    }

    async fn refused(&self, header: JobHeader) -> JobReject {
        self.worker().answer(self.request(header)).await.unwrap_err()
    }

    fn voucher(&self, job_id: JobId, channel_id: B256, cumulative: Amount, signer: u8) -> VoucherRequest {
        let voucher = Voucher { channelId: channel_id, cumulative: cumulative.0 };
        let voucher = wallet(signer).sign_voucher(voucher, self.header.chain_id);
        VoucherRequest { job_id, voucher }
    }
}

async fn open(ledger: &Ledger, client: u8, worker: u8, salt: B256, deposit: Amount) -> B256 {
    let (client, worker) = (wallet(client), wallet(worker).address());
    ledger.client.open_channel(&client, worker, salt, deposit).await.unwrap();
    let owner = client.address();
    tacit_abi::channels::channel_id(ledger.client.chain_id(), owner, worker, owner, salt)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_not_ours_is_refused() {
    let table = Table::lay(WorkerPlan::honest(1)).await;
    let header = table.header;
    let refused = |header| table.refused(header);
    assert!(matches!(refused(JobHeader { chain_id: 1, ..header }).await, JobReject::WrongChain { .. }));
    let other = JobHeader { worker: wallet(3).address(), ..header };
    assert!(matches!(refused(other).await, JobReject::WrongWorker { .. }));
    let other = JobHeader { model_id: B256::ZERO, ..header };
    assert!(matches!(refused(other).await, JobReject::UnknownModel { .. }));
    let other = JobHeader { evidence: Evidence::Audited, ..header };
    assert!(matches!(refused(other).await, JobReject::UnsupportedMode { .. }));
    let other = JobHeader { price: Amount(PRICE.0 - 1), ..header };
    assert!(matches!(refused(other).await, JobReject::StalePrice { expected: PRICE, .. }));
    assert_eq!(table.worker().earnings().unwrap().jobs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_cannot_pay_is_refused() {
    let table = Table::lay(WorkerPlan::honest(1)).await;
    let (header, ledger) = (table.header, &table.ledger);
    let refused = |header| table.refused(header);
    let other = JobHeader { channel_id: B256::ZERO, ..header };
    assert!(matches!(refused(other).await, JobReject::UnknownChannel { .. }));
    let elsewhere = open(ledger, 2, 3, B256::ZERO, PRICE).await;
    let other = JobHeader { channel_id: elsewhere, ..header };
    assert!(matches!(refused(other).await, JobReject::NotOurChannel { .. }));
    let other = JobHeader { client: wallet(3).address(), ..header };
    assert!(matches!(refused(other).await, JobReject::NotOurChannel { .. }));
    let other = JobHeader { cumulative: Amount(PRICE.0 * 3), ..header };
    assert!(matches!(refused(other).await, JobReject::DepositTooSmall { .. }));
    let other = JobHeader { cumulative: Amount(PRICE.0 * 2), ..header };
    assert!(matches!(refused(other).await, JobReject::WrongCumulative { expected: PRICE, .. }));
    let closing = open(ledger, 2, 1, B256::repeat_byte(1), PRICE).await;
    ledger.client.request_close(&wallet(2), closing).await.unwrap();
    let other = JobHeader { channel_id: closing, ..header };
    assert!(matches!(refused(other).await, JobReject::ChannelClosing { .. }));
    assert_eq!(table.worker().earnings().unwrap().jobs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_use_a_clients_channel() {
    let table = Table::lay(WorkerPlan::honest(1)).await;
    let stranger = table.request_with(table.header, 3, &[0; FEATURES]);
    let refused = table.worker().answer(stranger).await.unwrap_err();
    assert!(matches!(refused, JobReject::NotSigner { .. }));
    let mut unsigned = table.request(table.header);
    unsigned.signature = Bytes::new();
    assert!(matches!(table.worker().answer(unsigned).await.unwrap_err(), JobReject::Signature(_)));
    // A payload moved under another header is signed by nobody we know, whoever signed it before.
    let mut moved = table.request(table.header);
    moved.header.job_id = JobId::random();
    assert!(matches!(table.worker().answer(moved).await.unwrap_err(), JobReject::NotSigner { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_or_misshapen_input_is_refused() {
    let table = Table::lay(WorkerPlan::honest(1)).await;
    let short = table.request_with(table.header, 2, &[0; FEATURES - 1]);
    let refused = table.worker().answer(short).await.unwrap_err();
    assert!(matches!(refused, JobReject::WrongShape { expected: FEATURES, .. }));
    let mut request = table.request(table.header);
    let Payload::Sealed { body, .. } = &mut request.payload else { panic!("not sealed") };
    body[0] ^= 1;
    request.signature = wallet(2).sign_digest(table.header.digest(&request.payload));
    let refused = table.worker().answer(request.clone()).await.unwrap_err();
    assert!(matches!(refused, JobReject::Payload(PayloadReject::Seal(_))));
    request.payload = Payload::Clear { body: vec![0; 9] };
    request.signature = wallet(2).sign_digest(table.header.digest(&request.payload));
    let refused = table.worker().answer(request.clone()).await.unwrap_err();
    assert!(matches!(refused, JobReject::Payload(PayloadReject::WrongForm { .. })));
    request.payload = Payload::Clear { body: vec![0; tacit_wire::job::PAYLOAD_BYTES_MAX + 1] };
    assert!(matches!(table.worker().answer(request).await.unwrap_err(), JobReject::Payload(_)));
    assert_eq!(table.worker().earnings().unwrap().jobs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_is_risked_and_no_more() {
    let table = Table::lay(WorkerPlan::honest(1)).await;
    let (header, worker) = (table.header, table.worker());
    let request = table.request(header);
    let first = worker.answer(request.clone()).await.unwrap();
    assert_eq!(worker.answer(request).await.unwrap(), first, "the same request gives the same bytes");
    let other = table.request_with(header, 2, &[1; FEATURES]);
    assert!(matches!(worker.answer(other).await.unwrap_err(), JobReject::JobIdReused { .. }));
    let next = JobHeader { job_id: JobId::random(), cumulative: Amount(PRICE.0 * 2), ..header };
    let unpaid = table.refused(next).await;
    assert!(matches!(unpaid, JobReject::PaymentRequired { demand: PRICE, .. }));

    let pay = |cumulative, signer| table.voucher(header.job_id, header.channel_id, cumulative, signer);
    let accept = |request| worker.accept_voucher(request);
    let low = accept(pay(Amount(PRICE.0 - 1), 2)).await.unwrap_err();
    assert!(matches!(low, JobReject::Underpaid { demand: PRICE, .. }));
    assert!(matches!(accept(pay(PRICE, 3)).await.unwrap_err(), JobReject::NotSigner { .. }));
    let mut odd = pay(PRICE, 2);
    odd.voucher.signature = Bytes::from(vec![0; 65]);
    assert!(matches!(accept(odd).await.unwrap_err(), JobReject::Signature(_)));
    let other_channel = table.voucher(header.job_id, B256::ZERO, PRICE, 2);
    assert!(matches!(accept(other_channel).await.unwrap_err(), JobReject::WrongChannel));
    let rich = accept(pay(Amount(PRICE.0 * 9), 2)).await.unwrap_err();
    assert!(matches!(rich, JobReject::DepositTooSmall { .. }));
    assert_eq!(worker.earnings().unwrap().vouchered, Amount::ZERO);

    assert_eq!(accept(pay(PRICE, 2)).await.unwrap().cumulative, PRICE);
    assert_eq!(accept(pay(PRICE, 2)).await.unwrap().cumulative, PRICE, "the same voucher again is fine");
    assert!(worker.answer(table.request(next)).await.is_ok());
    assert!(matches!(worker.receipt(JobId::random()), Err(JobReject::UnknownJob { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_for_a_forgotten_job_counts_if_the_ledger_backs_it() {
    let table = Table::lay(WorkerPlan::honest(1)).await;
    let voucher = |channel_id, cumulative| table.voucher(JobId::random(), channel_id, cumulative, 2);
    let accept = |request| table.worker().accept_voucher(request);
    let nowhere = accept(voucher(B256::ZERO, PRICE)).await.unwrap_err();
    assert!(matches!(nowhere, JobReject::UnknownChannel { .. }));
    let elsewhere = open(&table.ledger, 2, 3, B256::ZERO, PRICE).await;
    assert!(matches!(accept(voucher(elsewhere, PRICE)).await.unwrap_err(), JobReject::NotOurChannel { .. }));
    let held = accept(voucher(table.header.channel_id, PRICE)).await.unwrap();
    assert_eq!(held.cumulative, PRICE);
    let info = table.worker().channel(table.header.channel_id).unwrap();
    assert_eq!(info.voucher.unwrap().voucher.cumulative, PRICE.0);
}

/// Works when told.
struct Waiting(Mutex<mpsc::Receiver<()>>);

impl Engine for Waiting {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        self.0.lock().unwrap().recv().map_err(|error| EngineError(Box::new(error)))?;
        GraphEngine::new(model()).answer(job)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_worker_says_so() {
    let (go, wait) = mpsc::channel();
    let mut plan = WorkerPlan::honest(1);
    plan.models = vec![served(&model(), "small", Arc::new(Waiting(Mutex::new(wait))), PRICE)];
    plan.limits = Limits { running_max: 1, waiting_max: 0, ..Limits::default() };
    let table = Table::lay(plan).await;
    let second = open(&table.ledger, 3, 1, B256::ZERO, PRICE).await;
    let request = table.request(table.header);
    let (worker, sent) = (Arc::clone(table.worker()), request.clone());
    let working = tokio::spawn(async move { worker.answer(sent).await });
    tokio::time::sleep(core::time::Duration::from_millis(200)).await;
    let again = table.worker().answer(request).await.unwrap_err();
    assert!(matches!(again, JobReject::InProgress { .. }));
    let other = JobHeader { job_id: JobId::random(), ..table.header };
    assert!(matches!(table.refused(other).await, JobReject::ChannelBusy { .. }));
    let other_client = JobHeader { channel_id: second, client: wallet(3).address(), ..other };
    let request = table.request_with(other_client, 3, &[0; FEATURES]);
    assert!(matches!(table.worker().answer(request.clone()).await.unwrap_err(), JobReject::Busy));
    go.send(()).unwrap();
    working.await.unwrap().unwrap();
    go.send(()).unwrap();
    table.worker().answer(request).await.unwrap();
}

struct Broken;

impl Engine for Broken {
    fn answer(&self, _: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        Err(EngineError("no memory".into()))
    }
}

struct Panicking;

impl Engine for Panicking {
    fn answer(&self, _: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        panic!("a bug in an engine")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_engine_costs_nothing_and_frees_the_channel() {
    let engines: [Arc<dyn Engine>; 2] = [Arc::new(Broken), Arc::new(Panicking)];
    for engine in engines {
        let mut plan = WorkerPlan::honest(1);
        plan.models = vec![served(&model(), "small", engine, PRICE)];
        let table = Table::lay(plan).await;
        for _ in 0..2 {
            let refused = table.refused(table.header).await;
            assert!(matches!(refused, JobReject::Engine(_) | JobReject::Internal), "{refused:?}");
        }
        assert_eq!(table.worker().earnings().unwrap().unpaid_jobs, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_disk_or_ledger_is_told_without_detail() {
    let plan = WorkerPlan::honest(1);
    let disk = plan.disk.clone();
    let table = Table::lay(plan).await;
    disk.die(Some(Death::Before(1)));
    let refused = table.refused(table.header).await;
    assert!(matches!(refused, JobReject::Store(_)));
    assert_eq!(refused.body().message, "the worker cannot write to its disk");

    let table = Table::lay(WorkerPlan::honest(1)).await;
    let request = table.request(table.header);
    let Table { ledger, running, .. } = table;
    drop(ledger);
    tokio::time::sleep(core::time::Duration::from_millis(200)).await;
    assert!(matches!(running.worker.answer(request).await.unwrap_err(), JobReject::Ledger(_)));
}

/// Takes its time.
struct Slow(core::time::Duration);

impl Engine for Slow {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        std::thread::sleep(self.0);
        GraphEngine::new(model()).answer(job)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_took_too_long_is_fetched_later_and_paid_once() {
    use tacit_gateway::{AskRequest, GatewayError};
    let ledger = ledger(&[1, 2].map(|key| wallet(key).address())).await;
    let mut plan = WorkerPlan::honest(1);
    let slow = Slow(core::time::Duration::from_millis(700));
    plan.models = vec![served(&model(), "small", Arc::new(slow), PRICE)];
    plan.limits.request_timeout = core::time::Duration::from_millis(300);
    let running = plan.start(&ledger.client).await;
    let gateway = crate::support::gateway(&ledger.client, 2);
    let request = AskRequest { job_id: Some(JobId::random()), ..crate::support::question(1) };
    let late = gateway.ask(request.clone()).await.unwrap_err();
    assert!(matches!(late, GatewayError::Unreachable { job_id: Some(_), .. }), "{late:?}");
    let answer = gateway.ask(request.clone()).await.unwrap();
    assert_eq!(answer.label, Some(crate::support::expected_label(&request)));
    let earnings = running.worker.earnings().unwrap();
    assert_eq!((earnings.jobs, earnings.vouchered), (1, PRICE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_cannot_be_settled_does_not_keep_the_others() {
    use tacit_worker::store::{ChannelRecord, Store};
    // A voucher over a channel that the ledger does not know (its chain was begun anew) ended each round of settlement:
    // channels after it were never settled, not even while their clients were closing them.
    let ledger = ledger(&[1, 2].map(|key| wallet(key).address())).await;
    let mut plan = WorkerPlan::honest(1);
    plan.settlement.settle_threshold = Amount(1);
    let (client, unknown) = (wallet(2).address(), Voucher { channelId: B256::ZERO, cumulative: 1 });
    let signed = wallet(2).sign_voucher(unknown, ledger.client.chain_id());
    let settled = Amount::ZERO;
    let channel = ChannelRecord { client, signer: client, voucher: None, settled, unpaid: None };
    let store = Store::with_backend(plan.disk.open()).unwrap();
    store.put_voucher(channel, &signed, None).unwrap();
    drop(store);
    let running = plan.start(&ledger.client).await;
    let gateway = crate::support::gateway(&ledger.client, 2);
    gateway.ask(crate::support::question(1)).await.unwrap();
    assert!(running.worker.settle_due().await.is_err());
    assert_eq!(running.worker.earnings().unwrap().settled, PRICE);
}

#[cfg(unix)]
#[test]
fn what_a_worker_keeps_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    // Answers that travelled in the clear, and vouchers, lay in a file that everyone on the machine could read.
    let folder = tempfile::tempdir().unwrap();
    let _folder = Worker::open_folder(folder.path()).unwrap();
    assert!(folder.path().join("audit.key").exists());
    for file in std::fs::read_dir(folder.path()).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o077, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_query_for_the_model_is_refused() {
    use tacit_encrypt::WireError;
    let plan = WorkerPlan { models: vec![honest(), honest_encrypted()], ..WorkerPlan::honest(1) };
    let table = Table::lay(plan).await;
    let linear = honest_encrypted();
    let offer = linear.offer().unwrap().clone();
    let header = JobHeader { model_id: linear.model_id(), privacy: Privacy::Encrypted, ..table.header };
    let refused = async |header: JobHeader, payload: Payload| {
        let signature = wallet(2).sign_digest(header.digest(&payload));
        table.worker().answer(JobRequest { header, payload, signature }).await.unwrap_err()
    };
    let query = |length: usize, first: u8| {
        let mut body = vec![0; length];
        body[..2].copy_from_slice(&[first, 1]);
        Payload::Encrypted { body }
    };
    let length = offer.query_bytes();
    let short = refused(header, query(length - 1, 1)).await;
    assert!(matches!(short, JobReject::Query(WireError::Length { expected, .. }) if expected == length));
    assert_eq!(short.body().code, "bad_query");
    assert!(matches!(
        refused(header, query(length, 2)).await,
        JobReject::Query(WireError::Version { got: 2 })
    ));
    let mut over = vec![0xff; length];
    over[..2].copy_from_slice(&[1, 1]);
    let over = refused(header, Payload::Encrypted { body: over }).await;
    assert!(matches!(over, JobReject::Query(WireError::Coefficient { .. })));
    let long = refused(header, query(tacit_wire::job::QUERY_BYTES_MAX + 1, 1)).await;
    assert!(matches!(long, JobReject::Payload(PayloadReject::QueryLength { .. })));
    // A header that promises one form, with another behind it.
    let clear = Payload::Clear { body: vec![1, 0, 0, 0, 0] };
    let wrong = refused(header, clear).await;
    assert!(matches!(wrong, JobReject::Payload(PayloadReject::WrongForm { privacy: Privacy::Encrypted })));
    let wrong = refused(JobHeader { privacy: Privacy::Sealed, ..header }, query(length, 1)).await;
    assert!(matches!(wrong, JobReject::Payload(PayloadReject::WrongForm { privacy: Privacy::Sealed })));
    // Modes and models that are not offered so.
    for header in [
        JobHeader { evidence: Evidence::Proved, ..header },
        JobHeader { evidence: Evidence::Attested, ..header },
        JobHeader { model_id: honest().model_id(), ..header },
    ] {
        assert!(matches!(refused(header, query(length, 1)).await, JobReject::UnsupportedMode { .. }));
    }
    assert_eq!(table.worker().earnings().unwrap().jobs, 0);
    // Anything in the shape of a query is answered, and says nothing of the weights but numbers under a key that nobody has.
    let signature = wallet(2).sign_digest(header.digest(&query(length, 1)));
    table.worker().answer(JobRequest { header, payload: query(length, 1), signature }).await.unwrap();
}
