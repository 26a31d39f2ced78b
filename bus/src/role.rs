//! Roles: what a fault is aimed at, resolved to nodes at the moment it strikes.

use crate::{Topic, Unit};
use std::{fmt, str::FromStr};

/// What a fault is aimed at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The node that leads a unit: `leader(orders/0)`.
    Leader(Unit),
    /// One node that follows a unit's leader: `follower(orders/0)`; the lowest-numbered live one.
    Follower(Unit),
    /// All nodes that follow a unit's leader: `followers(orders/0)`.
    Followers(Unit),
    /// The node that coordinates a group: `coordinator(billing)`; or, where no group is called like that, a
    /// transactional id.
    Coordinator(String),
    /// The node that controls the cluster: `controller`.
    Controller,
    /// The largest set of nodes that is not a majority, drawn by the seed: `minority`.
    Minority,
    /// A client's process: `client(producer-2)`.
    Client(String),
    /// One node by its number, from 1: `node(2)`.
    Node(u32),
    /// Every node: `all`.
    All,
}

impl Role {
    /// The unit that the role speaks of, if any.
    #[must_use]
    pub fn unit(&self) -> Option<&Unit> {
        match self {
            Self::Leader(unit) | Self::Follower(unit) | Self::Followers(unit) => Some(unit),
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader(unit) => write!(f, "leader({unit})"),
            Self::Follower(unit) => write!(f, "follower({unit})"),
            Self::Followers(unit) => write!(f, "followers({unit})"),
            Self::Coordinator(group) => write!(f, "coordinator({group})"),
            Self::Controller => f.write_str("controller"),
            Self::Minority => f.write_str("minority"),
            Self::Client(name) => write!(f, "client({name})"),
            Self::Node(node) => write!(f, "node({node})"),
            Self::All => f.write_str("all"),
        }
    }
}

/// Why a text is not a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleError(String);

impl fmt::Display for RoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RoleError {}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let (name, argument) = match text.split_once('(') {
            None => (text, None),
            Some((name, rest)) => match rest.strip_suffix(')') {
                Some(argument) if !argument.is_empty() => (name, Some(argument)),
                _ => {
                    return Err(RoleError(format!(
                        "the role `{text}` needs `{name}(...)` with something inside"
                    )));
                }
            },
        };
        match (name, argument) {
            ("leader", Some(unit)) => parse_unit(name, unit).map(Self::Leader),
            ("follower", Some(unit)) => parse_unit(name, unit).map(Self::Follower),
            ("followers", Some(unit)) => parse_unit(name, unit).map(Self::Followers),
            ("coordinator", Some(group)) => Ok(Self::Coordinator(group.to_owned())),
            ("controller", None) => Ok(Self::Controller),
            ("minority", None) => Ok(Self::Minority),
            ("all", None) => Ok(Self::All),
            ("client", Some(client)) => Ok(Self::Client(client.to_owned())),
            ("node", Some(node)) => match node.parse() {
                Ok(node) if node > 0 => Ok(Self::Node(node)),
                _ => Err(RoleError(format!("`{node}` is not the number of a node; nodes count from 1"))),
            },
            _ => Err(RoleError(format!(
                "`{text}` is not a role; the roles are leader(topic/partition), follower(topic/partition), \
                 followers(topic/partition), coordinator(group), controller, minority, client(name), node(number), all"
            ))),
        }
    }
}

fn parse_unit(role: &str, text: &str) -> Result<Unit, RoleError> {
    let wrong =
        || RoleError(format!("`{role}({text})` needs a topic and a partition, as in {role}(orders/0)"));
    let (topic, partition) = text.rsplit_once('/').ok_or_else(wrong)?;
    if topic.is_empty() {
        return Err(wrong());
    }
    let partition = partition.parse().map_err(|_| wrong())?;
    Ok(Unit { topic: Topic::new(topic), partition })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_parses() {
        for text in [
            "leader(orders/0)",
            "follower(a.b-c/11)",
            "followers(orders/3)",
            "coordinator(billing)",
            "controller",
            "minority",
            "client(producer-2)",
            "node(3)",
            "all",
        ] {
            assert_eq!(text.parse::<Role>().map(|role| role.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, says) in [
            ("leeder(orders/0)", "is not a role"),
            ("leader", "is not a role"),
            ("leader()", "something inside"),
            ("leader(orders)", "topic and a partition"),
            ("leader(/0)", "topic and a partition"),
            ("leader(orders/-1)", "topic and a partition"),
            ("node(0)", "count from 1"),
            ("controller(1)", "is not a role"),
        ] {
            let error = text.parse::<Role>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
