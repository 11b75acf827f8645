//! Every reason to refuse, produced.

use tacit_encrypt::{
    client::{self, EncryptError},
    linear::LinearModel,
    plan::{MAX_INPUTS, MAX_OUTPUTS, Misfit, Plan},
    server::Server,
    wire::{Answer, Query, WireError},
};
use tacit_graph::{Model, SyntheticNetwork, synthetic_mlp, synthetic_network};

use crate::same::seed;

fn small() -> (Server, Plan) {
    let linear = LinearModel::new(&synthetic_mlp(&[5, 3], 1).unwrap()).unwrap();
    (Server::new(&linear), *linear.plan())
}

#[test]
fn models_that_are_not_linear() {
    let refused = |model| match LinearModel::new(&model).unwrap_err() {
        Misfit::NotLinear { node, operator } => (node, operator),
        other => panic!("{other}"),
    };
    assert_eq!(refused(synthetic_mlp(&[5, 4, 3], 1).unwrap()), (1, "a look-up in a table"));
    let lenet = synthetic_network(SyntheticNetwork::LeNet5Max, 1).unwrap();
    assert!(matches!(refused(lenet), (1, _)));
}

#[test]
fn models_of_other_sizes() {
    let new = |inputs: usize, outputs: usize| {
        LinearModel::new(&synthetic_mlp(&[inputs as u32, outputs as u32], 1).unwrap()).unwrap_err()
    };
    assert_eq!(new(MAX_INPUTS + 1, 1), Misfit::Inputs { got: MAX_INPUTS + 1 });
    assert_eq!(new(1, MAX_OUTPUTS + 1), Misfit::Outputs { got: MAX_OUTPUTS + 1 });
    assert_eq!(new(MAX_INPUTS, 1), Misfit::Noise { got: 5 });
    let wide = |inputs| {
        let model = synthetic_mlp(&[inputs, 1], 1).unwrap();
        let mut graph = model.graph().clone();
        graph.input_bits = 16;
        LinearModel::new(&Model::new(graph, model.weights().clone()).unwrap()).unwrap_err()
    };
    assert_eq!(wide(300), Misfit::OutputBits { got: 31 });
}

#[test]
fn rows_that_do_not_fit() {
    let (_, plan) = small();
    let encrypt = |row: &[i16]| client::encrypt(&plan, row, &seed(1)).map(|_| ()).unwrap_err();
    assert_eq!(encrypt(&[0; 4]), EncryptError::Length { expected: 5, got: 4 });
    assert_eq!(encrypt(&[0, 0, 0, 128, 0]), EncryptError::Range { index: 3, bits: 8 });
    assert_eq!(encrypt(&[-129, 0, 0, 0, 0]), EncryptError::Range { index: 0, bits: 8 });
}

#[test]
fn bytes_that_are_no_query() {
    let (_, plan) = small();
    let (_, query) = client::encrypt(&plan, &[0; 5], &seed(1)).unwrap();
    let bytes = query.encode();
    assert_eq!(Query::decode(&plan, &bytes).unwrap(), query);
    for cut in 0..bytes.len() {
        let expected = bytes.len();
        assert_eq!(
            Query::decode(&plan, &bytes[..cut]).unwrap_err(),
            WireError::Length { expected, got: cut }
        );
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        Query::decode(&plan, &bytes).unwrap_err()
    };
    assert_eq!(with(0, 2), WireError::Version { got: 2 });
    assert_eq!(with(1, 2), WireError::QueryShape);
    // The modulus is 2^64 - 2^32 + 1: with 24 low bits off, five bytes of ones are over it.
    let mut over = bytes.clone();
    over[34..39].fill(0xff);
    assert_eq!(Query::decode(&plan, &over).unwrap_err(), WireError::Coefficient { index: 0 });
    let mut over = bytes.clone();
    over[34 + 2048 * 5 + 7..][..7].fill(0xff);
    assert_eq!(Query::decode(&plan, &over).unwrap_err(), WireError::Coefficient { index: 1 });
}

#[test]
fn bytes_that_are_no_answer() {
    let (server, plan) = small();
    let (secret, query) = client::encrypt(&plan, &[1; 5], &seed(1)).unwrap();
    let answer = server.answer(&query, &seed(2)).unwrap();
    let bytes = answer.encode(&plan);
    assert_eq!(Answer::decode(&plan, &bytes).unwrap(), answer);
    let expected = bytes.len();
    for cut in 0..bytes.len() {
        assert_eq!(
            Answer::decode(&plan, &bytes[..cut]).unwrap_err(),
            WireError::Length { expected, got: cut }
        );
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        Answer::decode(&plan, &bytes).unwrap_err()
    };
    assert_eq!(with(0, 3), WireError::Version { got: 3 });
    for at in 1..6 {
        assert_eq!(with(at, 0xee), WireError::AnswerShape, "{at}");
    }
    let numbers = (2048 + 3) * (u32::from(plan.output_bits()) + 14);
    assert!(numbers % 8 != 0, "choose a model whose answer does not end with a byte");
    assert_eq!(with(expected - 1, 0xff), WireError::Filling);
    // Decoded for one model, read for another.
    let other = LinearModel::new(&synthetic_mlp(&[5, 2], 1).unwrap()).unwrap();
    let (other_secret, other_query) = client::encrypt(other.plan(), &[1; 5], &seed(3)).unwrap();
    assert_eq!(other_secret.decrypt(&answer).unwrap_err(), WireError::AnswerShape);
    assert!(secret.decrypt(&answer).is_ok());
    let wide = LinearModel::new(&synthetic_mlp(&[3000, 2], 1).unwrap()).unwrap();
    assert_eq!(Server::new(&wide).answer(&other_query, &seed(4)).unwrap_err(), WireError::QueryShape);
}

/// Any bytes of the right length are a query; a worker answers it and learns nothing, whatever it holds.
#[test]
fn random_queries_are_answered() {
    let (server, plan) = small();
    let mut bytes = vec![1, 1];
    // Bytes under 128 keep each number under the modulus.
    bytes.extend(noise(plan.query_bytes() - 2).into_iter().map(|byte| byte & 0x7f));
    let query = Query::decode(&plan, &bytes).unwrap();
    assert_eq!(server.answer(&query, &seed(5)).unwrap().encode(&plan).len(), plan.answer_bytes());
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}
