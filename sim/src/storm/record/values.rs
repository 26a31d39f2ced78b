//! The values of records as they travel, in decimal. Values are small numbers that every run of a sweep begins anew
//! with, so their text is made once a thread.

use bytes::Bytes;
use std::cell::RefCell;

/// So many are kept.
const MOST: usize = 4_096;

thread_local! {
    static TEXTS: RefCell<Vec<Bytes>> = const { RefCell::new(Vec::new()) };
}

/// The text of a value.
pub(super) fn text(value: u64) -> Bytes {
    let made = |value: u64| Bytes::from(value.to_string());
    let Some(place) = usize::try_from(value).ok().filter(|place| *place < MOST) else { return made(value) };
    TEXTS.with_borrow_mut(|texts| {
        texts.extend((texts.len()..=place).map(|value| made(value as u64)));
        texts[place].clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_own_text() {
        for value in [3, 0, 3, MOST as u64 - 1, MOST as u64, u64::MAX, 12] {
            assert_eq!(text(value), value.to_string());
        }
        assert_eq!(TEXTS.with_borrow(Vec::len), MOST);
    }
}
