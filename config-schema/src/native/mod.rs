//! Our own kinds (`sluice.dev/v1alpha1`), for what Istio has no word for.

pub mod api_key_authentication;
pub mod basic_authentication;
pub mod egress_credential;
pub mod egress_policy;
pub mod egress_settings;
pub mod health_check;
pub mod rate_limit_policy;
pub mod settings;
