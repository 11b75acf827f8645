//! Commits to masks and proves what is left over of a masked proof (see [`tacit_verify::inner`]).

use p3_dft::{Radix2DFTSmallBatch, TwoAdicSubgroupDft};
use p3_field::{Field, PrimeCharacteristicRing};
use p3_matrix::{Matrix, dense::RowMajorMatrix};
use tacit_verify::{
    field::{Ef, Fp, ef_to_bytes},
    inner::{Challenges, combine, in_rows},
    inner_shape::InnerShape,
    masked::{Relation, Secret},
    oracle::row_to_extension,
};

use crate::{
    oracle::{Oracle, flatten},
    private::Private,
    randomness::Randomness,
    transcript::Transcript,
};

/// Masks and triples, committed.
pub(crate) struct Secrets {
    shape: InnerShape,
    pub(crate) masks: Private<Ef>,
    /// `alpha` and `beta` of each product.
    factors: Private<(Ef, Ef)>,
    /// Coefficients of every row. Shape `[rows][row_len]`.
    rows: Vec<Private<Ef>>,
    pub(crate) oracle: Oracle,
}

impl Secrets {
    /// Draws and commits to all secrets of a proof.
    pub(crate) fn commit(shape: InnerShape, random: &mut Randomness) -> Option<Self> {
        let masks = random.extensions(shape.counts.masks);
        let factors: Vec<(Ef, Ef)> =
            (0..shape.counts.products).map(|_| (random.extension(), random.extension())).collect();
        let triples: Vec<(Ef, Ef, Ef)> = factors.iter().map(|(a, b)| (*a, *b, *a * *b)).collect();
        Self::commit_triples(shape, masks, &triples, random)
    }

    /// Commits to secrets as they are, products true or false.
    fn commit_triples(
        shape: InnerShape,
        masks: Vec<Ef>,
        triples: &[(Ef, Ef, Ef)],
        random: &mut Randomness,
    ) -> Option<Self> {
        let alpha: Vec<Ef> = triples.iter().map(|triple| triple.0).collect();
        let beta: Vec<Ef> = triples.iter().map(|triple| triple.1).collect();
        let gamma: Vec<Ef> = triples.iter().map(|triple| triple.2).collect();
        let mut values = Vec::with_capacity(shape.secret_rows());
        for secrets in [&masks, &alpha, &beta, &gamma] {
            values.extend(in_rows(secrets, shape.slots));
        }
        let mut rows: Vec<Private<Ef>> = interpolate(&values, shape.slots)
            .into_iter()
            .map(|mut row| {
                // `w + (X^l - 1) r`.
                row.resize(shape.row_len(), Ef::ZERO);
                for (index, value) in random.extensions(shape.randomness).into_iter().enumerate() {
                    row[index] -= value;
                    row[shape.slots + index] += value;
                }
                row.into()
            })
            .collect();
        rows.extend((0..=shape.blind_rows()).map(|_| random.extensions(shape.row_len()).into()));
        // The blinding polynomial adds up to zero over the subgroup: its coefficients at multiples of the order do.
        let first = shape.secret_rows();
        let sum: Ef = blind(&shape, &rows).iter().step_by(shape.slots).copied().sum();
        rows[first][0] -= sum;
        let mut coefficients = Vec::with_capacity(shape.oracle().width << shape.log_height);
        for index in 0..shape.row_len() {
            coefficients.extend(flatten(rows.iter().map(|row| row[index])));
        }
        coefficients.resize(shape.oracle().width << shape.log_height, Fp::ZERO);
        let coefficients = RowMajorMatrix::new(coefficients, shape.oracle().width);
        let codeword = Radix2DFTSmallBatch::default().coset_dft_batch(coefficients, Fp::GENERATOR);
        let oracle = Oracle::new(shape.oracle(), codeword.to_row_major_matrix())?;
        let factors = triples.iter().map(|triple| (triple.0, triple.1)).collect::<Vec<_>>().into();
        Some(Self { shape, masks: masks.into(), factors, rows, oracle })
    }

    /// Proves `relation`, in step with [`tacit_verify::inner::verify`].
    pub(crate) fn prove(&self, relation: &Relation, transcript: &mut Transcript) {
        let shape = &self.shape;
        let covered = self.cover(relation);
        for (a, b) in &covered {
            write(transcript, &[*a, *b]);
        }
        let equation = combine(shape, relation, &covered, &mut transcript.challenger);
        let Challenges { weights: of_rows, phi } = Challenges::draw(shape, &mut transcript.challenger);

        let mut combination = vec![Ef::ZERO; shape.row_len()];
        for (row, weight) in self.rows.iter().zip(&of_rows) {
            for (sum, value) in combination.iter_mut().zip(row.iter()) {
                *sum += *weight * *value;
            }
        }
        let mut sum = blind(shape, &self.rows);
        let log_points = sum.len().next_power_of_two().trailing_zeros() as usize;
        let weights = evaluate(interpolate(&equation.weights, shape.slots), log_points);
        let products = evaluate(interpolate(&equation.product_weights, shape.slots), log_points);
        let mut values = vec![Ef::ZERO; 1 << log_points];
        for (index, value) in values.iter_mut().enumerate() {
            // The codeword has the points of the smaller coset, and others between them.
            let column = row_to_extension(&self.oracle.row(index << (shape.log_height - log_points)));
            let mut total: Ef =
                column.iter().zip(&weights[index]).map(|(value, weight)| *value * *weight).sum();
            let (alpha, beta) = (shape.mask_rows(), shape.mask_rows() + shape.product_rows());
            for (row, weight) in products[index].iter().enumerate() {
                total += column[alpha + row] * column[beta + row] * *weight;
            }
            *value = total * phi;
        }
        let values = RowMajorMatrix::new_col(values);
        let values = Radix2DFTSmallBatch::<Fp>::default().coset_idft_algebra_batch(values, Fp::GENERATOR);
        for (slot, value) in sum.iter_mut().zip(values.values) {
            *slot += value;
        }
        write(transcript, &combination);
        write(transcript, &sum);
        self.oracle.open(shape.queries, transcript);
    }

    /// The factors of all products under `alpha` and `beta`.
    fn cover(&self, relation: &Relation) -> Vec<(Ef, Ef)> {
        let mut products: Vec<Ef> = Vec::with_capacity(relation.products.len());
        let mut covered = Vec::with_capacity(relation.products.len());
        for ((a, b), (alpha, beta)) in relation.products.iter().zip(self.factors.iter()) {
            let secret = |secret: Secret| match secret {
                Secret::Mask(index) => self.masks.get(index).copied().unwrap_or_default(),
                Secret::Product(index) => products.get(index).copied().unwrap_or_default(),
            };
            let (a, b) = (a.evaluate(secret), b.evaluate(secret));
            products.push(a * b);
            covered.push((a + *alpha, b + *beta));
        }
        covered
    }
}

fn write(transcript: &mut Transcript, values: &[Ef]) {
    for value in values {
        transcript.proof.extend_from_slice(&ef_to_bytes(value));
        tacit_verify::context::observe(&mut transcript.challenger, *value);
    }
}

/// `sum_i X^(i l) u_i` of the blinding rows.
fn blind(shape: &InnerShape, rows: &[Private<Ef>]) -> Vec<Ef> {
    let mut sum = vec![Ef::ZERO; shape.sum_len()];
    for (piece, row) in rows[shape.secret_rows()..].iter().take(shape.blind_rows()).enumerate() {
        for (slot, value) in sum[piece * shape.slots..].iter_mut().zip(row.iter()) {
            *slot += *value;
        }
    }
    sum
}

/// Coefficients of the polynomials with these values on the subgroup of order `slots`.
fn interpolate(rows: &[Vec<Ef>], slots: usize) -> Vec<Vec<Ef>> {
    if rows.is_empty() {
        return Vec::new();
    }
    let mut values = Vec::with_capacity(slots * rows.len());
    for slot in 0..slots {
        values.extend(rows.iter().map(|row| row[slot]));
    }
    let values = RowMajorMatrix::new(values, rows.len());
    let coefficients = Radix2DFTSmallBatch::<Fp>::default().idft_algebra_batch(values);
    (0..rows.len())
        .map(|row| coefficients.values.iter().skip(row).step_by(rows.len()).copied().collect())
        .collect()
}

/// Values of polynomials on the coset of `2^log_points` points. Shape `[points][polynomials]`.
fn evaluate(polynomials: Vec<Vec<Ef>>, log_points: usize) -> Vec<Vec<Ef>> {
    let width = polynomials.len();
    if width == 0 {
        return vec![Vec::new(); 1 << log_points];
    }
    let mut coefficients = vec![Ef::ZERO; width << log_points];
    for (column, polynomial) in polynomials.iter().enumerate() {
        for (slot, value) in coefficients.iter_mut().skip(column).step_by(width).zip(polynomial) {
            *slot = *value;
        }
    }
    let coefficients = RowMajorMatrix::new(coefficients, width);
    let values = Radix2DFTSmallBatch::<Fp>::default().coset_dft_algebra_batch(coefficients, Fp::GENERATOR);
    values.values.chunks_exact(width).map(<[Ef]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use p3_blake3::Blake3;
    use tacit_verify::{
        Reject,
        commitment::Challenger,
        context::{Context, Value},
        inner::verify,
        masked::{Counts, Linear, Masked, Trees},
        reader::Reader,
    };

    use super::*;
    use crate::randomness::Seed;

    const VALUES: [u64; 3] = [6, 7, 42];

    /// Sends three values, asserts that the third is the product of the others, in a relation of the verifier's making.
    fn argue(secrets: &Secrets, values: [u64; 3]) -> (Vec<u8>, Relation, Challenger, usize) {
        let challenger = Challenger::from_hasher(secrets.oracle.root.to_vec(), Blake3);
        let mut transcript = Transcript::masked(challenger.clone(), Vec::new(), &secrets.masks);
        values.into_iter().for_each(|value| transcript.send(Ef::from_u64(value)));
        let sent = transcript.proof.len();
        let mut challenger = challenger;
        let mut reader = Reader::new(&transcript.proof);
        let mut context = Masked::new(&mut challenger, &mut reader, Trees::Trusted);
        let [a, b, c] = context.receive_array().unwrap();
        let product = context.multiply(&a, &b);
        context.assert_zero(&product.minus(&c), Reject::LookupSum).unwrap();
        let relation: Relation = context.finish();
        secrets.prove(&relation, &mut transcript);
        (transcript.proof, relation, challenger, sent)
    }

    fn shape() -> InnerShape {
        InnerShape::new(Counts { masks: 3, products: 1 }, 100).unwrap()
    }

    fn check(secrets: &Secrets, values: [u64; 3]) -> Result<(), Reject> {
        let (proof, relation, mut challenger, sent) = argue(secrets, values);
        let mut reader = Reader::new(&proof[sent..]);
        verify(&shape(), &secrets.oracle.root, &relation, &mut challenger, &mut reader)?;
        reader.finish()
    }

    fn random() -> Randomness {
        Randomness::new(&Seed::new([9; 32]), "test", &[])
    }

    #[test]
    fn a_true_relation_is_proved_and_a_false_one_is_not() {
        let secrets = Secrets::commit(shape(), &mut random()).unwrap();
        assert_eq!(check(&secrets, VALUES), Ok(()));
        assert_eq!(check(&secrets, [6, 7, 43]), Err(Reject::InnerSum));
    }

    #[test]
    fn a_triple_that_is_no_product_is_refused() {
        let mut stream = random();
        let masks = stream.extensions(3);
        let (alpha, beta) = (stream.extension(), stream.extension());
        // With `gamma` off by one the covered factors prove a product that is off by one.
        let triple = (alpha, beta, alpha * beta + Ef::ONE);
        let secrets = Secrets::commit_triples(shape(), masks, &[triple], &mut stream).unwrap();
        assert_eq!(check(&secrets, [6, 7, 43]), Err(Reject::InnerSum));
        assert_eq!(check(&secrets, VALUES), Err(Reject::InnerSum));
    }

    #[test]
    fn a_row_of_high_degree_is_refused() {
        let shape = shape();
        let honest = Secrets::commit(shape, &mut random()).unwrap();
        // A row of masks that is no codeword: noise on all but the positions nobody asks for.
        let mut codeword = Vec::new();
        let mut stream = random();
        for position in 0..1usize << shape.log_height {
            let mut row = honest.oracle.row(position);
            row[0] = stream.base();
            codeword.extend(row);
        }
        let codeword = RowMajorMatrix::new(codeword, shape.oracle().width);
        let oracle = Oracle::new(shape.oracle(), codeword).unwrap();
        let secrets = Secrets { oracle, ..honest };
        assert_eq!(check(&secrets, VALUES), Err(Reject::InnerSum));
        // Also when the sum is made to fit: the combination is not of the rows.
        let (proof, relation, challenger, sent) = argue(&secrets, VALUES);
        assert_eq!(refit(&proof, &relation, challenger, sent, &secrets), Err(Reject::InnerCombination));
    }

    /// Verifies a proof whose sum is set right by hand after it was made, with the challenges it then gets.
    fn refit(
        proof: &[u8],
        relation: &Relation,
        mut challenger: Challenger,
        sent: usize,
        secrets: &Secrets,
    ) -> Result<(), Reject> {
        let shape = shape();
        let mut reader = Reader::new(&proof[sent..]);
        let covered = tacit_verify::inner::read_factors(1, &mut challenger, &mut reader)?;
        let equation = combine(&shape, relation, &covered, &mut challenger);
        let mut transcript = Transcript::plain(challenger, proof[sent..sent + 40].to_vec());
        let phi = Challenges::draw(&shape, &mut transcript.challenger).phi;
        let combination = reader.list(shape.row_len(), 20, Reader::extension)?;
        let mut sum = reader.list(shape.sum_len(), 20, Reader::extension)?;
        let over: Ef = sum.iter().step_by(shape.slots).skip(1).copied().sum();
        sum[0] = -over - phi * equation.constant * Fp::from_u64(shape.slots as u64).inverse();
        write(&mut transcript, &combination);
        write(&mut transcript, &sum);
        secrets.oracle.open(shape.queries, &mut transcript);
        let mut challenger = Challenger::from_hasher(secrets.oracle.root.to_vec(), Blake3);
        let mut reader = Reader::new(&proof[..sent]);
        let mut context = Masked::new(&mut challenger, &mut reader, Trees::Trusted);
        let [_, _, _]: [Linear; 3] = context.receive_array()?;
        verify(&shape, &secrets.oracle.root, relation, &mut challenger, &mut Reader::new(&transcript.proof))
    }
}
