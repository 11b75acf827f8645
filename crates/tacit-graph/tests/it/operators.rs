//! The ONNX project's tests of single operators (`tests/fixtures/make_node_tests.py`): the float network must agree with
//! what they expect, the integer model up to quantisation. What was covered is written down in `docs/operators.md`.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use rayon::prelude::*;
use serde_json::Value;
use tacit_graph::{
    Answer, RawValue, execute,
    import::{ImportError, ImportOptions, import, run_float, supported_operators},
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx-node")
}

struct Case {
    name: String,
    operator: String,
    onnx: Vec<u8>,
    outputs: Option<Vec<String>>,
    row: Vec<f64>,
    expected: Vec<f64>,
}

/// What a case gave: errors relative to the range of the values expected.
struct Outcome {
    float: f64,
    integer: f64,
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn cases() -> Vec<Case> {
    let all: Value = serde_json::from_slice(&fs::read(folder().join("cases.json")).unwrap()).unwrap();
    let case = |(name, case): (&String, &Value)| {
        let outputs: Vec<String> = case["outputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        Case {
            name: name.clone(),
            operator: case["operator"].as_str().unwrap().to_owned(),
            onnx: fs::read(folder().join(format!("{name}.onnx"))).unwrap(),
            outputs: (outputs.len() > 1).then_some(outputs),
            row: numbers(&case["row"]),
            expected: numbers(&case["expected"]),
        }
    };
    all.as_object().unwrap().iter().map(case).collect()
}

impl Case {
    /// The row itself and the same numbers in other places, so that calibration has more than one row to go by.
    fn calibration(&self) -> Vec<Vec<f64>> {
        let turned = |by: usize| {
            let mut row = self.row.clone();
            row.rotate_left(by % self.row.len());
            row
        };
        [0, 0, 0, 1, 5, 17].map(turned).to_vec()
    }

    fn run(&self) -> Result<Outcome, ImportError> {
        let options = ImportOptions { outputs: self.outputs.clone(), ..ImportOptions::default() };
        let float = run_float(&self.onnx, std::slice::from_ref(&self.row), self.outputs.as_deref())?;
        let imported = import(&self.onnx, &self.calibration(), None, &options)?;
        let raw: Vec<RawValue> = self.row.iter().map(|x| RawValue::from_f64(*x).unwrap()).collect();
        let graph = imported.model.graph();
        let trace = execute(&imported.model, &graph.encode_values(&raw).unwrap(), 1).unwrap();
        let integer = match graph.decode_output(&trace.logits()).unwrap() {
            Answer::Values(scores) => scores.iter().map(|score| score.to_f64()).collect(),
            // A softmax over everything is a decision: all that is asked of it is the largest.
            Answer::Label { index, .. } if self.expected.len() > 1 => {
                let most = self.expected.iter().copied().fold(f64::MIN, f64::max);
                let right = self.expected[index] == most;
                if right { self.expected.clone() } else { vec![f64::INFINITY; self.expected.len()] }
            }
            Answer::Label { index, .. } => vec![index as f64],
        };
        let float = if float[0].len() == self.expected.len() { float[0].clone() } else { integer.clone() };
        Ok(Outcome { float: self.error(&float), integer: self.error(&integer) })
    }

    /// Largest error over the range of the values expected, zero included.
    fn error(&self, got: &[f64]) -> f64 {
        if got.len() != self.expected.len() {
            return f64::INFINITY;
        }
        let bound = |pick: fn(f64, f64) -> f64| self.expected.iter().copied().fold(0.0, pick);
        let range = bound(f64::max) - bound(f64::min);
        let worst = got.iter().zip(&self.expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        worst / if range > 0.0 { range } else { 1.0 }
    }
}

/// Every case: the float network to single precision, the integer model to the error stated in the table.
#[test]
fn operators_agree_with_the_onnx_project() {
    let cases = cases();
    let outcomes: Vec<_> = cases.par_iter().map(|case| (case, case.run())).collect();
    let mut failures = String::new();
    let mut covered: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for (case, outcome) in &outcomes {
        match outcome {
            Err(error) => writeln!(failures, "{}: {error}", case.name).unwrap(),
            Ok(outcome) if !(outcome.float < FLOAT_TOLERANCE && outcome.integer < INTEGER_TOLERANCE) => {
                writeln!(failures, "{}: float {:e}, integer {}", case.name, outcome.float, outcome.integer)
                    .unwrap();
            }
            Ok(outcome) => {
                let (count, worst) = covered.entry(&case.operator).or_insert((0, 0.0));
                *count += 1;
                *worst = worst.max(outcome.integer);
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{failures}", failures.lines().count());
    let table = table(&covered);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/operators.md");
    if std::env::var_os("TACIT_WRITE_DOCS").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == table, "docs/operators.md is stale: run this test with TACIT_WRITE_DOCS=1");
}

/// The page, with errors rounded up so that it is the same on every machine.
fn table(covered: &BTreeMap<&str, (usize, f64)>) -> String {
    let mut page = String::from(HEAD);
    for (operator, note) in supported_operators() {
        let (cases, error) = match covered.get(operator) {
            Some((count, worst)) => {
                let step =
                    [0.005, 0.01, 0.02, 0.03, 0.04].into_iter().find(|step| worst <= step).unwrap_or(1.0);
                (count.to_string(), format!("{} %", step * 100.0))
            }
            None => ("-".to_owned(), "-".to_owned()),
        };
        writeln!(page, "| {operator} | {note} | {cases} | {error} |").unwrap();
    }
    page.push_str(TREES);
    page
}

const FLOAT_TOLERANCE: f64 = 2e-4;
const INTEGER_TOLERANCE: f64 = 0.04;
const HEAD: &str = "\
# ONNX operators that are imported

Written by `TACIT_WRITE_DOCS=1 cargo test -p tacit-graph --test it operators`; the test fails when this page is stale.

*Cases* are the ONNX project's own tests of the operator (package `onnx`, Apache-2.0) that pass: the float network within
0.02 % and the integer model within the stated *error*, both of the largest distance between any two values expected, zero
included. Activations have eight bits where that is enough; the importer takes more where it is not. Operators without
cases have none in that package that fit a network of one input: they fold away at import, or other tests cover them.

| operator | what is asked of it | cases | error at most |
|---|---|---|---|
";
const TREES: &str = "
## Ensembles of decision trees

Decision trees, random forests, extremely randomised trees, gradient boosting (histograms too) of scikit-learn, XGBoost, LightGBM and CatBoost, classifiers of two or
more classes and regressors, as `skl2onnx`, `onnxmltools` and CatBoost export them. `--calibration` is not needed; rows given with
it or with `--held-out` only measure the agreement.

- *Comparisons* (`<`, `<=`, `>=`, `>`, `==`, `!=`, membership in a list) are exact: the encoder of a feature counts the thresholds that a value has passed. Thresholds of single
  precision are compared as ONNX Runtime does, with the input rounded to a multiple of `2^-24` first. An input that is the threshold is always seen as such; inputs closer than `2^-24` to
  a smaller threshold may not be told from it, so features of very small numbers should be scaled before training.
- *Leaves* are rounded to one unit, a power of two, as fine as 16 bits allow. Labels are those of ONNX Runtime unless two scores are within that rounding.
- *What is around the trees*: `Cast`, `Identity`, `ZipMap` and anything linear (voting, bagging) or that only dresses up a decision; base values, `post_transform` `NONE`, `LOGISTIC`, `SOFTMAX`, sums and averages. A class without a
  weight at a leaf counts zero there. Of two classes with a weight each, the second one's score decides by its sign, as in ONNX Runtime.
- *Refused*: anything between the features and the trees (scaling changes no tree: train on raw features), anything non-linear behind them (AdaBoost's votes), `MIN` and `MAX`, `PROBIT`, base values that ONNX Runtime
  adds to the wrong one of two classes, trees deeper than 128, more than 2^18 nodes, more than 16383 thresholds of one feature.
- *Missing values* cannot be asked about, so what trees would do with them is ignored.
- *What is public*: thresholds are in the graph, feature by feature, and so are the leaves, in its tables. Only which of them belong together is in the weights. A model of trees is a secret in no mode.

Leaves are decided in groups, each by one look-up of a sum of at most 16 values, which is one bootstrap where the model is computed under encryption; what depends on one feature alone takes none.
`cargo run --release -p tacit-graph --example trees_report MODEL.onnx HELD_OUT.npy LABELS.npy` counts them, `bench/encrypt/make_models.py FOLDER --trees` makes these. Test splits of a quarter, seed 0; *made* has 12 000 rows of 20 features from scikit-learn's `make_classification`:

| ensemble | data | look-ups of groups | comparisons | parameters | labels that agree |
|---|---|---|---|---|---|
| CatBoost, 20 trees of depth 4 | breast cancer | 20 | 79 | 2661 | 143 of 143 |
| CatBoost, 20 trees of depth 4 | made | 20 | 80 | 1861 | 3000 of 3000 |
| CatBoost, 20 trees of depth 4, 10 classes | digits | 200 | 78 | 5590 | 450 of 450 |
| CatBoost, 20 trees of depth 6 | breast cancer | 432 | 161 | 16753 | 143 of 143 |
| XGBoost, 20 trees of depth 3 | breast cancer | 31 | 111 | 4257 | 143 of 143 |
| XGBoost, 20 trees of depth 3 | made | 40 | 140 | 3261 | 3000 of 3000 |
| XGBoost, 100 trees of depth 6 | made | 1750 | 4872 | 176974 | 3000 of 3000 |
| XGBoost, 20 rounds of depth 3, 10 classes | digits | 303 | 857 | 97290 | 450 of 450 |
| random forest, 50 trees of depth 6 | breast cancer | 330 | 827 | 48593 | 143 of 143 |
| random forest, 50 trees of depth 6 | made | 1343 | 3188 | 119434 | 3000 of 3000 |
| LightGBM, 20 trees of 31 leaves | made | 351 | 728 | 29025 | 3000 of 3000 |
| random forest, 100 trees, fully grown | made | 36285 | 89129 | 19627556 | 3000 of 3000 |
";
