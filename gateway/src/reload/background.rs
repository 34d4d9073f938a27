//! Runs work beside the workers, so that a reload neither slows traffic nor waits for ever.
//!
//! One thread works only in time that nothing else wants: that leaves traffic as it is but can
//! starve while every core is busy. Work that has not begun there after a moment is taken back and
//! given to another thread, which has a share of its own: it is never done twice. Only where the
//! time runs out later does a second attempt start over there; the result that is there first
//! counts, and the other attempt stops at its next step. Linux does not let a thread without
//! privileges leave the idle policy, so one thread cannot be both; threads that begin with the work
//! would run before their policy is set, and leave memory behind in pieces. What starves holds
//! memory: at most one piece of work does.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self as queue, SyncSender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How often is looked whether idle time is there, and enough.
const LOOK: Duration = Duration::from_millis(25);
/// A thread that was free and comes to work later than this gets no time to speak of, and leaves it to the other one:
/// work that begins and starves holds its memory for long.
const PROMPT: Duration = Duration::from_millis(5);
/// Work starves that ran for less than this part of the time: about what a second attempt would get.
const PART: u32 = 4;
/// What each thread may have waiting for it.
const WAITING: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// Work that whoever comes first does.
#[derive(Clone)]
struct Offer {
    work: Arc<Mutex<Option<Job>>>,
    since: Instant,
}

impl Offer {
    fn of(work: impl FnOnce() + Send + 'static) -> Self {
        Self { work: Arc::new(Mutex::new(Some(Box::new(work)))), since: Instant::now() }
    }

    /// The work, to be done; nothing where another has taken it.
    fn accept(&self) -> Option<Job> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

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

/// Both threads; they end with this value.
pub(super) struct Background {
    idle: SyncSender<Offer>,
    busy: SyncSender<Offer>,
}

impl Background {
    pub(super) fn start() -> io::Result<Self> {
        Ok(Self { idle: start("reload", Share::Idle)?, busy: start("reload-busy", Share::Quarter)? })
    }

    /// Runs `work`, at most twice at a time.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&Attempt) -> T + Clone + Send + 'static,
    ) -> io::Result<T> {
        let (done, mut results) = mpsc::channel(2);
        let (attempt, progress) = (Attempt::default(), Progress::default());
        let (first, begins) = (job(&attempt, work.clone(), done.clone()), progress.clone());
        let first = self.offer(move || {
            begins.begin();
            first();
        })?;
        let begun = Instant::now();
        let result = loop {
            match timeout(LOOK, results.recv()).await {
                Ok(it) => break it,
                Err(_) if progress.starves(begun.elapsed()) => {
                    let taken_back = first.accept();
                    self.with_a_share(taken_back.unwrap_or_else(|| Box::new(job(&attempt, work, done))))?;
                    break results.recv().await;
                }
                Err(_) => {}
            }
        };
        attempt.0.store(true, Ordering::Relaxed);
        result.ok_or_else(|| io::Error::other("the work ended early"))
    }

    /// Runs `work` in idle time, if there is any soon.
    pub(super) async fn at_leisure(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let offer = self.offer(work)?;
        sleep(LOOK).await;
        offer.accept().map_or(Ok(()), |work| self.with_a_share(work))
    }

    /// Offers work to the thread for idle time; to the other one, where too much waits already.
    fn offer(&self, work: impl FnOnce() + Send + 'static) -> io::Result<Offer> {
        let offer = Offer::of(work);
        self.idle.try_send(offer.clone()).or_else(|_| self.busy.try_send(offer.clone())).map_err(io::Error::other)?;
        Ok(offer)
    }

    fn with_a_share(&self, work: Job) -> io::Result<()> {
        self.busy.try_send(Offer::of(work)).map_err(io::Error::other)
    }
}

/// A thread that does what it is offered.
fn start(name: &str, share: Share) -> io::Result<SyncSender<Offer>> {
    let (offers, offered) = queue::sync_channel::<Offer>(WAITING);
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        take(share);
        let mut free = Instant::now();
        for offer in offered {
            let late = offer.since.max(free).elapsed() > PROMPT;
            let accepted = if late && share == Share::Idle { None } else { offer.accept() };
            if accepted.is_some_and(|work| catch_unwind(AssertUnwindSafe(work)).is_err()) {
                // Whoever waits for a result learns that there is none.
                log::error!("work of a reload broke off");
            }
            free = Instant::now();
        }
    })?;
    Ok(offers)
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
    use std::panic::resume_unwind;

    use super::*;

    /// Threads that begin whatever they are offered, however busy the machine is.
    fn threads() -> Background {
        let start = |name| start(name, Share::Quarter).unwrap();
        Background { idle: start("reload"), busy: start("reload-busy") }
    }

    #[tokio::test]
    async fn work_that_starves_is_started_again() {
        let tries = Arc::new(AtomicBool::new(false));
        let background = threads();
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
    async fn work_that_does_not_begin_runs_once_elsewhere() {
        let background = threads();
        let (release, held) = queue::channel::<()>();
        background.at_leisure(move || held.recv().unwrap_or_default()).await.unwrap();
        let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = Arc::clone(&runs);
        background.run(move |_| counter.fetch_add(1, Ordering::Relaxed)).await.unwrap();
        let (done, gone) = tokio::sync::oneshot::channel();
        background.at_leisure(move || done.send(()).unwrap()).await.unwrap();
        gone.await.expect("nothing waits behind what starves");
        drop(release);
        let (done, gone) = tokio::sync::oneshot::channel();
        background.at_leisure(move || done.send(()).unwrap()).await.unwrap();
        gone.await.unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 1, "what was taken back is not done again");
    }

    #[tokio::test]
    async fn work_that_breaks_off_is_an_error_and_the_next_is_done() {
        let background = Background::start().unwrap();
        for _ in 0..4 {
            assert!(background.run::<()>(|_| resume_unwind(Box::new("on purpose"))).await.is_err());
        }
        background.run(|_| ()).await.unwrap();
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
