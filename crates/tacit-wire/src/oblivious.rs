//! Oblivious HTTP: a request reaches a worker through a relay that cannot read it, and the worker does not learn where it comes from.
//!
//! Source: RFC 9458, sections 3 (key configuration), 4.3 (requests), 4.4 (responses); HPKE with HKDF-SHA256, ChaCha20-Poly1305, and the KEM of the key that the worker's ask names
//! ([`Recipient`]): DHKEM(X25519, HKDF-SHA256) for jobs, X-Wing (draft-connolly-cfrg-xwing-kem) for language models.
//! Deviation: a key configuration is not believed because of who hands it out. A sealing key stands in the worker's ask on the ledger, and of a session key its hash does, where everybody
//! reads the same, so that neither a relay nor the worker can hand one client a key of its own. The worker serves both configurations: to programs that expect that, and to relays,
//! which hand them on, since of a session key the ledger has the hash alone ([`find_session_key`]).
//!
//! Both keys are used for jobs and sessions as well; the HPKE `info` of each use begins with another label, which is what keeps them apart (RFC 9180, section 5.1).
//!
//! # Security
//! As of [`crate::sealing`] and [`crate::session`]: no forward secrecy until the worker rotates its key; under X-Wing, 128 bits against a quantum adversary who records today. The relay sees
//! who sends, to which worker, when, the padded length, and which of the two keys it is under.

use alloy_primitives::B256;
use chacha20poly1305::aead::{Aead, KeyInit};
use hkdf::Hkdf;
use hpke::{
    Deserializable, OpModeR, OpModeS, Serializable,
    aead::ChaCha20Poly1305,
    kdf::HkdfSha256,
    kem::{X25519HkdfSha256, XWing},
};
use rand::RngCore;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    sealing::SealingKey,
    session::{SessionKey, session_key_hash},
};

/// Media type of an encapsulated request.
pub const REQUEST_TYPE: &str = "message/ohttp-req";
/// Media type of an encapsulated response.
pub const RESPONSE_TYPE: &str = "message/ohttp-res";
/// Media type of key configurations.
pub const KEYS_TYPE: &str = "application/ohttp-keys";
/// Where a worker takes encapsulated requests.
pub const PATH: &str = "/v1/ohttp";
/// Where a worker has its key configurations.
pub const KEYS_PATH: &str = "/v1/ohttp-keys";

const KDF_ID: [u8; 2] = [0, 1];
const HEADER_BYTES: usize = 7;
const NONCE_BYTES: usize = 12;
const REQUEST_LABEL: &[u8] = b"message/bhttp request";
const RESPONSE_LABEL: &[u8] = b"message/bhttp response";

/// Longest list of key configurations.
pub const KEYS_BYTES_MAX: usize = 4096;

/// Which of a worker's keys a request is encapsulated to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// The one that jobs are sealed to, as its asks name it: X25519.
    Jobs(B256),
    /// The one that sessions are agreed with, whose hash its asks name: X-Wing.
    Streams(Vec<u8>),
}

impl From<B256> for Recipient {
    fn from(sealing_key: B256) -> Self {
        Self::Jobs(sealing_key)
    }
}

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
    /// The worker's key is none.
    #[error("the worker's key is not usable")]
    RecipientKey,
    /// Altered, or for another key.
    #[error("the encapsulated message does not open")]
    Open,
}

/// Opens the response to one request.
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct Awaited {
    enc: Vec<u8>,
    secret: Zeroizing<Vec<u8>>,
}

/// Seals the response to one request.
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct Reply(Awaited);

/// A KEM, with the id of the worker's key for it.
trait Mechanism: hpke::Kem {
    const KEY_ID: u8;
}

impl Mechanism for X25519HkdfSha256 {
    const KEY_ID: u8 = 1;
}

impl Mechanism for XWing {
    const KEY_ID: u8 = 2;
}

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

/// `KeyConfig` of a worker with this public key.
fn key_configuration<K: Mechanism>(public: &[u8]) -> Vec<u8> {
    // One suite, four bytes.
    [&[K::KEY_ID], K::KEM_ID.to_be_bytes().as_slice(), public, &[0, 4], &KDF_ID, &ChaCha::AEAD_ID].concat()
}

/// What a worker with these keys serves as [`KEYS_TYPE`].
#[must_use]
pub fn key_configurations(sealing_key: B256, session_key: &[u8]) -> Vec<u8> {
    let mut list = Vec::new();
    for configuration in [
        key_configuration::<X25519HkdfSha256>(sealing_key.as_slice()),
        key_configuration::<XWing>(session_key),
    ] {
        list.extend_from_slice(&u16::try_from(configuration.len()).unwrap_or(u16::MAX).to_be_bytes());
        list.extend_from_slice(&configuration);
    }
    list
}

/// The session key in a list of key configurations that has this hash, whoever handed the list out.
#[must_use]
pub fn find_session_key(mut list: &[u8], hash: B256) -> Option<Vec<u8>> {
    while let Some((length, rest)) = list.split_first_chunk::<2>() {
        let (configuration, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        list = rest;
        let key = configuration.get(3..).and_then(|key| key.get(..crate::session::SESSION_KEY_BYTES));
        if let Some(key) = key.filter(|key| session_key_hash(key) == hash) {
            return Some(key.to_vec());
        }
    }
    None
}

/// Encapsulates a request to the worker whose key this is.
///
/// # Errors
/// [`ObliviousReject::RecipientKey`].
pub fn encapsulate(recipient: &Recipient, request: &[u8]) -> Result<(Vec<u8>, Awaited), ObliviousReject> {
    match recipient {
        Recipient::Jobs(key) => encapsulate_to::<X25519HkdfSha256>(key.as_slice(), request),
        Recipient::Streams(key) => encapsulate_to::<XWing>(key, request),
    }
}

fn encapsulate_to<K: Mechanism>(
    public: &[u8],
    request: &[u8],
) -> Result<(Vec<u8>, Awaited), ObliviousReject> {
    let unusable = |_| ObliviousReject::RecipientKey;
    let recipient = K::PublicKey::from_bytes(public).map_err(unusable)?;
    let header = header::<K, ChaCha>();
    let (encapped, mut context) =
        hpke::setup_sender::<ChaCha20Poly1305, HkdfSha256, K>(&OpModeS::Base, &recipient, &info(&header))
            .map_err(unusable)?;
    let ciphertext = context.seal(request, &[]).map_err(unusable)?;
    let (enc, mut secret) = (encapped.to_bytes().to_vec(), Zeroizing::new(vec![0; ChaCha::KEY_BYTES]));
    context.export(RESPONSE_LABEL, &mut secret).map_err(unusable)?;
    let message = [header.as_slice(), &enc, &ciphertext].concat();
    Ok((message, Awaited { enc, secret }))
}

impl SealingKey {
    /// Reads a request that a client encapsulated.
    ///
    /// # Errors
    /// [`ObliviousReject`]; [`ObliviousReject::Suite`] for one to another kind of key.
    pub fn decapsulate(&self, message: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Reply), ObliviousReject> {
        decapsulate::<X25519HkdfSha256, ChaCha>(self.secret(), message)
    }
}

impl SessionKey {
    /// As [`SealingKey::decapsulate`].
    ///
    /// # Errors
    /// [`ObliviousReject`].
    pub fn decapsulate(&self, message: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Reply), ObliviousReject> {
        decapsulate::<XWing, ChaCha>(self.secret(), message)
    }
}

fn decapsulate<K: Mechanism, S: Suite>(
    secret_key: &K::PrivateKey,
    message: &[u8],
) -> Result<(Zeroizing<Vec<u8>>, Reply), ObliviousReject> {
    let (head, rest) = message.split_first_chunk::<HEADER_BYTES>().ok_or(ObliviousReject::Truncated)?;
    if *head != header::<K, S>() {
        return Err(ObliviousReject::Suite);
    }
    let (enc, ciphertext) =
        rest.split_at_checked(K::EncappedKey::size()).ok_or(ObliviousReject::Truncated)?;
    let refused = |_| ObliviousReject::Open;
    let encapped = K::EncappedKey::from_bytes(enc).map_err(refused)?;
    let info = info(head);
    let mut context =
        hpke::setup_receiver::<S::Inside, HkdfSha256, K>(&OpModeR::Base, secret_key, &encapped, &info)
            .map_err(refused)?;
    let request = Zeroizing::new(context.open(ciphertext, &[]).map_err(refused)?);
    let mut secret = Zeroizing::new(vec![0; S::KEY_BYTES]);
    context.export(RESPONSE_LABEL, &mut secret).map_err(refused)?;
    Ok((request, Reply(Awaited { enc: enc.to_vec(), secret })))
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
fn header<K: Mechanism, S: Suite>() -> [u8; HEADER_BYTES] {
    let ([kem, kem_], [kdf, kdf_], [aead, aead_]) = (K::KEM_ID.to_be_bytes(), KDF_ID, S::AEAD_ID);
    [K::KEY_ID, kem, kem_, kdf, kdf_, aead, aead_]
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
        assert_eq!(key_configuration::<X25519HkdfSha256>(key.public().as_slice()), expected);
        let sealed = bytes("encapsulated_request");
        let (request, reply) = decapsulate::<X25519HkdfSha256, Aes>(key.secret(), &sealed).unwrap();
        assert_eq!(*request, bytes("request"));
        let sealed = reply.0.seal::<Aes>(&bytes("response_nonce"), &bytes("response")).unwrap();
        assert_eq!(sealed, bytes("encapsulated_response"));
        assert_eq!(*reply.0.open_with::<Aes>(&sealed).unwrap(), bytes("response"));
    }

    /// A worker's two keys.
    struct Keys(SealingKey, SessionKey);

    impl Keys {
        fn random() -> Self {
            Self(SealingKey::random(), SessionKey::random())
        }

        fn recipients(&self) -> [Recipient; 2] {
            [Recipient::Jobs(self.0.public()), Recipient::Streams(self.1.public())]
        }

        fn open(
            &self,
            to: &Recipient,
            message: &[u8],
        ) -> Result<(Zeroizing<Vec<u8>>, Reply), ObliviousReject> {
            match to {
                Recipient::Jobs(_) => self.0.decapsulate(message),
                Recipient::Streams(_) => self.1.decapsulate(message),
            }
        }
    }

    #[test]
    fn a_request_and_its_response_travel_sealed() {
        let keys = Keys::random();
        for to in keys.recipients() {
            let (message, awaited) = encapsulate(&to, b"question").unwrap();
            let (request, reply) = keys.open(&to, &message).unwrap();
            assert_eq!(request.as_slice(), b"question");
            let response = reply.seal(b"answer").unwrap();
            assert_eq!(awaited.open(&response).unwrap().as_slice(), b"answer");
            assert_ne!(reply.seal(b"answer").unwrap(), response);
            assert_ne!(encapsulate(&to, b"question").unwrap().0, message);
        }
    }

    #[test]
    fn the_key_whose_hash_is_asked_for_is_found_and_no_other() {
        let Keys(sealing, session) = Keys::random();
        let list = key_configurations(sealing.public(), &session.public());
        assert!(list.len() <= KEYS_BYTES_MAX);
        assert_eq!(list[..2], [0, 41]);
        assert_eq!(list[2..43], key_configuration::<X25519HkdfSha256>(sealing.public().as_slice()));
        let hash = session_key_hash(&session.public());
        assert_eq!(find_session_key(&list, hash), Some(session.public()));
        assert_eq!(find_session_key(&list, session_key_hash(&SessionKey::random().public())), None);
        for length in 0..list.len() - 10 {
            assert_eq!(find_session_key(&list[..length], hash), None, "{length}");
        }
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let keys = Keys::random();
        for to in keys.recipients() {
            let (message, awaited) = encapsulate(&to, b"question").unwrap();
            for at in 0..message.len() {
                let mut bad = message.clone();
                bad[at] ^= 1;
                let expected = if at < HEADER_BYTES { ObliviousReject::Suite } else { ObliviousReject::Open };
                assert_eq!(keys.open(&to, &bad).err(), Some(expected), "byte {at}");
            }
            let response = keys.open(&to, &message).unwrap().1.seal(b"answer").unwrap();
            for at in 0..response.len() {
                let mut bad = response.clone();
                bad[at] ^= 1;
                assert_eq!(awaited.open(&bad).err(), Some(ObliviousReject::Open), "byte {at}");
            }
            let other = encapsulate(&to, b"question").unwrap().1;
            assert_eq!(other.open(&response).err(), Some(ObliviousReject::Open));
        }
    }

    #[test]
    fn short_messages_and_unusable_keys_are_refused() {
        let keys = Keys::random();
        for (to, enc) in keys.recipients().iter().zip([32, 1120]) {
            let (message, awaited) = encapsulate(to, b"").unwrap();
            for length in 0..HEADER_BYTES + enc {
                let short = keys.open(to, &message[..length]).err();
                assert_eq!(short, Some(ObliviousReject::Truncated), "{length}");
            }
            assert_eq!(awaited.open(&[0; 31]).err(), Some(ObliviousReject::Truncated));
        }
        let unusable = Some(ObliviousReject::RecipientKey);
        assert_eq!(encapsulate(&B256::ZERO.into(), b"").err(), unusable);
        assert_eq!(encapsulate(&Recipient::Streams(vec![1; 1215]), b"").err(), unusable);
        let [jobs, streams] = Keys::random().recipients();
        let (message, _) = encapsulate(&jobs, b"question").unwrap();
        assert_eq!(keys.0.decapsulate(&message).err(), Some(ObliviousReject::Open));
        assert_eq!(keys.1.decapsulate(&message).err(), Some(ObliviousReject::Suite));
        let (message, _) = encapsulate(&streams, b"question").unwrap();
        assert_eq!(keys.1.decapsulate(&message).err(), Some(ObliviousReject::Open));
        assert_eq!(keys.0.decapsulate(&message).err(), Some(ObliviousReject::Suite));
    }
}
