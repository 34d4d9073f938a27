//! Our own kinds (`sluice.dev/v1alpha1`), for what Istio has no word for.

pub mod health_check;
pub mod settings;
