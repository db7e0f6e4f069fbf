//! A model of a session. On generated histories of one caller, the service must agree with it on every call.

use std::sync::atomic::{AtomicUsize, Ordering};

use dynamodb_web_session::{AtMaxPerSubject, Clock, Config, SealMode, SessionId, Timeouts};
use proptest::prelude::*;
use proptest::test_runner::{Config as Proptest, TestCaseError, TestRunner};
use serde_json::{Value, json};

use crate::harness::{Answer, Call, Service};

const MAX_TIMEOUT_SECONDS: u64 = 1000;
const TOUCH_INTERVAL_SECONDS: u64 = 20;
const SUBJECTS: u8 = 2;
const MAX_PER_SUBJECT: usize = 3;
/// Of a new session that a login has made without data.
const NO_DATA: u8 = u8::MAX;

/// What a caller does. A session is named by its index among all IDs that were issued, dead ones included.
#[derive(Clone, Debug)]
enum Step {
    Create {
        idle: u64,
        absolute: u64,
        subject: Option<u8>,
    },
    Load(usize),
    Save {
        session: usize,
        data: Option<u8>,
        idle: Option<u64>,
        absolute: Option<u64>,
        only_if: OnlyIf,
    },
    Renew {
        session: usize,
        subject: Option<u8>,
        data: Option<u8>,
        only_if: OnlyIf,
    },
    Clear(usize, OnlyIf),
    List(u8),
    /// All sessions of a subject, or all but one.
    RevokeAll(u8, Option<usize>),
    Revoke(usize),
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
    let subject = |probability| proptest::option::weighted(probability, 0..SUBJECTS);
    prop_oneof![
        3 => (timeout(), timeout(), subject(0.8)).prop_map(|(idle, absolute, subject)| {
            Step::Create { idle, absolute, subject }
        }),
        4 => session().prop_map(Step::Load),
        4 => (session(), data, change(), change(), only_if()).prop_map(|(session, data, idle, absolute, only_if)| {
            Step::Save { session, data, idle, absolute, only_if }
        }),
        2 => (session(), subject(0.3), proptest::option::of(0..3_u8), only_if()).prop_map(
            |(session, subject, data, only_if)| Step::Renew { session, subject, data, only_if }
        ),
        1 => (session(), only_if()).prop_map(|(session, only_if)| Step::Clear(session, only_if)),
        2 => (0..SUBJECTS).prop_map(Step::List),
        1 => (0..SUBJECTS, proptest::option::of(session()))
            .prop_map(|(subject, except)| Step::RevokeAll(subject, except)),
        1 => session().prop_map(Step::Revoke),
        3 => prop_oneof![Just(0), 1..30_u64, 1..500_u64].prop_map(Step::Wait),
    ]
}

/// A session as the documents describe it.
#[derive(Clone, Debug)]
struct Modelled {
    id: SessionId,
    subject: Option<u8>,
    data: u8,
    etag: String,
    /// The tag of the data before its last change.
    etag_before: String,
    created: u64,
    timeouts: Timeouts,
    /// When the idle deadline was last slid.
    slid: u64,
    ended: bool,
    /// Renewals keep it. A login of another subject does not.
    chain: usize,
    /// Until when the idle deadline slides without a write to the list, which says that the session may live as long as if it
    /// was used then.
    slide_by: u64,
    renewed_to: Option<Hop>,
    renewals: Renewals,
}

/// How often a session was renewed recently.
#[derive(Clone, Copy, Debug, Default)]
struct Renewals {
    count: u64,
    since: u64,
}

impl Renewals {
    /// Counts one more. False: they were ten within a minute.
    fn one_more(&mut self, now: u64) -> bool {
        match self.count {
            0 => *self = Self { count: 1, since: now },
            _ if now - self.since >= 60 => *self = Self { count: 1, since: now },
            10 => return false,
            _ => self.count += 1,
        }
        true
    }
}

/// What has become of an ID.
#[derive(Clone, Copy, Debug)]
struct Hop {
    /// The place of the session under its new ID.
    next: usize,
    at: u64,
    /// Whether a login has changed the subject.
    is_login: bool,
}

fn slack(idle_seconds: u64) -> u64 {
    (idle_seconds / 10).min(900)
}

impl Modelled {
    fn conditional(&self, call: Call, only_if: OnlyIf) -> Call {
        match only_if {
            OnlyIf::Anything => call,
            OnlyIf::Current => call.header("if-match", &self.etag),
            OnlyIf::Before => call.header("if-match", &self.etag_before),
        }
    }

    /// Takes over other data, and the tag that the service has returned for it.
    fn change_data(&mut self, data: Option<u8>, etag: &str) {
        if let Some(n) = data.filter(|n| *n != self.data)
            && etag != self.etag
        {
            self.etag_before = std::mem::replace(&mut self.etag, etag.to_owned());
            self.data = n;
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

    /// Whether it is listed, and takes one of the places of its subject.
    fn counts(&self, now: u64) -> bool {
        let Timeouts { idle_seconds, absolute_seconds } = self.timeouts;
        !self.ended && now < self.slide_by + idle_seconds && now < self.created + absolute_seconds
    }

    /// A use of it.
    fn slide(&mut self, now: u64) {
        self.slid = now;
        if self.slide_by < now {
            self.slide_by = now + slack(self.timeouts.idle_seconds);
        }
    }

    fn is_alive(&self, now: u64) -> bool {
        let Timeouts { idle_seconds, absolute_seconds } = self.timeouts;
        !self.ended && now < self.slid + idle_seconds && now < self.created + absolute_seconds
    }
}

async fn replay(service: &Service, history: usize, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut sessions: Vec<Modelled> = Vec::new();
    for step in steps {
        let now = service.clock.now().epoch_seconds();
        match *step {
            Step::Wait(seconds) => service.clock.advance(seconds),
            Step::Create { idle, absolute, subject } => {
                let mut body = json!({ "data": { "n": 0 }, "idle_timeout_seconds": idle, "absolute_timeout_seconds": absolute });
                name_subject(&mut body, history, subject);
                if is_full(&sessions, subject, now) {
                    expect(&service.post().json(&body).send().await, 409, None)?;
                    continue;
                }
                let answer = service.post().json(&body).send().await;
                let etag = answer.header("etag").to_owned();
                let created = Modelled {
                    id: answer.session_id(),
                    subject,
                    data: 0,
                    etag_before: etag.clone(),
                    etag,
                    created: now,
                    timeouts: Timeouts { idle_seconds: idle.min(absolute), absolute_seconds: absolute },
                    slid: now,
                    ended: false,
                    chain: sessions.len(),
                    slide_by: now + slack(idle.min(absolute)),
                    renewed_to: None,
                    renewals: Renewals::default(),
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
                        session.slide(now);
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
                    session.change_data(data, &etag);
                    prop_assert_eq!(
                        &etag,
                        &session.etag,
                        "the same data has the same tag, and other data another"
                    );
                    let idle = idle.map(|idle| idle.min(absolute.unwrap_or(idle)));
                    session.timeouts.idle_seconds = idle.unwrap_or(session.timeouts.idle_seconds);
                    let changes_timeouts = absolute.or(idle).is_some();
                    session.timeouts.absolute_seconds = absolute.unwrap_or(session.timeouts.absolute_seconds);
                    session.slide(now);
                    if changes_timeouts {
                        session.slide_by = now + slack(session.timeouts.idle_seconds);
                    }
                    expect(&answer, 204, None)?;
                }
            }
            Step::Renew { session, subject, data, only_if } => {
                let place = sessions.len();
                let index = session % place;
                let joins = subject.filter(|_| subject != sessions[index].subject);
                let has_no_place = is_full(&sessions, joins, now);
                let session = pick(&mut sessions, session);
                let mut body = json!({});
                name_subject(&mut body, history, subject);
                if let Some(n) = data {
                    body["data"] = json!({ "n": n });
                }
                let call = service.post_renew().id(&session.id).json(&body);
                let answer = session.conditional(call, only_if).send().await;
                if !session.is_alive(now) && subject.is_none() {
                    expect(&answer, 404, None)?;
                } else if !session.is_alive(now) && !matches!(only_if, OnlyIf::Anything) {
                    expect(&answer, 412, None)?;
                } else if !session.is_alive(now) {
                    // A login: the user gets a new session, with none of the old data.
                    if is_full(&sessions, subject, now) {
                        expect(&answer, 409, None)?;
                        continue;
                    }
                    let default = service.sessions.config().default_timeouts();
                    let etag = answer.header("etag").to_owned();
                    let created = Modelled {
                        id: answer.session_id(),
                        subject,
                        data: data.unwrap_or(NO_DATA),
                        etag_before: etag.clone(),
                        etag,
                        created: now,
                        timeouts: default,
                        slid: now,
                        ended: false,
                        chain: place,
                        slide_by: now + slack(default.idle_seconds),
                        renewed_to: None,
                        renewals: Renewals::default(),
                    };
                    expect(&answer, 201, Some(&created))?;
                    sessions.push(created);
                } else if session.refuses(session, only_if) {
                    expect(&answer, 412, None)?;
                } else if subject.is_none() && !session.renewals.one_more(now) {
                    expect(&answer, 429, None)?;
                } else if has_no_place {
                    expect(&answer, 409, None)?;
                } else {
                    let mut renewed = Modelled { id: answer.session_id(), slid: now, ..session.clone() };
                    renewed.subject = subject.or(session.subject);
                    let is_login = renewed.subject != session.subject;
                    if is_login {
                        renewed.chain = place;
                    }
                    renewed.slide_by = now + slack(renewed.timeouts.idle_seconds);
                    renewed.change_data(data, answer.header("etag"));
                    if service.sessions.config().seal == SealMode::On {
                        // The tag is of this session: one that was made for the old ID matches nothing.
                        renewed.etag = answer.header("etag").to_owned();
                        prop_assert_ne!(&renewed.etag, &session.etag);
                    }
                    session.ended = true;
                    session.renewed_to = Some(Hop { next: place, at: now, is_login });
                    prop_assert_ne!(renewed.id.expose(), session.id.expose());
                    expect(&answer, 200, Some(&renewed))?;
                    sessions.push(renewed);
                }
            }
            Step::List(subject) => {
                let mut alive: Vec<_> = sessions
                    .iter()
                    .filter(|session| session.subject == Some(subject) && session.counts(now))
                    .map(|session| session.id.loggable().to_string())
                    .collect();
                let mut listed = service.list(&subject_name(history, subject)).await;
                alive.sort_unstable();
                listed.sort_unstable();
                prop_assert_eq!(listed, alive);
            }
            Step::RevokeAll(subject, except) => {
                let except = except.map(|session| session % sessions.len());
                let mut body = json!({});
                name_subject(&mut body, history, Some(subject));
                if let Some(place) = except {
                    body["except"] = json!(sessions[place].id.loggable().as_str());
                }
                expect(&service.post_revoke().json(&body).send().await, 204, None)?;
                for (place, session) in sessions.iter_mut().enumerate() {
                    session.ended |= session.subject == Some(subject) && Some(place) != except;
                }
            }
            Step::Revoke(session) => {
                let body =
                    json!({ "loggable_session_id": pick(&mut sessions, session).id.loggable().as_str() });
                expect(&service.post_revoke().json(&body).send().await, 204, None)?;
                if let Some(place) = cleared(&sessions, session, now, OnlyIf::Anything, u64::MAX) {
                    sessions[place].ended = true;
                }
            }
            Step::Clear(session, only_if) => {
                let named = pick(&mut sessions, session).clone();
                let call = service.delete().id(&named.id);
                let answer = named.conditional(call, only_if).send().await;
                match cleared(&sessions, session, now, only_if, 60) {
                    Some(place)
                        if sessions[place].is_alive(now) && sessions[place].refuses(&named, only_if) =>
                    {
                        expect(&answer, 412, None)?;
                    }
                    Some(place) => {
                        // The record of a dead session goes too, unless the condition fails on it.
                        sessions[place].ended |= !sessions[place].refuses(&named, only_if);
                        expect(&answer, 204, None)?;
                    }
                    None => expect(&answer, 204, None)?,
                }
            }
        }
    }
    Ok(())
}

/// The session that a clear or a revocation ends: that of the ID, or the one that it has become.
fn cleared(
    sessions: &[Modelled],
    session: usize,
    now: u64,
    only_if: OnlyIf,
    max_login_age: u64,
) -> Option<usize> {
    let mut place = session % sessions.len();
    let mut after_login = false;
    while let Some(Hop { next, at, is_login }) = sessions[place].renewed_to {
        if now - at > max_login_age && (is_login || after_login) {
            return None;
        }
        after_login |= is_login;
        // The tombstone of a login has the new subject and chain.
        let of = if is_login { &sessions[next] } else { &sessions[place] };
        if of.subject.is_some() && matches!(only_if, OnlyIf::Anything) {
            let chain = of.chain;
            return sessions
                .iter()
                .position(|session| session.chain == chain && session.renewed_to.is_none());
        }
        place = next;
    }
    Some(place)
}

/// Whether a subject has no place left for one more session.
fn is_full(sessions: &[Modelled], subject: Option<u8>, now: u64) -> bool {
    let of_subject = |session: &&Modelled| subject.is_some() && session.subject == subject;
    sessions.iter().filter(of_subject).filter(|session| session.counts(now)).count() >= MAX_PER_SUBJECT
}

/// Each history has subjects of its own: its sessions are the first in the lists.
fn subject_name(history: usize, subject: u8) -> String {
    format!("{history} {subject}")
}

fn name_subject(body: &mut Value, history: usize, subject: Option<u8>) {
    if let Some(subject) = subject {
        body["subject"] = subject_name(history, subject).into();
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
    let data = if session.data == NO_DATA { json!({}) } else { json!({ "n": session.data }) };
    prop_assert_eq!(&document["data"], &data);
    prop_assert_eq!(answer.header("etag"), &session.etag);
    let subject = document["subject"].as_str().and_then(|name| name.split(' ').nth(1)?.parse::<u8>().ok());
    prop_assert_eq!(subject, session.subject);
    prop_assert_eq!(&document["loggable_session_id"], &json!(session.id.loggable().as_str()));
    for (member, time) in [("created", session.created), ("expires", expires)] {
        let time = dynamodb_web_session::Timestamp::from_epoch_seconds(time).to_string();
        prop_assert_eq!(&document[member], &json!(time), "{}", member);
    }
    prop_assert_eq!(&document["idle_timeout_seconds"], idle_seconds);
    prop_assert_eq!(&document["absolute_timeout_seconds"], absolute_seconds);
    Ok(())
}

#[test]
fn the_service_agrees_with_the_model() {
    agree(SealMode::Off);
}

#[test]
fn the_service_agrees_with_the_model_when_it_seals() {
    agree(SealMode::On);
}

/// `MODEL_HISTORIES` is the number of histories; 50 by default.
fn agree(seal: SealMode) {
    let histories = std::env::var("MODEL_HISTORIES").map_or(50, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config {
        max_timeout_seconds: MAX_TIMEOUT_SECONDS,
        timeouts: Timeouts { idle_seconds: 100, absolute_seconds: 500 },
        touch_interval_seconds: TOUCH_INTERVAL_SECONDS,
        max_per_subject: MAX_PER_SUBJECT,
        at_max_per_subject: AtMaxPerSubject::Refuse,
        seal,
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
    let histories = AtomicUsize::new(0);
    let result = TestRunner::new(config).run(&steps, |steps| {
        let history = histories.fetch_add(1, Ordering::Relaxed);
        runtime.block_on(replay(&service, history, &steps))
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
