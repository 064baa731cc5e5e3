//! The tables of the file and what one transaction does to them.

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::ledger::{
    AttemptId, Claim, Entry, LoginEntry, Sealed, TakenLogin, take_login, visible_again,
};
use crate::model::{SessionKey, Timestamp};
use crate::store::file::codec::{decode_entry, decode_login, encode_entry, encode_login};
use crate::store::file::open::translate;
use crate::store::{At, LOGIN_MEMORY, Outage, StoreError};

/// Format version and the store's time.
pub(super) const META: TableDefinition<'_, &str, i64> = TableDefinition::new("meta");
/// Session key to record and tombstone.
pub(super) const SESSIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sessions");
/// Session key to due time. Apart from the record, so that a claim does not rewrite records.
pub(super) const DUE_OF: TableDefinition<'_, &str, i64> = TableDefinition::new("due_of");
/// Due time and session key, for claims.
pub(super) const DUE: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("due");
/// When a tombstone may go, and its session key.
const GRAVES: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("graves");
/// Digest of a login's state to the login.
const LOGINS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("logins");
/// When a login may be forgotten, and its digest.
const LOGIN_FORGET: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("login_forget");

/// In [`META`]: the format of the file as a whole.
pub(super) const FORMAT_KEY: &str = "format";
/// In [`META`]: when the file was made.
pub(super) const CREATED_KEY: &str = "created";
/// In [`META`]: no time later than this was ever written.
pub(super) const TIME_KEY: &str = "time";

/// How far an operation's failure reaches.
#[derive(Debug)]
pub(super) enum Failure {
    /// It failed before it wrote anything: the others of its batch go on.
    Operation(StoreError),
    /// The transaction is not to be trusted any more.
    Batch(StoreError),
}

type IndexRow = (i64, &'static str);

/// All tables, open in one write transaction.
pub(super) struct Tables<'t> {
    path: &'t Path,
    meta: Table<'t, &'static str, i64>,
    sessions: Table<'t, &'static str, &'static [u8]>,
    due_of: Table<'t, &'static str, i64>,
    due: Table<'t, IndexRow, ()>,
    graves: Table<'t, IndexRow, ()>,
    logins: Table<'t, &'static str, &'static [u8]>,
    login_forget: Table<'t, IndexRow, ()>,
    changed: bool,
}

impl<'t> Tables<'t> {
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        path: &'t Path,
    ) -> Result<Self, StoreError> {
        let failed = |error| translate(path, error);
        Ok(Self {
            path,
            meta: transaction.open_table(META).map_err(failed)?,
            sessions: transaction.open_table(SESSIONS).map_err(failed)?,
            due_of: transaction.open_table(DUE_OF).map_err(failed)?,
            due: transaction.open_table(DUE).map_err(failed)?,
            graves: transaction.open_table(GRAVES).map_err(failed)?,
            logins: transaction.open_table(LOGINS).map_err(failed)?,
            login_forget: transaction.open_table(LOGIN_FORGET).map_err(failed)?,
            changed: false,
        })
    }

    /// False while committing would change nothing.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    pub(super) fn set_meta(&mut self, key: &str, value: i64) -> Result<(), StoreError> {
        self.meta.insert(key, value).map_err(|error| translate(self.path, error))?;
        self.changed = true;
        Ok(())
    }

    /// Applies `decide` to the entry under `key`.
    ///
    /// A panic in `decide` fails this operation alone: it works on a copy in memory, and nothing has
    /// been written by then.
    pub(super) fn transact<T>(
        &mut self,
        key: &SessionKey,
        now: Timestamp,
        decide: impl FnOnce(&mut Entry, Timestamp) -> T,
    ) -> Result<At<T>, Failure> {
        let (mut entry, stored) = self.entry(key)?;
        let before = Indexed::of(&entry);
        let decided = catch_unwind(AssertUnwindSafe(|| decide(&mut entry, now)));
        let reply = decided.map_err(|_| {
            let detail = "the operation panicked and changed nothing; report this as a bug".into();
            Failure::Operation(StoreError::Unavailable { outage: Outage::Failed, detail })
        })?;
        self.write(key, &entry, stored.as_deref()).map_err(|error| self.batch(error))?;
        self.reindex(key, before, Indexed::of(&entry)).map_err(|error| self.batch(error))?;
        Ok(At { now, reply })
    }

    /// The entry under `key`, with the bytes its record has in the file.
    fn entry(&self, key: &SessionKey) -> Result<(Entry, Option<Vec<u8>>), Failure> {
        let name = key.joined();
        let stored = self.sessions.get(name).map_err(|error| self.batch(error))?;
        let stored = stored.map(|row| row.value().to_vec());
        let mut entry = match &stored {
            Some(bytes) => decode_entry(self.path, bytes).map_err(Failure::Operation)?,
            None => Entry::default(),
        };
        let due = self.due_of.get(name).map_err(|error| self.batch(error))?;
        entry.due = due.map(|row| Timestamp::from_millis(row.value()));
        Ok((entry, stored))
    }

    fn write(
        &mut self,
        key: &SessionKey,
        entry: &Entry,
        stored: Option<&[u8]>,
    ) -> Result<(), redb::StorageError> {
        if entry.record.is_none() && entry.tombstone.is_none() {
            self.changed |= self.sessions.remove(key.joined())?.is_some();
            return Ok(());
        }
        let encoded = encode_entry(entry);
        if stored != Some(encoded.as_slice()) {
            self.sessions.insert(key.joined(), encoded.as_slice())?;
            self.changed = true;
        }
        Ok(())
    }

    fn reindex(
        &mut self,
        key: &SessionKey,
        before: Indexed,
        after: Indexed,
    ) -> Result<(), redb::StorageError> {
        let name = key.joined();
        if before.due != after.due {
            move_row(&mut self.due, name, before.due, after.due)?;
            match after.due {
                Some(due) => self.due_of.insert(name, due)?,
                None => self.due_of.remove(name)?,
            };
            self.changed = true;
        }
        if before.forget != after.forget {
            move_row(&mut self.graves, name, before.forget, after.forget)?;
            self.changed = true;
        }
        Ok(())
    }

    /// Takes the sessions due within the horizon and hides them for a while.
    pub(super) fn claim(
        &mut self,
        request: &Claim,
        now: Timestamp,
    ) -> Result<At<Vec<(SessionKey, Timestamp)>>, Failure> {
        let ahead = i64::MIN..=(now + request.horizon).as_millis();
        let rows = first_rows(&self.due, &ahead, request.limit).map_err(|e| self.batch(e))?;
        let mut claimed = Vec::with_capacity(rows.len());
        for (due, name) in rows {
            match SessionKey::from_joined(&name) {
                Ok(key) => claimed.push((key, Timestamp::from_millis(due))),
                Err(_) => self.drop_due(due, &name).map_err(|error| self.batch(error))?,
            }
        }
        for (key, due) in &claimed {
            let hidden = visible_again(*due, now, request.visibility).as_millis();
            let moved = move_row(&mut self.due, key.joined(), Some(due.as_millis()), Some(hidden));
            let moved = moved.and_then(|()| self.due_of.insert(key.joined(), hidden).map(|_| ()));
            moved.map_err(|error| self.batch(error))?;
            self.changed = true;
        }
        Ok(At { now, reply: claimed })
    }

    pub(super) fn put_login(
        &mut self,
        digest: &str,
        sealed: Sealed,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<(), Failure> {
        let earlier = self.login(digest)?.map(|login| login.forget.as_millis());
        let expires = now + ttl;
        let login = LoginEntry { sealed, taken_by: None, expires, forget: expires + LOGIN_MEMORY };
        let encoded = encode_login(&login);
        self.changed = true;
        self.logins
            .insert(digest, encoded.as_slice())
            .map(|_| ())
            .and_then(|()| {
                let forget = Some(login.forget.as_millis());
                move_row(&mut self.login_forget, digest, earlier, forget)
            })
            .map_err(|error| self.batch(error))
    }

    pub(super) fn take_login(
        &mut self,
        digest: &str,
        now: Timestamp,
        attempt: AttemptId,
    ) -> Result<TakenLogin, Failure> {
        let Some(mut login) = self.login(digest)? else {
            return Ok(take_login(None, now, attempt));
        };
        let before = login.taken_by;
        let taken = take_login(Some(&mut login), now, attempt);
        if login.taken_by != before {
            let encoded = encode_login(&login);
            let written = self.logins.insert(digest, encoded.as_slice()).map(|_| ());
            written.map_err(|error| self.batch(error))?;
            self.changed = true;
        }
        Ok(taken)
    }

    fn login(&self, digest: &str) -> Result<Option<LoginEntry>, Failure> {
        let row = self.logins.get(digest).map_err(|error| self.batch(error))?;
        let login = row.map(|row| decode_login(self.path, row.value())).transpose();
        login.map(Option::flatten).map_err(Failure::Operation)
    }

    /// Forgets up to `limit` logins and tombstones whose time has come.
    pub(super) fn sweep(&mut self, now: Timestamp, limit: usize) -> Result<(), StoreError> {
        let failed = |error| translate(self.path, error);
        let over = i64::MIN..=now.as_millis();
        for (forget, digest) in first_rows(&self.login_forget, &over, limit).map_err(failed)? {
            self.login_forget.remove((forget, digest.as_str())).map_err(failed)?;
            self.logins.remove(digest.as_str()).map_err(failed)?;
        }
        for (forget, name) in first_rows(&self.graves, &over, limit).map_err(failed)? {
            self.graves.remove((forget, name.as_str())).map_err(failed)?;
            self.forget_tombstone(&name).map_err(|failure| match failure {
                Failure::Operation(error) | Failure::Batch(error) => error,
            })?;
        }
        Ok(())
    }

    fn forget_tombstone(&mut self, name: &str) -> Result<(), Failure> {
        let Ok(key) = SessionKey::from_joined(name) else {
            tracing::error!("a row of the tombstone index names no session; it was dropped");
            return Ok(());
        };
        match self.entry(&key) {
            Ok((mut entry, stored)) => {
                entry.tombstone = None;
                self.write(&key, &entry, stored.as_deref()).map_err(|error| self.batch(error))
            }
            // A record that does not decode is kept as it is, for whoever can read it.
            Err(Failure::Operation(_)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// One damaged row must not keep all other sessions from being found.
    fn drop_due(&mut self, due: i64, name: &str) -> Result<(), redb::StorageError> {
        tracing::error!("a row of the due index names no session; it was dropped");
        self.changed = true;
        self.due.remove((due, name)).map(|_| ())
    }

    fn batch(&self, error: redb::StorageError) -> Failure {
        Failure::Batch(translate(self.path, error))
    }
}

/// What the indexes hold of an entry.
#[derive(Clone, Copy)]
struct Indexed {
    due: Option<i64>,
    forget: Option<i64>,
}

impl Indexed {
    fn of(entry: &Entry) -> Self {
        let forget = entry.tombstone.as_ref().map(|stone| stone.until.as_millis());
        Self { due: entry.due.map(Timestamp::as_millis), forget }
    }
}

fn move_row(
    index: &mut Table<'_, IndexRow, ()>,
    name: &str,
    from: Option<i64>,
    to: Option<i64>,
) -> Result<(), redb::StorageError> {
    if let Some(time) = from {
        index.remove((time, name))?;
    }
    if let Some(time) = to {
        index.insert((time, name), ())?;
    }
    Ok(())
}

/// The earliest rows within `times`; reads no further than that.
fn first_rows(
    index: &Table<'_, IndexRow, ()>,
    times: &RangeInclusive<i64>,
    limit: usize,
) -> Result<Vec<(i64, String)>, redb::StorageError> {
    let mut rows = Vec::new();
    for row in index.iter()?.take(limit) {
        let (row, ()) = row.map(|(key, _)| (key, ()))?;
        let (time, name) = row.value();
        if !times.contains(&time) {
            break;
        }
        rows.push((time, name.to_owned()));
    }
    Ok(rows)
}

/// Reads the entry under `key` as one consistent state.
pub(super) fn read_entry(
    transaction: &ReadTransaction,
    path: &Path,
    key: &SessionKey,
) -> Result<Entry, StoreError> {
    let name = key.joined();
    let sessions = transaction.open_table(SESSIONS).map_err(|error| translate(path, error))?;
    let row = sessions.get(name).map_err(|error| translate(path, error))?;
    let mut entry = match row {
        Some(bytes) => decode_entry(path, bytes.value())?,
        None => Entry::default(),
    };
    let due_of = transaction.open_table(DUE_OF).map_err(|error| translate(path, error))?;
    let due = due_of.get(name).map_err(|error| translate(path, error))?;
    entry.due = due.map(|row| Timestamp::from_millis(row.value()));
    Ok(entry)
}
