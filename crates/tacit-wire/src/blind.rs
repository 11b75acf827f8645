//! Blind RSA signatures: a signer signs what it cannot see, and does not know its signature again when it meets it.
//!
//! Source: RFC 9474, RSABSSA-SHA384-PSS-Deterministic, sections 4.2 (Blind), 4.3 (BlindSign), 4.4 (Finalize); EMSA-PSS-ENCODE of RFC 8017, section 9.1.1. Moduli have
//! 2048 bits and the exponent is 65537, as in RFC 9578. Messages must be unguessable by themselves: there is no random prefix, and a token has a random nonce.
//! Deviation: a message representative that shares a factor with the modulus is not looked for; whoever finds one has the key.
//!
//! # Blindness
//! A blinded message is `z = m * r^e mod n`. For every `m'` that is a unit there is exactly one `r'` with `z = m' * r'^e`, where `x -> x^e` is a permutation, so `z` is
//! independent of the message whatever the signer computes. Under a key for which it is no permutation (`e` divides `phi(n)`), at most one message in `e` has a signature
//! at all: [`PublicKey::finalize`] refuses the rest before anybody has paid or shown a token.
//!
//! # Unforgeability
//! One-more-RSA in the random-oracle model (Bellare, Namprempre, Pointcheval, Semanko 2003; for PSS, Lysyanskaya 2022). Signing raises anything that is asked to the secret
//! exponent, so a key signs nothing else but blinded tokens.

use std::path::Path;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rsa::{
    BoxedUint, PrivateKey,
    hazmat::{rsa_decrypt_and_check, rsa_encrypt},
    pss,
    signature::hazmat::PrehashVerifier,
    traits::{PrivateKeyParts, PublicKeyParts},
};
use sha2::{Digest, Sha384};
use zeroize::Zeroizing;

use crate::keyfile::{self, KeyFileError};

/// Bytes of a modulus, a blinded message and a signature.
pub const MODULUS_BYTES: usize = 256;
/// Bytes of the salt of a signature.
pub const SALT_BYTES: usize = 48;

const MODULUS_BITS: u32 = 2048;
const PRIME_BYTES: usize = MODULUS_BYTES / 2;
const PRIME_BITS: u32 = MODULUS_BITS / 2;
const HASH_BYTES: usize = 48;
const EXPONENT: u64 = 65_537;

/// A modulus' worth of bytes, big endian.
pub type Block = [u8; MODULUS_BYTES];

/// Why a key, a blinded message or a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlindReject {
    /// Not an odd number of 2048 bits.
    #[error("the modulus is not an odd number of 2048 bits")]
    Modulus,
    /// Zero, too large, or without an inverse.
    #[error("the blinding factor is unusable")]
    Factor,
    /// Not below the modulus, which nobody signs.
    #[error("the blinded message is not below the modulus")]
    Message,
    /// Not below the modulus, or not this message's under this key.
    #[error("the signature is false")]
    Signature,
}

/// Whom tokens are of. Anybody checks signatures with it.
#[derive(Clone)]
pub struct PublicKey {
    key: rsa::PublicKey,
    modulus: Box<Block>,
}

/// Signs blinded messages. It has no `Debug`, `Clone` or serialised form.
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct SecretKey {
    key: PrivateKey,
    public: PublicKey,
}

impl PublicKey {
    /// The key with this modulus.
    ///
    /// # Errors
    /// [`BlindReject::Modulus`].
    pub fn from_modulus(modulus: &Block) -> Result<Self, BlindReject> {
        let [first, .., last] = modulus;
        if first & 0x80 == 0 || last & 1 == 0 {
            return Err(BlindReject::Modulus);
        }
        let number = number(modulus).ok_or(BlindReject::Modulus)?;
        let key = rsa::PublicKey::new(number, BoxedUint::from(EXPONENT)).map_err(|_| BlindReject::Modulus)?;
        Ok(Self { key, modulus: Box::new(*modulus) })
    }

    /// The modulus.
    #[must_use]
    pub fn modulus(&self) -> &Block {
        &self.modulus
    }

    /// Hides `message` behind the blinding factor: what the signer gets.
    ///
    /// # Errors
    /// [`BlindReject::Factor`].
    pub fn blind(
        &self,
        message: &[u8],
        salt: &[u8; SALT_BYTES],
        factor: &Block,
    ) -> Result<Block, BlindReject> {
        let factor = self.below(factor).ok_or(BlindReject::Factor)?;
        // A factor without an inverse would be noticed only when it is too late.
        self.inverse(&factor)?;
        let message = number(&pss_encode(message, salt)).ok_or(BlindReject::Message)?;
        let hidden = rsa_encrypt(&self.key, &factor).map_err(|_| BlindReject::Factor)?;
        block(&message.mul_mod(&hidden, self.key.n())).ok_or(BlindReject::Message)
    }

    /// A blinding factor that was never used.
    #[must_use]
    pub fn random_factor(&self) -> Zeroizing<Block> {
        loop {
            // Of two numbers of 2048 bits one at least is below the modulus, and almost all of those have an inverse.
            let mut factor = Zeroizing::new([0; MODULUS_BYTES]);
            rand::RngCore::fill_bytes(&mut rand::rng(), factor.as_mut_slice());
            if self.below(&factor).is_some_and(|number| self.inverse(&number).is_ok()) {
                return factor;
            }
        }
    }

    /// The signature of `message` behind what the signer gave for it.
    ///
    /// # Errors
    /// [`BlindReject::Factor`], [`BlindReject::Signature`].
    pub fn finalize(
        &self,
        message: &[u8],
        factor: &Block,
        blind_signature: &Block,
    ) -> Result<Block, BlindReject> {
        let inverse = self.inverse(&self.below(factor).ok_or(BlindReject::Factor)?)?;
        let blinded = self.below(blind_signature).ok_or(BlindReject::Signature)?;
        let signature = block(&blinded.mul_mod(&inverse, self.key.n())).ok_or(BlindReject::Signature)?;
        self.verify(message, &signature)?;
        Ok(signature)
    }

    /// Checks a signature.
    ///
    /// # Errors
    /// [`BlindReject::Signature`].
    pub fn verify(&self, message: &[u8], signature: &Block) -> Result<(), BlindReject> {
        let refused = |_| BlindReject::Signature;
        let signature = pss::Signature::try_from(signature.as_slice()).map_err(refused)?;
        pss::VerifyingKey::<Sha384>::new_with_salt_len(self.key.clone(), SALT_BYTES)
            .verify_prehash(&Sha384::digest(message), &signature)
            .map_err(refused)
    }

    /// Whether this factor makes the blinded message of the message that the signature is of. For whoever audits a record: each blinded message and each signature have
    /// one such factor, so it says nothing about who asked for what.
    #[must_use]
    pub fn explains(&self, factor: &Block, signature: &Block, blinded: &Block) -> bool {
        let both = self.below(factor).zip(self.below(signature));
        both.and_then(|(factor, signature)| {
            let hidden = rsa_encrypt(&self.key, &factor).ok()?;
            let message = rsa_encrypt(&self.key, &signature).ok()?;
            block(&message.mul_mod(&hidden, self.key.n()))
        })
        .is_some_and(|product| product == *blinded)
    }

    /// The one factor by which a blind signature and a signature could belong together, whether or not they do. `None` where one of them is no unit.
    #[must_use]
    pub fn factor_between(&self, signature: &Block, blind_signature: &Block) -> Option<Block> {
        let inverse = self.inverse(&self.below(signature)?).ok()?;
        block(&self.below(blind_signature)?.mul_mod(&inverse, self.key.n()))
    }

    /// Whether this is below the modulus, as what is signed must be.
    pub(crate) fn check_blinded(&self, blinded: &Block) -> Result<(), BlindReject> {
        self.below(blinded).map(drop).ok_or(BlindReject::Message)
    }

    fn below(&self, bytes: &Block) -> Option<BoxedUint> {
        number(bytes).filter(|number| number < self.key.n().as_ref())
    }

    fn inverse(&self, number: &BoxedUint) -> Result<BoxedUint, BlindReject> {
        number.invert_mod(self.key.n()).into_option().ok_or(BlindReject::Factor)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.modulus == other.modulus
    }
}

impl Eq for PublicKey {}

impl core::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PublicKey(..)")
    }
}

impl SecretKey {
    /// A fresh key; takes a second or so.
    ///
    /// # Errors
    /// [`BlindReject::Modulus`] where none is found, which does not happen.
    pub fn random() -> Result<Self, BlindReject> {
        let key = PrivateKey::new_with_exp(&mut generator(), 2048, BoxedUint::from(EXPONENT));
        Self::from_key(key.map_err(|_| BlindReject::Modulus)?)
    }

    /// The key of these primes, big endian.
    ///
    /// # Errors
    /// [`BlindReject::Modulus`].
    pub fn from_primes(primes: &Block) -> Result<Self, BlindReject> {
        let (p, q) = primes.split_at(PRIME_BYTES);
        let prime = |bytes| BoxedUint::from_be_slice(bytes, PRIME_BITS).map_err(|_| BlindReject::Modulus);
        let key = PrivateKey::from_p_q(prime(p)?, prime(q)?, BoxedUint::from(EXPONENT));
        Self::from_key(key.map_err(|_| BlindReject::Modulus)?)
    }

    /// The key at `path`, made first (mode 0600) when the file is missing.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        let malformed = |_| KeyFileError::Malformed { path: path.display().to_string() };
        if path.exists() {
            return Self::load(path);
        }
        let key = Self::random().map_err(malformed)?;
        let mut primes = Zeroizing::new(Vec::with_capacity(MODULUS_BYTES));
        for prime in key.key.primes() {
            primes.extend_from_slice(&prime.as_ref().to_be_bytes());
        }
        keyfile::create_sized(path, &primes)?;
        Ok(key)
    }

    /// The key at `path`.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let primes = keyfile::read_sized::<MODULUS_BYTES>(path)?;
        Self::from_primes(&primes).map_err(|_| KeyFileError::Malformed { path: path.display().to_string() })
    }

    /// What checks its signatures.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs what is behind a blinding factor.
    ///
    /// # Errors
    /// [`BlindReject::Message`].
    pub fn sign(&self, blinded: &Block) -> Result<Block, BlindReject> {
        let blinded = self.public.below(blinded).ok_or(BlindReject::Message)?;
        // With blinding of the exponentiation itself, so that its time tells nothing of the key; and checked, so that a fault does not either.
        let signed = rsa_decrypt_and_check(&self.key, Some(&mut generator()), &blinded);
        block(&signed.map_err(|_| BlindReject::Message)?).ok_or(BlindReject::Message)
    }

    fn from_key(key: PrivateKey) -> Result<Self, BlindReject> {
        let modulus = block(key.n().as_ref()).ok_or(BlindReject::Modulus)?;
        let public = PublicKey::from_modulus(&modulus)?;
        Ok(Self { key, public })
    }
}

/// The encoded message that a signature is the root of, for a modulus of 2048 bits: `maskedDB || H || 0xbc`, its highest bit zero.
fn pss_encode(message: &[u8], salt: &[u8; SALT_BYTES]) -> Block {
    let hash = Sha384::new()
        .chain_update([0; 8])
        .chain_update(Sha384::digest(message))
        .chain_update(salt)
        .finalize();
    let mut encoded = [0; MODULUS_BYTES];
    let (db, tail) = encoded.split_at_mut(MODULUS_BYTES - HASH_BYTES - 1);
    let (padding, salted) = db.split_at_mut(MODULUS_BYTES - HASH_BYTES - 1 - SALT_BYTES);
    salted.copy_from_slice(salt);
    if let Some(mark) = padding.last_mut() {
        *mark = 1;
    }
    for (counter, chunk) in (0_u32..).zip(db.chunks_mut(HASH_BYTES)) {
        let mask = Sha384::new().chain_update(hash).chain_update(counter.to_be_bytes()).finalize();
        chunk.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    if let Some(first) = db.first_mut() {
        *first &= 0x7f;
    }
    if let Some((trailer, place)) = tail.split_last_mut() {
        *trailer = 0xbc;
        place.copy_from_slice(&hash);
    }
    encoded
}

fn number(bytes: &Block) -> Option<BoxedUint> {
    BoxedUint::from_be_slice(bytes, MODULUS_BITS).ok()
}

fn block(number: &BoxedUint) -> Option<Block> {
    Block::try_from(number.to_be_bytes().as_ref()).ok()
}

fn generator() -> ChaCha20Rng {
    ChaCha20Rng::from_seed(rand::random())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::OnceLock;

    use super::*;

    /// One key for all tests: a key takes a second.
    pub(crate) fn key() -> &'static SecretKey {
        static KEY: OnceLock<SecretKey> = OnceLock::new();
        KEY.get_or_init(|| SecretKey::random().unwrap())
    }

    #[test]
    fn a_blinded_message_is_signed_and_its_signature_checks() {
        let public = key().public();
        let (salt, factor) = ([7; SALT_BYTES], public.random_factor());
        let blinded = public.blind(b"message", &salt, &factor).unwrap();
        let blind_signature = key().sign(&blinded).unwrap();
        let signature = public.finalize(b"message", &factor, &blind_signature).unwrap();
        public.verify(b"message", &signature).unwrap();
        assert_eq!(public.verify(b"massage", &signature), Err(BlindReject::Signature));
        assert_ne!(signature, blind_signature);
        assert!(public.explains(&factor, &signature, &blinded));
        assert_eq!(public.factor_between(&signature, &blind_signature).unwrap(), *factor);
    }

    #[test]
    fn every_altered_byte_of_a_signature_is_noticed() {
        let public = key().public();
        let (salt, factor) = ([7; SALT_BYTES], public.random_factor());
        let blinded = public.blind(b"message", &salt, &factor).unwrap();
        let blind_signature = key().sign(&blinded).unwrap();
        let signature = public.finalize(b"message", &factor, &blind_signature).unwrap();
        for at in 0..MODULUS_BYTES {
            let mut bad = signature;
            bad[at] ^= 1;
            assert_eq!(public.verify(b"message", &bad), Err(BlindReject::Signature), "byte {at}");
            let mut bad = blind_signature;
            bad[at] ^= 1;
            let refused = public.finalize(b"message", &factor, &bad);
            assert_eq!(refused, Err(BlindReject::Signature), "byte {at}");
        }
    }

    #[test]
    fn a_key_without_2048_bits_or_an_even_one_is_refused() {
        let good = *key().public().modulus();
        let (mut short, mut even) = (good, good);
        short[0] &= 0x7f;
        even[MODULUS_BYTES - 1] &= 0xfe;
        for bad in [short, even, [0; MODULUS_BYTES]] {
            assert_eq!(PublicKey::from_modulus(&bad), Err(BlindReject::Modulus));
        }
        assert_eq!(SecretKey::from_primes(&[0xff; MODULUS_BYTES]).err(), Some(BlindReject::Modulus));
    }

    #[test]
    fn a_factor_that_cannot_be_undone_is_refused() {
        let public = key().public();
        let mut multiple = [0; MODULUS_BYTES];
        multiple[PRIME_BYTES..].copy_from_slice(&key().key.primes()[0].as_ref().to_be_bytes());
        for factor in [[0; MODULUS_BYTES], [0xff; MODULUS_BYTES], *public.modulus(), multiple] {
            let refused = public.blind(b"message", &[7; SALT_BYTES], &factor);
            assert_eq!(refused, Err(BlindReject::Factor));
            assert_eq!(public.finalize(b"message", &factor, &[1; 256]), Err(BlindReject::Factor));
        }
    }

    #[test]
    fn what_is_not_below_the_modulus_is_not_signed() {
        for bad in [[0xff; MODULUS_BYTES], *key().public().modulus()] {
            assert_eq!(key().sign(&bad), Err(BlindReject::Message));
            let factor = key().public().random_factor();
            assert_eq!(key().public().finalize(b"m", &factor, &bad), Err(BlindReject::Signature));
        }
    }

    #[test]
    fn a_key_file_gives_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.key");
        let made = SecretKey::load_or_create(&path).unwrap();
        assert_eq!(SecretKey::load_or_create(&path).unwrap().public(), made.public());
        std::fs::write(&path, "00".repeat(MODULUS_BYTES)).unwrap();
        assert!(matches!(SecretKey::load(&path), Err(KeyFileError::Malformed { .. })));
    }
}
