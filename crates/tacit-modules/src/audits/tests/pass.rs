//! A passed audit is what the beacon drew and another worker signed, once, and nothing else is.

use super::*;
use crate::receipts::MAX_PROOF;
use alloy_primitives::keccak256;
use alloy_sol_types::SolValue as _;
use tacit_abi::{
    IAsks, IBeacons, IReceipts, Verdict,
    asks::{ASK_LIFE_S, ASK_STAKE, LIVE_S},
    audits::{self, SignedVerdict},
    beacons,
    stakes::burned,
};
use tacit_market::{Policy, Ratio, selection::is_selected};

const RECEIPTS: Module = MODULES[2];
const ASKS: Module = MODULES[6];
const BEACONS: Module = MODULES[10];
const BLOCK_HASH: B256 = B256::repeat_byte(0xbb);
const OWN: B256 = B256::repeat_byte(0x0e);
/// So much that every answer is selected: `K R > e S`.
const PRICE: u128 = ASK_STAKE;

/// A worker whose answers were anchored in a batch, and another one that was asked the same.
struct Scene {
    net: Net,
    auditor: B256,
    block: u64,
    batch: Vec<Receipt>,
    root: B256,
}

impl Scene {
    fn new() -> Self {
        Self::of(3, PRICE)
    }

    /// So many receipts at a price.
    fn of(count: u8, price: u128) -> Self {
        let mut net = Net::small();
        let worker = net.worker;
        net.world.fund(worker, ASK_STAKE);
        net.bond(ASK_STAKE - STAKE);
        let auditor = key(2).0;
        let batch: Vec<Receipt> = (0..count)
            .map(|n| Receipt { jobId: B256::repeat_byte(n), price, ..net.receipt(B256::repeat_byte(0x70)) })
            .collect();
        let mut scene = Self { net, auditor, block: 0, batch, root: B256::ZERO };
        scene.ask(2, scene.net.id, ASK_STAKE);
        scene.anchor(worker);
        scene.post();
        scene
    }

    /// Account `n` bonds so much, and asks for a model in the receipts' mode.
    fn ask(&mut self, n: u8, model: B256, stake: u128) {
        let account = key(n).1;
        self.net.world.fund(account, stake);
        self.net.world.pay_call(STAKES, account, stake, &IStakes::bondCall {}).unwrap();
        let terms = IAsks::Terms {
            privacy: Privacy::Sealed as u8,
            evidence: Evidence::Audited as u8,
            price: 1,
            promptPrice: 0,
            completionPrice: 0,
            capacity: 1,
            validUntil: self.net.world.now + ASK_LIFE_S,
            sealingKey: B256::repeat_byte(1),
            endpoint: "http://worker".into(),
        };
        self.net.world.call(ASKS, account, &IAsks::setCall { modelId: model, terms }).unwrap();
    }

    fn leaves(&self) -> Vec<B256> {
        self.batch.iter().map(|receipt| receipts::leaf(receipt, CHAIN_ID)).collect()
    }

    fn anchor(&mut self, from: Address) {
        self.root = receipts::root(&self.leaves()).unwrap();
        self.block = self.net.world.block;
        let call = IReceipts::anchorCall { root: self.root, count: self.batch.len() as u32 };
        self.net.world.call(RECEIPTS, from, &call).unwrap();
        self.net.world.block += 1;
    }

    /// The beacon of the block in which the batch was anchored.
    fn post(&mut self) {
        let number = self.block;
        self.net.world.block_hashes.insert(number, BLOCK_HASH);
        let call = IBeacons::postCall { number, blockHash: BLOCK_HASH, signature: Bytes::new() };
        self.net.world.call(BEACONS, OTHER, &call).unwrap();
    }

    fn digest(&self, at: usize) -> B256 {
        self.batch[at].eip712_signing_hash(&receipts::domain(CHAIN_ID))
    }

    /// What somebody says of a receipt.
    fn verdict(&self, secret: B256, receipt: B256) -> IAudits::SignedVerdict {
        let verdict = Verdict { receipt, own: OWN };
        let digest = verdict.eip712_signing_hash(&audits::domain(CHAIN_ID));
        let signature = Bytes::from(sign_message(secret, digest).unwrap().as_bytes());
        let auditor = alloy_consensus::crypto::secp256k1::recover_signer(
            &signature.as_ref().try_into().unwrap(),
            digest,
        );
        let SignedVerdict { verdict, signature } = SignedVerdict { verdict, signature };
        IAudits::SignedVerdict { auditor: auditor.unwrap(), own: verdict.own, signature }
    }

    /// What passes receipt `at`.
    fn call(&self, at: usize) -> IAudits::passCall {
        let IAudits::SignedReceipt { receipt, signature, .. } = self.net.sign(self.batch[at].clone());
        IAudits::passCall {
            receipt,
            signature,
            root: self.root,
            siblings: receipts::proof(&self.leaves(), at).unwrap(),
            verdict: self.verdict(self.auditor, self.digest(at)),
        }
    }

    fn send(&mut self, call: &IAudits::passCall) -> Result<(), Failure> {
        self.net.world.call(AUDITS, OTHER, call).map(|_| ())
    }

    fn pass(&mut self, at: usize) -> Result<(), Failure> {
        let call = self.call(at);
        self.send(&call)
    }

    /// The auditor says that it is there: otherwise its ask is not live for long.
    fn beat(&mut self) {
        self.net.world.call(ASKS, key(2).1, &IAsks::beatCall {}).unwrap();
    }

    fn history(&mut self) -> IAudits::History {
        let worker = self.net.worker;
        self.net.world.call(AUDITS, Address::ZERO, &IAudits::historyOfCall { worker }).unwrap()
    }

    fn set_passed(&mut self, passed: u32) {
        let slot = keccak256((self.net.worker, U256::from(5)).abi_encode());
        self.net.world.storage.insert((AUDITS.address, slot.into()), U256::from(passed));
    }
}

#[test]
fn a_passed_audit_is_a_fact_of_the_ledger() {
    let mut scene = Scene::new();
    let now = scene.net.world.now;
    assert_eq!(scene.history(), IAudits::History { passed: 0, passedAt: 0, convictedAt: 0 });
    scene.pass(0).unwrap();
    let passed = IAudits::Passed { receipt: scene.digest(0), worker: scene.net.worker, auditor: key(2).1 };
    assert_eq!(scene.net.world.last::<IAudits::Passed>(), passed);
    assert_eq!(scene.history(), IAudits::History { passed: 1, passedAt: now, convictedAt: 0 });
    scene.net.world.now += 5;
    scene.pass(2).unwrap();
    assert_eq!(scene.history(), IAudits::History { passed: 2, passedAt: now + 5, convictedAt: 0 });
}

#[test]
fn a_receipt_passes_once() {
    let mut scene = Scene::new();
    scene.pass(0).unwrap();
    let again = Err(reverts(IAudits::AlreadyPassed { receipt: scene.digest(0) }));
    assert_eq!(scene.pass(0), again);
    // Nor in another batch.
    scene.batch.truncate(2);
    scene.anchor(scene.net.worker);
    scene.post();
    assert_eq!(scene.pass(0), again);
    assert_eq!(scene.history().passed, 1);
}

#[test]
fn only_audited_answers_that_have_a_trace_pass() {
    for (privacy, evidence) in [(1, 0), (1, 2), (1, 3), (0, 9), (2, 1), (3, 1), (4, 1), (9, 1)] {
        let mut scene = Scene::new();
        scene.batch[0] = Receipt { privacy, evidence, ..scene.batch[0].clone() };
        assert_eq!(scene.pass(0), Err(reverts(IAudits::NotAudited { privacy, evidence })));
    }
}

#[test]
fn a_receipt_that_its_worker_did_not_sign_does_not_pass() {
    let mut scene = Scene::new();
    let mut call = scene.call(0);
    call.signature = scene.call(1).signature;
    assert_eq!(scene.send(&call), Err(reverts(IAudits::BadSignature {})));
    let mut call = scene.call(0);
    call.receipt.price -= 1;
    assert_eq!(scene.send(&call), Err(reverts(IAudits::BadSignature {})));
}

#[test]
fn a_root_that_is_not_anchored_does_not_count() {
    let mut scene = Scene::new();
    let call = IAudits::passCall { root: B256::repeat_byte(9), ..scene.call(0) };
    assert_eq!(scene.send(&call), Err(reverts(IAudits::NotAnchored { root: call.root })));
}

/// Who anchors somebody's receipt in a block of his choice would have another beacon decide.
#[test]
fn a_root_that_somebody_else_anchored_does_not_count() {
    let mut scene = Scene::new();
    scene.batch.truncate(2);
    scene.anchor(OTHER);
    scene.post();
    assert_eq!(scene.pass(0), Err(reverts(IAudits::WrongAnchor { worker: OTHER })));
}

#[test]
fn a_receipt_of_another_batch_does_not_pass() {
    let mut scene = Scene::new();
    let refused = Err(reverts(IAudits::NotIncluded { root: scene.root }));
    let call = IAudits::passCall { siblings: scene.call(1).siblings, ..scene.call(0) };
    assert_eq!(scene.send(&call), refused);
    // A leaf is the hash of the digest: the digest itself is none.
    let call = IAudits::passCall { siblings: Vec::new(), ..scene.call(0) };
    assert_eq!(scene.send(&call), refused);
}

#[test]
fn an_overlong_path_is_refused() {
    let mut scene = Scene::new();
    let call = |len| IAudits::passCall { siblings: vec![B256::ZERO; len], ..scene.call(0) };
    let (longest, longer) = (call(MAX_PROOF), call(MAX_PROOF + 1));
    assert_eq!(scene.send(&longest), Err(reverts(IAudits::NotIncluded { root: scene.root })));
    assert_eq!(scene.send(&longer), Err(reverts(IAudits::PathTooLong { limit: 32 })));
}

#[test]
fn without_the_beacon_of_its_block_nothing_passes() {
    let mut scene = Scene::new();
    scene.batch.truncate(2);
    scene.anchor(scene.net.worker);
    let number = scene.block;
    assert_eq!(scene.pass(0), Err(reverts(IAudits::NoBeacon { number })));
    scene.post();
    scene.pass(0).unwrap();
}

#[test]
fn what_the_beacon_does_not_select_does_not_pass() {
    let mut scene = Scene::of(3, 0);
    assert_eq!(scene.pass(0), Err(reverts(IAudits::NotSelected { probability: 0 })));
}

/// With hardly any stake every answer is selected: a worker could take its own home, and have all of its answers pass.
#[test]
fn a_worker_without_the_stake_of_an_ask_passes_nothing() {
    let mut scene = Scene::of(3, 1);
    let worker = scene.net.worker;
    scene.net.world.call(STAKES, worker, &IStakes::unbondCall { amount: ASK_STAKE - 1 }).unwrap();
    let refused = IAudits::TooLittleStake { bonded: 1, needed: ASK_STAKE };
    assert_eq!(scene.pass(0), Err(reverts(refused)));
}

#[test]
fn neither_worker_nor_client_is_its_own_auditor() {
    let mut scene = Scene::new();
    scene.ask(1, scene.net.id, ASK_STAKE);
    let worker = scene.net.worker;
    let own = scene.verdict(scene.net.secret, scene.digest(0));
    let call = IAudits::passCall { verdict: own, ..scene.call(0) };
    assert_eq!(scene.send(&call), Err(reverts(IAudits::NotIndependent { auditor: worker })));

    let mut scene = Scene::new();
    let client = key(2).1;
    scene.batch[0].client = client;
    scene.anchor(worker);
    scene.post();
    assert_eq!(scene.pass(0), Err(reverts(IAudits::NotIndependent { auditor: client })));
}

#[test]
fn a_verdict_about_another_receipt_does_not_count() {
    let mut scene = Scene::new();
    let call = IAudits::passCall { verdict: scene.call(1).verdict, ..scene.call(0) };
    assert_eq!(scene.send(&call), Err(reverts(IAudits::BadVerdict {})));
}

#[test]
fn a_verdict_with_another_own_receipt_does_not_count() {
    let mut scene = Scene::new();
    let mut call = scene.call(0);
    call.verdict.own = B256::ZERO;
    assert_eq!(scene.send(&call), Err(reverts(IAudits::BadVerdict {})));
}

#[test]
fn a_verdict_that_somebody_else_signed_does_not_count() {
    let mut scene = Scene::new();
    let mut call = scene.call(0);
    call.verdict.signature = scene.verdict(key(3).0, scene.digest(0)).signature;
    assert_eq!(scene.send(&call), Err(reverts(IAudits::BadVerdict {})));
}

#[test]
fn a_verdict_for_another_ledger_does_not_count() {
    let mut scene = Scene::new();
    let mut call = scene.call(0);
    let verdict = Verdict { receipt: scene.digest(0), own: OWN };
    let digest = verdict.eip712_signing_hash(&audits::domain(CHAIN_ID + 1));
    call.verdict.signature = sign_message(scene.auditor, digest).unwrap().as_bytes().into();
    assert_eq!(scene.send(&call), Err(reverts(IAudits::BadVerdict {})));
}

#[test]
fn an_auditor_needs_an_ask_for_the_model_in_the_mode() {
    let mut scene = Scene::new();
    let auditor = key(2).1;
    let no_ask = Err(reverts(IAudits::NoAsk { auditor }));
    let remove = IAsks::removeCall { modelId: scene.net.id, privacy: 1, evidence: 1 };
    scene.net.world.call(ASKS, auditor, &remove).unwrap();
    assert_eq!(scene.pass(0), no_ask);
    // One in another mode is none.
    let terms = IAsks::Terms {
        privacy: 0,
        evidence: 1,
        price: 1,
        promptPrice: 0,
        completionPrice: 0,
        capacity: 1,
        validUntil: scene.net.world.now + ASK_LIFE_S,
        sealingKey: B256::ZERO,
        endpoint: "http://worker".into(),
    };
    scene.net.world.call(ASKS, auditor, &IAsks::setCall { modelId: scene.net.id, terms }).unwrap();
    assert_eq!(scene.pass(0), no_ask);
}

#[test]
fn an_auditor_s_ask_must_not_have_ended() {
    let mut scene = Scene::new();
    scene.net.world.now += ASK_LIFE_S;
    scene.beat();
    scene.pass(0).unwrap();
    scene.net.world.now += 1;
    assert_eq!(scene.pass(1), Err(reverts(IAudits::NoAsk { auditor: key(2).1 })));
}

#[test]
fn an_auditor_must_be_there() {
    let mut scene = Scene::new();
    scene.net.world.now += LIVE_S + 1;
    assert_eq!(scene.pass(0), Err(reverts(IAudits::NoAsk { auditor: key(2).1 })));
    scene.beat();
    scene.pass(0).unwrap();
}

#[test]
fn an_auditor_must_have_stake() {
    let mut scene = Scene::new();
    let auditor = key(2).1;
    scene.net.world.call(STAKES, auditor, &IStakes::unbondCall { amount: 1 }).unwrap();
    assert_eq!(scene.pass(0), Err(reverts(IAudits::NoAsk { auditor })));
}

/// A worker that lied once, and the rest of whose answers were right.
fn caught_with_a_history() -> (Scene, IAudits::convictCall) {
    let mut scene = Scene::new();
    let mut lied = scene.net.honest.clone();
    alter(&mut lied, 1, 68, 1);
    reference::resume(&scene.net.model, &mut lied, 1).unwrap();
    let (shown, root) = {
        let tree = scene.net.tree(&lied);
        (show(&scene.net.model, &tree, 0, 68), B256::from(tree.tree().root()))
    };
    scene.batch[1] = Receipt { price: PRICE, ..scene.net.receipt(root) };
    scene.anchor(scene.net.worker);
    scene.post();
    let signed = scene.net.sign(scene.batch[1].clone());
    let convict = scene.net.convict_call(signed, &shown);
    (scene, convict)
}

#[test]
fn a_conviction_ends_what_was_passed() {
    let (mut scene, convict) = caught_with_a_history();
    scene.pass(0).unwrap();
    let passed_at = scene.net.world.now;
    scene.net.world.now += 100;
    scene.net.convict(OTHER, &convict).unwrap();
    let now = scene.net.world.now;
    let ended = IAudits::History { passed: 0, passedAt: passed_at, convictedAt: now };
    assert_eq!(scene.history(), ended);
    // What was answered before is over, however good.
    let worker = scene.net.worker;
    scene.net.world.fund(worker, ASK_STAKE);
    scene.net.bond(ASK_STAKE);
    assert_eq!(scene.pass(2), Err(reverts(IAudits::BeforeConviction { convictedAt: now })));
    // What comes after begins anew.
    scene.batch[0].completedAt = now + 1;
    scene.anchor(worker);
    scene.post();
    scene.pass(0).unwrap();
    assert_eq!(scene.history(), IAudits::History { passed: 1, passedAt: now, convictedAt: now });
}

#[test]
fn a_convicted_receipt_never_passes() {
    let (mut scene, convict) = caught_with_a_history();
    scene.net.convict(OTHER, &convict).unwrap();
    let convicted = Err(reverts(IAudits::AlreadyConvicted { receipt: scene.digest(1) }));
    assert_eq!(scene.pass(1), convicted);
}

/// Its auditor was in league with it, or looked badly.
#[test]
fn a_passed_receipt_can_still_be_convicted() {
    let (mut scene, convict) = caught_with_a_history();
    scene.pass(1).unwrap();
    scene.net.convict(OTHER, &convict).unwrap();
    assert_eq!(scene.history().passed, 0);
    let convicted = Err(reverts(IAudits::AlreadyConvicted { receipt: scene.digest(1) }));
    assert_eq!(scene.pass(1), convicted);
}

/// The worker lets an hour of a dispute pass, and its answers go on passing until somebody settles it.
#[test]
fn silence_counts_from_when_it_is_settled() {
    let (mut scene, _) = caught_with_a_history();
    let honest = scene.net.honest.clone();
    let tree = scene.net.tree(&honest);
    let signed = scene.net.signed(tree.tree());
    let id = scene.net.challenge(CHALLENGER, &signed, tree.tree()).unwrap();
    scene.net.world.now += 10 * STEP_S;
    scene.beat();
    scene.pass(0).unwrap();
    scene.net.world.now += 5;
    scene.net.settle(id).unwrap();
    let now = scene.net.world.now;
    assert_eq!(scene.history(), IAudits::History { passed: 0, passedAt: now - 5, convictedAt: now });
}

/// A challenge that its challenger loses says nothing against the worker.
#[test]
fn a_lost_challenge_is_no_conviction() {
    let mut scene = Scene::new();
    let honest = scene.net.honest.clone();
    let tree = scene.net.tree(&honest);
    let signed = scene.net.signed(tree.tree());
    let id = scene.net.challenge(CHALLENGER, &signed, tree.tree()).unwrap();
    let children = scene.net.children(id, tree.tree());
    scene.net.reveal(id, children).unwrap();
    scene.net.world.now += STEP_S + 1;
    scene.net.settle(id).unwrap();
    assert!(!scene.net.is_convicted(&signed));
    assert_eq!(scene.history().convictedAt, 0);
}

/// `K R b / (S e)`, from the words of the specification, and six standard deviations of the share among so many draws.
#[expect(clippy::float_arithmetic, reason = "an oracle apart from the integers")]
fn expected(burned: u128, price: u128, passed: u32, draws: u8) -> (f64, f64) {
    let surcharge = 1.0 + f64::from(20_u32.saturating_sub(passed)) / 20.0;
    let share = (2.0 * surcharge * price as f64 / (burned as f64 * 0.8)).min(1.0);
    (share, 6.0 * (share * (1.0 - share) / f64::from(draws)).sqrt())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Of many answers of one price as many are selected as the policy says, and which they are is what the pure function says.
    #[test]
    #[expect(clippy::float_arithmetic, reason = "compared with an oracle in floats")]
    fn answers_are_selected_as_often_as_the_policy_says(
        hundredths in 10_u128..60, stake in 1_u128..50, passed in 0_u32..40, hash in any::<[u8; 32]>(),
    ) {
        const DRAWS: u8 = 150;
        let bonded = stake * ASK_STAKE;
        let price = burned(bonded) * hundredths / 400;
        let (share, spread) = expected(burned(bonded), price, passed, DRAWS);
        let mut scene = Scene::of(DRAWS, price);
        if stake > 1 {
            scene.net.world.fund(scene.net.worker, bonded - ASK_STAKE);
            scene.net.bond(bonded - ASK_STAKE);
        }
        scene.set_passed(passed);
        let beacon = beacons::of_development(hash.into());
        let slot = keccak256((scene.block, U256::ZERO).abi_encode());
        scene.net.world.storage.insert((BEACONS.address, slot.into()), beacon.into());

        let probability = Policy::NETWORK.probability(burned(bonded), price, passed);
        let one = Ratio::ONE.0 as f64;
        prop_assert!((probability.0 as f64 / one - share).abs() < 1e-6);
        let mut selected = 0;
        for at in 0..usize::from(DRAWS) {
            // A verdict that does not count, so that `passed` stays.
            let mut call = scene.call(at);
            call.verdict.own = B256::ZERO;
            let refused = if is_selected(beacon, scene.digest(at), probability) {
                selected += 1;
                reverts(IAudits::BadVerdict {})
            } else {
                reverts(IAudits::NotSelected { probability: probability.0 })
            };
            prop_assert_eq!(scene.send(&call), Err(refused));
        }
        let got = f64::from(selected) / f64::from(DRAWS);
        prop_assert!((got - share).abs() <= spread, "{} of {}", got, share);
    }
}
