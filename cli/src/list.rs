//! `squall list`: the library, the marks, or the brokers' settings.

use crate::{Failure, args::ListArgs, show::say};
use serde::Serialize;
use serde_json::json;
use squall_scenarios::library;
use squall_sim::{BUSES, kernel::Mark, settings};

#[derive(Serialize)]
struct Scenarios {
    scenarios: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    about: String,
    covers: Vec<String>,
    expects_anomaly: bool,
}

pub(crate) fn list(args: &ListArgs) -> Result<u8, Failure> {
    if args.marks {
        return marks(args);
    }
    if args.settings {
        return broker_settings(args);
    }
    let scenarios = library::list().map_err(Failure::broken)?;
    if args.json {
        let rows = scenarios.into_iter().map(|scenario| Row {
            name: scenario.name,
            about: scenario.about,
            covers: scenario.covers,
            expects_anomaly: scenario.expects_anomaly,
        });
        let text =
            serde_json::to_string(&Scenarios { scenarios: rows.collect() }).map_err(Failure::broken)?;
        say(format_args!("{text}"))?;
        return Ok(0);
    }
    let width = scenarios.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    for scenario in scenarios {
        say(format_args!("{:width$}  {}", scenario.name, scenario.about))?;
        let expects = if scenario.expects_anomaly { "; expects an anomaly" } else { "" };
        say(format_args!("{:width$}  covers {}{expects}", "", scenario.covers.join(", ")))?;
    }
    Ok(0)
}

/// Every profile and every setting of each bus's brokers.
fn broker_settings(args: &ListArgs) -> Result<u8, Failure> {
    let buses = BUSES.iter().filter_map(|bus| settings::brokers(bus).map(|options| (bus, options)));
    if args.json {
        let bus = |(bus, options): (&&str, settings::BrokerOptions)| {
            let profiles: Vec<_> = options
                .profiles
                .iter()
                .map(|profile| json!({ "name": profile.name, "about": profile.about }))
                .collect();
            let settings: Vec<_> = options
                .settings
                .iter()
                .map(|row| {
                    json!({
                        "name": row.name, "takes": row.kind.to_string(), "unit": row.kind.unit(),
                        "default": row.default, "about": row.about,
                    })
                })
                .collect();
            json!({ "bus": bus, "profiles": profiles, "settings": settings })
        };
        let object = json!({ "brokers": buses.map(bus).collect::<Vec<_>>() });
        say(format_args!("{object}"))?;
        return Ok(0);
    }
    for (bus, options) in buses {
        for profile in &options.profiles {
            say(format_args!("topology.brokers.{bus}.profile: \"{}\"  {}", profile.name, profile.about))?;
        }
        let width = options.settings.iter().map(|row| row.name.len()).max().unwrap_or(0);
        for row in &options.settings {
            let default = format!("{} {}", row.default, row.kind.unit());
            say(format_args!("  {:width$}  {:>14}  {}", row.name, default.trim_end(), row.about))?;
        }
    }
    Ok(0)
}

/// Every mark with its sentence.
fn marks(args: &ListArgs) -> Result<u8, Failure> {
    if args.json {
        let row = |mark: &Mark| {
            let buses: Vec<&str> = BUSES.into_iter().filter(|bus| mark.is_of(bus)).collect();
            json!({ "name": mark.name(), "about": mark.about(), "buses": buses })
        };
        let object = json!({ "marks": Mark::ALL.iter().map(row).collect::<Vec<_>>() });
        say(format_args!("{object}"))?;
        return Ok(0);
    }
    let width = Mark::ALL.iter().map(|mark| mark.name().len()).max().unwrap_or(0);
    for mark in Mark::ALL {
        say(format_args!("{:width$}  {}", mark.name(), mark.about()))?;
    }
    Ok(0)
}
