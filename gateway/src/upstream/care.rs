//! Looks after the clusters whose endpoints change with time: ejections that end, weights that grow, health checks.
//!
//! Each such cluster has a task for each, which ends with the cluster.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::health;

/// Starts looking after a cluster, if it needs it.
pub fn start(cluster: &Arc<Cluster>) {
    if let Some(check) = &cluster.definition().check {
        tokio::spawn(health::watch(Arc::downgrade(cluster), check.clone()));
    }
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
