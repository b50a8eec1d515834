//! What is logged.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{Dispatch, level_filters::LevelFilter, subscriber::DefaultGuard};
use tracing_subscriber::{fmt::MakeWriter, util::SubscriberInitExt as _};

/// A subscriber that wants nothing. While there is but one, `tracing` asks the thread on which a line first comes up
/// whether anybody wants it; were that the thread of a story that does not listen, those that do would never see the
/// line.
static DEAF: LazyLock<Dispatch> =
    LazyLock::new(|| tracing_subscriber::fmt().with_max_level(LevelFilter::OFF).finish().into());

/// Everything that is logged on this thread, which is the one on which a story and its server run.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Listens at every level for as long as the guard lives.
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        LazyLock::force(&DEAF);
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(LevelFilter::TRACE)
            .with_writer(log.clone());
        let guard = subscriber.finish().set_default();
        (log, guard)
    }

    /// What was logged so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
