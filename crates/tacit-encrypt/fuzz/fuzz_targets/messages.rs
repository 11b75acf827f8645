//! Queries and answers: no panic, one encoding for each, and whatever decodes is answered or decrypted.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tacit_encrypt::{
    Seed, client,
    linear::LinearModel,
    server::Server,
    wire::{Answer, Query},
};

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let model = tacit_graph::synthetic_mlp(&[5, 3], 1).expect("a linear model");
        Server::new(&LinearModel::new(&model).expect("which fits"))
    })
}

/// Messages have fixed lengths; the input repeated reaches them.
fn stretched(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut message = vec![1];
    message.extend(bytes.iter().cycle().take(length - 1));
    message
}

fuzz_target!(|bytes: &[u8]| {
    let server = server();
    let sizes = server.plan().sizes();
    let _ = Query::decode(sizes, bytes);
    let _ = Answer::decode(sizes, bytes);
    if bytes.is_empty() {
        return;
    }
    let message = stretched(bytes, sizes.query_bytes());
    if let Ok(query) = Query::decode(sizes, &message) {
        assert_eq!(query.encode(), message);
        server.answer(&query, &Seed::new([1; 32])).expect("a query of this size is answered");
    }
    let message = stretched(bytes, sizes.answer_bytes());
    if let Ok(answer) = Answer::decode(sizes, &message) {
        assert_eq!(answer.encode(sizes), message);
        let (secret, _) =
            client::encrypt_linear(sizes, &[0; 5], &Seed::new([2; 32])).expect("a row of this size");
        secret.decrypt(&message).expect("an answer of this size decrypts");
    }
});
