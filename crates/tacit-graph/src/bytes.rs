//! Little-endian reading and writing with every length checked before it is believed.

use crate::encoding::EncodingError;

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], EncodingError> {
        let short = EncodingError::Truncated { needed: len, left: self.rest.len() };
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], EncodingError> {
        let left = self.rest.len();
        self.take(N)?.try_into().map_err(|_| EncodingError::Truncated { needed: N, left })
    }

    pub(crate) fn u8(&mut self) -> Result<u8, EncodingError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, EncodingError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, EncodingError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, EncodingError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, EncodingError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, EncodingError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(crate) fn text(&mut self, limit: usize) -> Result<String, EncodingError> {
        let len = usize::from(self.u16()?);
        check_limit(len, limit)?;
        let text = core::str::from_utf8(self.take(len)?).map_err(|_| EncodingError::NotUtf8)?;
        Ok(text.to_owned())
    }

    /// A count of items of at least `item_bytes` each: never more than the bytes left could hold.
    pub(crate) fn count(&mut self, limit: usize, item_bytes: usize) -> Result<usize, EncodingError> {
        let count = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        check_limit(count, limit)?;
        let needed = count.saturating_mul(item_bytes);
        if needed > self.rest.len() {
            return Err(EncodingError::Truncated { needed, left: self.rest.len() });
        }
        Ok(count)
    }

    /// The version behind the magic bytes.
    pub(crate) fn version(&mut self, magic: &[u8; 4]) -> Result<u16, EncodingError> {
        let got = self.array::<4>()?;
        if got != *magic {
            return Err(EncodingError::Magic { expected: *magic, got });
        }
        self.u16()
    }

    pub(crate) fn header(&mut self, magic: &[u8; 4], version: u16) -> Result<(), EncodingError> {
        let got = self.version(magic)?;
        if got != version {
            return Err(EncodingError::Version { expected: version, got });
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), EncodingError> {
        if self.rest.is_empty() { Ok(()) } else { Err(EncodingError::Trailing { left: self.rest.len() }) }
    }
}

pub(crate) fn check_limit(got: usize, limit: usize) -> Result<(), EncodingError> {
    if got > limit { Err(EncodingError::OverLimit { limit, got }) } else { Ok(()) }
}

/// Writes a length that validation has bounded far below the width of its field.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let len = text.len().min(usize::from(u16::MAX));
    out.extend_from_slice(&(len as u16).to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..len]);
}

pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&(count as u32).to_le_bytes());
}
