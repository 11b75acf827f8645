//! Values of a run.

use crate::{graph::TensorId, shapes::ElementType};

/// Every tensor of a run.
#[derive(Clone, PartialEq, Eq)]
pub struct Trace {
    /// Rows of every tensor.
    pub rows: usize,
    /// Indexed by [`TensorId`].
    pub tensors: Vec<Tensor>,
}

/// Values of one tensor, row-major: rows first, then the tensor's axes.
#[derive(Clone, PartialEq, Eq)]
pub enum Tensor {
    /// [`ElementType::I8`].
    I8(Vec<i8>),
    /// [`ElementType::I16`].
    I16(Vec<i16>),
    /// [`ElementType::I32`].
    I32(Vec<i32>),
}

impl Trace {
    /// The logits, row-major `[rows][outputs]`.
    #[must_use]
    pub fn logits(&self) -> Vec<i32> {
        self.tensors.last().map_or_else(Vec::new, Tensor::to_i32_vec)
    }

    /// Tensor `id`, if there is one.
    #[must_use]
    pub fn tensor(&self, TensorId(id): TensorId) -> Option<&Tensor> {
        self.tensors.get(id as usize)
    }
}

impl Tensor {
    /// How many values there are, over all rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::I8(values) => values.len(),
            Self::I16(values) => values.len(),
            Self::I32(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How they are stored.
    #[must_use]
    pub fn element(&self) -> ElementType {
        match self {
            Self::I8(_) => ElementType::I8,
            Self::I16(_) => ElementType::I16,
            Self::I32(_) => ElementType::I32,
        }
    }

    /// One value; zero past the end.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> i32 {
        match self {
            Self::I8(values) => values.get(index).map_or(0, |value| i32::from(*value)),
            Self::I16(values) => values.get(index).map_or(0, |value| i32::from(*value)),
            Self::I32(values) => values.get(index).copied().unwrap_or(0),
        }
    }

    /// All values in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = i32> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// All values, widened.
    #[must_use]
    pub fn to_i32_vec(&self) -> Vec<i32> {
        match self {
            Self::I8(values) => values.iter().map(|value| i32::from(*value)).collect(),
            Self::I16(values) => values.iter().map(|value| i32::from(*value)).collect(),
            Self::I32(values) => values.clone(),
        }
    }

    /// The values, if they are stored as `i8`.
    #[must_use]
    pub fn as_i8(&self) -> Option<&[i8]> {
        if let Self::I8(values) = self { Some(values) } else { None }
    }

    /// The values, if they are stored as `i16`.
    #[must_use]
    pub fn as_i16(&self) -> Option<&[i16]> {
        if let Self::I16(values) = self { Some(values) } else { None }
    }

    /// The values, if they are stored as `i32`.
    #[must_use]
    pub fn as_i32(&self) -> Option<&[i32]> {
        if let Self::I32(values) = self { Some(values) } else { None }
    }

    /// Values of any width as `element`, which they fit: interval arithmetic saw to it. Saturates otherwise.
    pub(crate) fn from_values(element: ElementType, values: &[i64]) -> Self {
        match element {
            ElementType::I8 => Self::I8(values.iter().map(|v| (*v).clamp(-0x80, 0x7f) as i8).collect()),
            ElementType::I16 => {
                Self::I16(values.iter().map(|v| (*v).clamp(-0x8000, 0x7fff) as i16).collect())
            }
            ElementType::I32 => {
                let narrow = |v: &i64| (*v).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
                Self::I32(values.iter().map(narrow).collect())
            }
        }
    }
}

// A trace is the client's data and a function of the owner's weights: its values stay out of logs.
impl core::fmt::Debug for Trace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Trace").field("rows", &self.rows).field("tensors", &self.tensors).finish()
    }
}

impl core::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}[{}]", self.element(), self.len())
    }
}
