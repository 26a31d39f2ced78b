//! What both kinds of client stand on: a connection, inboxes, deadlines, and questions to the JetStream API.
//!
//! A question is asked until it is answered: again after a pause when nobody could answer it, and again when no
//! answer came in ten seconds.

use super::{
    Io, Timer,
    connection::{Connection, Happened},
    deadlines::{Deadlines, Due},
    settings::{AGAIN, API_TIMEOUT},
};
use crate::{
    kernel::Event,
    nats::protocol::{ApiRequest, ApiResponse, ClientMsg, Msg, ServerMsg, Status},
};
use squall_bus::Time;
use std::{collections::BTreeMap, time::Duration};

#[derive(Clone, Debug)]
struct Question {
    request: ApiRequest,
    /// Where the answer comes to; `None` in the pause before it is asked again.
    inbox: Option<u64>,
    due: Time,
}

/// What an event meant to a client.
#[derive(Debug)]
pub(crate) enum Learned {
    /// Nothing that it need know.
    Nothing,
    /// See [`Happened::Up`].
    Up { again: bool },
    /// See [`Happened::Down`].
    Down,
    /// The answer to this question.
    Answer(u32, ApiResponse),
    /// The server says something else.
    Said(ServerMsg),
    /// Deadlines are over: to be asked for with [`Link::next_due`].
    Due,
}

/// A client's connection with all that goes over it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) deadlines: Deadlines,
    inboxes: u64,
    questions: BTreeMap<u32, Question>,
    asked: u32,
}

impl Link {
    pub(crate) fn new(servers: u32) -> Self {
        Self {
            connection: Connection::new(servers),
            deadlines: Deadlines::default(),
            inboxes: 0,
            questions: BTreeMap::new(),
            asked: 0,
        }
    }

    /// An inbox that no other message has.
    pub(crate) fn inbox(&mut self) -> u64 {
        self.inboxes += 1;
        self.inboxes
    }

    pub(crate) fn send(&mut self, message: ClientMsg, io: &mut dyn Io) {
        self.connection.send(message, io);
    }

    /// Becomes due after `span`: the time at which.
    pub(crate) fn due_after(&mut self, span: Duration, what: Due, io: &mut dyn Io) -> Time {
        let at = io.now() + span;
        self.deadlines.add(at, what, io);
        at
    }

    /// Asks the JetStream API: the question's name.
    pub(crate) fn ask(&mut self, request: ApiRequest, io: &mut dyn Io) -> u32 {
        let name = self.asked;
        self.asked += 1;
        self.questions.insert(name, Question { request, inbox: None, due: io.now() });
        self.put(name, io);
        name
    }

    /// Asks again, after a pause, what was answered in a way that may change: the question's new name.
    pub(crate) fn ask_later(&mut self, request: ApiRequest, io: &mut dyn Io) -> u32 {
        let name = self.asked;
        self.asked += 1;
        let due = self.due_after(AGAIN, Due::Question(name), io);
        self.questions.insert(name, Question { request, inbox: None, due });
        name
    }

    fn put(&mut self, name: u32, io: &mut dyn Io) {
        let inbox = self.inbox();
        let Some(question) = self.questions.get_mut(&name) else { return };
        let request = question.request.clone();
        question.inbox = Some(inbox);
        question.due = io.now() + API_TIMEOUT;
        self.deadlines.add(question.due, Due::Question(name), io);
        self.send(ClientMsg::Api(request, inbox), io);
    }

    fn question_of(&self, inbox: u64) -> Option<u32> {
        self.questions.iter().find(|(_, question)| question.inbox == Some(inbox)).map(|(name, _)| *name)
    }

    /// Nobody could answer for now.
    fn pause(&mut self, name: u32, io: &mut dyn Io) {
        let due = io.now() + AGAIN;
        if let Some(question) = self.questions.get_mut(&name) {
            self.deadlines.remove(question.due, Due::Question(name));
            (question.inbox, question.due) = (None, due);
            self.deadlines.add(due, Due::Question(name), io);
        }
    }

    /// Takes an event.
    pub(crate) fn on(&mut self, event: Event<Msg, Timer>, io: &mut dyn Io) -> Learned {
        if let Event::Timer(Timer::Due) = event {
            self.deadlines.fired(io);
            return Learned::Due;
        }
        match self.connection.on(event, io) {
            Happened::Nothing => Learned::Nothing,
            Happened::Up { again } => Learned::Up { again },
            Happened::Down => Learned::Down,
            Happened::Said(ServerMsg::Api(inbox, response)) => self.answered(inbox, response, io),
            Happened::Said(ServerMsg::Status(inbox, Status::NoResponders))
                if self.question_of(inbox).is_some() =>
            {
                if let Some(name) = self.question_of(inbox) {
                    self.pause(name, io);
                }
                Learned::Nothing
            }
            Happened::Said(message) => Learned::Said(message),
        }
    }

    fn answered(&mut self, inbox: u64, response: ApiResponse, io: &mut dyn Io) -> Learned {
        let Some(name) = self.question_of(inbox) else { return Learned::Nothing };
        if let ApiResponse::Error(error) = &response
            && error.status() == 503
        {
            self.pause(name, io);
            return Learned::Nothing;
        }
        if let Some(question) = self.questions.remove(&name) {
            self.deadlines.remove(question.due, Due::Question(name));
        }
        Learned::Answer(name, response)
    }

    /// The next thing that is due, other than questions.
    pub(crate) fn next_due(&mut self, io: &mut dyn Io) -> Option<Due> {
        loop {
            match self.deadlines.next_due(io)? {
                Due::Question(name) => self.put(name, io),
                due => return Some(due),
            }
        }
    }
}
