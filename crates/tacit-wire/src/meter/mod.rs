//! The meter: how many tokens a request has, and how many an answer.
//!
//! Engines say what they used in `usage`, each in its own way, and nobody can check it. What is paid for here is a function of bytes that
//! client and worker both hold: the text in request and answer, cut into tokens by the tokenizer that the model's manifest names. Both sides count for
//! themselves and get the same number after every byte, so that there is nothing to dispute.
//!
//! # What counts
//! - **Prompt** (`messages`, `prompt`, `input`, `suffix`): each string under one of [`COUNTED_KEYS`], [`LanguageManifest::message_tokens`](crate::language::LanguageManifest) for each message,
//!   one for each number where a prompt is given as token ids, and the JSON text of `tools`, `functions` and `response_format`, without white space and
//!   with keys in the order of their bytes.
//! - **Completion**: the strings under [`COUNTED_KEYS`] anywhere below `choices`, in the order in which they arrive, one after the other as one text. Of a stream of
//!   events, those in each `data:` line.
//!
//! Pictures and sound are not text, and count nothing.
//!
//! # Segments
//! A text is cut where, 256 bytes or more after the last cut, a space follows something that is no white space, or after 4096 bytes. A text counts for
//! the sum of its segments' tokens, without special tokens around them. So counting as text arrives takes time in proportion to the text,
//! and costs at most one token in 256 bytes more than a tokenizer would say of the whole.

mod scan;

use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use tokenizers::Tokenizer;

use scan::Scan;
pub use scan::{DEPTH_MAX, Framing};

/// Keys whose strings are text that a model reads or writes.
pub const COUNTED_KEYS: [&str; 12] = [
    "arguments",
    "content",
    "input",
    "name",
    "output",
    "prompt",
    "reasoning",
    "reasoning_content",
    "refusal",
    "suffix",
    "text",
    "thinking",
];

/// Which door of the engine a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, Deserialize)]
pub enum Route {
    /// `POST /v1/chat/completions`.
    #[serde(rename = "chat/completions")]
    ChatCompletions,
    /// `POST /v1/completions`.
    #[serde(rename = "completions")]
    Completions,
    /// `POST /v1/embeddings`.
    #[serde(rename = "embeddings")]
    Embeddings,
}

/// Counts with one tokenizer.
pub struct Meter {
    tokenizer: Tokenizer,
    message_tokens: u64,
}

/// Counts an answer as it arrives. A copy goes on from the same place: it tells what more bytes would cost before they are sent.
#[derive(Debug, Clone)]
pub struct AnswerMeter<'a> {
    meter: &'a Meter,
    scan: Scan,
    text: Segments,
}

/// Why nothing can be counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeterReject {
    /// The tokenizer's file is not one.
    #[error("the tokenizer cannot be used: {0}")]
    Tokenizer(String),
    /// The request is not a JSON object with what its route needs.
    #[error("the request cannot be read: {0}")]
    Request(#[from] serde_json::Error),
    /// The tokenizer failed on a text.
    #[error("the tokenizer cannot cut this text")]
    Text,
    /// The answer's JSON is nested deeper than any.
    #[error("the answer is nested deeper than {DEPTH_MAX}")]
    Depth,
}

/// Bytes after which a segment ends at the next space.
pub const SEGMENT_BYTES_MIN: usize = 256;
/// Bytes after which a segment ends.
pub const SEGMENT_BYTES_MAX: usize = 4096;

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChatCompletions => "chat/completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
        })
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("message_tokens", &self.message_tokens).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    messages: Option<Vec<Value>>,
    #[serde(default)]
    prompt: Option<Value>,
    #[serde(default)]
    input: Option<Value>,
    #[serde(default)]
    suffix: Option<Value>,
    #[serde(default)]
    tools: Option<Value>,
    #[serde(default)]
    functions: Option<Value>,
    #[serde(default)]
    response_format: Option<Value>,
}

impl Meter {
    /// A meter that counts with the tokenizer in these bytes (`tokenizer.json`). The caller checked that they are the ones that the model's manifest
    /// names; whoever published the model chose them all the same, so that this belongs on a thread of its own.
    ///
    /// # Errors
    /// [`MeterReject::Tokenizer`].
    pub fn new(tokenizer: &[u8], message_tokens: u32) -> Result<Self, MeterReject> {
        let mut tokenizer =
            Tokenizer::from_bytes(tokenizer).map_err(|error| MeterReject::Tokenizer(error.to_string()))?;
        // A tokenizer's file may say to cut or fill up what it is given.
        let _ = tokenizer.with_truncation(None);
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, message_tokens: u64::from(message_tokens) })
    }

    /// Tokens of a request's prompt.
    ///
    /// # Errors
    /// [`MeterReject::Request`], [`MeterReject::Text`].
    pub fn prompt(&self, body: &[u8]) -> Result<u64, MeterReject> {
        // A derived reader would take an array of the fields as well.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(MeterReject::Request(serde::de::Error::custom("not an object")));
        }
        let request: Request = serde_json::from_slice(body)?;
        let mut total = 0_u64;
        for message in request.messages.iter().flatten() {
            total = total.saturating_add(self.message_tokens).saturating_add(self.strings(message, false)?);
        }
        for value in [&request.prompt, &request.input, &request.suffix].into_iter().flatten() {
            total = total.saturating_add(self.strings(value, true)?);
        }
        for value in [&request.tools, &request.functions, &request.response_format].into_iter().flatten() {
            total = total.saturating_add(self.text(&value.to_string())?);
        }
        Ok(total)
    }

    /// Tokens of a text.
    ///
    /// # Errors
    /// [`MeterReject::Text`].
    pub fn text(&self, text: &str) -> Result<u64, MeterReject> {
        let mut segments = Segments::default();
        segments.push(self, text)?;
        segments.count(self)
    }

    /// Counts an answer of this framing from its first byte on.
    #[must_use]
    pub fn answer(&self, framing: Framing) -> AnswerMeter<'_> {
        AnswerMeter { meter: self, scan: Scan::new(framing), text: Segments::default() }
    }

    /// Strings that count, below a value of which it is known whether it counts itself. The depth of `value` is bounded by its decoder.
    fn strings(&self, value: &Value, counted: bool) -> Result<u64, MeterReject> {
        match value {
            Value::String(text) if counted => self.text(text),
            Value::Number(_) if counted => Ok(1),
            Value::Array(values) => values
                .iter()
                .try_fold(0_u64, |sum, value| Ok(sum.saturating_add(self.strings(value, counted)?))),
            Value::Object(fields) => fields.iter().try_fold(0_u64, |sum, (key, value)| {
                let counted = COUNTED_KEYS.contains(&key.as_str()) && !value.is_number();
                Ok(sum.saturating_add(self.strings(value, counted)?))
            }),
            _ => Ok(0),
        }
    }

    fn segment(&self, text: &str) -> Result<u64, MeterReject> {
        if text.is_empty() {
            return Ok(0);
        }
        let tokens = self.tokenizer.encode_fast(text, false).map_err(|_| MeterReject::Text)?.len();
        u64::try_from(tokens).map_err(|_| MeterReject::Text)
    }
}

impl AnswerMeter<'_> {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`MeterReject::Depth`], [`MeterReject::Text`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), MeterReject> {
        let mut found = String::new();
        self.scan.feed(bytes, &mut found)?;
        self.text.push(self.meter, &found)
    }

    /// Tokens so far.
    ///
    /// # Errors
    /// [`MeterReject::Text`].
    pub fn tokens(&mut self) -> Result<u64, MeterReject> {
        self.text.count(self.meter)
    }

    /// Bytes of text that came since [`Self::tokens`] was asked last: what shows, without counting, that it is worth counting again.
    #[must_use]
    pub fn uncounted_bytes(&self) -> usize {
        self.text.uncounted
    }
}

/// A text as it arrives: what is cut off is counted, the rest is counted when somebody asks.
#[derive(Debug, Clone, Default)]
struct Segments {
    /// Tokens of what is cut off.
    cut: u64,
    /// What is not.
    rest: String,
    /// Tokens of `rest` when it was counted last.
    rest_tokens: u64,
    /// Bytes that came since then.
    uncounted: usize,
}

impl Segments {
    fn push(&mut self, meter: &Meter, text: &str) -> Result<(), MeterReject> {
        self.uncounted = self.uncounted.saturating_add(text.len());
        let mut text = text;
        // What is pushed at once is cut as if it came letter by letter: a step takes at most what could hold one cut.
        while !text.is_empty() {
            let step = text.floor_char_boundary(SEGMENT_BYTES_MAX).max(first_char(text));
            let (now, later) = text.split_at(step);
            self.rest.push_str(now);
            text = later;
            while let Some(at) = cut(&self.rest) {
                let (segment, rest) = self.rest.split_at(at);
                self.cut = self.cut.saturating_add(meter.segment(segment)?);
                self.rest = rest.to_owned();
            }
        }
        Ok(())
    }

    fn count(&mut self, meter: &Meter) -> Result<u64, MeterReject> {
        if self.uncounted > 0 {
            self.rest_tokens = meter.segment(&self.rest)?;
            self.uncounted = 0;
        }
        Ok(self.cut.saturating_add(self.rest_tokens))
    }
}

fn first_char(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// Where the first segment of a text ends, once that is known.
fn cut(text: &str) -> Option<usize> {
    if text.len() <= SEGMENT_BYTES_MIN {
        return None;
    }
    let from = text.floor_char_boundary(SEGMENT_BYTES_MIN);
    let mut before = text.get(..from)?.chars().next_back();
    for (offset, letter) in text.get(from..)?.char_indices() {
        let at = from.saturating_add(offset);
        if at >= SEGMENT_BYTES_MAX || (letter == ' ' && before.is_some_and(|before| !before.is_whitespace()))
        {
            return Some(at);
        }
        before = Some(letter);
    }
    None
}

#[cfg(test)]
mod tests;
