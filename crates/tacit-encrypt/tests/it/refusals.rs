//! Every reason to refuse, produced.

use proptest::prelude::*;
use tacit_encrypt::{
    Misfit, Offer, OfferReject, WireError,
    client::{self, EncryptError},
    fits,
    linear::LinearModel,
    offer::MAX_OFFER_BYTES,
    plan::{MAX_INPUTS, MAX_OUTPUT_BITS, MAX_OUTPUTS},
    server::{EncryptedModel, Server},
    wire::Answer,
};
use tacit_graph::{Graph, Model, SyntheticNetwork, synthetic_mlp, synthetic_network};

use crate::same::seed;

fn small() -> (EncryptedModel, Graph) {
    let model = synthetic_mlp(&[5, 3], 1).unwrap();
    (EncryptedModel::new(&model).unwrap(), model.graph().clone())
}

#[test]
fn models_that_are_not_linear() {
    let refused = |model: Model| {
        let misfit = LinearModel::new(&model).unwrap_err();
        // With look-ups it may fit; which there are depends on weights.
        let alone = if cfg!(feature = "pbs") { Ok(()) } else { Err(misfit.clone()) };
        assert_eq!(fits(model.graph()), alone, "the graph alone says so");
        match misfit {
            Misfit::NotLinear { node, operator } => (node, operator),
            other => panic!("{other}"),
        }
    };
    assert_eq!(refused(synthetic_mlp(&[5, 4, 3], 1).unwrap()), (1, "a look-up in a table"));
    let lenet = synthetic_network(SyntheticNetwork::LeNet5Max, 1).unwrap();
    assert!(matches!(refused(lenet), (1, _)));
}

#[test]
fn models_of_other_sizes() {
    let new = |inputs: usize, outputs: usize| {
        EncryptedModel::new(&synthetic_mlp(&[inputs as u32, outputs as u32], 1).unwrap()).unwrap_err()
    };
    assert_eq!(new(MAX_INPUTS + 1, 1), Misfit::Inputs { got: MAX_INPUTS + 1 });
    assert_eq!(new(1, MAX_OUTPUTS + 1), Misfit::Outputs { got: MAX_OUTPUTS + 1 });
    assert_eq!(new(MAX_INPUTS, 1), Misfit::Noise { got: 5 });
    assert!(matches!(new(2000, 1200), Misfit::AnswerBytes { .. }));
    let wide = |inputs| {
        let model = synthetic_mlp(&[inputs, 1], 1).unwrap();
        let mut graph = model.graph().clone();
        graph.input_bits = 16;
        EncryptedModel::new(&Model::new(graph, model.weights().clone()).unwrap()).unwrap_err()
    };
    assert_eq!(wide(300), Misfit::OutputBits { got: 31 });
    let (_, mut invalid) = small();
    invalid.features.clear();
    assert!(matches!(fits(&invalid), Err(Misfit::Graph(_))));
}

#[test]
fn bytes_that_are_no_offer() {
    let (server, graph) = small();
    let bytes = server.offer().encode();
    let refused = |bytes: &[u8]| Offer::decode(&graph, bytes).unwrap_err();
    for cut in 0..bytes.len() {
        assert_eq!(refused(&bytes[..cut]), OfferReject::Length { expected: bytes.len(), got: cut });
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(refused(&longer), OfferReject::Length { expected: bytes.len(), got: bytes.len() + 1 });
    let huge = vec![1; MAX_OFFER_BYTES + 1];
    assert_eq!(refused(&huge), OfferReject::TooLong { got: MAX_OFFER_BYTES + 1 });
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        refused(&bytes)
    };
    assert_eq!(with(0, 2), OfferReject::Version { got: 2 });
    assert_eq!(with(1, 9), OfferReject::Tier { got: 9 });
    assert_eq!(with(2, 6), OfferReject::Inputs { expected: 5, got: 6 });
    assert_eq!(with(6, 0), OfferReject::Outputs { expected: 3, got: 0 });
    assert_eq!(with(10, 16), OfferReject::InputBits { expected: 8, got: 16 });
    for bits in [0, MAX_OUTPUT_BITS + 1, u8::MAX] {
        assert_eq!(with(11, bits), Misfit::OutputBits { got: bits }.into());
    }
    let deep = synthetic_mlp(&[5, 4, 3], 1).unwrap();
    let refused = Offer::decode(deep.graph(), &bytes).unwrap_err();
    assert!(matches!(refused, OfferReject::Misfit(Misfit::NotLinear { .. })));
    // Sizes that fit one by one, and an answer that is too long.
    let tall = synthetic_mlp(&[2000, 1200], 1).unwrap();
    let counts = [2000u32, 1200].map(u32::to_le_bytes);
    let bytes = [&[1, 1], counts.as_flattened(), &[8, 30]].concat();
    let refused = Offer::decode(tall.graph(), &bytes).unwrap_err();
    assert!(matches!(refused, OfferReject::Misfit(Misfit::AnswerBytes { .. })));
}

proptest! {
    /// Whatever a worker says, it is refused or it is an offer that encrypts any row of the graph.
    #[test]
    fn any_bytes_are_an_offer_or_none(
        bytes in proptest::collection::vec(any::<u8>(), 0..20),
        patched in proptest::collection::vec((0usize..12, any::<u8>()), 0..3),
    ) {
        let (server, graph) = small();
        let mut near = server.offer().encode();
        patched.into_iter().for_each(|(at, byte)| near[at] = byte);
        for bytes in [bytes, near] {
            if let Ok(offer) = Offer::decode(&graph, &bytes) {
                prop_assert_eq!(offer.encode(), bytes);
                let (_, query) = client::encrypt(&offer, &[127, -128, 0, 1, 2], &seed(1), None).unwrap();
                prop_assert_eq!(query.len(), offer.query_bytes());
            }
        }
    }
}

#[test]
fn rows_that_do_not_fit() {
    let (server, _) = small();
    let encrypt = |row: &[i16]| client::encrypt(server.offer(), row, &seed(1), None).map(|_| ()).unwrap_err();
    assert_eq!(encrypt(&[0; 4]), EncryptError::Length { expected: 5, got: 4 });
    assert_eq!(encrypt(&[0, 0, 0, 128, 0]), EncryptError::Range { index: 3, bits: 8 });
    assert_eq!(encrypt(&[-129, 0, 0, 0, 0]), EncryptError::Range { index: 0, bits: 8 });
}

#[test]
fn bytes_that_are_no_query() {
    let (server, _) = small();
    let offer = server.offer();
    let (_, bytes) = client::encrypt(offer, &[0; 5], &seed(1), None).unwrap();
    offer.check_query(&bytes).unwrap();
    let refused = |bytes: &[u8]| {
        let refused = offer.check_query(bytes).unwrap_err();
        assert_eq!(server.answer(bytes, None, &seed(1)), Err(refused.clone()));
        refused
    };
    for cut in 0..bytes.len() {
        let expected = bytes.len();
        assert_eq!(refused(&bytes[..cut]), WireError::Length { expected, got: cut });
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        refused(&bytes)
    };
    assert_eq!(with(0, 2), WireError::Version { got: 2 });
    assert_eq!(with(1, 2), WireError::QueryShape);
    // The modulus is 2^64 - 2^32 + 1: with 24 low bits off, five bytes of ones are over it.
    let mut over = bytes.clone();
    over[34..39].fill(0xff);
    assert_eq!(refused(&over), WireError::Coefficient { index: 0 });
    let mut over = bytes.clone();
    over[34 + 2048 * 5 + 7..][..7].fill(0xff);
    assert_eq!(refused(&over), WireError::Coefficient { index: 1 });
}

#[test]
fn bytes_that_are_no_answer() {
    let model = synthetic_mlp(&[5, 3], 1).unwrap();
    let linear = LinearModel::new(&model).unwrap();
    let (server, sizes) = (Server::new(&linear), *linear.plan().sizes());
    let (secret, query) = client::encrypt_linear(&sizes, &[1; 5], &seed(1)).unwrap();
    let answer = server.answer(&query, &seed(2)).unwrap();
    let bytes = answer.encode(&sizes);
    assert_eq!(Answer::decode(&sizes, &bytes).unwrap(), answer);
    let refused = |bytes: &[u8]| {
        let refused = Answer::decode(&sizes, bytes).unwrap_err();
        assert_eq!(secret.decrypt(bytes), Err(refused.clone()));
        refused
    };
    let expected = bytes.len();
    for cut in 0..bytes.len() {
        assert_eq!(refused(&bytes[..cut]), WireError::Length { expected, got: cut });
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        refused(&bytes)
    };
    assert_eq!(with(0, 3), WireError::Version { got: 3 });
    for at in 1..6 {
        assert_eq!(with(at, 0xee), WireError::AnswerShape, "{at}");
    }
    let numbers = (2048 + 3) * (u32::from(sizes.output_bits()) + 14);
    assert!(numbers % 8 != 0, "choose a model whose answer does not end with a byte");
    assert_eq!(with(expected - 1, 0xff), WireError::Filling);
    // Decoded for one model, read for another.
    let other = LinearModel::new(&synthetic_mlp(&[5, 2], 1).unwrap()).unwrap();
    let (other_secret, other_query) =
        client::encrypt_linear(other.plan().sizes(), &[1; 5], &seed(3)).unwrap();
    assert_eq!(other_secret.decrypt_linear(&answer).unwrap_err(), WireError::AnswerShape);
    assert!(secret.decrypt_linear(&answer).is_ok());
    let wide = LinearModel::new(&synthetic_mlp(&[3000, 2], 1).unwrap()).unwrap();
    assert_eq!(Server::new(&wide).answer(&other_query, &seed(4)).unwrap_err(), WireError::QueryShape);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Answers were refused for what they decrypted to, so that a worker could tell from its pay what it had been asked: an answer that is
    /// out of range when one input is large says whether that input is large. Shape alone may decide.
    #[test]
    fn whatever_has_the_shape_of_an_answer_decrypts(state in 1u64.., output_bits in 1u8..=MAX_OUTPUT_BITS) {
        let (_, graph) = small();
        let mut offer = small().0.offer().encode();
        offer[11] = output_bits;
        let offer = Offer::decode(&graph, &offer).unwrap();
        let (secret, _) = client::encrypt(&offer, &[1; 5], &seed(state), None).unwrap();
        let mut answer = noise(state, offer.answer_bytes());
        let bits = (2048 + 3) * (u32::from(output_bits) + 14);
        answer[..6].copy_from_slice(&[1, output_bits + 14, 1, 0, 3, 0]);
        let filling = bits.next_multiple_of(8) - bits;
        *answer.last_mut().unwrap() &= 0xff >> filling;
        let outputs = secret.decrypt(&answer).unwrap();
        prop_assert!(outputs.len() == 3 && outputs.iter().all(|x| x.unsigned_abs() <= 1 << (output_bits - 1)));
        prop_assert!(graph.decode_output(&outputs).is_ok());
    }
}

/// Any bytes of the right length are a query; a worker answers it and learns nothing, whatever it holds.
#[test]
fn random_queries_are_answered() {
    let (server, _) = small();
    let mut bytes = vec![1, 1];
    // Bytes under 128 keep each number under the modulus.
    bytes.extend(
        noise(0x9e37_79b9_7f4a_7c15, server.offer().query_bytes() - 2).into_iter().map(|byte| byte & 0x7f),
    );
    assert_eq!(server.answer(&bytes, None, &seed(5)).unwrap().len(), server.offer().answer_bytes());
}

fn noise(mut state: u64, length: usize) -> Vec<u8> {
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}
