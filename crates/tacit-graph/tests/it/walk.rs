//! Two traces of one input, compared by somebody who has neither weights nor a run: whoever says what does not follow is found, and nobody else.

use proptest::prelude::*;
use tacit_graph::{
    Model, Trace, execute, random_inputs, random_model, reference, synthetic_mlp,
    trace::{
        Conviction, Convictions, EMPTY, Hash, Kind, Node, Openings, Question, Side, TraceTree, Tree, Walk,
        WalkError, WeightsTree,
    },
};

use crate::trace::{alter, run};

/// A tensor, a place in it, by how much it is altered, and whether what follows is computed anew.
type Lie = (usize, usize, i32, bool);

fn lie(model: &Model, honest: &Trace, lies: &[Lie]) -> Trace {
    let mut lied = honest.clone();
    for (node, at, by, consistent) in lies {
        let node = node % model.graph().nodes.len();
        alter(&mut lied, node + 1, at % honest.tensors[node + 1].len(), *by);
        if *consistent {
            reference::resume(model, &mut lied, node + 1).unwrap();
        }
    }
    lied
}

fn lies() -> impl Strategy<Value = Vec<Lie>> {
    prop::collection::vec((any::<usize>(), any::<usize>(), 1i32..128, any::<bool>()), 0..4)
}

fn tree<'t>(model: &Model, trace: &'t Trace) -> TraceTree<'t> {
    TraceTree::new(model.shapes(), trace, 0).unwrap()
}

/// Down to the leaf.
fn walk_down(model: &Model, trees: [&Tree; 2]) -> Walk {
    let mut walk = Walk::new(model.shapes(), trees.map(Tree::top)).unwrap();
    while walk.node().level > 0 {
        let at = walk.node();
        let [first, second] = trees.map(|tree| tree.step(at));
        walk.check(Side::First, &first).unwrap();
        walk.check(Side::Second, &second).unwrap();
        let chosen = walk.step([&first, &second]).unwrap();
        assert_eq!(walk.node(), tacit_graph::trace::step(trees[0].leaves(), at)[usize::from(chosen)]);
    }
    walk
}

/// As the ledger does it.
fn holds(model: &Model, root: &Hash, weights: &Hash, conviction: &Conviction) -> bool {
    let question = Question::new(model.graph(), conviction.node, conviction.element).unwrap();
    let opened = question.open(conviction).unwrap();
    opened.trace_root() == root
        && opened.weights_root().is_none_or(|root| root == weights)
        && opened.judge().is_ok()
}

/// Compares two traces to the end; what convicts whom, the same whoever of them opens.
fn compare(model: &Model, traces: [&Trace; 2]) -> Convictions {
    let [first, second] = traces.map(|trace| tree(model, trace));
    let weights = WeightsTree::new(model);
    let weights_root = weights.tree().root();
    let walk = walk_down(model, [first.tree(), second.tree()]);
    let leaf = walk.node().index;
    let leftmost = (0..first.tree().leaves()).find(|leaf| first.tile(*leaf) != second.tile(*leaf));
    assert_eq!(Some(leaf), leftmost);
    let parting = walk.part(model.graph(), [&first.tile(leaf), &second.tile(leaf)]).unwrap();
    assert_eq!(parting.malformed(), None);
    let question = Question::new(model.graph(), parting.node(), parting.element()).unwrap();
    let convictions = parting.judge(&question.openings(&first, &weights), &weights_root).unwrap();
    let others = parting.judge(&question.openings(&second, &weights), &weights_root).unwrap();
    assert_eq!(convictions, others);

    // What follows from what both say up to there.
    let (node, element) = (parting.node() as usize, parting.element() as usize);
    let mut follows = traces[0].clone();
    reference::resume(model, &mut follows, node).unwrap();
    for ((trace, own), shown) in traces.iter().zip([&first, &second]).zip(&convictions) {
        let right = trace.tensors[node + 1].get(element) == follows.tensors[node + 1].get(element);
        assert_eq!(shown.is_none(), right);
        if let Some(shown) = shown {
            assert!(holds(model, &own.tree().root(), &weights_root, shown));
        }
    }
    assert!(convictions.iter().any(Option::is_some));
    convictions
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever two liars alter, they part at the leftmost difference, and whoever's value does not follow there is convicted.
    #[test]
    fn of_two_liars_whoever_is_wrong_where_they_part_is_convicted(seed in any::<u64>(), one in lies(), other in lies()) {
        let model = random_model(seed).unwrap();
        let honest = run(&model, seed);
        let traces = [lie(&model, &honest, &one), lie(&model, &honest, &other)];
        prop_assume!(traces[0] != traces[1]);
        compare(&model, [&traces[0], &traces[1]]);
    }

    /// Against an honest run the liar is convicted, and the honest one never, in either place.
    #[test]
    fn of_a_liar_and_an_honest_one_the_liar_is_convicted(seed in any::<u64>(), lies in lies()) {
        let model = random_model(seed).unwrap();
        let honest = run(&model, seed);
        let lied = lie(&model, &honest, &lies);
        prop_assume!(lied != honest);
        prop_assert!(matches!(compare(&model, [&lied, &honest]), [Some(_), None]));
        prop_assert!(matches!(compare(&model, [&honest, &lied]), [None, Some(_)]));
    }

    /// An opening with anything bent is refused, or says the same.
    #[test]
    fn a_bent_opening_convicts_nobody_else(seed in any::<u64>(), lies in lies(), at in any::<usize>(), bit in 0u8..8) {
        let model = random_model(seed).unwrap();
        let honest = run(&model, seed);
        let lied = lie(&model, &honest, &lies);
        prop_assume!(lied != honest);
        let [first, second] = [&lied, &honest].map(|trace| tree(&model, trace));
        let weights = WeightsTree::new(&model);
        let root = weights.tree().root();
        let walk = walk_down(&model, [first.tree(), second.tree()]);
        let leaf = walk.node().index;
        let parting = walk.part(model.graph(), [&first.tile(leaf), &second.tile(leaf)]).unwrap();
        let question = Question::new(model.graph(), parting.node(), parting.element()).unwrap();
        let opened = question.openings(&second, &weights);
        let right = parting.judge(&opened, &root).unwrap();
        let bend = |opened: &Openings, part: usize| {
            let mut bent = opened.clone();
            let flip = |bytes: &mut [u8]| if bytes.is_empty() { false } else {
                bytes[at % bytes.len()] ^= 1 << bit;
                true
            };
            let flip_hash = |hashes: &mut Vec<Hash>| if hashes.is_empty() { false } else {
                let place = at % hashes.len();
                hashes[place][at % 32] ^= 1 << bit;
                true
            };
            let changed = match part {
                0 => flip(&mut bent.trace.tiles),
                1 => flip(&mut bent.weights.tiles),
                2 => flip_hash(&mut bent.weights.siblings),
                3 => flip_hash(&mut bent.trace.siblings),
                4 => bent.trace.siblings.pop().is_some(),
                5 => bent.trace.tiles.pop().is_some(),
                6 => bent.weights.tiles.pop().is_some(),
                _ => { bent.weights.siblings.push(EMPTY); true }
            };
            changed.then_some(bent)
        };
        for part in 0..8 {
            let Some(bent) = bend(&opened, part) else { continue };
            match parting.judge(&bent, &root) {
                Err(_) => {}
                // A hash right of the leaf is known of each side, whatever is said.
                Ok(said) => prop_assert!(part == 3 && said == right, "part {}", part),
            }
        }
        if !opened.weights.tiles.is_empty() {
            prop_assert_eq!(parting.judge(&opened, &EMPTY), Err(WalkError::OtherWeights));
        }
    }
}

#[test]
fn nothing_is_believed_that_is_not_in_the_committed_tree() {
    let model = synthetic_mlp(&[64, 640, 640, 10], 1).unwrap();
    let honest = run(&model, 1);
    let lied = lie(&model, &honest, &[(1, 7, 1, true)]);
    let [first, second] = [&lied, &honest].map(|trace| tree(&model, trace));
    assert!(Walk::new(model.shapes(), [first.tree().top(); 2]).is_none());
    let mut walk = Walk::new(model.shapes(), [first.tree().top(), second.tree().top()]).unwrap();
    let (own, others) = (first.tree().step(walk.node()), second.tree().step(walk.node()));
    let longer = [own.as_slice(), &[EMPTY]].concat();
    for wrong in [&others[..], &own[1..], &[], &longer] {
        assert_eq!(walk.check(Side::First, wrong), Err(WalkError::NotUnder));
        assert_eq!(walk.step([wrong, &others]), Err(WalkError::NotUnder));
    }
    let level = walk.node().level;
    assert_eq!(walk.check_tile(Side::First, &[]), Err(WalkError::Level { level }));
    while walk.node().level > 0 {
        walk.step([&first.tree().step(walk.node()), &second.tree().step(walk.node())]).unwrap();
    }
    assert_eq!(walk.check(Side::First, &own), Err(WalkError::Level { level: 0 }));
    let leaf = walk.node().index;
    let tiles = [first.tile(leaf), second.tile(leaf)];
    for wrong in [&tiles[1][..], &tiles[0][1..], &[]] {
        assert_eq!(walk.check_tile(Side::First, wrong), Err(WalkError::NotTheTile));
        assert!(walk.part(model.graph(), [wrong, &tiles[1]]).is_err());
    }
}

/// A tile of another length is false as it is, on either side or on both, and takes no opening.
#[test]
fn a_tile_of_another_length_convicts() {
    let model = random_model(3).unwrap();
    let honest = run(&model, 3);
    let own = tree(&model, &honest);
    let weights = WeightsTree::new(&model);
    let leaf = own.layout().tiles_of(1).start;
    let bent = |tile: &[u8]| {
        let hashes = (0..own.tree().leaves()).map(|index| own.tree().hash(Node { level: 0, index }));
        let mut hashes: Vec<Hash> = hashes.collect();
        hashes[leaf as usize] = Kind::Trace.leaf(leaf, tile);
        Tree::new(Kind::Trace, hashes)
    };
    let tile = own.tile(leaf);
    let (short, long) = (tile[1..].to_vec(), [tile.as_slice(), &[0]].concat());
    for (tiles, expected) in
        [([&short, &tile], [true, false]), ([&tile, &long], [false, true]), ([&short, &long], [true, true])]
    {
        let trees = tiles.map(|tile| bent(tile));
        let walk = walk_down(&model, [&trees[0], &trees[1]]);
        let parting = walk.part(model.graph(), tiles.map(Vec::as_slice)).unwrap();
        let convictions = parting.malformed().unwrap();
        assert_eq!(convictions.each_ref().map(Option::is_some), expected);
        assert_eq!(parting.judge(&Openings::default(), &EMPTY), Ok(convictions.clone()));
        for (conviction, tree) in convictions.iter().zip(&trees) {
            assert!(conviction.as_ref().is_none_or(|conviction| {
                holds(&model, &tree.root(), &weights.tree().root(), conviction)
            }));
        }
    }
}

#[test]
fn traces_of_different_inputs_are_not_compared() {
    let model = random_model(7).unwrap();
    let other = execute(&model, &random_inputs(&model, 1, 8), 1).unwrap();
    let trace = run(&model, 7);
    let [first, second] = [&trace, &other].map(|trace| tree(&model, trace));
    let walk = walk_down(&model, [first.tree(), second.tree()]);
    let leaf = walk.node().index;
    let refused = walk.part(model.graph(), [&first.tile(leaf), &second.tile(leaf)]);
    assert_eq!(refused.err(), Some(WalkError::Input));
    assert_eq!(Side::First.other(), Side::Second);
    assert_eq!(Side::Second.other(), Side::First);
}
