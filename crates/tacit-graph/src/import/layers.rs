//! From steps to layers: an encoder grid, then affine maps with a scalar function after each but the last.

use std::rc::Rc;

use super::{
    MAX_LAYER_CELLS,
    error::ImportError,
    network::{Scalar, Step},
};

/// `y[o] = add[o] + sum_k x[k] * matrix[k][o]`, then `functions` in order on each element.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) matrix: Vec<f64>,
    pub(super) add: Vec<f64>,
    pub(super) functions: Vec<Scalar>,
}

/// What a network does to raw inputs before its first dense layer, where that is more than a linear map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Front {
    /// Nothing: any grid will do that covers the calibration rows.
    Open,
    /// Values are cut to this range.
    Cut { low: f64, high: f64 },
    /// Values are on this grid of 256 steps already.
    Grid { low: f64, step: f64 },
}

/// A network as it will be quantised.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    pub(super) front: Front,
    /// The linear map in front of `front`: `multiply` and `add` for each feature.
    pub(super) scaling: Vec<(f64, f64)>,
    pub(super) layers: Vec<Layer>,
}

impl Layers {
    /// Composes neighbouring affine steps. The last layer has no functions: one is added where the steps end in one.
    pub(super) fn from_steps(steps: &[Rc<Step>], inputs: usize) -> Result<Self, ImportError> {
        let (mut parts, mut affine, mut functions) = (Vec::new(), Affine::identity(inputs), Vec::new());
        for step in steps {
            match step.as_ref() {
                Step::Scalar(scalar) => functions.push(*scalar),
                Step::Softmax { .. } => {}
                step => {
                    if !functions.is_empty() {
                        let width = affine.outputs();
                        let done = core::mem::replace(&mut affine, Affine::identity(width));
                        parts.push((done, core::mem::take(&mut functions)));
                    }
                    affine = affine.then(step);
                }
            }
        }
        if !functions.is_empty() {
            let last = Affine::identity(affine.outputs());
            parts.push((core::mem::replace(&mut affine, last), functions));
        }
        parts.push((affine, Vec::new()));

        let (front, scaling) = match parts.first() {
            Some((Affine::Scale(scaling), functions)) => (Front::of(functions), scaling.clone()),
            _ => (Front::Open, Vec::new()),
        };
        let front = if parts.len() < 2 { Front::Open } else { front };
        let mut parts = parts.into_iter();
        let scaling = if front == Front::Open {
            vec![(1.0, 0.0); inputs]
        } else {
            parts.next();
            scaling
        };
        let layers = parts
            .enumerate()
            .map(|(layer, (affine, functions))| affine.into_layer(functions, layer))
            .collect::<Result<_, _>>()?;
        Ok(Self { front, scaling, layers })
    }
}

impl Front {
    fn of(functions: &[Scalar]) -> Self {
        match functions {
            [Scalar::Clip { low, high }] if low < high => Self::Cut { low: *low, high: *high },
            [Scalar::Grid { scale, zero, low, high }] if high - low == 255.0 => {
                Self::Grid { low: scale * (low - zero), step: *scale }
            }
            _ => Self::Open,
        }
    }
}

/// An affine map; one element at a time as long as it can be.
enum Affine {
    Scale(Vec<(f64, f64)>),
    Dense { matrix: Vec<f64>, add: Vec<f64> },
}

impl Affine {
    fn identity(width: usize) -> Self {
        Self::Scale(vec![(1.0, 0.0); width])
    }

    fn outputs(&self) -> usize {
        match self {
            Self::Scale(pairs) => pairs.len(),
            Self::Dense { add, .. } => add.len(),
        }
    }

    fn then(self, step: &Step) -> Self {
        match (self, step) {
            (Self::Scale(mut pairs), Step::Scale { multiply, add }) => {
                for ((m, a), (multiply, add)) in pairs.iter_mut().zip(multiply.iter().zip(add)) {
                    (*m, *a) = (*m * multiply, *a * multiply + add);
                }
                Self::Scale(pairs)
            }
            (Self::Dense { mut matrix, add: mut bias }, Step::Scale { multiply, add }) => {
                for (cell, multiply) in matrix.iter_mut().zip(multiply.iter().cycle()) {
                    *cell *= multiply;
                }
                for (bias, (multiply, add)) in bias.iter_mut().zip(multiply.iter().zip(add)) {
                    *bias = *bias * multiply + add;
                }
                Self::Dense { matrix, add: bias }
            }
            (Self::Scale(pairs), Step::Dense { matrix, add, .. }) => {
                let (mut matrix, mut bias) = (matrix.clone(), add.clone());
                for (row, (m, a)) in matrix.chunks_exact_mut(add.len()).zip(&pairs) {
                    for (cell, bias) in row.iter_mut().zip(&mut bias) {
                        *bias += a * *cell;
                        *cell *= m;
                    }
                }
                Self::Dense { matrix, add: bias }
            }
            (Self::Dense { matrix, add: bias }, Step::Dense { matrix: next, add, .. }) => {
                let product = |x: &[f64]| super::network::dense(x, next, &vec![0.0; add.len()]);
                let made = matrix.chunks_exact(bias.len()).flat_map(product).collect();
                Self::Dense { matrix: made, add: super::network::dense(&bias, next, add) }
            }
            // Scalars and softmax are no affine steps.
            (affine, _) => affine,
        }
    }

    fn into_layer(self, functions: Vec<Scalar>, layer: usize) -> Result<Layer, ImportError> {
        let (matrix, add) = match self {
            Self::Dense { matrix, add } => (matrix, add),
            Self::Scale(pairs) => {
                let width = pairs.len();
                if width.saturating_mul(width) > MAX_LAYER_CELLS {
                    return Err(ImportError::OutOfRange { layer });
                }
                let mut matrix = vec![0.0; width * width];
                for (cell, (multiply, _)) in matrix.iter_mut().step_by(width + 1).zip(&pairs) {
                    *cell = *multiply;
                }
                (matrix, pairs.iter().map(|(_, add)| *add).collect())
            }
        };
        if matrix.iter().chain(&add).all(|value| value.is_finite()) {
            Ok(Layer { matrix, add, functions })
        } else {
            Err(ImportError::OutOfRange { layer })
        }
    }
}
