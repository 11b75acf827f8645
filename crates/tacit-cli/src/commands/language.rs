//! Language models: `tacit model language`, what `tacit worker --engine` serves, and what it earned.

use crate::args::{EarningsBy, EngineModel, LanguageKind, LanguageModel as Describe, WorkerEarnings};
use crate::commands::language_file;
use crate::failure::{Context, Failure};
use crate::output::{Output, Style};
use crate::tensor_file::read_limited;
use alloy_primitives::B256;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;
use tacit_wire::Amount;
use tacit_wire::http::JsonClient;
use tacit_wire::language::{LanguageManifest, MANIFEST_BYTES_MAX, TOKENIZER_BYTES_MAX, TokenPrices};
use tacit_wire::message::{LanguageStatus, ModelTally, WorkerInfo};
use tacit_worker::gguf::{Gguf, tokenizer_json};
use tacit_worker::{LanguageEngine, LanguageError, LanguageModel};

/// Describes a model whose weights are in a file: manifest and tokenizer.
pub(crate) fn describe(arguments: &Describe, output: Output) -> Result<(), Failure> {
    let weights = &arguments.weights;
    let open = || File::open(weights).failed("no_file", weights.display(), "check the path");
    let gguf = Gguf::read(BufReader::new(open()?));
    let is_gguf = weights.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let gguf = match gguf {
        Ok(gguf) => Some(gguf),
        Err(error) if is_gguf => {
            return Err(Failure::new(
                "bad_weights",
                format!("{}: {error}", weights.display()),
                "fetch the file again",
            ));
        }
        Err(_) => None,
    };
    let tokenizer = match (&arguments.tokenizer, &gguf) {
        (Some(path), _) => read_limited(path, TOKENIZER_FILE_MAX)?,
        (None, Some(gguf)) => {
            tokenizer_json(gguf).failed("no_tokenizer", weights.display(), GIVE_TOKENIZER)?
        }
        (None, None) => {
            return Err(Failure::new("no_tokenizer", "only a GGUF file holds its tokenizer", GIVE_TOKENIZER));
        }
    };
    // What cannot be counted with is of no use to anybody.
    tacit_wire::meter::Meter::new(&tokenizer, 0).failed("bad_tokenizer", "the tokenizer", GIVE_TOKENIZER)?;
    let from_file = |given: &Option<String>, found: Option<&str>, option: &str| {
        let found = given.clone().or_else(|| found.map(str::to_owned));
        found.ok_or_else(|| {
            Failure::new("bad_usage", format!("the file does not say: {option}"), format!("add {option}"))
        })
    };
    let gguf = gguf.as_ref();
    let context_tokens = arguments.context_tokens.or_else(|| gguf.and_then(Gguf::context_tokens));
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(open()?).failed("no_file", weights.display(), "check the file")?;
    let format = if gguf.is_some() { "gguf" } else { "safetensors" };
    let manifest = LanguageManifest {
        kind: match arguments.kind {
            LanguageKind::Language => tacit_wire::language::LanguageKind::Language,
            LanguageKind::Embedding => tacit_wire::language::LanguageKind::Embedding,
        },
        name: arguments.name.clone(),
        weights: B256::from(*hasher.finalize().as_bytes()),
        tokenizer: B256::from(*blake3::hash(&tokenizer).as_bytes()),
        format: arguments.format.clone().unwrap_or_else(|| format.to_owned()),
        quantisation: from_file(
            &arguments.quantisation,
            gguf.and_then(Gguf::quantisation),
            "--quantisation",
        )?,
        context_tokens: context_tokens.ok_or_else(|| {
            Failure::new("bad_usage", "the file does not say: --context-tokens", "add --context-tokens")
        })?,
        message_tokens: arguments.message_tokens,
        licence: from_file(&arguments.licence, gguf.and_then(Gguf::licence), "--licence")?,
    };
    let hint = "names are 1 to 32 of a-z 0-9 - . _";
    let (bytes, model_id) = manifest.write().failed("bad_usage", "the manifest", hint)?;
    let folder = &arguments.output;
    let failed = |path: &Path, written: std::io::Result<()>| {
        written.failed("cannot_write", path.display(), "check the folder and its permissions")
    };
    failed(folder, std::fs::create_dir_all(folder))?;
    let files = [("manifest.json", &bytes), ("tokenizer.json", &tokenizer)];
    for (name, bytes) in files {
        let path = folder.join(name);
        failed(&path, std::fs::write(&path, bytes))?;
    }
    let result = json!({ "model_id": model_id, "manifest": manifest, "folder": folder });
    output.data(&result, || {
        format!(
            "{} {model_id}\n  {}/manifest.json, {}/tokenizer.json",
            manifest.name,
            folder.display(),
            folder.display()
        )
    });
    Ok(())
}

const GIVE_TOKENIZER: &str = "give the model's own: --tokenizer tokenizer.json";

/// Opens what `--engine` or `--models` names; `attested` to be vouched for too, each with its weights.
pub(crate) async fn open(
    arguments: &EngineModel,
    attested: bool,
    weights: Option<&Path>,
    output: Output,
) -> Result<Vec<LanguageModel>, Failure> {
    if let Some(file) = &arguments.models_file {
        return language_file::open(file, attested, output).await;
    }
    let EngineModel { engine, engine_model, manifest, tokenizer, .. } = arguments;
    let (Some(url), Some(manifest), Some(tokenizer)) = (engine, manifest, tokenizer) else {
        return Ok(Vec::new());
    };
    let prices = TokenPrices {
        request: price(&arguments.request_price, 1)?,
        prompt: price(&arguments.prompt_price, PRICED_TOKENS)?,
        completion: price(&arguments.completion_price, PRICED_TOKENS)?,
    };
    let engine_model = engine_model.as_deref();
    let served = Served { url, engine_model, manifest, tokenizer, prices, capacity: arguments.capacity };
    let model = served.read().await?;
    let model = if attested { in_guest(model, weights).await? } else { model };
    model.check().await.failed("engine", "the engine cannot be used", ENGINE_HINT)?;
    Ok(vec![model])
}

/// A language model that is to be served.
pub(crate) struct Served<'a> {
    pub(crate) url: &'a str,
    /// The manifest's name when left out.
    pub(crate) engine_model: Option<&'a str>,
    pub(crate) manifest: &'a Path,
    pub(crate) tokenizer: &'a Path,
    pub(crate) prices: TokenPrices,
    pub(crate) capacity: u32,
}

impl Served<'_> {
    /// Reads manifest and tokenizer. The engine is not asked anything yet.
    pub(crate) async fn read(&self) -> Result<LanguageModel, Failure> {
        let manifest = read_limited(self.manifest, MANIFEST_FILE_MAX)?;
        let name = match self.engine_model {
            Some(name) => name.to_owned(),
            None => {
                serde_json::from_slice::<LanguageManifest>(&manifest)
                    .failed("bad_manifest", self.manifest.display(), "make one: tacit model language")?
                    .name
            }
        };
        let engine = LanguageEngine::new(self.url, &name).failed("engine", self.url, ENGINE_HINT)?;
        let tokenizer = read_limited(self.tokenizer, TOKENIZER_FILE_MAX)?;
        let (prices, capacity) = (self.prices, self.capacity);
        let model = tokio::task::spawn_blocking(move || {
            LanguageModel::new(manifest, tokenizer, prices, capacity, engine)
        });
        let model = model.await.failed("bad_model", self.tokenizer.display(), GIVE_TOKENIZER)?;
        let hint = "make manifest and tokenizer: tacit model language";
        model.failed("bad_model", format!("{} cannot be served", self.manifest.display()), hint)
    }
}

/// For hardware to vouch for, once its weights are hashed.
pub(crate) async fn in_guest(model: LanguageModel, weights: Option<&Path>) -> Result<LanguageModel, Failure> {
    let name = model.manifest().name.clone();
    let Some(weights) = weights.map(Path::to_owned) else {
        let message = format!("nothing shows that the weights of {name} are those that its manifest names");
        return Err(Failure::new("no_weights", message, WEIGHTS_HINT));
    };
    let hashing = tokio::task::spawn_blocking(move || model.in_guest(&weights)).await;
    let hashed = hashing.failed("bad_weights", &name, WEIGHTS_HINT)?;
    hashed.map_err(|error| {
        let hint = match &error {
            LanguageError::EngineElsewhere { .. } => {
                "run the engine in the guest, and give its address as http://127.0.0.1:PORT"
            }
            LanguageError::Weights { .. } => "check the path",
            _ => "give the file that the manifest was made from, or make a manifest of this one: tacit model language",
        };
        Failure::new("not_attested", format!("{name} cannot be vouched for: {error}"), hint)
    })
}

const WEIGHTS_HINT: &str = "with --attested give the file that the engine loads: --weights FILE, or weights = \"FILE\" in the file of models";
const ENGINE_HINT: &str =
    "is it running? its address goes to --engine, its name for the model to --engine-model";
const MANIFEST_FILE_MAX: u64 = MANIFEST_BYTES_MAX as u64;
const TOKENIZER_FILE_MAX: u64 = TOKENIZER_BYTES_MAX as u64;

/// Prices of tokens are given for so many of them.
pub(crate) const PRICED_TOKENS: u128 = 1_000_000;

/// The price of one, from that of `per`.
pub(crate) fn price(text: &str, per: u128) -> Result<Amount, Failure> {
    let amount: Amount = text.parse().failed("bad_amount", format!("{text:?}"), "a price looks like 0.15")?;
    if !amount.0.is_multiple_of(per) {
        let message = format!("{text} coins cannot be divided by {per}");
        return Err(Failure::new(
            "bad_amount",
            message,
            "a price of a million tokens has at most 12 decimal places",
        ));
    }
    Ok(Amount(amount.0 / per))
}

/// What a worker says of a model that it serves by the token.
pub(crate) fn line(model: &LanguageStatus) -> String {
    let TokenPrices { request, prompt, completion } = model.prices;
    // Priced as it was given, so that it fits again.
    let [prompt, completion] =
        [prompt, completion].map(|price| Amount(price.0.saturating_mul(PRICED_TOKENS)));
    let (name, id) = (&model.name, model.model_id);
    let away = if model.available { "" } else { "; asked for as soon as its engine answers" };
    format!("  {name} {id} (a million tokens: {prompt} in, {completion} out; a request: {request}{away})")
}

/// What the models of a running worker brought.
pub(crate) async fn earnings(arguments: &WorkerEarnings, output: Output) -> Result<(), Failure> {
    let client = JsonClient::new(STATUS_TIMEOUT).failed("worker", "HTTP", "")?;
    let url = format!("{}/v1/status", arguments.worker.trim_end_matches('/'));
    let info: WorkerInfo = client.get(&url, STATUS_BYTES_MAX).await.failed(
        "worker_unreachable",
        &arguments.worker,
        "name the address at which it listens: --worker",
    )?;
    let name_of = |id: B256| {
        let languages = info.languages.iter().map(|model| (model.model_id, &model.name));
        let mut known = languages.chain(info.models.iter().map(|model| (model.model_id, &model.name)));
        known.find(|(known, _)| *known == id).map_or_else(|| id.to_string(), |(_, name)| name.clone())
    };
    let mut sums: BTreeMap<String, ModelTally> = BTreeMap::new();
    for tally in &info.tallies {
        let key = match arguments.by {
            EarningsBy::Day => tally.day.clone(),
            EarningsBy::Model => name_of(tally.model_id),
        };
        let sum = sums.entry(key).or_insert_with(|| ModelTally::none(tally.day.clone(), tally.model_id));
        sum.requests = sum.requests.saturating_add(tally.requests);
        sum.failures = sum.failures.saturating_add(tally.failures);
        sum.prompt_tokens = sum.prompt_tokens.saturating_add(tally.prompt_tokens);
        sum.completion_tokens = sum.completion_tokens.saturating_add(tally.completion_tokens);
        sum.earned = sum.earned.checked_add(tally.earned).ok_or_else(|| {
            Failure::new("bad_answer", "the worker tells of more than any amount", "is it a worker?")
        })?;
    }
    let heading = match arguments.by {
        EarningsBy::Day => "day",
        EarningsBy::Model => "model",
    };
    let rows: Vec<Value> = sums
        .iter()
        .map(|(key, sum)| {
            json!({
                heading: key, "requests": sum.requests, "failures": sum.failures, "prompt_tokens": sum.prompt_tokens,
                "completion_tokens": sum.completion_tokens, "earned": sum.earned,
            })
        })
        .collect();
    output.data(&json!({ "worker": info.worker, "earnings": rows }), || {
        let head = format!(
            "{heading:<32} {:>10} {:>9} {:>14} {:>14}  earned",
            "requests", "failures", "tokens in", "tokens out"
        );
        let lines = sums.iter().map(|(key, sum)| {
            let ModelTally { requests, failures, prompt_tokens, completion_tokens, earned, .. } = sum;
            format!(
                "{key:<32} {requests:>10} {failures:>9} {prompt_tokens:>14} {completion_tokens:>14}  {earned}"
            )
        });
        let all: Vec<String> = core::iter::once(output.paint(Style::Dim, &head)).chain(lines).collect();
        all.join("\n")
    });
    Ok(())
}

const STATUS_TIMEOUT: Duration = Duration::from_secs(10);
const STATUS_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// A tokenizer of one letter, which is enough to read it.
    const TOKENIZER: &[u8] =
        br#"{"version":"1.0","added_tokens":[],"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#;

    fn model(engine: &str) -> LanguageModel {
        let manifest = LanguageManifest {
            kind: tacit_wire::language::LanguageKind::Language,
            name: "small".to_owned(),
            weights: B256::from(*blake3::hash(b"weights").as_bytes()),
            tokenizer: B256::from(*blake3::hash(TOKENIZER).as_bytes()),
            format: "gguf".to_owned(),
            quantisation: "Q4_1".to_owned(),
            context_tokens: 1,
            message_tokens: 0,
            licence: "MIT".to_owned(),
        };
        let engine = LanguageEngine::new(engine, "small").unwrap();
        let bytes = manifest.write().unwrap().0;
        LanguageModel::new(bytes, TOKENIZER.to_vec(), TokenPrices::default(), 1, engine).unwrap()
    }

    #[tokio::test]
    async fn a_model_is_vouched_for_with_its_weights_and_an_engine_that_is_here() {
        let here = "http://127.0.0.1:1";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let missing = in_guest(model(here), Some(&path)).await.err().unwrap();
        assert_eq!((missing.code.as_str(), missing.hint.as_str()), ("not_attested", "check the path"));
        std::fs::write(&path, b"weights").unwrap();
        assert!(in_guest(model(here), Some(&path)).await.is_ok());
        let unnamed = in_guest(model(here), None).await.err().unwrap();
        assert_eq!(unnamed.code, "no_weights");
        assert!(unnamed.hint.contains("--weights FILE"), "{}", unnamed.hint);
        let elsewhere = in_guest(model("http://engine:8000"), Some(&path)).await.err().unwrap();
        assert_eq!(elsewhere.code, "not_attested");
        assert!(elsewhere.hint.contains("127.0.0.1"), "{}", elsewhere.hint);
        std::fs::write(&path, b"others").unwrap();
        let others = in_guest(model(here), Some(&path)).await.err().unwrap();
        assert!(others.message.contains("the manifest names"), "{}", others.message);
        assert!(others.hint.contains("tacit model language"), "{}", others.hint);
    }

    #[test]
    fn prices_are_for_a_million_tokens_and_exact() {
        assert_eq!(price("0.15", PRICED_TOKENS).unwrap(), Amount(150_000_000_000));
        assert_eq!(price("0.000000000001", PRICED_TOKENS).unwrap(), Amount(1));
        assert_eq!(price("0", PRICED_TOKENS).unwrap(), Amount::ZERO);
        assert_eq!(price("0.0000000000015", PRICED_TOKENS).unwrap_err().code, "bad_amount");
        assert_eq!(price("-1", PRICED_TOKENS).unwrap_err().code, "bad_amount");
        assert_eq!(price("0.000000000000000001", 1).unwrap(), Amount(1));
    }
}
