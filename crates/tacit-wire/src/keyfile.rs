//! Secret keys, most of them of 32 bytes, in files that only their owner can read.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use alloy_primitives::hex;
use zeroize::{Zeroize, Zeroizing};

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("the key file {path} cannot be used: {source}")]
    Io {
        /// Which file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Other people on this machine can read the file.
    #[error("the key file {path} is readable by others (run: chmod 600 {path})")]
    Exposed {
        /// Which file.
        path: String,
    },
    /// The file is not 64 hex digits of a valid key.
    #[error("the key file {path} does not hold a key")]
    Malformed {
        /// Which file.
        path: String,
    },
    /// A new key would overwrite one that is there.
    #[error("the key file {path} exists already")]
    Exists {
        /// Which file.
        path: String,
    },
}

/// Reads a key; refuses a file that others can read.
///
/// # Errors
/// The file is missing, readable by others or not a key.
pub fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    read_sized(path)
}

/// Reads a key of any length, as [`read`] does.
pub(crate) fn read_sized<const N: usize>(path: &Path) -> Result<Zeroizing<[u8; N]>, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.display().to_string(), source };
    let mut file = fs::File::open(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(KeyFileError::Exposed { path: path.display().to_string() });
        }
    }
    let malformed = || KeyFileError::Malformed { path: path.display().to_string() };
    let mut text = Zeroizing::new(vec![0_u8; 2 * N + 16]);
    let mut length = 0;
    while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).map_err(failed)? {
            0 => break,
            count => length += count,
        }
    }
    parse(text.get(..length).unwrap_or_default()).ok_or_else(malformed)
}

/// Hex text of a key, with or without `0x`, surrounding blanks ignored.
pub(crate) fn parse<const N: usize>(text: &[u8]) -> Option<Zeroizing<[u8; N]>> {
    let mut key = Zeroizing::new([0_u8; N]);
    hex::decode_to_slice(text.trim_ascii(), key.as_mut_slice()).ok()?;
    Some(key)
}

/// Writes a new key durably, with mode 0600; never overwrites one.
///
/// # Errors
/// The file exists or cannot be written.
pub fn create(path: &Path, key: &Zeroizing<[u8; 32]>) -> Result<(), KeyFileError> {
    create_sized(path, key.as_slice())
}

/// Writes a new key of any length, as [`create`] does.
pub(crate) fn create_sized(path: &Path, key: &[u8]) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.display().to_string(), source };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed)?;
    // Written aside and linked into place, so that a crash leaves no half-written key and no existing key is lost. The
    // file aside is always a new one: one that is there already may be readable by others, or lead elsewhere.
    let aside = path.with_extension(format!("{:016x}.new", rand::random::<u64>()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut text = hex::encode(key);
    let written = options.open(&aside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    text.zeroize();
    let linked = written.and_then(|()| fs::hard_link(&aside, path));
    let removed = fs::remove_file(&aside);
    // The name, too, has to survive a crash: coins may be sent to the key as soon as this returns.
    #[cfg(unix)]
    let removed = removed.and_then(|()| fs::File::open(parent)?.sync_all());
    match linked.and(removed) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(KeyFileError::Exists { path: path.display().to_string() })
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/wallet.key");
        let key = Zeroizing::new([7_u8; 32]);
        create(&path, &key).unwrap();
        assert_eq!(*read(&path).unwrap(), *key);
        assert!(matches!(create(&path, &key), Err(KeyFileError::Exists { .. })));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            assert!(matches!(read(&path), Err(KeyFileError::Exposed { .. })));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_leftover_lends_a_key_neither_its_mode_nor_its_target() {
        // A key was written to a file named after the process. One left there by a crash, or laid out by somebody else as
        // a link, was written through: the key came out readable by others, or was copied to where the link led.
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let key = Zeroizing::new([7_u8; 32]);
        let left = dir.path().join(format!("wallet.{}.new", std::process::id()));
        fs::write(&left, "").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();
        create(&dir.path().join("wallet.key"), &key).unwrap();
        assert_eq!(*read(&dir.path().join("wallet.key")).unwrap(), *key);
        let (copy, link) = (dir.path().join("copy"), format!("other.{}.new", std::process::id()));
        symlink(&copy, dir.path().join(link)).unwrap();
        create(&dir.path().join("other.key"), &key).unwrap();
        assert!(!copy.exists());
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("short", "ab"), ("long", &"a".repeat(90) as &str), ("text", &"z".repeat(64))] {
            let path = dir.path().join(name);
            let mut options = OpenOptions::new();
            options.write(true).create(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(&path).unwrap().write_all(text.as_bytes()).unwrap();
            assert!(matches!(read(&path), Err(KeyFileError::Malformed { .. })), "{name}");
        }
        assert!(matches!(read(&dir.path().join("none")), Err(KeyFileError::Io { .. })));
    }
}
