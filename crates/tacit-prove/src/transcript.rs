//! The prover's transcript: what it sends is written to the proof and bound to the sponge.

use tacit_verify::{
    commitment::Challenger,
    context::{draw, observe},
    field::{Ef, ef_to_bytes},
};

/// Mirror of [`tacit_verify::context::Plain`].
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) challenger: Challenger,
    pub(crate) proof: Vec<u8>,
}

impl Transcript {
    pub(crate) fn send(&mut self, value: Ef) {
        self.proof.extend_from_slice(&ef_to_bytes(&value));
        observe(&mut self.challenger, value);
    }

    /// Sends a value that everyone may see.
    pub(crate) fn send_public(&mut self, value: Ef) {
        self.send(value);
    }

    pub(crate) fn challenge(&mut self) -> Ef {
        draw(&mut self.challenger)
    }

    pub(crate) fn challenge_point(&mut self, vars: usize) -> Vec<Ef> {
        (0..vars).map(|_| self.challenge()).collect()
    }
}
