use proptest::prelude::*;

use super::*;

/// A tokenizer that cuts at white space and gives each byte of a word a token: made here, of nothing but its rules.
fn byte_tokenizer() -> Vec<u8> {
    let letters: serde_json::Map<String, Value> = byte_letters()
        .chars()
        .enumerate()
        .map(|(id, letter)| (letter.to_string(), Value::from(id)))
        .collect();
    serde_json::to_vec(&serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": letters, "merges": []
        }
    }))
    .unwrap()
}

/// GPT-2's letters for the 256 bytes: printable ones stand for themselves, the others begin at U+0100.
fn byte_letters() -> String {
    let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut others = 256..;
    (0..256_u32)
        .filter_map(|byte| {
            if printable(byte) { char::from_u32(byte) } else { others.next().and_then(char::from_u32) }
        })
        .collect()
}

fn meter() -> Meter {
    Meter::new(&byte_tokenizer(), 4).unwrap()
}

fn answer(meter: &Meter, framing: Framing, body: &[u8]) -> u64 {
    let mut answer = meter.answer(framing);
    answer.feed(body).unwrap();
    answer.tokens().unwrap()
}

#[test]
fn a_prompt_counts_its_texts_and_its_messages() {
    let meter = meter();
    let count = |body: &str| meter.prompt(body.as_bytes()).unwrap();
    assert_eq!(count(r#"{"messages":[{"role":"user","content":"abc"}]}"#), 4 + 3);
    assert_eq!(count(r#"{"messages":[{"role":"user","content":[{"type":"text","text":"abc"}]}]}"#), 4 + 3);
    assert_eq!(count(r#"{"prompt":"abcd","suffix":"e","max_tokens":9}"#), 5);
    assert_eq!(count(r#"{"input":["ab","c"]}"#), 3);
    assert_eq!(count(r#"{"prompt":[[1,2,3],[4]]}"#), 4);
    assert_eq!(count(r#"{"messages":[],"tools":[ {"b":2, "a":1} ]}"#), 15);
    let picture = r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:x"}}]}]}"#;
    assert_eq!(count(picture), 4);
    let call = r#"{"messages":[{"tool_calls":[{"id":"x","function":{"name":"ab","arguments":"cd"}}]}]}"#;
    assert_eq!(count(call), 4 + 4);
    assert!(matches!(meter.prompt(b"[]"), Err(MeterReject::Request(_))));
    assert!(matches!(meter.prompt(b"{"), Err(MeterReject::Request(_))));
}

#[test]
fn an_answer_counts_what_is_below_choices() {
    let meter = meter();
    let body = r#"{"id":"content","content":"no","usage":{"text":"no"},"choices":[{"index":0,"message":
        {"role":"assistant","content":"ab\"c\u00e9\ud83d\ude00","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},
        "logprobs":{"x":"no"},"finish_reason":"stop"}],"object":"no"}"#;
    // a b " c, two bytes of é, four of the face, f, {}.
    assert_eq!(answer(&meter, Framing::Json, body.as_bytes()), 4 + 2 + 4 + 1 + 2);
    assert_eq!(answer(&meter, Framing::Json, br#"{"choices":[{"text":"abc"},{"text":"d"}]}"#), 4);
    assert_eq!(answer(&meter, Framing::Json, br#"{"choices":[{"content":["ab",{"x":"no"},"c"]}]}"#), 3);
    assert_eq!(answer(&meter, Framing::Json, br#"{"data":[{"embedding":[0.1]}],"text":"no"}"#), 0);
}

#[test]
fn an_answer_of_events_counts_each_of_them() {
    let meter = meter();
    let body = ": keep-alive\n\nevent: x\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"a\"}}]}\r\n\r\n\
                data:{\"choices\":[{\"delta\":{\"content\":\"bc\"}}]}\n\ndatax: {\"choices\":[{\"text\":\"no\"}]}\n\
                data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n";
    assert_eq!(answer(&meter, Framing::Events, body.as_bytes()), 3);
    assert_eq!(Framing::of("text/event-stream; charset=utf-8"), Framing::Events);
    assert_eq!(Framing::of("application/json"), Framing::Json);
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    let meter = meter();
    let mut answer = meter.answer(Framing::Json);
    answer.feed(&[b'['; DEPTH_MAX]).unwrap();
    assert!(matches!(answer.feed(b"["), Err(MeterReject::Depth)));
}

#[test]
fn what_is_no_tokenizer_is_refused() {
    assert!(matches!(Meter::new(b"{}", 0), Err(MeterReject::Tokenizer(_))));
}

#[test]
fn a_text_without_spaces_is_cut_all_the_same() {
    let meter = meter();
    let text = "x".repeat(3 * SEGMENT_BYTES_MAX + 5);
    assert_eq!(meter.text(&text).unwrap(), u64::try_from(text.len()).unwrap());
    let mut segments = Segments::default();
    segments.push(&meter, &text).unwrap();
    assert!(segments.rest.len() < SEGMENT_BYTES_MAX);
}

/// Text of a message as JSON would hold it, some letters escaped.
fn escaped(text: &str, every: usize) -> String {
    let mut json = String::new();
    for (at, letter) in text.chars().enumerate() {
        if at % every == 0 {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                json.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            let quoted = Value::from(letter.to_string()).to_string();
            json.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    json
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However an answer is cut up on its way, both sides count the same after the same bytes.
    #[test]
    fn counting_does_not_depend_on_how_bytes_arrive(
        text in "(\\PC{0,40}[ \n]){0,40}", every in 1_usize..9, cuts in prop::collection::vec(0_usize..10_000, 0..20), asked in any::<bool>()
    ) {
        let meter = meter();
        let body = format!("{{\"choices\":[{{\"message\":{{\"content\":\"{}\"}}}}]}}", escaped(&text, every));
        let whole = answer(&meter, Framing::Json, body.as_bytes());
        prop_assert_eq!(whole, meter.text(&text).unwrap());
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (body.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = meter.answer(Framing::Json);
        let (mut from, mut last) = (0, 0);
        for to in cuts.into_iter().chain([body.len()]) {
            pieces.feed(&body.as_bytes()[from..to]).unwrap();
            if asked {
                let now = pieces.tokens().unwrap();
                prop_assert!(now >= last);
                last = now;
            }
            from = to;
        }
        prop_assert_eq!(pieces.tokens().unwrap(), whole);
    }

    /// The scanner finds what a JSON reader finds.
    #[test]
    fn text_is_found_as_a_reader_would(texts in prop::collection::vec("\\PC{0,30}", 1..6), every in 1_usize..5) {
        let choices: Vec<String> = texts.iter().map(|text| format!("{{\"delta\":{{\"content\":\"{}\"}}}}", escaped(text, every))).collect();
        let json = format!("{{\"choices\":[{}]}}", choices.join(","));
        let read: Value = serde_json::from_str(&json).unwrap();
        let expected: String = read["choices"].as_array().unwrap().iter().map(|choice| choice["delta"]["content"].as_str().unwrap()).collect();
        let mut found = String::new();
        Scan::new(Framing::Json).feed(json.as_bytes(), &mut found).unwrap();
        prop_assert_eq!(&found, &expected);
        let mut found = String::new();
        Scan::new(Framing::Events).feed(format!("data: {json}\n\n").as_bytes(), &mut found).unwrap();
        prop_assert_eq!(found, expected);
    }

    /// Nothing that an engine could send stops the scanner or makes it find what is not text.
    #[test]
    fn any_bytes_are_scanned(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for framing in [Framing::Json, Framing::Events] {
            let mut found = String::new();
            let _ = Scan::new(framing).feed(&bytes, &mut found);
        }
    }
}
