//! Times what the `policies` module charges for and prints nanoseconds beside gas: `policy_gas [--iterations N]`.
//!
//! Run it in release mode on an idle machine. The price in `policies::gas` is right when no line shows more than 10 ns a gas.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measuring program"
)]

use alloy_primitives::B256;
use std::{hint::black_box, time::Instant};
use tacit_modules::policies::gas;
use tacit_policy::{Fingerprint, ImageId, Policy};

fn hashes(first: u8, count: u16) -> impl Iterator<Item = [u8; 32]> {
    (0..count).map(move |at| {
        let mut hash = [first; 32];
        hash[1..3].copy_from_slice(&at.to_be_bytes());
        hash
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let found = arguments.iter().position(|argument| argument == "--iterations");
    let iterations: usize = found.map_or(2_000, |index| arguments[index + 1].parse().unwrap());
    for (images, models, revoked) in [(1, 1, 0), (16, 16, 16), (256, 256, 255)] {
        let of = |first, count| hashes(first, count).map(B256::from);
        let policy = Policy::new(of(1, images).map(ImageId), of(2, models)).unwrap();
        let policy = policy.with_revoked(hashes(3, revoked).map(Fingerprint)).unwrap();
        let bytes = policy.encode();
        // As a proposal does with each of the two policies: read, name, compare.
        let work = || {
            let read = Policy::decode(&bytes).unwrap();
            (read.id(), read.narrows(&policy))
        };
        let time = |_| {
            let start = Instant::now();
            black_box(work());
            u64::try_from(start.elapsed().as_nanos()).unwrap()
        };
        let least = (0..iterations).map(time).min().unwrap();
        let charged = gas::reading(bytes.len());
        let tenths = least * 10 / charged;
        println!("{} bytes: {least} ns, {charged} gas, {}.{} ns/gas", bytes.len(), tenths / 10, tenths % 10);
    }
}
