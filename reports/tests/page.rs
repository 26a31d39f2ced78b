//! The page: complete, self-contained, small, and proof against text from outside.

mod sample;

use squall_reports::{Exporter, Html, Run, Runs};

fn page(runs: &Runs) -> String {
    Html.export(runs).expect("a page can always be written")
}

/// The page without its own style and script.
fn body(page: &str) -> &str {
    let body = page.split_once("<body>").expect("there is a body").1;
    body.rsplit_once("<script>").expect("there is a script").0
}

#[test]
fn has_everything_that_happened() {
    let runs = sample::leader_failover();
    let page = page(&runs);
    let body = body(&page);
    for run in &runs.runs {
        for says in [&run.started.target, &run.started.reproduce, run.reason()] {
            assert!(body.contains(says), "{says}");
        }
        for fault in &run.faults {
            assert!(
                body.contains(&format!("#{} {} {}", fault.struck.id, fault.struck.verb, fault.struck.role))
            );
        }
        for anomaly in run.anomalies() {
            assert!(body.contains(anomaly.clause()));
            for example in &anomaly.examples {
                assert!(body.contains(&example.story[0]) && body.contains(&example.story[1]));
            }
        }
    }
    let verdict = body.find("verdict-line").expect("there is a verdict");
    let command = body.find("squall run leader-failover").expect("there is a command");
    let first_section = body.find("<section").expect("there are sections");
    assert!(verdict < command && command < first_section, "the verdict and the command come first");
}

#[test]
fn charts_show_lines_bands_and_healing() {
    let runs = sample::leader_failover();
    let page = page(&runs);
    let count = |what: &str| page.matches(what).count();
    assert_eq!(count("<figure"), 6);
    assert_eq!(count("class=\"band\""), 24);
    assert_eq!(count("class=\"heal-mark\""), 18, "a fault that hit nobody is not healed");
    assert_eq!(count("class=\"missed\""), 6);

    let mut blind: Run = runs.runs[0].clone();
    blind.measured = None;
    let without = self::page(&Runs { runs: vec![blind], ..runs });
    assert!(!without.contains("<figure") && without.contains("Nothing was measured"));
}

#[test]
fn loads_nothing() {
    let page = page(&sample::leader_failover());
    // The one address in it is the name of SVG in the script, which nothing loads.
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for way_out in ["http://", "https://", "//cdn", "src=", "@import", "url(", "<link"] {
        assert!(!page.contains(way_out), "{way_out}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn is_small() {
    let mut run = sample::valid("sim:kafka", 1);
    run.measured = None;
    let alone = page(&Runs { runs: vec![run], ..Runs::new("leader-failover", "") });
    assert!(alone.len() < 30_000, "{} bytes without any chart", alone.len());
    let charts = page(&sample::leader_failover());
    assert!(charts.len() < 150_000, "{} bytes with six charts", charts.len());
}

#[test]
fn hostile_text_stays_text() {
    let page = page(&sample::hostile());
    assert_eq!(page.matches("<script").count(), 1, "the page's own");
    assert_eq!(page.matches("</script").count(), 1);
    assert_eq!(page.matches("<style").count(), 1);
    assert!(!body(&page).contains("<img"));
    assert!(!body(&page).contains("onerror=\""), "no attribute was broken out of");
    assert!(body(&page).contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "the text itself is shown");
}

#[test]
fn of_many_runs_the_worst_have_sections() {
    let page = page(&sample::sweep(200));
    assert_eq!(page.matches("<section class=\"run\"").count(), 12);
    assert!(page.contains("sim:kafka<span class=\"seed\"> seed 200<"), "the broken one is among them");
    assert!(page.contains("and 180 more"));
    assert!(page.contains("in 66 of 200 runs on sim:kafka, seeds 3, 6, 9"));
}

#[test]
fn equal_runs_give_equal_pages() {
    assert_eq!(page(&sample::leader_failover()), page(&sample::leader_failover()));
}
