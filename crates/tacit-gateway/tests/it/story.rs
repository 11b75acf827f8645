//! The promise, kept: question, proved answer, payment, receipt.

use core::time::Duration;

use tacit_abi::{Evidence, Privacy};
use tacit_gateway::{
    AskRequest, Bundle, BundleReject, GatewayError, Input, InputReject, receipt::check_anchor,
    receipt::same_chain, verify_bundle, view::score_entries,
};
use tacit_graph::RowError;
use tacit_wire::{
    Amount, JobId, TraceEvidence,
    message::{AnchorProof, ReceiptInfo},
};

use crate::support::{
    FEATURES, PRICE, WorkerPlan, expected_label, gateway, gateway_on, ledger, named_model, question, served,
    wallet,
};

type Alter = fn(&mut Bundle);

const WAIT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_private_question_gets_a_proved_answer_and_is_paid() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let request = question(1);
    let answer = gateway.ask(request.clone()).await.unwrap();
    assert_eq!(answer.label, Some(expected_label(&request)));
    assert!(answer.verified && answer.paid && answer.proof_bytes > 0);
    assert_eq!(answer.price, PRICE);

    // Paid on the ledger.
    worker.worker.settle_all().await.unwrap();
    let channel_id = gateway.status().await.unwrap().channels[0].channel_id;
    assert_eq!(ledger.client.channel(channel_id).await.unwrap().settled, PRICE.0);
    let earnings = worker.worker.earnings().unwrap();
    assert_eq!(
        (earnings.jobs, earnings.vouchered, earnings.settled, earnings.unpaid_jobs),
        (1, PRICE, PRICE, 0)
    );

    // Receipted: offline, from a file, and on the ledger.
    assert!(gateway.wait_for_anchor(answer.job_id, WAIT).await.unwrap().is_some());
    let file = serde_json::to_vec(&gateway.bundle(answer.job_id).unwrap()).unwrap();
    let bundle = Bundle::from_json(&file).unwrap();
    let verified = verify_bundle(&bundle).unwrap();
    assert_eq!(verified.hash(), answer.receipt);
    assert_eq!(Some(verified.answer().to_string()), answer.label);
    assert_eq!(verified.security_bits(), Some(100));
    same_chain(&bundle, &ledger.client).unwrap();
    let anchored = check_anchor(&ledger.client, &verified).await.unwrap();
    assert_eq!(
        (anchored.by, Some(anchored.block)),
        (wallet(1).address(), gateway.receipt(answer.job_id).unwrap().block)
    );
    assert_eq!(gateway.find_receipt(&answer.receipt.to_string()).unwrap(), answer.job_id);
    assert_eq!(gateway.find_receipt(&answer.job_id.to_string()).unwrap(), answer.job_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_supported_mode_answers_over_one_channel() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let mut asked = 0;
    for privacy in [Privacy::Clear, Privacy::Sealed] {
        for evidence in [Evidence::Signed, Evidence::Proved] {
            asked += 1;
            let request = tacit_gateway::AskRequest { privacy, evidence: Some(evidence), ..question(asked) };
            let answer = gateway.ask(request.clone()).await.unwrap();
            assert_eq!(answer.label, Some(expected_label(&request)));
            assert_eq!(answer.verified, evidence == Evidence::Proved);
            assert_eq!(answer.proof_bytes > 0, evidence == Evidence::Proved);
            let verified = verify_bundle(&gateway.bundle(answer.job_id).unwrap()).unwrap();
            assert_eq!(verified.security_bits().is_some(), evidence == Evidence::Proved);
        }
    }
    let channels = gateway.status().await.unwrap().channels;
    assert_eq!(channels.len(), 1);
    assert_eq!(channels[0].signed, Amount(PRICE.0 * u128::from(asked)));
    assert_eq!(gateway.receipts().unwrap().len(), 4);
    assert_eq!(worker.worker.earnings().unwrap().unpaid_jobs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_with_names_is_a_question_like_its_numbers() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let named = named_model();
    let engine = std::sync::Arc::new(tacit_worker::GraphEngine::new(std::sync::Arc::clone(&named)));
    let plan = WorkerPlan { models: vec![served(&named, "loans", engine, PRICE)], ..WorkerPlan::honest(1) };
    let _worker = plan.start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let row = |json: &str| serde_json::from_str::<Input>(&format!("{{\"row\":{json}}}")).unwrap();
    let asked =
        |input: Input| AskRequest { evidence: Some(Evidence::Signed), ..AskRequest::new("loans", input) };
    let refused = gateway.ask(asked(row(r#"{"age":35,"months":24,"amount":12.5,"purpose":"boat"}"#))).await;
    assert!(matches!(refused, Err(GatewayError::Input(InputReject::Row(RowError::Kind { count: 3, .. })))));
    assert!(gateway.status().await.unwrap().channels.is_empty(), "a refused row cost something");

    let job_id = Some(JobId::random());
    let first = row(r#"{"age":35,"months":24,"amount":12.5,"purpose":"roof"}"#);
    let answer = gateway.ask(AskRequest { job_id, ..asked(first) }).await.unwrap();
    let numbers = Input::from_floats(&[6], &[35.0, 24.0, 12.5, 0.0, 1.0, 0.0]).unwrap();
    let same = gateway.ask(asked(numbers.clone())).await.unwrap();
    assert_eq!((&answer.label, &answer.scores), (&same.label, &same.scores));
    // The same row in another order is the same job.
    let again = row(r#"{"purpose":"roof","amount":12.5,"months":24,"age":35}"#);
    assert_eq!(gateway.ask(AskRequest { job_id, ..asked(again) }).await.unwrap().receipt, answer.receipt);
    let other = row(r#"{"purpose":"roof","amount":12.5,"months":24,"age":36}"#);
    for other in [other, numbers.clone()] {
        let reused = gateway.ask(AskRequest { job_id, ..asked(other) }).await;
        assert!(matches!(reused, Err(GatewayError::JobIdReused { .. })));
    }

    // Scores are those of the graph, in the answer and on the receipt.
    let graph = named.model().graph();
    let encoded = graph.encode_input(&numbers.values(graph).unwrap()).unwrap();
    let logits = tacit_graph::execute(named.model(), &encoded, 1).unwrap().logits();
    let expected = graph.label_scores(&logits).unwrap();
    let verified = verify_bundle(&gateway.bundle(answer.job_id).unwrap()).unwrap();
    assert_eq!(verified.scores(), Some(&expected));
    assert_eq!((answer.scores, answer.margin), score_entries(Some(expected)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_job_id_is_answered_and_paid_once() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let request = tacit_gateway::AskRequest { job_id: Some(JobId::random()), ..question(1) };
    let (first, beside) = tokio::join!(gateway.ask(request.clone()), gateway.ask(request.clone()));
    let again = gateway.ask(request.clone()).await.unwrap();
    assert_eq!((first.unwrap().receipt, beside.unwrap().receipt), (again.receipt, again.receipt));
    assert_eq!(gateway.receipts().unwrap().len(), 1);
    assert_eq!(worker.worker.earnings().unwrap().vouchered, PRICE);
    let other = tacit_gateway::AskRequest { job_id: request.job_id, ..question(2) };
    assert!(matches!(gateway.ask(other).await, Err(GatewayError::JobIdReused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_each_paid_once() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let asking = (0..8).map(|seed| {
        let gateway = std::sync::Arc::clone(&gateway);
        let request = tacit_gateway::AskRequest { evidence: Some(Evidence::Signed), ..question(seed) };
        tokio::spawn(async move { gateway.ask(request).await })
    });
    for answer in asking.collect::<Vec<_>>() {
        assert!(answer.await.unwrap().unwrap().paid);
    }
    assert_eq!(worker.worker.earnings().unwrap().vouchered, Amount(PRICE.0 * 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cheapest_worker_is_asked_and_the_next_when_it_is_gone() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address(), wallet(3).address()]).await;
    let dear = WorkerPlan::honest(1).start(&ledger.client).await;
    let mut plan = WorkerPlan::honest(3);
    let engine = std::sync::Arc::new(tacit_worker::GraphEngine::new(crate::support::model()));
    plan.models =
        vec![crate::support::served(&crate::support::model(), "small", engine, Amount(PRICE.0 / 2))];
    let cheap = plan.start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    assert_eq!(gateway.ask(question(1)).await.unwrap().worker, cheap.worker.address());
    drop(cheap.server);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(gateway.ask(question(2)).await.unwrap().worker, dear.worker.address());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_channel_is_topped_up() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let _worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let disk = crate::disk::Disk::default();
    let spending = tacit_gateway::Spending { deposit: PRICE, ..Default::default() };
    let gateway = tacit_gateway::Gateway::open(tacit_gateway::GatewayConfig {
        attestation: None,
        wallet: wallet(2),
        ledger: ledger.client.clone(),
        store: tacit_gateway::Store::with_backend(disk.open()).unwrap(),
        spending,
        canaries: tacit_gateway::CanaryPolicy::default(),
        audits: tacit_gateway::AuditPolicy::default(),
        unlinkable: tacit_gateway::UnlinkablePolicy::default(),
        door: tacit_gateway::DoorConfig::default(),
    })
    .unwrap();
    for seed in 0..3 {
        let request = tacit_gateway::AskRequest { evidence: Some(Evidence::Signed), ..question(seed) };
        assert!(gateway.ask(request).await.unwrap().paid);
    }
    let channels = gateway.status().await.unwrap().channels;
    assert_eq!(channels.len(), 1);
    assert_eq!(ledger.client.channel(channels[0].channel_id).await.unwrap().deposit, 3 * PRICE.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lost_its_disk_goes_on_where_it_was() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let first = gateway(&ledger.client, 2);
    first.ask(question(1)).await.unwrap();
    drop(first);
    let fresh = gateway(&ledger.client, 2);
    assert!(fresh.ask(question(2)).await.unwrap().paid);
    let channels = fresh.status().await.unwrap().channels;
    assert_eq!((channels.len(), channels[0].signed), (1, Amount(2 * PRICE.0)));
    assert_eq!(worker.worker.earnings().unwrap().vouchered, Amount(2 * PRICE.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_disk_is_given_the_voucher_again() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let sealing = tempfile::tempdir().unwrap();
    let key = || tacit_wire::SealingKey::load_or_create(&sealing.path().join("key")).unwrap();
    let running = WorkerPlan { sealing: key(), ..WorkerPlan::honest(1) }.start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    gateway.ask(question(1)).await.unwrap();
    let port = running.server.url.rsplit(':').next().unwrap().parse().unwrap();
    drop(running);
    let running =
        WorkerPlan { sealing: key(), port, ..WorkerPlan::honest(1) }.start_quietly(&ledger.client).await;
    assert!(gateway.ask(question(2)).await.unwrap().paid);
    assert_eq!(running.worker.earnings().unwrap().vouchered, Amount(2 * PRICE.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closing_channel_is_settled_in_time_and_replaced() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    gateway.ask(question(1)).await.unwrap();
    let channel_id = gateway.status().await.unwrap().channels[0].channel_id;
    gateway.retire_all().unwrap();
    assert_eq!(gateway.close_retired().await.unwrap(), 1);
    assert_ne!(ledger.client.channel(channel_id).await.unwrap().closeAt, 0);
    worker.worker.settle_due().await.unwrap();
    assert_eq!(ledger.client.channel(channel_id).await.unwrap().settled, PRICE.0);
    // Grace is still running: nothing happens, and the next question goes over another channel.
    assert_eq!(gateway.close_retired().await.unwrap(), 1);
    assert!(gateway.ask(question(2)).await.unwrap().paid);
    assert_eq!(gateway.status().await.unwrap().channels.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_a_batch_are_each_included() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let mut plan = WorkerPlan::honest(1);
    plan.settlement.anchor_delay = Duration::from_secs(600);
    let worker = plan.start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let mut jobs = Vec::new();
    for seed in 0..3 {
        let request = tacit_gateway::AskRequest { evidence: Some(Evidence::Signed), ..question(seed) };
        jobs.push(gateway.ask(request).await.unwrap().job_id);
    }
    assert_eq!(worker.worker.earnings().unwrap().unanchored, 3);
    assert_eq!(gateway.fetch_anchor(jobs[0]).await.unwrap(), None);

    // A root of one's own making opens, and the ledger does not know it.
    let mut bundle = gateway.bundle(jobs[0]).unwrap();
    let root = gateway.receipt(jobs[0]).unwrap().receipt;
    bundle.anchor = Some(AnchorProof { root, block: 1, siblings: vec![] });
    let verified = verify_bundle(&bundle).unwrap();
    assert!(matches!(check_anchor(&ledger.client, &verified).await, Err(BundleReject::UnknownToLedger)));

    worker.worker.anchor_receipts().await.unwrap();
    for job_id in jobs {
        assert!(gateway.fetch_anchor(job_id).await.unwrap().is_some());
        let verified = verify_bundle(&gateway.bundle(job_id).unwrap()).unwrap();
        check_anchor(&ledger.client, &verified).await.unwrap();
        let info: ReceiptInfo = worker.worker.receipt(job_id).unwrap();
        assert_eq!(info.anchor.unwrap().siblings.len(), verified.anchor().unwrap().siblings.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_bundle_is_refused_whatever_was_altered() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let _worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let answer = gateway.ask(question(1)).await.unwrap();
    gateway.wait_for_anchor(answer.job_id, WAIT).await.unwrap();
    let good = gateway.bundle(answer.job_id).unwrap();
    let _ = verify_bundle(&good).unwrap();

    let alter: Vec<(&str, Alter)> = vec![
        ("version", |b| b.version += 1),
        ("chain", |b| b.chain_id += 1),
        ("graph", |b| *b.model.graph.last_mut().unwrap() ^= 1),
        ("model id", |b| b.model.model_id.0[0] ^= 1),
        ("weight root", |b| b.model.weight_root.0[0] ^= 1),
        ("trace", |b| b.trace = Some(TraceEvidence { root: alloy_primitives::B256::ZERO, faces: vec![] })),
        ("input", |b| b.input[0] += 1),
        ("input longer", |b| b.input.push(0)),
        ("output", |b| b.output[0] += 1),
        ("output shorter", |b| {
            b.output.pop();
        }),
        ("input salt", |b| b.input_salt.0[0] ^= 1),
        ("output salt", |b| b.output_salt.0[0] ^= 1),
        ("evidence salt", |b| b.evidence_salt.0[0] ^= 1),
        ("rows", |b| b.proof.as_mut().unwrap().rows += 1),
        ("row", |b| b.proof.as_mut().unwrap().index += 1),
        ("row salt", |b| b.proof.as_mut().unwrap().salt.0[0] ^= 1),
        ("proof", |b| b.proof.as_mut().unwrap().proof[7] ^= 1),
        ("no proof", |b| b.proof = None),
        ("signature", |b| {
            let mut signature = b.receipt.signature.to_vec();
            signature[3] ^= 1;
            b.receipt.signature = signature.into();
        }),
        ("job", |b| b.receipt.receipt.jobId.0[0] ^= 1),
        ("model", |b| b.receipt.receipt.modelId.0[0] ^= 1),
        ("channel", |b| b.receipt.receipt.channelId.0[0] ^= 1),
        ("client", |b| b.receipt.receipt.client.0[0] ^= 1),
        ("worker", |b| b.receipt.receipt.worker.0[0] ^= 1),
        ("privacy", |b| b.receipt.receipt.privacy = 0),
        ("no such privacy", |b| b.receipt.receipt.privacy = 9),
        ("evidence", |b| b.receipt.receipt.evidence = 0),
        ("audited", |b| b.receipt.receipt.evidence = 1),
        ("input commitment", |b| b.receipt.receipt.inputCommitment.0[0] ^= 1),
        ("output commitment", |b| b.receipt.receipt.outputCommitment.0[0] ^= 1),
        ("evidence hash", |b| b.receipt.receipt.evidenceHash.0[0] ^= 1),
        ("price", |b| b.receipt.receipt.price += 1),
        ("cumulative", |b| b.receipt.receipt.cumulative += 1),
        ("time", |b| b.receipt.receipt.completedAt += 1),
        ("root", |b| b.anchor.as_mut().unwrap().root.0[0] ^= 1),
        ("siblings", |b| b.anchor.as_mut().unwrap().siblings.push(Default::default())),
        ("many siblings", |b| b.anchor.as_mut().unwrap().siblings.resize(33, Default::default())),
    ];
    for (what, alter) in alter {
        let mut bad = good.clone();
        alter(&mut bad);
        assert!(verify_bundle(&bad).is_err(), "{what}");
    }
    let mut elsewhere = good.clone();
    elsewhere.anchor.as_mut().unwrap().block += 1;
    let verified = verify_bundle(&elsewhere).unwrap();
    assert!(matches!(check_anchor(&ledger.client, &verified).await, Err(BundleReject::AnchorBlock { .. })));
    let mut unanchored = good.clone();
    unanchored.anchor = None;
    let verified = verify_bundle(&unanchored).unwrap();
    assert!(matches!(check_anchor(&ledger.client, &verified).await, Err(BundleReject::NotAnchored)));
    let mut json = serde_json::to_value(&good).unwrap();
    json["version"] = 1.into();
    let other_version = Bundle::from_json(json.to_string().as_bytes());
    assert!(matches!(other_version, Err(BundleReject::Version { got: 1, .. })));
    assert!(matches!(Bundle::from_json(b"{}"), Err(BundleReject::Json(_))));
    let other = tacit_gateway::Bundle { chain_id: 1, ..good };
    assert!(matches!(same_chain(&other, &ledger.client), Err(BundleReject::OtherChain { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_gateway_remembers_its_receipts() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let _worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let disk = crate::disk::Disk::default();
    let answer = gateway_on(&ledger.client, 2, &disk).ask(question(1)).await.unwrap();
    let again = gateway_on(&ledger.client, 2, &disk);
    assert_eq!(again.receipts().unwrap()[0].receipt, answer.receipt);
    let _ = verify_bundle(&again.bundle(answer.job_id).unwrap()).unwrap();
    let input = Input::from_floats(&[1, FEATURES as u64], &[1.0; FEATURES]).unwrap();
    assert!(again.ask(tacit_gateway::AskRequest::new("small", input)).await.unwrap().paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_model_is_asked_again_and_again() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let engine = std::sync::Arc::new(tacit_worker::GraphEngine::new(crate::support::model()));
    let free = crate::support::served(&crate::support::model(), "small", engine, Amount::ZERO);
    let worker = WorkerPlan { models: vec![free], ..WorkerPlan::honest(1) }.start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    for seed in 0..3 {
        let answer =
            gateway.ask(tacit_gateway::AskRequest { max_price: Some(Amount::ZERO), ..question(seed) }).await;
        assert!(answer.unwrap().paid);
    }
    assert_eq!(worker.worker.earnings().unwrap().unpaid_jobs, 0);
}
