//! Anomalies of queues, planted in clean histories.

use super::{
    Dice,
    script::{Script, is, number, text_of},
};
use serde_json::{Value, json};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

/// Deliveries to the group that are so: their ids.
fn deliveries(script: &Script, so: impl Fn(&Script, u64) -> bool) -> Vec<u64> {
    let all = script.all(|event| is(event, "ok", "deliver") && event["group"] == "workers");
    all.into_iter().filter(|id| so(script, *id)).collect()
}

/// Whether a delivery is the last one of its message.
fn is_last(script: &Script, id: u64) -> bool {
    let value = &script.get(id)["value"];
    deliveries(script, |script, other| script.get(other)["value"] == *value).last() == Some(&id)
}

/// How a delivery was settled, if the bus confirmed it: the id of the confirmation.
fn confirmed(script: &Script, id: u64, how: &str) -> Option<u64> {
    let settle = script
        .first(|event| is(event, "invoke", "settle") && event["delivery"] == id && event["how"] == how)?;
    script.first(|event| is(event, "ok", "settle") && event["invoke"] == settle)
}

/// A poll before an event is handed a message again, as if it were fresh.
fn hand_out(script: &mut Script, before: u64, who: &str, read: &Value) -> u64 {
    let time = number(script.get(before), "time");
    let poll = json!({"f": "poll", "type": "invoke", "process": who, "group": "workers", "time": time});
    let poll = script.before(before, poll);
    let (unit, position, value) = (&read["unit"], &read["position"], &read["value"]);
    let deliver = json!({
        "f": "deliver", "process": who, "group": "workers", "unit": unit, "position": position, "value": value,
        "poll": poll, "attempt": 1, "deadline": time + 40 * MS, "time": time,
    });
    let id = script.before(before, deliver);
    script.before(before, json!({"f": "poll", "process": who, "invoke": poll, "time": time}));
    id
}

/// A message whose ack was confirmed is handed out again.
pub(super) fn forget_an_ack(script: &mut Script, dice: &mut Dice) -> bool {
    let acked = deliveries(script, |script, id| confirmed(script, id, "ack").is_some());
    let Some(id) = dice.pick(&acked) else { return false };
    let (drain, read) = (end(script), script.get(id).clone());
    hand_out(script, drain, "consumer-0", &read);
    true
}

/// The end of the work: what is put before it is after all else that consumers do.
fn end(script: &Script) -> u64 {
    script.first(|event| event["phase"] == "caught-up").expect("the consumers caught up")
}

/// A message that waits for its ack is handed to the same consumer once more, right after the first time.
pub(super) fn come_again_at_once(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((id, after)) = held(script, dice) else { return false };
    let read = script.get(id).clone();
    let who = text_of(&read, "process");
    hand_out(script, after, &who, &read);
    true
}

/// A delivery, and an event soon after its poll, when nothing is settled yet.
fn held(script: &Script, dice: &mut Dice) -> Option<(u64, u64)> {
    let id = dice.pick(&deliveries(script, |_, _| true))?;
    let poll = number(script.get(id), "poll");
    let answered = script.first(|event| is(event, "ok", "poll") && event["invoke"] == poll)?;
    let next = script.all(|_| true).into_iter().find(|other| script.at(*other) == script.at(answered) + 1)?;
    let soon = number(script.get(next), "time") < number(script.get(id), "time") + 20 * MS;
    soon.then_some((id, next))
}

/// The same message is handed to another consumer.
pub(super) fn hand_to_another(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((id, after)) = held(script, dice) else { return false };
    let read = script.get(id).clone();
    hand_out(script, after, "consumer-9", &read);
    true
}

/// The bus hands a message out as often as it likes, and says each time that it is the first.
pub(super) fn count_too_far(script: &mut Script, dice: &mut Dice) -> bool {
    let Some(id) = dice.pick(&deliveries(script, is_last)) else { return false };
    let read = script.get(id).clone();
    for _ in 0..6 {
        let end = end(script);
        hand_out(script, end, "consumer-0", &read);
    }
    true
}

/// Five fresh messages are handed out at once, where three may wait.
pub(super) fn hand_out_more(script: &mut Script, _: &mut Dice) -> bool {
    for number in 0..5u64 {
        let (end, value) = (end(script), script.fresh());
        script.send_before(end, "producer-9", "jobs/0", value, 7000 + number);
        hand_out(
            script,
            end,
            "consumer-0",
            &json!({"unit": "jobs/0", "position": 7000 + number, "value": value}),
        );
    }
    true
}

/// A fresh message with a time to live, before an event: its value.
fn mortal(script: &mut Script, before: u64, life: u64) -> u64 {
    let value = script.fresh();
    let (invoke, _) = script.send_before(before, "producer-9", "jobs/0", value, 8000);
    script.edit(invoke)["ttl"] = json!(life);
    value
}

/// A message that may live for a second is handed out after two.
pub(super) fn hand_out_the_dead(script: &mut Script, _: &mut Dice) -> bool {
    let end = end(script);
    let value = mortal(script, end, SECOND);
    script.later(end, 2 * SECOND);
    hand_out(script, end, "consumer-0", &json!({"unit": "jobs/0", "position": 8000, "value": value}));
    true
}

/// A message that may live for an hour is said to have expired at once.
pub(super) fn expire_early(script: &mut Script, _: &mut Dice) -> bool {
    let end = end(script);
    mortal(script, end, 3600 * SECOND);
    script.before(end, json!({"f": "advisory", "unit": "jobs/0", "position": 8000, "what": "expired"}));
    true
}

/// A message id is stored twice.
pub(super) fn store_twice(script: &mut Script, _: &mut Dice) -> bool {
    for position in [8000, 8001] {
        let (end, value) = (end(script), script.fresh());
        let (invoke, _) = script.send_before(end, "producer-9", "jobs/0", value, position);
        script.edit(invoke)["id"] = json!("planted");
    }
    true
}

/// A send is answered as the repeat of one that is not there.
pub(super) fn reject_the_only_copy(script: &mut Script, _: &mut Dice) -> bool {
    let (end, value) = (end(script), script.fresh());
    let (invoke, ok) = script.send_before(end, "producer-9", "jobs/0", value, 0);
    script.edit(invoke)["id"] = json!("planted");
    script.edit(ok)["duplicate"] = json!(true);
    true
}

/// An acknowledged message never comes out.
pub(super) fn lose_a_message(script: &mut Script, _: &mut Dice) -> bool {
    let (end, value) = (end(script), script.fresh());
    script.send_before(end, "producer-9", "jobs/0", value, 8000);
    true
}

/// A message that nobody sent comes out.
pub(super) fn invent_a_message(script: &mut Script, _: &mut Dice) -> bool {
    let (end, value) = (end(script), script.fresh() + 1000);
    hand_out(script, end, "consumer-0", &json!({"unit": "jobs/0", "position": 8000, "value": value}));
    true
}

/// In a log: the drain does not find a record that a consumer had read.
pub(super) fn lose_what_was_read(script: &mut Script, dice: &mut Dice) -> bool {
    let read = |value: u64| {
        script
            .first(|event| {
                is(event, "ok", "deliver") && event["group"] == "billing" && event["value"] == value
            })
            .is_some()
    };
    let list: Vec<u64> =
        script.drained().into_iter().map(|(.., value)| value).filter(|value| read(*value)).collect();
    let Some(value) = dice.pick(&list) else { return false };
    script.remove(|event| event["process"] == "drain" && event["f"] == "deliver" && event["value"] == value);
    true
}
