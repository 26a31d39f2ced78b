//! Table 1f, cell by cell.

use super::*;
use crate::guarantees::{AckMode, CommitPolicy, Order};

fn fault() -> Facts {
    Facts { risk: Some("`kill leader(orders/0)` struck (event 9)".into()), ..Facts::default() }
}

fn powerless(nodes: &[u32]) -> Facts {
    Facts { powerless: nodes.to_vec(), ..fault() }
}

fn acks(acks: Acks) -> Configuration {
    Configuration { acks, ..Configuration::default() }
}

fn survives(configuration: &Configuration, facts: &Facts) -> Ruling {
    Rules { configuration, expect: &Expect::default(), facts }.survival()
}

#[test]
fn loss_by_acks_and_faults() {
    let calm = Facts::default();
    assert!(!survives(&acks(Acks::None), &calm).forbids());
    assert!(survives(&acks(Acks::One), &calm).forbids());
    assert!(!survives(&acks(Acks::One), &fault()).forbids());
    assert!(survives(&acks(Acks::All), &fault()).forbids());
    assert!(survives(&acks(Acks::All), &powerless(&[1])).forbids());
    assert!(!survives(&acks(Acks::All), &powerless(&[1, 2])).forbids());
    let synced = Configuration { fsync: Fsync::Always, ..Configuration::default() };
    assert!(survives(&synced, &powerless(&[1, 2, 3])).forbids());
    let unclean = Configuration { unclean_election: true, ..Configuration::default() };
    assert!(!survives(&unclean, &fault()).forbids());
    assert!(survives(&unclean, &calm).forbids());
}

#[test]
fn expectations_forbid_loss_whatever_the_acks() {
    let expect = Expect { delivery: Some(Delivery::AtLeastOnce), ..Expect::default() };
    let rules = Rules { configuration: &acks(Acks::One), expect: &expect, facts: &fault() };
    assert!(rules.survival().forbids());
    assert!(rules.sight(true).forbids());
    assert!(rules.sight(false).undecided());
}

#[test]
fn duplicates_by_idempotence_and_expectation() {
    let rule = |idempotent, log, facts: &Facts| {
        let configuration = Configuration { idempotent, ..Configuration::default() };
        let expect = Expect { log, ..Expect::default() };
        Rules { configuration: &configuration, expect: &expect, facts }.single_append().forbids()
    };
    assert!(!rule(false, None, &fault()));
    assert!(rule(true, None, &fault()));
    assert!(rule(true, None, &powerless(&[1])));
    assert!(!rule(true, None, &powerless(&[1, 2, 3])), "what was read and then lost is sent again");
    assert!(rule(false, Some(Log::ExactlyOnce), &powerless(&[1, 2, 3])));
}

#[test]
fn order_by_what_may_overtake() {
    let facts = fault();
    let rule = |configuration: Configuration, order| {
        let expect = Expect { order, ..Expect::default() };
        let rules = Rules { configuration: &configuration, expect: &expect, facts: &facts };
        let [acked, unanswered] = [false, true].map(|late| rules.send_order(late).forbids());
        assert_eq!(unanswered, configuration.idempotent, "only sequence numbers keep a late request out");
        (acked, rules.key_order_in_log(false).forbids())
    };
    let plain = Configuration::default;
    assert_eq!(rule(plain(), None), (false, false));
    assert_eq!(rule(plain(), Some(Order::PerKey)), (false, true));
    assert_eq!(rule(Configuration { idempotent: true, ..plain() }, None), (true, true));
    assert_eq!(rule(Configuration { max_in_flight: Some(1), ..plain() }, None), (true, true));
    let once = Configuration { retries: Some(0), ..plain() };
    assert_eq!(rule(once.clone(), None), (false, false), "a leader may have refused what is sent again");
    let calm = Facts::default();
    let rules = Rules { configuration: &once, expect: &Expect::default(), facts: &calm };
    assert!(rules.send_order(false).forbids() && !rules.send_order(true).forbids());
}

#[test]
fn a_reused_place_follows_the_loss_but_readers_must_agree() {
    let rule = |configuration: &Configuration, read_twice| {
        Rules { configuration, expect: &Expect::default(), facts: &fault() }
            .single_value(read_twice)
            .forbids()
    };
    assert!(!rule(&acks(Acks::One), false));
    assert!(rule(&acks(Acks::One), true));
    assert!(rule(&acks(Acks::All), false));
    let unclean = Configuration { unclean_election: true, ..Configuration::default() };
    assert!(!rule(&unclean, true));
}

#[test]
fn processing_by_commit_policy() {
    let rule = |commit, passed| {
        let configuration = Configuration { commit, ..Configuration::default() };
        let facts = Facts::default();
        Rules { configuration: &configuration, expect: &Expect::default(), facts: &facts }.processing(passed)
    };
    assert!(rule(CommitPolicy::AfterProcessing, true).forbids());
    assert!(rule(CommitPolicy::AfterProcessing, false).undecided());
    assert!(!rule(CommitPolicy::BeforeProcessing, true).forbids());
    assert!(!rule(CommitPolicy::Auto, true).forbids());
}

#[test]
fn a_log_that_lost_its_end_is_written_anew_and_that_is_allowed_unless_something_is_demanded() {
    let configuration = Configuration { idempotent: true, ..Configuration::default() };
    let rulings = |expect: &Expect, facts: &Facts| {
        let rules = Rules { configuration: &configuration, expect, facts };
        let processing = rules.processing(true);
        [rules.single_value(true), rules.send_order(false), rules.no_jump(), processing]
            .map(|ruling| ruling.forbids())
    };
    let demanding = Expect { delivery: Some(Delivery::AtLeastOnce), ..Expect::default() };
    assert_eq!(rulings(&Expect::default(), &powerless(&[1, 2, 3])), [false; 4]);
    assert_eq!(rulings(&Expect::default(), &powerless(&[1])), [true; 4]);
    assert_eq!(rulings(&demanding, &powerless(&[1, 2, 3])), [true, false, true, true]);
}

#[test]
fn what_an_ack_settles_decides_who_may_wait_for_one() {
    let facts = Facts { clock_bound: Some(std::time::Duration::ZERO), ..Facts::default() };
    let rulings = |ack_mode| {
        let configuration = Configuration {
            ack_mode,
            exclusive: true,
            max_ack_pending: Some(1),
            ack_wait: Some(std::time::Duration::from_secs(1)),
            ..Configuration::default()
        };
        let rules = Rules { configuration: &configuration, expect: &Expect::default(), facts: &facts };
        [rules.pending_limit(), rules.one_holder(false), rules.ack_time(false)].map(|ruling| ruling.forbids())
    };
    assert_eq!(rulings(AckMode::Each), [true, true, true]);
    assert_eq!(rulings(AckMode::AllBefore), [false, false, true]);
    assert_eq!(rulings(AckMode::None), [false, false, false]);
}
