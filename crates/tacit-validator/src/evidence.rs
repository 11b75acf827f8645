//! Evidence against validators: kept in a folder, and sent to the ledger.
//!
//! # Files
//! One for each key and round, `KEY-EPOCH-VIEW.json`: the culprit's key, what the votes are, and `call`, the input of a transaction to
//! the `validators` module that burns its stake. Whoever has the file can send it: it holds no secret.
//!
//! # What holds
//! - A file is on the disk, whole, before anything is said or sent about it. One that is there is never written again.
//! - There are at most [`FILES_MAX`] files, [`FILES_PER_KEY_MAX`] a key: one bars it.
//! - Consensus never waits: what finds the queue full is lost, and counted.

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::SolCall as _;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};
use tacit_abi::IValidators;
use tacit_consensus::EvidenceSink;
use tacit_ledger::{Evidence, EvidenceError, Fault};
use tacit_wire::{LedgerClient, LedgerError, Revert, Wallet};
use tracing::{error, info, warn};

/// Two votes of one key that contradict each other, as they lie in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedEvidence {
    /// Whose votes.
    pub key: B256,
    /// 7: two notarizations, 8: two finalizations, 9: a nullification and a finalization.
    pub kind: u8,
    /// Epoch of both.
    pub epoch: u64,
    /// View of both.
    pub view: u64,
    /// The votes, as the `validators` module reads them.
    pub evidence: Bytes,
    /// Input of a transaction to the module.
    pub call: Bytes,
}

/// Why a file is no evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceFileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is too long.
    #[error("{} is longer than any evidence", path.display())]
    Size {
        /// The file.
        path: PathBuf,
    },
    /// It is not JSON of this shape.
    #[error("{} is malformed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The votes in it do not contradict each other.
    #[error("{} shows nothing", path.display())]
    Votes {
        /// The file.
        path: PathBuf,
        /// Why.
        source: EvidenceError,
    },
}

impl SavedEvidence {
    fn new(key: B256, fault: Fault, evidence: Bytes) -> Self {
        let call = IValidators::slashCall { key, evidence: evidence.clone() }.abi_encode().into();
        Self { key, kind: fault.kind().number(), epoch: fault.epoch(), view: fault.view(), evidence, call }
    }

    /// Reads a file. The signatures are left to the ledger, which knows what they are bound to.
    ///
    /// # Errors
    /// It cannot be read, or holds no two votes that contradict each other.
    pub fn load(path: &Path) -> Result<Self, EvidenceFileError> {
        let read = |source| EvidenceFileError::Read { path: path.to_owned(), source };
        if fs::metadata(path).map_err(read)?.len() > FILE_BYTES_MAX {
            return Err(EvidenceFileError::Size { path: path.to_owned() });
        }
        let text = fs::read(path).map_err(read)?;
        let saved: Self = serde_json::from_slice(&text)
            .map_err(|source| EvidenceFileError::Malformed { path: path.to_owned(), source })?;
        // What matters afterwards are key and votes; the rest is for people.
        if let Err(source) = Evidence::decode(&saved.evidence) {
            return Err(EvidenceFileError::Votes { path: path.to_owned(), source });
        }
        Ok(saved)
    }

    fn name(&self) -> String {
        format!("{}-{}-{}.json", alloy_primitives::hex::encode(self.key), self.epoch, self.view)
    }

    /// Writes the file, durably. `false`: it is there already, or there are enough.
    fn save(&self, folder: &Path) -> io::Result<bool> {
        fs::create_dir_all(folder)?;
        let path = folder.join(self.name());
        let names = names(folder)?;
        let own = alloy_primitives::hex::encode(self.key);
        let of_key = names.iter().filter(|name| name.starts_with(&own)).count();
        if path.exists() || names.len() >= FILES_MAX || of_key >= FILES_PER_KEY_MAX {
            return Ok(false);
        }
        let text = serde_json::to_vec_pretty(self)?;
        let draft = path.with_extension("draft");
        let mut file = fs::File::create(&draft)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        fs::File::open(folder)?.sync_all()?;
        Ok(true)
    }
}

/// Names of the files of evidence in a folder, in order; none where there is no folder.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && name.ends_with(".json")
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[derive(Debug, Default)]
struct Counters {
    found: AtomicU64,
    kept: AtomicU64,
    lost: AtomicU64,
}

/// Where consensus leaves what it finds. Clones are one box.
#[derive(Debug, Clone)]
pub(crate) struct EvidenceBox {
    queue: SyncSender<SavedEvidence>,
    counters: Arc<Counters>,
}

/// Measurements of a box, for as long as somebody asks.
#[derive(Debug, Clone)]
pub(crate) struct EvidenceCounters(Arc<Counters>);

impl EvidenceBox {
    /// A box whose contents a thread of its own writes into `folder`. The thread ends with the last clone of the box.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn open(folder: PathBuf) -> io::Result<(Self, EvidenceCounters, thread::JoinHandle<()>)> {
        let (queue, found) = sync_channel(QUEUE_MAX);
        let counters = Arc::<Counters>::default();
        let counted = Arc::clone(&counters);
        let keeper =
            thread::Builder::new().name("evidence".into()).spawn(move || keep(&folder, &found, &counted))?;
        Ok((Self { queue, counters: Arc::clone(&counters) }, EvidenceCounters(counters), keeper))
    }
}

impl EvidenceSink for EvidenceBox {
    fn report(&self, key: B256, fault: Fault, evidence: bytes::Bytes) {
        self.counters.found.fetch_add(1, Ordering::Relaxed);
        if self.queue.try_send(SavedEvidence::new(key, fault, evidence.into())).is_err() {
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl EvidenceCounters {
    /// In Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        let counters = [
            ("found", "Pairs of votes that contradict each other, seen since the start.", &self.0.found),
            ("kept", "Those of them that were written to the disk.", &self.0.kept),
            ("lost", "Those that came too fast to be written.", &self.0.lost),
        ];
        let lines = counters.map(|(name, help, value)| {
            let value = value.load(Ordering::Relaxed);
            format!("# HELP tacit_evidence_{name} {help}\n# TYPE tacit_evidence_{name} gauge\ntacit_evidence_{name} {value}\n")
        });
        lines.concat()
    }
}

fn keep(folder: &Path, found: &Receiver<SavedEvidence>, counters: &Counters) {
    while let Ok(saved) = found.recv() {
        let (key, epoch, view, kind) = (saved.key, saved.epoch, saved.view, saved.kind);
        match saved.save(folder) {
            Ok(true) => {
                counters.kept.fetch_add(1, Ordering::Relaxed);
                warn!(%key, epoch, view, kind, "a validator signed two votes that contradict each other");
            }
            Ok(false) => {}
            Err(error) => error!(%key, epoch, view, kind, %error, "evidence cannot be written"),
        }
    }
}

/// What became of evidence that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// This transaction barred the key.
    Barred {
        /// Its hash.
        transaction: B256,
        /// The block that it is in.
        block: u64,
    },
    /// Somebody was faster.
    Already,
}

/// Sends evidence to the ledger, from the account of `wallet`, and waits until it is in a block. Not sent if the key is barred.
///
/// # Errors
/// The ledger cannot be reached or refuses.
pub async fn report(
    ledger: &LedgerClient,
    wallet: &Wallet,
    saved: &SavedEvidence,
) -> Result<Reported, LedgerError> {
    if ledger.is_barred(saved.key).await? {
        return Ok(Reported::Already);
    }
    match ledger.slash(wallet, saved.key, saved.evidence.clone()).await {
        Ok(mined) => Ok(Reported::Barred { transaction: mined.hash, block: mined.block }),
        // Several report at once, and one is first.
        Err(error) => match ledger.is_barred(saved.key).await {
            Ok(true) => Ok(Reported::Already),
            _ => Err(error),
        },
    }
}

/// Reports whatever is in `folder` and comes into it, through the ledger at `url` once `is_ready`. What the module refuses is told
/// and left alone, and so is what is about `own`, this validator's key: others report that. Everything else is tried again until the
/// key is barred. Never returns.
pub async fn report_all(
    folder: PathBuf,
    url: String,
    wallet: Wallet,
    own: B256,
    is_ready: impl Fn() -> bool + Send,
) {
    let mut settled = std::collections::BTreeSet::new();
    loop {
        tokio::time::sleep(POLL).await;
        let Ok(names) = names(&folder) else { continue };
        let waiting: Vec<&String> = names.iter().filter(|name| !settled.contains(*name)).collect();
        if waiting.is_empty() || !is_ready() {
            continue;
        }
        let Ok(ledger) = LedgerClient::connect(&url).await else { continue };
        for name in waiting.into_iter().cloned().collect::<Vec<_>>() {
            let saved = match SavedEvidence::load(&folder.join(&name)) {
                Ok(saved) => saved,
                Err(error) => {
                    warn!(%name, %error, "a file that is no evidence");
                    settled.insert(name);
                    continue;
                }
            };
            if saved.key == own {
                error!("this validator's key votes somewhere else too: stop one of the two, at once");
                settled.insert(name);
                continue;
            }
            match report(&ledger, &wallet, &saved).await {
                Ok(outcome) => {
                    info!(key = %saved.key, ?outcome, "reported");
                    settled.insert(name);
                }
                Err(error @ LedgerError::Reverted(Revert::Validators(_) | Revert::Module(_))) => {
                    warn!(key = %saved.key, %error, "the ledger does not take the evidence");
                    settled.insert(name);
                }
                Err(error) => warn!(key = %saved.key, %error, "not reported yet"),
            }
        }
    }
}

/// Files in a folder.
const FILES_MAX: usize = 256;
/// Files of one key.
const FILES_PER_KEY_MAX: usize = 4;
/// More than the longest evidence takes as JSON.
const FILE_BYTES_MAX: u64 = 4096;
/// Pairs that wait to be written.
const QUEUE_MAX: usize = 64;
/// How often the folder is looked at.
const POLL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
