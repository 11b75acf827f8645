//! A validator's secrets, in files that only their owner can read: its key, an ed25519 seed, and its share of the group's key.

use alloy_primitives::{Address, B256, Bytes, hex};
use commonware_codec::{DecodeFixed as _, Encode as _};
use commonware_cryptography::{
    Signer as _,
    ed25519::{PrivateKey, PublicKey, Signature},
};
use commonware_utils::ordered::Set;
use core::{fmt, str::FromStr};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use std::path::{Path, PathBuf};
use tacit_abi::validators::JOIN_SUFFIX;
use tacit_consensus::{Group, GroupError, GroupShare, deal, is_agreed};
use tacit_wire::{KeyFileError, create_key_file, read_key_file};
use zeroize::Zeroizing;

/// The secret that votes. It has no `Debug`, `Clone` or serialised form.
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct ValidatorKey {
    pub(crate) secret: PrivateKey,
    pub(crate) file: PathBuf,
}

impl ValidatorKey {
    /// Reads the key file at `path`: 64 hex digits.
    ///
    /// # Errors
    /// It is missing, readable by others or not a key.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let bytes = read_key_file(path)?;
        let malformed = |_| KeyFileError::Malformed { path: path.display().to_string() };
        // Every 32 bytes are a seed; the decoder has no other reason to fail.
        let secret = PrivateKey::decode_fixed(*bytes).map_err(malformed)?;
        Ok(Self { secret, file: path.to_owned() })
    }

    /// Makes a key and writes it to a new file with mode 0600.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        create_key_file(path, &Zeroizing::new(rand::random()))?;
        Self::load(path)
    }

    /// Signs that `owner` may bond coin to this key on the network with that namespace, as the `validators` module wants it.
    #[must_use]
    pub fn prove_possession(&self, namespace: B256, owner: Address) -> Bytes {
        let namespace = [namespace.as_slice(), JOIN_SUFFIX].concat();
        self.secret.sign(&namespace, owner.as_slice()).encode().to_vec().into()
    }

    /// The public half, by which other validators know this one.
    #[must_use]
    pub fn address(&self) -> ValidatorAddress {
        ValidatorAddress(self.secret.public_key())
    }
}

/// A validator's share of the key of its group, in a file like a [`ValidatorKey`]'s. It has no `Debug`, `Clone` or serialised
/// form.
#[expect(missing_debug_implementations, reason = "a secret share must not be printable")]
pub struct ShareKey {
    pub(crate) secret: GroupShare,
}

impl ShareKey {
    /// Reads the file at `path`: 64 hex digits, a scalar, big endian.
    ///
    /// # Errors
    /// It is missing, readable by others or not a share.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let bytes = read_key_file(path)?;
        let malformed = |_| KeyFileError::Malformed { path: path.display().to_string() };
        Ok(Self { secret: GroupShare::new(&bytes).map_err(malformed)? })
    }

    /// Writes it to a new file with mode 0600.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn create(&self, path: &Path) -> Result<(), KeyFileError> {
        create_key_file(path, &self.secret.bytes())
    }
}

/// Makes a key for the group of `validators` and deals its shares, each with the validator that it is for. For whoever makes a
/// network: the shares go to files at once ([`ShareKey::create`]), the group into the network's description.
///
/// # Errors
/// There are no validators, or too many.
pub fn deal_group(
    validators: impl IntoIterator<Item = ValidatorAddress>,
) -> Result<(Group, Vec<(ValidatorAddress, ShareKey)>), GroupError> {
    let validators = Set::from_iter_dedup(validators.into_iter().map(|address| address.0));
    // Seeded by the system, once; the seed goes with the generator.
    let seed = Zeroizing::new(rand::random::<[u8; 32]>());
    let (group, shares) = deal(ChaCha20Rng::from_seed(*seed), &validators)?;
    let shares = shares.into_iter().map(|(key, secret)| (ValidatorAddress(key), ShareKey { secret }));
    Ok((group, shares.collect()))
}

/// A validator's public key. Written as 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValidatorAddress(pub(crate) PublicKey);

impl ValidatorAddress {
    /// The key as the ledger's `validators` module knows it.
    #[must_use]
    pub fn bytes(&self) -> B256 {
        B256::from_slice(&self.0)
    }

    /// Whether this founder signed a statement (`NetworkFile::statement`); the signature is 128 hex digits.
    pub(crate) fn has_signed(&self, statement: B256, signature: &str) -> bool {
        let mut bytes = [0; 64];
        hex::decode_to_slice(signature, &mut bytes).is_ok()
            && Signature::decode_fixed(bytes).is_ok_and(|signature| is_agreed(&self.0, statement, &signature))
    }
}

/// Text that is no validator's public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a validator's key is 64 hex digits of a point on the curve")]
pub struct NoAddress;

impl FromStr for ValidatorAddress {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NoAddress)?;
        PublicKey::decode_fixed(bytes).map(Self).map_err(|_| NoAddress)
    }
}

impl fmt::Display for ValidatorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}
