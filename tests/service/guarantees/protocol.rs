//! The model of the protocol and the code cannot part: on generated orders of the requests of three callers, both end the
//! same sessions and have the same lists, after the same number of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dynamodb_web_session::{LogIn, SessionId, SessionManager, Subject, SubjectChange, Update};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use protocol::{Faults, Protocol, Record, State, Verb};
use serde_json::{Value, json};
use stateright::Model;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::harness::{Action, Proxy, Service, rounds};

fn verb() -> impl Strategy<Value = Verb> {
    let session = || 0..2_u8;
    let subject = || 0..2_u8;
    prop_oneof![
        1 => subject().prop_map(Verb::Create),
        2 => (session(), subject()).prop_map(|(n, subject)| Verb::LogIn(n, subject)),
        2 => session().prop_map(Verb::Renew),
        2 => (session(), proptest::option::of(subject())).prop_map(|(n, subject)| Verb::SaveSubject(n, subject)),
        2 => session().prop_map(Verb::Clear),
        2 => (subject(), proptest::option::of(session())).prop_map(|(subject, n)| Verb::RevokeAll(subject, n)),
    ]
}

/// A caller whose requests wait until the schedule lets one of them pass.
struct Caller {
    /// Requests that may pass.
    gate: Arc<Semaphore>,
    /// How many requests have arrived at the gate.
    arrived: Arc<AtomicUsize>,
    passed: usize,
    done: JoinHandle<Vec<SessionId>>,
    _proxy: Proxy,
}

impl Caller {
    async fn start(service: &Service, script: Vec<Verb>, first: [SessionId; 2], names: Names) -> Self {
        let (sessions, proxy) = service.caller().await;
        let (gate, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..100 {
            let (gate, arrived) = (Arc::clone(&gate), Arc::clone(&arrived));
            proxy.on_next(async move |body| {
                arrived.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                Action::Forward(body)
            });
        }
        let done = tokio::spawn(act(sessions, script, first, names));
        Self { gate, arrived, passed: 0, done, _proxy: proxy }
    }

    /// Waits until a request is at the gate. False: the caller is done.
    async fn waits(&self) -> bool {
        loop {
            if self.arrived.load(Ordering::SeqCst) > self.passed {
                return true;
            }
            if self.done.is_finished() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn step(&mut self) -> bool {
        let waits = self.waits().await;
        if waits {
            self.passed += 1;
            self.gate.add_permits(1);
            self.waits().await; // the response has arrived: there is another request, or the end
        }
        waits
    }
}

/// The subjects of one history.
#[derive(Clone)]
struct Names(u32);

impl Names {
    fn subject(&self, n: u8) -> Subject {
        format!("{} {n}", self.0).parse().unwrap()
    }
}

/// Makes the calls of a script, and returns the IDs that were issued.
async fn act(
    sessions: SessionManager,
    script: Vec<Verb>,
    first: [SessionId; 2],
    names: Names,
) -> Vec<SessionId> {
    let mut known = first;
    let mut issued = Vec::new();
    for verb in script {
        match verb {
            Verb::Create(subject) => {
                issued
                    .push(sessions.create_for(json!({}), names.subject(subject)).await.unwrap().id().clone());
            }
            Verb::LogIn(n, subject) => {
                let options = LogIn::<Value> { data: Some(json!({})), ..LogIn::default() };
                let id = &mut known[usize::from(n)];
                let logged_in = sessions.log_in(&*id, names.subject(subject), options).await.unwrap();
                issued.push(logged_in.session.id().clone());
                if !logged_in.is_new {
                    id.clone_from(logged_in.session.id());
                }
            }
            Verb::Renew(n) => {
                let id = &mut known[usize::from(n)];
                if let Some(session) = sessions.renew::<Value>(&*id).await.unwrap() {
                    issued.push(session.id().clone());
                    id.clone_from(session.id());
                }
            }
            Verb::SaveSubject(n, subject) => {
                let subject = match subject {
                    Some(subject) => SubjectChange::To(names.subject(subject)),
                    None => SubjectChange::Remove,
                };
                drop(
                    sessions
                        .update(&known[usize::from(n)], Update::<Value> { subject, ..Update::default() })
                        .await,
                );
            }
            Verb::Clear(n) => drop(sessions.clear(&known[usize::from(n)]).await.unwrap()),
            Verb::RevokeAll(subject, except) => {
                let except = except.map(|n| known[usize::from(n)].loggable().clone());
                sessions.revoke_all(&names.subject(subject), except.as_ref()).await.unwrap();
            }
            Verb::SaveTimeouts(_) => unreachable!("not generated"),
        }
    }
    issued
}

/// A random order of the callers' steps in the model: the caller of each step, and the state at the end. Nobody comes between the
/// burials of one caller: the code makes them at the same time, so which of them others would find done is not certain.
fn walk(model: &Protocol, runner: &mut TestRunner) -> (Vec<usize>, State) {
    let mut state = model.init_states().remove(0);
    let mut order = Vec::new();
    let mut buries = None;
    loop {
        let mut actions = Vec::new();
        model.actions(&state, &mut actions);
        actions.retain(|action| buries.is_none_or(|caller| *action == protocol::Action::Step(caller)));
        if actions.is_empty() {
            return (order, state);
        }
        let action = actions[(0..actions.len()).new_tree(runner).unwrap().current()];
        let protocol::Action::Step(caller) = action else { panic!("{action:?}") };
        order.push(caller);
        if let Some(next) = model.next_state(&state, action) {
            assert_eq!(next.broken, None);
            let left = next.callers[caller].burials();
            buries = (0 < left && left < state.callers[caller].burials()).then_some(caller);
            state = next;
        }
    }
}

/// A caller that a slow machine holds at its gate for longer sends its request again, as the SDK does after 2 s.
const LONGEST: Duration = Duration::from_millis(1500);

/// `ORDERS` is their number; 40 by default. One that took longer than `LONGEST` shows nothing, and another is made.
#[tokio::test(flavor = "multi_thread")]
async fn the_code_does_what_the_model_does() {
    let service = Service::start().await;
    let mut runner = TestRunner::default();
    let (mut agreed, mut slow) = (0, 0);
    while agreed < rounds("ORDERS", 40) {
        let scripts = proptest::collection::vec(proptest::collection::vec(verb(), 1..3), 3);
        let scripts = scripts.new_tree(&mut runner).unwrap().current();
        let model = Protocol {
            sessions: vec![Some(0), None],
            scripts,
            faults: Faults::default(),
            cap: 100,
            cleans_up: false,
            mutant: None,
        };
        let (order, end) = walk(&model, &mut runner);
        let started = Instant::now();
        let result = differs(&service, &model, &order, &end, &Names(agreed + slow)).await;
        if started.elapsed() > LONGEST {
            slow += 1;
            assert!(slow < 1000, "this machine is too slow for this test");
            continue;
        }
        if let Err(difference) = result {
            panic!("{difference}: {:?} in the order {order:?}", model.scripts);
        }
        agreed += 1;
    }
}

/// Lets the callers send their requests in this order, and tells what differs from the end of the model.
async fn differs(
    service: &Service,
    model: &Protocol,
    order: &[usize],
    end: &State,
    names: &Names,
) -> Result<(), String> {
    let first = [
        service.sessions.create_for(json!({}), names.subject(0)).await.unwrap().id().clone(),
        service.sessions.create(json!({})).await.unwrap().id().clone(),
    ];
    let mut callers = Vec::new();
    for script in &model.scripts {
        callers.push(Caller::start(service, script.clone(), first.clone(), names.clone()).await);
    }
    for (step, caller) in order.iter().enumerate() {
        if !callers[*caller].step().await {
            return Err(format!("step {step} has no request"));
        }
    }
    let mut ids: Vec<_> = [0, 1].into_iter().zip(first).collect();
    for (caller, modelled) in callers.into_iter().zip(&end.callers) {
        if caller.waits().await {
            return Err("there are more requests".to_owned());
        }
        let issued = caller.done.await.map_err(|error| error.to_string())?;
        let keys: Vec<_> = modelled.issued().collect();
        if issued.len() != keys.len() {
            return Err(format!("{} sessions were issued and not {}", issued.len(), keys.len()));
        }
        ids.extend(keys.into_iter().zip(issued));
    }
    for (key, id) in ids {
        let modelled = match end.table.record(key) {
            Record::Live { subject, .. } => Some(subject.map(|n| names.subject(n))),
            _ => None,
        };
        let found = service.sessions.peek::<Value>(&id).await.unwrap();
        let found = found.map(|session| session.subject().cloned());
        if found != modelled {
            return Err(format!("session {key} is {found:?} and not {modelled:?}"));
        }
    }
    for n in 0..2 {
        let listed = service.sessions.sessions_of(&names.subject(n)).await.unwrap().len();
        let modelled = end.table.lists[usize::from(n)].live.len();
        if listed != modelled {
            return Err(format!("the list of subject {n} has {listed} sessions and not {modelled}"));
        }
    }
    Ok(())
}
