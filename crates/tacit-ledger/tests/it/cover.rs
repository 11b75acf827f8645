//! `examples/DiagnosisCover.sol` on the ledger: a contract acts on what a model answers, and on nothing else.

use crate::support::{COIN, Draft, Net, address, bytecode, key};
use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::{SolCall, SolConstructor, SolError, SolEvent, SolValue};
use serde_json::Value;
use std::{fs, path::PathBuf, sync::LazyLock};
use tacit_abi::{IProofs, proofs};
use tacit_graph::{
    Model, RawValue, encode_graph,
    import::{ImportOptions, import},
    synthetic_mlp,
};
use tacit_ledger::{CallStatus, Outcome};
use tacit_prove::{CommittedModel, prove};
use tacit_verify::SecurityBits;

alloy_sol_types::sol! {
    #[derive(Debug, PartialEq, Eq)]
    contract DiagnosisCover {
        event Paid(bytes32 indexed statement, uint256 amount);
        event Expired(uint256 amount);

        error NoSuchLabel(string label);
        error Closed();
        error NotSigned();
        error OneReading();
        error OtherAnswer(uint32 label);
        error NotExpired();

        constructor(bytes32 modelId, string memory label, address laboratory, address insured, uint256 expires) payable;
        function label() external view returns (uint32);
        function closed() external view returns (bool);
        function readingHash(int64[] calldata reading) external view returns (bytes32);
        function claim(int64[] calldata reading, int32[] calldata logits, bytes calldata proof, uint8 v, bytes32 r, bytes32 s) external;
        function expire() external;
    }
}

alloy_sol_types::sol! {
    interface IAttempt {
        function tryCall(address target, uint256 gasLimit, bytes calldata data) external payable returns (bool ok, bytes memory out, uint256 used);
    }
}

const INSURER: u8 = 1;
const INSURED: u8 = 2;
const LABORATORY: u8 = 3;
const PUBLISHER: u8 = 4;
const TERM_S: u64 = 1_000;

/// The shipped breast-cancer model, its weights committed.
static MODEL: LazyLock<CommittedModel> = LazyLock::new(|| commit(import_shipped()));

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/breast-cancer")
}

fn import_shipped() -> Model {
    let file = fs::File::open(folder().join("calibration.npy")).unwrap();
    let calibration = npyz::NpyFile::new(file).unwrap();
    let width = calibration.shape()[1] as usize;
    let flat: Vec<f32> = calibration.into_vec().unwrap();
    let rows: Vec<Vec<f64>> =
        flat.chunks(width).map(|row| row.iter().map(|value| f64::from(*value)).collect()).collect();
    let onnx = fs::read(folder().join("model.onnx")).unwrap();
    import(&onnx, &rows, None, &ImportOptions::default()).unwrap().model
}

fn commit(model: Model) -> CommittedModel {
    CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap()
}

fn id(model: &CommittedModel) -> B256 {
    B256::from(*model.model_id().as_bytes())
}

/// A sample's measurements, read as decimals the way a client reads them.
fn sample(name: &str) -> Vec<i64> {
    let file = fs::read(folder().join(format!("samples/{name}.json"))).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let data = file["data"].as_array().unwrap();
    data.iter().map(|number| number.to_string().parse::<RawValue>().unwrap().get()).collect()
}

/// What a worker answers.
struct Answer {
    reading: Vec<i64>,
    logits: Vec<i32>,
    proof: Vec<u8>,
}

fn ask(model: &CommittedModel, reading: Vec<i64>) -> Answer {
    let proved = prove(model, std::slice::from_ref(&reading)).unwrap();
    Answer { reading, logits: proved.outputs.concat(), proof: proved.proof }
}

fn transact(net: &mut Net, from: u8, to: TxKind, value: u128, input: Vec<u8>) -> Outcome {
    let nonce = net.nonce(from);
    let draft = Draft { to, value, gas: 16_000_000, input: input.into(), ..Draft::new(from, nonce) };
    let built = net.mine(vec![draft.sign()]);
    assert!(built.executed.rejected.is_empty(), "{:?}", built.executed.rejected);
    built.executed.outcomes[0].clone()
}

/// Puts a model's graph on the ledger.
fn register(net: &mut Net, model: &CommittedModel) -> B256 {
    let mut parts = Vec::new();
    for part in encode_graph(model.model().graph()).chunks(24_575) {
        let call = IProofs::storeCall { part: Bytes::copy_from_slice(part) };
        let outcome = transact(net, PUBLISHER, TxKind::Call(proofs::ADDRESS), 0, call.abi_encode());
        parts.push(IProofs::storeCall::abi_decode_returns_validate(&outcome.output).unwrap());
    }
    let call = IProofs::registerCall { parts, weightRoot: model.weight_root().into() };
    let outcome = transact(net, PUBLISHER, TxKind::Call(proofs::ADDRESS), 0, call.abi_encode());
    assert!(outcome.receipt.status(), "{}", outcome.output);
    IProofs::registerCall::abi_decode_returns_validate(&outcome.output).unwrap()
}

fn deploy(net: &mut Net, model: B256, label: &str) -> Outcome {
    let arguments = DiagnosisCover::constructorCall {
        modelId: model,
        label: label.into(),
        laboratory: address(LABORATORY),
        insured: address(INSURED),
        expires: U256::from(net.head.timestamp + TERM_S),
    };
    let code = [bytecode("DiagnosisCover"), arguments.abi_encode()].concat();
    transact(net, INSURER, TxKind::Create, COIN, code)
}

/// A ledger with the model and a cover that pays for "malignant".
fn covered() -> (Net, Address) {
    let mut net = Net::new();
    assert_eq!(register(&mut net, &MODEL), id(&MODEL));
    let cover = deploy(&mut net, id(&MODEL), "malignant").created.unwrap();
    (net, cover)
}

/// A claim with the laboratory's signature on the reading.
fn claim(net: &Net, cover: Address, answer: &Answer) -> DiagnosisCover::claimCall {
    signed(net, cover, answer, LABORATORY)
}

fn signed(net: &Net, cover: Address, answer: &Answer, signer: u8) -> DiagnosisCover::claimCall {
    let hash = net.view(cover, &DiagnosisCover::readingHashCall { reading: answer.reading.clone() });
    let signature = sign_message(key(signer).0, hash).unwrap();
    DiagnosisCover::claimCall {
        reading: answer.reading.clone(),
        logits: answer.logits.clone(),
        proof: answer.proof.clone().into(),
        v: 27 + u8::from(signature.v()),
        r: signature.r().into(),
        s: signature.s().into(),
    }
}

fn send(net: &mut Net, cover: Address, call: &impl SolCall) -> Outcome {
    // A stranger brings it: who brings a claim does not matter.
    transact(net, PUBLISHER, TxKind::Call(cover), 0, call.abi_encode())
}

/// Sends a claim that must fail, and must leave the coin where it is.
fn refused(net: &mut Net, cover: Address, call: &DiagnosisCover::claimCall) -> Bytes {
    let outcome = send(net, cover, call);
    assert!(!outcome.receipt.status());
    assert_eq!((outcome.halt, net.balance(cover)), (None, U256::from(COIN)));
    outcome.output
}

fn is_rejection(output: &Bytes) -> bool {
    IProofs::Rejected::abi_decode_validate(output).is_ok_and(|error| !error.check.is_empty())
}

#[test]
fn a_proved_diagnosis_is_paid_once() {
    let (mut net, cover) = covered();
    let answer = ask(&MODEL, sample("malignant"));
    let call = claim(&net, cover, &answer);
    let before = net.balance(address(INSURED));
    let outcome = send(&mut net, cover, &call);
    assert!(outcome.receipt.status(), "{}", outcome.output);
    assert_eq!(net.balance(address(INSURED)), before + U256::from(COIN));
    assert_eq!(net.balance(cover), U256::ZERO);
    let paid = DiagnosisCover::Paid::decode_log_validate(&outcome.receipt.logs()[0]).unwrap();
    let statement = (id(&MODEL), answer.reading.clone(), answer.logits.clone()).abi_encode_params();
    assert_eq!(paid.statement, alloy_primitives::keccak256(statement));

    // A replay meets a closed cover; so does the same answer with a new proof.
    let again = send(&mut net, cover, &call);
    assert!(!again.receipt.status());
    assert_eq!(again.output, DiagnosisCover::Closed {}.abi_encode());
    assert_eq!(net.balance(address(INSURED)), before + U256::from(COIN));
}

#[test]
fn a_claim_for_one_cover_is_no_claim_for_another() {
    let (mut net, cover) = covered();
    let other = deploy(&mut net, id(&MODEL), "malignant").created.unwrap();
    let call = claim(&net, cover, &ask(&MODEL, sample("malignant")));
    assert_eq!(refused(&mut net, other, &call), DiagnosisCover::NotSigned {}.abi_encode());
}

#[test]
fn a_wrong_proof_is_not_paid() {
    let (mut net, cover) = covered();
    let answer = ask(&MODEL, sample("malignant"));
    for at in [0, 40, answer.proof.len() / 2, answer.proof.len() - 1] {
        let mut call = claim(&net, cover, &answer);
        let mut proof = call.proof.to_vec();
        proof[at] ^= 1;
        call.proof = proof.into();
        assert!(is_rejection(&refused(&mut net, cover, &call)), "byte {at}");
    }
    let mut call = claim(&net, cover, &answer);
    call.proof = Bytes::new();
    assert!(is_rejection(&refused(&mut net, cover, &call)));
}

/// The claimant turns "benign" into "malignant" by other logits.
#[test]
fn an_invented_answer_is_not_paid() {
    let (mut net, cover) = covered();
    let mut answer = ask(&MODEL, sample("benign"));
    let honest = claim(&net, cover, &answer);
    let other = DiagnosisCover::OtherAnswer { label: 0 };
    assert_eq!(refused(&mut net, cover, &honest), other.abi_encode());
    answer.logits = answer.logits.iter().map(|logit| -logit).collect();
    let invented = claim(&net, cover, &answer);
    assert!(is_rejection(&refused(&mut net, cover, &invented)));
}

#[test]
fn a_reading_that_the_laboratory_did_not_sign_is_not_paid() {
    let (mut net, cover) = covered();
    let answer = ask(&MODEL, sample("malignant"));
    let call = signed(&net, cover, &answer, INSURED);
    assert_eq!(refused(&mut net, cover, &call), DiagnosisCover::NotSigned {}.abi_encode());
    let mut call = claim(&net, cover, &answer);
    call.v = 0;
    assert_eq!(refused(&mut net, cover, &call), DiagnosisCover::NotSigned {}.abi_encode());
}

/// Another model of the same shape, which calls everything malignant, is registered and proves its answer.
#[test]
fn the_answer_of_another_model_is_not_paid() {
    let (mut net, cover) = covered();
    let model = import_shipped();
    let mut weights = model.weights().clone();
    weights.layers.last_mut().unwrap().bias[0] += 1_000;
    let other = commit(Model::new(model.graph().clone(), weights).unwrap());
    register(&mut net, &other);
    let answer = ask(&other, sample("malignant"));
    let call = claim(&net, cover, &answer);
    assert!(is_rejection(&refused(&mut net, cover, &call)));
}

#[test]
fn two_readings_are_not_one() {
    let (mut net, cover) = covered();
    let rows = vec![sample("malignant"), sample("benign")];
    let proved = prove(&MODEL, &rows).unwrap();
    let answer = Answer { reading: rows.concat(), logits: proved.outputs.concat(), proof: proved.proof };
    let call = claim(&net, cover, &answer);
    assert_eq!(refused(&mut net, cover, &call), DiagnosisCover::OneReading {}.abi_encode());
}

#[test]
fn a_cover_names_a_registered_model_and_one_of_its_labels() {
    let (mut net, cover) = covered();
    assert_eq!(net.view(cover, &DiagnosisCover::labelCall {}), 1);
    let outcome = deploy(&mut net, id(&MODEL), "healthy");
    assert_eq!(outcome.output, DiagnosisCover::NoSuchLabel { label: "healthy".into() }.abi_encode());
    let unknown = B256::repeat_byte(9);
    let outcome = deploy(&mut net, unknown, "malignant");
    assert_eq!(outcome.output, IProofs::UnknownModel { modelId: unknown }.abi_encode());
}

#[test]
fn what_is_not_claimed_goes_back() {
    let (mut net, cover) = covered();
    let expire = DiagnosisCover::expireCall {};
    let early = send(&mut net, cover, &expire);
    assert_eq!(early.output, DiagnosisCover::NotExpired {}.abi_encode());
    let mut attributes = net.attributes();
    attributes.timestamp += TERM_S;
    let _ = net.mine_with(&attributes, Vec::new());
    let before = net.balance(address(INSURER));
    assert!(send(&mut net, cover, &expire).receipt.status());
    assert_eq!(net.balance(address(INSURER)), before + U256::from(COIN));
    assert!(net.view(cover, &DiagnosisCover::closedCall {}));
}

/// Parts are accounts with code, which survive, are read by anyone, run as nothing, and are undone with their transaction.
#[test]
fn parts_of_graphs_are_code() {
    let mut net = Net::new();
    let store = IProofs::storeCall { part: vec![7; 100].into() }.abi_encode();
    let estimated = net.call(proofs::ADDRESS, store.clone());
    assert_eq!(estimated.status, CallStatus::Success);
    let part = IProofs::storeCall::abi_decode_returns_validate(&estimated.output).unwrap();
    let account = proofs::ADDRESS.create2(B256::ZERO, part);
    assert!(!net.state.accounts.contains_key(&account));
    let outcome = transact(&mut net, 1, TxKind::Call(proofs::ADDRESS), 0, store.clone());
    assert!(outcome.receipt.status());
    let stored = net.state.accounts[&account];
    assert_eq!((stored.nonce, stored.code_hash), (1, part));
    assert_eq!(net.state.code[&part][1..], [7; 100]);
    let again = transact(&mut net, 1, TxKind::Call(proofs::ADDRESS), 0, store);
    assert!(again.receipt.status() && again.gas_used < outcome.gas_used / 2);
    assert_eq!(net.state.accounts[&account], stored);
    assert!(send(&mut net, account, &IProofs::storeCall { part: Bytes::new() }).receipt.status());
}

/// A part whose storing runs out of gas at its last step is not there.
#[test]
fn a_part_goes_with_its_transaction() {
    let mut net = Net::new();
    let store = IProofs::storeCall { part: vec![7; 100].into() }.abi_encode();
    let used = net.call(proofs::ADDRESS, store.clone()).gas_used;
    let before = net.state.clone();
    let to = TxKind::Call(proofs::ADDRESS);
    let draft = Draft { to, gas: used - 1, input: store.into(), ..Draft::new(1, 0) };
    let outcome = net.mine(vec![draft.sign()]).executed.outcomes[0].clone();
    assert!(outcome.halt.is_some());
    assert_eq!(net.state.code, before.code);
    // The sender paid, the beneficiary was paid, and nobody else is new.
    assert_eq!(net.state.accounts.len(), before.accounts.len() + 1);
}

/// Coin sent ahead to a part's address neither keeps the part away nor is lost to it.
#[test]
fn a_part_may_have_coin() {
    let mut net = Net::new();
    let part = [9; 10];
    let code = [&[0][..], &part].concat();
    let account = proofs::ADDRESS.create2(B256::ZERO, alloy_primitives::keccak256(&code));
    let _ = transact(&mut net, 1, TxKind::Call(account), 5, Vec::new());
    let store = IProofs::storeCall { part: part.into() }.abi_encode();
    assert!(transact(&mut net, 1, TxKind::Call(proofs::ADDRESS), 0, store).receipt.status());
    assert_eq!(net.state.code[&net.state.accounts[&account].code_hash], code);
    assert_eq!(net.balance(account), U256::from(5));
}

/// A transaction with less gas than the check costs stops before it, whatever the proof is.
#[test]
fn a_check_that_is_not_paid_for_is_not_made() {
    let mut net = Net::new();
    let model = commit(synthetic_mlp(&[4, 3, 2], 1).unwrap());
    let id = register(&mut net, &model);
    let answer = ask(&model, vec![1 << 24; 4]);
    let said = net.view(
        proofs::ADDRESS,
        &IProofs::verificationGasCall { modelId: id, rows: 1, proofBytes: answer.proof.len() as u32 },
    );
    let call = |proof: Vec<u8>| {
        let verify = IProofs::verifyCall {
            modelId: id,
            inputs: answer.reading.clone(),
            outputs: answer.logits.clone(),
            proof: proof.into(),
        };
        verify.abi_encode()
    };
    let caller = net.deploy(1, &bytecode("Caller"));
    let attempt = |gas: u64, proof: Vec<u8>| {
        let (target, data) = (proofs::ADDRESS, call(proof).into());
        net.view(caller, &IAttempt::tryCallCall { target, gasLimit: U256::from(gas), data })
    };
    let honest = attempt(3_000_000, answer.proof.clone());
    assert!(honest.ok && honest.used > U256::from(said));
    let bad = |gas| attempt(gas, vec![0; answer.proof.len()]);
    assert!(is_rejection(&bad(honest.used.to()).out));
    // Too little for the check alone, let alone for reading the graph: nothing was looked at.
    let dry = bad(said);
    assert_eq!((dry.ok, dry.out.len()), (false, 0));
}
