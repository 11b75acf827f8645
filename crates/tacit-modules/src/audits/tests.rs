//! Lies are found and paid for, honesty is not, and nobody gains by playing with itself.

use crate::{
    Failure, MODULES, Module,
    testing::{CHAIN_ID, World, key, reverts},
};
use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolStruct};
use proptest::prelude::*;
use tacit_abi::{
    Evidence, IAudits, IModels, IModule, IStakes, Privacy, Receipt,
    audits::{CHALLENGE_BOND, CHALLENGE_WINDOW_S, MAX_LEAVES, MAX_STEPS, STEP_S},
    receipts,
    stakes::{REWARD_PARTS, UNBONDING_S},
    validators::BURNED,
};
use tacit_graph::{
    Model, Tensor, Trace, encode_graph, execute, model_id, random_inputs, random_model, reference,
    synthetic_mlp,
    trace::{
        Challenger, Conviction, EMPTY, Kind, Node, Opening, Question, STEP_LEVELS, TraceTree, Tree,
        WeightsTree, depth, evidence_commitment,
    },
};

mod pass;

const MODELS: Module = MODULES[0];
const STAKES: Module = MODULES[5];
const AUDITS: Module = MODULES[7];
const OWNER: Address = Address::repeat_byte(0x0a);
const CHALLENGER: Address = Address::repeat_byte(0xc1);
const OTHER: Address = Address::repeat_byte(0xc2);
const STAKE: u128 = 1_000_001;
const SALT: B256 = B256::repeat_byte(0x5a);
const WEIGHT_ROOT: B256 = B256::repeat_byte(7);

/// A world with a published model, and a worker that has a stake.
struct Net {
    world: World,
    model: Model,
    graph: Vec<u8>,
    id: B256,
    secret: B256,
    worker: Address,
    honest: Trace,
}

impl Net {
    fn new(model: Model, seed: u64) -> Self {
        let graph = encode_graph(model.graph());
        let id = B256::from(*model_id(&graph, &WEIGHT_ROOT.0).as_bytes());
        let (secret, worker) = key(1);
        let honest = execute(&model, &random_inputs(&model, 1, seed), 1).unwrap();
        let mut world = World::new();
        world.gas = 100_000_000;
        for account in [CHALLENGER, OTHER] {
            world.fund(account, 10 * CHALLENGE_BOND);
        }
        world.fund(worker, STAKE);
        let mut net = Self { world, model, graph, id, secret, worker, honest };
        let publish = IModels::publishCall { modelId: id, weightRoot: WEIGHT_ROOT, name: "m".into() };
        net.world.call(MODELS, OWNER, &publish).unwrap();
        let root = net.weights_root();
        net.register(OWNER, id, root).unwrap();
        net.bond(STAKE);
        net
    }

    fn small() -> Self {
        Self::new(synthetic_mlp(&[70, 70, 3], 1).unwrap(), 1)
    }

    fn weights_root(&self) -> B256 {
        WeightsTree::new(&self.model).tree().root().into()
    }

    fn register(&mut self, from: Address, model: B256, root: B256) -> Result<(), Failure> {
        self.world.call(AUDITS, from, &IAudits::registerWeightsCall { modelId: model, root }).map(|_| ())
    }

    fn bond(&mut self, amount: u128) {
        self.world.pay_call(STAKES, self.worker, amount, &IStakes::bondCall {}).unwrap();
    }

    fn tree<'a>(&self, trace: &'a Trace) -> TraceTree<'a> {
        TraceTree::new(self.model.shapes(), trace, 0).unwrap()
    }

    fn receipt(&self, root: B256) -> Receipt {
        Receipt {
            jobId: B256::repeat_byte(1),
            modelId: self.id,
            channelId: B256::repeat_byte(2),
            client: CHALLENGER,
            worker: self.worker,
            privacy: Privacy::Sealed as u8,
            evidence: Evidence::Audited as u8,
            inputCommitment: B256::repeat_byte(3),
            outputCommitment: B256::repeat_byte(4),
            evidenceHash: B256::from(evidence_commitment(&SALT.0, &root.0)),
            price: 5,
            cumulative: 5,
            completedAt: self.world.now,
        }
    }

    fn sign(&self, receipt: Receipt) -> IAudits::SignedReceipt {
        self.sign_on(CHAIN_ID, receipt)
    }

    fn sign_on(&self, chain_id: u64, receipt: Receipt) -> IAudits::SignedReceipt {
        let digest = receipt.eip712_signing_hash(&receipts::domain(chain_id));
        let signature = sign_message(self.secret, digest).unwrap().as_bytes().into();
        IAudits::SignedReceipt { receipt: receipt.into(), signature, evidenceSalt: SALT }
    }

    fn signed(&self, tree: &Tree) -> IAudits::SignedReceipt {
        self.sign(self.receipt(tree.root().into()))
    }

    fn convict_call(&self, signed: IAudits::SignedReceipt, shown: &Conviction) -> IAudits::convictCall {
        let opening = |opening: &Opening| IAudits::Opening {
            tiles: opening.tiles.clone().into(),
            siblings: opening.siblings.iter().copied().map(B256::from).collect(),
        };
        IAudits::convictCall {
            signed,
            graph: self.graph.clone().into(),
            weightRoot: WEIGHT_ROOT,
            node: shown.node,
            element: shown.element,
            tile: shown.tile.clone().into(),
            trace: opening(&shown.trace),
            weights: opening(&shown.weights),
        }
    }

    fn convict(&mut self, from: Address, call: &IAudits::convictCall) -> Result<(), Failure> {
        self.world.call(AUDITS, from, call).map(|_| ())
    }

    fn challenge(
        &mut self,
        from: Address,
        signed: &IAudits::SignedReceipt,
        tree: &Tree,
    ) -> Result<B256, Failure> {
        let call = IAudits::challengeCall {
            signed: signed.clone(),
            leaves: tree.leaves() as u32,
            top: tree.top().into(),
        };
        self.world.pay_call(AUDITS, from, CHALLENGE_BOND, &call)
    }

    fn state(&mut self, id: B256) -> IAudits::Challenge {
        self.world.call(AUDITS, Address::ZERO, &IAudits::challengeOfCall { id }).unwrap()
    }

    fn children(&mut self, id: B256, tree: &Tree) -> Vec<B256> {
        let IAudits::Challenge { level, index, .. } = self.state(id);
        tree.step(Node { level, index: u64::from(index) }).into_iter().map(B256::from).collect()
    }

    fn reveal(&mut self, id: B256, children: Vec<B256>) -> Result<(), Failure> {
        // Not the worker itself: anyone may.
        self.world.call(AUDITS, OTHER, &IAudits::revealCall { id, children }).map(|_| ())
    }

    fn choose(&mut self, id: B256, children: Vec<B256>, child: u8) -> Result<(), Failure> {
        self.world.call(AUDITS, CHALLENGER, &IAudits::chooseCall { id, children, child }).map(|_| ())
    }

    fn reveal_tile(&mut self, id: B256, tile: Vec<u8>) -> Result<(), Failure> {
        self.world.call(AUDITS, OTHER, &IAudits::revealTileCall { id, tile: tile.into() }).map(|_| ())
    }

    fn settle(&mut self, id: B256) -> Result<(), Failure> {
        self.world.call(AUDITS, OTHER, &IAudits::settleCall { id }).map(|_| ())
    }

    fn stake(&mut self) -> IStakes::Stake {
        self.world.call(STAKES, Address::ZERO, &IStakes::stakeOfCall { worker: self.worker }).unwrap()
    }

    fn is_convicted(&mut self, signed: &IAudits::SignedReceipt) -> bool {
        let receipt = digest(signed);
        self.world.call(AUDITS, Address::ZERO, &IAudits::isConvictedCall { receipt }).unwrap()
    }

    /// A dispute with a worker that answers truly about a trace that may be false, until the tile is known. Steps taken, and what is shown.
    fn dispute(&mut self, signed: &IAudits::SignedReceipt, lied: &Trace, wait: u64) -> (u64, Conviction) {
        let (honest, lied) = (self.honest.clone(), lied);
        let (own, theirs) = (self.tree(&honest), self.tree(lied));
        let mut challenger = Challenger::new(&own, theirs.tree().top()).unwrap();
        let id = self.challenge(CHALLENGER, signed, theirs.tree()).unwrap();
        let mut steps = 1;
        while challenger.node().level > 0 {
            let children = self.children(id, theirs.tree());
            self.world.now += wait;
            self.reveal(id, children.clone()).unwrap();
            let hashes: Vec<[u8; 32]> = children.iter().map(|child| child.0).collect();
            let child = challenger.choose(&hashes).unwrap();
            self.world.now += wait;
            self.choose(id, children, child).unwrap();
            steps += 2;
        }
        self.world.now += wait;
        let tile = theirs.tile(challenger.node().index);
        self.reveal_tile(id, tile.clone()).unwrap();
        let model = self.model.clone();
        let shown = challenger.convict(model.graph(), &WeightsTree::new(&model), &tile).unwrap();
        self.world.now += wait;
        (steps + 1, shown)
    }
}

fn digest(signed: &IAudits::SignedReceipt) -> B256 {
    Receipt::from(signed.receipt.clone()).eip712_signing_hash(&receipts::domain(CHAIN_ID))
}

fn challenge_id(signed: &IAudits::SignedReceipt, challenger: Address) -> B256 {
    alloy_primitives::keccak256([digest(signed).0, challenger.into_word().0].concat())
}

fn alter(trace: &mut Trace, tensor: usize, at: usize, by: i32) {
    match &mut trace.tensors[tensor] {
        Tensor::I8(values) => values[at] = values[at].wrapping_add(by as i8),
        Tensor::I16(values) => values[at] = values[at].wrapping_add(by as i16),
        Tensor::I32(values) => values[at] = values[at].wrapping_add(by),
    }
}

/// What shows an element wrong in somebody's trace, if it is.
fn show(model: &Model, trace: &TraceTree<'_>, node: u32, element: u32) -> Conviction {
    let question = Question::new(model.graph(), node, element).unwrap();
    let weights = WeightsTree::new(model);
    let (read, read_weights) = (question.trace_leaves(), question.weight_leaves());
    let tiles =
        |leaves: &[u64], tile: &dyn Fn(u64) -> Vec<u8>| leaves.iter().flat_map(|leaf| tile(*leaf)).collect();
    Conviction {
        node,
        element,
        tile: trace.tile(question.leaf()),
        trace: Opening {
            tiles: tiles(read, &|leaf| trace.tile(leaf)),
            siblings: trace.tree().open(&[read, &[question.leaf()]].concat()),
        },
        weights: Opening {
            tiles: tiles(read_weights, &|leaf| weights.tile(leaf)),
            siblings: weights.tree().open(read_weights),
        },
    }
}

/// A worker that altered one sum, and what shows it.
fn caught() -> (Net, IAudits::SignedReceipt, Conviction) {
    let net = Net::small();
    let mut lied = net.honest.clone();
    alter(&mut lied, 1, 68, 1);
    reference::resume(&net.model, &mut lied, 1).unwrap();
    let tree = net.tree(&lied);
    let shown = show(&net.model, &tree, 0, 68);
    let signed = net.signed(tree.tree());
    drop(tree);
    (net, signed, shown)
}

#[test]
fn whoever_knows_of_a_lie_takes_the_stake() {
    let (mut net, signed, shown) = caught();
    let call = net.convict_call(signed.clone(), &shown);
    assert!(!net.is_convicted(&signed));
    let before = net.world.balance(OTHER);
    net.convict(OTHER, &call).unwrap();
    assert!(net.is_convicted(&signed));
    let reward = STAKE / REWARD_PARTS;
    assert_eq!(net.world.balance(OTHER) - before, U256::from(reward));
    assert_eq!(net.world.balance(BURNED), U256::from(STAKE - reward));
    assert_eq!(net.world.balance(STAKES.address), U256::ZERO);
    assert_eq!(net.stake(), IStakes::Stake { bonded: 0, unbonding: 0, releaseAt: 0 });
    let convicted =
        IAudits::Convicted { receipt: digest(&signed), worker: net.worker, reporter: OTHER, taken: STAKE };
    assert_eq!(net.world.last::<IAudits::Convicted>(), convicted);

    // Once: a stake that comes later is another's promise, and this receipt is spent.
    net.world.fund(net.worker, 50);
    net.bond(50);
    let spent = reverts(IAudits::AlreadyConvicted { receipt: digest(&signed) });
    assert_eq!(net.convict(CHALLENGER, &call), Err(spent.clone()));
    let mut again = call;
    again.signed.evidenceSalt = B256::ZERO;
    assert_eq!(net.convict(CHALLENGER, &again), Err(spent));
    assert_eq!(net.stake().bonded, 50);
}

#[test]
fn a_stake_on_its_way_home_is_taken_too() {
    let (mut net, signed, shown) = caught();
    net.world.call(STAKES, net.worker, &IStakes::unbondCall { amount: STAKE - 1 }).unwrap();
    let call = net.convict_call(signed, &shown);
    net.convict(OTHER, &call).unwrap();
    assert_eq!(net.stake(), IStakes::Stake { bonded: 0, unbonding: 0, releaseAt: 0 });
    assert_eq!(net.world.balance(STAKES.address), U256::ZERO);
}

/// Whatever is unbonded just after the receipt is still there at the end of the slowest dispute that was begun as late as can be.
#[test]
fn no_dispute_outlasts_a_stake() {
    let (mut net, signed, _) = caught();
    let mut lied = net.honest.clone();
    alter(&mut lied, 1, 68, 1);
    reference::resume(&net.model, &mut lied, 1).unwrap();
    net.world.call(STAKES, net.worker, &IStakes::unbondCall { amount: STAKE }).unwrap();
    let begun = net.world.now;
    net.world.now += CHALLENGE_WINDOW_S;
    let (_, shown) = net.dispute(&signed, &lied, STEP_S);
    assert!(net.world.now - begun + (MAX_STEPS * STEP_S) < UNBONDING_S);
    let early = net.world.call(STAKES, net.worker, &IStakes::withdrawCall {}).map(|_| ());
    assert_eq!(early, Err(reverts(IStakes::StillBonded { releaseAt: begun + UNBONDING_S })));
    let call = net.convict_call(signed, &shown);
    net.convict(OTHER, &call).unwrap();
    assert_eq!(net.world.balance(STAKES.address), U256::ZERO);
}

#[test]
fn no_dispute_takes_more_than_twenty_steps() {
    let steps = |leaves: u64| 1 + 2 * u64::from(depth(leaves).div_ceil(STEP_LEVELS)) + 2;
    let most = (0..=23).map(|level| steps(1 << level)).max().unwrap();
    assert_eq!(depth(u64::from(MAX_LEAVES)), 23);
    assert_eq!((most, MAX_STEPS), (15, 15));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any lies, in any places, followed by what is consistent with them or not: the worker loses its stake to a challenger who knew only its root.
    #[test]
    fn a_liar_always_loses(
        seed in any::<u64>(),
        lies in prop::collection::vec((any::<usize>(), any::<usize>(), 1i32..128, any::<bool>()), 1..4),
    ) {
        let mut net = Net::new(random_model(seed).unwrap(), seed);
        let mut lied = net.honest.clone();
        for (node, at, by, consistent) in lies {
            let node = node % net.model.graph().nodes.len();
            alter(&mut lied, node + 1, at % net.honest.tensors[node + 1].len(), by);
            if consistent {
                reference::resume(&net.model, &mut lied, node + 1).unwrap();
            }
        }
        prop_assume!(lied != net.honest);
        let signed = net.signed(net.tree(&lied).tree());
        let before = net.world.balance(CHALLENGER);
        let (steps, shown) = net.dispute(&signed, &lied, 60);
        let call = net.convict_call(signed.clone(), &shown);
        // Somebody copies the conviction from the pool and is first: the reward is the challenger's all the same.
        net.convict(OTHER, &call).unwrap();
        prop_assert!(steps < MAX_STEPS);
        prop_assert!(net.is_convicted(&signed));
        net.settle(challenge_id(&signed, CHALLENGER)).unwrap();
        prop_assert_eq!(net.world.balance(CHALLENGER), before + U256::from(STAKE / REWARD_PARTS));
        prop_assert_eq!(net.world.balance(AUDITS.address), U256::ZERO);
        prop_assert_eq!(net.world.balance(STAKES.address), U256::ZERO);
    }

    /// Whatever a challenger of an honest trace does, it loses its bond to the worker, and the stake stays.
    #[test]
    fn honesty_always_wins(seed in any::<u64>(), moves in prop::collection::vec((0u8..20, any::<u32>(), any::<u32>()), 1..12)) {
        let mut net = Net::new(random_model(seed).unwrap(), seed);
        let honest = net.honest.clone();
        let tree = net.tree(&honest);
        let signed = net.signed(tree.tree());
        let id = net.challenge(CHALLENGER, &signed, tree.tree()).unwrap();
        for (child, node, element) in moves {
            // False evidence: another value or another read, of any element; with siblings that fit, or without.
            let number = node % net.model.graph().nodes.len() as u32;
            let element = element % net.honest.tensors[number as usize + 1].len() as u32;
            let mut shown = show(&net.model, &tree, number, element);
            let at = child as usize;
            match node / 7 % 5 {
                0 => {}
                1 => { let of = shown.tile.len(); shown.tile[at % of] ^= 1; }
                2 if !shown.trace.tiles.is_empty() => { let of = shown.trace.tiles.len(); shown.trace.tiles[at % of] ^= 1; }
                3 if !shown.weights.tiles.is_empty() => { let of = shown.weights.tiles.len(); shown.weights.tiles[at % of] ^= 1; }
                4 => { shown.tile.pop(); shown.trace.tiles.clear(); shown.weights = Opening::default(); }
                _ => shown.trace.siblings.reverse(),
            }
            let call = net.convict_call(signed.clone(), &shown);
            prop_assert!(net.convict(CHALLENGER, &call).is_err());
            // And a choice, whatever it is.
            let state = net.state(id);
            match (state.turn, state.level) {
                (1, 0) => net.reveal_tile(id, tree.tile(u64::from(state.index))).unwrap(),
                (1, _) => { let children = net.children(id, tree.tree()); net.reveal(id, children).unwrap(); }
                (2, _) => {
                    let children = net.children(id, tree.tree());
                    let child = child % children.len() as u8;
                    net.choose(id, children, child).unwrap();
                }
                _ => {}
            }
            net.world.now += STEP_S;
        }
        // The worker answers as long as it is its turn; then time passes.
        let state = net.state(id);
        if state.turn == 1 && state.level == 0 {
            net.reveal_tile(id, tree.tile(u64::from(state.index))).unwrap();
        } else if state.turn == 1 {
            let children = net.children(id, tree.tree());
            net.reveal(id, children).unwrap();
        }
        net.world.now += STEP_S + 1;
        net.settle(id).unwrap();
        prop_assert_eq!(net.state(id).turn, 5);
        prop_assert!(!net.is_convicted(&signed));
        prop_assert_eq!(net.stake().bonded, STAKE);
        prop_assert_eq!(net.world.balance(net.worker), U256::from(CHALLENGE_BOND));
        // Not twice by the same account.
        net.world.now = signed.receipt.completedAt;
        prop_assert_eq!(net.challenge(CHALLENGER, &signed, tree.tree()), Err(reverts(IAudits::AlreadyChallenged { id })));
    }

    /// Whatever anybody does in whatever order, coins stay what they are, and the module holds what is at stake in open challenges.
    #[test]
    fn coins_are_conserved(steps in prop::collection::vec((0u8..8, 0u8..16, 0u64..2_000), 1..40)) {
        let (mut net, signed, shown) = caught();
        let mut lied = net.honest.clone();
        alter(&mut lied, 1, 68, 1);
        reference::resume(&net.model, &mut lied, 1).unwrap();
        let tree = net.tree(&lied);
        let sum = |net: &Net| net.world.balances.values().fold(U256::ZERO, |sum, coins| sum + coins);
        let before = sum(&net);
        let ids = [CHALLENGER, OTHER].map(|from| challenge_id(&signed, from));
        for (method, child, wait) in steps {
            let from = [CHALLENGER, OTHER][usize::from(child % 2)];
            let id = ids[usize::from(child % 2)];
            let open = net.world.call(AUDITS, from, &IAudits::challengeOfCall { id }).is_ok();
            let _ = match method {
                0 => net.challenge(from, &signed, tree.tree()).map(|_| ()),
                1 | 2 if open => { let children = net.children(id, tree.tree()); net.reveal(id, children) }
                3 if open => { let children = net.children(id, tree.tree()); net.choose(id, children, child) }
                4 if open => { let index = net.state(id).index; net.reveal_tile(id, tree.tile(u64::from(index))) }
                5 => net.settle(id),
                6 if child == 0 => { let call = net.convict_call(signed.clone(), &shown); net.convict(from, &call) }
                7 => net.world.call(STAKES, net.worker, &IStakes::withdrawCall {}).map(|_| ()),
                _ => Ok(()),
            };
            net.world.now += wait;
            let open = ids.iter().filter(|id| {
                let state = net.world.call(AUDITS, Address::ZERO, &IAudits::challengeOfCall { id: **id });
                state.is_ok_and(|state| state.turn <= 3)
            });
            let held = CHALLENGE_BOND * open.count() as u128;
            prop_assert_eq!(net.world.balance(AUDITS.address), U256::from(held));
            prop_assert_eq!(sum(&net), before);
            let IStakes::Stake { bonded, unbonding, .. } = net.stake();
            prop_assert_eq!(net.world.balance(STAKES.address), U256::from(bonded + unbonding));
        }
    }

    /// No bytes of anybody's make a method panic.
    #[test]
    fn any_input_ends(selector in 0usize..10, bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut net = Net::small();
        let selectors = [
            IAudits::registerWeightsCall::SELECTOR, IAudits::weightsOfCall::SELECTOR, IAudits::convictCall::SELECTOR,
            IAudits::challengeCall::SELECTOR, IAudits::revealCall::SELECTOR, IAudits::chooseCall::SELECTOR,
            IAudits::revealTileCall::SELECTOR, IAudits::settleCall::SELECTOR, IAudits::challengeOfCall::SELECTOR,
            IAudits::isConvictedCall::SELECTOR,
        ];
        let input = [selectors[selector].as_slice(), &bytes].concat();
        let _ = net.world.send(AUDITS, OTHER, U256::ZERO, &input);
    }
}

#[test]
fn silence_of_the_worker_is_a_lie() {
    // At each of its turns: hashes, hashes again, a tile.
    for answers in 0..3 {
        let mut net = Net::new(synthetic_mlp(&[64, 640, 640, 10], 1).unwrap(), 1);
        let honest = net.honest.clone();
        let tree = net.tree(&honest);
        let signed = net.signed(tree.tree());
        let before = net.world.balance(CHALLENGER);
        let id = net.challenge(CHALLENGER, &signed, tree.tree()).unwrap();
        for _ in 0..answers {
            let children = net.children(id, tree.tree());
            net.reveal(id, children.clone()).unwrap();
            net.choose(id, children, 1).unwrap();
        }
        let deadline = net.state(id).deadline;
        net.world.now = deadline;
        assert_eq!(net.settle(id), Err(reverts(IAudits::StillOpen { deadline })));
        net.world.now += 1;
        let children = if answers == 2 { vec![] } else { net.children(id, tree.tree()) };
        assert_eq!(net.reveal(id, children), Err(reverts(IAudits::DeadlinePassed { deadline })));
        net.settle(id).unwrap();
        assert_eq!(net.world.last::<IAudits::Settled>(), IAudits::Settled { id, winner: CHALLENGER });
        assert!(net.is_convicted(&signed));
        assert_eq!(net.world.balance(CHALLENGER), before + U256::from(STAKE / REWARD_PARTS));
        assert_eq!(net.settle(id), Err(reverts(IAudits::WrongTurn { turn: 4 })));
        assert_eq!(net.world.balance(AUDITS.address), U256::ZERO);
    }
}

#[test]
fn silence_of_the_challenger_costs_its_bond() {
    let (mut net, signed, _) = caught();
    let mut lied = net.honest.clone();
    alter(&mut lied, 1, 68, 1);
    reference::resume(&net.model, &mut lied, 1).unwrap();
    let tree = net.tree(&lied);
    // Before its first choice, and with the tile in its hand.
    for (from, choices) in [(CHALLENGER, 0), (OTHER, 1)] {
        let id = net.challenge(from, &signed, tree.tree()).unwrap();
        let children = net.children(id, tree.tree());
        net.reveal(id, children.clone()).unwrap();
        if choices == 1 {
            let choose = IAudits::chooseCall { id, children, child: 3 };
            net.world.call(AUDITS, from, &choose).unwrap();
            net.reveal_tile(id, tree.tile(3)).unwrap();
        }
        let deadline = net.state(id).deadline;
        assert_eq!(net.settle(id), Err(reverts(IAudits::StillOpen { deadline })));
        net.world.now = deadline + 1;
        let before = net.world.balance(net.worker);
        net.settle(id).unwrap();
        assert_eq!(net.world.last::<IAudits::Settled>(), IAudits::Settled { id, winner: net.worker });
        assert_eq!(net.world.balance(net.worker) - before, U256::from(CHALLENGE_BOND));
        assert!(!net.is_convicted(&signed));
        assert_eq!(net.settle(id), Err(reverts(IAudits::WrongTurn { turn: 5 })));
    }
}

/// A worker with a friend: it wins sham challenges of its own receipt, which keeps no honest one away; and it convicts itself, which costs it most of its
/// stake all the same.
#[test]
fn shams_save_no_stake() {
    let (mut net, signed, shown) = caught();
    let mut lied = net.honest.clone();
    alter(&mut lied, 1, 68, 1);
    reference::resume(&net.model, &mut lied, 1).unwrap();
    let tree = net.tree(&lied);
    // The friend is first, and drags its feet.
    let sham = net.challenge(OTHER, &signed, tree.tree()).unwrap();
    let children = net.children(sham, tree.tree());
    net.reveal(sham, children).unwrap();
    // An honest challenger does not have to wait for it.
    let id = net.challenge(CHALLENGER, &signed, tree.tree()).unwrap();
    net.world.now += STEP_S + 1;
    net.settle(sham).unwrap();
    assert_eq!(net.state(sham).turn, 5);
    assert_eq!(net.state(id).turn, 1);
    // Once the sham is lost, its place is free: a new challenge would be the first, and until then whoever convicts is rewarded.
    let before = net.world.balance(CHALLENGER);
    let call = net.convict_call(signed, &shown);
    net.convict(CHALLENGER, &call).unwrap();
    net.settle(id).unwrap();
    let gained = net.world.balance(CHALLENGER) - before;
    assert_eq!(gained, U256::from(STAKE / REWARD_PARTS + CHALLENGE_BOND));

    // A worker that reports itself loses more than three quarters less one.
    let (mut net, signed, shown) = caught();
    let call = net.convict_call(signed, &shown);
    net.convict(net.worker, &call).unwrap();
    assert_eq!(net.world.balance(net.worker), U256::from(STAKE / REWARD_PARTS));
    assert_eq!(net.world.balance(BURNED), U256::from(STAKE - STAKE / REWARD_PARTS));
}

#[test]
fn the_first_challenger_is_rewarded_and_the_others_get_their_bonds() {
    let (mut net, signed, shown) = caught();
    let mut lied = net.honest.clone();
    alter(&mut lied, 1, 68, 1);
    reference::resume(&net.model, &mut lied, 1).unwrap();
    let tree = net.tree(&lied);
    let before = [CHALLENGER, OTHER].map(|account| net.world.balance(account));
    let first = net.challenge(CHALLENGER, &signed, tree.tree()).unwrap();
    let second = net.challenge(OTHER, &signed, tree.tree()).unwrap();
    let call = net.convict_call(signed.clone(), &shown);
    net.convict(OTHER, &call).unwrap();
    // Nothing more is played.
    let children = net.children(first, tree.tree());
    let over = reverts(IAudits::AlreadyConvicted { receipt: digest(&signed) });
    assert_eq!(net.reveal(first, children), Err(over.clone()));
    net.settle(first).unwrap();
    net.settle(second).unwrap();
    let after = [CHALLENGER, OTHER].map(|account| net.world.balance(account));
    assert_eq!(after, [before[0] + U256::from(STAKE / REWARD_PARTS), before[1]]);
    assert_eq!(net.world.balance(AUDITS.address), U256::ZERO);
    // And none is begun.
    assert_eq!(net.challenge(Address::repeat_byte(0xc1), &signed, tree.tree()), Err(over));
}

/// A tile that is none of the model's convicts as it is; one that fills a transaction is as good as silence.
#[test]
fn a_tile_of_another_length_convicts() {
    for tile in [vec![], vec![9; 17], vec![0; 256]] {
        let mut net = Net::small();
        let honest = net.honest.clone();
        let own = net.tree(&honest);
        let mut leaves: Vec<[u8; 32]> =
            (0..own.tree().leaves()).map(|index| own.tree().hash(Node { level: 0, index })).collect();
        leaves[3] = Kind::Trace.leaf(3, &tile);
        let worker = Tree::new(Kind::Trace, leaves);
        let signed = net.signed(&worker);
        let mut challenger = Challenger::new(&own, worker.top()).unwrap();
        let id = net.challenge(CHALLENGER, &signed, &worker).unwrap();
        let children = net.children(id, &worker);
        net.reveal(id, children.clone()).unwrap();
        let child = challenger.choose(&children.iter().map(|child| child.0).collect::<Vec<_>>()).unwrap();
        net.choose(id, children, child).unwrap();
        net.reveal_tile(id, tile.clone()).unwrap();
        let model = net.model.clone();
        let shown = challenger.convict(model.graph(), &WeightsTree::new(&model), &tile).unwrap();
        let call = net.convict_call(signed.clone(), &shown);
        net.convict(CHALLENGER, &call).unwrap();
        assert!(net.is_convicted(&signed));
    }
    let mut net = Net::small();
    let long = vec![0; 257];
    let worker = Tree::new(Kind::Trace, vec![Kind::Trace.leaf(0, &long)]);
    let signed = net.signed(&worker);
    let id = net.challenge(CHALLENGER, &signed, &worker).unwrap();
    let refused = reverts(IAudits::TileTooLong { limit: 256 });
    assert_eq!(net.reveal_tile(id, long.clone()), Err(refused.clone()));
    let (_, _, mut shown) = caught();
    shown.tile = long;
    let call = net.convict_call(signed, &shown);
    assert_eq!(net.convict(CHALLENGER, &call), Err(refused));
}

#[test]
fn weights_are_registered_once_by_the_owner() {
    let mut net = Net::small();
    let (id, root) = (net.id, B256::repeat_byte(9));
    assert_eq!(net.register(OWNER, id, root), Err(reverts(IAudits::AlreadyRegistered { modelId: id })));
    let read: B256 = net.world.call(AUDITS, OTHER, &IAudits::weightsOfCall { modelId: id }).unwrap();
    assert_eq!(read, net.weights_root());
    let other = B256::repeat_byte(0x11);
    assert_eq!(net.register(OWNER, other, root), Err(reverts(IAudits::UnknownModel { modelId: other })));
    let publish = IModels::publishCall { modelId: other, weightRoot: WEIGHT_ROOT, name: "n".into() };
    net.world.call(MODELS, OWNER, &publish).unwrap();
    assert_eq!(net.register(OTHER, other, root), Err(reverts(IAudits::NotOwner { caller: OTHER })));
    assert_eq!(net.register(OWNER, other, B256::ZERO), Err(reverts(IAudits::ZeroRoot {})));
    net.register(OWNER, other, root).unwrap();
    assert_eq!(
        net.world.last::<IAudits::WeightsRegistered>(),
        IAudits::WeightsRegistered { modelId: other, root }
    );
}

#[test]
fn only_an_audited_receipt_of_this_worker_and_chain_convicts() {
    let (mut net, signed, shown) = caught();
    let tree_root = |net: &Net| {
        let mut lied = net.honest.clone();
        alter(&mut lied, 1, 68, 1);
        reference::resume(&net.model, &mut lied, 1).unwrap();
        B256::from(net.tree(&lied).tree().root())
    };
    let root = tree_root(&net);
    let receipt = net.receipt(root);
    let attempt = |net: &mut Net, signed: IAudits::SignedReceipt| {
        let call = net.convict_call(signed, &shown);
        net.convict(OTHER, &call)
    };
    for (privacy, evidence) in [(1, 0), (1, 2), (1, 3), (2, 1), (3, 1), (4, 1), (9, 1), (0, 7)] {
        let signed = net.sign(Receipt { privacy, evidence, ..receipt.clone() });
        assert_eq!(attempt(&mut net, signed), Err(reverts(IAudits::NotAudited { privacy, evidence })));
    }
    // Signed for another chain, by somebody else, by nobody, about somebody else.
    let bad = reverts(IAudits::BadSignature {});
    let elsewhere = net.sign_on(CHAIN_ID + 1, receipt.clone());
    assert_eq!(attempt(&mut net, elsewhere), Err(bad.clone()));
    let mut other = signed.clone();
    let other_digest = digest(&other);
    other.signature = sign_message(key(2).0, other_digest).unwrap().as_bytes().into();
    assert_eq!(attempt(&mut net, other), Err(bad.clone()));
    let mut nobody = signed.clone();
    (nobody.receipt.worker, nobody.signature) = (Address::ZERO, Bytes::from(vec![0; 65]));
    assert_eq!(attempt(&mut net, nobody), Err(bad.clone()));
    let victim = net.sign(Receipt { worker: key(2).1, ..receipt.clone() });
    assert_eq!(attempt(&mut net, victim), Err(bad.clone()));
    // The twin of the signature with the larger s.
    let mut twin = signed.clone();
    let order =
        alloy_primitives::uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
    let mut bytes = twin.signature.to_vec();
    let s = order - U256::from_be_slice(&bytes[32..64]);
    bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    bytes[64] = 55 - bytes[64];
    twin.signature = bytes.into();
    assert_eq!(attempt(&mut net, twin), Err(bad));
    // About another model: its graph is asked for.
    let model = B256::repeat_byte(0x77);
    let elsewhere = net.sign(Receipt { modelId: model, ..receipt.clone() });
    assert_eq!(attempt(&mut net, elsewhere), Err(reverts(IAudits::WrongModel { modelId: model })));
    // Another salt, or a commitment to something else.
    let mut unsalted = signed.clone();
    unsalted.evidenceSalt = B256::ZERO;
    assert_eq!(attempt(&mut net, unsalted), Err(reverts(IAudits::BadOpening {})));
    let empty = net.sign(Receipt { evidenceHash: B256::ZERO, ..receipt });
    assert_eq!(attempt(&mut net, empty), Err(reverts(IAudits::BadOpening {})));
    attempt(&mut net, signed).unwrap();
}

#[test]
fn each_refusal_of_a_conviction_is_produced() {
    let (mut net, signed, shown) = caught();
    let good = net.convict_call(signed.clone(), &shown);
    let rejected = |check: &str| Err(reverts(IAudits::Rejected { check: check.into() }));
    let id = net.id;
    let attempt = |net: &mut Net, change: &dyn Fn(&mut IAudits::convictCall)| {
        let mut call = good.clone();
        change(&mut call);
        net.convict(OTHER, &call)
    };
    let wrong_model = Err(reverts(IAudits::WrongModel { modelId: id }));
    assert_eq!(attempt(&mut net, &|call| call.weightRoot = B256::ZERO), wrong_model);
    assert_eq!(attempt(&mut net, &|call| call.graph = vec![1].into()), wrong_model);
    let unknown = Err(reverts(tacit_abi::IProofs::UnknownModel { modelId: id }));
    assert_eq!(attempt(&mut net, &|call| call.graph = Bytes::new()), unknown);
    assert_eq!(attempt(&mut net, &|call| call.node = 3), rejected("NoSuchNode"));
    assert_eq!(attempt(&mut net, &|call| call.element = 70), rejected("NoSuchElement"));
    let cut = |bytes: &mut Bytes| *bytes = bytes.slice(1..);
    assert_eq!(attempt(&mut net, &|call| cut(&mut call.trace.tiles)), rejected("TraceTiles"));
    assert_eq!(attempt(&mut net, &|call| cut(&mut call.weights.tiles)), rejected("WeightTiles"));
    assert_eq!(
        attempt(&mut net, &|call| {
            call.trace.siblings.pop();
        }),
        rejected("TracePath")
    );
    assert_eq!(attempt(&mut net, &|call| call.trace.siblings.push(EMPTY.into())), rejected("TracePath"));
    assert_eq!(
        attempt(&mut net, &|call| {
            call.weights.siblings.pop();
        }),
        rejected("WeightPath")
    );
    assert_eq!(attempt(&mut net, &|call| call.weights.siblings.push(EMPTY.into())), rejected("WeightPath"));
    let bad = Err(reverts(IAudits::BadOpening {}));
    assert_eq!(attempt(&mut net, &|call| call.trace.siblings.reverse()), bad);
    assert_eq!(attempt(&mut net, &|call| call.trace.siblings[0].0[0] ^= 1), bad);
    // The same tile and paths at another place: it is not as long as that of element 3, and leads to another root.
    assert_eq!(attempt(&mut net, &|call| call.element = 3), rejected("TraceTiles"));
    let moved = |call: &mut IAudits::convictCall| {
        call.element = 3;
        call.trace.tiles = Bytes::new();
        call.weights = IAudits::Opening { tiles: Bytes::new(), siblings: vec![] };
        call.trace.siblings = vec![B256::ZERO; 3];
    };
    assert_eq!(attempt(&mut net, &moved), bad);
    let wrong = Err(reverts(IAudits::WrongWeights {}));
    assert_eq!(attempt(&mut net, &|call| call.weights.siblings[0].0[0] ^= 1), wrong);
    // A right value of an honest trace, and of the false one: beside the altered value, in the same tile.
    let honest = net.honest.clone();
    let tree = net.tree(&honest);
    let call = net.convict_call(net.signed(tree.tree()), &show(&net.model, &tree, 0, 68));
    assert_eq!(net.convict(OTHER, &call), rejected("Consistent"));
    let mut lied = net.honest.clone();
    alter(&mut lied, 1, 68, 1);
    reference::resume(&net.model, &mut lied, 1).unwrap();
    let tree = net.tree(&lied);
    let call = net.convict_call(signed.clone(), &show(&net.model, &tree, 0, 69));
    assert_eq!(net.convict(OTHER, &call), rejected("Consistent"));

    // Of a model that reads too much, that is no graph, and whose weights nobody registered.
    let receipt = net.receipt(B256::ZERO);
    let elsewhere = |net: &mut Net, graph: Vec<u8>| {
        let id = B256::from(*model_id(&graph, &WEIGHT_ROOT.0).as_bytes());
        let signed = net.sign(Receipt { modelId: id, ..receipt.clone() });
        let call = IAudits::convictCall { graph: graph.into(), signed, ..good.clone() };
        (id, call)
    };
    let wide = synthetic_mlp(&[40_000, 2], 1).unwrap();
    let (_, call) = elsewhere(&mut net, encode_graph(wide.graph()));
    assert_eq!(net.convict(OTHER, &call), rejected("TooManyReads"));
    let (_, call) = elsewhere(&mut net, vec![1, 2, 3]);
    assert_eq!(net.convict(OTHER, &call), Err(reverts(IAudits::NotAGraph {})));
    let mut other = Net::small();
    other.world.storage.retain(|(address, _), _| *address != AUDITS.address);
    let call = other.convict_call(signed, &shown);
    assert_eq!(other.convict(OTHER, &call), Err(reverts(IAudits::UnregisteredWeights { modelId: id })));
}

#[test]
fn each_refusal_of_a_challenge_is_produced() {
    let (mut net, signed, _) = caught();
    let mut lied = net.honest.clone();
    alter(&mut lied, 1, 68, 1);
    reference::resume(&net.model, &mut lied, 1).unwrap();
    let tree = net.tree(&lied);
    let leaves = tree.tree().leaves() as u32;
    let top = B256::from(tree.tree().top());
    let call = |leaves, top| IAudits::challengeCall { signed: signed.clone(), leaves, top };
    for bond in [0, CHALLENGE_BOND - 1, CHALLENGE_BOND + 1] {
        let refused = net.world.pay_call(AUDITS, CHALLENGER, bond, &call(leaves, top));
        assert_eq!(refused, Err(reverts(IAudits::WrongBond { bond: CHALLENGE_BOND })));
    }
    for (leaves, top) in [(leaves + 1, top), (leaves, B256::ZERO), (1, top)] {
        let refused = net.world.pay_call(AUDITS, CHALLENGER, CHALLENGE_BOND, &call(leaves, top));
        assert_eq!(refused, Err(reverts(IAudits::BadOpening {})));
    }
    for leaves in [0, MAX_LEAVES + 1, u32::MAX] {
        let refused = net.world.pay_call(AUDITS, CHALLENGER, CHALLENGE_BOND, &call(leaves, top));
        assert_eq!(refused, Err(reverts(IAudits::LeafCount { limit: MAX_LEAVES })));
    }
    let until = net.world.now + CHALLENGE_WINDOW_S;
    net.world.now = until + 1;
    assert_eq!(net.challenge(CHALLENGER, &signed, tree.tree()), Err(reverts(IAudits::TooLate { until })));
    net.world.now = until;
    let mut poor = Net::small();
    let worker = poor.worker;
    poor.world.call(STAKES, worker, &IStakes::unbondCall { amount: STAKE }).unwrap();
    // On its way home it still is at stake; at home it is not.
    let unstaked = poor
        .sign(Receipt { completedAt: poor.world.now + UNBONDING_S, ..Receipt::from(signed.receipt.clone()) });
    poor.world.now += UNBONDING_S;
    poor.world.call(STAKES, worker, &IStakes::withdrawCall {}).unwrap();
    assert_eq!(poor.challenge(CHALLENGER, &unstaked, tree.tree()), Err(reverts(IAudits::NothingAtStake {})));

    let unknown = B256::repeat_byte(1);
    assert_eq!(net.settle(unknown), Err(reverts(IAudits::UnknownChallenge { id: unknown })));
    assert_eq!(net.reveal(unknown, vec![]), Err(reverts(IAudits::UnknownChallenge { id: unknown })));
    let id = net.challenge(CHALLENGER, &signed, tree.tree()).unwrap();
    assert_eq!(
        net.challenge(CHALLENGER, &signed, tree.tree()),
        Err(reverts(IAudits::AlreadyChallenged { id }))
    );
    let children = net.children(id, tree.tree());
    assert_eq!(net.choose(id, children.clone(), 0), Err(reverts(IAudits::WrongTurn { turn: 1 })));
    let under = Err(reverts(IAudits::NotUnder {}));
    assert_eq!(net.reveal_tile(id, tree.tile(0)), under);
    assert_eq!(net.reveal(id, vec![]), under);
    assert_eq!(net.reveal(id, children[1..].to_vec()), under);
    assert_eq!(net.reveal(id, [children.as_slice(), &[EMPTY.into()]].concat()), under);
    let mut swapped = children.clone();
    swapped.swap(0, 1);
    assert_eq!(net.reveal(id, swapped.clone()), under);
    net.reveal(id, children.clone()).unwrap();
    assert_eq!(net.reveal(id, children.clone()), Err(reverts(IAudits::WrongTurn { turn: 2 })));
    let foreign =
        net.world.call(AUDITS, OTHER, &IAudits::chooseCall { id, children: children.clone(), child: 0 });
    assert_eq!(foreign.map(|_| ()), Err(reverts(IAudits::NotChallenger { challenger: CHALLENGER })));
    assert_eq!(net.choose(id, swapped, 0), under);
    let count = children.len() as u8;
    assert_eq!(net.choose(id, children.clone(), count), Err(reverts(IAudits::NoSuchChild { count })));
    assert_eq!(net.choose(id, children.clone(), 255), Err(reverts(IAudits::NoSuchChild { count })));
    net.choose(id, children.clone(), 3).unwrap();
    assert_eq!(net.reveal(id, children.clone()), under);
    assert_eq!(net.reveal_tile(id, tree.tile(2)), under);
    net.reveal_tile(id, tree.tile(3)).unwrap();
    assert_eq!(net.reveal_tile(id, tree.tile(3)), Err(reverts(IAudits::WrongTurn { turn: 3 })));
    let deadline = net.state(id).deadline;
    assert_eq!(net.settle(id), Err(reverts(IAudits::StillOpen { deadline })));
    // Coin comes in with a challenge only, and nothing is written in a view.
    let paid = net.world.pay_call(AUDITS, CHALLENGER, 1, &IAudits::settleCall { id }).map(|_| ());
    assert_eq!(paid, Err(reverts(IModule::NotPayable {})));
}

/// Every byte of a conviction counts, or changes nothing about what is done.
#[test]
fn no_byte_of_a_conviction_can_be_bent() {
    let mut net = Net::new(synthetic_mlp(&[3, 3, 2], 1).unwrap(), 1);
    let mut lied = net.honest.clone();
    alter(&mut lied, 3, 1, 1);
    let (shown, signed) = {
        let tree = net.tree(&lied);
        (show(&net.model, &tree, 2, 1), net.signed(tree.tree()))
    };
    let typed = net.convict_call(signed.clone(), &shown);
    let call = typed.abi_encode();
    let clean = net.world.clone();
    let send = |net: &mut Net, input: &[u8]| {
        net.world = clean.clone();
        net.world.send(AUDITS, OTHER, U256::ZERO, input).map(|_| net.world.clone())
    };
    let expected = send(&mut net, &call).unwrap();
    for at in 0..call.len() {
        for bit in [1, 0x80] {
            let mut bent = call.clone();
            bent[at] ^= bit;
            if let Ok(world) = send(&mut net, &bent) {
                assert_eq!(world.storage, expected.storage, "byte {at}");
                assert_eq!(world.balances, expected.balances, "byte {at}");
                // Bytes that fill the last word of an argument.
                assert_eq!(IAudits::convictCall::abi_decode(&bent).unwrap(), typed, "byte {at}");
            }
        }
    }
    // Cut short, whatever is left.
    for length in (0..call.len()).step_by(13) {
        assert!(send(&mut net, &call[..length]).is_err());
    }
}
