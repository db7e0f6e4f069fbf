//! Machines whose clocks differ: a session outlives its deadline by at most the difference, and stays dead afterwards.

use dynamodb_web_session::{
    Clock, Config, Error, ManualClock, SessionId, SessionManager, Timeouts, Timestamp, Update,
};
use proptest::prelude::*;
use proptest::test_runner::{Config as Proptest, TestCaseError, TestRunner};
use serde_json::{Value, json};

use crate::harness::Service;

/// The largest difference of a clock from the true time, in either direction.
const MAX_SKEW_SECONDS: u64 = 300;

/// A clock that is `seconds` ahead of the true time, or behind it if negative.
struct Skewed {
    true_time: ManualClock,
    seconds: i64,
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        let now = self.true_time.now().epoch_seconds();
        Timestamp::from_epoch_seconds(now.saturating_add_signed(self.seconds))
    }
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Load,
    Save,
    SaveTimeouts,
    Renew,
}

/// `wait` seconds pass, then a machine whose clock is `ahead` seconds ahead makes a call.
#[derive(Clone, Copy, Debug)]
struct Step {
    wait: u64,
    ahead: i64,
    call: Call,
}

fn step() -> impl Strategy<Value = Step> {
    let ahead = prop_oneof![Just(-300), Just(0), Just(300), -300..=300_i64];
    let call = prop_oneof![
        4 => Just(Call::Load),
        2 => Just(Call::Save),
        2 => Just(Call::SaveTimeouts),
        1 => Just(Call::Renew),
    ];
    (0..500_u64, ahead, call).prop_map(|(wait, ahead, call)| Step { wait, ahead, call })
}

async fn replay(service: &Service, steps: &[Step]) -> Result<(), TestCaseError> {
    let machine = |ahead| {
        let clock = Skewed { true_time: service.clock.clone(), seconds: ahead };
        service.sessions.clone().with_clock(clock)
    };
    let timeouts = Timeouts { idle_seconds: 700, absolute_seconds: 2000 };
    let created = machine(steps[0].ahead).create_with(json!({}), timeouts).await.unwrap();
    let mut id = created.id().clone();
    let absolute_deadline = service.recorded(&id, "absolute_expires").await;
    let mut is_over = false;
    for step in steps {
        service.clock.advance(step.wait);
        let now = service.clock.now().epoch_seconds();
        let deadline = service.recorded(&id, "expires").await.min(absolute_deadline);
        is_over |= now >= deadline + MAX_SKEW_SECONDS;
        let id_after = call(&machine(step.ahead), &id, step.call).await;
        prop_assert!(!(is_over && id_after.is_some()), "the session has ended by every clock");
        if let Some(id_after) = id_after {
            prop_assert!(now < absolute_deadline + MAX_SKEW_SECONDS);
            id = id_after;
            prop_assert_eq!(service.recorded(&id, "absolute_expires").await, absolute_deadline);
        }
    }
    Ok(())
}

/// The ID of the session after the call, if it is alive.
async fn call(sessions: &SessionManager, id: &SessionId, call: Call) -> Option<SessionId> {
    let mut update = Update::<Value>::default();
    let saved = match call {
        Call::Load => return sessions.load::<Value>(id).await.unwrap().map(|session| session.id().clone()),
        Call::Renew => return sessions.renew::<Value>(id).await.unwrap().map(|session| session.id().clone()),
        Call::Save => {
            update.data = Some(Value::Null);
            sessions.update(id, update).await
        }
        Call::SaveTimeouts => {
            update.idle_timeout_seconds = Some(700);
            sessions.update(id, update).await
        }
    };
    match saved {
        Ok(_) => Some(id.clone()),
        Err(error) => {
            assert!(matches!(error, Error::NotFound(_)), "{error:?}");
            None
        }
    }
}

#[test]
fn no_session_outlives_its_deadline_by_more_than_the_clock_skew_or_is_revived() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for touch_interval_seconds in [0, 60] {
        let config = Config { touch_interval_seconds, ..Config::default() };
        let service = runtime.block_on(Service::with(config));
        let steps = proptest::collection::vec(step(), 1..15);
        let config = Proptest { cases: 60, failure_persistence: None, ..Proptest::default() };
        let result = TestRunner::new(config).run(&steps, |steps| runtime.block_on(replay(&service, &steps)));
        if let Err(failure) = result {
            panic!("{failure}");
        }
    }
}
