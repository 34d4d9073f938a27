//! What it costs to verify a token, known or not, beside the bare signature check; to judge 1,000 rules, and to find an address.

#![expect(missing_docs, reason = "criterion's macros make functions")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use gateway::filter::authentication::provider::{Provider, Source, Terms};
use gateway::filter::authentication::{Asked, Authentication, Rule as TokenRule};
use gateway::filter::authorization::subject::{Http, Subject};
use gateway::filter::authorization::values::Texts;
use gateway::filter::authorization::{Attribute, Authorization, Group, Rule, Test};
use gateway::network::Network;
use gateway::network::set::Networks;
use http::{HeaderMap, HeaderValue, Method, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, crypto, encode};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::json;

/// More than a worker remembers, so that none is known when it comes again.
const TOKENS: usize = 10_000;

fn tokens(criterion: &mut Criterion) {
    let key = KeyPair::generate().unwrap();
    let point = key.der_bytes().to_vec();
    let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(point.get(range).unwrap());
    let (x, y) = (part(1..33), part(33..65));
    let jwks = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y }] }).to_string();
    let private = EncodingKey::from_ec_der(&key.serialize_der());
    let head = Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::ES256) };
    let sign = |number: usize| {
        let claims = json!({ "iss": "me", "sub": format!("user-{number}"), "exp": 4_000_000_000_u64 });
        let mut headers = HeaderMap::new();
        let token = encode(&head, &claims, &private).unwrap();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        (headers, token)
    };
    let all: Vec<_> = (0..TOKENS).map(sign).collect();
    let terms = Terms { fetch: Default::default(), max_age: std::time::Duration::from_secs(1) };
    let provider = Arc::new(Provider::new(Source::Inline(jwks.into()), terms).unwrap());
    let policy = Authentication::new(vec![TokenRule::new("me", provider)]);
    let judge = |headers: &HeaderMap| {
        let asked = Asked { method: "GET", target: "/", headers };
        policy.judge(asked, 1_800_000_000).unwrap()
    };
    let one = &all.first().unwrap().0;
    criterion.bench_function("a token that is known", |bencher| bencher.iter(|| black_box(judge(one))));
    let mut number = 0;
    criterion.bench_function("a token that is not known (ES256)", |bencher| {
        bencher.iter(|| {
            number = (number + 1) % TOKENS;
            black_box(judge(&all.get(number).unwrap().0))
        });
    });
    let public = DecodingKey::from_ec_components(&x, &y).unwrap();
    criterion.bench_function("the signature of it alone (ES256)", |bencher| {
        bencher.iter(|| {
            number = (number + 1) % TOKENS;
            let (message, signature) = all.get(number).unwrap().1.rsplit_once('.').unwrap();
            black_box(crypto::verify(signature, message.as_bytes(), &public, Algorithm::ES256).unwrap())
        });
    });
}

fn rules(criterion: &mut Criterion) {
    let rule = |number: usize| {
        let test = |attribute| Test { attribute, negated: false };
        let path = format!("/r{number}/*");
        let to =
            [test(Attribute::Method(Texts::new(["GET"]))), test(Attribute::Path(Texts::of_paths([path.as_str()])))];
        let from = [test(Attribute::Peer(Networks::from_iter([Network::new(IpAddr::from([127, 0, 0, 0]), 8)])))];
        Rule {
            name: format!("rule {number}").into(),
            origin: Arc::default(),
            index: number,
            from: [from.into()].into(),
            to: [to.into()].into(),
            when: Box::default(),
        }
    };
    let group = Group::new((0..1000).map(rule).collect());
    let policy = Authorization::new(Group::default(), group, Group::default(), true);
    let (headers, here) = (HeaderMap::new(), IpAddr::from([127, 0, 0, 1]));
    let method = Method::GET;
    let http = Http {
        method: method.as_str(),
        host: "bench.test",
        path: "/r500/item",
        headers: &headers,
        claims: None,
        credentials: &[],
    };
    let subject = Subject {
        peer: here,
        client: here,
        destination: here,
        port: 80,
        server_name: "",
        principal: None,
        http: Some(http),
    };
    criterion.bench_function("1,000 rules", |bencher| bencher.iter(|| black_box(policy.judge(black_box(&subject)))));
}

fn networks(criterion: &mut Criterion) {
    for count in [1, 10_000] {
        let network = |it: u32| Network::new(IpAddr::from((0x0a00_0000 + (it << 9)).to_be_bytes()), 24);
        let set: Networks = (0..count).map(network).collect();
        let mut at = 0_u32;
        criterion.bench_function(&format!("an address among {count} networks"), |bencher| {
            bencher.iter(|| {
                at = at.wrapping_add(0x9e37_79b9);
                black_box(set.hold(IpAddr::from((0x0a00_0000 + (at >> 9)).to_be_bytes())))
            });
        });
    }
}

criterion_group!(benches, tokens, rules, networks);
criterion_main!(benches);
