//! The worker's half: computes on a query. It holds a client's evaluation keys, which are public; nothing here can read what it computes on.

use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;
use tacit_graph::{Agreement, Model};

use super::{
    compile::{Circuit, Misfit, compile},
    keys::{EvaluationKeys, key_bytes},
    lwe::{Lwe, Switched, fraction},
    offer::Offer,
    parameters::Parameters,
    plan::{Plan, Program, Source, Sum},
    polynomial::Ring,
    wire::{Query, WireReject, answer_bytes, encode_answer, query_bytes},
};
use crate::{
    evaluation::{Approximation, Closeness, Variant},
    ring::{Element, N, element, multiply_add},
    sample::{Seed, public, taken},
};

/// A model that answers questions it cannot read, by bootstraps.
#[derive(Debug)]
pub struct CircuitModel {
    program: Program,
    offer: Offer,
}

impl CircuitModel {
    /// Compiles a model and chooses parameters for it.
    ///
    /// # Errors
    /// Says why the model does not fit, and what would make it fit.
    pub fn new(model: &Model, variant: Variant) -> Result<Self, Misfit> {
        let circuit = compile(model)?;
        Ok(Self::of(&circuit, Program::new(&circuit)?, variant))
    }

    /// The same with parameters that are given.
    ///
    /// # Errors
    /// Says why the model does not fit.
    pub fn with(model: &Model, variant: Variant, parameters: &'static Parameters) -> Result<Self, Misfit> {
        let circuit = compile(model)?;
        Ok(Self::of(&circuit, Program::with(&circuit, parameters)?, variant))
    }

    /// With how often labels were the model's, which clients of an approximate circuit demand. It says nothing about an exact one.
    #[must_use]
    pub fn measured(mut self, agreement: Agreement) -> Self {
        if let Closeness::Approximate(near) = &mut self.offer.closeness {
            near.agreement = Some(agreement);
        }
        self
    }

    fn of(circuit: &Circuit, mut program: Program, variant: Variant) -> Self {
        let Plan { parameters, slots, outputs, .. } = program.plan;
        program.plan.key_bytes = key_bytes(parameters);
        program.plan.query_bytes = query_bytes(slots);
        program.plan.answer_bytes = answer_bytes(parameters, outputs, program.reading.bits);
        let closeness = if program.plan.exact {
            Closeness::Exact
        } else {
            let tolerance = program.tolerance(circuit);
            Closeness::Approximate(Approximation { tolerance, agreement: None })
        };
        let offer = Offer::new(&program, variant, closeness);
        Self { program, offer }
    }

    /// What a client needs to ask.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// What a question costs and how sure its answer is. It depends on weights: not for clients.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.program.plan
    }

    /// Answers the bytes of a query, the same way each time for one seed, but for the noise of [`Variant::Fast`], which a machine of another kind may
    /// compute differently. The seed hides weights behind fresh randomness: two different queries answered with one seed give weights away.
    ///
    /// Bootstraps run on the threads of the pool this is called in.
    ///
    /// # Errors
    /// Refuses what is not a query for this model, and keys that are not for it.
    pub fn answer(&self, query: &[u8], keys: &EvaluationKeys, seed: &Seed) -> Result<Vec<u8>, WireReject> {
        let (expected, got) = (self.offer.parameters.id, keys.parameters().id);
        if expected != got {
            return Err(WireReject::Keys { expected, got });
        }
        if keys.variant() != self.offer.variant {
            return Err(WireReject::Variant);
        }
        let query = Query::decode(&self.offer, query)?;
        let (expected, got) = (query.key, keys.id());
        if expected != got {
            return Err(WireReject::OtherKeys { expected, got });
        }
        let results = self.bootstraps(&query, keys);
        let outputs = self.outputs(&results, keys, seed);
        Ok(encode_answer(&self.offer, &outputs))
    }

    /// Results of all bootstraps.
    pub(crate) fn bootstraps(&self, query: &Query, keys: &EvaluationKeys) -> Vec<Lwe> {
        let sums = QuerySums::new(query, self.offer.parameters);
        let mut results = vec![Lwe::zero(0); self.program.bootstraps.len()];
        for stage in &self.program.stages {
            // A piece of work for each thread, so that each goes through the key as few times as can be.
            let piece = stage.len().div_ceil(rayon::current_num_threads()).max(1);
            let made: Vec<(usize, Lwe)> = stage
                .par_chunks(piece)
                .flat_map_iter(|indices| self.some_bootstraps(indices, &sums, &results, keys))
                .collect();
            for (index, result) in made {
                if let Some(slot) = results.get_mut(index) {
                    *slot = result;
                }
            }
        }
        results
    }

    fn some_bootstraps(
        &self,
        indices: &[usize],
        sums: &QuerySums<'_>,
        results: &[Lwe],
        keys: &EvaluationKeys,
    ) -> Vec<(usize, Lwe)> {
        let parameters = self.offer.parameters;
        let of = |index: &usize| self.program.bootstraps.get(*index);
        let inputs: Vec<Switched> = indices
            .iter()
            .filter_map(of)
            .map(|bootstrap| {
                let small = match bootstrap.source {
                    Source::Query => sums.sum(&bootstrap.sum),
                    Source::Lookups => keys.to_small(&sum(&bootstrap.sum, results, parameters)),
                };
                small.switch(parameters.log_degree + 1)
            })
            .collect();
        let tables: Vec<Vec<u64>> =
            indices.iter().filter_map(of).map(|bootstrap| bootstrap.table(parameters.degree())).collect();
        let turned = keys.engine().bootstrap(&inputs, &tables);
        let lowest = |words: Vec<u64>| {
            let polynomials: Vec<&[u64]> = words.chunks(parameters.degree()).collect();
            let (body, masks) =
                polynomials.split_last().map_or((&[][..], &[][..]), |(body, masks)| (*body, masks));
            Lwe::coefficient(masks, body.first().copied().unwrap_or(0), 0)
        };
        indices.iter().copied().zip(turned.into_iter().map(lowest)).collect()
    }

    /// Outputs as they are sent: with fresh zeros added, flooded and rounded.
    fn outputs(&self, results: &[Lwe], keys: &EvaluationKeys, seed: &Seed) -> Vec<Switched> {
        let parameters = self.offer.parameters;
        let zero = Zero::new(keys, seed);
        let mut flood = zero.flood(self.program.flood, self.program.outputs.len()).into_iter();
        let sums = self.program.outputs.iter().enumerate();
        sums.map(|(index, output)| {
            let mut hidden = sum(output, results, parameters);
            hidden.add(&zero.coefficient(index), 1);
            hidden.body = hidden.body.wrapping_add(flood.next().unwrap_or(0));
            hidden.switch(self.program.reading.bits)
        })
        .collect()
    }
}

/// A sum of results of bootstraps.
fn sum(sum: &Sum, results: &[Lwe], parameters: &Parameters) -> Lwe {
    let mut total = Lwe::zero(parameters.large());
    total.body = sum.constant;
    for (index, weight) in &sum.terms {
        if let Some(result) = results.get(*index) {
            total.add(result, *weight);
        }
    }
    total
}

/// Sums of numbers of a query.
pub(crate) struct QuerySums<'a> {
    /// By their values.
    masks: Vec<Vec<Element>>,
    bodies: &'a [u32],
    ring: Ring,
    small: usize,
}

impl<'a> QuerySums<'a> {
    pub(crate) fn new(query: &'a Query, parameters: &Parameters) -> Self {
        let masks = public(&query.seed, query.bodies.len().div_ceil(N).max(1));
        Self { masks, bodies: &query.bodies, ring: Ring::new(N.ilog2()), small: parameters.small }
    }

    /// Weights at reversed places make the sum the highest coefficient of the product.
    pub(crate) fn sum(&self, sum: &Sum) -> Lwe {
        let mut weights = vec![Vec::new(); self.masks.len()];
        let mut body = sum.constant;
        for (slot, weight) in &sum.terms {
            if let Some(weights) = weights.get_mut(slot / N) {
                weights.resize(N, Element::ZERO);
                weights[N - 1 - slot % N] = element(*weight);
            }
            let number = u64::from(self.bodies.get(*slot).copied().unwrap_or(0)) << 32;
            body = body.wrapping_add(number.wrapping_mul(weight.cast_unsigned()));
        }
        let mut product = vec![Element::ZERO; N];
        for (mask, weights) in self.masks.iter().zip(weights).filter(|(_, weights)| !weights.is_empty()) {
            multiply_add(&mut product, mask, &self.ring.values(weights));
        }
        // The small key is a polynomial whose other coefficients are zero, so the rest of the mask says nothing.
        let product = self.ring.coefficients(product);
        Lwe { mask: product.into_iter().rev().take(self.small).map(fraction).collect(), body }
    }
}

/// A fresh ciphertext of zeros, made from the public ones.
pub(crate) struct Zero {
    /// Masks, then the body.
    polynomials: Vec<Vec<u64>>,
    flood: Vec<u64>,
}

impl Zero {
    pub(crate) fn new(keys: &EvaluationKeys, seed: &Seed) -> Self {
        let parameters = keys.parameters();
        let ring = Ring::new(parameters.log_degree);
        let mut stream = seed.stream("tacit 2026 encrypted circuit answer v1");
        let secrets: Vec<Vec<Element>> = keys
            .zeros()
            .iter()
            .map(|_| ring.values(taken(stream.some_ternary(parameters.degree()))))
            .collect();
        let polynomial = |place: usize| {
            let mut fresh = stream.t_uniform(parameters.degree(), parameters.large_noise_bits);
            let parts = keys.zeros().iter().map(|zero| zero.get(place).map_or(&[][..], Vec::as_slice));
            let pairs = parts.zip(secrets.iter().map(Vec::as_slice));
            ring.add_products(&mut fresh, pairs);
            fresh
        };
        let polynomials = (0..=parameters.polynomials).map(polynomial).collect();
        Self { polynomials, flood: stream.some_words(super::layout::MAX_OUTPUTS) }
    }

    pub(crate) fn coefficient(&self, at: usize) -> Lwe {
        let polynomials: Vec<&[u64]> = self.polynomials.iter().map(Vec::as_slice).collect();
        let (body, masks) =
            polynomials.split_last().map_or((&[][..], &[][..]), |(body, masks)| (*body, masks));
        Lwe::coefficient(masks, body.get(at).copied().unwrap_or(0), at)
    }

    /// Uniform on `-2^bits .. 2^bits`; nothing without bits.
    fn flood(&self, bits: Option<u32>, count: usize) -> Vec<u64> {
        let Some(bits) = bits else { return vec![0; count] };
        let wide = |word: &u64| (word >> (63 - bits)).wrapping_sub(1 << bits);
        self.flood.iter().take(count).map(wide).collect()
    }
}
