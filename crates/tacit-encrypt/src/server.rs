//! The worker's half: computes on a query. It holds no secret; nothing here can read what it computes on.

use p3_field::{PrimeCharacteristicRing, PrimeField64};
use tacit_graph::{Agreement, Model};

#[cfg(feature = "pbs")]
use crate::circuit::CircuitModel;
#[cfg(not(feature = "pbs"))]
use crate::evaluation::KeyReject;
use crate::{
    evaluation::Variant,
    linear::LinearModel,
    offer::Offer,
    plan::{KEY_CUT, Misfit, NOISE_BITS, Plan, QUERY_CUT, scale},
    ring::{Element, N, Transform, element, multiply_add},
    sample::{Seed, Stream, public, taken},
    wire::{Answer, Query, WireError},
};

#[cfg(feature = "pbs")]
pub use crate::circuit::EvaluationKeys;

/// A client's public keys, which a worker needs to go beyond linear models: there are none in this build.
#[cfg(not(feature = "pbs"))]
#[derive(Debug)]
#[non_exhaustive]
pub enum EvaluationKeys {}

#[cfg(not(feature = "pbs"))]
impl EvaluationKeys {
    /// Refuses all keys.
    ///
    /// # Errors
    /// [`KeyReject`], always.
    pub fn decode(bytes: &[u8], _variant: Variant) -> Result<Self, KeyReject> {
        let refused = crate::evaluation::check_keys(bytes);
        Err(refused.err().unwrap_or(KeyReject::Parameters { got: 0 }))
    }
}

/// A model that answers questions it cannot read.
#[derive(Debug)]
pub struct EncryptedModel {
    kind: Kind,
    offer: Offer,
}

enum Kind {
    Linear(Box<Server>),
    #[cfg(feature = "pbs")]
    Circuit(Box<CircuitModel>),
}

impl core::fmt::Debug for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Linear(server) => server.fmt(f),
            #[cfg(feature = "pbs")]
            Self::Circuit(model) => model.fmt(f),
        }
    }
}

impl EncryptedModel {
    /// Prepares a model, the fast way where there are several.
    ///
    /// # Errors
    /// Says why the model does not fit, and what would make it fit.
    pub fn new(model: &Model) -> Result<Self, Misfit> {
        Self::with(model, Variant::Fast)
    }

    /// Prepares a model. Linear ones compute the same bits on every machine in either variant.
    ///
    /// # Errors
    /// Says why the model does not fit, and what would make it fit.
    pub fn with(model: &Model, variant: Variant) -> Result<Self, Misfit> {
        match LinearModel::new(model) {
            Ok(linear) => {
                let offer = Offer::Linear(*linear.plan().sizes());
                Ok(Self { kind: Kind::Linear(Box::new(Server::new(&linear))), offer })
            }
            #[cfg(feature = "pbs")]
            Err(Misfit::NotLinear { .. }) => {
                let model = CircuitModel::new(model, variant)?;
                let offer = Offer::Circuit(model.offer().clone());
                Ok(Self { kind: Kind::Circuit(Box::new(model)), offer })
            }
            Err(misfit) => {
                let _ = variant;
                Err(misfit)
            }
        }
    }

    /// With how often labels were the model's on held-out rows, where that is not always so: clients demand it.
    #[must_use]
    pub fn measured(mut self, agreement: Agreement) -> Self {
        self.kind = match self.kind {
            Kind::Linear(server) => Kind::Linear(server),
            #[cfg(feature = "pbs")]
            Kind::Circuit(model) => {
                let model = model.measured(agreement);
                self.offer = Offer::Circuit(model.offer().clone());
                Kind::Circuit(Box::new(model))
            }
        };
        let _ = agreement;
        self
    }

    /// What a client needs to ask.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Look-ups, one bootstrap each.
    #[must_use]
    pub fn bootstraps(&self) -> usize {
        match &self.kind {
            Kind::Linear(_) => 0,
            #[cfg(feature = "pbs")]
            Kind::Circuit(model) => model.plan().bootstraps,
        }
    }

    /// What a question to a model with look-ups costs, and how sure its answer is. It depends on weights: not for clients.
    #[cfg(feature = "pbs")]
    #[must_use]
    pub fn circuit(&self) -> Option<&CircuitModel> {
        match &self.kind {
            Kind::Linear(_) => None,
            Kind::Circuit(model) => Some(model),
        }
    }

    /// Bits by which the flood exceeds the noise that depends on weights, for a linear model. It depends on weights too: not for clients.
    #[must_use]
    pub fn flood_margin(&self) -> Option<u32> {
        match &self.kind {
            Kind::Linear(server) => Some(server.plan.flood_margin()),
            #[cfg(feature = "pbs")]
            Kind::Circuit(_) => None,
        }
    }

    /// Answers the bytes of a query, the same way each time for one seed ([`Variant::Fast`] on one kind of machine). The seed hides the weights behind
    /// fresh randomness: two different queries answered with one seed give weights away. `keys` are those that [`Offer::check_query`] names.
    ///
    /// # Errors
    /// Refuses what is not a query for this model, and keys that are not those of the query.
    pub fn answer(
        &self,
        query: &[u8],
        keys: Option<&EvaluationKeys>,
        seed: &Seed,
    ) -> Result<Vec<u8>, WireError> {
        match &self.kind {
            // Keys that nobody needs do no harm.
            Kind::Linear(server) => {
                let _ = keys;
                let sizes = server.plan.sizes();
                Ok(server.answer(&Query::decode(sizes, query)?, seed)?.encode(sizes))
            }
            #[cfg(feature = "pbs")]
            Kind::Circuit(model) => Ok(model.answer(query, keys.ok_or(WireError::NoKeys)?, seed)?),
        }
    }
}

/// A linear model, ready to answer.
pub struct Server {
    pub(crate) plan: Plan,
    /// Values of the polynomials of weights, `[product][ciphertext]`.
    weights: Vec<Vec<Vec<Element>>>,
    constants: Vec<Element>,
    transform: Transform,
}

impl core::fmt::Debug for Server {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Server").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Server {
    /// Arranges the weights: output `r` of a polynomial with input `i` at coefficient `r * stride + stride - 1 - i`.
    #[must_use]
    pub fn new(model: &LinearModel) -> Self {
        let plan = *model.plan();
        let layout = plan.sizes.layout();
        let transform = Transform::default();
        let polynomial = |lines: &[Vec<i64>], ciphertext: usize| {
            let mut coefficients = vec![Element::ZERO; N];
            for (index, line) in lines.iter().enumerate() {
                let inputs = line.iter().skip(ciphertext * N).take(N);
                for (input, weight) in inputs.enumerate() {
                    if let Some(slot) = coefficients.get_mut(layout.position(index) - input) {
                        *slot = element(*weight);
                    }
                }
            }
            transform.values(coefficients)
        };
        let weights = model
            .matrix
            .chunks(layout.in_product)
            .map(|lines| (0..layout.ciphertexts).map(|ciphertext| polynomial(lines, ciphertext)).collect())
            .collect();
        let unit = Element::new(scale(plan.sizes.output_bits));
        let constants = model.constants.iter().map(|constant| unit * element(*constant)).collect();
        Self { plan, weights, constants, transform }
    }

    /// Sizes and noise; public.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Answers a query. `seed` hides the weights behind fresh randomness: draw it for this answer and forget it.
    ///
    /// # Errors
    /// Refuses a query of another shape.
    pub fn answer(&self, query: &Query, seed: &Seed) -> Result<Answer, WireError> {
        let layout = self.plan.sizes.layout();
        if query.ciphertexts.len() != layout.ciphertexts || query.ciphertexts.iter().any(|b| b.len() != N) {
            return Err(WireError::QueryShape);
        }
        let polynomials = public(&query.seed, layout.ciphertexts + 1);
        let values = |cut: &[u64], bits| self.values(cut, bits);
        let mut bodies = vec![values(&query.key, KEY_CUT)];
        bodies.extend(query.ciphertexts.iter().map(|b| values(b, QUERY_CUT)));
        let ciphertexts: Vec<(Vec<Element>, Vec<Element>)> = polynomials.into_iter().zip(bodies).collect();
        let mut stream = seed.stream("tacit 2026 encrypted answer v1");
        let bits = self.plan.sizes.answer_bits();
        let switched = |values: Vec<Element>| values.into_iter().map(move |value| switch(value, bits));
        let mut answer = Answer { masks: Vec::new(), bodies: Vec::new() };
        for product in 0..self.weights.len() {
            let (mask, outputs) = self.product(product, &ciphertexts, &mut stream);
            answer.masks.push(switched(mask).collect());
            answer.bodies.extend(switched(outputs));
        }
        Ok(answer)
    }

    /// One polynomial of the answer and the outputs in it, before the modulus is switched. The public key is the first of the ciphertexts.
    pub(crate) fn product(
        &self,
        product: usize,
        ciphertexts: &[(Vec<Element>, Vec<Element>)],
        stream: &mut Stream,
    ) -> (Vec<Element>, Vec<Element>) {
        let layout = self.plan.sizes.layout();
        let once = self.transform.values(taken(stream.ternary()));
        let weights = self.weights.get(product).map_or(&[][..], Vec::as_slice);
        let (mut mask, mut body) = (vec![Element::ZERO; N], vec![Element::ZERO; N]);
        for ((a, b), factor) in ciphertexts.iter().zip(core::iter::once(&once).chain(weights)) {
            multiply_add(&mut mask, a, factor);
            multiply_add(&mut body, b, factor);
        }
        let mut mask = self.transform.coefficients(mask);
        for (slot, noise) in mask.iter_mut().zip(taken(stream.noise(NOISE_BITS))) {
            *slot += noise;
        }
        // Only the outputs leave; the other coefficients would say more about the weights.
        let body = self.transform.coefficients(body);
        let flood = taken(stream.noise(self.plan.flood_bits));
        let constants = self.constants.chunks(layout.in_product).nth(product).unwrap_or_default();
        let output = |((index, constant), flood): ((usize, &Element), Element)| {
            body.get(layout.position(index)).copied().unwrap_or_default() + *constant + flood
        };
        (mask, constants.iter().enumerate().zip(flood).map(output).collect())
    }

    pub(crate) fn values(&self, cut: &[u64], bits: u32) -> Vec<Element> {
        self.transform.values(cut.iter().map(|x| Element::new(*x << bits)).collect())
    }
}

/// From modulus `q` to `2^bits`, rounded.
fn switch(value: Element, bits: u32) -> u64 {
    let order = u128::from(Element::ORDER_U64);
    let scaled = ((u128::from(value.as_canonical_u64()) << bits) + order / 2) / order;
    (scaled as u64) & ((1 << bits) - 1)
}
