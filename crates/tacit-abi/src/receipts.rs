//! `receipts`: the worker's signed account of a job, anchored on the ledger in batches.

use alloy_primitives::{Address, B256, Bytes, address, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct};

/// Where the module lives on every Tacit ledger.
pub const ADDRESS: Address = address!("7ac1700000000000000000000000000000000003");

alloy_sol_types::sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "solidity/IReceipts.sol");

alloy_sol_types::sol! {
    /// What the worker says it did. Commitments are salted, so that a public receipt cannot be matched against guesses.
    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Receipt {
        bytes32 jobId;
        bytes32 modelId;
        bytes32 channelId;
        address client;
        address worker;
        uint8 privacy;
        uint8 evidence;
        bytes32 inputCommitment;
        bytes32 outputCommitment;
        bytes32 evidenceHash;
        uint128 price;
        uint128 cumulative;
        uint64 completedAt;
    }
}

/// EIP-712 domain of [`Receipt`].
#[must_use]
pub fn domain(chain_id: u64) -> Eip712Domain {
    alloy_sol_types::eip712_domain! {
        name: "Tacit Receipts",
        version: "1",
        chain_id: chain_id,
        verifying_contract: ADDRESS,
    }
}

/// A receipt with its 65-byte `r || s || v` signature.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SignedReceipt {
    /// What is attested.
    pub receipt: Receipt,
    /// By `receipt.worker` over the EIP-712 digest.
    pub signature: Bytes,
}

/// Merkle leaf of a receipt: `keccak256(EIP-712 digest)`, hashed once more so that no inner node can pass for a leaf.
#[must_use]
pub fn leaf(receipt: &Receipt, chain_id: u64) -> B256 {
    keccak256(receipt.eip712_signing_hash(&domain(chain_id)))
}

/// Root over leaves: pairs are sorted before hashing, an odd node moves up unchanged. `None` for no leaves.
#[must_use]
pub fn root(leaves: &[B256]) -> Option<B256> {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).map(fold).collect();
    }
    level.first().copied()
}

/// Siblings of leaf `index`, lowest level first. `None` when the index is out of range.
#[must_use]
pub fn proof(leaves: &[B256], index: usize) -> Option<Vec<B256>> {
    let (mut level, mut at, mut siblings) = (leaves.to_vec(), index, Vec::new());
    level.get(at)?;
    while level.len() > 1 {
        siblings.extend(level.get(at ^ 1));
        level = level.chunks(2).map(fold).collect();
        at /= 2;
    }
    Some(siblings)
}

/// Root that `leaf` reaches with `siblings`.
#[must_use]
pub fn root_from(leaf: B256, siblings: &[B256]) -> B256 {
    siblings.iter().fold(leaf, |node, sibling| pair(node, *sibling))
}

fn fold(chunk: &[B256]) -> B256 {
    match *chunk {
        [left, right] => pair(left, right),
        [single] => single,
        _ => B256::ZERO,
    }
}

fn pair(a: B256, b: B256) -> B256 {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    keccak256([low.0, high.0].concat())
}
