//! Sends copies of requests to other clusters, and forgets what they answer.
//!
//! A copy never delays or fails its original: it is sent from a task of its own, once the
//! original's head was made ready and its body was read. What a copy may cost is bounded:
//! in body, in time, in answer, and in number. A request that passes a bound is not copied.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::http::RequestHeader;
use tokio::sync::Semaphore;

use crate::upstream::client::{Client, Question};
use crate::upstream::cluster::Cluster;

/// Longest body that is copied.
const MAX_BODY: usize = 64 * 1024;
/// Most copies of one worker under way.
const MAX_COPIES: usize = 256;
/// Longest time that a copy may take.
const MAX_TIME: Duration = Duration::from_secs(15);
/// Longest answer that is read for the sake of the connection.
const MAX_ANSWER: usize = 256 * 1024;

/// Sends the copies of one worker.
pub(super) struct Mirrors {
    client: Arc<Client>,
    places: Semaphore,
}

/// The copies of one request while it is read.
#[derive(Default)]
pub(super) struct Copies {
    /// Who gets one; empty when nobody does.
    pub(super) to: Vec<Arc<Cluster>>,
    head: Option<RequestHeader>,
    body: BytesMut,
}

impl Copies {
    /// Takes the head as the original's upstream gets it; a body begins anew with each try.
    pub(super) fn take_head(&mut self, head: &RequestHeader) {
        if !self.to.is_empty() {
            self.head = Some(head.clone());
            self.body.clear();
        }
    }

    /// Takes a part of the body; one that is too long ends the copying.
    pub(super) fn take_body(&mut self, part: &Bytes) {
        if self.to.is_empty() {
            return;
        }
        if self.body.len() + part.len() > MAX_BODY {
            *self = Self::default();
            return;
        }
        self.body.extend_from_slice(part);
    }
}

impl Mirrors {
    /// Sends copies by a client.
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client, places: Semaphore::new(MAX_COPIES) }
    }

    /// Sends what was read of a request to everyone who gets a copy.
    pub(super) fn send(self: &Arc<Self>, copies: &mut Copies, random: impl Fn() -> u64) {
        let Copies { to, head, body } = std::mem::take(copies);
        let Some(head) = head else { return };
        let body = body.freeze();
        for cluster in to {
            let (mirrors, random) = (Arc::clone(self), random());
            let host = head.headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
            let question = Question {
                authority: host.to_owned(),
                head: head.clone(),
                body: body.clone(),
                max_answer: MAX_ANSWER,
                patience: MAX_TIME,
                repeats: false,
            };
            tokio::spawn(async move {
                let Ok(_place) = mirrors.places.try_acquire() else { return };
                let sent = tokio::time::timeout(MAX_TIME, mirrors.client.ask(&cluster, question, random)).await;
                if let Ok(Err(error)) = sent {
                    log::debug!("a copy to {} failed: {error}", cluster.name());
                }
            });
        }
    }
}
