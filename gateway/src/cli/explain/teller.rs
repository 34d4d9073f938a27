//! Hears the decision of the engine that serves traffic, and tells its steps.

use std::fmt::Write as _;

use config_schema::Documents;
use config_schema::problem::FieldPath;
use config_schema::read::{Origin, position};
use serde_json::{Value, json};

use super::access;
use super::asked::Asked;
use super::live::Live;
use crate::filter::authentication::Identity;
use crate::filter::credential::Principal;
use crate::origin::DocumentOrigin;
use crate::routing::host_table::HostTable;
use crate::routing::path;
use crate::routing::redirect::Redirect;
use crate::routing::request::{Request, Scheme};
use crate::routing::route::{Action, Mismatch, Route};
use crate::routing::tcp::TcpRoute;
use crate::routing::virtual_host::Observer;
use crate::snapshot::{Service, Snapshot};

/// One step of the decision.
struct Step {
    what: &'static str,
    result: String,
    place: String,
}

/// Hears the decision and tells it.
pub(super) struct Teller<'a> {
    documents: &'a Documents,
    asked: &'a Asked,
    live: Option<&'a Live>,
    steps: Vec<Step>,
    /// Whom keys and passwords name.
    pub(super) known: Vec<Principal>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(documents: &'a Documents, asked: &'a Asked, live: Option<&'a Live>) -> Self {
        Self { documents, asked, live, steps: Vec::new(), known: Vec::new() }
    }

    /// The request, as it was asked about.
    pub(super) fn asked(&self) -> &'a Asked {
        self.asked
    }

    /// What a running gateway says of its clusters.
    pub(super) fn live(&self) -> Option<&'a Live> {
        self.live
    }

    pub(super) fn step(&mut self, what: &'static str, result: impl Into<String>) {
        self.steps.push(Step { what, result: result.into(), place: String::new() });
    }

    /// Takes the decision, and tells its steps.
    pub(super) fn decide(&mut self, snapshot: &Snapshot) {
        let asked = self.asked;
        if asked.by_proxy {
            return self.leave(snapshot);
        }
        let Some(listener) = snapshot.listeners.iter().find(|it| it.wanted.key.port == asked.port) else {
            let ports: Vec<String> = snapshot.listeners.iter().map(|it| it.wanted.key.port.to_string()).collect();
            let known = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
            return self.step("listener", format!("no server listens on port {}; known ports: {known}", asked.port));
        };
        if let Service::Tcp(route) = &listener.service {
            return self.tcp(asked.port, route.as_deref());
        }
        self.step("listener", format!("port {}", asked.port));
        let host = crate::text::host_of(&asked.authority).to_ascii_lowercase();
        let hosts = match &listener.service {
            Service::Http(hosts) => Some(hosts),
            Service::Tls(table) => self.tls(table, &host),
            Service::Proxy(_) => return self.leave(snapshot),
            Service::Tcp(_) => None,
        };
        let Some(hosts) = hosts else { return };
        let Ok(target) = path::normalize(&asked.target, snapshot.settings.normalization) else {
            return self.step("path", "cannot be normalised: 400");
        };
        if target != asked.target {
            self.step("path", format!("normalised to {target}"));
        }
        self.early_limits(snapshot, hosts, &target);
        self.custom(snapshot, &target);
        let Some(target) = self.credentials(snapshot, target.into_owned()) else { return };
        let Some(identity) = self.token(snapshot, &target) else { return };
        if !self.policy(snapshot, &target, identity.as_deref()) {
            return;
        }
        let request = Request {
            method: &asked.method,
            scheme: asked.scheme,
            authority: &asked.authority,
            target: &target,
            headers: &asked.headers,
            port: asked.port,
            claims: identity.as_ref().map(|it| &it.claims),
        };
        self.route(snapshot, hosts, &request, identity.as_deref());
    }

    /// Limits that are asked before anybody asks who it is.
    fn early_limits(&mut self, snapshot: &Snapshot, hosts: &HostTable, target: &str) {
        let asked = self.asked;
        let request = Request {
            method: &asked.method,
            scheme: asked.scheme,
            authority: &asked.authority,
            target,
            headers: &asked.headers,
            port: asked.port,
            claims: None,
        };
        let host = asked.authority.to_ascii_lowercase();
        let subject = access::subject(asked, (target, &host), None, &[]);
        self.limits(&snapshot.limits.before, &request, &subject);
        let route = hosts.find(&request.host()).and_then(|it| it.find(&request));
        if let Some(limits) = route.and_then(|it| it.limits.as_ref()) {
            self.limits(&limits.before, &request, &subject);
        }
    }

    fn route(&mut self, snapshot: &Snapshot, hosts: &HostTable, request: &Request<'_>, identity: Option<&Identity>) {
        let host = request.host();
        let Some(virtual_host) = hosts.find(&host) else {
            return self.step("virtual host", format!("none for `{host}`: 404 NR"));
        };
        self.step("virtual host", virtual_host.name.to_string());
        if virtual_host.https_redirect && request.scheme == Scheme::Http {
            return self.step("redirect", format!("301 to {}", Redirect::to_https().location(request)));
        }
        let Some(route) = virtual_host.find_observed(request, self) else {
            return self.step("route", "none matches: 404 NR");
        };
        let (asked, known) = (self.asked, self.known.clone());
        let lower = asked.authority.to_ascii_lowercase();
        let subject = access::subject(asked, (request.target, &lower), identity, &known);
        self.limits(&snapshot.limits.after, request, &subject);
        if let Some(limits) = &route.limits {
            self.limits(&limits.after, request, &subject);
        }
        self.descriptor_limits(&snapshot.descriptor_limits, (&virtual_host.name, route), request, &subject);
        self.policies(route);
        match &route.action {
            Action::Forward(forward) => self.forward(forward, request),
            Action::Redirect(redirect) => {
                self.step("redirect", format!("{} to {}", redirect.status.as_u16(), redirect.location(request)));
            }
            Action::Respond(status, body) => {
                self.step("response", format!("{} with {} bytes", status.as_u16(), body.len()));
            }
        }
    }

    pub(super) fn tcp(&mut self, port: u16, route: Option<&TcpRoute>) {
        self.step("listener", format!("port {port}, TCP: connections are passed on whatever they carry"));
        let Some(route) = route else { return self.step("route", "none: connections are closed") };
        for (weight, target) in &route.destinations {
            self.step("destination", format!("{} ({weight} of {})", target.name(), route.total_weight));
        }
    }

    /// A step that something in a document decided.
    pub(super) fn step_at(
        &mut self,
        what: &'static str,
        result: impl Into<String>,
        (origin, field): (&DocumentOrigin, &str),
    ) {
        let place = self.place(origin, field);
        self.steps.push(Step { what, result: result.into(), place });
    }

    /// File and line of a field.
    fn place(&self, origin: &DocumentOrigin, field: &str) -> String {
        let Some(source) = self.documents.sources.iter().find(|it| it.name == origin.file.as_ref()) else {
            return String::new();
        };
        let document = Origin { source: source.id, document: origin.document, item: origin.item };
        let line = position(source, document, &FieldPath::parse(field)).map_or(0, |it| it.line);
        format!("{}:{line} {} {field}", origin.file, origin.name)
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for Step { what, result, place } in &self.steps {
            let place = if place.is_empty() { String::new() } else { format!("   {place}") };
            // Writing to a String cannot fail.
            writeln!(out, "{what:<14}{result}{place}").unwrap_or_default();
        }
        out
    }

    pub(super) fn json(&self) -> Value {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|Step { what, result, place }| json!({ "step": what, "result": result, "place": place }))
            .collect();
        json!({ "steps": steps })
    }
}

impl Observer for Teller<'_> {
    fn tried(&mut self, route: &Route, result: Result<(), Mismatch>) {
        let result = match result {
            Ok(()) => format!("matches: {}", route.path.describe()),
            Err(Mismatch::Path(asked)) => format!("does not match: {asked}"),
            Err(Mismatch::Condition(asked)) => format!("does not match: {asked}"),
        };
        self.step_at("rule", result, (&route.origin.service, &route.origin.field()));
    }
}
