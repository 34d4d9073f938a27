//! What it costs to choose one of 1,000 endpoints, by each policy.

#![expect(missing_docs, reason = "criterion's macros make functions")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use gateway::upstream::address::Address;
use gateway::upstream::balancer::{Draw, Policy};
use gateway::upstream::endpoint::{Endpoint, Lease, Place};
use gateway::upstream::hash::{Spread, mix};
use gateway::upstream::tiers::{Division, Tiers};

fn choose(criterion: &mut Criterion) {
    let now = Instant::now();
    let endpoint = |number: u16| {
        let address = Address::Inet(([10, 0, (number >> 8) as u8, number as u8], 80).into());
        Arc::new(Endpoint::new(address, u32::from(number % 3) + 1, Place::default(), None))
    };
    let endpoints: Vec<_> = (0..1000).map(endpoint).collect();
    for (name, policy) in [
        ("least request", Policy::LeastRequest),
        ("round robin", Policy::RoundRobin),
        ("random", Policy::Random),
        ("ring", Policy::Hash(Spread::Ring(1024))),
        ("maglev", Policy::Hash(Spread::Maglev(65_537))),
    ] {
        let division = Division { policy, shares: Box::default(), warmup: None, panic_below: 0 };
        let tiers = Tiers::new(&endpoints, &division, now, &Tiers::default());
        let mut number = 0_u64;
        criterion.bench_function(&format!("one of 1,000 endpoints, {name}"), |bencher| {
            bencher.iter(|| {
                number += 1;
                let draw = Draw { random: mix(number), key: Some(mix(number)) };
                black_box(tiers.pick(draw).map(|it| Lease::new(Arc::clone(it))))
            });
        });
    }
}

criterion_group!(benches, choose);
criterion_main!(benches);
