//! The bytes of a WHIR opening proof.
//!
//! Every length follows from the configuration except the number of Merkle siblings, which depends on the query
//! positions and is written before them. So the structure handed to the library always has the shape the library
//! expects, whatever the bytes are. Order: out-of-domain answers, first sumcheck, per round (root, out-of-domain
//! answers, grinding witness, opened rows, siblings, sumcheck), last polynomial, last grinding witness, last rows and
//! siblings, last sumcheck. Field elements are little-endian `u32`s, extension elements five of them.

use p3_field::PrimeField32;
use p3_merkle_tree::PrunedMerklePaths;
use p3_multilinear_util::poly::Poly;
use p3_sumcheck::{OpeningBatch, SumcheckData};
use p3_symmetric::MerkleCap;
use p3_whir::{PcsProof, QueryOpenings, RoundConfig, SharedProofOpening, WhirProof, WhirRoundProof};

use crate::{
    commitment::{Config, OpeningProof, Scheme},
    field::{EF_BYTES, Ef, Fp, ef_to_bytes},
    reader::Reader,
    reject::Reject,
};

type Openings = QueryOpenings<Fp, Ef, PrunedMerklePaths<u8, 32>>;

/// Writes an opening proof. The opened value is not written: the protocol has sent it before.
#[must_use]
pub fn encode(proof: &OpeningProof) -> Vec<u8> {
    let mut out = Vec::new();
    let whir = &proof.whir;
    write_list(&mut out, &whir.initial_ood_answers);
    write_sumcheck(&mut out, &whir.initial_sumcheck);
    for round in &whir.rounds {
        if let Some(root) = &round.commitment {
            root.roots().iter().for_each(|digest| out.extend_from_slice(digest));
        }
        write_list(&mut out, &round.ood_answers);
        write_base(&mut out, round.pow_witness);
        write_openings(&mut out, &round.openings);
        write_sumcheck(&mut out, &round.sumcheck);
    }
    if let Some(poly) = &whir.final_poly {
        write_list(&mut out, poly.as_slice());
    }
    write_base(&mut out, whir.final_pow_witness);
    write_openings(&mut out, &whir.final_openings);
    if let Some(sumcheck) = &whir.final_sumcheck {
        write_sumcheck(&mut out, sumcheck);
    }
    out
}

fn write_base(out: &mut Vec<u8>, value: Fp) {
    out.extend_from_slice(&value.as_canonical_u32().to_le_bytes());
}

fn write_list(out: &mut Vec<u8>, values: &[Ef]) {
    values.iter().for_each(|value| out.extend_from_slice(&ef_to_bytes(value)));
}

fn write_sumcheck(out: &mut Vec<u8>, sumcheck: &SumcheckData<Fp, Ef>) {
    sumcheck.polynomial_evaluations.iter().for_each(|pair| write_list(out, pair));
    sumcheck.pow_witnesses.iter().for_each(|witness| write_base(out, *witness));
}

fn write_openings(out: &mut Vec<u8>, openings: &Openings) {
    let siblings = match openings {
        QueryOpenings::Base(opening) => {
            opening.rows.iter().flatten().for_each(|value| write_base(out, *value));
            &opening.proof.sibling_hashes
        }
        QueryOpenings::Extension(opening) => {
            opening.rows.iter().for_each(|row| write_list(out, row));
            &opening.proof.sibling_hashes
        }
    };
    // A tree has far fewer than 2^32 nodes.
    out.extend_from_slice(&u32::try_from(siblings.len()).unwrap_or(u32::MAX).to_le_bytes());
    siblings.iter().for_each(|digest| out.extend_from_slice(digest));
}

/// Reads an opening proof of `scheme` around the value it is to open to.
///
/// # Errors
/// [`Reject`] for anything but the bytes of a proof of this shape.
pub fn decode(reader: &mut Reader<'_>, scheme: &Scheme, value: Ef) -> Result<OpeningProof, Reject> {
    let config: &Config = scheme.pcs();
    let rounds = config.round_parameters();
    let folds = config.folding_schedule();
    let fold = |round: usize| folds.get(round).copied().unwrap_or(0);

    let initial_ood_answers = read_list(reader, config.commitment_ood_samples())?;
    let initial_sumcheck = read_sumcheck(reader, fold(0), config.starting_folding_pow_bits())?;
    let mut round_proofs = Vec::with_capacity(rounds.len());
    for (index, round) in rounds.iter().enumerate() {
        round_proofs.push(WhirRoundProof {
            commitment: Some(MerkleCap::new(vec![reader.array()?])),
            ood_answers: read_list(reader, round.ood_samples)?,
            pow_witness: reader.base()?,
            openings: read_openings(reader, index, round)?,
            sumcheck: read_sumcheck(reader, fold(index.saturating_add(1)), round.folding_pow_bits)?,
        });
    }
    let last = config.final_round_config();
    let final_poly = Poly::new(read_list(reader, power_of_two(config.final_sumcheck_rounds()))?);
    let final_pow_witness = reader.base()?;
    let final_openings = read_openings(reader, rounds.len(), &last)?;
    let final_sumcheck = match config.final_sumcheck_rounds() {
        0 => None,
        count => Some(read_sumcheck(reader, count, config.final_folding_pow_bits())?),
    };
    Ok(PcsProof {
        whir: WhirProof {
            initial_ood_answers,
            initial_sumcheck,
            rounds: round_proofs,
            final_poly: Some(final_poly),
            final_pow_witness,
            final_openings,
            final_sumcheck,
        },
        evals: vec![OpeningBatch::new(vec![value], Vec::new())],
    })
}

fn read_list(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Ef>, Reject> {
    reader.list(count, EF_BYTES, Reader::extension)
}

fn read_sumcheck(
    reader: &mut Reader<'_>,
    rounds: usize,
    pow_bits: usize,
) -> Result<SumcheckData<Fp, Ef>, Reject> {
    let polynomial_evaluations = reader
        .list(rounds, EF_BYTES.saturating_mul(2), |reader| Ok([reader.extension()?, reader.extension()?]))?;
    let witnesses = if pow_bits == 0 { 0 } else { rounds };
    Ok(SumcheckData { polynomial_evaluations, pow_witnesses: reader.list(witnesses, 4, Reader::base)? })
}

/// The library opens every position of a domain that is not larger than the number of queries.
fn read_openings(reader: &mut Reader<'_>, index: usize, round: &RoundConfig) -> Result<Openings, Reject> {
    let positions = power_of_two(round.log_folded_domain_size);
    let queries = round.num_queries.min(positions);
    let width = power_of_two(round.folding_factor);
    let most = queries.saturating_mul(round.log_folded_domain_size);
    // The first code holds base field elements, folded ones hold extension elements.
    if index == 0 {
        let bytes = width.saturating_mul(4);
        let rows = reader.list(queries, bytes, |reader| reader.list(width, 4, Reader::base))?;
        Ok(QueryOpenings::Base(SharedProofOpening { rows, proof: read_siblings(reader, most)? }))
    } else {
        let bytes = width.saturating_mul(EF_BYTES);
        let rows = reader.list(queries, bytes, |reader| read_list(reader, width))?;
        Ok(QueryOpenings::Extension(SharedProofOpening { rows, proof: read_siblings(reader, most)? }))
    }
}

fn read_siblings(reader: &mut Reader<'_>, most: usize) -> Result<PrunedMerklePaths<u8, 32>, Reject> {
    let got = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    if got > most {
        return Err(Reject::SiblingCount { got, most });
    }
    Ok(PrunedMerklePaths { sibling_hashes: reader.list(got, 32, Reader::array)? })
}

fn power_of_two(exponent: usize) -> usize {
    u32::try_from(exponent).ok().and_then(|exponent| 1usize.checked_shl(exponent)).unwrap_or(usize::MAX)
}
