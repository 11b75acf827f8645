//! Moves scale between layers, channel by channel, so that one unit fits the weights of all channels.
//!
//! A channel that is made by one layer, goes through a function of two lines that meet at zero, and is read by layers
//! with weights of their own for it, can be scaled by any positive factor on the way. The factor chosen makes its
//! weights on both sides equally large (cross-layer equalisation, Nagel et al. 2019, section 4.1).

use super::program::{Factor, Node, Program, Values};
use crate::graph::View;

/// The same network with equalised weights; none where nothing can be moved.
pub(super) fn equalised(program: &Program) -> Option<Program> {
    let mut made = program.clone();
    let readers = program.readers();
    let mut links = Vec::new();
    for index in 0..program.nodes.len() {
        links.extend(link(program, &readers, index));
    }
    if links.is_empty() {
        return None;
    }
    for _ in 0..ROUNDS {
        for link in &links {
            link.balance(&mut made);
        }
    }
    Some(made)
}

/// A layer and those that read what it makes.
struct Link {
    maker: usize,
    /// Output axis of the maker that counts channels.
    axis: u8,
    /// Layers that read it, and their axis for the channels.
    readers: Vec<(usize, u8)>,
}

/// The link from a layer with weights through one function to layers with weights.
fn link(program: &Program, readers: &[Vec<usize>], maker: usize) -> Option<Link> {
    let Node::Contract { axes, right: Factor::Weights { values, .. }, bias, .. } =
        program.nodes.get(maker)?
    else {
        return None;
    };
    // Channels lie last.
    let axis = u8::try_from(axes.len().checked_sub(1)?).ok()?;
    let biased = bias.as_ref().is_none_or(|bias| bias.axes.contains(&axis));
    if !values.axes.contains(&axis) || !biased {
        return None;
    }
    let [map] = readers.get(maker + 1)?.as_slice() else { return None };
    let Node::Map { function, .. } = program.nodes.get(*map)? else { return None };
    if !function.is_homogeneous() {
        return None;
    }
    let mut found = Vec::new();
    for reader in readers.get(map + 1)? {
        let Node::Contract { left, right: Factor::Weights { values, .. }, .. } =
            program.nodes.get(*reader)?
        else {
            return None;
        };
        found.push((
            *reader,
            channel_axis(left, usize::from(axis)).filter(|axis| values.axes.contains(axis))?,
        ));
    }
    (!found.is_empty()).then_some(Link { maker, axis, readers: found })
}

/// The operator axis that alone goes along axis `place` of the tensor that a view reads.
fn channel_axis(view: &View, place: usize) -> Option<u8> {
    let mut first = 0;
    for group in &view.groups {
        if first == place {
            let [stride] = group.strides.as_slice() else { return None };
            let plain = group.span == 1 && group.offset == 0 && stride.stride == 1 && group.divisor == 1;
            return plain.then_some(stride.axis);
        }
        first += usize::from(group.span);
    }
    None
}

impl Link {
    fn balance(&self, program: &mut Program) -> Option<()> {
        let made = largest(program, self.maker, self.axis)?;
        let mut read = vec![0.0f64; made.len()];
        for (reader, axis) in &self.readers {
            let more = largest(program, *reader, *axis)?;
            if more.len() != read.len() {
                return None;
            }
            read.iter_mut().zip(more).for_each(|(most, more)| *most = most.max(more));
        }
        // Dead channels stay as they are.
        let factor = |(made, read): (&f64, &f64)| {
            if *made > 0.0 && *read > 0.0 { (read / made).sqrt().clamp(1e-3, 1e3) } else { 1.0 }
        };
        let factors: Vec<f64> = made.iter().zip(&read).map(factor).collect();
        // What matters is how channels compare, not how large all of them are.
        let mean = factors.iter().map(|factor| factor.ln()).sum::<f64>() / factors.len().max(1) as f64;
        let factors: Vec<f64> = factors.iter().map(|factor| factor / mean.exp()).collect();
        let inverse: Vec<f64> = factors.iter().map(|factor| 1.0 / factor).collect();
        scale(program, self.maker, self.axis, &factors, true)?;
        for (reader, axis) in &self.readers {
            scale(program, *reader, *axis, &inverse, false)?;
        }
        Some(())
    }
}

/// Numbers between one place along an axis and the next, and places.
fn step(node: &Node, values: &Values, axis: u8) -> Option<(usize, usize)> {
    let Node::Contract { axes, summed, .. } = node else { return None };
    let (count, below) = values.steps(&[axes.as_slice(), summed].concat(), axis)?;
    Some((below, count))
}

/// Largest weight for each place along an axis.
fn largest(program: &Program, layer: usize, axis: u8) -> Option<Vec<f64>> {
    let node = program.nodes.get(layer)?;
    let Node::Contract { right: Factor::Weights { values, .. }, .. } = node else { return None };
    let (below, count) = step(node, values, axis)?;
    let mut most = vec![0.0f64; count];
    for (cell, value) in values.data.iter().enumerate() {
        if let Some(slot) = most.get_mut(cell / below % count) {
            *slot = slot.max(value.abs());
        }
    }
    Some(most)
}

/// Multiplies a layer's weights, and its biases if asked, along an axis.
fn scale(program: &mut Program, layer: usize, axis: u8, factors: &[f64], biases: bool) -> Option<()> {
    let node = program.nodes.get(layer)?.clone();
    let scaled = |values: &Values| -> Option<Values> {
        let (below, count) = step(&node, values, axis)?;
        let factor = |cell: usize| factors.get(cell / below % count).copied().unwrap_or(1.0);
        let data = values.data.iter().enumerate().map(|(cell, value)| value * factor(cell)).collect();
        Some(Values { axes: values.axes.clone(), data })
    };
    let Some(Node::Contract { right: Factor::Weights { values, grid }, bias, .. }) =
        program.nodes.get_mut(layer)
    else {
        return None;
    };
    *values = scaled(values)?;
    *grid = None;
    if let (true, Some(bias)) = (biases, bias) {
        *bias = scaled(bias)?;
    }
    Some(())
}

/// Passes over all links: scale moves through chains of layers.
const ROUNDS: usize = 8;
