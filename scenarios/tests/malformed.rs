//! Every malformed file has its error, word for word: with file, line, column, the line and a remedy.

use squall_scenarios::Scenario;
use std::{fs, path::Path};

#[test]
fn every_malformed_file_is_refused_with_its_place_and_a_remedy() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malformed");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("malformed/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut seen = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "yaml")) {
        let name = file.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        let bytes = fs::read(file).expect("a readable file");
        let error = Scenario::parse_bytes(&format!("{name}.yaml"), &bytes, &[]).expect_err(name);
        for finding in error.findings() {
            assert!(finding.line > 0 && finding.column > 0, "{name}: no place: {finding:?}");
            assert!(
                finding.help.is_some_and(|help| !help.is_empty()),
                "{name}: no remedy: {}",
                finding.message
            );
        }
        settings.bind(|| insta::assert_snapshot!(name, error.to_string()));
        seen += 1;
    }
    assert!(seen >= 15, "only {seen} malformed files");
}

#[test]
fn the_file_of_the_design_is_read_as_written() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/design.yaml");
    let scenario = Scenario::load(&file, &[]).expect("a valid scenario");
    insta::assert_debug_snapshot!(scenario);
}
