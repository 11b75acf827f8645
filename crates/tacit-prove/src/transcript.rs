//! The prover's transcript: what it sends is written to the proof and bound to the sponge.

use p3_field::PrimeCharacteristicRing;
use tacit_verify::{
    commitment::Challenger,
    context::{draw, observe},
    field::{Ef, ef_to_bytes},
    oracle::observe_root,
};

/// Mirror of [`tacit_verify::context::Plain`] and, with masks, of [`tacit_verify::masked::Masked`].
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) challenger: Challenger,
    pub(crate) proof: Vec<u8>,
    masks: Masks,
}

/// What covers the values that are sent.
#[derive(Debug)]
enum Masks {
    /// Nothing.
    None,
    /// One committed element each, last first.
    Left(Vec<Ef>),
    /// More values were sent than there are masks.
    Exhausted,
}

impl Transcript {
    /// Sends values in the clear.
    pub(crate) fn plain(challenger: Challenger, proof: Vec<u8>) -> Self {
        Self { challenger, proof, masks: Masks::None }
    }

    /// Covers the values sent by `masks`, in order.
    pub(crate) fn masked(challenger: Challenger, proof: Vec<u8>, masks: &[Ef]) -> Self {
        Self { challenger, proof, masks: Masks::Left(masks.iter().rev().copied().collect()) }
    }

    /// Whether every value was covered by its mask and no mask is left.
    pub(crate) fn masks_used(&self) -> bool {
        matches!(&self.masks, Masks::Left(masks) if masks.is_empty())
    }

    pub(crate) fn send(&mut self, value: Ef) {
        let sent = match &mut self.masks {
            Masks::None => value,
            Masks::Left(masks) => match masks.pop() {
                Some(mask) => value + mask,
                None => {
                    self.masks = Masks::Exhausted;
                    Ef::ZERO
                }
            },
            // Never a value without its mask.
            Masks::Exhausted => Ef::ZERO,
        };
        self.proof.extend_from_slice(&ef_to_bytes(&sent));
        observe(&mut self.challenger, sent);
    }

    pub(crate) fn send_root(&mut self, root: &[u8; 32]) {
        self.proof.extend_from_slice(root);
        observe_root(root, &mut self.challenger);
    }

    /// Sends a value that everyone may see.
    pub(crate) fn send_public(&mut self, value: Ef) {
        self.proof.extend_from_slice(&ef_to_bytes(&value));
        observe(&mut self.challenger, value);
    }

    pub(crate) fn challenge(&mut self) -> Ef {
        draw(&mut self.challenger)
    }

    pub(crate) fn challenge_point(&mut self, vars: usize) -> Vec<Ef> {
        (0..vars).map(|_| self.challenge()).collect()
    }
}
