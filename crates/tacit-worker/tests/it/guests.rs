//! Sessions with a guest about a language model. What hardware shows is judged by clients; what is refused here is refused before anything is done for it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use alloy_primitives::B256;
use tacit_abi::{Evidence as Mode, Privacy};
use tacit_attest::{CpuEvidence, Evidence};
use tacit_wire::{
    http::HttpError,
    language::{GUEST_MODE, MODE},
    message::{AttestRequest, GuestKey},
    session::SESSION_KEY_BYTES,
    stream::{EndReason, StreamHead},
};
use tacit_worker::{AttestError, Attester, LanguageEngine, LanguageError, LanguageModel, attest::SESSION_S};

use crate::{
    client::Client,
    engine::ENGINE_MODEL,
    support::{BODY, PRICES, PROMPT, Plan, Scene, WEIGHTS, manifest, model_id, other_manifest, tokenizer},
};

const REPORT: &[u8] = include_bytes!("../../../tacit-attest/tests/data/snp-milan.report");

/// Hardware that puts whatever it is asked into a report.
struct Hardware;

impl Attester for Hardware {
    fn attest(&self, report_data: &[u8; 64], _: &[u8; 32]) -> Result<Evidence, AttestError> {
        let mut report = Box::new(<[u8; 1184]>::try_from(REPORT).unwrap());
        report[0x50..0x90].copy_from_slice(report_data);
        let cpu = CpuEvidence::Amd { report, vcek: Vec::new() };
        Ok(Evidence { cpu, gpus: Vec::new(), references: Vec::new() })
    }
}

fn guest() -> Plan {
    Plan { attester: Some(Arc::new(Hardware)), ..Plan::default() }
}

fn about(model_id: B256) -> AttestRequest {
    AttestRequest { model_id, nonce: B256::repeat_byte(4), kind: GuestKey::Streams }
}

/// A session with the guest, and a client in it.
async fn in_guest(scene: &Scene) -> Client {
    let session = scene.client.attest(about(model_id())).await.unwrap();
    assert_eq!(session.key.len(), SESSION_KEY_BYTES);
    scene.client.with_guest(3, &session, 0).await.unwrap()
}

fn code<T>(refused: Result<T, HttpError>) -> String {
    match refused {
        Err(HttpError::Refused { body, .. }) => body.code,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("not refused"),
    }
}

#[tokio::test]
async fn a_guest_answers_and_signs_what_vouched_for_it() {
    let scene = Scene::with(guest()).await;
    let modes = |terms: &[tacit_wire::language::TokenTerms]| {
        terms.iter().map(|ask| (ask.privacy, ask.evidence)).collect::<Vec<_>>()
    };
    assert_eq!(modes(&scene.client.language().await.asks), [MODE, GUEST_MODE]);
    let listed = scene.ledger.client.listing(model_id()).await.unwrap().asks;
    let listed: Vec<_> = listed.iter().map(|ask| (ask.terms.privacy, ask.terms.evidence)).collect();
    assert_eq!(listed.len(), 2);
    assert!(listed.contains(&(Privacy::Enclave as u8, Mode::Attested as u8)), "{listed:?}");
    let client = in_guest(&scene).await;
    let mut answer = client.ask().await;
    let talk = scene.engine.begins().await;
    talk.event("abc").await;
    drop(talk);
    // The client checks mode, bill and evidence.
    let end = answer.end().await;
    assert_eq!((end.reason, end.receipt.receipt.price), (EndReason::Complete, PROMPT + 9));
    // The same account pays for both kinds of sessions.
    let mut answer = scene.client.ask().await;
    drop(scene.engine.begins().await);
    answer.end().await;
}

#[tokio::test]
async fn nothing_is_vouched_for_without_hardware() {
    let scene = Scene::new().await;
    assert_eq!(scene.client.language().await.asks.len(), 1);
    assert_eq!(scene.ledger.client.listing(model_id()).await.unwrap().asks.len(), 1);
    assert_eq!(code(scene.client.attest(about(model_id())).await), "unsupported_mode");
}

/// The engine of the other model is somewhere else, or its weights were not hashed: hardware says nothing of it.
#[tokio::test]
async fn no_session_is_about_a_model_whose_weights_were_not_hashed() {
    let scene = Scene::with(Plan { away: vec!["http://127.0.0.1:1".to_owned()], ..guest() }).await;
    let other = other_manifest(0).write().unwrap().1;
    assert_eq!(code(scene.client.attest(about(other)).await), "unsupported_mode");
    assert_eq!(code(scene.client.attest(about(B256::ZERO)).await), "unknown_model");
    let for_jobs = AttestRequest { kind: GuestKey::Jobs, ..about(model_id()) };
    assert_eq!(code(scene.client.attest(for_jobs).await), "unknown_model");
}

#[tokio::test]
async fn a_session_with_a_guest_is_for_its_mode_and_its_model() {
    let scene = Scene::with(Plan { away: vec!["http://127.0.0.1:1".to_owned()], ..guest() }).await;
    let client = in_guest(&scene).await;
    let refusal = async |client: &Client, head: StreamHead| client.ask_with(head, BODY).await.refusal().await;
    let (privacy, evidence) = MODE;
    let weaker = StreamHead { privacy, evidence, ..client.head() };
    assert_eq!(refusal(&client, weaker).await.code, "unsupported_mode");
    let other = StreamHead { model_id: other_manifest(0).write().unwrap().1, ..client.head() };
    assert_eq!(refusal(&client, other).await.code, "no_session");
    // Nor is the worker's own key a guest's.
    let claimed = StreamHead { privacy: GUEST_MODE.0, evidence: GUEST_MODE.1, ..scene.client.head() };
    assert_eq!(refusal(&scene.client, claimed).await.code, "unsupported_mode");
}

#[tokio::test]
async fn a_key_that_no_session_has() {
    let scene = Scene::with(guest()).await;
    let mut session = scene.client.attest(about(model_id())).await.unwrap();
    session.key = tacit_wire::session::SessionKey::random().public().into();
    assert_eq!(code(scene.client.with_guest(3, &session, 0).await), "no_session");
    // The worker's own key has no session either.
    session.key = scene.client.language().await.session_key.into();
    assert_eq!(code(scene.client.with_guest(3, &session, 0).await), "no_session");
}

#[tokio::test]
async fn a_guest_forgets_its_key_after_a_quarter_of_an_hour() {
    let ahead_s = Arc::new(AtomicI64::new(0));
    let scene = Scene::with(Plan { ahead_s: Arc::clone(&ahead_s), ..guest() }).await;
    let session = scene.client.attest(about(model_id())).await.unwrap();
    let client = scene.client.with_guest(3, &session, 0).await.unwrap();
    let later = |seconds: u64| ahead_s.store(i64::try_from(seconds).unwrap(), Ordering::SeqCst);
    // Some seconds may pass while this runs.
    later(SESSION_S - 60);
    assert!(client.ask_numbered(0, client.head(), BODY).await.is_ok());
    assert!(scene.client.with_guest(3, &session, SESSION_S - 60).await.is_ok());
    later(SESSION_S);
    let (status, refusal) = client.ask_numbered(1, client.head(), BODY).await.err().unwrap();
    assert_eq!((status, refusal.code.as_str()), (410, "unknown_session"));
    assert_eq!(code(scene.client.with_guest(3, &session, SESSION_S).await), "no_session");
}

fn model(url: &str, weights: &Path) -> Result<LanguageModel, LanguageError> {
    let engine = LanguageEngine::new(url, ENGINE_MODEL).unwrap();
    let manifest = manifest().write().unwrap().0;
    LanguageModel::new(manifest, tokenizer(), PRICES, 1, engine).unwrap().in_guest(weights)
}

const HERE: &str = "http://127.0.0.1:1/v1";

#[test]
fn weights_of_another_hash_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights");
    std::fs::write(&weights, WEIGHTS).unwrap();
    assert!(model(HERE, &weights).is_ok());
    std::fs::write(&weights, [WEIGHTS, b"."].concat()).unwrap();
    match model(HERE, &weights).err() {
        Some(LanguageError::OtherWeights { expected, got }) => {
            assert_eq!(expected, manifest().weights);
            assert_eq!(got, B256::from(*blake3::hash(b"weights.").as_bytes()));
        }
        other => panic!("{other:?}"),
    }
    let missing = folder.path().join("missing");
    let refused = model(HERE, &missing).err();
    assert!(matches!(&refused, Some(LanguageError::Weights { path, .. }) if *path == missing), "{refused:?}");
}

#[test]
fn an_engine_that_may_be_outside_of_the_guest_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights");
    std::fs::write(&weights, WEIGHTS).unwrap();
    for elsewhere in ["http://10.0.0.1:8000", "http://localhost:8000", "http://127.0.0.1.example"] {
        let refused = model(elsewhere, &weights).err();
        assert!(
            matches!(&refused, Some(LanguageError::EngineElsewhere { engine }) if engine == elsewhere),
            "{refused:?}"
        );
    }
}
