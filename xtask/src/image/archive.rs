//! Initial file systems: archives of the kind that Linux unpacks at its start, the same bytes for the same files.
//!
//! Source: Linux, `Documentation/driver-api/early-userspace/buffer-format.rst` (`newc`).
//! Deviation: what the format leaves open is fixed. Paths ascend, owners and times are zero, numbers of files count from one, and rights are by
//! kind: folders and programs 0755, other files 0644.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Folder,
    File {
        content: Vec<u8>,
        is_program: bool,
    },
    /// A device that is read and written byte by byte: its numbers.
    Device(u32, u32),
}

/// Files by their paths, which have no slash at their beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files(BTreeMap<String, Node>);

impl Files {
    /// Adds a file, and the folders it lies in.
    pub(crate) fn add(&mut self, path: &str, node: Node) -> Result<()> {
        let is_plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        if !path.split('/').all(is_plain) || path == END {
            bail!("{path:?} is no path within an archive");
        }
        for (at, _) in path.match_indices('/') {
            let folder = self.0.entry(path[..at].to_owned()).or_insert(Node::Folder);
            if *folder != Node::Folder {
                bail!("{} is a file and a folder", &path[..at]);
            }
        }
        match self.0.insert(path.to_owned(), node) {
            Some(before) if before != self.0[path] => bail!("{path} is there twice"),
            _ => Ok(()),
        }
    }

    /// Adds all that is in a folder. Programs are what their owner may run; there are no links and no devices.
    pub(crate) fn add_folder(&mut self, folder: &Path) -> Result<()> {
        self.add_within(folder, "")
    }

    fn add_within(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let name =
                entry.file_name().into_string().map_err(|name| anyhow::anyhow!("{name:?} is not UTF-8"))?;
            let (path, kind) = (format!("{prefix}{name}"), entry.file_type()?);
            if kind.is_dir() {
                self.add(&path, Node::Folder)?;
                self.add_within(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                let content =
                    std::fs::read(entry.path()).with_context(|| entry.path().display().to_string())?;
                self.add(&path, Node::File { content, is_program: is_program(&entry.metadata()?) })?;
            } else {
                bail!("{} is neither a file nor a folder", entry.path().display());
            }
        }
        Ok(())
    }

    /// The archive.
    pub(crate) fn archive(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (number, (path, node)) in (1_u32..).zip(&self.0) {
            let (mode, links, content, device) = match node {
                Node::Folder => (0o40_755, 2, &[][..], (0, 0)),
                Node::File { content, is_program: true } => (0o100_755, 1, &content[..], (0, 0)),
                Node::File { content, is_program: false } => (0o100_644, 1, &content[..], (0, 0)),
                Node::Device(major, minor) => (0o20_600, 1, &[][..], (*major, *minor)),
            };
            entry(&mut bytes, path, [number, mode, links, device.0, device.1], content)?;
        }
        entry(&mut bytes, END, [0, 0, 1, 0, 0], &[])?;
        // Whole blocks, as other archivers write them.
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        Ok(bytes)
    }
}

#[cfg(unix)]
fn is_program(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0
}

#[cfg(not(unix))]
fn is_program(_: &std::fs::Metadata) -> bool {
    false
}

fn entry(
    bytes: &mut Vec<u8>,
    path: &str,
    [number, mode, links, major, minor]: [u32; 5],
    content: &[u8],
) -> Result<()> {
    let size = u32::try_from(content.len()).with_context(|| format!("{path} is too long"))?;
    let name = u32::try_from(path.len() + 1)?;
    bytes.extend_from_slice(b"070701");
    for field in [number, mode, 0, 0, links, 0, size, 0, 0, major, minor, name, 0] {
        bytes.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    bytes.extend_from_slice(path.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    Ok(())
}

/// The name of what ends an archive.
const END: &str = "TRAILER!!!";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tacit-archive-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    const FILES: [(&str, &str, u32); 5] = [
        ("etc/a", "one", 0o600),
        ("etc/deep/b", "two", 0o640),
        ("init", "#!", 0o700),
        ("z", "", 0o444),
        ("etc.d", "three", 0o666),
    ];

    fn written<'a>(name: &str, files: impl Iterator<Item = &'a (&'a str, &'a str, u32)>) -> Vec<u8> {
        let folder = folder(name);
        for (path, content, mode) in files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
        }
        let mut files = Files::default();
        files.add_folder(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        files.archive().unwrap()
    }

    #[test]
    fn the_same_files_in_any_order_are_the_same_bytes() {
        let forward = written("forward", FILES.iter());
        assert_eq!(forward, written("backward", FILES.iter().rev()));
        let mut other = FILES;
        other[3].1 = "x";
        assert_ne!(forward, written("other", other.iter()));
    }

    #[test]
    fn an_archive_byte_by_byte() {
        let mut files = Files::default();
        files.add("dev/console", Node::Device(5, 1)).unwrap();
        files.add("a", Node::File { content: b"hello".to_vec(), is_program: true }).unwrap();
        let expected = [
            "070701",
            "00000001",
            "000081ed",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000005",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000002",
            "00000000",
            "a\0",
            "hello\0\0\0",
            "070701",
            "00000002",
            "000041ed",
            "00000000",
            "00000000",
            "00000002",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000004",
            "00000000",
            "dev\0\0\0",
            "070701",
            "00000003",
            "00002180",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000005",
            "00000001",
            "0000000c",
            "00000000",
            "dev/console\0\0\0",
            "070701",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "0000000b",
            "00000000",
            "TRAILER!!!\0\0\0\0",
        ]
        .concat();
        let archive = files.archive().unwrap();
        assert_eq!(archive.len(), 512);
        assert_eq!(
            String::from_utf8(archive).unwrap().trim_end_matches('\0'),
            expected.trim_end_matches('\0')
        );
    }

    #[test]
    fn paths_that_lead_elsewhere() {
        let file = || Node::File { content: Vec::new(), is_program: false };
        for path in ["", "/init", "a/../b", "./a", "a//b", "a/", "a\0b", END] {
            assert!(Files::default().add(path, file()).is_err(), "{path:?}");
        }
        let mut files = Files::default();
        files.add("a", file()).unwrap();
        assert!(files.add("a/b", file()).is_err());
        assert!(files.add("a", Node::Folder).is_err());
    }

    #[test]
    fn links_are_refused() {
        let folder = folder("links");
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
        assert!(Files::default().add_folder(&folder).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
