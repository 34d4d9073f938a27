//! A name server on loopback that answers A queries from a table, or not at all.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a name answers.
#[derive(Clone)]
pub(crate) enum Answer {
    /// These addresses, good for this many seconds.
    Addresses(Vec<Ipv4Addr>, u32),
    /// The name does not exist.
    NoSuchName,
    /// The server fails.
    Failure,
}

pub(crate) struct NameServer {
    address: SocketAddr,
    table: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let table: Arc<Mutex<HashMap<String, Answer>>> = Arc::default();
        let answers = Arc::clone(&table);
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&asked);
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut query) {
                heard.lock().unwrap().push(name(&query[..length]).0);
                let reply = reply(&query[..length], &answers.lock().unwrap());
                socket.send_to(&reply, client).ok();
            }
        });
        Self { address, table, asked }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Names that were asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn set(&self, name: &str, answer: Answer) {
        self.table.lock().unwrap().insert(name.to_owned(), answer);
    }
}

/// Bytes before the question.
const HEADER: usize = 12;

/// The name that a query asks for, and where it ends.
fn name(query: &[u8]) -> (String, usize) {
    let mut labels = Vec::new();
    let mut at = HEADER;
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
        at = end;
    }
    (labels.join("."), at)
}

/// RFC 1035 §4: the header and question of the query, then an A record for each address.
fn reply(query: &[u8], table: &HashMap<String, Answer>) -> Vec<u8> {
    let (name, at) = name(query);
    let question = at + 5;
    let is_a = query[at + 1..at + 3] == [0, 1];
    let answer = table.get(&name).cloned().unwrap_or(Answer::NoSuchName);
    let (code, addresses, ttl) = match answer {
        Answer::Addresses(addresses, ttl) if is_a => (0, addresses, ttl),
        Answer::Addresses(_, ttl) => (0, Vec::new(), ttl),
        Answer::NoSuchName => (3, Vec::new(), 0),
        Answer::Failure => (2, Vec::new(), 0),
    };
    let mut out = query[..2].to_vec();
    out.extend_from_slice(&[0x81, 0x80 | code, 0, 1, 0, u8::try_from(addresses.len()).unwrap(), 0, 0, 0, 0]);
    out.extend_from_slice(&query[HEADER..question]);
    for address in addresses {
        out.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        out.extend_from_slice(&ttl.to_be_bytes());
        out.extend_from_slice(&[0, 4]);
        out.extend_from_slice(&address.octets());
    }
    out
}
