//! Decoders of graphs, weights and files: no panic, and one encoding for each value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_graph::{ModelFile, decode_graph, decode_weights, encode_graph, encode_weights};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(graph) = decode_graph(bytes) {
        assert_eq!(encode_graph(&graph), bytes);
    }
    if let Ok(weights) = decode_weights(bytes) {
        assert_eq!(encode_weights(&weights), bytes);
    }
    if let Ok(file) = ModelFile::decode(bytes) {
        assert_eq!(file.encode(), bytes);
    }
});
