//! A model of a session. On generated histories of one caller, the service must agree with it on every call.

use dynamodb_web_session::{Clock, Config, SessionId, Timeouts};
use proptest::prelude::*;
use proptest::test_runner::{Config as Proptest, TestCaseError, TestRunner};
use serde_json::json;

use crate::harness::{Answer, Call, Service};

const MAX_TIMEOUT_SECONDS: u64 = 1000;
const TOUCH_INTERVAL_SECONDS: u64 = 20;

/// What a caller does. A session is named by its index among all IDs that were issued, dead ones included.
#[derive(Clone, Debug)]
enum Step {
    Create { idle: u64, absolute: u64 },
    Load(usize),
    Save { session: usize, data: Option<u8>, idle: Option<u64>, absolute: Option<u64>, only_if: OnlyIf },
    Renew(usize, OnlyIf),
    Clear(usize, OnlyIf),
    Wait(u64),
}

#[derive(Clone, Copy, Debug)]
enum OnlyIf {
    Anything,
    /// The current data.
    Current,
    /// The data before the last save that changed it.
    Before,
}

fn step() -> impl Strategy<Value = Step> {
    let timeout = || prop_oneof![1..100_u64, 1..=MAX_TIMEOUT_SECONDS];
    let session = || 0..6_usize;
    let only_if = || prop_oneof![Just(OnlyIf::Anything), Just(OnlyIf::Current), Just(OnlyIf::Before)];
    // Timeouts change rarely, so that sessions live long enough to be used. Data has few values, so that they recur.
    let change = || proptest::option::weighted(0.1, timeout());
    let data = proptest::option::weighted(0.8, 0..3_u8);
    prop_oneof![
        2 => (timeout(), timeout()).prop_map(|(idle, absolute)| Step::Create { idle, absolute }),
        4 => session().prop_map(Step::Load),
        4 => (session(), data, change(), change(), only_if()).prop_map(|(session, data, idle, absolute, only_if)| {
            Step::Save { session, data, idle, absolute, only_if }
        }),
        1 => (session(), only_if()).prop_map(|(session, only_if)| Step::Renew(session, only_if)),
        1 => (session(), only_if()).prop_map(|(session, only_if)| Step::Clear(session, only_if)),
        3 => prop_oneof![Just(0), 1..30_u64, 1..500_u64].prop_map(Step::Wait),
    ]
}

/// A session as the documents describe it.
#[derive(Clone, Debug)]
struct Modelled {
    id: SessionId,
    data: u8,
    etag: String,
    /// The tag of the data before its last change.
    etag_before: String,
    created: u64,
    timeouts: Timeouts,
    /// When the idle deadline was last slid.
    slid: u64,
    ended: bool,
    /// The place of the session under its new ID, and the time of the renewal.
    renewed_to: Option<(usize, u64)>,
}

impl Modelled {
    fn conditional(&self, call: Call, only_if: OnlyIf) -> Call {
        match only_if {
            OnlyIf::Anything => call,
            OnlyIf::Current => call.header("if-match", &self.etag),
            OnlyIf::Before => call.header("if-match", &self.etag_before),
        }
    }

    /// Whether a condition that was made from `named` fails on the data of this session.
    fn refuses(&self, named: &Self, only_if: OnlyIf) -> bool {
        match only_if {
            OnlyIf::Anything => false,
            OnlyIf::Current => named.etag != self.etag,
            OnlyIf::Before => named.etag_before != self.etag,
        }
    }

    fn is_alive(&self, now: u64) -> bool {
        let Timeouts { idle_seconds, absolute_seconds } = self.timeouts;
        !self.ended && now < self.slid + idle_seconds && now < self.created + absolute_seconds
    }
}

async fn replay(service: &Service, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut sessions: Vec<Modelled> = Vec::new();
    for step in steps {
        let now = service.clock.now().epoch_seconds();
        match *step {
            Step::Wait(seconds) => service.clock.advance(seconds),
            Step::Create { idle, absolute } => {
                let body = json!({ "data": { "n": 0 }, "idle_timeout_seconds": idle, "absolute_timeout_seconds": absolute });
                let answer = service.post().json(&body).send().await;
                let etag = answer.header("etag").to_owned();
                let created = Modelled {
                    id: answer.session_id(),
                    data: 0,
                    etag_before: etag.clone(),
                    etag,
                    created: now,
                    timeouts: Timeouts { idle_seconds: idle.min(absolute), absolute_seconds: absolute },
                    slid: now,
                    ended: false,
                    renewed_to: None,
                };
                expect(&answer, 201, Some(&created))?;
                sessions.push(created);
            }
            _ if sessions.is_empty() => {}
            Step::Load(session) => {
                let session = pick(&mut sessions, session);
                let answer = service.load(&session.id).await;
                if session.is_alive(now) {
                    let due = TOUCH_INTERVAL_SECONDS.min(session.timeouts.idle_seconds / 10);
                    if now - session.slid >= due {
                        session.slid = now;
                    }
                    expect(&answer, 200, Some(session))?;
                } else {
                    expect(&answer, 404, None)?;
                }
            }
            Step::Save { session, data, idle, absolute, only_if } => {
                let session = pick(&mut sessions, session);
                let mut body = serde_json::Map::new();
                data.map(|n| body.insert("data".into(), json!({ "n": n })));
                idle.map(|seconds| body.insert("idle_timeout_seconds".into(), seconds.into()));
                absolute.map(|seconds| body.insert("absolute_timeout_seconds".into(), seconds.into()));
                let call = service.put().id(&session.id).json(&body.clone().into());
                let answer = session.conditional(call, only_if).send().await;
                let is_stale = session.refuses(session, only_if);
                if body.is_empty() {
                    expect(&answer, 400, None)?;
                } else if !session.is_alive(now) {
                    expect(&answer, 404, None)?;
                } else if is_stale {
                    expect(&answer, 412, None)?;
                } else {
                    let etag = answer.header("etag").to_owned();
                    match data {
                        Some(n) if n != session.data => {
                            prop_assert_ne!(&etag, &session.etag);
                            session.etag_before = std::mem::replace(&mut session.etag, etag);
                            session.data = n;
                        }
                        _ => prop_assert_eq!(&etag, &session.etag, "the same data has the same tag"),
                    }
                    let idle = idle.map(|idle| idle.min(absolute.unwrap_or(idle)));
                    session.timeouts.idle_seconds = idle.unwrap_or(session.timeouts.idle_seconds);
                    session.timeouts.absolute_seconds = absolute.unwrap_or(session.timeouts.absolute_seconds);
                    session.slid = now;
                    expect(&answer, 204, None)?;
                }
            }
            Step::Renew(session, only_if) => {
                let place = sessions.len();
                let session = pick(&mut sessions, session);
                let call = service.post_renew().id(&session.id);
                let answer = session.conditional(call, only_if).send().await;
                if !session.is_alive(now) {
                    expect(&answer, 404, None)?;
                } else if session.refuses(session, only_if) {
                    expect(&answer, 412, None)?;
                } else {
                    let renewed = Modelled { id: answer.session_id(), slid: now, ..session.clone() };
                    session.ended = true;
                    session.renewed_to = Some((place, now));
                    prop_assert_ne!(renewed.id.expose(), session.id.expose());
                    expect(&answer, 200, Some(&renewed))?;
                    sessions.push(renewed);
                }
            }
            Step::Clear(session, only_if) => {
                let named = pick(&mut sessions, session).clone();
                let call = service.delete().id(&named.id);
                let answer = named.conditional(call, only_if).send().await;
                match cleared(&sessions, session, now) {
                    Some(place)
                        if sessions[place].is_alive(now) && sessions[place].refuses(&named, only_if) =>
                    {
                        expect(&answer, 412, None)?;
                    }
                    Some(place) => {
                        sessions[place].ended |= sessions[place].is_alive(now);
                        expect(&answer, 204, None)?;
                    }
                    None => expect(&answer, 204, None)?,
                }
            }
        }
    }
    Ok(())
}

/// The session that a clear ends: that of the ID, or the one to which fresh renewals have led.
fn cleared(sessions: &[Modelled], session: usize, now: u64) -> Option<usize> {
    let mut place = session % sessions.len();
    loop {
        match sessions[place].renewed_to {
            None => return Some(place),
            Some((_, renewed_at)) if now - renewed_at > 60 => return None,
            Some((next, _)) => place = next,
        }
    }
}

fn pick(sessions: &mut [Modelled], place: usize) -> &mut Modelled {
    let place = place % sessions.len();
    &mut sessions[place]
}

/// Checks the status of a response and, if it has a session document, all members except `session_id`.
fn expect(answer: &Answer, status: u16, session: Option<&Modelled>) -> Result<(), TestCaseError> {
    prop_assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    let Some(session) = session else { return Ok(()) };
    let document = answer.json();
    let Timeouts { idle_seconds, absolute_seconds } = session.timeouts;
    let expires = (session.slid + idle_seconds).min(session.created + absolute_seconds);
    prop_assert_eq!(&document["data"], &json!({ "n": session.data }));
    prop_assert_eq!(answer.header("etag"), &session.etag);
    prop_assert_eq!(&document["loggable_session_id"], &json!(session.id.loggable().as_str()));
    for (member, time) in [("created", session.created), ("expires", expires)] {
        let time = dynamodb_web_session::Timestamp::from_epoch_seconds(time).to_string();
        prop_assert_eq!(&document[member], &json!(time), "{}", member);
    }
    prop_assert_eq!(&document["idle_timeout_seconds"], idle_seconds);
    prop_assert_eq!(&document["absolute_timeout_seconds"], absolute_seconds);
    Ok(())
}

/// `MODEL_HISTORIES` is the number of histories; 300 by default.
#[test]
fn the_service_agrees_with_the_model() {
    let histories = std::env::var("MODEL_HISTORIES").map_or(300, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config {
        max_timeout_seconds: MAX_TIMEOUT_SECONDS,
        timeouts: Timeouts { idle_seconds: 100, absolute_seconds: 500 },
        touch_interval_seconds: TOUCH_INTERVAL_SECONDS,
        ..Config::default()
    };
    let service = runtime.block_on(Service::with(config));
    let config = Proptest {
        cases: histories,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..Proptest::default()
    };
    let steps = proptest::collection::vec(step(), 1..40);
    let result = TestRunner::new(config).run(&steps, |steps| runtime.block_on(replay(&service, &steps)));
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
