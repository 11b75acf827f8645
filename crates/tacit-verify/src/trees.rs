//! Merkle trees that are shared instead of copied.
//!
//! An opening consumes the prover's side of a commitment. A model's weights are committed once and opened by every
//! proof, so what the library would copy, many times the size of the weights, stands behind an [`Arc`] here. The verifier's
//! side is the library's own.

use std::sync::Arc;

use p3_commit::{BatchOpening, BatchOpeningRef, Mmcs};
use p3_matrix::{Dimensions, Matrix};

/// A commitment to matrices whose prover data is shared.
#[derive(Debug, Clone)]
pub struct SharedTrees<M>(M);

impl<M> SharedTrees<M> {
    /// Shares the prover data of `trees`.
    #[must_use]
    pub fn new(trees: M) -> Self {
        Self(trees)
    }
}

impl<T: Send + Sync + Clone, M: Mmcs<T>> Mmcs<T> for SharedTrees<M> {
    type ProverData<X> = Arc<M::ProverData<X>>;
    type Commitment = M::Commitment;
    type Proof = M::Proof;
    type MultiProof = M::MultiProof;
    type Error = M::Error;

    fn commit<X: Matrix<T>>(&self, inputs: Vec<X>) -> (Self::Commitment, Self::ProverData<X>) {
        let (commitment, data) = self.0.commit(inputs);
        (commitment, Arc::new(data))
    }

    fn open_batch<X: Matrix<T>>(&self, index: usize, data: &Self::ProverData<X>) -> BatchOpening<T, Self> {
        let (values, proof) = self.0.open_batch(index, data).unpack();
        BatchOpening::new(values, proof)
    }

    fn get_matrices<'a, X: Matrix<T>>(&self, data: &'a Self::ProverData<X>) -> Vec<&'a X> {
        self.0.get_matrices(data)
    }

    fn verify_batch(
        &self,
        commitment: &Self::Commitment,
        dimensions: &[Dimensions],
        index: usize,
        opening: BatchOpeningRef<'_, T, Self>,
    ) -> Result<(), Self::Error> {
        let (values, proof) = opening.unpack();
        self.0.verify_batch(commitment, dimensions, index, BatchOpeningRef::new(values, proof))
    }

    fn open_multi_batch<X: Matrix<T>>(
        &self,
        indices: &[usize],
        data: &Self::ProverData<X>,
    ) -> (Vec<Vec<Vec<T>>>, Self::MultiProof) {
        self.0.open_multi_batch(indices, data)
    }

    fn verify_multi_batch<R: AsRef<[T]> + PartialEq>(
        &self,
        commitment: &Self::Commitment,
        dimensions: &[Dimensions],
        indices: &[usize],
        values: &[Vec<R>],
        proof: &Self::MultiProof,
    ) -> Result<(), Self::Error> {
        self.0.verify_multi_batch(commitment, dimensions, indices, values, proof)
    }
}
