//! ONNX import: a model or a reason, for any file. Seed with `tests/fixtures/*.onnx` and `tests/fixtures/trees/*.onnx`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_graph::import::{ImportOptions, import};

fuzz_target!(|bytes: &[u8]| {
    let rows: Vec<Vec<f64>> = (0..4).map(|row| (0..4).map(|k| f64::from(row * k) - 3.0).collect()).collect();
    let options = ImportOptions { table_bits_max: 6, ..ImportOptions::default() };
    let _ = import(bytes, &rows, None, &options);
    let _ = import(bytes, &[], None, &ImportOptions { gates: true, ..options });
});
