//! The thread on which the clients of one process live, and their connections.

use super::NatsConfig;
use async_nats::{Client, ConnectOptions};
use squall_bus::{Error, ErrorClass};
use std::{
    fmt,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    task::AbortHandle,
};

/// How long a request to JetStream waits for its answer: async-nats' own default.
pub(super) const REQUEST: Duration = Duration::from_secs(5);

/// A thread that runs tasks until it is ended; then they are all gone.
pub(super) struct Worker(Mutex<Result<Runtime, Error>>);

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

impl Worker {
    /// Starts the thread. If there is none to be had, tasks are refused with the reason.
    pub(super) fn start(name: &str) -> Self {
        let built = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build();
        let runtime = built.map_err(|error| {
            let says = format!("the thread of a process' clients could not be started: {error}");
            Error::new(ErrorClass::Fatal, "THREAD", says)
        });
        Self(Mutex::new(runtime))
    }

    /// Runs a task; refused when the worker has ended.
    pub(super) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Result<AbortHandle, Error> {
        let runtime = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runtime.as_ref().map(|runtime| runtime.spawn(task).abort_handle()).map_err(Clone::clone)
    }

    /// Drops every task. Connections are closed by that, without a word.
    pub(super) fn end(&self) {
        let mut runtime = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(runtime) = std::mem::replace(&mut *runtime, Err(Error::closed())) {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

/// A client under this name. It connects, and connects again, on its own; only an address that is none ends it.
pub(super) async fn connect(config: &NatsConfig, client: &str) -> Result<Client, Error> {
    open(options(config, client), &config.bootstrap).await
}

/// A client as [`connect`] makes it, whose subscriptions keep so many messages that nobody took yet (async-nats' own
/// default unless said). It tells when it dropped one for want of room.
pub(super) async fn connect_to_read(
    config: &NatsConfig,
    client: &str,
    buffer: Option<u32>,
    dropped: impl Fn() + Send + Sync + 'static,
) -> Result<Client, Error> {
    let mut options = options(config, client).event_callback(move |event| {
        if let async_nats::Event::SlowConsumer(_) = event {
            dropped();
        }
        std::future::ready(())
    });
    if let Some(most) = buffer {
        options = options.subscription_capacity(most as usize);
    }
    open(options, &config.bootstrap).await
}

fn options(config: &NatsConfig, client: &str) -> ConnectOptions {
    let options = ConnectOptions::new().name((config.client_id)(client)).retry_on_initial_connect();
    if config.discover { options } else { options.ignore_discovered_servers() }
}

pub(super) async fn open(options: ConnectOptions, bootstrap: &str) -> Result<Client, Error> {
    let servers: Vec<&str> =
        bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty()).collect();
    options.connect(&servers[..]).await.map_err(|error| {
        let says = format!("the servers `{bootstrap}` cannot be used ({error}): write host:port,host:port");
        Error::new(ErrorClass::Fatal, "CONNECT", says)
    })
}
