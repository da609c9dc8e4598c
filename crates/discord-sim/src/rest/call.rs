//! One request that has found its route: what it asks with, and the world that it asks.

use std::time::Instant;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::{
    body::Body,
    refusal::{Refusal, Unknown},
};
use crate::{
    state::{Shared, State},
    world::{Dispatch, Fields, Guild, Place, World, snowflake_of},
};

/// What a route answers.
#[derive(Debug)]
pub(super) enum Reply {
    /// 200 with this body.
    Json(Value),
    /// 201 with this body.
    Created(Value),
    /// 200 with what is no JSON: its type and itself.
    File(&'static str, Vec<u8>),
    /// 204.
    Empty,
}

pub(super) type Answer = Result<Reply, Refusal>;

/// See the module's documentation.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) state: &'a mut State,
    /// The path's parts that the route leaves open, by name.
    pub(super) params: Vec<(&'static str, String)>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Body,
    /// Why it is done, for the audit log.
    pub(super) reason: Option<String>,
    pub(super) now: Instant,
}

impl Call<'_> {
    pub(super) fn world(&mut self) -> &mut World {
        &mut self.state.dispatcher.world
    }

    /// A part of the path, decoded.
    pub(super) fn text(&self, name: &str) -> &str {
        let named = |(known, _): &&(&'static str, String)| *known == name;
        self.params
            .iter()
            .find(named)
            .map_or("", |(_, value)| value)
    }

    /// A part of the path that is a snowflake.
    pub(super) fn id(&self, name: &str) -> Result<u64, Refusal> {
        let text = self.text(name);
        text.parse().map_err(|_| {
            let message = format!("Value \"{text}\" is not snowflake.");
            Refusal::form(&format!("{name}_id"), "NUMBER_TYPE_COERCE", &message)
        })
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let named = self.query.iter().find(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A switch in the query, however it is written.
    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.query(name), Some("true" | "True" | "1"))
    }

    /// A number in the query, at least 1 and at most `most`.
    pub(super) fn limit(&self, default: usize, most: usize) -> Result<usize, Refusal> {
        let Some(text) = self.query("limit") else {
            return Ok(default);
        };
        match text.parse::<usize>() {
            Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
            Ok(0) => {
                let message = "int value should be greater than or equal to 1.";
                Err(Refusal::form("limit", "NUMBER_TYPE_MIN", message))
            }
            Ok(_) => {
                let message = format!("int value should be less than or equal to {most}.");
                Err(Refusal::form("limit", "NUMBER_TYPE_MAX", &message))
            }
            Err(_) => {
                let message = format!("Value \"{text}\" is not int.");
                Err(Refusal::form("limit", "NUMBER_TYPE_COERCE", &message))
            }
        }
    }

    pub(super) fn query_id(&self, name: &str) -> Option<u64> {
        self.query(name)?.parse().ok()
    }

    /// The body's object.
    pub(super) fn fields(&self) -> Result<&Fields, Refusal> {
        let invalid = || Refusal::bad(50_109, "The request body contains invalid JSON.");
        self.body.json.as_object().ok_or_else(invalid)
    }

    /// A text of the body that has to be there.
    pub(super) fn required(&self, name: &str, lengths: (usize, usize)) -> Result<String, Refusal> {
        let value = self.fields()?.get(name).filter(|value| !value.is_null());
        let value = value.ok_or_else(|| Refusal::required(name))?;
        let wrong = || {
            Refusal::form(
                name,
                "STRING_TYPE_CONVERT",
                "Could not interpret as string.",
            )
        };
        let text = value.as_str().ok_or_else(wrong)?;
        if (lengths.0..=lengths.1).contains(&text.chars().count()) {
            return Ok(text.to_owned());
        }
        let message = format!("Must be between {} and {} in length.", lengths.0, lengths.1);
        Err(Refusal::form(name, "BASE_TYPE_BAD_LENGTH", &message))
    }

    /// The guild of the path.
    pub(super) fn guild(&mut self) -> Result<&mut Guild, Refusal> {
        let guild = self.id("guild")?;
        let found = self
            .world()
            .guilds
            .get_mut(guild)
            .filter(|guild| !guild.unavailable);
        found.ok_or_else(|| Refusal::unknown(Unknown::Guild))
    }

    /// The channel of the path, which the bot may see, and where it is.
    pub(super) fn channel(&mut self) -> Result<(u64, Place), Refusal> {
        let channel = self.id("channel")?;
        let place = self.world().place(channel);
        let place = place.ok_or_else(|| Refusal::unknown(Unknown::Channel))?;
        if place.hidden {
            return Err(Refusal::missing_access());
        }
        Ok((channel, place))
    }

    /// The place in the list of users of a user that the path names, or `@me`. The guild or channel
    /// before it in the path is looked for first.
    pub(super) fn user(&mut self) -> Result<usize, Refusal> {
        if !self.text("guild").is_empty() {
            self.guild()?;
        } else if !self.text("channel").is_empty() {
            self.channel()?;
        }
        if self.text("user") == "@me" {
            return Ok(0);
        }
        let user = self.id("user")?;
        let place = self.world().user(user);
        place.ok_or_else(|| Refusal::unknown(Unknown::User))
    }

    pub(super) fn bot(&mut self) -> u64 {
        self.world().users[0].id
    }

    /// Sends a dispatch to the sessions that it concerns.
    pub(super) fn tell(&mut self, guild: Option<u64>, t: &str, intent: u64, d: &impl Serialize) {
        let dispatch = Dispatch::plain(guild, t, intent, d);
        self.dispatch(&dispatch);
    }

    pub(super) fn dispatch(&mut self, dispatch: &Dispatch) {
        self.state.dispatcher.dispatch(dispatch);
    }

    /// Tells what has been planned because of what was told, until nothing is left.
    pub(super) fn tell_consequences(&mut self) {
        while let Some(dispatch) = self.world().next_planned() {
            self.dispatch(&dispatch);
        }
    }
}

/// The snowflakes in a list of the body.
pub(super) fn ids(fields: &Fields, name: &str) -> Option<Vec<u64>> {
    let list = fields.get(name)?.as_array()?;
    list.iter().map(snowflake_of).collect()
}

/// The same, where they must be there.
pub(super) fn ids_of(call: &Call, name: &str) -> Result<Vec<u64>, Refusal> {
    ids(call.fields()?, name).ok_or_else(|| Refusal::required(name))
}

pub(super) fn json(value: impl Serialize) -> Answer {
    let value = serde_json::to_value(value);
    value.map(Reply::Json).map_err(|_| {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            0,
            "500: Internal Server Error",
        )
    })
}
