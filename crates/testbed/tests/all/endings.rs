//! SIGTERM while a server is blocked, frozen or dead: every service ends within 10 s with code 0, and when all is well again
//! nothing is lost and every session goes on.

mod outage;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testbed::collector::check::Tolerated;
use testbed::faults::commands::{self, Commands};
use testbed::http;
use testbed::process::Process;
use testbed::servers::{Persistence, Servers};
use testbed::stack::{Options, STOP_LIMIT, Stack};
use testbed::wait;

use outage::Outage;

const LIMIT: Duration = Duration::from_secs(60);
/// Events a second.
const RATE: f64 = 300.0;
/// Events that have arrived before an outage.
const WARM_UP: u64 = 200;
/// Events that are held up when the services are asked to end.
const HELD_UP: u64 = 300;
/// Ends of a writer in each outage, which may have to be without the confirms of a batch.
const ENDS: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn services_end_in_order_whatever_the_servers_do() {
    let servers = Servers::start(Persistence::EveryWrite).await.unwrap();
    let mut stack = Stack::start(servers, &Options::new(2, 10)).await.unwrap();
    stack.ready().await.unwrap();
    let identifies = stack.sim.identifies();
    let load = stack.start_load(RATE);
    let commands = Commands::start(stack.servers.rabbitmq.url(), stack.shards);

    let mut failed = Vec::new();
    for outage in Outage::ALL {
        let through = goes_through(&mut stack, outage).await;
        if let Err(error) = through {
            failed.push(format!("{outage:?}: {error:#}"));
            // The next row needs all of it again.
            outage.end(&mut stack).await.unwrap();
            restart(&mut stack).await.unwrap();
        }
    }
    stack.sim.stop_load();
    load.await.unwrap();
    let published = commands.stop().await;
    assert!(failed.is_empty(), "{}", failed.join("\n"));

    let report = stack.check(LIMIT).await.unwrap();
    let tolerated = Tolerated {
        crashes: ENDS * Outage::ALL.len() as u64,
        ..Tolerated::default()
    };
    println!("{report}");
    let faults = report.faults(tolerated);
    assert!(
        faults.is_empty(),
        "{faults:?}\n{report}\n{}",
        stack.log_tails(20)
    );
    assert_eq!(stack.sim.identifies(), identifies, "a session was lost");
    let all_taken = async || commands::lost(&stack, published).is_empty();
    let _ = wait::until("all commands", LIMIT, all_taken).await;
    assert_eq!(commands::lost(&stack, published), Vec::<u64>::new());
    stack.stop().await.unwrap();
}

/// One row of the table.
async fn goes_through(stack: &mut Stack, outage: Outage) -> Result<()> {
    let before = stack.collector.ledger().events();
    let flowing = async || stack.collector.ledger().events() > before + WARM_UP;
    wait::until("events to flow", LIMIT, flowing).await?;
    outage.begin(stack).await?;
    let held_up = lag(stack) + HELD_UP;
    let felt = async || lag(stack) > held_up;
    wait::until("the outage to be felt", LIMIT, felt).await?;
    let ended = end_all(stack, &format!("{outage:?}")).await;
    if ended.is_ok() {
        restart(stack).await?;
        for process in stack.processes() {
            let alive = async || {
                let answer = http::fetch(process.port(), "/livez").await;
                answer.is_ok_and(|answer| answer.status == 200)
            };
            wait::until(process.name(), LIMIT, alive).await?;
        }
        end_all(stack, &format!("{outage:?}, from the start")).await?;
    }
    ended?;
    outage.end(stack).await?;
    restart(stack).await?;
    stack.ready().await?;
    stack.arrived(&stack.sent(), LIMIT).await?;
    Ok(())
}

/// Asks all services to end at once; each must, with code 0.
async fn end_all(stack: &mut Stack, when: &str) -> Result<()> {
    let begin = Instant::now();
    let end = async |process: &mut Process| -> Result<Duration> {
        let ended = process.stop(STOP_LIMIT).await;
        ended.with_context(|| format!("{when}: {}", process.name()))?;
        Ok(begin.elapsed())
    };
    let (writer, rest) = stack.writers.split_first_mut().context("no writer")?;
    ensure!(rest.is_empty(), "more than one writer");
    let (ingest, writer, router) =
        tokio::join!(end(&mut stack.ingest), end(writer), end(&mut stack.router));
    println!("{when}: ingest {ingest:.1?}, writer {writer:.1?}, router {router:.1?}");
    ingest.and(writer).and(router)?;
    Ok(())
}

async fn restart(stack: &mut Stack) -> Result<()> {
    for process in stack.processes() {
        process.restart()?;
    }
    Ok(())
}

/// Events made and not arrived.
fn lag(stack: &Stack) -> u64 {
    let made = stack.sim.counts().produced;
    made.saturating_sub(stack.collector.ledger().events())
}
