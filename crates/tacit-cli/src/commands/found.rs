//! `tacit node new-validator` of a founder, `init-network --member`, `ceremony`: strangers begin a network, and nobody deals its key.

use crate::args::{Ceremony, InitNetwork, NewValidator};
use crate::commands::network::{
    GENESIS, KEY, NETWORK, OWNER, OWNER_BALANCE, SHARE, VALIDATOR, create_folder, create_key, create_wallet,
    fund, genesis, is_private, write, write_genesis,
};
use crate::failure::{Context, Failure};
use crate::lifetime;
use crate::output::Output;
use alloy_primitives::Address;
use serde_json::json;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use tacit_ledger::Founder;
use tacit_validator::{
    CeremonyError, CeremonySettings, Founded, FoundingError, NetworkFile, NetworkPeer, Peer, Plan,
    ValidatorAddress, ValidatorFile, ValidatorKey, hold_ceremony,
};
use tacit_wire::Amount;

/// What a founder tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    key: ValidatorAddress,
    owner: Address,
    address: SocketAddr,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}@{}", self.key, self.owner, self.address)
    }
}

impl FromStr for Member {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (who, address) = text.split_once('@').ok_or(())?;
        let (key, owner) = who.split_once(':').ok_or(())?;
        Ok(Self {
            key: key.parse().map_err(|_| ())?,
            owner: owner.parse().map_err(|_| ())?,
            address: address.parse().map_err(|_| ())?,
        })
    }
}

/// Makes a founder's keys and file, and tells what the others must know of it.
pub(crate) fn founder(arguments: &NewValidator, output: Output) -> Result<(), Failure> {
    let home = &arguments.output;
    let listens = Some(arguments.listen).filter(|listen| !listen.ip().is_unspecified());
    let address = arguments.address.or(listens).ok_or_else(|| {
        Failure::new(
            "bad_usage",
            format!("{} is no address that others can reach", arguments.listen),
            "give --address IP:PORT, as others see it",
        )
    })?;
    create_folder(home)?;
    let mut file =
        ValidatorFile::new(NETWORK.into(), KEY.into(), "data".into(), arguments.listen, arguments.rpc);
    (file.address, file.share) = (Some(address), Some(SHARE.into()));
    let key = create_key(&home.join(KEY))?;
    let owner = create_wallet(&home.join(OWNER))?;
    let config = home.join(VALIDATOR);
    write(&config, file.template().as_bytes())?;
    let member = Member { key, owner, address };
    let result = json!({
        "config": config, "key": member.key.to_string(), "owner": owner, "member": member.to_string(),
    });
    output.data(&result, || {
        format!(
            "founder {} in {}, its stake owned by {owner}\n\nwhoever writes the plan of the network needs this:\n  --member {member}\nput its {PLAN} and {GENESIS} into {}, then make the key together:\n  tacit node ceremony {}",
            member.key,
            home.display(),
            home.display(),
            config.display(),
        )
    });
    Ok(())
}

/// Writes the plan of a network whose founders have their keys already.
pub(crate) fn plan(arguments: &InitNetwork, output: Output) -> Result<(), Failure> {
    let home = &arguments.output;
    if home.join(PLAN).exists() || home.join(NETWORK).exists() {
        return Err(Failure::new(
            "exists",
            format!("{} holds a network already", home.display()),
            "choose another folder with --output",
        ));
    }
    let members = arguments.members.iter().map(|text| member(text)).collect::<Result<Vec<_>, _>>()?;
    let mut genesis = genesis(arguments, members.len())?;
    let stake = genesis.staking.parameters.stake_min;
    for Member { key, owner, .. } in &members {
        // Where a chain goes on, the owner has its coins.
        let founder = Founder { key: key.bytes(), owner: *owner, stake, payer: None };
        genesis.staking.founders.push(founder);
        if genesis.origin.is_none() {
            fund(&mut genesis, *owner, OWNER_BALANCE);
        }
    }
    // Everything that a genesis may break, before anybody meets for it.
    let hint = "each founder has a key and an owner of its own; where a chain goes on, the owner has its 100 coins there";
    let namespace = genesis.namespace();
    namespace.failed("bad_genesis", "these founders cannot begin a network", hint)?;
    let peers = members.iter().map(|member| NetworkPeer {
        key: member.key.to_string(),
        address: member.address,
        signature: None,
    });
    let mut file = NetworkFile::planned(GENESIS.into(), peers.collect());
    if let Some(blocks) = arguments.checkpoint_blocks {
        file.checkpoint_blocks = blocks;
    }
    file.local = members.iter().all(|member| is_private(member.address.ip()));
    create_folder(home)?;
    let written = write_genesis(home, &genesis)?;
    write(&home.join(PLAN), file.template().as_bytes())?;
    let result = json!({
        "plan": home.join(PLAN), "genesis": home.join(GENESIS), "chain_id": genesis.chain.chain_id,
        "accounts": written.accounts,
        "founders": members.iter().map(|member| json!({
            "key": member.key.to_string(), "owner": member.owner, "address": member.address,
        })).collect::<Vec<_>>(),
    });
    output.data(&result, || {
        format!(
            "plan of a network of {} in {}: chain {}\n\ngive {PLAN} and {GENESIS} to every founder, beside its {VALIDATOR}; each looks at them, and runs\n  tacit node ceremony {VALIDATOR}",
            members.len(),
            home.display(),
            genesis.chain.chain_id,
        )
    });
    Ok(())
}

fn member(text: &str) -> Result<Member, Failure> {
    text.parse().map_err(|()| {
        let message = format!("{text:?} is not KEY:OWNER@IP:PORT");
        Failure::new(
            "bad_usage",
            message,
            "`tacit node new-validator --output FOLDER` tells each founder its own",
        )
    })
}

/// Takes part in the founders' ceremony, and writes the network's file.
pub(crate) async fn ceremony(arguments: &Ceremony, output: Output) -> Result<(), Failure> {
    let hint = "`tacit node new-validator --output FOLDER` writes a founder's file";
    let file = ValidatorFile::load(&arguments.config).failed("bad_config", "cannot start", hint)?;
    if file.network.exists() {
        return Err(Failure::new(
            "exists",
            format!("{} is there already", file.network.display()),
            "the ceremony is over: tacit node run, with the same file",
        ));
    }
    let path = plan_beside(&file.network);
    let hint = "take it, and genesis.jsonl, from whoever wrote the plan: tacit node init-network --member …";
    let plan = NetworkFile::load_plan(&path).failed("bad_config", "there is no plan", hint)?;
    let key = ValidatorKey::load(&file.key).failed(
        "bad_key",
        "cannot read the validator's key",
        "the key file must be readable by its owner alone: chmod 600",
    )?;
    let me = key.address();
    let reached = begins(&plan, &me, &path)?;
    told(&plan, &me, output);
    let share = file.share.clone().unwrap_or_else(|| file.network.with_file_name(SHARE));
    let settings = CeremonySettings {
        key,
        listen: file.listen,
        reached,
        data_dir: file.data.join(CEREMONY),
        share: share.clone(),
        patience: Duration::from_secs(arguments.wait_s),
        plan: plan.clone(),
    };
    let (sender, held) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Whoever waits may have been told to end.
        let _ = sender.send(hold_ceremony(settings));
    });
    let founded = tokio::select! {
        founded = held => founded.unwrap_or(Err(FoundingError::Halted)),
        () = lifetime::ended(arguments.lifetime.with_parent) => {
            return Err(Failure::new("stopped", "the ceremony was stopped", "start it again: it goes on where it was"));
        }
    };
    let founded = founded.map_err(|error| not_held(&error, &plan))?;
    write(&file.network, founded.network.template().as_bytes())?;
    // As others will read it.
    NetworkFile::load(&file.network).failed(
        "bad_config",
        "the network's file is not what was agreed on",
        "",
    )?;
    tell(&founded, &plan, &file.network, &share, &arguments.config, output);
    Ok(())
}

/// Whether this founder may begin; gives where the others reach it.
fn begins(plan: &Plan, me: &ValidatorAddress, path: &Path) -> Result<SocketAddr, Failure> {
    let Some(own) = plan.founders.iter().find(|peer| peer.key == *me) else {
        return Err(Failure::new(
            "not_a_founder",
            format!("the key {me} is none of the {} founders in {}", plan.founders.len(), path.display()),
            "is it another founder's folder, or was the plan written before this key was made?",
        ));
    };
    let mut founders: Vec<_> = plan.founders.iter().map(|peer| peer.key.bytes()).collect();
    let mut staked: Vec<_> = plan.genesis.staking.founders.iter().map(|founder| founder.key).collect();
    founders.sort_unstable();
    staked.sort_unstable();
    if founders != staked {
        return Err(Failure::new(
            "bad_config",
            format!("{} and its genesis name other founders", path.display()),
            "take both files from whoever wrote the plan, and change nothing in them but addresses",
        ));
    }
    Ok(own.address)
}

/// Says what this founder agrees to.
fn told(plan: &Plan, me: &ValidatorAddress, output: Output) {
    let own = plan.genesis.staking.founders.iter().find(|founder| founder.key == me.bytes());
    if let Some(Founder { owner, stake, payer, .. }) = own {
        let paid = payer.map_or_else(String::new, |payer| format!(", paid by {payer}"));
        output.note(format!(
            "founder {me}, one of {}: a stake of {} coins of {owner}{paid}. Waiting for the others",
            plan.founders.len(),
            Amount(*stake),
        ));
    }
}

fn tell(founded: &Founded, plan: &Plan, network: &Path, share: &Path, config: &Path, output: Output) {
    let header = &founded.first_block.header;
    let keys = |list: &[ValidatorAddress]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let result = json!({
        "network": network, "chain_id": plan.genesis.chain.chain_id, "first_block": header.number,
        "first_block_hash": header.hash_slow(), "group": founded.network.group, "share": founded.has_share.then_some(share),
        "revealed": keys(&founded.revealed), "unsigned": keys(&founded.unsigned),
    });
    output.data(&result, || {
        let mut text = format!(
            "network of {}: chain {}, first block {} {}\nsigned by {} of its founders, in {}",
            plan.founders.len(),
            plan.genesis.chain.chain_id,
            header.number,
            header.hash_slow(),
            plan.founders.len().saturating_sub(founded.unsigned.len()),
            network.display(),
        );
        text.push_str(&match founded.has_share {
            true => format!("\nthis founder's share of the key: {}", share.display()),
            false => {
                "\nthis founder was away and has no share of the key: it is handed one in the first epoch"
                    .to_owned()
            }
        });
        for key in &founded.revealed {
            text.push_str(&format!("\n{} was away: everybody can compute its first share", place(plan, key)));
        }
        for key in &founded.unsigned {
            text.push_str(&format!("\n{} has not signed: give it {}", place(plan, key), network.display()));
        }
        text.push_str(&format!("\n\nrun it:\n  tacit node run {}", config.display()));
        text
    });
}

/// A founder, and where it should be.
fn place(plan: &Plan, key: &ValidatorAddress) -> String {
    let address = plan.founders.iter().find(|Peer { key: founder, .. }| founder == key);
    address.map_or_else(|| key.to_string(), |peer| format!("{key} at {}", peer.address))
}

fn not_held(error: &FoundingError, plan: &Plan) -> Failure {
    let text = crate::failure::sentence(error);
    let list =
        |keys: &[ValidatorAddress]| keys.iter().map(|key| place(plan, key)).collect::<Vec<_>>().join(", ");
    match error {
        FoundingError::Missing { missing, .. } => Failure::new(
            "founders_missing",
            format!("{text}; missing: {}", list(missing)),
            "do they run `tacit node ceremony` with the very same plan and genesis, and does their port answer? Start this again: it goes on where it was. If their network runs already, take its network.toml",
        ),
        FoundingError::Ceremony(CeremonyError::NoKey) => Failure::new(
            "no_key",
            text,
            "write a new plan (tacit node init-network), without whoever dealt badly, and hold a ceremony for that one",
        ),
        FoundingError::Ceremony(CeremonyError::Contradiction { .. }) => Failure::new(
            "contradiction",
            text,
            "do all founders use the same version? A founder that signs another network from the same plan is broken, or lies",
        ),
        FoundingError::OtherShare { .. } | FoundingError::Share(_) => Failure::new(
            "bad_key",
            format!("cannot keep the share: {text}"),
            "a share file that is there already must be this founder's own, readable by its owner alone: move it away",
        ),
        _ => Failure::new(
            "ceremony",
            format!("the ceremony was not held: {text}"),
            "is its `listen` address free, and is there room on its disk?",
        ),
    }
}

/// Where the plan of a network lies.
pub(crate) fn plan_beside(network: &Path) -> PathBuf {
    network.with_file_name(PLAN)
}

const PLAN: &str = "plan.toml";
/// Folder of what is dealt, beside the chain.
const CEREMONY: &str = "ceremony";
