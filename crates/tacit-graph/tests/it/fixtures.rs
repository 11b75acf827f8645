//! Networks that other programs exported, compared with what ONNX Runtime answers (`tests/fixtures/make.py`).

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use serde_json::Value;
use tacit_graph::{
    Answer, Decoder, RawValue,
    import::{HeldOut, ImportError, ImportOptions, Imported, import, run_float},
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

struct Fixture {
    name: String,
    onnx: Vec<u8>,
    rows: Vec<Vec<f64>>,
    entry: Value,
}

fn numbers(value: &Value) -> Vec<Vec<f64>> {
    let row = |row: &Value| row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

fn fixtures() -> Vec<Fixture> {
    let all: Value = serde_json::from_slice(&fs::read(folder().join("expected.json")).unwrap()).unwrap();
    let fixture = |(name, entry): (&String, &Value)| Fixture {
        name: name.clone(),
        onnx: fs::read(folder().join(format!("{name}.onnx"))).unwrap(),
        rows: numbers(&all["rows"][entry["data"].as_str().unwrap()]),
        entry: entry.clone(),
    };
    all["networks"].as_object().unwrap().iter().map(fixture).collect()
}

impl Fixture {
    fn import(&self, options: &ImportOptions) -> Result<Imported, ImportError> {
        import(&self.onnx, &self.rows, None, options)
    }
}

fn answer(imported: &Imported, row: &[f64]) -> Answer {
    let raw: Vec<RawValue> = row.iter().map(|x| RawValue::from_f64(*x).unwrap()).collect();
    let graph = imported.model.graph();
    let trace = tacit_graph::execute(&imported.model, &graph.encode_values(&raw).unwrap(), 1).unwrap();
    graph.decode_output(&trace.logits()).unwrap()
}

/// Labels of the integer model against those of ONNX Runtime: at most two rows of 150 may differ.
#[test]
fn classifiers_agree_with_onnx_runtime() {
    let mut count = 0;
    for fixture in fixtures() {
        let Some(labels) = fixture.entry["labels"].as_array() else { continue };
        let imported = fixture.import(&ImportOptions::default()).unwrap();
        let differing = fixture.rows.iter().zip(labels).filter(|(row, label)| {
            !matches!(answer(&imported, row), Answer::Label { label: got, .. } if got == label.as_str().unwrap())
        });
        let differing = differing.count();
        println!("{}: {differing} of {} differ, {:?}", fixture.name, labels.len(), imported.report.operators);
        assert!(differing <= 2, "{}: {differing} labels differ", fixture.name);
        count += 1;
    }
    assert!(count > 15);
}

/// Scores and values of the float executor against ONNX Runtime, and of the integer model within a few steps of
/// the values' range.
#[test]
fn values_agree_with_onnx_runtime() {
    let mut count = 0;
    for fixture in fixtures() {
        if fixture.entry["values"].is_null() {
            continue;
        }
        let expected = numbers(&fixture.entry["values"]);
        let float = run_float(&fixture.onnx, &fixture.rows, None).unwrap();
        let spread = |values: &[Vec<f64>]| {
            let all = || values.iter().flatten().copied();
            all().fold(f64::MIN, f64::max) - all().fold(f64::MAX, f64::min)
        };
        let range = spread(&expected);
        let error = expected.iter().flatten().zip(float.iter().flatten()).map(|(a, b)| (a - b).abs());
        // ONNX Runtime computes in float32.
        let tolerated = range * 1e-5;
        let error = error.fold(0.0, f64::max);
        assert!(error <= tolerated, "{}: float error {error} of range {range}", fixture.name);

        let imported = fixture.import(&ImportOptions::default()).unwrap();
        let mut worst: f64 = 0.0;
        for (row, expected) in fixture.rows.iter().zip(&expected) {
            match answer(&imported, row) {
                Answer::Values(scores) => {
                    let error = scores.iter().zip(expected).map(|(score, x)| (score.to_f64() - x).abs());
                    worst = error.fold(worst, f64::max);
                }
                Answer::Label { index, .. } => {
                    let most = expected.iter().copied().fold(f64::MIN, f64::max);
                    assert!(most - expected[index] < 0.1 * range, "{}: {expected:?}", fixture.name);
                }
            }
        }
        println!(
            "{}: float {error:e}, integer {worst} of {range}, {:?}",
            fixture.name, imported.report.operators
        );
        assert!(worst < 0.04 * range, "{}: integer error {worst} of range {range}", fixture.name);
        count += 1;
    }
    assert!(count > 12);
}

#[test]
fn what_cannot_be_imported_is_refused_by_name() {
    let mut count = 0;
    for fixture in fixtures() {
        let Some(refused) = fixture.entry["refused"].as_str() else { continue };
        let error = fixture.import(&ImportOptions::default()).unwrap_err();
        println!("{error}; {}", error.hint());
        assert!(
            matches!(&error, ImportError::Node { operator, .. } if operator == refused),
            "{}: {error}",
            fixture.name
        );
        count += 1;
    }
    assert!(count >= 4);
}

#[test]
fn given_labels_make_a_classifier() {
    let fixture = fixtures().into_iter().find(|fixture| fixture.name == "torch_sequential").unwrap();
    let labels: Vec<String> = ["setosa", "versicolor", "virginica"].map(String::from).to_vec();
    let options = ImportOptions { labels: Some(labels.clone()), ..ImportOptions::default() };
    let truth: Vec<String> = (0..150).map(|row| labels[row / 50].clone()).collect();
    let held_out = HeldOut { rows: &fixture.rows, labels: &truth };
    let imported = import(&fixture.onnx, &fixture.rows, Some(held_out), &options).unwrap();
    assert!(matches!(&imported.model.graph().decoder, Decoder::ArgMax { labels: got, .. } if *got == labels));
    let (float, integer) = (imported.report.float_score.unwrap(), imported.report.integer_score.unwrap());
    assert!(float > 0.97 && integer > 0.96, "{float} {integer}");
}

#[test]
fn two_labels_decide_a_probability_by_its_sign() {
    let fixture = fixtures().into_iter().find(|fixture| fixture.name == "torch_sigmoid").unwrap();
    let labels = Some(vec!["no".to_owned(), "yes".to_owned()]);
    let imported = fixture.import(&ImportOptions { labels, ..ImportOptions::default() }).unwrap();
    assert!(matches!(imported.model.graph().decoder, Decoder::Threshold { .. }));
    assert_eq!(imported.model.graph().nodes.len(), 1);
    let same = fixture.rows.iter().zip(numbers(&fixture.entry["values"])).filter(|(row, value)| {
        let Answer::Label { label, .. } = answer(&imported, row) else { return false };
        (label == "yes") == (value[0] > 0.5)
    });
    assert!(same.count() >= 148);
}

proptest! {
    /// Real exports with a few bytes changed: a model or a reason, never a panic.
    #[test]
    fn damaged_exports_are_imported_or_refused(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut names: Vec<_> = fs::read_dir(folder())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
            .collect();
        names.sort();
        let mut onnx = fs::read(which.get(&names)).unwrap();
        for (at, byte) in &changes {
            let at = at.index(onnx.len());
            onnx[at] = *byte;
        }
        for width in [4, 10] {
            let rows: Vec<Vec<f64>> =
                (0..6).map(|row| (0..width).map(|k| f64::from(row * k % 7) - 1.5).collect()).collect();
            let options = ImportOptions { table_bits_max: 6, ..ImportOptions::default() };
            let _ = import(&onnx, &rows, None, &options);
        }
    }
}
