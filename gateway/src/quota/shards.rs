//! What is remembered of keys: in parts that are locked one by one, with a bound on keys in each.
//!
//! A part that is full forgets the key that was seen longest ago. Whoever needs several keys at
//! once locks their parts in ascending order ([`Shards::lock`]), so that no two wait for each other.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::Tag;

/// The keys of one part.
pub type Shard<T> = LruCache<Tag, T>;

/// All parts; there is always a first one.
#[derive(Debug)]
pub struct Shards<T> {
    first: Mutex<Shard<T>>,
    others: Box<[Mutex<Shard<T>>]>,
}

/// Parts that are locked together, by their number.
pub struct Locked<'a, T> {
    parts: usize,
    held: Vec<(usize, MutexGuard<'a, Shard<T>>)>,
}

impl<T> Shards<T> {
    /// So many parts of so many keys each.
    pub fn new(parts: NonZeroUsize, keys: NonZeroUsize) -> Self {
        let shard = || Mutex::new(bounded(keys));
        Self { first: shard(), others: (1..parts.get()).map(|_| shard()).collect() }
    }

    /// Does something to the part of a key.
    pub fn with<R>(&self, tag: Tag, work: impl FnOnce(&mut Shard<T>) -> R) -> R {
        work(&mut locked(self.shard(number(tag, self.parts()))))
    }

    /// Locks the parts of some keys.
    pub fn lock(&self, tags: impl Iterator<Item = Tag>) -> Locked<'_, T> {
        let parts = self.parts();
        let mut numbers: Vec<usize> = tags.map(|tag| number(tag, parts)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Locked { parts, held: numbers.into_iter().map(|it| (it, locked(self.shard(it)))).collect() }
    }

    /// Keys that are remembered.
    pub fn keys(&self) -> usize {
        std::iter::once(&self.first).chain(&self.others).map(|it| locked(it).len()).sum()
    }

    fn parts(&self) -> usize {
        self.others.len() + 1
    }

    fn shard(&self, number: usize) -> &Mutex<Shard<T>> {
        number.checked_sub(1).and_then(|it| self.others.get(it)).unwrap_or(&self.first)
    }
}

impl<T> Locked<'_, T> {
    /// Does something to the part of a key; `None` when it was not locked.
    pub fn with<R>(&mut self, tag: Tag, work: impl FnOnce(&mut Shard<T>) -> R) -> Option<R> {
        let number = number(tag, self.parts);
        self.held.iter_mut().find(|(it, _)| *it == number).map(|(_, it)| work(it))
    }
}

/// Room for so many keys, which grows as they come; the bound holds all the same.
pub(super) fn bounded<K: Hash + Eq, V>(keys: NonZeroUsize) -> LruCache<K, V> {
    let mut cache = LruCache::unbounded();
    cache.resize(keys);
    cache
}

/// The part of a key.
fn number(tag: Tag, parts: usize) -> usize {
    usize::try_from(tag.0 % parts as u128).unwrap_or_default()
}

/// A panic while it was locked leaves nothing half done that would matter more than going on.
fn locked<T>(shard: &Mutex<Shard<T>>) -> MutexGuard<'_, Shard<T>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(it: usize) -> NonZeroUsize {
        NonZeroUsize::new(it).unwrap()
    }

    #[test]
    fn each_part_forgets_what_was_seen_longest_ago() {
        let shards = Shards::new(size(3), size(2));
        for tag in 0..12 {
            shards.with(Tag(tag), |it| it.push(Tag(tag), tag));
        }
        assert_eq!(shards.keys(), 6);
        let kept = |tag| shards.with(Tag(tag), |it| it.peek(&Tag(tag)).copied());
        assert_eq!((0..12).filter_map(kept).collect::<Vec<_>>(), [6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn keys_that_share_a_part_are_locked_once() {
        let shards: Shards<u32> = Shards::new(size(3), size(2));
        let mut locked = shards.lock([Tag(5), Tag(2), Tag(1)].into_iter());
        assert_eq!(locked.held.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2]);
        locked.with(Tag(2), |it| it.push(Tag(2), 7)).unwrap();
        assert_eq!(locked.with(Tag(5), |it| it.peek(&Tag(2)).copied()), Some(Some(7)));
        assert!(locked.with(Tag(3), |_| ()).is_none());
    }
}
