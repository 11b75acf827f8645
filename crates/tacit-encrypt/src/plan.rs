//! What an encrypted question costs and how much noise it bears, from public sizes alone.
//!
//! # Noise
//! A query is `b = a s + e + D x`, `e` uniform in `-2^14 .. 2^14` a coefficient, `s` ternary, and its low 8 bits are cut off (rounded, `r_b`). A public
//! key is the same of zero with 24 bits cut off (`r_k`). The worker returns, for one polynomial `W` of weights and fresh `u` (ternary), `e_1`,
//! `e_0 = flood`:
//!
//! `A = a W + k u + e_1`, `B = b W + k' u + flood`, so `B - A s = D (x W) + (e + r_b) W + (e_k + r_k) u - e_1 s + flood`.
//!
//! Uniform noise on an interval of half-width `h` is sub-Gaussian with variance `h^2 / 3`, and so are sums of independent ones; what is bounded
//! but not independent of anything is taken at its bound. A term exceeds eleven deviations with
//! probability at most `2 exp(-11^2 / 2) < 2^-86`, so that an answer of `2^12` outputs is wrong with probability under `2^-72`:
//!
//! | term | bound |
//! |---|---|
//! | `e W` | `11 * 2^14 / sqrt(3) * norm2(W)` |
//! | `r_b W` | `2^7 * norm1(W)` |
//! | `(e_k + r_k) u` | `11 * (2^14 + 2^23) * sqrt(N)` |
//! | `e_1 s` | `11 * 2^14 / sqrt(3) * sqrt(N)` |
//!
//! With `D` the quotient of `q` and `2^(output bits)`, all of it with the flood, uniform on a power of two, stays under `3 D / 8`. The answer is
//! switched to a modulus of `2^(output bits + 14)`, where `D` becomes `2^14`, less at most one part in `2^33`: rounding costs at most `(N + 1) / 2`, the
//! part at most 512, and the noise now `6144`. They add up to less than `2^13`, half of `D`, so that the output is exact.

use tacit_graph::GraphError;

use crate::ring::N;

/// Most inputs.
pub const MAX_INPUTS: usize = 4 * N;
/// Most outputs.
pub const MAX_OUTPUTS: usize = 1 << 12;
/// Most bits of an output, its sign included.
pub const MAX_OUTPUT_BITS: u8 = 30;
/// Longest answer.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// Bits by which the flood exceeds the noise that depends on weights.
pub const MIN_FLOOD_MARGIN: u32 = 6;
/// Noise of fresh ciphertexts is uniform in `-2^14 .. 2^14`.
pub(crate) const NOISE_BITS: u32 = 14;
/// Low bits of a query that are not sent.
pub(crate) const QUERY_CUT: u32 = 8;
/// Low bits of a public key that are not sent.
pub(crate) const KEY_CUT: u32 = 24;
/// The modulus of an answer is this many bits above the outputs.
pub(crate) const SWITCH_BITS: u32 = 14;

/// Why a model cannot be asked under encryption, and what would make it fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// With look-ups neither.
    #[cfg(feature = "pbs")]
    #[error(transparent)]
    Circuit(#[from] crate::circuit::Misfit),
    /// An operator that is not linear.
    #[error("operator {node} is {operator}; without evaluation keys only linear models run under encryption")]
    NotLinear {
        /// Its index.
        node: usize,
        /// What it is.
        operator: &'static str,
    },
    /// Too many inputs.
    #[error("{got} inputs, {MAX_INPUTS} at most: take fewer features")]
    Inputs {
        /// How many.
        got: usize,
    },
    /// No output, or too many.
    #[error("{got} outputs, 1 to {MAX_OUTPUTS} fit: ask for fewer at a time")]
    Outputs {
        /// How many.
        got: usize,
    },
    /// The outputs are too large.
    #[error(
        "outputs have {got} bits, {MAX_OUTPUT_BITS} at most: import with fewer bits for inputs or weights"
    )]
    OutputBits {
        /// Bits with the sign.
        got: u8,
    },
    /// The answer would be too long.
    #[error("an answer would have {got} bytes, {MAX_ANSWER_BYTES} at most: ask for fewer outputs at a time")]
    AnswerBytes {
        /// Its length.
        got: usize,
    },
    /// Too little room for noise.
    #[error(
        "{got} bits are left to hide the weights' noise, {MIN_FLOOD_MARGIN} at least: import with fewer bits for inputs or weights"
    )]
    Noise {
        /// Bits of the flood above what depends on weights.
        got: i32,
    },
    /// The model is too large to run.
    #[error("the model is too large to run row by row")]
    TooLarge,
    /// The model refused a unit row.
    #[error("the model does not run on a row of zeros and a one")]
    Run,
    /// The graph breaks a rule of graphs.
    #[error("the graph is not valid: {0}")]
    Graph(#[from] GraphError),
}

/// Sizes of one question: public, the same for client and worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) input_bits: u8,
    pub(crate) output_bits: u8,
}

/// Sizes and noise. The noise depends on weights, so this stays with the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub(crate) sizes: Sizes,
    pub(crate) flood_bits: u32,
    pub(crate) margin: u32,
}

impl Plan {
    /// A plan for a matrix whose outputs lie in a range.
    pub(crate) fn new(matrix: &[Vec<i64>], input_bits: u8, range: (i64, i64)) -> Result<Self, Misfit> {
        let (inputs, outputs) = (matrix.first().map_or(0, Vec::len), matrix.len());
        check_shape(inputs, outputs)?;
        let output_bits =
            (1..64).find(|bits| range.0 >= -(1i64 << (bits - 1)) && range.1 < 1i64 << (bits - 1));
        let output_bits = output_bits.unwrap_or(64);
        let sizes = Sizes { inputs, outputs, input_bits, output_bits };
        sizes.check()?;
        let layout = sizes.layout();
        let blocks = matrix.chunks(layout.in_product);
        let square =
            |lines: &[Vec<i64>]| lines.iter().flatten().map(|w| i128::from(*w) * i128::from(*w)).sum();
        let sum = |lines: &[Vec<i64>]| lines.iter().flatten().map(|w| i128::from(w.unsigned_abs())).sum();
        let norm2 = root(blocks.clone().map(square).max().unwrap_or(0));
        let norm1: i128 = blocks.map(sum).max().unwrap_or(0);
        let root_n = root(N as i128);
        let weighty = fresh(norm2) + (norm1 << (QUERY_CUT - 1));
        let others = 11 * ((1 << NOISE_BITS) + (1 << (KEY_CUT - 1))) * root_n + fresh(root_n);
        // Half of one unit of output, less what switching the modulus costs.
        let room = i128::from(scale(output_bits)) * 3 / 8 - weighty - others;
        let flood = room.max(1).ilog2();
        let margin = flood.cast_signed() - weighty.max(1).ilog2().cast_signed() - 1;
        match u32::try_from(margin) {
            Ok(margin) if margin >= MIN_FLOOD_MARGIN => Ok(Self { sizes, flood_bits: flood, margin }),
            _ => Err(Misfit::Noise { got: margin }),
        }
    }

    /// What the client may know of it.
    #[must_use]
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Bits by which the flood exceeds the noise that depends on weights.
    #[must_use]
    pub fn flood_margin(&self) -> u32 {
        self.margin
    }
}

/// Refuses numbers of inputs and outputs that no plan is made for.
pub(crate) fn check_shape(inputs: usize, outputs: usize) -> Result<(), Misfit> {
    if inputs > MAX_INPUTS {
        return Err(Misfit::Inputs { got: inputs });
    }
    if outputs == 0 || outputs > MAX_OUTPUTS {
        return Err(Misfit::Outputs { got: outputs });
    }
    Ok(())
}

impl Sizes {
    /// Refuses sizes that no plan has.
    pub(crate) fn check(&self) -> Result<(), Misfit> {
        check_shape(self.inputs, self.outputs)?;
        if !(1..=MAX_OUTPUT_BITS).contains(&self.output_bits) {
            return Err(Misfit::OutputBits { got: self.output_bits });
        }
        let got = self.answer_bytes();
        if got > MAX_ANSWER_BYTES { Err(Misfit::AnswerBytes { got }) } else { Ok(()) }
    }

    /// Inputs of the model.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Outputs of the model.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bits of an encoded input.
    #[must_use]
    pub fn input_bits(&self) -> u8 {
        self.input_bits
    }

    /// Bits of an output, with its sign.
    #[must_use]
    pub fn output_bits(&self) -> u8 {
        self.output_bits
    }

    /// Polynomial products that the worker computes.
    #[must_use]
    pub fn products(&self) -> usize {
        let layout = self.layout();
        layout.products * layout.ciphertexts
    }

    /// Bytes of an encoded query.
    #[must_use]
    pub fn query_bytes(&self) -> usize {
        crate::wire::query_bytes(self.layout().ciphertexts)
    }

    /// Bytes of an encoded answer.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        crate::wire::answer_bytes(self)
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::new(self.inputs, self.outputs)
    }

    /// Bits of the modulus of an answer.
    pub(crate) fn answer_bits(&self) -> u32 {
        u32::from(self.output_bits) + SWITCH_BITS
    }
}

/// Where inputs and outputs sit in polynomials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Ciphertexts of a query, `N` inputs each but for the last.
    pub(crate) ciphertexts: usize,
    /// Coefficients from one output to the next.
    pub(crate) stride: usize,
    /// Outputs of one polynomial.
    pub(crate) in_product: usize,
    /// Polynomials of an answer.
    pub(crate) products: usize,
}

impl Layout {
    pub(crate) fn new(inputs: usize, outputs: usize) -> Self {
        let stride = inputs.clamp(1, N);
        let in_product = N / stride;
        Self {
            ciphertexts: inputs.div_ceil(N).max(1),
            stride,
            in_product,
            products: outputs.div_ceil(in_product),
        }
    }

    /// Coefficient of the `index`-th output of a polynomial.
    pub(crate) fn position(&self, index: usize) -> usize {
        index * self.stride + self.stride - 1
    }
}

/// What one unit of input or output is multiplied by: `q` over two to the output bits, rounded down.
pub(crate) fn scale(output_bits: u8) -> u64 {
    // q = 2^64 - 2^32 + 1.
    0xffff_ffff_0000_0001 >> output_bits
}

/// Bound of fresh noise times a polynomial of this norm: eleven deviations, `sqrt(3)` from above.
fn fresh(norm2: i128) -> i128 {
    ((11 * norm2) << NOISE_BITS) * 1000 / 1732 + 1
}

/// The square root, rounded up.
fn root(square: i128) -> i128 {
    let root = square.max(0).isqrt();
    root + i128::from(root * root < square)
}
