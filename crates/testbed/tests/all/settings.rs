//! Settings as the real binaries take them: what is refused, what is shown of it, and `.env` files of all kinds.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use dispatch_service::settings::catalogue::ALL;
use testbed::{
    binaries::Service,
    child::{Child, Launch},
    http, port,
    process::Process,
    servers::{Persistence, Servers},
    wait,
};

const SERVICES: [Service; 3] = [
    Service::GatewayIngest,
    Service::CacheWriter,
    Service::CommandRouter,
];

/// What must be in no output.
const SECRETS: [(&str, &str); 5] = [
    ("BOT_TOKEN", "MTAyMjU.GsecretA.tokentokentoken"),
    ("RABBIT_PASSWORD", "secretB%40x"),
    ("RABBIT_URL", "amqp://u:secretC@[::1]:1/"),
    ("REDIS_URL", "redis://u:secretD@[::1]:1/"),
    ("REDIS_MESSAGES_URL", "redis://u:secretD@[::1]:1/3"),
];
const MARKS: [&str; 4] = ["secretA", "secretB", "secretC", "secretD"];

/// Starts the binary and waits for its end.
fn run(service: Service, dir: &Path, env: &[(&str, &str)]) -> Output {
    Command::new(service.binary().unwrap())
        .current_dir(dir)
        .env_clear()
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
}

fn assert_hidden(printed: &str, what: &str) {
    for mark in MARKS {
        assert!(!printed.contains(mark), "{what} shows a secret:\n{printed}");
    }
}

#[test]
fn no_wrong_value_of_any_setting_brings_a_secret_to_light() {
    let dir = tempfile::tempdir().unwrap();
    for service in SERVICES {
        for setting in ALL {
            for wrong in [
                "\u{1}wrong",
                "MTAyMjU.GsecretA.tokentokentoken",
                "amqp://u:secretC/x@ho st/",
                "redis://:secretD@",
                "http://u:secretD@x y",
            ] {
                let mut env: Vec<_> = SECRETS
                    .into_iter()
                    .filter(|(name, _)| *name != setting.name)
                    .collect();
                env.push((setting.name, wrong));
                // One wrong setting that every service reads ends it whatever the other is.
                env.push((
                    if setting.name == "LOG_FORMAT" {
                        "RUST_LOG"
                    } else {
                        "LOG_FORMAT"
                    },
                    "=,=,wrong=wrong",
                ));
                let output = run(service, dir.path(), &env);
                let what = format!("{service:?} with {}={wrong:?}", setting.name);
                assert_eq!(output.status.code(), Some(2), "{what}: {}", text(&output));
                assert_hidden(&text(&output), &what);
            }
        }
    }
}

#[test]
fn all_problems_are_told_at_once_with_names_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let env = [
        ("BOT_TOKEN", "t"),
        ("RABBIT_HOST", "my host"),
        ("REDIS_HOST", "[::1"),
        ("PROMETHEUS_PORT", "0"),
        ("LOG_FORMAT", "xml"),
    ];
    for service in SERVICES {
        let output = run(service, dir.path(), &env);
        assert_eq!(output.status.code(), Some(2));
        let printed = text(&output);
        for (name, value) in &env[1..] {
            let line = format!("{name}={value:?}: expected");
            assert!(
                printed.contains(&line),
                "{service:?} lacks {line}:\n{printed}"
            );
        }
        assert!(printed.contains("4 wrong setting(s)"), "{printed}");
    }
}

#[test]
fn broken_lines_of_an_env_file_are_told_without_their_values() {
    let dir = tempfile::tempdir().unwrap();
    let broken = "STATUS=online\nBOT_TOKEN MTAyMjU.GsecretA.tokentokentoken\nRABBIT_PASSWORD=\"secretB\nLOG_FORMAT=xml\n";
    std::fs::write(dir.path().join(".env"), broken).unwrap();
    let toml = dir.path().join("broken.toml");
    std::fs::write(&toml, "redis_url = \"redis://:secretD@h/\nx = 1\n").unwrap();
    for service in SERVICES {
        let output = run(service, dir.path(), &[]);
        assert_eq!(output.status.code(), Some(2));
        let printed = text(&output);
        assert!(printed.contains("line 2 (BOT_TOKEN)"), "{printed}");
        assert!(printed.contains("line 3 (RABBIT_PASSWORD)"), "{printed}");
        assert_hidden(&printed, ".env");
        let output = run(
            service,
            dir.path(),
            &[("DISPATCH_CONFIG", toml.to_str().unwrap())],
        );
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output).contains("broken.toml"), "{}", text(&output));
        assert_hidden(&text(&output), "the TOML file");
    }
}

#[test]
fn secrets_come_from_files_and_not_from_both() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "redis://:secretD@my host/\r\n").unwrap();
    let file = file.to_str().unwrap();
    for service in SERVICES {
        let output = run(
            service,
            dir.path(),
            &[("REDIS_URL_FILE", file), ("BOT_TOKEN", "t")],
        );
        let printed = text(&output);
        assert_eq!(output.status.code(), Some(2), "{printed}");
        assert!(printed.contains("REDIS_URL=\"***\": expected"), "{printed}");
        let both = [
            ("REDIS_URL_FILE", file),
            ("REDIS_URL", "redis://:secretD@h/"),
            ("RABBIT_PASSWORD_FILE", "/not/there"),
            ("BOT_TOKEN", "t"),
        ];
        let printed = text(&run(service, dir.path(), &both));
        assert!(
            printed.contains("only one of REDIS_URL and REDIS_URL_FILE"),
            "{printed}"
        );
        assert!(
            printed.contains("RABBIT_PASSWORD_FILE=\"/not/there\""),
            "{printed}"
        );
        assert_hidden(&printed, "files");
    }
}

#[test]
fn a_value_that_is_no_text_is_refused_and_not_replaced_by_the_default() {
    let dir = tempfile::tempdir().unwrap();
    for service in SERVICES {
        let output = Command::new(service.binary().unwrap())
            .current_dir(dir.path())
            .env_clear()
            .env("BOT_TOKEN", "t")
            .env("RABBIT_PASSWORD", OsStr::from_bytes(b"secretB\xe9"))
            .output()
            .unwrap();
        let printed = text(&output);
        assert_eq!(output.status.code(), Some(2), "{printed}");
        let problem = "RABBIT_PASSWORD=\"***\": expected text in UTF-8";
        assert!(printed.contains(problem), "{printed}");
        assert_hidden(&printed, "no text");
    }
}

/// As twilight-dispatch needed it.
#[tokio::test]
async fn a_percent_encoded_password_is_refused_with_a_hint() {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let url = servers.rabbitmq.url();
    let (port, _) = url.rsplit_once(':').unwrap().1.split_once('/').unwrap();
    let env = BTreeMap::from(
        [
            ("RABBIT_HOST", "localhost".to_owned()),
            ("RABBIT_PORT", port.to_owned()),
            ("RABBIT_PASSWORD", "secretB%40x".to_owned()),
            ("REDIS_URL", servers.redis.url()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    for service in [Service::CacheWriter, Service::CommandRouter] {
        let process = Process::start(service, service.name(), servers.dir(), &env).unwrap();
        let hint = "RABBIT_PASSWORD looks percent-encoded";
        wait::until(hint, Duration::from_secs(60), async || {
            process.log_tail(40).contains(hint)
        })
        .await
        .unwrap();
        assert!(!process.is_ready().await);
        assert_hidden(&process.log_tail(1000), "the log");
    }
}

/// twilight-dispatch's `.env.example`, with what its users wrote into it. Nothing answers at the servers' ports; each service
/// starts, says so, and shows no secret while it goes on trying.
#[tokio::test]
async fn an_env_file_of_twilight_dispatch_starts_all_services() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = port::free_port().unwrap();
    let lines = [
        "\u{feff}# Logging level",
        "RUST_LOG=debug",
        "BOT_TOKEN=MTAyMjU.GsecretA.tokentokentoken",
        "SHARDS_START=0",
        "SHARDS_END=1",
        "SHARDS_TOTAL=2",
        "SHARDS_CONCURRENCY=1",
        "SHARDS_WAIT=6",
        "CLUSTERS=2",
        "DEFAULT_QUEUE=true",
        "INTENTS=32767",
        "LARGE_THRESHOLD=250",
        "STATUS=online",
        "ACTIVITY_TYPE=0",
        "ACTIVITY_NAME=with fire",
        "LOG_CHANNEL=0",
        "LOG_GUILD_CHANNEL=0",
        "STATE_ENABLED=true",
        "STATE_MEMBER_TTL=60000",
        "STATE_OLD=false",
        "MY-OTHER-APP-KEY=1",
        "export RABBIT_HOST=[::1]",
        &format!("RABBIT_PORT={nobody}"),
        "RABBIT_USERNAME=guest",
        "RABBIT_PASSWORD='secretB%40x'",
        "REDIS_HOST=::1",
        &format!("REDIS_PORT={nobody}"),
        "DISCORD_API_URL=http://[::1]:1",
        "",
    ];
    std::fs::write(dir.path().join(".env"), lines.join("\r\n")).unwrap();
    for service in SERVICES {
        let port = port::free_port().unwrap();
        let log = dir.path().join(format!("{service:?}.log"));
        let env = BTreeMap::from([("PROMETHEUS_PORT".to_owned(), port.to_string())]);
        let mut child = Child::spawn(&Launch {
            program: service.binary().unwrap(),
            args: Vec::new(),
            env,
            dir: dir.path().to_owned(),
            log: log.clone(),
        })
        .unwrap();
        wait::until(
            "an answer and an attempt",
            Duration::from_secs(30),
            async || {
                assert!(child.exit_status().is_none(), "{service:?} ended");
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                http::fetch(port, "/livez").await.is_ok() && log.contains("redis")
            },
        )
        .await
        .unwrap();
        assert_hidden(&std::fs::read_to_string(&log).unwrap(), "the log");
    }
}
