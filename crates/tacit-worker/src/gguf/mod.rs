//! What a GGUF file says about itself: a reader of its metadata, and the tokenizer that it describes.
//!
//! Source: the GGUF specification of ggml, versions 2 and 3. Numbers are little endian. Only metadata is read; tensors are what the rest of the file is.
//! The file may be anybody's: every length in it is checked before it is believed, and nothing in it makes the reader fail otherwise than with [`GgufReject`].

mod tokenizer;

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

pub use tokenizer::{TokenizerReject, tokenizer_json};

/// The metadata of a file that anything here is interested in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gguf {
    values: BTreeMap<String, Value>,
}

/// A value. Numbers that are no integers are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(i128),
    Text(String),
    Texts(Vec<String>),
    Numbers(Vec<i128>),
}

/// Why a file's metadata cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufReject {
    /// The file cannot be read, or ends early.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Another format.
    #[error("not a GGUF file")]
    Magic,
    /// A version that this program does not know.
    #[error("version {got} of GGUF is not known")]
    Version {
        /// The file's.
        got: u32,
    },
    /// More of something than any file has.
    #[error("{what}: {got} are more than {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// Most.
        limit: u64,
        /// In the file.
        got: u64,
    },
    /// A type that there is none of.
    #[error("unknown type {got} of a value")]
    Type {
        /// The file's.
        got: u32,
    },
    /// A text that is not UTF-8.
    #[error("the value of {key:?} is not UTF-8")]
    Utf8 {
        /// Of which key.
        key: String,
    },
    /// The same key twice.
    #[error("the key {key:?} is there twice")]
    Repeated {
        /// Which.
        key: String,
    },
}

const MAGIC: [u8; 4] = *b"GGUF";
/// Pairs of key and value.
const PAIRS_MAX: u64 = 4096;
const KEY_BYTES_MAX: u64 = 1024;
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// Values in an array: more than any vocabulary has.
const ARRAY_MAX: u64 = 4 << 20;
/// Arrays in arrays; no known key has any.
const ARRAY_DEPTH_MAX: u32 = 2;
/// All metadata together.
const METADATA_BYTES_MAX: u64 = 512 << 20;

impl Gguf {
    /// Reads the metadata at the beginning of a file.
    ///
    /// # Errors
    /// [`GgufReject`].
    pub fn read(file: impl Read) -> Result<Self, GgufReject> {
        let mut reader = Reader(file.take(METADATA_BYTES_MAX));
        if reader.bytes::<4>()? != MAGIC {
            return Err(GgufReject::Magic);
        }
        let version = u32::from_le_bytes(reader.bytes()?);
        if !matches!(version, 2 | 3) {
            return Err(GgufReject::Version { got: version });
        }
        let _tensors = reader.length()?;
        let pairs = reader.count("pairs of key and value", PAIRS_MAX)?;
        let mut values = BTreeMap::new();
        for _ in 0..pairs {
            let length = reader.count("bytes of a key", KEY_BYTES_MAX)?;
            let key = String::from_utf8_lossy(&reader.vector(length)?).into_owned();
            let kind = u32::from_le_bytes(reader.bytes()?);
            let wanted = is_wanted(&key);
            let value = reader.value(&key, kind, wanted)?;
            if let Some(value) = value.filter(|_| wanted)
                && values.insert(key.clone(), value).is_some()
            {
                return Err(GgufReject::Repeated { key });
            }
        }
        Ok(Self { values })
    }

    /// Tokens that prompt and completion may have together.
    #[must_use]
    pub fn context_tokens(&self) -> Option<u32> {
        let architecture = self.text("general.architecture")?;
        u32::try_from(self.number(&format!("{architecture}.context_length"))?).ok()
    }

    /// How most of the weights are rounded, as llama.cpp names it.
    #[must_use]
    pub fn quantisation(&self) -> Option<&'static str> {
        let number = self.number("general.file_type")?;
        FILE_TYPES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
    }

    /// The licence, as the file says.
    #[must_use]
    pub fn licence(&self) -> Option<&str> {
        self.text("general.license")
    }

    fn number(&self, key: &str) -> Option<i128> {
        match self.values.get(key)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn texts(&self, key: &str) -> Option<&[String]> {
        match self.values.get(key)? {
            Value::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    fn numbers(&self, key: &str) -> Option<&[i128]> {
        match self.values.get(key)? {
            Value::Numbers(numbers) => Some(numbers),
            _ => None,
        }
    }
}

/// Keys that are kept; others are read over.
fn is_wanted(key: &str) -> bool {
    const WANTED: [&str; 8] = [
        "general.architecture",
        "general.file_type",
        "general.license",
        "tokenizer.ggml.merges",
        "tokenizer.ggml.model",
        "tokenizer.ggml.pre",
        "tokenizer.ggml.token_type",
        "tokenizer.ggml.tokens",
    ];
    WANTED.contains(&key) || key.ends_with(".context_length")
}

/// `llama_ftype` of llama.cpp.
const FILE_TYPES: [(i128, &str); 19] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (25, "IQ4_NL"),
    (30, "IQ4_XS"),
    (32, "BF16"),
];

struct Reader<R>(io::Take<R>);

impl<R: Read> Reader<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], GgufReject> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn length(&mut self) -> Result<u64, GgufReject> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, GgufReject> {
        let got = self.length()?;
        if got > limit { Err(GgufReject::TooMany { what, limit, got }) } else { Ok(got) }
    }

    /// Memory grows with what is there, not with what is claimed.
    fn vector(&mut self, length: u64) -> Result<Vec<u8>, GgufReject> {
        let mut bytes = Vec::new();
        let read = self.0.by_ref().take(length).read_to_end(&mut bytes)?;
        if u64::try_from(read).ok() != Some(length) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(bytes)
    }

    fn text(&mut self, key: &str) -> Result<String, GgufReject> {
        let length = self.count("bytes of a text", TEXT_BYTES_MAX)?;
        String::from_utf8(self.vector(length)?).map_err(|_| GgufReject::Utf8 { key: key.to_owned() })
    }

    fn value(&mut self, key: &str, kind: u32, wanted: bool) -> Result<Option<Value>, GgufReject> {
        Ok(match kind {
            TEXT if wanted => Some(Value::Text(self.text(key)?)),
            ARRAY => {
                let kind = u32::from_le_bytes(self.bytes()?);
                let count = self.count("values in an array", ARRAY_MAX)?;
                match kind {
                    TEXT if wanted => {
                        let mut texts = Vec::new();
                        for _ in 0..count {
                            texts.push(self.text(key)?);
                        }
                        Some(Value::Texts(texts))
                    }
                    ARRAY => {
                        self.skip_array(kind, count, 1)?;
                        None
                    }
                    kind => {
                        let mut numbers = Vec::new();
                        for _ in 0..count {
                            let number = self.scalar(kind)?;
                            numbers.extend(number.filter(|_| wanted));
                        }
                        Some(Value::Numbers(numbers))
                    }
                }
            }
            kind => self.scalar(kind)?.map(Value::Number),
        })
    }

    /// Reads over the values of an array.
    fn skip_array(&mut self, kind: u32, count: u64, depth: u32) -> Result<(), GgufReject> {
        if kind != ARRAY {
            for _ in 0..count {
                self.scalar(kind)?;
            }
            return Ok(());
        }
        if depth > ARRAY_DEPTH_MAX {
            return Err(GgufReject::Type { got: kind });
        }
        for _ in 0..count {
            let kind = u32::from_le_bytes(self.bytes()?);
            let count = self.count("values in an array", ARRAY_MAX)?;
            self.skip_array(kind, count, depth.saturating_add(1))?;
        }
        Ok(())
    }

    /// A value that is no array; texts are read over, and what is no integer is nothing.
    fn scalar(&mut self, kind: u32) -> Result<Option<i128>, GgufReject> {
        Ok(match kind {
            0 | 7 => Some(u8::from_le_bytes(self.bytes()?).into()),
            1 => Some(i8::from_le_bytes(self.bytes()?).into()),
            2 => Some(u16::from_le_bytes(self.bytes()?).into()),
            3 => Some(i16::from_le_bytes(self.bytes()?).into()),
            4 => Some(u32::from_le_bytes(self.bytes()?).into()),
            5 => Some(i32::from_le_bytes(self.bytes()?).into()),
            6 => {
                let _float: [u8; 4] = self.bytes()?;
                None
            }
            TEXT => {
                let length = self.count("bytes of a text", TEXT_BYTES_MAX)?;
                self.vector(length)?;
                None
            }
            10 => Some(u64::from_le_bytes(self.bytes()?).into()),
            11 => Some(i64::from_le_bytes(self.bytes()?).into()),
            12 => {
                let _float: [u8; 8] = self.bytes()?;
                None
            }
            got => return Err(GgufReject::Type { got }),
        })
    }
}

const TEXT: u32 = 8;
const ARRAY: u32 = 9;

#[cfg(test)]
pub(crate) mod tests;
