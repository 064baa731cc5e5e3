//! Where a provider says who its user is, and how the user's id is found in its answer.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::oauth::provider::ProviderUrl;

/// How a user's id is read from the user endpoint's answer.
#[derive(Clone)]
pub enum UserId {
    /// A JSON pointer (RFC 6901) such as `/sub`, to text or an integer.
    Pointer(String),
    /// Anything else.
    Closure(UserIdFn),
}

/// A function from the user endpoint's answer to the user's id; `None` where the answer has none.
pub type UserIdFn = Arc<dyn Fn(&Map<String, Value>) -> Option<String> + Send + Sync>;

impl UserId {
    /// A JSON pointer, such as `/sub` or `/data/id`.
    pub fn pointer(pointer: impl Into<String>) -> Self {
        Self::Pointer(pointer.into())
    }

    /// Reads the id from a user endpoint's answer; an integer becomes its digits.
    ///
    /// # Errors
    ///
    /// [`UserIdProblem`] if there is no id, or it is not text or an integer. A fraction is refused
    /// because two of them may print alike.
    pub fn read(&self, user: &Map<String, Value>) -> Result<String, UserIdProblem> {
        let id = match self {
            Self::Pointer(pointer) => match lookup(user, pointer) {
                None | Some(Value::Null) => return Err(UserIdProblem::Absent),
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
                    number.to_string()
                }
                Some(_) => return Err(UserIdProblem::NotText),
            },
            Self::Closure(read) => read(user).ok_or(UserIdProblem::Absent)?,
        };
        if id.is_empty() {
            return Err(UserIdProblem::Absent);
        }
        Ok(id)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pointer(pointer) => f.debug_tuple("Pointer").field(pointer).finish(),
            Self::Closure(_) => f.write_str("Closure"),
        }
    }
}

/// Why a user's id could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserIdProblem {
    /// The answer has nothing there, null, or the empty string.
    #[error("the user's answer has no id where the provider's user id rule looks for it")]
    Absent,
    /// What is there is neither text nor an integer.
    #[error("the user id in the answer is neither text nor an integer")]
    NotText,
}

/// Where user and groups come from; private to the crate, chosen by the builder's methods.
#[derive(Debug, Clone)]
pub(crate) enum UserSource {
    /// The provider tells nothing about its users.
    None,
    /// One endpoint answers with a JSON object.
    Endpoint { url: ProviderUrl, id: UserId, groups_claim: Option<String> },
    /// GitHub's REST API: `/user`, `/user/emails`, `/user/teams` below a base.
    GitHub { api_base: ProviderUrl, id: UserId },
}

/// Follows a JSON pointer into an object; the empty pointer leads nowhere, as it names the whole.
pub(crate) fn lookup<'a>(object: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let (first, rest) = match pointer.strip_prefix('/')?.split_once('/') {
        Some((first, _)) => (first, &pointer[first.len() + 1..]),
        None => (&pointer[1..], ""),
    };
    object.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
}

/// True for a JSON pointer that names a member: it starts with `/` and escapes only `~0` and `~1`.
pub(crate) fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Map, Value, json};

    use super::{UserId, UserIdProblem, is_pointer};

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { panic!("not an object") };
        map
    }

    #[test]
    fn text_and_integers_are_ids() {
        let user = object(json!({
            "sub": "u1", "id": 583231, "big": u64::MAX, "data": {"a/b~": {"id": "deep"}}, "": "e"
        }));
        for (pointer, id) in [
            ("/sub", "u1"),
            ("/id", "583231"),
            ("/big", "18446744073709551615"),
            ("/data/a~1b~0/id", "deep"),
            ("/", "e"),
        ] {
            assert_eq!(UserId::pointer(pointer).read(&user).as_deref(), Ok(id), "{pointer}");
        }
    }

    #[test]
    fn everything_else_is_a_typed_error() {
        let user = object(json!({
            "null": null, "empty": "", "yes": true, "list": [1], "object": {}, "fraction": 7.5,
            "huge": 1e30
        }));
        for pointer in ["/null", "/empty", "/absent", "/object/id", ""] {
            assert_eq!(
                UserId::pointer(pointer).read(&user),
                Err(UserIdProblem::Absent),
                "{pointer}"
            );
        }
        for pointer in ["/yes", "/list", "/object", "/fraction", "/huge"] {
            assert_eq!(
                UserId::pointer(pointer).read(&user),
                Err(UserIdProblem::NotText),
                "{pointer}"
            );
        }
    }

    #[test]
    fn a_closure_decides_for_itself() {
        let id =
            UserId::Closure(Arc::new(|user| user.get("name")?.as_str().map(str::to_uppercase)));

        assert_eq!(id.read(&object(json!({"name": "ada"}))).as_deref(), Ok("ADA"));
        assert_eq!(id.read(&object(json!({}))), Err(UserIdProblem::Absent));
    }

    #[test]
    fn pointers_start_with_a_slash_and_escape_properly() {
        assert!(is_pointer("/sub") && is_pointer("/a~1b/~0"));
        assert!(!is_pointer("") && !is_pointer("sub") && !is_pointer("/a~2") && !is_pointer("/a~"));
    }
}
