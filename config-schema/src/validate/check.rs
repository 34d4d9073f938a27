//! Collects the problems of one resource, and the rules that several kinds share.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;

use regex::Regex;

use crate::document::Resource;
use crate::istio::shared::{LabelSelector, TargetRef};
use crate::problem::{Code, Problem, Problems, Severity, code};
use crate::value::{Duration, Pattern, StringMatch, host};

/// Longest regular expression that Istio admits.
const MAX_REGEX: usize = 1024;

/// One resource under inspection.
pub(crate) struct Check<'a, T> {
    pub(crate) resource: &'a Resource<T>,
    problems: &'a mut Problems,
}

impl<'a, T> Check<'a, T> {
    pub(crate) fn new(resource: &'a Resource<T>, problems: &'a mut Problems) -> Self {
        Self { resource, problems }
    }

    pub(crate) fn spec(&self) -> &'a T {
        &self.resource.spec
    }

    /// The value breaks a rule.
    pub(crate) fn error(&mut self, field: impl Display, message: impl Into<String>) {
        self.report(code::SCHEMA, Severity::Error, field, message);
    }

    /// The value is probably not what was meant.
    pub(crate) fn warn(&mut self, field: impl Display, message: impl Into<String>) {
        self.report(code::SCHEMA_WARNING, Severity::Warning, field, message);
    }

    pub(crate) fn report(&mut self, code: Code, severity: Severity, field: impl Display, message: impl Into<String>) {
        self.problems.push(self.resource.problem(code, severity, field.to_string(), message));
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Reports the reason of a failed check.
    pub(crate) fn expect(&mut self, field: impl Display, result: Result<(), String>) {
        if let Err(message) = result {
            self.error(field, message);
        }
    }

    pub(crate) fn port(&mut self, field: impl Display, number: u32) {
        if !(1..=65_535).contains(&number) {
            self.error(field, format!("port {number} must be between 1 and 65535"));
        }
    }

    /// At least a millisecond, which is the finest that Envoy knows.
    pub(crate) fn at_least_1ms(&mut self, field: impl Display, duration: Option<Duration>) {
        let Some(Duration(span)) = duration else { return };
        if span.as_millis() == 0 || span.subsec_nanos() % 1_000_000 != 0 {
            self.error(field, "must be at least 1ms and whole milliseconds");
        }
    }

    pub(crate) fn not_negative(&mut self, field: impl Display, value: i32) {
        if value < 0 {
            self.error(field, format!("{value} must not be negative"));
        }
    }

    pub(crate) fn percent(&mut self, field: impl Display, value: f64) {
        if !(0.0..=100.0).contains(&value) {
            self.error(field, format!("{value} must be between 0 and 100"));
        }
    }

    /// A match on a text; `empty_prefix` may only be allowed for paths.
    pub(crate) fn string_match(&mut self, field: impl Display, value: &StringMatch) {
        if value.alternatives() > 1 {
            self.error(&field, "only one of exact, prefix and regex may be given");
        }
        match value.pattern() {
            Pattern::Prefix("") => self.error(field, "an empty prefix matches nothing in particular; leave it out"),
            Pattern::Regex("") => self.error(field, "an empty regex matches nothing in particular; leave it out"),
            Pattern::Regex("*") => {}
            Pattern::Regex(it) => self.regex(field, it),
            Pattern::Prefix(_) | Pattern::Exact(_) | Pattern::Present => {}
        }
    }

    pub(crate) fn regex(&mut self, field: impl Display, pattern: &str) {
        if pattern.chars().count() > MAX_REGEX {
            self.error(field, format!("a regular expression is limited to {MAX_REGEX} characters"));
        } else if let Err(error) = Regex::new(pattern) {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            self.error(field, format!("invalid regular expression `{pattern}`: {reason}"));
        }
    }

    pub(crate) fn labels(&mut self, field: &dyn Display, labels: &BTreeMap<String, String>) {
        for (key, value) in labels {
            let name = key.rsplit('/').next().unwrap_or_default();
            let word = |it: &str| {
                it.len() <= 63
                    && it.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.'))
                    && it.bytes().next().is_none_or(|it| it.is_ascii_alphanumeric())
                    && it.bytes().last().is_none_or(|it| it.is_ascii_alphanumeric())
            };
            if name.is_empty() || !word(name) {
                self.error(field, format!("`{key}` is no label key"));
            }
            if value.contains('*') {
                self.error(field, format!("a wildcard is not supported in the label `{key}: {value}`"));
            } else if !word(value) {
                self.error(field, format!("`{value}` is no label value"));
            }
        }
    }

    /// Namespaces that may use a resource.
    pub(crate) fn export_to(&mut self, namespaces: &[String]) {
        let mut seen = HashSet::new();
        for (index, namespace) in namespaces.iter().enumerate() {
            let field = format!("spec.exportTo[{index}]");
            let special = matches!(namespace.as_str(), "*" | "." | "~");
            if !special && !host::is_lower_label(namespace) {
                self.error(&field, format!("`{namespace}` is neither `*`, `.` nor a namespace"));
            }
            if !seen.insert(namespace) {
                self.error(&field, format!("`{namespace}` is listed twice"));
            }
            if matches!(namespace.as_str(), "*" | "~") && namespaces.len() > 1 {
                self.error(&field, format!("`{namespace}` stands alone"));
            }
        }
    }

    /// What a policy attaches to: a selector or references, not both.
    pub(crate) fn target(
        &mut self,
        selector: Option<&LabelSelector>,
        reference: Option<&TargetRef>,
        references: &[TargetRef],
    ) {
        let given =
            usize::from(selector.is_some()) + usize::from(reference.is_some()) + usize::from(!references.is_empty());
        if given > 1 {
            self.error("spec", "only one of selector, targetRef and targetRefs may be given");
        }
        if let Some(selector) = selector {
            self.labels(&"spec.selector.matchLabels", &selector.match_labels);
        }
        if let Some(reference) = reference {
            self.target_ref("spec.targetRef", reference);
        }
        for (index, reference) in references.iter().enumerate() {
            self.target_ref(format!("spec.targetRefs[{index}]"), reference);
        }
    }

    fn target_ref(&mut self, at: impl Display, reference: &TargetRef) {
        const TARGETS: [(&str, &str); 4] = [
            ("gateway.networking.k8s.io", "Gateway"),
            ("gateway.networking.k8s.io", "GatewayClass"),
            ("", "Service"),
            ("networking.istio.io", "ServiceEntry"),
        ];
        let TargetRef { group, kind, name, namespace } = reference;
        if name.is_empty() {
            self.error(format_args!("{at}.name"), "a reference needs a name");
        }
        if !namespace.is_empty() {
            self.error(format_args!("{at}.namespace"), "a reference stays in the policy's namespace");
        }
        let group = if group == "core" { "" } else { group };
        if !TARGETS.contains(&(group, kind)) {
            let message = format!("a policy cannot attach to {kind} of `{group}`");
            self.error(at, message + "; it can to Gateway, GatewayClass, Service and ServiceEntry");
        }
    }
}

/// Whether a text can be a header's name (RFC 9110 token).
pub(crate) fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|it| {
            it.is_ascii_alphanumeric()
                || matches!(
                    it,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                )
        })
}

/// The methods of HTTP (RFC 9110 and PATCH).
pub(crate) const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// The protocols a port may name, as Istio spells them.
pub(crate) const PROTOCOLS: [&str; 8] = ["HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "TCP", "TLS"];
