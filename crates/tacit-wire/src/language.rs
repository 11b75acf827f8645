//! Language and embedding models that an engine of somebody else's serves: what names one.
//!
//! Such a model is no graph: its meaning is its weights, its tokenizer and an engine that rounds as it likes. A **manifest** says which
//! weights and which tokenizer, by hash, and its own hash is the model's id. So two workers that serve one id claim the same file, whatever engine
//! runs it, and a client counts tokens with the tokenizer that the id names, not with one that the worker hands out.
//!
//! `model id = BLAKE3 derive_key("tacit 2026 language model id v1", manifest bytes)`: over the bytes that are served, so that nobody has to agree on
//! how JSON is written. The weight root on the ledger is the BLAKE3 hash of the weights' file.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{Amount, message::base64_bytes};
use tacit_abi::{Evidence, Privacy};

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LanguageKind {
    /// Continues text.
    Language,
    /// Turns text into vectors.
    Embedding,
}

/// What a model is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageManifest {
    /// What it is for.
    pub kind: LanguageKind,
    /// Its name: 1 to 32 of `a-z 0-9 - . _`, as on the ledger.
    pub name: String,
    /// BLAKE3 of the weights' file.
    pub weights: B256,
    /// BLAKE3 of the tokenizer's file (`tokenizer.json`).
    pub tokenizer: B256,
    /// Format of the weights' file: `gguf`, `safetensors`, …
    pub format: String,
    /// How the weights are rounded: `Q4_1`, `bf16`, …
    pub quantisation: String,
    /// Tokens that prompt and completion may have together.
    pub context_tokens: u32,
    /// Tokens that each message of a chat counts for besides its text: what a template wraps around it.
    pub message_tokens: u32,
    /// Licence of the weights (SPDX where there is one).
    pub licence: String,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestReject {
    /// Longer than any.
    #[error("a manifest has at most {MANIFEST_BYTES_MAX} bytes, got {got}")]
    TooLong {
        /// Its length.
        got: usize,
    },
    /// Another model's.
    #[error("the manifest is that of {got}")]
    OtherModel {
        /// Its id.
        got: B256,
    },
    /// Not a manifest.
    #[error("the manifest cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A field is outside its range.
    #[error("the manifest's {field} is not usable")]
    Field {
        /// Which.
        field: &'static str,
    },
}

/// A model as a worker describes it. The reader recomputes the ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanguageInfo {
    /// Id that the manifest must give.
    pub model_id: B256,
    /// Manifest bytes.
    #[serde(with = "base64_bytes")]
    pub manifest: Vec<u8>,
    /// Who serves.
    pub worker: Address,
    /// Public session key, whose hash the ask names ([`crate::session`]).
    #[serde(with = "base64_bytes")]
    pub session_key: Vec<u8>,
    /// Modes and prices.
    pub asks: Vec<TokenTerms>,
}

/// What one mode of a model costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenTerms {
    /// Who can see the request.
    pub privacy: Privacy,
    /// Why the answer is believed.
    pub evidence: Evidence,
    /// Prices.
    pub prices: TokenPrices,
}

/// What requests cost. Amounts are decimal strings of coins in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPrices {
    /// Of a request, whatever it takes.
    pub request: Amount,
    /// Of each token of a prompt.
    pub prompt: Amount,
    /// Of each token of a completion.
    pub completion: Amount,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenCount {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens of the completion.
    pub completion: u64,
}

/// What a receipt of a stream commits to as its evidence ([`Self::committed`]): the worker's count, and the prices that it charged by. So a price that its own count, or the
/// bytes of request and answer, do not explain is signed by whoever asked it, and shown to be false without anybody else's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenBill {
    /// What was counted; nothing where nothing is owed.
    pub tokens: TokenCount,
    /// At which prices.
    pub prices: TokenPrices,
}

/// How language models are asked: sealed, on the worker's word.
pub const MODE: (Privacy, Evidence) = (Privacy::Sealed, Evidence::Signed);
/// Or sealed to a guest that hardware vouches for.
pub const GUEST_MODE: (Privacy, Evidence) = (Privacy::Enclave, Evidence::Attested);
/// Bytes of a [`TokenBill`].
pub const BILL_BYTES: usize = 64;
/// Longest manifest.
pub const MANIFEST_BYTES_MAX: usize = 16 * 1024;
/// Largest tokenizer.
pub const TOKENIZER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Tokens of a completion that may be given before they are paid for.
pub const CHUNK_TOKENS: u64 = 32;

const ID_CONTEXT: &str = "tacit 2026 language model id v1";
const NAME_BYTES_MAX: usize = 32;
const TEXT_BYTES_MAX: usize = 64;
const CONTEXT_TOKENS_MAX: u32 = 1 << 24;
const MESSAGE_TOKENS_MAX: u32 = 64;

impl LanguageManifest {
    /// Reads the manifest of a model, if these bytes are it.
    ///
    /// # Errors
    /// [`ManifestReject`].
    pub fn read(bytes: &[u8], model_id: B256) -> Result<Self, ManifestReject> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestReject::TooLong { got: bytes.len() });
        }
        let got = language_model_id(bytes);
        if got != model_id {
            return Err(ManifestReject::OtherModel { got });
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The bytes to serve, and the id that they give.
    ///
    /// # Errors
    /// [`ManifestReject::Field`].
    pub fn write(&self) -> Result<(Vec<u8>, B256), ManifestReject> {
        self.check()?;
        let bytes = serde_json::to_vec(self)?;
        let id = language_model_id(&bytes);
        Ok((bytes, id))
    }

    fn check(&self) -> Result<(), ManifestReject> {
        let named = (1..=NAME_BYTES_MAX).contains(&self.name.len())
            && self.name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_'));
        let short = |text: &str| {
            text.len() <= TEXT_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        };
        let fields = [
            (named, "name"),
            (short(&self.format), "format"),
            (short(&self.quantisation), "quantisation"),
            (short(&self.licence), "licence"),
            ((1..=CONTEXT_TOKENS_MAX).contains(&self.context_tokens), "context_tokens"),
            (self.message_tokens <= MESSAGE_TOKENS_MAX, "message_tokens"),
        ];
        match fields.into_iter().find(|(good, _)| !good) {
            Some((_, field)) => Err(ManifestReject::Field { field }),
            None => Ok(()),
        }
    }
}

/// Id of the model whose manifest has these bytes.
#[must_use]
pub fn language_model_id(manifest: &[u8]) -> B256 {
    B256::from(blake3::derive_key(ID_CONTEXT, manifest))
}

impl TokenPrices {
    /// What a request costs that took so many tokens; nothing if that is more than any amount.
    #[must_use]
    pub fn cost(&self, count: TokenCount) -> Option<Amount> {
        let prompt = self.prompt.0.checked_mul(u128::from(count.prompt))?;
        let completion = self.completion.0.checked_mul(u128::from(count.completion))?;
        self.request.0.checked_add(prompt)?.checked_add(completion).map(Amount)
    }

    /// What may be owed on an account before a voucher must come: a chunk of a completion.
    #[must_use]
    pub fn chunk(&self) -> Amount {
        Amount(self.completion.0.saturating_mul(u128::from(CHUNK_TOKENS)))
    }
}

impl TokenBill {
    /// `tokens of the prompt (u64) || of the completion (u64) || price of a request (u128) || of a token of a prompt (u128) || of one of a completion (u128)`,
    /// little endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; BILL_BYTES] {
        let Self { tokens, prices } = self;
        let mut bytes = [0; BILL_BYTES];
        let (counts, amounts) = bytes.split_at_mut(16);
        for (place, count) in counts.chunks_exact_mut(8).zip([tokens.prompt, tokens.completion]) {
            place.copy_from_slice(&count.to_le_bytes());
        }
        for (place, price) in
            amounts.chunks_exact_mut(16).zip([prices.request, prices.prompt, prices.completion])
        {
            place.copy_from_slice(&price.0.to_le_bytes());
        }
        bytes
    }

    /// What is committed to: the bill, and behind it (32 bytes), where hardware vouched for whoever answered, the id of that evidence, or where tokens paid, the hash of the
    /// change ([`crate::prepaid::change_hash`]).
    #[must_use]
    pub fn committed(&self, beside: Option<B256>) -> Vec<u8> {
        [self.to_bytes().as_slice(), beside.as_ref().map_or(&[][..], |id| id.as_slice())].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_of_a_bill_has_its_place() {
        let prices = TokenPrices { request: Amount(3), prompt: Amount(4), completion: Amount(5 << 64) };
        let bill = TokenBill { tokens: TokenCount { prompt: 1, completion: 2 }, prices };
        let mut expected = [0; BILL_BYTES];
        for (at, byte) in [(0, 1), (8, 2), (16, 3), (32, 4), (48 + 8, 5)] {
            expected[at] = byte;
        }
        assert_eq!(bill.to_bytes(), expected);
        assert_eq!(bill.committed(None), expected);
        let evidence = B256::repeat_byte(7);
        assert_eq!(bill.committed(Some(evidence)), [expected.as_slice(), evidence.as_slice()].concat());
    }

    fn manifest() -> LanguageManifest {
        LanguageManifest {
            kind: LanguageKind::Language,
            name: "small-1b".to_owned(),
            weights: B256::repeat_byte(1),
            tokenizer: B256::repeat_byte(2),
            format: "gguf".to_owned(),
            quantisation: "Q4_1".to_owned(),
            context_tokens: 8192,
            message_tokens: 4,
            licence: "Apache-2.0".to_owned(),
        }
    }

    #[test]
    fn a_manifest_gives_its_id_and_no_other() {
        let (bytes, id) = manifest().write().unwrap();
        assert_eq!(LanguageManifest::read(&bytes, id).unwrap(), manifest());
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(matches!(LanguageManifest::read(&other, id), Err(ManifestReject::OtherModel { .. })));
        }
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let read = |bytes: &[u8]| LanguageManifest::read(bytes, language_model_id(bytes));
        assert!(matches!(read(&vec![b' '; MANIFEST_BYTES_MAX + 1]), Err(ManifestReject::TooLong { .. })));
        assert!(matches!(read(b"{}"), Err(ManifestReject::Malformed(_))));
        let changed = |change: fn(&mut LanguageManifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            manifest
        };
        for (bad, name) in [
            (changed(|manifest| manifest.name = "A".to_owned()), "name"),
            (changed(|manifest| manifest.name.clear()), "name"),
            (changed(|manifest| manifest.format = "\u{1b}[31m".to_owned()), "format"),
            (changed(|manifest| manifest.quantisation = "x".repeat(65)), "quantisation"),
            (changed(|manifest| manifest.licence = "\n".to_owned()), "licence"),
            (changed(|manifest| manifest.context_tokens = 0), "context_tokens"),
            (changed(|manifest| manifest.message_tokens = 65), "message_tokens"),
        ] {
            let bytes = serde_json::to_vec(&bad).unwrap();
            assert!(matches!(read(&bytes), Err(ManifestReject::Field { field }) if field == name), "{name}");
            assert!(matches!(bad.write(), Err(ManifestReject::Field { .. })));
        }
    }

    #[test]
    fn a_cost_is_a_sum_or_nothing() {
        let prices = TokenPrices { request: Amount(5), prompt: Amount(2), completion: Amount(3) };
        assert_eq!(prices.cost(TokenCount { prompt: 10, completion: 100 }), Some(Amount(325)));
        assert_eq!(prices.chunk(), Amount(96));
        let dear = TokenPrices { prompt: Amount(u128::MAX), ..prices };
        assert_eq!(dear.cost(TokenCount { prompt: 2, completion: 0 }), None);
    }
}
