//! Seals: what consensus binds to a block beside its header, as far as others need it.
//!
//! # Formal definition
//! `extraData` of a header is `SHA-256("tacit/seal/2" ‖ seal)`, and a seal begins with
//! `epoch ‖ view ‖ leader (32) ‖ parent's view ‖ parent's hash (32) ‖ height ‖ start ‖ end ‖ checkpoint`, integers as varints. A
//! **checkpoint** is `0`, or `1 ‖ number (varint) ‖ root (32)`: the root of the flat state after an earlier block, by the
//! ledger's lattice hash. What follows it is consensus' own; the hash covers it, and nothing here reads it.
//!
//! # Soundness
//! A certificate signs the header's hash, the header names the hash of the seal: whoever has the three has what two thirds of
//! the validators computed.

use alloy_consensus::Header;
use alloy_primitives::B256;
use alloy_rlp::BufMut;
use commonware_codec::{
    Buf, Copying, EncodeSize, Error as CodecError, FixedSize as _, MaxEncodeSize, Read, ReadExt as _, Write,
    varint::UInt,
};
use commonware_cryptography::{Hasher as _, Sha256};

/// Longest seal that is read.
pub const SEAL_BYTES_MAX: usize = 128 << 10;

/// What the flat state was after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The block's number.
    pub number: u64,
    /// Root of all accounts and slots after it, by the ledger's lattice hash (`tacit_ledger::LtHash`).
    pub root: B256,
}

/// Why a seal says nothing of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// More bytes than are read.
    #[error("seal has {got} bytes, at most {limit} are allowed")]
    Length {
        /// Most bytes.
        limit: usize,
        /// Given.
        got: usize,
    },
    /// Not the one that the header commits to.
    #[error("seal differs from the header's extraData")]
    Commitment,
    /// Not the encoding of a seal.
    #[error("malformed seal")]
    Malformed,
    /// The checkpoint is not of an earlier block.
    #[error("block {block} has a checkpoint of block {got}")]
    Number {
        /// Number of the block that has the seal.
        block: u64,
        /// The checkpoint's.
        got: u64,
    },
}

/// Checks that `seal` is that of `header`; gives the checkpoint in it.
///
/// # Errors
/// [`SealError`].
pub fn checkpoint(header: &Header, seal: &[u8]) -> Result<Option<Checkpoint>, SealError> {
    if seal.len() > SEAL_BYTES_MAX {
        return Err(SealError::Length { limit: SEAL_BYTES_MAX, got: seal.len() });
    }
    if header.extra_data[..] != Sha256::hash(&[SEAL_DOMAIN, seal]).0[..] {
        return Err(SealError::Commitment);
    }
    let found = read(seal).map_err(|_| SealError::Malformed)?;
    match found {
        Some(Checkpoint { number: got, .. }) if got >= header.number => {
            Err(SealError::Number { block: header.number, got })
        }
        found => Ok(found),
    }
}

fn read(seal: &[u8]) -> Result<Option<Checkpoint>, CodecError> {
    let mut buf = Copying(seal);
    let integer = |buf: &mut Copying<'_>| UInt::<u64>::read(buf);
    // Epoch, view.
    integer(&mut buf)?;
    integer(&mut buf)?;
    <[u8; 32]>::read(&mut buf)?;
    integer(&mut buf)?;
    <[u8; 32]>::read(&mut buf)?;
    // Height, start and end of the range.
    integer(&mut buf)?;
    integer(&mut buf)?;
    integer(&mut buf)?;
    Option::<Checkpoint>::read(&mut buf)
}

impl Write for Checkpoint {
    fn write(&self, buf: &mut impl BufMut) {
        UInt(self.number).write(buf);
        self.root.0.write(buf);
    }
}

impl EncodeSize for Checkpoint {
    fn encode_size(&self) -> usize {
        UInt(self.number).encode_size().saturating_add(<[u8; 32]>::SIZE)
    }
}

impl MaxEncodeSize for Checkpoint {
    const MAX_ENCODE_SIZE: usize = VARINT_BYTES_MAX.saturating_add(<[u8; 32]>::SIZE);
}

impl Read for Checkpoint {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        let number = UInt::<u64>::read(buf)?.into();
        Ok(Self { number, root: B256::new(<[u8; 32]>::read(buf)?) })
    }
}

const SEAL_DOMAIN: &[u8] = b"tacit/seal/2";
/// Of 64 bits.
const VARINT_BYTES_MAX: usize = 10;
