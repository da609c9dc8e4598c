//! Rust source as tokens, as far as imports need it: words, `::` and single characters, without comments and literals.

pub(crate) fn tokens(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let starts = |start: &str| start.chars().eq(rest.iter().copied().take(start.len()));
        if starts("//") {
            at += rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
        } else if starts("/*") {
            at += comment(rest);
        } else if starts("::") {
            tokens.push("::".to_owned());
            at += 2;
        } else if rest[0] == '"' {
            at += string(rest);
        } else if rest[0] == '\'' {
            at += character(rest);
        } else if is_word(rest[0]) {
            let word: String = rest.iter().copied().take_while(|c| is_word(*c)).collect();
            at += word.len();
            match raw_string(&word, &text[at..]) {
                Some(length) => at += length,
                None => tokens.push(word),
            }
        } else {
            if !rest[0].is_whitespace() {
                tokens.push(rest[0].to_string());
            }
            at += 1;
        }
    }
    tokens
}

/// Without the modules that are built for tests alone.
pub(crate) fn without_tests(tokens: &[String]) -> Vec<String> {
    const FOR_TESTS: [&str; 8] = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..]
            .iter()
            .map(String::as_str)
            .take(8)
            .eq(FOR_TESTS)
        {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        // The name, then a semicolon or a block.
        at += FOR_TESTS.len() + 1;
        let mut depth = 0;
        loop {
            match tokens[at].as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
    }
    kept
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn comment(text: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match text[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// A character, or the apostrophe of a lifetime.
fn character(text: &[char]) -> usize {
    match text {
        ['\'', '\\', rest @ ..] => {
            // What is escaped may be an apostrophe.
            let end = rest.iter().skip(1).position(|c| *c == '\'');
            end.map_or(text.len(), |end| end + 4)
        }
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}

/// The length of what follows `word`, if that begins a raw string.
fn raw_string(word: &str, text: &[char]) -> Option<usize> {
    let hashes = text.iter().take_while(|c| **c == '#').count();
    if !matches!(word, "r" | "br" | "cr") || text.get(hashes) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let inside = &text[hashes + 1..];
    let length = inside.windows(end.len()).position(|part| part == end)?;
    Some(hashes + 1 + length + end.len())
}

#[test]
fn comments_and_literals_are_no_tokens() {
    let text = r##"a /* b /* c */ d */ "e\" f" 'g' '\'' &'h i r"j" r#"k " l"# m::n // o"##;
    assert_eq!(tokens(text), ["a", "&", "h", "i", "m", "::", "n"]);
}

#[test]
fn modules_of_tests_are_left_out() {
    let text = "a; #[cfg(test)] mod tests { b { c } } d #[cfg(test)] mod tests; e";
    assert_eq!(without_tests(&tokens(text)), ["a", ";", "d", "e"]);
}
