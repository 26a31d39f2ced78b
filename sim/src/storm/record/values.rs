//! The values of records as they travel, in decimal. Values are small numbers that every run of a sweep begins anew
//! with, so the text of most stands in the program: it is neither made nor counted by reference.

use bytes::Bytes;

/// So many stand in the program.
const MOST: usize = 10_000;
/// The digits of the greatest of them.
const WIDTH: usize = 4;

/// All of them, each with leading zeros.
static TEXTS: [[u8; WIDTH]; MOST] = texts();

const fn texts() -> [[u8; WIDTH]; MOST] {
    let mut texts = [[b'0'; WIDTH]; MOST];
    let mut value = 0;
    while value < MOST {
        let (mut rest, mut place) = (value, WIDTH);
        while rest > 0 {
            place -= 1;
            texts[value][place] += (rest % 10) as u8;
            rest /= 10;
        }
        value += 1;
    }
    texts
}

/// The text of a value.
pub(super) fn text(value: u64) -> Bytes {
    let text = usize::try_from(value).ok().and_then(|place| TEXTS.get(place));
    text.map_or_else(|| Bytes::from(value.to_string()), |text| Bytes::from_static(without_zeros(text)))
}

fn without_zeros(text: &[u8]) -> &[u8] {
    let zeros = text.iter().take_while(|digit| **digit == b'0').count();
    &text[zeros.min(WIDTH - 1)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_own_text() {
        for value in (0..=MOST as u64).chain([u64::MAX]) {
            assert_eq!(text(value), value.to_string());
        }
    }
}
