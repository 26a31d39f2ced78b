//! What clients do besides sending, reading and committing: transactions, polls, groups, other units.

use super::Tale;
use crate::history::{Completion, Deliver, GroupId, Invoke, Observation, OpId, ProcessId, SendExtra, UnitId};
use squall_bus::{Topic, Unit};

impl Tale {
    /// What is sent and read from here on is in this partition of `orders`.
    pub(crate) fn partition(&mut self, partition: u32) -> &mut Self {
        self.unit("orders", partition)
    }

    /// What is sent and read from here on is in this unit.
    pub(crate) fn unit(&mut self, topic: &str, partition: u32) -> &mut Self {
        self.orders = self.history.unit(&Unit::new(&Topic::new(topic), partition));
        self
    }

    /// The number of a group.
    pub(crate) fn group(&mut self, name: &str) -> GroupId {
        self.history.group(name)
    }

    /// Who sends, from here on.
    pub(crate) fn producer(&mut self, producer: &str) -> &mut Self {
        self.producer = producer.into();
        self
    }

    /// Who sends and reads, from here on: a client that does both.
    pub(crate) fn client(&mut self, client: &str) -> &mut Self {
        self.producer(client).by(client)
    }

    /// The next send carries more.
    pub(crate) fn with(&mut self, change: impl FnOnce(&mut SendExtra)) -> &mut Self {
        change(&mut self.send_extra);
        self
    }

    /// The next send is made because of this record.
    pub(crate) fn because_of(&mut self, cause: u64) -> &mut Self {
        self.cause = Some(cause);
        self
    }

    fn operation(&mut self, process: &str, invoke: Invoke) -> OpId {
        let process = self.history.process(process);
        let now = self.tick();
        self.history.invoke(now, process, invoke)
    }

    fn ends_as(&mut self, op: Option<OpId>, completion: Completion) -> &mut Self {
        let now = self.tick();
        self.history.complete(now, op.expect("an operation is open"), completion);
        self
    }

    /// The producer makes a transactional id its own.
    pub(crate) fn init(&mut self, id: &str, epoch: u32) -> &mut Self {
        let id = self.history.transactional_id(id);
        let producer = self.producer.clone();
        let op = self.operation(&producer, Invoke::Init { id });
        self.ends_as(Some(op), Completion::Epoch(epoch))
    }

    /// The producer begins a transaction.
    pub(crate) fn begin(&mut self) -> &mut Self {
        let producer = self.producer.clone();
        self.txn = Some(self.operation(&producer, Invoke::Txn { id: None, epoch: None }));
        self
    }

    /// The same, of a transactional id in an epoch.
    pub(crate) fn begin_as(&mut self, id: &str, epoch: u32) -> &mut Self {
        let (id, epoch) = (Some(self.history.transactional_id(id)), Some(epoch));
        let producer = self.producer.clone();
        self.txn = Some(self.operation(&producer, Invoke::Txn { id, epoch }));
        self
    }

    /// Puts the open transaction aside, to go on with another; `resume` takes it up again.
    pub(crate) fn suspend(&mut self) -> Option<OpId> {
        self.txn.take()
    }

    pub(crate) fn resume(&mut self, txn: Option<OpId>) -> &mut Self {
        self.txn = txn;
        self
    }

    pub(crate) fn commit_txn(&mut self) -> &mut Self {
        let txn = self.txn.take();
        self.ends_as(txn, Completion::Ok)
    }

    pub(crate) fn abort_txn(&mut self) -> &mut Self {
        let txn = self.txn.take();
        self.ends_as(txn, Completion::Fail { error: "aborted".into() })
    }

    /// Nobody knows whether the transaction is committed.
    pub(crate) fn lose_txn(&mut self) -> &mut Self {
        let txn = self.txn.take();
        self.ends_as(txn, Completion::Unknown { error: "_TIMED_OUT".into(), place: None })
    }

    /// The consumer asks for records; what it reads until the poll ends answers it.
    pub(crate) fn poll(&mut self) -> &mut Self {
        let (group, txn) = (Some(self.history.group("group")), self.txn);
        let consumer = self.consumer.clone();
        self.poll = Some(self.operation(&consumer, Invoke::Poll { group, txn }));
        self
    }

    pub(crate) fn polled(&mut self) -> &mut Self {
        let poll = self.poll.take();
        self.ends_as(poll, Completion::Ok)
    }

    pub(crate) fn poll_failed(&mut self) -> &mut Self {
        let poll = self.poll.take();
        self.ends_as(poll, Completion::Fail { error: "_FATAL".into() })
    }

    /// A successful poll that is handed these (value, position).
    pub(crate) fn polls(&mut self, records: &[(u64, u64)]) -> &mut Self {
        self.poll();
        for (value, position) in records {
            self.read(*value, *position);
        }
        self.polled()
    }

    /// A delivery as the test wants it, from a plain one.
    pub(crate) fn reads_so(
        &mut self,
        value: u64,
        position: u64,
        change: impl FnOnce(&mut Deliver),
    ) -> &mut Self {
        let process = self.history.process(&self.consumer);
        let mut deliver = Deliver::new(self.orders, position, value);
        deliver.group = Some(self.history.group("group"));
        deliver.poll = self.poll;
        change(&mut deliver);
        self.deliveries.insert(value, self.history.len() as u32);
        self.observe(process, Observation::Deliver(deliver))
    }

    /// The consumer chose these partitions of `orders` itself, with the places where it starts.
    pub(crate) fn assigns(&mut self, partitions: &[(u32, Option<u64>)]) -> &mut Self {
        let process = self.history.process(&self.consumer);
        let units = partitions.iter().map(|(partition, at)| (self.orders_unit(*partition), *at)).collect();
        self.observe(process, Observation::Assigned { group: None, units, generation: None })
    }

    /// The group gives the consumer these partitions of `orders`, in a generation.
    pub(crate) fn owns(&mut self, partitions: &[u32], generation: u32) -> &mut Self {
        let (group, process) = (Some(self.history.group("group")), self.history.process(&self.consumer));
        let units = partitions.iter().map(|partition| (self.orders_unit(*partition), None)).collect();
        self.observe(process, Observation::Assigned { group, units, generation: Some(generation) })
    }

    fn orders_unit(&mut self, partition: u32) -> UnitId {
        self.history.unit(&Unit::new(&Topic::new("orders"), partition))
    }

    fn client_note(&mut self, note: Observation) -> &mut Self {
        let process = self.history.process(&self.consumer);
        self.observe(process, note)
    }

    /// The consumer hands the unit back.
    pub(crate) fn revoked(&mut self) -> &mut Self {
        self.client_note(Observation::Revoked(vec![self.orders]))
    }

    /// The consumer learns that the unit is not its own any more.
    pub(crate) fn lost(&mut self) -> &mut Self {
        self.client_note(Observation::Lost(vec![self.orders]))
    }

    /// The consumer's process dies.
    pub(crate) fn crashed(&mut self) -> &mut Self {
        self.client_note(Observation::Crashed)
    }

    /// The consumer's program moves it.
    pub(crate) fn seeks(&mut self, to: u64) -> &mut Self {
        self.client_note(Observation::Sought { unit: self.orders, to })
    }

    /// The consumer's position was impossible and was reset.
    pub(crate) fn reset(&mut self, from: Option<u64>, to: u64) -> &mut Self {
        let error = Some("OFFSET_OUT_OF_RANGE".to_owned());
        self.client_note(Observation::Reset { unit: self.orders, from, to, error })
    }

    /// The consumer wants `orders`, as its group shares it out.
    pub(crate) fn subscribed(&mut self) -> &mut Self {
        let (group, topics) = (Some(self.history.group("group")), vec![self.history.topic("orders")]);
        self.client_note(Observation::Subscribed { group, topics })
    }

    /// The consumer wants another topic, as its group shares it out.
    pub(crate) fn subscribed_to(&mut self, topic: &str) -> &mut Self {
        let (group, topics) = (Some(self.history.group("group")), vec![self.history.topic(topic)]);
        self.client_note(Observation::Subscribed { group, topics })
    }

    /// A delivery to a reader that is in no group.
    pub(crate) fn reader_without_group(&mut self, value: u64, position: u64) -> &mut Self {
        self.reads_so(value, position, |deliver| deliver.group = None)
    }

    /// The group has a new generation with these members.
    pub(crate) fn rebalanced(&mut self, generation: u32, members: &[&str]) -> &mut Self {
        let group = self.history.group("group");
        let members = members.iter().map(|member| self.history.process(member)).collect();
        self.observe(ProcessId::HARNESS, Observation::Rebalanced { group, generation, members })
    }
}
