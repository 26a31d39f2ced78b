//! `squall list`.

use crate::{Failure, args::ListArgs, show::say};
use serde::Serialize;
use squall_scenarios::library;

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
