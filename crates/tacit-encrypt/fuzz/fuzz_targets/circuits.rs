//! Offers, keys, queries and answers of models with look-ups: no panic, one encoding for each, and whatever decodes is used.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tacit_encrypt::{
    KeyId, Offer, ParametersId, Seed, Variant, check_keys,
    client::{self, ClientKeys, restore_keys},
    server::EncryptedModel,
};
use tacit_graph::{Graph, Model};

fn model() -> &'static (Model, Offer) {
    static MODEL: OnceLock<(Model, Offer)> = OnceLock::new();
    MODEL.get_or_init(|| {
        let model = tacit_graph::synthetic_mlp(&[5, 4, 3], 1).expect("a network");
        let offer = EncryptedModel::with(&model, Variant::Fast).expect("which fits").offer().clone();
        (model, offer)
    })
}

fn keys(parameters: ParametersId) -> ClientKeys {
    restore_keys(parameters, &Seed::new([1; 32]), KeyId([2; 32])).expect("parameters of an offer")
}

/// Encrypts a row under whatever a worker may say, and decrypts whatever it may answer.
fn ask(graph: &Graph, offer: &Offer, answer: &[u8]) {
    let keys = offer.parameters().map(keys);
    // Rows of zeros are in every range.
    let row = vec![0; graph.features.len()];
    let (secret, query) = client::encrypt(offer, &row, &Seed::new([3; 32]), keys.as_ref()).expect("a row");
    assert_eq!(query.len(), offer.query_bytes());
    assert_eq!(offer.check_query(&query), Ok(keys.map(|keys| keys.id())));
    assert_eq!(offer.check_answer(answer).is_ok(), secret.decrypt(answer).is_ok());
}

fuzz_target!(|bytes: &[u8]| {
    let (model, honest) = model();
    let _ = check_keys(bytes);
    let _ = honest.check_query(bytes);
    ask(model.graph(), honest, bytes);
    // Answers have fixed lengths; the input repeated reaches them.
    if !bytes.is_empty() {
        let answer: Vec<u8> = [1].into_iter().chain(bytes.iter().copied().cycle()).take(honest.answer_bytes()).collect();
        ask(model.graph(), honest, &answer);
    }
    if let Ok(offer) = Offer::decode(model.graph(), bytes) {
        assert_eq!(offer.encode(), bytes);
        ask(model.graph(), &offer, bytes);
    }
    // The honest offer with some bytes changed reaches further.
    let mut near = honest.encode();
    for pair in bytes.chunks_exact(2) {
        let at = usize::from(pair[0]) % near.len();
        near[at] = pair[1];
    }
    if let Ok(offer) = Offer::decode(model.graph(), &near) {
        assert_eq!(offer.encode(), near);
        ask(model.graph(), &offer, bytes);
    }
});
