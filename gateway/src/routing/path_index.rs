//! Narrows the routes of a virtual host to those whose path can match.
//!
//! Exact paths are hashed, prefixes are in a trie, and all regular expressions are one
//! automaton, so the cost does not grow with the number of routes but with the length of
//! the path. The order of routes is kept: each group lists its routes ascending, and the
//! first route that holds wins over all groups.

use std::collections::HashMap;

use regex_automata::meta::{Builder, Config, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Input, MatchKind, PatternSet};

use super::prefix_trie::PrefixTrie;
use super::route::PathPattern;
use crate::text::whole;

/// Most memory that the automaton of one virtual host may take to build.
const AUTOMATON_BYTES: usize = 256 << 20;
/// Memory in which one thread keeps the states it has seen.
const AUTOMATON_CACHE_BYTES: usize = 4 << 20;

/// Routes by what their path asks.
#[derive(Debug, Default)]
pub struct PathIndex {
    exact: HashMap<Box<str>, Vec<u32>>,
    prefix: PrefixTrie,
    folded_exact: HashMap<Box<str>, Vec<u32>>,
    folded_prefix: PrefixTrie,
    folds: bool,
    regex: Option<Expressions>,
    any: Vec<u32>,
}

/// All regular expressions of a virtual host.
#[derive(Debug)]
struct Expressions {
    automaton: Regex,
    /// Route of each pattern, ascending.
    routes: Vec<u32>,
}

impl PathIndex {
    /// The index of routes in their order; fails when the expressions are too many to compile.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a PathPattern>) -> Result<Self, String> {
        let mut index = Self::default();
        let mut expressions = Vec::new();
        let mut routes = Vec::new();
        for (number, pattern) in (0..).zip(patterns) {
            match pattern {
                PathPattern::Any => index.any.push(number),
                PathPattern::Exact(path) => index.exact.entry(path.clone()).or_default().push(number),
                PathPattern::Prefix(prefix) => index.prefix.insert(prefix.as_bytes(), number),
                PathPattern::Within(path) => {
                    index.exact.entry(path.clone()).or_default().push(number);
                    index.prefix.insert(format!("{path}/").as_bytes(), number);
                }
                PathPattern::ExactFolded(path) => {
                    index.folds = true;
                    index.folded_exact.entry(path.clone()).or_default().push(number);
                }
                PathPattern::PrefixFolded(prefix) => {
                    index.folds = true;
                    index.folded_prefix.insert(prefix.as_bytes(), number);
                }
                PathPattern::Regex(expression) => {
                    expressions.push(whole(expression));
                    routes.push(number);
                }
            }
        }
        if !expressions.is_empty() {
            index.regex = Some(Expressions { automaton: automaton(&expressions)?, routes });
        }
        Ok(index)
    }

    /// The first route whose path matches and that `holds`.
    pub fn find(&self, path: &str, holds: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut search = Search { best: u32::MAX, holds };
        if let Some(routes) = self.exact.get(path) {
            search.look(routes);
        }
        for routes in self.prefix.find(path.as_bytes()) {
            search.look(routes);
        }
        search.look(&self.any);
        if self.folds {
            let folded = path.to_ascii_lowercase();
            if let Some(routes) = self.folded_exact.get(folded.as_str()) {
                search.look(routes);
            }
            for routes in self.folded_prefix.find(folded.as_bytes()) {
                search.look(routes);
            }
        }
        if let Some(expressions) = &self.regex {
            expressions.find(path, &mut search);
        }
        (search.best < u32::MAX).then_some(search.best)
    }
}

/// The first route found so far; `u32::MAX` is none.
struct Search<H> {
    best: u32,
    holds: H,
}

impl<H: FnMut(u32) -> bool> Search<H> {
    /// Looks for an earlier route among these, which are ascending.
    fn look(&mut self, routes: &[u32]) {
        let earlier = routes.iter().copied().take_while(|it| *it < self.best).find(|it| (self.holds)(*it));
        self.best = earlier.unwrap_or(self.best);
    }
}

impl Expressions {
    fn find(&self, path: &str, search: &mut Search<impl FnMut(u32) -> bool>) {
        let first = self.routes.first().copied().unwrap_or(u32::MAX);
        if search.best < first {
            return;
        }
        let mut matched = PatternSet::new(self.automaton.pattern_len());
        self.automaton.which_overlapping_matches(&Input::new(path), &mut matched);
        let routes = matched.iter().filter_map(|it| self.routes.get(it.as_usize()).copied());
        for route in routes {
            search.look(&[route]);
        }
    }
}

fn automaton(expressions: &[String]) -> Result<Regex, String> {
    let config = Config::new()
        .match_kind(MatchKind::All)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(AUTOMATON_BYTES))
        .hybrid_cache_capacity(AUTOMATON_CACHE_BYTES);
    Builder::new().configure(config).build_many(expressions).map_err(|error| error.to_string())
}
