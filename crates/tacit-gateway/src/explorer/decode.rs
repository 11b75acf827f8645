//! What a transaction says to a module, and what the module says of it: names and values, read with the modules' interfaces.
//!
//! Each call and each event of each interface is taken apart field by field, so that one that an interface gains does not compile until it is
//! here. What no interface knows stays bytes: a selector and a length.
//!
//! Values become JSON with a [`Kind`] that says what they are. Amounts are in coins, as everywhere. Long ones are cut, at named limits: this is
//! for reading, not for checking.

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::{SolEventInterface, SolInterface};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tacit_abi::{
    Evidence, IAsks, IAudits, IBeacons, IChannels, IModels, IPolicies, IProofs, IReceipts, IStakes, ISubnets,
    IValidators, Privacy, asks, audits, beacons, channels, models, policies, proofs, receipts, stakes,
    subnets, validators,
};
use tacit_wire::Amount;

/// A call or an event of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoded {
    /// Which module.
    pub module: String,
    /// Name of the method or event.
    pub name: String,
    /// Its values, in the interface's order.
    pub arguments: Vec<Argument>,
}

/// A value with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// As the interface has it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// A text; a list of values, of arguments, or of lists.
    pub value: Value,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An account.
    Address,
    /// 32 bytes.
    Hash,
    /// Coins.
    Coins,
    /// A number.
    Number,
    /// Seconds since 1970.
    Time,
    /// A privacy or an evidence.
    Mode,
    /// Words of whoever sent them.
    Text,
    /// Bytes, cut.
    Bytes,
    /// Several values, cut.
    List,
    /// Arguments.
    Struct,
}

/// Bytes of which a value shows the beginning.
const BYTES_SHOWN_MAX: usize = 32;
/// Entries of a list that are shown.
const LIST_SHOWN_MAX: usize = 16;
/// Letters of a text that are shown.
const TEXT_SHOWN_MAX: usize = 256;

/// The name of the module at an address.
pub(crate) fn module_name(address: Address) -> Option<&'static str> {
    Some(match address {
        models::ADDRESS => "models",
        channels::ADDRESS => "channels",
        receipts::ADDRESS => "receipts",
        proofs::ADDRESS => "proofs",
        validators::ADDRESS => "validators",
        stakes::ADDRESS => "stakes",
        asks::ADDRESS => "asks",
        audits::ADDRESS => "audits",
        policies::ADDRESS => "policies",
        subnets::ADDRESS => "subnets",
        beacons::ADDRESS => "beacons",
        _ => return None,
    })
}

/// The call that a transaction makes to a module; `None` when it is to none, or no method of its interface.
pub(crate) fn call(to: Address, input: &[u8]) -> Option<Decoded> {
    let module = module_name(to)?;
    let (name, arguments) = match to {
        models::ADDRESS => models_call(input),
        channels::ADDRESS => channels_call(input),
        receipts::ADDRESS => receipts_call(input),
        proofs::ADDRESS => proofs_call(input),
        validators::ADDRESS => validators_call(input),
        stakes::ADDRESS => stakes_call(input),
        asks::ADDRESS => asks_call(input),
        audits::ADDRESS => audits_call(input),
        policies::ADDRESS => policies_call(input),
        subnets::ADDRESS => subnets_call(input),
        beacons::ADDRESS => beacons_call(input),
        _ => None,
    }?;
    Some(Decoded { module: module.to_owned(), name: name.to_owned(), arguments })
}

/// What a module logged; `None` when it is not of a module, or no event of its interface.
pub(crate) fn event(from: Address, topics: &[B256], data: &[u8]) -> Option<Decoded> {
    let module = module_name(from)?;
    let (name, arguments) = match from {
        models::ADDRESS => models_event(topics, data),
        channels::ADDRESS => channels_event(topics, data),
        receipts::ADDRESS => receipts_event(topics, data),
        proofs::ADDRESS => proofs_event(topics, data),
        validators::ADDRESS => validators_event(topics, data),
        stakes::ADDRESS => stakes_event(topics, data),
        asks::ADDRESS => asks_event(topics, data),
        audits::ADDRESS => audits_event(topics, data),
        policies::ADDRESS => policies_event(topics, data),
        subnets::ADDRESS => subnets_event(topics, data),
        beacons::ADDRESS => beacons_event(topics, data),
        _ => None,
    }?;
    Some(Decoded { module: module.to_owned(), name: name.to_owned(), arguments })
}

type Parts = Option<(&'static str, Vec<Argument>)>;

/// Taken apart without a rest: a field that is not named here does not compile.
macro_rules! interface {
    (
        $interface:ident $calls:ident $events:ident => $call:ident $event:ident,
        calls { $($method:ident $struct:ident { $($field:ident),* })* }
        events { $($name:ident { $($part:ident),* })* }
    ) => {
        fn $call(input: &[u8]) -> Parts {
            Some(match $interface::$calls::abi_decode_validate(input).ok()? {
                $($interface::$calls::$method($interface::$struct { $($field),* }) => {
                    (stringify!($method), vec![$(argument(stringify!($field), &$field)),*])
                })*
            })
        }

        fn $event(topics: &[B256], data: &[u8]) -> Parts {
            Some(match $interface::$events::decode_raw_log(topics, data).ok()? {
                $($interface::$events::$name($interface::$name { $($part),* }) => {
                    (stringify!($name), vec![$(argument(stringify!($part), &$part)),*])
                })*
            })
        }
    };
}

interface! {
    IModels IModelsCalls IModelsEvents => models_call models_event,
    calls {
        publish publishCall { modelId, weightRoot, name }
        transferOwnership transferOwnershipCall { modelId, next }
        count countCall {}
        modelAt modelAtCall { index }
        model modelCall { modelId }
        byName byNameCall { name }
    }
    events {
        Published { modelId, owner, weightRoot, name }
        OwnerChanged { modelId, previous, next }
    }
}

interface! {
    IChannels IChannelsCalls IChannelsEvents => channels_call channels_event,
    calls {
        open openCall { worker, signer, salt }
        topUp topUpCall { channelId }
        settle settleCall { channelId, cumulative, signature }
        requestClose requestCloseCall { channelId }
        close closeCall { channelId }
        closeByWorker closeByWorkerCall { channelId, cumulative, signature }
        channel channelCall { channelId }
        channelId channelIdCall { client, worker, signer, salt }
    }
    events {
        Opened { channelId, client, worker, signer, deposit }
        ToppedUp { channelId, amount, deposit }
        Settled { channelId, worker, paid, cumulative }
        CloseRequested { channelId, closeAt }
        Closed { channelId, worker, paid, refunded }
    }
}

interface! {
    IReceipts IReceiptsCalls IReceiptsEvents => receipts_call receipts_event,
    calls {
        anchor anchorCall { root, count }
        anchorOf anchorOfCall { root }
        included includedCall { root, leaf, proof }
    }
    events {
        Anchored { root, worker, count }
    }
}

interface! {
    IProofs IProofsCalls IProofsEvents => proofs_call proofs_event,
    calls {
        store storeCall { part }
        register registerCall { parts, weightRoot }
        isRegistered isRegisteredCall { modelId }
        describe describeCall { modelId }
        graph graphCall { modelId }
        verificationGas verificationGasCall { modelId, rows, proofBytes }
        verify verifyCall { modelId, inputs, outputs, proof }
        answer answerCall { modelId, inputs, outputs, proof }
    }
    events {
        Stored { part, length }
        Registered { modelId, weightRoot, graphBytes }
    }
}

interface! {
    IValidators IValidatorsCalls IValidatorsEvents => validators_call validators_event,
    calls {
        join joinCall { key, proof }
        topUp topUpCall {}
        leave leaveCall {}
        withdraw withdrawCall {}
        slash slashCall { key, evidence }
        validator validatorCall { key }
        keyOf keyOfCall { owner }
        epoch epochCall {}
        validatorSet validatorSetCall { epoch }
        parameters parametersCall {}
        namespace namespaceCall {}
    }
    events {
        Joined { key, owner, stake, fromEpoch }
        ToppedUp { key, amount, stake, fromEpoch }
        Left { key, owner, exitEpoch, releaseAt }
        Withdrawn { key, owner, amount }
        Slashed { key, reporter, kind, voteEpoch, voteView, burned, reward }
    }
}

interface! {
    IStakes IStakesCalls IStakesEvents => stakes_call stakes_event,
    calls {
        bond bondCall {}
        unbond unbondCall { amount }
        withdraw withdrawCall {}
        stakeOf stakeOfCall { worker }
    }
    events {
        Bonded { worker, amount, bonded }
        Unbonding { worker, amount, releaseAt }
        Withdrawn { worker, amount }
        Slashed { worker, reporter, burned, reward }
    }
}

interface! {
    IAsks IAsksCalls IAsksEvents => asks_call asks_event,
    calls {
        set setCall { modelId, terms }
        remove removeCall { modelId, privacy, evidence }
        prune pruneCall { modelId, worker, privacy, evidence }
        count countCall { modelId }
        page pageCall { modelId, from, limit }
        ask askCall { modelId, worker, privacy, evidence }
        setTokens setTokensCall { keyHash, price }
        tokens tokensCall { worker }
        beat beatCall { }
        livenessOf livenessOfCall { worker }
    }
    events {
        AskSet { modelId, worker, privacy, evidence, price, promptPrice, completionPrice }
        AskRemoved { modelId, worker, privacy, evidence }
        TokensSet { worker, keyHash, price }
    }
}

interface! {
    IAudits IAuditsCalls IAuditsEvents => audits_call audits_event,
    calls {
        registerWeights registerWeightsCall { modelId, root }
        weightsOf weightsOfCall { modelId }
        convict convictCall { signed, graph, weightRoot, node, element, tile, trace, weights }
        challenge challengeCall { signed, leaves, top }
        reveal revealCall { id, children }
        choose chooseCall { id, children, child }
        revealTile revealTileCall { id, tile }
        settle settleCall { id }
        cover coverCall { channelId, amount }
        coverOf coverOfCall { channelId, period }
        exposureOf exposureOfCall { worker }
        pass passCall { receipt, signature, root, siblings, verdict }
        historyOf historyOfCall { worker }
        challengeOf challengeOfCall { id }
        isConvicted isConvictedCall { receipt }
    }
    events {
        WeightsRegistered { modelId, root }
        Challenged { id, receipt, worker, challenger, leaves, top, deadline }
        Revealed { id, children, deadline }
        Chosen { id, level, index, deadline }
        TileRevealed { id, tile, deadline }
        Convicted { receipt, worker, reporter, taken }
        Settled { id, winner }
        Covered { channelId, worker, period, amount, covered }
        Passed { receipt, worker, auditor }
    }
}

interface! {
    IPolicies IPoliciesCalls IPoliciesEvents => policies_call policies_event,
    calls {
        open openCall { policy, delay, quorum }
        propose proposeCall { line, policy }
        approve approveCall { proposal }
        takeBack takeBackCall { proposal }
        settle settleCall { proposal }
        lineOf lineOfCall { line }
        policyOf policyOfCall { policy }
        proposalOf proposalOfCall { proposal }
        proposalId proposalIdCall { line, index }
        tallyOf tallyOfCall { proposal }
    }
    events {
        Opened { line, policy, delay, quorum }
        Proposed { proposal, line, policy, proposer, narrows, until }
        Approved { proposal, key, approving, total }
        Accepted { proposal, until }
        Objected { proposal, key, objecting, total }
        InForce { proposal, line, policy, version }
        Closed { proposal, status }
    }
}

interface! {
    ISubnets ISubnetsCalls ISubnetsEvents => subnets_call subnets_event,
    calls {
        create createCall { terms }
        deposit depositCall { id }
        register registerCall { id }
        resign resignCall { id }
        bond bondCall { id }
        unbond unbondCall { id, amount }
        withdraw withdrawCall { id }
        commit commitCall { id, epoch, commitment }
        reveal revealCall { id, epoch, salt, weights }
        close closeCall { id, epoch }
        claim claimCall {}
        count countCall {}
        subnet subnetCall { id }
        workers workersCall { id }
        validators validatorsCall { id }
        leavingOf leavingOfCall { id, validator }
        creditOf creditOfCall { account }
    }
    events {
        Created { id, creator, task }
        Deposited { id, from, amount }
        Registered { id, worker, seat }
        Resigned { id, worker, seat }
        Bonded { id, validator, amount, stake }
        Unbonding { id, validator, amount, releaseAt }
        Withdrawn { id, validator, amount }
        Committed { id, epoch, validator, commitment }
        Revealed { id, epoch, validator, weights }
        Closed { id, epoch, agreed, paid }
        Claimed { account, amount }
    }
}

interface! {
    IBeacons IBeaconsCalls IBeaconsEvents => beacons_call beacons_event,
    calls {
        post postCall { number, blockHash, signature }
        beaconOf beaconOfCall { number }
    }
    events {
        Posted { number, beacon }
    }
}

/// A value of an interface, as it is shown under a name.
trait Shown {
    fn shown(&self, name: &str) -> (Kind, Value);
}

fn argument(name: &str, value: &impl Shown) -> Argument {
    let (kind, value) = value.shown(name);
    Argument { name: name.to_owned(), kind, value }
}

/// The beginning of some bytes, and how many they are.
pub(crate) fn shown_bytes(bytes: &[u8]) -> String {
    let shown = Bytes::copy_from_slice(bytes.get(..BYTES_SHOWN_MAX).unwrap_or(bytes));
    if bytes.len() > BYTES_SHOWN_MAX {
        format!("{shown}… ({} bytes)", bytes.len())
    } else {
        shown.to_string()
    }
}

macro_rules! texts {
    ($($type:ty => $kind:ident),*) => {$(
        impl Shown for $type {
            fn shown(&self, _: &str) -> (Kind, Value) {
                (Kind::$kind, Value::String(self.to_string()))
            }
        }
    )*};
}

texts!(bool => Text, Address => Address, B256 => Hash, u16 => Number, u32 => Number, i32 => Number, i64 => Number);

impl Shown for u128 {
    /// Amounts are what the interfaces have of this size.
    fn shown(&self, _: &str) -> (Kind, Value) {
        (Kind::Coins, Value::String(Amount(*self).to_string()))
    }
}

impl Shown for u64 {
    fn shown(&self, name: &str) -> (Kind, Value) {
        let is_time =
            matches!(name, "closeAt" | "releaseAt" | "validUntil" | "completedAt" | "deadline" | "until");
        (if is_time { Kind::Time } else { Kind::Number }, Value::String(self.to_string()))
    }
}

impl Shown for u8 {
    fn shown(&self, name: &str) -> (Kind, Value) {
        let mode = match name {
            "privacy" => Privacy::from_u8(*self).map(|mode| mode.to_string()),
            "evidence" => Evidence::from_u8(*self).map(|mode| mode.to_string()),
            _ => None,
        };
        match mode {
            Some(mode) => (Kind::Mode, Value::String(mode)),
            None => (Kind::Number, Value::String(self.to_string())),
        }
    }
}

impl Shown for String {
    fn shown(&self, _: &str) -> (Kind, Value) {
        let text = self.chars().filter(|letter| !letter.is_control()).take(TEXT_SHOWN_MAX).collect();
        (Kind::Text, Value::String(text))
    }
}

impl Shown for Bytes {
    fn shown(&self, _: &str) -> (Kind, Value) {
        (Kind::Bytes, Value::String(shown_bytes(self)))
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn shown(&self, name: &str) -> (Kind, Value) {
        let mut entries: Vec<Value> =
            self.iter().take(LIST_SHOWN_MAX).map(|entry| entry.shown(name).1).collect();
        if let Some(more) = self.len().checked_sub(LIST_SHOWN_MAX).filter(|more| *more > 0) {
            entries.push(Value::String(format!("… and {more} more")));
        }
        (Kind::List, Value::Array(entries))
    }
}

macro_rules! structs {
    ($($interface:ident $name:ident { $($field:ident),* })*) => {$(
        impl Shown for $interface::$name {
            fn shown(&self, _: &str) -> (Kind, Value) {
                let Self { $($field),* } = self;
                (Kind::Struct, json!([$(argument(stringify!($field), $field)),*]))
            }
        }
    )*};
}

structs! {
    IAsks Terms { privacy, evidence, price, promptPrice, completionPrice, capacity, validUntil, sealingKey, endpoint }
    IAudits SignedReceipt { receipt, signature, evidenceSalt }
    IAudits Receipt {
        jobId, modelId, channelId, client, worker, privacy, evidence, inputCommitment, outputCommitment, evidenceHash,
        price, cumulative, completedAt
    }
    IAudits Opening { tiles, siblings }
    IAudits SignedVerdict { auditor, own, signature }
    ISubnets Terms {
        task, text, kappa, bondsPenalty, bondsAverage, rule, alphaLow, alphaHigh, alphaSteepness, quorum, workersMax,
        validatorsMax, epochSeconds, revealSeconds, payout, fee, stakeMin
    }
}

#[cfg(test)]
mod tests;
