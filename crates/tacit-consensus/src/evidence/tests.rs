use super::*;
use bytes::Bytes;
use commonware_consensus::{
    simplex::types::{Finalization, Notarization, Nullification, Proposal},
    types::{Epoch, View},
};
use commonware_cryptography::{
    Signer as _,
    ed25519::{PrivateKey, PublicKey},
    keccak256,
};
use commonware_parallel::Sequential;
use commonware_utils::{non_empty, ordered::Set};

const NAMESPACE: B256 = B256::repeat_byte(0xc0);

/// Everything reported.
#[derive(Clone, Default)]
struct Court(Arc<Mutex<Vec<(B256, Fault, Bytes)>>>);

impl EvidenceSink for Court {
    fn report(&self, key: B256, fault: Fault, evidence: Bytes) {
        self.0.lock().unwrap().push((key, fault, evidence));
    }
}

impl Court {
    /// Epoch, view and kind of each report, all of which are about the key of validator `n`.
    fn faults(&self, n: u64) -> Vec<(u64, u64, u8)> {
        let reported = self.0.lock().unwrap();
        let faults = reported.iter().map(|(key, fault, evidence)| {
            assert_eq!(*key, B256::from_slice(&scheme_key(n)));
            assert_eq!(Evidence::decode(evidence).unwrap().check(NAMESPACE, *key).unwrap(), *fault);
            (fault.epoch(), fault.view(), fault.kind().number())
        });
        faults.collect()
    }
}

fn keys() -> Set<PublicKey> {
    Set::from_iter_dedup((0..4).map(|n| PrivateKey::from_seed(n).public_key()))
}

fn member(epoch: Epoch, member: Participant) -> Option<B256> {
    let key = keys().get(usize::from(member)).map(|key| B256::from_slice(key));
    key.filter(|_| epoch.get() < 2)
}

fn scheme(n: u64) -> Scheme {
    Scheme::signer(NAMESPACE.as_slice(), keys(), PrivateKey::from_seed(n)).unwrap()
}

fn scheme_key(n: u64) -> PublicKey {
    PrivateKey::from_seed(n).public_key()
}

fn witness() -> (Witness<Court>, Court) {
    let court = Court::default();
    (Witness::new(NAMESPACE, member, court.clone()), court)
}

fn round(view: u64) -> Round {
    Round::new(Epoch::zero(), View::new(view))
}

fn proposal(view: u64, block: u8) -> Proposal<BlockHash> {
    Proposal::new(round(view), View::new(view - 1), keccak256::Digest([block; 32]))
}

fn notarize(n: u64, view: u64, block: u8) -> Notarize<Scheme, BlockHash> {
    Notarize::sign(&scheme(n), proposal(view, block)).unwrap()
}

fn finalize(n: u64, view: u64, block: u8) -> Finalize<Scheme, BlockHash> {
    Finalize::sign(&scheme(n), proposal(view, block)).unwrap()
}

fn nullify(n: u64, view: u64) -> Nullify<Scheme> {
    Nullify::sign::<BlockHash>(&scheme(n), round(view)).unwrap()
}

#[test]
fn two_votes_are_reported_in_whatever_order_they_come() {
    let pairs: [(Act, Act, u8); 3] = [
        (Activity::Notarize(notarize(1, 5, 1)), Activity::Notarize(notarize(1, 5, 2)), 7),
        (Activity::Finalize(finalize(1, 5, 1)), Activity::Finalize(finalize(1, 5, 2)), 8),
        (Activity::Nullify(nullify(1, 5)), Activity::Finalize(finalize(1, 5, 1)), 9),
    ];
    for (one, other, kind) in pairs {
        for acts in [[one.clone(), other.clone()], [other, one]] {
            let (mut witness, court) = witness();
            for act in acts {
                witness.report(act);
            }
            assert_eq!(court.faults(1), [(0, 5, kind)]);
        }
    }
}

#[test]
fn a_pair_that_the_engine_found_is_reported() {
    let pairs: [Act; 3] = [
        Activity::ConflictingNotarize(ConflictingNotarize::new(notarize(1, 5, 1), notarize(1, 5, 2))),
        Activity::ConflictingFinalize(ConflictingFinalize::new(finalize(1, 5, 1), finalize(1, 5, 2))),
        Activity::NullifyFinalize(NullifyFinalize::new(nullify(1, 5), finalize(1, 5, 2))),
    ];
    for (pair, kind) in pairs.into_iter().zip(7..) {
        let (mut witness, court) = witness();
        witness.report(pair);
        assert_eq!(court.faults(1), [(0, 5, kind)]);
    }
}

#[test]
fn votes_in_certificates_count() {
    let quorum = [0, 1, 2];
    let made = |n: u64, act: Act, kind| {
        let (mut witness, court) = witness();
        witness.report(act);
        let votes = quorum.map(|n| notarize(n, 5, 2));
        let made = Notarization::from_notarizes(&scheme(0), non_empty![@votes.iter()], &Sequential).unwrap();
        witness.report(Activity::Notarization(made.clone()));
        witness.report(Activity::Certification(made));
        let votes = quorum.map(|n| finalize(n, 5, 2));
        let made = Finalization::from_finalizes(&scheme(0), non_empty![@votes.iter()], &Sequential).unwrap();
        witness.report(Activity::Finalization(made));
        assert_eq!(court.faults(n), [(0, 5, kind)]);
    };
    made(1, Activity::Notarize(notarize(1, 5, 1)), 7);
    made(2, Activity::Finalize(finalize(2, 5, 1)), 8);
    made(0, Activity::Nullify(nullify(0, 5)), 9);
    let (mut witness, court) = witness();
    witness.report(Activity::Finalize(finalize(1, 5, 1)));
    let votes = quorum.map(|n| nullify(n, 5));
    witness.report(Activity::Nullification(
        Nullification::from_nullifies(&scheme(0), non_empty![@votes.iter()], &Sequential).unwrap(),
    ));
    assert_eq!(court.faults(1), [(0, 5, 9)]);
}

#[test]
fn what_an_honest_validator_signs_is_not_reported() {
    let (mut witness, court) = witness();
    for view in 1..20 {
        let other = if view % 2 == 0 {
            Activity::Nullify(nullify(1, view))
        } else {
            Activity::Finalize(finalize(1, view, 1))
        };
        for act in [Activity::Notarize(notarize(1, view, 1)), other] {
            witness.report(act.clone());
            witness.report(act);
        }
        // Another validator's vote for another block is no contradiction.
        witness.report(Activity::Notarize(notarize(2, view, 2)));
    }
    assert_eq!(court.faults(1), []);
}

/// Whoever sends a vote that it has not signed gets neither somebody else reported nor itself forgotten.
#[test]
fn what_is_not_signed_is_not_reported_and_hides_nothing() {
    let forged =
        |block| Notarize { attestation: notarize(1, 9, 9).attestation, proposal: proposal(5, block) };
    let (mut witness, court) = witness();
    witness.report(Activity::Notarize(forged(1)));
    witness.report(Activity::Notarize(forged(2)));
    let pair = ConflictingNotarize::new(forged(1), notarize(1, 5, 2));
    witness.report(Activity::ConflictingNotarize(pair));
    assert_eq!(court.faults(1), []);
    witness.report(Activity::Notarize(notarize(1, 5, 1)));
    witness.report(Activity::Notarize(forged(3)));
    assert_eq!(court.faults(1), []);
    witness.report(Activity::Notarize(notarize(1, 5, 2)));
    assert_eq!(court.faults(1), [(0, 5, 7)]);
    // Signed for another network.
    let elsewhere = Scheme::signer(&[0xc1; 32], keys(), PrivateKey::from_seed(2)).unwrap();
    for block in [1, 2] {
        witness.report(Activity::Notarize(Notarize::sign(&elsewhere, proposal(5, block)).unwrap()));
    }
    assert_eq!(court.faults(1).len(), 1);
}

#[test]
fn reports_and_rounds_are_bounded() {
    let (mut witness, court) = witness();
    for view in 1..=10 {
        witness.report(Activity::Notarize(notarize(1, view, 1)));
        witness.report(Activity::Notarize(notarize(1, view, 2)));
    }
    assert_eq!(court.faults(1), [1, 2, 3, 4].map(|view| (0, view, 7)));
    for view in 1..=2 * u64::try_from(ROUNDS_KEPT).unwrap() {
        witness.report(Activity::Notarize(notarize(2, view, 1)));
        witness.report(Activity::Nullify(nullify(2, view)));
    }
    let book = witness.book.lock().unwrap();
    assert_eq!(book.rounds.len(), ROUNDS_KEPT);
    assert!(book.rounds.values().flat_map(BTreeMap::values).all(|votes| votes.len() <= 3));
}
