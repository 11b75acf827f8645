//! Two committed traces of one input, compared by somebody who has neither the weights nor a run of its own.
//!
//! Whoever committed to a trace is asked for what lies under a node, and for nothing that need be believed: hashes count if they are under the
//! node that they are said to be under, a tile if it is the leaf's, what an element is made of if it leads to the committed root and to the
//! registered weights. Both are asked under the same nodes, down to the leftmost leaf in which they differ ([`Walk`]). All that lies left of
//! it is the same in both, and what an element reads lies left of it: so one opening, from either of them, is an opening in both trees, and one
//! value follows from it. At most one of two different values is that one ([`Parting::judge`]).
//!
//! # Soundness
//! A side that committed to the trace of an honest run of the registered weights is not convicted, whatever the other commits to and says: each of its
//! elements follows from what it reads. Of two well-formed tiles that differ, at least one is convicted. Whoever is not convicted is right about
//! this element, and nothing is said of what lies behind it.

use super::{
    challenger::under,
    conviction::{Conviction, ConvictionError, Opening, Openings, Question},
    layout::Layout,
    tree::{Hash, Kind, Node, depth, siblings, step},
};
use crate::{graph::Graph, shapes::Shapes};
use std::collections::BTreeMap;

/// One of the two traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// One.
    First,
    /// The other.
    Second,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// Its part of a pair.
    #[must_use]
    pub fn of<T>(self, [first, second]: &[T; 2]) -> &T {
        match self {
            Self::First => first,
            Self::Second => second,
        }
    }
}

/// Why something is not taken for part of a committed trace.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The hashes are not what lies under the node in this side's tree.
    #[error("these hashes are not under the node")]
    NotUnder,
    /// A tile was given before there was a leaf, or hashes after.
    #[error("the walk is at level {level}")]
    Level {
        /// Where it is.
        level: u8,
    },
    /// The tile is not the leaf of this side's tree.
    #[error("this tile is not the leaf's")]
    NotTheTile,
    /// Both traces are of one input, and differ in it: one of them was not checked.
    #[error("the traces are of different inputs")]
    Input,
    /// What an element is made of was opened in another trace.
    #[error("what the element is made of is not in the trace")]
    OtherTrace,
    /// What an element is made of was opened in other weights.
    #[error("what the element is made of is not in the registered weights")]
    OtherWeights,
    /// An opening is none, or the graph is.
    #[error(transparent)]
    Opening(#[from] ConvictionError),
}

/// The way from the tops of two trees to the leftmost leaf in which they differ.
#[derive(Debug, Clone)]
pub struct Walk {
    layout: Layout,
    /// Of each side: its hashes where they differ or may differ.
    known: [BTreeMap<Node, Hash>; 2],
    at: Node,
}

impl Walk {
    /// Between two traces of a graph with these shapes, by their tops; `None` if they are the same.
    #[must_use]
    pub fn new(shapes: &Shapes, tops: [Hash; 2]) -> Option<Self> {
        let layout = Layout::of_trace(shapes);
        let at = Node { level: depth(layout.leaves()), index: 0 };
        let [first, second] = tops;
        (first != second).then(|| Self { layout, known: tops.map(|top| BTreeMap::from([(at, top)])), at })
    }

    /// The node under which both are asked next; their tiles, if it is a leaf.
    #[must_use]
    pub fn node(&self) -> Node {
        self.at
    }

    /// Whether these hashes lie under the node in a side's tree.
    ///
    /// # Errors
    /// [`WalkError::NotUnder`], [`WalkError::Level`].
    pub fn check(&self, side: Side, children: &[Hash]) -> Result<(), WalkError> {
        self.nodes_under(side, children).map(|_| ())
    }

    /// Goes on to the leftmost child in which they differ: its number.
    ///
    /// # Errors
    /// As [`Self::check`], of either.
    pub fn step(&mut self, children: [&[Hash]; 2]) -> Result<u8, WalkError> {
        let [first, second] = children;
        let made = [self.nodes_under(Side::First, first)?, self.nodes_under(Side::Second, second)?];
        // Above the same hashes are the same: one of them differs.
        let chosen = first.iter().zip(second).position(|(first, second)| first != second);
        let chosen = chosen.ok_or(WalkError::NotUnder)?;
        let places = step(self.layout.leaves(), self.at);
        for (known, made) in self.known.iter_mut().zip(made) {
            known.extend(made);
        }
        self.at = *places.get(chosen).ok_or(WalkError::NotUnder)?;
        u8::try_from(chosen).map_err(|_| WalkError::NotUnder)
    }

    /// Whether this is the tile of the leaf in a side's tree.
    ///
    /// # Errors
    /// [`WalkError::NotTheTile`], [`WalkError::Level`].
    pub fn check_tile(&self, side: Side, tile: &[u8]) -> Result<(), WalkError> {
        if self.at.level > 0 {
            return Err(WalkError::Level { level: self.at.level });
        }
        let leaf = side.of(&self.known).get(&self.at);
        if leaf == Some(&Kind::Trace.leaf(self.at.index, tile)) { Ok(()) } else { Err(WalkError::NotTheTile) }
    }

    /// The element in which the two tiles of the leaf differ.
    ///
    /// # Errors
    /// As [`Self::check_tile`], of either; [`WalkError::Input`].
    pub fn part<'g>(&self, graph: &'g Graph, tiles: [&[u8]; 2]) -> Result<Parting<'g>, WalkError> {
        let [first, second] = tiles;
        self.check_tile(Side::First, first)?;
        self.check_tile(Side::Second, second)?;
        let place = self.layout.tile(self.at.index).ok_or(WalkError::NotTheTile)?;
        let node = place.run.checked_sub(1).ok_or(WalkError::Input)?;
        let width = usize::from(place.width);
        let slot = if first.len() == place.bytes() && second.len() == place.bytes() {
            let mut pairs = first.chunks(width).zip(second.chunks(width));
            pairs.position(|(first, second)| first != second).ok_or(WalkError::NotTheTile)?
        } else {
            // Of a tile of another length any element will do.
            0
        };
        let element = place.first.saturating_add(slot as u64);
        let (node, element) =
            (u32::try_from(node).unwrap_or(u32::MAX), u32::try_from(element).unwrap_or(u32::MAX));
        let question = Question::new(graph, node, element)?;
        let tiles = tiles.map(<[u8]>::to_vec);
        Ok(Parting {
            question,
            node,
            element,
            tiles,
            known: self.known.clone(),
            leaves: self.layout.leaves(),
        })
    }

    fn nodes_under(&self, side: Side, children: &[Hash]) -> Result<Vec<(Node, Hash)>, WalkError> {
        if self.at.level == 0 {
            return Err(WalkError::Level { level: 0 });
        }
        let hash = side.of(&self.known).get(&self.at).ok_or(WalkError::NotUnder)?;
        under(self.layout.leaves(), self.at, hash, children).ok_or(WalkError::NotUnder)
    }
}

/// The element in which two traces part.
#[derive(Debug, Clone)]
pub struct Parting<'g> {
    question: Question<'g>,
    node: u32,
    element: u32,
    tiles: [Vec<u8>; 2],
    known: [BTreeMap<Node, Hash>; 2],
    leaves: u64,
}

/// Of each side: what convicts it, if its value does not follow.
pub type Convictions = [Option<Conviction>; 2];

impl Parting<'_> {
    /// The node that makes it.
    #[must_use]
    pub fn node(&self) -> u32 {
        self.node
    }

    /// The element, counted in its tensor.
    #[must_use]
    pub fn element(&self) -> u32 {
        self.element
    }

    /// Which sides are convicted by the length of their tile alone, if any is: then nothing is to be opened.
    #[must_use]
    pub fn malformed(&self) -> Option<Convictions> {
        let formed = Side::BOTH.map(|side| self.question.is_well_formed(side.of(&self.tiles).as_slice()));
        if formed == [true; 2] {
            return None;
        }
        let path = siblings(self.leaves, &[self.question.leaf()]);
        Some(Side::BOTH.map(|side| {
            if *side.of(&formed) {
                return None;
            }
            let hashes = path.iter().map(|node| side.of(&self.known).get(node).copied());
            let trace = Opening { tiles: Vec::new(), siblings: hashes.collect::<Option<_>>()? };
            let tile = side.of(&self.tiles).clone();
            let (node, element) = (self.node, self.element);
            Some(Conviction { node, element, tile, trace, weights: Opening::default() })
        }))
    }

    /// Computes the element from what one of them opened, with the code of the ledger. Of two well-formed tiles at least one is convicted.
    ///
    /// # Errors
    /// What was opened is not in both traces, or not in the weights with this root. Nothing is said about either side then, but that whoever
    /// opened it opened something else than it was asked for.
    pub fn judge(&self, opened: &Openings, weights_root: &Hash) -> Result<Convictions, WalkError> {
        if let Some(convictions) = self.malformed() {
            return Ok(convictions);
        }
        Ok([
            self.judge_side(Side::First, opened, weights_root)?,
            self.judge_side(Side::Second, opened, weights_root)?,
        ])
    }

    fn judge_side(
        &self,
        side: Side,
        opened: &Openings,
        weights_root: &Hash,
    ) -> Result<Option<Conviction>, WalkError> {
        let leaves = [self.question.trace_leaves(), &[self.question.leaf()]].concat();
        let needed = siblings(self.leaves, &leaves);
        if needed.len() != opened.trace.siblings.len() {
            return Err(ConvictionError::TracePath.into());
        }
        let known = side.of(&self.known);
        // Left of the leaf both trees are the same; what lies right of it is known of each.
        let own = |(node, given): (&Node, &Hash)| known.get(node).copied().unwrap_or(*given);
        let siblings = needed.iter().zip(&opened.trace.siblings).map(own).collect();
        let conviction = Conviction {
            node: self.node,
            element: self.element,
            tile: side.of(&self.tiles).clone(),
            trace: Opening { tiles: opened.trace.tiles.clone(), siblings },
            weights: opened.weights.clone(),
        };
        let checked = self.question.open(&conviction)?;
        let top = Node { level: depth(self.leaves), index: 0 };
        let root = known.get(&top).map(|top| Kind::Trace.root(self.leaves, top));
        if root.as_ref() != Some(checked.trace_root()) {
            return Err(WalkError::OtherTrace);
        }
        if checked.weights_root().is_some_and(|root| root != weights_root) {
            return Err(WalkError::OtherWeights);
        }
        match checked.judge() {
            Ok(()) => Ok(Some(conviction)),
            Err(ConvictionError::Consistent) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
