//! A model whose weights are committed.

use p3_blake3::Blake3;
use p3_commit::MultilinearPcs;
use p3_field::PrimeCharacteristicRing;
use p3_matrix::dense::RowMajorMatrix;
use p3_sumcheck::layout::{Layout, SuffixProver, Table};
use p3_whir::WhirProverData;
use tacit_graph::{GraphError, Model, ModelId};
use tacit_verify::{
    PlanError, SecurityBits, VerifyingModel,
    commitment::{Challenger, Mmcs, Pcs, Scheme, SetupError},
    field::{Ef, Fp, embed},
    plan::{WeightPlan, WeightTensor},
    security::{BudgetError, security_report},
};

use crate::zero_knowledge::{HiddenWeights, Hiding};

/// What the library keeps of a commitment.
pub(crate) type Committed = WhirProverData<Fp, Ef, Mmcs, SuffixProver<Fp, Ef>>;

/// Why weights cannot be committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The graph cannot be proved.
    #[error("the model cannot be proved")]
    Plan(#[from] PlanError),
    /// No proven parameters reach the target.
    #[error("the model cannot be committed at this security")]
    Setup(#[from] SetupError),
    /// The library refused its own parameters.
    #[error("the commitment library refused")]
    Library,
}

impl From<BudgetError> for CommitError {
    fn from(error: BudgetError) -> Self {
        match error {
            BudgetError::Plan(error) => Self::Plan(error),
            BudgetError::Setup(error) => Self::Setup(error),
            _ => Self::Library,
        }
    }
}

impl From<GraphError> for CommitError {
    fn from(error: GraphError) -> Self {
        Self::Plan(PlanError::Graph(error))
    }
}

/// A model with committed weights: made once, proves many times.
///
/// The root depends on the weights and the graph's layer sizes alone, so anyone who has the weights can recompute
/// it.
pub struct CommittedModel {
    model: Model,
    verifying: VerifyingModel,
    security: SecurityBits,
    commitment: Weights,
}

/// The commitment to the weights.
pub(crate) enum Weights {
    /// As in `specs/0001-proof.md`.
    Plain { scheme: Box<Scheme>, committed: Box<Committed> },
    /// As in `specs/0003-zero-knowledge.md`.
    Hiding(Box<HiddenWeights>),
}

impl core::fmt::Debug for CommittedModel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CommittedModel").field("id", &self.verifying.id()).finish_non_exhaustive()
    }
}

impl CommittedModel {
    /// Commits to the weights of `model`.
    ///
    /// # Errors
    /// Refuses what cannot be proved at this security.
    pub fn commit(model: Model, security: SecurityBits) -> Result<Self, CommitError> {
        // A model of which no row can be proved is refused here, before anyone relies on its root.
        security_report(model.graph(), 1, security)?;
        let plan = WeightPlan::new(model.graph())?;
        let scheme = Scheme::new(plan.vars, u32::from(security.bits()))?;
        let (root, committed) = commit(&scheme, stack(&plan, &model)).ok_or(CommitError::Library)?;
        let verifying = VerifyingModel::new(model.graph().clone(), root)?;
        Ok(Self {
            model,
            verifying,
            security,
            commitment: Weights::Plain { scheme: Box::new(scheme), committed: Box::new(committed) },
        })
    }

    /// Commits to the weights of `model` so that neither the root nor the proofs show anything of them.
    ///
    /// The root depends on the seed: committing again with a fresh one gives a new root, and so a new model id, with all its
    /// openings left.
    ///
    /// # Errors
    /// Refuses what cannot be proved at this security.
    pub fn commit_hiding(model: Model, security: SecurityBits, hiding: Hiding) -> Result<Self, CommitError> {
        let (hidden, root) = HiddenWeights::commit(&model, security, hiding)?;
        let verifying = VerifyingModel::new(model.graph().clone(), root)?;
        Ok(Self::hidden(model, verifying, security, hidden))
    }

    /// A model behind a hiding commitment as it is, true or false.
    pub(crate) fn hidden(
        model: Model,
        verifying: VerifyingModel,
        security: SecurityBits,
        hidden: HiddenWeights,
    ) -> Self {
        Self { model, verifying, security, commitment: Weights::Hiding(Box::new(hidden)) }
    }

    /// Proofs that can still be made, if the commitment hides.
    #[must_use]
    pub fn openings_left(&self) -> Option<u32> {
        match &self.commitment {
            Weights::Plain { .. } => None,
            Weights::Hiding(hidden) => Some(hidden.openings_left()),
        }
    }

    /// Proofs that were made, if the commitment hides. To be kept by whoever keeps the seed, before a proof is given out, and
    /// handed back in [`Hiding::openings_used`].
    #[must_use]
    pub fn openings_used(&self) -> Option<u32> {
        match &self.commitment {
            Weights::Plain { .. } => None,
            Weights::Hiding(hidden) => Some(hidden.openings_used()),
        }
    }

    /// The commitment to the weights.
    #[must_use]
    pub fn weight_root(&self) -> [u8; 32] {
        *self.verifying.weight_root()
    }

    /// The name of the model.
    #[must_use]
    pub fn model_id(&self) -> ModelId {
        self.verifying.id()
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What a verifier needs to know of the model.
    #[must_use]
    pub fn verifying_model(&self) -> &VerifyingModel {
        &self.verifying
    }

    /// The level its proofs aim at.
    #[must_use]
    pub fn security(&self) -> SecurityBits {
        self.security
    }

    pub(crate) fn commitment(&self) -> &Weights {
        &self.commitment
    }

    /// The committed weights, stacked.
    pub(crate) fn weights(&self) -> &[Fp] {
        match &self.commitment {
            Weights::Plain { committed, .. } => committed.table(0).poly(0).into_slice(),
            Weights::Hiding(hidden) => hidden.values(),
        }
    }
}

/// Commits to `2^vars` values.
pub(crate) fn commit(scheme: &Scheme, values: Vec<Fp>) -> Option<([u8; 32], Committed)> {
    let width = values.len();
    let table = Table::new(RowMajorMatrix::new(values, width));
    let folding = scheme.pcs().round_folding_factor(0);
    let witness = <SuffixProver<Fp, Ef> as Layout<Fp, Ef>>::new_witness(vec![table], folding);
    // The caller absorbs the root in its own order; the library's own absorption goes nowhere.
    let mut nowhere = Challenger::from_hasher(Vec::new(), Blake3);
    let (root, committed) =
        <Pcs as MultilinearPcs<Ef, Challenger>>::commit(scheme.pcs(), witness, &mut nowhere).ok()?;
    Some((*root.roots().first()?, committed))
}

/// Matrices and biases, padded and stacked as [`WeightPlan`] says.
pub(crate) fn stack(plan: &WeightPlan, model: &Model) -> Vec<Fp> {
    let mut stack = vec![Fp::ZERO; 1 << plan.vars];
    for tensor in &plan.tensors {
        let Some(weights) = model.weights().layers.get(tensor.layer) else { continue };
        let slots = &mut stack[tensor.offset()..];
        if tensor.bias {
            place(tensor, &weights.bias, slots);
        } else {
            place(tensor, &weights.matrix, slots);
        }
    }
    stack
}

fn place<T: Copy + Into<i32>>(tensor: &WeightTensor, values: &[T], slots: &mut [Fp]) {
    let length = tensor.sizes.last().copied().unwrap_or(1);
    for (slots, row) in slots.chunks_exact_mut(1 << tensor.log_row()).zip(values.chunks_exact(length)) {
        for (slot, value) in slots.iter_mut().zip(row) {
            *slot = embed((*value).into());
        }
    }
}
