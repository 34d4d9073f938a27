//! Refuses a configuration whose access policies apply to this gateway while nothing enforces them yet.
//!
//! A gateway that serves without such a policy lets in whom the policy keeps out, and a
//! warning in a log is no lock. Policies of other workloads, and those that refuse nobody,
//! do not matter here.

use config_schema::Config;
use config_schema::document::Resource;
use config_schema::istio::authorization_policy::{Action, AuthorizationPolicy};
use config_schema::istio::request_authentication::RequestAuthentication;
use config_schema::istio::shared::{LabelSelector, selects};
use config_schema::native::settings::GatewaySettings;
use config_schema::problem::{Problem, Severity, code};

/// The first policy that would have to refuse requests.
pub(super) fn check(config: &Config) -> Result<(), Box<Problem>> {
    for policy in &config.documents.authorization_policies {
        let AuthorizationPolicy { selector, target_ref: _, target_refs: _, rules: _, action, provider: _ } =
            &policy.spec;
        if refuses(*action) && applies(policy, selector.as_ref(), &config.settings) {
            return Err(problem(policy));
        }
    }
    for policy in &config.documents.request_authentications {
        let RequestAuthentication { selector, target_ref: _, target_refs: _, jwt_rules } = &policy.spec;
        if !jwt_rules.is_empty() && applies(policy, selector.as_ref(), &config.settings) {
            return Err(problem(policy));
        }
    }
    Ok(())
}

fn refuses(action: Option<Action>) -> bool {
    match action.unwrap_or(Action::Allow) {
        Action::Allow | Action::Deny | Action::Custom => true,
        Action::Audit => false,
    }
}

/// Whether a policy is for this gateway. What it is attached to by `targetRefs` may be.
fn applies<T>(policy: &Resource<T>, selector: Option<&LabelSelector>, settings: &GatewaySettings) -> bool {
    let namespace = &policy.metadata.namespace;
    (*namespace == settings.node.namespace || namespace == super::registry::root_namespace(settings))
        && selector.is_none_or(|it| selects(&it.match_labels, &settings.node.labels))
}

fn problem<T>(policy: &Resource<T>) -> Box<Problem> {
    let message = format!("{} applies to this gateway and is not enforced yet", policy.kind);
    let problem = policy
        .problem(code::NOT_HONOURED, Severity::Error, "spec", message)
        .help("serving without it would let in whom it keeps out; take it out of this folder to serve without it");
    Box::new(problem)
}
