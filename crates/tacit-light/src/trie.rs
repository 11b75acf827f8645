//! Paths through the tries of a block's receipts and transactions.
//!
//! # Formal definition
//! Value `i` of a block lies in a Merkle-Patricia trie under the key `RLP(i)`, as in every Ethereum block. A path is the
//! encodings of the inner nodes from the root to the value's leaf, without the leaf: what is left of the key and the value
//! make it. Keys of a block's trie are prefix-free and values longer than 32 bytes, so every node on a path is named by its
//! hash.

use crate::error::TrieError;
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Decodable as _;
use alloy_trie::{
    HashBuilder, Nibbles,
    nodes::{LeafNodeRef, TrieNode},
    proof::ProofRetainer,
    root::adjust_index_for_rlp,
};

/// Longest path: the key of an index has at most 9 bytes, and a node takes a nibble at least.
pub const NODES_MAX: usize = 18;

/// Checks that `value` lies at `index` under `root`.
pub(crate) fn check(root: B256, index: u64, nodes: &[Bytes], value: &[u8]) -> Result<(), TrieError> {
    if nodes.len() > NODES_MAX {
        return Err(TrieError::Length { limit: NODES_MAX, got: nodes.len() });
    }
    let key = key(index);
    let mut rest = key.as_slice();
    let mut expected = root;
    for (index, bytes) in nodes.iter().enumerate() {
        if keccak256(bytes) != expected {
            return Err(TrieError::Hash { index });
        }
        (expected, rest) = step(index, bytes, rest)?;
    }
    if leaf_hash(rest, value) == expected { Ok(()) } else { Err(TrieError::Value) }
}

/// Follows the key through one node: the child's hash, and what is left of the key.
fn step<'a>(index: usize, node: &[u8], key: &'a [u8]) -> Result<(B256, &'a [u8]), TrieError> {
    let (malformed, astray) = (TrieError::Node { index }, TrieError::Path { index });
    let mut bytes = node;
    let node = TrieNode::decode(&mut bytes).map_err(|_| malformed)?;
    if !bytes.is_empty() {
        return Err(malformed);
    }
    match node {
        TrieNode::Branch(branch) => {
            let (nibble, rest) = key.split_first().ok_or(astray)?;
            let branch = branch.as_ref();
            let child = branch.children().find(|(at, _)| at == nibble).and_then(|(_, child)| child);
            let child = child.ok_or(astray)?;
            Ok((child.as_hash().ok_or(astray)?, rest))
        }
        TrieNode::Extension(extension) => {
            let rest = key.strip_prefix(extension.key.to_vec().as_slice()).ok_or(astray)?;
            Ok((extension.child.as_hash().ok_or(astray)?, rest))
        }
        TrieNode::Leaf(_) | TrieNode::EmptyRoot => Err(malformed),
    }
}

/// Root of the trie of `values`, and the path to the one at `index`.
pub(crate) fn path(values: &[Vec<u8>], index: usize) -> (B256, Vec<Bytes>) {
    let target = Nibbles::from_nibbles(key(u64::try_from(index).unwrap_or(u64::MAX)));
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![target]));
    for i in 0..values.len() {
        // The order of keys, which is not that of indices.
        let index = adjust_index_for_rlp(i, values.len());
        let Some(value) = values.get(index) else { continue };
        builder.add_leaf(Nibbles::from_nibbles(key(u64::try_from(index).unwrap_or(u64::MAX))), value);
    }
    let root = builder.root();
    let mut nodes: Vec<Bytes> =
        builder.take_proof_nodes().into_nodes_sorted().into_iter().map(|(_, node)| node).collect();
    nodes.pop();
    (root, nodes)
}

/// Nibbles of the key of `index`.
fn key(index: u64) -> Vec<u8> {
    Nibbles::unpack(alloy_rlp::encode(index)).to_vec()
}

fn leaf_hash(rest: &[u8], value: &[u8]) -> B256 {
    let rest = Nibbles::from_nibbles(rest);
    keccak256(alloy_rlp::encode(LeafNodeRef::new(&rest, value)))
}
