//! Histories as the workloads write them, and what is found in them.

use super::{Workload, read};
use crate::{Report, Verdict, history::Observation, judge};

fn judged(text: &str) -> (Report, Workload) {
    let imported = read(text.as_bytes(), "history").expect("the history can be read");
    (judge(&imported.history), imported.workload)
}

/// The kinds that are forbidden.
fn kinds(text: &str) -> Vec<&'static str> {
    let (report, _) = judged(text);
    report.anomalies.iter().filter(|one| one.forbidden()).map(|one| one.kind.id()).collect()
}

const VALID: &str = r#"
{:index 0, :time 10, :process 0, :type :invoke, :f :send, :value [[:send 1 7]]}
{:index 1, :time 20, :process 0, :type :ok, :f :send, :value [[:send 1 [0 7]]]}
{:index 2, :time 30, :process 1, :type :invoke, :f :assign, :value [1], :seek-to-beginning? true}
{:index 3, :time 40, :process :nemesis, :type :info, :f :kill, :value nil}
{:index 4, :time 50, :process 1, :type :ok, :f :assign, :value [1], :seek-to-beginning? true}
{:index 5, :time 60, :process 1, :type :invoke, :f :poll, :value [[:poll]]}
{:index 6, :time 70, :process 1, :type :ok, :f :poll, :value [[:poll {1 [[0 7]]}]]}
"#;

#[test]
fn a_valid_history_in_edn_and_in_json() {
    let (report, workload) = judged(VALID);
    assert_eq!((report.verdict, workload), (Verdict::Valid, Workload::Kafka), "{}", report.reason);
    let json = r#"
{"index":0,"time":10,"process":0,"type":"invoke","f":"send","value":["send","x",7]}
{"index":1,"time":20,"process":0,"type":"ok","f":"send","value":["send","x",[0,7]]}
{"index":2,"time":60,"process":1,"type":"ok","f":"poll","value":[["poll",{"x":[[0,7]]}]]}
"#;
    let (report, _) = judged(json);
    assert_eq!(report.verdict, Verdict::Valid, "{}", report.reason);
}

#[test]
fn both_forms_tell_the_same_history() {
    let edn = read(VALID.as_bytes(), "history").expect("EDN").history;
    let vector = read(format!("[{VALID}]").as_bytes(), "history").expect("a vector").history;
    let tagged = VALID.replace("{:index", "#jepsen.history.Op{:index");
    let tagged = read(tagged.as_bytes(), "history").expect("tagged").history;
    assert_eq!(edn, vector);
    assert_eq!(edn, tagged);
}

#[test]
fn a_lost_write_of_the_kafka_workload() {
    let text = r#"
{"process":0,"time":1,"type":"ok","f":"send","value":[["send","x",[0,1]]]}
{"process":0,"time":2,"type":"ok","f":"send","value":[["send","x",[1,2]]]}
{"process":0,"time":3,"type":"ok","f":"send","value":[["send","x",[2,3]]]}
{"process":1,"time":4,"type":"ok","f":"poll","value":[["poll",{"x":[[0,1],[2,3]]}]]}
"#;
    assert!(kinds(text).contains(&"lost_write"), "{:?}", kinds(text));
}

#[test]
fn a_value_at_two_offsets_and_two_values_at_one() {
    let twice = r#"
{"process":0,"time":1,"type":"ok","f":"send","value":["send","x",[0,1]]}
{"process":1,"time":4,"type":"ok","f":"poll","value":["poll",{"x":[[0,1],[1,1]]}]}
"#;
    assert!(kinds(twice).contains(&"duplicate"), "{:?}", kinds(twice));
    let divergent = r#"
{"process":0,"time":1,"type":"ok","f":"send","value":["send","x",[0,1]]}
{"process":0,"time":1,"type":"ok","f":"send","value":["send","x",[0,2]]}
{"process":1,"time":4,"type":"ok","f":"poll","value":["poll",{"x":[[0,1]]}]}
{"process":2,"time":5,"type":"ok","f":"poll","value":["poll",{"x":[[0,2]]}]}
"#;
    assert!(kinds(divergent).contains(&"inconsistent_offsets"), "{:?}", kinds(divergent));
}

#[test]
fn what_was_aborted_or_never_sent_is_read() {
    let aborted = r#"
{"process":0,"time":1,"type":"invoke","f":"txn","value":[["send","x",1],["send","x",2]]}
{"process":0,"time":2,"type":"fail","f":"txn","value":[["send","x",[0,1]],["send","x",2]]}
{"process":0,"time":3,"type":"ok","f":"send","value":["send","x",[3,3]]}
{"process":1,"time":4,"type":"ok","f":"poll","value":["poll",{"x":[[0,1],[3,3]]}]}
"#;
    assert_eq!(kinds(aborted), ["G1a"]);
    let garbage = r#"
{"process":0,"time":1,"type":"ok","f":"send","value":["send","x",[0,1]]}
{"process":1,"time":4,"type":"ok","f":"poll","value":["poll",{"x":[[0,1],[1,99]]}]}
"#;
    assert!(kinds(garbage).contains(&"unexpected"), "{:?}", kinds(garbage));
}

#[test]
fn transactions_that_read_each_other() {
    let text = r#"
{"process":0,"time":1,"type":"invoke","f":"txn","value":[["send","x",1],["poll"]]}
{"process":1,"time":2,"type":"invoke","f":"txn","value":[["send","y",2],["poll"]]}
{"process":0,"time":3,"type":"ok","f":"txn","value":[["send","x",[0,1]],["poll",{"y":[[0,2]]}]]}
{"process":1,"time":4,"type":"ok","f":"txn","value":[["send","y",[0,2]],["poll",{"x":[[0,1]]}]]}
"#;
    assert!(kinds(text).contains(&"G1c"), "{:?}", kinds(text));
}

#[test]
fn a_transaction_that_polls_its_own_record() {
    let text =
        r#"{"process":0,"time":3,"type":"ok","f":"txn","value":[["send","x",[0,1]],["poll",{"x":[[0,1]]}]]}"#;
    assert!(kinds(text).contains(&"precommitted_read"), "{:?}", kinds(text));
}

const LISTS: &str = r#"
{:index 0, :process 0, :time 1, :type :invoke, :f :txn, :value [[:append :x 1] [:r :x nil]]}
{:index 1, :process 0, :time 2, :type :ok, :f :txn, :value [[:append :x 1] [:r :x [1]]]}
{:index 2, :process 1, :time 3, :type :invoke, :f :txn, :value [[:append :x 2] [:append :y 1]]}
{:index 3, :process 1, :time 4, :type :ok, :f :txn, :value [[:append :x 2] [:append :y 1]]}
{:index 4, :process 2, :time 5, :type :invoke, :f :txn, :value [[:r :x nil] [:r :y nil]]}
{:index 5, :process 2, :time 6, :type :ok, :f :txn, :value [[:r :x [1 2]] [:r :y [1]]]}
"#;

#[test]
fn lists_that_are_read_as_they_were_appended() {
    let (report, workload) = judged(LISTS);
    assert_eq!((report.verdict, workload), (Verdict::Valid, Workload::ListAppend), "{report:#?}");
}

#[test]
fn a_list_that_nobody_read_at_its_end_is_no_missing_evidence() {
    let (report, _) = judged(&LISTS.replace("[:append :y 1]", "[:append :y 1] [:append :z 1]"));
    assert_eq!(report.verdict, Verdict::Valid, "{report:#?}");
}

#[test]
fn a_reader_that_leaves_records_out_or_goes_back() {
    let history = |last: &str| {
        format!(
            r#"
{{"process":0,"time":1,"type":"ok","f":"send","value":["send","x",[0,1]]}}
{{"process":0,"time":2,"type":"ok","f":"send","value":["send","x",[1,2]]}}
{{"process":0,"time":3,"type":"ok","f":"send","value":["send","x",[2,3]]}}
{{"process":1,"time":4,"type":"ok","f":"poll","value":["poll",{{"x":[[0,1],[1,2],[2,3]]}}]}}
{{"process":2,"time":5,"type":"ok","f":"poll","value":["poll",{{"x":[[0,1]]}}]}}
{{"process":2,"time":6,"type":"ok","f":"poll","value":["poll",{{"x":{last}}}]}}
"#
        )
    };
    assert_eq!(kinds(&history("[[1,2],[2,3]]")), [""; 0]);
    assert!(kinds(&history("[[2,3]]")).contains(&"poll_skip"));
    assert!(kinds(&history("[[0,1],[1,2]]")).contains(&"nonmonotonic_poll"));
    assert!(kinds(&history("[[1,2],[1,2],[2,3]]")).contains(&"int_nonmonotonic_poll"));
    // A subscriber may be moved, and says so.
    let subscribe = r#"{"process":2,"time":3,"type":"ok","f":"subscribe","value":["x"]}"#;
    assert_eq!(kinds(&(subscribe.to_owned() + &history("[[2,3]]"))), [""; 0]);
}

#[test]
fn events_know_the_lines_of_their_operations() {
    let imported = read(VALID.as_bytes(), "history").expect("the history can be read");
    let read = imported.history.delivers()[0].event;
    assert_eq!((imported.history.line(read), imported.history.line(0)), (Some(8), Some(2)));
}

#[test]
fn stories_name_the_lines_of_the_file() {
    let text = r#"
{"process":0,"time":1,"type":"ok","f":"send","value":["send","x",[0,1]]}
{"process":0,"time":2,"type":"invoke","f":"send","value":["send","x",2]}
{"process":0,"time":3,"type":"ok","f":"send","value":["send","x",[1,2]]}
{"process":1,"time":4,"type":"ok","f":"poll","value":["poll",{"x":[[0,1],[2,3]]}]}
{"process":2,"time":5,"type":"info","f":"send","value":["send","x",3]}
"#;
    let (report, _) = judged(text);
    let lost = report.anomalies.iter().find(|one| one.kind.id() == "lost_write").expect("it is lost");
    assert_eq!(lost.examples[0].lines, [3, 4, 5]);
    assert!(lost.story().contains("(line 4)") && lost.story().contains("(line 5)"), "{}", lost.story());
    assert!(!lost.story().contains("event"), "{}", lost.story());
}

#[test]
fn a_nemesis_becomes_faults_and_their_healing() {
    let text = r#"
{:process 0 :time 1 :type :ok :f :send :value [:send :x [0 1]]}
{:process :nemesis :time 2 :type :info :f :start-partition :value :majority}
{:process :nemesis :time 3 :type :info :f :start-partition :value [:isolated {"n1" #{"n3"} "n2" #{"n3"} "n3" #{"n1" "n2"}}]}
{:process :nemesis :time 4 :type :info :f :kill :value :one}
{:process :nemesis :time 5 :type :info :f :kill :value {"n2" :killed}}
{:process :nemesis :time 6 :type :info :f :check-clock-offsets :clock-offsets {"n1" 0.1}}
{:process :nemesis :time 7 :type :info :f :stop-partition :value nil}
{:process :nemesis :time 8 :type :info :f :stop-partition :value :network-healed}
{:process :nemesis :time 9 :type :info :f :start :value :all}
{:process :nemesis :time 9 :type :info :f :start :value {"n2" :started}}
"#;
    let history = read(text.as_bytes(), "history").expect("the history can be read").history;
    let told: Vec<String> = history
        .notes()
        .iter()
        .filter_map(|(event, note)| match note {
            Observation::Fault(one) => {
                Some(format!("{} {} {:?} in {:?}", one.id, one.verb, one.hit, history.line(*event)))
            }
            Observation::Heal { id } => Some(format!("{id} healed in {:?}", history.line(*event))),
            _ => None,
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
    // What befell the nodes counts for the guarantees.
    let lost = text.to_owned()
        + r#"{:process 0 :time 10 :type :ok :f :send :value [:send :x [1 2]]}
{:process 1 :time 11 :type :ok :f :poll :value [:poll {:x [[0 1] [2 3]]}]}
{:process 2 :time 12 :type :info :f :send :value [:send :x 3]}"#;
    let mut history = read(lost.as_bytes(), "history").expect("the history can be read").history;
    assert_eq!(judge(&history).verdict, Verdict::Invalid);
    history.meta.configuration.acks = squall_bus::Acks::One;
    assert_eq!(judge(&history).verdict, Verdict::Valid, "{}", judge(&history).reason);
}

#[test]
fn what_lists_tell() {
    let orders = LISTS.replace(":r :x [1 2]", ":r :x [2 1]");
    assert!(kinds(&orders).contains(&"inconsistent_offsets"), "{:?}", kinds(&orders));
    let torn = LISTS
        .replace("[:append :x 2] [:append :y 1]", "[:append :x 2] [:append :x 3]")
        .replace(":r :y [1]", ":r :y []");
    assert!(kinds(&torn).contains(&"G1b"), "{:?}", kinds(&torn));
    let aborted = LISTS.replace(":time 4, :type :ok", ":time 4, :type :fail");
    assert!(kinds(&aborted).contains(&"G1a"), "{:?}", kinds(&aborted));
    let gone = LISTS.replace(":r :y [1]", ":r :y nil");
    assert!(kinds(&gone).contains(&"unseen"), "{:?}", kinds(&gone));
    let skew = LISTS.replace("[:r :x [1 2]] [:r :y [1]]", "[:r :x [1]] [:r :y [1]]")
        + "{:process 3, :time 9, :type :ok, :f :txn, :value [[:r :x [1 2]]]}";
    assert_eq!(kinds(&skew), ["G-single"]);
    let update = r#"
{:process 0, :time 1, :type :invoke, :f :txn, :value [[:r :x nil] [:append :x 1]]}
{:process 1, :time 2, :type :invoke, :f :txn, :value [[:r :x nil] [:append :x 2]]}
{:process 0, :time 3, :type :ok, :f :txn, :value [[:r :x []] [:append :x 1]]}
{:process 1, :time 4, :type :ok, :f :txn, :value [[:r :x []] [:append :x 2]]}
{:process 1, :time 5, :type :ok, :f :txn, :value [[:r :x [1 2]]]}
"#;
    assert_eq!(kinds(update), ["G-single"]);
    let stale = r#"
{:process 0, :time 1, :type :ok, :f :txn, :value [[:append :x 1]]}
{:process 1, :time 3, :type :ok, :f :txn, :value [[:r :x []]]}
{:process 1, :time 4, :type :ok, :f :txn, :value [[:r :x [1]]]}
"#;
    assert_eq!(kinds(stale), ["G-single"]);
    let future = r#"
{:process 0, :time 1, :type :invoke, :f :txn, :value [[:r :x nil] [:append :y 1]]}
{:process 1, :time 2, :type :invoke, :f :txn, :value [[:r :y nil] [:append :x 1]]}
{:process 0, :time 3, :type :ok, :f :txn, :value [[:r :x [1]] [:append :y 1]]}
{:process 1, :time 4, :type :ok, :f :txn, :value [[:r :y [1]] [:append :x 1]]}
"#;
    assert!(kinds(future).contains(&"G1c"), "{:?}", kinds(future));
}

#[test]
fn one_value_under_two_keys_is_two_values() {
    let imported = read(LISTS.as_bytes(), "history").expect("the history can be read");
    let values: Vec<u64> = imported.history.sends().iter().map(|send| send.value).collect();
    assert_eq!(values, [1_000_000_001, 1_000_000_002, 2_000_000_001]);
}

#[test]
fn what_is_wrong_is_said_with_the_line() {
    let files = [
        "",
        "{:process 0",
        "{:process 0 :type :ok :f :txn :value [[:append \"x",
        "{:process 0 :type :ok :f :txn :value [[:append :x]]}",
        "\n{:process 0 :type :maybe :f :txn :value []}",
        "{:process 0 :type :ok :f :write :value 3}",
        "{\"process\":0,\"type\":\"ok\"",
        "{\"process\":0,\"type\":\"ok\",\"f\":\"send\",\"value\":[\"send\",\"x\",1]}\n{\"process\":1",
        "[1 2]",
        "{:process 0 :type :ok :f :write :value 3}\n{:process 0 :type :ok :f :cas :value [3 4]}",
        "{:process 0 :type :invoke :f :txn :value [[:send 1 1] [:poll]]}\n{:process 0 :type :ok :f :txn :value [[:send 1 [0 1]]]}",
        "{:process 0 :type :invoke :f :txn :value [[:send 1 1]]}\n{:process 0 :type :ok :f :txn :value [[:send 2 [0 1]]]}",
        "{\"squall\":\"history\",\"version\":1}",
        "}",
        "{:process 0 :type :ok :f :send :value [[:send 1 1]]}\n{:process 0 :type :ok :f :txn :value [[:append 1 2]]}",
    ];
    let errors: Vec<String> = files
        .iter()
        .map(|file| read(file.as_bytes(), "history.edn").expect_err("it is damaged").to_string())
        .collect();
    insta::assert_snapshot!(errors.join("\n"));
}

proptest::proptest! {
    #[test]
    fn damaged_files_are_errors_and_never_a_panic(cut in 0usize..900, byte in 0u8..128, at in 0usize..900) {
        for text in [VALID, LISTS] {
            let mut bytes = text.as_bytes()[..cut.min(text.len())].to_vec();
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
            if let Ok(imported) = read(&bytes[..], "history") {
                let _ = judge(&imported.history);
            }
        }
    }
}
