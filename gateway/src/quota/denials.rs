//! Remembers which keys are refused, and until when: whoever hammers costs the store nothing.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gcra::{Limit, Standing};
use super::shards::Shards;
use super::{Answer, Ask, Tag};

/// Parts that are locked one by one.
const SHARDS: NonZeroUsize = NonZeroUsize::new(32).expect("it is more than none");
/// Keys of each part.
const KEYS: NonZeroUsize = NonZeroUsize::new(2048).expect("it is more than none");

/// What was refused.
#[derive(Debug)]
struct Denial {
    /// No earlier than then the limits admit the same.
    until: Instant,
    /// Units that were too many; fewer may still fit.
    cost: u32,
    /// The limits that said so; changed ones may say otherwise.
    limits: Arc<[Limit]>,
    standings: Vec<Standing>,
}

/// Refusals that still hold.
#[derive(Debug)]
pub struct Denials(Shards<Denial>);

impl Default for Denials {
    fn default() -> Self {
        Self(Shards::new(SHARDS, KEYS))
    }
}

impl Denials {
    /// What is known of a question: the answer that refuses it.
    pub fn find(&self, ask: &Ask, now: Instant) -> Option<Answer> {
        self.0.with(ask.tag, |shard| {
            let denial = shard.get(&ask.tag)?;
            let left = denial.until.saturating_duration_since(now);
            if left.is_zero() || denial.limits != ask.limits {
                shard.pop(&ask.tag);
                return None;
            }
            (ask.cost >= denial.cost).then(|| {
                let wait = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
                let fresh = |it: &Standing| Standing { wait: it.wait.min(wait), ..*it };
                Answer { standings: denial.standings.iter().map(fresh).collect(), is_over: true }
            })
        })
    }

    /// Remembers a refusal of a question that was sent at a time.
    pub fn note(&self, ask: &Ask, answer: &Answer, sent: Instant) {
        let wait = answer.wait();
        if !answer.is_over || ask.cost == 0 || wait == u64::MAX {
            return;
        }
        let Some(until) = sent.checked_add(Duration::from_micros(wait)) else { return };
        let (limits, standings) = (Arc::clone(&ask.limits), answer.standings.clone());
        self.0.with(ask.tag, |shard| shard.push(ask.tag, Denial { until, cost: ask.cost, limits, standings }));
    }

    /// Forgets a key.
    pub fn forget(&self, tag: Tag) {
        self.0.with(tag, |shard| shard.pop(&tag));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_holds_until_it_can_change() {
        let limit = Limit::new(10, Duration::from_secs(10), None).unwrap();
        let ask = |cost| Ask { tag: Tag(7), limits: [limit].into(), cost, enforced: true, lease: None };
        let standing = limit.standing(limit.capacity, 2, true);
        let answer = Answer { standings: vec![standing], is_over: true };
        let (denials, sent) = (Denials::default(), Instant::now());
        denials.note(&ask(2), &answer, sent);
        let known = denials.find(&ask(2), sent + Duration::from_millis(500)).unwrap();
        assert_eq!(known.wait(), 1_500_000);
        assert!(denials.find(&ask(1), sent).is_none(), "one unit may fit where two do not");
        assert!(denials.find(&ask(2), sent + Duration::from_secs(2)).is_none());
        denials.note(&ask(2), &answer, sent);
        let other = Limit::new(11, Duration::from_secs(10), None).unwrap();
        let changed = Ask { limits: [other].into(), ..ask(2) };
        assert!(denials.find(&changed, sent).is_none(), "the limit was changed");
    }
}
