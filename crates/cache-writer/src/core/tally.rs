//! Reactions and poll votes, counted in the message that they belong to.

use super::object::{Object, string};

/// What an event says about a message's reactions or its poll.
#[derive(Debug)]
pub(super) enum Tally<'a> {
    /// Somebody reacted, or no longer does.
    Reaction {
        user: u64,
        emoji: Object<'a>,
        /// A super reaction.
        burst: bool,
        /// The colours of a super reaction, JSON text.
        colours: Option<&'a str>,
        up: bool,
    },
    /// All reactions are gone, or all with this emoji.
    NoReactions { emoji: Option<Object<'a>> },
    /// Somebody voted, or no longer does.
    Vote { user: u64, answer: u64, up: bool },
}

impl Tally<'_> {
    /// The message as it is then; none where nothing changes. `bot` is the bot's user, if known.
    pub(super) fn count(&self, message: &Object<'_>, bot: Option<u64>) -> Option<String> {
        match self {
            Self::Reaction {
                user,
                emoji,
                burst,
                colours,
                up,
            } => {
                let reaction = Reaction {
                    emoji,
                    kind: if *burst { "burst" } else { "normal" },
                    me: if *burst { "me_burst" } else { "me" },
                    own: bot == Some(*user),
                    colours: colours.filter(|_| *burst),
                };
                let reactions = message.optional_list("reactions").ok()?.unwrap_or_default();
                let counted = reaction.count(&reactions, *up)?;
                Some(with_reactions(message, &counted))
            }
            Self::NoReactions { emoji } => {
                let reactions = message.optional_list("reactions").ok()??;
                let is_gone = |text: &str| {
                    emoji.as_ref().is_none_or(|emoji| {
                        emoji_of(text).is_some_and(|other| same_emoji(&other, emoji))
                    })
                };
                let left: Vec<String> = reactions
                    .into_iter()
                    .filter(|text| !is_gone(text))
                    .map(str::to_owned)
                    .collect();
                Some(with_reactions(message, &left))
            }
            Self::Vote { user, answer, up } => vote(message, *answer, *up, bot == Some(*user)),
        }
    }
}

/// One reaction that comes or goes.
struct Reaction<'r> {
    emoji: &'r Object<'r>,
    /// Its name in `count_details`.
    kind: &'static str,
    /// The field that says that the bot reacted so.
    me: &'static str,
    own: bool,
    colours: Option<&'r str>,
}

impl Reaction<'_> {
    /// The list with it; none where nothing changes.
    fn count(&self, reactions: &[&str], up: bool) -> Option<Vec<String>> {
        let place = reactions
            .iter()
            .position(|text| emoji_of(text).is_some_and(|other| same_emoji(&other, self.emoji)));
        let mut counted: Vec<String> = reactions.iter().map(|text| (*text).to_owned()).collect();
        match place {
            None if up => counted.push(self.first()),
            None => return None,
            Some(place) => match self.another(&Object::parse(reactions[place])?, up) {
                Some(reaction) => counted[place] = reaction,
                None => drop(counted.remove(place)),
            },
        }
        Some(counted)
    }

    /// A reaction object (Discord, message page).
    fn first(&self) -> String {
        let is = |kind: &str| u8::from(self.kind == kind);
        format!(
            r#"{{"emoji":{},"count":1,"count_details":{{"burst":{},"normal":{}}},"burst_colors":{},"me_burst":{},"me":{}}}"#,
            self.emoji.text,
            is("burst"),
            is("normal"),
            self.colours.unwrap_or("[]"),
            self.own && self.me == "me_burst",
            self.own && self.me == "me",
        )
    }

    /// The reaction object with one more or fewer; none where none is left.
    fn another(&self, reaction: &Object<'_>, up: bool) -> Option<String> {
        let count = step(reaction.number("count").unwrap_or_default(), up);
        if count == 0 {
            return None;
        }
        let mut text = reaction.with_field("count", &count.to_string());
        if let Ok(details) = reaction.nested("count_details") {
            let number = step(details.number(self.kind).unwrap_or_default(), up);
            let details = details.with_field(self.kind, &number.to_string());
            text = set(&text, "count_details", &details);
        }
        if self.own {
            text = set(&text, self.me, if up { "true" } else { "false" });
        }
        if let Some(colours) = self.colours.filter(|_| up) {
            text = set(&text, "burst_colors", colours);
        }
        Some(text)
    }
}

/// Discord leaves `reactions` out where there are none.
fn with_reactions(message: &Object<'_>, reactions: &[String]) -> String {
    if reactions.is_empty() {
        return message.without_field("reactions");
    }
    message.with_field("reactions", &format!("[{}]", reactions.join(",")))
}

/// A poll without results is one that nobody has voted in yet; an answer that is not in the results
/// has no votes.
fn vote(message: &Object<'_>, answer: u64, up: bool, own: bool) -> Option<String> {
    let poll = message.nested("poll").ok()?;
    let unvoted = r#"{"is_finalized":false,"answer_counts":[]}"#;
    let results = Object::parse(poll.value("results").unwrap_or(unvoted))?;
    let counts = results
        .optional_list("answer_counts")
        .ok()?
        .unwrap_or_default();
    let is_it = |text: &&str| Object::parse(text).is_some_and(|count| count.id("id") == Ok(answer));
    let place = counts.iter().position(is_it);
    let mut counts: Vec<String> = counts.into_iter().map(str::to_owned).collect();
    match place {
        None if up => counts.push(format!(r#"{{"id":{answer},"count":1,"me_voted":{own}}}"#)),
        None => return None,
        Some(place) => {
            let count = Object::parse(&counts[place])?;
            let number = step(count.number("count").unwrap_or_default(), up);
            let mut text = count.with_field("count", &number.to_string());
            if own {
                text = set(&text, "me_voted", if up { "true" } else { "false" });
            }
            counts[place] = text;
        }
    }
    let results = results.with_field("answer_counts", &format!("[{}]", counts.join(",")));
    Some(message.with_field("poll", &poll.with_field("results", &results)))
}

fn step(number: u64, up: bool) -> u64 {
    if up {
        number.saturating_add(1)
    } else {
        number.saturating_sub(1)
    }
}

fn set(text: &str, field: &str, value: &str) -> String {
    Object::parse(text).map_or_else(|| text.to_owned(), |object| object.with_field(field, value))
}

fn emoji_of(reaction: &str) -> Option<Object<'_>> {
    Object::parse(reaction)?.nested("emoji").ok()
}

/// A custom emoji is known by its id, any other by its name.
fn same_emoji(one: &Object<'_>, other: &Object<'_>) -> bool {
    let id = |emoji: &Object<'_>| emoji.optional_id("id").ok().flatten();
    let name = |emoji: &Object<'_>| emoji.raw("name").and_then(string);
    match (id(one), id(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => name(one) == name(other),
        _ => false,
    }
}
