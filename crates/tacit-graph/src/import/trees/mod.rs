//! Ensembles of decision trees, in the four operators of the integer graph.
//!
//! # Comparisons
//! The encoder of a feature counts the feature's thresholds (*steps*), so a comparison with one of them is a comparison of a
//! small integer, exactly. The runtime compares an input, rounded to single precision, with a threshold `t` of single
//! precision; here the input is rounded to a raw value `v`, a multiple of `2^-24`. Where `t` is at least one half in
//! magnitude, or is a raw value itself, a comparison comes out for every raw value as the runtime's does for `v`. Smaller floats
//! are finer than raw values: there the raw values of numbers that round to `t` stand for `t`, one or two next to it, so that an
//! input that is the threshold is always seen as such; all other raw values compare as in the runtime, and so does every
//! input that is `2^-24` or more away from `t`. Missing values cannot be asked about, so what a tree would do with them does
//! not matter.
//!
//! # Groups
//! The value of an ensemble is a sum of functions, each of one sum `s` of small numbers that depend on one feature each. A
//! *group* decides among some leaves of a tree: each feature that the branches between them test gives a digit of a number
//! below `M`, and each feature on the path to them adds `M` where its value leads elsewhere, which gives the group nothing.
//! `s` has at most [`GROUP_VALUES`] values, so a group is one look-up, and one bootstrap where it is computed under
//! encryption; four tests of different features are one group. A long path costs many values: its tests may become one
//! number of zero or one first, by a look-up of its own. What depends on one feature alone is a function of that feature's
//! steps, however many leaves there are, and added up over all trees.
//!
//! # Operators
//! `Contract` picks the level of each comparison's feature and takes its step off, `Requantise` makes zero or one of it;
//! `Contract` adds up each group's comparisons and puts every group at a place of its own in one table of all groups' leaves,
//! `Requantise` looks up; sums over groups are the scores. Trees are laid out in blocks, so that a matrix over all groups
//! and all comparisons is not needed; within a block a comparison that occurs twice is computed once.

mod assemble;
mod groups;
mod lower;
mod merge;
mod numbers;
mod quantise;
mod read;
mod set;

pub(super) use lower::{builder, ensembles, evaluate};
pub(super) use quantise::{Quantised, Tail, quantise};
pub(super) use read::{Read, is_trees};

use super::error::NodeReason;
use set::Set;

/// Trees whose leaves are added up.
#[derive(Debug, Clone)]
pub(super) struct Ensemble {
    pub(super) trees: Vec<Tree>,
    /// Scores that it gives.
    pub(super) outputs: usize,
    /// Added to the scores; one for each.
    pub(super) base: Vec<f64>,
    /// Whether values are rounded to single precision before they are compared.
    pub(super) single: bool,
}

/// Nodes of a tree, the root first and every node before its children.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    /// What a leaf adds to which scores.
    Leaf(Vec<(usize, f64)>),
    Branch {
        feature: usize,
        comparison: Comparison,
        yes: usize,
        no: usize,
    },
}

/// `x` compared with a number or with several.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Comparison {
    Below(f64),
    AtMost(f64),
    AtLeast(f64),
    Above(f64),
    Among(Vec<f64>),
    NotAmong(Vec<f64>),
}

impl Comparison {
    fn holds(&self, x: f64) -> bool {
        match self {
            Self::Below(t) => x < *t,
            Self::AtMost(t) => x <= *t,
            Self::AtLeast(t) => x >= *t,
            Self::Above(t) => x > *t,
            Self::Among(values) => values.contains(&x),
            Self::NotAmong(values) => !values.contains(&x),
        }
    }

    /// Raw values for which it holds.
    fn set(&self, single: bool) -> Set {
        let from = |t: f64| Set::from(set::least(t, false, single));
        let beyond = |t: f64| Set::from(set::least(t, true, single));
        let among = |values: &[f64]| {
            let one = |t: &f64| from(*t).and(&beyond(*t).not());
            values.iter().map(one).fold(Set::none(), |all, one| all.or(&one))
        };
        match self {
            Self::Below(t) => from(*t).not(),
            Self::AtMost(t) => beyond(*t).not(),
            Self::AtLeast(t) => from(*t),
            Self::Above(t) => beyond(*t),
            Self::Among(values) => among(values),
            Self::NotAmong(values) => among(values).not(),
        }
    }
}

impl Ensemble {
    /// Scores of one raw row, as the runtime computes them but in double precision.
    pub(super) fn scores(&self, row: &[f64]) -> Vec<f64> {
        let value = |feature: usize| {
            let x = row.get(feature).copied().unwrap_or(0.0);
            if self.single { f64::from(x as f32) } else { x }
        };
        let mut scores = self.base.clone();
        for tree in &self.trees {
            let mut at = 0;
            while let Some(Node::Branch { feature, comparison, yes, no }) = tree.nodes.get(at) {
                at = if comparison.holds(value(*feature)) { *yes } else { *no };
            }
            if let Some(Node::Leaf(values)) = tree.nodes.get(at) {
                for (output, value) in values {
                    if let Some(score) = scores.get_mut(*output) {
                        *score += value;
                    }
                }
            }
        }
        scores
    }

    /// Refuses a tree that asks for a feature that the rows do not have.
    pub(super) fn check_features(&self, width: usize) -> Result<(), NodeReason> {
        let asked = self.trees.iter().flat_map(|tree| &tree.nodes).filter_map(|node| match node {
            Node::Branch { feature, .. } => Some(*feature),
            Node::Leaf(_) => None,
        });
        match asked.max().filter(|feature| *feature >= width) {
            Some(feature) => Err(NodeReason::TreeFeature { feature, width }),
            None => Ok(()),
        }
    }
}

/// Most values that the sum of a group may take.
const GROUP_VALUES: usize = 16;
/// Longest way from a root to a leaf.
const DEPTH_MOST: usize = 128;
/// Most nodes of all trees of a file together.
const NODES_MOST: usize = 1 << 18;
