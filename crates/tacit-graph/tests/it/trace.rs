//! Trees of runs, what opens them, and disputes about them.

use proptest::prelude::*;
use tacit_graph::{
    Decoder, Feature, Graph, Group, Model, Operator, SyntheticNetwork, Tensor, TensorId, Term, Trace, View,
    execute, random_inputs, random_model, reference, synthetic_mlp, synthetic_network,
    trace::{
        Challenger, ChallengerError, Conviction, ConvictionError, EMPTY, FacesError, Hash, Kind, Layout,
        MAX_CONVICTION_BYTES, MAX_READS, MAX_TRACE_LEAVES, Node, NotAuditable, Opening, Question,
        TILE_BYTES_MAX, TraceTree, Tree, WeightsTree, check_auditable, check_faces, depth, fold, fold_step,
        step, width,
    },
};

pub(crate) fn run(model: &Model, seed: u64) -> Trace {
    execute(model, &random_inputs(model, 1, seed), 1).unwrap()
}

/// Adds to one element, staying within what its tensor can hold.
pub(crate) fn alter(trace: &mut Trace, tensor: usize, at: usize, by: i32) {
    match &mut trace.tensors[tensor] {
        Tensor::I8(values) => values[at] = values[at].wrapping_add(by as i8),
        Tensor::I16(values) => values[at] = values[at].wrapping_add(by as i16),
        Tensor::I32(values) => values[at] = values[at].wrapping_add(by),
    }
}

/// What shows `element` of `node` wrong in a trace, if it is.
fn conviction(
    question: &Question<'_>,
    node: u32,
    element: u32,
    trace: &TraceTree<'_>,
    weights: &WeightsTree<'_>,
) -> Conviction {
    let (read, read_weights) = (question.trace_leaves(), question.weight_leaves());
    let all = [read, &[question.leaf()]].concat();
    Conviction {
        node,
        element,
        tile: trace.tile(question.leaf()),
        trace: Opening {
            tiles: read.iter().flat_map(|leaf| trace.tile(*leaf)).collect(),
            siblings: trace.tree().open(&all),
        },
        weights: Opening {
            tiles: read_weights.iter().flat_map(|leaf| weights.tile(*leaf)).collect(),
            siblings: weights.tree().open(read_weights),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Each element of each node, computed alone, is what the executor made; another value in its place is not.
    #[test]
    fn each_element_alone_is_the_executors(seed in any::<u64>(), by in 1i32..256) {
        let model = random_model(seed).unwrap();
        prop_assert_eq!(check_auditable(model.graph()), Ok(()));
        let trace = run(&model, seed);
        let (tree, weights) = (TraceTree::new(model.shapes(), &trace, 0).unwrap(), WeightsTree::new(&model));
        for (node, tensor) in trace.tensors.iter().skip(1).enumerate() {
            for element in 0..tensor.len() {
                let question = Question::new(model.graph(), node as u32, element as u32).unwrap();
                let honest = conviction(&question, node as u32, element as u32, &tree, &weights);
                let opened = question.open(&honest).unwrap();
                prop_assert_eq!(opened.trace_root(), &tree.tree().root());
                if let Some(root) = opened.weights_root() {
                    prop_assert_eq!(root, &weights.tree().root());
                }
                prop_assert_eq!(opened.judge(), Err(ConvictionError::Consistent));
                if element % 7 != 0 {
                    continue;
                }
                let mut altered = trace.clone();
                alter(&mut altered, node + 1, element, if by % 256 == 0 { 1 } else { by });
                if altered == trace {
                    continue;
                }
                let wrong = TraceTree::new(model.shapes(), &altered, 0).unwrap();
                let shown = conviction(&question, node as u32, element as u32, &wrong, &weights);
                let opened = question.open(&shown).unwrap();
                prop_assert_eq!(opened.trace_root(), &wrong.tree().root());
                prop_assert_eq!(opened.judge(), Ok(()));
            }
        }
    }

    /// However a worker lies, whoever did the run again shows it wrong: one value or several, left as they are or with everything that follows
    /// from them computed anew.
    #[test]
    fn a_liar_is_convicted(
        seed in any::<u64>(),
        lies in prop::collection::vec((any::<usize>(), any::<usize>(), 1i32..128, any::<bool>()), 1..4),
    ) {
        let model = random_model(seed).unwrap();
        let trace = run(&model, seed);
        let mut lied = trace.clone();
        for (node, at, by, consistent) in lies {
            let node = node % model.graph().nodes.len();
            alter(&mut lied, node + 1, at % trace.tensors[node + 1].len(), by);
            if consistent {
                reference::resume(&model, &mut lied, node + 1).unwrap();
            }
        }
        prop_assume!(lied != trace);
        dispute(&model, &trace, &lied);
    }
}

/// Plays a dispute to its end; how many steps the worker took.
fn dispute(model: &Model, trace: &Trace, lied: &Trace) -> usize {
    let own = TraceTree::new(model.shapes(), trace, 0).unwrap();
    let worker = TraceTree::new(model.shapes(), lied, 0).unwrap();
    let weights = WeightsTree::new(model);
    let mut challenger = Challenger::new(&own, worker.tree().top()).unwrap();
    let mut steps = 1;
    while challenger.node().level > 0 {
        let under = challenger.node();
        let children = worker.tree().step(under);
        let chosen = challenger.choose(&children).unwrap();
        assert_eq!(challenger.node(), step(worker.tree().leaves(), under)[usize::from(chosen)]);
        steps += 1;
    }
    let tile = worker.tile(challenger.node().index);
    let conviction = challenger.convict(model.graph(), &weights, &tile).unwrap();
    let question = Question::new(model.graph(), conviction.node, conviction.element).unwrap();
    let opened = question.open(&conviction).unwrap();
    assert_eq!(opened.trace_root(), &worker.tree().root());
    assert!(opened.weights_root().is_none_or(|root| *root == weights.tree().root()));
    assert_eq!(opened.judge(), Ok(()));
    steps
}

#[test]
fn one_value_deep_in_a_known_network_is_found() {
    let model = synthetic_network(SyntheticNetwork::ResNet8, 1).unwrap();
    let trace = run(&model, 3);
    let nodes = model.graph().nodes.len();
    for node in [0, nodes / 3, nodes / 2, nodes - 1] {
        let mut lied = trace.clone();
        let cells = trace.tensors[node + 1].len();
        alter(&mut lied, node + 1, cells / 2, 1);
        // The tree has 4096 leaves and more: four steps to a leaf, and its tile.
        assert!(dispute(&model, &trace, &lied) <= 5);
    }
}

#[test]
fn an_honest_trace_cannot_be_disputed() {
    let model = random_model(5).unwrap();
    let trace = run(&model, 5);
    let tree = TraceTree::new(model.shapes(), &trace, 0).unwrap();
    assert!(Challenger::new(&tree, tree.tree().top()).is_none());
}

#[test]
fn a_challenger_believes_nothing_that_is_not_under_the_node() {
    let model = synthetic_mlp(&[64, 640, 640, 10], 1).unwrap();
    let (trace, mut lied) = (run(&model, 1), run(&model, 1));
    alter(&mut lied, 2, 0, 1);
    let own = TraceTree::new(model.shapes(), &trace, 0).unwrap();
    let worker = TraceTree::new(model.shapes(), &lied, 0).unwrap();
    let weights = WeightsTree::new(&model);
    let mut challenger = Challenger::new(&own, worker.tree().top()).unwrap();
    let children = worker.tree().step(challenger.node());
    let own_children = own.tree().step(challenger.node());
    for wrong in [&own_children[..], &children[1..], &[], &[children.as_slice(), &[EMPTY]].concat()] {
        assert_eq!(challenger.choose(wrong), Err(ChallengerError::NotUnder));
    }
    let level = challenger.node().level;
    assert_eq!(challenger.convict(model.graph(), &weights, &[]), Err(ChallengerError::Level { level }));
    while challenger.node().level > 0 {
        challenger.choose(&worker.tree().step(challenger.node())).unwrap();
    }
    assert_eq!(challenger.choose(&children), Err(ChallengerError::Level { level: 0 }));
    let own_tile = own.tile(challenger.node().index);
    assert_eq!(challenger.convict(model.graph(), &weights, &own_tile), Err(ChallengerError::NotTheTile));
}

/// A worker that ran another input did not compute falsely; its client sees it at once.
#[test]
fn another_input_is_for_the_client_to_see() {
    let model = random_model(7).unwrap();
    let inputs = random_inputs(&model, 1, 7);
    let (trace, other) = (run(&model, 7), run(&model, 8));
    let own = TraceTree::new(model.shapes(), &trace, 0).unwrap();
    let worker = TraceTree::new(model.shapes(), &other, 0).unwrap();
    let mut challenger = Challenger::new(&own, worker.tree().top()).unwrap();
    while challenger.node().level > 0 {
        challenger.choose(&worker.tree().step(challenger.node())).unwrap();
    }
    let tile = worker.tile(challenger.node().index);
    let refused = challenger.convict(model.graph(), &WeightsTree::new(&model), &tile);
    assert_eq!(refused, Err(ChallengerError::Input));
    let check = |input: &[i16], trace: &Trace, tree: &TraceTree<'_>| {
        check_faces(model.graph(), input, &trace.logits(), &tree.faces(), &tree.tree().root())
    };
    assert_eq!(check(&inputs, &trace, &own), Ok(()));
    assert_eq!(check(&inputs, &other, &worker), Err(FacesError::Root));
}

#[test]
fn both_ends_of_a_trace_are_checked() {
    for seed in 0..40 {
        let model = random_model(seed).unwrap();
        let inputs = random_inputs(&model, 1, seed);
        let trace = run(&model, seed);
        let tree = TraceTree::new(model.shapes(), &trace, 0).unwrap();
        let (logits, faces, root) = (trace.logits(), tree.faces(), tree.tree().root());
        let check = |input: &[i16], logits: &[i32], faces: &[Hash], root: &Hash| {
            check_faces(model.graph(), input, logits, faces, root)
        };
        assert_eq!(check(&inputs, &logits, &faces, &root), Ok(()));
        for at in 0..inputs.len() {
            let mut wrong = inputs.clone();
            wrong[at] ^= 1;
            assert_eq!(check(&wrong, &logits, &faces, &root), Err(FacesError::Root));
        }
        for at in 0..logits.len() {
            let mut wrong = logits.clone();
            wrong[at] ^= 1;
            assert_eq!(check(&inputs, &wrong, &faces, &root), Err(FacesError::Root));
        }
        assert_eq!(check(&inputs[1..], &logits, &faces, &root), Err(FacesError::Values));
        assert_eq!(check(&inputs, &[], &faces, &root), Err(FacesError::Values));
        let longer = [faces.as_slice(), &[EMPTY]].concat();
        assert_eq!(check(&inputs, &logits, &longer, &root), Err(FacesError::Path));
        if let Some((_, shorter)) = faces.split_last() {
            assert_eq!(check(&inputs, &logits, shorter, &root), Err(FacesError::Path));
        }
        assert_eq!(check(&inputs, &logits, &faces, &EMPTY), Err(FacesError::Root));
    }
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|index| Kind::Trace.leaf(index, &[index as u8; 3])).collect()
}

#[test]
fn every_tree_has_one_shape() {
    for count in 0..80 {
        let tree = Tree::new(Kind::Trace, leaves(count));
        assert_eq!((tree.leaves(), tree.top_node().level), (count, depth(count)));
        for level in 0..=depth(count) {
            let nodes = (0..).take_while(|index| tree.hash(Node { level, index: *index }) != EMPTY).count();
            assert_eq!(nodes as u64, width(count, level));
        }
        // Two steps at most, for at most 256 leaves, and each is worth what it is under.
        for level in 1..=depth(count) {
            for index in 0..width(count, level) {
                let node = Node { level, index };
                let children = tree.step(node);
                assert!((1..=16).contains(&children.len()));
                assert_eq!(fold_step(Kind::Trace, count, node, &children), Some(tree.hash(node)));
                assert_ne!(fold_step(Kind::Weights, count, node, &children), Some(tree.hash(node)));
                assert_eq!(fold_step(Kind::Trace, count, node, &children[1..]), None);
                let longer = [children.as_slice(), &[EMPTY]].concat();
                assert_eq!(fold_step(Kind::Trace, count, node, &longer), None);
                for at in 0..children.len() {
                    let mut wrong = children.clone();
                    wrong[at][31] ^= 1;
                    assert_ne!(fold_step(Kind::Trace, count, node, &wrong), Some(tree.hash(node)));
                }
            }
        }
        assert_eq!(fold_step(Kind::Trace, count, Node { level: 0, index: 0 }, &[]), None);
    }
}

proptest! {
    /// Any leaves open, and with anything else they do not.
    #[test]
    fn any_leaves_open(count in 1u64..200, chosen in prop::collection::btree_set(0u64..200, 1..20), bend in any::<usize>()) {
        let all = leaves(count);
        let tree = Tree::new(Kind::Trace, all.clone());
        let chosen: Vec<u64> = chosen.into_iter().filter(|index| *index < count).collect();
        prop_assume!(!chosen.is_empty());
        let siblings = tree.open(&chosen);
        let opened: Vec<(u64, Hash)> = chosen.iter().map(|index| (*index, all[*index as usize])).collect();
        let top = |opened: &[(u64, Hash)], siblings: &[Hash]| fold(Kind::Trace, count, opened.to_vec(), siblings);
        prop_assert_eq!(top(&opened, &siblings), Some(tree.top()));
        // Cut short, made longer, a hash changed, two exchanged.
        if let Some((last, shorter)) = siblings.split_last() {
            prop_assert_eq!(top(&opened, shorter), None);
            prop_assert_eq!(top(&opened, &[siblings.as_slice(), &[*last]].concat()), None);
            let mut wrong = siblings.clone();
            wrong[bend % siblings.len()][bend % 32] ^= 1;
            prop_assert_ne!(top(&opened, &wrong), Some(tree.top()));
            let mut swapped = siblings.clone();
            swapped.reverse();
            if swapped != siblings {
                prop_assert_ne!(top(&opened, &swapped), Some(tree.top()));
            }
        }
        prop_assert_eq!(top(&opened, &[siblings.as_slice(), &[EMPTY]].concat()), None);
        // At another place, even one that was opened with the same siblings.
        let at = bend % opened.len();
        let mut moved = opened.clone();
        moved[at].0 ^= 1;
        prop_assert_ne!(top(&moved, &siblings), Some(tree.top()));
        // Out of order, twice, outside.
        let twice = [opened.as_slice(), &[opened[opened.len() - 1]]].concat();
        prop_assert_eq!(top(&twice, &siblings), None);
        let outside = [opened.as_slice(), &[(count, EMPTY)]].concat();
        prop_assert_eq!(top(&outside, &siblings), None);
        prop_assert_eq!(top(&[], &siblings), None);
    }
}

/// A node is no leaf and a leaf no node, whatever its tile.
#[test]
fn no_hash_passes_for_one_of_another_use() {
    let tree = Tree::new(Kind::Trace, leaves(4));
    let (a, b) = (tree.hash(Node { level: 0, index: 0 }), tree.hash(Node { level: 0, index: 1 }));
    let mut preimage = vec![1];
    preimage.extend_from_slice(&0u64.to_le_bytes());
    preimage.extend_from_slice(&[a, b].concat());
    let node = tree.hash(Node { level: 1, index: 0 });
    for kind in [Kind::Trace, Kind::Weights] {
        // The bytes of a node's preimage, as a tile: with the index in front, and as they are.
        for tile in [preimage.as_slice(), &preimage[8..], &[a, b].concat()] {
            assert_ne!(kind.leaf(0, tile), node);
        }
    }
    // Two levels of a tree of four leaves are no tree of two.
    let short = [(0, node), (1, tree.hash(Node { level: 1, index: 1 }))];
    assert_ne!(fold(Kind::Trace, 2, short.to_vec(), &[]), Some(tree.top()));
    assert_ne!(Kind::Trace.root(2, &tree.top()), Kind::Trace.root(4, &tree.top()));
    assert_ne!(Kind::Weights.root(4, &tree.top()), Kind::Trace.root(4, &tree.top()));
    // What is not there is not a leaf: the last of five leaves has no neighbour.
    let odd = Tree::new(Kind::Trace, leaves(5));
    let siblings = odd.open(&[4]);
    assert_eq!(fold(Kind::Trace, 5, vec![(5, EMPTY)], &siblings), None);
    assert_eq!(
        fold(Kind::Trace, 5, vec![(4, odd.hash(Node { level: 0, index: 4 })), (5, EMPTY)], &siblings),
        None
    );
}

#[test]
fn tiles_cover_every_element_once() {
    for seed in 0..100 {
        let model = random_model(seed).unwrap();
        let trace = run(&model, seed);
        let tree = TraceTree::new(model.shapes(), &trace, 0).unwrap();
        let mut bytes = 0;
        for leaf in 0..tree.layout().leaves() {
            let tile = tree.layout().tile(leaf).unwrap();
            assert_eq!(tree.tile(leaf).len(), tile.bytes());
            assert!((1..=TILE_BYTES_MAX).contains(&tile.bytes()));
            bytes += tile.bytes();
        }
        let stored = |tensor: &Tensor| match tensor {
            Tensor::I8(values) => values.len(),
            Tensor::I16(values) => 2 * values.len(),
            Tensor::I32(values) => 4 * values.len(),
        };
        assert_eq!(bytes, trace.tensors.iter().map(stored).sum::<usize>());
        assert_eq!(tree.layout().tile(tree.layout().leaves()), None);
        assert!(tree.tile(tree.layout().leaves()).is_empty());

        // Weights too, each at the place that is said.
        let weights = WeightsTree::new(&model);
        let layout = Layout::of_weights(model.graph());
        for (number, layer) in model.weights().layers.iter().enumerate() {
            for (at, weight) in layer.matrix.iter().enumerate() {
                let (leaf, slot) = layout.place(2 * number, at).unwrap();
                assert_eq!(weights.tile(leaf)[slot] as i8, *weight);
            }
            for (at, bias) in layer.bias.iter().enumerate() {
                let (leaf, slot) = layout.place(2 * number + 1, at).unwrap();
                assert_eq!(weights.tile(leaf)[4 * slot..4 * slot + 4], bias.to_le_bytes());
            }
            assert_eq!(layout.place(2 * number, layer.matrix.len()), None);
        }
    }
}

#[test]
fn what_one_output_reads_of_a_matrix_lies_together() {
    let model = synthetic_mlp(&[640, 100], 1).unwrap();
    for element in 0..100 {
        let question = Question::new(model.graph(), 0, element).unwrap();
        // Ten tiles of 640 weights and one of biases; the input's ten tiles.
        assert_eq!((question.trace_leaves().len(), question.weight_leaves().len()), (10, 11));
    }
}

#[test]
fn a_trace_of_another_shape_makes_no_tree() {
    let model = random_model(3).unwrap();
    let trace = run(&model, 3);
    let shapes = model.shapes();
    assert!(TraceTree::new(shapes, &trace, 1).is_none());
    let mut short = trace.clone();
    short.tensors.pop();
    assert!(TraceTree::new(shapes, &short, 0).is_none());
    let mut other = trace.clone();
    other.tensors[0] = Tensor::I8(Vec::new());
    assert!(TraceTree::new(shapes, &other, 0).is_none());
}

/// Each row of a batch has a tree of its own, the one that it would have alone.
#[test]
fn rows_do_not_mix() {
    let model = random_model(11).unwrap();
    let inputs = random_inputs(&model, 3, 11);
    let batch = execute(&model, &inputs, 3).unwrap();
    for (row, input) in inputs.chunks(model.shapes().inputs()).enumerate() {
        let alone = execute(&model, input, 1).unwrap();
        let alone = TraceTree::new(model.shapes(), &alone, 0).unwrap().tree().root();
        assert_eq!(TraceTree::new(model.shapes(), &batch, row).unwrap().tree().root(), alone);
    }
}

#[test]
fn each_refusal_of_a_conviction_is_produced() {
    let model = synthetic_mlp(&[70, 70, 3], 1).unwrap();
    let (graph, trace) = (model.graph(), run(&model, 1));
    let (tree, weights) = (TraceTree::new(model.shapes(), &trace, 0).unwrap(), WeightsTree::new(&model));
    let refused = |node, element| Question::new(graph, node, element).unwrap_err();
    assert_eq!(refused(3, 0), ConvictionError::NoSuchNode { nodes: 3, got: 3 });
    assert_eq!(refused(u32::MAX, 0), ConvictionError::NoSuchNode { nodes: 3, got: u32::MAX });
    assert_eq!(refused(0, 70), ConvictionError::NoSuchElement { cells: 70, got: 70 });
    let mut broken = graph.clone();
    broken.nodes.clear();
    assert!(matches!(Question::new(&broken, 0, 0), Err(ConvictionError::Graph(_))));
    let wide = synthetic_mlp(&[40_000, 2], 1).unwrap();
    let got = 80_001;
    assert_eq!(
        Question::new(wide.graph(), 0, 0).unwrap_err(),
        ConvictionError::TooManyReads { limit: MAX_READS, got }
    );

    let question = Question::new(graph, 0, 69).unwrap();
    let honest = conviction(&question, 0, 69, &tree, &weights);
    let open = |conviction: &Conviction| question.open(conviction).map(|_| ()).unwrap_err();
    let mut wrong = honest.clone();
    wrong.trace.tiles.pop();
    assert_eq!(open(&wrong), ConvictionError::TraceTiles { expected: 70, got: 69 });
    let mut wrong = honest.clone();
    wrong.weights.tiles.push(0);
    assert_eq!(open(&wrong), ConvictionError::WeightTiles { expected: 124, got: 125 });
    let mut wrong = honest.clone();
    wrong.trace.siblings.pop();
    assert_eq!(open(&wrong), ConvictionError::TracePath);
    let mut wrong = honest.clone();
    wrong.weights.siblings.push(EMPTY);
    assert_eq!(open(&wrong), ConvictionError::WeightPath);
    assert_eq!(question.open(&honest).unwrap().judge(), Err(ConvictionError::Consistent));
    // A value read may not be changed with it: that is another tree.
    let mut wrong = honest.clone();
    wrong.trace.tiles[0] ^= 1;
    assert_ne!(question.open(&wrong).unwrap().trace_root(), &tree.tree().root());
    let mut wrong = honest;
    wrong.weights.tiles[0] ^= 1;
    assert_ne!(question.open(&wrong).unwrap().weights_root(), Some(&weights.tree().root()));

    // A table reads no weights, so none may come along.
    let question = Question::new(graph, 1, 0).unwrap();
    let mut wrong = conviction(&question, 1, 0, &tree, &weights);
    wrong.weights.siblings.push(EMPTY);
    assert_eq!(question.open(&wrong).map(|_| ()).unwrap_err(), ConvictionError::WeightPath);
}

/// A leaf over bytes that are no tile of the graph is wrong as it is, and nothing is to be opened with it.
#[test]
fn a_tile_of_another_length_convicts() {
    let model = synthetic_mlp(&[70, 70, 3], 1).unwrap();
    let trace = run(&model, 1);
    let own = TraceTree::new(model.shapes(), &trace, 0).unwrap();
    for tile in [vec![], vec![1; 5], vec![0; TILE_BYTES_MAX]] {
        // The second tile of the first sums.
        let leaf = own.layout().place(1, 65).unwrap().0;
        let mut leaves: Vec<Hash> =
            (0..own.tree().leaves()).map(|index| own.tree().hash(Node { level: 0, index })).collect();
        leaves[leaf as usize] = Kind::Trace.leaf(leaf, &tile);
        let worker = Tree::new(Kind::Trace, leaves);
        let mut challenger = Challenger::new(&own, worker.top()).unwrap();
        while challenger.node().level > 0 {
            challenger.choose(&worker.step(challenger.node())).unwrap();
        }
        assert_eq!(challenger.node(), Node { level: 0, index: leaf });
        let shown = challenger.convict(model.graph(), &WeightsTree::new(&model), &tile).unwrap();
        let question = Question::new(model.graph(), shown.node, shown.element).unwrap();
        let opened = question.open(&shown).unwrap();
        assert_eq!(opened.trace_root(), &worker.root());
        assert_eq!(opened.judge(), Ok(()));
    }
}

#[test]
fn known_networks_can_be_audited() {
    for network in SyntheticNetwork::ALL {
        assert_eq!(
            check_auditable(synthetic_network(network, 1).unwrap().graph()),
            Ok(()),
            "{}",
            network.name()
        );
    }
}

fn graph(input: &[u32], nodes: Vec<Operator>) -> Graph {
    let cells: u32 = input.iter().product();
    let feature = Feature { name: String::new(), offset: 0, multiplier: 1, shift: 0, steps: Vec::new() };
    Graph {
        features: vec![feature; cells as usize],
        input_axes: input.to_vec(),
        input_bits: 8,
        nodes,
        tables: Vec::new(),
        decoder: Decoder::Values { fraction_bits: 0 },
    }
}

fn sum(axes: &[u32], summed: &[u32], view: View) -> Operator {
    let terms = vec![Term { coefficient: 1, summed: summed.to_vec(), view }];
    Operator::Combine { axes: axes.to_vec(), terms, constant: 0, bias: None }
}

#[test]
fn what_cannot_be_audited_says_why() {
    let wide = synthetic_mlp(&[40_000, 2], 1).unwrap();
    let refused = NotAuditable::TooManyReads { node: 0, limit: MAX_READS, got: 80_001 };
    assert_eq!(check_auditable(wide.graph()), Err(refused));

    // One column of 16384 rows of 64: a tile for each element.
    let column = Group { span: 1, offset: 5, strides: Vec::new(), divisor: 1, exact: false };
    let view = View { tensor: TensorId(0), groups: vec![Group::axis(1), column] };
    let refused = check_auditable(&graph(&[8192, 64], vec![sum(&[1], &[8192], view)]));
    assert!(
        matches!(refused, Err(NotAuditable::TooManyBytes { node: 0, limit: MAX_CONVICTION_BYTES, got }) if got > 1 << 19)
    );

    // A scalar spread over 2^22 elements, and copied 130 times.
    let fixed = Group { span: 1, offset: 0, strides: Vec::new(), divisor: 1, exact: false };
    let spread = sum(&[2048, 2048], &[], View { tensor: TensorId(0), groups: vec![fixed.clone()] });
    let copy = |tensor| sum(&[2048, 2048], &[], View::identity(TensorId(tensor), 2));
    let one = sum(&[1], &[], View { tensor: TensorId(131), groups: vec![fixed.clone(), fixed] });
    let nodes = [vec![spread], (1..=130).map(copy).collect(), vec![one]].concat();
    let refused = check_auditable(&graph(&[1], nodes));
    assert!(matches!(refused, Err(NotAuditable::TooLong { limit: MAX_TRACE_LEAVES, .. })), "{refused:?}");

    assert!(matches!(check_auditable(&graph(&[1], Vec::new())), Err(NotAuditable::Graph(_))));
}
