//! Untrained networks of any size, the same on every machine: for benches and tests.
//!
//! Randomness is SplitMix64 (Steele, Lea, Flood, 2014) from a seed: one draw per number, weights before biases, layer
//! by layer; a draw `z` gives `(z >> 32) * span >> 32`, plus the lower end.

mod build;
mod random;

use crate::{
    error::GraphError,
    graph::{Operator, TensorId},
    model::Model,
};
use build::{Builder, Window, relu_table};

pub use random::{random_inputs, random_model};

/// A ReLU network with the given layer widths (`[784, 128, 10]`), weights uniform in `-127..=127`, biases uniform
/// in `-2048..=2047`, and input rows of 0 to 127 that encode to themselves.
///
/// # Errors
/// Refuses widths that make no valid graph.
pub fn synthetic_mlp(widths: &[u32], seed: u64) -> Result<Model, GraphError> {
    let Some((inputs, layers)) = widths.split_first() else {
        return Err(GraphError::FeatureCount { got: 0 });
    };
    check_widths(widths)?;
    let mut build = Builder::new(&[*inputs], 8, seed);
    let mut tensor = Builder::INPUT;
    for (layer, (inputs, outputs)) in widths.iter().zip(layers).enumerate() {
        if layer == 1 {
            // Sums of random weights stay far below their bound, so one unit of `u` counts as several of `y`.
            build.add_table(relu_table(10, 4));
        }
        if layer > 0 {
            tensor = build.requantise(tensor, 0);
        }
        tensor = build.add(Operator::dense(tensor, *inputs, *outputs));
    }
    build.finish_classes()
}

/// Whether the layers can be made at all, so that impossible widths cost nothing.
fn check_widths(widths: &[u32]) -> Result<(), GraphError> {
    let pairs = widths.iter().zip(widths.iter().skip(1));
    let got = pairs.fold(0u64, |sum, (a, b)| sum.saturating_add((u64::from(*a) + 1) * u64::from(*b)));
    if got > crate::graph::MAX_PARAMETERS {
        return Err(GraphError::TooManyParameters { got });
    }
    Ok(())
}

/// Networks of well-known shapes, for images of 8-bit pixels, with one ReLU table each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyntheticNetwork {
    /// LeNet-5 (LeCun et al., 1998) with ReLU and average pooling: 28 x 28 x 1, 0.42 M products.
    LeNet5,
    /// The same with max pooling.
    LeNet5Max,
    /// ResNet-8 as in MLPerf Tiny (Banbury et al., 2021): 32 x 32 x 3, 12.5 M products.
    ResNet8,
    /// VGG-16 (Simonyan, Zisserman, 2015) for 32 x 32 x 3: 15 M parameters, 313 M products.
    Vgg16,
    /// Depthwise-separable convolutions as in MobileNet (Howard et al., 2017): 32 x 32 x 3.
    Separable,
}

impl SyntheticNetwork {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::LeNet5, Self::LeNet5Max, Self::ResNet8, Self::Vgg16, Self::Separable];

    /// What a command line calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LeNet5 => "lenet-5",
            Self::LeNet5Max => "lenet-5-max",
            Self::ResNet8 => "resnet-8",
            Self::Vgg16 => "vgg-16",
            Self::Separable => "separable",
        }
    }

    /// The network of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|network| network.name() == name)
    }
}

/// A network with random weights, as in [`synthetic_mlp`], and shifts from interval arithmetic with them.
///
/// # Errors
/// None for any network there is; the result is that of [`Model::new`].
pub fn synthetic_network(network: SyntheticNetwork, seed: u64) -> Result<Model, GraphError> {
    match network {
        SyntheticNetwork::LeNet5 => lenet(false, seed),
        SyntheticNetwork::LeNet5Max => lenet(true, seed),
        SyntheticNetwork::ResNet8 => resnet(seed),
        SyntheticNetwork::Vgg16 => vgg(seed),
        SyntheticNetwork::Separable => separable(seed),
    }
}

fn lenet(max: bool, seed: u64) -> Result<Model, GraphError> {
    let mut build = Builder::new(&[28, 28, 1], 8, seed);
    let relu = build.add_table(relu_table(12, 1));
    let mut tensor = Builder::INPUT;
    for (out, pad) in [(6, 2), (16, 0)] {
        tensor = build.conv(tensor, out, Window { size: 5, stride: 1, pad });
        tensor = build.requantise(tensor, relu);
        tensor = if max {
            build.max_pool(tensor)
        } else {
            let sum = build.sum_pool(tensor);
            mean(&mut build, sum, relu, 2)
        };
    }
    for out in [120, 84] {
        tensor = build.dense(tensor, out);
        tensor = build.requantise(tensor, relu);
    }
    build.dense(tensor, 10);
    build.finish_classes()
}

fn resnet(seed: u64) -> Result<Model, GraphError> {
    let mut build = Builder::new(&[32, 32, 3], 8, seed);
    let relu = build.add_table(relu_table(12, 1));
    let first = build.conv(Builder::INPUT, 16, THREE);
    let mut tensor = build.requantise(first, relu);
    for (out, stride) in [(16, 1), (32, 2), (64, 2)] {
        let down = Window { stride, ..THREE };
        let inner = build.conv(tensor, out, down);
        let inner = build.requantise(inner, relu);
        let inner = build.conv(inner, out, THREE);
        // Shortcuts join the sums before their one requantisation, brought to about their size where they are no
        // sums themselves.
        let sum = if stride == 1 {
            build.sum(inner, tensor, 1 << 10)
        } else {
            let shortcut = build.conv(tensor, out, Window { size: 1, stride, pad: 0 });
            build.sum(inner, shortcut, 1)
        };
        tensor = build.requantise(sum, relu);
    }
    let sum = build.global_sum(tensor);
    let pooled = mean(&mut build, sum, relu, 6);
    build.dense(pooled, 10);
    build.finish_classes()
}

fn vgg(seed: u64) -> Result<Model, GraphError> {
    let mut build = Builder::new(&[32, 32, 3], 8, seed);
    let relu = build.add_table(relu_table(14, 1));
    let mut tensor = Builder::INPUT;
    for (out, layers) in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)] {
        for _ in 0..layers {
            tensor = build.conv(tensor, out, THREE);
            tensor = build.requantise(tensor, relu);
        }
        tensor = build.max_pool(tensor);
    }
    build.dense(tensor, 10);
    build.finish_classes()
}

fn separable(seed: u64) -> Result<Model, GraphError> {
    let mut build = Builder::new(&[32, 32, 3], 8, seed);
    let relu = build.add_table(relu_table(12, 1));
    let first = build.conv(Builder::INPUT, 16, THREE);
    let mut tensor = build.requantise(first, relu);
    for (out, stride) in [(32, 1), (64, 2), (64, 1), (128, 2), (128, 1)] {
        tensor = build.depthwise(tensor, Window { stride, ..THREE });
        tensor = build.requantise(tensor, relu);
        tensor = build.conv(tensor, out, Window { size: 1, stride: 1, pad: 0 });
        tensor = build.requantise(tensor, relu);
    }
    let sum = build.global_sum(tensor);
    let pooled = mean(&mut build, sum, relu, 6);
    build.dense(pooled, 10);
    build.finish_classes()
}

/// A sum of `2^shift` values that ReLU leaves as they are, divided by their number.
fn mean(build: &mut Builder, input: TensorId, table: u16, shift: u8) -> TensorId {
    build.add(Operator::Requantise { input, shift, table })
}

/// Three by three, shape kept.
const THREE: Window = Window { size: 3, stride: 1, pad: 1 };
