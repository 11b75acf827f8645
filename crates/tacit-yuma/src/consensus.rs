//! Consensus: how much of a worker's weight enough stake agrees with.
//!
//! Source: subtensor, `weighted_median` and `weighted_median_col`. Upstream searches by pivots; the value that its search ends at is the only one for which
//! the stake below it is at most the minority, and the stake up to and with it is more, or the largest value if there is none. Sums of integers are exact, so
//! any search finds it; here values are sorted, which takes the same time for every input.

use crate::{
    fixed::Fixed,
    matrix::{Matrix, normalise},
};

/// The largest weight that a share `kappa` of stake gives at least, from pairs of stake and weight; whoever has no stake is not heard.
#[must_use]
pub fn weighted_median(scores: &[(Fixed, Fixed)], kappa: Fixed) -> Fixed {
    let (stakes, weights): (Vec<_>, Vec<_>) =
        scores.iter().copied().filter(|(stake, _)| *stake != Fixed::ZERO).unzip();
    let mut stakes: Vec<Fixed> = stakes;
    normalise(&mut stakes);
    let total: Fixed = stakes.iter().copied().sum();
    let minority = total.minus(kappa);
    let mut sorted: Vec<(Fixed, Fixed)> = weights.into_iter().zip(stakes).collect();
    sorted.sort_unstable();
    let mut below = Fixed::ZERO;
    for (weight, stake) in &sorted {
        below = below.plus(*stake);
        if minority < below {
            return *weight;
        }
    }
    sorted.last().map_or(Fixed::ZERO, |(weight, _)| *weight)
}

/// Consensus of each column.
pub(crate) fn consensus(stakes: &[Fixed], weights: &Matrix, kappa: Fixed) -> Vec<Fixed> {
    let columns = weights.first().map_or(0, Vec::len);
    let column = |worker: usize| {
        let weight = |row: &Vec<Fixed>| row.get(worker).copied().unwrap_or_default();
        let scores: Vec<(Fixed, Fixed)> = stakes.iter().copied().zip(weights.iter().map(weight)).collect();
        weighted_median(&scores, kappa)
    };
    (0..columns).map(column).collect()
}
