//! The stores of rate limits beside a model of twenty lines: over random schedules all three decide alike.

use std::sync::Arc;
use std::time::Duration;

use gateway::quota::gcra::Limit;
use gateway::quota::memory::MemoryStore;
use gateway::quota::{Ask, Tag, admits};

use crate::harness::redis::Redis;

const SCRIPT: &str = include_str!("../gateway/src/quota/redis/script.lua");
const SCHEDULES: u64 = 10_000;
const EVENTS: usize = 12;

/// GCRA as the textbook has it: the theoretical arrival time of the next unit, in `1/requests` of a microsecond.
#[derive(Default)]
struct Model(std::collections::HashMap<(u128, u64), u128>);

impl Model {
    fn asks(&mut self, asks: &[Ask], now: u64) -> bool {
        let after = |model: &Self, ask: &Ask, limit: &Limit| {
            let now = u128::from(now) * u128::from(limit.requests);
            let arrival = model.0.get(&(ask.tag.0, limit.period)).copied().unwrap_or(0).max(now);
            let period = u128::from(limit.period) * 1_000_000;
            let next = arrival + u128::from(ask.cost) * period;
            (next, next <= now + u128::from(limit.burst) * period)
        };
        let over = |model: &Self, ask: &Ask| !ask.limits.iter().all(|limit| after(model, ask, limit).1);
        let is_over: Vec<bool> = asks.iter().map(|ask| over(self, ask)).collect();
        let passes = asks.iter().zip(&is_over).all(|(ask, over)| !ask.enforced || !over);
        for (ask, _) in asks.iter().zip(&is_over).filter(|(_, over)| passes && !**over) {
            for limit in ask.limits.iter() {
                let next = after(self, ask, limit).0;
                self.0.insert((ask.tag.0, limit.period), next);
            }
        }
        passes
    }
}

/// Rules of a request: some limits each, some of them only rehearsed.
fn rules(dice: &mut fastrand::Rng) -> Vec<Ask> {
    let rule = |dice: &mut fastrand::Rng, number: u128| {
        let mut periods = vec![1_u64, 7, 60, 3600];
        dice.shuffle(&mut periods);
        let limit = |dice: &mut fastrand::Rng, period: u64| {
            let burst = dice.bool().then(|| dice.u64(1..12));
            Limit::new(dice.u64(1..50), Duration::from_secs(period), burst).unwrap()
        };
        let limits: Arc<[Limit]> = periods[..dice.usize(1..=3)].iter().map(|it| limit(dice, *it)).collect();
        Ask { tag: Tag(number << 64), limits, cost: 1, enforced: dice.u8(..4) > 0, lease: None }
    };
    (0..dice.u128(1..=2)).map(|it| rule(dice, it)).collect()
}

/// Asks of a schedule, each with its time.
fn schedule(seed: u64) -> Vec<(u64, Vec<Ask>)> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let rules = rules(&mut dice);
    let mut now = 1_700_000_000_000_000 + seed * 1_000_000_000;
    (0..EVENTS)
        .map(|_| {
            now += match dice.u8(..4) {
                0 => 0,
                1 => dice.u64(..100_000),
                2 => dice.u64(..2_000_000),
                _ => dice.u64(..100_000_000),
            };
            let key = dice.u128(..2);
            let cost = dice.u32(1..=3);
            let of_key = |it: &Ask| Ask { tag: Tag(it.tag.0 + key + u128::from(seed) * 2), cost, ..it.clone() };
            (now, rules.iter().map(of_key).collect())
        })
        .collect()
}

/// The script's input for one request.
fn input(asks: &[Ask]) -> Vec<u8> {
    let mut numbers = vec![0, 1, asks.len() as u64];
    for ask in asks {
        numbers.extend([u64::from(ask.enforced), u64::from(ask.cost), ask.limits.len() as u64]);
        for limit in ask.limits.iter() {
            numbers.extend([limit.weight, limit.rate, limit.tick, limit.capacity]);
        }
    }
    numbers.into_iter().flat_map(|it| (it as f64).to_le_bytes()).collect()
}

#[test]
fn the_stores_and_the_model_decide_alike() {
    let redis = Redis::start();
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let timed = SCRIPT.replace("redis.call('TIME')", "{ARGV[2], ARGV[3]}");
    assert_ne!(timed, SCRIPT);
    let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(timed).query(&mut connection).unwrap();
    let (memory, mut outcomes) = (MemoryStore::default(), [0_u64; 2]);
    for seed in 0..SCHEDULES {
        let mut model = Model::default();
        let events = schedule(seed);
        let mut pipeline = redis::pipe();
        for (now, asks) in &events {
            let keys: Vec<String> = asks
                .iter()
                .flat_map(|ask| ask.limits.iter().map(move |it| format!("{}:{}", ask.tag.0, it.period)))
                .collect();
            let call = pipeline.cmd("EVALSHA").arg(&sha).arg(keys.len()).arg(keys).arg(input(asks));
            call.arg(now / 1_000_000).arg(now % 1_000_000);
        }
        let answers: Vec<Vec<i64>> = pipeline.query(&mut connection).unwrap();
        for (number, ((now, asks), answer)) in events.iter().zip(answers).enumerate() {
            let expected = model.asks(asks, *now);
            let stored = memory.ask(asks, *now);
            assert_eq!(admits(asks, &stored), expected, "memory: schedule {seed}, event {number}");
            assert_eq!(answer[0] == 1, expected, "redis: schedule {seed}, event {number}");
            let left: Vec<u64> = stored.iter().flat_map(|it| it.standings.iter().map(|it| it.left)).collect();
            let mut numbers = answer[1..].iter();
            let debts = asks.iter().flat_map(|ask| {
                numbers.next();
                let debts: Vec<i64> = numbers.by_ref().take(ask.limits.len()).copied().collect();
                ask.limits.iter().zip(debts).map(|(limit, debt)| limit.standing(debt as u64, 0, false).left)
            });
            assert_eq!(left, debts.collect::<Vec<_>>(), "schedule {seed}, event {number}");
            outcomes[usize::from(expected)] += 1;
        }
    }
    assert!(outcomes.iter().all(|it| *it > 10_000), "both outcomes are frequent: {outcomes:?}");
}
