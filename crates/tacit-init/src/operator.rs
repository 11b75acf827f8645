//! What the operator gives: a second disk that nobody measures, read once, before the worker starts.
//!
//! Source: POSIX, `pax`, *ustar Interchange Format*.
//! Deviation: folders are skipped, and all kinds but folders and files are refused. A name has at most 100 bytes.
//!
//! # Formal definition
//! The disk is an archive (`tar`) of files with these names, each at most once, a `./` before them left out:
//! - `worker.key`: the key of the worker's account;
//! - `collateral/intel.json`, `collateral/amd-vcek.der`, `collateral/NAME.swidtag`: what vendors sign;
//! - `settings`: lines `NAME=VALUE`, each name once, in lower-case letters and `_`; a value is 1 to 200 letters, digits and `:/.-_`, the first
//!   of them no `-`. What they are for: [`fill`].
//!
//! # Soundness
//! The host writes this disk, and may write anything. No file system of the kernel reads it, the reader below has limits, and the names above
//! are all that can come of it: an account, by which no client's secret is kept; statements that carry their signatures, which clients check;
//! and values at the places that the measured arguments leave open, where none of them can become an argument of its own.

use crate::error::{At as _, Failure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Why what the operator gives is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OperatorError {
    /// Not an archive, or one that ends early.
    #[error("no archive: block {0} is not what it should be")]
    Archive(u64),
    /// Neither a file nor a folder.
    #[error("{0:?} is neither a file nor a folder")]
    Kind(String),
    /// A file that nobody asked for.
    #[error("{0:?} is not known")]
    Unknown(String),
    /// The same file twice.
    #[error("{0} is there twice")]
    Twice(String),
    /// More than the command line allows.
    #[error("more than {0} MiB")]
    TooLong(u32),
    /// More files than an operator needs.
    #[error("more than {FILES_MAX} files and folders")]
    TooMany,
    /// A line of the settings that has another form, counted from one.
    #[error("settings: line {0} has another form")]
    Line(usize),
    /// A setting that is there twice.
    #[error("settings: {0} is there twice")]
    SettingTwice(String),
    /// A setting that the arguments have a place for.
    #[error("settings: {0} is missing")]
    Missing(String),
    /// A setting that the arguments have no place for.
    #[error("settings: {0} is not known")]
    NoPlace(String),
    /// Arguments whose places cannot be read.
    #[error("the image's arguments: {0:?} has another form")]
    Place(String),
}

/// What the operator chose, by name.
pub(crate) type Choices = BTreeMap<String, String>;

/// Reads the operator's disk, puts its files where the worker finds them, and gives the choices.
pub(crate) fn read(mib: u32) -> Result<Choices, Failure> {
    crate::disk::wait_for(DISK)?;
    let mut files = unpack(File::open(DISK).at(DISK)?, mib)?;
    let choices = files.remove(SETTINGS).map_or_else(|| Ok(Choices::new()), |text| parse_choices(&text))?;
    put(Path::new(FOLDER), &files)?;
    Ok(choices)
}

/// Files by their names. Content may be secret.
type Files = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// Reads an archive of at most so many MiB, and nothing behind its end.
fn unpack(mut disk: impl Read, mib: u32) -> Result<Files, OperatorError> {
    let blocks_max = u64::from(mib) << 11;
    let (mut files, mut at, mut entries) = (Files::new(), 0_u64, 0);
    loop {
        let malformed = move || OperatorError::Archive(at);
        if at >= blocks_max {
            return Err(OperatorError::TooLong(mib));
        }
        let mut header = [0; BLOCK];
        disk.read_exact(&mut header).map_err(|_| malformed())?;
        if header == [0; BLOCK] {
            return Ok(files);
        }
        entries += 1;
        if entries > FILES_MAX {
            return Err(OperatorError::TooMany);
        }
        let Header { name, kind, bytes } = Header::read(&header).ok_or_else(malformed)?;
        let blocks = bytes.div_ceil(BLOCK as u64);
        if blocks >= blocks_max - at {
            return Err(OperatorError::TooLong(mib));
        }
        at += 1 + blocks;
        match kind {
            b'5' if bytes == 0 => continue,
            b'0' | 0 => {}
            _ => return Err(OperatorError::Kind(name)),
        }
        if !is_known(&name) {
            return Err(OperatorError::Unknown(name));
        }
        // Whole blocks, fewer than the limit's.
        let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(blocks).unwrap_or(0) * BLOCK));
        (&mut disk).take(blocks * BLOCK as u64).read_to_end(&mut content).map_err(|_| malformed())?;
        if content.len() as u64 != blocks * BLOCK as u64 {
            return Err(malformed());
        }
        content.truncate(usize::try_from(bytes).unwrap_or(0));
        if files.insert(name.clone(), content).is_some() {
            return Err(OperatorError::Twice(name));
        }
    }
}

/// What an entry begins with.
struct Header {
    name: String,
    kind: u8,
    bytes: u64,
}

impl Header {
    fn read(block: &[u8; BLOCK]) -> Option<Self> {
        let name: Vec<u8> = block.iter().copied().take(NAME_BYTES).take_while(|byte| *byte != 0).collect();
        let name = String::from_utf8(name).ok()?;
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        // The sum is over the block with spaces in its own place.
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let own: u64 = block.get(148..156)?.iter().map(|byte| u64::from(*byte)).sum();
        let is_sum = octal(block.get(148..156)?)? == sum - own + 8 * u64::from(b' ');
        let has_prefix = block.get(345..500)?.iter().any(|byte| *byte != 0);
        (is_sum && !has_prefix).then_some(Self {
            name,
            kind: *block.get(156)?,
            bytes: octal(block.get(124..136)?)?,
        })
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    let is_number = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    u64::from_str_radix(text, 8).ok().filter(|_| is_number)
}

fn is_known(name: &str) -> bool {
    let is_plain = |stem: &str| {
        stem.starts_with(|first: char| first.is_ascii_alphanumeric())
            && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    match name.strip_prefix("collateral/") {
        Some("intel.json" | "amd-vcek.der") => true,
        Some(file) => file.strip_suffix(".swidtag").is_some_and(is_plain),
        None => [KEY, SETTINGS].contains(&name),
    }
}

/// Writes files that nobody but their owner reads. The folder with collateral is there in any case.
fn put(folder: &Path, files: &Files) -> Result<(), Failure> {
    let collateral = folder.join("collateral");
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    DirBuilder::new().recursive(true).mode(0o700).create(&collateral).at(&shown(&collateral))?;
    for (name, content) in files {
        let path = folder.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(content)).at(&shown(&path))?;
    }
    Ok(())
}

fn parse_choices(text: &[u8]) -> Result<Choices, OperatorError> {
    let mut choices = Choices::new();
    for (number, line) in (1..).zip(text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n')) {
        let pair = std::str::from_utf8(line).ok().and_then(|line| line.split_once('='));
        let (name, value) = pair
            .filter(|(name, value)| is_name(name) && is_value(value) && number <= CHOICES_MAX)
            .ok_or(OperatorError::Line(number))?;
        if choices.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(OperatorError::SettingTwice(name.to_owned()));
        }
    }
    Ok(choices)
}

fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn is_value(value: &str) -> bool {
    (1..=200).contains(&value.len())
        && !value.starts_with('-')
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/.-_".contains(&byte))
}

/// The worker's arguments, one on each line of `template`, where `{NAME}` is the operator's choice of this name. Each choice has a place and
/// each place a choice; a line stays one argument.
pub(crate) fn fill(template: &str, choices: &Choices) -> Result<Vec<String>, OperatorError> {
    let mut placed = BTreeSet::new();
    let mut arguments = Vec::new();
    for line in template.lines() {
        let malformed = || OperatorError::Place(line.to_owned());
        let mut parts = line.split('{');
        let mut argument = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) =
                part.split_once('}').filter(|(name, _)| is_name(name)).ok_or_else(malformed)?;
            let choice = choices.get(name).ok_or_else(|| OperatorError::Missing(name.to_owned()))?;
            placed.insert(name);
            argument.push_str(choice);
            argument.push_str(rest);
        }
        arguments.push(argument);
    }
    match choices.keys().find(|name| !placed.contains(name.as_str())) {
        Some(name) => Err(OperatorError::NoPlace(name.clone())),
        None => Ok(arguments),
    }
}

const DISK: &str = "/dev/vdb";
const FOLDER: &str = "/data/operator";
const KEY: &str = "worker.key";
const SETTINGS: &str = "settings";
const BLOCK: usize = 512;
const NAME_BYTES: usize = 100;
const FILES_MAX: u32 = 64;
const CHOICES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn entry(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        block[156] = kind;
        let mut bytes = summed(block);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    fn summed(mut block: Vec<u8>) -> Vec<u8> {
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }

    fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
        [entries.concat(), vec![0; 2 * BLOCK]].concat()
    }

    fn refused(entries: &[Vec<u8>]) -> OperatorError {
        unpack(&archive(entries)[..], 1).unwrap_err()
    }

    #[test]
    fn files_of_an_archive() {
        let bytes = archive(&[
            entry("./", b'5', b""),
            entry("./worker.key", b'0', b"key"),
            entry("collateral/", b'5', b""),
            entry("collateral/intel.json", 0, &[7; 600]),
            entry("collateral/NV_GPU-1.swidtag", b'0', b""),
            entry("settings", b'0', b"a=b\n"),
        ]);
        let files = unpack(&bytes[..], 1).unwrap();
        let lengths: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.len())).collect();
        assert_eq!(
            lengths,
            [
                ("collateral/NV_GPU-1.swidtag", 0),
                ("collateral/intel.json", 600),
                ("settings", 4),
                ("worker.key", 3)
            ]
        );
        assert_eq!(files["worker.key"].as_slice(), b"key");
        assert_eq!(files["collateral/intel.json"].as_slice(), &[7; 600]);
    }

    /// As `tar` itself writes it, in the format it writes by default and in POSIX's.
    #[test]
    fn an_archive_as_tar_makes_it() {
        let folder = std::env::temp_dir().join(format!("tacit-operator-tar-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("collateral")).unwrap();
        std::fs::write(folder.join("worker.key"), "key").unwrap();
        std::fs::write(folder.join("collateral/intel.json"), [b'x'; 2000]).unwrap();
        for format in ["gnu", "ustar"] {
            let tar = std::process::Command::new("tar")
                .arg(format!("--format={format}"))
                .args(["-C", folder.to_str().unwrap(), "-cf", "-", "."])
                .output()
                .unwrap();
            assert!(tar.status.success());
            let files = unpack(&tar.stdout[..], 1).unwrap();
            assert_eq!(files["worker.key"].as_slice(), b"key");
            assert_eq!(files["collateral/intel.json"].as_slice(), [b'x'; 2000]);
            assert_eq!(files.len(), 2);
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn names_that_nobody_asked_for() {
        for name in [
            "worker.arguments",
            "../worker.key",
            "/worker.key",
            "/./worker.key",
            "collateral/../worker.key",
            "collateral/other.json",
            "collateral/.swidtag",
            "collateral/..swidtag",
            "collateral/a/b.swidtag",
            "collateral/a b.swidtag",
            "",
        ] {
            assert_eq!(refused(&[entry(name, b'0', b"")]), OperatorError::Unknown(name.into()), "{name}");
        }
    }

    #[test]
    fn links_and_devices() {
        for kind in [b'1', b'2', b'3', b'4', b'6', b'x', b'L'] {
            assert_eq!(refused(&[entry("worker.key", kind, b"")]), OperatorError::Kind("worker.key".into()));
        }
        // A folder that claims content would hide what follows.
        assert_eq!(refused(&[entry("collateral", b'5', b"x")]), OperatorError::Kind("collateral".into()));
    }

    #[test]
    fn a_file_twice() {
        let twice = [entry("settings", b'0', b"a=b"), entry("./settings", b'0', b"a=c")];
        assert_eq!(refused(&twice), OperatorError::Twice("settings".into()));
    }

    #[test]
    fn more_than_is_allowed() {
        let long = entry("collateral/intel.json", b'0', &vec![b'x'; (1 << 20) - BLOCK]);
        assert_eq!(refused(std::slice::from_ref(&long)), OperatorError::TooLong(1));
        assert_eq!(unpack(&archive(&[long])[..], 2).unwrap().len(), 1);
        // A length near the end of the numbers.
        let mut header = entry("worker.key", b'0', b"");
        header[124..136].copy_from_slice(b"777777777777");
        assert_eq!(refused(&[summed(header)]), OperatorError::TooLong(1));
        let many = vec![entry("a", b'5', b""); 65];
        assert_eq!(refused(&many), OperatorError::TooMany);
    }

    #[test]
    fn what_is_no_archive() {
        let whole = archive(&[entry("worker.key", b'0', b"key")]);
        for length in 0..3 * BLOCK {
            let got = unpack(&whole[..length], 1);
            let at = if length < 2 * BLOCK { 0 } else { 2 };
            assert_eq!(got, Err(OperatorError::Archive(at)), "{length}");
        }
        for at in 0..BLOCK {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert_eq!(unpack(&changed[..], 1), Err(OperatorError::Archive(0)), "{at}");
        }
        let mut prefixed = entry("worker.key", b'0', b"");
        prefixed[345] = b'a';
        assert_eq!(refused(&[summed(prefixed)]), OperatorError::Archive(0));
    }

    #[test]
    fn files_are_their_owners() {
        let folder = std::env::temp_dir().join(format!("tacit-operator-put-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let files = unpack(&archive(&[entry("worker.key", b'0', b"key")])[..], 1).unwrap();
        put(&folder, &files).unwrap();
        let mode = |name: &str| std::fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("worker.key"), mode("collateral")), (0o600, 0o700));
        assert_eq!(std::fs::read(folder.join("worker.key")).unwrap(), b"key");
        assert!(put(&folder, &files).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn choices() {
        let choices = parse_choices(b"endpoint=http://192.0.2.7:8546\nprice=0.0002\n").unwrap();
        assert_eq!(choices["endpoint"], "http://192.0.2.7:8546");
        assert_eq!(choices["price"], "0.0002");
        let long = "x".repeat(201);
        for line in
            ["", "a", "=b", "a=", "A=b", "a=-b", "a=b c", "a={b}", "a=b=c", "a=b\r", &format!("a={long}")]
        {
            assert_eq!(parse_choices(line.as_bytes()), Err(OperatorError::Line(1)), "{line}");
        }
        assert_eq!(parse_choices(b"a=b\n\nc=d\n"), Err(OperatorError::Line(2)));
        assert_eq!(parse_choices(b"a=\xff\n"), Err(OperatorError::Line(1)));
        assert_eq!(parse_choices(b"a=b\na=b\n"), Err(OperatorError::SettingTwice("a".into())));
        let many: String = (0..33).map(|at| format!("{}=x\n", "a".repeat(at + 1))).collect();
        assert_eq!(parse_choices(many.as_bytes()), Err(OperatorError::Line(33)));
    }

    #[test]
    fn arguments_with_choices() {
        let choices: Choices =
            [("price", "0.1"), ("at", "http://a")].map(|(name, value)| (name.into(), value.into())).into();
        let filled = fill("worker\n--model\nm.tacit={price}\n--endpoint\n{at}\n{at}/{price}x\n", &choices);
        assert_eq!(
            filled.unwrap(),
            ["worker", "--model", "m.tacit=0.1", "--endpoint", "http://a", "http://a/0.1x"]
        );
        assert_eq!(fill("{price}", &choices), Err(OperatorError::NoPlace("at".into())));
        assert_eq!(fill("{at}{price}{other}", &choices), Err(OperatorError::Missing("other".into())));
        for line in ["{", "{at", "{}", "{At}", "a{{at}}"] {
            assert_eq!(fill(line, &choices), Err(OperatorError::Place(line.into())), "{line}");
        }
        assert_eq!(fill("worker\n", &Choices::new()).unwrap(), ["worker"]);
    }
}
