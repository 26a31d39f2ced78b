//! Why a text is not a scenario: for each problem the file, line, column, the offending line and what to do.
//!
//! A problem points into a source: the file, or a `--set` argument. Rendering is plain ASCII of fixed width,
//! so that it is the same on every terminal, and in tests; control characters and very long lines of a
//! hostile file never reach the terminal.

use super::tree::Origin;
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
};
use std::{fmt, sync::Arc};

/// How many bytes of a long line are shown on each side of a problem.
const CROP: usize = 80;
/// Lines longer than this, in bytes, are cropped.
const LONG_LINE: usize = 240;
/// How many problems are printed in full.
const SHOWN: usize = 10;

/// Why a file is not a scenario. Display shows every problem with its place; the text ends in a line break.
#[derive(Clone)]
pub struct ScenarioError {
    sources: Arc<[Source]>,
    problems: Vec<Problem>,
}

/// One thing that is wrong, before it is tied to the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) origin: Option<Origin>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { origin: None, message: message.into(), help: None }
    }

    pub(crate) fn at(origin: Origin, message: impl Into<String>) -> Self {
        Self { origin: Some(origin), message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// One problem of a [`ScenarioError`], with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, or `--set`.
    pub source: String,
    /// The line, from 1; 0 where there is no text at all.
    pub line: usize,
    /// The column in characters, from 1; 0 where there is no text at all.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// A text that problems point into.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    text: String,
}

impl Source {
    /// A source whose control characters are replaced, byte for byte.
    pub(crate) fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.chars().map(printable).collect() }
    }

    fn line_around(&self, at: usize) -> (usize, usize) {
        let at = at.min(self.text.len());
        let start = self.text.as_bytes()[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |i| i + 1);
        let end = self.text.as_bytes()[at..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(self.text.len(), |i| at + i);
        (start, end)
    }

    fn line_and_column(&self, at: usize) -> (usize, usize) {
        let at = self.floor(at);
        let (start, _) = self.line_around(at);
        let line = self.text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
        (line + 1, self.text[start..at].chars().count() + 1)
    }

    fn floor(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// The part of the line around `span` that is shown.
    fn window(&self, span: &SourceSpan) -> (usize, usize) {
        let (start, end) = self.line_around(span.offset());
        if end - start <= LONG_LINE {
            return (start, end);
        }
        let from = self.floor(span.offset().saturating_sub(CROP)).max(start);
        let to = self.floor(span.offset() + CROP).min(end);
        (from, to.max(from))
    }

    /// `origin` cut to what is shown of its first line.
    fn span(&self, origin: Origin) -> SourceSpan {
        let start = self.floor(origin.start);
        let (_, to) = self.window(&SourceSpan::from(start));
        let end = self.floor(start.saturating_add(origin.len)).min(to);
        let length = self.text[start..end.max(start)].trim_end().len();
        SourceSpan::from((start, length))
    }
}

/// A text from a file as part of a line.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { ' ' } else { printable(c) }).collect()
}

/// The same number of bytes, and nothing that moves a cursor.
fn printable(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        '\r' => ' ',
        c if !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') =>
        {
            c
        }
        c => match c.len_utf8() {
            1 => '?',
            2 => '\u{bf}',
            _ => '\u{fffd}',
        },
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        _before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (from, to) = self.window(span);
        let (line, column) = self.line_and_column(span.offset());
        let shown = SourceSpan::from((from, to - from));
        let data = &self.text.as_bytes()[from..to];
        Ok(Box::new(MietteSpanContents::new_named(self.name.clone(), data, shown, line - 1, column - 1, 1)))
    }
}

/// One problem with its source, as the renderer takes it.
struct Report<'a> {
    problem: &'a Problem,
    source: Option<(&'a Source, SourceSpan)>,
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|(source, _)| *source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, span) = self.source.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_primary_with_span(None, *span))))
    }
}

impl ScenarioError {
    pub(crate) fn new(sources: &Arc<[Source]>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.origin);
        problems.dedup();
        for problem in &mut problems {
            problem.message = line(&problem.message);
            problem.help = problem.help.as_deref().map(line);
        }
        Self { sources: Arc::clone(sources), problems }
    }

    /// A problem with a file as a whole: it cannot be read, or is no text.
    pub(crate) fn file(name: &str, text: &str, problem: Problem) -> Self {
        Self::new(&Arc::from([Source::new(name, text)]), vec![problem])
    }

    /// A problem before there is any file.
    pub(crate) fn nowhere(message: String, help: String) -> Self {
        Self::file("", "", Problem::new(message).help(help))
    }

    /// Every problem with its place, in the order of the places.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.problems.iter().map(|problem| self.finding(problem)).collect()
    }

    fn source(&self, problem: &Problem) -> Option<(&Source, Origin)> {
        let origin = problem.origin?;
        Some((self.sources.get(origin.source)?, origin))
    }

    fn finding(&self, problem: &Problem) -> Finding {
        let (source, (line, column)) = match self.source(problem) {
            Some((source, origin)) => (source.name.clone(), source.line_and_column(origin.start)),
            None => (self.sources.first().map(|source| source.name.clone()).unwrap_or_default(), (0, 0)),
        };
        Finding { source, line, column, message: problem.message.clone(), help: problem.help.clone() }
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let theme = GraphicalTheme { characters: ThemeCharacters::ascii(), styles: ThemeStyles::none() };
        let handler =
            GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false).with_context_lines(0);
        for problem in self.problems.iter().take(SHOWN) {
            let source = self.source(problem).map(|(source, origin)| (source, source.span(origin)));
            handler.render_report(f, &Report { problem, source })?;
        }
        match self.problems.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "... and {more} more"),
        }
    }
}

impl fmt::Debug for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.findings()).finish()
    }
}

impl std::error::Error for ScenarioError {}
