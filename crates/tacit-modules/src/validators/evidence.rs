//! Evidence that a key voted twice: two votes of one view that no honest validator signs both.
//!
//! Source: `commonware-consensus` 2026.10.0, `simplex::types` (`Activity` and the votes in it) and `simplex::scheme::ed25519`.
//! This decoder reads what that library writes for ed25519 and digests of 32 bytes, and accepts what its `verify` accepts;
//! `tacit-consensus` tests the two against each other. Deviation: the library finds the key by the signer's index in a set of
//! validators; here the key is given, and the index, which is not signed, decides nothing.
//!
//! # Encoding
//! ```text
//! evidence = 7 ‖ notarize ‖ notarize | 8 ‖ finalize ‖ finalize | 9 ‖ nullify ‖ finalize
//! notarize = finalize = round ‖ parent view ‖ digest (32) ‖ signer ‖ signature (64)
//! nullify  = round ‖ signer ‖ signature (64)
//! round    = epoch ‖ view
//! ```
//! Integers are varints, seven bits a byte, lowest first, of 64 bits (the signer: 32), in their shortest form.
//!
//! # What is signed
//! `length (1) ‖ namespace (32) ‖ suffix ‖ message`: the length is that of namespace and suffix, the suffix is `_NOTARIZE`,
//! `_NULLIFY` or `_FINALIZE`, the message is the vote up to its signer.
//!
//! # Soundness
//! A [`Fault`] means that the key signed both votes. Who gave the key away is told by nothing here.

use crate::validators::signature;
use alloy_primitives::B256;

/// What two votes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Two notarizations of different proposals.
    Notarizes,
    /// Two finalizations of different proposals.
    Finalizes,
    /// A nullification and a finalization.
    NullifyFinalize,
}

impl Kind {
    /// Number in the encoding.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Notarizes => 7,
            Self::Finalizes => 8,
            Self::NullifyFinalize => 9,
        }
    }

    fn phases(self) -> (Phase, Phase) {
        match self {
            Self::Notarizes => (Phase::Notarize, Phase::Notarize),
            Self::Finalizes => (Phase::Finalize, Phase::Finalize),
            Self::NullifyFinalize => (Phase::Nullify, Phase::Finalize),
        }
    }
}

/// Why bytes are no evidence against a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// They end before the second vote does.
    #[error("evidence is cut short")]
    Truncated,
    /// They go on after it.
    #[error("evidence has bytes too many")]
    Trailing,
    /// An integer is too large, or not in its shortest form.
    #[error("malformed integer")]
    Varint,
    /// The first byte names no kind of evidence.
    #[error("no kind of evidence has number {got}")]
    Kind {
        /// Given.
        got: u8,
    },
    /// The votes name different signers.
    #[error("votes of different signers")]
    Signers,
    /// The votes are of different epochs or views.
    #[error("votes of different rounds")]
    Rounds,
    /// The votes are for one proposal.
    #[error("votes for the same proposal")]
    SameProposal,
    /// The first vote is not signed by the key.
    #[error("first signature")]
    FirstSignature,
    /// The second vote is not signed by the key.
    #[error("second signature")]
    SecondSignature,
}

/// Two votes that contradict each other, if the signatures hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "nothing is shown until the signatures are checked"]
pub struct Evidence<'a> {
    kind: Kind,
    first: Vote<'a>,
    second: Vote<'a>,
}

/// A key signed two votes that contradict each other. Only [`Evidence::check`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a fault has consequences"]
pub struct Fault {
    kind: Kind,
    epoch: u64,
    view: u64,
}

impl Fault {
    /// What the votes are.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Consensus epoch of both.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// View of both.
    #[must_use]
    pub fn view(&self) -> u64 {
        self.view
    }
}

impl<'a> Evidence<'a> {
    /// Reads evidence, which must fill `bytes`.
    ///
    /// # Errors
    /// One [`EvidenceError`] for each way in which bytes are no two votes that contradict each other.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, EvidenceError> {
        let mut reader = Reader { rest: bytes };
        let kind = match reader.byte()? {
            7 => Kind::Notarizes,
            8 => Kind::Finalizes,
            9 => Kind::NullifyFinalize,
            got => return Err(EvidenceError::Kind { got }),
        };
        let (first, second) = kind.phases();
        let (first, second) = (reader.vote(first)?, reader.vote(second)?);
        if !reader.rest.is_empty() {
            return Err(EvidenceError::Trailing);
        }
        if first.signer != second.signer {
            return Err(EvidenceError::Signers);
        }
        if (first.epoch, first.view) != (second.epoch, second.view) {
            return Err(EvidenceError::Rounds);
        }
        // Encodings are canonical: equal messages are equal votes. A nullification has another phase.
        if first.phase == second.phase && first.message == second.message {
            return Err(EvidenceError::SameProposal);
        }
        Ok(Self { kind, first, second })
    }

    /// Checks both signatures: two ed25519 verifications, which the caller has paid for.
    ///
    /// # Errors
    /// [`EvidenceError::FirstSignature`] or [`EvidenceError::SecondSignature`].
    pub fn check(&self, namespace: B256, key: B256) -> Result<Fault, EvidenceError> {
        let holds = |vote: &Vote<'_>| {
            signature::verify(key, namespace, vote.phase.suffix(), vote.message, vote.signature)
        };
        if !holds(&self.first) {
            return Err(EvidenceError::FirstSignature);
        }
        if !holds(&self.second) {
            return Err(EvidenceError::SecondSignature);
        }
        Ok(Fault { kind: self.kind, epoch: self.first.epoch, view: self.first.view })
    }
}

/// What a vote says about its view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Notarize,
    Nullify,
    Finalize,
}

impl Phase {
    fn suffix(self) -> &'static [u8] {
        match self {
            Self::Notarize => b"_NOTARIZE",
            Self::Nullify => b"_NULLIFY",
            Self::Finalize => b"_FINALIZE",
        }
    }
}

/// A vote as it lies in the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Vote<'a> {
    phase: Phase,
    epoch: u64,
    view: u64,
    /// What is signed, without namespace.
    message: &'a [u8],
    signer: u64,
    signature: &'a [u8; 64],
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn vote(&mut self, phase: Phase) -> Result<Vote<'a>, EvidenceError> {
        let start = self.rest;
        let epoch = self.varint(u64::BITS)?;
        let view = self.varint(u64::BITS)?;
        if phase != Phase::Nullify {
            self.varint(u64::BITS)?;
            self.array::<DIGEST_BYTES>()?;
        }
        let length = start.len().saturating_sub(self.rest.len());
        let message = start.get(..length).ok_or(EvidenceError::Truncated)?;
        let signer = self.varint(u32::BITS)?;
        let signature = self.array()?;
        Ok(Vote { phase, epoch, view, message, signer, signature })
    }

    fn byte(&mut self) -> Result<u8, EvidenceError> {
        let (byte, rest) = self.rest.split_first().ok_or(EvidenceError::Truncated)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], EvidenceError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(EvidenceError::Truncated)?;
        self.rest = rest;
        Ok(array)
    }

    /// An integer of so many bits, at most ten bytes long.
    fn varint(&mut self, bits: u32) -> Result<u64, EvidenceError> {
        let (mut value, mut read) = (0_u64, 0_u32);
        loop {
            let byte = self.byte()?;
            let left = bits.saturating_sub(read);
            let used = u8::BITS.saturating_sub(byte.leading_zeros());
            // A last byte of zero could have been left out; bits beyond the width, or a byte more, do not fit.
            if (byte == 0 && read > 0) || (left < u8::BITS && used > left) {
                return Err(EvidenceError::Varint);
            }
            value |= u64::from(byte & 0x7f).wrapping_shl(read);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            read = read.saturating_add(7);
        }
    }
}

const DIGEST_BYTES: usize = 32;

#[cfg(test)]
mod tests;
