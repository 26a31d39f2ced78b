//! A line in the plain form, scanned in one pass.
//!
//! Most lines of a file are sends, acks, deliveries and what handlers did, as this program writes them: every field
//! once, printable ASCII without escapes, whole numbers without a sign, `true` and `false`, nothing nested. Such a
//! line is scanned by hand, once; serde has to look at it twice, for its head and for its body, and takes several
//! times as long. Everything else is left to serde: other kinds, fields that a kind does not have, and whatever is
//! wrong. So no error is told here, and a test holds both ways of reading against each other.

use crate::jsonl::line::{
    DeliverLine, Done, HandledLine, Head, How, PollInvoke, SendInvoke, SendOk, SettleInvoke, SettleWord,
    Side, TxnInvoke,
};
use serde::Deserialize;
use std::borrow::Cow;

/// The fields of the plain lines; numbers and flags before texts.
#[derive(Clone, Copy)]
enum Field {
    Index,
    Time,
    Value,
    Session,
    Partition,
    Intended,
    Cause,
    Txn,
    Invoke,
    Position,
    Attempt,
    Poll,
    Delivery,
    Delay,
    Epoch,
    Deadline,
    Poison,
    Duplicate,
    Corrupt,
    Process,
    Type,
    F,
    Topic,
    Key,
    Unit,
    Group,
    How,
    Id,
}

use Field::*;

/// How many fields are numbers or flags, and how many are texts.
const NUMBERS: usize = Field::Process as usize;
const TEXTS: usize = Field::Id as usize + 1 - NUMBERS;

impl Field {
    const fn bit(self) -> u32 {
        1 << self as u32
    }

    const fn is_flag(self) -> bool {
        matches!(self, Poison | Duplicate | Corrupt)
    }

    const fn is_text(self) -> bool {
        self as usize >= NUMBERS
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "index" => Index,
            "time" => Time,
            "process" => Process,
            "type" => Type,
            "f" => F,
            "value" => Value,
            "invoke" => Invoke,
            "unit" => Unit,
            "position" => Position,
            "topic" => Topic,
            "key" => Key,
            "session" => Session,
            "intended" => Intended,
            "group" => Group,
            "how" => How,
            "partition" => Partition,
            "cause" => Cause,
            "txn" => Txn,
            "poll" => Poll,
            "attempt" => Attempt,
            "delivery" => Delivery,
            "delay" => Delay,
            "epoch" => Epoch,
            "deadline" => Deadline,
            "id" => Id,
            "poison" => Poison,
            "duplicate" => Duplicate,
            "corrupt" => Corrupt,
            _ => return None,
        })
    }
}

const fn set(fields: &[Field]) -> u32 {
    let (mut bits, mut i) = (0, 0);
    while i < fields.len() {
        bits |= fields[i].bit();
        i += 1;
    }
    bits
}

/// What every line has.
const HEAD: u32 = set(&[Index, Time, Process, Type, F]);

/// A line, with its fields if it is plain.
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    fields: Option<Fields<'a>>,
}

impl<'a> Line<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, fields: Fields::scan(bytes) }
    }

    /// The head, if the line is plain.
    pub(super) fn head(&self) -> Option<Head<'a>> {
        self.fields.as_ref()?.head()
    }

    /// The body, if the line is plain and of a kind that it may be of.
    pub(super) fn body<T: Plain<'a>>(&self) -> Option<T> {
        self.fields.as_ref().and_then(T::of)
    }
}

/// The fields of a plain line.
pub(super) struct Fields<'a> {
    given: u32,
    numbers: [u64; NUMBERS],
    texts: [&'a str; TEXTS],
}

impl<'a> Fields<'a> {
    /// Scans a line; `None` if it is not plain.
    fn scan(line: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor { line: std::str::from_utf8(line).ok()?, at: 0 };
        let mut fields = Self { given: 0, numbers: [0; NUMBERS], texts: [""; TEXTS] };
        cursor.eat(b'{')?;
        loop {
            let field = Field::named(cursor.text()?)?;
            if fields.given & field.bit() != 0 {
                return None;
            }
            fields.given |= field.bit();
            cursor.eat(b':')?;
            if field.is_text() {
                fields.texts[field as usize - NUMBERS] = cursor.text()?;
            } else if field.is_flag() {
                fields.numbers[field as usize] = cursor.flag()?;
            } else {
                fields.numbers[field as usize] = cursor.number()?;
            }
            match cursor.next_byte()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        cursor.is_done().then_some(fields)
    }

    /// The head of the line.
    fn head(&self) -> Option<Head<'a>> {
        let side = match self.text(Type)? {
            "invoke" => Side::Invoke,
            "ok" => Side::Ok,
            "fail" => Side::Fail,
            "info" => Side::Info,
            _ => return None,
        };
        Some(Head {
            index: self.number(Index).and_then(small)?,
            time: self.number(Time)?,
            process: Cow::Borrowed(self.text(Process)?),
            side,
            f: Cow::Borrowed(self.text(F)?),
        })
    }

    /// Nothing but the head and these.
    fn only(&self, others: u32) -> Option<()> {
        (self.given & !(HEAD | others) == 0).then_some(())
    }

    fn number(&self, field: Field) -> Option<u64> {
        (self.given & field.bit() != 0).then_some(self.numbers[field as usize])
    }

    fn text(&self, field: Field) -> Option<&'a str> {
        (self.given & field.bit() != 0).then_some(self.texts[field as usize - NUMBERS])
    }

    fn words(&self, field: Field) -> Option<Cow<'a, str>> {
        self.text(field).map(Cow::Borrowed)
    }

    /// A number of 32 bits that may be left out; `None` if it is too large.
    fn maybe_small(&self, field: Field) -> Option<Option<u32>> {
        match self.number(field) {
            None => Some(None),
            Some(number) => small(number).map(Some),
        }
    }

    fn flag(&self, field: Field) -> bool {
        self.numbers[field as usize] != 0
    }
}

fn small(number: u64) -> Option<u32> {
    u32::try_from(number).ok()
}

/// A body that lines in the plain form may have.
pub(super) trait Plain<'a>: Deserialize<'a> {
    /// The body out of the fields of a line; `None` if it is not plain.
    fn of(fields: &Fields<'a>) -> Option<Self>;
}

impl<'a> Plain<'a> for SendInvoke<'a> {
    fn of(fields: &Fields<'a>) -> Option<Self> {
        fields.only(set(&[Topic, Partition, Key, Value, Session, Intended, Cause, Poison, Txn]))?;
        Some(Self {
            topic: fields.words(Topic)?,
            partition: fields.maybe_small(Partition)?,
            key: fields.words(Key),
            value: fields.number(Value)?,
            session: fields.maybe_small(Session)?.unwrap_or_default(),
            intended: fields.number(Intended),
            cause: fields.number(Cause),
            poison: fields.flag(Poison),
            txn: fields.maybe_small(Txn)?,
            id: None,
            expected_position: None,
            expected_value: None,
            ttl: None,
            timestamp: None,
            tombstone: false,
            amount: None,
        })
    }
}

impl<'a> Plain<'a> for SendOk<'a> {
    fn of(fields: &Fields<'a>) -> Option<Self> {
        fields.only(set(&[Invoke, Unit, Position, Duplicate]))?;
        Some(Self {
            invoke: fields.number(Invoke).and_then(small)?,
            unit: fields.words(Unit),
            position: fields.number(Position),
            duplicate: fields.flag(Duplicate),
        })
    }
}

impl<'a> Plain<'a> for Done {
    fn of(fields: &Fields<'a>) -> Option<Self> {
        fields.only(set(&[Invoke]))?;
        Some(Self { invoke: fields.number(Invoke).and_then(small)? })
    }
}

impl<'a> Plain<'a> for TxnInvoke<'a> {
    fn of(fields: &Fields<'a>) -> Option<Self> {
        fields.only(set(&[Id, Epoch]))?;
        Some(Self { id: fields.words(Id), epoch: fields.maybe_small(Epoch)? })
    }
}

impl<'a> Plain<'a> for PollInvoke<'a> {
    fn of(fields: &Fields<'a>) -> Option<Self> {
        fields.only(set(&[Group, Txn]))?;
        Some(Self { group: fields.words(Group), txn: fields.maybe_small(Txn)? })
    }
}

impl<'a> Plain<'a> for SettleInvoke {
    fn of(fields: &Fields<'a>) -> Option<Self> {
        fields.only(set(&[Delivery, How, Delay]))?;
        let how = match fields.text(How)? {
            "ack" => SettleWord::Ack,
            "nak" => SettleWord::Nak,
            "term" => SettleWord::Term,
            "extend" => SettleWord::Extend,
            _ => return None,
        };
        let delivery = fields.number(Delivery).and_then(small)?;
        Some(Self { delivery, how, delay: fields.number(Delay) })
    }
}

impl<'a> Plain<'a> for DeliverLine<'a> {
    fn of(fields: &Fields<'a>) -> Option<Self> {
        fields.only(set(&[Group, Unit, Position, Value, Corrupt, Attempt, Poll, Deadline, Epoch]))?;
        Some(Self {
            group: fields.words(Group),
            unit: fields.words(Unit)?,
            position: fields.number(Position)?,
            value: fields.number(Value),
            corrupt: fields.flag(Corrupt),
            attempt: fields.maybe_small(Attempt)?,
            poll: fields.maybe_small(Poll)?,
            deadline: fields.number(Deadline),
            node: None,
            epoch: fields.maybe_small(Epoch)?,
            timestamp: None,
        })
    }
}

impl<'a> Plain<'a> for HandledLine<'a> {
    fn of(fields: &Fields<'a>) -> Option<Self> {
        fields.only(set(&[Group, Value, How, Attempt]))?;
        let how = match fields.text(How)? {
            "ok" => How::Ok,
            "poison" => How::Poison,
            "retry" => How::Retry,
            _ => return None,
        };
        let (group, value) = (fields.words(Group), fields.number(Value)?);
        Some(Self { group, value, how, attempt: fields.maybe_small(Attempt)? })
    }
}

struct Cursor<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next byte that is no white space.
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            let byte = *self.line.as_bytes().get(self.at)?;
            self.at += 1;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.next_byte()? == byte).then_some(())
    }

    fn text(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let rest = &self.line.as_bytes()[self.at..];
        let plain = |byte: &u8| (b' '..0x7f).contains(byte) && *byte != b'"' && *byte != b'\\';
        let length = rest.iter().position(|byte| !plain(byte))?;
        let text = &self.line[self.at..self.at + length];
        self.at += length + 1;
        (rest[length] == b'"').then_some(text)
    }

    /// A whole number of at most 19 digits: it fits into 64 bits.
    fn number(&mut self) -> Option<u64> {
        let first = self.next_byte()?;
        let mut number = u64::from(first.wrapping_sub(b'0'));
        if number > 9 {
            return None;
        }
        let start = self.at;
        while let Some(digit) = self.line.as_bytes().get(self.at).filter(|byte| byte.is_ascii_digit()) {
            number = number.wrapping_mul(10).wrapping_add(u64::from(*digit - b'0'));
            self.at += 1;
        }
        let more = self.at - start;
        (more == 0 || (more < 19 && first != b'0')).then_some(number)
    }

    fn flag(&mut self) -> Option<u64> {
        let (word, flag) = match self.next_byte()? {
            b't' => ("rue", 1),
            b'f' => ("alse", 0),
            _ => return None,
        };
        let rest = self.line.get(self.at..)?;
        self.at += word.len();
        rest.starts_with(word).then_some(flag)
    }

    /// Nothing but white space follows.
    fn is_done(&mut self) -> bool {
        self.next_byte().is_none()
    }
}

#[cfg(test)]
mod tests;
