use proptest::prelude::*;
use serde_json::json;

use super::*;

fn entry(token: &str, bytes: Option<&[u8]>, logprob: f64, likely: &[(&str, f64)]) -> Value {
    let likely: Vec<Value> = likely
        .iter()
        .map(|(token, logprob)| json!({"token": token, "bytes": token.as_bytes(), "logprob": logprob}))
        .collect();
    json!({"token": token, "bytes": bytes, "logprob": logprob, "top_logprobs": likely})
}

fn plain(token: &str) -> Value {
    entry(token, Some(token.as_bytes()), -0.5, &[(token, -0.5), ("other", -1.5)])
}

fn whole(text: &str, entries: &[Value]) -> Vec<u8> {
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": {"content": entries}});
    json!({"choices": [choice], "usage": {}}).to_string().into_bytes()
}

fn reject(answer: &[u8]) -> ClaimReject {
    Claim::read(answer).unwrap_err()
}

fn befores(claim: &Claim) -> Vec<&str> {
    claim.places().into_iter().map(|place| claim.at(place).unwrap().0).collect()
}

#[test]
fn streamed_or_not_the_same_is_read() {
    let entries = [plain("Hel"), plain("lo"), plain(" there"), entry("", Some(&[]), -0.1, &[("", -0.1)])];
    let claim = Claim::read(&whole("Hello there", &entries)).unwrap();
    assert_eq!(befores(&claim), ["", "Hel", "Hello"]);
    assert_eq!(claim.at(1).unwrap().1.likely[1], (b"other".to_vec(), -1.5));
    let mut events = b": keep-alive\r\n\r\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n".to_vec();
    for (text, entry) in ["Hel", "lo", " there", ""].iter().zip(&entries) {
        let choice = json!({"index": 0, "delta": {"content": text}, "logprobs": {"content": [entry]}, "finish_reason": null});
        events.extend(format!("data: {}\n\n", json!({"choices": [choice]})).into_bytes());
    }
    events.extend(b"data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n");
    assert_eq!(Claim::read(&events).unwrap(), claim);
}

#[test]
fn honest_engines_differ_and_are_not_blamed() {
    // vLLM names the token that ends an answer, and lists what was drawn first.
    let end = entry("<|im_end|>", None, -0.1, &[("<|im_end|>", -0.1)]);
    let drawn = entry("b", None, -3.0, &[("b", -3.0), ("a", -0.2), ("c", -2.0)]);
    assert_eq!(befores(&Claim::read(&whole("ab", &[plain("a"), drawn, end])).unwrap()), ["", "a"]);
    // White space at the start is left out, and what is not whole at the end.
    let cut = whole(
        "ab",
        &[plain(" "), plain("a"), plain("b"), entry("\u{fffd}", Some(&[0xf0, 0x9f]), -0.1, &[("x", -0.1)])],
    );
    assert_eq!(befores(&Claim::read(&cut).unwrap()), ["", "a"]);
    let cut =
        whole("ab\u{fffd}", &[plain("ab"), entry("\u{fffd}", Some(&[0xf0, 0x9f]), -0.1, &[("x", -0.1)])]);
    assert_eq!(befores(&Claim::read(&cut).unwrap()), [""]);
    // llama.cpp gives a character of several tokens with what was likely in the place of its last part.
    let part = json!({"token": "\u{fffd}", "bytes": [159], "logprob": -1.0});
    let star = json!({"token": "🌟", "bytes": "🌟".as_bytes(), "logprob": -1.0, "top_logprobs": [part]});
    assert_eq!(
        befores(&Claim::read(&whole("a🌟b", &[plain("a"), star.clone(), plain("b")])).unwrap()),
        ["", "a🌟"]
    );
    assert!(Claim::read(&whole("🌟", &[star])).unwrap().places().is_empty());
    // Others say nothing of parts.
    let unnamed = entry("\u{fffd}", None, -1.0, &[("\u{fffd}", -1.0)]);
    for (answer, expected) in [
        (whole("🌟", &[unnamed]), ClaimReject::Bytes),
        (
            whole(
                "a",
                &[json!({"token": "a", "logprob": -0.5, "top_logprobs": [{"token": 7, "logprob": -0.5}]})],
            ),
            ClaimReject::Bytes,
        ),
        (whole("a", &[]), ClaimReject::Unsupported),
        (whole("a", &[json!({"token": "a", "logprob": -0.5, "top_logprobs": []})]), ClaimReject::Unsupported),
        (br#"{"choices":[{"message":{"content":"a"},"logprobs":null}]}"#.to_vec(), ClaimReject::Unsupported),
        (br#"{"choices":[{"message":{"content":""}}]}"#.to_vec(), ClaimReject::Empty),
        (whole("", &[entry("", Some(&[]), -0.1, &[("", -0.1)])]), ClaimReject::Empty),
        (br#"{"error":{"message":"no"}}"#.to_vec(), ClaimReject::Empty),
        (
            br#"{"choices":[{"message":{"content":"a","reasoning_content":"so"}}]}"#.to_vec(),
            ClaimReject::NotText,
        ),
        (br#"{"choices":[{"message":{"content":null,"tool_calls":[{}]}}]}"#.to_vec(), ClaimReject::NotText),
        (br#"{"choices":[{"index":1,"message":{"content":"a"}}]}"#.to_vec(), ClaimReject::NotText),
        (whole("aa", &vec![plain("a"); TOKENS_MAX + 1]), ClaimReject::TooLong),
    ] {
        assert_eq!(reject(&answer), expected);
        assert!(!expected.is_blamed());
    }
}

/// As mistral.rs writes it: bytes of likely tokens as text, their names as numbers; in a stream, what is likely of a token stands without a list around it. An honest worker of
/// that engine was blamed for it.
#[test]
fn what_mistral_rs_says_is_read() {
    let likely = json!([{"token": 504, "logprob": -0.375, "bytes": "The"}, {"token": 23297, "logprob": -1.5, "bytes": "Python"}]);
    let the = json!({"token": "The", "logprob": -0.375, "bytes": b"The", "top_logprobs": likely});
    let claim = Claim::read(&whole("The", core::slice::from_ref(&the))).unwrap();
    assert_eq!(claim.at(0).unwrap().1.likely, [(b"The".to_vec(), -0.375), (b"Python".to_vec(), -1.5)]);
    let event = |text: &str, logprobs: &Value| {
        let delta =
            json!({"content": text, "role": "assistant", "tool_calls": null, "reasoning_content": null});
        let choice = json!({"index": 0, "delta": delta, "logprobs": logprobs});
        format!("data: {}\n\n", json!({"choices": [choice]}))
    };
    let events = event("The", &the) + &event(" end", &plain(" end")) + "data: [DONE]\n\n";
    assert_eq!(befores(&Claim::read(events.as_bytes()).unwrap()), ["", "The"]);
}

/// As llama.cpp writes it. Digits that are not the shortest for their float were no number for a reader that flattened.
#[test]
fn floats_of_any_digits_are_read() {
    let answer = br#"{"choices":[{"index":0,"message":{"role":"assistant","content":"The"},"logprobs":{"content":[{"id":504,"token":"The","bytes":[84,104,101],
        "logprob":-0.5392632484436035,"top_logprobs":[{"id":504,"token":"The","bytes":[84,104,101],"logprob":-0.5392632484436035},{"id":1589,"token":"It","bytes":[73,116],"logprob":-2.680960178375244}]}]}}]}"#;
    let claim = Claim::read(answer).unwrap();
    assert_eq!(claim.at(0).unwrap().1.likely[1], (b"It".to_vec(), -2.680960178375244));
}

#[test]
fn white_space_that_templates_cut_is_no_place() {
    let claim =
        Claim::read(&whole("a \nb c", &[plain("a"), plain(" "), plain("\n"), plain("b"), plain(" c")]));
    assert_eq!(befores(&claim.unwrap()), ["", "a", "a \nb"]);
    let claim = Claim::read(&whole(" a b", &[plain(" a"), plain(" b")]));
    assert_eq!(befores(&claim.unwrap()), [""]);
}

#[test]
fn what_honest_engines_do_not_say_is_blamed() {
    let listed = |likely: &[(&str, f64)]| whole("a", &[entry("a", None, -0.5, likely)]);
    let many: Vec<(&str, f64)> = vec![("a", -0.5); CANDIDATES_MAX + 1];
    for (answer, expected) in [
        (b"{\"choices\":".to_vec(), ClaimReject::Unreadable),
        (
            br#"{"choices":[{"message":{"content":"a"},"logprobs":{"content":[{"logprob":NaN}]}}]}"#.to_vec(),
            ClaimReject::Unreadable,
        ),
        (
            br#"{"choices":[{"message":{"content":"a"},"logprobs":{"content":"a"}}]}"#.to_vec(),
            ClaimReject::Malformed,
        ),
        (whole("a", &[json!({"token": "a", "logprob": "-1", "top_logprobs": [{}]})]), ClaimReject::Malformed),
        (
            whole("a", &[json!({"token": "a", "bytes": [256], "logprob": -0.5, "top_logprobs": [{}]})]),
            ClaimReject::Malformed,
        ),
        (
            whole("a", &[json!({"token": ["a"], "logprob": -0.5, "top_logprobs": [{}]})]),
            ClaimReject::Malformed,
        ),
        (
            br#"{"choices":[{"message":{"content":"a"},"logprobs":{"token":"a","logprob":[]}}]}"#.to_vec(),
            ClaimReject::Malformed,
        ),
        (listed(&many), ClaimReject::Malformed),
        (
            whole(
                "a",
                &[json!({"token": "a", "logprob": null, "top_logprobs": [{"token": "a", "logprob": -0.5}]})],
            ),
            ClaimReject::Missing,
        ),
        (
            whole(
                "a",
                &[json!({"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "a", "logprob": null}]})],
            ),
            ClaimReject::Missing,
        ),
        (whole("ab", &[plain("a"), json!({"token": "b", "logprob": -0.5})]), ClaimReject::Missing),
        (listed(&[("a", 0.5)]), ClaimReject::Improbable),
        (listed(&[("x", -3.0), ("y", -0.5)]), ClaimReject::Improbable),
        (whole("a", &[entry("a", None, 0.7, &[("a", -0.5)])]), ClaimReject::Improbable),
        (whole("ab", &[plain("a"), plain("c")]), ClaimReject::OtherText),
        (whole("ab", &[plain("a")]), ClaimReject::OtherText),
        (whole(" a", &[plain("a")]), ClaimReject::OtherText),
        (whole("a", &[plain("a"), plain(&"b".repeat(REST_BYTES_MAX + 1))]), ClaimReject::OtherText),
    ] {
        assert_eq!(reject(&answer), expected, "{}", String::from_utf8_lossy(&answer));
        assert!(expected.is_blamed());
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u8>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c \u{e9}\u{1f31f}\u{fffd}]{0,3}".prop_map(Value::from),
    ];
    let keys = "index|message|delta|content|logprobs|token|bytes|logprob|top_logprobs|choices";
    leaf.prop_recursive(8, 64, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn tokens() -> impl Strategy<Value = Vec<Value>> {
    let text = "[a-c \u{e9}\u{1f31f}\u{fffd}]{0,3}";
    let named = (text, prop::option::of(prop::collection::vec(any::<u8>(), 0..4)), -9.0..0.1_f64);
    let one = (named.clone(), prop::collection::vec(named, 0..3)).prop_map(|(chosen, likely)| {
        let value = |(token, bytes, logprob): (String, Option<Vec<u8>>, f64)| json!({"token": token, "bytes": bytes, "logprob": logprob});
        let mut entry = value(chosen);
        entry["top_logprobs"] = likely.into_iter().map(value).collect();
        entry
    });
    prop::collection::vec(one, 0..6)
}

/// Whatever is read can be asked about.
fn look(answer: &[u8]) {
    let Ok(claim) = Claim::read(answer) else { return };
    for place in claim.places() {
        let (before, token) = claim.at(place).unwrap();
        assert!(claim.text.starts_with(before) && !token.bytes.is_empty() && !token.likely.is_empty());
    }
}

proptest! {
    #[test]
    fn arbitrary_answers_are_read_or_refused(value in value(), bytes in any::<Vec<u8>>()) {
        look(value.to_string().as_bytes());
        look(json!({"choices": [{"message": {"content": "a"}, "logprobs": {"content": value.clone()}}]}).to_string().as_bytes());
        look(json!({"choices": value.clone()}).to_string().as_bytes());
        look(format!("data: {value}\n\ndata: {{\"choices\":[{value}]}}\n").as_bytes());
        look(&bytes);
    }

    #[test]
    fn arbitrary_tokens_are_read_or_refused(text in "[a-c \u{e9}\u{1f31f}\u{fffd}]{0,6}", tokens in tokens()) {
        look(&whole(&text, &tokens));
        let said: Vec<u8> = tokens.iter().filter_map(|token| token["token"].as_str()).collect::<String>().into_bytes();
        let unnamed: Vec<Value> = tokens.into_iter().map(|mut token| { token["bytes"] = Value::Null; token }).collect();
        look(&whole(&String::from_utf8(said).unwrap(), &unnamed));
    }
}
