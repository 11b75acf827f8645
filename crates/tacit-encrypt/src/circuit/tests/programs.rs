//! Programs in the clear, with and without noise.

use proptest::prelude::*;
use tacit_graph::{execute, synthetic_mlp};

use super::trees::Forest;
use crate::circuit::{
    compile::{Misfit, compile},
    parameters::SETS,
    plan::{MAX_DEPTH, Program, window},
    simulate::Random,
    steps::Steps,
};

fn logits(model: &tacit_graph::Model, row: &[i16]) -> Vec<i64> {
    execute(model, row, 1).unwrap().logits().into_iter().map(i64::from).collect()
}

/// Thousands of rows, with as much noise as the formulas say.
#[test]
fn forests_are_exact() {
    for depth in 1..5 {
        let forest = Forest { features: 12, levels: 24, trees: 20, depth, leaf: 200 };
        let model = forest.model(5);
        let program = Program::new(&compile(&model).unwrap()).unwrap();
        assert!(program.plan.exact && program.plan.failure_log2 < -58.0, "{:?}", program.plan);
        let mut random = Random(6);
        for _ in 0..3000 {
            let row = forest.row(&mut random);
            assert_eq!(program.simulate(&row, true, &mut random), logits(&model, &row));
        }
    }
}

#[test]
fn the_cheapest_parameters_that_are_exact_are_taken() {
    let plan = |depth, leaf| {
        let forest = Forest { features: 12, levels: 24, trees: 20, depth, leaf };
        Program::new(&compile(&forest.model(5)).unwrap()).unwrap().plan
    };
    assert_eq!(plan(2, 2).parameters.id, 1);
    assert_eq!(plan(2, 500).parameters.id, 2);
    assert_eq!(plan(3, 500).parameters.id, 2);
    assert_eq!(plan(4, 500).parameters.id, 3);
    // More than sixteen values of a sum, and more of an output than there is room for.
    assert!(!plan(5, 500).exact);
    assert!(!plan(4, 30_000).exact);
}

/// Failures are met as often as is said, where there are enough to count: at sums of far more values than parameters allow.
#[test]
fn failures_are_as_rare_as_computed() {
    for (depth, parameters) in [(5, &SETS[0]), (5, &SETS[1]), (6, &SETS[1])] {
        let forest = Forest { features: 8, levels: 20, trees: 1, depth, leaf: 100 };
        let model = forest.model(2);
        let circuit = compile(&model).unwrap();
        let program = Program::unrounded(&circuit, parameters);
        assert!(!program.plan.exact);
        let expected = program.plan.failure_log2.exp2();
        assert!((1e-5..0.3).contains(&expected), "{expected}");
        let mut random = Random(3);
        let runs = (100.0 / expected) as usize + 1000;
        let wrong = (0..runs).filter(|_| {
            let row = forest.row(&mut random);
            program.simulate(&row, true, &mut random)
                != circuit.evaluate(&row.iter().map(|x| i64::from(*x)).collect::<Vec<_>>())
        });
        // A bound, and not far from what happens.
        let ratio = wrong.count() as f64 / runs as f64 / expected;
        assert!((0.08..1.0).contains(&ratio), "{depth} {expected} {ratio}");
    }
}

/// Without noise an approximate program is off by no more than its rounding of weights, and with it by what the plan says.
#[test]
fn networks_are_approximate_as_computed() {
    let model = synthetic_mlp(&[40, 24, 6], 3).unwrap();
    let circuit = compile(&model).unwrap();
    for parameters in SETS {
        let program = Program::with(&circuit, parameters).unwrap();
        assert!(!program.plan.exact);
        let mut random = Random(8);
        let (mut quiet, mut noisy, mut spread, runs) = (0.0, 0.0, 0.0, 600);
        for _ in 0..runs {
            let row: Vec<i16> = (0..40).map(|_| (random.word() as u8 as i8).into()).collect();
            let exact = logits(&model, &row);
            let square = |other: &[i64]| {
                other.iter().zip(&exact).map(|(a, b)| ((a - b) * (a - b)) as f64).sum::<f64>() / 6.0
            };
            quiet += square(&program.simulate(&row, false, &mut random));
            noisy += square(&program.simulate(&row, true, &mut random));
            let mean = exact.iter().sum::<i64>() as f64 / 6.0;
            spread += exact.iter().map(|x| (*x as f64 - mean).powi(2)).sum::<f64>() / 6.0;
        }
        let relative = |square: f64| (square / spread).sqrt();
        assert!(relative(quiet) < relative(noisy), "{} {quiet} {noisy}", parameters.name);
        assert!(relative(noisy) < 0.25, "{} {}", parameters.name, relative(noisy));
        // What is promised is kept by a wide margin, and says something.
        let tolerance = f64::from(program.tolerance(&circuit));
        let (error, spread) = ((noisy / f64::from(runs)).sqrt(), (spread / f64::from(runs)).sqrt());
        assert!((3.0 * error..8.0 * error).contains(&tolerance), "{} {tolerance} {error}", parameters.name);
        assert!(tolerance < spread, "{} {tolerance} {spread}", parameters.name);
    }
}

proptest! {
    /// Every sum within reach finds its value in a window as narrow as the rule allows, whatever the function, on both halves of the torus.
    #[test]
    fn windows_hold_every_sum(
        values in proptest::collection::vec(-5i64..6, 2..40), low in -50i64..50, more in 0i64..9, error in -40i64..41,
    ) {
        let high = low + values.len() as i64 - 1;
        let at = |v: i64| values[usize::try_from(v - low).unwrap()];
        let steps = Steps::identity(low, high).map(at);
        prop_assume!(steps.constant().is_none());
        let narrowest = window(&steps);
        // Wider does no harm.
        let half = narrowest + more;
        let degree = 1024;
        let (first, last) = steps.ends();
        for v in low..=high {
            let start = steps.window_start(2.0 * half as f64);
            let places = 2.0 * degree as f64;
            let place = ((v as f64 - start) / (2.0 * half as f64) * places).round() as i64;
            // Up to two fifths of a unit beside it.
            let place = place + error * 2 * degree as i64 / (2 * half * 100);
            let place = usize::try_from(place.rem_euclid(2 * degree as i64)).unwrap();
            let entry = match place.checked_sub(degree) {
                None => steps.entry(2.0 * half as f64, degree, place),
                Some(place) => -steps.entry(2.0 * half as f64, degree, place),
            };
            prop_assert_eq!(entry, 2 * at(v) - first - last, "{} of {}..{} in {}", v, low, high, half);
        }
    }
}

fn refused(widths: &[u32]) -> Misfit {
    let circuit = compile(&synthetic_mlp(widths, 1).unwrap()).unwrap();
    Program::new(&circuit).unwrap_err()
}

#[test]
fn long_chains_are_refused() {
    let widths = vec![6; MAX_DEPTH + 3];
    assert_eq!(refused(&widths), Misfit::Depth { got: MAX_DEPTH + 1 });
}

#[test]
fn too_many_outputs_are_refused() {
    assert_eq!(refused(&[6, 4, 257]), Misfit::Outputs { got: 257 });
}

#[test]
fn sums_lost_in_noise_are_refused() {
    let circuit = compile(&synthetic_mlp(&[64, 64, 64, 10], 1).unwrap()).unwrap();
    // The noise of this set's small key is too much for a switch to it after wide sums.
    let misfit = Program::with(&circuit, &SETS[2]).unwrap_err();
    assert!(matches!(misfit, Misfit::Noise { what: "a sum before a look-up", .. }), "{misfit:?}");
    assert!(Program::with(&circuit, &SETS[0]).is_ok());
}
