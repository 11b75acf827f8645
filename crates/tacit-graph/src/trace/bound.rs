//! Which graphs can be audited: those of which every element can be shown wrong in one transaction.

use super::{
    element::Elements,
    layout::{Layout, TILE, element_bytes},
    tree::depth,
};
use crate::{
    encoding::encode_graph,
    error::GraphError,
    graph::{Graph, Operator, Right, TensorId, Term, View},
    shapes::{Shapes, product},
};

/// Why a model cannot be audited.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAuditable {
    /// It is no valid graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The trace has too many tiles.
    #[error("a run fills {got} tiles, and at most {limit} are disputed")]
    TooLong {
        /// [`MAX_TRACE_LEAVES`].
        limit: u64,
        /// Tiles of the trace.
        got: u64,
    },
    /// An element of a node is made of too many others.
    #[error("an element of node {node} reads {got} others, and at most {limit} are read on a ledger")]
    TooManyReads {
        /// The node.
        node: usize,
        /// [`MAX_READS`].
        limit: u64,
        /// What it reads.
        got: u64,
    },
    /// Showing an element wrong could take too many bytes.
    #[error(
        "to show an element of node {node} wrong may take {got} bytes, and at most {limit} fit a transaction"
    )]
    TooManyBytes {
        /// The node.
        node: usize,
        /// [`MAX_CONVICTION_BYTES`].
        limit: u64,
        /// An upper bound.
        got: u64,
    },
}

/// Whether every element of a graph can be shown wrong within [`MAX_READS`] and [`MAX_CONVICTION_BYTES`], graph included.
///
/// # Errors
/// What stands against it.
pub fn check_auditable(graph: &Graph) -> Result<(), NotAuditable> {
    let shapes = graph.validate()?;
    let (trace, weights) = (Layout::of_trace(&shapes), Layout::of_weights(graph));
    if trace.leaves() > MAX_TRACE_LEAVES {
        return Err(NotAuditable::TooLong { limit: MAX_TRACE_LEAVES, got: trace.leaves() });
    }
    let fixed = FIXED_BYTES.saturating_add(encode_graph(graph).len() as u64);
    for (node, operator) in graph.nodes.iter().enumerate() {
        let got = reads(operator);
        if got > MAX_READS {
            return Err(NotAuditable::TooManyReads { node, limit: MAX_READS, got });
        }
        let Tiles { count, bytes, weights: weight_tiles, weight_bytes } =
            tiles(operator, &shapes, &weights, node);
        let own = shapes.tensors().get(node + 1).map_or(0, |shape| u64::from(element_bytes(shape.element)));
        let bytes = [
            fixed,
            own.saturating_mul(TILE),
            bytes,
            weight_bytes,
            siblings_bound(count.saturating_add(1), trace.leaves()).saturating_mul(32),
            siblings_bound(weight_tiles, weights.leaves()).saturating_mul(32),
        ];
        let got = bytes.into_iter().fold(0u64, u64::saturating_add);
        if got > MAX_CONVICTION_BYTES {
            return Err(NotAuditable::TooManyBytes { node, limit: MAX_CONVICTION_BYTES, got });
        }
    }
    Ok(())
}

/// How many elements and weights one element of a node is made of, padding counted.
#[must_use]
pub fn reads(operator: &Operator) -> u64 {
    let over =
        |summed: &[u32]| summed.iter().fold(1u64, |count, size| count.saturating_mul(u64::from(*size)));
    match operator {
        Operator::Contract { summed, .. } => over(summed).saturating_mul(2).saturating_add(1),
        Operator::Combine { terms, .. } => {
            terms.iter().fold(1u64, |count, Term { summed, .. }| count.saturating_add(over(summed)))
        }
        Operator::Maximum { .. } => 2,
        Operator::Requantise { .. } => 1,
    }
}

/// Upper bounds on what an element reads.
#[derive(Default)]
struct Tiles {
    count: u64,
    bytes: u64,
    weights: u64,
    weight_bytes: u64,
}

impl Tiles {
    fn view(&mut self, view: &View, sizes: &[u32], outputs: usize, shapes: &Shapes) {
        let count = tiles_of_view(view, sizes, outputs, shapes);
        let width =
            shapes.tensors().get(view.tensor.0 as usize).map_or(4, |shape| element_bytes(shape.element));
        self.count = self.count.saturating_add(count);
        self.bytes = self.bytes.saturating_add(count.saturating_mul(u64::from(width)).saturating_mul(TILE));
    }

    fn weights(&mut self, count: u64, width: u64) {
        self.weights = self.weights.saturating_add(count);
        self.weight_bytes =
            self.weight_bytes.saturating_add(count.saturating_mul(width).saturating_mul(TILE));
    }
}

fn tiles(operator: &Operator, shapes: &Shapes, weights: &Layout, node: usize) -> Tiles {
    let mut tiles = Tiles::default();
    let all = |run: usize| {
        let range = shapes.layer_of(node).map_or(0..0, |layer| weights.tiles_of(2 * layer + run));
        range.end.saturating_sub(range.start)
    };
    match operator {
        Operator::Contract { axes, summed, left, right, bias } => {
            let sizes = [axes.as_slice(), summed].concat();
            tiles.view(left, &sizes, axes.len(), shapes);
            match right {
                Right::View(view) => tiles.view(view, &sizes, axes.len(), shapes),
                // A matrix lies so that what one output element reads lies together.
                Right::Weights { .. } => tiles.weights(touched(product(summed) as u64).min(all(0)), 1),
            }
            tiles.weights(u64::from(bias.is_some()), 4);
        }
        Operator::Combine { axes, terms, bias, .. } => {
            for Term { summed, view, .. } in terms {
                tiles.view(view, &[axes.as_slice(), summed].concat(), axes.len(), shapes);
            }
            tiles.weights(u64::from(bias.is_some()), 4);
        }
        Operator::Maximum { axes, left, right } => {
            tiles.view(left, axes, axes.len(), shapes);
            tiles.view(right, axes, axes.len(), shapes);
        }
        Operator::Requantise { input, .. } => {
            tiles.view(&View { tensor: *input, groups: Vec::new() }, &[], 0, shapes);
        }
    }
    tiles
}

/// Most tiles that so many elements in a row touch.
fn touched(elements: u64) -> u64 {
    elements.saturating_sub(1).saturating_add(TILE - 1) / TILE + 1
}

/// Most tiles that a view reads for one index over the output axes.
///
/// The groups are the digits of an element's place, the first the largest. Those from some group on read within an interval as long as their
/// furthest positions are apart; for each choice of the positions before it that interval touches so many tiles. The best cut counts.
fn tiles_of_view(view: &View, sizes: &[u32], outputs: usize, shapes: &Shapes) -> u64 {
    let Some(shape) = shapes.tensors().get(view.tensor.0 as usize) else { return u64::MAX };
    let mut axes = shape.axes.as_slice();
    // Of each group: its length, how many positions it takes, and how far apart the first and the last are.
    let mut groups = Vec::with_capacity(view.groups.len());
    for group in &view.groups {
        let (taken, rest) = axes.split_at_checked(usize::from(group.span)).unwrap_or((axes, &[]));
        axes = rest;
        let length = product(taken) as u64;
        let (mut count, mut extent) = (1u64, 0u64);
        for stride in &group.strides {
            let axis = usize::from(stride.axis);
            let size = sizes.get(axis).filter(|_| axis >= outputs).map_or(1, |size| u64::from(*size));
            count = count.saturating_mul(size);
            let step = u64::from(stride.stride.unsigned_abs());
            extent = extent.saturating_add((size - 1).saturating_mul(step));
        }
        // Rounding down moves either end by less than one.
        let apart = extent.div_ceil(u64::from(group.divisor.max(1))).min(length.saturating_sub(1));
        groups.push((length, count.min(apart + 1), apart));
    }
    let (mut best, mut interval, mut weight) = (u64::MAX, 1u64, 1u64);
    for cut in (0..=groups.len()).rev() {
        let before =
            groups.iter().take(cut).fold(1u64, |count, (_, positions, _)| count.saturating_mul(*positions));
        best = best.min(before.saturating_mul(touched(interval)));
        if let Some((length, _, apart)) = cut.checked_sub(1).and_then(|group| groups.get(group)) {
            interval = interval.saturating_add(apart.saturating_mul(weight));
            weight = weight.saturating_mul(*length);
        }
    }
    best.min((shape.cells() as u64).div_ceil(TILE))
}

/// Most siblings that open so many leaves of a tree: a level has no more than it has pairs, or than there are leaves to open.
fn siblings_bound(opened: u64, leaves: u64) -> u64 {
    (0..depth(leaves)).fold(0u64, |sum, level| {
        let pairs = super::tree::width(leaves, level + 1);
        sum.saturating_add(opened.min(pairs))
    })
}

/// What an element reads, as leaves of both trees.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) trace: std::collections::BTreeSet<u64>,
    pub(super) weights: std::collections::BTreeSet<u64>,
}

/// Notes the tiles of whatever is read.
pub(super) struct Note<'a> {
    pub(super) trace: &'a Layout,
    pub(super) weights: &'a Layout,
    pub(super) reads: Reads,
    last: [Option<u64>; 2],
}

impl<'a> Note<'a> {
    pub(super) fn new(trace: &'a Layout, weights: &'a Layout) -> Self {
        Self { trace, weights, reads: Reads::default(), last: [None; 2] }
    }

    fn weight(&mut self, run: usize, at: usize) -> Option<i64> {
        let (leaf, _) = self.weights.place(run, at)?;
        if self.last[1] != Some(leaf) {
            self.last[1] = Some(leaf);
            self.reads.weights.insert(leaf);
        }
        Some(0)
    }
}

impl Elements for Note<'_> {
    fn value(&mut self, tensor: TensorId, at: usize) -> Option<i64> {
        let (leaf, _) = self.trace.place(usize::try_from(tensor.0).ok()?, at)?;
        if self.last[0] != Some(leaf) {
            self.last[0] = Some(leaf);
            self.reads.trace.insert(leaf);
        }
        Some(0)
    }

    fn matrix(&mut self, layer: usize, at: usize) -> Option<i64> {
        self.weight(layer.checked_mul(2)?, at)
    }

    fn bias(&mut self, layer: usize, at: usize) -> Option<i64> {
        self.weight(layer.checked_mul(2)?.checked_add(1)?, at)
    }
}

/// Most elements and weights that one element may be made of.
pub const MAX_READS: u64 = 1 << 16;
/// Most bytes that showing one element wrong may take, graph and receipt included.
pub const MAX_CONVICTION_BYTES: u64 = 1 << 18;
/// Most tiles of a trace.
pub const MAX_TRACE_LEAVES: u64 = 1 << 23;
/// Receipt, signature, numbers, and what the ABI puts around them.
const FIXED_BYTES: u64 = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SyntheticNetwork, random_model, synthetic_network,
        trace::{element::element, tree::siblings},
    };

    /// What some elements of each node read, against the bounds for the node.
    fn check_bounds(graph: &Graph, elements_max: usize) {
        let shapes = graph.validate().unwrap();
        let (trace, weights) = (Layout::of_trace(&shapes), Layout::of_weights(graph));
        for (node, operator) in graph.nodes.iter().enumerate() {
            let bound = tiles(operator, &shapes, &weights, node);
            let cells = shapes.tensors()[node + 1].cells();
            for at in (0..cells).step_by(cells.div_ceil(elements_max)) {
                let mut note = Note::new(&trace, &weights);
                element(graph, &shapes, node, at, &mut note).unwrap();
                let bytes = |layout: &Layout, leaves: &std::collections::BTreeSet<u64>| -> u64 {
                    leaves.iter().map(|leaf| layout.tile(*leaf).unwrap().bytes() as u64).sum()
                };
                let Reads { trace: read, weights: read_weights } = &note.reads;
                assert!(read.len() as u64 <= bound.count, "node {node} element {at}");
                assert!(bytes(&trace, read) <= bound.bytes, "node {node} element {at}");
                assert!(read_weights.len() as u64 <= bound.weights, "node {node} element {at}");
                assert!(bytes(&weights, read_weights) <= bound.weight_bytes, "node {node} element {at}");
                for (layout, leaves) in [(&trace, read), (&weights, read_weights)] {
                    let leaves: Vec<u64> = leaves.iter().copied().collect();
                    let needed = siblings(layout.leaves(), &leaves).len() as u64;
                    assert!(needed <= siblings_bound(leaves.len() as u64, layout.leaves()));
                }
            }
        }
    }

    #[test]
    fn no_element_reads_more_than_its_bound() {
        for seed in 0..300 {
            check_bounds(random_model(seed).unwrap().graph(), usize::MAX);
        }
        for network in [SyntheticNetwork::LeNet5, SyntheticNetwork::LeNet5Max, SyntheticNetwork::Separable] {
            check_bounds(synthetic_network(network, 1).unwrap().graph(), 40);
        }
    }

    #[test]
    fn a_run_of_elements_touches_few_tiles() {
        assert_eq!([1, 2, 64, 65, 66, 128, 129].map(touched), [1, 2, 2, 2, 3, 3, 3]);
    }
}
