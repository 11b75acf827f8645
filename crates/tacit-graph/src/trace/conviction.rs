//! One value of a committed trace, shown to be another than the one that follows from what it is made of.

use super::{
    bound::{MAX_READS, Note, reads},
    element::{Elements, element},
    layout::{Layout, Tile, read},
    tree::{Hash, Kind, depth, fold},
    trees::{TraceTree, WeightsTree},
};
use crate::{
    error::GraphError,
    graph::{Graph, TensorId},
    shapes::Shapes,
};

/// Some tiles of a tree and what leads from them to its root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opening {
    /// The tiles, one after the other, ascending.
    pub tiles: Vec<u8>,
    /// As [`fold`] takes them.
    pub siblings: Vec<Hash>,
}

/// What an element is made of, opened in both trees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Openings {
    /// The tiles that it reads of the trace; the siblings are of these and the element's own.
    pub trace: Opening,
    /// What it reads of the weights.
    pub weights: Opening,
}

/// What shows that an element of a trace is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conviction {
    /// The node that the element is made by.
    pub node: u32,
    /// The element, counted in its tensor.
    pub element: u32,
    /// The tile that holds it. One that is not as long as it must be is wrong as it is, and then nothing else is opened with it.
    pub tile: Vec<u8>,
    /// What the element reads of the trace; the siblings are of these tiles and the element's own.
    pub trace: Opening,
    /// What it reads of the weights; empty if it reads none.
    pub weights: Opening,
}

/// Why nothing is shown.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvictionError {
    /// It is about no valid graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The graph has no such node.
    #[error("the graph has {nodes} nodes, and no node {got}")]
    NoSuchNode {
        /// Nodes of the graph.
        nodes: usize,
        /// The node.
        got: u32,
    },
    /// The node makes no such element.
    #[error("the node makes {cells} elements, and no element {got}")]
    NoSuchElement {
        /// Elements that it makes.
        cells: usize,
        /// The element.
        got: u32,
    },
    /// The element is made of more than is read.
    #[error("the element is made of {got} others, and at most {limit} are read")]
    TooManyReads {
        /// [`MAX_READS`].
        limit: u64,
        /// What it is made of.
        got: u64,
    },
    /// Not the tiles of the trace that the element reads.
    #[error("the element reads {expected} bytes of the trace's tiles, got {got}")]
    TraceTiles {
        /// Bytes of those tiles.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// Not the tiles of the weights that the element reads.
    #[error("the element reads {expected} bytes of the weights' tiles, got {got}")]
    WeightTiles {
        /// Bytes of those tiles.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// Too few or too many siblings in the trace's tree.
    #[error("the tiles and siblings of the trace make no tree")]
    TracePath,
    /// Too few or too many siblings in the weights' tree.
    #[error("the tiles and siblings of the weights make no tree")]
    WeightPath,
    /// The value is the one that follows.
    #[error("the element is right")]
    Consistent,
}

/// What an element of a graph is made of, and where that lies.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    graph: &'a Graph,
    shapes: Shapes,
    trace: Layout,
    weights: Layout,
    node: usize,
    element: usize,
    tile: Tile,
    leaf: u64,
    slot: usize,
    trace_leaves: Vec<u64>,
    weight_leaves: Vec<u64>,
}

impl<'a> Question<'a> {
    /// About element `element` of what `node` makes. The work is that of validating the graph, and a multiple of what the element reads.
    ///
    /// # Errors
    /// There is no such graph, node or element, or it reads too much.
    pub fn new(graph: &'a Graph, node: u32, element: u32) -> Result<Self, ConvictionError> {
        let shapes = graph.validate()?;
        let number = usize::try_from(node).unwrap_or(usize::MAX);
        let missing = ConvictionError::NoSuchNode { nodes: graph.nodes.len(), got: node };
        let operator = graph.nodes.get(number).ok_or(missing)?;
        let got = reads(operator);
        if got > MAX_READS {
            return Err(ConvictionError::TooManyReads { limit: MAX_READS, got });
        }
        let cells = shapes.tensors().get(number + 1).map_or(0, crate::TensorShape::cells);
        let missing = ConvictionError::NoSuchElement { cells, got: element };
        let (trace, weights) = (Layout::of_trace(&shapes), Layout::of_weights(graph));
        let at = usize::try_from(element).unwrap_or(usize::MAX);
        let (leaf, slot) = trace.place(number + 1, at).ok_or(missing.clone())?;
        let tile = trace.tile(leaf).ok_or(missing.clone())?;
        let mut note = Note::new(&trace, &weights);
        self::element(graph, &shapes, number, at, &mut note).ok_or(missing)?;
        let (trace_leaves, weight_leaves) =
            (note.reads.trace.into_iter().collect(), note.reads.weights.into_iter().collect());
        Ok(Self {
            graph,
            shapes,
            trace,
            weights,
            node: number,
            element: at,
            tile,
            leaf,
            slot,
            trace_leaves,
            weight_leaves,
        })
    }

    /// The leaf that the element lies in. All that it reads lies before.
    #[must_use]
    pub fn leaf(&self) -> u64 {
        self.leaf
    }

    /// Leaves of the trace that the element reads, ascending.
    #[must_use]
    pub fn trace_leaves(&self) -> &[u64] {
        &self.trace_leaves
    }

    /// Leaves of the weights that the element reads, ascending.
    #[must_use]
    pub fn weight_leaves(&self) -> &[u64] {
        &self.weight_leaves
    }

    /// Whether a tile is as long as the element's has to be.
    #[must_use]
    pub fn is_well_formed(&self, tile: &[u8]) -> bool {
        tile.len() == self.tile.bytes()
    }

    /// What the element is made of, by whoever has the run and the weights.
    #[must_use]
    pub fn openings(&self, own: &TraceTree<'_>, weights: &WeightsTree<'_>) -> Openings {
        let (read, read_weights) = (self.trace_leaves(), self.weight_leaves());
        let trace = Opening {
            tiles: read.iter().flat_map(|leaf| own.tile(*leaf)).collect(),
            siblings: own.tree().open(&[read, &[self.leaf]].concat()),
        };
        let weights = Opening {
            tiles: read_weights.iter().flat_map(|leaf| weights.tile(*leaf)).collect(),
            siblings: weights.tree().open(read_weights),
        };
        Openings { trace, weights }
    }

    /// Most hashes that [`Self::open`] makes of a conviction, none of more than [`super::TILE_BYTES_MAX`] bytes and what is in front of them.
    #[must_use]
    pub fn hashes(&self, conviction: &Conviction) -> u64 {
        // Each leaf is hashed; a node joins two that are known, or one to a sibling or to nothing, at the right end of a level.
        let leaves = 1 + self.trace_leaves.len() + self.weight_leaves.len();
        let siblings = conviction.trace.siblings.len() + conviction.weights.siblings.len();
        let ends = u64::from(depth(self.trace.leaves())) + u64::from(depth(self.weights.leaves()));
        (2 * leaves as u64).saturating_add(siblings as u64).saturating_add(ends + 2)
    }

    /// The trees that the tiles of a conviction are in.
    ///
    /// # Errors
    /// It does not hold the tiles that the element reads, or they lead to no tree of this graph.
    pub fn open<'c>(&'c self, conviction: &'c Conviction) -> Result<Opened<'c>, ConvictionError> {
        let formed = self.is_well_formed(&conviction.tile);
        let (trace_leaves, weight_leaves): (&[u64], &[u64]) =
            if formed { (&self.trace_leaves, &self.weight_leaves) } else { (&[], &[]) };

        let starts = starts(&self.trace, trace_leaves);
        let (expected, got) = (starts.bytes, conviction.trace.tiles.len());
        if expected != got {
            return Err(ConvictionError::TraceTiles { expected, got });
        }
        let trace = Cut { layout: &self.trace, starts: starts.of, bytes: &conviction.trace.tiles };
        let mut hashes = trace.hashes(Kind::Trace);
        hashes.push((self.leaf, Kind::Trace.leaf(self.leaf, &conviction.tile)));
        let top = fold(Kind::Trace, self.trace.leaves(), hashes, &conviction.trace.siblings)
            .ok_or(ConvictionError::TracePath)?;
        let trace_root = Kind::Trace.root(self.trace.leaves(), &top);

        let starts = self::starts(&self.weights, weight_leaves);
        let (expected, got) = (starts.bytes, conviction.weights.tiles.len());
        if expected != got {
            return Err(ConvictionError::WeightTiles { expected, got });
        }
        let weights = Cut { layout: &self.weights, starts: starts.of, bytes: &conviction.weights.tiles };
        let weights_root = if weight_leaves.is_empty() {
            if !conviction.weights.siblings.is_empty() {
                return Err(ConvictionError::WeightPath);
            }
            None
        } else {
            let hashes = weights.hashes(Kind::Weights);
            let top = fold(Kind::Weights, self.weights.leaves(), hashes, &conviction.weights.siblings)
                .ok_or(ConvictionError::WeightPath)?;
            Some(Kind::Weights.root(self.weights.leaves(), &top))
        };
        let claimed = if formed { read(&conviction.tile, self.tile.width, self.slot) } else { None };
        Ok(Opened { question: self, trace_root, weights_root, trace, weights, claimed })
    }
}

/// A conviction whose tiles are in these trees. Whoever holds one compares the roots with what the worker and the publisher committed to.
#[derive(Debug)]
#[must_use = "nothing is shown until the roots are compared and `judge` is called"]
pub struct Opened<'a> {
    question: &'a Question<'a>,
    trace_root: Hash,
    weights_root: Option<Hash>,
    trace: Cut<'a>,
    weights: Cut<'a>,
    claimed: Option<i64>,
}

impl Opened<'_> {
    /// Root of the trace's tree.
    #[must_use]
    pub fn trace_root(&self) -> &Hash {
        &self.trace_root
    }

    /// Root of the weights' tree, if the element reads weights.
    #[must_use]
    pub fn weights_root(&self) -> Option<&Hash> {
        self.weights_root.as_ref()
    }

    /// Computes the element from what was opened.
    ///
    /// # Errors
    /// [`ConvictionError::Consistent`] if the trace holds just that value.
    pub fn judge(self) -> Result<(), ConvictionError> {
        let Self {
            question: Question { graph, shapes, node, element: at, .. }, trace, weights, claimed, ..
        } = self;
        let Some(claimed) = claimed else { return Ok(()) };
        let follows = element(graph, shapes, *node, *at, &mut Both { trace, weights });
        // What is read is what the question noted, so there is a value; without one nothing is shown.
        match follows {
            Some(follows) if follows != i128::from(claimed) => Ok(()),
            _ => Err(ConvictionError::Consistent),
        }
    }
}

/// Tiles one after the other.
#[derive(Debug)]
struct Cut<'a> {
    layout: &'a Layout,
    /// Each leaf, ascending, with where its bytes begin.
    starts: Vec<(u64, usize)>,
    bytes: &'a [u8],
}

struct Starts {
    of: Vec<(u64, usize)>,
    bytes: usize,
}

fn starts(layout: &Layout, leaves: &[u64]) -> Starts {
    let mut bytes = 0usize;
    let of = leaves.iter().map(|leaf| {
        let start = bytes;
        bytes = bytes.saturating_add(layout.tile(*leaf).map_or(0, |tile| tile.bytes()));
        (*leaf, start)
    });
    let of = of.collect();
    Starts { of, bytes }
}

impl Cut<'_> {
    fn tile(&self, leaf: u64, start: usize) -> &[u8] {
        let length = self.layout.tile(leaf).map_or(0, |tile| tile.bytes());
        self.bytes.get(start..start.saturating_add(length)).unwrap_or_default()
    }

    fn hashes(&self, kind: Kind) -> Vec<(u64, Hash)> {
        self.starts.iter().map(|(leaf, start)| (*leaf, kind.leaf(*leaf, self.tile(*leaf, *start)))).collect()
    }

    fn read(&self, run: usize, at: usize) -> Option<i64> {
        let (leaf, slot) = self.layout.place(run, at)?;
        let found = self.starts.binary_search_by_key(&leaf, |(leaf, _)| *leaf).ok()?;
        let (_, start) = self.starts.get(found)?;
        let width = self.layout.width(run)?;
        read(self.bytes.get(*start..)?, width, slot)
    }
}

struct Both<'a> {
    trace: Cut<'a>,
    weights: Cut<'a>,
}

impl Elements for Both<'_> {
    fn value(&mut self, tensor: TensorId, at: usize) -> Option<i64> {
        self.trace.read(usize::try_from(tensor.0).ok()?, at)
    }

    fn matrix(&mut self, layer: usize, at: usize) -> Option<i64> {
        self.weights.read(layer.checked_mul(2)?, at)
    }

    fn bias(&mut self, layer: usize, at: usize) -> Option<i64> {
        self.weights.read(layer.checked_mul(2)?.checked_add(1)?, at)
    }
}
