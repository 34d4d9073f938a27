//! Counts requests of fixed windows in memory, as a rate-limit service without Redis would.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::shards::bounded;

/// Keys that are counted; those that were seen longest ago are forgotten.
const MAX_KEYS: NonZeroUsize = NonZeroUsize::new(1 << 17).expect("it is more than none");

/// A window of a key.
#[derive(Debug, Clone)]
pub struct Window {
    /// The key, without prefix and window.
    pub key: String,
    /// Seconds of a window.
    pub period: u64,
    /// Requests that are counted.
    pub hits: u64,
}

impl Window {
    /// The key of the window that holds a time, in seconds of Unix.
    pub fn key_at(&self, now: u64) -> String {
        format!("{}{}", self.key, now - now % self.period.max(1))
    }
}

/// Counts of windows.
#[derive(Debug)]
pub struct Windows(Mutex<LruCache<String, u64>>);

impl Default for Windows {
    fn default() -> Self {
        Self(Mutex::new(bounded(MAX_KEYS)))
    }
}

impl Windows {
    /// Counts all of these, and gives each count after that.
    pub fn count<'a>(&self, windows: impl IntoIterator<Item = &'a Window>, now: u64) -> Vec<u64> {
        let mut counts = self.locked();
        let each = |window: &Window| {
            let count = counts.get_or_insert_mut(window.key_at(now), || 0);
            *count = count.saturating_add(window.hits);
            *count
        };
        windows.into_iter().map(each).collect()
    }

    /// Learns the count of a window that is counted elsewhere.
    pub fn note(&self, window: &Window, count: u64, now: u64) {
        self.locked().push(window.key_at(now), count);
    }

    /// The count of a window, as far as it is known here.
    pub fn known(&self, window: &Window, now: u64) -> Option<u64> {
        self.locked().get(&window.key_at(now)).copied()
    }

    fn locked(&self) -> MutexGuard<'_, LruCache<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_at_multiples_of_their_length() {
        let windows = Windows::default();
        let minute = [Window { key: "d_a_b_".to_owned(), period: 60, hits: 1 }];
        assert_eq!(minute[0].key_at(125), "d_a_b_120");
        assert_eq!(windows.count(&minute, 120), [1]);
        assert_eq!(windows.count(&minute, 179), [2]);
        assert_eq!(windows.count(&minute, 180), [1]);
        assert_eq!((windows.known(&minute[0], 181), windows.known(&minute[0], 240)), (Some(1), None));
    }
}
