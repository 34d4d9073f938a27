//! Units that a replica holds ahead of need, so that it decides by itself.
//!
//! It never holds more than a share of a key, and none for longer than agreed: what was
//! taken and not used is lost. So replicas together admit at most replicas × share earlier
//! than the limit would.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::Tag;
use super::shards::{Shard, Shards};

/// Parts that are locked one by one.
const SHARDS: NonZeroUsize = NonZeroUsize::new(32).expect("it is more than none");
/// Keys of each part.
const KEYS: NonZeroUsize = NonZeroUsize::new(4096).expect("it is more than none");

/// How units are leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Most units that are held.
    pub share: u32,
    /// How long they are held.
    pub max_age: Duration,
}

/// Units of a key that are held.
#[derive(Debug)]
struct Held {
    left: u32,
    until: Instant,
    /// Whether more were asked for.
    is_asking: bool,
}

/// What a request finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// It has its units; when `more` is not 0, so many are to be asked for aside.
    Units {
        /// Units that are left.
        left: u32,
        /// Units to be asked for.
        more: u32,
    },
    /// There are too few, and it is the one to ask for so many.
    Ask(u32),
    /// There are too few, and somebody else asks already.
    Wait,
}

/// All units that are held.
#[derive(Debug)]
pub struct Leases(Shards<Held>);

impl Default for Leases {
    fn default() -> Self {
        Self(Shards::new(SHARDS, KEYS))
    }
}

impl Leases {
    /// Takes units of a key.
    pub fn take(&self, tag: Tag, lease: Lease, units: u32, now: Instant) -> Found {
        self.0.with(tag, |shard| {
            let held = current(shard, tag, now);
            let Some(left) = held.left.checked_sub(units) else {
                if held.is_asking {
                    return Found::Wait;
                }
                held.is_asking = true;
                return Found::Ask(lease.share.max(units).saturating_sub(held.left));
            };
            held.left = left;
            let is_low = left <= lease.share / 2 && !held.is_asking;
            held.is_asking |= is_low;
            Found::Units { left, more: if is_low { lease.share - left } else { 0 } }
        })
    }

    /// Adds units that were granted, to those that are held; takes `units` of them for the one who asked, if it can.
    pub fn add(&self, tag: Tag, lease: Lease, (granted, units): (u32, u32), now: Instant) -> bool {
        self.0.with(tag, |shard| {
            let held = current(shard, tag, now);
            held.is_asking = false;
            let left = held.left.saturating_add(granted);
            held.until = now + lease.max_age;
            let takes = left.checked_sub(units);
            held.left = takes.unwrap_or(left);
            takes.is_some()
        })
    }

    /// Puts units back that another rule made useless.
    pub fn put_back(&self, tag: Tag, units: u32) {
        self.0.with(tag, |shard| {
            if let Some(held) = shard.peek_mut(&tag) {
                held.left = held.left.saturating_add(units);
            }
        });
    }

    /// Gives up what is held of a key.
    pub fn forget(&self, tag: Tag) {
        self.0.with(tag, |shard| shard.pop(&tag));
    }
}

/// What is held of a key now; what was held for too long is lost.
fn current(shard: &mut Shard<Held>, tag: Tag, now: Instant) -> &mut Held {
    let held = shard.get_or_insert_mut(tag, || Held { left: 0, until: now, is_asking: false });
    if now >= held.until {
        held.left = 0;
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_share_is_held_and_none_for_too_long() {
        let (leases, now, lease) =
            (Leases::default(), Instant::now(), Lease { share: 10, max_age: Duration::from_secs(1) });
        assert_eq!(leases.take(Tag(1), lease, 1, now), Found::Ask(10));
        assert_eq!(leases.take(Tag(1), lease, 1, now), Found::Wait, "one asks for all");
        assert!(leases.add(Tag(1), lease, (10, 1), now));
        for left in (6..9).rev() {
            assert_eq!(leases.take(Tag(1), lease, 1, now), Found::Units { left, more: 0 });
        }
        assert_eq!(leases.take(Tag(1), lease, 1, now), Found::Units { left: 5, more: 5 });
        assert_eq!(leases.take(Tag(1), lease, 1, now), Found::Units { left: 4, more: 0 }, "it is asked for once");
        let later = now + Duration::from_secs(2);
        assert!(!leases.add(Tag(1), lease, (0, 1), later), "what was held is too old");
        assert_eq!(leases.take(Tag(1), lease, 12, later), Found::Ask(12), "a request that costs more than a share");
    }
}
