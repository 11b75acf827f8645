//! The models in `models/`: their scores, and the answers to their sample questions.

use std::{fs, path::PathBuf};

use serde_json::Value;
use tacit_graph::{
    Answer, Operator, RawValue, encode_graph, encode_weights, execute,
    graph::MAX_SPAN_BITS,
    import::{HeldOut, ImportOptions, Imported, import},
};

fn folder(model: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models").join(model)
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn import_shipped(model: &str) -> Imported {
    let folder = folder(model);
    let calibration = npyz::NpyFile::new(fs::File::open(folder.join("calibration.npy")).unwrap()).unwrap();
    let width = calibration.shape()[1] as usize;
    assert_eq!(calibration.order(), npyz::Order::C);
    let flat: Vec<f32> = calibration.into_vec().unwrap();
    let calibration: Vec<Vec<f64>> =
        flat.chunks(width).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect();
    let held = json(folder.join("held_out.json"));
    let row = |row: &Value| row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    let rows: Vec<Vec<f64>> = held["rows"].as_array().unwrap().iter().map(row).collect();
    let labels: Vec<String> =
        held["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_owned()).collect();
    let onnx = fs::read(folder.join("model.onnx")).unwrap();
    let held_out = Some(HeldOut { rows: &rows, labels: &labels });
    import(&onnx, &calibration, held_out, &ImportOptions::default()).unwrap()
}

/// Samples are read as decimals, the way a client reads them.
fn check_samples(model: &str, imported: &Imported) {
    let expected = json(folder(model).join("samples/expected.json"));
    for (sample, label) in expected.as_object().unwrap() {
        let sample = json(folder(model).join("samples").join(sample));
        let row: Vec<RawValue> =
            sample["data"].as_array().unwrap().iter().map(|x| x.to_string().parse().unwrap()).collect();
        let graph = imported.model.graph();
        let trace = execute(&imported.model, &graph.encode_values(&row).unwrap(), 1).unwrap();
        let answer = graph.decode_output(&trace.logits()).unwrap();
        assert!(
            matches!(&answer, Answer::Label { label: got, .. } if got == label),
            "{answer:?} is not {label}"
        );
    }
}

fn check_scores(imported: &Imported, least: f64) {
    let report = &imported.report;
    let (float, integer) = (report.float_score.unwrap(), report.integer_score.unwrap());
    assert!(float >= least, "{float}");
    assert!(integer >= float - 0.01, "{integer} against {float}");
    // As the models' READMEs say.
    assert_eq!((integer, report.agreement), (float, Some(1.0)), "{report:?}");
}

#[test]
fn digits() {
    let imported = import_shipped("digits");
    check_scores(&imported, 0.97);
    check_samples("digits", &imported);
    assert_eq!(imported.report.params, 64 * 64 + 64 + 64 * 32 + 32 + 32 * 10 + 10);
}

#[test]
fn breast_cancer() {
    let imported = import_shipped("breast-cancer");
    check_scores(&imported, 0.95);
    check_samples("breast-cancer", &imported);
}

/// The shipped networks use nothing but sums, products, powers of two and ReLU, so every machine imports them to
/// these bytes: the ids that people see are the same everywhere. A change of the quantiser changes them, and must be
/// meant.
#[test]
fn every_machine_imports_the_same_models() {
    for (name, graph, weights) in [
        (
            "digits",
            "da854e8ed0ac3c4089e3dc15039774faa355d8fcfca5e85b647943ef28d41509",
            "88c8781d5645dfa0794b2daeeff28c93d0431e67ad9edc9d52d55c5e40379fd8",
        ),
        (
            "breast-cancer",
            "43f82615fa9047908e66dba310981444cb318d8128a2592e589443a342b0f189",
            "8294852199d56dffaa4ea5cc88891bd9cc59996eba6dc6777baa94e70d6d4f41",
        ),
    ] {
        let imported = import_shipped(name);
        let made = [encode_graph(imported.model.graph()), encode_weights(imported.model.weights())];
        assert_eq!(made.map(|bytes| blake3::hash(&bytes).to_string()), [graph, weights], "{name}");
    }
}

/// Asked for numbers, not for labels, an importer takes finer steps and larger shifts: they have to stay provable.
#[test]
fn finer_steps_stay_within_what_a_proof_covers() {
    let folder = folder("lenet5");
    let pixels = npyz::NpyFile::new(fs::File::open(folder.join("calibration.npy")).unwrap()).unwrap();
    let pixels: Vec<u8> = pixels.into_vec().unwrap();
    let rows: Vec<Vec<f64>> =
        pixels.chunks(28 * 28).step_by(8).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect();
    let onnx = fs::read(folder.join("model.onnx")).unwrap();
    let imported = import(&onnx, &rows, None, &ImportOptions::default()).unwrap();
    let graph = imported.model.graph();
    let mut shifts = 0;
    for node in &graph.nodes {
        if let Operator::Requantise { shift, table, .. } = node {
            let table = &graph.tables[usize::from(*table)];
            assert!(shift + table.bits <= MAX_SPAN_BITS, "{shift} {}", table.bits);
            shifts = shifts.max(*shift);
        }
    }
    assert!(shifts > 14, "{shifts}: these were the usual steps");
}
