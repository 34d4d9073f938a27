//! Counts in a Redis that all replicas share: one round trip for a request, none for one that is known to be refused.
//!
//! Each worker has a lane ([`lane`]) with a connection of its own; what comes to a lane in
//! one turn goes out as one call of a script, identical requests as one job. Every question
//! has a deadline. After a few failures in a row the breaker ([`breaker`]) opens: nobody
//! waits any more, and a probe looks for the server until it answers again.

mod breaker;
pub mod failure;
mod lane;
mod link;
mod script;
pub mod terms;
mod windows;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::breaker::Breaker;
use self::failure::Failure;
use self::lane::{Lane, Question};
use self::link::Link;
use self::script::{Job, Kind};
use self::terms::Terms;
use self::windows::WindowLink;
use super::gcra::Limit;
use super::{Answer, Ask, Tag};
use crate::telemetry::quota_metrics::RedisMetrics;

/// Most lanes; more workers share them.
const LANES: usize = 64;

/// What an ask is answered with, for each of its rules.
pub type Answers = Result<Vec<Answer>, Failure>;

/// The store.
#[derive(Debug)]
pub struct RedisStore {
    shared: Arc<Shared>,
    /// By number of the worker; each begins with its first question.
    lanes: Box<[OnceLock<Lane>]>,
    /// Likewise, for fixed windows.
    windows: Box<[WindowLink]>,
}

/// What all lanes work with.
#[derive(Debug)]
struct Shared {
    terms: Terms,
    sha: String,
    breaker: Breaker,
    metrics: OnceLock<RedisMetrics>,
}

impl RedisStore {
    /// A store that is not connected yet.
    pub fn new(terms: Terms) -> Self {
        let sha = redis::Script::new(script::SOURCE).get_hash().to_owned();
        let shared = Shared { terms, sha, breaker: Breaker::default(), metrics: OnceLock::new() };
        Self {
            shared: Arc::new(shared),
            lanes: (0..LANES).map(|_| OnceLock::new()).collect(),
            windows: (0..LANES).map(|_| WindowLink::default()).collect(),
        }
    }

    /// What it is.
    pub fn terms(&self) -> &Terms {
        &self.shared.terms
    }

    /// Begins to look for the server; the receiver hears when the first attempt is over.
    pub fn start(&self, metrics: &RedisMetrics) -> Option<oneshot::Receiver<()>> {
        self.shared.metrics.set(metrics.clone()).ok()?;
        let (done, first) = oneshot::channel();
        breaker::probe(&self.shared, Some(done));
        Some(first)
    }

    /// Whether the server answers, as far as is known.
    pub fn is_up(&self) -> bool {
        self.shared.breaker.is_closed()
    }

    /// Asks about a request of a worker; gives up at the deadline.
    pub async fn ask(&self, asks: Vec<Ask>, worker: usize) -> Answers {
        let (_, answers) = self.question(Kind::Ask, 1, asks, worker).await?;
        Ok(answers)
    }

    /// Takes as many of these units as there are, for a rule that leases them.
    pub async fn lease(&self, ask: Ask, units: u32, worker: usize) -> Result<(u32, Answer), Failure> {
        let (granted, answers) = self.question(Kind::Ask, units, vec![Ask { cost: 1, ..ask }], worker).await?;
        Ok((granted, answers.into_iter().next().unwrap_or_default()))
    }

    /// Uses units up without asking; nobody waits for it.
    pub async fn charge(&self, asks: Vec<Ask>, worker: usize) -> Result<(), Failure> {
        self.question(Kind::Charge, 1, asks, worker).await.map(|_| ())
    }

    /// Gives units back; nobody waits for it.
    pub async fn give_back(&self, asks: Vec<Ask>, worker: usize) -> Result<(), Failure> {
        self.question(Kind::GiveBack, 1, asks, worker).await.map(|_| ())
    }

    async fn question(
        &self,
        kind: Kind,
        requests: u32,
        asks: Vec<Ask>,
        worker: usize,
    ) -> Result<(u32, Vec<Answer>), Failure> {
        if !self.shared.breaker.is_closed() {
            return Err(self.shared.failed(Failure::Open));
        }
        let lane = self.lanes.get(worker % self.lanes.len()).ok_or(Failure::Open)?;
        let lane = lane.get_or_init(|| Lane::start(Arc::clone(&self.shared)));
        let (reply, answered) = oneshot::channel();
        let question = Question { job: Job { kind, requests, asks }, reply };
        lane.send(question).map_err(|failure| self.shared.failed(failure))?;
        match tokio::time::timeout(self.shared.terms.deadline, answered).await {
            Ok(Ok(result)) => result.map_err(|failure| self.shared.failed(failure)),
            Ok(Err(_)) => Err(self.shared.failed(Failure::Connection)),
            Err(_) => {
                self.shared.strike();
                Err(self.shared.failed(Failure::Timeout))
            }
        }
    }

    /// What is used of a key's limits, as debts.
    pub async fn show(&self, tag: Tag, limits: Arc<[Limit]>) -> Result<Answer, Failure> {
        let asks = vec![Ask { tag, limits, cost: 0, enforced: true, lease: None }];
        let jobs = [Job { kind: Kind::Ask, requests: 1, asks }];
        let work = async {
            let mut link = Link::connect(&self.shared.terms).await?;
            let answer =
                link.send::<Vec<i64>>(&script::call(&self.shared.sha, &self.shared.terms.prefix, &jobs)).await?;
            let outcome = script::read(&answer, &jobs).and_then(|mut it| it.pop()?);
            let outcome = outcome.ok_or(Failure::WrongType)?;
            let asks = jobs.iter().flat_map(|it| &it.asks).cloned().collect::<Vec<_>>();
            Ok(outcome.answers(&asks, 0).into_iter().next().unwrap_or_default())
        };
        tokio::time::timeout(breaker::PROBE_TIME, work).await.unwrap_or(Err(Failure::Timeout))
    }

    /// Forgets a key.
    pub async fn reset(&self, tag: Tag, limits: &[Limit]) -> Result<(), Failure> {
        let work = async {
            let mut link = Link::connect(&self.shared.terms).await?;
            let keys: Vec<String> = limits.iter().map(|it| script::key(&self.shared.terms.prefix, tag, it)).collect();
            let mut call = redis::cmd("DEL");
            call.arg(keys);
            link.send::<i64>(&call).await
        };
        tokio::time::timeout(breaker::PROBE_TIME, work).await.unwrap_or(Err(Failure::Timeout)).map(|_| ())
    }
}

impl Shared {
    /// Notes a failure.
    fn failed(&self, failure: Failure) -> Failure {
        if let Some(metrics) = self.metrics.get() {
            metrics.errors.with_label_values(&[failure.name()]).inc();
        }
        failure
    }

    /// Notes that the server answered.
    fn answered(&self, since: Instant) {
        self.breaker.succeeded();
        if let Some(metrics) = self.metrics.get() {
            metrics.duration.observe(since.elapsed().as_secs_f64());
        }
    }

    /// Notes that it did not, and looks for it aside when that goes on.
    fn strike(self: &Arc<Self>) {
        if self.breaker.failed() {
            self.tell(false);
            log::warn!("the Redis of the rate limits does not answer; policies decide by onStoreFailure until it does");
            breaker::probe(self, None);
        }
    }

    fn tell(&self, is_up: bool) {
        if let Some(metrics) = self.metrics.get() {
            metrics.up.set(i64::from(is_up));
        }
    }

    /// Longest time that a lane works on one call.
    fn call_time(&self) -> Duration {
        self.terms.deadline
    }
}
