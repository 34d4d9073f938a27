//! Counts fixed windows in Redis by the keys and commands of envoyproxy/ratelimit, so that counters are shared with it.

use std::time::Instant;

use super::failure::Failure;
use super::link::Kept;
use super::{RedisStore, Shared};
use crate::quota::window::Window;

/// Most seconds that a key outlives its window, drawn at random, so that not all expire at once.
const JITTER: u64 = 300;

/// The connection of a worker for this.
#[derive(Default)]
pub(super) struct WindowLink(Kept);

impl std::fmt::Debug for WindowLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WindowLink")
    }
}

impl RedisStore {
    /// Counts all of these, and gives each count after that; `draw` spreads the ends of keys.
    pub async fn count(&self, windows: &[Window], (now, draw): (u64, u64), worker: usize) -> Result<Vec<u64>, Failure> {
        let shared = &self.shared;
        if !shared.breaker.is_closed() {
            return Err(shared.failed(Failure::Open));
        }
        let place = self.windows.get(worker % self.windows.len()).ok_or(Failure::Open)?;
        let begun = Instant::now();
        let work = async {
            match place.count(shared, windows, (now, draw)).await {
                // A server that went away, or changed its role, has ended what was kept.
                Err(Failure::Connection) => {
                    place.0.forget();
                    place.count(shared, windows, (now, draw)).await
                }
                done => done,
            }
        };
        let done = tokio::time::timeout(shared.terms.deadline, work).await.unwrap_or(Err(Failure::Timeout));
        match done {
            Ok(counts) => {
                shared.answered(begun);
                Ok(counts)
            }
            Err(failure) => {
                place.0.forget();
                shared.strike();
                Err(shared.failed(failure))
            }
        }
    }
}

impl WindowLink {
    async fn count(&self, shared: &Shared, windows: &[Window], (now, draw): (u64, u64)) -> Result<Vec<u64>, Failure> {
        let mut link = self.0.get(&shared.terms).await?;
        let mut pipeline = redis::pipe();
        for window in windows {
            let key = window.key_at(now);
            pipeline.cmd("INCRBY").arg(&key).arg(window.hits);
            pipeline.cmd("EXPIRE").arg(&key).arg(window.period + draw % JITTER).ignore();
        }
        link.pipeline(&pipeline).await
    }
}
