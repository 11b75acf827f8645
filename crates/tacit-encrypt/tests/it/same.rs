//! What is decrypted is what the graph gives.

use proptest::prelude::*;
use tacit_encrypt::{Offer, Seed, client, server::EncryptedModel};
use tacit_graph::{
    Decoder, Feature, Graph, Group, LayerWeights, Model, Operator, Right, TensorId, Term, View, Weights,
    execute, random_inputs, synthetic_mlp,
};

pub(crate) fn seed(number: u64) -> Seed {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Seed::new(bytes)
}

/// One row through both halves.
fn ask(server: &EncryptedModel, row: &[i16], number: u64) -> Vec<i32> {
    let offer = server.offer();
    let (secret, query) = client::encrypt(offer, row, &seed(2 * number), None).unwrap();
    assert_eq!(query.len(), offer.query_bytes());
    let answer = server.answer(&query, None, &seed(2 * number + 1)).unwrap();
    assert_eq!(answer.len(), offer.answer_bytes());
    secret.decrypt(&answer).unwrap()
}

fn check(model: &Model, number: u64) {
    let server = EncryptedModel::new(model).unwrap();
    assert_eq!(Offer::decode(model.graph(), &server.offer().encode()).unwrap(), *server.offer());
    let half = 1i16 << (model.graph().input_bits - 1);
    let inputs = model.graph().features.len();
    let extremes = [vec![0; inputs], vec![half - 1; inputs], vec![-half; inputs]];
    for row in extremes.into_iter().chain([random_inputs(model, 1, number)]) {
        assert_eq!(ask(&server, &row, number), execute(model, &row, 1).unwrap().logits());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn linear_models(inputs in 1u32..3000, outputs in 1u32..40, number: u64) {
        check(&synthetic_mlp(&[inputs, outputs], number).unwrap(), number >> 1);
    }
}

#[test]
fn sizes_at_the_edges_of_polynomials() {
    for (inputs, outputs) in
        [(1, 1), (1, 2048), (1, 2049), (1024, 3), (1025, 2), (2048, 2), (2049, 2), (4096, 1)]
    {
        check(&synthetic_mlp(&[inputs, outputs], 3).unwrap(), u64::from(inputs));
    }
}

/// A convolution with padding, a sum of two views of it and a dense layer: still one matrix.
#[test]
fn chains_of_linear_layers() {
    let unit = Feature { name: String::new(), offset: 0, multiplier: 1, shift: 24, steps: Vec::new() };
    let group = |offset, strides: &[(u8, i32)]| Group {
        span: 1,
        offset,
        strides: strides
            .iter()
            .map(|(axis, stride)| tacit_graph::Stride { axis: *axis, stride: *stride })
            .collect(),
        divisor: 1,
        exact: false,
    };
    let view = |tensor, groups| View { tensor: TensorId(tensor), groups };
    let term = |coefficient, offset| Term {
        coefficient,
        summed: Vec::new(),
        view: view(1, vec![group(offset, &[(0, 1)]), Group::axis(1)]),
    };
    let nodes = vec![
        Operator::Contract {
            axes: vec![9, 2],
            summed: vec![3],
            left: view(0, vec![group(-1, &[(0, 1), (2, 1)])]),
            right: Right::Weights { axes: vec![2, 1] },
            bias: Some(vec![1]),
        },
        Operator::Combine { axes: vec![8, 2], terms: vec![term(3, 0), term(-2, 1)], constant: 9, bias: None },
        Operator::Combine {
            axes: vec![2],
            terms: vec![Term {
                coefficient: 1,
                summed: vec![8],
                view: view(2, vec![Group::axis(1), Group::axis(0)]),
            }],
            constant: -4,
            bias: None,
        },
    ];
    let graph = Graph {
        features: vec![unit; 9],
        input_axes: vec![9],
        input_bits: 8,
        nodes,
        tables: Vec::new(),
        decoder: Decoder::Values { fraction_bits: 0 },
    };
    let layers = vec![LayerWeights { matrix: vec![5, -128, 127, 3, 0, -7], bias: vec![1000, -70] }];
    check(&Model::new(graph, Weights { layers }).unwrap(), 11);
}

/// A hundred thousand outputs, none wrong: the failure probability is far under what could be counted.
#[test]
fn a_hundred_thousand_outputs_are_exact() {
    let model = synthetic_mlp(&[16, 2048], 5).unwrap();
    let server = EncryptedModel::new(&model).unwrap();
    let (mut outputs, mut wrong) = (0, 0);
    for number in 0..50 {
        let row = random_inputs(&model, 1, number);
        let expected = execute(&model, &row, 1).unwrap().logits();
        let got = ask(&server, &row, number);
        wrong += got.iter().zip(&expected).filter(|(got, expected)| got != expected).count();
        outputs += got.len();
    }
    assert!(outputs > 100_000 && wrong == 0, "{wrong} of {outputs}");
}

/// The same question twice shares nothing that can be read, in either direction.
#[test]
fn questions_and_answers_are_fresh() {
    let model = synthetic_mlp(&[30, 2], 6).unwrap();
    let server = EncryptedModel::new(&model).unwrap();
    let row = random_inputs(&model, 1, 1);
    let encrypt = |number| client::encrypt(server.offer(), &row, &seed(number), None).unwrap();
    let ((secret, query), (_, other)) = (encrypt(1), encrypt(2));
    let same = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64;
    // One byte in 256 by chance.
    assert!(same(&query, &other) < 0.01);
    let answers = [3, 4].map(|number| server.answer(&query, None, &seed(number)).unwrap());
    assert!(same(&answers[0], &answers[1]) < 0.01);
    assert_eq!(secret.decrypt(&answers[0]).unwrap(), secret.decrypt(&answers[1]).unwrap());
    // And from the same seeds it is the same, bit for bit: that is what lets an owner do an answer again.
    assert_eq!(encrypt(1).1, query);
    assert_eq!(server.answer(&query, None, &seed(3)).unwrap(), answers[0]);
}
