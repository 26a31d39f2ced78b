//! A list that mostly has one element, which takes no memory of its own.
//!
//! Batches of one record, requests for one partition and answers about one are the rule where records are sent one by
//! one, and there memory costs more than anything that is done with them.

use std::{
    array, fmt,
    ops::{Deref, DerefMut},
    vec,
};

/// A list that mostly has one element. It is used as a slice.
#[derive(Clone)]
pub struct Few<T>(Held<T>);

#[derive(Clone)]
enum Held<T> {
    One([T; 1]),
    /// Any number, one among them.
    Many(Vec<T>),
}

impl<T> Few<T> {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(Held::Many(Vec::new()))
    }

    /// An empty list with room for so many elements.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Held::Many(if capacity > 1 { Vec::with_capacity(capacity) } else { Vec::new() }))
    }

    /// Puts an element at the end.
    pub fn push(&mut self, value: T) {
        match &mut self.0 {
            Held::Many(many) if many.capacity() > 0 => many.push(value),
            Held::Many(_) => self.0 = Held::One([value]),
            Held::One(_) => {
                if let Held::One([first]) = std::mem::replace(&mut self.0, Held::Many(Vec::new())) {
                    self.0 = Held::Many(vec![first, value]);
                }
            }
        }
    }
}

impl<T: Clone> Few<T> {
    /// The elements of a slice.
    #[must_use]
    pub fn of(slice: &[T]) -> Self {
        match slice {
            [one] => Self::from([one.clone()]),
            many => Self(Held::Many(many.to_vec())),
        }
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Held::One(one) => one,
            Held::Many(many) => many,
        }
    }
}

impl<T> DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Held::One(one) => one,
            Held::Many(many) => many,
        }
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(many: Vec<T>) -> Self {
        Self(Held::Many(many))
    }
}

impl<T> From<[T; 1]> for Few<T> {
    fn from(one: [T; 1]) -> Self {
        Self(Held::One(one))
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let values = values.into_iter();
        let mut few = Self::with_capacity(values.size_hint().0);
        values.for_each(|value| few.push(value));
        few
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<T: Eq> Eq for Few<T> {}

impl<T: fmt::Debug> fmt::Debug for Few<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut Few<T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter(match self.0 {
            Held::One(one) => Left::One(one.into_iter()),
            Held::Many(many) => Left::Many(many.into_iter()),
        })
    }
}

/// The elements of a [`Few`], one after the other.
#[derive(Debug)]
pub struct IntoIter<T>(Left<T>);

#[derive(Debug)]
enum Left<T> {
    One(array::IntoIter<T, 1>),
    Many(vec::IntoIter<T>),
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Left::One(one) => one.next(),
            Left::Many(many) => many.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Left::One(one) => one.size_hint(),
            Left::Many(many) => many.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_list_that_a_vector_is() {
        for count in 0..4_u32 {
            let expected: Vec<u32> = (0..count).collect();
            let mut pushed = Few::new();
            (0..count).for_each(|value| pushed.push(value));
            let mut roomy = Few::with_capacity(count as usize);
            (0..count).for_each(|value| roomy.push(value));
            let collected: Few<u32> = (0..count).filter(|_| true).collect();
            for few in [pushed, roomy, collected, Few::of(&expected), expected.clone().into()] {
                assert_eq!(few[..], expected[..]);
                assert_eq!((&few).into_iter().copied().collect::<Vec<_>>(), expected);
                assert_eq!(few, few.clone());
                assert_eq!(format!("{few:?}"), format!("{expected:?}"));
                assert_eq!(few.into_iter().collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn one_element_takes_no_memory() {
        let mut few = Few::with_capacity(1);
        few.push(7);
        assert!(matches!(few.0, Held::One([7])));
        few[0] += 1;
        few.push(9);
        few.iter_mut().for_each(|value| *value += 1);
        assert_eq!(few[..], [9, 10]);
        assert_ne!(few, Few::of(&[9]));
    }
}
