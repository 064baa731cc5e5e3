//! Rust text without its comments and strings, so that prose and samples trip no check.

/// Replaces every comment and the content of every string and character literal by nothing, and
/// keeps the line breaks, so that line numbers stay true.
pub(crate) fn only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| raw_string(rest, &out)).or_else(|| quoted(rest));
        let length = skipped.unwrap_or(0);
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.push(' ');
            out.extend(rest[..length].chars().filter(|c| *c == '\n'));
            rest = &rest[length..];
        }
    }
    out
}

/// The identifiers of a line of code.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The length of the comment `text` starts with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while text.starts_with("/*") && at < text.len() {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    (at > 0).then_some(at)
}

/// The length of the raw string `text` starts with; `before` tells `r"` from the end of `for"`.
fn raw_string(text: &str, before: &str) -> Option<usize> {
    if before.ends_with(|c: char| c.is_alphanumeric() && c != 'b' && c != 'c' || c == '_') {
        return None;
    }
    let hashes = text.strip_prefix('r')?.bytes().take_while(|byte| *byte == b'#').count();
    let content = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - content.len();
    Some(content.find(&end).map_or(text.len(), |found| start + found + end.len()))
}

/// The length of the string or character literal `text` starts with. A lifetime is neither.
fn quoted(text: &str) -> Option<usize> {
    let mark = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut after = text.char_indices().skip(1).peekable();
    if mark == '\'' {
        let (_, first) = after.peek().copied()?;
        let closed = text.chars().nth(2) == Some('\'');
        if first != '\\' && !closed {
            return None;
        }
    }
    let mut escaped = false;
    for (at, c) in after {
        if !escaped && c == mark {
            return Some(at + 1);
        }
        escaped = !escaped && c == '\\';
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::{only, words};

    #[test]
    fn comments_and_literals_vanish_and_code_stays() {
        let text =
            "a /* b /* c */ \n */ d // e \"f\n\"g // \\\" h\" i 'j' '\\'' k<'l> r#\"m \" n\"# o";

        let left = only(text);

        assert_eq!(words(&left).collect::<Vec<_>>(), ["a", "d", "i", "k", "l", "o"]);
        assert_eq!(left.matches('\n').count(), 2);
    }
}
