//! Vectors that are overwritten before their memory is given back.

use core::ops::{Deref, DerefMut};

/// Masks, pads and whatever else uncovers what a proof covers.
pub(crate) struct Private<T: Copy + Default>(Vec<T>);

impl<T: Copy + Default> From<Vec<T>> for Private<T> {
    fn from(values: Vec<T>) -> Self {
        Self(values)
    }
}

impl<T: Copy + Default> Deref for Private<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Copy + Default> DerefMut for Private<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T: Copy + Default> Drop for Private<T> {
    fn drop(&mut self) {
        self.0.fill(T::default());
        // The field's elements are foreign types without `Zeroize`; a store that somebody may look at is not left out.
        core::hint::black_box(&mut self.0);
    }
}
