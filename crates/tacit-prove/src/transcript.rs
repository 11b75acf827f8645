//! The prover's transcript: what it sends is written to the proof and bound to the sponge.

use p3_field::PrimeCharacteristicRing;
use tacit_verify::{
    commitment::Challenger,
    context::{draw, observe},
    field::{Ef, ef_to_bytes},
    oracle::observe_root,
};

use crate::private::Private;

/// Mirror of [`tacit_verify::context::Plain`] and, with masks, of [`tacit_verify::masked::Masked`].
pub(crate) struct Transcript {
    pub(crate) challenger: Challenger,
    pub(crate) proof: Vec<u8>,
    masks: Masks,
    #[cfg(test)]
    sent: usize,
}

/// What covers the values that are sent.
enum Masks {
    /// Nothing.
    None,
    /// One committed element each, and how many are used.
    Committed(Private<Ef>, usize),
    /// More values were sent than there are masks.
    Exhausted,
}

impl Transcript {
    fn new(challenger: Challenger, proof: Vec<u8>, masks: Masks) -> Self {
        Self {
            challenger,
            proof,
            masks,
            #[cfg(test)]
            sent: 0,
        }
    }

    /// Sends values in the clear.
    pub(crate) fn plain(challenger: Challenger, proof: Vec<u8>) -> Self {
        Self::new(challenger, proof, Masks::None)
    }

    /// Covers the values sent by `masks`, in order.
    pub(crate) fn masked(challenger: Challenger, proof: Vec<u8>, masks: &[Ef]) -> Self {
        Self::new(challenger, proof, Masks::Committed(masks.to_vec().into(), 0))
    }

    /// Whether every value was covered by its mask and no mask is left.
    pub(crate) fn masks_used(&self) -> bool {
        matches!(&self.masks, Masks::Committed(masks, used) if masks.len() == *used)
    }

    pub(crate) fn send(&mut self, value: Ef) {
        #[cfg(test)]
        let value = lies::told(&mut self.sent, value);
        let sent = match &mut self.masks {
            Masks::None => value,
            Masks::Committed(masks, used) => match masks.get(*used).copied() {
                Some(mask) => {
                    *used += 1;
                    value + mask
                }
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

/// Provers that say one thing and go on as if they had said another.
#[cfg(test)]
pub(crate) mod lies {
    use core::cell::Cell;

    use p3_field::PrimeCharacteristicRing;
    use tacit_verify::field::Ef;

    thread_local! {
        static LIE: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Has the value with this number sent one too large by whatever `work` proves.
    pub(crate) fn telling<T>(lie: usize, work: impl FnOnce() -> T) -> T {
        LIE.set(Some(lie));
        let made = work();
        LIE.set(None);
        made
    }

    pub(super) fn told(sent: &mut usize, value: Ef) -> Ef {
        let lie = LIE.get() == Some(*sent);
        *sent += 1;
        if lie { value + Ef::ONE } else { value }
    }
}
