//! What administrators ask for over the bus: checked at once, carried out by the active controller.
//!
//! An action waits here until what is committed shows it, so that it survives a controller that fails before; each
//! controller carries it out once. The administrator's own way to the controller is not modelled.

use super::{
    Kafka, NewTopic,
    metadata::{Image, MetadataRecord, TopicId, TopicSettings},
    protocol::{AdminRequest, TopicIx},
};
use crate::kernel::{Ctx, NodeId};

/// An action under way.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// A topic that is to be.
    Create(NewTopic),
    /// The topic of this id is to go.
    Delete(TopicIx, TopicId),
    /// The topic of this id is to have so many partitions.
    Grow(TopicIx, TopicId, u32),
    /// The topic of this id is to have these settings.
    Alter(TopicIx, TopicId, Vec<(String, String)>, Box<TopicSettings>),
}

impl Wanted {
    /// Whether this metadata shows it, or that it can never be.
    pub(super) fn is_done(&self, image: &Image) -> bool {
        let topic = |topic: TopicIx, id: TopicId| image.topic(topic).filter(|image| image.id == id);
        match self {
            Self::Create(wanted) => topic(wanted.topic, wanted.id).is_some(),
            Self::Delete(ix, id) => topic(*ix, *id).is_none(),
            Self::Grow(ix, id, count) => {
                topic(*ix, *id).is_none_or(|image| image.partitions.len() >= *count as usize)
            }
            Self::Alter(ix, id, _, settings) => {
                topic(*ix, *id).is_none_or(|image| *image.settings == **settings)
            }
        }
    }

    /// What the controller is asked; `None` for a topic to create, whose record is made already.
    pub(super) fn request(&self) -> Option<AdminRequest> {
        match self {
            Self::Create(_) => None,
            Self::Delete(topic, _) => Some(AdminRequest::DeleteTopic(*topic)),
            Self::Grow(topic, _, count) => Some(AdminRequest::CreatePartitions(*topic, *count)),
            Self::Alter(topic, _, config, _) => Some(AdminRequest::AlterConfigs(*topic, config.clone())),
        }
    }
}

impl Kafka {
    /// A topic's settings and partitions as they will be when every action under way is done.
    pub(super) fn topic_to_be(&self, topic: TopicIx) -> Option<(TopicId, TopicSettings, u32)> {
        let known = self.truth.topic(topic);
        let mut found =
            known.map(|image| (image.id, (*image.settings).clone(), image.partitions.len() as u32));
        for wanted in &self.wanted {
            match wanted {
                Wanted::Create(new) if new.topic == topic => {
                    found = Some((new.id, (*new.settings).clone(), new.partitions.len() as u32));
                }
                Wanted::Delete(ix, id) if *ix == topic && found.as_ref().is_some_and(|it| it.0 == *id) => {
                    found = None;
                }
                Wanted::Grow(ix, _, count) if *ix == topic => {
                    found = found.map(|(id, settings, before)| (id, settings, before.max(*count)));
                }
                Wanted::Alter(ix, _, _, settings) if *ix == topic => {
                    found = found.map(|(id, _, count)| (id, (**settings).clone(), count));
                }
                _ => {}
            }
        }
        found
    }

    /// Asks for an action. Before the cluster's start it is done.
    pub(super) fn want(&mut self, wanted: Wanted) {
        if let Wanted::Create(topic) = &wanted
            && self.servers.iter().all(super::server::Server::is_new)
        {
            let record: MetadataRecord = topic.record();
            return self.settle(vec![record]);
        }
        self.wanted.push(wanted);
    }

    /// Lets the active controller do what was asked for, in order.
    pub(super) fn do_wanted(&mut self, node: NodeId, ctx: &mut Ctx<'_, Self>) {
        let truth = &self.truth;
        self.wanted.retain(|wanted| !wanted.is_done(truth));
        let server = &mut self.servers[node.index()];
        if !server.voter.is_active() {
            return;
        }
        for wanted in &self.wanted {
            server.carry_out(wanted, ctx, &self.shared);
        }
    }
}
