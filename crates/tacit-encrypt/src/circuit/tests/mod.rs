//! The circuit from inside: noise against its formulas, and circuits and programs against the executor.

mod compile;
mod programs;
mod trees;
