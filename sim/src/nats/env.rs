//! What a part of a server needs while it handles an event.

use super::{
    Names, Nats, Rules,
    protocol::{Advisory, Audience, Msg, Reply, ReplyTo, RouteMsg, Subject},
    routes::Routes,
};
use crate::kernel::{Ctx, FileId, NodeId, Site};

const QUEUE: Site = Site::new("nats.advisory.queue-server");

/// A server's surroundings during one event.
pub struct Env<'a, 'c> {
    /// The server.
    pub me: NodeId,
    /// The rules.
    pub rules: &'a Rules,
    /// Names of streams and groups.
    pub names: &'a Names,
    /// The routes to the other servers.
    pub(super) routes: &'a mut Routes,
    /// Files of members that changed: to be looked at before the event is over.
    pub dirty: &'a mut Vec<FileId>,
    /// Files of leaders that proposed something: to be sent when the event is over.
    pub unsent: &'a mut Vec<FileId>,
    /// Advisories for this server's own clients.
    pub advisories: &'a mut Vec<(Advisory, Audience)>,
    /// The node.
    pub ctx: &'a mut Ctx<'c, Nats>,
}

impl Env<'_, '_> {
    /// Sends a reply to a client, here or at another server.
    pub fn reply(&mut self, to: ReplyTo, reply: Reply) {
        if to.server == self.me {
            self.ctx.send(to.conn, Msg::Server(reply.to_client(to.inbox)));
        } else {
            self.routes.send(to.server, RouteMsg::Reply(to, reply), self.rules, self.ctx);
        }
    }

    /// Sends a reply if one is wanted.
    pub fn reply_if(&mut self, to: Option<ReplyTo>, reply: Reply) {
        if let Some(to) = to {
            self.reply(to, reply);
        }
    }

    /// Listens to a subject, or no longer.
    pub fn listen(&mut self, subject: Subject, listens: bool) {
        self.routes.listen(subject, listens, self.rules, self.ctx);
    }

    /// Announces to whoever listens, at every server; and, of those that share it in a queue, to one: here if
    /// somebody is here, else at one of the servers that said so. At most once: nobody keeps it for who is not there.
    pub fn announce(&mut self, advisory: Advisory) {
        self.advisories.push((advisory, Audience::All));
        self.routes.broadcast(&RouteMsg::Advisory(advisory, Audience::All), self.rules, self.ctx);
        let Some((subject, seq)) = advisory.queue() else { return };
        let servers: Vec<NodeId> = self.routes.listeners(subject).collect();
        let place = match servers.iter().position(|server| *server == self.me) {
            Some(_) => return self.advisories.push((advisory, Audience::Queue)),
            None if servers.is_empty() => return,
            None => self.ctx.choices().below(QUEUE, advisory.consumer().word(), seq, servers.len() as u64),
        };
        let message = RouteMsg::Advisory(advisory, Audience::Queue);
        self.routes.send(servers[place as usize], message, self.rules, self.ctx);
    }
}
