//! `tacit subnet`: what is done in subnets, and what they show.

use crate::args::{CreateSubnet, Rule, Subnet as Command, SubnetTransaction};
use crate::commands::subnet_score;
use crate::commands::wallet::load;
use crate::failure::{Context, Failure};
use crate::network;
use crate::output::{Output, Style, short};
use crate::tensor_file::read_limited;
use alloy_primitives::{B256, keccak256};
use alloy_sol_types::SolCall;
use serde_json::{Value, json};
use std::path::Path;
use tacit_abi::{ISubnets, subnets};
use tacit_wire::{Amount, LedgerClient, Wallet, ledger::Mined};

pub(crate) async fn subnet(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create(arguments, output).await,
        Command::List { ledger } => list(&ledger.url, output).await,
        Command::Show { id, ledger } => {
            let ledger = network::ledger(&ledger.url).await?;
            let shown = Shown::read(&ledger, *id).await?;
            output.data(&shown.to_json(), || shown.text(output));
            Ok(())
        }
        Command::Deposit { transaction, amount } => {
            let call = ISubnets::depositCall { id: transaction.id };
            act(transaction, coins(amount)?, &call, output).await
        }
        Command::Register(transaction) => {
            let party = Party::new(transaction).await?;
            let terms = party.subnet().await?.terms;
            let call = ISubnets::registerCall { id: transaction.id };
            party.act(Amount(terms.fee), &call, output).await
        }
        Command::Resign(transaction) => {
            act(transaction, Amount::ZERO, &ISubnets::resignCall { id: transaction.id }, output).await
        }
        Command::Bond { transaction, amount } => {
            let call = ISubnets::bondCall { id: transaction.id };
            act(transaction, coins(amount)?, &call, output).await
        }
        Command::Unbond { transaction, amount } => {
            let amount = coins(amount)?.0;
            let call = ISubnets::unbondCall { id: transaction.id, amount };
            act(transaction, Amount::ZERO, &call, output).await
        }
        Command::Withdraw(transaction) => {
            act(transaction, Amount::ZERO, &ISubnets::withdrawCall { id: transaction.id }, output).await
        }
        Command::Score(arguments) => subnet_score::score(arguments, output).await,
        Command::Reveal { transaction, scores } => subnet_score::reveal(transaction, scores, output).await,
        Command::Close { transaction } => {
            let party = Party::new(transaction).await?;
            let epoch = party.subnet().await?.next;
            party.act(Amount::ZERO, &ISubnets::closeCall { id: transaction.id, epoch }, output).await
        }
        Command::Claim { key, ledger } => {
            let wallet = load(key)?;
            let ledger = network::ledger(&ledger.url).await?;
            let account = wallet.address();
            let earned = ledger.call(subnets::ADDRESS, &ISubnets::creditOfCall { account }).await;
            let earned = Amount(earned.map_err(network::failure)?);
            let mined = send(&ledger, &wallet, Amount::ZERO, &ISubnets::claimCall {}).await?;
            let result = json!({"account": account, "claimed": earned.to_string(), "block": mined.block});
            output.data(&result, || format!("{earned} coins in block {}", mined.block));
            Ok(())
        }
    }
}

pub(crate) fn coins(amount: &str) -> Result<Amount, Failure> {
    amount.parse().failed("bad_amount", format!("{amount:?}"), "an amount looks like 0.25")
}

async fn send(
    ledger: &LedgerClient,
    wallet: &Wallet,
    value: Amount,
    call: &impl SolCall,
) -> Result<Mined, Failure> {
    ledger.send(wallet, subnets::ADDRESS, value, call.abi_encode()).await.map_err(network::failure)
}

/// Somebody who does something in a subnet.
pub(crate) struct Party {
    pub(crate) id: u64,
    pub(crate) wallet: Wallet,
    pub(crate) ledger: LedgerClient,
}

impl Party {
    pub(crate) async fn new(transaction: &SubnetTransaction) -> Result<Self, Failure> {
        let wallet = load(&transaction.key)?;
        let ledger = network::ledger(&transaction.ledger.url).await?;
        Ok(Self { id: transaction.id, wallet, ledger })
    }

    /// The subnet, at the time of the next block.
    pub(crate) async fn subnet(&self) -> Result<ISubnets::Subnet, Failure> {
        let call = ISubnets::subnetCall { id: self.id };
        self.ledger.call_next(subnets::ADDRESS, &call).await.map_err(network::failure)
    }

    pub(crate) async fn send(&self, value: Amount, call: &impl SolCall) -> Result<Mined, Failure> {
        send(&self.ledger, &self.wallet, value, call).await
    }

    /// Sends, and says so.
    async fn act(&self, value: Amount, call: &impl SolCall, output: Output) -> Result<(), Failure> {
        let mined = self.send(value, call).await?;
        let result = json!({
            "subnet": self.id, "account": self.wallet.address(), "paid": value.to_string(),
            "transaction": mined.hash, "block": mined.block, "gas_used": mined.gas_used,
        });
        output.data(&result, || format!("done in block {}", mined.block));
        Ok(())
    }
}

async fn act(
    transaction: &SubnetTransaction,
    value: Amount,
    call: &impl SolCall,
    output: Output,
) -> Result<(), Failure> {
    Party::new(transaction).await?.act(value, call, output).await
}

/// The hash that stands for a task: what is asked for, and the rows.
pub(crate) fn task(kind: &str, held_out: &Path) -> Result<(B256, Vec<u8>), Failure> {
    let rows = read_limited(held_out, HELD_OUT_BYTES_MAX)?;
    let words = [b"tacit 2026 subnet task v1 ".as_slice(), kind.as_bytes(), b"\n"].concat();
    Ok((keccak256([words.as_slice(), keccak256(&rows).as_slice()].concat()), rows))
}

async fn create(arguments: &CreateSubnet, output: Output) -> Result<(), Failure> {
    let kind = &arguments.kind;
    let (task, rows) = task(kind, &arguments.held_out)?;
    let rows = subnet_score::HeldOut::read(&rows, &arguments.held_out)?.count();
    let wallet = load(&arguments.key)?;
    let ledger = network::ledger(&arguments.ledger.url).await?;
    let (penalty, average, rule) = match arguments.rule {
        Rule::Classic => (u16::MAX, 900_000, 0),
        Rule::Yuma3 => (0, 975_000, 1),
        Rule::Liquid => (0, 975_000, 2),
    };
    let terms = ISubnets::Terms {
        task,
        text: format!("{kind}: {rows} held-out rows"),
        kappa: subnets::KAPPA_MIN,
        bondsPenalty: penalty,
        bondsAverage: average,
        rule,
        alphaLow: 6_553,
        alphaHigh: 19_660,
        alphaSteepness: 1_000,
        quorum: u16::try_from(u32::from(arguments.quorum_percent) * u32::from(u16::MAX) / 100)
            .unwrap_or(u16::MAX),
        workersMax: arguments.workers,
        validatorsMax: arguments.validators,
        epochSeconds: arguments.epoch_s,
        revealSeconds: arguments.reveal_s.unwrap_or((arguments.epoch_s / 4).max(subnets::EPOCH_S_MIN)),
        payout: arguments.payout_millionths,
        fee: coins(&arguments.fee)?.0,
        stakeMin: coins(&arguments.stake_min)?.0,
    };
    let mined = send(&ledger, &wallet, Amount::ZERO, &ISubnets::createCall { terms: terms.clone() }).await?;
    let id = created(&ledger, &terms, mined).await?;
    let result = json!({"subnet": id, "task": task, "text": terms.text, "block": mined.block});
    output.data(&result, || format!("subnet {id}: {}, in block {}", terms.text, mined.block));
    Ok(())
}

/// The number that a subnet got: the last one with these terms.
async fn created(ledger: &LedgerClient, terms: &ISubnets::Terms, mined: Mined) -> Result<u64, Failure> {
    let count = ledger.call(subnets::ADDRESS, &ISubnets::countCall {}).await.map_err(network::failure)?;
    for id in (0..count).rev().take(LOOKED_AT_MAX) {
        let call = ISubnets::subnetCall { id };
        let found = ledger.call(subnets::ADDRESS, &call).await.map_err(network::failure)?;
        if found.terms == *terms {
            return Ok(id);
        }
    }
    let message = format!("the subnet of block {} is not to be found", mined.block);
    Err(Failure::new("ledger_failed", message, "look at tacit subnet list"))
}

async fn list(url: &str, output: Output) -> Result<(), Failure> {
    let ledger = network::ledger(url).await?;
    let count = ledger.call(subnets::ADDRESS, &ISubnets::countCall {}).await.map_err(network::failure)?;
    let mut listed = Vec::new();
    for id in (0..count).take(LISTED_MAX) {
        let call = ISubnets::subnetCall { id };
        let subnet = ledger.call_next(subnets::ADDRESS, &call).await.map_err(network::failure)?;
        listed.push(json!({
            "subnet": id, "text": subnet.terms.text, "pool": Amount(subnet.pool).to_string(), "epoch": subnet.epoch,
        }));
    }
    output.data(&json!({"count": count, "subnets": listed}), || {
        let line = |subnet: &Value| {
            let word = |key: &str| subnet[key].as_str().unwrap_or_default().to_owned();
            format!(
                "{:>4}  {}  ({} coins in the pool, epoch {})",
                subnet["subnet"],
                word("text"),
                word("pool"),
                subnet["epoch"]
            )
        };
        listed.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

/// A subnet with who takes part.
struct Shown {
    id: u64,
    subnet: ISubnets::Subnet,
    workers: Vec<ISubnets::Worker>,
    validators: Vec<ISubnets::Validator>,
}

impl Shown {
    async fn read(ledger: &LedgerClient, id: u64) -> Result<Self, Failure> {
        let to = subnets::ADDRESS;
        let subnet = ledger.call_next(to, &ISubnets::subnetCall { id }).await.map_err(network::failure)?;
        let workers = ledger.call(to, &ISubnets::workersCall { id }).await.map_err(network::failure)?;
        let validators = ledger.call(to, &ISubnets::validatorsCall { id }).await.map_err(network::failure)?;
        Ok(Self { id, subnet, workers, validators })
    }

    fn to_json(&self) -> Value {
        let ISubnets::Subnet { terms, pool, start, epoch, next, paid } = &self.subnet;
        let workers: Vec<Value> = self
            .workers
            .iter()
            .map(|worker| {
                json!({
                    "seat": worker.seat, "account": worker.account, "since_epoch": worker.since,
                    "consensus": share(worker.consensus), "rank": share(worker.rank), "trust": share(worker.trust),
                    "incentive": share(worker.incentive), "reward": Amount(worker.reward).to_string(),
                })
            })
            .collect();
        let validators: Vec<Value> = self
            .validators
            .iter()
            .map(|validator| {
                json!({
                    "seat": validator.seat, "account": validator.account, "since_epoch": validator.since,
                    "stake": Amount(validator.stake).to_string(), "trust": share(validator.trust),
                    "dividends": share(validator.dividends), "reward": Amount(validator.reward).to_string(),
                    "committed_epoch": validator.committed.checked_sub(1),
                    "revealed_epoch": validator.revealed.checked_sub(1),
                })
            })
            .collect();
        let epoch_end = start.saturating_add(terms.ends_after(*epoch));
        json!({
            "subnet": self.id, "text": terms.text, "task": terms.task, "pool": Amount(*pool).to_string(),
            "epoch": epoch, "epoch_end": epoch_end, "next_close": next, "paid": Amount(*paid).to_string(),
            "fee": Amount(terms.fee).to_string(), "stake_min": Amount(terms.stakeMin).to_string(),
            "epoch_s": terms.epochSeconds, "reveal_s": terms.revealSeconds,
            "payout_millionths": terms.payout, "quorum": share_of_u16(terms.quorum), "rule": terms.rule,
            "workers": workers, "validators": validators,
        })
    }

    fn text(&self, output: Output) -> String {
        let ISubnets::Subnet { terms, pool, epoch, next, paid, .. } = &self.subnet;
        let title = output.paint(Style::Strong, &format!("subnet {}: {}", self.id, terms.text));
        let mut lines = vec![
            title,
            format!(
                "epoch {epoch} of {} s; {} coins in the pool; {} paid by the last epoch that was closed; next to close: {next}",
                terms.epochSeconds,
                Amount(*pool),
                Amount(*paid)
            ),
            String::new(),
            format!(
                "{:>4}  {:<12} {:>9} {:>9} {:>9}  reward",
                "seat", "worker", "rank", "trust", "incentive"
            ),
        ];
        for worker in &self.workers {
            let (rank, trust) = (share(worker.rank), share(worker.trust));
            lines.push(format!(
                "{:>4}  {:<12} {rank:>9.4} {trust:>9.4} {:>9.4}  {}",
                worker.seat,
                short(&worker.account.to_string()),
                share(worker.incentive),
                Amount(worker.reward)
            ));
        }
        lines.push(String::new());
        lines.push(format!(
            "{:>4}  {:<12} {:>9} {:>9} {:>9}  reward",
            "seat", "validator", "stake", "trust", "dividends"
        ));
        for validator in &self.validators {
            lines.push(format!(
                "{:>4}  {:<12} {:>9} {:>9.4} {:>9.4}  {}",
                validator.seat,
                short(&validator.account.to_string()),
                Amount(validator.stake).to_string(),
                share(validator.trust),
                share(validator.dividends),
                Amount(validator.reward)
            ));
        }
        lines.join("\n")
    }
}

/// A share as people read it: steps of `2^-32`, to six decimals. For showing only.
fn share(raw: u64) -> f64 {
    let millionths = (u128::from(raw) * 1_000_000) >> 32;
    f64::from(u32::try_from(millionths).unwrap_or(u32::MAX)) / 1e6
}

fn share_of_u16(part: u16) -> f64 {
    (f64::from(part) / f64::from(u16::MAX) * 1e4).round() / 1e4
}

/// Longest file of held-out rows.
const HELD_OUT_BYTES_MAX: u64 = 64 << 20;
/// Subnets among which a new one is looked for.
const LOOKED_AT_MAX: usize = 64;
/// Subnets that are listed.
const LISTED_MAX: usize = 1000;
