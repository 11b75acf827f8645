//! JSON bodies of the worker's HTTP interface, and the one error shape used everywhere.

use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, Privacy, channels::SignedVoucher, receipts::SignedReceipt};

use crate::{
    Amount, JobHeader, JobId, Payload, language::TokenPrices, session::SESSION_KEY_BYTES, token::Token,
};

/// A model as a worker describes it. The reader recomputes the id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Id that the graph and the weight root must give.
    pub model_id: B256,
    /// Name the worker serves it under.
    pub name: String,
    /// Canonical graph bytes.
    #[serde(with = "base64_bytes")]
    pub graph: Vec<u8>,
    /// Hiding commitment to the weights.
    pub weight_root: B256,
    /// What it takes to ask under encryption, where the worker does that; the reader checks it against the graph.
    #[serde(default, with = "optional_base64_bytes", skip_serializing_if = "Option::is_none")]
    pub offer: Option<Vec<u8>>,
    /// Why the worker does not answer under encryption, in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misfit: Option<String>,
}

/// Asks for one answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// Public terms.
    pub header: JobHeader,
    /// The encoded input.
    pub payload: Payload,
    /// By the channel's signer over [`JobHeader::digest`].
    pub signature: Bytes,
}

/// Asks for a session with a guest: for a key, and for hardware to vouch for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestRequest {
    /// The model that will be asked.
    pub model_id: B256,
    /// The client's, drawn for this session.
    pub nonce: B256,
    /// Which kind of key is asked for.
    #[serde(default, skip_serializing_if = "GuestKey::is_for_jobs")]
    pub kind: GuestKey,
}

/// What the key of a session with a guest is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestKey {
    /// Jobs are sealed to it: X25519, 32 bytes.
    #[default]
    Jobs,
    /// Sessions of streams are agreed with it: X-Wing, [`SESSION_KEY_BYTES`].
    Streams,
}

/// A session. Nothing of it has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestResponse {
    /// Public key of the kind that was asked for, in its one encoding.
    pub key: Bytes,
    /// What vouches for it (`tacit-attest`, `Evidence`).
    #[serde(with = "base64_bytes")]
    pub evidence: Vec<u8>,
}

impl GuestKey {
    /// Bytes of a public key.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Jobs => 32,
            Self::Streams => SESSION_KEY_BYTES,
        }
    }

    const fn is_for_jobs(&self) -> bool {
        matches!(self, Self::Jobs)
    }
}

/// Asks for one answer, which tokens pay for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrepaidRequest {
    /// The job; its header names no channel, but these tokens ([`crate::token::payment_id`]).
    pub job: JobRequest,
    /// What pays for it.
    pub tokens: Vec<Token>,
}

/// What a worker sells tokens under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKeyInfo {
    /// The key as RFC 9578 encodes it; its hash stands on the ledger.
    #[serde(with = "base64_bytes")]
    pub key: Vec<u8>,
}

/// Carries one answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobResponse {
    /// The job answered.
    pub job_id: JobId,
    /// Encoded [`crate::Answer`], sealed when the job was.
    #[serde(with = "base64_bytes")]
    pub body: Vec<u8>,
}

/// Pays for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoucherRequest {
    /// The job paid for.
    pub job_id: JobId,
    /// Cumulative promise.
    #[serde(with = "voucher_json")]
    pub voucher: SignedVoucher,
}

/// What the worker holds after a voucher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoucherReply {
    /// Best cumulative amount the worker can settle.
    pub cumulative: Amount,
}

/// Asks that a worker's stake speak for audited answers on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoverRequest {
    /// Which channel.
    pub channel_id: B256,
    /// For so much of what is paid over it for audited answers in this period, at least.
    pub amount: Amount,
}

/// For what a worker's stake speaks. Whoever reads it asks the ledger whether it is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverReply {
    /// The period in which it does.
    pub period: u64,
    /// How much.
    pub covered: Amount,
}

/// What the worker knows about a channel: enough for a client that lost its disk to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelInfo {
    /// Which channel.
    pub channel_id: B256,
    /// Best voucher; the client checks that it signed it.
    #[serde(default, with = "optional_voucher_json", skip_serializing_if = "Option::is_none")]
    pub voucher: Option<SignedVoucher>,
    /// The one answered job that is not paid yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpaid: Option<JobId>,
}

/// A receipt with its place on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptInfo {
    /// The receipt as the worker signed it.
    #[serde(with = "receipt_json")]
    pub receipt: SignedReceipt,
    /// Where it is anchored, once it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<AnchorProof>,
}

/// Inclusion of a receipt's leaf in an anchored batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorProof {
    /// Anchored root.
    pub root: B256,
    /// Block that anchored it, as the worker says; the ledger's `anchorOf` is the judge.
    pub block: u64,
    /// Siblings, lowest level first.
    pub siblings: Vec<B256>,
}

/// A worker, briefly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Account that signs its receipts.
    pub worker: Address,
    /// Ledger it works on.
    pub chain_id: u64,
    /// What it serves.
    pub models: Vec<ModelTerms>,
    /// Models of other engines that it serves by the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<LanguageStatus>,
    /// What all its models brought in the last days, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tallies: Vec<ModelTally>,
}

/// A model of another engine, and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanguageStatus {
    /// The model.
    pub model_id: B256,
    /// Its name.
    pub name: String,
    /// What requests cost.
    pub prices: TokenPrices,
    /// Requests at once.
    pub capacity: u32,
    /// Requests that are being answered.
    pub running: u32,
    /// Whether its engine answers.
    pub available: bool,
}

/// What a model brought in a UTC day: its streams, and its jobs once they are paid. Blind tokens bring what they are sold for, under the id of their key, and their spending nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelTally {
    /// The date, `2026-01-31`.
    pub day: String,
    /// The model.
    pub model_id: B256,
    /// Streams that were begun, jobs that were paid.
    pub requests: u64,
    /// Those of them that the engine failed.
    pub failures: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of completions.
    pub completion_tokens: u64,
    /// What they cost.
    pub earned: Amount,
}

impl ModelTally {
    /// Nothing yet.
    #[must_use]
    pub fn none(day: String, model_id: B256) -> Self {
        let (requests, failures, prompt_tokens, completion_tokens) = (0, 0, 0, 0);
        Self { day, model_id, requests, failures, prompt_tokens, completion_tokens, earned: Amount::ZERO }
    }
}

/// One served model and its terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelTerms {
    /// The model.
    pub model_id: B256,
    /// Its name.
    pub name: String,
    /// Modes and prices.
    pub asks: Vec<AskTerms>,
}

/// Price of one job in one mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskTerms {
    /// Who can see the input.
    pub privacy: Privacy,
    /// Why the answer is believed.
    pub evidence: Evidence,
    /// What one job costs.
    pub price: Amount,
}

/// `{"error": …}`: the body of every refused request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// What went wrong.
    pub error: ErrorBody,
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Stable name, `snake_case`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// What to do about it; may be empty.
    #[serde(default)]
    pub hint: String,
    /// The price or cumulative amount that would be accepted, where the refusal is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<Amount>,
    /// From when on it would be accepted, seconds since 1970, where it is refused for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<u64>,
}

/// Bytes as standard base64 text.
pub mod base64_bytes {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes base64.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    /// Reads base64.
    ///
    /// # Errors
    /// Text that is not base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_STANDARD.decode(text).map_err(|_| de::Error::custom("not base64"))
    }
}

/// [`base64_bytes`], or null.
pub mod optional_base64_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::base64_bytes;

    #[derive(Deserialize)]
    struct Json(#[serde(with = "base64_bytes")] Vec<u8>);

    /// Writes base64 or null.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => base64_bytes::serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads base64 or null.
    ///
    /// # Errors
    /// Anything else.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Json>::deserialize(deserializer)?.map(|json| json.0))
    }
}

/// A signed voucher as JSON: amounts are decimal strings of smallest units, names are those of the EIP-712 type.
pub mod voucher_json {
    use super::{B256, Bytes, Deserialize, Serialize, SignedVoucher, units};
    use serde::{Deserializer, Serializer};
    use tacit_abi::Voucher;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub(super) struct Json {
        channel_id: B256,
        #[serde(with = "units")]
        cumulative: u128,
        signature: Bytes,
    }

    impl From<&SignedVoucher> for Json {
        fn from(signed: &SignedVoucher) -> Self {
            Self {
                channel_id: signed.voucher.channelId,
                cumulative: signed.voucher.cumulative,
                signature: signed.signature.clone(),
            }
        }
    }

    impl From<Json> for SignedVoucher {
        fn from(json: Json) -> Self {
            let voucher = Voucher { channelId: json.channel_id, cumulative: json.cumulative };
            Self { voucher, signature: json.signature }
        }
    }

    /// Writes a voucher.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(signed: &SignedVoucher, serializer: S) -> Result<S::Ok, S::Error> {
        Json::from(signed).serialize(serializer)
    }

    /// Reads a voucher.
    ///
    /// # Errors
    /// Anything that is not one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SignedVoucher, D::Error> {
        Json::deserialize(deserializer).map(Into::into)
    }
}

/// [`voucher_json`], or null.
pub mod optional_voucher_json {
    use super::{Deserialize, Serialize, SignedVoucher, voucher_json::Json};
    use serde::{Deserializer, Serializer};

    /// Writes a voucher or null.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(
        signed: &Option<SignedVoucher>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        signed.as_ref().map(Json::from).serialize(serializer)
    }

    /// Reads a voucher or null.
    ///
    /// # Errors
    /// Anything else.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SignedVoucher>, D::Error> {
        Ok(Option::<Json>::deserialize(deserializer)?.map(Into::into))
    }
}

/// A signed receipt as JSON: amounts are decimal strings of smallest units, names are those of the EIP-712 type, so
/// that any wallet's typed-data check takes it as it is.
pub mod receipt_json {
    use super::{Address, B256, Bytes, Deserialize, Serialize, SignedReceipt, units};
    use serde::{Deserializer, Serializer};
    use tacit_abi::Receipt;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Json {
        job_id: B256,
        model_id: B256,
        channel_id: B256,
        client: Address,
        worker: Address,
        privacy: u8,
        evidence: u8,
        input_commitment: B256,
        output_commitment: B256,
        evidence_hash: B256,
        #[serde(with = "units")]
        price: u128,
        #[serde(with = "units")]
        cumulative: u128,
        completed_at: u64,
        signature: Bytes,
    }

    /// Writes a receipt.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(signed: &SignedReceipt, serializer: S) -> Result<S::Ok, S::Error> {
        let receipt = &signed.receipt;
        Json {
            job_id: receipt.jobId,
            model_id: receipt.modelId,
            channel_id: receipt.channelId,
            client: receipt.client,
            worker: receipt.worker,
            privacy: receipt.privacy,
            evidence: receipt.evidence,
            input_commitment: receipt.inputCommitment,
            output_commitment: receipt.outputCommitment,
            evidence_hash: receipt.evidenceHash,
            price: receipt.price,
            cumulative: receipt.cumulative,
            completed_at: receipt.completedAt,
            signature: signed.signature.clone(),
        }
        .serialize(serializer)
    }

    /// Reads a receipt.
    ///
    /// # Errors
    /// Anything that is not one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SignedReceipt, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let receipt = Receipt {
            jobId: json.job_id,
            modelId: json.model_id,
            channelId: json.channel_id,
            client: json.client,
            worker: json.worker,
            privacy: json.privacy,
            evidence: json.evidence,
            inputCommitment: json.input_commitment,
            outputCommitment: json.output_commitment,
            evidenceHash: json.evidence_hash,
            price: json.price,
            cumulative: json.cumulative,
            completedAt: json.completed_at,
        };
        Ok(SignedReceipt { receipt, signature: json.signature })
    }
}

/// A `u128` as a decimal string, which no JSON reader rounds.
mod units {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(units: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(units)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let units = if plain { text.parse().ok() } else { None };
        units.ok_or_else(|| de::Error::custom("not a whole number of smallest units"))
    }
}

#[cfg(test)]
mod tests {
    use tacit_abi::{Receipt, Voucher};

    use super::*;
    use crate::wallet::{Wallet, receipt_signer, voucher_signer};

    #[test]
    fn signed_messages_survive_json() {
        let wallet = Wallet::random();
        let voucher = Voucher { channelId: B256::repeat_byte(1), cumulative: u128::MAX };
        let request = VoucherRequest { job_id: JobId::random(), voucher: wallet.sign_voucher(voucher, 7) };
        let json = serde_json::to_string(&request).unwrap();
        assert!(json.contains("\"340282366920938463463374607431768211455\""));
        let read: VoucherRequest = serde_json::from_str(&json).unwrap();
        assert_eq!(voucher_signer(&read.voucher, 7), Ok(wallet.address()));
        assert_ne!(voucher_signer(&read.voucher, 8), Ok(wallet.address()));

        let receipt = Receipt {
            jobId: B256::ZERO,
            modelId: B256::ZERO,
            channelId: B256::ZERO,
            client: Address::ZERO,
            worker: wallet.address(),
            privacy: 0,
            evidence: 0,
            inputCommitment: B256::ZERO,
            outputCommitment: B256::ZERO,
            evidenceHash: B256::ZERO,
            price: 1,
            cumulative: 2,
            completedAt: 3,
        };
        let info = ReceiptInfo { receipt: wallet.sign_receipt(receipt, 7), anchor: None };
        let read: ReceiptInfo = serde_json::from_str(&serde_json::to_string(&info).unwrap()).unwrap();
        assert_eq!(read, info);
        assert_eq!(receipt_signer(&read.receipt, 7), Ok(wallet.address()));
    }

    #[test]
    fn a_session_for_jobs_is_asked_for_as_before_there_were_others() {
        let ask = |kind| AttestRequest { model_id: B256::ZERO, nonce: B256::ZERO, kind };
        let json = serde_json::to_value(ask(GuestKey::Jobs)).unwrap();
        assert_eq!(json, serde_json::json!({ "model_id": B256::ZERO, "nonce": B256::ZERO }));
        assert_eq!(serde_json::from_value::<AttestRequest>(json).unwrap(), ask(GuestKey::Jobs));
        let json = serde_json::to_value(ask(GuestKey::Streams)).unwrap();
        assert_eq!(json["kind"], "streams");
        assert_eq!(serde_json::from_value::<AttestRequest>(json).unwrap(), ask(GuestKey::Streams));
    }

    #[test]
    fn a_model_is_described_with_and_without_an_offer() {
        let plain = ModelInfo {
            model_id: B256::ZERO,
            name: "small".to_owned(),
            graph: vec![1],
            weight_root: B256::ZERO,
            offer: None,
            misfit: None,
        };
        let offered = ModelInfo { offer: Some(vec![1, 2, 3]), ..plain.clone() };
        for info in [&plain, &offered] {
            let json = serde_json::to_string(info).unwrap();
            assert_eq!(json.contains(r#""offer":"AQID""#), info.offer.is_some());
            assert_eq!(serde_json::from_str::<ModelInfo>(&json).unwrap(), *info);
        }
        let mut json = serde_json::to_value(&offered).unwrap();
        json["offer"] = "no base64".into();
        assert!(serde_json::from_value::<ModelInfo>(json).is_err());
    }

    #[test]
    fn amounts_that_a_reader_could_misread_are_refused() {
        for cumulative in ["1", "\"-1\"", "\"\"", "\"1.0\"", "\"340282366920938463463374607431768211456\""] {
            let zero = B256::ZERO;
            let json = format!(
                r#"{{"job_id":"{zero}","voucher":{{"channelId":"{zero}","cumulative":{cumulative},"signature":"0x"}}}}"#
            );
            assert!(serde_json::from_str::<VoucherRequest>(&json).is_err(), "{cumulative}");
        }
    }
}
