//! The generic cell rate algorithm in whole numbers: how much of a limit is used, and when more comes back.
//!
//! What is used is a debt. One unit weighs `period / gcd` and each tick of time takes
//! `requests / gcd` away, so that every amount is a whole number below 2⁵², which a double
//! holds exactly: a Redis script computes the same as this file. Ticks are microseconds,
//! or milliseconds for limits whose debt would not fit otherwise.

use std::time::Duration;

/// Largest debt: exact in a double, with room for a sum.
const MAX_DEBT: u64 = 1 << 52;
/// A clock that goes back by more microseconds was set.
const JUMP: u64 = SECOND;
/// Microseconds of a second.
const SECOND: u64 = 1_000_000;

/// One window of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Units that come back in each period, as written.
    pub requests: u64,
    /// The period in seconds.
    pub period: u64,
    /// Most units at once.
    pub burst: u64,
    /// Debt of one unit.
    pub weight: u64,
    /// Debt that a tick takes away.
    pub rate: u64,
    /// Microseconds of a tick.
    pub tick: u64,
    /// Most debt that is admitted.
    pub capacity: u64,
}

/// What is remembered of a key's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// What is used, in the weight below.
    pub debt: u64,
    /// When that was, in microseconds.
    pub since: u64,
    /// Debt of one unit when it was written; another one tells that the limit was changed.
    pub weight: u64,
}

/// How a limit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Units that are left.
    pub left: u64,
    /// Microseconds until the same would be admitted; 0 when it is now, `u64::MAX` when it never is.
    pub wait: u64,
    /// Microseconds until nothing is used any more.
    pub reset: u64,
}

impl Limit {
    /// A limit; `None` when its numbers are too large to be counted exactly, or zero.
    pub fn new(requests: u64, per: Duration, burst: Option<u64>) -> Option<Self> {
        let (period, burst) = (per.as_secs(), burst.unwrap_or(requests));
        if period == 0 {
            return None;
        }
        Self::counted(requests, period.checked_mul(SECOND)?, burst).map(|it| Self { period, ..it })
    }

    /// A bucket of so many tokens, of which some come back in each interval, to the microsecond.
    pub fn refilled(tokens: u64, interval: Duration, most: u64) -> Option<Self> {
        Self::counted(tokens, u64::try_from(interval.as_micros()).ok()?, most)
    }

    fn counted(requests: u64, micros: u64, burst: u64) -> Option<Self> {
        if requests == 0 || micros == 0 || burst == 0 {
            return None;
        }
        let period = micros.div_ceil(SECOND);
        [1, 1000].into_iter().find_map(|tick| {
            let ticks = micros / tick;
            if ticks == 0 {
                return None;
            }
            let shared = gcd(ticks, requests);
            let (weight, rate) = (ticks / shared, requests / shared);
            let capacity = burst.checked_mul(weight)?;
            let fits = capacity <= MAX_DEBT && rate <= MAX_DEBT;
            fits.then_some(Self { requests, period, burst, weight, rate, tick, capacity })
        })
    }

    /// What is used now, of what was written.
    pub fn now(&self, state: State, now: u64) -> State {
        let debt = if state.weight == self.weight || state.weight == 0 {
            state.debt
        } else {
            // The number was changed: what was used stays used, as far as the limit reaches.
            let units = u128::from(state.debt).div_ceil(u128::from(state.weight));
            u64::try_from(units * u128::from(self.weight)).unwrap_or(u64::MAX).min(self.capacity)
        };
        // Two workers may come in the other order; a clock that was really set back does not hold anything up.
        let since = if state.since.saturating_sub(now) > JUMP { now } else { state.since };
        let ticks = now.saturating_sub(since) / self.tick;
        let debt = debt.saturating_sub(ticks.saturating_mul(self.rate));
        let since = if debt == 0 { since.max(now) } else { since + ticks * self.tick };
        State { debt, since, weight: self.weight }
    }

    /// Whether a state admits more units.
    pub fn admits(&self, state: &State, units: u64) -> bool {
        units.checked_mul(self.weight).and_then(|it| it.checked_add(state.debt)).is_some_and(|it| it <= self.capacity)
    }

    /// Units that a state admits.
    pub fn left(&self, state: &State) -> u64 {
        self.capacity.saturating_sub(state.debt) / self.weight
    }

    /// The state with more units used, at most one more burst than there is.
    #[must_use]
    pub fn used(&self, state: State, units: u64) -> State {
        let debt = state.debt.saturating_add(units.saturating_mul(self.weight)).min(2 * self.capacity);
        State { debt, ..state }
    }

    /// The state with units given back.
    #[must_use]
    pub fn returned(&self, state: State, units: u64) -> State {
        State { debt: state.debt.saturating_sub(units.saturating_mul(self.weight)), ..state }
    }

    /// How a state stands for a request of so many units that was just asked for.
    pub fn standing(&self, debt: u64, units: u64, is_over: bool) -> Standing {
        let wanted = units.saturating_mul(self.weight);
        let wait = match (is_over, wanted > self.capacity) {
            (false, _) => 0,
            (true, true) => u64::MAX,
            (true, false) => self.micros(debt.saturating_add(wanted).saturating_sub(self.capacity)),
        };
        Standing { left: self.capacity.saturating_sub(debt) / self.weight, wait, reset: self.micros(debt) }
    }

    /// Microseconds in which a debt comes back.
    pub fn micros(&self, debt: u64) -> u64 {
        debt.div_ceil(self.rate).saturating_mul(self.tick)
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn limits_are_exact_or_refused() {
        let third = Limit::new(3, Duration::from_secs(1), None).unwrap();
        assert_eq!((third.weight, third.rate, third.capacity, third.tick), (1_000_000, 3, 3_000_000, 1));
        let month = Limit::new(1_000_003, Duration::from_secs(30 * 24 * 3600), None).unwrap();
        assert_eq!((month.tick, month.rate), (1000, 1_000_003), "milliseconds, where microseconds do not fit");
        assert_eq!(Limit::new(u64::MAX, MINUTE, None), None);
        assert_eq!(Limit::new(1, MINUTE, Some(u64::MAX)), None);
        assert_eq!(Limit::new(0, MINUTE, None), None);
        assert_eq!(Limit::new(1, MINUTE, Some(0)), None);
    }

    #[test]
    fn a_changed_number_keeps_what_was_used() {
        let (ten, twenty) = (Limit::new(10, MINUTE, None).unwrap(), Limit::new(20, MINUTE, None).unwrap());
        let used = ten.used(ten.now(State::default(), 5), 10);
        assert!(!ten.admits(&used, 1));
        let now = twenty.now(used, 5);
        assert_eq!(twenty.left(&now), 10);
        let five = Limit::new(5, MINUTE, None).unwrap();
        assert_eq!(five.left(&five.now(used, 5)), 0);
        // In a full minute everything is back.
        assert_eq!(five.left(&five.now(used, 5 + 60 * SECOND)), 5);
    }

    #[test]
    fn a_clock_that_jumps_is_harmless() {
        let limit = Limit::new(1, MINUTE, None).unwrap();
        let used = limit.used(limit.now(State::default(), 1_000 * SECOND), 1);
        let back = limit.now(used, 10 * SECOND);
        assert!(!limit.admits(&back, 1));
        assert!(limit.admits(&limit.now(back, 70 * SECOND), 1), "it counts from the new time on");
    }
}
