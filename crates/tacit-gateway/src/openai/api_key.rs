//! Keys of programs that may ask: a file that only the gateway's owner can write.
//!
//! The file holds hashes of keys, names and caps. Whoever runs the gateway changes it with `tacit gateway key`; a gateway that runs reads it again
//! when it has changed. A key is 256 random bits, so that a plain hash of it tells nothing.

use std::{
    collections::HashMap,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use alloy_primitives::{B256, hex};
use rand::TryRngCore;
use serde::{Deserialize, Serialize};
use tacit_wire::Amount;
use zeroize::Zeroizing;

/// The file of keys.
#[derive(Debug)]
pub struct ApiKeys {
    path: PathBuf,
    read: Mutex<Option<Read>>,
}

#[derive(Debug, Clone)]
struct Read {
    stamp: Stamp,
    keys: Arc<HashMap<B256, ApiKey>>,
}

/// What tells one writing of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    file: u64,
}

/// What one key may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Whose it is: 1 to 64 visible characters.
    pub name: String,
    /// Hash of the key.
    pub hash: B256,
    /// Most that one request may cost, in place of the gateway's own cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_request: Option<Amount>,
    /// Most that all its requests of a day (UTC) may cost, in place of the gateway's own cap for a key; that for all keys holds besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<Amount>,
}

/// A key in a list: without its secret, which nobody has but its owner.
pub type ApiKeyEntry = ApiKey;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// The disk failed.
    #[error("cannot use the file of keys: {0}")]
    Io(#[from] std::io::Error),
    /// Not such a file.
    #[error("the file of keys cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A name is taken.
    #[error("there is a key named {name:?} already")]
    Taken {
        /// Which.
        name: String,
    },
    /// No key has this name.
    #[error("there is no key named {name:?}")]
    Unknown {
        /// Which.
        name: String,
    },
    /// A name is empty, too long or not visible.
    #[error("a key's name is 1 to {NAME_BYTES_MAX} visible ASCII characters")]
    Name,
    /// More than there may be.
    #[error("there are at most {KEYS_MAX} keys")]
    TooMany,
    /// The system has no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

const PREFIX: &str = "tk-";
const CONTEXT: &str = "tacit 2026 gateway api key v1";
const NAME_BYTES_MAX: usize = 64;
const KEYS_MAX: usize = 10_000;
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

impl ApiKeys {
    /// The keys in this file; a missing one has none.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), read: Mutex::default() }
    }

    /// All keys, by name.
    ///
    /// # Errors
    /// [`ApiKeyError`].
    pub fn list(&self) -> Result<Vec<ApiKeyEntry>, ApiKeyError> {
        let mut keys: Vec<_> = self.current()?.values().cloned().collect();
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(keys)
    }

    /// Makes a key, and gives what its owner is told once.
    ///
    /// # Errors
    /// [`ApiKeyError`].
    pub fn create(
        &self,
        name: &str,
        per_request: Option<Amount>,
        per_day: Option<Amount>,
    ) -> Result<Zeroizing<String>, ApiKeyError> {
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiKeyError::Name);
        }
        let mut keys = self.list()?;
        if keys.iter().any(|key| key.name == name) {
            return Err(ApiKeyError::Taken { name: name.to_owned() });
        }
        if keys.len() >= KEYS_MAX {
            return Err(ApiKeyError::TooMany);
        }
        let mut secret = Zeroizing::new([0_u8; 32]);
        rand::rngs::OsRng.try_fill_bytes(secret.as_mut_slice()).map_err(|_| ApiKeyError::Random)?;
        let token = Zeroizing::new(format!("{PREFIX}{}", hex::encode(secret.as_slice())));
        keys.push(ApiKey { name: name.to_owned(), hash: hash(&token), per_request, per_day });
        self.write(&keys)?;
        Ok(token)
    }

    /// Takes a key back.
    ///
    /// # Errors
    /// [`ApiKeyError`].
    pub fn revoke(&self, name: &str) -> Result<(), ApiKeyError> {
        let mut keys = self.list()?;
        let before = keys.len();
        keys.retain(|key| key.name != name);
        if keys.len() == before {
            return Err(ApiKeyError::Unknown { name: name.to_owned() });
        }
        // An empty list stays a list: revoking the last key does not open the door.
        self.write(&keys)
    }

    /// Whose key this is. None is needed when no file of keys was ever made.
    ///
    /// # Errors
    /// [`ApiKeyError`] when the file cannot be read: then nobody may ask.
    pub(crate) fn find(&self, token: Option<&str>) -> Result<Found, ApiKeyError> {
        // Only a file that is not there opens the door; one that cannot be looked at does not.
        if stamp(&self.path)?.is_none() {
            return Ok(Found::NotNeeded);
        }
        let keys = self.current()?;
        let Some(token) = token else { return Ok(Found::Missing) };
        Ok(keys.get(&hash(token)).map_or(Found::Unknown, |key| Found::Key(key.clone())))
    }

    fn current(&self) -> Result<Arc<HashMap<B256, ApiKey>>, ApiKeyError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stamp) = stamp(&self.path)? else { return Ok(Arc::default()) };
        if let Some(read) = read.as_ref().filter(|read| read.stamp == stamp) {
            return Ok(Arc::clone(&read.keys));
        }
        if stamp.length > FILE_BYTES_MAX {
            return Err(ApiKeyError::TooMany);
        }
        let list: Vec<ApiKey> = serde_json::from_slice(&std::fs::read(&self.path)?)?;
        let keys: Arc<HashMap<_, _>> = Arc::new(list.into_iter().map(|key| (key.hash, key)).collect());
        *read = Some(Read { stamp, keys: Arc::clone(&keys) });
        Ok(keys)
    }

    fn write(&self, keys: &[ApiKey]) -> Result<(), ApiKeyError> {
        let text = serde_json::to_vec_pretty(keys)?;
        let beside = self.path.with_extension("new");
        let _ = std::fs::remove_file(&beside);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        Ok(())
    }
}

/// Whose key came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// No keys were made: any program on this machine may ask.
    NotNeeded,
    /// None came.
    Missing,
    /// Nobody's.
    Unknown,
    /// This one.
    Key(ApiKey),
}

fn stamp(path: &Path) -> Result<Option<Stamp>, ApiKeyError> {
    match std::fs::metadata(path) {
        Ok(about) => {
            #[cfg(unix)]
            let file = std::os::unix::fs::MetadataExt::ino(&about);
            #[cfg(not(unix))]
            let file = 0;
            Ok(Some(Stamp { length: about.len(), modified: about.modified().ok(), file }))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn hash(token: &str) -> B256 {
    B256::from(blake3::derive_key(CONTEXT, token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_until_it_is_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let keys = ApiKeys::at(&dir.path().join("keys.json"));
        assert_eq!(keys.find(None).unwrap(), Found::NotNeeded);
        let first = keys.create("one", Some(Amount(5)), None).unwrap();
        let second = keys.create("two", None, None).unwrap();
        assert!(first.starts_with("tk-") && first.len() == 67);
        assert_eq!(keys.find(None).unwrap(), Found::Missing);
        assert_eq!(keys.find(Some("tk-no")).unwrap(), Found::Unknown);
        let Found::Key(found) = keys.find(Some(first.as_str())).unwrap() else { panic!("not found") };
        assert_eq!((found.name.as_str(), found.per_request), ("one", Some(Amount(5))));
        // Another process changes the file under a gateway that runs.
        ApiKeys::at(&dir.path().join("keys.json")).revoke("one").unwrap();
        assert_eq!(keys.find(Some(first.as_str())).unwrap(), Found::Unknown);
        keys.revoke("two").unwrap();
        assert_eq!(keys.find(Some(second.as_str())).unwrap(), Found::Unknown, "the door stays closed");
        let file = std::fs::read_to_string(dir.path().join("keys.json")).unwrap();
        assert!(!file.contains(first.as_str()));
    }

    #[test]
    fn each_misuse_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.json");
        let keys = ApiKeys::at(&path);
        assert!(matches!(keys.create("", None, None), Err(ApiKeyError::Name)));
        assert!(matches!(keys.create("a\n", None, None), Err(ApiKeyError::Name)));
        assert!(matches!(keys.revoke("one"), Err(ApiKeyError::Unknown { .. })));
        keys.create("one", None, None).unwrap();
        assert!(matches!(keys.create("one", None, None), Err(ApiKeyError::Taken { .. })));
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(keys.find(Some("tk-")), Err(ApiKeyError::Malformed(_))));
    }
}
