//! Committed matrices that are opened row by row: the oracles of the hiding commitment and of the inner argument.
//!
//! A tree has one leaf for each row. Rows of every oracle here carry encoding randomness, more of it than is ever
//! opened, so a leaf that is not opened is a uniform row whatever is known of the others, and its digest hides it
//! without a salt (see `specs/0003-zero-knowledge.md`).

use p3_blake3::Blake3;
use p3_challenger::{CanObserve, CanSampleBits, GrindingChallenger};
use p3_commit::Mmcs as _;
use p3_field::PrimeCharacteristicRing;
use p3_matrix::Dimensions;
use p3_merkle_tree::{MerkleTreeMmcs, PrunedMerklePaths};
use p3_symmetric::{CompressionFunctionFromHasher, SerializingHasher};

use crate::{
    commitment::{Challenger, Mmcs, Root},
    field::{EF_DEGREE, Ef, Fp, ef_from_coefficients},
    reader::Reader,
    reject::Reject,
    trees::SharedTrees,
};

/// Shape of an oracle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OracleShape {
    /// Base-two logarithm of the number of rows.
    pub log_height: usize,
    /// Base field elements in a row.
    pub width: usize,
}

/// The trees all oracles are committed by.
#[must_use]
pub fn trees() -> Mmcs {
    SharedTrees::new(MerkleTreeMmcs::new(
        SerializingHasher::new(Blake3),
        CompressionFunctionFromHasher::new(Blake3),
        0,
    ))
}

/// Binds a root to the transcript.
pub fn observe_root(root: &[u8; 32], challenger: &mut Challenger) {
    challenger.observe(Root::new(vec![*root]));
}

/// Draws `queries` rows of an oracle; gives them sorted, each once.
#[must_use]
pub fn draw_positions(challenger: &mut Challenger, log_height: usize, queries: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..queries).map(|_| challenger.sample_bits(log_height)).collect();
    positions.sort_unstable();
    positions.dedup();
    positions
}

/// Rows of an oracle, as a proof shows them.
#[derive(Debug, Clone)]
pub struct OpenedRows {
    shape: OracleShape,
    positions: Vec<usize>,
    rows: Vec<Vec<Fp>>,
    siblings: PrunedMerklePaths<u8, 32>,
}

impl OpenedRows {
    /// Reads the work done for a set of queries, draws the positions and reads the rows there.
    ///
    /// # Errors
    /// [`Reject::Work`], or anything but the bytes of rows of this shape.
    pub fn read(
        shape: OracleShape,
        queries: usize,
        challenger: &mut Challenger,
        reader: &mut Reader<'_>,
    ) -> Result<Self, Reject> {
        let work = reader.base()?;
        if !challenger.check_witness(GRINDING_BITS, work) {
            return Err(Reject::Work);
        }
        let positions = draw_positions(challenger, shape.log_height, queries);
        let rows = reader.list(positions.len(), shape.width.saturating_mul(4), |reader| {
            reader.list(shape.width, 4, Reader::base)
        })?;
        let most = positions.len().saturating_mul(shape.log_height);
        let got = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
        if got > most {
            return Err(Reject::SiblingCount { got, most });
        }
        let siblings = PrunedMerklePaths { sibling_hashes: reader.list(got, 32, Reader::array)? };
        Ok(Self { shape, positions, rows, siblings })
    }

    /// Checks that these are rows of the oracle behind `root`.
    #[must_use]
    pub fn check(&self, root: &[u8; 32]) -> bool {
        let Some(height) = u32::try_from(self.shape.log_height).ok().and_then(|log| 1usize.checked_shl(log))
        else {
            return false;
        };
        let dimensions = [Dimensions { width: self.shape.width, height }];
        let values: Vec<[&[Fp]; 1]> = self.rows.iter().map(|row| [row.as_slice()]).collect();
        let values: Vec<Vec<&[Fp]>> = values.iter().map(|row| row.to_vec()).collect();
        trees()
            .verify_multi_batch(
                &Root::new(vec![*root]),
                &dimensions,
                &self.positions,
                &values,
                &self.siblings,
            )
            .is_ok()
    }

    /// Positions and rows.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[Fp])> {
        self.positions.iter().copied().zip(self.rows.iter().map(Vec::as_slice))
    }
}

/// A row of base field elements as extension elements, [`EF_DEGREE`] at a time.
#[must_use]
pub fn row_to_extension(row: &[Fp]) -> Vec<Ef> {
    row.chunks_exact(EF_DEGREE)
        .map(|chunk| {
            let mut coefficients = [Fp::ZERO; EF_DEGREE];
            coefficients.copy_from_slice(chunk);
            ef_from_coefficients(coefficients)
        })
        .collect()
}

/// Work asked of the prover for each set of queries, in bits.
pub const GRINDING_BITS: usize = 8;
