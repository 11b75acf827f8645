//! Graphs, and proofs that hold, do not hold, or are no proofs.

use crate::{
    Failure, HostError, MODULES, Module,
    proofs::{MAX_PART_BYTES, MAX_PARTS},
    testing::{World, reverts},
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError};
use proptest::prelude::*;
use std::sync::LazyLock;
use tacit_abi::{IModule, IProofs};
use tacit_graph::{
    Decoder, Graph, Model, Operator, decode_graph, encode_graph, feature_count, random_model, synthetic_mlp,
};
use tacit_prove::{CommittedModel, Hiding, Seed, prove, prove_zk};
use tacit_verify::{SecurityBits, Statement, statement::digest, verification_cost};

const PROOFS: Module = MODULES[3];
const CALLER: Address = Address::repeat_byte(0x77);

/// A committed model and a proof of some rows.
struct Case {
    committed: CommittedModel,
    statement: Statement,
    proof: Vec<u8>,
}

impl Case {
    fn new(model: Model, rows: i64) -> Self {
        let committed = CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap();
        let features = committed.model().graph().features.len() as i64;
        let inputs: Vec<Vec<i64>> =
            (0..rows).map(|row| (0..features).map(|i| ((row * 31 + i * 7) % 128) << 24).collect()).collect();
        let proved = prove(&committed, &inputs).unwrap();
        Self { committed, statement: Statement { inputs, outputs: proved.outputs }, proof: proved.proof }
    }

    fn synthetic(seed: u64, rows: i64) -> Self {
        Self::new(synthetic_mlp(&[4, 3, 2], seed).unwrap(), rows)
    }

    fn graph(&self) -> &Graph {
        self.committed.model().graph()
    }

    fn id(&self) -> B256 {
        B256::from(*self.committed.model_id().as_bytes())
    }

    fn register(&self, world: &mut World) -> B256 {
        register(world, &encode_graph(self.graph()), self.committed.weight_root().into()).unwrap()
    }

    fn answer_call(&self) -> IProofs::answerCall {
        IProofs::answerCall {
            modelId: self.id(),
            inputs: self.statement.inputs.concat(),
            outputs: self.statement.outputs.concat(),
            proof: self.proof.clone().into(),
        }
    }

    fn answer(&self, world: &mut World) -> Result<Vec<u32>, Failure> {
        world.call(PROOFS, CALLER, &self.answer_call())
    }
}

/// One proof for tests that only need some.
static CASE: LazyLock<Case> = LazyLock::new(|| Case::synthetic(1, 1));

fn store(world: &mut World, part: &[u8]) -> Result<B256, Failure> {
    world.call(PROOFS, CALLER, &IProofs::storeCall { part: Bytes::copy_from_slice(part) })
}

fn register_parts(world: &mut World, parts: Vec<B256>, root: B256) -> Result<B256, Failure> {
    world.call(PROOFS, CALLER, &IProofs::registerCall { parts, weightRoot: root })
}

fn register(world: &mut World, graph: &[u8], root: B256) -> Result<B256, Failure> {
    let part = store(world, graph)?;
    register_parts(world, vec![part], root)
}

fn world() -> World {
    let mut world = World::new();
    CASE.register(&mut world);
    world
}

/// Gas that an answer to this call is charged, and the check that refused it.
fn metered(world: &mut World, call: &IProofs::answerCall) -> (u64, Option<String>) {
    let (result, used) = world.metered(PROOFS, CALLER, U256::ZERO, &call.abi_encode());
    (used, result.is_err().then(|| refused_by(result.map(|_| Vec::new()))))
}

/// The check that refused.
fn refused_by(result: Result<Vec<u32>, Failure>) -> String {
    let Err(Failure::Revert(bytes)) = result else { panic!("not refused: {result:?}") };
    IProofs::Rejected::abi_decode_validate(&bytes).unwrap().check
}

#[test]
fn a_registered_model_is_described_and_given_back() {
    let mut world = World::new();
    let case = Case::new(synthetic_mlp(&[5, 4, 3], 9).unwrap(), 1);
    let is_registered = IProofs::isRegisteredCall { modelId: case.id() };
    assert!(!world.call(PROOFS, CALLER, &is_registered).unwrap());
    assert_eq!(case.register(&mut world), case.id());
    assert!(world.call(PROOFS, CALLER, &is_registered).unwrap());

    let graph = encode_graph(case.graph());
    let root = B256::from(case.committed.weight_root());
    let registered =
        IProofs::Registered { modelId: case.id(), weightRoot: root, graphBytes: graph.len() as u32 };
    assert_eq!(world.last::<IProofs::Registered>(), registered);
    let described = world.call(PROOFS, CALLER, &IProofs::describeCall { modelId: case.id() }).unwrap();
    let expected = IProofs::Description {
        weightRoot: root,
        graphBytes: graph.len() as u32,
        features: 5,
        outputs: 3,
        decoder: 0,
        fractionBits: 0,
        labels: vec!["0".into(), "1".into(), "2".into()],
    };
    assert_eq!(described, expected);
    assert_eq!(world.call(PROOFS, CALLER, &IProofs::graphCall { modelId: case.id() }).unwrap(), graph);
}

#[test]
fn a_graph_may_come_in_parts() {
    let mut world = World::new();
    let graph = encode_graph(CASE.graph());
    let parts: Vec<B256> = graph.chunks(40).map(|part| store(&mut world, part).unwrap()).collect();
    assert!(parts.len() > 2);
    let id = register_parts(&mut world, parts, CASE.committed.weight_root().into()).unwrap();
    assert_eq!(id, CASE.id());
    assert_eq!(CASE.answer(&mut world).unwrap().len(), 1);
}

#[test]
fn a_part_is_stored_once() {
    let mut world = World::new();
    let id = store(&mut world, b"part").unwrap();
    assert_eq!(world.last::<IProofs::Stored>(), IProofs::Stored { part: id, length: 4 });
    let before = (world.code.clone(), world.logs.len());
    assert_eq!(store(&mut world, b"part").unwrap(), id);
    assert_eq!((world.code.clone(), world.logs.len()), before);
    assert_ne!(store(&mut world, b"other").unwrap(), id);
}

#[test]
fn parts_that_are_empty_or_too_long_are_refused() {
    let mut world = World::new();
    for length in [0, MAX_PART_BYTES + 1] {
        let refused = reverts(IProofs::PartLength { length: length as u64, limit: MAX_PART_BYTES as u32 });
        assert_eq!(store(&mut world, &vec![1; length]), Err(refused));
    }
    store(&mut world, &vec![1; MAX_PART_BYTES]).unwrap();
}

#[test]
fn registrations_of_no_or_too_many_parts_are_refused() {
    let mut world = World::new();
    for count in [0, MAX_PARTS + 1] {
        let refused = reverts(IProofs::PartCount { count: count as u64, limit: MAX_PARTS as u32 });
        assert_eq!(register_parts(&mut world, vec![B256::ZERO; count], B256::ZERO), Err(refused));
    }
}

#[test]
fn a_part_that_is_not_stored_is_refused() {
    let part = B256::repeat_byte(5);
    let refused = register_parts(&mut World::new(), vec![part], B256::ZERO);
    assert_eq!(refused, Err(reverts(IProofs::UnknownPart { part })));
}

#[test]
fn what_is_no_graph_is_refused() {
    let mut world = World::new();
    let mut graph = encode_graph(CASE.graph());
    graph.push(0);
    for bytes in [&b"not a graph"[..], &graph] {
        assert_eq!(register(&mut world, bytes, B256::ZERO), Err(reverts(IProofs::NotAGraph {})));
    }
}

/// A run of equal features takes a few bytes however long it is: a million of them would be decoded for the price of one.
#[test]
fn long_runs_of_features_are_paid_for_before_they_are_made() {
    let mut graph = encode_graph(synthetic_mlp(&[1, 1], 1).unwrap().graph());
    let run = 12 + 4;
    assert_eq!(graph[run..run + 4], 1u32.to_le_bytes());
    graph[run..run + 4].copy_from_slice(&(1u32 << 20).to_le_bytes());
    assert_eq!(feature_count(&graph), Ok(1 << 20));
    let mut world = World::new();
    assert_eq!(register(&mut world, &graph, B256::ZERO), Err(Failure::Halt(HostError::OutOfGas)));
    world.gas = 100_000_000;
    assert_eq!(register(&mut world, &graph, B256::ZERO), Err(reverts(IProofs::NotAGraph {})));
}

#[test]
fn features_are_counted_as_they_are_decoded() {
    for seed in 0..100 {
        let graph = encode_graph(random_model(seed).unwrap().graph());
        let features = decode_graph(&graph).unwrap().features.len() as u64;
        assert_eq!(feature_count(&graph), Ok(features), "{seed}");
        for length in 0..graph.len().min(200) {
            let _ = feature_count(&graph[..length]);
        }
    }
}

#[test]
fn a_model_is_registered_once() {
    let mut world = world();
    let again = register(&mut world, &encode_graph(CASE.graph()), CASE.committed.weight_root().into());
    assert_eq!(again, Err(reverts(IProofs::AlreadyRegistered { modelId: CASE.id() })));
}

#[test]
fn a_graph_of_which_nothing_can_be_proved_is_refused() {
    let mut graph = CASE.graph().clone();
    for node in &mut graph.nodes {
        if let Operator::Requantise { shift, .. } = node {
            *shift = 24;
        }
    }
    let refused = register(&mut World::new(), &encode_graph(&graph), B256::ZERO).unwrap_err();
    assert_eq!(refused, reverts(IProofs::Rejected { check: "Plan".into() }));
}

#[test]
fn an_answer_is_the_label_of_each_row() {
    let case = Case::synthetic(3, 5);
    let mut world = World::new();
    case.register(&mut world);
    let labels = case.answer(&mut world).unwrap();
    let expected: Vec<u32> = case.statement.outputs.iter().map(|row| u32::from(row[1] > row[0])).collect();
    assert_eq!(labels, expected);
}

#[test]
fn verifying_gives_the_digest_of_the_statement() {
    let mut world = world();
    let IProofs::answerCall { modelId, inputs, outputs, proof } = CASE.answer_call();
    let call = IProofs::verifyCall { modelId, inputs, outputs, proof };
    let expected = digest(&CASE.committed.model_id(), &CASE.statement);
    assert_eq!(world.call(PROOFS, CALLER, &call).unwrap(), expected);
}

#[test]
fn a_model_without_labels_has_no_answer_but_is_verified() {
    let model = synthetic_mlp(&[4, 3, 2], 1).unwrap();
    let mut graph = model.graph().clone();
    graph.decoder = Decoder::Values { fraction_bits: 3 };
    let case = Case::new(Model::new(graph, model.weights().clone()).unwrap(), 1);
    let mut world = World::new();
    case.register(&mut world);
    assert_eq!(case.answer(&mut world), Err(reverts(IProofs::NoLabels {})));
    let IProofs::answerCall { modelId, inputs, outputs, proof } = case.answer_call();
    world.call(PROOFS, CALLER, &IProofs::verifyCall { modelId, inputs, outputs, proof }).unwrap();
    let described = world.call(PROOFS, CALLER, &IProofs::describeCall { modelId }).unwrap();
    assert_eq!((described.decoder, described.fractionBits, described.labels), (2, 3, vec![]));
}

#[test]
fn an_unknown_model_is_refused() {
    let mut world = World::new();
    let id = CASE.id();
    let unknown = reverts(IProofs::UnknownModel { modelId: id });
    assert_eq!(CASE.answer(&mut world), Err(unknown.clone()));
    let described = world.call(PROOFS, CALLER, &IProofs::describeCall { modelId: id });
    assert_eq!(described.map(|_| ()), Err(unknown.clone()));
    let graph = world.call(PROOFS, CALLER, &IProofs::graphCall { modelId: id });
    assert_eq!(graph.map(|_| ()), Err(unknown));
}

#[test]
fn the_proof_of_another_model_is_refused() {
    let mut world = world();
    let other = Case::synthetic(2, 1);
    other.register(&mut world);
    let call = IProofs::answerCall { modelId: other.id(), ..CASE.answer_call() };
    assert_eq!(other.graph().nodes.len(), CASE.graph().nodes.len());
    assert!(!refused_by(world.call(PROOFS, CALLER, &call)).is_empty());
}

#[test]
fn rows_that_do_not_fit_the_graph_are_refused() {
    let mut world = world();
    for values in [0, 3, 5] {
        let call = IProofs::answerCall { inputs: vec![0; values], ..CASE.answer_call() };
        let refused = reverts(IProofs::InputCount { values: values as u64, features: 4 });
        assert_eq!(world.call(PROOFS, CALLER, &call), Err(refused));
    }
    for values in [0, 1, 3] {
        let call = IProofs::answerCall { outputs: vec![0; values], ..CASE.answer_call() };
        let refused = reverts(IProofs::OutputCount { values: values as u64, expected: 2 });
        assert_eq!(world.call(PROOFS, CALLER, &call), Err(refused));
    }
}

#[test]
fn another_input_or_output_is_refused() {
    let mut world = world();
    let mut call = CASE.answer_call();
    call.inputs[2] += 1;
    refused_by(world.call(PROOFS, CALLER, &call));
    let mut call = CASE.answer_call();
    call.outputs[1] -= 1;
    refused_by(world.call(PROOFS, CALLER, &call));
}

#[test]
fn every_damaged_proof_is_refused_by_name() {
    let mut world = world();
    for at in (0..CASE.proof.len()).step_by(89) {
        let mut call = CASE.answer_call();
        let mut proof = call.proof.to_vec();
        proof[at] ^= 1 << (at % 8);
        call.proof = proof.into();
        let check = refused_by(world.call(PROOFS, CALLER, &call));
        assert!(!check.is_empty() && check.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{check}");
    }
    let proof = |bytes: Vec<u8>| IProofs::answerCall { proof: bytes.into(), ..CASE.answer_call() };
    let short = proof(CASE.proof[..CASE.proof.len() - 1].to_vec());
    assert_eq!(refused_by(world.call(PROOFS, CALLER, &short)), "Truncated");
    let long = proof([&CASE.proof[..], &[0]].concat());
    assert_eq!(refused_by(world.call(PROOFS, CALLER, &long)), "TrailingBytes");
}

#[test]
fn gas_is_charged_before_the_work() {
    let mut world = world();
    let rows = CASE.statement.inputs.len() as u32;
    let said = IProofs::verificationGasCall { modelId: CASE.id(), rows, proofBytes: CASE.proof.len() as u32 };
    let said = world.call(PROOFS, CALLER, &said).unwrap();
    let (used, refused) = metered(&mut world, &CASE.answer_call());
    assert_eq!(refused, None);
    assert!(used > said && used < said + 100_000, "{used} of which {said} were said");
    // A proof that nobody can check for less is not looked at: were it, these would end as rejections.
    world.gas = used - 1;
    let bad = IProofs::answerCall { proof: vec![0; CASE.proof.len()].into(), ..CASE.answer_call() };
    assert_eq!(CASE.answer(&mut world), Err(Failure::Halt(HostError::OutOfGas)));
    assert_eq!(world.call(PROOFS, CALLER, &bad), Err(Failure::Halt(HostError::OutOfGas)));
    world.gas = used;
    CASE.answer(&mut world).unwrap();
    let (refusal, check) = metered(&mut world, &bad);
    assert!(check.is_some() && refusal <= used, "a refusal costs no more than a proof");
}

#[test]
fn rows_beyond_what_is_provable_are_refused_before_they_are_paid_for() {
    let mut world = world();
    world.gas = 100_000_000;
    let rows = tacit_verify::plan::MAX_ROWS + 1;
    let call =
        IProofs::answerCall { inputs: vec![0; rows * 4], outputs: vec![0; rows * 2], ..CASE.answer_call() };
    assert_eq!(refused_by(world.call(PROOFS, CALLER, &call)), "Plan");
}

#[test]
fn views_run_in_static_calls_and_writes_do_not() {
    let mut world = world();
    world.is_static = true;
    CASE.answer(&mut world).unwrap();
    let refused = Err(reverts(IModule::StaticCall {}));
    assert_eq!(store(&mut world, b"part"), refused);
    assert_eq!(register_parts(&mut world, vec![B256::ZERO], B256::ZERO), refused);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever the shapes and bytes, a call ends in a refusal, and it was charged for at least the work that its sizes allow.
    #[test]
    fn hostile_statements_are_refused_and_paid_for(
        rows in 1usize..200,
        start in proptest::collection::vec(any::<u8>(), 0..64),
        length in 0usize..60_000,
        fill in any::<u8>(),
        honest_prefix in any::<bool>(),
        value in any::<i64>(),
    ) {
        let mut world = world();
        world.gas = 50_000_000;
        let head = if honest_prefix { &CASE.proof[..] } else { &start };
        let mut proof = head.to_vec();
        proof.resize(length, fill);
        prop_assume!(proof != CASE.proof);
        let inputs = vec![value; rows * 4];
        let outputs = vec![(value >> 40) as i32; rows * 2];
        let cost = verification_cost(CASE.graph(), rows, length).unwrap();
        let call = IProofs::answerCall { modelId: CASE.id(), inputs, outputs, proof: proof.into() };
        let (used, check) = metered(&mut world, &call);
        prop_assert!(check.is_some());
        prop_assert!(used >= super::gas::checking(&cost));
    }

    /// Bytes behind a real selector: a refusal or an answer, never a panic.
    #[test]
    fn arbitrary_calldata_is_answered_or_refused(
        method in 0usize..8,
        arguments in proptest::collection::vec(prop_oneof![Just(0u8), Just(0x20), any::<u8>()], 0..600),
        words in proptest::collection::vec(0u8..=8, 0..20),
    ) {
        let mut world = world();
        let selector = IProofs::IProofsCalls::SELECTORS[method];
        let small: Vec<u8> =
            words.iter().flat_map(|word| U256::from(u64::from(*word) * 32).to_be_bytes::<32>()).collect();
        for arguments in [arguments, [&CASE.id()[..], &small].concat(), small] {
            let _ = world.send(PROOFS, CALLER, U256::ZERO, &[&selector[..], &arguments].concat());
        }
    }

    /// Whoever publishes a graph may be hostile: whatever can be registered can be asked about.
    #[test]
    fn damaged_graphs_are_refused_or_answer_like_any_other(
        seed in 0u64..400,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        rows in 1usize..4,
        proof in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = encode_graph(random_model(seed).unwrap().graph());
        // Tables are most of a graph and say little.
        let most = bytes.len().min(400);
        for (at, to) in changes {
            bytes[at.index(most)] = to;
        }
        let mut world = World::new();
        world.gas = 30_000_000;
        if let Ok(id) = register(&mut world, &bytes, B256::ZERO) {
            let described = world.call(PROOFS, CALLER, &IProofs::describeCall { modelId: id }).unwrap();
            let call = IProofs::answerCall {
                modelId: id,
                inputs: vec![1; described.features as usize * rows],
                outputs: vec![2; described.outputs as usize * rows],
                proof: [&[2, 100, 0], &proof[..]].concat().into(),
            };
            let answered = world.call(PROOFS, CALLER, &call);
            prop_assert!(answered.is_err());
        }
    }

    /// Honest calldata with some bytes changed.
    #[test]
    fn damaged_calldata_is_refused(at in 4usize..400, to in any::<u8>()) {
        let mut world = world();
        let mut input = CASE.answer_call().abi_encode();
        prop_assume!(input[at] != to);
        input[at] = to;
        prop_assert!(world.send(PROOFS, CALLER, U256::ZERO, &input).is_err());
    }
}

#[test]
fn a_proof_in_zero_knowledge_is_believed_for_more_gas() {
    let plain = &*CASE;
    let mut world = world();
    let call = |case: &Case, proof: Vec<u8>| IProofs::answerCall {
        modelId: case.id(),
        inputs: case.statement.inputs.concat(),
        outputs: case.statement.outputs.concat(),
        proof: proof.into(),
    };
    let (gas_plain, refused) = metered(&mut world, &call(plain, plain.proof.clone()));
    assert_eq!(refused, None);

    let hiding = Hiding { openings_max: 2, openings_used: 0, seed: Seed::new([1; 32]) };
    let committed =
        CommittedModel::commit_hiding(plain.committed.model().clone(), SecurityBits::DEFAULT, hiding)
            .unwrap();
    let proved = prove_zk(&committed, &plain.statement.inputs, &Seed::new([2; 32])).unwrap();
    let hidden = Case { committed, statement: plain.statement.clone(), proof: proved.proof };
    hidden.register(&mut world);
    let (gas_hidden, refused) = metered(&mut world, &call(&hidden, hidden.proof.clone()));
    assert_eq!(refused, None);
    assert!(gas_hidden > gas_plain + crate::proofs::gas::HIDING, "{gas_hidden} {gas_plain}");

    // The price follows the kind that the bytes claim, before they are believed.
    let mut false_kind = plain.proof.clone();
    false_kind[2] = 2;
    let (gas, refused) = metered(&mut world, &call(plain, false_kind));
    assert_eq!(refused.as_deref(), Some("WeightRoot"));
    assert!(gas > gas_plain + crate::proofs::gas::HIDING);
}
