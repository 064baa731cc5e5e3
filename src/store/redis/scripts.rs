//! The scripts, loaded from `lua/`. Each is one transaction of [`crate::ledger`] within one slot.

use std::sync::LazyLock;

/// A script and the name the server knows it by.
pub(super) struct Script {
    pub(super) code: String,
    pub(super) hash: String,
}

impl Script {
    fn new(body: &str) -> Self {
        let code = format!("{}\n{body}", include_str!("lua/common.lua"));
        let hash = redis::Script::new(&code).get_hash().to_owned();
        Self { code, hash }
    }
}

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("lua/", $file))));)*
    };
}

scripts! {
    LOAD = "load.lua";
    BEGIN = "begin.lua";
    COMMIT = "commit.lua";
    FAIL = "fail.lua";
    PUT = "put.lua";
    DELETE = "delete.lua";
    BURY = "bury.lua";
    SETTLE = "settle.lua";
    POSTPONE = "postpone.lua";
    PROFILE = "profile.lua";
    REASSERT = "reassert.lua";
    LOOK = "look.lua";
    HIDE = "hide.lua";
    PUT_LOGIN = "put_login.lua";
    TAKE_LOGIN = "take_login.lua";
    ENROL = "enrol.lua";
    ENTER = "enter.lua";
}
