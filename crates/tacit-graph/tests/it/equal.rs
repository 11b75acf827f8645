//! The executor and the reference agree, bit for bit, on every kind of graph.

use proptest::prelude::*;
use tacit_graph::{
    Decoder, LayerWeights, Model, Operator, Right, SyntheticNetwork, View, Weights, execute, random_inputs,
    random_model, reference, synthetic_mlp, synthetic_network,
};

use crate::support::model_and_inputs;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_models_run_as_defined((model, inputs, rows) in model_and_inputs()) {
        let fast = execute(&model, &inputs, rows).unwrap();
        let slow = reference::execute(&model, &inputs, rows).unwrap();
        for (tensor, (fast, slow)) in fast.tensors.iter().zip(&slow.tensors).enumerate() {
            prop_assert!(fast == slow, "tensor {tensor} of {:#?}", model.graph().nodes);
        }
        prop_assert_eq!(fast.tensors.len(), slow.tensors.len());
    }

    /// No value leaves the interval that the model states for its tensor.
    #[test]
    fn intervals_hold((model, inputs, rows) in model_and_inputs()) {
        let trace = reference::execute(&model, &inputs, rows).unwrap();
        for (tensor, (low, high)) in trace.tensors.iter().zip(model.reach()) {
            for value in tensor.values() {
                prop_assert!((*low..=*high).contains(&i64::from(value)), "{value} outside {low} to {high}");
            }
        }
    }
}

/// Views of `node`, for a test to bend.
fn views(node: &mut Operator) -> Vec<&mut View> {
    match node {
        Operator::Contract { left, right: Right::View(right), .. }
        | Operator::Maximum { left, right, .. } => {
            vec![left, right]
        }
        Operator::Contract { left, .. } => vec![left],
        Operator::Combine { terms, .. } => terms.iter_mut().map(|term| &mut term.view).collect(),
        Operator::Requantise { .. } => vec![],
    }
}

/// A valid graph bent in some numbers, with weights of its new shapes, if that is a model.
fn bent(seed: u64, bends: &[(usize, u8, i8)]) -> Option<Model> {
    let model = random_model(seed).unwrap();
    let mut graph = model.graph().clone();
    for (place, kind, value) in bends {
        let (at, count) = (*place, graph.nodes.len());
        let node = &mut graph.nodes[at % count];
        if let (9, Operator::Contract { axes, .. } | Operator::Combine { axes, .. }) = (kind % 10, &mut *node)
        {
            let axis = at / count % axes.len();
            axes[axis] = u32::from(value.unsigned_abs() % 9);
            continue;
        }
        let mut views = views(node);
        if views.is_empty() {
            continue;
        }
        let which = at / count % views.len();
        let groups = &mut views[which].groups;
        let number = at / count / 7 % groups.len();
        let group = &mut groups[number];
        match kind % 10 {
            0 | 1 => group.offset = i32::from(*value),
            2 => group.divisor = u32::from(value.unsigned_abs() % 5),
            3 => group.exact = !group.exact,
            4..=6 => {
                if let Some(stride) = group.strides.first_mut() {
                    stride.stride = i32::from(*value % 8);
                }
            }
            7 => {
                if let Some(stride) = group.strides.pop() {
                    groups[0].strides.push(stride);
                }
            }
            _ => group.strides.reverse(),
        }
    }
    graph.decoder = Decoder::Values { fraction_bits: 0 };
    graph.validate().ok()?;
    let fill = |(matrix, bias): (u64, u64)| LayerWeights {
        matrix: (0..matrix).map(|k| (k * 37 + seed) as i8).collect(),
        bias: (0..bias).map(|k| k as i32 - 3).collect(),
    };
    let lengths = graph.nodes.iter().map(Operator::weight_lengths).filter(|(matrix, bias)| matrix + bias > 0);
    let weights = Weights { layers: lengths.map(fill).collect() };
    Model::new(graph, weights).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    /// Views that no generator of ours would write.
    #[test]
    fn bent_models_run_as_defined(
        seed in any::<u64>(),
        bends in prop::collection::vec((any::<usize>(), any::<u8>(), any::<i8>()), 1..4),
    ) {
        if let Some(model) = bent(seed, &bends) {
            let inputs = random_inputs(&model, 2, seed);
            let fast = execute(&model, &inputs, 2).unwrap();
            prop_assert!(fast == reference::execute(&model, &inputs, 2).unwrap(), "{:#?}", model.graph().nodes);
            for (tensor, (low, high)) in fast.tensors.iter().zip(model.reach()) {
                prop_assert!(tensor.values().all(|value| (*low..=*high).contains(&i64::from(value))));
            }
        }
    }
}

/// Bending is no use if it only breaks.
#[test]
fn bent_models_are_often_models() {
    let made = (0..200u64).filter(|seed| {
        let place = (seed * 7919) as usize;
        bent(*seed, &[(place, *seed as u8, (seed * 31) as i8)]).is_some()
    });
    assert!(made.count() > 80);
}

/// The generator is worth its name: over some seeds it makes everything that it says it does.
#[test]
fn random_models_cover_the_operators() {
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    let mut nonzero = 0;
    for seed in 0..400 {
        let model = random_model(seed).unwrap();
        let trace = execute(&model, &random_inputs(&model, 1, seed), 1).unwrap();
        nonzero += usize::from(trace.logits().iter().any(|logit| *logit != 0));
        let mut see = |what, is: bool| *seen.entry(what).or_default() += usize::from(is);
        for node in &model.graph().nodes {
            let views: Vec<_> = match node {
                Operator::Contract { left, right, summed, bias, .. } => {
                    see("product without sum", summed.is_empty());
                    see("bias", bias.is_some());
                    match right {
                        Right::Weights { .. } => {
                            see("weights", true);
                            vec![left]
                        }
                        Right::View(right) => {
                            see("two tensors", true);
                            vec![left, right]
                        }
                    }
                }
                Operator::Combine { terms, .. } => {
                    see("several terms", terms.len() > 1);
                    see("reduction", terms.iter().any(|term| !term.summed.is_empty()));
                    terms.iter().map(|term| &term.view).collect()
                }
                Operator::Maximum { left, right, .. } => {
                    see("maximum", true);
                    vec![left, right]
                }
                Operator::Requantise { .. } => {
                    see("requantise", true);
                    vec![]
                }
            };
            for group in views.iter().flat_map(|view| &view.groups) {
                see("flattened", group.span > 1);
                see("padding", group.offset < 0);
                see("exact divisor", group.divisor > 1 && group.exact);
                see("floor divisor", group.divisor > 1 && !group.exact);
                see("backwards", group.strides.iter().any(|stride| stride.stride < 0));
                see("window", group.strides.len() > 1);
                see("fixed", group.strides.is_empty());
            }
        }
        for table in &model.graph().tables {
            see("wide table", table.values.iter().any(|value| i8::try_from(*value).is_err()));
        }
        see("input of other width", model.graph().input_bits != 8);
    }
    assert!(seen.values().all(|count| *count >= 20), "{seen:?}");
    assert!(nonzero > 300, "{nonzero} of 400 give anything but zero");
}

#[test]
fn the_named_networks_run_as_defined() {
    for network in [SyntheticNetwork::LeNet5, SyntheticNetwork::LeNet5Max] {
        let model = synthetic_network(network, 7).unwrap();
        let inputs = random_inputs(&model, 2, 3);
        assert!(execute(&model, &inputs, 2).unwrap() == reference::execute(&model, &inputs, 2).unwrap());
    }
}

#[test]
fn named_networks_have_their_published_sizes() {
    let size = |network| {
        let model = synthetic_network(network, 1).unwrap();
        (model.shapes().parameters(), model.shapes().macs())
    };
    assert_eq!(size(SyntheticNetwork::LeNet5), (61_706, 416_520));
    assert_eq!(size(SyntheticNetwork::ResNet8), (77_706, 12_501_632));
    assert_eq!(size(SyntheticNetwork::Vgg16), (14_719_818, 313_201_664));
    for network in SyntheticNetwork::ALL {
        assert_eq!(SyntheticNetwork::from_name(network.name()), Some(network));
    }
}

/// Signals live: no network of ours is a constant.
#[test]
fn named_networks_tell_inputs_apart() {
    for network in [SyntheticNetwork::LeNet5, SyntheticNetwork::ResNet8, SyntheticNetwork::Separable] {
        let model = synthetic_network(network, 1).unwrap();
        let trace = execute(&model, &random_inputs(&model, 2, 5), 2).unwrap();
        let logits = trace.logits();
        let (first, second) = logits.split_at(model.shapes().outputs());
        assert_ne!(first, second, "{}", network.name());
    }
}

/// Sizes that go through every way of sharing out the work.
#[test]
fn large_dense_layers_run_as_defined() {
    for (widths, rows) in [(&[300, 700, 10][..], 1), (&[65, 130, 3], 7), (&[128, 96, 5], 40)] {
        let model = synthetic_mlp(widths, 2).unwrap();
        let inputs = random_inputs(&model, rows, 1);
        assert!(
            execute(&model, &inputs, rows).unwrap() == reference::execute(&model, &inputs, rows).unwrap()
        );
    }
}
