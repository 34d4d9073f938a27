//! What is said to Redis: jobs as one call of a script, and what its answer says of each.

use redis::{Cmd, cmd};

use crate::quota::gcra::Limit;
use crate::quota::{Answer, Ask, Tag};

/// The script; it is known to the server by its digest.
pub(super) const SOURCE: &str = include_str!("script.lua");
/// Version of what keys hold, so that an upgrade never reads an old form.
const FORMAT: &str = "1";

/// What is done with the units of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// They are asked for.
    Ask,
    /// They are used up whatever there is.
    Charge,
    /// They are given back.
    GiveBack,
}

/// Identical requests that are asked about together.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) kind: Kind,
    pub(super) requests: u32,
    pub(super) asks: Vec<Ask>,
}

/// What became of a job.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Requests that are admitted.
    pub(super) admitted: u32,
    /// For each ask the requests that it admits, and how its limits stand.
    pub(super) groups: Vec<(u32, Vec<u64>)>,
}

/// The key of a limit; those of one rule's key share a slot of a cluster.
pub(super) fn key(prefix: &str, tag: Tag, limit: &Limit) -> String {
    format!("{prefix}{FORMAT}:{{{:032x}}}:{}", tag.0, limit.period)
}

/// The call for jobs.
pub(super) fn call(sha: &str, prefix: &str, jobs: &[Job]) -> Cmd {
    let mut input: Vec<u8> = Vec::with_capacity(jobs.len() * 128);
    let mut put = |number: f64| input.extend_from_slice(&number.to_le_bytes());
    let mut keys = Vec::new();
    for job in jobs {
        put(match job.kind {
            Kind::Ask => 0.0,
            Kind::Charge => 1.0,
            Kind::GiveBack => 2.0,
        });
        put(f64::from(job.requests));
        put(exact(job.asks.len() as u64));
        for ask in &job.asks {
            put(f64::from(u8::from(ask.enforced)));
            put(f64::from(ask.cost));
            put(exact(ask.limits.len() as u64));
            for limit in ask.limits.iter() {
                [limit.weight, limit.rate, limit.tick, limit.capacity].into_iter().for_each(|it| put(exact(it)));
                keys.push(key(prefix, ask.tag, limit));
            }
        }
    }
    let mut call = cmd("EVALSHA");
    call.arg(sha).arg(keys.len()).arg(keys).arg(input);
    call
}

/// A number of a limit; all of them are exact in a double (see [`Limit`]).
#[expect(clippy::cast_precision_loss, reason = "limits are bounded below 2^53")]
fn exact(number: u64) -> f64 {
    number as f64
}

/// What an answer says of each job, `None` where a key holds something else; `None` of all when it has another form.
pub(super) fn read(answer: &[i64], jobs: &[Job]) -> Option<Vec<Option<Outcome>>> {
    let mut numbers = answer.iter().copied();
    let mut out = Vec::with_capacity(jobs.len());
    for job in jobs {
        let admitted = numbers.next()?;
        let mut groups = Vec::with_capacity(job.asks.len());
        for ask in &job.asks {
            let admits = u32::try_from(numbers.next()?).ok()?;
            let mut debts = Vec::with_capacity(ask.limits.len());
            for _ in ask.limits.iter() {
                debts.push(u64::try_from(numbers.next()?).ok()?);
            }
            groups.push((admits, debts));
        }
        out.push(u32::try_from(admitted).ok().map(|admitted| Outcome { admitted, groups }));
    }
    numbers.next().is_none().then_some(out)
}

impl Outcome {
    /// What it says of the request with this number among the identical ones.
    pub(super) fn answers(&self, asks: &[Ask], number: u32) -> Vec<Answer> {
        let each = |(ask, (admits, debts)): (&Ask, &(u32, Vec<u64>))| {
            let is_over = number >= *admits;
            let units = if is_over { u64::from(ask.cost) } else { 0 };
            let standing = |(limit, debt): (&Limit, &u64)| {
                let full = is_over && debt.saturating_add(units.saturating_mul(limit.weight)) > limit.capacity;
                limit.standing(*debt, units, full)
            };
            Answer { standings: ask.limits.iter().zip(debts).map(standing).collect(), is_over }
        };
        asks.iter().zip(&self.groups).map(each).collect()
    }
}
