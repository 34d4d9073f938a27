//! Stops waiting for a server that does not answer, and looks for it aside until it does.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use super::failure::Failure;
use super::link::Link;
use super::{Shared, script};

/// Failures in a row after which nobody waits.
const MAX_FAILURES: u32 = 3;
/// Longest time of one look.
pub(super) const PROBE_TIME: Duration = Duration::from_millis(500);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Whether the server is asked; it begins open, and the first look closes it.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    closed: AtomicBool,
    failures: AtomicU32,
}

impl Breaker {
    /// Whether questions are sent.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The server answered.
    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// It did not; says whether this failure opened the breaker.
    pub(super) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        failures >= MAX_FAILURES && self.closed.swap(false, Ordering::Relaxed)
    }

    fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// Looks for the server until it answers or nobody needs it; `first` hears when the first look is over.
pub(super) fn probe(shared: &Arc<Shared>, mut first: Option<oneshot::Sender<()>>) {
    let store: Weak<Shared> = Arc::downgrade(shared);
    tokio::spawn(async move {
        while let Some(shared) = store.upgrade() {
            let found = match tokio::time::timeout(PROBE_TIME, look(&shared)).await {
                Ok(it) => it,
                Err(_) => Err(Failure::Timeout),
            };
            match &found {
                Ok(()) => {
                    shared.breaker.close();
                    shared.tell(true);
                    log::info!("the Redis of the rate limits answers");
                }
                Err(failure) => {
                    if first.is_some() {
                        log::warn!("the Redis of the rate limits does not answer: {}", failure.name());
                    }
                    shared.tell(false);
                }
            }
            if let Some(first) = first.take() {
                // Nobody waits any more when the reload went on without it.
                first.send(()).unwrap_or_default();
            }
            if found.is_ok() {
                return;
            }
            drop(shared);
            tokio::time::sleep(PAUSE).await;
        }
    });
}

/// Whether the server takes the script and may be written to.
async fn look(shared: &Shared) -> Result<(), Failure> {
    let mut link = Link::connect(&shared.terms).await?;
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg(script::SOURCE);
    link.send::<redis::Value>(&load).await?;
    // One that is only a replica, or full, would refuse what follows too.
    let mut write = redis::cmd("SET");
    write.arg(format!("{}probe", shared.terms.prefix)).arg(1).arg("PX").arg(1000);
    link.send::<redis::Value>(&write).await.map(|_| ())
}
