//! From raw numbers to small integers, and from logits to an answer.

use crate::{
    graph::{Decoder, Feature, Graph, MAX_INPUT_BITS, TensorId},
    raw::RawValue,
};

/// What a model says about one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// One of the decoder's labels.
    Label {
        /// Index of the label.
        index: usize,
        /// The label.
        label: String,
    },
    /// One number per logit.
    Values(Vec<Score>),
}

/// A logit with its unit: `logit * 2^-fraction_bits`, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    /// The accumulator.
    pub logit: i32,
    /// Its unit.
    pub fraction_bits: i8,
}

/// How sure a label is: what a person reads beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelScores {
    /// For the largest of several: each label with its logit. For a threshold: the label above it, with the one logit.
    pub scores: Vec<LabelScore>,
    /// How far the answer leads: before the next label, or from the threshold. Not negative.
    pub margin: Score,
}

/// A label's logit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelScore {
    /// The label.
    pub label: String,
    /// Its logit.
    pub score: Score,
}

/// Why a row or its logits are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// A row of another length.
    #[error("an input has {expected} values, got {got}")]
    InputLength {
        /// Features of the graph.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// Logits of another length.
    #[error("an output has {expected} logits, got {got}")]
    OutputLength {
        /// Logits of the decoder.
        expected: usize,
        /// Logits given.
        got: usize,
    },
}

impl Feature {
    /// Encodes one raw value to `bits` bits (see *Encode* in [`crate::graph`]).
    #[must_use]
    pub fn encode(&self, raw: i64, bits: u8) -> i16 {
        if !self.steps.is_empty() {
            // A valid feature has no more steps than its bits can count.
            let passed = self.steps.partition_point(|step| *step <= raw);
            return i16::try_from(passed).unwrap_or(i16::MAX);
        }
        let scaled = (i128::from(raw) + i128::from(self.offset)) * i128::from(self.multiplier);
        // `scaled` has under 97 bits, so neither the rounding term nor the shift can overflow.
        let shift = u32::from(self.shift.min(crate::graph::MAX_ENCODE_SHIFT));
        let round = if shift == 0 { 0 } else { 1i128 << (shift - 1) };
        let half = 1i128 << (bits.clamp(1, MAX_INPUT_BITS) - 1);
        let q = ((scaled + round) >> shift).clamp(-half, half - 1);
        i16::try_from(q).unwrap_or(0)
    }
}

impl Graph {
    /// Encodes one row of raw values in units of `2^-24`.
    ///
    /// # Errors
    /// Refuses a row of another length.
    pub fn encode_input(&self, raw: &[i64]) -> Result<Vec<i16>, AnswerError> {
        let (expected, got) = (self.features.len(), raw.len());
        if expected != got {
            return Err(AnswerError::InputLength { expected, got });
        }
        Ok(self
            .features
            .iter()
            .zip(raw)
            .map(|(feature, raw)| feature.encode(*raw, self.input_bits))
            .collect())
    }

    /// [`Graph::encode_input`] for values that were checked to be raw values.
    ///
    /// # Errors
    /// Refuses a row of another length.
    pub fn encode_values(&self, raw: &[RawValue]) -> Result<Vec<i16>, AnswerError> {
        let raw: Vec<i64> = raw.iter().map(|value| value.get()).collect();
        self.encode_input(&raw)
    }

    /// Decodes the logits of one row.
    ///
    /// # Errors
    /// Refuses a row of another length.
    pub fn decode_output(&self, logits: &[i32]) -> Result<Answer, AnswerError> {
        let expected = match &self.decoder {
            Decoder::ArgMax { labels, .. } => labels.len(),
            Decoder::Threshold { .. } => 1,
            Decoder::Values { .. } => {
                let last = TensorId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
                // A valid graph ends in one axis.
                self.axes_of(last).and_then(<[u32]>::first).map_or(0, |outputs| *outputs as usize)
            }
        };
        let refused = AnswerError::OutputLength { expected, got: logits.len() };
        if expected != logits.len() {
            return Err(refused);
        }
        match &self.decoder {
            Decoder::ArgMax { labels, .. } => {
                let mut best: Option<(usize, &i32, &String)> = None;
                for (index, (logit, label)) in logits.iter().zip(labels).enumerate() {
                    if best.is_none_or(|(_, most, _)| logit > most) {
                        best = Some((index, logit, label));
                    }
                }
                let (index, _, label) = best.ok_or(refused)?;
                Ok(Answer::Label { index, label: label.clone() })
            }
            Decoder::Threshold { labels: [below, above], .. } => {
                let index = usize::from(logits.first().is_some_and(|logit| *logit > 0));
                let label = if index == 1 { above } else { below };
                Ok(Answer::Label { index, label: label.clone() })
            }
            Decoder::Values { .. } => Ok(Answer::Values(self.scores(logits))),
        }
    }

    /// The logits of one row with their unit, for people to read beside the answer.
    #[must_use]
    pub fn scores(&self, logits: &[i32]) -> Vec<Score> {
        let fraction_bits = match &self.decoder {
            Decoder::ArgMax { fraction_bits, .. }
            | Decoder::Threshold { fraction_bits, .. }
            | Decoder::Values { fraction_bits } => *fraction_bits,
        };
        logits.iter().map(|logit| Score { logit: *logit, fraction_bits }).collect()
    }
}

impl Graph {
    /// Labels with their scores, and the answer's margin. `None` for a graph that gives values, and for logits of another length.
    #[must_use]
    pub fn label_scores(&self, logits: &[i32]) -> Option<LabelScores> {
        let (labels, margin): (&[String], i32) = match (&self.decoder, logits) {
            // No model's logits are so far apart that a difference saturates.
            (Decoder::ArgMax { labels, .. }, logits) if labels.len() == logits.len() => {
                let mut sorted = logits.to_vec();
                sorted.sort_unstable();
                let margin = match sorted.as_slice() {
                    [.., next, most] => most.saturating_sub(*next),
                    [_] => 0,
                    [] => return None,
                };
                (labels, margin)
            }
            (Decoder::Threshold { labels: [_, above], .. }, [logit]) => {
                (core::slice::from_ref(above), logit.saturating_abs())
            }
            _ => return None,
        };
        let entry = |(label, score): (&String, Score)| LabelScore { label: label.clone(), score };
        let scores = labels.iter().zip(self.scores(logits)).map(entry).collect();
        let margin = self.scores(&[margin]).pop()?;
        Some(LabelScores { scores, margin })
    }
}

impl Score {
    /// The nearest float, for display and statistics only.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        f64::from(self.logit) * f64::exp2(-f64::from(self.fraction_bits))
    }
}

/// A decimal rounded half away from zero to at most six places, without trailing zeros.
impl core::fmt::Display for Score {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let bits = u32::from(self.fraction_bits.unsigned_abs()).min(60);
        let magnitude = u128::from(self.logit.unsigned_abs());
        let millionths = if self.fraction_bits >= 0 {
            let scaled = magnitude * 1_000_000;
            if bits == 0 { scaled } else { (scaled + (1 << (bits - 1))) >> bits }
        } else {
            (magnitude << bits) * 1_000_000
        };
        let sign = if self.logit < 0 && millionths > 0 { "-" } else { "" };
        let (whole, part) = (millionths / 1_000_000, millionths % 1_000_000);
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{part:06}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl core::fmt::Display for Answer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Label { label, .. } => f.write_str(label),
            Self::Values(scores) => {
                for (index, score) in scores.iter().enumerate() {
                    write!(f, "{}{score}", if index == 0 { "" } else { " " })?;
                }
                Ok(())
            }
        }
    }
}
