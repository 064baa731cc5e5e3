//! Fifty answers as providers send them, each with what Flet made of it and what we make of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::{RequestError, TokenAnswer, read};
use crate::model::{OAuthToken, Timestamp};
use crate::oauth::{RawAnswer, ScopeSeparator};

/// What an answer is read as.
enum Reading {
    /// The very token Flet saves.
    AsFlet,
    /// A token where Flet has another, or none; saved in this form, for this reason.
    Differs(&'static str, &'static str),
    Rejected(&'static str),
    Misconfigured(&'static str),
    InDoubt(&'static str),
}

use Reading::{AsFlet, Differs, InDoubt, Misconfigured, Rejected};

const TABLE: &[(&str, Reading)] = &[
    ("01-github-form", AsFlet),
    ("02-github-json-comma-scope", AsFlet),
    ("03-github-app-expiring-form", AsFlet),
    ("04-github-error-200-form", Rejected("bad_verification_code")),
    ("05-google-json", AsFlet),
    ("06-azure-json-ext", AsFlet),
    ("07-expires-string", AsFlet),
    ("08-expires-float", AsFlet),
    ("09-expires-missing", AsFlet),
    ("10-no-refresh-token", AsFlet),
    ("11-scope-list", AsFlet),
    ("12-scope-null", AsFlet),
    (
        "13-scope-empty",
        Differs(
            r#"{"access_token":"a","token_type":"Bearer","expires_in":3600,"expires_at":1795430150}"#,
            "an empty scope is no scope",
        ),
    ),
    (
        "14-scope-double-space",
        Differs(
            r#"{"access_token":"a","scope":["x","y"],"token_type":"Bearer"}"#,
            "two spaces do not make a scope without a name",
        ),
    ),
    ("15-expires-zero", AsFlet),
    ("16-expires-negative", AsFlet),
    ("17-expires-null", AsFlet),
    (
        "18-expires-garbage",
        Differs(
            r#"{"access_token":"a","token_type":"Bearer","refresh_token":"r"}"#,
            "an odd lifetime must not cost the tokens beside it",
        ),
    ),
    ("19-expires-at-int", AsFlet),
    ("20-expires-at-float", AsFlet),
    ("21-expires-at-string", AsFlet),
    ("22-expires-at-iso", AsFlet),
    ("23-no-token-type", AsFlet),
    ("24-extra-fields", AsFlet),
    ("25-unicode", AsFlet),
    (
        "26-refresh-token-empty",
        Differs(
            r#"{"access_token":"a","token_type":"Bearer","expires_in":3600,"expires_at":1795430151}"#,
            "an empty refresh token is none: it must not take the place of a good one",
        ),
    ),
    ("27-access-token-missing", InDoubt("HTTP 200 with JSON without access_token")),
    ("28-error-200-json", Rejected("invalid_grant")),
    ("29-error-200-unknown", Misconfigured("weird_code")),
    ("30-error-400-json", Rejected("invalid_grant")),
    ("31-error-401", Misconfigured("invalid_client")),
    ("32-error-503-html", InDoubt("HTTP 503")),
    ("33-html-200", InDoubt("HTTP 200 with an HTML page")),
    ("34-badjson-200", InDoubt("HTTP 200 with malformed or truncated JSON")),
    ("35-empty-200", InDoubt("HTTP 200 with an empty body")),
    ("36-json-array", InDoubt("HTTP 200 with a JSON array")),
    ("37-json-null", InDoubt("HTTP 200 with JSON null")),
    ("38-form-body-json-ctype", AsFlet),
    // Flet saves a token that is none, and fails when it reads it back.
    ("39-access-token-null", InDoubt("HTTP 200 with an access_token that is null")),
    (
        "40-access-token-number",
        Differs(
            r#"{"access_token":"12345","token_type":"Bearer"}"#,
            "an access token is text; a number's digits are what the provider takes back",
        ),
    ),
    ("41-slack-nested", InDoubt("HTTP 200 with JSON without access_token")),
    (
        "42-expires-true",
        Differs(
            r#"{"access_token":"a","token_type":"Bearer","refresh_token":"r"}"#,
            "true is no lifetime; Flet counts it as one second",
        ),
    ),
    // Flet follows both, and sends code and client secret wherever the redirect points.
    ("43-redirect-307", Misconfigured("HTTP 307")),
    ("44-redirect-302", Misconfigured("HTTP 302")),
    ("45-status-201", AsFlet),
    ("46-dup-keys", AsFlet),
    (
        "47-bom",
        Differs(
            r#"{"access_token":"a","token_type":"Bearer"}"#,
            "a byte order mark hides nothing: the JSON behind it is whole",
        ),
    ),
    ("48-huge-expires", AsFlet),
    ("49-expires-1e3", AsFlet),
    (
        "50-expires-string-float",
        Differs(
            r#"{"access_token":"a","token_type":"Bearer","expires_in":3600,"expires_at":1795430152,"refresh_token":"r"}"#,
            "text with a fraction is still a number; rounded down like 3600.9 without quotes",
        ),
    ),
];

/// Every sample but those of encrypted text, by name.
fn samples() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/flet");
    let mut samples = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let sample: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if sample.get("provider_answer").is_some() {
            samples.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), sample);
        }
    }
    samples
}

fn raw(sample: &Value) -> RawAnswer {
    let answer = &sample["provider_answer"];
    let headers = answer["headers"].as_array().unwrap();
    let content_type = headers.iter().find(|header| header[0] == "Content-Type");
    RawAnswer {
        status: answer["status"].as_u64().unwrap().try_into().unwrap(),
        retry_after: None,
        content_type: content_type.map(|header| header[1].as_str().unwrap().to_owned()),
        body: answer["body"].as_str().unwrap().to_owned().into(),
    }
}

/// The token of an answer that was asked for when the sample was.
fn token_of(answer: &TokenAnswer, sample: &Value) -> OAuthToken {
    let at = sample["at"].as_f64().unwrap_or(1_795_426_551.6);
    #[expect(clippy::cast_possible_truncation, reason = "a moment of the year 2026")]
    answer.token(Timestamp::from_millis((at * 1000.0) as i64), None)
}

/// The saved token with Flet's nulls, which the saved form leaves out.
fn fields(saved: &str) -> Value {
    let mut fields = json!({
        "access_token": null, "scope": null, "token_type": null,
        "expires_in": null, "expires_at": null, "refresh_token": null,
    });
    let saved: Value = serde_json::from_str(saved).unwrap();
    fields.as_object_mut().unwrap().extend(saved.as_object().unwrap().clone());
    fields
}

#[test]
fn every_sample_has_its_row_and_every_row_its_sample() {
    let names: Vec<String> = samples().into_keys().collect();
    let rows: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();

    assert_eq!(names, rows);
    assert_eq!(rows.len(), 50);
}

#[test]
fn every_sample_is_read_as_its_row_says() {
    let samples = samples();
    for (name, reading) in TABLE {
        let sample = &samples[*name];
        let outcome = read(&raw(sample), ScopeSeparator::Space);
        match (reading, outcome) {
            (AsFlet, Ok(answer)) => {
                let saved = token_of(&answer, sample).to_json();
                assert_eq!(saved, sample["to_json"].as_str().unwrap(), "{name}");
                assert_eq!(fields(&saved), sample["token_fields"], "{name}");
            }
            (Differs(expected, reason), Ok(answer)) => {
                let saved = token_of(&answer, sample).to_json();
                assert_eq!(saved, *expected, "{name}: {reason}");
                assert_ne!(sample["to_json"], saved.as_str(), "{name} differs no longer");
            }
            (Rejected(code), Err(RequestError::Rejected { error, .. }))
            | (Misconfigured(code), Err(RequestError::Misconfigured { error, .. })) => {
                assert_eq!(error, *code, "{name}");
            }
            (InDoubt(expected), Err(RequestError::InDoubt { detail })) => {
                assert_eq!(detail, *expected, "{name}");
            }
            (_, other) => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn commas_part_scopes_only_where_the_provider_writes_them() {
    let samples = samples();
    let scope = |name: &str, separator| read(&raw(&samples[name]), separator).unwrap().scope;

    let form = scope("01-github-form", ScopeSeparator::Comma).unwrap();
    assert_eq!(form, ["repo", "gist", "read:user"]);
    let json = scope("02-github-json-comma-scope", ScopeSeparator::Comma).unwrap();
    assert_eq!(json, ["repo", "gist"]);
}

#[test]
fn what_flet_loses_is_kept_beside_the_token() {
    let samples = samples();
    let read = |name: &str| read(&raw(&samples[name]), ScopeSeparator::Space).unwrap();

    let extra = read("24-extra-fields");
    assert_eq!(extra.id_token.unwrap().expose(), "x.y.z");
    assert_eq!(Value::Object(extra.extra), json!({ "team": { "id": "T1" }, "ok": true }));
    let github = read("03-github-app-expiring-form");
    assert_eq!(Value::Object(github.extra), json!({ "refresh_token_expires_in": "15897600" }));
}
