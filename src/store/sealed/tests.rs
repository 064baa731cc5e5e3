//! What opens, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use super::{Offered, Opened, PlainTokens, SealedStore, SealedStoreError, Session, Spans};
use crate::ledger::{NewTokens, Put, Record, Sealed};
use crate::model::{OAuthToken, ProviderId, SessionKey};
use crate::sealing::{Field, Keyring, Label, SealError};
use crate::store::{MemoryStore, SessionStore};

struct Bench {
    inner: Arc<MemoryStore>,
    keyring: Keyring,
    store: SealedStore,
    key: SessionKey,
}

impl Bench {
    fn new() -> Self {
        let (inner, keyring) = (Arc::new(MemoryStore::new()), Keyring::generate());
        let deadline = Duration::from_secs(5);
        let store = SealedStore::new(inner.clone(), keyring.clone(), deadline);
        Self { inner, keyring, store, key: SessionKey::new("acme", "ann").unwrap() }
    }

    fn provider() -> ProviderId {
        ProviderId::new("p").unwrap()
    }

    async fn put(&self, token: OAuthToken) -> Session {
        let extra = serde_json::Map::new();
        let tokens = PlainTokens { token, before: None, extra, spans: Spans::default() };
        let mut offered = Offered::default();
        self.store.put(&self.key, &Self::provider(), &tokens, &mut offered).await.unwrap()
    }

    /// Stores blobs as they are, `ahead` generations after `record`.
    async fn put_sealed(&self, record: &Record, access: Sealed, ahead: u64) {
        let tokens = NewTokens {
            access,
            refresh: record.refresh.clone(),
            extra: None,
            expires_in: None,
            refresh_expires_in: None,
            due_in: None,
        };
        let generation = record.generation + ahead;
        let put = Put { generation, provider: Self::provider(), tokens };
        self.inner.put(&self.key, put).await.unwrap();
    }
}

fn token() -> OAuthToken {
    OAuthToken::from_json(r#"{"access_token":"a","refresh_token":"r"}"#).unwrap()
}

#[tokio::test]
async fn an_older_blob_in_the_place_of_a_newer_one_is_refused() {
    let bench = Bench::new();
    let first = bench.put(token()).await.record;

    let stored = bench.inner.load(&bench.key).await.unwrap().reply.record.unwrap();
    bench.put_sealed(&first, stored.access, 2).await;

    let refused = SealedStoreError::Seal(SealError::Broken);
    match bench.store.load(&bench.key).await {
        Err(error) => assert_eq!(error, refused),
        Ok(at) => assert!(!matches!(at.reply, Opened::Live(_)), "it was served"),
    }
}

#[tokio::test]
async fn a_token_is_sealed_without_its_names_and_opens_with_them_too() {
    let bench = Bench::new();
    let mut saved = token();
    saved.refresh_token = None;
    let json = saved.to_json();
    let record = bench.put(token()).await.record;
    let generation = record.generation + 2;
    let label = Label::of(&bench.key, Field::Access);
    let named = Sealed::new(bench.keyring.seal(label, generation, json.as_bytes()));
    assert!(record.access.as_bytes().len() + 10 < named.as_bytes().len());

    bench.put_sealed(&record, named, 2).await;

    let Opened::Live(session) = bench.store.load(&bench.key).await.unwrap().reply else {
        panic!("it was not served");
    };
    assert_eq!(session.token.to_json(), json);
}
