//! Runs work beside the workers, so that a reload neither slows traffic nor waits for ever.
//!
//! One thread does it, only in time that nothing else wants: that leaves traffic as it is but
//! can starve while every core is busy. When it gets too little, a second attempt starts over in
//! a thread with a share of its own. Linux does not let a thread without privileges leave the
//! idle policy, so one thread cannot do both; and a thread that begins for each reload would run
//! before its policy is set. The result that is there first counts, and the other attempt stops
//! at its next step.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self as queue, SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How often is looked whether idle time is enough.
const LOOK: Duration = Duration::from_millis(25);
/// Work starves that ran for less than this part of the time: about what a second attempt would get.
const PART: u32 = 4;
/// More than this does not wait for idle time; what comes then has a thread of its own.
const WAITING: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

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

/// How long an attempt has run; nothing before it has started.
#[derive(Debug, Clone, Default)]
struct Progress(Arc<OnceLock<(File, Duration)>>);

impl Progress {
    /// Called by the thread that runs the attempt.
    fn begin(&self) {
        if let Ok(file) = File::open("/proc/thread-self/schedstat") {
            let before = processor_time(&file);
            // Each attempt begins once.
            drop(self.0.set((file, before)));
        }
    }

    /// Whether the attempt, begun so long ago, gets too little; also where the system does not say what it gets.
    fn starves(&self, since: Duration) -> bool {
        let ran = self.0.get().map(|(file, before)| processor_time(file).saturating_sub(*before));
        ran.unwrap_or_default() < since / PART
    }
}

/// What the thread of the file has run so far; zero where the system does not say.
fn processor_time(file: &File) -> Duration {
    let mut text = [0; 64];
    let length = file.read_at(&mut text, 0).unwrap_or(0);
    let text = std::str::from_utf8(text.get(..length).unwrap_or_default()).unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|it| it.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// The thread that works in idle time; it ends with this value.
#[derive(Debug)]
pub(super) struct Background(SyncSender<Job>);

impl Background {
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, waiting) = queue::sync_channel::<Job>(WAITING);
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            take(Share::Idle);
            waiting.into_iter().for_each(|job| job());
        })?;
        Ok(Self(jobs))
    }

    /// Runs `work`, at most twice at a time.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&Attempt) -> T + Clone + Send + 'static,
    ) -> io::Result<T> {
        let (done, mut results) = mpsc::channel(2);
        let (attempt, progress) = (Attempt::default(), Progress::default());
        let (first, begins) = (job(&attempt, work.clone(), done.clone()), progress.clone());
        self.at_leisure(move || {
            begins.begin();
            first();
        })?;
        let begun = Instant::now();
        let result = loop {
            match timeout(LOOK, results.recv()).await {
                Ok(it) => break it,
                Err(_) if progress.starves(begun.elapsed()) => {
                    with_a_share(job(&attempt, work, done))?;
                    break results.recv().await;
                }
                Err(_) => {}
            }
        };
        attempt.0.store(true, Ordering::Relaxed);
        result.ok_or_else(|| io::Error::other("the work ended early"))
    }

    /// Runs `work` in idle time, some time or other; beside the workers, where too much waits for that.
    pub(super) fn at_leisure(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        match self.0.try_send(Box::new(work)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => with_a_share(job),
        }
    }
}

/// One attempt at the work.
fn job<T: Send + 'static>(
    attempt: &Attempt,
    work: impl Fn(&Attempt) -> T + Send + 'static,
    done: mpsc::Sender<T>,
) -> impl FnOnce() + Send + 'static {
    let attempt = attempt.clone();
    move || {
        if !attempt.is_over() {
            // Nobody listens any more when the other attempt was first or the process ends.
            drop(done.try_send(work(&attempt)));
        }
    }
}

/// Runs a job in a thread of its own.
fn with_a_share(job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name("reload-busy".to_owned());
    thread.spawn(move || {
        take(Share::Quarter);
        job();
    })?;
    Ok(())
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
        let background = Background::start().unwrap();
        let done = background.run(move |attempt| {
            let is_first = !tries.swap(true, Ordering::Relaxed);
            // Waits as a thread does that gets no time.
            while is_first && !attempt.is_over() {
                thread::park_timeout(LOOK);
            }
            is_first
        });
        assert!(!done.await.unwrap(), "the second attempt is the one that ends");
    }

    #[tokio::test]
    async fn work_that_ends_in_time_runs_once() {
        let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let background = Background::start().unwrap();
        for _ in 0..2 {
            let counter = Arc::clone(&runs);
            background.run(move |_| counter.fetch_add(1, Ordering::Relaxed)).await.unwrap();
        }
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_attempt_that_runs_does_not_starve() {
        let progress = Progress::default();
        assert!(progress.starves(LOOK), "it has not begun");
        progress.begin();
        let begun = Instant::now();
        while begun.elapsed() < LOOK {
            std::hint::spin_loop();
        }
        assert!(!progress.starves(Duration::from_millis(1)));
        assert!(progress.starves(Duration::from_hours(1)));
    }
}
