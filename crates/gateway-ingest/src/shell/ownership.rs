//! Which shards run in this process: one task for all of them.
//!
//! [`crate::core::share`] decides what to try and what to give away; here it is told what Redis and RabbitMQ say, and what it wants is
//! carried out.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use dispatch_proto::session::SessionRecord;
use futures_util::future::BoxFuture;
use lapin::Connection;
use redis::RedisResult;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    claim,
    context::Context,
    members::{self, Look, Owners},
    order::{Order, Stay},
    shard,
    store::{self, Owned},
};
use crate::{
    core::share::{Action, Share},
    error::IngestError,
    metrics,
};

/// How often Redis is asked who lives and who owns what.
const EVERY: Duration = Duration::from_millis(500);
/// Longest time for giving the last shards back when the process ends.
const LAST_SHARDS: Duration = Duration::from_secs(1);

/// How the shards came to their end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The process ends.
    Stopped,
    /// Other processes go by another number of shards.
    OtherPlan,
}

/// Runs shards until `stop`, as many as are this process's to run. The first one that fails ends them all, the others resumably.
///
/// # Errors
///
/// If a shard fails.
pub(crate) async fn hold(
    context: Arc<Context>,
    range: Option<RangeInclusive<u32>>,
    stop: &CancellationToken,
) -> Result<Ended, IngestError> {
    let mut ownership = Ownership {
        share: Share::new(context.instance.clone(), context.total, range.clone()),
        context,
        range,
        stop: stop.child_token(),
        began: Instant::now(),
        connection: None,
        orders: BTreeMap::new(),
        next: BTreeMap::new(),
        tasks: JoinSet::new(),
        work: JoinSet::new(),
        looking: false,
        owners: Arc::default(),
        held: BTreeSet::new(),
        result: Ok(Ended::Stopped),
    };
    ownership.run().await;
    ownership.end().await;
    ownership.result
}

/// A shard, and how its task has ended.
type TaskEnd = (u32, Result<(), IngestError>);

struct Ownership {
    context: Arc<Context>,
    range: Option<RangeInclusive<u32>>,
    share: Share,
    /// Ends the shards' tasks.
    stop: CancellationToken,
    /// What [`Share`] counts time from.
    began: Instant,
    connection: Option<Arc<Connection>>,
    /// The shards that run here.
    orders: BTreeMap<u32, watch::Sender<Order>>,
    /// Shards that another process has owned meanwhile, and that begin anew as soon as their task has ended.
    next: BTreeMap<u32, Start>,
    tasks: JoinSet<TaskEnd>,
    work: JoinSet<Done>,
    looking: bool,
    owners: Arc<Owners>,
    /// Shards that were held when Redis was asked.
    held: BTreeSet<u32>,
    result: Result<Ended, IngestError>,
}

/// A shard is to begin.
struct Start {
    connection: Arc<Connection>,
    session: Option<SessionRecord>,
}

/// What was found out, or done.
enum Done {
    Looked(RedisResult<Look>),
    /// For each shard its owner by Redis, and whether its lock is held.
    LooksAtLocks(Vec<(String, bool)>),
    Tried {
        connection: Arc<Connection>,
        /// Each shard, and whether its session may be resumed whatever `RESUME` says.
        shards: BTreeMap<u32, bool>,
        owned: Vec<Owned>,
    },
    Given(Vec<u32>),
    Said,
}

impl Ownership {
    async fn run(&mut self) {
        let mut publishing = self.context.publishing.clone();
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.connection_changed(publishing.borrow_and_update().clone());
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                Ok(()) = publishing.changed() => {
                    let current = publishing.borrow_and_update().clone();
                    self.connection_changed(current);
                }
                Some(ended) = self.tasks.join_next() => {
                    let mut ended = vec![ended];
                    while let Some(more) = self.tasks.try_join_next() {
                        ended.push(more);
                    }
                    self.shards_ended(ended);
                }
                Some(done) = self.work.join_next() => {
                    if let Ok(done) = done {
                        self.done(done);
                    }
                }
                _ = tick.tick(), if !self.looking => self.look(),
            }
        }
    }

    fn look(&mut self) {
        self.looking = true;
        self.held = self.share.held().collect();
        let (context, range) = (self.context.clone(), self.range.clone());
        let known = self.owners.clone();
        let able = self.connection.is_some();
        self.work.spawn(async move {
            Done::Looked(members::look(&context, known, range.as_ref(), able).await)
        });
    }

    fn connection_changed(&mut self, connection: Option<Arc<Connection>>) {
        self.connection = connection;
        for order in self.orders.values() {
            order.send_modify(|order| order.right = None);
        }
        if self.connection.is_some() {
            let actions = self.share.connected(self.now());
            self.carry_out(actions);
        } else {
            self.share.disconnected();
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            // The keeper of the sessions says that Redis is away.
            Done::Looked(Err(error)) => {
                self.looking = false;
                tracing::debug!(%error, "cannot ask redis for the other processes");
            }
            Done::Looked(Ok(look)) => self.looked(&look),
            Done::LooksAtLocks(looks) => {
                self.looking = false;
                let now = self.now();
                for (owner, held) in looks {
                    self.share.looked(&owner, held, now);
                }
                self.look();
            }
            Done::Tried {
                connection,
                shards,
                owned,
            } => self.tried(&connection, &shards, owned),
            Done::Given(shards) => {
                for shard in shards {
                    self.share.ended(shard);
                }
            }
            Done::Said => {}
        }
    }

    fn looked(&mut self, look: &Look) {
        self.looking = false;
        self.owners = look.owners.clone();
        let total = self.context.total;
        if look.plan.is_some_and(|plan| plan != total) {
            self.other_plan();
            return;
        }
        self.name_again();
        let actions = self.share.look(&look.view, self.now());
        self.carry_out_seeing(actions, Some(look));
        if self.connection.is_some() && self.share.is_settled() {
            self.context.table.settle();
        }
    }

    /// Redis says that others go by another number of shards. It may have come back with older data: who holds shards goes on.
    fn other_plan(&mut self) {
        if self.orders.is_empty() {
            tracing::warn!("other processes go by another number of shards, agreeing anew");
            self.result = Ok(Ended::OtherPlan);
            self.stop.cancel();
            return;
        }
        let context = self.context.clone();
        self.work.spawn(async move {
            if let Err(error) = members::say_plan(&context).await {
                tracing::debug!(%error, "cannot tell redis the number of shards");
            }
            Done::Said
        });
    }

    fn tried(
        &mut self,
        connection: &Arc<Connection>,
        shards: &BTreeMap<u32, bool>,
        owned: Vec<Owned>,
    ) {
        let current = self.connection.as_ref();
        if !current.is_some_and(|current| Arc::ptr_eq(current, connection)) {
            // What was taken went with the connection.
            shards.keys().for_each(|shard| self.share.locked(*shard));
            return;
        }
        let now = self.now();
        let taken: BTreeSet<u32> = owned.iter().map(|owned| owned.shard).collect();
        for shard in shards.keys().filter(|shard| !taken.contains(shard)) {
            self.share.locked(*shard);
        }
        for owned in owned {
            let shard = owned.shard;
            self.share.owned(shard, owned.given, now);
            let running = shards.get(&shard).copied().unwrap_or_default();
            let Some(order) = self.orders.get(&shard) else {
                self.start(
                    shard,
                    connection.clone(),
                    owned.session(&self.context, running),
                );
                continue;
            };
            if owned.taken || order.borrow().stay == Stay::LetGo {
                order.send_modify(|order| order.stay = Stay::LetGo);
                let start = Start {
                    connection: connection.clone(),
                    session: owned.session(&self.context, true),
                };
                self.next.insert(shard, start);
            } else {
                order.send_modify(|order| order.right = Some(connection.clone()));
            }
        }
    }

    fn start(&mut self, shard: u32, connection: Arc<Connection>, session: Option<SessionRecord>) {
        self.context.table.enter(shard);
        metrics::latency(shard, 0);
        let (order, orders) = watch::channel(Order {
            right: Some(connection),
            stay: Stay::Yes,
        });
        self.orders.insert(shard, order);
        let (context, stop) = (self.context.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let ended = shard::run(context, shard, session, orders, stop).await;
            (shard, ended)
        });
    }

    fn shards_ended(&mut self, ended: Vec<Result<TaskEnd, JoinError>>) {
        let mut released = Vec::new();
        for ended in ended {
            let (shard, result) = match ended {
                Ok(ended) => ended,
                Err(error) => {
                    self.fail(error.into());
                    continue;
                }
            };
            if let Err(error) = result {
                self.fail(error);
            }
            let order = self.orders.remove(&shard);
            match order.map(|order| order.borrow().stay) {
                Some(Stay::LetGo) => {
                    self.context.table.remove(shard);
                    metrics::shard_left(shard);
                    match self.next.remove(&shard) {
                        Some(start) if self.stop.is_cancelled() => drop(start),
                        Some(start) if self.holds(&start.connection) => {
                            self.start(shard, start.connection, start.session);
                        }
                        _ => self.share.ended(shard),
                    }
                }
                _ => {
                    metrics::shard_left(shard);
                    released.push(shard);
                }
            }
        }
        if !released.is_empty() {
            let giving = self.give_back(released, !self.stop.is_cancelled());
            self.work.spawn(giving);
        }
    }

    /// Stores what the shards leave, and frees their locks.
    fn give_back(&self, shards: Vec<u32>, given: bool) -> BoxFuture<'static, Done> {
        let (context, connection) = (self.context.clone(), self.connection.clone());
        Box::pin(async move {
            store::leave(&context, &shards, given).await;
            if let Some(connection) = connection {
                claim::give_back(&context, &connection, &shards).await;
            }
            Done::Given(shards)
        })
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        self.carry_out_seeing(actions, None);
    }

    fn carry_out_seeing(&mut self, actions: Vec<Action>, look: Option<&Look>) {
        let (mut tries, mut doubtful, mut looks) = (BTreeMap::new(), Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::Try {
                    shard,
                    running,
                    doubt,
                } => {
                    tries.insert(shard, running);
                    if doubt {
                        doubtful.push(shard);
                    }
                }
                Action::Look(shard) => {
                    let owner = look.and_then(|look| look.view.owners.get(&shard));
                    looks.extend(owner.map(|owner| (shard, owner.clone())));
                }
                Action::Release(shard) => self.order(shard, Stay::Release),
                Action::LetGo(shard) => self.order(shard, Stay::LetGo),
            }
        }
        if let (Some(connection), false) = (self.connection.clone(), tries.is_empty()) {
            let context = self.context.clone();
            self.work.spawn(async move {
                let shards: Vec<u32> = tries.keys().copied().collect();
                let taken = claim::take(&context, &connection, &shards, &doubtful).await;
                let owned = if taken.is_empty() {
                    Vec::new()
                } else {
                    store::own(&context, &taken).await
                };
                Done::Tried {
                    connection,
                    shards: tries,
                    owned,
                }
            });
        }
        if !looks.is_empty() {
            self.looking = true;
            let context = self.context.clone();
            self.work.spawn(async move {
                let shards: Vec<u32> = looks.iter().map(|(shard, _)| *shard).collect();
                let held = claim::held(&context, &shards).await;
                // Where RabbitMQ does not say, Redis is believed.
                let is_held = |shard| held.as_ref().is_none_or(|held| held.contains(shard));
                let looks = looks.iter();
                Done::LooksAtLocks(
                    looks
                        .map(|(shard, owner)| (owner.clone(), is_held(shard)))
                        .collect(),
                )
            });
        }
    }

    fn order(&self, shard: u32, stay: Stay) {
        if let Some(order) = self.orders.get(&shard) {
            tracing::info!(shard, ?stay, "the shard leaves this process");
            order.send_modify(|order| order.stay = stay);
        }
    }

    /// Redis names nobody, or somebody else, as the owner of shards whose lock is held here: it has lost data.
    fn name_again(&mut self) {
        let held = self.share.held();
        let lost: Vec<u32> = held
            .filter(|shard| self.held.contains(shard) && !self.owners.named.contains(shard))
            .collect();
        let Some(connection) = self.connection.clone().filter(|_| !lost.is_empty()) else {
            return;
        };
        tracing::warn!(shards = ?lost, "redis does not name this process as the owner of shards that it owns");
        let context = self.context.clone();
        self.work.spawn(async move {
            let ours = claim::ours(&context, &connection, &lost).await;
            if !ours.is_empty() {
                store::own(&context, &ours).await;
                context.table.all_changed();
            }
            Done::Said
        });
    }

    fn holds(&self, connection: &Arc<Connection>) -> bool {
        let current = self.connection.as_ref();
        current.is_some_and(|current| Arc::ptr_eq(current, connection))
    }

    fn fail(&mut self, error: IngestError) {
        if self.result.is_ok() {
            tracing::error!(%error, "ending all shards");
            self.result = Err(error);
        }
        self.stop.cancel();
    }

    /// Ends all shards, and gives each to others as soon as it has ended.
    async fn end(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            let mut ended = vec![ended];
            while let Some(more) = self.tasks.try_join_next() {
                ended.push(more);
            }
            self.shards_ended(ended);
        }
        let given = async { while self.work.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_SHARDS, given).await;
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}
