//! What validators pass round and sign: a standard Ethereum block, tied to its place in consensus.
//!
//! # Formal definition
//! A [`ChainBlock`] is a [`Seal`] and an Ethereum block with
//! - `extraData = SHA-256("tacit/seal/2" ‖ encoding of the seal)`,
//! - `parentHash =` the parent that the seal's context names,
//! - `transactionsRoot` of the transactions, no ommers, no withdrawals.
//!
//! Its digest is the Ethereum block hash. That fixes the header, the header fixes seal and transactions, and encodings are
//! canonical: two blocks with one digest are the same bytes. Whoever certifies the digest certifies all of it.
//!
//! # Encoding
//! `2 ‖ seal ‖ varint length ‖ RLP [header, transactions, ommers, withdrawals]`, the last as every Ethereum client writes it.
//! The seal is `round ‖ leader (32) ‖ parent view ‖ parent digest (32) ‖ height ‖ range ‖ varint length ‖ payload`, integers as
//! varints, the payload as the library encodes it, or nothing.
//!
//! # What a decoder does not check
//! Nothing that needs the parent: numbers, fees, signatures of transactions, roots of state and receipts. See `application`. Nor
//! whether this is the place for a payload, and for this one: that is the business of `epochs`.

use alloy_consensus::{Header, Sealed, proofs::calculate_transaction_root};
use alloy_primitives::B256;
use alloy_rlp::{Decodable as _, Encodable as _};
use bytes::{BufMut, Bytes};
use commonware_codec::{
    Buf, Copying, Encode as _, EncodeSize, Error as CodecError, FixedSize as _, MaxEncodeSize, RangeCfg,
    Read, ReadExt as _, Write,
};
use commonware_consensus::{
    Block as ConsensusBlock, BoundedBlock, CertifiableBlock, Heightable, simplex::types::Context,
    types::Height,
};
use commonware_cryptography::{
    Digestible, Hasher as _, Sha256,
    bls12381::primitives::{sharing::ModeVersion, variant::MinSig},
    ed25519, keccak256,
};
use commonware_glue::dkg::{
    ReshareBlock,
    types::{self, EpochInfo},
};
use commonware_storage::mmr::Location;
use commonware_utils::{NZU32, range::NonEmptyRange, sequence::Unit};
use core::{fmt, num::NonZeroU32};
use tacit_ledger::Block;

/// An Ethereum block hash, as the engine sees it.
pub type BlockHash = keccak256::Digest;

/// Where in consensus a block was proposed: round, leader, parent.
pub type ConsensusContext = Context<BlockHash, ed25519::PublicKey>;

/// What some blocks carry so that the group's key changes hands: what a dealer has dealt, or (the last block of an epoch) who
/// keeps the next one and holds the key in it.
pub type Payload = types::Payload<MinSig, ed25519::PublicKey, Unit>;

/// Who keeps an epoch, who holds the key in it, and to whom it is handed on.
pub type EpochRecord = EpochInfo<MinSig, ed25519::PublicKey, Unit>;

/// What consensus and state sync need to know of a block and an Ethereum header has no field for.
#[derive(Clone, PartialEq, Eq)]
pub struct Seal {
    /// Round, leader and parent of the proposal.
    pub context: ConsensusContext,
    /// Blocks before it that this set of validators made: 0 for their first, whatever its number.
    pub height: Height,
    /// Operations of the state database that a new validator must fetch to have this block's state: from its inactivity
    /// floor to its end.
    pub range: NonEmptyRange<Location>,
    /// What the group's key needs to change hands.
    pub payload: Option<Payload>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal")
            .field("context", &self.context)
            .field("height", &self.height)
            .field("range", &self.range)
            .field("payload", &self.payload.as_ref().map(|payload| payload.encode()))
            .finish()
    }
}

impl Seal {
    /// What `extraData` must be.
    #[must_use]
    pub fn commitment(&self) -> B256 {
        B256::new(Sha256::hash(&[SEAL_DOMAIN, &self.encode()]).0)
    }
}

impl Write for Seal {
    fn write(&self, buf: &mut impl BufMut) {
        self.context.write(buf);
        self.height.write(buf);
        self.range.write(buf);
        self.payload.as_ref().map_or(0, EncodeSize::encode_size).write(buf);
        if let Some(payload) = &self.payload {
            payload.write(buf);
        }
    }
}

impl EncodeSize for Seal {
    fn encode_size(&self) -> usize {
        let payload = self.payload.as_ref().map_or(0, EncodeSize::encode_size);
        self.context.encode_size()
            + self.height.encode_size()
            + self.range.encode_size()
            + payload.encode_size()
            + payload
    }
}

impl Read for Seal {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        Ok(Self {
            context: Context::read(buf)?,
            height: Height::read(buf)?,
            range: NonEmptyRange::read(buf)?,
            payload: read_payload(buf)?,
        })
    }
}

fn read_payload(buf: &mut impl Buf) -> Result<Option<Payload>, CodecError> {
    let bytes = Bytes::read_cfg(buf, &RangeCfg::from(..=PAYLOAD_BYTES_MAX))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut rest = Copying(&bytes);
    let payload = Payload::read_cfg(&mut rest, &PAYLOAD_LIMITS)?;
    // One hash stands for one sequence of bytes, whatever the library's decoders forgive.
    if payload.encode()[..] != bytes[..] {
        return Err(CodecError::Invalid("Seal", "payload is not encoded canonically"));
    }
    Ok(Some(payload))
}

impl MaxEncodeSize for Seal {
    const MAX_ENCODE_SIZE: usize = ConsensusContext::MAX_ENCODE_SIZE
        + Height::MAX_ENCODE_SIZE
        + NonEmptyRange::<Location>::MAX_ENCODE_SIZE
        + LENGTH_BYTES_MAX
        + PAYLOAD_BYTES_MAX;
}

/// Why bytes, or a block and a seal, are not a [`ChainBlock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// Written by another version.
    #[error("block format {got}, expected {FORMAT}")]
    Format {
        /// Version given.
        got: u8,
    },
    /// More bytes than a block may have.
    #[error("block has {got} bytes, at most {BLOCK_BYTES_MAX} are allowed")]
    Size {
        /// Bytes of the Ethereum block.
        got: usize,
    },
    /// The Ethereum block is not RLP of a block.
    #[error("malformed block: {0}")]
    Rlp(alloy_rlp::Error),
    /// It has another, shorter or ordered, encoding.
    #[error("block is not encoded canonically")]
    NotCanonical,
    /// It has ommers or withdrawals, or lacks the list of the latter.
    #[error("unexpected block body")]
    Body,
    /// The transactions are not those of the header.
    #[error("transactions differ from the header's root")]
    Transactions,
    /// The seal is not the one that the header commits to.
    #[error("seal differs from the header's extraData")]
    Seal,
    /// Seal and header name different parents.
    #[error("seal and header name different parents")]
    Parent,
}

/// A block that holds together: header, transactions and seal belong to each other. Nothing is said about its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainBlock {
    seal: Seal,
    block: Block,
    hash: B256,
}

impl ChainBlock {
    /// Ties a seal and a block together.
    ///
    /// # Errors
    /// They do not belong together, or are too long.
    pub fn new(seal: Seal, block: Block) -> Result<Self, BlockError> {
        let got = block.length();
        if got > BLOCK_BYTES_MAX {
            return Err(BlockError::Size { got });
        }
        if !block.body.ommers.is_empty()
            || block.body.withdrawals.as_ref().is_none_or(|list| !list.is_empty())
        {
            return Err(BlockError::Body);
        }
        if block.header.extra_data[..] != seal.commitment()[..] {
            return Err(BlockError::Seal);
        }
        if block.header.parent_hash.0 != seal.context.parent.1.0 {
            return Err(BlockError::Parent);
        }
        if block.header.transactions_root != calculate_transaction_root(&block.body.transactions) {
            return Err(BlockError::Transactions);
        }
        let hash = block.header.hash_slow();
        Ok(Self { seal, block, hash })
    }

    /// Where it was proposed, and what state sync needs.
    #[must_use]
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// The Ethereum block.
    #[must_use]
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// The Ethereum block hash.
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// The header under its hash.
    #[must_use]
    pub fn header(&self) -> Sealed<Header> {
        Sealed::new_unchecked(self.block.header.clone(), self.hash)
    }

    fn decode_body(seal: Seal, bytes: &[u8]) -> Result<Self, BlockError> {
        let mut rest = bytes;
        let block = Block::decode(&mut rest).map_err(BlockError::Rlp)?;
        // The decoder forgives what an encoder never writes; two encodings of one block must not both pass.
        if !rest.is_empty() || alloy_rlp::encode(&block) != bytes {
            return Err(BlockError::NotCanonical);
        }
        Self::new(seal, block)
    }
}

impl Write for ChainBlock {
    fn write(&self, buf: &mut impl BufMut) {
        FORMAT.write(buf);
        self.seal.write(buf);
        Bytes::from(alloy_rlp::encode(&self.block)).write(buf);
    }
}

impl EncodeSize for ChainBlock {
    fn encode_size(&self) -> usize {
        let length = self.block.length();
        u8::SIZE + self.seal.encode_size() + length.encode_size() + length
    }
}

impl Read for ChainBlock {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        let reject = |error| CodecError::Wrapped("block", Box::new(error));
        let got = u8::read(buf)?;
        if got != FORMAT {
            return Err(reject(BlockError::Format { got }));
        }
        let seal = Seal::read(buf)?;
        let bytes = Bytes::read_cfg(buf, &RangeCfg::from(..=BLOCK_BYTES_MAX))?;
        Self::decode_body(seal, &bytes).map_err(reject)
    }
}

impl Digestible for ChainBlock {
    type Digest = BlockHash;

    fn digest(&self) -> BlockHash {
        keccak256::Digest(self.hash.0)
    }
}

impl Heightable for ChainBlock {
    fn height(&self) -> Height {
        self.seal.height
    }
}

impl ConsensusBlock for ChainBlock {
    fn parent(&self) -> BlockHash {
        keccak256::Digest(self.block.header.parent_hash.0)
    }
}

impl CertifiableBlock for ChainBlock {
    type Context = ConsensusContext;

    fn context(&self) -> ConsensusContext {
        self.seal.context.clone()
    }
}

impl ReshareBlock for ChainBlock {
    type Variant = MinSig;
    type PublicKey = ed25519::PublicKey;
    type Directory = Unit;

    fn payload(&self) -> Option<Payload> {
        self.seal.payload.clone()
    }
}

impl BoundedBlock for ChainBlock {
    fn max_encode_size((): &()) -> usize {
        ENCODED_BYTES_MAX
    }
}

/// Longest Ethereum block, in bytes of RLP. Gas bounds data that costs gas; this bounds zeros, which cost little.
pub const BLOCK_BYTES_MAX: usize = 2 << 20;

/// Longest encoding of a [`ChainBlock`].
pub const ENCODED_BYTES_MAX: usize = u8::SIZE + Seal::MAX_ENCODE_SIZE + LENGTH_BYTES_MAX + BLOCK_BYTES_MAX;

/// Longest payload: more than that of [`PARTICIPANTS_MAX`] validators takes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 16;

/// Most validators of an epoch: as many as the ledger has seats for at most.
pub const PARTICIPANTS_MAX: NonZeroU32 = NZU32!(128);

/// What a payload's decoder takes.
const PAYLOAD_LIMITS: (NonZeroU32, ModeVersion) = (PARTICIPANTS_MAX, ModeVersion::v0());
const FORMAT: u8 = 2;
const SEAL_DOMAIN: &[u8] = b"tacit/seal/2";
const LENGTH_BYTES_MAX: usize = 5;

#[cfg(test)]
mod tests;
