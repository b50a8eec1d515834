//! When the vendor is asked again: after a failure, and of tokens that nobody uses.

use std::time::Duration;

use crate::{clock::Timestamp, config::connection::behaviour::Refreshing, entropy::Entropy};

/// After the first failure; each further one doubles it.
const FIRST: Duration = Duration::from_secs(2);
/// When the vendor is well again, nobody shall have to wait much longer.
const LONGEST: Duration = Duration::from_secs(60);
/// An idle token is not refreshed more often.
const LEAST_IDLE: Duration = Duration::from_secs(60 * 60);

/// How long to leave a vendor alone that failed `before` times in a row and now again. `asked`: for how long it wants
/// to be left alone. Some of it is chance, so that those who failed together do not come back together.
pub(in crate::vault) fn back_off(before: i64, asked: Option<Duration>, entropy: &Entropy) -> Duration {
    let doubled = FIRST * 2_u32.pow(u32::try_from(before.clamp(0, 10)).unwrap_or(0));
    let own = part(doubled.min(LONGEST), 128, entropy);
    asked.map_or(own, |asked| own.max(asked + part(asked / 8, 0, entropy)))
}

/// When tokens that come now are to be refreshed though nobody asks for them, lest the vendor forget them: between half
/// and three quarters of the time that it gives them, by chance, so that it is spread. `None`: it forgets none.
/// `refresh_expires_at`: when it says that this refresh token ends.
pub fn refresh_due_at(
    refreshing: &Refreshing,
    refresh_expires_at: Option<Timestamp>,
    now: Timestamp,
    entropy: &Entropy,
) -> Option<Timestamp> {
    let told = refresh_expires_at.map(|end| end.since(now));
    let life = refreshing.idle_expiry.into_iter().chain(told).min()?;
    let due = part(life * 3 / 4, 171, entropy).max(LEAST_IDLE);
    (due < life).then(|| now.plus(due))
}

/// Between `least` 256ths of the time and all of it.
fn part(whole: Duration, least: u32, entropy: &Entropy) -> Duration {
    let [byte] = entropy.bytes::<1>();
    let parts = least + (256 - least) * u32::from(byte) / 255;
    whole / 256 * parts
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::connection::behaviour::Rotation;

    const DAY: u64 = 24 * 60 * 60;

    #[rstest]
    #[case(0, None, 1000, 2000)]
    #[case(1, None, 2000, 4000)]
    #[case(4, None, 16_000, 32_000)]
    #[case(5, None, 30_000, 60_000)]
    #[case(i64::MAX, None, 30_000, 60_000)]
    #[case(-1, None, 1000, 2000)]
    #[case(0, Some(120), 120_000, 135_000)]
    #[case(9, Some(1), 30_000, 60_000)]
    fn failures_are_spread_and_bounded(
        #[case] before: i64,
        #[case] asked: Option<u64>,
        #[case] least: u128,
        #[case] most: u128,
    ) {
        let waits =
            |seed| back_off(before, asked.map(Duration::from_secs), &Entropy::seeded(seed)).as_millis();
        let waits: Vec<_> = (0..200).map(waits).collect();
        assert!(waits.iter().all(|wait| (least..=most).contains(wait)), "{waits:?}");
        assert!(waits.iter().max() > waits.iter().min(), "no chance in it");
    }

    #[rstest]
    #[case::never(None, None, None)]
    #[case::by_the_preset(Some(180 * DAY), None, Some((90 * DAY, 135 * DAY)))]
    #[case::by_the_answer(None, Some(DAY), Some((DAY / 2, DAY * 3 / 4)))]
    #[case::the_earlier(Some(180 * DAY), Some(DAY), Some((DAY / 2, DAY * 3 / 4)))]
    #[case::it_ends_before_it_could_be(None, Some(3600), None)]
    fn idle_tokens_are_due_well_before_they_die(
        #[case] idle: Option<u64>,
        #[case] told: Option<u64>,
        #[case] expected: Option<(u64, u64)>,
    ) {
        let refreshing = Refreshing {
            rotation: Rotation::None,
            reuse_window: Duration::ZERO,
            idle_expiry: idle.map(Duration::from_secs),
            absolute_expiry: None,
            margin: Duration::from_secs(300),
        };
        let now = Timestamp::from_secs(1_795_219_200);
        let told = told.map(|told| now.plus(Duration::from_secs(told)));
        let dues: Vec<_> =
            (0..200).map(|seed| refresh_due_at(&refreshing, told, now, &Entropy::seeded(seed))).collect();
        let Some((least, most)) = expected else {
            return assert!(dues.iter().all(Option::is_none), "{dues:?}");
        };
        let dues: Vec<_> = dues.into_iter().map(|due| due.unwrap().since(now).as_secs()).collect();
        assert!(dues.iter().all(|due| (least..=most).contains(due)), "{dues:?}");
        assert!(dues.iter().max() > dues.iter().min(), "not spread");
    }
}
