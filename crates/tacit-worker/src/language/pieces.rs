//! How much of what an engine said may be sent.
//!
//! The longest beginning that fits is looked for by counting: nearly always it is all of it, an event with a token. Where it is not, lengths are doubled from a few bytes on and then
//! halved in between, each counted from the last byte that was sent.

use tacit_wire::{
    Amount,
    language::{TokenCount, TokenPrices},
    meter::{AnswerMeter, MeterReject},
};

/// What an answer costs as it grows.
pub(super) struct Tariff<'a> {
    pub(super) prices: TokenPrices,
    pub(super) prompt_tokens: u64,
    /// Where the count is, behind the last byte that was sent.
    pub(super) meter: AnswerMeter<'a>,
}

/// A beginning of what the engine said.
pub(super) struct Piece<'a> {
    pub(super) bytes: usize,
    pub(super) tokens: TokenCount,
    pub(super) cost: Amount,
    /// Where the count is behind it.
    pub(super) meter: AnswerMeter<'a>,
}

/// Bytes that are tried first where not all fits: some tokens.
const STEP_BYTES_MIN: usize = 32;

impl<'a> Tariff<'a> {
    /// What the answer costs with so many bytes more.
    pub(super) fn piece(&self, bytes: &[u8]) -> Result<Piece<'a>, MeterReject> {
        let mut meter = self.meter.clone();
        meter.feed(bytes)?;
        let tokens = TokenCount { prompt: self.prompt_tokens, completion: meter.tokens()? };
        let cost = self.prices.cost(tokens).unwrap_or(Amount(u128::MAX));
        Ok(Piece { bytes: bytes.len(), tokens, cost, meter })
    }

    /// The longest beginning found that costs at most `most`; nothing if not one byte does.
    pub(super) fn longest(&self, bytes: &[u8], most: Amount) -> Result<Option<Piece<'a>>, MeterReject> {
        let upto = |length: usize| self.piece(bytes.get(..length).unwrap_or(bytes));
        let all = self.piece(bytes)?;
        if all.cost <= most {
            return Ok(Some(all));
        }
        // `fits` is a length that was counted and fits, `beyond` one that does not.
        let (mut fits, mut beyond, mut step) = (None, bytes.len(), STEP_BYTES_MIN);
        while step < beyond {
            let piece = upto(step)?;
            if piece.cost > most {
                beyond = step;
            } else {
                fits = Some(piece);
                step = step.saturating_mul(2);
            }
        }
        loop {
            let from = fits.as_ref().map_or(0, |piece: &Piece<'_>| piece.bytes);
            let middle = from.midpoint(beyond);
            if middle == from {
                return Ok(fits);
            }
            let piece = upto(middle)?;
            if piece.cost > most { beyond = middle } else { fits = Some(piece) }
        }
    }
}
