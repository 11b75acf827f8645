//! What challenges depend on.

use p3_field::PrimeCharacteristicRing;
use tacit_graph::{ModelId, encode_graph, model_id, synthetic_mlp};
use tacit_verify::{
    RowSalt, SecurityBits, Statement,
    commitment::Scheme,
    context::{draw, observe},
    field::Ef,
    statement::{batch_digest, digest, transcript},
    zero_knowledge::{self, Header, Roots},
};

fn name(root: u8) -> ModelId {
    model_id(&encode_graph(synthetic_mlp(&[2, 1], 1).unwrap().graph()), &[root; 32])
}

fn of(inputs: &[&[i64]], outputs: &[&[i32]]) -> [u8; 32] {
    let inputs = inputs.iter().map(|row| row.to_vec()).collect();
    let outputs = outputs.iter().map(|row| row.to_vec()).collect();
    digest(&name(1), &Statement { inputs, outputs })
}

/// Every digest is its own.
fn all_differ(digests: &[[u8; 32]]) {
    let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn a_statement_has_one_digest_and_a_digest_one_statement() {
    all_differ(&[
        of(&[&[1, 2]], &[&[3]]),
        of(&[&[1, 3]], &[&[3]]),
        of(&[&[1, 2]], &[&[4]]),
        // The same values in other rows.
        of(&[&[1], &[2]], &[&[3]]),
        of(&[&[1, 2], &[3]], &[&[0]]),
        of(&[&[1], &[2, 3]], &[&[0]]),
        of(&[&[1]], &[&[1, 2], &[3]]),
        of(&[&[1]], &[&[1], &[2, 3]]),
        // Lengths that read as values: `1 1 2 0` and `0 1 2 0`, each of 64 bits.
        of(&[&[2]], &[]),
        of(&[], &[&[0, 0]]),
    ]);
    let statement = Statement { inputs: vec![vec![1]], outputs: vec![vec![2]] };
    assert_ne!(digest(&name(1), &statement), digest(&name(2), &statement));
}

#[test]
fn a_batch_has_one_digest() {
    all_differ(&[
        batch_digest(&name(1), &[[1; 32], [2; 32]]),
        batch_digest(&name(1), &[[2; 32], [1; 32]]),
        batch_digest(&name(1), &[[1; 32]]),
        batch_digest(&name(1), &[]),
        batch_digest(&name(2), &[[1; 32], [2; 32]]),
    ]);
}

#[test]
fn challenges_depend_on_statement_level_and_kind() {
    let first = |statement: u8, level: u8, kind: u8| {
        draw(&mut transcript(&[statement; 32], SecurityBits::new(level), kind))
    };
    assert_eq!(first(1, 100, 0), first(1, 100, 0));
    assert_ne!(first(1, 100, 0), first(2, 100, 0));
    assert_ne!(first(1, 100, 0), first(1, 90, 0));
    assert_ne!(first(1, 100, 0), first(1, 100, 2));
}

#[test]
fn challenges_of_zero_knowledge_depend_on_all_that_comes_before() {
    let header = Header { openings: 4, opening: 1, weight_oracle: [1; 32], weight_answer: Ef::TWO };
    let roots = Roots { weights: [1; 32], witness: Some([2; 32]), masks: [3; 32] };
    let first = |statement: u8, level: u8, kind: u8, header: Header, roots: Roots| {
        let level = SecurityBits::new(level);
        draw(&mut zero_knowledge::transcript(&[statement; 32], level, kind, &header, &roots))
    };
    let all = [
        first(1, 100, 2, header, roots),
        first(2, 100, 2, header, roots),
        first(1, 90, 2, header, roots),
        first(1, 100, 3, header, roots),
        first(1, 100, 2, Header { openings: 5, ..header }, roots),
        first(1, 100, 2, Header { opening: 2, ..header }, roots),
        first(1, 100, 2, Header { weight_oracle: [9; 32], ..header }, roots),
        first(1, 100, 2, Header { weight_answer: Ef::ONE, ..header }, roots),
        first(1, 100, 2, header, Roots { weights: [9; 32], ..roots }),
        first(1, 100, 2, header, Roots { witness: Some([9; 32]), ..roots }),
        first(1, 100, 2, header, Roots { masks: [9; 32], ..roots }),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(all[..index].iter().all(|other| other != one), "{index}");
    }
}

#[test]
fn a_hiding_root_binds_oracle_openings_and_level() {
    let header = Header { openings: 4, opening: 1, weight_oracle: [1; 32], weight_answer: Ef::TWO };
    let level = SecurityBits::DEFAULT;
    all_differ(&[
        header.weight_root(level),
        header.weight_root(SecurityBits::new(90)),
        Header { openings: 5, ..header }.weight_root(level),
        Header { weight_oracle: [2; 32], ..header }.weight_root(level),
        Header { weight_answer: Ef::ONE, ..header }.weight_root(level),
    ]);
    // Which of the openings is no part of the model.
    assert_eq!(Header { opening: 3, ..header }.weight_root(level), header.weight_root(level));
}

#[test]
fn challenges_depend_on_commitments() {
    let scheme = Scheme::new(8, 100).unwrap();
    let first = |root: u8| {
        let mut challenger = transcript(&[0; 32], SecurityBits::DEFAULT, 0);
        scheme.observe(&[root; 32], &mut challenger);
        draw(&mut challenger)
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}

#[test]
fn challenges_depend_on_messages_and_on_each_other() {
    let two = |message: Ef| {
        let mut challenger = transcript(&[0; 32], SecurityBits::DEFAULT, 0);
        observe(&mut challenger, message);
        (draw(&mut challenger), draw(&mut challenger))
    };
    assert_eq!(two(Ef::ONE), two(Ef::ONE));
    assert_ne!(two(Ef::ONE).0, two(Ef::TWO).0);
    assert_ne!(two(Ef::ONE).0, two(Ef::ONE).1);
}

#[test]
fn salts_have_elements_and_digests_of_their_own() {
    let (one, two) = (RowSalt::new([1; 32]), RowSalt::new([2; 32]));
    assert_ne!(one.coefficients(), two.coefficients());
    assert_ne!(one.digest(), two.digest());
}
