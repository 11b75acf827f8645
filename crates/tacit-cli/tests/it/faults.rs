//! Validators as processes, and what their networks and their colleagues do to them.

use super::roles::Folder;
use super::validators::{Validator, exchange, network, paid, pay, post, wait};
use super::{ok, refused};
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_sol_types::SolCall;
use commonware_codec::DecodeExt;
use commonware_cryptography::{Signer, ed25519::PrivateKey};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};
use tacit_abi::{IValidators, validators};

/// The way to one validator, through a process of ours.
struct Door {
    /// Where the validator listens, and where others think that it does.
    target: String,
    dial: String,
    keys: Vec<[u8; 32]>,
    /// Who may come in.
    open: Mutex<Vec<bool>>,
    /// What came in, and from whom.
    streams: Mutex<Vec<(usize, TcpStream)>>,
}

impl Door {
    fn before(target: String, keys: Vec<[u8; 32]>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dial = listener.local_addr().unwrap().to_string();
        let (open, streams) = (Mutex::new(vec![true; keys.len()]), Mutex::default());
        let door = Arc::new(Self { target, dial, keys, open, streams });
        let shared = Arc::clone(&door);
        std::thread::spawn(move || {
            for dialled in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.admit(dialled));
            }
        });
        door
    }

    /// A dialler first says who it is: 32, then its key.
    fn admit(&self, mut dialled: TcpStream) -> Option<()> {
        let mut prelude = [0; 33];
        dialled.read_exact(&mut prelude).ok()?;
        let from = self.keys.iter().position(|key| *key == prelude[1..])?;
        let mut reached = TcpStream::connect(&self.target).ok()?;
        {
            let open = self.open.lock().unwrap();
            if !open[from] {
                return None;
            }
            let mut streams = self.streams.lock().unwrap();
            streams.extend([(from, clone(&dialled)), (from, clone(&reached))]);
        }
        reached.write_all(&prelude).ok()?;
        for (mut from, mut to) in [(clone(&dialled), clone(&reached)), (reached, dialled)] {
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        Some(())
    }

    fn admits(&self, from: usize, whether: bool) {
        self.open.lock().unwrap()[from] = whether;
        if !whether {
            let mut streams = self.streams.lock().unwrap();
            for (_, stream) in streams.extract_if(.., |(of, _)| *of == from) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().unwrap()
}

/// A door before each validator.
struct Doors(Vec<Arc<Door>>);

impl Doors {
    /// Puts doors' addresses into the network's file, in place of the validators'.
    fn hang(folder: &Folder) -> Self {
        let path = folder.join("network/network.toml");
        let mut file = fs::read_to_string(&path).unwrap();
        let values = |name: &str| -> Vec<String> {
            let values = file.lines().filter_map(|line| line.strip_prefix(name)?.strip_suffix('"'));
            values.map(str::to_owned).collect()
        };
        let keys = values("key = \"");
        let keys: Vec<[u8; 32]> = keys.iter().map(|key| hex::decode_to_array(key).unwrap()).collect();
        let mut doors = Vec::new();
        for address in values("address = \"") {
            let door = Door::before(address, keys.clone());
            file = file.replace(&door.target, &door.dial);
            doors.push(door);
        }
        fs::write(path, file).unwrap();
        Self(doors)
    }

    /// Only those reach each other for whom this holds.
    fn connect(&self, joined: impl Fn(usize, usize) -> bool) {
        for (to, door) in self.0.iter().enumerate() {
            for from in (0..self.0.len()).filter(|from| *from != to) {
                door.admits(from, joined(from, to));
            }
        }
    }
}

fn heights(validators: &[Validator]) -> Vec<u64> {
    validators.iter().map(Validator::height).collect()
}

/// What stays as it is for as long as several views take. What was under way may come first.
fn still<T: PartialEq>(read: impl Fn() -> T) -> T {
    let mut seen = (read(), Instant::now());
    wait("nothing moves any more", || {
        let now = read();
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        seen.1.elapsed() > Duration::from_secs(5)
    });
    seen.0
}

#[test]
fn a_network_cut_in_two_halts_or_goes_on_and_heals() {
    let folder = Folder::new();
    let (_, account) = folder.key("payer.key");
    let (_, configs) = network(&folder, 4, &["--fund", &account]);
    let doors = Doors::hang(&folder);
    let validators = Validator::start_all(&configs);
    pay(&folder, validators[0].url());

    doors.connect(|a, b| (a < 2) == (b < 2));
    let halted = still(|| heights(&validators));
    doors.connect(|_, _| true);
    let highest = halted.into_iter().max().unwrap();
    wait("two halves go on together", || heights(&validators).iter().all(|height| *height > highest + 2));
    pay(&folder, validators[3].url());

    doors.connect(|a, b| a != 3 && b != 3);
    let alone = still(|| validators[3].height());
    pay(&folder, validators[1].url());
    wait("three go on", || validators[..3].iter().all(|one| one.height() > alone + 3));
    assert_eq!(validators[3].height(), alone, "one alone made progress");
    doors.connect(|_, _| true);
    wait("the fourth has what it missed", || validators.iter().all(|one| paid(one.url()) == 3));
    pay(&folder, validators[3].url());
    let height = heights(&validators).into_iter().min().unwrap();
    for number in 0..=height {
        let block = validators[0].block(number);
        assert!(validators.iter().all(|one| one.block(number) == block), "block {number}");
    }
}

/// Two notarizations of one view, as a key signs them that runs twice.
fn two_votes(folder: &Folder, validator: &str) -> (B256, Bytes) {
    let genesis = tacit_node::read_genesis(&folder.join("network/genesis.jsonl")).unwrap();
    let namespace = genesis.namespace().unwrap();
    let key = fs::read_to_string(folder.join(&format!("network/{validator}/validator.key"))).unwrap();
    let key =
        PrivateKey::decode(alloy_primitives::bytes::Bytes::from(hex::decode(key.trim()).unwrap())).unwrap();
    let suffixed = [namespace.as_slice(), b"_NOTARIZE"].concat();
    let vote = |digest: u8| {
        let message = [&[0, 5, 4][..], &[digest; 32]].concat();
        [&message[..], &[0], key.sign(&suffixed, &message).as_ref()].concat()
    };
    (B256::from_slice(key.public_key().as_ref()), [vec![7], vote(1), vote(2)].concat().into())
}

fn standing(url: &str, key: B256) -> IValidators::Validator {
    let data = Bytes::from(IValidators::validatorCall { key }.abi_encode());
    let answer = post(url, "eth_call", json!([{ "to": validators::ADDRESS, "data": data }, "latest"]));
    let bytes: Bytes = answer.as_str().unwrap().parse().unwrap();
    IValidators::validatorCall::abi_decode_returns(&bytes).unwrap()
}

fn balance(url: &str, address: Address) -> U256 {
    post(url, "eth_getBalance", json!([address, "latest"])).as_str().unwrap().parse().unwrap()
}

fn write_evidence(path: &Path, key: B256, evidence: &Bytes) {
    let call = Bytes::from(IValidators::slashCall { key, evidence: evidence.clone() }.abi_encode());
    let file = json!({"key": key, "kind": 7, "epoch": 0, "view": 5, "evidence": evidence, "call": call});
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file.to_string()).unwrap();
}

#[test]
fn a_key_that_voted_twice_loses_its_stake_to_whoever_kept_the_votes() {
    let folder = Folder::new();
    let (payer, account) = folder.key("payer.key");
    let (_, configs) = network(&folder, 4, &["--fund", &account]);
    let validators = Validator::start_all(&configs);
    let url = validators[0].url();
    let (key, evidence) = two_votes(&folder, "validator-4");
    assert_eq!(standing(url, key).status, 1);
    assert_eq!(balance(url, validators::BURNED), U256::ZERO);

    // What a validator keeps, it reports, whenever it finds it in its folder; so do two at once.
    for validator in ["validator-1", "validator-2"] {
        let path = folder.join(&format!("network/{validator}/data/evidence/votes.json"));
        write_evidence(&path, key, &evidence);
    }
    wait("the key is barred", || standing(url, key).status == 4);
    let coin = U256::from(10_u64.pow(18));
    assert_eq!(standing(url, key).stake, 0);
    assert_eq!(balance(url, validators::BURNED), U256::from(95) * coin);
    wait("everybody has it", || validators.iter().all(|one| standing(one.url(), key).status == 4));

    // By hand: late for that key, in time for another; what shows nothing is told.
    let path = folder.join("network/validator-1/data/evidence/votes.json");
    let report =
        |path: &Path| ok(&["node", "report", path.to_str().unwrap(), "--from", &payer, "--ledger", url]);
    let late = report(&path);
    assert!(late["barred"] == true && late["transaction"].is_null(), "{late}");
    let (key, evidence) = two_votes(&folder, "validator-3");
    let path = folder.join("votes.json");
    write_evidence(&path, key, &evidence);
    let first = report(&path);
    assert!(first["barred"] == true && first["block"].is_u64(), "{first}");
    assert_eq!(balance(url, validators::BURNED), U256::from(190) * coin);
    let mut forged = evidence.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let (other, _) = two_votes(&folder, "validator-2");
    write_evidence(&path, other, &forged.into());
    let arguments = ["node", "report", path.to_str().unwrap(), "--from", &payer, "--ledger", url];
    assert_eq!(refused(&arguments)["code"], "ledger_refused");
    write_evidence(&path, other, &Bytes::from_static(&[7]));
    assert_eq!(refused(&arguments)["code"], "bad_evidence");

    let metrics = exchange(url, "GET /metrics HTTP/1.1\r\n", "");
    assert!(metrics.contains("\ntacit_evidence_found 0\n"), "{metrics}");
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A validator's folder copied to a second machine, and started there while the first one runs. Some of the others hear the one and some
/// the other, so that nobody gets both votes from whoever signed them: one is in a certificate.
#[test]
fn a_key_on_two_machines_is_caught() {
    let folder = Folder::new();
    let (_, account) = folder.key("payer.key");
    let (_, mut configs) = network(&folder, 4, &["--fund", &account]);
    let (home, copy) = (folder.join("network/validator-4"), folder.join("network/validator-5"));
    fs::create_dir(&copy).unwrap();
    for file in ["validator.toml", "validator.key", "validator.share", "reporter.key"] {
        fs::copy(home.join(file), copy.join(file)).unwrap();
    }
    let config = copy.join("validator.toml");
    let ports = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let text = fs::read_to_string(&config).unwrap();
    let lines = text.lines().map(|line| match line.split(' ').next() {
        Some("network") => "network = \"../network-5.toml\"".to_owned(),
        Some("listen") => format!("listen = \"127.0.0.1:{0}\"\naddress = \"127.0.0.1:{0}\"", ports[0]),
        Some("rpc") => format!("rpc = \"127.0.0.1:{}\"", ports[1]),
        _ => line.to_owned(),
    });
    fs::write(&config, lines.collect::<Vec<_>>().join("\n")).unwrap();
    configs.push(config.to_str().unwrap().to_owned());
    // The first two and the original reach each other, and the third and the copy do: who has one connection of a key takes no other.
    let doors = Doors::hang(&folder);
    doors.connect(|from, to| !matches!((from, to), (3, 2) | (2, 3)));
    let mut file = fs::read_to_string(folder.join("network/network.toml")).unwrap();
    for (index, door) in doors.0.iter().enumerate() {
        file = file.replace(&door.dial, if index == 2 { &door.target } else { "127.0.0.1:1" });
    }
    fs::write(folder.join("network/network-5.toml"), file).unwrap();

    let validators = Validator::start_all(&configs[..3]);
    let url = validators[0].url();
    let (key, _) = two_votes(&folder, "validator-4");
    let twins = [3, 4].map(|twin| Killed(Validator::spawn(&configs[twin])));
    wait("the key is barred", || standing(url, key).status == 4);
    drop(twins);
    assert_eq!(standing(url, key).stake, 0);
    assert_eq!(balance(url, validators::BURNED), U256::from(95) * U256::from(10_u64.pow(18)));
    let kept = ["validator-1", "validator-2", "validator-3"].map(|name| {
        fs::read_dir(folder.join(&format!("network/{name}/data/evidence"))).map_or(0, Iterator::count)
    });
    assert!(kept.iter().any(|files| *files > 0), "{kept:?}");
    pay(&folder, url);
}

/// Writes the number of the format that a folder is in.
fn set_format(file: &Path, format: u32) {
    const META: redb::TableDefinition<'static, &str, &[u8]> = redb::TableDefinition::new("meta");
    let database = redb::Database::open(file).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", format.to_be_bytes().as_slice()).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_folder_of_another_version_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let (_, account) = folder.key("payer.key");
    let (_, configs) = network(&folder, 1, &["--fund", &account]);
    let validator = Validator::start(&configs[0]);
    pay(&folder, validator.url());
    drop(validator);
    let data = folder.path("network/validator-1/data");
    let (file, export) = (Path::new(&data).join("chain.redb"), folder.path("state.json"));
    let consensus = |folder: &Path| -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push((path.display().to_string(), fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    };
    let before = consensus(&Path::new(&data).join("consensus"));
    assert!(!before.is_empty());
    let current = tacit_node::store::FORMAT_VERSION;
    for format in [current - 1, current + 1, u32::MAX] {
        set_format(&file, format);
        for arguments in [
            &["node", "run", &configs[0]][..],
            &["node", "export", "--data", &data, "--output", &export],
            &["node", "dev", "--data", &data, "--listen", "127.0.0.1:0"],
        ] {
            let error = refused(arguments);
            assert_eq!(error["code"], "node", "{error}");
            assert!(error["message"].as_str().unwrap().contains(&format.to_string()), "{error}");
            let hint = error["hint"].as_str().unwrap();
            assert!(hint.contains("tacit node export") && hint.contains("init-network --from"), "{hint}");
        }
        assert!(!Path::new(&export).exists());
        assert_eq!(consensus(&Path::new(&data).join("consensus")), before, "format {format}");
    }
    set_format(&file, current);
    let validator = Validator::start(&configs[0]);
    assert_eq!(paid(validator.url()), 1);
    pay(&folder, validator.url());
}

/// Thirty times `kill -9`, whoever it hits, while payments go on: what was acknowledged is in a block, everywhere.
#[test]
fn validators_are_killed_at_random_and_lose_nothing() {
    let folder = Folder::new();
    let (payer, account) = folder.key("payer.key");
    let (_, configs) = network(&folder, 4, &["--fund", &account]);
    let mut validators = Validator::start_all(&configs);
    let urls: Vec<String> = validators.iter().map(|one| one.url().to_owned()).collect();
    let before = balance(&urls[0], account.parse().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let paying = std::thread::spawn({
        let (stop, urls) = (Arc::clone(&stop), urls.clone());
        move || {
            // A validator that is a block behind tells an old nonce, and the same payment again is one transaction.
            let (mut acknowledged, mut asked) = (std::collections::BTreeSet::new(), 0_u128);
            while !stop.load(Ordering::SeqCst) {
                let url = &urls[usize::try_from(asked % 4).unwrap()];
                let sent =
                    ["--json", "wallet", "send", &payer, super::validators::PAYEE, "1", "--ledger", url];
                let output = super::tacit().args(sent).output().unwrap();
                if output.status.success() {
                    let mined: Value = serde_json::from_slice(&output.stdout).unwrap();
                    acknowledged.insert(mined["transaction"].as_str().unwrap().to_owned());
                }
                asked += 1;
            }
            (u128::try_from(acknowledged.len()).unwrap(), asked)
        }
    });
    // Not a good source of chance, but one that a failure names.
    let mut chance = UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    println!("chance {chance}");
    for _ in 0..30 {
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let victim = usize::try_from(chance >> 16).unwrap() % 4;
        drop(validators.remove(victim));
        validators.insert(victim, Validator::start(&configs[victim]));
        std::thread::sleep(Duration::from_millis(u64::from(chance >> 24)));
    }
    stop.store(true, Ordering::SeqCst);
    let (acknowledged, asked) = paying.join().unwrap();
    assert!(acknowledged > 0, "of {asked} payments none was acknowledged");
    pay(&folder, &urls[0]);
    let received = paid(&urls[0]);
    assert!(received > acknowledged && received <= asked + 1, "{received} of {acknowledged} to {asked}");
    wait("everybody has every payment", || urls.iter().all(|url| paid(url) == received));
    let after = balance(&urls[0], account.parse().unwrap());
    assert!(before - after >= U256::from(received) * U256::from(10_u64.pow(18)));
    let height = heights(&validators).into_iter().min().unwrap();
    for number in 0..=height {
        let block = validators[0].block(number);
        assert!(validators.iter().all(|one| one.block(number) == block), "block {number}");
    }
}
