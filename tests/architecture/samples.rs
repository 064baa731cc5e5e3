//! Each check is shown files that break its rule and sees them, and files that keep it and is silent.

use crate::checks::{CHECKS, Check};
use crate::tree::File;

fn files(list: &[(&str, &str)]) -> Vec<File> {
    list.iter().map(|(path, text)| File { path: (*path).into(), text: (*text).into() }).collect()
}

fn check(name: &str) -> Check {
    CHECKS.iter().find(|(known, _)| *known == name).expect("a sample names a known check").1
}

#[track_caller]
fn catches(name: &str, list: &[(&str, &str)], said: &str) {
    let complaints = check(name)(&files(list));

    assert!(
        complaints.iter().any(|it| it.contains(said)),
        "{name} did not say {said:?}: {complaints:?}"
    );
}

#[track_caller]
fn accepts(name: &str, list: &[(&str, &str)]) {
    let complaints = check(name)(&files(list));

    assert!(complaints.is_empty(), "{name}: {complaints:?}");
}

#[test]
fn every_check_has_a_sample_it_catches() {
    let samples = include_str!("samples.rs");

    for (name, _) in CHECKS {
        assert!(samples.contains(&format!("{name:?}")), "write a sample that {name} catches");
    }
}

#[test]
fn imports_that_do_not_point_down_are_caught() {
    let caught = |path: &str, text: &str, said: &str| {
        catches("imports_point_down", &[(path, text)], said);
    };

    caught("src/model/user.rs", "use crate::store::Memory;", ":1: `model` may not import `store`");
    caught(
        "src/store/redb.rs",
        "//! x\nfn f() { crate::oauth::go() }",
        ":2: `store` may not import `oauth`",
    );
    caught("src/hive/mod.rs", "use crate::{model::User, store::Memory};", "may not import ``");
    caught("src/hive/a/b.rs", "use super::super::model;", "may not import `super::super`");
    caught("src/timing/mod.rs", "use super::actors::Host;", "may not import `actors`");
    caught("src/lender/mod.rs", "", "`lender` has no row");
    caught("src/store/mod.rs", "#[cfg(test)] mod tests { use crate::hive::TokenHive; }", "`hive`");
}

#[test]
fn imports_that_point_down_are_accepted() {
    let kept = |path: &str, text: &str| accepts("imports_point_down", &[(path, text)]);

    kept("src/store/mod.rs", "use crate::ledger::Record;\nuse crate::store::memory;");
    kept(
        "src/model/mod.rs",
        "//! See [`crate::hive`].\n// use crate::hive::X;\nlet a = \"crate::hive\";",
    );
    kept("src/model/user.rs", "use my_crate::hive;\npub(crate) struct A;");
    kept("src/store/mod.rs", "mod tests { use super::Memory; }");
    kept("src/lib.rs", "pub use crate::hive::TokenHive;");
}

#[test]
fn actix_outside_its_folder_is_caught() {
    let name = "actix_stays_behind_its_door";

    catches(name, &[("src/hive/mod.rs", "use actix::Addr;")], "src/hive/mod.rs:1: `actix`");
    catches(name, &[("src/hive/mod.rs", "\nfn f(_: actix_rt::System) {}")], ":2: `actix_rt`");
    catches(name, &[("src/actors/host.rs", "use actix_web::App;")], "server, integrations");
    accepts(name, &[("src/actors/host.rs", "use actix::Actor;")]);
    accepts(name, &[("src/hive/mod.rs", "// hides actix\nlet s = \"actix\"; let actixes = 1;")]);
}

#[test]
fn a_file_no_one_declares_is_caught() {
    let name = "every_file_is_declared";
    let lib = ("src/lib.rs", "pub mod model;\n// mod orphan;");
    let model = ("src/model/mod.rs", "mod user;");

    catches(name, &[lib, model, ("src/model/group.rs", "")], "`mod group;`");
    catches(name, &[lib, ("src/orphan/mod.rs", "")], "`mod orphan;` in src/lib.rs");
    catches(name, &[lib, model, ("src/model/user/tests.rs", "")], "`mod tests;`");
    accepts(name, &[lib, model, ("src/model/user.rs", ""), ("src/main.rs", "")]);
}

#[test]
fn a_file_without_a_header_is_caught() {
    let name = "every_file_has_a_header";

    catches(name, &[("src/lib.rs", "pub mod model;")], "src/lib.rs");
    catches(name, &[("tests/a.rs", "// Says nothing.")], "tests/a.rs");
    accepts(name, &[("src/lib.rs", "//! Says it.\n"), ("docs/a.md", "# A")]);
}

#[test]
fn a_file_over_the_limit_is_caught() {
    let name = "no_file_is_too_long";

    catches(name, &[("src/lib.rs", &"\n".repeat(501))], "501 lines");
    accepts(name, &[("src/lib.rs", &"\n".repeat(500)), ("Cargo.lock", &"\n".repeat(900))]);
}

#[test]
fn a_map_that_differs_from_the_tree_is_caught() {
    let name = "the_map_names_every_module";
    let map = ("docs/ARCHITECTURE.md", "The store.\n| `model` | words |\n");
    let model = ("src/model/mod.rs", "");

    catches(name, &[map, model, ("src/store/mod.rs", "")], "`store` has source");
    catches(name, &[map], "`model` has a row and no source");
    catches(name, &[model], "`model` has source");
    accepts(name, &[map, model, ("src/lib.rs", "")]);
}

#[test]
fn an_unknown_top_level_entry_is_caught() {
    let name = "the_top_level_is_known";

    let whole = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "src/lib.rs",
        "benches/a.rs",
        "tests/a.rs",
        "deploy/README.md",
        "docs/ARCHITECTURE.md",
        ".gitignore",
    ]
    .map(|path| (path, ""));

    catches(name, &[&whole[..], &[("scripts/a.sh", "")]].concat(), "scripts");
    catches(name, &[&whole[..], &[("notes.txt", "")]].concat(), "notes.txt");
    catches(name, &whole[1..], "Cargo.toml: missing");
    accepts(name, &whole);
}

#[test]
fn a_decision_that_is_long_or_incomplete_is_caught() {
    let name = "decisions_are_short";
    let whole = "# A\n## Context\n## Decision\n## Consequences\n";

    catches(name, &[("docs/adr/0001-a.md", &format!("{whole}{}", "\n".repeat(57)))], "61 lines");
    catches(name, &[("docs/adr/0001-a.md", "# A\n## Context\n## Decision\n")], "Consequences");
    accepts(name, &[("docs/adr/0001-a.md", whole)]);
}

#[test]
fn a_path_of_one_machine_is_caught() {
    let name = "no_private_path_is_named";
    let private = ["see ", "/wo", "rk/notes"].concat();

    catches(name, &[("README.md", &private)], "README.md:1");
    accepts(name, &[("README.md", "a network/socket and work/ in progress")]);
}
