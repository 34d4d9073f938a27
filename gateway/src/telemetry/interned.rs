//! Keeps, in each thread, the handles of the label values it has seen, up to a bound.
//!
//! Looking labels up costs more than what is counted. Names come from the configuration, never
//! from a client; over many reloads their number is bounded all the same, for all threads together.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use prometheus::IntCounter;

/// Most combinations of labels of one group of metrics.
const MAX_SERIES: usize = 2000;

/// How many handles there may be.
pub(super) struct Bound {
    open: AtomicUsize,
    overflow: IntCounter,
}

impl Bound {
    /// Counts into `overflow` what is beyond it.
    pub(super) fn new(overflow: IntCounter) -> Self {
        Self { open: AtomicUsize::new(0), overflow }
    }

    fn admits_another(&self) -> bool {
        let admits = self.open.load(Ordering::Relaxed) < MAX_SERIES;
        if admits {
            self.open.fetch_add(1, Ordering::Relaxed);
        } else {
            self.overflow.inc();
        }
        admits
    }
}

/// Handles by a namespace and a name, and by what tells two handles of one name apart.
pub(super) struct Interned<K, V>(ByName<ByName<HashMap<K, V, RandomState>>>);

/// Names come from the configuration, so that a fast hash does.
type ByName<T> = HashMap<Box<str>, T, RandomState>;

impl<K, V> Default for Interned<K, V> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Eq + Hash, V> Interned<K, V> {
    /// Uses the handles, made when they are new; none when there are too many.
    pub(super) fn with<T>(
        &mut self,
        (namespace, name): (&str, &str),
        kind: K,
        (bound, make): (&Bound, impl FnOnce() -> V),
        take: impl FnOnce(Option<&V>) -> T,
    ) -> T {
        let known = self.0.get(namespace).and_then(|it| it.get(name)).and_then(|it| it.get(&kind));
        if known.is_some() || !bound.admits_another() {
            return take(known);
        }
        let names = self.0.entry(namespace.into()).or_default();
        take(Some(names.entry(name.into()).or_default().entry(kind).or_insert_with(make)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_made_once_and_up_to_the_bound() {
        let overflow = IntCounter::new("overflow", "Overflow.").unwrap();
        let (bound, mut interned) = (Bound::new(overflow.clone()), Interned::default());
        for round in 0..2 {
            for number in 0..MAX_SERIES {
                let name = (number / 2).to_string();
                let make = (&bound, || (round, number));
                assert_eq!(interned.with(("n", &name), number % 2, make, |it| it.copied()), Some((0, number)));
            }
        }
        for (key, kind) in [(("n", "0"), 2), (("n", "new"), 0), (("other", "0"), 0)] {
            assert_eq!(interned.with(key, kind, (&bound, || (2, 0)), |it| it.copied()), None);
        }
        assert_eq!((interned.0.len(), interned.0["n"].len()), (1, MAX_SERIES / 2));
        assert_eq!(overflow.get(), 3);
    }
}
