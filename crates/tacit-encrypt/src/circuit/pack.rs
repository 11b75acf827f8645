//! Numbers of some bits each, one after the other from the lowest bit of the first byte; the last byte is filled with zeros.

/// Writes numbers.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    bytes: Vec<u8>,
    word: u128,
    filled: u32,
}

impl Packer {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, word: 0, filled: 0 }
    }

    pub(crate) fn push(&mut self, number: u64, bits: u32) {
        self.word |= u128::from(number) << self.filled;
        self.filled += bits;
        while self.filled >= 8 {
            self.bytes.push(self.word as u8);
            self.word >>= 8;
            self.filled -= 8;
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.bytes.push(self.word as u8);
        }
        self.bytes
    }
}

/// Reads numbers; past the end there are zeros.
#[derive(Debug)]
pub(crate) struct Unpacker<'a> {
    bytes: core::slice::Iter<'a, u8>,
    word: u128,
    filled: u32,
}

impl<'a> Unpacker<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter(), word: 0, filled: 0 }
    }

    pub(crate) fn number(&mut self, bits: u32) -> u64 {
        while self.filled < bits {
            self.word |= u128::from(self.bytes.next().copied().unwrap_or(0)) << self.filled;
            self.filled += 8;
        }
        let number = (self.word & ((1 << bits) - 1)) as u64;
        self.word >>= bits;
        self.filled -= bits;
        number
    }

    pub(crate) fn numbers(&mut self, count: usize, bits: u32) -> Vec<u64> {
        (0..count).map(|_| self.number(bits)).collect()
    }

    /// Whether all that is left is the filling of the last byte.
    pub(crate) fn is_done(&self) -> bool {
        self.word == 0 && self.bytes.as_slice().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers in proptest::collection::vec((any::<u64>(), 1u32..65), 0..40)) {
            let mut packer = Packer::new(vec![7]);
            let cut = |number: u64, bits: u32| number & (u64::MAX >> (64 - bits));
            numbers.iter().for_each(|(number, bits)| packer.push(cut(*number, *bits), *bits));
            let bytes = packer.finish();
            let total: usize = numbers.iter().map(|(_, bits)| *bits as usize).sum();
            prop_assert_eq!(bytes.len(), 1 + total.div_ceil(8));
            let mut unpacker = Unpacker::new(&bytes[1..]);
            for (number, bits) in numbers {
                prop_assert_eq!(unpacker.number(bits), cut(number, bits));
            }
            prop_assert!(unpacker.is_done());
        }
    }

    #[test]
    fn filling_is_seen() {
        let mut unpacker = Unpacker::new(&[0b1000_0001]);
        assert_eq!(unpacker.number(3), 1);
        assert!(!unpacker.is_done());
        assert!(!Unpacker::new(&[0]).is_done());
        assert_eq!(Unpacker::new(&[]).numbers(2, 64), [0, 0]);
    }
}
