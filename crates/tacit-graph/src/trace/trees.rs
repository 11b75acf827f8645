//! The trees of a run and of a model, and the ends of a run that its client checks.

use super::{
    layout::{Layout, element_bytes, put},
    tree::{Hash, Kind, Tree, fold},
};
use crate::{
    error::GraphError,
    graph::Graph,
    model::Model,
    shapes::{Shapes, TensorShape},
    tensor::Trace,
};
use std::borrow::Cow;

/// One row of a run, as a tree.
#[derive(Debug, Clone)]
pub struct TraceTree<'a> {
    trace: Cow<'a, Trace>,
    row: usize,
    cells: Vec<usize>,
    layout: Layout,
    tree: Tree,
}

impl<'a> TraceTree<'a> {
    /// Of row `row` of a trace of a model with these shapes; `None` if it is no such trace.
    #[must_use]
    pub fn new(shapes: &Shapes, trace: &'a Trace, row: usize) -> Option<Self> {
        Self::make(shapes, Cow::Borrowed(trace), row)
    }

    /// As [`Self::new`], with the trace.
    #[must_use]
    pub fn owning(shapes: &Shapes, trace: Trace, row: usize) -> Option<TraceTree<'static>> {
        TraceTree::make(shapes, Cow::Owned(trace), row)
    }

    fn make(shapes: &Shapes, trace: Cow<'a, Trace>, row: usize) -> Option<Self> {
        let fits = trace.tensors.len() == shapes.tensors().len()
            && row < trace.rows
            && trace.tensors.iter().zip(shapes.tensors()).all(|(tensor, shape)| {
                tensor.element() == shape.element
                    && Some(tensor.len()) == shape.cells().checked_mul(trace.rows)
            });
        if !fits {
            return None;
        }
        let layout = Layout::of_trace(shapes);
        let cells = shapes.tensors().iter().map(TensorShape::cells).collect();
        let mut made = Self { trace, row, cells, layout, tree: Tree::new(Kind::Trace, Vec::new()) };
        let leaves = (0..made.layout.leaves()).map(|leaf| Kind::Trace.leaf(leaf, &made.tile(leaf)));
        made.tree = Tree::new(Kind::Trace, leaves.collect());
        Some(made)
    }

    /// All hashes.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Where what lies.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Bytes of a tile; none where there is no such tile.
    #[must_use]
    pub fn tile(&self, leaf: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(tile) = self.layout.tile(leaf)
            && let (Some(tensor), Some(cells)) = (self.trace.tensors.get(tile.run), self.cells.get(tile.run))
        {
            for at in self.layout.stored(tile) {
                put(&mut bytes, tile.width, tensor.get(self.row * cells + at));
            }
        }
        bytes
    }

    /// What shows the client that this is a run of its input and ends in its output: the siblings of all tiles of the first and the last tensor.
    #[must_use]
    pub fn faces(&self) -> Vec<Hash> {
        self.tree.open(&faces(&self.layout))
    }
}

/// A model's weights, as a tree.
#[derive(Debug, Clone)]
pub struct WeightsTree<'a> {
    model: &'a Model,
    layout: Layout,
    tree: Tree,
}

impl<'a> WeightsTree<'a> {
    /// Of this model.
    #[must_use]
    pub fn new(model: &'a Model) -> Self {
        let layout = Layout::of_weights(model.graph());
        let mut made = Self { model, layout, tree: Tree::new(Kind::Weights, Vec::new()) };
        let leaves = (0..made.layout.leaves()).map(|leaf| Kind::Weights.leaf(leaf, &made.tile(leaf)));
        made.tree = Tree::new(Kind::Weights, leaves.collect());
        made
    }

    /// All hashes.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Bytes of a tile; none where there is no such tile.
    #[must_use]
    pub fn tile(&self, leaf: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(tile) = self.layout.tile(leaf)
            && let Some(layer) = self.model.weights().layers.get(tile.run / 2)
        {
            for at in self.layout.stored(tile) {
                let value = match tile.run % 2 {
                    0 => layer.matrix.get(at).map(|value| i32::from(*value)),
                    _ => layer.bias.get(at).copied(),
                };
                put(&mut bytes, tile.width, value.unwrap_or(0));
            }
        }
        bytes
    }
}

/// Why a committed trace is not a run of this input with this output.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FacesError {
    /// It is about no valid graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Input or output of another length, or a value that its tensor cannot hold.
    #[error("input or output do not fit the graph")]
    Values,
    /// Too few or too many siblings.
    #[error("input, output and siblings make no tree")]
    Path,
    /// They lead to another root.
    #[error("the trace that was committed to has another input or another output")]
    Root,
}

/// Checks that the trace with this root begins with this encoded input and ends with these logits. What lies between is not looked at.
///
/// # Errors
/// It does not.
pub fn check_faces(
    graph: &Graph,
    input: &[i16],
    logits: &[i32],
    siblings: &[Hash],
    root: &Hash,
) -> Result<(), FacesError> {
    faces_top(graph, input, logits, siblings, root).map(|_| ())
}

/// As [`check_faces`]: how many leaves the trace has, and its top.
///
/// # Errors
/// As there.
pub fn faces_top(
    graph: &Graph,
    input: &[i16],
    logits: &[i32],
    siblings: &[Hash],
    root: &Hash,
) -> Result<(u64, Hash), FacesError> {
    let shapes = graph.validate()?;
    let layout = Layout::of_trace(&shapes);
    let input: Vec<i32> = input.iter().map(|value| i32::from(*value)).collect();
    let ends = [(0, input.as_slice()), (shapes.tensors().len() - 1, logits)];
    let mut hashes = Vec::new();
    for (run, values) in ends {
        let shape = shapes.tensors().get(run).ok_or(FacesError::Values)?;
        let width = element_bytes(shape.element);
        let low = i32::MIN >> (32 - 8 * u32::from(width));
        if values.len() != shape.cells() || values.iter().any(|value| !(low..=!low).contains(value)) {
            return Err(FacesError::Values);
        }
        for leaf in layout.tiles_of(run) {
            let mut bytes = Vec::new();
            let tile = layout.tile(leaf).ok_or(FacesError::Values)?;
            for at in layout.stored(tile) {
                put(&mut bytes, width, values.get(at).copied().ok_or(FacesError::Values)?);
            }
            hashes.push((leaf, Kind::Trace.leaf(leaf, &bytes)));
        }
    }
    let top = fold(Kind::Trace, layout.leaves(), hashes, siblings).ok_or(FacesError::Path)?;
    let leaves = layout.leaves();
    if Kind::Trace.root(leaves, &top) == *root { Ok((leaves, top)) } else { Err(FacesError::Root) }
}

fn faces(layout: &Layout) -> Vec<u64> {
    let last = layout.leaves().checked_sub(1).and_then(|leaf| layout.tile(leaf)).map_or(0, |tile| tile.run);
    layout.tiles_of(0).chain(layout.tiles_of(last)).collect()
}

/// What a receipt of an audited job says about its trace: the commitment to evidence of `specs/0002-jobs.md`, to the trace's root.
#[must_use]
pub fn evidence_commitment(salt: &Hash, trace_root: &Hash) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("tacit 2026 evidence commitment v1");
    hasher.update(salt).update(trace_root);
    hasher.finalize().into()
}
