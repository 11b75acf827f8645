use proptest::prelude::*;
use tacit_wire::meter::Meter;

use super::*;

/// Writes metadata as the specification says.
#[derive(Default)]
struct Writer {
    pairs: u64,
    bytes: Vec<u8>,
}

impl Writer {
    fn raw_text(&mut self, text: &str) {
        self.bytes.extend((text.len() as u64).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn pair(&mut self, key: &str, kind: u32) -> &mut Self {
        self.pairs += 1;
        self.raw_text(key);
        self.bytes.extend(kind.to_le_bytes());
        self
    }

    fn text(&mut self, key: &str, text: &str) -> &mut Self {
        self.pair(key, TEXT).raw_text(text);
        self
    }

    fn number(&mut self, key: &str, number: u32) -> &mut Self {
        self.pair(key, 4).bytes.extend(number.to_le_bytes());
        self
    }

    fn array(&mut self, key: &str, kind: u32, count: u64) -> &mut Self {
        self.pair(key, ARRAY).bytes.extend(kind.to_le_bytes());
        self.bytes.extend(count.to_le_bytes());
        self
    }

    fn texts(&mut self, key: &str, texts: &[String]) -> &mut Self {
        self.array(key, TEXT, texts.len() as u64);
        texts.iter().for_each(|text| self.raw_text(text));
        self
    }

    fn file(&self, version: u32) -> Vec<u8> {
        let head =
            [MAGIC.as_slice(), &version.to_le_bytes(), &0_u64.to_le_bytes(), &self.pairs.to_le_bytes()];
        [head.concat(), self.bytes.clone()].concat()
    }
}

/// GPT-2's letters for the bytes, some words, and a control token.
fn vocabulary() -> Vec<String> {
    let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut others = 256..;
    let letters = (0..256_u32).map(|byte| if printable(byte) { byte } else { others.next().unwrap() });
    let mut tokens: Vec<String> = letters.map(|letter| char::from_u32(letter).unwrap().to_string()).collect();
    tokens.extend(["he", "ll", "hell", "hello", "12", "<|end|>"].map(str::to_owned));
    tokens
}

fn honest(rule: &str) -> Writer {
    let tokens = vocabulary();
    let merges = ["h e", "l l", "he ll", "hell o", "1 2"].map(str::to_owned);
    let mut writer = Writer::default();
    writer
        .text("general.architecture", "llama")
        .number("llama.context_length", 2048)
        .number("general.file_type", 3)
        .text("general.license", "apache-2.0")
        .text("tokenizer.chat_template", "not wanted")
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", rule)
        .texts("tokenizer.ggml.tokens", &tokens)
        .texts("tokenizer.ggml.merges", &merges)
        .array("tokenizer.ggml.token_type", 5, tokens.len() as u64);
    for token in &tokens {
        let of_type: i32 = if token.starts_with("<|") { 3 } else { 1 };
        writer.bytes.extend(of_type.to_le_bytes());
    }
    writer
}

fn read(writer: &Writer) -> Result<Gguf, GgufReject> {
    Gguf::read(writer.file(3).as_slice())
}

#[test]
fn a_file_says_what_it_is() {
    for version in [2, 3] {
        let file = Gguf::read(honest("smollm").file(version).as_slice()).unwrap();
        assert_eq!(file.context_tokens(), Some(2048));
        assert_eq!((file.quantisation(), file.licence()), (Some("Q4_1"), Some("apache-2.0")));
    }
}

#[test]
fn the_tokenizer_of_a_file_cuts_by_its_rule() {
    let count = |rule: &str, text: &str| {
        let tokenizer = tokenizer_json(&read(&honest(rule)).unwrap()).unwrap();
        Meter::new(&tokenizer, 0).unwrap().text(text).unwrap()
    };
    for rule in ["gpt-2", "smollm", "llama-bpe", "qwen2"] {
        assert_eq!(count(rule, "hello"), 1);
        // A space is a letter of its own here, and the control token is one.
        assert_eq!(count(rule, "hello hello<|end|>"), 4);
    }
    assert_eq!(["gpt-2", "smollm", "llama-bpe", "qwen2"].map(|rule| count(rule, "1212")), [2, 4, 3, 4]);
    // Three digits at once cut between 1 and 2.
    assert_eq!(count("llama-bpe", "1112"), 4);
    // A composed letter has two bytes, its parts have three.
    assert_eq!(["gpt-2", "qwen2"].map(|rule| count(rule, "e\u{301}")), [3, 2]);
}

#[test]
fn what_is_no_such_file_is_refused() {
    let open = |bytes: &[u8]| Gguf::read(bytes).unwrap_err();
    assert!(matches!(open(b"GGU"), GgufReject::Io(_)));
    assert!(matches!(open(b"GGML\0\0\0\0"), GgufReject::Magic));
    assert!(matches!(open(&honest("smollm").file(4)), GgufReject::Version { got: 4 }));
    let mut many = honest("smollm");
    many.pairs = PAIRS_MAX + 1;
    assert!(matches!(read(&many), Err(GgufReject::TooMany { what: "pairs of key and value", .. })));
    let mut key = Writer { pairs: 1, bytes: (KEY_BYTES_MAX + 1).to_le_bytes().to_vec() };
    assert!(matches!(read(&key), Err(GgufReject::TooMany { what: "bytes of a key", .. })));
    key.bytes = Vec::new();
    key.pairs = 0;
    key.pair("general.license", TEXT).bytes.extend((TEXT_BYTES_MAX + 1).to_le_bytes());
    assert!(matches!(read(&key), Err(GgufReject::TooMany { what: "bytes of a text", .. })));
    let mut array = Writer::default();
    array.array("tokenizer.ggml.tokens", TEXT, ARRAY_MAX + 1);
    assert!(matches!(read(&array), Err(GgufReject::TooMany { what: "values in an array", .. })));
    let mut kind = Writer::default();
    kind.pair("x", 13);
    assert!(matches!(read(&kind), Err(GgufReject::Type { got: 13 })));
    let mut deep = Writer::default();
    deep.array("x", ARRAY, 1);
    for _ in 0..4 {
        deep.bytes.extend(ARRAY.to_le_bytes());
        deep.bytes.extend(1_u64.to_le_bytes());
    }
    assert!(matches!(read(&deep), Err(GgufReject::Type { got: ARRAY })));
    let mut text = Writer::default();
    text.pair("general.license", TEXT).bytes.extend([2, 0, 0, 0, 0, 0, 0, 0, 0xc3, 0x28]);
    assert!(matches!(read(&text), Err(GgufReject::Utf8 { .. })));
    let mut twice = Writer::default();
    twice.text("general.license", "a").text("general.license", "b");
    assert!(matches!(read(&twice), Err(GgufReject::Repeated { .. })));
}

#[test]
fn what_gives_no_tokenizer_is_refused() {
    let make = |writer: &Writer| tokenizer_json(&read(writer).unwrap()).unwrap_err();
    assert!(matches!(make(&Writer::default()), TokenizerReject::Missing { key: "tokenizer.ggml.model" }));
    let mut kind = Writer::default();
    kind.text("tokenizer.ggml.model", "llama");
    assert!(matches!(make(&kind), TokenizerReject::Kind { .. }));
    assert!(matches!(make(&honest("unheard-of")), TokenizerReject::Rule { .. }));
    let with = |tokens: &[&str], merges: &[&str], types: &[i32]| {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let mut writer = Writer::default();
        writer
            .text("tokenizer.ggml.model", "gpt2")
            .text("tokenizer.ggml.pre", "gpt-2")
            .texts("tokenizer.ggml.tokens", &texts(tokens))
            .texts("tokenizer.ggml.merges", &texts(merges))
            .array("tokenizer.ggml.token_type", 5, types.len() as u64);
        types.iter().for_each(|of_type| writer.bytes.extend(of_type.to_le_bytes()));
        make(&writer)
    };
    assert!(matches!(with(&["a", "a"], &[], &[1, 1]), TokenizerReject::Entry { what: "token", at: 1 }));
    assert!(matches!(with(&["a", "b"], &[], &[1]), TokenizerReject::Entry { what: "type", at: 1 }));
    assert!(matches!(with(&["a"], &["a"], &[1]), TokenizerReject::Entry { what: "merge", at: 0 }));
    assert!(matches!(with(&["a", "b"], &["a b"], &[1, 1]), TokenizerReject::Entry { what: "merge", at: 0 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Cut anywhere, a file ends early and says so.
    #[test]
    fn a_cut_file_is_refused(at in any::<prop::sample::Index>()) {
        let whole = honest("smollm").file(3);
        let cut = &whole[..at.index(whole.len())];
        prop_assert!(matches!(Gguf::read(cut), Err(GgufReject::Io(_))));
    }

    /// Nothing in a file makes the reader fail otherwise, or take memory that the file does not have.
    #[test]
    fn hostile_bytes_are_read_or_refused(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), random in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = honest("smollm").file(3);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(file) = Gguf::read(bytes.as_slice()) {
            let _ = tokenizer_json(&file);
        }
        let head = [MAGIC.as_slice(), &3_u32.to_le_bytes(), &0_u64.to_le_bytes(), &2_u64.to_le_bytes(), &random].concat();
        let _ = Gguf::read(head.as_slice());
    }
}
