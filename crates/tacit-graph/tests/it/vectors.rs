//! Golden vectors: bytes, ids and numbers that no change may alter.
//!
//! Written anew by `TACIT_WRITE_VECTORS=1 cargo test -p tacit-graph --test it vectors`.

use std::{fmt::Write as _, fs, path::PathBuf};

use serde_json::{Value, json};
use tacit_graph::{
    Feature, Model, RawValue, SyntheticNetwork, Tensor, decode_graph, decode_weights, encode_graph,
    encode_weights, execute, model_id, random_inputs, random_model, reference, synthetic_mlp,
    synthetic_network,
    trace::{Hash, Kind, TraceTree, Tree, WeightsTree, fold},
};

use crate::support::{stepped_feature, stepped_graph};

const WEIGHT_ROOT: [u8; 32] = [0x11; 32];
const RANDOM_SEEDS: [u64; 6] = [1, 2, 3, 5, 8, 13];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

/// Random models that between them have every operator.
fn models() -> Vec<(String, Model)> {
    let random = |seed: u64| (format!("random {seed}"), random_model(seed).unwrap());
    let dense = ("synthetic 4-5-3".to_owned(), synthetic_mlp(&[4, 5, 3], 1).unwrap());
    RANDOM_SEEDS.into_iter().map(random).chain([dense]).collect()
}

fn element_bytes(tensor: &Tensor) -> u8 {
    match tensor {
        Tensor::I8(_) => 1,
        Tensor::I16(_) => 2,
        Tensor::I32(_) => 4,
    }
}

fn model_vector((name, model): (String, Model)) -> Value {
    let graph = encode_graph(model.graph());
    let rows = 2;
    let inputs = random_inputs(&model, rows, 2);
    let trace = execute(&model, &inputs, rows).unwrap();
    json!({
        "name": name,
        "graph": hex(&graph),
        "weights": hex(&encode_weights(model.weights())),
        "weight_root": hex(&WEIGHT_ROOT),
        "model_id": model_id(&graph, &WEIGHT_ROOT),
        "rows": rows,
        "tensors": trace.tensors.iter().map(Tensor::to_i32_vec).collect::<Vec<_>>(),
        "element_bytes": trace.tensors.iter().map(element_bytes).collect::<Vec<_>>(),
        "weights_tree": hex(&WeightsTree::new(&model).tree().root()),
    })
}

fn encoders() -> Vec<Value> {
    let cases = [
        (0i64, 1i32, 24u8, 8u8, "3"),
        (0, 1, 24, 8, "2.5"),
        (0, 1, 24, 8, "-2.5"),
        (0, 1, 24, 8, "1000"),
        (0, 1, 24, 16, "1000"),
        (0, 1, 24, 2, "-1000"),
        (-(8 << 24), 1_065_353_216, 50, 8, "16"),
        (i64::MIN, i32::MIN, 96, 8, "-549755813888"),
        (i64::MAX, i32::MAX, 0, 16, "549755813887"),
        (7, -3, 1, 8, "-0.00000006"),
    ];
    let case = |(offset, multiplier, shift, bits, decimal): (i64, i32, u8, u8, &str)| {
        let raw = decimal.parse::<RawValue>().unwrap().get();
        let encoded =
            Feature { name: String::new(), offset, multiplier, shift, steps: Vec::new() }.encode(raw, bits);
        json!({"offset": offset, "multiplier": multiplier, "shift": shift, "bits": bits, "decimal": decimal,
               "raw": raw, "encoded": encoded})
    };
    cases.into_iter().map(case).collect()
}

/// Steps, decimals, and how many steps each has passed.
fn steps() -> Vec<Value> {
    let cases: [(&[i64], &[&str]); 3] = [
        (&[0], &["-0.00000006", "0", "0.00000002", "0.00000004"]),
        (&[-(5 << 23), 1 << 24, (1 << 24) + 1], &["-2.6", "-2.5", "0.99999994", "1", "1.00000006"]),
        (&[i64::MIN, i64::MAX], &["-549755813888", "549755813887.99999993", "549755813887.99999997"]),
    ];
    let case = |(steps, decimals): (&[i64], &[&str])| {
        let feature = stepped_feature(steps);
        let passed = decimals.iter().map(|text| feature.encode(text.parse::<RawValue>().unwrap().get(), 8));
        json!({"steps": steps, "decimals": decimals, "encoded": passed.collect::<Vec<_>>()})
    };
    cases.into_iter().map(case).collect()
}

fn vectors() -> Value {
    let hashes = |model: Model| {
        json!({
            "graph_hash": blake3::hash(&encode_graph(model.graph())).to_string(),
            "weights_hash": blake3::hash(&encode_weights(model.weights())).to_string(),
        })
    };
    json!({
        "models": models().into_iter().map(model_vector).collect::<Vec<_>>(),
        "encoders": encoders(),
        "steps": steps(),
        "stepped graph": hex(&encode_graph(&stepped_graph())),
        "synthetic 784-128-10 seed 7": hashes(synthetic_mlp(&[784, 128, 10], 7).unwrap()),
        "synthetic lenet-5 seed 7": hashes(synthetic_network(SyntheticNetwork::LeNet5, 7).unwrap()),
        "synthetic resnet-8 seed 7": hashes(synthetic_network(SyntheticNetwork::ResNet8, 7).unwrap()),
    })
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/graph.json")
}

#[test]
fn vectors_are_what_this_code_gives() {
    let made = vectors();
    if std::env::var_os("TACIT_WRITE_VECTORS").is_some() {
        fs::write(path(), serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_slice(&fs::read(path()).unwrap()).unwrap();
    assert_eq!(kept, made);
}

/// The other way round: from the kept bytes alone, through decoding and the reference executor.
#[test]
fn kept_bytes_give_the_kept_numbers() {
    let kept: Value = serde_json::from_slice(&fs::read(path()).unwrap()).unwrap();
    for vector in kept["models"].as_array().unwrap() {
        let (graph, weights) = (unhex(&vector["graph"]), unhex(&vector["weights"]));
        let model = Model::new(decode_graph(&graph).unwrap(), decode_weights(&weights).unwrap()).unwrap();
        let tensors: Vec<Vec<i32>> = serde_json::from_value(vector["tensors"].clone()).unwrap();
        let inputs: Vec<i16> = tensors[0].iter().map(|value| *value as i16).collect();
        let trace = reference::execute(&model, &inputs, vector["rows"].as_u64().unwrap() as usize).unwrap();
        assert_eq!(trace.tensors.iter().map(Tensor::to_i32_vec).collect::<Vec<_>>(), tensors);
        assert_eq!(model_id(&graph, &WEIGHT_ROOT).to_string(), vector["model_id"].as_str().unwrap());
    }
}

/// Trees of a foreign implementation (`vectors/traces/make.py`), over tiles of any length and over the traces of the kept models.
#[test]
fn a_foreign_implementation_makes_the_same_trees() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/traces/trees.json");
    let theirs: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let hashes = |values: &Value| -> Vec<Hash> {
        values.as_array().unwrap().iter().map(|value| unhex(value).try_into().unwrap()).collect()
    };
    let trees = theirs["trees"].as_array().unwrap();
    assert_eq!(trees.len(), 12);
    for case in trees {
        let kind = if case["kind"] == "trace" { Kind::Trace } else { Kind::Weights };
        let tiles = case["tiles"].as_array().unwrap().iter().map(unhex);
        let leaves: Vec<Hash> = (0..).zip(tiles).map(|(index, tile)| kind.leaf(index, &tile)).collect();
        let tree = Tree::new(kind, leaves.clone());
        assert_eq!(hex(&tree.top()), case["top"]);
        assert_eq!(hex(&tree.root()), case["root"]);
        assert_eq!(u64::from(tree.top_node().level), case["level"]);
        assert_eq!(tree.step(tree.top_node()), hashes(&case["step"]));
        let opened: Vec<u64> = serde_json::from_value(case["opened"].clone()).unwrap();
        let siblings = hashes(&case["siblings"]);
        assert_eq!(tree.open(&opened), siblings);
        let opened = opened.into_iter().map(|index| (index, leaves[index as usize])).collect();
        assert_eq!(fold(kind, tree.leaves(), opened, &siblings), Some(tree.top()));
    }
    let traces = theirs["traces"].as_array().unwrap();
    assert_eq!(traces.len(), models().len());
    for ((name, model), case) in models().into_iter().zip(traces) {
        assert_eq!(case["name"], name);
        let trace = execute(&model, &random_inputs(&model, 2, 2), 2).unwrap();
        for row in 0..2 {
            let tree = TraceTree::new(model.shapes(), &trace, row).unwrap();
            assert_eq!(hex(&tree.tree().root()), case["roots"][row], "{name}");
            assert_eq!(tree.faces(), hashes(&case["faces"][row]), "{name}");
        }
    }
}
