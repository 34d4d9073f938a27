//! Counts what began within the last while, for budgets that look back.
//!
//! The while is cut into slots, each a number and a count in one word, so that counting
//! takes no lock; a slot is begun anew when its time comes round. What began is forgotten a
//! slot at a time, so a count lasts between nine and ten tenths of the while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Parts of the while.
const SLOTS: usize = 10;

/// Counts what began within the last while.
#[derive(Debug)]
pub(super) struct Window {
    born: Instant,
    slot: Duration,
    /// The slot's number in the upper half, its count in the lower.
    slots: [AtomicU64; SLOTS],
}

impl Window {
    /// Nothing began yet.
    pub(super) fn new(span: Duration, now: Instant) -> Self {
        let slot = (span / SLOTS as u32).max(Duration::from_millis(1));
        Self { born: now, slot, slots: [const { AtomicU64::new(0) }; SLOTS] }
    }

    /// The slot of a time; the first is 1, so that 0 is none.
    fn number(&self, now: Instant) -> u32 {
        let age = now.saturating_duration_since(self.born).as_nanos();
        u32::try_from(age / self.slot.as_nanos()).unwrap_or(u32::MAX - 1) + 1
    }

    /// Something begins.
    pub(super) fn add(&self, now: Instant) {
        let number = self.number(now);
        let Some(slot) = self.slots.get(number as usize % SLOTS) else { return };
        let count = |word: u64| {
            let (begun, count) = ((word >> 32) as u32, word & u64::from(u32::MAX));
            let count = if begun == number { (count + 1).min(u64::from(u32::MAX)) } else { 1 };
            Some(u64::from(number) << 32 | count)
        };
        // The closure never refuses.
        slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).unwrap_or_default();
    }

    /// How much began within the while.
    pub(super) fn total(&self, now: Instant) -> u32 {
        let number = self.number(now);
        let oldest = number.saturating_sub(SLOTS as u32 - 1).max(1);
        let counts = self.slots.iter().map(|it| it.load(Ordering::Relaxed)).filter_map(|word| {
            let begun = (word >> 32) as u32;
            (oldest..=number).contains(&begun).then_some(word & u64::from(u32::MAX))
        });
        u32::try_from(counts.sum::<u64>()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_counts_for_the_while_and_is_then_forgotten() {
        let start = Instant::now();
        let window = Window::new(Duration::from_secs(10), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in [0, 0, 4, 9] {
            window.add(at(second));
        }
        for (second, expected) in [(0, 2), (4, 3), (9, 4), (10, 2), (14, 1), (18, 1), (19, 0), (1_000_000, 0)] {
            assert_eq!(window.total(at(second)), expected, "after {second} s");
        }
        window.add(at(20));
        assert_eq!(window.total(at(20)), 1, "the slot of the first second is used again");
    }
}
