//! Many seeds of faults.
