//! The binary: starts, says where it is, stops at SIGTERM.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::{DEADLINE, http::get};

#[tokio::test]
async fn it_starts_serves_and_stops_cleanly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_discord-sim"))
        .env("SIM_LISTEN", "127.0.0.1:0")
        .env("SIM_GUILDS", "3")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let url = line.strip_prefix("DISCORD_API_URL=").unwrap().to_owned();
    assert_eq!(get(&url, "/sim/status").await.0, 200);
    let healthy = async || {
        let mut check = Command::new(env!("CARGO_BIN_EXE_discord-sim"));
        check.arg("healthcheck");
        check.env("SIM_LISTEN", url.strip_prefix("http://").unwrap());
        check.output().await.unwrap().status.success()
    };
    assert!(healthy().await);
    let pid = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap()
            .success()
    );
    assert!(
        timeout(DEADLINE, child.wait())
            .await
            .unwrap()
            .unwrap()
            .success()
    );
    assert!(!healthy().await);
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_discord-sim"))
        .args(["--guilds", "many"])
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("--guilds") && message.contains("many"),
        "{message}"
    );
}
