//! `tacit node init-network`, `run`, `export`: a ledger that validators keep together.

use crate::args::{Export, FromCheckpoint, InitNetwork, Lifetime};
use crate::commands::found;
use crate::commands::node::{bind, url};
use crate::commands::sync::{self, Folders};
use crate::failure::{Context, Failure};
use crate::lifetime;
use crate::output::Output;
use alloy_primitives::{Address, Bytes, U256};
use serde_json::json;
use std::fs::File;
use std::io::BufWriter;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tacit_ledger::{BLOCKS_PER_SEAT, Chain, Founder, Genesis, GenesisAccount, Staking, StakingParameters};
use tacit_node::{
    DEV_BALANCE, DEV_BASE_FEE, DEV_GAS_LIMIT, GenesisFileError, Node, NodeConfig, NodeError, StoreError,
    Written, dev_accounts,
};
use tacit_validator::{
    FileError, Group, HomeError, Known, NetworkFile, NetworkPeer, Reported, RunError, RunningValidator,
    SavedEvidence, ShareKey, ValidatorAddress, ValidatorConfig, ValidatorFile, ValidatorKey, report_all,
};
use tacit_wire::Wallet;

/// Writes everything that a network needs into a new folder.
pub(crate) fn init(arguments: &InitNetwork, output: Output) -> Result<(), Failure> {
    let home = &arguments.output;
    if home.join(NETWORK).exists() {
        return Err(Failure::new(
            "exists",
            format!("{} holds a network already", home.display()),
            "choose another folder with --output",
        ));
    }
    let places = places(arguments)?;
    let mut genesis = genesis(arguments, places.len())?;
    let payer = payer(arguments, &genesis)?;
    create_folder(home)?;
    let mut keys: Vec<ValidatorAddress> = Vec::new();
    for index in 1..=places.len() {
        let folder = home.join(folder_name(index));
        create_folder(&folder)?;
        let key = create_key(&folder.join(KEY))?;
        // Its stake belongs to a new account. Where the chain is new, that has some coins to send transactions with, and so has another
        // that reports.
        let owner = create_wallet(&folder.join(OWNER))?;
        let stake = genesis.staking.parameters.stake_min;
        genesis.staking.founders.push(Founder { key: key.bytes(), owner, stake, payer });
        if genesis.origin.is_none() {
            fund(&mut genesis, owner, OWNER_BALANCE);
            fund(&mut genesis, create_wallet(&folder.join(REPORTER))?, REPORTER_BALANCE);
        }
        keys.push(key);
    }
    // Known from here on, so that the accounts are read no more often than they are stored.
    let first_state = genesis.first_root().failed("bad_genesis", "this genesis begins no network", "")?;
    genesis.first_state = Some(first_state);
    let group = deal(home, &keys)?;
    let scratch = home.join("scratch");
    let first = tacit_validator::first_block(&genesis, &group, &scratch);
    std::fs::remove_dir_all(&scratch).failed("cannot_write", scratch.display(), "")?;
    let first = first.failed("genesis", "the first block cannot be made", POOR)?;
    let written = write_genesis(home, &genesis)?;
    let peer = |(key, place): (&ValidatorAddress, &Place)| NetworkPeer {
        key: key.to_string(),
        address: place.reached,
        signature: None,
    };
    let validators = keys.iter().zip(&places).map(peer).collect();
    let mut network = NetworkFile::new(GENESIS.into(), &first, &group, validators);
    if let Some(blocks) = arguments.checkpoint_blocks {
        network.checkpoint_blocks = blocks;
    }
    network.local = places.iter().all(|place| is_private(place.reached.ip()));
    write(&home.join(NETWORK), network.template().as_bytes())?;
    for (index, place) in (1..).zip(&places) {
        let mut file = ValidatorFile::new(
            Path::new("..").join(NETWORK),
            KEY.into(),
            "data".into(),
            place.listen,
            place.rpc,
        );
        file.share = Some(SHARE.into());
        file.reporter = home.join(folder_name(index)).join(REPORTER).exists().then(|| REPORTER.into());
        write(&home.join(folder_name(index)).join(VALIDATOR), file.template().as_bytes())?;
    }
    let result = json!({
        "network": home.join(NETWORK), "chain_id": genesis.chain.chain_id, "first_block": first.header.number,
        "first_block_hash": first.header.hash_slow(), "accounts": written.accounts,
        "validators": (1..).zip(keys.iter().zip(&places)).map(|(index, (key, place))| json!({
            "config": home.join(folder_name(index)).join(VALIDATOR), "key": key.to_string(),
            "address": place.reached, "rpc": format!("http://{}", place.rpc),
        })).collect::<Vec<_>>(),
    });
    output.data(&result, || {
        let run = |index: usize| {
            format!("  tacit node run {}", home.join(folder_name(index)).join(VALIDATOR).display())
        };
        format!(
            "network of {} in {}: chain {}, first block {} {}\n\nstart each, on its machine, in a terminal of its own:\n{}\n\nhow it works, and how to spread it over machines: docs/validators.md",
            keys.len(),
            home.display(),
            genesis.chain.chain_id,
            first.header.number,
            first.header.hash_slow(),
            (1..=keys.len()).map(run).collect::<Vec<_>>().join("\n"),
        )
    });
    Ok(())
}

/// How the chain begins, without founders so far; `founders` of them are to come.
pub(crate) fn genesis(arguments: &InitNetwork, founders: usize) -> Result<Genesis, Failure> {
    let mut genesis = match &arguments.from {
        Some(from) => read_genesis(from)?,
        None => new_genesis(arguments)?,
    };
    if !genesis.staking.founders.is_empty() {
        let message = "the genesis names founders already";
        return Err(Failure::new("bad_genesis", message, "give one that `tacit node export` wrote"));
    }
    if arguments.from.is_none() || arguments.epoch_blocks.is_some() {
        genesis.staking.parameters = rules(arguments.epoch_blocks);
    }
    let seats = genesis.staking.parameters.seats;
    if founders > usize::from(seats) {
        return Err(Failure::new(
            "bad_usage",
            format!("{founders} validators, and an epoch has turns for {seats}"),
            "give a longer --epoch-blocks, or fewer validators",
        ));
    }
    Ok(genesis)
}

/// Whose coins become the stakes where a chain goes on.
fn payer(arguments: &InitNetwork, genesis: &Genesis) -> Result<Option<Address>, Failure> {
    if genesis.origin.is_none() {
        return match arguments.stake_from {
            None => Ok(None),
            Some(_) => {
                let message = "in a new chain nobody has coins to stake yet";
                Err(Failure::new(
                    "bad_usage",
                    message,
                    "leave --stake-from out, or go on from a chain: --from",
                ))
            }
        };
    }
    let Some(text) = &arguments.stake_from else {
        return Err(Failure::new("bad_usage", "nobody stakes for the validators", POOR));
    };
    address(text).map(Some)
}

/// Makes an account; its key goes to a new file.
pub(crate) fn create_wallet(path: &Path) -> Result<Address, Failure> {
    let wallet = Wallet::create(path).failed(
        "cannot_write",
        format!("cannot make {}", path.display()),
        "choose another folder with --output",
    )?;
    Ok(wallet.address())
}

/// Gives an account coins from the start.
pub(crate) fn fund(genesis: &mut Genesis, address: Address, balance: U256) {
    if let Some(accounts) = genesis.alloc.held() {
        accounts.insert(address, GenesisAccount { balance, ..GenesisAccount::default() });
    }
}

pub(crate) fn write_genesis(home: &Path, genesis: &Genesis) -> Result<Written, Failure> {
    let path = home.join(GENESIS);
    let file =
        File::create(&path).failed("cannot_write", path.display(), "check the folder and its permissions")?;
    write_to(file, genesis, &path)
}

/// Deals a new key to the validators, in shares, and gives the group. Nobody has the whole key afterwards.
fn deal(home: &Path, keys: &[ValidatorAddress]) -> Result<Group, Failure> {
    let dealt = tacit_validator::deal_group(keys.iter().cloned());
    let (group, shares) = dealt.failed("group", "the group's key cannot be dealt", "")?;
    for (validator, share) in shares {
        let index = keys.iter().position(|key| *key == validator).map_or(0, |index| index.saturating_add(1));
        let path = home.join(folder_name(index)).join(SHARE);
        share.create(&path).failed("cannot_write", path.display(), "choose another folder with --output")?;
    }
    Ok(group)
}

/// Makes a validator's key.
pub(crate) fn create_key(path: &Path) -> Result<ValidatorAddress, Failure> {
    let key = ValidatorKey::create(path).failed(
        "cannot_write",
        format!("cannot make {}", path.display()),
        "choose a file that does not exist, in a folder that does",
    )?;
    Ok(key.address())
}

/// Runs one validator until it is told to stop.
pub(crate) async fn run(
    config: &Path,
    begin: &FromCheckpoint,
    lifetime: &Lifetime,
    output: Output,
) -> Result<(), Failure> {
    let hint = "`tacit node init-network` writes these files, with a comment on every setting";
    let file = ValidatorFile::load(config).failed("bad_config", "cannot start", hint)?;
    let network = NetworkFile::load(&file.network).map_err(|error| not_a_network(&file.network, &error))?;
    let key = ValidatorKey::load(&file.key).failed(
        "bad_key",
        "cannot read the validator's key",
        "the key file must be readable by its owner alone: chmod 600",
    )?;
    // A founder whom the others did not wait for has none.
    let share = file.share.as_deref().filter(|share| share.exists());
    let share = share.map(ShareKey::load).transpose().failed(
        "bad_key",
        "cannot read the validator's share",
        "the file must be readable by its owner alone: chmod 600",
    )?;
    if let (Some(path), None) = (&file.share, &share) {
        output.note(format!(
            "no share in {}: this validator votes, and signs certificates once it is handed one",
            path.display()
        ));
    }
    let reporter = file.reporter.as_deref().map(Wallet::load).transpose().failed(
        "bad_key",
        "cannot read the reporter's key",
        "the key file must be readable by its owner alone: chmod 600",
    )?;
    let address = key.address();
    let reached = file.reached(&address, &network).failed(
        "bad_config",
        "cannot start",
        "say in the validator's file where others reach it: address = \"IP:PORT\"",
    )?;
    let mut node_config = NodeConfig::network(network.genesis.clone(), network.first_block.clone())
        .with_data_dir(Some(file.data.clone()));
    node_config.rpc.snapshots_max = file.snapshots;
    let consensus = file.data.join("consensus");
    may_vote(&file.key, &consensus, begin).await?;
    let known =
        Known { genesis: network.genesis.clone(), group: network.group.clone(), trust: network.trust() };
    let folders = Folders { data: &file.data, consensus: &consensus };
    let anchor = sync::prepare(folders, &node_config, &known, begin, output).await?;
    let in_use = |error: &NodeError| matches!(error, NodeError::Store(StoreError::Locked { .. }));
    let node = lifetime::once_free(|| Node::open(node_config.clone()), in_use).await;
    let node = node.map_err(|error| refused(&error, &file.data))?;
    let listener = bind(file.rpc, "ledger").await?;
    let settings = ValidatorConfig {
        key,
        group: network.group,
        share,
        validators: network.validators,
        listen: file.listen,
        reached,
        reach: network.reach,
        data_dir: consensus,
        evidence_dir: file.data.join(EVIDENCE),
        genesis: network.genesis,
        anchor,
        rules: network.rules,
        beneficiary: file.beneficiary,
        timing: network.timing,
        state_cache_bytes: NonZeroUsize::new(file.state_cache_mib.get().saturating_mul(1 << 20))
            .unwrap_or(NonZeroUsize::MIN),
        worker_threads: file.threads,
    };
    let served = node.clone();
    let validator = tokio::task::spawn_blocking(move || tacit_validator::start(settings, served));
    let validator = validator.await.failed("validator", "the validator did not start", "")?;
    let validator = validator.map_err(|error| not_started(&error))?;
    node.add_metrics(validator.metrics());
    node.add_finality(validator.finality());
    let url = url(&listener)?;
    wait_for_others(&node).await;
    let result = json!({
        "role": "validator", "caught_up": node.has_caught_up(), "url": url, "chain_id": node.chain_id(), "key": address.to_string(),
        "listen": file.listen, "head": node.head().number,
    });
    output.data(&result, || {
        format!(
            "validator {address}\nother validators at {}, JSON-RPC at {url}, chain {}, block {}{}\nctrl-c stops it",
            file.listen,
            node.chain_id(),
            node.head().number,
            if node.has_caught_up() { "" } else { "; still looking for more than two thirds of the validators" }
        )
    });
    let reporting = reporter.map(|wallet| {
        let (ledger, evidence) = (node.clone(), file.data.join(EVIDENCE));
        tokio::spawn(report_all(evidence, url, wallet, address.bytes(), move || ledger.has_caught_up()))
    });
    let ended = serve(&node, listener, &validator, lifetime).await;
    if let Some(reporting) = reporting {
        reporting.abort();
        // It was told to end.
        let _ = reporting.await;
    }
    drop(node);
    // What it acknowledged is durable, however it ends.
    let halted = tokio::task::spawn_blocking(move || validator.stop().is_err()).await.unwrap_or(true);
    ended?;
    if halted {
        return Err(Failure::new(
            "halted",
            "the validator halted: it could not read or keep its state, or met a block that it executes to another result",
            "see its message above; it has signed nothing since. Restart it once the disk is well",
        ));
    }
    Ok(())
}

/// Sends evidence from a validator's folder to the ledger.
pub(crate) async fn report(file: &Path, from: &Path, ledger: &str, output: Output) -> Result<(), Failure> {
    let hint = "give a file of a validator's `evidence` folder";
    let saved = SavedEvidence::load(file).failed("bad_evidence", "cannot report", hint)?;
    let wallet = crate::commands::wallet::load(from)?;
    let ledger = crate::network::ledger(ledger).await?;
    let reported =
        tacit_validator::report(&ledger, &wallet, &saved).await.map_err(crate::network::failure)?;
    let (transaction, block) = match reported {
        Reported::Barred { transaction, block } => (Some(transaction), Some(block)),
        Reported::Already => (None, None),
    };
    let result = json!({
        "key": saved.key, "kind": saved.kind, "epoch": saved.epoch, "view": saved.view, "barred": true,
        "transaction": transaction, "block": block,
    });
    output.data(&result, || match block {
        Some(block) => format!("{} is barred and its stake burned, since block {block}", saved.key),
        None => format!("{} is barred already", saved.key),
    });
    Ok(())
}

/// Gives the validator a moment to meet the others, so that whoever waits for it can use it at once. Alone, it goes on trying.
async fn wait_for_others(node: &Node) {
    let start = Instant::now();
    while !node.has_caught_up() && start.elapsed() < MEETING {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Answers requests until the process should end, or the validator has halted.
async fn serve(
    node: &Node,
    listener: tokio::net::TcpListener,
    validator: &RunningValidator,
    lifetime: &Lifetime,
) -> Result<(), Failure> {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = node.serve(listener, async {
        // The sender going away means the same.
        let _ = stopped.await;
    });
    let watched = async {
        let mut poll = tokio::time::interval(Duration::from_millis(200));
        while validator.is_running() {
            poll.tick().await;
        }
    };
    let until = async {
        tokio::select! {
            () = lifetime::ended(lifetime.with_parent) => {}
            () = watched => {}
        }
        drop(stop);
    };
    let (served, ()) = tokio::join!(serving, until);
    served.failed("node", "the ledger stopped", "")
}

/// Writes the state of a chain as the genesis of another.
pub(crate) fn export(arguments: &Export, output: Output) -> Result<(), Failure> {
    let genesis = export_from(&arguments.data)?;
    let path = &arguments.output;
    let file = File::create_new(path).failed(
        "cannot_write",
        path.display(),
        "choose a file that does not exist, in a folder that does",
    )?;
    let Written { accounts, slots } = write_to(file, &genesis, path)?;
    let number = genesis.origin.as_ref().map_or(0, |origin| origin.number);
    let result = json!({
        "output": path, "chain_id": genesis.chain.chain_id, "block": number, "accounts": accounts,
        "slots": slots,
    });
    output.data(&result, || {
        format!(
            "{}: {accounts} accounts and {slots} slots after block {number} of chain {}\na network that goes on from there: tacit node init-network --from {}",
            path.display(),
            genesis.chain.chain_id,
            path.display()
        )
    });
    Ok(())
}

/// Writes a genesis into a new file; when this returns it is durable.
pub(crate) fn write_to(file: File, genesis: &Genesis, path: &Path) -> Result<Written, Failure> {
    let mut file = BufWriter::with_capacity(1 << 18, file);
    let written = tacit_node::write_genesis(genesis, &mut file);
    let written = written.and_then(|written| file.get_ref().sync_all().map(|()| written));
    written.failed("cannot_write", path.display(), "is the disk full?")
}

/// Where one validator is.
struct Place {
    /// Where the others reach it.
    reached: SocketAddr,
    /// Where it listens for them.
    listen: SocketAddr,
    /// Where it answers requests.
    rpc: SocketAddr,
}

/// One machine when no hosts are given: ports count up. Otherwise the same ports everywhere.
fn places(arguments: &InitNetwork) -> Result<Vec<Place>, Failure> {
    let hosts = &arguments.hosts;
    let (count, port, rpc_port) = (arguments.validators, arguments.port, arguments.rpc_port);
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if hosts.is_empty() {
        let place = |index: u16| {
            let at = |port: u16| Some(SocketAddr::new(loopback, port.checked_add(index)?));
            Some(Place { reached: at(port)?, listen: at(port)?, rpc: at(rpc_port)? })
        };
        let places: Option<Vec<Place>> = (0..count).map(place).collect();
        return places.ok_or_else(|| {
            Failure::new("bad_usage", "the ports go beyond 65535", "choose smaller --port and --rpc-port")
        });
    }
    if hosts.len() != usize::from(count) {
        return Err(Failure::new(
            "bad_usage",
            format!("{count} validators and {} hosts", hosts.len()),
            "give one --host for each validator, or none to run all of them here",
        ));
    }
    let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let place = |host: &IpAddr| Place {
        reached: SocketAddr::new(*host, port),
        listen: everywhere,
        rpc: SocketAddr::new(loopback, rpc_port),
    };
    Ok(hosts.iter().map(place).collect())
}

/// A chain that begins now, from nothing but funded accounts.
fn new_genesis(arguments: &InitNetwork) -> Result<Genesis, Failure> {
    let mut alloc: Vec<Address> = Vec::new();
    for text in &arguments.fund {
        alloc.push(address(text)?);
    }
    if arguments.dev_accounts {
        alloc.extend(dev_accounts().map(|account| account.address));
    }
    if alloc.is_empty() {
        return Err(Failure::new(
            "bad_usage",
            "nobody would have coins",
            "give --fund ADDRESS, or --dev-accounts for the public test accounts",
        ));
    }
    let funded = GenesisAccount { balance: DEV_BALANCE, ..GenesisAccount::default() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(Genesis {
        chain: Chain {
            chain_id: arguments.chain_id,
            gas_limit: DEV_GAS_LIMIT,
            base_fee_floor: DEV_BASE_FEE,
            certifier: None,
        },
        timestamp: now,
        base_fee: DEV_BASE_FEE,
        extra_data: Bytes::new(),
        alloc: alloc.into_iter().map(|address| (address, funded.clone())).collect(),
        first_state: None,
        staking: Staking::default(),
        origin: None,
    })
}

fn address(text: &str) -> Result<Address, Failure> {
    text.parse().failed(
        "bad_address",
        format!("{text:?} is no address"),
        "an address is 0x and 40 hex digits",
    )
}

/// Rules of stake. In a short epoch there are turns for few.
fn rules(epoch_blocks: Option<u64>) -> StakingParameters {
    let usual = StakingParameters::default();
    let epoch_blocks = epoch_blocks.unwrap_or(usual.epoch_blocks);
    let seats = u16::try_from(epoch_blocks / BLOCKS_PER_SEAT).unwrap_or(u16::MAX).min(usual.seats);
    StakingParameters { epoch_blocks, seats, ..usual }
}

/// A genesis file, or the state of a data directory.
fn read_genesis(from: &Path) -> Result<Genesis, Failure> {
    if from.is_dir() {
        return export_from(from);
    }
    let hint = "`tacit node export` writes such a file";
    tacit_node::read_genesis(from).map_err(|error| {
        let code = match error {
            GenesisFileError::Read { .. } => "cannot_read",
            _ => "bad_genesis",
        };
        Failure::new(code, crate::failure::sentence(&error), hint)
    })
}

fn export_from(data: &Path) -> Result<Genesis, Failure> {
    tacit_node::export(data).map_err(|error| {
        let hint = match error {
            StoreError::Locked { .. } => "stop the node that uses it",
            StoreError::Absent { .. } => "give the folder that --data named, or `data` in a validator's file",
            StoreError::Format { .. } => OTHER_FORMAT,
            _ => "",
        };
        Failure::new("node", error, hint)
    })
}

/// Why the node of a network does not open, and what to do.
pub(crate) fn refused(error: &NodeError, data: &Path) -> Failure {
    let hint = match error {
        NodeError::Store(StoreError::Locked { .. }) => "another process uses this folder; stop it",
        NodeError::Store(StoreError::Format { .. }) => OTHER_FORMAT,
        NodeError::Store(StoreError::Development { .. }) => {
            "a network that goes on from here: tacit node init-network --from THIS_FOLDER"
        }
        NodeError::Store(StoreError::OtherGenesis { .. } | StoreError::OtherChain { .. }) => {
            "the folder holds another chain: choose another `data`"
        }
        _ => "",
    };
    Failure::new("node", format!("cannot open {}: {}", data.display(), crate::failure::sentence(error)), hint)
}

/// Why a validator has no network to run in.
fn not_a_network(path: &Path, error: &FileError) -> Failure {
    let hint = match error {
        FileError::Read { .. } if found::plan_beside(path).exists() => {
            "its founders make its key first: tacit node ceremony, with the same file"
        }
        FileError::Plan { .. } => "its founders make its key first: tacit node ceremony",
        FileError::Signature { .. } | FileError::Unsigned { .. } => {
            "the file is not what the founders agreed on: take it from several of them, and compare"
        }
        _ => {
            "`tacit node init-network` or `tacit node ceremony` writes this file, and the genesis lies beside it"
        }
    };
    Failure::new("bad_config", format!("cannot start: {}", crate::failure::sentence(error)), hint)
}

fn not_started(error: &RunError) -> Failure {
    let text = crate::failure::sentence(error);
    let hint = match error {
        RunError::Home(error) => hint_home(error),
        _ => "is its `listen` address free, its share its own, and is there room on its disk?".into(),
    };
    Failure::new("validator", format!("the validator did not start: {text}"), hint)
}

/// Refuses, before anything is written, a key that has voted from another folder.
async fn may_vote(key: &Path, folder: &Path, begin: &FromCheckpoint) -> Result<(), Failure> {
    let (key, folder, anew) = (key.to_owned(), folder.to_owned(), !begin.from_checkpoint.is_empty());
    // The engine's stores bring a runtime of their own.
    let looked = tokio::task::spawn_blocking(move || tacit_validator::may_vote_from(&key, &folder, anew));
    let looked =
        looked.await.failed("validator", "cannot read the validator's folder", "is its disk well?")?;
    looked
        .map_err(|error| Failure::new("votes_elsewhere", crate::failure::sentence(&error), hint_home(&error)))
}

fn hint_home(error: &HomeError) -> String {
    match error {
        HomeError::Lost { marker, .. } => format!(
            "it would contradict them, which burns its stake. Begin with a checkpoint: --from-checkpoint URL. If the whole network begins anew, delete {}",
            marker.display()
        ),
        HomeError::Elsewhere { .. } => {
            "start it with the folder that it voted from last: an older one lacks its newest votes".into()
        }
        _ => "is its disk well?".into(),
    }
}

/// Whether an address is of one machine or private network.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

fn folder_name(index: usize) -> PathBuf {
    format!("validator-{index}").into()
}

pub(crate) fn create_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).failed(
        "cannot_write",
        path.display(),
        "check the folder and its permissions",
    )
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).failed("cannot_write", path.display(), "check the folder and its permissions")
}

/// What to do with a folder that another version wrote.
pub(crate) const OTHER_FORMAT: &str = "nothing in the folder was changed. Take its state along: `tacit node export` with the version that wrote it, then `tacit node init-network --from` with this one";
/// Who may stake in a chain that goes on.
const POOR: &str = "an account of the chain that has 100 coins for each validator: --stake-from ADDRESS";
const MEETING: Duration = Duration::from_secs(3);
pub(crate) const NETWORK: &str = "network.toml";
pub(crate) const GENESIS: &str = "genesis.jsonl";
pub(crate) const VALIDATOR: &str = "validator.toml";
pub(crate) const KEY: &str = "validator.key";
pub(crate) const SHARE: &str = "validator.share";
pub(crate) const OWNER: &str = "owner.key";
const REPORTER: &str = "reporter.key";
const EVIDENCE: &str = "evidence";
/// Ten coins.
pub(crate) const OWNER_BALANCE: U256 = U256::from_limbs([10_000_000_000_000_000_000, 0, 0, 0]);
/// One coin: a report costs a thousandth.
const REPORTER_BALANCE: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);
