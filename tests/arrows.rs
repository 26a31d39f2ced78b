//! Arrows between the rooms point down only: a crate may use any crate on a lower floor, never one above or
//! beside it, be it as a normal, a build or a dev dependency. The floors are those of the design, with the
//! examples, which use the face, on top; a workspace folder without one fails as well.

mod workspace;

use std::collections::BTreeMap;
use workspace::{Package, members};

/// The floor of each room, by its folder; the face lives at the root.
///
/// What is linked with `pin` has its overrides of libc, so it lies above everything: no room may use it.
const FLOORS: [(&str, u32); 13] = [
    ("examples/outbox", 6),
    ("examples/payments", 6),
    ("pin", 5),
    ("", 4),
    ("cli", 4),
    ("scenarios", 3),
    ("sim", 2),
    ("loadgen", 2),
    ("chaos", 2),
    ("reports", 2),
    ("adapters", 1),
    ("history", 1),
    ("bus", 0),
];

/// What is wrong with the arrows among these packages, one sentence each.
fn wrong_arrows(packages: &[Package]) -> Vec<String> {
    let floors: BTreeMap<&str, u32> = FLOORS.into();
    let folders: BTreeMap<&str, &str> =
        packages.iter().map(|package| (&*package.name, &*package.folder)).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let Some(floor) = floors.get(&*package.folder) else {
            wrong.push(format!("`{}` has no floor: give its folder one in {}", package.folder, file!()));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.name != package.name) {
            let Some(below) = folders.get(&*dependency.name).and_then(|folder| floors.get(folder)) else {
                continue;
            };
            if below >= floor {
                wrong.push(format!(
                    "{} (floor {floor}) uses {} (floor {below}) as a {} dependency: arrows point down only",
                    package.name, dependency.name, dependency.kind
                ));
            }
        }
    }
    for (folder, _) in FLOORS {
        if !packages.iter().any(|package| package.folder == folder) {
            wrong.push(format!("`{folder}` has a floor but is no member of the workspace"));
        }
    }
    wrong
}

#[test]
fn arrows_point_down() {
    let wrong = wrong_arrows(&members());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_planted_arrow_is_found_whatever_its_kind_and_direction() {
    let plain = members();
    for kind in ["normal", "dev", "build"] {
        for (from, to) in [("squall-bus", "squall-history"), ("squall-sim", "squall-chaos")] {
            let mut planted = plain.clone();
            let package = planted.iter_mut().find(|package| package.name == from).expect("a room");
            package.depend(to, kind);
            let wrong = wrong_arrows(&planted);
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            assert!(
                wrong[0].starts_with(from) && wrong[0].contains(to) && wrong[0].contains(kind),
                "{wrong:?}"
            );
        }
    }
}

#[test]
fn a_room_without_a_floor_is_found_and_so_is_a_floor_without_a_room() {
    let mut packages = members();
    packages.iter_mut().find(|package| package.folder == "loadgen").expect("a room").folder =
        "attic".to_owned();
    let wrong = wrong_arrows(&packages);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].contains("`attic` has no floor") && wrong[1].contains("`loadgen` has a floor but"));
}
