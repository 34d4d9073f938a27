//! The kinds of the Kubernetes Gateway API that are read: one file per kind (`gateway.networking.k8s.io`).
//!
//! Their listeners become servers of Gateways ([`servers`]); their routes are compiled by
//! the gateway, since their order of precedence is another than that of VirtualServices.

pub mod attachment;
pub mod http_route;
pub mod kubernetes_gateway;
pub mod reference_grant;
pub mod route_filter;
pub(crate) mod servers;

/// The group of these kinds.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// Label by which a gateway is known as one of the Gateway API; its value is the Gateway's name.
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// Stands before `<namespace>/<name>` of a Secret that a listener refers to (Istio's spelling).
pub const CREDENTIAL: &str = "kubernetes-gateway://";
