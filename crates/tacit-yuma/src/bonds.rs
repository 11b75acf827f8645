//! Bonds: what a validator has in the success of workers that it weighed.
//!
//! Source: subtensor, `compute_ema_bonds_normal`, `compute_bonds`, `alpha_sigmoid`, `mat_ema_alpha`.

use crate::{
    fixed::Fixed,
    matrix::{self, Matrix},
    sigmoid::sigmoid,
    terms::{Bonds, LiquidAlpha, Terms},
};

/// What bonds are made of.
pub(crate) struct Weighed<'a> {
    pub(crate) terms: &'a Terms,
    /// Stakes of those who were heard, a whole.
    pub(crate) stakes: &'a [Fixed],
    pub(crate) consensus: &'a [Fixed],
    pub(crate) incentive: &'a [Fixed],
    pub(crate) weights: &'a Matrix,
    pub(crate) clipped: &'a Matrix,
}

impl Weighed<'_> {
    /// New bonds as they are kept, and dividends, from bonds as they were kept.
    pub(crate) fn follow(&self, kept: &Matrix) -> (Matrix, Vec<Fixed>) {
        match self.terms.bonds {
            Bonds::Classic => self.classic(kept),
            Bonds::Yuma3 { liquid } => self.yuma3(kept, liquid),
        }
    }

    /// Weights less so much of what was clipped as the terms say.
    fn penalised(&self) -> Matrix {
        let penalty = Fixed::proportion(self.terms.bonds_penalty);
        matrix::zip(self.weights, self.clipped, |weight, clipped| {
            weight.minus(penalty.times_up(weight.minus(clipped)))
        })
    }

    fn classic(&self, kept: &Matrix) -> (Matrix, Vec<Fixed>) {
        let mut bonds = kept.clone();
        matrix::normalise_columns(&mut bonds);
        let mut delta = self.penalised();
        for (row, stake) in delta.iter_mut().zip(self.stakes) {
            for weight in row {
                *weight = weight.times(*stake);
            }
        }
        matrix::normalise_columns(&mut delta);
        let alpha = self.terms.alpha();
        let mut bonds = matrix::zip(&delta, &bonds, |new, old| average(alpha, new, old));
        matrix::normalise_columns(&mut bonds);
        let mut dividends = matrix::weighted_rows(&bonds, self.incentive);
        matrix::normalise(&mut dividends);
        matrix::upscale_columns(&mut bonds);
        (bonds, dividends)
    }

    fn yuma3(&self, kept: &Matrix, liquid: Option<LiquidAlpha>) -> (Matrix, Vec<Fixed>) {
        let mut old = kept.clone();
        for bond in old.iter_mut().flatten() {
            *bond = bond.over(Fixed::whole(u16::MAX));
        }
        let new = self.penalised();
        // Where nobody agrees on anything there is nothing to compare with.
        let liquid = liquid.filter(|_| self.consensus.iter().any(|consensus| *consensus != Fixed::ZERO));
        let bonds: Matrix = match liquid {
            None => {
                let alpha = self.terms.alpha();
                matrix::zip(&new, &old, |new, old| average(alpha, new, old))
            }
            Some(liquid) => {
                new.iter().zip(&old).map(|(new, old)| self.liquid_row(liquid, new, old)).collect()
            }
        };
        let mut shares = bonds.clone();
        matrix::normalise_columns(&mut shares);
        let earned = matrix::weighted_rows(&shares, self.incentive);
        let mut dividends: Vec<Fixed> =
            earned.iter().zip(self.stakes).map(|(earned, stake)| earned.times(*stake)).collect();
        matrix::normalise(&mut dividends);
        (bonds, dividends)
    }

    fn liquid_row(&self, liquid: LiquidAlpha, new: &[Fixed], old: &[Fixed]) -> Vec<Fixed> {
        let pairs = new.iter().zip(old).zip(self.consensus);
        pairs
            .map(|((new, old), consensus)| {
                average(rate(liquid, *consensus, *new, *old), *new, *old).min(Fixed::ONE)
            })
            .collect()
    }
}

/// How fast a bond follows a weight.
fn rate(liquid: LiquidAlpha, consensus: Fixed, weight: Fixed, bond: Fixed) -> Fixed {
    let difference = if weight >= bond { weight.minus(consensus) } else { bond.minus(weight) };
    let (low, high) = (Fixed::proportion(liquid.low), Fixed::proportion(liquid.high));
    let rise = sigmoid(difference.min(Fixed::ONE), liquid.steepness).times(high.minus(low));
    low.plus(rise).clamp(low, high)
}

/// `alpha * new + (1 - alpha) * old`.
fn average(alpha: Fixed, new: Fixed, old: Fixed) -> Fixed {
    alpha.times(new).plus(Fixed::ONE.minus(alpha).times(old))
}
