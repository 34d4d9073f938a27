//! `sluice echo`: an upstream that answers with what it was asked, to try things out.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use clap::Args;
use http::{Response, header};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use tokio::runtime::Builder;

use super::fail;
use crate::admin::Port;

#[derive(Args)]
pub(super) struct Arguments {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Name in the answers.
    #[arg(long, default_value = "echo")]
    name: String,
}

pub(super) fn run(arguments: Arguments) -> ExitCode {
    match serve(arguments.listen, arguments.name) {
        Ok(serving) => {
            // Ends with the process.
            drop(serving.thread.join());
            ExitCode::SUCCESS
        }
        Err(error) => fail(&format!("cannot listen on {}: {error}", arguments.listen)),
    }
}

/// A server in a thread of its own.
pub(super) struct Serving {
    pub(super) address: SocketAddr,
    thread: std::thread::JoinHandle<()>,
}

/// Starts an echo server.
pub(super) fn serve(listen: SocketAddr, name: String) -> io::Result<Serving> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let port = runtime.block_on(Port::bind(listen))?;
    let address = port.address();
    let app = Arc::new(Echo(name));
    let thread =
        std::thread::Builder::new().name("echo".to_owned()).spawn(move || runtime.block_on(port.serve(app)))?;
    Ok(Serving { address, thread })
}

/// Answers with what it was asked, and its own name.
struct Echo(String);

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
