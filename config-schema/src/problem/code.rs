//! Codes with a fixed meaning; `docs/problems.md` explains each.

use super::Code;

/// A reference names something nobody declared.
pub const REFERENCE_NOT_FOUND: Code = Code("IST0101");
/// A value breaks a rule of its resource.
pub const SCHEMA: Code = Code("IST0106");
/// An annotation stands on a kind that does not know it.
pub const MISPLACED_ANNOTATION: Code = Code("IST0107");
/// An annotation of Istio's prefix that nobody knows.
pub const UNKNOWN_ANNOTATION: Code = Code("IST0108");
/// A destination needs a port, since its service has several.
pub const PORT_REQUIRED: Code = Code("IST0112");
/// An annotation with a value that does not parse.
pub const INVALID_ANNOTATION: Code = Code("IST0125");
/// A selector matches no workload.
pub const NO_WORKLOAD: Code = Code("IST0127");
/// Upstream TLS without a CA.
pub const NO_SERVER_VERIFICATION: Code = Code("IST0128");
/// Upstream TLS of one port without a CA.
pub const NO_SERVER_VERIFICATION_PORT: Code = Code("IST0129");
/// A rule that can never be reached.
pub const UNREACHABLE_RULE: Code = Code("IST0130");
/// A match that an earlier one already covers.
pub const INEFFECTIVE_MATCH: Code = Code("IST0131");
/// A VirtualService host that its gateway does not serve.
pub const HOST_NOT_IN_GATEWAY: Code = Code("IST0132");
/// A rule worth a warning inside one resource.
pub const SCHEMA_WARNING: Code = Code("IST0133");
/// A TCP ServiceEntry without addresses.
pub const ADDRESSES_REQUIRED: Code = Code("IST0134");
/// An annotation that Istio is about to drop.
pub const DEPRECATED_ANNOTATION: Code = Code("IST0135");
/// An annotation of a feature in its first phase.
pub const ALPHA_ANNOTATION: Code = Code("IST0136");
/// One certificate in several gateways.
pub const DUPLICATE_CERTIFICATE: Code = Code("IST0138");
/// Two gateways claim the same hosts of one port.
pub const CONFLICTING_GATEWAYS: Code = Code("IST0145");
/// Routing by a token's claims, and nobody checks tokens.
pub const CLAIMS_WITHOUT_AUTHENTICATION: Code = Code("IST0149");
/// An EnvoyFilter with a relative operation and no priority.
pub const ENVOY_FILTER_RELATIVE: Code = Code("IST0151");
/// REPLACE outside of filters.
pub const ENVOY_FILTER_REPLACE: Code = Code("IST0152");
/// ADD on routes.
pub const ENVOY_FILTER_ADD: Code = Code("IST0153");
/// REMOVE on routes.
pub const ENVOY_FILTER_REMOVE: Code = Code("IST0154");
/// A relative operation together with a proxy version.
pub const ENVOY_FILTER_VERSION: Code = Code("IST0155");
/// Two Telemetries select the same workload.
pub const CONFLICTING_TELEMETRIES: Code = Code("IST0159");
/// Several Telemetries of a namespace without selector.
pub const SEVERAL_TELEMETRIES: Code = Code("IST0160");
/// A gateway's credential is missing.
pub const GATEWAY_CREDENTIAL: Code = Code("IST0161");
/// A selector where only targetRefs work.
pub const INEFFECTIVE_SELECTOR: Code = Code("IST0166");
/// A policy that changes nothing.
pub const INEFFECTIVE_POLICY: Code = Code("IST0167");
/// A subset without endpoints.
pub const EMPTY_SUBSET: Code = Code("IST0173");
/// A DestinationRule for a host nobody declared.
pub const UNKNOWN_RULE_HOST: Code = Code("IST0174");
/// ServiceEntries that disagree on a port's protocol.
pub const CONFLICTING_PROTOCOL: Code = Code("IST0177");

/// A file cannot be read or is no YAML.
pub const UNREADABLE: Code = Code("SLU0001");
/// A file passes a bound on size, depth or nodes.
pub const TOO_LARGE: Code = Code("SLU0002");
/// A field that the kind does not have.
pub const UNKNOWN_FIELD: Code = Code("SLU0003");
/// A kind or version that a claimed group does not have.
pub const UNKNOWN_KIND: Code = Code("SLU0004");
/// A value of the wrong type or form.
pub const WRONG_TYPE: Code = Code("SLU0005");
/// A document of a group that Sluice does not read.
pub const SKIPPED: Code = Code("SLU0006");
/// Two documents with one kind, namespace and name.
pub const DUPLICATE_RESOURCE: Code = Code("SLU0007");
/// A field that is accepted and not honoured, or a policy that cannot be enforced.
pub const NOT_HONOURED: Code = Code("SLU0010");
/// A VirtualService that no gateway uses.
pub const MESH_ONLY: Code = Code("SLU0020");
/// `tls.mode` unset, which means pass-through.
pub const TLS_MODE_UNSET: Code = Code("SLU0021");
/// A ServiceEntry of resolution NONE as a gateway's destination.
pub const RESOLUTION_NONE: Code = Code("SLU0022");
/// A Gateway server that no VirtualService uses.
pub const HOST_NEVER_SERVED: Code = Code("SLU0023");
/// A prefix without trailing slash rewritten to `/`.
pub const DOUBLE_SLASH: Code = Code("SLU0024");
/// VirtualServices share a host, and their order decides.
pub const SHARED_HOST: Code = Code("SLU0025");
/// Some of a VirtualService's hosts that its gateway does not serve.
pub const HOST_PARTLY_SERVED: Code = Code("SLU0026");
/// A certificate that is not valid now, or soon will not be.
pub const CERTIFICATE_TIME: Code = Code("SLU0030");
/// A certificate chain that clients cannot follow.
pub const CERTIFICATE_CHAIN: Code = Code("SLU0031");
/// A certificate that does not cover a host of its server.
pub const CERTIFICATE_NAMES: Code = Code("SLU0032");
/// A key that can be broken.
pub const WEAK_KEY: Code = Code("SLU0033");
