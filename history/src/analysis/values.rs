//! From a value to the send that wrote it. Most values of a run are dense, and those are a plain table; wild ones
//! (dead letters, histories from elsewhere) are a sorted list beside it.

use crate::history::SendRow;

/// No send.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Writers {
    dense: Vec<u32>,
    wild: Vec<(u64, u32)>,
}

impl Writers {
    /// Builds the table, and names two sends of one value if there are any.
    pub(crate) fn new(sends: &[SendRow]) -> (Self, Option<(u32, u32)>) {
        let limit = 8 * sends.len() as u64 + 1024;
        let tame = |send: &&SendRow| send.value < limit;
        let highest = sends.iter().filter(tame).map(|send| send.value).max();
        let mut dense = vec![NONE; highest.map_or(0, |highest| highest as usize + 1)];
        let mut wild = Vec::new();
        let mut clash = None;
        for (send, row) in sends.iter().zip(0u32..) {
            if !tame(&send) {
                wild.push((send.value, row));
                continue;
            }
            let slot = &mut dense[send.value as usize];
            if *slot == NONE {
                *slot = row;
            } else {
                clash = clash.or(Some((*slot, row)));
            }
        }
        wild.sort_unstable();
        let twice = wild.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| (pair[0].1, pair[1].1));
        (Self { dense, wild }, clash.or(twice))
    }

    /// The row of the send that wrote `value`.
    pub(crate) fn of(&self, value: u64) -> Option<u32> {
        if let Some(row) = usize::try_from(value).ok().and_then(|value| self.dense.get(value)) {
            return (*row != NONE).then_some(*row);
        }
        let place = self.wild.partition_point(|(other, _)| *other < value);
        self.wild.get(place).filter(|(other, _)| *other == value).map(|(_, row)| *row)
    }
}

#[cfg(test)]
mod tests {
    use crate::history::{History, Invoke, Send};
    use squall_bus::Time;

    fn writers_of(values: &[u64]) -> (super::Writers, Option<(u32, u32)>) {
        let mut history = History::default();
        let (process, topic) = (history.process("p"), history.topic("t"));
        for value in values {
            history.invoke(Time(0), process, Invoke::Send(Send::new(topic, None, *value)));
        }
        super::Writers::new(history.sends())
    }

    #[test]
    fn finds_the_writer_of_dense_and_of_wild_values() {
        for values in [[3, 1, 2], [u64::MAX - 1, 5, 1 << 40]] {
            let (writers, clash) = writers_of(&values);
            assert_eq!(clash, None);
            assert_eq!(values.map(|value| writers.of(value)), [Some(0), Some(1), Some(2)]);
            assert_eq!([writers.of(7), writers.of(u64::MAX)], [None, None]);
        }
    }

    #[test]
    fn names_two_sends_of_one_value() {
        assert_eq!(writers_of(&[4, 9, 4]).1, Some((0, 2)));
        assert_eq!(writers_of(&[1 << 50, 9, 1 << 50]).1, Some((0, 2)));
    }
}
