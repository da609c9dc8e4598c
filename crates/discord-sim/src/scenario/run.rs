//! Carries a scenario out.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use super::{
    Cause, Scenario, Step, StepDeed,
    bot::{Bot, Values},
    document::Since,
    duration::text,
    expectation::{Expectation, What},
    names,
    verdict::{Happened, Request, Verdict, exit_text, judge},
};
use crate::{
    dispatcher::InteractionCounts,
    server::Sim,
    state::{Counts, RestRequest, Seen},
    world::BOT_ID,
};

/// How often an expectation looks again.
const LOOK: Duration = Duration::from_millis(20);

/// What has become of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutcome {
    /// Counted from 1.
    pub number: usize,
    /// What it is called, or what it does.
    pub title: String,
    /// How long it took.
    pub took: Duration,
    /// Why it failed.
    pub failure: Option<String>,
}

/// What has become of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Steps that passed.
    pub passed: usize,
    /// Steps that failed: the first one ends the scenario.
    pub failed: usize,
    /// Steps that were not begun.
    pub left: usize,
}

/// What had happened at some moment.
#[derive(Debug, Default)]
struct Moment {
    counts: Counts,
    interactions: InteractionCounts,
    seen: Seen,
    messages: HashSet<u64>,
}

impl Moment {
    fn now(sim: &Sim) -> Self {
        let mut state = sim.state();
        let now = Instant::now();
        Self {
            counts: state.counts,
            interactions: state.dispatcher.interactions.counts(now),
            seen: state.seen(now),
            messages: state
                .dispatcher
                .world
                .written_by_bot()
                .map(|message| message.id)
                .collect(),
        }
    }
}

struct Run<'a> {
    sim: &'a Sim,
    bot: Bot,
    start: Moment,
    cause: Moment,
    known: BTreeMap<String, Value>,
    /// Loads without an end.
    loads: JoinSet<()>,
    /// Whether the bot was expected to end.
    may_have_ended: bool,
}

impl Scenario {
    /// Starts the bot by `command` (or, if that is empty, by the scenario's own) against a simulator, and goes through the
    /// steps until one fails. `report` hears of each.
    ///
    /// # Errors
    ///
    /// If the bot can't be started.
    pub async fn run(
        &self,
        sim: &Sim,
        command: &[String],
        mut report: impl FnMut(&StepOutcome),
    ) -> io::Result<Outcome> {
        let command = if command.is_empty() {
            &self.bot.command
        } else {
            command
        };
        // Before the bot can do anything.
        let (start, cause) = (Moment::now(sim), Moment::now(sim));
        let values = Values::of(sim);
        let bot = Bot::start(command, &self.bot.env, &values)?;
        let mut run = Run {
            sim,
            bot,
            start,
            cause,
            known: BTreeMap::from([("bot".to_owned(), json!({"id": BOT_ID.to_string()}))]),
            loads: JoinSet::new(),
            may_have_ended: false,
        };
        let (began, mut passed, mut failed) = (Instant::now(), 0, 0);
        for (place, step) in self.steps.iter().enumerate() {
            let at = Instant::now();
            let left = self.limit.saturating_sub(began.elapsed());
            let failure = run.step(step, left).await.err();
            let outcome = StepOutcome {
                number: place + 1,
                title: step.title.clone(),
                took: at.elapsed(),
                failure,
            };
            report(&outcome);
            if outcome.failure.is_some() {
                failed = 1;
                break;
            }
            passed += 1;
        }
        run.loads.shutdown().await;
        let within = self
            .bot
            .stop_within
            .map_or(super::STOP_WITHIN, |span| span.0);
        let at = Instant::now();
        if !run.bot.end(within).await && failed == 0 {
            failed = 1;
            report(&StepOutcome {
                number: self.steps.len() + 1,
                title: "end".to_owned(),
                took: at.elapsed(),
                failure: Some(format!(
                    "the bot did not end within {} of SIGTERM",
                    text(within)
                )),
            });
        }
        let left = self.steps.len().saturating_sub(passed + failed);
        Ok(Outcome {
            passed,
            failed,
            left,
        })
    }
}

impl Run<'_> {
    async fn step(&mut self, step: &Step, left: Duration) -> Result<(), String> {
        let limited = async {
            match &step.deed {
                StepDeed::Wait(duration) => {
                    sleep(*duration).await;
                    Ok(Value::Null)
                }
                StepDeed::Cause(cause) => self.cause(cause).await,
                StepDeed::Expect(expectation) => self.expect(expectation).await,
            }
        };
        let made = tokio::time::timeout(left, limited).await;
        let made = made.map_err(|_| "the scenario's time is over".to_owned())??;
        if let Some(name) = &step.name {
            self.known.insert(name.clone(), made);
        }
        match self.bot.exit() {
            Some(code) if !self.may_have_ended => Err(exit_text(code)),
            _ => Ok(()),
        }
    }

    async fn cause(&mut self, cause: &Cause) -> Result<Value, String> {
        self.cause = Moment::now(self.sim);
        match cause {
            Cause::Act(action) => {
                let action = names::fill(&**action, &self.known)?;
                let done = self.sim.act(&action)?;
                return Ok(json!(done));
            }
            Cause::Fault(fault, scope) => {
                self.sim.fault(*fault, *scope);
            }
            Cause::Rest(fault) => self.sim.rest_fault((**fault).clone()),
            Cause::RestNormally => self.sim.rest_normally(),
            Cause::Inject(inject) => {
                let sessions = match (&inject.t, &inject.d, &inject.raw) {
                    (Some(t), Some(d), _) => self.sim.inject(inject.shard, t, &d.to_string()),
                    (_, _, Some(raw)) => self.sim.inject_raw(inject.shard, raw),
                    _ => 0,
                };
                if sessions == 0 {
                    return Err(format!("shard {} has no session", inject.shard));
                }
            }
            Cause::Load(load) => {
                let (sim, making) = (self.sim.clone(), load.load());
                let made = async move {
                    sim.generate(making).await;
                };
                if load.ends() {
                    made.await;
                } else {
                    self.loads.spawn(made);
                }
            }
        }
        Ok(Value::Null)
    }

    async fn expect(&mut self, expectation: &Expectation) -> Result<Value, String> {
        let expectation = expectation.filled(&self.known)?;
        let ends = matches!(expectation.what, What::Exit(_));
        self.may_have_ended |= ends;
        let start = Instant::now();
        loop {
            let over = start.elapsed() >= expectation.within;
            let happened = self.happened(&expectation);
            let exit = happened.exit;
            match judge(&expectation, &happened, over) {
                Verdict::Met(found) => return Ok(found),
                Verdict::Failed(reason) => return Err(reason),
                // What it has not done by now, it never will.
                Verdict::Waiting(reason) if exit.is_some() && !ends => {
                    let end = exit_text(exit.flatten());
                    return Err(format!("{end}; {reason}"));
                }
                Verdict::Waiting(_) => sleep(LOOK).await,
            }
        }
    }

    fn happened(&mut self, expectation: &Expectation) -> Happened {
        // The end first: what the bot did before it is there.
        let exit = self.bot.exit();
        let then = match expectation.since {
            Since::Cause => &self.cause,
            Since::Start => &self.start,
        };
        let mut state = self.sim.state();
        let counts = state.counts;
        let interactions = state.dispatcher.interactions.counts(Instant::now());
        let mut happened = Happened {
            identifies: counts.identifies - then.counts.identifies,
            resumes: counts.resumes - then.counts.resumes,
            interactions: InteractionCounts {
                sent: interactions.sent - then.interactions.sent,
                answered: interactions.answered - then.interactions.answered,
                unanswered: interactions.unanswered - then.interactions.unanswered,
            },
            exit,
            ..Happened::default()
        };
        match expectation.what {
            What::Session(_) => {
                let mut sessions = state.dispatcher.sessions().peekable();
                happened.ready = sessions.peek().is_some()
                    && sessions.all(|session| session.is_connected() && session.behind() == 0);
            }
            What::Message(_) => {
                let world = &state.dispatcher.world;
                let new = world.written_by_bot();
                let new = new.filter(|message| !then.messages.contains(&message.id));
                happened.messages = new.map(|message| world.message_object(message)).collect();
            }
            What::Request { .. } => {
                let requests = state.requests_since(then.seen);
                happened.requests = requests.into_iter().filter_map(read_request).collect();
            }
            What::Command { .. } => happened.commands = state.commands_since(then.seen),
            What::Violations(_) => happened.violations = state.violations_since(then.seen),
            What::Interactions | What::Exit(_) => {}
        }
        happened
    }
}

fn read_request(request: RestRequest) -> Option<Request> {
    let (method, path) = request.route.split_once(' ')?;
    let body = serde_json::from_str(&request.body);
    Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        status: request.status,
        body: body.unwrap_or(Value::String(request.body)),
    })
}
