//! Random models for property tests.

use proptest::prelude::*;
use tacit_graph::{Feature, Graph, Model, random_inputs, random_model, synthetic_mlp};

/// Rows of a batch and the models they are for.
pub(crate) fn model_and_inputs() -> impl Strategy<Value = (Model, Vec<i16>, usize)> {
    (any::<u64>(), 1usize..5).prop_map(|(seed, rows)| {
        let model = random_model(seed).unwrap();
        let inputs = random_inputs(&model, rows, seed);
        (model, inputs, rows)
    })
}

/// A feature that counts steps.
pub(crate) fn stepped_feature(steps: &[i64]) -> Feature {
    Feature { name: String::new(), offset: 0, multiplier: 0, shift: 0, steps: steps.to_vec() }
}

/// Four features of eight bits, two of them equal and with steps.
pub(crate) fn stepped_graph() -> Graph {
    let mut graph = synthetic_mlp(&[4, 1], 1).unwrap().graph().clone();
    graph.features[1] = stepped_feature(&[-1 << 24, 0, 3]);
    graph.features[2] = graph.features[1].clone();
    graph
}
