//! What a subnet fixes once.

use crate::{error::Error, fixed::Fixed};

/// Rules of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Share of stake, of 65535, that must agree with a weight for it to count.
    pub kappa: u16,
    /// How much of what consensus clips a bond loses too, of 65535: all of it at 65535, nothing at 0.
    pub bonds_penalty: u16,
    /// How much of its bonds a validator keeps from epoch to epoch, in millionths.
    pub bonds_average: u32,
    /// Which bonds.
    pub bonds: Bonds,
}

/// How weights become bonds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bonds {
    /// The first Yuma: weights times stake, each column a whole, averaged.
    Classic,
    /// Yuma 3: each pair by itself, stake counted only in dividends.
    Yuma3 {
        /// How fast bonds follow, if not at one rate.
        liquid: Option<LiquidAlpha>,
    },
}

/// A rate for each pair of validator and worker: a bond that is bought above consensus, or sold, moves faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LiquidAlpha {
    /// Lowest rate, of 65535.
    pub low: u16,
    /// Highest rate, of 65535.
    pub high: u16,
    /// How sharply the rate rises with the difference, in hundredths.
    pub steepness: u16,
}

impl Default for Terms {
    /// Upstream's defaults, with which most subnets there run.
    fn default() -> Self {
        Self { kappa: 32_767, bonds_penalty: u16::MAX, bonds_average: 900_000, bonds: Bonds::Classic }
    }
}

impl Terms {
    /// Upstream's scenarios of Yuma 3: liquid alpha from 0.1 to 0.3, bonds of weights that are not clipped.
    #[must_use]
    pub fn yuma3() -> Self {
        let liquid = Some(LiquidAlpha { low: 6_553, high: 19_660, steepness: 1_000 });
        Self { bonds_penalty: 0, bonds_average: 975_000, bonds: Bonds::Yuma3 { liquid }, ..Self::default() }
    }

    /// Whether these can be rules.
    ///
    /// # Errors
    /// [`Error::BondsAverage`] or [`Error::AlphaRange`].
    pub fn check(&self) -> Result<(), Error> {
        if self.bonds_average > MILLION {
            return Err(Error::BondsAverage { limit: MILLION, got: self.bonds_average });
        }
        match self.bonds {
            Bonds::Yuma3 { liquid: Some(LiquidAlpha { low, high, .. }) } if low > high => {
                Err(Error::AlphaRange { low, high })
            }
            _ => Ok(()),
        }
    }

    /// Rate at which bonds follow where it is one for all: one less the average.
    pub(crate) fn alpha(&self) -> Fixed {
        let kept = (u64::from(self.bonds_average) << 32).checked_div(u64::from(MILLION)).unwrap_or(0);
        Fixed::ONE.minus(Fixed::from_raw(kept))
    }
}

/// One, in millionths.
const MILLION: u32 = 1_000_000;
