//! A user endpoint that answers with one JSON object, as OpenID Connect's does.

use serde_json::{Map, Value};

use crate::model::{Group, User};
use crate::oauth::provider::lookup;
use crate::oauth::userinfo::{Api, Profile, UserError, list, object};
use crate::oauth::{ProviderUrl, UserId};

/// Fetches the user, and reads groups from the same answer where a pointer to them is given.
pub(super) async fn fetch(
    api: &Api<'_>,
    url: &ProviderUrl,
    id: &UserId,
    groups_claim: Option<&str>,
) -> Result<Profile, UserError> {
    let attributes = object(api.get(url, "application/json").await?)?;
    let id = id.read(&attributes)?;
    let groups = groups_claim.map_or(Ok(Vec::new()), |pointer| groups(&attributes, pointer));
    let (groups, groups_error) = match groups {
        Ok(groups) => (groups, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    Ok(Profile { user: User { id, attributes, groups }, groups_error })
}

/// Groups below `pointer`. A user without groups often has no list at all.
fn groups(user: &Map<String, Value>, pointer: &str) -> Result<Vec<Group>, UserError> {
    match lookup(user, pointer) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(claim) => list(claim.clone())?.into_iter().map(group).collect(),
    }
}

/// A group from its name, or from an object with a `name`.
pub(super) fn group(value: Value) -> Result<Group, UserError> {
    match value {
        Value::String(name) => Ok(Group { name, attributes: Map::new() }),
        Value::Object(attributes) => match attributes.get("name") {
            Some(Value::String(name)) => Ok(Group { name: name.clone(), attributes }),
            _ => Err(UserError::Malformed { detail: "a group has no name".to_owned() }),
        },
        _ => Err(UserError::Malformed { detail: "a group is neither text nor object".to_owned() }),
    }
}
