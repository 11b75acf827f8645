//! No bit of evidence can change.

use crate::files::{DRIVER, NOW, VBIOS, h100, other_h100};
use tacit_nvidia::{Anchors, Rim, verify};

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

/// Whether all that is shorter, or a little longer, is refused.
fn lengths(bytes: &[u8], accepted: impl Fn(&[u8]) -> bool + Sync) {
    in_halves(&(0..bytes.len()).collect::<Vec<_>>(), |at| {
        assert!(!accepted(&bytes[..*at]), "cut off at {at}");
    });
    for more in [&b"\0"[..], b"\n", b"-", &bytes[..1], bytes] {
        assert!(!accepted(&[bytes, more].concat()), "{} bytes more", more.len());
    }
}

/// On two processors.
fn in_halves<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    let (first, second) = cases.split_at(cases.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| first.iter().for_each(&check));
        second.iter().for_each(&check);
    });
}

fn report_accepted(bytes: &[u8]) -> bool {
    thread_local! {
        static ANCHORS: Anchors = {
            let mut anchors = Anchors::device_identity().unwrap();
            anchors.learn(other_h100().chain, NOW).unwrap();
            anchors
        };
    }
    let nonce = other_h100().nonce();
    ANCHORS.with(|anchors| verify(bytes, other_h100().chain, &nonce, anchors, NOW).is_ok())
}

#[test]
fn no_bit_of_a_report_can_be_changed() {
    each(&other_h100().report, Some(2), report_accepted);
}

#[test]
#[ignore = "takes a minute"]
fn every_bit_of_everything() {
    each(&other_h100().report, None, report_accepted);
    each(h100().chain.as_bytes(), None, chain_accepted);
    each(VBIOS.trim_end().as_bytes(), None, rim_accepted);
    each(DRIVER.trim_end().as_bytes(), None, rim_accepted);
}

#[test]
fn no_report_can_be_cut_or_grow() {
    lengths(&other_h100().report, report_accepted);
}

fn chain_accepted(bytes: &[u8]) -> bool {
    let (sample, anchors) = (h100(), Anchors::device_identity().unwrap());
    let Ok(chain) = core::str::from_utf8(bytes) else { return false };
    verify(&sample.report, chain, &sample.nonce(), &anchors, NOW).is_ok()
}

#[test]
fn no_bit_of_a_chain_can_be_changed() {
    each(h100().chain.as_bytes(), Some(3), chain_accepted);
}

#[test]
fn no_chain_can_be_cut_or_grow() {
    // The end of its last line may be there or not.
    let chain = h100().chain.trim_end();
    lengths(chain.as_bytes(), |bytes| {
        bytes.strip_prefix(chain.as_bytes()) != Some(b"\n") && chain_accepted(bytes)
    });
}

fn rim_accepted(bytes: &[u8]) -> bool {
    let anchors = Anchors::reference_values().unwrap();
    core::str::from_utf8(bytes).is_ok_and(|text| Rim::verify(text, &anchors, NOW).is_ok())
}

#[test]
fn no_bit_of_references_can_be_changed() {
    each(VBIOS.trim_end().as_bytes(), Some(7), rim_accepted);
    each(DRIVER.trim_end().as_bytes(), Some(7), rim_accepted);
}

#[test]
fn no_references_can_be_cut() {
    let bytes = VBIOS.trim_end().as_bytes();
    in_halves(&(0..bytes.len()).step_by(7).collect::<Vec<_>>(), |at| {
        assert!(!rim_accepted(&bytes[..*at]), "cut off at {at}");
    });
    for more in ["x", "<a></a>", VBIOS] {
        assert!(!rim_accepted(&[bytes, more.as_bytes()].concat()));
    }
}
