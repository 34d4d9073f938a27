//! The route of a TCP listener: weighted destinations, one of which gets a connection.

use super::route::Target;

/// Where connections of a listener go.
#[derive(Debug)]
pub struct TcpRoute {
    /// Destinations with their weights; never empty.
    pub destinations: Box<[(u32, Target)]>,
    /// Sum of the weights.
    pub total_weight: u32,
    /// `namespace/name` of the VirtualService.
    pub origin: Box<str>,
}

impl TcpRoute {
    /// The destination for a random number.
    pub fn pick(&self, draw: u32) -> Option<&Target> {
        super::route::weighted(self.destinations.iter().map(|it| it.0), self.total_weight, draw)
            .and_then(|it| self.destinations.get(it))
            .map(|it| &it.1)
    }
}
