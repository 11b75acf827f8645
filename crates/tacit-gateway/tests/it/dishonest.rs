//! Workers that cheat, and lines that lie: each is caught, and none is paid.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use alloy_primitives::{B256, Bytes};
use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tacit_abi::{Evidence, Privacy, Receipt};
use tacit_gateway::{AnswerReject, AskRequest, Asked, Gateway, GatewayError, check::check};
use tacit_graph::trace::FacesError;
use tacit_wire::{
    Amount, Answer, AnswerEvidence, EngineTime, JobHeader, JobId, Output, RowProof, Salts, SeedCommitment,
    http::{HttpError, JsonClient},
    message::ErrorReply,
};
use tacit_worker::{
    AskedPrice, Bill, Billing, Engine, EngineAnswer, EngineError, GraphEngine, JobInput, OpenedJob,
    ServedModel,
};

use crate::support::{
    FEATURES, Ledger, PRICE, RunningWorker, Server, WorkerPlan, expected_label, gateway, honest, ledger,
    listen, logits, model, other_model, question, served, wallet,
};

/// Asks a cheat, expects it to be caught, and makes sure that nothing was signed and that it is not asked again.
async fn caught(
    plan: WorkerPlan,
    expected: impl Fn(&AnswerReject) -> bool,
) -> (Ledger, RunningWorker, Arc<Gateway>) {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address(), wallet(3).address()]).await;
    let worker = plan.start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    expect_caught(&gateway, &worker, expected, Amount::ZERO).await;
    (ledger, worker, gateway)
}

async fn expect_caught(
    gateway: &Gateway,
    worker: &RunningWorker,
    expected: impl Fn(&AnswerReject) -> bool,
    honest_before: Amount,
) {
    match gateway.ask(question(9)).await {
        Err(GatewayError::Rejected { reject, .. }) if expected(&reject) => {}
        other => panic!("not caught as expected: {other:?}"),
    }
    for channel in gateway.status().await.unwrap().channels {
        assert_eq!(channel.signed, honest_before);
        assert!(channel.retired);
    }
    assert_eq!(worker.worker.earnings().unwrap().vouchered, honest_before);
    assert!(matches!(gateway.ask(question(10)).await, Err(GatewayError::Distrusted { .. })));
}

fn cheat(engine: impl Engine) -> WorkerPlan {
    WorkerPlan { models: vec![served(&model(), "small", Arc::new(engine), PRICE)], ..WorkerPlan::honest(1) }
}

pub(crate) struct ChangedOutput;

impl Engine for ChangedOutput {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        let mut answer = GraphEngine::new(model()).answer(job)?;
        logits(&mut answer.output)[0] += 1;
        Ok(answer)
    }
}

struct Replayed(Mutex<Option<EngineAnswer>>);

impl Engine for Replayed {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        let mut kept = self.0.lock().unwrap();
        if let Some(answer) = kept.clone() {
            return Ok(answer);
        }
        let answer = GraphEngine::new(model()).answer(job)?;
        Ok(kept.insert(answer).clone())
    }
}

struct Overcharging(u128, u128);

impl Billing for Overcharging {
    fn bill(&self, header: &JobHeader) -> Bill {
        let Bill { price, cumulative } = AskedPrice.bill(header);
        Bill { price: Amount(price.0 + self.0), cumulative: Amount(cumulative.0 + self.1) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_output_is_caught() {
    caught(cheat(ChangedOutput), |reject| matches!(reject, AnswerReject::Proof(_))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_of_another_model_is_caught() {
    caught(cheat(GraphEngine::new(other_model())), |reject| matches!(reject, AnswerReject::Proof(_))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_of_another_input_is_caught() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = cheat(Replayed(Mutex::default())).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    assert!(gateway.ask(question(1)).await.unwrap().verified);
    expect_caught(&gateway, &worker, |reject| matches!(reject, AnswerReject::Proof(_)), PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dearer_receipt_is_caught() {
    for billing in [Overcharging(1, 0), Overcharging(0, 1), Overcharging(1, 1)] {
        let plan = WorkerPlan { billing: Arc::new(billing), ..WorkerPlan::honest(1) };
        caught(plan, |reject| matches!(reject, AnswerReject::Overcharge { .. })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cheat_does_not_keep_the_question_from_an_honest_worker() {
    let (ledger, cheating, gateway) =
        caught(cheat(ChangedOutput), |reject| matches!(reject, AnswerReject::Proof(_))).await;
    let honest = WorkerPlan::honest(3).start(&ledger.client).await;
    let answer = gateway.ask(question(9)).await.unwrap();
    assert_eq!((answer.worker, answer.label), (honest.worker.address(), Some(expected_label(&question(9)))));
    gateway.forgive(cheating.worker.address()).unwrap();
    let pinned = AskRequest { worker: Some(cheating.worker.address()), ..question(9) };
    assert!(matches!(gateway.ask(pinned).await, Err(GatewayError::Rejected { .. })));
}

/// Stands between gateway and worker, and alters what comes back.
pub(crate) type Alter = fn(&str, &mut Value);

pub(crate) async fn line(worker: &RunningWorker, alter: Alter) -> Server {
    let router = Router::new().fallback(forward).with_state((worker.server.url.clone(), alter));
    Server::spawn(listen(0).await, |listener| async move {
        let _ = axum::serve(listener, router).await;
    })
}

pub(crate) async fn forward(State((target, alter)): State<(String, Alter)>, request: Request) -> Response {
    const LIMIT: usize = 64 << 20;
    let client = JsonClient::new(core::time::Duration::from_secs(60)).unwrap();
    let path = request.uri().path().to_owned();
    let url = format!("{target}{path}");
    let body = to_bytes(request.into_body(), LIMIT).await.unwrap();
    let reply = if body.is_empty() {
        client.get::<Value>(&url, LIMIT).await
    } else {
        client.post::<Value, Value>(&url, &serde_json::from_slice(&body).unwrap(), LIMIT).await
    };
    let (status, mut value) = match reply {
        Ok(value) => (200, value),
        Err(HttpError::Refused { status, body }) => {
            (status, serde_json::to_value(ErrorReply { error: *body }).unwrap())
        }
        Err(error) => (502, json!({ "oops": error.to_string() })),
    };
    alter(&path, &mut value);
    let status =
        value.get("status").and_then(Value::as_u64).map_or(status, |status| u16::try_from(status).unwrap());
    (StatusCode::from_u16(status).unwrap(), Json(value)).into_response()
}

/// A question over a lying line.
async fn ask_over(
    alter: Alter,
    privacy: Privacy,
) -> (Result<tacit_gateway::AskAnswer, GatewayError>, Arc<Gateway>, RunningWorker, Ledger) {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let line = line(&worker, alter).await;
    worker.worker.publish_and_ask(&line.url).await.unwrap();
    let gateway = gateway(&ledger.client, 2);
    let request = AskRequest { privacy, evidence: Some(Evidence::Signed), ..question(1) };
    let result = gateway.ask(request).await;
    (result, gateway, worker, ledger)
}

async fn line_caught(alter: Alter, privacy: Privacy, expected: fn(&AnswerReject) -> bool) {
    let (result, gateway, worker, _ledger) = ask_over(alter, privacy).await;
    match result {
        Err(GatewayError::Rejected { reject, .. }) if expected(&reject) => {}
        other => panic!("not caught as expected: {other:?}"),
    }
    assert_eq!(gateway.status().await.unwrap().channels[0].signed, Amount::ZERO);
    assert_eq!(worker.worker.earnings().unwrap().vouchered, Amount::ZERO);
}

pub(crate) fn change_body(value: &mut Value, change: impl FnOnce(&mut Vec<u8>)) {
    use tacit_wire::message::JobResponse;
    let mut response: JobResponse = serde_json::from_value(value.clone()).unwrap();
    change(&mut response.body);
    *value = serde_json::to_value(response).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_sealed_answer_is_caught() {
    let alter: Alter = |path, value| {
        if path == "/v1/jobs" {
            change_body(value, |body| *body.last_mut().unwrap() ^= 1);
        }
    };
    line_caught(alter, Privacy::Sealed, |reject| matches!(reject, AnswerReject::Sealed(_))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_clear_answer_is_caught() {
    let output: Alter = |path, value| {
        if path == "/v1/jobs" {
            change_body(value, |body| body[6] ^= 1);
        }
    };
    line_caught(output, Privacy::Clear, |reject| matches!(reject, AnswerReject::OutputCommitment)).await;
    let shorter: Alter = |path, value| {
        if path == "/v1/jobs" {
            change_body(value, |body| body.truncate(40));
        }
    };
    line_caught(shorter, Privacy::Clear, |reject| matches!(reject, AnswerReject::Format(_))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_about_something_else_is_caught() {
    let other_job: Alter = |path, value| {
        if path == "/v1/jobs" {
            value["job_id"] = json!(JobId::random());
        }
    };
    line_caught(other_job, Privacy::Sealed, |reject| matches!(reject, AnswerReject::WrongJob)).await;
    let nonsense: Alter = |path, value| {
        if path == "/v1/jobs" {
            *value = json!([1, 2, 3]);
        }
    };
    line_caught(nonsense, Privacy::Sealed, |reject| matches!(reject, AnswerReject::Response)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demand_over_the_ask_is_an_overcharge() {
    let demand: Alter = |path, value| {
        if path == "/v1/jobs" {
            *value = json!({ "status": 402, "error": { "code": "payment_required", "message": "more", "demand": "5" } });
        }
    };
    line_caught(demand, Privacy::Sealed, |reject| matches!(reject, AnswerReject::Overcharge { .. })).await;
    let price: Alter = |path, value| {
        if path == "/v1/jobs" {
            *value = json!({ "status": 409, "error": { "code": "stale_price", "message": "more", "demand": "5" } });
        }
    };
    line_caught(price, Privacy::Sealed, |reject| matches!(reject, AnswerReject::Overcharge { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wants_more_than_the_voucher_gets_no_more_and_no_other_job() {
    let alter: Alter = |path, value| {
        if path == "/v1/vouchers" {
            *value =
                json!({ "status": 402, "error": { "code": "underpaid", "message": "more", "demand": "5" } });
        }
    };
    let (result, gateway, _worker, _ledger) = ask_over(alter, Privacy::Sealed).await;
    let answer = result.unwrap();
    assert!(!answer.paid);
    assert_eq!(gateway.status().await.unwrap().channels[0].signed, PRICE);
    assert!(matches!(gateway.ask(question(2)).await, Err(GatewayError::Distrusted { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_worker_is_still_paid_for_what_it_answered() {
    // An answer got lost, and whoever sent its job again met a busy worker. That was taken for a job never worked on: the
    // next question found the worker owed for it, called that an overcharge, and left an honest worker unpaid for good.
    static SENT: AtomicU32 = AtomicU32::new(0);
    let alter: Alter = |path, value| {
        if path == "/v1/jobs" {
            match SENT.fetch_add(1, Ordering::SeqCst) {
                0 => *value = json!({ "status": 502 }),
                1 => *value = json!({ "status": 503, "error": { "code": "busy", "message": "busy" } }),
                _ => {}
            }
        }
    };
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let line = line(&worker, alter).await;
    worker.worker.publish_and_ask(&line.url).await.unwrap();
    let gateway = gateway(&ledger.client, 2);
    let lost = gateway.ask(AskRequest { evidence: Some(Evidence::Signed), ..question(1) }).await;
    assert!(matches!(lost, Err(GatewayError::Unreachable { job_id: Some(_), .. })), "{lost:?}");
    let next = AskRequest { evidence: Some(Evidence::Signed), ..question(2) };
    let busy = gateway.ask(next.clone()).await;
    assert!(matches!(busy, Err(GatewayError::Unreachable { job_id: Some(_), .. })), "{busy:?}");
    gateway.ask(next).await.unwrap();
    let earnings = worker.worker.earnings().unwrap();
    assert_eq!((earnings.jobs, earnings.vouchered, earnings.unpaid_jobs), (2, Amount(PRICE.0 * 2), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_does_not_keep_the_deposit_and_is_still_paid() {
    static SENT: AtomicU32 = AtomicU32::new(0);
    let alter: Alter = |path, value| {
        if path == "/v1/jobs" && SENT.fetch_add(1, Ordering::SeqCst) == 0 {
            *value = json!({ "status": 502 });
        }
    };
    let (result, gateway, worker, ledger) = ask_over(alter, Privacy::Sealed).await;
    assert!(matches!(result, Err(GatewayError::Unreachable { job_id: Some(_), .. })), "{result:?}");
    let channels = gateway.close_all().await.unwrap();
    assert!(channels[0].retired && channels[0].in_flight.is_some());
    assert_ne!(ledger.client.channel(channels[0].channel_id).await.unwrap().closeAt, 0);
    assert_eq!(worker.worker.earnings().unwrap().unpaid_jobs, 1);

    worker.worker.publish_and_ask(&worker.server.url).await.unwrap();
    gateway.resume().await.unwrap();
    let channels = gateway.channels().unwrap();
    assert_eq!((channels[0].signed, channels[0].in_flight), (PRICE, None));
    let earnings = worker.worker.earnings().unwrap();
    assert_eq!((earnings.vouchered, earnings.unpaid_jobs), (PRICE, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_is_handed_over_on_a_retired_channel() {
    let alter: Alter = |path, value| {
        if path == "/v1/vouchers" {
            *value = json!({ "status": 502 });
        }
    };
    let (result, gateway, worker, ledger) = ask_over(alter, Privacy::Sealed).await;
    assert!(!result.unwrap().paid);
    let channels = gateway.close_all().await.unwrap();
    // Nothing says that the worker ever had it, and now it has nothing.
    drop(worker);
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    gateway.resume().await.unwrap();
    worker.worker.settle_due().await.unwrap();
    assert_eq!(ledger.client.channel(channels[0].channel_id).await.unwrap().settled, PRICE.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_models_graph_is_refused_before_anything_is_paid() {
    let alter: Alter = |path, value| {
        if path.starts_with("/v1/models/") {
            let mut info: tacit_wire::message::ModelInfo = serde_json::from_value(value.clone()).unwrap();
            info.weight_root.0[0] ^= 1;
            *value = serde_json::to_value(info).unwrap();
        }
    };
    let (result, gateway, _worker, _ledger) = ask_over(alter, Privacy::Sealed).await;
    assert!(matches!(result, Err(GatewayError::ModelMismatch { .. })));
    assert!(gateway.status().await.unwrap().channels.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_anchor_is_not_believed() {
    let alter: Alter = |path, value| {
        if path.starts_with("/v1/receipts/") {
            value["anchor"] = json!({ "root": B256::repeat_byte(7), "block": 1, "siblings": [] });
        }
    };
    let (result, gateway, _worker, _ledger) = ask_over(alter, Privacy::Sealed).await;
    assert_eq!(gateway.fetch_anchor(result.unwrap().job_id).await.unwrap(), None);
}

/// An honest answer made by hand, to be altered.
fn handmade(evidence: Evidence) -> (JobHeader, Vec<i64>, Answer) {
    let values: Vec<i64> = (0..FEATURES as i64).map(|value| value << 24).collect();
    let header = JobHeader {
        chain_id: 5,
        job_id: JobId::random(),
        model_id: B256::from(*model().model_id().as_bytes()),
        channel_id: B256::repeat_byte(1),
        client: wallet(2).address(),
        worker: wallet(1).address(),
        privacy: Privacy::Sealed,
        evidence,
        price: PRICE,
        cumulative: PRICE,
    };
    let salt = [9; 32];
    let rows = std::slice::from_ref(&values);
    let proved = tacit_prove::prove_batch(&model(), rows, &[tacit_verify::RowSalt::new(salt)]).unwrap();
    let output = Output::Logits(proved.outputs[0].clone());
    let row = RowProof { rows: 1, index: 0, salt: B256::from(salt), proof: proved.proof };
    let evidence = match evidence {
        Evidence::Proved => AnswerEvidence::Proof(row),
        Evidence::Audited => traced(&header, &values),
        _ => AnswerEvidence::None,
    };
    let answer = sign(&header, Asked::Values(&values), output, evidence);
    (header, values, answer)
}

/// What an honest worker commits to of a run of this input.
fn traced(header: &JobHeader, values: &[i64]) -> AnswerEvidence {
    let input = JobInput::Values(values.to_vec().into());
    let header = JobHeader { evidence: Evidence::Audited, ..*header };
    let answered = GraphEngine::new(model()).answer(&OpenedJob { header, input }).unwrap();
    AnswerEvidence::Trace(answered.trace.unwrap())
}

/// Nobody's stake is put at risk by an engine that could not answer a challenge.
#[test]
fn what_cannot_be_done_again_is_not_offered_as_audited() {
    let modes = |served: ServedModel| {
        let served = served.ask(Privacy::Sealed, Evidence::Audited, PRICE);
        served.asks().iter().map(|ask| (ask.privacy, ask.evidence)).collect::<Vec<_>>()
    };
    assert!(modes(honest()).contains(&(Privacy::Sealed, Evidence::Audited)));
    let careless = modes(served(&model(), "small", Arc::new(ChangedOutput), PRICE));
    assert!(careless.contains(&(Privacy::Sealed, Evidence::Proved)));
    assert!(!careless.contains(&(Privacy::Sealed, Evidence::Audited)));
}

fn some_proof() -> AnswerEvidence {
    AnswerEvidence::Proof(RowProof { rows: 1, index: 0, salt: B256::ZERO, proof: vec![1, 2, 3] })
}

/// An answer with a receipt that is true to it.
pub(crate) fn sign(header: &JobHeader, asked: Asked<'_>, output: Output, evidence: AnswerEvidence) -> Answer {
    let salts = Salts::random();
    let input_commitment = match asked {
        Asked::Values(values) | Asked::Attested { values, .. } => salts.commit_input(values),
        Asked::Encrypted { query, .. } | Asked::Unopened { query, .. } => salts.commit_query(query),
    };
    let receipt = Receipt {
        jobId: header.job_id.0,
        modelId: header.model_id,
        channelId: header.channel_id,
        client: header.client,
        worker: header.worker,
        privacy: header.privacy as u8,
        evidence: header.evidence as u8,
        inputCommitment: input_commitment,
        outputCommitment: salts.commit_output(&output),
        evidenceHash: salts.commit_evidence(&evidence.committed()),
        price: header.price.0,
        cumulative: header.cumulative.0,
        completedAt: 1,
    };
    let receipt = wallet(1).sign_receipt(receipt, header.chain_id);
    Answer { output, salts, time: EngineTime::default(), evidence, receipt }
}

#[test]
fn each_check_catches_what_it_is_for() {
    for evidence in [Evidence::Signed, Evidence::Proved, Evidence::Audited] {
        let (header, values, answer) = handmade(evidence);
        let asked = Asked::Values(&values);
        let verify = |answer: Answer| check(&header, model().verifying_model(), asked, answer);
        let checked = verify(answer.clone()).unwrap();
        assert_eq!(checked.verified().is_some(), evidence == Evidence::Proved);

        // Altered on the way, signature kept: the commitments notice.
        let mut output = answer.clone();
        logits(&mut output.output)[0] += 1;
        assert_eq!(verify(output), Err(AnswerReject::OutputCommitment));
        let mut salted = answer.clone();
        salted.salts.input[0] ^= 1;
        assert_eq!(verify(salted), Err(AnswerReject::InputCommitment));
        let mut proof = answer.clone();
        proof.evidence = match proof.evidence {
            AnswerEvidence::Proof(row) => AnswerEvidence::Proof(RowProof { index: 1, ..row }),
            _ => some_proof(),
        };
        assert_eq!(verify(proof), Err(AnswerReject::EvidenceCommitment));
        let mut receipt = answer.clone();
        receipt.receipt.receipt.completedAt += 1;
        assert_eq!(verify(receipt), Err(AnswerReject::ReceiptSigner));
        let mut signature = answer.clone();
        signature.receipt.signature = Bytes::new();
        assert!(matches!(verify(signature), Err(AnswerReject::ReceiptSignature(_))));

        // Signed by the worker, and false all the same.
        let signed = |output: &Output, evidence: &AnswerEvidence| {
            verify(sign(&header, asked, output.clone(), evidence.clone()))
        };
        let (honest, honest_evidence) = (&answer.output, &answer.evidence);
        let mut other_input = values.clone();
        other_input[0] += 1 << 24;
        let swapped = sign(&header, Asked::Values(&other_input), honest.clone(), honest_evidence.clone());
        assert_eq!(verify(swapped), Err(AnswerReject::InputCommitment));
        let mut short = honest.clone();
        logits(&mut short).pop();
        assert!(matches!(signed(&short, honest_evidence), Err(AnswerReject::Output(_))));
        let ciphertext = Output::Ciphertext(vec![1; 100]);
        assert_eq!(signed(&ciphertext, honest_evidence), Err(AnswerReject::OutputForm));
        let seed = AnswerEvidence::Seed(SeedCommitment(B256::ZERO));
        match evidence {
            Evidence::Proved => {
                assert!(matches!(signed(honest, &some_proof()), Err(AnswerReject::Proof(_))));
                assert_eq!(signed(honest, &AnswerEvidence::None), Err(AnswerReject::NoProof));
                assert_eq!(signed(honest, &seed), Err(AnswerReject::NoProof));
                assert_eq!(signed(honest, &traced(&header, &values)), Err(AnswerReject::NoProof));
            }
            Evidence::Audited => {
                for other in [AnswerEvidence::None, some_proof(), seed] {
                    assert_eq!(signed(honest, &other), Err(AnswerReject::NoTrace));
                }
                // A run of another input, another output than the run's, and paths that lead nowhere.
                let elsewhere = traced(&header, &other_input);
                assert_eq!(signed(honest, &elsewhere), Err(AnswerReject::Trace(FacesError::Root)));
                let mut other_output = honest.clone();
                logits(&mut other_output)[0] ^= 1;
                let refused = signed(&other_output, honest_evidence);
                assert_eq!(refused, Err(AnswerReject::Trace(FacesError::Root)));
                let mut longer = honest_evidence.trace().unwrap().clone();
                longer.faces.push(B256::ZERO);
                let refused = signed(honest, &AnswerEvidence::Trace(longer));
                assert_eq!(refused, Err(AnswerReject::Trace(FacesError::Path)));
            }
            _ => {
                assert_eq!(signed(honest, &some_proof()), Err(AnswerReject::UnexpectedProof));
                assert_eq!(signed(honest, &seed), Err(AnswerReject::UnexpectedSeed));
                let trace = traced(&header, &values);
                assert_eq!(signed(honest, &trace), Err(AnswerReject::UnexpectedTrace));
            }
        }
    }
}

#[test]
fn each_field_of_the_receipt_is_compared() {
    let (header, values, answer) = handmade(Evidence::Signed);
    let others = [
        ("job", JobHeader { job_id: JobId::random(), ..header }),
        ("model", JobHeader { model_id: B256::ZERO, ..header }),
        ("channel", JobHeader { channel_id: B256::ZERO, ..header }),
        ("client", JobHeader { client: wallet(3).address(), ..header }),
        ("worker", JobHeader { worker: wallet(3).address(), ..header }),
        ("privacy", JobHeader { privacy: Privacy::Clear, ..header }),
        ("evidence", JobHeader { evidence: Evidence::Proved, ..header }),
    ];
    for (field, other) in others {
        let refused = check(&other, model().verifying_model(), Asked::Values(&values), answer.clone());
        assert_eq!(refused, Err(AnswerReject::ReceiptField { field }));
    }
    for other in [
        JobHeader { price: Amount(PRICE.0 - 1), ..header },
        JobHeader { cumulative: Amount(PRICE.0 - 1), ..header },
        JobHeader { price: Amount(PRICE.0 + 1), ..header },
    ] {
        let refused = check(&other, model().verifying_model(), Asked::Values(&values), answer.clone());
        assert!(matches!(refused, Err(AnswerReject::Overcharge { .. })));
    }
    // Another chain is another signing domain.
    let other = JobHeader { chain_id: 6, ..header };
    assert_eq!(
        check(&other, model().verifying_model(), Asked::Values(&values), answer.clone()),
        Err(AnswerReject::ReceiptSigner)
    );
    // A model that is not the header's.
    let refused = check(&header, other_model().verifying_model(), Asked::Values(&values), answer);
    assert_eq!(refused, Err(AnswerReject::ReceiptField { field: "model" }));
    let attested = JobHeader { evidence: Evidence::Attested, ..header };
    let answer = sign(&attested, Asked::Values(&values), Output::Logits(vec![0; 3]), AnswerEvidence::None);
    let refused = check(&attested, model().verifying_model(), Asked::Values(&values), answer);
    assert_eq!(refused, Err(AnswerReject::UncheckableEvidence { evidence: Evidence::Attested }));
}
