//! What an answer says of its own tokens: read from whatever bytes came, and checked against its text.
//!
//! Engines differ in what a token is called. Bytes count where they are given; a token that ends an answer has no text, or a name in angle brackets; llama.cpp gives a character of several
//! tokens as one, with the log-probabilities of its last part; others give parts of characters as U+FFFD; mistral.rs gives a likely token's number for its name and its text for its bytes, and says
//! what is likely of a streamed token without a list around it. What is not comparable for such a reason is left out, so that it is held against nobody.

use serde::Deserialize;
use serde_json::Value;

/// Bytes of a token's text, and its log-probability.
pub(super) type Candidate = (Vec<u8>, f64);

/// A token as its worker says it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    /// Its text.
    pub(super) bytes: Vec<u8>,
    /// The most likely tokens in its place, as they were listed.
    pub(super) likely: Vec<Candidate>,
}

/// An answer whose tokens are its text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claim {
    text: String,
    tokens: Vec<Token>,
    /// Where in the text each token begins; none before it, where an engine leaves out white space.
    starts: Vec<Option<usize>>,
}

/// Why an answer is not compared with another worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ClaimReject {
    #[error("it says nothing")]
    Empty,
    #[error("its engine gives no log-probabilities")]
    Unsupported,
    #[error("its engine refuses to give log-probabilities")]
    Refused,
    #[error("its answer is not text alone")]
    NotText,
    #[error("its engine does not say which bytes its tokens have")]
    Bytes,
    #[error("it has more than {TOKENS_MAX} tokens")]
    TooLong,
    #[error("its answer cannot be read")]
    Unreadable,
    #[error("its log-probabilities cannot be read")]
    Malformed,
    #[error("log-probabilities are missing")]
    Missing,
    #[error("its log-probabilities are none")]
    Improbable,
    #[error("its log-probabilities are about another text")]
    OtherText,
}

impl ClaimReject {
    /// The worker's own bytes show that it did not do what it was asked; the others are what honest engines do too.
    pub(super) const fn is_blamed(self) -> bool {
        match self {
            Self::Empty | Self::Unsupported | Self::Refused | Self::NotText | Self::Bytes | Self::TooLong => {
                false
            }
            Self::Unreadable | Self::Malformed | Self::Missing | Self::Improbable | Self::OtherText => true,
        }
    }
}

#[derive(Deserialize)]
struct Piece {
    choices: Option<Vec<Choice>>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    message: Option<Spoken>,
    delta: Option<Spoken>,
    logprobs: Option<Value>,
}

#[derive(Deserialize)]
struct Spoken {
    content: Option<Value>,
    reasoning: Option<Value>,
    reasoning_content: Option<Value>,
    thinking: Option<Value>,
    refusal: Option<Value>,
    tool_calls: Option<Value>,
    function_call: Option<Value>,
    audio: Option<Value>,
}

#[derive(Deserialize)]
struct Listed {
    content: Option<Vec<Entry>>,
}

/// Not a flattened [`Named`]: where numbers keep their digits, a flattened one is no float.
#[derive(Deserialize)]
struct Entry {
    token: Option<Value>,
    bytes: Option<Value>,
    logprob: Option<f64>,
    top_logprobs: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Named {
    token: Option<Value>,
    bytes: Option<Value>,
    logprob: Option<f64>,
}

const TOKENS_MAX: usize = 65_536;
/// Most likely tokens of one place that are read.
const CANDIDATES_MAX: usize = 64;
/// Bytes of tokens after the text: one that ends the answer, a character that is not whole, white space.
const REST_BYTES_MAX: usize = 64;
/// A probability may be rounded to a little more than one, and two equal ones to either order.
const ROUNDING: f64 = 1e-3;
const REPLACEMENT: char = '\u{fffd}';

/// Text and tokens of an answer, streamed or not, without comparing them.
///
/// # Errors
/// [`ClaimReject`]; no bytes make this panic.
pub(super) fn read(answer: &[u8]) -> Result<(String, Vec<Token>), ClaimReject> {
    let (mut text, mut entries) = (String::new(), Vec::new());
    if answer.trim_ascii_start().starts_with(b"{") {
        take(answer, &mut text, &mut entries)?;
    } else {
        for line in answer.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { continue };
            if !data.is_empty() && data != b"[DONE]" {
                take(data, &mut text, &mut entries)?;
            }
        }
    }
    // Some engines say how likely what they chose was, and of nothing else.
    if entries.iter().all(|entry| entry.top_logprobs.as_ref().is_none_or(Vec::is_empty)) {
        return Err(if text.is_empty() { ClaimReject::Empty } else { ClaimReject::Unsupported });
    }
    let tokens = entries.into_iter().map(token).collect::<Result<_, _>>()?;
    Ok((text, tokens))
}

fn take(piece: &[u8], text: &mut String, entries: &mut Vec<Entry>) -> Result<(), ClaimReject> {
    let piece: Piece = serde_json::from_slice(piece).map_err(|_| ClaimReject::Unreadable)?;
    for choice in piece.choices.into_iter().flatten() {
        if choice.index.unwrap_or(0) != 0 {
            return Err(ClaimReject::NotText);
        }
        for spoken in [choice.message, choice.delta].into_iter().flatten() {
            if !spoken.is_text() {
                return Err(ClaimReject::NotText);
            }
            if let Some(Value::String(more)) = spoken.content {
                text.push_str(&more);
            }
        }
        let Some(logprobs) = choice.logprobs.filter(|value| !value.is_null()) else { continue };
        if logprobs.get("content").is_none() && logprobs.get("token").is_some() {
            entries.push(serde_json::from_value(logprobs).map_err(|_| ClaimReject::Malformed)?);
        } else {
            let listed: Listed = serde_json::from_value(logprobs).map_err(|_| ClaimReject::Malformed)?;
            entries.extend(listed.content.into_iter().flatten());
        }
        if entries.len() > TOKENS_MAX {
            return Err(ClaimReject::TooLong);
        }
    }
    Ok(())
}

impl Spoken {
    fn is_text(&self) -> bool {
        let others = [
            &self.reasoning,
            &self.reasoning_content,
            &self.thinking,
            &self.refusal,
            &self.tool_calls,
            &self.function_call,
            &self.audio,
        ];
        let is_nothing = |value: &Value| match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        let content = matches!(self.content, None | Some(Value::Null | Value::String(_)));
        content && others.into_iter().flatten().all(is_nothing)
    }
}

/// Checks what is said of one token.
fn token(entry: Entry) -> Result<Token, ClaimReject> {
    let Entry { token, bytes, logprob, top_logprobs } = entry;
    let (bytes, chosen) = Named { token, bytes, logprob }.read()?;
    let listed = top_logprobs.filter(|listed| !listed.is_empty()).ok_or(ClaimReject::Missing)?;
    if listed.len() > CANDIDATES_MAX {
        return Err(ClaimReject::Malformed);
    }
    let likely = listed.into_iter().map(Named::read).collect::<Result<Vec<_>, _>>()?;
    // vLLM puts the chosen one first, whatever its place.
    let is_chosen = |likely: &Candidate| likely.0 == bytes && (likely.1 - chosen).abs() <= ROUNDING;
    let mut last = ROUNDING;
    for (at, one) in likely.iter().enumerate() {
        if at == 0 && is_chosen(one) {
            continue;
        }
        if one.1 > last + ROUNDING {
            return Err(ClaimReject::Improbable);
        }
        last = one.1;
    }
    Ok(Token { bytes, likely })
}

impl Named {
    fn read(self) -> Result<Candidate, ClaimReject> {
        let given = |value: Option<Value>| value.filter(|value| !value.is_null());
        let bytes = match (given(self.bytes), given(self.token)) {
            (Some(Value::String(text)), _) | (None, Some(Value::String(text))) => text.into_bytes(),
            (Some(bytes), _) => serde_json::from_value(bytes).map_err(|_| ClaimReject::Malformed)?,
            // A number in a vocabulary that we do not have.
            (None, Some(Value::Number(_))) => return Err(ClaimReject::Bytes),
            (None, Some(_)) => return Err(ClaimReject::Malformed),
            (None, None) => return Err(ClaimReject::Missing),
        };
        let logprob = self.logprob.ok_or(ClaimReject::Missing)?;
        if !logprob.is_finite() || logprob > ROUNDING {
            return Err(ClaimReject::Improbable);
        }
        Ok((bytes, logprob))
    }
}

impl Claim {
    /// Reads an answer, streamed or not, and checks that its tokens are its text.
    ///
    /// # Errors
    /// [`ClaimReject`]; no bytes make this panic.
    pub(super) fn read(answer: &[u8]) -> Result<Self, ClaimReject> {
        let (text, tokens) = read(answer)?;
        let said: Vec<u8> = tokens.iter().flat_map(|token| token.bytes.iter().copied()).collect();
        // A character that was cut off is left out by some engines.
        let whole = text.trim_end_matches(REPLACEMENT).as_bytes();
        let skipped = if said.starts_with(whole) {
            0
        } else if said.trim_ascii_start().starts_with(whole.trim_ascii_start()) {
            let lead = |text: &[u8]| text.len().saturating_sub(text.trim_ascii_start().len());
            // More white space in the text than in its tokens is said by nobody.
            lead(&said).checked_sub(lead(whole)).ok_or(ClaimReject::OtherText)?
        } else {
            let parts = tokens.iter().any(|token| has_parts(&token.bytes));
            return Err(if parts { ClaimReject::Bytes } else { ClaimReject::OtherText });
        };
        if said.len().saturating_sub(skipped.saturating_add(whole.len())) > REST_BYTES_MAX {
            return Err(ClaimReject::OtherText);
        }
        if whole.is_empty() {
            return Err(ClaimReject::Empty);
        }
        let mut at = 0_usize;
        let starts = tokens.iter().map(|token| {
            let start = at.checked_sub(skipped);
            at = at.saturating_add(token.bytes.len());
            start
        });
        let starts = starts.collect();
        Ok(Self { text, tokens, starts })
    }

    /// Places that can be computed again: an engine that is given the text before them sees what the worker's saw.
    ///
    /// Templates cut white space from messages, so that text before a place neither begins nor ends with it.
    pub(super) fn places(&self) -> Vec<usize> {
        let is_place = |(at, token): (usize, &Token)| {
            let start = self.starts.get(at).copied().flatten()?;
            let before = self.text.get(..start)?;
            let is_kept = before.trim().len() == before.len();
            let within = start.checked_add(token.bytes.len())? <= self.text.len();
            (is_kept && within && token.is_comparable()).then_some(at)
        };
        self.tokens.iter().enumerate().filter_map(is_place).collect()
    }

    /// All of its tokens.
    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The token at a place, and the text before it.
    pub(super) fn at(&self, place: usize) -> Option<(&str, &Token)> {
        let start = self.starts.get(place).copied().flatten()?;
        Some((self.text.get(..start)?, self.tokens.get(place)?))
    }
}

impl Token {
    /// Whether its log-probabilities are those of its place: not of the last part of a character.
    pub(super) fn is_comparable(&self) -> bool {
        if self.bytes.is_empty() || has_parts(&self.bytes) {
            return false;
        }
        // A plain letter is never a part, whatever is listed beside it.
        self.bytes.is_ascii() || self.likely.first().is_some_and(|(bytes, _)| !has_parts(bytes))
    }
}

/// Whether a token is no text, so that engines call it by different names: it ends something, or is a part of a character.
pub(super) fn is_nameless(bytes: &[u8]) -> bool {
    let is_control = bytes.len() > 2 && bytes.starts_with(b"<") && bytes.ends_with(b">");
    bytes.is_empty() || is_control || has_parts(bytes)
}

fn has_parts(bytes: &[u8]) -> bool {
    core::str::from_utf8(bytes).map_or(true, |text| text.contains(REPLACEMENT))
}

#[cfg(test)]
mod tests;
