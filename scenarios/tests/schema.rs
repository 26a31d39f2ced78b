//! The JSON Schema: generated from the types, committed, fresh, and true to the parser.

use squall_scenarios::{Scenario, capsule, format, library};
use std::{env, fs, path::Path};

/// `SQUALL_UPDATE=1 cargo test -p squall-scenarios` writes them anew.
#[test]
fn the_committed_schemas_are_fresh() {
    for (name, fresh) in
        [("scenario.schema.json", format::schema()), ("capsule.schema.json", capsule::schema())]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if env::var_os("SQUALL_UPDATE").is_some() {
            fs::write(&path, &fresh).expect("a writable folder");
        }
        let found = fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == fresh,
            "{name} is stale: run SQUALL_UPDATE=1 cargo test -p squall-scenarios --test schema"
        );
    }
}

#[test]
fn the_schema_of_capsules_accepts_the_committed_ones_and_no_other_keys() {
    let schema: serde_json::Value = serde_json::from_str(&capsule::schema()).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("capsules");
    for entry in fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a file");
        let value = json(&text).expect("YAML");
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{}", path.display());
        let bad = json(&text.replace("\nseed: ", "\nsead: ")).expect("YAML");
        assert!(!validator.is_valid(&bad));
    }
}

/// A YAML text as JSON, as an editor would see it.
fn json(text: &str) -> Option<serde_json::Value> {
    serde_saphyr::from_str(text).ok()
}

#[test]
fn the_schema_accepts_every_scenario_of_the_library() {
    let schema: serde_json::Value = serde_json::from_str(&format::schema()).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    for entry in library::entries() {
        let value = json(entry.text).expect("YAML");
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{}", entry.name);
        // What a scenario writes of itself is a scenario again, and the same one.
        let scenario = entry.scenario(&[]).expect("valid");
        let text = serde_json::to_string(&scenario).expect("JSON");
        let again = Scenario::parse("again.json", &text, &[])
            .unwrap_or_else(|error| panic!("{}\n{error}", entry.name));
        assert_eq!(scenario, again);
    }
}

/// What the types alone refuse, the schema refuses; what only fits together badly, it cannot know.
#[test]
fn the_schema_refuses_what_the_types_refuse() {
    let schema: serde_json::Value = serde_json::from_str(&format::schema()).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    for name in [
        "unknown-key",
        "unknown-key-at-the-top",
        "unknown-fault-verb",
        "wrong-type",
        "map-where-text-belongs",
        "unknown-word",
        "unknown-role",
        "zero-count",
        "duration-without-unit",
        "rate-without-unit",
        "ratio-as-a-float",
        "bound-without-relation",
        "missing-key",
        "a-list",
        "a-text",
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/malformed/{name}.yaml"));
        let value = json(&fs::read_to_string(file).expect(name)).expect(name);
        assert!(!validator.is_valid(&value), "the schema accepts {name}.yaml");
    }
}
