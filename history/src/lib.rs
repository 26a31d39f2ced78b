//! The operation log, the checks over it and the verdict
