//! What the machines of others hold of an encrypted question: nothing. Their memory, their files and their logs are searched.
//!
//! The searcher is shown to find: the same one finds the row in the gateway, which holds it, and a sealed row in the worker, which has to read it.

use super::roles::{Folder, Role};
use super::{ok, tacit};
use alloy_primitives::{B256, hex};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tacit_graph::{ModelFile, RawValue};

/// Bytes that would give something away, and what they are.
struct Pattern {
    what: &'static str,
    bytes: Vec<u8>,
}

/// Finds any of many patterns.
struct Searcher {
    patterns: Vec<Pattern>,
    /// By their first four bytes.
    starts: HashMap<[u8; 4], Vec<usize>>,
    /// Whether any starts with four bytes of this hash.
    likely: Vec<bool>,
    longest: usize,
}

const HASH_BITS: u32 = 20;

fn hash(start: [u8; 4]) -> usize {
    (u32::from_le_bytes(start).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

impl Searcher {
    fn new(patterns: Vec<Pattern>) -> Self {
        let mut starts: HashMap<[u8; 4], Vec<usize>> = HashMap::new();
        let mut likely = vec![false; 1 << HASH_BITS];
        for (index, pattern) in patterns.iter().enumerate() {
            assert!(pattern.bytes.len() >= 8, "{} is too short to mean anything", pattern.what);
            let start = *pattern.bytes.first_chunk().unwrap();
            starts.entry(start).or_default().push(index);
            likely[hash(start)] = true;
        }
        let longest = patterns.iter().map(|pattern| pattern.bytes.len()).max().unwrap();
        Self { patterns, starts, likely, longest }
    }

    /// What of the patterns is in these bytes.
    fn search(&self, bytes: &[u8], found: &mut BTreeSet<&'static str>) {
        // Most of what an allocator has reserved was never written; a fold over a page is quicker than looking for the first byte.
        if bytes.chunks(4096).all(|page| page.iter().fold(0, |any, byte| any | byte) == 0) {
            return;
        }
        for (at, start) in bytes.windows(4).enumerate() {
            let Some(start) = start.first_chunk().filter(|start| self.likely[hash(**start)]) else {
                continue;
            };
            for index in self.starts.get(start).into_iter().flatten() {
                let Pattern { what, bytes: pattern } = &self.patterns[*index];
                if bytes[at..].starts_with(pattern) {
                    found.insert(what);
                }
            }
        }
    }

    /// Every readable page of a process.
    fn search_memory(&self, pid: u32) -> BTreeSet<&'static str> {
        const CHUNK: usize = 1 << 18;
        let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let (mut found, mut read) = (BTreeSet::new(), 0_usize);
        let mut buffer = vec![0; CHUNK + self.longest];
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (range, rights) = (words.next().unwrap(), words.next().unwrap());
            if !rights.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vsyscall]") {
                continue;
            }
            let (from, to) = range.split_once('-').unwrap();
            let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
            let mut at = from;
            while at < to {
                // Chunks overlap, so that nothing is cut in two.
                let length = buffer.len().min(usize::try_from(to - at).unwrap());
                match memory.read_at(&mut buffer[..length], at) {
                    Ok(0) => break,
                    Ok(count) => {
                        self.search(&buffer[..count], &mut found);
                        read += count;
                        if count <= self.longest {
                            break;
                        }
                        at += u64::try_from(count.min(CHUNK)).unwrap();
                    }
                    // A page that went away, or a device's.
                    Err(_) => at += 4096,
                }
            }
        }
        assert!(read > 4 << 20, "only {read} bytes of process {pid} could be read");
        found
    }

    /// Every file under a folder.
    fn search_files(&self, path: &Path) -> BTreeSet<&'static str> {
        let mut found = BTreeSet::new();
        if path.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                found.extend(self.search_files(&entry.unwrap().path()));
            }
        } else {
            self.search(&std::fs::read(path).unwrap(), &mut found);
        }
        found
    }
}

/// A row whose numbers are nobody else's.
struct Row {
    values: Vec<f64>,
    raw: Vec<i64>,
    encoded: Vec<i16>,
}

impl Row {
    /// 24 random bits after the point in each value: two of them together are met nowhere by chance.
    fn new(model: &ModelFile, seed: u64) -> Self {
        let graph = model.model.graph();
        let mut random = StdRng::seed_from_u64(seed);
        let mut value = || f64::from(random.random_range(-(100 << 24)..100 << 24)) / f64::from(1 << 24);
        let values: Vec<f64> = graph.features.iter().map(|_| value()).collect();
        let raw: Vec<i64> =
            values.iter().map(|value| RawValue::from_f64(*value).map(RawValue::get).unwrap()).collect();
        let encoded = graph.encode_input(&raw).unwrap();
        Self { values, raw, encoded }
    }

    fn write(&self, path: &str) {
        std::fs::write(path, json!({"shape": [self.values.len()], "data": self.values}).to_string()).unwrap();
    }

    /// Every form in which a program of this project holds a row.
    fn patterns(&self) -> Vec<Pattern> {
        let raw = self.raw.windows(2).map(|pair| Pattern {
            what: "raw values",
            bytes: pair.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        let encoded = self.encoded.windows(8).map(|run| Pattern {
            what: "encoded values",
            bytes: run.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        let wide = self.encoded.windows(8).map(|run| Pattern {
            what: "encoded values as words",
            bytes: run.iter().flat_map(|value| i32::from(*value).to_le_bytes()).collect(),
        });
        let floats =
            self.values.iter().map(|value| Pattern { what: "floats", bytes: value.to_le_bytes().to_vec() });
        let text = |what, text: String| Pattern { what, bytes: text.into_bytes() };
        let decimals = self.values.iter().map(|value| text("decimal text", json!(value).to_string()));
        let integers =
            self.raw.windows(2).map(|pair| text("text of raw values", format!("{},{}", pair[0], pair[1])));
        raw.chain(encoded).chain(wide).chain(floats).chain(decimals).chain(integers).collect()
    }
}

/// What a saved receipt says that only the client knows: the random bytes of its query, and what the answer decrypts to.
fn secrets(receipt: &Value) -> Vec<Pattern> {
    let seed: B256 = serde_json::from_value(receipt["encrypted"]["question"]["seed"].clone()).unwrap();
    let logits: Vec<i32> = serde_json::from_value(receipt["output"].clone()).unwrap();
    let run = |run: &[i32]| Pattern {
        what: "outputs",
        bytes: run.iter().flat_map(|logit| logit.to_le_bytes()).collect(),
    };
    let texts: Vec<String> = logits.iter().map(ToString::to_string).collect();
    let mut patterns = vec![
        Pattern { what: "secret of the query", bytes: seed.to_vec() },
        Pattern { what: "secret of the query as text", bytes: hex::encode(seed).into_bytes() },
        Pattern { what: "text of outputs", bytes: texts.join(",").into_bytes() },
    ];
    patterns.extend(logits.windows(4).map(run));
    if let Ok(seed) = serde_json::from_value::<B256>(receipt["encrypted"]["keys"]["seed"].clone()) {
        patterns.push(Pattern { what: "secret of the keys", bytes: seed.to_vec() });
        patterns.push(Pattern { what: "secret of the keys as text", bytes: hex::encode(seed).into_bytes() });
    }
    patterns
}

fn with(mut patterns: Vec<Pattern>, more: Vec<Pattern>) -> Searcher {
    patterns.extend(more);
    Searcher::new(patterns)
}

#[test]
fn nothing_of_an_encrypted_question_is_found_in_the_worker_or_the_ledger() {
    search_others(&[64, 10], 8);
}

/// The same of a network, asked under keys that live on.
#[cfg(feature = "pbs")]
#[test]
fn nothing_of_a_question_under_long_lived_keys_is_found_either() {
    search_others(&[64, 8, 10], 3);
}

/// Asks a model of these widths, more often while others' memory is searched.
fn search_others(widths: &[u32], more: usize) {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name);
    let [(worker_key, worker_account), (client_key, client_account)] =
        ["worker.key", "client.key"].map(|name| folder.key(name));
    let linear = folder.model("linear", widths);
    let model = ModelFile::decode(&std::fs::read(&linear).unwrap()).unwrap();
    if widths.len() > 2 {
        // Other rows, so that the one searched for has not been anywhere.
        let rows = vec![vec![1; widths[0] as usize]; 2];
        let held_out = path("rows.json");
        std::fs::write(&held_out, json!({"rows": rows, "labels": []}).to_string()).unwrap();
        ok(&["model", "measure", &linear, "--held-out", &held_out]);
    }
    let start = |words: &[&str], role: &str| Role::start_logged(words, &folder.join(&format!("{role}.log")));
    let data = ["ledger", "worker", "gateway"].map(path);
    let ledger = start(
        &["node", "dev", "--fund", &worker_account, "--fund", &client_account, "--data", &data[0]],
        "ledger",
    );
    let served = format!("{linear}=0.0002");
    let worker = ["worker", "--ledger", ledger.url(), "--model", &served, "--key", &worker_key];
    let worker = start(&[worker.as_slice(), &["--data", &data[1]]].concat(), "worker");
    let gateway = ["gateway", "--ledger", ledger.url(), "--key", &client_key, "--data", &data[2]];
    let gateway = start(&gateway, "gateway");
    let ask = |file: &str, privacy: &str| -> Vec<String> {
        let words = ["ask", "linear", "--input", file, "--privacy", privacy, "--gateway", gateway.url()];
        words.iter().map(|&word| word.to_owned()).collect()
    };
    let run = |arguments: &[String]| ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>());

    let [hidden, sealed] = [1, 2].map(|seed| Row::new(&model, seed));
    let [hidden_file, sealed_file, saved] = ["hidden.json", "sealed.json", "receipt.json"].map(path);
    hidden.write(&hidden_file);
    sealed.write(&sealed_file);
    let answer = run(&ask(&hidden_file, "encrypted"));
    let expected = ok(&["run", &linear, "--input", &hidden_file])["answers"][0]["label"].clone();
    if answer.get("approximate").is_none() {
        assert_eq!(answer["label"], expected);
    }
    let receipt = answer["receipt"].as_str().unwrap();
    ok(&["receipt", "show", receipt, "--with-keys", "-o", &saved, "--gateway", gateway.url()]);
    let bundle: Value = serde_json::from_slice(&std::fs::read(&saved).unwrap()).unwrap();
    let own = with(hidden.patterns(), secrets(&bundle));

    // Right after the answer, and while more of the same row are computed.
    for role in [&worker, &ledger] {
        assert_eq!(own.search_memory(role.pid()), BTreeSet::new());
    }
    let asking = {
        let words = ask(&hidden_file, "encrypted");
        std::thread::spawn(move || (0..more).all(|_| tacit().args(&words).output().unwrap().status.success()))
    };
    let mut rounds = 0;
    while !asking.is_finished() || rounds == 0 {
        assert_eq!(own.search_memory(worker.pid()), BTreeSet::new(), "while it computes");
        rounds += 1;
    }
    assert!(asking.join().unwrap());
    assert_eq!(own.search_memory(ledger.pid()), BTreeSet::new());
    for role in ["ledger", "worker"] {
        assert_eq!(own.search_files(&folder.join(role)), BTreeSet::new(), "files of the {role}");
        let log = folder.join(&format!("{role}.log"));
        assert!(std::fs::metadata(&log).unwrap().len() > 1_000, "the {role} says nothing");
        assert_eq!(own.search_files(&log), BTreeSet::new(), "log of the {role}");
    }

    // The searcher finds: what the gateway holds, in its memory and in its files ...
    let held = own.search_memory(gateway.pid());
    let kept = own.search_files(&folder.join("gateway"));
    for what in ["text of raw values", "secret of the query as text", "text of outputs"] {
        assert!(held.contains(what) && kept.contains(what), "{what}: {held:?}, {kept:?}");
    }
    // ... what is public, in all of them ...
    let id = Pattern { what: "model id", bytes: model.id().as_bytes().to_vec() };
    let public = Searcher::new(vec![id]);
    for role in [&worker, &ledger, &gateway] {
        assert_eq!(public.search_memory(role.pid()), BTreeSet::from(["model id"]));
    }
    // ... and a row that the worker had to read, unless other work has taken its place in memory each time.
    let sealed = Searcher::new(sealed.patterns());
    let found = (0..8).any(|_| {
        run(&ask(&sealed_file, "sealed"));
        !sealed.search_memory(worker.pid()).is_empty()
    });
    assert!(found, "a worker reads a sealed row, and it is never found in it");
}
