//! Many want the token of one account at the moment when it has ended, at every process at once, again and again; and
//! the same while one of the processes ends.

use std::{sync::Arc, time::Duration};

use chancery::entropy::Entropy;
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::world::{Answer, Counted, Server, World};

/// How many want it at once.
pub(crate) const CALLERS: usize = 200;
/// What a request says whose connection was marked after a crash.
const MARKED: &str = "needs_reconnect:interrupted";
/// By how much a vendor that shall be caught at work thinks, twice.
const SLOW: Duration = Duration::from_millis(100);
/// The process that is about to end is asked first, so that it is often the one that refreshes.
const AHEAD: Duration = Duration::from_millis(200);
/// Longer than a lease of a process that died in the midst of a refresh, and the pauses that callers are told to make.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// What befalls one of the processes while it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9`.
    Killed,
    /// It is asked to end.
    Stopped,
}

/// What came of all the rounds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) rounds: usize,
    /// What was handed out, or said to need the person after a crash.
    pub(crate) vends: usize,
    /// Refreshes that the vendor counted.
    pub(crate) refreshes: u64,
    /// Refresh tokens that it did not take. There may be none.
    pub(crate) refused: u64,
    /// Rounds after which the person had to connect again.
    pub(crate) marked: usize,
    /// Whatever else went another way than it should. There may be none.
    pub(crate) failures: Vec<String>,
    latencies: Vec<Duration>,
}

/// What one caller came to.
#[derive(Debug, Clone, PartialEq)]
enum Got {
    Token(Value),
    /// The person must connect again, for nobody knows what became of the refresh.
    Marked,
    Nothing(String),
}

impl Tally {
    /// How long so many of a hundred vends took at most, in milliseconds.
    pub(crate) fn millis(&mut self, of_a_hundred: usize) -> u128 {
        self.latencies.sort_unstable();
        let index = self.latencies.len() * of_a_hundred / 100;
        self.latencies.get(index).map_or(0, Duration::as_millis)
    }

    fn fail(&mut self, what: &str) {
        self.failures.push(format!("round {}: {what}", self.rounds));
    }

    /// Adds what the vendor counted, and answers how many refreshes that was.
    fn count(&mut self, before: Counted, after: Counted) -> u64 {
        self.refused += after.refused - before.refused;
        self.refreshes += after.given - before.given;
        after.given - before.given
    }
}

/// So many rounds. Each begins when the token has ended, and after it every process has one that the vendor takes.
pub(crate) async fn run(world: &mut World, rounds: usize, fault: Option<Fault>) -> Tally {
    let mut tally = Tally::default();
    look(world, &mut tally).await;
    for _ in 0..rounds {
        tally.rounds += 1;
        world.expired().await;
        match fault {
            None => storm(world, &mut tally).await,
            Some(fault) => storm_while(world, fault, &mut tally).await,
        }
        look(world, &mut tally).await;
    }
    tally
}

/// The grant lives after the last round, too: it gives one token more.
pub(crate) async fn lives(world: &mut World, tally: &mut Tally) {
    world.expired().await;
    look(world, tally).await;
}

/// Every process has a token, and it is one that the vendor takes.
async fn look(world: &mut World, tally: &mut Tally) {
    for instance in 0..world.server.instances() {
        match world.server.ask(instance).await {
            Ok(Answer { status: 200, body, .. }) => {
                if !world.is_good(body["access_token"].as_str().unwrap()).await {
                    tally.fail("lost: the vendor does not take what was handed out");
                }
                world.handed_out(&body);
            }
            Ok(Answer { status, body, .. }) => tally.fail(&format!("afterwards: {status} {body}")),
            Err(error) => tally.fail(&format!("afterwards: {error}")),
        }
    }
}

/// A round in which nothing ends: one refresh, of which everybody has what it brought at the first attempt.
async fn storm(world: &mut World, tally: &mut Tally) {
    let (before, began) = (world.counted().await, Instant::now());
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let server = Arc::clone(&world.server);
        callers.spawn(async move {
            let begun = Instant::now();
            let answer = server.ask(caller % server.instances()).await;
            (answer, begun.elapsed())
        });
    }
    let mut tokens = Vec::new();
    for (answer, took) in callers.join_all().await {
        match answer {
            Ok(Answer { status: 200, body, .. }) => {
                tokens.push(body["access_token"].clone());
                tally.latencies.push(took);
            }
            Ok(Answer { status, body, .. }) => tally.fail(&format!("{status} {body}")),
            Err(error) => tally.fail(&error.to_string()),
        }
    }
    tally.vends += tokens.len();
    if tokens.iter().any(|token| *token != tokens[0]) {
        tally.fail("not all have the same token");
    }
    let refreshes = tally.count(before, world.counted().await);
    if refreshes != 1 {
        tally.fail(&format!("{refreshes} refreshes in a storm of {:?}", began.elapsed()));
    }
}

/// A round in which one of the processes ends: all callers are answered by the others, or by the next where it was
/// alone, and the connection works, or is marked if the process was killed.
async fn storm_while(world: &mut World, fault: Fault, tally: &mut Tally) {
    let before = world.counted().await;
    world.slow_down(SLOW).await;
    let victim = by_chance(u32::try_from(world.instances.len()).unwrap());
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let server = Arc::clone(&world.server);
        callers.spawn(async move {
            let first = caller % server.instances();
            if first != victim {
                sleep(AHEAD).await;
            }
            let begun = Instant::now();
            (insist(&server, first).await, begun.elapsed())
        });
    }
    while world.counted().await.asked == before.asked {
        sleep(Duration::from_millis(2)).await;
    }
    sleep(SLOW * 3 * u32::try_from(by_chance(256)).unwrap() / 255).await;
    match fault {
        Fault::Killed => world.instances[victim].kill(),
        Fault::Stopped => world.instances[victim].stop(),
    }
    let is_alone = world.instances.len() == 1;
    if is_alone {
        world.instances[victim].restart().await;
    }
    let got = callers.join_all().await;
    world.slow_down(Duration::ZERO).await;
    tally.count(before, world.counted().await);
    let mut marked = 0;
    for (got, took) in got {
        match got {
            Got::Nothing(why) => {
                tally.fail(&why);
                continue;
            }
            Got::Marked => marked += 1,
            Got::Token(_) => {}
        }
        tally.latencies.push(took);
        tally.vends += 1;
    }
    match (marked, fault) {
        (0, _) => {}
        (CALLERS, Fault::Killed) => tally.marked += 1,
        (_, Fault::Killed) => tally.fail(&format!("{marked} were told that it is marked, the others not")),
        (_, Fault::Stopped) => tally.fail("marked, though nobody was killed"),
    }
    if !is_alone {
        world.instances[victim].restart().await;
    }
    if marked > 0 {
        world.connect().await;
    }
}

/// What a caller comes to that asks another process where one is gone, and the same later where it is told to.
async fn insist(server: &Server, first: usize) -> Got {
    let begun = Instant::now();
    let mut instance = first;
    while begun.elapsed() < SETTLED_WITHIN {
        match server.ask(instance).await {
            Ok(Answer { status: 200, body, .. }) => return Got::Token(body),
            Ok(Answer { body, .. }) if body["reason"] == MARKED => return Got::Marked,
            Ok(Answer { status: 503, retry_after: Some(pause), .. }) => sleep(pause).await,
            Ok(Answer { status, body, .. }) => return Got::Nothing(format!("{status} {body}")),
            Err(error) if error.is_timeout() => return Got::Nothing(error.to_string()),
            Err(_) => {
                instance = (instance + 1) % server.instances();
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    Got::Nothing(format!("no answer within {SETTLED_WITHIN:?}"))
}

/// One of the first so many numbers.
fn by_chance(of: u32) -> usize {
    let numbers = u32::from_le_bytes(Entropy::System.bytes());
    usize::try_from(numbers % of).unwrap()
}
