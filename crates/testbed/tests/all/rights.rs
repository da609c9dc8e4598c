//! The services run with no more rights than deploy/README.md gives them.

use std::{fs, time::Duration};

use testbed::binaries::workspace;
use testbed::servers::{Persistence, Servers};
use testbed::stack::{Options, Stack};

const LIMIT: Duration = Duration::from_secs(60);

/// The line of deploy/README.md that begins so, without that.
fn documented(beginning: &str) -> String {
    let page = fs::read_to_string(workspace().join("deploy/README.md")).unwrap();
    let found = page.lines().find_map(|line| line.strip_prefix(beginning));
    found
        .unwrap_or_else(|| panic!("deploy/README.md has no `{beginning}`"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough() {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let permissions = documented("rabbitmqctl set_permissions dispatch ");
    let [configure, write, read]: [&str; 3] = permissions
        .split('\'')
        .filter(|part| !part.trim().is_empty())
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let grant = format!(
        r#"rabbit_auth_backend_internal:add_user(<<"dispatch">>, <<"secret">>, <<"test">>),
        rabbit_auth_backend_internal:set_permissions(<<"dispatch">>, <<"/">>, <<"{}">>, <<"{}">>, <<"{}">>, <<"test">>)."#,
        escaped(configure),
        escaped(write),
        escaped(read)
    );
    servers.rabbitmq.eval(&grant).await.unwrap();
    let rules = documented("ACL SETUSER dispatch ").replace("PASSWORD", "secret");
    let mut redis = servers.redis.connection().await.unwrap();
    let mut create = redis::cmd("ACL");
    create.arg("SETUSER").arg("dispatch");
    for rule in rules.split(' ') {
        create.arg(rule);
    }
    create.exec_async(&mut redis).await.unwrap();

    let mut options = Options::new(2, 20);
    let restricted = |url: String| {
        let (scheme, rest) = url.split_once("://").unwrap();
        let address = rest.rsplit('@').next().unwrap();
        format!("{scheme}://dispatch:secret@{address}")
    };
    options.env = [
        ("RABBIT_URL", restricted(servers.rabbitmq.url())),
        ("REDIS_URL", restricted(servers.redis.url())),
        ("DEFAULT_QUEUE", "true".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let mut stack = Stack::start(servers, &options).await.unwrap();
    stack.ready().await.unwrap();
    let load = stack.start_load(200.0);
    let passed = async || stack.collector.ledger().events() > 1_000;
    testbed::wait::until("events", LIMIT, passed).await.unwrap();
    stack.sim.stop_load();
    load.await.unwrap();
    stack.check_exact(LIMIT).await.unwrap();

    let mut redis = stack.servers.redis.connection().await.unwrap();
    let refusals: Vec<redis::Value> = redis::cmd("ACL")
        .arg("LOG")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(refusals.is_empty(), "redis refused: {refusals:?}");
    let logs = stack.log_tails(200);
    assert!(!logs.contains("ACCESS_REFUSED"), "{logs}");
    stack.stop().await.unwrap();
}

/// For Erlang.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
}
