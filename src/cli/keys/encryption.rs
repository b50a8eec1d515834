//! `chancery keys rotate --encryption`: moves every sealed value to the first key, and says how far it is.

use std::{
    io::{self, IsTerminal as _, Write},
    num::NonZeroU32,
    process::ExitCode,
    time::Duration,
};

use super::{Database, list::described, open};
use crate::{
    cli::serve::stop_signal,
    clock::{Clock, Timestamp},
    entropy::Entropy,
    seal::rewrap::{Progress, Report, Rewrap},
};

/// How often a line is written where nobody watches.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How many characters the bar has.
const WIDTH: u64 = 30;

pub(super) async fn rotate(
    database: &Database,
    rate: NonZeroU32,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let (config, db, sealer) = open(database).await?;
    let stop = stop_signal()?;
    let (clock, entropy) = (&Clock::System, &Entropy::System);
    let job = Rewrap { db: &db, sealer: &sealer, clock, entropy, rate, stop: &stop };
    let mut shown = Shown { began: clock.now(), line_at: clock.now(), bar: io::stdout().is_terminal() };
    if let Some(first) = config.encryption.keys.first() {
        writeln!(
            out,
            "moving what is sealed by other keys to `{}`, {rate} values a second at most",
            first.id
        )?;
    }
    let outcome = job.run(&mut |progress| shown.tell(progress, clock.now(), out)).await;
    if shown.bar {
        writeln!(out)?;
    }
    db.close().await;
    conclusion(&outcome?, out)
}

/// What is shown of the progress.
struct Shown {
    began: Timestamp,
    line_at: Timestamp,
    /// Whether somebody watches: then it is one line that is written again and again.
    bar: bool,
}

impl Shown {
    fn tell(&mut self, progress: Progress, now: Timestamp, out: &mut impl Write) {
        let Progress { of, .. } = progress;
        let done = progress.done();
        let spent = now.since(self.began).as_secs();
        let left = (of.saturating_sub(done) * spent).checked_div(done).unwrap_or(0);
        let counted = format!("{done} of {of}, {left} s left");
        // Nobody is there to be told that the console has gone; the job goes on.
        let _ = if self.bar {
            let filled = (done * WIDTH).checked_div(of).unwrap_or(WIDTH).min(WIDTH);
            let bar: String = (0..WIDTH).map(|at| if at < filled { '#' } else { '-' }).collect();
            write!(out, "\r[{bar}] {counted}\u{1b}[K").and_then(|()| out.flush())
        } else if now.since(self.line_at) >= LINE_EVERY {
            self.line_at = now;
            writeln!(out, "{counted}")
        } else {
            Ok(())
        };
    }
}

fn conclusion(
    Report { progress, interrupted, uses }: &Report,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let Progress { moved, overtaken, refused, .. } = progress;
    writeln!(out, "moved {moved}, replaced by others meanwhile {overtaken}, refused {refused}")?;
    for (id, values) in uses.keys.iter().skip(1) {
        match (values.count(), values.movable()) {
            (0, _) => writeln!(out, "`{id}` can be left out of the configuration")?,
            (_, 0) => writeln!(out, "`{id}` has {}, which end by themselves", described(values))?,
            _ => writeln!(out, "`{id}` has {} left", described(values))?,
        }
    }
    if *refused > 0 {
        writeln!(out, "what was refused does not open: see `seal.refused` in the record")?;
    }
    let left = uses.to_move();
    if *interrupted {
        writeln!(out, "interrupted; run it again to go on")?;
    } else if left > *refused {
        writeln!(
            out,
            "something is sealed by another key yet: give every server the new order of keys, run it again"
        )?;
    }
    Ok(if left == 0 && !interrupted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_watches_sees_a_bar_and_a_log_a_line_now_and_then() {
        let told = |bar, after: &[u64]| {
            let mut shown = Shown { began: Timestamp::from_secs(0), line_at: Timestamp::from_secs(0), bar };
            let mut out = Vec::new();
            for secs in after {
                let progress = Progress { of: 100, moved: *secs, overtaken: 0, refused: 0 };
                shown.tell(progress, Timestamp::from_secs(i64::try_from(*secs).unwrap()), &mut out);
            }
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(false, &[1, 9, 10, 15, 20]), "10 of 100, 90 s left\n20 of 100, 80 s left\n");
        let bar = told(true, &[50]);
        assert_eq!(bar, "\r[###############---------------] 50 of 100, 50 s left\u{1b}[K");
        assert!(told(true, &[0]).contains("0 of 100, 0 s left"));
    }
}
