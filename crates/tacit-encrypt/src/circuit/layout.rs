//! What of a row is encrypted: for each input the integer itself, or its steps, or both.
//!
//! The *steps* of an input `x` from `low` to `high` are the numbers `[x >= t]` for `low < t <= high`, each zero or one. Any function of `x` is a
//! sum of them: `f(x) = f(low) + sum (f(t) - f(t - 1)) [x >= t]`, and a comparison is one of them, so that it brings the noise of one
//! ciphertext.

use super::{
    compile::{Circuit, Form, Misfit},
    value::{Atom, Levels, Part},
};

/// Most numbers to encrypt for one question.
pub const MAX_SLOTS: usize = 1 << 14;
/// Most outputs.
pub const MAX_OUTPUTS: usize = 1 << 8;

/// How one input is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The integer itself.
    pub(crate) whole: bool,
    /// Its steps.
    pub(crate) steps: bool,
}

/// Where the numbers of each input are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    inputs: Vec<(Shape, Levels, usize)>,
    slots: usize,
}

impl Layout {
    /// # Errors
    /// How many numbers there would be, if too many.
    pub(crate) fn new(shapes: &[Shape], levels: &[Levels]) -> Result<Self, usize> {
        let mut slots = 0usize;
        let mut inputs = Vec::with_capacity(shapes.len());
        for (shape, levels) in shapes.iter().zip(levels) {
            inputs.push((*shape, *levels, slots));
            let steps = if shape.steps { levels.count().saturating_sub(1) } else { 0 };
            slots = slots.saturating_add(steps + usize::from(shape.whole));
        }
        if slots > MAX_SLOTS {
            return Err(slots);
        }
        Ok(Self { inputs, slots })
    }

    /// What a circuit reads of its inputs.
    pub(crate) fn of(circuit: &Circuit) -> Result<Self, Misfit> {
        let mut shapes = vec![Shape { whole: false, steps: false }; circuit.inputs.len()];
        for (atom, part) in circuit.lookups.iter().flat_map(|lookup| &lookup.form) {
            if let Atom::Input(input) = atom
                && let Some(shape) = shapes.get_mut(*input as usize)
            {
                match part {
                    Part::Times(_) => shape.whole = true,
                    Part::Table(_) => shape.steps = true,
                }
            }
        }
        Self::new(&shapes, &circuit.inputs).map_err(|slots| Misfit::Slots { got: slots })
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs.len()
    }

    pub(crate) fn shapes(&self) -> impl Iterator<Item = Shape> + '_ {
        self.inputs.iter().map(|(shape, _, _)| *shape)
    }

    /// The first input outside its levels.
    #[cfg(feature = "client")]
    pub(crate) fn outside(&self, row: &[i16]) -> Option<usize> {
        let inside = |x: &i16, levels: &Levels| (levels.low..=levels.high).contains(&i64::from(*x));
        row.iter().zip(&self.inputs).position(|(x, (_, levels, _))| !inside(x, levels))
    }

    /// The numbers of a row.
    #[cfg(any(feature = "client", test))]
    pub(crate) fn encode(&self, row: &[i16]) -> Vec<i64> {
        let mut slots = Vec::with_capacity(self.slots);
        for (x, (shape, levels, _)) in row.iter().zip(&self.inputs) {
            let x = i64::from(*x);
            if shape.whole {
                slots.push(x);
            }
            if shape.steps {
                slots.extend((levels.low + 1..=levels.high).map(|t| i64::from(x >= t)));
            }
        }
        slots
    }

    /// A sum of inputs as a sum of numbers: which, and how often each counts.
    pub(crate) fn terms(&self, form: &Form) -> Vec<(usize, i64)> {
        let mut terms = Vec::new();
        for (atom, part) in form {
            let Atom::Input(input) = atom else { continue };
            let Some((shape, _, first)) = self.inputs.get(*input as usize) else { continue };
            match part {
                Part::Times(times) => terms.push((*first, *times)),
                Part::Table(values) => {
                    let first = first + usize::from(shape.whole);
                    let jumps = values.iter().zip(values.iter().skip(1)).map(|(from, to)| to - from);
                    terms.extend((first..).zip(jumps).filter(|(_, jump)| *jump != 0));
                }
            }
        }
        terms
    }

    /// Mean and variance of each number for a row that is uniform in its ranges.
    pub(crate) fn moments(&self) -> Vec<Moments> {
        let mut moments = Vec::with_capacity(self.slots);
        for (shape, levels, _) in &self.inputs {
            if shape.whole {
                let spread = (levels.high - levels.low) as f64;
                let mean = (levels.high + levels.low) as f64 / 2.0;
                moments.push(Moments { mean, variance: spread * spread / 12.0 });
            }
            if shape.steps {
                let one = Moments { mean: 0.5, variance: 0.25 };
                moments.extend(core::iter::repeat_n(one, levels.count().saturating_sub(1)));
            }
        }
        moments
    }
}

/// What a number is like.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Moments {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}
