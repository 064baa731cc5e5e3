//! The checks: pure functions from files to complaints, each naming the place and what to do.

use crate::MAY_IMPORT;
use crate::code;
use crate::tree::File;

/// A check: files in, complaints out.
pub(crate) type Check = fn(&[File]) -> Vec<String>;

/// Every check by its name. `samples.rs` shows each one a file it must catch.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("imports_point_down", imports_point_down),
    ("actix_stays_behind_its_door", actix_stays_behind_its_door),
    ("every_file_is_declared", every_file_is_declared),
    ("every_file_has_a_header", every_file_has_a_header),
    ("no_file_is_too_long", no_file_is_too_long),
    ("the_map_names_every_module", the_map_names_every_module),
    ("the_top_level_is_known", the_top_level_is_known),
    ("decisions_are_short", decisions_are_short),
    ("no_private_path_is_named", no_private_path_is_named),
];

const LONGEST_FILE: usize = 500;
const LONGEST_DECISION: usize = 60;
const MAP: &str = "docs/ARCHITECTURE.md";
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "src",
    "benches",
    "tests",
    "deploy",
    "docs",
];

/// The crate name, and the top-level folders of `src` that may say it.
const DOORS: &[(&str, &[&str])] = &[
    ("actix", &["actors"]),
    ("actix_rt", &["actors"]),
    ("actix_web", &["server", "integrations"]),
];

fn imports_point_down(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (file, module) in sources(files) {
        let row = MAY_IMPORT.iter().find(|(name, _)| *name == module);
        let free = matches!(module, "lib" | "main");
        if row.is_none() && !free {
            complaints.push(format!("{}: module `{module}` has no row in MAY_IMPORT", file.path));
        }
        let allowed = row.map_or(&[][..], |(_, imports)| imports);
        let at_root = is_module_root(&file.path);
        for (number, line) in numbered(&code::only(&file.text)) {
            for import in imports(line, at_root) {
                if !free && import != module && !allowed.contains(&import) {
                    complaints.push(format!(
                        "{}:{number}: `{module}` may not import `{import}`; name one module of its row",
                        file.path
                    ));
                }
            }
        }
    }
    complaints
}

/// What a line of code imports: the word after each `crate::` (nothing for `crate::{…}`),
/// `super::super`, and siblings a top-level module reaches by `super::`.
fn imports(line: &str, at_root: bool) -> Vec<&str> {
    let mut found: Vec<&str> = after(line, "crate::").collect();
    found.extend(line.contains("super::super").then_some("super::super"));
    let known = |name: &&str| MAY_IMPORT.iter().any(|(module, _)| module == name);
    found.extend(after(line, "super::").filter(|_| at_root).filter(known));
    found
}

/// The identifier after each place where the path prefix `root` stands alone.
fn after<'line>(line: &'line str, root: &'static str) -> impl Iterator<Item = &'line str> {
    line.match_indices(root).filter_map(move |(at, _)| {
        let inside = line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &line[at + root.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        (!inside).then_some(&rest[..end])
    })
}

fn actix_stays_behind_its_door(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (file, module) in sources(files) {
        for (number, line) in numbered(&code::only(&file.text)) {
            for (name, doors) in DOORS {
                if !doors.contains(&module) && code::words(line).any(|word| word == *name) {
                    complaints.push(format!(
                        "{}:{number}: `{name}` is named only in {}",
                        file.path,
                        doors.join(", ")
                    ));
                }
            }
        }
    }
    complaints
}

fn every_file_is_declared(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (file, _) in sources(files) {
        let Some((parents, name)) = declaration_of(&file.path) else { continue };
        let declared = files.iter().filter(|other| parents.contains(&other.path)).any(|parent| {
            let code = code::only(&parent.text);
            let words: Vec<&str> = code::words(&code).collect();
            words.windows(2).any(|pair| pair == ["mod", name])
        });
        if !declared {
            complaints.push(format!(
                "{}: not compiled; write `mod {name};` in {}",
                file.path,
                parents.join(" or ")
            ));
        }
    }
    complaints
}

/// The files that may declare the module at `path`, and the name they declare it by.
fn declaration_of(path: &str) -> Option<(Vec<String>, &str)> {
    let (folder, stem) = path.strip_suffix(".rs")?.rsplit_once('/')?;
    let (folder, name) = if stem == "mod" { folder.rsplit_once('/')? } else { (folder, stem) };
    match folder {
        "src" if matches!(name, "lib" | "main") => None,
        "src" => Some((vec!["src/lib.rs".to_owned()], name)),
        _ => Some((vec![format!("{folder}/mod.rs"), format!("{folder}.rs")], name)),
    }
}

fn every_file_has_a_header(files: &[File]) -> Vec<String> {
    let headless = rust(files).filter(|file| !file.text.starts_with("//! "));
    headless
        .map(|file| {
            format!("{}: open with a `//!` line saying what it is responsible for", file.path)
        })
        .collect()
}

fn no_file_is_too_long(files: &[File]) -> Vec<String> {
    let long = rust(files).map(|file| (file, file.text.lines().count()));
    long.filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(file, lines)| {
            format!("{}: {lines} lines, at most {LONGEST_FILE}; split it", file.path)
        })
        .collect()
}

fn the_map_names_every_module(files: &[File]) -> Vec<String> {
    let map = files.iter().find(|file| file.path == MAP).map_or("", |file| &file.text);
    let mut modules: Vec<&str> = sources(files)
        .map(|(_, module)| module)
        .filter(|module| !matches!(*module, "lib" | "main"))
        .collect();
    modules.dedup();
    let rows: Vec<&str> = map
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let missing = modules.iter().filter(|module| !rows.contains(module));
    let gone = rows.iter().filter(|row| !modules.contains(row));
    missing
        .map(|module| format!("{MAP}: `{module}` has source and no row in the table of modules"))
        .chain(gone.map(|row| format!("{MAP}: `{row}` has a row and no source")))
        .collect()
}

fn the_top_level_is_known(files: &[File]) -> Vec<String> {
    let mut entries: Vec<&str> =
        files.iter().filter_map(|file| file.path.split('/').next()).collect();
    entries.sort_unstable();
    entries.dedup();
    let missing = TOP_LEVEL.iter().filter(|wanted| !entries.contains(wanted));
    let mut complaints: Vec<String> =
        missing.map(|wanted| format!("{wanted}: missing at the top level")).collect();
    entries.retain(|entry| !entry.starts_with('.') && !TOP_LEVEL.contains(entry));
    let unknown =
        |entry| format!("{entry}: not on the list of top-level entries; find it a folder");
    complaints.extend(entries.into_iter().map(unknown));
    complaints
}

fn decisions_are_short(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("docs/adr/")) {
        let lines = file.text.lines().count();
        if lines > LONGEST_DECISION {
            complaints.push(format!("{}: {lines} lines, at most {LONGEST_DECISION}", file.path));
        }
        for heading in ["## Context", "## Decision", "## Consequences"] {
            if !file.text.lines().any(|line| line == heading) {
                complaints.push(format!("{}: no `{heading}`", file.path));
            }
        }
    }
    complaints
}

fn no_private_path_is_named(files: &[File]) -> Vec<String> {
    // Put together here, so that this file does not name them either.
    let private = [concat!("/wo", "rk/"), concat!("/tmp", "/wt"), concat!("/ro", "ot/")];
    let mut complaints = Vec::new();
    for file in files {
        for (number, line) in numbered(&file.text) {
            for path in private.iter().filter(|path| line.contains(**path)) {
                complaints
                    .push(format!("{}:{number}: names {path}, a path of one machine", file.path));
            }
        }
    }
    complaints
}

/// Rust files of `src`, each with the top-level module it belongs to.
fn sources(files: &[File]) -> impl Iterator<Item = (&File, &str)> {
    files.iter().filter_map(|file| {
        let inside = file.path.strip_prefix("src/")?;
        let module = inside.strip_suffix(".rs")?.split('/').next()?;
        Some((file, module))
    })
}

fn rust(files: &[File]) -> impl Iterator<Item = &File> {
    let folders = ["src/", "tests/", "benches/", "docs/"];
    files.iter().filter(move |file| {
        file.path.ends_with(".rs") && folders.iter().any(|folder| file.path.starts_with(folder))
    })
}

/// True for `src/x.rs` and `src/x/mod.rs`, where `super` is the crate's root.
fn is_module_root(path: &str) -> bool {
    let depth = path.matches('/').count();
    depth == 1 || (depth == 2 && path.ends_with("/mod.rs"))
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}
