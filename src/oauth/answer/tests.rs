//! Statuses, error codes, odd values, refreshes, and that nothing leaks.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{RequestError, TokenAnswer, read};
use crate::model::{OAuthToken, Scope, Seconds, Timestamp};
use crate::oauth::{RawAnswer, ScopeSeparator};

fn raw(status: u16, body: impl Into<Vec<u8>>) -> RawAnswer {
    RawAnswer { status, retry_after: None, content_type: None, body: body.into().into() }
}

fn outcome(status: u16, body: &str) -> Result<TokenAnswer, RequestError> {
    read(&raw(status, body), ScopeSeparator::Space)
}

/// A 200 with an access token and `members` beside it.
fn answered(members: &str) -> TokenAnswer {
    outcome(200, &format!(r#"{{"access_token":"a"{members}}}"#)).unwrap()
}

fn in_doubt(detail: &str) -> RequestError {
    RequestError::InDoubt { detail: detail.into() }
}

fn misconfigured(error: &str) -> RequestError {
    RequestError::Misconfigured { error: error.into(), description: None }
}

fn rejected(error: &str) -> RequestError {
    RequestError::Rejected { error: error.into(), description: None }
}

#[test]
fn a_status_decides_where_the_body_says_nothing() {
    for status in [401, 403, 404, 400, 422] {
        for body in ["", "Not Found", "<html>no</html>", r#"{"message":"Not Found"}"#, "[]"] {
            let error = outcome(status, body).unwrap_err();
            assert_eq!(error, misconfigured(&format!("HTTP {status}")), "{body}");
        }
    }
    for status in [500, 502, 503, 504, 408, 599, 100, 999] {
        for body in ["", r#"{"access_token":"a"}"#, r#"{"error":"invalid_grant"}"#] {
            let error = outcome(status, body).unwrap_err();
            assert_eq!(error, in_doubt(&format!("HTTP {status}")), "{body}");
        }
    }
}

#[test]
fn an_access_token_counts_only_in_a_success() {
    for status in [302, 400, 401, 429, 500] {
        assert!(outcome(status, r#"{"access_token":"a"}"#).is_err(), "{status}");
    }
    for status in [200, 201, 203, 299] {
        assert!(outcome(status, r#"{"access_token":"a"}"#).is_ok(), "{status}");
    }
}

#[test]
fn redirects_are_refused_with_the_reason() {
    let RequestError::Misconfigured { error, description } = outcome(308, "").unwrap_err() else {
        panic!("a redirect is a matter of configuration");
    };

    assert_eq!(error, "HTTP 308");
    assert!(description.unwrap().contains("redirects are never followed"));
}

#[test]
fn patience_is_passed_on_with_its_wait() {
    let wait = Some(Duration::from_secs(7));
    let asked = |status, body: &str, retry_after| {
        read(&RawAnswer { retry_after, ..raw(status, body) }, ScopeSeparator::Space).unwrap_err()
    };

    for (status, body) in [
        (429, ""),
        (429, r#"{"error":"invalid_grant"}"#),
        (503, "<html>down</html>"),
        (400, r#"{"error":"temporarily_unavailable"}"#),
        (200, "error=slow_down"),
    ] {
        let busy = RequestError::Busy { status, retry_after: wait };
        assert_eq!(asked(status, body, wait), busy, "{status} {body}");
    }
    assert_eq!(asked(429, "", None), RequestError::Busy { status: 429, retry_after: None });
    assert_eq!(asked(500, "", wait), in_doubt("HTTP 500"));
}

#[test]
fn codes_are_sorted_by_exact_match_whatever_the_status() {
    let body = |code: &str| json!({ "error": code }).to_string();
    for status in [200, 400, 401, 403] {
        for code in [
            "invalid_grant",
            "expired_token",
            "interaction_required",
            "login_required",
            "consent_required",
            "bad_refresh_token",
            "bad_verification_code",
            "invalid_code",
            "invalid_refresh_token",
            "token_expired",
            "token_revoked",
        ] {
            assert_eq!(outcome(status, &body(code)).unwrap_err(), rejected(code));
            let form = format!("error={code}");
            assert_eq!(outcome(status, &form).unwrap_err(), rejected(code));
        }
        for code in [
            "invalid_client",
            "unauthorized_client",
            "invalid_scope",
            "invalid_request",
            "unsupported_grant_type",
            "incorrect_client_credentials",
            "redirect_uri_mismatch",
            "weird_code",
            "Invalid_Grant",
            "invalid_grant ",
            "invalid_grant_x",
        ] {
            assert_eq!(outcome(status, &body(code)).unwrap_err(), misconfigured(code));
        }
        let unclear = format!("HTTP {status} with the error server_error");
        assert_eq!(outcome(status, &body("server_error")).unwrap_err(), in_doubt(&unclear));
    }
}

#[test]
fn a_control_character_in_a_code_is_dropped_without_making_it_another_code() {
    let error = outcome(400, r#"{"error":"invalid_\u0000grant"}"#).unwrap_err();

    assert_eq!(error, misconfigured("invalid_grant"));
}

#[test]
fn errors_of_other_shapes_are_understood() {
    assert_eq!(outcome(200, r#"{"ok":false}"#).unwrap_err(), misconfigured("ok is false"));
    let slack = r#"{"ok":false,"error":"invalid_code"}"#;
    assert_eq!(outcome(200, slack).unwrap_err(), rejected("invalid_code"));
    let graph = r#"{"error":{"message":"m","type":"OAuthException","code":190}}"#;
    assert_eq!(
        outcome(400, graph).unwrap_err(),
        RequestError::Misconfigured {
            error: "OAuthException".into(),
            description: Some("m".into()),
        }
    );
    assert_eq!(outcome(200, r#"{"error":400}"#).unwrap_err(), misconfigured("400"));
    let odd = misconfigured("an error without a code");
    assert_eq!(outcome(200, r#"{"error":true}"#).unwrap_err(), odd);
    // Latin-1 in the description does not hide the code.
    let latin = raw(400, b"{\"error\":\"invalid_grant\",\"error_description\":\"g\xfcltig\"}");
    assert!(matches!(
        read(&latin, ScopeSeparator::Space),
        Err(RequestError::Rejected { description: Some(text), .. }) if text == "g\u{fffd}ltig"
    ));
}

#[test]
fn an_error_member_without_content_is_no_error() {
    for error in ["null", "\"\"", "false"] {
        let body = format!(r#"{{"error":{error}}}"#);
        let expected = in_doubt("HTTP 200 with JSON without access_token");
        assert_eq!(outcome(200, &body).unwrap_err(), expected, "{error}");
        assert_eq!(answered(&format!(r#","error":{error}"#)).access_token.expose(), "a");
    }
}

#[test]
fn pages_that_mention_an_error_are_no_form() {
    for page in [
        r#"<html><a href="/login?x=1&error=invalid_grant&y=2">again</a></html>"#,
        "Please see /help?x=1&error=invalid_grant",
        "{\"x\":\"&error=invalid_grant",
    ] {
        let error = outcome(200, page).unwrap_err();
        assert!(matches!(&error, RequestError::InDoubt { .. }), "{error}");
        assert_eq!(outcome(400, page).unwrap_err(), misconfigured("HTTP 400"));
    }
}

#[test]
fn blank_form_values_are_absent() {
    let answer =
        outcome(200, "access_token=a&access_token=&scope=+&refresh_token=&error=").unwrap();

    assert_eq!(answer.access_token.expose(), "a");
    assert_eq!((answer.scope, answer.refresh_token, answer.extra.len()), (None, None, 0));
    let nothing = in_doubt("HTTP 200 with text that is neither JSON nor a form");
    assert_eq!(outcome(200, "access_token=&error=").unwrap_err(), nothing);
}

#[test]
fn an_unusable_access_token_is_named_but_not_shown() {
    for (written, what) in [
        ("null", "null"),
        ("\"\"", "blank or not UTF-8"),
        ("\" \"", "blank or not UTF-8"),
        ("true", "true or false"),
        ("-5", "no whole number"),
        ("1.5", "no whole number"),
        ("{\"MARKER\":1}", "a list or an object"),
        ("\"MARKER\\ud800\"", "unreadable"),
    ] {
        let error = outcome(200, &format!(r#"{{"access_token":{written}}}"#)).unwrap_err();
        assert_eq!(error, in_doubt(&format!("HTTP 200 with an access_token that is {what}")));
    }
    let foreign = raw(200, b"{\"access_token\":\"MARKER\xff\"}");
    let error = read(&foreign, ScopeSeparator::Space).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("MARKER"));
    let long = outcome(200, r#"{"access_token":123456789012345678901234567890}"#).unwrap();
    assert_eq!(long.access_token.expose(), "123456789012345678901234567890");
}

#[test]
fn lifetimes_are_read_in_every_form_and_never_cost_the_token() {
    for (written, seconds) in [
        ("3600", Some(3600)),
        ("3600.9", Some(3600)),
        ("1e3", Some(1000)),
        ("\"3600\"", Some(3600)),
        ("\" 3600.5 \"", Some(3600)),
        ("\"1e3\"", Some(1000)),
        ("-5", Some(-5)),
        ("-0.5", Some(-1)),
        ("9223372036854775807", Some(i64::MAX)),
        ("1000000000000000000000000000000", Some(i64::MAX)),
        ("1e400", Some(i64::MAX)),
        ("-1e400", Some(i64::MIN)),
        ("0", None),
        ("\"0\"", None),
        ("0.4", None),
        ("null", None),
        ("true", None),
        ("\"\"", None),
        ("\"soon\"", None),
        ("\"inf\"", None),
        ("\"NaN\"", None),
        ("\"e\"", None),
        ("[3600]", None),
        ("\"\\ud800\"", None),
    ] {
        let answer = answered(&format!(r#","refresh_token":"r","expires_in":{written}"#));
        assert_eq!(answer.expires_in, seconds, "{written}");
        assert_eq!(answer.refresh_token.unwrap().expose(), "r");
        // In `extra` as well, such a number must not cost the token.
        answered(&format!(r#","ext_expires_in":{written}"#));
    }
}

#[test]
fn an_absolute_expiry_is_a_number_or_nothing() {
    for (written, at) in [
        ("1900000000", Some(1_900_000_000.0)),
        ("1900000000.25", Some(1_900_000_000.25)),
        ("\"1900000000\"", Some(1_900_000_000.0)),
        ("0", None),
        ("1e400", None),
        ("\"2030-01-01T00:00:00Z\"", None),
        ("\"2030\\u20131\"", None),
        ("null", None),
        ("false", None),
    ] {
        assert_eq!(answered(&format!(r#","expires_at":{written}"#)).expires_at, at, "{written}");
    }
}

#[test]
fn scopes_come_as_text_or_list_and_empty_ones_are_none() {
    let scope = |written: &str, separator| {
        let body = format!(r#"{{"access_token":"a","scope":{written}}}"#);
        read(&raw(200, body), separator).unwrap().scope.unwrap_or_default()
    };

    assert_eq!(scope("\" x\\ty,z \"", ScopeSeparator::Space), ["x", "y,z"]);
    assert_eq!(scope("\"x,y, z w,,\"", ScopeSeparator::Comma), ["x", "y", "z", "w"]);
    assert_eq!(scope("[\"x\", \"\", 5, \"y\"]", ScopeSeparator::Space), ["x", "y"]);
    for none in ["null", "\"\"", "\" , \"", "[]", "[\"\"]", "5", "{}"] {
        assert!(scope(none, ScopeSeparator::Comma).is_empty(), "{none}");
    }
}

#[test]
fn no_credential_stays_among_the_extra_members() {
    let answer = answered(
        r#","id_token":null,"refresh_token":5,"Bot_Access_Token":"MARKER","device_secret":"MARKER",
           "authed_user":{"id":"U1","access_token":"MARKER"},"list":[{"token":"MARKER"}],"n":1"#,
    );

    let kept = json!({ "authed_user": { "id": "U1" }, "list": [{}], "n": 1 });
    assert_eq!(Value::Object(answer.extra), kept);
    assert_eq!(answer.refresh_token.unwrap().expose(), "5");
}

#[test]
fn debug_and_errors_show_no_credential() {
    let answer = answered(
        r#","refresh_token":"MARKER","id_token":"MARKER","x":"MARKER","y":{"access_token":"MARKER"}"#,
    );
    let answer = TokenAnswer { access_token: "MARKER".into(), ..answer };
    let shown = format!("{answer:?} {answer:#?}");

    assert!(!shown.contains("MARKER"), "{shown}");
    assert!(shown.contains("\"x\""), "the names of extra members are shown: {shown}");
    for body in ["MARKER", "<p>MARKER", "{\"access_token\":\"MARKER", "[\"MARKER\"]", "\"MARKER\""]
    {
        let error = outcome(200, body).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("MARKER"), "{body}");
    }
}

#[test]
fn provider_text_is_cut_and_cleaned() {
    let long = "\u{1b}[31m\u{202e}x\u{0}\n".repeat(1000);
    let body = json!({ "error": &long, "error_description": &long }).to_string();

    let RequestError::Misconfigured { error, description } = outcome(400, &body).unwrap_err()
    else {
        panic!("an unknown code is a matter of configuration");
    };
    assert_eq!(error, "[31mx".repeat(26)[..128]);
    assert_eq!(description.unwrap(), "[31mx".repeat(103)[..512]);
}

fn previous() -> OAuthToken {
    OAuthToken {
        access_token: "old".into(),
        scope: Some(Scope::Text("x y".into())),
        token_type: Some("Bearer".into()),
        expires_in: Some(Seconds::Text("3600".into())),
        expires_at: Some(Seconds::Int(5)),
        refresh_token: Some("old-refresh".into()),
    }
}

#[test]
fn a_refresh_keeps_what_the_answer_leaves_out() {
    let token = answered("").token(Timestamp::from_millis(1_000_500), Some(&previous()));

    assert_eq!(
        token,
        OAuthToken {
            access_token: "a".into(),
            expires_in: Some(Seconds::Int(3600)),
            expires_at: Some(Seconds::Int(1001 + 3600)),
            ..previous()
        }
    );
}

#[test]
fn a_refresh_takes_what_the_answer_states() {
    let answer = answered(
        r#","scope":"z","token_type":"DPoP","expires_in":60,"refresh_token":"new-refresh""#,
    );

    let token = answer.token(Timestamp::from_millis(1_000_000), Some(&previous()));

    assert_eq!(
        token,
        OAuthToken {
            access_token: "a".into(),
            scope: Some(Scope::List(vec!["z".into()])),
            token_type: Some("DPoP".into()),
            expires_in: Some(Seconds::Int(60)),
            expires_at: Some(Seconds::Int(1060)),
            refresh_token: Some("new-refresh".into()),
        }
    );
}

#[test]
fn expiry_is_the_providers_own_time_or_counted_from_sending_or_unknown() {
    let sent_at = Timestamp::from_millis(1_000_000);
    let expiry = |members: &str, previous: Option<OAuthToken>| {
        let token = answered(members).token(sent_at, previous.as_ref());
        (token.expires_in, token.expires_at)
    };
    let int = |seconds| Some(Seconds::Int(seconds));

    assert_eq!(expiry("", None), (None, None));
    assert_eq!(expiry(r#","expires_at":77,"expires_in":5"#, None), (int(5), int(77)));
    let float = Some(Seconds::Float(77.5));
    assert_eq!(expiry(r#","expires_at":77.5"#, Some(previous())), (None, float));
    assert_eq!(expiry(r#","expires_in":1e300"#, None), (int(i64::MAX), int(i64::MAX)));
    for lifetime in [None, int(0), int(-5), Some(Seconds::Text("inf".into()))] {
        let previous = OAuthToken { expires_in: lifetime, ..previous() };
        assert_eq!(expiry("", Some(previous)), (None, None));
    }
    let brief = OAuthToken { expires_in: Some(Seconds::Float(0.2)), ..previous() };
    assert_eq!(expiry("", Some(brief)), (int(1), int(1001)));
}

proptest! {
    #[test]
    fn arbitrary_answers_never_panic(
        status in prop_oneof![Just(200), any::<u16>()],
        body in proptest::collection::vec(any::<u8>(), 0..200),
        content_type in proptest::option::of(any::<String>()),
        sent_at in any::<i64>(),
    ) {
        let raw = RawAnswer { content_type, ..raw(status, body) };
        if let Ok(answer) = read(&raw, ScopeSeparator::Comma) {
            let _ = answer.token(Timestamp::from_millis(sent_at), None);
        }
    }

    #[test]
    fn odd_members_never_panic_and_never_cost_the_access_token(
        member in proptest::sample::select(vec![
            "scope", "token_type", "expires_in", "expires_at", "refresh_token", "id_token", "other",
        ]),
        value in prop_oneof![
            "-?[1-9][0-9]{0,40}(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?",
            "\"[^\"\\\\\\p{Cc}]{0,20}\"",
            "\\[(\"x\",){0,3}(1|null|\\{\\})\\]",
            Just("null".to_owned()),
            Just("\"\\udfff\"".to_owned()),
        ],
        sent_at in any::<i64>(),
    ) {
        let answer = answered(&format!(r#","{member}":{value}"#));

        let token = answer.token(Timestamp::from_millis(sent_at), Some(&previous()));
        prop_assert_eq!(token.access_token.expose(), "a");
        prop_assert_eq!(OAuthToken::from_json(&token.to_json()).unwrap(), token);
    }
}
