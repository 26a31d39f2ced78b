//! The models do what real brokers did, in every situation that there is a record of; and the page says so.

use squall_scenarios::fidelity::{SEEDS, differences, entries, modelled, page};
use std::{collections::BTreeSet, env, fs, path::Path};

fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_file_is_a_situation_under_its_name() {
    for bus in entries().iter().map(|entry| entry.bus).collect::<BTreeSet<_>>() {
        let folder = sources().join("fidelity").join(bus);
        for folder in [folder.clone(), folder.join("records")] {
            let files: BTreeSet<String> = fs::read_dir(&folder)
                .expect("the folder")
                .filter_map(|file| Some(file.ok()?.file_name().to_str()?.strip_suffix(".yaml")?.to_owned()))
                .collect();
            let names = entries().iter().filter(|entry| entry.bus == bus).map(|entry| entry.name.to_owned());
            assert_eq!(files, names.collect(), "{}", folder.display());
        }
    }
    for entry in entries() {
        let situation = entry.situation().unwrap_or_else(|error| panic!("\n{error}"));
        assert_eq!(situation.scenario.name, entry.name);
        assert!(!situation.rules.is_empty(), "{} exercises no rule", entry.name);
    }
}

#[test]
fn the_models_do_what_real_brokers_did() {
    let mut wrong = Vec::new();
    for entry in entries() {
        let situation = entry.situation().unwrap_or_else(|error| panic!("\n{error}"));
        let record = entry.record().unwrap_or_else(|error| panic!("\n{error}"));
        assert!(
            !record.runs.is_empty(),
            "{} was never run: squall fidelity {} --refresh",
            entry.name,
            entry.name
        );
        let model =
            modelled(entry, &situation, SEEDS).unwrap_or_else(|reason| panic!("{}: {reason}", entry.name));
        let differing = differences(&situation, &record.runs, &model);
        wrong.extend(differing.iter().map(|difference| format!("{}: {difference}", entry.name)));
    }
    assert!(wrong.is_empty(), "{}\nreproduce: squall fidelity", wrong.join("\n"));
}

/// The pages in the rooms of the models. `SQUALL_UPDATE=1` writes them.
#[test]
fn the_pages_are_those_of_the_records() {
    for bus in entries().iter().map(|entry| entry.bus).collect::<BTreeSet<_>>() {
        let file = sources().join("../sim/src").join(bus).join("FIDELITY.md");
        let page = page(bus).unwrap_or_else(|reason| panic!("{reason}"));
        if env::var_os("SQUALL_UPDATE").is_some() {
            fs::write(&file, &page).expect("the page is written");
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == page,
            "{} is not what the records say: SQUALL_UPDATE=1 cargo test -p squall-scenarios --test fidelity",
            file.display()
        );
    }
}
