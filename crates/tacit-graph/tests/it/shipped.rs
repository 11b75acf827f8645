//! The models in `models/`: their scores, and the answers to their sample questions.

use std::{fs, path::PathBuf};

use serde_json::Value;
use tacit_graph::{
    Answer, Columns, Decoder, Operator, RawValue,
    columns::{Column, Content},
    encode_graph, encode_weights, execute,
    graph::{MAX_SPAN_BITS, Right},
    import::{HeldOut, ImportOptions, Imported, import},
};

fn folder(model: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models").join(model)
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn import_shipped(model: &str) -> Imported {
    import_with(model, ImportOptions::default())
}

fn import_linear(model: &str) -> Imported {
    import_with(model, ImportOptions { input_bits_max: ENCRYPTED_INPUT_BITS, ..ImportOptions::default() })
}

fn import_with(model: &str, options: ImportOptions) -> Imported {
    let folder = folder(model);
    let calibration = npyz::NpyFile::new(fs::File::open(folder.join("calibration.npy")).unwrap()).unwrap();
    let width = calibration.shape()[1] as usize;
    assert_eq!(calibration.order(), npyz::Order::C);
    let flat = numbers(calibration);
    let calibration: Vec<Vec<f64>> = flat.chunks(width).map(<[f64]>::to_vec).collect();
    let held = json(folder.join("held_out.json"));
    let row = |row: &Value| row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    let rows: Vec<Vec<f64>> = held["rows"].as_array().unwrap().iter().map(row).collect();
    let labels: Vec<String> =
        held["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_owned()).collect();
    let onnx = fs::read(folder.join("model.onnx")).unwrap();
    let held_out = Some(HeldOut { rows: &rows, labels: &labels });
    let names = folder.join("features.json");
    let feature_names = names.exists().then(|| serde_json::from_slice(&fs::read(names).unwrap()).unwrap());
    let options = ImportOptions { feature_names, ..options };
    import(&onnx, &calibration, held_out, &options).unwrap()
}

fn numbers(file: npyz::NpyFile<fs::File>) -> Vec<f64> {
    fn wide<T: Into<f64>>(values: Vec<T>) -> Vec<f64> {
        values.into_iter().map(Into::into).collect()
    }
    let made = match file.dtype() {
        npyz::DType::Plain(element) => match (element.type_char(), element.size_field()) {
            (npyz::TypeChar::Float, 4) => file.into_vec().map(wide::<f32>).ok(),
            (npyz::TypeChar::Int, 2) => file.into_vec().map(wide::<i16>).ok(),
            (npyz::TypeChar::Uint, 1) => file.into_vec().map(wide::<u8>).ok(),
            _ => None,
        },
        _ => None,
    };
    made.unwrap()
}

/// Samples are read as decimals, the way a client reads them.
fn check_samples(model: &str, imported: &Imported) {
    let expected = json(folder(model).join("samples/expected.json"));
    for (sample, label) in expected.as_object().unwrap() {
        let sample = json(folder(model).join("samples").join(sample));
        let graph = imported.model.graph();
        let row: Vec<RawValue> = match sample["data"].as_array() {
            Some(data) => data.iter().map(|x| x.to_string().parse().unwrap()).collect(),
            None => {
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let cells = sample.as_object().unwrap().iter().map(|(name, value)| (name, text(value)));
                Columns::new(&graph.features).unwrap().row(&cells.collect::<Vec<_>>()).unwrap()
            }
        };
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

/// What can be asked under encryption without keys: one sum of weighted inputs for each output, as good as floats.
fn check_linear(model: &str, inputs: u64, outputs: u64, least: f64) {
    let imported = import_linear(model);
    check_scores(&imported, least);
    check_samples(model, &imported);
    let graph = imported.model.graph();
    let linear = |node: &Operator| {
        matches!(node, Operator::Contract { right: Right::Weights { .. }, .. } | Operator::Combine { .. })
    };
    assert!(graph.nodes.iter().all(linear), "{:?}", graph.describe());
    assert!(!matches!(graph.decoder, Decoder::Values { .. }));
    assert_eq!(graph.input_bits, ENCRYPTED_INPUT_BITS);
    assert_eq!(imported.report.params, inputs * outputs + outputs);
}

/// As they are shipped: bits that change no label are left out, for shorter encrypted answers.
const ENCRYPTED_INPUT_BITS: u8 = 8;

#[test]
fn inputs_have_no_more_bits_than_allowed() {
    let bits = |input_bits_max: u8| {
        let options = ImportOptions { input_bits_max, ..ImportOptions::default() };
        import_with("breast-cancer-linear", options).model.graph().input_bits
    };
    // Left alone it takes more than any of these.
    assert!(bits(16) > 10);
    assert_eq!([8, 9, 10].map(bits), [8, 9, 10]);
}

#[test]
fn digits_linear() {
    check_linear("digits-linear", 64, 10, 0.96);
}

#[test]
fn breast_cancer_linear() {
    check_linear("breast-cancer-linear", 30, 1, 0.965);
}

#[test]
fn german_credit() {
    check_linear("german-credit", 61, 1, 0.79);
    let imported = import_linear("german-credit");
    let columns = Columns::new(&imported.model.graph().features).unwrap();
    let kinds = |column: &&Column<'_>| matches!(column.content, Content::Kinds(_));
    assert_eq!((columns.as_slice().len(), columns.as_slice().iter().filter(kinds).count()), (20, 13));
}

#[test]
fn digits_mlp() {
    let imported = import_shipped("digits-mlp");
    check_scores(&imported, 0.98);
    check_samples("digits-mlp", &imported);
    assert_eq!(imported.model.graph().nodes.len(), 3, "{:?}", imported.model.graph().describe());
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
            "0e4a5d475323d28fccbb48a928ff192560d57532593be011c61aa870cdadd681",
            "8294852199d56dffaa4ea5cc88891bd9cc59996eba6dc6777baa94e70d6d4f41",
        ),
        (
            "digits-linear",
            "b088222e09094e418441c1cacaf643a4f16edb4ea23c59b0f1aa866218589165",
            "6f12d0c39546dece6e60527b816e34955ca02eceedc19886b562e9d0542ac95d",
        ),
        (
            "breast-cancer-linear",
            "b54beea5433fe3bb2511457b3abedc8b69429d10e5b52f078f01d4e0f9499ad0",
            "e8b4685587ec372e51bc2a433987c41584b60778512d056c0642e98a30ce0e36",
        ),
        (
            "german-credit",
            "ca67de3476c1513f03526302cd41c15ff331794363d8187b2cb98a2294f52490",
            "4dde2d2992ed8b14baadeea4646728ec8f28453bd39e8d448671e11e71fb184b",
        ),
    ] {
        let linear = name.ends_with("-linear") || name == "german-credit";
        let imported = if linear { import_linear(name) } else { import_shipped(name) };
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
