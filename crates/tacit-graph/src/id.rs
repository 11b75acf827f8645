//! The name of a model: a hash of everything public about it.

/// `BLAKE3(canonical graph bytes ‖ weight root)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId([u8; 32]);

/// Why a text is no model id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelIdError {
    /// No `0x` in front.
    #[error("a model id starts with 0x")]
    Prefix,
    /// Not 64 digits.
    #[error("a model id has 64 hexadecimal digits, got {got}")]
    Length {
        /// Digits there are.
        got: usize,
    },
    /// Something that is no lower-case hexadecimal digit.
    #[error("a model id has lower-case hexadecimal digits only, position {position} has another")]
    Digit {
        /// Where, counted after `0x`.
        position: usize,
    },
}

/// Names the model with these canonical graph bytes and this hiding commitment to its weights.
#[must_use]
pub fn model_id(graph_bytes: &[u8], weight_root: &[u8; 32]) -> ModelId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(graph_bytes);
    hasher.update(weight_root);
    ModelId(*hasher.finalize().as_bytes())
}

impl ModelId {
    /// The hash itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for ModelId {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<ModelId> for [u8; 32] {
    fn from(id: ModelId) -> Self {
        id.0
    }
}

impl core::fmt::Display for ModelId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::fmt::Debug for ModelId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ModelId({self})")
    }
}

impl core::str::FromStr for ModelId {
    type Err = ModelIdError;

    fn from_str(text: &str) -> Result<Self, ModelIdError> {
        let digits = text.strip_prefix("0x").ok_or(ModelIdError::Prefix)?.as_bytes();
        if digits.len() != 64 {
            return Err(ModelIdError::Length { got: digits.len() });
        }
        let mut bytes = [0; 32];
        for (position, digit) in digits.iter().enumerate() {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return Err(ModelIdError::Digit { position }),
            };
            if let Some(byte) = bytes.get_mut(position / 2) {
                *byte = (*byte << 4) | value;
            }
        }
        Ok(Self(bytes))
    }
}

impl serde::Serialize for ModelId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ModelId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
