//! The demo's scenes, in order.

use super::dishonest::Cheat;
use super::picture;
use crate::args::Demo;
use crate::client::GatewayClient;
use crate::commands::ask::{self, ANCHOR_WAIT_MS};
use crate::commands::receipt;
use crate::commands::run::logits;
use crate::commands::worker;
use crate::failure::{Context, Failure};
use crate::input_file::InputFile;
use crate::local::{self, Listen, LocalNetwork, Offer};
use crate::measure::round;
use crate::output::{Output, Style, short};
use crate::{lifetime, network};
use alloy_primitives::Address;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use tacit_abi::{Evidence, Privacy};
use tacit_gateway::{AskAnswer, Bundle, VerifiedReceipt, verify_bundle, view::Status};
use tacit_wire::{Amount, Wallet};
use tacit_worker::ServedModel;
use tokio::sync::oneshot;

pub(crate) async fn demo(arguments: &Demo, output: Output) -> Result<(), Failure> {
    let start = Instant::now();
    let temporary = tempfile::tempdir().failed("cannot_write", "no temporary folder", "set TMPDIR to one")?;
    let data = arguments.data.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(data).failed(
        "cannot_write",
        data.display(),
        "check the folder and its permissions",
    )?;
    // Dropping the play ends its processes and removes its folder, however it ends.
    let Played { questions, encrypted, dishonest } = tokio::select! {
        played = play(data, output) => played?,
        () = lifetime::ended(false) => {
            return Err(Failure::new("interrupted", "interrupted; everything it started was stopped", ""));
        }
    };
    let wall_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let honest = questions
        .iter()
        .all(|question| question["verified"] == true && question["label"] == question["expected"]);
    let unseen = encrypted.iter().all(|question| {
        question["exact"] == true && question["opened"] == true && question["label"] == question["expected"]
    });
    let caught = dishonest.iter().all(|case| case["caught"] == true && case["paid"] == "0");
    let result = json!({
        "questions": questions, "encrypted": encrypted, "dishonest": dishonest, "wall_ms": wall_ms,
    });
    if !(honest && unseen && caught) {
        output.data(&result, String::new);
        return Err(Failure::new(
            "demo",
            "the demo did not go as it should",
            "please report this with the output above",
        ));
    }
    output.data(&result, || {
        format!(
            "\nDone in {:.1} s. Nothing is left running{}.\nNext: `tacit up` keeps such a network, `tacit ask` asks it.",
            start.elapsed().as_secs_f64(),
            arguments.data.as_ref().map_or_else(String::new, |data| format!("; ledger and receipts are in {}", data.display()))
        )
    });
    Ok(())
}

/// What the scenes gave.
struct Played {
    questions: Vec<Value>,
    encrypted: Vec<Value>,
    dishonest: Vec<Value>,
}

async fn play(data: &Path, output: Output) -> Result<Played, Failure> {
    let stage = Stage::set(data, output).await?;
    let (mut questions, mut encrypted, mut dishonest) = (Vec::new(), Vec::new(), Vec::new());
    stage.scene(3, "Private questions, proved answers");
    for offer in stage.offers.iter().filter(|offer| offer.shipped.proved) {
        questions.push(stage.question(offer).await?);
    }
    stage.scene(4, "Questions that nobody else can read, the worker included");
    for name in UNSEEN {
        encrypted.push(stage.unseen(name).await?);
    }
    stage.scene(5, "Dishonest workers offer the same model for less");
    for cheat in Cheat::ALL {
        dishonest.push(stage.dishonest(cheat).await?);
    }
    stage.network.stop().await;
    Ok(Played { questions, encrypted, dishonest })
}

/// The running network with everything the scenes need.
struct Stage<'a> {
    data: &'a Path,
    output: Output,
    offers: Vec<Offer>,
    network: LocalNetwork,
    gateway: GatewayClient,
}

impl<'a> Stage<'a> {
    async fn set(data: &'a Path, output: Output) -> Result<Self, Failure> {
        let listen = Listen::free();
        scene(output, 1, "A ledger starts");
        let ledger = local::start_ledger(data, listen.ledger).await?;
        output.line(format!("  Ethereum JSON-RPC at {}, chain {}", ledger.url(), ledger.ready["chain_id"]));

        scene(output, 2, "A worker publishes its models and their prices");
        let offers = local::offers(data, output)?;
        let worker = local::start_worker(data, listen, &ledger, &offers, None).await?;
        for offer in &offers {
            let report = &offer.file.report;
            output.line(format!(
                "  {:<20} {}  {} parameters, right on {:.1} % of {} held-out rows (as floats {:.1} %), {} an answer",
                offer.file.name,
                short(&offer.file.id().to_string()),
                report.params,
                100.0 * report.integer_score.unwrap_or(0.0),
                report.rows,
                100.0 * report.float_score.unwrap_or(0.0),
                offer.shipped.price,
            ));
        }
        output.line(format!(
            "  worker {} at {}",
            short(worker.ready["info"]["worker"].as_str().unwrap_or("")),
            worker.url()
        ));
        let gateway_role = local::start_gateway(data, listen.gateway, &ledger, &offers, None).await?;
        output.line(format!("  and a client opens its gateway at {}", gateway_role.url()));
        let gateway = GatewayClient::new(&gateway_role.url())?;
        let network = LocalNetwork { ledger, worker, gateway: gateway_role, relay: None };
        Ok(Self { data, output, offers, network, gateway })
    }

    fn scene(&self, number: usize, title: &str) {
        scene(self.output, number, title);
    }

    /// Asks through the gateway, for the most evidence that the privacy allows.
    async fn ask(
        &self,
        model: &str,
        input: &str,
        privacy: Privacy,
        worker: Option<Address>,
    ) -> Result<AskAnswer, Failure> {
        let input = InputFile::from_json(input)?.one(None)?.to_json()?;
        let request = json!({
            "model": model, "input": input, "privacy": privacy, "anchor_wait_ms": ANCHOR_WAIT_MS, "worker": worker,
        });
        ask::read(self.gateway.post("/tacit/v1/ask", &request).await?)
    }

    /// Shows the question, asks it, shows the answer, and checks the saved receipt as a stranger would years later: nothing but the
    /// file, no network.
    async fn asked(
        &self,
        offer: &Offer,
        privacy: Privacy,
    ) -> Result<(AskAnswer, Bundle, VerifiedReceipt), Failure> {
        let output = self.output;
        let sample = &offer.shipped.question;
        output.line(format!("\n  {} is asked about:", output.paint(Style::Strong, &offer.file.name)));
        for line in picture::draw(offer.file.model.graph(), sample.input)? {
            output.line(format!("      {line}"));
        }
        let answer = self.ask(&offer.file.name, sample.input, privacy, None).await?;
        output.line(format!("  {}", ask::line(&answer, output)));
        // The file is the client's own: with its keys, so that it opens.
        let bundle = self.gateway.get(&format!("/tacit/v1/receipts/{}/bundle/keys", answer.receipt)).await?;
        let path = self.data.join(format!("receipt-{}.json", offer.file.name));
        std::fs::write(&path, bundle.to_string()).failed(
            "cannot_write",
            path.display(),
            "check the folder",
        )?;
        let bytes = std::fs::read(&path).failed("no_file", path.display(), "")?;
        let bundle = Bundle::from_json(&bytes).map_err(|reject| receipt::refused(&reject))?;
        let verified = verify_bundle(&bundle).map_err(|reject| receipt::refused(&reject))?;
        Ok((answer, bundle, verified))
    }

    async fn question(&self, offer: &Offer) -> Result<Value, Failure> {
        let (output, sample) = (self.output, &offer.shipped.question);
        let (answer, _, verified) = self.asked(offer, Privacy::Sealed).await?;
        let again =
            verified.hash() == answer.receipt && receipt::result(&verified)["answer"] == json!(answer.label);
        let bits = verified.security_bits().unwrap_or(0);
        output.line(format!(
            "  {} the saved receipt verifies offline: signature, commitments, and the proof at {bits} bits",
            output.paint(Style::Good, "✓")
        ));
        Ok(json!({
            "model": answer.model, "privacy": answer.privacy, "evidence": answer.evidence, "label": answer.label,
            "expected": sample.expected, "verified": answer.verified && again, "prove_cpu_ms": round(answer.prove_cpu_ms),
            "verify_cpu_ms": round(answer.verify_cpu_ms), "proof_bytes": answer.proof_bytes, "price": answer.price,
            "receipt": answer.receipt, "block": answer.block,
        }))
    }

    /// A question under encryption, and the same computed here: what came back is the graph's output, bit for bit.
    async fn unseen(&self, name: &str) -> Result<Value, Failure> {
        let (output, missing) = (self.output, || Failure::new("demo", "the model is not offered", ""));
        let offer = self.offers.iter().find(|offer| offer.file.name == name).ok_or_else(missing)?;
        let sample = &offer.shipped.question;
        let start = Instant::now();
        let (answer, bundle, verified) = self.asked(offer, Privacy::Encrypted).await?;
        let wall_ms = start.elapsed().as_secs_f64() * 1000.0;
        let model = &offer.file.model;
        let rows = InputFile::from_json(sample.input)?.values(model.graph(), None)?;
        let exact = logits(model, &rows)?.first() == Some(&bundle.output);
        let opened = verified.opened() && verified.hash() == answer.receipt;
        let mark = |good: bool| {
            if good { output.paint(Style::Good, "✓") } else { output.paint(Style::Bad, "✗") }
        };
        output.line(format!(
            "  {} what was decrypted is what the graph gives here, bit for bit; {}",
            mark(exact),
            match answer.key_bytes {
                0 => "no keys were sent, nothing is kept",
                _ => "the keys that were sent compute and cannot read",
            }
        ));
        output.line(format!(
            "  {} the saved receipt opens offline: the question encrypted again, the answer decrypted again",
            mark(opened)
        ));
        Ok(json!({
            "model": answer.model, "privacy": answer.privacy, "evidence": answer.evidence, "label": answer.label,
            "expected": sample.expected, "scores": answer.scores, "margin": answer.margin, "exact": exact, "opened": opened,
            "bytes_up": answer.bytes_up, "bytes_down": answer.bytes_down, "key_bytes": answer.key_bytes,
            "worker_cpu_ms": round(answer.prove_cpu_ms), "wall_ms": round(wall_ms), "price": answer.price,
            "receipt": answer.receipt, "block": answer.block,
        }))
    }

    /// A cheat undercuts the honest worker, is asked, and is found out.
    async fn dishonest(&self, cheat: Cheat) -> Result<Value, Failure> {
        let output = self.output;
        output.line(format!("\n  a worker that {}", cheat.story()));
        let offer = self.offers.first().ok_or_else(|| Failure::new("demo", "no model is offered", ""))?;
        let wallet = self.stranger().await?;
        let address = wallet.address();
        let _stop = self.hire(cheat, wallet, offer).await?;
        let mut paid_before = Amount::ZERO;
        for _ in 0..cheat.questions_before() {
            let honest = self
                .ask(&offer.file.name, offer.shipped.other_question.input, Privacy::Sealed, Some(address))
                .await?;
            paid_before = honest.price;
            output.line(format!("    first it answers honestly, and is paid {}", honest.price));
        }
        let question = offer.shipped.question.input;
        let asked = self.ask(&offer.file.name, question, Privacy::Sealed, Some(address)).await;
        let (caught, reason) = match asked {
            Err(failure) if failure.code == cheat.refusal() => (true, failure.message),
            Err(failure) => return Err(failure),
            Ok(answer) => (false, format!("it was believed and paid {}", answer.price)),
        };
        let paid = self.signed_to(address).await?.checked_sub(paid_before).unwrap_or(Amount::ZERO);
        let mark = if caught {
            output.paint(Style::Good, "✓ caught")
        } else {
            output.paint(Style::Bad, "✗ not caught")
        };
        let reason = reason.split(" is refused: ").last().unwrap_or(&reason).to_owned();
        output
            .line(format!("    {mark}: {} · paid for it: {paid} · not asked again", cheat.finding(&reason)));
        Ok(json!({"case": cheat.name(), "caught": caught, "paid": paid.to_string(), "reason": reason}))
    }

    /// A fresh account with a few coins, from one of the public test accounts.
    async fn stranger(&self) -> Result<Wallet, Failure> {
        let wallet = Wallet::random();
        let [public, ..] = tacit_node::dev_accounts();
        let public = Wallet::from_hex(&public.public_secret.to_string())
            .ok_or_else(|| Failure::new("demo", "no test account", ""))?;
        let ledger = network::ledger(&self.network.ledger.url()).await?;
        ledger.transfer(&public, wallet.address(), Amount::coins(1)).await.map_err(network::failure)?;
        Ok(wallet)
    }

    /// Starts a dishonest worker beside the honest one; it ends when the sender returned here is dropped.
    async fn hire(
        &self,
        cheat: Cheat,
        wallet: Wallet,
        offer: &Offer,
    ) -> Result<oneshot::Sender<()>, Failure> {
        let model = &offer.file.model;
        let price: Amount = CHEAP.parse().failed("demo", "the price", "")?;
        let served = ServedModel::new(
            &offer.file.name,
            model.graph(),
            offer.file.weight_root,
            cheat.engine(&offer.file)?,
        )
        .failed("demo", "the model", "")?
        .ask(Privacy::Sealed, Evidence::Proved, price);
        let listener = crate::commands::node::bind(Listen::free().worker, "dishonest worker").await?;
        let url = crate::commands::node::url(&listener)?;
        let ledger = network::ledger(&self.network.ledger.url()).await?;
        let data = self.data.join("dishonest").join(wallet.address().to_string());
        let worker = worker::open(
            &data,
            wallet,
            ledger,
            worker::Models::of(served),
            worker::Terms::billed(cheat.billing()),
        )
        .await?;
        worker::publish(&worker, &url).await?;
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(worker.serve(listener, async {
            let _ = stopped.await;
        }));
        Ok(stop)
    }

    /// What the gateway has promised to a worker in all.
    async fn signed_to(&self, worker: Address) -> Result<Amount, Failure> {
        let status: Status = serde_json::from_value(self.gateway.get("/tacit/v1/status").await?).failed(
            "gateway",
            "the gateway's status cannot be read",
            "",
        )?;
        let signed =
            status.channels.iter().filter(|channel| channel.worker == worker).map(|channel| channel.signed);
        signed.reduce(|sum, more| sum.checked_add(more).unwrap_or(sum)).map_or(Ok(Amount::ZERO), Ok)
    }
}

fn scene(output: Output, number: usize, title: &str) {
    output.line(format!("\n{}", output.paint(Style::Strong, &format!("{number}. {title}"))));
}

/// A medical and a financial question.
const UNSEEN: &[&str] = &[
    "breast-cancer-linear",
    "german-credit",
    #[cfg(feature = "pbs")]
    "breast-cancer-oblivious",
];
/// Half of what the honest worker asks.
const CHEAP: &str = "0.0001";
