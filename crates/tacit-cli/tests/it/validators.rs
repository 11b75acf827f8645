//! Validators as processes: killed at any time, started again, and their folders opened in other ways.

use super::roles::{Folder, Role};
use super::{ok, refused, tacit, text};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A validator's process. Dropping it is `kill -9`.
pub(crate) struct Validator {
    pub(crate) child: Child,
    ready: Value,
}

impl Validator {
    pub(crate) fn start(config: &str) -> Self {
        Self::start_all(&[config.to_owned()]).remove(0)
    }

    /// Together: each waits a moment for the others.
    pub(crate) fn start_all(configs: &[String]) -> Vec<Self> {
        let children: Vec<Child> = configs.iter().map(|config| Self::spawn(config)).collect();
        children.into_iter().map(Self::wait_ready).collect()
    }

    pub(crate) fn spawn(config: &str) -> Child {
        Self::spawn_with(config, &[])
    }

    pub(crate) fn spawn_with(config: &str, more: &[&str]) -> Child {
        let mut command = tacit();
        command.args(["--json", "node", "run", config]).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub(crate) fn wait_ready(child: Child) -> Self {
        let validator = Self::answering(child);
        wait("it has met the others", || validator.health().contains(r#""status":"ok""#));
        validator
    }

    /// It may be alone.
    pub(crate) fn answering(mut child: Child) -> Self {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["role"], "validator", "{line}");
        Self { child, ready }
    }

    pub(crate) fn health(&self) -> String {
        exchange(self.url(), "GET /health HTTP/1.1\r\n", "")
    }

    pub(crate) fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap()
    }

    pub(crate) fn height(&self) -> u64 {
        let number = post(self.url(), "eth_blockNumber", json!([]));
        u64::from_str_radix(number.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    pub(crate) fn block(&self, number: u64) -> Value {
        post(self.url(), "eth_getBlockByNumber", json!([format!("{number:#x}"), false]))
    }
}

impl Drop for Validator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request without a library: one connection, one answer.
pub(crate) fn post(url: &str, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let reply = exchange(url, &format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n", body.len()), &body);
    let answer: Value = serde_json::from_str(&reply[reply.find('{').unwrap()..]).unwrap();
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].clone()
}

pub(crate) fn exchange(url: &str, head: &str, body: &str) -> String {
    let authority = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    write!(stream, "{head}host: {authority}\r\nconnection: close\r\n\r\n{body}").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

pub(crate) fn wait(what: &str, done: impl FnMut() -> bool) {
    wait_for(what, Duration::from_secs(120), done);
}

pub(crate) fn wait_for(what: &str, most: Duration, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < most, "{what}: not in {most:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The first of eight free ports in a row, below those that the system gives to connections: one of those would be in the
/// way of a validator that is started again.
pub(crate) fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 2_000).unwrap();
    loop {
        let port = 10_240 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 2_600 * 8;
        if (port..port + 8).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return port;
        }
    }
}

/// Writes a network that begins with coins for `account`, or from a chain; gives the validators' files.
pub(crate) fn network(folder: &Folder, count: usize, more: &[&str]) -> (Value, Vec<String>) {
    let home = folder.path("network");
    let port = port();
    let (count, ports) = (count.to_string(), [port.to_string(), (port + 4).to_string()]);
    let arguments = ["node", "init-network", "--validators", &count, "--output", &home];
    let written = ok(&[&arguments[..], &["--port", &ports[0], "--rpc-port", &ports[1]], more].concat());
    let configs = written["validators"].as_array().unwrap().iter();
    let configs = configs.map(|validator| validator["config"].as_str().unwrap().to_owned()).collect();
    (written, configs)
}

pub(crate) const PAYEE: &str = "0x00000000000000000000000000000000000000aa";

/// One coin to the payee. A validator that has yet to hear of the payment before this one gives out its nonce again; whoever is told that
/// nothing was sent tries again, as the hint says.
pub(crate) fn pay(folder: &Folder, url: &str) {
    let key = folder.path("payer.key");
    let arguments = ["--json", "wallet", "send", &key, PAYEE, "1", "--ledger", url];
    let is_sent = || {
        let output = tacit().args(arguments).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success() || told["error"]["code"] == "displaced", "{told}");
        output.status.success()
    };
    assert!((0..4).any(|_| is_sent()), "displaced each time");
}

/// Coins of the payee, as this node sees it.
pub(crate) fn paid(url: &str) -> u128 {
    let balance = post(url, "eth_getBalance", json!([PAYEE, "latest"]));
    let wei = u128::from_str_radix(balance.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    wei / 10_u128.pow(18)
}

#[test]
fn validators_are_killed_in_turn_under_load_and_all_at_once_and_lose_nothing() {
    let folder = Folder::new();
    let (_, account) = folder.key("payer.key");
    let (written, configs) = network(&folder, 4, &["--fund", &account]);
    let mut validators: Vec<Validator> = Validator::start_all(&configs);
    let mut payments = 0;
    for round in 0..8 {
        let (victim, alive) = (round % 4, (round + 1) % 4);
        validators.remove(victim);
        pay(&folder, validators[alive % 3].url());
        payments += 1;
        std::thread::sleep(Duration::from_millis(37 * round as u64));
        validators.insert(victim, Validator::start(&configs[victim]));
    }
    pay(&folder, validators[3].url());
    payments += 1;
    wait("everybody has every payment", || validators.iter().all(|one| paid(one.url()) == payments));

    drop(validators);
    let validators: Vec<Validator> = Validator::start_all(&configs);
    pay(&folder, validators[0].url());
    wait("all are back", || validators.iter().all(|one| paid(one.url()) == payments + 1));
    let height = validators.iter().map(Validator::height).min().unwrap();
    assert_eq!(validators[0].block(0)["hash"], written["first_block_hash"]);
    for number in 0..=height {
        let block = validators[0].block(number);
        for one in &validators {
            assert_eq!(one.block(number), block, "block {number}");
        }
    }
    let health = validators[0].health();
    assert!(health.starts_with("HTTP/1.1 200") && health.contains(r#""status":"ok""#), "{health}");
    let metrics = exchange(validators[0].url(), "GET /metrics HTTP/1.1\r\n", "");
    assert!(metrics.contains("\ntacit_head_number ") && metrics.contains("\n# TYPE engine_"), "{metrics}");
}

#[test]
fn one_folder_is_opened_in_development_by_one_validator_and_by_many() {
    let folder = Folder::new();
    let (_, account) = folder.key("payer.key");
    let data = folder.path("dev");
    let dev = |fund: &[&str]| Role::start(&[&["node", "dev", "--data", &data], fund].concat());
    let ledger = dev(&["--fund", &account]);
    pay(&folder, ledger.url());
    drop(ledger);

    let (written, configs) = network(&folder, 1, &["--from", &data, "--stake-from", &account]);
    assert_eq!(written["first_block"], 2);
    let file = std::fs::read_to_string(&configs[0]).unwrap();
    std::fs::write(&configs[0], file.replace("data = \"data\"", &format!("data = {data:?}"))).unwrap();
    let validator = Validator::start(&configs[0]);
    pay(&folder, validator.url());
    assert_eq!(paid(validator.url()), 2);
    assert!(validator.block(1)["transactions"][0].is_string(), "blocks from before are served as well");
    drop(validator);

    // Four go on from the one, all from its exported state.
    let export = folder.path("state.json");
    assert_eq!(ok(&["node", "export", "--data", &data, "--output", &export])["chain_id"], 82_248);
    assert_eq!(refused(&["node", "export", "--data", &data, "--output", &export])["code"], "cannot_write");
    let many = Folder::new();
    let (_, others) = network(&many, 4, &["--from", &export, "--stake-from", &account]);
    let validators: Vec<Validator> = Validator::start_all(&others);
    pay(&folder, validators[2].url());
    wait("all have it", || validators.iter().all(|one| paid(one.url()) == 3));
    drop(validators);

    // The one validator's folder in development again, which its network does not take back.
    let ledger = dev(&[]);
    pay(&folder, ledger.url());
    assert_eq!(paid(ledger.url()), 3);
    drop(ledger);
    let error = refused(&["node", "run", &configs[0]]);
    assert!(error["message"].as_str().unwrap().contains("development"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("init-network --from"), "{error}");
}

#[test]
fn what_cannot_be_a_network_or_a_validator_is_told() {
    let folder = Folder::new();
    let home = folder.path("network");
    let init = |more: &[&str]| {
        let arguments = [&["--json", "node", "init-network", "--output", &home], more].concat();
        let output = tacit().args(arguments).output().unwrap();
        let error: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), error["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let usage = (Some(2), "bad_usage".to_owned());
    assert_eq!(init(&[]), usage, "nobody would have coins");
    assert_eq!(init(&["--validators", "0", "--dev-accounts"]), usage);
    assert_eq!(init(&["--validators", "2", "--dev-accounts", "--host", "10.0.0.1"]), usage);
    assert_eq!(init(&["--validators", "9", "--dev-accounts", "--port", "65530"]), usage);
    assert_eq!(init(&["--dev-accounts", "--stake-from", PAYEE]), usage, "nothing to go on from");
    assert_eq!(init(&["--fund", "me"]), (Some(2), "bad_address".to_owned()));
    assert_eq!(init(&["--from", &folder.path("nothing")]), (Some(1), "cannot_read".to_owned()));
    assert!(!folder.join("network").exists(), "what was refused has left nothing behind");

    let (_, configs) = network(&folder, 1, &["--dev-accounts"]);
    assert_eq!(init(&["--dev-accounts"]), (Some(1), "exists".to_owned()));
    assert_eq!(refused(&["node", "run", &folder.path("nothing")])["code"], "bad_config");
    let good = std::fs::read_to_string(&configs[0]).unwrap();
    std::fs::write(&configs[0], format!("{good}\nspeed = 9")).unwrap();
    let error = refused(&["node", "run", &configs[0]]);
    assert!(error["message"].as_str().unwrap().contains("speed"), "{error}");
    std::fs::write(&configs[0], &good).unwrap();

    // A first block of another genesis.
    let path = folder.join("network/genesis.jsonl");
    let genesis = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, genesis.replace("\"timestamp\":1", "\"timestamp\":2")).unwrap();
    assert_eq!(refused(&["node", "run", &configs[0]])["code"], "node");
    let poorer = genesis.replacen("\"balance\":\"0x", "\"balance\":\"0x1", 1);
    assert_ne!(poorer, genesis);
    std::fs::write(&path, poorer).unwrap();
    assert_eq!(refused(&["node", "run", &configs[0]])["code"], "node");
    std::fs::write(&path, genesis).unwrap();

    // One folder, two processes.
    let validator = Validator::start(&configs[0]);
    let data = folder.path("network/validator-1/data");
    let error = refused(&["node", "export", "--data", &data, "--output", &folder.path("out.json")]);
    assert!(error["hint"].as_str().unwrap().contains("stop"), "{error}");
    drop(validator);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = folder.join("network/validator-1/validator.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(refused(&["node", "run", &configs[0]])["code"], "bad_key");
    }
}

/// A disk that takes no more: the process may write no file beyond this many blocks of 512 bytes.
#[cfg(unix)]
#[test]
fn a_validator_whose_disk_is_full_ends_and_goes_on_when_there_is_room() {
    let folder = Folder::new();
    let (_, account) = folder.key("payer.key");
    let (_, configs) = network(&folder, 1, &["--fund", &account]);
    let validator = Validator::start(&configs[0]);
    let url = validator.url().to_owned();
    wait("it makes blocks", || validator.height() > 1);
    drop(validator);
    // As much as the index of a young chain takes, and a little more; tables of the archives take more than that.
    let data = folder.join("network/validator-1/data/chain.redb");
    let blocks = std::fs::metadata(&data).unwrap().len() / 512 + 1024;
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" --json node run \"$1\"");
    let mut full = std::process::Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_tacit"), &configs[0]])
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut paid_for = 0;
    let started = Instant::now();
    while full.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(120), "the disk never fills");
        let arguments = ["--json", "wallet", "send", &folder.path("payer.key"), PAYEE, "1", "--ledger", &url];
        if tacit().args(arguments).output().unwrap().status.success() {
            paid_for += 1;
        }
    }
    assert_eq!(full.wait().unwrap().code(), Some(1));
    let last = BufReader::new(full.stdout.take().unwrap()).lines().last().unwrap().unwrap();
    // Before it was ready, or afterwards: whichever file is the first to grow too large.
    let told = last.contains(r#""code":"halted""#) || last.contains("File too large");
    assert!(told, "{last}");

    let validator = Validator::start(&configs[0]);
    assert!(paid(validator.url()) >= paid_for, "what was acknowledged as mined is there");
    let before = validator.height();
    pay(&folder, validator.url());
    assert!(validator.height() > before);
}

#[test]
fn a_load_is_measured() {
    let arguments = ["--json", "bench", "ledger", "--validators", "0", "--validators", "1"];
    let output = tacit().args(arguments).args(["--transactions", "200", "--batch", "20"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    for line in &lines {
        assert_eq!((line["bench"].as_str(), line["transactions"].as_u64()), (Some("ledger"), Some(200)));
        assert!(
            line["node_cpu_us"].as_f64().unwrap() > 0.0 && line["blocks"].as_u64().unwrap() > 0,
            "{line}"
        );
    }
    assert_eq!(lines[0]["gas_per_transaction"], 21_000);
}

/// A fifth comes into a running network by its commands alone, becomes one of those who vote, and is needed once a founder is killed.
#[test]
fn a_fifth_joins_a_running_network_and_one_of_the_first_may_go() {
    let folder = Folder::new();
    let (_, account) = folder.key("payer.key");
    let (written, configs) = network(&folder, 4, &["--fund", &account, "--epoch-blocks", "24"]);
    let path = folder.join("network/network.toml");
    let file = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, file.replace("block_ms_max = 1000", "block_ms_max = 250")).unwrap();
    let mut validators: Vec<Validator> = Validator::start_all(&configs);
    let url = validators[1].url().to_owned();

    let (home, port) = (folder.path("fifth"), port());
    let (listen, rpc) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", port + 1));
    let network = folder.path("network/network.toml");
    let new = ["node", "new-validator", "--network", &network, "--output", &home, "--rpc", &rpc];
    let unreachable = tacit().arg("--json").args(new).output().unwrap();
    assert_eq!(unreachable.status.code(), Some(2), "{}", text(&unreachable));
    std::fs::remove_dir_all(&home).unwrap();
    let made = ok(&[&new[..], &["--listen", &listen]].concat());
    let key = made["key"].as_str().unwrap().to_owned();
    let (key_file, owner) = (folder.path("fifth/validator.key"), folder.path("payer.key"));
    let join = ["node", "join", "--key", &key_file, "--owner", &owner, "--ledger", &url, "--stake"];
    let error = refused(&[&join[..], &["99"]].concat());
    assert!(error["message"].as_str().unwrap().contains("100"), "{error}");
    let joined = ok(&[&join[..], &["100"]].concat());
    assert_eq!(joined["key"], key.as_str());
    let from = joined["from_epoch"].as_u64().unwrap();
    validators.push(Validator::start(made["config"].as_str().unwrap()));

    let voters = || -> Vec<String> {
        let shown = ok(&["node", "validators", "--ledger", &url]);
        assert_eq!((shown["epoch_blocks"].as_u64(), shown["seats"].as_u64()), (Some(24), Some(6)));
        let keys = shown["sets"][0]["validators"].as_array().unwrap().iter();
        keys.map(|seat| seat["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(voters().len(), 4);
    wait("its epoch has come", || validators.iter().all(|one| one.height() > from * 24 + 8));
    assert!(voters().contains(&key));
    // Four of five have to vote from now on: the fifth is one of them.
    validators.remove(0);
    let height = validators[3].height();
    wait("blocks without the first", || validators.iter().all(|one| one.height() > height + 24));

    let paid = ok(&["wallet", "send", &owner, PAYEE, "1", "--ledger", validators[3].url()]);
    let transaction: alloy_primitives::B256 = paid["transaction"].as_str().unwrap().parse().unwrap();
    let group = tacit_validator::NetworkFile::load(&path).unwrap().group.key();
    let genesis = written["first_block_hash"].as_str().unwrap().parse().unwrap();
    let trust = tacit_light::Trust::new(82_249, genesis).with_group(group);
    // Until the group has signed, votes are given.
    wait("the group's signature under the key of the beginning", || {
        let proof = post(validators[3].url(), "tacit_getReceiptProof", json!([transaction]));
        let Some(proof) = proof.as_str() else { return false };
        let bytes: alloy_primitives::Bytes = proof.parse().unwrap();
        let verified = tacit_light::verify(&trust, &tacit_light::LightProof::decode(&bytes).unwrap());
        verified.is_ok_and(|verified| verified.transaction() == Some(transaction))
    });

    let founder = folder.path("network/validator-1/owner.key");
    let left = ok(&["node", "leave", "--owner", &founder, "--ledger", &url]);
    assert!(left["exit_epoch"].as_u64().unwrap() > from);
    let error = refused(&["node", "withdraw", "--owner", &founder, "--ledger", &url]);
    assert!(error["message"].as_str().unwrap().contains("epoch"), "{error}");
}
