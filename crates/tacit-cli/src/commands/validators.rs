//! `tacit node new-validator`, `join`, `leave`, `withdraw`, `validators`: who keeps a running network.

use crate::args::NewValidator;
use crate::commands::found;
use crate::commands::network::{KEY, VALIDATOR, create_folder, create_key, write};
use crate::commands::wallet::load;
use crate::failure::{Context, Failure};
use crate::network;
use crate::output::{Output, short};
use alloy_sol_types::SolCall as _;
use serde_json::{Value, json};
use std::path::Path;
use tacit_abi::{IValidators, validators::ADDRESS};
use tacit_validator::{NetworkFile, ValidatorFile, ValidatorKey};
use tacit_wire::{Amount, LedgerClient};

/// Makes a key and a file for a validator that is none yet.
pub(crate) fn new(arguments: &NewValidator, output: Output) -> Result<(), Failure> {
    let Some(path) = &arguments.network else { return found::founder(arguments, output) };
    let hint = "give the network.toml that every validator of the network has";
    let path = path.canonicalize().failed("cannot_read", path.display(), hint)?;
    let network = NetworkFile::load(&path).failed("bad_config", path.display(), hint)?;
    let home = &arguments.output;
    create_folder(home)?;
    let mut file =
        ValidatorFile::new(path.clone(), KEY.into(), "data".into(), arguments.listen, arguments.rpc);
    file.address = arguments.address;
    let key = create_key(&home.join(KEY))?;
    file.reached(&key, &network).failed(
        "bad_usage",
        format!("{} is no address that others can reach", arguments.listen),
        "give --address IP:PORT, as others see it",
    )?;
    let config = home.join(VALIDATOR);
    write(&config, file.template().as_bytes())?;
    let result = json!({"config": config, "key": key.to_string(), "network": path});
    output.data(&result, || {
        format!(
            "validator {key} in {}\n\nstart it, and let it follow the network:\n  tacit node run {}\nbond coins to it:\n  tacit node join --key {} --owner OWNER.key --stake 100 --ledger URL",
            home.display(),
            config.display(),
            home.join(KEY).display(),
        )
    });
    Ok(())
}

/// Bonds coins to a key.
pub(crate) async fn join(
    key: &Path,
    owner: &Path,
    stake: &str,
    url: &str,
    output: Output,
) -> Result<(), Failure> {
    let key = ValidatorKey::load(key).failed(
        "bad_key",
        "cannot read the validator's key",
        "`tacit node new-validator` makes one; the file must be readable by its owner alone: chmod 600",
    )?;
    let owner = load(owner)?;
    let stake: Amount =
        stake.parse().failed("bad_amount", format!("{stake:?}"), "an amount looks like 100")?;
    let ledger = network::ledger(url).await?;
    let namespace = view(&ledger, &IValidators::namespaceCall {}).await?;
    let address = key.address();
    let proof = key.prove_possession(namespace, owner.address());
    let call = IValidators::joinCall { key: address.bytes(), proof }.abi_encode();
    let mined = ledger.send(&owner, ADDRESS, stake, call).await.map_err(network::failure)?;
    let from = counts_from(&ledger, mined.block).await?;
    let result = json!({
        "transaction": mined.hash, "block": mined.block, "key": address.to_string(), "owner": owner.address(),
        "stake": stake.to_string(), "from_epoch": from,
    });
    output.data(&result, || {
        format!(
            "{stake} coins bonded to {} in block {}: it votes from epoch {from}, if it runs by then and has enough stake\nwatch it come: tacit node validators",
            short(&address.to_string()),
            mined.block,
        )
    });
    Ok(())
}

/// Ends a validator.
pub(crate) async fn leave(owner: &Path, url: &str, output: Output) -> Result<(), Failure> {
    let owner = load(owner)?;
    let ledger = network::ledger(url).await?;
    let call = IValidators::leaveCall {}.abi_encode();
    let mined = ledger.send(&owner, ADDRESS, Amount(0), call).await.map_err(network::failure)?;
    let key = view(&ledger, &IValidators::keyOfCall { owner: owner.address() }).await?;
    let record = view(&ledger, &IValidators::validatorCall { key }).await?;
    let result = json!({
        "transaction": mined.hash, "block": mined.block, "key": hex(&key), "exit_epoch": record.exitEpoch,
        "release_at": record.releaseAt,
    });
    output.data(&result, || {
        format!(
            "{} leaves: it votes until epoch {} and must run as long; its coins come back later, with `tacit node withdraw`",
            short(&hex(&key)),
            record.exitEpoch,
        )
    });
    Ok(())
}

/// Takes back the coins of a validator that has left.
pub(crate) async fn withdraw(owner: &Path, url: &str, output: Output) -> Result<(), Failure> {
    let owner = load(owner)?;
    let ledger = network::ledger(url).await?;
    let call = IValidators::withdrawCall {}.abi_encode();
    let mined = ledger.send(&owner, ADDRESS, Amount(0), call).await.map_err(network::failure)?;
    let result = json!({"transaction": mined.hash, "block": mined.block, "owner": owner.address()});
    output.data(&result, || format!("the stake is back at {}, since block {}", owner.address(), mined.block));
    Ok(())
}

/// Shows the sets of this epoch and the next ones, as the ledger has them.
pub(crate) async fn show(url: &str, output: Output) -> Result<(), Failure> {
    let ledger = network::ledger(url).await?;
    let rules = view(&ledger, &IValidators::parametersCall {}).await?;
    let epoch = view(&ledger, &IValidators::epochCall {}).await?;
    let block = ledger.block_number().await.map_err(network::failure)?;
    let mut sets: Vec<(u64, Vec<IValidators::Seat>)> = Vec::new();
    for asked in (epoch..).take(SETS) {
        sets.push((asked, view(&ledger, &IValidators::validatorSetCall { epoch: asked }).await?));
    }
    let seat = |seat: &IValidators::Seat| -> Value {
        json!({
            "key": hex(&seat.key), "owner": seat.owner, "stake": Amount(seat.stake).to_string(),
        })
    };
    let set = |(epoch, seats): &(u64, Vec<IValidators::Seat>)| -> Value {
        json!({"epoch": epoch, "validators": seats.iter().map(seat).collect::<Vec<_>>()})
    };
    let result = json!({
        "block": block, "epoch": epoch, "epoch_blocks": rules.epochBlocks, "seats": rules.seats,
        "stake_min": Amount(rules.stakeMin).to_string(), "sets": sets.iter().map(set).collect::<Vec<_>>(),
    });
    output.data(&result, || {
        let mut text = format!("block {block}, epoch {epoch} of {} blocks", rules.epochBlocks);
        // Epochs with one set are told together.
        for same in sets.chunk_by(|(_, one), (_, next)| one == next) {
            let ([(first, seats), ..], Some((last, _))) = (same, same.last()) else { continue };
            let epochs =
                if first == last { format!("epoch {first}") } else { format!("epochs {first} to {last}") };
            text.push_str(&format!("\n\n{epochs}: {} of {} seats", seats.len(), rules.seats));
            for seat in seats {
                text.push_str(&format!(
                    "\n  {}  {} coins of {}",
                    hex(&seat.key),
                    Amount(seat.stake),
                    seat.owner
                ));
            }
        }
        text
    });
    Ok(())
}

/// First epoch that a message in this block counts in.
async fn counts_from(ledger: &LedgerClient, block: u64) -> Result<u64, Failure> {
    let rules = view(ledger, &IValidators::parametersCall {}).await?;
    let epoch = block.saturating_sub(rules.firstBlock).checked_div(rules.epochBlocks).unwrap_or(0);
    Ok(epoch.saturating_add(tacit_ledger::DELAY_EPOCHS))
}

async fn view<C: alloy_sol_types::SolCall + Sync>(
    ledger: &LedgerClient,
    call: &C,
) -> Result<C::Return, Failure> {
    ledger.call(ADDRESS, call).await.map_err(network::failure)
}

/// A key as validators write it: hex digits without a prefix.
fn hex(key: &alloy_primitives::B256) -> String {
    alloy_primitives::hex::encode(key)
}

/// This epoch's, three that are fixed, and one as it stands.
const SETS: usize = 5;
