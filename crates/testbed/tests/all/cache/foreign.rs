//! A key of ours that holds something of another type.

use redis::AsyncCommands;
use serde_json::json;

use super::bench::{Bench, options};
use crate::alone;

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_spoils_no_other_index() {
    let _alone = alone().await;
    let mut bench = Bench::start(&options("dispatch", 1, 2)).await;
    let truth = bench.assert_exact().await;
    let guild = truth.keys().find_map(|key| key.strip_prefix("guild:"));
    let guild: u64 = guild.unwrap().parse().unwrap();
    let mut redis = bench.stack.servers.redis.connection().await.unwrap();
    let (members, presences) = (
        format!("index:members:{guild}"),
        format!("index:presences:{guild}"),
    );
    let () = redis.set(&members, "not ours").await.unwrap();
    // Both indexes are changed by one script, the members' first.
    let chunk = json!({
        "guild_id": guild.to_string(), "chunk_index": 0, "chunk_count": 1,
        "members": [{"user": {"id": "77"}, "roles": [], "joined_at": null}],
        "presences": [{"user": {"id": "77"}, "status": "online"}],
    });
    bench.tell(guild, "GUILD_MEMBERS_CHUNK", &chunk);
    bench.settle().await;
    let listed: bool = redis.sismember(&presences, "77").await.unwrap();
    assert!(listed);
    let left: String = redis.get(&members).await.unwrap();
    assert_eq!(left, "not ours");
    assert!(bench.metric("writer_store_errors_total").await >= 1.0);
    bench.stack.stop().await.unwrap();
}
