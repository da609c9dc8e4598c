use proptest::prelude::*;

use super::*;

/// A section: shard, total, session, and its events with sequence, time and payload.
type Written = (u32, u32, String, Vec<(u64, u64, Vec<u8>)>);

/// A frame as version 1 was written.
fn version_1((shard, total, session, events): &Written) -> Vec<u8> {
    let mut body = b"DPF\x01".to_vec();
    body.extend(shard.to_be_bytes());
    body.extend(total.to_be_bytes());
    body.extend((session.len() as u16).to_be_bytes());
    body.extend(session.as_bytes());
    body.extend((events.len() as u32).to_be_bytes());
    for (sequence, received_us, payload) in events {
        body.extend(sequence.to_be_bytes());
        body.extend(received_us.to_be_bytes());
        body.extend((payload.len() as u32).to_be_bytes());
        body.extend(payload);
    }
    body
}

fn version_2(sections: &[Written]) -> Vec<u8> {
    let mut frame: Option<FrameBuilder> = None;
    for (shard, total, session, events) in sections {
        match &mut frame {
            Some(frame) => frame.section(*shard, *total, session),
            None => frame = Some(FrameBuilder::new(*shard, *total, session)),
        }
        for (sequence, received_us, payload) in events {
            let frame = frame.as_mut().unwrap();
            frame.push(*sequence, *received_us, payload);
        }
    }
    let frame = frame.unwrap();
    let size = frame.bytes();
    let body = frame.finish();
    assert_eq!(size, body.len());
    body
}

fn read(body: &[u8]) -> Vec<Written> {
    let sections = Frame::decode(body).unwrap().sections.into_iter();
    let section = |section: Section<'_>| {
        let events = section.events.iter();
        let events = events.map(|e| (e.sequence, e.received_us, e.payload.to_vec()));
        let events = events.collect();
        (
            section.shard,
            section.total,
            section.session.to_owned(),
            events,
        )
    };
    sections.map(section).collect()
}

fn one(payload: &[u8]) -> Vec<u8> {
    let mut frame = FrameBuilder::new(3, 16, "ab");
    frame.push(7, 9, payload);
    frame.finish()
}

#[test]
fn wire_format_is_fixed() {
    let body = one(br#"{"t":"X","d":1,"op":0}"#);
    let mut expected = b"DPF\x02\0\0\0\x01\0\0\0\x03\0\0\0\x10\0\x02ab\0\0\0\x01".to_vec();
    expected.extend(b"\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09\0\0\0\x16");
    expected.extend(b"\0\0\0\x06\x01\0\0\0\x0d\0\0\0\x01");
    expected.extend(br#"{"t":"X","d":1,"op":0}"#);
    assert_eq!(body, expected);
}

#[test]
fn version_1_is_read() {
    let body =
        b"DPF\x01\0\0\0\x03\0\0\0\x10\0\x02ab\0\0\0\x01\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09\0\0\0\x02{}";
    let expected = (3, 16, "ab".to_owned(), vec![(7, 9, b"{}".to_vec())]);
    assert_eq!(read(body), [expected]);
}

#[test]
fn a_foreign_body_is_refused() {
    assert_eq!(Frame::decode(b"{}"), Err(FrameError::NotAFrame));
    assert_eq!(
        Frame::decode(b"DPF\x03"),
        Err(FrameError::UnknownVersion(3))
    );
    let mut body = FrameBuilder::new(0, 1, "s").finish();
    body.push(0);
    assert_eq!(Frame::decode(&body), Err(FrameError::Trailing(1)));
}

#[test]
fn a_session_id_without_end_is_cut() {
    let session = "ä".repeat(40_000);
    let sections = read(&FrameBuilder::new(0, 1, &session).finish());
    assert_eq!(sections[0].2.len(), 65_534);
}

#[test]
fn name_and_data_are_found_where_the_frame_says() {
    let mut body = one(br#"{"t":"X","s":7,"op":0,"d":{"a":"b"}}"#);
    let places = body.len() - 36 - PLACES;
    let name = |body: &[u8]| {
        let frame = Frame::decode(body).unwrap();
        let dispatch = frame.sections[0].events[0].dispatch().unwrap();
        (dispatch.name.into_owned(), dispatch.data.to_owned())
    };
    let of = |name: &str, data: &str| (name.to_owned(), data.to_owned());
    assert_eq!(name(&body), of("X", r#"{"a":"b"}"#));
    body[places + 3] = 2;
    assert_eq!(name(&body), of("t", r#"{"a":"b"}"#));
    // Nowhere: the payload is read after all.
    body[places] = 1;
    assert_eq!(name(&body), of("X", r#"{"a":"b"}"#));
    body[places] = 0;
    body[places + 9] = 0xff;
    assert_eq!(name(&body), of("X", r#"{"a":"b"}"#));
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..50),
        "[{}\":,a-c0-9\\\\ é]{0,40}".prop_map(String::into_bytes),
        (
            r#""([A-Z_]{0,4}|\\u0041|é)""#,
            0..2,
            r#"\{"x":"é?"\}|null|1|\{"#
        )
            .prop_map(|(name, op, data)| format!(r#"{{"t":{name},"op":{op},"d":{data}}}"#).into()),
        r#"\{"d" ?: ?(\{"t":"Y"\}|7),"op":0, ?"t":"X"\}"#.prop_map(String::into_bytes),
        Just(br#"{"t":"RESUMED","op":0}"#.to_vec()),
        (250_usize..260)
            .prop_map(|len| format!(r#"{{"t":"{}","op":0}}"#, "N".repeat(len)).into_bytes()),
    ]
}

fn sections() -> impl Strategy<Value = Vec<Written>> {
    let event = (any::<u64>(), any::<u64>(), payloads());
    let events = prop::collection::vec(event, 0..6);
    let section = (any::<u32>(), any::<u32>(), "[a-f0-9]{0,40}", events);
    prop::collection::vec(section, 1..5)
}

proptest! {
    #[test]
    fn decode_inverts_encode(sections in sections()) {
        prop_assert_eq!(read(&version_2(&sections)), &sections[..]);
        prop_assert_eq!(read(&version_1(&sections[0])), &sections[..1]);
    }

    /// What the frame says of a payload is what reading the payload says, whatever the payload.
    #[test]
    fn a_dispatch_is_the_same_whoever_looks_for_it(sections in sections()) {
        let body = version_2(&sections);
        for section in Frame::decode(&body).unwrap().sections {
            for event in section.events {
                let text = |dispatch: Result<Dispatch<'_>, PayloadError>| {
                    let dispatch = dispatch.map_err(|error| error.to_string());
                    dispatch.map(|dispatch| (dispatch.name.into_owned(), dispatch.data.to_owned()))
                };
                prop_assert_eq!(text(event.dispatch()), text(Dispatch::parse(event.payload)));
            }
        }
    }

    #[test]
    fn no_input_panics(mut body in prop::collection::vec(any::<u8>(), 0..200), version in 0_u8..4) {
        if version > 0 {
            body.splice(0..0, [b'D', b'P', b'F', version]);
        }
        let _ = Frame::decode(&body);
    }

    /// A frame with wrong bytes is refused or read, and what is read can be looked into.
    #[test]
    fn no_damage_panics(
        sections in sections(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut body = version_2(&sections);
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        for section in Frame::decode(&body).map_or(Vec::new(), |frame| frame.sections) {
            for event in section.events {
                let _ = event.dispatch();
            }
        }
    }

    #[test]
    fn a_cut_frame_is_refused(sections in sections(), cut: prop::sample::Index) {
        for body in [version_2(&sections), version_1(&sections[0])] {
            prop_assert!(Frame::decode(&body[..cut.index(body.len())]).is_err());
        }
    }
}
