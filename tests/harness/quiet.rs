//! Lets a test that measures time have the machine for itself: others begin no gateway meanwhile.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::{self, ThreadId};

/// Who runs gateways, and who wants to be alone.
struct State {
    running: Option<HashMap<ThreadId, usize>>,
    alone: Option<ThreadId>,
}

static STATE: Mutex<State> = Mutex::new(State { running: None, alone: None });
static CHANGED: Condvar = Condvar::new();

/// A gateway that runs.
pub(crate) struct Running(ThreadId);

/// The machine, for one test.
pub(crate) struct Quiet;

fn state() -> MutexGuard<'static, State> {
    // A test that failed holds nothing back.
    STATE.lock().unwrap_or_else(|it| it.into_inner())
}

impl Running {
    /// Waits until nobody is or wants to be alone; whoever runs a gateway already need not wait for another.
    pub(crate) fn begin() -> Self {
        let own = thread::current().id();
        let mut state = state();
        while state.alone.is_some_and(|it| it != own) && !state.running.as_ref().is_some_and(|it| it.contains_key(&own))
        {
            state = CHANGED.wait(state).unwrap_or_else(|it| it.into_inner());
        }
        *state.running.get_or_insert_default().entry(own).or_default() += 1;
        Self(own)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = state();
        let running = state.running.get_or_insert_default();
        if let Some(count) = running.get_mut(&self.0) {
            *count -= 1;
        }
        running.retain(|_, count| *count > 0);
        CHANGED.notify_all();
    }
}

impl Quiet {
    /// Waits until no other test runs a gateway.
    pub(crate) fn begin() -> Self {
        let own = thread::current().id();
        let mut state = state();
        while state.alone.is_some() {
            state = CHANGED.wait(state).unwrap_or_else(|it| it.into_inner());
        }
        state.alone = Some(own);
        while state.running.as_ref().is_some_and(|it| it.keys().any(|it| *it != own)) {
            state = CHANGED.wait(state).unwrap_or_else(|it| it.into_inner());
        }
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        state().alone = None;
        CHANGED.notify_all();
    }
}
