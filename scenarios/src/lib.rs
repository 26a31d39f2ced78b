//! The scenario format, the plan, the runner and the scenario library
