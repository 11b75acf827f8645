//! Validators in a simulated network, on a simulated clock and disk, from a seed; the seed is printed when a test fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod byzantine;
mod ceremony;
mod chaos;
mod check;
mod clock;
mod epochs;
mod execution;
mod faults;
mod finality;
mod genesis;
mod liar;
mod light;
mod links;
mod machine;
mod network;
mod payload;
mod peers;
mod people;
mod pool;
mod storage;
mod sync;
mod twins;
mod votes;
mod wire;
mod world;
