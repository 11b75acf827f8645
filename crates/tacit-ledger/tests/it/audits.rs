//! Disputes about runs of the shipped models, on a ledger: one value altered, deep in a real network, and the gas of what shows it.

use crate::support::{CHAIN_ID, COIN, Draft, Net, address, key};
use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_primitives::{B256, TxKind, U256};
use alloy_sol_types::{SolCall, SolStruct};
use std::{fs, path::PathBuf};
use tacit_abi::{
    Evidence, IAudits, IModels, IProofs, IStakes, Privacy, Receipt,
    audits::{ADDRESS, CHALLENGE_BOND, MAX_STEPS},
    models, proofs, receipts,
    stakes::{self, REWARD_PARTS},
    validators::BURNED,
};
use tacit_graph::{
    Model, Operator, Tensor, Trace, encode_graph, execute,
    import::{ImportOptions, import},
    model_id, random_inputs, reference,
    trace::{
        Challenger, Conviction, MAX_CONVICTION_BYTES, Opening, Question, TraceTree, WeightsTree,
        check_auditable, evidence_commitment,
    },
};
use tacit_ledger::{Outcome, TRANSACTION_GAS_MAX};

const PUBLISHER: u8 = 1;
const WORKER: u8 = 2;
const CHALLENGER: u8 = 3;
const SALT: B256 = B256::repeat_byte(0x5a);
const WEIGHT_ROOT: B256 = B256::repeat_byte(7);

/// Every model in `models/`.
const SHIPPED: [&str; 11] = [
    "breast-cancer",
    "breast-cancer-linear",
    "breast-cancer-oblivious",
    "breast-cancer-trees",
    "digits",
    "digits-linear",
    "digits-mlp",
    "fashion-depthwise",
    "fashion-resnet8",
    "german-credit",
    "lenet5",
];

/// A shipped model, from a few rows of its calibration data.
fn shipped(name: &str) -> Model {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name);
    let file = npyz::NpyFile::new(fs::File::open(folder.join("calibration.npy")).unwrap()).unwrap();
    let width = file.shape().iter().skip(1).product::<u64>() as usize;
    fn wide<T: Into<f64>>(values: Vec<T>) -> Vec<f64> {
        values.into_iter().map(Into::into).collect()
    }
    let flat = match file.dtype() {
        npyz::DType::Plain(element) => match (element.type_char(), element.size_field()) {
            (npyz::TypeChar::Float, 4) => file.into_vec().map(wide::<f32>).ok(),
            (npyz::TypeChar::Float, 8) => file.into_vec().map(wide::<f64>).ok(),
            (npyz::TypeChar::Int, 2) => file.into_vec().map(wide::<i16>).ok(),
            (npyz::TypeChar::Uint, 1) => file.into_vec().map(wide::<u8>).ok(),
            _ => None,
        },
        _ => None,
    };
    let flat = flat.unwrap();
    let rows: Vec<Vec<f64>> = flat.chunks(width).take(ROWS).map(<[f64]>::to_vec).collect();
    let onnx = fs::read(folder.join("model.onnx")).unwrap();
    import(&onnx, &rows, None, &ImportOptions::default()).unwrap().model
}

/// Enough for an importer to choose by; what a model answers is not looked at here.
const ROWS: usize = 24;

/// A ledger with a published model and a worker with a stake of one coin.
struct Ledger<'a> {
    net: Net,
    model: &'a Model,
    graph: Vec<u8>,
    id: B256,
}

impl<'a> Ledger<'a> {
    fn new(model: &'a Model) -> Self {
        let graph = encode_graph(model.graph());
        let id = B256::from(*model_id(&graph, &WEIGHT_ROOT.0).as_bytes());
        let mut net = Net::new();
        let publish = IModels::publishCall { modelId: id, weightRoot: WEIGHT_ROOT, name: "m".into() };
        let register =
            IAudits::registerWeightsCall { modelId: id, root: WeightsTree::new(model).tree().root().into() };
        done(&net.send(PUBLISHER, models::ADDRESS, 0, publish.abi_encode()));
        done(&net.send(PUBLISHER, ADDRESS, 0, register.abi_encode()));
        done(&net.send(WORKER, stakes::ADDRESS, COIN, IStakes::bondCall {}.abi_encode()));
        Self { net, model, graph, id }
    }

    fn tree<'t>(&self, trace: &'t Trace) -> TraceTree<'t> {
        TraceTree::new(self.model.shapes(), trace, 0).unwrap()
    }

    fn signed(&self, tree: &TraceTree<'_>) -> IAudits::SignedReceipt {
        let receipt = Receipt {
            jobId: B256::repeat_byte(1),
            modelId: self.id,
            channelId: B256::repeat_byte(2),
            client: address(CHALLENGER),
            worker: address(WORKER),
            privacy: Privacy::Sealed as u8,
            evidence: Evidence::Audited as u8,
            inputCommitment: B256::repeat_byte(3),
            outputCommitment: B256::repeat_byte(4),
            evidenceHash: evidence_commitment(&SALT.0, &tree.tree().root()).into(),
            price: 5,
            cumulative: 5,
            completedAt: self.net.head.timestamp,
        };
        let digest = receipt.eip712_signing_hash(&receipts::domain(CHAIN_ID));
        let signature = sign_message(key(WORKER).0, digest).unwrap().as_bytes().into();
        IAudits::SignedReceipt { receipt: receipt.into(), signature, evidenceSalt: SALT }
    }

    fn convict_call(&self, signed: IAudits::SignedReceipt, shown: Conviction) -> IAudits::convictCall {
        let opening = |opening: Opening| IAudits::Opening {
            tiles: opening.tiles.into(),
            siblings: opening.siblings.into_iter().map(B256::from).collect(),
        };
        IAudits::convictCall {
            signed,
            graph: self.graph.clone().into(),
            weightRoot: WEIGHT_ROOT,
            node: shown.node,
            element: shown.element,
            tile: shown.tile.into(),
            trace: opening(shown.trace),
            weights: opening(shown.weights),
        }
    }

    /// A transaction with as much gas as one may have.
    fn send_large(&mut self, input: Vec<u8>) -> Outcome {
        let nonce = self.net.nonce(CHALLENGER);
        let draft = Draft {
            to: TxKind::Call(ADDRESS),
            gas: TRANSACTION_GAS_MAX,
            input: input.into(),
            ..Draft::new(CHALLENGER, nonce)
        };
        let built = self.net.mine(vec![draft.sign()]);
        assert!(built.executed.rejected.is_empty(), "{:?}", built.executed.rejected);
        built.executed.outcomes[0].clone()
    }
}

fn done(outcome: &Outcome) {
    assert!(outcome.receipt.status(), "{}", outcome.output);
}

fn run(model: &Model) -> Trace {
    execute(model, &random_inputs(model, 1, 1), 1).unwrap()
}

/// Adds one to an element, and computes everything anew that follows from it.
fn lie(model: &Model, honest: &Trace, node: usize, at: usize) -> Trace {
    let mut lied = honest.clone();
    match &mut lied.tensors[node + 1] {
        Tensor::I8(values) => values[at] = values[at].wrapping_add(1),
        Tensor::I16(values) => values[at] = values[at].wrapping_add(1),
        Tensor::I32(values) => values[at] = values[at].wrapping_add(1),
    }
    reference::resume(model, &mut lied, node + 1).unwrap();
    lied
}

/// What a worker's trace says falsely about an element.
fn show(
    model: &Model,
    trace: &TraceTree<'_>,
    weights: &WeightsTree<'_>,
    node: u32,
    element: u32,
) -> Conviction {
    let question = Question::new(model.graph(), node, element).unwrap();
    let (read, read_weights) = (question.trace_leaves(), question.weight_leaves());
    Conviction {
        node,
        element,
        tile: trace.tile(question.leaf()),
        trace: Opening {
            tiles: read.iter().flat_map(|leaf| trace.tile(*leaf)).collect(),
            siblings: trace.tree().open(&[read, &[question.leaf()]].concat()),
        },
        weights: Opening {
            tiles: read_weights.iter().flat_map(|leaf| weights.tile(*leaf)).collect(),
            siblings: weights.tree().open(read_weights),
        },
    }
}

/// The story: one value in the middle of a residual network is not what it should be, everything after it is computed from it, and the worker
/// reveals only what it is asked. Its stake moves.
#[test]
fn one_value_deep_in_a_real_network_costs_the_stake() {
    let model = shipped("fashion-resnet8");
    let honest = run(&model);
    let convolutions: Vec<usize> = (0..model.graph().nodes.len())
        .filter(|node| matches!(model.graph().nodes[*node], Operator::Contract { .. }))
        .collect();
    let node = convolutions[convolutions.len() / 2];
    let lied = lie(&model, &honest, node, honest.tensors[node + 1].len() / 2);
    assert_ne!(lied, honest);

    let mut ledger = Ledger::new(&model);
    let (own, worker) = (ledger.tree(&honest), ledger.tree(&lied));
    let signed = ledger.signed(&worker);
    let mut challenger = Challenger::new(&own, worker.tree().top()).unwrap();
    let (leaves, top) = (worker.tree().leaves() as u32, worker.tree().top().into());
    let call = IAudits::challengeCall { signed: signed.clone(), leaves, top };
    let outcome = ledger.net.send(CHALLENGER, ADDRESS, CHALLENGE_BOND, call.abi_encode());
    done(&outcome);
    let mut dearest = outcome.gas_used;
    let id: B256 = alloy_primitives::keccak256(
        [
            Receipt::from(signed.receipt.clone()).eip712_signing_hash(&receipts::domain(CHAIN_ID)).0,
            address(CHALLENGER).into_word().0,
        ]
        .concat(),
    );
    let mut steps = 1;
    while challenger.node().level > 0 {
        let hashes = worker.tree().step(challenger.node());
        let children: Vec<B256> = hashes.iter().copied().map(B256::from).collect();
        let reveal = IAudits::revealCall { id, children: children.clone() };
        let revealed = ledger.net.send(WORKER, ADDRESS, 0, reveal.abi_encode());
        done(&revealed);
        let child = challenger.choose(&hashes).unwrap();
        let choose = IAudits::chooseCall { id, children, child };
        let chosen = ledger.net.send(CHALLENGER, ADDRESS, 0, choose.abi_encode());
        done(&chosen);
        dearest = dearest.max(revealed.gas_used).max(chosen.gas_used);
        steps += 2;
    }
    let tile = worker.tile(challenger.node().index);
    let reveal = IAudits::revealTileCall { id, tile: tile.clone().into() };
    done(&ledger.net.send(WORKER, ADDRESS, 0, reveal.abi_encode()));
    let weights = WeightsTree::new(&model);
    let shown = challenger.convict(model.graph(), &weights, &tile).unwrap();
    assert_eq!(shown.node as usize, node);
    let call = ledger.convict_call(signed, shown).abi_encode();
    let bytes = call.len();
    let before = ledger.net.balance(address(CHALLENGER));
    let outcome = ledger.send_large(call);
    done(&outcome);
    steps += 2;
    assert!(steps <= MAX_STEPS, "{steps}");
    let fee = U256::from(outcome.gas_used) * U256::from(outcome.effective_gas_price);
    let reward = U256::from(COIN / REWARD_PARTS);
    assert_eq!(ledger.net.balance(address(CHALLENGER)), before + reward - fee);
    assert_eq!(ledger.net.balance(BURNED), U256::from(COIN - COIN / REWARD_PARTS));
    assert_eq!(ledger.net.balance(stakes::ADDRESS), U256::ZERO);
    done(&ledger.net.send(WORKER, ADDRESS, 0, IAudits::settleCall { id }.abi_encode()));
    assert_eq!(ledger.net.balance(ADDRESS), U256::ZERO);
    println!(
        "fashion-resnet8: {leaves} leaves, {steps} steps of at most {dearest} gas, the last of {} gas and {bytes} bytes",
        outcome.gas_used
    );
}

/// In every shipped model any value of any operator can be shown wrong in one transaction; printed is the dearest of some in each.
#[test]
fn every_shipped_model_can_be_audited() {
    for name in SHIPPED {
        let model = shipped(name);
        assert_eq!(check_auditable(model.graph()), Ok(()), "{name}");
        let honest = run(&model);
        let weights = WeightsTree::new(&model);
        let (mut dearest, mut longest, mut nodes) = (0, 0, 0);
        for (node, operator) in model.graph().nodes.iter().enumerate() {
            // An operator that another one of the same kind and size stands for is left out.
            let twin = model.graph().nodes.iter().take(node).any(|before| {
                std::mem::discriminant(before) == std::mem::discriminant(operator)
                    && tacit_graph::trace::reads(before) >= tacit_graph::trace::reads(operator)
            });
            if twin {
                continue;
            }
            nodes += 1;
            let mut ledger = Ledger::new(&model);
            let at = honest.tensors[node + 1].len() / 2;
            let lied = lie(&model, &honest, node, at);
            let tree = ledger.tree(&lied);
            let shown = show(&model, &tree, &weights, node as u32, at as u32);
            let call = ledger.convict_call(ledger.signed(&tree), shown).abi_encode();
            assert!(call.len() as u64 <= MAX_CONVICTION_BYTES);
            longest = longest.max(call.len());
            let outcome = ledger.send_large(call);
            assert!(outcome.receipt.status(), "{name}: node {node}: {}", outcome.output);
            dearest = dearest.max(outcome.gas_used);
        }
        assert!(dearest < TRANSACTION_GAS_MAX);
        let leaves = TraceTree::new(model.shapes(), &honest, 0).unwrap().tree().leaves();
        let graph = encode_graph(model.graph()).len();
        println!(
            "{name}: {leaves} leaves, graph of {graph} bytes; {nodes} operators: at most {dearest} gas, {longest} bytes"
        );
    }
}

/// A graph that is on the ledger already does not have to be sent.
#[test]
fn the_graph_may_be_one_that_the_ledger_knows() {
    let model = shipped("digits");
    let honest = run(&model);
    let mut ledger = Ledger::new(&model);
    let lied = lie(&model, &honest, 1, 5);
    let tree = ledger.tree(&lied);
    let shown = show(&model, &tree, &WeightsTree::new(&model), 1, 5);
    let mut call = ledger.convict_call(ledger.signed(&tree), shown);
    call.graph = Default::default();
    call.weightRoot = B256::ZERO;
    let unknown = ledger.send_large(call.abi_encode());
    assert!(!unknown.receipt.status());
    let store = IProofs::storeCall { part: ledger.graph.clone().into() };
    let nonce = ledger.net.nonce(PUBLISHER);
    let draft = Draft {
        to: TxKind::Call(proofs::ADDRESS),
        gas: TRANSACTION_GAS_MAX,
        input: store.abi_encode().into(),
        ..Draft::new(PUBLISHER, nonce)
    };
    let built = ledger.net.mine(vec![draft.sign()]);
    let stored = built.executed.outcomes[0].clone();
    done(&stored);
    let part = IProofs::storeCall::abi_decode_returns(&stored.output).unwrap();
    let register = IProofs::registerCall { parts: vec![part], weightRoot: WEIGHT_ROOT };
    done(&ledger.net.send(PUBLISHER, proofs::ADDRESS, 0, register.abi_encode()));
    done(&ledger.send_large(call.abi_encode()));
}
