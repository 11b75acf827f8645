//! What `audits.convict` is given: any graph that decodes and any openings get a verdict, the same twice; and whatever is shown of an honest run, as it is or changed, convicts it of nothing.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tacit_graph::{
    Graph, Model, Trace, decode_graph, execute, random_inputs, synthetic_mlp,
    trace::{Conviction, Hash, Opening, Question, TraceTree, WeightsTree},
};

struct Run {
    model: Model,
    trace: Trace,
}

static HONEST: LazyLock<Run> = LazyLock::new(|| {
    let model = synthetic_mlp(&[70, 70, 3], 1).expect("a model");
    let trace = execute(&model, &random_inputs(&model, 1, 1), 1).expect("a run");
    Run { model, trace }
});

/// Tiles, and siblings.
type Shown = (Vec<u8>, Vec<Hash>);
/// Where of what is shown, and by what it is changed.
type Change = (u8, u16, u8);

fuzz_target!(|input: (Vec<u8>, u32, u32, Vec<u8>, Shown, Shown, Vec<Change>)| {
    let (bytes, node, element, tile, trace, weights, changes) = input;
    let opening = |(tiles, siblings): Shown| Opening { tiles, siblings };
    let any = Conviction { node, element, tile, trace: opening(trace), weights: opening(weights) };
    if let Ok(graph) = decode_graph(&bytes) {
        assert_eq!(judge(&graph, &any), judge(&graph, &any));
    }
    honest(any, &changes);
});

/// Roots of the trees, and whether the element is wrong in them; nothing where the openings are of no tree.
fn judge(graph: &Graph, shown: &Conviction) -> Option<(Hash, Option<Hash>, bool)> {
    let question = Question::new(graph, shown.node, shown.element).ok()?;
    let _ = question.hashes(shown);
    let opened = question.open(shown).ok()?;
    let roots = (*opened.trace_root(), opened.weights_root().copied());
    Some((roots.0, roots.1, opened.judge().is_ok()))
}

fn honest(any: Conviction, changes: &[Change]) {
    let Run { model, trace } = &*HONEST;
    let (tree, weights) =
        (TraceTree::new(model.shapes(), trace, 0).expect("a tree"), WeightsTree::new(model));
    let node = any.node % u32::try_from(model.graph().nodes.len()).expect("few nodes");
    let Ok(question) = Question::new(model.graph(), node, any.element % 70) else { return };
    let found = question.openings(&tree, &weights);
    let mut shown = Conviction {
        node,
        element: any.element % 70,
        tile: tree.tile(question.leaf()),
        trace: found.trace,
        weights: found.weights,
    };
    for (part, at, by) in changes {
        let at = usize::from(*at);
        let bytes = match part % 5 {
            0 => &mut shown.tile,
            1 => &mut shown.trace.tiles,
            2 => &mut shown.weights.tiles,
            3 => {
                if let Some(sibling) = shown.trace.siblings.get_mut(at / 32) {
                    sibling[at % 32] ^= by;
                }
                continue;
            }
            _ => {
                if let Some(sibling) = shown.weights.siblings.get_mut(at / 32) {
                    sibling[at % 32] ^= by;
                }
                continue;
            }
        };
        match bytes.get_mut(at) {
            Some(byte) => *byte ^= by,
            None => bytes.push(*by),
        }
    }
    let is_theirs = |(root, own, _): &(Hash, Option<Hash>, bool)| {
        *root == tree.tree().root() && own.is_none_or(|own| own == weights.tree().root())
    };
    if let Some(verdict) = judge(model.graph(), &shown).filter(is_theirs) {
        assert!(!verdict.2, "an honest run is convicted: {shown:?}");
    }
}
