//! The plain encoding of evidence and policies: little-endian integers, lengths before contents, one way to write each value.

use crate::error::DecodeError;

/// Reads what [`Writer`] writes.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Refuses what is left over.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { got: self.0.len() }) }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count, at most `max`.
    pub(crate) fn count(&mut self, field: &'static str, max: usize) -> Result<usize, DecodeError> {
        let got = usize::from(self.u16()?);
        if got > max { Err(DecodeError::Length { field, max, got }) } else { Ok(got) }
    }

    /// Bytes after their number, at most `max`.
    pub(crate) fn bytes(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let got = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if got > max {
            return Err(DecodeError::Length { field, max, got });
        }
        let (taken, rest) = self.0.split_at_checked(got).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn text(&mut self, field: &'static str, max: usize) -> Result<String, DecodeError> {
        let bytes = self.bytes(field, max)?;
        core::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::Text { field })
    }

    /// Hashes, each greater than the one before.
    pub(crate) fn ascending(
        &mut self,
        field: &'static str,
        max: usize,
    ) -> Result<Vec<[u8; 32]>, DecodeError> {
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
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.put(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.put(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.put(bytes);
    }

    pub(crate) fn hashes<'a>(&mut self, hashes: impl ExactSizeIterator<Item = &'a [u8; 32]>) {
        self.count(hashes.len());
        hashes.for_each(|hash| self.put(hash));
    }
}
