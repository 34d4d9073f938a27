//! The keys of one issuer: where they come from, and how they are kept fresh.
//!
//! Fetching happens in the background and swaps the set whole; a request never waits for it.
//! A failure keeps the last good keys and concerns this issuer alone. A token with a key
//! that is not in the set asks for one fetch, at most one in [`COOL_DOWN`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::keys::{KeySet, Origin};
use crate::telemetry::access_metrics::JwksMetrics;
use crate::upstream::fetch::{self, Fetched, Fetcher};

/// How long keys are used before they are fetched again, when nobody says.
const USUAL_AGE: Duration = Duration::from_secs(300);
/// Bounds on what a server may say of that.
const AGES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// Pause after a failure; it doubles up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Shortest time between two fetches that tokens ask for.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// Where the keys of an issuer are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// In the configuration.
    Inline(Box<str>),
    /// At this URL, fetched within a time.
    Remote(Box<str>, Duration),
    /// Where the issuer's discovery document says, fetched within a time.
    Discovered(Box<str>, Duration),
}

/// On which terms keys are fetched and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// How they are fetched.
    pub fetch: fetch::Terms,
    /// How long they are used while they cannot be fetched anew.
    pub max_age: Duration,
}

/// The keys of one issuer.
#[derive(Debug)]
pub struct Provider {
    source: Source,
    terms: Terms,
    keys: ArcSwapOption<KeySet>,
    wanted: Notify,
    is_wanted: AtomicBool,
}

impl Provider {
    /// One without keys, or with those of the configuration.
    pub fn new(source: Source, terms: Terms) -> Result<Self, String> {
        let keys = match &source {
            Source::Inline(text) => Some(Arc::new(KeySet::parse(text.as_bytes(), Origin::Inline)?)),
            Source::Remote(..) | Source::Discovered(..) => None,
        };
        Ok(Self {
            source,
            terms,
            keys: ArcSwapOption::new(keys),
            wanted: Notify::new(),
            is_wanted: AtomicBool::new(false),
        })
    }

    /// Whether its keys are there, fetched and kept on these terms.
    pub fn is(&self, source: &Source, terms: &Terms) -> bool {
        self.source == *source && (self.terms == *terms || matches!(source, Source::Inline(_)))
    }

    /// The keys now.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// Asks for a fetch, since a token names a key that is not here.
    pub(super) fn want(&self) {
        if !self.is_wanted.swap(true, Ordering::Relaxed) {
            self.wanted.notify_one();
        }
    }

    /// Keeps the keys fresh as long as somebody uses them; the receiver hears of the first attempt.
    pub fn follow(self: &Arc<Self>, fetcher: &Fetcher, metrics: &JwksMetrics) -> Option<oneshot::Receiver<()>> {
        let (url, timeout, discovers) = match &self.source {
            Source::Inline(_) => return None,
            Source::Remote(url, timeout) => (url.clone(), *timeout, false),
            Source::Discovered(issuer, timeout) => {
                (format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')).into(), *timeout, true)
            }
        };
        let (first, receiver) = oneshot::channel();
        let errand = Errand {
            url,
            timeout,
            discovers,
            terms: self.terms.clone(),
            fetcher: fetcher.clone(),
            metrics: metrics.clone(),
        };
        tokio::spawn(errand.run(Arc::downgrade(self), first));
        Some(receiver)
    }
}

/// What a fetch of keys works with.
struct Errand {
    url: Box<str>,
    timeout: Duration,
    discovers: bool,
    terms: Terms,
    fetcher: Fetcher,
    metrics: JwksMetrics,
}

impl Errand {
    async fn run(self, provider: Weak<Provider>, first: oneshot::Sender<()>) {
        let mut first = Some(first);
        let mut pause = PAUSES.0;
        let mut last_good: Option<Instant> = None;
        let mut etag = None;
        let mut may_be_wanted = Instant::now();
        loop {
            let fetched = self.fetch(etag.as_deref()).await;
            let Some(strong) = provider.upgrade() else { return };
            let rest = match fetched {
                Ok(Some((keys, answer))) => {
                    for why in keys.skipped() {
                        log::warn!("{}: {why}", self.url);
                        self.metrics.skipped.inc();
                    }
                    strong.keys.store(Some(Arc::new(keys)));
                    etag = answer.etag;
                    self.good(&mut last_good, &mut pause, answer.max_age)
                }
                Ok(None) => self.good(&mut last_good, &mut pause, None),
                Err(why) => {
                    self.keep_or_drop(&strong, last_good, &why);
                    let rest = pause;
                    pause = (pause * 2).min(PAUSES.1);
                    let old = last_good.map(|it| (it + self.terms.max_age).saturating_duration_since(Instant::now()));
                    old.filter(|it| !it.is_zero()).map_or(rest, |it| it.min(rest))
                }
            };
            let age = last_good.map_or(0.0, |it| it.elapsed().as_secs_f64());
            self.metrics.age.with_label_values(&[&self.url]).set(age);
            if let Some(first) = first.take() {
                // Nobody may be waiting any more.
                first.send(()).unwrap_or_default();
            }
            let is_wanted = async {
                strong.wanted.notified().await;
                tokio::time::sleep_until(may_be_wanted).await;
            };
            let weak = Arc::downgrade(&strong);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = is_wanted => may_be_wanted = Instant::now() + COOL_DOWN,
                () = abandoned(&weak) => return,
            }
            strong.is_wanted.store(false, Ordering::Relaxed);
        }
    }

    /// Says what becomes of the keys that could not be fetched anew: too old ones are not used any more.
    fn keep_or_drop(&self, provider: &Provider, last_good: Option<Instant>, why: &str) {
        self.metrics.fetches.with_label_values(&["failure"]).inc();
        let is_old = last_good.is_some_and(|it| it.elapsed() >= self.terms.max_age);
        if is_old {
            provider.keys.store(None);
        }
        let kept = match (provider.keys.load().is_some(), is_old) {
            (true, _) => "the last good keys stay",
            (false, true) => "and the last ones are too old",
            (false, false) => "there are none yet",
        };
        log::warn!("the keys of {} cannot be fetched, {kept}: {why}", self.url);
    }

    fn good(&self, last: &mut Option<Instant>, pause: &mut Duration, max_age: Option<Duration>) -> Duration {
        *last = Some(Instant::now());
        *pause = PAUSES.0;
        self.metrics.fetches.with_label_values(&["success"]).inc();
        max_age.map_or(USUAL_AGE, |it| it.clamp(AGES.0, AGES.1))
    }

    /// The keys, or nothing when they are those of before.
    async fn fetch(&self, etag: Option<&str>) -> Result<Option<(KeySet, Fetched)>, String> {
        let terms = &self.terms.fetch;
        let found;
        let (url, etag) = if self.discovers {
            let answer = self.fetcher.get(&self.url, (self.timeout, None), terms).await?;
            let document: Value =
                serde_json::from_slice(&answer.body).map_err(|_| "no discovery document".to_owned())?;
            found = document.get("jwks_uri").and_then(Value::as_str).ok_or("it names no jwks_uri")?.to_owned();
            (found.as_str(), None)
        } else {
            (self.url.as_ref(), etag)
        };
        let answer = self.fetcher.get(url, (self.timeout, etag), terms).await?;
        if answer.status == 304 && etag.is_some() {
            return Ok(None);
        }
        if answer.status != 200 {
            return Err(format!("status {}", answer.status));
        }
        let keys = KeySet::parse(&answer.body, Origin::Fetched)?;
        Ok(Some((keys, answer)))
    }
}

/// Waits until nobody but the errand itself holds the provider.
async fn abandoned(provider: &Weak<Provider>) {
    /// How often is looked.
    const LOOK: Duration = Duration::from_secs(5);
    while provider.strong_count() > 1 {
        tokio::time::sleep(LOOK).await;
    }
}
