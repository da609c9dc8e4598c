//! Commands on their way from a bot to Discord: each row of the contract's table, refusals, expiry, and a burst beyond
//! Discord's limits, with the release binaries.

mod asking;
mod backlog;
mod blamed;
mod burst;
mod expiry;
mod full_lists;
mod lost_connections;
mod refusals;
mod sends;
mod shards;

use std::time::Duration;

use crate::alone;
use dispatch_proto::rabbit::DEAD_QUEUE;
use testbed::collector::check::Tolerated;
use testbed::servers::{Persistence, Servers};
use testbed::stack::{Options, Stack};

use crate::bot::Bot;
use burst::End;

const LIMIT: Duration = Duration::from_secs(30);

async fn start(options: &Options) -> (Stack, Bot) {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut stack = Stack::start(servers, options).await.unwrap();
    stack.ready().await.unwrap();
    let bot = Bot::connect(&stack.servers.rabbitmq.url()).await.unwrap();
    asking::prepare(&bot).await.unwrap();
    (stack, bot)
}

/// The results of several checks on one stack.
#[derive(Default)]
struct Rows(Vec<String>);

impl Rows {
    fn note(&mut self, name: &str, result: anyhow::Result<()>) {
        if let Err(error) = result {
            self.0.push(format!("{name}: {error:#}"));
        }
    }

    async fn end(self, mut stack: Stack) {
        let failed = self.0;
        assert!(
            failed.is_empty(),
            "{}\n{}",
            failed.join("\n"),
            stack.log_tails(15)
        );
        assert_eq!(stack.sim.violations(), Vec::<String>::new());
        stack.stop().await.unwrap();
    }
}

/// Every kind of command, and every refusal.
#[tokio::test(flavor = "multi_thread")]
async fn each_row_of_the_table() {
    let options = Options::new(asking::SHARDS + 1, 30);
    let (stack, bot) = start(&options).await;
    let mut rows = Rows::default();
    let asked = full_lists::ask_twice(&stack, &bot).await;
    rows.note("two full member lists", asked);
    rows.note("crowd", burst::crowd(&stack, &bot).await);
    let with = sends::with_a_shard(&stack, &bot).await;
    rows.note("op 0 with a shard", with);
    let without = sends::without_a_shard(&stack, &bot, "first").await;
    rows.note("op 0 without a shard", without);
    let opcodes = sends::each_allowed_opcode(&stack, &bot).await;
    rows.note("allowed opcodes", opcodes);
    let largest = sends::largest_packet(&stack, &bot).await;
    rows.note("4,096 bytes", largest);
    let quiet = sends::without_a_reply(&stack, &bot).await;
    rows.note("op 0 without reply_to", quiet);
    let direct = sends::by_the_shards_own_queue(&stack, &bot).await;
    rows.note("gateway:<shard>", direct);
    let refused = refusals::by_the_router(&stack, &bot).await;
    rows.note("refusals", refused);
    let refused = refusals::by_the_shard(&stack, &bot).await;
    rows.note("refusals of gateway:<shard>", refused);
    let refused = refusals::status_without_an_address(&bot).await;
    rows.note("op 3 without reply_to", refused);
    let behind = refusals::in_nobodys_way(&stack, &bot).await;
    rows.note("a command behind a refusal", behind);
    rows.note("op 3", shards::status(&stack, &bot).await);
    rows.note("op 1", shards::reconnect(&stack, &bot).await);
    rows.note("op 2", shards::identify(&stack, &bot).await);
    let after = sends::without_a_shard(&stack, &bot, "again").await;
    rows.note("op 0 after op 1 and op 2", after);
    rows.note("full member lists", full_lists::check(&stack).await);
    let gone = burst::crowd_has_gone(&stack).await;
    rows.note("voice update behind the crowd", gone);
    let dead = bot.take(DEAD_QUEUE).await.unwrap();
    assert!(dead.is_none() || !rows.0.is_empty(), "{dead:?}");
    let report = stack.check(LIMIT).await.unwrap();
    let faults = report.faults(Tolerated::default());
    assert!(faults.is_empty() || !rows.0.is_empty(), "{report}");
    rows.end(stack).await;
}

/// `COMMAND_TTL` passes while a shard is away, and while nobody owns it.
#[tokio::test(flavor = "multi_thread")]
async fn commands_expire() {
    let _alone = alone().await;
    let mut options = Options::new(2, 4);
    let ttl = expiry::TTL_MS.to_string();
    options.env.insert("COMMAND_TTL".into(), ttl);
    let (mut stack, bot) = start(&options).await;
    let mut rows = Rows::default();
    let away = expiry::while_the_shard_is_away(&stack, &bot).await;
    rows.note("while the shard is away", away);
    let nobody = expiry::while_no_ingest_runs(&mut stack, &bot).await;
    rows.note("while no ingest runs", nobody);
    let later = expiry::never_sent_later(&stack, &bot).await;
    rows.note("never sent later", later);
    rows.end(stack).await;
}

/// Connections end in every way while commands are on their way: none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn connections_end_under_commands() {
    let _alone = alone().await;
    let mut options = Options::new(2, 4);
    options.sim.heartbeat_interval = lost_connections::HEARTBEAT;
    let (mut stack, bot) = start(&options).await;
    let mut rows = Rows::default();
    for (fault, twice) in lost_connections::FAULTS {
        let arrive = lost_connections::all_arrive(&stack, &bot, fault, twice).await;
        rows.note(&format!("{fault:?}"), arrive);
    }
    let end = lost_connections::at_the_end(&mut stack, &bot).await;
    rows.note("SIGTERM with dead connections", end);
    rows.end(stack).await;
}

/// A full member list is asked for just before a restart of ingest and just after.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_list_is_asked_for_again() {
    let _alone = alone().await;
    let mut options = Options::new(1, 4);
    options.sim.member_request_interval = full_lists::INTERVAL;
    let (mut stack, bot) = start(&options).await;
    let again = full_lists::refused_after_a_restart(&mut stack, &bot).await;
    assert!(again.is_ok(), "{again:?}\n{}", stack.log_tails(15));
    stack.stop().await.unwrap();
}

/// 800 commands for 4 shards, ingest is asked to end in the middle: each arrives once.
#[tokio::test(flavor = "multi_thread")]
async fn burst_with_a_restart() {
    burst_with(End::Sigterm).await;
}

/// 800 commands for 4 shards, ingest crashes in the middle: each arrives.
#[tokio::test(flavor = "multi_thread")]
async fn burst_with_a_crash() {
    burst_with(End::Kill9).await;
}

/// 1,000 commands wait in an outage of Discord, ingest is asked to end in its middle, and again in the middle of the commands.
#[tokio::test(flavor = "multi_thread")]
async fn backlog_with_restarts() {
    backlog_with(End::Sigterm).await;
}

/// The same, and ingest crashes.
#[tokio::test(flavor = "multi_thread")]
async fn backlog_with_crashes() {
    backlog_with(End::Kill9).await;
}

async fn backlog_with(end: End) {
    let _alone = alone().await;
    let options = Options::new(backlog::SHARDS, 40);
    let (mut stack, bot) = start(&options).await;
    let mut rows = Rows::default();
    let backlog = backlog::survives(&mut stack, &bot, end).await;
    rows.note("backlog", backlog);
    rows.end(stack).await;
}

/// 1,000 requests for one shard are in hand when it connects: a voice state behind them goes first, and an end loses none.
#[tokio::test(flavor = "multi_thread")]
async fn backlog_of_one_shard() {
    let _alone = alone().await;
    let (mut stack, bot) = start(&Options::new(1, 4)).await;
    let overtaken = backlog::is_overtaken(&mut stack, &bot).await;
    assert!(overtaken.is_ok(), "{overtaken:?}\n{}", stack.log_tails(15));
    assert_eq!(stack.sim.violations(), Vec::<String>::new());
    // Ingest has ended already.
    drop(stack);
}

/// Discord closes the connection over a packet: those around it arrive.
#[tokio::test(flavor = "multi_thread")]
async fn packets_that_discord_closes_over() {
    let _alone = alone().await;
    let (stack, bot) = start(&Options::new(1, 4)).await;
    let mut rows = Rows::default();
    let incomplete = blamed::incomplete(&stack, &bot).await;
    rows.note("an incomplete packet", incomplete);
    for code in [4001, 4002] {
        let refused = blamed::refused_by_discord(&stack, &bot, code).await;
        rows.note(&format!("close code {code}"), refused);
    }
    rows.end(stack).await;
}

async fn burst_with(end: End) {
    let _alone = alone().await;
    let options = Options::new(4, 8);
    let (mut stack, bot) = start(&options).await;
    let mut rows = Rows::default();
    let burst = burst::survives_a_restart(&mut stack, &bot, end).await;
    rows.note("burst", burst);
    rows.end(stack).await;
}
