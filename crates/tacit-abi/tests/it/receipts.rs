//! Merkle batches of receipts.

use alloy_primitives::{B256, U256, keccak256};
use tacit_abi::receipts::{proof, root, root_from};

fn leaves(count: u64) -> Vec<B256> {
    (0..count).map(|index| keccak256(U256::from(index).to_be_bytes::<32>())).collect()
}

#[test]
fn every_leaf_of_every_small_batch_reaches_the_root() {
    for count in 1..=33 {
        let leaves = leaves(count);
        let root = root(&leaves).unwrap();
        for (index, leaf) in leaves.iter().enumerate() {
            let siblings = proof(&leaves, index).unwrap();
            assert_eq!(root_from(*leaf, &siblings), root, "leaf {index} of {count}");
        }
        assert_eq!(proof(&leaves, leaves.len()), None);
    }
}

#[test]
fn an_empty_batch_has_no_root() {
    assert_eq!(root(&[]), None);
    assert_eq!(proof(&[], 0), None);
}

#[test]
fn a_tampered_proof_misses_the_root() {
    let leaves = leaves(11);
    let root = root(&leaves).unwrap();
    for index in 0..leaves.len() {
        let siblings = proof(&leaves, index).unwrap();
        for place in 0..siblings.len() {
            let mut tampered = siblings.clone();
            tampered[place].0[0] ^= 1;
            assert_ne!(root_from(leaves[index], &tampered), root);
        }
        assert_ne!(root_from(leaves[(index + 1) % leaves.len()], &siblings), root);
        if let Some((_, shorter)) = siblings.split_last() {
            assert_ne!(root_from(leaves[index], shorter), root);
        }
    }
}

#[test]
fn a_single_leaf_is_its_own_root() {
    let leaves = leaves(1);
    assert_eq!(root(&leaves), Some(leaves[0]));
    assert_eq!(proof(&leaves, 0), Some(Vec::new()));
}
