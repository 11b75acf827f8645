use super::*;
use serde_json::Value;

/// What the library writes, and the key and namespace of it.
fn vectors() -> (B256, B256, Vec<Bytes>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/validators/evidence.json");
    let vectors: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let hash = |name: &str| vectors[name].as_str().unwrap().parse().unwrap();
    let cases = vectors["evidence"].as_array().unwrap().iter();
    let cases = cases.map(|case| case["evidence"].as_str().unwrap().parse().unwrap());
    (hash("namespace"), hash("key"), cases.collect())
}

fn fault(evidence: &Bytes) -> Fault {
    let (namespace, key, _) = vectors();
    Evidence::decode(evidence).unwrap().check(namespace, key).unwrap()
}

#[test]
fn what_is_found_is_kept_once_and_read_back() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("evidence");
    let (_, key, cases) = vectors();
    let (found, counters, keeper) = EvidenceBox::open(folder.clone()).unwrap();
    // Three kinds for each of three rounds: the first of a round is enough.
    for evidence in &cases {
        found.report(key, fault(evidence), evidence.0.clone());
    }
    drop(found);
    keeper.join().unwrap();
    let names = names(&folder).unwrap();
    assert_eq!(names.len(), 3);
    for (name, evidence) in names.iter().zip([&cases[0], &cases[6], &cases[3]]) {
        let saved = SavedEvidence::load(&folder.join(name)).unwrap();
        let again = SavedEvidence::new(key, fault(&saved.evidence), saved.evidence.clone());
        assert_eq!(again, saved);
        assert!(name.starts_with(&alloy_primitives::hex::encode(key)), "{name}");
        let call = IValidators::slashCall::abi_decode(&saved.call).unwrap();
        assert_eq!((call.key, &call.evidence), (key, &saved.evidence));
        assert!(cases.contains(evidence));
    }
    let text = counters.text();
    assert!(
        text.contains("\ntacit_evidence_found 9\n") && text.contains("\ntacit_evidence_kept 3\n"),
        "{text}"
    );
    // Found again after a restart.
    let saved = SavedEvidence::load(&folder.join(&names[0])).unwrap();
    assert!(!saved.save(&folder).unwrap());
}

#[test]
fn files_are_bounded_for_each_key_and_in_all() {
    let home = tempfile::tempdir().unwrap();
    let (_, _, cases) = vectors();
    let mut saved = SavedEvidence::new(B256::ZERO, fault(&cases[0]), cases[0].clone());
    for view in 0..10 {
        saved.view = view;
        assert_eq!(saved.save(home.path()).unwrap(), view < 4, "{view}");
    }
    for key in 1..=255 {
        saved.key = B256::with_last_byte(key);
        assert_eq!(saved.save(home.path()).unwrap(), key <= 252, "{key}");
    }
}

#[test]
fn what_comes_too_fast_is_counted() {
    let (_, key, cases) = vectors();
    let (queue, waiting) = sync_channel(1);
    let found = EvidenceBox { queue, counters: Arc::default() };
    for _ in 0..3 {
        found.report(key, fault(&cases[0]), cases[0].0.clone());
    }
    let text = EvidenceCounters(Arc::clone(&found.counters)).text();
    assert!(
        text.contains("\ntacit_evidence_found 3\n") && text.contains("\ntacit_evidence_lost 2\n"),
        "{text}"
    );
    drop(waiting);
}

#[test]
fn what_is_no_evidence_is_told() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file.json");
    assert!(matches!(SavedEvidence::load(&path), Err(EvidenceFileError::Read { .. })));
    let load = |text: &str| {
        fs::write(&path, text).unwrap();
        SavedEvidence::load(&path).unwrap_err()
    };
    assert!(matches!(load(&" ".repeat(5_000)), EvidenceFileError::Size { .. }));
    assert!(matches!(load("{}"), EvidenceFileError::Malformed { .. }));
    let (_, key, cases) = vectors();
    let good = SavedEvidence::new(key, fault(&cases[0]), cases[0].clone());
    let cut = SavedEvidence { evidence: good.evidence.slice(..good.evidence.len() - 1), ..good.clone() };
    let cut = load(&serde_json::to_string(&cut).unwrap());
    assert!(matches!(cut, EvidenceFileError::Votes { source: EvidenceError::Truncated, .. }), "{cut}");
    fs::write(&path, serde_json::to_string(&good).unwrap()).unwrap();
    assert_eq!(SavedEvidence::load(&path).unwrap(), good);
}
