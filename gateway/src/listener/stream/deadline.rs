//! When a connection has waited long enough.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A deadline that costs nothing while it is moved: the timer fires at the earliest time ever
/// asked for, and is set anew only then.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// One that has not been set.
    pub(super) fn new() -> Self {
        Self { at: Instant::now(), timer: None }
    }

    /// Moves it to this time from now.
    pub(super) fn after(&mut self, span: Duration) {
        self.at = Instant::now() + span;
    }

    /// Ready once it has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.at)));
        if timer.deadline() > self.at {
            timer.as_mut().reset(self.at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}
