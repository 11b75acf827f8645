//! A request to a language model, and the frames that answer it.
//!
//! # Request
//! Body of `POST /v1/streams`: `version (2) || session id (32) || sequence (u64) || sealed`. What is sealed
//! ([`SessionSecret::seal_request`]) is `head length (u32) || head (JSON) || body`: the terms, and the bytes that the engine is given, untouched.
//!
//! # Answer
//! Frames, each `length (u32) || sealed`; numbers are little endian. A frame is `kind (u8) || payload`:
//!
//! | kind | payload |
//! |---|---|
//! | 0 head | status (u16), tokens of the prompt (u64), content type |
//! | 1 data | bytes of the engine's answer, untouched |
//! | 2 wait | what must be promised before more comes (u128) |
//! | 3 end | [`End`] as JSON |
//! | 4 refusal | [`ErrorBody`] as JSON: nothing was given, nothing is owed |
//!
//! The last frame is an end or a refusal, and no other is.
//!
//! # The account
//! A channel that pays for streams is a running account. Both sides keep **owed**: the sum of what its requests cost, as the meter counts bytes that were
//! sent; and **promised**, the best voucher. A worker gives whatever keeps `owed <= promised + chunk`, and waits otherwise; a chunk is [`CHUNK_TOKENS`](crate::language::CHUNK_TOKENS) tokens of a completion
//! at the price of the request. So a worker never loses more than a chunk on a channel. A client promises what it owes by its own
//! count, and for requests that run at once up to a chunk ahead for each.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, Privacy, channels::SignedVoucher, receipts::SignedReceipt};
use zeroize::Zeroizing;

use crate::{
    Amount, JobId, Salts,
    language::{TokenCount, TokenPrices},
    message::{ErrorBody, optional_voucher_json, receipt_json, voucher_json},
    meter::Route,
    sealing::SealReject,
    session::{FRAME_BYTES_MAX, FrameOpener, FrameSealer, SessionSecret},
};

/// Terms of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamHead {
    /// Random name of the request; the same name is the same request.
    pub job_id: JobId,
    /// Model to ask.
    pub model_id: B256,
    /// Which door of the engine.
    pub route: Route,
    /// Who can see the request.
    pub privacy: Privacy,
    /// Why the answer will be believed.
    pub evidence: Evidence,
    /// What the client understood the worker to ask.
    pub prices: TokenPrices,
    /// Most that this request may cost: it ends where more would be owed.
    pub limit: Amount,
    /// The best voucher, if the worker does not have it yet.
    #[serde(default, with = "optional_voucher_json", skip_serializing_if = "Option::is_none")]
    pub voucher: Option<SignedVoucher>,
}

/// Which session a sealed request is in, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The session.
    pub session_id: B256,
    /// Number of the request, from 0, never used twice.
    pub sequence: u64,
}

/// Part of an answer.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// The engine began to answer.
    Head {
        /// HTTP status. From 400 on nothing is owed.
        status: u16,
        /// Tokens of the prompt as the worker counted them.
        prompt_tokens: u64,
        /// As the engine said it.
        content_type: String,
    },
    /// Bytes of the answer.
    Data(Vec<u8>),
    /// More comes once so much is promised on the channel.
    Wait {
        /// Cumulative.
        promised: Amount,
    },
    /// All is said.
    End(Box<End>),
    /// Nothing was given.
    Refusal(Box<ErrorBody>),
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The engine said all.
    Complete,
    /// The client left.
    Cancelled,
    /// More would have cost more than the request may.
    Limit,
    /// No voucher came in time.
    Unpaid,
    /// The engine broke off.
    EngineFailed,
    /// The worker is closing down.
    Drained,
}

/// The worker's account of a request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Why nothing more comes.
    pub reason: EndReason,
    /// What was counted.
    pub tokens: TokenCount,
    /// Openings of the receipt's commitments.
    pub salts: Salts,
    /// Over the bytes of the request (route and body), of the answer (all data), and, as evidence, of the [`TokenBill`](crate::language::TokenBill).
    #[serde(with = "receipt_json")]
    pub receipt: SignedReceipt,
}

/// Body of `POST /v1/payments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// Cumulative promise.
    #[serde(with = "voucher_json")]
    pub voucher: SignedVoucher,
}

/// What a worker knows of a channel that pays for streams: answer to a payment and to `GET /v1/accounts/{channel id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Which channel.
    pub channel_id: B256,
    /// What its requests cost so far.
    pub owed: Amount,
    /// Best voucher; the client checks that it signed it.
    #[serde(default, with = "optional_voucher_json", skip_serializing_if = "Option::is_none")]
    pub voucher: Option<SignedVoucher>,
    /// Requests that are being answered.
    pub running: u32,
}

/// Why the bytes of a request or of an answer are refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamReject {
    /// Sealed bytes that do not open.
    #[error(transparent)]
    Seal(#[from] SealReject),
    /// Another format.
    #[error("unknown version of a request")]
    Version,
    /// Bytes are missing.
    #[error("{what} ends early")]
    Truncated {
        /// What.
        what: &'static str,
    },
    /// Longer than allowed.
    #[error("{what} has at most {limit} bytes, got {got}")]
    TooLong {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The length.
        got: usize,
    },
    /// JSON that is not what stands here.
    #[error("{what} cannot be read: {source}")]
    Json {
        /// What.
        what: &'static str,
        /// What the reader missed.
        source: serde_json::Error,
    },
    /// No frame has this kind.
    #[error("unknown kind {got} of a frame")]
    Kind {
        /// What is there.
        got: u8,
    },
    /// The last frame is no end, or an end is not the last frame.
    #[error("the answer ends where it should not")]
    Order,
}

/// Longest body for an engine.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest sealed request.
pub const REQUEST_BYTES_MAX: usize = BODY_BYTES_MAX + BODY_BYTES_MAX / 8 + HEAD_BYTES_MAX;
/// Most bytes of an answer in one frame.
pub const DATA_BYTES_MAX: usize = FRAME_BYTES_MAX - 1;

const HEAD_BYTES_MAX: usize = 16 * 1024;
const VERSION: u8 = 2;
/// Bytes of an [`Envelope`].
pub const ENVELOPE_BYTES: usize = 1 + 32 + 8;

impl core::fmt::Debug for Frame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Head { status, prompt_tokens, .. } => write!(f, "Head({status}, {prompt_tokens} tokens)"),
            Self::Data(bytes) => write!(f, "Data({} bytes)", bytes.len()),
            Self::Wait { promised } => write!(f, "Wait({promised})"),
            Self::End(end) => write!(f, "End({:?})", end.reason),
            Self::Refusal(body) => write!(f, "Refusal({})", body.code),
        }
    }
}

impl core::fmt::Debug for End {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("End")
            .field("reason", &self.reason)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

/// Puts a request in its travelling form.
///
/// # Errors
/// [`StreamReject::TooLong`], or the sealing's.
pub fn seal_request(
    secret: &SessionSecret,
    envelope: Envelope,
    head: &StreamHead,
    body: &[u8],
) -> Result<Vec<u8>, StreamReject> {
    let (limit, got) = (BODY_BYTES_MAX, body.len());
    if got > limit {
        return Err(StreamReject::TooLong { what: "the request", limit, got });
    }
    let plaintext = Zeroizing::new(join(head, body)?);
    let sealed = secret.seal_request(envelope.sequence, &plaintext)?;
    Ok([[VERSION].as_slice(), envelope.session_id.as_slice(), &envelope.sequence.to_le_bytes(), &sealed]
        .concat())
}

/// Reads where a request belongs, and leaves what is sealed.
///
/// # Errors
/// [`StreamReject::Version`], [`StreamReject::Truncated`], [`StreamReject::TooLong`].
pub fn read_envelope(bytes: &[u8]) -> Result<(Envelope, &[u8]), StreamReject> {
    let (limit, got) = (REQUEST_BYTES_MAX, bytes.len());
    if got > limit {
        return Err(StreamReject::TooLong { what: "the request", limit, got });
    }
    let (envelope, sealed) =
        bytes.split_first_chunk::<ENVELOPE_BYTES>().ok_or(StreamReject::Truncated { what: "the request" })?;
    let (version, rest) = envelope.split_first().ok_or(StreamReject::Version)?;
    if *version != VERSION {
        return Err(StreamReject::Version);
    }
    let (session_id, sequence) =
        rest.split_first_chunk::<32>().ok_or(StreamReject::Truncated { what: "the request" })?;
    let sequence = sequence.first_chunk::<8>().ok_or(StreamReject::Truncated { what: "the request" })?;
    let envelope = Envelope { session_id: B256::from(session_id), sequence: u64::from_le_bytes(*sequence) };
    Ok((envelope, sealed))
}

/// Opens what [`read_envelope`] left.
///
/// # Errors
/// [`StreamReject`].
pub fn open_request(
    secret: &SessionSecret,
    sequence: u64,
    sealed: &[u8],
) -> Result<(StreamHead, Zeroizing<Vec<u8>>), StreamReject> {
    let plaintext = secret.open_request(sequence, sealed)?;
    let (head, body) = split(&plaintext, "the request", HEAD_BYTES_MAX)?;
    let (limit, got) = (BODY_BYTES_MAX, body.len());
    if got > limit {
        return Err(StreamReject::TooLong { what: "the request", limit, got });
    }
    Ok((head, Zeroizing::new(body.to_vec())))
}

/// `head length (u32) || head (JSON) || rest`.
pub(crate) fn join(head: &impl Serialize, rest: &[u8]) -> Result<Vec<u8>, StreamReject> {
    let head = serde_json::to_vec(head).map_err(|source| StreamReject::Json { what: "the head", source })?;
    let length = u32::try_from(head.len()).map_err(|_| SealReject::TooLong)?;
    Ok([&length.to_le_bytes(), head.as_slice(), rest].concat())
}

/// What [`join`] put together, if its head has at most so many bytes.
pub(crate) fn split<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    what: &'static str,
    head_bytes_max: usize,
) -> Result<(T, &'a [u8]), StreamReject> {
    let truncated = || StreamReject::Truncated { what };
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(truncated)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| truncated())?;
    if length > head_bytes_max {
        return Err(StreamReject::TooLong { what: "the head", limit: head_bytes_max, got: length });
    }
    let (head, rest) = rest.split_at_checked(length).ok_or_else(truncated)?;
    let head =
        serde_json::from_slice(head).map_err(|source| StreamReject::Json { what: "the head", source })?;
    Ok((head, rest))
}

impl Frame {
    /// Whether nothing comes after it.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::End(_) | Self::Refusal(_))
    }

    /// Seals it, with its length before it.
    ///
    /// # Errors
    /// [`StreamReject`].
    pub fn seal(&self, sealer: &mut FrameSealer) -> Result<Vec<u8>, StreamReject> {
        let sealed = sealer.seal(&Zeroizing::new(self.encode()?), self.is_last())?;
        let length = u32::try_from(sealed.len()).map_err(|_| SealReject::TooLong)?;
        Ok([length.to_le_bytes().as_slice(), &sealed].concat())
    }

    /// Opens the next frame, without its length.
    ///
    /// # Errors
    /// [`StreamReject`].
    pub fn open(opener: &mut FrameOpener, sealed: &[u8]) -> Result<Self, StreamReject> {
        let (plaintext, last) = opener.open(sealed)?;
        let frame = Self::decode(&plaintext)?;
        if frame.is_last() == last { Ok(frame) } else { Err(StreamReject::Order) }
    }

    fn encode(&self) -> Result<Vec<u8>, StreamReject> {
        let json =
            |what, json: Result<Vec<u8>, _>| json.map_err(|source| StreamReject::Json { what, source });
        Ok(match self {
            Self::Head { status, prompt_tokens, content_type } => {
                [[0].as_slice(), &status.to_le_bytes(), &prompt_tokens.to_le_bytes(), content_type.as_bytes()]
                    .concat()
            }
            Self::Data(bytes) => [[1].as_slice(), bytes].concat(),
            Self::Wait { promised } => [[2].as_slice(), &promised.0.to_le_bytes()].concat(),
            Self::End(end) => [[3].as_slice(), &json("the end", serde_json::to_vec(end))?].concat(),
            Self::Refusal(body) => [[4].as_slice(), &json("the refusal", serde_json::to_vec(body))?].concat(),
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, StreamReject> {
        let truncated = |what| move || StreamReject::Truncated { what };
        let (kind, payload) = bytes.split_first().ok_or_else(truncated("a frame"))?;
        match kind {
            0 => {
                let (status, rest) = payload.split_first_chunk::<2>().ok_or_else(truncated("the head"))?;
                let (tokens, rest) = rest.split_first_chunk::<8>().ok_or_else(truncated("the head"))?;
                Ok(Self::Head {
                    status: u16::from_le_bytes(*status),
                    prompt_tokens: u64::from_le_bytes(*tokens),
                    content_type: printable_type(rest),
                })
            }
            1 => Ok(Self::Data(payload.to_vec())),
            2 => {
                let promised = <[u8; 16]>::try_from(payload).map_err(|_| truncated("a wait")())?;
                Ok(Self::Wait { promised: Amount(u128::from_le_bytes(promised)) })
            }
            3 => serde_json::from_slice(payload)
                .map(|end| Self::End(Box::new(end)))
                .map_err(|source| StreamReject::Json { what: "the end", source }),
            4 => serde_json::from_slice(payload)
                .map(|body| Self::Refusal(Box::new(body)))
                .map_err(|source| StreamReject::Json { what: "the refusal", source }),
            got => Err(StreamReject::Kind { got: *got }),
        }
    }
}

const CONTENT_TYPE_BYTES_MAX: usize = 128;

/// What a remote party says that a content type is, fit for a header.
pub(crate) fn printable_type(bytes: &[u8]) -> String {
    let printable = bytes.iter().filter(|byte| (b' '..=b'~').contains(*byte));
    printable.take(CONTENT_TYPE_BYTES_MAX).map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use tacit_abi::{Receipt, Voucher};

    use super::*;
    use crate::{
        Wallet,
        session::{SEALED_FRAME_BYTES_MAX, SessionKey, SessionOpen, random_session_id},
    };

    fn secrets() -> (SessionSecret, SessionSecret, B256) {
        let key = SessionKey::random();
        let open = SessionOpen {
            chain_id: 7,
            session_id: random_session_id(),
            channel_id: B256::repeat_byte(1),
            client: Address::repeat_byte(2),
            worker: Address::repeat_byte(3),
            opened_at: 5,
            guest_key: None,
            enc: Vec::new(),
        };
        let (open, client) = open.begin(&key.public()).unwrap();
        let session_id = open.session_id;
        (client, key.accept(&open).unwrap(), session_id)
    }

    fn head() -> StreamHead {
        let wallet = Wallet::random();
        let voucher = Voucher { channelId: B256::repeat_byte(1), cumulative: 9 };
        StreamHead {
            job_id: JobId::random(),
            model_id: B256::repeat_byte(4),
            route: Route::ChatCompletions,
            privacy: Privacy::Sealed,
            evidence: Evidence::Signed,
            prices: TokenPrices::default(),
            limit: Amount(100),
            voucher: Some(wallet.sign_voucher(voucher, 7)),
        }
    }

    fn end() -> End {
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
            price: 1,
            cumulative: 2,
            completedAt: 3,
        };
        End {
            reason: EndReason::Complete,
            tokens: TokenCount { prompt: 3, completion: 4 },
            salts: Salts::random(),
            receipt: Wallet::random().sign_receipt(receipt, 7),
        }
    }

    #[test]
    fn a_request_travels_and_is_itself_only() {
        let (client, worker, session_id) = secrets();
        let (head, envelope) = (head(), Envelope { session_id, sequence: 3 });
        let bytes = seal_request(&client, envelope, &head, b"{\"stream\":true}").unwrap();
        let (read, sealed) = read_envelope(&bytes).unwrap();
        assert_eq!(read, envelope);
        let (opened, body) = open_request(&worker, 3, sealed).unwrap();
        assert_eq!((opened, body.as_slice()), (head.clone(), b"{\"stream\":true}".as_slice()));
        assert!(matches!(open_request(&worker, 4, sealed), Err(StreamReject::Seal(SealReject::Open))));
        assert!(matches!(read_envelope(&bytes[..40]), Err(StreamReject::Truncated { .. })));
        let mut other = bytes.clone();
        other[0] = 1;
        assert!(matches!(read_envelope(&other), Err(StreamReject::Version)));
        let long = vec![1; REQUEST_BYTES_MAX + 1];
        assert!(matches!(read_envelope(&long), Err(StreamReject::TooLong { .. })));
        let long = vec![b' '; BODY_BYTES_MAX + 1];
        assert!(matches!(seal_request(&client, envelope, &head, &long), Err(StreamReject::TooLong { .. })));
        let largest = seal_request(&client, envelope, &head, &long[1..]).unwrap();
        assert!(read_envelope(&largest).is_ok());
    }

    #[test]
    fn a_sealed_request_that_is_none_is_refused() {
        let (client, worker, _) = secrets();
        let open = |plaintext: &[u8]| {
            open_request(&worker, 0, &client.seal_request(0, plaintext).unwrap()).err().unwrap()
        };
        assert!(matches!(open(b"ab"), StreamReject::Truncated { .. }));
        assert!(matches!(open(&[9, 0, 0, 0, b'{']), StreamReject::Truncated { .. }));
        assert!(matches!(open(&[0, 0, 1, 0]), StreamReject::TooLong { .. }));
        assert!(matches!(open(&[2, 0, 0, 0, b'{', b'}']), StreamReject::Json { .. }));
    }

    #[test]
    fn every_frame_travels() {
        let (client, worker, _) = secrets();
        let frames = [
            Frame::Head { status: 200, prompt_tokens: 12, content_type: "text/event-stream".to_owned() },
            Frame::Data(vec![7; DATA_BYTES_MAX]),
            Frame::Data(Vec::new()),
            Frame::Wait { promised: Amount(u128::MAX) },
            Frame::End(Box::new(end())),
        ];
        let (mut sealer, mut opener) = (worker.sealer(0), client.opener(0));
        for frame in frames {
            let sealed = frame.seal(&mut sealer).unwrap();
            let (length, sealed) = sealed.split_first_chunk::<4>().unwrap();
            assert_eq!(u32::from_le_bytes(*length) as usize, sealed.len());
            assert!(sealed.len() <= SEALED_FRAME_BYTES_MAX);
            assert_eq!(Frame::open(&mut opener, sealed).unwrap(), frame);
        }
        let refusal = ErrorBody {
            code: "busy".to_owned(),
            message: "no".to_owned(),
            hint: String::new(),
            demand: None,
            opens_at: None,
        };
        let refusal = Frame::Refusal(Box::new(refusal));
        let sealed = refusal.seal(&mut worker.sealer(1)).unwrap();
        assert_eq!(Frame::open(&mut client.opener(1), &sealed[4..]).unwrap(), refusal);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let (client, worker, _) = secrets();
        let open = |plaintext: &[u8], last| {
            let sealed = worker.sealer(0).seal(plaintext, last).unwrap();
            Frame::open(&mut client.opener(0), &sealed).err().unwrap()
        };
        assert!(matches!(open(&[], false), StreamReject::Truncated { .. }));
        assert!(matches!(open(&[0, 1], false), StreamReject::Truncated { .. }));
        assert!(matches!(open(&[0, 1, 0, 1], false), StreamReject::Truncated { .. }));
        assert!(matches!(open(&[2, 1], false), StreamReject::Truncated { .. }));
        assert!(matches!(open(&[3, b'{', b'}'], true), StreamReject::Json { what: "the end", .. }));
        assert!(matches!(open(&[4, b'{', b'}'], true), StreamReject::Json { what: "the refusal", .. }));
        assert!(matches!(open(&[5], false), StreamReject::Kind { got: 5 }));
        assert!(matches!(open(&[1, 2], true), StreamReject::Order), "data cannot end an answer");
        let early = [[3].as_slice(), &serde_json::to_vec(&end()).unwrap()].concat();
        assert!(matches!(open(&early, false), StreamReject::Order));
    }

    #[test]
    fn a_content_type_is_kept_printable() {
        let head = Frame::decode(&[[0, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0].as_slice(), b"a\x1b\n/b"].concat());
        assert!(matches!(head.unwrap(), Frame::Head { content_type, .. } if content_type == "a/b"));
    }
}
