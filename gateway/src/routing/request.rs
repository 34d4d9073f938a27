//! A request as routing sees it: normalised, borrowed, without a connection.

use std::borrow::Cow;

use http::HeaderMap;

use super::path::split_query;
use crate::filter::authentication::claims::Claims;
use crate::text::{host_of, query_param};

/// Scheme by which the client came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The scheme of a URL, if it is one that is spoken here.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|it| it.as_str() == name)
    }

    /// As in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Port that a URL of this scheme leaves out.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// What conditions are asked of.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Method, as sent.
    pub method: &'a str,
    /// Scheme.
    pub scheme: Scheme,
    /// Host with port, as sent.
    pub authority: &'a str,
    /// Normalised path with query.
    pub target: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// Declared port of the listener.
    pub port: u16,
    /// What its verified token says.
    pub claims: Option<&'a Claims>,
}

impl<'a> Request<'a> {
    /// Path without query.
    pub fn path(&self) -> &'a str {
        split_query(self.target).0
    }

    /// Query with its question mark, or nothing.
    pub fn query(&self) -> &'a str {
        split_query(self.target).1
    }

    /// First value of a query parameter, as sent; `?key` has the empty one.
    pub fn query_param(&self, name: &str) -> Option<&'a str> {
        query_param(self.target, name)
    }

    /// Host without port and trailing dot, in lower case.
    pub fn host(&self) -> Cow<'a, str> {
        let name = host_of(self.authority);
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.bytes().any(|it| it.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        }
    }
}
