//! Models with look-ups, asked under keys that are sent once: trees exactly, networks nearly, done again, audited, and lied about.

use std::sync::{Arc, OnceLock};

use alloy_primitives::B256;
use serde_json::Value;
use tacit_abi::{Evidence, Privacy};
use tacit_encrypt::{
    MAX_KEY_BYTES, ParametersId, Seed, Variant, client::generate_keys, server::EncryptedModel,
};
use tacit_gateway::{
    AskAnswer, AskRequest, Bundle, BundleReject, CanaryPolicy, Gateway, GatewayError, Input,
    canary::{CanaryRate, SeededDice},
    verify_bundle,
};
use tacit_graph::{Agreement, Model, import::ImportOptions};
use tacit_prove::CommittedModel;
use tacit_verify::SecurityBits;
use tacit_wire::{
    AuditFile, AuditKey, AuditedJob, Output,
    http::{HttpError, JsonClient},
    keys::{CHANNEL_HEADER, KeyGrant, KeyReply, SIGNATURE_HEADER},
};
use tacit_worker::{
    Comparison, Engine, EngineAnswer, EngineError, GraphEngine, KeyError, KeyShelf, OpenedJob,
    ReexecutionReject, SeedSource, reexecute,
};

use crate::{
    disk::Disk,
    support::{
        Ledger, PRICE, RunningWorker, WorkerPlan, gateway, gateway_on, gateway_with, ledger, served, wallet,
    },
};

/// Twenty oblivious trees of four comparisons: exact.
fn trees() -> Arc<CommittedModel> {
    static MODEL: OnceLock<Arc<CommittedModel>> = OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/breast-cancer-oblivious/model.onnx");
        let onnx = std::fs::read(file).unwrap();
        let options = ImportOptions { leaf_bits_max: 9, ..ImportOptions::default() };
        let imported = tacit_graph::import::import(&onnx, &[], None, &options);
        commit(imported.unwrap().model)
    }))
}

/// A small network: approximate.
fn network() -> Arc<CommittedModel> {
    static MODEL: OnceLock<Arc<CommittedModel>> = OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| commit(tacit_graph::synthetic_mlp(&[16, 8, 4], 5).unwrap())))
}

fn commit(model: Model) -> Arc<CommittedModel> {
    Arc::new(CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap())
}

/// What the worker says about its approximate answers.
const MEASURED: Agreement = Agreement { rows: 100, agreed: 98 };

fn engine(model: &Arc<CommittedModel>, variant: Variant) -> GraphEngine {
    let encrypted = EncryptedModel::with(model.model(), variant).unwrap().measured(MEASURED);
    GraphEngine::new(Arc::clone(model)).encrypted(encrypted)
}

/// A row of measurements within what was trained on.
fn row(model: &CommittedModel, seed: u64) -> Input {
    let features = model.model().graph().features.len();
    let value = |index: usize| ((seed * 37 + index as u64 * 29) % 100) as f64 / 4.0;
    let data: Vec<f64> = (0..features).map(value).collect();
    Input::from_floats(&[features as u64], &data).unwrap()
}

fn question(model: &CommittedModel, seed: u64) -> AskRequest {
    AskRequest { privacy: Privacy::Encrypted, ..AskRequest::new("model", row(model, seed)) }
}

fn expected(model: &CommittedModel, seed: u64) -> Vec<i32> {
    let graph = model.model().graph();
    let encoded = graph.encode_input(&row(model, seed).values(graph).unwrap()).unwrap();
    tacit_graph::execute(model.model(), &encoded, 1).unwrap().logits()
}

struct Cast {
    ledger: Ledger,
    worker: RunningWorker,
    audit: AuditKey,
}

async fn cast(model: &Arc<CommittedModel>, engine: impl Engine) -> Cast {
    let ledger = ledger(&[1, 2, 3].map(|key| wallet(key).address())).await;
    let folder = tempfile::tempdir().unwrap();
    let key = || AuditKey::load_or_create(&folder.path().join("audit.key")).unwrap();
    let models = vec![served(model, "model", Arc::new(engine), PRICE)];
    let plan = WorkerPlan { models, audit: key(), ..WorkerPlan::honest(1) };
    let worker = plan.start(&ledger.client).await;
    Cast { ledger, worker, audit: key() }
}

async fn ask(gateway: &Gateway, model: &CommittedModel, seed: u64) -> (AskAnswer, Bundle) {
    let answer = gateway.ask(question(model, seed)).await.unwrap();
    let bundle = gateway.bundle(answer.job_id).unwrap();
    (answer, bundle)
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_are_answered_exactly_under_keys_that_are_sent_once() {
    let model = trees();
    let Cast { ledger, worker, .. } = cast(&model, engine(&model, Variant::Fast)).await;
    let disk = Disk::default();
    let client = gateway_on(&ledger.client, 2, &disk);
    for seed in 0..2 {
        let (answer, bundle) = ask(&client, &model, seed).await;
        assert_eq!(bundle.output, expected(&model, seed));
        assert!(answer.paid && answer.approximate.is_none() && answer.evidence == Evidence::Signed);
        assert!(answer.bytes_up < 1_000 && answer.key_bytes > 15_000_000, "{answer:?}");
        assert_eq!(worker.worker.earnings().unwrap().keys.bytes, answer.key_bytes);
    }
    assert_eq!(worker.worker.earnings().unwrap().keys.keys, 1);
    // After a restart the keys are the same, and need not be sent again.
    let id = |bundle: &Bundle| bundle.encrypted.as_ref().unwrap().question.keys.unwrap();
    let (_, before) = ask(&client, &model, 2).await;
    drop(client);
    let client = gateway_on(&ledger.client, 2, &disk);
    let (_, after) = ask(&client, &model, 3).await;
    assert_eq!((id(&after), after.output), (id(&before), expected(&model, 3)));
    assert_eq!(worker.worker.earnings().unwrap().keys.keys, 1);
    // Another client has keys of its own.
    let other = gateway(&ledger.client, 3);
    let (_, others) = ask(&other, &model, 1).await;
    assert_ne!(id(&others), id(&before));
    assert_eq!(worker.worker.earnings().unwrap().keys.keys, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_a_worker_lost_are_sent_again() {
    let model = trees();
    let ledger = ledger(&[1, 2].map(|key| wallet(key).address())).await;
    let plan = |disk: &Disk, port| {
        let models = vec![served(&model, "model", Arc::new(engine(&model, Variant::Fast)), PRICE)];
        WorkerPlan { models, disk: disk.clone(), port, ..WorkerPlan::honest(1) }
    };
    let disk = Disk::default();
    let worker = plan(&disk, 0).start(&ledger.client).await;
    let port = worker.server.url.rsplit(':').next().unwrap().parse().unwrap();
    let client = gateway(&ledger.client, 2);
    ask(&client, &model, 1).await;
    drop(worker);
    // Killed, and its folder of keys is gone.
    let worker = plan(&disk, port).start_quietly(&ledger.client).await;
    assert_eq!(worker.worker.earnings().unwrap().keys.keys, 0);
    assert_eq!(ask(&client, &model, 2).await.1.output, expected(&model, 2));
    assert_eq!(worker.worker.earnings().unwrap().keys.keys, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_receipt_opens_with_the_keys_that_its_owner_adds_and_not_without() {
    let model = trees();
    let cast = cast(&model, engine(&model, Variant::Fast)).await;
    let client = gateway(&cast.ledger.client, 2);
    let (answer, sealed) = ask(&client, &model, 1).await;
    let opened = client.bundle_with_keys(answer.job_id).unwrap();
    let read = |bundle: &Bundle| Bundle::from_json(&serde_json::to_vec(bundle).unwrap()).unwrap();
    let verified = verify_bundle(&read(&sealed)).unwrap();
    assert!(!verified.opened() && verified.hash() == answer.receipt);
    assert!(verify_bundle(&read(&opened)).unwrap().opened());
    let secret = serde_json::to_value(&opened).unwrap()["encrypted"]["keys"]["seed"].clone();
    let text = serde_json::to_string(&sealed).unwrap()
        + &serde_json::to_string(&sealed.for_audit().unwrap()).unwrap();
    assert!(!text.contains(secret.as_str().unwrap()));

    // With the keys, another question, another answer and other keys are found out.
    let mut other = read(&opened);
    other.input.fill(1000 << 24);
    assert!(matches!(verify_bundle(&other), Err(BundleReject::Query)));
    let mut other = read(&opened);
    other.output[0] += 1;
    assert!(matches!(verify_bundle(&other), Err(BundleReject::Decrypted)));
    let mut json: Value = serde_json::to_value(&opened).unwrap();
    json["encrypted"]["keys"]["seed"] = serde_json::to_value(B256::repeat_byte(9)).unwrap();
    assert!(matches!(verify_bundle(&serde_json::from_value(json).unwrap()), Err(BundleReject::Query)));
    // Without them, what the worker signed for is.
    let mut other = read(&sealed);
    *other.encrypted.as_mut().unwrap().query.last_mut().unwrap() ^= 1;
    assert!(matches!(verify_bundle(&other), Err(BundleReject::Answer(_))));
    let mut other = read(&sealed);
    other.encrypted.as_mut().unwrap().question.keys = Some(B256::repeat_byte(9));
    assert!(matches!(verify_bundle(&other), Err(BundleReject::Query)));
}

fn audited(model: &CommittedModel, seed: u64) -> AskRequest {
    AskRequest {
        evidence: Some(Evidence::Audited),
        max_price: Some(tacit_wire::Amount(PRICE.0 * 20)),
        ..question(model, seed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approximate_answer_says_so_and_is_audited_as_nearly_as_promised() {
    let model = network();
    let honest = cast(&model, engine(&model, Variant::Fast)).await;
    let client = gateway_with(&honest.ledger.client, 2, &Disk::default(), always_after());
    for seed in 1..4 {
        let answer = client.ask(audited(&model, seed)).await.unwrap();
        let near = answer.approximate.unwrap();
        assert_eq!((near.rows, near.agreed), (100, 98));
        assert_eq!((answer.canaries_asked, answer.canaries_passed), (seed + 1, seed + 1));
        let (output, expected) = (client.bundle(answer.job_id).unwrap().output, expected(&model, seed));
        let error: i64 = output.iter().zip(&expected).map(|(a, b)| i64::from(a - b).pow(2)).sum();
        let tolerance = i64::from(near.tolerance);
        assert!(error <= tolerance * tolerance * 4, "{output:?} {expected:?} {tolerance}");
    }

    let lying = cast(&model, Lying(engine(&model, Variant::Fast))).await;
    let client = gateway_with(&lying.ledger.client, 2, &Disk::default(), always_after());
    let caught = client.ask(audited(&model, 1)).await.unwrap_err();
    assert!(matches!(caught, GatewayError::WrongCanary { .. }), "{caught}");
}

/// Promises nothing.
struct Vague {
    engine: GraphEngine,
    offer: tacit_encrypt::Offer,
}

impl Engine for Vague {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        self.engine.answer(job)
    }

    fn offer(&self) -> Option<&tacit_encrypt::Offer> {
        Some(&self.offer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_every_answer_keeps_is_not_relied_on() {
    let model = network();
    let engine = engine(&model, Variant::Fast);
    let mut bytes = engine.offer().unwrap().encode();
    // The tolerance.
    bytes[33..37].fill(0x7f);
    let offer = tacit_encrypt::Offer::decode(model.model().graph(), &bytes).unwrap();
    let cast = cast(&model, Vague { engine, offer }).await;
    let client = gateway_with(&cast.ledger.client, 2, &Disk::default(), always_after());
    let refused = client.ask(audited(&model, 1)).await.unwrap_err();
    assert!(matches!(refused, GatewayError::Vague { tolerance: 0x7f7f_7f7f, .. }), "{refused}");
    // The user's row was not sent; hidden ones were.
    let asked = client.receipts().unwrap();
    assert!(
        asked.iter().all(|receipt| receipt.kind != tacit_gateway::view::ReceiptKind::Question),
        "{asked:?}"
    );
}

/// An offer of approximate answers that were not measured is none.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_measured_are_not_asked_for() {
    let model = network();
    let encrypted = EncryptedModel::with(model.model(), Variant::Fast).unwrap();
    let engine = GraphEngine::new(Arc::clone(&model)).encrypted(encrypted);
    let cast = cast(&model, engine).await;
    let client = gateway(&cast.ledger.client, 2);
    let refused = client.ask(question(&model, 1)).await.unwrap_err();
    assert!(matches!(refused, GatewayError::BadOffer { .. }), "{refused}");
    assert!(refused.to_string().contains("does not say how often"), "{refused}");
}

fn read(bundle: &Bundle) -> AuditedJob {
    let file = serde_json::to_vec(&bundle.for_audit().unwrap()).unwrap();
    AuditFile::from_json(&file).unwrap().check().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reproducible_answer_is_done_again_byte_for_byte() {
    let model = trees();
    let cast = cast(&model, engine(&model, Variant::Reproducible)).await;
    let client = gateway(&cast.ledger.client, 2);
    let (_, bundle) = ask(&client, &model, 1).await;
    assert_eq!(bundle.output, expected(&model, 1));
    let (job, source) = (read(&bundle), SeedSource::Key(&cast.audit));
    let key_id = bundle.encrypted.as_ref().unwrap().question.keys.unwrap();
    let keys = client.evaluation_keys(key_id).unwrap();
    assert_eq!(reexecute(&model, &job, source, Some(&keys)), Ok(Comparison::Equal));
    assert_eq!(reexecute(&model, &job, source, None), Err(ReexecutionReject::NoKeys { key_id }));
    let other = Some(&keys[1..]);
    assert_eq!(reexecute(&model, &job, source, other), Err(ReexecutionReject::OtherKeys { key_id }));
    assert!(matches!(client.evaluation_keys(B256::ZERO), Err(GatewayError::UnknownReceipt { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fast_answer_is_not_compared_byte_for_byte() {
    let model = trees();
    let cast = cast(&model, engine(&model, Variant::Fast)).await;
    let client = gateway(&cast.ledger.client, 2);
    let (_, bundle) = ask(&client, &model, 1).await;
    let found = reexecute(&model, &read(&bundle), SeedSource::Key(&cast.audit), None);
    assert_eq!(found, Err(ReexecutionReject::NotReproducible));
}

/// Changes every answer that is under encryption, so that it decrypts to something else altogether.
struct Lying(GraphEngine);

impl Engine for Lying {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        let mut answer = self.0.answer(job)?;
        if let Output::Ciphertext(ciphertext) = &mut answer.output {
            // The first byte is the version, and the last may hold filling.
            let end = ciphertext.len() - 1;
            ciphertext[1..end].iter_mut().for_each(|byte| *byte ^= 0xa5);
        }
        Ok(answer)
    }

    fn offer(&self) -> Option<&tacit_encrypt::Offer> {
        self.0.offer()
    }
}

fn always_after() -> CanaryPolicy {
    CanaryPolicy { rate: CanaryRate::new(1.0).unwrap(), rows: 1, dice: Arc::new(SeededDice::new(1)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_questions_catch_a_liar_and_new_keys_are_made() {
    let model = trees();
    let honest = cast(&model, engine(&model, Variant::Fast)).await;
    let client = gateway_with(&honest.ledger.client, 2, &Disk::default(), always_after());
    let answer = client.ask(audited(&model, 1)).await.unwrap();
    assert_eq!((answer.canaries_asked, answer.canaries_passed), (2, 2));
    assert_eq!(client.bundle(answer.job_id).unwrap().output, expected(&model, 1));

    let lying = cast(&model, Lying(engine(&model, Variant::Fast))).await;
    let client = gateway_with(&lying.ledger.client, 2, &Disk::default(), always_after());
    let caught = client.ask(audited(&model, 1)).await.unwrap_err();
    assert!(matches!(caught, GatewayError::WrongCanary { .. }), "{caught}");
    let parameters = engine(&model, Variant::Fast).offer().unwrap().parameters().unwrap();
    assert_eq!(client.store().current_keys(parameters.0).unwrap(), None);
    // What convicts it needs the client's keys, which would open its own questions as well: they are not given out.
    let job_id = client.false_answers().unwrap()[0].job_id;
    let evidence = client.false_answer(job_id).unwrap();
    let reject = tacit_gateway::verify_fraud(&evidence).unwrap_err();
    assert!(matches!(reject, tacit_gateway::fraud::FraudReject::Unopened), "{reject}");
}

fn made(seed: u8) -> (B256, Vec<u8>) {
    let (keys, bytes) = generate_keys(ParametersId(1), &Seed::new([seed; 32])).unwrap();
    (B256::from(keys.id().0), bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_takes_keys_from_whoever_has_a_channel_to_it_and_nothing_else() {
    let model = trees();
    let cast = cast(&model, engine(&model, Variant::Fast)).await;
    let client = gateway(&cast.ledger.client, 2);
    ask(&client, &model, 1).await;
    let channel_id = client.status().await.unwrap().channels[0].channel_id;
    let (chain_id, worker) = (cast.ledger.client.chain_id(), cast.worker.worker.address());
    let http = JsonClient::new(core::time::Duration::from_secs(60)).unwrap();
    let send = async |key_id: B256, channel_id: B256, signer: u8, bytes: Vec<u8>| {
        let grant = KeyGrant { key_id, channel_id, worker };
        let signature = grant.sign(&wallet(signer), chain_id);
        let headers = [(CHANNEL_HEADER, channel_id.to_string()), (SIGNATURE_HEADER, signature.to_string())];
        let url = format!("{}/v1/keys/{key_id}", cast.worker.server.url);
        http.put_bytes::<KeyReply>(&url, &headers, bytes, 1000).await
    };
    let refused = |sent: Result<KeyReply, HttpError>| match sent {
        Err(HttpError::Refused { body, .. }) => body.code,
        other => panic!("{other:?}"),
    };
    let (key_id, bytes) = made(1);
    assert_eq!(refused(send(key_id, channel_id, 3, bytes[..1000].to_vec()).await), "not_signer");
    assert_eq!(refused(send(key_id, B256::ZERO, 2, bytes[..1000].to_vec()).await), "unknown_channel");
    assert_eq!(refused(send(B256::ZERO, channel_id, 2, bytes.clone()).await), "bad_keys");
    assert_eq!(refused(send(key_id, channel_id, 2, bytes[..1000].to_vec()).await), "bad_keys");
    // The worker hangs up on what is too long; the client may still be sending.
    assert!(send(key_id, channel_id, 2, vec![1; MAX_KEY_BYTES + 1]).await.is_err());
    let url = format!("{}/v1/keys/{key_id}", cast.worker.server.url);
    assert_eq!(refused(http.put_bytes(&url, &[], bytes[..1000].to_vec(), 1000).await), "malformed_request");
    let before = cast.worker.worker.earnings().unwrap().keys.keys;
    for _ in 0..2 {
        let reply = send(key_id, channel_id, 2, bytes.clone()).await.unwrap();
        assert_eq!(reply, KeyReply { key_id, bytes: bytes.len() as u64 });
    }
    assert_eq!(cast.worker.worker.earnings().unwrap().keys.keys, before + 1);
}

#[test]
fn a_shelf_keeps_whole_keys_of_each_client_and_drops_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let made: Vec<_> = (1..=5).map(made).collect();
    let length = made[0].1.len() as u64;
    let [one, other] = [1, 2].map(alloy_primitives::Address::repeat_byte);
    let shelf = KeyShelf::open(folder.path(), 6 * length).unwrap();
    for (id, bytes) in &made[..4] {
        shelf.keep(one, *id, bytes).unwrap();
        shelf.keep(one, *id, bytes).unwrap();
    }
    // The first was used last.
    assert!(shelf.has(one, made[0].0) && !shelf.has(other, made[0].0));
    shelf.keep(one, made[4].0, &made[4].1).unwrap();
    let kept = |client| made.iter().map(|(id, _)| shelf.has(client, *id)).collect::<Vec<_>>();
    assert_eq!(kept(one), [true, false, true, true, true]);
    // Room for six in all.
    for (id, bytes) in &made[..3] {
        shelf.keep(other, *id, bytes).unwrap();
    }
    assert_eq!(shelf.meter().unwrap().keys, 6);
    assert_eq!(kept(other), [true, true, true, false, false]);
    // A file that was changed is no key; half a file, after a crash, is none either.
    let path = folder.path().join(format!("{other:#x}")).join(made[0].0.to_string());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(shelf.bytes(other, made[0].0), Err(KeyError::OtherId { .. })));
    std::fs::write(path.with_extension("unfinished"), b"half").unwrap();
    let shelf = KeyShelf::open(folder.path(), 6 * length).unwrap();
    assert!(!path.with_extension("unfinished").exists());
    assert!(matches!(shelf.bytes(other, B256::ZERO), Err(KeyError::Unknown { .. })));
    assert_eq!(shelf.bytes(other, made[1].0).unwrap(), made[1].1);
    let keys = shelf.expanded(other, tacit_encrypt::KeyId(made[1].0.0), Variant::Fast).unwrap();
    assert_eq!(keys.id().0, made[1].0.0);
}
