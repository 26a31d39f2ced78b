//! The vocabulary of requirements: the ids that a scenario may say it covers.

/// Every known id, in the order of the vocabulary: `event/envelope`.
pub fn ids() -> impl Iterator<Item = &'static str> + Clone {
    include_str!("requirements.txt").lines()
}

/// Whether this is a known id.
#[must_use]
pub fn known(id: &str) -> bool {
    ids().any(|known| known == id)
}
