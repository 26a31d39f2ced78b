//! A reader of EDN, as far as histories use it: all its forms are read, and tags are passed over.
//!
//! **Source.** The description of the format at edn-format.org.

use super::{
    Fault, Problem,
    form::{DEPTH, Form},
};
use std::{iter::Peekable, str::Chars};

/// All forms of a text with their lines, from 1.
pub(super) fn forms(text: &str) -> Result<Vec<(u64, Form)>, Fault> {
    let mut reader = Reader { chars: text.trim_start_matches('\u{feff}').chars().peekable(), line: 1 };
    let mut forms = Vec::new();
    loop {
        reader.space();
        let line = reader.line;
        match reader.chars.peek() {
            None => return Ok(forms),
            Some('[' | '(') => {
                // One list of all operations: each has a line of its own.
                let close = if reader.next() == Some('[') { ']' } else { ')' };
                reader.members(close, 1, &mut |line, form| forms.push((line, form)))?;
            }
            Some(_) => forms.extend(reader.form(0)?.map(|form| (line, form))),
        }
    }
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    line: u64,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.chars.next();
        self.line += u64::from(next == Some('\n'));
        next
    }

    fn fault<T>(&self, what: impl Into<String>) -> Result<T, Fault> {
        Err((self.line, Problem::Syntax("EDN", what.into())))
    }

    /// Passes over white space and comments.
    fn space(&mut self) {
        while let Some(next) = self.chars.peek() {
            match next {
                ';' => {
                    while self.chars.peek().is_some_and(|next| *next != '\n') {
                        self.next();
                    }
                }
                ',' => {
                    self.next();
                }
                space if space.is_whitespace() => {
                    self.next();
                }
                _ => return,
            }
        }
    }

    /// The next form; `None` for one that is to be discarded.
    fn form(&mut self, depth: usize) -> Result<Option<Form>, Fault> {
        if depth > DEPTH {
            return self.fault("it is nested too deep");
        }
        match self.chars.peek() {
            None => self.fault("the file ends in the middle of an operation: it was cut off"),
            Some('[') => self.collection(']', depth),
            Some('(') => self.collection(')', depth),
            Some('{') => {
                self.next();
                let entries = self.list('}', depth)?;
                self.map(entries).map(Some)
            }
            Some('"') => self.string().map(Some),
            Some('#') => self.dispatch(depth),
            Some('\\') => self.character().map(Some),
            Some(']' | ')' | '}') => self.fault("a bracket is closed that was not opened"),
            Some(_) => self.atom().map(Some),
        }
    }

    fn collection(&mut self, close: char, depth: usize) -> Result<Option<Form>, Fault> {
        self.next();
        self.list(close, depth).map(|list| Some(Form::List(list)))
    }

    fn list(&mut self, close: char, depth: usize) -> Result<Vec<Form>, Fault> {
        let mut list = Vec::new();
        self.members(close, depth + 1, &mut |_, form| list.push(form))?;
        Ok(list)
    }

    /// What stands before a closing bracket.
    fn members(&mut self, close: char, depth: usize, take: &mut dyn FnMut(u64, Form)) -> Result<(), Fault> {
        loop {
            self.space();
            let line = self.line;
            if self.chars.peek() == Some(&close) {
                self.next();
                return Ok(());
            }
            if let Some(form) = self.form(depth)? {
                take(line, form);
            }
        }
    }

    fn map(&self, entries: Vec<Form>) -> Result<Form, Fault> {
        if entries.len() % 2 == 1 {
            return self.fault("a map has a key without a value");
        }
        let mut map = Vec::with_capacity(entries.len() / 2);
        let mut entries = entries.into_iter();
        while let (Some(key), Some(value)) = (entries.next(), entries.next()) {
            map.push((key, value));
        }
        Ok(Form::Map(map))
    }

    fn string(&mut self) -> Result<Form, Fault> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => return self.fault("the file ends in the middle of a string: it was cut off"),
                Some('"') => return Ok(Form::Text(text)),
                Some('\\') => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('u') => {
                        let code: String = (0..4).filter_map(|_| self.next()).collect();
                        let code = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                        text.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    Some(other) => text.push(other),
                    None => return self.fault("the file ends in the middle of a string: it was cut off"),
                },
                Some(other) => text.push(other),
            }
        }
    }

    /// After `#`: a set, a form to be discarded, or a tag, which is passed over.
    fn dispatch(&mut self, depth: usize) -> Result<Option<Form>, Fault> {
        self.next();
        match self.chars.peek() {
            Some('{') => self.collection('}', depth),
            Some('_') => {
                self.next();
                self.space();
                self.form(depth + 1).map(|_| None)
            }
            Some('#') => {
                // `##NaN` and the like.
                self.next();
                self.atom().map(Some)
            }
            Some(_) => {
                self.atom()?;
                self.space();
                self.form(depth + 1)
            }
            None => self.fault("the file ends in the middle of an operation: it was cut off"),
        }
    }

    fn character(&mut self) -> Result<Form, Fault> {
        self.next();
        let Some(first) = self.next() else { return self.fault("the file ends after a backslash") };
        let mut text = String::from(first);
        text.push_str(&self.word());
        Ok(Form::Text(text))
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(next) = self.chars.peek().copied() {
            if next.is_whitespace() || matches!(next, ',' | '[' | ']' | '(' | ')' | '{' | '}' | '"' | ';') {
                break;
            }
            word.push(next);
            self.next();
        }
        word
    }

    fn atom(&mut self) -> Result<Form, Fault> {
        let word = self.word();
        let number = word.strip_suffix('N').unwrap_or(&word);
        Ok(match word.as_str() {
            "" => return self.fault("a character stands here that begins nothing"),
            "nil" => Form::Nil,
            "true" => Form::Bool(true),
            "false" => Form::Bool(false),
            _ => match number.parse() {
                Ok(number) => Form::Int(number),
                Err(_) => Form::Text(word),
            },
        })
    }
}
