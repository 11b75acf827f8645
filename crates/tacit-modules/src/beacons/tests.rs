//! One value for each block, which is the validators' or nobody's.

use crate::{
    CERTIFICATE_GAS, Failure, HostError, MODULES, Module,
    beacons::SIGNATURE_BYTES,
    testing::{CHAIN_ID, World, reverts},
};
use alloy_primitives::{Address, B256, Bytes, FixedBytes, keccak256};
use commonware_codec::{Encode as _, varint::UInt};
use commonware_cryptography::bls12381::primitives::{
    group::Private,
    ops::{keypair, sign_message},
    variant::MinSig,
};
use commonware_utils::TestRng;
use tacit_abi::{IBeacons, IModule, beacons};
use tacit_light::{Certifier, GroupKey, certificate_namespace};

const BEACONS: Module = MODULES[10];
const ANYONE: Address = Address::repeat_byte(0x77);
const HASH: B256 = B256::repeat_byte(0xab);

/// A group whose secret the tests have, and what its signatures are bound to.
struct Group {
    secret: Private,
    certifier: Certifier,
}

impl Group {
    fn new(seed: u64) -> Self {
        let (secret, public) = keypair::<_, MinSig>(&mut TestRng::new(seed));
        let group = GroupKey::new(FixedBytes::from_slice(&public.encode())).unwrap();
        let certifier = Certifier { chain_id: CHAIN_ID, genesis: B256::repeat_byte(1), first: 3, group };
        Self { secret, certifier }
    }

    /// Its certificate of a block.
    fn sign(&self, number: u64, hash: B256) -> Bytes {
        let Certifier { chain_id, genesis, first, .. } = self.certifier;
        let namespace = [certificate_namespace(chain_id, genesis).as_slice(), b"_AGG_ACK"].concat();
        let message = [UInt(number - first).encode().as_ref(), hash.as_slice()].concat();
        sign_message::<MinSig>(&self.secret, &namespace, &message).encode().to_vec().into()
    }

    fn world(&self) -> World {
        World { certifier: Some(self.certifier), ..World::new() }
    }
}

fn post(world: &mut World, number: u64, hash: B256, signature: &Bytes) -> Result<B256, Failure> {
    let call = IBeacons::postCall { number, blockHash: hash, signature: signature.clone() };
    world.call(BEACONS, ANYONE, &call)
}

fn beacon_of(world: &mut World, number: u64) -> B256 {
    world.call(BEACONS, ANYONE, &IBeacons::beaconOfCall { number }).unwrap()
}

fn not_certified<T>(number: u64) -> Result<T, Failure> {
    Err(reverts(IBeacons::NotCertified { number }))
}

#[test]
fn the_beacon_is_the_hash_of_the_signature() {
    let group = Group::new(1);
    let mut world = group.world();
    let signature = group.sign(5, HASH);
    assert_eq!(beacon_of(&mut world, 5), B256::ZERO);
    let beacon = post(&mut world, 5, HASH, &signature).unwrap();
    assert_eq!(beacon, keccak256(&signature));
    assert_eq!(beacon_of(&mut world, 5), beacon);
    assert_eq!(beacon_of(&mut world, 6), B256::ZERO);
    assert_eq!(world.last::<IBeacons::Posted>(), IBeacons::Posted { number: 5, beacon });
}

#[test]
fn a_beacon_is_posted_once() {
    let group = Group::new(1);
    let mut world = group.world();
    let signature = group.sign(5, HASH);
    post(&mut world, 5, HASH, &signature).unwrap();
    let again = Err(reverts(IBeacons::AlreadyPosted { number: 5 }));
    assert_eq!(post(&mut world, 5, HASH, &signature), again);
    // Not even by validators who signed two blocks of one number.
    let other = B256::repeat_byte(0xcd);
    assert_eq!(post(&mut world, 5, other, &group.sign(5, other)), again);
}

#[test]
fn a_signature_of_another_block_is_refused() {
    let group = Group::new(1);
    let mut world = group.world();
    let signature = group.sign(5, HASH);
    assert_eq!(post(&mut world, 6, HASH, &signature), not_certified(6));
    assert_eq!(post(&mut world, 5, B256::repeat_byte(0xcd), &signature), not_certified(5));
    // Before the network's first block there is nothing to sign.
    assert_eq!(post(&mut world, 2, HASH, &signature), not_certified(2));
}

#[test]
fn a_signature_of_another_network_is_refused() {
    let group = Group::new(1);
    let certifier = group.certifier;
    let others = [
        Certifier { chain_id: CHAIN_ID + 1, ..certifier },
        Certifier { genesis: B256::repeat_byte(2), ..certifier },
        Certifier { first: 4, ..certifier },
    ];
    for other in others {
        let signature = Group { secret: group.secret.clone(), certifier: other }.sign(5, HASH);
        assert_eq!(post(&mut group.world(), 5, HASH, &signature), not_certified(5), "{other:?}");
    }
}

#[test]
fn a_signature_under_another_key_is_refused() {
    let signature = Group::new(2).sign(5, HASH);
    assert_eq!(post(&mut Group::new(1).world(), 5, HASH, &signature), not_certified(5));
}

#[test]
fn a_signature_with_any_bit_changed_is_refused() {
    let group = Group::new(1);
    let mut world = group.world();
    let signature = group.sign(5, HASH);
    for at in 0..SIGNATURE_BYTES {
        for bit in 0..8 {
            let mut bent = signature.to_vec();
            bent[at] ^= 1 << bit;
            assert_eq!(post(&mut world, 5, HASH, &bent.into()), not_certified(5), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_signature_of_another_length_is_refused() {
    let group = Group::new(1);
    let mut world = group.world();
    let signature = group.sign(5, HASH);
    let refused = Err(reverts(IBeacons::SignatureLength { expected: 48 }));
    for length in [1, 47, 49, 96] {
        let mut bent = signature.to_vec();
        bent.resize(length, 0);
        assert_eq!(post(&mut world, 5, HASH, &bent.into()), refused, "{length} bytes");
    }
}

#[test]
fn a_network_with_a_key_makes_no_beacon_of_a_block_s_hash() {
    let mut world = Group::new(1).world();
    world.block_hashes.insert(5, HASH);
    let refused = Err(reverts(IBeacons::SignatureLength { expected: 48 }));
    assert_eq!(post(&mut world, 5, HASH, &Bytes::new()), refused);
}

#[test]
fn a_signature_is_paid_for_before_it_is_looked_at() {
    let group = Group::new(1);
    let mut world = group.world();
    let call = IBeacons::postCall { number: 5, blockHash: HASH, signature: group.sign(6, HASH) };
    let input = alloy_sol_types::SolCall::abi_encode(&call);
    let (refused, used) = world.metered(BEACONS, ANYONE, Default::default(), &input);
    assert_eq!(refused, not_certified(5));
    assert!(used > CERTIFICATE_GAS);
    world.gas = CERTIFICATE_GAS;
    let stopped = world.send(BEACONS, ANYONE, Default::default(), &input);
    assert_eq!(stopped, Err(Failure::Halt(HostError::OutOfGas)));
}

#[test]
fn a_development_ledger_makes_beacons_of_its_blocks() {
    let mut world = World::new();
    world.block_hashes.insert(5, HASH);
    let beacon = post(&mut world, 5, HASH, &Bytes::new()).unwrap();
    assert_eq!(beacon, beacons::of_development(HASH));
    assert_eq!(beacon_of(&mut world, 5), beacon);
}

#[test]
fn a_development_ledger_takes_no_signature() {
    let group = Group::new(1);
    let mut world = World::new();
    world.block_hashes.insert(5, HASH);
    let refused = Err(reverts(IBeacons::SignatureLength { expected: 0 }));
    assert_eq!(post(&mut world, 5, HASH, &group.sign(5, HASH)), refused);
}

#[test]
fn a_development_ledger_knows_its_own_blocks_alone() {
    let mut world = World::new();
    world.block_hashes.insert(5, HASH);
    let unknown = Err(reverts(IBeacons::UnknownBlock { number: 6 }));
    assert_eq!(post(&mut world, 6, HASH, &Bytes::new()), unknown);
    let wrong = Err(reverts(IBeacons::WrongHash { expected: HASH }));
    assert_eq!(post(&mut world, 5, B256::repeat_byte(0xcd), &Bytes::new()), wrong);
}

#[test]
fn reading_is_a_view_and_posting_is_not() {
    let mut world = World::new();
    world.block_hashes.insert(5, HASH);
    world.is_static = true;
    assert_eq!(beacon_of(&mut world, 5), B256::ZERO);
    let refused = Err(reverts(IModule::StaticCall {}));
    assert_eq!(post(&mut world, 5, HASH, &Bytes::new()), refused);
}
