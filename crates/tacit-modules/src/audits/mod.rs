//! `audits`: disputes about answers whose evidence is `audited`, each ended by one element computed here, and audits that were passed.
//!
//! # State
//! | slot | field |
//! |---|---|
//! | 0 | `mapping(bytes32 => bytes32) weights`: by model, the root of the tree over its weights |
//! | 1 | `mapping(bytes32 => ReceiptRecord) receipts`, by EIP-712 digest: `senior` (20 bytes), `convicted` (1), `passed` (1) |
//! | 2 | `mapping(bytes32 => ChallengeRecord) challenges`, by `keccak256(receipt digest ‖ challenger)`; four slots |
//! | 3 | `mapping(address => mapping(uint64 => uint128)) taken`: what a worker's covers of a period add up to |
//! | 4 | `mapping(bytes32 => mapping(uint64 => uint128)) covers`: by channel and period |
//! | 5 | `mapping(address => History) histories`, by worker: `passed` (4 bytes), `passedAt` (8), `convictedAt` (8) |
//!
//! # Messages
//! `registerWeights` (the model's owner), `convict`, `challenge` (payable), `reveal`, `choose`, `revealTile`, `settle`, `cover` (a channel's worker), `pass`, and the views
//! `weightsOf`, `challengeOf`, `isConvicted`, `coverOf`, `exposureOf`, `historyOf`.
//!
//! # Invariants
//! - A stake is taken only for a receipt with evidence `audited` that its worker signed for this chain, once for each receipt: because
//!   a value of the trace that it commits to is not the one that [`tacit_graph::trace`] computes from other values of that trace and the
//!   registered weights, or because the worker let a deadline of a challenge pass.
//! - A worker that signed the root of an honest trace loses to nobody who cannot find a collision of BLAKE3, as long as it answers within
//!   [`STEP_S`]; every false challenge pays it [`CHALLENGE_BOND`].
//! - The module holds [`CHALLENGE_BOND`] for each challenge that is not settled, and nothing else.
//! - A challenge ends within [`tacit_abi::audits::MAX_STEPS`] steps. What a worker had bonded when it signed is there until then: [`CHALLENGE_WINDOW_S`] and the longest dispute are
//!   shorter than [`tacit_abi::stakes::UNBONDING_S`].
//! - Challenges of one receipt do not wait for each other, so a sham one delays no other; one that is lost is not opened again by the same account.
//! - Who convicts a receipt gets the reward, unless somebody else's challenge of it was there first: that one does, so that nobody gains by
//!   copying a conviction from the pool.
//! - What a worker covers in two periods in a row was, at each cover, at most [`exposure_max`](tacit_abi::audits::exposure_max) of what it had bonded; it never falls within them.
//! - A receipt passes once, and never once it is convicted: if the beacon of the block in which its worker anchored it selects it, by [`Policy::NETWORK`], and an account that is neither
//!   its worker nor its client, and has a live ask for the model in its mode, signed that it was asked the same and came to the same trace. That it was, nobody checks here.
//! - `passed` counts the audits that a worker passed since its last conviction, for receipts of after it; a conviction counts from the block that takes the stake, however long ago what it is
//!   for was done, so that nothing that was passed before is left.
//!
//! # Gas
//! EVM prices for slots, and for graphs, elements and hashes the prices in [`mod@gas`], charged before the work.

mod covers;
pub mod gas;
mod record;

use crate::{
    asks::{self, AskKey},
    beacons,
    dispatch::{Access, Failure, check_name, decode, revert},
    host::{Host, keccak_gas},
    models, proofs,
    receipts::{self, MAX_PROOF},
    signature, stakes,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent, SolStruct};
use record::{ChallengeRecord, HistoryRecord, ReceiptRecord, Turn};
use tacit_abi::{
    Evidence,
    IAudits::{self, IAuditsCalls},
    Privacy, Receipt, Verdict,
    asks::ASK_STAKE,
    audits::{self, CHALLENGE_BOND, CHALLENGE_WINDOW_S, MAX_LEAVES, STEP_S},
    receipts::domain,
    stakes::burned,
};
use tacit_graph::{
    Graph, decode_graph, feature_count, model_id,
    trace::{
        Conviction, ConvictionError, Hash, Kind, Opening, Question, TILE_BYTES_MAX, depth,
        evidence_commitment, fold_step, step,
    },
};
use tacit_market::{Policy, selection::is_selected};

/// Runs one call.
///
/// # Errors
/// [`Failure::Revert`] with an ABI-encoded error of [`IAudits`] or [`tacit_abi::IModule`], or [`Failure::Halt`].
pub fn run(host: &mut dyn Host, input: &[u8]) -> Result<Bytes, Failure> {
    let call = decode::<IAuditsCalls>(host, input, |call| match call {
        IAuditsCalls::challenge(_) => Access::Payable,
        IAuditsCalls::registerWeights(_)
        | IAuditsCalls::convict(_)
        | IAuditsCalls::reveal(_)
        | IAuditsCalls::choose(_)
        | IAuditsCalls::revealTile(_)
        | IAuditsCalls::settle(_)
        | IAuditsCalls::cover(_)
        | IAuditsCalls::pass(_) => Access::Write,
        IAuditsCalls::weightsOf(_)
        | IAuditsCalls::challengeOf(_)
        | IAuditsCalls::isConvicted(_)
        | IAuditsCalls::coverOf(_)
        | IAuditsCalls::exposureOf(_)
        | IAuditsCalls::historyOf(_) => Access::View,
    })?;
    match call {
        IAuditsCalls::registerWeights(call) => {
            register_weights(host, call.modelId, call.root).map(|()| Bytes::new())
        }
        IAuditsCalls::convict(call) => convict(host, call).map(|()| Bytes::new()),
        IAuditsCalls::challenge(call) => {
            let id = challenge(host, call.signed, call.leaves, call.top)?;
            Ok(IAudits::challengeCall::abi_encode_returns(&id).into())
        }
        IAuditsCalls::reveal(call) => reveal(host, call.id, call.children).map(|()| Bytes::new()),
        IAuditsCalls::choose(call) => {
            choose(host, call.id, &call.children, call.child).map(|()| Bytes::new())
        }
        IAuditsCalls::revealTile(call) => reveal_tile(host, call.id, call.tile).map(|()| Bytes::new()),
        IAuditsCalls::settle(call) => settle(host, call.id).map(|()| Bytes::new()),
        IAuditsCalls::cover(call) => covers::cover(host, call.channelId, call.amount).map(|()| Bytes::new()),
        IAuditsCalls::coverOf(call) => {
            let covered = covers::of_channel(host, call.channelId, call.period)?;
            Ok(IAudits::coverOfCall::abi_encode_returns(&covered).into())
        }
        IAuditsCalls::exposureOf(call) => {
            let exposure = covers::exposure(host, call.worker)?;
            Ok(IAudits::exposureOfCall::abi_encode_returns(&exposure).into())
        }
        IAuditsCalls::weightsOf(call) => {
            Ok(IAudits::weightsOfCall::abi_encode_returns(&record::weights(host, call.modelId)?).into())
        }
        IAuditsCalls::challengeOf(call) => {
            let challenge = ChallengeRecord::load(host, call.id)?.into_abi();
            Ok(IAudits::challengeOfCall::abi_encode_returns(&challenge).into())
        }
        IAuditsCalls::isConvicted(call) => {
            let convicted = ReceiptRecord::load(host, call.receipt)?.convicted;
            Ok(IAudits::isConvictedCall::abi_encode_returns(&convicted).into())
        }
        IAuditsCalls::pass(call) => pass(host, call).map(|()| Bytes::new()),
        IAuditsCalls::historyOf(call) => {
            let history = HistoryRecord::load(host, call.worker)?.into_abi();
            Ok(IAudits::historyOfCall::abi_encode_returns(&history).into())
        }
    }
}

fn register_weights(host: &mut dyn Host, model: B256, root: B256) -> Result<(), Failure> {
    let caller = host.context().caller;
    let owner =
        models::owner(host, model)?.ok_or_else(|| revert(IAudits::UnknownModel { modelId: model }))?;
    if caller != owner {
        return Err(revert(IAudits::NotOwner { caller }));
    }
    if root.is_zero() {
        return Err(revert(IAudits::ZeroRoot {}));
    }
    if !record::weights(host, model)?.is_zero() {
        return Err(revert(IAudits::AlreadyRegistered { modelId: model }));
    }
    record::set_weights(host, model, root)?;
    Ok(host.emit(IAudits::WeightsRegistered { modelId: model, root }.encode_log_data())?)
}

/// A receipt that its worker signed for this chain, and that commits to a trace. Only [`checked`] makes one.
struct Checked {
    digest: B256,
    receipt: Receipt,
}

fn checked(host: &mut dyn Host, receipt: IAudits::Receipt, signature: &[u8]) -> Result<Checked, Failure> {
    let receipt = Receipt::from(receipt);
    // Evidence of an encrypted job is about a seed, and no other mode of privacy has a trace.
    let privacy = matches!(Privacy::from_u8(receipt.privacy), Some(Privacy::Clear | Privacy::Sealed));
    if !privacy || Evidence::from_u8(receipt.evidence) != Some(Evidence::Audited) {
        return Err(revert(IAudits::NotAudited { privacy: receipt.privacy, evidence: receipt.evidence }));
    }
    host.charge(gas::DIGEST)?;
    let digest = receipt.eip712_signing_hash(&domain(host.context().chain_id));
    if signature::signer(host, digest, signature)? != Some(receipt.worker) {
        return Err(revert(IAudits::BadSignature {}));
    }
    Ok(Checked { digest, receipt })
}

impl Checked {
    /// Whether the receipt commits, with this salt, to the trace with this root.
    fn commits_to(&self, host: &mut dyn Host, salt: B256, root: &Hash) -> Result<(), Failure> {
        host.charge(gas::hashes(2))?;
        if evidence_commitment(&salt.0, root) == self.receipt.evidenceHash.0 {
            Ok(())
        } else {
            Err(revert(IAudits::BadOpening {}))
        }
    }
}

/// What the ledger knows of a receipt for which nothing was taken yet.
fn unconvicted(host: &mut dyn Host, receipt: B256) -> Result<ReceiptRecord, Failure> {
    let record = ReceiptRecord::load(host, receipt)?;
    if record.convicted { Err(revert(IAudits::AlreadyConvicted { receipt })) } else { Ok(record) }
}

fn convict(host: &mut dyn Host, call: IAudits::convictCall) -> Result<(), Failure> {
    let IAudits::convictCall { signed, graph, weightRoot, node, element, tile, trace, weights } = call;
    let IAudits::SignedReceipt { receipt, signature, evidenceSalt: salt } = signed;
    let checked = checked(host, receipt, &signature)?;
    let record = unconvicted(host, checked.digest)?;
    let model = checked.receipt.modelId;
    let graph = self::graph(host, model, &graph, weightRoot)?;

    let conviction =
        Conviction { node, element, tile: tile.into(), trace: opening(trace), weights: opening(weights) };
    let tile_bytes = conviction.tile.len();
    if tile_bytes > TILE_BYTES_MAX {
        return Err(tile_too_long());
    }
    host.charge(gas::element(&graph, node))?;
    let question = Question::new(&graph, node, element).map_err(|error| rejected(&error))?;
    host.charge(gas::hashes(question.hashes(&conviction)))?;
    let opened = question.open(&conviction).map_err(|error| rejected(&error))?;
    checked.commits_to(host, salt, opened.trace_root())?;
    if let Some(root) = opened.weights_root() {
        let registered = record::weights(host, model)?;
        if registered.is_zero() {
            return Err(revert(IAudits::UnregisteredWeights { modelId: model }));
        }
        if registered.0 != *root {
            return Err(revert(IAudits::WrongWeights {}));
        }
    }
    opened.judge().map_err(|error| rejected(&error))?;
    let reporter = if record.senior.is_zero() { host.context().caller } else { record.senior };
    punish(host, record, checked.digest, checked.receipt.worker, reporter)
}

/// The graph of a model, given or registered.
fn graph(host: &mut dyn Host, model: B256, bytes: &[u8], weight_root: B256) -> Result<Graph, Failure> {
    let registered;
    let (bytes, weight_root) = if bytes.is_empty() {
        registered = proofs::registered(host, model)?;
        (registered.0.as_slice(), registered.1)
    } else {
        (bytes, weight_root)
    };
    host.charge(gas::graph(bytes.len(), 0))?;
    if *model_id(bytes, &weight_root.0).as_bytes() != model.0 {
        return Err(revert(IAudits::WrongModel { modelId: model }));
    }
    let features = feature_count(bytes).map_err(|_| revert(IAudits::NotAGraph {}))?;
    host.charge(gas::graph(0, features))?;
    decode_graph(bytes).map_err(|_| revert(IAudits::NotAGraph {}))
}

fn opening(opening: IAudits::Opening) -> Opening {
    let siblings = opening.siblings.into_iter().map(|sibling| sibling.0).collect();
    Opening { tiles: opening.tiles.into(), siblings }
}

/// Takes the worker's stake for a receipt.
fn punish(
    host: &mut dyn Host,
    mut record: ReceiptRecord,
    receipt: B256,
    worker: Address,
    reporter: Address,
) -> Result<(), Failure> {
    record.convicted = true;
    record.store(host)?;
    let mut history = HistoryRecord::load(host, worker)?;
    // From now on, not from when the receipt was signed or a deadline passed: what was passed meanwhile is gone too.
    (history.passed, history.convicted_at) = (0, host.context().now);
    history.store(host)?;
    let taken = stakes::slash(host, worker, reporter)?;
    Ok(host.emit(IAudits::Convicted { receipt, worker, reporter, taken }.encode_log_data())?)
}

fn challenge(
    host: &mut dyn Host,
    signed: IAudits::SignedReceipt,
    leaves: u32,
    top: B256,
) -> Result<B256, Failure> {
    let context = host.context();
    if context.value != U256::from(CHALLENGE_BOND) {
        return Err(revert(IAudits::WrongBond { bond: CHALLENGE_BOND }));
    }
    if leaves == 0 || leaves > MAX_LEAVES {
        return Err(revert(IAudits::LeafCount { limit: MAX_LEAVES }));
    }
    let IAudits::SignedReceipt { receipt, signature, evidenceSalt: salt } = signed;
    let checked = checked(host, receipt, &signature)?;
    host.charge(gas::hashes(1))?;
    checked.commits_to(host, salt, &Kind::Trace.root(u64::from(leaves), &top.0))?;
    let until = checked.receipt.completedAt.saturating_add(CHALLENGE_WINDOW_S);
    if context.now > until {
        return Err(revert(IAudits::TooLate { until }));
    }
    let (receipt, worker, challenger) = (checked.digest, checked.receipt.worker, context.caller);
    let mut record = unconvicted(host, receipt)?;
    if stakes::held(host, worker)? == 0 {
        return Err(revert(IAudits::NothingAtStake {}));
    }
    let id = host.keccak(&[receipt.0, challenger.into_word().0].concat())?;
    if ChallengeRecord::exists(host, id)? {
        return Err(revert(IAudits::AlreadyChallenged { id }));
    }
    if record.senior.is_zero() {
        record.senior = challenger;
        record.store(host)?;
    }
    let deadline = context.now.saturating_add(STEP_S);
    let level = depth(u64::from(leaves));
    let turn = Turn::Reveal;
    ChallengeRecord { challenger, deadline, turn, level, worker, index: 0, leaves, receipt, node: top }
        .store(host, id)?;
    let challenged = IAudits::Challenged { id, receipt, worker, challenger, leaves, top, deadline };
    host.emit(challenged.encode_log_data())?;
    Ok(id)
}

/// A challenge that waits for this move, in time, of a receipt that is not convicted.
fn awaiting(host: &mut dyn Host, id: B256, turn: Turn) -> Result<ChallengeRecord, Failure> {
    let challenge = ChallengeRecord::load(host, id)?;
    if challenge.turn != turn {
        return Err(revert(IAudits::WrongTurn { turn: challenge.turn.number() }));
    }
    if host.context().now > challenge.deadline {
        return Err(revert(IAudits::DeadlinePassed { deadline: challenge.deadline }));
    }
    unconvicted(host, challenge.receipt)?;
    Ok(challenge)
}

fn reveal(host: &mut dyn Host, id: B256, children: Vec<B256>) -> Result<(), Failure> {
    let mut challenge = awaiting(host, id, Turn::Reveal)?;
    check_under(host, &challenge, &children)?;
    challenge.turn = Turn::Choose;
    let deadline = challenge.extend(host);
    challenge.store(host, id)?;
    Ok(host.emit(IAudits::Revealed { id, children, deadline }.encode_log_data())?)
}

fn choose(host: &mut dyn Host, id: B256, children: &[B256], child: u8) -> Result<(), Failure> {
    let mut challenge = awaiting(host, id, Turn::Choose)?;
    if host.context().caller != challenge.challenger {
        return Err(revert(IAudits::NotChallenger { challenger: challenge.challenger }));
    }
    check_under(host, &challenge, children)?;
    let places = step(u64::from(challenge.leaves), challenge.at());
    let missing = || revert(IAudits::NoSuchChild { count: u8::try_from(places.len()).unwrap_or(u8::MAX) });
    let number = usize::from(child);
    let (place, node) = places.get(number).zip(children.get(number)).ok_or_else(missing)?;
    challenge.level = place.level;
    // Under the number of leaves, which is of 32 bits.
    challenge.index = u32::try_from(place.index).map_err(|_| missing())?;
    challenge.node = *node;
    challenge.turn = Turn::Reveal;
    let deadline = challenge.extend(host);
    challenge.store(host, id)?;
    let chosen = IAudits::Chosen { id, level: challenge.level, index: challenge.index, deadline };
    Ok(host.emit(chosen.encode_log_data())?)
}

/// Whether these are the nodes under the disputed one.
fn check_under(host: &mut dyn Host, challenge: &ChallengeRecord, children: &[B256]) -> Result<(), Failure> {
    host.charge(gas::hashes(STEP_HASHES))?;
    let children: Vec<Hash> = children.iter().map(|child| child.0).collect();
    match fold_step(Kind::Trace, u64::from(challenge.leaves), challenge.at(), &children) {
        Some(node) if node == challenge.node.0 => Ok(()),
        _ => Err(revert(IAudits::NotUnder {})),
    }
}

fn reveal_tile(host: &mut dyn Host, id: B256, tile: Bytes) -> Result<(), Failure> {
    let mut challenge = awaiting(host, id, Turn::Reveal)?;
    // A tile that fills transactions would leave no room for what shows it wrong.
    if tile.len() > TILE_BYTES_MAX {
        return Err(tile_too_long());
    }
    host.charge(gas::hashes(1))?;
    if challenge.level > 0 || Kind::Trace.leaf(u64::from(challenge.index), &tile) != challenge.node.0 {
        return Err(revert(IAudits::NotUnder {}));
    }
    challenge.turn = Turn::Convict;
    let deadline = challenge.extend(host);
    challenge.store(host, id)?;
    Ok(host.emit(IAudits::TileRevealed { id, tile, deadline }.encode_log_data())?)
}

fn settle(host: &mut dyn Host, id: B256) -> Result<(), Failure> {
    let mut challenge = ChallengeRecord::load(host, id)?;
    if matches!(challenge.turn, Turn::Won | Turn::Lost) {
        return Err(revert(IAudits::WrongTurn { turn: challenge.turn.number() }));
    }
    let mut record = ReceiptRecord::load(host, challenge.receipt)?;
    if !record.convicted && host.context().now <= challenge.deadline {
        return Err(revert(IAudits::StillOpen { deadline: challenge.deadline }));
    }
    let ChallengeRecord { challenger, worker, receipt, .. } = challenge;
    let winner = if record.convicted {
        challenger
    } else if challenge.turn == Turn::Reveal {
        // Silence is as good as a lie: no other way of not showing a tree would cost anything.
        punish(host, record, receipt, worker, challenger)?;
        challenger
    } else {
        if record.senior == challenger {
            record.senior = Address::ZERO;
            record.store(host)?;
        }
        worker
    };
    challenge.turn = if winner == challenger { Turn::Won } else { Turn::Lost };
    challenge.store(host, id)?;
    host.pay(winner, U256::from(CHALLENGE_BOND))?;
    Ok(host.emit(IAudits::Settled { id, winner }.encode_log_data())?)
}

fn pass(host: &mut dyn Host, call: IAudits::passCall) -> Result<(), Failure> {
    let IAudits::passCall { receipt, signature, root, siblings, verdict } = call;
    let Checked { digest, receipt } = checked(host, receipt, &signature)?;
    let mut record = unconvicted(host, digest)?;
    if record.passed {
        return Err(revert(IAudits::AlreadyPassed { receipt: digest }));
    }
    let mut history = HistoryRecord::load(host, receipt.worker)?;
    if receipt.completedAt <= history.convicted_at {
        return Err(revert(IAudits::BeforeConviction { convictedAt: history.convicted_at }));
    }
    let beacon = anchored_beacon(host, &receipt, digest, root, &siblings)?;
    let bonded = stakes::bonded(host, receipt.worker)?;
    if bonded < ASK_STAKE {
        // By a probability that grows without bound as the stake falls, everything would be selected.
        return Err(revert(IAudits::TooLittleStake { bonded, needed: ASK_STAKE }));
    }
    host.charge(gas::SELECTION)?;
    let probability = Policy::NETWORK.probability(burned(bonded), receipt.price, history.passed);
    if !is_selected(beacon, digest, probability) {
        return Err(revert(IAudits::NotSelected { probability: probability.0 }));
    }
    let auditor = verdict.auditor;
    if auditor == receipt.worker || auditor == receipt.client {
        return Err(revert(IAudits::NotIndependent { auditor }));
    }
    host.charge(gas::VERDICT)?;
    let said = Verdict { receipt: digest, own: verdict.own };
    let said = said.eip712_signing_hash(&audits::domain(host.context().chain_id));
    if signature::signer(host, said, &verdict.signature)? != Some(auditor) {
        return Err(revert(IAudits::BadVerdict {}));
    }
    let Receipt { modelId: model, privacy, evidence, .. } = receipt;
    if !asks::is_live(host, AskKey { model, worker: auditor, privacy, evidence })? {
        return Err(revert(IAudits::NoAsk { auditor }));
    }
    record.passed = true;
    record.store(host)?;
    // Each costs 100 000 gas and a receipt of its own: 2^32 are never reached.
    history.passed = history.passed.saturating_add(1);
    history.passed_at = host.context().now;
    history.store(host)?;
    let passed = IAudits::Passed { receipt: digest, worker: receipt.worker, auditor };
    Ok(host.emit(passed.encode_log_data())?)
}

/// The beacon of the block in which the receipt's worker anchored it under `root`.
fn anchored_beacon(
    host: &mut dyn Host,
    receipt: &Receipt,
    digest: B256,
    root: B256,
    siblings: &[B256],
) -> Result<B256, Failure> {
    if siblings.len() > MAX_PROOF {
        return Err(revert(IAudits::PathTooLong { limit: u32::try_from(MAX_PROOF).unwrap_or(u32::MAX) }));
    }
    let anchor = receipts::anchored(host, root)?.ok_or_else(|| revert(IAudits::NotAnchored { root }))?;
    if anchor.worker != receipt.worker {
        return Err(revert(IAudits::WrongAnchor { worker: anchor.worker }));
    }
    host.charge(keccak_gas(32))?;
    // The leaf of `Tacit Receipts`.
    if !receipts::leads_to(host, keccak256(digest), siblings, root)? {
        return Err(revert(IAudits::NotIncluded { root }));
    }
    beacons::of(host, anchor.block)?.ok_or_else(|| revert(IAudits::NoBeacon { number: anchor.block }))
}

impl ChallengeRecord {
    /// Gives whoever is next its time; until when.
    fn extend(&mut self, host: &dyn Host) -> u64 {
        self.deadline = host.context().now.saturating_add(STEP_S);
        self.deadline
    }
}

fn rejected(error: &ConvictionError) -> Failure {
    revert(IAudits::Rejected { check: check_name(error) })
}

fn tile_too_long() -> Failure {
    revert(IAudits::TileTooLong { limit: u32::try_from(TILE_BYTES_MAX).unwrap_or(u32::MAX) })
}

/// Nodes between a node and those four levels below it, itself included.
const STEP_HASHES: u64 = 15;

#[cfg(test)]
mod tests;
