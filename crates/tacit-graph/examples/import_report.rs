//! Imports an ONNX file and prints what was measured: `import_report MODEL CALIBRATION.npy [HELD_OUT.npy LABELS.npy]`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for people at a terminal")]

use std::{fs, time::Instant};

use tacit_graph::import::{HeldOut, ImportOptions, import};

fn rows(path: &str) -> Vec<Vec<f64>> {
    let bytes = fs::read(path).unwrap();
    let file = npyz::NpyFile::new(&bytes[..]).unwrap();
    let count = file.shape()[0] as usize;
    let kind = file.dtype().descr();
    let all: Vec<f64> = if kind.contains("f8") {
        file.into_vec::<f64>().unwrap()
    } else if kind.contains("f4") {
        file.into_vec::<f32>().unwrap().into_iter().map(f64::from).collect()
    } else if kind.contains("u2") {
        file.into_vec::<u16>().unwrap().into_iter().map(f64::from).collect()
    } else if kind.contains("u1") {
        file.into_vec::<u8>().unwrap().into_iter().map(f64::from).collect()
    } else {
        file.into_vec::<i64>().unwrap().into_iter().map(|x| x as f64).collect()
    };
    all.chunks(all.len() / count).map(<[f64]>::to_vec).collect()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let onnx = fs::read(&arguments[1]).unwrap();
    let calibration = rows(&arguments[2]);
    let held_rows = arguments.get(3).map(|path| rows(path));
    let labels: Option<Vec<String>> =
        arguments.get(4).map(|path| rows(path).iter().map(|row| row[0].to_string()).collect());
    let held_out = held_rows.as_ref().zip(labels.as_ref()).map(|(rows, labels)| HeldOut { rows, labels });
    let start = Instant::now();
    match import(&onnx, &calibration, held_out, &ImportOptions::default()) {
        Ok(made) => {
            for operator in &made.report.operators {
                println!("  {operator}");
            }
            let graph = made.model.graph();
            let bits: Vec<u8> = graph.tables.iter().map(|table| table.bits).collect();
            println!(
                "input bits {}, tables {bits:?}, params {}, macs {}",
                graph.input_bits, made.report.params, made.report.macs
            );
            println!(
                "float {:?} integer {:?} agreement {:?} on {} rows; {:.1} s",
                made.report.float_score,
                made.report.integer_score,
                made.report.agreement,
                made.report.rows,
                start.elapsed().as_secs_f64()
            );
        }
        Err(error) => println!("{error}; {}", error.hint()),
    }
}
