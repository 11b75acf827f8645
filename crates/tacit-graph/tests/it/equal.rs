//! The fast executor and the reference give the same numbers.

use proptest::prelude::*;
use tacit_graph::{execute, reference, synthetic_mlp};

use crate::support::{Random, model_and_inputs, random_model};

proptest! {
    #[test]
    fn fast_is_reference((model, inputs, rows) in model_and_inputs()) {
        prop_assert!(execute(&model, &inputs, rows).unwrap() == reference::execute(&model, &inputs, rows).unwrap());
    }
}

/// Sizes at which the executor splits the work over threads, by rows and by outputs.
#[test]
fn fast_is_reference_on_both_parallel_paths() {
    let mut random = Random(7);
    for (widths, rows) in [(vec![39, 37, 5], 4000), (vec![2100, 2050, 3], 1), (vec![700, 650, 3], 10)] {
        let model = if widths[0] < 40 {
            random_model(&widths, false, &mut random)
        } else {
            synthetic_mlp(&widths, 3).unwrap()
        };
        let inputs: Vec<i8> = (0..rows * widths[0] as usize).map(|_| random.byte()).collect();
        assert!(
            execute(&model, &inputs, rows).unwrap() == reference::execute(&model, &inputs, rows).unwrap()
        );
    }
}

#[test]
fn a_batch_is_its_rows() {
    let model = synthetic_mlp(&[20, 30, 4], 1).unwrap();
    let inputs: Vec<i8> = (0..60).map(|k| k as i8 * 2).collect();
    let batch = execute(&model, &inputs, 3).unwrap();
    let rows: Vec<i32> =
        inputs.chunks(20).flat_map(|row| execute(&model, row, 1).unwrap().logits().to_vec()).collect();
    assert_eq!(batch.logits(), rows);
}
