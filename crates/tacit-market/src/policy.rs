//! How often answers are audited, and how much a worker may have unsettled: terms under which honesty is the best policy.
//!
//! Sources: Zhang and Wang, "Proof of Sampling" (arXiv 2405.00295), for sampled audits with stakes as a game; Gonka, for more audits of newcomers. Deviations: the probability follows
//! from the price and the stake instead of being one number; the stake is shared by all that is unsettled; a good history takes a surcharge away and never goes below what honesty needs.
//!
//! # The game
//! A worker has a stake, of which `S` is burned when it is convicted. It answers, commits to the answer on its receipt, and only then a beacon selects the answer with probability `p`. `k` drawn auditors compute a selected answer again;
//! a wrong answer is found by an honest one with probability `d`, a right one is taken for wrong with probability `f`, and all `k` are in league with the worker with probability at most `r^k`,
//! where `r` is the share of the auditors' stake that may collude. So an audit tells wrong from right with at least
//!
//! ```text
//! e = d (1 - r^k) - f
//! ```
//!
//! Whoever is convicted loses the whole stake. Of it only `S` is counted, what is burned: a quarter goes to whoever showed what was wrong (`specs/0011-audits.md`), who may be the worker's friend, so
//! that `S` is three quarters of what is bonded. A wrong answer to a job of price `R` saves its worker at most `g R`. An answer is
//! **unsettled** for a fixed time after it was given, the longest that beacon, audit and dispute take; a stake is held for longer than that. Then
//!
//! ```text
//! p = K R / (S e)                          an answer is audited, K is the intensity
//! R + (what is unsettled) <= y S           a job is admitted, y is the exposure
//! K R <= e S                               and p is a probability
//! ```
//!
//! # Honesty
//! No strategy that answers some jobs wrongly, however it chooses them, whatever it learns of beacons meanwhile and whenever it leaves, has a positive expected gain over answering rightly, if
//!
//! ```text
//! g (1 + K y) <= K
//! ```
//!
//! Each wrong answer is found with probability at least `K R / S`, whatever was before. So the sum of `K R / S` over the wrong answers up to the first one that is found, less one if one is found, is a
//! martingale: their expected value is at most `(S / K) P`, `P` being the probability that one is ever found. A worker that knows from the beacon that it will be found may answer wrongly
//! whatever else it is given, but that is unsettled when the verdict comes: at most `y S`. So it gains at most `g (S / K + y S) P`, and loses `S P`. The condition says that this is no gain; without it
//! a worker that takes small jobs, answers all wrongly until one is selected, and all that it can get from then on, does gain. A stake cut into several gains nothing: all is proportional to `S`.
//!
//! If the stake changes meanwhile, each answer counts with the stake of its time in both sums, so the same holds, as long as what is being withdrawn can still be lost.
//!
//! What is left out is in honesty's favour: the price of the job that is found, and what a convicted worker would have earned.
//!
//! # Taking part
//! A false alarm costs an honest worker `S`, and a third as much again that goes to somebody else: where there are false alarms, the share that is kept must make up for that as well. It earns at least a share `m` of each price after costs, so it loses nothing by serving if `p f (R + S) <= m R`.
//! With `b` the surcharge on newcomers, and no job above a share `s = min(y, e / K)` of the stake, that holds for every job if `K b f (1 + s) <= m e`; rounding of small probabilities is checked for each job.
//!
//! # What history does
//! A worker's first audits are more frequent, by the factor `b`, falling to one as audits are passed. It is never less than one: a history is sunk on the day a worker leaves, so nothing can be lent on it,
//! and whoever fakes one is audited as often as honesty needs all the same.

use alloy_primitives::U256;

use crate::ratio::Ratio;

/// Terms as proposed: whatever somebody wrote. [`Policy::new`] says whether they will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// `K`: audits of answers worth a stake, all of them wrong, of which one is expected to tell.
    pub intensity: Ratio,
    /// `y`: most that may be unsettled, as a share of the stake.
    pub exposure: Ratio,
    /// `g`: most that a wrong answer saves, as a share of its price. One, if computing is all there is to save.
    pub gain: Ratio,
    /// `d`: how surely one honest audit finds a wrong answer. One, if answers are compared bit for bit.
    pub detection: Ratio,
    /// `f`: how often a right answer is taken for wrong. Zero, if answers are compared bit for bit.
    pub false_alarm: Ratio,
    /// `r`: share of the auditors' stake that may be in league with a worker.
    pub collusion: Ratio,
    /// `k`: auditors of an answer.
    pub auditors: u8,
    /// `m`: least that an honest worker keeps of a price after its costs, as a share.
    pub margin: Ratio,
    /// Passed audits until a worker is no newcomer.
    pub probation_audits: u32,
    /// `b`: how much more often the first answers of a newcomer are audited; at least one.
    pub surcharge: Ratio,
}

/// Terms under which honesty is the best policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    terms: Terms,
    /// `e`, rounded down.
    discernment: Ratio,
}

/// Why terms will not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyReject {
    /// A share above one.
    #[error("detection, false alarm, collusion and margin are shares, at most one")]
    NoShare,
    /// Nothing would be audited or admitted.
    #[error("intensity, exposure and gain are above zero, and at most {VALUE_MAX}")]
    OutOfRange,
    /// Too few or too many to audit one answer.
    #[error("an answer has 1 to {AUDITORS_MAX} auditors")]
    Auditors,
    /// Newcomers would be audited less than others.
    #[error("a surcharge is at least one, and at most {VALUE_MAX}")]
    Surcharge,
    /// Audits tell nothing.
    #[error("audits would not tell wrong answers from right ones")]
    Blind,
    /// Some cheating pays.
    #[error("cheating would pay: more intensity or less exposure")]
    CheatingPays,
    /// Serving honestly may lose money.
    #[error("false alarms would cost honest workers more than they earn")]
    HonestyCosts,
}

/// Why a worker gets no more to do for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionReject {
    /// Its stake covers no more.
    #[error("the stake does not cover this job and what is unsettled")]
    Exposure,
    /// An audit in every case would not be enough.
    #[error("the stake is too small for a job of this price")]
    JobTooLarge,
    /// The least probability there is would cost an honest worker more than it earns.
    #[error("the job is too small for a stake that false alarms endanger")]
    JobTooSmall,
}

/// Largest intensity, exposure, gain and surcharge.
pub const VALUE_MAX: u64 = 1 << 10;
/// Most auditors of an answer.
pub const AUDITORS_MAX: u8 = 16;
/// What cheating saves is taken for this much more than the terms say, so that whoever is wrong about a little is not wrong about honesty.
pub const SAFETY: Ratio = Ratio::percent(125);

impl Terms {
    /// The network's: what the ledger draws audits by that third parties see, and gateways audits by a second worker (`specs/0011-audits.md`). Runs are compared bit for
    /// bit, and whoever is drawn as the second may be in league with the first, or no better: a fifth are taken to be.
    pub const NETWORK: Self = Self {
        intensity: Ratio::percent(200),
        exposure: Ratio::percent(25),
        gain: Ratio::ONE,
        detection: Ratio::ONE,
        false_alarm: Ratio::ZERO,
        collusion: Ratio::percent(20),
        auditors: 1,
        margin: Ratio::percent(10),
        probation_audits: 20,
        surcharge: Ratio::percent(200),
    };

    /// Those of one's own audits with the model's weights: whoever does the run again is in league with nobody, and protects itself alone, so that
    /// what a worker has passed elsewhere is nothing to it.
    pub const OWN: Self =
        Self { collusion: Ratio::ZERO, probation_audits: 0, surcharge: Ratio::ONE, ..Self::NETWORK };

    /// `e`, rounded down; none where audits tell nothing.
    fn discernment(&self) -> Option<Ratio> {
        let mut all_collude = Ratio::ONE;
        for _ in 0..self.auditors {
            all_collude = all_collude.times_up(self.collusion)?;
        }
        let some_honest = Ratio(Ratio::ONE.0.checked_sub(all_collude.0)?);
        let found = self.detection.times(some_honest)?;
        found.0.checked_sub(self.false_alarm.0).filter(|left| *left > 0).map(Ratio)
    }

    /// Whether no cheating has a positive expected gain, for any stake, history and jobs that are admitted: `g (1 + K y) <= K`, exactly.
    #[must_use]
    pub fn is_honesty_best(&self) -> bool {
        honesty_is_best(self, self.gain)
    }
}

impl Policy {
    /// That of [`Terms::NETWORK`].
    pub const NETWORK: Self = Self::exact(Terms::NETWORK);

    /// That of [`Terms::OWN`].
    pub const OWN: Self = Self::exact(Terms::OWN);

    /// One auditor who compares bit for bit: `e = 1 - r`. That [`Self::new`] gives the same is what tests check.
    const fn exact(terms: Terms) -> Self {
        Self { terms, discernment: Ratio(Ratio::ONE.0.saturating_sub(terms.collusion.0)) }
    }

    /// Takes terms for which honesty is the best policy, also if cheating saves [`SAFETY`] times as much as they say, and under which serving honestly loses nothing.
    ///
    /// # Errors
    /// [`PolicyReject`] for all others.
    pub fn new(terms: Terms) -> Result<Self, PolicyReject> {
        let shares = [terms.detection, terms.false_alarm, terms.collusion, terms.margin];
        if shares.iter().any(|share| *share > Ratio::ONE) {
            return Err(PolicyReject::NoShare);
        }
        let within = |value: Ratio| value > Ratio::ZERO && value.0 >> 32 < VALUE_MAX;
        if ![terms.intensity, terms.exposure, terms.gain].into_iter().all(within) {
            return Err(PolicyReject::OutOfRange);
        }
        if terms.auditors == 0 || terms.auditors > AUDITORS_MAX {
            return Err(PolicyReject::Auditors);
        }
        if terms.surcharge < Ratio::ONE || !within(terms.surcharge) {
            return Err(PolicyReject::Surcharge);
        }
        let discernment = terms.discernment().ok_or(PolicyReject::Blind)?;
        let gain = terms.gain.times_up(SAFETY).ok_or(PolicyReject::OutOfRange)?;
        if !honesty_is_best(&terms, gain) {
            return Err(PolicyReject::CheatingPays);
        }
        if !honesty_pays(&terms, discernment) {
            return Err(PolicyReject::HonestyCosts);
        }
        Ok(Self { terms, discernment })
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// `e`: by how much more likely an audit convicts for a wrong answer than for a right one, at least.
    #[must_use]
    pub fn discernment(&self) -> Ratio {
        self.discernment
    }

    /// Most that a worker may have unsettled; smallest units.
    #[must_use]
    pub fn unsettled_max(&self, stake: u128) -> u128 {
        // An exposure above one may be more than there are coins.
        self.terms.exposure.of(stake).unwrap_or(u128::MAX)
    }

    /// Probability with which an answer is audited, rounded up, at most one.
    ///
    /// `stake` is `S`, three quarters of what was bonded when the job was admitted, `passed` how many audits the worker has passed since it last failed one.
    #[must_use]
    pub fn probability(&self, stake: u128, price: u128, passed: u32) -> Ratio {
        match probability_up(self.intensity_for(passed), price, stake, self.discernment) {
            Some(probability) => probability.min(Ratio::ONE),
            None => Ratio::ONE,
        }
    }

    /// Whether a worker with this stake, and this much unsettled, may be given a job of this price.
    ///
    /// # Errors
    /// [`AdmissionReject`].
    pub fn admit(
        &self,
        stake: u128,
        unsettled: u128,
        price: u128,
        passed: u32,
    ) -> Result<(), AdmissionReject> {
        let after = unsettled.checked_add(price).ok_or(AdmissionReject::Exposure)?;
        if after > self.unsettled_max(stake) {
            return Err(AdmissionReject::Exposure);
        }
        match probability_up(self.terms.intensity, price, stake, self.discernment) {
            Some(probability) if probability <= Ratio::ONE => {}
            _ => return Err(AdmissionReject::JobTooLarge),
        }
        // Probabilities come in steps: p f (R + S) <= m R, for the one that is used.
        let convicted =
            self.probability(stake, price, passed).wide().checked_mul(self.terms.false_alarm.wide());
        let at_risk = U256::from(stake).checked_add(U256::from(price));
        let earned = self.terms.margin.wide().saturating_shl(32).checked_mul(U256::from(price));
        let lost = convicted.zip(at_risk).and_then(|(convicted, at_risk)| convicted.checked_mul(at_risk));
        match (lost, earned) {
            (Some(lost), Some(earned)) if lost <= earned => Ok(()),
            _ => Err(AdmissionReject::JobTooSmall),
        }
    }

    /// `K`, and for newcomers more: `K (1 + (b - 1) left / probation)`.
    fn intensity_for(&self, passed: u32) -> Ratio {
        let (intensity, all) = (self.terms.intensity, self.terms.probation_audits);
        let left = all.saturating_sub(passed);
        let extra = self.terms.surcharge.0.saturating_sub(Ratio::ONE.0);
        let share = Ratio::new(left.into(), all.into()).unwrap_or_default();
        let extra = Ratio(extra).times(share).unwrap_or_default();
        let factor = Ratio(Ratio::ONE.0.saturating_add(extra.0));
        // Both are below `VALUE_MAX`, so the product fits.
        intensity.times(factor).unwrap_or(intensity)
    }
}

/// `g (1 + K y) <= K`, in steps of `2^-96`.
fn honesty_is_best(terms: &Terms, gain: Ratio) -> bool {
    let exposed = terms.intensity.wide().checked_mul(terms.exposure.wide());
    let saved = exposed
        .and_then(|exposed| U256::from(1_u64).saturating_shl(64).checked_add(exposed))
        .and_then(|value| value.checked_mul(gain.wide()));
    saved.is_some_and(|saved| saved <= terms.intensity.wide().saturating_shl(64))
}

/// `K b f (1 + s) <= m e` with `s = min(y, e / K)`, in steps of `2^-128`.
fn honesty_pays(terms: &Terms, discernment: Ratio) -> bool {
    let largest = discernment.wide().saturating_shl(32).checked_div(terms.intensity.wide());
    let Some(largest) = largest.map(|largest| largest.min(terms.exposure.wide())) else { return false };
    let lost = terms
        .intensity
        .wide()
        .checked_mul(terms.surcharge.wide())
        .and_then(|often| often.checked_mul(terms.false_alarm.wide()))
        // Rounded up: one more step.
        .and_then(|lost| {
            lost.checked_mul(Ratio::ONE.wide().checked_add(largest)?.checked_add(U256::from(1_u64))?)
        });
    let kept = terms.margin.wide().checked_mul(discernment.wide());
    lost.zip(kept).is_some_and(|(lost, kept)| lost <= kept.saturating_shl(64))
}

/// `K R / (S e)`, rounded up; none where it is no number of 32 bits.
fn probability_up(intensity: Ratio, price: u128, stake: u128, discernment: Ratio) -> Option<Ratio> {
    let above = intensity.wide().saturating_shl(32).checked_mul(U256::from(price))?;
    let below = discernment.wide().checked_mul(U256::from(stake))?;
    let rounded = above.checked_add(below.checked_sub(U256::from(1_u64))?)?.checked_div(below)?;
    u64::try_from(rounded).ok().map(Ratio)
}

#[cfg(test)]
mod tests;
