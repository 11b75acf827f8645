//! The polynomial commitment: WHIR (Arnon, Chiesa, Fenzi, Yogev, eprint 2024/1586) over BLAKE3 Merkle trees, by
//! `p3-whir`, at parameters that follow from the size and the security target.
//!
//! Johnson-bound proximity only (proven); the capacity conjecture is never used. `p3-whir` asks for its
//! target per error term, so it is given a few bits more than the total that
//! [`crate::security`] then checks.
//!
//! # Panics of the library
//! Its verifier indexes and asserts on shapes that come from the proof only in places that [`crate::opening`]
//! makes unreachable: that decoder builds every vector at the length the configuration implies.

use p3_blake3::Blake3;
use p3_challenger::{HashChallenger, SerializingChallenger32};
use p3_commit::MultilinearPcs;
use p3_dft::Radix2DFTSmallBatch;
use p3_merkle_tree::MerkleTreeMmcs;
use p3_multilinear_util::point::Point;
use p3_sumcheck::{
    OpeningBatch, OpeningProtocol, PrescribedPointPcs, TableShape, TableSpec, layout::SuffixProver,
};
use p3_symmetric::{CompressionFunctionFromHasher, MerkleCap, SerializingHasher};
use p3_whir::{FoldingFactor, PcsProof, ProtocolParameters, SecurityAssumption, WhirConfig, WhirProver};

use crate::{
    bits::Bits,
    field::{Ef, Fp},
    trees::SharedTrees,
};

/// Fiat-Shamir sponge.
pub type Challenger = SerializingChallenger32<Fp, HashChallenger<u8, Blake3, 32>>;
/// Merkle trees.
pub type Mmcs = SharedTrees<
    MerkleTreeMmcs<Fp, u8, SerializingHasher<Blake3>, CompressionFunctionFromHasher<Blake3, 2, 32>, 2, 32>,
>;
/// The commitment scheme, both halves.
pub type Pcs = WhirProver<Ef, Fp, Radix2DFTSmallBatch<Fp>, Mmcs, Challenger, SuffixProver<Fp, Ef>>;
/// Its derived parameters.
pub type Config = WhirConfig<Ef, Fp, Challenger>;
/// An opening proof.
pub type OpeningProof = PcsProof<Fp, Ef, Mmcs>;
/// A commitment.
pub type Root = MerkleCap<Fp, [u8; 32]>;

/// Why no parameters reach the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The library derives no parameters.
    #[error("no proven parameters commit to 2^{vars} values at {bits} bits")]
    NoParameters {
        /// Size of the commitment.
        vars: usize,
        /// Target.
        bits: u32,
    },
    /// A hiding commitment for no openings or for too many.
    #[error("a hiding commitment serves 1 to {max} openings, {got} were asked for", max = crate::zero_knowledge::MAX_OPENINGS)]
    Openings {
        /// Openings asked for.
        got: u32,
    },
    /// The sum of all errors misses the target.
    #[error("the proof would reach {got} bits, {bits} were asked for")]
    BelowTarget {
        /// Target.
        bits: u32,
        /// Whole bits reached.
        got: u32,
    },
}

/// A commitment scheme for one polynomial of `2^vars` values, opened at one point.
pub struct Scheme {
    vars: usize,
    pcs: Pcs,
    protocol: OpeningProtocol,
}

impl core::fmt::Debug for Scheme {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Scheme").field("vars", &self.vars).finish_non_exhaustive()
    }
}

/// The shape of a commitment: how the library folds and at which rates.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    rate: usize,
    folds: Vec<usize>,
    rates: Vec<usize>,
}

impl Shape {
    /// The first code is dear only at commitment, and commitments to weights are made once, so its rate is low
    /// and its first fold long; later codes are small.
    fn new(vars: usize) -> Self {
        let single = vars.saturating_sub(FINAL_VARS);
        let first = if single <= SHORT_FOLD {
            single.max(1)
        } else {
            single.saturating_sub(LATER_FOLD).clamp(SHORT_FOLD, LONG_FOLD)
        };
        let mut folds = vec![first];
        let mut rest = vars.saturating_sub(first);
        while rest > FINAL_VARS {
            let fold = rest.saturating_sub(FINAL_VARS).min(LATER_FOLD);
            folds.push(fold);
            rest = rest.saturating_sub(fold);
        }
        let rates =
            (1..folds.len()).map(|round| RATE.saturating_add(round.saturating_mul(RATE_STEP))).collect();
        Self { rate: RATE, folds, rates }
    }
}

impl Scheme {
    /// Derives parameters for `bits` of security.
    ///
    /// # Errors
    /// Refuses what the proven bounds do not reach.
    pub fn new(vars: usize, bits: u32) -> Result<Self, SetupError> {
        let refused = SetupError::NoParameters { vars, bits };
        let shape = Shape::new(vars);
        let first_fold = shape.folds.first().copied().ok_or(refused)?;
        let parameters = ProtocolParameters {
            starting_log_inv_rate: shape.rate,
            round_log_inv_rates: shape.rates,
            folding_factor: FoldingFactor::PerRound(shape.folds),
            soundness_type: SecurityAssumption::JohnsonBound,
            security_level: usize::try_from(bits.saturating_add(TERM_MARGIN_BITS)).map_err(|_| refused)?,
            pow_bits: if vars < LARGE_VARS { GRINDING_BITS } else { LARGE_GRINDING_BITS },
        };
        let config = Config::new_with_initial_claims(vars, parameters, 1).map_err(|_| refused)?;
        debug_assert_eq!(config.round_folding_factor(0), first_fold);
        let trees = MerkleTreeMmcs::new(
            SerializingHasher::new(Blake3),
            CompressionFunctionFromHasher::new(Blake3),
            0,
        );
        let pcs = Pcs::new(config, Radix2DFTSmallBatch::default(), SharedTrees::new(trees));
        let opening = OpeningBatch::new(vec![0], Vec::new());
        let protocol = OpeningProtocol::new(vec![TableSpec::new(TableShape::new(vars, 1), vec![opening])]);
        Ok(Self { vars, pcs, protocol })
    }

    /// Base-two logarithm of the number of values.
    #[must_use]
    pub fn vars(&self) -> usize {
        self.vars
    }

    /// The library's scheme.
    #[must_use]
    pub fn pcs(&self) -> &Pcs {
        &self.pcs
    }

    /// The library's opening schedule: one column, one point.
    #[must_use]
    pub fn protocol(&self) -> &OpeningProtocol {
        &self.protocol
    }

    /// Bits of security of an opening, by the library's own sum over rounds, and of the list the commitment
    /// leaves open until it is opened.
    ///
    /// The library's figures are floats from software arithmetic, the same on every machine.
    #[must_use]
    #[cfg_attr(not(test), expect(clippy::as_conversions, reason = "finite, positive and below 2^20"))]
    pub fn security(&self) -> Option<OpeningSecurity> {
        let security = self.pcs.prescribed_security(&self.protocol)?;
        let rate = self.pcs.starting_log_inv_rate;
        let list = SecurityAssumption::JohnsonBound.list_size_bits(self.vars, rate);
        Some(OpeningSecurity {
            bits: Bits::from_steps((security.error().bits() * 64.0).floor() as u32),
            list_bits: Bits::from_steps((list * 64.0).ceil() as u32),
        })
    }

    /// Absorbs a commitment, before any challenge that depends on it.
    pub fn observe(&self, root: &[u8; 32], challenger: &mut Challenger) {
        <Pcs as MultilinearPcs<Ef, Challenger>>::observe_commitment(&self.pcs, &cap(root), challenger);
    }

    /// Checks that the polynomial behind `root` has the value in `proof` at `point`.
    ///
    /// # Soundness
    /// The caller MUST have absorbed `root` with [`Self::observe`] before it drew `point`, and MUST have built
    /// `proof` with the decoder of this scheme, around the value it believes in.
    #[must_use]
    pub fn verify(
        &self,
        root: &[u8; 32],
        proof: &OpeningProof,
        point: &[Ef],
        challenger: &mut Challenger,
    ) -> bool {
        if point.len() != self.vars {
            return false;
        }
        let point = [Point::new(point.to_vec())];
        self.pcs.verify_at(&cap(root), proof, &self.protocol, &point, challenger).is_ok()
    }
}

/// Security of one opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpeningSecurity {
    /// Bits of the opening itself.
    pub bits: Bits,
    /// Base-two logarithm of the number of polynomials a commitment may be close to.
    pub list_bits: Bits,
}

fn cap(root: &[u8; 32]) -> Root {
    Root::new(vec![*root])
}

/// The last polynomial, sent whole, has at most this many variables; the library's own limit.
const FINAL_VARS: usize = 6;
/// Variables folded first, at most, where that is all that is folded, and at least where it is not.
const SHORT_FOLD: usize = 6;
/// Variables folded first, at most.
const LONG_FOLD: usize = 7;
/// Variables folded in each later round.
const LATER_FOLD: usize = 4;
/// Inverse rate of the first code, as a power of two.
const RATE: usize = 3;
/// What each later code adds to it.
const RATE_STEP: usize = 2;
/// Most work asked of the prover for one set of queries.
const GRINDING_BITS: usize = 6;
/// The same for large commitments, which take so long that more work is not noticed: a millisecond a set for six per cent of the proof.
const LARGE_GRINDING_BITS: usize = 14;
/// Commitments of so many variables are large.
const LARGE_VARS: usize = 18;
/// Given to every term of the library's budget, so that their sum and ours stay above the target.
const TERM_MARGIN_BITS: u32 = 4;
