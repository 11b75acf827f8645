//! Proofs that somebody else's signatures, hashes and tries made after the specification (`vectors/light/make.mjs`).

use alloy_primitives::{Address, B256, Bytes, FixedBytes, Log};
use serde_json::Value;
use tacit_light::{GroupKey, LightProof, Trust, ValidatorKey, VerifiedReceipt, verify};

fn field<T: core::str::FromStr<Err: core::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn proofs_made_elsewhere_mean_the_same() {
    let document: Value =
        serde_json::from_str(include_str!("../../../../vectors/light/proofs.json")).unwrap();
    let group = GroupKey::new(field::<FixedBytes<96>>(&document["group"])).unwrap();
    let validators = document["validators"].as_array().unwrap().iter();
    let validators = validators.map(|key| ValidatorKey::new(field(key)).unwrap());
    let trust = Trust::new(document["chain_id"].as_u64().unwrap(), field(&document["genesis"]))
        .with_group(group)
        .with_validators(field(&document["namespace"]), validators);
    let check = |name: &str| -> VerifiedReceipt {
        let bytes: Bytes = field(&document["proofs"][name]);
        let proof = LightProof::decode(&bytes).unwrap();
        assert_eq!(proof.encode(), bytes, "{name}");
        let verified = verify(&trust, &proof).unwrap();
        assert_eq!(verified.block_hash(), field::<B256>(&document["block"]["hash"]), "{name}");
        assert_eq!(verified.block_number(), document["block"]["number"].as_u64().unwrap());
        assert_eq!(verified.timestamp(), document["block"]["timestamp"].as_u64().unwrap());
        verified
    };
    let log = &document["log"];
    let topics = log["topics"].as_array().unwrap().iter().map(field).collect();
    let log = Log::new(field::<Address>(&log["address"]), topics, field(&log["data"])).unwrap();

    let seventeenth = check("threshold_17_named");
    assert_eq!(seventeenth.logs(), [log]);
    assert_eq!(seventeenth.transaction(), Some(field(&document["transaction_17"])));
    assert!(seventeenth.succeeded());
    let voted = check("votes_17");
    assert_eq!(voted.transaction(), None);
    assert_eq!(voted.logs(), seventeenth.logs());
    assert_eq!(check("threshold_of_child_0_named").cumulative_gas_used(), 21_000);
    let failed = check("votes_of_child_4");
    assert!(!failed.succeeded() && failed.logs().is_empty());
    assert_eq!(failed.cumulative_gas_used(), 105_000);
}
