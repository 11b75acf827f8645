//! Clients' evaluation keys: sent once, kept by their hash, expanded when they are used.
//!
//! A file for each, `keys/{client}/{key id}` in the worker's folder, written whole or not at all. The client that sent them is the only one whose
//! questions use them. Their bytes are public: nothing here can read a question.
//!
//! # Limits
//! [`KEYS_PER_CLIENT_MAX`] for each client, so many bytes in all ([`KeyShelf::open`]): what was used longest ago goes first, and is asked for again
//! ([`crate::JobReject::UnknownKeys`]). Expanded keys take some hundred MB, so [`EXPANDED_MAX`] of them stay in memory, and one at a time is expanded.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use alloy_primitives::{Address, B256};
use tacit_encrypt::{KeyId, KeyReject, Variant, server::EvaluationKeys};

/// Where keys are kept.
pub struct KeyShelf {
    folder: PathBuf,
    bytes_max: u64,
    /// The last one used is the last one.
    expanded: Mutex<Vec<Expanded>>,
    /// One at a time is expanded.
    expanding: Mutex<()>,
    /// One at a time is written, so that limits are kept.
    writing: Mutex<()>,
}

struct Expanded {
    client: Address,
    id: KeyId,
    variant: Variant,
    keys: Arc<EvaluationKeys>,
}

/// What is kept for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct KeyMeter {
    /// Keys.
    pub keys: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why keys are not kept, or not to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// They are none.
    #[error(transparent)]
    Reject(#[from] KeyReject),
    /// They are not those that their id names.
    #[error("the bytes are not those that {expected} names")]
    OtherId {
        /// Id they came under.
        expected: B256,
    },
    /// There are none of this id.
    #[error("there are no keys {key_id} of this client")]
    Unknown {
        /// Which.
        key_id: B256,
    },
    /// The disk failed.
    #[error("the worker cannot use its folder of keys: {0}")]
    Io(#[from] io::Error),
}

/// Most keys of one client: one for each set of parameters that there is, and one more.
pub const KEYS_PER_CLIENT_MAX: usize = 4;
/// Bytes of all keys together when nobody says how many.
pub const KEY_BYTES_DEFAULT: u64 = 4 << 30;
/// Expanded keys in memory.
pub const EXPANDED_MAX: usize = 4;
/// Part of the name of a file that is being written.
const UNFINISHED: &str = "unfinished";

struct Kept {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl KeyShelf {
    /// Opens or makes a folder, which keeps at most `bytes_max`.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        create_folder(folder)?;
        let shelf = Self {
            folder: folder.to_owned(),
            bytes_max,
            expanded: Mutex::default(),
            expanding: Mutex::default(),
            writing: Mutex::default(),
        };
        // What a crash left of a file is nothing.
        for client in fs::read_dir(folder)? {
            let client = client?.path();
            let unfinished = |path: &PathBuf| path.extension().is_some_and(|end| end == UNFINISHED);
            for path in files(&client)?.into_iter().map(|kept| kept.path).filter(unfinished) {
                fs::remove_file(path)?;
            }
        }
        Ok(shelf)
    }

    /// Keeps keys that a client sent. Keeping them again changes nothing.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn keep(&self, client: Address, key_id: B256, bytes: &[u8]) -> Result<(), KeyError> {
        tacit_encrypt::check_keys(bytes)?;
        if KeyId::of(bytes) != KeyId(key_id.0) {
            return Err(KeyError::OtherId { expected: key_id });
        }
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(client, key_id);
        if path.exists() {
            return Ok(());
        }
        let own = self.client(client);
        create_folder(&own)?;
        let unfinished = path.with_extension(UNFINISHED);
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(bytes)?;
        // By the same clock as later uses: a file system's own may lag behind it.
        file.set_modified(SystemTime::now())?;
        file.sync_all()?;
        self.make_room(&own, bytes.len())?;
        fs::rename(&unfinished, &path)?;
        fs::File::open(&own)?.sync_all()?;
        Ok(())
    }

    /// Drops what was used longest ago, until there is room for one more of this client.
    fn make_room(&self, own: &Path, bytes: usize) -> io::Result<()> {
        let finished = |kept: &Kept| kept.path.extension().is_none();
        let mut of_client: Vec<Kept> = files(own)?.into_iter().filter(finished).collect();
        of_client.sort_by_key(|kept| kept.used);
        for kept in of_client.iter().rev().skip(KEYS_PER_CLIENT_MAX - 1) {
            fs::remove_file(&kept.path)?;
        }
        let mut all = Vec::new();
        for client in fs::read_dir(&self.folder)? {
            all.extend(files(&client?.path())?.into_iter().filter(finished));
        }
        all.sort_by_key(|kept| kept.used);
        let more = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut total = all.iter().map(|kept| kept.bytes).fold(more, u64::saturating_add);
        for kept in all {
            if total <= self.bytes_max {
                break;
            }
            fs::remove_file(&kept.path)?;
            total = total.saturating_sub(kept.bytes);
        }
        Ok(())
    }

    /// The bytes of a client's keys.
    ///
    /// # Errors
    /// [`KeyError::Unknown`], [`KeyError::OtherId`] for a file that was changed, [`KeyError::Io`].
    pub fn bytes(&self, client: Address, key_id: B256) -> Result<Vec<u8>, KeyError> {
        let path = self.path(client, key_id);
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KeyError::Unknown { key_id },
            _ => error.into(),
        })?;
        if KeyId::of(&bytes) == KeyId(key_id.0) {
            Ok(bytes)
        } else {
            Err(KeyError::OtherId { expected: key_id })
        }
    }

    /// Whether a client's keys are here. They are then the last that go.
    #[must_use]
    pub fn has(&self, client: Address, key_id: B256) -> bool {
        let file = fs::File::options().append(true).open(self.path(client, key_id));
        file.is_ok_and(|file| {
            // Without a time of its last use it goes earlier, which costs its client another upload.
            let _ = file.set_modified(SystemTime::now());
            true
        })
    }

    /// A client's keys, ready to compute with. It may take a second, so not on a thread that others wait for.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn expanded(
        &self,
        client: Address,
        id: KeyId,
        variant: Variant,
    ) -> Result<Arc<EvaluationKeys>, KeyError> {
        if let Some(keys) = self.find(client, id, variant) {
            return Ok(keys);
        }
        let _alone = self.expanding.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waited may find what another has done.
        if let Some(keys) = self.find(client, id, variant) {
            return Ok(keys);
        }
        let keys = Arc::new(EvaluationKeys::decode(&self.bytes(client, B256::from(id.0))?, variant)?);
        let mut expanded = self.expanded.lock().unwrap_or_else(PoisonError::into_inner);
        if expanded.len() >= EXPANDED_MAX {
            expanded.remove(0);
        }
        expanded.push(Expanded { client, id, variant, keys: Arc::clone(&keys) });
        Ok(keys)
    }

    fn find(&self, client: Address, id: KeyId, variant: Variant) -> Option<Arc<EvaluationKeys>> {
        let mut expanded = self.expanded.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = (client, id, variant);
        let at = expanded.iter().position(|kept| (kept.client, kept.id, kept.variant) == wanted)?;
        let found = expanded.remove(at);
        let keys = Arc::clone(&found.keys);
        expanded.push(found);
        Some(keys)
    }

    /// What is kept for all clients.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn meter(&self) -> io::Result<KeyMeter> {
        let mut meter = KeyMeter::default();
        for client in fs::read_dir(&self.folder)? {
            for kept in files(&client?.path())? {
                meter.keys += 1;
                meter.bytes = meter.bytes.saturating_add(kept.bytes);
            }
        }
        Ok(meter)
    }

    fn client(&self, client: Address) -> PathBuf {
        self.folder.join(format!("{client:#x}"))
    }

    fn path(&self, client: Address, key_id: B256) -> PathBuf {
        self.client(client).join(format!("{key_id:#x}"))
    }
}

impl core::fmt::Debug for KeyShelf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeyShelf").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// For its owner only: keys are public, and who sent some is nobody's business.
fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Files of a client; nothing in what is no folder.
fn files(folder: &Path) -> io::Result<Vec<Kept>> {
    let mut files = Vec::new();
    if folder.is_dir() {
        for file in fs::read_dir(folder)? {
            let file = file?;
            let about = file.metadata()?;
            files.push(Kept { path: file.path(), bytes: about.len(), used: about.modified()? });
        }
    }
    Ok(files)
}
