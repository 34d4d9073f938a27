//! A real gRPC server and client (tonic) that speak of plain bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

/// The path of the only method.
pub(crate) const METHOD: &str = "/test.Echo/Echo";

/// Messages as they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Echoes every message; `fail` ends the call with NOT_FOUND, `stall` says nothing more,
/// `wait` echoes and waits until the client is gone, which is counted.
#[derive(Clone, Default)]
struct Echo {
    cancelled: Arc<AtomicUsize>,
}

type Answers = ReceiverStream<Result<Bytes, Status>>;

impl StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = BoxFuture<Response<Answers>, Status>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let cancelled = Arc::clone(&self.cancelled);
        Box::pin(async move {
            let mut asked = request.into_inner();
            let first = asked.next().await;
            if let Some(Ok(first)) = &first
                && first.as_ref() == b"refuse"
            {
                return Err(Status::new(Code::PermissionDenied, "not you"));
            }
            let (send, answers) = tokio::sync::mpsc::channel(4);
            tokio::spawn(async move {
                let mut next = first;
                while let Some(Ok(message)) = next {
                    let answer = match message.as_ref() {
                        b"fail" => Err(Status::not_found("no such thing")),
                        b"wait" => {
                            send.send(Ok(message)).await.ok();
                            send.closed().await;
                            cancelled.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                        b"stall" => {
                            tokio::time::sleep(Duration::from_secs(60)).await;
                            return;
                        }
                        _ => Ok(message),
                    };
                    if send.send(answer).await.is_err() {
                        return;
                    }
                    next = asked.next().await;
                }
            });
            Ok(Response::new(ReceiverStream::new(answers)))
        })
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move { Ok(Grpc::new(Raw).streaming(echo, request).await) })
    }
}

/// Serves until the runtime ends.
pub(crate) async fn server() -> SocketAddr {
    server_counting(Arc::default()).await
}

/// Serves until the runtime ends, and counts the calls that wait and are cancelled.
pub(crate) async fn server_counting(cancelled: Arc<AtomicUsize>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(Echo { cancelled });
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

/// A channel to the gateway that asks for the host `h`.
pub(crate) async fn channel(gateway: SocketAddr) -> tonic::client::Grpc<Channel> {
    let endpoint = Channel::from_shared(format!("http://{gateway}")).unwrap().origin("http://h".parse().unwrap());
    tonic::client::Grpc::new(endpoint.connect().await.unwrap())
}

/// Sends these messages and reads the answers up to the end of the call.
pub(crate) async fn call(
    channel: &mut tonic::client::Grpc<Channel>,
    messages: &[&'static str],
    timeout: Option<Duration>,
) -> (Vec<String>, Code) {
    channel.ready().await.unwrap();
    let messages: Vec<Bytes> = messages.iter().map(|it| Bytes::from_static(it.as_bytes())).collect();
    let mut request = Request::new(tokio_stream::iter(messages));
    if let Some(timeout) = timeout {
        // The header alone: the client's own clock shall not be what ends the call.
        let value = format!("{}m", timeout.as_millis()).parse().unwrap();
        request.metadata_mut().insert("grpc-timeout", value);
    }
    let path = http::uri::PathAndQuery::from_static(METHOD);
    let mut answers = match channel.streaming(request, path, Raw).await {
        Ok(it) => it.into_inner(),
        Err(status) => return (Vec::new(), status.code()),
    };
    let mut out = Vec::new();
    loop {
        match answers.message().await {
            Ok(Some(message)) => out.push(String::from_utf8_lossy(&message).into_owned()),
            Ok(None) => return (out, Code::Ok),
            Err(status) => return (out, status.code()),
        }
    }
}
