//! `tacit demo`: the whole promise on this machine, as a story.

mod dishonest;
mod picture;
mod story;

pub(crate) use story::demo;
