//! Validators that vote, for tests: what the consensus library writes, written once more by hand.

use crate::validators::Founder;
use alloy_primitives::{Address, B256, Bytes};
use ed25519_zebra::{SigningKey, VerificationKey};
use tacit_abi::validators::JOIN_SUFFIX;

pub(super) const NAMESPACE: B256 = B256::repeat_byte(0xc0);

/// A key that votes.
#[derive(Clone, Copy)]
pub(super) struct Voter(SigningKey);

/// One of the votes of a view.
#[derive(Debug, Clone, Copy)]
pub(super) enum Say {
    Notarize { parent: u64, digest: u8 },
    Nullify,
    Finalize { parent: u64, digest: u8 },
}

impl Voter {
    pub(super) fn new(n: u8) -> Self {
        Self(SigningKey::from([n; 32]))
    }

    pub(super) fn key(&self) -> B256 {
        <[u8; 32]>::from(VerificationKey::from(&self.0)).into()
    }

    pub(super) fn founder(&self, owner: Address, stake: u128) -> Founder {
        Founder { key: self.key(), owner, stake, payer: None }
    }

    pub(super) fn sign(&self, namespace: B256, suffix: &[u8], message: &[u8]) -> [u8; 64] {
        let length = (namespace.len() + suffix.len()) as u8;
        self.0.sign(&[&[length], namespace.as_slice(), suffix, message].concat()).to_bytes()
    }

    pub(super) fn proof(&self, owner: Address) -> Bytes {
        self.sign(NAMESPACE, JOIN_SUFFIX, owner.as_slice()).into()
    }

    /// An encoded vote by signer number `signer`.
    pub(super) fn vote(&self, namespace: B256, round: (u64, u64), say: Say, signer: u32) -> Vec<u8> {
        let mut message = [varint(round.0), varint(round.1)].concat();
        let suffix: &[u8] = match say {
            Say::Notarize { .. } => b"_NOTARIZE",
            Say::Nullify => b"_NULLIFY",
            Say::Finalize { .. } => b"_FINALIZE",
        };
        if let Say::Notarize { parent, digest } | Say::Finalize { parent, digest } = say {
            message.extend(varint(parent));
            message.extend([digest; 32]);
        }
        let signature = self.sign(namespace, suffix, &message);
        [message, varint(signer.into()), signature.to_vec()].concat()
    }

    /// Evidence that this key voted twice in a view.
    pub(super) fn evidence(&self, round: (u64, u64), kind: u8) -> Vec<u8> {
        let [first, second] = match kind {
            7 => [Say::Notarize { parent: 1, digest: 1 }, Say::Notarize { parent: 1, digest: 2 }],
            8 => [Say::Finalize { parent: 1, digest: 1 }, Say::Finalize { parent: 1, digest: 2 }],
            _ => [Say::Nullify, Say::Finalize { parent: 1, digest: 1 }],
        };
        let vote = |say| self.vote(NAMESPACE, round, say, 3);
        [vec![kind], vote(first), vote(second)].concat()
    }
}

/// Seven bits a byte, lowest first.
pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
