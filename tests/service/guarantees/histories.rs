//! Histories of concurrent callers are linearizable: there is an order of the calls, each between its start and end, in
//! which a session does what the documents say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dynamodb_web_session::{Config, SealMode, SessionId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use tokio::task::JoinSet;

use crate::harness::{Action, Loss, Service};

/// The index of a session among all that were issued in a history.
type Session = usize;

/// A value that no other save of a history writes, so that a lost save is detected.
type Data = usize;

#[derive(Clone, Copy, Debug)]
enum Call {
    Load(Session),
    /// With `If-Match`, if there is a value that the data must have.
    Save(Session, Data, Option<Data>),
    Renew(Session),
    /// The session becomes one of the history's subject, with this data.
    LogIn(Session, Data),
    /// A clear, or a revocation by the loggable ID.
    Clear(Session),
    /// The part of a revocation of the subject's sessions that is about this session; the other one is excepted.
    Revoke(Session, Option<Session>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Loaded(Data),
    Saved,
    Changed,
    Renewed(Session),
    Cleared,
    Revoked,
    NotFound,
}

/// A session and its renewals, as the documents describe them. Different ones do not depend on each other, so each has a
/// checker of its own: a history is linearizable if the history of each object is.
#[derive(Clone, Debug)]
struct Family {
    /// The data of the session that is alive, if one is.
    live: BTreeMap<Session, Data>,
    /// Where the IDs lead to that were renewed.
    renewed: BTreeMap<Session, Session>,
    /// The sessions of the subject, dead or alive.
    bound: BTreeSet<Session>,
}

impl Family {
    fn of(session: Session, data: Data, is_bound: bool) -> Self {
        Self {
            live: BTreeMap::from([(session, data)]),
            renewed: BTreeMap::new(),
            bound: is_bound.then_some(session).into_iter().collect(),
        }
    }

    /// The session that a clear of this ID ends.
    fn follow(&self, mut session: Session) -> Session {
        while let Some(next) = self.renewed.get(&session) {
            session = *next;
        }
        session
    }
}

impl SequentialSpec for Family {
    type Op = Call;
    type Ret = Answer;

    fn invoke(&mut self, call: &Call) -> Answer {
        let live = |session: &Session| self.live.get(session).copied();
        match *call {
            Call::Clear(session) => {
                self.live.remove(&self.follow(session));
                Answer::Cleared
            }
            Call::Revoke(session, except) => {
                let ended = self.follow(session);
                if Some(ended) != except && self.bound.contains(&ended) {
                    self.live.remove(&ended);
                }
                Answer::Revoked
            }
            Call::Load(session) => live(&session).map_or(Answer::NotFound, Answer::Loaded),
            Call::Save(session, new, required) => match live(&session) {
                None => Answer::NotFound,
                Some(data) if required.is_some_and(|required| required != data) => Answer::Changed,
                Some(_) => {
                    self.live.insert(session, new);
                    Answer::Saved
                }
            },
            // Only if the response was lost: no caller learns the new ID.
            Call::Renew(session) | Call::LogIn(session, _) => match self.live.remove(&session) {
                None => Answer::NotFound,
                Some(_) => {
                    self.renewed.insert(session, Session::MAX);
                    Answer::Renewed(Session::MAX)
                }
            },
        }
    }

    fn is_valid_step(&mut self, call: &Call, answer: &Answer) -> bool {
        match (*call, *answer) {
            (Call::Renew(old), Answer::Renewed(new)) => match self.live.remove(&old) {
                Some(data) => {
                    self.renewed.insert(old, new);
                    if self.bound.contains(&old) {
                        self.bound.insert(new);
                    }
                    self.live.insert(new, data).is_none()
                }
                None => false,
            },
            (Call::LogIn(old, data), Answer::Renewed(new)) => {
                self.renewed.insert(old, new);
                self.bound.insert(new);
                self.live.remove(&old).is_some() && self.live.insert(new, data).is_none()
            }
            _ => self.invoke(call) == *answer,
        }
    }
}

/// A planned call. Its session, and the value that the caller has seen there, are known only when it is made.
#[derive(Clone, Copy, Debug)]
struct Intention {
    session: usize,
    act: Act,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Load,
    Save { if_match: bool, timeouts: bool },
    Create,
    Renew,
    LogIn,
    Clear,
    RevokeOne,
    List,
    Revoke { excepts: bool },
}

const CALLERS: usize = 4;
const SESSIONS: usize = 2;

/// The one of the first sessions that has the subject from its creation.
const BOUND: Session = 0;

/// How many histories are recorded at the same time, so that the table service is busy while one of them waits.
const AT_ONCE: usize = 16;

fn intentions() -> impl Strategy<Value = Vec<Vec<Intention>>> {
    let act = prop_oneof![
        3 => Just(Act::Load),
        4 => any::<(bool, bool)>().prop_map(|(if_match, timeouts)| Act::Save { if_match, timeouts }),
        1 => Just(Act::Create),
        2 => Just(Act::Renew),
        2 => Just(Act::LogIn),
        1 => Just(Act::Clear),
        1 => Just(Act::RevokeOne),
        1 => Just(Act::List),
        2 => any::<bool>().prop_map(|excepts| Act::Revoke { excepts }),
    ];
    let intention = (0..8_usize, act).prop_map(|(session, act)| Intention { session, act });
    proptest::collection::vec(proptest::collection::vec(intention, 1..7), CALLERS)
}

/// One history: the calls of each caller, and the order of calls and responses.
struct History {
    service: Arc<Service>,
    subject: String,
    known: Mutex<Known>,
}

/// What the callers know.
#[derive(Default)]
struct Known {
    /// The ID of each session, and its family.
    sessions: Vec<(SessionId, usize)>,
    families: Vec<LinearizabilityTester<usize, Family>>,
    /// A call without a result may take effect later, or never, so each call is by a caller of its own.
    callers: usize,
    /// The revocations: what they except, and whether they have ended.
    revocations: Vec<(Option<Session>, bool)>,
    /// The sessions that have the subject from their creation.
    bound: BTreeSet<Session>,
    /// The families that a call might have ended or renewed.
    touched: BTreeSet<usize>,
    /// The IDs that have been renewed.
    superseded: BTreeSet<Session>,
}

impl Known {
    fn add_family(&mut self, id: SessionId, data: Data, is_bound: bool) -> Session {
        let session = self.sessions.len();
        self.sessions.push((id, self.families.len()));
        self.families.push(LinearizabilityTester::new(Family::of(session, data, is_bound)));
        self.bound.extend(is_bound.then_some(session));
        session
    }

    /// A new session of the subject. Each revocation that was in progress meanwhile has ended it or has not.
    fn issue(&mut self, id: SessionId, data: Data, mut in_progress: Vec<bool>) {
        let session = self.add_family(id, data, true);
        in_progress.resize(self.revocations.len(), true);
        for revocation in in_progress.into_iter().enumerate().filter_map(|(n, met)| met.then_some(n)) {
            let except = self.revocations[revocation].0;
            self.begin(session, Call::Revoke(session, except));
            self.touch(session);
        }
    }

    /// Which revocations have not ended.
    fn in_progress(&self) -> Vec<bool> {
        self.revocations.iter().map(|(_, has_ended)| !has_ended).collect()
    }

    /// A call begins that may end or renew the session.
    fn touch(&mut self, session: Session) {
        let family = self.sessions[session].1;
        self.touched.insert(family);
    }

    /// Begins a call for a session. Returns the family, and the name of the caller.
    fn begin(&mut self, session: Session, call: Call) -> Begun {
        let family = self.sessions[session].1;
        self.callers += 1;
        self.families[family].on_invoke(self.callers, call).unwrap();
        Begun { family, caller: self.callers }
    }

    /// Begins a call for each session.
    fn begin_each(&mut self, call: impl Fn(Session) -> Call) -> Vec<Begun> {
        (0..self.sessions.len()).map(|session| self.begin(session, call(session))).collect()
    }

    fn end(&mut self, begun: Begun, answer: Answer) {
        self.families[begun.family].on_return(begun.caller, answer).unwrap();
    }
}

#[derive(Clone, Copy)]
struct Begun {
    family: usize,
    caller: usize,
}

impl History {
    /// Runs all callers concurrently.
    async fn record(service: Arc<Service>, intentions: Vec<Vec<Intention>>) -> Arc<Self> {
        static HISTORIES: AtomicUsize = AtomicUsize::new(0);
        let subject = format!("subject {}", HISTORIES.fetch_add(1, Ordering::Relaxed));
        let mut known = Known::default();
        for session in 0..SESSIONS {
            let is_bound = session == BOUND;
            let id = create(&service, session, is_bound.then_some(subject.as_str())).await;
            known.add_family(id, session, is_bound);
        }
        let history = Arc::new(Self { service, subject, known: Mutex::new(known) });
        let callers: Vec<_> = (0..CALLERS)
            .zip(intentions)
            .map(|(caller, intentions)| tokio::spawn(Arc::clone(&history).act(caller, intentions)))
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        history
    }

    async fn act(self: Arc<Self>, caller: usize, intentions: Vec<Intention>) {
        let mut seen = BTreeMap::new(); // the data of each session, and its tag
        for (turn, Intention { session, act }) in intentions.into_iter().enumerate() {
            let (session, id) = {
                let sessions = &self.known.lock().unwrap().sessions;
                (session % sessions.len(), sessions[session % sessions.len()].0.clone())
            };
            // Unique, and not the first data of any session.
            let data = SESSIONS + turn * CALLERS + caller;
            let seen_before = seen.get(&session).cloned();
            let (call, request) = match act {
                Act::Load => (Call::Load(session), self.service.get()),
                Act::Save { if_match, timeouts } => {
                    let mut body = json!({ "data": { "n": data } });
                    if timeouts {
                        // Longer than any run: DynamoDB Local deletes expired items by the real time, and the clock here stands still.
                        body["idle_timeout_seconds"] = json!(20_000);
                        body["absolute_timeout_seconds"] = json!(50_000);
                    }
                    let request = self.service.put().json(&body);
                    match seen_before.filter(|_| if_match) {
                        Some((required, tag)) => {
                            (Call::Save(session, data, Some(required)), request.header("if-match", tag))
                        }
                        None => (Call::Save(session, data, None), request),
                    }
                }
                Act::Renew => (Call::Renew(session), self.service.post_renew()),
                Act::LogIn => (
                    Call::LogIn(session, data),
                    self.service
                        .post_renew()
                        .json(&json!({ "subject": self.subject, "data": { "n": data } })),
                ),
                Act::Clear => (Call::Clear(session), self.service.delete()),
                Act::RevokeOne => (
                    Call::Clear(session),
                    self.service
                        .post_revoke()
                        .json(&json!({ "loggable_session_id": id.loggable().as_str() })),
                ),
                Act::Create => {
                    self.create(data).await;
                    continue;
                }
                Act::List => {
                    self.list().await;
                    continue;
                }
                Act::Revoke { excepts } => {
                    self.revoke(excepts.then_some((session, &id))).await;
                    continue;
                }
            };
            let (begun, in_progress) = {
                let mut known = self.known.lock().unwrap();
                if !matches!(call, Call::Load(_) | Call::Save(..)) {
                    known.touch(session);
                }
                (known.begin(session, call), known.in_progress())
            };
            let answer = request.id(&id).send().await;
            let mut known = self.known.lock().unwrap();
            let returned = match (call, answer.status.as_u16()) {
                (Call::Load(_), 200) => {
                    let data: Data = serde_json::from_value(answer.data()["n"].clone()).unwrap();
                    seen.insert(session, (data, answer.header("etag").to_owned()));
                    Answer::Loaded(data)
                }
                (Call::Save(..), 204) => {
                    seen.insert(session, (data, answer.header("etag").to_owned()));
                    Answer::Saved
                }
                (Call::Save(..), 412) => Answer::Changed,
                (Call::Renew(_) | Call::LogIn(..), 200) => {
                    known.superseded.insert(session);
                    known.sessions.push((answer.session_id(), begun.family));
                    Answer::Renewed(known.sessions.len() - 1)
                }
                (Call::LogIn(..), 201) => {
                    known.issue(answer.session_id(), data, in_progress);
                    Answer::NotFound
                }
                (Call::Clear(_), 204) => Answer::Cleared,
                (_, 404) => Answer::NotFound,
                (_, 500 | 503) => continue, // the outcome is unknown
                (call, status) => panic!("{call:?} got {status}: {}", answer.body),
            };
            known.end(begun, returned);
        }
    }

    /// Creates a session of the subject.
    async fn create(&self, data: Data) {
        let in_progress = self.known.lock().unwrap().in_progress();
        let body = json!({ "data": { "n": data }, "subject": self.subject });
        let created = self.service.post().json(&body).send().await;
        if created.status == 503 {
            return;
        }
        let id = created.assert_status(201).session_id();
        self.known.lock().unwrap().issue(id, data, in_progress);
    }

    /// A list is not a part of the histories: while a session is being ended, the list may be ahead of its record, or behind. But
    /// what has not been touched is in it, and an ID that was renewed is not.
    async fn list(&self) {
        let (there, superseded) = {
            let known = self.known.lock().unwrap();
            (known.bound.clone(), known.superseded.clone())
        };
        let list = self.service.post_list().json(&json!({ "subject": self.subject })).send().await;
        if list.status == 503 {
            return;
        }
        let known = self.known.lock().unwrap();
        for (session, (id, family)) in known.sessions.iter().enumerate() {
            let is_listed = list.assert_status(200).body.contains(id.loggable().as_str());
            if there.contains(&session) && !known.touched.contains(family) {
                assert!(is_listed, "{session} is alive");
            }
            if superseded.contains(&session) {
                assert!(!is_listed, "{session} was renewed");
            }
        }
    }

    async fn revoke(&self, except: Option<(Session, &SessionId)>) {
        let mut body = json!({ "subject": self.subject });
        if let Some((_, id)) = except {
            body["except"] = json!(id.loggable().as_str());
        }
        let except = except.map(|(session, _)| session);
        let (revocation, begun) = {
            let mut known = self.known.lock().unwrap();
            known.revocations.push((except, false));
            for session in 0..known.sessions.len() {
                known.touch(session);
            }
            (known.revocations.len() - 1, known.begin_each(|session| Call::Revoke(session, except)))
        };
        let answer = self.service.post_revoke().json(&body).send().await;
        let mut known = self.known.lock().unwrap();
        known.revocations[revocation].1 = true;
        if answer.status != 503 {
            answer.assert_status(204);
            begun.into_iter().for_each(|begun| known.end(begun, Answer::Revoked));
        }
    }

    /// A family whose calls are not linearizable.
    fn counter_example(&self) -> Option<String> {
        let known = self.known.lock().unwrap();
        known.families.iter().find(|family| !family.is_consistent()).map(|family| format!("{family:?}"))
    }
}

/// Creates a session. Repeats a create that fails.
async fn create(service: &Service, data: Data, subject: Option<&str>) -> SessionId {
    loop {
        let mut body = json!({ "data": { "n": data } });
        if let Some(subject) = subject {
            body["subject"] = subject.into();
        }
        let answer = service.post().json(&body).send().await;
        match answer.status.as_u16() {
            201 => return answer.session_id(),
            status => assert_eq!(status, 503),
        }
    }
}

/// A checker that finds a fault needs some histories to meet it, and more on a slow machine.
const UNTIL_FOUND: usize = 5000;

/// Records `HISTORIES` histories, 80 by default, and returns one that is not linearizable.
async fn counter_example(service: Service) -> Option<String> {
    let histories = std::env::var("HISTORIES").map_or(50, |text| text.parse().unwrap());
    counter_example_within(histories, service).await
}

async fn counter_example_within(histories: usize, service: Service) -> Option<String> {
    let service = Arc::new(service);
    let mut runner = TestRunner::default();
    let mut recording = JoinSet::new();
    for n in 0..histories + AT_ONCE {
        if n < histories {
            let intentions = intentions().new_tree(&mut runner).unwrap().current();
            recording.spawn(History::record(Arc::clone(&service), intentions));
        }
        if n >= AT_ONCE
            && let Some(history) = recording.join_next().await
        {
            let found = history.unwrap().counter_example();
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_are_linearizable() {
    assert_eq!(counter_example(Service::start().await).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_on_sealed_sessions_are_linearizable() {
    let service = Service::with(Config { seal: SealMode::On, ..Config::default() }).await;
    assert_eq!(counter_example(service).await, None);
}

/// One request in ten fails before it is carried out. One in ten fails afterwards, except a save without `If-Match`:
/// its retry overwrites what others have saved since the first attempt, as the documents say.
#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_are_linearizable_while_dynamodb_fails() {
    let service = Service::start().await;
    let dice = Mutex::new(TestRunner::default());
    service.proxy.on_every(move |body| {
        let dice = &mut dice.lock().unwrap();
        match (0..10_u8).new_tree(dice).unwrap().current() {
            0 => Action::Reset,
            1 if !body.contains("#data = :data") || body.contains("etag IN") => {
                Action::Lose(body, Loss::Failure)
            }
            _ => Action::Forward(body),
        }
    });
    assert_eq!(counter_example(service).await, None);
}

/// Tests the checker: without the condition of a save, it finds the error.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_liveness_condition_of_a_save_calls_are_not_linearizable() {
    let service = Service::start().await;
    service
        .proxy
        .on_every(|body| change_condition(body, |condition| format!("({condition}) OR NOT ({condition})")));
    assert!(counter_example_within(UNTIL_FOUND, service).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_if_match_condition_of_a_save_calls_are_not_linearizable() {
    let service = Service::start().await;
    service.proxy.on_every(|body| {
        change_condition(body, |condition| match condition.split_once(" AND etag IN ") {
            Some((alive, tags)) => format!("{alive} AND (etag IN {tags} OR NOT etag IN {tags})"),
            None => condition.to_owned(),
        })
    });
    assert!(counter_example_within(UNTIL_FOUND, service).await.is_some());
}

/// A renewal must find its chain among those that may be renewed.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_condition_of_a_renewal_on_the_list_revocations_are_not_linearizable() {
    let service = Service::start().await;
    service.proxy.on_every(|body| {
        Action::Forward(
            body.replace("contains(live, :m) AND ", "(contains(live, :m) OR NOT contains(live, :m)) AND "),
        )
    });
    assert!(counter_example_within(UNTIL_FOUND, service).await.is_some());
}

fn change_condition(body: String, change: impl Fn(&str) -> String) -> Action {
    let mut request: Value = serde_json::from_str(&body).unwrap();
    if request.get("UpdateExpression").is_some() {
        request["ConditionExpression"] = json!(change(request["ConditionExpression"].as_str().unwrap()));
    }
    Action::Forward(request.to_string())
}
