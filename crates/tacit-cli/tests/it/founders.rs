//! Strangers found a network: processes that share nothing but a plan.

use super::roles::Folder;
use super::validators::{PAYEE, Validator, paid, port, post, wait};
use super::{ok, refused, tacit, text};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Stdio};

/// What a founder has.
struct Founder {
    home: String,
    config: String,
    told: Value,
}

impl Founder {
    fn new(folder: &Folder, name: &str, port: u16) -> Self {
        let (home, listen) = (folder.path(name), format!("127.0.0.1:{port}"));
        let rpc = format!("127.0.0.1:{}", port + 4);
        let told = ok(&["node", "new-validator", "--output", &home, "--listen", &listen, "--rpc", &rpc]);
        let config = told["config"].as_str().unwrap().to_owned();
        Self { home, config, told }
    }

    fn member(&self) -> &str {
        self.told["member"].as_str().unwrap()
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.home)
    }

    /// Brings the plan.
    fn give(&self, plan: &str) {
        for name in ["plan.toml", "genesis.jsonl"] {
            std::fs::copy(format!("{plan}/{name}"), self.file(name)).unwrap();
        }
    }

    fn ceremony(&self, wait_s: u32) -> Child {
        let wait_s = wait_s.to_string();
        let arguments = ["--json", "node", "ceremony", &self.config, "--wait", &wait_s];
        tacit().args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// What a ceremony told, which succeeded.
fn told(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn founders(folder: &Folder, count: u16) -> Vec<Founder> {
    let port = port();
    (0..count).map(|i| Founder::new(folder, &format!("founder-{}", i + 1), port + i)).collect()
}

/// Writes the plan of a network of these.
fn plan(folder: &Folder, founders: &[Founder], more: &[&str]) -> Value {
    let home = folder.path("plan");
    let mut arguments = vec!["node", "init-network", "--output", &home];
    for founder in founders {
        arguments.extend(["--member", founder.member()]);
    }
    arguments.extend(more);
    let written = ok(&arguments);
    for founder in founders {
        founder.give(&home);
    }
    written
}

/// One of them is killed while the key is made. Nobody ever has the whole of it, and the network that begins is everybody's the same.
#[test]
fn strangers_found_a_network_and_one_is_killed_on_the_way() {
    let folder = Folder::new();
    let (_, account) = folder.key("payer.key");
    let founders = founders(&folder, 4);
    let written = plan(&folder, &founders, &["--fund", &account]);
    assert_eq!(written["founders"].as_array().unwrap().len(), 4);
    assert!(!folder.join("plan/network.toml").exists() && !folder.join("plan/validator-1").exists());

    let error = refused(&["node", "run", &founders[0].config]);
    assert!(error["hint"].as_str().unwrap().contains("tacit node ceremony"), "{error}");

    let mut ceremonies: Vec<Child> = founders.iter().map(|founder| founder.ceremony(60)).collect();
    let chain = founders[2].file("data/ceremony/ceremony-chain-simplex");
    wait("it deals", || Path::new(&chain).exists());
    let mut victim = ceremonies.remove(2);
    victim.kill().unwrap();
    victim.wait().unwrap();
    ceremonies.insert(2, founders[2].ceremony(60));
    let results: Vec<Value> = ceremonies.into_iter().map(told).collect();
    let network = std::fs::read_to_string(founders[0].file("network.toml")).unwrap();
    for (founder, result) in founders.iter().zip(&results) {
        assert_eq!(std::fs::read_to_string(founder.file("network.toml")).unwrap(), network);
        assert_eq!(result["first_block_hash"], results[0]["first_block_hash"]);
        assert_eq!(result["unsigned"], json!([]));
    }
    assert_eq!(network.matches("\nsignature = ").count(), 4);
    let shares: Vec<String> = founders
        .iter()
        .filter_map(|founder| std::fs::read_to_string(founder.file("validator.share")).ok())
        .collect();
    assert!(shares.len() >= 3, "{} shares", shares.len());
    assert!((1..shares.len()).all(|i| shares[i] != shares[i - 1]));

    let configs: Vec<String> = founders.iter().map(|founder| founder.config.clone()).collect();
    let validators = Validator::start_all(&configs);
    let url = validators[0].url();
    let sent = ok(&["wallet", "send", &folder.path("payer.key"), PAYEE, "1", "--ledger", url]);
    wait("all have it", || validators.iter().all(|one| paid(one.url()) == 1));
    assert_eq!(validators[0].block(0)["hash"], results[0]["first_block_hash"]);
    // They have stake, of their own.
    let sets = ok(&["node", "validators", "--ledger", url]);
    let seats = sets["sets"][0]["validators"].as_array().unwrap();
    assert_eq!(seats.len(), 4);
    for founder in &founders {
        let own = seats.iter().find(|seat| seat["key"] == founder.told["key"]).unwrap();
        assert_eq!(
            own["owner"].as_str().unwrap().to_lowercase(),
            founder.told["owner"].as_str().unwrap().to_lowercase()
        );
    }
    let left = ok(&["node", "leave", "--owner", &founders[3].file("owner.key"), "--ledger", url]);
    assert_eq!(left["exit_epoch"], 4);

    // The key that they made signs for those who have the file and no node.
    let (transaction, file) = (sent["transaction"].as_str().unwrap(), folder.path("proof"));
    wait("a certificate", || post(url, "tacit_getReceiptProof", json!([transaction])).is_string());
    ok(&["receipt", "prove", transaction, "--ledger", url, "-o", &file]);
    drop(validators);
    let known = founders[1].file("network.toml");
    let verified = ok(&["receipt", "verify", "--light", &file, "--network", &known]);
    assert_eq!(verified["transaction"], transaction);

    // A file with another rule, a signature of somebody else's, or too few of them is none that they agreed on.
    let forged = |from: &str, to: &str| {
        let other = network.replacen(from, to, 1);
        assert_ne!(other, network);
        std::fs::write(&known, other).unwrap();
        let error = refused(&["receipt", "verify", "--light", &file, "--network", &known]);
        assert_eq!(error["code"], "bad_config");
        error["message"].as_str().unwrap().to_owned()
    };
    assert!(forged("checkpoint_blocks = 256", "checkpoint_blocks = 128").contains("signature"));
    let signatures: Vec<&str> = network.lines().filter(|line| line.starts_with("signature")).collect();
    assert!(forged(signatures[0], signatures[1]).contains("signature"));
    let unsigned = signatures[..2].iter().fold(network.clone(), |text, line| text.replace(line, ""));
    std::fs::write(&known, unsigned).unwrap();
    let error = refused(&["node", "run", &founders[1].config]);
    assert!(error["message"].as_str().unwrap().contains("2 of 4 founders have signed"), "{error}");
    std::fs::write(&known, &network).unwrap();
    let error = refused(&["node", "ceremony", &founders[1].config]);
    assert_eq!(error["code"], "exists");

    // Somebody else's share.
    std::fs::copy(founders[0].file("validator.share"), founders[1].file("validator.share")).unwrap();
    let error = refused(&["node", "run", &founders[1].config]);
    assert!(error["message"].as_str().unwrap().contains("share is not this validator's"), "{error}");
}

/// Two of four are not enough; they are told whom they wait for. Three are, and the fourth goes on without a share.
#[test]
fn a_ceremony_waits_and_says_for_whom() {
    let folder = Folder::new();
    let founders = founders(&folder, 4);
    plan(&folder, &founders, &["--dev-accounts"]);
    for ceremony in [founders[0].ceremony(2), founders[1].ceremony(2)] {
        let output = ceremony.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let error: Value = serde_json::from_slice(&output.stdout).unwrap();
        let error = &error["error"];
        assert_eq!(error["code"], "founders_missing");
        for missing in &founders[2..] {
            assert!(
                error["message"].as_str().unwrap().contains(missing.told["key"].as_str().unwrap()),
                "{error}"
            );
        }
    }
    let ceremonies: Vec<Child> = founders[..3].iter().map(|founder| founder.ceremony(5)).collect();
    let results: Vec<Value> = ceremonies.into_iter().map(told).collect();
    let absent = &founders[3].told["key"];
    for result in &results {
        assert_eq!((&result["revealed"], &result["unsigned"]), (&json!([absent]), &json!([absent])));
    }
    // It takes the file from another, and votes: with one of the three away, each block needs it.
    std::fs::copy(founders[0].file("network.toml"), founders[3].file("network.toml")).unwrap();
    let configs: Vec<String> = founders[1..].iter().map(|founder| founder.config.clone()).collect();
    let validators = Validator::start_all(&configs);
    wait("blocks are made", || validators.iter().all(|one| one.height() > 1));
}

#[test]
fn what_cannot_be_a_founder_is_told() {
    let folder = Folder::new();
    let founders = founders(&folder, 2);
    let member = founders[0].member().to_owned();
    let home = folder.path("plan");
    let init = |members: &[&str]| {
        let mut arguments = vec!["--json", "node", "init-network", "--dev-accounts", "--output", &home];
        for member in members {
            arguments.extend(["--member", member]);
        }
        let output = tacit().args(arguments).output().unwrap();
        let error: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), error["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(init(&["me@127.0.0.1:1"]), (Some(2), "bad_usage".to_owned()));
    assert_eq!(init(&[member.split_once(':').unwrap().0]), (Some(2), "bad_usage".to_owned()));
    assert_eq!(init(&[&member, &member]), (Some(1), "bad_genesis".to_owned()), "a member twice");
    let second = founders[1].member();
    let owner = |member: &str| member.split([':', '@']).nth(1).unwrap().to_owned();
    let same_owner = second.replace(&owner(second), &owner(&member));
    assert_ne!(same_owner, second);
    assert_eq!(init(&[&member, &same_owner]), (Some(1), "bad_genesis".to_owned()), "an owner twice");
    assert!(!folder.join("plan").exists(), "what was refused has left nothing behind");
    let arguments = ["--json", "node", "new-validator", "--output", &folder.path("nowhere")];
    let output = tacit().args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "nobody could reach it: {}", text(&output));

    let error = refused(&["node", "ceremony", &founders[0].config]);
    assert!(error["message"].as_str().unwrap().contains("no plan"), "{error}");
    plan(&folder, &founders[..1], &["--dev-accounts"]);
    founders[1].give(&home);
    assert_eq!(refused(&["node", "ceremony", &founders[1].config])["code"], "not_a_founder");
    assert_eq!(init(&[&member]), (Some(1), "exists".to_owned()));
    // A genesis of other founders.
    let genesis = std::fs::read_to_string(founders[0].file("genesis.jsonl")).unwrap();
    let key = founders[0].told["key"].as_str().unwrap();
    let other = genesis.replace(key, founders[1].told["key"].as_str().unwrap());
    assert_ne!(other, genesis);
    std::fs::write(founders[0].file("genesis.jsonl"), other).unwrap();
    assert_eq!(refused(&["node", "ceremony", &founders[0].config])["code"], "bad_config");
    std::fs::write(founders[0].file("genesis.jsonl"), genesis).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(founders[0].file("validator.key"), mode).unwrap();
        };
        mode(0o644);
        assert_eq!(refused(&["node", "ceremony", &founders[0].config])["code"], "bad_key");
        mode(0o600);
    }
    // A share that is somebody else's is not written over.
    std::fs::copy(founders[1].file("validator.key"), founders[0].file("validator.share")).unwrap();
    assert_eq!(refused(&["node", "ceremony", &founders[0].config])["code"], "bad_key");
    std::fs::remove_file(founders[0].file("validator.share")).unwrap();
    // Alone, it has the whole key, as it has all votes.
    assert!(told(founders[0].ceremony(5))["share"].is_string());
    let validator = Validator::start(&founders[0].config);
    wait("it makes blocks", || validator.height() > 1);
}
