//! Callbacks as browsers bring them, and as nobody should.

use crate::oauth::catalogue::generic;
use crate::oauth::{CallbackError, CallbackQuery, Provider};

fn provider() -> Provider {
    builder().build().unwrap()
}

fn builder() -> crate::oauth::ProviderBuilder {
    generic("test", "cid", "https://idp.example/authorize", "https://idp.example/token")
        .redirect_url("https://app.example/cb")
}

fn refusal(query: &str) -> CallbackError {
    CallbackQuery::parse(query).unwrap_err()
}

#[test]
fn query_path_and_url_read_alike() {
    for text in [
        "code=c%2Fd+e&state=s",
        "?code=c%2Fd+e&state=s",
        "/cb?code=c%2Fd+e&state=s#_=_",
        "https://app.example/cb?a=1&a=2&code=c%2Fd+e&state=s&unknown=x#_=_",
        "com.app:/cb?code=c%2Fd+e&state=s",
        "code=c%2Fd+e&state=s#_=_",
    ] {
        let callback = CallbackQuery::parse(text).unwrap();

        assert_eq!(callback.code.unwrap().expose(), "c/d e", "{text}");
        assert_eq!(callback.state.expose(), "s", "{text}");
        assert_eq!((callback.error, callback.iss), (None, None));
    }
}

#[test]
fn an_unescaped_question_mark_or_colon_in_a_value_is_kept() {
    let callback = CallbackQuery::parse("code=a?b:c&state=s").unwrap();

    assert_eq!(callback.code.unwrap().expose(), "a?b:c");
}

#[test]
fn a_refusal_is_read_and_made_printable() {
    let callback =
        CallbackQuery::parse("error=access_denied&error_description=no%0Athanks&state=s&iss=i")
            .unwrap();

    assert_eq!(callback.error.as_deref(), Some("access_denied"));
    assert_eq!(callback.error_description.as_deref(), Some("no thanks"));
    assert_eq!(callback.iss.as_deref(), Some("i"));
    assert!(callback.code.is_none());
}

#[test]
fn every_parameter_comes_at_most_once() {
    let complete = "code=c&state=s&error_description=d&iss=i";
    for name in ["code", "state", "error_description", "iss"] {
        assert_eq!(refusal(&format!("{complete}&{name}=x")), CallbackError::Duplicate { name });
    }
    assert_eq!(refusal("error=a&error=a&state=s"), CallbackError::Duplicate { name: "error" });
    // The name decides, however it is written.
    assert_eq!(refusal("code=c&c%6Fde=d&state=s"), CallbackError::Duplicate { name: "code" });
}

#[test]
fn what_answers_no_login_is_told_apart() {
    for (query, error) in [
        ("code=c", CallbackError::MissingState),
        ("code=c&state=", CallbackError::MissingState),
        ("", CallbackError::MissingState),
        ("/cb", CallbackError::MissingState),
        ("https://app.example/cb", CallbackError::MissingState),
        ("code=&state=s", CallbackError::EmptyCode),
        ("code=c&error=e&state=s", CallbackError::CodeAndError),
        ("state=s", CallbackError::NeitherCodeNorError),
        ("error=&state=s", CallbackError::NeitherCodeNorError),
    ] {
        assert_eq!(refusal(query), error, "{query}");
    }
}

#[test]
fn eight_kibibytes_are_read_and_one_byte_more_is_not() {
    let longest = format!("code=c&state={}", "s".repeat(8192 - 13));

    assert!(CallbackQuery::parse(&longest).is_ok());
    assert_eq!(refusal(&format!("{longest}s")), CallbackError::TooLong { bytes: 8193 });
}

#[test]
fn debug_shows_neither_code_nor_state() {
    let callback = CallbackQuery::parse("code=hunter2&state=hunter3").unwrap();

    assert!(!format!("{callback:?}").contains("hunter"));
}

#[test]
fn the_issuer_must_be_the_logins_own_to_the_letter() {
    let issuer = builder().issuer("https://idp.example").build().unwrap();
    let strict = builder().issuer("https://idp.example").require_iss().build().unwrap();
    let iss = |text: &str| CallbackQuery::parse(&format!("code=c&state=s{text}")).unwrap();
    let right = iss("&iss=https%3A%2F%2Fidp.example");
    let wrong = iss("&iss=https%3A%2F%2Fidp.example%2F");

    for provider in [&issuer, &strict] {
        assert_eq!(right.check_issuer(provider), Ok(()));
        assert_eq!(wrong.check_issuer(provider), Err(CallbackError::WrongIssuer));
    }
    assert_eq!(iss("").check_issuer(&issuer), Ok(()));
    assert_eq!(iss("").check_issuer(&strict), Err(CallbackError::MissingIssuer));
    assert_eq!(wrong.check_issuer(&provider()), Ok(()));
    let refused = CallbackQuery::parse("error=access_denied&state=s&iss=evil").unwrap();
    assert_eq!(refused.check_issuer(&issuer), Err(CallbackError::WrongIssuer));
}
