//! Execution: the executor and the reference agree on any graph that decodes, and neither panics. Seed with graphs of
//! `vectors/graph.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_graph::{LayerWeights, Model, Operator, Weights, decode_graph, execute, random_inputs, reference};

fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = decode_graph(bytes) else { return };
    let Ok(shapes) = graph.validate() else { return };
    // The reference takes a while for each product, and sums of terms are not counted as such.
    if shapes.cells() > 1 << 10 || shapes.macs() > 1 << 14 || shapes.parameters() > 1 << 14 || sums(&graph.nodes) > 1 << 14 {
        return;
    }
    let lengths = graph.nodes.iter().map(Operator::weight_lengths).filter(|(matrix, bias)| matrix + bias > 0);
    let fill = |(matrix, bias): (u64, u64)| LayerWeights {
        matrix: (0..matrix).map(|k| (k * 37 + 11) as i8).collect(),
        bias: (0..bias).map(|k| k as i32 - 3).collect(),
    };
    let weights = Weights { layers: lengths.map(fill).collect() };
    let Ok(model) = Model::new(graph, weights) else { return };
    let inputs = random_inputs(&model, 2, 1);
    assert!(execute(&model, &inputs, 2) == reference::execute(&model, &inputs, 2));
});

/// Additions of all sums of terms.
fn sums(nodes: &[Operator]) -> u64 {
    let cells = |axes: &[u32]| axes.iter().fold(1u64, |cells, axis| cells.saturating_mul(u64::from(*axis)));
    let of = |node: &Operator| match node {
        Operator::Combine { axes, terms, .. } => {
            let each = terms.iter().map(|term| cells(&term.summed)).fold(0, u64::saturating_add);
            cells(axes).saturating_mul(each)
        }
        _ => 0,
    };
    nodes.iter().map(of).fold(0, u64::saturating_add)
}
