//! Questions from end to end.

use tacit_graph::{Agreement, Model, execute, synthetic_mlp};

use super::{Keys, refused::under, trees::Forest};
use crate::{
    Seed,
    circuit::{
        CircuitModel, ClientKeys, Closeness, EvaluationKeys, KeyId, Offer, SETS, Variant, encrypt, key_bytes,
        simulate::Random,
    },
};

/// As if it had been measured.
const MEASURED: Agreement = Agreement { rows: 1, agreed: 1 };

/// What decrypts, and the bytes of the answer.
fn ask(model: &Model, server: &CircuitModel, row: &[i16], number: u8) -> (Vec<i32>, Vec<u8>) {
    let offer = Offer::decode(model.graph(), &server.offer().encode()).unwrap();
    assert_eq!(offer, *server.offer());
    let keys = Keys::of(offer.parameters());
    let (secret, query) = encrypt(&offer, row, &Seed::new([number; 32]), &keys.client).unwrap();
    assert_eq!(query.len(), server.plan().query_bytes);
    let evaluation = keys.evaluation(offer.variant());
    let answer = server.answer(&query, evaluation, &Seed::new([number ^ 0x80; 32])).unwrap();
    assert_eq!(answer.len(), server.plan().answer_bytes);
    (secret.decrypt(&answer).unwrap(), answer)
}

#[test]
fn every_leaf_of_a_tree_of_four_tests_comes_back() {
    let forest = Forest { features: 7, levels: 12, trees: 1, depth: 4, leaf: 4000 };
    let model = forest.model(11);
    let server = CircuitModel::new(&model, Variant::Fast).unwrap();
    let plan = server.plan();
    assert!(plan.exact && plan.bootstraps == 1 && plan.parameters.id == 3, "{plan:?}");
    let mut random = Random(12);
    let mut leaves = std::collections::BTreeSet::new();
    for number in 0..60 {
        let row = forest.row(&mut random);
        let expected = execute(&model, &row, 1).unwrap().logits();
        assert_eq!(ask(&model, &server, &row, number).0, expected);
        leaves.extend(expected);
    }
    assert!(leaves.len() >= 10, "{leaves:?}");
}

#[test]
fn forests_of_every_parameter_set_are_exact() {
    for (depth, leaf, id) in [(2, 2, 1), (3, 900, 2), (4, 900, 3)] {
        let forest = Forest { features: 10, levels: 30, trees: 6, depth, leaf };
        let model = forest.model(u64::from(depth));
        let server = CircuitModel::new(&model, Variant::Fast).unwrap();
        assert!(server.plan().exact && server.plan().parameters.id == id, "{:?}", server.plan());
        let mut random = Random(13);
        for number in 0..6 {
            let row = forest.row(&mut random);
            assert_eq!(ask(&model, &server, &row, number).0, execute(&model, &row, 1).unwrap().logits());
        }
    }
}

/// Differences from the graph's outputs, relative to how outputs differ among each other.
fn relative_error(model: &Model, server: &CircuitModel, rows: u8) -> f64 {
    let inputs = model.shapes().inputs();
    let mut random = Random(14);
    let (mut error, mut spread) = (0.0, 0.0);
    for number in 0..rows {
        let row: Vec<i16> = (0..inputs).map(|_| (random.word() as u8 as i8).into()).collect();
        let expected = execute(model, &row, 1).unwrap().logits();
        let got = ask(model, server, &row, number).0;
        assert!(server.offer().closeness().admits(&expected, &got), "{got:?} {expected:?}");
        let mean = expected.iter().sum::<i32>() as f64 / expected.len() as f64;
        error += got.iter().zip(&expected).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        spread += expected.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>();
    }
    (error / spread).sqrt()
}

#[test]
fn networks_are_near() {
    let model = synthetic_mlp(&[16, 8, 4], 5).unwrap();
    let server = CircuitModel::new(&model, Variant::Fast).unwrap().measured(MEASURED);
    let closeness = server.offer().closeness();
    assert!(!server.plan().exact && matches!(closeness, Closeness::Approximate(_)));
    let error = relative_error(&model, &server, 6);
    assert!(error < 0.2, "{error}");
    // Answers to other rows are further away than an honest answer ever is.
    let mut random = Random(15);
    let mut outputs = || {
        let row: Vec<i16> = (0..16).map(|_| (random.word() as u8 as i8).into()).collect();
        execute(&model, &row, 1).unwrap().logits()
    };
    let admitted = (0..200).filter(|_| closeness.admits(&outputs(), &outputs())).count();
    assert!(admitted < 20, "{admitted} {closeness:?}");
}

/// Results of look-ups go back to the small key and are looked up again.
#[test]
fn networks_of_two_layers_are_near() {
    let model = synthetic_mlp(&[12, 6, 6, 3], 5).unwrap();
    let server = CircuitModel::with(&model, Variant::Fast, &SETS[1]).unwrap().measured(MEASURED);
    assert_eq!((server.plan().depth, server.plan().bootstraps), (2, 11));
    let error = relative_error(&model, &server, 6);
    assert!(error < 0.25, "{error}");
}

/// A number of inputs that does not fit one ciphertext, and answers of several outputs.
#[test]
fn many_numbers_are_encrypted() {
    let forest = Forest { features: 60, levels: 50, trees: 4, depth: 3, leaf: 100 };
    let model = forest.model(3);
    let server = CircuitModel::new(&model, Variant::Fast).unwrap();
    let mut random = Random(15);
    let row = forest.row(&mut random);
    assert_eq!(ask(&model, &server, &row, 1).0, execute(&model, &row, 1).unwrap().logits());
    let wide = synthetic_mlp(&[2300, 2, 2], 5).unwrap();
    let server = CircuitModel::new(&wide, Variant::Fast).unwrap().measured(MEASURED);
    assert!(server.plan().slots > 2048);
    assert!(relative_error(&wide, &server, 2) < 0.3);
}

#[test]
fn reproducible_answers_are_the_same_bytes_on_any_threads() {
    let forest = Forest { features: 7, levels: 12, trees: 3, depth: 3, leaf: 100 };
    let model = forest.model(11);
    let server = CircuitModel::new(&model, Variant::Reproducible).unwrap();
    let row = forest.row(&mut Random(16));
    let (outputs, answer) = ask(&model, &server, &row, 1);
    assert_eq!(outputs, execute(&model, &row, 1).unwrap().logits());
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(|| ask(&model, &server, &row, 1)).1 == answer, "{threads} threads");
    }
    // By name: another library, or another version of this one, may not change a bit.
    let digest = blake3::hash(&answer).to_hex();
    assert_eq!(digest.as_str().get(..16), Some("764c22194df2cd72"));
}

#[test]
fn one_question_answered_twice_is_hidden_by_the_seed() {
    let forest = Forest { features: 7, levels: 12, trees: 1, depth: 3, leaf: 100 };
    let model = forest.model(11);
    let server = CircuitModel::new(&model, Variant::Fast).unwrap();
    let keys = Keys::of(server.offer().parameters());
    let row = forest.row(&mut Random(17));
    let (secret, query) = encrypt(server.offer(), &row, &Seed::new([1; 32]), &keys.client).unwrap();
    let answer = |seed| server.answer(&query, &keys.fast, &Seed::new([seed; 32])).unwrap();
    let (one, other) = (answer(1), answer(2));
    let same = one.iter().zip(&other).filter(|(a, b)| a == b).count();
    assert!(same < one.len() / 100, "{same} of {}", one.len());
    assert_eq!(secret.decrypt(&one).unwrap(), secret.decrypt(&other).unwrap());
    assert!(answer(1) == one);
}

#[test]
fn keys_are_those_of_their_seed_and_named_by_their_bytes() {
    let set = &SETS[0];
    let keys = Keys::of(set);
    let (same, bytes) = ClientKeys::generate(set, &Seed::new([set.id; 32]));
    assert!(bytes == keys.bytes);
    assert_eq!(bytes.len(), key_bytes(set));
    assert_eq!((same.id(), keys.fast.id()), (KeyId::of(&bytes), KeyId::of(&bytes)));
    let (other, other_bytes) = ClientKeys::generate(set, &Seed::new([99; 32]));
    assert_ne!(other.id(), same.id());
    assert!(other_bytes[34..] != bytes[34..]);
}

/// No set is larger than what is said about it.
#[test]
fn keys_have_at_most_thirty_one_megabytes() {
    for set in SETS {
        assert!(key_bytes(set) <= 31_000_000, "{} {}", set.name, key_bytes(set));
    }
}

/// A row asked under other keys decrypts to nothing in particular.
#[test]
fn other_keys_do_not_decrypt() {
    let forest = Forest { features: 7, levels: 12, trees: 2, depth: 2, leaf: 2 };
    let model = forest.model(11);
    let server = CircuitModel::new(&model, Variant::Fast).unwrap();
    let keys = Keys::of(server.offer().parameters());
    let (other, other_bytes) = ClientKeys::generate(server.offer().parameters(), &Seed::new([98; 32]));
    let other_evaluation = EvaluationKeys::decode(&other_bytes, Variant::Fast).unwrap();
    let mut wrong = 0;
    for number in 0..8 {
        let row = forest.row(&mut Random(number.into()));
        let (secret, query) = encrypt(server.offer(), &row, &Seed::new([number; 32]), &keys.client).unwrap();
        let query = under(&query, &other_evaluation);
        let answer = server.answer(&query, &other_evaluation, &Seed::new([1; 32])).unwrap();
        wrong += u32::from(secret.decrypt(&answer).unwrap() != execute(&model, &row, 1).unwrap().logits());
    }
    assert!(wrong >= 4, "{wrong}");
    drop(other);
}
