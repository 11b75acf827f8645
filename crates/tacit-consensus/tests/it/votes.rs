//! Votes that the library signs, judged by the library and by the `validators` module of the ledger: they must agree.

use crate::{
    network::{Network, World, simulate},
    people::{COIN, address, genesis},
};
use alloy_primitives::{Address, B256, b256, hex};
use bytes::Bytes;
use commonware_codec::{Decode as _, DecodeExt as _, Encode as _};
use commonware_consensus::{
    simplex::{
        scheme::ed25519::Scheme,
        types::{
            Activity, ConflictingFinalize, ConflictingNotarize, Finalize, Notarize, Nullify, NullifyFinalize,
            Proposal,
        },
    },
    types::{Epoch, Round, View},
};
use commonware_cryptography::{
    Signer as _,
    certificate::Scheme as _,
    ed25519::{PrivateKey, PublicKey},
    keccak256,
};
use commonware_parallel::Sequential;
use commonware_runtime::deterministic::Context;
use commonware_utils::ordered::Set;
use serde_json::{Value, json};
use tacit_abi::validators::JOIN_SUFFIX;
use tacit_consensus::{BlockHash, StartError, namespace};
use tacit_ledger::{Founder, Genesis, Staking};
use tacit_modules::validators::Evidence;

type Act = Activity<Scheme, BlockHash>;

const NAMESPACE: B256 = B256::repeat_byte(0xc0);
const ELSEWHERE: B256 = B256::repeat_byte(0xc1);

fn key(n: u64) -> PrivateKey {
    PrivateKey::from_seed(n)
}

fn public(n: u64) -> B256 {
    B256::from_slice(key(n).public_key().as_ref())
}

/// Validators 0, 1 and 2.
fn set() -> Set<PublicKey> {
    Set::from_iter_dedup((0..3).map(|n| key(n).public_key()))
}

fn scheme(n: u64, namespace: B256) -> Scheme {
    Scheme::signer(namespace.as_slice(), set(), key(n)).unwrap()
}

fn round(epoch: u64, view: u64) -> Round {
    Round::new(Epoch::new(epoch), View::new(view))
}

fn proposal(round: Round, parent: u64, digest: u8) -> Proposal<BlockHash> {
    Proposal::new(round, View::new(parent), keccak256::Digest([digest; 32]))
}

/// Whom the library finds guilty.
fn library(context: &mut Context, scheme: &Scheme, bytes: &[u8]) -> Option<B256> {
    use commonware_consensus::simplex::types::Attributable as _;
    let act = Act::decode_cfg(Bytes::copy_from_slice(bytes), &scheme.participants().len()).ok()?;
    let (holds, signer) = match &act {
        Act::ConflictingNotarize(act) => (act.verify(context, scheme, &Sequential), act.signer()),
        Act::ConflictingFinalize(act) => (act.verify(context, scheme, &Sequential), act.signer()),
        Act::NullifyFinalize(act) => (act.verify(context, scheme, &Sequential), act.signer()),
        _ => return None,
    };
    let index = usize::try_from(signer.get()).unwrap();
    holds.then(|| B256::from_slice(scheme.participants().iter().nth(index).unwrap().as_ref()))
}

/// Whether the module finds this key guilty.
fn module(key: B256, bytes: &[u8]) -> bool {
    Evidence::decode(bytes).is_ok_and(|evidence| evidence.check(NAMESPACE, key).is_ok())
}

/// Every vote of two validators, in three rounds and two networks, for three proposals.
fn votes() -> Vec<Vec<u8>> {
    let mut votes = Vec::new();
    for namespace in [NAMESPACE, ELSEWHERE] {
        for signer in [0, 1] {
            let scheme = scheme(signer, namespace);
            for round in [round(0, 5), round(0, 300), round(1, 5)] {
                votes.push(Nullify::<Scheme>::sign::<BlockHash>(&scheme, round).unwrap().encode().to_vec());
                for (parent, digest) in [(4, 1), (4, 2), (3, 1)] {
                    let proposal = proposal(round, parent, digest);
                    votes.push(Notarize::sign(&scheme, proposal.clone()).unwrap().encode().to_vec());
                    votes.push(Finalize::sign(&scheme, proposal).unwrap().encode().to_vec());
                }
            }
        }
    }
    votes
}

/// One of each kind, by validator `n`.
fn conflicts(n: u64, namespace: B256, round: Round) -> [Act; 3] {
    let scheme = scheme(n, namespace);
    let parent = round.view().get().saturating_sub(1);
    let notarize = |digest| Notarize::sign(&scheme, proposal(round, parent, digest)).unwrap();
    let finalize = |digest| Finalize::sign(&scheme, proposal(round, parent, digest)).unwrap();
    let nullify = Nullify::sign::<BlockHash>(&scheme, round).unwrap();
    [
        Act::ConflictingNotarize(ConflictingNotarize::new(notarize(1), notarize(2))),
        Act::ConflictingFinalize(ConflictingFinalize::new(finalize(1), finalize(2))),
        Act::NullifyFinalize(NullifyFinalize::new(nullify, finalize(1))),
    ]
}

#[test]
fn any_two_votes_are_judged_alike() {
    simulate(71, |mut context| async move {
        let scheme = scheme(0, NAMESPACE);
        let votes = votes();
        let mut guilty = 0;
        for (first, second) in votes.iter().flat_map(|a| votes.iter().map(move |b| (a, b))) {
            for kind in 7..=9 {
                let bytes = [&[kind], &first[..], second].concat();
                let found = library(&mut context, &scheme, &bytes);
                for n in 0..3 {
                    assert_eq!(
                        module(public(n), &bytes),
                        found == Some(public(n)),
                        "{}",
                        hex::encode(&bytes)
                    );
                }
                guilty += usize::from(found.is_some());
            }
        }
        // For each signer and round: 6 ordered pairs of notarizations, 6 of finalizations, 3 finalizations after a nullification.
        assert_eq!(guilty, 2 * 3 * 15);
    });
}

#[test]
fn altered_evidence_is_judged_alike() {
    simulate(72, |mut context| async move {
        let scheme = scheme(0, NAMESPACE);
        for act in conflicts(0, NAMESPACE, round(200, 1 << 40)) {
            let good = act.encode().to_vec();
            assert_eq!(library(&mut context, &scheme, &good), Some(public(0)));
            assert!(module(public(0), &good));
            assert!(!module(public(1), &good));
            let mut altered: Vec<Vec<u8>> = (0..good.len()).map(|length| good[..length].to_vec()).collect();
            altered.push([&good[..], &[0]].concat());
            for place in 0..good.len() {
                for bit in 0..8 {
                    let mut bytes = good.clone();
                    bytes[place] ^= 1 << bit;
                    altered.push(bytes);
                }
            }
            for bytes in altered {
                assert_eq!(library(&mut context, &scheme, &bytes), None, "{}", hex::encode(&bytes));
                for n in 0..3 {
                    assert!(!module(public(n), &bytes), "{}", hex::encode(&bytes));
                }
            }
        }
    });
}

/// Integers of the codec at every width, shortest or not: where one decoder stops, the other does.
#[test]
fn integers_are_read_alike() {
    simulate(73, |mut context| async move {
        let scheme = scheme(0, NAMESPACE);
        for view in
            (0..64).map(|bits| (1_u64 << bits) - 1).chain((0..64).map(|bits| 1 << bits)).chain([u64::MAX])
        {
            for act in conflicts(0, NAMESPACE, round(view.rotate_left(7), view)) {
                let bytes = act.encode();
                assert!(module(public(0), &bytes), "view {view}");
                assert_eq!(library(&mut context, &scheme, &bytes), Some(public(0)));
            }
        }
        // A nullification begins with its epoch: only its form can differ.
        let tail = &conflicts(0, NAMESPACE, round(0, 5))[2].encode()[2..];
        for epoch in
            [&[0x80, 0][..], &[0x80, 0x80, 0], &[0xff; 10], &[0x80; 11], &[[0xff; 9], [2; 9]].concat()[..10]]
        {
            let bytes = [&[9][..], epoch, tail].concat();
            assert_eq!(library(&mut context, &scheme, &bytes), None);
            assert!(!module(public(0), &bytes));
            // Neither gets further than the integer.
            let cut = [&[9][..], epoch].concat();
            let error = Evidence::decode(&cut).unwrap_err();
            assert_eq!(error, tacit_modules::validators::EvidenceError::Varint, "{epoch:?}");
            let round = Round::decode(Bytes::copy_from_slice(epoch)).unwrap_err();
            assert!(matches!(round, commonware_codec::Error::InvalidVarint(_)), "{round}");
        }
    });
}

/// Points of small order in all their encodings, as keys and in signatures, with `s` in and out of range: where implementations of
/// ed25519 are known to differ.
#[test]
fn odd_keys_and_signatures_are_judged_alike() {
    simulate(74, |mut context| async move {
        let mut accepted = 0;
        let honest = public(0);
        for key in POINTS.into_iter().chain([honest]) {
            let Ok(public) = PublicKey::decode(Bytes::copy_from_slice(key.as_slice())) else {
                panic!("ZIP 215 accepts {key}")
            };
            let set = Set::from_iter_dedup([public]);
            let scheme = Scheme::verifier(NAMESPACE.as_slice(), set);
            for r in POINTS {
                for s in SCALARS {
                    let vote = |digest: u8| {
                        [&[0, 5, 4][..], &[digest; 32], &[0], r.as_slice(), s.as_slice()].concat()
                    };
                    let bytes = [&[7], &vote(1)[..], &vote(2)].concat();
                    let found = library(&mut context, &scheme, &bytes);
                    assert_eq!(module(key, &bytes), found == Some(key), "{key} {r} {s}");
                    accepted += usize::from(found.is_some());
                }
            }
        }
        // Under each key of small order, every `R` of small order holds with `s = 0`, and with no other.
        assert_eq!(accepted, POINTS.len() * POINTS.len());
    });
}

#[test]
fn the_ledger_judges_the_votes_of_its_founders() {
    let named = named(&[0, 1, 2]);
    let network = namespace(&named, &set()).unwrap();
    assert_eq!(network, named.namespace().unwrap());
    let scheme = Scheme::signer(network.as_slice(), set(), key(1)).unwrap();
    let finalize = |digest| Finalize::sign(&scheme, proposal(round(0, 5), 4, digest)).unwrap();
    let act = Act::ConflictingFinalize(ConflictingFinalize::new(finalize(1), finalize(2))).encode();
    let judged = Evidence::decode(&act).unwrap().check(named.namespace().unwrap(), public(1)).unwrap();
    assert_eq!((judged.epoch(), judged.view()), (0, 5));
}

#[test]
fn validators_must_be_the_founders() {
    let named = named(&[0, 1, 2]);
    let of = |keys: &[u64]| Set::from_iter_dedup(keys.iter().map(|n| key(*n).public_key()));
    for other in [&[0, 1][..], &[0, 1, 3], &[0, 1, 2, 3], &[]] {
        let refused = namespace(&named, &of(other)).unwrap_err();
        assert!(matches!(refused, StartError::OtherValidators), "{other:?}: {refused}");
    }
    // Nobody is a founder: nobody could lose anything.
    assert!(matches!(namespace(&genesis(), &of(&[0, 1])).unwrap_err(), StartError::OtherValidators));
    let mut poor = named.clone();
    poor.staking.founders[0].stake = 0;
    assert!(matches!(namespace(&poor, &set()).unwrap_err(), StartError::Genesis(_)));
}

#[test]
fn founders_finalise() {
    simulate(75, |context| async move {
        let world = World { genesis: named(&[0, 1, 2, 3]), ..World::new(4) };
        let network = Network::start(context, world).await;
        network.until("first blocks", |world| world.height() >= 4).await;
        network.world.replay();
    });
}

/// A genesis that names these keys as founders.
fn named(keys: &[u64]) -> Genesis {
    let founder = |n: &u64| {
        let owner = Address::repeat_byte(0xa0 + u8::try_from(*n).unwrap());
        Founder { key: public(*n), owner, stake: 100 * COIN, payer: None }
    };
    let staking = Staking { founders: keys.iter().map(founder).collect(), ..Staking::default() };
    Genesis { staking, ..genesis() }
}

/// What the library writes, for those who do not have it. `TACIT_WRITE_VECTORS=1 cargo test -p tacit-consensus --test it vectors`
/// writes the file anew.
#[test]
fn vectors_are_what_the_library_writes() {
    let mut cases = Vec::new();
    for place in [round(0, 1), round(3, 300), round(u64::MAX, u64::MAX)] {
        for act in conflicts(0, NAMESPACE, place) {
            let bytes = act.encode();
            cases.push(json!({
                "kind": bytes[0],
                "epoch": place.epoch().get().to_string(),
                "view": place.view().get().to_string(),
                "evidence": hex::encode_prefixed(&bytes),
            }));
        }
    }
    let elsewhere = conflicts(0, ELSEWHERE, round(0, 1)).map(|act| hex::encode_prefixed(act.encode()));
    let suffixed = [NAMESPACE.as_slice(), JOIN_SUFFIX].concat();
    let owner = address(1);
    let document = json!({
        "library": "commonware-consensus 2026.10.0, simplex, ed25519, digests of 32 bytes",
        "namespace": NAMESPACE,
        "key": public(0),
        "evidence": cases,
        "of_another_network": elsewhere,
        "join": { "owner": owner, "proof": hex::encode_prefixed(key(0).sign(&suffixed, owner.as_slice())) },
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/validators/evidence.json");
    if std::env::var_os("TACIT_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
        std::fs::write(path, text).unwrap();
    }
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(stored, document);
}

/// Every encoding of the eight points of small order.
const POINTS: [B256; 14] = [
    b256!("0000000000000000000000000000000000000000000000000000000000000000"),
    b256!("0000000000000000000000000000000000000000000000000000000000000080"),
    b256!("0100000000000000000000000000000000000000000000000000000000000000"),
    b256!("0100000000000000000000000000000000000000000000000000000000000080"),
    b256!("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    b256!("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    b256!("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    b256!("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    b256!("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    b256!("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
    b256!("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    b256!("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
    b256!("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    b256!("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
];

/// 0, 1, the order of the group less one, the order, the order plus one, all ones.
const SCALARS: [B256; 6] = [
    B256::ZERO,
    b256!("0100000000000000000000000000000000000000000000000000000000000000"),
    b256!("ecd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"),
    b256!("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"),
    b256!("eed3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"),
    B256::repeat_byte(0xff),
];
