//! Commits to matrices and opens rows of them (see [`tacit_verify::oracle`]).

use p3_challenger::GrindingChallenger;
use p3_commit::Mmcs as _;
use p3_dft::{Radix2DFTSmallBatch, TwoAdicSubgroupDft};
use p3_field::{BasedVectorSpace, PrimeField32};
use p3_matrix::{Matrix, dense::RowMajorMatrix};
use tacit_verify::{
    commitment::Mmcs,
    field::{Ef, Fp},
    oracle::{GRINDING_BITS, OracleShape, draw_positions, trees},
};

use crate::transcript::Transcript;

type Tree = <Mmcs as p3_commit::Mmcs<Fp>>::ProverData<RowMajorMatrix<Fp>>;

/// A committed matrix.
pub(crate) struct Oracle {
    shape: OracleShape,
    tree: Tree,
    pub(crate) root: [u8; 32],
}

impl Oracle {
    /// Commits to a codeword of `2^log_height` rows.
    pub(crate) fn new(shape: OracleShape, codeword: RowMajorMatrix<Fp>) -> Option<Self> {
        debug_assert_eq!((codeword.height(), codeword.width), (1 << shape.log_height, shape.width));
        let (root, tree) = trees().commit_matrix(codeword);
        let root = *root.roots().first()?;
        Some(Self { shape, tree, root })
    }

    /// Encodes columns of coefficients, lowest degree first, on the subgroup, and commits to them.
    pub(crate) fn encode(shape: OracleShape, mut columns: Vec<Fp>) -> Option<Self> {
        columns.resize(shape.width << shape.log_height, Fp::default());
        let columns = RowMajorMatrix::new(columns, shape.width);
        Self::new(shape, Radix2DFTSmallBatch::default().dft_batch(columns).to_row_major_matrix())
    }

    /// Row by row, the codeword.
    pub(crate) fn row(&self, position: usize) -> Vec<Fp> {
        let matrices = trees().get_matrices(&self.tree);
        matrices.first().and_then(|matrix| matrix.row(position)).into_iter().flatten().collect()
    }

    /// Does the work, draws positions, writes rows and siblings; gives the positions.
    pub(crate) fn open(&self, queries: usize, transcript: &mut Transcript) -> Vec<usize> {
        let work = transcript.challenger.grind(GRINDING_BITS);
        transcript.proof.extend_from_slice(&work.as_canonical_u32().to_le_bytes());
        let positions = draw_positions(&mut transcript.challenger, self.shape.log_height, queries);
        let (rows, siblings) = trees().open_multi_batch(&positions, &self.tree);
        for value in rows.iter().flatten().flatten() {
            transcript.proof.extend_from_slice(&value.as_canonical_u32().to_le_bytes());
        }
        let count = u32::try_from(siblings.sibling_hashes.len()).unwrap_or(u32::MAX);
        transcript.proof.extend_from_slice(&count.to_le_bytes());
        for digest in &siblings.sibling_hashes {
            transcript.proof.extend_from_slice(digest);
        }
        positions
    }
}

/// The base field elements of extension elements, in order.
pub(crate) fn flatten(values: impl IntoIterator<Item = Ef>) -> Vec<Fp> {
    let mut flat = Vec::new();
    for value in values {
        let coefficients: &[Fp] = value.as_basis_coefficients_slice();
        flat.extend_from_slice(coefficients);
    }
    flat
}
