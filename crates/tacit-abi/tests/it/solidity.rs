//! Rust and Solidity interfaces compared through solc's output (`solidity/compile.js`).

use alloy_primitives::{hex, keccak256};
use alloy_sol_types::{SolCall, SolStruct, SolType};
use serde_json::Value;
use std::collections::BTreeSet;
use tacit_abi::{
    IAsks::{self, IAsksCalls, IAsksErrors, IAsksEvents},
    IAudits::{self, IAuditsCalls, IAuditsErrors, IAuditsEvents},
    IBeacons::{self, IBeaconsCalls, IBeaconsErrors, IBeaconsEvents},
    IChannels::{self, IChannelsCalls, IChannelsErrors, IChannelsEvents},
    IModels::{self, IModelsCalls, IModelsErrors, IModelsEvents},
    IModule::IModuleErrors,
    IPolicies::{self, IPoliciesCalls, IPoliciesErrors, IPoliciesEvents},
    IProofs::{self, IProofsCalls, IProofsErrors, IProofsEvents},
    IReceipts::{self, IReceiptsCalls, IReceiptsErrors, IReceiptsEvents},
    IStakes::{self, IStakesCalls, IStakesErrors, IStakesEvents},
    ISubnets::{self, ISubnetsCalls, ISubnetsErrors, ISubnetsEvents},
    IValidators::{self, IValidatorsCalls, IValidatorsErrors, IValidatorsEvents},
    Receipt,
};

fn artifact(name: &str) -> Value {
    let document: Value =
        serde_json::from_str(include_str!("../../solidity/fixtures/artifacts.json")).unwrap();
    document["contracts"][name].clone()
}

/// Canonical signatures of all entries of one kind in solc's ABI.
fn signatures(contract: &Value, kind: &str) -> BTreeSet<String> {
    let entries = contract["abi"].as_array().unwrap().iter().filter(|entry| entry["type"] == kind);
    entries.map(|entry| format!("{}({})", entry["name"].as_str().unwrap(), types(&entry["inputs"]))).collect()
}

fn types(parameters: &Value) -> String {
    parameters.as_array().unwrap().iter().map(canonical).collect::<Vec<_>>().join(",")
}

fn canonical(parameter: &Value) -> String {
    let name = parameter["type"].as_str().unwrap();
    match name.strip_prefix("tuple") {
        Some(suffix) => format!("({}){suffix}", types(&parameter["components"])),
        None => name.to_owned(),
    }
}

fn set(signatures: &[&str]) -> BTreeSet<String> {
    signatures.iter().map(|signature| (*signature).to_owned()).collect()
}

fn selectors(contract: &Value) -> BTreeSet<(String, [u8; 4])> {
    let methods = contract["methods"].as_object().unwrap().iter();
    methods
        .map(|(signature, selector)| {
            let mut bytes = [0; 4];
            hex::decode_to_slice(selector.as_str().unwrap(), &mut bytes).unwrap();
            (signature.clone(), bytes)
        })
        .collect()
}

fn paired(signatures: &[&str], selectors: &[[u8; 4]]) -> BTreeSet<(String, [u8; 4])> {
    signatures.iter().map(|signature| (*signature).to_owned()).zip(selectors.iter().copied()).collect()
}

#[test]
fn methods_have_solc_selectors() {
    assert_eq!(
        selectors(&artifact("IChannels")),
        paired(IChannelsCalls::SIGNATURES, IChannelsCalls::SELECTORS)
    );
    assert_eq!(selectors(&artifact("IModels")), paired(IModelsCalls::SIGNATURES, IModelsCalls::SELECTORS));
    assert_eq!(
        selectors(&artifact("IReceipts")),
        paired(IReceiptsCalls::SIGNATURES, IReceiptsCalls::SELECTORS)
    );
    assert_eq!(selectors(&artifact("IProofs")), paired(IProofsCalls::SIGNATURES, IProofsCalls::SELECTORS));
    assert_eq!(
        selectors(&artifact("IValidators")),
        paired(IValidatorsCalls::SIGNATURES, IValidatorsCalls::SELECTORS)
    );
    assert_eq!(selectors(&artifact("IStakes")), paired(IStakesCalls::SIGNATURES, IStakesCalls::SELECTORS));
    assert_eq!(selectors(&artifact("IAsks")), paired(IAsksCalls::SIGNATURES, IAsksCalls::SELECTORS));
    assert_eq!(selectors(&artifact("IAudits")), paired(IAuditsCalls::SIGNATURES, IAuditsCalls::SELECTORS));
    assert_eq!(
        selectors(&artifact("IPolicies")),
        paired(IPoliciesCalls::SIGNATURES, IPoliciesCalls::SELECTORS)
    );
    assert_eq!(selectors(&artifact("ISubnets")), paired(ISubnetsCalls::SIGNATURES, ISubnetsCalls::SELECTORS));
    assert_eq!(selectors(&artifact("IBeacons")), paired(IBeaconsCalls::SIGNATURES, IBeaconsCalls::SELECTORS));
}

#[test]
fn errors_are_the_same() {
    assert_eq!(signatures(&artifact("IChannels"), "error"), set(IChannelsErrors::SIGNATURES));
    assert_eq!(signatures(&artifact("IModels"), "error"), set(IModelsErrors::SIGNATURES));
    assert_eq!(signatures(&artifact("IReceipts"), "error"), set(IReceiptsErrors::SIGNATURES));
    assert_eq!(signatures(&artifact("IProofs"), "error"), set(IProofsErrors::SIGNATURES));
    assert_eq!(signatures(&artifact("IValidators"), "error"), set(IValidatorsErrors::SIGNATURES));
    assert_eq!(signatures(&artifact("IStakes"), "error"), set(IStakesErrors::SIGNATURES));
    assert_eq!(signatures(&artifact("IAsks"), "error"), set(IAsksErrors::SIGNATURES));
    assert_eq!(signatures(&artifact("IAudits"), "error"), set(IAuditsErrors::SIGNATURES));
    assert_eq!(signatures(&artifact("IPolicies"), "error"), set(IPoliciesErrors::SIGNATURES));
    assert_eq!(signatures(&artifact("ISubnets"), "error"), set(ISubnetsErrors::SIGNATURES));
    assert_eq!(signatures(&artifact("IBeacons"), "error"), set(IBeaconsErrors::SIGNATURES));
    assert_eq!(signatures(&artifact("IModule"), "error"), set(IModuleErrors::SIGNATURES));
}

#[test]
fn events_are_the_same() {
    assert_eq!(signatures(&artifact("IChannels"), "event"), set(IChannelsEvents::SIGNATURES));
    assert_eq!(signatures(&artifact("IModels"), "event"), set(IModelsEvents::SIGNATURES));
    assert_eq!(signatures(&artifact("IReceipts"), "event"), set(IReceiptsEvents::SIGNATURES));
    assert_eq!(signatures(&artifact("IProofs"), "event"), set(IProofsEvents::SIGNATURES));
    assert_eq!(signatures(&artifact("IValidators"), "event"), set(IValidatorsEvents::SIGNATURES));
    assert_eq!(signatures(&artifact("IStakes"), "event"), set(IStakesEvents::SIGNATURES));
    assert_eq!(signatures(&artifact("IAsks"), "event"), set(IAsksEvents::SIGNATURES));
    assert_eq!(signatures(&artifact("IAudits"), "event"), set(IAuditsEvents::SIGNATURES));
    assert_eq!(signatures(&artifact("IPolicies"), "event"), set(IPoliciesEvents::SIGNATURES));
    assert_eq!(signatures(&artifact("ISubnets"), "event"), set(ISubnetsEvents::SIGNATURES));
    assert_eq!(signatures(&artifact("IBeacons"), "event"), set(IBeaconsEvents::SIGNATURES));
    for (signature, selector) in IChannelsEvents::SIGNATURES.iter().zip(IChannelsEvents::SELECTORS) {
        assert_eq!(keccak256(signature), *selector);
    }
}

/// Fields of a struct as `type name`, from its EIP-712 description.
fn fields<S: SolStruct>() -> Vec<String> {
    let description = S::eip712_root_type();
    let (_, inner) = description.trim_end_matches(')').split_once('(').unwrap();
    inner.split(',').map(str::to_owned).collect()
}

/// Fields of the struct that a method returns (alone or in an array), as `type name`, from solc.
fn returned_fields(contract: &str, method: &str) -> Vec<String> {
    let artifact = artifact(contract);
    let entry = artifact["abi"].as_array().unwrap().iter().find(|entry| entry["name"] == method).unwrap();
    let fields = entry["outputs"][0]["components"].as_array().unwrap();
    fields.iter().map(|field| format!("{} {}", canonical(field), field["name"].as_str().unwrap())).collect()
}

#[test]
fn structs_have_the_same_fields() {
    assert_eq!(returned_fields("IChannels", "channel"), fields::<IChannels::Channel>());
    assert_eq!(returned_fields("IModels", "model"), fields::<IModels::Model>());
    assert_eq!(returned_fields("IModels", "modelAt"), fields::<IModels::Model>());
    assert_eq!(returned_fields("IReceipts", "anchorOf"), fields::<IReceipts::Anchor>());
    assert_eq!(returned_fields("IProofs", "describe"), fields::<IProofs::Description>());
    assert_eq!(returned_fields("IValidators", "validator"), fields::<IValidators::Validator>());
    assert_eq!(returned_fields("IValidators", "validatorSet"), fields::<IValidators::Seat>());
    assert_eq!(returned_fields("IValidators", "parameters"), fields::<IValidators::Parameters>());
    assert_eq!(returned_fields("IStakes", "stakeOf"), fields::<IStakes::Stake>());
    assert_eq!(returned_fields("IAsks", "livenessOf"), fields::<IAsks::Liveness>());
    assert_eq!(returned_fields("IAudits", "challengeOf"), fields::<IAudits::Challenge>());
    assert_eq!(returned_fields("IAudits", "exposureOf"), fields::<IAudits::Exposure>());
    assert_eq!(returned_fields("IAudits", "historyOf"), fields::<IAudits::History>());
    assert_eq!(returned_fields("IPolicies", "lineOf"), fields::<IPolicies::Line>());
    assert_eq!(returned_fields("IPolicies", "proposalOf"), fields::<IPolicies::Proposal>());
    assert_eq!(returned_fields("IPolicies", "tallyOf"), fields::<IPolicies::Tally>());
    assert_eq!(returned_fields("ISubnets", "workers"), fields::<ISubnets::Worker>());
    assert_eq!(returned_fields("ISubnets", "validators"), fields::<ISubnets::Validator>());
    assert_eq!(returned_fields("ISubnets", "leavingOf"), fields::<ISubnets::Leaving>());
    // What a transaction carries is what was signed.
    assert_eq!(fields::<IAudits::Receipt>(), fields::<Receipt>());
}

/// What a method returns by our declaration, structs by name.
fn returns<C: SolCall>() -> (&'static str, &'static str) {
    (C::SIGNATURE, <C::ReturnTuple<'static> as SolType>::SOL_NAME)
}

#[test]
fn methods_return_what_solc_says() {
    let ours = [
        returns::<IChannels::openCall>(),
        returns::<IChannels::channelCall>(),
        returns::<IChannels::channelIdCall>(),
        returns::<IModels::countCall>(),
        returns::<IModels::modelAtCall>(),
        returns::<IModels::modelCall>(),
        returns::<IModels::byNameCall>(),
        returns::<IReceipts::anchorOfCall>(),
        returns::<IReceipts::includedCall>(),
        returns::<IProofs::storeCall>(),
        returns::<IProofs::registerCall>(),
        returns::<IProofs::isRegisteredCall>(),
        returns::<IProofs::describeCall>(),
        returns::<IProofs::graphCall>(),
        returns::<IProofs::verificationGasCall>(),
        returns::<IProofs::verifyCall>(),
        returns::<IProofs::answerCall>(),
        returns::<IValidators::validatorCall>(),
        returns::<IValidators::keyOfCall>(),
        returns::<IValidators::epochCall>(),
        returns::<IValidators::validatorSetCall>(),
        returns::<IValidators::parametersCall>(),
        returns::<IValidators::namespaceCall>(),
        returns::<IStakes::stakeOfCall>(),
        returns::<IAsks::countCall>(),
        returns::<IAsks::pageCall>(),
        returns::<IAsks::askCall>(),
        returns::<IAsks::tokensCall>(),
        returns::<IAsks::livenessOfCall>(),
        returns::<IAudits::weightsOfCall>(),
        returns::<IAudits::challengeCall>(),
        returns::<IAudits::challengeOfCall>(),
        returns::<IAudits::isConvictedCall>(),
        returns::<IAudits::coverOfCall>(),
        returns::<IAudits::exposureOfCall>(),
        returns::<IAudits::historyOfCall>(),
        returns::<IPolicies::openCall>(),
        returns::<IPolicies::proposeCall>(),
        returns::<IPolicies::lineOfCall>(),
        returns::<IPolicies::policyOfCall>(),
        returns::<IPolicies::proposalOfCall>(),
        returns::<IPolicies::proposalIdCall>(),
        returns::<IPolicies::tallyOfCall>(),
        returns::<ISubnets::createCall>(),
        returns::<ISubnets::registerCall>(),
        returns::<ISubnets::countCall>(),
        returns::<ISubnets::subnetCall>(),
        returns::<ISubnets::workersCall>(),
        returns::<ISubnets::validatorsCall>(),
        returns::<ISubnets::leavingOfCall>(),
        returns::<ISubnets::creditOfCall>(),
        returns::<IBeacons::postCall>(),
        returns::<IBeacons::beaconOfCall>(),
    ];
    let mut compared = 0;
    let names = [
        "IChannels",
        "IModels",
        "IReceipts",
        "IProofs",
        "IValidators",
        "IStakes",
        "IAsks",
        "IAudits",
        "IPolicies",
        "ISubnets",
        "IBeacons",
    ];
    for name in names {
        let contract = artifact(name);
        for entry in contract["abi"].as_array().unwrap().iter().filter(|entry| entry["type"] == "function") {
            let signature = format!("{}({})", entry["name"].as_str().unwrap(), types(&entry["inputs"]));
            let Some(output) = entry["outputs"].get(0) else {
                assert!(ours.iter().all(|(ours, _)| *ours != signature), "{signature}");
                continue;
            };
            // "struct IModels.Ask[]" or "uint64".
            let theirs = output["internalType"].as_str().unwrap().rsplit(['.', ' ']).next().unwrap();
            let (_, ours) = ours.iter().find(|(ours, _)| *ours == signature).unwrap();
            assert_eq!(ours.trim_matches(['(', ')', ',']), theirs, "{signature}");
            compared += 1;
        }
    }
    assert_eq!(compared, ours.len());
}
