//! `.env` files, as Docker Compose reads them.
//!
//! `NAME=VALUE` lines, with `export` before the name if one likes; comments; a byte order mark; Windows' line ends. A value without
//! quotes goes to the end of the line, spaces included, or to ` #`. In single quotes everything but `\'` stands for itself; elsewhere `$NAME` and
//! `${NAME:-default}` are replaced, and `$$` is a dollar sign. A quoted value may span lines.

use std::{collections::HashMap, iter::Peekable, str::Chars};

/// A line that can't be read. It holds no part of a value: that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenLine {
    /// Its number, from 1.
    pub line: usize,
    /// The name before the `=`, or what stands in its place; to be shown only if it is known to be a name.
    pub name: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Reads a whole file. `environment` gives the values of variables that earlier lines don't set, and wins over those that they do.
///
/// # Errors
///
/// All lines that can't be read.
pub fn parse(
    text: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, Vec<BrokenLine>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n");
    let (mut entries, mut broken) = (Vec::<(String, String)>::new(), Vec::new());
    let mut known = HashMap::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let lookup = |name: &str| environment(name).or_else(|| known.get(name).cloned());
        match entry(rest, lookup) {
            Ok((found, after)) => {
                if let Some((name, value)) = found {
                    known.insert(name.to_owned(), value.clone());
                    entries.push((name.to_owned(), value));
                }
                rest = after;
            }
            Err(reason) => {
                let (this, after) = rest.split_once('\n').unwrap_or((rest, ""));
                let name = without_export(this.trim());
                let name = name.split(|c: char| !is_name(c)).next().unwrap_or_default();
                broken.push(BrokenLine {
                    line,
                    name: name.to_owned(),
                    reason,
                });
                rest = after;
            }
        }
    }
    if broken.is_empty() {
        Ok(entries)
    } else {
        Err(broken)
    }
}

type Entry<'a> = (Option<(&'a str, String)>, &'a str);

/// Takes one line, or as many as its quoted value has. Returns what is left.
fn entry(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Entry<'_>, &'static str> {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let trimmed = line.trim();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Ok((None, after));
    }
    let start = without_export(line.trim_start());
    let Some(separator) = start.find(['=', ':']) else {
        // `NAME` alone stands for what the environment has, which wins anyway.
        return match start.trim().chars().all(is_name) {
            true => Ok((None, after)),
            false => Err("it is not NAME=VALUE"),
        };
    };
    let name = start[..separator].trim();
    if name.is_empty() || !name.chars().all(is_name) {
        return Err("it is not NAME=VALUE: the name has characters that no name has");
    }
    let value = start[separator + 1..].trim_start_matches([' ', '\t']);
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            // The value may go on beyond this line.
            let opened = line.len() - value.len();
            let (value, rest) = quoted(&text[opened + 1..], quote)?;
            let (_, after) = rest.split_once('\n').unwrap_or((rest, ""));
            if !ends(rest) {
                return Err("something stands behind the closing quote");
            }
            let value = match quote {
                '"' => expand(&value, lookup)?,
                _ => value.replace('\u{0}', "$"),
            };
            Ok((Some((name, value)), after))
        }
        _ => {
            let spaced = start.len() > separator + 1 + value.len();
            let value = match value {
                comment if comment.starts_with('#') && spaced => "",
                value => value.split(" #").next().unwrap_or_default(),
            };
            let value = value.split("\t#").next().unwrap_or_default().trim_end();
            Ok((Some((name, expand(value, lookup)?)), after))
        }
    }
}

fn without_export(line: &str) -> &str {
    match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']')
}

/// The text up to the closing quote, and what follows. A dollar sign that stands for itself is NUL, which no setting holds.
fn quoted(text: &str, quote: char) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((value, &text[at + 1..])),
            '\\' if quote == '"' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, '$')) => value.push('\u{0}'),
                Some((_, c @ ('"' | '\\' | '\''))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => break,
            },
            // A backslash at the end of the value is one.
            '\\' if text[at + 1..].starts_with(quote) && !ends(&text[at + 2..]) => {
                value.extend(chars.next().map(|(_, c)| c));
            }
            '$' if quote == '\'' => value.push('\u{0}'),
            c => value.push(c),
        }
    }
    Err("a quote is not closed")
}

/// Whether nothing but a comment stands in the rest of the line.
fn ends(rest: &str) -> bool {
    let tail = rest.split('\n').next().unwrap_or_default().trim();
    tail.is_empty() || tail.starts_with('#')
}

/// Replaces variables.
fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, &'static str> {
    let mut value = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\u{0}', _) => value.push('$'),
            ('$', Some('$')) => {
                chars.next();
                value.push('$');
            }
            ('$', Some('{')) => {
                chars.next();
                let inside: String = chars.by_ref().take_while(|c| *c != '}').collect();
                value.push_str(&braced(&inside, &lookup)?);
            }
            ('$', Some(c)) if c.is_ascii_alphabetic() || *c == '_' => {
                value.push_str(&lookup(&variable(&mut chars)).unwrap_or_default());
            }
            (c, _) => value.push(c),
        }
    }
    Ok(value)
}

fn variable(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    name
}

/// What stands in `${…}`: a name, perhaps with a default for a variable that is not set (`-`) or also empty (`:-`).
fn braced(inside: &str, lookup: &impl Fn(&str) -> Option<String>) -> Result<String, &'static str> {
    let mut chars = inside.chars().peekable();
    let name = variable(&mut chars);
    let operator: String = chars.collect();
    let value = lookup(&name);
    match operator.as_str() {
        _ if name.is_empty() => Err("it has a ${…} without a name; a dollar sign is written $$"),
        "" => Ok(value.unwrap_or_default()),
        operator => {
            if let Some(default) = operator.strip_prefix(":-") {
                Ok(value
                    .filter(|value| !value.is_empty())
                    .unwrap_or_else(|| default.to_owned()))
            } else if let Some(default) = operator.strip_prefix('-') {
                Ok(value.unwrap_or_else(|| default.to_owned()))
            } else {
                Err("it has a ${…} that can't be understood; a dollar sign is written $$")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> String {
        let environment = |name: &str| (name == "HOME").then(|| "/home/x".to_owned());
        let entries = parse(text, environment).unwrap();
        assert_eq!(entries.len(), 1, "{text}");
        assert_eq!(entries[0].0, "A", "{text}");
        entries[0].1.clone()
    }

    #[test]
    fn values_are_read_as_compose_reads_them() {
        for (text, value) in [
            ("A=with fire", "with fire"),
            ("A=with fire   ", "with fire"),
            ("A = b", "b"),
            ("A: b", "b"),
            ("  A=b", "b"),
            ("export A=b", "b"),
            ("export  A = b c", "b c"),
            ("A=b # comment", "b"),
            ("A=b#c", "b#c"),
            ("A= # comment", ""),
            ("A=#b", "#b"),
            ("A=", ""),
            ("A", ""),
            ("A=b=c==", "b=c=="),
            ("A=amqp://u:p@h:1/%2f", "amqp://u:p@h:1/%2f"),
            ("A=\"b c\" # comment", "b c"),
            ("A='b # c'", "b # c"),
            ("A=\"b\\\"c\\\\d\\ne\"", "b\"c\\d\ne"),
            ("A='b\\n$HOME'", "b\\n$HOME"),
            ("A=\"b\nc\"", "b\nc"),
            ("A='it\\'s' # comment", "it's"),
            ("A='c:\\'", "c:\\"),
            ("A='c:\\d' # comment", "c:\\d"),
            ("A='b\r\nc'\r\n", "b\nc"),
            ("A=b\r\n", "b"),
            ("A=it's", "it's"),
            ("A=$HOME/b", "/home/x/b"),
            ("A=\"${HOME}b\"", "/home/xb"),
            ("A=${B:-c d}", "c d"),
            ("A=${HOME-c}", "/home/x"),
            ("A=pa$$word", "pa$word"),
            ("A=\"pa\\$word\"", "pa$word"),
            ("A=pa$", "pa$"),
            ("A=5$5", "5$5"),
            ("\u{feff}A=b", "b"),
            ("# comment\n\n  # another\nA=b", "b"),
        ] {
            if text == "A" {
                assert_eq!(parse(text, |_| None).unwrap(), []);
            } else {
                assert_eq!(one(text), value, "{text:?}");
            }
        }
    }

    #[test]
    fn foreign_names_are_read_over() {
        let text = "MY-OTHER-APP-KEY=1\nmy.app.x=2\nA=$MY\nB=${A}3\n";
        let names: Vec<_> = parse(text, |_| None)
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["MY-OTHER-APP-KEY", "my.app.x", "A", "B"]);
        let entries = parse("A=1\nB=${A}3\n", |_| None).unwrap();
        assert_eq!(entries[1].1, "13");
    }

    #[test]
    fn broken_lines_are_all_named_without_their_values() {
        let text = "A=1\nBOT_TOKEN hunter2\nB='hunter3\n\nmy key=hunter4\nC=\"x\" hunter5\nD=${hunter6?x}\n";
        let broken = parse(text, |_| None).unwrap_err();
        let lines: Vec<_> = broken
            .iter()
            .map(|broken| (broken.line, broken.name.as_str()))
            .collect();
        assert_eq!(
            lines,
            [(2, "BOT_TOKEN"), (3, "B"), (5, "my"), (6, "C"), (7, "D")]
        );
        assert!(!format!("{broken:?}").contains("hunter"));
    }
}
