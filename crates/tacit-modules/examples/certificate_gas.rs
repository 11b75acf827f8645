//! Times the check of a threshold certificate and prints nanoseconds beside gas: `certificate_gas [--iterations N]`.
//!
//! Run it in release mode on an idle machine. The price in [`tacit_modules::CERTIFICATE_GAS`] is right when no line shows more than 10 ns a gas.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measuring program"
)]

use alloy_primitives::{B256, FixedBytes};
use commonware_codec::{Encode as _, varint::UInt};
use commonware_cryptography::bls12381::primitives::{
    ops::{keypair, sign_message},
    variant::MinSig,
};
use commonware_utils::TestRng;
use std::{hint::black_box, time::Instant};
use tacit_light::{Certifier, GroupKey, certificate_namespace};
use tacit_modules::CERTIFICATE_GAS;

/// Least nanoseconds of several runs: what the work takes, without what else the machine does.
fn nanoseconds<T>(iterations: usize, mut work: impl FnMut() -> T) -> u64 {
    let time = |_| {
        let start = Instant::now();
        black_box(work());
        u64::try_from(start.elapsed().as_nanos()).unwrap()
    };
    (0..iterations).map(time).min().unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let found = arguments.iter().position(|argument| argument == "--iterations");
    let iterations = found.map_or(200, |index| arguments[index + 1].parse().unwrap());
    let (secret, public) = keypair::<_, MinSig>(&mut TestRng::new(1));
    let group = GroupKey::new(FixedBytes::from_slice(&public.encode())).unwrap();
    let (chain_id, genesis) = (1337, B256::repeat_byte(1));
    let certifier = Certifier { chain_id, genesis, first: 0, group };
    let namespace = [certificate_namespace(chain_id, genesis).as_slice(), b"_AGG_ACK"].concat();
    let hash = B256::repeat_byte(2);
    let message = [UInt(u64::MAX).encode().as_ref(), hash.as_slice()].concat();
    let signed = |message: &[u8]| {
        FixedBytes::from_slice(&sign_message::<MinSig>(&secret, &namespace, message).encode())
    };
    let (good, other) = (signed(&message), signed(b"another message"));
    assert!(certifier.check(u64::MAX, hash, good).is_ok());
    for (name, signature) in [("a certificate", good), ("one of something else", other)] {
        let took = nanoseconds(iterations, || certifier.check(u64::MAX, hash, signature));
        let tenths = took * 10 / CERTIFICATE_GAS;
        println!("{name}: {took} ns, {CERTIFICATE_GAS} gas, {}.{} ns/gas", tenths / 10, tenths % 10);
    }
}
