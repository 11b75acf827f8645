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
    hiding_shape::{BYTE_COST, TERM_MARGIN_BITS, ceil_log2, code_cost, path_bytes},
    masked::Counts,
    oracle::OracleShape,
    proximity::{MAX_MULTIPLICITY, MIN_MULTIPLICITY, Radius, query_bits},
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
    /// What a row stands for.
    pub radius: Radius,
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
        let mut best: Option<(u64, Self)> = None;
        for log_slots in 4..=10 {
            for log_height in 8..=15 {
                let Some(shape) = Self::candidate(counts, 1 << log_slots, log_height, target) else {
                    continue;
                };
                let cost = shape.bytes() * BYTE_COST + code_cost(log_height, shape.oracle().width);
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, shape));
                }
            }
        }
        best.map(|(_, shape)| shape).ok_or(SetupError::NoParameters { vars: ceil_log2(counts.masks), bits })
    }

    fn candidate(counts: Counts, slots: usize, log_height: usize, target: u32) -> Option<Self> {
        let mut queries = 1;
        // More queries need more randomness, which raises the degree: a few steps settle it.
        for _ in 0..32 {
            let randomness = queries + 1;
            let radius = Self::radius(log_height, slots + randomness)?;
            let shape = Self { counts, slots, randomness, log_height, radius, queries };
            if shape.sum_len() >= 1 << log_height {
                return None;
            }
            let wanted = crate::proximity::queries(log_height, shape.passing(), target)?;
            if wanted <= queries {
                return Some(shape);
            }
            queries = wanted;
        }
        None
    }

    /// The widest radius with a list as short as it has to be.
    fn radius(log_height: usize, coefficients: usize) -> Option<Radius> {
        (MIN_MULTIPLICITY..=MAX_MULTIPLICITY)
            .rev()
            .filter_map(|multiplicity| Radius::new(log_height, coefficients, multiplicity))
            .find(|radius| radius.list() <= 1 << MASK_LIST_BITS)
    }

    /// Positions on which a false argument passes, at most: a combination that is not of the rows agrees with them on fewer than the radius says, and on those
    /// of a true one a false sum of `sum_len` coefficients agrees on fewer than that.
    fn passing(&self) -> usize {
        self.radius.agreement().max(self.sum_len())
    }

    /// Base-two logarithm of the number of sets of secrets that the commitment may stand for. It is fixed before the first challenge, so every other
    /// term of a proof is raised by it.
    #[must_use]
    pub fn list_bits(&self) -> Bits {
        Bits::of_count(self.radius.list())
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

    /// Challenges that weigh the rows.
    #[must_use]
    pub fn row_vars(&self) -> usize {
        ceil_log2(self.rows())
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
    fn bytes(&self) -> u64 {
        let column = 20 * self.rows() as u64 + path_bytes(self.log_height, self.queries);
        20 * (self.row_len() + self.sum_len()) as u64 + self.queries as u64 * column
    }

    /// Bits of security: the lines of the combination of rows; equations, products and blinding, for each set of secrets; queries.
    #[must_use]
    pub fn security(&self, equations: usize) -> Bits {
        let lines = self.row_vars() as u128 * self.radius.exceptions();
        let joined = equations as u128 + 3 * self.counts.products as u128 + 1;
        let roots = lines + joined * self.radius.list();
        let queries = query_bits(self.log_height, self.passing(), self.queries);
        Bits::of_sum([EF_BITS.less(Bits::of_count(roots)), queries])
    }
}

/// The commitment to the masks stands for at most two to this power sets of them.
pub(crate) const MASK_LIST_BITS: u32 = 4;
