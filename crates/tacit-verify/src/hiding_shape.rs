//! Parameters of the hiding commitment: how it folds, at which rates, how many rows are opened.
//!
//! # Queries
//! Unique decoding only. A word of `H` values that is not within `(H - K) / 2` of a Reed-Solomon code of degree below `K` agrees with
//! any codeword, and a word that is agrees with any other codeword, on at most `(H + K) / 2` positions; so `t` uniform queries
//! miss with probability at most `((H + K) / 2H)^t`.
//!
//! # Openings
//! Every opening of the first oracle shows at most `queries` rows. It has `openings * queries + 1` random coefficients in each
//! column, so all rows that are ever opened, and any one more, are uniform and independent of the values.

#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "sizes come from a validated graph under stated limits, never from a proof"
    )
)]

use crate::{
    bits::Bits,
    commitment::SetupError,
    field::{EF_BITS, EF_DEGREE},
    oracle::{GRINDING_BITS, OracleShape},
};

/// One oracle and how it is queried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundShape {
    /// Variables folded while it is the current oracle; a row has `2^fold` values.
    pub fold: usize,
    /// Each column holds `2^message_vars` values of the polynomial, lowest degree first.
    pub message_vars: usize,
    /// Random coefficients of each column. In the first oracle they are the last of the values, in later ones they come after them.
    pub randomness: usize,
    /// The code's domain has `2^log_height` points.
    pub log_height: usize,
    /// Rows opened, at most.
    pub queries: usize,
}

/// A commitment to `2^vars` values of the base field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HidingShape {
    /// Base-two logarithm of the number of values, random ones included.
    pub vars: usize,
    /// Openings it is made for.
    pub openings: u32,
    /// Oracles, the committed one first.
    pub rounds: Vec<RoundShape>,
    /// The last polynomial has `2^final_vars` values.
    pub final_vars: usize,
}

/// What a commitment is for; decides which costs count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Made once, opened by many proofs.
    Openings(u32),
    /// Made for one proof.
    OneProof,
}

impl HidingShape {
    /// The cheapest shape for `used` values at `bits` of security.
    ///
    /// # Errors
    /// Refuses what does not fit the field.
    pub fn new(used: usize, lifetime: Lifetime, bits: u32) -> Result<Self, SetupError> {
        let target = bits + TERM_MARGIN_BITS;
        let openings = match lifetime {
            Lifetime::Openings(openings) => openings,
            Lifetime::OneProof => 1,
        };
        let later = later_rounds(target);
        let mut best: Option<(usize, Self)> = None;
        for fold in SHORTEST_FOLD..=LONGEST_FOLD {
            let Some((cost, shape)) = candidate(used, lifetime, openings, fold, target, &later) else {
                continue;
            };
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, shape));
            }
        }
        best.map(|(_, shape)| shape).ok_or(SetupError::NoParameters { vars: ceil_log2(used), bits })
    }

    /// Values that may be chosen freely; random ones follow.
    #[must_use]
    pub fn free(&self) -> usize {
        let first = self.rounds[0];
        (1 << self.vars) - (first.randomness << first.fold)
    }

    /// Shape of an oracle.
    #[must_use]
    pub fn oracle(&self, round: usize) -> OracleShape {
        let shape = self.rounds[round];
        let degree = if round == 0 { 1 } else { EF_DEGREE };
        OracleShape { log_height: shape.log_height, width: degree << shape.fold }
    }

    /// Values that an opening sends under masks.
    #[must_use]
    pub fn messages(&self) -> usize {
        let rounds: usize = self.rounds.iter().map(|round| 2 * round.fold).sum();
        let randomness: usize = self.rounds.iter().skip(1).map(|round| round.randomness).sum();
        rounds + randomness + (1 << self.final_vars)
    }

    /// Bits of security of an opening: folds (proximity gap of Reed-Solomon codes within unique decoding, one line a variable:
    /// eprint 2020/654, theorem 4.1; of their interleavings: Diamond and Gruen, "Proximity Gaps in Interleaved Codes"), sumcheck rounds, batching of queries, queries.
    #[must_use]
    pub fn security(&self) -> Bits {
        let mut terms = Vec::new();
        for (index, round) in self.rounds.iter().enumerate() {
            let height = 1u128 << round.log_height;
            let roots = round.fold as u128 * (height + 2) + round.queries as u128 + 1;
            terms.push(EF_BITS.less(Bits::of_count(roots)));
            let extra = if index == 0 { 0 } else { round.randomness };
            let degree = (1 << round.message_vars) + extra;
            terms.push(query_bits(1 << round.log_height, degree, round.queries));
        }
        Bits::of_sum(terms)
    }
}

/// Bits of security of `queries` queries to a code of degree below `degree` over `height` points, grinding included.
pub(crate) fn query_bits(height: usize, degree: usize, queries: usize) -> Bits {
    let each = per_query(height, degree);
    (0..queries).fold(Bits::whole(GRINDING_BITS as u8), |sum, _| sum.more(each))
}

/// `-log2((height + degree) / (2 height))`, rounded down.
fn per_query(height: usize, degree: usize) -> Bits {
    Bits::whole(ceil_log2(2 * height) as u8).less(Bits::of_count((height + degree) as u128))
}

/// Queries that reach `target` bits with grinding; none when no number does.
pub(crate) fn queries(height: usize, degree: usize, target: u32) -> Option<usize> {
    let each = per_query(height, degree).millibits();
    let wanted = u64::from(target.saturating_sub(GRINDING_BITS as u32)) * 1000;
    (each > 100).then(|| wanted.div_ceil(each) as usize)
}

/// Base-two logarithm, rounded up.
pub(crate) fn ceil_log2(count: usize) -> usize {
    count.max(1).next_power_of_two().trailing_zeros() as usize
}

fn candidate(
    used: usize,
    lifetime: Lifetime,
    openings: u32,
    fold: usize,
    target: u32,
    later: &[Option<Later>],
) -> Option<(usize, HidingShape)> {
    let queries = queries(1 << RATE, 1, target)?;
    let randomness = queries.checked_mul(openings as usize)?.checked_add(1)?;
    let needed = used.checked_add(randomness.checked_mul(1 << fold)?)?;
    let vars = ceil_log2(needed).max(fold + 1).max(crate::plan::MIN_COMMITTED_VARS);
    let message_vars = vars - fold;
    let log_height = message_vars + RATE;
    if vars > crate::plan::MAX_WEIGHT_VARS || log_height > MAX_LOG_HEIGHT {
        return None;
    }
    let rest = later.get(message_vars)?.as_ref()?;
    let first = RoundShape { fold, message_vars, randomness, log_height, queries };
    let mut rounds = vec![first];
    rounds.extend(&rest.rounds);
    let bytes = queries * ((4 << fold) + path_bytes(log_height, queries));
    let commit = match lifetime {
        Lifetime::OneProof => code_cost(log_height, 1 << fold),
        Lifetime::Openings(_) => 0,
    };
    // Batching passes over all values, and folding does twice.
    let folding = (3usize << vars) / 8;
    let cost = bytes + commit + folding + queries * (1 << message_vars) / 16 + rest.cost;
    Some((cost, HidingShape { vars, openings, rounds, final_vars: rest.final_vars }))
}

/// The cheapest way on from a folded polynomial.
#[derive(Debug, Clone)]
struct Later {
    cost: usize,
    rounds: Vec<RoundShape>,
    final_vars: usize,
}

/// For every number of variables of a folded polynomial.
fn later_rounds(target: u32) -> Vec<Option<Later>> {
    let mut best: Vec<Option<Later>> = Vec::new();
    for vars in 0..crate::plan::MAX_WEIGHT_VARS {
        let mut least = (vars <= FINAL_VARS_MOST).then(|| Later {
            cost: MESSAGE_COST << vars,
            rounds: Vec::new(),
            final_vars: vars,
        });
        for fold in 2..=LATER_FOLD.min(vars.saturating_sub(1)) {
            let message_vars = vars - fold;
            let Some(rest) = &best[message_vars] else { continue };
            for rate in 2..=4 {
                let Some(round) = later_round(fold, message_vars, rate, target) else { continue };
                let row = 20 << fold;
                let cost = rest.cost
                    + round.queries * (row + path_bytes(round.log_height, round.queries))
                    + MESSAGE_COST * round.randomness
                    + code_cost(round.log_height, EF_DEGREE << fold)
                    + (round.queries << message_vars) / 16;
                if least.as_ref().is_none_or(|least| cost < least.cost) {
                    let mut rounds = vec![round];
                    rounds.extend(&rest.rounds);
                    least = Some(Later { cost, rounds, final_vars: rest.final_vars });
                }
            }
        }
        best.push(least);
    }
    best
}

/// An oracle of a folded polynomial at inverse rate `2^rate` or a little lower.
fn later_round(fold: usize, message_vars: usize, rate: usize, target: u32) -> Option<RoundShape> {
    let mut wanted = 1;
    // More queries need more randomness, which raises the rate: a few steps settle it.
    for _ in 0..16 {
        let randomness = wanted + 1;
        let degree = (1 << message_vars) + randomness;
        let log_height = ceil_log2(degree) + rate;
        if log_height > MAX_LOG_HEIGHT {
            return None;
        }
        let queries = queries(1 << log_height, degree, target)?;
        if queries <= wanted {
            return Some(RoundShape { fold, message_vars, randomness, log_height, queries: wanted });
        }
        wanted = queries;
    }
    None
}

/// Hashes that a set of queries needs for each of them, about.
fn path_bytes(log_height: usize, queries: usize) -> usize {
    32 * (log_height + 1).saturating_sub(ceil_log2(queries)).max(1)
}

/// Cost of encoding and hashing `2^log_height` rows, in bytes of proof that would be as dear.
pub(crate) fn code_cost(log_height: usize, width: usize) -> usize {
    (width / 4 + 7) << log_height
}

/// Inverse rate of the first code, as a power of two.
const RATE: usize = 3;
/// Fewest variables folded first: a leaf of `2^3` base field elements is not guessed, `p^8 > 2^247`.
const SHORTEST_FOLD: usize = 3;
/// Most variables folded first.
const LONGEST_FOLD: usize = 7;
/// Most variables folded in a later round.
const LATER_FOLD: usize = 5;
/// Most variables of a polynomial that is sent.
const FINAL_VARS_MOST: usize = 10;
/// Two-adicity of the field.
const MAX_LOG_HEIGHT: usize = 24;
/// Cost of a masked message in bytes, its share of the inner argument included.
const MESSAGE_COST: usize = 60;
/// Given to every term, so that their sum stays above the target.
pub(crate) const TERM_MARGIN_BITS: u32 = 4;

#[cfg(test)]
mod tests {
    use p3_field::{Field, PrimeCharacteristicRing, TwoAdicField};

    use super::*;
    use crate::field::Fp;

    /// Rank of the map from the random coefficients of one column to its values at `points`, plus one more.
    fn rank(first_power: usize, randomness: usize, points: &[Fp]) -> usize {
        let mut rows: Vec<Vec<Fp>> = points
            .iter()
            .map(|x| (0..randomness).map(|power| x.exp_u64((first_power + power) as u64)).collect::<Vec<_>>())
            .collect();
        let mut rank = 0;
        for column in 0..randomness {
            let Some(pivot) = (rank..rows.len()).find(|row| rows[*row][column] != Fp::ZERO) else { continue };
            rows.swap(rank, pivot);
            let inverse = rows[rank][column].inverse();
            let pivot = rows[rank].clone();
            for row in &mut rows[rank + 1..] {
                let factor = row[column] * inverse;
                for (value, by) in row.iter_mut().zip(&pivot) {
                    *value -= factor * *by;
                }
            }
            rank += 1;
        }
        rank
    }

    /// The claim behind zero knowledge of the rows: every combination of values at all positions ever opened, and at one more, comes from
    /// exactly as many random coefficients, whatever is committed.
    #[test]
    fn all_openings_together_are_uniform() {
        for openings in [1, 2, 5] {
            let shape = HidingShape::new(300, Lifetime::Openings(openings), 24).unwrap();
            let first = shape.rounds[0];
            let wanted = first.queries * openings as usize + 1;
            assert_eq!(first.randomness, wanted);
            let generator = Fp::two_adic_generator(first.log_height);
            // Positions an adversary would choose: next to each other, and over a subgroup.
            let height = 1usize << first.log_height;
            let step = height / wanted.next_power_of_two().min(height);
            for step in [1, step.max(1)] {
                let points: Vec<Fp> =
                    (0..wanted).map(|index| generator.exp_u64((index * step) as u64)).collect();
                let power = (1 << first.message_vars) - first.randomness;
                assert_eq!(rank(power, first.randomness, &points), wanted);
            }
            for round in shape.rounds.iter().skip(1) {
                assert!(round.randomness > round.queries);
            }
        }
    }

    #[test]
    fn shapes_hold_what_they_are_for_and_reach_their_level() {
        for used in [1, 300, 5000, 101_770, 4_200_000] {
            for openings in [1, 7, 64] {
                for bits in [80, 100, 112] {
                    let shape = HidingShape::new(used, Lifetime::Openings(openings), bits).unwrap();
                    assert!(shape.free() >= used);
                    assert!(shape.security() >= Bits::whole(bits as u8), "{used} {bits} {shape:?}");
                    let folded: usize = shape.rounds.iter().map(|round| round.fold).sum();
                    assert_eq!(folded + shape.final_vars, shape.vars);
                }
            }
        }
        assert!(HidingShape::new(1 << 26, Lifetime::OneProof, 100).is_err());
    }
}
