//! Writes access log lines in the background; a request never waits for the disk.
//!
//! Each worker appends to a buffer of its own, whose lock nobody else holds but the writer
//! for the moment of a swap. When the writer cannot keep up, lines are dropped and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What one worker may have waiting; more is dropped.
const MAX_PENDING_BYTES: usize = 4 << 20;
/// A buffer this full is written without waiting for the next turn.
const EAGER_BYTES: usize = 64 << 10;
/// Longest time a line waits.
const TURN: Duration = Duration::from_millis(100);
/// Longest wait for the last lines at the end of the process.
const LAST_WRITE: Duration = Duration::from_secs(1);
/// Path that means the standard output.
const STANDARD_OUTPUT: &str = "/dev/stdout";

/// Lines on their way to a file.
pub struct LogWriter {
    buffers: Box<[Mutex<Vec<u8>>]>,
    dropped: AtomicU64,
    control: Mutex<Control>,
    wake: Condvar,
}

#[derive(Default)]
struct Control {
    file: Option<Box<str>>,
    reopen: bool,
    eager: bool,
    stop: bool,
    stopped: bool,
}

impl LogWriter {
    /// A writer for this many workers, with its thread.
    pub fn start(workers: usize) -> io::Result<Arc<Self>> {
        let writer = Arc::new(Self {
            buffers: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            dropped: AtomicU64::new(0),
            control: Mutex::default(),
            wake: Condvar::new(),
        });
        let background = Arc::clone(&writer);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || background.run())?;
        Ok(writer)
    }

    /// Appends the line that `render` writes.
    pub fn append(&self, worker: usize, render: impl FnOnce(&mut Vec<u8>)) {
        let Some(buffer) = self.buffers.get(worker % self.buffers.len()) else { return };
        let mut pending = buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() > MAX_PENDING_BYTES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = pending.len();
        render(&mut pending);
        let is_full = before < EAGER_BYTES && pending.len() >= EAGER_BYTES;
        drop(pending);
        if is_full {
            self.control.lock().unwrap_or_else(PoisonError::into_inner).eager = true;
            self.wake.notify_all();
        }
    }

    /// Writes to this file from now on; asked again for the same, opens it anew (after rotation).
    pub fn write_to(&self, file: Option<&str>) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        control.file = file.map(Into::into);
        control.reopen = true;
        control.eager = true;
        self.wake.notify_all();
    }

    /// Lines that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes what is pending and ends the thread; a sink that does not take it is not waited for long.
    pub fn stop(&self) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        control.stop = true;
        self.wake.notify_all();
        let ended = self.wake.wait_timeout_while(control, LAST_WRITE, |it| !it.stopped);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }

    fn run(&self) {
        let mut sink = Sink::Nowhere;
        let mut chunk = Vec::new();
        loop {
            let (reopen, stop) = self.wait();
            if let Some(file) = reopen {
                sink = Sink::open(file.as_deref());
            }
            for buffer in &self.buffers {
                std::mem::swap(&mut *buffer.lock().unwrap_or_else(PoisonError::into_inner), &mut chunk);
                if sink.write(&chunk).is_err() {
                    let lines = chunk.iter().filter(|it| **it == b'\n').count();
                    self.dropped.fetch_add(lines as u64, Ordering::Relaxed);
                }
                chunk.clear();
                chunk.shrink_to(EAGER_BYTES * 2);
            }
            if stop {
                self.control.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
                self.wake.notify_all();
                return;
            }
        }
    }

    /// Waits for its turn; says whether a file is to be opened and whether it is the last one.
    fn wait(&self) -> (Option<Option<Box<str>>>, bool) {
        let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.wake.wait_timeout_while(control, TURN, |it| !it.eager && !it.stop);
        let (mut control, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        control.eager = false;
        let reopen = std::mem::take(&mut control.reopen).then(|| control.file.clone());
        (reopen, control.stop)
    }
}

enum Sink {
    Nowhere,
    Output,
    File(File),
}

impl Sink {
    fn open(file: Option<&str>) -> Self {
        match file {
            None => Self::Nowhere,
            Some(STANDARD_OUTPUT) => Self::Output,
            Some(path) => match OpenOptions::new().create(true).append(true).open(path) {
                Ok(file) => Self::File(file),
                Err(error) => {
                    log::error!("cannot write the access log to {path}: {error}");
                    Self::Nowhere
                }
            },
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        match self {
            Self::Nowhere => Ok(()),
            Self::Output => io::stdout().lock().write_all(lines).and_then(|()| io::stdout().flush()),
            Self::File(file) => file.write_all(lines),
        }
    }
}
