//! The plain encoding of evidence and policies: little-endian integers, lengths before contents, one way to write each value.

use crate::DecodeError;

/// Reads what [`Writer`] writes.
#[derive(Debug, Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Begins at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Refuses what is left over.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { got: self.0.len() }) }
    }

    /// So many bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// A number of two bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A number of four bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A number of eight bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count, at most `max`.
    ///
    /// # Errors
    /// [`DecodeError::Short`], [`DecodeError::Length`].
    pub fn count(&mut self, field: &'static str, max: usize) -> Result<usize, DecodeError> {
        let got = usize::from(self.u16()?);
        if got > max { Err(DecodeError::Length { field, max, got }) } else { Ok(got) }
    }

    /// Bytes after their number, at most `max`.
    ///
    /// # Errors
    /// [`DecodeError::Short`], [`DecodeError::Length`].
    pub fn bytes(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let got = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if got > max {
            return Err(DecodeError::Length { field, max, got });
        }
        let (taken, rest) = self.0.split_at_checked(got).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Text after its length in bytes, at most `max`.
    ///
    /// # Errors
    /// [`DecodeError::Short`], [`DecodeError::Length`], [`DecodeError::Text`].
    pub fn text(&mut self, field: &'static str, max: usize) -> Result<String, DecodeError> {
        let bytes = self.bytes(field, max)?;
        core::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::Text { field })
    }

    /// Hashes, each greater than the one before.
    ///
    /// # Errors
    /// [`DecodeError::Short`], [`DecodeError::Length`], [`DecodeError::Order`].
    pub fn ascending(&mut self, field: &'static str, max: usize) -> Result<Vec<[u8; 32]>, DecodeError> {
        let count = self.count(field, max)?;
        let mut hashes: Vec<[u8; 32]> = Vec::with_capacity(count);
        for _ in 0..count {
            let hash = self.array()?;
            if hashes.last().is_some_and(|last| *last >= hash) {
                return Err(DecodeError::Order { field });
            }
            hashes.push(hash);
        }
        Ok(hashes)
    }
}

/// Writes what [`Reader`] reads. Lengths were checked when the value was made.
#[derive(Debug, Clone, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A count.
    pub fn count(&mut self, count: usize) {
        self.put(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
    }

    /// Bytes after their number.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.put(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.put(bytes);
    }

    /// Hashes after their number.
    pub fn hashes<'a>(&mut self, hashes: impl ExactSizeIterator<Item = &'a [u8; 32]>) {
        self.count(hashes.len());
        hashes.for_each(|hash| self.put(hash));
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
