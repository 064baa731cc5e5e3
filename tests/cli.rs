//! The `tokenhive` command, run as its users run it.

#![cfg(feature = "cli")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const QUICK_DEMO: &[&str] = &["demo", "--sessions", "20", "--seconds", "3", "--lifetime", "1s"];

fn tokenhive(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokenhive"));
    command.args(arguments).env_remove("TOKENHIVE_LOG").stdin(Stdio::null());
    command
}

/// Exit code, stdout, stderr.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    told(&tokenhive(arguments).output().unwrap())
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn the_demo_keeps_every_promise_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();

    let output = tokenhive(QUICK_DEMO).env("TMPDIR", folder.path()).output().unwrap();

    let (code, table, progress) = told(&output);
    assert_eq!(code, Some(0), "{table}\n{progress}");
    let value = |name: &str| {
        let row = table.lines().find_map(|line| line.trim_start().strip_prefix(name));
        let row = row.unwrap_or_else(|| panic!("no row {name} in:\n{table}"));
        row.split_whitespace().next().unwrap().replace(',', "")
    };
    assert_eq!(value("sessions  "), "20");
    assert_eq!(value("provider calls per refresh"), "1.000");
    assert_eq!(value("reuse detected"), "0");
    assert_eq!(value("errors"), "0");
    assert_eq!(value("sessions alive"), "20");
    assert_eq!(value("sessions refreshed"), "20");
    assert_eq!(value("plain tokens in the file"), "0");
    for (name, least) in [
        ("reads  ", 1000.0),
        ("reads per second", 1000.0),
        ("refreshes", 20.0),
        ("read p50", 1.0),
        ("read p99", 1.0),
    ] {
        assert!(value(name).parse::<f64>().unwrap() >= least, "{name} in:\n{table}");
    }
    assert!(table.trim_end().ends_with("\nevery promise held"), "{table}");
    for phase in ["starting", "logging in 20 users", "keeping 20 sessions fresh", "checking"] {
        assert!(progress.contains(phase), "{phase} in:\n{progress}");
    }
    assert!(is_empty(folder.path()));
}

#[test]
fn the_demo_speaks_json() {
    let (code, json, _) = run(&[QUICK_DEMO, &["--json"]].concat());

    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(code, Some(0), "{json}");
    assert_eq!(report["every_promise_held"], true);
    assert_eq!(report["calls_per_refresh"], 1.0);
    assert_eq!(report["promises"].as_array().unwrap().len(), 6);
}

#[cfg(unix)]
#[test]
fn a_demo_that_is_kept_runs_until_it_is_asked_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = tokenhive(&[QUICK_DEMO, &["--keep"]].concat())
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(demo.stderr.take().unwrap()).lines().map(Result::unwrap);
    let store = stderr.find_map(|line| Some(line.trim().strip_prefix("store")?.trim().to_owned()));
    stderr.find(|line| line.starts_with("Ctrl-C stops it")).unwrap();
    assert!(Path::new(&store.unwrap()).starts_with(folder.path()));
    assert!(!is_empty(folder.path()));

    let pid = demo.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());

    assert_eq!(demo.wait().unwrap().code(), Some(0));
    assert!(is_empty(folder.path()));
}

#[cfg(unix)]
#[test]
fn an_interrupted_demo_fails_and_cleans_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = tokenhive(&["demo", "--sessions", "20", "--seconds", "60"])
        .env("TMPDIR", folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(demo.stderr.take().unwrap()).lines().map(Result::unwrap);
    stderr.find(|line| line.starts_with("keeping")).unwrap();

    let pid = demo.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());

    assert_eq!(stderr.last().as_deref(), Some("error: interrupted"));
    assert_eq!(demo.wait().unwrap().code(), Some(1));
    assert!(is_empty(folder.path()));
}

#[test]
fn a_demo_whose_provider_ends_a_session_fails_and_says_which_promises_broke() {
    let mut demo = tokenhive(&["demo", "--sessions", "20", "--seconds", "6", "--lifetime", "1s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(demo.stderr.take().unwrap()).lines().map(Result::unwrap);
    let provider = stderr.find_map(|line| Some(line.split_once(" at http://")?.1.to_owned()));
    stderr.find(|line| line.starts_with("keeping")).unwrap();

    let answer = post(&provider.unwrap(), "/_sim/revoke?user=user-00007");
    assert!(answer.contains(" 200 "), "{answer}");

    stderr.for_each(drop);
    let (code, table, _) = told(&demo.wait_with_output().unwrap());
    assert_eq!(code, Some(1), "{table}");
    assert!(!table.contains("every promise held"), "{table}");
    let found =
        ["promises broken:", "no reader meets an error", "user-00007", "is alive", "19 of 20"];
    for words in found {
        assert!(table.contains(words), "{words} in:\n{table}");
    }
}

/// The answer to one HTTP request without a body.
fn post(host: &str, path: &str) -> String {
    let mut connection = TcpStream::connect(host).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    write!(connection, "{head}content-length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn help_teaches_with_examples() {
    for (arguments, example) in [
        (&["--help"][..], "tokenhive demo"),
        (&["demo", "--help"], "tokenhive demo --keep"),
        (&["provider-sim", "--help"], "tokenhive provider-sim --lifetime"),
        (&["keys", "--help"], "export TOKENHIVE_KEYS="),
        (&["keys", "generate", "--help"], "export TOKENHIVE_KEYS="),
    ] {
        let (code, help, _) = run(arguments);

        assert_eq!(code, Some(0), "{arguments:?}");
        assert!(help.contains(example), "{arguments:?}: {help}");
    }
    let (_, help, _) = run(&["--help"]);
    for word in ["OAuth", "demo", "provider-sim", "keys", "TOKENHIVE_LOG", "Exit status"] {
        assert!(help.contains(word), "{word} in:\n{help}");
    }
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(run(&["--version"]).1, format!("tokenhive {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn each_generated_keyring_is_new_and_fit_for_use() {
    let (code, first, _) = run(&["keys", "generate"]);
    let (_, second, _) = run(&["keys", "generate"]);

    assert_eq!(code, Some(0));
    assert!(tokenhive::Keyring::parse(first.trim_end()).is_ok());
    assert_eq!(first.lines().count(), 1);
    assert_ne!(first, second);
}

#[test]
fn a_wrong_command_line_exits_with_2_and_says_what_is_wrong() {
    for (arguments, message) in [
        (&["dmeo"][..], "unrecognized subcommand 'dmeo'"),
        (&["keys"], "generate"),
        (&["demo", "--sessions", "0"], "0 is not in 1..=10000"),
        (&["demo", "--sessions", "many"], "invalid digit"),
        (&["demo", "--readers", "65"], "65 is not in 1..=64"),
        (&["demo", "--seconds", "0"], "0 is not in 1..=3600"),
        (&["demo", "--lifetime", "500ms"], "whole seconds from 1s to 1h"),
        (&["demo", "--latency", "6s"], "at most 5s"),
        (&["demo", "--seconds", "3"], "raise --seconds"),
        (&["demo", "--lifetime", "1s", "--latency", "200ms"], "too long for --lifetime"),
        (&["provider-sim", "--reuse", "Q"], "--reuse"),
    ] {
        let (code, stdout, stderr) = run(arguments);

        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
        assert_eq!(stdout, "", "{arguments:?}");
    }
}

#[test]
fn an_unreadable_log_filter_is_refused() {
    let output = tokenhive(&["keys", "generate"]).env("TOKENHIVE_LOG", "tokenhive=loud").output();

    let (code, stdout, stderr) = told(&output.unwrap());

    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("TOKENHIVE_LOG cannot be read"), "{stderr}");
    assert_eq!(stdout, "");
}
