//! What the ledger's modules say when they refuse, as values and as sentences.

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::{SolError, SolInterface};
use tacit_abi::{
    IAsks::{self, IAsksErrors},
    IAudits::{self, IAuditsErrors},
    IBeacons::{self, IBeaconsErrors},
    IChannels::{self, IChannelsErrors},
    IModels::{self, IModelsErrors},
    IModule::{self, IModuleErrors},
    IPolicies::{self, IPoliciesErrors},
    IReceipts::{self, IReceiptsErrors},
    IStakes::{self, IStakesErrors},
    ISubnets::{self, ISubnetsErrors},
    IValidators::{self, IValidatorsErrors},
    asks, audits, beacons, channels, models, policies, receipts, stakes, subnets, validators,
};

use crate::Amount;

/// A decoded revert.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revert {
    /// By the registry of models.
    Models(IModelsErrors),
    /// By the payment channels.
    Channels(IChannelsErrors),
    /// By the receipt anchors.
    Receipts(IReceiptsErrors),
    /// By the stakes of validators.
    Validators(IValidatorsErrors),
    /// By the stakes of workers.
    Stakes(IStakesErrors),
    /// By the asks.
    Asks(IAsksErrors),
    /// By the disputes about audited answers.
    Audits(IAuditsErrors),
    /// By the lines of attestation policies.
    Policies(IPoliciesErrors),
    /// By the subnets.
    Subnets(ISubnetsErrors),
    /// By the beacons.
    Beacons(IBeaconsErrors),
    /// By any module, about the call itself.
    Module(IModuleErrors),
    /// `Error(string)` of a contract.
    Text(String),
    /// Anything else.
    Other(Bytes),
}

alloy_sol_types::sol! {
    /// What Solidity's `require` and `revert` with a text give.
    error Error(string text);
}

/// Reads what one module says.
type Reader = fn(&[u8]) -> Option<Revert>;

/// Every module that says something of its own. Errors of one name and form are the same bytes, whoever says them.
const READERS: [(Address, Reader); 10] = [
    (models::ADDRESS, |data| IModelsErrors::abi_decode(data).ok().map(Revert::Models)),
    (channels::ADDRESS, |data| IChannelsErrors::abi_decode(data).ok().map(Revert::Channels)),
    (receipts::ADDRESS, |data| IReceiptsErrors::abi_decode(data).ok().map(Revert::Receipts)),
    (validators::ADDRESS, |data| IValidatorsErrors::abi_decode(data).ok().map(Revert::Validators)),
    (stakes::ADDRESS, |data| IStakesErrors::abi_decode(data).ok().map(Revert::Stakes)),
    (asks::ADDRESS, |data| IAsksErrors::abi_decode(data).ok().map(Revert::Asks)),
    (audits::ADDRESS, |data| IAuditsErrors::abi_decode(data).ok().map(Revert::Audits)),
    (policies::ADDRESS, |data| IPoliciesErrors::abi_decode(data).ok().map(Revert::Policies)),
    (subnets::ADDRESS, |data| ISubnetsErrors::abi_decode(data).ok().map(Revert::Subnets)),
    (beacons::ADDRESS, |data| IBeaconsErrors::abi_decode(data).ok().map(Revert::Beacons)),
];

impl Revert {
    /// Reads the revert data of a call to `callee`; where that is no module, or not one that says such a thing, the first that does.
    #[must_use]
    pub fn decode(callee: Option<Address>, data: &Bytes) -> Self {
        let (own, others): (Vec<_>, Vec<_>) =
            READERS.iter().partition(|(address, _)| Some(*address) == callee);
        if let Some(revert) = own.into_iter().chain(others).find_map(|(_, read)| read(data)) {
            return revert;
        }
        if let Ok(error) = IModuleErrors::abi_decode(data) {
            return Self::Module(error);
        }
        match Error::abi_decode(data) {
            Ok(Error { text }) => Self::Text(text.chars().filter(|c| !c.is_control()).take(200).collect()),
            Err(_) => Self::Other(data.clone()),
        }
    }
}

impl core::fmt::Display for Revert {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Models(error) => say_models(error, f),
            Self::Channels(error) => say_channels(error, f),
            Self::Receipts(error) => say_receipts(error, f),
            Self::Validators(error) => say_validators(error, f),
            Self::Stakes(error) => say_stakes(error, f),
            Self::Asks(error) => say_asks(error, f),
            Self::Audits(error) => say_audits(error, f),
            Self::Policies(error) => say_policies(error, f),
            Self::Subnets(error) => say_subnets(error, f),
            Self::Beacons(error) => say_beacons(error, f),
            Self::Module(error) => say_module(error, f),
            Self::Text(text) => f.write_str(text),
            Self::Other(data) if data.is_empty() => f.write_str("refused without a reason"),
            Self::Other(data) => write!(f, "refused with {data}"),
        }
    }
}

fn say_models(error: &IModelsErrors, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match error {
        IModelsErrors::AlreadyPublished(IModels::AlreadyPublished { modelId }) => {
            write!(f, "model {modelId} is published already")
        }
        IModelsErrors::NameTaken(IModels::NameTaken { name }) => write!(f, "the name {name:?} is taken"),
        IModelsErrors::BadName(IModels::BadName { name }) => {
            write!(f, "{name:?} is not a name: use 1 to 32 of a-z 0-9 - . _")
        }
        IModelsErrors::UnknownModel(IModels::UnknownModel { modelId }) if modelId.is_zero() => {
            f.write_str("no model has this name")
        }
        IModelsErrors::UnknownModel(IModels::UnknownModel { modelId }) => {
            write!(f, "model {modelId} is not published")
        }
        IModelsErrors::NotOwner(IModels::NotOwner { caller }) => write!(f, "{caller} does not own the model"),
        IModelsErrors::ZeroOwner(_) => f.write_str("the new owner is the zero address"),
        other => write!(f, "the models module refused: {other:?}"),
    }
}

fn say_channels(error: &IChannelsErrors, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match error {
        IChannelsErrors::ChannelExists(IChannels::ChannelExists { channelId }) => {
            write!(f, "channel {channelId} exists already")
        }
        IChannelsErrors::UnknownChannel(IChannels::UnknownChannel { channelId }) => {
            write!(f, "there is no channel {channelId}")
        }
        IChannelsErrors::ChannelClosed(IChannels::ChannelClosed { channelId }) => {
            write!(f, "channel {channelId} is closed")
        }
        IChannelsErrors::ZeroDeposit(_) => f.write_str("a channel needs a deposit"),
        IChannelsErrors::DepositTooLarge(_) => f.write_str("the deposit is too large"),
        IChannelsErrors::ZeroWorker(_) => f.write_str("a channel needs a worker"),
        IChannelsErrors::NotClient(IChannels::NotClient { caller }) => {
            write!(f, "{caller} is not the client of this channel")
        }
        IChannelsErrors::NotWorker(IChannels::NotWorker { caller }) => {
            write!(f, "{caller} is not the worker of this channel")
        }
        IChannelsErrors::BadSignature(_) => f.write_str("the voucher is not signed by the channel's signer"),
        IChannelsErrors::StaleVoucher(IChannels::StaleVoucher { settled, cumulative }) => {
            write!(f, "the voucher for {} pays nothing: {} is settled", Amount(*cumulative), Amount(*settled))
        }
        IChannelsErrors::ExceedsDeposit(IChannels::ExceedsDeposit { deposit, cumulative }) => {
            write!(f, "the voucher for {} exceeds the deposit of {}", Amount(*cumulative), Amount(*deposit))
        }
        IChannelsErrors::CloseAlreadyRequested(IChannels::CloseAlreadyRequested { closeAt }) => {
            write!(f, "closing was requested already, for time {closeAt}")
        }
        IChannelsErrors::GraceRunning(IChannels::GraceRunning { closeAt }) => {
            write!(f, "the grace period runs until time {closeAt}")
        }
        #[expect(unreachable_patterns, reason = "the interface may gain errors")]
        other => write!(f, "the channels module refused: {other:?}"),
    }
}

fn say_receipts(error: &IReceiptsErrors, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match error {
        IReceiptsErrors::AlreadyAnchored(IReceipts::AlreadyAnchored { root }) => {
            write!(f, "batch {root} is anchored already")
        }
        IReceiptsErrors::EmptyBatch(_) => f.write_str("a batch needs a receipt"),
        IReceiptsErrors::UnknownRoot(IReceipts::UnknownRoot { root }) => {
            write!(f, "no batch {root} is anchored")
        }
        IReceiptsErrors::ProofTooLong(_) => f.write_str("the inclusion proof is too long"),
        #[expect(unreachable_patterns, reason = "the interface may gain errors")]
        other => write!(f, "the receipts module refused: {other:?}"),
    }
}

fn say_validators(error: &IValidatorsErrors, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match error {
        IValidatorsErrors::StakeTooSmall(IValidators::StakeTooSmall { stake, least }) => {
            write!(f, "{} coins are too few: a validator needs {}", Amount(*stake), Amount(*least))
        }
        IValidatorsErrors::BadProof(_) => f.write_str("the key did not sign for this owner on this network"),
        IValidatorsErrors::KeyTaken(IValidators::KeyTaken { key }) => {
            write!(f, "{key} is a validator already")
        }
        IValidatorsErrors::KeyBarred(IValidators::KeyBarred { key }) => {
            write!(f, "{key} voted against itself and never votes again")
        }
        IValidatorsErrors::OwnerTaken(IValidators::OwnerTaken { owner, key }) => {
            write!(f, "{owner} owns a validator already: {key}")
        }
        IValidatorsErrors::TooManyCandidates(IValidators::TooManyCandidates { limit }) => {
            write!(f, "all {limit} places are taken by more coins")
        }
        IValidatorsErrors::TooManyLeaving(_) => {
            f.write_str("all places are still held by validators that leave: try again in the next epoch")
        }
        IValidatorsErrors::NotOwner(IValidators::NotOwner { caller }) => {
            write!(f, "{caller} owns no validator")
        }
        IValidatorsErrors::AlreadyLeaving(IValidators::AlreadyLeaving { key }) => {
            write!(f, "{key} leaves already")
        }
        IValidatorsErrors::LastValidator(_) => f.write_str("the last validator cannot leave"),
        IValidatorsErrors::NotLeaving(IValidators::NotLeaving { key }) => {
            write!(f, "{key} has not left")
        }
        IValidatorsErrors::StillUnbonding(IValidators::StillUnbonding { epoch, releaseAt }) => {
            write!(f, "the coins stay bonded until epoch {epoch} and time {releaseAt}")
        }
        IValidatorsErrors::UnknownValidator(IValidators::UnknownValidator { key }) => {
            write!(f, "nobody has staked the key {key}")
        }
        IValidatorsErrors::BadEvidence(IValidators::BadEvidence { check }) => {
            write!(f, "the votes show nothing: {check}")
        }
        IValidatorsErrors::NotConfigured(_) => f.write_str("this ledger takes no stakes"),
        other => write!(f, "the validators module refused: {other:?}"),
    }
}

fn say_stakes(error: &IStakesErrors, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match error {
        IStakesErrors::ZeroAmount(_) => f.write_str("the amount is zero"),
        IStakesErrors::StakeTooLarge(_) => f.write_str("the stake is too large"),
        IStakesErrors::StakeTooSmall(IStakes::StakeTooSmall { bonded }) => {
            write!(f, "only {} are bonded", Amount(*bonded))
        }
        IStakesErrors::StillBonded(IStakes::StillBonded { releaseAt }) => {
            write!(f, "the coins stay bonded until time {releaseAt}")
        }
        IStakesErrors::NothingUnbonding(_) => f.write_str("nothing is on its way home"),
        #[expect(unreachable_patterns, reason = "the interface may gain errors")]
        other => write!(f, "the stakes module refused: {other:?}"),
    }
}

fn say_asks(error: &IAsksErrors, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match error {
        IAsksErrors::UnknownModel(IAsks::UnknownModel { modelId }) => {
            write!(f, "model {modelId} is not published")
        }
        IAsksErrors::BadMode(IAsks::BadMode { privacy, evidence }) => {
            write!(f, "there is no mode {privacy}, {evidence}")
        }
        IAsksErrors::BadEndpoint(_) => f.write_str("an endpoint has 1 to 128 visible ASCII characters"),
        IAsksErrors::BadValidity(IAsks::BadValidity { earliest, latest }) => {
            write!(f, "an ask ends between time {earliest} and {latest}")
        }
        IAsksErrors::TooLittleStake(IAsks::TooLittleStake { bonded, needed }) => {
            write!(f, "the asks need a stake of {}, and {} are bonded", Amount(*needed), Amount(*bonded))
        }
        IAsksErrors::NoSuchAsk(_) => f.write_str("there is no such ask"),
        IAsksErrors::StillBacked(_) => f.write_str("the ask has not ended, and stake backs it"),
        IAsksErrors::PageTooLong(IAsks::PageTooLong { limit }) => {
            write!(f, "a page has at most {limit} asks")
        }
        IAsksErrors::BadTokens(_) => f.write_str("a token key is set once, with a price"),
        IAsksErrors::TokensTooSoon(IAsks::TokensTooSoon { earliest }) => {
            write!(
                f,
                "the token key before this one is good until then: another can be set from time {earliest}"
            )
        }
        IAsksErrors::BeatTooSoon(IAsks::BeatTooSoon { earliest }) => {
            write!(f, "the worker said so in this hour already: the next time counts from {earliest}")
        }
        #[expect(unreachable_patterns, reason = "the interface may gain errors")]
        other => write!(f, "the asks module refused: {other:?}"),
    }
}

fn say_audits(error: &IAuditsErrors, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match error {
        IAuditsErrors::AlreadyConvicted(_) => f.write_str("a stake was taken for this receipt already"),
        IAuditsErrors::Rejected(IAudits::Rejected { check }) => {
            write!(f, "nothing is shown to be wrong: {check}")
        }
        IAuditsErrors::WrongBond(IAudits::WrongBond { bond }) => {
            write!(f, "a challenge needs a bond of {}", Amount(*bond))
        }
        IAuditsErrors::TooLate(IAudits::TooLate { until }) => {
            write!(f, "the receipt could be challenged until time {until}")
        }
        IAuditsErrors::NothingAtStake(_) => f.write_str("the worker has no stake to lose"),
        IAuditsErrors::DeadlinePassed(IAudits::DeadlinePassed { deadline }) => {
            write!(f, "the time for this step ended at {deadline}")
        }
        IAuditsErrors::StillOpen(IAudits::StillOpen { deadline }) => {
            write!(f, "the other side has until time {deadline}")
        }
        IAuditsErrors::TooLittleRoom(IAudits::TooLittleRoom { room }) => {
            write!(f, "the worker's stake speaks for audited answers up to {} more", Amount(*room))
        }
        IAuditsErrors::AlreadyPassed(_) => f.write_str("the receipt passed its audit already"),
        IAuditsErrors::BeforeConviction(IAudits::BeforeConviction { convictedAt }) => {
            write!(f, "the worker was convicted at {convictedAt}, after it signed the receipt")
        }
        IAuditsErrors::NoBeacon(IAudits::NoBeacon { number }) => {
            write!(f, "the beacon of block {number} is not posted")
        }
        IAuditsErrors::NotSelected(_) => f.write_str("the beacon does not select the receipt"),
        IAuditsErrors::NoAsk(IAudits::NoAsk { auditor }) => {
            write!(f, "{auditor} has no live ask for the model in this mode")
        }
        other => write!(f, "the audits module refused: {other:?}"),
    }
}

fn say_policies(error: &IPoliciesErrors, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match error {
        IPoliciesErrors::UnknownLine(IPolicies::UnknownLine { line }) => write!(f, "there is no line {line}"),
        IPoliciesErrors::UnknownPolicy(IPolicies::UnknownPolicy { policy }) => {
            write!(f, "the ledger does not keep policy {policy}")
        }
        IPoliciesErrors::UnknownProposal(IPolicies::UnknownProposal { proposal }) => {
            write!(f, "there is no proposal {proposal}")
        }
        IPoliciesErrors::BadPolicy(IPolicies::BadPolicy { check }) => {
            write!(f, "the bytes are no policy: {check}")
        }
        IPoliciesErrors::SamePolicy(_) => f.write_str("this policy is in force already"),
        IPoliciesErrors::ProposalBond(IPolicies::ProposalBond { bond }) => {
            write!(f, "a proposal needs a bond of {}", Amount(*bond))
        }
        IPoliciesErrors::NoVote(IPolicies::NoVote { caller }) => {
            write!(f, "{caller} has no validator that votes in this epoch")
        }
        IPoliciesErrors::AlreadyVoted(_) => f.write_str("this validator has voted so already"),
        IPoliciesErrors::Outdated(_) => f.write_str("another policy came into force since it was proposed"),
        IPoliciesErrors::VoteOver(IPolicies::VoteOver { until }) => {
            write!(f, "it could be approved until time {until}")
        }
        IPoliciesErrors::StillWaiting(IPolicies::StillWaiting { until }) => {
            write!(f, "it waits until time {until}")
        }
        other => write!(f, "the policies module refused: {other:?}"),
    }
}

fn say_subnets(error: &ISubnetsErrors, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match error {
        ISubnetsErrors::UnknownSubnet(ISubnets::UnknownSubnet { id }) => write!(f, "there is no subnet {id}"),
        ISubnetsErrors::BadTerms(ISubnets::BadTerms { field }) => {
            write!(f, "a subnet's {field} cannot be so")
        }
        ISubnetsErrors::WrongFee(ISubnets::WrongFee { fee }) => {
            write!(f, "the fee to register is {}", Amount(*fee))
        }
        ISubnetsErrors::AlreadyRegistered(ISubnets::AlreadyRegistered { seat }) => {
            write!(f, "this account has seat {seat} already")
        }
        ISubnetsErrors::NotRegistered(_) => f.write_str("this account is no worker of the subnet"),
        ISubnetsErrors::Full(_) => {
            f.write_str("all seats are taken, by workers that may still show what they can")
        }
        ISubnetsErrors::TooLittleStake(ISubnets::TooLittleStake { least }) => {
            write!(f, "a validator needs {}", Amount(*least))
        }
        ISubnetsErrors::NotValidator(_) => f.write_str("this account is no validator of the subnet"),
        ISubnetsErrors::StillBonded(ISubnets::StillBonded { releaseAt }) => {
            write!(f, "the stake comes home at time {releaseAt}")
        }
        ISubnetsErrors::WrongEpoch(ISubnets::WrongEpoch { epoch }) => {
            write!(f, "it is the turn of epoch {epoch}")
        }
        ISubnetsErrors::NotInWindow(ISubnets::NotInWindow { from, until: u64::MAX }) => {
            write!(f, "not before time {from}")
        }
        ISubnetsErrors::NotInWindow(ISubnets::NotInWindow { from, until }) => {
            write!(f, "only from time {from} until {until}")
        }
        ISubnetsErrors::NoCommitment(_) => f.write_str("nothing was committed to for this epoch"),
        ISubnetsErrors::BadReveal(_) => f.write_str("something else was committed to for this epoch"),
        ISubnetsErrors::AlreadyRevealed(_) => f.write_str("the weights are revealed already"),
        ISubnetsErrors::NothingToClaim(_) => f.write_str("nothing was earned that is not paid out"),
        ISubnetsErrors::NothingLeaving(_) => f.write_str("no stake is on its way home"),
        other => write!(f, "the subnets module refused: {other:?}"),
    }
}

fn say_beacons(error: &IBeaconsErrors, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match error {
        IBeaconsErrors::AlreadyPosted(IBeacons::AlreadyPosted { number }) => {
            write!(f, "the beacon of block {number} is posted already")
        }
        IBeaconsErrors::SignatureLength(IBeacons::SignatureLength { expected: 0 }) => {
            f.write_str("a development ledger's beacons take no signature")
        }
        IBeaconsErrors::SignatureLength(IBeacons::SignatureLength { expected }) => {
            write!(f, "a beacon needs the validators' signature of {expected} bytes")
        }
        IBeaconsErrors::NotCertified(IBeacons::NotCertified { number }) => {
            write!(f, "the validators did not sign that this is block {number}")
        }
        IBeaconsErrors::UnknownBlock(IBeacons::UnknownBlock { number }) => {
            write!(f, "block {number} is none of the last 256")
        }
        IBeaconsErrors::WrongHash(IBeacons::WrongHash { expected }) => {
            write!(f, "the block has the hash {expected}")
        }
    }
}

fn say_module(error: &IModuleErrors, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match error {
        IModuleErrors::UnknownSelector(IModule::UnknownSelector { selector }) => {
            write!(f, "this ledger has no method {selector}")
        }
        IModuleErrors::MalformedInput(IModule::MalformedInput { selector }) => {
            write!(f, "the arguments of method {selector} are malformed")
        }
        other => write!(f, "the module refused: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, address};

    use super::*;

    #[test]
    fn reverts_become_sentences() {
        let zero = B256::ZERO;
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (IModels::NameTaken { name: "a".into() }.abi_encode(), "the name \"a\" is taken"),
            (IModels::UnknownModel { modelId: zero }.abi_encode(), "no model has this name"),
            (
                IChannels::ExceedsDeposit { deposit: 1, cumulative: 10_u128.pow(18) }.abi_encode(),
                "the voucher for 1 exceeds the deposit of 0.000000000000000001",
            ),
            (
                IChannels::NotClient { caller: address!("0000000000000000000000000000000000000001") }
                    .abi_encode(),
                "0x0000000000000000000000000000000000000001 is not the client of this channel",
            ),
            (IReceipts::EmptyBatch {}.abi_encode(), "a batch needs a receipt"),
            (
                IValidators::StakeTooSmall { stake: 1, least: 10_u128.pow(20) }.abi_encode(),
                "0.000000000000000001 coins are too few: a validator needs 100",
            ),
            (
                IAsks::TooLittleStake { bonded: 0, needed: 10_u128.pow(16) }.abi_encode(),
                "the asks need a stake of 0.01, and 0 are bonded",
            ),
            (
                IAsks::BeatTooSoon { earliest: 7200 }.abi_encode(),
                "the worker said so in this hour already: the next time counts from 7200",
            ),
            (IStakes::StakeTooSmall { bonded: 0 }.abi_encode(), "only 0 are bonded"),
            (IAudits::WrongBond { bond: 10_u128.pow(16) }.abi_encode(), "a challenge needs a bond of 0.01"),
            (IAudits::NoBeacon { number: 7 }.abi_encode(), "the beacon of block 7 is not posted"),
            (IPolicies::ProposalBond { bond: 10_u128.pow(18) }.abi_encode(), "a proposal needs a bond of 1"),
            (ISubnets::TooLittleStake { least: 10_u128.pow(18) }.abi_encode(), "a validator needs 1"),
            (ISubnets::NotInWindow { from: 5, until: u64::MAX }.abi_encode(), "not before time 5"),
            (ISubnets::NotInWindow { from: 5, until: 9 }.abi_encode(), "only from time 5 until 9"),
            (
                IBeacons::NotCertified { number: 7 }.abi_encode(),
                "the validators did not sign that this is block 7",
            ),
            (Error { text: "so\u{7}rry".into() }.abi_encode(), "sorry"),
            (vec![], "refused without a reason"),
            (vec![1, 2], "refused with 0x0102"),
        ];
        for (data, text) in cases {
            assert_eq!(Revert::decode(None, &data.into()).to_string(), text);
        }
    }

    #[test]
    fn two_modules_that_say_the_same_are_told_apart() {
        let caller = address!("0000000000000000000000000000000000000001");
        let data = Bytes::from(IValidators::NotOwner { caller }.abi_encode());
        let said = |callee| Revert::decode(callee, &data).to_string();
        let of_models = "0x0000000000000000000000000000000000000001 does not own the model";
        assert_eq!(
            said(Some(validators::ADDRESS)),
            "0x0000000000000000000000000000000000000001 owns no validator"
        );
        assert_eq!(said(Some(models::ADDRESS)), of_models);
        // Who says nothing like it, and nobody in particular.
        assert_eq!(said(Some(channels::ADDRESS)), of_models);
        assert_eq!(said(None), of_models);
    }

    #[test]
    fn every_reader_reads_its_own_module() {
        let said = |callee, data: Vec<u8>| Revert::decode(Some(callee), &data.into());
        let id = B256::ZERO;
        let asked = said(asks::ADDRESS, IAsks::UnknownModel { modelId: id }.abi_encode());
        assert!(matches!(asked, Revert::Asks(_)), "{asked:?}");
        let staked = said(stakes::ADDRESS, IStakes::StillBonded { releaseAt: 1 }.abi_encode());
        assert!(matches!(staked, Revert::Stakes(_)), "{staked:?}");
        let seated = said(subnets::ADDRESS, ISubnets::StillBonded { releaseAt: 1 }.abi_encode());
        assert!(matches!(seated, Revert::Subnets(_)), "{seated:?}");
    }
}
