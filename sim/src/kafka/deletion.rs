//! A topic goes, or is another one of its name: what a broker drops (rule A6).
//!
//! - A replica belongs to the topic of one id. When the metadata has none of that id any more, the replica goes with
//!   its records; whoever waits there hears that the topic is not known (3). A replica of the new topic begins empty.
//! - A process that was away finds what it still has of such topics when it takes part again, and drops it then.
//! - A Fetch that names its topics by id gets UNKNOWN_TOPIC_ID (100) for an id that this broker does not know. The
//!   reader asks for metadata and goes on with the new id, at the position it had in the old topic.
//!
//! INCONSISTENT_TOPIC_ID (103) needs a fetch session that was begun under another id, and sessions are not modelled.
//! Source: KIP-516.

use super::{
    Touch,
    broker::{Broker, Env},
    conns::{Conn, KnownIds},
    error::ErrorCode,
    fetch::Occasion,
    metadata::Image,
    protocol::{FetchRequest, FetchedPartition, PartitionId, TopicIx},
    replica::{Role, Watcher},
};
use std::sync::Arc;

impl Broker {
    /// Drops a replica whose topic is gone or is another one.
    pub(super) fn drop_other_topic(&mut self, id: PartitionId, env: &mut Env<'_, '_>) {
        let Some(replica) = self.replica(id) else { return };
        if env.image.topic(id.topic).is_some_and(|topic| topic.id == replica.topic_id) {
            return;
        }
        let Some(replica) = self.replicas.take(id) else { return };
        self.stop_following(id);
        env.ctx.disk().truncate(replica.file, 0);
        env.ctx.touch(Touch::Replica(self.me, id));
        let (watchers, deletions) = (replica.watchers, replica.deletions);
        if let Role::Leader(leading) = replica.role {
            self.dismiss(id, leading, ErrorCode::UnknownTopicOrPartition, env);
        }
        for conn in deletions {
            self.answer_deletion(conn, false, env);
        }
        for Watcher { conn, .. } in watchers {
            if let Some(known) = self.conns.get_mut(conn) {
                known.watched.clear();
                known.known_ids = None;
            }
            self.answer_fetch(conn, None, Occasion::Asked, env);
        }
    }

    /// Topics that are gone, or others of their name: groups go on in them no more.
    pub(super) fn note_topics(&mut self, changed: &[PartitionId], env: &mut Env<'_, '_>) {
        let mut last = None;
        for topic in changed.iter().map(|id| id.topic) {
            if last.replace(topic) == Some(topic) {
                continue;
            }
            let now = env.image.topic(topic).map(|image| image.id);
            let before = match now {
                Some(id) => self.topic_ids.insert(topic, id),
                None => self.topic_ids.remove(&topic),
            };
            if before.is_some() && before != now {
                self.coordinator.topic_gone(topic, env);
            }
        }
    }
}

/// Whether all topic ids that a Fetch names are known to be right, as its connection named the same last.
#[inline]
pub(super) fn knows_ids(known: &Conn, request: &FetchRequest, image: &Image) -> bool {
    let same = |ids: &Arc<_>| {
        known.known_ids.as_ref().is_some_and(|known| known.end == image.end && Arc::ptr_eq(&known.ids, ids))
    };
    request.topic_ids.as_ref().is_none_or(same)
}

/// The answer to a Fetch that names a topic by an id that is not the topic's here; `None` if all are.
pub(super) fn unknown_ids(
    known: &mut Conn,
    request: &FetchRequest,
    image: &Image,
) -> Option<Vec<FetchedPartition>> {
    if knows_ids(known, request, image) {
        return None;
    }
    let ids = request.topic_ids.as_ref()?;
    if ids.iter().all(|(topic, id)| image.topic(*topic).is_some_and(|image| image.id == *id)) {
        known.known_ids = Some(KnownIds { ids: Arc::clone(ids), end: image.end, watched: false });
        return None;
    }
    let known = |topic: TopicIx| {
        let named = ids.iter().find(|(named, _)| *named == topic).map(|(_, id)| *id);
        named.is_none_or(|id| image.topic(topic).is_some_and(|image| image.id == id))
    };
    let unknown = request.partitions.iter().filter(|at| !known(at.id.topic));
    Some(unknown.map(|at| FetchedPartition::refused(at.id, ErrorCode::UnknownTopicId)).collect())
}
