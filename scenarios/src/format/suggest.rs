//! Did you mean: the known word that is nearest to a mistyped one.

/// The candidate at the smallest edit distance, if that is small for a word of this length. Ties go to the
/// earlier candidate.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 200 {
        return None;
    }
    let plain = word.to_lowercase().replace('_', "-");
    candidates
        .into_iter()
        .map(|candidate| {
            let other = candidate.to_lowercase().replace('_', "-");
            (strsim::damerau_levenshtein(&plain, &other), candidate)
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean ...?`, or else the list of what there is.
pub(crate) fn or_list<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
    there_are: &str,
) -> String {
    match nearest(word, candidates.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => {
            let names: Vec<&str> = candidates.into_iter().take(40).collect();
            if names.is_empty() {
                format!("{there_are} none")
            } else {
                format!("{there_are} {}", names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_near_and_leaves_the_far() {
        let words = ["partitions", "replicas", "min_insync"];
        assert_eq!(nearest("partition", words), Some("partitions"));
        assert_eq!(nearest("min-insync", words), Some("min_insync"));
        assert_eq!(nearest("Replica", words), Some("replicas"));
        assert_eq!(nearest("colour", words), None);
    }
}
