//! What a producer holds for one partition: records that wait, batches that were sent before and wait to be
//! sent again, and the partition's sequence numbers.
//!
//! - Records gather until the oldest has lingered or a batch is full; then they leave as one batch.
//! - A batch that is sent again is the same batch: the same records, the same sequence numbers. It goes before
//!   everything that waits. Among several, librdkafka keeps the order of the records; Java, when not idempotent,
//!   puts each in front as it fails, so that several come out reversed ([`Resend`]).
//! - While the first of them backs off, nothing leaves the partition.
//! - Sequence numbers count records, per partition and epoch of the producer id, from 0; they wrap at 2^31.

use super::super::protocol::{BATCH_OVERHEAD, Batch, Few, PartitionId, Payload, ProducerStamp};
use super::defaults::Resend;
use crate::model::OpId;
use squall_bus::{Record, Time};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// So many records are rather handed on in the memory where they lie than copied.
const MANY: usize = 32;

/// The largest sequence number.
const SEQUENCES: u32 = i32::MAX as u32;

/// A record that has not been sent.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) op: OpId,
    pub(crate) record: Record,
    pub(crate) bytes: u32,
    pub(crate) created: Time,
    /// Its place among all records of this producer.
    pub(crate) number: u64,
}

/// A batch that was sent at least once, or is about to be.
#[derive(Clone, Debug)]
pub(crate) struct Attempted {
    pub(crate) batch: Arc<Batch>,
    /// Who waits for the outcome; empty once they have it.
    pub(crate) ops: Few<OpId>,
    /// The place of its first record among all records of this producer.
    pub(crate) number: u64,
    /// When its first record was handed over.
    pub(crate) created: Time,
    /// Retries so far, as `retries` counts them.
    pub(crate) retries: u32,
    /// Failures so far, for the back-off.
    pub(crate) failures: u32,
    pub(crate) not_before: Time,
    /// Whether an attempt so far may have been appended.
    pub(crate) perhaps: bool,
}

/// A producer id and its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) pid: u64,
    pub(crate) epoch: u16,
}

/// Sequence numbers of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Sequences {
    /// Under which identity they count.
    pub(crate) identity: Option<Identity>,
    /// The next record's.
    pub(crate) next: u32,
    /// Everything below is acknowledged.
    pub(crate) acked: u32,
    /// Batches are part of transactions.
    pub(crate) transactional: bool,
    /// Nothing more is sent until nothing is in flight: what failed goes first.
    pub(crate) draining: bool,
}

/// When the next batch of a partition may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Never,
    At(Time),
    Now,
}

/// Limits of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) linger: Duration,
    pub(crate) bytes: u32,
    pub(crate) records: u32,
}

/// What is kept of a record that waits, beside the record.
#[derive(Clone, Copy, Debug)]
struct Note {
    op: OpId,
    created: Time,
    number: u64,
    bytes: u32,
}

/// Records that wait, each with its note. They lie together and the notes apart, so that a batch of all of them is
/// made without moving any, and without looking at one.
#[derive(Clone, Debug, Default)]
struct Gathered {
    records: VecDeque<Record>,
    notes: VecDeque<Note>,
    bytes: u32,
    /// Room that is made when the next record comes: as many as left together the last time.
    room: usize,
}

impl Gathered {
    // Where it is called: a record is moved once less.
    #[inline(always)]
    fn push(&mut self, waiting: Waiting) {
        let Waiting { op, record, bytes, created, number } = waiting;
        if self.records.capacity() == 0 {
            self.records.reserve_exact(self.room.max(MANY));
            self.notes.reserve(MANY);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.notes.push_back(Note { op, created, number, bytes });
        self.records.push_back(record);
    }

    /// Takes the first `count` records, which weigh `bytes`, and who waits for them.
    fn take(&mut self, count: usize, bytes: u32) -> (Few<Record>, Few<OpId>) {
        self.bytes = self.bytes.saturating_sub(bytes);
        let mut ops = Few::with_capacity(count);
        while ops.len() < count
            && let Some(note) = self.notes.pop_front()
        {
            ops.push(note.op);
        }
        if self.notes.is_empty() && count >= MANY {
            self.room = count;
            let all = std::mem::take(&mut self.records);
            // A log would keep the room that they do not need.
            if all.capacity() - count <= count / 8 {
                return (Few::from_vec(all.into()), ops);
            }
            let mut records = Few::with_capacity(count);
            records.extend(all);
            return (records, ops);
        }
        let mut records = Few::with_capacity(count);
        while records.len() < count
            && let Some(record) = self.records.pop_front()
        {
            records.push(record);
        }
        (records, ops)
    }
}

/// One partition's share of a producer.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) id: PartitionId,
    waiting: Gathered,
    pub(crate) again: VecDeque<Attempted>,
    pub(crate) in_flight: u32,
    /// Where its last batch went.
    pub(crate) sent_to: Option<u32>,
    pub(crate) sequences: Sequences,
    /// When this partition's timer fires next, if it is armed.
    pub(crate) wake_at: Option<Time>,
    /// Waits for room in its broker's window.
    pub(crate) blocked: bool,
}

impl Queue {
    pub(crate) fn new(id: PartitionId) -> Self {
        Self {
            id,
            waiting: Gathered::default(),
            again: VecDeque::new(),
            in_flight: 0,
            sent_to: None,
            sequences: Sequences::default(),
            wake_at: None,
            blocked: false,
        }
    }

    /// Whether nothing waits, neither records nor batches.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.notes.is_empty() && self.again.is_empty()
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
    }

    /// When the next batch may leave; records numbered below `flush` do not linger.
    pub(crate) fn due(&self, limits: &Limits, flush: u64, now: Time) -> Due {
        let at = match (self.again.front(), self.waiting.notes.front()) {
            (Some(attempted), _) => attempted.not_before,
            (None, None) => return Due::Never,
            (None, Some(first)) => {
                let full =
                    self.waiting.bytes >= limits.bytes || self.waiting.notes.len() >= limits.records as usize;
                if full || first.number < flush { now } else { first.created + limits.linger }
            }
        };
        if at <= now { Due::Now } else { Due::At(at) }
    }

    /// Whether the next batch may leave with another partition's, and how large it may become.
    pub(crate) fn may_join(&self, limits: &Limits, now: Time) -> Option<u32> {
        match (self.again.front(), self.waiting.notes.front()) {
            (Some(attempted), _) if attempted.not_before > now => None,
            (Some(_), _) => Some(limits.bytes),
            (None, first) => first.map(|first| self.waiting.bytes.min(limits.bytes).max(first.bytes)),
        }
    }

    /// Takes the next batch.
    pub(crate) fn take(&mut self, limits: &Limits, timestamp: Time) -> Option<Attempted> {
        if let Some(attempted) = self.again.pop_front() {
            return Some(attempted);
        }
        let first = self.waiting.notes.front()?;
        let (number, created) = (first.number, first.created);
        let (mut count, mut bytes) = (0, 0_u32);
        for next in &self.waiting.notes {
            let more = bytes.saturating_add(next.bytes);
            if count > 0 && (more > limits.bytes || count >= limits.records as usize) {
                break;
            }
            (count, bytes) = (count + 1, more);
        }
        let (records, ops) = self.waiting.take(count, bytes);
        let stamp = self.sequences.identity.map(|identity| self.sequences.stamp(identity, records.len()));
        let bytes = BATCH_OVERHEAD.saturating_add(bytes);
        let payload = Payload::Records(records);
        let batch = Arc::new(Batch { payload, stamp, bytes, timestamp, intact: true });
        Some(Attempted {
            batch,
            ops,
            number,
            created,
            retries: 0,
            failures: 0,
            not_before: Time::ZERO,
            perhaps: false,
        })
    }

    /// Puts a batch back, to be sent again.
    pub(crate) fn put_back(&mut self, attempted: Attempted, resend: Resend) {
        let place = match resend {
            Resend::InFront => 0,
            Resend::InOrder => self.again.partition_point(|other| other.number < attempted.number),
        };
        self.again.insert(place, attempted);
    }

    /// Counts anew under a new identity, from the first batch that is to be sent again.
    pub(crate) fn adopt(&mut self, identity: Identity) {
        let transactional = self.sequences.transactional;
        self.sequences = Sequences { identity: Some(identity), transactional, ..Sequences::default() };
        for attempted in &mut self.again {
            let stamp = self.sequences.stamp(identity, attempted.batch.count() as usize);
            let mut batch = Batch::clone(&attempted.batch);
            batch.stamp = Some(stamp);
            attempted.batch = Arc::new(batch);
        }
    }

    /// Takes out what was never sent and is older than `oldest`: the operations that wait for it.
    pub(crate) fn expire_waiting(&mut self, oldest: Time) -> Vec<OpId> {
        let old = self.waiting.notes.partition_point(|note| note.created <= oldest);
        let bytes =
            self.waiting.notes.range(..old).fold(0_u32, |bytes, note| bytes.saturating_add(note.bytes));
        self.waiting.bytes = self.waiting.bytes.saturating_sub(bytes);
        self.waiting.records.drain(..old);
        self.waiting.notes.drain(..old).map(|note| note.op).collect()
    }

    /// Takes out what is to be sent again and is older than `oldest`.
    pub(crate) fn expire_again(&mut self, oldest: Time) -> Vec<Attempted> {
        let all = std::mem::take(&mut self.again);
        let (expired, kept): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|attempted| attempted.created <= oldest);
        self.again = kept.into();
        expired
    }

    /// When the oldest record that is not in flight was handed over.
    pub(crate) fn oldest(&self) -> Option<Time> {
        let again = self.again.iter().map(|attempted| attempted.created).min();
        let waiting = self.waiting.notes.front().map(|note| note.created);
        again.into_iter().chain(waiting).min()
    }
}

impl Sequences {
    fn stamp(&mut self, identity: Identity, records: usize) -> ProducerStamp {
        let base_seq = self.next;
        self.next = after(self.next, records as u32);
        ProducerStamp {
            pid: identity.pid,
            epoch: identity.epoch,
            base_seq,
            transactional: self.transactional,
        }
    }

    /// The broker has this batch.
    pub(crate) fn acknowledged(&mut self, batch: &Batch) {
        if let Some(stamp) = batch.stamp
            && self.counts(stamp)
        {
            self.acked = after(stamp.base_seq, batch.count());
        }
    }

    /// Whether this stamp belongs to the current identity.
    pub(crate) fn counts(&self, stamp: ProducerStamp) -> bool {
        self.identity == Some(Identity { pid: stamp.pid, epoch: stamp.epoch })
    }
}

fn after(sequence: u32, records: u32) -> u32 {
    ((u64::from(sequence) + u64::from(records)) & u64::from(SEQUENCES)) as u32
}

/// The records of a batch; none in a control batch.
pub(crate) fn records(batch: &Batch) -> &[Record] {
    match &batch.payload {
        Payload::Records(records) => records,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::protocol::TopicIx;
    use super::*;
    use bytes::Bytes;
    use squall_bus::Topic;

    const LIMITS: Limits = Limits { linger: Duration::from_millis(5), bytes: 100, records: 3 };

    fn queue(records: u64) -> Queue {
        let mut queue = Queue::new(PartitionId::new(TopicIx(1), 0));
        for number in 0..records {
            let record = Record::new(&Topic::new("orders"), None, Bytes::from_static(b"0123456789"));
            queue.push(Waiting {
                op: OpId(number),
                record,
                bytes: 22,
                created: Time::from_millis(number),
                number,
            });
        }
        queue
    }

    #[test]
    fn a_batch_leaves_when_it_is_full_or_its_first_record_has_lingered() {
        let now = Time::from_millis(2);
        assert_eq!(queue(0).due(&LIMITS, 0, now), Due::Never);
        assert_eq!(queue(2).due(&LIMITS, 0, now), Due::At(Time::from_millis(5)));
        assert_eq!(queue(2).due(&LIMITS, 0, Time::from_millis(5)), Due::Now);
        assert_eq!(queue(2).due(&LIMITS, 1, now), Due::Now, "flushed");
        assert_eq!(queue(3).due(&LIMITS, 0, now), Due::Now, "full by records");
        assert_eq!(queue(2).due(&Limits { bytes: 44, ..LIMITS }, 0, now), Due::Now, "full by bytes");
        let mut queue = queue(7);
        let sizes: Vec<usize> =
            std::iter::from_fn(|| queue.take(&LIMITS, now)).map(|batch| batch.ops.len()).collect();
        assert_eq!(sizes, [3, 3, 1]);
    }

    #[test]
    fn many_records_leave_in_order_whether_all_leave_or_some() {
        let many = 3 * MANY as u64;
        for most in [many, many - 1, 50, 7, 1] {
            let limits = Limits { bytes: u32::MAX, records: most as u32, ..LIMITS };
            let mut queue = queue(many);
            let (mut ops, mut bytes) = (Vec::new(), 0);
            while let Some(taken) = queue.take(&limits, Time::ZERO) {
                assert_eq!(taken.ops.len(), records(&taken.batch).len());
                assert_eq!(taken.batch.bytes, BATCH_OVERHEAD + 22 * taken.batch.count());
                ops.extend(taken.ops.iter().map(|op| op.0));
                bytes += taken.batch.bytes - BATCH_OVERHEAD;
            }
            assert!(ops.into_iter().eq(0..many));
            assert_eq!((bytes, queue.waiting.bytes, queue.is_empty()), (22 * many as u32, 0, true));
        }
    }

    #[test]
    fn a_batch_that_lingers_may_join_another_and_one_that_backs_off_may_not() {
        let now = Time::from_millis(2);
        assert_eq!(queue(0).may_join(&LIMITS, now), None);
        assert_eq!(queue(2).may_join(&LIMITS, now), Some(44));
        assert_eq!(queue(9).may_join(&LIMITS, now), Some(LIMITS.bytes));
        let mut queue = queue(9);
        let mut attempted = queue.take(&LIMITS, now).expect("a batch");
        attempted.not_before = Time::from_millis(3);
        queue.put_back(attempted, Resend::InOrder);
        assert_eq!(queue.may_join(&LIMITS, now), None, "nor does what stands behind it");
        assert!(queue.may_join(&LIMITS, Time::from_millis(3)).is_some());
    }

    #[test]
    fn what_failed_goes_first_in_order_or_reversed() {
        for (resend, numbers) in [(Resend::InOrder, [0, 3, 6]), (Resend::InFront, [6, 3, 0])] {
            let mut queue = queue(9);
            let batches: Vec<Attempted> = (0..3).filter_map(|_| queue.take(&LIMITS, Time::ZERO)).collect();
            batches.into_iter().for_each(|batch| queue.put_back(batch, resend));
            let again: Vec<u64> =
                std::iter::from_fn(|| queue.take(&LIMITS, Time::ZERO)).map(|batch| batch.number).collect();
            assert_eq!(again, numbers);
        }
    }

    #[test]
    fn a_retry_keeps_its_sequence_numbers_and_a_new_epoch_counts_anew() {
        let first = Identity { pid: 7, epoch: 0 };
        let mut queue = queue(9);
        queue.adopt(first);
        let stamps = |queue: &mut Queue| -> Vec<(u16, u32)> {
            let batches: Vec<Attempted> = std::iter::from_fn(|| queue.take(&LIMITS, Time::ZERO)).collect();
            let stamps = batches.iter().filter_map(|batch| batch.batch.stamp);
            let stamps = stamps.map(|stamp| (stamp.epoch, stamp.base_seq)).collect();
            batches.into_iter().skip(1).for_each(|batch| queue.put_back(batch, Resend::InOrder));
            stamps
        };
        assert_eq!(stamps(&mut queue), [(0, 0), (0, 3), (0, 6)]);
        assert_eq!(stamps(&mut queue), [(0, 3), (0, 6)]);
        queue.adopt(Identity { pid: 7, epoch: 1 });
        assert_eq!(stamps(&mut queue), [(1, 0)]);
    }

    #[test]
    fn sequence_numbers_wrap() {
        assert_eq!(after(i32::MAX as u32 - 1, 3), 1);
    }
}
