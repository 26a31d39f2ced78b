//! Histories of other tools, told in the words of a [`crate::History`], so that they can be judged like our own.

pub mod jepsen;
