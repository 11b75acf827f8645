//! Bytes: what is written is read back, and nothing else is read.

use proptest::prelude::*;
use tacit_graph::{
    EncodingError, GraphError, ImportReport, Model, ModelFile, decode_graph, decode_weights, encode_graph,
    encode_weights, synthetic_mlp,
};

use crate::support::{Random, model_and_inputs, random_model};

fn file() -> ModelFile {
    let model = random_model(&[3, 4, 2], false, &mut Random(5));
    let report = ImportReport {
        float_score: Some(0.5),
        agreement: Some(-0.0),
        rows: 3,
        ..ImportReport::unmeasured(&model)
    };
    ModelFile { name: "tiny".into(), weight_root: [9; 32], model, report }
}

proptest! {
    #[test]
    fn graphs_and_weights_come_back((model, _, _) in model_and_inputs()) {
        let (graph, weights) = (encode_graph(model.graph()), encode_weights(model.weights()));
        prop_assert_eq!(&decode_graph(&graph).unwrap(), model.graph());
        prop_assert!(&decode_weights(&weights).unwrap() == model.weights());
    }

    /// There is one encoding: bytes that decode are the bytes that encoding gives.
    #[test]
    fn changed_bytes_are_refused_or_another_graph(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let model = random_model(&[3, 4, 2], false, &mut Random(5));
        let mut bytes = encode_graph(model.graph());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(graph) = decode_graph(&bytes) {
            prop_assert_eq!(encode_graph(&graph), bytes);
        }
        let mut bytes = encode_weights(model.weights());
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(weights) = decode_weights(&bytes) {
            prop_assert_eq!(encode_weights(&weights), bytes);
            let _ = Model::new(model.graph().clone(), weights);
        }
    }

    #[test]
    fn random_bytes_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0usize..3) {
        let magic = [b"TCTG\x01\0", b"TCTW\x01\0", b"TCTM\x01\0"][kind];
        let len = bytes.len().min(6);
        bytes[..len].copy_from_slice(&magic[..len]);
        let _ = decode_graph(&bytes);
        let _ = decode_weights(&bytes);
        prop_assert!(ModelFile::decode(&bytes).is_err());
    }
}

#[test]
fn every_prefix_is_truncated() {
    let model = synthetic_mlp(&[3, 4, 2], 1).unwrap();
    let (graph, weights, file) =
        (encode_graph(model.graph()), encode_weights(model.weights()), file().encode());
    for len in 0..graph.len() {
        assert!(matches!(decode_graph(&graph[..len]), Err(EncodingError::Truncated { .. })), "{len}");
    }
    for len in 0..weights.len() {
        assert!(matches!(decode_weights(&weights[..len]), Err(EncodingError::Truncated { .. })), "{len}");
    }
    for len in 0..file.len() {
        assert!(ModelFile::decode(&file[..len]).is_err(), "{len}");
    }
}

#[test]
fn trailing_bytes() {
    let model = synthetic_mlp(&[3, 4, 2], 1).unwrap();
    let longer = |mut bytes: Vec<u8>| {
        bytes.push(0);
        bytes
    };
    let trailing = EncodingError::Trailing { left: 1 };
    assert_eq!(decode_graph(&longer(encode_graph(model.graph()))).unwrap_err(), trailing);
    assert_eq!(decode_weights(&longer(encode_weights(model.weights()))).unwrap_err(), trailing);
    assert_eq!(ModelFile::decode(&longer(file().encode())).unwrap_err(), EncodingError::Checksum);
    assert_eq!(ModelFile::decode(&sealed(longer(body()))).unwrap_err(), trailing);
}

#[test]
fn other_files() {
    let mut bytes = encode_graph(synthetic_mlp(&[3, 2], 1).unwrap().graph());
    let magic = EncodingError::Magic { expected: *b"TCTW", got: *b"TCTG" };
    assert_eq!(decode_weights(&bytes).unwrap_err(), magic);
    bytes[4] = 2;
    assert_eq!(decode_graph(&bytes).unwrap_err(), EncodingError::Version { expected: 1, got: 2 });
}

/// Byte offsets in the graph of one feature without a name and one operator: features at 6, nodes at 25.
#[test]
fn limits_and_tags() {
    let bytes = encode_graph(synthetic_mlp(&[1, 1], 1).unwrap().graph());
    let with = |at: usize, values: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + values.len()].copy_from_slice(values);
        decode_graph(&bytes).unwrap_err()
    };
    assert_eq!(with(6, &[0xff; 4]), EncodingError::OverLimit { limit: 1 << 15, got: u32::MAX as usize });
    assert!(matches!(with(6, &[0, 0x80, 0, 0]), EncodingError::Truncated { .. }));
    assert_eq!(with(10, &[1, 1]), EncodingError::OverLimit { limit: 256, got: 257 });
    assert_eq!(with(29, &[9]), EncodingError::Tag { got: 9 });
    // No tables, then the decoder: tag, unit, one label of one byte.
    assert_eq!(with(42, &[1, 1, 0, 0]), EncodingError::OverLimit { limit: 256, got: 257 });
    assert_eq!(with(46, &[3]), EncodingError::Tag { got: 3 });
    assert_eq!(with(54, &[0xff]), EncodingError::NotUtf8);
    assert_eq!(with(24, &[97]), EncodingError::Graph(GraphError::EncodeShift { feature: 0, got: 97 }));
}

#[test]
fn table_bits_are_checked_before_their_length_is_used() {
    let model = synthetic_mlp(&[1, 1, 1], 1).unwrap();
    let mut bytes = encode_graph(model.graph());
    let at = bytes.len() - (1 << 10) - 10;
    assert_eq!(bytes[at], 10);
    bytes[at] = 0xff;
    assert_eq!(decode_graph(&bytes).unwrap_err(), EncodingError::OverLimit { limit: 16, got: 255 });
}

fn body() -> Vec<u8> {
    let mut bytes = file().encode();
    bytes.truncate(bytes.len() - 32);
    bytes
}

/// A file with a right checksum over anything.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let checksum = blake3::hash(&body);
    body.extend_from_slice(checksum.as_bytes());
    body
}

#[test]
fn files_come_back() {
    let file = file();
    let bytes = file.encode();
    let back = ModelFile::decode(&bytes).unwrap();
    assert_eq!((&back.name, back.weight_root, &back.report), (&file.name, file.weight_root, &file.report));
    assert_eq!(back.encode(), bytes);
    assert_eq!(back.id(), file.id());
    assert_eq!(sealed(body()), bytes);
}

#[test]
fn a_long_name_is_cut_between_characters() {
    let name = format!("x{}", "é".repeat(200));
    let back = ModelFile::decode(&ModelFile { name: name.clone(), ..file() }.encode()).unwrap();
    assert_eq!(back.name.len(), 255);
    assert!(name.starts_with(&back.name));
}

#[test]
fn a_damaged_file_is_noticed() {
    let bytes = file().encode();
    for at in 6..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        assert_eq!(ModelFile::decode(&bytes).unwrap_err(), EncodingError::Checksum, "{at}");
    }
}

#[test]
fn reports_hold_numbers() {
    let mut bytes = body();
    let at = bytes.len() - 9;
    assert_eq!(bytes[at], 1);
    bytes[at + 1..].copy_from_slice(&f64::NAN.to_bits().to_le_bytes());
    assert_eq!(ModelFile::decode(&sealed(bytes)).unwrap_err(), EncodingError::ScoreNotFinite);
}

/// A file in which weights do not fit the graph is no model, whatever its checksum.
#[test]
fn a_file_of_parts_that_do_not_fit_is_refused() {
    let (mut one, other) = (body(), synthetic_mlp(&[3, 4, 3], 1).unwrap());
    let graph = encode_graph(file().model.graph());
    let at = 6 + 6 + 32 + 4 + graph.len();
    let weights = encode_weights(other.weights());
    let old = encode_weights(file().model.weights()).len();
    one.splice(at..at + 4 + old, [&(weights.len() as u32).to_le_bytes()[..], &weights].concat());
    assert!(matches!(ModelFile::decode(&sealed(one)).unwrap_err(), EncodingError::Graph(_)));
}
