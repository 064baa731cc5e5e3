//! Byte-for-byte agreement with Flet's saved form, and what is refused.

use std::time::Duration;

use proptest::prelude::*;

use super::seconds::python_repr;
use super::{OAuthToken, SavedTokenError, Scope, Seconds};
use crate::model::{Secret, Timestamp};

/// Every `to_json` Flet gave for the provider answers in `tests/data/flet`.
fn flet_samples() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/flet");
    let mut samples = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let sample: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if let Some(saved) = sample["to_json"].as_str() {
            let case = sample["case"].as_str().unwrap().to_owned();
            samples.push((case, saved.to_owned()));
        }
    }
    samples
}

fn bare(access_token: &str) -> OAuthToken {
    OAuthToken {
        access_token: access_token.into(),
        scope: None,
        token_type: None,
        expires_in: None,
        expires_at: None,
        refresh_token: None,
    }
}

#[test]
fn what_flet_saved_is_written_back_byte_for_byte() {
    let samples = flet_samples();
    assert!(samples.len() >= 30, "only {} samples found", samples.len());

    for (case, saved) in samples {
        let read = OAuthToken::from_json(&saved);
        match case.as_str() {
            "39-access-token-null" => assert_eq!(read, Err(SavedTokenError::AccessTokenMissing)),
            "40-access-token-number" => {
                assert!(matches!(
                    read,
                    Err(SavedTokenError::WrongType { field: "access_token", .. })
                ));
            }
            "42-expires-true" => {
                assert!(matches!(
                    read,
                    Err(SavedTokenError::WrongType { field: "expires_in", .. })
                ));
            }
            _ => assert_eq!(read.unwrap().to_json(), saved, "{case}"),
        }
    }
}

#[test]
fn forms_of_older_versions_and_hand_made_files_are_kept() {
    for saved in [
        r#"{"access_token":"a"}"#,
        r#"{"access_token":"a","scope":"x y"}"#,
        r#"{"access_token":"a","scope":[],"token_type":""}"#,
        r#"{"access_token":"a","expires_at":"inf"}"#,
        r#"{"access_token":"a","expires_in":"3600","expires_at":"1900000000","refresh_token":"r"}"#,
        r#"{"access_token":"a","expires_in":3600.9,"expires_at":1795430194.9164138}"#,
        r#"{"access_token":"a","scope":["x","\u00fc"],"token_type":"Bearer","expires_in":3600,"expires_at":1900000000.0,"refresh_token":"r"}"#,
        r#"{"access_token":"a","expires_in":-9223372036854775808,"expires_at":1e+16}"#,
        r#"{"access_token":"a","refresh_token":""}"#,
        r#"{"access_token":"\u0000\u001f\b\f\n\r\t\"\\/~\u007f\u0080\ud83d\ude00"}"#,
    ] {
        assert_eq!(OAuthToken::from_json(saved).unwrap().to_json(), saved);
    }
}

#[test]
fn order_spaces_nulls_and_repeated_names_are_accepted() {
    let saved = " {\"refresh_token\":null , \"token_type\" : null,\"scope\":null,\"expires_in\":null,\n\
                 \"expires_at\":null,\"access_token\":7,\"access_token\":\"\\u0061\"}\n";

    assert_eq!(OAuthToken::from_json(saved).unwrap(), bare("a"));
}

#[test]
fn floats_are_written_as_python_writes_them() {
    // Left as Rust writes it in source, right as Python 3 prints `repr` of it.
    for (value, python) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (-1.5, "-1.5"),
        (0.0001, "0.0001"),
        (0.000_012_345, "1.2345e-05"),
        (5e-324, "5e-324"),
        (1_795_430_194.916_413_8, "1795430194.9164138"),
        (123_456_789_012_345.6, "123456789012345.6"),
        (9_999_999_999_999_998.0, "9999999999999998.0"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e+16"),
        (1.5e16, "1.5e+16"),
        (1.234_567_89e18, "1.23456789e+18"),
        (f64::MAX, "1.7976931348623157e+308"),
    ] {
        assert_eq!(python_repr(value), python);
    }
}

#[test]
fn floats_that_are_no_json_are_written_so_that_nothing_comes_alive() {
    let written =
        |value| OAuthToken { expires_at: Some(Seconds::Float(value)), ..bare("a") }.to_json();

    assert_eq!(written(f64::INFINITY), r#"{"access_token":"a","expires_at":"inf"}"#);
    for value in [f64::NAN, f64::NEG_INFINITY] {
        let expiry = OAuthToken::from_json(&written(value)).unwrap().expiry();
        assert_eq!(expiry, Some(Timestamp::from_millis(i64::MIN)));
    }
}

#[test]
fn every_fault_has_its_own_error_and_repeats_no_content() {
    use SavedTokenError as E;
    let wrong = |field, expected, found| E::WrongType { field, expected, found };
    let (text, list, number) =
        ("a string", "a list of strings, or a string", "a number of seconds");
    for (saved, error) in [
        ("", E::NotJson { line: 1, column: 0 }),
        ("MARKER", E::NotJson { line: 1, column: 1 }),
        ("{\"access_token\":\"MARKER", E::NotJson { line: 1, column: 23 }),
        ("{\"access_token\":\"MARKER\"} x", E::NotJson { line: 1, column: 27 }),
        ("{\"access_token\":\"MARKER\",\"expires_at\":NaN}", E::NotJson { line: 1, column: 39 }),
        ("\"MARKER\"", E::NotAnObject),
        ("[\"MARKER\"]", E::NotAnObject),
        ("null", E::NotAnObject),
        (
            r#"{"access_token":"MARKER","id_token":"MARKER"}"#,
            E::UnknownField { name: "id_token".into() },
        ),
        (r#"{"refresh_token":"MARKER"}"#, E::AccessTokenMissing),
        (r#"{"access_token":null,"refresh_token":"MARKER"}"#, E::AccessTokenEmpty),
        (r#"{"access_token":"","refresh_token":"MARKER"}"#, E::AccessTokenEmpty),
        (r#"{"access_token":12345}"#, wrong("access_token", text, "a number")),
        (r#"{"access_token":["MARKER"]}"#, wrong("access_token", text, "a list")),
        (r#"{"access_token":"a","token_type":{"MARKER":1}}"#, {
            wrong("token_type", text, "an object")
        }),
        (r#"{"access_token":"a","refresh_token":false}"#, {
            wrong("refresh_token", text, "true or false")
        }),
        (r#"{"access_token":"a","scope":["MARKER",null]}"#, wrong("scope", list, "a list")),
        (r#"{"access_token":"a","scope":5}"#, wrong("scope", list, "a number")),
        (r#"{"access_token":"a","expires_in":true}"#, {
            wrong("expires_in", number, "true or false")
        }),
        (r#"{"access_token":"a","expires_at":["MARKER"]}"#, wrong("expires_at", number, "a list")),
        (r#"{"access_token":"a","expires_at":"MARKER"}"#, E::NotANumber { field: "expires_at" }),
        (r#"{"access_token":"a","expires_at":"nan"}"#, E::NotANumber { field: "expires_at" }),
        (r#"{"access_token":"a","expires_at":"-inf"}"#, E::NotANumber { field: "expires_at" }),
        (r#"{"access_token":"a","expires_at":""}"#, E::NotANumber { field: "expires_at" }),
        (r#"{"access_token":"a","expires_at":1e400}"#, E::OutOfRange { field: "expires_at" }),
        (r#"{"access_token":"a","expires_at":"1e400"}"#, E::OutOfRange { field: "expires_at" }),
        (r#"{"access_token":"a","expires_in":9223372036854775808}"#, {
            E::OutOfRange { field: "expires_in" }
        }),
        (r#"{"access_token":"MARKER\ud800"}"#, E::NotUnicode { field: "access_token" }),
        (r#"{"access_token":"a","scope":["MARKER\udc00"]}"#, E::NotUnicode { field: "scope" }),
    ] {
        let got = OAuthToken::from_json(saved).unwrap_err();

        assert_eq!(got, error, "{saved}");
        assert!(!format!("{got} {got:?}").contains("MARKER"), "{got}");
    }
}

#[test]
fn a_saved_token_over_the_limit_is_not_even_parsed() {
    let at_limit = |fill: usize| format!(r#"{{"access_token":"{}"}}"#, "x".repeat(fill));
    let overhead = at_limit(0).len();

    assert!(OAuthToken::from_json(&at_limit(256 * 1024 - overhead)).is_ok());
    assert_eq!(
        OAuthToken::from_json(&at_limit(256 * 1024 - overhead + 1)),
        Err(SavedTokenError::TooLarge { bytes: 256 * 1024 + 1 })
    );
}

#[test]
fn unknown_names_are_cut_short() {
    let saved = format!(r#"{{"{}":1}}"#, "n".repeat(1000));

    assert_eq!(
        OAuthToken::from_json(&saved),
        Err(SavedTokenError::UnknownField { name: "n".repeat(64) })
    );
}

#[test]
fn expiry_reads_every_form_and_holds_at_the_ends() {
    let expiry = |seconds| {
        let token = OAuthToken { expires_at: seconds, ..bare("a") };
        token.expiry().map(Timestamp::as_millis)
    };
    let text = |text: &str| Some(Seconds::Text(text.into()));

    assert_eq!(expiry(None), None);
    assert_eq!(expiry(Some(Seconds::Int(1_900_000_000))), Some(1_900_000_000_000));
    assert_eq!(expiry(Some(Seconds::Float(1_900_000_000.25))), Some(1_900_000_000_250));
    assert_eq!(expiry(text("1900000000.5")), Some(1_900_000_000_500));
    assert_eq!(expiry(text("9007199254740993")), Some(9_007_199_254_740_993_000));
    assert_eq!(expiry(text("inf")), None);
    assert_eq!(expiry(text("soon")), None);
    assert_eq!(expiry(Some(Seconds::Float(f64::INFINITY))), None);
    assert_eq!(expiry(Some(Seconds::Int(i64::MAX))), Some(i64::MAX));
    assert_eq!(expiry(Some(Seconds::Int(i64::MIN))), Some(i64::MIN));
    assert_eq!(expiry(Some(Seconds::Float(1e300))), Some(i64::MAX));
}

#[test]
fn a_lifetime_of_zero_or_less_is_none() {
    let lifetime = |seconds| OAuthToken { expires_in: seconds, ..bare("a") }.lifetime();

    assert_eq!(lifetime(Some(Seconds::Int(3600))), Some(Duration::from_secs(3600)));
    assert_eq!(lifetime(Some(Seconds::Float(0.5))), Some(Duration::from_millis(500)));
    assert_eq!(lifetime(Some(Seconds::Text("60".into()))), Some(Duration::from_secs(60)));
    assert_eq!(lifetime(Some(Seconds::Int(0))), None);
    assert_eq!(lifetime(Some(Seconds::Int(-5))), None);
    assert_eq!(lifetime(None), None);
}

#[test]
fn scopes_are_listed_whatever_their_form() {
    let scopes = |scope| OAuthToken { scope, ..bare("a") };

    assert_eq!(scopes(Some(Scope::Text(" x\ty ".into()))).scope_list(), ["x", "y"]);
    let list = vec!["x".into(), String::new(), "y".into()];
    assert_eq!(scopes(Some(Scope::List(list))).scope_list(), ["x", "y"]);
    assert!(scopes(None).scope_list().is_empty());
}

#[test]
fn debug_shows_no_token() {
    let token = OAuthToken { refresh_token: Some("MARKER".into()), ..bare("MARKER") };

    assert!(!format!("{token:?} {token:#?}").contains("MARKER"));
}

fn any_seconds() -> impl Strategy<Value = Seconds> {
    let finite = proptest::num::f64::NORMAL
        | proptest::num::f64::SUBNORMAL
        | proptest::num::f64::ZERO
        | proptest::num::f64::NEGATIVE
        | proptest::num::f64::POSITIVE;
    prop_oneof![
        any::<i64>().prop_map(Seconds::Int),
        finite.prop_map(Seconds::Float),
        (0.0..4e9).prop_map(Seconds::Float),
        any::<i64>().prop_map(|value| Seconds::Text(value.to_string())),
        Just(Seconds::Text("inf".into())),
    ]
}

fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        any::<String>().prop_map(Scope::Text),
        proptest::collection::vec(any::<String>(), 0..4).prop_map(Scope::List),
    ]
}

prop_compose! {
    fn any_token()(
        access_token in "(?s).{1,40}",
        scope in proptest::option::of(any_scope()),
        token_type in proptest::option::of(any::<String>()),
        expires_in in proptest::option::of(any_seconds()),
        expires_at in proptest::option::of(any_seconds()),
        refresh_token in proptest::option::of(any::<String>()),
    ) -> OAuthToken {
        let (access_token, refresh_token) = (access_token.into(), refresh_token.map(Secret::from));
        OAuthToken { access_token, scope, token_type, expires_in, expires_at, refresh_token }
    }
}

/// JSON objects with the right names and any values, so that the fields' own checks are reached.
fn any_saved() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[0-9]{1,30}(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?",
        "\"(\\PC{0,8}|\\\\u[0-9a-f]{4}){0,3}\"",
        "\\[(\"x\",){0,3}(1|\"y\"|null|\\{\\})\\]",
        "\\{\"a\":[0-9]\\}",
    ];
    let name = proptest::sample::select(super::json::FIELDS.to_vec());
    let member = (name, value).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    proptest::collection::vec(member, 0..8).prop_map(|members| {
        format!("{{\"access_token\":\"a\",{}\"scope\":null}}", members.join(",") + ",")
    })
}

proptest! {
    #[test]
    fn every_token_reads_back_as_it_was_written(token in any_token()) {
        let saved = token.to_json();

        prop_assert!(saved.bytes().all(|b| (b' '..=b'~').contains(&b)));
        let read = OAuthToken::from_json(&saved).unwrap();
        prop_assert_eq!(&read, &token);
        prop_assert_eq!(read.to_json(), saved);
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), json in any_saved()) {
        let _ = OAuthToken::from_json(&text);
        if let Ok(token) = OAuthToken::from_json(&json) {
            let saved = token.to_json();
            prop_assert_eq!(OAuthToken::from_json(&saved).unwrap().to_json(), saved);
            let _ = (token.expiry(), token.lifetime(), token.scope_list());
        }
    }
}
