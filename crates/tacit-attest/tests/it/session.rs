//! The one call: one attack per test, on a session that is otherwise accepted.

use crate::forge;
use crate::world::{Either, KEY, World};
use alloy_primitives::{Address, B256};
use std::collections::BTreeSet;
use tacit_attest::{
    AmdError, Binding, Cpu, Fingerprint, ImageId, IntelError, KNOWN_MAX, Product, Refusal, TcbStatus, Trust,
    TrustError, VersionField, Versions, verify,
};
use tacit_nvidia::{CompareError, GpuError, RimError};

fn refused(mut world: World, change: impl FnOnce(&mut World)) -> Refusal {
    change(&mut world);
    world.verify().unwrap_err()
}

fn both(change: impl Fn(&mut World)) -> [Refusal; 2] {
    [World::intel(), World::amd()].map(|world| refused(world, &change))
}

#[test]
fn a_session_on_either_vendor_is_accepted() {
    for world in [World::intel(), World::amd()] {
        let attested = world.verify().unwrap();
        assert_eq!(attested.binding(), &world.binding);
        assert_eq!(attested.policy(), world.policy().id());
        assert_eq!(attested.evidence(), world.evidence().id());
        assert_eq!(vec![attested.image()], world.rules.images);
        assert_eq!(attested.gpus().len(), 2);
        assert_eq!(matches!(attested.cpu(), Cpu::Intel(_)), matches!(world.cpu, Either::Intel(_)));
        // Until something expires, and not a second longer.
        let at = |now| verify(&world.evidence(), &world.policy(), &world.binding, &world.trust(), now);
        assert!(at(attested.valid_until() - 1).is_ok());
        assert!(at(attested.valid_until() + 1).is_err());
    }
}

#[test]
fn what_was_learnt_changes_no_answer() {
    let world = World::intel();
    let mut trust = world.trust();
    world.nvidia.references.iter().for_each(|text| trust.learn_reference(text, world.now()).unwrap());
    trust.learn_chain(&world.nvidia.gpus[0].chain, world.now()).unwrap();
    let with =
        |world: &World| verify(&world.evidence(), &world.policy(), &world.binding, &trust, world.now());
    assert_eq!(with(&world).unwrap().evidence(), world.verify().unwrap().evidence());
    let mut other = world.clone();
    other.rules.gpu.as_mut().unwrap().references.clear();
    other.rules.gpu.as_mut().unwrap().references.insert(Fingerprint([1; 32]));
    assert!(matches!(with(&other).unwrap_err(), Refusal::ReferenceUnknown { .. }));
    let mut other = world.clone();
    other.nvidia.edit(1, |report| report[37 + 8 + 7] ^= 1);
    assert_eq!(
        with(&other).unwrap_err(),
        Refusal::Measurements { at: 1, error: CompareError::Mismatch { index: 0 } }
    );
}

#[test]
fn what_was_learnt_expires() {
    // Files of references do before the chip's certificate does.
    let world = World::amd();
    let mut trust = world.trust();
    world.nvidia.references.iter().for_each(|text| trust.learn_reference(text, world.now()).unwrap());
    let until = world.verify().unwrap().valid_until();
    let at = |now| verify(&world.evidence(), &world.policy(), &world.binding, &trust, now);
    assert!(at(until).is_ok());
    let error = RimError::Chain(tacit_nvidia::ChainError::Expired { at: 0 });
    assert_eq!(at(until + 1).unwrap_err(), Refusal::Reference { at: 0, error });
}

#[test]
fn what_does_not_hold_is_not_learnt() {
    let world = World::intel();
    let (mut trust, now) = (world.trust(), world.now());
    let changed = world.nvidia.references[0].replacen("550.90.07", "550.90.08", 1);
    assert_eq!(trust.learn_reference(&changed, now).unwrap_err(), TrustError::Reference(RimError::Digest));
    let chain = trust.learn_chain(&world.nvidia.gpus[0].chain, 1_600_000_000).unwrap_err();
    assert_eq!(chain, TrustError::Chain(tacit_nvidia::ChainError::NotYetValid { at: 0 }));
    for count in 0..KNOWN_MAX {
        trust.learn_reference(&world.nvidia.reference(&count.to_string()), now).unwrap();
    }
    let more = trust.learn_reference(&world.nvidia.references[0], now).unwrap_err();
    assert_eq!(more, TrustError::Length { max: KNOWN_MAX });
}

#[test]
fn no_vendor_of_ours_is_believed_by_default() {
    let trust = Trust::vendors().unwrap();
    let of = |world: World| {
        verify(&world.evidence(), &world.policy(), &world.binding, &trust, world.now()).unwrap_err()
    };
    assert_eq!(of(World::intel()), Refusal::Intel(IntelError::Root));
    assert_eq!(of(World::amd()), Refusal::Amd(AmdError::CertificateSignature));
    let world = World::intel();
    let Either::Intel(intel) = &world.cpu else { panic!() };
    let refused =
        verify(&world.evidence(), &world.policy(), &world.binding, &intel.trust(), world.now()).unwrap_err();
    assert_eq!(refused, Refusal::Gpu { at: 0, error: GpuError::Chain(tacit_nvidia::ChainError::Root) });
}

fn other(key: &[u8], worker: u8, model: u8, nonce: u8, chain: u64) -> Binding {
    let byte = B256::repeat_byte;
    Binding::new(chain, Address::repeat_byte(worker), key, byte(model), byte(nonce))
}

#[test]
fn evidence_of_another_key() {
    let change = |world: &mut World| world.binding = other(b"another key", 1, 2, 3, 1337);
    assert_eq!(both(change), [Refusal::ReportData, Refusal::ReportData]);
}

#[test]
fn evidence_of_another_worker() {
    let change = |world: &mut World| world.binding = other(KEY, 9, 2, 3, 1337);
    assert_eq!(both(change), [Refusal::ReportData, Refusal::ReportData]);
}

#[test]
fn evidence_of_another_model() {
    let change = |world: &mut World| {
        world.binding = other(KEY, 1, 9, 3, 1337);
        world.rules.models.push(B256::repeat_byte(9));
    };
    assert_eq!(both(change), [Refusal::ReportData, Refusal::ReportData]);
}

#[test]
fn evidence_of_an_earlier_session() {
    let change = |world: &mut World| world.binding = other(KEY, 1, 2, 9, 1337);
    assert_eq!(both(change), [Refusal::ReportData, Refusal::ReportData]);
}

#[test]
fn evidence_of_another_chain() {
    let change = |world: &mut World| world.binding = other(KEY, 1, 2, 3, 1338);
    assert_eq!(both(change), [Refusal::ReportData, Refusal::ReportData]);
}

#[test]
fn a_model_that_the_policy_does_not_accept() {
    let change = |world: &mut World| world.rules.models = vec![B256::repeat_byte(9)];
    let expected = Refusal::Model { got: B256::repeat_byte(2) };
    assert_eq!(both(change), [expected.clone(), expected]);
}

#[test]
fn another_image() {
    for (world, at) in [(World::intel(), 136), (World::amd(), 0x90)] {
        let found = refused(world.clone(), |world| match &mut world.cpu {
            Either::Intel(intel) => intel.set(at, &[1]),
            Either::Amd(amd) => amd.set(at, &[1]),
        });
        let Refusal::Image { got } = found else { panic!("{found}") };
        assert!(!world.rules.images.contains(&got));
    }
}

#[test]
fn the_same_image_configured_otherwise_by_the_host() {
    // MRCONFIGID, MROWNER, MROWNERCONFIG, RTMR0 to RTMR3 of the one, host data of the other.
    for at in [184, 232, 280, 328, 376, 424, 472] {
        let found = refused(World::intel(), |world| {
            let Either::Intel(intel) = &mut world.cpu else { panic!() };
            intel.set(at, &[0xee]);
        });
        assert!(matches!(found, Refusal::Image { .. }), "{at}: {found}");
    }
    let found = refused(World::amd(), |world| {
        let Either::Amd(amd) = &mut world.cpu else { panic!() };
        amd.set(0xc0, &[0xee]);
    });
    assert!(matches!(found, Refusal::Image { .. }), "{found}");
}

#[test]
fn a_vendor_that_the_policy_does_not_accept() {
    let change = |world: &mut World| (world.rules.intel, world.rules.amd) = (None, None);
    assert_eq!(both(change), [Refusal::Vendor, Refusal::Vendor]);
}

#[test]
fn firmware_whose_status_is_not_accepted() {
    let found = refused(World::intel(), |world| {
        world.rules.intel.as_mut().unwrap().statuses = BTreeSet::from([TcbStatus::SoftwareHardeningNeeded]);
    });
    assert_eq!(found, Refusal::Status { got: TcbStatus::UpToDate });
}

#[test]
fn collateral_of_an_evaluation_that_is_too_old() {
    let found = refused(World::intel(), |world| world.rules.intel.as_mut().unwrap().evaluation_min = 18);
    assert_eq!(found, Refusal::Evaluation { min: 18, got: 17 });
}

#[test]
fn a_product_that_is_not_accepted() {
    let found = refused(World::amd(), |world| {
        world.rules.amd.as_mut().unwrap().versions_min = vec![(Product::Genoa, Versions::default())];
    });
    assert_eq!(found, Refusal::Product { got: Product::Milan });
}

#[test]
fn firmware_that_is_too_old() {
    type Part = fn(&mut Versions) -> &mut u8;
    let cases: [(Part, VersionField); 5] = [
        (|it| &mut it.fmc, VersionField::Fmc),
        (|it| &mut it.bootloader, VersionField::Bootloader),
        (|it| &mut it.tee, VersionField::Tee),
        (|it| &mut it.snp, VersionField::Snp),
        (|it| &mut it.microcode, VersionField::Microcode),
    ];
    for (part, expected) in cases {
        let found = refused(World::amd(), |world| {
            *part(&mut world.rules.amd.as_mut().unwrap().versions_min[0].1) += 1;
        });
        let Refusal::Firmware { field, min, got } = found else { panic!("{found}") };
        assert_eq!((field, min), (expected, got + 1));
    }
}

#[test]
fn firmware_that_was_too_old_when_the_guest_was_started() {
    let found = refused(World::amd(), |world| {
        let Either::Amd(amd) = &mut world.cpu else { panic!() };
        amd.set(0x1f0 + 6, &[0x16]);
    });
    assert_eq!(found, Refusal::Firmware { field: VersionField::Snp, min: 0x17, got: 0x16 });
}

#[test]
fn a_platform_set_up_otherwise() {
    let found = refused(World::amd(), |world| world.rules.amd.as_mut().unwrap().platform_required = 1 << 4);
    assert_eq!(found, Refusal::Platform { required: 1 << 4, refused: 0, got: 0x25 });
    let found = refused(World::amd(), |world| world.rules.amd.as_mut().unwrap().platform_refused = 1);
    assert_eq!(found, Refusal::Platform { required: 1 << 5, refused: 1, got: 0x25 });
}

#[test]
fn a_report_from_less_privileged_software() {
    let found = refused(World::amd(), |world| {
        let Either::Amd(amd) = &mut world.cpu else { panic!() };
        amd.set(0x30, &[2]);
    });
    assert_eq!(found, Refusal::PrivilegeLevel { max: 0, got: 2 });
}

#[test]
fn certificates_that_the_policy_refuses() {
    let world = World::intel();
    let Either::Intel(intel) = &world.cpu else { panic!() };
    let mut prints: Vec<Fingerprint> = intel.chain.iter().map(|der| Fingerprint::of(der)).collect();
    prints.extend(forge::ders(&world.nvidia.gpus[1].chain).iter().map(|der| Fingerprint::of(der)));
    for print in prints {
        let found = refused(world.clone(), |world| world.rules.revoked = vec![print]);
        assert_eq!(found, Refusal::Revoked { got: print });
    }
    let world = World::amd();
    let Either::Amd(amd) = &world.cpu else { panic!() };
    let print = Fingerprint::of(&amd.vcek);
    let found = refused(world.clone(), |world| world.rules.revoked = vec![print]);
    assert_eq!(found, Refusal::Revoked { got: print });
}

#[test]
fn a_signer_of_references_that_the_policy_refuses() {
    let world = World::intel();
    let rim = world.verify().unwrap().gpus()[0].references()[0];
    assert_eq!(rim.0, Fingerprint::of(world.nvidia.references[0].as_bytes()).0);
    let print = tacit_nvidia::Rim::verify(&world.nvidia.references[0], &world.nvidia.roots().1, world.now());
    let print = Fingerprint(print.unwrap().certificates()[0].0);
    let found = refused(world, |world| world.rules.revoked = vec![print]);
    assert_eq!(found, Refusal::Revoked { got: print });
}

#[test]
fn gpus_that_are_not_asked_for() {
    assert_eq!(refused(World::intel(), |world| world.rules.gpu = None), Refusal::GpuUnexpected);
    let mut world = World::intel();
    world.rules.gpu = None;
    (world.nvidia.gpus, world.nvidia.references) = (Vec::new(), Vec::new());
    assert!(world.verify().unwrap().gpus().is_empty());
}

#[test]
fn fewer_gpus_than_asked_for() {
    let change = |world: &mut World| drop(world.nvidia.gpus.pop());
    let expected = Refusal::GpuCount { min: 2, got: 1 };
    assert_eq!(both(change), [expected.clone(), expected]);
    let found = refused(World::intel(), |world| world.nvidia.gpus = vec![world.nvidia.gpus[0].clone(); 17]);
    assert_eq!(found, Refusal::GpuCount { min: 2, got: 17 });
}

#[test]
fn a_gpu_of_another_session() {
    let nonce = other(KEY, 1, 2, 4, 1337).gpu_nonce();
    let found = refused(World::intel(), |world| {
        world.nvidia.edit(1, |report| report[4..36].copy_from_slice(&nonce));
    });
    assert_eq!(found, Refusal::Gpu { at: 1, error: GpuError::Nonce });
}

#[test]
fn one_gpu_twice() {
    let found = refused(World::intel(), |world| world.nvidia.gpus[1] = world.nvidia.gpus[0].clone());
    assert_eq!(found, Refusal::GpuTwice { at: 1 });
}

#[test]
fn a_gpu_with_the_chain_of_another() {
    let found = refused(World::amd(), |world| {
        world.nvidia.gpus[1].chain = world.nvidia.gpus[0].chain.clone();
    });
    assert_eq!(found, Refusal::Gpu { at: 1, error: GpuError::Signature });
}

#[test]
fn a_gpu_that_measures_otherwise() {
    // The first measurement's digest begins behind request, head of the response and head of the block.
    let found = refused(World::amd(), |world| world.nvidia.edit(0, |report| report[37 + 8 + 7] ^= 1));
    assert_eq!(found, Refusal::Measurements { at: 0, error: CompareError::Mismatch { index: 0 } });
}

#[test]
fn references_that_the_policy_does_not_accept() {
    let world = World::intel();
    let print = Fingerprint::of(world.nvidia.references[1].as_bytes());
    let found = refused(world, |world| {
        assert!(world.rules.gpu.as_mut().unwrap().references.remove(&print));
    });
    assert_eq!(found, Refusal::ReferenceUnknown { got: print });
}

#[test]
fn references_that_are_not_there() {
    let found = refused(World::intel(), |world| drop(world.nvidia.references.remove(0)));
    assert_eq!(found, Refusal::Measurements { at: 0, error: CompareError::Driver });
    let found = refused(World::intel(), |world| drop(world.nvidia.references.remove(1)));
    assert_eq!(found, Refusal::Measurements { at: 0, error: CompareError::Vbios });
}

#[test]
fn references_that_were_changed() {
    // Even if the policy names the changed file.
    let found = refused(World::intel(), |world| {
        world.nvidia.references[0] = world.nvidia.references[0].replacen("550.90.07", "550.90.08", 1);
        let print = Fingerprint::of(world.nvidia.references[0].as_bytes());
        world.rules.gpu.as_mut().unwrap().references.insert(print);
    });
    assert_eq!(found, Refusal::Reference { at: 0, error: RimError::Digest });
}

#[test]
fn sessions_differ_in_all_that_they_are_about() {
    let bindings = [
        other(KEY, 1, 2, 3, 1337),
        other(b"", 1, 2, 3, 1337),
        other(KEY, 2, 2, 3, 1337),
        other(KEY, 1, 3, 3, 1337),
        other(KEY, 1, 2, 4, 1337),
        other(KEY, 1, 2, 3, 0),
    ];
    let distinct: BTreeSet<_> = bindings.iter().map(Binding::report_data).collect();
    let nonces: BTreeSet<_> = bindings.iter().map(Binding::gpu_nonce).collect();
    assert_eq!((distinct.len(), nonces.len()), (6, 6));
    assert_ne!(ImageId(B256::ZERO), World::intel().rules.images[0]);
}

/// A policy that narrows another accepts no evidence that the other refuses: each change of the rules that is refused somewhere, both ways.
#[test]
fn what_a_narrower_policy_accepts_the_wider_one_does() {
    type Change = fn(&mut crate::world::Rules);
    let changes: [Change; 9] = [
        |_| (),
        |rules| rules.images = vec![ImageId(B256::ZERO)],
        |rules| rules.images.push(ImageId(B256::ZERO)),
        |rules| rules.models.push(B256::ZERO),
        |rules| rules.revoked = vec![Fingerprint([9; 32])],
        |rules| rules.intel = None,
        |rules| rules.amd = None,
        |rules| rules.intel.as_mut().unwrap().evaluation_min += 1,
        |rules| rules.gpu.as_mut().unwrap().count_min = 1,
    ];
    for world in [World::intel(), World::amd()] {
        let judged: Vec<_> = changes
            .iter()
            .map(|change| {
                let mut world = world.clone();
                change(&mut world.rules);
                (world.policy(), world.verify().is_ok())
            })
            .collect();
        assert!(judged.iter().any(|(_, accepted)| !accepted));
        for (narrow, accepts) in &judged {
            for (wide, also) in &judged {
                assert!(!narrow.narrows(wide) || !accepts || *also);
            }
        }
    }
}
