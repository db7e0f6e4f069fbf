//! The person who protects a user wins, whatever an attacker keeps doing: each call that ends sessions succeeds, in a number of
//! its own requests that does not depend on the attacker.
//!
//! `ATTACKS` is the number of such calls for each kind of attack, from 12 connections; 3 by default, from 4 connections.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dynamodb_web_session::{
    Config, CreateOptions, Error, LogIn, Session, SessionId, SessionManager, Subject, Update,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Action, Proxy, Service, rounds};

/// As between a function and DynamoDB in one Region, and a little more.
const LATENCY: Duration = Duration::from_millis(4);

/// The attackers share the machine with the table and with the other tests.
fn connections() -> usize {
    if std::env::var_os("ATTACKS").is_some() { 12 } else { 4 }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Attack {
    LogIn,
    Renew,
    SaveTimeouts,
    CreateAndClear,
}

const ATTACKS: [Attack; 4] = [Attack::LogIn, Attack::Renew, Attack::SaveTimeouts, Attack::CreateAndClear];

fn alice() -> Subject {
    "alice".parse().unwrap()
}

/// The calls that end all sessions: how many have begun, and how many have succeeded.
#[derive(Default)]
struct Defence {
    begun: AtomicUsize,
    succeeded: AtomicUsize,
    is_over: AtomicBool,
}

/// Attacks until the defence is over. A session that was there before a revocation began, and does anything after it has
/// succeeded, has escaped.
async fn attack(sessions: SessionManager, kind: Attack, defence: Arc<Defence>) -> usize {
    let mut calls = 0;
    let mut held: Option<(SessionId, usize)> = None;
    while !defence.is_over.load(Ordering::SeqCst) {
        calls += 1;
        let succeeded = defence.succeeded.load(Ordering::SeqCst);
        let Some((id, born)) = held.take() else {
            // An attacker who has the password logs in again.
            if let Ok(session) = sessions.create_for(json!({}), alice()).await {
                held = Some((session.id().clone(), defence.begun.load(Ordering::SeqCst)));
            }
            continue;
        };
        let escaped = match kind {
            Attack::LogIn => {
                drop(sessions.create_for(json!({}), alice()).await);
                sessions.load::<Value>(&id).await.ok().flatten().map(|session| session.id().clone())
            }
            Attack::Renew => match sessions.renew::<Value>(&id).await {
                Ok(renewed) => renewed.map(|session| session.id().clone()),
                Err(Error::RenewedTooOften { .. }) => None, // it goes on with another session
                Err(_) => continue,                         // whether it has another ID is not known
            },
            Attack::SaveTimeouts => {
                let seconds = Some(40_000 + calls as u64 % 1000);
                let update = Update::<Value> { absolute_timeout_seconds: seconds, ..Update::default() };
                match sessions.update(&id, update).await {
                    Ok(_) => Some(id),
                    Err(Error::NotFound(_)) => None,
                    Err(_) => {
                        held = Some((id, born));
                        continue;
                    }
                }
            }
            Attack::CreateAndClear => {
                if let Ok(session) = sessions.create_for(json!({}), alice()).await {
                    drop(sessions.clear(session.id()).await);
                }
                sessions.load::<Value>(&id).await.ok().flatten().map(|session| session.id().clone())
            }
        };
        if let Some(id) = escaped {
            assert!(succeeded <= born, "{kind:?}: a session has survived a revocation");
            held = Some((id, born));
        }
    }
    calls
}

struct Attackers {
    defence: Arc<Defence>,
    tasks: JoinSet<usize>,
    _proxies: Vec<Proxy>,
}

impl Attackers {
    async fn start(service: &Service, kind: Attack) -> Self {
        let defence = Arc::new(Defence::default());
        let (mut tasks, mut proxies) = (JoinSet::new(), Vec::new());
        for _ in 0..connections() {
            let (sessions, proxy) = service.caller().await;
            proxy.delay_each_way(LATENCY);
            tasks.spawn(attack(sessions, kind, Arc::clone(&defence)));
            proxies.push(proxy);
        }
        Self { defence, tasks, _proxies: proxies }
    }

    async fn stop(self) -> usize {
        self.defence.is_over.store(true, Ordering::SeqCst);
        self.tasks.join_all().await.into_iter().sum()
    }
}

/// Answers `TransactionConflict` to 8 of 10 writes of a list, at random.
fn meet_transactions(proxy: &Proxy) {
    let dice = Mutex::new(TestRunner::default());
    proxy.on_every(move |body| {
        let writes_list = body.contains("subject#") && !body.contains("ConsistentRead");
        let is_met = (0..10_u8).new_tree(&mut dice.lock().unwrap()).unwrap().current() < 8;
        match (writes_list && is_met, body.contains("TransactItems")) {
            (false, _) => Action::Forward(body),
            (true, false) => Action::Respond(400, error("TransactionConflictException", "")),
            (true, true) => {
                let places = body.matches("subject#").count();
                let others = body.matches("\"ConditionExpression\"").count() - places;
                let none = std::iter::repeat_n(r#"{"Code":"None"}"#, others);
                let conflict = std::iter::repeat_n(r#"{"Code":"TransactionConflict"}"#, places);
                let reasons = none.chain(conflict).collect::<Vec<_>>().join(",");
                let reasons = format!(r#","CancellationReasons":[{reasons}]"#);
                Action::Respond(400, error("TransactionCanceledException", &reasons))
            }
        }
    });
}

fn error(name: &str, more: &str) -> String {
    format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{name}"{more}}}"#)
}

/// The longest of some calls.
#[derive(Default)]
struct Longest(Duration);

impl Longest {
    async fn of<T>(&mut self, call: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let result = call.await;
        self.0 = self.0.max(started.elapsed());
        result
    }
}

async fn all_sessions_are_ended(meets_transactions: bool) {
    for kind in ATTACKS {
        let service = Service::start().await;
        let (defender, proxy) = service.caller().await;
        proxy.delay_each_way(LATENCY);
        if meets_transactions {
            meet_transactions(&proxy);
        }
        let attackers = Attackers::start(&service, kind).await;
        let (mut longest, mut login, mut most) = (Longest::default(), Longest::default(), 0);
        for _ in 0..rounds("ATTACKS", 3) {
            tokio::time::sleep(Duration::from_millis(100)).await; // the attackers log in
            proxy.forget();
            attackers.defence.begun.fetch_add(1, Ordering::SeqCst);
            longest.of(defender.revoke_all(&alice(), None)).await.unwrap();
            attackers.defence.succeeded.fetch_add(1, Ordering::SeqCst);
            let requests = proxy.operations();
            let ended = requests.iter().filter(|request| *request == "UpdateItem").count();
            most = most.max(requests.len());
            if !meets_transactions {
                assert_eq!(requests.len(), 1 + ended, "{kind:?}: one read, and no write again: {requests:?}");
            }
            // A login after it works at once, and the list too.
            let user = login.of(defender.create_for(json!({}), alice())).await.unwrap();
            longest.of(defender.sessions_of(&alice())).await.unwrap();
            assert!(defender.load::<Value>(user.id()).await.unwrap().is_some());
        }
        let calls = attackers.stop().await;
        println!(
            "{kind:?}: {calls} calls of attackers; a revocation had at most {most} requests; the longest revocation or list took {:?}, the longest \
             login {:?}",
            longest.0, login.0
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_of_a_user_are_ended_whatever_an_attacker_keeps_doing() {
    all_sessions_are_ended(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_of_a_user_are_ended_while_most_writes_of_the_list_meet_transactions() {
    all_sessions_are_ended(true).await;
}

/// A session that is to be stolen. Attackers who log in at the same time can make its own login try again.
async fn created_in_the_end(sessions: &SessionManager, subject: Option<Subject>) -> Session<Value> {
    loop {
        let options = CreateOptions { subject: subject.clone(), ..CreateOptions::default() };
        match sessions.create_with(json!({}), options).await {
            Err(Error::Unavailable(_)) => {}
            created => return created.unwrap(),
        }
    }
}

/// A thief renews the stolen session in a loop. The user has an ID of a moment ago.
async fn the_thief_is_out(meets_transactions: bool) {
    let service = Service::start().await;
    let (defender, proxy) = service.caller().await;
    proxy.delay_each_way(LATENCY);
    let (thief, thiefs_proxy) = service.caller().await;
    thiefs_proxy.delay_each_way(LATENCY);
    if meets_transactions {
        meet_transactions(&proxy);
    }
    let attackers = Attackers::start(&service, Attack::Renew).await;
    let mut longest = Longest::default();
    for round in 0..rounds("ATTACKS", 3) {
        for way in ["logout", "revoke", "logout of an anonymous session"] {
            let subject = (!way.ends_with("anonymous session")).then(alice);
            let stolen = created_in_the_end(&service.sessions, subject).await;
            let stop = Arc::new(AtomicBool::new(false));
            let (holder, stopped, mut id) = (thief.clone(), Arc::clone(&stop), stolen.id().clone());
            let renewing = tokio::spawn(async move {
                while !stopped.load(Ordering::SeqCst) {
                    match holder.renew::<Value>(&id).await {
                        Ok(Some(session)) => id = session.id().clone(),
                        Ok(None) => break,
                        Err(_) => tokio::task::yield_now().await,
                    }
                }
                id
            });
            tokio::time::sleep(Duration::from_millis(u64::from(round % 10) * 10)).await;
            match way {
                "revoke" => longest.of(defender.revoke(stolen.loggable_id())).await.unwrap(),
                _ => longest.of(defender.clear(stolen.id())).await.unwrap(),
            };
            stop.store(true, Ordering::SeqCst);
            let last = renewing.await.unwrap();
            assert!(thief.load::<Value>(&last).await.unwrap().is_none(), "{way}: the thief is still in");
        }
    }
    attackers.stop().await;
    println!("the longest call took {:?}", longest.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_who_keeps_renewing_is_out_when_the_user_logs_out_or_the_session_is_revoked() {
    the_thief_is_out(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_is_out_while_most_writes_of_the_list_meet_transactions() {
    the_thief_is_out(true).await;
}

/// The attacker has planted the ID, and keeps saving to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_not_held_up_by_saves_to_the_old_id() {
    let service = Service::start().await;
    let (user, proxy) = service.caller().await;
    proxy.delay_each_way(LATENCY);
    for brings_data in [true, false] {
        for _ in 0..rounds("ATTACKS", 3) {
            let planted = service.sessions.create(json!({})).await.unwrap().id().clone();
            let mut savers = JoinSet::new();
            for saver in 0..8 {
                let (sessions, id) = (service.sessions.clone(), planted.clone());
                savers.spawn(async move {
                    let mut n = saver;
                    loop {
                        n += 8;
                        let data = Some(json!({ "n": n }));
                        let update = Update { data, ..Update::default() };
                        match sessions.update(&id, update).await {
                            Err(Error::NotFound(_)) => return,
                            saved => drop(saved),
                        }
                    }
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let data = brings_data.then(|| json!({ "user": "alice" }));
            let options = LogIn { data: data.clone(), ..LogIn::default() };
            let logged_in = user.log_in(&planted, alice(), options).await.unwrap();
            assert!(!logged_in.is_new);
            savers.join_all().await; // their ID is of no use any more
            let loaded = user.load::<Value>(logged_in.session.id()).await.unwrap().unwrap();
            assert_eq!(loaded.subject(), Some(&alice()));
            if let Some(data) = data {
                assert_eq!(loaded.data, data);
            }
        }
    }
}

/// As while a large revocation of the same subject is in progress.
#[tokio::test]
async fn transactions_in_progress_for_300_milliseconds_do_not_make_a_call_fail() {
    let service = Service::with(Config { touch_interval_seconds: 0, ..Config::default() }).await;
    let conflict_for_a_moment = || {
        let started = Instant::now();
        service.proxy.on_every(move |body| {
            if started.elapsed() > Duration::from_millis(300) || body.contains("ConsistentRead") {
                return Action::Forward(body);
            }
            let places = body.matches("\"ConditionExpression\"").count();
            let reasons = std::iter::repeat_n(r#"{"Code":"TransactionConflict"}"#, places);
            let reasons = reasons.collect::<Vec<_>>().join(",");
            let reasons = format!(r#","CancellationReasons":[{reasons}]"#);
            match body.contains("TransactItems") {
                true => Action::Respond(400, error("TransactionCanceledException", &reasons)),
                false => Action::Respond(400, error("TransactionConflictException", "")),
            }
        });
    };
    let timeouts = json!({ "idle_timeout_seconds": 7000, "absolute_timeout_seconds": 40_000 });
    for subject in [json!({}), json!({ "subject": "alice" })] {
        service.proxy.on_every(Action::Forward);
        let id = service.create_with(subject.clone()).await;
        conflict_for_a_moment();
        service.load(&id).await.assert_status(200);
        conflict_for_a_moment();
        service.save(&id, json!({ "data": { "a": 1 } })).await.assert_status(204);
        conflict_for_a_moment();
        service.save(&id, timeouts.clone()).await.assert_status(204);
        conflict_for_a_moment();
        let id = service.renew(&id).await.assert_status(200).session_id();
        conflict_for_a_moment();
        let login = service.post_renew().id(&id).json(&json!({ "subject": "alice" })).send().await;
        let id = login.assert_status(200).session_id();
        conflict_for_a_moment();
        service.clear(&id).await.assert_status(204);
        conflict_for_a_moment();
        service.post().json(&json!({ "subject": "alice" })).send().await.assert_status(201);
        conflict_for_a_moment();
        service.revoke_all("alice").await.assert_status(204);
    }
}

/// Two subjects have two lists.
#[tokio::test]
async fn a_revocation_sends_nothing_that_concerns_another_subject() {
    let service = Service::start().await;
    let of_bob = service.create_for("bob").await;
    let bobs = service.list_item("bob").await;
    for _ in 0..3 {
        service.create_for("alice").await;
    }
    service.revoke_all("alice").await.assert_status(204);
    assert_eq!(service.list_item("bob").await, bobs);
    service.load(&of_bob).await.assert_status(200);
}
