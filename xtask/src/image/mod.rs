//! `cargo xtask image`: makes a confidential worker's image from the files that its recipe names, and computes what hardware will report of it.
//!
//! The same files make the same bytes, on any machine and at any time: an archive with nothing in it but content, a hash tree, a command line.

mod archive;
mod make;
mod recipe;
mod verity;

pub(crate) use make::run;
