//! Bytes: what is written is read back, and nothing else is read.

use proptest::prelude::*;
use tacit_graph::{
    Agreement, EncodingError, Feature, GraphError, HidingKey, ImportReport, MAX_FEATURES, MAX_NAME_BYTES,
    Model, ModelFile, SyntheticNetwork, decode_graph, decode_weights, encode_graph, encode_weights,
    feature_count, random_model, synthetic_mlp, synthetic_network,
};

use crate::support::{model_and_inputs, stepped_feature, stepped_graph};

fn file() -> ModelFile {
    let model = synthetic_mlp(&[3, 4, 2], 5).unwrap();
    let report = ImportReport {
        float_score: Some(0.5),
        agreement: Some(-0.0),
        rows: 3,
        encrypted: Some(Agreement { rows: 3, agreed: 2 }),
        ..ImportReport::unmeasured(&model)
    };
    let hiding = Some(HidingKey { openings: 7, seed: [3; 32] });
    ModelFile { name: "tiny".into(), weight_root: [9; 32], hiding, model, report }
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
    fn changed_bytes_are_refused_or_another_graph(
        seed in 0u64..64, at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let model = random_model(seed).unwrap();
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
        let magic = [b"TCTG\x02\0", b"TCTW\x02\0", b"TCTM\x02\0"][kind];
        let len = bytes.len().min(6);
        bytes[..len].copy_from_slice(&magic[..len]);
        let _ = decode_graph(&bytes);
        let _ = decode_weights(&bytes);
        prop_assert!(ModelFile::decode(&bytes).is_err());
    }
}

#[test]
fn every_prefix_is_truncated() {
    let model = random_model(1).unwrap();
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
    bytes[4] = 1;
    assert_eq!(decode_graph(&bytes).unwrap_err(), EncodingError::Version { expected: 3, got: 1 });
}

/// Byte offsets in the graph of one feature without a name and one operator: features at 12, nodes at 35.
#[test]
fn limits_and_tags() {
    let bytes = encode_graph(synthetic_mlp(&[1, 1], 1).unwrap().graph());
    let with = |at: usize, values: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + values.len()].copy_from_slice(values);
        decode_graph(&bytes).unwrap_err()
    };
    assert_eq!(with(6, &[1]), EncodingError::Graph(GraphError::InputBits { got: 1 }));
    assert_eq!(with(7, &[9]), EncodingError::OverLimit { limit: 8, got: 9 });
    assert_eq!(
        with(12, &[0xff; 4]),
        EncodingError::OverLimit { limit: MAX_FEATURES, got: u32::MAX as usize }
    );
    assert!(matches!(with(12, &[0, 0x80, 0, 0]), EncodingError::Truncated { .. }));
    assert_eq!(
        with(16, &[0, 0, 0x10, 0]),
        EncodingError::Graph(GraphError::InputAxes { expected: 1, got: 1 << 20 })
    );
    assert_eq!(
        with(16, &[1, 0, 0x10, 0]),
        EncodingError::OverLimit { limit: MAX_FEATURES, got: MAX_FEATURES + 1 }
    );
    assert_eq!(with(16, &[0]), EncodingError::Run { index: 0 });
    assert_eq!(with(20, &[1, 1]), EncodingError::OverLimit { limit: 256, got: 257 });
    assert_eq!(with(34, &[97]), EncodingError::Graph(GraphError::EncodeShift { feature: 0, got: 97 }));
    // One contraction: tag, output axes, summed axes, view (tensor, groups), weights, bias.
    assert_eq!(with(39, &[9]), EncodingError::Tag { got: 9 });
    assert_eq!(with(40, &[9]), EncodingError::OverLimit { limit: 8, got: 9 });
    assert_eq!(with(54, &[9]), EncodingError::OverLimit { limit: 8, got: 9 });
    assert_eq!(with(60, &[17]), EncodingError::OverLimit { limit: 16, got: 17 });
    // `exact` is zero or one.
    assert_eq!(with(70, &[2]), EncodingError::Tag { got: 2 });
    assert_eq!(with(71, &[2]), EncodingError::Tag { got: 2 });
    assert_eq!(with(72, &[17]), EncodingError::OverLimit { limit: 16, got: 17 });
    assert_eq!(with(75, &[2]), EncodingError::Tag { got: 2 });
    // No tables, then the decoder: tag, unit, one label of one byte.
    assert_eq!(with(78, &[1, 1, 0, 0]), EncodingError::OverLimit { limit: 256, got: 257 });
    assert_eq!(with(82, &[3]), EncodingError::Tag { got: 3 });
    assert_eq!(with(90, &[0xff]), EncodingError::NotUtf8);
}

/// A run of features is one item however long, and only the longest run is canonical.
#[test]
fn equal_features_are_one_run() {
    let model = synthetic_network(SyntheticNetwork::ResNet8, 1).unwrap();
    assert!(encode_graph(model.graph()).len() < 12_000);
    let mut graph = synthetic_mlp(&[4, 1], 1).unwrap().graph().clone();
    graph.features[2] = Feature { offset: 5, ..graph.features[2].clone() };
    let bytes = encode_graph(&graph);
    assert_eq!(decode_graph(&bytes).unwrap(), graph);
    assert_eq!(bytes[12..20], [3, 0, 0, 0, 2, 0, 0, 0]);
    // The third run made equal to the second, and the other way round.
    let mut split = bytes.clone();
    let run = 19;
    split.copy_within(16 + run + 4..16 + 2 * run, 16 + 2 * run + 4);
    assert_eq!(decode_graph(&split).unwrap_err(), EncodingError::Run { index: 2 });
}

/// Features with steps are written each for itself, behind another version.
#[test]
fn steps_come_back() {
    let plain = encode_graph(synthetic_mlp(&[4, 1], 1).unwrap().graph());
    assert_eq!(plain[4..6], [2, 0]);
    let graph = stepped_graph();
    let bytes = encode_graph(&graph);
    assert_eq!(bytes[4..6], [3, 0]);
    assert_eq!(decode_graph(&bytes).unwrap(), graph);
    assert_eq!(feature_count(&bytes), Ok(4));
    for len in 0..bytes.len() {
        assert!(matches!(decode_graph(&bytes[..len]), Err(EncodingError::Truncated { .. })), "{len}");
        if len < 12 + 4 + 4 * 23 + 2 * 24 {
            assert!(feature_count(&bytes[..len]).is_err(), "{len}");
        }
    }
}

/// Runs start at 16; each has 19 bytes, the count of its steps and its steps.
#[test]
fn steps_have_one_encoding() {
    let graph = stepped_graph();
    let bytes = encode_graph(&graph);
    let (first, second) = (16, 16 + 23);
    // Two equal features with steps are two runs, never one of two.
    let mut joined = bytes.clone();
    joined[second] = 2;
    assert_eq!(decode_graph(&joined).unwrap_err(), EncodingError::Run { index: 1 });
    // The version with steps is for graphs that have some.
    let mut without = encode_graph(synthetic_mlp(&[4, 1], 1).unwrap().graph());
    without[4] = 3;
    without.splice(first + 19..first + 19, [0; 4]);
    assert_eq!(decode_graph(&without).unwrap_err(), EncodingError::Version { expected: 2, got: 3 });
    let mut more = bytes.clone();
    more[second + 19..second + 23].copy_from_slice(&((1u32 << 20) + 1).to_le_bytes());
    let limit = EncodingError::OverLimit { limit: 1 << 20, got: (1 << 20) + 1 };
    assert_eq!(decode_graph(&more).unwrap_err(), limit);
    assert_eq!(feature_count(&more).unwrap_err(), limit);
}

#[test]
fn steps_are_limited_together() {
    let mut graph = stepped_graph();
    let many: Vec<i64> = (0..(1 << 15) - 1).collect();
    graph.input_bits = 16;
    graph.input_axes = vec![33];
    graph.features = vec![stepped_feature(&many); 33];
    let got = 33 * many.len();
    assert_eq!(graph.validate().unwrap_err(), GraphError::TooManySteps { got });
    // While reading, only what is left is allowed.
    let left = (1 << 20) - 32 * many.len();
    let refused = EncodingError::OverLimit { limit: left, got: many.len() };
    assert_eq!(decode_graph(&encode_graph(&graph)).unwrap_err(), refused);
}

proptest! {
    #[test]
    fn changed_bytes_of_steps_are_refused_or_another_graph(
        at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = encode_graph(&stepped_graph());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(graph) = decode_graph(&bytes) {
            prop_assert_eq!(encode_graph(&graph), bytes);
        }
    }
}

/// A few bytes of a long name, a million times.
#[test]
fn names_are_limited_together() {
    let mut graph = synthetic_mlp(&[1, 1], 1).unwrap().graph().clone();
    graph.features[0].name = "n".repeat(256);
    let mut bytes = encode_graph(&graph);
    bytes[16..20].copy_from_slice(&(1u32 << 20).to_le_bytes());
    let expected = EncodingError::OverLimit { limit: MAX_NAME_BYTES, got: 1 << 28 };
    assert_eq!(decode_graph(&bytes).unwrap_err(), expected);
    graph.features = vec![graph.features[0].clone(); (1 << 16) + 1];
    assert_eq!(graph.validate().unwrap_err(), GraphError::InputAxes { expected: 1, got: (1 << 16) + 1 });
    graph.input_axes = vec![(1 << 16) + 1];
    assert_eq!(graph.validate().unwrap_err(), GraphError::NamesTooLong { got: MAX_NAME_BYTES + 256 });
}

#[test]
fn table_bits_are_checked_before_their_length_is_used() {
    let model = synthetic_mlp(&[1, 1, 1], 1).unwrap();
    let mut bytes = encode_graph(model.graph());
    let at = bytes.len() - (2 << 10) - 10;
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
    assert_eq!(bytes[at..], [1, 3, 0, 0, 0, 2, 0, 0, 0]);
    for (rows, agreed) in [(0u32, 0u32), (1, 2)] {
        let mut bytes = bytes.clone();
        bytes[at + 1..at + 5].copy_from_slice(&rows.to_le_bytes());
        bytes[at + 5..].copy_from_slice(&agreed.to_le_bytes());
        assert_eq!(ModelFile::decode(&sealed(bytes)).unwrap_err(), EncodingError::Agreement);
    }
    assert_eq!(bytes[at - 9], 1);
    bytes[at - 8..at].copy_from_slice(&f64::NAN.to_bits().to_le_bytes());
    assert_eq!(ModelFile::decode(&sealed(bytes)).unwrap_err(), EncodingError::ScoreNotFinite);
}

/// A file in which weights do not fit the graph is no model, whatever its checksum.
#[test]
fn a_file_of_parts_that_do_not_fit_is_refused() {
    let (mut one, other) = (body(), synthetic_mlp(&[3, 4, 3], 1).unwrap());
    let graph = encode_graph(file().model.graph());
    let at = 6 + 6 + 32 + 37 + 4 + graph.len();
    let weights = encode_weights(other.weights());
    let old = encode_weights(file().model.weights()).len();
    one.splice(at..at + 4 + old, [&(weights.len() as u32).to_le_bytes()[..], &weights].concat());
    assert!(matches!(ModelFile::decode(&sealed(one)).unwrap_err(), EncodingError::Graph(_)));
}
