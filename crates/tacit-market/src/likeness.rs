//! Whether an answer of a float engine is likely to come from the model that it should.
//!
//! Float engines do not agree bit for bit, so an audit cannot compare bytes. A worker commits, with its answer, to the log-probabilities of its most likely tokens at each step. An auditor gives its own
//! engine the same prompt and the worker's tokens, one after another (*forced*), and compares what it gets:
//!
//! - **distance**: mean absolute difference of log-probabilities over what was committed to. Small if the same weights saw the same prompt, whatever the engine.
//! - **gap**: mean of how much less likely the auditor finds the chosen tokens than its most likely ones. Where the most likely token is to be taken (temperature 0) it is almost nothing; a worker that
//!   lets a small model answer and has the right model's log-probabilities computed afterwards passes by distance and not by gap.
//!
//! Sources: Gonka (log-probabilities on forced tokens); TOPLOC (arXiv 2501.16007), which compares activations instead. An answer drawn at a temperature needs the draw to follow from a seed that the
//! client chose, or its gap says nothing; that is not here.
//!
//! Floats: an auditor's verdict about a float engine is a measurement. Thresholds leave room for honest engines to differ; figures are in `docs/market.md`.

/// A token's number in the vocabulary, and its log-probability.
pub type Likely = (u32, f64);

/// One step of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The token that the worker gave out.
    pub token: u32,
    /// What the worker committed to, most likely first.
    pub committed: Vec<Likely>,
    /// What the auditor computed after the same tokens, most likely first; more of them, unless it was asked the same.
    pub again: Vec<Likely>,
}

/// How unlike an answer is to what the auditor would have expected; two means over its steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    /// Of committed log-probabilities from the auditor's.
    pub distance: f64,
    /// Of chosen tokens from the auditor's most likely ones.
    pub gap: f64,
}

/// What an honest engine stays below.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Largest distance.
    pub distance_max: f64,
    /// Largest gap.
    pub gap_max: f64,
}

/// A token that the auditor did not list is taken to be so much less likely than the last that it did.
const UNLISTED: f64 = 1.0;
/// No difference counts for more, so that one step does not decide; a log-probability that is no number counts as this.
const DIFFERENCE_MAX: f64 = 10.0;

/// Compares an answer with its repetition; none of an answer without steps.
#[must_use]
pub fn likeness(steps: &[Step]) -> Option<Likeness> {
    let distance = mean(steps.iter().map(|step| {
        // A worker that commits to nothing is as unlike as can be.
        let each =
            step.committed.iter().map(|(token, committed)| difference(*committed, listed(step, *token)));
        mean(each).unwrap_or(DIFFERENCE_MAX)
    }))?;
    let gap = mean(steps.iter().map(|step| {
        let best = step.again.iter().map(|(_, likely)| *likely).fold(f64::NEG_INFINITY, f64::max);
        difference(best, listed(step, step.token))
    }))?;
    Some(Likeness { distance, gap })
}

/// Distance of a step from an engine that says log-probabilities as it draws, divided by the `temperature` and normed again (mistral.rs), where others say them as they were before.
///
/// What is left of them is how they differ from each other: so the first one is taken for the auditor's, and what was committed to of others counts by how it differs from that, times the temperature.
/// None of a step that commits to one token alone, or for a temperature that divides nothing.
#[must_use]
pub fn distance_tempered(step: &Step, temperature: f64) -> Option<f64> {
    let (first, highest) = *step.committed.first()?;
    if !temperature.is_finite() || temperature <= 0.0 {
        return None;
    }
    let others = step.committed.iter().filter(|(token, _)| *token != first);
    let each = others.map(|(token, committed)| {
        difference((committed - highest) * temperature, listed(step, *token) - listed(step, first))
    });
    mean(each)
}

/// Compares a step of an answer with that of another worker's answer to the same request, of which neither lists more than its few most likely tokens; none of a step where the other lists none.
///
/// A token that one lists and the other does not is no likelier to the other than the last that it lists: what it is likelier than that counts, which is the least that the two can differ by.
/// Over an answer that was asked for at a temperature either may say log-probabilities as it draws ([`distance_tempered`]): the least of the distances counts.
#[must_use]
pub fn likeness_beside(step: &Step, temperature: f64) -> Option<Likeness> {
    let Step { token, committed, again } = step;
    let best = again.iter().map(|(_, likely)| *likely).reduce(f64::max)?;
    let gap = difference(best, find(again, *token).unwrap_or_else(|| last(again)));
    let plain = apart(committed, again, None).unwrap_or(DIFFERENCE_MAX);
    let tempered = [(committed, again), (again, committed)];
    let tempered = tempered.into_iter().filter_map(|(one, other)| {
        let (first, _) = *one.first()?;
        if !temperature.is_finite() || temperature <= 0.0 {
            return None;
        }
        apart(&scaled(one, first, temperature)?, &scaled(other, first, 1.0)?, Some(first))
    });
    Some(Likeness { distance: tempered.fold(plain, f64::min), gap })
}

/// Mean of the least that two lists differ by, over what either of them names, but for one token; none where the first names nothing.
fn apart(one: &[Likely], other: &[Likely], without: Option<u32>) -> Option<f64> {
    let counts = |token: u32| Some(token) != without;
    one.iter().find(|(token, _)| counts(*token))?;
    let beyond = |likely: f64, last: f64| if likely <= last { 0.0 } else { difference(likely, last) };
    let ones = one.iter().filter(|(token, _)| counts(*token)).map(|(token, likely)| {
        find(other, *token).map_or_else(|| beyond(*likely, last(other)), |found| difference(*likely, found))
    });
    let others = other.iter().filter(|(token, _)| counts(*token) && find(one, *token).is_none());
    mean(ones.chain(others.map(|(_, likely)| beyond(*likely, last(one)))))
}

/// How tokens differ from one of them, times a factor.
fn scaled(list: &[Likely], from: u32, factor: f64) -> Option<Vec<Likely>> {
    let origin = find(list, from)?;
    Some(list.iter().map(|(token, likely)| (*token, (likely - origin) * factor)).collect())
}

fn find(list: &[Likely], token: u32) -> Option<f64> {
    list.iter().find(|(listed, _)| *listed == token).map(|(_, likely)| *likely)
}

fn last(list: &[Likely]) -> f64 {
    list.last().map_or(f64::NEG_INFINITY, |(_, likely)| *likely)
}

impl Likeness {
    /// Whether it passes for an answer of the right model.
    #[must_use]
    pub fn passes(&self, thresholds: Thresholds) -> bool {
        self.distance <= thresholds.distance_max && self.gap <= thresholds.gap_max
    }
}

/// What the auditor found for a token.
fn listed(step: &Step, token: u32) -> f64 {
    find(&step.again, token).unwrap_or_else(|| last(&step.again) - UNLISTED)
}

fn difference(one: f64, other: f64) -> f64 {
    let difference = (one - other).abs();
    if difference <= DIFFERENCE_MAX { difference } else { DIFFERENCE_MAX }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THRESHOLDS: Thresholds = Thresholds { distance_max: 0.1, gap_max: 0.05 };

    fn step(token: u32, committed: &[Likely], again: &[Likely]) -> Step {
        Step { token, committed: committed.to_vec(), again: again.to_vec() }
    }

    #[test]
    fn the_same_figures_are_no_distance() {
        let same = [(1, -0.1), (2, -2.5)];
        let got = likeness(&[step(1, &same, &same), step(1, &same, &same)]).unwrap();
        assert_eq!(got, Likeness { distance: 0.0, gap: 0.0 });
        assert!(got.passes(THRESHOLDS));
        assert_eq!(likeness(&[]), None);
    }

    #[test]
    fn figures_by_hand() {
        let again = [(1, -0.25), (2, -1.5), (3, -4.0)];
        // 0.5 and, unlisted, 1; the second step chose what is 1.25 less likely.
        let steps = [step(1, &[(1, -0.75), (9, -4.0)], &again), step(2, &[(1, -0.25)], &again)];
        assert_eq!(likeness(&steps), Some(Likeness { distance: 0.375, gap: 0.625 }));
    }

    /// A small model answers, and the right one's log-probabilities are computed for what it said.
    #[test]
    fn right_figures_for_another_models_tokens_do_not_pass() {
        let again = [(1, -0.25), (2, -2.0)];
        let got = likeness(&[step(2, &again, &again)]).unwrap();
        assert_eq!(got.distance, 0.0);
        assert!(!got.passes(THRESHOLDS));
    }

    #[test]
    fn a_worker_that_commits_to_nothing_does_not_pass() {
        assert!(!likeness(&[step(1, &[], &[(1, -0.1)])]).unwrap().passes(THRESHOLDS));
        assert!(!likeness(&[step(1, &[(1, f64::NAN)], &[(1, -0.1)])]).unwrap().passes(THRESHOLDS));
        assert!(!likeness(&[step(1, &[(1, -0.1)], &[])]).unwrap().passes(THRESHOLDS));
    }

    #[test]
    fn log_probabilities_at_a_temperature_are_read_as_such() {
        let again = [(1, -0.25), (2, -1.5), (3, -4.25)];
        // Twice the differences: drawn at temperature 0.5.
        let tempered = step(1, &[(1, -0.125), (2, -2.625), (3, -8.125)], &again);
        assert_eq!(distance_tempered(&tempered, 0.5), Some(0.0));
        assert!(likeness(core::slice::from_ref(&tempered)).unwrap().distance > 1.0);
        assert_eq!(distance_tempered(&tempered, 1.0), Some((1.25 + 4.0) / 2.0));
        // The first one counts for nothing, however often it is said.
        assert_eq!(distance_tempered(&step(1, &[(1, -9.0), (1, -9.0)], &again), 0.5), None);
        assert_eq!(distance_tempered(&step(1, &[], &again), 0.5), None);
        for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(distance_tempered(&tempered, temperature), None);
        }
    }

    #[test]
    fn two_short_lists_differ_by_no_more_than_they_show() {
        let one = [(1, -0.25), (2, -1.5), (3, -4.0)];
        assert_eq!(likeness_beside(&step(1, &one, &one), 0.0), Some(Likeness { distance: 0.0, gap: 0.0 }));
        // 3 and 4 may be as likely to the other as its last one is; 0.5 of 4, which the first would have listed before its last.
        let other = [(1, -0.75), (2, -1.5), (4, -3.5)];
        let found = likeness_beside(&step(2, &one, &other), 0.0).unwrap();
        assert_eq!(found, Likeness { distance: (0.5 + 0.0 + 0.0 + 0.5) / 4.0, gap: 0.75 });
        // What is not listed is chosen.
        assert_eq!(likeness_beside(&step(9, &one, &other), 0.0).unwrap().gap, 2.75);
        assert_eq!(likeness_beside(&step(1, &one, &[]), 0.0), None);
        assert_eq!(likeness_beside(&step(1, &[], &one), 0.5).unwrap().distance, DIFFERENCE_MAX);
        // Of another model: nothing in common.
        let found = likeness_beside(&step(1, &one, &[(7, -0.25), (8, -2.0)]), 0.0).unwrap();
        assert_eq!(found.distance, (1.75 + 0.5 + 0.0 + 3.75 + 2.0) / 5.0);
    }

    #[test]
    fn either_of_two_may_say_what_it_says_at_the_temperature() {
        let plain = [(1, -0.25), (2, -1.5), (3, -4.25)];
        let tempered = [(1, -0.125), (2, -2.625), (3, -8.125)];
        for (one, other) in [(plain, tempered), (tempered, plain), (tempered, tempered)] {
            let one = step(1, &one, &other);
            assert_eq!(likeness_beside(&one, 0.5).unwrap().distance, 0.0);
        }
        let one = step(1, &plain, &tempered);
        for temperature in [0.0, -0.5, f64::NAN, f64::INFINITY] {
            assert!(likeness_beside(&one, temperature).unwrap().distance > 1.0);
        }
    }

    proptest! {
        /// Lists of one model cut at any length are no distance; of two engines, no more than these differ by.
        #[test]
        fn short_lists_of_one_model_are_alike(logits in prop::collection::vec(-9.0..0.0_f64, 2..12), noise in prop::collection::vec(-0.1..0.1_f64, 12), lengths in (1_usize..6, 1_usize..6)) {
            let list = |logits: Vec<f64>, length: usize| {
                let sum = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
                let mut list: Vec<Likely> = logits.into_iter().enumerate().map(|(token, logit)| (token as u32, logit - sum)).collect();
                list.sort_by(|one, other| other.1.total_cmp(&one.1));
                list.truncate(length);
                list
            };
            let one = list(logits.clone(), lengths.0);
            let same = likeness_beside(&step(one[0].0, &one, &list(logits.clone(), lengths.1)), 0.0).unwrap();
            prop_assert_eq!(same, Likeness { distance: 0.0, gap: 0.0 });
            let noisy = logits.iter().zip(&noise).map(|(logit, noise)| logit + noise).collect();
            let found = likeness_beside(&step(one[0].0, &one, &list(noisy, lengths.1)), 0.0).unwrap();
            // Its logits are off by 0.1, and so is their sum.
            prop_assert!(found.distance <= 0.2 + 1e-9 && found.gap <= 0.4 + 1e-9, "{:?}", found);
        }

        /// An engine that divides by the temperature is as like as the same engine that does not, but for the error of the first.
        #[test]
        fn a_temperature_changes_no_likeness(logits in prop::collection::vec(-9.0..0.0_f64, 2..8), noise in prop::collection::vec(-0.1..0.1_f64, 8), temperature in 0.05..2.0_f64) {
            let normed = |logits: Vec<f64>| {
                let sum = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
                logits.into_iter().enumerate().map(|(token, logit)| (token as u32, logit - sum)).collect::<Vec<_>>()
            };
            let again = normed(logits.clone());
            let noisy = logits.iter().zip(&noise).map(|(logit, noise)| (logit + noise) / temperature);
            let found = distance_tempered(&step(0, &normed(noisy.collect()), &again), temperature).unwrap();
            let count = (logits.len() - 1) as f64;
            let expected = noise.iter().take(logits.len()).skip(1).map(|one| (one - noise[0]).abs()).sum::<f64>() / count;
            prop_assert!((found - expected).abs() < 1e-9, "{} {}", found, expected);
        }

        /// No figure of a worker's makes a mean that is no number, or hides the other steps.
        #[test]
        fn hostile_figures_stay_bounded(figures in prop::collection::vec((any::<u32>(), any::<f64>()), 0..8), steps in 1_usize..4) {
            let hostile = step(7, &figures, &[(7, -0.1), (8, -3.0)]);
            let got = likeness(&vec![hostile; steps]).unwrap();
            prop_assert!((0.0..=DIFFERENCE_MAX).contains(&got.distance) && (0.0..=DIFFERENCE_MAX).contains(&got.gap));
            let hostile = step(7, &figures, &[(7, -0.1), (8, -3.0)]);
            prop_assert!(distance_tempered(&hostile, 0.5).is_none_or(|distance| (0.0..=DIFFERENCE_MAX).contains(&distance)));
            for beside in [step(7, &figures, &[(7, -0.1), (8, -3.0)]), step(7, &[(7, -0.1), (8, -3.0)], &figures)] {
                let got = likeness_beside(&beside, 0.5);
                prop_assert!(got.is_none_or(|got| (0.0..=DIFFERENCE_MAX).contains(&got.distance) && (0.0..=DIFFERENCE_MAX).contains(&got.gap)));
            }
        }
    }
}
