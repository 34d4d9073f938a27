//! The index of routes finds what a scan in order finds.

use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::origin::DocumentOrigin;
use crate::routing::matcher::Condition;
use crate::routing::request::Scheme;
use crate::routing::route::{Action, PathPattern, RouteKind, RouteOrigin};
use crate::text::TextPattern;

fn route(path: PathPattern, method: Option<&str>, number: u32) -> Arc<Route> {
    let service = DocumentOrigin { name: "".into(), file: "".into(), document: 0, item: None };
    Arc::new(Route {
        name: "".into(),
        stat_prefix: None,
        origin: RouteOrigin {
            kind: RouteKind::VirtualService,
            service: Arc::new(service),
            rule: number,
            condition: None,
        },
        path,
        conditions: method.into_iter().map(|it| Condition::Method(TextPattern::Exact(it.into()))).collect(),
        action: Action::Respond(StatusCode::OK, bytes::Bytes::new()),
        response_edits: Arc::new([]),
        fault: None,
        cors: None,
        limits: None,
    })
}

fn pattern() -> impl Strategy<Value = PathPattern> {
    let path = "(/[abA]{0,2}){1,3}";
    prop_oneof![
        Just(PathPattern::Any),
        path.prop_map(|it| PathPattern::Exact(it.into())),
        path.prop_map(|it| PathPattern::Prefix(it.into())),
        path.prop_map(|it| PathPattern::Within(it.trim_end_matches('/').into())),
        path.prop_map(|it| PathPattern::ExactFolded(it.to_lowercase().into())),
        path.prop_map(|it| PathPattern::PrefixFolded(it.to_lowercase().into())),
        "/[ab]{0,2}(\\.\\*|\\[ab\\]\\+)".prop_map(|it| PathPattern::Regex(it.into())),
    ]
}

struct Silent;

impl Observer for Silent {
    fn tried(&mut self, _: &Route, _: Result<(), Mismatch>) {}
}

proptest! {
    /// The index finds what going through the routes one by one finds.
    #[test]
    fn the_index_agrees_with_a_linear_search(
        patterns in prop::collection::vec((pattern(), prop::option::of("GET|POST")), 0..30),
        path in "(/[abA]{0,2}){1,4}",
        method in "GET|POST",
    ) {
        let routes = patterns
            .into_iter()
            .zip(0..)
            .map(|((path, method), number)| route(path, method.as_deref(), number))
            .collect();
        let host = VirtualHost::new("*", 80, routes).indexed(false).unwrap();
        let headers = HeaderMap::<HeaderValue>::new();
        let request = Request {
            method: &method, scheme: Scheme::Http, authority: "a", target: &path, headers: &headers, port: 80, claims: None,
        };
        let found = host.find(&request).map(|it| it.origin.rule);
        let expected = host.find_observed(&request, &mut Silent).map(|it| it.origin.rule);
        prop_assert_eq!(found, expected);
    }
}
