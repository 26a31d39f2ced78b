//! Who coordinates a name: a group, or a transactional id where no group is called like that.
//!
//! - The coordinator of either is the leader of a partition of an internal topic, the one that the name hashes to; the
//!   two topics differ, and so do the nodes.
//! - A name is a transactional id when the node that would coordinate the group answers and has no such group, and the
//!   cluster has a log of transactions. Without that log nobody has a transactional id, and brokers that are asked for
//!   the coordinator of one would make it. A node that does not answer may well have the group.

use super::{
    Connection, WireAdmin, WireError,
    admin::{Nodes, newest},
    codec::Writer,
};
use squall_bus::Error;
use std::{collections::BTreeMap, net::SocketAddr};

/// The log of transactions.
const TRANSACTIONS: &str = "__transaction_state";

/// What a name is the name of, as the protocol numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyType {
    Group = 0,
    Transaction = 1,
}

impl Connection {
    /// The broker that coordinates a group: number, host, port.
    pub fn find_coordinator(&mut self, group: &str) -> Result<(i32, String, i32), WireError> {
        self.find_coordinator_of(KeyType::Group, group)
    }

    fn find_coordinator_of(
        &mut self,
        key_type: KeyType,
        name: &str,
    ) -> Result<(i32, String, i32), WireError> {
        let mut body = Writer::default();
        body.string(name).i8(key_type as i8);
        self.request((10, 2, false), &body, |reader| {
            reader.i32()?;
            let code = reader.i16()?;
            WireError::check(code, reader.string()?)?;
            Ok((reader.i32()?, reader.string()?, reader.i32()?))
        })
    }

    /// The groups that this node coordinates.
    fn list_groups(&mut self) -> Result<Vec<String>, WireError> {
        self.request((16, 2, false), &Writer::default(), |reader| {
            reader.i32()?;
            WireError::check(reader.i16()?, "the groups of a node were asked for")?;
            reader.list(|group| {
                let name = group.string()?;
                group.string()?;
                Ok(name)
            })
        })
    }
}

impl Nodes {
    /// The node that coordinates the group of this name, or else the transactional id.
    pub(super) fn coordinator(&self, name: &str) -> Result<Option<u32>, Error> {
        let group = self.group_coordinator(name)?;
        let found = match group {
            Some((_, node)) if self.is_transactional(name, node)? => {
                self.coordinator_of(KeyType::Transaction, name)?
            }
            _ => group,
        };
        Ok(found.map(|(node, _)| node))
    }

    /// The node that coordinates this group.
    pub(super) fn group_coordinator(&self, group: &str) -> Result<Option<(u32, SocketAddr)>, Error> {
        self.coordinator_of(KeyType::Group, group)
    }

    fn is_transactional(&self, name: &str, group_coordinator: SocketAddr) -> Result<bool, Error> {
        let listed =
            Connection::open(group_coordinator, WireAdmin::LOOK).and_then(|mut node| node.list_groups());
        let is_a_group = listed.map_or(true, |groups| groups.iter().any(|group| group == name));
        Ok(!is_a_group && !newest(&self.metadata(TRANSACTIONS)?).is_empty())
    }

    fn coordinator_of(&self, key_type: KeyType, name: &str) -> Result<Option<(u32, SocketAddr)>, Error> {
        let answers = self.ask_all(|node| match node.find_coordinator_of(key_type, name) {
            // 14, 15: being elected, or its internal topic is just being made.
            Err(WireError::Broker { code: 14 | 15, .. }) => Ok(None),
            other => other.map(Some),
        })?;
        let mut votes: BTreeMap<(i32, String, i32), usize> = BTreeMap::new();
        for answer in answers.into_iter().flatten() {
            *votes.entry(answer).or_default() += 1;
        }
        let Some(((number, host, port), _)) = votes.into_iter().max_by_key(|(_, votes)| *votes) else {
            return Ok(None);
        };
        let Ok(number) = u32::try_from(number) else { return Ok(None) };
        Ok(Some((number, self.address(number, &host, port)?)))
    }
}
