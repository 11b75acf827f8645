//! Two groups in one look-up, where their sums together have few enough values.

use std::collections::BTreeMap;

use super::{
    GROUP_VALUES,
    groups::Group,
    set::{Pieces, starts},
};

/// Joins groups without gates that add to a common score, first come first served. `outputs` are the scores that each
/// leaf adds something to; beside each group is its unit, and it goes to that of the first.
pub(super) fn merged(groups: Vec<(usize, Group)>, outputs: &[Vec<usize>]) -> Vec<(usize, Group)> {
    let mut made: Vec<(usize, Group, Vec<usize>)> = Vec::new();
    let mut left = PAIRS_TRIED;
    for (unit, group) in groups {
        let own = scores(&group, outputs);
        let mut rest = Some(group);
        for (_, other, theirs) in &mut made {
            let Some(group) = rest.as_ref().filter(|_| left > 0) else { break };
            left -= 1;
            if own.iter().any(|output| theirs.contains(output))
                && let Some(both) = joined(other, group)
            {
                *other = both;
                *theirs = scores(other, outputs);
                rest = None;
            }
        }
        if let Some(group) = rest {
            made.push((unit, group, own));
        }
    }
    made.into_iter().map(|(unit, group, _)| (unit, group)).collect()
}

/// Scores that a group adds something to.
pub(super) fn scores(group: &Group, outputs: &[Vec<usize>]) -> Vec<usize> {
    let leaves = group.leaves.iter().flatten();
    let mut scores: Vec<usize> = leaves.filter_map(|leaf| outputs.get(*leaf)).flatten().copied().collect();
    scores.sort_unstable();
    scores.dedup();
    scores
}

fn joined(a: &Group, b: &Group) -> Option<Group> {
    if a.gate.is_some() || b.gate.is_some() {
        return None;
    }
    if a.leaves.len() * b.leaves.len() <= GROUP_VALUES {
        return Some(stacked(a, b));
    }
    let common = |(feature, _): &(usize, Pieces<i32>)| b.parts.iter().any(|(other, _)| other == feature);
    if a.parts.iter().any(common) { together(a, b) } else { None }
}

/// The values of one sum for each value of the other.
fn stacked(a: &Group, b: &Group) -> Group {
    let unit = i32::try_from(a.leaves.len()).unwrap_or(i32::MAX);
    let parts = pairs(a, b).into_iter().map(|(feature, pairs)| {
        let starts: Vec<i64> = pairs.iter().map(|(start, _)| *start).collect();
        let value = |(of_a, of_b): &(i32, i32)| of_a + unit * of_b;
        (feature, Pieces::new(&starts, |at| pairs.at(at).map_or(0, value)))
    });
    let leaves = b.leaves.iter().flat_map(|of_b| a.leaves.iter().map(move |of_a| [&of_a[..], of_b].concat()));
    Group { parts: parts.collect(), gate: None, leaves: leaves.collect() }
}

/// What each feature adds to either sum.
fn pairs(a: &Group, b: &Group) -> BTreeMap<usize, Pieces<(i32, i32)>> {
    let part = |group: &Group, feature: usize| {
        group.parts.iter().find(|(other, _)| *other == feature).map(|(_, pieces)| pieces.clone())
    };
    let features = a.parts.iter().chain(&b.parts).map(|(feature, _)| *feature);
    let one = |feature: usize| {
        let (of_a, of_b) = (part(a, feature), part(b, feature));
        let changes: Vec<i64> = of_a.iter().chain(&of_b).flat_map(Pieces::changes).collect();
        let value = |pieces: &Option<Pieces<i32>>, at: i64| {
            pieces.as_ref().and_then(|pieces| pieces.at(at)).copied().unwrap_or(0)
        };
        (feature, Pieces::new(&starts([changes.as_slice()]), |at| (value(&of_a, at), value(&of_b, at))))
    };
    features.map(one).collect()
}

/// A digit for each feature that says what it adds to both, if there are few enough.
fn together(a: &Group, b: &Group) -> Option<Group> {
    let mut digits = Vec::new();
    let mut count = 1usize;
    for (feature, pairs) in pairs(a, b) {
        let mut kinds: Vec<(i32, i32)> = Vec::new();
        for (_, pair) in pairs.iter() {
            if !kinds.contains(pair) {
                kinds.push(*pair);
            }
        }
        count = count.saturating_mul(kinds.len());
        if count > GROUP_VALUES {
            return None;
        }
        digits.push((feature, pairs, kinds));
    }
    let mut parts = Vec::new();
    let mut unit = 1usize;
    let mut sums = vec![(0i32, 0i32)];
    for (feature, pairs, kinds) in &digits {
        let starts: Vec<i64> = pairs.iter().map(|(start, _)| *start).collect();
        let digit = |at: i64| {
            let pair = pairs.at(at)?;
            i32::try_from(kinds.iter().position(|kind| kind == pair)? * unit).ok()
        };
        parts.push((*feature, Pieces::new(&starts, |at| digit(at).unwrap_or(0))));
        sums = kinds.iter().flat_map(|(x, y)| sums.iter().map(move |(a, b)| (a + x, b + y))).collect();
        unit *= kinds.len();
    }
    let leaf = |group: &Group, sum: i32| {
        usize::try_from(sum).ok().and_then(|sum| group.leaves.get(sum)).cloned().unwrap_or_default()
    };
    let leaves = sums.into_iter().map(|(of_a, of_b)| [leaf(a, of_a), leaf(b, of_b)].concat());
    Some(Group { parts, gate: None, leaves: leaves.collect() })
}

/// Most pairs that are looked at.
const PAIRS_TRIED: usize = 1 << 20;
