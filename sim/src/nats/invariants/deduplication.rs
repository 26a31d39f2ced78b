//! Within the window a stream stores one message of an id.

use crate::{
    kernel::Invariant,
    nats::{
        Nats, Touch,
        protocol::{MsgId, StreamIx},
        stream::Stream,
    },
};
use squall_bus::Time;
use std::collections::BTreeMap;

/// The latest message of each id: its sequence and time.
type Ids = BTreeMap<MsgId, (u64, Time)>;

/// The latest message of each id, by stream.
#[derive(Default)]
pub(super) struct Deduplication {
    latest: BTreeMap<(StreamIx, u64), Ids>,
}

fn take(ids: &mut Ids, stream: &Stream, seq: u64) -> Result<(), String> {
    let Some(message) = stream.message(seq) else { return Ok(()) };
    let Some(id) = message.msg_id else { return Ok(()) };
    let window = stream.assignment.config.duplicate_window;
    let (known, at) = ids.entry(id).or_insert((seq, message.timestamp));
    if *known >= seq {
        return Ok(());
    }
    let later = message.timestamp.since(*at);
    if later < window {
        return Err(format!(
            "stream {} stores the id {:x} at {known} and, {later:?} later, at {seq}: the window is {window:?}",
            stream.assignment.stream.0, id.0,
        ));
    }
    (*known, *at) = (seq, message.timestamp);
    Ok(())
}

impl Invariant<Nats> for Deduplication {
    fn name(&self) -> &'static str {
        "Deduplication"
    }

    fn source(&self) -> &'static str {
        "docs.nats.io, message deduplication: Nats-Msg-Id within duplicate_window"
    }

    fn after(&mut self, nats: &Nats, touched: &[Touch], _: Time) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        for touch in touched {
            let Touch::Stored(node, id, seq) = *touch else { continue };
            if let Some(stream) = nats.servers[node.index()].streams.get(&id) {
                take(self.latest.entry((id, stream.assignment.incarnation)).or_default(), stream, seq)?;
            }
        }
        Ok(())
    }

    fn full(&self, nats: &Nats) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        for stream in nats.servers.iter().flat_map(|server| server.streams.values()) {
            let mut ids = Ids::new();
            for seq in stream.first_seq()..=stream.last_seq() {
                take(&mut ids, stream, seq)?;
            }
        }
        Ok(())
    }
}
