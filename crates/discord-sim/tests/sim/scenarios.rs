//! `discord-sim run`: scenarios, and bots that do what they must or don't.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Runs a bot through a scenario; the exit code and what was printed.
async fn run(scenario: &Path, bot: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_discord-sim"))
        .arg("run")
        .arg(scenario)
        .arg("--")
        .args(bot)
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (code, error) = (output.status.code().unwrap(), text(output.stderr));
    (code, format!("{}{error}", text(output.stdout)))
}

/// A scenario in a file of its own.
struct Written(PathBuf);

impl Written {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("discord-sim-{}-{name}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    async fn run(&self, script: &str) -> (i32, String) {
        run(&self.0, &["sh", "-c", script]).await
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The bot that is built with the tests, out of `examples`.
fn ping_bot() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_discord-sim")).with_file_name("examples");
    let bot = built.join("ping");
    assert!(
        bot.exists(),
        "build it first: cargo build -p discord-sim --examples"
    );
    bot
}

fn ping_scenario() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ping.toml")
}

#[tokio::test]
async fn the_example_passes() {
    let (code, text) = run(&ping_scenario(), &[ping_bot().to_str().unwrap()]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("0 failed, 0 not begun"), "{text}");
}

#[tokio::test]
async fn what_is_not_done_fails_with_what_was_done_instead() {
    let text = std::fs::read_to_string(ping_scenario()).unwrap();
    let wrong = text.replace("now it says: *wo", "now it says: three");
    let wrong = wrong.replace(
        "message = { content = \"now",
        "within = \"500ms\", message = { content = \"now",
    );
    let scenario = Written::new("wrong", &wrong);
    let (code, text) = run(&scenario.0, &[ping_bot().to_str().unwrap()]).await;
    assert_eq!(code, 1, "{text}");
    let failed = text.lines().filter(|line| line.starts_with("FAIL")).count();
    assert_eq!(failed, 1, "{text}");
    assert!(text.contains("0 of 1 messages fit"), "{text}");
    assert!(text.contains("now it says: two"), "{text}");
}

#[tokio::test]
async fn a_bot_that_ends_hangs_or_never_comes_fails() {
    let ready = "[[step]]\nexpect = { session = \"ready\", within = \"20s\" }\n";
    let scenario = Written::new("ends", ready);
    let (code, text) = scenario.run("exit 3").await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("the bot has ended with code 3"), "{text}");

    let scenario = Written::new("late", &format!("limit = \"300ms\"\n{ready}"));
    let (code, text) = scenario.run("sleep 60").await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("the scenario's time is over"), "{text}");

    let stop = "[bot]\nstop_within = \"100ms\"\n[[step]]\nwait = \"100ms\"\n";
    let scenario = Written::new("hangs", stop);
    let (code, text) = scenario
        .run("trap '' TERM; sleep 60 & wait; sleep 60")
        .await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("did not end within 100 ms of SIGTERM"),
        "{text}"
    );

    let exits = "[[step]]\nexpect = { exit = 4 }\n";
    let scenario = Written::new("exits", exits);
    let (code, text) = scenario
        .run("test -n \"$DISCORD_GATEWAY_URL\" && exit 4")
        .await;
    assert_eq!(code, 0, "{text}");
}

#[tokio::test]
async fn what_can_not_be_run_is_told_from_a_failure() {
    let scenario = Written::new("key", "[[step]]\nwait = \"1s\"\n\n[discord]\nguildes = 3\n");
    let (code, text) = scenario.run("true").await;
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("line 5") && text.contains("guildes"),
        "{text}"
    );

    for nothing in ["", "limit = \"1s\"\n", "[discord]\nguilds = 3\n"] {
        let (code, text) = Written::new("empty", nothing).run("true").await;
        assert_eq!(code, 2, "{text}");
        assert!(text.contains("has no step"), "{text}");
    }

    let scenario = Written::new("missing", "[[step]]\nwait = \"1ms\"\n");
    let (code, text) = run(&scenario.0, &["/no/such/bot"]).await;
    assert_eq!(code, 2, "{text}");
    let (code, _) = run(Path::new("/no/such/scenario.toml"), &["true"]).await;
    assert_eq!(code, 2);
}
