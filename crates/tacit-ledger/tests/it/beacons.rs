//! Beacons through the executor: under a group's key, and on a development ledger.

use crate::support::{CHAIN_ID, Net};
use alloy_primitives::{B256, Bytes, FixedBytes, keccak256};
use alloy_sol_types::{SolCall, SolError};
use commonware_codec::{Encode as _, varint::UInt};
use commonware_cryptography::bls12381::primitives::{
    group::Private,
    ops::{keypair, sign_message},
    variant::MinSig,
};
use commonware_utils::TestRng;
use tacit_abi::{
    IBeacons,
    beacons::{ADDRESS, of_development},
};
use tacit_ledger::{CallStatus, Chain, Outcome};
use tacit_light::{Certifier, GroupKey, certificate_namespace};
use tacit_modules::CERTIFICATE_GAS;

/// A chain of validators whose secret the tests have, and whose first block has this number.
fn network(first: u64) -> (Net, Private) {
    let mut net = Net::new();
    let (secret, public) = keypair::<_, MinSig>(&mut TestRng::new(1));
    let group = GroupKey::new(FixedBytes::from_slice(&public.encode())).unwrap();
    let certifier = Certifier { chain_id: CHAIN_ID, genesis: net.head.hash(), first, group };
    net.chain = Chain { certifier: Some(certifier), ..net.chain };
    (net, secret)
}

/// The validators' signature over the head.
fn certificate(net: &Net, secret: &Private) -> Bytes {
    let Certifier { genesis, first, .. } = net.chain.certifier.unwrap();
    let namespace = [certificate_namespace(CHAIN_ID, genesis).as_slice(), b"_AGG_ACK"].concat();
    let height = UInt(net.head.number - first).encode();
    let message = [height.as_ref(), net.head.hash().as_slice()].concat();
    sign_message::<MinSig>(secret, &namespace, &message).encode().to_vec().into()
}

/// What posts the head's beacon.
fn call(net: &Net, signature: Bytes) -> IBeacons::postCall {
    IBeacons::postCall { number: net.head.number, blockHash: net.head.hash(), signature }
}

fn post(net: &mut Net, call: &IBeacons::postCall) -> Outcome {
    net.send(1, ADDRESS, 0, call.abi_encode())
}

fn beacon_of(net: &Net, number: u64) -> B256 {
    net.view(ADDRESS, &IBeacons::beaconOfCall { number })
}

#[test]
fn the_validators_signature_becomes_a_beacon() {
    let (mut net, secret) = network(0);
    for _ in 0..300 {
        let _ = net.mine(Vec::new());
    }
    let signature = certificate(&net, &secret);
    let honest = call(&net, signature.clone());
    // However old the block is.
    for _ in 0..300 {
        let _ = net.mine(Vec::new());
    }
    let called = net.call(ADDRESS, honest.abi_encode());
    assert_eq!((called.status, &called.output[..]), (CallStatus::Success, &keccak256(&signature)[..]));

    let posted = post(&mut net, &honest);
    assert!(posted.receipt.status(), "{}", posted.output);
    assert_eq!(beacon_of(&net, honest.number), keccak256(&signature));
    println!("a beacon: {} gas, {CERTIFICATE_GAS} of it for the signature", posted.gas_used);
    // Transaction and calldata, the signature, a cold and fresh slot, a log.
    let least = 21_000 + CERTIFICATE_GAS + 22_100;
    assert!((least..least + 10_000).contains(&posted.gas_used), "{}", posted.gas_used);

    let again = post(&mut net, &honest);
    assert_eq!(again.output, IBeacons::AlreadyPosted { number: honest.number }.abi_encode());
    assert!(again.gas_used < 40_000, "{}", again.gas_used);
}

#[test]
fn who_did_not_sign_a_block_makes_no_beacon_of_it() {
    let (mut net, secret) = network(0);
    let _ = net.mine(Vec::new());
    let earlier = certificate(&net, &secret);
    let _ = net.mine(Vec::new());
    let forged = call(&net, earlier);
    let refused = post(&mut net, &forged);
    assert!(!refused.receipt.status());
    assert_eq!(refused.output, IBeacons::NotCertified { number: forged.number }.abi_encode());
    // What a development ledger takes.
    let bare = call(&net, Bytes::new());
    let refused = post(&mut net, &bare);
    assert_eq!(refused.output, IBeacons::SignatureLength { expected: 48 }.abi_encode());
    assert_eq!(beacon_of(&net, forged.number), B256::ZERO);
}

#[test]
fn a_development_ledger_knows_256_blocks() {
    let mut net = Net::new();
    let first = call(&net, Bytes::new());
    for _ in 0..255 {
        let _ = net.mine(Vec::new());
    }
    let posted = post(&mut net, &first);
    assert!(posted.receipt.status(), "{}", posted.output);
    assert_eq!(beacon_of(&net, 0), of_development(first.blockHash));

    let mut net = Net::new();
    for _ in 0..256 {
        let _ = net.mine(Vec::new());
    }
    let refused = post(&mut net, &first);
    assert_eq!(refused.output, IBeacons::UnknownBlock { number: 0 }.abi_encode());
    // Nor the block itself, whose hash nobody has.
    let itself = IBeacons::postCall { number: net.head.number + 1, ..first };
    let refused = post(&mut net, &itself);
    assert_eq!(refused.output, IBeacons::UnknownBlock { number: itself.number }.abi_encode());
}

/// A network goes on with a development ledger's blocks: whoever executes those again does so as it was done.
#[test]
fn the_key_counts_from_the_network_s_first_block() {
    let (mut net, secret) = network(3);
    let _ = net.mine(Vec::new());
    let bare = call(&net, Bytes::new());
    let posted = post(&mut net, &bare);
    assert!(posted.receipt.status(), "{}", posted.output);
    assert_eq!((net.head.number, beacon_of(&net, 1)), (2, of_development(bare.blockHash)));
    let _ = net.mine(Vec::new());
    let _ = net.mine(Vec::new());
    let bare = call(&net, Bytes::new());
    let refused = post(&mut net, &bare);
    assert_eq!(refused.output, IBeacons::SignatureLength { expected: 48 }.abi_encode());
    let signed = call(&net, certificate(&net, &secret));
    let posted = post(&mut net, &signed);
    assert!(posted.receipt.status(), "{}", posted.output);
}
