//! Audited answers compared with a second worker's, by a gateway without the weights: who of the two lied is found off the ledger and convicted on it.

use std::{sync::Arc, time::Duration};

use alloy_primitives::B256;
use axum::{Json, Router, response::Response, routing::post};
use serde_json::{Value, json};
use tacit_abi::{
    Evidence, Privacy, audits,
    audits::{CHALLENGE_BOND, STEP_S},
    stakes::REWARD_PARTS,
    validators::BURNED,
};
use tacit_gateway::{
    AskAnswer, AskRequest, Audit, AuditPolicy, CanaryPolicy, Gateway, GatewayError, view::ReceiptKind,
};
use tacit_graph::{
    Tensor, Trace, reference,
    trace::{Node, Openings, Question, WeightsTree},
};
use tacit_market::Ratio;
use tacit_wire::{
    Amount, JobId, LedgerClient, Output, TraceEvidence, WalkQuestion, WalkRequest, WalkResponse,
    http::{HttpError, JsonClient},
    ledger::challenge_id,
};
use tacit_worker::{
    Engine, EngineAnswer, EngineError, GraphEngine, JobInput, OpenedJob, Revealed, ServedModel,
    WALK_QUESTIONS_MAX, engine::under,
};

use crate::{
    dishonest::{Alter, forward, line},
    disk::{Death, Disk},
    disputes::{audited_question, deep_model, digest, pass_time, run, tree},
    support::{
        Ledger, PRICE, RunningWorker, Server, WorkerPlan, auditing_gateway, ledger, listen, question, served,
        wallet,
    },
};

const FIRST: u8 = 1;
const CLIENT: u8 = 2;
const SECOND: u8 = 3;
/// Cheaper asks are taken first.
const SECOND_PRICE: Amount = Amount(2 * PRICE.0);

pub(crate) fn audited(engine: impl Engine, price: Amount) -> ServedModel {
    served(&deep_model(), "small", Arc::new(engine), price)
        .ask(Privacy::Sealed, Evidence::Audited, price)
        .ask(Privacy::Clear, Evidence::Audited, price)
}

fn plan(key: u8, engine: impl Engine) -> WorkerPlan {
    let price = if key == FIRST { PRICE } else { SECOND_PRICE };
    WorkerPlan { models: vec![audited(engine, price)], ..WorkerPlan::honest(key) }
}

pub(crate) fn honest() -> GraphEngine {
    GraphEngine::new(deep_model())
}

async fn funded() -> Ledger {
    ledger(&[FIRST, CLIENT, SECOND].map(|key| wallet(key).address())).await
}

fn policy() -> AuditPolicy {
    // A busy machine is not a silent worker.
    AuditPolicy::default().with_rate(Ratio::ONE).with_patience(Duration::from_secs(60), Duration::ZERO)
}

/// A gateway that has no weights and audits everything.
fn client(ledger: &LedgerClient, disk: &Disk) -> Arc<Gateway> {
    auditing_gateway(ledger, CLIENT, disk, CanaryPolicy::default(), policy())
}

/// What a liar says when it is asked about its run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// The run that it committed to.
    Committed,
    /// Hashes of the honest run.
    Honest,
    /// Too few hashes.
    Few,
    /// A tile where hashes are asked for.
    Tile,
    /// The run, but openings with other weights.
    OtherWeights,
    /// The run, and no openings.
    Closed,
}

/// Alters one value in the middle, computes everything anew that follows from it, and defends it.
#[derive(Clone, Copy)]
pub(crate) struct Liar {
    at: usize,
    by: i32,
    manner: Manner,
}

pub(crate) const LIAR: Liar = Liar { at: 321, by: 5, manner: Manner::Committed };

impl Liar {
    fn run(&self, values: &[i64]) -> Trace {
        let mut lied = run(values);
        match &mut lied.tensors[1] {
            Tensor::I32(sums) => sums[self.at] = sums[self.at].wrapping_add(self.by),
            other => panic!("not sums: {other:?}"),
        }
        reference::resume(deep_model().model(), &mut lied, 1).unwrap();
        lied
    }
}

impl Engine for Liar {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        let JobInput::Values(values) = &job.input else { panic!("encrypted") };
        let lied = self.run(values);
        let tree = tree(&lied);
        let faces = tree.faces().into_iter().map(B256::from).collect();
        let trace = Some(TraceEvidence { root: tree.tree().root().into(), faces });
        Ok(EngineAnswer { output: Output::Logits(lied.logits()), proof: None, trace })
    }

    fn weights_root(&self) -> Option<B256> {
        honest().weights_root()
    }

    fn reveal(&self, values: &[i64], node: Node) -> Result<Revealed, EngineError> {
        let lied = self.run(values);
        let committed = under(&tree(&lied), node);
        Ok(match (self.manner, committed) {
            (Manner::Honest, _) => under(&tree(&run(values)), node),
            (Manner::Few, Revealed::Hashes(mut hashes)) => {
                hashes.pop();
                Revealed::Hashes(hashes)
            }
            (Manner::Tile, _) => Revealed::Tile(vec![1]),
            (_, committed) => committed,
        })
    }

    fn opened(&self, values: &[i64], node: u32, element: u32) -> Result<Option<Openings>, EngineError> {
        if self.manner == Manner::Closed {
            return Ok(None);
        }
        let model = deep_model();
        let question = Question::new(model.model().graph(), node, element).unwrap();
        let lied = self.run(values);
        let mut opened = question.openings(&tree(&lied), &WeightsTree::new(model.model()));
        if self.manner == Manner::OtherWeights {
            opened.weights.tiles[0] ^= 1;
        }
        Ok(Some(opened))
    }
}

/// Two workers, the first of them cheaper, and a client.
struct Cast {
    ledger: Ledger,
    first: RunningWorker,
    second: RunningWorker,
    gateway: Arc<Gateway>,
    disk: Disk,
}

async fn cast(first: impl Engine, second: impl Engine) -> Cast {
    let ledger = funded().await;
    let first = plan(FIRST, first).start(&ledger.client).await;
    let second = plan(SECOND, second).start(&ledger.client).await;
    let disk = Disk::default();
    let gateway = client(&ledger.client, &disk);
    Cast { ledger, first, second, gateway, disk }
}

impl Cast {
    async fn bonded(&self, key: u8) -> u128 {
        self.ledger.client.stake_of(wallet(key).address()).await.unwrap().bonded
    }

    async fn challenged(&self, job_id: JobId) -> bool {
        let id = challenge_id(digest(&self.gateway, job_id, &self.ledger.client), self.gateway.address());
        self.ledger.client.challenge_of(id).await.unwrap().is_some()
    }

    /// The job of the second worker, as the gateway kept it.
    fn second_job(&self) -> JobId {
        let receipts = self.gateway.receipts().unwrap();
        receipts.into_iter().find(|receipt| receipt.kind == ReceiptKind::Second).unwrap().job_id
    }

    fn audit(&self, job_id: JobId) -> Option<Audit> {
        self.gateway.receipt(job_id).unwrap().audit
    }

    /// Plays on the ledger until the audit of a job is over; the gateway is killed between steps, if the case says so.
    async fn play(&mut self, job_id: JobId, killed: bool) -> Audit {
        for _ in 0..80 {
            let _ = self.first.worker.answer_challenges().await;
            let _ = self.second.worker.answer_challenges().await;
            if killed {
                self.gateway = client(&self.ledger.client, &self.disk);
            }
            self.gateway.pursue_audits().await.unwrap();
            match self.audit(job_id) {
                Some(audit) if !audit.is_open() && !matches!(audit, Audit::Second { .. }) => return audit,
                _ => {}
            }
        }
        panic!("no end: {:?}", self.audit(job_id));
    }

    async fn start_over(&mut self, alter: Alter, key: u8) -> Server {
        let worker = if key == FIRST { &self.first } else { &self.second };
        let line = line(worker, alter).await;
        worker.worker.publish_and_ask(&line.url).await.unwrap();
        line
    }
}

fn asked(job_id: JobId) -> AskRequest {
    AskRequest { job_id: Some(job_id), ..audited_question(1) }
}

fn honest_label(request: &AskRequest) -> Option<String> {
    let model = deep_model();
    let values = request.input.values(model.model().graph()).unwrap();
    let decoded = model.model().graph().decode_output(&run(&values).logits()).unwrap();
    Some(decoded.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_honest_workers_agree() {
    let cast = cast(honest(), honest()).await;
    for privacy in [Privacy::Sealed, Privacy::Clear] {
        let answer = cast.gateway.ask(AskRequest { privacy, ..audited_question(1) }).await.unwrap();
        assert_eq!((answer.worker, answer.price), (wallet(FIRST).address(), PRICE));
        assert_eq!((answer.paid, answer.canary_price), (true, SECOND_PRICE));
        let Some(Audit::Agreed { with }) = answer.audit else { panic!("{:?}", answer.audit) };
        assert_eq!(with.worker, wallet(SECOND).address());
        let second = cast.gateway.receipt(with.job_id).unwrap();
        assert_eq!(
            (second.receipt, second.kind, second.price),
            (with.receipt, ReceiptKind::Second, SECOND_PRICE)
        );
        assert!(matches!(second.audit, Some(Audit::Agreed { with }) if with.job_id == answer.job_id));

        // To its worker the second question is one like any other: its own job, sealed anew, on its own channel.
        let [one, other] =
            [answer.job_id, with.job_id].map(|id| cast.gateway.store().job(id).unwrap().unwrap());
        assert_ne!(one.request.header.channel_id, other.request.header.channel_id);
        assert_eq!(one.values, other.values);
        assert_eq!(one.request.payload == other.request.payload, privacy == Privacy::Clear);
        let [one, other] =
            [answer.job_id, with.job_id].map(|id| cast.gateway.store().answer(id).unwrap().unwrap());
        assert_eq!(one.trace, other.trace);
        assert_ne!(one.salts.evidence, other.salts.evidence);
    }
    cast.gateway.pursue_audits().await.unwrap();
    let paid = cast.second.worker.earnings().unwrap();
    assert_eq!((paid.jobs, paid.vouchered, paid.unpaid_jobs), (2, Amount(2 * SECOND_PRICE.0), 0));
}

/// The liar is the one that was asked first: it loses its stake in one transaction, and the other's answer is given.
#[tokio::test(flavor = "multi_thread")]
async fn a_liar_asked_first_is_convicted_and_the_other_answer_given() {
    let cast = cast(LIAR, honest()).await;
    let (stake, others) = (cast.bonded(FIRST).await, cast.bonded(SECOND).await);
    let request = asked(JobId::random());
    let job_id = request.job_id.unwrap();
    let answer = cast.gateway.ask(request.clone()).await.unwrap();
    assert_eq!((answer.worker, answer.label.clone()), (wallet(SECOND).address(), honest_label(&request)));
    assert!(answer.paid);
    let Some(Audit::Upheld { against }) = &answer.audit else { panic!("{:?}", answer.audit) };
    assert_eq!((against.worker, against.job_id), (wallet(FIRST).address(), job_id));
    assert_eq!(cast.audit(job_id), Some(Audit::Convicted));
    assert!(!cast.challenged(job_id).await && !cast.challenged(answer.job_id).await);
    assert_eq!((cast.bonded(FIRST).await, cast.bonded(SECOND).await), (0, others));
    let reward = stake / REWARD_PARTS;
    assert_eq!(cast.ledger.client.balance(BURNED).await.unwrap().0, stake - reward);

    // Asked again it is the same answer, paid once; and the liar is asked no more.
    let again = cast.gateway.ask(request).await.unwrap();
    assert_eq!((again.job_id, again.label, again.canary_price), (answer.job_id, answer.label, Amount::ZERO));
    let next = cast.gateway.ask(audited_question(2)).await.unwrap();
    assert_eq!(next.worker, wallet(SECOND).address());
    assert!(matches!(next.audit, Some(Audit::NoSecondWorker { .. })), "{:?}", next.audit);
    assert_eq!(cast.gateway.store().distrust(wallet(FIRST).address()).unwrap().unwrap().code, "false_run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_asked_second_is_convicted_and_the_first_answer_given() {
    let cast = cast(honest(), LIAR).await;
    let stake = cast.bonded(FIRST).await;
    let request = audited_question(1);
    let answer = cast.gateway.ask(request.clone()).await.unwrap();
    assert_eq!((answer.worker, answer.label.clone()), (wallet(FIRST).address(), honest_label(&request)));
    let Some(Audit::Upheld { against }) = &answer.audit else { panic!("{:?}", answer.audit) };
    assert_eq!(against.worker, wallet(SECOND).address());
    assert_eq!(cast.audit(against.job_id), Some(Audit::Convicted));
    assert_eq!((cast.bonded(FIRST).await, cast.bonded(SECOND).await), (stake, 0));
}

/// Both lie about the same element, otherwise: neither value follows.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_lie_differently_both_lose() {
    let cast = cast(LIAR, Liar { by: 9, ..LIAR }).await;
    let job_id = JobId::random();
    let refused = cast.gateway.ask(asked(job_id)).await;
    assert!(matches!(refused, Err(GatewayError::FalseRun { .. })), "{refused:?}");
    assert_eq!((cast.bonded(FIRST).await, cast.bonded(SECOND).await), (0, 0));
    assert_eq!(cast.audit(job_id), Some(Audit::Convicted));
    assert_eq!(cast.audit(cast.second_job()), Some(Audit::Convicted));
}

/// What this does not find, and why the probability counts with it.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_lie_alike_are_not_found() {
    let cast = cast(LIAR, LIAR).await;
    let answer = cast.gateway.ask(audited_question(1)).await.unwrap();
    assert!(matches!(answer.audit, Some(Audit::Agreed { .. })));
}

fn refuse(path: &str, value: &mut Value) {
    if path == "/v1/walks" {
        *value = json!({ "status": 403, "error": { "code": "no", "message": "none of yours", "hint": "" } });
    }
}

/// A liar that says nothing off the ledger is disputed on it, where it answers, and is convicted by the element.
#[tokio::test(flavor = "multi_thread")]
async fn a_liar_that_refuses_the_walk_is_convicted_on_the_ledger() {
    let mut cast = cast(LIAR, honest()).await;
    let others = cast.bonded(SECOND).await;
    let _line = cast.start_over(refuse, FIRST).await;
    let request = asked(JobId::random());
    let job_id = request.job_id.unwrap();
    let refused = cast.gateway.ask(request.clone()).await;
    assert!(matches!(refused, Err(GatewayError::RunsDiffer { .. })), "{refused:?}");
    assert!(cast.challenged(job_id).await && !cast.challenged(cast.second_job()).await);
    let distrust = cast.gateway.store().distrust(wallet(FIRST).address()).unwrap().unwrap();
    assert_eq!(distrust.code, "walk_refused");
    assert_eq!(cast.play(job_id, true).await, Audit::Convicted);
    assert_eq!((cast.bonded(FIRST).await, cast.bonded(SECOND).await), (0, others));
    assert_eq!(cast.ledger.client.balance(audits::ADDRESS).await.unwrap().0, 0);
    let answer = cast.gateway.ask(request).await.unwrap();
    assert_eq!(answer.worker, wallet(SECOND).address());
}

/// One that says what is not in its tree cannot say so on the ledger: its hour passes.
#[tokio::test(flavor = "multi_thread")]
async fn a_liar_that_says_what_it_did_not_commit_to_loses_by_its_silence() {
    for (manner, code) in
        [(Manner::Honest, "walk_false"), (Manner::Few, "walk_false"), (Manner::Tile, "walk_kind")]
    {
        let cast = cast(Liar { manner, ..LIAR }, honest()).await;
        let request = asked(JobId::random());
        let job_id = request.job_id.unwrap();
        let refused = cast.gateway.ask(request.clone()).await;
        assert!(matches!(refused, Err(GatewayError::RunsDiffer { .. })), "{refused:?}");
        let distrust = cast.gateway.store().distrust(wallet(FIRST).address()).unwrap().unwrap();
        assert_eq!(distrust.code, code);
        assert!(cast.challenged(job_id).await);
        assert!(cast.first.worker.answer_challenges().await.is_err());
        pass_time(&cast.ledger.client, STEP_S + 1).await;
        cast.gateway.pursue_audits().await.unwrap();
        assert_eq!(cast.audit(job_id), Some(Audit::Convicted));
        assert_eq!(cast.bonded(FIRST).await, 0);
        assert_eq!(cast.gateway.ask(request).await.unwrap().worker, wallet(SECOND).address());
    }
}

/// What comes back in answer to a question about a run.
#[derive(Clone, Copy)]
enum Hostile {
    Flood,
    Garbage,
    NoJson,
    Never,
    Down,
}

async fn hostile(kind: Hostile) -> Response {
    use axum::response::IntoResponse;
    match kind {
        Hostile::Flood => Json(WalkResponse { body: vec![1; 1 << 20] }).into_response(),
        Hostile::Garbage => Json(WalkResponse { body: vec![1; 600] }).into_response(),
        Hostile::NoJson => "what?".into_response(),
        Hostile::Never => core::future::pending().await,
        Hostile::Down => axum::http::StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_answers_are_refused_each_for_its_reason() {
    for (kind, code) in [
        (Hostile::Flood, "walk_malformed"),
        (Hostile::Garbage, "walk_sealed"),
        (Hostile::NoJson, "walk_malformed"),
        (Hostile::Never, "walk_silent"),
        (Hostile::Down, "walk_silent"),
    ] {
        let mut cast = cast(LIAR, honest()).await;
        let router = Router::new().route("/v1/walks", post(move || hostile(kind))).fallback(forward);
        let alter: Alter = |_, _| {};
        let router = router.with_state((cast.first.server.url.clone(), alter));
        let line = Server::spawn(listen(0).await, |listener| async move {
            let _ = axum::serve(listener, router).await;
        });
        cast.first.worker.publish_and_ask(&line.url).await.unwrap();
        let patience = Duration::from_secs(if matches!(kind, Hostile::Never) { 5 } else { 60 });
        let policy = policy().with_patience(patience, Duration::ZERO);
        cast.gateway =
            auditing_gateway(&cast.ledger.client, CLIENT, &cast.disk, CanaryPolicy::default(), policy);
        let job_id = JobId::random();
        let refused = cast.gateway.ask(asked(job_id)).await;
        assert!(matches!(refused, Err(GatewayError::RunsDiffer { .. })), "{refused:?}");
        // Whoever is only silent is disputed when it was for long enough.
        while !cast.challenged(job_id).await {
            cast.gateway.pursue_audits().await.unwrap();
        }
        let distrust = cast.gateway.store().distrust(wallet(FIRST).address()).unwrap().unwrap();
        assert_eq!(distrust.code, code, "{}", distrust.message);
        assert!(!cast.challenged(cast.second_job()).await);
    }
}

/// A worker that says nothing for a moment is not disputed: it may be starting again.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_worker_is_given_time() {
    let cast = cast(LIAR, honest()).await;
    let policy = policy().with_patience(Duration::from_secs(60), Duration::from_secs(3600));
    let gateway = auditing_gateway(&cast.ledger.client, CLIENT, &cast.disk, CanaryPolicy::default(), policy);
    let down: Alter = |path, value| {
        if path == "/v1/walks" {
            *value = json!({ "status": 503 });
        }
    };
    let mut cast = Cast { gateway, ..cast };
    let line = cast.start_over(down, FIRST).await;
    let job_id = JobId::random();
    assert!(matches!(cast.gateway.ask(asked(job_id)).await, Err(GatewayError::RunsDiffer { .. })));
    assert!(!cast.challenged(job_id).await);
    cast.first.worker.publish_and_ask(&cast.first.server.url).await.unwrap();
    drop(line);
    cast.gateway.pursue_audits().await.unwrap();
    assert_eq!(cast.audit(job_id), Some(Audit::Convicted));
}

/// Openings that are not in the registered weights count for nothing: the other's do, and where there are none nobody is convicted.
#[tokio::test(flavor = "multi_thread")]
async fn tampered_weights_convict_nobody() {
    let tampering = Liar { manner: Manner::OtherWeights, ..LIAR };
    let one = cast(tampering, honest()).await;
    let answer = one.gateway.ask(audited_question(1)).await.unwrap();
    assert_eq!(answer.worker, wallet(SECOND).address());
    assert_eq!(one.bonded(FIRST).await, 0);

    let both = cast(tampering, Liar { by: 9, manner: Manner::Closed, ..LIAR }).await;
    let before = (both.bonded(FIRST).await, both.bonded(SECOND).await);
    let job_id = JobId::random();
    assert!(matches!(both.gateway.ask(asked(job_id)).await, Err(GatewayError::RunsDiffer { .. })));
    both.gateway.pursue_audits().await.unwrap();
    assert!(matches!(both.audit(job_id), Some(Audit::Differs { .. })));
    assert_eq!((both.bonded(FIRST).await, both.bonded(SECOND).await), before);
}

/// The honest one refuses off the ledger and the liar does not: the honest one answers there, loses nothing, and the liar is convicted.
#[tokio::test(flavor = "multi_thread")]
async fn an_honest_worker_that_refuses_the_walk_loses_nothing() {
    let mut cast = cast(LIAR, honest()).await;
    let stake = cast.bonded(SECOND).await;
    let _line = cast.start_over(refuse, SECOND).await;
    let job_id = JobId::random();
    assert!(matches!(cast.gateway.ask(asked(job_id)).await, Err(GatewayError::RunsDiffer { .. })));
    let second = cast.second_job();
    assert!(cast.challenged(second).await && !cast.challenged(job_id).await);
    assert_eq!(cast.play(job_id, false).await, Audit::Convicted);
    assert!(matches!(cast.audit(second), Some(Audit::Upheld { .. })));
    assert_eq!((cast.bonded(FIRST).await, cast.bonded(SECOND).await), (0, stake));
    // The bond of the challenge is what the gateway loses by it.
    pass_time(&cast.ledger.client, STEP_S + 1).await;
    let before = cast.ledger.client.balance(wallet(SECOND).address()).await.unwrap().0;
    cast.second.worker.answer_challenges().await.unwrap();
    assert_eq!(cast.ledger.client.balance(audits::ADDRESS).await.unwrap().0, 0);
    let after = cast.ledger.client.balance(wallet(SECOND).address()).await.unwrap().0;
    assert!(after > before + CHALLENGE_BOND / 2, "{before} {after}");
}

/// Both refuse: both are challenged, the one that answers there keeps its stake, and the one that is silent loses it.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_refuse_are_both_challenged() {
    let mut cast = cast(Liar { manner: Manner::Few, ..LIAR }, honest()).await;
    let _line = cast.start_over(refuse, SECOND).await;
    let stake = cast.bonded(SECOND).await;
    let request = asked(JobId::random());
    let job_id = request.job_id.unwrap();
    assert!(matches!(cast.gateway.ask(request.clone()).await, Err(GatewayError::RunsDiffer { .. })));
    let second = cast.second_job();
    assert!(cast.challenged(job_id).await && cast.challenged(second).await);
    cast.second.worker.answer_challenges().await.unwrap();
    pass_time(&cast.ledger.client, STEP_S + 1).await;
    assert_eq!(cast.play(job_id, true).await, Audit::Convicted);
    assert!(matches!(cast.audit(second), Some(Audit::Upheld { .. })));
    assert_eq!((cast.bonded(FIRST).await, cast.bonded(SECOND).await), (0, stake));
    assert_eq!(cast.gateway.ask(request).await.unwrap().job_id, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_second_worker_the_answer_says_so() {
    let no_second = |answer: &AskAnswer| matches!(answer.audit, Some(Audit::NoSecondWorker { .. }));
    let ledger = funded().await;
    let (worker_disk, disk) = (Disk::default(), Disk::default());
    let first = WorkerPlan { disk: worker_disk.clone(), ..plan(FIRST, honest()) };
    let first = first.start(&ledger.client).await;
    let gateway = client(&ledger.client, &disk);
    let alone = gateway.ask(audited_question(1)).await.unwrap();
    assert!(no_second(&alone), "{:?}", alone.audit);
    assert_eq!(gateway.receipt(alone.job_id).unwrap().audit, alone.audit);

    // The same account in another place is no other worker.
    let same = WorkerPlan { disk: worker_disk, ..plan(FIRST, honest()) };
    let same = same.start(&ledger.client).await;
    assert_ne!(same.server.url, first.server.url);
    let again = gateway.ask(audited_question(2)).await.unwrap();
    assert!(no_second(&again), "{:?}", again.audit);

    // One that asks for more than the question may cost is none either.
    let _second = plan(SECOND, honest()).start(&ledger.client).await;
    let capped = AskRequest { max_price: Some(PRICE), ..audited_question(3) };
    let capped = gateway.ask(capped).await.unwrap();
    assert!(no_second(&capped), "{:?}", capped.audit);
    let dearer = AskRequest { max_price: Some(SECOND_PRICE), ..audited_question(4) };
    assert!(matches!(gateway.ask(dearer).await.unwrap().audit, Some(Audit::Agreed { .. })));

    // Nobody is asked for an answer that is not drawn, nor by whoever wants nobody else to see the question.
    let never = policy().with_rate(Ratio::ZERO);
    drop(gateway);
    let gateway = auditing_gateway(&ledger.client, CLIENT, &disk, CanaryPolicy::default(), never);
    assert_eq!(gateway.ask(audited_question(5)).await.unwrap().audit, Some(Audit::NotDrawn));
    drop(gateway);
    let gateway = auditing_gateway(&ledger.client, CLIENT, &disk, CanaryPolicy::default(), policy().alone());
    assert_eq!(gateway.ask(audited_question(6)).await.unwrap().audit, Some(Audit::NoWeights));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_that_answers_falsely_or_not_at_all_is_none() {
    // It commits to a run of another input, which its faces show: it is not paid, and not compared with.
    struct Elsewhere;
    impl Engine for Elsewhere {
        fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
            let JobInput::Values(values) = &job.input else { panic!("encrypted") };
            let mut other = values.to_vec();
            other[0] += 5 << 24;
            let values = other.into();
            honest().answer(&OpenedJob { header: job.header, input: JobInput::Values(values) })
        }

        fn weights_root(&self) -> Option<B256> {
            honest().weights_root()
        }
    }
    let mut one = cast(honest(), Elsewhere).await;
    let answer = one.gateway.ask(audited_question(1)).await.unwrap();
    let Some(Audit::NoSecondWorker { reason }) = &answer.audit else { panic!("{:?}", answer.audit) };
    assert!(reason.contains("refused"), "{reason}");
    assert_eq!(one.second.worker.earnings().unwrap().vouchered, Amount::ZERO);

    // It takes the question and does not answer: the answer is given, and says so.
    let silent: Alter = |path, value| {
        if path == "/v1/jobs" {
            *value = json!({ "status": 502 });
        }
    };
    one = cast(honest(), honest()).await;
    let _line = one.start_over(silent, SECOND).await;
    let answer = one.gateway.ask(audited_question(1)).await.unwrap();
    assert_eq!(answer.worker, wallet(FIRST).address());
    assert!(matches!(answer.audit, Some(Audit::NoSecondWorker { .. })), "{:?}", answer.audit);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_weights_asks_no_second_worker() {
    let cast = cast(honest(), honest()).await;
    let own = policy().with_model(deep_model().model().clone());
    let gateway = auditing_gateway(&cast.ledger.client, CLIENT, &cast.disk, CanaryPolicy::default(), own);
    let answer = gateway.ask(audited_question(1)).await.unwrap();
    assert_eq!((answer.audit, answer.canary_price), (Some(Audit::Passed), Amount::ZERO));
    assert_eq!(cast.second.worker.earnings().unwrap().jobs, 0);
}

/// Only whoever knows the receipt's salt is told anything of a run, and no more than a walk needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_tells_strangers_nothing() {
    let cast = cast(honest(), honest()).await;
    let answer = cast.gateway.ask(audited_question(1)).await.unwrap();
    let record = cast.gateway.store().answer(answer.job_id).unwrap().unwrap();
    let (receipt, salt) = (digest(&cast.gateway, answer.job_id, &cast.ledger.client), record.salts.evidence);
    let http = JsonClient::new(Duration::from_secs(60)).unwrap();
    let url = format!("{}/v1/walks", cast.first.server.url);
    let post = async |request: &WalkRequest| http.post::<_, WalkResponse>(&url, request, 1 << 20).await;
    let refused = |result: Result<WalkResponse, HttpError>, code: &str| match result {
        Err(HttpError::Refused { body, .. }) => assert_eq!(body.code, code),
        other => panic!("{other:?}"),
    };
    let values = cast.gateway.store().job(answer.job_id).unwrap().unwrap().values;
    let trace = run(&values);
    let top = WalkQuestion::Under(tree(&trace).tree().top_node());
    let (stranger, _) = WalkRequest::new(&[7; 32], receipt, top.clone()).unwrap();
    refused(post(&stranger).await, "no_such_run");
    let (unknown, _) = WalkRequest::new(&salt, B256::repeat_byte(1), top.clone()).unwrap();
    refused(post(&unknown).await, "no_such_run");
    let (nowhere, _) =
        WalkRequest::new(&salt, receipt, WalkQuestion::Under(Node { level: 60, index: 1 })).unwrap();
    refused(post(&nowhere).await, "malformed_request");
    let (request, keys) = WalkRequest::new(&salt, receipt, top.clone()).unwrap();
    let said = post(&request).await.unwrap();
    assert!(keys.open(&said).is_ok());
    // Whoever sends the same again learns nothing new.
    assert_eq!(post(&request).await.unwrap(), said);
    // Of one element it is told what it is made of, and of no other.
    let element = |element| WalkQuestion::Element { node: 0, element };
    for (number, allowed) in [(3, true), (3, true), (4, false)] {
        let (request, _) = WalkRequest::new(&salt, receipt, element(number)).unwrap();
        match allowed {
            true => drop(post(&request).await.unwrap()),
            false => refused(post(&request).await, "walked_enough"),
        }
    }
    let mut answered = 0;
    while let Ok(said) = post(&request).await {
        assert!(keys.open(&said).is_ok());
        answered += 1;
        assert!(answered <= WALK_QUESTIONS_MAX);
    }
    refused(post(&request).await, "walked_enough");
}

/// Killed at every synchronisation of its disk, the gateway ends where it would have ended, and pays each answer once.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_anywhere_in_an_audit_goes_on() {
    let whole = cast(LIAR, honest()).await;
    let before = whole.disk.syncs();
    whole.gateway.ask(asked(JobId::random())).await.unwrap();
    let syncs = whole.disk.syncs() - before;
    assert!(syncs > 8, "{syncs}");
    for at in 1..=syncs {
        // What was done since the last synchronisation is not on the disk; what comes after this one is not done.
        let death = if at % 2 == 0 { Death::Before(at) } else { Death::After(at) };
        let mut cast = cast(LIAR, honest()).await;
        let request = asked(JobId::random());
        cast.disk.die(Some(death));
        let mut answer = cast.gateway.ask(request.clone()).await;
        for _ in 0..4 {
            cast.disk.die(None);
            cast.gateway = client(&cast.ledger.client, &cast.disk);
            cast.gateway.resume().await.unwrap();
            cast.gateway.pursue_audits().await.unwrap();
            answer = cast.gateway.ask(request.clone()).await;
            if answer.is_ok() {
                break;
            }
        }
        let answer = answer.unwrap_or_else(|error| panic!("{death:?}: {error}"));
        assert_eq!(answer.worker, wallet(SECOND).address(), "{death:?}");
        assert_eq!(
            (cast.bonded(FIRST).await, cast.audit(request.job_id.unwrap())),
            (0, Some(Audit::Convicted))
        );
        let paid = cast.second.worker.earnings().unwrap();
        assert_eq!((paid.jobs, paid.vouchered), (1, SECOND_PRICE), "{death:?}");
        let signed: u128 = cast.gateway.channels().unwrap().iter().map(|channel| channel.signed.0).sum();
        assert_eq!(signed, PRICE.0 + SECOND_PRICE.0, "{death:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proved_answers_are_not_compared() {
    let cast = cast(honest(), honest()).await;
    assert_eq!(cast.gateway.ask(question(2)).await.unwrap().audit, None);
}
