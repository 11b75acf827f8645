//! One file per command.

pub(crate) mod ask;
pub(crate) mod audit;
pub(crate) mod bench;
#[cfg(feature = "pbs")]
pub(crate) mod circuit;
pub(crate) mod crowd;
pub(crate) mod encrypt;
pub(crate) mod follow;
pub(crate) mod gateway;
pub(crate) mod language;
pub(crate) mod layers;
pub(crate) mod light;
pub(crate) mod load;
pub(crate) mod model;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod prove;
pub(crate) mod receipt;
pub(crate) mod run;
pub(crate) mod up;
pub(crate) mod validators;
pub(crate) mod wallet;
pub(crate) mod worker;
