//! How the code hangs together: no modules that import each other in a circle, no dependency that nothing uses.

#![allow(clippy::unwrap_used)]

#[path = "structure/imports.rs"]
mod imports;
#[path = "structure/tokens.rs"]
mod tokens;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use imports::{Module, circles};
use tokens::{tokens, without_tests};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn crates() -> Vec<PathBuf> {
    let folders = fs::read_dir(workspace().join("crates")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = folders.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// The Rust files below a folder, which may not be there.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.flat_map(|path| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    });
    files
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// The modules of a crate, without those of its tests, as tokens.
fn modules(of: &Path) -> BTreeMap<Module, Vec<String>> {
    let source = of.join("src");
    let root = ["lib.rs", "main.rs"].map(|name| source.join(name));
    let root = root.iter().find(|path| path.is_file()).unwrap();
    let mut modules = BTreeMap::new();
    for file in sources(&source) {
        let inside = file.strip_prefix(&source).unwrap().with_extension("");
        let names = inside.iter().map(|name| name.to_str().unwrap().to_owned());
        let mut module: Module = names.collect();
        if module.iter().any(|name| name == "tests") {
            continue;
        }
        if file == *root {
            module.clear();
        } else if module == ["main"] {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        modules.insert(module, without_tests(&tokens(&text)));
    }
    modules
}

/// The names in a table of a manifest.
fn table(manifest: &str, name: &str) -> Vec<String> {
    let lines = manifest
        .lines()
        .skip_while(|line| *line != format!("[{name}]"));
    let lines = lines.skip(1).take_while(|line| !line.starts_with('['));
    let end = |c: char| !(c.is_alphanumeric() || c == '-' || c == '_');
    let names = lines.filter_map(|line| line.split(end).next());
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let found: Vec<String> = crates()
        .iter()
        .flat_map(|of| {
            let name = of.file_name().unwrap().to_string_lossy().into_owned();
            let circles = circles(&modules(of));
            circles
                .into_iter()
                .map(move |circle| format!("{name}: {circle}"))
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_dependency_is_used() {
    let root = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let mut of_all: BTreeSet<String> = table(&root, "workspace.dependencies").into_iter().collect();
    let mut unused = Vec::new();
    for of in crates() {
        let manifest = fs::read_to_string(of.join("Cargo.toml")).unwrap();
        for (kind, folders) in [
            ("dependencies", &["src"] as &[&str]),
            // An example is built with them too.
            ("dev-dependencies", &["src", "tests", "examples", "benches"]),
        ] {
            let files = folders.iter().flat_map(|folder| sources(&of.join(folder)));
            let words: BTreeSet<String> = files
                .flat_map(|file| tokens(&fs::read_to_string(file).unwrap()))
                .collect();
            for name in table(&manifest, kind) {
                of_all.remove(&name);
                if !words.contains(&name.replace('-', "_")) {
                    unused.push(format!("{kind} of {}: {name}", of.display()));
                }
            }
        }
    }
    unused.extend(
        of_all
            .into_iter()
            .map(|name| format!("the workspace: {name}")),
    );
    assert!(unused.is_empty(), "{}", unused.join("\n"));
}
