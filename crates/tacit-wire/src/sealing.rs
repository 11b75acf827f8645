//! Hides a job from everyone but the worker, and its answer from everyone but the client.
//!
//! Source: HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. The answer comes
//! back under a key exported from the same context, as Oblivious HTTP does (RFC 9458, section 4.4).
//! Deviation: the answer key is `BLAKE3 derive_key(context, exported secret || enc || response nonce)`; RFC 9458 uses
//! HKDF there. The nonce is fresh and 32 bytes, so each answer has its own key and the AEAD nonce is zero.
//!
//! Lengths are padded to buckets by Padmé (Nikitin et al., PETS 2019): at most 12 % longer, and a length tells
//! O(log log L) bits.
//!
//! # Security
//! The worker's operator reads the job while computing on it. The sealing key is as good as its file: there is no
//! forward secrecy until the worker rotates it.

use std::path::Path;

use alloy_primitives::B256;
use chacha20poly1305::{ChaCha20Poly1305 as ResponseAead, Key, KeyInit, Nonce, aead::Aead as _};
use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use rand::RngCore;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::keyfile::{self, KeyFileError};

type Kem = X25519HkdfSha256;

/// Bytes of an encapsulated key.
pub const ENC_BYTES: usize = 32;
/// Smallest padded length.
pub const BUCKET_BYTES_MIN: usize = 1024;

const EXPORT_LABEL: &[u8] = b"tacit answer v1";
const RESPONSE_CONTEXT: &str = "tacit 2026 sealed answer key v1";
const RESPONSE_NONCE_BYTES: usize = 32;
const FRAME_BYTES: usize = 4;

/// Why sealed bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealReject {
    /// The recipient's key is not a usable X25519 point.
    #[error("the sealing key is not a usable X25519 key")]
    RecipientKey,
    /// The encapsulated key has the wrong length or is not a usable point.
    #[error("the encapsulated key is malformed")]
    EncapsulatedKey,
    /// Altered, or meant for another key, worker, model, chain or job.
    #[error("the sealed bytes do not open: altered, or meant for another worker or job")]
    Open,
    /// The plaintext is not padded as agreed.
    #[error("the padding is malformed")]
    Padding,
    /// Longer than a frame can say.
    #[error("the plaintext is too long")]
    TooLong,
}

/// The worker's secret X25519 key. It has no `Debug`, `Clone` or serialised form.
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct SealingKey(<Kem as hpke::Kem>::PrivateKey);

/// Opens (client) or seals (worker) the one answer to a sealed job. Zeroised when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct ResponseKey([u8; 32]);

/// A sealed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Encapsulated key.
    pub enc: [u8; ENC_BYTES],
    /// Padded plaintext under the HPKE context.
    pub ciphertext: Vec<u8>,
}

impl SealingKey {
    /// A fresh key.
    #[must_use]
    pub fn random() -> Self {
        Self(Kem::gen_keypair().0)
    }

    /// The key at `path`, made first (mode 0600) when the file is missing.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        let malformed = || KeyFileError::Malformed { path: path.display().to_string() };
        if path.exists() {
            let bytes = keyfile::read(path)?;
            return <Kem as hpke::Kem>::PrivateKey::from_bytes(bytes.as_slice())
                .map(Self)
                .map_err(|_| malformed());
        }
        let key = Self::random();
        let mut bytes = Zeroizing::new([0_u8; 32]);
        key.0.write_exact(bytes.as_mut_slice());
        keyfile::create(path, &bytes)?;
        Ok(key)
    }

    /// The key with these bytes; `None` where they are none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        <Kem as hpke::Kem>::PrivateKey::from_bytes(bytes).ok().map(Self)
    }

    /// For the other things that are sealed to this key ([`crate::oblivious`]).
    pub(crate) fn secret(&self) -> &<Kem as hpke::Kem>::PrivateKey {
        &self.0
    }

    /// The public half, as it stands in asks on the ledger.
    #[must_use]
    pub fn public(&self) -> B256 {
        let mut bytes = [0_u8; 32];
        Kem::sk_to_pk(&self.0).write_exact(&mut bytes);
        B256::from(bytes)
    }

    /// Opens a sealed job; `info` and `aad` must be what the client used.
    ///
    /// # Errors
    /// [`SealReject`].
    pub fn open(
        &self,
        sealed: &Sealed,
        info: &[u8],
        aad: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, ResponseKey), SealReject> {
        let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(&sealed.enc)
            .map_err(|_| SealReject::EncapsulatedKey)?;
        let mut context =
            hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, Kem>(&OpModeR::Base, &self.0, &enc, info)
                .map_err(|_| SealReject::EncapsulatedKey)?;
        let padded = Zeroizing::new(context.open(&sealed.ciphertext, aad).map_err(|_| SealReject::Open)?);
        let mut secret = [0_u8; 32];
        context.export(EXPORT_LABEL, &mut secret).map_err(|_| SealReject::Open)?;
        Ok((Zeroizing::new(unpad(&padded, BUCKET_BYTES_MIN)?.to_vec()), ResponseKey(secret)))
    }
}

/// Seals `plaintext` to the holder of `recipient`, bound to `info` and `aad`.
///
/// # Errors
/// [`SealReject::RecipientKey`] or [`SealReject::TooLong`].
pub fn seal(
    recipient: B256,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<(Sealed, ResponseKey), SealReject> {
    let recipient = <Kem as hpke::Kem>::PublicKey::from_bytes(recipient.as_slice())
        .map_err(|_| SealReject::RecipientKey)?;
    let (encapped, mut context) =
        hpke::setup_sender::<ChaCha20Poly1305, HkdfSha256, Kem>(&OpModeS::Base, &recipient, info)
            .map_err(|_| SealReject::RecipientKey)?;
    let padded = Zeroizing::new(pad(plaintext, BUCKET_BYTES_MIN)?);
    let ciphertext = context.seal(&padded, aad).map_err(|_| SealReject::TooLong)?;
    let (mut enc, mut secret) = ([0_u8; ENC_BYTES], [0_u8; 32]);
    encapped.write_exact(&mut enc);
    context.export(EXPORT_LABEL, &mut secret).map_err(|_| SealReject::TooLong)?;
    Ok((Sealed { enc, ciphertext }, ResponseKey(secret)))
}

impl ResponseKey {
    /// The key a client kept on its disk, so that it can open an answer after a restart.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to keep on the client's disk.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0)
    }

    /// Seals an answer for the job whose encapsulated key is `enc`: `nonce || ciphertext`.
    ///
    /// # Errors
    /// [`SealReject::TooLong`].
    pub fn seal(&self, enc: &[u8; ENC_BYTES], plaintext: &[u8]) -> Result<Vec<u8>, SealReject> {
        let mut nonce = [0_u8; RESPONSE_NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let padded = Zeroizing::new(pad(plaintext, BUCKET_BYTES_MIN)?);
        let ciphertext = self
            .aead(enc, &nonce)
            .encrypt(&Nonce::default(), padded.as_slice())
            .map_err(|_| SealReject::TooLong)?;
        Ok([nonce.as_slice(), &ciphertext].concat())
    }

    /// Opens an answer made by [`Self::seal`].
    ///
    /// # Errors
    /// [`SealReject`].
    pub fn open(&self, enc: &[u8; ENC_BYTES], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealReject> {
        let (nonce, ciphertext) =
            sealed.split_first_chunk::<RESPONSE_NONCE_BYTES>().ok_or(SealReject::Open)?;
        let padded = self
            .aead(enc, nonce)
            .decrypt(&Nonce::default(), ciphertext)
            .map(Zeroizing::new)
            .map_err(|_| SealReject::Open)?;
        Ok(Zeroizing::new(unpad(&padded, BUCKET_BYTES_MIN)?.to_vec()))
    }

    fn aead(&self, enc: &[u8; ENC_BYTES], nonce: &[u8; RESPONSE_NONCE_BYTES]) -> ResponseAead {
        let mut hasher = blake3::Hasher::new_derive_key(RESPONSE_CONTEXT);
        hasher.update(&self.0).update(enc).update(nonce);
        let mut key = Key::from(*hasher.finalize().as_bytes());
        let aead = ResponseAead::new(&key);
        key.zeroize();
        aead
    }
}

/// Padded length of `length` bytes, from [`BUCKET_BYTES_MIN`] on.
#[must_use]
pub fn bucket(length: usize) -> usize {
    bucket_from(length, BUCKET_BYTES_MIN)
}

pub(crate) fn bucket_from(length: usize, least: usize) -> usize {
    let length = length.max(least);
    let exponent = length.ilog2();
    let mantissa_bits = exponent.ilog2() + 1;
    let mask = (1_usize << exponent.saturating_sub(mantissa_bits)) - 1;
    length.saturating_add(mask) & !mask
}

/// `length (u32, little endian) || plaintext || zeros`, as long as its bucket, which has at least `least` bytes.
pub(crate) fn pad(plaintext: &[u8], least: usize) -> Result<Vec<u8>, SealReject> {
    let length = u32::try_from(plaintext.len()).map_err(|_| SealReject::TooLong)?;
    let framed = plaintext.len().checked_add(FRAME_BYTES).ok_or(SealReject::TooLong)?;
    let mut padded = Vec::with_capacity(bucket_from(framed, least));
    padded.extend_from_slice(&length.to_le_bytes());
    padded.extend_from_slice(plaintext);
    padded.resize(bucket_from(framed, least), 0);
    Ok(padded)
}

/// What [`pad`] padded.
pub(crate) fn unpad(padded: &[u8], least: usize) -> Result<&[u8], SealReject> {
    let (length, rest) = padded.split_first_chunk::<FRAME_BYTES>().ok_or(SealReject::Padding)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| SealReject::Padding)?;
    let (plaintext, zeros) = rest.split_at_checked(length).ok_or(SealReject::Padding)?;
    let exact =
        length.checked_add(FRAME_BYTES).is_some_and(|framed| bucket_from(framed, least) == padded.len());
    if exact && zeros.iter().all(|byte| *byte == 0) { Ok(plaintext) } else { Err(SealReject::Padding) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_job_and_its_answer_travel_sealed() {
        let worker = SealingKey::random();
        let (sealed, client_key) = seal(worker.public(), b"info", b"aad", b"question").unwrap();
        assert_eq!(sealed.ciphertext.len(), BUCKET_BYTES_MIN + 16);
        let (plaintext, worker_key) = worker.open(&sealed, b"info", b"aad").unwrap();
        assert_eq!(plaintext.as_slice(), b"question");
        let answer = worker_key.seal(&sealed.enc, b"answer").unwrap();
        assert_eq!(client_key.open(&sealed.enc, &answer).unwrap().as_slice(), b"answer");
        let kept = ResponseKey::from_bytes(*client_key.to_bytes());
        assert_eq!(kept.open(&sealed.enc, &answer).unwrap().as_slice(), b"answer");
        assert_ne!(worker_key.seal(&sealed.enc, b"answer").unwrap(), answer);
    }

    #[test]
    fn another_key_info_or_header_does_not_open() {
        let worker = SealingKey::random();
        let (sealed, _) = seal(worker.public(), b"info", b"aad", b"question").unwrap();
        assert_eq!(SealingKey::random().open(&sealed, b"info", b"aad").err(), Some(SealReject::Open));
        assert_eq!(worker.open(&sealed, b"other", b"aad").err(), Some(SealReject::Open));
        assert_eq!(worker.open(&sealed, b"info", b"other").err(), Some(SealReject::Open));
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let worker = SealingKey::random();
        let (sealed, client_key) = seal(worker.public(), b"", b"", b"question").unwrap();
        for at in 0..ENC_BYTES {
            let mut bad = sealed.clone();
            bad.enc[at] ^= 1;
            assert!(worker.open(&bad, b"", b"").is_err());
        }
        for at in 0..sealed.ciphertext.len() {
            let mut bad = sealed.clone();
            bad.ciphertext[at] ^= 1;
            assert_eq!(worker.open(&bad, b"", b"").err(), Some(SealReject::Open));
        }
        let (_, worker_key) = worker.open(&sealed, b"", b"").unwrap();
        let answer = worker_key.seal(&sealed.enc, b"answer").unwrap();
        for at in 0..answer.len() {
            let mut bad = answer.clone();
            bad[at] ^= 1;
            assert_eq!(client_key.open(&sealed.enc, &bad).err(), Some(SealReject::Open));
        }
        assert_eq!(client_key.open(&sealed.enc, &answer[..20]).err(), Some(SealReject::Open));
        assert_eq!(client_key.open(&[0; 32], &answer).err(), Some(SealReject::Open));
    }

    #[test]
    fn a_degenerate_key_is_refused() {
        assert_eq!(seal(B256::ZERO, b"", b"", b"q").err(), Some(SealReject::RecipientKey));
        let sealed = Sealed { enc: [0; 32], ciphertext: vec![0; 64] };
        assert_eq!(SealingKey::random().open(&sealed, b"", b"").err(), Some(SealReject::EncapsulatedKey));
    }

    #[test]
    fn malformed_padding_is_refused() {
        let good = pad(b"abc", BUCKET_BYTES_MIN).unwrap();
        assert_eq!(unpad(&good, BUCKET_BYTES_MIN), Ok(b"abc".as_slice()));
        let mut dirty = good.clone();
        *dirty.last_mut().unwrap() = 1;
        let mut long = good.clone();
        long[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut extended = good.clone();
        extended.push(0);
        for bad in [&[] as &[u8], &good[..3], &good[..100], &dirty, &long, &extended] {
            assert_eq!(unpad(bad, BUCKET_BYTES_MIN), Err(SealReject::Padding));
        }
    }

    #[test]
    fn a_sealing_key_file_gives_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealing.key");
        let made = SealingKey::load_or_create(&path).unwrap().public();
        assert_eq!(SealingKey::load_or_create(&path).unwrap().public(), made);
    }

    proptest! {
        #[test]
        fn padding_is_exact_and_at_most_an_eighth(length in 0_usize..300_000) {
            let plaintext = vec![7_u8; length];
            let padded = pad(&plaintext, BUCKET_BYTES_MIN).unwrap();
            prop_assert_eq!(unpad(&padded, BUCKET_BYTES_MIN).unwrap(), plaintext.as_slice());
            prop_assert!(padded.len() <= BUCKET_BYTES_MIN.max((length + 4) * 9 / 8));
            prop_assert_eq!(bucket(padded.len()), padded.len());
        }
    }
}
