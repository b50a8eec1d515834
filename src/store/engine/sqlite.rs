//! A SQLite file: a pool that only reads, and one writer (see [`super::writer`]).

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    path::Path,
    sync::Arc,
    time::Duration,
};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    StoreError,
    writer::{SqliteTx, Writer},
};

/// How many reads may run at once; each is a thread.
const READERS: u32 = 4;

/// How long a request waits for its turn before it is answered with a 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long to wait for another process that holds the file's write lock, such as a backup; shorter than the above,
/// so that who waits behind it learns why.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// To how many bytes the write-ahead log is cut back after it grew past them.
const WAL_LIMIT: &str = "67108864";

/// An open SQLite file.
#[derive(Clone)]
pub struct Sqlite {
    readers: SqlitePool,
    writer: Writer,
    options: Arc<SqliteConnectOptions>,
}

impl Sqlite {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        create_private(path).map_err(sqlx::Error::Io)?;
        Self::connect(options(path)).await
    }

    /// The connections are of the usual kind all the same: one that SQLite itself holds to reading cannot make the
    /// write-ahead log that belongs to the file.
    pub(super) async fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        Self::connect(options(path).pragma("query_only", "ON")).await
    }

    async fn connect(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let options = Arc::new(options);
        // First the writer: it makes the write-ahead log, which read-only connections cannot.
        let writer = Writer::open(Arc::clone(&options), ACQUIRE_TIMEOUT).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(SqliteConnectOptions::clone(&options).read_only(true))
            .await?;
        Ok(Self { readers, writer, options })
    }

    pub(super) async fn begin(&self) -> Result<SqliteTx, StoreError> {
        self.writer.begin().await
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    pub(super) fn options(&self) -> &SqliteConnectOptions {
        &self.options
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("journal_size_limit", WAL_LIMIT)
        // On macOS `fsync` alone does not reach the disk; elsewhere this changes nothing.
        .pragma("fullfsync", "ON")
}

/// Makes the file, and the folder right above it, for the owner alone. SQLite gives its log files the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    let mut directory = DirBuilder::new();
    let mut file = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        directory.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        directory.create(parent)?;
    }
    match file.write(true).create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}
