//! What to do about a connection's access token: pure, so that every case is tested.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    config::connection::behaviour::{Refreshing, Rotation},
    store::connections::Connection,
    vault::state::{Loss, State},
};

/// What lives no longer than this is not worth handing out: it would end on its way to the vendor's API.
const LEAST: Duration = Duration::from_secs(10);

/// Who gets a token with less than this left waits for the next one, which would soon be needed anyway.
const SHORT: Duration = Duration::from_secs(60);

/// What to do about a connection's access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// It is good: hand it out.
    Serve,
    /// Hand it out; it ends soon, so get the next meanwhile.
    ServeAndRefresh,
    /// Get the next. What is there, if anything, is for the case that the vendor gives none.
    Refresh,
    /// Nothing is there, and somebody is getting the next.
    Wait,
    /// Nothing is there, and the vendor is not asked before this moment.
    Later(Timestamp),
    /// Nothing is there for anybody but the person to get.
    Reconnect(Loss),
    /// An operator does not want it.
    Disabled,
}

pub(super) fn plan(connection: &Connection, refreshing: &Refreshing, now: Timestamp) -> Plan {
    match connection.state {
        State::Disabled => return Plan::Disabled,
        State::NeedsReconnect(loss) => return Plan::Reconnect(loss),
        State::Active | State::Degraded(_) => {}
    }
    let Some(end) = connection.expires_at else { return Plan::Serve };
    let left = end.since(now);
    if left > margin(connection, end, refreshing.margin) {
        return Plan::Serve;
    }
    let put_off = connection.next_attempt_at.filter(|at| *at > now);
    match (connection.is_leased(now), put_off) {
        (false, None) if left > SHORT => Plan::ServeAndRefresh,
        (false, None) => Plan::Refresh,
        _ if left >= LEAST => Plan::Serve,
        (true, _) => Plan::Wait,
        (false, Some(at)) => Plan::Later(at),
    }
}

/// The same for a token that is to be newer than `since`, if the vendor may be asked at all.
pub(super) fn plan_newer(
    connection: &Connection,
    refreshing: &Refreshing,
    (since, now): (Timestamp, Timestamp),
) -> Plan {
    let is_old = connection.refreshed_at < since;
    let put_off = connection.next_attempt_at.is_some_and(|at| at > now);
    match plan(connection, refreshing, now) {
        Plan::Serve | Plan::ServeAndRefresh if is_old && connection.is_leased(now) => Plan::Wait,
        Plan::Serve | Plan::ServeAndRefresh if is_old && !put_off => Plan::Refresh,
        plan => plan,
    }
}

/// Whether the access token is worth handing out.
pub(super) fn is_usable(connection: &Connection, now: Timestamp) -> bool {
    connection.expires_at.is_none_or(|end| end.since(now) >= LEAST)
}

/// How long before its end a token is renewed: as the preset says, a little earlier for some connections than for
/// others, so that accounts that were connected together do not all come back together, and never before half of its
/// life.
fn margin(connection: &Connection, end: Timestamp, configured: Duration) -> Duration {
    let digit = connection.id.as_str().chars().last().and_then(|last| last.to_digit(16)).unwrap_or(0);
    let lifetime = end.since(connection.refreshed_at);
    (configured + configured * digit / 64).min(lifetime / 2)
}

/// Whether a refresh token may be sent that was sent before without an answer being stored. Whoever sent it stopped in
/// the midst (`lease_owner` is then still there), or got no answer and wrote that down.
///
/// After a crash a token that is good once goes out again only while the vendor bears that: nobody is at hand who would
/// know whether it was sent at all. An outage that was noted must not cost anybody her connection; there it is the
/// vendor who says that the token is worth nothing any more.
pub(super) fn may_send_again(connection: &Connection, refreshing: &Refreshing, now: Timestamp) -> bool {
    let Some(since) = connection.redeeming_since else { return true };
    match refreshing.rotation {
        Rotation::None | Rotation::Replace => true,
        Rotation::SingleUse => connection.lease_owner.is_none() || now.since(since) < refreshing.reuse_window,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{
        ids::{ConnectionId, UserId},
        store::connections::fixture,
        vault::state::Trouble,
    };

    const NOW: Timestamp = Timestamp::from_secs(1_795_219_200);
    const MARGIN: Duration = Duration::from_secs(300);

    fn refreshing(rotation: Rotation, reuse_window: u64) -> Refreshing {
        Refreshing {
            rotation,
            reuse_window: Duration::from_secs(reuse_window),
            idle_expiry: None,
            absolute_expiry: None,
            margin: MARGIN,
        }
    }

    /// One whose token lives an hour and has `left` seconds to go; without jitter.
    fn with(left: i64) -> Connection {
        let user = UserId::parse(&"0".repeat(32)).unwrap();
        let end = Timestamp::from_secs(NOW.as_secs() + left);
        Connection {
            id: ConnectionId::parse(&"0".repeat(32)).unwrap(),
            expires_at: Some(end),
            refreshed_at: end.minus(Duration::from_secs(3600)),
            ..fixture::connection(&user)
        }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(NOW.as_secs() + secs)
    }

    #[rstest]
    #[case::young(3600, Plan::Serve)]
    #[case::just_before_the_margin(301, Plan::Serve)]
    #[case::in_the_margin(300, Plan::ServeAndRefresh)]
    #[case::not_long_any_more(60, Plan::Refresh)]
    #[case::nearly_over(9, Plan::Refresh)]
    #[case::over(-1, Plan::Refresh)]
    fn what_is_left_decides(#[case] left: i64, #[case] expected: Plan) {
        assert_eq!(plan(&with(left), &refreshing(Rotation::None, 0), NOW), expected);
    }

    #[rstest]
    #[case(300, Plan::Serve)]
    #[case(10, Plan::Serve)]
    #[case(9, Plan::Wait)]
    #[case(-1, Plan::Wait)]
    fn while_somebody_refreshes_what_is_good_is_served(#[case] left: i64, #[case] expected: Plan) {
        let connection = Connection { leased_until: Some(at(1)), next_attempt_at: Some(at(5)), ..with(left) };
        assert_eq!(plan(&connection, &refreshing(Rotation::None, 0), NOW), expected);
        let ended = Connection { leased_until: Some(at(0)), next_attempt_at: Some(at(0)), ..with(left) };
        assert!(matches!(
            plan(&ended, &refreshing(Rotation::None, 0), NOW),
            Plan::Refresh | Plan::ServeAndRefresh
        ));
    }

    #[rstest]
    #[case(300, Plan::Serve)]
    #[case(10, Plan::Serve)]
    #[case(9, Plan::Later(at(5)))]
    fn a_vendor_in_trouble_is_left_alone(#[case] left: i64, #[case] expected: Plan) {
        let state = State::Degraded(Trouble::Unavailable);
        let connection = Connection { state, next_attempt_at: Some(at(5)), ..with(left) };
        assert_eq!(plan(&connection, &refreshing(Rotation::None, 0), NOW), expected);
    }

    /// The vendor is asked though the token be good, once by all, and not before it may be asked.
    #[test]
    fn what_is_to_be_newer_is_refreshed() {
        let refreshing = refreshing(Rotation::None, 0);
        let newer = |connection: &Connection, since| plan_newer(connection, &refreshing, (at(since), NOW));
        let young = Connection { refreshed_at: at(-100), ..with(3500) };
        assert_eq!(newer(&young, -60), Plan::Refresh);
        assert_eq!(newer(&young, -100), Plan::Serve);
        assert_eq!(newer(&Connection { leased_until: Some(at(1)), ..young.clone() }, -60), Plan::Wait);
        assert_eq!(newer(&Connection { next_attempt_at: Some(at(1)), ..young.clone() }, -60), Plan::Serve);
        let lost = Connection { state: State::NeedsReconnect(Loss::Revoked), ..young };
        assert_eq!(newer(&lost, -60), Plan::Reconnect(Loss::Revoked));
    }

    #[test]
    fn states_that_somebody_must_mend_come_first() {
        let refreshing = refreshing(Rotation::None, 0);
        let lost = Connection { state: State::NeedsReconnect(Loss::Revoked), ..with(3600) };
        assert_eq!(plan(&lost, &refreshing, NOW), Plan::Reconnect(Loss::Revoked));
        let disabled = Connection { state: State::Disabled, ..with(3600) };
        assert_eq!(plan(&disabled, &refreshing, NOW), Plan::Disabled);
    }

    #[test]
    fn a_token_without_end_is_served_for_ever() {
        let endless = Connection { expires_at: None, ..with(0) };
        assert_eq!(plan(&endless, &refreshing(Rotation::None, 0), NOW), Plan::Serve);
        assert!(is_usable(&endless, NOW));
    }

    /// Else a vendor whose tokens live five minutes would be asked at every vend.
    #[test]
    fn the_margin_is_at_most_half_of_a_life() {
        let short = |left| Connection { refreshed_at: NOW, ..with(left) };
        let refreshing = refreshing(Rotation::None, 0);
        assert_eq!(plan(&short(200), &refreshing, NOW), Plan::Serve);
        assert_eq!(plan(&short(200), &refreshing, at(99)), Plan::Serve);
        assert_eq!(plan(&short(200), &refreshing, at(100)), Plan::ServeAndRefresh);
    }

    #[test]
    fn connections_do_not_come_back_all_at_once() {
        let early = Connection { id: ConnectionId::parse(&"f".repeat(32)).unwrap(), ..with(370) };
        assert_eq!(plan(&early, &refreshing(Rotation::None, 0), NOW), Plan::ServeAndRefresh);
        assert_eq!(plan(&with(370), &refreshing(Rotation::None, 0), NOW), Plan::Serve);
    }

    #[rstest]
    #[case::stays(Rotation::None, 0, 1000, true)]
    #[case::old_one_works(Rotation::Replace, 0, 1000, true)]
    #[case::good_once(Rotation::SingleUse, 0, 0, false)]
    #[case::within_the_window(Rotation::SingleUse, 30, 29, true)]
    #[case::after_the_window(Rotation::SingleUse, 30, 30, false)]
    fn what_a_crash_leaves(
        #[case] rotation: Rotation,
        #[case] window: u64,
        #[case] ago: i64,
        #[case] again: bool,
    ) {
        let refreshing = refreshing(rotation, window);
        let left = Connection { redeeming_since: Some(at(-ago)), lease_owner: Some("a".into()), ..with(0) };
        assert_eq!(may_send_again(&left, &refreshing, NOW), again);
        let noted = Connection { lease_owner: None, ..left };
        assert!(may_send_again(&noted, &refreshing, NOW), "an outage is no crash");
        assert!(may_send_again(&with(0), &refreshing, NOW));
    }
}
