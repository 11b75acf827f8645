//! No bit of evidence can change.

use crate::files::{self, AMD_NOW, Quote};
use crate::world::World;
use tacit_attest::{Collateral, Evidence, IntelQuote, SnpReport, Trust, verify};

/// Whether evidence with one bit changed is refused: all bits, or one bit of one byte in `step`, of bytes side by side different ones.
fn each(bytes: &[u8], step: Option<usize>, accepted: impl Fn(&[u8]) -> bool + Sync) {
    assert!(accepted(bytes));
    let chosen =
        |at: usize, bit: usize| step.is_none_or(|step| at.is_multiple_of(step) && at / step % 8 == bit);
    let bits =
        (0..bytes.len()).flat_map(|at| (0..8).filter(move |bit| chosen(at, *bit)).map(move |bit| (at, bit)));
    in_halves(&bits.collect::<Vec<_>>(), |(at, bit)| {
        let mut changed = bytes.to_vec();
        changed[*at] ^= 1 << bit;
        assert!(!accepted(&changed), "byte {at}, bit {bit}");
    });
}

/// On two processors.
fn in_halves<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    let (first, second) = cases.split_at(cases.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| first.iter().for_each(&check));
        second.iter().for_each(&check);
    });
}

fn quotes() -> [Quote; 3] {
    [files::sgx(), files::tdx(), files::extended()]
}

fn quote(quote: &Quote, step: Option<usize>) {
    let trust = Trust::vendors().unwrap();
    each(&quote.bytes, step, |bytes| IntelQuote::verify(bytes, &quote.collateral, &trust, quote.now).is_ok());
}

fn collateral(quote: &Quote, step: Option<usize>) {
    let trust = Trust::vendors().unwrap();
    let holds =
        |collateral: &Collateral| IntelQuote::verify(&quote.bytes, collateral, &trust, quote.now).is_ok();
    let bytes: [fn(&mut Collateral) -> &mut Vec<u8>; 4] = [
        |it| &mut it.root_ca_crl,
        |it| &mut it.pck_crl,
        |it| &mut it.tcb_info_signature,
        |it| &mut it.qe_identity_signature,
    ];
    for part in bytes {
        let mut good = quote.collateral.clone();
        each(&part(&mut good).clone(), step, |bytes| {
            let mut changed = quote.collateral.clone();
            *part(&mut changed) = bytes.to_vec();
            holds(&changed)
        });
    }
    let texts: [fn(&mut Collateral) -> &mut String; 4] = [
        |it| &mut it.tcb_info_issuer_chain,
        |it| &mut it.tcb_info,
        |it| &mut it.qe_identity_issuer_chain,
        |it| &mut it.qe_identity,
    ];
    for part in texts {
        let mut good = quote.collateral.clone();
        each(&part(&mut good).clone().into_bytes(), step, |bytes| {
            let Ok(text) = String::from_utf8(bytes.to_vec()) else { return false };
            let mut changed = quote.collateral.clone();
            *part(&mut changed) = text;
            holds(&changed)
        });
    }
}

fn report(report: &files::Report, step: Option<usize>) {
    let trust = Trust::vendors().unwrap();
    each(&report.bytes, step, |bytes| {
        SnpReport::verify(bytes.try_into().unwrap(), report.vcek, &trust, AMD_NOW).is_ok()
    });
    each(report.vcek, step, |vcek| SnpReport::verify(&report.bytes, vcek, &trust, AMD_NOW).is_ok());
}

#[test]
fn no_bit_of_a_quote_can_be_changed() {
    quotes().iter().zip([7, 5, 9]).for_each(|(it, step)| quote(it, Some(step)));
}

#[test]
fn no_bit_of_collateral_can_be_changed() {
    collateral(&files::tdx(), Some(23));
}

#[test]
fn no_bit_of_a_report_can_be_changed() {
    report(&files::configured(), Some(3));
    report(&files::milan(), Some(7));
}

#[test]
#[ignore = "takes a quarter of an hour"]
fn every_bit_of_everything() {
    quotes().iter().for_each(|it| quote(it, None));
    collateral(&files::tdx(), None);
    report(&files::configured(), None);
    report(&files::milan(), None);
}

#[test]
fn no_quote_can_be_cut() {
    let (trust, quote) = (Trust::vendors().unwrap(), files::tdx());
    for length in 0..quote.bytes.len() {
        assert!(IntelQuote::verify(&quote.bytes[..length], &quote.collateral, &trust, quote.now).is_err());
    }
}

#[test]
fn no_bit_of_a_bundle_can_be_changed() {
    for (world, step) in [(World::intel(), 1009), (World::amd(), 501)] {
        let (policy, trust) = (world.policy(), world.trust());
        each(&world.evidence().encode(), Some(step), |bytes| {
            Evidence::decode(bytes)
                .is_ok_and(|evidence| verify(&evidence, &policy, &world.binding, &trust, world.now()).is_ok())
        });
    }
}
