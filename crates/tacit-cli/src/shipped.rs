//! The models that come with the command: network, calibration rows, held-out rows and sample questions.
//!
//! Origin and licence of the data, and how the networks were trained, are in `models/*/README.md`.

use crate::args::OPENINGS_DEFAULT;
use crate::commands::model::{first_axis_rows, import_onnx};
use crate::failure::{Context, Failure};
use crate::tensor_file::TensorFile;
use serde::Deserialize;
use tacit_graph::graph::{MAX_INPUT_BITS, MAX_TABLE_BITS};
use tacit_graph::import::ImportOptions;
use tacit_graph::{HidingKey, ModelFile};

/// One shipped model.
#[derive(Debug)]
pub(crate) struct Shipped {
    /// Name it is published under.
    pub(crate) name: &'static str,
    /// Price of one answer, in coins.
    pub(crate) price: &'static str,
    /// The demo's question, and its right answer.
    pub(crate) question: Sample,
    /// Another question, asked where one is needed besides.
    pub(crate) other_question: Sample,
    /// Whether the demo proves it; the others are small enough to be asked under encryption.
    pub(crate) proved: bool,
    input_bits_max: u8,
    leaf_bits_max: u8,
    onnx: &'static [u8],
    calibration: &'static [u8],
    held_out: &'static str,
    features: Option<&'static str>,
}

/// A sample question: JSON input, numbers in order or a row with names, and the true label.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) input: &'static str,
    pub(crate) expected: &'static str,
}

/// Held-out rows with their labels, as `--held-out` takes them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeldOutFile {
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) labels: Vec<String>,
}

macro_rules! shipped_file {
    ($kind:ident, $path:literal) => {
        $kind!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/", $path))
    };
}

static DIGITS: Shipped = Shipped {
    name: "digits",
    price: "0.0002",
    question: Sample { input: shipped_file!(include_str, "digits/samples/seven.json"), expected: "7" },
    other_question: Sample { input: shipped_file!(include_str, "digits/samples/three.json"), expected: "3" },
    proved: true,
    input_bits_max: MAX_INPUT_BITS,
    leaf_bits_max: MAX_TABLE_BITS,
    onnx: shipped_file!(include_bytes, "digits/model.onnx"),
    calibration: shipped_file!(include_bytes, "digits/calibration.npy"),
    held_out: shipped_file!(include_str, "digits/held_out.json"),
    features: None,
};

static BREAST_CANCER: Shipped = Shipped {
    name: "breast-cancer",
    price: "0.0005",
    question: Sample {
        input: shipped_file!(include_str, "breast-cancer/samples/malignant.json"),
        expected: "malignant",
    },
    other_question: Sample {
        input: shipped_file!(include_str, "breast-cancer/samples/benign.json"),
        expected: "benign",
    },
    proved: true,
    input_bits_max: MAX_INPUT_BITS,
    leaf_bits_max: MAX_TABLE_BITS,
    onnx: shipped_file!(include_bytes, "breast-cancer/model.onnx"),
    calibration: shipped_file!(include_bytes, "breast-cancer/calibration.npy"),
    held_out: shipped_file!(include_str, "breast-cancer/held_out.json"),
    features: Some(shipped_file!(include_str, "breast-cancer/features.json")),
};

static DIGITS_LINEAR: Shipped = Shipped {
    name: "digits-linear",
    price: "0.0001",
    question: Sample { input: shipped_file!(include_str, "digits-linear/samples/seven.json"), expected: "7" },
    other_question: Sample {
        input: shipped_file!(include_str, "digits-linear/samples/three.json"),
        expected: "3",
    },
    proved: false,
    input_bits_max: LINEAR_INPUT_BITS,
    leaf_bits_max: MAX_TABLE_BITS,
    onnx: shipped_file!(include_bytes, "digits-linear/model.onnx"),
    calibration: shipped_file!(include_bytes, "digits-linear/calibration.npy"),
    held_out: shipped_file!(include_str, "digits-linear/held_out.json"),
    features: None,
};

static BREAST_CANCER_LINEAR: Shipped = Shipped {
    name: "breast-cancer-linear",
    price: "0.0003",
    question: Sample {
        input: shipped_file!(include_str, "breast-cancer-linear/samples/malignant.json"),
        expected: "malignant",
    },
    other_question: Sample {
        input: shipped_file!(include_str, "breast-cancer-linear/samples/benign.json"),
        expected: "benign",
    },
    proved: false,
    input_bits_max: LINEAR_INPUT_BITS,
    leaf_bits_max: MAX_TABLE_BITS,
    onnx: shipped_file!(include_bytes, "breast-cancer-linear/model.onnx"),
    calibration: shipped_file!(include_bytes, "breast-cancer-linear/calibration.npy"),
    held_out: shipped_file!(include_str, "breast-cancer-linear/held_out.json"),
    features: Some(shipped_file!(include_str, "breast-cancer-linear/features.json")),
};

static GERMAN_CREDIT: Shipped = Shipped {
    name: "german-credit",
    price: "0.0003",
    question: Sample {
        input: shipped_file!(include_str, "german-credit/samples/good.json"),
        expected: "good",
    },
    other_question: Sample {
        input: shipped_file!(include_str, "german-credit/samples/bad.json"),
        expected: "bad",
    },
    proved: false,
    input_bits_max: LINEAR_INPUT_BITS,
    leaf_bits_max: MAX_TABLE_BITS,
    onnx: shipped_file!(include_bytes, "german-credit/model.onnx"),
    calibration: shipped_file!(include_bytes, "german-credit/calibration.npy"),
    held_out: shipped_file!(include_str, "german-credit/held_out.json"),
    features: Some(shipped_file!(include_str, "german-credit/features.json")),
};

/// Oblivious trees on the columns of the linear model.
#[cfg(feature = "pbs")]
static BREAST_CANCER_TREES: Shipped = Shipped {
    name: "breast-cancer-oblivious",
    price: "0.001",
    question: Sample {
        input: shipped_file!(include_str, "breast-cancer-linear/samples/malignant.json"),
        expected: "malignant",
    },
    other_question: Sample {
        input: shipped_file!(include_str, "breast-cancer-linear/samples/benign.json"),
        expected: "benign",
    },
    proved: false,
    input_bits_max: MAX_INPUT_BITS,
    leaf_bits_max: EXACT_LEAF_BITS,
    onnx: shipped_file!(include_bytes, "breast-cancer-oblivious/model.onnx"),
    calibration: shipped_file!(include_bytes, "breast-cancer-oblivious/calibration.npy"),
    held_out: shipped_file!(include_str, "breast-cancer-oblivious/held_out.json"),
    features: Some(shipped_file!(include_str, "breast-cancer-oblivious/features.json")),
};

/// Of so many bits sums over twenty trees come out exactly under encryption.
#[cfg(feature = "pbs")]
const EXACT_LEAF_BITS: u8 = 9;

/// Bits that change no label of these models are left out, for shorter encrypted answers.
const LINEAR_INPUT_BITS: u8 = 8;

impl Shipped {
    pub(crate) const ALL: &[&'static Self] = &[
        &DIGITS,
        &BREAST_CANCER,
        &DIGITS_LINEAR,
        &BREAST_CANCER_LINEAR,
        &GERMAN_CREDIT,
        #[cfg(feature = "pbs")]
        &BREAST_CANCER_TREES,
    ];

    /// Imports the network and commits to its weights.
    pub(crate) fn import(&self) -> Result<ModelFile, Failure> {
        let damaged = "this build is damaged";
        let calibration = TensorFile::from_npy(self.calibration)
            .map_err(|reason| Failure::new("shipped_model", format!("{damaged}: {reason}"), ""))?;
        let held_out: HeldOutFile =
            serde_json::from_str(self.held_out).failed("shipped_model", damaged, "")?;
        let feature_names = match self.features {
            Some(names) => Some(serde_json::from_str(names).failed("shipped_model", damaged, "")?),
            None => None,
        };
        let (input_bits_max, leaf_bits_max) = (self.input_bits_max, self.leaf_bits_max);
        let options =
            ImportOptions { feature_names, input_bits_max, leaf_bits_max, ..ImportOptions::default() };
        // Everyone has these weights; what the commitment hides is who asked what.
        let key = HidingKey { openings: OPENINGS_DEFAULT, seed: *PUBLIC_SEED };
        let rows = first_axis_rows(&calibration)?;
        import_onnx(self.name, self.onnx, &rows, Some(&held_out), &options, Some(key))
    }
}

const PUBLIC_SEED: &[u8; 32] = b"weights that come with the code.";

/// The shipped model of a name.
pub(crate) fn find(name: &str) -> Option<&'static Shipped> {
    Shipped::ALL.iter().copied().find(|shipped| shipped.name == name)
}
