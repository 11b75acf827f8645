//! What proofs in zero knowledge show, operator by operator: nothing that tells two inputs or two sets of weights apart.

use p3_field::PrimeField32;
use tacit_graph::{Group, Model, Operator, Right, Weights};
use tacit_prove::{CommittedModel, Hiding, Run, Seed, prove_run, prove_run_zk};
use tacit_verify::{
    SecurityBits,
    field::{EF_BYTES, Fp},
};

use crate::{
    message_bytes,
    support::{
        build::{Build, INPUT, divided, flat, group, term, view, weights},
        unit_rows,
    },
};

/// Proofs of one set, each under masks of its own; all openings of one commitment.
const PROOFS: u32 = 24;
const ROWS: usize = 2;
/// Version, level, kind, openings, opening, weight oracle, its answer.
const HEADER: usize = 3 + 40 + EF_BYTES;

/// A small network around each operator, and each again with other weights.
fn networks() -> Vec<(&'static str, Model, Model)> {
    let dense = |build: &mut Build, from, inputs, outputs| build.add(Operator::dense(from, inputs, outputs));
    let mut all = Vec::new();
    let mut done = |name, build: Build| {
        let weights = build.weights.clone();
        let mut graph = build.model().graph().clone();
        // Room for the sums that the other weights reach.
        for node in &mut graph.nodes {
            if let Operator::Requantise { shift: shift @ 1.., .. } = node {
                *shift += 1;
            }
        }
        let mut other = weights.clone();
        for layer in &mut other.layers {
            layer.matrix.iter_mut().for_each(|weight| *weight = -*weight);
            layer.bias.iter_mut().for_each(|bias| *bias = -*bias);
        }
        let model = |weights: Weights| Model::new(graph.clone(), weights).unwrap();
        all.push((name, model(weights), model(other)));
    };

    let mut build = Build::new(&[6], 7, 1);
    dense(&mut build, INPUT, 6, 3);
    done("dense", build);

    let mut build = Build::new(&[4, 4, 2], 6, 2);
    let left = view(INPUT, vec![group(-1, &[(0, 2), (3, 1)]), group(-1, &[(1, 2), (4, 1)]), Group::axis(5)]);
    let sums = build.contract(&[2, 2, 3], &[3, 3, 2], left, weights(&[3, 4, 5, 2]), Some(&[2]));
    build.combine(&[12], vec![term(1, &[], view(sums, vec![flat(3, 0, &[(0, 1)])]))]);
    done("convolution with stride and padding", build);

    let mut build = Build::new(&[4, 3], 6, 3);
    let left = view(INPUT, vec![group(-1, &[(0, 1), (2, 2)]), Group::axis(1)]);
    let sums = build.contract(&[4, 3], &[3], left, weights(&[2, 1]), Some(&[1]));
    build.combine(&[12], vec![term(1, &[], view(sums, vec![flat(2, 0, &[(0, 1)])]))]);
    done("depthwise convolution with dilation", build);

    let mut build = Build::new(&[3, 4], 6, 4);
    let rows = |axis| view(INPUT, vec![Group::axis(axis), Group::axis(2)]);
    let scores = build.contract(&[3, 3], &[4], rows(0), Right::View(rows(1)), None);
    let table = build.table(8, |u| u / 2);
    let scores = build.requantise(scores, table);
    let merged = view(scores, vec![flat(2, 0, &[(1, 1)])]);
    build.contract(&[2], &[9], merged, weights(&[1, 0]), Some(&[0]));
    done("product of two tensors", build);

    let mut build = Build::new(&[5], 6, 5);
    let near = view(INPUT, vec![divided(0, &[(0, 1)], 2, false)]);
    let spread = view(INPUT, vec![divided(-1, &[(0, 1)], 2, true)]);
    let sum = build.combine(&[8], vec![term(3, &[], near), term(-2, &[], spread)]);
    dense(&mut build, sum, 8, 2);
    done("weighted sum of views", build);

    let mut build = Build::new(&[6], 6, 6);
    let largest =
        build.maximum(&[5], view(INPUT, vec![group(0, &[(0, 1)])]), view(INPUT, vec![group(1, &[(0, 1)])]));
    dense(&mut build, largest, 5, 2);
    done("maximum", build);

    let mut build = Build::new(&[5], 6, 7);
    let table = build.table(6, |u| u.max(0) - 7);
    let looked_up = build.requantise(INPUT, table);
    dense(&mut build, looked_up, 5, 2);
    done("look-up without a shift", build);

    let mut build = Build::new(&[5], 7, 8);
    let sum = dense(&mut build, INPUT, 5, 4);
    let table = build.table(7, |u| u.max(0));
    let looked_up = build.requantise(sum, table);
    dense(&mut build, looked_up, 4, 2);
    done("look-up after a shift", build);
    all
}

/// The messages of one proof: what the argument sends before the openings.
type Messages = Vec<[u32; 5]>;

fn elements(bytes: &[u8]) -> Messages {
    let element = |chunk: &[u8]| {
        core::array::from_fn(|at| u32::from_le_bytes(chunk[4 * at..4 * at + 4].try_into().unwrap()))
    };
    bytes.chunks_exact(EF_BYTES).map(element).collect()
}

/// Messages of proofs in zero knowledge, every opening of one commitment used.
fn hidden(model: &Model, inputs: &[Vec<i64>], seed: u8) -> Vec<Messages> {
    let hiding = Hiding { openings_max: PROOFS, openings_used: 0, seed: Seed::new([seed; 32]) };
    let model = CommittedModel::commit_hiding(model.clone(), SecurityBits::DEFAULT, hiding).unwrap();
    let run = Run::new(&model, inputs).unwrap();
    let count = (message_bytes(&model, &run) - 35) / EF_BYTES;
    let start = HEADER + 32 * (1 + usize::from(!run.witness.columns.is_empty()));
    (0..PROOFS)
        .map(|_| {
            let proof = prove_run_zk(&model, &run, &Seed::new([seed; 32])).unwrap();
            elements(&proof[start..start + count * EF_BYTES])
        })
        .collect()
}

/// Messages of as many plain proofs of one input.
fn plain(model: &Model) -> Vec<Messages> {
    let model = CommittedModel::commit(model.clone(), SecurityBits::DEFAULT).unwrap();
    let run = Run::new(&model, &unit_rows(model.model(), ROWS, 9)).unwrap();
    let end = message_bytes(&model, &run);
    let count = (end - 35) / EF_BYTES;
    let proof = || elements(&prove_run(&model, &run).unwrap()[end - count * EF_BYTES..end]);
    (0..PROOFS).map(|_| proof()).collect()
}

/// The farthest that a mean of one coefficient at one place is from that of uniform ones, in standard deviations, and the
/// chi-squared of all coefficients in 64 equal bins.
fn statistics(set: &[Messages]) -> (f64, f64) {
    let mut bins = [0.0; 64];
    let (order, count) = (f64::from(Fp::ORDER_U32), set.len() as f64);
    let mut farthest: f64 = 0.0;
    for place in 0..set[0].len() {
        for coefficient in 0..5 {
            let mut sum = 0.0;
            for messages in set {
                let share = f64::from(messages[place][coefficient]) / order;
                bins[(share * 64.0) as usize] += 1.0;
                sum += share;
            }
            farthest = farthest.max((sum / count - 0.5).abs() * (12.0 * count).sqrt());
        }
    }
    let expected = bins.iter().sum::<f64>() / 64.0;
    (farthest, bins.iter().map(|bin| (bin - expected) * (bin - expected) / expected).sum())
}

/// Six deviations are met once in 5 * 10^8 means, 140 of 63 degrees of freedom once in 10^7 sets.
fn uniform(set: &[Messages]) -> bool {
    let (farthest, chi_squared) = statistics(set);
    farthest < 6.0 && chi_squared < 140.0
}

/// Two sets of uniform messages cannot be told apart by any place in them; nor does any message repeat between two proofs.
fn indistinguishable(name: &str, one: &[Messages], two: &[Messages]) {
    for set in [one, two] {
        assert!(uniform(set), "{name}: {:?}", statistics(set));
    }
    for (a, b) in one.iter().zip(two) {
        assert!(a.iter().zip(b).all(|(x, y)| x != y), "{name}");
    }
}

#[test]
fn no_operator_tells_two_inputs_apart() {
    for (name, model, _) in networks() {
        let still = vec![vec![0; model.graph().features.len()]; ROWS];
        let moved = unit_rows(&model, ROWS, 9);
        indistinguishable(name, &hidden(&model, &still, 1), &hidden(&model, &moved, 2));
    }
}

#[test]
fn no_operator_tells_two_sets_of_weights_apart() {
    for (name, model, other) in networks() {
        assert_ne!(model.weights(), other.weights(), "{name}");
        let inputs = unit_rows(&model, ROWS, 10);
        indistinguishable(name, &hidden(&model, &inputs, 3), &hidden(&other, &inputs, 4));
    }
}

/// The same statistics see through proofs without masks.
#[test]
fn plain_proofs_are_told_from_uniform_ones() {
    for (name, model, _) in networks() {
        let set = plain(&model);
        assert!(!uniform(&set), "{name}: {:?}", statistics(&set));
    }
}
