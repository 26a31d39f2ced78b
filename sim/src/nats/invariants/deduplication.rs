//! Within the window a stream stores one message of an id.

use crate::{
    kernel::Invariant,
    nats::{
        Nats, Touch,
        lookup::Lookup,
        protocol::{MsgId, StreamIx},
        stream::Stream,
    },
};
use squall_bus::Time;
use std::{collections::BTreeMap, time::Duration};

/// The latest message of each id: its sequence and time.
type Ids = Lookup<MsgId, (u64, Time)>;

/// The latest message of each id, by stream.
#[derive(Default)]
pub(super) struct Deduplication {
    latest: BTreeMap<(StreamIx, u64), Ids>,
}

fn twice(stream: &Stream, id: MsgId, (first, second): (u64, u64), later: Duration) -> String {
    let window = stream.assignment.config.duplicate_window;
    let stream = stream.assignment.stream.0;
    format!(
        "stream {stream} stores the id {:x} at {first} and, {later:?} later, at {second}: the window is {window:?}",
        id.0
    )
}

fn take(ids: &mut Ids, stream: &Stream, seq: u64) -> Result<(), String> {
    let Some(message) = stream.message(seq) else { return Ok(()) };
    let Some(id) = message.msg_id else { return Ok(()) };
    let window = stream.assignment.config.duplicate_window;
    let (known, at) = ids.get_or_insert(id, (seq, message.timestamp));
    if *known >= seq {
        return Ok(());
    }
    let later = message.timestamp.since(*at);
    if later < window {
        return Err(twice(stream, id, (*known, seq), later));
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

    fn kinds(&self) -> u8 {
        Touch::STORED
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
            let messages = (stream.first_seq()..=stream.last_seq()).filter_map(|seq| stream.message(seq));
            let mut ids: Vec<(MsgId, u64, Time)> = messages
                .filter_map(|message| Some((message.msg_id?, message.seq, message.timestamp)))
                .collect();
            ids.sort_unstable();
            let window = stream.assignment.config.duplicate_window;
            let close =
                |pair: &&[(MsgId, u64, Time)]| pair[0].0 == pair[1].0 && pair[1].2.since(pair[0].2) < window;
            if let Some([(id, first, at), (_, second, again)]) = ids.windows(2).find(close) {
                return Err(twice(stream, *id, (*first, *second), again.since(*at)));
            }
        }
        Ok(())
    }
}
