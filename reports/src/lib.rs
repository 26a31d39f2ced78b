//! Reports: every output is a fold over the run events of [`squall_history`], and what the load engine measured.
//!
//! ```text
//! RunEvent ... ──▶ Run ─┐                    ┌─▶ Text   summary, report.txt
//! Measured ───────────▶ Runs ──Exporter──────┼─▶ Json   result.json
//!                                            ├─▶ Junit  junit.xml
//!                                            └─▶ Html   report.html
//! ```
//!
//! [`timeline()`] draws the events of one simulated cluster. [`Folder`] puts them into a folder so that nothing is lost when a run ends early. Nothing here reads a clock:
//! equal runs give equal reports, byte for byte. Whatever text a report shows came from outside (a
//! scenario, a broker's error), so each exporter escapes it.

mod compare;
mod exporter;
mod folder;
mod found;
mod html;
mod json;
mod junit;
mod measured;
mod progress;
mod run;
mod text;
mod words;

pub use exporter::{Exporter, ReportError};
pub use folder::Folder;
pub use html::{Html, RoleChange, TimelineEvent, timeline};
pub use json::{Json, check_json, run_json};
pub use junit::Junit;
pub use measured::{AfterFault, Doubt, Measured, Percentiles, Point, Series};
pub use progress::progress_line;
pub use run::{FaultLog, Run, Runs};
pub use text::Text;
