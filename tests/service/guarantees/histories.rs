//! Histories of concurrent callers are linearizable: there is an order of the calls, each between its start and end, in
//! which a session does what the documents say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use dynamodb_web_session::SessionId;
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
    Clear(Session),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Loaded(Data),
    Saved,
    Changed,
    Renewed(Session),
    Cleared,
    NotFound,
}

/// The sessions, as the documents describe them.
#[derive(Clone, Debug)]
struct Sessions {
    /// The data of the sessions that are alive.
    live: BTreeMap<Session, Data>,
    /// Where the IDs lead to that were renewed.
    renewed: BTreeMap<Session, Session>,
}

impl Sessions {
    /// The session that a clear of this ID ends.
    fn follow(&self, mut session: Session) -> Session {
        while let Some(next) = self.renewed.get(&session) {
            session = *next;
        }
        session
    }
}

impl SequentialSpec for Sessions {
    type Op = Call;
    type Ret = Answer;

    fn invoke(&mut self, call: &Call) -> Answer {
        let (Call::Load(session) | Call::Save(session, ..) | Call::Renew(session) | Call::Clear(session)) =
            call;
        let ended = self.follow(*session);
        match (call, self.live.get_mut(session)) {
            (Call::Clear(_), _) => {
                self.live.remove(&ended);
                Answer::Cleared
            }
            (_, None) => Answer::NotFound,
            (Call::Load(_), Some(data)) => Answer::Loaded(*data),
            (Call::Save(_, _, Some(required)), Some(data)) if required != data => Answer::Changed,
            (Call::Save(_, new, _), Some(data)) => {
                *data = *new;
                Answer::Saved
            }
            // Only if the response was lost: no caller learns the new ID.
            (Call::Renew(_), Some(_)) => {
                self.live.remove(session);
                self.renewed.insert(*session, Session::MAX);
                Answer::Renewed(Session::MAX)
            }
        }
    }

    fn is_valid_step(&mut self, call: &Call, answer: &Answer) -> bool {
        match (call, answer) {
            (Call::Renew(old), Answer::Renewed(new)) => match self.live.remove(old) {
                Some(data) => {
                    self.renewed.insert(*old, *new);
                    self.live.insert(*new, data).is_none()
                }
                None => false,
            },
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
    Renew,
    Clear,
}

const CALLERS: usize = 4;
const SESSIONS: usize = 2;

/// How many histories are recorded at the same time, so that the table service is busy while one of them waits.
const AT_ONCE: usize = 16;

fn intentions() -> impl Strategy<Value = Vec<Vec<Intention>>> {
    let act = prop_oneof![
        3 => Just(Act::Load),
        4 => any::<(bool, bool)>().prop_map(|(if_match, timeouts)| Act::Save { if_match, timeouts }),
        1 => Just(Act::Renew),
        1 => Just(Act::Clear),
    ];
    let intention = (0..8_usize, act).prop_map(|(session, act)| Intention { session, act });
    proptest::collection::vec(proptest::collection::vec(intention, 1..7), CALLERS)
}

/// One history: the calls of each caller, and the order of calls and responses.
struct History {
    service: Arc<Service>,
    ids: Mutex<Vec<SessionId>>,
    tester: Mutex<LinearizabilityTester<usize, Sessions>>,
}

impl History {
    /// Runs all callers concurrently.
    async fn record(service: Arc<Service>, intentions: Vec<Vec<Intention>>) -> Arc<Self> {
        let mut ids = Vec::new();
        for session in 0..SESSIONS {
            ids.push(create(&service, session).await);
        }
        let history = Arc::new(Self {
            service,
            ids: Mutex::new(ids),
            tester: Mutex::new(LinearizabilityTester::new(Sessions {
                live: (0..SESSIONS).map(|n| (n, n)).collect(),
                renewed: BTreeMap::new(),
            })),
        });
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
                let ids = self.ids.lock().unwrap();
                (session % ids.len(), ids[session % ids.len()].clone())
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
                Act::Clear => (Call::Clear(session), self.service.delete()),
            };
            // A call without a result may take effect later, or never, so each turn is a separate caller.
            let name = turn * CALLERS + caller;
            self.tester.lock().unwrap().on_invoke(name, call).unwrap();
            let answer = request.id(&id).send().await;
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
                (Call::Renew(_), 200) => {
                    let mut ids = self.ids.lock().unwrap();
                    ids.push(answer.session_id());
                    Answer::Renewed(ids.len() - 1)
                }
                (Call::Clear(_), 204) => Answer::Cleared,
                (_, 404) => Answer::NotFound,
                (_, 500 | 503) => continue, // the outcome is unknown
                (call, status) => panic!("{call:?} got {status}: {}", answer.body),
            };
            self.tester.lock().unwrap().on_return(name, returned).unwrap();
        }
    }
}

/// Creates a session. Repeats a create that fails.
async fn create(service: &Service, data: Data) -> SessionId {
    loop {
        let answer = service.post().json(&json!({ "data": { "n": data } })).send().await;
        match answer.status.as_u16() {
            201 => return answer.session_id(),
            status => assert_eq!(status, 503),
        }
    }
}

/// Records `HISTORIES` histories, 300 by default, and returns one that is not linearizable.
async fn counter_example(service: Service) -> Option<String> {
    let histories = std::env::var("HISTORIES").map_or(300, |text| text.parse().unwrap());
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
            let history = history.unwrap();
            let tester = history.tester.lock().unwrap();
            if !tester.is_consistent() {
                return Some(format!("{tester:?}"));
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_are_linearizable() {
    assert_eq!(counter_example(Service::start().await).await, None);
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
    assert!(counter_example(service).await.is_some());
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
    assert!(counter_example(service).await.is_some());
}

fn change_condition(body: String, change: impl Fn(&str) -> String) -> Action {
    let mut request: Value = serde_json::from_str(&body).unwrap();
    if request.get("UpdateExpression").is_some() {
        request["ConditionExpression"] = json!(change(request["ConditionExpression"].as_str().unwrap()));
    }
    Action::Forward(request.to_string())
}
