//! Logins under way: requests waiting for a person's approval, and authorization codes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::BootTime;
use crate::simulator::token::random_code;

/// A valid authorization request.
#[derive(Debug, Clone)]
pub(super) struct AuthorizationRequest {
    pub client_id: Arc<str>,
    pub redirect_uri: String,
    pub state: Option<String>,
    pub scope: Arc<str>,
    /// The S256 challenge; `None` only where PKCE is not required.
    pub challenge: Option<String>,
    /// The user asked for by `login_hint` or `user`.
    pub hint: Option<String>,
}

/// An authorization code's record.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub request: AuthorizationRequest,
    pub user: Arc<str>,
    pub expires: BootTime,
    pub standing: CodeStanding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeStanding {
    Fresh,
    /// Exchanged for the tokens of this family.
    Exchanged(u64),
    /// Presented with something wrong.
    Spoiled,
}

/// Requests and codes, each forgotten some time after its use can matter.
#[derive(Debug)]
pub(super) struct Codes {
    codes: Shelf<Code>,
    tickets: Shelf<AuthorizationRequest>,
}

impl Codes {
    pub(crate) fn new() -> Self {
        Self { codes: Shelf::new(), tickets: Shelf::new() }
    }

    /// Issues a code for `user`.
    pub(crate) fn issue(
        &mut self,
        request: AuthorizationRequest,
        user: Arc<str>,
        lifetime: Duration,
        now: BootTime,
    ) -> String {
        let code = Code { request, user, expires: now + lifetime, standing: CodeStanding::Fresh };
        self.codes.put(code, now, lifetime + KEPT)
    }

    pub(crate) fn code(&self, code: &str) -> Option<&Code> {
        self.codes.items.get(code)
    }

    pub(crate) fn set_standing(&mut self, code: &str, standing: CodeStanding) {
        if let Some(code) = self.codes.items.get_mut(code) {
            code.standing = standing;
        }
    }

    /// Keeps a request until a person approves it; returns its ticket.
    pub(crate) fn await_approval(
        &mut self,
        request: AuthorizationRequest,
        now: BootTime,
    ) -> String {
        self.tickets.put(request, now, KEPT)
    }

    /// The request of a ticket, which is used up.
    pub(crate) fn take_ticket(&mut self, ticket: &str) -> Option<AuthorizationRequest> {
        self.tickets.items.remove(ticket)
    }
}

const KEPT: Duration = Duration::from_secs(600);
const MOST_KEPT: usize = 100_000;

#[derive(Debug)]
struct Shelf<T> {
    items: HashMap<String, T>,
    order: VecDeque<(BootTime, String)>,
}

impl<T> Shelf<T> {
    fn new() -> Self {
        Self { items: HashMap::new(), order: VecDeque::new() }
    }

    fn put(&mut self, item: T, now: BootTime, keep: Duration) -> String {
        while self.order.len() >= MOST_KEPT
            || self.order.front().is_some_and(|(until, _)| *until <= now)
        {
            if let Some((_, name)) = self.order.pop_front() {
                self.items.remove(&name);
            }
        }
        let name = random_code();
        self.items.insert(name.clone(), item);
        self.order.push_back((now + keep, name.clone()));
        name
    }
}
