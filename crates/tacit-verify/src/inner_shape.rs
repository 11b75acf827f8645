//! Parameters of the inner argument (see [`crate::inner`]): how secrets are laid out, how many columns are opened.

#![cfg_attr(
    not(test),
    expect(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "sizes are numbers of messages, which follow from a validated graph under stated limits"
    )
)]

use crate::{
    bits::Bits,
    commitment::SetupError,
    field::{EF_BITS, EF_DEGREE},
    hiding_shape::{TERM_MARGIN_BITS, ceil_log2, code_cost, queries, query_bits},
    masked::Counts,
    oracle::OracleShape,
};

/// Layout of the secrets and of what blinds them, one Reed-Solomon codeword a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InnerShape {
    /// What it holds.
    pub counts: Counts,
    /// Secrets in a row, a power of two.
    pub slots: usize,
    /// Random coefficients of a row.
    pub randomness: usize,
    /// The code's domain has `2^log_height` points.
    pub log_height: usize,
    /// Positions opened, at most.
    pub queries: usize,
}

impl InnerShape {
    /// The smallest proof for these secrets at `bits` of security.
    ///
    /// # Errors
    /// Refuses what does not fit the field.
    pub fn new(counts: Counts, bits: u32) -> Result<Self, SetupError> {
        let target = bits + TERM_MARGIN_BITS;
        let mut best: Option<(usize, Self)> = None;
        for log_slots in 4..=10 {
            for log_height in 9..=14 {
                let Some(shape) = Self::candidate(counts, 1 << log_slots, log_height, target) else {
                    continue;
                };
                let cost = shape.bytes() + code_cost(log_height, shape.oracle().width);
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, shape));
                }
            }
        }
        best.map(|(_, shape)| shape).ok_or(SetupError::NoParameters { vars: ceil_log2(counts.masks), bits })
    }

    fn candidate(counts: Counts, slots: usize, log_height: usize, target: u32) -> Option<Self> {
        let mut shape = Self { counts, slots, randomness: 1, log_height, queries: 1 };
        // More queries need more randomness, which raises the degree: a few steps settle it.
        for _ in 0..32 {
            if shape.sum_len() >= 1 << log_height {
                return None;
            }
            let wanted = queries(1 << log_height, shape.sum_len(), target)?;
            if wanted <= shape.queries {
                return Some(shape);
            }
            shape.queries = wanted;
            shape.randomness = wanted + 1;
        }
        None
    }

    /// Rows of masks.
    #[must_use]
    pub fn mask_rows(&self) -> usize {
        self.counts.masks.div_ceil(self.slots)
    }

    /// Rows of each of `alpha`, `beta` and `gamma`.
    #[must_use]
    pub fn product_rows(&self) -> usize {
        self.counts.products.div_ceil(self.slots)
    }

    /// Rows that hold secrets.
    #[must_use]
    pub fn secret_rows(&self) -> usize {
        self.mask_rows() + 3 * self.product_rows()
    }

    /// Rows that blind the sum: enough for a polynomial of the degree of the sum, cut into pieces that overlap by the randomness.
    #[must_use]
    pub fn blind_rows(&self) -> usize {
        3 + self.randomness.saturating_sub(2).div_ceil(self.slots)
    }

    /// All rows; the last one blinds the combination.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.secret_rows() + self.blind_rows() + 1
    }

    /// Coefficients of a row.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.slots + self.randomness
    }

    /// Coefficients of the sum.
    #[must_use]
    pub fn sum_len(&self) -> usize {
        self.blind_rows() * self.slots + self.randomness
    }

    /// Shape of the oracle.
    #[must_use]
    pub fn oracle(&self) -> OracleShape {
        OracleShape { log_height: self.log_height, width: EF_DEGREE * self.rows() }
    }

    /// Bytes of the argument, about.
    fn bytes(&self) -> usize {
        let path = 32 * (self.log_height + 1).saturating_sub(ceil_log2(self.queries));
        20 * (self.row_len() + self.sum_len()) + self.queries * (20 * self.rows() + path)
    }

    /// Bits of security: the combination of rows (proximity gap of curves within unique decoding, eprint 2020/654, theorem 1.5 and
    /// section 4), batching of equations and products, queries. With `e = (H - D) / 2` errors allowed, `D` the length of the sum,
    /// words that are farther and sums that are false are both seen by a query with probability at least `1 - (H + D) / 2H`.
    #[must_use]
    pub fn security(&self, equations: usize) -> Bits {
        let gap = (self.rows() as u128) << self.log_height;
        let roots = gap + equations as u128 + 3 * self.counts.products as u128 + 1;
        let queries = query_bits(1 << self.log_height, self.sum_len(), self.queries);
        Bits::of_sum([EF_BITS.less(Bits::of_count(roots)), queries, queries])
    }
}
