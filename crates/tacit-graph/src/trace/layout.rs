//! Which tile holds which element.
//!
//! A trace's tensors follow each other in execution order, the input first; a model's weights follow each other layer by layer, each layer's
//! matrix before its bias. Each begins a tile of its own. Within one, elements are row-major, but a matrix is so over its output axes
//! first and its summed axes after them, each in the order of [`crate::graph::Right::Weights`]: what one output element reads lies together.
//!
//! An element fills as many bytes as its tensor's [`ElementType`], a weight one, a bias four, all little endian, in two's complement. The last
//! tile of each tensor is as short as it has to be.

use crate::{
    graph::{Graph, Operator, Right},
    shapes::{ElementType, Shapes},
};

/// Places of all tiles of a trace or of a model's weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    runs: Vec<Run>,
    leaves: u64,
}

/// One tensor, matrix or bias.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    first: u64,
    cells: u64,
    width: u8,
    order: Order,
}

/// For each axis, the last first: its size, and what a step along it adds where the array is stored and where it lies in the tiles. Empty where these
/// are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Order(Vec<(u64, u64, u64)>);

/// One tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Tensor of a trace; of weights, twice the layer and one more for a bias.
    pub run: usize,
    /// Position of its first element, in the order of the tiles.
    pub first: u64,
    /// Elements, 1 to [`TILE`].
    pub count: u64,
    /// Bytes of an element: 1, 2 or 4.
    pub width: u8,
}

impl Tile {
    /// Its length.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // At most TILE_BYTES_MAX.
        (self.count * u64::from(self.width)) as usize
    }
}

impl Layout {
    /// Of a trace.
    #[must_use]
    pub fn of_trace(shapes: &Shapes) -> Self {
        let mut layout = Self { runs: Vec::new(), leaves: 0 };
        for shape in shapes.tensors() {
            layout.push(shape.cells() as u64, element_bytes(shape.element), Order::default());
        }
        layout
    }

    /// Of the weights of a valid graph.
    #[must_use]
    pub fn of_weights(graph: &Graph) -> Self {
        let mut layout = Self { runs: Vec::new(), leaves: 0 };
        for operator in &graph.nodes {
            let (matrix, bias) = operator.weight_lengths();
            if matrix + bias > 0 {
                layout.push(matrix, 1, Order::of(operator));
                layout.push(bias, 4, Order::default());
            }
        }
        layout
    }

    fn push(&mut self, cells: u64, width: u8, order: Order) {
        self.runs.push(Run { first: self.leaves, cells, width, order });
        self.leaves += cells.div_ceil(TILE);
    }

    /// How many tiles.
    #[must_use]
    pub fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Tiles of one tensor, matrix or bias.
    #[must_use]
    pub fn tiles_of(&self, run: usize) -> core::ops::Range<u64> {
        match self.runs.get(run) {
            Some(run) => run.first..run.first + run.cells.div_ceil(TILE),
            None => 0..0,
        }
    }

    /// Bytes of an element of a tensor, matrix or bias.
    pub(super) fn width(&self, run: usize) -> Option<u8> {
        self.runs.get(run).map(|run| run.width)
    }

    /// The tile of an element, which is counted in the order in which it is stored, and its place in the tile.
    #[must_use]
    pub fn place(&self, run: usize, at: usize) -> Option<(u64, usize)> {
        let run = self.runs.get(run)?;
        let at = u64::try_from(at).ok().filter(|at| *at < run.cells)?;
        let at = run.order.tiled(at);
        Some((run.first + at / TILE, usize::try_from(at % TILE).ok()?))
    }

    /// A tile.
    #[must_use]
    pub fn tile(&self, leaf: u64) -> Option<Tile> {
        if leaf >= self.leaves {
            return None;
        }
        let number = self.runs.partition_point(|run| run.first <= leaf).checked_sub(1)?;
        let run = self.runs.get(number)?;
        let first = (leaf - run.first) * TILE;
        let count = run.cells.checked_sub(first)?.min(TILE);
        Some(Tile { run: number, first, count, width: run.width })
    }

    /// Where the elements of a tile are stored.
    pub(super) fn stored(&self, tile: Tile) -> impl Iterator<Item = usize> + '_ {
        let order = self.runs.get(tile.run).map(|run| &run.order);
        let stored = move |at: u64| order.map_or(at, |order| order.stored(at)) as usize;
        (tile.first..tile.first + tile.count).map(stored)
    }
}

impl Order {
    fn of(operator: &Operator) -> Self {
        let Operator::Contract { axes, summed, right: Right::Weights { axes: chosen }, .. } = operator else {
            return Self::default();
        };
        let output = |axis: &u8| usize::from(*axis) < axes.len();
        let tiled: Vec<u8> = chosen.iter().filter(|axis| output(axis)).copied().collect();
        let tiled = [tiled, chosen.iter().filter(|axis| !output(axis)).copied().collect()].concat();
        if tiled == *chosen {
            return Self::default();
        }
        let size =
            |axis: u8| axes.iter().chain(summed).nth(usize::from(axis)).map_or(1, |size| u64::from(*size));
        let step = |order: &[u8], axis: u8| {
            let after = order.iter().rev().take_while(|other| **other != axis);
            after.fold(1u64, |step, other| step.saturating_mul(size(*other)))
        };
        Self(chosen.iter().map(|axis| (size(*axis), step(chosen, *axis), step(&tiled, *axis))).collect())
    }

    fn tiled(&self, stored: u64) -> u64 {
        if self.0.is_empty() {
            return stored;
        }
        self.0.iter().map(|(size, from, to)| stored / from % size * to).sum()
    }

    fn stored(&self, tiled: u64) -> u64 {
        if self.0.is_empty() {
            return tiled;
        }
        self.0.iter().map(|(size, to, from)| tiled / from % size * to).sum()
    }
}

/// Bytes of an element.
pub(super) fn element_bytes(element: ElementType) -> u8 {
    match element {
        ElementType::I8 => 1,
        ElementType::I16 => 2,
        ElementType::I32 => 4,
    }
}

/// The value of `width` bytes, little endian.
pub(super) fn read(bytes: &[u8], width: u8, slot: usize) -> Option<i64> {
    let width = usize::from(width);
    let start = slot.checked_mul(width)?;
    let bytes = bytes.get(start..start.checked_add(width)?)?;
    match *bytes {
        [a] => Some(i64::from(i8::from_le_bytes([a]))),
        [a, b] => Some(i64::from(i16::from_le_bytes([a, b]))),
        [a, b, c, d] => Some(i64::from(i32::from_le_bytes([a, b, c, d]))),
        _ => None,
    }
}

/// Appends a value that fits so many bytes.
pub(super) fn put(out: &mut Vec<u8>, width: u8, value: i32) {
    let bytes = value.to_le_bytes();
    out.extend_from_slice(bytes.get(..usize::from(width)).unwrap_or(&bytes));
}

/// Elements of a full tile.
pub const TILE: u64 = 64;
/// Longest tile.
pub const TILE_BYTES_MAX: usize = 256;
