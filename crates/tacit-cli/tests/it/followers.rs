//! Followers as processes: by replay and by checkpoint, under load, killed at any time, one of another.

use super::roles::Folder;
use super::validators::{PAYEE, Validator, exchange, network, paid, pay, port, post, wait};
use super::{ok, refused, tacit};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a follower is started with.
pub(crate) struct Setting {
    network: String,
    data: String,
    rpc: String,
    sources: Vec<String>,
    checkpoint: bool,
}

impl Setting {
    pub(crate) fn new(folder: &Folder, name: &str, sources: &[&str], checkpoint: bool) -> Self {
        Self {
            network: folder.path("network/network.toml"),
            data: folder.path(name),
            rpc: format!("127.0.0.1:{}", port()),
            sources: sources.iter().map(|source| (*source).to_owned()).collect(),
            checkpoint,
        }
    }

    fn words(&self) -> Vec<&str> {
        let words = ["node", "follow", "--network", &self.network, "--data", &self.data, "--rpc", &self.rpc];
        let checkpoint = self.checkpoint.then_some("--from-checkpoint");
        words.into_iter().chain(checkpoint).chain(self.sources.iter().map(String::as_str)).collect()
    }

    fn spawn(&self) -> Child {
        let mut command = tacit();
        command.arg("--json").args(self.words());
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Kills it after a while, wherever it is by then.
    fn interrupted_after(&self, millis: u64) {
        let mut child = self.spawn();
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn start(&self) -> Running {
        let mut child = self.spawn();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["role"], "follower", "{line}");
        Running { child, ready }
    }
}

/// A follower's process. Dropping it is `kill -9`.
pub(crate) struct Running {
    child: Child,
    ready: Value,
}

impl Running {
    pub(crate) fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap()
    }

    fn height(&self) -> u64 {
        height(self.url())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn height(url: &str) -> u64 {
    let number = post(url, "eth_blockNumber", json!([]));
    u64::from_str_radix(number.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn followers_keep_up_under_load_through_kills_and_hold_the_validators_state() {
    let folder = Folder::new();
    let (_, account) = folder.key("payer.key");
    let (_, friend) = folder.key("friend.key");
    let (_, configs) =
        network(&folder, 4, &["--fund", &account, "--fund", &friend, "--checkpoint-blocks", "8"]);
    let validators = Validator::start_all(&configs);
    let [first, second] = [0, 1].map(|index: usize| validators[index].url().to_owned());
    let done = AtomicBool::new(false);
    let load = || {
        let mut payments = 0;
        while !done.load(Ordering::Relaxed) {
            pay(&folder, &first);
            payments += 1;
        }
        payments
    };
    let story = || {
        wait("some blocks", || validators[0].height() >= 24);
        let mut replaying = Setting::new(&folder, "replaying", &[&first], false);
        let mut begun = Setting::new(&folder, "begun", &[&second], true);
        // Each other, too: the validators will be gone.
        replaying.sources.push(format!("http://{}", begun.rpc));
        begun.sources.push(format!("http://{}", replaying.rpc));
        for millis in [150, 400, 700] {
            replaying.interrupted_after(millis);
        }
        for millis in [60, 120, 240, 480] {
            begun.interrupted_after(millis);
        }
        let one = replaying.start();
        let other = begun.start();
        for follower in [&one, &other] {
            let target = validators[1].height();
            wait("it has what the validators have", || follower.height() >= target);
            assert_eq!(post(follower.url(), "eth_syncing", json!([])), json!(false));
            let health = exchange(follower.url(), "GET /health HTTP/1.1\r\n", "");
            assert!(health.contains(r#""status":"ok""#), "{health}");
        }
        assert!(post(other.url(), "eth_getBlockByNumber", json!(["0x1", false])).is_null());
        // One that follows followers, and what is sent to it.
        let last = Setting::new(&folder, "last", &[one.url(), other.url()], true);
        let last = last.start();
        let sent = ok(&["wallet", "send", &folder.path("friend.key"), PAYEE, "1", "--ledger", last.url()]);
        let transaction = sent["transaction"].as_str().unwrap().to_owned();
        // In the middle of following.
        drop(one);
        drop(other);
        std::thread::sleep(Duration::from_millis(500));
        let (one, other) = (replaying.start(), begun.start());
        wait("there is a proof", || {
            post(last.url(), "tacit_getReceiptProof", json!([transaction])).is_string()
        });
        let proof = folder.path("proof");
        ok(&["receipt", "prove", &transaction, "--ledger", last.url(), "-o", &proof]);
        let verified =
            ok(&["receipt", "verify", "--light", &proof, "--network", &folder.path("network/network.toml")]);
        assert_eq!((&verified["transaction"], &verified["succeeded"]), (&json!(transaction), &json!(true)));
        (one, other, last)
    };
    let (payments, followers) = std::thread::scope(|scope| {
        let load = scope.spawn(load);
        let followers = story();
        done.store(true, Ordering::Relaxed);
        (load.join().unwrap(), followers)
    });
    let (one, other, last) = followers;
    let all = [&one, &other, &last];
    wait("everybody has every payment", || all.iter().all(|follower| paid(follower.url()) == payments + 1));
    let blocks = validators[2].height();
    wait("all have these blocks", || all.iter().all(|follower| follower.height() >= blocks));
    for follower in all {
        let block = post(follower.url(), "eth_getBlockByNumber", json!([format!("{blocks:#x}"), true]));
        let expected = post(&first, "eth_getBlockByNumber", json!([format!("{blocks:#x}"), true]));
        assert_eq!(block, expected);
    }
    drop(validators);
    // Nobody is left to make blocks: in a moment all have the same ones, and the very same state.
    let newest = || all.iter().map(|follower| follower.height()).collect::<Vec<_>>();
    wait("all have the same blocks", || newest().windows(2).all(|pair| pair[0] == pair[1]));
    drop((one, other, last));
    let states = ["replaying", "begun", "last"].map(|name| {
        let file = folder.path(&format!("{name}.json"));
        ok(&["node", "export", "--data", &folder.path(name), "-o", &file]);
        std::fs::read(file).unwrap()
    });
    assert!(states[0] == states[1], "by replay and by checkpoint");
    assert!(states[0] == states[2], "by a follower's checkpoint");
}

#[test]
fn what_cannot_be_followed_is_told() {
    let folder = Folder::new();
    let (_, configs) = network(&folder, 1, &["--dev-accounts"]);
    let validator = Validator::start(&configs[0]);
    let url = validator.url();
    // Its first checkpoint is some minutes away.
    let young = Setting::new(&folder, "young", &[url], true);
    let error = refused(&young.words());
    assert_eq!(error["code"], "no_checkpoint");
    assert!(error["message"].as_str().unwrap().contains("no certified checkpoint yet"), "{error}");
    assert!(!folder.join("young/chain.redb").exists());
    let nobody = Setting::new(&folder, "nobody", &["http://127.0.0.1:1"], true);
    assert_eq!(refused(&nobody.words())["code"], "no_checkpoint");
    let unknown = Setting { network: folder.path("nothing"), ..Setting::new(&folder, "none", &[url], false) };
    assert_eq!(refused(&unknown.words())["code"], "bad_config");

    // A validator of another network with the same accounts convinces nobody.
    let other = Folder::new();
    network(&other, 1, &["--dev-accounts"]);
    let astray = Setting::new(&other, "astray", &[url], false).start();
    wait("there are blocks", || height(url) > 2);
    assert_eq!((astray.height(), &astray.ready["caught_up"]), (0, &json!(false)));
    drop(astray);

    // A folder of another network.
    let strange = Setting::new(&other, "strange", &[url], false);
    drop(Setting { network: folder.path("network/network.toml"), ..strange }.start());
    let error = refused(&Setting::new(&other, "strange", &[url], false).words());
    assert!(error["hint"].as_str().unwrap().contains("another chain"), "{error}");

    // Snapshots that are switched off.
    let quiet = Setting::new(&folder, "quiet", &[url, "--snapshots", "0"], false).start();
    let answer = exchange(quiet.url(), "GET /snapshot HTTP/1.1\r\n", "");
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("serves no snapshots"), "{answer}");
}
