//! Sends what a worker asks: all that comes in one turn as one call, identical requests as one job.
//!
//! At most [`MAX_CALLS`] calls are under way; what comes meanwhile waits and goes out
//! together. A connection that failed is dropped with everything that was asked on it, so a
//! late answer has nobody to reach; one that had ended is made anew, and the call repeated.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use redis::{ErrorKind, ServerErrorKind};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use super::Shared;
use super::failure::Failure;
use super::link::{Kept, Link};
use super::script::{self, Job, Kind, Outcome};
use crate::quota::{Answer, Ask, Tag};

/// Questions that wait for a lane.
const MAX_WAITING: usize = 4096;
/// Questions of one call.
const MAX_BATCH: usize = 128;
/// Calls under way.
const MAX_CALLS: usize = 2;

type Reply = oneshot::Sender<Result<(u32, Vec<Answer>), Failure>>;

/// A job, and who waits for its outcome.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) job: Job,
    pub(super) reply: Reply,
}

/// A job for several who ask the same.
struct Merged {
    job: Job,
    replies: Vec<Reply>,
}

/// What a worker asks by.
#[derive(Debug)]
pub(super) struct Lane(mpsc::Sender<Question>);

/// What the calls of a lane share.
struct Work {
    shared: Arc<Shared>,
    link: Kept,
}

impl Lane {
    /// A lane on the runtime of the caller.
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let (sender, questions) = mpsc::channel(MAX_WAITING);
        let work = Arc::new(Work { shared, link: Kept::default() });
        tokio::spawn(run(work, questions));
        Self(sender)
    }

    pub(super) fn send(&self, question: Question) -> Result<(), Failure> {
        self.0.try_send(question).map_err(|_| Failure::Overload)
    }
}

async fn run(work: Arc<Work>, mut questions: mpsc::Receiver<Question>) {
    let calls = Arc::new(Semaphore::new(MAX_CALLS));
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while questions.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let Ok(permit) = Arc::clone(&calls).acquire_owned().await else { return };
        while batch.len() < MAX_BATCH {
            let Ok(it) = questions.try_recv() else { break };
            batch.push(it);
        }
        // Who gave up meanwhile is not counted.
        batch.retain(|it| !it.reply.is_closed() || it.job.kind != Kind::Ask);
        let merged = merge(batch.drain(..));
        if merged.is_empty() {
            continue;
        }
        let work = Arc::clone(&work);
        tokio::spawn(async move {
            work.answer(merged).await;
            drop(permit);
        });
    }
}

/// Identical requests become one job.
fn merge(questions: impl Iterator<Item = Question>) -> Vec<Merged> {
    let mut merged: Vec<Merged> = Vec::new();
    let mut places: HashMap<Tag, usize> = HashMap::new();
    for Question { job, reply } in questions {
        let tag = job.asks.first().map_or(Tag(0), |it| it.tag);
        let known = places.get(&tag).and_then(|it| merged.get_mut(*it)).filter(|it| is_same(&it.job, &job));
        match known {
            Some(it) => {
                it.job.requests += 1;
                it.replies.push(reply);
            }
            None => {
                places.insert(tag, merged.len());
                merged.push(Merged { job, replies: vec![reply] });
            }
        }
    }
    merged
}

/// Whether two jobs ask the same for one request each.
fn is_same(known: &Job, job: &Job) -> bool {
    let same = |(a, b): (&Ask, &Ask)| a.tag == b.tag && a.cost == b.cost && Arc::ptr_eq(&a.limits, &b.limits);
    let of_requests = known.kind == Kind::Ask && job.kind == Kind::Ask && job.requests == 1;
    // A lease asks for many units at once, and is not to be shared.
    let is_single = known.asks.len() == job.asks.len() && known.asks.iter().all(|it| it.lease.is_none());
    of_requests && is_single && known.asks.iter().zip(&job.asks).all(same)
}

impl Work {
    async fn answer(self: Arc<Self>, merged: Vec<Merged>) {
        let time = self.shared.call_time();
        let link = match tokio::time::timeout(time, self.link.get(&self.shared.terms)).await {
            Ok(it) => it,
            Err(_) => Err(Failure::Timeout),
        };
        match link {
            Err(failure) => self.refuse(merged.into_iter().flat_map(|it| it.replies), failure),
            Ok(link @ Link::One(_)) => self.call(link, merged).await,
            Ok(link @ Link::Cluster(_)) => {
                let mut calls = JoinSet::new();
                for it in merged {
                    let (work, link) = (Arc::clone(&self), link.clone());
                    calls.spawn(async move { work.apart(link, it).await });
                }
                while calls.join_next().await.is_some() {}
            }
        }
    }

    fn refuse(&self, replies: impl Iterator<Item = Reply>, failure: Failure) {
        self.shared.strike();
        self.link.forget();
        for reply in replies {
            // Who gave up does not listen any more.
            reply.send(Err(failure)).unwrap_or_default();
        }
    }

    /// One call for all jobs.
    async fn call(&self, mut link: Link, merged: Vec<Merged>) {
        let (jobs, replies): (Vec<Job>, Vec<Vec<Reply>>) = merged.into_iter().map(|it| (it.job, it.replies)).unzip();
        let mut outcomes = self.run(&mut link, &jobs).await;
        if matches!(outcomes, Err(Failure::Connection)) {
            // A server that went away has ended what was kept. Should it have counted before, it counts twice: a
            // request too few is admitted, never one too many.
            self.link.forget();
            outcomes = match self.link.get(&self.shared.terms).await {
                Ok(mut link) => self.run(&mut link, &jobs).await,
                Err(failure) => Err(failure),
            };
        }
        match outcomes {
            Err(failure) => self.refuse(replies.into_iter().flatten(), failure),
            Ok(outcomes) => {
                for ((outcome, job), replies) in outcomes.into_iter().zip(&jobs).zip(replies) {
                    reply(outcome, &job.asks, replies);
                }
            }
        }
    }

    async fn run(&self, link: &mut Link, jobs: &[Job]) -> Result<Vec<Option<Outcome>>, Failure> {
        let begun = Instant::now();
        let work = async {
            let call = script::call(&self.shared.sha, &self.shared.terms.prefix, jobs);
            let first = link.try_send::<Vec<i64>>(&call).await;
            let answer = match first {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    let mut load = redis::cmd("SCRIPT");
                    load.arg("LOAD").arg(script::SOURCE);
                    link.send::<redis::Value>(&load).await?;
                    link.send::<Vec<i64>>(&call).await?
                }
                Err(error) => {
                    log::debug!("Redis: {error}");
                    return Err(Failure::of(&error));
                }
                Ok(answer) => answer,
            };
            script::read(&answer, jobs).ok_or(Failure::Protocol)
        };
        let outcome = tokio::time::timeout(self.shared.call_time(), work).await.unwrap_or(Err(Failure::Timeout))?;
        self.shared.answered(begun);
        Ok(outcome)
    }

    /// A job on a cluster: a call for each of its keys, side by side; what was taken is given back when one refuses.
    async fn apart(self: Arc<Self>, link: Link, merged: Merged) {
        let Merged { job, replies } = merged;
        if job.asks.len() == 1 {
            return self.call(link, vec![Merged { job, replies }]).await;
        }
        let mut calls = JoinSet::new();
        for (index, ask) in job.asks.iter().enumerate() {
            let (work, mut link, ask) = (Arc::clone(&self), link.clone(), ask.clone());
            let (kind, requests) = (job.kind, job.requests);
            calls.spawn(async move {
                let jobs = [Job { kind, requests, asks: vec![ask] }];
                let mut outcomes = work.run(&mut link, &jobs).await?;
                outcomes.pop().flatten().map(|it| (index, it)).ok_or(Failure::WrongType)
            });
        }
        let mut groups: Vec<Option<(u32, Vec<u64>)>> = job.asks.iter().map(|_| None).collect();
        let mut failed = None;
        while let Some(done) = calls.join_next().await {
            match done.unwrap_or(Err(Failure::Connection)) {
                Ok((index, mut outcome)) => {
                    if let Some(place) = groups.get_mut(index) {
                        *place = outcome.groups.pop();
                    }
                }
                Err(failure) => failed = Some(failure),
            }
        }
        let admitted = if failed.is_some() { 0 } else { admitted(&job, &groups) };
        self.return_excess(link, &job, &groups, admitted).await;
        match failed {
            Some(failure) => self.refuse(replies.into_iter(), failure),
            None => {
                let outcome = Outcome { admitted, groups: groups.into_iter().flatten().collect() };
                reply(Some(outcome), &job.asks, replies);
            }
        }
    }

    /// Gives back what keys took for requests that others refuse.
    async fn return_excess(&self, mut link: Link, job: &Job, groups: &[Option<(u32, Vec<u64>)>], admitted: u32) {
        if job.kind != Kind::Ask {
            return;
        }
        for (ask, group) in job.asks.iter().zip(groups) {
            let excess = group.as_ref().map_or(0, |(admits, _)| admits.saturating_sub(admitted));
            if excess > 0 {
                let back = [Job { kind: Kind::GiveBack, requests: excess, asks: vec![ask.clone()] }];
                if let Err(failure) = self.run(&mut link, &back).await {
                    self.shared.failed(failure);
                }
            }
        }
    }
}

/// Requests that every enforced rule admits.
fn admitted(job: &Job, groups: &[Option<(u32, Vec<u64>)>]) -> u32 {
    let enforced = job.asks.iter().zip(groups).filter(|(ask, _)| ask.enforced);
    enforced.map(|(_, group)| group.as_ref().map_or(0, |it| it.0)).min().unwrap_or(job.requests)
}

/// Tells each who asked: the first ones are admitted, as many as there is room for.
fn reply(outcome: Option<Outcome>, asks: &[Ask], replies: Vec<Reply>) {
    for (number, reply) in (0..).zip(replies) {
        let said = match &outcome {
            Some(it) => Ok((it.admitted, it.answers(asks, number))),
            None => Err(Failure::WrongType),
        };
        // Who gave up does not listen any more; what it took is not given back, as if it had come in time.
        reply.send(said).unwrap_or_default();
    }
}
