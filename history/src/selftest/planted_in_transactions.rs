//! Anomalies of transactions, planted in a clean history: mostly a short scene on a topic of its own before the final
//! drain.

use super::{
    Dice,
    script::{Script, is, is_drain_read, number, text_of},
};
use serde_json::{Value, json};

/// A scene that is told before the final drain, event by event.
struct Scene<'a> {
    script: &'a mut Script,
    at: u64,
    value: u64,
}

impl<'a> Scene<'a> {
    fn new(script: &'a mut Script) -> Self {
        let (at, value) = (script.drain(), script.fresh());
        Self { script, at, value }
    }

    fn tell(&mut self, event: Value) -> u64 {
        self.script.before(self.at, event)
    }

    fn begin(&mut self, process: &str) -> u64 {
        self.tell(json!({"f": "txn", "type": "invoke", "process": process}))
    }

    fn end(&mut self, process: &str, txn: u64, side: &str) {
        self.tell(json!({"f": "txn", "type": side, "process": process, "invoke": txn}));
    }

    /// Sends a new record in a transaction. Returns its value.
    fn send(&mut self, process: &str, txn: u64, unit: &str, position: u64) -> u64 {
        self.send_with(process, txn, unit, position, json!({}))
    }

    fn send_with(&mut self, process: &str, txn: u64, unit: &str, position: u64, more: Value) -> u64 {
        let (value, topic) = (self.value, unit.split('/').next().unwrap_or(unit));
        self.value += 1;
        let mut send =
            json!({"f": "send", "type": "invoke", "process": process, "topic": topic, "value": value});
        if txn != 0 {
            send["txn"] = json!(txn);
        }
        for (field, what) in more.as_object().into_iter().flatten() {
            send[field] = what.clone();
        }
        let invoke = self.tell(send);
        self.tell(
            json!({"f": "send", "process": process, "invoke": invoke, "unit": unit, "position": position}),
        );
        value
    }

    /// Polls these records (unit, position, value) in a transaction.
    fn poll(&mut self, process: &str, txn: u64, records: &[(&str, u64, u64)]) {
        let poll = self.tell(json!({"f": "poll", "type": "invoke", "process": process, "txn": txn}));
        for (unit, position, value) in records {
            let read = json!({"f": "deliver", "process": process, "unit": unit, "position": position, "value": value, "poll": poll});
            self.tell(read);
        }
        self.tell(json!({"f": "poll", "process": process, "invoke": poll}));
    }

    /// Goes to the beginning of a list and reads all of it.
    fn read_list(&mut self, process: &str, txn: u64, unit: &str, values: &[u64]) {
        self.tell(json!({"f": "sought", "process": process, "unit": unit, "to": 0}));
        let records: Vec<(&str, u64, u64)> =
            (0..).zip(values).map(|(at, value)| (unit, at, *value)).collect();
        self.poll(process, txn, &records);
    }
}

/// A send that failed is drained all the same.
pub(super) fn read_what_failed(script: &mut Script, dice: &mut Dice) -> bool {
    let failed = script.all(|event| is(event, "fail", "send"));
    let Some(failed) = dice.pick(&failed) else { return false };
    let invoke = number(script.get(failed), "invoke");
    let value = number(script.get(invoke), "value");
    let drain = script.drain();
    script.before(
        drain,
        json!({"process": "drain", "f": "deliver", "unit": "orders/0", "position": 7000, "value": value}),
    );
    true
}

/// A record of an aborted transaction is drained.
pub(super) fn read_what_was_aborted(script: &mut Script, _: &mut Dice) -> bool {
    let mut scene = Scene::new(script);
    let txn = scene.begin("a");
    let value = scene.send("a", txn, "side/0", 0);
    scene.end("a", txn, "fail");
    scene.tell(json!({"process": "drain", "f": "deliver", "unit": "side/0", "position": 0, "value": value}));
    true
}

pub(super) fn poll_what_it_sent(script: &mut Script, _: &mut Dice) -> bool {
    let mut scene = Scene::new(script);
    let txn = scene.begin("a");
    let value = scene.send("a", txn, "side/0", 0);
    scene.poll("a", txn, &[("side/0", 0, value)]);
    scene.end("a", txn, "ok");
    true
}

/// The drain does not find one of the records of a transaction that it found another one of.
pub(super) fn tear(script: &mut Script, dice: &mut Dice) -> bool {
    let sends = script.all(|event| is(event, "invoke", "send") && event.get("txn").is_some());
    let drained = |script: &Script, send: &u64| {
        let value = number(script.get(*send), "value");
        script.first(|event| is_drain_read(event) && event["value"] == value).is_some()
    };
    let whole: Vec<u64> = sends.into_iter().filter(|send| drained(script, send)).collect();
    let partner = |script: &Script, send: u64| {
        whole.iter().any(|other| *other != send && script.get(*other)["txn"] == script.get(send)["txn"])
    };
    let acked = |script: &Script, send: u64| {
        let txn = number(script.get(send), "txn");
        script.first(|event| is(event, "ok", "txn") && event["invoke"] == txn).is_some()
    };
    let torn: Vec<u64> =
        whole.iter().copied().filter(|send| partner(script, *send) && acked(script, *send)).collect();
    let Some(send) = dice.pick(&torn) else { return false };
    let value = number(script.get(send), "value");
    script.remove(|event| is_drain_read(event) && event["value"] == value);
    true
}

pub(super) fn tear_for_a_reader(script: &mut Script, _: &mut Dice) -> bool {
    let mut scene = Scene::new(script);
    let txn = scene.begin("a");
    let one = scene.send("a", txn, "side/0", 0);
    scene.send("a", txn, "side/0", 1);
    scene.end("a", txn, "ok");
    let txn = scene.begin("a");
    let next = scene.send("a", txn, "side/0", 3);
    scene.end("a", txn, "ok");
    let txn = scene.begin("r");
    scene.poll("r", txn, &[("side/0", 0, one), ("side/0", 3, next)]);
    scene.end("r", txn, "ok");
    true
}

/// Two transactions write to two units in opposite orders.
pub(super) fn interleave(script: &mut Script, _: &mut Dice) -> bool {
    *script.configuration("isolated_writes") = json!(true);
    let mut scene = Scene::new(script);
    let (a, b) = (scene.begin("a"), scene.begin("b"));
    scene.send("a", a, "side/0", 0);
    scene.send("b", b, "side/0", 1);
    scene.send("b", b, "side/1", 0);
    scene.send("a", a, "side/1", 1);
    scene.end("a", a, "ok");
    scene.end("b", b, "ok");
    true
}

fn one_after_the_other(script: &mut Script, order: &str, second: &str) -> bool {
    *script.configuration("txn_order") = json!(order);
    let mut scene = Scene::new(script);
    let txn = scene.begin("a");
    scene.send("a", txn, "side/0", 1);
    scene.end("a", txn, "ok");
    let txn = scene.begin(second);
    scene.send(second, txn, "side/0", 0);
    scene.end(second, txn, "ok");
    true
}

pub(super) fn turn_a_process_round(script: &mut Script, _: &mut Dice) -> bool {
    one_after_the_other(script, "process", "a")
}

pub(super) fn turn_time_round(script: &mut Script, _: &mut Dice) -> bool {
    one_after_the_other(script, "realtime", "b")
}

pub(super) fn read_each_other(script: &mut Script, _: &mut Dice) -> bool {
    let mut scene = Scene::new(script);
    let (a, b) = (scene.begin("a"), scene.begin("b"));
    let one = scene.send("a", a, "side/0", 0);
    let two = scene.send("b", b, "side/1", 0);
    scene.poll("a", a, &[("side/1", 0, two)]);
    scene.poll("b", b, &[("side/0", 0, one)]);
    scene.end("a", a, "ok");
    scene.end("b", b, "ok");
    true
}

/// A transaction reads one that wrote right behind it.
pub(super) fn read_and_write_round(script: &mut Script, _: &mut Dice) -> bool {
    *script.configuration("isolated_writes") = json!(true);
    let mut scene = Scene::new(script);
    let (a, b) = (scene.begin("a"), scene.begin("b"));
    scene.send("a", a, "side/0", 0);
    scene.send("b", b, "side/0", 1);
    let other = scene.send("b", b, "side/1", 0);
    scene.end("b", b, "ok");
    scene.poll("a", a, &[("side/1", 0, other)]);
    scene.end("a", a, "ok");
    true
}

fn read_then_write_before(script: &mut Script, order: &str, writer: &str) -> bool {
    *script.configuration("txn_order") = json!(order);
    let mut scene = Scene::new(script);
    let txn = scene.begin("b");
    let read = scene.send("b", txn, "side/0", 1);
    let early = scene.begin("a");
    scene.poll("a", early, &[("side/0", 1, read)]);
    scene.end("a", early, "ok");
    let late = scene.begin(writer);
    scene.send(writer, late, "side/0", 0);
    scene.end(writer, late, "ok");
    scene.end("b", txn, "ok");
    true
}

pub(super) fn read_ahead(script: &mut Script, _: &mut Dice) -> bool {
    read_then_write_before(script, "process", "a")
}

pub(super) fn read_ahead_of_time(script: &mut Script, _: &mut Dice) -> bool {
    read_then_write_before(script, "realtime", "c")
}

/// A whole read has one record of a transaction, and misses the other.
pub(super) fn skew_a_read(script: &mut Script, _: &mut Dice) -> bool {
    *script.configuration("whole_reads") = json!(true);
    *script.configuration("txn_order") = json!("process");
    let mut scene = Scene::new(script);
    let txn = scene.begin("a");
    let one = scene.send("a", txn, "side/0", 0);
    scene.send("a", txn, "side/1", 0);
    scene.end("a", txn, "ok");
    let txn = scene.begin("r");
    scene.read_list("r", txn, "side/0", &[one]);
    scene.read_list("r", txn, "side/1", &[]);
    scene.end("r", txn, "ok");
    true
}

/// A transaction appends to a list, and does not find that when it reads the list.
pub(super) fn miss_ones_own(script: &mut Script, _: &mut Dice) -> bool {
    *script.configuration("whole_reads") = json!(true);
    *script.configuration("isolation") = json!("read-committed");
    let mut scene = Scene::new(script);
    let txn = scene.begin("a");
    scene.send("a", txn, "side/0", 0);
    scene.read_list("a", txn, "side/0", &[]);
    scene.end("a", txn, "ok");
    true
}

/// Two transactions each read the list that the other one writes to, and see nothing.
pub(super) fn skew_writes(script: &mut Script, _: &mut Dice) -> bool {
    *script.configuration("whole_reads") = json!(true);
    *script.configuration("txn_order") = json!("process");
    let mut scene = Scene::new(script);
    let (a, b) = (scene.begin("a"), scene.begin("b"));
    scene.read_list("a", a, "side/0", &[]);
    scene.read_list("b", b, "side/1", &[]);
    scene.send("a", a, "side/1", 0);
    scene.send("b", b, "side/0", 0);
    scene.end("a", a, "ok");
    scene.end("b", b, "ok");
    true
}

fn pipeline(script: &mut Script) {
    *script.configuration("pipelines") = json!([{"group": "billing", "from": "inputs", "to": "bills"}]);
}

pub(super) fn compute_twice(script: &mut Script, _: &mut Dice) -> bool {
    pipeline(script);
    let mut scene = Scene::new(script);
    let input = scene.send_with("a", 0, "inputs/0", 0, json!({}));
    for position in 0..2 {
        let txn = scene.begin("b");
        scene.send_with("b", txn, "bills/0", 2 * position, json!({"cause": input}));
        scene.end("b", txn, "ok");
    }
    true
}

pub(super) fn commit_without_a_result(script: &mut Script, _: &mut Dice) -> bool {
    pipeline(script);
    let mut scene = Scene::new(script);
    scene.send_with("a", 0, "inputs/0", 0, json!({}));
    let txn = scene.begin("b");
    let positions = json!([{"unit": "inputs/0", "position": 1}]);
    let commit = scene.tell(json!({"f": "commit", "type": "invoke", "process": "b", "group": "billing", "positions": positions, "txn": txn}));
    scene.tell(json!({"f": "commit", "process": "b", "invoke": commit}));
    scene.end("b", txn, "ok");
    true
}

pub(super) fn take_and_not_give(script: &mut Script, _: &mut Dice) -> bool {
    *script.configuration("conserved") = json!(["side"]);
    let mut scene = Scene::new(script);
    let txn = scene.begin("a");
    let taken = scene.send_with("a", txn, "side/0", 0, json!({"amount": -5}));
    scene.send_with("a", txn, "side/0", 1, json!({"amount": 5}));
    scene.end("a", txn, "ok");
    scene.tell(json!({"f": "deliver", "process": "drain", "unit": "side/0", "position": 0, "value": taken}));
    scene.tell(
        json!({"f": "drain", "process": "drain", "unit": "side/0", "from": 0, "to": 3, "complete": true}),
    );
    true
}

/// The stable end stands still, long after the end of everything.
pub(super) fn stand_still(script: &mut Script, _: &mut Dice) -> bool {
    *script.configuration("txn_timeout") = json!(1_000_000_000);
    let last = script.all(|_| true).last().map(|id| number(script.get(*id), "time")).unwrap_or_default();
    for step in [2_000_000_000u64, 4_000_000_000] {
        let time = last + step;
        let invoke = script.push(
            json!({"f": "end", "type": "invoke", "process": "admin", "unit": "orders/0", "time": time}),
        );
        script.push(
            json!({"f": "end", "process": "admin", "invoke": invoke, "high": 9, "stable": 3, "time": time}),
        );
    }
    true
}

fn init(scene: &mut Scene<'_>, process: &str, epoch: u32) {
    let invoke = scene.tell(json!({"f": "init", "type": "invoke", "process": process, "id": "pay"}));
    scene.tell(json!({"f": "init", "process": process, "invoke": invoke, "epoch": epoch}));
}

pub(super) fn send_as_a_zombie(script: &mut Script, _: &mut Dice) -> bool {
    let mut scene = Scene::new(script);
    init(&mut scene, "old", 1);
    init(&mut scene, "new", 2);
    let txn = scene.tell(json!({"f": "txn", "type": "invoke", "process": "old", "id": "pay", "epoch": 1}));
    scene.send("old", txn, "side/0", 0);
    scene.end("old", txn, "fail");
    true
}

pub(super) fn give_an_epoch_twice(script: &mut Script, _: &mut Dice) -> bool {
    let mut scene = Scene::new(script);
    init(&mut scene, "old", 1);
    init(&mut scene, "new", 1);
    true
}

/// Two sends that expect the same last record are both accepted.
pub(super) fn accept_both(script: &mut Script, dice: &mut Dice) -> bool {
    let mut scene = Scene::new(script);
    let first = scene.send_with("a", 0, "side/0", 1, json!({}));
    let expected = match dice.percent(50) {
        true => json!({"expected_position": 1}),
        false => json!({"expected_value": first}),
    };
    scene.send_with("a", 0, "side/0", 2, expected.clone());
    scene.send_with("b", 0, "side/0", 3, expected);
    true
}

/// The topic of a planted scene is no topic of the clean history.
#[test]
fn scenes_have_topics_of_their_own() {
    let script = Script::of(&super::clean::groups(3));
    let topics = script.all(|event| is(event, "invoke", "send"));
    assert!(topics.iter().all(|id| text_of(script.get(*id), "topic").starts_with("orders")));
}
