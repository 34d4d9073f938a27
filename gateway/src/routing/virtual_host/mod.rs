//! A set of ordered routes for one host, and the search for the first that takes a request.

use std::sync::Arc;

use super::path_index::PathIndex;
use super::request::Request;
use super::route::{Mismatch, Route};

/// Routes of one host.
#[derive(Debug)]
pub struct VirtualHost {
    /// `host:port`, for logs.
    pub name: Arc<str>,
    /// Whether every request is sent to https.
    pub https_redirect: bool,
    routes: Vec<Arc<Route>>,
    index: PathIndex,
}

/// Hears how a route was chosen.
pub trait Observer {
    /// A route was tried.
    fn tried(&mut self, route: &Route, result: Result<(), Mismatch>);
}

impl VirtualHost {
    /// A host without routes that only redirects, or answers 404.
    pub fn new(host: &str, port: u16, routes: Vec<Arc<Route>>) -> Self {
        Self { name: format!("{host}:{port}").into(), https_redirect: false, routes, index: PathIndex::default() }
    }

    /// The host with its routes indexed; fails when the expressions are too many to compile.
    pub fn indexed(mut self, https_redirect: bool) -> Result<Self, String> {
        self.index = PathIndex::new(self.routes.iter().map(|it| &it.path))?;
        self.https_redirect = https_redirect;
        Ok(self)
    }

    /// The first route that takes a request.
    pub fn find(&self, request: &Request<'_>) -> Option<&Arc<Route>> {
        let holds = |route: u32| self.routes.get(route as usize).is_some_and(|it| it.holds(request));
        let found = self.index.find(request.path(), holds)?;
        self.routes.get(found as usize)
    }

    /// As [`Self::find`], route by route, with each step told.
    pub fn find_observed(&self, request: &Request<'_>, observer: &mut dyn Observer) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| {
            let result = route.judge(request);
            let takes = result.is_ok();
            observer.tried(route, result);
            takes
        })
    }

    /// All routes in order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }
}

#[cfg(test)]
mod tests;
