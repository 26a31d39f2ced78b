//! What a stream has acknowledged is in it, at its sequence, for every later leader.

use crate::{
    kernel::{Invariant, NodeId},
    nats::{
        Nats, Touch,
        protocol::{StoredMessage, StreamIx},
        stream::Stream,
    },
};
use squall_bus::Time;
use std::{collections::BTreeMap, sync::Arc};

/// Every message that was acknowledged, by stream and sequence.
#[derive(Default)]
pub(super) struct AckedMessages {
    acked: BTreeMap<(StreamIx, u64), BTreeMap<u64, Arc<StoredMessage>>>,
}

fn stream(nats: &Nats, node: NodeId, stream: StreamIx) -> Option<&Stream> {
    nats.servers[node.index()].streams.get(&stream)
}

fn has_all(acked: &BTreeMap<u64, Arc<StoredMessage>>, stream: &Stream) -> Result<(), String> {
    for (seq, message) in acked.range(stream.first_seq()..) {
        if stream.message(*seq).is_none_or(|known| known != message) {
            let id = stream.assignment.stream.0;
            return Err(format!(
                "message {seq} of stream {id} was acknowledged and its new leader has another or none"
            ));
        }
    }
    Ok(())
}

fn key(stream: &Stream) -> (StreamIx, u64) {
    (stream.assignment.stream, stream.assignment.incarnation)
}

impl Invariant<Nats> for AckedMessages {
    fn name(&self) -> &'static str {
        "AckedMessages"
    }

    fn source(&self) -> &'static str {
        "docs.nats.io, JetStream clustering: a publish ack means a quorum has stored the message"
    }

    fn kinds(&self) -> u8 {
        Touch::ACKED | Touch::OFFICE
    }

    fn after(&mut self, nats: &Nats, touched: &[Touch], _: Time) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        for touch in touched {
            match *touch {
                Touch::Acked(node, id, seq, duplicate) => {
                    let Some(stream) = stream(nats, node, id) else { continue };
                    let Some(message) = stream.message(seq) else {
                        if seq < stream.first_seq() {
                            continue;
                        }
                        let what = if duplicate { "a duplicate of" } else { "stored as" };
                        return Err(format!(
                            "a publish was acknowledged as {what} message {seq}, which is not there"
                        ));
                    };
                    self.acked.entry(key(stream)).or_default().insert(seq, Arc::clone(message));
                }
                Touch::Office(node, id) => {
                    if let Some(stream) = stream(nats, node, id)
                        && let Some(acked) = self.acked.get(&key(stream))
                    {
                        has_all(acked, stream)?;
                    }
                }
                Touch::Member(..) | Touch::Stored(..) => {}
            }
        }
        Ok(())
    }

    fn full(&self, nats: &Nats) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        let streams = nats.servers.iter().flat_map(|server| server.streams.values());
        for id in streams.map(|stream| &stream.assignment.stream) {
            let term = |node: &NodeId| {
                let group = crate::nats::raft::message::GroupId::Stream(*id);
                nats.servers[node.index()].rafts.get(&group).map_or(0, crate::nats::raft::Raft::term)
            };
            let nodes = (0..nats.servers.len() as u32).map(NodeId);
            let leader = nodes
                .filter(|node| stream(nats, *node, *id).is_some_and(|stream| stream.leads))
                .max_by_key(term);
            if let Some(stream) = leader.and_then(|leader| stream(nats, leader, *id))
                && let Some(acked) = self.acked.get(&key(stream))
            {
                // A leader that was deposed without knowing may lack the latest.
                let behind = acked.keys().next_back().is_some_and(|last| *last > stream.last_seq());
                if !behind {
                    has_all(acked, stream)?;
                }
            }
        }
        Ok(())
    }
}
