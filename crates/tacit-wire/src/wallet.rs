//! A secp256k1 key that signs transactions, vouchers, receipts, verdicts and jobs.
//!
//! Signatures are 65 bytes `r || s || v`, `v` 27 or 28, low `s`; [`recover`] refuses every other form, so that one
//! message has one signature.

use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, Signature};
use alloy_sol_types::{Eip712Domain, SolStruct};
use secp256k1::{Message, SECP256K1, SecretKey};
use tacit_abi::{
    Receipt, Verdict, Voucher,
    audits::{self, SignedVerdict},
    channels::{self, SignedVoucher},
    receipts::{self, SignedReceipt},
};
use zeroize::Zeroizing;

use crate::keyfile::{self, KeyFileError};

/// A secret key. It has no `Debug`, `Clone` or serialised form; it is zeroised when dropped.
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct Wallet {
    secret: SecretKey,
    address: Address,
}

impl Drop for Wallet {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

/// Why bytes are not a signature by anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureReject {
    /// Not 65 bytes.
    #[error("a signature has 65 bytes, not {got}")]
    Length {
        /// Bytes given.
        got: usize,
    },
    /// `v` is neither 27 nor 28.
    #[error("the recovery byte is {got}, not 27 or 28")]
    RecoveryByte {
        /// Byte given.
        got: u8,
    },
    /// The upper of the two equivalent `s` values.
    #[error("the signature is malleable")]
    HighS,
    /// No key gives this signature.
    #[error("the signature is invalid")]
    Invalid,
}

impl Wallet {
    /// A fresh key from the operating system's randomness.
    #[must_use]
    pub fn random() -> Self {
        loop {
            // All but one in 2^128 are keys.
            let key = Zeroizing::new(rand::random::<[u8; 32]>());
            if let Some(wallet) = Self::from_key(&key) {
                return wallet;
            }
        }
    }

    /// The key with these 64 hex digits, `0x` optional. `None` when they are not a valid key.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        Self::from_key(&keyfile::parse(text.as_bytes())?)
    }

    /// Reads the key file at `path`.
    ///
    /// # Errors
    /// [`KeyFileError`] when it is missing, readable by others or not a key.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let malformed = || KeyFileError::Malformed { path: path.display().to_string() };
        Self::from_key(&keyfile::read(path)?).ok_or_else(malformed)
    }

    /// Makes a key and writes it to a new file with mode 0600.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        let wallet = Self::random();
        wallet.save(path)?;
        Ok(wallet)
    }

    /// Writes this key to a new file with mode 0600.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file exists or cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        keyfile::create(path, &Zeroizing::new(self.secret.secret_bytes()))
    }

    /// The key at `path`, made first when the file is missing.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        if path.exists() { Self::load(path) } else { Self::create(path) }
    }

    /// The account this key controls.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a 32-byte digest.
    #[must_use]
    pub fn sign_digest(&self, digest: B256) -> Bytes {
        Bytes::copy_from_slice(&self.sign_raw(digest).as_bytes())
    }

    /// Signs an EIP-712 message.
    #[must_use]
    pub fn sign_typed<T: SolStruct>(&self, message: &T, domain: &Eip712Domain) -> Bytes {
        self.sign_digest(message.eip712_signing_hash(domain))
    }

    /// Signs a receipt as its worker.
    #[must_use]
    pub fn sign_receipt(&self, receipt: Receipt, chain_id: u64) -> SignedReceipt {
        let signature = self.sign_typed(&receipt, &receipts::domain(chain_id));
        SignedReceipt { receipt, signature }
    }

    /// Signs a voucher as its channel's signer. The gateway alone may call this, and only for a checked answer.
    #[must_use]
    pub fn sign_voucher(&self, voucher: Voucher, chain_id: u64) -> SignedVoucher {
        let signature = self.sign_typed(&voucher, &channels::domain(chain_id));
        SignedVoucher { voucher, signature }
    }

    /// Signs a verdict as an auditor that did the run again.
    #[must_use]
    pub fn sign_verdict(&self, verdict: Verdict, chain_id: u64) -> SignedVerdict {
        let signature = self.sign_typed(&verdict, &audits::domain(chain_id));
        SignedVerdict { verdict, signature }
    }

    /// Nonces are those of RFC 6979, and `s` is the lower one.
    pub(crate) fn sign_raw(&self, digest: B256) -> Signature {
        SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.secret).into()
    }

    fn from_key(key: &Zeroizing<[u8; 32]>) -> Option<Self> {
        let secret = SecretKey::from_byte_array(**key).ok()?;
        let address =
            Address::from_raw_public_key(secret.public_key(SECP256K1).serialize_uncompressed().get(1..)?);
        Some(Self { secret, address })
    }
}

/// Account whose key signed `digest`.
///
/// # Errors
/// [`SignatureReject`] for anything but the one canonical form.
pub fn recover(digest: B256, signature: &[u8]) -> Result<Address, SignatureReject> {
    let bytes: &[u8; 65] =
        signature.try_into().map_err(|_| SignatureReject::Length { got: signature.len() })?;
    let [.., v] = *bytes;
    let parity = match v {
        27 => false,
        28 => true,
        got => return Err(SignatureReject::RecoveryByte { got }),
    };
    let signature = Signature::from_bytes_and_parity(bytes, parity);
    if signature.normalize_s().is_some() {
        return Err(SignatureReject::HighS);
    }
    signature.recover_address_from_prehash(&digest).map_err(|_| SignatureReject::Invalid)
}

/// Account that signed a voucher on this chain.
///
/// # Errors
/// [`SignatureReject`].
pub fn voucher_signer(signed: &SignedVoucher, chain_id: u64) -> Result<Address, SignatureReject> {
    recover(signed.voucher.eip712_signing_hash(&channels::domain(chain_id)), &signed.signature)
}

/// Account that signed a receipt on this chain; the caller compares it with the receipt's worker.
///
/// # Errors
/// [`SignatureReject`].
pub fn receipt_signer(signed: &SignedReceipt, chain_id: u64) -> Result<Address, SignatureReject> {
    recover(signed.receipt.eip712_signing_hash(&receipts::domain(chain_id)), &signed.signature)
}

/// Account that signed a verdict on this chain; the caller compares it with whom it asked.
///
/// # Errors
/// [`SignatureReject`].
pub fn verdict_signer(signed: &SignedVerdict, chain_id: u64) -> Result<Address, SignatureReject> {
    recover(signed.verdict.eip712_signing_hash(&audits::domain(chain_id)), &signed.signature)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{U256, b256, keccak256};

    use super::*;

    fn wallet() -> Wallet {
        Wallet::from_hex("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap()
    }

    #[test]
    fn a_verdict_is_its_auditor_s_on_one_chain() {
        let verdict = Verdict { receipt: B256::repeat_byte(1), own: B256::repeat_byte(2) };
        let signed = wallet().sign_verdict(verdict, 7);
        assert_eq!(verdict_signer(&signed, 7), Ok(wallet().address()));
        assert_ne!(verdict_signer(&signed, 8), Ok(wallet().address()));
    }

    #[test]
    fn signatures_recover_and_are_deterministic() {
        let digest = keccak256(b"one");
        let signature = wallet().sign_digest(digest);
        assert_eq!(recover(digest, &signature), Ok(wallet().address()));
        assert_eq!(wallet().sign_digest(digest), signature);
        assert_ne!(recover(keccak256(b"two"), &signature), Ok(wallet().address()));
    }

    #[test]
    fn only_one_form_of_a_signature_is_accepted() {
        let digest = keccak256(b"one");
        let good = wallet().sign_digest(digest).to_vec();
        assert_eq!(recover(digest, &good[..64]), Err(SignatureReject::Length { got: 64 }));
        let mut recovery = good.clone();
        recovery[64] -= 27;
        assert!(matches!(recover(digest, &recovery), Err(SignatureReject::RecoveryByte { .. })));

        // The same signature with n - s and the other parity: valid ECDSA, refused here.
        let order = b256!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
        let s = U256::from_be_slice(&good[32..64]);
        let mut high = good.clone();
        high[32..64].copy_from_slice(&(U256::from_be_bytes(order.0) - s).to_be_bytes::<32>());
        high[64] = 55 - high[64];
        assert_eq!(recover(digest, &high), Err(SignatureReject::HighS));

        let mut nobody = good;
        nobody[..32].fill(0xff);
        assert_eq!(recover(digest, &nobody), Err(SignatureReject::Invalid));
    }

    #[test]
    fn a_wallet_file_gives_the_same_account() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wallet.key");
        let made = Wallet::load_or_create(&path).unwrap().address();
        assert_eq!(Wallet::load_or_create(&path).unwrap().address(), made);
        assert!(Wallet::from_hex("00").is_none());
        assert!(Wallet::from_hex(&"0".repeat(64)).is_none());
    }
}
