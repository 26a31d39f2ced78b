//! A name that a history knows by a number.

use std::sync::{Arc, OnceLock};

/// Something with a name, of which the history's number can be asked.
pub(super) trait Name<I> {
    /// The number; `number` says which the name has.
    fn id(&self, number: impl FnOnce(&str) -> I) -> I;
}

impl<I> Name<I> for str {
    fn id(&self, number: impl FnOnce(&str) -> I) -> I {
        number(self)
    }
}

/// A name that is looked up once. All that ask are of one trial, and so of one history.
#[derive(Debug)]
pub(super) struct Named<I> {
    name: Arc<str>,
    id: OnceLock<I>,
}

impl<I> Named<I> {
    pub(super) fn new(name: &str) -> Self {
        Self { name: Arc::from(name), id: OnceLock::new() }
    }
}

impl<I: Copy> Name<I> for Named<I> {
    fn id(&self, number: impl FnOnce(&str) -> I) -> I {
        *self.id.get_or_init(|| number(&self.name))
    }
}
