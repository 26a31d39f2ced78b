//! What EDN and JSON have in common, as far as histories need it.

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// Nothing.
    Nil,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A string, a keyword or a symbol without its namespace mark; and numbers that are not whole, as written.
    Text(String),
    /// A list, a vector or a set.
    List(Vec<Form>),
    /// A map, in the order of the file.
    Map(Vec<(Form, Form)>),
}

/// How deep forms may be nested.
pub(super) const DEPTH: usize = 64;

impl Form {
    /// What a map has under a name; dashes and underscores are alike.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        let is = |key: &Self| key.text().is_some_and(|text| text.replace('_', "-") == name);
        entries.iter().find(|(key, _)| is(key)).map(|(_, value)| value)
    }

    /// A string, or a keyword without its colon.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.strip_prefix(':').unwrap_or(text)),
            _ => None,
        }
    }

    /// A list.
    pub(super) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// What names a key, a process or a value; `None` for what names nothing.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Text(_) => self.text().map(str::to_owned),
            Self::Int(number) => Some(number.to_string()),
            Self::Bool(bool) => Some(bool.to_string()),
            Self::List(_) | Self::Map(_) => Some(self.shown()),
            Self::Nil => None,
        }
    }

    /// As in a message: one line, not too long.
    pub(super) fn shown(&self) -> String {
        let text = match self {
            Self::Nil => "nil".to_owned(),
            Self::Bool(bool) => bool.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::List(list) => format!("[{}]", list.iter().map(Self::shown).collect::<Vec<_>>().join(" ")),
            Self::Map(map) => {
                let entry = |(key, value): &(Self, Self)| format!("{} {}", key.shown(), value.shown());
                format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        };
        match text.char_indices().nth(80) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    }
}
