//! Prepaid tokens: what a worker signed without seeing it, and takes for payment without knowing whom it signed it for.
//!
//! Source: RFC 9578, token type 0x0002 (Blind RSA, 2048 bits), section 6: `TokenRequest`, `TokenResponse` and `Token` are byte for byte those of section 6.1 to 6.3, and the key id is the
//! SHA-256 of the key's encoding of section 6.5; challenge: RFC 9577, section 2.1.1.
//! Deviation: several requests are put one after another, where RFC 9578 sends one; and the challenge is not sent, because both sides make the same one: issuer name is the
//! worker's address, the redemption context is empty, and the origin is `tacit-` and the chain's id. It has nothing of a client in it.
//!
//! # A job that tokens pay for
//! Its header names no channel of the ledger: its `channel_id` is [`payment_id`] of the tokens, so that the job's signature and the receipt are about these tokens and no others, and
//! its client is an account that was made for it. A request to a language model costs what its answer takes, which nobody knows ahead: it is sent with as many requests for tokens as
//! tokens, of which the first [`change`] are answered, and its payment is about both ([`payment_id_with_change`]).

use alloy_primitives::{Address, B256, keccak256};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::blind::{BlindReject, Block, MODULUS_BYTES, PublicKey, SALT_BYTES};

/// Bytes of a token.
pub const TOKEN_BYTES: usize = INPUT_BYTES + MODULUS_BYTES;
/// Bytes of a request for a token.
pub const REQUEST_BYTES: usize = 3 + MODULUS_BYTES;
/// Most tokens in a purchase.
pub const PURCHASE_TOKENS_MAX: usize = 64;
/// Most tokens that pay for one job.
pub const PAYMENT_TOKENS_MAX: usize = 64;

const TOKEN_TYPE: [u8; 2] = [0, 2];
const INPUT_BYTES: usize = 2 + 32 + 32 + 32;
/// `SubjectPublicKeyInfo` with RSASSA-PSS over SHA-384, up to the modulus, and what follows it: the exponent 65537.
const SPKI_PREFIX: [u8; 81] = alloy_primitives::hex!(
    "30820152303d06092a864886f70d01010a3030a00d300b0609608648016503040202a11a301806092a864886f70d010108300b0609608648016503040202a2030201300382010f003082010a0282010100"
);
const SPKI_SUFFIX: [u8; 5] = alloy_primitives::hex!("0203010001");
const PAYMENT_LABEL: &[u8] = b"tacit tokens v1";
const CHANGE_LABEL: &[u8] = b"tacit tokens with change v1";

/// A token: whoever shows it first has paid what one is worth.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    nonce: B256,
    challenge: B256,
    key_id: B256,
    authenticator: Box<Block>,
}

/// What a client keeps of a token that it asked for, until it has it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub struct TokenSecret {
    nonce: [u8; 32],
    #[serde(with = "crate::message::base64_bytes")]
    salt: Vec<u8>,
    #[serde(with = "crate::message::base64_bytes")]
    factor: Vec<u8>,
}

/// Why tokens, or requests for them, are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenReject {
    /// Not so many bytes.
    #[error("{got} bytes are not whole tokens, or too many")]
    Length {
        /// How many there are.
        got: usize,
    },
    /// Another type of token.
    #[error("the token is of another type")]
    Type,
    /// Under another key than the one it is asked or shown to.
    #[error("the token is under another key")]
    Key,
    /// For another worker or ledger.
    #[error("the token is for another worker or another ledger")]
    Challenge,
    /// A kept secret is none.
    #[error("a token's secret is malformed")]
    Secret,
    /// The encoding of a key is none.
    #[error("the token key is malformed")]
    Encoding,
    /// The key, a blinded message or a signature is refused.
    #[error(transparent)]
    Blind(#[from] BlindReject),
}

/// The key as RFC 9578 encodes it.
#[must_use]
pub fn encode_key(key: &PublicKey) -> Vec<u8> {
    [SPKI_PREFIX.as_slice(), key.modulus(), &SPKI_SUFFIX].concat()
}

/// Reads what [`encode_key`] wrote, and nothing else.
///
/// # Errors
/// [`TokenReject::Encoding`], [`TokenReject::Blind`].
pub fn decode_key(bytes: &[u8]) -> Result<PublicKey, TokenReject> {
    let modulus = bytes.strip_prefix(&SPKI_PREFIX).and_then(|rest| rest.strip_suffix(&SPKI_SUFFIX));
    let modulus = modulus.and_then(|modulus| Block::try_from(modulus).ok()).ok_or(TokenReject::Encoding)?;
    Ok(PublicKey::from_modulus(&modulus)?)
}

/// Id of a key, as it stands on the ledger.
#[must_use]
pub fn key_id(key: &PublicKey) -> B256 {
    B256::from_slice(&Sha256::digest(encode_key(key)))
}

/// Digest of what every token of a worker on a ledger is about.
#[must_use]
pub fn challenge(chain_id: u64, worker: Address) -> B256 {
    let (issuer, origin) = (format!("{worker:#x}"), format!("tacit-{chain_id}"));
    let mut bytes = TOKEN_TYPE.to_vec();
    append(&mut bytes, issuer.as_bytes());
    // No redemption context.
    bytes.push(0);
    append(&mut bytes, origin.as_bytes());
    B256::from_slice(&Sha256::digest(bytes))
}

/// Bytes after their length in two; those here are always shorter than that can say.
fn append(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    to.extend_from_slice(bytes);
}

/// What stands for a channel in the header of a job that these tokens pay for.
#[must_use]
pub fn payment_id(tokens: &[Token]) -> B256 {
    let mut bytes = PAYMENT_LABEL.to_vec();
    tokens.iter().for_each(|token| bytes.extend_from_slice(&token.to_bytes()));
    keccak256(bytes)
}

/// The same for tokens that change may come back for, with the requests for it as they travel.
#[must_use]
pub fn payment_id_with_change(tokens: &[Token], requests: &[u8]) -> B256 {
    // Tokens are of one length each, so their number is where the requests begin.
    let mut bytes = CHANGE_LABEL.to_vec();
    bytes.extend_from_slice(&u64::try_from(tokens.len()).unwrap_or(u64::MAX).to_le_bytes());
    tokens.iter().for_each(|token| bytes.extend_from_slice(&token.to_bytes()));
    bytes.extend_from_slice(requests);
    keccak256(bytes)
}

/// How many of `shown` tokens come back where `price` is owed; none where they are worth less.
#[must_use]
pub fn change(shown: usize, token_price: u128, price: u128) -> Option<usize> {
    let worth = u128::try_from(shown).ok()?.checked_mul(token_price)?;
    usize::try_from(worth.checked_sub(price)?.checked_div(token_price)?).ok()
}

/// How many tokens of a price pay for a job; none where that is more than any job is paid with.
#[must_use]
pub fn tokens_for(job_price: u128, token_price: u128) -> Option<usize> {
    let count = job_price.checked_add(token_price.checked_sub(1)?)?.checked_div(token_price)?;
    usize::try_from(count.max(1)).ok().filter(|count| *count <= PAYMENT_TOKENS_MAX)
}

impl Token {
    /// The token that these bytes are.
    ///
    /// # Errors
    /// [`TokenReject::Length`], [`TokenReject::Type`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenReject> {
        let length = TokenReject::Length { got: bytes.len() };
        let bytes: &[u8; TOKEN_BYTES] = bytes.try_into().map_err(|_| length)?;
        let (input, authenticator) = bytes.split_at(INPUT_BYTES);
        let words = input.strip_prefix(&TOKEN_TYPE).ok_or(TokenReject::Type)?;
        let (words, _) = words.as_chunks::<32>();
        let ([nonce, challenge, key_id], Ok(authenticator)) = (words, Block::try_from(authenticator)) else {
            return Err(length);
        };
        Ok(Self {
            nonce: B256::from(*nonce),
            challenge: B256::from(*challenge),
            key_id: B256::from(*key_id),
            authenticator: Box::new(authenticator),
        })
    }

    /// As it travels.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.input().as_slice(), self.authenticator.as_slice()].concat()
    }

    /// What is signed.
    fn input(&self) -> Vec<u8> {
        [&TOKEN_TYPE, self.nonce.as_slice(), self.challenge.as_slice(), self.key_id.as_slice()].concat()
    }

    /// Id of the key that it is under.
    #[must_use]
    pub fn key_id(&self) -> B256 {
        self.key_id
    }

    /// What is remembered of it once it is spent. Two tokens with one nonce are one token.
    #[must_use]
    pub fn spent_id(&self) -> B256 {
        keccak256(self.input())
    }

    /// The signature.
    #[must_use]
    pub fn authenticator(&self) -> &Block {
        &self.authenticator
    }

    /// Checks that it is of this worker's key on this ledger.
    ///
    /// # Errors
    /// [`TokenReject`].
    pub fn verify(&self, key: &PublicKey, chain_id: u64, worker: Address) -> Result<(), TokenReject> {
        if self.key_id != key_id(key) {
            return Err(TokenReject::Key);
        }
        if self.challenge != challenge(chain_id, worker) {
            return Err(TokenReject::Challenge);
        }
        Ok(key.verify(&self.input(), &self.authenticator)?)
    }
}

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Serialize for Token {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::message::base64_bytes::serialize(&self.to_bytes(), serializer)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = crate::message::base64_bytes::deserialize(deserializer)?;
        Self::from_bytes(&bytes).map_err(serde::de::Error::custom)
    }
}

impl TokenSecret {
    /// What a token that nobody has yet is made from.
    #[must_use]
    pub fn random(key: &PublicKey) -> Self {
        let (mut nonce, mut salt) = ([0; 32], vec![0; SALT_BYTES]);
        rand::rng().fill_bytes(&mut nonce);
        rand::rng().fill_bytes(&mut salt);
        Self { nonce, salt, factor: key.random_factor().to_vec() }
    }

    /// The request for it, as it travels.
    ///
    /// # Errors
    /// [`TokenReject::Secret`], [`TokenReject::Blind`].
    pub fn request(&self, key: &PublicKey, challenge: B256) -> Result<Vec<u8>, TokenReject> {
        let input = self.unsigned(key, challenge).input();
        let salt = self.salt.as_slice().try_into().map_err(|_| TokenReject::Secret)?;
        let blinded = key.blind(&input, salt, self.factor()?)?;
        Ok([TOKEN_TYPE.as_slice(), &[truncated(key_id(key))], &blinded].concat())
    }

    /// The token, once its request is answered.
    ///
    /// # Errors
    /// [`TokenReject::Secret`], [`TokenReject::Blind`] for what is no signature.
    pub fn finish(
        &self,
        key: &PublicKey,
        challenge: B256,
        blind_signature: &Block,
    ) -> Result<Token, TokenReject> {
        let token = self.unsigned(key, challenge);
        let authenticator = key.finalize(&token.input(), self.factor()?, blind_signature)?;
        Ok(Token { authenticator: Box::new(authenticator), ..token })
    }

    fn unsigned(&self, key: &PublicKey, challenge: B256) -> Token {
        let authenticator = Box::new([0; MODULUS_BYTES]);
        Token { nonce: B256::from(self.nonce), challenge, key_id: key_id(key), authenticator }
    }

    fn factor(&self) -> Result<&Block, TokenReject> {
        self.factor.as_slice().try_into().map_err(|_| TokenReject::Secret)
    }
}

impl core::fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

/// The last byte of a key's id, which a request names it by.
fn truncated(key_id: B256) -> u8 {
    let [.., last] = key_id.0;
    last
}

/// The blinded messages of a purchase.
///
/// # Errors
/// [`TokenReject`] for anything but one to [`PURCHASE_TOKENS_MAX`] whole requests under this key, each of what can be signed.
pub fn decode_requests(bytes: &[u8], key: &PublicKey) -> Result<Vec<Block>, TokenReject> {
    let (requests, left) = bytes.as_chunks::<REQUEST_BYTES>();
    if requests.is_empty() || !left.is_empty() || requests.len() > PURCHASE_TOKENS_MAX {
        return Err(TokenReject::Length { got: bytes.len() });
    }
    let name = truncated(key_id(key));
    let blinded = requests.iter().map(|request| {
        let rest = request.strip_prefix(&TOKEN_TYPE).ok_or(TokenReject::Type)?;
        let (named, blinded) = rest.split_first().ok_or(TokenReject::Type)?;
        if *named != name {
            return Err(TokenReject::Key);
        }
        let blinded = Block::try_from(blinded).map_err(|_| TokenReject::Length { got: bytes.len() })?;
        key.check_blinded(&blinded)?;
        Ok(blinded)
    });
    blinded.collect()
}

/// The blind signatures that answer a purchase of `count` tokens.
///
/// # Errors
/// [`TokenReject::Length`].
pub fn decode_responses(bytes: &[u8], count: usize) -> Result<Vec<Block>, TokenReject> {
    let (signatures, left) = bytes.as_chunks::<MODULUS_BYTES>();
    if !left.is_empty() || signatures.len() != count {
        return Err(TokenReject::Length { got: bytes.len() });
    }
    Ok(signatures.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::blind::tests::key;

    const WORKER: Address = Address::repeat_byte(0x22);

    #[test]
    fn change_is_what_is_left_in_whole_tokens() {
        for (shown, token_price, price, expected) in [
            (4, 10, 0, Some(4)),
            (4, 10, 1, Some(3)),
            (4, 10, 10, Some(3)),
            (4, 10, 11, Some(2)),
            (4, 10, 40, Some(0)),
            (4, 10, 41, None),
            (4, 0, 0, None),
            (2, u128::MAX, 0, None),
        ] {
            assert_eq!(change(shown, token_price, price), expected, "{shown} {token_price} {price}");
        }
    }

    #[test]
    fn a_payment_with_change_is_about_tokens_and_requests() {
        let tokens = bought(2);
        let request =
            TokenSecret::random(key().public()).request(key().public(), challenge(7, WORKER)).unwrap();
        let id = payment_id_with_change(&tokens, &request);
        assert_ne!(id, payment_id(&tokens));
        assert_ne!(id, payment_id_with_change(&tokens[..1], &request));
        assert_ne!(id, payment_id_with_change(&tokens, &request[1..]));
        // A token more is not a request less.
        let moved = [tokens[1].to_bytes(), request.clone()].concat();
        assert_ne!(id, payment_id_with_change(&tokens[..1], &moved));
    }

    fn bought(count: usize) -> Vec<Token> {
        let (public, about) = (key().public(), challenge(7, WORKER));
        let secrets: Vec<_> = (0..count).map(|_| TokenSecret::random(public)).collect();
        let requests: Vec<u8> =
            secrets.iter().flat_map(|secret| secret.request(public, about).unwrap()).collect();
        let blinded = decode_requests(&requests, public).unwrap();
        let signed: Vec<u8> = blinded.iter().flat_map(|blinded| key().sign(blinded).unwrap()).collect();
        let signatures = decode_responses(&signed, count).unwrap();
        let finish = |(secret, signature): (&TokenSecret, &Block)| secret.finish(public, about, signature);
        secrets.iter().zip(&signatures).map(|pair| finish(pair).unwrap()).collect()
    }

    /// `vectors/tokens/rfc9578.json`.
    #[test]
    fn the_vectors_of_the_rfc_are_met() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../vectors/tokens/rfc9578.json")).unwrap();
        let vectors = vectors["vectors"].as_array().unwrap();
        assert!(vectors.len() >= 4);
        for vector in vectors {
            let bytes = |name: &str| alloy_primitives::hex::decode(vector[name].as_str().unwrap()).unwrap();
            let primes = [bytes("p"), bytes("q")].concat();
            let signer = crate::blind::SecretKey::from_primes(primes.as_slice().try_into().unwrap()).unwrap();
            let public = decode_key(&bytes("public_key")).unwrap();
            assert_eq!((signer.public(), encode_key(&public)), (&public, bytes("public_key")));
            let secret = TokenSecret {
                nonce: bytes("nonce").try_into().unwrap(),
                salt: bytes("salt"),
                factor: bytes("blind"),
            };
            let about = B256::from_slice(&Sha256::digest(bytes("token_challenge")));
            let request = secret.request(&public, about).unwrap();
            assert_eq!(request, bytes("token_request"));
            let blinded = decode_requests(&request, &public).unwrap();
            let response = signer.sign(&blinded[0]).unwrap();
            assert_eq!(response.as_slice(), bytes("token_response"));
            let token = secret.finish(&public, about, &response).unwrap();
            assert_eq!(token.to_bytes(), bytes("token"));
            assert_eq!(Token::from_bytes(&bytes("token")).unwrap(), token);
        }
    }

    #[test]
    fn the_challenge_is_one_of_rfc_9577() {
        let expected = [
            &[0, 2, 0, 42],
            b"0x2222222222222222222222222222222222222222".as_slice(),
            &[0, 0, 7],
            b"tacit-7",
        ]
        .concat();
        assert_eq!(challenge(7, WORKER), B256::from_slice(&Sha256::digest(expected)));
    }

    #[test]
    fn bought_tokens_check_and_are_told_apart() {
        let tokens = bought(2);
        for token in &tokens {
            token.verify(key().public(), 7, WORKER).unwrap();
            assert_eq!(token.key_id(), key_id(key().public()));
            let json = serde_json::to_string(token).unwrap();
            assert_eq!(serde_json::from_str::<Token>(&json).unwrap(), *token);
        }
        assert_ne!(tokens[0].spent_id(), tokens[1].spent_id());
        let swapped = [tokens[1].clone(), tokens[0].clone()];
        assert_ne!(payment_id(&tokens), payment_id(&swapped));
    }

    #[test]
    fn a_token_of_another_worker_ledger_or_key_is_refused() {
        let token = bought(1).remove(0);
        let public = key().public();
        assert_eq!(token.verify(public, 8, WORKER), Err(TokenReject::Challenge));
        assert_eq!(token.verify(public, 7, Address::ZERO), Err(TokenReject::Challenge));
        let other = crate::blind::SecretKey::random().unwrap();
        assert_eq!(token.verify(other.public(), 7, WORKER), Err(TokenReject::Key));
        let renamed = Token { key_id: key_id(other.public()), ..token };
        let false_signature = Err(TokenReject::Blind(BlindReject::Signature));
        assert_eq!(renamed.verify(other.public(), 7, WORKER), false_signature);
    }

    #[test]
    fn every_altered_byte_of_a_token_is_noticed() {
        let token = bought(1).remove(0).to_bytes();
        for at in 0..TOKEN_BYTES {
            let mut bad = token.clone();
            bad[at] ^= 1;
            let refused = Token::from_bytes(&bad).and_then(|bad| bad.verify(key().public(), 7, WORKER));
            assert!(refused.is_err(), "byte {at}");
        }
        assert_eq!(Token::from_bytes(&[]), Err(TokenReject::Length { got: 0 }));
        assert_eq!(Token::from_bytes(&[1; TOKEN_BYTES]), Err(TokenReject::Type));
    }

    #[test]
    fn malformed_purchases_are_refused() {
        let public = key().public();
        let good = TokenSecret::random(public).request(public, challenge(7, WORKER)).unwrap();
        for bad in [Vec::new(), good[1..].to_vec(), good.repeat(PURCHASE_TOKENS_MAX + 1)] {
            assert_eq!(decode_requests(&bad, public), Err(TokenReject::Length { got: bad.len() }));
        }
        let (mut typed, mut named) = (good.clone(), good.clone());
        typed[1] = 1;
        named[2] ^= 1;
        assert_eq!(decode_requests(&typed, public), Err(TokenReject::Type));
        assert_eq!(decode_requests(&named, public), Err(TokenReject::Key));
        assert_eq!(decode_requests(&good.repeat(64), public).unwrap().len(), 64);
        assert_eq!(decode_responses(&[0; 256], 2), Err(TokenReject::Length { got: 256 }));
        assert_eq!(decode_responses(&[0; 257], 1), Err(TokenReject::Length { got: 257 }));
    }

    #[test]
    fn a_malformed_key_or_secret_is_refused() {
        let good = encode_key(key().public());
        for at in (0..SPKI_PREFIX.len()).chain(good.len() - SPKI_SUFFIX.len()..good.len()) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(decode_key(&bad), Err(TokenReject::Encoding), "byte {at}");
        }
        assert_eq!(decode_key(&good[1..]), Err(TokenReject::Encoding));
        let mut even = good.clone();
        even[SPKI_PREFIX.len() + MODULUS_BYTES - 1] &= 0xfe;
        assert_eq!(decode_key(&even), Err(TokenReject::Blind(BlindReject::Modulus)));
        let public = key().public();
        let mut secret = TokenSecret::random(public);
        secret.factor = vec![1];
        assert_eq!(secret.request(public, B256::ZERO), Err(TokenReject::Secret));
    }

    proptest! {
        /// The fewest tokens that are worth as much.
        #[test]
        fn as_many_tokens_pay_as_the_price_needs(job in 0_u128..10_000, token in 0_u128..500) {
            let naive = (1..=PAYMENT_TOKENS_MAX).find(|count| token > 0 && *count as u128 * token >= job);
            prop_assert_eq!(tokens_for(job, token), naive);
        }

        #[test]
        fn no_bytes_make_the_decoders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..800)) {
            let _ = Token::from_bytes(&bytes);
            let _ = decode_key(&bytes);
            let _ = decode_requests(&bytes, key().public());
        }
    }

    #[test]
    fn amounts_at_the_ends_do_not_overflow() {
        assert_eq!(tokens_for(u128::MAX, u128::MAX), None);
        assert_eq!(tokens_for(u128::MAX, 1), None);
        assert_eq!(tokens_for(0, 1), Some(1));
    }
}
