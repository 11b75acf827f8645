//! Questions that only the client can read: answered exactly, paid once, and lied about in every way.

use std::sync::{Arc, Mutex};

use alloy_primitives::B256;
use serde_json::Value;
use tacit_abi::{Evidence, Privacy};
use tacit_encrypt::{Misfit, Offer, OfferReject, WireError, server::EncryptedModel};
use tacit_gateway::{
    AnswerReject, AskAnswer, AskRequest, Asked, Bundle, BundleReject, EncryptedMessages, Gateway,
    GatewayError, Input,
    check::check,
    encrypted::{EncryptedQuestion, QuerySeed, QuestionReject},
    verify_bundle,
};
use tacit_graph::Graph;
use tacit_prove::CommittedModel;
use tacit_verify::SecurityBits;
use tacit_wire::{
    Amount, Answer, AnswerEvidence, AuditKey, JobHeader, JobId, Output, RowProof, SeedCommitment,
    message::ModelInfo,
};
use tacit_worker::{Engine, EngineAnswer, EngineError, GraphEngine, JobInput, OpenedJob, ServedModel};

use crate::{
    dishonest::{Alter, change_body, line, sign},
    disk::Disk,
    support::{
        FEATURES, Ledger, PRICE, RunningWorker, WorkerPlan, encrypted_engine, encrypted_question,
        expected_label, gateway, gateway_on, honest, honest_encrypted, ledger, linear_model, model, question,
        served, wallet,
    },
};

fn plan(models: Vec<ServedModel>) -> WorkerPlan {
    WorkerPlan { models, ..WorkerPlan::honest(1) }
}

/// A ledger, a worker that serves the linear model with this engine, and a gateway.
async fn cast(engine: impl Engine) -> (Ledger, RunningWorker, Arc<Gateway>) {
    let ledger = ledger(&[1, 2, 3].map(|key| wallet(key).address())).await;
    let models = vec![served(&linear_model(), "linear", Arc::new(engine), PRICE)];
    let worker = plan(models).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    (ledger, worker, gateway)
}

fn honest_engine() -> GraphEngine {
    encrypted_engine(&linear_model())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_question_is_answered_exactly_paid_and_receipted() {
    let models = [(1, [30, 1]), (2, [64, 10]), (3, [2049, 2])].map(|(seed, widths)| {
        let model = tacit_graph::synthetic_mlp(&widths, seed).unwrap();
        Arc::new(CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap())
    });
    let ledger = ledger(&[1, 2].map(|key| wallet(key).address())).await;
    let serve = |(number, model): (usize, &Arc<CommittedModel>)| {
        served(model, &format!("linear-{number}"), Arc::new(encrypted_engine(model)), PRICE)
    };
    let worker = plan(models.iter().enumerate().map(serve).collect()).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let mut asked = 0;
    for (number, committed) in models.iter().enumerate() {
        let (model, graph) = (committed.model(), committed.model().graph());
        let offer = EncryptedModel::new(model).unwrap().offer().clone();
        let features = graph.features.len();
        let rows = [vec![127.0; features], vec![-128.0; features]].into_iter().chain((0..4).map(|seed| {
            let row = tacit_graph::random_inputs(model, 1, seed);
            row.into_iter().map(f64::from).collect()
        }));
        for row in rows {
            let input = Input::from_floats(&[features as u64], &row).unwrap();
            let encoded = graph.encode_input(&input.values(graph).unwrap()).unwrap();
            let expected = tacit_graph::execute(model, &encoded, 1).unwrap().logits();
            let mut request = AskRequest::new(&format!("linear-{number}"), input);
            request.privacy = Privacy::Encrypted;
            let answer = gateway.ask(request).await.unwrap();
            asked += 1;
            let bundle = gateway.bundle(answer.job_id).unwrap();
            assert_eq!(bundle.output, expected, "what is decrypted is what the graph gives");
            assert_eq!(
                (answer.evidence, answer.verified, answer.paid, answer.proof_bytes),
                (Evidence::Signed, false, true, 0)
            );
            let (up, down) = (offer.query_bytes() as u64, offer.answer_bytes() as u64);
            // Salts, receipt and signature come beside the ciphertext.
            assert_eq!((answer.bytes_up, answer.bytes_down - down), (up, 635));
            let file = serde_json::to_vec(&bundle).unwrap();
            let verified = verify_bundle(&Bundle::from_json(&file).unwrap()).unwrap();
            assert_eq!((verified.hash(), verified.security_bits()), (answer.receipt, None));
            assert_eq!(*verified.answer(), graph.decode_output(&expected).unwrap());
        }
    }
    let earnings = worker.worker.earnings().unwrap();
    assert_eq!((earnings.jobs, earnings.vouchered), (asked, Amount(PRICE.0 * u128::from(asked))));
    assert_eq!(gateway.status().await.unwrap().channels.len(), 1);
}

/// Keeps what it is given to compute on.
struct Watching {
    inner: GraphEngine,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Engine for Watching {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        match &job.input {
            JobInput::Query { bytes, .. } => self.seen.lock().unwrap().push(bytes.clone()),
            JobInput::Values(_) => panic!("an encrypted job has no values"),
        }
        self.inner.answer(job)
    }

    fn offer(&self) -> Option<&Offer> {
        self.inner.offer()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_sees_another_query_for_the_same_row_each_time() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (_ledger, _worker, gateway) =
        cast(Watching { inner: honest_engine(), seen: Arc::clone(&seen) }).await;
    for _ in 0..2 {
        let answer = gateway.ask(encrypted_question(1)).await.unwrap();
        assert_eq!(answer.label, Some(expected_label(&encrypted_question(1))));
    }
    let seen = seen.lock().unwrap();
    let same = seen[0].iter().zip(&seen[1]).filter(|(a, b)| a == b).count();
    // One byte in 256 by chance.
    assert!(seen.len() == 2 && same < seen[0].len() / 100, "{same} of {} bytes", seen[0].len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_job_id_is_answered_once_and_survives_restarts() {
    let (ledger, worker, _) = cast(honest_engine()).await;
    let disk = Disk::default();
    let request = AskRequest { job_id: Some(JobId::random()), ..encrypted_question(1) };
    let first = gateway_on(&ledger.client, 2, &disk).ask(request.clone()).await.unwrap();
    let restarted = gateway_on(&ledger.client, 2, &disk);
    let again = restarted.ask(request.clone()).await.unwrap();
    assert_eq!((again.receipt, &again.label), (first.receipt, &first.label));
    let _ = verify_bundle(&restarted.bundle(first.job_id).unwrap()).unwrap();
    assert_eq!(worker.worker.earnings().unwrap().vouchered, PRICE);
    // The same row under another privacy is another question.
    let sealed = AskRequest { privacy: Privacy::Sealed, ..request };
    assert!(matches!(restarted.ask(sealed).await, Err(GatewayError::JobIdReused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_seed_and_the_model_does_the_answer_again() {
    let folder = tempfile::tempdir().unwrap();
    let key = || AuditKey::load_or_create(&folder.path().join("audit.key")).unwrap();
    let ledger = ledger(&[1, 2].map(|key| wallet(key).address())).await;
    let worker = WorkerPlan { audit: key(), ..plan(vec![honest_encrypted()]) };
    let _worker = worker.start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let answer = gateway.ask(encrypted_question(1)).await.unwrap();
    let job = gateway.store().job(answer.job_id).unwrap().unwrap();
    let messages = gateway.bundle(answer.job_id).unwrap().encrypted.unwrap();

    let seed = key().seed(answer.job_id, answer.model_id, job.request.payload.hash());
    assert_eq!(seed.commitment(), messages.answer.seed_commitment);
    let owner = EncryptedModel::new(linear_model().model()).unwrap();
    let again = owner.answer(&messages.query, None, &tacit_encrypt::Seed::new(*seed.to_bytes())).unwrap();
    assert!(again == messages.answer.ciphertext, "the same seed gives the same bytes");
    let other = AuditKey::random().seed(answer.job_id, answer.model_id, job.request.payload.hash());
    assert_ne!(other.commitment(), messages.answer.seed_commitment);
    let other = owner.answer(&messages.query, None, &tacit_encrypt::Seed::new(*other.to_bytes())).unwrap();
    assert!(other != messages.answer.ciphertext);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(feature = "pbs", ignore = "models with look-ups can be asked in this build")]
async fn a_model_that_does_not_fit_is_refused_before_anything_is_spent() {
    let ledger = ledger(&[1, 2].map(|key| wallet(key).address())).await;
    let worker = plan(vec![honest(), honest_encrypted()]).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let before = ledger.client.balance(wallet(2).address()).await.unwrap();
    let encrypted = |request: AskRequest| AskRequest { privacy: Privacy::Encrypted, ..request };

    let misfit = gateway.ask(encrypted(question(1))).await.unwrap_err();
    let GatewayError::DoesNotFit(Misfit::NotLinear { node: 1, operator }) = &misfit else {
        panic!("{misfit:?}")
    };
    let body = misfit.body();
    assert_eq!((body.code.as_str(), *operator), ("does_not_fit", "a look-up in a table"));
    assert!(body.message.contains("operator 1 is a look-up in a table") && body.hint.contains("sealed"));

    let proved = AskRequest { evidence: Some(Evidence::Proved), ..encrypted_question(1) };
    let unprovable = gateway.ask(proved).await.unwrap_err();
    assert!(matches!(unprovable, GatewayError::Unprovable));
    let body = unprovable.body();
    assert!(body.code == "unprovable" && body.message.contains("proved") && body.hint.contains("signed"));
    let attested = AskRequest { evidence: Some(Evidence::Attested), ..encrypted_question(1) };
    assert!(matches!(gateway.ask(attested).await, Err(GatewayError::Unsupported { .. })));
    let dear = AskRequest { max_price: Some(Amount(PRICE.0 - 1)), ..encrypted_question(1) };
    assert!(matches!(gateway.ask(dear).await, Err(GatewayError::TooExpensive { .. })));
    let input = Input::from_floats(&[5], &[1.0; 5]).unwrap();
    let short = AskRequest { input, ..encrypted_question(1) };
    assert!(matches!(gateway.ask(short).await, Err(GatewayError::Input(_))));

    assert_eq!(ledger.client.balance(wallet(2).address()).await.unwrap(), before);
    assert!(gateway.status().await.unwrap().channels.is_empty());
    assert_eq!(worker.worker.earnings().unwrap().jobs, 0);
}

/// Offers something under encryption that is not this model.
struct Offering(GraphEngine, Offer);

impl Engine for Offering {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        self.0.answer(job)
    }

    fn offer(&self) -> Option<&Offer> {
        Some(&self.1)
    }
}

fn offer_of(widths: &[u32]) -> Offer {
    EncryptedModel::new(&tacit_graph::synthetic_mlp(widths, 1).unwrap()).unwrap().offer().clone()
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(feature = "pbs", ignore = "models with look-ups can be asked in this build")]
async fn an_offer_that_the_graph_contradicts_is_refused_before_anything_is_spent() {
    // For a model that cannot be asked so at all, whatever its worker says.
    let ledger = ledger(&[1, 2, 3].map(|key| wallet(key).address())).await;
    let engine = Offering(GraphEngine::new(model()), offer_of(&[FEATURES as u32, 3]));
    let worker = plan(vec![served(&model(), "small", Arc::new(engine), PRICE)]).start(&ledger.client).await;
    let gateway_ = gateway(&ledger.client, 2);
    let request = AskRequest { privacy: Privacy::Encrypted, ..question(1) };
    assert!(matches!(gateway_.ask(request).await, Err(GatewayError::DoesNotFit(_))));
    assert!(gateway_.status().await.unwrap().channels.is_empty());
    drop(worker);

    // For one that can, by another's sizes; an honest worker is asked instead.
    let engine = Offering(honest_engine(), offer_of(&[FEATURES as u32 + 1, 3]));
    let lying = plan(vec![served(&linear_model(), "linear", Arc::new(engine), Amount(PRICE.0 / 2))]);
    let lying = lying.start(&ledger.client).await;
    match gateway_.ask(encrypted_question(1)).await.unwrap_err() {
        GatewayError::BadOffer { worker, reject } => {
            assert_eq!(worker, lying.worker.address());
            assert_eq!(reject, OfferReject::Inputs { expected: FEATURES, got: FEATURES + 1 });
        }
        other => panic!("{other:?}"),
    }
    assert!(gateway_.status().await.unwrap().channels.is_empty());
    let honest = WorkerPlan { models: vec![honest_encrypted()], ..WorkerPlan::honest(3) };
    let honest = honest.start(&ledger.client).await;
    let answer = gateway_.ask(encrypted_question(1)).await.unwrap();
    assert_eq!(answer.worker, honest.worker.address());
    assert_eq!(lying.worker.earnings().unwrap().jobs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_nobody_offers_encrypted_is_no_ask() {
    let (_ledger, _worker, gateway) = cast(GraphEngine::new(linear_model())).await;
    let refused = gateway.ask(encrypted_question(1)).await;
    let expected = (Privacy::Encrypted, Evidence::Signed);
    assert!(
        matches!(refused, Err(GatewayError::NoAsk { privacy, evidence }) if (privacy, evidence) == expected)
    );
}

/// What a question over a lying line comes to.
async fn ask_over(
    alter: Alter,
) -> (Result<AskAnswer, GatewayError>, Arc<Gateway>, RunningWorker, crate::support::Server, Ledger) {
    let (ledger, worker, gateway) = cast(honest_engine()).await;
    let line = line(&worker, alter).await;
    worker.worker.publish_and_ask(&line.url).await.unwrap();
    let result = gateway.ask(encrypted_question(1)).await;
    (result, gateway, worker, line, ledger)
}

fn change_info(value: &mut Value, change: impl FnOnce(&mut ModelInfo)) {
    let mut info: ModelInfo = serde_json::from_value(value.clone()).unwrap();
    change(&mut info);
    *value = serde_json::to_value(info).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_say_how_is_not_asked_and_may_say_it_later() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let alter: Alter = |path, value| {
        if path.starts_with("/v1/models/") && ASKED.fetch_add(1, Ordering::SeqCst) < 3 {
            change_info(value, |info| info.offer = None);
        }
    };
    let (result, gateway, worker, _line, _ledger) = ask_over(alter).await;
    assert!(matches!(result, Err(GatewayError::NoOffer { worker: who }) if who == worker.worker.address()));
    assert!(matches!(gateway.ask(encrypted_question(1)).await, Err(GatewayError::NoOffer { .. })));
    assert!(gateway.status().await.unwrap().channels.is_empty());
    assert!(gateway.ask(encrypted_question(1)).await.unwrap().paid);
    let asked = ASKED.load(Ordering::SeqCst);
    assert!(gateway.ask(encrypted_question(2)).await.unwrap().paid);
    assert_eq!(ASKED.load(Ordering::SeqCst), asked, "what is known is not asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_decode_as_an_offer_is_refused() {
    let alter: Alter = |path, value| {
        if path.starts_with("/v1/models/") {
            change_info(value, |info| info.offer = Some(vec![1; 1 << 20]));
        }
    };
    let (result, gateway, worker, _line, _ledger) = ask_over(alter).await;
    let refused = result.unwrap_err();
    let bad = |reject: &OfferReject| matches!(reject, OfferReject::TooLong { .. });
    assert!(matches!(&refused, GatewayError::BadOffer { reject, .. } if bad(reject)), "{refused:?}");
    assert!(gateway.status().await.unwrap().channels.is_empty());
    assert_eq!(worker.worker.earnings().unwrap().jobs, 0);
}

/// A true offer but for the output bits, which no graph contradicts: the answer is of another length, and not paid.
#[tokio::test(flavor = "multi_thread")]
async fn an_offer_for_other_output_bits_gets_its_worker_nothing() {
    let alter: Alter = |path, value| {
        if path.starts_with("/v1/models/") {
            change_info(value, |info| *info.offer.as_mut().unwrap().last_mut().unwrap() += 1);
        }
    };
    let (result, gateway, worker, _line, _ledger) = ask_over(alter).await;
    assert!(rejected(&result, |reject| matches!(reject, AnswerReject::Ciphertext(_))), "{result:?}");
    assert_eq!(gateway.status().await.unwrap().channels[0].signed, Amount::ZERO);
    assert_eq!(worker.worker.earnings().unwrap().vouchered, Amount::ZERO);
}

fn rejected(result: &Result<AskAnswer, GatewayError>, expected: impl Fn(&AnswerReject) -> bool) -> bool {
    matches!(result, Err(GatewayError::Rejected { reject, .. }) if expected(reject))
}

/// Gives something else than the honest ciphertext.
struct Altered<F>(GraphEngine, F);

impl<F: Fn(&OpenedJob, Vec<u8>) -> Output + Send + Sync + 'static> Engine for Altered<F> {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        let EngineAnswer { output: Output::Ciphertext(honest), proof, trace } = self.0.answer(job)? else {
            panic!("not encrypted")
        };
        Ok(EngineAnswer { output: (self.1)(job, honest), proof, trace })
    }

    fn offer(&self) -> Option<&Offer> {
        self.0.offer()
    }
}

type Cheat = fn(&OpenedJob, Vec<u8>) -> Output;
type Expected = fn(&AnswerReject) -> bool;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_to_the_query_is_caught_and_not_paid() {
    let cheats: [(Cheat, Expected); 7] = [
        (
            |_, _| Output::Ciphertext(Vec::new()),
            |reject| matches!(reject, AnswerReject::Ciphertext(WireError::Length { got: 0, .. })),
        ),
        (
            |_, mut honest| {
                honest.push(0);
                Output::Ciphertext(honest)
            },
            |reject| matches!(reject, AnswerReject::Ciphertext(WireError::Length { .. })),
        ),
        (
            |_, mut honest| {
                honest[0] = 9;
                Output::Ciphertext(honest)
            },
            |reject| matches!(reject, AnswerReject::Ciphertext(WireError::Version { got: 9 })),
        ),
        (
            |_, mut honest| {
                honest[1] ^= 1;
                Output::Ciphertext(honest)
            },
            |reject| matches!(reject, AnswerReject::Ciphertext(WireError::AnswerShape)),
        ),
        (
            |_, mut honest| {
                *honest.last_mut().unwrap() |= 0xc0;
                Output::Ciphertext(honest)
            },
            |reject| matches!(reject, AnswerReject::Ciphertext(WireError::Filling)),
        ),
        (
            // The query itself, sent back.
            |job, _| match &job.input {
                JobInput::Query { bytes, .. } => Output::Ciphertext(bytes.clone()),
                JobInput::Values(_) => Output::Logits(Vec::new()),
            },
            |reject| matches!(reject, AnswerReject::Ciphertext(_)),
        ),
        (|_, _| Output::Logits(vec![1, 2, 3]), |reject| matches!(reject, AnswerReject::OutputForm)),
    ];
    for (number, (cheat, expected)) in cheats.into_iter().enumerate() {
        let (_ledger, worker, gateway) = cast(Altered(honest_engine(), cheat)).await;
        let result = gateway.ask(encrypted_question(1)).await;
        assert!(rejected(&result, expected), "{number}: {result:?}");
        let channels = gateway.status().await.unwrap().channels;
        assert!(channels.len() == 1 && channels[0].retired && channels[0].signed == Amount::ZERO);
        assert_eq!(worker.worker.earnings().unwrap().vouchered, Amount::ZERO);
        let again = gateway.ask(encrypted_question(2)).await;
        assert!(matches!(again, Err(GatewayError::Distrusted { .. })));
    }
}

/// A worker learns from its pay whether its answer had the right shape, and must not learn what it decrypted to. So noise is paid for as
/// the honest answer is, and the client reads noise: `signed` is the worker's word.
#[tokio::test(flavor = "multi_thread")]
async fn noise_in_the_shape_of_an_answer_is_the_workers_word() {
    let noise: Cheat = |_, mut honest| {
        let last = honest.len() - 1;
        let mut state = 1_u64;
        for byte in &mut honest[6..last] {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        Output::Ciphertext(honest)
    };
    let (_ledger, worker, gateway) = cast(Altered(honest_engine(), noise)).await;
    for seed in 0..8 {
        assert!(gateway.ask(encrypted_question(seed)).await.unwrap().paid);
    }
    assert_eq!(worker.worker.earnings().unwrap().vouchered, Amount(PRICE.0 * 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_encrypted_answer_is_caught_on_the_way() {
    // The version, the form, the length, the ciphertext, a salt, the commitment to the seed, the receipt.
    let alters: [(Alter, Expected); 4] = [
        (
            |path, value| {
                if path == "/v1/jobs" {
                    change_body(value, |body| body[1] = 7);
                }
            },
            |reject| matches!(reject, AnswerReject::Format(_)),
        ),
        (
            |path, value| {
                if path == "/v1/jobs" {
                    change_body(value, |body| body[500] ^= 1);
                }
            },
            |reject| matches!(reject, AnswerReject::OutputCommitment),
        ),
        (
            |path, value| {
                if path == "/v1/jobs" {
                    change_body(value, |body| {
                        let seed = body.len() - 65 - 416 - 1;
                        body[seed] ^= 1;
                    });
                }
            },
            |reject| matches!(reject, AnswerReject::EvidenceCommitment),
        ),
        (
            |path, value| {
                if path == "/v1/jobs" {
                    change_body(value, |body| body.truncate(3000));
                }
            },
            |reject| matches!(reject, AnswerReject::Format(_)),
        ),
    ];
    for (number, (alter, expected)) in alters.into_iter().enumerate() {
        let (result, gateway, worker, _line, _ledger) = ask_over(alter).await;
        assert!(rejected(&result, expected), "{number}: {result:?}");
        assert_eq!(gateway.status().await.unwrap().channels[0].signed, Amount::ZERO);
        assert_eq!(worker.worker.earnings().unwrap().vouchered, Amount::ZERO);
    }
}

/// An honest encrypted answer made by hand, to be altered.
struct Handmade {
    header: JobHeader,
    values: Vec<i64>,
    question: EncryptedQuestion,
    answer: Answer,
}

fn graph() -> Graph {
    linear_model().model().graph().clone()
}

fn asked_of(offer: &Offer, seed: u8) -> EncryptedQuestion {
    EncryptedQuestion { offer: offer.encode(), seed: QuerySeed::from(B256::repeat_byte(seed)), keys: None }
}

impl Handmade {
    fn new() -> Self {
        let header = JobHeader {
            chain_id: 5,
            job_id: JobId::random(),
            model_id: B256::from(*linear_model().model_id().as_bytes()),
            channel_id: B256::repeat_byte(1),
            client: wallet(2).address(),
            worker: wallet(1).address(),
            privacy: Privacy::Encrypted,
            evidence: Evidence::Signed,
            price: PRICE,
            cumulative: PRICE,
        };
        let values: Vec<i64> = (0..FEATURES as i64).map(|value| value << 24).collect();
        let server = EncryptedModel::new(linear_model().model()).unwrap();
        let question = asked_of(server.offer(), 1);
        let (secret, query) = question.encrypt(&graph(), &values, None).unwrap();
        let ciphertext = server.answer(&query, None, &tacit_encrypt::Seed::new([2; 32])).unwrap();
        let asked = Asked::Encrypted { query: &query, secret: &secret };
        let seed = AnswerEvidence::Seed(SeedCommitment(B256::repeat_byte(3)));
        let answer = sign(&header, asked, Output::Ciphertext(ciphertext), seed);
        Self { header, values, question, answer }
    }

    fn check(&self, answer: Answer) -> Result<Vec<i32>, AnswerReject> {
        let (secret, query) = self.question.encrypt(&graph(), &self.values, None).unwrap();
        let asked = Asked::Encrypted { query: &query, secret: &secret };
        let checked = check(&self.header, linear_model().verifying_model(), asked, answer)?;
        Ok(checked.logits().to_vec())
    }

    /// The same, signed by the worker for another output or evidence.
    fn signed(&self, output: Output, evidence: AnswerEvidence) -> Result<Vec<i32>, AnswerReject> {
        let (secret, query) = self.question.encrypt(&graph(), &self.values, None).unwrap();
        self.check(sign(&self.header, Asked::Encrypted { query: &query, secret: &secret }, output, evidence))
    }
}

#[test]
fn each_check_of_an_encrypted_answer_catches_what_it_is_for() {
    let honest = Handmade::new();
    let row = graph().encode_input(&honest.values).unwrap();
    let expected = tacit_graph::execute(linear_model().model(), &row, 1).unwrap().logits();
    assert_eq!(honest.check(honest.answer.clone()), Ok(expected));

    // About another query of the same row.
    let other = asked_of(&Offer::decode(&graph(), &honest.question.offer).unwrap(), 9);
    let (secret, query) = other.encrypt(&graph(), &honest.values, None).unwrap();
    let asked = Asked::Encrypted { query: &query, secret: &secret };
    let Answer { output, evidence, .. } = honest.answer.clone();
    let swapped = sign(&honest.header, asked, output.clone(), evidence.clone());
    assert_eq!(honest.check(swapped), Err(AnswerReject::InputCommitment));
    // A commitment to the values would say that the worker knew them.
    let values = sign(&honest.header, Asked::Values(&honest.values), output.clone(), evidence.clone());
    assert_eq!(honest.check(values), Err(AnswerReject::InputCommitment));

    let signed = |output: &Output, evidence| honest.signed(output.clone(), evidence);
    assert_eq!(signed(&Output::Logits(vec![0; 3]), evidence.clone()), Err(AnswerReject::OutputForm));
    let none = Output::Ciphertext(vec![1]);
    assert!(matches!(signed(&none, evidence), Err(AnswerReject::Ciphertext(WireError::Length { .. }))));
    assert_eq!(signed(&output, AnswerEvidence::None), Err(AnswerReject::NoSeed));
    let row = RowProof { rows: 1, index: 0, salt: B256::ZERO, proof: vec![1, 2, 3] };
    assert_eq!(signed(&output, AnswerEvidence::Proof(row)), Err(AnswerReject::UnexpectedProof));

    // No evidence but the worker's word is checked for what nobody but the client can read.
    for evidence in [Evidence::Proved, Evidence::Attested] {
        let header = JobHeader { evidence, ..honest.header };
        let (secret, query) = honest.question.encrypt(&graph(), &honest.values, None).unwrap();
        let asked = Asked::Encrypted { query: &query, secret: &secret };
        let answer = sign(&header, asked, output.clone(), honest.answer.evidence.clone());
        let refused = check(&header, linear_model().verifying_model(), asked, answer);
        assert_eq!(refused, Err(AnswerReject::UncheckableEvidence { evidence }));
    }
}

/// Every byte of the body, but for the times, which nobody checks.
#[test]
fn every_flipped_byte_of_an_encrypted_answer_is_refused() {
    let honest = Handmade::new();
    let body = honest.answer.encode().unwrap();
    let Output::Ciphertext(ciphertext) = &honest.answer.output else { panic!("not encrypted") };
    let times = 6 + ciphertext.len() + 3 * 32;
    let refused = |at: usize| {
        let mut body = body.clone();
        body[at] ^= 1 << (at % 8);
        match Answer::decode(&body) {
            Ok(answer) => honest.check(answer).is_err(),
            Err(_) => true,
        }
    };
    assert!(honest.check(Answer::decode(&body).unwrap()).is_ok());
    for at in (0..body.len()).filter(|at| !(times..times + 16).contains(at)) {
        assert!(refused(at), "byte {at} of {}", body.len());
    }
}

type Change = fn(&mut Bundle);
type Refused = fn(&BundleReject) -> bool;

fn messages(bundle: &mut Bundle) -> &mut EncryptedMessages {
    bundle.encrypted.as_mut().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_saved_receipt_of_an_encrypted_job_is_refused_whatever_was_altered() {
    let (_ledger, _worker, gateway) = cast(honest_engine()).await;
    let sealed = AskRequest { model: "linear".to_owned(), ..question(1) };
    let sealed = gateway.bundle(gateway.ask(sealed).await.unwrap().job_id).unwrap();
    let good = gateway.bundle(gateway.ask(encrypted_question(1)).await.unwrap().job_id).unwrap();
    let _ = verify_bundle(&good).unwrap();
    let changes: [(Change, Refused); 13] = [
        (|b| b.encrypted = None, |reject| matches!(reject, BundleReject::Messages)),
        (
            |b| messages(b).question.offer[0] = 9,
            |reject| {
                matches!(
                    reject,
                    BundleReject::Question(QuestionReject::Offer(OfferReject::Version { got: 9 }))
                )
            },
        ),
        (
            |b| *messages(b).question.offer.last_mut().unwrap() += 1,
            |reject| matches!(reject, BundleReject::Query),
        ),
        (
            |b| messages(b).question.seed = QuerySeed::from(B256::ZERO),
            |reject| matches!(reject, BundleReject::Query),
        ),
        (|b| *messages(b).query.last_mut().unwrap() ^= 1, |reject| matches!(reject, BundleReject::Query)),
        (|b| b.input[0] += 1 << 24, |reject| matches!(reject, BundleReject::Query)),
        (|b| b.input.push(0), |reject| matches!(reject, BundleReject::Question(QuestionReject::Row(_)))),
        (|b| b.output[0] += 1, |reject| matches!(reject, BundleReject::Decrypted)),
        (
            |b| messages(b).answer.ciphertext[700] ^= 1,
            |reject| matches!(reject, BundleReject::Answer(AnswerReject::OutputCommitment)),
        ),
        (
            |b| messages(b).answer.seed_commitment.0.0[5] ^= 1,
            |reject| matches!(reject, BundleReject::Answer(AnswerReject::EvidenceCommitment)),
        ),
        (
            |b| {
                b.proof = Some(RowProof { rows: 1, index: 0, salt: B256::ZERO, proof: vec![1] });
            },
            |reject| matches!(reject, BundleReject::Answer(AnswerReject::UnexpectedProof)),
        ),
        (|b| b.receipt.receipt.privacy = 1, |reject| matches!(reject, BundleReject::Messages)),
        (|b| b.receipt.receipt.evidence = 1, |reject| matches!(reject, BundleReject::Answer(_))),
    ];
    for (number, (change, expected)) in changes.into_iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        let refused = verify_bundle(&bad).unwrap_err();
        assert!(expected(&refused), "{number}: {refused:?}");
    }
    // The messages of one job beside the receipt of another.
    let mixed = Bundle { encrypted: good.encrypted.clone(), ..sealed.clone() };
    assert!(matches!(verify_bundle(&mixed), Err(BundleReject::Messages)));
    let mixed = Bundle { receipt: sealed.receipt, ..good.clone() };
    assert!(matches!(verify_bundle(&mixed), Err(BundleReject::Messages)));
    assert!(!format!("{good:?}").contains("seed: B256"));
    let debug = format!("{:?}", good.encrypted.unwrap());
    assert!(!debug.contains("query") && !debug.contains("seed"), "{debug}");
}
