//! A request to a language model that tokens pay for, and what answers it whole (`specs/0013-unlinkable.md`, *Language models*).
//!
//! # Request
//! Body of `POST /v1/prepaid/streams`, which is answered through a relay alone: `version (1) || signature (65) || head length (u32, little endian) || head (JSON) || body`. The head is
//! [`PrepaidHead`], the body is what the engine is given, untouched. The signature is by the head's client, an account that was made for this request, over
//! `keccak256("tacit prepaid stream v1" || all that follows the signature)`; the same digest tells the same request from another under its name.
//!
//! # Answer
//! `head length (u32, little endian) || head (JSON) || bytes of the engine's answer`. The head is [`PrepaidEnd`].
//!
//! # Payment
//! The receipt's channel is [`payment_id_with_change`] of tokens and requests for change, `price` and `cumulative` are what the answer cost, and its evidence commits to the bill and to
//! [`change_hash`]. So the worker signs for which tokens it gave which change.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use serde::{Deserialize, Serialize};

use crate::{
    SignatureReject, Wallet,
    message::base64_bytes,
    stream::{End, StreamHead, StreamReject, join, printable_type, split},
    token::{Token, payment_id_with_change},
    wallet::recover,
};

/// Terms of a request, and what pays for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrepaidHead {
    /// Ledger that lists the tokens' key.
    pub chain_id: u64,
    /// Who is asked.
    pub worker: Address,
    /// An account made for this request.
    pub client: Address,
    /// What is asked, and what it may cost; there is no voucher.
    pub stream: StreamHead,
    /// What pays for it: worth its limit at least.
    pub tokens: Vec<Token>,
    /// `TokenRequest`s for what may come back, one after another, as many as tokens.
    #[serde(with = "base64_bytes")]
    pub change: Vec<u8>,
}

/// A request that was read.
#[derive(Clone, PartialEq, Eq)]
pub struct PrepaidStream {
    /// Terms and payment.
    pub head: PrepaidHead,
    /// What the engine is given.
    pub body: Vec<u8>,
    /// By the head's client.
    pub signature: Bytes,
    /// What is signed.
    pub digest: B256,
}

/// How an answer ended, and what comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrepaidEnd {
    /// The engine's HTTP status. From 400 on nothing is owed.
    pub status: u16,
    /// As the engine said it.
    pub content_type: String,
    /// The worker's account. Where its price is zero no token is spent.
    pub end: End,
    /// Blind signatures for the first requests for change, 256 bytes each.
    #[serde(with = "base64_bytes")]
    pub change: Vec<u8>,
}

/// An answer that was read.
#[derive(Clone, PartialEq, Eq)]
pub struct PrepaidAnswer {
    /// How it ended.
    pub head: PrepaidEnd,
    /// The engine's bytes.
    pub answer: Vec<u8>,
}

/// Where a worker takes such requests.
pub const PATH: &str = "/v1/prepaid/streams";
/// Longest body for an engine: with its head it fits into an encapsulated request.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest answer of an engine; it ends there.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest answer as it travels.
pub const ENCODED_ANSWER_BYTES_MAX: usize = ANSWER_BYTES_MAX + HEAD_BYTES_MAX + 4;
/// Bytes of a tokenizer in one answer through a relay.
pub const TOKENIZER_PART_BYTES: usize = 4 * 1024 * 1024;

const VERSION: u8 = 1;
const SIGNATURE_BYTES: usize = 65;
const HEAD_BYTES_MAX: usize = 64 * 1024;
const LABEL: &[u8] = b"tacit prepaid stream v1";
const CHANGE_LABEL: &[u8] = b"tacit change v1";

/// What a receipt's evidence commits to beside the bill: the change that was given with it.
#[must_use]
pub fn change_hash(change: &[u8]) -> B256 {
    keccak256([CHANGE_LABEL, change].concat())
}

/// Where a part of a model's tokenizer is: number 0 begins it, and one shorter than [`TOKENIZER_PART_BYTES`] ends it.
#[must_use]
pub fn tokenizer_path(model_id: B256, part: usize) -> String {
    format!("/v1/languages/{model_id}/tokenizer/{part}")
}

impl PrepaidHead {
    /// What stands for a channel on the receipt.
    #[must_use]
    pub fn payment_id(&self) -> B256 {
        payment_id_with_change(&self.tokens, &self.change)
    }
}

impl PrepaidStream {
    /// A request in its travelling form, signed by the account that the head names.
    ///
    /// # Errors
    /// [`StreamReject::TooLong`].
    pub fn write(head: &PrepaidHead, body: &[u8], account: &Wallet) -> Result<Vec<u8>, StreamReject> {
        let (limit, got) = (BODY_BYTES_MAX, body.len());
        if got > limit {
            return Err(StreamReject::TooLong { what: "the request", limit, got });
        }
        let signed = join(head, body)?;
        let signature = account.sign_digest(digest(&signed));
        Ok([[VERSION].as_slice(), &signature, &signed].concat())
    }

    /// Reads a request. Whose it is, is for [`Self::signer`] to say.
    ///
    /// # Errors
    /// [`StreamReject`].
    pub fn read(bytes: &[u8]) -> Result<Self, StreamReject> {
        let truncated = || StreamReject::Truncated { what: "the request" };
        let (version, rest) = bytes.split_first().ok_or_else(truncated)?;
        if *version != VERSION {
            return Err(StreamReject::Version);
        }
        let (signature, signed) = rest.split_at_checked(SIGNATURE_BYTES).ok_or_else(truncated)?;
        let (head, body) = split(signed, "the request", HEAD_BYTES_MAX)?;
        let (limit, got) = (BODY_BYTES_MAX, body.len());
        if got > limit {
            return Err(StreamReject::TooLong { what: "the request", limit, got });
        }
        let signature = Bytes::copy_from_slice(signature);
        Ok(Self { head, body: body.to_vec(), signature, digest: digest(signed) })
    }

    /// Who signed it.
    ///
    /// # Errors
    /// [`SignatureReject`].
    pub fn signer(&self) -> Result<Address, SignatureReject> {
        recover(self.digest, &self.signature)
    }
}

impl PrepaidAnswer {
    /// An answer in its travelling form.
    ///
    /// # Errors
    /// [`StreamReject::Json`].
    pub fn write(head: &PrepaidEnd, answer: &[u8]) -> Result<Vec<u8>, StreamReject> {
        join(head, answer)
    }

    /// Reads an answer. Nothing of it has been checked.
    ///
    /// # Errors
    /// [`StreamReject`].
    pub fn read(bytes: &[u8]) -> Result<Self, StreamReject> {
        let (head, answer): (PrepaidEnd, _) = split(bytes, "the answer", HEAD_BYTES_MAX)?;
        let (limit, got) = (ANSWER_BYTES_MAX, answer.len());
        if got > limit {
            return Err(StreamReject::TooLong { what: "the answer", limit, got });
        }
        let content_type = printable_type(head.content_type.as_bytes());
        Ok(Self { head: PrepaidEnd { content_type, ..head }, answer: answer.to_vec() })
    }
}

impl core::fmt::Debug for PrepaidStream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PrepaidStream({} bytes, {} tokens)", self.body.len(), self.head.tokens.len())
    }
}

impl core::fmt::Debug for PrepaidAnswer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PrepaidAnswer({}, {} bytes)", self.head.status, self.answer.len())
    }
}

fn digest(signed: &[u8]) -> B256 {
    keccak256([LABEL, signed].concat())
}

#[cfg(test)]
mod tests {
    use tacit_abi::{Receipt, receipts::SignedReceipt};

    use super::*;
    use crate::{
        Amount, JobId, Salts,
        blind::tests::key,
        language::{MODE, TokenCount, TokenPrices},
        meter::Route,
        stream::EndReason,
        token::{PAYMENT_TOKENS_MAX, TokenSecret, challenge},
    };

    fn head(client: Address, tokens: usize) -> PrepaidHead {
        let (public, about) = (key().public(), challenge(7, Address::ZERO));
        let secret = TokenSecret::random(public);
        let request = secret.request(public, about).unwrap();
        let blinded = crate::token::decode_requests(&request, public).unwrap();
        let token = secret.finish(public, about, &key().sign(&blinded[0]).unwrap()).unwrap();
        PrepaidHead {
            chain_id: 7,
            worker: Address::ZERO,
            client,
            stream: StreamHead {
                job_id: JobId::random(),
                model_id: B256::ZERO,
                route: Route::ChatCompletions,
                privacy: MODE.0,
                evidence: MODE.1,
                prices: TokenPrices::default(),
                limit: Amount(u128::MAX),
                voucher: None,
            },
            tokens: vec![token; tokens],
            change: request.repeat(tokens),
        }
    }

    fn end() -> PrepaidEnd {
        let receipt = Receipt {
            jobId: B256::ZERO,
            modelId: B256::ZERO,
            channelId: B256::ZERO,
            client: Address::ZERO,
            worker: Address::ZERO,
            privacy: 1,
            evidence: 0,
            inputCommitment: B256::ZERO,
            outputCommitment: B256::ZERO,
            evidenceHash: B256::ZERO,
            price: u128::MAX,
            cumulative: u128::MAX,
            completedAt: 9,
        };
        let receipt = SignedReceipt { receipt, signature: vec![1; 65].into() };
        let (reason, tokens) = (EndReason::Complete, TokenCount::default());
        let end = End { reason, tokens, salts: Salts::random(), receipt };
        let change = vec![3; 256 * PAYMENT_TOKENS_MAX];
        PrepaidEnd { status: 200, content_type: "a\nb".to_owned(), end, change }
    }

    #[test]
    fn a_request_is_read_as_it_was_written_and_every_byte_of_it_is_signed() {
        let account = Wallet::random();
        let head = head(account.address(), 1);
        let bytes = PrepaidStream::write(&head, b"body", &account).unwrap();
        let read = PrepaidStream::read(&bytes).unwrap();
        assert_eq!((&read.head, read.body.as_slice()), (&head, b"body".as_slice()));
        assert_eq!(read.signer(), Ok(account.address()));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let signer = PrepaidStream::read(&bad).ok().and_then(|read| read.signer().ok());
            assert_ne!(signer, Some(account.address()), "byte {at}");
            assert!(PrepaidStream::read(&bytes[..at]).is_err() || at >= bytes.len() - 4, "{at} bytes");
        }
    }

    #[test]
    fn the_longest_request_fits_into_an_encapsulated_one() {
        let account = Wallet::random();
        let head = head(account.address(), PAYMENT_TOKENS_MAX);
        let bytes = PrepaidStream::write(&head, &vec![0; BODY_BYTES_MAX], &account).unwrap();
        assert_eq!(PrepaidStream::read(&bytes).unwrap().head, head);
        let request = crate::binary_http::BinaryRequest {
            method: "POST".to_owned(),
            path: PATH.to_owned(),
            content_type: "application/octet-stream".to_owned(),
            content: bytes,
        };
        let to = crate::oblivious::Recipient::Streams(crate::session::SessionKey::random().public());
        let (message, _) = crate::oblivious::encapsulate(&to, &request.encode()).unwrap();
        assert!(message.len() <= crate::unlinked::ENCAPSULATED_REQUEST_BYTES_MAX, "{}", message.len());
        let long = PrepaidStream::write(&head, &vec![0; BODY_BYTES_MAX + 1], &account);
        assert!(matches!(long, Err(StreamReject::TooLong { .. })));
    }

    #[test]
    fn an_answer_is_read_as_it_was_written_and_no_longer_one_is() {
        let head = end();
        let bytes = PrepaidAnswer::write(&head, b"answer").unwrap();
        let read = PrepaidAnswer::read(&bytes).unwrap();
        assert_eq!((read.answer.as_slice(), read.head.content_type.as_str()), (b"answer".as_slice(), "ab"));
        assert_eq!((&read.head.end, &read.head.change), (&head.end, &head.change));
        let longest = PrepaidAnswer::write(&head, &vec![0; ANSWER_BYTES_MAX]).unwrap();
        assert!(longest.len() <= ENCODED_ANSWER_BYTES_MAX && PrepaidAnswer::read(&longest).is_ok());
        let long = PrepaidAnswer::write(&head, &vec![0; ANSWER_BYTES_MAX + 1]).unwrap();
        assert!(matches!(PrepaidAnswer::read(&long), Err(StreamReject::TooLong { .. })));
        let mut long = PrepaidAnswer::write(&head, b"").unwrap();
        long[..4].copy_from_slice(&u32::try_from(HEAD_BYTES_MAX + 1).unwrap().to_le_bytes());
        assert!(matches!(PrepaidAnswer::read(&long), Err(StreamReject::TooLong { .. })));
        assert!(matches!(PrepaidAnswer::read(&bytes[..3]), Err(StreamReject::Truncated { .. })));
    }

    #[test]
    fn change_is_named_by_its_bytes() {
        assert_ne!(change_hash(b""), change_hash(b"1"));
        assert_ne!(change_hash(b""), keccak256(b""));
    }
}
