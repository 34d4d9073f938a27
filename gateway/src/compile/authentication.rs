//! Lowers RequestAuthentications: the rules of all that apply, one after the other.

use std::sync::Arc;
use std::time::Duration;

use config_schema::istio::request_authentication::{
    ClaimToHeader, JwtHeader, JwtRule, Presence, RequestAuthentication,
};
use config_schema::native::settings::JwksSettings;
use config_schema::problem::code;
use config_schema::value::Cidr;
use config_schema::{Config, Problem, Resource, Severity};
use http::HeaderName;

use super::origins;
use super::policies::{Aim, applies};
use crate::filter::authentication::location::Location;
use crate::filter::authentication::provider::{Provider, Source, Terms};
use crate::filter::authentication::{Authentication, Rule};
use crate::network::Network;
use crate::snapshot::Snapshot;
use crate::upstream::fetch;
use crate::upstream::tls::Authorities;

/// Bound on fetching keys when nobody says (Istio's default).
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long keys are used that cannot be fetched anew, when nobody says.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

pub(super) fn lower(config: &Config, before: Option<&Snapshot>) -> Result<Authentication, Box<Problem>> {
    let known: Vec<&Arc<Provider>> = before.into_iter().flat_map(|it| it.authentication.providers()).collect();
    let terms = terms(config)?;
    let mut rules: Vec<Rule> = Vec::new();
    for policy in &config.documents.request_authentications {
        let RequestAuthentication { selector, target_ref, target_refs, jwt_rules } = policy.spec.as_ref();
        let aim = Aim { selector: selector.as_ref(), target_ref: target_ref.as_ref(), target_refs };
        if !applies(policy, &aim, config) {
            continue;
        }
        for (index, written) in jwt_rules.iter().enumerate() {
            let source = source(written);
            let made = rules.iter().map(|it| &it.provider);
            let kept = made.chain(known.iter().copied()).find(|it| it.is(&source, &terms)).map(Arc::clone);
            let provider = match kept {
                Some(it) => it,
                None => Arc::new(Provider::new(source, terms.clone()).map_err(|why| problem(policy, index, &why))?),
            };
            let mut rule = rule(written, provider, |why| problem(policy, index, why))?;
            rule.origin = (origins::of(policy, config), index);
            rules.push(rule);
        }
    }
    Ok(Authentication::new(rules))
}

fn problem(policy: &Resource<RequestAuthentication>, index: usize, why: &str) -> Box<Problem> {
    let field = format!("spec.jwtRules[{index}].jwks");
    let problem = policy.problem(code::SCHEMA, Severity::Error, field, format!("the keys cannot be used: {why}"));
    Box::new(problem.help("a key needs `kty`, its parts in base64url, and an algorithm that goes with it"))
}

/// On which terms keys are fetched.
fn terms(config: &Config) -> Result<Terms, Box<Problem>> {
    let JwksSettings { max_age, ca_certificates, proxy, allowed_addresses } = &config.settings.jwks;
    let read = |path: &String| {
        let pem = std::fs::read(path).map_err(|error| error.to_string());
        pem.and_then(|it| Authorities::from_pem(&it)).map_err(|why| {
            let message = format!("jwks.caCertificates: `{path}` cannot be used: {why}");
            Box::new(Problem::new(code::SCHEMA, Severity::Error, message))
        })
    };
    let authorities = Some(ca_certificates).filter(|it| !it.is_empty()).map(read).transpose()?;
    let allowed = allowed_addresses.iter().filter_map(|it| it.parse::<Cidr>().ok());
    let allowed = allowed.map(|it| Network::new(it.address(), it.prefix())).collect();
    let proxy = Some(proxy.as_str().into()).filter(|_| !proxy.is_empty());
    let fetch = fetch::Terms { authorities, proxy, allowed };
    Ok(Terms { fetch, max_age: max_age.map_or(MAX_AGE, |it| it.0) })
}

fn source(rule: &JwtRule) -> Source {
    let timeout = rule.timeout.map_or(TIMEOUT, |it| it.0);
    if !rule.jwks.is_empty() {
        Source::Inline(rule.jwks.as_str().into())
    } else if !rule.jwks_uri.is_empty() {
        Source::Remote(rule.jwks_uri.as_str().into(), timeout)
    } else {
        Source::Discovered(rule.issuer.as_str().into(), timeout)
    }
}

fn rule(
    written: &JwtRule,
    provider: Arc<Provider>,
    wrong: impl Fn(&str) -> Box<Problem>,
) -> Result<Rule, Box<Problem>> {
    let JwtRule {
        issuer,
        audiences,
        jwks_uri: _,
        jwks: _,
        from_headers,
        from_params,
        output_payload_to_header,
        from_cookies,
        forward_original_token,
        output_claim_to_headers,
        timeout: _,
        space_delimited_claims,
        presence,
    } = written;
    let name = |text: &str| HeaderName::try_from(text).map_err(|_| wrong(&format!("`{text}` is no header name")));
    let texts = |list: &[String]| list.iter().map(|it| Box::from(it.as_str())).collect::<Box<[Box<str>]>>();
    let mut places = Vec::new();
    for JwtHeader { name: header, prefix } in from_headers {
        places.push(Location::Header(name(header)?, prefix.as_str().into()));
    }
    places.extend(from_params.iter().map(|it| Location::Param(it.as_str().into())));
    places.extend(from_cookies.iter().map(|it| Location::Cookie(it.as_str().into())));
    let mut rule = Rule::new(issuer, provider);
    if !places.is_empty() {
        rule.places = places;
    }
    rule.audiences = texts(audiences);
    rule.forwards = *forward_original_token;
    rule.required = matches!(presence, Some(Presence::Required));
    rule.payload_header = Some(output_payload_to_header).filter(|it| !it.is_empty()).map(|it| name(it)).transpose()?;
    rule.claim_headers = output_claim_to_headers
        .iter()
        .map(|ClaimToHeader { header, claim }| Ok((name(header)?, claim.split('.').map(Box::from).collect())))
        .collect::<Result<_, Box<Problem>>>()?;
    rule.spaced = texts(space_delimited_claims);
    Ok(rule)
}
