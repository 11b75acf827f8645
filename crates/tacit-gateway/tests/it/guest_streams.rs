//! Language models in guests that are judged before they are asked: one attack per test. Whatever is refused was sealed to nobody and is paid by nobody.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy_primitives::{B256, Bytes};
use reqwest::Response;
use serde_json::{Value, json};
use tacit_abi::{Evidence as Mode, IAsks, Privacy, policies::NARROW_DELAY_S, receipts};
use tacit_attest::{AmdError, DecodeError, Evidence, ImageId, Policy, Refusal};
use tacit_gateway::{
    AnswerReject, Attestation, AttestedMessages, AttestedReject, BundleReject, DoorConfig, Gateway,
    StreamBundle, VerifiedStream, page::Verification, stream_receipt::Judgement, verify_stream,
    verify_stream_under, view::AnyBundle,
};
use tacit_wire::{
    Amount,
    language::{LanguageKind, LanguageManifest, TokenBill, TokenCount, language_model_id},
    ledger::ask_end_s,
    session::SessionKey,
};
use tacit_worker::{Attester, Clock, LanguageEngine, LanguageModel};

use crate::{
    attested::VALIDATOR,
    disk::Disk,
    failures::Engine,
    files::AMD_NOW,
    guests::{self, Broken, Door, Guest, Replaying, accept, amd, judging, open_line, policy},
    openai::{client, code, header, hello, open_judging, spending},
    reference::{PRICES, byte_tokenizer},
    support::{Ledger, RunningWorker, Server, WorkerPlan, ledger, ledger_staked, wallet},
    world::{Either, World},
};

/// A request, a prompt of 4 and 2 tokens, an answer of 4.
const PRICE: u128 = 1_000 + 6 * 100 + 4 * 1_000;
const WEIGHTS: &[u8] = b"weights";

/// What a request says that only a guest may answer: each of the two words is enough.
fn wishes() -> [Value; 3] {
    [
        json!({"privacy": "enclave", "evidence": "attested"}),
        json!({"privacy": "enclave"}),
        json!({"evidence": "attested"}),
    ]
}

fn manifest(name: &str) -> Vec<u8> {
    let manifest = LanguageManifest {
        kind: LanguageKind::Language,
        name: name.to_owned(),
        weights: B256::from(*blake3::hash(WEIGHTS).as_bytes()),
        tokenizer: B256::from(*blake3::hash(&byte_tokenizer()).as_bytes()),
        format: "gguf".to_owned(),
        quantisation: "Q4_1".to_owned(),
        context_tokens: 4096,
        message_tokens: 4,
        licence: "Apache-2.0".to_owned(),
    };
    manifest.write().unwrap().0
}

fn talk() -> B256 {
    language_model_id(&manifest("talk"))
}

/// A model whose weights were hashed, with its engine on this machine.
fn in_guest(name: &str, engine: &Server) -> LanguageModel {
    let mut weights = tempfile::NamedTempFile::new().unwrap();
    weights.write_all(WEIGHTS).unwrap();
    let engine = LanguageEngine::new(&engine.url, "talk").unwrap();
    let model = LanguageModel::new(manifest(name), byte_tokenizer(), PRICES, 16, engine).unwrap();
    model.in_guest(weights.path()).unwrap()
}

/// A worker of the model, in a guest.
fn plan(world: &World, attester: Arc<dyn Attester>, engine: &Server) -> WorkerPlan {
    let languages = vec![in_guest("talk", engine)];
    WorkerPlan { models: Vec::new(), languages, ..guests::plan(world, attester) }
}

/// A ledger with a line, an engine with a worker in a guest, and a gateway that follows the line.
struct Stage {
    ledger: Ledger,
    engine: Engine,
    engine_server: Server,
    worker: RunningWorker,
    gateway: Arc<Gateway>,
    server: Server,
    line: B256,
}

impl Stage {
    async fn new(world: &World, attester: Arc<dyn Attester>) -> Self {
        Self::with(world, |engine| plan(world, attester, engine)).await
    }

    async fn with(world: &World, plan: impl FnOnce(&Server) -> WorkerPlan) -> Self {
        let ledger = ledger(&[1, 2, 3].map(|number| wallet(number).address())).await;
        Self::on(ledger, world, plan, &policy(world, talk())).await
    }

    async fn on(
        ledger: Ledger,
        world: &World,
        plan: impl FnOnce(&Server) -> WorkerPlan,
        policy: &Policy,
    ) -> Self {
        let line = open_line(&ledger.client, policy).await;
        let (engine, engine_server) = Engine::start(1).await;
        let worker = plan(&engine_server).start(&ledger.client).await;
        let (gateway, server) = judge(&ledger, 2, judging(world, line)).await;
        Self { ledger, engine, engine_server, worker, gateway, server, line }
    }

    /// The same, over a door that alters what is asked and what comes back.
    async fn over(self, door: Door) -> (Self, Server) {
        let server = door.before(&self.worker.server.url).await;
        self.worker.worker.publish_and_ask(&server.url).await.unwrap();
        (self, server)
    }

    async fn ask(&self, extra: Value) -> Response {
        ask(&self.server, extra).await
    }

    /// Asks a guest, and is answered at the price.
    async fn answered(&self) {
        self.engine.say(1);
        let response = self.ask(json!({"provider": {"privacy": "enclave"}})).await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        assert_eq!(header(&response, "x-tacit-price"), Amount(PRICE).to_string());
        response.bytes().await.unwrap();
    }

    /// Nothing was opened, sent or promised.
    fn untouched(&self) {
        assert!(self.gateway.channels().unwrap().is_empty());
        assert_eq!(self.engine.asked.load(Ordering::SeqCst), 0);
        assert_eq!(self.worker.worker.earnings().unwrap().vouchered, Amount::ZERO);
    }

    /// Asks twice, and is refused both times by what the evidence lacks, with nothing sealed, sent or paid.
    async fn refused(&self, expected: AttestedReject) {
        let worker = self.worker.worker.address();
        for told in ["is not asked: ", "is not asked again for now: "] {
            let response = self.ask(json!({"provider": {"privacy": "enclave"}})).await;
            let said: Value = response.json().await.unwrap();
            assert_eq!(said["error"]["code"], "not_attested", "{said}");
            let message = said["error"]["message"].as_str().unwrap();
            assert_eq!(message, format!("worker {worker} {told}{expected}"));
        }
        self.untouched();
    }

    /// What the gateway saves of the newest of so many answers.
    async fn saved(&self, count: usize) -> StreamBundle {
        saved(&self.gateway, count).await
    }
}

async fn judge(ledger: &Ledger, key: u8, attestation: Attestation) -> (Arc<Gateway>, Server) {
    let door = DoorConfig::default();
    open_judging(&ledger.client, key, &Disk::default(), spending(), door, Some(attestation)).await
}

async fn ask(server: &Server, extra: Value) -> Response {
    let url = format!("{}/v1/chat/completions", server.url);
    client().post(url).json(&hello(extra)).send().await.unwrap()
}

async fn saved(gateway: &Gateway, count: usize) -> StreamBundle {
    let record = loop {
        let mut records = gateway.store().streams(100).unwrap();
        if records.len() >= count {
            break records.remove(0);
        }
        tokio::task::yield_now().await;
    };
    let hash = receipts::leaf(&record.receipt.receipt, gateway.ledger().chain_id());
    match gateway.find_bundle(&hash.to_string()).await.unwrap() {
        AnyBundle::Stream(bundle) => *bundle,
        AnyBundle::Job(_) => panic!("it was a stream"),
    }
}

fn counted(bundle: &StreamBundle, world: &World) -> Result<VerifiedStream, BundleReject> {
    verify_stream_under(bundle, Some(&byte_tokenizer()), &world.trust())
}

fn of_another_session() -> AttestedReject {
    AttestedReject::Refused(Refusal::ReportData)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_answers_is_paid_and_its_receipt_is_checked_offline() {
    let world = amd();
    let guest = Guest::honest(&world);
    let stage = Stage::new(&world, guest.clone()).await;
    for provider in wishes() {
        stage.engine.say(1);
        let response = stage.ask(json!({"provider": provider})).await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        assert_eq!(header(&response, "x-tacit-price"), Amount(PRICE).to_string());
        assert!(response.text().await.unwrap().contains("four"));
    }
    stage.engine.say(1);
    let stream = stage.ask(json!({"stream": true, "provider": wishes()[0]})).await.text().await.unwrap();
    assert!(stream.contains("four") && stream.contains(": tacit {"), "{stream}");
    // One session for the questions of a while.
    assert_eq!(guest.asked(), 1);
    while stage.worker.worker.earnings().unwrap().vouchered != Amount(4 * PRICE) {
        tokio::task::yield_now().await;
    }

    let file = serde_json::to_vec(&stage.saved(4).await).unwrap();
    let bundle = StreamBundle::from_json(&file).unwrap();
    let receipt = &bundle.receipt.receipt;
    assert_eq!((receipt.privacy, receipt.evidence), (Privacy::Enclave as u8, Mode::Attested as u8));
    let verified = counted(&bundle, &world).unwrap();
    let tokens = TokenCount { prompt: 6, completion: 4 };
    assert_eq!(verified.judgement(), Judgement::True { counted: tokens });
    assert_eq!(*verified.bill(), TokenBill { tokens, prices: PRICES });
    let shown = verified.attested().unwrap();
    assert_eq!(shown.policy, policy(&world, talk()).id());
    assert_eq!((ImageId(shown.image), shown.gpus), (world.rules.images[0], 2));
    assert!(shown.cpu.starts_with("AMD SEV-SNP on Milan"), "{}", shown.cpu);
    let messages = bundle.attested.as_ref().unwrap();
    assert_eq!(shown.evidence, Evidence::decode(&messages.evidence).unwrap().id());
    assert_eq!(shown.key, B256::from(*blake3::hash(&messages.key).as_bytes()));
    // Whoever believes in Intel, AMD and NVIDIA alone believes nothing of it.
    let refused = verify_stream(&bundle, Some(&byte_tokenizer()));
    assert!(matches!(refused, Err(BundleReject::Answer(AnswerReject::Attestation(_)))), "{refused:?}");
    // The page checks all of it in one call too.
    let hash = verified.hash();
    let url = format!("{}/tacit/v1/receipts/{hash}/verify", stage.server.url);
    let again: Verification = client().post(url).json(&json!({})).send().await.unwrap().json().await.unwrap();
    assert!(again.verified, "{again:?}");
    let shown = "counted again: 6 + 4 tokens";
    let detail = again.checks.iter().find(|check| check.detail.starts_with(shown)).unwrap().detail.as_str();
    assert!(detail.contains("AMD SEV-SNP") && detail.contains("model and key, by policy"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tdx_guest_answers_likewise_and_plain_requests_go_on() {
    let world = World::intel();
    let guest = Guest::honest(&world);
    let stage = Stage::new(&world, guest.clone()).await;
    stage.answered().await;
    let verified = counted(&stage.saved(1).await, &world).unwrap();
    assert_eq!(verified.attested().unwrap().cpu, "Intel TDX, firmware up to date");
    // Who does not ask for a guest gets an answer on the worker's word, over a session of its own and the same channel.
    stage.engine.say(1);
    assert_eq!(stage.ask(json!({})).await.status(), 200);
    let bundle = stage.saved(2).await;
    let receipt = &bundle.receipt.receipt;
    assert_eq!((receipt.privacy, receipt.evidence), (Privacy::Sealed as u8, Mode::Signed as u8));
    assert!(bundle.attested.is_none() && counted(&bundle, &world).unwrap().attested().is_none());
    assert_eq!((stage.gateway.channels().unwrap().len(), guest.asked()), (1, 1));
    let url = format!("{}/v1/models/talk", stage.server.url);
    let listed: Value = client().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!((&listed["tacit"]["workers"], &listed["tacit"]["guests"]), (&json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_wait_for_one_session() {
    let world = amd();
    let guest = Guest::honest(&world);
    let stage = Stage::new(&world, guest.clone()).await;
    stage.engine.say(8);
    let asked = (0..8).map(|_| stage.ask(json!({"max_tokens": 4, "provider": {"evidence": "attested"}})));
    for response in futures::future::join_all(asked).await {
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    }
    assert_eq!(guest.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_without_a_policy_that_the_ledger_has() {
    let world = amd();
    let stage = Stage::new(&world, Guest::honest(&world)).await;
    let door = DoorConfig::default;
    let (_without, server) =
        open_judging(&stage.ledger.client, 3, &Disk::default(), spending(), door(), None).await;
    let (_unknown, other) = judge(&stage.ledger, 3, judging(&world, B256::repeat_byte(9))).await;
    for server in [server, other] {
        let response = ask(&server, json!({"provider": {"privacy": "enclave"}})).await;
        assert_eq!(code(response).await, (400, "no_policy".to_owned()));
    }
    stage.untouched();
}

/// An ask on the ledger, by a worker that has nothing behind it.
async fn claim(stage: &Stage, (privacy, evidence): (Privacy, Mode)) {
    let terms = IAsks::Terms {
        privacy: privacy as u8,
        evidence: evidence as u8,
        price: 0,
        promptPrice: 1,
        completionPrice: 1,
        capacity: 1,
        validUntil: ask_end_s(),
        sealingKey: B256::repeat_byte(1),
        endpoint: stage.worker.server.url.clone(),
    };
    let client = &stage.ledger.client;
    client.bond(&wallet(1), Amount::coins(1)).await.unwrap();
    client.set_ask(&wallet(1), talk(), terms).await.unwrap();
}

/// What a worker asks without hardware, and what anyone can write: none of it is taken for a guest.
#[tokio::test(flavor = "multi_thread")]
async fn a_weaker_ask_is_never_used() {
    let world = amd();
    let without =
        |engine: &Server| WorkerPlan { attester: None, ..plan(&world, Guest::honest(&world), engine) };
    let stage = Stage::with(&world, without).await;
    let listed = stage.ledger.client.listing(talk()).await.unwrap().asks;
    assert_eq!(listed.len(), 1);
    claim(&stage, (Privacy::Enclave, Mode::Signed)).await;
    claim(&stage, (Privacy::Sealed, Mode::Attested)).await;
    let halves = [
        json!({"privacy": "enclave", "evidence": "signed"}),
        json!({"privacy": "sealed", "evidence": "attested"}),
    ];
    for provider in wishes().into_iter().chain(halves) {
        let response = stage.ask(json!({"provider": provider, "models": ["talk"]})).await;
        assert_eq!(code(response).await, (404, "no_worker".to_owned()), "{provider}");
    }
    stage.untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_claims_the_mode_without_such_hardware_gets_no_question() {
    let world = amd();
    let without =
        |engine: &Server| WorkerPlan { attester: None, ..plan(&world, Guest::honest(&world), engine) };
    let stage = Stage::with(&world, without).await;
    claim(&stage, (Privacy::Enclave, Mode::Attested)).await;
    let response = stage.ask(json!({"provider": {"privacy": "enclave"}})).await;
    assert_eq!(code(response).await, (502, "no_answer".to_owned()));
    stage.untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_for_another_key() {
    let world = amd();
    let stage = Stage::new(&world, Guest::honest(&world)).await;
    let reply = |path: &str, value: &mut Value| {
        if path == "/v1/attest" {
            value["key"] = json!(Bytes::from(SessionKey::random().public()));
        }
    };
    let (stage, _server) = stage.over(Door { request: |_, _| (), reply }).await;
    stage.refused(of_another_session()).await;
}

/// A worker that has a key for jobs vouched for, where one for streams was asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_kind() {
    let world = amd();
    let stage = Stage::new(&world, Guest::honest(&world)).await;
    let reply = |path: &str, value: &mut Value| {
        if path == "/v1/attest" {
            value["key"] = json!(B256::ZERO);
        }
    };
    let (stage, _server) = stage.over(Door { request: |_, _| (), reply }).await;
    stage.refused(AttestedReject::Key { expected: 1216, got: 32 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_for_another_model() {
    let world = amd();
    let both = |engine: &Server| WorkerPlan {
        languages: vec![in_guest("talk", engine), in_guest("other", engine)],
        ..plan(&world, Guest::honest(&world), engine)
    };
    let stage = Stage::with(&world, both).await;
    let request = |path: &str, value: &mut Value| {
        if path == "/v1/attest" {
            value["model_id"] = json!(language_model_id(&manifest("other")));
        }
    };
    let (stage, _server) = stage.over(Door { request, reply: |_, _| () }).await;
    stage.refused(of_another_session()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_for_another_nonce() {
    let world = amd();
    let stage = Stage::new(&world, Guest::honest(&world)).await;
    let request = |path: &str, value: &mut Value| {
        if path == "/v1/attest" {
            value["nonce"] = json!(B256::ZERO);
        }
    };
    let (stage, _server) = stage.over(Door { request, reply: |_, _| () }).await;
    stage.refused(of_another_session()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_replayed() {
    let world = amd();
    let stage = Stage::new(&world, Arc::new(Replaying::default())).await;
    // Somebody else's session comes first, and is what it says.
    let (_other, server) = judge(&stage.ledger, 3, judging(&world, stage.line)).await;
    stage.engine.say(1);
    assert_eq!(ask(&server, json!({"provider": {"privacy": "enclave"}})).await.status(), 200);
    let response = stage.ask(json!({"provider": {"privacy": "enclave"}})).await;
    assert_eq!(code(response).await, (502, "not_attested".to_owned()));
    assert!(stage.gateway.channels().unwrap().is_empty());
    assert_eq!(stage.engine.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_the_policy_does_not_accept() {
    let world = amd();
    let guest = Guest::that(&world, |world| {
        let Either::Amd(amd) = &mut world.cpu else { panic!("not AMD's") };
        amd.set(0x90, &[0xee]);
    });
    let stage = Stage::new(&world, guest.clone()).await;
    let response = stage.ask(json!({"provider": {"privacy": "enclave"}})).await;
    assert_eq!(code(response).await, (502, "not_attested".to_owned()));
    stage.untouched();
    assert_eq!(guest.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_the_policy_does_not_accept() {
    let world = amd();
    let ledger = ledger(&[1, 2, 3].map(|number| wallet(number).address())).await;
    let policy = policy(&world, B256::repeat_byte(7));
    let plan = |engine: &Server| plan(&world, Guest::honest(&world), engine);
    let stage = Stage::on(ledger, &world, plan, &policy).await;
    stage.refused(AttestedReject::Refused(Refusal::Model { got: talk() })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_may_be_debugged() {
    let world = amd();
    let guest = Guest::that(&world, |world| {
        let Either::Amd(amd) = &mut world.cpu else { panic!("not AMD's") };
        // Bit 19 of the guest's policy.
        let byte = amd.report[0x08 + 2] | 1 << 3;
        amd.set(0x08 + 2, &[byte]);
    });
    let stage = Stage::new(&world, guest.clone()).await;
    stage.refused(AttestedReject::Refused(Refusal::Amd(AmdError::Debug))).await;
    assert_eq!(guest.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_evidence() {
    let world = amd();
    let stage = Stage::new(&world, Guest::honest(&world)).await;
    let reply = |path: &str, value: &mut Value| {
        if path == "/v1/attest" {
            value["evidence"] = json!("AA==");
        }
    };
    let (stage, _server) = stage.over(Door { request: |_, _| (), reply }).await;
    stage.refused(AttestedReject::Evidence(DecodeError::Version { got: 0 })).await;
}

/// Restarts the worker with this hardware.
async fn restarted(stage: Stage, world: &World, then: Arc<dyn Attester>, disk: &Disk) -> Stage {
    let Stage { ledger, engine, engine_server, worker, gateway, server, line } = stage;
    let port = worker.server.url.rsplit(':').next().unwrap().parse().unwrap();
    drop(worker);
    let again = WorkerPlan { port, disk: disk.clone(), ..plan(world, then, &engine_server) };
    let worker = again.start_quietly(&ledger.client).await;
    Stage { ledger, engine, engine_server, worker, gateway, server, line }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_was_restarted_is_judged_again() {
    let (world, disk) = (amd(), Disk::default());
    let guest = Guest::honest(&world);
    let before = |engine: &Server| WorkerPlan { disk: disk.clone(), ..plan(&world, guest.clone(), engine) };
    let stage = Stage::with(&world, before).await;
    stage.answered().await;
    let first = stage.saved(1).await;
    let stage = restarted(stage, &world, guest.clone(), &disk).await;
    // Its keys are gone with it: no session opens what is sealed to one from before.
    stage.answered().await;
    assert_eq!(guest.asked(), 2);
    let second = stage.saved(2).await;
    for bundle in [&first, &second] {
        assert!(counted(bundle, &world).unwrap().attested().is_some());
    }
    assert_ne!(first.attested, second.attested);
}

/// The gateway looks for its channel anew, and has no session but the guest's, whose key is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_guests_key_that_is_gone_before_a_session_is_agreed() {
    let (world, disk) = (amd(), Disk::default());
    let guest = Guest::honest(&world);
    let before = |engine: &Server| WorkerPlan { disk: disk.clone(), ..plan(&world, guest.clone(), engine) };
    let stage = Stage::with(&world, before).await;
    stage.answered().await;
    stage.gateway.retire_all().unwrap();
    let stage = restarted(stage, &world, guest.clone(), &disk).await;
    stage.answered().await;
    assert_eq!(guest.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_another_key_after_the_session_gets_nothing() {
    let (world, disk) = (amd(), Disk::default());
    let guest = Guest::honest(&world);
    let before = |engine: &Server| WorkerPlan { disk: disk.clone(), ..plan(&world, guest.clone(), engine) };
    let stage = Stage::with(&world, before).await;
    stage.answered().await;
    let stage = restarted(stage, &world, Arc::new(Broken), &disk).await;
    let response = stage.ask(json!({"provider": {"privacy": "enclave"}})).await;
    assert_eq!(code(response).await, (502, "no_answer".to_owned()));
    assert_eq!(stage.engine.asked.load(Ordering::SeqCst), 1);
}

/// What time it is for the worker and the gateway of the test below.
static NOW: AtomicU64 = AtomicU64::new(AMD_NOW);

struct Shared;

impl Clock for Shared {
    fn unix_time_s(&self) -> u64 {
        NOW.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_used_for_ten_minutes() {
    let world = amd();
    let guest = Guest::honest(&world);
    let plan =
        |engine: &Server| WorkerPlan { clock: Arc::new(Shared), ..plan(&world, guest.clone(), engine) };
    let Stage { ledger, engine, engine_server, worker, line, .. } = Stage::with(&world, plan).await;
    let clock = || NOW.load(Ordering::SeqCst);
    let (gateway, server) = judge(&ledger, 2, Attestation::trusting(line, world.trust(), clock)).await;
    let stage = Stage { ledger, engine, engine_server, worker, gateway, server, line };
    for (seconds, asked) in [(0, 1), (599, 1), (600, 2)] {
        NOW.store(AMD_NOW + seconds, Ordering::SeqCst);
        stage.answered().await;
        assert_eq!(guest.asked(), asked, "after {seconds} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_was_narrowed_meanwhile() {
    let world = amd();
    let ledger =
        ledger_staked(&[1, 2, 3].map(|number| wallet(number).address()), VALIDATOR, wallet(3).address())
            .await;
    // The first policy accepts another image too; the second accepts that one alone.
    let other = ImageId(B256::repeat_byte(9));
    let mut both = world.clone();
    both.rules.images.push(other);
    let first = policy(&both, talk());
    both.rules.images = vec![other];
    let second = policy(&both, talk());
    let guest = Guest::honest(&world);
    let plan = |engine: &Server| plan(&world, guest.clone(), engine);
    let stage = Stage::on(ledger, &world, plan, &first).await;
    stage.answered().await;
    let client = &stage.ledger.client;
    let proposal = accept(client, stage.line, &second).await;
    stage.answered().await;
    stage.ledger.wait_s(NARROW_DELAY_S + 1).await;
    client.settle_policy(&wallet(3), proposal).await.unwrap();
    // A session that lasts is of no use under another policy.
    let response = stage.ask(json!({"provider": {"privacy": "enclave"}})).await;
    assert_eq!(code(response).await, (502, "not_attested".to_owned()));
    assert_eq!((stage.engine.asked.load(Ordering::SeqCst), guest.asked()), (2, 2));
}

struct Moving(Arc<AtomicU64>);

impl Clock for Moving {
    fn unix_time_s(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_time() {
    let world = amd();
    let now = Arc::new(AtomicU64::new(AMD_NOW));
    let plan = |engine: &Server| WorkerPlan {
        clock: Arc::new(Moving(Arc::clone(&now))),
        ..plan(&world, Guest::honest(&world), engine)
    };
    let stage = Stage::with(&world, plan).await;
    stage.answered().await;
    now.fetch_add(600, Ordering::SeqCst);
    stage.engine.say(1);
    let response = stage.ask(json!({"provider": {"privacy": "enclave"}})).await;
    assert_eq!(code(response).await, (502, "dishonest_worker".to_owned()));
    let distrust = stage.gateway.store().distrust(wallet(1).address()).unwrap().unwrap();
    assert_eq!(distrust.code, "stream_guest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_whose_evidence_was_exchanged() {
    let world = amd();
    let stage = Stage::new(&world, Guest::honest(&world)).await;
    stage.answered().await;
    let good = stage.saved(1).await;
    let (other, server) = judge(&stage.ledger, 3, judging(&world, stage.line)).await;
    stage.engine.say(1);
    assert_eq!(ask(&server, json!({"provider": {"privacy": "enclave"}})).await.status(), 200);
    let other = saved(&other, 1).await;
    let _ = counted(&other, &world).unwrap();
    let exchanged = StreamBundle { attested: other.attested.clone(), ..good.clone() };
    assert!(matches!(counted(&exchanged, &world), Err(BundleReject::Bill)));
    // Evidence is there exactly where the receipt stands on it.
    let without = StreamBundle { attested: None, ..good };
    assert!(matches!(counted(&without, &world), Err(BundleReject::Attestation)));
    stage.engine.say(1);
    assert_eq!(stage.ask(json!({})).await.status(), 200);
    let plain = StreamBundle { attested: other.attested, ..stage.saved(2).await };
    assert!(matches!(counted(&plain, &world), Err(BundleReject::Attestation)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_what_a_receipt_stands_on_counts() {
    let world = amd();
    let stage = Stage::new(&world, Guest::honest(&world)).await;
    stage.answered().await;
    let good = stage.saved(1).await;
    let with = |change: &dyn Fn(&mut AttestedMessages)| {
        let mut bad = good.clone();
        change(bad.attested.as_mut().unwrap());
        verify_stream_under(&bad, None, &world.trust())
    };
    let refused = |found: Result<VerifiedStream, BundleReject>| match found {
        Err(BundleReject::Answer(AnswerReject::Attestation(reject))) => *reject,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(with(&|messages| messages.key = Bytes::new())), of_another_session());
    assert_eq!(refused(with(&|messages| messages.nonce = B256::ZERO)), of_another_session());
    let short = refused(with(&|messages| messages.policy.truncate(messages.policy.len() - 1)));
    assert_eq!(short, AttestedReject::Policy(DecodeError::Short));
    let bytes = good.attested.as_ref().unwrap().evidence.len();
    for at in (0..bytes).step_by(bytes / 40) {
        assert!(with(&|messages| messages.evidence[at] ^= 1).is_err(), "byte {at}");
    }
    // Another policy is another policy, and says so.
    let mut lax = world.clone();
    lax.rules.images.push(ImageId(B256::ZERO));
    let lax = policy(&lax, talk());
    let found = with(&|messages| messages.policy = lax.encode()).unwrap();
    assert_eq!(found.attested().unwrap().policy, lax.id());
    // The bill is as bound as without a guest.
    let mut bill = good.clone();
    bill.bill.tokens.completion -= 1;
    assert!(matches!(counted(&bill, &world), Err(BundleReject::Bill)));
    let mut mode = good;
    mode.receipt.receipt.privacy = Privacy::Sealed as u8;
    assert!(matches!(counted(&mode, &world), Err(BundleReject::Mode)));
}
