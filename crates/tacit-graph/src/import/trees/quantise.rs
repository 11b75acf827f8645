//! From trees to a model.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{
    Ensemble, Node, Set, Tree,
    assemble::{Plan, assemble},
    groups::{self, Cover, Gate, Group, Kind, Pruned, Single},
    merge::{merged, scores},
    numbers::{Amounts, Leaves},
};
use crate::{
    graph::{Feature, Graph, Weights},
    import::{ImportOptions, error::NodeReason, program::Program, run},
};

/// What follows the trees: `matrix * scores + add`.
#[derive(Debug, Clone)]
pub(in crate::import) struct Tail {
    /// One row for each output.
    matrix: Vec<Vec<f64>>,
    add: Vec<f64>,
}

impl Tail {
    /// The linear function that a program is, if it is one.
    pub(in crate::import) fn new(program: &Program) -> Option<Self> {
        if !program.is_linear() {
            return None;
        }
        let count = program.cells(0);
        let at =
            |one: Option<usize>| (0..count).map(|score| f64::from(u8::from(Some(score) == one))).collect();
        let rows: Vec<Vec<f64>> = core::iter::once(None).chain((0..count).map(Some)).map(at).collect();
        let made = run::outputs(program, &rows);
        let (add, columns) = made.split_first()?;
        let row = |output: usize| {
            let column = |column: &Vec<f64>| Some(column.get(output)? - add.get(output)?);
            columns.iter().map(column).collect::<Option<Vec<f64>>>()
        };
        Some(Self { matrix: (0..add.len()).map(row).collect::<Option<_>>()?, add: add.clone() })
    }

    /// What numbers added to scores from `first` on add to the outputs.
    fn of(&self, scores: &[(usize, f64)], first: usize) -> Amounts {
        let output = |(output, row): (usize, &Vec<f64>)| {
            let term = |(score, value): &(usize, f64)| row.get(first + score).map_or(0.0, |w| w * value);
            (output, scores.iter().map(term).sum::<f64>())
        };
        self.matrix.iter().enumerate().map(output).filter(|(_, value)| *value != 0.0).collect()
    }
}

/// A model but for its decoder.
#[derive(Debug)]
pub(in crate::import) struct Quantised {
    pub(in crate::import) graph: Graph,
    pub(in crate::import) weights: Weights,
    pub(in crate::import) fraction_bits: i8,
}

/// The trees of `ensembles`, whose scores lie end to end before `tail`, for rows of `width` features.
pub(in crate::import) fn quantise(
    ensembles: &[Ensemble],
    tail: &Tail,
    graph: Graph,
    options: &ImportOptions,
) -> Result<Quantised, NodeReason> {
    let outputs = tail.add.len();
    let mut trees: Vec<(&Tree, usize, bool)> = Vec::new();
    let mut leaves = Leaves { base: tail.add.clone(), ..Leaves::default() };
    let mut first = 0;
    for ensemble in ensembles {
        trees.extend(ensemble.trees.iter().map(|tree| (tree, first, ensemble.single)));
        let base: Amounts = ensemble.base.iter().copied().enumerate().collect();
        for (output, value) in tail.of(&base, first) {
            if let Some(base) = leaves.base.get_mut(output) {
                *base += value;
            }
        }
        first += ensemble.outputs;
    }
    let covered: Vec<Covered> = trees
        .par_iter()
        .map(|(tree, first, single)| Covered::new(tree, *single, tail, *first, options.gates))
        .collect::<Result<_, _>>()?;
    let (mut gates, mut groups, mut singles) = (Vec::new(), Vec::new(), Vec::new());
    let mut unit = 0;
    for covered in covered {
        let (leaf, gate) = (leaves.values.len(), gates.len());
        let Cover { gates: own, groups: grouped, singles: alone } = covered.cover;
        // Groups stay with the gates of their tree; without any, each may go its own way.
        let apart = usize::from(own.is_empty());
        gates.extend(
            own.into_iter().map(|one: Gate| (unit, Gate { before: one.before.map(|b| b + gate), ..one })),
        );
        let count = grouped.len();
        groups.extend(grouped.into_iter().enumerate().map(|(place, group): (usize, Group)| {
            let leaves =
                group.leaves.iter().map(|list| list.iter().map(|one| one + leaf).collect()).collect();
            let gate = group.gate.map(|(one, add)| (one + gate, add));
            (unit + apart * place, Group { leaves, gate, ..group })
        }));
        unit += count + 1;
        singles.extend(alone.into_iter().map(|single: Single| single.moved(leaf)));
        leaves.usual.extend(core::iter::repeat_n(covered.usual.clone(), covered.leaves.len()));
        leaves.values.extend(covered.leaves);
        leaves.trees.push(covered.usual);
    }
    let outputs_of = leaves.outputs();
    let groups = merged(groups, &outputs_of);
    let groups = groups.into_iter().map(|(unit, group)| (unit, scores(&group, &outputs_of), group)).collect();
    let leaf_bits_max = options.leaf_bits_max;
    let plan = Plan { gates, groups, singles, leaves, outputs, leaf_bits_max };
    let (nodes, layers, tables, features, bits, fraction_bits) = assemble(&plan, &graph)?;
    let features = names(&graph.features, features);
    let graph = Graph { features, input_bits: bits, nodes, tables, ..graph };
    Ok(Quantised { graph, weights: Weights { layers }, fraction_bits })
}

/// Encoders with these steps, named as before.
fn names(named: &[Feature], steps: Vec<Vec<i64>>) -> Vec<Feature> {
    let one = |(feature, steps): (&Feature, Vec<i64>)| Feature {
        name: feature.name.clone(),
        offset: 0,
        multiplier: 0,
        shift: 0,
        steps,
    };
    named.iter().zip(steps).map(one).collect()
}

/// A tree with its cover; leaves are numbered within it.
struct Covered {
    cover: Cover,
    leaves: Vec<Amounts>,
    usual: Amounts,
}

impl Covered {
    fn new(tree: &Tree, single: bool, tail: &Tail, first: usize, gates: bool) -> Result<Self, NodeReason> {
        let (pruned, leaves) = pruned(tree, single, tail, first);
        // Leaves that add nothing need no look-up, so the commonest value goes into the base, unless that costs more.
        let mut counts: Vec<(usize, &Amounts)> = Vec::new();
        for leaf in &leaves {
            let tried = counts.len();
            match counts.iter_mut().find(|(_, known)| *known == leaf) {
                Some((count, _)) => *count += 1,
                None if tried < USUAL_TRIED => counts.push((1, leaf)),
                None => {}
            }
        }
        let most = counts.iter().map(|(count, _)| *count).max().unwrap_or(0);
        let commonest = counts.iter().find(|(count, _)| *count == most).map(|(_, leaf)| (*leaf).clone());
        let candidates = core::iter::once(Vec::new()).chain(commonest.filter(|leaf| !leaf.is_empty()));
        let covers = candidates.filter_map(|usual| {
            let usuals = vec![usual.clone(); leaves.len()];
            let outputs = Leaves { values: leaves.clone(), usual: usuals, ..Leaves::default() }.outputs();
            let (cover, cost) = groups::cover(&pruned, &outputs, gates)?;
            Some((cost, cover, usual))
        });
        let best = covers.min_by_key(|(cost, cover, _)| (*cost, cover.singles.len()));
        let (_, cover, usual) = best.ok_or(NodeReason::TooLarge)?;
        Ok(Self { cover, leaves, usual })
    }
}

/// The tree without branches that never decide, and what its leaves add to the outputs.
fn pruned(tree: &Tree, single: bool, tail: &Tail, first: usize) -> (Pruned, Vec<Amounts>) {
    let same = sames(tree);
    let mut made = Pruned { nodes: Vec::new() };
    let mut leaves = Vec::new();
    let mut waiting = vec![(0usize, None::<(usize, bool)>, BTreeMap::<usize, Set>::new())];
    while let Some((mut at, place, way)) = waiting.pop() {
        loop {
            if let Some(leaf) = same.get(at).copied().flatten() {
                let values = match tree.nodes.get(leaf) {
                    Some(Node::Leaf(values)) => tail.of(values, first),
                    _ => Vec::new(),
                };
                made.push(place, Kind::Leaf(leaves.len()));
                leaves.push(values);
                break;
            }
            let Some(Node::Branch { feature, comparison, yes, no }) = tree.nodes.get(at) else { break };
            let condition = comparison.set(single);
            let so_far = way.get(feature).cloned().unwrap_or_else(|| Set::none().not());
            let (inside, outside) = (so_far.and(&condition), so_far.and(&condition.not()));
            if inside.is_empty() {
                at = *no;
            } else if outside.is_empty() {
                at = *yes;
            } else {
                let index = made.push(place, Kind::Branch { feature: *feature, condition, yes: 0, no: 0 });
                for (child, is_yes, set) in [(*no, false, outside), (*yes, true, inside)] {
                    let mut way = way.clone();
                    way.insert(*feature, set);
                    waiting.push((child, Some((index, is_yes)), way));
                }
                break;
            }
        }
    }
    (made, leaves)
}

/// For each node, a leaf that everything below it is worth the same as, if that is so.
fn sames(tree: &Tree) -> Vec<Option<usize>> {
    let mut made = vec![None; tree.nodes.len()];
    // Children come after their parents.
    for (index, node) in tree.nodes.iter().enumerate().rev() {
        let same = match node {
            Node::Leaf(_) => Some(index),
            Node::Branch { yes, no, .. } => {
                let leaf = |child: usize| made.get(child).copied().flatten();
                let values = |leaf: usize| match tree.nodes.get(leaf) {
                    Some(Node::Leaf(values)) => Some(values),
                    _ => None,
                };
                leaf(*yes).zip(leaf(*no)).filter(|(a, b)| values(*a) == values(*b)).map(|(a, _)| a)
            }
        };
        if let Some(slot) = made.get_mut(index) {
            *slot = same;
        }
    }
    made
}

/// Different leaves among which the commonest is looked for.
const USUAL_TRIED: usize = 64;
