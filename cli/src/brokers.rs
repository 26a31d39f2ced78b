//! `squall brokers up|down|status`.

use crate::{
    Failure,
    args::{BrokersArgs, BrokersCommand},
    show::{Show, say},
};
use serde_json::json;
use squall_adapters::providers::{
    cache_folder,
    kafka::{KafkaOptions, LocalKafka},
    state::State,
};
use std::path::Path;

/// The exit code of `status` when nothing is up: nothing is known to be there.
const NONE_UP: u8 = 3;

pub(crate) fn brokers(args: &BrokersArgs) -> Result<u8, Failure> {
    let cache = cache_folder().map_err(Failure::broken)?;
    match args.command {
        BrokersCommand::Up { nodes, json } => up(&cache, nodes, json),
        BrokersCommand::Down { json } => down(&cache, json),
        BrokersCommand::Status { json } => status(&cache, json),
    }
}

fn up(cache: &Path, nodes: u32, json: bool) -> Result<u8, Failure> {
    State::check_none(cache, "kafka").map_err(Failure::input)?;
    let show = Show::new(1);
    let options = KafkaOptions { nodes, ..KafkaOptions::default() };
    let started = LocalKafka::start(options, &|line| show.note(line));
    show.finish();
    let state = started.and_then(LocalKafka::detach).map_err(Failure::broken)?;
    state.save(cache).map_err(Failure::broken)?;
    tell(&state, json)?;
    Ok(0)
}

fn down(cache: &Path, json: bool) -> Result<u8, Failure> {
    let state = State::load(cache, "kafka").map_err(Failure::broken)?;
    if let Some(state) = &state {
        state.down(cache).map_err(Failure::broken)?;
    }
    let ended = state.map_or(0, |state| state.nodes.len());
    if json {
        say(format_args!("{}", json!({ "ended": ended })))?;
    } else if ended == 0 {
        say(format_args!("no cluster was up"))?;
    } else {
        say(format_args!("{ended} nodes ended, their data removed"))?;
    }
    Ok(0)
}

fn status(cache: &Path, json: bool) -> Result<u8, Failure> {
    match State::load(cache, "kafka").map_err(Failure::broken)? {
        Some(state) => {
            tell(&state, json)?;
            Ok(0)
        }
        None => {
            if json {
                say(format_args!("{}", json!({ "up": false })))?;
            } else {
                say(format_args!("no cluster is up; `squall brokers up` starts one"))?;
            }
            Ok(NONE_UP)
        }
    }
}

fn tell(state: &State, json: bool) -> Result<(), Failure> {
    if json {
        let nodes: Vec<_> = state
            .nodes
            .iter()
            .map(|node| json!({ "pid": node.pid, "address": node.address, "alive": node.is_alive(), "log": node.log }))
            .collect();
        say(format_args!("{}", json!({ "up": true, "bootstrap": state.bootstrap(), "nodes": nodes })))?;
        return Ok(());
    }
    say(format_args!("kafka is up at {}", state.bootstrap()))?;
    for (number, node) in (1..).zip(&state.nodes) {
        let life = if node.is_alive() { "runs" } else { "is gone" };
        say(format_args!("node {number}: process {} {life}, log {}", node.pid, node.log.display()))?;
    }
    say(format_args!("`squall brokers down` ends it"))?;
    Ok(())
}
