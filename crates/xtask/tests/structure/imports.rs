//! Who imports whom, among the modules that stand beside each other.
//!
//! A module may use what its parent defines, and the parent it: they are one thing, seen closer. But of two that stand beside each
//! other, with all that is inside them, one comes first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The names from the crate's root to a module.
pub(crate) type Module = Vec<String>;

/// What a module names: where its imports lead by the name that they get, and every path.
#[derive(Debug, Default)]
struct Names {
    imports: BTreeMap<String, Vec<String>>,
    paths: Vec<Vec<String>>,
}

/// The shortest circle through each module that is in one, each once.
pub(crate) fn circles(modules: &BTreeMap<Module, Vec<String>>) -> Vec<String> {
    let names: BTreeMap<&Module, Names> = (modules.iter())
        .map(|(module, tokens)| (module, names(module, tokens, modules)))
        .collect();
    // By parent: which of its modules leads to which.
    let mut edges: BTreeMap<&[String], BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for (from, names_there) in &names {
        for path in &names_there.paths {
            let to = target(path, &names, 0);
            let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
            if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
                let parent = edges.entry(&from[..shared]).or_default();
                parent.entry(a).or_default().insert(b);
            }
        }
    }
    let mut found = BTreeSet::new();
    for (parent, edges) in &edges {
        for start in edges.keys() {
            let Some(mut circle) = way_back(start, edges) else {
                continue;
            };
            // One circle is found from each of its modules.
            let first = circle.iter().enumerate().min_by_key(|(_, name)| **name);
            let first = first.map_or(0, |(place, _)| place);
            circle.rotate_left(first);
            circle.push(circle[0]);
            let place = std::iter::once("crate".to_owned()).chain(parent.to_vec());
            let place = place.collect::<Vec<_>>().join("::");
            found.insert(format!("in {place}: {}", circle.join(" -> ")));
        }
    }
    found.into_iter().collect()
}

/// The modules of the shortest way from `start` back to it.
fn way_back<'a>(
    start: &'a str,
    edges: &BTreeMap<&'a str, BTreeSet<&'a str>>,
) -> Option<Vec<&'a str>> {
    let mut ways = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in edges.get(way.last()?).into_iter().flatten() {
            if *next == start {
                return Some(way);
            }
            if seen.insert(*next) {
                ways.push_back(way.iter().copied().chain([*next]).collect());
            }
        }
    }
    None
}

/// The module that a path leads into, through what is exported under another name.
fn target<'a>(path: &[String], names: &'a BTreeMap<&Module, Names>, depth: usize) -> &'a [String] {
    let mut prefixes = (0..=path.len()).rev().map(|length| path[..length].to_vec());
    let Some((module, inside)) = prefixes.find_map(|prefix| names.get_key_value(&prefix)) else {
        return &[];
    };
    let rest = &path[module.len()..];
    let exported = rest.first().and_then(|name| inside.imports.get(name));
    match exported {
        // A name may stand for itself, where a macro or an item of another kind has it too.
        Some(exported) if depth < 8 => {
            let further: Vec<String> = exported.iter().chain(&rest[1..]).cloned().collect();
            target(&further, names, depth + 1)
        }
        _ => module,
    }
}

fn names(module: &Module, tokens: &[String], modules: &BTreeMap<Module, Vec<String>>) -> Names {
    let mut names = Names::default();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "use" {
            at += 1;
            let mut imported = Vec::new();
            use_tree(tokens, &mut at, &[], &mut imported);
            for (path, name) in imported {
                if let Some(path) = absolute(module, &path, modules) {
                    names.paths.push(path.clone());
                    names.imports.insert(name, path);
                }
            }
            continue;
        }
        let follows = |at: usize| tokens.get(at).is_some_and(|token| token == "::");
        if follows(at + 1) && !(at > 0 && follows(at - 1)) {
            let mut path = vec![tokens[at].clone()];
            while follows(at + 1) && tokens.get(at + 2).is_some_and(|token| is_name(token)) {
                path.push(tokens[at + 2].clone());
                at += 2;
            }
            names.paths.extend(absolute(module, &path, modules));
        }
        at += 1;
    }
    names
}

/// `a::{b, c as d}`: each path, and the name that it gets here.
fn use_tree(
    tokens: &[String],
    at: &mut usize,
    before: &[String],
    found: &mut Vec<(Vec<String>, String)>,
) {
    let mut path = before.to_vec();
    loop {
        match tokens.get(*at).map(String::as_str) {
            Some("::") => *at += 1,
            Some("{") => {
                *at += 1;
                while tokens.get(*at).is_some_and(|token| token != "}") {
                    use_tree(tokens, at, &path, found);
                    *at += usize::from(tokens.get(*at).is_some_and(|token| token == ","));
                }
                *at += 1;
                return;
            }
            Some("as") => {
                found.extend(tokens.get(*at + 1).map(|name| (path, name.clone())));
                *at += 2;
                return;
            }
            Some("self") if !path.is_empty() => *at += 1,
            Some(name) if is_name(name) || name == "*" => {
                path.push(name.to_owned());
                *at += 1;
            }
            _ => {
                found.extend(path.last().cloned().map(|name| (path, name)));
                return;
            }
        }
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The path from the crate's root; none if it leads out of the crate.
fn absolute(
    module: &Module,
    path: &[String],
    modules: &BTreeMap<Module, Vec<String>>,
) -> Option<Vec<String>> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    let (base, rest) = match path.first()?.as_str() {
        "crate" => (&module[..0], &path[1..]),
        "self" => (&module[..], &path[1..]),
        "super" => (module.get(..module.len().checked_sub(ups)?)?, &path[ups..]),
        first => {
            let inside = module.iter().cloned().chain([first.to_owned()]);
            modules.get(&inside.collect::<Module>())?;
            (&module[..], path)
        }
    };
    Some(base.iter().chain(rest).cloned().collect())
}

#[test]
fn circles_are_found_through_folders_and_exports() {
    let of = |modules: &[(&str, &str)]| {
        let modules = modules.iter().map(|(path, text)| {
            let names = path.split('/').filter(|name| !name.is_empty());
            let module: Module = names.map(str::to_owned).collect();
            (module, crate::tokens::tokens(text))
        });
        circles(&modules.collect())
    };
    let circle = ["in crate: a -> b -> a"];
    assert_eq!(
        of(&[("", ""), ("a", "use crate::b::X;"), ("b", "")]),
        [""; 0]
    );
    assert_eq!(
        of(&[
            ("", ""),
            ("a", "use super::b;"),
            ("b", "fn f() { crate::a::f() }")
        ]),
        circle
    );
    assert_eq!(
        of(&[
            ("", ""),
            ("a", "use crate::{b::{self, X as Y}, c};"),
            ("b", ""),
            ("b/d", "use crate::a;")
        ]),
        circle
    );
    assert_eq!(
        of(&[
            ("", "mod a; mod b; pub use b::X;"),
            ("a", "use crate::X;"),
            ("b", "use crate::a::*;")
        ]),
        circle
    );
    // A parent and what is inside it are no circle.
    assert_eq!(
        of(&[("", ""), ("a", "use self::b::X;"), ("a/b", "use super::Y;")]),
        [""; 0]
    );
}
