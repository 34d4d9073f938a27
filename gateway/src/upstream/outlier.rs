//! Leaves out endpoints whose requests fail (Istio's `outlierDetection`, Envoy's algorithm).
//!
//! Failures in a row eject an endpoint at once; a sweep lets it back after the base time
//! multiplied by the number of its ejections, and forgives one ejection for each sweep it
//! stays in. Never more than the admitted share of a cluster is out. Workers only touch
//! counters; nothing here locks, allocates or reads a clock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Longest ejection, unless the base time is longer (Envoy's default).
const MAX_EJECTION: Duration = Duration::from_secs(300);

/// When an endpoint is left out, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Detection {
    /// 5xx answers in a row, local failures among them unless split; 0 is off.
    pub consecutive_5xx: u32,
    /// 502, 503 and 504 in a row; 0 is off.
    pub consecutive_gateway: u32,
    /// Failures before an answer in a row, only when split; 0 is off.
    pub consecutive_local: u32,
    /// Whether failures before an answer are counted apart.
    pub splits_local: bool,
    /// Statuses that count as errors; empty for 5xx.
    pub error_codes: Box<[u16]>,
    /// Time between sweeps.
    pub interval: Duration,
    /// Length of the first ejection.
    pub base_ejection: Duration,
    /// Most endpoints out at once, in percent.
    pub max_ejection_percent: u8,
    /// Share of usable endpoints below which all are used, in percent; 0 is never.
    pub min_health_percent: u8,
}

/// What became of one try at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered with this status.
    Answered(u16),
    /// No answer: not connected, reset, or too late.
    Failed,
}

/// What happened to the requests to one endpoint.
#[derive(Debug, Default)]
pub struct Record {
    in_a_row_5xx: AtomicU32,
    in_a_row_gateway: AtomicU32,
    in_a_row_local: AtomicU32,
    ejections: AtomicU32,
    /// When it was ejected, in milliseconds of the cluster's life, plus one; 0 when it is not.
    ejected_at: AtomicU64,
}

impl Record {
    /// Whether it is left out.
    pub fn is_ejected(&self) -> bool {
        self.ejected_at.load(Ordering::Relaxed) != 0
    }

    /// Whether its last try ended without an answer.
    pub fn is_suspect(&self) -> bool {
        self.in_a_row_local.load(Ordering::Relaxed) > 0
    }

    /// Remembers whether a try was answered, for clusters that leave nobody out.
    pub fn remember(&self, outcome: Outcome) {
        count(&self.in_a_row_local, outcome == Outcome::Failed, 0);
    }

    /// Ejections that still count.
    pub fn ejections(&self) -> u32 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// Counts an outcome; says whether it is one too many.
    pub fn note(&self, outcome: Outcome, detection: &Detection) -> bool {
        let is_local = outcome == Outcome::Failed && detection.splits_local;
        let status = match outcome {
            Outcome::Answered(status) => status,
            Outcome::Failed => 503,
        };
        let is_error = if detection.error_codes.is_empty() || outcome == Outcome::Failed {
            (500..=599).contains(&status)
        } else {
            detection.error_codes.contains(&status)
        };
        let is_gateway = is_error && matches!(status, 502..=504);
        let local = count(&self.in_a_row_local, outcome == Outcome::Failed, detection.consecutive_local);
        if is_local {
            return local;
        }
        let any = count(&self.in_a_row_5xx, is_error, detection.consecutive_5xx);
        let gateway = count(&self.in_a_row_gateway, is_gateway, detection.consecutive_gateway);
        any || gateway
    }

    /// Leaves it out from `now` on.
    pub fn eject(&self, now: Duration) {
        for it in [&self.in_a_row_5xx, &self.in_a_row_gateway, &self.in_a_row_local] {
            it.store(0, Ordering::Relaxed);
        }
        self.ejections.fetch_add(1, Ordering::Relaxed);
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1);
        self.ejected_at.store(millis + 1, Ordering::Relaxed);
    }

    /// Lets it back when its time is over; says whether it was.
    pub fn sweep(&self, now: Duration, detection: &Detection) -> bool {
        let Some(since) = self.ejected_at.load(Ordering::Relaxed).checked_sub(1) else {
            // It behaved for a whole interval.
            let less = |it: u32| it.checked_sub(1);
            self.ejections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap_or_default();
            return false;
        };
        let longest = MAX_EJECTION.max(detection.base_ejection);
        let length = detection.base_ejection.saturating_mul(self.ejections()).min(longest);
        let is_over = now.saturating_sub(Duration::from_millis(since)) >= length;
        if is_over {
            self.ejected_at.store(0, Ordering::Relaxed);
        }
        is_over
    }
}

/// Whether one more of `total` endpoints may be left out when `ejected` are.
pub fn may_eject(ejected: usize, total: usize, detection: &Detection) -> bool {
    (ejected + 1) * 100 <= total * usize::from(detection.max_ejection_percent)
}

fn count(counter: &AtomicU32, is_error: bool, limit: u32) -> bool {
    if !is_error {
        // Most answers are good; a load is cheaper than a store that every worker sees.
        if counter.load(Ordering::Relaxed) != 0 {
            counter.store(0, Ordering::Relaxed);
        }
        return false;
    }
    counter.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= limit && limit > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection() -> Detection {
        Detection {
            consecutive_5xx: 3,
            consecutive_gateway: 0,
            consecutive_local: 2,
            splits_local: false,
            error_codes: Box::default(),
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection_percent: 10,
            min_health_percent: 0,
        }
    }

    fn judge(detection: &Detection, outcomes: &[Outcome]) -> bool {
        let record = Record::default();
        outcomes.iter().fold(false, |_, it| record.note(*it, detection))
    }

    const BAD: Outcome = Outcome::Answered(500);
    const GOOD: Outcome = Outcome::Answered(200);

    #[test]
    fn only_failures_in_a_row_count() {
        let detection = detection();
        assert!(!judge(&detection, &[BAD, BAD, GOOD, BAD, BAD]));
        assert!(judge(&detection, &[BAD, Outcome::Failed, BAD]));
        assert!(!judge(&detection, &[Outcome::Answered(404); 9]));
        let off = Detection { consecutive_5xx: 0, ..detection };
        assert!(!judge(&off, &[BAD; 99]));
    }

    #[test]
    fn local_failures_count_apart_when_split() {
        let split = Detection { splits_local: true, ..detection() };
        assert!(!judge(&split, &[BAD, BAD, Outcome::Failed]), "one local failure, two answers");
        assert!(judge(&split, &[Outcome::Failed, Outcome::Failed]));
        let only_gateway = Detection { consecutive_5xx: 0, consecutive_gateway: 2, ..detection() };
        assert!(!judge(&only_gateway, &[BAD, BAD]));
        assert!(judge(&only_gateway, &[Outcome::Answered(503), Outcome::Failed]));
    }

    #[test]
    fn chosen_statuses_replace_5xx() {
        let codes = Detection { error_codes: [429].into(), ..detection() };
        assert!(!judge(&codes, &[BAD; 3]));
        assert!(judge(&codes, &[Outcome::Answered(429); 3]));
    }

    #[test]
    fn each_ejection_lasts_longer_and_good_behaviour_is_forgiven() {
        let (detection, record) = (detection(), Record::default());
        let at = Duration::from_secs;
        record.eject(at(0));
        assert!(!record.sweep(at(29), &detection) && record.is_ejected());
        assert!(record.sweep(at(30), &detection) && !record.is_ejected());
        record.eject(at(40));
        assert!(!record.sweep(at(99), &detection));
        assert!(record.sweep(at(100), &detection));
        assert_eq!(record.ejections(), 2);
        assert!(!record.sweep(at(110), &detection));
        assert_eq!(record.ejections(), 1);
    }

    #[test]
    fn ejections_never_last_longer_than_the_bound() {
        let (detection, record) = (detection(), Record::default());
        for _ in 0..50 {
            record.eject(Duration::ZERO);
        }
        assert!(record.sweep(MAX_EJECTION, &detection));
    }

    #[test]
    fn the_admitted_share_holds_from_the_first_ejection() {
        let detection = detection();
        assert!(!may_eject(0, 9, &detection));
        assert!(may_eject(0, 10, &detection));
        assert!(!may_eject(1, 19, &detection));
        assert!(may_eject(2, 3, &Detection { max_ejection_percent: 100, ..detection }));
    }
}
