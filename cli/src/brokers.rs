//! `squall brokers up|down|status`.

use crate::{
    Failure,
    args::{BrokersArgs, BrokersCommand},
    show::{Show, say},
};
use serde_json::{Value, json};
use squall_adapters::providers::{BUSES, buses::keep_up, cache_folder, state::State};
use std::path::Path;

/// The exit code of `status` when nothing is up: nothing is known to be there.
const NONE_UP: u8 = 3;

pub(crate) fn brokers(args: &BrokersArgs) -> Result<u8, Failure> {
    let cache = cache_folder().map_err(Failure::broken)?;
    match &args.command {
        BrokersCommand::Up { bus, nodes, json } => up(&cache, bus, *nodes, *json),
        BrokersCommand::Down { bus, json } => down(&cache, bus.as_deref(), *json),
        BrokersCommand::Status { bus, json } => status(&cache, bus.as_deref(), *json),
    }
}

/// The clusters that are up: of all buses, or of one.
fn clusters(cache: &Path, only: Option<&str>) -> Result<Vec<State>, Failure> {
    let asked = BUSES.into_iter().filter(|bus| only.is_none_or(|only| only == *bus));
    asked.filter_map(|bus| State::load(cache, bus).map_err(Failure::broken).transpose()).collect()
}

fn up(cache: &Path, bus: &str, nodes: u32, json: bool) -> Result<u8, Failure> {
    State::check_none(cache, bus).map_err(Failure::input)?;
    let show = Show::new(1);
    let started = keep_up(bus, nodes, &|line| show.note(line));
    show.finish();
    let state = started.map_err(Failure::broken)?;
    state.save(cache).map_err(Failure::broken)?;
    tell(&[state], json)?;
    Ok(0)
}

fn down(cache: &Path, only: Option<&str>, json: bool) -> Result<u8, Failure> {
    let clusters = clusters(cache, only)?;
    clusters.iter().try_for_each(|state| state.down(cache)).map_err(Failure::broken)?;
    if json {
        let ended: usize = clusters.iter().map(|state| state.nodes.len()).sum();
        say(format_args!("{}", json!({ "ended": ended })))?;
        return Ok(0);
    }
    if clusters.is_empty() {
        say(format_args!("no cluster was up"))?;
    }
    for state in &clusters {
        say(format_args!("{}: {} nodes ended, their data removed", state.bus, state.nodes.len()))?;
    }
    Ok(0)
}

fn status(cache: &Path, only: Option<&str>, json: bool) -> Result<u8, Failure> {
    let clusters = clusters(cache, only)?;
    if !clusters.is_empty() || json {
        tell(&clusters, json)?;
    } else {
        say(format_args!("no cluster is up; `squall brokers up` starts one"))?;
    }
    Ok(if clusters.is_empty() { NONE_UP } else { 0 })
}

fn tell(clusters: &[State], json: bool) -> Result<(), Failure> {
    if json {
        let list: Vec<Value> = clusters.iter().map(as_json).collect();
        say(format_args!("{}", json!({ "up": !list.is_empty(), "clusters": list })))?;
        return Ok(());
    }
    for state in clusters {
        say(format_args!("{} is up at {}", state.bus, state.bootstrap()))?;
        for (number, node) in (1..).zip(&state.nodes) {
            let life = if node.is_alive() { "runs" } else { "is gone" };
            say(format_args!("node {number}: process {} {life}, log {}", node.pid, node.log.display()))?;
        }
        say(format_args!("`squall brokers down --bus {}` ends it", state.bus))?;
    }
    Ok(())
}

fn as_json(state: &State) -> Value {
    let node = |node: &squall_adapters::providers::state::StateNode| json!({ "pid": node.pid, "address": node.address, "alive": node.is_alive(), "log": node.log });
    let nodes: Vec<Value> = state.nodes.iter().map(node).collect();
    json!({ "bus": state.bus, "bootstrap": state.bootstrap(), "nodes": nodes })
}
