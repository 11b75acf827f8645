//! Guests that are judged before they are asked: one attack per test. Whatever is refused was sealed to nobody and is paid by nobody.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes, b256};
use tacit_abi::{Evidence as Mode, IAsks, Privacy, policies::NARROW_DELAY_S};
use tacit_attest::{
    AmdError, Binding, DecodeError, Evidence, ImageId, Refusal, TcbStatus, VersionField, verify,
};
use tacit_gateway::{
    AnswerReject, Asked, AttestedReject, Bundle, BundleReject, Gateway, GatewayError, check::check,
    verify_bundle, verify_bundle_under,
};
use tacit_nvidia::GpuError;
use tacit_wire::{
    Amount, AnswerEvidence, JobHeader, JobId, LedgerClient, Output, SealingKey,
    http::{HttpError, JsonClient},
    ledger::ask_end_s,
    message::{AttestRequest, AttestResponse, GuestKey},
    session::{SESSION_KEY_BYTES, SessionKey},
};
use tacit_worker::{Attester, attest::SESSIONS_PER_SECOND_MAX};

use crate::{
    dishonest::sign,
    disk::Disk,
    files::AMD_NOW,
    guests::{
        At, Broken, Door, Guest, Replaying, Scene, accept, amd, bind, guest_question, in_guest, judging,
        open_line, plan, policy,
    },
    support::{
        Ledger, PRICE, RunningWorker, WorkerPlan, expected_label, gateway, gateway_judging, honest,
        ledger_staked, model, other_model, question, served, wallet,
    },
    world::{Either, World},
};

/// Asks twice, expects to be refused both times with nothing sealed, sent or paid, and the hardware to have been asked once.
async fn refused(scene: &Scene, guest: Option<&Guest>) -> Refusal {
    let reject = match scene.gateway.ask(guest_question(1)).await {
        Err(GatewayError::EvidenceRefused { worker, reject }) if worker == scene.worker.worker.address() => {
            reject
        }
        other => panic!("not refused for its evidence: {other:?}"),
    };
    assert!(!reject.hint().is_empty());
    let again = scene.gateway.ask(guest_question(1)).await.unwrap_err();
    assert!(
        matches!(&again, GatewayError::NotAttested { reason, .. } if *reason == reject.to_string()),
        "{again}"
    );
    untouched(scene).await;
    assert!(guest.is_none_or(|guest| guest.asked() == 1));
    // Nothing is held against it: where its hardware is not asked for, it may answer.
    assert!(scene.gateway.ask(question(1)).await.unwrap().paid);
    match *reject {
        AttestedReject::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

/// Nothing was opened, sent or promised.
async fn untouched(scene: &Scene) {
    assert!(scene.gateway.status().await.unwrap().channels.is_empty());
    let earned = scene.worker.worker.earnings().unwrap();
    assert_eq!((earned.jobs, earned.vouchered), (0, Amount::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_answers_is_paid_and_its_receipt_is_checked_offline() {
    let world = amd();
    let guest = Guest::honest(&world);
    let scene = Scene::new(&world, guest.clone()).await;
    let answer = scene.gateway.ask(guest_question(1)).await.unwrap();
    assert_eq!(answer.label, Some(expected_label(&question(1))));
    assert_eq!((answer.privacy, answer.evidence), (Privacy::Enclave, Mode::Attested));
    assert!(answer.paid && !answer.verified);
    assert_eq!(scene.worker.worker.earnings().unwrap().vouchered, PRICE);
    // One session for the questions of a while.
    assert!(scene.gateway.ask(guest_question(2)).await.unwrap().paid);
    assert_eq!(guest.asked(), 1);

    let bundle = scene.gateway.bundle(answer.job_id).unwrap();
    let file = serde_json::to_vec(&bundle).unwrap();
    let bundle = Bundle::from_json(&file).unwrap();
    let verified = verify_bundle_under(&bundle, &world.trust()).unwrap();
    let shown = verified.attested().unwrap();
    assert_eq!(shown.policy, policy(&world, in_guest().model_id()).id());
    assert_eq!((ImageId(shown.image), shown.gpus), (world.rules.images[0], 2));
    assert!(shown.cpu.starts_with("AMD SEV-SNP on Milan"), "{}", shown.cpu);
    let messages = bundle.attested.as_ref().unwrap();
    let evidence = Evidence::decode(&messages.evidence).unwrap();
    let key = B256::from(*blake3::hash(&messages.key).as_bytes());
    assert_eq!((shown.evidence, shown.key), (evidence.id(), key));
    assert!(!format!("{messages:?}").contains(&messages.nonce.to_string()));
    // The receipt commits to that id, salted, and to nothing else.
    let receipt = &bundle.receipt.receipt;
    assert_eq!((receipt.privacy, receipt.evidence), (Privacy::Enclave as u8, Mode::Attested as u8));
    assert_eq!(receipt.completedAt, AMD_NOW);
    // Whoever believes in Intel, AMD and NVIDIA alone believes nothing of it.
    assert!(matches!(verify_bundle(&bundle), Err(BundleReject::Answer(AnswerReject::Attestation(_)))));
    let checked = scene.gateway.verify_receipt(answer.job_id).await.unwrap();
    assert!(checked.verified, "{checked:?}");
    assert!(checked.checks.iter().any(|check| check.detail.contains("model and key, by policy")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tdx_guest_answers_likewise() {
    let world = World::intel();
    let scene = Scene::new(&world, Guest::honest(&world)).await;
    let answer = scene.gateway.ask(guest_question(3)).await.unwrap();
    assert_eq!(answer.label, Some(expected_label(&question(3))));
    let bundle = scene.gateway.bundle(answer.job_id).unwrap();
    let verified = verify_bundle_under(&bundle, &world.trust()).unwrap();
    assert_eq!(verified.attested().unwrap().cpu, "Intel TDX, firmware up to date");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_may_be_named_by_its_own_hash() {
    let world = amd();
    let scene = Scene::new(&world, Guest::honest(&world)).await;
    let id = policy(&world, in_guest().model_id()).id();
    let pinned = gateway_judging(&scene.ledger.client, 3, &Disk::default(), judging(&world, id));
    assert!(pinned.ask(guest_question(1)).await.unwrap().paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_without_a_policy_that_the_ledger_has() {
    let world = amd();
    let scene = Scene::new(&world, Guest::honest(&world)).await;
    let without = gateway(&scene.ledger.client, 3);
    assert!(matches!(without.ask(guest_question(1)).await, Err(GatewayError::NoPolicy)));
    let name = B256::repeat_byte(9);
    let unknown = gateway_judging(&scene.ledger.client, 3, &Disk::default(), judging(&world, name));
    let refused = unknown.ask(guest_question(1)).await;
    assert!(matches!(refused, Err(GatewayError::UnknownPolicy { policy }) if policy == name), "{refused:?}");
    untouched(&scene).await;
}

/// A node that gives something else for a policy's name, and one that gives a line for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_its_name_is_no_hash_of() {
    static NAMES: std::sync::OnceLock<[String; 3]> = std::sync::OnceLock::new();
    let world = amd();
    let scene = Scene::new(&world, Guest::honest(&world)).await;
    let id = policy(&world, in_guest().model_id()).id();
    let mut lax = world.clone();
    lax.rules.images.push(ImageId(B256::ZERO));
    let lax = policy(&lax, in_guest().model_id());
    let line = open_line(&scene.ledger.client, &lax).await;
    NAMES.set([id, lax.id(), line].map(alloy_primitives::hex::encode)).unwrap();
    let another_policy = |_: &str, value: &mut serde_json::Value| {
        let [name, lax, _] = NAMES.get().unwrap();
        *value = serde_json::from_str(&value.to_string().replace(name, lax)).unwrap();
    };
    let a_line = |_: &str, value: &mut serde_json::Value| {
        let ([name, _, line], text) = (NAMES.get().unwrap(), value.to_string());
        *value = serde_json::from_str(&text.replace(name, line)).unwrap();
    };
    let lies: [fn(&str, &mut serde_json::Value); 2] = [another_policy, a_line];
    for request in lies {
        let node = Door { request, reply: |_, _| () }.before(scene.ledger.client.url()).await;
        let client = LedgerClient::connect(&node.url).await.unwrap();
        let deceived = gateway_judging(&client, 3, &Disk::default(), judging(&world, id));
        let refused = deceived.ask(guest_question(1)).await;
        assert!(matches!(refused, Err(GatewayError::FalsePolicy { policy }) if policy == id), "{refused:?}");
    }
    untouched(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_for_another_key() {
    let world = amd();
    let scene = Scene::new(&world, Guest::honest(&world)).await;
    let reply = |path: &str, value: &mut serde_json::Value| {
        if path == "/v1/attest" {
            value["key"] = serde_json::json!(SealingKey::random().public());
        }
    };
    let (scene, _server) = scene.over(Door { request: |_, _| (), reply }).await;
    assert_eq!(refused(&scene, None).await, Refusal::ReportData);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_kind() {
    let world = amd();
    let scene = Scene::new(&world, Guest::honest(&world)).await;
    let reply = |path: &str, value: &mut serde_json::Value| {
        if path == "/v1/attest" {
            value["key"] = serde_json::json!(Bytes::from(SessionKey::random().public()));
        }
    };
    let (scene, _server) = scene.over(Door { request: |_, _| (), reply }).await;
    match scene.gateway.ask(guest_question(1)).await {
        Err(GatewayError::EvidenceRefused { reject, .. }) => {
            assert_eq!(*reject, AttestedReject::Key { expected: 32, got: SESSION_KEY_BYTES });
            assert_eq!(reject.code(), "attested_key");
        }
        other => panic!("{other:?}"),
    }
    untouched(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_for_another_model() {
    let world = amd();
    let other =
        served(&other_model(), "other", Arc::new(tacit_worker::GraphEngine::new(other_model())), PRICE);
    let other = other.ask(Privacy::Enclave, Mode::Attested, PRICE);
    static OTHER: std::sync::OnceLock<B256> = std::sync::OnceLock::new();
    OTHER.set(other.model_id()).unwrap();
    let plan = WorkerPlan { models: vec![in_guest(), other], ..plan(&world, Guest::honest(&world)) };
    let scene = Scene::under(&world, plan, &policy(&world, in_guest().model_id())).await;
    let request = |path: &str, value: &mut serde_json::Value| {
        if path == "/v1/attest" {
            value["model_id"] = serde_json::json!(OTHER.get());
        }
    };
    let (scene, _server) = scene.over(Door { request, reply: |_, _| () }).await;
    assert_eq!(refused(&scene, None).await, Refusal::ReportData);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_for_another_nonce() {
    let world = amd();
    let scene = Scene::new(&world, Guest::honest(&world)).await;
    let request = |path: &str, value: &mut serde_json::Value| {
        if path == "/v1/attest" {
            value["nonce"] = serde_json::json!(B256::ZERO);
        }
    };
    let (scene, _server) = scene.over(Door { request, reply: |_, _| () }).await;
    assert_eq!(refused(&scene, None).await, Refusal::ReportData);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_replayed() {
    let world = amd();
    let scene = Scene::new(&world, Arc::new(Replaying::default())).await;
    // Somebody else's session comes first, and is what it says.
    let other = gateway_judging(&scene.ledger.client, 3, &Disk::default(), judging(&world, scene.line));
    assert!(other.ask(guest_question(1)).await.unwrap().paid);
    match scene.gateway.ask(guest_question(1)).await {
        Err(GatewayError::EvidenceRefused { reject, .. }) => {
            assert_eq!(*reject, AttestedReject::Refused(Refusal::ReportData));
            assert_eq!(reject.code(), "attested_session");
        }
        other => panic!("{other:?}"),
    }
    assert!(scene.gateway.status().await.unwrap().channels.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_the_policy_does_not_accept() {
    let world = amd();
    let guest = Guest::that(&world, |world| {
        let Either::Amd(amd) = &mut world.cpu else { panic!("not AMD's") };
        amd.set(0x90, &[0xee]);
    });
    let scene = Scene::new(&world, guest.clone()).await;
    let found = refused(&scene, Some(&guest)).await;
    assert!(matches!(found, Refusal::Image { got } if got != world.rules.images[0]), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_the_policy_does_not_accept() {
    let world = amd();
    let guest = Guest::honest(&world);
    let policy = policy(&world, B256::repeat_byte(7));
    let scene = Scene::under(&world, plan(&world, guest.clone()), &policy).await;
    assert_eq!(refused(&scene, Some(&guest)).await, Refusal::Model { got: in_guest().model_id() });
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
    let scene = Scene::new(&world, guest.clone()).await;
    assert_eq!(refused(&scene, Some(&guest)).await, Refusal::Amd(AmdError::Debug));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_of_another_session() {
    let world = amd();
    let guest = Guest::that(&world, |world| world.nvidia.edit(1, |report| report[4..36].fill(7)));
    let scene = Scene::new(&world, guest.clone()).await;
    assert_eq!(refused(&scene, Some(&guest)).await, Refusal::Gpu { at: 1, error: GpuError::Nonce });
}

#[tokio::test(flavor = "multi_thread")]
async fn firmware_that_is_too_old() {
    let world = amd();
    let mut strict = world.clone();
    strict.rules.amd.as_mut().unwrap().versions_min[0].1.snp += 1;
    let policy = policy(&strict, in_guest().model_id());
    let guest = Guest::honest(&world);
    let scene = Scene::under(&world, plan(&world, guest.clone()), &policy).await;
    let found = refused(&scene, Some(&guest)).await;
    assert!(matches!(found, Refusal::Firmware { field: VersionField::Snp, .. }), "{found}");

    let world = World::intel();
    let mut strict = world.clone();
    let rules = strict.rules.intel.as_mut().unwrap();
    rules.statuses = [TcbStatus::SoftwareHardeningNeeded].into();
    let policy = self::policy(&strict, in_guest().model_id());
    let scene = Scene::under(&world, plan(&world, Guest::honest(&world)), &policy).await;
    assert_eq!(refused(&scene, None).await, Refusal::Status { got: TcbStatus::UpToDate });
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_evidence() {
    let world = amd();
    let scene = Scene::new(&world, Guest::honest(&world)).await;
    let reply = |path: &str, value: &mut serde_json::Value| {
        if path == "/v1/attest" {
            value["evidence"] = serde_json::json!("AA==");
        }
    };
    let (scene, _server) = scene.over(Door { request: |_, _| (), reply }).await;
    match scene.gateway.ask(guest_question(1)).await {
        Err(GatewayError::EvidenceRefused { reject, .. }) => {
            assert_eq!(*reject, AttestedReject::Evidence(DecodeError::Version { got: 0 }));
        }
        other => panic!("{other:?}"),
    }
    untouched(&scene).await;
}

/// A point of full order: a validator's key that nobody signs with here.
pub(crate) const VALIDATOR: B256 = b256!("5866666666666666666666666666666666666666666666666666666666666666");

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
    let first = policy(&both, in_guest().model_id());
    both.rules.images = vec![other];
    let second = policy(&both, in_guest().model_id());
    let line = open_line(&ledger.client, &first).await;
    let guest = Guest::honest(&world);
    let worker = plan(&world, guest.clone()).start(&ledger.client).await;
    let gateway = gateway_judging(&ledger.client, 2, &Disk::default(), judging(&world, line));
    assert!(gateway.ask(guest_question(1)).await.unwrap().paid);

    let (client, validator) = (&ledger.client, wallet(3));
    let proposal = accept(client, line, &second).await;
    let (found, tally) = client.policy_proposal(proposal).await.unwrap();
    assert!(found.narrows && found.status == 2 && tally.approving == tally.total);
    // While it waits, the policy before is in force.
    assert!(client.settle_policy(&validator, proposal).await.is_err());
    assert!(gateway.ask(guest_question(2)).await.unwrap().paid);
    ledger.wait_s(NARROW_DELAY_S + 1).await;
    client.settle_policy(&validator, proposal).await.unwrap();
    assert_eq!(client.policy_line(line).await.unwrap().policy, second.id());

    let signed = gateway.status().await.unwrap().channels[0].signed;
    match gateway.ask(guest_question(3)).await {
        Err(GatewayError::EvidenceRefused { reject, .. }) => {
            assert!(matches!(*reject, AttestedReject::Refused(Refusal::Image { .. })), "{reject}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(gateway.status().await.unwrap().channels[0].signed, signed);
    assert_eq!((worker.worker.earnings().unwrap().jobs, guest.asked()), (2, 2));
}

/// A worker that answered one question, and was restarted with this hardware.
async fn restarted(
    world: &World,
    first: Arc<dyn Attester>,
    then: Arc<dyn Attester>,
) -> (RunningWorker, Arc<Gateway>, Ledger) {
    let disk = Disk::default();
    let before = WorkerPlan { disk: disk.clone(), ..plan(world, first) };
    let scene = Scene::under(world, before, &policy(world, in_guest().model_id())).await;
    assert!(scene.gateway.ask(guest_question(1)).await.unwrap().paid);
    let Scene { ledger, worker, gateway, .. } = scene;
    let port = worker.server.url.rsplit(':').next().unwrap().parse().unwrap();
    drop(worker);
    let again = WorkerPlan { port, disk, ..plan(world, then) };
    (again.start_quietly(&ledger.client).await, gateway, ledger)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_was_restarted_is_judged_again() {
    let world = amd();
    let guest = Guest::honest(&world);
    let (again, gateway, _ledger) = restarted(&world, guest.clone(), guest.clone()).await;
    // Its keys are gone with it: what is sealed to the session from before opens nowhere.
    assert!(gateway.ask(guest_question(2)).await.unwrap().paid);
    assert_eq!(guest.asked(), 2);
    assert_eq!(again.worker.earnings().unwrap().vouchered, Amount(2 * PRICE.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_another_key_after_the_session_gets_nothing() {
    let world = amd();
    let (again, gateway, _ledger) = restarted(&world, Guest::honest(&world), Arc::new(Broken)).await;
    match gateway.ask(guest_question(2)).await {
        Err(GatewayError::Refused { code, .. }) => assert_eq!(code, "attest_failed"),
        other => panic!("{other:?}"),
    }
    assert_eq!(gateway.status().await.unwrap().channels[0].signed, PRICE);
    assert_eq!(again.worker.earnings().unwrap().vouchered, PRICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_such_hardware_does_not_ask_for_the_mode() {
    let world = amd();
    let plan = WorkerPlan { attester: None, ..plan(&world, Guest::honest(&world)) };
    let scene = Scene::under(&world, plan, &policy(&world, in_guest().model_id())).await;
    let terms = scene.worker.worker.terms();
    assert!(terms[0].asks.iter().all(|ask| ask.evidence != Mode::Attested));
    let refused = scene.gateway.ask(guest_question(1)).await;
    assert!(matches!(refused, Err(GatewayError::NoAsk { .. })), "{refused:?}");
    // Nor do half of the two modes go without the other, whatever hardware there is.
    let halves =
        honest().ask(Privacy::Enclave, Mode::Signed, PRICE).ask(Privacy::Sealed, Mode::Attested, PRICE);
    assert_eq!(halves.asks(), honest().asks());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_claims_the_mode_without_such_hardware_gets_no_question() {
    let world = amd();
    let plan = WorkerPlan { attester: None, ..plan(&world, Guest::honest(&world)) };
    let scene = Scene::under(&world, plan, &policy(&world, in_guest().model_id())).await;
    // Anyone can write an ask: stake backs it, and hardware does not.
    let terms = IAsks::Terms {
        privacy: Privacy::Enclave as u8,
        evidence: Mode::Attested as u8,
        price: PRICE.0,
        promptPrice: 0,
        completionPrice: 0,
        capacity: 1,
        validUntil: ask_end_s(),
        sealingKey: SealingKey::random().public(),
        endpoint: scene.worker.server.url.clone(),
    };
    let client = &scene.ledger.client;
    client.bond(&wallet(1), Amount::coins(1)).await.unwrap();
    client.set_ask(&wallet(1), in_guest().model_id(), terms).await.unwrap();
    match scene.gateway.ask(guest_question(1)).await {
        Err(GatewayError::Refused { code, .. }) => assert_eq!(code, "unsupported_mode"),
        other => panic!("{other:?}"),
    }
    untouched(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_time() {
    let world = amd();
    let plan = WorkerPlan { clock: Arc::new(At(AMD_NOW + 86_400)), ..plan(&world, Guest::honest(&world)) };
    let scene = Scene::under(&world, plan, &policy(&world, in_guest().model_id())).await;
    match scene.gateway.ask(guest_question(1)).await {
        Err(GatewayError::Rejected { reject, .. }) => {
            assert!(
                matches!(*reject, AnswerReject::CompletedAt { got, .. } if got == AMD_NOW + 86_400),
                "{reject}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(scene.worker.worker.earnings().unwrap().vouchered, Amount::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn hardware_is_asked_so_often_in_a_second_and_no_more() {
    let world = amd();
    let guest = Guest::honest(&world);
    let scene = Scene::new(&world, guest.clone()).await;
    let client = JsonClient::new(core::time::Duration::from_secs(30)).unwrap();
    let url = format!("{}/v1/attest", scene.worker.server.url);
    let ask = |model_id, nonce| {
        let (client, url) = (client.clone(), url.clone());
        async move {
            client
                .post::<_, AttestResponse>(
                    &url,
                    &AttestRequest { model_id, nonce, kind: GuestKey::Jobs },
                    8 << 20,
                )
                .await
        }
    };
    let model_id = in_guest().model_id();
    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..SESSIONS_PER_SECOND_MAX {
        keys.insert(ask(model_id, B256::ZERO).await.unwrap().key);
    }
    assert_eq!(keys.len(), SESSIONS_PER_SECOND_MAX as usize);
    let code = |reply: Result<AttestResponse, HttpError>| match reply {
        Err(HttpError::Refused { body, .. }) => body.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(ask(model_id, B256::ZERO).await), "busy");
    assert_eq!(code(ask(B256::ZERO, B256::ZERO).await), "unknown_model");
    assert_eq!(guest.asked(), SESSIONS_PER_SECOND_MAX);
}

/// A receipt of the scene's, and the evidence of another session of the same guest.
async fn receipt(scene: &Scene, seed: u64) -> Bundle {
    let answer = scene.gateway.ask(guest_question(seed)).await.unwrap();
    scene.gateway.bundle(answer.job_id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_whose_evidence_was_exchanged() {
    let world = amd();
    let scene = Scene::new(&world, Guest::honest(&world)).await;
    let good = receipt(&scene, 1).await;
    let other = gateway_judging(&scene.ledger.client, 3, &Disk::default(), judging(&world, scene.line));
    let answer = other.ask(guest_question(1)).await.unwrap();
    let other = other.bundle(answer.job_id).unwrap();
    let trust = world.trust();
    let _ = verify_bundle_under(&other, &trust).unwrap();
    let exchanged = Bundle { attested: other.attested.clone(), ..good.clone() };
    let refused = verify_bundle_under(&exchanged, &trust).unwrap_err();
    assert!(matches!(refused, BundleReject::Answer(AnswerReject::EvidenceCommitment)), "{refused}");
    for attested in [None, other.attested] {
        // Evidence is there exactly where the receipt stands on it.
        let mut plain = scene.gateway.bundle(scene.gateway.ask(question(4)).await.unwrap().job_id).unwrap();
        let is_there = attested.is_some();
        plain.attested = attested.clone();
        let without = Bundle { attested: None, ..good.clone() };
        let refused = verify_bundle_under(if is_there { &plain } else { &without }, &trust).unwrap_err();
        assert!(matches!(refused, BundleReject::Attestation), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_what_a_receipt_stands_on_counts() {
    let world = amd();
    let scene = Scene::new(&world, Guest::honest(&world)).await;
    let good = receipt(&scene, 1).await;
    let trust = world.trust();
    let with = |change: &dyn Fn(&mut tacit_gateway::AttestedMessages)| {
        let mut bad = good.clone();
        change(bad.attested.as_mut().unwrap());
        verify_bundle_under(&bad, &trust)
    };
    let refused = |found: Result<tacit_gateway::VerifiedReceipt, BundleReject>| match found {
        Err(BundleReject::Answer(AnswerReject::Attestation(reject))) => *reject,
        other => panic!("{other:?}"),
    };
    let session = AttestedReject::Refused(Refusal::ReportData);
    assert_eq!(refused(with(&|messages| messages.key = B256::ZERO.into())), session);
    assert_eq!(refused(with(&|messages| messages.nonce = B256::ZERO)), session);
    let short = refused(with(&|messages| messages.policy.truncate(messages.policy.len() - 1)));
    assert_eq!(short, AttestedReject::Policy(DecodeError::Short));
    let bytes = good.attested.as_ref().unwrap().evidence.len();
    for at in (0..bytes).step_by(bytes / 60) {
        let found = with(&|messages| messages.evidence[at] ^= 1);
        assert!(found.is_err(), "byte {at}");
    }
    // Another policy is another policy, and says so.
    let mut lax = world.clone();
    lax.rules.images.push(ImageId(B256::ZERO));
    let lax = policy(&lax, in_guest().model_id());
    let found = with(&|messages| messages.policy = lax.encode()).unwrap();
    assert_eq!(found.attested().unwrap().policy, lax.id());
    assert_ne!(lax.id(), policy(&world, in_guest().model_id()).id());
    // Fields of the receipt are bound by its signature, and by the evidence.
    let mut other = good.clone();
    other.chain_id += 1;
    assert_eq!(refused(verify_bundle_under(&other, &trust)), session);
    let mut proved = good.clone();
    proved.trace = Some(tacit_wire::TraceEvidence { root: B256::ZERO, faces: Vec::new() });
    let found = verify_bundle_under(&proved, &trust).unwrap_err();
    assert!(matches!(found, BundleReject::Answer(AnswerReject::UnexpectedTrace)), "{found}");
    let mut proved = good.clone();
    proved.proof = Some(tacit_wire::RowProof { rows: 1, index: 0, salt: B256::ZERO, proof: Vec::new() });
    let found = verify_bundle_under(&proved, &trust).unwrap_err();
    assert!(matches!(found, BundleReject::Answer(AnswerReject::UnexpectedProof)), "{found}");
    let mut mode = good;
    mode.receipt.receipt.privacy = Privacy::Sealed as u8;
    assert!(verify_bundle_under(&mode, &trust).is_err());
}

/// Answers that a worker signs, whatever they stand on.
#[test]
fn an_answer_stands_on_its_own_session() {
    let mut world = amd();
    let (model_id, worker, key) = (in_guest().model_id(), wallet(1).address(), SealingKey::random().public());
    let binding = Binding::new(7, worker, key.as_slice(), model_id, B256::ZERO);
    bind(&mut world, &binding.report_data(), &binding.gpu_nonce());
    let judged = |model: B256, world: &World, binding: &Binding| {
        verify(&world.evidence(), &policy(world, model), binding, &world.trust(), AMD_NOW).unwrap()
    };
    let attested = judged(model_id, &world, &binding);
    let header = JobHeader {
        chain_id: 7,
        job_id: JobId(B256::ZERO),
        model_id,
        channel_id: B256::repeat_byte(1),
        client: wallet(2).address(),
        worker,
        privacy: Privacy::Enclave,
        evidence: Mode::Attested,
        price: PRICE,
        cumulative: PRICE,
    };
    let values = question(1).input.values(model().model().graph()).unwrap();
    let asked = Asked::Attested { values: &values, attested: &attested };
    let output = || Output::Logits(vec![1, 2, 3]);
    let judge = |header: &JobHeader, asked: Asked<'_>, evidence: AnswerEvidence| {
        check(header, model().verifying_model(), asked, sign(header, asked, output(), evidence)).map(|_| ())
    };
    let named = AnswerEvidence::Attested(attested.evidence());
    assert_eq!(judge(&header, asked, named.clone()), Ok(()));
    assert_eq!(judge(&header, asked, AnswerEvidence::None), Err(AnswerReject::NoAttestation));
    let other = AnswerEvidence::Attested(B256::ZERO);
    assert_eq!(judge(&header, asked, other), Err(AnswerReject::OtherAttestation));
    let sealed = JobHeader { privacy: Privacy::Sealed, ..header };
    assert_eq!(judge(&sealed, asked, named.clone()), Err(AnswerReject::OtherAttestation));
    // A session about another model, though the policy accepts that too.
    let binding = Binding::new(7, worker, key.as_slice(), B256::ZERO, B256::ZERO);
    bind(&mut world, &binding.report_data(), &binding.gpu_nonce());
    let elsewhere = judged(B256::ZERO, &world, &binding);
    let asked = Asked::Attested { values: &values, attested: &elsewhere };
    let moved = AnswerEvidence::Attested(elsewhere.evidence());
    assert_eq!(judge(&header, asked, moved), Err(AnswerReject::OtherAttestation));
    let signed = JobHeader { privacy: Privacy::Sealed, evidence: Mode::Signed, ..header };
    let plain = Asked::Values(&values);
    assert_eq!(judge(&signed, plain, named), Err(AnswerReject::UnexpectedAttestation));
}
