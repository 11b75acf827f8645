//! Which folder a key votes from.
//!
//! A data folder holds the record of the votes that its key has given. Without it, or with that of another time, the key would vote again in
//! rounds in which it has voted, and whoever shows both votes burns its stake. So key and folder know each other: before the first vote the
//! same 32 random bytes are written into the folder (`home`) and beside the key (`KEY.home`), and afterwards the key votes from this folder alone.
//! A validator that begins with a certified checkpoint votes in no epoch that had begun by then, so it may have a new folder.
//!
//! **Not seen**: a key that is copied to another place without the file beside it.

use crate::sync::consensus_has_begun;
use alloy_primitives::{B256, hex};
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Why a key does not vote from a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// The key has voted, and the folder holds no votes.
    #[error("this key has voted, and {} does not hold its votes", folder.display())]
    Lost {
        /// The data folder.
        folder: PathBuf,
        /// What says that the key has voted.
        marker: PathBuf,
    },
    /// The key has voted from another folder since this one was last used.
    #[error("this key votes from another folder than {}", folder.display())]
    Elsewhere {
        /// The data folder.
        folder: PathBuf,
        /// What says where it votes.
        marker: PathBuf,
    },
    /// One of the two files cannot be read, or the folder's not be written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What is to be written before a key votes.
enum Step {
    Nothing,
    /// The folder's, where the key has nothing beside it.
    Key(B256),
    /// The key's, where the folder has none.
    Folder(B256),
    /// Something new, beside the key alone.
    KeyAnew,
    /// Something new, in both.
    Both,
}

/// Whether the key in the file `key` may vote from `folder`: `anew` if it is to begin with a checkpoint unless it has begun there. Nothing is
/// written. Not to be called inside a runtime.
///
/// # Errors
/// [`HomeError`].
pub fn may_vote_from(key: &Path, folder: &Path, anew: bool) -> Result<(), HomeError> {
    look(key, folder, anew, || consensus_has_begun(folder)).map(drop)
}

/// Lets the key in the file `key` vote from `folder` and from no other. `anew` if it begins with a checkpoint unless it `has_begun` there.
pub(crate) fn settle(
    key: &Path,
    folder: &Path,
    anew: bool,
    has_begun: impl FnOnce() -> bool,
) -> Result<(), HomeError> {
    let (inside, marker) = (folder.join(NAME), beside(key));
    let write_inside = |home| write(&inside, home).map_err(failed(&inside));
    match look(key, folder, anew, has_begun)? {
        Step::Nothing => {}
        Step::Key(home) => write_beside(&marker, home),
        Step::Folder(home) => write_inside(home)?,
        Step::KeyAnew => write_beside(&marker, B256::new(rand::random())),
        Step::Both => {
            let home = B256::new(rand::random());
            write_inside(home)?;
            write_beside(&marker, home);
        }
    }
    Ok(())
}

fn look(key: &Path, folder: &Path, anew: bool, has_begun: impl FnOnce() -> bool) -> Result<Step, HomeError> {
    let (inside, marker) = (folder.join(NAME), beside(key));
    let of_folder = read(&inside).map_err(failed(&inside))?;
    let of_key = read(&marker).map_err(failed(&marker))?;
    match (of_key, of_folder) {
        (Some(key), Some(folder)) if key == folder => Ok(Step::Nothing),
        (Some(_), Some(_)) => Err(HomeError::Elsewhere { folder: folder.to_owned(), marker }),
        (None, Some(home)) => Ok(Step::Key(home)),
        // It began with a checkpoint here, since which the key has voted from no other folder.
        (Some(home), None) if has_begun() => Ok(Step::Folder(home)),
        // The folder gets it at the next start: until consensus has begun there, it may begin with a checkpoint only.
        (Some(_), None) if anew => Ok(Step::KeyAnew),
        (Some(_), None) => Err(HomeError::Lost { folder: folder.to_owned(), marker }),
        (None, None) => Ok(Step::Both),
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> HomeError + use<> {
    let path = path.to_owned();
    move |source| HomeError::File { path, source }
}

/// `validator.key` has `validator.key.home` beside it.
fn beside(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".");
    name.push(NAME);
    name.into()
}

/// Keys may lie where nothing can be written. Then nothing guards them against a lost folder, which is not worth refusing to run.
fn write_beside(path: &Path, home: B256) {
    if let Err(error) = write(path, home) {
        tracing::warn!(path = %path.display(), %error, "cannot note where this key votes: never start it with an emptied folder");
    }
}

fn read(path: &Path) -> io::Result<Option<B256>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(text) => {
            let mut home = B256::ZERO;
            hex::decode_to_slice(text.trim_ascii(), home.as_mut_slice())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            Ok(Some(home))
        }
    }
}

fn write(path: &Path, home: B256) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = fs::File::create(&draft)?;
    writeln!(file, "{}", hex::encode(home))?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

const NAME: &str = "home";

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        _home: tempfile::TempDir,
        key: PathBuf,
        folders: [PathBuf; 2],
    }

    fn place() -> Place {
        let home = tempfile::tempdir().unwrap();
        let folders = ["a", "b"].map(|name| home.path().join(name));
        for folder in &folders {
            fs::create_dir(folder).unwrap();
        }
        Place { key: home.path().join("validator.key"), folders, _home: home }
    }

    fn plain(key: &Path, folder: &Path) -> Result<(), HomeError> {
        settle(key, folder, false, || false)
    }

    #[test]
    fn a_key_stays_with_its_folder() {
        let Place { key, folders: [one, two], .. } = &place();
        plain(key, one).unwrap();
        plain(key, one).unwrap();
        assert!(matches!(plain(key, two), Err(HomeError::Lost { .. })));
        plain(key, one).unwrap();
    }

    #[test]
    fn with_a_checkpoint_it_moves_and_the_old_folder_is_refused() {
        let Place { key, folders: [one, two], .. } = &place();
        plain(key, one).unwrap();
        settle(key, two, true, || false).unwrap();
        // Killed before consensus began there: only a checkpoint will do.
        assert!(matches!(plain(key, two), Err(HomeError::Lost { .. })));
        settle(key, two, true, || false).unwrap();
        settle(key, two, false, || true).unwrap();
        plain(key, two).unwrap();
        for anew in [false, true] {
            let old = settle(key, one, anew, || true);
            assert!(matches!(old, Err(HomeError::Elsewhere { .. })), "a folder of before");
        }
    }

    #[test]
    fn a_folder_takes_its_key_along() {
        let Place { key, folders: [one, two], .. } = &place();
        plain(key, one).unwrap();
        let moved = key.with_extension("moved");
        plain(&moved, one).unwrap();
        assert!(matches!(plain(&moved, two), Err(HomeError::Lost { .. })));
    }

    #[test]
    fn a_crash_between_the_two_first_writes_locks_nobody_out() {
        let Place { key, folders: [one, _], .. } = &place();
        plain(key, one).unwrap();
        fs::remove_file(beside(key)).unwrap();
        plain(key, one).unwrap();
        plain(key, one).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        let Place { key, folders: [one, _], .. } = &place();
        plain(key, one).unwrap();
        for path in [beside(key), one.join(NAME)] {
            let kept = fs::read(&path).unwrap();
            for bad in [&b""[..], b"00", b"no hex at all", &[0xff; 64]] {
                fs::write(&path, bad).unwrap();
                assert!(matches!(settle(key, one, true, || true), Err(HomeError::File { .. })));
            }
            fs::write(&path, kept).unwrap();
        }
    }
}
