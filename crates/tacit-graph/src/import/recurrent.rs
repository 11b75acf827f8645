//! Recurrent layers, one step after the other.
//!
//! ONNX lays inputs out as `[time, batch, features]` (`layout` 0) and weights as `[directions, gates * hidden, inputs]`.
//! Each step is a product with the input, one with the state before, a sum, and a table for each gate.

use super::{
    build::{Builder, Labelled},
    error::NodeReason,
    expr::{Binary, Expr, Unary},
    linear::{times, weigh},
    lower::Value,
    moves::join,
    node::{Made, Node},
    onnx::{Constant, FLOAT},
    operators::mapped,
    tensor::Real,
};

pub(super) fn lstm(node: &Node<'_>, builder: &mut Builder) -> Made {
    run(node, Cell::Lstm, builder)
}

pub(super) fn gru(node: &Node<'_>, builder: &mut Builder) -> Made {
    let after = node.int("linear_before_reset", 0) != 0;
    run(node, Cell::Gru { reset_after: after }, builder)
}

pub(super) fn rnn(node: &Node<'_>, builder: &mut Builder) -> Made {
    run(node, Cell::Rnn, builder)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Lstm,
    Gru { reset_after: bool },
    Rnn,
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru { .. } => 3,
            Self::Rnn => 1,
        }
    }

    fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Self::Gru { .. } => &["Sigmoid", "Tanh"],
            Self::Rnn => &["Tanh"],
        }
    }
}

/// Weights of one direction.
struct Direction {
    cell: Cell,
    hidden: usize,
    functions: Vec<Expr>,
    input: Constant,
    state: Constant,
    /// Bias of the input and of the state, `[gates * hidden]` each.
    bias: [Vec<f64>; 2],
    peepholes: Option<Vec<f64>>,
}

/// A state: a value, or zeros at the start.
type State = Option<Real>;

fn run(node: &Node<'_>, cell: Cell, builder: &mut Builder) -> Made {
    if node.attribute("clip").is_some() {
        return Err(NodeReason::Attribute { name: "clip" });
    }
    if node.optional(4).is_some_and(|value| !matches!(value, Value::Constant(_))) {
        return Err(NodeReason::NeedsConstant { input: 4 });
    }
    let mut given = node.real(0, builder)?;
    let batch_first = node.int("layout", 0) != 0;
    if batch_first {
        given = given.reordered(&[Some(1), Some(0), Some(2)])?;
    }
    let &[time, batch, _] = given.dims().as_slice() else { return Err(NodeReason::Shape) };
    let directions = match node.text("direction", "forward")? {
        "forward" => vec![false],
        "reverse" => vec![true],
        "bidirectional" => vec![false, true],
        _ => return Err(NodeReason::Attribute { name: "direction" }),
    };
    let hidden = usize::try_from(node.int("hidden_size", 0)).unwrap_or(0);
    if hidden == 0 || time.saturating_mul(directions.len()) > MAX_STEPS {
        return Err(NodeReason::TooLarge);
    }
    let (mut outputs, mut last, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    for (index, backwards) in directions.iter().enumerate() {
        let direction = direction(node, cell, hidden, index, directions.len())?;
        let start = |input: usize, builder: &mut Builder| initial(node, input, index, batch_first, builder);
        let (mut state, mut memory) =
            (start(5, builder)?, if cell == Cell::Lstm { start(6, builder)? } else { None });
        let mut steps: Vec<Option<Real>> = vec![None; time];
        let order: Vec<usize> = if *backwards { (0..time).rev().collect() } else { (0..time).collect() };
        for at in order {
            let input = if time == 1 { given.clone() } else { builder.slice(&given, 0, at as i64, 1, 1)? };
            let input = builder.reshape(&input, &[batch, given.dim(2)])?;
            let (next, kept) = direction.step(&input, state.as_ref(), memory.as_ref(), builder)?;
            if let Some(slot) = steps.get_mut(at) {
                *slot = Some(next.clone());
            }
            (state, memory) = (Some(next), kept);
        }
        let steps: Vec<Real> =
            steps.into_iter().flatten().map(|step| with_front(&step, 1)).collect::<Result<_, _>>()?;
        let sequence = if steps.len() == 1 {
            steps.first().cloned().ok_or(NodeReason::Shape)?
        } else {
            join(&steps, 0, builder)?
        };
        // `[time, 1, batch, hidden]`, directions along the second axis.
        outputs.push(sequence.reordered(&[Some(0), None, Some(1), Some(2)])?);
        last.push(with_front(&state.ok_or(NodeReason::Shape)?, 1)?);
        if let Some(memory) = memory {
            cells.push(with_front(&memory, 1)?);
        }
    }
    let mut whole = |parts: Vec<Real>, axis: usize| match parts.as_slice() {
        [one] => Ok(one.clone()),
        parts => join(parts, axis, builder),
    };
    let (mut y, mut h) = (whole(outputs, 1)?, whole(last, 0)?);
    let mut c = if cells.is_empty() { None } else { Some(whole(cells, 0)?) };
    if batch_first {
        y = y.reordered(&[Some(2), Some(0), Some(1), Some(3)])?;
        h = h.reordered(&[Some(1), Some(0), Some(2)])?;
        c = c.map(|c| c.reordered(&[Some(1), Some(0), Some(2)])).transpose()?;
    }
    let mut made = vec![Value::Real(y), Value::Real(h)];
    made.extend(c.map(Value::Real));
    Ok(made)
}

fn with_front(real: &Real, count: usize) -> Result<Real, NodeReason> {
    let order: Vec<Option<usize>> =
        core::iter::repeat_n(None, count).chain((0..real.rank()).map(Some)).collect();
    real.reordered(&order)
}

/// Row `index` of a constant whose first axis counts directions.
fn part(constant: &Constant, index: usize, directions: usize) -> Result<Constant, NodeReason> {
    let [count, dims @ ..] = constant.dims.as_slice() else { return Err(NodeReason::Shape) };
    let size: usize = dims.iter().product();
    let values = constant.numbers()?.get(index * size..(index + 1) * size).ok_or(NodeReason::Shape)?;
    if *count != directions {
        return Err(NodeReason::Shape);
    }
    Ok(Constant::array(dims.to_vec(), values.to_vec(), FLOAT))
}

fn initial(
    node: &Node<'_>,
    input: usize,
    index: usize,
    batch_first: bool,
    builder: &mut Builder,
) -> Result<State, NodeReason> {
    match node.optional(input) {
        None => Ok(None),
        Some(Value::Constant(constant)) if constant.numbers()?.iter().all(|value| *value == 0.0) => Ok(None),
        Some(Value::Constant(_)) => Err(NodeReason::NeedsRow { input }),
        Some(_) => {
            let given = node.real(input, builder)?;
            let axis = usize::from(batch_first);
            let one =
                if given.dim(axis) == 1 { given } else { builder.slice(&given, axis, index as i64, 1, 1)? };
            let dims = one.dims();
            let (batch, hidden) =
                (dims.get(1 - axis).copied().unwrap_or(1), dims.get(2).copied().unwrap_or(1));
            Ok(Some(builder.reshape(&one, &[batch, hidden])?))
        }
    }
}

fn direction(
    node: &Node<'_>,
    cell: Cell,
    hidden: usize,
    index: usize,
    directions: usize,
) -> Result<Direction, NodeReason> {
    let (input, state) =
        (part(node.constant(1)?, index, directions)?, part(node.constant(2)?, index, directions)?);
    let rows = cell.gates() * hidden;
    if input.dims.first() != Some(&rows) || state.dims != [rows, hidden] {
        return Err(NodeReason::Shape);
    }
    let bias = match node.optional_constant(3)? {
        Some(bias) => {
            let bias = part(bias, index, directions)?;
            let (a, b) = bias.numbers()?.split_at_checked(rows).ok_or(NodeReason::Shape)?;
            if b.len() != rows {
                return Err(NodeReason::Shape);
            }
            [a.to_vec(), b.to_vec()]
        }
        None => [vec![0.0; rows], vec![0.0; rows]],
    };
    let peepholes = match (cell, node.optional_constant(7)?) {
        (Cell::Lstm, Some(peepholes)) => Some(part(peepholes, index, directions)?.numbers()?.to_vec()),
        _ => None,
    };
    let names = node.strings("activations")?;
    let usual = cell.usual();
    let refused = NodeReason::Attribute { name: "activations" };
    let functions = (0..usual.len())
        .map(|at| {
            let name = names
                .get(index * usual.len() + at)
                .map_or_else(|| usual.get(at).copied(), |name| Some(name.as_str()));
            Ok(Expr::X.then(match name.unwrap_or_default() {
                "Sigmoid" => Unary::Sigmoid,
                "Tanh" => Unary::Tanh,
                "Relu" => Unary::Relu,
                "HardSigmoid" => Unary::HardSigmoid { alpha: 0.2, beta: 0.5 },
                "Softsign" => Unary::Softsign,
                "Softplus" => Unary::Softplus,
                _ => return Err(refused.clone()),
            }))
        })
        .collect::<Result<_, _>>()?;
    Ok(Direction { cell, hidden, functions, input, state, bias, peepholes })
}

impl Direction {
    fn step(
        &self,
        input: &Real,
        state: Option<&Real>,
        memory: Option<&Real>,
        builder: &mut Builder,
    ) -> Result<(Real, State), NodeReason> {
        match self.cell {
            Cell::Lstm => self.lstm(input, state, memory, builder),
            Cell::Gru { reset_after } => Ok((self.gru(input, state, reset_after, builder)?, None)),
            Cell::Rnn => {
                let sum = self.gate(0, input, state, true, builder)?;
                Ok((self.function(0, &sum, builder)?, None))
            }
        }
    }

    fn function(&self, index: usize, sum: &Real, builder: &mut Builder) -> Result<Real, NodeReason> {
        mapped(sum, self.functions.get(index).unwrap_or(&Expr::X), builder)
    }

    /// `W x + R h + both biases` for one gate.
    fn gate(
        &self,
        gate: usize,
        input: &Real,
        state: Option<&Real>,
        state_bias: bool,
        builder: &mut Builder,
    ) -> Result<Real, NodeReason> {
        let rows = gate * self.hidden..(gate + 1) * self.hidden;
        let [of_input, of_state] = &self.bias;
        let both = of_input.iter().zip(of_state).map(|(a, b)| a + if state_bias { *b } else { 0.0 });
        let bias: Vec<f64> = both.collect::<Vec<_>>().get(rows.clone()).unwrap_or_default().to_vec();
        let from_input = self.product(&self.input, &rows, input, &bias, builder)?;
        let Some(state) = state else { return Ok(from_input) };
        let from_state = self.product(&self.state, &rows, state, &[], builder)?;
        let dims = from_input.dims();
        builder.add(&[(1.0, from_input), (1.0, from_state)], 0.0, &dims)
    }

    fn product(
        &self,
        weights: &Constant,
        rows: &core::ops::Range<usize>,
        given: &Real,
        bias: &[f64],
        builder: &mut Builder,
    ) -> Result<Real, NodeReason> {
        let width = weights.dims.get(1).copied().unwrap_or(0);
        let values = weights.numbers()?.get(rows.start * width..rows.end * width).ok_or(NodeReason::Shape)?;
        let weights = Constant::array(vec![self.hidden, width], values.to_vec(), FLOAT);
        let side = Labelled { real: given.clone(), labels: vec![0, 1] };
        let made = weigh(&side, &weights, &[2, 1], &[0, 2], builder)?;
        if bias.iter().all(|value| *value == 0.0) {
            return Ok(made);
        }
        let bias = Constant::array(vec![1, self.hidden], bias.to_vec(), FLOAT);
        builder.affine(&made, None, Some(&bias), true)
    }

    /// Gates in ONNX order: input, output, forget, cell.
    fn lstm(
        &self,
        input: &Real,
        state: Option<&Real>,
        memory: Option<&Real>,
        builder: &mut Builder,
    ) -> Result<(Real, State), NodeReason> {
        let sum = |gate: usize, seen: Option<&Real>, builder: &mut Builder| -> Result<Real, NodeReason> {
            let sum = self.gate(gate, input, state, true, builder)?;
            let (Some(peepholes), Some(seen), true) = (&self.peepholes, seen, gate < 3) else {
                return Ok(sum);
            };
            let weights =
                peepholes.get(gate * self.hidden..(gate + 1) * self.hidden).ok_or(NodeReason::Shape)?;
            let weights = Constant::array(vec![1, self.hidden], weights.to_vec(), FLOAT);
            let peeped = builder.affine(seen, Some(&weights), None, false)?;
            let dims = sum.dims();
            builder.add(&[(1.0, sum), (1.0, peeped)], 0.0, &dims)
        };
        let enter = sum(0, memory, builder)?;
        let enter = self.function(0, &enter, builder)?;
        let candidate = sum(3, None, builder)?;
        let candidate = self.function(1, &candidate, builder)?;
        let entering = times(&enter, &candidate, builder)?;
        let kept = match memory {
            Some(memory) => {
                let forget = sum(2, Some(memory), builder)?;
                let forget = self.function(0, &forget, builder)?;
                let kept = times(&forget, memory, builder)?;
                let dims = kept.dims();
                builder.add(&[(1.0, entering), (1.0, kept)], 0.0, &dims)?
            }
            None => entering,
        };
        let leave = sum(1, Some(&kept), builder)?;
        let leave = self.function(0, &leave, builder)?;
        let shown = self.function(2, &kept, builder)?;
        Ok((times(&leave, &shown, builder)?, Some(kept)))
    }

    /// Gates in ONNX order: update, reset, hidden.
    fn gru(
        &self,
        input: &Real,
        state: Option<&Real>,
        reset_after: bool,
        builder: &mut Builder,
    ) -> Result<Real, NodeReason> {
        let update = self.gate(0, input, state, true, builder)?;
        let update = self.function(0, &update, builder)?;
        let reset = self.gate(1, input, state, true, builder)?;
        let reset = self.function(0, &reset, builder)?;
        let rows = 2 * self.hidden..3 * self.hidden;
        let candidate = if reset_after {
            let from_input = self.gate(2, input, None, false, builder)?;
            let [_, of_state] = &self.bias;
            let bias = of_state.get(rows.clone()).unwrap_or_default();
            let from_state = match state {
                Some(state) => {
                    let from_state = self.product(&self.state, &rows, state, bias, builder)?;
                    Some(times(&reset, &from_state, builder)?)
                }
                None if bias.iter().all(|value| *value == 0.0) => None,
                None => {
                    let bias = Constant::array(vec![1, self.hidden], bias.to_vec(), FLOAT);
                    Some(builder.affine(&reset, Some(&bias), None, false)?)
                }
            };
            match from_state {
                Some(from_state) => {
                    let dims = from_input.dims();
                    builder.add(&[(1.0, from_input), (1.0, from_state)], 0.0, &dims)?
                }
                None => from_input,
            }
        } else {
            let seen = state.map(|state| times(&reset, state, builder)).transpose()?;
            self.gate(2, input, seen.as_ref(), true, builder)?
        };
        let candidate = self.function(1, &candidate, builder)?;
        let rest = mapped(&update, &Expr::times(-1.0).with(Binary::Add, Expr::Number(1.0)), builder)?;
        let fresh = times(&rest, &candidate, builder)?;
        let Some(state) = state else { return Ok(fresh) };
        let old = times(&update, state, builder)?;
        let dims = fresh.dims();
        builder.add(&[(1.0, fresh), (1.0, old)], 0.0, &dims)
    }
}

/// Most steps of one layer.
const MAX_STEPS: usize = 1 << 10;
