//! The two files a validator is started from.
//!
//! - **network file**: what all validators share, byte for byte: rules, first block, who and where they are. Before its founders have made
//!   their key together, it is a **plan**: the same without first block and group.
//! - **validator file**: what is this validator's own: key, folders, addresses, sizes.
//!
//! Both are TOML. Paths are relative to the file that names them. [`NetworkFile::template`] and [`ValidatorFile::template`]
//! write them with every setting and what it means; what is left out has the value that the template shows.

use crate::{
    key::{NoAddress, ValidatorAddress},
    run::{Peer, Reach},
};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, hex, keccak256};
use alloy_rlp::Decodable as _;
use core::{
    fmt::Write as _,
    net::SocketAddr,
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tacit_consensus::{Group, GroupError, Pace, Rules, Timing};
use tacit_ledger::{Genesis, GenesisError};
use tacit_light::Trust;
use tacit_node::{FirstBlock, GenesisFileError, read_genesis};

/// Why a file is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not TOML of this shape.
    #[error("{} is malformed in line {line}: {reason}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// The genesis is none.
    #[error("genesis")]
    Genesis(#[source] GenesisFileError),
    /// A validator's key is none.
    #[error("{key:?} in {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The text.
        key: String,
        /// Why.
        source: NoAddress,
    },
    /// The group is none.
    #[error("group in {}", path.display())]
    Group {
        /// The file.
        path: PathBuf,
        /// Why.
        source: GroupError,
    },
    /// A validator that is not listed must say where it is.
    #[error("the validator does not say where others reach it: `address` is missing")]
    Unreachable,
    /// The first block's header is none.
    #[error("first_block in {} is no header", path.display())]
    FirstBlock {
        /// The file.
        path: PathBuf,
    },
    /// It is a plan.
    #[error("{} is a plan: its founders have not made their key yet", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
    },
    /// A founder's signature is of another network, or none.
    #[error("the signature of {key} in {} is not of this network", path.display())]
    Signature {
        /// The file.
        path: PathBuf,
        /// Whose.
        key: String,
    },
    /// Some founders have signed, and too few.
    #[error("{got} of {of} founders have signed {}, more than two thirds must", path.display())]
    Unsigned {
        /// The file.
        path: PathBuf,
        /// Signatures.
        got: usize,
        /// Founders.
        of: usize,
    },
}

/// What all validators share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// The genesis, as lines of JSON.
    pub genesis: PathBuf,
    /// RLP of the first block's header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_block: Option<Bytes>,
    /// Root of the first state before the network's namespace is in it, by the ledger's own commitment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_state: Option<B256>,
    /// The first validators' group, whose shares sign threshold certificates, as hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether addresses are of one machine or private network.
    #[serde(default = "yes")]
    pub local: bool,
    /// Most seconds from a block's timestamp to its child's.
    #[serde(default = "timestamp_step")]
    pub timestamp_step_s_max: u64,
    /// Seconds by which a timestamp may be ahead of a validator's clock without delaying its vote.
    #[serde(default = "clock_ahead")]
    pub clock_ahead_s_max: u64,
    /// Blocks from one checkpoint of the state to the next.
    #[serde(default = "checkpoint_blocks")]
    pub checkpoint_blocks: NonZeroU64,
    /// Least milliseconds between the start of a view and its proposal.
    #[serde(default = "busy")]
    pub block_ms_min: u64,
    /// Milliseconds a leader waits for a transaction before it proposes an empty block.
    #[serde(default = "idle")]
    pub block_ms_max: u64,
    /// Milliseconds until a leader that says nothing is passed over.
    #[serde(default = "leader_timeout")]
    pub leader_timeout_ms: u64,
    /// Who and where the first validators are.
    pub validators: Vec<NetworkPeer>,
}

/// One of the network's first validators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPeer {
    /// Its public key, 64 hex digits.
    pub key: String,
    /// Its address, seen from the others.
    pub address: SocketAddr,
    /// Its signature of the network, 128 hex digits, where the founders made their key together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What is a validator's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorFile {
    /// The network file.
    pub network: PathBuf,
    /// The key file.
    pub key: PathBuf,
    /// The file of its share of the group's key; without one it signs no certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<PathBuf>,
    /// The key file of an account that pays for reports of validators that voted twice; without one nothing is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporter: Option<PathBuf>,
    /// The data directory.
    pub data: PathBuf,
    /// Where other validators connect.
    pub listen: SocketAddr,
    /// Where other validators reach this one, when that is neither in the network file nor `listen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// Where JSON-RPC listens.
    #[serde(default = "rpc")]
    pub rpc: SocketAddr,
    /// Snapshots of the state that are served to others at a time; none where it is 0.
    #[serde(default = "snapshots")]
    pub snapshots: usize,
    /// Who gets the priority fees of this validator's blocks.
    #[serde(default)]
    pub beneficiary: Address,
    /// Memory for pages of state, in MiB.
    #[serde(default = "state_cache")]
    pub state_cache_mib: NonZeroUsize,
    /// Threads of consensus.
    #[serde(default = "threads")]
    pub threads: NonZeroUsize,
}

/// A plan, read and checked, with the genesis that it names.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file as it is.
    pub file: NetworkFile,
    /// How the chain begins.
    pub genesis: Genesis,
    /// Who is to make the key.
    pub founders: Vec<Peer>,
    /// Where they are.
    pub reach: Reach,
}

/// A network file, read and checked, with the genesis that it names.
#[derive(Debug, Clone)]
pub struct Network {
    /// How the chain begins.
    pub genesis: Genesis,
    /// The first block.
    pub first_block: FirstBlock,
    /// The first validators' group, whose shares sign threshold certificates.
    pub group: Group,
    /// Rules that blocks keep.
    pub rules: Rules,
    /// How long things take.
    pub timing: Timing,
    /// Where the validators are.
    pub reach: Reach,
    /// The first validators.
    pub validators: Vec<Peer>,
}

impl NetworkFile {
    /// A network with default settings.
    #[must_use]
    pub fn new(genesis: PathBuf, first: &FirstBlock, group: &Group, validators: Vec<NetworkPeer>) -> Self {
        Self::planned(genesis, validators).begun(first, group)
    }

    /// The plan of a network with default settings.
    #[must_use]
    pub fn planned(genesis: PathBuf, validators: Vec<NetworkPeer>) -> Self {
        Self {
            genesis,
            first_block: None,
            first_state: None,
            group: None,
            local: yes(),
            timestamp_step_s_max: timestamp_step(),
            clock_ahead_s_max: clock_ahead(),
            checkpoint_blocks: checkpoint_blocks(),
            block_ms_min: busy(),
            block_ms_max: idle(),
            leader_timeout_ms: leader_timeout(),
            validators,
        }
    }

    /// What becomes of a plan once the key is made.
    #[must_use]
    pub fn begun(self, first: &FirstBlock, group: &Group) -> Self {
        Self {
            first_block: Some(alloy_rlp::encode(&first.header).into()),
            first_state: Some(first.state),
            group: Some(group.to_string()),
            ..self
        }
    }

    /// What founders sign of a network that has begun: everything in the file that all must believe, and nothing that may change, as
    /// addresses do. `specs/0007-light.md` has the format.
    #[must_use]
    pub fn statement(&self, chain_id: u64) -> B256 {
        let group = self.group.as_deref().and_then(|group| hex::decode(group).ok()).unwrap_or_default();
        let first = self.first_block.as_ref().map_or(B256::ZERO, keccak256);
        let state = self.first_state.unwrap_or_default();
        let chain_id = chain_id.to_be_bytes();
        keccak256(
            [STATEMENT_DOMAIN, &chain_id, first.as_slice(), state.as_slice(), &self.agreed(), &group]
                .concat(),
        )
    }

    /// Rules that are not in the genesis.
    fn agreed(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let rules = [self.timestamp_step_s_max, self.clock_ahead_s_max, self.checkpoint_blocks.get()];
        for (place, rule) in bytes.chunks_exact_mut(8).zip(rules) {
            place.copy_from_slice(&rule.to_be_bytes());
        }
        bytes
    }

    /// Reads a network file, or a plan, and the genesis that it names but for the accounts: those are read by whoever begins with them.
    ///
    /// # Errors
    /// A file cannot be read, or is malformed.
    pub fn load_plan(path: &Path) -> Result<Plan, FileError> {
        let file: Self = read(path)?;
        let genesis_path = beside(path, &file.genesis);
        let genesis = read_genesis(&genesis_path).map_err(FileError::Genesis)?;
        let genesis = Genesis { first_state: file.first_state, ..genesis };
        let peer = |peer: &NetworkPeer| match peer.key.parse::<ValidatorAddress>() {
            Ok(key) => Ok(Peer { key, address: peer.address }),
            Err(source) => Err(FileError::Key { path: path.to_owned(), key: peer.key.clone(), source }),
        };
        let founders = file.validators.iter().map(peer).collect::<Result<_, _>>()?;
        let reach = if file.local { Reach::Local } else { Reach::Public };
        Ok(Plan { file, genesis, founders, reach })
    }

    /// Reads a network file and the genesis that it names. Where founders have signed it, more than two thirds must have.
    ///
    /// # Errors
    /// A file cannot be read, is malformed, or is not what its founders signed.
    pub fn load(path: &Path) -> Result<Network, FileError> {
        let Plan { file, genesis, founders: validators, reach } = Self::load_plan(path)?;
        let (Some(first_block), Some(state), Some(group)) =
            (&file.first_block, file.first_state, &file.group)
        else {
            return Err(FileError::Plan { path: path.to_owned() });
        };
        let mut bytes = &first_block[..];
        let header = Header::decode(&mut bytes).ok().filter(|_| bytes.is_empty());
        let header = header.ok_or_else(|| FileError::FirstBlock { path: path.to_owned() })?;
        let group: Group =
            group.parse().map_err(|source| FileError::Group { path: path.to_owned(), source })?;
        file.check_signatures(path, genesis.chain.chain_id, &validators)?;
        let first_block = FirstBlock { header, state, group: group.key() };
        Ok(Network {
            rules: Rules {
                chain: genesis.chain,
                timestamp_step_s_max: file.timestamp_step_s_max,
                clock_ahead_s_max: file.clock_ahead_s_max,
                checkpoint_blocks: file.checkpoint_blocks,
            },
            timing: file.timing(),
            reach,
            group,
            validators,
            genesis,
            first_block,
        })
    }

    /// Checks what founders have signed, if any has.
    fn check_signatures(&self, path: &Path, chain_id: u64, founders: &[Peer]) -> Result<(), FileError> {
        let statement = self.statement(chain_id);
        let mut got = 0_usize;
        for (peer, founder) in self.validators.iter().zip(founders) {
            let Some(signature) = &peer.signature else { continue };
            if !founder.key.has_signed(statement, signature) {
                return Err(FileError::Signature { path: path.to_owned(), key: founder.key.to_string() });
            }
            got = got.saturating_add(1);
        }
        let of = founders.len();
        // More than two thirds, as the ledger counts: all but a third of those beyond one.
        let needed = of.saturating_sub(of.saturating_sub(1) / 3);
        if got > 0 && got < needed {
            return Err(FileError::Unsigned { path: path.to_owned(), got, of });
        }
        Ok(())
    }

    fn timing(&self) -> Timing {
        let leader_timeout = Duration::from_millis(self.leader_timeout_ms);
        Timing {
            pace: Pace {
                busy: Duration::from_millis(self.block_ms_min),
                idle: Duration::from_millis(self.block_ms_max),
            },
            leader_timeout,
            certification_timeout: leader_timeout.saturating_mul(2),
            retry: leader_timeout,
            fetch_timeout: leader_timeout,
        }
    }

    /// The file with a comment on every setting.
    #[must_use]
    pub fn template(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = match (&self.first_block, self.first_state, &self.group) {
            (Some(first_block), Some(first_state), Some(group)) => write!(
                text,
                "# A network of validators. Every validator has the same file.\n\
                 \n\
                 # Header of the first block (RLP). Its hash names the network; a validator that makes another of the genesis refuses to start.\n\
                 first_block = \"{first_block}\"\n\
                 # Root of the first state before the network's namespace is in it, by the ledger's own commitment: what genesis must hold.\n\
                 first_state = \"{first_state}\"\n\
                 # The group of the first validators, who hold a key together that signs certificates for light clients. They hand it on to\n\
                 # those who come after them; the key stays.\n\
                 group = {group:?}\n"
            ),
            _ => write!(
                text,
                "# The plan of a network. Every founder has the same file, and the genesis beside it. Once the founders have made their key\n\
                 # together (`tacit node ceremony`), each has network.toml, which says all of this and what came of it.\n\
                 \n"
            ),
        };
        let _ = write!(
            text,
            "# State at the start: accounts, parameters of the chain, the founders' stakes.\n\
             genesis = {genesis:?}\n\
             # Whether all validators are on one machine or private network. False on the public network: private addresses are refused.\n\
             local = {local}\n\
             # Most seconds from a block's timestamp to its child's; a vote may wait this long for a clock that is behind.\n\
             timestamp_step_s_max = {timestamp_step_s_max}\n\
             # Seconds by which a timestamp may be ahead of a validator's clock without delaying its vote.\n\
             clock_ahead_s_max = {clock_ahead_s_max}\n\
             # Blocks from one checkpoint of the state to the next: a new node begins with the newest, and executes what came after.\n\
             checkpoint_blocks = {checkpoint_blocks}\n\
             # Least milliseconds between the start of a view and its proposal. Larger blocks, fewer of them, later.\n\
             block_ms_min = {block_ms_min}\n\
             # Milliseconds a leader waits for a transaction before it proposes an empty block.\n\
             block_ms_max = {block_ms_max}\n\
             # Milliseconds until a leader that says nothing is passed over; more than block_ms_max by what building and sending take.\n\
             leader_timeout_ms = {leader_timeout_ms}\n",
            genesis = self.genesis.display().to_string(),
            local = self.local,
            timestamp_step_s_max = self.timestamp_step_s_max,
            clock_ahead_s_max = self.clock_ahead_s_max,
            checkpoint_blocks = self.checkpoint_blocks,
            block_ms_min = self.block_ms_min,
            block_ms_max = self.block_ms_max,
            leader_timeout_ms = self.leader_timeout_ms,
        );
        text.push_str("\n# Public key of each of the first validators, and its address seen from the others. Whoever joins later calls them first. Where they\n# made their key together: its signature of first block, group and rules.\n");
        for NetworkPeer { key, address, signature } in &self.validators {
            let _ = write!(text, "[[validators]]\nkey = \"{key}\"\naddress = \"{address}\"\n");
            if let Some(signature) = signature {
                let _ = writeln!(text, "signature = \"{signature}\"");
            }
        }
        text
    }
}

impl Plan {
    /// What the founders' ceremony is about: everything that they have agreed on, but for addresses.
    ///
    /// # Errors
    /// The genesis is refused.
    pub fn id(&self) -> Result<B256, GenesisError> {
        let genesis = self.genesis.namespace()?;
        let mut keys: Vec<B256> = self.founders.iter().map(|peer| peer.key.bytes()).collect();
        keys.sort_unstable();
        let keys: Vec<u8> = keys.iter().flat_map(|key| key.0).collect();
        Ok(keccak256([CEREMONY_DOMAIN, genesis.as_slice(), &self.file.agreed(), &keys].concat()))
    }
}

impl Network {
    /// What whoever runs no validator must know of the network to believe its certificates. Votes are not taken beside the
    /// group's: they are of validators who may have left.
    #[must_use]
    pub fn trust(&self) -> Trust {
        let header = &self.first_block.header;
        Trust::new(self.genesis.chain.chain_id, header.hash_slow())
            .with_first_number(header.number)
            .with_group(self.group.key())
    }
}

impl ValidatorFile {
    /// A validator with default settings.
    #[must_use]
    pub fn new(network: PathBuf, key: PathBuf, data: PathBuf, listen: SocketAddr, rpc: SocketAddr) -> Self {
        Self {
            network,
            key,
            share: None,
            reporter: None,
            data,
            listen,
            address: None,
            rpc,
            snapshots: snapshots(),
            beneficiary: Address::ZERO,
            state_cache_mib: state_cache(),
            threads: threads(),
        }
    }

    /// Where others reach the validator with this key: as it says itself, as the network's file says, or where it listens.
    ///
    /// # Errors
    /// It listens on every address there is, and none is named.
    pub fn reached(&self, key: &ValidatorAddress, network: &Network) -> Result<SocketAddr, FileError> {
        let listed = network.validators.iter().find(|peer| peer.key == *key).map(|peer| peer.address);
        let named = self.address.or(listed);
        let listens = Some(self.listen).filter(|listen| !listen.ip().is_unspecified());
        named.or(listens).ok_or(FileError::Unreachable)
    }

    /// Reads a validator file; its paths become absolute, or relative to the working directory.
    ///
    /// # Errors
    /// It cannot be read, or is malformed.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let file: Self = read(path)?;
        Ok(Self {
            network: beside(path, &file.network),
            key: beside(path, &file.key),
            share: file.share.as_deref().map(|share| beside(path, share)),
            reporter: file.reporter.as_deref().map(|reporter| beside(path, reporter)),
            data: beside(path, &file.data),
            ..file
        })
    }

    /// The file with a comment on every setting.
    #[must_use]
    pub fn template(&self) -> String {
        format!(
            "# One validator.\n\
             \n\
             # The network that it belongs to.\n\
             network = {network:?}\n\
             # Its key, readable by its owner alone. On one machine only: a key that votes in two places votes against itself.\n\
             key = {key:?}\n\
             # Its share of the group's key, if it is one of the first validators; likewise readable by its owner alone. Others are handed\n\
             # theirs when they come to vote. All shares after the first are in the data folder.\n\
             {share}\n\
             # Key file of an account with some coins: it reports validators that voted twice, and gets the reward. Without one nobody is reported.\n\
             {reporter}\n\
             # Chain, state and votes. Whoever copies this folder must not start both copies.\n\
             data = {data:?}\n\
             # Where other validators connect.\n\
             listen = \"{listen}\"\n\
             # Where they reach this one. Taken from the network file, or else from listen, when left out.\n\
             {address}\n\
             # Where JSON-RPC, WebSocket, /health and /metrics are served. They have no password: keep it on the loopback address, or\n\
             # behind a proxy.\n\
             rpc = \"{rpc}\"\n\
             # Snapshots of the state that are served at a time to nodes that begin with a checkpoint; 0 serves none.\n\
             snapshots = {snapshots}\n\
             # Who gets the priority fees of this validator's blocks.\n\
             beneficiary = \"{beneficiary}\"\n\
             # Memory for pages of state, in MiB. State that does not fit costs a disk read per account.\n\
             state_cache_mib = {state_cache_mib}\n\
             # Threads of consensus.\n\
             threads = {threads}\n",
            network = self.network.display().to_string(),
            key = self.key.display().to_string(),
            share = self.share.as_ref().map_or_else(
                || "# share = \"validator.share\"".to_owned(),
                |share| format!("share = {:?}", share.display().to_string()),
            ),
            reporter = self.reporter.as_ref().map_or_else(
                || "# reporter = \"reporter.key\"".to_owned(),
                |reporter| format!("reporter = {:?}", reporter.display().to_string()),
            ),
            data = self.data.display().to_string(),
            listen = self.listen,
            address = self.address.map_or_else(
                || "# address = \"IP:PORT\"".to_owned(),
                |address| format!("address = \"{address}\"")
            ),
            rpc = self.rpc,
            snapshots = self.snapshots,
            beneficiary = self.beneficiary,
            state_cache_mib = self.state_cache_mib,
            threads = self.threads,
        )
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, FileError> {
    let text =
        fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count().saturating_add(1);
        FileError::Toml { path: path.to_owned(), line, reason: error.message().to_owned() }
    })
}

/// `name` as seen from the folder of `file`.
fn beside(file: &Path, name: &Path) -> PathBuf {
    file.parent().map_or_else(|| name.to_owned(), |folder| folder.join(name))
}

const STATEMENT_DOMAIN: &[u8] = b"tacit/network/1";
const CEREMONY_DOMAIN: &[u8] = b"tacit/ceremony/1";

const fn yes() -> bool {
    true
}
const fn timestamp_step() -> u64 {
    30
}
const fn clock_ahead() -> u64 {
    2
}
const fn checkpoint_blocks() -> NonZeroU64 {
    commonware_utils::NZU64!(256)
}
const fn busy() -> u64 {
    50
}
const fn idle() -> u64 {
    1_000
}
const fn leader_timeout() -> u64 {
    2_000
}
const fn rpc() -> SocketAddr {
    SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 8545)
}
const fn snapshots() -> usize {
    2
}
const fn state_cache() -> NonZeroUsize {
    commonware_utils::NZUsize!(256)
}
const fn threads() -> NonZeroUsize {
    commonware_utils::NZUsize!(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        let member = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".parse().unwrap();
        crate::deal_group([member]).unwrap().0
    }

    #[test]
    fn templates_say_every_setting_and_read_back() {
        let peer = NetworkPeer {
            key: "00".repeat(32),
            address: "127.0.0.1:30301".parse().unwrap(),
            signature: Some("11".repeat(64)),
        };
        let first =
            FirstBlock { header: Header::default(), state: B256::repeat_byte(3), group: group().key() };
        let file = NetworkFile::new("genesis.jsonl".into(), &first, &group(), vec![peer.clone(), peer]);
        let text = file.template();
        assert_eq!(toml::from_str::<NetworkFile>(&text).unwrap(), file);
        let value = toml::Value::try_from(&file).unwrap();
        for key in value.as_table().unwrap().keys() {
            assert!(text.contains(key), "{key} is not in the template");
        }
        let (listen, rpc) = ("0.0.0.0:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let file = ValidatorFile::new("../n \"1\".toml".into(), "k".into(), "d".into(), listen, rpc);
        assert_eq!(toml::from_str::<ValidatorFile>(&file.template()).unwrap(), file);
        let file = ValidatorFile {
            share: Some("s".into()),
            reporter: Some("r".into()),
            address: Some(listen),
            ..file
        };
        let text = file.template();
        assert_eq!(toml::from_str::<ValidatorFile>(&text).unwrap(), file);
        let value = toml::Value::try_from(&file).unwrap();
        for key in value.as_table().unwrap().keys() {
            assert!(
                text.lines().any(|line| line.starts_with(&format!("{key} = "))),
                "{key} is not in the template"
            );
        }
    }

    #[test]
    fn what_is_left_out_has_the_template_s_value() {
        let text = format!(
            "genesis = 'g'\nfirst_block = '0x'\nfirst_state = '{}'\ngroup = ''\nvalidators = []",
            B256::ZERO
        );
        let file = toml::from_str::<NetworkFile>(&text).unwrap();
        let first = FirstBlock { header: Header::default(), state: B256::ZERO, group: group().key() };
        let expected = NetworkFile::new("g".into(), &first, &group(), Vec::new());
        let (first_block, group) = (Some(Bytes::new()), Some(String::new()));
        assert_eq!(file, NetworkFile { first_block, group, ..expected });
        assert!(
            toml::from_str::<NetworkFile>(&format!("{text}\nblock_ms = 5")).is_err(),
            "a misspelt setting"
        );
    }

    #[test]
    fn each_fault_of_a_file_is_told() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("network.toml");
        let load = |text: &str| {
            fs::write(&path, text).unwrap();
            NetworkFile::load(&path).unwrap_err()
        };
        assert!(matches!(NetworkFile::load(&path), Err(FileError::Read { .. })));
        assert!(matches!(load("\nlocal = 5\ngenesis = 'g'"), FileError::Toml { line: 2, .. }));
        let state = B256::ZERO;
        let rest =
            format!("first_block = '0x'\nfirst_state = '{state}'\ngroup = '{}'\nvalidators = []", group());
        let absent = load(&format!("genesis = 'no.jsonl'\n{rest}"));
        assert!(matches!(absent, FileError::Genesis(GenesisFileError::Read { .. })), "{absent}");
        fs::write(home.path().join("bad.jsonl"), "{}").unwrap();
        assert!(matches!(
            load(&format!("genesis = 'bad.jsonl'\n{rest}")),
            FileError::Genesis(GenesisFileError::Line { .. })
        ));
        let genesis =
            r#"{"chain":{"chainId":1,"gasLimit":60000000,"baseFeeFloor":0},"timestamp":1,"baseFee":7}"#;
        fs::write(home.path().join("good.jsonl"), genesis).unwrap();
        assert!(matches!(load(&format!("genesis = 'good.jsonl'\n{rest}")), FileError::FirstBlock { .. }));
        let header = alloy_primitives::hex::encode_prefixed(alloy_rlp::encode(Header::default()));
        let key = load(&format!(
            "genesis = 'good.jsonl'\nfirst_block = '{header}'\nfirst_state = '{state}'\ngroup = '{}'\n[[validators]]\nkey = 'me'\naddress = '127.0.0.1:1'",
            group()
        ));
        assert!(matches!(key, FileError::Key { .. }), "{key}");
        let group = load(&format!(
            "genesis = 'good.jsonl'\nfirst_block = '{header}'\nfirst_state = '{state}'\ngroup = '00'\nvalidators = []"
        ));
        assert!(matches!(group, FileError::Group { .. }), "{group}");
        assert!(matches!(ValidatorFile::load(&path), Err(FileError::Toml { .. })));
    }
}
