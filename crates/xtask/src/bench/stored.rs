//! What Redis holds.

use anyhow::{Context, Result};
use redis::{InfoDict, Script, cmd};
use testbed::servers::Redis;

use super::figures::Row;

/// Keys that hold a text are the cached objects; the rest are indexes and bookkeeping. Looks at one page of them.
const PAGE: &str = "
local page = redis.call('SCAN', ARGV[1], 'COUNT', 10000, 'TYPE', 'string')
local bytes = 0
for _, key in ipairs(page[2]) do bytes = bytes + redis.call('STRLEN', key) end
return {page[1], #page[2], bytes}";

/// Memory that Redis has allocated, in bytes.
pub(super) async fn used_memory(redis: &Redis) -> Result<u64> {
    let mut connection = redis.connection().await?;
    let info: InfoDict = cmd("INFO")
        .arg("memory")
        .query_async(&mut connection)
        .await?;
    info.get("used_memory")
        .context("Redis does not say what memory it uses")
}

/// Adds how many objects there are, their bytes, and the memory that Redis takes for all that it holds, over these bytes; `empty` is
/// what it took without anything.
pub(super) async fn add(row: &mut Row, redis: &Redis, empty: u64) -> Result<()> {
    let mut connection = redis.connection().await?;
    let used = used_memory(redis).await?.saturating_sub(empty);
    let page = Script::new(PAGE);
    let (mut cursor, mut objects, mut bytes) = ("0".to_owned(), 0, 0);
    loop {
        let more: (String, u64, u64) = page.arg(&cursor).invoke_async(&mut connection).await?;
        cursor = more.0;
        objects += more.1;
        bytes += more.2;
        if cursor == "0" {
            break;
        }
    }
    row.add("objects cached", objects as f64, "");
    row.add("their values", bytes as f64 / 1e6, "MB");
    row.add("Redis's memory for them", used as f64 / 1e6, "MB");
    let over = (used as f64 / bytes.max(1) as f64 - 1.0) * 100.0;
    row.add("Redis's memory over the values", over, "%");
    Ok(())
}
