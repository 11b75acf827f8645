//! What an engine gives, measured by requests as clients send them.
//!
//! Three figures: how fast it reads a prompt (time to the first token), how fast it writes alone, and what it gives when all its places are taken. The last is what an owner is
//! paid for; it is measured as a whole, so that nothing has to be assumed about how requests share the machine. Prompts differ from each other in every word, so that no
//! engine answers from what it kept of another.

use crate::failure::{Context, Failure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tacit_wire::http::HttpError;
use tacit_wire::language::TokenCount;
use tacit_wire::meter::{Framing, Meter, Route};
use tacit_worker::LanguageEngine;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) capacity: u32,
    pub(crate) prompt_tokens: u32,
    pub(crate) completion_tokens: u32,
}

/// What came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Tokens of a prompt, and how long the first token took.
    pub(crate) prompt: (u64, Duration),
    /// Tokens of a completion after the first, and how long they took, alone.
    pub(crate) alone: (u64, Duration),
    /// Requests at once, their tokens in all, and how long all of them took.
    pub(crate) full: (u32, TokenCount, Duration),
}

/// One request and its answer.
struct Run {
    tokens: TokenCount,
    first: Duration,
    /// Tokens that had come by then.
    first_tokens: u64,
    last: Duration,
}

const WORDS: [&str; 16] = [
    "river", "stone", "a", "window", "over", "seven", "green", "letters", "from", "the", "harbour", "walk",
    "slowly", "again", "under", "rain",
];
const HINT: &str = "does the engine answer this? curl -d '{\"model\":…,\"prompt\":\"1\",\"max_tokens\":1}' URL/v1/completions";
/// More than any prompt of so many tokens has.
const WORDS_PER_TOKEN_MAX: u32 = 8;

/// Measures an engine. Takes three requests, and as many more as there are places.
pub(crate) async fn measure(engine: &LanguageEngine, meter: &Meter, load: Load) -> Result<Figures, Failure> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut prompt = || prompt(meter, load.prompt_tokens, &mut seed);
    let route = route(engine, &prompt()?).await?;
    let one = ask(engine, meter, route, prompt()?, 1).await?;
    let alone = ask(engine, meter, route, prompt()?, load.completion_tokens).await?;
    let prompts: Vec<String> = (0..load.capacity).map(|_| prompt()).collect::<Result<_, _>>()?;
    let start = Instant::now();
    let runs =
        try_join_all(prompts.into_iter().map(|text| ask(engine, meter, route, text, load.completion_tokens)))
            .await?;
    let wall = start.elapsed();
    let sum = |pick: fn(&Run) -> u64| runs.iter().map(pick).fold(0, u64::saturating_add);
    let tokens =
        TokenCount { prompt: sum(|run| run.tokens.prompt), completion: sum(|run| run.tokens.completion) };
    if alone.tokens.completion < 2 || tokens.completion == 0 {
        let message = "the engine gave no text to count";
        return Err(Failure::new("engine", message, "is it a language model, and the tokenizer its own?"));
    }
    Ok(Figures {
        prompt: (one.tokens.prompt, one.first),
        alone: (
            alone.tokens.completion.saturating_sub(alone.first_tokens),
            alone.last.saturating_sub(alone.first),
        ),
        full: (load.capacity, tokens, wall),
    })
}

/// Words until there are so many tokens.
fn prompt(meter: &Meter, tokens: u32, seed: &mut u64) -> Result<String, Failure> {
    let mut text = String::new();
    for _ in 0..tokens.saturating_mul(WORDS_PER_TOKEN_MAX) {
        // Numbers between the words make every prompt another one (xorshift, Marsaglia 2003).
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        let at = usize::try_from(*seed % 16).unwrap_or_default();
        let word = WORDS.get(at).copied().unwrap_or_default();
        text +=
            &if seed.is_multiple_of(5) { format!("{word} {} ", *seed % 1000) } else { format!("{word} ") };
        // Whole text is counted only where it may be enough.
        if text.len() >= usize::try_from(tokens).unwrap_or(usize::MAX)
            && count(meter, &text)? >= u64::from(tokens)
        {
            break;
        }
    }
    Ok(text)
}

fn count(meter: &Meter, text: &str) -> Result<u64, Failure> {
    meter.text(text).failed("bad_tokenizer", "the tokenizer", "give the model's own: --tokenizer FILE")
}

/// The door that the engine has: of chats, or of plain completions.
async fn route(engine: &LanguageEngine, text: &str) -> Result<Route, Failure> {
    let mut said = String::new();
    for route in [Route::ChatCompletions, Route::Completions] {
        let mut answer = engine.ask(route, body(engine, route, text, 1)).await.map_err(unreachable)?;
        if answer.status < 400 {
            while answer.body.next().await.map_err(unreachable)?.is_some() {}
            return Ok(route);
        }
        said = format!("{route} with status {}", answer.status);
    }
    Err(Failure::new("engine", format!("the engine refused {said}"), HINT))
}

fn body(engine: &LanguageEngine, route: Route, text: &str, max_tokens: u32) -> Vec<u8> {
    let mut body = json!({ "model": engine.model(), "max_tokens": max_tokens, "stream": true });
    match route {
        Route::ChatCompletions => body["messages"] = json!([{ "role": "user", "content": text }]),
        _ => body["prompt"] = Value::from(text),
    }
    body.to_string().into_bytes()
}

async fn ask(
    engine: &LanguageEngine,
    meter: &Meter,
    route: Route,
    text: String,
    max_tokens: u32,
) -> Result<Run, Failure> {
    let hint = "the tokenizer has to be the model's own: --tokenizer FILE";
    let uncounted = |error| Failure::new("engine", format!("its answer cannot be counted: {error}"), hint);
    let body = body(engine, route, &text, max_tokens);
    let prompt = meter.prompt(&body).map_err(uncounted)?;
    let start = Instant::now();
    let mut answer = engine.ask(route, body).await.map_err(unreachable)?;
    if answer.status >= 400 {
        let message = format!("the engine refused a request with status {}", answer.status);
        return Err(Failure::new("engine", message, HINT));
    }
    let mut counting = meter.answer(Framing::of(&answer.content_type));
    let (mut first, mut last, mut first_tokens, mut tokens) = (None, Duration::ZERO, 0, 0);
    while let Some(bytes) = answer.body.next().await.map_err(unreachable)? {
        counting.feed(&bytes).map_err(uncounted)?;
        let so_far = counting.tokens().map_err(uncounted)?;
        if so_far > tokens {
            last = start.elapsed();
            if first.is_none() {
                (first, first_tokens) = (Some(last), so_far);
            }
        }
        tokens = so_far;
    }
    let first = first.unwrap_or_else(|| start.elapsed());
    Ok(Run { tokens: TokenCount { prompt, completion: tokens }, first, first_tokens, last })
}

fn unreachable(error: HttpError) -> Failure {
    Failure::new("engine", format!("the engine broke off: {error}"), "look at what it says itself")
}
