//! A float network as a chain of steps, and its executor.

use std::rc::Rc;

use super::error::NodeReason;

/// One step of the chain.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// `y[o] = add[o] + sum_k x[k] * matrix[k][o]`, row-major.
    Dense { inputs: usize, matrix: Vec<f64>, add: Vec<f64> },
    /// `y[o] = x[o] * multiply[o] + add[o]`.
    Scale { multiply: Vec<f64>, add: Vec<f64> },
    /// The same function of every element.
    Scalar(Scalar),
    /// Softmax or its logarithm: strictly increasing in each logit against the others, so never decides anew.
    Softmax { log: bool },
}

/// A function of one element; each becomes entries of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar {
    Relu,
    LeakyRelu {
        slope: f64,
    },
    Elu {
        alpha: f64,
    },
    Tanh,
    Sigmoid,
    HardSigmoid {
        alpha: f64,
        beta: f64,
    },
    HardSwish,
    Selu {
        alpha: f64,
        gamma: f64,
    },
    Celu {
        alpha: f64,
    },
    Exp,
    Softplus,
    Softsign,
    Abs,
    Clip {
        low: f64,
        high: f64,
    },
    /// `scale * (clamp(round_half_even(x / scale) + zero, low, high) - zero)`.
    Grid {
        scale: f64,
        zero: f64,
        low: f64,
        high: f64,
    },
}

impl Scalar {
    pub(super) fn apply(self, x: f64) -> f64 {
        match self {
            Self::Relu => x.max(0.0),
            Self::LeakyRelu { slope } => {
                if x < 0.0 {
                    x * slope
                } else {
                    x
                }
            }
            Self::Elu { alpha } => {
                if x < 0.0 {
                    alpha * x.exp_m1()
                } else {
                    x
                }
            }
            Self::Tanh => x.tanh(),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::Selu { alpha, gamma } => gamma * if x < 0.0 { alpha * x.exp_m1() } else { x },
            Self::Celu { alpha } => x.max(0.0) + (alpha * (x / alpha).exp_m1()).min(0.0),
            Self::Exp => x.exp(),
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Abs => x.abs(),
            Self::Clip { low, high } => x.max(low).min(high),
            Self::Grid { scale, zero, low, high } => {
                scale * ((x / scale).round_ties_even() + zero).max(low).min(high) - scale * zero
            }
        }
    }

    /// Whether the order of two elements is never turned and only rounding can make them equal.
    pub(super) fn keeps_order(self) -> bool {
        matches!(self, Self::Tanh | Self::Sigmoid | Self::Softplus | Self::Softsign | Self::Grid { .. })
    }
}

/// A value that depends on the network's input: the steps that make it, and its shape without the batch.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) steps: Vec<Rc<Step>>,
    pub(super) dims: Vec<usize>,
}

impl Row {
    pub(super) fn input(dims: Vec<usize>) -> Self {
        Self { steps: Vec::new(), dims }
    }

    pub(super) fn width(&self) -> usize {
        self.dims.iter().product()
    }

    pub(super) fn ends_in_softmax(&self) -> bool {
        matches!(self.steps.last().map(Rc::as_ref), Some(Step::Softmax { .. }))
    }

    fn then(&self, step: Step, dims: Vec<usize>) -> Result<Self, NodeReason> {
        if self.ends_in_softmax() {
            return Err(NodeReason::AfterSoftmax);
        }
        let mut steps = self.steps.clone();
        steps.push(Rc::new(step));
        Ok(Self { steps, dims })
    }

    /// Weights of the steps that nobody else holds yet.
    pub(super) fn new_cells(&self) -> usize {
        let cells = |step: &Rc<Step>| match step.as_ref() {
            Step::Dense { matrix, .. } if Rc::strong_count(step) == 1 => matrix.len(),
            Step::Scale { multiply, .. } if Rc::strong_count(step) == 1 => multiply.len(),
            _ => 0,
        };
        self.steps.iter().map(cells).sum()
    }

    pub(super) fn dense(&self, matrix: Vec<f64>, add: Vec<f64>) -> Result<Self, NodeReason> {
        let (inputs, outputs) = (self.width(), add.len());
        if inputs * outputs != matrix.len() || outputs == 0 {
            return Err(NodeReason::Shape);
        }
        self.then(Step::Dense { inputs, matrix, add }, vec![outputs])
    }

    pub(super) fn scale(&self, multiply: Vec<f64>, add: Vec<f64>) -> Result<Self, NodeReason> {
        if !multiply.iter().chain(&add).all(|value| value.is_finite()) {
            return Err(NodeReason::NotFinite);
        }
        self.then(Step::Scale { multiply, add }, self.dims.clone())
    }

    pub(super) fn scalar(&self, scalar: Scalar) -> Result<Self, NodeReason> {
        self.then(Step::Scalar(scalar), self.dims.clone())
    }

    pub(super) fn softmax(&self, log: bool) -> Result<Self, NodeReason> {
        self.then(Step::Softmax { log }, self.dims.clone())
    }
}

/// Runs steps on one row.
pub(super) fn run(steps: &[Rc<Step>], row: &[f64]) -> Vec<f64> {
    let mut x = row.to_vec();
    for step in steps {
        x = match step.as_ref() {
            Step::Dense { matrix, add, .. } => dense(&x, matrix, add),
            Step::Scale { multiply, add } => x
                .iter()
                .zip(multiply.iter().zip(add))
                .map(|(x, (multiply, add))| x * multiply + add)
                .collect(),
            Step::Scalar(scalar) => x.iter().map(|x| scalar.apply(*x)).collect(),
            Step::Softmax { log } => softmax(&x, *log),
        };
    }
    x
}

pub(super) fn dense(x: &[f64], matrix: &[f64], add: &[f64]) -> Vec<f64> {
    let mut y = add.to_vec();
    for (x, weights) in x.iter().zip(matrix.chunks_exact(add.len())) {
        for (y, w) in y.iter_mut().zip(weights) {
            *y += x * w;
        }
    }
    y
}

fn softmax(x: &[f64], log: bool) -> Vec<f64> {
    let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = x.iter().map(|x| (x - most).exp()).sum();
    let one = |x: &f64| if log { x - most - total.ln() } else { (x - most).exp() / total };
    x.iter().map(one).collect()
}
