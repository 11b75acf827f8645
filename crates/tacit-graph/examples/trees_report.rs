//! Imports an ensemble of trees and prints what it takes: `trees_report MODEL.onnx [HELD_OUT.npy LABELS.npy]`.
//!
//! `look_ups` are those of a sum that depends on more than one thing (features, or look-ups before it) and is not the
//! same whatever they are: one bootstrap each under encryption. `gates` are those whose table is that of comparisons.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for people at a terminal")]

use std::{collections::BTreeSet, fs, time::Instant};

use tacit_graph::{
    Graph, Model, Operator, Right, View,
    import::{HeldOut, ImportOptions, import},
};

/// What an element is: bounds, and features (from 0) or look-ups (from 2^32) that it depends on.
#[derive(Clone, Default)]
struct Element {
    low: i64,
    high: i64,
    depends: BTreeSet<u64>,
}

impl Element {
    fn add(&mut self, other: &Self, factor: i64) {
        if factor != 0 {
            let (a, b) = (other.low * factor, other.high * factor);
            self.low += a.min(b);
            self.high += a.max(b);
            self.depends.extend(&other.depends);
        }
    }
}

fn rows(path: &str) -> Vec<Vec<f64>> {
    let bytes = fs::read(path).unwrap();
    let file = npyz::NpyFile::new(&bytes[..]).unwrap();
    let count = file.shape()[0] as usize;
    let all: Vec<f64> = if file.dtype().descr().contains("f4") {
        file.into_vec::<f32>().unwrap().into_iter().map(f64::from).collect()
    } else {
        file.into_vec::<i64>().unwrap().into_iter().map(|x| x as f64).collect()
    };
    all.chunks(all.len() / count).map(<[f64]>::to_vec).collect()
}

fn indices(axes: &[u32]) -> impl Iterator<Item = Vec<u32>> + '_ {
    (0..axes.iter().map(|axis| *axis as usize).product::<usize>()).map(move |mut flat| {
        let mut index = vec![0; axes.len()];
        for (index, size) in index.iter_mut().zip(axes).rev() {
            *index = (flat % *size as usize) as u32;
            flat /= *size as usize;
        }
        index
    })
}

fn at(sizes: &[u32], chosen: &[u8], index: &[u32]) -> usize {
    chosen
        .iter()
        .fold(0, |at, axis| at * sizes[usize::from(*axis)] as usize + index[usize::from(*axis)] as usize)
}

struct Count<'a> {
    graph: &'a Graph,
    shapes: Vec<Vec<u32>>,
    tensors: Vec<Vec<Element>>,
    look_ups: usize,
    gates: usize,
    comparisons: usize,
}

impl Count<'_> {
    fn read(&self, view: &View, index: &[u32]) -> Element {
        let tensor = view.tensor.0 as usize;
        let (mut axes, mut place) = (self.shapes[tensor].as_slice(), 0usize);
        for group in &view.groups {
            let (taken, rest) = axes.split_at(usize::from(group.span));
            axes = rest;
            let length = taken.iter().product();
            match group.position(length, |axis| index[usize::from(axis)]) {
                Some(position) => place = place * length as usize + position as usize,
                None => return Element::default(),
            }
        }
        self.tensors[tensor][place].clone()
    }

    fn run(&mut self, model: &Model) {
        for (node, operator) in self.graph.nodes.iter().enumerate() {
            let layer = model.shapes().layer_of(node).map(|layer| &model.weights().layers[layer]);
            let bias = |bias: &Option<Vec<u8>>, axes: &[u32], index: &[u32]| match (bias, layer) {
                (Some(chosen), Some(layer)) => i64::from(layer.bias[at(axes, chosen, index)]),
                _ => 0,
            };
            let made: Vec<Element> = match operator {
                Operator::Contract {
                    axes,
                    summed,
                    left,
                    right: Right::Weights { axes: chosen },
                    bias: added,
                } => {
                    let sizes = [axes.as_slice(), summed].concat();
                    let matrix = &layer.unwrap().matrix;
                    let one = |output: Vec<u32>| {
                        let constant = bias(added, axes, &output);
                        let mut sum = Element { low: constant, high: constant, ..Element::default() };
                        for inner in indices(summed) {
                            let index = [output.as_slice(), &inner].concat();
                            let weight = i64::from(matrix[at(&sizes, chosen, &index)]);
                            if weight != 0 {
                                sum.add(&self.read(left, &index), weight);
                            }
                        }
                        sum
                    };
                    indices(axes).map(one).collect()
                }
                Operator::Combine { axes, terms, constant, bias: added } => {
                    let one = |output: Vec<u32>| {
                        let constant = i64::from(*constant) + bias(added, axes, &output);
                        let mut sum = Element { low: constant, high: constant, ..Element::default() };
                        for term in terms {
                            for inner in indices(&term.summed) {
                                let read = self.read(&term.view, &[output.as_slice(), &inner].concat());
                                sum.add(&read, i64::from(term.coefficient));
                            }
                        }
                        sum
                    };
                    indices(axes).map(one).collect()
                }
                Operator::Requantise { input, table, .. } => {
                    let read = self.tensors[input.0 as usize].clone();
                    let table = &self.graph.tables[usize::from(*table)];
                    let half = 1i64 << (table.bits - 1);
                    let is_test = table.values.iter().take(half as usize).all(|value| *value == 0)
                        && table.values.iter().skip(half as usize).all(|value| *value == 1);
                    let mut made = Vec::with_capacity(read.len());
                    for element in read {
                        let window =
                            &table.values[(element.low + half) as usize..=(element.high + half) as usize];
                        let (low, high) = (*window.iter().min().unwrap(), *window.iter().max().unwrap());
                        let mut depends = element.depends;
                        if low == high {
                            depends.clear();
                        } else if depends.len() > 1 {
                            self.look_ups += 1;
                            self.gates += usize::from(is_test);
                            depends = BTreeSet::from([(1 << 32) + self.look_ups as u64]);
                        } else {
                            self.comparisons += 1;
                        }
                        made.push(Element { low: i64::from(low), high: i64::from(high), depends });
                    }
                    made
                }
                _ => unreachable!("trees have no such operator"),
            };
            self.shapes.push(model.shapes().tensors()[node + 1].axes.clone());
            self.tensors.push(made);
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let onnx = fs::read(&arguments[1]).unwrap();
    let held_rows = arguments.get(2).map(|path| rows(path));
    let labels: Option<Vec<String>> =
        arguments.get(3).map(|path| rows(path).iter().map(|row| row[0].to_string()).collect());
    let held_out = held_rows.as_ref().zip(labels.as_ref()).map(|(rows, labels)| HeldOut { rows, labels });
    let start = Instant::now();
    let made = match import(&onnx, &[], held_out, &ImportOptions::default()) {
        Ok(made) => made,
        Err(error) => return println!("{error}; {}", error.hint()),
    };
    let seconds = start.elapsed().as_secs_f64();
    let graph = made.model.graph();
    let feature = |(index, steps): (usize, usize)| Element {
        low: 0,
        high: steps as i64,
        depends: if steps > 0 { BTreeSet::from([index as u64]) } else { BTreeSet::new() },
    };
    let features =
        graph.features.iter().map(|feature| feature.steps.len()).enumerate().map(feature).collect();
    let mut count = Count {
        graph,
        shapes: vec![graph.input_axes.clone()],
        tensors: vec![features],
        look_ups: 0,
        gates: 0,
        comparisons: 0,
    };
    count.run(&made.model);
    let steps: usize = graph.features.iter().map(|feature| feature.steps.len()).sum();
    let bits: Vec<u8> = graph.tables.iter().map(|table| table.bits).collect();
    println!(
        "{{\"look_ups\":{},\"gates\":{},\"comparisons\":{},\"steps\":{steps},\"input_bits\":{},\"table_bits\":{bits:?},\
         \"params\":{},\"nodes\":{},\"float_score\":{:?},\"integer_score\":{:?},\"agreement\":{:?},\"rows\":{},\"import_s\":{seconds:.2}}}",
        count.look_ups,
        count.gates,
        count.comparisons,
        graph.input_bits,
        made.report.params,
        graph.nodes.len(),
        made.report.float_score.unwrap_or(f64::NAN),
        made.report.integer_score.unwrap_or(f64::NAN),
        made.report.agreement.unwrap_or(f64::NAN),
        made.report.rows,
    );
}
