//! Validators that begin with the state instead of the first block, as processes.

use super::followers::Setting;
use super::roles::Folder;
use super::validators::{Validator, network, paid, pay, port, post, wait};
use super::{ok, refused};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EPOCH: u64 = 32;

/// A new validator's file in a folder of its own, and its public key.
fn fifth(folder: &Folder, name: &str) -> (String, String) {
    let (home, port) = (folder.path(name), port());
    let (listen, rpc) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", port + 1));
    let network = folder.path("network/network.toml");
    let new = ["node", "new-validator", "--network", &network, "--output", &home, "--rpc", &rpc];
    let made = ok(&[&new[..], &["--listen", &listen]].concat());
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("config"), text("key"))
}

/// The state in a data folder, as an export has it; where in the chain it is left out.
fn state(folder: &Folder, name: &str) -> Vec<String> {
    let file = folder.path(&format!("{}.jsonl", name.replace('/', "-")));
    ok(&["node", "export", "--data", &folder.path(name), "-o", &file]);
    // The first line says where, the others have accounts and slots.
    let state: Vec<String> =
        std::fs::read_to_string(file).unwrap().lines().skip(1).map(str::to_owned).collect();
    assert!(state.len() > 5);
    state
}

/// It is killed at many moments of its beginning, under load; then it joins, votes, and is needed once a founder is gone. A founder that
/// loses its disk comes back the same way.
#[test]
fn a_fifth_begins_with_the_state_under_load_through_kills_and_votes() {
    let folder = Folder::new();
    let (_, account) = folder.key("payer.key");
    let (_, rich) = folder.key("owner.key");
    let epoch = EPOCH.to_string();
    let more = ["--fund", &account, "--fund", &rich, "--epoch-blocks", &epoch, "--checkpoint-blocks", "8"];
    let (_, configs) = network(&folder, 4, &more);
    let path = folder.join("network/network.toml");
    let file = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, file.replace("block_ms_max = 1000", "block_ms_max = 250")).unwrap();
    let mut validators: Vec<Validator> = Validator::start_all(&configs);
    let urls: Vec<String> = validators.iter().map(|one| one.url().to_owned()).collect();
    let done = AtomicBool::new(false);
    let load = || {
        let mut payments = 0;
        while !done.load(Ordering::Relaxed) {
            pay(&folder, &urls[1]);
            payments += 1;
        }
        payments
    };
    let story = || {
        wait("an epoch", || validators[0].height() > EPOCH);
        let (config, key) = fifth(&folder, "fifth");
        let (key_file, owner) = (folder.path("fifth/validator.key"), folder.path("owner.key"));
        let join = ["node", "join", "--key", &key_file, "--owner", &owner, "--ledger", &urls[1]];
        let joined = ok(&[&join[..], &["--stake", "100"]].concat());
        assert_eq!(joined["key"], key.as_str());
        let from = joined["from_epoch"].as_u64().unwrap();
        let begin = ["--from-checkpoint", &urls[2], "--from-checkpoint", &urls[1]];
        for millis in [50, 150, 300, 500, 800, 1_200, 1_700, 2_300] {
            let mut child = Validator::spawn_with(&config, &begin);
            std::thread::sleep(Duration::from_millis(millis));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let joined = Validator::answering(Validator::spawn_with(&config, &begin));
        // While state is on its way, and when it is there; without the option.
        std::thread::sleep(Duration::from_millis(500));
        drop(joined);
        let joined = Validator::answering(Validator::spawn_with(&config, &[]));
        wait("its epoch", || joined.height() > from * EPOCH && validators[1].height() > from * EPOCH + 8);
        assert!(post(joined.url(), "eth_getBlockByNumber", json!(["0x1", false])).is_null());
        // Four of five have to vote from now on.
        drop(validators.remove(0));
        let height = joined.height();
        wait("blocks without the first", || joined.height() > height + EPOCH);

        // The first comes back without its memory. It waits for an epoch that it has not voted in; then another may go.
        std::fs::remove_dir_all(folder.join("network/validator-1/data")).unwrap();
        let lost = refused(&["node", "run", &configs[0]]);
        assert_eq!(lost["code"], "votes_elsewhere");
        assert!(lost["hint"].as_str().unwrap().contains("--from-checkpoint"), "{lost}");
        assert!(!folder.join("network/validator-1/data").exists(), "nothing is written");
        let back = Validator::spawn_with(&configs[0], &["--from-checkpoint", &urls[2]]);
        validators.insert(0, Validator::wait_ready(back));
        let two_epochs = (validators[1].height() / EPOCH + 2) * EPOCH;
        wait("an epoch that it was there for", || validators[0].height() > two_epochs);
        drop(validators.remove(3));
        let height = validators[0].height();
        wait("blocks without the fourth", || validators[0].height() > height + EPOCH);
        validators.push(joined);
        validators
    };
    let (payments, validators) = std::thread::scope(|scope| {
        let load = scope.spawn(load);
        let validators = story();
        done.store(true, Ordering::Relaxed);
        (load.join().unwrap(), validators)
    });
    wait("everybody has every payment", || validators.iter().all(|one| paid(one.url()) == payments));
    let height = validators.iter().map(Validator::height).min().unwrap();
    for number in height - 40..=height {
        let block = validators[1].block(number);
        for one in &validators {
            assert_eq!(one.block(number), block, "block {number}");
        }
    }
    drop(validators);
    let expected = state(&folder, "network/validator-2/data");
    assert!(state(&folder, "fifth/data") == expected, "the fifth has another state");
    assert!(state(&folder, "network/validator-1/data") == expected, "the first has another state");
}

#[test]
fn where_a_validator_cannot_begin_is_told() {
    let folder = Folder::new();
    let (_, configs) = network(&folder, 1, &["--dev-accounts", "--checkpoint-blocks", "4"]);
    let validator = Validator::start(&configs[0]);
    let url = validator.url().to_owned();
    let (config, _) = fifth(&folder, "fifth");
    let begin = |source: &str| refused(&["node", "run", &config, "--from-checkpoint", source]);
    assert_eq!(begin("http://127.0.0.1:1")["code"], "no_checkpoint");
    let error = begin("nowhere");
    assert!(error["hint"].as_str().unwrap().contains("--from-checkpoint"), "{error}");
    assert!(!folder.join("fifth/data/chain.redb").exists());

    // A validator of another network.
    let other = Folder::new();
    network(&other, 1, &["--dev-accounts"]);
    let (astray, _) = fifth(&other, "astray");
    wait("there is a checkpoint", || validator.height() > 10);
    let error = refused(&["node", "run", &astray, "--from-checkpoint", &url]);
    assert_eq!(error["code"], "no_checkpoint");

    // A follower has no votes to serve.
    let follower = Setting::new(&folder, "follower", &[&url], false).start();
    let error = begin(follower.url());
    assert!(error["message"].as_str().unwrap().contains("ask a validator"), "{error}");
    // What was brought there is gone on with.
    let fifth = Validator::answering(Validator::spawn_with(&config, &["--from-checkpoint", &url]));
    assert!(fifth.height() > 4);
}
