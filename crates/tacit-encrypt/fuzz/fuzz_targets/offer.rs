//! Offers: no panic, one encoding for each, and whatever decodes encrypts any row of the graph.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tacit_encrypt::{Offer, Seed, client};
use tacit_graph::Graph;

/// Two linear graphs and one that is not.
fn graphs() -> &'static [Graph] {
    static GRAPHS: OnceLock<Vec<Graph>> = OnceLock::new();
    GRAPHS.get_or_init(|| {
        let graph = |widths: &[u32]| tacit_graph::synthetic_mlp(widths, 1).expect("a model").graph().clone();
        vec![graph(&[5, 3]), graph(&[3000, 2]), graph(&[5, 4, 3])]
    })
}

fuzz_target!(|bytes: &[u8]| {
    for graph in graphs() {
        if let Ok(offer) = Offer::decode(graph, bytes) {
            assert_eq!(offer.encode(), bytes);
            let row = vec![-1; graph.features.len()];
            // Models with look-ups have a target of their own.
            if offer.parameters().is_some() {
                continue;
            }
            let (_, query) =
                client::encrypt(&offer, &row, &Seed::new([1; 32]), None).expect("a row of this graph");
            assert_eq!(query.len(), offer.query_bytes());
            offer.check_query(&query).expect("a query of this offer");
        }
    }
});
