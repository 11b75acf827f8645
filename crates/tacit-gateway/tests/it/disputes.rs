//! Audited answers that were not encrypted: done again, disputed on a real ledger, by and with real workers.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use alloy_primitives::B256;
use serde_json::{Value, json};
use tacit_abi::{
    Evidence, Privacy, audits,
    audits::{CHALLENGE_BOND, STEP_S},
    stakes::{self, REWARD_PARTS},
    validators::BURNED,
};
use tacit_gateway::{AnswerReject, AskRequest, Audit, AuditPolicy, CanaryPolicy, Gateway, GatewayError};
use tacit_graph::{
    Tensor, Trace, execute, reference, synthetic_mlp,
    trace::{Hash, Node, TraceTree},
};
use tacit_market::Ratio;
use tacit_prove::CommittedModel;
use tacit_verify::SecurityBits;
use tacit_wire::{
    Amount, JobId, LedgerClient, Output, TraceEvidence,
    http::JsonClient,
    ledger::{challenge_id, receipt_digest},
};
use tacit_worker::{
    Clock, Engine, EngineAnswer, EngineError, GraphEngine, JobInput, OpenedJob, Revealed, ServedModel,
    engine::under,
};

use crate::{
    disk::Disk,
    support::{
        FEATURES, Ledger, PRICE, RunningWorker, WorkerPlan, auditing_gateway, ledger, question, served,
        wallet,
    },
};

const WORKER: u8 = 1;
const CLIENT: u8 = 2;
const STRANGER: u8 = 3;

/// A model whose tree takes more than one step.
pub(crate) fn deep_model() -> Arc<CommittedModel> {
    static MODEL: OnceLock<Arc<CommittedModel>> = OnceLock::new();
    let made = || {
        let model = synthetic_mlp(&[u32::try_from(FEATURES).unwrap(), 400, 200, 3], 5).unwrap();
        Arc::new(CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap())
    };
    Arc::clone(MODEL.get_or_init(made))
}

fn audited(engine: impl Engine) -> ServedModel {
    served(&deep_model(), "small", Arc::new(engine), PRICE)
        .ask(Privacy::Sealed, Evidence::Audited, PRICE)
        .ask(Privacy::Clear, Evidence::Audited, PRICE)
}

fn honest_plan() -> WorkerPlan {
    WorkerPlan { models: vec![audited(GraphEngine::new(deep_model()))], ..WorkerPlan::honest(WORKER) }
}

async fn funded() -> Ledger {
    ledger(&[WORKER, CLIENT, STRANGER].map(|key| wallet(key).address())).await
}

/// A gateway that has the weights and audits everything.
fn auditor(ledger: &LedgerClient, disk: &Disk) -> Arc<Gateway> {
    let audits = AuditPolicy::default().with_model(deep_model().model().clone()).with_rate(Ratio::ONE);
    auditing_gateway(ledger, CLIENT, disk, CanaryPolicy::default(), audits)
}

pub(crate) fn audited_question(seed: u64) -> AskRequest {
    AskRequest { evidence: Some(Evidence::Audited), ..question(seed) }
}

pub(crate) fn run(values: &[i64]) -> Trace {
    let model = deep_model();
    let encoded = model.model().graph().encode_input(values).unwrap();
    execute(model.model(), &encoded, 1).unwrap()
}

pub(crate) fn tree(trace: &Trace) -> TraceTree<'_> {
    TraceTree::new(deep_model().model().shapes(), trace, 0).unwrap()
}

/// Alters one value in the middle, computes everything anew that follows from it, and defends it.
struct Lying;

impl Lying {
    fn run(values: &[i64]) -> Trace {
        let mut lied = run(values);
        match &mut lied.tensors[1] {
            Tensor::I32(sums) => sums[321] = sums[321].wrapping_add(5),
            other => panic!("not sums: {other:?}"),
        }
        reference::resume(deep_model().model(), &mut lied, 1).unwrap();
        lied
    }
}

impl Engine for Lying {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        let JobInput::Values(values) = &job.input else { panic!("encrypted") };
        let lied = Self::run(values);
        let tree = tree(&lied);
        let faces = tree.faces().into_iter().map(B256::from).collect();
        let trace = Some(TraceEvidence { root: tree.tree().root().into(), faces });
        Ok(EngineAnswer { output: Output::Logits(lied.logits()), proof: None, trace })
    }

    fn weights_root(&self) -> Option<B256> {
        GraphEngine::new(deep_model()).weights_root()
    }

    fn reveal(&self, values: &[i64], node: Node) -> Result<Revealed, EngineError> {
        Ok(under(&tree(&Self::run(values)), node))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_answer_passes_its_audit() {
    let ledger = funded().await;
    let _worker = honest_plan().start(&ledger.client).await;
    let gateway = auditor(&ledger.client, &Disk::default());
    for privacy in [Privacy::Sealed, Privacy::Clear] {
        let answer = gateway.ask(AskRequest { privacy, ..audited_question(1) }).await.unwrap();
        assert_eq!((answer.evidence, answer.verified, answer.paid), (Evidence::Audited, false, true));
        assert_eq!(answer.audit, Some(Audit::Passed));
        assert_eq!(gateway.receipt(answer.job_id).unwrap().audit, Some(Audit::Passed));
    }
    gateway.pursue_audits().await.unwrap();
    let proved = gateway.ask(question(2)).await.unwrap();
    assert_eq!(proved.audit, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_not_audited_says_so() {
    let ledger = funded().await;
    let _worker = honest_plan().start(&ledger.client).await;
    let ask = async |key, policy| {
        let gateway =
            auditing_gateway(&ledger.client, key, &Disk::default(), CanaryPolicy::default(), policy);
        gateway.ask(audited_question(1)).await.unwrap().audit
    };
    assert_eq!(ask(CLIENT, AuditPolicy::default().alone()).await, Some(Audit::NoWeights));
    // Weights of another model of the same shape are not the registered ones.
    let other = synthetic_mlp(&[u32::try_from(FEATURES).unwrap(), 400, 200, 3], 6).unwrap();
    let others = AuditPolicy::default().with_model(other).with_rate(Ratio::ONE).alone();
    assert_eq!(ask(CLIENT, others).await, Some(Audit::NoWeights));
    let never = AuditPolicy::default().with_model(deep_model().model().clone()).with_rate(Ratio::ZERO);
    assert_eq!(ask(STRANGER, never).await, Some(Audit::NotDrawn));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_altered_value_costs_the_worker_its_stake() {
    let ledger = funded().await;
    let plan = WorkerPlan { models: vec![audited(Lying)], ..WorkerPlan::honest(WORKER) };
    ledger.client.bond(&wallet(WORKER), Amount::coins(1)).await.unwrap();
    let worker = plan.start(&ledger.client).await;
    let address = worker.worker.address();
    let stake = ledger.client.stake_of(address).await.unwrap().bonded;
    let disk = Disk::default();
    let mut gateway = auditor(&ledger.client, &disk);
    let job_id = JobId::random();
    let request = AskRequest { job_id: Some(job_id), ..audited_question(1) };
    let before = ledger.client.balance(gateway.address()).await.unwrap();
    let caught = gateway.ask(request.clone()).await;
    assert!(matches!(caught, Err(GatewayError::FalseRun { worker, .. }) if worker == address), "{caught:?}");
    let digest = digest(&gateway, job_id, &ledger.client);
    assert!(ledger.client.challenge_of(challenge_id(digest, gateway.address())).await.unwrap().is_some());

    for round in 0..60 {
        worker.worker.answer_challenges().await.unwrap();
        // The gateway is killed between steps, and goes on with what is on the disk.
        if round % 2 == 0 {
            drop(gateway);
            gateway = auditor(&ledger.client, &disk);
        }
        gateway.pursue_audits().await.unwrap();
        if gateway.receipt(job_id).unwrap().audit == Some(Audit::Convicted) {
            break;
        }
    }
    assert_eq!(gateway.receipt(job_id).unwrap().audit, Some(Audit::Convicted));
    assert!(ledger.client.is_convicted(digest).await.unwrap());
    assert_eq!(ledger.client.stake_of(address).await.unwrap().bonded, 0);
    // Its past ends there.
    let past = ledger.client.history_of(address, None).await.unwrap();
    assert_eq!((past.facts.bonded, past.reputation().history), (0, 0));
    assert!(past.facts.failed_at_s.is_some_and(|at_s| at_s <= past.time_s), "{past:?}");
    // Coins are conserved: a quarter for the challenger, the rest burned, the bond back.
    let reward = stake / REWARD_PARTS;
    let balance = async |address| ledger.client.balance(address).await.unwrap().0;
    assert_eq!(balance(BURNED).await, stake - reward);
    assert_eq!((balance(stakes::ADDRESS).await, balance(audits::ADDRESS).await), (0, 0));
    let (after, deposit_and_gas) = (balance(gateway.address()).await, 15 * 10_u128.pow(16));
    assert!(after + deposit_and_gas > before.0 + reward && after < before.0 + reward);
    // It is not asked again, and the answer is not given out on another try either.
    assert!(matches!(gateway.ask(request).await, Err(GatewayError::FalseRun { .. })));
    assert!(gateway.ask(audited_question(2)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_liar_loses_its_stake_too() {
    let ledger = funded().await;
    let plan = WorkerPlan { models: vec![audited(Lying)], ..WorkerPlan::honest(WORKER) };
    let worker = plan.start(&ledger.client).await;
    let gateway = auditor(&ledger.client, &Disk::default());
    let job_id = JobId::random();
    drop_after_ask(&gateway, AskRequest { job_id: Some(job_id), ..audited_question(1) }, worker).await;
    pass_time(&ledger.client, STEP_S + 1).await;
    gateway.pursue_audits().await.unwrap();
    assert_eq!(gateway.receipt(job_id).unwrap().audit, Some(Audit::Convicted));
    assert_eq!(ledger.client.stake_of(wallet(WORKER).address()).await.unwrap().bonded, 0);
}

async fn drop_after_ask(gateway: &Gateway, request: AskRequest, worker: RunningWorker) {
    assert!(matches!(gateway.ask(request).await, Err(GatewayError::FalseRun { .. })));
    drop(worker);
}

/// A stranger disputes an honest run and follows the leftmost path; the worker is killed and started again wherever the case says.
async fn false_challenge(killed: bool) {
    let ledger = funded().await;
    let (disk, plan) = (Disk::default(), honest_plan());
    let keys = Arc::clone(&plan.keys);
    let mut running = WorkerPlan { disk: disk.clone(), ..plan }.start(&ledger.client).await;
    let port = running.server.url.rsplit_once(':').unwrap().1.parse().unwrap();
    let gateway = auditor(&ledger.client, &Disk::default());
    let answer = gateway.ask(audited_question(1)).await.unwrap();
    let record = gateway.store().answer(answer.job_id).unwrap().unwrap();
    let values = gateway.store().job(answer.job_id).unwrap().unwrap().values;
    let trace = run(&values);
    let own = tree(&trace);

    let signed = tacit_abi::IAudits::SignedReceipt {
        receipt: record.receipt.receipt.clone().into(),
        signature: record.receipt.signature.clone(),
        evidenceSalt: record.salts.evidence.into(),
    };
    let stranger = wallet(STRANGER);
    let id = challenge_id(digest(&gateway, answer.job_id, &ledger.client), stranger.address());
    let restart = async |running: RunningWorker| {
        drop(running);
        let plan = WorkerPlan { disk: disk.clone(), keys: Arc::clone(&keys), port, ..honest_plan() };
        plan.start_quietly(&ledger.client).await
    };
    let leaves = u32::try_from(own.tree().leaves()).unwrap();
    ledger.client.challenge(&stranger, signed, leaves, own.tree().top().into()).await.unwrap();
    if killed {
        running = restart(running).await;
    }
    let mut node = own.tree().top_node();
    while node.level > 0 {
        settled_turn(&running, &ledger.client, id, 2).await;
        if killed {
            running = restart(running).await;
        }
        let hashes: Vec<Hash> = own.tree().step(node);
        let children = hashes.into_iter().map(B256::from).collect();
        ledger.client.choose(&stranger, id, children, 0).await.unwrap();
        let challenge = ledger.client.challenge_of(id).await.unwrap().unwrap();
        node = Node { level: challenge.level, index: challenge.index.into() };
    }
    settled_turn(&running, &ledger.client, id, 3).await;
    if killed {
        running = restart(running).await;
    }
    // The stranger has nothing to show, and its time ends.
    pass_time(&ledger.client, STEP_S + 1).await;
    settled_turn(&running, &ledger.client, id, 5).await;
    let balance = async |address| ledger.client.balance(address).await.unwrap().0;
    assert_eq!(balance(audits::ADDRESS).await, 0);
    assert!(ledger.client.stake_of(running.worker.address()).await.unwrap().bonded > 0);
    assert!(balance(stranger.address()).await < Amount::coins(1_000).0 - CHALLENGE_BOND);
    assert!(running.worker.answer_challenges().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_worker_answers_a_false_challenge_and_gets_the_bond() {
    false_challenge(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_in_a_dispute_still_answers_in_time() {
    false_challenge(true).await;
}

/// Waits until the worker has taken its step.
async fn settled_turn(running: &RunningWorker, ledger: &LedgerClient, id: B256, turn: u8) {
    for _ in 0..100 {
        running.worker.answer_challenges().await.unwrap();
        if ledger.challenge_of(id).await.unwrap().is_some_and(|challenge| challenge.turn == turn) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no turn {turn}: {:?}", ledger.challenge_of(id).await);
}

pub(crate) fn digest(gateway: &Gateway, job_id: JobId, ledger: &LedgerClient) -> B256 {
    let record = gateway.store().answer(job_id).unwrap().unwrap();
    receipt_digest(&record.receipt.receipt, ledger.chain_id())
}

pub(crate) async fn pass_time(ledger: &LedgerClient, seconds: u64) {
    let http = JsonClient::new(Duration::from_secs(10)).unwrap();
    for (method, params) in [("evm_increaseTime", json!([seconds])), ("evm_mine", json!([]))] {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let reply: Value = http.post(ledger.url(), &request, 10_000).await.unwrap();
        assert!(reply["error"].is_null(), "{reply}");
    }
}

/// Modes in which a worker asks for the model.
async fn modes(ledger: &LedgerClient) -> Vec<(u8, u8)> {
    let model_id = B256::from(*deep_model().model_id().as_bytes());
    let asks = ledger.listing(model_id).await.unwrap().asks;
    asks.into_iter().map(|ask| (ask.terms.privacy, ask.terms.evidence)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_defended_is_not_offered() {
    let model = deep_model();
    let (model_id, root) = (B256::from(*model.model_id().as_bytes()), B256::from(model.weight_root()));
    let sealed = |evidence: Evidence| (Privacy::Sealed as u8, evidence as u8);
    for registered in [None, Some(B256::repeat_byte(7))] {
        let ledger = funded().await;
        ledger.client.publish(&wallet(STRANGER), model_id, root, "small").await.unwrap();
        if let Some(registered) = registered {
            ledger.client.register_weights(&wallet(STRANGER), model_id, registered).await.unwrap();
        }
        let running = honest_plan().start(&ledger.client).await;
        let asked = modes(&ledger.client).await;
        assert!(asked.contains(&sealed(Evidence::Proved)) && !asked.contains(&sealed(Evidence::Audited)));
        assert!(running.worker.terms().iter().all(|model| {
            model
                .asks
                .iter()
                .all(|ask| ask.privacy == Privacy::Encrypted || ask.evidence != Evidence::Audited)
        }));
        let refused = auditor(&ledger.client, &Disk::default()).ask(audited_question(1)).await;
        match registered {
            None => assert!(matches!(refused, Err(GatewayError::NotAuditable { .. })), "{refused:?}"),
            Some(_) => assert!(matches!(refused, Err(GatewayError::NoAsk { .. })), "{refused:?}"),
        }
    }
}

/// A clock that is wrong by so many seconds.
struct Wrong(i64);

impl Clock for Wrong {
    fn unix_time_s(&self) -> u64 {
        tacit_wire::ledger::unix_time_s().saturating_add_signed(self.0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_another_time_is_refused() {
    for off in [-400, 400] {
        let ledger = funded().await;
        let plan = WorkerPlan { clock: Arc::new(Wrong(off)), ..honest_plan() };
        let worker = plan.start(&ledger.client).await;
        let gateway = auditor(&ledger.client, &Disk::default());
        match gateway.ask(audited_question(1)).await {
            Err(GatewayError::Rejected { reject, .. }) => {
                assert!(matches!(*reject, AnswerReject::CompletedAt { .. }), "{reject:?}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(worker.worker.earnings().unwrap().vouchered, Amount::ZERO);
    }
}
