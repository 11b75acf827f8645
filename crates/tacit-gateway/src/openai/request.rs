//! What of a request concerns the gateway: which model, who may answer, how long the answer may be. The rest is the engine's.

use std::borrow::Cow;

use alloy_primitives::Address;
use serde::{Deserialize, Deserializer, de};
use tacit_abi::{Evidence, Privacy};
use tacit_market::routing::{self, Sort, Wishes};
use tacit_wire::{
    Amount,
    language::MODE,
    meter::Route,
    splice::{SpliceReject, with_added, with_model},
};

use super::{error::ApiError, likeness};

/// A request, read.
#[derive(Debug)]
pub(crate) struct ApiRequest {
    pub(crate) route: Route,
    /// Names or ids to ask, the first one first.
    pub(crate) models: Vec<Wanted>,
    pub(crate) provider: Preferences,
    pub(crate) stream: bool,
    /// Most tokens of one answer, if the request says.
    pub(crate) longest: Option<u64>,
    /// How many answers it asks for.
    pub(crate) answers: u64,
    /// Its answer may be audited: it is asked for with log-probabilities.
    pub(crate) is_audited: bool,
    body: Vec<u8>,
}

/// A model to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// From the name's suffix.
    pub(crate) sort: Option<Sort>,
}

/// OpenRouter's `provider` object, with fields of ours.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Preferences {
    /// Workers to ask first, in this order.
    pub(crate) order: Vec<Address>,
    /// Workers that may be asked.
    pub(crate) only: Option<Vec<Address>>,
    /// Workers that may not.
    pub(crate) ignore: Vec<Address>,
    /// Whether another worker than the first may be asked.
    pub(crate) allow_fallbacks: Option<bool>,
    pub(crate) sort: Option<Sort>,
    pub(crate) max_price: Option<MaxPrice>,
    /// How weights may be rounded.
    pub(crate) quantizations: Option<Vec<String>>,
    /// Tokens a second; slower workers are asked after the others.
    pub(crate) preferred_min_throughput: Option<f64>,
    /// Accepted: a worker passes every parameter on, and its engine says what it knows.
    pub(crate) require_parameters: Option<bool>,
    /// Accepted: whatever a worker promises of data, its operator reads what it computes on.
    pub(crate) data_collection: Option<String>,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) privacy: Option<Privacy>,
    /// Least stake of a worker, in coins.
    #[serde(deserialize_with = "coins")]
    pub(crate) min_stake: Option<Amount>,
    /// Nobody may join the answer to its payment: through the relay, paid with tokens.
    pub(crate) unlinkable: bool,
}

/// Most that is paid: of a million tokens in coins, and of a request in coins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MaxPrice {
    #[serde(deserialize_with = "coins")]
    pub(crate) prompt: Option<Amount>,
    #[serde(deserialize_with = "coins")]
    pub(crate) completion: Option<Amount>,
    #[serde(deserialize_with = "coins")]
    pub(crate) request: Option<Amount>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    models: Option<Vec<String>>,
    provider: Option<Preferences>,
    stream: Option<bool>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    n: Option<u64>,
    best_of: Option<u64>,
    #[serde(default, deserialize_with = "texts")]
    prompt: u64,
}

const MODELS_MAX: usize = 16;
const WORKERS_NAMED_MAX: usize = 256;

impl ApiRequest {
    /// Reads a request.
    pub(crate) fn read(route: Route, body: Vec<u8>) -> Result<Self, ApiError> {
        let malformed = |detail: String| ApiError::Field { param: None, detail };
        let fields: Fields<'_> = serde_json::from_slice(&body)
            .map_err(|error| malformed(format!("the request cannot be read: {error}")))?;
        let first = fields.model.as_deref().map(ToOwned::to_owned);
        let names: Vec<String> = first.into_iter().chain(fields.models.unwrap_or_default()).collect();
        if names.is_empty() {
            return Err(ApiError::field("model", "you must provide a model"));
        }
        if names.len() > MODELS_MAX {
            return Err(ApiError::field("models", format!("a request names at most {MODELS_MAX} models")));
        }
        let provider = fields.provider.unwrap_or_default();
        let named = provider.order.len().max(provider.ignore.len());
        if named.max(provider.only.as_ref().map_or(0, Vec::len)) > WORKERS_NAMED_MAX {
            let detail = format!("a list names at most {WORKERS_NAMED_MAX} workers");
            return Err(ApiError::field("provider", detail));
        }
        let choices = fields.n.unwrap_or(1).max(fields.best_of.unwrap_or(1)).max(1);
        let texts = if route == Route::Completions { fields.prompt.max(1) } else { 1 };
        let longest = match route {
            Route::Embeddings => Some(0),
            _ => fields.max_completion_tokens.or(fields.max_tokens),
        };
        if provider.unlinkable {
            check_unlinkable(&provider, longest)?;
        }
        Ok(Self {
            route,
            models: names.iter().map(|name| Wanted::read(name)).collect(),
            provider,
            stream: fields.stream.unwrap_or(false) && route != Route::Embeddings,
            longest,
            answers: choices.saturating_mul(texts),
            is_audited: false,
            body,
        })
    }

    /// The request, to be audited if it is of the kind that can be.
    pub(crate) fn audited(mut self) -> Self {
        self.is_audited = self.route == Route::ChatCompletions
            && self.answers == 1
            && !self.provider.unlinkable
            && self.provider.allow_fallbacks != Some(false)
            && likeness::can_be_audited(&self.body);
        self
    }

    /// The bytes that travel: the model's name in its place, without what is for the gateway.
    pub(crate) fn body_for(&self, name: &str) -> Result<Vec<u8>, ApiError> {
        with_model(&self.body, name, &["provider", "models"]).map_err(unreadable)
    }
}

/// Such bytes, with what an audit needs of their answer; none if they have it.
pub(crate) fn with_commitment(body: &[u8]) -> Result<Option<Vec<u8>>, ApiError> {
    let added = with_added(body, &likeness::COMMITMENT).map_err(unreadable)?;
    Ok((added != body).then_some(added))
}

/// What cannot be kept together with a wish to be unlinkable is refused.
fn check_unlinkable(provider: &Preferences, longest: Option<u64>) -> Result<(), ApiError> {
    let (privacy, evidence) = MODE;
    if provider.privacy.is_some_and(|wished| wished != privacy)
        || provider.evidence.is_some_and(|wished| wished != evidence)
    {
        let detail =
            format!("{privacy} and {evidence} is all that can be asked unlinkably of a language model");
        return Err(ApiError::NotUnlinkable { detail });
    }
    if longest.is_none() {
        let detail = "an unlinkable request is paid before it is answered: say how long the answer may be";
        return Err(ApiError::field("max_tokens", detail));
    }
    Ok(())
}

fn unreadable(reject: SpliceReject) -> ApiError {
    match reject {
        SpliceReject::Json(error) => ApiError::Field { param: None, detail: error.to_string() },
        other => ApiError::Field { param: None, detail: other.to_string() },
    }
}

impl Preferences {
    /// What of it decides whom to ask, and in which order.
    pub(crate) fn wishes(&self) -> Wishes {
        let units = |amount: Option<Amount>| amount.map(|amount| amount.0);
        // Who wishes one of the two wishes both: neither is there without the other.
        let (privacy, evidence) = match (self.privacy, self.evidence) {
            _ if self.unlinkable => (Some(MODE.0), Some(MODE.1)),
            (Some(Privacy::Enclave), None) | (None, Some(Evidence::Attested)) => {
                (Some(Privacy::Enclave), Some(Evidence::Attested))
            }
            wished => wished,
        };
        Wishes {
            order: self.order.clone(),
            only: self.only.clone(),
            ignore: self.ignore.clone(),
            allow_fallbacks: self.allow_fallbacks,
            sort: self.sort,
            max_price: self.max_price.map(|most| routing::MaxPrice {
                prompt: units(most.prompt),
                completion: units(most.completion),
                request: units(most.request),
            }),
            preferred_min_throughput: self.preferred_min_throughput,
            evidence,
            privacy,
            min_stake: units(self.min_stake),
        }
    }
}

impl Wanted {
    fn read(name: &str) -> Self {
        let suffixes = [(":nitro", Sort::Throughput), (":floor", Sort::Price)];
        let found = suffixes.iter().find_map(|(suffix, sort)| Some((name.strip_suffix(suffix)?, *sort)));
        match found {
            Some((name, sort)) => Self { name: name.to_owned(), sort: Some(sort) },
            None => Self { name: name.to_owned(), sort: None },
        }
    }
}

/// Coins as a number or as a string.
fn coins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Amount>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(serde_json::Number),
        Text(String),
    }
    let Some(written) = Option::<Written>::deserialize(deserializer)? else { return Ok(None) };
    let text = match written {
        Written::Number(number) => number.to_string(),
        Written::Text(text) => text,
    };
    text.parse().map(Some).map_err(de::Error::custom)
}

/// How many texts a prompt has.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Count;
    impl<'de> de::Visitor<'de> for Count {
        type Value = u64;

        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("a text, texts or tokens")
        }

        fn visit_str<E>(self, _: &str) -> Result<u64, E> {
            Ok(1)
        }

        fn visit_unit<E>(self) -> Result<u64, E> {
            Ok(1)
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
            let mut count = 0_u64;
            while items.next_element::<de::IgnoredAny>()?.is_some() {
                count = count.saturating_add(1);
            }
            Ok(count)
        }
    }
    deserializer.deserialize_any(Count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<ApiRequest, ApiError> {
        ApiRequest::read(Route::ChatCompletions, body.as_bytes().to_vec())
    }

    #[test]
    fn what_concerns_the_gateway_is_read_and_the_rest_is_left() {
        let request = read(
            r#"{"model":"a:floor","models":["b"],"n":2,"max_tokens":5,"stream":true,"unheard":[1.50],
            "provider":{"sort":"latency","max_price":{"prompt":0.5,"request":"0.001"},"min_stake":"2",
            "only":["0x0101010101010101010101010101010101010101"],"evidence":"signed"}}"#,
        )
        .unwrap();
        assert_eq!(request.models[0], Wanted { name: "a".to_owned(), sort: Some(Sort::Price) });
        assert_eq!(request.models[1], Wanted { name: "b".to_owned(), sort: None });
        assert_eq!((request.longest, request.answers, request.stream), (Some(5), 2, true));
        let max_price = request.provider.max_price.unwrap();
        assert_eq!(max_price.prompt, Some(Amount(5 * 10_u128.pow(17))));
        assert_eq!(max_price.request, Some(Amount(10_u128.pow(15))));
        assert_eq!(request.provider.min_stake, Some(Amount::coins(2)));
        assert_eq!(
            request.provider.wishes(),
            Wishes {
                only: Some(vec![Address::repeat_byte(1)]),
                sort: Some(Sort::Latency),
                max_price: Some(routing::MaxPrice {
                    prompt: Some(5 * 10_u128.pow(17)),
                    completion: None,
                    request: Some(10_u128.pow(15)),
                }),
                evidence: Some(Evidence::Signed),
                min_stake: Some(2 * 10_u128.pow(18)),
                ..Wishes::default()
            }
        );
        let body = String::from_utf8(request.body_for("a").unwrap()).unwrap();
        assert!(
            body.contains("\"unheard\":[1.50]") && body.starts_with("{\"model\":\"a\",\"n\":2"),
            "{body}"
        );
        assert!(!body.contains("provider"));
    }

    #[test]
    fn a_guest_is_wished_for_by_either_word() {
        for (provider, expected) in [
            (r#"{"privacy":"enclave"}"#, (Some(Privacy::Enclave), Some(Evidence::Attested))),
            (r#"{"evidence":"attested"}"#, (Some(Privacy::Enclave), Some(Evidence::Attested))),
            (
                r#"{"privacy":"enclave","evidence":"attested"}"#,
                (Some(Privacy::Enclave), Some(Evidence::Attested)),
            ),
            // Nobody has half of it, and nobody is asked.
            (
                r#"{"privacy":"enclave","evidence":"signed"}"#,
                (Some(Privacy::Enclave), Some(Evidence::Signed)),
            ),
            ("{}", (None, None)),
        ] {
            let wishes =
                read(&format!(r#"{{"model":"a","provider":{provider}}}"#)).unwrap().provider.wishes();
            assert_eq!((wishes.privacy, wishes.evidence), expected, "{provider}");
        }
    }

    #[test]
    fn answers_are_counted_by_choices_and_prompts() {
        let body = br#"{"model":"a","prompt":["x","y","z"],"max_tokens":7,"best_of":2}"#;
        let request = ApiRequest::read(Route::Completions, body.to_vec()).unwrap();
        assert_eq!((request.longest, request.answers), (Some(7), 6));
        let request = ApiRequest::read(Route::Embeddings, br#"{"model":"a","input":"x"}"#.to_vec()).unwrap();
        assert_eq!(request.longest, Some(0));
        assert_eq!(read(r#"{"model":"a"}"#).unwrap().longest, None);
        assert_eq!(read(r#"{"model":"a","max_tokens":null}"#).unwrap().longest, None);
    }

    #[test]
    fn an_unlinkable_request_is_sealed_signed_and_says_how_long() {
        let with = |provider: &str| {
            read(&format!(
                r#"{{"model":"a","max_tokens":5,"messages":[],"provider":{{"unlinkable":true{provider}}}}}"#
            ))
        };
        let mode = (Some(MODE.0), Some(MODE.1));
        for provider in ["", r#","privacy":"sealed""#, r#","privacy":"sealed","evidence":"signed""#] {
            let request = with(provider).unwrap().audited();
            let wishes = request.provider.wishes();
            assert_eq!((wishes.privacy, wishes.evidence), mode, "{provider}");
            // An auditor would see it over a channel.
            assert!(!request.is_audited);
        }
        for provider in [r#","privacy":"enclave""#, r#","privacy":"clear""#, r#","evidence":"attested""#] {
            assert!(matches!(with(provider), Err(ApiError::NotUnlinkable { .. })), "{provider}");
        }
        let endless = read(r#"{"model":"a","provider":{"unlinkable":true}}"#);
        assert!(matches!(endless, Err(ApiError::Field { param: Some("max_tokens"), .. })));
        let embedding = br#"{"model":"a","input":"x","provider":{"unlinkable":true}}"#;
        assert!(ApiRequest::read(Route::Embeddings, embedding.to_vec()).is_ok());
        assert!(!read(r#"{"model":"a"}"#).unwrap().provider.unlinkable);
    }

    #[test]
    fn a_request_to_be_audited_asks_for_log_probabilities() {
        let sent = |request: ApiRequest| {
            let body = request.body_for("a").unwrap();
            let added = if request.is_audited { with_commitment(&body).unwrap() } else { None };
            String::from_utf8(added.unwrap_or(body)).unwrap()
        };
        let with =
            |rest: &str| format!(r#"{{"model":"a","messages":[{{"role":"user","content":"hi"}}]{rest}}}"#);
        assert_eq!(sent(read(&with("")).unwrap()), with(""));
        let added = with(r#","logprobs":true,"top_logprobs":5"#);
        assert_eq!(sent(read(&with("")).unwrap().audited()), added);
        assert_eq!(sent(read(&added).unwrap().audited()), added);
        for rest in [r#","n":2"#, r#","tools":[]"#, r#","provider":{"allow_fallbacks":false}"#] {
            let request = read(&with(rest)).unwrap().audited();
            assert!(!request.is_audited && !sent(request).contains("logprobs"), "{rest}");
        }
        let other = ApiRequest::read(Route::Completions, with("").into_bytes()).unwrap().audited();
        assert!(!other.is_audited);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for body in [
            "{",
            "[]",
            "{}",
            r#"{"model":1}"#,
            r#"{"model":"a","model":"b"}"#,
            r#"{"model":"a","max_tokens":-1}"#,
            r#"{"model":"a","provider":{"zdr":true}}"#,
            r#"{"model":"a","provider":{"only":["x"]}}"#,
            r#"{"model":"a","provider":{"max_price":{"prompt":"1e3"}}}"#,
        ] {
            assert!(matches!(read(body), Err(ApiError::Field { .. })), "{body}");
        }
        let many = serde_json::json!({"models": vec!["a"; MODELS_MAX + 1]}).to_string();
        assert!(matches!(read(&many), Err(ApiError::Field { param: Some("models"), .. })));
    }
}
