//! `sluice demo`: a gateway with two echo upstreams in one process, and requests to try.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Response, header};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use tokio::runtime::Builder;

use super::{fail, print, run};
use crate::admin::Port;
use crate::server::Options;

/// Port that the demo listens on.
const PORT: u16 = 8080;

/// Answers with what it was asked, and its own name.
struct Echo(&'static str);

#[async_trait]
impl ServeHttp for Echo {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let mut body = format!("{}: {} {}\n", self.0, request.method, request.uri);
        for (name, value) in &request.headers {
            body.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
        let length = body.len();
        let mut response = Response::new(body.into_bytes());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
        headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
        response
    }
}

pub(super) fn run() -> ExitCode {
    match prepare() {
        Ok(options) => run::start(options),
        Err(error) => fail(&format!("cannot set up the demo: {error}")),
    }
}

/// Starts the upstreams and writes the configuration.
fn prepare() -> io::Result<Options> {
    let shop = upstream("shop")?;
    let cart = upstream("cart")?;
    let folder = std::env::temp_dir().join(format!("sluice-demo-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("demo.yaml"), config(shop, cart))?;
    let try_these = format!(
        "Sluice listens on http://127.0.0.1:{PORT}, its operator's port is http://127.0.0.1:15000\n\
         The configuration is {}/demo.yaml; change it and send SIGHUP to {}\n\nTry:\n\
         \u{20} curl -H 'Host: shop.example.com' http://127.0.0.1:{PORT}/items\n\
         \u{20} curl -H 'Host: shop.example.com' http://127.0.0.1:{PORT}/cart/7\n\
         \u{20} curl -i -H 'Host: shop.example.com' http://127.0.0.1:{PORT}/old\n\
         \u{20} curl -i -H 'Host: other.example.com' http://127.0.0.1:{PORT}/\n\
         \u{20} curl http://127.0.0.1:15000/config_dump\n\n",
        folder.display(),
        std::process::id()
    );
    print(&try_these);
    Ok(Options { paths: vec![folder], ready_file: None, watch: true })
}

/// An echo server on a free port, in a thread of its own.
fn upstream(name: &'static str) -> io::Result<SocketAddr> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let port = runtime.block_on(Port::bind(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    let address = port.address();
    std::thread::Builder::new()
        .name(format!("echo-{name}"))
        .spawn(move || runtime.block_on(port.serve(Arc::new(Echo(name)))))?;
    Ok(address)
}

fn config(shop: SocketAddr, cart: SocketAddr) -> String {
    let entry = |name: &str, address: SocketAddr| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n  hosts: [{name}.internal]\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  endpoints: [{{address: {}, ports: {{http: {}}}}}]\n",
            address.ip(),
            address.port()
        )
    };
    format!("{}{}{}", include_str!("demo.yaml"), entry("shop", shop), entry("cart", cart))
}
