//! Decides when the costly steps of handshakes are done: one after the other, with all else that is ready between them.
//!
//! A worker that is flooded has a first message and a signature to work on for each of many
//! connections. Those who are in already wait for one such step at most: after each, the worker looks
//! which sockets are ready, and does what that brings, before the next step begins.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::sync::Semaphore;
use tokio::task::yield_now;

/// Whose turn it is on one worker.
#[derive(Debug)]
pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Turns {
    /// Computes something in a turn of its own.
    pub async fn take<T>(&self, step: impl FnOnce() -> T) -> T {
        self.begin(async { step() }).await
    }

    /// Runs `work`, of which the first step, the costly one, has a turn of its own.
    pub async fn begin<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        // Nobody closes the semaphore.
        let turn = self.0.acquire().await.ok();
        let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
        // The runtime comes back from this when it has looked for events of sockets, and not before.
        yield_now().await;
        drop(turn);
        match first {
            Poll::Ready(done) => done,
            Poll::Pending => work.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::listener::meanwhile::Ear;

    /// Whoever hears from a socket is served after a few steps, however many wait.
    #[tokio::test]
    async fn what_sockets_bring_comes_between_two_steps() {
        const STEPS: usize = 1000;
        let ear = Ear::new().await;
        let (turns, done) = (Arc::new(Turns::default()), Arc::new(AtomicUsize::new(0)));
        let steps: Vec<_> = (0..STEPS)
            .map(|number| {
                let (turns, done) = (Arc::clone(&turns), Arc::clone(&done));
                let step = move || {
                    done.fetch_add(1, Ordering::Relaxed);
                };
                tokio::spawn(async move {
                    if number % 2 == 0 { turns.take(step).await } else { turns.begin(async { step() }).await }
                })
            })
            .collect();
        let most = ear.most_meanwhile(&done, STEPS).await;
        assert!(most <= 4, "{most} steps while a socket waited");
        for step in steps {
            step.await.unwrap();
        }
    }
}
