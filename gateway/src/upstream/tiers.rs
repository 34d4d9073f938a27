//! Splits the traffic of a cluster over its tiers: near endpoints first, others as those fail.
//!
//! Envoy's algorithm: a tier takes traffic up to 1.4 times its usable share, the next tiers
//! take the rest; when all together cannot take everything the loads are scaled up. Below
//! the panic threshold a tier uses all its endpoints, usable or not. The sets are made
//! anew when something changes, so that a choice costs one draw.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::balancer::{Draw, Policy, Tier};
use super::endpoint::Endpoint;

/// A tier counts as whole until fewer than 100/140 of its endpoints are usable.
const OVERPROVISIONING: u64 = 140;
/// Precision of shares and of warming up.
const SCALE: u64 = 10_000;

/// How traffic is divided beyond the choice of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Division {
    /// How one endpoint of a tier is chosen.
    pub policy: Policy,
    /// Percent of the traffic for each locality, where shares are given out.
    pub shares: Box<[u32]>,
    /// How new endpoints warm up.
    pub warmup: Option<Warmup>,
    /// Share of usable endpoints below which a tier uses all, in percent.
    pub panic_below: u8,
}

/// How new endpoints warm up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Warmup {
    /// How long.
    pub duration: Duration,
    /// Share of its weight that an endpoint has at the start, in hundredths of a percent.
    pub minimum: u32,
    /// Thousandths of the exponent's inverse: 1000 is linear, more is steeper at first.
    pub aggression: u32,
}

impl Warmup {
    /// The part of its weight that an endpoint of this age has, of [`SCALE`].
    fn factor(&self, age: Duration) -> u64 {
        if age >= self.duration {
            return SCALE;
        }
        let progress = age.as_secs_f64() / self.duration.as_secs_f64();
        let exponent = 1000.0 / f64::from(self.aggression.max(1000));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and SCALE")]
        let share = (progress.powf(exponent) * SCALE as f64) as u64;
        share.max(u64::from(self.minimum)).clamp(1, SCALE)
    }
}

/// The endpoints of a cluster that may be chosen now.
#[derive(Debug, Default)]
pub struct Tiers {
    tiers: Box<[Tier]>,
    /// Running sums of the tiers' loads, up to 100.
    loads: Box<[u64]>,
    is_warming: bool,
}

impl Tiers {
    /// The tiers of these endpoints at a time; `before` are those that they replace.
    pub fn new(endpoints: &[Arc<Endpoint>], division: &Division, now: Instant, before: &Self) -> Self {
        let mut groups: BTreeMap<u8, Vec<&Arc<Endpoint>>> = BTreeMap::new();
        for it in endpoints {
            groups.entry(it.place.priority).or_default().push(it);
        }
        let groups: Vec<_> = groups.into_values().collect();
        let healthy: Vec<u64> = groups.iter().map(|it| percent_usable(it)).collect();
        let capacity: Vec<u64> = healthy.iter().map(|it| (it * OVERPROVISIONING / 100).min(100)).collect();
        let is_whole = capacity.iter().sum::<u64>() >= 100;
        let panics: Vec<bool> = healthy.iter().map(|it| !is_whole && *it < u64::from(division.panic_below)).collect();
        let loads = loads(&capacity, &panics);
        let warms = |it: &Endpoint| match (division.warmup, it.joined) {
            (Some(warmup), Some(joined)) => now.saturating_duration_since(joined) < warmup.duration,
            (None, _) | (_, None) => false,
        };
        // Where all are new, nobody is there to carry what they are spared.
        let is_warming = endpoints.iter().any(|it| warms(it)) && !endpoints.iter().all(|it| warms(it));
        let turn = |index: usize| before.tiers.get(index).map_or(0, Tier::turn);
        let tiers = groups.iter().zip(&panics).enumerate().map(|(index, (group, panics))| {
            let chosen: Vec<_> = group.iter().filter(|it| *panics || it.is_usable()).map(|it| Arc::clone(it)).collect();
            let members = weighted(chosen, division, is_warming.then_some(now));
            Tier::new(members, division.policy, turn(index))
        });
        Self { tiers: tiers.collect(), loads, is_warming }
    }

    /// Whether weights still change with time alone.
    pub fn is_warming(&self) -> bool {
        self.is_warming
    }

    /// One endpoint.
    pub fn pick(&self, draw: Draw) -> Option<&Arc<Endpoint>> {
        let tier = match self.tiers.as_ref() {
            [only] => only,
            tiers => {
                let ticket = draw.random % self.loads.last().copied().filter(|it| *it > 0)?;
                tiers.get(self.loads.partition_point(|sum| *sum <= ticket))?
            }
        };
        // The tier's draw must not follow from the ticket.
        tier.pick(draw.next())
    }

    /// One endpoint of the first tier that none of `tried` stands in.
    pub fn pick_elsewhere(&self, draw: Draw, tried: &[Arc<Endpoint>]) -> Option<&Arc<Endpoint>> {
        let was_tried = |tier: &&Tier| {
            let priority = tier.endpoints().first().map(|it| it.place.priority);
            tried.iter().any(|it| Some(it.place.priority) == priority)
        };
        self.tiers.iter().filter(|it| !was_tried(it)).find_map(|it| it.pick(draw))
    }

    /// Share of the traffic that each tier takes, in percent.
    pub fn loads(&self) -> impl Iterator<Item = u64> + '_ {
        let before = std::iter::once(0).chain(self.loads.iter().copied());
        self.loads.iter().zip(before).map(|(sum, before)| sum - before)
    }
}

fn percent_usable(group: &[&Arc<Endpoint>]) -> u64 {
    let usable = group.iter().filter(|it| it.is_usable()).count() as u64;
    (usable * 100).checked_div(group.len() as u64).unwrap_or(0)
}

/// Running sums of the tiers' loads.
fn loads(capacity: &[u64], panics: &[bool]) -> Box<[u64]> {
    let total: u64 = capacity.iter().sum();
    if total == 0 {
        // Nothing is usable: the first tier that panics takes everything.
        let first = panics.iter().position(|it| *it);
        return (0..capacity.len()).map(|it| if first.is_some_and(|first| it >= first) { 100 } else { 0 }).collect();
    }
    let mut sum = 0;
    let mut out: Vec<u64> = capacity
        .iter()
        .map(|it| {
            sum = (sum + if total < 100 { it * 100 / total } else { *it }).min(100);
            sum
        })
        .collect();
    // What rounding lost belongs to the first tier that takes any.
    if let Some(first) = out.iter().position(|it| *it > 0) {
        let lost = 100 - out.last().copied().unwrap_or(100);
        for it in out.iter_mut().skip(first) {
            *it += lost;
        }
    }
    out.into()
}

/// The endpoints with their weights of now; those of a locality without a share are left out.
fn weighted(endpoints: Vec<Arc<Endpoint>>, division: &Division, warming: Option<Instant>) -> Vec<(Arc<Endpoint>, u64)> {
    let weight = |it: &Endpoint| {
        let factor = match (division.warmup, warming, it.joined) {
            (Some(warmup), Some(now), Some(joined)) => warmup.factor(now.saturating_duration_since(joined)),
            (None, _, _) | (_, None, _) | (_, _, None) => SCALE,
        };
        u64::from(it.weight) * factor
    };
    if division.shares.is_empty() {
        let with_weight = |it: Arc<Endpoint>| {
            let weight = weight(&it);
            (it, weight)
        };
        return endpoints.into_iter().map(with_weight).collect();
    }
    let mut totals = vec![0_u64; division.shares.len()];
    for it in &endpoints {
        if let Some(total) = it.place.share.and_then(|share| totals.get_mut(usize::from(share))) {
            *total += weight(it);
        }
    }
    endpoints
        .into_iter()
        .filter_map(|it| {
            let share = usize::from(it.place.share?);
            let part = u128::from(*division.shares.get(share)?) * u128::from(weight(&it)) * u128::from(SCALE);
            let scaled = part / u128::from((*totals.get(share)?).max(1));
            Some((it, u64::try_from(scaled).unwrap_or(u64::MAX).max(1)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::address::Address;
    use crate::upstream::endpoint::Place;
    use crate::upstream::hash::mix;

    fn endpoint(port: u16, priority: u8, share: Option<u16>, joined: Option<Instant>) -> Arc<Endpoint> {
        let address = Address::Inet(([127, 0, 0, 1], port).into());
        Arc::new(Endpoint::new(address, 1, Place { priority, share }, joined))
    }

    fn division(panic_below: u8) -> Division {
        Division { policy: Policy::Random, shares: Box::default(), warmup: None, panic_below }
    }

    fn shares(endpoints: &[Arc<Endpoint>], division: &Division, now: Instant) -> Vec<usize> {
        let tiers = Tiers::new(endpoints, division, now, &Tiers::default());
        let mut counts = vec![0; endpoints.len()];
        for round in 0..10_000_u64 {
            if let Some(chosen) = tiers.pick(Draw { random: mix(round), key: None }) {
                counts[endpoints.iter().position(|it| Arc::ptr_eq(it, chosen)).unwrap()] += 1;
            }
        }
        counts
    }

    #[test]
    fn the_next_tier_takes_what_the_first_cannot() {
        let now = Instant::now();
        let endpoints: Vec<_> = (0..4).map(|it| endpoint(it + 1, u8::from(it >= 2), None, None)).collect();
        assert_eq!(shares(&endpoints, &division(0), now)[2..], [0, 0]);
        endpoints[0].set_failing(true);
        // Half of the first tier is left: it takes 70 percent.
        let counts = shares(&endpoints, &division(0), now);
        assert_eq!(counts[0], 0);
        assert!((6800..7200).contains(&counts[1]), "{counts:?}");
        endpoints[1].set_failing(true);
        let counts = shares(&endpoints, &division(0), now);
        assert_eq!(counts[..2], [0, 0]);
        assert_eq!(counts[2] + counts[3], 10_000);
    }

    #[test]
    fn loads_are_scaled_up_when_all_tiers_together_are_too_few() {
        let now = Instant::now();
        let endpoints: Vec<_> = (0..10).map(|it| endpoint(it + 1, u8::from(it >= 5), None, None)).collect();
        for it in endpoints.iter().take(4).chain(endpoints.iter().skip(6)) {
            it.set_failing(true);
        }
        // One of five is left in each: 28 percent each, scaled to 50.
        let tiers = Tiers::new(&endpoints, &division(0), now, &Tiers::default());
        assert_eq!(tiers.loads().collect::<Vec<_>>(), [50, 50]);
    }

    #[test]
    fn without_usable_endpoints_only_panic_uses_any() {
        let now = Instant::now();
        let endpoints: Vec<_> = (0..2).map(|it| endpoint(it + 1, 0, None, None)).collect();
        for it in &endpoints {
            it.set_failing(true);
        }
        assert_eq!(shares(&endpoints, &division(0), now), [0, 0]);
        assert_eq!(shares(&endpoints, &division(50), now).iter().sum::<usize>(), 10_000);
    }

    #[test]
    fn localities_get_their_shares_whatever_their_size() {
        let now = Instant::now();
        let endpoints = [
            endpoint(1, 0, Some(0), None),
            endpoint(2, 0, Some(1), None),
            endpoint(3, 0, Some(1), None),
            endpoint(4, 0, None, None),
        ];
        let division = Division { shares: [80, 20].into(), ..division(0) };
        let counts = shares(&endpoints, &division, now);
        assert!((7800..8200).contains(&counts[0]), "{counts:?}");
        assert!((900..1100).contains(&counts[2]), "{counts:?}");
        assert_eq!(counts[3], 0);
    }

    #[test]
    fn a_new_endpoint_warms_up_unless_all_are_new() {
        let start = Instant::now();
        let warmup = Warmup { duration: Duration::from_secs(100), minimum: 1000, aggression: 1000 };
        let division = Division { warmup: Some(warmup), ..division(0) };
        let mixed = [endpoint(1, 0, None, None), endpoint(2, 0, None, Some(start))];
        let share = |seconds| shares(&mixed, &division, start + Duration::from_secs(seconds))[1];
        assert!((700..1100).contains(&share(1)), "{}", share(1));
        assert!((3100..3600).contains(&share(50)), "{}", share(50));
        assert!((4800..5200).contains(&share(100)), "{}", share(100));
        let all_new = [endpoint(1, 0, None, Some(start)), endpoint(2, 0, None, Some(start))];
        assert!(!Tiers::new(&all_new, &division, start, &Tiers::default()).is_warming());
    }
}
