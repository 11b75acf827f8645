//! Times what the `validators` module charges for and prints nanoseconds beside gas: `evidence_gas [--iterations N]`.
//!
//! Run it in release mode on an idle machine. The price in `validators::gas` is right when no line shows more than 5 ns a gas.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measuring program"
)]

use alloy_primitives::B256;
use ed25519_zebra::{SigningKey, VerificationKey};
use std::{hint::black_box, time::Instant};
use tacit_modules::validators::{Evidence, gas};

/// Least nanoseconds of several runs: what the work takes, without what else the machine does.
fn nanoseconds<T>(iterations: usize, mut work: impl FnMut() -> T) -> u64 {
    let time = |_| {
        let start = Instant::now();
        black_box(work());
        u64::try_from(start.elapsed().as_nanos()).unwrap()
    };
    (0..iterations).map(time).min().unwrap()
}

/// A vote in its longest form.
fn vote(key: &SigningKey, namespace: B256, digest: u8) -> Vec<u8> {
    let largest = [[0xff; 9].as_slice(), &[1]].concat();
    let message = [largest.as_slice(), &largest, &largest, &[digest; 32]].concat();
    let payload = [&[41], namespace.as_slice(), b"_NOTARIZE", &message].concat();
    let signature = key.sign(&payload).to_bytes();
    [message.as_slice(), &[0xff, 0xff, 0xff, 0xff, 0x0f], &signature].concat()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let found = arguments.iter().position(|argument| argument == "--iterations");
    let iterations = found.map_or(2_000, |index| arguments[index + 1].parse().unwrap());
    let namespace = B256::repeat_byte(7);
    let mut worst = 0;
    for seed in 0..16 {
        let key = SigningKey::from([seed; 32]);
        let public = B256::from(<[u8; 32]>::from(VerificationKey::from(&key)));
        let evidence = [vec![7], vote(&key, namespace, 1), vote(&key, namespace, 2)].concat();
        let check = || Evidence::decode(&evidence).unwrap().check(namespace, public).unwrap();
        worst = worst.max(nanoseconds(iterations, check));
    }
    let charged = 2 * gas::SIGNATURE;
    let tenths = worst * 10 / charged;
    println!("two votes: {worst} ns, {charged} gas, {}.{} ns/gas", tenths / 10, tenths % 10);
}
