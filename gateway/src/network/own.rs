//! Knows which addresses are this machine's own, so that nobody is led back to the gateway.
//!
//! They are read anew every few seconds while somebody asks: an address may come and go
//! without a new configuration (a floating one does).

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

/// How long the addresses are good that were read.
const GOOD_FOR: Duration = Duration::from_secs(5);

/// The addresses of this machine's interfaces.
pub struct OwnAddresses {
    known: ArcSwap<Known>,
}

struct Known {
    addresses: HashSet<IpAddr>,
    until: Instant,
}

impl OwnAddresses {
    /// Those that are read when somebody asks.
    pub fn new(now: Instant) -> Self {
        Self { known: ArcSwap::from_pointee(Known { addresses: HashSet::new(), until: now }) }
    }

    /// Whether an address is one of them.
    pub fn contains(&self, address: IpAddr, now: Instant) -> bool {
        let known = self.known.load();
        if now < known.until {
            return known.addresses.contains(&address);
        }
        let fresh = read(now, &known.addresses);
        let found = fresh.addresses.contains(&address);
        self.known.store(Arc::new(fresh));
        found
    }
}

/// What the system says; better those of `before` than none when it says nothing.
fn read(now: Instant, before: &HashSet<IpAddr>) -> Known {
    let addresses = match if_addrs::get_if_addrs() {
        Ok(found) => found.iter().map(if_addrs::Interface::ip).collect(),
        Err(error) => {
            log::warn!("cannot read this machine's own addresses: {error}");
            before.clone()
        }
    };
    Known { addresses, until: now + GOOD_FOR }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_here_and_documentation_is_not() {
        let begun = Instant::now();
        let own = OwnAddresses::new(begun);
        for now in [begun, begun + GOOD_FOR * 2] {
            assert!(own.contains("127.0.0.1".parse().unwrap(), now));
            assert!(!own.contains("192.0.2.1".parse().unwrap(), now));
        }
    }
}
