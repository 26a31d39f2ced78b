//! All links of a cluster, with a proxy on each, and the faults on them.
//!
//! The proxies have threads of their own, so nothing that a test does on its executor slows them down. A
//! fault is in force when the call that strikes it returns: from then on no proxy begins to move a byte
//! against it (a piece that a socket took before is on its way).

use crate::{
    error::ChaosError,
    protocol::Protocol,
    proxy::Proxy,
    rules::{Aim, FaultId, LinkFault, Rule},
};
use squall_adapters::providers::link::Link;
use std::{
    fmt,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::runtime::{Builder, Runtime};

/// How connections that waited go on when a fault is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heal {
    /// They go on where they stopped.
    Resume,
    /// They break.
    Reset,
}

/// The links of a cluster.
pub struct Links {
    proxies: Vec<(Link, Proxy)>,
    next: AtomicU64,
    runtime: Option<Runtime>,
}

impl Links {
    /// Puts a proxy on each link. They listen when this returns.
    pub fn bind(links: &[Link], protocol: &Arc<dyn Protocol>) -> Result<Self, ChaosError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("squall-links")
            .enable_all()
            .build()
            .map_err(|source| ChaosError::Runtime { source })?;
        let mut proxies = Vec::new();
        for link in links {
            let Link { listen, forward, .. } = *link;
            if !(listen.ip().is_loopback() && forward.ip().is_loopback()) {
                return Err(ChaosError::NotLoopback { listen, forward });
            }
            let bound = TcpListener::bind(listen)
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
            let _inside = runtime.enter();
            let listener = bound.and_then(tokio::net::TcpListener::from_std);
            let listener = listener.map_err(|source| ChaosError::Bind { listen, source })?;
            let proxy = Proxy::new(forward, Arc::clone(protocol));
            runtime.spawn(proxy.serve(listener));
            proxies.push((*link, proxy));
        }
        Ok(Self { proxies, next: AtomicU64::new(0), runtime: Some(runtime) })
    }

    /// A name for a fault that is about to strike.
    #[must_use]
    pub fn new_fault(&self) -> FaultId {
        FaultId(self.next.fetch_add(1, Ordering::SeqCst))
    }

    /// Breaks the links that are selected, for the connections aimed at. One fault may be several such calls.
    /// Returns how many links it hit.
    pub fn strike(&self, id: FaultId, select: impl Fn(&Link) -> bool, aim: &Aim, fault: &LinkFault) -> usize {
        let hit = self.proxies.iter().filter(|(link, _)| select(link));
        hit.map(|(_, proxy)| proxy.add(Rule { id, aim: aim.clone(), fault: fault.clone() })).count()
    }

    /// Heals a fault; does nothing if it is healed already.
    pub fn heal(&self, id: FaultId, how: Heal) {
        for (_, proxy) in &self.proxies {
            if how == Heal::Reset {
                proxy.reset_hit_by(id);
            }
            proxy.remove(|rule| rule.id == id);
        }
    }

    /// Heals every fault.
    pub fn heal_all(&self) {
        self.proxies.iter().for_each(|(_, proxy)| proxy.remove(|_| true));
    }

    /// Heals every fault but refusals: what was refused for good stays refused.
    pub fn heal_all_but_refusals(&self) {
        let heals = |rule: &Rule| !matches!(rule.fault, LinkFault::Refuse);
        self.proxies.iter().for_each(|(_, proxy)| proxy.remove(heals));
    }

    /// Breaks the connections that are open now on the links that are selected.
    pub fn reset(&self, select: impl Fn(&Link) -> bool, aim: &Aim) {
        self.proxies.iter().filter(|(link, _)| select(link)).for_each(|(_, proxy)| proxy.reset(aim));
    }

    /// How many connections are open on the links that are selected.
    #[must_use]
    pub fn open_connections(&self, select: impl Fn(&Link) -> bool) -> usize {
        self.proxies.iter().filter(|(link, _)| select(link)).map(|(_, proxy)| proxy.open_connections()).sum()
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.proxies.iter().map(|(link, _)| link)).finish()
    }
}
