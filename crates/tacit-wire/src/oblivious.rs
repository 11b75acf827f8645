//! Oblivious HTTP: a request reaches a worker through a relay that cannot read it, and the worker does not learn where it comes from.
//!
//! Source: RFC 9458, sections 3 (key configuration), 4.3 (requests), 4.4 (responses); HPKE suite DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
//! Deviation: the key configuration is not fetched. It follows from the sealing key in the worker's ask on the ledger, where everybody reads the same, so that neither a relay nor
//! the worker can hand one client a key of its own. The worker serves it all the same, for programs that expect that.
//!
//! The sealing key is used for jobs as well; the HPKE `info` of each begins with another label, which is what keeps the two apart (RFC 9180, section 5.1).
//!
//! # Security
//! As of [`crate::sealing`]: no forward secrecy until the worker rotates its key. The relay sees who sends, to which worker, when, and the padded length.

use alloy_primitives::B256;
use chacha20poly1305::aead::{Aead, KeyInit};
use hkdf::Hkdf;
use hpke::{
    Deserializable, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use rand::RngCore;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::sealing::SealingKey;

/// Media type of an encapsulated request.
pub const REQUEST_TYPE: &str = "message/ohttp-req";
/// Media type of an encapsulated response.
pub const RESPONSE_TYPE: &str = "message/ohttp-res";
/// Media type of key configurations.
pub const KEYS_TYPE: &str = "application/ohttp-keys";
/// Where a worker takes encapsulated requests.
pub const PATH: &str = "/v1/ohttp";

const KEY_ID: u8 = 1;
const KEM_ID: [u8; 2] = [0, 0x20];
const KDF_ID: [u8; 2] = [0, 1];
const ENC_BYTES: usize = 32;
const HEADER_BYTES: usize = 7;
const NONCE_BYTES: usize = 12;
const REQUEST_LABEL: &[u8] = b"message/bhttp request";
const RESPONSE_LABEL: &[u8] = b"message/bhttp response";

type Kem = X25519HkdfSha256;

/// Why an encapsulated message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObliviousReject {
    /// Shorter than any.
    #[error("the encapsulated message ends early")]
    Truncated,
    /// For another key or suite.
    #[error("the request is for another key or suite")]
    Suite,
    /// The key in the ask is not a usable X25519 key.
    #[error("the worker's key is not a usable X25519 key")]
    RecipientKey,
    /// Altered, or for another key.
    #[error("the encapsulated message does not open")]
    Open,
}

/// Opens the response to one request.
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct Awaited {
    enc: [u8; ENC_BYTES],
    secret: Zeroizing<Vec<u8>>,
}

/// Seals the response to one request.
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct Reply(Awaited);

/// An AEAD under both names that it has here: inside HPKE, and by itself for responses.
trait Suite {
    type Inside: hpke::aead::Aead;
    type Alone: KeyInit + Aead;
    const AEAD_ID: [u8; 2];
    const KEY_BYTES: usize;
}

struct ChaCha;

impl Suite for ChaCha {
    type Inside = ChaCha20Poly1305;
    type Alone = chacha20poly1305::ChaCha20Poly1305;
    const AEAD_ID: [u8; 2] = [0, 3];
    const KEY_BYTES: usize = 32;
}

/// `KeyConfig` of a worker with this sealing key.
fn key_configuration(sealing_key: B256) -> Vec<u8> {
    // One suite, four bytes.
    [&[KEY_ID], KEM_ID.as_slice(), sealing_key.as_slice(), &[0, 4], &KDF_ID, &ChaCha::AEAD_ID].concat()
}

/// What a worker with this sealing key serves as [`KEYS_TYPE`].
#[must_use]
pub fn key_configurations(sealing_key: B256) -> Vec<u8> {
    let configuration = key_configuration(sealing_key);
    let length = u16::try_from(configuration.len()).unwrap_or(u16::MAX).to_be_bytes();
    [length.as_slice(), &configuration].concat()
}

/// Encapsulates a request to the worker whose ask names this key.
///
/// # Errors
/// [`ObliviousReject::RecipientKey`].
pub fn encapsulate(sealing_key: B256, request: &[u8]) -> Result<(Vec<u8>, Awaited), ObliviousReject> {
    let unusable = |_| ObliviousReject::RecipientKey;
    let recipient = <Kem as hpke::Kem>::PublicKey::from_bytes(sealing_key.as_slice()).map_err(unusable)?;
    let header = header::<ChaCha>();
    let (encapped, mut context) =
        hpke::setup_sender::<ChaCha20Poly1305, HkdfSha256, Kem>(&OpModeS::Base, &recipient, &info(&header))
            .map_err(unusable)?;
    let ciphertext = context.seal(request, &[]).map_err(unusable)?;
    let (mut enc, mut secret) = ([0; ENC_BYTES], Zeroizing::new(vec![0; ChaCha::KEY_BYTES]));
    encapped.write_exact(&mut enc);
    context.export(RESPONSE_LABEL, &mut secret).map_err(unusable)?;
    let message = [header.as_slice(), &enc, &ciphertext].concat();
    Ok((message, Awaited { enc, secret }))
}

impl SealingKey {
    /// Reads a request that a client encapsulated.
    ///
    /// # Errors
    /// [`ObliviousReject`].
    pub fn decapsulate(&self, message: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Reply), ObliviousReject> {
        decapsulate::<ChaCha>(self, message)
    }
}

fn decapsulate<S: Suite>(
    key: &SealingKey,
    message: &[u8],
) -> Result<(Zeroizing<Vec<u8>>, Reply), ObliviousReject> {
    let (head, rest) = message.split_first_chunk::<HEADER_BYTES>().ok_or(ObliviousReject::Truncated)?;
    let (enc, ciphertext) = rest.split_first_chunk::<ENC_BYTES>().ok_or(ObliviousReject::Truncated)?;
    if *head != header::<S>() {
        return Err(ObliviousReject::Suite);
    }
    let refused = |_| ObliviousReject::Open;
    let encapped = <Kem as hpke::Kem>::EncappedKey::from_bytes(enc).map_err(refused)?;
    let info = info(head);
    let mut context =
        hpke::setup_receiver::<S::Inside, HkdfSha256, Kem>(&OpModeR::Base, key.secret(), &encapped, &info)
            .map_err(refused)?;
    let request = Zeroizing::new(context.open(ciphertext, &[]).map_err(refused)?);
    let mut secret = Zeroizing::new(vec![0; S::KEY_BYTES]);
    context.export(RESPONSE_LABEL, &mut secret).map_err(refused)?;
    Ok((request, Reply(Awaited { enc: *enc, secret })))
}

impl Reply {
    /// Encapsulates the response.
    ///
    /// # Errors
    /// [`ObliviousReject::Open`] for one longer than can be sealed.
    pub fn seal(&self, response: &[u8]) -> Result<Vec<u8>, ObliviousReject> {
        let mut nonce = vec![0; ChaCha::KEY_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        self.0.seal::<ChaCha>(&nonce, response)
    }
}

impl Awaited {
    /// Opens the response.
    ///
    /// # Errors
    /// [`ObliviousReject`].
    pub fn open(&self, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, ObliviousReject> {
        self.open_with::<ChaCha>(message)
    }

    fn open_with<S: Suite>(&self, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, ObliviousReject> {
        let (nonce, ciphertext) = message.split_at_checked(S::KEY_BYTES).ok_or(ObliviousReject::Truncated)?;
        let (aead, nonce) = self.response_aead::<S>(nonce)?;
        let nonce = nonce.as_slice().try_into().map_err(|_| ObliviousReject::Open)?;
        aead.decrypt(nonce, ciphertext).map(Zeroizing::new).map_err(|_| ObliviousReject::Open)
    }

    fn seal<S: Suite>(&self, nonce: &[u8], response: &[u8]) -> Result<Vec<u8>, ObliviousReject> {
        let (aead, inner) = self.response_aead::<S>(nonce)?;
        let inner = inner.as_slice().try_into().map_err(|_| ObliviousReject::Open)?;
        let ciphertext = aead.encrypt(inner, response).map_err(|_| ObliviousReject::Open)?;
        Ok([nonce, &ciphertext].concat())
    }

    /// Key and nonce of a response: each is used once, because its salt is drawn for it.
    fn response_aead<S: Suite>(
        &self,
        nonce: &[u8],
    ) -> Result<(S::Alone, [u8; NONCE_BYTES]), ObliviousReject> {
        let refused = |_| ObliviousReject::Open;
        let salt = [self.enc.as_slice(), nonce].concat();
        let expander = Hkdf::<Sha256>::new(Some(&salt), &self.secret);
        let mut key = Zeroizing::new(vec![0; S::KEY_BYTES]);
        let mut inner = [0; NONCE_BYTES];
        expander.expand(b"key", &mut key).map_err(refused)?;
        expander.expand(b"nonce", &mut inner).map_err(refused)?;
        let aead = S::Alone::new_from_slice(&key).map_err(|_| ObliviousReject::Open)?;
        Ok((aead, inner))
    }
}

/// Key id and suite, which a request begins with.
fn header<S: Suite>() -> [u8; HEADER_BYTES] {
    let ([kem, kem_], [kdf, kdf_], [aead, aead_]) = (KEM_ID, KDF_ID, S::AEAD_ID);
    [KEY_ID, kem, kem_, kdf, kdf_, aead, aead_]
}

fn info(header: &[u8; HEADER_BYTES]) -> Vec<u8> {
    [REQUEST_LABEL, &[0], header].concat()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;

    use super::*;

    /// What the example of the RFC uses; nobody here sends or takes it.
    struct Aes;

    impl Suite for Aes {
        type Inside = hpke::aead::AesGcm128;
        type Alone = aes_gcm::Aes128Gcm;
        const AEAD_ID: [u8; 2] = [0, 1];
        const KEY_BYTES: usize = 16;
    }

    #[test]
    fn the_example_of_the_rfc_is_met() {
        let vector: serde_json::Value =
            serde_json::from_str(include_str!("../../../vectors/tokens/rfc9458.json")).unwrap();
        let bytes = |name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
        let key = SealingKey::from_bytes(&bytes("secret_key").try_into().unwrap()).unwrap();
        // Theirs has two suites, ours the second of them.
        let mut expected = bytes("key_configuration");
        expected.splice(35..41, [0, 4]);
        assert_eq!(key_configuration(key.public()), expected);
        let (request, reply) = decapsulate::<Aes>(&key, &bytes("encapsulated_request")).unwrap();
        assert_eq!(*request, bytes("request"));
        let sealed = reply.0.seal::<Aes>(&bytes("response_nonce"), &bytes("response")).unwrap();
        assert_eq!(sealed, bytes("encapsulated_response"));
        assert_eq!(*reply.0.open_with::<Aes>(&sealed).unwrap(), bytes("response"));
    }

    #[test]
    fn a_request_and_its_response_travel_sealed() {
        let key = SealingKey::random();
        let (message, awaited) = encapsulate(key.public(), b"question").unwrap();
        let (request, reply) = key.decapsulate(&message).unwrap();
        assert_eq!(request.as_slice(), b"question");
        let response = reply.seal(b"answer").unwrap();
        assert_eq!(awaited.open(&response).unwrap().as_slice(), b"answer");
        assert_ne!(reply.seal(b"answer").unwrap(), response);
        assert_ne!(encapsulate(key.public(), b"question").unwrap().0, message);
        let configurations = key_configurations(key.public());
        assert_eq!(configurations[..2], [0, 41]);
        assert_eq!(configurations[2..], key_configuration(key.public()));
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let key = SealingKey::random();
        let (message, awaited) = encapsulate(key.public(), b"question").unwrap();
        for at in 0..message.len() {
            let mut bad = message.clone();
            bad[at] ^= 1;
            let expected = if at < HEADER_BYTES { ObliviousReject::Suite } else { ObliviousReject::Open };
            assert_eq!(key.decapsulate(&bad).err(), Some(expected), "byte {at}");
        }
        let response = key.decapsulate(&message).unwrap().1.seal(b"answer").unwrap();
        for at in 0..response.len() {
            let mut bad = response.clone();
            bad[at] ^= 1;
            assert_eq!(awaited.open(&bad).err(), Some(ObliviousReject::Open), "byte {at}");
        }
        let other = encapsulate(key.public(), b"question").unwrap().1;
        assert_eq!(other.open(&response).err(), Some(ObliviousReject::Open));
    }

    #[test]
    fn short_messages_and_unusable_keys_are_refused() {
        let key = SealingKey::random();
        for length in 0..HEADER_BYTES + ENC_BYTES {
            let short = vec![0; length];
            assert_eq!(key.decapsulate(&short).err(), Some(ObliviousReject::Truncated));
        }
        let awaited = encapsulate(key.public(), b"").unwrap().1;
        assert_eq!(awaited.open(&[0; 31]).err(), Some(ObliviousReject::Truncated));
        assert_eq!(encapsulate(B256::ZERO, b"").err(), Some(ObliviousReject::RecipientKey));
        let other = SealingKey::random();
        let (message, _) = encapsulate(other.public(), b"question").unwrap();
        assert_eq!(key.decapsulate(&message).err(), Some(ObliviousReject::Open));
    }
}
