//! Sessions: one key agreement and one signature for many requests to a worker.
//!
//! Source: HPKE (RFC 9180) base mode with the hybrid KEM X-Wing (ML-KEM-768 and X25519, draft-connolly-cfrg-xwing-kem), HKDF-SHA256,
//! ChaCha20-Poly1305. Nothing is sealed with the context itself; both sides export a secret from it, as Oblivious HTTP does for answers
//! (RFC 9458, section 4.4), and derive a key for each message.
//!
//! # Binding
//! The HPKE `info` names the protocol version, chain, worker, channel, client and session, and the key of a guest where the secret is agreed with one
//! (`specs/0012-attestation.md`). The channel's signer signs the EIP-712 type `Session`, which
//! covers the encapsulated key: whoever knows the secret besides the worker was allowed to spend the channel, so that requests in a session
//! need no signature of their own.
//!
//! # Messages
//! Request `n` has the key `BLAKE3 derive_key("tacit 2026 session request key v1", secret || n)`, the frames that answer it
//! `derive_key("tacit 2026 session answer key v1", secret || n)`; `n` is a little-endian `u64`. The nonce of frame `i` is `i (u64, little endian) || last (u8) || zeros`,
//! so that a frame can be neither moved, repeated nor left out, nor an answer cut short, without notice. Associated data is `session id || n`.
//! Lengths are padded by Padmé ([`crate::sealing`]), frames from 256 bytes on.
//!
//! # Security
//! 128 bits against a quantum adversary who records today. The worker's operator reads what it computes on, unless the key is a guest's that was judged. No forward
//! secrecy against the worker's session key until it is rotated; secrets of sessions, and keys of guests, live in memory only.

use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_sol_types::SolStruct;
use chacha20poly1305::{
    ChaCha20Poly1305 as Aead, Key, KeyInit, Nonce,
    aead::{Aead as _, Payload},
};
use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::XWing,
};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    Wallet, job,
    keyfile::{self, KeyFileError},
    message::base64_bytes,
    sealing::{self, SealReject},
    wallet::{self, SignatureReject},
};

/// Bytes of a public session key.
pub const SESSION_KEY_BYTES: usize = 1216;
/// Bytes of an encapsulated secret.
pub const SESSION_ENC_BYTES: usize = 1120;
/// Smallest padded frame.
pub const FRAME_BUCKET_BYTES_MIN: usize = 256;
/// Longest plaintext of a frame.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Longest sealed frame.
pub const SEALED_FRAME_BYTES_MAX: usize = FRAME_BYTES_MAX + FRAME_BYTES_MAX / 8 + 64;

const INFO_LABEL: &[u8] = b"tacit session v1";
const EXPORT_LABEL: &[u8] = b"tacit session secret v1";
const REQUEST_CONTEXT: &str = "tacit 2026 session request key v1";
const ANSWER_CONTEXT: &str = "tacit 2026 session answer key v1";

alloy_sol_types::sol! {
    /// What a channel's signer authorises.
    struct Session {
        bytes32 sessionId;
        bytes32 channelId;
        address client;
        address worker;
        uint64 openedAt;
        bytes32 encHash;
    }
}

/// The worker's secret key for sessions. It has no `Debug`, `Clone` or serialised form.
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct SessionKey(<XWing as hpke::Kem>::PrivateKey);

/// What client and worker of a session know, and nobody else. Zeroised when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct SessionSecret {
    secret: [u8; 32],
    session_id: [u8; 32],
}

/// Opens a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionOpen {
    /// Ledger that keeps the channel.
    pub chain_id: u64,
    /// Random name.
    pub session_id: B256,
    /// Channel that pays.
    pub channel_id: B256,
    /// Owner of the channel.
    pub client: Address,
    /// Who is asked.
    pub worker: Address,
    /// When, seconds since 1970, by the client's clock.
    pub opened_at: u64,
    /// Hash of the guest's key that the secret is agreed with ([`session_key_hash`]); the key that the ask names when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_key: Option<B256>,
    /// Encapsulated secret.
    #[serde(with = "base64_bytes")]
    pub enc: Vec<u8>,
}

/// Body of `POST /v1/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// The session.
    pub open: SessionOpen,
    /// By the channel's signer over [`SessionOpen::digest`].
    pub signature: Bytes,
}

/// The worker keeps the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReply {
    /// Its name.
    pub session_id: B256,
    /// Until when, seconds since 1970, by the worker's clock; it may forget sooner.
    pub expires_at: u64,
}

/// Seals the frames of one answer in order.
#[expect(missing_debug_implementations, reason = "it holds a secret key")]
pub struct FrameSealer(Frames);

/// Opens the frames of one answer in order.
#[expect(missing_debug_implementations, reason = "it holds a secret key")]
pub struct FrameOpener(Frames);

struct Frames {
    aead: Aead,
    associated: [u8; 40],
    next: u64,
    ended: bool,
}

impl SessionKey {
    /// A fresh key.
    #[must_use]
    pub fn random() -> Self {
        Self(XWing::gen_keypair().0)
    }

    /// The key at `path`, made first (mode 0600) when the file is missing.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        let malformed = || KeyFileError::Malformed { path: path.display().to_string() };
        if path.exists() {
            let bytes = keyfile::read(path)?;
            let key = <XWing as hpke::Kem>::PrivateKey::from_bytes(bytes.as_slice());
            return key.map(Self).map_err(|_| malformed());
        }
        let key = Self::random();
        let mut bytes = Zeroizing::new([0_u8; 32]);
        key.0.write_exact(bytes.as_mut_slice());
        keyfile::create(path, &bytes)?;
        Ok(key)
    }

    pub(crate) fn secret(&self) -> &<XWing as hpke::Kem>::PrivateKey {
        &self.0
    }

    /// The public half: [`SESSION_KEY_BYTES`] bytes.
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        let mut bytes = vec![0; SESSION_KEY_BYTES];
        XWing::sk_to_pk(&self.0).write_exact(&mut bytes);
        bytes
    }

    /// What the secret of a session is.
    ///
    /// # Errors
    /// [`SealReject::EncapsulatedKey`].
    pub fn accept(&self, open: &SessionOpen) -> Result<SessionSecret, SealReject> {
        let malformed = |_| SealReject::EncapsulatedKey;
        let enc = <XWing as hpke::Kem>::EncappedKey::from_bytes(&open.enc).map_err(malformed)?;
        let context = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.0,
            &enc,
            &open.info(),
        )
        .map_err(malformed)?;
        let mut secret = [0; 32];
        context.export(EXPORT_LABEL, &mut secret).map_err(malformed)?;
        Ok(SessionSecret { secret, session_id: open.session_id.0 })
    }
}

/// How an ask on the ledger, and a session with a guest, names a public session key.
#[must_use]
pub fn session_key_hash(public: &[u8]) -> B256 {
    keccak256(public)
}

impl SessionOpen {
    /// Names a session with the holder of the public session key `recipient`, and agrees on its secret. `enc` of what is given is overwritten.
    ///
    /// # Errors
    /// [`SealReject::RecipientKey`].
    pub fn begin(mut self, recipient: &[u8]) -> Result<(Self, SessionSecret), SealReject> {
        let unusable = |_| SealReject::RecipientKey;
        let recipient = <XWing as hpke::Kem>::PublicKey::from_bytes(recipient).map_err(unusable)?;
        let (enc, context) = hpke::setup_sender::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &recipient,
            &self.info(),
        )
        .map_err(unusable)?;
        self.enc = vec![0; SESSION_ENC_BYTES];
        enc.write_exact(&mut self.enc);
        let mut secret = [0; 32];
        context.export(EXPORT_LABEL, &mut secret).map_err(unusable)?;
        let session_id = self.session_id.0;
        Ok((self, SessionSecret { secret, session_id }))
    }

    /// Digest that the channel's signer signs.
    #[must_use]
    pub fn digest(&self) -> B256 {
        Session {
            sessionId: self.session_id,
            channelId: self.channel_id,
            client: self.client,
            worker: self.worker,
            openedAt: self.opened_at,
            encHash: keccak256(&self.enc),
        }
        .eip712_signing_hash(&job::domain(self.chain_id))
    }

    /// Signs it.
    #[must_use]
    pub fn sign(self, wallet: &Wallet) -> SessionRequest {
        let signature = wallet.sign_digest(self.digest());
        SessionRequest { open: self, signature }
    }

    fn info(&self) -> Vec<u8> {
        [
            INFO_LABEL,
            &self.chain_id.to_be_bytes(),
            self.worker.as_slice(),
            self.channel_id.as_slice(),
            self.client.as_slice(),
            self.session_id.as_slice(),
            self.guest_key.as_ref().map_or(&[][..], |key| key.as_slice()),
        ]
        .concat()
    }
}

impl SessionRequest {
    /// Account that allowed the session.
    ///
    /// # Errors
    /// [`SignatureReject`].
    pub fn signer(&self) -> Result<Address, SignatureReject> {
        wallet::recover(self.open.digest(), &self.signature)
    }
}

/// A fresh name of a session.
#[must_use]
pub fn random_session_id() -> B256 {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    B256::from(bytes)
}

impl SessionSecret {
    /// Seals request `sequence`, which is sealed once: a number is never used for two requests.
    ///
    /// # Errors
    /// [`SealReject::TooLong`].
    pub fn seal_request(&self, sequence: u64, plaintext: &[u8]) -> Result<Vec<u8>, SealReject> {
        let padded = Zeroizing::new(sealing::pad(plaintext, sealing::BUCKET_BYTES_MIN)?);
        let associated = self.associated(sequence);
        let payload = Payload { msg: padded.as_slice(), aad: &associated };
        self.aead(REQUEST_CONTEXT, sequence)
            .encrypt(&Nonce::default(), payload)
            .map_err(|_| SealReject::TooLong)
    }

    /// Opens request `sequence`.
    ///
    /// # Errors
    /// [`SealReject`].
    pub fn open_request(&self, sequence: u64, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealReject> {
        let associated = self.associated(sequence);
        let payload = Payload { msg: sealed, aad: &associated };
        let padded = self
            .aead(REQUEST_CONTEXT, sequence)
            .decrypt(&Nonce::default(), payload)
            .map(Zeroizing::new)
            .map_err(|_| SealReject::Open)?;
        Ok(Zeroizing::new(sealing::unpad(&padded, sealing::BUCKET_BYTES_MIN)?.to_vec()))
    }

    /// What seals the frames that answer request `sequence`, which is answered once.
    #[must_use]
    pub fn sealer(&self, sequence: u64) -> FrameSealer {
        FrameSealer(self.frames(sequence))
    }

    /// What opens the frames that answer request `sequence`.
    #[must_use]
    pub fn opener(&self, sequence: u64) -> FrameOpener {
        FrameOpener(self.frames(sequence))
    }

    fn frames(&self, sequence: u64) -> Frames {
        let associated = self.associated(sequence);
        Frames { aead: self.aead(ANSWER_CONTEXT, sequence), associated, next: 0, ended: false }
    }

    fn associated(&self, sequence: u64) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (session, number) = bytes.split_at_mut(32);
        session.copy_from_slice(&self.session_id);
        number.copy_from_slice(&sequence.to_le_bytes());
        bytes
    }

    fn aead(&self, context: &str, sequence: u64) -> Aead {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&self.secret).update(&sequence.to_le_bytes());
        let mut key = Key::from(*hasher.finalize().as_bytes());
        let aead = Aead::new(&key);
        key.zeroize();
        aead
    }
}

impl FrameSealer {
    /// Seals the next frame; nothing comes after a `last` one.
    ///
    /// # Errors
    /// [`SealReject::TooLong`] also after the last one.
    pub fn seal(&mut self, plaintext: &[u8], last: bool) -> Result<Vec<u8>, SealReject> {
        if plaintext.len() > FRAME_BYTES_MAX || self.0.ended {
            return Err(SealReject::TooLong);
        }
        let padded = Zeroizing::new(sealing::pad(plaintext, FRAME_BUCKET_BYTES_MIN)?);
        let nonce = self.0.nonce(last);
        let payload = Payload { msg: padded.as_slice(), aad: &self.0.associated };
        let sealed = self.0.aead.encrypt(&nonce, payload).map_err(|_| SealReject::TooLong)?;
        self.0.advance(last);
        Ok(sealed)
    }
}

impl FrameOpener {
    /// Opens the next frame, and tells whether it is the last one.
    ///
    /// # Errors
    /// [`SealReject::Open`] for any other than the next frame of this answer; [`SealReject::Padding`].
    pub fn open(&mut self, sealed: &[u8]) -> Result<(Zeroizing<Vec<u8>>, bool), SealReject> {
        if self.0.ended || sealed.len() > SEALED_FRAME_BYTES_MAX {
            return Err(SealReject::Open);
        }
        for last in [false, true] {
            let payload = Payload { msg: sealed, aad: &self.0.associated };
            let Ok(padded) = self.0.aead.decrypt(&self.0.nonce(last), payload) else { continue };
            let padded = Zeroizing::new(padded);
            self.0.advance(last);
            let plaintext = sealing::unpad(&padded, FRAME_BUCKET_BYTES_MIN)?.to_vec();
            return Ok((Zeroizing::new(plaintext), last));
        }
        Err(SealReject::Open)
    }

    /// Whether the last frame was opened.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.ended
    }
}

impl Frames {
    fn nonce(&self, last: bool) -> Nonce {
        let mut bytes = [0; 12];
        let (number, rest) = bytes.split_at_mut(8);
        number.copy_from_slice(&self.next.to_le_bytes());
        if let Some(flag) = rest.first_mut() {
            *flag = u8::from(last);
        }
        Nonce::from(bytes)
    }

    fn advance(&mut self, last: bool) {
        // 2^64 frames are never reached.
        self.next = self.next.saturating_add(1);
        self.ended = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(worker: Address) -> SessionOpen {
        SessionOpen {
            chain_id: 7,
            session_id: random_session_id(),
            channel_id: B256::repeat_byte(1),
            client: Address::repeat_byte(2),
            worker,
            opened_at: 5,
            guest_key: None,
            enc: Vec::new(),
        }
    }

    fn pair() -> (SessionSecret, SessionSecret) {
        let key = SessionKey::random();
        let (open, client) = open(Address::repeat_byte(3)).begin(&key.public()).unwrap();
        let worker = key.accept(&open).unwrap();
        (client, worker)
    }

    #[test]
    fn both_sides_of_a_session_know_one_secret() {
        let (client, worker) = pair();
        let sealed = client.seal_request(0, b"question").unwrap();
        assert_eq!(worker.open_request(0, &sealed).unwrap().as_slice(), b"question");
        assert_eq!(worker.open_request(1, &sealed).err(), Some(SealReject::Open));
        let (mut sealer, mut opener) = (worker.sealer(0), client.opener(0));
        let first = sealer.seal(b"an", false).unwrap();
        let second = sealer.seal(b"swer", true).unwrap();
        assert_eq!(opener.open(&second).err(), Some(SealReject::Open), "not yet its turn");
        assert_eq!(opener.open(&first).unwrap().0.as_slice(), b"an");
        assert_eq!(opener.open(&first).err(), Some(SealReject::Open), "once only");
        assert!(!opener.has_ended());
        let (plaintext, last) = opener.open(&second).unwrap();
        assert_eq!((plaintext.as_slice(), last), (b"swer".as_slice(), true));
        assert!(opener.has_ended());
        assert_eq!(opener.open(&second).err(), Some(SealReject::Open));
        assert_eq!(sealer.seal(b"more", false).err(), Some(SealReject::TooLong));
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let (client, worker) = pair();
        let sealed = client.seal_request(4, b"question").unwrap();
        let frame = worker.sealer(4).seal(b"answer", true).unwrap();
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(worker.open_request(4, &bad).err(), Some(SealReject::Open));
        }
        for at in 0..frame.len() {
            let mut bad = frame.clone();
            bad[at] ^= 1;
            assert_eq!(client.opener(4).open(&bad).err(), Some(SealReject::Open));
        }
        assert_eq!(client.opener(5).open(&frame).err(), Some(SealReject::Open), "of another request");
    }

    #[test]
    fn a_secret_is_bound_to_every_field() {
        let key = SessionKey::random();
        let (open, client) = open(Address::repeat_byte(3)).begin(&key.public()).unwrap();
        let sealed = client.seal_request(0, b"question").unwrap();
        let others = [
            SessionOpen { chain_id: 8, ..open.clone() },
            SessionOpen { session_id: B256::ZERO, ..open.clone() },
            SessionOpen { channel_id: B256::ZERO, ..open.clone() },
            SessionOpen { client: Address::ZERO, ..open.clone() },
            SessionOpen { worker: Address::ZERO, ..open.clone() },
        ];
        for other in others {
            assert!(key.accept(&other).unwrap().open_request(0, &sealed).is_err(), "{other:?}");
            assert_ne!(other.digest(), open.digest());
        }
        // Whoever names a guest's key instead of the ask's, or the other way round, has another secret.
        let moved = SessionOpen { guest_key: Some(session_key_hash(&key.public())), ..open.clone() };
        assert!(key.accept(&moved).unwrap().open_request(0, &sealed).is_err());
        let late = SessionOpen { opened_at: 6, ..open.clone() };
        assert_ne!(late.digest(), open.digest());
        let short = SessionOpen { enc: open.enc[1..].to_vec(), ..open };
        assert_eq!(key.accept(&short).err(), Some(SealReject::EncapsulatedKey));
    }

    #[test]
    fn the_signer_is_who_allowed_the_session() {
        let wallet = Wallet::random();
        let (open, _) = open(Address::repeat_byte(3)).begin(&SessionKey::random().public()).unwrap();
        let request = open.sign(&wallet);
        assert_eq!(request.signer(), Ok(wallet.address()));
        let read: SessionRequest = serde_json::from_str(&serde_json::to_string(&request).unwrap()).unwrap();
        assert_eq!(read, request);
        let mut moved = request;
        moved.open.enc[0] ^= 1;
        assert_ne!(moved.signer(), Ok(wallet.address()));
    }

    #[test]
    fn a_key_file_gives_the_same_key_and_a_short_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session.key");
        let made = SessionKey::load_or_create(&path).unwrap().public();
        assert_eq!(made.len(), SESSION_KEY_BYTES);
        assert_eq!(SessionKey::load_or_create(&path).unwrap().public(), made);
        let refused = open(Address::ZERO).begin(&made[1..]).err();
        assert_eq!(refused, Some(SealReject::RecipientKey));
    }
}
