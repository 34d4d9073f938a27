//! The time of one try: ends its connection when no answer began in it.
//!
//! Pingora bounds each wait on a connection, the gaps inside an answer included; a try is
//! bounded until its answer begins and no longer (Envoy's per-try timeout). So the clock
//! stands beside Pingora, and what it does is close the socket: only for connections that
//! carry one request at a time, as those of HTTP/2 do for a request that has a clock. The
//! owner asks [`TryClock::rang`] why the connection ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::upstream::connection::Connection;

/// Runs from the connection to the answer; dropping it stops it.
#[derive(Debug)]
pub(super) struct TryClock {
    rang: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl TryClock {
    /// Gives what is under way on a connection this much time from now.
    pub(super) fn start(connection: Arc<Connection>, time: Duration) -> Self {
        let rang = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&rang);
        let task = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            told.store(true, Ordering::Relaxed);
            connection.cut();
        });
        Self { rang, task }
    }

    /// Whether the time is over, and the connection with it.
    pub(super) fn rang(&self) -> bool {
        self.rang.load(Ordering::Relaxed)
    }
}

impl Drop for TryClock {
    fn drop(&mut self) {
        self.task.abort();
    }
}
