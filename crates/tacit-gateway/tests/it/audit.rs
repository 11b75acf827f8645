//! Encrypted jobs done again: a false answer convicts, an honest one never does, and nothing else is taken for either.

use std::sync::{Arc, OnceLock};

use alloy_primitives::B256;
use serde_json::{Value, json};
use tacit_abi::{Evidence, Privacy};
use tacit_gateway::{AskAnswer, Asked, Bundle, BundleReject};
use tacit_prove::CommittedModel;
use tacit_wire::{
    AnswerEvidence, AnswerSeed, AuditFile, AuditKey, AuditReject, AuditedJob, JobHeader, JobId, Output,
    Payload,
};
use tacit_worker::{
    Comparison, Difference, Engine, EngineAnswer, EngineError, OpenedJob, ReexecutionReject, SeedSource,
    reexecute,
};

use crate::{
    dishonest::sign,
    support::{
        FEATURES, PRICE, WorkerPlan, encrypted_engine, encrypted_question, gateway, ledger, linear_model,
        other_linear_model, question, served, wallet,
    },
};

/// A worker's key, twice: once for the worker.
fn keys() -> [AuditKey; 2] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.key");
    [(); 2].map(|()| AuditKey::load_or_create(&path).unwrap())
}

/// A question under encryption to a worker with this engine: the answer, the saved receipt, and the worker's key.
async fn asked(engine: Arc<dyn Engine>) -> (AskAnswer, Bundle, AuditKey) {
    let ledger = ledger(&[1, 2].map(|key| wallet(key).address())).await;
    let [audit, key] = keys();
    let models = vec![served(&linear_model(), "linear", engine, PRICE)];
    let _running = WorkerPlan { models, audit, ..WorkerPlan::honest(1) }.start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let answer = gateway.ask(encrypted_question(1)).await.unwrap();
    let bundle = gateway.bundle(answer.job_id).unwrap();
    (answer, bundle, key)
}

fn honest_engine() -> Arc<dyn Engine> {
    Arc::new(encrypted_engine(&linear_model()))
}

fn read(value: &impl serde::Serialize) -> Result<AuditedJob, AuditReject> {
    AuditFile::from_json(&serde_json::to_vec(value).unwrap())?.check()
}

/// Answers honestly, and then changes the answer; it is still one of the model's shape.
struct Changing(fn(&mut Vec<u8>));

impl Engine for Changing {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        let mut answer = encrypted_engine(&linear_model()).answer(job)?;
        let Output::Ciphertext(ciphertext) = &mut answer.output else { panic!("not encrypted") };
        (self.0)(ciphertext);
        Ok(answer)
    }

    fn offer(&self) -> Option<&tacit_encrypt::Offer> {
        static OFFER: OnceLock<tacit_encrypt::Offer> = OnceLock::new();
        Some(OFFER.get_or_init(|| encrypted_engine(&linear_model()).offer().unwrap().clone()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_answer_is_the_same_when_it_is_done_again() {
    let (_, bundle, key) = asked(honest_engine()).await;
    let model = linear_model();
    // From the whole receipt and from the part for auditors, with the key and with the seed alone.
    for job in [read(&bundle).unwrap(), read(&bundle.for_audit().unwrap()).unwrap()] {
        assert_eq!(reexecute(&model, &job, SeedSource::Key(&key), None), Ok(Comparison::Equal));
        let seed = AnswerSeed::from_bytes(*job.seed(&key).to_bytes());
        assert_eq!(reexecute(&model, &job, SeedSource::Given(&seed), None), Ok(Comparison::Equal));
        assert_eq!(job.receipt(), &bundle.receipt);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_is_shown_neither_the_question_nor_what_decrypts_it() {
    let (_, bundle, key) = asked(honest_engine()).await;
    let shown = serde_json::to_value(bundle.for_audit().unwrap()).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&shown),
        ["chain_id", "encrypted", "evidence_salt", "input_salt", "output_salt", "receipt", "version"]
    );
    assert_eq!(names(&shown["encrypted"]), ["answer", "query"]);
    assert_eq!(names(&shown["encrypted"]["answer"]), ["ciphertext", "seed_commitment"]);
    // The client's secret and the worker's are in neither file.
    let whole = serde_json::to_value(&bundle).unwrap();
    let secret = whole["encrypted"]["question"]["seed"].as_str().unwrap();
    assert_eq!(secret.len(), 66);
    assert!(whole.to_string().contains(secret) && !shown.to_string().contains(secret));
    let seed = B256::from(*read(&bundle).unwrap().seed(&key).to_bytes()).to_string();
    assert!(!whole.to_string().contains(&seed) && !shown.to_string().contains(&seed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_answer_convicts_the_worker_that_signed_it() {
    // The last byte belongs to an output: the client was told another number, and could not know.
    let change: fn(&mut Vec<u8>) = |ciphertext| {
        let at = ciphertext.len() - 3;
        ciphertext[at] ^= 0x10;
    };
    let (_, bundle, key) = asked(Arc::new(Changing(change))).await;
    let job = read(&bundle.for_audit().unwrap()).unwrap();
    let length = job.ciphertext().len();
    let found = reexecute(&linear_model(), &job, SeedSource::Key(&key), None);
    let difference =
        Difference { expected_bytes: length, got_bytes: length, differing: 1, first: length - 3 };
    assert_eq!(found, Ok(Comparison::Different(difference)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_another_model_convicts() {
    let (_, bundle, key) = asked(Arc::new(encrypted_engine(&other_linear_model()))).await;
    let job = read(&bundle).unwrap();
    let found = reexecute(&linear_model(), &job, SeedSource::Key(&key), None).unwrap();
    assert!(
        matches!(found, Comparison::Different(Difference { differing, .. }) if differing > 100),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_key_or_seed_convicts_nobody() {
    let (_, bundle, key) = asked(honest_engine()).await;
    let job = read(&bundle).unwrap();
    let other = reexecute(&other_linear_model(), &job, SeedSource::Key(&key), None);
    assert!(matches!(other, Err(ReexecutionReject::Model { expected, .. }) if expected == job.model_id()));
    let stranger = AuditKey::random();
    let refused = reexecute(&linear_model(), &job, SeedSource::Key(&stranger), None);
    assert_eq!(refused, Err(ReexecutionReject::Key));
    let seed = AnswerSeed::from_bytes([9; 32]);
    let refused = reexecute(&linear_model(), &job, SeedSource::Given(&seed), None);
    assert_eq!(refused, Err(ReexecutionReject::Seed));
}

/// A receipt over whatever a worker likes to sign.
fn handmade(model: &CommittedModel, query: &[u8], seed: &AnswerSeed) -> AuditFile {
    let header = JobHeader {
        chain_id: 5,
        job_id: JobId::random(),
        model_id: B256::from(*model.model_id().as_bytes()),
        channel_id: B256::repeat_byte(1),
        client: wallet(2).address(),
        worker: wallet(1).address(),
        privacy: Privacy::Encrypted,
        evidence: Evidence::Signed,
        price: PRICE,
        cumulative: PRICE,
    };
    let offer = encrypted_engine(&linear_model()).offer().unwrap().clone();
    let row = [0; FEATURES];
    let (secret, _) =
        tacit_encrypt::client::encrypt(&offer, &row, &tacit_encrypt::Seed::new([1; 32]), None).unwrap();
    let evidence = AnswerEvidence::Seed(seed.commitment());
    let output = Output::Ciphertext(vec![0; 8]);
    let answer = sign(&header, Asked::Encrypted { query, secret: &secret }, output, evidence);
    let salt = |salt: [u8; 32]| B256::from(salt);
    let file = json!({
        "version": 3, "chain_id": 5, "input_salt": salt(answer.salts.input),
        "output_salt": salt(answer.salts.output), "evidence_salt": salt(answer.salts.evidence),
        "receipt": serde_json::to_value(tacit_wire::message::ReceiptInfo { receipt: answer.receipt, anchor: None })
            .unwrap()["receipt"],
        "encrypted": {
            "query": serde_json::to_value(Payload::Encrypted { body: query.to_vec() }).unwrap()["encrypted"]["body"],
            "answer": { "ciphertext": "AAAAAAAAAAA=", "seed_commitment": seed.commitment() },
        },
    });
    AuditFile::from_json(file.to_string().as_bytes()).unwrap()
}

#[test]
#[cfg_attr(feature = "pbs", ignore = "models with look-ups can be asked in this build")]
fn what_cannot_be_done_again_is_said_to_be_so() {
    let seed = AnswerSeed::from_bytes([3; 32]);
    let audit = |model: &CommittedModel, query: &[u8]| {
        let job = handmade(model, query, &seed).check().unwrap();
        reexecute(model, &job, SeedSource::Given(&seed), None)
    };
    let no_query = audit(&linear_model(), b"nonsense");
    assert!(matches!(no_query, Err(ReexecutionReject::Query(_))), "{no_query:?}");
    let not_linear = audit(&crate::support::model(), b"nonsense");
    assert!(matches!(not_linear, Err(ReexecutionReject::Misfit(_))), "{not_linear:?}");
    let long = handmade(&linear_model(), &vec![0; tacit_wire::job::QUERY_BYTES_MAX + 1], &seed);
    assert!(matches!(long.check(), Err(AuditReject::QueryLength { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_its_worker_did_not_sign_for_is_refused() {
    let (_, bundle, _) = asked(honest_engine()).await;
    let file = bundle.for_audit().unwrap();
    let refused = |change: &dyn Fn(&mut AuditFile)| {
        let mut file = file.clone();
        change(&mut file);
        read(&file).unwrap_err()
    };
    let messages = |file: &mut AuditFile, change: &dyn Fn(&mut tacit_wire::audit_file::AuditMessages)| {
        change(file.encrypted.as_mut().unwrap());
    };
    assert!(matches!(refused(&|file| file.version = 2), AuditReject::Version { expected: 3, got: 2 }));
    let mut old = file.clone();
    old.version = 4;
    assert!(matches!(old.check(), Err(AuditReject::Version { got: 4, .. })));
    assert!(matches!(refused(&|file| file.encrypted = None), AuditReject::Messages));
    assert!(matches!(refused(&|file| file.input_salt.0[0] ^= 1), AuditReject::QueryCommitment));
    assert!(matches!(refused(&|file| file.output_salt.0[0] ^= 1), AuditReject::AnswerCommitment));
    assert!(matches!(refused(&|file| file.evidence_salt.0[0] ^= 1), AuditReject::SeedCommitment));
    assert!(matches!(refused(&|file| file.chain_id += 1), AuditReject::Signer { .. }));
    assert!(matches!(refused(&|file| file.receipt.receipt.completedAt += 1), AuditReject::Signer { .. }));
    assert!(matches!(
        refused(&|file| file.receipt.signature = alloy_primitives::Bytes::new()),
        AuditReject::Signature(_)
    ));
    assert!(matches!(refused(&|file| file.receipt.receipt.privacy = 1), AuditReject::NotEncrypted));
    assert!(matches!(refused(&|file| file.receipt.receipt.privacy = 77), AuditReject::NotEncrypted));
    let seed = refused(&|file| messages(file, &|messages| messages.answer.seed_commitment.0.0[31] ^= 1));
    assert!(matches!(seed, AuditReject::SeedCommitment));
    // Every byte of both messages.
    let lengths = file.encrypted.as_ref().map(|m| (m.query.len(), m.answer.ciphertext.len())).unwrap();
    for at in (0..lengths.0).step_by(97).chain([lengths.0 - 1]) {
        let query = refused(&|file| messages(file, &|messages| messages.query[at] ^= 1));
        assert!(matches!(query, AuditReject::QueryCommitment), "{at}");
    }
    for at in (0..lengths.1).step_by(97).chain([lengths.1 - 1]) {
        let answer = refused(&|file| messages(file, &|messages| messages.answer.ciphertext[at] ^= 1));
        assert!(matches!(answer, AuditReject::AnswerCommitment), "{at}");
    }
    assert!(matches!(AuditFile::from_json(b"{}"), Err(AuditReject::Json(_))));
    let long = vec![b' '; tacit_wire::audit_file::RECEIPT_FILE_BYTES_MAX + 1];
    assert!(matches!(AuditFile::from_json(&long), Err(AuditReject::TooLong { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_not_encrypted_is_not_for_auditors() {
    let ledger = ledger(&[1, 2].map(|key| wallet(key).address())).await;
    let _running = WorkerPlan::honest(1).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let answer = gateway.ask(question(1)).await.unwrap();
    let bundle = gateway.bundle(answer.job_id).unwrap();
    assert!(matches!(bundle.for_audit(), Err(BundleReject::Messages)));
    assert!(matches!(read(&bundle), Err(AuditReject::NotEncrypted)));
}
