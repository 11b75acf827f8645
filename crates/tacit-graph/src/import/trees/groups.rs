//! Which leaves make a group (see *Groups* in [`super`]): the cheapest cover of each tree.
//!
//! A *chunk* is a part of a tree that hangs together: a branch and some of the branches below it. It covers the leaves that
//! hang on it; where it is left for a branch that is not in it, it gives nothing, and other chunks go on from there. The
//! conditions on the way from the root to a chunk, or from a branch above for which there is a number of zero or one already
//! (a *gate*), make the chunk's sum longer, see [`Chunk::range`]. For every branch and gate the cheapest way to cover what is
//! below is chosen among chunks that grow from it branch by branch, going on without one, and a gate of its own. Cost is the
//! number of look-ups that read more than one feature. A gate is a look-up that others wait for, and the sums it goes into are
//! of features and look-ups together, which costs more under encryption than it saves: unless asked for, there are gates
//! only where a way tests more features than a sum can count.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    GROUP_VALUES,
    set::{Pieces, Set, starts},
};

/// A tree without branches that never decide anything.
#[derive(Debug, Clone)]
pub(super) struct Pruned {
    pub(super) nodes: Vec<PrunedNode>,
}

#[derive(Debug, Clone)]
pub(super) struct PrunedNode {
    /// The branch above and whether this is what it leads to when its condition holds.
    parent: Option<(usize, bool)>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Which leaf of the ensemble.
    Leaf(usize),
    Branch {
        feature: usize,
        condition: Set,
        yes: usize,
        no: usize,
    },
}

/// A number that is one where conditions on a branch's way hold: where no part adds anything and the gate before is one.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    /// Zero or one for each feature on the way.
    pub(super) parts: Vec<(usize, Pieces<i32>)>,
    /// Which gate before.
    pub(super) before: Option<usize>,
}

/// Leaves decided by one sum.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// What each feature adds.
    pub(super) parts: Vec<(usize, Pieces<i32>)>,
    /// A gate, and what it adds when it is zero.
    pub(super) gate: Option<(usize, i32)>,
    /// Leaves of the ensemble that each value of the sum stands for.
    pub(super) leaves: Vec<Vec<usize>>,
}

/// Leaves decided by one feature.
#[derive(Debug, Clone)]
pub(super) struct Single {
    pub(super) feature: usize,
    pub(super) leaves: Pieces<Option<usize>>,
}

impl Single {
    /// The same with leaves numbered from `first` on.
    pub(super) fn moved(self, first: usize) -> Self {
        let starts: Vec<i64> = self.leaves.iter().map(|(start, _)| *start).collect();
        let leaves =
            Pieces::new(&starts, |at| self.leaves.at(at).copied().flatten().map(|leaf| leaf + first));
        Self { feature: self.feature, leaves }
    }
}

/// How a tree is computed.
#[derive(Debug, Clone, Default)]
pub(super) struct Cover {
    pub(super) gates: Vec<Gate>,
    pub(super) groups: Vec<Group>,
    pub(super) singles: Vec<Single>,
}

impl Pruned {
    /// Adds a node under a place that is there.
    pub(super) fn push(&mut self, parent: Option<(usize, bool)>, kind: Kind) -> usize {
        let index = self.nodes.len();
        if let Some((parent, is_yes)) = parent
            && let Some(Kind::Branch { yes, no, .. }) = self.nodes.get_mut(parent).map(|node| &mut node.kind)
        {
            *(if is_yes { yes } else { no }) = index;
        }
        self.nodes.push(PrunedNode { parent, kind });
        index
    }

    fn branch(&self, node: usize) -> Option<Branch<'_>> {
        match self.nodes.get(node).map(|node| &node.kind) {
            Some(Kind::Branch { feature, condition, yes, no }) => {
                Some(Branch { feature: *feature, condition, children: [*yes, *no] })
            }
            _ => None,
        }
    }

    fn leaf(&self, node: usize) -> Option<usize> {
        match self.nodes.get(node).map(|node| &node.kind) {
            Some(Kind::Leaf(leaf)) => Some(*leaf),
            _ => None,
        }
    }

    /// What each feature has to be on the way from `above` to `node`.
    fn way(&self, above: Option<usize>, node: usize) -> BTreeMap<usize, Set> {
        let mut way: BTreeMap<usize, Set> = BTreeMap::new();
        let mut at = node;
        while Some(at) != above
            && let Some((parent, is_yes)) = self.nodes.get(at).and_then(|node| node.parent)
        {
            if let Some(Branch { feature, condition, .. }) = self.branch(parent) {
                let condition = if is_yes { condition.clone() } else { condition.not() };
                let so_far = way.entry(feature).or_insert_with(|| Set::none().not());
                *so_far = so_far.and(&condition);
            }
            at = parent;
        }
        way
    }
}

/// A branch by its parts.
struct Branch<'a> {
    feature: usize,
    condition: &'a Set,
    children: [usize; 2],
}

/// Look-ups of more than one feature, then all.
type Cost = (u32, u32);

const NEVER: Cost = (u32::MAX / 2, u32::MAX / 2);

fn plus(a: Cost, b: Cost) -> Cost {
    (a.0.saturating_add(b.0).min(NEVER.0), a.1.saturating_add(b.1).min(NEVER.1))
}

/// What is done at a node.
#[derive(Debug, Clone)]
enum Choice {
    /// These branches are a chunk; a leaf alone is one of no branches.
    Chunk(Vec<usize>),
    /// Each child is covered for itself.
    Apart,
    /// A gate for what is below.
    Gate,
}

/// The search for the cheapest cover of one tree.
struct Search<'a> {
    tree: &'a Pruned,
    /// Scores that each leaf of the ensemble adds something to.
    outputs: &'a [Vec<usize>],
    gate_cost: u32,
    known: BTreeMap<(usize, Option<usize>), (Cost, Choice)>,
}

/// The cheapest cover found for a tree and what it costs; none for trees beyond all bounds. `outputs` are, for each leaf, the scores that it adds something
/// to; a gate costs as much as one look-up when `gates` are welcome, else more than anything that can do without.
pub(super) fn cover(tree: &Pruned, outputs: &[Vec<usize>], gates: bool) -> Option<(Cover, u32)> {
    let gate_cost = if gates { 1 } else { GATE_COST };
    let mut search = Search { tree, outputs, gate_cost, known: BTreeMap::new() };
    let cost = search.best(0, None);
    if cost >= NEVER {
        return None;
    }
    let mut cover = Cover::default();
    search.collect(0, None, None, &mut cover);
    Some((cover, cost.0))
}

impl Search<'_> {
    fn best(&mut self, node: usize, gate: Option<usize>) -> Cost {
        if let Some((cost, _)) = self.known.get(&(node, gate)) {
            return *cost;
        }
        let found = self.cheapest(node, gate);
        let cost = found.0;
        self.known.insert((node, gate), found);
        cost
    }

    fn cheapest(&mut self, node: usize, gate: Option<usize>) -> (Cost, Choice) {
        let Some(Branch { children: [yes, no], .. }) = self.tree.branch(node) else {
            return (self.cost(&Chunk::new(self.tree, node, gate, &[])), Choice::Chunk(Vec::new()));
        };
        let mut found = (NEVER, Choice::Apart);
        let mut offer = |cost: Cost, choice: Choice| {
            if cost < found.0 {
                found = (cost, choice);
            }
        };
        // Chunks grow from the node, smaller ones first.
        let mut seen = BTreeSet::new();
        let mut waiting = std::collections::VecDeque::from([self.closed(node, gate, vec![node])]);
        while let Some(members) = waiting.pop_front() {
            if !seen.insert(members.clone()) || seen.len() > CHUNKS_TRIED {
                continue;
            }
            let chunk = Chunk::new(self.tree, node, gate, &members);
            let own = self.cost(&chunk);
            if own >= NEVER {
                continue;
            }
            let beyond = self.beyond(&members);
            let rest = beyond.iter().fold((0, 0), |sum, next| plus(sum, self.best(*next, gate)));
            let cost = plus(own, rest);
            offer(cost, Choice::Chunk(members.clone()));
            if cost <= (0, 1) {
                // Nothing is cheaper.
                return found;
            }
            for next in beyond {
                let mut grown = members.clone();
                grown.push(next);
                waiting.push_back(self.closed(node, gate, grown));
            }
        }
        let apart = plus(self.best(yes, gate), self.best(no, gate));
        offer(apart, Choice::Apart);
        let way = self.tree.way(gate, node).len() + usize::from(gate.is_some());
        if gate != Some(node) && (2..GROUP_VALUES).contains(&way) {
            let cost = (self.gate_cost, 1);
            offer(plus(cost, self.best(node, Some(node))), Choice::Gate);
        }
        found
    }

    /// Branches that chunk members lead to outside the chunk, if there is anything below them.
    fn beyond(&self, members: &[usize]) -> Vec<usize> {
        let children = members.iter().filter_map(|member| self.tree.branch(*member)).flat_map(|b| b.children);
        children.filter(|child| !members.contains(child) && self.tree.branch(*child).is_some()).collect()
    }

    /// Adds branches that make the sum no longer: those with the condition of a member, and any of the only feature.
    fn closed(&self, node: usize, gate: Option<usize>, mut members: Vec<usize>) -> Vec<usize> {
        let way = self.tree.way(gate, node);
        loop {
            let known: Vec<(usize, Set)> = members
                .iter()
                .filter_map(|member| self.tree.branch(*member))
                .map(|branch| (branch.feature, branch.condition.clone()))
                .collect();
            let only = |feature: usize| {
                gate.is_none()
                    && known.iter().all(|(other, _)| *other == feature)
                    && way.keys().all(|other| *other == feature)
            };
            let next = self.beyond(&members).into_iter().find(|next| {
                self.tree.branch(*next).is_some_and(|Branch { feature, condition, .. }| {
                    only(feature)
                        || known
                            .iter()
                            .any(|(f, c)| *f == feature && (c == condition || *c == condition.not()))
                })
            });
            match next {
                Some(next) => members.push(next),
                None => break,
            }
        }
        members.sort_unstable();
        members
    }

    fn cost(&self, chunk: &Chunk<'_>) -> Cost {
        let mut outputs: Vec<usize> =
            chunk.leaves().filter_map(|leaf| self.outputs.get(leaf)).flatten().copied().collect();
        outputs.sort_unstable();
        outputs.dedup();
        let count = u32::try_from(outputs.len()).unwrap_or(u32::MAX);
        if count == 0 {
            (0, 0)
        } else if chunk.single().is_some() {
            (0, 1)
        } else if chunk.range() <= GROUP_VALUES {
            (count, count)
        } else {
            NEVER
        }
    }

    /// Writes down what was chosen; `made` is the number of the gate.
    fn collect(&self, node: usize, gate: Option<usize>, made: Option<usize>, cover: &mut Cover) {
        let Some((_, choice)) = self.known.get(&(node, gate)) else { return };
        match choice {
            Choice::Apart => {
                for child in self.tree.branch(node).map(|branch| branch.children).into_iter().flatten() {
                    self.collect(child, gate, made, cover);
                }
            }
            Choice::Gate => {
                let part = |(feature, set): (usize, Set)| {
                    let starts = starts([set.changes()]);
                    (feature, Pieces::new(&starts, |at| i32::from(!set.contains(at))))
                };
                let parts = self.tree.way(gate, node).into_iter().map(part).collect();
                cover.gates.push(Gate { parts, before: made });
                self.collect(node, Some(node), Some(cover.gates.len() - 1), cover);
            }
            Choice::Chunk(members) => {
                let chunk = Chunk::new(self.tree, node, gate, members);
                if self.cost(&chunk) != (0, 0) {
                    match chunk.single() {
                        Some(feature) => cover.singles.push(chunk.as_single(feature, self.outputs)),
                        None => cover.groups.push(chunk.as_group(made, self.outputs)),
                    }
                }
                for next in self.beyond(members) {
                    self.collect(next, gate, made, cover);
                }
            }
        }
    }
}

/// Part of a tree with what its sum is made of.
struct Chunk<'a> {
    tree: &'a Pruned,
    node: usize,
    members: &'a [usize],
    is_gated: bool,
    /// Features that members test, then those on the way.
    digits: Vec<Digit>,
}

/// What a feature adds to the sum.
struct Digit {
    feature: usize,
    on_way: bool,
    /// Which of the `count` outcomes of its tests together; none where the way leads elsewhere.
    outcomes: Pieces<Option<usize>>,
    count: usize,
    /// A value for each outcome.
    examples: Vec<i64>,
}

impl<'a> Chunk<'a> {
    fn new(tree: &'a Pruned, node: usize, gate: Option<usize>, members: &'a [usize]) -> Self {
        let (way, whole_way) = (tree.way(gate, node), tree.way(None, node));
        let mut tests: BTreeMap<usize, Vec<&Set>> = BTreeMap::new();
        for branch in members.iter().filter_map(|member| tree.branch(*member)) {
            tests.entry(branch.feature).or_default().push(branch.condition);
        }
        let mut features: Vec<usize> = tests.keys().chain(way.keys()).copied().collect();
        features.sort_by_key(|feature| (way.contains_key(feature), *feature));
        features.dedup();
        let digit = |feature: usize| {
            let tests = tests.get(&feature).map_or([].as_slice(), Vec::as_slice);
            Digit::new(feature, tests, way.get(&feature), whole_way.get(&feature))
        };
        let digits = features.into_iter().map(digit).collect();
        Self { tree, node, members, is_gated: gate.is_some(), digits }
    }

    /// Values of the sum: `M` for those inside the chunk, `M` more for each thing that can lead elsewhere. Digits of
    /// features on the way count no twice: where they lead elsewhere they add `M` and nothing else.
    fn range(&self) -> usize {
        let inside = |on_way: bool| {
            let counts = self.digits.iter().filter(|digit| digit.on_way == on_way).map(|digit| digit.count);
            counts.fold(1usize, usize::saturating_mul)
        };
        let elsewhere = self.digits.iter().filter(|digit| digit.on_way).count() + usize::from(self.is_gated);
        let all = inside(true).saturating_mul(inside(false));
        // With nothing on the way both factors are all there is.
        all.saturating_mul(elsewhere).saturating_add(inside(false))
    }

    /// The only feature that the chunk depends on.
    fn single(&self) -> Option<usize> {
        match self.digits.as_slice() {
            [digit] if !self.is_gated => Some(digit.feature),
            _ => None,
        }
    }

    /// Leaves that hang on the chunk.
    fn leaves(&self) -> impl Iterator<Item = usize> {
        let children = self.members.iter().filter_map(|member| self.tree.branch(*member));
        let alone = self.members.is_empty().then_some(self.node);
        children.flat_map(|branch| branch.children).chain(alone).filter_map(|node| self.tree.leaf(node))
    }

    /// The leaf that values of the features lead to, if it hangs on the chunk.
    fn walk(&self, value: impl Fn(usize) -> i64) -> Option<usize> {
        let mut at = self.node;
        while let Some(Branch { feature, condition, children: [yes, no] }) = self.tree.branch(at) {
            if !self.members.contains(&at) {
                return None;
            }
            at = if condition.contains(value(feature)) { yes } else { no };
        }
        self.tree.leaf(at)
    }

    fn as_single(&self, feature: usize, outputs: &[Vec<usize>]) -> Single {
        let leaves = self.digits.iter().find(|digit| digit.feature == feature).map(|digit| {
            let starts: Vec<i64> = digit.outcomes.iter().map(|(start, _)| *start).collect();
            Pieces::new(&starts, |at| {
                let outcome = digit.outcomes.at(at).copied().flatten()?;
                let example = digit.examples.get(outcome).copied()?;
                self.walk(|_| example).filter(|leaf| adds(outputs, *leaf))
            })
        });
        // A leaf alone has no digit only where nothing leads to it but everything: it is then worth the same everywhere.
        let whole = || Pieces::new(&[i64::MIN], |_| self.walk(|_| 0));
        Single { feature, leaves: leaves.unwrap_or_else(whole) }
    }

    fn as_group(&self, made: Option<usize>, outputs: &[Vec<usize>]) -> Group {
        let inside = self.digits.iter().map(|digit| digit.count).product::<usize>();
        let weight = |value: usize| i32::try_from(value).unwrap_or(i32::MAX);
        let mut unit = 1;
        let mut parts = Vec::new();
        let mut units = Vec::new();
        for digit in &self.digits {
            let starts: Vec<i64> = digit.outcomes.iter().map(|(start, _)| *start).collect();
            let part = Pieces::new(&starts, |at| match digit.outcomes.at(at).copied().flatten() {
                Some(outcome) => weight(outcome * unit),
                None => weight(inside),
            });
            parts.push((digit.feature, part));
            units.push(unit);
            unit *= digit.count;
        }
        parts.sort_by_key(|(feature, _)| *feature);
        let leaves = (0..self.range()).map(|sum| {
            if sum >= inside {
                return Vec::new();
            }
            let value = |feature: usize| {
                let place = self.digits.iter().position(|digit| digit.feature == feature);
                let digit = place.and_then(|place| self.digits.get(place).zip(units.get(place)));
                digit
                    .and_then(|(digit, unit)| digit.examples.get(sum / unit % digit.count))
                    .copied()
                    .unwrap_or(0)
            };
            self.walk(value).filter(|leaf| adds(outputs, *leaf)).into_iter().collect()
        });
        Group { parts, gate: made.map(|gate| (gate, weight(inside))), leaves: leaves.collect() }
    }
}

/// Whether a leaf adds anything to any score.
fn adds(outputs: &[Vec<usize>], leaf: usize) -> bool {
    outputs.get(leaf).is_some_and(|outputs| !outputs.is_empty())
}

impl Digit {
    /// The digit of a feature with some tests, `way` to the chunk from its gate or the root, and the `whole_way` from the
    /// root, beyond which nothing matters where there is a gate.
    fn new(feature: usize, tests: &[&Set], way: Option<&Set>, whole_way: Option<&Set>) -> Self {
        let all = Set::none().not();
        let (way_set, whole_way) = (way.unwrap_or(&all), whole_way.unwrap_or(&all));
        let sets = tests.iter().copied().chain([way_set, whole_way]);
        let starts = starts(sets.map(Set::changes));
        let mut kinds: Vec<Vec<bool>> = Vec::new();
        let mut examples = Vec::new();
        let mut outcomes: Vec<Option<usize>> = Vec::with_capacity(starts.len());
        for start in &starts {
            outcomes.push(if !way_set.contains(*start) {
                None
            } else if !whole_way.contains(*start) {
                // Never asked for: as the piece before, which makes fewer changes.
                outcomes.last().copied().flatten().or(Some(0))
            } else {
                let kind: Vec<bool> = tests.iter().map(|test| test.contains(*start)).collect();
                let place = kinds.iter().position(|known| *known == kind);
                Some(place.unwrap_or_else(|| {
                    kinds.push(kind);
                    examples.push(*start);
                    kinds.len() - 1
                }))
            });
        }
        let outcome = |at: i64| {
            let place = starts.partition_point(|start| *start <= at).saturating_sub(1);
            outcomes.get(place).copied().flatten()
        };
        let outcomes = Pieces::new(&starts, outcome);
        Self { feature, on_way: way.is_some(), outcomes, count: kinds.len().max(1), examples }
    }
}

/// What an unwelcome gate costs.
const GATE_COST: u32 = 1 << 12;
/// Chunks looked at for each branch and gate.
const CHUNKS_TRIED: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    /// A full tree; `test` gives the feature and the step of the branch at a depth and place.
    fn full(depth: usize, test: &dyn Fn(usize, usize) -> (usize, i64)) -> (Pruned, usize) {
        let mut tree = Pruned { nodes: Vec::new() };
        let (mut waiting, mut leaves) = (vec![(0, 0, None)], 0);
        while let Some((level, place, parent)) = waiting.pop() {
            if level == depth {
                tree.push(parent, Kind::Leaf(leaves));
                leaves += 1;
                continue;
            }
            let (feature, step) = test(level, place);
            let condition = Set::from(Some(step));
            let node = tree.push(parent, Kind::Branch { feature, condition, yes: 0, no: 0 });
            waiting.push((level + 1, 2 * place, Some((node, false))));
            waiting.push((level + 1, 2 * place + 1, Some((node, true))));
        }
        (tree, leaves)
    }

    fn look_ups(
        depth: usize,
        gates: bool,
        test: &dyn Fn(usize, usize) -> (usize, i64),
    ) -> (u32, usize, usize) {
        let (tree, leaves) = full(depth, test);
        let (cover, cost) = cover(&tree, &vec![vec![0]; leaves], gates).unwrap();
        assert!(cover.groups.iter().all(|group| group.leaves.len() <= GROUP_VALUES));
        (cost, cover.groups.len(), cover.gates.len())
    }

    /// Every branch another feature: three comparisons are a group, seven are two, and from then on it is two leaves each.
    #[test]
    fn trees_of_many_features() {
        let other = |level: usize, place: usize| ((1 << level) + place, 0);
        assert_eq!(look_ups(1, false, &other), (0, 0, 0));
        assert_eq!(look_ups(2, false, &other), (1, 1, 0));
        assert_eq!(look_ups(3, false, &other), (2, 2, 0));
        assert_eq!(look_ups(4, false, &other), (8, 8, 0));
        assert_eq!(look_ups(6, false, &other), (32, 32, 0));
        let (cost, groups, gates) = look_ups(6, true, &other);
        assert!(cost as usize == groups + gates && cost <= 32, "{cost}");
    }

    /// Every level one comparison: four are a group.
    #[test]
    fn oblivious_trees() {
        let same = |level: usize, _: usize| (level, 0);
        assert_eq!(look_ups(4, false, &same), (1, 1, 0));
        assert_eq!(look_ups(5, false, &same), (8, 8, 0));
        assert_eq!(look_ups(6, false, &same), (32, 32, 0));
        assert_eq!(look_ups(6, true, &same), (16, 8, 8));
    }

    /// One feature alone is a function of it, however deep.
    #[test]
    fn trees_of_one_feature() {
        let halves = |level: usize, place: usize| (0, (2 * place as i64 + 1) << (10 - level));
        assert_eq!(look_ups(6, false, &halves), (0, 0, 0));
        // Two features, whose levels below one test make three outcomes each.
        let two = |level: usize, place: usize| (level % 2, (2 * place as i64 + 1) << (10 - level));
        assert!(look_ups(3, false, &two).0 <= 2);
    }

    /// Leaves that add nothing need nothing.
    #[test]
    fn leaves_that_add_nothing() {
        let (tree, leaves) = full(4, &|level, place| ((1 << level) + place, 0));
        let mut outputs = vec![Vec::new(); leaves];
        assert_eq!(cover(&tree, &outputs, false).unwrap().1, 0);
        outputs[3] = vec![0, 1];
        assert_eq!(cover(&tree, &outputs, false).unwrap().1, 2);
    }
}
