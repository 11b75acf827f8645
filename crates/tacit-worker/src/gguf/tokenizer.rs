//! The tokenizer that a GGUF file describes, as a `tokenizer.json`.
//!
//! A GGUF file holds vocabulary, merges and the name of a rule that cuts text before them. Byte-level BPE with a rule that is known here gives a tokenizer that cuts as llama.cpp does;
//! for others the model's own `tokenizer.json` is needed.

use serde_json::{Map, Value, json};

use super::Gguf;

/// Why no tokenizer can be made of a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerReject {
    /// The file says nothing of it.
    #[error("the file has no {key}")]
    Missing {
        /// What is missing.
        key: &'static str,
    },
    /// Another kind of vocabulary.
    #[error("a vocabulary of the kind {kind:?} is not byte-level BPE")]
    Kind {
        /// The file's.
        kind: String,
    },
    /// Text is cut by a rule that is not known here.
    #[error("text is cut by the rule {rule:?}, which is not known here")]
    Rule {
        /// The file's.
        rule: String,
    },
    /// Vocabulary and merges do not fit.
    #[error("{what} of the vocabulary {at} is none")]
    Entry {
        /// Of what.
        what: &'static str,
        /// Which, from 0.
        at: usize,
    },
}

/// Makes the tokenizer.
///
/// # Errors
/// [`TokenizerReject`].
pub fn tokenizer_json(file: &Gguf) -> Result<Vec<u8>, TokenizerReject> {
    const MODEL: &str = "tokenizer.ggml.model";
    const RULE: &str = "tokenizer.ggml.pre";
    const TOKENS: &str = "tokenizer.ggml.tokens";
    const MERGES: &str = "tokenizer.ggml.merges";
    const TYPES: &str = "tokenizer.ggml.token_type";
    let missing = |key| TokenizerReject::Missing { key };
    let kind = file.text(MODEL).ok_or(missing(MODEL))?;
    if kind != "gpt2" {
        return Err(TokenizerReject::Kind { kind: kind.to_owned() });
    }
    let rule = file.text(RULE).ok_or(missing(RULE))?;
    let rule = Rule::named(rule).ok_or_else(|| TokenizerReject::Rule { rule: rule.to_owned() })?;
    let tokens = file.texts(TOKENS).ok_or(missing(TOKENS))?;
    let types = file.numbers(TYPES).ok_or(missing(TYPES))?;
    let mut vocabulary = Map::new();
    let mut added = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if vocabulary.insert(token.clone(), Value::from(at)).is_some() {
            return Err(TokenizerReject::Entry { what: "token", at });
        }
        let of_type = types.get(at).ok_or(TokenizerReject::Entry { what: "type", at })?;
        if matches!(*of_type, CONTROL | USER_DEFINED) {
            added.push(json!({
                "id": at, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *of_type == CONTROL,
            }));
        }
    }
    let mut merges = Vec::new();
    for (at, merge) in file.texts(MERGES).ok_or(missing(MERGES))?.iter().enumerate() {
        let pair = merge.split_once(' ').ok_or(TokenizerReject::Entry { what: "merge", at })?;
        let both = format!("{}{}", pair.0, pair.1);
        if ![pair.0, pair.1, both.as_str()].iter().all(|token| vocabulary.contains_key(*token)) {
            return Err(TokenizerReject::Entry { what: "merge", at });
        }
        merges.push(json!([pair.0, pair.1]));
    }
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": rule.normalizer, "pre_tokenizer": rule.pre_tokenizer, "post_processor": null,
        "decoder": byte_level(true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": rule.ignore_merges, "vocab": vocabulary, "merges": merges,
        },
    });
    Ok(tokenizer.to_string().into_bytes())
}

/// `llama_token_type` of llama.cpp.
const CONTROL: i128 = 3;
const USER_DEFINED: i128 = 4;

/// How text is cut before bytes are merged.
struct Rule {
    normalizer: Value,
    pre_tokenizer: Value,
    /// Whether what is in the vocabulary as a whole is taken as a whole.
    ignore_merges: bool,
}

impl Rule {
    fn named(name: &str) -> Option<Self> {
        let plain = |pre_tokenizer| Self { normalizer: Value::Null, pre_tokenizer, ignore_merges: false };
        Some(match name {
            "gpt-2" => plain(byte_level(true)),
            // Each digit for itself.
            "smollm" | "starcoder" => {
                plain(sequence(json!({ "type": "Digits", "individual_digits": true }), byte_level(true)))
            }
            "llama-bpe" => {
                Self { ignore_merges: true, ..plain(sequence(split(&words("{1,3}")), byte_level(false))) }
            }
            // The model's makers bring text to its composed form first.
            "qwen2" => Self {
                normalizer: json!({ "type": "NFC" }),
                ..plain(sequence(split(&words("")), byte_level(false)))
            },
            _ => return None,
        })
    }
}

/// Words with what stands before them, so many digits at once, signs with the ends of their lines, white space.
fn words(digits: &str) -> String {
    format!(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
}

fn split(pattern: &str) -> Value {
    json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false })
}

/// Bytes as letters; with GPT-2's rule of cutting, or without any.
fn byte_level(use_regex: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex })
}

fn sequence(first: Value, second: Value) -> Value {
    json!({ "type": "Sequence", "pretokenizers": [first, second] })
}
