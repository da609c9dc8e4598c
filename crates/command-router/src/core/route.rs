//! What a message asks for, and where it goes.

use dispatch_proto::{
    codec::{self, Encoding},
    command::{Action, Command, Operation, Refusal, Target},
};

/// Body of a command that sends nothing to Discord.
const NO_PACKET: &str = "{}";

/// Where a message came in, which says what form it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `gateway.send`.
    Send,
    /// The Spectacles exchange, routing key `SEND`.
    SpectaclesSend,
    /// The Spectacles exchange, the shard's number as routing key.
    SpectaclesShard(u32),
}

/// What is needed of a message to decide about it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Where it came in.
    pub source: Source,
    /// Its body.
    pub body: &'a [u8],
    /// Its content type, if it has one.
    pub content_type: Option<&'a str>,
    /// Whether it names an address for the reply.
    pub wants_reply: bool,
}

impl Message<'_> {
    /// How its body is written, and so how its sender reads an answer: as its content type says, else as `setting` does;
    /// `gateway.send` has always been JSON.
    #[must_use]
    pub fn encoding(&self, setting: Encoding) -> Encoding {
        if self.source == Source::Send {
            return Encoding::Json;
        }
        let named = self.content_type.and_then(Encoding::of_content_type);
        named.unwrap_or(setting)
    }
}

/// Where a command goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// To a shard's queue.
    Forward(Forward),
    /// Nowhere: the answer is the status of this shard; of all, if it is none.
    Status(Option<u32>),
}

/// A command on its way to its shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The shard.
    pub shard: u32,
    /// What the shard is to do.
    pub operation: Operation,
    /// The body to publish.
    pub body: String,
    /// Whether it is about a guild of another shard.
    pub astray: bool,
}

/// Reads the command in a message. `encoding` is that of Spectacles messages whose content type names none, see
/// [`Message::encoding`].
///
/// # Errors
///
/// Why it can't be carried out, but for whether the shard exists.
pub fn read(message: &Message<'_>, encoding: Encoding) -> Result<Command, Refusal> {
    let command = if message.source == Source::Send {
        Command::parse(message.body)?
    } else {
        let json = codec::decode(message.body, message.encoding(encoding))?;
        match message.source {
            Source::SpectaclesShard(shard) => Command::parse_packet(shard, &json)?,
            Source::Send | Source::SpectaclesSend => Command::parse_spectacles(&json)?,
        }
    };
    if command.action == Action::Status && !message.wants_reply {
        return Err(Refusal::NoReplyTo);
    }
    Ok(command)
}

/// Finds the place of a command among `total` shards.
///
/// # Errors
///
/// If its shard does not exist.
pub fn place(command: &Command, total: u32) -> Result<Place, Refusal> {
    let shard = command.target.shard(total)?;
    let (operation, body) = match &command.action {
        Action::Send(packet) => (Operation::Send, packet.json()),
        Action::Reconnect => (Operation::Reconnect, NO_PACKET),
        Action::Identify => (Operation::Identify, NO_PACKET),
        Action::Status => {
            let one = command.target != Target::All;
            return Ok(Place::Status(one.then_some(shard)));
        }
    };
    Ok(Place::Forward(Forward {
        shard,
        operation,
        body: body.to_owned(),
        astray: command.is_astray(total),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &str = r#"{"op":4,"d":{"guild_id":"41771983423143937","channel_id":null,"self_mute":false,"self_deaf":true}}"#;

    fn message(source: Source, body: &[u8]) -> Message<'_> {
        Message {
            source,
            body,
            content_type: None,
            wants_reply: false,
        }
    }

    /// `None` while the number of shards is unknown.
    fn route(
        message: &Message<'_>,
        total: Option<u32>,
        encoding: Encoding,
    ) -> Result<Option<Place>, Refusal> {
        let command = read(message, encoding)?;
        total.map(|total| place(&command, total)).transpose()
    }

    fn forwarded(route: Result<Option<Place>, Refusal>) -> Forward {
        match route {
            Ok(Some(Place::Forward(forward))) => forward,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_source_has_its_form() {
        let send = format!(r#"{{"op":0,"shard":2,"data":{PACKET}}}"#);
        let spectacles = format!(r#"{{"guild_id":"41771983423143937","packet":{PACKET}}}"#);
        for (source, body) in [
            (Source::Send, send.as_str()),
            (Source::SpectaclesSend, &spectacles),
            (Source::SpectaclesShard(2), PACKET),
        ] {
            let message = message(source, body.as_bytes());
            let forward = forwarded(route(&message, Some(4), Encoding::Json));
            let expected = Forward {
                shard: 2,
                operation: Operation::Send,
                body: PACKET.to_owned(),
                astray: false,
            };
            assert_eq!(forward, expected, "{source:?}");
            assert!(matches!(route(&message, None, Encoding::Json), Ok(None)));
            assert!(matches!(
                route(&message, Some(1), Encoding::Json),
                Ok(Some(Place::Forward(Forward { shard: 0, .. })))
                    | Err(Refusal::UnknownShard { .. })
            ));
        }
    }

    #[test]
    fn the_content_type_wins_over_the_setting() {
        for encoding in [Encoding::Json, Encoding::Etf, Encoding::MsgPack] {
            let body = codec::encode(PACKET, encoding).unwrap();
            for setting in [Encoding::Json, Encoding::Etf, Encoding::MsgPack] {
                let message = Message {
                    content_type: Some(encoding.content_type()),
                    ..message(Source::SpectaclesShard(0), &body)
                };
                assert_eq!(forwarded(route(&message, Some(1), setting)).body, PACKET);
            }
            // No content type, or one that says nothing about the encoding.
            for content_type in [None, Some("application/octet-stream")] {
                let message = Message {
                    content_type,
                    ..message(Source::SpectaclesShard(0), &body)
                };
                assert_eq!(forwarded(route(&message, Some(1), encoding)).body, PACKET);
            }
        }
    }

    #[test]
    fn ids_from_etf_may_be_integers() {
        let json = r#"{"guild_id":41771983423143937,"packet":{"op":31,"d":{"guild_ids":[41771983423143937]}}}"#;
        let body = codec::encode(json, Encoding::Etf).unwrap();
        let forward = forwarded(route(
            &message(Source::SpectaclesSend, &body),
            Some(4),
            Encoding::Etf,
        ));
        assert_eq!(forward.shard, 2);
    }

    #[test]
    fn the_encoding_is_the_content_types_else_the_settings() {
        let encoding = |source, content_type| {
            let message = Message {
                content_type,
                ..message(source, b"")
            };
            message.encoding(Encoding::Etf)
        };
        let msgpack = Some("application/msgpack");
        for source in [Source::SpectaclesSend, Source::SpectaclesShard(1)] {
            assert_eq!(encoding(source, msgpack), Encoding::MsgPack);
            assert_eq!(encoding(source, None), Encoding::Etf);
            assert_eq!(encoding(source, Some("text/plain")), Encoding::Etf);
        }
        assert_eq!(encoding(Source::Send, msgpack), Encoding::Json);
    }

    #[test]
    fn operations_carry_no_packet() {
        for (op, operation) in [(1, Operation::Reconnect), (2, Operation::Identify)] {
            let body = format!(r#"{{"op":{op},"shard":3}}"#);
            let forward = forwarded(route(
                &message(Source::Send, body.as_bytes()),
                Some(4),
                Encoding::Json,
            ));
            assert_eq!((forward.shard, forward.operation), (3, operation));
            assert_eq!(forward.body, "{}");
        }
    }

    #[test]
    fn a_status_needs_an_address() {
        let mut message = message(Source::Send, br#"{"op":3,"shard":1}"#);
        assert!(matches!(
            route(&message, None, Encoding::Json),
            Err(Refusal::NoReplyTo)
        ));
        message.wants_reply = true;
        assert!(matches!(
            route(&message, Some(2), Encoding::Json),
            Ok(Some(Place::Status(Some(1))))
        ));
        assert!(matches!(
            route(&message, Some(1), Encoding::Json),
            Err(Refusal::UnknownShard { shard: 1, total: 1 })
        ));
        message.body = br#"{"op":4}"#;
        assert!(matches!(
            route(&message, Some(2), Encoding::Json),
            Ok(Some(Place::Status(None)))
        ));
    }

    #[test]
    fn bad_messages_are_refused_before_the_shards_are_known() {
        for source in [
            Source::Send,
            Source::SpectaclesSend,
            Source::SpectaclesShard(0),
        ] {
            for body in [&b"{"[..], b"\xff", b"[]", br#"{"op":2}"#] {
                let routed = route(&message(source, body), None, Encoding::Json);
                assert!(routed.is_err(), "{source:?} {body:?}");
            }
        }
    }

    #[test]
    fn a_command_about_another_shards_guild_is_marked() {
        let body = format!(r#"{{"op":0,"shard":1,"data":{PACKET}}}"#);
        let forward = forwarded(route(
            &message(Source::Send, body.as_bytes()),
            Some(4),
            Encoding::Json,
        ));
        assert_eq!((forward.shard, forward.astray), (1, true));
    }
}
