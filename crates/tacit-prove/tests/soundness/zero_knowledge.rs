//! What a proof in zero knowledge is refused for, and what it does not show.

use crate::support::{Random, dense_model, random_rows};
use p3_field::{PrimeCharacteristicRing, PrimeField32};
use tacit_graph::Model;
use tacit_prove::{CommittedModel, Hiding, Run, Seed, prove, prove_run_zk};
use tacit_verify::{
    Reject, SecurityBits,
    field::{EF_BYTES, Ef, Fp, ef_to_bytes},
    inner::{self, Challenges, Sent},
    inner_shape::InnerShape,
    masked::Trees,
    protocol::{Public, Rows},
    reader::Reader,
    statement::{KIND_ZERO_KNOWLEDGE, digest},
    verify,
    zero_knowledge::{Header, HidingPlan, Roots, replay, transcript},
};

/// Version, level, kind, openings, opening, weight oracle, its answer.
const HEADER: usize = 3 + 40 + EF_BYTES;

struct Honest {
    model: CommittedModel,
    run: Run,
    proof: Vec<u8>,
}

fn commit(model: Model, openings: u32) -> CommittedModel {
    let hiding = Hiding { openings_max: openings, openings_used: 0, seed: Seed::new([1; 32]) };
    CommittedModel::commit_hiding(model, SecurityBits::DEFAULT, hiding).unwrap()
}

fn honest() -> Honest {
    let mut random = Random(2026);
    let model = dense_model(&[5, 4, 3, 2], 5, &mut random);
    let inputs = random_rows(&model, 3, &mut random);
    let model = commit(model, 4);
    let run = Run::new(&model, &inputs).unwrap();
    let proof = prove_run_zk(&model, &run, &Seed::new([2; 32])).unwrap();
    Honest { model, run, proof }
}

impl Honest {
    fn reject(&self, proof: &[u8]) -> Reject {
        verify(self.model.verifying_model(), &self.run.statement, proof).unwrap_err()
    }

    fn reject_run(&self) -> Reject {
        self.reject(&prove_run_zk(&self.model, &self.run, &Seed::new([3; 32])).unwrap())
    }

    fn with(&self, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut proof = self.proof.clone();
        proof[at..at + bytes.len()].copy_from_slice(bytes);
        proof
    }
}

#[test]
fn the_kind_of_a_proof_is_told() {
    let honest = honest();
    let verified = verify(honest.model.verifying_model(), &honest.run.statement, &honest.proof).unwrap();
    assert!(verified.zero_knowledge());
    let plain = CommittedModel::commit(honest.model.model().clone(), SecurityBits::DEFAULT).unwrap();
    let proved = prove(&plain, &honest.run.statement.inputs).unwrap();
    let verified = verify(plain.verifying_model(), &honest.run.statement, &proved.proof).unwrap();
    assert!(!verified.zero_knowledge());
    // Neither passes for the other.
    let mut proof = honest.proof.clone();
    proof[2] = 0;
    let _ = honest.reject(&proof);
    let mut proof = proved.proof;
    proof[2] = 2;
    assert_eq!(
        verify(plain.verifying_model(), &honest.run.statement, &proof).unwrap_err(),
        Reject::WeightRoot
    );
    assert_eq!(honest.reject(&honest.with(0, &[2])), Reject::Version { got: 2 });
    assert_eq!(honest.reject(&honest.with(1, &[99])), Reject::Security { expected: 100, got: 99 });
}

#[test]
fn an_altered_output_is_refused() {
    let mut honest = honest();
    honest.run.statement.outputs[1][0] += 1;
    let _ = honest.reject(&honest.proof);
    assert_eq!(honest.reject_run(), Reject::InnerSum);
}

#[test]
fn every_column_of_a_false_witness_is_refused() {
    let honest = honest();
    for column in 0..honest.run.witness.columns.len() {
        let mut run = honest.run.clone();
        run.witness.columns[column][0] += Fp::ONE;
        let model = commit(honest.model.model().clone(), 4);
        let proof = prove_run_zk(&model, &run, &Seed::new([3; 32])).unwrap();
        let reject = verify(model.verifying_model(), &run.statement, &proof).unwrap_err();
        assert_eq!(reject, Reject::InnerSum, "column {column}");
    }
}

#[test]
fn a_proof_for_other_weights_is_refused() {
    let honest = honest();
    let other = dense_model(&[5, 4, 3, 2], 5, &mut Random(2027));
    let other = commit(Model::new(honest.model.model().graph().clone(), other.weights().clone()).unwrap(), 4);
    let run = Run::new(&other, &honest.run.statement.inputs).unwrap();
    let proof = prove_run_zk(&other, &run, &Seed::new([2; 32])).unwrap();
    assert!(verify(other.verifying_model(), &run.statement, &proof).is_ok());
    let reject = verify(honest.model.verifying_model(), &run.statement, &proof).unwrap_err();
    assert_eq!(reject, Reject::WeightRoot);
}

#[test]
fn more_openings_than_the_root_was_made_for_are_refused() {
    let honest = honest();
    // The bound cannot be raised: the root binds it. The index cannot reach it.
    assert_eq!(honest.reject(&honest.with(3, &5u32.to_le_bytes())), Reject::WeightRoot);
    assert_eq!(
        honest.reject(&honest.with(7, &4u32.to_le_bytes())),
        Reject::OpeningIndex { got: 4, openings: 4 }
    );
    // A proof cannot be passed off as another opening.
    assert_eq!(honest.reject(&honest.with(7, &1u32.to_le_bytes())), Reject::Work);
}

#[test]
fn another_answer_outside_the_domain_is_another_model() {
    let honest = honest();
    let at = HEADER - EF_BYTES;
    let other = ef_to_bytes(&extension(&mut Random(8)));
    assert_eq!(honest.reject(&honest.with(at, &other)), Reject::WeightRoot);
}

#[test]
fn every_part_is_bound() {
    let honest = honest();
    let mut random = Random(5);
    let mut seen = std::collections::BTreeSet::new();
    let ends = 0..HEADER + 200;
    let last = honest.proof.len() - 200..honest.proof.len();
    let between = (0..2500).map(|_| (random.next() as usize) % honest.proof.len());
    for at in ends.chain(last).chain(between.collect::<Vec<_>>()) {
        let mut proof = honest.proof.clone();
        proof[at] ^= 1 << (at % 8);
        let reject = honest.reject(&proof);
        let text = format!("{reject:?}");
        seen.insert(text.split([' ', '(', '{']).next().unwrap().to_owned());
    }
    for name in ["WeightRoot", "OpeningIndex", "Work", "OracleRows", "NonCanonical", "SiblingCount"] {
        assert!(seen.contains(name), "{name} is missing of {seen:?}");
    }
}

#[test]
fn shortened_and_lengthened_proofs_are_refused() {
    let honest = honest();
    for cut in (0..honest.proof.len()).step_by(997) {
        let reject = honest.reject(&honest.proof[..cut]);
        // A count of siblings may be cut off from what it counts.
        assert!(matches!(reject, Reject::Truncated), "{cut}: {reject:?}");
    }
    assert_eq!(honest.reject(&[&honest.proof[..], &[0]].concat()), Reject::TrailingBytes { got: 1 });
}

#[test]
fn parts_of_two_proofs_do_not_mix() {
    let honest = honest();
    let other = prove_run_zk(&honest.model, &honest.run, &Seed::new([9; 32])).unwrap();
    for cut in [HEADER, HEADER + 32, HEADER + 64, honest.proof.len() / 2] {
        let _ = honest.reject(&[&honest.proof[..cut], &other[cut.min(other.len())..]].concat());
    }
}

/// Random bytes of a field element.
fn element(random: &mut Random) -> [u8; 4] {
    loop {
        let value = (random.next() >> 33) as u32;
        if value < Fp::ORDER_U32 {
            return value.to_le_bytes();
        }
    }
}

fn extension(random: &mut Random) -> Ef {
    Ef::new(core::array::from_fn(|_| Fp::from_u32(u32::from_le_bytes(element(random)))))
}

/// A transcript made without weights and without a witness: random messages and rows. The roots are programmed (`Trees::Trusted`); the
/// work is done, as anyone can.
fn simulate(honest: &Honest, hiding: &HidingPlan, random: &mut Random) -> Result<Vec<u8>, Reject> {
    let root = |random: &mut Random| {
        let mut root = [0; 32];
        root.iter_mut().for_each(|byte| *byte = random.next() as u8);
        root
    };
    let (weight_oracle, weight_answer) = (root(random), extension(random));
    let header = Header { openings: 4, opening: 0, weight_oracle, weight_answer };
    let roots = Roots { weights: header.weight_oracle, witness: Some(root(random)), masks: root(random) };
    let statement = digest(&honest.model.model_id(), &honest.run.statement);
    let public = Public {
        graph: honest.model.model().graph(),
        plan: &hiding.plan,
        rows: Rows::Public { inputs: &honest.run.encoded, outputs: &honest.run.statement.outputs },
    };
    // The verifier says at which byte it lacks something; grinding is found by trying.
    let mut proof = Vec::new();
    loop {
        let mut challenger =
            transcript(&statement, SecurityBits::DEFAULT, KIND_ZERO_KNOWLEDGE, &header, &roots);
        let mut reader = Reader::new(&proof);
        match replay(public, hiding, &header, &roots, &mut challenger, &mut reader, Trees::Trusted) {
            Err(Reject::Truncated) => proof.extend_from_slice(&element(random)),
            Err(Reject::Work) => {
                let at = proof.len() - 4;
                proof[at..].copy_from_slice(&element(random));
            }
            Err(Reject::SiblingCount { .. }) => {
                let at = proof.len() - 4;
                proof[at..].copy_from_slice(&[0; 4]);
            }
            Err(reject) => return Err(reject),
            Ok((relation, _)) => {
                finish(&hiding.inner, &relation, &mut challenger, random);
                reader.finish().unwrap();
                return Ok(proof);
            }
        }
    }
}

/// The last step of the simulator: factors, combination and sum at random, the sum but for one coefficient. Opened columns that fit are made
/// in the tests of `tacit_verify::inner`.
fn finish(
    shape: &InnerShape,
    relation: &tacit_verify::masked::Relation,
    challenger: &mut tacit_verify::commitment::Challenger,
    random: &mut Random,
) {
    let factors: Vec<(Ef, Ef)> =
        relation.products.iter().map(|_| (extension(random), extension(random))).collect();
    let equation = inner::combine(shape, relation, &factors, challenger);
    let challenges = Challenges { weights: Vec::new(), phi: extension(random) };
    let mut sum: Vec<Ef> = (0..shape.sum_len()).map(|_| extension(random)).collect();
    let over: Ef = sum.iter().step_by(shape.slots).skip(1).copied().sum();
    let slots = Ef::from_u64(shape.slots as u64);
    sum[0] = -over - challenges.phi * equation.constant * p3_field::Field::inverse(&slots);
    let sent = Sent { combination: Vec::new(), sum };
    assert_eq!(inner::check(shape, &equation, &challenges, &sent, []), Ok(()));
}

fn hiding_plan(honest: &Honest) -> HidingPlan {
    let graph = honest.model.model().graph();
    HidingPlan::new(graph, honest.run.plan.clone(), 4, SecurityBits::DEFAULT).unwrap()
}

#[test]
fn a_simulator_without_witness_satisfies_every_check() {
    // A small level keeps the simulator's trial and error short.
    let honest = honest();
    let mut hiding = hiding_plan(&honest);
    shorten(&mut hiding);
    assert!(simulate(&honest, &hiding, &mut Random(6)).is_ok());
}

/// As few queries as the simulator's trial and error allows.
fn shorten(hiding: &mut HidingPlan) {
    for shape in [Some(&mut hiding.weights), hiding.witness.as_mut()].into_iter().flatten() {
        shape.rounds.iter_mut().for_each(|round| round.queries = 2);
    }
}

/// Chi-squared of 64 equal bins of base field elements.
fn chi_squared(values: impl IntoIterator<Item = u32>) -> (f64, usize) {
    let mut bins = [0usize; 64];
    let mut count = 0;
    for value in values {
        bins[(u64::from(value) * 64 / u64::from(Fp::ORDER_U32)) as usize] += 1;
        count += 1;
    }
    let expected = count as f64 / 64.0;
    (bins.iter().map(|bin| (*bin as f64 - expected).powi(2) / expected).sum(), count)
}

#[test]
fn real_and_simulated_values_have_one_distribution() {
    let honest = honest();
    let mut hiding = hiding_plan(&honest);
    shorten(&mut hiding);
    let mut random = Random(6);
    let proof = simulate(&honest, &hiding, &mut random).unwrap();
    let simulated = proof.chunks_exact(4).map(|chunk| u32::from_le_bytes(chunk.try_into().unwrap()));
    let (simulated, _) = chi_squared(simulated.take(hiding.inner.counts.masks * 5));
    let real = honest.proof[HEADER + 64..].chunks_exact(4);
    let real = real.map(|chunk| u32::from_le_bytes(chunk.try_into().unwrap()));
    let (real, _) = chi_squared(real.take(500 * 5).filter(|value| *value < Fp::ORDER_U32));
    assert!(simulated < 140.0 && real < 140.0, "{simulated} {real}");
}
