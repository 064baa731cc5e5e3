//! Who the provider says the session belongs to, and which groups they are in.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A user as the provider describes them.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The provider's stable id for this user, always text (GitHub's number becomes its digits).
    pub id: String,
    /// Everything the provider's user endpoint said.
    pub attributes: Map<String, Value>,
    /// Groups, teams or roles; empty unless they were asked for.
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// A group, team or role of a user.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The name people know it by.
    pub name: String,
    /// Everything the provider said about it.
    pub attributes: Map<String, Value>,
}

// Attributes are personal data: `Debug` tells how many there are, not what they hold.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("attributes", &self.attributes.len())
            .field("groups", &self.groups)
            .finish()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("name", &self.name).finish_non_exhaustive()
    }
}
