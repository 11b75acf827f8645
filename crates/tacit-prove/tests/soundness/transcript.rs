//! What challenges depend on.

use p3_field::PrimeCharacteristicRing;
use tacit_graph::{ModelId, encode_graph, model_id, synthetic_mlp};
use tacit_verify::{
    RowSalt, SecurityBits, Statement,
    commitment::Scheme,
    context::{draw, observe},
    field::Ef,
    statement::{batch_digest, digest, transcript},
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
fn challenges_depend_on_statement_and_level() {
    let first =
        |statement: u8, level: u8| draw(&mut transcript(&[statement; 32], SecurityBits::new(level), 0));
    assert_eq!(first(1, 100), first(1, 100));
    assert_ne!(first(1, 100), first(2, 100));
    assert_ne!(first(1, 100), first(1, 90));
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
