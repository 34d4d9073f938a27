//! Runs work beside the workers at a lower priority, so that a reload does not slow traffic on a busy machine.

use std::io;
use std::thread;

use rustix::process::setpriority_process;
use rustix::thread::gettid;
use tokio::sync::oneshot;

/// Priority of the work: behind the workers, and still about a quarter of a core when all are busy.
const NICE: i32 = 5;

/// Runs `work` in a thread of its own; the thread's memory is given back when it ends.
pub(super) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    thread::Builder::new().name("reload".to_owned()).spawn(move || {
        // On Linux a priority belongs to a thread; without the right to change it the work is only less polite.
        setpriority_process(Some(gettid()), NICE).unwrap_or_default();
        // Nobody listens any more when the process ends.
        drop(done.send(work()));
    })?;
    result.await.map_err(|_| io::Error::other("the work ended early"))
}
