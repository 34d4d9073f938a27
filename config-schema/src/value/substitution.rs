//! A text with `%COMMAND(argument):length%` parts, as header values and access logs use it.

/// One part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it is; `%%` has become `%`.
    Text(String),
    /// To be replaced for each request.
    Command(Command),
}

/// What stands between two percent signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Name, as `REQ`.
    pub name: String,
    /// What stands in parentheses.
    pub argument: Option<String>,
    /// Longest value, in characters.
    pub max_length: Option<usize>,
}

/// Takes a text apart; refuses a lone `%` and an unfinished command.
pub fn parse(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        if let Some(next) = after.strip_prefix('%') {
            plain.push('%');
            rest = next;
            continue;
        }
        let (command, next) =
            command(after).ok_or_else(|| format!("a single `%` in `{text}`; write `%%` for a percent sign"))?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Command(command));
        rest = next;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

/// A command and what follows its closing percent sign.
fn command(text: &str) -> Option<(Command, &str)> {
    let end = text.find(|it: char| !it.is_ascii_uppercase() && !it.is_ascii_digit() && it != '_')?;
    let (name, mut rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    let mut argument = None;
    if let Some(open) = rest.strip_prefix('(') {
        let (inner, after) = open.split_once(')')?;
        argument = Some(inner.to_owned());
        rest = after;
    }
    let mut max_length = None;
    if let Some(after) = rest.strip_prefix(':') {
        let (digits, _) = after.split_once('%')?;
        max_length = Some(digits.parse().ok()?);
        rest = after.get(digits.len()..)?;
    }
    let rest = rest.strip_prefix('%')?;
    Some((Command { name: name.to_owned(), argument, max_length }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_with_argument_and_length() {
        let parts = parse("a %% b %REQ(x-a?:path):12%c%START_TIME(%Y-%m)%").unwrap();
        assert_eq!(parts.len(), 4);
        assert_eq!(parts[0], Part::Text("a % b ".to_owned()));
        let Part::Command(request) = &parts[1] else { panic!("{parts:?}") };
        assert_eq!((request.name.as_str(), request.max_length), ("REQ", Some(12)));
        assert_eq!(request.argument.as_deref(), Some("x-a?:path"));
        let Part::Command(time) = &parts[3] else { panic!("{parts:?}") };
        assert_eq!(time.argument.as_deref(), Some("%Y-%m"));
    }

    #[test]
    fn a_lone_percent_sign_is_refused() {
        for bad in ["100%", "%REQ(x%", "%lower%", "% a %", "%REQ:x%"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
