//! Everything comes back as it was, in few bytes, and nothing else is taken for a token.

use proptest::prelude::*;

use super::{FORMAT, from_plain, to_plain};
use crate::model::{OAuthToken, Scope, Seconds, Secret};

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

/// As most providers answer: an hour, and a scope or two.
fn usual(access_token: &str, scopes: &[&str]) -> OAuthToken {
    OAuthToken {
        scope: Some(Scope::List(scopes.iter().map(|scope| (*scope).to_owned()).collect())),
        token_type: Some("Bearer".to_owned()),
        expires_in: Some(Seconds::Int(3600)),
        expires_at: Some(Seconds::Int(1_795_430_194)),
        ..bare(access_token)
    }
}

/// Without its refresh token, and with floats as their bits: NaN is not equal to itself, and 0.0 is to -0.0.
fn exactly(token: &OAuthToken) -> OAuthToken {
    let bits = |seconds: &Option<Seconds>| match seconds {
        Some(Seconds::Float(value)) => Some(Seconds::Text(format!("bits {:x}", value.to_bits()))),
        other => other.clone(),
    };
    OAuthToken {
        expires_in: bits(&token.expires_in),
        expires_at: bits(&token.expires_at),
        refresh_token: None,
        ..token.clone()
    }
}

fn assert_kept(token: &OAuthToken) {
    let read = from_plain(&to_plain(token)).unwrap();

    assert_eq!(exactly(&read), exactly(token));
    assert_eq!(read.refresh_token, None);
    let without_refresh = OAuthToken { refresh_token: None, ..token.clone() };
    assert_eq!(read.to_json(), without_refresh.to_json());
}

#[test]
fn a_usual_token_costs_few_bytes_beside_itself() {
    let access_token = "a".repeat(900);
    for (scopes, bytes) in [(&["openid"][..], 22), (&["read:user", "user:email"], 36)] {
        let token = usual(&access_token, scopes);
        let overhead = to_plain(&token).len() - access_token.len();

        assert_eq!(overhead, bytes, "{scopes:?}");
    }
}

#[test]
fn the_form_changes_only_with_its_format() {
    let token = OAuthToken {
        token_type: Some("mac".to_owned()),
        scope: Some(Scope::Text("x y".to_owned())),
        expires_in: Some(Seconds::Text("60".to_owned())),
        expires_at: Some(Seconds::Float(-1.5)),
        ..bare("at")
    };
    let float = [0, 0, 0, 0, 0, 0, 0xf8, 0xbf];
    let written = [&[FORMAT][..], b"\x02at\x03\x03mac\x02\x03x y\x03\x0260\x02", &float].concat();
    assert_eq!(to_plain(&token).as_slice(), written);

    let listed = usual("at", &["x", "yz"]);
    let written = b"\x01\x02at\x01\x01\x02\x01x\x02yz\x01\xa0\x38\x01\xe4\xdc\xa0\xb0\x0d";
    assert_eq!(to_plain(&listed).as_slice(), written);

    let lower_case = OAuthToken { token_type: Some("bearer".to_owned()), ..bare("at") };
    assert_eq!(to_plain(&lower_case).as_slice(), b"\x01\x02at\x02\0\0\0");
    assert_eq!(to_plain(&bare("")).as_slice(), [FORMAT, 0, 0, 0, 0, 0]);
}

#[test]
fn what_flet_saved_still_opens() {
    for saved in [
        r#"{"access_token":"a"}"#,
        r#"{"access_token":"a","scope":"x y","token_type":"Bearer","expires_at":"inf"}"#,
        r#"{"access_token":"a","scope":["x","\u00fc"],"expires_in":3600,"expires_at":1900000000.0}"#,
    ] {
        let opened = from_plain(saved.as_bytes()).unwrap();

        assert_eq!(opened.to_json(), saved);
        assert_kept(&opened);
    }
}

#[test]
fn a_token_of_any_size_is_kept() {
    let many: Vec<String> = (0..10_000).map(|number| format!("scope-{number}")).collect();
    let huge = "\u{1f600}".repeat(100_000);
    let token = OAuthToken {
        scope: Some(Scope::List(many)),
        token_type: Some(huge.clone()),
        expires_in: Some(Seconds::Text(huge.clone())),
        ..bare(&huge)
    };

    assert_kept(&token);
}

#[test]
fn neither_form_is_refused() {
    for bytes in [
        &b""[..],
        b"\0",
        b"\x02\x02at\0\0\0\0",
        b"a",
        b"{",
        b"{\"access_token\":\"\"}",
        b"{\"access_token\":\"\xff\"}",
        // Formats of this version with a text that is not UTF-8, a variant that is none, and lengths
        // beyond the end.
        b"\x01\x01\xff\0\0\0\0",
        b"\x01\x02at\x04\0\0\0",
        b"\x01\x02at\0\0\0\x04",
        b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01at\0\0\0\0",
        b"\x01\x02at\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0",
    ] {
        assert_eq!(from_plain(bytes), None, "{bytes:?}");
    }
}

fn any_seconds() -> impl Strategy<Value = Seconds> {
    let odd = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE];
    prop_oneof![
        any::<i64>().prop_map(Seconds::Int),
        (0..4_000_000_000_i64).prop_map(Seconds::Int),
        any::<u64>().prop_map(|bits| Seconds::Float(f64::from_bits(bits))),
        proptest::sample::select(odd.to_vec()).prop_map(Seconds::Float),
        any::<String>().prop_map(Seconds::Text),
        Just(Seconds::Text("inf".into())),
        any::<f64>().prop_map(|value| Seconds::Text(value.to_string())),
    ]
}

fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        any::<String>().prop_map(Scope::Text),
        proptest::collection::vec(any::<String>(), 0..4).prop_map(Scope::List),
    ]
}

fn any_type() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Bearer".to_owned()),
        Just("bearer".to_owned()),
        Just("BEARER".to_owned()),
        any::<String>(),
    ]
}

prop_compose! {
    fn any_token()(
        access_token in any::<String>(),
        scope in proptest::option::of(any_scope()),
        token_type in proptest::option::of(any_type()),
        expires_in in proptest::option::of(any_seconds()),
        expires_at in proptest::option::of(any_seconds()),
        refresh_token in proptest::option::of(any::<String>()),
    ) -> OAuthToken {
        let (access_token, refresh_token) = (access_token.into(), refresh_token.map(Secret::from));
        OAuthToken { access_token, scope, token_type, expires_in, expires_at, refresh_token }
    }
}

proptest! {
    #[test]
    fn every_token_reads_back_as_it_was_written(token in any_token()) {
        assert_kept(&token);
    }

    #[test]
    fn a_token_cut_short_or_drawn_out_is_refused(token in any_token(), more in any::<u8>()) {
        let mut plain = to_plain(&token).to_vec();

        for end in 0..plain.len() {
            prop_assert_eq!(from_plain(&plain[..end]), None);
        }
        plain.push(more);
        prop_assert_eq!(from_plain(&plain), None);
    }

    #[test]
    fn damaged_bytes_never_panic(
        token in any_token(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut plain = to_plain(&token).to_vec();
        for (place, byte) in damage {
            *place.get_mut(&mut plain) = byte;
        }
        // A changed character makes another token, which must be one that can be kept.
        for bytes in [plain, [&[FORMAT], noise.as_slice()].concat()] {
            if let Some(token) = from_plain(&bytes) {
                assert_kept(&token);
            }
        }
    }
}
