//! Prints problems: like a compiler for people, as JSON and SARIF for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Problem, Problems, Severity};

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }

    fn sarif_level(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "note",
        }
    }
}

impl Problems {
    /// The report for people: place, snippet, caret and remedy of each problem.
    pub fn render_text(&self) -> String {
        let mut out = String::new();
        for problem in self.iter() {
            self.render_one(problem, &mut out);
        }
        out
    }

    fn render_one(&self, problem: &Problem, out: &mut String) {
        let Problem { code, severity, message, help, resource, field, origin: _, position } = problem;
        // Writing to a String cannot fail.
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        line(format!("{}[{}]: {message}", severity.word(), code.0));
        let mut subject = String::new();
        if !resource.kind.is_empty() {
            subject = format!("   {} {}/{}", resource.kind, resource.namespace, resource.name);
            if !field.0.is_empty() {
                subject = format!("{subject}, {field}");
            }
        }
        let source = self.source(problem);
        match (source, position) {
            (Some(source), Some(at)) => {
                line(format!("  --> {}:{}:{}{subject}", source.name, at.line, at.column));
                if let Some(text) = source.text.lines().nth(at.line - 1) {
                    line(snippet(text, at.line, at.column));
                }
            }
            (Some(source), None) => line(format!("  --> {}{subject}", source.name)),
            (None, _) if !subject.is_empty() => line(format!("  --> {}", subject.trim_start())),
            (None, _) => {}
        }
        if !help.is_empty() {
            line(format!("  = help: {help}"));
        }
        line(String::new());
    }

    /// The report for programs, in the shape that `check --output json` promises.
    pub fn render_json(&self) -> Value {
        let problems: Vec<Value> = self.iter().map(|it| self.one_json(it)).collect();
        json!({ "problems": problems })
    }

    fn one_json(&self, problem: &Problem) -> Value {
        let Problem { code, severity, message, help, resource, field, origin: _, position } = problem;
        json!({
            "code": code.0,
            "severity": severity.word(),
            "message": message,
            "resource": resource,
            "field": field.to_string(),
            "file": self.source(problem).map_or("", |it| it.name.as_str()),
            "line": position.map_or(0, |it| it.line),
            "column": position.map_or(0, |it| it.column),
            "help": help,
        })
    }

    /// The report in SARIF 2.1.0, which code hosts show beside a change.
    pub fn render_sarif(&self) -> Value {
        let results: Vec<Value> = self.iter().map(|it| self.one_sarif(it)).collect();
        json!({
            "version": "2.1.0",
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "runs": [{ "tool": { "driver": { "name": "sluice" } }, "results": results }],
        })
    }

    fn one_sarif(&self, problem: &Problem) -> Value {
        let text = if problem.help.is_empty() {
            problem.message.clone()
        } else {
            format!("{}\n{}", problem.message, problem.help)
        };
        let mut location = json!({
            "artifactLocation": { "uri": self.source(problem).map_or("", |it| it.name.as_str()) },
        });
        if let (Some(at), Some(fields)) = (problem.position, location.as_object_mut()) {
            fields.insert("region".to_owned(), json!({ "startLine": at.line, "startColumn": at.column }));
        }
        json!({
            "ruleId": problem.code.0,
            "level": problem.severity.sarif_level(),
            "message": { "text": text },
            "locations": [{ "physicalLocation": location }],
        })
    }

    /// One line that counts what was found.
    pub fn summary(&self) -> String {
        let mut out = String::new();
        for (severity, one) in [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Info, "note")] {
            let count = self.count(severity);
            if count > 0 {
                let plural = if count == 1 { "" } else { "s" };
                let comma = if out.is_empty() { "" } else { ", " };
                // Writing to a String cannot fail.
                write!(out, "{comma}{count} {one}{plural}").unwrap_or_default();
            }
        }
        if out.is_empty() { "no problems".to_owned() } else { out }
    }
}

/// The offending line with a caret below; long lines are cut around the place.
fn snippet(text: &str, line: usize, column: usize) -> String {
    const WIDTH: usize = 100;
    let start = column.saturating_sub(WIDTH / 2).min(column.saturating_sub(1));
    let start = if column < WIDTH { 0 } else { start };
    let shown: String = text.chars().skip(start).take(WIDTH).map(|it| if it == '\t' { ' ' } else { it }).collect();
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let caret = " ".repeat(column.saturating_sub(1 + start));
    format!("{gutter} |\n{number} | {shown}\n{gutter} | {caret}^")
}
