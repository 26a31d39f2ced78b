//! The requests: what is asked, and the part of the answer that is used.

use super::{
    Connection, WireError,
    codec::{Reader, Writer},
};
use squall_bus::TopicSpec;
use std::time::Duration;

/// What a node knows of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The live brokers: number, host, port.
    pub brokers: Vec<(i32, String, i32)>,
    /// The topics that were asked for.
    pub topics: Vec<MetadataTopic>,
}

/// A topic, as a node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataTopic {
    /// Kafka's error code; 0 is none.
    pub error: i16,
    /// Its name.
    pub name: String,
    /// The brokers keep it for themselves.
    pub internal: bool,
    /// Its partitions, in the order of the answer.
    pub units: Vec<MetadataUnit>,
}

/// A partition, as a node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataUnit {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it; -1 if none does.
    pub leader: i32,
    /// How many leaders there were before.
    pub leader_epoch: i32,
    /// The brokers that hold a copy.
    pub replicas: Vec<i32>,
    /// Those in sync.
    pub insync: Vec<i32>,
}

/// Who leads the metadata quorum: the active controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quorum {
    /// How many leaders there were before.
    pub epoch: i32,
    /// The leader's number; -1 if there is none.
    pub leader: i32,
}

impl Connection {
    /// The live brokers, and these topics.
    pub fn metadata(&mut self, topics: &[&str]) -> Result<Metadata, WireError> {
        let mut body = Writer::default();
        body.count(topics.len());
        for topic in topics {
            body.string(topic);
        }
        self.ask_metadata(&body)
    }

    /// The live brokers, and all topics.
    pub fn metadata_of_all(&mut self) -> Result<Metadata, WireError> {
        self.ask_metadata(Writer::default().i32(-1))
    }

    fn ask_metadata(&mut self, topics: &Writer) -> Result<Metadata, WireError> {
        let mut body = Writer(topics.0.clone());
        body.i8(0);
        self.request((3, 7, false), &body, |reader| {
            reader.i32()?;
            let brokers = reader.list(|broker| {
                let found = (broker.i32()?, broker.string()?, broker.i32()?);
                broker.string()?;
                Ok(found)
            })?;
            reader.string()?;
            reader.i32()?;
            Ok(Metadata { brokers, topics: reader.list(topic)? })
        })
    }

    /// The active controller.
    pub fn describe_quorum(&mut self) -> Result<Quorum, WireError> {
        let mut body = Writer::default();
        body.varint(2).compact_string("__cluster_metadata").varint(2).i32(0).varint(0).varint(0).varint(0);
        self.request((55, 0, true), &body, |reader| {
            WireError::check(reader.i16()?, "no controller is known")?;
            if reader.varint()? < 2 {
                return Err(WireError::Malformed);
            }
            reader.compact_string()?;
            if reader.varint()? < 2 {
                return Err(WireError::Malformed);
            }
            reader.i32()?;
            WireError::check(reader.i16()?, "no controller is known")?;
            let leader = reader.i32()?;
            Ok(Quorum { leader, epoch: reader.i32()? })
        })
    }

    /// Creates topics: for each its name, Kafka's error code (0 is none) and what the broker says about it.
    pub fn create_topics(
        &mut self,
        topics: &[TopicSpec],
        within: Duration,
    ) -> Result<Vec<(String, i16, String)>, WireError> {
        let mut body = Writer::default();
        body.count(topics.len());
        for spec in topics {
            body.string(spec.topic.as_str())
                .i32(int(spec.partitions))
                .i16(int(spec.replicas) as i16)
                .count(0);
            let min_insync = ("min.insync.replicas".to_owned(), spec.min_insync.to_string());
            let settings: Vec<_> = spec.config.clone().into_iter().chain([min_insync]).collect();
            body.count(settings.len());
            for (name, value) in settings {
                body.string(&name).string(&value);
            }
        }
        body.i32(i32::try_from(within.as_millis()).unwrap_or(i32::MAX)).i8(0);
        self.request((19, 4, false), &body, |reader| {
            reader.i32()?;
            reader.list(|topic| Ok((topic.string()?, topic.i16()?, topic.string()?)))
        })
    }

    /// The first offset (`timestamp` -2) or the one behind the last readable record (-1), asked of the leader.
    pub fn list_offset(&mut self, topic: &str, partition: u32, timestamp: i64) -> Result<i64, WireError> {
        let mut body = Writer::default();
        body.i32(-1).i8(0).count(1).string(topic).count(1);
        body.i32(int(partition)).i32(-1).i64(timestamp);
        let found = self.request((2, 5, false), &body, |reader| {
            reader.i32()?;
            reader.list(|topic| {
                topic.string()?;
                topic.list(|unit| {
                    unit.i32()?;
                    let code = unit.i16()?;
                    unit.i64()?;
                    let offset = unit.i64()?;
                    unit.i32()?;
                    Ok((code, offset))
                })
            })
        })?;
        let (code, offset) = found.into_iter().flatten().next().ok_or(WireError::Malformed)?;
        WireError::check(code, format!("the offsets of {topic}/{partition} were asked for")).map(|()| offset)
    }

    /// Where a group goes on in a partition; -1 if it never committed there. Asked of the coordinator. While
    /// a transaction holds positions of the group there the answer is UNSTABLE_OFFSET_COMMIT.
    pub fn offset_fetch(&mut self, group: &str, topic: &str, partition: u32) -> Result<i64, WireError> {
        let mut body = Writer::default();
        body.compact_string(group).varint(2).compact_string(topic);
        body.varint(2).i32(int(partition)).varint(0).i8(1).varint(0);
        let about = format!("the offset of {group} in {topic}/{partition} was asked for");
        let (found, code) = self.request((9, 7, true), &body, |reader| {
            reader.i32()?;
            let found = reader.compact_list(|topic| {
                topic.compact_string()?;
                let units = topic.compact_list(|unit| {
                    unit.i32()?;
                    let offset = unit.i64()?;
                    unit.i32()?;
                    unit.compact_string()?;
                    let code = unit.i16()?;
                    unit.varint()?;
                    Ok((code, offset))
                })?;
                topic.varint()?;
                Ok(units)
            })?;
            Ok((found, reader.i16()?))
        })?;
        WireError::check(code, about.as_str())?;
        let (code, offset) = found.into_iter().flatten().next().ok_or(WireError::Malformed)?;
        WireError::check(code, about).map(|()| offset)
    }
}

fn topic(reader: &mut Reader<'_>) -> Result<MetadataTopic, WireError> {
    let error = reader.i16()?;
    let name = reader.string()?;
    let internal = reader.i8()? != 0;
    let units = reader.list(|unit| {
        unit.i16()?;
        let (partition, leader, leader_epoch) = (unit.i32()?, unit.i32()?, unit.i32()?);
        let (replicas, insync) = (unit.list(Reader::i32)?, unit.list(Reader::i32)?);
        unit.list(Reader::i32)?;
        Ok(MetadataUnit { partition, leader, leader_epoch, replicas, insync })
    })?;
    Ok(MetadataTopic { error, name, internal, units })
}

/// Kafka counts in signed numbers; what does not fit is refused by the broker.
fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(-1)
}
