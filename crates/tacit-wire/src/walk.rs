//! What a client asks a worker about a run that the worker committed to, off the ledger (`specs/0011-audits.md`).
//!
//! # Encoding
//! Little endian. A question, 10, 9 or 449 bytes:
//!
//! ```text
//! 0 ‖ level (u8) ‖ index (u64)                 what lies under this node of the run's tree
//! 1 ‖ node (u32) ‖ element (u32)               what this element is made of
//! 2 ‖ salt (32 bytes) ‖ receipt (ABI, 416)     whether another worker's receipt, whose commitment to evidence this salt opens, is of the same run
//! ```
//!
//! An answer:
//!
//! ```text
//! 0 ‖ hashes (32 bytes each, 1 to 16)          of a step, from the left
//! 1 ‖ tile (at most 256 bytes)                 of a leaf
//! 2 ‖ opening of the trace ‖ opening of the weights
//! 3 ‖ signature (65 bytes)                     of the verdict that it is
//! opening: length (u32) ‖ tiles ‖ count (u32) ‖ siblings (32 bytes each)
//! ```
//!
//! # Sealing
//! `POST /v1/walks` with `{"receipt", "nonce", "body"}`: the receipt's EIP-712 digest, 32 fresh random bytes, and the question in base64, under ChaCha20-Poly1305 with a zero nonce and a key that is
//! used for nothing else, `BLAKE3 derive_key("tacit 2026 walk question key v1", evidence salt ‖ receipt ‖ nonce)`. The answer comes as `{"body"}`, likewise under
//! `"tacit 2026 walk answer key v1"`. The salt of the receipt's commitment to evidence is known to the two parties only: whoever's question opens knows
//! it, and nobody else reads the answer, which is made of the client's input. A question that is sent again by a stranger gets the same answer, which the stranger cannot
//! read. Lengths are not hidden.

use alloy_primitives::B256;
use alloy_sol_types::SolValue;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, aead::Aead as _};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tacit_abi::Receipt;
use tacit_graph::trace::{Hash, MAX_CONVICTION_BYTES, Node, Opening, Openings, TILE_BYTES_MAX};
use zeroize::Zeroize;

use crate::message::base64_bytes;

/// A question, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalkRequest {
    /// Digest of the receipt that commits to the run.
    pub receipt: B256,
    /// Used once.
    pub nonce: B256,
    /// The question.
    #[serde(with = "base64_bytes")]
    pub body: Vec<u8>,
}

/// Its answer, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalkResponse {
    /// The answer.
    #[serde(with = "base64_bytes")]
    pub body: Vec<u8>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalkQuestion {
    /// What lies under a node: hashes, or the tile of a leaf.
    Under(Node),
    /// What an element is made of.
    Element {
        /// The node that makes it.
        node: u32,
        /// Counted in its tensor.
        element: u32,
    },
    /// Whether another worker committed to the same run: whoever did signs that ([`tacit_abi::Verdict`]).
    Verdict {
        /// What opens the other receipt's commitment to evidence.
        salt: B256,
        /// The other receipt.
        receipt: Box<Receipt>,
    },
}

/// What is answered. Nothing of it is believed before it led to the committed root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalkAnswer {
    /// Hashes under a node.
    Hashes(Vec<Hash>),
    /// The tile of a leaf.
    Tile(Vec<u8>),
    /// What an element is made of.
    Openings(Box<Openings>),
    /// The worker's signature of the verdict.
    Verdict([u8; SIGNATURE_BYTES]),
}

/// Why a question or an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalkReject {
    /// It is under another key: not from whoever knows the salt, or altered.
    #[error("it does not open")]
    Sealed,
    /// Longer than any may be.
    #[error("it is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// Not one of the kinds there are.
    #[error("it is of no known kind")]
    Kind,
    /// The receipt in it is none.
    #[error("it holds no receipt")]
    Receipt,
    /// Too short, too long, or with too many parts for its kind.
    #[error("its length is not that of its kind")]
    Length,
    /// It cannot be sealed.
    #[error("it cannot be sealed")]
    NotSealed,
}

/// Seals a question and its answer. Made from what only the two parties of a receipt know.
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct WalkKeys {
    question: ChaCha20Poly1305,
    answer: ChaCha20Poly1305,
}

/// Longest answer.
#[expect(clippy::as_conversions, reason = "2^18 and a little")]
pub const WALK_ANSWER_BYTES_MAX: usize = MAX_CONVICTION_BYTES as usize + 64;
/// Longest response body.
pub const WALK_RESPONSE_BYTES_MAX: usize = (WALK_ANSWER_BYTES_MAX + TAG_BYTES).div_ceil(3) * 4 + 64;
/// Most hashes under a node.
const HASHES_MAX: usize = 16;
const HASH_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const SIGNATURE_BYTES: usize = 65;
/// A receipt is thirteen words.
const RECEIPT_BYTES: usize = 13 * 32;
const QUESTION_BYTES_MAX: usize = 1 + HASH_BYTES + RECEIPT_BYTES + TAG_BYTES;
const QUESTION_CONTEXT: &str = "tacit 2026 walk question key v1";
const ANSWER_CONTEXT: &str = "tacit 2026 walk answer key v1";

impl WalkRequest {
    /// A question about the run of a receipt, and what opens its answer.
    ///
    /// # Errors
    /// [`WalkReject::NotSealed`].
    pub fn new(
        salt: &[u8; 32],
        receipt: B256,
        question: WalkQuestion,
    ) -> Result<(Self, WalkKeys), WalkReject> {
        let mut nonce = B256::ZERO;
        rand::rng().fill_bytes(nonce.as_mut_slice());
        let keys = WalkKeys::new(salt, receipt, nonce);
        let sealed = keys.question.encrypt(&Nonce::default(), question.encode().as_slice());
        let body = sealed.map_err(|_| WalkReject::NotSealed)?;
        Ok((Self { receipt, nonce, body }, keys))
    }

    /// The question, if it comes from somebody who knows the salt, and what seals its answer.
    ///
    /// # Errors
    /// [`WalkReject`].
    pub fn open(&self, salt: &[u8; 32]) -> Result<(WalkQuestion, WalkKeys), WalkReject> {
        if self.body.len() > QUESTION_BYTES_MAX {
            return Err(WalkReject::TooLong { limit_bytes: QUESTION_BYTES_MAX });
        }
        let keys = WalkKeys::new(salt, self.receipt, self.nonce);
        let opened = keys.question.decrypt(&Nonce::default(), self.body.as_slice());
        let question = WalkQuestion::decode(&opened.map_err(|_| WalkReject::Sealed)?)?;
        Ok((question, keys))
    }
}

impl WalkKeys {
    fn new(salt: &[u8; 32], receipt: B256, nonce: B256) -> Self {
        let aead = |context: &str| {
            let mut hasher = blake3::Hasher::new_derive_key(context);
            hasher.update(salt).update(receipt.as_slice()).update(nonce.as_slice());
            let mut key = Key::from(*hasher.finalize().as_bytes());
            let aead = ChaCha20Poly1305::new(&key);
            key.zeroize();
            aead
        };
        Self { question: aead(QUESTION_CONTEXT), answer: aead(ANSWER_CONTEXT) }
    }

    /// Seals the answer to the question that these keys opened.
    ///
    /// # Errors
    /// [`WalkReject::TooLong`], [`WalkReject::NotSealed`].
    pub fn seal(&self, answer: &WalkAnswer) -> Result<WalkResponse, WalkReject> {
        let encoded = answer.encode().ok_or(WalkReject::TooLong { limit_bytes: WALK_ANSWER_BYTES_MAX })?;
        let body = self.answer.encrypt(&Nonce::default(), encoded.as_slice());
        Ok(WalkResponse { body: body.map_err(|_| WalkReject::NotSealed)? })
    }

    /// The answer to the question that these keys sealed.
    ///
    /// # Errors
    /// [`WalkReject`].
    pub fn open(&self, response: &WalkResponse) -> Result<WalkAnswer, WalkReject> {
        if response.body.len() > WALK_ANSWER_BYTES_MAX + TAG_BYTES {
            return Err(WalkReject::TooLong { limit_bytes: WALK_ANSWER_BYTES_MAX });
        }
        let opened = self.answer.decrypt(&Nonce::default(), response.body.as_slice());
        WalkAnswer::decode(&opened.map_err(|_| WalkReject::Sealed)?)
    }
}

impl WalkQuestion {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Under(Node { level, index }) => [&[0, *level][..], &index.to_le_bytes()].concat(),
            Self::Element { node, element } => {
                [&[1][..], &node.to_le_bytes(), &element.to_le_bytes()].concat()
            }
            Self::Verdict { salt, receipt } => [&[2][..], salt.as_slice(), &receipt.abi_encode()].concat(),
        }
    }

    /// Reads a question.
    ///
    /// # Errors
    /// [`WalkReject::Kind`], [`WalkReject::Length`], [`WalkReject::Receipt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WalkReject> {
        let (kind, rest) = bytes.split_first().ok_or(WalkReject::Length)?;
        let mut from = Reader(rest);
        let question = match kind {
            0 => Self::Under(Node { level: from.u8()?, index: u64::from_le_bytes(from.array()?) }),
            1 => Self::Element {
                node: u32::from_le_bytes(from.array()?),
                element: u32::from_le_bytes(from.array()?),
            },
            2 => {
                let salt = from.array::<HASH_BYTES>()?.into();
                let receipt = Receipt::abi_decode_validate(from.take(RECEIPT_BYTES)?);
                Self::Verdict { salt, receipt: Box::new(receipt.map_err(|_| WalkReject::Receipt)?) }
            }
            _ => return Err(WalkReject::Kind),
        };
        from.end()?;
        Ok(question)
    }
}

impl WalkAnswer {
    /// Its bytes; `None` where they are more than [`WALK_ANSWER_BYTES_MAX`].
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        match self {
            Self::Hashes(hashes) => {
                bytes.push(0);
                bytes.extend(hashes.iter().flatten());
            }
            Self::Tile(tile) => {
                bytes.push(1);
                bytes.extend_from_slice(tile);
            }
            Self::Openings(openings) => {
                bytes.push(2);
                for Opening { tiles, siblings } in [&openings.trace, &openings.weights] {
                    bytes.extend_from_slice(&u32::try_from(tiles.len()).ok()?.to_le_bytes());
                    bytes.extend_from_slice(tiles);
                    bytes.extend_from_slice(&u32::try_from(siblings.len()).ok()?.to_le_bytes());
                    bytes.extend(siblings.iter().flatten());
                }
            }
            Self::Verdict(signature) => {
                bytes.push(3);
                bytes.extend_from_slice(signature);
            }
        }
        (bytes.len() <= WALK_ANSWER_BYTES_MAX).then_some(bytes)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`WalkReject`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WalkReject> {
        if bytes.len() > WALK_ANSWER_BYTES_MAX {
            return Err(WalkReject::TooLong { limit_bytes: WALK_ANSWER_BYTES_MAX });
        }
        let (kind, rest) = bytes.split_first().ok_or(WalkReject::Length)?;
        match kind {
            0 => {
                let (hashes, left) = rest.as_chunks::<HASH_BYTES>();
                let fits = left.is_empty() && (1..=HASHES_MAX).contains(&hashes.len());
                if fits { Ok(Self::Hashes(hashes.to_vec())) } else { Err(WalkReject::Length) }
            }
            1 if rest.len() <= TILE_BYTES_MAX => Ok(Self::Tile(rest.to_vec())),
            1 => Err(WalkReject::Length),
            2 => {
                let mut from = Reader(rest);
                let openings = Openings { trace: from.opening()?, weights: from.opening()? };
                from.end()?;
                Ok(Self::Openings(Box::new(openings)))
            }
            3 => rest.try_into().map(Self::Verdict).map_err(|_| WalkReject::Length),
            _ => Err(WalkReject::Kind),
        }
    }
}

/// Takes from the front, never more than there is.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Result<&[u8], WalkReject> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(WalkReject::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WalkReject> {
        self.take(N)?.try_into().map_err(|_| WalkReject::Length)
    }

    fn u8(&mut self) -> Result<u8, WalkReject> {
        self.array().map(|[byte]| byte)
    }

    fn length(&mut self) -> Result<usize, WalkReject> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| WalkReject::Length)
    }

    fn opening(&mut self) -> Result<Opening, WalkReject> {
        let length = self.length()?;
        let tiles = self.take(length)?.to_vec();
        let bytes = self.length()?.checked_mul(HASH_BYTES).ok_or(WalkReject::Length)?;
        let (siblings, _) = self.take(bytes)?.as_chunks::<HASH_BYTES>();
        Ok(Opening { tiles, siblings: siblings.to_vec() })
    }

    fn end(&self) -> Result<(), WalkReject> {
        if self.0.is_empty() { Ok(()) } else { Err(WalkReject::Length) }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use proptest::prelude::*;

    use super::*;

    fn openings(tiles: &[u8], siblings: usize) -> WalkAnswer {
        let opening = |byte| Opening { tiles: tiles.to_vec(), siblings: vec![[byte; 32]; siblings] };
        WalkAnswer::Openings(Box::new(Openings { trace: opening(1), weights: opening(2) }))
    }

    fn answers() -> Vec<WalkAnswer> {
        vec![
            WalkAnswer::Hashes(vec![[3; 32]; 16]),
            WalkAnswer::Tile(vec![5; 256]),
            WalkAnswer::Tile(Vec::new()),
            openings(&[7; 100], 9),
            openings(&[], 0),
            WalkAnswer::Verdict([6; 65]),
        ]
    }

    fn verdict() -> WalkQuestion {
        let byte = B256::repeat_byte;
        let receipt = Receipt {
            jobId: byte(1),
            modelId: byte(2),
            channelId: byte(3),
            client: Address::repeat_byte(4),
            worker: Address::repeat_byte(5),
            privacy: 6,
            evidence: 7,
            inputCommitment: byte(8),
            outputCommitment: byte(9),
            evidenceHash: byte(10),
            price: 11,
            cumulative: u128::MAX,
            completedAt: u64::MAX,
        };
        WalkQuestion::Verdict { salt: byte(12), receipt: Box::new(receipt) }
    }

    #[test]
    fn questions_and_answers_come_back_as_they_were() {
        let (salt, receipt) = ([9; 32], B256::repeat_byte(4));
        for question in [
            WalkQuestion::Under(Node { level: 7, index: 1 << 40 }),
            WalkQuestion::Element { node: 3, element: u32::MAX },
            verdict(),
        ] {
            let (request, client) = WalkRequest::new(&salt, receipt, question.clone()).unwrap();
            let (opened, worker) = request.open(&salt).unwrap();
            assert_eq!(opened, question);
            for answer in answers() {
                let response = worker.seal(&answer).unwrap();
                assert_eq!(client.open(&response), Ok(answer));
            }
        }
    }

    /// The formats, byte for byte.
    #[test]
    fn bytes_are_those_of_the_specification() {
        let under = WalkQuestion::Under(Node { level: 4, index: 258 });
        assert_eq!(under.encode(), [0, 4, 2, 1, 0, 0, 0, 0, 0, 0]);
        let element = WalkQuestion::Element { node: 1, element: 513 };
        assert_eq!(element.encode(), [1, 1, 0, 0, 0, 1, 2, 0, 0]);
        let asked = verdict().encode();
        assert_eq!((asked.len(), &asked[..2], &asked[32..34]), (449, &[2, 12][..], &[12, 1][..]));
        assert_eq!(&asked[417..], [&[0; 24][..], &[0xff; 8]].concat());
        assert_eq!(WalkAnswer::Verdict([4; 65]).encode().unwrap(), [&[3][..], &[4; 65]].concat());
        let hashes = WalkAnswer::Hashes(vec![[8; 32]; 2]).encode().unwrap();
        assert_eq!(hashes, [&[0][..], &[8; 64]].concat());
        assert_eq!(WalkAnswer::Tile(vec![1, 2]).encode().unwrap(), [1, 1, 2]);
        let parts = [&[2, 1, 0, 0, 0, 6, 1, 0, 0, 0][..], &[1; 32], &[1, 0, 0, 0, 6, 1, 0, 0, 0], &[2; 32]];
        assert_eq!(openings(&[6], 1).encode().unwrap(), parts.concat());
    }

    #[test]
    fn only_whoever_knows_the_salt_asks_and_reads() {
        let (salt, receipt) = ([9; 32], B256::repeat_byte(4));
        let question = WalkQuestion::Under(Node { level: 1, index: 0 });
        let (request, client) = WalkRequest::new(&salt, receipt, question.clone()).unwrap();
        assert!(matches!(request.open(&[8; 32]), Err(WalkReject::Sealed)));
        let elsewhere = WalkRequest { receipt: B256::repeat_byte(5), ..request.clone() };
        assert!(matches!(elsewhere.open(&salt), Err(WalkReject::Sealed)));
        for at in 0..request.body.len() {
            let mut bent = request.clone();
            bent.body[at] ^= 1;
            assert!(matches!(bent.open(&salt), Err(WalkReject::Sealed)));
        }
        let (_, worker) = request.open(&salt).unwrap();
        let response = worker.seal(&WalkAnswer::Tile(vec![1])).unwrap();
        let (_, other) = WalkRequest::new(&salt, receipt, question).unwrap();
        assert_eq!(other.open(&response), Err(WalkReject::Sealed));
        for at in 0..response.body.len() {
            let mut bent = response.clone();
            bent.body[at] ^= 1;
            assert_eq!(client.open(&bent), Err(WalkReject::Sealed));
        }
    }

    #[test]
    fn nothing_longer_or_otherwise_than_its_kind_is_read() {
        let hashes = |count: usize| [&[0][..], &vec![1; 32 * count]].concat();
        let decode = |bytes: &[u8]| WalkAnswer::decode(bytes).err();
        assert_eq!(decode(&[]), Some(WalkReject::Length));
        assert_eq!(decode(&hashes(0)), Some(WalkReject::Length));
        assert_eq!(decode(&hashes(17)), Some(WalkReject::Length));
        assert_eq!(decode(&[&hashes(2)[..], &[0]].concat()), Some(WalkReject::Length));
        assert_eq!(decode(&[&[1][..], &[0; 257]].concat()), Some(WalkReject::Length));
        assert_eq!(decode(&[4]), Some(WalkReject::Kind));
        assert_eq!(decode(&[3; 65]), Some(WalkReject::Length));
        assert_eq!(decode(&[3; 67]), Some(WalkReject::Length));
        let limit_bytes = WALK_ANSWER_BYTES_MAX;
        assert_eq!(decode(&vec![2; limit_bytes + 1]), Some(WalkReject::TooLong { limit_bytes }));
        assert_eq!(openings(&vec![0; limit_bytes], 0).encode(), None);
        // Counts of more than there is.
        assert_eq!(decode(&[&[2][..], &[0xff; 40]].concat()), Some(WalkReject::Length));
        assert_eq!(decode(&[&[2, 0, 0, 0, 0][..], &[0xff; 40]].concat()), Some(WalkReject::Length));
        let whole = openings(&[1; 3], 2).encode().unwrap();
        assert_eq!(decode(&[whole.as_slice(), &[0]].concat()), Some(WalkReject::Length));
        for end in 0..whole.len() {
            assert_eq!(decode(&whole[..end]), Some(WalkReject::Length));
        }
        assert_eq!(WalkQuestion::decode(&[3]), Err(WalkReject::Kind));
        let asked = verdict().encode();
        for end in 1..asked.len() {
            assert_eq!(WalkQuestion::decode(&asked[..end]), Err(WalkReject::Length));
        }
        // Bits where a field has none: an address of more than twenty bytes, a mode above a byte.
        for at in [33 + 3 * 32, 33 + 5 * 32 + 30] {
            let mut bent = asked.clone();
            bent[at] = 1;
            assert_eq!(WalkQuestion::decode(&bent), Err(WalkReject::Receipt));
        }
        assert_eq!(WalkQuestion::decode(&[]), Err(WalkReject::Length));
        assert_eq!(WalkQuestion::decode(&[0, 1]), Err(WalkReject::Length));
        assert_eq!(WalkQuestion::decode(&[1; 10]), Err(WalkReject::Length));
        let keys = WalkKeys::new(&[0; 32], B256::ZERO, B256::ZERO);
        let long = WalkResponse { body: vec![0; limit_bytes + 17] };
        assert_eq!(keys.open(&long), Err(WalkReject::TooLong { limit_bytes }));
        let long =
            WalkRequest { receipt: B256::ZERO, nonce: B256::ZERO, body: vec![0; QUESTION_BYTES_MAX + 1] };
        assert!(matches!(long.open(&[0; 32]), Err(WalkReject::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0u8..5) {
            let bytes = [&[kind][..], &bytes].concat();
            if let Ok(answer) = WalkAnswer::decode(&bytes) {
                prop_assert_eq!(answer.encode(), Some(bytes.clone()));
            }
            if let Ok(question) = WalkQuestion::decode(&bytes) {
                prop_assert_eq!(question.encode(), bytes);
            }
        }
    }
}
