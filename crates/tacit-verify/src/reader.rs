//! Reads a proof: bounds checked, canonical field elements only, nothing left over.

use p3_field::{PrimeCharacteristicRing, PrimeField32};

use crate::{
    field::{EF_DEGREE, Ef, Fp, ef_from_coefficients},
    reject::Reject,
};

/// The bytes of a proof not read yet.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Next byte.
    ///
    /// # Errors
    /// [`Reject::Truncated`] at the end.
    pub fn byte(&mut self) -> Result<u8, Reject> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// Next `N` bytes.
    ///
    /// # Errors
    /// [`Reject::Truncated`] when fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or(Reject::Truncated)?;
        self.bytes = rest;
        Ok(*head)
    }

    /// Next 32-bit integer, little-endian.
    ///
    /// # Errors
    /// [`Reject::Truncated`] when fewer than four bytes are left.
    pub fn u32(&mut self) -> Result<u32, Reject> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Next base field element.
    ///
    /// # Errors
    /// [`Reject::Truncated`], or [`Reject::NonCanonical`] for `p` or more.
    pub fn base(&mut self) -> Result<Fp, Reject> {
        let got = self.u32()?;
        if got >= Fp::ORDER_U32 {
            return Err(Reject::NonCanonical { got });
        }
        Ok(Fp::from_u32(got))
    }

    /// Next extension field element.
    ///
    /// # Errors
    /// As [`Self::base`].
    pub fn extension(&mut self) -> Result<Ef, Reject> {
        let mut coefficients = [Fp::ZERO; EF_DEGREE];
        for coefficient in &mut coefficients {
            *coefficient = self.base()?;
        }
        Ok(ef_from_coefficients(coefficients))
    }

    /// Next `count` items. Allocates no more than the bytes that are left could hold.
    ///
    /// # Errors
    /// The first error of `item`; [`Reject::Truncated`] when `count` items of `item_bytes` cannot be left.
    pub fn list<T>(
        &mut self,
        count: usize,
        item_bytes: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, Reject>,
    ) -> Result<Vec<T>, Reject> {
        if count.checked_mul(item_bytes).is_none_or(|bytes| bytes > self.bytes.len()) {
            return Err(Reject::Truncated);
        }
        (0..count).map(|_| item(self)).collect()
    }

    /// Demands that nothing is left.
    ///
    /// # Errors
    /// [`Reject::TrailingBytes`].
    pub fn finish(self) -> Result<(), Reject> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Reject::TrailingBytes { got: self.bytes.len() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_once_in_one_form() {
        let element =
            Ef::new(core::array::from_fn(|i| Fp::from_u32(Fp::ORDER_U32 - 1 - u32::try_from(i).unwrap())));
        let bytes = crate::field::ef_to_bytes(&element);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.extension().unwrap(), element);
        assert_eq!(reader.byte(), Err(Reject::Truncated));
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!(Reader::new(&bytes).finish(), Err(Reject::TrailingBytes { got: 20 }));
        let order = Fp::ORDER_U32;
        assert_eq!(Reader::new(&order.to_le_bytes()).base(), Err(Reject::NonCanonical { got: order }));
    }

    #[test]
    fn a_list_longer_than_the_bytes_is_refused_before_it_is_allocated() {
        let bytes = [0; 64];
        assert_eq!(Reader::new(&bytes).list(usize::MAX, 20, Reader::extension), Err(Reject::Truncated));
        assert_eq!(Reader::new(&bytes).list(1 << 60, 1, Reader::byte), Err(Reject::Truncated));
        assert_eq!(Reader::new(&bytes).list(16, 4, Reader::u32).unwrap().len(), 16);
    }
}
