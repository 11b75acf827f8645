//! A job: its public terms, and its payload in the clear, sealed to a worker or to a guest, or encrypted.
//!
//! # Binding
//! The HPKE `info` names the protocol version, chain, worker and model; the associated data is the whole header. The
//! channel's signer signs the EIP-712 type `Job`: the header and the hash of the payload. So nobody can move a payload
//! to another header, spend a client's credit, or reuse either on another chain.
//!
//! # Payload
//! `version (1) || count (u32) || values (i64 each)`, little endian, raw values in units of `2^-24`; or, encrypted, the bytes of a query
//! (`specs/0004-encrypted.md`), which are nothing but bytes here. An encrypted job travels both ways in the clear: there is nothing to
//! seal that the worker itself could read.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, Privacy};
use zeroize::Zeroizing;

use crate::{
    Amount, ResponseKey, SealReject, SealingKey,
    sealing::{self, ENC_BYTES, Sealed},
    wallet::{self, SignatureReject},
};

/// Random name of a job, chosen by the client; sending it again is the same job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub B256);

/// Public terms of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobHeader {
    /// Ledger that keeps the channel.
    pub chain_id: u64,
    /// Name of this job.
    pub job_id: JobId,
    /// Model to run.
    pub model_id: B256,
    /// Channel that pays.
    pub channel_id: B256,
    /// Owner of the channel.
    pub client: Address,
    /// Who is asked.
    pub worker: Address,
    /// Who can see the input.
    pub privacy: Privacy,
    /// Why the answer will be believed.
    pub evidence: Evidence,
    /// Price of this job.
    pub price: Amount,
    /// What the channel owes in all once this job is paid.
    pub cumulative: Amount,
}

/// Encoded input as it travels.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Payload {
    /// Readable by anyone on the path.
    Clear {
        /// Payload bytes.
        #[serde(with = "crate::message::base64_bytes")]
        body: Vec<u8>,
    },
    /// Readable by the worker only.
    Sealed {
        /// Encapsulated key.
        enc: B256,
        /// Sealed payload bytes.
        #[serde(with = "crate::message::base64_bytes")]
        body: Vec<u8>,
    },
    /// Readable by the one guest only that the session's key lives in.
    Enclave {
        /// Public key of the session, which hardware vouched for.
        session: B256,
        /// Encapsulated key.
        enc: B256,
        /// Sealed payload bytes.
        #[serde(with = "crate::message::base64_bytes")]
        body: Vec<u8>,
    },
    /// Readable by the client only.
    Encrypted {
        /// A query.
        #[serde(with = "crate::message::base64_bytes")]
        body: Vec<u8>,
    },
}

/// What a worker finds in a payload.
#[expect(missing_debug_implementations, reason = "it may hold the client's input")]
pub enum Contents {
    /// Raw values in units of `2^-24`.
    Values(Zeroizing<Vec<i64>>),
    /// A query, which only its client can read.
    Query(Vec<u8>),
}

/// How the answer to a job travels back.
#[expect(missing_debug_implementations, reason = "it may hold a secret key")]
pub enum ReturnPath {
    /// In the clear.
    Clear,
    /// Sealed under a key that only client and worker know.
    Sealed {
        /// Encapsulated key of the job.
        enc: [u8; ENC_BYTES],
        /// Key of the answer.
        key: ResponseKey,
    },
}

/// Why a payload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadReject {
    /// Sealed bytes that do not open.
    #[error(transparent)]
    Seal(#[from] SealReject),
    /// The payload's form is not the header's privacy.
    #[error("the payload does not match the privacy {privacy} of its header")]
    WrongForm {
        /// What the header says.
        privacy: Privacy,
    },
    /// This build does not do that privacy.
    #[error("privacy {privacy} is not supported")]
    UnsupportedPrivacy {
        /// What the header says.
        privacy: Privacy,
    },
    /// Another format.
    #[error("unknown payload version")]
    Version,
    /// More values than any model takes.
    #[error("at most {limit} values are allowed, got {got}")]
    TooManyValues {
        /// The limit.
        limit: usize,
        /// Values announced.
        got: usize,
    },
    /// A query longer than any.
    #[error("a query has at most {limit} bytes, got {got}")]
    QueryLength {
        /// The limit.
        limit: usize,
        /// Its length.
        got: usize,
    },
    /// Bytes are missing or left over.
    #[error("the payload is {got} bytes, not {expected}")]
    Length {
        /// Bytes the count asks for.
        expected: usize,
        /// Bytes there are.
        got: usize,
    },
}

/// Most values in one input.
pub const VALUES_MAX: usize = 1 << 16;
/// Largest payload body, sealed and padded.
pub const PAYLOAD_BYTES_MAX: usize = 1152 * 1024;
/// Largest query.
pub const QUERY_BYTES_MAX: usize = 512 * 1024;

const PAYLOAD_VERSION: u8 = 1;
const INFO_LABEL: &[u8] = b"tacit job v1";
const PREFIX_BYTES: usize = 5;

alloy_sol_types::sol! {
    /// What a channel's signer authorises.
    struct Job {
        bytes32 jobId;
        bytes32 modelId;
        bytes32 channelId;
        address client;
        address worker;
        uint8 privacy;
        uint8 evidence;
        uint128 price;
        uint128 cumulative;
        bytes32 payloadHash;
    }
}

impl JobId {
    /// A fresh name.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0_u8; 32];
        rand::rng().fill_bytes(&mut bytes);
        Self(B256::from(bytes))
    }
}

impl core::fmt::Display for JobId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl core::str::FromStr for JobId {
    type Err = alloy_primitives::hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl core::fmt::Debug for Payload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (form, body) = match self {
            Self::Clear { body } => ("clear", body),
            Self::Sealed { body, .. } => ("sealed", body),
            Self::Enclave { body, .. } => ("enclave", body),
            Self::Encrypted { body } => ("encrypted", body),
        };
        write!(f, "Payload({form}, {} bytes)", body.len())
    }
}

impl JobHeader {
    /// Digest that the channel's signer signs.
    #[must_use]
    pub fn digest(&self, payload: &Payload) -> B256 {
        Job {
            jobId: self.job_id.0,
            modelId: self.model_id,
            channelId: self.channel_id,
            client: self.client,
            worker: self.worker,
            privacy: self.privacy as u8,
            evidence: self.evidence as u8,
            price: self.price.0,
            cumulative: self.cumulative.0,
            payloadHash: payload.hash(),
        }
        .eip712_signing_hash(&domain(self.chain_id))
    }

    /// Account that authorised this header with this payload.
    ///
    /// # Errors
    /// [`SignatureReject`].
    pub fn signer(&self, payload: &Payload, signature: &Bytes) -> Result<Address, SignatureReject> {
        wallet::recover(self.digest(payload), signature)
    }

    fn info(&self) -> Vec<u8> {
        [INFO_LABEL, &self.chain_id.to_be_bytes(), self.worker.as_slice(), self.model_id.as_slice()].concat()
    }

    /// Every field at a fixed width.
    fn associated_data(&self) -> Vec<u8> {
        [
            INFO_LABEL,
            &self.chain_id.to_be_bytes(),
            self.job_id.0.as_slice(),
            self.model_id.as_slice(),
            self.channel_id.as_slice(),
            self.client.as_slice(),
            self.worker.as_slice(),
            &[self.privacy as u8, self.evidence as u8],
            &self.price.0.to_be_bytes(),
            &self.cumulative.0.to_be_bytes(),
        ]
        .concat()
    }
}

/// EIP-712 domain of the type `Job`.
#[must_use]
pub fn domain(chain_id: u64) -> Eip712Domain {
    alloy_sol_types::eip712_domain! {
        name: "Tacit Jobs",
        version: "1",
        chain_id: chain_id,
        verifying_contract: tacit_abi::channels::ADDRESS,
    }
}

impl Payload {
    /// Puts raw values in the form that the header's privacy asks for; for encrypted jobs, see [`Self::encrypted`]. The key is the one in the
    /// worker's ask, or with privacy `enclave` that of a session, which the caller MUST have had vouched for.
    ///
    /// # Errors
    /// [`PayloadReject::UnsupportedPrivacy`], [`PayloadReject::TooManyValues`] or a bad `sealing_key`.
    pub fn make(
        header: &JobHeader,
        sealing_key: B256,
        values: &[i64],
    ) -> Result<(Self, ReturnPath), PayloadReject> {
        let body = encode_values(values)?;
        match header.privacy {
            Privacy::Clear => Ok((Self::Clear { body: body.to_vec() }, ReturnPath::Clear)),
            Privacy::Sealed | Privacy::Enclave => {
                let (Sealed { enc, ciphertext: body }, key) =
                    sealing::seal(sealing_key, &header.info(), &header.associated_data(), &body)?;
                let path = ReturnPath::Sealed { enc, key };
                let enc = B256::from(enc);
                let payload = match header.privacy {
                    Privacy::Enclave => Self::Enclave { session: sealing_key, enc, body },
                    _ => Self::Sealed { enc, body },
                };
                Ok((payload, path))
            }
            privacy => Err(PayloadReject::UnsupportedPrivacy { privacy }),
        }
    }

    /// A query as it travels.
    ///
    /// # Errors
    /// [`PayloadReject::QueryLength`].
    pub fn encrypted(query: Vec<u8>) -> Result<(Self, ReturnPath), PayloadReject> {
        check_query_length(&query)?;
        Ok((Self::Encrypted { body: query }, ReturnPath::Clear))
    }

    /// Reads, as the worker, what there is to read; with privacy `enclave` with the key of the session that the payload names.
    ///
    /// # Errors
    /// [`PayloadReject`].
    pub fn open(
        &self,
        header: &JobHeader,
        key: &SealingKey,
    ) -> Result<(Contents, ReturnPath), PayloadReject> {
        match (self, header.privacy) {
            (Self::Clear { body }, Privacy::Clear) => {
                Ok((Contents::Values(decode_values(body)?), ReturnPath::Clear))
            }
            (Self::Sealed { enc, body }, Privacy::Sealed)
            | (Self::Enclave { enc, body, .. }, Privacy::Enclave) => {
                let sealed = Sealed { enc: enc.0, ciphertext: body.clone() };
                let (opened, key) = key.open(&sealed, &header.info(), &header.associated_data())?;
                Ok((Contents::Values(decode_values(&opened)?), ReturnPath::Sealed { enc: enc.0, key }))
            }
            (Self::Encrypted { body }, Privacy::Encrypted) => {
                check_query_length(body)?;
                Ok((Contents::Query(body.clone()), ReturnPath::Clear))
            }
            (_, privacy @ (Privacy::Clear | Privacy::Sealed | Privacy::Enclave | Privacy::Encrypted)) => {
                Err(PayloadReject::WrongForm { privacy })
            }
            (_, privacy) => Err(PayloadReject::UnsupportedPrivacy { privacy }),
        }
    }

    /// Bytes that travel.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        let (Self::Clear { body }
        | Self::Sealed { body, .. }
        | Self::Enclave { body, .. }
        | Self::Encrypted { body }) = self;
        body
    }

    /// The session that the payload is sealed to, where it is one's.
    #[must_use]
    pub fn session(&self) -> Option<B256> {
        if let Self::Enclave { session, .. } = self { Some(*session) } else { None }
    }

    /// `keccak256(form || session || enc || body)`; only a sealed payload has `enc`, and only one sealed to a session names it.
    #[must_use]
    pub fn hash(&self) -> B256 {
        match self {
            Self::Clear { body } => keccak256([[0].as_slice(), body].concat()),
            Self::Sealed { enc, body } => keccak256([[1].as_slice(), enc.as_slice(), body].concat()),
            Self::Encrypted { body } => keccak256([[2].as_slice(), body].concat()),
            Self::Enclave { session, enc, body } => {
                keccak256([[3].as_slice(), session.as_slice(), enc.as_slice(), body].concat())
            }
        }
    }
}

impl ReturnPath {
    /// Puts an encoded answer in its travelling form.
    ///
    /// # Errors
    /// [`SealReject`].
    pub fn wrap(&self, answer: Vec<u8>) -> Result<Vec<u8>, SealReject> {
        match self {
            Self::Clear => Ok(answer),
            Self::Sealed { enc, key } => key.seal(enc, &answer),
        }
    }

    /// Reads the travelling form.
    ///
    /// # Errors
    /// [`SealReject`].
    pub fn unwrap(&self, body: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealReject> {
        match self {
            Self::Clear => Ok(Zeroizing::new(body.to_vec())),
            Self::Sealed { enc, key } => key.open(enc, body),
        }
    }
}

fn check_query_length(query: &[u8]) -> Result<(), PayloadReject> {
    let (limit, got) = (QUERY_BYTES_MAX, query.len());
    if got > limit { Err(PayloadReject::QueryLength { limit, got }) } else { Ok(()) }
}

fn encode_values(values: &[i64]) -> Result<Zeroizing<Vec<u8>>, PayloadReject> {
    let too_many = PayloadReject::TooManyValues { limit: VALUES_MAX, got: values.len() };
    let count = u32::try_from(values.len()).map_err(|_| too_many)?;
    if values.len() > VALUES_MAX {
        return Err(too_many);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(PREFIX_BYTES + 8 * values.len()));
    body.push(PAYLOAD_VERSION);
    body.extend_from_slice(&count.to_le_bytes());
    values.iter().for_each(|value| body.extend_from_slice(&value.to_le_bytes()));
    Ok(body)
}

fn decode_values(body: &[u8]) -> Result<Zeroizing<Vec<i64>>, PayloadReject> {
    let short = PayloadReject::Length { expected: PREFIX_BYTES, got: body.len() };
    let ([version, count @ ..], values) = body.split_first_chunk::<PREFIX_BYTES>().ok_or(short)?;
    if *version != PAYLOAD_VERSION {
        return Err(PayloadReject::Version);
    }
    let count = usize::try_from(u32::from_le_bytes(*count)).unwrap_or(usize::MAX);
    if count > VALUES_MAX {
        return Err(PayloadReject::TooManyValues { limit: VALUES_MAX, got: count });
    }
    let expected = PREFIX_BYTES + 8 * count;
    if body.len() != expected {
        return Err(PayloadReject::Length { expected, got: body.len() });
    }
    let (chunks, _) = values.as_chunks::<8>();
    Ok(Zeroizing::new(chunks.iter().map(|chunk| i64::from_le_bytes(*chunk)).collect()))
}

#[cfg(test)]
pub(crate) mod tests {
    use alloy_primitives::address;

    use super::*;
    use crate::Wallet;

    pub(crate) fn header(privacy: Privacy) -> JobHeader {
        JobHeader {
            chain_id: 7,
            job_id: JobId(B256::repeat_byte(1)),
            model_id: B256::repeat_byte(2),
            channel_id: B256::repeat_byte(3),
            client: address!("0000000000000000000000000000000000000004"),
            worker: address!("0000000000000000000000000000000000000005"),
            privacy,
            evidence: Evidence::Proved,
            price: Amount(6),
            cumulative: Amount(7),
        }
    }

    /// Each field of a header changed, one at a time.
    fn altered(header: JobHeader) -> Vec<JobHeader> {
        vec![
            JobHeader { chain_id: 8, ..header },
            JobHeader { job_id: JobId(B256::ZERO), ..header },
            JobHeader { model_id: B256::ZERO, ..header },
            JobHeader { channel_id: B256::ZERO, ..header },
            JobHeader { client: Address::ZERO, ..header },
            JobHeader { worker: Address::ZERO, ..header },
            JobHeader { evidence: Evidence::Signed, ..header },
            JobHeader { price: Amount(5), ..header },
            JobHeader { cumulative: Amount(8), ..header },
        ]
    }

    #[test]
    fn values_arrive_in_both_forms() {
        let key = SealingKey::random();
        let values = [0, -1, i64::MAX, i64::MIN];
        for privacy in [Privacy::Clear, Privacy::Sealed, Privacy::Enclave] {
            let header = header(privacy);
            let (payload, client_path) = Payload::make(&header, key.public(), &values).unwrap();
            let json = serde_json::to_string(&payload).unwrap();
            let payload: Payload = serde_json::from_str(&json).unwrap();
            let (Contents::Values(opened), worker_path) = payload.open(&header, &key).unwrap() else {
                panic!("not values")
            };
            assert_eq!(opened.as_slice(), values);
            let body = worker_path.wrap(b"answer".to_vec()).unwrap();
            assert_eq!(client_path.unwrap(&body).unwrap().as_slice(), b"answer");
        }
    }

    #[test]
    fn a_query_arrives_as_it_is() {
        let (key, header) = (SealingKey::random(), header(Privacy::Encrypted));
        let (payload, client_path) = Payload::encrypted(vec![1, 2, 3]).unwrap();
        let json = serde_json::to_string(&payload).unwrap();
        assert_eq!(json, r#"{"encrypted":{"body":"AQID"}}"#);
        let payload: Payload = serde_json::from_str(&json).unwrap();
        let (Contents::Query(query), worker_path) = payload.open(&header, &key).unwrap() else {
            panic!("not a query")
        };
        assert_eq!(query, [1, 2, 3]);
        let body = worker_path.wrap(b"answer".to_vec()).unwrap();
        assert_eq!(
            (body.as_slice(), client_path.unwrap(&body).unwrap().as_slice()),
            (&b"answer"[..], &b"answer"[..])
        );
        // The same bytes in another form are signed for as something else.
        assert_ne!(payload.hash(), Payload::Clear { body: vec![1, 2, 3] }.hash());
        let limit = QUERY_BYTES_MAX;
        assert!(Payload::encrypted(vec![0; limit]).is_ok());
        let long = Payload::Encrypted { body: vec![0; limit + 1] };
        let refused = PayloadReject::QueryLength { limit, got: limit + 1 };
        assert_eq!(long.open(&header, &key).err(), Some(refused));
        assert_eq!(Payload::encrypted(vec![0; limit + 1]).err(), Some(refused));
    }

    #[test]
    fn a_sealed_payload_opens_under_its_own_header_only() {
        let key = SealingKey::random();
        let header = header(Privacy::Sealed);
        let (payload, _) = Payload::make(&header, key.public(), &[1, 2, 3]).unwrap();
        for other in altered(header) {
            assert_eq!(payload.open(&other, &key).err(), Some(PayloadReject::Seal(SealReject::Open)));
        }
    }

    /// What is sealed to a guest is nothing that the same key opens as sealed to a worker, nor is its hash the other's.
    #[test]
    fn a_payload_for_a_session_is_no_sealed_one() {
        let (key, enclave) = (SealingKey::random(), header(Privacy::Enclave));
        let (payload, _) = Payload::make(&enclave, key.public(), &[1, 2, 3]).unwrap();
        assert_eq!(payload.session(), Some(key.public()));
        assert!(!format!("{payload:?}").contains("[1, 2, 3]"));
        let Payload::Enclave { session, enc, body } = payload.clone() else { panic!("no session") };
        let sealed = Payload::Sealed { enc, body: body.clone() };
        assert_eq!(sealed.session(), None);
        assert_ne!(sealed.hash(), payload.hash());
        assert_ne!(Payload::Enclave { session: enc, enc, body }.hash(), payload.hash());
        assert_ne!(session, enc);
        for (payload, privacy) in [(&sealed, Privacy::Enclave), (&payload, Privacy::Sealed)] {
            let wrong = Some(PayloadReject::WrongForm { privacy });
            assert_eq!(payload.open(&header(privacy), &key).err(), wrong);
        }
        let opened = sealed.open(&header(Privacy::Sealed), &key).err();
        assert_eq!(opened, Some(PayloadReject::Seal(SealReject::Open)));
        for other in altered(enclave) {
            assert_eq!(payload.open(&other, &key).err(), Some(PayloadReject::Seal(SealReject::Open)));
        }
        let another = payload.open(&enclave, &SealingKey::random()).err();
        assert_eq!(another, Some(PayloadReject::Seal(SealReject::Open)));
    }

    #[test]
    fn a_signature_covers_every_field_and_the_payload() {
        let wallet = Wallet::random();
        let header = header(Privacy::Clear);
        let (payload, _) = Payload::make(&header, B256::ZERO, &[1, 2, 3]).unwrap();
        let (changed, _) = Payload::make(&header, B256::ZERO, &[1, 2, 4]).unwrap();
        let signature = wallet.sign_digest(header.digest(&payload));
        assert_eq!(header.signer(&payload, &signature), Ok(wallet.address()));
        assert_ne!(header.signer(&changed, &signature), Ok(wallet.address()));
        let sealed = JobHeader { privacy: Privacy::Sealed, ..header };
        for other in altered(header).into_iter().chain([sealed]) {
            assert_ne!(other.signer(&payload, &signature), Ok(wallet.address()), "{other:?}");
        }
    }

    /// Vectors made by `vectors/jobs/make.py` with eth-account.
    #[test]
    fn a_foreign_implementation_signs_the_same_job() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../vectors/jobs/job.json")).unwrap();
        for case in file["cases"].as_array().unwrap() {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let message = &case["message"];
            let header = JobHeader {
                chain_id: text(&case["chain_id"]).parse().unwrap(),
                job_id: text(&message["jobId"]).parse().unwrap(),
                model_id: text(&message["modelId"]).parse().unwrap(),
                channel_id: text(&message["channelId"]).parse().unwrap(),
                client: text(&message["client"]).parse().unwrap(),
                worker: text(&message["worker"]).parse().unwrap(),
                privacy: Privacy::from_u8(text(&message["privacy"]).parse().unwrap()).unwrap(),
                evidence: Evidence::from_u8(text(&message["evidence"]).parse().unwrap()).unwrap(),
                price: Amount(text(&message["price"]).parse().unwrap()),
                cumulative: Amount(text(&message["cumulative"]).parse().unwrap()),
            };
            let body = text(&case["body"]).parse::<Bytes>().unwrap().to_vec();
            let payload = match header.privacy {
                Privacy::Sealed => Payload::Sealed { enc: text(&case["enc"]).parse().unwrap(), body },
                Privacy::Encrypted => Payload::Encrypted { body },
                Privacy::Enclave => Payload::Enclave {
                    session: text(&case["session"]).parse().unwrap(),
                    enc: text(&case["enc"]).parse().unwrap(),
                    body,
                },
                _ => Payload::Clear { body },
            };
            assert_eq!(payload.hash(), text(&message["payloadHash"]).parse::<B256>().unwrap());
            let digest = header.digest(&payload);
            assert_eq!(digest, text(&case["digest"]).parse::<B256>().unwrap());
            let theirs: Bytes = text(&case["signature"]).parse().unwrap();
            let signer: Address = text(&case["signer"]).parse().unwrap();
            assert_eq!(header.signer(&payload, &theirs), Ok(signer));
            let wallet = Wallet::from_hex(&text(&case["key"])).unwrap();
            assert_eq!(wallet.sign_digest(digest), theirs);
        }
    }

    #[test]
    fn the_form_must_be_the_announced_one() {
        let key = SealingKey::random();
        let (clear, _) = Payload::make(&header(Privacy::Clear), key.public(), &[1]).unwrap();
        let (encrypted, _) = Payload::encrypted(vec![1]).unwrap();
        for (payload, privacy) in [
            (&clear, Privacy::Sealed),
            (&clear, Privacy::Encrypted),
            (&encrypted, Privacy::Clear),
            (&encrypted, Privacy::Sealed),
        ] {
            let wrong = PayloadReject::WrongForm { privacy };
            assert_eq!(payload.open(&header(privacy), &key).err(), Some(wrong));
        }
        // What is to be encrypted is never sent as values.
        let unencrypted = PayloadReject::UnsupportedPrivacy { privacy: Privacy::Encrypted };
        let values = Payload::make(&header(Privacy::Encrypted), key.public(), &[1]);
        assert_eq!(values.err(), Some(unencrypted));
        let unsupported = PayloadReject::UnsupportedPrivacy { privacy: Privacy::Shared };
        assert_eq!(clear.open(&header(Privacy::Shared), &key).err(), Some(unsupported));
        assert_eq!(Payload::make(&header(Privacy::Shared), key.public(), &[1]).err(), Some(unsupported));
    }

    #[test]
    fn malformed_values_are_refused() {
        let good = encode_values(&[1, 2]).unwrap().to_vec();
        let mut version = good.clone();
        version[0] = 9;
        let mut huge = good.clone();
        huge[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode_values(&version).err(), Some(PayloadReject::Version));
        assert!(matches!(decode_values(&huge), Err(PayloadReject::TooManyValues { .. })));
        assert!(matches!(encode_values(&vec![0; VALUES_MAX + 1]), Err(PayloadReject::TooManyValues { .. })));
        for length in 0..good.len() {
            assert!(matches!(decode_values(&good[..length]), Err(PayloadReject::Length { .. })));
        }
        let trailing = [good.as_slice(), &[0]].concat();
        assert!(matches!(decode_values(&trailing), Err(PayloadReject::Length { .. })));
    }
}
