//! The history's numbers of units, found without their names: a client hands the same name out again and again.

use squall_bus::Unit;
use squall_history::history::{History, UnitId};
use std::ptr;

/// So many are looked through before the history is asked.
const MOST: usize = 32;

/// Units with their numbers.
#[derive(Debug, Default)]
pub(super) struct Units(Vec<(Unit, UnitId)>);

impl Units {
    /// The number of a unit.
    pub(super) fn id(&mut self, history: &mut History, unit: &Unit) -> UnitId {
        let is_it = |(known, _): &&(Unit, UnitId)| {
            known.partition == unit.partition && ptr::eq(known.topic.as_str(), unit.topic.as_str())
        };
        if let Some((_, id)) = self.0.iter().find(is_it) {
            return *id;
        }
        let id = history.unit(unit);
        if self.0.len() < MOST {
            // Kept, so that nothing else comes to stand where its name does.
            self.0.push((unit.clone(), id));
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_historys() {
        let (mut units, mut history) = (Units::default(), History::default());
        let names: Vec<Unit> =
            (0..2 * MOST as u32).map(|number| Unit::new(&"orders".into(), number)).collect();
        for name in names.iter().chain(&names) {
            let again = Unit::new(&"orders".into(), name.partition);
            let id = units.id(&mut history, name);
            assert_eq!((id, id), (history.unit(name), units.id(&mut history, &again)));
        }
        assert_eq!(units.0.len(), MOST);
    }
}
