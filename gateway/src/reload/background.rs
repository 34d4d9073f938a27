//! Runs work beside the workers, so that a reload neither slows traffic nor waits for ever.
//!
//! Short work runs with a small share of its own. Long work runs only in time that nothing
//! else wants, which leaves traffic as it is but can starve while every core is busy: if it
//! takes much longer than such work took before, a second attempt starts over with a share. Linux does not let a thread without
//! privileges leave the idle policy, so one thread cannot do both. The result that is there
//! first counts, and the other attempt stops at its next step.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Work that costs less is short: hardly a slice of the scheduler's is taken from anybody.
const SHORT: Duration = Duration::from_millis(50);
/// How long long work may wait for idle time alone: so many times what it cost before.
const PATIENCE: u32 = 5;
/// Bound on that wait.
const LONGEST: Duration = Duration::from_secs(2);

/// Tells an attempt whether somebody still waits for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempt(Arc<AtomicBool>);

impl Attempt {
    /// Whether the other attempt was done first.
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What an attempt may take of a busy machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    /// Nothing.
    Idle,
    /// About a quarter of a core: nice 5.
    Quarter,
}

/// What came of the work, and the processor time that it cost.
pub(super) struct Done<T> {
    pub(super) result: T,
    pub(super) cost: Duration,
}

/// Runs `work` in threads of its own, at most two at a time; `cost` is what it cost before.
pub(super) async fn run<T: Send + 'static>(
    cost: Duration,
    work: impl Fn(&Attempt) -> T + Clone + Send + 'static,
) -> io::Result<Done<T>> {
    let (done, mut results) = mpsc::channel(2);
    let attempt = Attempt::default();
    let patience = cost.saturating_mul(PATIENCE).min(LONGEST);
    let first = if cost < SHORT { Share::Quarter } else { Share::Idle };
    start(first, &attempt, work.clone(), done.clone())?;
    let waits = async {
        match first {
            Share::Quarter => Ok(results.recv().await),
            Share::Idle => timeout(patience, results.recv()).await,
        }
    };
    let result = match waits.await {
        Ok(it) => it,
        Err(_) => {
            start(Share::Quarter, &attempt, work, done)?;
            results.recv().await
        }
    };
    attempt.0.store(true, Ordering::Relaxed);
    result.ok_or_else(|| io::Error::other("the work ended early"))
}

/// Runs `work` in idle time, some time or other; now, where no thread can be had.
pub(super) fn at_leisure(work: impl FnOnce() + Send + 'static) {
    let started = thread::Builder::new().name("leisure".to_owned()).spawn(move || {
        take(Share::Idle);
        work();
    });
    if let Err(error) = started {
        log::debug!("there is no thread for work at leisure: {error}");
    }
}

fn start<T: Send + 'static>(
    share: Share,
    attempt: &Attempt,
    work: impl Fn(&Attempt) -> T + Send + 'static,
    done: mpsc::Sender<Done<T>>,
) -> io::Result<()> {
    let attempt = attempt.clone();
    thread::Builder::new().name("reload".to_owned()).spawn(move || {
        take(share);
        let before = processor_time();
        let result = work(&attempt);
        let cost = processor_time().saturating_sub(before);
        // Nobody listens any more when the other attempt was first or the process ends.
        drop(done.try_send(Done { result, cost }));
    })?;
    Ok(())
}

/// What this thread has run so far; zero where the system does not say.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|it| it.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Sets the share of this thread; where the system refuses, the work is only less polite.
fn take(share: Share) {
    let (priority, policy) = match share {
        Share::Idle => (Ok(ThreadPriority::Min), NormalThreadSchedulePolicy::Idle),
        // The crate counts from 0 to 99 for nice 20 to -20.
        Share::Quarter => {
            (ThreadPriorityValue::try_from(37).map(ThreadPriority::Crossplatform), NormalThreadSchedulePolicy::Other)
        }
    };
    if let Ok(priority) = priority
        && let Err(error) =
            set_thread_priority_and_policy(thread_native_id(), priority, ThreadSchedulePolicy::Normal(policy))
    {
        log::debug!("the reload runs with the priority of the workers: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_starves_is_started_again() {
        let tries = Arc::new(AtomicBool::new(false));
        let done = run(SHORT, move |attempt| {
            let is_first = !tries.swap(true, Ordering::Relaxed);
            while is_first && !attempt.is_over() {
                thread::yield_now();
            }
            is_first
        });
        assert!(!done.await.unwrap().result, "the second attempt is the one that ends");
    }

    #[tokio::test]
    async fn work_that_ends_in_time_runs_once() {
        let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = Arc::clone(&runs);
        for cost in [Duration::ZERO, LONGEST] {
            let counter = Arc::clone(&counter);
            run(cost, move |_| counter.fetch_add(1, Ordering::Relaxed)).await.unwrap();
        }
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }
}
