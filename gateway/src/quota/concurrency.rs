//! Counts requests in flight by key, and lets one in only while there is room.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use super::Tag;

/// Parts that are locked one by one.
const SHARDS: usize = 32;

/// Requests in flight; there are never more keys than requests.
#[derive(Debug)]
pub struct InFlight {
    shards: Box<[Mutex<HashMap<Tag, u32>>]>,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

/// A request's place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    counts: Arc<InFlight>,
    tag: Tag,
}

impl InFlight {
    /// A place of a key, if fewer than `most` are taken.
    pub fn enter(self: &Arc<Self>, tag: Tag, most: u32) -> Option<Place> {
        self.with(tag, |counts| {
            let count = counts.entry(tag).or_default();
            let enters = *count < most;
            *count += u32::from(enters);
            enters
        })
        .unwrap_or(false)
        .then(|| Place { counts: Arc::clone(self), tag })
    }

    /// Requests of a key that are in flight.
    pub fn count(&self, tag: Tag) -> u32 {
        self.with(tag, |counts| counts.get(&tag).copied()).flatten().unwrap_or_default()
    }

    fn with<T>(&self, tag: Tag, work: impl FnOnce(&mut HashMap<Tag, u32>) -> T) -> Option<T> {
        let shard = self.shards.get(usize::try_from(tag.0 % SHARDS as u128).ok()?)?;
        Some(work(&mut shard.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.with(self.tag, |counts| {
            if let Entry::Occupied(mut it) = counts.entry(self.tag) {
                *it.get_mut() -= 1;
                if *it.get() == 0 {
                    it.remove();
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_when_its_request_ends() {
        let counts = Arc::new(InFlight::default());
        let first = counts.enter(Tag(1), 2);
        let second = counts.enter(Tag(1), 2);
        assert!(first.is_some() && second.is_some() && counts.enter(Tag(1), 2).is_none());
        assert!(counts.enter(Tag(2), 1).is_some(), "another key");
        drop(first);
        assert!(counts.enter(Tag(1), 2).is_some());
        drop(second);
        assert_eq!(counts.count(Tag(1)), 0);
        assert!(counts.shards.iter().all(|it| it.lock().unwrap().is_empty()), "nothing is kept");
    }
}
