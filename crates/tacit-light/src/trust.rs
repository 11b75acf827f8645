//! What a light client must know of a network beforehand.

use crate::certificate::Certifier;
use alloy_primitives::{B256, FixedBytes, hex};
use commonware_codec::DecodeFixed as _;
use commonware_cryptography::{bls12381::primitives::group::G2, ed25519::PublicKey};
use core::{fmt, str::FromStr};

/// What a light client must know of a network. A proof can be no better than this: take it from whoever made the network,
/// not from whoever serves proofs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    chain_id: u64,
    genesis: B256,
    first: u64,
    group: Option<GroupKey>,
    namespace: B256,
    validators: Vec<ValidatorKey>,
}

impl Trust {
    /// A network by its chain id and the hash of its first block. It takes no proof until it is told who signs.
    #[must_use]
    pub fn new(chain_id: u64, genesis: B256) -> Self {
        Self { chain_id, genesis, first: 0, group: None, namespace: B256::ZERO, validators: Vec::new() }
    }

    /// The network's first block has this number: it goes on from another chain. Otherwise it is 0.
    #[must_use]
    pub fn with_first_number(self, first: u64) -> Self {
        Self { first, ..self }
    }

    /// Takes threshold certificates of this group.
    #[must_use]
    pub fn with_group(self, group: GroupKey) -> Self {
        Self { group: Some(group), ..self }
    }

    /// Takes votes of these validators: all of the network's, in any order. `namespace` is what their votes are bound to, a hash
    /// of the network's whole genesis.
    #[must_use]
    pub fn with_validators(
        self,
        namespace: B256,
        validators: impl IntoIterator<Item = ValidatorKey>,
    ) -> Self {
        let mut validators: Vec<ValidatorKey> = validators.into_iter().collect();
        validators.sort_unstable();
        validators.dedup();
        Self { namespace, validators, ..self }
    }

    /// The network's chain id.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Hash of the network's first block.
    #[must_use]
    pub fn genesis(&self) -> B256 {
        self.genesis
    }

    /// Number of the network's first block.
    #[must_use]
    pub fn first_number(&self) -> u64 {
        self.first
    }

    /// What votes are bound to.
    #[must_use]
    pub fn namespace(&self) -> B256 {
        self.namespace
    }

    /// The group whose signatures are taken.
    #[must_use]
    pub fn group(&self) -> Option<&GroupKey> {
        self.group.as_ref()
    }

    /// Who certifies blocks, if a group's signatures are taken.
    #[must_use]
    pub fn certifier(&self) -> Option<Certifier> {
        let Self { chain_id, genesis, first, group, .. } = *self;
        group.map(|group| Certifier { chain_id, genesis, first, group })
    }

    /// The validators whose votes are taken, in order of their keys.
    #[must_use]
    pub fn validators(&self) -> &[ValidatorKey] {
        &self.validators
    }
}

/// Text or bytes that are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not hex digits, or not as many as the key has.
    #[error("a key is written as {digits} hex digits")]
    Hex {
        /// As many as it has.
        digits: usize,
    },
    /// No point of the group.
    #[error("not a point of the group")]
    Point,
}

/// The key of a network's validators together: a point of G2 of BLS12-381, compressed, 96 bytes. It stays the same when
/// shares are dealt anew. Written as 192 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GroupKey {
    bytes: FixedBytes<96>,
    pub(crate) point: G2,
}

impl GroupKey {
    /// The key that these bytes are.
    ///
    /// # Errors
    /// [`KeyError::Point`]: off the curve, outside the subgroup, or the point at infinity.
    pub fn new(bytes: FixedBytes<96>) -> Result<Self, KeyError> {
        let point = G2::decode_fixed(bytes.0).map_err(|_| KeyError::Point)?;
        Ok(Self { bytes, point })
    }

    /// The key's bytes.
    #[must_use]
    pub fn bytes(&self) -> &FixedBytes<96> {
        &self.bytes
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupKey({self})")
    }
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.bytes))
    }
}

impl FromStr for GroupKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(from_hex(text)?)
    }
}

/// A validator's public key, ed25519. Written as 64 hex digits. Keys are ordered by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValidatorKey(pub(crate) PublicKey);

impl ValidatorKey {
    /// The key that these bytes are.
    ///
    /// # Errors
    /// [`KeyError::Point`]: off the curve.
    pub fn new(bytes: B256) -> Result<Self, KeyError> {
        PublicKey::decode_fixed(bytes.0).map(Self).map_err(|_| KeyError::Point)
    }

    /// The key's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl fmt::Display for ValidatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.bytes()))
    }
}

impl FromStr for ValidatorKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(from_hex(text)?)
    }
}

fn from_hex<const N: usize>(text: &str) -> Result<FixedBytes<N>, KeyError> {
    let mut bytes = FixedBytes::ZERO;
    hex::decode_to_slice(text, bytes.as_mut_slice())
        .map_err(|_| KeyError::Hex { digits: N.saturating_mul(2) })?;
    Ok(bytes)
}
