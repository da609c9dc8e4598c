use super::check;

const BOT: (&str, &str) = ("bot_user", r#"{"id":"7"}"#);

fn reaction(emoji: &str, user: &str, burst: bool) -> String {
    format!(
        r##"{{"user_id":"{user}","channel_id":"3","message_id":"8","guild_id":"1","emoji":{emoji},"burst":{burst},"burst_colors":["#fff"],"type":0}}"##
    )
}

/// Applies events to a message with and without what stands after its id.
fn step(name: &str, data: &str, before: &str, after: &str) {
    let message = |more: &str| format!(r#"{{"id":"8"{more}}}"#);
    let (before, after) = (message(before), message(after));
    check(
        &[BOT, ("message:3:8", &before)],
        name,
        data,
        Some(&before),
        &[BOT, ("message:3:8", &after)],
    );
    check(&[], name, data, None, &[]);
}

const FIRE: &str = r#"{"id":null,"name":"🔥"}"#;
const OWN: &str = r#"{"id":"5","name":"a"}"#;

#[test]
fn reactions_come_and_go() {
    let fire = |count: u32, me: bool| {
        format!(
            r#"{{"emoji":{FIRE},"count":{count},"count_details":{{"burst":0,"normal":{count}}},"burst_colors":[],"me_burst":false,"me":{me}}}"#
        )
    };
    let list = |reactions: &[&str]| format!(r#","reactions":[{}]"#, reactions.join(","));
    let (one, two, mine) = (fire(1, false), fire(2, false), fire(2, true));
    let by = |user: &str| reaction(FIRE, user, false);
    let (add, remove) = ("MESSAGE_REACTION_ADD", "MESSAGE_REACTION_REMOVE");
    step(add, &by("2"), "", &list(&[&one]));
    step(add, &by("2"), &list(&[&one]), &list(&[&two]));
    step(add, &by("7"), &list(&[&one]), &list(&[&mine]));
    step(remove, &by("7"), &list(&[&mine]), &list(&[&one]));
    step(remove, &by("2"), &list(&[&one]), "");
    step(remove, &by("2"), "", "");

    let burst = format!(
        r##"{{"emoji":{OWN},"count":1,"count_details":{{"burst":1,"normal":0}},"burst_colors":["#fff"],"me_burst":true,"me":false}}"##
    );
    step(add, &reaction(OWN, "7", true), "", &list(&[&burst]));
    // A custom emoji is known by its id alone.
    let nameless = reaction(r#"{"id":"5","name":null}"#, "7", true);
    step(remove, &nameless, &list(&[&burst]), "");

    let both = list(&[&one, &burst]);
    let of = |emoji: &str| format!(r#"{{"channel_id":"3","message_id":"8","emoji":{emoji}}}"#);
    let remove_emoji = "MESSAGE_REACTION_REMOVE_EMOJI";
    step(remove_emoji, &of(FIRE), &both, &list(&[&burst]));
    step(remove_emoji, &of(OWN), &both, &list(&[&one]));
    let all = r#"{"channel_id":"3","message_id":"8"}"#;
    step("MESSAGE_REACTION_REMOVE_ALL", all, &both, "");
    step("MESSAGE_REACTION_REMOVE_ALL", all, "", "");
}

#[test]
fn votes_are_counted() {
    let by = |user: &str, answer: u32| {
        format!(r#"{{"user_id":"{user}","channel_id":"3","message_id":"8","answer_id":{answer}}}"#)
    };
    let poll = |counts: &str| {
        format!(
            r#","poll":{{"answers":[],"results":{{"is_finalized":false,"answer_counts":[{counts}]}}}}"#
        )
    };
    let (add, remove) = ("MESSAGE_POLL_VOTE_ADD", "MESSAGE_POLL_VOTE_REMOVE");
    let first = poll(r#"{"id":1,"count":1,"me_voted":false}"#);
    step(add, &by("2", 1), r#","poll":{"answers":[]}"#, &first);
    let own = poll(r#"{"id":1,"count":2,"me_voted":true}"#);
    step(add, &by("7", 1), &first, &own);
    step(remove, &by("7", 1), &own, &first);
    let two = poll(r#"{"id":1,"count":1,"me_voted":false},{"id":2,"count":1,"me_voted":false}"#);
    step(add, &by("2", 2), &first, &two);
    step(remove, &by("2", 3), &first, &first);
    step(add, &by("2", 1), "", "");
}
