//! Which graphs are graphs: order, axes, views and limits.
//!
//! Rules that the definitions in [`crate::graph`] do not already say:
//! - every tensor but the last is read by a later node, so that nothing is computed for nobody;
//! - the last tensor has one axis;
//! - sizes that an engine allocates or loops over are bounded: the output axes and the summed axes of an operator by
//!   [`MAX_CELLS`] each and together by [`MAX_WORK`], the index space and the flattened axis of a group by
//!   [`MAX_GROUP`], all weights by [`MAX_PARAMETERS`], all with axes padded to powers of two;
//! - every table is used.

use crate::{
    error::{GraphError, Place},
    graph::{
        Decoder, Feature, Graph, MAX_AXES, MAX_AXIS, MAX_BIAS, MAX_CELLS, MAX_ENCODE_SHIFT, MAX_ENCODE_STEPS,
        MAX_FRACTION_BITS, MAX_INPUT_BITS, MAX_NODES, MAX_PARAMETERS, MAX_REQUANTISE_SHIFT, MAX_TABLE_BITS,
        MAX_TABLES, MAX_TERMS, MAX_TEXT_BYTES, MIN_INPUT_BITS, Operator, Right, TensorId, Term, View,
    },
    shapes::{ElementType, Shapes, TensorShape},
};

impl Graph {
    /// Checks order, axes, views and limits.
    ///
    /// # Errors
    /// The first rule that the graph breaks.
    pub fn validate(&self) -> Result<Shapes, GraphError> {
        self.validate_features()?;
        self.validate_tables()?;
        let shapes = self.validate_nodes()?;
        self.validate_decoder(shapes.outputs())?;
        Ok(shapes)
    }

    fn validate_features(&self) -> Result<(), GraphError> {
        let got = self.features.len();
        if got == 0 || got > MAX_FEATURES {
            return Err(GraphError::FeatureCount { got });
        }
        let cells = check_axes(Place::Input, &self.input_axes)?;
        if u64::try_from(got) != Ok(cells.plain) {
            return Err(GraphError::InputAxes { expected: cells.plain, got });
        }
        if !(MIN_INPUT_BITS..=MAX_INPUT_BITS).contains(&self.input_bits) {
            return Err(GraphError::InputBits { got: self.input_bits });
        }
        let limit = (1usize << (self.input_bits - 1)) - 1;
        let (mut bytes, mut steps) = (0usize, 0usize);
        for (index, feature) in self.features.iter().enumerate() {
            validate_steps(index, feature, limit)?;
            steps = steps.saturating_add(feature.steps.len());
            check_text(&feature.name)?;
            bytes = bytes.saturating_add(feature.name.len());
            if feature.shift > MAX_ENCODE_SHIFT {
                return Err(GraphError::EncodeShift { feature: index, got: feature.shift });
            }
        }
        if bytes > MAX_NAME_BYTES {
            return Err(GraphError::NamesTooLong { got: bytes });
        }
        if steps > MAX_ENCODE_STEPS {
            return Err(GraphError::TooManySteps { got: steps });
        }
        Ok(())
    }

    fn validate_tables(&self) -> Result<(), GraphError> {
        let got = self.tables.len();
        if got > MAX_TABLES {
            return Err(GraphError::TableCount { got });
        }
        let mut used = vec![false; got];
        for (node, operator) in self.nodes.iter().enumerate() {
            let Operator::Requantise { table, .. } = operator else { continue };
            let missing = GraphError::TableMissing { node, table: *table };
            *used.get_mut(usize::from(*table)).ok_or(missing)? = true;
        }
        for (index, (table, used)) in self.tables.iter().zip(used).enumerate() {
            if table.bits == 0 || table.bits > MAX_TABLE_BITS {
                return Err(GraphError::TableBits { table: index, got: table.bits });
            }
            let (expected, got) = (1usize << table.bits, table.values.len());
            if got != expected {
                return Err(GraphError::TableLength { table: index, expected, got });
            }
            if !used {
                return Err(GraphError::TableUnused { table: index });
            }
        }
        Ok(())
    }

    fn validate_nodes(&self) -> Result<Shapes, GraphError> {
        let got = self.nodes.len();
        if got == 0 || got > MAX_NODES {
            return Err(GraphError::NodeCount { got });
        }
        let element = if self.input_bits <= 8 { ElementType::I8 } else { ElementType::I16 };
        let input = TensorShape { axes: self.input_axes.clone(), element };
        let mut check = Check { node: 0, tensors: vec![input], read: vec![false] };
        let (mut layers, mut layer_count) = (Vec::with_capacity(got), 0usize);
        let (mut parameters, mut padded_parameters, mut macs) = (0u64, 0u64, 0u64);
        for (node, operator) in self.nodes.iter().enumerate() {
            check.node = node;
            let shape = self.validate_node(&mut check, operator, &mut macs)?;
            check.tensors.push(shape);
            check.read.push(false);
            let (matrix, bias) = operator.weight_lengths();
            parameters = parameters.saturating_add(matrix).saturating_add(bias);
            padded_parameters = padded_parameters.saturating_add(padded_weights(operator));
            let has_weights = matrix + bias > 0;
            layers.push(has_weights.then_some(layer_count));
            layer_count += usize::from(has_weights);
        }
        if padded_parameters > MAX_PARAMETERS {
            return Err(GraphError::TooManyParameters { got: padded_parameters });
        }
        check.read.pop();
        if let Some(tensor) = check.read.iter().position(|read| !read) {
            return Err(GraphError::Unread { tensor });
        }
        match check.tensors.last() {
            Some(last) if last.axes.len() != 1 => Err(GraphError::OutputAxes { got: last.axes.len() }),
            _ => Ok(Shapes { tensors: check.tensors, layers, parameters, macs }),
        }
    }

    /// Shape of what one operator makes; `macs` grows by its products.
    fn validate_node(
        &self,
        check: &mut Check,
        operator: &Operator,
        macs: &mut u64,
    ) -> Result<TensorShape, GraphError> {
        let node = check.node;
        match operator {
            Operator::Contract { axes, summed, left, right, bias } => {
                let (output, sum) = (check_axes(Place::Output(node), axes)?, check_summed(node, summed)?);
                check_work(node, output, sum)?;
                *macs = macs.saturating_add(output.plain.saturating_mul(sum.plain));
                let sizes = [axes.as_slice(), summed].concat();
                let left = check.view(left, &sizes)?;
                let right = match right {
                    Right::Weights { axes: chosen } => {
                        if chosen.is_empty() {
                            return Err(GraphError::NoWeightAxes { node });
                        }
                        check_distinct(node, chosen, sizes.len())?
                    }
                    Right::View(view) => check.view(view, &sizes)?,
                };
                check_used(node, left | right, 0..axes.len())?;
                check_used(node, left & right, axes.len()..sizes.len())?;
                check_distinct(node, bias.as_deref().unwrap_or_default(), axes.len())?;
                Ok(TensorShape { axes: axes.clone(), element: ElementType::I32 })
            }
            Operator::Combine { axes, terms, constant, bias } => {
                let output = check_axes(Place::Output(node), axes)?;
                if terms.is_empty() || terms.len() > MAX_TERMS {
                    return Err(GraphError::TermCount { node, got: terms.len() });
                }
                check_coefficient(node, *constant)?;
                check_distinct(node, bias.as_deref().unwrap_or_default(), axes.len())?;
                for Term { coefficient, summed, view } in terms {
                    let sum = check_summed(node, summed)?;
                    check_work(node, output, sum)?;
                    if *coefficient == 0 {
                        return Err(GraphError::Coefficient { node, got: 0 });
                    }
                    check_coefficient(node, *coefficient)?;
                    let sizes = [axes.as_slice(), summed].concat();
                    let used = check.view(view, &sizes)?;
                    check_used(node, used, axes.len()..sizes.len())?;
                }
                let element = match terms.as_slice() {
                    [Term { coefficient: 1, summed, view }]
                        if summed.is_empty() && *constant == 0 && bias.is_none() =>
                    {
                        check.element(view.tensor)
                    }
                    _ => ElementType::I32,
                };
                Ok(TensorShape { axes: axes.clone(), element })
            }
            Operator::Maximum { axes, left, right } => {
                check_axes(Place::Output(node), axes)?;
                check.view(left, axes)?;
                check.view(right, axes)?;
                let element = check.element(left.tensor).max(check.element(right.tensor));
                Ok(TensorShape { axes: axes.clone(), element })
            }
            Operator::Requantise { input, shift, table } => {
                let axes = check.read(*input)?.to_vec();
                if *shift > MAX_REQUANTISE_SHIFT {
                    return Err(GraphError::RequantiseShift { node, got: *shift });
                }
                let missing = GraphError::TableMissing { node, table: *table };
                let table = self.tables.get(usize::from(*table)).ok_or(missing)?;
                let narrow = table.values.iter().all(|value| i8::try_from(*value).is_ok());
                Ok(TensorShape { axes, element: if narrow { ElementType::I8 } else { ElementType::I16 } })
            }
        }
    }

    fn validate_decoder(&self, got: usize) -> Result<(), GraphError> {
        let (expected, labels, fraction_bits): (_, &[String], _) = match &self.decoder {
            Decoder::ArgMax { labels, fraction_bits } => (labels.len(), labels, *fraction_bits),
            Decoder::Threshold { labels, fraction_bits } => (1, labels, *fraction_bits),
            Decoder::Values { fraction_bits } => (got, &[], *fraction_bits),
        };
        if expected != got {
            return Err(GraphError::DecoderArity { expected, got });
        }
        if !(-MAX_FRACTION_BITS..=MAX_FRACTION_BITS).contains(&fraction_bits) {
            return Err(GraphError::FractionBits { got: fraction_bits });
        }
        let mut seen = std::collections::BTreeSet::new();
        for (index, label) in labels.iter().enumerate() {
            check_text(label)?;
            if !seen.insert(label.as_str()) {
                return Err(GraphError::LabelTwice { index });
            }
        }
        Ok(())
    }

    /// Axes of a tensor of a graph that may not be valid.
    pub(crate) fn axes_of(&self, TensorId(tensor): TensorId) -> Option<&[u32]> {
        let mut tensor = usize::try_from(tensor).ok()?;
        while let Some(node) = tensor.checked_sub(1) {
            match self.nodes.get(node)? {
                Operator::Contract { axes, .. }
                | Operator::Combine { axes, .. }
                | Operator::Maximum { axes, .. } => return Some(axes),
                // Each step goes to an earlier tensor, or the graph is out of order.
                Operator::Requantise { input: TensorId(input), .. } => {
                    tensor = usize::try_from(*input).ok().filter(|input| *input <= node)?;
                }
            }
        }
        Some(&self.input_axes)
    }
}

fn validate_steps(index: usize, feature: &Feature, limit: usize) -> Result<(), GraphError> {
    let got = feature.steps.len();
    if got > 0 && (feature.offset, feature.multiplier, feature.shift) != (0, 0, 0) {
        return Err(GraphError::StepsScaled { feature: index });
    }
    if got > limit {
        return Err(GraphError::StepCount { feature: index, limit, got });
    }
    match feature.steps.windows(2).position(|pair| matches!(pair, [a, b] if a >= b)) {
        Some(before) => Err(GraphError::StepOrder { feature: index, step: before + 1 }),
        None => Ok(()),
    }
}

/// What is known of the tensors before one node.
struct Check {
    node: usize,
    tensors: Vec<TensorShape>,
    read: Vec<bool>,
}

impl Check {
    /// Axes of a tensor that the node reads.
    fn read(&mut self, TensorId(tensor): TensorId) -> Result<&[u32], GraphError> {
        let refused = GraphError::Order { node: self.node, tensor };
        let index = usize::try_from(tensor).unwrap_or(usize::MAX);
        match (self.tensors.get(index), self.read.get_mut(index)) {
            (Some(shape), Some(read)) => {
                *read = true;
                Ok(&shape.axes)
            }
            _ => Err(refused),
        }
    }

    /// Element of a tensor that [`Self::read`] has found.
    fn element(&self, TensorId(tensor): TensorId) -> ElementType {
        self.tensors.get(tensor as usize).map_or(ElementType::I32, |shape| shape.element)
    }

    /// Checks a view under operator axes of `sizes`; the axes it uses, as bits.
    fn view(&mut self, view: &View, sizes: &[u32]) -> Result<u32, GraphError> {
        let node = self.node;
        let axes = self.read(view.tensor)?;
        let got = view.groups.iter().map(|group| usize::from(group.span)).sum();
        if got != axes.len() {
            return Err(GraphError::Span { node, expected: axes.len(), got });
        }
        let (mut used, mut rest) = (0u32, axes);
        for group in &view.groups {
            let (taken, after) = rest.split_at_checked(usize::from(group.span)).unwrap_or((rest, &[]));
            rest = after;
            if taken.is_empty() {
                return Err(GraphError::SpanEmpty { node });
            }
            check_step(node, i64::from(group.offset), false)?;
            check_step(node, i64::from(group.divisor), true)?;
            let (mut positions, length) = (1u64, padded(taken));
            for stride in &group.strides {
                check_step(node, i64::from(stride.stride), true)?;
                let missing = GraphError::AxisMissing { node, axis: stride.axis };
                let size = sizes.get(usize::from(stride.axis)).ok_or(missing)?;
                if used & (1 << stride.axis) != 0 {
                    return Err(GraphError::AxisTwice { node, axis: stride.axis });
                }
                used |= 1 << stride.axis;
                positions = positions.saturating_mul(padded(&[*size]));
            }
            let got = positions.max(length);
            if got > MAX_GROUP {
                return Err(GraphError::GroupSize { node, got });
            }
        }
        Ok(used)
    }
}

/// Elements of an index space as it is and padded.
#[derive(Clone, Copy)]
struct Cells {
    plain: u64,
    padded: u64,
}

fn check_axes(place: Place, axes: &[u32]) -> Result<Cells, GraphError> {
    if axes.is_empty() { Err(GraphError::AxisCount { place, got: 0 }) } else { check_sizes(place, axes) }
}

fn check_summed(node: usize, axes: &[u32]) -> Result<Cells, GraphError> {
    check_sizes(Place::Summed(node), axes)
}

fn check_sizes(place: Place, axes: &[u32]) -> Result<Cells, GraphError> {
    if axes.len() > MAX_AXES {
        return Err(GraphError::AxisCount { place, got: axes.len() });
    }
    if let Some(got) = axes.iter().copied().find(|axis| *axis == 0 || *axis > MAX_AXIS) {
        return Err(GraphError::AxisSize { place, got });
    }
    let got = padded(axes);
    if got > MAX_CELLS {
        return Err(GraphError::Cells { place, got });
    }
    Ok(Cells { plain: axes.iter().map(|axis| u64::from(*axis)).product(), padded: got })
}

fn check_work(node: usize, output: Cells, sum: Cells) -> Result<(), GraphError> {
    let got = output.padded.saturating_mul(sum.padded);
    if got > MAX_WORK { Err(GraphError::Work { node, got }) } else { Ok(()) }
}

fn check_coefficient(node: usize, got: i32) -> Result<(), GraphError> {
    if got.unsigned_abs() > MAX_BIAS.unsigned_abs() {
        return Err(GraphError::Coefficient { node, got });
    }
    Ok(())
}

fn check_step(node: usize, got: i64, not_zero: bool) -> Result<(), GraphError> {
    if got.unsigned_abs() > MAX_STEP || (not_zero && got == 0) {
        return Err(GraphError::Step { node, got });
    }
    Ok(())
}

/// Axis numbers as bits, if they are distinct and under `count`, which is at most twice [`MAX_AXES`].
fn check_distinct(node: usize, chosen: &[u8], count: usize) -> Result<u32, GraphError> {
    chosen.iter().try_fold(0u32, |used, axis| {
        if usize::from(*axis) >= count {
            return Err(GraphError::AxisMissing { node, axis: *axis });
        }
        let bit = 1 << *axis;
        if used & bit == 0 { Ok(used | bit) } else { Err(GraphError::AxisTwice { node, axis: *axis }) }
    })
}

fn check_used(node: usize, used: u32, range: core::ops::Range<usize>) -> Result<(), GraphError> {
    let unused =
        range.into_iter().find(|axis| used & (1 << axis) == 0).and_then(|axis| u8::try_from(axis).ok());
    unused.map_or(Ok(()), |axis| Err(GraphError::AxisUnused { node, axis }))
}

/// Weights and biases of a valid operator, axes padded.
fn padded_weights(operator: &Operator) -> u64 {
    let over = |axes: &[u32], summed: &[u32], chosen: &[u8]| {
        let size = |axis: &u8| axes.iter().chain(summed).nth(usize::from(*axis)).copied().unwrap_or(1);
        padded(&chosen.iter().map(size).collect::<Vec<u32>>())
    };
    match operator {
        Operator::Contract { axes, summed, right, bias, .. } => {
            let matrix = match right {
                Right::Weights { axes: chosen } => over(axes, summed, chosen),
                Right::View(_) => 0,
            };
            matrix.saturating_add(bias.as_ref().map_or(0, |chosen| over(axes, &[], chosen)))
        }
        Operator::Combine { axes, bias, .. } => bias.as_ref().map_or(0, |chosen| over(axes, &[], chosen)),
        Operator::Maximum { .. } | Operator::Requantise { .. } => 0,
    }
}

/// Elements with every axis padded to a power of two.
fn padded(axes: &[u32]) -> u64 {
    axes.iter().fold(1, |cells, axis| cells.saturating_mul(u64::from(*axis).next_power_of_two()))
}

fn check_text(text: &str) -> Result<(), GraphError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(GraphError::TextTooLong { got: text.len() });
    }
    match text.chars().find(|character| character.is_control()) {
        Some(got) => Err(GraphError::TextControl { got }),
        None => Ok(()),
    }
}

/// Most features.
pub const MAX_FEATURES: usize = 1 << 20;
/// Most bytes of all feature names together.
pub const MAX_NAME_BYTES: usize = 1 << 24;
/// Most positions of a group: its flattened axis, and the index space it is read over, axes padded to powers of two.
pub const MAX_GROUP: u64 = 1 << 20;
/// Largest magnitude of an offset, a stride or a divisor.
pub const MAX_STEP: u64 = 1 << 24;
/// Most additions of one operator or term: output times summed elements, axes padded to powers of two.
pub const MAX_WORK: u64 = 1 << 36;
