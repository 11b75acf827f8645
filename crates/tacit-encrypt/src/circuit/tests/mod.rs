//! The circuit from inside: noise against its formulas, and circuits and programs against the executor.

mod compile;
#[cfg(feature = "client")]
mod noise;
mod programs;
mod trees;
