//! Where limits are counted: Redis if there is one, memory otherwise, and memory too while Redis does not answer.
//!
//! What is known here is never asked: refusals that still hold, and units that are leased.

use std::sync::Arc;
use std::time::Instant;

use super::concurrency::InFlight;
use super::denials::Denials;
use super::lease::{Found, Lease, Leases};
use super::memory::MemoryStore;
use super::redis::RedisStore;
use super::redis::failure::Failure;
use super::window::{Window, Windows};
use super::{Answer, Ask, admits};

/// Everything that is counted; it outlives configurations.
#[derive(Debug, Clone)]
pub struct Counters {
    /// From when on time in memory is counted.
    epoch: Instant,
    /// Counts of this process.
    pub memory: Arc<MemoryStore>,
    /// Fixed windows of this process.
    pub windows: Arc<Windows>,
    /// Requests in flight.
    pub in_flight: Arc<InFlight>,
    /// Counts of all replicas.
    pub redis: Option<Arc<Remote>>,
}

impl Counters {
    /// Nothing counted yet; time in memory begins now.
    pub fn new(now: Instant) -> Self {
        let (memory, windows, in_flight) = (Arc::default(), Arc::default(), Arc::default());
        Self { epoch: now, memory, windows, in_flight, redis: None }
    }

    /// Now, for a worker.
    pub fn moment(&self, now: Instant, worker: usize) -> Moment {
        let micros = now.saturating_duration_since(self.epoch).as_micros();
        Moment { now, micros: u64::try_from(micros).unwrap_or(u64::MAX), worker }
    }
}

/// A Redis, and what is known of it here.
#[derive(Debug)]
pub struct Remote {
    /// The server.
    pub store: RedisStore,
    /// What it refused lately.
    pub denials: Denials,
    /// Units that were taken from it.
    pub leases: Leases,
    /// Windows that are used up there.
    spent: Windows,
}

/// When and where a question is asked.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// By the clock of this process.
    pub now: Instant,
    /// Microseconds by which limits in memory are counted.
    pub micros: u64,
    /// Number of the worker.
    pub worker: usize,
}

impl Remote {
    /// A Redis that was not asked yet.
    pub fn new(store: RedisStore) -> Self {
        Self { store, denials: Denials::default(), leases: Leases::default(), spent: Windows::default() }
    }

    /// Asks about a request; uses all of its rules up, or none.
    pub async fn ask(self: &Arc<Self>, asks: &[Ask], moment: Moment) -> Result<Vec<Answer>, Failure> {
        let known: Vec<Option<Answer>> =
            asks.iter().map(|ask| self.denials.find(ask, moment.now).filter(|_| ask.enforced)).collect();
        if known.iter().any(Option::is_some) {
            return Ok(known.into_iter().map(Option::unwrap_or_default).collect());
        }
        let mut answers: Vec<Option<Answer>> = asks.iter().map(|_| None).collect();
        for (ask, answer) in asks.iter().zip(&mut answers) {
            if let Some(lease) = ask.lease {
                *answer = self.leased(ask, lease, moment).await?;
            }
        }
        let is_refused =
            asks.iter().zip(&answers).any(|(ask, it)| ask.enforced && it.as_ref().is_some_and(|it| it.is_over));
        let open = || asks.iter().zip(&answers).filter(|(_, it)| it.is_none()).map(|(ask, _)| ask.clone());
        let strict: Vec<Ask> = if is_refused { Vec::new() } else { open().collect() };
        let asked = if strict.is_empty() { Ok(Vec::new()) } else { self.store.ask(strict, moment.worker).await };
        let mut rest = match asked {
            Ok(it) => it.into_iter(),
            Err(failure) => {
                self.put_back(asks, &answers);
                return Err(failure);
            }
        };
        let is_leased: Vec<Option<Answer>> = answers.clone();
        let answers: Vec<Answer> =
            answers.into_iter().map(|it| it.or_else(|| rest.next()).unwrap_or_default()).collect();
        for (ask, answer) in asks.iter().zip(&answers) {
            self.denials.note(ask, answer, moment.now);
        }
        if !admits(asks, &answers) {
            self.put_back(asks, &is_leased);
        }
        Ok(answers)
    }

    /// Counts windows of a time, each with what it admits, and gives each count after that; `draw` spreads their ends.
    ///
    /// One that is known to be used up costs the server nothing until it ends.
    pub async fn count(
        &self,
        windows: Vec<(Window, u64)>,
        (now, draw): (u64, u64),
        worker: usize,
    ) -> Result<Vec<u64>, Failure> {
        let known = |(window, most): &(Window, u64)| self.spent.known(window, now).filter(|it| it > most);
        let known: Vec<Option<u64>> = windows.iter().map(known).collect();
        let open = windows.iter().zip(&known).filter(|it| it.1.is_none());
        let open: Vec<Window> = open.map(|(it, _)| it.0.clone()).collect();
        let asked = if open.is_empty() { Vec::new() } else { self.store.count(&open, (now, draw), worker).await? };
        let mut asked = asked.into_iter();
        let count = |((window, most), known): ((Window, u64), Option<u64>)| {
            known.unwrap_or_else(|| {
                let count = asked.next().unwrap_or_default();
                if count > most {
                    self.spent.note(&window, count, now);
                }
                count
            })
        };
        Ok(windows.into_iter().zip(known).map(count).collect())
    }

    /// Decides by units that are held; `None` leaves it to the server.
    async fn leased(self: &Arc<Self>, ask: &Ask, lease: Lease, moment: Moment) -> Result<Option<Answer>, Failure> {
        let units = ask.cost;
        match self.leases.take(ask.tag, lease, units, moment.now) {
            Found::Wait => Ok(None),
            Found::Units { left, more } => {
                if more > 0 {
                    let (remote, ask) = (Arc::clone(self), ask.clone());
                    tokio::spawn(async move { remote.refill(&ask, lease, (more, 0), moment).await });
                }
                Ok(Some(held(ask, left)))
            }
            Found::Ask(more) => self.refill(ask, lease, (more, units), moment).await.map(Some),
        }
    }

    /// Takes units from the server, and `units` of them for a request.
    async fn refill(
        &self,
        ask: &Ask,
        lease: Lease,
        (more, units): (u32, u32),
        moment: Moment,
    ) -> Result<Answer, Failure> {
        let asked = self.store.lease(ask.clone(), more, moment.worker).await;
        let granted = asked.as_ref().map_or(0, |it| it.0);
        let takes = self.leases.add(ask.tag, lease, (granted, units), moment.now);
        let (_, answer) = asked?;
        if takes {
            return Ok(Answer { is_over: false, ..answer });
        }
        let over = |(limit, it): (&super::gcra::Limit, &super::gcra::Standing)| {
            let wait = limit.micros(limit.weight.saturating_mul(u64::from(units).saturating_sub(it.left)));
            super::gcra::Standing { wait, ..*it }
        };
        Ok(Answer { standings: ask.limits.iter().zip(&answer.standings).map(over).collect(), is_over: true })
    }

    /// Leased units of a request that was refused all the same.
    fn put_back(&self, asks: &[Ask], answers: &[Option<Answer>]) {
        for (ask, answer) in asks.iter().zip(answers) {
            if ask.lease.is_some() && answer.as_ref().is_some_and(|it| !it.is_over) {
                self.leases.put_back(ask.tag, ask.cost);
            }
        }
    }
}

/// What is said of a request that is admitted by units held here.
fn held(ask: &Ask, left: u32) -> Answer {
    let standing = |limit: &super::gcra::Limit| super::gcra::Standing {
        left: u64::from(left).min(limit.burst),
        wait: 0,
        reset: limit.micros(limit.weight),
    };
    Answer { standings: ask.limits.iter().map(standing).collect(), is_over: false }
}
