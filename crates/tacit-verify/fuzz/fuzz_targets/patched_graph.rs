//! A graph with some bytes replaced is no graph, or another model: the proof of the first is refused, and planning a proof
//! of the other neither panics nor allocates without limit.
//!
//! Input: which model; patches.

#![no_main]

mod honest;

use libfuzzer_sys::fuzz_target;
use tacit_graph::{decode_graph, encode_graph};
use tacit_verify::{VerifyingModel, plan::Plan};

fuzz_target!(|data: &[u8]| {
    let Some((honest, patches)) = honest::chosen(data) else { return };
    let mut bytes = encode_graph(honest.model.graph());
    honest::patch(&mut bytes, patches.as_chunks().0);
    let Ok(graph) = decode_graph(&bytes) else { return };
    let same = graph == *honest.model.graph();
    for rows in [1, 3, 1 << 12] {
        let _ = Plan::new(&graph, rows);
        let _ = Plan::committed(&graph, rows);
    }
    let Ok(model) = VerifyingModel::new(graph, *honest.model.weight_root()) else { return };
    let accepted = tacit_verify::verify(&model, &honest.statement, &honest.proof).is_ok();
    assert_eq!(accepted, same);
});
