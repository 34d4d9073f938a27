//! Counts in memory: shards with a bound on keys, of which those that were seen longest ago are forgotten.
//!
//! All limits of a rule lie in one shard. A request with several rules locks their shards
//! together, looks at all and then uses all up, so that it uses everything or nothing.

use std::num::NonZeroUsize;

use super::gcra::{Limit, Standing, State};
use super::shards::{self, Shards};
use super::{Answer, Ask, Tag, admits};

/// Parts that are locked one by one.
const SHARDS: NonZeroUsize = NonZeroUsize::new(64).expect("it is more than none");
/// Keys that are remembered, in all shards together; about 150 bytes each.
pub const MAX_KEYS: usize = 1 << 19;

/// What is remembered of a rule's key: a state for each period.
type States = Vec<(u64, State)>;

type Shard = shards::Shard<States>;

/// The store.
#[derive(Debug)]
pub struct MemoryStore(Shards<States>);

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MAX_KEYS)
    }
}

impl MemoryStore {
    /// A store of so many keys; at least one in each shard.
    pub fn new(keys: usize) -> Self {
        Self(Shards::new(SHARDS, NonZeroUsize::new(keys / SHARDS).unwrap_or(NonZeroUsize::MIN)))
    }

    /// Asks for a request; `now` is in microseconds.
    pub fn ask(&self, asks: &[Ask], now: u64) -> Vec<Answer> {
        if let [ask] = asks {
            return vec![self.0.with(ask.tag, |shard| one(shard, ask, now))];
        }
        let mut locked = self.0.lock(asks.iter().map(|it| it.tag));
        let mut answers: Vec<Answer> = Vec::with_capacity(asks.len());
        for ask in asks {
            answers.push(locked.with(ask.tag, |shard| look(shard, ask, now)).unwrap_or_default());
        }
        if admits(asks, &answers) {
            for (ask, answer) in asks.iter().zip(&mut answers).filter(|(_, it)| !it.is_over) {
                locked.with(ask.tag, |shard| *answer = take(shard, ask, now));
            }
        }
        answers
    }

    /// Uses units up without asking, as a response told them.
    pub fn charge(&self, tag: Tag, limits: &[Limit], units: u32, now: u64) {
        self.change(tag, limits, now, |limit, state| limit.used(state, u64::from(units)));
    }

    /// Gives units back.
    pub fn give_back(&self, tag: Tag, limits: &[Limit], units: u32, now: u64) {
        self.change(tag, limits, now, |limit, state| limit.returned(state, u64::from(units)));
    }

    fn change(&self, tag: Tag, limits: &[Limit], now: u64, change: impl Fn(&Limit, State) -> State) {
        self.0.with(tag, |shard| {
            let states = shard.get_or_insert_mut(tag, Vec::new);
            for limit in limits {
                let state = change(limit, current(states, limit, now));
                write(states, limit, state);
            }
        });
    }

    /// How a key stands, without using anything up.
    pub fn show(&self, tag: Tag, limits: &[Limit], now: u64) -> Vec<Standing> {
        self.0.with(tag, |shard| {
            let states = shard.peek(&tag).map_or(&[][..], Vec::as_slice);
            limits.iter().map(|limit| limit.standing(current(states, limit, now).debt, 0, false)).collect()
        })
    }

    /// Forgets a key.
    pub fn reset(&self, tag: Tag) {
        self.0.with(tag, |shard| shard.pop(&tag));
    }

    /// Keys that are remembered.
    pub fn keys(&self) -> usize {
        self.0.keys()
    }
}

/// The state of a limit now.
fn current(states: &[(u64, State)], limit: &Limit, now: u64) -> State {
    let written = states.iter().find(|(period, _)| *period == limit.period);
    limit.now(written.map_or(State::default(), |it| it.1), now)
}

/// Writes the state of a limit.
fn write(states: &mut States, limit: &Limit, state: State) {
    match states.iter_mut().find(|(period, _)| *period == limit.period) {
        Some(it) => it.1 = state,
        None => states.push((limit.period, state)),
    }
}

/// How the limits would stand behind a request.
fn look(shard: &mut Shard, ask: &Ask, now: u64) -> Answer {
    let states = shard.get(&ask.tag).map_or(&[][..], Vec::as_slice);
    let mut answer = Answer { standings: Vec::with_capacity(ask.limits.len()), is_over: false };
    for limit in ask.limits.iter() {
        let state = current(states, limit, now);
        let is_over = !limit.admits(&state, u64::from(ask.cost));
        answer.is_over |= is_over;
        answer.standings.push(limit.standing(state.debt, u64::from(ask.cost), is_over));
    }
    answer
}

/// Uses up what was admitted.
fn take(shard: &mut Shard, ask: &Ask, now: u64) -> Answer {
    let states = shard.get_or_insert_mut(ask.tag, Vec::new);
    let mut standings = Vec::with_capacity(ask.limits.len());
    for limit in ask.limits.iter() {
        let state = limit.used(current(states, limit, now), u64::from(ask.cost));
        write(states, limit, state);
        standings.push(limit.standing(state.debt, 0, false));
    }
    Answer { standings, is_over: false }
}

fn one(shard: &mut Shard, ask: &Ask, now: u64) -> Answer {
    let answer = look(shard, ask, now);
    if answer.is_over { answer } else { take(shard, ask, now) }
}
