//! Looks after the clusters whose endpoints change with time: ejections that end, weights that grow.
//!
//! Each such cluster has one task, which ends with the cluster.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::cluster::Cluster;

/// Starts looking after a cluster, if it needs it.
pub fn start(cluster: &Arc<Cluster>) {
    if let Some(every) = cluster.sweeps_every() {
        tokio::spawn(look_after(Arc::downgrade(cluster), every));
    }
}

async fn look_after(cluster: Weak<Cluster>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(cluster) = cluster.upgrade() else { return };
        cluster.sweep(Instant::now());
    }
}
