//! Choices: every nondeterministic decision, a pure function of (seed, site, entity, ordinal).
//!
//! There is no shared stream of random numbers. A link draws by (link, connection, message number), a producer
//! by (record, attempt), a node's timer by (node, term). Deleting one operation or fault therefore changes no
//! other draw, except by causality. Overrides are keyed the same way, and draws are recorded on request only
//! (replay, never sweeps). The generator is counter-based: three rounds of a 64-bit finalizer (constants of
//! MurmurHash3's fmix64), integers only.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Where in the code a choice is made: a name that survives changes of code around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site(u64);

impl Site {
    /// The site of this name (FNV-1a of it).
    #[must_use]
    pub const fn new(name: &str) -> Self {
        let bytes = name.as_bytes();
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            i += 1;
        }
        Self(hash)
    }
}

/// One choice as it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choice {
    /// Where.
    pub site: Site,
    /// By whom.
    pub entity: u64,
    /// Its how-manieth.
    pub ordinal: u64,
    /// What was drawn: 64 uniform bits.
    pub drawn: u64,
}

/// The source of all choices of a run. Cheap to clone; clones draw the same.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    seed: u64,
    overrides: Arc<BTreeMap<(Site, u64, u64), u64>>,
    record: Option<Arc<Mutex<Vec<Choice>>>>,
}

/// Folds `word` into `state`, so that every bit of both matters. For entities made of several numbers.
#[must_use]
pub const fn mix(state: u64, word: u64) -> u64 {
    let mut z = state.rotate_left(23) ^ word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    z = (z ^ (z >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    z ^ (z >> 33)
}

impl Choices {
    /// The choices of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The same choices, except those named.
    #[must_use]
    pub fn with_overrides(mut self, choices: impl IntoIterator<Item = Choice>) -> Self {
        self.overrides =
            Arc::new(choices.into_iter().map(|c| ((c.site, c.entity, c.ordinal), c.drawn)).collect());
        self
    }

    /// The same choices, recording each draw from now on.
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.record = Some(Arc::default());
        self
    }

    /// What was drawn so far, sorted by site, entity and ordinal; empty unless recording.
    #[must_use]
    pub fn recorded(&self) -> Vec<Choice> {
        let Some(record) = &self.record else { return Vec::new() };
        let mut choices = record.lock().unwrap_or_else(PoisonError::into_inner).clone();
        choices.sort_unstable();
        choices.dedup();
        choices
    }

    /// 64 uniform bits.
    #[must_use]
    pub fn draw(&self, site: Site, entity: u64, ordinal: u64) -> u64 {
        let mut drawn = mix(self.stream(site, entity), ordinal);
        if !self.overrides.is_empty()
            && let Some(over) = self.overrides.get(&(site, entity, ordinal))
        {
            drawn = *over;
        }
        if let Some(record) = &self.record {
            record.lock().unwrap_or_else(PoisonError::into_inner).push(Choice {
                site,
                entity,
                ordinal,
                drawn,
            });
        }
        drawn
    }

    /// A uniform number below `bound`; 0 if that is 0.
    #[must_use]
    pub fn below(&self, site: Site, entity: u64, ordinal: u64, bound: u64) -> u64 {
        let wide = u128::from(self.draw(site, entity, ordinal)) * u128::from(bound);
        (wide >> 64) as u64
    }

    /// A uniform number from `low` to `high`, both included; `low` if they cross.
    #[must_use]
    pub fn between(&self, site: Site, entity: u64, ordinal: u64, low: u64, high: u64) -> u64 {
        if high <= low {
            return low;
        }
        match (high - low).checked_add(1) {
            Some(span) => low + self.below(site, entity, ordinal, span),
            None => self.draw(site, entity, ordinal),
        }
    }

    /// What all draws of an entity at a site have in common, for [`between_from`](Self::between_from).
    pub(super) const fn stream(&self, site: Site, entity: u64) -> u64 {
        mix(mix(self.seed, site.0), entity)
    }

    /// [`between`](Self::between) for who draws often and keeps the entity's `stream`.
    #[inline]
    pub(super) fn between_from(
        &self,
        stream: u64,
        (site, entity, ordinal): (Site, u64, u64),
        low: u64,
        high: u64,
    ) -> u64 {
        if !self.overrides.is_empty() || self.record.is_some() || high <= low || high - low == u64::MAX {
            return self.between(site, entity, ordinal, low, high);
        }
        let wide = u128::from(mix(stream, ordinal)) * u128::from(high - low + 1);
        low + (wide >> 64) as u64
    }

    /// Whether an event of `millionths` parts in a million happens.
    #[must_use]
    pub fn happens(&self, site: Site, entity: u64, ordinal: u64, millionths: u32) -> bool {
        self.below(site, entity, ordinal, 1_000_000) < u64::from(millionths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Site = Site::new("test.site");

    #[test]
    fn a_draw_depends_on_its_key_alone() {
        let choices = Choices::new(7);
        let alone = choices.draw(SITE, 3, 9);
        for ordinal in 0..100 {
            let _ = choices.draw(SITE, 3, ordinal);
        }
        assert_eq!(choices.draw(SITE, 3, 9), alone);
        assert_ne!(Choices::new(8).draw(SITE, 3, 9), alone);
        assert_ne!(choices.draw(SITE, 4, 9), alone);
        assert_ne!(choices.draw(Site::new("test.other"), 3, 9), alone);
    }

    #[test]
    fn known_draws_stay_as_they_are() {
        let choices = Choices::new(1);
        let drawn: Vec<u64> = (0..3).map(|ordinal| choices.draw(SITE, 1, ordinal)).collect();
        assert_eq!(drawn, KNOWN, "a capsule written yesterday must replay tomorrow");
    }
    const KNOWN: [u64; 3] =
        [4_605_722_870_479_717_509, 15_369_064_667_098_554_851, 11_238_800_855_848_896_003];

    #[test]
    fn draws_are_spread_evenly() {
        let choices = Choices::new(42);
        let mut counts = [0_u32; 10];
        for ordinal in 0..100_000 {
            counts[choices.below(SITE, 5, ordinal, 10) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
    }

    #[test]
    fn an_override_changes_one_choice_and_no_other() {
        let plain = Choices::new(7).recording();
        let over = Choice { site: SITE, entity: 1, ordinal: 2, drawn: 5 };
        let changed = Choices::new(7).with_overrides([over]).recording();
        for ordinal in 0..5 {
            let _ = (plain.draw(SITE, 1, ordinal), changed.draw(SITE, 1, ordinal));
        }
        let differ: Vec<u64> = plain
            .recorded()
            .iter()
            .zip(changed.recorded())
            .filter(|(a, b)| **a != *b)
            .map(|(a, _)| a.ordinal)
            .collect();
        assert_eq!(differ, [2]);
    }

    #[test]
    fn a_kept_stream_draws_the_same() {
        let over = Choice { site: SITE, entity: 4, ordinal: 6, drawn: u64::MAX };
        for choices in [Choices::new(9), Choices::new(9).recording(), Choices::new(9).with_overrides([over])]
        {
            let stream = choices.stream(SITE, 4);
            for ordinal in 0..20 {
                for (low, high) in [(50, 250), (0, u64::MAX), (7, 7), (9, 3)] {
                    let drawn = choices.between_from(stream, (SITE, 4, ordinal), low, high);
                    assert_eq!(drawn, choices.between(SITE, 4, ordinal, low, high));
                }
            }
        }
    }

    #[test]
    fn bounds_are_kept() {
        let choices = Choices::new(1);
        assert_eq!(choices.below(SITE, 0, 0, 0), 0);
        assert_eq!(choices.between(SITE, 0, 0, 9, 3), 9);
        for ordinal in 0..1000 {
            assert!((3..=5).contains(&choices.between(SITE, 0, ordinal, 3, 5)));
            assert!(!choices.happens(SITE, 0, ordinal, 0));
            assert!(choices.happens(SITE, 0, ordinal, 1_000_000));
        }
        let _ = choices.between(SITE, 0, 0, 0, u64::MAX);
    }
}
