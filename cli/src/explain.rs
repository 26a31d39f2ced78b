//! `squall explain`.

use crate::{
    Failure,
    args::{ExplainArgs, overrides},
    show::say,
};
use serde_json::json;
use squall_scenarios::{Plan, library};

pub(crate) fn explain(args: &ExplainArgs) -> Result<u8, Failure> {
    let scenario =
        library::open(&args.scenario, &overrides(&args.set, args.bug.as_deref())?).map_err(Failure::input)?;
    let plan = Plan::new(scenario, args.seed);
    let capabilities = args.on.capabilities();
    let target = args.on.to_string();
    if !args.json {
        say(format_args!("{}", plan.explain(&target, &capabilities).to_string().trim_end()))?;
        return Ok(0);
    }
    let faults: Vec<_> = plan
        .faults()
        .iter()
        .map(|fault| {
            json!({
                "id": fault.id, "verb": fault.kind.verb(), "role": fault.role.to_string(),
                "at_ms": fault.at.as_millis(), "for_ms": u64::try_from(fault.lasts.as_millis()).unwrap_or(u64::MAX),
            })
        })
        .collect();
    let producers: Vec<_> = plan
        .producers()
        .iter()
        .map(|producer| {
            json!({ "name": producer.name(), "topic": producer.topic.as_str(), "records": producer.records().count() })
        })
        .collect();
    let object = json!({
        "scenario": plan.scenario().name, "target": target, "seed": plan.seed(),
        "options": plan.options(),
        "producers": producers,
        "consumers": plan.consumers().iter().map(squall_scenarios::plan::ConsumerPlan::name).collect::<Vec<_>>(),
        "faults": faults,
        "capabilities": capabilities.present().map(|present| present.to_string()).collect::<Vec<_>>(),
        "lowering": plan.lowering(capabilities.lowering),
        "lacks": plan.lacks(&capabilities).iter().map(ToString::to_string).collect::<Vec<_>>(),
        "warnings": plan.warnings().iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    say(format_args!("{object}"))?;
    Ok(0)
}
