//! Finds the text in an answer as its bytes arrive.
//!
//! A scanner of JSON that keeps where it is and nothing else: it does not judge whether the JSON is well formed, only which strings are values under a counted key
//! below `choices`. What it makes of a malformed answer is unspecified but the same for everybody.

use super::{COUNTED_KEYS, MeterReject};

/// Deepest nesting that is followed.
pub const DEPTH_MAX: usize = 64;

/// How an answer's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value.
    Json,
    /// Server-sent events (`text/event-stream`), a JSON value in each `data:` line.
    Events,
}

impl Framing {
    /// The framing that a content type names.
    #[must_use]
    pub fn of(content_type: &str) -> Self {
        let name = content_type.split(';').next().unwrap_or_default().trim();
        if name.eq_ignore_ascii_case("text/event-stream") { Self::Events } else { Self::Json }
    }
}

/// A scan of one answer.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    framing: Framing,
    line: Line,
    json: Json,
}

/// Where a scan is in a line of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// So many bytes of `data:` were seen, and nothing else.
    Field(usize),
    /// Behind `data:`.
    Data,
    /// In a line of another kind.
    Other,
}

#[derive(Debug, Clone, Default)]
struct Json {
    stack: Vec<Container>,
    string: Option<InString>,
    /// The key whose value comes next.
    key: Key,
    /// Bytes of a letter that is not whole yet.
    letter: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Container {
    is_object: bool,
    /// Strings directly in it count: an array under a counted key.
    counted: bool,
    below_choices: bool,
    /// The next string is a key.
    expects_key: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Key {
    counted: bool,
    choices: bool,
}

#[derive(Debug, Clone)]
struct InString {
    use_of: Use,
    escape: Escape,
    /// A high surrogate that waits for its other half.
    high: Option<u16>,
}

#[derive(Debug, Clone)]
enum Use {
    /// A key, as far as it may be one of those that matter.
    Key(Vec<u8>),
    Counted,
    Ignored,
}

#[derive(Debug, Clone, Copy)]
enum Escape {
    None,
    Begun,
    /// Digits seen, and their value.
    Unicode(u8, u16),
}

const KEY_BYTES_MAX: usize = 32;
const FIELD: &[u8] = b"data:";

impl Scan {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, line: Line::Field(0), json: Json::default() }
    }

    /// Takes the next bytes, and appends the text in them to `text`.
    pub(super) fn feed(&mut self, bytes: &[u8], text: &mut String) -> Result<(), MeterReject> {
        for byte in bytes {
            match self.framing {
                Framing::Json => self.json.step(*byte, text)?,
                Framing::Events => self.event(*byte, text)?,
            }
        }
        Ok(())
    }

    fn event(&mut self, byte: u8, text: &mut String) -> Result<(), MeterReject> {
        if matches!(byte, b'\n' | b'\r') {
            self.json.flush(text);
            self.json = Json::default();
            self.line = Line::Field(0);
            return Ok(());
        }
        self.line = match self.line {
            Line::Field(seen) if FIELD.get(seen) == Some(&byte) => {
                let seen = seen.saturating_add(1);
                if seen == FIELD.len() { Line::Data } else { Line::Field(seen) }
            }
            Line::Field(_) | Line::Other => Line::Other,
            Line::Data => {
                self.json.step(byte, text)?;
                Line::Data
            }
        };
        Ok(())
    }
}

impl Json {
    fn step(&mut self, byte: u8, text: &mut String) -> Result<(), MeterReject> {
        if let Some(string) = &mut self.string {
            match string.escape {
                Escape::None if byte == b'"' => self.close_string(text),
                Escape::None if byte == b'\\' => string.escape = Escape::Begun,
                Escape::None => self.letter_byte(byte, text),
                Escape::Begun => self.escaped(byte, text),
                Escape::Unicode(seen, value) => self.hex_digit(byte, seen, value, text),
            }
            return Ok(());
        }
        match byte {
            b'"' => self.open_string(),
            b'{' | b'[' => self.open(byte == b'{')?,
            b'}' | b']' => {
                self.stack.pop();
                self.key = Key::default();
            }
            b',' => {
                if let Some(top) = self.stack.last_mut() {
                    top.expects_key = top.is_object;
                }
                self.key = Key::default();
            }
            b':' => {
                if let Some(top) = self.stack.last_mut() {
                    top.expects_key = false;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, is_object: bool) -> Result<(), MeterReject> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(MeterReject::Depth);
        }
        let above = self.stack.last();
        let in_array = above.is_some_and(|above| !above.is_object);
        let counted = if in_array { above.is_some_and(|above| above.counted) } else { self.key.counted };
        let below_choices =
            above.is_some_and(|above| above.below_choices) || (self.stack.len() == 1 && self.key.choices);
        self.stack.push(Container {
            is_object,
            counted: counted && !is_object,
            below_choices,
            expects_key: is_object,
        });
        self.key = Key::default();
        Ok(())
    }

    fn open_string(&mut self) {
        let use_of = match self.stack.last() {
            Some(top) if top.expects_key => Use::Key(Vec::new()),
            Some(top) if top.below_choices && (self.key.counted || (!top.is_object && top.counted)) => {
                Use::Counted
            }
            _ => Use::Ignored,
        };
        self.string = Some(InString { use_of, escape: Escape::None, high: None });
    }

    fn close_string(&mut self, text: &mut String) {
        self.flush(text);
        if let Some(InString { use_of: Use::Key(key), .. }) = self.string.take() {
            self.key = Key {
                counted: COUNTED_KEYS.iter().any(|counted| counted.as_bytes() == key),
                choices: key == b"choices",
            };
        }
    }

    /// A byte of a letter as it stands in the JSON.
    fn letter_byte(&mut self, byte: u8, text: &mut String) {
        self.lone_surrogate(text);
        match self.string.as_mut().map(|string| &mut string.use_of) {
            Some(Use::Key(key)) if key.len() < KEY_BYTES_MAX => key.push(byte),
            Some(Use::Counted) if byte < 0x80 && self.letter.is_empty() => text.push(char::from(byte)),
            Some(Use::Counted) => {
                if !(0x80..0xc0).contains(&byte) {
                    self.flush_letter(text);
                }
                self.letter.push(byte);
                self.whole_letter(text);
            }
            _ => {}
        }
    }

    /// Gives out the bytes kept so far, if they are a letter.
    fn whole_letter(&mut self, text: &mut String) {
        if let Ok(letter) = core::str::from_utf8(&self.letter) {
            text.push_str(letter);
            self.letter.clear();
        } else if self.letter.len() >= 4 {
            self.flush_letter(text);
        }
    }

    fn flush_letter(&mut self, text: &mut String) {
        if !self.letter.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            self.letter.clear();
        }
    }

    fn escaped(&mut self, byte: u8, text: &mut String) {
        self.flush_letter(text);
        let letter = match byte {
            b'u' => {
                if let Some(string) = &mut self.string {
                    string.escape = Escape::Unicode(0, 0);
                }
                return;
            }
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            other => char::from(other),
        };
        self.lone_surrogate(text);
        self.push(letter, text);
        if let Some(string) = &mut self.string {
            string.escape = Escape::None;
        }
    }

    fn hex_digit(&mut self, byte: u8, seen: u8, value: u16, text: &mut String) {
        let digit =
            char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok()).unwrap_or_default();
        let value = (value << 4) | digit;
        let Some(string) = &mut self.string else { return };
        if seen < 3 {
            string.escape = Escape::Unicode(seen.saturating_add(1), value);
            return;
        }
        string.escape = Escape::None;
        match (string.high.take(), value) {
            (Some(high), 0xdc00..=0xdfff) => {
                let letter = char::decode_utf16([high, value]).next().and_then(Result::ok);
                self.push(letter.unwrap_or(char::REPLACEMENT_CHARACTER), text);
            }
            (high, 0xd800..=0xdbff) => {
                string.high = Some(value);
                if high.is_some() {
                    self.push(char::REPLACEMENT_CHARACTER, text);
                }
            }
            (high, _) => {
                if high.is_some() {
                    self.push(char::REPLACEMENT_CHARACTER, text);
                }
                let letter = char::from_u32(u32::from(value));
                self.push(letter.unwrap_or(char::REPLACEMENT_CHARACTER), text);
            }
        }
    }

    fn lone_surrogate(&mut self, text: &mut String) {
        if self.string.as_mut().is_some_and(|string| string.high.take().is_some()) {
            self.push(char::REPLACEMENT_CHARACTER, text);
        }
    }

    fn push(&mut self, letter: char, text: &mut String) {
        match self.string.as_mut().map(|string| &mut string.use_of) {
            Some(Use::Counted) => text.push(letter),
            Some(Use::Key(key)) if key.len() < KEY_BYTES_MAX => {
                key.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => {}
        }
    }

    fn flush(&mut self, text: &mut String) {
        self.flush_letter(text);
        self.lone_surrogate(text);
    }
}
