//! `sluice explain`: which route a request takes, told by the engine that serves traffic.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use config_schema::Documents;
use config_schema::problem::FieldPath;
use config_schema::read::{Origin, position};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{ConfigPaths, EXIT_PROBLEMS, EXIT_USAGE, Output, fail, print};
use crate::reload;
use crate::routing::host_table::HostTable;
use crate::routing::path;
use crate::routing::redirect::Redirect;
use crate::routing::request::{Request, Scheme};
use crate::routing::route::{Action, Mismatch, Route};
use crate::routing::tcp::TcpRoute;
use crate::routing::virtual_host::Observer;
use crate::snapshot::{Service, Snapshot};

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigPaths,
    /// Form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// A header of the request, as `name: value`; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Address of the client; for policies by address.
    #[arg(long)]
    source_ip: Option<IpAddr>,
    /// Server name of the TLS handshake; for servers that are chosen by it.
    #[arg(long)]
    sni: Option<String>,
    /// Size of the request's body in bytes; for policies by size.
    #[arg(long, value_name = "BYTES")]
    data: Option<u64>,
    /// Method of the request.
    method: String,
    /// URL of the request; its port chooses the listener.
    url: String,
}

/// One step of the decision.
struct Step {
    what: &'static str,
    result: String,
    place: String,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let asked = match Asked::parse(arguments) {
        Ok(asked) => asked,
        Err(message) => {
            let code = fail(&message);
            return if code == ExitCode::from(EXIT_PROBLEMS) { ExitCode::from(EXIT_USAGE) } else { code };
        }
    };
    let candidate = match reload::candidate(&arguments.config.paths, None) {
        Ok(candidate) => candidate,
        Err(problems) => return fail(&format!("{}\n{}", problems.summary(), problems.render_text())),
    };
    let (documents, _) = config_schema::read(&arguments.config.paths);
    let mut teller = Teller { documents: &documents, steps: Vec::new() };
    for (what, given) in [
        ("client", arguments.source_ip.map(|it| it.to_string())),
        ("sni", arguments.sni.clone()),
        ("body", arguments.data.map(|it| format!("{it} bytes"))),
    ] {
        if let Some(given) = given {
            teller.step(what, format!("{given}; no policy asks for it yet"));
        }
    }
    teller.decide(&candidate.snapshot, &asked);
    match arguments.output {
        Output::Text => print(&teller.text()),
        Output::Json => print(&format!("{:#}\n", teller.json())),
    }
}

/// The request that is asked about.
struct Asked {
    method: String,
    scheme: Scheme,
    authority: String,
    target: String,
    headers: HeaderMap,
    port: u16,
}

impl Asked {
    fn parse(arguments: &Arguments) -> Result<Self, String> {
        let url: http::Uri =
            arguments.url.parse().map_err(|error| format!("`{}` is no URL: {error}", arguments.url))?;
        let scheme = match url.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") | None => Scheme::Http,
            Some(other) => return Err(format!("`{other}` is neither http nor https")),
        };
        let authority = url.authority().ok_or_else(|| format!("`{}` names no host", arguments.url))?;
        let mut headers = HeaderMap::new();
        let mut host = authority.as_str().to_owned();
        for text in &arguments.headers {
            let (name, value) =
                text.split_once(':').ok_or_else(|| format!("`{text}` must have the form name: value"))?;
            let wrong = |_| format!("`{text}` is no header");
            let name = HeaderName::try_from(name.trim()).map_err(|_| format!("`{name}` is no header name"))?;
            if name == http::header::HOST {
                value.trim().clone_into(&mut host);
            }
            headers.append(name, HeaderValue::try_from(value.trim()).map_err(wrong)?);
        }
        Ok(Self {
            method: arguments.method.clone(),
            scheme,
            authority: host,
            target: url.path_and_query().map_or("/", |it| it.as_str()).to_owned(),
            headers,
            port: authority.port_u16().unwrap_or(scheme.default_port()),
        })
    }
}

/// Hears the decision and tells it.
struct Teller<'a> {
    documents: &'a Documents,
    steps: Vec<Step>,
}

impl Teller<'_> {
    fn step(&mut self, what: &'static str, result: impl Into<String>) {
        self.steps.push(Step { what, result: result.into(), place: String::new() });
    }

    fn decide(&mut self, snapshot: &Snapshot, asked: &Asked) {
        let Some(listener) = snapshot.listeners.iter().find(|it| it.wanted.key.port == asked.port) else {
            let ports: Vec<String> = snapshot.listeners.iter().map(|it| it.wanted.key.port.to_string()).collect();
            let known = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
            return self.step("listener", format!("no server listens on port {}; known ports: {known}", asked.port));
        };
        let hosts = match &listener.service {
            Service::Http(hosts) => hosts,
            Service::Tcp(route) => return self.tcp(asked.port, route.as_deref()),
        };
        self.step("listener", format!("port {}", asked.port));
        let Ok(target) = path::normalize(&asked.target, snapshot.settings.normalization) else {
            return self.step("path", "cannot be normalised: 400");
        };
        if target != asked.target {
            self.step("path", format!("normalised to {target}"));
        }
        let request = Request {
            method: &asked.method,
            scheme: asked.scheme,
            authority: &asked.authority,
            target: &target,
            headers: &asked.headers,
            port: asked.port,
        };
        self.route(hosts, &request);
    }

    fn route(&mut self, hosts: &HostTable, request: &Request<'_>) {
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
        match &route.action {
            Action::Forward(forward) => {
                for it in &forward.destinations {
                    let share = format!("{} ({} of {})", it.target.name(), it.weight, forward.total_weight);
                    self.step("destination", share);
                }
                let path = forward.rewrite.apply(request.target);
                if path != request.target {
                    self.step("rewrite", format!("path becomes {path}"));
                }
            }
            Action::Redirect(redirect) => {
                self.step("redirect", format!("{} to {}", redirect.status.as_u16(), redirect.location(request)));
            }
            Action::Respond(status, body) => {
                self.step("response", format!("{} with {} bytes", status.as_u16(), body.len()))
            }
        }
    }

    fn tcp(&mut self, port: u16, route: Option<&TcpRoute>) {
        self.step("listener", format!("port {port}, TCP: connections are passed on whatever they carry"));
        let Some(route) = route else { return self.step("route", "none: connections are closed") };
        let total: u32 = route.destinations.iter().map(|it| it.0).sum();
        for (weight, target) in &route.destinations {
            self.step("destination", format!("{} ({weight} of {total})", target.name()));
        }
    }

    /// File and line of a route.
    fn place(&self, route: &Route) -> String {
        let origin = &route.origin;
        let service = &origin.service;
        let Some(source) = self.documents.sources.iter().find(|it| it.name == service.file.as_ref()) else {
            return String::new();
        };
        let field = match origin.condition {
            Some(condition) => format!("spec.http[{}].match[{condition}]", origin.rule),
            None => format!("spec.http[{}]", origin.rule),
        };
        let document = Origin { source: source.id, document: service.document, item: service.item };
        let line = position(source, document, &FieldPath::parse(&field)).map_or(0, |it| it.line);
        format!("{}:{line} {} {field}", service.file, service.name)
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for Step { what, result, place } in &self.steps {
            let place = if place.is_empty() { String::new() } else { format!("   {place}") };
            // Writing to a String cannot fail.
            writeln!(out, "{what:<14}{result}{place}").unwrap_or_default();
        }
        out
    }

    fn json(&self) -> Value {
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
        self.steps.push(Step { what: "rule", result, place: self.place(route) });
    }
}
