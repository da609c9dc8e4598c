//! A cache that grows: the start that fills it, and the writer at work beside it.

use anyhow::Result;

use super::Args;
use super::figures::Row;
use super::pipeline::Bench;
use super::usage::rss;
use super::{MIB, stored};

/// For each number of guilds: all of them into an empty Redis, then the writer alone.
pub(super) async fn run(args: &Args) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for guilds in &args.cached {
        let (mut bench, mut start) = Bench::start(args, *guilds).await?;
        start.name = format!("cold start, {guilds} guilds");
        add_cost(&mut start, &bench);
        stored::add(&mut start, &bench.servers.redis, bench.empty_redis).await?;
        rows.push(start);
        let (_, targets) = bench.ingest().await?;
        let name = format!("writer alone, {guilds} guilds cached");
        let mut row = bench.writer(&name, &targets).await?;
        add_cost(&mut row, &bench);
        rows.push(row);
    }
    Ok(rows)
}

/// Adds what each process had of the cores, and what the writer holds now.
fn add_cost(row: &mut Row, bench: &Bench<'_>) {
    row.add_shares();
    let resident = rss(bench.writer.id()) as f64 / MIB;
    row.add("writer's memory after it", resident, "MiB");
}
