//! What the members of a Raft group say to each other while nothing fails (`server/raft.go`).

use super::*;

/// What members of groups of this kind said to each other meanwhile, at its arrival.
fn said(lab: &mut Lab, kind: &str, meanwhile: impl FnOnce(&mut Lab)) -> Vec<String> {
    lab.world.trace_mut().start_recording();
    meanwhile(lab);
    let of_kind = format!("Route(Raft({kind}");
    let texts = lab.world.trace_mut().take().into_iter().map(|event| event.text);
    texts.filter(|text| text.starts_with(&of_kind)).collect()
}

/// How many of them are appends with entries, empty ones, and answers.
fn counted(said: &[String]) -> [usize; 3] {
    ["entries: [Entry", "entries: []", "Appended {"]
        .map(|part| said.iter().filter(|text| text.contains(part)).count())
}

#[test]
fn n16_followers_answer_entries_and_signs_of_life_and_not_the_commit_right_behind() {
    let mut lab = Lab::new(3);
    lab.stored(NodeId(0), 0);
    lab.run(secs(3));
    let publish = |lab: &mut Lab| {
        let inbox = lab.publish(NodeId(0), 0, None);
        lab.run(millis(100));
        assert!(!lab.heard(inbox).is_empty());
    };
    assert_eq!(counted(&said(&mut lab, "Stream", publish)), [2, 2, 2]);
    let [entries, beats, answers] = counted(&said(&mut lab, "Stream", |lab| lab.run(secs(10))));
    assert_eq!((entries, beats), (0, answers), "each sign of life is answered");
    assert!((10..=20).contains(&beats), "{beats} in ten seconds from two followers");
}

#[test]
fn n16_what_one_event_proposes_goes_out_in_one_message() {
    let mut lab = Lab::new(8);
    for _ in 0..2 {
        lab.stored(NodeId(0), 0);
    }
    let id = lab.consumer(NodeId(0), Some(0), |config| config.max_ack_pending = Some(1));
    let pull = lab.pull(NodeId(0), id, 10, Some(secs(100)));
    lab.run(secs(3));
    // The ack of the first message makes room for the second.
    let acked = said(&mut lab, "Consumer", |lab| {
        lab.ack(NodeId(0), id, (1, 1, 1), AckBody::Ack);
        lab.run(millis(100));
    });
    assert_eq!(counted(&acked), [2, 2, 2]);
    let both = |text: &&String| text.contains("op: Acked(") && text.contains("op: Delivered(");
    assert_eq!(acked.iter().filter(both).count(), 2, "{acked:#?}");
    assert_eq!(lab.delivered(pull), [(1, 1, 1), (2, 2, 1)]);
}
