//! The context of a proof that shows nothing: every value the prover sends is covered by a mask.
//!
//! Source: VEIL (eprint 2026/683). The prover commits to one random element for each value it is going to send, then
//! sends the sum. So a [`Linear`] value here is a public constant plus a combination of secrets, an assertion is an equation between
//! secrets, and nothing is decided before [`crate::inner`] proves all equations at once.
//!
//! Deviation: a product of two values is opened with a triple of committed randoms (Beaver 1991). The prover sends
//! both factors under two more masks `alpha, beta` of which `gamma = alpha beta` is committed too; then
//! `a b = A B - A beta - B alpha + gamma` is linear in the secrets. All secrets are committed before the first challenge,
//! in one tree.

use p3_field::PrimeCharacteristicRing;

use crate::{
    commitment::Challenger,
    context::{Context, Value, draw, observe},
    field::Ef,
    oracle::{OpenedRows, OracleShape},
    reader::Reader,
    reject::Reject,
};

/// Something unknown to the verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Secret {
    /// The mask of a value, by the order of sending.
    Mask(usize),
    /// A product, by the order of multiplication.
    Product(usize),
}

/// A public constant and a combination of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    constant: Ef,
    /// Sorted by secret, each at most once.
    terms: Vec<(Secret, Ef)>,
}

impl Linear {
    fn secret(constant: Ef, secret: Secret, weight: Ef) -> Self {
        Self { constant, terms: vec![(secret, weight)] }
    }

    /// The public part.
    pub fn public_part(&self) -> Ef {
        self.constant
    }

    /// The secrets it depends on, with their weights.
    pub fn secret_part(&self) -> &[(Secret, Ef)] {
        &self.terms
    }

    /// `sum_i weight_i value_i`.
    pub fn combination<'v>(values: impl IntoIterator<Item = (Ef, &'v Self)>) -> Self {
        let mut constant = Ef::ZERO;
        let mut terms: Vec<(Secret, Ef)> = Vec::new();
        for (weight, value) in values {
            constant += weight * value.constant;
            terms.extend(value.terms.iter().map(|(secret, by)| (*secret, *by * weight)));
        }
        terms.sort_unstable_by_key(|(secret, _)| *secret);
        terms.dedup_by(|(next, by), (secret, sum)| {
            let same = next == secret;
            if same {
                *sum += *by;
            }
            same
        });
        Self { constant, terms }
    }

    /// What it stands for, when secrets are known.
    pub fn evaluate(&self, secret: impl Fn(Secret) -> Ef) -> Ef {
        self.terms.iter().fold(self.constant, |sum, (of, weight)| sum + *weight * secret(*of))
    }
}

impl Value for Linear {
    fn constant(value: Ef) -> Self {
        Self { constant: value, terms: Vec::new() }
    }

    fn plus(&self, other: &Self) -> Self {
        Self::combination([(Ef::ONE, self), (Ef::ONE, other)])
    }

    fn minus(&self, other: &Self) -> Self {
        Self::combination([(Ef::ONE, self), (-Ef::ONE, other)])
    }

    fn scale(&self, by: Ef) -> Self {
        let terms = self.terms.iter().map(|(secret, weight)| (*secret, *weight * by)).collect();
        Self { constant: self.constant * by, terms }
    }
}

/// What is left to be proved of the secrets.
#[must_use = "nothing is proved before the inner argument shows that these equations hold"]
#[derive(Debug, Clone, Default)]
pub struct Relation {
    /// Number of masks.
    pub masks: usize,
    /// Factors of each product.
    pub products: Vec<(Linear, Linear)>,
    /// Each is zero.
    pub assertions: Vec<Linear>,
}

/// Whether opened rows are checked against their roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trees {
    /// They are; what a verifier does.
    Checked,
    /// They are not: the prover reads its own proof only to learn what it has to prove.
    Trusted,
}

/// Values under masks, read from a proof.
#[derive(Debug)]
pub struct Masked<'a, 'b> {
    challenger: &'a mut Challenger,
    proof: &'a mut Reader<'b>,
    trees: Trees,
    relation: Relation,
}

impl<'a, 'b> Masked<'a, 'b> {
    /// Reads values from `proof` and binds them to `challenger`.
    ///
    /// # Soundness
    /// The caller MUST have absorbed the statement and all commitments, that to the masks included, into `challenger`, and
    /// MUST see the relation left over proved.
    pub fn new(challenger: &'a mut Challenger, proof: &'a mut Reader<'b>, trees: Trees) -> Self {
        Self { challenger, proof, trees, relation: Relation::default() }
    }

    /// What is left to be proved.
    pub fn finish(self) -> Relation {
        self.relation
    }

    /// Reads a root and binds it.
    pub(crate) fn receive_root(&mut self) -> Result<[u8; 32], Reject> {
        let root = self.proof.array()?;
        crate::oracle::observe_root(&root, self.challenger);
        Ok(root)
    }

    /// Queries an oracle.
    pub(crate) fn open_rows(
        &mut self,
        shape: OracleShape,
        queries: usize,
        root: &[u8; 32],
    ) -> Result<OpenedRows, Reject> {
        let rows = OpenedRows::read(shape, queries, self.challenger, self.proof)?;
        if self.trees == Trees::Checked && !rows.check(root) {
            return Err(Reject::OracleRows);
        }
        Ok(rows)
    }
}

impl Context for Masked<'_, '_> {
    type Value = Linear;

    fn receive(&mut self) -> Result<Linear, Reject> {
        let covered = self.proof.extension()?;
        observe(self.challenger, covered);
        let mask = self.relation.masks;
        self.relation.masks = mask.saturating_add(1);
        Ok(Linear::secret(covered, Secret::Mask(mask), -Ef::ONE))
    }

    fn receive_public(&mut self) -> Result<Ef, Reject> {
        let value = self.proof.extension()?;
        observe(self.challenger, value);
        Ok(value)
    }

    fn challenge(&mut self) -> Ef {
        draw(self.challenger)
    }

    fn multiply(&mut self, a: &Linear, b: &Linear) -> Linear {
        if a.terms.is_empty() {
            return b.scale(a.constant);
        }
        if b.terms.is_empty() {
            return a.scale(b.constant);
        }
        let product = self.relation.products.len();
        self.relation.products.push((a.clone(), b.clone()));
        Linear::secret(Ef::ZERO, Secret::Product(product), Ef::ONE)
    }

    fn assert_zero(&mut self, value: &Linear, reject: Reject) -> Result<(), Reject> {
        if !value.terms.is_empty() {
            self.relation.assertions.push(value.clone());
            return Ok(());
        }
        if value.constant == Ef::ZERO { Ok(()) } else { Err(reject) }
    }
}

/// How many masks and triples a run of the protocol takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Values sent.
    pub masks: usize,
    /// Products of two values.
    pub products: usize,
}

/// Whether a counted value is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Known to the verifier.
    Public,
    /// Depends on a secret.
    Secret,
}

impl Value for Counted {
    fn constant(_: Ef) -> Self {
        Self::Public
    }

    fn plus(&self, other: &Self) -> Self {
        if *self == Self::Public { *other } else { Self::Secret }
    }

    fn minus(&self, other: &Self) -> Self {
        self.plus(other)
    }

    fn scale(&self, _: Ef) -> Self {
        *self
    }
}

impl Context for Counts {
    type Value = Counted;

    fn receive(&mut self) -> Result<Counted, Reject> {
        self.masks = self.masks.saturating_add(1);
        Ok(Counted::Secret)
    }

    fn receive_public(&mut self) -> Result<Ef, Reject> {
        Ok(Ef::ZERO)
    }

    /// Not zero, where rounds cannot be inverted.
    fn challenge(&mut self) -> Ef {
        Ef::TWO
    }

    fn multiply(&mut self, a: &Counted, b: &Counted) -> Counted {
        if *a == Counted::Public || *b == Counted::Public {
            return a.plus(b);
        }
        self.products = self.products.saturating_add(1);
        Counted::Secret
    }

    fn assert_zero(&mut self, _: &Counted, _: Reject) -> Result<(), Reject> {
        Ok(())
    }
}
