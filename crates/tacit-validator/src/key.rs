//! A validator's key: an ed25519 seed in a file that only its owner can read.

use alloy_primitives::{B256, hex};
use commonware_codec::DecodeFixed as _;
use commonware_cryptography::{
    Signer as _,
    ed25519::{PrivateKey, PublicKey},
};
use core::{fmt, str::FromStr};
use std::path::Path;
use tacit_wire::{KeyFileError, create_key_file, read_key_file};
use zeroize::Zeroizing;

/// The secret that votes. It has no `Debug`, `Clone` or serialised form.
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct ValidatorKey {
    pub(crate) secret: PrivateKey,
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
        Ok(Self { secret })
    }

    /// Makes a key and writes it to a new file with mode 0600.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        create_key_file(path, &Zeroizing::new(rand::random()))?;
        Self::load(path)
    }

    /// The public half, by which other validators know this one.
    #[must_use]
    pub fn address(&self) -> ValidatorAddress {
        ValidatorAddress(self.secret.public_key())
    }
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
