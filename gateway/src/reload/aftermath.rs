//! What is left to do when a configuration took over: the old one is taken apart, and memory is given back.

use std::sync::Arc;
use std::time::Duration;

use super::background::Background;
use crate::snapshot::Snapshot;

/// Keeps a configuration until its last request has ended, so that no worker spends its time on taking it apart;
/// that is done when nobody else has anything to do.
pub(super) async fn bury(old: Arc<Snapshot>, background: Arc<Background>) {
    /// How often is looked, and how long: a request that lasts longer takes it apart itself.
    const LOOKS: (Duration, u32) = (Duration::from_millis(20), 3000);
    for _ in 0..LOOKS.1 {
        if Arc::strong_count(&old) == 1 {
            leave(&background, move || drop(old)).await;
            return settle(background).await;
        }
        tokio::time::sleep(LOOKS.0).await;
    }
}

/// Lets the allocator give back what only making a configuration needed.
///
/// It does so when it is asked for memory some time after (a second, by default), which a gateway without traffic
/// may never do.
pub(super) async fn settle(background: Arc<Background>) {
    const LATER: Duration = Duration::from_millis(1500);
    const ASKED: usize = 1 << 20;
    tokio::time::sleep(LATER).await;
    leave(&background, || drop(std::hint::black_box(vec![0_u8; ASKED]))).await;
}

async fn leave(background: &Background, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = background.at_leisure(work).await {
        log::debug!("there is no thread for work at leisure: {error}");
    }
}
