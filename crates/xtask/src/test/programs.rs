//! The workspace's test programs: built together, run one by one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use testbed::binaries::{BIN_DIR, directory};
use tokio::process::Command;

use super::tally::Tally;
use crate::build::cargo;

/// The package whose integration tests each start a whole stack. They are one program, linked once.
const STACKS: &str = "testbed";

/// What a program tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A library or binary from within.
    Unit,
    /// From outside.
    Integration,
}

/// A test program, or of the one that starts whole stacks, a group of its tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) kind: Kind,
    path: PathBuf,
    /// The package's folder.
    package: PathBuf,
    target: String,
    group: Option<Group>,
}

/// The tests of one module at the top.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    tests: Vec<String>,
}

/// Of a line of cargo's messages, what matters here.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Profile {
    test: bool,
}

/// Builds all of them at once, so that what doesn't compile is known before anything runs.
pub(super) async fn build() -> Result<Vec<Program>> {
    eprintln!("Building the tests …");
    let mut cargo = Command::from(cargo());
    cargo
        .args(["test", "--workspace", "--locked", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let output = cargo.output().await.context("can't run cargo")?;
    if !output.status.success() {
        bail!("the tests don't build ({})", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut programs = Vec::new();
    for program in messages.lines().filter_map(Program::built) {
        if program.starts_stacks() {
            programs.extend(program.groups().await?);
        } else {
            programs.push(program);
        }
    }
    if programs.is_empty() {
        bail!("cargo has built no tests");
    }
    // Cargo tells of them in the order in which they were finished.
    programs.sort_by_key(Program::name);
    Ok(programs)
}

/// Runs the examples in the documentation.
pub(super) async fn documentation() -> Result<Tally> {
    println!("\nexamples in the documentation");
    let mut cargo = Command::from(cargo());
    let cargo = cargo.args(["test", "--workspace", "--locked", "--doc", "--quiet"]);
    Tally::of(cargo, &mut |line| print!("{line}")).await
}

impl Program {
    /// `package (target)`, or `package (group)`.
    pub(super) fn name(&self) -> String {
        let tests = self
            .group
            .as_ref()
            .map_or(&self.target, |group| &group.name);
        format!("{} ({tests})", self.package_name())
    }

    /// Runs it as cargo would; returns what it counted and what it printed.
    pub(super) async fn run(&self) -> Result<(Tally, String)> {
        let mut command = self.command();
        if let Some(group) = &self.group {
            command.args(["--test-threads=1", "--exact"]);
            command.args(&group.tests);
        }
        let mut output = String::new();
        let tally = Tally::of(&mut command, &mut |line| output.push_str(line)).await?;
        Ok((tally, output))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .current_dir(&self.package)
            .env("CARGO_MANIFEST_DIR", &self.package)
            .env(BIN_DIR, directory());
        command
    }

    /// Whether its tests each start a whole stack.
    fn starts_stacks(&self) -> bool {
        self.kind == Kind::Integration && self.package_name() == STACKS
    }

    /// One for each group of its tests, so that they run side by side and the slow ones are seen.
    async fn groups(&self) -> Result<Vec<Self>> {
        let listed = self.command().args(["--list", "--format=terse"]).output();
        let listed = listed.await.context("can't list the tests")?;
        let mut programs: Vec<Self> = Vec::new();
        for (name, tests) in grouped(&String::from_utf8_lossy(&listed.stdout)) {
            programs.push(Self {
                group: Some(Group { name, tests }),
                ..self.clone()
            });
        }
        Ok(programs)
    }

    fn package_name(&self) -> String {
        let name = self.package.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Reads cargo's message, if it tells of a test program.
    fn built(line: &str) -> Option<Self> {
        let message: Message = serde_json::from_str(line).ok()?;
        let (target, profile) = (message.target?, message.profile?);
        if message.reason != "compiler-artifact" || !profile.test {
            return None;
        }
        let integration = target.kind.iter().any(|kind| kind == "test");
        Some(Self {
            kind: if integration {
                Kind::Integration
            } else {
                Kind::Unit
            },
            path: message.executable?,
            package: message
                .manifest_path
                .as_deref()
                .and_then(Path::parent)?
                .into(),
            target: target.name,
            group: None,
        })
    }
}

/// The tests that libtest lists, by their module at the top.
fn grouped(listed: &str) -> BTreeMap<String, Vec<String>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for test in listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
    {
        let group = test.split("::").next().unwrap_or(test);
        groups
            .entry(group.to_owned())
            .or_default()
            .push(test.to_owned());
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_from_cargos_messages() {
        let message = |kind: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/testbed/Cargo.toml","target":{{"kind":["{kind}"],
                "name":"all"}},"profile":{{"test":{test}}},"executable":"/w/target/debug/deps/all-1"}}"#
            )
        };
        let program = Program::built(&message("test", true)).unwrap();
        assert_eq!(program.name(), "testbed (all)");
        assert_eq!(program.kind, Kind::Integration);
        assert_eq!(
            Program::built(&message("lib", true)).unwrap().kind,
            Kind::Unit
        );
        assert_eq!(Program::built(&message("bin", false)), None);
        assert_eq!(
            Program::built(r#"{"reason":"build-finished","success":true}"#),
            None
        );
    }

    #[test]
    fn tests_are_grouped_by_their_module_at_the_top() {
        let listed = "cache::large::one: test\nrouter::two: test\ncache::three: test\n";
        let groups = grouped(listed);
        assert_eq!(groups["cache"], ["cache::large::one", "cache::three"]);
        assert_eq!(groups["router"], ["router::two"]);
        assert_eq!(groups.len(), 2);
    }
}
