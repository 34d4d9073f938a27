//! `sluice explain` and the running gateway decide alike, over random policies and requests.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::jwt::Issuer;
use crate::harness::tls::sha256_hex;
use crate::harness::{Client, Folder, Gateway, Upstream, gateway, routes, service, settings, sluice};

/// Sets of policies, and requests for each.
const ROUNDS: (u64, usize) = (12, 14);

/// Chooses by a seed, so that a failure can be repeated.
struct Dice(fastrand::Rng);

impl Dice {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.usize(..of.len())]
    }

    fn list(&mut self, of: &[&str]) -> String {
        let count = 1 + self.0.usize(..2);
        let chosen: Vec<String> = (0..count).map(|_| format!("{:?}", self.one(of))).collect();
        format!("[{}]", chosen.join(", "))
    }

    fn source(&mut self) -> String {
        let (name, values): (&str, &[&str]) = match self.0.u8(..4) {
            0 => ("requestPrincipals", &["me/alice", "*", "apikey/bob", "me/*"]),
            1 => ("notRequestPrincipals", &["me/alice", "apikey/*"]),
            2 => ("ipBlocks", &["127.0.0.0/8", "10.0.0.0/8"]),
            _ => ("notRemoteIpBlocks", &["127.0.0.1", "192.0.2.0/24"]),
        };
        format!("{{source: {{{name}: {}}}}}", self.list(values))
    }

    fn operation(&mut self) -> String {
        let (name, values): (&str, &[&str]) = match self.0.u8(..5) {
            0 => ("paths", &["/a", "/a/*", "*/z", "/{*}/x"]),
            1 => ("notPaths", &["/a", "/b*"]),
            2 => ("methods", &["GET", "POST"]),
            3 => ("hosts", &["h", "*.h", "other"]),
            _ => ("ports", &["80", "443"]),
        };
        format!("{{operation: {{{name}: {}}}}}", self.list(values))
    }

    fn condition(&mut self) -> String {
        let (key, values): (&str, &[&str]) = match self.0.u8(..4) {
            0 => ("request.headers[x-team]", &["red", "blue*"]),
            1 => ("request.auth.claims[groups]", &["staff", "guests"]),
            2 => ("remote.ip", &["127.0.0.1", "10.0.0.0/8"]),
            _ => ("request.auth.principal", &["me/alice", "*"]),
        };
        let form = self.one(&["values", "notValues"]).to_owned();
        format!("{{key: \"{key}\", {form}: {}}}", self.list(values))
    }

    fn rule(&mut self) -> String {
        let mut parts = Vec::new();
        if self.0.bool() {
            parts.push(format!("from: [{}]", self.source()));
        }
        if self.0.bool() {
            parts.push(format!("to: [{}, {}]", self.operation(), self.operation()));
        }
        if self.0.bool() || parts.is_empty() {
            parts.push(format!("when: [{}]", self.condition()));
        }
        format!("{{{}}}", parts.join(", "))
    }

    fn policies(&mut self) -> String {
        let count = 1 + self.0.usize(..3);
        (0..count)
            .map(|number| {
                let action = self.one(&["ALLOW", "ALLOW", "DENY", "AUDIT"]).to_owned();
                let rules = format!("[{}, {}]", self.rule(), self.rule());
                format!(
                    "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p{number}, namespace: istio-system}}\nspec: {{action: {action}, rules: {rules}}}\n"
                )
            })
            .collect()
    }
}

/// A request: its method, host and target, and its further header lines.
struct Request {
    method: String,
    host: String,
    target: String,
    headers: Vec<String>,
}

impl Request {
    fn random(dice: &mut Dice, tokens: &[String; 3]) -> Request {
        let method = dice.one(&["GET", "POST"]).to_owned();
        let host = dice.one(&["h", "x.h", "other"]).to_owned();
        let target = dice.one(&["/a", "/a/x", "/b/z", "/b?q", "//a", "/a/../b"]).to_owned();
        let mut headers = Vec::new();
        match dice.0.u8(..6) {
            it @ 0..3 => headers.push(format!("Authorization: Bearer {}", tokens[usize::from(it)])),
            3 => headers.push(format!("x-api-key: {}", dice.one(&["key", "no"]))),
            _ => {}
        }
        if dice.0.bool() {
            headers.push(format!("x-team: {}", dice.one(&["red", "blue-1", "green"])));
        }
        Request { method, host, target, headers }
    }

    fn head(&self) -> String {
        let lines: String = self.headers.iter().map(|it| format!("{it}\r\n")).collect();
        format!("{} {} HTTP/1.1\r\nHost: {}\r\n{lines}Content-Length: 0\r\n\r\n", self.method, self.target, self.host)
    }

    /// What `sluice explain` tells, and the status that follows from it.
    fn explained(&self, config: &Path) -> (String, u16) {
        let mut explain = sluice();
        explain.args(["explain", "--output", "json", "--config"]).arg(config);
        for header in &self.headers {
            explain.args(["-H", header]);
        }
        let url = format!("http://{}{}", self.host, self.target);
        let told = explain.args([&self.method, &url]).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let status = match () {
            () if told.contains(": 401\"") => 401,
            () if told.contains(": 403 RBAC: access denied\"") => 403,
            () => 200,
        };
        (told, status)
    }
}

/// A gateway that knows callers by tokens of `issuer` and by a key.
fn base(issuer: &Issuer, upstream: &Upstream) -> String {
    settings("")
        + &gateway(&[80])
        + &service("a", "HTTP", &[upstream.address()])
        + &routes("*", "  - route: [{destination: {host: a.test}}]\n")
        + &format!(
            "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: t, namespace: istio-system}}\nspec: {{jwtRules: [{{issuer: me, jwks: '{}'}}]}}\n",
            issuer.keys()
        )
        + &format!(
            "---\napiVersion: sluice.dev/v1alpha1\nkind: ApiKeyAuthentication\nmetadata: {{name: k, namespace: istio-system}}\nspec: {{optional: true, clients: [{{name: bob, sha256: [{}]}}]}}\n",
            sha256_hex(b"key")
        )
}

#[test]
fn explain_and_the_running_gateway_decide_alike() {
    let (issuer, upstream) = (Issuer::new("k"), Upstream::echo("a"));
    let base = base(&issuer, &upstream);
    let token = |groups: Value| issuer.token(&json!({ "iss": "me", "sub": "alice", "groups": groups }));
    let tokens = [token(json!(["staff"])), token(json!([])), "x.y.z".to_owned()];
    let (running, folder) = (Gateway::start(&base), Folder::new());
    let mut seen = [0; 3];
    for seed in 0..ROUNDS.0 {
        let mut dice = Dice(fastrand::Rng::with_seed(seed));
        let config = format!("{base}{}", dice.policies());
        assert_eq!(running.reload(&config)["success"], true, "{config}");
        let path = folder.write("config.yaml", &config);
        for _ in 0..ROUNDS.1 {
            let request = Request::random(&mut dice, &tokens);
            let status = Client::connect(running.address(80)).send(&request.head()).status;
            let (told, expected) = request.explained(&path);
            assert_eq!(status, expected, "seed {seed}: {}\n{told}\n{config}", request.head());
            seen[usize::from(status != 200) + usize::from(status == 403)] += 1;
        }
    }
    assert!(seen.iter().all(|it| *it > 5), "all outcomes were seen: {seen:?}");
}
