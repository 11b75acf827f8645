//! `tacit subnet score` and `reveal`: a validator's part.
//!
//! Each worker of the subnet that serves a model of the task's kind is asked rows of the held-out set, through the validator's own gateway, as any client would ask. Which
//! rows, and in which order, is drawn anew for each worker. A score is the share of rows that were answered rightly: what is not answered is wrong. Scores are on disk before
//! a commitment to them leaves, so that they can be revealed whatever happens between.

use crate::args::{ScoreSubnet, SubnetTransaction};
use crate::client::GatewayClient;
use crate::commands::ask::read;
use crate::commands::subnet::{Party, coins, task};
use crate::failure::{Context, Failure};
use crate::network;
use crate::output::{Output, short};
use crate::shipped::HeldOutFile;
use alloy_primitives::{Address, B256};
use rand::seq::index;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tacit_abi::{ISubnets, subnets, subnets::Commitment};
use tacit_wire::{Amount, JobId, LedgerClient};

/// Rows with their labels.
pub(crate) struct HeldOut(HeldOutFile);

impl HeldOut {
    pub(crate) fn read(bytes: &[u8], path: &Path) -> Result<Self, Failure> {
        let hint = "it is JSON {\"rows\":[…],\"labels\":[…]}, as models/digits/held_out.json is";
        let file: HeldOutFile = serde_json::from_slice(bytes).failed("bad_held_out", path.display(), hint)?;
        if file.rows.is_empty() || file.rows.len() != file.labels.len() {
            let message = format!("{} rows and {} labels", file.rows.len(), file.labels.len());
            return Err(Failure::new("bad_held_out", message, hint));
        }
        Ok(Self(file))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.rows.len()
    }
}

/// Scores that were committed to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    chain_id: u64,
    subnet: u64,
    epoch: u64,
    validator: Address,
    salt: B256,
    weights: Vec<u16>,
}

impl Kept {
    fn commitment(&self) -> B256 {
        let Self { chain_id, subnet: id, epoch, validator, salt, ref weights } = *self;
        Commitment { chain_id, id, epoch, validator, salt, weights }.hash()
    }

    fn path(folder: &Path, party: &Party, epoch: u64) -> PathBuf {
        let (chain, validator) = (party.ledger.chain_id(), party.wallet.address());
        folder.join(format!("{chain}-{}-{epoch}-{validator}.json", party.id))
    }

    /// On disk, whole or not at all.
    fn write(&self, path: &Path) -> Result<(), Failure> {
        let doing = || path.display().to_string();
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        std::fs::create_dir_all(folder).failed("scores", doing(), DISK_HINT)?;
        let text = serde_json::to_vec(self).failed("scores", doing(), DISK_HINT)?;
        let beside = tempfile::NamedTempFile::new_in(folder).failed("scores", doing(), DISK_HINT)?;
        std::fs::write(beside.path(), text).failed("scores", doing(), DISK_HINT)?;
        beside.as_file().sync_all().failed("scores", doing(), DISK_HINT)?;
        beside.persist(path).failed("scores", doing(), DISK_HINT)?;
        Ok(())
    }
}

/// What one worker was found to do.
#[derive(Debug, Serialize)]
struct Score {
    seat: u16,
    account: Address,
    model: Option<String>,
    asked: usize,
    answered: usize,
    right: usize,
    weight: u16,
    /// What the last refusal said, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

pub(crate) async fn score(arguments: &ScoreSubnet, output: Output) -> Result<(), Failure> {
    let party = Party::new(&arguments.transaction).await?;
    let subnet = party.subnet().await?;
    let kind = subnet.terms.text.split(':').next().unwrap_or_default().to_owned();
    let (task, bytes) = task(&kind, &arguments.held_out)?;
    if task != subnet.terms.task {
        let message = format!("{} is not what this subnet asks", arguments.held_out.display());
        return Err(Failure::new("wrong_task", message, "give the file that the subnet was created with"));
    }
    let held_out = HeldOut::read(&bytes, &arguments.held_out)?;
    let call = ISubnets::workersCall { id: party.id };
    let workers = party.ledger.call(subnets::ADDRESS, &call).await.map_err(network::failure)?;
    let models = models(&party.ledger, &kind).await?;
    let examiner = Examiner {
        gateway: GatewayClient::new(&arguments.gateway.url)?,
        held_out,
        rows: arguments.rows.get(),
        max_price: coins(&arguments.max_price)?,
    };
    let mut scores = Vec::new();
    for worker in &workers {
        let model = models.iter().find(|(account, _)| *account == worker.account).map(|(_, id)| *id);
        let score = examiner.examine(worker, model).await;
        output.note(format!(
            "{}: {} of {} right",
            short(&worker.account.to_string()),
            score.right,
            score.asked
        ));
        scores.push(score);
    }
    let mut weights = vec![0_u16; usize::from(subnet.terms.workersMax)];
    for score in &scores {
        if let Some(weight) = weights.get_mut(usize::from(score.seat)) {
            *weight = score.weight;
        }
    }
    // Asking takes time: what is committed to is for the epoch that goes on now.
    let epoch = party.subnet().await?.epoch;
    let (chain_id, validator) = (party.ledger.chain_id(), party.wallet.address());
    let salt = B256::from(rand::random::<[u8; 32]>());
    let kept = Kept { chain_id, subnet: party.id, epoch, validator, salt, weights };
    let path = Kept::path(&arguments.scores, &party, epoch);
    kept.write(&path)?;
    let commitment = kept.commitment();
    let mined = party.send(Amount::ZERO, &ISubnets::commitCall { id: party.id, epoch, commitment }).await?;
    let result = json!({
        "subnet": party.id, "epoch": epoch, "commitment": commitment, "block": mined.block, "scores": scores,
        "kept": path,
    });
    output.data(&result, || {
        format!(
            "committed to {} scores for epoch {epoch}, in block {}: reveal them once it has ended",
            scores.len(),
            mined.block
        )
    });
    Ok(())
}

/// Who serves a model of a kind, the cheapest of each worker first.
async fn models(ledger: &LedgerClient, kind: &str) -> Result<Vec<(Address, B256)>, Failure> {
    let prefix = format!("{kind}-");
    let mut found = Vec::new();
    for listing in ledger.listings().await.map_err(network::failure)? {
        if listing.model.name == kind || listing.model.name.starts_with(&prefix) {
            let asks = listing.asks.iter().map(|ask| (ask.terms.price, ask.worker, listing.model.modelId));
            found.extend(asks);
        }
    }
    found.sort_by_key(|(price, ..)| *price);
    Ok(found.into_iter().map(|(_, worker, model)| (worker, model)).collect())
}

/// Asks workers what the answers are known to.
struct Examiner {
    gateway: GatewayClient,
    held_out: HeldOut,
    rows: usize,
    max_price: Amount,
}

impl Examiner {
    async fn examine(&self, worker: &ISubnets::Worker, model: Option<B256>) -> Score {
        let HeldOut(HeldOutFile { rows, labels }) = &self.held_out;
        // Without repetition, in an order of its own.
        let drawn = index::sample(&mut rand::rng(), rows.len(), self.rows.min(rows.len()));
        let mut score = Score {
            seat: worker.seat,
            account: worker.account,
            model: model.map(|model| model.to_string()),
            asked: drawn.len(),
            answered: 0,
            right: 0,
            weight: 0,
            refusal: model.is_none().then(|| "it asks nothing for a model of this kind".to_owned()),
        };
        let Some(model) = model else { return score };
        for number in drawn {
            let (Some(row), Some(label)) = (rows.get(number), labels.get(number)) else { continue };
            match self.ask(worker.account, model, row).await {
                Ok(answer) => {
                    score.answered += 1;
                    score.right += usize::from(answer.as_deref() == Some(label));
                }
                Err(failure) => score.refusal = Some(failure.message),
            }
        }
        score.weight = weight(score.right, score.asked);
        score
    }

    /// The label that a worker gives a row.
    async fn ask(&self, worker: Address, model: B256, row: &[f64]) -> Result<Option<String>, Failure> {
        let request: Value = json!({
            "job_id": JobId::random().0, "model": model, "input": {"shape": [row.len()], "data": row}, "worker": worker,
            "privacy": "sealed", "evidence": "signed", "max_price": self.max_price,
        });
        Ok(read(self.gateway.post("/tacit/v1/ask", &request).await?)?.label)
    }
}

/// Rows that were answered rightly, of 65535ths of those that were asked.
fn weight(right: usize, asked: usize) -> u16 {
    let scaled = right.saturating_mul(usize::from(u16::MAX)).checked_div(asked).unwrap_or(0);
    u16::try_from(scaled).unwrap_or(u16::MAX)
}

pub(crate) async fn reveal(
    transaction: &SubnetTransaction,
    scores: &Path,
    output: Output,
) -> Result<(), Failure> {
    let party = Party::new(transaction).await?;
    let current = party.subnet().await?.epoch;
    let early = || Failure::new("too_early", "no epoch has ended yet", "wait until this one has");
    let epoch = current.checked_sub(1).ok_or_else(early)?;
    let path = Kept::path(scores, &party, epoch);
    let bytes = std::fs::read(&path).failed(
        "no_scores",
        path.display(),
        "scores are made by `tacit subnet score` in the epoch before",
    )?;
    let Kept { salt, weights, .. } =
        serde_json::from_slice(&bytes).failed("no_scores", path.display(), "the file is damaged")?;
    let call = ISubnets::revealCall { id: party.id, epoch, salt, weights: weights.clone() };
    let mined = party.send(Amount::ZERO, &call).await?;
    let result = json!({"subnet": party.id, "epoch": epoch, "weights": weights, "block": mined.block});
    output.data(&result, || format!("revealed the scores of epoch {epoch}, in block {}", mined.block));
    Ok(())
}

const DISK_HINT: &str = "give a folder with --scores that can be written to";

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn a_weight_is_a_share_of_what_was_asked() {
        assert_eq!([weight(0, 20), weight(10, 20), weight(20, 20), weight(0, 0)], [0, 32_767, 65_535, 0]);
    }
}
