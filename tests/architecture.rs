//! Keeps the rules of `docs/ARCHITECTURE.md` true: who imports whom, how long a file is, what the map names.

#[path = "architecture/checks.rs"]
mod checks;
#[path = "architecture/code.rs"]
mod code;
#[path = "architecture/samples.rs"]
mod samples;
#[path = "architecture/tree.rs"]
mod tree;

use self::checks::CHECKS;

/// Module → what it may import, bottom layer first. A module without a row fails, and so does a row
/// that names a module further down, so the table cannot hold an upward arrow.
pub(crate) const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("fault", &[]),
    ("model", &[]),
    ("ledger", &["model"]),
    ("timing", &["model"]),
    ("sealing", &["model"]),
    ("oauth", &["model"]),
    ("store", &["model", "ledger", "sealing"]),
    ("journal", &["fault", "model", "ledger", "sealing"]),
    ("actors", &["fault", "model", "ledger", "timing", "sealing", "oauth", "store", "journal"]),
    ("hive", &["model", "ledger", "timing", "sealing", "oauth", "store", "journal", "actors"]),
    ("simulator", &["model", "oauth"]),
    (
        "cli",
        &[
            "model",
            "ledger",
            "timing",
            "sealing",
            "oauth",
            "store",
            "journal",
            "actors",
            "hive",
            "simulator",
        ],
    ),
];

#[test]
fn the_repository_keeps_its_rules() {
    let files = tree::repository();
    assert!(files.len() > 20, "only {} files found: the checks would prove nothing", files.len());

    let complaints: Vec<String> = CHECKS
        .iter()
        .flat_map(|(_, check)| check(&files))
        .map(|complaint| format!("  {complaint}"))
        .collect();

    assert!(complaints.is_empty(), "{} complaint(s):\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn no_row_of_the_table_points_up() {
    for (row, (module, imports)) in MAY_IMPORT.iter().enumerate() {
        for import in *imports {
            assert!(
                MAY_IMPORT[..row].iter().any(|(below, _)| below == import),
                "{module} may import {import}, which does not stand below it"
            );
        }
    }
}
