//! GitHub's REST API: the user, their primary e-mail address, their teams.

use serde_json::{Map, Value};

use crate::model::{Group, User};
use crate::oauth::userinfo::endpoint::group;
use crate::oauth::userinfo::{Api, Profile, UserError, list, object};
use crate::oauth::{ProviderUrl, UserId};

const ACCEPT: &str = "application/vnd.github+json";

/// GitHub's largest page.
const PAGE_SIZE: usize = 100;

/// Pages of teams that are read; nobody is in a thousand teams.
const PAGE_LIMIT: usize = 10;

/// Fetches the user with their primary e-mail address, and their teams if `with_groups`.
pub(super) async fn fetch(
    api: &Api<'_>,
    base: &ProviderUrl,
    id: &UserId,
    with_groups: bool,
) -> Result<Profile, UserError> {
    let mut attributes = object(api.get(&base.join(&["user"]), ACCEPT).await?)?;
    let id = id.read(&attributes)?;
    if let Some(email) = primary_email(api, base).await? {
        attributes.insert("email".to_owned(), Value::String(email));
    }
    let (groups, groups_error) = match with_groups {
        false => (Vec::new(), None),
        true => match teams(api, base).await {
            Ok(groups) => (groups, None),
            Err(error) => (Vec::new(), Some(error)),
        },
    };
    Ok(Profile { user: User { id, attributes, groups }, groups_error })
}

/// The primary address; `None` where there is none, or the token may not read addresses.
async fn primary_email(api: &Api<'_>, base: &ProviderUrl) -> Result<Option<String>, UserError> {
    let emails = match api.get(&page(base, &["user", "emails"], 1), ACCEPT).await {
        Ok(emails) => list(emails)?,
        // A GitHub App without the permission still knows who the user is.
        Err(UserError::Misconfigured { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let primary = |email: &&Map<String, Value>| email.get("primary") == Some(&Value::Bool(true));
    let email = emails.iter().filter_map(Value::as_object).find(primary);
    Ok(email.and_then(|email| email.get("email")?.as_str()).map(str::to_owned))
}

async fn teams(api: &Api<'_>, base: &ProviderUrl) -> Result<Vec<Group>, UserError> {
    let mut teams = Vec::new();
    for number in 1..=PAGE_LIMIT {
        let page = list(api.get(&page(base, &["user", "teams"], number), ACCEPT).await?)?;
        let is_last = page.len() < PAGE_SIZE;
        for team in page {
            teams.push(group(team)?);
        }
        if is_last {
            return Ok(teams);
        }
    }
    tracing::warn!(
        teams = teams.len(),
        "a user has more teams than are read; the rest is left out"
    );
    Ok(teams)
}

fn page(base: &ProviderUrl, segments: &[&str], number: usize) -> ProviderUrl {
    base.join(segments)
        .with_query(&[("per_page", PAGE_SIZE.to_string()), ("page", number.to_string())])
}
