//! Questions as a person would look at them.

use crate::failure::Failure;
use crate::input_file::{InputFile, OneInput};
use tacit_gateway::NamedRow;
use tacit_graph::Graph;

/// Draws an 8 by 8 picture, or lists the first named features or columns.
pub(crate) fn draw(graph: &Graph, input: &str) -> Result<Vec<String>, Failure> {
    let tensor = match InputFile::from_json(input)?.one(None)? {
        OneInput::Tensor(tensor) => tensor,
        OneInput::Row(NamedRow(cells)) => {
            let named: Vec<String> = cells.iter().map(|(name, text)| format!("{name} {text}")).collect();
            return Ok(first(&named, named.len()));
        }
    };
    let named: Vec<String> = graph
        .features
        .iter()
        .zip(&tensor.data)
        .filter(|(feature, _)| !feature.name.is_empty())
        .map(|(feature, value)| format!("{} {value}", feature.name))
        .collect();
    if tensor.data.len() == SIDE * SIDE && named.is_empty() {
        return Ok(tensor.data.chunks(SIDE).map(|row| row.iter().map(|&ink| shade(ink)).collect()).collect());
    }
    Ok(first(&named, tensor.data.len()))
}

fn first(named: &[String], count: usize) -> Vec<String> {
    let mut lines: Vec<String> = named.iter().take(NAMED_SHOWN).cloned().collect();
    let more = count.saturating_sub(lines.len());
    lines.push(format!("… and {more} more"));
    lines
}

/// Two characters wide, so that a pixel is about square; ink is 0 to 16.
fn shade(ink: f64) -> &'static str {
    match ink {
        ink if ink < 2.0 => "  ",
        ink if ink < 6.0 => "░░",
        ink if ink < 10.0 => "▒▒",
        ink if ink < 14.0 => "▓▓",
        _ => "██",
    }
}

const SIDE: usize = 8;
const NAMED_SHOWN: usize = 4;
