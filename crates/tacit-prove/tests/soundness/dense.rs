//! Attacks on statements, on look-ups and rows of a dense network, and on the bytes of its proof.

use std::collections::BTreeSet;

use p3_field::{PrimeCharacteristicRing, PrimeField32};
use tacit_graph::{Decoder, Graph, Model, Table, Weights};
use tacit_prove::{CommittedModel, Run, prove, prove_run};
use tacit_verify::{
    PlanError, Reject, SecurityBits, Statement, VerifyingModel,
    commitment::SetupError,
    field::{Fp, embed},
    plan::{RequantisePlan, TableKind},
    security::BudgetError,
    security_report, verify, verify_at,
};

use crate::{
    is_lookup, message_bytes, reason, signed,
    support::{Random, dense_model, random_rows},
};

/// A small model, an honest run of it and its proof.
struct Honest {
    model: CommittedModel,
    run: Run,
    proof: Vec<u8>,
}

fn honest() -> Honest {
    honest_rows(3)
}

fn honest_rows(rows: usize) -> Honest {
    let mut random = Random(2026);
    let model = dense_model(&[5, 4, 3, 2], 5, &mut random);
    let inputs = random_rows(&model, rows, &mut random);
    let model = CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap();
    let run = Run::new(&model, &inputs).unwrap();
    let proof = prove_run(&model, &run).unwrap();
    Honest { model, run, proof }
}

impl Honest {
    fn reject(&self, statement: &Statement, proof: &[u8]) -> Reject {
        verify(self.model.verifying_model(), statement, proof).unwrap_err()
    }

    /// Proves the run as it now stands and says why it is refused.
    fn reject_run(&self) -> Reject {
        self.reject(&self.run.statement, &prove_run(&self.model, &self.run).unwrap())
    }

    fn node(&self, index: usize) -> RequantisePlan {
        self.run.plan.requantisations().nth(index).unwrap().clone()
    }

    /// Moves one use of the activation table from the row of `from` to the row of `to`.
    fn move_count(&mut self, node: &RequantisePlan, from: i32, to: i32) {
        let bits = self.model.model().graph().tables[node.table].bits;
        let first = 1i32 << (bits - 1);
        let kind = TableKind::Activation(node.table);
        let count = self.run.plan.tables.iter().find(|table| table.kind == kind).unwrap().count;
        let counts = &mut self.run.witness.columns[count];
        counts[(from + first) as usize] -= Fp::ONE;
        counts[(to + first) as usize] += Fp::ONE;
    }

    fn image_of(&self, node: &RequantisePlan, u: i32) -> i32 {
        let table = &self.model.model().graph().tables[node.table];
        i32::from(table.values[(u + (1 << (table.bits - 1))) as usize])
    }

    /// What the last layer makes of the images as they now stand.
    fn recompute_outputs(&mut self) {
        let node = self.run.plan.requantisations().last().unwrap().clone();
        let width = self.run.plan.tensors[node.output].vars();
        let layer = self.model.model().weights().layers.last().unwrap();
        let outputs = layer.bias.len();
        for (row, values) in self.run.statement.outputs.iter_mut().enumerate() {
            let images = &self.run.witness.columns[node.image][row << width..];
            for (o, value) in values.iter_mut().enumerate() {
                let products = layer.matrix.iter().skip(o).step_by(outputs);
                *value = layer.bias[o]
                    + products.zip(images).map(|(w, y)| i32::from(*w) * signed(*y)).sum::<i32>();
            }
        }
    }
}

#[test]
fn the_honest_proof_is_accepted() {
    let honest = honest();
    let verified = verify(honest.model.verifying_model(), &honest.run.statement, &honest.proof).unwrap();
    assert_eq!(verified.model(), honest.model.model_id());
}

#[test]
fn an_altered_output_is_refused() {
    let mut honest = honest();
    let mut statement = honest.run.statement.clone();
    statement.outputs[1][0] += 1;
    // With the honest proof, and with one made for the false statement.
    let _ = honest.reject(&statement, &honest.proof);
    honest.run.statement = statement;
    assert_eq!(honest.reject_run(), Reject::Product { node: 4 });
}

#[test]
fn every_output_is_bound() {
    let honest = honest();
    for row in 0..honest.run.statement.outputs.len() {
        for index in 0..honest.run.statement.outputs[row].len() {
            let mut statement = honest.run.statement.clone();
            statement.outputs[row][index] ^= 1;
            let _ = honest.reject(&statement, &honest.proof);
        }
    }
}

#[test]
fn an_altered_input_is_refused() {
    let mut honest = honest();
    // Far enough to change the encoded value.
    honest.run.statement.inputs[2][4] += 100;
    let _ = honest.reject(&honest.run.statement, &honest.proof);
    assert_eq!(honest.reject_run(), Reject::Input);
}

#[test]
fn an_input_altered_within_its_rounding_is_refused() {
    // The encoded rows are equal; the statement is about raw values all the same.
    let mut honest = honest();
    let graph = honest.model.model().graph();
    let encoded = graph.encode_input(&honest.run.statement.inputs[0]).unwrap();
    let nearby = (0..5).find_map(|feature| {
        let mut row = honest.run.statement.inputs[0].clone();
        row[feature] += if encoded[feature] < 0 { -2000 } else { 2000 };
        (graph.encode_input(&row).unwrap() == encoded).then_some(row)
    });
    let row = nearby.expect("a saturated feature");
    honest.run.statement.inputs[0] = row;
    let _ = honest.reject(&honest.run.statement, &honest.proof);
}

#[test]
fn a_replayed_proof_is_refused() {
    let honest = honest();
    let mut random = Random(5);
    let inputs = random_rows(honest.model.model(), 3, &mut random);
    let other = prove(&honest.model, &inputs).unwrap();
    let statement = Statement { inputs, outputs: other.outputs };
    assert!(verify(honest.model.verifying_model(), &statement, &other.proof).is_ok());
    let _ = honest.reject(&statement, &honest.proof);
    let _ = honest.reject(&honest.run.statement, &other.proof);
}

#[test]
fn the_proof_of_another_model_is_refused() {
    let honest = honest();
    let graph = honest.model.model().graph().clone();
    let mut weights = honest.model.model().weights().clone();
    weights.layers[2].bias[0] += 1;
    let other = CommittedModel::commit(Model::new(graph, weights).unwrap(), SecurityBits::DEFAULT).unwrap();
    let proved = prove(&other, &honest.run.statement.inputs).unwrap();
    let statement = Statement { inputs: honest.run.statement.inputs.clone(), outputs: proved.outputs };
    assert!(verify(other.verifying_model(), &statement, &proved.proof).is_ok());
    let _ = honest.reject(&statement, &proved.proof);
}

#[test]
fn another_weight_root_is_refused() {
    let honest = honest();
    let mut root = honest.model.weight_root();
    root[31] ^= 1;
    let model = VerifyingModel::new(honest.model.model().graph().clone(), root).unwrap();
    assert!(verify(&model, &honest.run.statement, &honest.proof).is_err());
}

#[test]
fn another_graph_over_the_same_weights_is_refused() {
    // Nothing that is proved depends on the decoder; the model id does.
    let honest = honest();
    let graph =
        Graph { decoder: Decoder::Values { fraction_bits: 3 }, ..honest.model.model().graph().clone() };
    let model = VerifyingModel::new(graph, honest.model.weight_root()).unwrap();
    assert!(verify(&model, &honest.run.statement, &honest.proof).is_err());
}

#[test]
fn swapped_layers_are_refused() {
    let mut random = Random(9);
    let model = dense_model(&[4, 4, 4, 2], 5, &mut random);
    let rows = random_rows(&model, 1, &mut random);
    let swap = |weights: &Weights| {
        let mut weights = weights.clone();
        weights.layers.swap(0, 1);
        weights
    };
    let honest = CommittedModel::commit(model.clone(), SecurityBits::DEFAULT).unwrap();
    // Wide tables, so that the swapped model is valid as well.
    let mut graph = model.graph().clone();
    for table in &mut graph.tables {
        *table = Table { bits: 12, values: vec![1; 1 << 12] };
    }
    let weights = swap(model.weights());
    let swapped =
        CommittedModel::commit(Model::new(graph.clone(), weights).unwrap(), SecurityBits::DEFAULT).unwrap();
    assert_ne!(honest.weight_root(), swapped.weight_root());
    let proved = prove(&swapped, &rows).unwrap();
    let statement = Statement { inputs: rows, outputs: proved.outputs };
    let verifying = VerifyingModel::new(graph, honest.weight_root()).unwrap();
    assert!(verify(&verifying, &statement, &proved.proof).is_err());
}

#[test]
fn an_image_outside_its_table_is_refused() {
    let mut honest = honest();
    let node = honest.node(1);
    honest.run.witness.columns[node.image][0] += Fp::ONE;
    // Everything after it is honest again.
    honest.recompute_outputs();
    assert!(is_lookup(&honest.reject_run()));
}

#[test]
fn an_image_of_another_row_of_the_table_is_refused() {
    let mut honest = honest();
    let node = honest.node(1);
    let u = signed(honest.run.virtuals[node.quotient][0]);
    let other = if u > 0 { u - 1 } else { u + 1 };
    honest.run.witness.columns[node.image][0] = embed(honest.image_of(&node, other));
    honest.move_count(&node, u, other);
    honest.recompute_outputs();
    assert!(is_lookup(&honest.reject_run()));
}

#[test]
fn a_quotient_off_by_one_is_refused() {
    // Look-ups all hold; the accumulator is not that of the layer.
    let mut honest = honest();
    let node = honest.node(1);
    let u = signed(honest.run.virtuals[node.quotient][0]);
    let other = if u > 0 { u - 1 } else { u + 1 };
    honest.run.virtuals[node.quotient][0] = embed(other);
    honest.run.witness.columns[node.image][0] = embed(honest.image_of(&node, other));
    honest.move_count(&node, u, other);
    honest.recompute_outputs();
    assert_eq!(honest.reject_run(), Reject::Product { node: 2 });
}

#[test]
fn a_remainder_out_of_range_is_refused() {
    // The accumulator is right: `2^s (u - 1) + (r + 2^s)`; only the range of `r` is not.
    let mut honest = honest();
    let node = honest.node(1);
    assert!(node.shift > 0);
    let u = signed(honest.run.virtuals[node.quotient][0]);
    let (other, carry) = if u > 0 { (u - 1, 1) } else { (u + 1, -1) };
    honest.run.virtuals[node.quotient][0] = embed(other);
    honest.run.witness.columns[node.image][0] = embed(honest.image_of(&node, other));
    let limb = *node.limbs.last().unwrap();
    honest.run.witness.columns[limb.column][0] += embed(carry * (1 << (node.shift - limb.offset)));
    honest.move_count(&node, u, other);
    honest.recompute_outputs();
    assert!(is_lookup(&honest.reject_run()));
}

#[test]
fn a_wrong_multiplicity_is_refused() {
    let mut honest = honest();
    let count = honest.run.plan.tables[0].count;
    honest.run.witness.columns[count][1] += Fp::ONE;
    assert!(is_lookup(&honest.reject_run()));
}

#[test]
fn a_padding_row_of_its_own_is_refused() {
    // Three rows are padded to four; the fourth repeats the third.
    let mut honest = honest();
    let node = honest.node(0);
    let at = 3 << honest.run.plan.tensors[node.output].vars();
    let u = signed(honest.run.virtuals[node.quotient][at]);
    let other = if u > 0 { u - 1 } else { u + 1 };
    honest.run.virtuals[node.quotient][at] = embed(other);
    honest.run.witness.columns[node.image][at] = embed(honest.image_of(&node, other));
    honest.move_count(&node, u, other);
    assert!(matches!(honest.reject_run(), Reject::Product { .. }));
}

#[test]
fn another_number_of_rows_is_refused() {
    // Three rows and four rows have proofs of one shape.
    let honest = honest();
    let mut statement = honest.run.statement.clone();
    statement.inputs.push(statement.inputs[2].clone());
    statement.outputs.push(statement.outputs[2].clone());
    let _ = honest.reject(&statement, &honest.proof);
    let mut statement = honest.run.statement.clone();
    statement.inputs.pop();
    statement.outputs.pop();
    let _ = honest.reject(&statement, &honest.proof);
}

#[test]
fn rows_in_another_order_are_refused() {
    let honest = honest();
    let mut statement = honest.run.statement.clone();
    statement.inputs.swap(0, 1);
    statement.outputs.swap(0, 1);
    let _ = honest.reject(&statement, &honest.proof);
}

#[test]
fn an_output_plus_the_field_order_is_refused() {
    // The same element of the field, another answer.
    let mut honest = honest();
    let value = honest.run.statement.outputs[0][0];
    let wrapped = i64::from(value) + if value < 0 { 1 } else { -1 } * i64::from(Fp::ORDER_U32);
    let wrapped = i32::try_from(wrapped).unwrap();
    honest.run.statement.outputs[0][0] = wrapped;
    assert_eq!(honest.reject_run(), Reject::OutputRange { row: 0, got: wrapped });
}

#[test]
fn statements_of_the_wrong_shape_are_refused() {
    let Honest { model, run, proof } = honest();
    let reject = |change: &dyn Fn(&mut Statement)| {
        let mut statement = run.statement.clone();
        change(&mut statement);
        verify(model.verifying_model(), &statement, &proof).unwrap_err()
    };
    assert_eq!(reject(&|s| s.outputs.truncate(2)), Reject::RowCount { inputs: 3, outputs: 2 });
    assert_eq!(reject(&|s| s.inputs[1].truncate(4)), Reject::InputLength { row: 1, expected: 5, got: 4 });
    assert_eq!(reject(&|s| s.outputs[2].push(0)), Reject::OutputLength { row: 2, expected: 2, got: 3 });
    let none = |s: &mut Statement| *s = Statement { inputs: Vec::new(), outputs: Vec::new() };
    assert_eq!(reject(&none), Reject::Plan(PlanError::Rows { got: 0 }));
}

#[test]
fn other_headers_are_refused() {
    let honest = honest();
    let mut proof = honest.proof.clone();
    proof[0] = 1;
    assert_eq!(honest.reject(&honest.run.statement, &proof), Reject::Version { got: 1 });
    let mut proof = honest.proof.clone();
    proof[1] = 99;
    assert_eq!(honest.reject(&honest.run.statement, &proof), Reject::Security { expected: 100, got: 99 });
    // A level nobody can reach is refused, not trusted.
    proof[1] = 200;
    let level = SecurityBits::new(200);
    let reject = verify_at(honest.model.verifying_model(), &honest.run.statement, &proof, level).unwrap_err();
    assert!(matches!(reject, Reject::Setup(_)));
    // A proof made for less is not worth more.
    proof[1] = 90;
    let level = SecurityBits::new(90);
    assert!(verify_at(honest.model.verifying_model(), &honest.run.statement, &proof, level).is_err());
}

#[test]
fn a_level_that_the_sum_of_all_errors_misses_is_refused() {
    // Each commitment alone reaches it.
    let honest = honest();
    let graph = honest.model.model().graph();
    let level = (100..200)
        .map(SecurityBits::new)
        .find(|level| {
            let missed = security_report(graph, 3, *level);
            matches!(missed, Err(BudgetError::Setup(SetupError::BelowTarget { .. })))
        })
        .unwrap();
    let mut proof = honest.proof.clone();
    proof[1] = level.bits();
    let reject = verify_at(honest.model.verifying_model(), &honest.run.statement, &proof, level).unwrap_err();
    assert!(matches!(reject, Reject::Setup(SetupError::BelowTarget { .. })), "{reject:?}");
}

#[test]
fn truncated_and_extended_proofs_are_refused() {
    let honest = honest();
    for length in 0..honest.proof.len() {
        if length % 7 == 0 || honest.proof.len() - length < 100 {
            let _ = honest.reject(&honest.run.statement, &honest.proof[..length]);
        }
    }
    assert_eq!(honest.reject(&honest.run.statement, &honest.proof[..600]), Reject::Truncated);
    let mut longer = honest.proof.clone();
    longer.push(0);
    assert_eq!(honest.reject(&honest.run.statement, &longer), Reject::TrailingBytes { got: 1 });
}

#[test]
fn every_byte_is_bound() {
    let honest = honest_rows(1);
    let mut proof = honest.proof.clone();
    for index in 0..proof.len() {
        let bit = 1 << (index % 8);
        proof[index] ^= bit;
        assert!(
            verify(honest.model.verifying_model(), &honest.run.statement, &proof).is_err(),
            "byte {index} of {} is not bound",
            proof.len()
        );
        proof[index] ^= bit;
    }
    assert!(verify(honest.model.verifying_model(), &honest.run.statement, &proof).is_ok());
}

#[test]
fn every_message_is_checked_for_its_own_reason() {
    let honest = honest();
    let mut seen = BTreeSet::new();
    for at in (HEADER..message_bytes(&honest.model, &honest.run)).step_by(20) {
        let mut proof = honest.proof.clone();
        proof[at] ^= 1;
        let reject = honest.reject(&honest.run.statement, &proof);
        seen.insert(reason(&reject));
    }
    let mut proof = honest.proof.clone();
    *proof.last_mut().unwrap() ^= 1;
    seen.insert(format!("{:?}", honest.reject(&honest.run.statement, &proof)));
    let mut proof = honest.proof.clone();
    proof[message_bytes(&honest.model, &honest.run)] ^= 1;
    seen.insert(format!("{:?}", honest.reject(&honest.run.statement, &proof)));
    let expected = [
        "LookupDenominators",
        "LookupLayer",
        "LookupNumerators",
        "LookupPole",
        "LookupSum",
        "Product",
        "WeightBatch",
        "WeightOpening",
        "WitnessBatch",
        "WitnessOpening",
    ];
    let missing: Vec<_> = expected.iter().filter(|name| !seen.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} of {seen:?}");
}

#[test]
fn field_elements_are_canonical() {
    let honest = honest();
    let mut refused = 0;
    for at in (HEADER..message_bytes(&honest.model, &honest.run)).step_by(4) {
        let value = u32::from_le_bytes(honest.proof[at..at + 4].try_into().unwrap());
        // The other name of the same element, where 32 bits hold it.
        let Some(other) = value.checked_add(Fp::ORDER_U32) else { continue };
        let mut proof = honest.proof.clone();
        proof[at..at + 4].copy_from_slice(&other.to_le_bytes());
        assert_eq!(honest.reject(&honest.run.statement, &proof), Reject::NonCanonical { got: other });
        refused += 1;
    }
    assert!(refused > 100);
}

#[test]
fn a_flood_of_siblings_is_refused() {
    // Walk the weight opening to its first sibling count: out-of-domain answer, sumcheck, last polynomial, grinding
    // witness and rows come before it in a commitment this small.
    let honest = honest();
    let floods = (message_bytes(&honest.model, &honest.run)..honest.proof.len() - 4).filter(|at| {
        let mut proof = honest.proof.clone();
        proof[*at..*at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        matches!(honest.reject(&honest.run.statement, &proof), Reject::SiblingCount { got, .. } if got == u32::MAX as usize)
    });
    assert_eq!(floods.count(), 2);
}

#[test]
fn parts_of_two_proofs_do_not_mix() {
    let honest = honest();
    let mut random = Random(77);
    let inputs = random_rows(honest.model.model(), 3, &mut random);
    let other = prove(&honest.model, &inputs).unwrap();
    for cut in [3, HEADER, HEADER + 20 * 5, message_bytes(&honest.model, &honest.run)] {
        let mixed = [&honest.proof[..cut], &other.proof[cut..]].concat();
        let _ = honest.reject(&honest.run.statement, &mixed);
    }
}

#[test]
fn arbitrary_bytes_are_refused() {
    let honest = honest();
    let mut random = Random(1);
    for round in 0..2000 {
        let length = (random.next() % 4000) as usize;
        let mut proof: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        if round % 2 == 0 && length > 2 {
            proof[..2].copy_from_slice(&honest.proof[..2]);
        }
        let _ = honest.reject(&honest.run.statement, &proof);
    }
}

#[test]
fn mutated_proofs_are_refused() {
    let honest = honest();
    let mut random = Random(8);
    for _ in 0..3000 {
        let mut proof = honest.proof.clone();
        for _ in 0..=random.next() % 4 {
            let at = (random.next() as usize) % proof.len();
            match random.next() % 4 {
                0 => proof[at] = random.next() as u8,
                1 => drop(proof.remove(at)),
                2 => proof.insert(at, random.next() as u8),
                _ => {
                    let end = (at + 40).min(proof.len());
                    let from = (random.next() as usize) % proof.len();
                    let chunk: Vec<u8> = proof.iter().copied().cycle().skip(from).take(end - at).collect();
                    proof[at..end].copy_from_slice(&chunk);
                }
            }
        }
        if proof != honest.proof {
            let _ = honest.reject(&honest.run.statement, &proof);
        }
    }
}

/// Version, level, kind and the root of the witness.
const HEADER: usize = 3 + 32;
