//! How somebody who did the run again finds the first tile in which a worker's trace is another, and shows it wrong.
//!
//! At each step the worker reveals hashes under a node that differs from one's own, and the leftmost that differs is next. Everything to the
//! left is then the same in both traces, and what an element reads lies to its left: so its values are one's own, and the siblings that
//! lead from them to the worker's root are one's own or were revealed on the way.

use super::{
    conviction::{Conviction, ConvictionError, Opening, Question},
    tree::{Hash, Kind, Node, climb, siblings, step},
    trees::{TraceTree, WeightsTree},
};
use crate::graph::Graph;
use std::collections::BTreeMap;

/// Why a challenger cannot go on. From a worker whose steps the ledger checked, only [`ChallengerError::Input`] comes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengerError {
    /// What was revealed is not under the node.
    #[error("these hashes are not under the node")]
    NotUnder,
    /// A tile was asked for before there was a leaf, or hashes after.
    #[error("the dispute is at level {level}")]
    Level {
        /// Where it is.
        level: u8,
    },
    /// What was revealed is not the leaf's tile.
    #[error("this tile is not the leaf's")]
    NotTheTile,
    /// The worker's trace is of another input, so nothing is shown by what follows from it.
    #[error("the worker's trace is of another input")]
    Input,
    /// The weights or the trace are not of the graph.
    #[error(transparent)]
    Conviction(#[from] ConvictionError),
}

/// A dispute, from the challenger's side.
#[derive(Debug, Clone)]
pub struct Challenger<'a> {
    own: &'a TraceTree<'a>,
    /// Hashes of the worker's tree where they differ or may differ.
    revealed: BTreeMap<Node, Hash>,
    at: Node,
}

impl<'a> Challenger<'a> {
    /// A dispute about a trace whose top is `top` and that has as many leaves as one's own; `None` if it is the same trace.
    #[must_use]
    pub fn new(own: &'a TraceTree<'a>, top: Hash) -> Option<Self> {
        let at = own.tree().top_node();
        (own.tree().top() != top).then(|| Self { own, revealed: BTreeMap::from([(at, top)]), at })
    }

    /// The node that is disputed.
    #[must_use]
    pub fn node(&self) -> Node {
        self.at
    }

    /// Goes on to one of the nodes that the worker revealed under this one: which of them it is.
    ///
    /// # Errors
    /// They are not under it.
    pub fn choose(&mut self, children: &[Hash]) -> Result<u8, ChallengerError> {
        let leaves = self.own.tree().leaves();
        let places = step(leaves, self.at);
        if places.is_empty() {
            return Err(ChallengerError::Level { level: self.at.level });
        }
        let made = under(leaves, self.at, &self.hash(self.at), children).ok_or(ChallengerError::NotUnder)?;
        // Above the same hashes are the same: one of them differs.
        let differs = |(place, hash): (&Node, &Hash)| self.own.tree().hash(*place) != *hash;
        let chosen = places.iter().zip(children).position(differs).ok_or(ChallengerError::NotUnder)?;
        self.revealed.extend(made);
        self.at = *places.get(chosen).ok_or(ChallengerError::NotUnder)?;
        u8::try_from(chosen).map_err(|_| ChallengerError::NotUnder)
    }

    /// What shows the disputed leaf wrong, once its tile is known.
    ///
    /// # Errors
    /// It is not the leaf's tile, or one of the input.
    pub fn convict(
        &self,
        graph: &Graph,
        weights: &WeightsTree<'_>,
        tile: &[u8],
    ) -> Result<Conviction, ChallengerError> {
        if self.at.level > 0 {
            return Err(ChallengerError::Level { level: self.at.level });
        }
        let leaf = self.at.index;
        if Kind::Trace.leaf(leaf, tile) != self.hash(self.at) {
            return Err(ChallengerError::NotTheTile);
        }
        let place = self.own.layout().tile(leaf).ok_or(ChallengerError::NotTheTile)?;
        let node = place.run.checked_sub(1).ok_or(ChallengerError::Input)?;
        let own = self.own.tile(leaf);
        let width = usize::from(place.width);
        // Of a tile of another length any element will do.
        let differs = own.chunks(width).zip(tile.chunks(width)).position(|(own, theirs)| own != theirs);
        let slot = if own.len() == tile.len() { differs.ok_or(ChallengerError::NotTheTile)? } else { 0 };
        let element = place.first.saturating_add(slot as u64);
        let (node, element) =
            (u32::try_from(node).unwrap_or(u32::MAX), u32::try_from(element).unwrap_or(u32::MAX));
        let question = Question::new(graph, node, element)?;
        let mut conviction = Conviction {
            node,
            element,
            tile: tile.to_vec(),
            trace: Opening::default(),
            weights: Opening::default(),
        };
        let mut leaves = Vec::new();
        if question.is_well_formed(tile) {
            leaves = question.trace_leaves().to_vec();
            let opened = question.openings(self.own, weights);
            (conviction.trace.tiles, conviction.weights) = (opened.trace.tiles, opened.weights);
        }
        leaves.push(leaf);
        let needed = siblings(self.own.tree().leaves(), &leaves);
        conviction.trace.siblings = needed.into_iter().map(|node| self.hash(node)).collect();
        Ok(conviction)
    }

    /// A hash of the worker's tree, as far as it matters.
    fn hash(&self, node: Node) -> Hash {
        self.revealed.get(&node).copied().unwrap_or_else(|| self.own.tree().hash(node))
    }
}

/// What hashes under a node say, those between it and them among it; `None` if they are not under the node with this hash.
pub(super) fn under(leaves: u64, node: Node, hash: &Hash, children: &[Hash]) -> Option<Vec<(Node, Hash)>> {
    let places = step(leaves, node);
    let level = places.first()?.level;
    if places.len() != children.len() {
        return None;
    }
    let mut made: Vec<(Node, Hash)> = places.iter().copied().zip(children.iter().copied()).collect();
    let below = made.iter().map(|(place, hash)| (place.index, *hash)).collect();
    climb(Kind::Trace, leaves, below, level, node.level, &mut [].iter(), &mut |node, hash| {
        made.push((node, *hash));
    })?;
    made.last().is_some_and(|(_, top)| top == hash).then_some(made)
}
