//! What a client asks for in the URL, in IDENTIFY and in RESUME, and Discord's checks of it (pure).

use serde_json::Value;

use super::{close::CloseCode, compression::Transport};

/// The gateway versions that are spoken here: Discord has deprecated those below 9, but still speaks them.
const VERSIONS: std::ops::RangeInclusive<u8> = 6..=10;

/// The version of a URL that names none.
const DEFAULT_VERSION: u8 = 6;

/// From this version on IDENTIFY must name intents.
const INTENTS_REQUIRED: u8 = 8;

/// What a session has that may leave out intents: all that are not privileged.
const DEFAULT_INTENTS: u64 = KNOWN_INTENTS & !(1 << 1 | 1 << 8 | 1 << 15);

/// Discord's default for `large_threshold`.
const DEFAULT_LARGE_THRESHOLD: u32 = 50;

/// More shards than any bot has; a larger total is a mistake.
const MAX_SHARDS: u32 = 1 << 20;

/// Every intent that exists: 0–16, auto moderation (20, 21), polls (24, 25).
const KNOWN_INTENTS: u64 = 0x1_ffff | (0b11 << 20) | (0b11 << 24);

/// What the gateway's rules depend on.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The bot's tokens, without `Bot `.
    pub(crate) tokens: [String; 2],
    /// Privileged intents that the application was not granted.
    pub(crate) disallowed_intents: u64,
    /// Fewer shards than this are refused.
    pub(crate) required_shards: u32,
}

impl Rules {
    /// Whether a token is the bot's; Discord takes it with and without `Bot ` in front.
    pub(crate) fn knows(&self, token: &str) -> bool {
        let token = token.strip_prefix("Bot ").unwrap_or(token);
        self.tokens.iter().any(|known| known == token)
    }
}

/// How payloads are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Text.
    Json,
    /// Erlang's external term format.
    Etf,
}

/// What the gateway URL's query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) version: u8,
    pub(crate) encoding: Encoding,
    pub(crate) transport: Transport,
}

/// Reads the gateway URL's query.
///
/// # Errors
///
/// [`CloseCode::InvalidApiVersion`] for a version that is not spoken, [`CloseCode::DecodeError`] for an
/// encoding or a compression that is not.
pub(crate) fn read_query(query: &str) -> Result<Dialect, CloseCode> {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(k, _)| *k == name).map(|(_, v)| v)
    };
    let version = value("v").map_or(Ok(DEFAULT_VERSION), str::parse);
    let version = version.ok().filter(|version| VERSIONS.contains(version));
    let encoding = match value("encoding") {
        None | Some("json") => Encoding::Json,
        Some("etf") => Encoding::Etf,
        Some(_) => return Err(CloseCode::DecodeError),
    };
    Ok(Dialect {
        version: version.ok_or(CloseCode::InvalidApiVersion)?,
        encoding,
        transport: Transport::from_query(value("compress")).ok_or(CloseCode::DecodeError)?,
    })
}

/// A valid IDENTIFY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identify {
    /// The gateway version.
    pub(crate) version: u8,
    /// Whether large payloads are to be compressed one by one.
    pub(crate) compress: bool,
    /// Shard id.
    pub(crate) shard: u32,
    /// Number of shards.
    pub(crate) total: u32,
    /// Intent bits.
    pub(crate) intents: u64,
    /// Members above which a guild's offline members are left out.
    pub(crate) large_threshold: u32,
}

impl Identify {
    /// Checks `d` of an IDENTIFY as Discord does.
    ///
    /// # Errors
    ///
    /// The close code that Discord answers with.
    pub(crate) fn read(d: &Value, version: u8, rules: &Rules) -> Result<Self, CloseCode> {
        let token = d["token"].as_str().ok_or(CloseCode::DecodeError)?;
        if !rules.knows(token) {
            return Err(CloseCode::AuthenticationFailed);
        }
        if !d["properties"].is_object() {
            return Err(CloseCode::DecodeError);
        }
        let intents = match &d["intents"] {
            Value::Null if version < INTENTS_REQUIRED => DEFAULT_INTENTS,
            intents => intents.as_u64().ok_or(CloseCode::DecodeError)?,
        };
        if intents & !KNOWN_INTENTS != 0 {
            return Err(CloseCode::InvalidIntents);
        }
        if intents & rules.disallowed_intents != 0 {
            return Err(CloseCode::DisallowedIntents);
        }
        let (shard, total) = read_shard(&d["shard"])?;
        if total < rules.required_shards {
            return Err(CloseCode::ShardingRequired);
        }
        let large_threshold = match &d["large_threshold"] {
            Value::Null => DEFAULT_LARGE_THRESHOLD,
            value => value
                .as_u64()
                .and_then(|n| u32::try_from(n).ok())
                .ok_or(CloseCode::DecodeError)?
                .clamp(50, 250),
        };
        let status = &d["presence"]["status"];
        if !(status.is_null() || is_status(status)) {
            return Err(CloseCode::DecodeError);
        }
        // Its one bit, CHANNEL_OBFUSCATION, asks for what every session has since 2026-11-16.
        if !(d["capabilities"].is_null() || d["capabilities"].is_u64()) {
            return Err(CloseCode::DecodeError);
        }
        Ok(Self {
            version,
            compress: d["compress"].as_bool().unwrap_or(false),
            shard,
            total,
            intents,
            large_threshold,
        })
    }
}

fn read_shard(value: &Value) -> Result<(u32, u32), CloseCode> {
    if value.is_null() {
        return Ok((0, 1));
    }
    let pair = value
        .as_array()
        .filter(|pair| pair.len() == 2)
        .ok_or(CloseCode::DecodeError)?;
    let number = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
    match (number(&pair[0]), number(&pair[1])) {
        (Some(shard), Some(total)) if shard < total && total <= MAX_SHARDS => Ok((shard, total)),
        _ => Err(CloseCode::InvalidShard),
    }
}

/// A RESUME with the right token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resume {
    /// The session to go on with.
    pub(crate) session_id: String,
    /// The last sequence that the client has.
    pub(crate) sequence: u64,
}

impl Resume {
    /// Checks `d` of a RESUME.
    ///
    /// # Errors
    ///
    /// The close code that Discord answers with.
    pub(crate) fn read(d: &Value, rules: &Rules) -> Result<Self, CloseCode> {
        let token = d["token"].as_str().ok_or(CloseCode::DecodeError)?;
        if !rules.knows(token) {
            return Err(CloseCode::AuthenticationFailed);
        }
        let session_id = d["session_id"]
            .as_str()
            .ok_or(CloseCode::DecodeError)?
            .to_owned();
        let sequence = d["seq"].as_u64().ok_or(CloseCode::DecodeError)?;
        Ok(Self {
            session_id,
            sequence,
        })
    }
}

/// <https://discord.com/developers/docs/events/gateway-events#update-presence-status-types>
pub(super) fn is_status(value: &Value) -> bool {
    matches!(
        value.as_str(),
        Some("online" | "dnd" | "idle" | "invisible" | "offline")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules() -> Rules {
        Rules {
            tokens: ["t".to_owned(), "long.t".to_owned()],
            disallowed_intents: 1 << 15,
            required_shards: 2,
        }
    }

    #[test]
    fn a_query_names_version_encoding_and_compression() {
        let plain = |version, encoding| Dialect {
            version,
            encoding,
            transport: Transport::Plain,
        };
        let json = plain(10, Encoding::Json);
        assert_eq!(read_query("v=10&encoding=json"), Ok(json));
        let zstd = read_query("v=10&encoding=json&compress=zstd-stream");
        assert_eq!(zstd.map(|dialect| dialect.transport), Ok(Transport::Zstd));
        assert_eq!(read_query("v=9&encoding=etf"), Ok(plain(9, Encoding::Etf)));
        assert_eq!(read_query(""), Ok(plain(6, Encoding::Json)));
        for version in ["v=5", "v=11", "v=x"] {
            assert_eq!(read_query(version), Err(CloseCode::InvalidApiVersion));
        }
        let unknown = read_query("v=10&encoding=xml");
        assert_eq!(unknown, Err(CloseCode::DecodeError));
    }

    #[test]
    fn old_versions_need_no_intents() {
        let d = json!({"token": "t", "properties": {}, "shard": [0, 2]});
        let old = Identify::read(&d, 6, &rules()).unwrap();
        assert_eq!(old.intents & (1 << 15), 0);
        assert_eq!(
            Identify::read(&d, 10, &rules()),
            Err(CloseCode::DecodeError)
        );
    }

    #[test]
    fn each_wrong_identify_has_its_close_code() {
        let good = json!({"token": "Bot t", "intents": 513, "shard": [1, 2], "properties": {}});
        let identify = Identify::read(&good, 10, &rules()).unwrap();
        assert_eq!(
            (identify.shard, identify.total, identify.intents),
            (1, 2, 513)
        );
        for (field, value, code) in [
            ("token", json!("x"), CloseCode::AuthenticationFailed),
            ("token", json!(1), CloseCode::DecodeError),
            ("properties", json!(null), CloseCode::DecodeError),
            ("intents", json!("513"), CloseCode::DecodeError),
            ("intents", json!(1 << 18), CloseCode::InvalidIntents),
            ("intents", json!(1 << 15), CloseCode::DisallowedIntents),
            ("shard", json!([2, 2]), CloseCode::InvalidShard),
            ("shard", json!([-1, 2]), CloseCode::InvalidShard),
            ("shard", json!([0, u32::MAX]), CloseCode::InvalidShard),
            ("shard", json!(1), CloseCode::DecodeError),
            ("shard", json!([0, 1]), CloseCode::ShardingRequired),
            ("large_threshold", json!("a"), CloseCode::DecodeError),
            ("capabilities", json!("32768"), CloseCode::DecodeError),
            (
                "presence",
                json!({"status": "here"}),
                CloseCode::DecodeError,
            ),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert_eq!(Identify::read(&bad, 10, &rules()), Err(code), "{bad}");
        }
    }

    #[test]
    fn a_resume_needs_token_session_and_sequence() {
        let good = json!({"token": "t", "session_id": "s", "seq": 7});
        let resume = Resume {
            session_id: "s".to_owned(),
            sequence: 7,
        };
        assert_eq!(Resume::read(&good, &rules()), Ok(resume));
        let bad = json!({"token": "t", "session_id": "s", "seq": null});
        assert_eq!(Resume::read(&bad, &rules()), Err(CloseCode::DecodeError));
    }
}
