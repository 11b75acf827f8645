//! Why a proof is refused.

/// Why bytes are not a [`LightProof`](crate::LightProof).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// More bytes than any proof has.
    #[error("proof has {got} bytes, at most {limit} are allowed")]
    Length {
        /// Most bytes.
        limit: usize,
        /// Given.
        got: usize,
    },
    /// Written by another version.
    #[error("not a proof of format {expected}: the first byte is {}", got.map_or_else(|| "missing".to_owned(), |got| got.to_string()))]
    Format {
        /// This version's.
        expected: u8,
        /// Given; nothing for no bytes.
        got: Option<u8>,
    },
    /// Not the RLP of a proof.
    #[error("malformed proof: {0}")]
    Rlp(alloy_rlp::Error),
    /// The same proof has another encoding, or bytes are left over.
    #[error("proof is not encoded canonically")]
    NotCanonical,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LightError {
    /// No header, or more than a proof may have.
    #[error("proof has {got} headers, 1 to {limit} are allowed")]
    Headers {
        /// Most headers.
        limit: usize,
        /// Given.
        got: usize,
    },
    /// A header does not name the one before it as its parent.
    #[error("header {index} is not the child of the one before it")]
    Unlinked {
        /// Position in the proof.
        index: usize,
    },
    /// The certificate is a threshold signature; the client does not know the group key.
    #[error("the group key is not known")]
    NoGroup,
    /// The certificate is votes; the client does not know the validators.
    #[error("the validators are not known")]
    NoValidators,
    /// The threshold signature is no point of the group.
    #[error("malformed group signature")]
    MalformedGroupSignature,
    /// The group did not sign this block.
    #[error("the group's signature does not fit the block")]
    GroupSignature,
    /// The set of signers is not one of the known validators.
    #[error("set of signers has {got} bytes, expected {expected}")]
    SignersLength {
        /// One bit for each validator.
        expected: usize,
        /// Given.
        got: usize,
    },
    /// The set of signers names validators that do not exist.
    #[error("set of signers names nobody's bit")]
    SignersPadding,
    /// Signers and signatures are not equally many.
    #[error("{signers} signers, {signatures} signatures")]
    SignersCount {
        /// Bits that are set.
        signers: usize,
        /// Signatures.
        signatures: usize,
    },
    /// Too few validators signed.
    #[error("{got} validators signed, {required} must")]
    Quorum {
        /// More than two thirds.
        required: usize,
        /// Given.
        got: usize,
    },
    /// A validator did not vote for this block.
    #[error("the vote of validator {validator} does not fit the block")]
    Vote {
        /// Index among all validators, in order of their keys.
        validator: usize,
    },
    /// The receipt has a type that no transaction has.
    #[error("unknown receipt type {got}")]
    ReceiptType {
        /// Given.
        got: u8,
    },
    /// Receipt or transaction is not where the proof says.
    #[error("{trie}: {error}")]
    Trie {
        /// Which of the block's tries.
        trie: Trie,
        /// Why.
        error: TrieError,
    },
}

/// The tries of a block that a proof leads into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trie {
    /// That of `receiptsRoot`.
    Receipts,
    /// That of `transactionsRoot`.
    Transactions,
}

impl core::fmt::Display for Trie {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Receipts => "receipt",
            Self::Transactions => "transaction",
        })
    }
}

/// Why a path through a trie does not end at a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrieError {
    /// More nodes than a path may have.
    #[error("path has {got} nodes, at most {limit} are allowed")]
    Length {
        /// Most nodes.
        limit: usize,
        /// Given.
        got: usize,
    },
    /// A node does not have the hash that the one above it, or the root, names.
    #[error("node {index} has another hash")]
    Hash {
        /// From the root.
        index: usize,
    },
    /// A node with the right hash is no inner node of a trie.
    #[error("node {index} is no inner node")]
    Node {
        /// From the root.
        index: usize,
    },
    /// A node leads elsewhere.
    #[error("node {index} does not lead to the value")]
    Path {
        /// From the root.
        index: usize,
    },
    /// The value's leaf does not have the hash that the last node names.
    #[error("the value is another one")]
    Value,
}

/// Why a job receipt is not anchored by a verified transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// More siblings than the ledger itself takes.
    #[error("path has {got} siblings, at most {limit} are allowed")]
    Siblings {
        /// Most siblings.
        limit: usize,
        /// Given.
        got: usize,
    },
    /// The transaction anchored no batch that the receipt is in.
    #[error("the transaction did not anchor this receipt")]
    NotAnchored,
}

/// Why a proof cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// There is no header to prove it under.
    #[error("no header")]
    NoHeader,
    /// The block has no receipt or transaction there.
    #[error("index {index} is beyond the block's {count}")]
    Index {
        /// Asked for.
        index: usize,
        /// In the block.
        count: usize,
    },
    /// What was given is not what the block's header commits to.
    #[error("the {0}s are not those of the block")]
    Root(Trie),
}
