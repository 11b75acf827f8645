//! Random models for property tests.

use proptest::prelude::*;
use tacit_graph::{Model, random_inputs, random_model};

/// Rows of a batch and the models they are for.
pub(crate) fn model_and_inputs() -> impl Strategy<Value = (Model, Vec<i16>, usize)> {
    (any::<u64>(), 1usize..5).prop_map(|(seed, rows)| {
        let model = random_model(seed).unwrap();
        let inputs = random_inputs(&model, rows, seed);
        (model, inputs, rows)
    })
}
