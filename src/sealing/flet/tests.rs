//! Both of Flet's encrypted forms, as Flet wrote them, whole and damaged.

use std::sync::LazyLock;

use base64::Engine;
use proptest::prelude::*;
use serde_json::Value;

use super::{BASE64, FletDecryptError, decrypt};
use crate::model::{OAuthToken, Secret};

/// Texts encrypted by Flet 1.0.5, with their passphrase.
static SAMPLE: LazyLock<Value> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/flet/60-security-encrypt.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
});

const FORMS: [&str; 2] = ["encrypt", "encrypt_aes_gcm_256"];

fn sample(field: &str) -> &'static str {
    SAMPLE[field].as_str().unwrap()
}

fn passphrase() -> Secret {
    sample("secret_key").into()
}

/// The form's bytes, changed and encoded again.
fn altered(form: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = BASE64.decode(sample(form)).unwrap();
    change(&mut bytes);
    BASE64.encode(bytes)
}

#[test]
fn both_forms_give_the_saved_token_back() {
    for form in FORMS {
        let saved = decrypt(sample(form), &passphrase()).unwrap();

        assert_eq!(saved.expose(), sample("plain"), "{form}");
        assert_eq!(OAuthToken::from_json(saved.expose()).unwrap().to_json(), sample("plain"));
    }
}

#[test]
fn spaces_around_and_lost_padding_do_no_harm() {
    for form in FORMS {
        let copied = format!("  {}\n", sample(form).trim_end_matches('='));

        assert_eq!(decrypt(&copied, &passphrase()).unwrap().expose(), sample("plain"));
    }
}

#[test]
fn another_passphrase_is_told_from_damage() {
    for form in FORMS {
        for wrong in ["", "MY_APP_SECRET_KEY ", "my_app_secret_key"] {
            let error = decrypt(sample(form), &wrong.into()).unwrap_err();

            assert_eq!(error, FletDecryptError::WrongPassphrase);
        }
    }
}

#[test]
fn every_part_is_authenticated() {
    // Salt, time stamp or nonce, ciphertext, tag: one changed bit in any of them is noticed. In the
    // Fernet form the body is ASCII, so a letter is exchanged for another letter.
    let bytes = BASE64.decode(sample("encrypt")).unwrap().len();
    for at in [0, 16 + 8, 16 + 40, bytes - 10] {
        let text = altered("encrypt", |bytes| {
            bytes[at] = if bytes[at] == b'B' { b'C' } else { b'B' };
        });
        assert_eq!(decrypt(&text, &passphrase()), Err(FletDecryptError::WrongPassphrase), "{at}");
    }
    let bytes = BASE64.decode(sample("encrypt_aes_gcm_256")).unwrap().len();
    for at in [0, 16, 47, 48, bytes - 1] {
        let text = altered("encrypt_aes_gcm_256", |bytes| bytes[at] ^= 1);
        assert_eq!(decrypt(&text, &passphrase()), Err(FletDecryptError::WrongPassphrase), "{at}");
    }
}

#[test]
fn a_text_cut_short_is_named_so_where_the_cut_shows() {
    let cut = |form, length| {
        let text = altered(form, |bytes| bytes.truncate(length));
        decrypt(&text, &passphrase()).unwrap_err()
    };

    for length in [0, 15, 16, 16 + 4, 16 + 90] {
        assert_eq!(cut("encrypt", length), FletDecryptError::Truncated, "{length}");
    }
    for length in [0, 15, 16, 47, 16 + 32 + 15] {
        assert_eq!(cut("encrypt_aes_gcm_256", length), FletDecryptError::Truncated, "{length}");
    }
    // Later cuts look like any other change.
    for length in [201, 202, 203, 204] {
        assert_eq!(cut("encrypt", length), FletDecryptError::WrongPassphrase, "{length}");
    }
    assert_eq!(cut("encrypt_aes_gcm_256", 100), FletDecryptError::WrongPassphrase);
}

#[test]
fn what_is_not_base64_or_too_large_costs_no_key_derivation() {
    let plain = sample("plain");

    assert_eq!(decrypt(plain, &passphrase()), Err(FletDecryptError::NotBase64));
    assert_eq!(decrypt("Sq3w+/", &passphrase()), Err(FletDecryptError::NotBase64));
    let large = "A".repeat(512 * 1024 + 1);
    let error = FletDecryptError::TooLarge { bytes: large.len() };
    assert_eq!(decrypt(&large, &passphrase()), Err(error));
}

#[test]
fn errors_repeat_neither_text_nor_passphrase() {
    let error = decrypt(sample("encrypt"), &"MARKER".into()).unwrap_err();

    assert!(!format!("{error} {error:?}").contains("MARKER"));
}

proptest! {
    // Each well-formed case derives a key, so only texts that fail before that are drawn in number.
    #[test]
    fn arbitrary_short_text_never_panics(text in "\\PC{0,20}|[A-Za-z0-9_=-]{0,60}") {
        prop_assert!(decrypt(&text, &passphrase()).is_err());
    }
}
