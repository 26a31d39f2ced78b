//! Values of a history are unique; Jepsen's are unique per key. A number is kept as it is if only one key has it.

use super::{
    form::Form,
    op::{Micro, Op, Work},
};
use std::collections::{BTreeMap, BTreeSet};

/// Where values that are no plain numbers begin.
const WILD: u64 = 1 << 62;

/// Between the values of one key and the next.
const STRIDE: u64 = 1_000_000_000;

/// The numbers of values.
pub(super) struct Values {
    /// Whether plain numbers are kept.
    plain: bool,
    keys: BTreeMap<String, u64>,
    wild: BTreeMap<(String, String), u64>,
}

impl Values {
    /// Looks for values that two keys have.
    pub(super) fn of(ops: &[Op]) -> Self {
        let (mut owner, mut plain): (BTreeMap<i64, &str>, bool) = (BTreeMap::new(), true);
        let mut names: BTreeSet<&str> = BTreeSet::new();
        let mut meet = |key, value: &Form| {
            if let Form::Int(number) = value {
                plain &= *owner.entry(*number).or_insert(key) == key;
            }
        };
        for op in ops {
            let Work::Micros { micros, .. } = &op.work else { continue };
            for micro in micros {
                match micro {
                    Micro::Send { key, value, .. } => {
                        names.insert(key);
                        meet(key.as_str(), value);
                    }
                    Micro::Poll(records) => {
                        for (key, records) in records.iter().flatten() {
                            names.insert(key);
                            records.iter().for_each(|(_, value)| meet(key.as_str(), value));
                        }
                    }
                    Micro::Read { key, list } => {
                        names.insert(key);
                        list.iter().flatten().for_each(|value| meet(key.as_str(), value));
                    }
                }
            }
        }
        let keys = names.into_iter().map(str::to_owned).zip(1..).collect();
        Self { plain, keys, wild: BTreeMap::new() }
    }

    /// The keys, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// The number of a value under a key; `None` for no value.
    pub(super) fn number(&mut self, key: &str, value: &Form) -> Option<u64> {
        let plain = match value {
            Form::Int(number) => u64::try_from(*number).ok(),
            Form::Nil => return None,
            _ => None,
        };
        match plain {
            Some(number) if self.plain && number < WILD => return Some(number),
            Some(number) if !self.plain && number < STRIDE => {
                let key = self.keys.get(key).copied().unwrap_or_default();
                return Some(key * STRIDE + number);
            }
            _ => {}
        }
        let next = WILD + self.wild.len() as u64;
        Some(*self.wild.entry((key.to_owned(), format!("{value:?}"))).or_insert(next))
    }
}
