//! Short sequences that chance alone hardly ever makes: a unit changes hands, a poll is part of a transaction, a
//! delivery is settled, a message is sent again. Their parts are as senseless as the rest.

use super::{Small, Step};
use crate::history::{
    Completion, Deliver, DeliverExtra, GroupId, Handling, Invoke, Observation, OpId, ProcessId, Send,
    SendExtra, Settlement, UnitId,
};
use squall_bus::Time;
use std::time::Duration;

impl Small {
    pub(super) fn episode(&mut self, (what, a, b, c): Step) {
        let (one, two) = (usize::from(a) % 3, usize::from(a + 1) % 3);
        let placed = self.placed.clone();
        let known = (!placed.is_empty()).then(|| placed[usize::from(a + b) % placed.len()]);
        let place = known.unwrap_or((self.units[usize::from(b) % 2], u64::from(a % 3), u64::from(c % 4)));
        match what {
            36 => self.take_over(one, two, place, c),
            37 => self.two_owners(one, two, place.0, b, c),
            38 | 39 => self.transacted_poll(one, place, c),
            40 if c % 3 == 2 => self.handled(one, place.2, b, c),
            40 => {
                self.hand_out(one, place, None, None);
                self.commit_at(one, place.0, place.1 + u64::from(c % 3));
            }
            41 | 42 => self.settled(one, two, place, c),
            _ => {
                self.send_again(one, a, b, c);
                self.send_again(two, a, b, c / 2);
            }
        }
    }

    fn end(&mut self, op: OpId, completion: Completion) {
        let now = self.now();
        self.history.complete(now, op, completion);
    }

    /// A client has one poll at a time: the one that is open ends before another begins.
    fn begin_poll(&mut self, process: usize, group: Option<GroupId>, txn: Option<OpId>) -> OpId {
        if let Some(open) = self.poll[process].take() {
            self.others.retain(|other| *other != open);
            self.end(open, Completion::Ok);
        }
        self.begin_op(process, Invoke::Poll { group, txn })
    }

    fn begin_op(&mut self, process: usize, invoke: Invoke) -> OpId {
        let (now, process) = (self.now(), self.process(process));
        self.history.invoke(now, process, invoke)
    }

    fn hand_out(
        &mut self,
        process: usize,
        place: (UnitId, u64, u64),
        poll: Option<OpId>,
        deadline: Option<Time>,
    ) -> u32 {
        let (unit, position, value) = place;
        let (group, extra) = (Some(self.groups[0]), DeliverExtra { deadline, ..DeliverExtra::NONE });
        let deliver = Deliver { group, poll, extra, ..Deliver::new(unit, position, value) };
        let (now, process) = (self.now(), self.process(process));
        self.history.observe(now, process, Observation::Deliver(deliver))
    }

    fn commit_at(&mut self, process: usize, unit: UnitId, position: u64) {
        let commit = Invoke::Commit { group: self.groups[0], positions: vec![(unit, position)], txn: None };
        let op = self.begin_op(process, commit);
        self.end(op, Completion::Ok);
    }

    fn assign(&mut self, process: ProcessId, unit: UnitId, generation: u32) {
        let (now, group) = (self.now(), Some(self.groups[0]));
        let assigned =
            Observation::Assigned { group, units: vec![(unit, None)], generation: Some(generation) };
        self.history.observe(now, process, assigned);
    }

    /// One member commits, another is assigned the unit and handed a record.
    fn take_over(&mut self, one: usize, two: usize, place: (UnitId, u64, u64), c: u8) {
        self.commit_at(one, place.0, u64::from(c % 4));
        let process = self.process(two);
        self.assign(process, place.0, u32::from(c / 8));
        self.hand_out(two, place, None, None);
    }

    fn two_owners(&mut self, one: usize, two: usize, unit: UnitId, b: u8, c: u8) {
        for (member, generation) in [(one, u32::from(b % 2)), (two, u32::from(c % 2))] {
            let process = self.process(member);
            self.assign(process, unit, generation);
        }
    }

    /// A transaction polls, is handed a record, and ends.
    fn transacted_poll(&mut self, process: usize, place: (UnitId, u64, u64), c: u8) {
        let txn = self.begin_op(process, Invoke::Txn { id: None, epoch: None });
        let group = (!c.is_multiple_of(5)).then_some(self.groups[0]);
        let poll = self.begin_poll(process, group, Some(txn));
        self.hand_out(process, place, Some(poll), None);
        self.end(poll, Completion::Ok);
        let aborted = Completion::Fail { error: "E".into() };
        self.end(txn, if c.is_multiple_of(2) { Completion::Ok } else { aborted });
    }

    /// A poll is handed a message and settles it; it may be handed to another one at once.
    fn settled(&mut self, one: usize, two: usize, place: (UnitId, u64, u64), c: u8) {
        let group = Some(self.groups[0]);
        let poll = self.begin_poll(one, group, None);
        let deadline = (c % 3 == 1).then_some(Time(self.time + 4000));
        let delivery = self.hand_out(one, place, Some(poll), deadline);
        self.end(poll, Completion::Ok);
        let how = match c % 6 {
            0 | 1 => Settlement::Ack,
            2 => Settlement::Nak { delay: (c > 12).then_some(Duration::from_nanos(2000)) },
            3 => Settlement::Extend,
            _ => Settlement::Term,
        };
        if c % 4 != 3 {
            let op = self.begin_op(one, Invoke::Settle { delivery, how });
            if c % 4 != 2 {
                self.end(op, Completion::Ok);
            }
        }
        if c > 11 {
            let poll = self.begin_poll(two, group, None);
            self.hand_out(two, place, Some(poll), None);
            self.end(poll, Completion::Ok);
        }
    }

    /// A record is processed, once or twice, and dead-lettered, once or twice.
    fn handled(&mut self, process: usize, value: u64, b: u8, c: u8) {
        let group = Some(self.groups[0]);
        for how in [Handling::Ok, if b < 4 { Handling::Ok } else { Handling::Poison }] {
            let (now, process) = (self.now(), self.process(process));
            self.history.observe(now, process, Observation::Handled { group, value, how });
        }
        for _ in 0..c / 8 {
            let (topic, letter, unit) = (self.history.topic("dead"), self.value, self.dead);
            self.value += 1;
            let send = Send { cause: Some(value), ..Send::new(topic, None, letter) };
            let op = self.begin_op(process, Invoke::Send(send));
            let position = Some(self.next_position(unit));
            self.placed.extend(position.map(|position| (unit, position, letter)));
            self.end(op, Completion::Sent { unit, position, duplicate: false });
        }
    }

    /// A message with an id or a time to live is sent, and answered as new or as a repeat.
    fn send_again(&mut self, process: usize, a: u8, b: u8, c: u8) {
        let (value, unit) = (self.value, self.units[usize::from(b) % 2]);
        self.value += 1;
        let message_id = (c % 4 != 3).then(|| self.history.message_id(&format!("m{}", a % 2)));
        let ttl = (c % 4 == 3).then_some(Duration::from_nanos(if c > 12 { 2000 } else { 40_000 }));
        let extra = SendExtra { message_id, ttl, ..SendExtra::NONE };
        let topic = self.history.topic("t");
        let op = self.begin_op(process, Invoke::Send(Send { extra, ..Send::new(topic, None, value) }));
        let (position, duplicate) = (self.next_position(unit), c % 4 == 1);
        if !duplicate {
            self.placed.push((unit, position, value));
        }
        self.end(op, Completion::Sent { unit, position: Some(position), duplicate });
    }
}
