//! Finds the known name that a misspelt one was meant to be.

/// The candidate nearest to `word`, if it is near enough to be a slip of the hand.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = word.chars().count().div_ceil(3).min(3);
    candidates
        .into_iter()
        .map(|it| (distance(&word.to_lowercase(), &it.to_lowercase()), it))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, it)| it)
}

/// "did you mean …" for the nearest candidate, or the whole list when it is short.
pub(crate) fn hint(word: &str, candidates: &[&str]) -> String {
    /// A longer list tells nobody anything.
    const SHORT_LIST: usize = 24;
    match nearest(word, candidates.iter().copied()) {
        Some(it) => format!("did you mean `{it}`?"),
        None if candidates.len() <= SHORT_LIST => format!("known names: {}", candidates.join(", ")),
        None => "see `sluice schema` for the known names".to_owned(),
    }
}

/// Edits (insert, delete, replace, swap neighbours) that turn one word into the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, letter) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&last, column) + usize::from(letter != *other))
                .min(at(&last, column + 1) + 1)
                .min(at(&current, column) + 1);
            let swapped = column.checked_sub(1).and_then(|it| to.get(it)) == Some(&letter) && previous == Some(*other);
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
        }
        previous = Some(letter);
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_leaves_strangers_alone() {
        assert_eq!(nearest("virtualservcie", ["VirtualService", "Gateway"]), Some("VirtualService"));
        assert_eq!(nearest("timout", ["timeout", "retries"]), Some("timeout"));
        assert_eq!(nearest("zebra", ["timeout", "retries"]), None);
        assert_eq!(distance("abcd", "abdc"), 1);
    }
}
