//! Policies decide as Istio says: their order, each attribute, and for any input as a plain reading of the rules does.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};
use proptest::prelude::{Strategy, any, prop_oneof, proptest};

use super::subject::Http;
use super::*;
use crate::network::Network;
use crate::network::set::Networks;

fn subject<'a>(path: &'a str, host: &'a str, headers: &'a HeaderMap) -> Subject<'a> {
    let here = IpAddr::from([127, 0, 0, 1]);
    Subject {
        peer: here,
        client: IpAddr::from([10, 0, 0, 1]),
        destination: here,
        port: 80,
        server_name: "",
        principal: Some("td/ns/shop/sa/web"),
        http: Some(Http { method: "GET", host, path, headers, claims: None, credentials: &[] }),
    }
}

fn test(attribute: Attribute) -> Test {
    Test { attribute, negated: false }
}

fn rule(name: &str, to: Vec<Test>) -> Rule {
    Rule {
        name: name.into(),
        origin: Arc::default(),
        index: 0,
        from: Box::default(),
        to: [to.into()].into(),
        when: Box::default(),
    }
}

#[test]
fn deny_stands_over_allow_and_nothing_allowed_is_denied() {
    let path = |it| test(Attribute::Path(Texts::of_paths([it])));
    let headers = HeaderMap::new();
    let deny = Group::new(vec![rule("deny", vec![path("/allow/admin")])]);
    let allow = Group::new(vec![rule("allow", vec![path("/allow*")])]);
    let policies = Authorization::new(deny, allow, Group::default(), true);
    for (path, expected) in [
        ("/allow/admin", Verdict::Denied(Some("deny".into()))),
        ("/allow/x", Verdict::Allowed),
        ("/other", Verdict::Denied(None)),
    ] {
        assert_eq!(policies.judge(&subject(path, "h", &headers)), expected, "{path}");
    }
    // `spec: {}` allows nothing, which is not the same as no policy.
    let nothing = Authorization::new(Group::default(), Group::default(), Group::default(), true);
    assert_eq!(nothing.judge(&subject("/", "h", &headers)), Verdict::Denied(None));
    assert!(Authorization::default().is_empty() && !nothing.is_empty());
}

#[test]
fn what_only_http_knows_never_lets_a_connection_in() {
    let path = || rule("path", vec![test(Attribute::Path(Texts::new(["/a"])))]);
    let headers = HeaderMap::new();
    let connection = Subject { http: None, ..subject("", "", &headers) };
    let deny = Authorization::new(Group::new(vec![path()]), Group::default(), Group::default(), false);
    assert_eq!(deny.judge(&connection), Verdict::Denied(Some("path".into())));
    let allow = Authorization::new(Group::default(), Group::new(vec![path()]), Group::default(), true);
    assert_eq!(allow.judge(&connection), Verdict::Denied(None));
}

#[test]
fn every_attribute_is_compared_as_istio_does() {
    let mut headers = HeaderMap::new();
    headers.append("x-a", HeaderValue::from_static("1"));
    headers.append("x-a", HeaderValue::from_static("2"));
    let network = |it: [u8; 4], prefix| Networks::from_iter([Network::new(it.into(), prefix)]);
    for (attribute, expected) in [
        (Attribute::Principal(Texts::new(["td/ns/shop/*"])), true),
        (Attribute::Namespace(Texts::new(["shop"])), true),
        (Attribute::Namespace(Texts::new(["sho"])), false),
        (Attribute::ServiceAccount(Accounts([("shop".into(), "web".into())].into())), true),
        (Attribute::ServiceAccount(Accounts([("other".into(), "web".into())].into())), false),
        (Attribute::TrustDomain(Texts::new(["td"])), true),
        (Attribute::Peer(network([127, 0, 0, 0], 8)), true),
        (Attribute::Client(network([10, 0, 0, 0], 8)), true),
        (Attribute::Client(network([127, 0, 0, 0], 8)), false),
        (Attribute::Port([80].into()), true),
        (Attribute::Host(Texts::new(["h:8080"])), true),
        (Attribute::Method(Texts::new(["get"])), false),
        (Attribute::Header(http::HeaderName::from_static("x-a"), Texts::new(["1,2"])), true),
        (Attribute::Header(http::HeaderName::from_static("x-b"), Texts::new(["*"])), false),
        (Attribute::RequestPrincipal(Principals::new(["*"])), false),
        (Attribute::ServerName(Texts::new(["*"])), false),
    ] {
        let shown = format!("{attribute:?}");
        let one = Test { attribute, negated: false };
        let subject = subject("/", "h:8080", &headers);
        assert_eq!(one.holds(&subject, Ignorance::Fails), expected, "{shown}");
        let not = Test { negated: true, ..one };
        assert_eq!(not.holds(&subject, Ignorance::Fails), !expected, "not {shown}");
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof!["/[ab]{0,2}", "/[ab]{0,1}\\*", "\\*[ab]", proptest::prelude::Just("*".to_owned())]
}

fn tests() -> impl Strategy<Value = Vec<(bool, bool, Vec<String>)>> {
    proptest::collection::vec((any::<bool>(), any::<bool>(), proptest::collection::vec(value(), 1..3)), 1..3)
}

proptest! {
    /// The index finds what a look at every rule finds.
    #[test]
    fn the_index_finds_what_matches(
        rules in proptest::collection::vec(proptest::collection::vec(tests(), 0..3), 0..8),
        path in "/[ab]{0,3}",
        host in "/[ab]{0,2}",
    ) {
        let lower = |(is_path, negated, values): &(bool, bool, Vec<String>)| {
            let values = Texts::of_paths(values.iter().map(String::as_str));
            let attribute = if *is_path { Attribute::Path(values) } else { Attribute::Host(values) };
            Test { attribute, negated: *negated }
        };
        let rules: Vec<Rule> = rules
            .iter()
            .enumerate()
            .map(|(index, to)| Rule {
                origin: Arc::default(),
                index,
                name: index.to_string().into(),
                from: Box::default(),
                to: to.iter().map(|tests| tests.iter().map(lower).collect()).collect(),
                when: Box::default(),
            })
            .collect();
        let headers = HeaderMap::new();
        let subject = subject(&path, &host, &headers);
        let naive = rules.iter().any(|it| it.matches(&subject, Ignorance::Fails));
        assert_eq!(Group::new(rules).find(&subject, Ignorance::Fails).is_some(), naive);
    }
}
