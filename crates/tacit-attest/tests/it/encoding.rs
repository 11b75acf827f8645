//! Evidence and policies have one encoding each, and no other bytes are read.

use crate::world::World;
use alloy_primitives::{B256, hex};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tacit_attest::{
    AmdPolicy, CpuEvidence, DecodeError, Evidence, Fingerprint, GPUS_MAX, GpuPolicy, ImageId, IntelPolicy,
    POLICY_BYTES_MAX, Policy, PolicyError, Product, QUOTE_BYTES_MAX, TcbStatus, Versions,
};

#[test]
fn evidence_is_read_as_it_was_written() {
    for world in [World::intel(), World::amd()] {
        let evidence = world.evidence();
        let bytes = evidence.encode();
        assert_eq!(Evidence::decode(&bytes), Ok(evidence.clone()));
        assert!(bytes.len() < 64 * 1024, "{}", bytes.len());
        for length in (0..bytes.len()).step_by(11).chain([0, 1, 2, bytes.len() - 1]) {
            assert!(Evidence::decode(&bytes[..length]).is_err(), "cut off at {length}");
        }
        let more = [&bytes[..], &[0]].concat();
        assert_eq!(Evidence::decode(&more), Err(DecodeError::Trailing { got: 1 }));
        assert_ne!(evidence.id(), Evidence { gpus: Vec::new(), ..evidence }.id());
    }
}

#[test]
fn bytes_that_are_no_evidence() {
    let good = World::amd().evidence();
    let bytes = good.encode();
    let changed = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        Evidence::decode(&bytes).unwrap_err()
    };
    assert_eq!(changed(0, 2), DecodeError::Version { got: 2 });
    assert_eq!(changed(1, 3), DecodeError::Kind { got: 3 });
    let vcek = 2 + 1184;
    assert!(matches!(changed(vcek + 2, 1), DecodeError::Length { field: "VCEK", .. }));
    let CpuEvidence::Amd { vcek: certificate, .. } = &good.cpu else { panic!() };
    let gpus = vcek + 4 + certificate.len();
    assert!(matches!(changed(gpus, 17), DecodeError::Length { field: "GPUs", max: GPUS_MAX, got: 17 }));
    let chain = gpus + 2 + 4 + good.gpus[0].report.len() + 4;
    assert_eq!(changed(chain, 0xff), DecodeError::Text { field: "GPU chain" });
    assert_eq!(Evidence::decode(&[]), Err(DecodeError::Short));
    assert!(matches!(
        Evidence::decode(&vec![1; 5 << 20]),
        Err(DecodeError::Length { field: "evidence", .. })
    ));
    let mut intel = World::intel().evidence();
    let CpuEvidence::Intel { quote, .. } = &mut intel.cpu else { panic!() };
    quote.resize(QUOTE_BYTES_MAX + 1, 0);
    assert!(matches!(Evidence::decode(&intel.encode()), Err(DecodeError::Length { field: "quote", .. })));
}

#[test]
fn policies_are_read_as_they_were_written() {
    let policy = World::intel().policy();
    let bytes = policy.encode();
    assert_eq!(Policy::decode(&bytes).as_ref(), Ok(&policy));
    for length in 0..bytes.len() {
        assert!(Policy::decode(&bytes[..length]).is_err(), "cut off at {length}");
    }
    // Whatever bit changes, it is another policy or none.
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            if let Ok(other) = Policy::decode(&changed) {
                assert_eq!(other.encode(), changed);
                assert_ne!(other.id(), policy.id());
            }
        }
    }
}

fn hashes(bytes: &[u8]) -> Vec<u8> {
    let count = u16::try_from(bytes.len()).unwrap().to_le_bytes();
    [&count[..], &bytes.iter().flat_map(|byte| [*byte; 32]).collect::<Vec<_>>()].concat()
}

#[test]
fn the_smallest_policy_is_written_as_its_format_says() {
    let (image, model) = (ImageId(B256::repeat_byte(1)), B256::repeat_byte(2));
    let policy = Policy::new([image], [model]).unwrap();
    let expected = [&[1][..], &hashes(&[1]), &hashes(&[2]), &hashes(&[]), &[0, 0, 0]].concat();
    assert_eq!(policy.encode(), expected);
    let id = hex!("91de79a1f05d4e12947fb33b1eb185dffb3b6802a384c23f2e9b30d3a87c5477");
    assert_eq!(policy.id().0, id);
}

#[test]
fn bytes_that_are_no_policy() {
    let read = |parts: &[&[u8]]| Policy::decode(&parts.concat()).unwrap_err();
    let (one, two, none) = (hashes(&[1]), hashes(&[2]), hashes(&[]));
    assert_eq!(read(&[&[2]]), DecodeError::Version { got: 2 });
    assert_eq!(read(&[&[1], &none, &two, &none, &[0, 0, 0]]), DecodeError::Policy(PolicyError::Empty));
    assert_eq!(read(&[&[1], &hashes(&[2, 1])]), DecodeError::Order { field: "images" });
    assert_eq!(read(&[&[1], &hashes(&[1, 1])]), DecodeError::Order { field: "images" });
    assert_eq!(read(&[&[1], &[1, 1]]), DecodeError::Length { field: "images", max: 256, got: 257 });
    assert_eq!(read(&[&[1], &one, &two, &none, &[2]]), DecodeError::Kind { got: 2 });
    assert_eq!(read(&[&[1], &one, &two, &none, &[1, 0, 2, 0, 0, 0, 0]]), DecodeError::Status);
    let intel = |bits: u8, high: u8| read(&[&[1], &one, &two, &none, &[1, bits, high, 0, 0, 0, 0]]);
    assert_eq!(intel(0, 0), DecodeError::Policy(PolicyError::Empty));
    assert_eq!(intel(0, 1), DecodeError::Policy(PolicyError::Revoked));
    let amd = [&[0, 1][..], &[0; 17], &[0, 0, 0]].concat();
    assert_eq!(read(&[&[1], &one, &two, &none, &amd]), DecodeError::Policy(PolicyError::Empty));
    let gpu = [&[0, 0, 1, 0][..], &one].concat();
    assert_eq!(read(&[&[1], &one, &two, &none, &gpu]), DecodeError::Policy(PolicyError::Empty));
    assert_eq!(read(&[&[1], &one, &two, &none, &[0, 0, 0, 0]]), DecodeError::Trailing { got: 1 });
    let long = vec![1; POLICY_BYTES_MAX + 1];
    assert!(matches!(read(&[&long]), DecodeError::Length { field: "policy", .. }));
}

#[test]
fn policies_that_cannot_be() {
    let (image, model) = (ImageId(B256::repeat_byte(1)), B256::repeat_byte(2));
    let policy = || Policy::new([image], [model]).unwrap();
    assert_eq!(Policy::new([], [model]).unwrap_err(), PolicyError::Empty);
    assert_eq!(Policy::new([image], []).unwrap_err(), PolicyError::Empty);
    let many = |count: u16| (0..count).map(|at| B256::left_padding_from(&at.to_be_bytes()));
    assert_eq!(Policy::new([image], many(257)).unwrap_err(), PolicyError::Length);
    let revoked = many(1025).map(|hash| Fingerprint(hash.0));
    assert_eq!(policy().with_revoked(revoked).unwrap_err(), PolicyError::Length);
    let references: BTreeSet<_> = many(257).map(|hash| Fingerprint(hash.0)).collect();
    assert_eq!(policy().with_gpus(GpuPolicy { count_min: 1, references }).unwrap_err(), PolicyError::Length);
    let rule = (Product::Milan, Versions::default());
    let amd =
        AmdPolicy { platform_required: 0, platform_refused: 0, vmpl_max: 0, versions_min: vec![rule, rule] };
    assert_eq!(policy().with_amd(amd).unwrap_err(), PolicyError::Twice);
    let intel = IntelPolicy { statuses: BTreeSet::from([TcbStatus::Revoked]), evaluation_min: 0 };
    assert_eq!(policy().with_intel(intel).unwrap_err(), PolicyError::Revoked);
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..512), kind in 0_u8..4) {
        let bytes = [&[1, kind][..], &bytes].concat();
        if let Ok(evidence) = Evidence::decode(&bytes) {
            prop_assert_eq!(evidence.encode(), bytes.clone());
        }
        if let Ok(policy) = Policy::decode(&bytes) {
            prop_assert_eq!(policy.encode(), bytes);
        }
    }
}
