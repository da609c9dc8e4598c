//! Users: shared among the guilds, with a look that changes now and then.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::words;

#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) bot: bool,
    /// Counts the changes of name and avatar.
    pub(crate) face: u16,
    /// The guilds it is a member of.
    pub(crate) guilds: Vec<u64>,
}

/// An id, written as Discord writes it: a string.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id(pub(crate) u64);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Most events have ten of them: the general way through `Display` takes several times as long.
        let (mut digits, mut from, mut left) = ([b'0'; 20], 20, self.0);
        while left > 0 || from == 20 {
            from -= 1;
            digits[from] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        match std::str::from_utf8(&digits[from..]) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_str(&self.0),
        }
    }
}

/// An id as a JSON value.
pub(crate) fn id(id: u64) -> Value {
    Value::String(id.to_string())
}

/// The user object.
#[derive(Debug, Serialize)]
pub(crate) struct UserObject {
    pub(crate) username: String,
    public_flags: u32,
    primary_guild: (),
    id: Id,
    global_name: Option<String>,
    display_name_styles: (),
    discriminator: &'static str,
    collectibles: (),
    clan: (),
    avatar_decoration_data: (),
    pub(crate) avatar: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    bot: bool,
}

impl User {
    /// The user object with the current face.
    pub(crate) fn json(&self) -> UserObject {
        self.json_with(self.face)
    }

    /// The user object with the face that a guild last heard of.
    pub(crate) fn json_with(&self, face: u16) -> UserObject {
        let look = words::scramble(self.id ^ u64::from(face));
        UserObject {
            username: words::name(self.id, "_"),
            public_flags: if look.is_multiple_of(5) { 64 } else { 0 },
            primary_guild: (),
            id: Id(self.id),
            global_name: (!look.is_multiple_of(4)).then(|| words::name(look, " ")),
            display_name_styles: (),
            discriminator: if self.bot { "4021" } else { "0" },
            collectibles: (),
            clan: (),
            avatar_decoration_data: (),
            avatar: (!look.is_multiple_of(3)).then(|| words::image(look)),
            bot: self.bot,
        }
    }

    /// What Discord tells a bot of itself (READY, USER_UPDATE, `/users/@me`).
    pub(crate) fn json_of_self(&self) -> Value {
        let mut user = json!(self.json());
        for (key, value) in [
            ("verified", Value::Bool(true)),
            ("mfa_enabled", Value::Bool(true)),
            ("email", Value::Null),
            ("flags", 0.into()),
            ("bio", words::sentence(u64::from(self.face)).into()),
            ("banner", Value::Null),
            ("accent_color", Value::Null),
        ] {
            user[key] = value;
        }
        user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_digits() {
        for number in [0, 7, 10, 83_590_800_998_531_073, u64::MAX] {
            assert_eq!(json!(Id(number)), json!(number.to_string()));
        }
    }
}
