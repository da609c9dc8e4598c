//! Text that comes from anybody, made fit for a terminal; and what is printed for other programs to read.

use std::io::{Write, stdout};

/// Prints a line. A reader that went away (`| head`) is no reason to fail.
pub(crate) fn print(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// A text of several lines. Other control characters are replaced: they would command the terminal.
pub(crate) fn lines(text: &str) -> String {
    let visible = |line: &str| cut(line, usize::MAX);
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

/// At most `length` characters of a text. Control characters are replaced: they would command the terminal.
pub(crate) fn cut(text: &str, length: usize) -> String {
    let visible = |character: char| {
        if character.is_control() {
            '\u{fffd}'
        } else {
            character
        }
    };
    let cut: String = text.chars().take(length).map(visible).collect();
    if text.chars().nth(length).is_some() {
        cut + "…"
    } else {
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_and_can_not_command() {
        assert_eq!(cut("\u{1b}[2J", 10), "\u{fffd}[2J");
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(lines("a\n\u{1b}[2J"), "a\n\u{fffd}[2J");
    }
}
