//! Bootstraps by `tfhe`; no other module names that library.

use tfhe::core_crypto::{
    algorithms::{
        blind_rotate_ntt64_bnf_assign_mem_optimized, blind_rotate_ntt64_bnf_assign_mem_optimized_requirement,
        convert_standard_lwe_bootstrap_key_to_ntt64, par_convert_standard_lwe_bootstrap_key_to_fourier,
    },
    commons::{computation_buffers::ComputationBuffers, math::ntt::ntt64::Ntt64},
    entities::{
        FourierLweBootstrapKeyOwned, GlweCiphertext, GlweCiphertextList, LweBootstrapKey,
        NttLweBootstrapKeyOption, NttLweBootstrapKeyOwned,
    },
    fft_impl::fft64::{crypto::bootstrap::batch_blind_rotate_assign_scratch, math::fft::Fft},
    prelude::{
        CiphertextCount, CiphertextModulus, CiphertextModulusLog, DecompositionBaseLog,
        DecompositionLevelCount, GlweSize, LweDimension, ModulusSwitchedLweCiphertext, PolynomialSize,
    },
};

use super::{Backend, Parameters, Switched};

/// Bootstraps by Fourier transforms in double precision.
pub(crate) struct Fourier {
    key: FourierLweBootstrapKeyOwned,
    fft: Fft,
}

/// Bootstraps by transforms modulo `2^64 - 2^32 + 1`.
pub(crate) struct Integers {
    key: NttLweBootstrapKeyOwned<u64>,
    ntt: Ntt64,
}

struct Input<'a>(&'a Switched);

impl ModulusSwitchedLweCiphertext<usize> for Input<'_> {
    fn log_modulus(&self) -> CiphertextModulusLog {
        CiphertextModulusLog(self.0.bits as usize)
    }

    fn lwe_dimension(&self) -> LweDimension {
        LweDimension(self.0.mask.len())
    }

    fn body(&self) -> usize {
        // Both are under twice the degree.
        self.0.body as usize
    }

    fn mask(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.0.mask.iter().map(|word| *word as usize)
    }
}

struct Sizes {
    small: LweDimension,
    polynomials: GlweSize,
    degree: PolynomialSize,
    base_log: DecompositionBaseLog,
    digits: DecompositionLevelCount,
}

impl Sizes {
    fn new(parameters: &Parameters) -> Self {
        Self {
            small: LweDimension(parameters.small),
            polynomials: GlweSize(parameters.polynomials + 1),
            degree: PolynomialSize(parameters.degree()),
            base_log: DecompositionBaseLog(parameters.base_log as usize),
            digits: DecompositionLevelCount(parameters.digits),
        }
    }

    fn standard<'a>(&self, rows: &'a [u64]) -> LweBootstrapKey<&'a [u64]> {
        let (polynomials, degree) = (self.polynomials, self.degree);
        let native = CiphertextModulus::new_native();
        LweBootstrapKey::from_container(rows, polynomials, degree, self.base_log, self.digits, native)
    }
}

impl Backend for Fourier {
    fn expand(parameters: &Parameters, rows: &[u64]) -> Self {
        let sizes = Sizes::new(parameters);
        let Sizes { small, polynomials, degree, base_log, digits } = sizes;
        let mut key = FourierLweBootstrapKeyOwned::new(small, polynomials, degree, base_log, digits);
        par_convert_standard_lwe_bootstrap_key_to_fourier(&sizes.standard(rows), &mut key);
        Self { key, fft: Fft::new(degree) }
    }

    fn bootstrap(&self, inputs: &[Switched], tables: &[Vec<u64>]) -> Vec<Vec<u64>> {
        let (polynomials, degree) = (self.key.glwe_size(), self.key.polynomial_size());
        let fft = self.fft.as_view();
        // Several at a time, so that each part of the key is fetched from memory once for all of them.
        let batches = inputs.chunks(BATCH).zip(tables.chunks(BATCH)).flat_map(|(inputs, tables)| {
            let mut started: Vec<u64> = Vec::with_capacity(tables.len() * polynomials.0 * degree.0);
            for table in tables {
                started.extend(trivial(table, polynomials, degree));
            }
            let native = CiphertextModulus::new_native();
            let mut turned = GlweCiphertextList::from_container(started, polynomials, degree, native);
            let count = CiphertextCount(inputs.len());
            let need = batch_blind_rotate_assign_scratch::<u64>(polynomials, degree, count, fft);
            let mut buffers = ComputationBuffers::new();
            buffers.resize(need.unaligned_bytes_required());
            let inputs: Vec<Input<'_>> = inputs.iter().map(Input).collect();
            self.key.as_view().batch_blind_rotate_assign(turned.as_mut_view(), &inputs, fft, buffers.stack());
            let words = polynomials.0 * degree.0;
            turned.into_container().chunks(words).map(<[u64]>::to_vec).collect::<Vec<_>>()
        });
        batches.collect()
    }
}

impl Backend for Integers {
    fn expand(parameters: &Parameters, rows: &[u64]) -> Self {
        let sizes = Sizes::new(parameters);
        let Sizes { small, polynomials, degree, base_log, digits } = sizes;
        let prime = CiphertextModulus::new(PRIME);
        let mut key = NttLweBootstrapKeyOwned::new(0, small, polynomials, degree, base_log, digits, prime);
        let raw = NttLweBootstrapKeyOption::Raw;
        convert_standard_lwe_bootstrap_key_to_ntt64(&sizes.standard(rows), &mut key, raw);
        Self { key, ntt: Ntt64::new(prime, degree) }
    }

    fn bootstrap(&self, inputs: &[Switched], tables: &[Vec<u64>]) -> Vec<Vec<u64>> {
        let (polynomials, degree) = (self.key.glwe_size(), self.key.polynomial_size());
        let ntt = self.ntt.as_view();
        let need = blind_rotate_ntt64_bnf_assign_mem_optimized_requirement(polynomials, degree, ntt);
        let mut buffers = ComputationBuffers::new();
        buffers.resize(need.unaligned_bytes_required());
        let one = |(input, table): (&Switched, &Vec<u64>)| {
            let started = trivial(table, polynomials, degree).collect::<Vec<u64>>();
            let mut turned = GlweCiphertext::from_container(started, degree, CiphertextModulus::new_native());
            let stack = buffers.stack();
            blind_rotate_ntt64_bnf_assign_mem_optimized(&Input(input), &mut turned, &self.key, ntt, stack);
            turned.into_container()
        };
        inputs.iter().zip(tables).map(one).collect()
    }
}

/// A table as a ciphertext without a mask.
fn trivial(
    table: &[u64],
    GlweSize(polynomials): GlweSize,
    PolynomialSize(degree): PolynomialSize,
) -> impl Iterator<Item = u64> + '_ {
    let masks = (polynomials - 1) * degree;
    core::iter::repeat_n(0, masks).chain(table.iter().copied().chain(core::iter::repeat(0)).take(degree))
}

/// Bootstraps that go through the key together.
const BATCH: usize = 4;
const PRIME: u128 = (1 << 64) - (1 << 32) + 1;
