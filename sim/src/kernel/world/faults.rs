//! What the harness may do to a world's nodes and links: start and end processes, take the power, freeze, cut, hold,
//! delay, lose responses. All but starts and stops, which are events themselves, are noted in the trace.

use super::{Life, World, machines::Queued};
use crate::kernel::{Boot, Ctx, Mark, Model, NodeId, network::Way};
use std::time::Duration;

impl<M: Model> World<M> {
    /// Before a fault strikes: what goes on without events goes on by events.
    pub(super) fn rouse(&mut self) {
        if !self.kernel.nodes.is_empty() {
            self.model.rouse(&mut Ctx::new(&mut self.kernel, NodeId(0)));
        }
    }

    /// Starts a node's process, as an event of this instant (a machine without power gets it back at once). What
    /// strikes the node in this same instant strikes a process: it starts before that.
    pub fn start(&mut self, node: NodeId) {
        if self.power_up(node) {
            self.kernel.push(self.kernel.now, Queued::Start(node));
        }
    }

    /// Starts a node's process now: it takes calls at once, before any other event.
    pub fn start_at_once(&mut self, node: NodeId) {
        self.power_up(node);
        self.boot(node);
    }

    /// Gives a machine its power, and lets its process start; `false` if one runs or is starting already.
    fn power_up(&mut self, node: NodeId) -> bool {
        let owner = &mut self.kernel.nodes[node.index()];
        if !matches!(owner.life, Life::Down | Life::Off) || owner.starting {
            return false;
        }
        owner.starting = true;
        let was_off = std::mem::replace(&mut owner.life, Life::Down) == Life::Off;
        if was_off {
            for other in 0..self.nodes() {
                self.kernel.release_links(NodeId(other), node, false);
            }
        }
        true
    }

    /// Asks a node's process to stop in good order. A frozen process does so when it is resumed.
    pub fn stop(&mut self, node: NodeId) {
        self.boot(node);
        let process = self.kernel.nodes[node.index()].process;
        self.kernel.push(self.kernel.now, Queued::Stop(node, process));
    }

    /// Ends a node's process at once. Its machine closes the connections; its disk keeps the page cache.
    pub fn kill(&mut self, node: NodeId) {
        self.boot(node);
        if matches!(self.life(node), Life::Running | Life::Paused) {
            self.rouse();
            self.note(Some(node), 20, 0, || "killed".to_owned());
            self.kernel.down(node, Boot::Killed);
        }
    }

    /// Takes a node's power. Nobody is told; what was not synced is gone.
    pub fn power_fail(&mut self, node: NodeId) {
        self.boot(node);
        if self.life(node) == Life::Off {
            return;
        }
        self.rouse();
        self.note(Some(node), 21, 0, || "lost power".to_owned());
        let conns = std::mem::take(&mut self.kernel.nodes[node.index()].conns);
        for conn in conns {
            if let Some(end) = self.kernel.network.end_of(conn, node) {
                self.kernel.network.set_open(conn, end, false);
                self.kernel.network.drop_held(conn, end as Way);
            }
        }
        self.kernel.end_process(node, Life::Off, Boot::PowerLost);
        if self.kernel.disk(node).owes() {
            self.kernel.marks.add(Mark::PowerLostUnsynced);
        }
        let choices = self.kernel.choices.clone();
        let owner = &mut self.kernel.nodes[node.index()];
        owner.disk.power_fail(&choices, node.0, owner.power_failures);
        owner.power_failures += 1;
    }

    /// Replaces a node's disk by an empty one; its process must be down.
    pub fn wipe(&mut self, node: NodeId) {
        self.note(Some(node), 22, 0, || "disk replaced".to_owned());
        let owner = &mut self.kernel.nodes[node.index()];
        owner.disk.wipe();
        owner.next_boot = Boot::Fresh;
    }

    /// Freezes a node's process.
    pub fn pause(&mut self, node: NodeId) {
        self.boot(node);
        if self.life(node) == Life::Running {
            self.rouse();
            self.note(Some(node), 23, 0, || "paused".to_owned());
            self.kernel.nodes[node.index()].life = Life::Paused;
        }
    }

    /// Lets a frozen process go on: everything that came in meanwhile reaches it now, in order.
    pub fn resume(&mut self, node: NodeId) {
        if self.life(node) != Life::Paused {
            return;
        }
        self.note(Some(node), 24, 0, || "resumed".to_owned());
        let owner = &mut self.kernel.nodes[node.index()];
        owner.life = Life::Running;
        if !owner.inbox.is_empty() {
            let at = owner.busy_until.max(self.kernel.now);
            self.kernel.push(at, Queued::Unblock(node));
        }
    }

    /// Cuts the link from one node to another; cuts add up.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.rouse();
        self.note(Some(from), 25, u64::from(to.0), || format!("cut from {to}"));
        self.kernel.network.cut(from, to);
    }

    /// Takes one cut back. What waited gets through at its next retransmission.
    pub fn uncut(&mut self, from: NodeId, to: NodeId) {
        self.note(Some(from), 26, u64::from(to.0), || format!("joined to {to}"));
        if self.kernel.network.uncut(from, to) {
            self.kernel.release_links(from, to, false);
        }
    }

    /// Holds what goes from one node to another; holds add up.
    pub fn hold(&mut self, from: NodeId, to: NodeId) {
        self.rouse();
        self.note(Some(from), 27, u64::from(to.0), || format!("held towards {to}"));
        self.kernel.network.hold(from, to);
    }

    /// Takes one hold back. What waited gets through at once.
    pub fn unhold(&mut self, from: NodeId, to: NodeId) {
        self.note(Some(from), 28, u64::from(to.0), || format!("released towards {to}"));
        if self.kernel.network.unhold(from, to) {
            self.kernel.release_links(from, to, true);
        }
    }

    /// Makes a link slower by `more`; delays add up.
    pub fn delay(&mut self, from: NodeId, to: NodeId, more: Duration) {
        self.rouse();
        self.note(Some(from), 29, u64::from(to.0), || format!("delayed towards {to} by {more:?}"));
        self.kernel.network.delay(from, to, more);
    }

    /// Takes one delay back.
    pub fn undelay(&mut self, from: NodeId, to: NodeId, less: Duration) {
        self.note(Some(from), 30, u64::from(to.0), || format!("no longer delayed towards {to}"));
        self.kernel.network.undelay(from, to, less);
    }

    /// Drops the node's next `count` responses that acknowledge a write, and breaks their connections.
    /// Zero ends it.
    pub fn drop_responses(&mut self, node: NodeId, count: u32) {
        self.note(Some(node), 31, u64::from(count), || format!("will lose {count} responses"));
        self.kernel.nodes[node.index()].drop_responses = count;
    }
}
