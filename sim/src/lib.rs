//! The deterministic simulator: kernel, broker models, client models, runtime
