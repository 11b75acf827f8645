//! Saved receipts of streams: what they show to whoever has the file, and that nobody can make one false.

use alloy_primitives::B256;
use serde_json::{Value, json};
use tacit_abi::{Privacy, receipts};
use tacit_gateway::{
    BundleReject, DoorConfig, GatewayError, StreamBundle, VerifiedStream,
    page::{CheckName, CheckOutcome, Verification},
    stream_receipt::{FalseAccount, Judgement},
    verify_stream,
    view::{AnyBundle, ReceiptKind},
};
use tacit_wire::{
    Amount, JobId,
    language::{LanguageManifest, TokenBill, TokenCount},
    message::AnchorProof,
    meter::Route,
};

use crate::{
    openai::{Cast, cast, cast_with, client, completion, spending},
    reference::{PRICES, Script, Vice, byte_tokenizer},
    support::wallet,
};

/// A request, a prompt of 4 and 2 tokens.
const HELLO: u128 = 1_000 + 6 * 100;
/// 32 tokens of a completion.
const CHUNK: u128 = 32_000;

/// Asks once, and gives what the gateway saves of it.
async fn saved(cast: &Cast, stream: bool) -> StreamBundle {
    let before = cast.gateway.store().streams(100).unwrap().len();
    cast.chat(json!({ "stream": stream })).await.bytes().await.unwrap();
    let record = cast.receipts(before + 1).await.remove(0);
    let hash = receipts::leaf(&record.receipt.receipt, cast.ledger.client.chain_id());
    match cast.gateway.find_bundle(&hash.to_string()).await.unwrap() {
        AnyBundle::Stream(bundle) => *bundle,
        AnyBundle::Job(_) => panic!("it was a stream"),
    }
}

async fn honest() -> StreamBundle {
    saved(&cast(Script::stream(&["Hello", " there"])).await, true).await
}

fn counted(bundle: &StreamBundle) -> Result<VerifiedStream, BundleReject> {
    verify_stream(bundle, Some(&byte_tokenizer()))
}

/// Signs a changed receipt as its worker would.
fn sign(bundle: &mut StreamBundle) {
    bundle.receipt = wallet(1).sign_receipt(bundle.receipt.receipt.clone(), bundle.chain_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_receipt_is_checked_by_anybody_and_found_on_the_ledger() {
    let cast = cast(Script::stream(&["Hello", " there"])).await;
    let bundle = saved(&cast, true).await;
    let file = serde_json::to_vec(&bundle).unwrap();
    let mut bundle = StreamBundle::from_json(&file).unwrap();
    let tokens = TokenCount { prompt: 6, completion: 11 };
    let verified = verify_stream(&bundle, None).unwrap();
    assert_eq!((verified.judgement(), verified.model()), (Judgement::Uncounted, "talk"));
    assert_eq!(*verified.bill(), TokenBill { tokens, prices: PRICES });
    assert_eq!(verified.receipt().price, HELLO + 11_000);
    assert_eq!(counted(&bundle).unwrap().judgement(), Judgement::True { counted: tokens });

    let ledger = &cast.ledger.client;
    let refusal = verified.check_anchor(&bundle, ledger).await.unwrap_err();
    assert!(matches!(refusal, BundleReject::NotAnchored));
    let siblings = vec![B256::repeat_byte(1), B256::repeat_byte(2)];
    let root = receipts::root_from(verified.hash(), &siblings);
    bundle.anchor = Some(AnchorProof { root, block: 0, siblings });
    let verified = counted(&bundle).unwrap();
    let refusal = verified.check_anchor(&bundle, ledger).await.unwrap_err();
    assert!(matches!(refusal, BundleReject::UnknownToLedger));
    let block = ledger.anchor(&wallet(1), root, 3).await.unwrap().block;
    let refusal = verified.check_anchor(&bundle, ledger).await.unwrap_err();
    assert!(matches!(refusal, BundleReject::AnchorBlock { expected, got: 0 } if expected == block));
    bundle.anchor.as_mut().unwrap().block = block;
    let place = counted(&bundle).unwrap().check_anchor(&bundle, ledger).await.unwrap();
    assert_eq!((place.root, place.block, place.by), (root, block, wallet(1).address()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_streams_with_their_tokens() {
    let cast = cast(Script::json(200, &completion("four"))).await;
    let bundle = saved(&cast, false).await;
    let entry = cast.gateway.receipts().unwrap().remove(0);
    assert_eq!((entry.kind, entry.model.as_str(), entry.block), (ReceiptKind::Stream, "talk", None));
    assert_eq!((entry.price, entry.worker), (Amount(HELLO + 4_000), wallet(1).address()));
    let figures = entry.stream.clone().unwrap();
    assert_eq!(figures.claimed, TokenCount { prompt: 6, completion: 4 });
    assert_eq!((figures.counted, figures.is_kept, figures.fault), (figures.claimed, true, None));
    // By its hash and by its job.
    let url = format!("{}/tacit/v1/receipts", cast.server.url);
    for id in [entry.receipt, entry.job_id.0] {
        let shown: Value = client().get(format!("{url}/{id}")).send().await.unwrap().json().await.unwrap();
        assert_eq!(shown, serde_json::to_value(&entry).unwrap());
        let file = client().get(format!("{url}/{id}/bundle")).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(StreamBundle::from_json(&file).unwrap(), bundle);
    }
    let url = format!("{}/tacit/v1/tokenizers/{}", cast.server.url, entry.model_id);
    assert_eq!(client().get(url).send().await.unwrap().bytes().await.unwrap(), byte_tokenizer());
}

/// Whoever changes a byte has another file that shows nothing, or the same file.
#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_a_file_counts() {
    let mut bundle = honest().await;
    let siblings = vec![B256::repeat_byte(1)];
    let root = receipts::root_from(verify_stream(&bundle, None).unwrap().hash(), &siblings);
    bundle.anchor = Some(AnchorProof { root, block: 7, siblings });
    let file = serde_json::to_vec(&bundle).unwrap();
    let (mut same, mut refused) = (0, 0);
    for at in 0..file.len() {
        for bit in [0x01, 0x20] {
            let mut other = file.clone();
            other[at] ^= bit;
            let Ok(other) = StreamBundle::from_json(&other) else {
                refused += 1;
                continue;
            };
            // A ledger says which block it was.
            let mut less = other.clone();
            if let Some(anchor) = &mut less.anchor {
                anchor.block = 7;
            }
            if less == bundle {
                assert!(verify_stream(&other, None).is_ok(), "byte {at}");
                same += 1;
            } else {
                assert!(verify_stream(&other, None).is_err(), "byte {at}");
                refused += 1;
            }
        }
    }
    assert!(refused > same, "{refused} {same}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_over_meters_signs_a_false_account() {
    let cast = cast(Script::stream(&["Hello", " there"])).await;
    cast.worker.turn(Vice::OverMeters);
    let bundle = saved(&cast, true).await;
    // Tokens and price fit each other; only counting shows it.
    assert_eq!(verify_stream(&bundle, None).unwrap().judgement(), Judgement::Uncounted);
    let expected = FalseAccount {
        claimed: TokenCount { prompt: 6, completion: 11 + 32 },
        counted: Some(TokenCount { prompt: 6, completion: 11 }),
        charged: Amount(HELLO + 11_000 + CHUNK),
        due: Amount(HELLO + 11_000),
    };
    assert_eq!(counted(&bundle).unwrap().judgement(), Judgement::False(expected));
    let entry = cast.gateway.receipts().unwrap().remove(0);
    assert!(entry.stream.unwrap().fault.is_some());
}

/// Has the gateway check the newest receipt again, as the page does.
async fn verify_again(cast: &Cast) -> Verification {
    let entry = cast.gateway.receipts().unwrap().remove(0);
    let url = format!("{}/tacit/v1/receipts/{}/verify", cast.server.url, entry.receipt);
    client().post(url).json(&json!({})).send().await.unwrap().json().await.unwrap()
}

fn failed(found: &Verification) -> Vec<CheckName> {
    let failed = found.checks.iter().filter(|check| check.outcome == CheckOutcome::Failed);
    failed.map(|check| check.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_receipt_is_checked_and_counted_again() {
    use CheckName::{Anchor, Evidence, Input, Model, Output, Path, Signature};
    let cast = cast(Script::stream(&["Hello", " there"])).await;
    saved(&cast, true).await;
    let found = verify_again(&cast).await;
    assert!(found.verified, "{found:?}");
    assert_eq!(found.receipt, Some(cast.gateway.receipts().unwrap()[0].receipt));
    let passed = [Model, Signature, Input, Output, Evidence].map(|name| (name, CheckOutcome::Passed));
    let open = [Path, Anchor].map(|name| (name, CheckOutcome::Open));
    let outcomes: Vec<_> = found.checks.iter().map(|check| (check.name, check.outcome)).collect();
    assert_eq!(outcomes, [passed.as_slice(), &open].concat());
    assert!(found.checks[4].detail.starts_with("counted again: 6 + 11 tokens"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_account_is_refused_when_it_is_checked_again() {
    let cast = cast(Script::stream(&["Hello", " there"])).await;
    cast.worker.turn(Vice::OverMeters);
    saved(&cast, true).await;
    let found = verify_again(&cast).await;
    assert!(!found.verified);
    assert_eq!(failed(&found), [CheckName::Evidence]);
    let detail = &found.checks[4].detail;
    assert!(
        detail.contains("signed 6 + 43 tokens") && detail.contains("there are 6 + 11 tokens"),
        "{detail}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_its_own_tokens_do_not_make_is_false_without_counting() {
    let cast = cast(Script::json(200, &completion("four"))).await;
    cast.worker.turn(Vice::CountsMoreInReceipts);
    let bundle = saved(&cast, false).await;
    let tokens = TokenCount { prompt: 6, completion: 4 };
    let (charged, due) = (Amount(HELLO + 4_000 + CHUNK), Amount(HELLO + 4_000));
    let expected = |counted| Judgement::False(FalseAccount { claimed: tokens, counted, charged, due });
    assert_eq!(verify_stream(&bundle, None).unwrap().judgement(), expected(None));
    assert_eq!(counted(&bundle).unwrap().judgement(), expected(Some(tokens)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_above_what_came_is_false_at_any_price() {
    let mut bundle = honest().await;
    bundle.bill.tokens.prompt += 1;
    let [input, output, evidence] =
        [bundle.input_salt, bundle.output_salt, bundle.evidence_salt].map(|salt| salt.0);
    let salts = tacit_wire::Salts { input, output, evidence };
    bundle.receipt.receipt.evidenceHash = salts.commit_evidence(&bundle.bill.to_bytes());
    sign(&mut bundle);
    assert_eq!(verify_stream(&bundle, None).unwrap().judgement(), Judgement::Uncounted);
    assert!(matches!(counted(&bundle).unwrap().judgement(), Judgement::False(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_refused_is_no_false_account() {
    let refusal = json!({"error": {"message": "no such parameter", "type": "invalid_request_error"}});
    let bundle = saved(&cast(Script::json(400, &refusal)).await, true).await;
    let verified = counted(&bundle).unwrap();
    assert_eq!((verified.receipt().price, verified.bill().tokens), (0, TokenCount::default()));
    assert!(matches!(verified.judgement(), Judgement::True { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn lower_prices_in_the_file_are_refused() {
    let mut bundle = honest().await;
    bundle.bill.prices.completion = Amount(1);
    assert!(matches!(counted(&bundle), Err(BundleReject::Bill)));
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_tokens_in_the_file_are_refused() {
    let mut bundle = honest().await;
    bundle.bill.tokens.completion = 1;
    assert!(matches!(counted(&bundle), Err(BundleReject::Bill)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_answer_is_refused() {
    let mut bundle = honest().await;
    bundle.answer.truncate(20);
    assert!(matches!(counted(&bundle), Err(BundleReject::Reply)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_request_is_refused() {
    let mut bundle = honest().await;
    bundle.request = br#"{"model":"talk","messages":[]}"#.to_vec();
    assert!(matches!(counted(&bundle), Err(BundleReject::Request)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_route_is_refused() {
    let mut bundle = honest().await;
    bundle.route = Route::Completions;
    assert!(matches!(counted(&bundle), Err(BundleReject::Request)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_counts_less_is_another_model() {
    let mut bundle = honest().await;
    let manifest = LanguageManifest::read(&bundle.manifest, bundle.receipt.receipt.modelId).unwrap();
    bundle.manifest = LanguageManifest { message_tokens: 0, ..manifest }.write().unwrap().0;
    assert!(matches!(counted(&bundle), Err(BundleReject::Model)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tokenizer_is_refused() {
    let bundle = honest().await;
    let mut other = byte_tokenizer();
    other.push(b' ');
    assert!(matches!(verify_stream(&bundle, Some(&other)), Err(BundleReject::Tokenizer)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_somebody_else_signed_is_refused() {
    let mut bundle = honest().await;
    bundle.receipt = wallet(3).sign_receipt(bundle.receipt.receipt.clone(), bundle.chain_id);
    assert!(matches!(counted(&bundle), Err(BundleReject::Signer)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_is_none_is_refused() {
    let mut bundle = honest().await;
    bundle.receipt.signature = vec![0; 65].into();
    assert!(matches!(counted(&bundle), Err(BundleReject::Signature(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_is_refused() {
    let mut bundle = honest().await;
    bundle.chain_id += 1;
    assert!(matches!(counted(&bundle), Err(BundleReject::Signer)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_mode_is_refused() {
    let mut bundle = honest().await;
    bundle.receipt.receipt.privacy = Privacy::Clear as u8;
    sign(&mut bundle);
    assert!(matches!(counted(&bundle), Err(BundleReject::Mode)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_is_refused() {
    let bundle = StreamBundle { version: 2, ..honest().await };
    let file = serde_json::to_vec(&bundle).unwrap();
    assert!(matches!(StreamBundle::from_json(&file), Err(BundleReject::Version { expected: 1, got: 2 })));
    assert!(matches!(counted(&bundle), Err(BundleReject::Version { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_another_batch_is_refused() {
    let mut bundle = honest().await;
    bundle.anchor = Some(AnchorProof { root: B256::ZERO, block: 1, siblings: vec![B256::ZERO] });
    assert!(matches!(counted(&bundle), Err(BundleReject::Inclusion)));
    bundle.anchor = Some(AnchorProof { root: B256::ZERO, block: 1, siblings: vec![B256::ZERO; 33] });
    assert!(matches!(counted(&bundle), Err(BundleReject::InclusionLength { limit: 32, got: 33 })));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_requests_and_answers_are_forgotten_and_their_receipts_stay() {
    let answer = completion("four");
    let one = saved(&cast(Script::json(200, &answer)).await, false).await;
    let length = 4 + one.request.len() + one.answer.len();
    let door = DoorConfig { kept_bytes: u64::try_from(2 * length).unwrap(), ..DoorConfig::default() };
    let cast = cast_with(Script::json(200, &answer), spending(), door).await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(JobId(saved(&cast, false).await.receipt.receipt.jobId));
    }
    let kept: Vec<bool> = jobs.iter().map(|job| cast.gateway.stream_bundle(*job).is_ok()).collect();
    assert_eq!(kept, [false, false, true, true]);
    assert!(matches!(cast.gateway.stream_bundle(jobs[0]), Err(GatewayError::Forgotten { .. })));
    let listed = cast.gateway.receipts().unwrap();
    let kept: Vec<bool> = listed.iter().map(|entry| entry.stream.as_ref().unwrap().is_kept).collect();
    assert_eq!(kept, [true, true, false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_may_keep_nothing() {
    let door = DoorConfig { kept_bytes: 0, ..DoorConfig::default() };
    let cast = cast_with(Script::json(200, &completion("four")), spending(), door).await;
    cast.chat(json!({})).await.bytes().await.unwrap();
    let record = cast.receipts(1).await.remove(0);
    let job_id = JobId(record.receipt.receipt.jobId);
    assert!(matches!(cast.gateway.stream_bundle(job_id), Err(GatewayError::Forgotten { .. })));
    assert_eq!(cast.gateway.store().exchange(job_id).unwrap(), None);
}
