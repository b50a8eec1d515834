//! The one writer of a SQLite file, and group commit.
//!
//! A task owns the only connection that writes. It lends it to one [`SqliteTx`] after another, each inside a
//! savepoint of one transaction, for as long as others are already waiting; then it commits once, with one
//! `fsync`, and answers all of them. Nobody is waited for: a transaction that comes alone is committed alone.
//!
//! Only the task speaks `BEGIN`, `SAVEPOINT` and `COMMIT`, and nothing cancels it, so a client that goes away in
//! the midst of anything leaves no statement half done: its loan ends, and its savepoint is rolled back.

use std::{sync::Arc, time::Duration};

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, mpsc, oneshot},
    time::{Instant, timeout},
};

use super::StoreError;

/// How many transactions one commit may carry: beyond this the saving per transaction is nothing.
const MAX_BATCH: usize = 64;

/// After this time a batch takes nobody else in, so that its first member is not kept waiting for its last. The tests
/// beside the code say who is in a batch, on machines of any speed.
const MAX_BATCH_TIME: Duration = if cfg!(test) { Duration::from_secs(60) } else { Duration::from_millis(10) };

/// How many may wait for their turn; a burst beyond it waits in front, within the same time limit.
const QUEUE: usize = 1024;

const BEGIN: &str = "BEGIN IMMEDIATE; SAVEPOINT member";

type Lend = oneshot::Sender<Result<SqliteTx, StoreError>>;
type Answer = oneshot::Sender<Result<(), StoreError>>;

enum Request {
    Begin(Lend),
    Close(oneshot::Sender<()>),
}

/// The way to the writer's task.
#[derive(Clone)]
pub(super) struct Writer {
    requests: mpsc::Sender<Request>,
    patience: Duration,
}

/// The connection on loan, inside a savepoint. Dropping it rolls the savepoint back: the mutex is released and
/// `finish` closed without a word, in this order.
pub struct SqliteTx {
    connection: OwnedMutexGuard<SqliteConnection>,
    finish: oneshot::Sender<Answer>,
}

impl Writer {
    pub(super) async fn open(
        options: Arc<SqliteConnectOptions>,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let connection = options.connect().await?;
        let (requests, queue) = mpsc::channel(QUEUE);
        let connection = Some(Arc::new(Mutex::new(connection)));
        let task = Task { options, connection, queue, put_back: None, closers: Vec::new() };
        tokio::spawn(task.run());
        Ok(Self { requests, patience })
    }

    pub(super) async fn begin(&self) -> Result<SqliteTx, StoreError> {
        let turn = async {
            let (lend, loan) = oneshot::channel();
            self.requests.send(Request::Begin(lend)).await.map_err(|_| sqlx::Error::PoolClosed)?;
            loan.await.map_err(|_| sqlx::Error::PoolClosed)?
        };
        timeout(self.patience, turn).await.map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.requests.send(Request::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

impl SqliteTx {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        let (answer, committed) = oneshot::channel();
        let Self { connection, finish } = self;
        drop(connection);
        let unanswered = || StoreError::from(sqlx::Error::WorkerCrashed);
        finish.send(answer).map_err(|_| unanswered())?;
        committed.await.map_err(|_| unanswered())?
    }
}

struct Task {
    options: Arc<SqliteConnectOptions>,
    /// `None` after an error that leaves the connection's state unknown; the next one in need opens another.
    connection: Option<Arc<Mutex<SqliteConnection>>>,
    queue: mpsc::Receiver<Request>,
    /// One who was taken from the queue into a batch that broke before its turn came.
    put_back: Option<Lend>,
    closers: Vec<oneshot::Sender<()>>,
}

impl Task {
    /// Serves until it is closed or nobody can ask any more; whoever was already waiting is still served.
    async fn run(mut self) {
        while let Some(request) = self.queue.recv().await {
            let mut next = self.unless_gone(request);
            while let Some(lend) = next {
                self.batch(lend).await;
                next = self.put_back.take();
            }
        }
        if let Some(connection) = self.connection.take().and_then(Arc::into_inner)
            && let Err(error) = connection.into_inner().close().await
        {
            tracing::warn!(%error, "the SQLite file was not closed in order; nothing committed is lost");
        }
        for closer in self.closers {
            let _ = closer.send(());
        }
    }

    /// The one to lend to, unless it went away while it waited.
    fn unless_gone(&mut self, request: Request) -> Option<Lend> {
        match request {
            Request::Begin(lend) => (!lend.is_closed()).then_some(lend),
            Request::Close(done) => {
                self.queue.close();
                self.closers.push(done);
                None
            }
        }
    }

    fn next_waiting(&mut self) -> Option<Lend> {
        while let Ok(request) = self.queue.try_recv() {
            if let Some(lend) = self.unless_gone(request) {
                return Some(lend);
            }
        }
        None
    }

    async fn batch(&mut self, first: Lend) {
        let connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => return drop(first.send(Err(error))),
        };
        let mut members = Vec::new();
        let outcome = self.fill(&connection, first, &mut members).await;
        if let Err(error) = &outcome {
            tracing::warn!(%error, transactions = members.len(), "a batch of SQLite transactions failed");
            self.connection = None;
        }
        for member in members {
            let _ = member.send(outcome.clone());
        }
    }

    async fn connect(&mut self) -> Result<Arc<Mutex<SqliteConnection>>, StoreError> {
        if let Some(connection) = &self.connection {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(Mutex::new(self.options.connect().await?));
        self.connection = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// One transaction from `BEGIN` to `COMMIT`. `members` are those who shall hear how it ended. An error means
    /// that none of it is in force, or, if the error is `COMMIT`'s own, that nobody can tell.
    async fn fill(
        &mut self,
        connection: &Arc<Mutex<SqliteConnection>>,
        first: Lend,
        members: &mut Vec<Answer>,
    ) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut lend = first;
        let mut control = BEGIN;
        loop {
            let mut guard = Arc::clone(connection).lock_owned().await;
            if let Err(error) = execute(&mut guard, control).await {
                if control == BEGIN {
                    let _ = lend.send(Err(error.clone()));
                } else {
                    self.put_back = Some(lend);
                }
                return Err(error);
            }
            let (finish, finished) = oneshot::channel();
            // Whoever is gone by now hands the loan straight back.
            drop(lend.send(Ok(SqliteTx { connection: guard, finish })));
            let commits = finished.await.map(|answer| members.push(answer)).is_ok();

            let open = members.len() < MAX_BATCH && begun.elapsed() < MAX_BATCH_TIME;
            if let Some(next) = open.then(|| self.next_waiting()).flatten() {
                lend = next;
                control = if commits { "RELEASE member; SAVEPOINT member" } else { "ROLLBACK TO member" };
                continue;
            }
            let end = match (commits, members.is_empty()) {
                (true, _) => "COMMIT",
                (false, false) => "ROLLBACK TO member; COMMIT",
                (false, true) => "ROLLBACK",
            };
            return execute(&mut *connection.lock().await, end).await;
        }
    }
}

/// Whatever a control statement fails of, it is nobody's conflict: the batch cannot be had.
async fn execute(connection: &mut SqliteConnection, control: &'static str) -> Result<(), StoreError> {
    let done = sqlx::query(control).execute(connection).await;
    done.map(|_| ()).map_err(|error| StoreError::Unavailable(Arc::new(error)))
}
