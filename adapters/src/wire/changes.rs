//! What administrators change while clients work: topics that go, grow or get other settings, records that go.
//!
//! Versions that every Kafka of 3.9 to 4.3 speaks: DeleteTopics 3, CreatePartitions 1, IncrementalAlterConfigs 0,
//! DeleteRecords 1.

use super::{Connection, WireAdmin, WireError, admin::Nodes, codec::Writer};
use crate::wire::codes;
use squall_bus::{Error, ErrorClass, Position, Topic, Unit};
use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

/// A topic among the resources that have settings.
const TOPIC_RESOURCE: i8 = 2;
/// A setting gets a value.
const SET: i8 = 0;
/// Up to the high watermark.
const ALL_RECORDS: i64 = -1;

fn millis(within: Duration) -> i32 {
    i32::try_from(within.as_millis()).unwrap_or(i32::MAX)
}

impl Connection {
    fn delete_topic(&mut self, topic: &str, within: Duration) -> Result<(), WireError> {
        let mut body = Writer::default();
        body.count(1).string(topic).i32(millis(within));
        let codes = self.request((20, 3, false), &body, |reader| {
            reader.i32()?;
            reader.list(|topic| {
                topic.string()?;
                topic.i16()
            })
        })?;
        checked(codes, || format!("the topic {topic} was to be deleted"))
    }

    fn create_partitions(&mut self, topic: &str, count: u32, within: Duration) -> Result<(), WireError> {
        let mut body = Writer::default();
        let partitions = i32::try_from(count).unwrap_or(i32::MAX);
        body.count(1).string(topic).i32(partitions).i32(-1).i32(millis(within)).i8(0);
        let codes = self.request((37, 1, false), &body, |reader| {
            reader.i32()?;
            reader.list(|topic| {
                topic.string()?;
                let code = topic.i16()?;
                topic.string()?;
                Ok(code)
            })
        })?;
        checked(codes, || format!("the topic {topic} was to have {count} partitions"))
    }

    fn alter_topic(&mut self, topic: &str, config: &BTreeMap<String, String>) -> Result<(), WireError> {
        let mut body = Writer::default();
        body.count(1).i8(TOPIC_RESOURCE).string(topic).count(config.len());
        for (name, value) in config {
            body.string(name).i8(SET).string(value);
        }
        body.i8(0);
        let answers = self.request((44, 0, false), &body, |reader| {
            reader.i32()?;
            reader.list(|resource| {
                let (code, message) = (resource.i16()?, resource.string()?);
                resource.i8()?;
                resource.string()?;
                Ok((code, message))
            })
        })?;
        let (code, message) = answers.into_iter().next().ok_or(WireError::Malformed)?;
        WireError::check(code, format!("the settings of the topic {topic} were to change: {message}"))
    }

    /// The new first offset.
    fn delete_records(&mut self, unit: &Unit, upto: i64, within: Duration) -> Result<i64, WireError> {
        let mut body = Writer::default();
        let partition = i32::try_from(unit.partition).unwrap_or(-1);
        body.count(1).string(unit.topic.as_str()).count(1).i32(partition).i64(upto).i32(millis(within));
        let answers = self.request((21, 1, false), &body, |reader| {
            reader.i32()?;
            reader.list(|topic| {
                topic.string()?;
                topic.list(|unit| {
                    unit.i32()?;
                    let low = unit.i64()?;
                    Ok((unit.i16()?, low))
                })
            })
        })?;
        let (code, low) = answers.into_iter().flatten().next().ok_or(WireError::Malformed)?;
        WireError::check(code, format!("records of {unit} were to be deleted")).map(|()| low)
    }
}

fn checked(codes: Vec<i16>, about: impl FnOnce() -> String) -> Result<(), WireError> {
    WireError::check(codes.into_iter().next().ok_or(WireError::Malformed)?, about())
}

impl Nodes {
    /// Asks one node after the other until one answers other than that it cannot now, for as long as an election takes.
    fn change<T>(&self, ask: impl Fn(&mut Connection) -> Result<T, WireError>) -> Result<T, Error> {
        let end = Instant::now() + WireAdmin::ELECTION;
        let mut nodes = self.addresses().iter().copied().cycle();
        loop {
            let Some(node) = nodes.next() else {
                return Err(codes::error(5, "the administrator has no address of a node".to_owned()));
            };
            let tried = Connection::open(node, WireAdmin::PATIENCE).and_then(|mut node| ask(&mut node));
            match tried.map_err(Error::from) {
                Err(error) if error.class == ErrorClass::Retriable && Instant::now() < end => {
                    thread::sleep(Duration::from_millis(100));
                }
                done => return done,
            }
        }
    }

    pub(super) fn delete_topic(&self, topic: &Topic) -> Result<(), Error> {
        self.change(|node| node.delete_topic(topic.as_str(), WireAdmin::PATIENCE))
    }

    pub(super) fn create_partitions(&self, topic: &Topic, count: u32) -> Result<(), Error> {
        if self.describe(topic)?.len() as u64 == u64::from(count) {
            return Ok(());
        }
        self.change(|node| node.create_partitions(topic.as_str(), count, WireAdmin::PATIENCE))
    }

    pub(super) fn alter_topic(&self, topic: &Topic, config: &BTreeMap<String, String>) -> Result<(), Error> {
        self.change(|node| node.alter_topic(topic.as_str(), config))
    }

    pub(super) fn delete_records(&self, unit: &Unit, upto: Option<Position>) -> Result<Position, Error> {
        let upto = upto.map_or(ALL_RECORDS, |upto| i64::try_from(upto.0).unwrap_or(i64::MAX));
        let mut leader = Connection::open(self.leader(unit)?, WireAdmin::PATIENCE)?;
        let start = leader.delete_records(unit, upto, WireAdmin::PATIENCE)?;
        Ok(Position(u64::try_from(start).unwrap_or_default()))
    }
}
