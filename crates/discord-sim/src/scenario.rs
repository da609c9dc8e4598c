//! A scenario: what happens to a bot, and what it must do then, as a file of TOML.
//!
//! ```
//! # use discord_sim::Scenario;
//! let scenario = Scenario::read(
//!     r#"
//!     [[step]]
//!     expect = { session = "identified", within = "20s" }
//!
//!     [[step]]
//!     act = { do = "command", name = "ping" }
//!
//!     [[step]]
//!     expect = { interaction = "answered" }
//!     "#,
//! );
//! assert_eq!(scenario?.steps(), 3);
//! # Ok::<(), discord_sim::ScenarioError>(())
//! ```

mod bot;
mod document;
mod duration;
mod expectation;
mod names;
mod pattern;
mod run;
mod verdict;

use std::{collections::BTreeSet, time::Duration};

use toml::Spanned;

use crate::config::SimConfig;
use document::{Document, StepDocument};
use expectation::Expectation;

pub use run::{Outcome, StepOutcome};

/// How long a scenario may take if it doesn't say.
const LIMIT: Duration = Duration::from_secs(120);

/// How long a bot may take to end after SIGTERM if the scenario doesn't say.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Why a scenario can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is no TOML, or has keys or values that are not known.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// Nothing happens in it.
    #[error("the scenario has no step: nothing would happen and nothing be checked")]
    Empty,
    /// A step makes no sense.
    #[error("line {line}: {reason}")]
    Step {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Scenario {
    discord: document::Discord,
    bot: document::BotDocument,
    limit: Duration,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
struct Step {
    title: String,
    /// Later steps name by this what it has made or found.
    name: Option<String>,
    deed: StepDeed,
}

#[derive(Debug, Clone)]
enum StepDeed {
    /// Makes something happen: what is expected afterwards is looked for from here on.
    Cause(Cause),
    Wait(Duration),
    Expect(Box<Expectation>),
}

#[derive(Debug, Clone)]
enum Cause {
    Act(Box<crate::world::Action>),
    Fault(crate::faults::Fault, crate::faults::Scope),
    Rest(Box<crate::faults::RestFault>),
    RestNormally,
    Inject(document::Inject),
    Load(document::LoadDocument),
}

impl Scenario {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong, and in which line.
    pub fn read(text: &str) -> Result<Self, ScenarioError> {
        let document: Document = toml::from_str(text)?;
        if document.step.is_empty() {
            return Err(ScenarioError::Empty);
        }
        let mut named = BTreeSet::from(names::ALWAYS.map(str::to_owned));
        let mut steps = Vec::with_capacity(document.step.len());
        for step in document.step {
            let place = step.span().start;
            let line = text[..place].matches('\n').count() + 1;
            let step = read_step(step, &named);
            let step = step.map_err(|reason| ScenarioError::Step { line, reason })?;
            named.extend(step.name.clone());
            steps.push(step);
        }
        Ok(Self {
            discord: document.discord,
            bot: document.bot,
            limit: document.limit.map_or(LIMIT, |limit| limit.0),
            steps,
        })
    }

    /// How many steps it has.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// The configuration that it wants, over `base`.
    pub fn config(&self, base: SimConfig) -> SimConfig {
        self.discord.over(base)
    }
}

fn read_step(step: Spanned<StepDocument>, named: &BTreeSet<String>) -> Result<Step, String> {
    let StepDocument {
        name: title,
        r#as: name,
        act,
        fault,
        shard,
        rest,
        rest_normally,
        inject,
        load,
        wait,
        expect,
    } = step.into_inner();
    let mut deeds = Vec::new();
    let mut summary = String::new();
    let mut add = |what: &str, of: String, deed: StepDeed| {
        summary = format!("{what} {of}").trim_end().to_owned();
        deeds.push(deed);
    };
    if shard.is_some() && fault.is_none() {
        return Err("`shard` belongs to `fault`".to_owned());
    }
    if let Some(action) = act {
        names::check(&action, named)?;
        let cause = Cause::Act(Box::new(action.clone()));
        add("act", summary_of(&action), StepDeed::Cause(cause));
    }
    if let Some(fault) = fault {
        let scope = shard.map_or(crate::faults::Scope::All, crate::faults::Scope::Shard);
        let cause = Cause::Fault(fault, scope);
        add("fault", summary_of(&fault), StepDeed::Cause(cause));
    }
    if let Some(rest) = rest {
        let cause = Cause::Rest(Box::new(rest.clone()));
        add("rest", summary_of(&rest), StepDeed::Cause(cause));
    }
    match rest_normally {
        Some(true) => {
            let deed = StepDeed::Cause(Cause::RestNormally);
            add("rest_normally", String::new(), deed);
        }
        Some(false) => return Err("`rest_normally` can only be true".to_owned()),
        None => {}
    }
    if let Some(inject) = inject {
        inject.check()?;
        let of = inject.t.clone().unwrap_or_else(|| "raw".to_owned());
        add("inject", of, StepDeed::Cause(Cause::Inject(inject)));
    }
    if let Some(load) = load {
        load.check()?;
        let of = load.summary();
        add("load", of, StepDeed::Cause(Cause::Load(load)));
    }
    if let Some(wait) = wait {
        add("wait", duration::text(wait.0), StepDeed::Wait(wait.0));
    }
    if let Some(expect) = expect {
        names::check(&expect, named)?;
        let expectation = Expectation::read(expect)?;
        let of = expectation.summary();
        add("expect", of, StepDeed::Expect(Box::new(expectation)));
    }
    let count = deeds.len();
    let deed = deeds.pop().filter(|_| count == 1).ok_or_else(|| {
        "a step has one of act, fault, rest, rest_normally, inject, load, wait and expect, not \
         none or several"
            .to_owned()
    })?;
    let names_something = matches!(&deed, StepDeed::Cause(Cause::Act(_)) | StepDeed::Expect(_));
    if let Some(name) = &name {
        if !names_something {
            return Err("`as` names what an act has made or an expectation has found".to_owned());
        }
        if !names::is_name(name) {
            return Err(format!(
                "{name:?} is no name: letters, digits and _ make one"
            ));
        }
        if names::ALWAYS.contains(&name.as_str()) {
            return Err(format!("the name {name:?} is taken"));
        }
    }
    Ok(Step {
        title: title.unwrap_or(summary),
        name,
        deed,
    })
}

/// What is said of something, as compact JSON without what was left out.
fn summary_of(value: &impl serde::Serialize) -> String {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, value| {
            let is_empty = value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(serde_json::Map::is_empty);
            !value.is_null() && !is_empty
        });
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Scenario::read(text).unwrap_err().to_string()
    }

    #[test]
    fn unknown_keys_are_named_with_their_line() {
        for (text, line, name) in [
            ("limit = \"5s\"\nlimits = 1", 2, "limits"),
            ("[discord]\nguild = 3", 2, "guild"),
            ("[bot]\n\nenvironment = {}", 3, "environment"),
            (
                "[[step]]\nwait = \"1s\"\n[[step]]\nexcept = {}",
                4,
                "except",
            ),
            (
                "[[step]]\nact = { do = \"message\", text = \"a\" }",
                2,
                "text",
            ),
            (
                "[[step]]\nfault = { invalid_session = { resume = true } }",
                2,
                "resume",
            ),
            ("[[step]]\nrest = { rout = \"/\" }", 2, "rout"),
            ("[[step]]\nload = { event = 1 }", 2, "event"),
            ("[[step]]\ninject = { data = 1 }", 2, "data"),
            ("[[step]]\nexpect = { requests = \"GET /\" }", 2, "requests"),
        ] {
            let error = refused(text);
            assert!(error.contains(&format!("line {line}")), "{text}: {error}");
            let reason = error.lines().last().unwrap_or_default();
            let named =
                reason.contains(&format!("`{name}`")) || reason.contains(&format!(": {name},"));
            assert!(named, "{text}: {error}");
        }
    }

    #[test]
    fn steps_without_sense_are_named_with_their_line() {
        for (step, reason) in [
            ("name = \"nothing\"", "one of act"),
            ("wait = \"1s\"\nfault = \"drop\"", "one of act"),
            ("wait = \"1s\"\nshard = 1", "`shard` belongs"),
            ("wait = \"soon\"", "soon"),
            ("wait = \"1s\"\nas = \"a\"", "`as` names"),
            ("act = { do = \"type\" }\nas = \"a b\"", "no name"),
            ("act = { do = \"type\" }\nas = \"bot\"", "taken"),
            ("act = { do = \"edit\", content = \"{who.id}\" }", "who"),
            ("expect = {}", "one of"),
            ("expect = { resumed = 1, session = \"resumed\" }", "resumed"),
            ("expect = { request = \"/users\" }", "METHOD"),
            ("expect = { session = \"ready\", body = {} }", "`body`"),
            ("expect = { session = \"ready\", status = 200 }", "`status`"),
            (
                "expect = { interaction = \"answered\", times = 2 }",
                "`times`",
            ),
            ("load = { mix = [\"NOTHING\"], events = 1 }", "NOTHING"),
            ("inject = { t = \"A\" }", "either"),
        ] {
            let error = refused(&format!("limit = \"9s\"\n\n[[step]]\n{step}\n"));
            assert!(error.contains("line "), "{step}: {error}");
            assert!(error.contains(reason), "{step}: {error}");
        }
    }

    #[test]
    fn what_a_step_has_made_can_be_named_later_only() {
        let text = "[[step]]\nact = { do = \"message\", content = \"hi\" }\nas = \"hi\"\n\
                    [[step]]\nact = { do = \"delete\", message = \"{hi.id}\", user = \"{bot.id}\" }\n";
        assert_eq!(Scenario::read(text).unwrap().steps(), 2);
        let steps: Vec<&str> = text.split_inclusive("[[step]]").collect();
        assert_eq!(steps.len(), 3);
        let later = "[[step]]\nact = { do = \"delete\", message = \"{hi.id}\" }\n";
        assert!(refused(&format!("{later}{text}")).starts_with("line 1: "));
    }

    #[test]
    fn the_world_is_as_the_scenario_says() {
        let text = "limit = \"1m\"\n[discord]\nguilds = 3\nheartbeat_interval = \"500ms\"\n";
        assert!(refused(text).contains("no step"));
        let scenario = Scenario::read(&format!("{text}[[step]]\nwait = \"1s\"\n")).unwrap();
        let config = scenario.config(SimConfig {
            recommended_shards: 7,
            ..SimConfig::default()
        });
        assert_eq!(config.world.guilds, 3);
        assert_eq!(config.heartbeat_interval, Duration::from_millis(500));
        assert_eq!(config.recommended_shards, 7);
        assert_eq!(scenario.limit, Duration::from_secs(60));
    }
}
