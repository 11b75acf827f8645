//! The verifier's view of a transcript, so that the protocol is written once.
//!
//! Protocol code never looks at what the prover sends: it receives [`Value`]s, combines them linearly with public
//! constants, multiplies two of them through the [`Context`], and asserts that results are zero. The
//! [`Plain`] context reads values from the proof and checks at once. A context in which the prover sends masked
//! values, and each assertion becomes a relation over the masks to be proved in the end, gives zero knowledge to
//! every operator at once (VEIL, eprint 2026/683); no operator can tell the difference.

use p3_challenger::FieldChallenger;
use p3_field::PrimeCharacteristicRing;

use crate::{
    commitment::Challenger,
    field::{Ef, Fp},
    reader::Reader,
    reject::Reject,
};

/// Something the prover sent, or a linear combination of such things.
pub trait Value: Clone {
    /// A public constant.
    fn constant(value: Ef) -> Self;
    /// Sum.
    #[must_use]
    fn plus(&self, other: &Self) -> Self;
    /// Difference.
    #[must_use]
    fn minus(&self, other: &Self) -> Self;
    /// Product with a public constant.
    #[must_use]
    fn scale(&self, by: Ef) -> Self;
    /// Sum with a public constant.
    #[must_use]
    fn offset(&self, by: Ef) -> Self {
        self.plus(&Self::constant(by))
    }
}

/// What protocol code needs of a transcript.
pub trait Context {
    /// Values of this context.
    type Value: Value;

    /// Receives the next value from the prover and binds it to the transcript.
    ///
    /// # Errors
    /// When the proof has no well-formed next value.
    fn receive(&mut self) -> Result<Self::Value, Reject>;

    /// Receives a value that everyone may see, and binds it to the transcript.
    ///
    /// # Errors
    /// As [`Self::receive`].
    fn receive_public(&mut self) -> Result<Ef, Reject>;

    /// Draws a challenge that depends on everything received so far.
    fn challenge(&mut self) -> Ef;

    /// The product of two values.
    fn multiply(&mut self, a: &Self::Value, b: &Self::Value) -> Self::Value;

    /// Demands that a value is zero.
    ///
    /// # Errors
    /// `reject`, when it is known not to be.
    fn assert_zero(&mut self, value: &Self::Value, reject: Reject) -> Result<(), Reject>;

    /// Receives several values.
    ///
    /// # Errors
    /// As [`Self::receive`].
    fn receive_array<const N: usize>(&mut self) -> Result<[Self::Value; N], Reject> {
        let mut values = core::array::from_fn(|_| Self::Value::constant(Ef::ZERO));
        for value in &mut values {
            *value = self.receive()?;
        }
        Ok(values)
    }

    /// Draws a point.
    fn challenge_point(&mut self, vars: usize) -> Vec<Ef> {
        (0..vars).map(|_| self.challenge()).collect()
    }
}

impl Value for Ef {
    fn constant(value: Ef) -> Self {
        value
    }

    fn plus(&self, other: &Self) -> Self {
        *self + *other
    }

    fn minus(&self, other: &Self) -> Self {
        *self - *other
    }

    fn scale(&self, by: Ef) -> Self {
        *self * by
    }
}

/// Values in the clear, read from a proof and checked at once.
#[derive(Debug)]
pub struct Plain<'a, 'b> {
    challenger: &'a mut Challenger,
    proof: &'a mut Reader<'b>,
}

impl<'a, 'b> Plain<'a, 'b> {
    /// Reads values from `proof` and binds them to `challenger`.
    ///
    /// # Soundness
    /// The caller MUST have absorbed the statement and all commitments into `challenger`.
    pub fn new(challenger: &'a mut Challenger, proof: &'a mut Reader<'b>) -> Self {
        Self { challenger, proof }
    }
}

impl Context for Plain<'_, '_> {
    type Value = Ef;

    fn receive(&mut self) -> Result<Ef, Reject> {
        let value = self.proof.extension()?;
        observe(self.challenger, value);
        Ok(value)
    }

    fn receive_public(&mut self) -> Result<Ef, Reject> {
        self.receive()
    }

    fn challenge(&mut self) -> Ef {
        draw(self.challenger)
    }

    fn multiply(&mut self, a: &Ef, b: &Ef) -> Ef {
        *a * *b
    }

    fn assert_zero(&mut self, value: &Ef, reject: Reject) -> Result<(), Reject> {
        if *value == Ef::ZERO { Ok(()) } else { Err(reject) }
    }
}

/// Binds a value to the transcript.
pub fn observe(challenger: &mut Challenger, value: Ef) {
    FieldChallenger::<Fp>::observe_algebra_element(challenger, value);
}

/// Draws a challenge from the transcript.
pub fn draw(challenger: &mut Challenger) -> Ef {
    FieldChallenger::<Fp>::sample_algebra_element(challenger)
}
