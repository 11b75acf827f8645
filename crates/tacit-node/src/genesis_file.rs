//! A genesis as a file: a line of JSON for each thing, so that a state of any size is written and read without being held.
//!
//! # Format
//! The first line is the [`Genesis`] without accounts. Then accounts by address, each followed by its slots by key; what is zero or
//! empty may be left out:
//! ```text
//! {"chain":{"chainId":1,"gasLimit":100000000,"baseFeeFloor":7},"timestamp":1800000000,"baseFee":7}
//! {"address":"0x…","balance":"0x1"}
//! {"address":"0x…","balance":"0x0","nonce":1,"code":"0x…"}
//! {"slot":"0x…","value":"0x…"}
//! ```

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use tacit_ledger::{Accounts, AccountsError, Alloc, Entries, Entry, Genesis};
use thiserror::Error;

/// Why a file is no genesis.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GenesisFileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not the JSON that it should be.
    #[error("{} is malformed in line {line}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        line: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// A line is neither an account nor a slot.
    #[error("{}: line {line} is neither an account nor a slot", path.display())]
    Neither {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        line: u64,
    },
    /// A line is longer than any account's.
    #[error("{}: line {line} has more than {LINE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        line: u64,
    },
}

/// Reads the first line of a genesis file; its accounts are read when they are needed.
///
/// # Errors
/// The file cannot be read, or its first line is none of a genesis.
pub fn read_genesis(path: &Path) -> Result<Genesis, GenesisFileError> {
    let mut lines = Lines::open(path)?;
    let line = lines.next_line()?.unwrap_or_default();
    let genesis: Genesis = serde_json::from_slice(line).map_err(|source| lines.malformed(source))?;
    Ok(Genesis { alloc: Alloc::Kept(Arc::new(GenesisFile(path.to_owned()))), ..genesis })
}

/// What was written beside the first line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Accounts.
    pub accounts: u64,
    /// Slots.
    pub slots: u64,
}

/// Writes a genesis as [`read_genesis`] reads it.
///
/// # Errors
/// `file` fails, or the accounts cannot be read.
pub fn write_genesis(genesis: &Genesis, file: &mut impl Write) -> io::Result<Written> {
    let mut written = Written::default();
    serde_json::to_writer(&mut *file, genesis)?;
    file.write_all(b"\n")?;
    for entry in genesis.alloc.entries() {
        let line = Line::from(entry.map_err(io::Error::other)?);
        let count = if line.address.is_some() { &mut written.accounts } else { &mut written.slots };
        *count = count.saturating_add(1);
        serde_json::to_writer(&mut *file, &line)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(written)
}

/// The accounts in a genesis file.
#[derive(Debug)]
struct GenesisFile(PathBuf);

impl Accounts for GenesisFile {
    fn entries(&self) -> Entries<'_> {
        let lines = Lines::open(&self.0).and_then(|mut lines| {
            lines.next_line()?;
            Ok(lines)
        });
        match lines {
            Ok(lines) => Box::new(lines.map(|entry| entry.map_err(AccountsError::new))),
            Err(error) => Box::new(std::iter::once(Err(AccountsError::new(error)))),
        }
    }
}

struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    bytes: Vec<u8>,
    /// Lines read.
    count: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, GenesisFileError> {
        let file =
            File::open(path).map_err(|source| GenesisFileError::Read { path: path.to_owned(), source })?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        Ok(Self { path: path.to_owned(), reader, bytes: Vec::new(), count: 0 })
    }

    /// The next line; `None` after the last one.
    fn next_line(&mut self) -> Result<Option<&[u8]>, GenesisFileError> {
        self.bytes.clear();
        self.count = self.count.saturating_add(1);
        let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.bytes);
        match read {
            Err(source) => Err(GenesisFileError::Read { path: self.path.clone(), source }),
            Ok(0) => Ok(None),
            Ok(got) if got as u64 == LINE_BYTES_MAX => {
                Err(GenesisFileError::TooLong { path: self.path.clone(), line: self.count })
            }
            Ok(_) => Ok(Some(&self.bytes)),
        }
    }

    fn malformed(&self, source: serde_json::Error) -> GenesisFileError {
        GenesisFileError::Line { path: self.path.clone(), line: self.count, source }
    }
}

impl Iterator for Lines {
    type Item = Result<Entry, GenesisFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = match self.next_line() {
            Ok(line) => serde_json::from_slice::<Line>(line?),
            Err(error) => return Some(Err(error)),
        };
        Some(line.map_err(|source| self.malformed(source)).and_then(|line| {
            line.entry()
                .ok_or_else(|| GenesisFileError::Neither { path: self.path.clone(), line: self.count })
        }))
    }
}

/// An account or a slot, as a line says it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<U256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<B256>,
}

impl Line {
    fn entry(self) -> Option<Entry> {
        match self {
            Self { address: Some(address), balance, nonce, code, slot: None, value: None } => {
                let (balance, nonce) = (balance.unwrap_or_default(), nonce.unwrap_or_default());
                Some(Entry::Account { address, balance, nonce, code: code.unwrap_or_default() })
            }
            Self {
                address: None,
                balance: None,
                nonce: None,
                code: None,
                slot: Some(slot),
                value: Some(value),
            } => Some(Entry::Slot { slot, value }),
            _ => None,
        }
    }
}

impl From<Entry> for Line {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Account { address, balance, nonce, code } => Self {
                address: Some(address),
                balance: Some(balance),
                nonce: Some(nonce).filter(|nonce| *nonce != 0),
                code: Some(code).filter(|code| !code.is_empty()),
                ..Self::default()
            },
            Entry::Slot { slot, value } => Self { slot: Some(slot), value: Some(value), ..Self::default() },
        }
    }
}

/// Longest line: code far beyond what a transaction can deploy fits, as hex digits.
const LINE_BYTES_MAX: u64 = 32 << 20;
const BUFFER_BYTES: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;
    use tacit_ledger::{Chain, GenesisAccount, GenesisError, Staking};

    fn genesis() -> Genesis {
        let contract = GenesisAccount {
            nonce: 1,
            code: Bytes::from_static(&[0x60, 1]),
            storage: (1..=3).map(|n| (B256::with_last_byte(n), B256::repeat_byte(n))).collect(),
            ..GenesisAccount::default()
        };
        let rich = GenesisAccount { balance: U256::MAX >> 1, ..GenesisAccount::default() };
        Genesis {
            chain: Chain { chain_id: 1, gas_limit: 60_000_000, base_fee_floor: 7, certifier: None },
            timestamp: 1_800_000_000,
            base_fee: 7,
            extra_data: Bytes::new(),
            alloc: [(Address::repeat_byte(1), contract), (Address::repeat_byte(2), rich)].into(),
            first_state: None,
            staking: Staking::default(),
            origin: None,
        }
    }

    fn entries(genesis: &Genesis) -> Vec<Entry> {
        genesis.alloc.entries().map(Result::unwrap).collect()
    }

    #[test]
    fn a_written_genesis_reads_back() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("genesis.jsonl");
        let mut file = File::create(&path).unwrap();
        assert_eq!(write_genesis(&genesis(), &mut file).unwrap(), Written { accounts: 2, slots: 3 });
        let read = read_genesis(&path).unwrap();
        assert_eq!(entries(&read), entries(&genesis()));
        assert_eq!(entries(&read), entries(&genesis()), "and once more");
        assert_eq!(read.namespace().unwrap(), genesis().namespace().unwrap());
    }

    #[test]
    fn each_fault_of_a_file_is_told_with_its_line() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("genesis.jsonl");
        assert!(matches!(read_genesis(&path), Err(GenesisFileError::Read { .. })));
        std::fs::write(&path, "").unwrap();
        assert!(matches!(read_genesis(&path), Err(GenesisFileError::Line { line: 1, .. })));
        let head = serde_json::to_string(&genesis()).unwrap();
        let account = r#"{"address":"0x0101010101010101010101010101010101010101","nonce":1}"#;
        let told = |lines: &[&str]| {
            std::fs::write(&path, [&[head.as_str()], lines].concat().join("\n")).unwrap();
            let read = read_genesis(&path).unwrap();
            read.found().finish().map(|_| ()).unwrap_err().to_string()
        };
        let slot = format!(r#"{{"slot":"{}","value":"{}"}}"#, B256::ZERO, B256::with_last_byte(1));
        for (lines, expected) in [
            (&[account, "{"][..], "line 3"),
            (&[account, "", &slot], "line 3"),
            (&[r#"{"address":"0x01"}"#], "line 2"),
            (&[r#"{"colour":1}"#], "line 2"),
            (&[r#"{"balance":"0x1"}"#], "line 2 is neither an account nor a slot"),
            (
                &[account, &format!(r#"{{"slot":"{}"}}"#, B256::ZERO)],
                "line 3 is neither an account nor a slot",
            ),
        ] {
            let told = told(lines);
            assert!(told.contains(expected), "{told}");
        }
        for (lines, address) in
            [(&[account, account][..], Address::repeat_byte(1)), (&[&slot], Address::ZERO)]
        {
            assert_eq!(told(lines), GenesisError::Order(address).to_string());
        }
        let long = File::create(&path).unwrap();
        long.set_len(LINE_BYTES_MAX + 1).unwrap();
        assert!(matches!(read_genesis(&path), Err(GenesisFileError::TooLong { line: 1, .. })));
    }

    #[test]
    fn a_file_that_goes_away_is_told() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("genesis.jsonl");
        write_genesis(&genesis(), &mut File::create(&path).unwrap()).unwrap();
        let read = read_genesis(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(read.found().finish(), Err(GenesisError::Accounts(_))));
    }
}
