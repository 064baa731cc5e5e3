//! The simulated users: everything about one follows from its name.

use serde_json::{Value, json};

/// A simulated user's name, such as `user-7`.
pub(super) fn name(number: u64) -> String {
    format!("user-{number}")
}

/// True for a name a login may ask for.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// The user a `login_hint` means: a name, or one of our addresses.
pub(super) fn from_hint(hint: &str) -> Option<&str> {
    let name = hint.strip_suffix(EMAIL_DOMAIN).unwrap_or(hint);
    is_name(name).then_some(name)
}

/// OpenID Connect user info claims.
pub(super) fn claims(user: &str, groups: u32) -> Value {
    json!({
        "sub": user,
        "name": display_name(user),
        "email": email(user),
        "email_verified": true,
        "groups": group_names(groups),
    })
}

/// The user as GitHub's `GET /user` shows it: a numeric id, and no public address.
pub(super) fn github_user(user: &str) -> Value {
    json!({
        "id": numeric_id(user),
        "login": user,
        "name": display_name(user),
        "email": null,
        "type": "User",
    })
}

/// The user's addresses as GitHub's `GET /user/emails` shows them; the primary one is not first.
pub(super) fn github_emails(user: &str) -> Value {
    json!([
        {"email": format!("old-{}", email(user)), "primary": false, "verified": true, "visibility": null},
        {"email": email(user), "primary": true, "verified": true, "visibility": "private"},
    ])
}

/// The user's teams as GitHub's `GET /user/teams` shows them.
pub(super) fn github_teams(groups: u32) -> Value {
    (1..=groups)
        .map(|number| {
            json!({
                "id": number,
                "name": format!("group-{number}"),
                "slug": format!("group-{number}"),
                "organization": {"id": 1, "login": "simulated-organization"},
            })
        })
        .collect()
}

const EMAIL_DOMAIN: &str = "@simulator.example";

fn email(user: &str) -> String {
    format!("{user}{EMAIL_DOMAIN}")
}

fn display_name(user: &str) -> String {
    format!("Simulated {user}")
}

fn group_names(groups: u32) -> Vec<String> {
    (1..=groups).map(|number| format!("group-{number}")).collect()
}

/// The number in `user-7`, or a number of its own for any other name.
fn numeric_id(user: &str) -> u64 {
    let digits = user.strip_prefix("user-").and_then(|digits| digits.parse::<u32>().ok());
    digits.map_or_else(
        || {
            let hash = user.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
            (hash >> 12) | (1 << 40)
        },
        u64::from,
    )
}

#[cfg(test)]
mod tests {
    use super::{from_hint, github_user};

    #[test]
    fn a_hint_is_a_name_or_an_address() {
        assert_eq!(from_hint("user-3"), Some("user-3"));
        assert_eq!(from_hint("user-3@simulator.example"), Some("user-3"));
        assert_eq!(from_hint("user 3"), None);
        assert_eq!(from_hint(""), None);
    }

    #[test]
    fn numeric_ids_differ_between_users() {
        assert_eq!(github_user("user-3")["id"], 3);
        assert_ne!(github_user("a")["id"], github_user("b")["id"]);
    }
}
