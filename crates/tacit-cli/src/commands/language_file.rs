//! A file of language models for one worker: each with its engine, prices and capacity.

use crate::commands::language::{PRICED_TOKENS, Served, in_guest, price};
use crate::failure::{Failure, sentence};
use crate::output::Output;
use crate::tensor_file::read_limited;
use alloy_primitives::B256;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tacit_wire::language::TokenPrices;
use tacit_worker::LanguageModel;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelsFile {
    model: Vec<ModelEntry>,
}

/// One model; paths are relative to the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelEntry {
    engine: String,
    engine_model: Option<String>,
    manifest: PathBuf,
    /// `tokenizer.json` beside the manifest when left out.
    tokenizer: Option<PathBuf>,
    /// Read by a worker whose hardware vouches for its models.
    weights: Option<PathBuf>,
    #[serde(default)]
    prompt_price: Coins,
    #[serde(default)]
    completion_price: Coins,
    #[serde(default)]
    request_price: Coins,
    #[serde(default = "capacity")]
    capacity: u32,
}

/// An amount as a person writes it, with quotes or without.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Coins {
    Text(String),
    Whole(u64),
    Number(f64),
}

impl Default for Coins {
    fn default() -> Self {
        Self::Whole(0)
    }
}

impl Coins {
    /// A number as it was written: the shortest that reads as the same.
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Whole(coins) => coins.to_string(),
            Self::Number(coins) => coins.to_string(),
        }
    }
}

const fn capacity() -> u32 {
    CAPACITY_DEFAULT
}

const CAPACITY_DEFAULT: u32 = 8;
const CAPACITY_MAX: u32 = 4096;
const FILE_BYTES_MAX: u64 = 64 * 1024;
const MODELS_MAX: usize = 64;
const KEYS: &str = "a [[model]] has engine, manifest, and as it needs them engine_model, tokenizer, weights, prompt_price, completion_price, request_price, capacity: docs/earn.md shows a file";

/// Reads the models of a file; `attested` to be vouched for too, each with its weights. Engines that do not answer are told of, and waited for: they do not hurt the others.
pub(crate) async fn open(file: &Path, attested: bool, output: Output) -> Result<Vec<LanguageModel>, Failure> {
    let bytes = read_limited(file, FILE_BYTES_MAX)?;
    let entries = read(&bytes).map_err(|(message, hint)| {
        Failure::new("bad_models_file", format!("{}: {message}", file.display()), hint)
    })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let (mut models, mut known) = (Vec::new(), BTreeMap::<B256, usize>::new());
    for (at, entry) in entries.iter().enumerate() {
        let number = at.saturating_add(1);
        let model = opened(entry, folder, attested).await.map_err(|failure| Failure {
            message: format!("model {number}: {}", failure.message),
            ..failure
        })?;
        if let Some(other) = known.insert(model.model_id(), number) {
            let message = format!("models {other} and {number} are one: {}", model.manifest().name);
            let hint = "a worker serves a model once; give its capacity and its engine in one [[model]]";
            return Err(Failure::new("bad_models_file", message, hint));
        }
        let model = match model.check().await {
            Ok(()) => model,
            Err(error) => {
                let name = &model.manifest().name;
                output.note(format!(
                    "model {number}, {name}: {}; it is served as soon as its engine gives a token",
                    sentence(&error)
                ));
                model.awaiting_its_engine()
            }
        };
        models.push(model);
    }
    Ok(models)
}

/// The entries, or what is wrong and what to do.
fn read(bytes: &[u8]) -> Result<Vec<ModelEntry>, (String, &'static str)> {
    let text = core::str::from_utf8(bytes).map_err(|error| (error.to_string(), KEYS))?;
    let file: ModelsFile = toml::from_str(text).map_err(|error| (error.to_string(), KEYS))?;
    let count = file.model.len();
    if count == 0 || count > MODELS_MAX {
        return Err((format!("it has {count} models, and may have 1 to {MODELS_MAX}"), KEYS));
    }
    for (at, entry) in file.model.iter().enumerate() {
        if !(1..=CAPACITY_MAX).contains(&entry.capacity) {
            let (number, capacity) = (at.saturating_add(1), entry.capacity);
            let message = format!("model {number}: a capacity is 1 to {CAPACITY_MAX}, not {capacity}");
            return Err((message, "it is how many requests the engine gets at once"));
        }
    }
    Ok(file.model)
}

async fn opened(entry: &ModelEntry, folder: &Path, attested: bool) -> Result<LanguageModel, Failure> {
    let manifest = folder.join(&entry.manifest);
    let tokenizer = match &entry.tokenizer {
        Some(tokenizer) => folder.join(tokenizer),
        None => manifest.with_file_name("tokenizer.json"),
    };
    let prices = TokenPrices {
        request: price(&entry.request_price.text(), 1)?,
        prompt: price(&entry.prompt_price.text(), PRICED_TOKENS)?,
        completion: price(&entry.completion_price.text(), PRICED_TOKENS)?,
    };
    let served = Served {
        url: &entry.engine,
        engine_model: entry.engine_model.as_deref(),
        manifest: &manifest,
        tokenizer: &tokenizer,
        prices,
        capacity: entry.capacity,
    };
    let model = served.read().await?;
    if !attested {
        return Ok(model);
    }
    let weights = entry.weights.as_ref().map(|weights| folder.join(weights));
    in_guest(model, weights.as_deref()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that docs/earn.md shows.
    fn shown() -> String {
        let page = include_str!("../../../../docs/earn.md");
        page.split("```toml").nth(1).unwrap().split("```").next().unwrap().to_owned()
    }

    #[test]
    fn the_file_in_the_docs_is_one_and_says_the_defaults() {
        let entries = read(shown().as_bytes()).unwrap();
        assert_eq!(entries.len(), 2);
        let [first, second] = entries.as_slice() else { panic!() };
        assert_eq!(first.completion_price.text(), "0.08");
        assert_eq!(price(&first.prompt_price.text(), PRICED_TOKENS).unwrap().0, 20_000_000_000);
        // What is commented out there is what is taken when it is left out.
        assert_eq!((second.capacity, second.request_price.text()), (CAPACITY_DEFAULT, "0".to_owned()));
        assert_eq!((&second.tokenizer, &second.engine_model, &second.weights), (&None, &None, &None));
        for line in ["# request_price = 0", "# capacity = 8"] {
            assert!(shown().contains(line), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_what_is_right_is_said() {
        let model = "[[model]]\nengine = \"http://127.0.0.1:1\"\nmanifest = \"m.json\"\n";
        for (text, said) in [
            (format!("{model}promt_price = 1\n"), "promt_price"),
            (format!("prices = 1\n{model}"), "prices"),
            (format!("{model}capacity = 0\n"), "a capacity is 1 to 4096, not 0"),
            (format!("{model}capacity = 5000\n"), "not 5000"),
            (format!("{model}prompt_price = true\n"), "prompt_price"),
            ("[[model]]\nmanifest = \"m.json\"\n".to_owned(), "engine"),
            ("model = []\n".to_owned(), "it has 0 models"),
            (model.repeat(65), "it has 65 models"),
            ("[[model]\n".to_owned(), "1"),
        ] {
            let (message, hint) = read(text.as_bytes()).unwrap_err();
            assert!(message.contains(said) && !hint.is_empty(), "{text}: {message}");
        }
        assert_eq!(read(model.as_bytes()).unwrap().len(), 1);
    }
}
