//! A policy that is said to only take away lets in nothing; each part of it can be what lets something in.

use alloy_primitives::B256;
use proptest::prelude::*;
use std::collections::BTreeSet;
use tacit_policy::{
    AmdPolicy, Fingerprint, GpuPolicy, ImageId, IntelPolicy, Policy, Product, TcbStatus, Versions,
};

/// A policy over few names, from numbers.
#[derive(Debug, Clone)]
struct Parts {
    images: u8,
    models: u8,
    revoked: u8,
    intel: Option<(u8, u8)>,
    amd: Option<(u8, u8, u8, [Option<u8>; 3])>,
    gpu: Option<(u8, u8)>,
}

fn chosen(bits: u8) -> impl Iterator<Item = B256> {
    (0..3).filter(move |bit| bits >> bit & 1 == 1).map(|bit| B256::repeat_byte(bit + 1))
}

fn versions(least: u8) -> Versions {
    Versions { snp: least, ..Versions::default() }
}

impl Parts {
    fn policy(&self) -> Option<Policy> {
        let images = chosen(self.images).map(ImageId);
        let mut policy = Policy::new(images, chosen(self.models)).ok()?;
        policy = policy.with_revoked(chosen(self.revoked).map(|hash| Fingerprint(hash.0))).unwrap();
        if let Some((chosen, evaluation)) = self.intel {
            let statuses = TcbStatus::ALL.into_iter().take(3).enumerate();
            let statuses = statuses.filter(|(at, _)| chosen >> at & 1 == 1);
            let rules = IntelPolicy {
                statuses: statuses.map(|(_, status)| status).collect(),
                evaluation_min: evaluation.into(),
            };
            policy = policy.with_intel(rules).ok()?;
        }
        if let Some((required, refused, vmpl_max, least)) = self.amd {
            let least = Product::ALL.into_iter().zip(least);
            let rules = AmdPolicy {
                platform_required: required.into(),
                platform_refused: refused.into(),
                vmpl_max,
                versions_min: least
                    .filter_map(|(product, least)| Some((product, versions(least?))))
                    .collect(),
            };
            policy = policy.with_amd(rules).ok()?;
        }
        if let Some((count_min, references)) = self.gpu {
            let references = chosen(references).map(|hash| Fingerprint(hash.0)).collect();
            policy = policy.with_gpus(GpuPolicy { count_min, references }).ok()?;
        }
        Some(policy)
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let amd = (0_u8..4, 0_u8..4, 0_u8..3, prop::array::uniform3(prop::option::of(0_u8..3)));
    let intel = prop::option::of((1_u8..8, 0_u8..3));
    let gpu = prop::option::of((1_u8..3, 1_u8..8));
    (1_u8..8, 1_u8..8, 0_u8..8, intel, prop::option::of(amd), gpu).prop_map(
        |(images, models, revoked, intel, amd, gpu)| Parts { images, models, revoked, intel, amd, gpu },
    )
}

/// What evidence shows, as far as policies look at it.
#[derive(Debug, Clone)]
struct Facts {
    image: B256,
    model: B256,
    certificate: B256,
    cpu: Cpu,
    gpus: Vec<B256>,
}

#[derive(Debug, Clone)]
enum Cpu {
    Intel { status: TcbStatus, evaluation: u32 },
    Amd { product: Product, snp: u8, platform: u64, vmpl: u8 },
}

/// What the one call decides, in the fewest words.
fn accepts(policy: &Policy, facts: &Facts) -> bool {
    let cpu = match facts.cpu {
        Cpu::Intel { status, evaluation } => policy
            .intel()
            .is_some_and(|rules| rules.statuses.contains(&status) && evaluation >= rules.evaluation_min),
        Cpu::Amd { product, snp, platform, vmpl } => policy.amd().is_some_and(|rules| {
            let least = rules.versions_min.iter().find(|(it, _)| *it == product);
            let (required, refused) = (rules.platform_required, rules.platform_refused);
            least.is_some_and(|(_, least)| snp >= least.snp)
                && platform & required == required
                && platform & refused == 0
                && vmpl <= rules.vmpl_max
        }),
    };
    let gpus = match policy.gpu() {
        None => facts.gpus.is_empty(),
        Some(rules) => {
            facts.gpus.len() >= rules.count_min.into()
                && facts.gpus.iter().all(|print| rules.references.contains(&Fingerprint(print.0)))
        }
    };
    policy.accepts_image(ImageId(facts.image))
        && policy.accepts_model(facts.model)
        && !policy.revoked().contains(&Fingerprint(facts.certificate.0))
        && cpu
        && gpus
}

fn facts() -> impl Strategy<Value = Facts> {
    let name = || (1_u8..4).prop_map(B256::repeat_byte);
    let intel = (0_usize..3, 0_u32..3)
        .prop_map(|(at, evaluation)| Cpu::Intel { status: TcbStatus::ALL[at], evaluation });
    let amd = (0_usize..3, 0_u8..3, 0_u64..4, 0_u8..3).prop_map(|(at, snp, platform, vmpl)| Cpu::Amd {
        product: Product::ALL[at],
        snp,
        platform,
        vmpl,
    });
    (name(), name(), name(), prop_oneof![intel, amd], prop::collection::vec(name(), 0..3))
        .prop_map(|(image, model, certificate, cpu, gpus)| Facts { image, model, certificate, cpu, gpus })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Of two policies that are near each other, the one that narrows the other accepts nothing that the other refuses.
    #[test]
    fn what_narrows_lets_nothing_in(base in parts(), change in parts(), which in 0_u8..64, all in prop::collection::vec(facts(), 200)) {
        let mut next = base.clone();
        if which & 1 != 0 { next.images = change.images; }
        if which & 2 != 0 { next.models = change.models; }
        if which & 4 != 0 { next.revoked = change.revoked; }
        if which & 8 != 0 { next.intel = change.intel; }
        if which & 16 != 0 { next.amd = change.amd; }
        if which & 32 != 0 { next.gpu = change.gpu; }
        let (Some(base), Some(next)) = (base.policy(), next.policy()) else { return Ok(()) };
        prop_assert!(base.narrows(&base));
        if next.narrows(&base) {
            for facts in all {
                prop_assert!(!accepts(&next, &facts) || accepts(&base, &facts), "{:?}", facts);
            }
        }
    }

    /// Narrowing twice is narrowing, and two that narrow each other are one.
    #[test]
    fn narrowing_is_an_order(a in parts(), b in parts(), c in parts()) {
        let (Some(a), Some(b), Some(c)) = (a.policy(), b.policy(), c.policy()) else { return Ok(()) };
        if a.narrows(&b) && b.narrows(&a) {
            prop_assert_eq!(a.id(), b.id());
        }
        if a.narrows(&b) && b.narrows(&c) {
            prop_assert!(a.narrows(&c));
        }
    }
}

fn base() -> Parts {
    Parts {
        images: 3,
        models: 3,
        revoked: 1,
        intel: Some((3, 1)),
        amd: Some((1, 1, 1, [Some(1), Some(1), None])),
        gpu: Some((1, 3)),
    }
}

/// Whether a change of the base narrows it.
fn narrows(change: impl Fn(&mut Parts)) -> bool {
    let mut next = base();
    change(&mut next);
    next.policy().unwrap().narrows(&base().policy().unwrap())
}

#[test]
fn each_part_can_take_away() {
    let cases: [fn(&mut Parts); 12] = [
        |it| it.images = 1,
        |it| it.models = 2,
        |it| it.revoked = 5,
        |it| it.intel = None,
        |it| it.intel = Some((1, 1)),
        |it| it.intel = Some((3, 2)),
        |it| it.amd = None,
        |it| it.amd = Some((3, 3, 1, [Some(1), Some(1), None])),
        |it| it.amd = Some((1, 1, 0, [Some(1), Some(1), None])),
        |it| it.amd = Some((1, 1, 1, [Some(2), None, None])),
        |it| it.gpu = Some((2, 3)),
        |it| it.gpu = Some((1, 1)),
    ];
    for (at, change) in cases.into_iter().enumerate() {
        assert!(narrows(change), "{at}");
    }
}

#[test]
fn each_part_can_let_in() {
    let cases: [fn(&mut Parts); 16] = [
        |it| it.images = 7,
        |it| it.images = 4,
        |it| it.models = 7,
        |it| it.revoked = 0,
        |it| it.revoked = 6,
        |it| it.intel = Some((7, 1)),
        |it| it.intel = Some((3, 0)),
        |it| it.amd = Some((0, 1, 1, [Some(1), Some(1), None])),
        |it| it.amd = Some((1, 0, 1, [Some(1), Some(1), None])),
        |it| it.amd = Some((1, 1, 2, [Some(1), Some(1), None])),
        |it| it.amd = Some((1, 1, 1, [Some(1), Some(0), None])),
        |it| it.amd = Some((1, 1, 1, [Some(1), Some(1), Some(1)])),
        |it| it.gpu = Some((1, 7)),
        // Without rules, evidence without GPUs is accepted.
        |it| it.gpu = None,
        // One thing less and another more.
        |it| (it.images, it.models) = (1, 7),
        |it| (it.amd, it.gpu) = (None, Some((1, 4))),
    ];
    for (at, change) in cases.into_iter().enumerate() {
        assert!(!narrows(change), "{at}");
    }
    let with_gpus = base().policy().unwrap();
    let without = Parts { gpu: None, ..base() }.policy().unwrap();
    assert!(!with_gpus.narrows(&without));
    let without_intel = Parts { intel: None, ..base() }.policy().unwrap();
    assert!(!with_gpus.narrows(&without_intel));
    let without_amd = Parts { amd: None, ..base() }.policy().unwrap();
    assert!(!with_gpus.narrows(&without_amd));
}

#[test]
fn each_part_of_firmware_counts() {
    let fields: [fn(&mut Versions) -> &mut u8; 5] = [
        |it| &mut it.fmc,
        |it| &mut it.bootloader,
        |it| &mut it.tee,
        |it| &mut it.snp,
        |it| &mut it.microcode,
    ];
    let with = |versions| {
        let rules = AmdPolicy {
            platform_required: 0,
            platform_refused: 0,
            vmpl_max: 0,
            versions_min: vec![(Product::Genoa, versions)],
        };
        Policy::new([ImageId(B256::ZERO)], [B256::ZERO]).unwrap().with_amd(rules).unwrap()
    };
    let all = Versions { fmc: 5, bootloader: 5, tee: 5, snp: 5, microcode: 5 };
    for field in fields {
        let (mut older, mut newer) = (all, all);
        *field(&mut older) = 4;
        *field(&mut newer) = 6;
        assert!(with(newer).narrows(&with(all)) && !with(older).narrows(&with(all)));
    }
    let statuses: BTreeSet<u16> = TcbStatus::ALL.iter().map(|status| status.bit()).collect();
    assert_eq!(statuses.len(), TcbStatus::ALL.len());
}
