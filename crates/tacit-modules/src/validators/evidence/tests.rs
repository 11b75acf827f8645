//! One way of being no evidence a test; what the library itself writes is compared in `tacit-consensus`.

use crate::validators::{
    Evidence, EvidenceError, Kind,
    votes::{NAMESPACE, Say, Voter, varint},
};
use alloy_primitives::B256;
use proptest::prelude::*;

const ROUND: (u64, u64) = (2, 300);

fn check(bytes: &[u8], key: B256) -> Result<(Kind, u64, u64), EvidenceError> {
    let fault = Evidence::decode(bytes)?.check(NAMESPACE, key)?;
    Ok((fault.kind(), fault.epoch(), fault.view()))
}

fn votes(voter: &Voter, kind: u8, first: Say, second: Say) -> Vec<u8> {
    [vec![kind], voter.vote(NAMESPACE, ROUND, first, 3), voter.vote(NAMESPACE, ROUND, second, 3)].concat()
}

#[test]
fn each_kind_is_accepted_at_any_size_of_integer() {
    let voter = Voter::new(1);
    for (number, kind) in [(7, Kind::Notarizes), (8, Kind::Finalizes), (9, Kind::NullifyFinalize)] {
        assert_eq!(kind.number(), number);
        for (epoch, view) in [(0, 1), (127, 128), (1 << 32, u64::MAX), (u64::MAX, 0)] {
            let evidence = voter.evidence((epoch, view), number);
            assert_eq!(check(&evidence, voter.key()), Ok((kind, epoch, view)));
        }
    }
}

#[test]
fn proposals_may_differ_in_their_parent_alone() {
    let voter = Voter::new(1);
    let [one, other] = [1, 2].map(|parent| Say::Notarize { parent, digest: 5 });
    assert!(check(&votes(&voter, 7, one, other), voter.key()).is_ok());
    let [one, other] = [1, 2].map(|parent| Say::Finalize { parent, digest: 5 });
    assert!(check(&votes(&voter, 8, one, other), voter.key()).is_ok());
}

#[test]
fn no_bit_of_evidence_can_be_changed() {
    let voter = Voter::new(1);
    for kind in [7, 8, 9] {
        let good = voter.evidence(ROUND, kind);
        for place in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[place] ^= 1 << bit;
                assert!(check(&bad, voter.key()).is_err(), "kind {kind}, byte {place}, bit {bit}");
            }
        }
    }
}

#[test]
fn evidence_has_one_length() {
    let voter = Voter::new(1);
    for kind in [7, 8, 9] {
        let good = voter.evidence(ROUND, kind);
        for length in 0..good.len() {
            assert_eq!(check(&good[..length], voter.key()), Err(EvidenceError::Truncated));
        }
        assert_eq!(check(&[good, vec![0]].concat(), voter.key()), Err(EvidenceError::Trailing));
    }
}

#[test]
fn other_activities_are_no_evidence() {
    let voter = Voter::new(1);
    for got in (0..=u8::MAX).filter(|kind| ![7, 8, 9].contains(kind)) {
        let mut evidence = voter.evidence(ROUND, 7);
        evidence[0] = got;
        assert_eq!(check(&evidence, voter.key()), Err(EvidenceError::Kind { got }));
    }
}

#[test]
fn votes_of_two_signers_are_refused() {
    let voter = Voter::new(1);
    let vote = |digest, signer| voter.vote(NAMESPACE, ROUND, Say::Notarize { parent: 1, digest }, signer);
    let evidence = [vec![7], vote(1, 3), vote(2, 4)].concat();
    assert_eq!(check(&evidence, voter.key()), Err(EvidenceError::Signers));
}

/// The index is not signed and the key is given: whatever both votes say, it is the key that signed.
#[test]
fn the_signers_index_decides_nothing() {
    let voter = Voter::new(1);
    let vote = |digest| voter.vote(NAMESPACE, ROUND, Say::Notarize { parent: 1, digest }, u32::MAX);
    assert!(check(&[vec![7], vote(1), vote(2)].concat(), voter.key()).is_ok());
}

#[test]
fn votes_of_two_rounds_are_refused() {
    let voter = Voter::new(1);
    let vote = |round, digest| voter.vote(NAMESPACE, round, Say::Finalize { parent: 1, digest }, 3);
    for other in [(2, 301), (3, 300)] {
        let evidence = [vec![8], vote(ROUND, 1), vote(other, 2)].concat();
        assert_eq!(check(&evidence, voter.key()), Err(EvidenceError::Rounds));
    }
}

#[test]
fn two_votes_for_one_proposal_are_refused() {
    let voter = Voter::new(1);
    let say = Say::Notarize { parent: 1, digest: 1 };
    assert_eq!(check(&votes(&voter, 7, say, say), voter.key()), Err(EvidenceError::SameProposal));
}

/// Notarizing and finalizing the same view is what honest validators do.
#[test]
fn votes_of_two_phases_do_not_contradict_each_other() {
    let voter = Voter::new(1);
    let notarize = Say::Notarize { parent: 1, digest: 1 };
    let finalize = Say::Finalize { parent: 1, digest: 2 };
    for kind in [7, 8] {
        let error = if kind == 7 { EvidenceError::SecondSignature } else { EvidenceError::FirstSignature };
        assert_eq!(check(&votes(&voter, kind, notarize, finalize), voter.key()), Err(error));
    }
    // Nor does giving up a view that one notarized before.
    let evidence = votes(&voter, 9, Say::Nullify, notarize);
    assert_eq!(check(&evidence, voter.key()), Err(EvidenceError::SecondSignature));
}

#[test]
fn votes_of_another_key_or_network_are_refused() {
    let (voter, other) = (Voter::new(1), Voter::new(2));
    let evidence = voter.evidence(ROUND, 7);
    assert_eq!(check(&evidence, other.key()), Err(EvidenceError::FirstSignature));
    assert_eq!(check(&evidence, B256::repeat_byte(2)), Err(EvidenceError::FirstSignature), "no point");
    let elsewhere = Evidence::decode(&evidence).unwrap().check(B256::ZERO, voter.key());
    assert_eq!(elsewhere, Err(EvidenceError::FirstSignature));
    let say = |digest| Say::Notarize { parent: 1, digest };
    let mixed =
        [vec![7], voter.vote(NAMESPACE, ROUND, say(1), 3), other.vote(NAMESPACE, ROUND, say(2), 3)].concat();
    assert_eq!(check(&mixed, voter.key()), Err(EvidenceError::SecondSignature));
}

#[test]
fn integers_have_one_form() {
    let decode = |epoch: &[u8]| Evidence::decode(&[&[9], epoch].concat()).map(|_| ());
    // Nothing follows the integer: only its own form can be the reason.
    for longer in [&[0x80, 0][..], &[0xff, 0x80, 0], &[0x80; 10], &[[0xff; 9].as_slice(), &[2]].concat()] {
        assert_eq!(decode(longer), Err(EvidenceError::Varint), "{longer:?}");
    }
    for good in [&[0][..], &[0x7f], &varint(u64::MAX)] {
        assert_eq!(decode(good), Err(EvidenceError::Truncated));
    }
    // A signer has 32 bits.
    let vote = |signer: &[u8]| [&[9, 0, 1], signer].concat();
    let signer = |signer: u64| Evidence::decode(&vote(&varint(signer))).map(|_| ());
    assert_eq!(signer(u64::from(u32::MAX)), Err(EvidenceError::Truncated));
    assert_eq!(signer(u64::from(u32::MAX) + 1), Err(EvidenceError::Varint));
}

proptest! {
    #[test]
    fn any_bytes_get_a_verdict(kind in 6_u8..11, rest in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [vec![kind], rest].concat();
        if let Ok(evidence) = Evidence::decode(&bytes) {
            // Nobody signed it.
            prop_assert!(evidence.check(NAMESPACE, Voter::new(1).key()).is_err());
        }
    }
}
