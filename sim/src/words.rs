//! Did you mean: the known word that is nearest to a mistyped one.

/// How many letters must be put in, left out or exchanged to make one word of another.
fn distance(word: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in word.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, wanted) in other.iter().enumerate() {
            let exchanged = diagonal + usize::from(letter != *wanted);
            diagonal = row[column + 1];
            row[column + 1] = exchanged.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// The candidate that is nearest, if it is near for a word of this length. Ties go to the earlier one.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 200 {
        return None;
    }
    let plain = |word: &str| word.to_lowercase().replace(['_', '-'], ".");
    let wanted = plain(word);
    candidates
        .into_iter()
        .map(|candidate| (distance(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_near_and_leaves_the_far() {
        let words = ["segment.bytes", "segment.ms", "retention.ms"];
        assert_eq!(nearest("segment.byte", words), Some("segment.bytes"));
        assert_eq!(nearest("retention_ms", words), Some("retention.ms"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!((distance("abc", "abd"), distance("", "ab"), distance("kitten", "sitting")), (1, 2, 3));
    }
}
