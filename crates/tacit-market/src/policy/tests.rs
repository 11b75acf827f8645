use proptest::{prelude::*, strategy::ValueTree};

use super::*;

const STAKE: u128 = 10_u128.pow(18);

fn percent(hundredths: u32) -> Ratio {
    Ratio::percent(hundredths)
}

/// Bit-exact answers, one auditor, a fifth of the auditors may collude.
fn exact() -> Terms {
    Terms {
        intensity: percent(400),
        exposure: percent(50),
        gain: percent(100),
        detection: Ratio::ONE,
        false_alarm: Ratio::ZERO,
        collusion: percent(20),
        auditors: 2,
        margin: percent(10),
        probation_audits: 20,
        surcharge: percent(400),
    }
}

#[test]
fn the_network_s_terms_and_one_s_own_will_do() {
    assert_eq!(Policy::new(Terms::NETWORK), Ok(Policy::NETWORK));
    assert_eq!(Policy::new(Terms::OWN), Ok(Policy::OWN));
}

fn real(ratio: Ratio) -> f64 {
    ratio.0 as f64 / Ratio::ONE.0 as f64
}

/// What the terms promise, before any rounding.
fn true_discernment(terms: &Terms) -> f64 {
    real(terms.detection) * (1.0 - real(terms.collusion).powi(terms.auditors.into()))
        - real(terms.false_alarm)
}

/// Terms of all kinds; `room` is how much of the largest exposure they use.
fn terms(room: std::ops::Range<f64>) -> impl Strategy<Value = Terms> {
    let economy = (0.05_f64..3.0, 1.05_f64..20.0, room, 0.0_f64..1.0, 1.0_f64..8.0, 0_u32..50);
    let audits = (0.3_f64..=1.0, 0.0_f64..0.5, 0.0_f64..0.9, 1_u8..4);
    (economy, audits).prop_map(
        |((gain, above, room, margin, surcharge, probation), (detection, alarm, collusion, auditors))| {
            let ratio = |value: f64| Ratio((value * Ratio::ONE.0 as f64) as u64);
            let saved = gain * real(SAFETY);
            let intensity = saved * above;
            Terms {
                intensity: ratio(intensity),
                exposure: ratio((1.0 / saved - 1.0 / intensity) * room),
                gain: ratio(gain),
                detection: ratio(detection),
                // Most are zero or small, as any that are taken must be.
                false_alarm: ratio((alarm - 0.25).max(0.0).powi(3)),
                collusion: ratio(collusion),
                auditors,
                margin: ratio(margin),
                probation_audits: probation,
                surcharge: ratio(surcharge),
            }
        },
    )
}

/// Jobs of all sizes, as shares of a stake.
fn jobs() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((0.0_f64..9.0).prop_map(|digits| 10.0_f64.powf(-digits)), 1..40)
}

/// The prices of those that are admitted when nothing is unsettled: the most a worker can hope for is that all before has settled.
fn admitted(policy: &Policy, shares: &[f64]) -> Vec<u128> {
    let prices = shares.iter().map(|share| (share * STAKE as f64) as u128);
    prices.filter(|price| policy.admit(STAKE, 0, *price, u32::MAX).is_ok()).collect()
}

/// Expected gain of the best of all strategies, by backward induction. The worker learns after each answer whether it will be found; if so it answers wrongly whatever else is admitted.
fn best_gain(policy: &Policy, gain: f64, prices: &[u128]) -> f64 {
    let (stake, room) = (STAKE as f64, policy.unsettled_max(STAKE));
    prices.iter().rev().fold(0.0, |later: f64, price| {
        let found = real(policy.probability(STAKE, *price, u32::MAX)) * true_discernment(policy.terms());
        let when_found = gain * (room - price) as f64 - stake;
        let cheat = gain * *price as f64 + found * when_found + (1.0 - found) * later;
        // Or leave, or answer this one rightly.
        later.max(cheat).max(0.0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// For every choice of terms that is accepted, the best strategy of a cheater gains nothing, even where cheating saves as much more as the safety allows for.
    #[test]
    fn no_strategy_beats_honesty(terms in terms(0.0..1.5), shares in jobs()) {
        let Ok(policy) = Policy::new(terms) else { return Ok(()) };
        let prices = admitted(&policy, &shares);
        let gain = real(terms.gain) * real(SAFETY);
        prop_assert!(best_gain(&policy, gain, &prices) <= STAKE as f64 * 1e-9);
    }

    /// Many small jobs in a burst, before any verdict: the closed form.
    #[test]
    fn a_burst_does_not_pay(terms in terms(0.0..1.5), count in 1_u32..2_000) {
        let Ok(policy) = Policy::new(terms) else { return Ok(()) };
        let price = policy.unsettled_max(STAKE) / u128::from(count);
        prop_assume!(policy.admit(STAKE, policy.unsettled_max(STAKE) - price, price, u32::MAX).is_ok());
        let found = real(policy.probability(STAKE, price, u32::MAX)) * true_discernment(&terms);
        let saved = real(terms.gain) * price as f64 * f64::from(count);
        let lost = STAKE as f64 * (1.0 - (1.0 - found).powf(count.into()));
        prop_assert!(saved <= lost * (1.0 + 1e-9), "saves {saved}, loses {lost}");
    }

    /// A share of the answers wrong, from now on and for ever: what each wrong answer saves against what it risks.
    #[test]
    fn cheating_seldom_does_not_pay(terms in terms(0.0..1.5), share in 0.001_f64..1.0, digits in 0.0_f64..9.0, rounds in 1_u32..10_000) {
        let Ok(policy) = Policy::new(terms) else { return Ok(()) };
        let prices = admitted(&policy, &[10.0_f64.powf(-digits)]);
        let Some(price) = prices.first() else { return Ok(()) };
        let found = share * real(policy.probability(STAKE, *price, u32::MAX)) * true_discernment(&terms);
        // Expected wrong answers until one is found, of at most `rounds` answers.
        let caught = 1.0 - (1.0 - found).powf(rounds.into());
        let saved = real(terms.gain) * share * *price as f64 * caught / found;
        let in_flight = real(terms.gain) * (policy.unsettled_max(STAKE) - price) as f64 * caught;
        prop_assert!(saved + in_flight <= STAKE as f64 * caught * (1.0 + 1e-9));
    }

    /// Terms that miss the condition by a hundredth let small jobs be cheated on with profit, one after another until one is selected, and then everything: one step is enough to gain.
    #[test]
    fn where_the_condition_fails_a_cheat_pays(terms in terms(1.01..2.0)) {
        prop_assume!(terms.exposure.0 >> 32 < VALUE_MAX);
        let Some(discernment) = terms.discernment() else { return Ok(()) };
        // As if the safety were part of what is saved, so that the bound is the exact one.
        let terms = Terms { gain: terms.gain.times(SAFETY).unwrap(), false_alarm: Ratio::ZERO, ..terms };
        let discernment = terms.discernment().unwrap_or(discernment);
        prop_assert!(!terms.is_honesty_best());
        prop_assert!(Policy::new(terms).is_err());
        let policy = Policy { terms, discernment };
        let price = (real(terms.exposure) * 1e-4 * STAKE as f64) as u128;
        policy.admit(STAKE, 0, price, u32::MAX).unwrap();
        prop_assert!(best_gain(&policy, real(terms.gain), &[price]) > 0.0, "{terms:?}");
    }

    /// The condition against its other form, `g / K + g y <= 1`, in fractions.
    #[test]
    fn the_condition_is_the_textbooks(intensity in 1_u64..1 << 40, exposure in 1_u64..1 << 40, gain in 1_u64..1 << 40) {
        let terms = Terms { intensity: Ratio(intensity), exposure: Ratio(exposure), gain: Ratio(gain), ..exact() };
        // g / K <= 1 - g y, times K: g one one <= K (one one - g y).
        let one = 1_u128 << 64;
        let left = u128::from(gain) * u128::from(exposure);
        let expected = left <= one
            && U256::from(gain) * U256::from(one) <= U256::from(intensity) * U256::from(one - left);
        prop_assert_eq!(terms.is_honesty_best(), expected);
    }

    /// An honest worker that serves any admitted job expects no loss from false alarms, newcomers included.
    #[test]
    fn honest_workers_lose_nothing_by_serving(terms in terms(0.0..1.0), shares in jobs(), passed in 0_u32..60) {
        let Ok(policy) = Policy::new(terms) else { return Ok(()) };
        for price in admitted(&policy, &shares) {
            if policy.admit(STAKE, 0, price, passed).is_ok() {
                let convicted = real(policy.probability(STAKE, price, passed)) * real(terms.false_alarm);
                let lost = convicted * (STAKE + price) as f64;
                prop_assert!(lost <= real(terms.margin) * price as f64 * (1.0 + 1e-9));
            }
        }
    }

    /// Whoever cuts a stake into several may have no more unsettled, and is found no less often for the same jobs.
    #[test]
    fn many_small_stakes_gain_nothing(terms in terms(0.0..1.0), parts in 2_u128..100, digits in 2.0_f64..6.0) {
        let Ok(policy) = Policy::new(terms) else { return Ok(()) };
        let part = STAKE / parts;
        prop_assert!(policy.unsettled_max(part) * parts <= policy.unsettled_max(STAKE));
        let price = (10.0_f64.powf(-digits) * STAKE as f64) as u128;
        // The same job risks a smaller stake, more often by as much.
        let whole = policy.probability(STAKE, price, u32::MAX);
        let small = policy.probability(part, price, u32::MAX);
        prop_assert!(small >= whole);
        if small < Ratio::ONE {
            prop_assert!(real(small) * part as f64 >= real(whole) * STAKE as f64 * (1.0 - 1e-3));
        }
    }

    /// More history, more stake or a smaller price never mean more audits; no history means fewer than honesty needs.
    #[test]
    fn probabilities_are_ordered(terms in terms(0.0..1.0), stake in 1_u128..1 << 100, price in 0_u128..1 << 100, passed in 0_u32..60) {
        let Ok(policy) = Policy::new(terms) else { return Ok(()) };
        let chance = policy.probability(stake, price, passed);
        prop_assert!(policy.probability(stake, price, passed + 1) <= chance);
        prop_assert!(policy.probability(stake + stake / 3, price, passed) <= chance);
        prop_assert!(policy.probability(stake, price / 2, passed) <= chance);
        let needed = real(terms.intensity) * price as f64 / (stake as f64 * true_discernment(&terms));
        prop_assert!(real(policy.probability(stake, price, u32::MAX)) >= needed.min(1.0) * (1.0 - 1e-9));
    }
}

/// The properties above say nothing of terms that are refused: most of those that are drawn are not.
#[test]
fn most_drawn_terms_are_accepted() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let drawn = terms(0.0..1.0);
    let accepted = (0..1_000).filter(|_| Policy::new(drawn.new_tree(&mut runner).unwrap().current()).is_ok());
    let accepted = accepted.count();
    assert!(accepted > 500, "{accepted}");
}

/// An auditor that does not look is cheating on a job that pays its fee, and answers that are known to be wrong are its audits: the same condition bounds it.
#[test]
fn lazy_auditors_are_found_as_cheating_workers_are() {
    let watching = Terms { collusion: Ratio::ZERO, auditors: 1, ..exact() };
    let policy = Policy::new(watching).unwrap();
    let fee = STAKE / 1_000;
    assert!(best_gain(&policy, 1.0, &vec![fee; 10_000]) <= 0.0);
    // One that is drawn all day long is shown a wrong answer for each quarter of its stake in fees.
    let shown = real(policy.probability(STAKE, fee, u32::MAX));
    assert!((shown * 1_000.0 - 4.0).abs() < 1e-3, "{shown}");
}

/// With one auditor, a third of whom collude, the same terms must audit more often than with three.
#[test]
fn more_auditors_make_collusion_dear() {
    let third = |auditors| Terms { collusion: percent(33), auditors, ..exact() };
    let chance = |auditors| Policy::new(third(auditors)).unwrap().probability(STAKE, STAKE / 1_000, u32::MAX);
    let (one, three) = (real(chance(1)), real(chance(3)));
    assert!((one / three - (1.0 - 0.33_f64.powi(3)) / 0.67).abs() < 1e-6);
}

#[test]
fn each_reject_has_its_terms() {
    let reject = |terms| Policy::new(terms).unwrap_err();
    let over = Ratio(Ratio::ONE.0 + 1);
    assert!(Policy::new(exact()).is_ok());
    for terms in [
        Terms { detection: over, ..exact() },
        Terms { false_alarm: over, ..exact() },
        Terms { collusion: over, ..exact() },
        Terms { margin: over, ..exact() },
    ] {
        assert_eq!(reject(terms), PolicyReject::NoShare);
    }
    for value in [Ratio::ZERO, Ratio(VALUE_MAX << 32), Ratio(u64::MAX)] {
        assert_eq!(reject(Terms { intensity: value, ..exact() }), PolicyReject::OutOfRange);
        assert_eq!(reject(Terms { exposure: value, ..exact() }), PolicyReject::OutOfRange);
        assert_eq!(reject(Terms { gain: value, ..exact() }), PolicyReject::OutOfRange);
    }
    assert_eq!(reject(Terms { auditors: 0, ..exact() }), PolicyReject::Auditors);
    assert_eq!(reject(Terms { auditors: AUDITORS_MAX + 1, ..exact() }), PolicyReject::Auditors);
    assert_eq!(reject(Terms { surcharge: percent(99), ..exact() }), PolicyReject::Surcharge);
    assert_eq!(reject(Terms { surcharge: Ratio(u64::MAX), ..exact() }), PolicyReject::Surcharge);
    assert_eq!(reject(Terms { collusion: Ratio::ONE, ..exact() }), PolicyReject::Blind);
    assert_eq!(reject(Terms { false_alarm: percent(99), ..exact() }), PolicyReject::Blind);
    assert_eq!(reject(Terms { exposure: percent(56), ..exact() }), PolicyReject::CheatingPays);
    assert!(Policy::new(Terms { exposure: percent(55), ..exact() }).is_ok(), "1 / 1.25 - 1 / 4");
    assert_eq!(reject(Terms { false_alarm: percent(1), ..exact() }), PolicyReject::HonestyCosts);
}

#[test]
fn what_is_not_admitted() {
    let policy = Policy::new(exact()).unwrap();
    assert_eq!(policy.admit(1_000, 499, 1, 0), Ok(()));
    assert_eq!(policy.admit(1_000, 499, 2, 0), Err(AdmissionReject::Exposure));
    assert_eq!(policy.admit(1_000, u128::MAX, 1, 0), Err(AdmissionReject::Exposure));
    // 4 R <= 0.96 S.
    assert_eq!(policy.admit(1_000, 0, 239, 0), Ok(()));
    assert_eq!(policy.admit(1_000, 0, 241, 0), Err(AdmissionReject::JobTooLarge));
    assert_eq!(policy.admit(0, 0, 0, 0), Err(AdmissionReject::JobTooLarge));
    let alarms = Terms { false_alarm: Ratio::new(1, 1_000).unwrap(), ..exact() };
    let policy = Policy::new(alarms).unwrap();
    assert_eq!(policy.admit(STAKE, 0, STAKE / 1_000, 0), Ok(()));
    assert_eq!(policy.admit(STAKE, 0, 1, 0), Err(AdmissionReject::JobTooSmall));
    assert_eq!(policy.probability(STAKE, 1, u32::MAX), Ratio(1));
    assert_eq!(policy.probability(1, u128::MAX, 0), Ratio::ONE);
}

#[test]
fn newcomers_are_audited_more_until_they_have_passed_enough() {
    let policy = Policy::new(exact()).unwrap();
    let chance = |passed| real(policy.probability(STAKE, STAKE / 1_000, passed));
    let settled = chance(20);
    for (passed, factor) in [(0, 4.0), (10, 2.5), (20, 1.0), (1_000, 1.0)] {
        assert!((chance(passed) / settled - factor).abs() < 1e-5, "{passed}");
    }
}
