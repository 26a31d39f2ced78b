//! Writes all reports of made-up runs into a folder, to look at: `cargo run -p squall-reports --example sample DIR`.

#[path = "../tests/sample/mod.rs"]
mod sample;

use squall_reports::Folder;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name a folder to write to")?;
    let samples = [
        ("leader-failover", sample::leader_failover()),
        ("sweep", sample::sweep(40)),
        ("hostile", sample::hostile()),
        ("unsupported", sample::unsupported()),
    ];
    for (name, runs) in samples {
        Folder::create(Path::new(&folder).join(name))?.reports(&runs)?;
    }
    Ok(())
}
