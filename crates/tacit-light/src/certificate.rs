//! Certificates: who signed that a block is final, and over which bytes.
//!
//! # Formal definition
//! With `‖` for concatenation and `varint` for unsigned LEB128, validators of the network (chain id `c`, block 0 `g`,
//! validators `v` in order) sign for the block with number `h` and hash `d`
//! - in a **vote** to finalise, with ed25519, `varint(e) ‖ varint(w) ‖ varint(p) ‖ d` (epoch, view, parent's view) under the
//!   namespace `SHA-256("tacit/consensus/1" ‖ c ‖ g ‖ v) ‖ "_FINALIZE"`;
//! - for a **threshold certificate**, with shares of a BLS key, `varint(h) ‖ d` under the namespace
//!   `SHA-256("tacit/certificate/1" ‖ c ‖ g) ‖ "_AGG_ACK"`. Validators are left out, so that a certificate outlives them.
//!
//! A namespace goes in front of what is signed, after its length as varint. These are the signatures of the engine
//! (`commonware_consensus`, `simplex` and `aggregation`); this crate makes the same bytes without it.
//!
//! # Soundness
//! A threshold signature is unique: one per key and message. A set of votes is not; any set of more than two thirds will do.

use crate::{
    error::LightError,
    trust::{GroupKey, Trust, ValidatorKey},
};
use alloy_primitives::{B256, Bytes, FixedBytes};
use alloy_rlp::{BufMut, Decodable, EMPTY_LIST_CODE, Encodable, RlpDecodable, RlpEncodable};
use commonware_codec::{DecodeFixed as _, Encode as _, varint::UInt};
use commonware_cryptography::{
    Hasher as _, Sha256, Verifier as _,
    bls12381::primitives::{group::G1, ops::verify_message, variant::MinSig},
    ed25519::Signature,
};

/// A signature of a group: a point of G1 of BLS12-381, compressed.
pub type GroupSignature = FixedBytes<48>;

/// A validator's ed25519 signature.
pub type VoteSignature = FixedBytes<64>;

/// That a block is final. In RLP a threshold signature is a string, votes are a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// More than two thirds of the validators signed with their shares of the group key.
    Threshold(GroupSignature),
    /// More than two thirds of the validators voted.
    Votes(Votes),
}

/// Who signs a [`Certificate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateKind {
    /// The group.
    Threshold,
    /// The validators, one by one.
    Votes,
}

/// Votes of validators for one block.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Votes {
    /// Epoch of the votes.
    pub epoch: u64,
    /// View of the votes.
    pub view: u64,
    /// View in which the block's parent was proposed.
    pub parent_view: u64,
    /// One bit for each validator, in order of their keys, lowest bit of the first byte first; rests are zero.
    pub signers: Bytes,
    /// Signatures of those whose bit is set, in order.
    pub signatures: Vec<VoteSignature>,
}

impl Votes {
    /// Votes of some of `validators`; `signed` has the index of each voter, in order, and the signature.
    #[must_use]
    pub fn new(
        (epoch, view, parent_view): (u64, u64, u64),
        validators: usize,
        signed: impl IntoIterator<Item = (usize, VoteSignature)>,
    ) -> Self {
        let (indices, signatures): (Vec<usize>, Vec<VoteSignature>) = signed.into_iter().unzip();
        let mut signers = vec![0; validators.div_ceil(8)];
        for index in indices {
            if let Some(byte) = signers.get_mut(index / 8) {
                *byte |= bit(index);
            }
        }
        Self { epoch, view, parent_view, signers: signers.into(), signatures }
    }

    fn check(&self, trust: &Trust, hash: B256) -> Result<(), LightError> {
        let validators = trust.validators();
        if validators.is_empty() {
            return Err(LightError::NoValidators);
        }
        let (expected, got) = (validators.len().div_ceil(8), self.signers.len());
        if got != expected {
            return Err(LightError::SignersLength { expected, got });
        }
        let set = |index: usize| self.signers.get(index / 8).is_some_and(|byte| byte & bit(index) != 0);
        if (validators.len()..expected.saturating_mul(8)).any(set) {
            return Err(LightError::SignersPadding);
        }
        let signers: Vec<(usize, &ValidatorKey)> =
            validators.iter().enumerate().filter(|(index, _)| set(*index)).collect();
        if signers.len() != self.signatures.len() {
            return Err(LightError::SignersCount {
                signers: signers.len(),
                signatures: self.signatures.len(),
            });
        }
        let required = quorum(validators.len());
        if signers.len() < required {
            return Err(LightError::Quorum { required, got: signers.len() });
        }
        let namespace = suffixed(trust.namespace(), FINALIZE);
        let message = [
            UInt(self.epoch).encode().as_ref(),
            UInt(self.view).encode().as_ref(),
            UInt(self.parent_view).encode().as_ref(),
            hash.as_slice(),
        ]
        .concat();
        for ((validator, key), signature) in signers.into_iter().zip(&self.signatures) {
            let signature =
                Signature::decode_fixed(signature.0).map_err(|_| LightError::Vote { validator })?;
            if !key.0.verify(&namespace, &message, &signature) {
                return Err(LightError::Vote { validator });
            }
        }
        Ok(())
    }
}

impl Certificate {
    /// Who signed it.
    #[must_use]
    pub fn kind(&self) -> CertificateKind {
        match self {
            Self::Threshold(_) => CertificateKind::Threshold,
            Self::Votes(_) => CertificateKind::Votes,
        }
    }

    /// Checks that the block with this number and hash is final.
    pub(crate) fn check(&self, trust: &Trust, number: u64, hash: B256) -> Result<(), LightError> {
        match self {
            Self::Threshold(signature) => {
                trust.certifier().ok_or(LightError::NoGroup)?.check(number, hash, *signature)
            }
            Self::Votes(votes) => votes.check(trust, hash),
        }
    }
}

/// Who certifies a network's final blocks, and what its signatures are bound to: all it takes to check a threshold certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certifier {
    /// The network's chain id.
    pub chain_id: u64,
    /// Hash of the network's first block.
    pub genesis: B256,
    /// Number of the network's first block.
    pub first: u64,
    /// The group.
    pub group: GroupKey,
}

impl Certifier {
    /// Checks that the group has signed the block with this number and hash.
    ///
    /// # Errors
    /// [`LightError::MalformedGroupSignature`] or [`LightError::GroupSignature`].
    pub fn check(&self, number: u64, hash: B256, signature: GroupSignature) -> Result<(), LightError> {
        let signature = G1::decode_fixed(signature.0).map_err(|_| LightError::MalformedGroupSignature)?;
        let namespace = suffixed(certificate_namespace(self.chain_id, self.genesis), ACKNOWLEDGE);
        // Signed by height, which counts from the first block.
        let height = number.checked_sub(self.first).ok_or(LightError::GroupSignature)?;
        let message = [UInt(height).encode().as_ref(), hash.as_slice()].concat();
        verify_message::<MinSig>(&self.group.point, &namespace, &message, &signature)
            .map_err(|_| LightError::GroupSignature)
    }
}

/// What threshold certificates of a network are bound to: chain id and first block.
#[must_use]
pub fn certificate_namespace(chain_id: u64, genesis: B256) -> B256 {
    let chain_id = chain_id.to_be_bytes();
    B256::new(Sha256::hash(&[b"tacit/certificate/1", &chain_id, genesis.as_slice()]).0)
}

fn suffixed(namespace: B256, suffix: &[u8]) -> Vec<u8> {
    [namespace.as_slice(), suffix].concat()
}

/// The least number that is more than two thirds, up to rounding: all but `f` of `3f + 1`.
fn quorum(validators: usize) -> usize {
    validators.saturating_sub(validators.saturating_sub(1) / 3)
}

fn bit(index: usize) -> u8 {
    1_u8.checked_shl(u32::try_from(index % 8).unwrap_or_default()).unwrap_or_default()
}

impl Encodable for Certificate {
    fn encode(&self, out: &mut dyn BufMut) {
        match self {
            Self::Threshold(signature) => signature.encode(out),
            Self::Votes(votes) => votes.encode(out),
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Threshold(signature) => signature.length(),
            Self::Votes(votes) => votes.length(),
        }
    }
}

impl Decodable for Certificate {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        if buf.first().is_some_and(|first| *first >= EMPTY_LIST_CODE) {
            Votes::decode(buf).map(Self::Votes)
        } else {
            GroupSignature::decode(buf).map(Self::Threshold)
        }
    }
}

const FINALIZE: &[u8] = b"_FINALIZE";
const ACKNOWLEDGE: &[u8] = b"_AGG_ACK";
