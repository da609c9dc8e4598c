//! Answers to the senders of commands.

use dispatch_proto::{
    codec::Encoding,
    command::{REPLY_TYPE_HEADER, Reply},
};
use lapin::{
    BasicProperties,
    types::{AMQPValue, ShortString},
};

use super::publish::{PublishError, Publisher};

/// An answer, ready to be published.
#[derive(Clone, Debug)]
pub struct Answer {
    reply_to: ShortString,
    properties: BasicProperties,
    body: Vec<u8>,
}

impl Answer {
    /// The answer to a message with these properties; `None` if its sender named no address for one.
    #[must_use]
    pub fn to(command: &BasicProperties, reply: &Reply<'_>, encoding: Encoding) -> Option<Self> {
        let reply_to = command.reply_to().clone()?;
        let mut properties =
            BasicProperties::default().with_content_type(encoding.content_type().into());
        if let Some(id) = command.correlation_id() {
            properties = properties.with_correlation_id(id.clone());
        }
        Some(Self {
            reply_to,
            properties,
            body: reply.encode(encoding),
        })
    }

    /// Publishes it through the default exchange.
    ///
    /// # Errors
    ///
    /// If the broker does not confirm it; [`PublishError::Unroutable`] if whoever asked is gone.
    pub async fn publish(&self, publisher: &Publisher) -> Result<(), PublishError> {
        let properties = self.properties.clone();
        publisher
            .publish("", self.reply_to.as_str(), true, properties, &self.body)
            .await
    }
}

/// The encoding that the sender of a command in a shard's queue reads: [`REPLY_TYPE_HEADER`], else JSON.
#[must_use]
pub fn reply_encoding(command: &BasicProperties) -> Encoding {
    let headers = command.headers().as_ref();
    let named = headers.and_then(|headers| headers.inner().get(REPLY_TYPE_HEADER));
    let named = match named {
        Some(AMQPValue::LongString(text)) => Encoding::of_content_type(&text.to_string()),
        Some(AMQPValue::ShortString(text)) => Encoding::of_content_type(text.as_str()),
        _ => None,
    };
    named.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldTable;

    use super::*;

    #[test]
    fn an_answer_is_in_the_senders_encoding_under_its_id() {
        let asked = BasicProperties::default()
            .with_reply_to("bot".into())
            .with_correlation_id("7".into());
        let answer = Answer::to(&asked, &Reply::taken(3), Encoding::MsgPack).unwrap();
        assert_eq!(answer.reply_to.as_str(), "bot");
        assert_eq!(
            *answer.properties.correlation_id(),
            Some(ShortString::from("7"))
        );
        let content_type = ShortString::from("application/x-msgpack");
        assert_eq!(*answer.properties.content_type(), Some(content_type));
        assert_eq!(answer.body, b"\x82\xa2ok\xc3\xa5shard\x03");
        let unasked = BasicProperties::default();
        assert!(Answer::to(&unasked, &Reply::taken(3), Encoding::Json).is_none());
    }

    #[test]
    fn the_encoding_is_that_of_the_header() {
        let with = |value: AMQPValue| {
            let mut headers = FieldTable::default();
            headers.insert(REPLY_TYPE_HEADER.into(), value);
            reply_encoding(&BasicProperties::default().with_headers(headers))
        };
        for encoding in [Encoding::Json, Encoding::Etf, Encoding::MsgPack] {
            let text = encoding.content_type();
            assert_eq!(with(AMQPValue::LongString(text.into())), encoding);
        }
        assert_eq!(with(AMQPValue::LongString("x".into())), Encoding::Json);
        assert_eq!(with(AMQPValue::Boolean(true)), Encoding::Json);
        assert_eq!(reply_encoding(&BasicProperties::default()), Encoding::Json);
    }
}
