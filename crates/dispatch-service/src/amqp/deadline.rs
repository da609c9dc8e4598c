//! Until when a command may be taken.

use dispatch_proto::command::DEADLINE_HEADER;
use lapin::{BasicProperties, types::AMQPValue};

/// The deadline of a command in a shard's queue, in milliseconds of Unix time; `None` if it has no [`DEADLINE_HEADER`] or one that
/// is no such time.
///
/// The router writes it. A client that publishes to the queue itself may too, as any integer that its library makes of the
/// number, or as text. AMQP's timestamps are seconds.
#[must_use]
pub fn deadline(command: &BasicProperties) -> Option<u64> {
    let headers = command.headers().as_ref()?;
    match headers.inner().get(DEADLINE_HEADER)? {
        AMQPValue::LongLongInt(millis) => u64::try_from(*millis).ok(),
        AMQPValue::Timestamp(seconds) => seconds.checked_mul(1_000),
        AMQPValue::LongString(text) => text.to_string().parse().ok(),
        AMQPValue::ShortString(text) => text.as_str().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldTable;

    use super::*;

    const MILLIS: u64 = 1_732_579_200_123;

    fn read(value: AMQPValue) -> Option<u64> {
        let mut headers = FieldTable::default();
        headers.insert(DEADLINE_HEADER.into(), value);
        deadline(&BasicProperties::default().with_headers(headers))
    }

    #[test]
    fn a_time_is_read_however_it_is_written() {
        assert_eq!(read(AMQPValue::LongLongInt(MILLIS as i64)), Some(MILLIS));
        assert_eq!(
            read(AMQPValue::LongString("1732579200123".into())),
            Some(MILLIS)
        );
        assert_eq!(
            read(AMQPValue::ShortString("1732579200123".into())),
            Some(MILLIS)
        );
        assert_eq!(
            read(AMQPValue::Timestamp(1_732_579_200)),
            Some(1_732_579_200_000)
        );
    }

    #[test]
    fn what_is_no_time_is_none() {
        assert_eq!(deadline(&BasicProperties::default()), None);
        for value in [
            AMQPValue::LongLongInt(-1),
            AMQPValue::LongString("soon".into()),
            AMQPValue::Timestamp(u64::MAX),
            AMQPValue::Boolean(true),
            AMQPValue::Void,
        ] {
            assert_eq!(read(value.clone()), None, "{value:?}");
        }
    }
}
