//! Every method and event of every interface, and what is none.

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::{SolCall, SolEvent, SolEventInterface, SolInterface};

use super::*;

const HASH: B256 = B256::repeat_byte(7);
const WHO: Address = Address::repeat_byte(9);

/// Solidity's own words for what the files declare: the names that must come out.
fn declared(source: &str, keyword: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for line in source.lines() {
        let Some(rest) = line.trim().strip_prefix(keyword) else { continue };
        let Some((name, rest)) = rest.trim().split_once('(') else { continue };
        let Some((inside, _)) = rest.split_once(')') else { continue };
        let last = |part: &str| part.split_whitespace().last().unwrap().to_owned();
        let names = inside.split(',').filter(|part| !part.trim().is_empty()).map(last).collect();
        found.push((name.to_owned(), names));
    }
    found
}

/// Calldata that every interface takes for these types: zeros are values of all of them, and dynamic ones begin after the head.
fn check_calls(module: Address, source: &str, calls: &[Vec<u8>]) {
    let declared = declared(source, "function ");
    assert_eq!(declared.len(), calls.len());
    for ((name, names), input) in declared.iter().zip(calls) {
        let decoded = call(module, input).unwrap_or_else(|| panic!("{name} is not decoded"));
        assert_eq!(decoded.module, module_name(module).unwrap());
        assert_eq!(&decoded.name, name);
        let got: Vec<String> = decoded.arguments.into_iter().map(|argument| argument.name).collect();
        assert_eq!(&got, names, "{name}");
    }
}

fn check_events(module: Address, source: &str, events: &[alloy_primitives::LogData]) {
    let declared = declared(source, "event ");
    assert_eq!(declared.len(), events.len());
    for ((name, names), log) in declared.iter().zip(events) {
        let decoded =
            event(module, log.topics(), &log.data).unwrap_or_else(|| panic!("{name} is not decoded"));
        assert_eq!(&decoded.name, name);
        let got: Vec<String> = decoded.arguments.into_iter().map(|argument| argument.name).collect();
        assert_eq!(&got, names, "{name}");
    }
}

macro_rules! source {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tacit-abi/solidity/", $name, ".sol"))
    };
}

#[test]
fn models() {
    use IModels::*;
    let name = || "digits".to_owned();
    let calls = [
        publishCall { modelId: HASH, weightRoot: HASH, name: name() }.abi_encode(),
        transferOwnershipCall { modelId: HASH, next: WHO }.abi_encode(),
        countCall {}.abi_encode(),
        modelAtCall { index: 1 }.abi_encode(),
        modelCall { modelId: HASH }.abi_encode(),
        byNameCall { name: name() }.abi_encode(),
    ];
    assert_eq!(calls.len(), IModelsCalls::COUNT);
    check_calls(tacit_abi::models::ADDRESS, source!("IModels"), &calls);
    let events = [
        Published { modelId: HASH, owner: WHO, weightRoot: HASH, name: name() }.encode_log_data(),
        OwnerChanged { modelId: HASH, previous: WHO, next: WHO }.encode_log_data(),
    ];
    assert_eq!(events.len(), IModelsEvents::COUNT);
    check_events(tacit_abi::models::ADDRESS, source!("IModels"), &events);
}

#[test]
fn channels_with_their_amounts() {
    use IChannels::*;
    let signature = || Bytes::from_static(&[1; 65]);
    let calls = [
        openCall { worker: WHO, signer: WHO, salt: HASH }.abi_encode(),
        topUpCall { channelId: HASH }.abi_encode(),
        settleCall { channelId: HASH, cumulative: 5, signature: signature() }.abi_encode(),
        requestCloseCall { channelId: HASH }.abi_encode(),
        closeCall { channelId: HASH }.abi_encode(),
        closeByWorkerCall { channelId: HASH, cumulative: 5, signature: signature() }.abi_encode(),
        channelCall { channelId: HASH }.abi_encode(),
        channelIdCall { client: WHO, worker: WHO, signer: WHO, salt: HASH }.abi_encode(),
    ];
    assert_eq!(calls.len(), IChannelsCalls::COUNT);
    check_calls(tacit_abi::channels::ADDRESS, source!("IChannels"), &calls);
    let events = [
        Opened { channelId: HASH, client: WHO, worker: WHO, signer: WHO, deposit: 1 }.encode_log_data(),
        ToppedUp { channelId: HASH, amount: 1, deposit: 2 }.encode_log_data(),
        Settled { channelId: HASH, worker: WHO, paid: 1, cumulative: 2 }.encode_log_data(),
        CloseRequested { channelId: HASH, closeAt: 3 }.encode_log_data(),
        Closed { channelId: HASH, worker: WHO, paid: 1, refunded: 2 }.encode_log_data(),
    ];
    assert_eq!(events.len(), IChannelsEvents::COUNT);
    check_events(tacit_abi::channels::ADDRESS, source!("IChannels"), &events);

    let settle = call(tacit_abi::channels::ADDRESS, &calls[2]).unwrap();
    assert_eq!(
        (settle.arguments[1].kind, &settle.arguments[1].value),
        (Kind::Coins, &json!("0.000000000000000005"))
    );
    let long = format!("0x{}… (65 bytes)", "01".repeat(32));
    assert_eq!((settle.arguments[2].kind, &settle.arguments[2].value), (Kind::Bytes, &json!(long)));
    let asked = event(tacit_abi::channels::ADDRESS, events[3].topics(), &events[3].data).unwrap();
    assert_eq!(asked.arguments[1].kind, Kind::Time);
}

#[test]
fn receipts_and_proofs() {
    {
        use IReceipts::*;
        let calls = [
            anchorCall { root: HASH, count: 2 }.abi_encode(),
            anchorOfCall { root: HASH }.abi_encode(),
            includedCall { root: HASH, leaf: HASH, proof: vec![HASH; 40] }.abi_encode(),
        ];
        assert_eq!(calls.len(), IReceiptsCalls::COUNT);
        check_calls(tacit_abi::receipts::ADDRESS, source!("IReceipts"), &calls);
        let events = [Anchored { root: HASH, worker: WHO, count: 2 }.encode_log_data()];
        assert_eq!(events.len(), IReceiptsEvents::COUNT);
        check_events(tacit_abi::receipts::ADDRESS, source!("IReceipts"), &events);
        let included = call(tacit_abi::receipts::ADDRESS, &calls[2]).unwrap();
        let list = included.arguments[2].value.as_array().unwrap();
        assert_eq!((list.len(), &list[16]), (17, &json!("… and 24 more")));
    }
    use IProofs::*;
    let (inputs, outputs) = (vec![-1_i64, 2], vec![3_i32]);
    let proof = || Bytes::from_static(&[2; 9]);
    let calls = [
        storeCall { part: proof() }.abi_encode(),
        registerCall { parts: vec![HASH], weightRoot: HASH }.abi_encode(),
        isRegisteredCall { modelId: HASH }.abi_encode(),
        describeCall { modelId: HASH }.abi_encode(),
        graphCall { modelId: HASH }.abi_encode(),
        verificationGasCall { modelId: HASH, rows: 1, proofBytes: 2 }.abi_encode(),
        verifyCall { modelId: HASH, inputs: inputs.clone(), outputs: outputs.clone(), proof: proof() }
            .abi_encode(),
        answerCall { modelId: HASH, inputs, outputs, proof: proof() }.abi_encode(),
    ];
    assert_eq!(calls.len(), IProofsCalls::COUNT);
    check_calls(tacit_abi::proofs::ADDRESS, source!("IProofs"), &calls);
    let events = [
        Stored { part: HASH, length: 1 }.encode_log_data(),
        Registered { modelId: HASH, weightRoot: HASH, graphBytes: 1 }.encode_log_data(),
    ];
    assert_eq!(events.len(), IProofsEvents::COUNT);
    check_events(tacit_abi::proofs::ADDRESS, source!("IProofs"), &events);
}

#[test]
fn validators() {
    use IValidators::*;
    let bytes = || Bytes::from_static(&[3]);
    let calls = [
        joinCall { key: HASH, proof: bytes() }.abi_encode(),
        topUpCall {}.abi_encode(),
        leaveCall {}.abi_encode(),
        withdrawCall {}.abi_encode(),
        slashCall { key: HASH, evidence: bytes() }.abi_encode(),
        validatorCall { key: HASH }.abi_encode(),
        keyOfCall { owner: WHO }.abi_encode(),
        epochCall {}.abi_encode(),
        validatorSetCall { epoch: 1 }.abi_encode(),
        parametersCall {}.abi_encode(),
        namespaceCall {}.abi_encode(),
    ];
    assert_eq!(calls.len(), IValidatorsCalls::COUNT);
    check_calls(tacit_abi::validators::ADDRESS, source!("IValidators"), &calls);
    let events = [
        Joined { key: HASH, owner: WHO, stake: 1, fromEpoch: 2 }.encode_log_data(),
        ToppedUp { key: HASH, amount: 1, stake: 2, fromEpoch: 3 }.encode_log_data(),
        Left { key: HASH, owner: WHO, exitEpoch: 1, releaseAt: 2 }.encode_log_data(),
        Withdrawn { key: HASH, owner: WHO, amount: 1 }.encode_log_data(),
        Slashed { key: HASH, reporter: WHO, kind: 7, voteEpoch: 1, voteView: 2, burned: 3, reward: 4 }
            .encode_log_data(),
    ];
    assert_eq!(events.len(), IValidatorsEvents::COUNT);
    check_events(tacit_abi::validators::ADDRESS, source!("IValidators"), &events);
}

#[test]
fn stakes_and_asks_with_their_terms() {
    {
        use IStakes::*;
        let calls = [
            bondCall {}.abi_encode(),
            unbondCall { amount: 1 }.abi_encode(),
            withdrawCall {}.abi_encode(),
            stakeOfCall { worker: WHO }.abi_encode(),
        ];
        assert_eq!(calls.len(), IStakesCalls::COUNT);
        check_calls(tacit_abi::stakes::ADDRESS, source!("IStakes"), &calls);
        let events = [
            Bonded { worker: WHO, amount: 1, bonded: 2 }.encode_log_data(),
            Unbonding { worker: WHO, amount: 1, releaseAt: 2 }.encode_log_data(),
            Withdrawn { worker: WHO, amount: 1 }.encode_log_data(),
            Slashed { worker: WHO, reporter: WHO, burned: 1, reward: 2 }.encode_log_data(),
        ];
        assert_eq!(events.len(), IStakesEvents::COUNT);
        check_events(tacit_abi::stakes::ADDRESS, source!("IStakes"), &events);
    }
    use IAsks::*;
    let terms = Terms {
        privacy: 1,
        evidence: 3,
        price: 10_u128.pow(18),
        promptPrice: 0,
        completionPrice: 0,
        capacity: 4,
        validUntil: 5,
        sealingKey: HASH,
        endpoint: "http://worker\u{7}".to_owned(),
    };
    let calls = [
        setCall { modelId: HASH, terms }.abi_encode(),
        removeCall { modelId: HASH, privacy: 4, evidence: 9 }.abi_encode(),
        pruneCall { modelId: HASH, worker: WHO, privacy: 0, evidence: 0 }.abi_encode(),
        setTokensCall { keyHash: HASH, price: 1 }.abi_encode(),
        beatCall {}.abi_encode(),
        countCall { modelId: HASH }.abi_encode(),
        pageCall { modelId: HASH, from: 0, limit: 64 }.abi_encode(),
        askCall { modelId: HASH, worker: WHO, privacy: 0, evidence: 0 }.abi_encode(),
        tokensCall { worker: WHO }.abi_encode(),
        livenessOfCall { worker: WHO }.abi_encode(),
    ];
    assert_eq!(calls.len(), IAsksCalls::COUNT);
    check_calls(tacit_abi::asks::ADDRESS, source!("IAsks"), &calls);
    let events = [
        AskSet {
            modelId: HASH,
            worker: WHO,
            privacy: 1,
            evidence: 3,
            price: 1,
            promptPrice: 2,
            completionPrice: 3,
        }
        .encode_log_data(),
        AskRemoved { modelId: HASH, worker: WHO, privacy: 1, evidence: 3 }.encode_log_data(),
        TokensSet { worker: WHO, keyHash: HASH, price: 1 }.encode_log_data(),
    ];
    assert_eq!(events.len(), IAsksEvents::COUNT);
    check_events(tacit_abi::asks::ADDRESS, source!("IAsks"), &events);

    let set = call(tacit_abi::asks::ADDRESS, &calls[0]).unwrap();
    let terms: Vec<Argument> = serde_json::from_value(set.arguments[1].value.clone()).unwrap();
    let shown = |name: &str| {
        let found = terms.iter().find(|argument| argument.name == name).unwrap();
        (found.kind, found.value.as_str().unwrap().to_owned())
    };
    assert_eq!(shown("privacy"), (Kind::Mode, "sealed".to_owned()));
    assert_eq!(shown("evidence"), (Kind::Mode, "proved".to_owned()));
    assert_eq!(shown("price"), (Kind::Coins, "1".to_owned()));
    assert_eq!(shown("endpoint"), (Kind::Text, "http://worker".to_owned()));
    let remove = call(tacit_abi::asks::ADDRESS, &calls[1]).unwrap();
    assert_eq!((remove.arguments[2].kind, &remove.arguments[2].value), (Kind::Number, &json!("9")));
}

#[test]
fn audits() {
    use IAudits::*;
    let receipt = || Receipt {
        jobId: HASH,
        modelId: HASH,
        channelId: HASH,
        client: WHO,
        worker: WHO,
        privacy: 1,
        evidence: 1,
        inputCommitment: HASH,
        outputCommitment: HASH,
        evidenceHash: HASH,
        price: 1,
        cumulative: 2,
        completedAt: 3,
    };
    let signed = || SignedReceipt { receipt: receipt(), signature: Bytes::new(), evidenceSalt: HASH };
    let opening = || Opening { tiles: Bytes::new(), siblings: vec![HASH] };
    let bytes = || Bytes::from_static(&[4]);
    let calls = [
        registerWeightsCall { modelId: HASH, root: HASH }.abi_encode(),
        weightsOfCall { modelId: HASH }.abi_encode(),
        convictCall {
            signed: signed(),
            graph: bytes(),
            weightRoot: HASH,
            node: 1,
            element: 2,
            tile: bytes(),
            trace: opening(),
            weights: opening(),
        }
        .abi_encode(),
        challengeCall { signed: signed(), leaves: 1, top: HASH }.abi_encode(),
        revealCall { id: HASH, children: vec![HASH] }.abi_encode(),
        chooseCall { id: HASH, children: vec![HASH], child: 1 }.abi_encode(),
        revealTileCall { id: HASH, tile: bytes() }.abi_encode(),
        settleCall { id: HASH }.abi_encode(),
        coverCall { channelId: HASH, amount: 1 }.abi_encode(),
        coverOfCall { channelId: HASH, period: 1 }.abi_encode(),
        exposureOfCall { worker: WHO }.abi_encode(),
        passCall {
            receipt: receipt(),
            signature: bytes(),
            root: HASH,
            siblings: vec![HASH],
            verdict: SignedVerdict { auditor: WHO, own: HASH, signature: bytes() },
        }
        .abi_encode(),
        historyOfCall { worker: WHO }.abi_encode(),
        challengeOfCall { id: HASH }.abi_encode(),
        isConvictedCall { receipt: HASH }.abi_encode(),
    ];
    assert_eq!(calls.len(), IAuditsCalls::COUNT);
    check_calls(tacit_abi::audits::ADDRESS, source!("IAudits"), &calls);
    let events = [
        WeightsRegistered { modelId: HASH, root: HASH }.encode_log_data(),
        Challenged {
            id: HASH,
            receipt: HASH,
            worker: WHO,
            challenger: WHO,
            leaves: 1,
            top: HASH,
            deadline: 2,
        }
        .encode_log_data(),
        Revealed { id: HASH, children: vec![HASH], deadline: 1 }.encode_log_data(),
        Chosen { id: HASH, level: 1, index: 2, deadline: 3 }.encode_log_data(),
        TileRevealed { id: HASH, tile: bytes(), deadline: 1 }.encode_log_data(),
        Convicted { receipt: HASH, worker: WHO, reporter: WHO, taken: 1 }.encode_log_data(),
        Settled { id: HASH, winner: WHO }.encode_log_data(),
        Covered { channelId: HASH, worker: WHO, period: 1, amount: 2, covered: 3 }.encode_log_data(),
        Passed { receipt: HASH, worker: WHO, auditor: WHO }.encode_log_data(),
    ];
    assert_eq!(events.len(), IAuditsEvents::COUNT);
    check_events(tacit_abi::audits::ADDRESS, source!("IAudits"), &events);
}

#[test]
fn policies() {
    use IPolicies::*;
    let bytes = || Bytes::from_static(&[4]);
    let calls = [
        openCall { policy: bytes(), delay: 1, quorum: 2 }.abi_encode(),
        proposeCall { line: HASH, policy: bytes() }.abi_encode(),
        approveCall { proposal: HASH }.abi_encode(),
        takeBackCall { proposal: HASH }.abi_encode(),
        settleCall { proposal: HASH }.abi_encode(),
        lineOfCall { line: HASH }.abi_encode(),
        policyOfCall { policy: HASH }.abi_encode(),
        proposalOfCall { proposal: HASH }.abi_encode(),
        proposalIdCall { line: HASH, index: 1 }.abi_encode(),
        tallyOfCall { proposal: HASH }.abi_encode(),
    ];
    assert_eq!(calls.len(), IPoliciesCalls::COUNT);
    check_calls(tacit_abi::policies::ADDRESS, source!("IPolicies"), &calls);
    let events = [
        Opened { line: HASH, policy: HASH, delay: 1, quorum: 2 }.encode_log_data(),
        Proposed { proposal: HASH, line: HASH, policy: HASH, proposer: WHO, narrows: true, until: 1 }
            .encode_log_data(),
        Approved { proposal: HASH, key: HASH, approving: 1, total: 2 }.encode_log_data(),
        Accepted { proposal: HASH, until: 1 }.encode_log_data(),
        Objected { proposal: HASH, key: HASH, objecting: 1, total: 2 }.encode_log_data(),
        InForce { proposal: HASH, line: HASH, policy: HASH, version: 1 }.encode_log_data(),
        Closed { proposal: HASH, status: 4 }.encode_log_data(),
    ];
    assert_eq!(events.len(), IPoliciesEvents::COUNT);
    check_events(tacit_abi::policies::ADDRESS, source!("IPolicies"), &events);
}

#[test]
fn subnets() {
    use ISubnets::*;
    let terms = Terms {
        task: HASH,
        text: "digits: 450 held-out rows".to_owned(),
        kappa: 1,
        bondsPenalty: 2,
        bondsAverage: 3,
        rule: 0,
        alphaLow: 4,
        alphaHigh: 5,
        alphaSteepness: 6,
        quorum: 7,
        workersMax: 8,
        validatorsMax: 9,
        epochSeconds: 10,
        revealSeconds: 11,
        payout: 12,
        fee: 13,
        stakeMin: 14,
    };
    let (id, epoch) = (1, 2);
    let calls = [
        createCall { terms }.abi_encode(),
        depositCall { id }.abi_encode(),
        registerCall { id }.abi_encode(),
        resignCall { id }.abi_encode(),
        bondCall { id }.abi_encode(),
        unbondCall { id, amount: 1 }.abi_encode(),
        withdrawCall { id }.abi_encode(),
        commitCall { id, epoch, commitment: HASH }.abi_encode(),
        revealCall { id, epoch, salt: HASH, weights: vec![1, 2] }.abi_encode(),
        closeCall { id, epoch }.abi_encode(),
        claimCall {}.abi_encode(),
        countCall {}.abi_encode(),
        subnetCall { id }.abi_encode(),
        workersCall { id }.abi_encode(),
        validatorsCall { id }.abi_encode(),
        leavingOfCall { id, validator: WHO }.abi_encode(),
        creditOfCall { account: WHO }.abi_encode(),
    ];
    assert_eq!(calls.len(), ISubnetsCalls::COUNT);
    check_calls(tacit_abi::subnets::ADDRESS, source!("ISubnets"), &calls);
    let events = [
        Created { id, creator: WHO, task: HASH }.encode_log_data(),
        Deposited { id, from: WHO, amount: 1 }.encode_log_data(),
        Registered { id, worker: WHO, seat: 1 }.encode_log_data(),
        Resigned { id, worker: WHO, seat: 1 }.encode_log_data(),
        Bonded { id, validator: WHO, amount: 1, stake: 2 }.encode_log_data(),
        Unbonding { id, validator: WHO, amount: 1, releaseAt: 2 }.encode_log_data(),
        Withdrawn { id, validator: WHO, amount: 1 }.encode_log_data(),
        Committed { id, epoch, validator: WHO, commitment: HASH }.encode_log_data(),
        Revealed { id, epoch, validator: WHO, weights: vec![1] }.encode_log_data(),
        Closed { id, epoch, agreed: true, paid: 1 }.encode_log_data(),
        Claimed { account: WHO, amount: 1 }.encode_log_data(),
    ];
    assert_eq!(events.len(), ISubnetsEvents::COUNT);
    check_events(tacit_abi::subnets::ADDRESS, source!("ISubnets"), &events);
}

#[test]
fn beacons() {
    use IBeacons::*;
    let number = 7;
    let calls = [
        postCall { number, blockHash: HASH, signature: Bytes::new() }.abi_encode(),
        beaconOfCall { number }.abi_encode(),
    ];
    assert_eq!(calls.len(), IBeaconsCalls::COUNT);
    check_calls(tacit_abi::beacons::ADDRESS, source!("IBeacons"), &calls);
    let events = [Posted { number, beacon: HASH }.encode_log_data()];
    assert_eq!(events.len(), IBeaconsEvents::COUNT);
    check_events(tacit_abi::beacons::ADDRESS, source!("IBeacons"), &events);
}

#[test]
fn what_is_no_call_of_a_module_is_not_decoded() {
    let settle = IChannels::topUpCall { channelId: HASH }.abi_encode();
    assert_eq!(call(WHO, &settle), None);
    assert_eq!(call(tacit_abi::models::ADDRESS, &settle), None);
    for length in 0..settle.len() {
        assert_eq!(call(tacit_abi::channels::ADDRESS, &settle[..length]), None, "{length}");
    }
    assert_eq!(event(tacit_abi::channels::ADDRESS, &[], &[]), None);
    assert_eq!(event(tacit_abi::channels::ADDRESS, &[HASH], &[1]), None);
}
