//! Anchors and inclusion.

use crate::{
    Failure, MODULES, Module,
    receipts::MAX_PROOF,
    testing::{World, reverts},
};
use alloy_primitives::{Address, B256, U256, keccak256};
use tacit_abi::{
    IModule, IReceipts,
    receipts::{proof, root},
};

const RECEIPTS: Module = MODULES[2];
const WORKER: Address = Address::repeat_byte(0x77);

fn leaves(count: u64) -> Vec<B256> {
    (0..count).map(|index| keccak256(U256::from(index).to_be_bytes::<32>())).collect()
}

fn anchor(world: &mut World, root: B256, count: u32) -> Result<(), Failure> {
    world.call(RECEIPTS, WORKER, &IReceipts::anchorCall { root, count }).map(|_| ())
}

#[test]
fn an_anchor_keeps_worker_block_and_count() {
    let mut world = World::new();
    let root = root(&leaves(5)).unwrap();
    anchor(&mut world, root, 5).unwrap();
    assert_eq!(world.last::<IReceipts::Anchored>(), IReceipts::Anchored { root, worker: WORKER, count: 5 });
    let anchored = world.call(RECEIPTS, WORKER, &IReceipts::anchorOfCall { root }).unwrap();
    assert_eq!(anchored, IReceipts::Anchor { worker: WORKER, block: 7, count: 5 });
}

#[test]
fn a_root_is_anchored_once() {
    let mut world = World::new();
    anchor(&mut world, B256::ZERO, 1).unwrap();
    let again = anchor(&mut world, B256::ZERO, 2);
    assert_eq!(again, Err(reverts(IReceipts::AlreadyAnchored { root: B256::ZERO })));
}

#[test]
fn an_empty_batch_is_refused() {
    let mut world = World::new();
    assert_eq!(anchor(&mut world, B256::ZERO, 0), Err(reverts(IReceipts::EmptyBatch {})));
}

#[test]
fn an_unknown_root_is_refused() {
    let mut world = World::new();
    let root = B256::repeat_byte(1);
    let unknown = reverts(IReceipts::UnknownRoot { root });
    let of = world.call(RECEIPTS, WORKER, &IReceipts::anchorOfCall { root }).map(|_| ());
    assert_eq!(of, Err(unknown.clone()));
    let included = IReceipts::includedCall { root, leaf: root, proof: Vec::new() };
    assert_eq!(world.call(RECEIPTS, WORKER, &included).map(|_| ()), Err(unknown));
}

#[test]
fn inclusion_is_what_the_proof_says() {
    let mut world = World::new();
    let leaves = leaves(9);
    let root = root(&leaves).unwrap();
    anchor(&mut world, root, 9).unwrap();
    for (index, leaf) in leaves.iter().enumerate() {
        let proof = proof(&leaves, index).unwrap();
        let call = IReceipts::includedCall { root, leaf: *leaf, proof: proof.clone() };
        assert!(world.call(RECEIPTS, WORKER, &call).unwrap());
        let other = IReceipts::includedCall { root, leaf: B256::repeat_byte(3), proof };
        assert!(!world.call(RECEIPTS, WORKER, &other).unwrap());
    }
}

#[test]
fn an_overlong_proof_is_refused() {
    let mut world = World::new();
    anchor(&mut world, B256::ZERO, 1).unwrap();
    let call =
        |len| IReceipts::includedCall { root: B256::ZERO, leaf: B256::ZERO, proof: vec![B256::ZERO; len] };
    assert!(!world.call(RECEIPTS, WORKER, &call(MAX_PROOF)).unwrap());
    let refused = world.call(RECEIPTS, WORKER, &call(MAX_PROOF + 1)).map(|_| ());
    assert_eq!(refused, Err(reverts(IReceipts::ProofTooLong {})));
}

#[test]
fn views_run_in_static_calls_and_writes_do_not() {
    let mut world = World::new();
    anchor(&mut world, B256::ZERO, 1).unwrap();
    world.is_static = true;
    world.call(RECEIPTS, WORKER, &IReceipts::anchorOfCall { root: B256::ZERO }).unwrap();
    assert_eq!(anchor(&mut world, B256::repeat_byte(1), 1), Err(reverts(IModule::StaticCall {})));
}
