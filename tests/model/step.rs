//! One step of the model, and how a person reads it.

use std::fmt;

use crate::state::AttemptNo;

/// What happens next. `u8` is a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Begin(u8, AttemptNo),
    /// Another exchange's patience was over, and nothing could come of it any more.
    Follow(u8, AttemptNo, AttemptNo),
    /// The same of an exchange whose node still lives.
    TakeOver(u8, AttemptNo, AttemptNo),
    Send(u8, AttemptNo),
    Receive(u8, AttemptNo),
    ReceiveRejection(u8, AttemptNo),
    SeeLoss(u8, AttemptNo),
    TimeOut(u8, AttemptNo),
    WriteJournal(u8, AttemptNo),
    Commit(u8, AttemptNo),
    FailInDoubt(u8, AttemptNo),
    FailRejected(u8, AttemptNo),
    Crash(u8),
    Restart(u8),
    PutBack(u8),
    WorkOn(AttemptNo),
    LoseRequest(AttemptNo),
    LoseResponse(AttemptNo),
    WorkOnStray(AttemptNo),
    DropStray(AttemptNo),
    CloseGrace,
    Replicate,
    FailOver,
    Empty,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |node: u8| char::from(b'A' + node);
        match *self {
            Self::Begin(n, k) => write!(f, "{} begins {k}", name(n)),
            Self::Follow(n, k, of) => write!(f, "{} begins {k}, as {of} came to nothing", name(n)),
            Self::TakeOver(n, k, of) => write!(f, "{} TAKES {of} OVER as {k}", name(n)),
            Self::Send(n, k) => write!(f, "{} sends request {k}", name(n)),
            Self::Receive(n, k) => write!(f, "{} receives the answer to {k}", name(n)),
            Self::ReceiveRejection(n, k) => write!(f, "{} receives the rejection of {k}", name(n)),
            Self::SeeLoss(n, k) => write!(f, "{} sees that {k} gets no answer", name(n)),
            Self::TimeOut(n, k) => write!(f, "{} GIVES UP on request {k}", name(n)),
            Self::WriteJournal(n, k) => write!(f, "{} journals the answer to {k}", name(n)),
            Self::Commit(n, k) => write!(f, "{} commits {k}", name(n)),
            Self::FailInDoubt(n, k) => write!(f, "{} reports {k} in doubt", name(n)),
            Self::FailRejected(n, k) => write!(f, "{} reports {k} rejected", name(n)),
            Self::Crash(n) => write!(f, "{} CRASHES", name(n)),
            Self::Restart(n) => write!(f, "{} restarts and replays its journal", name(n)),
            Self::PutBack(n) => write!(f, "{} puts back what it knows", name(n)),
            Self::WorkOn(k) => write!(f, "the provider works on {k}"),
            Self::LoseRequest(k) => write!(f, "request {k} IS LOST"),
            Self::LoseResponse(k) => write!(f, "the answer to {k} IS LOST"),
            Self::WorkOnStray(k) => write!(f, "the provider works on {k}, which nobody awaits"),
            Self::DropStray(k) => write!(f, "request {k}, which nobody awaits, vanishes"),
            Self::CloseGrace => write!(f, "the grace ENDS"),
            Self::Replicate => write!(f, "the copy catches up"),
            Self::FailOver => write!(f, "the store FAILS OVER to its copy"),
            Self::Empty => write!(f, "the store COMES BACK EMPTY"),
        }
    }
}
