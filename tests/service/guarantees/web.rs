//! The rules of a web request: who writes which data, and which cookie.

use std::collections::HashMap;

use dynamodb_web_session::web::{Cookie, CookieRefresh, Lifetime, RequestSession};
use dynamodb_web_session::{
    AtMaxPerSubject, Clock, Config, Error, SessionId, SessionManager, Subject, SubjectChange,
};
use serde_json::{Value, json};

use crate::harness::{Action, Service};

/// What a browser and a framework do in one request.
struct Request {
    session: RequestSession,
    data: Value,
    lifetime: Lifetime,
    refresh: CookieRefresh,
}

impl Request {
    async fn begin(sessions: &SessionManager, cookie: Option<&SessionId>) -> Self {
        let mut session = RequestSession::new(sessions.clone(), cookie.map(SessionId::expose));
        let opened = session.open().await.unwrap();
        let data =
            opened.map_or_else(|| json!({}), |opened| serde_json::from_str(opened.data.get()).unwrap());
        Self { session, data, lifetime: Lifetime::Keep, refresh: CookieRefresh::OnUse }
    }

    fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data[key] = value.into();
        self
    }

    fn remove(mut self, key: &str) -> Self {
        self.data.as_object_mut().unwrap().remove(key);
        self
    }

    fn living(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    async fn log_in(&mut self, user: &str) -> Result<(), Error> {
        let subject: Subject = user.parse().unwrap();
        let result = self.session.log_in(subject, &self.data.to_string(), r#"{"at":1}"#, self.lifetime).await;
        let session = self.session.session();
        self.data =
            session.map_or_else(|| json!({}), |session| serde_json::from_str(session.data.get()).unwrap());
        result
    }

    async fn finish(mut self) -> Result<Cookie, Error> {
        self.session.finish(&self.data.to_string(), self.lifetime, self.refresh).await
    }

    /// Ends the request, which sets the cookie.
    async fn ends_with_cookie(self) -> SessionId {
        match self.finish().await.unwrap() {
            Cookie::Set { id, .. } => id,
            cookie => panic!("{cookie:?}"),
        }
    }
}

fn is_left(cookie: &Result<Cookie, Error>) -> bool {
    matches!(cookie, Ok(Cookie::Leave))
}

async fn stored(service: &Service, id: &SessionId) -> Option<Value> {
    service.sessions.peek::<Value>(id).await.unwrap().map(|session| session.data)
}

/// A session that a request has begun.
async fn begun(service: &Service, data: Value) -> SessionId {
    let mut request = Request::begin(&service.sessions, None).await;
    request.data = data;
    request.ends_with_cookie().await
}

async fn logged_in(service: &Service, user: &str) -> SessionId {
    let mut request = Request::begin(&service.sessions, None).await.set("user", user);
    request.log_in(user).await.unwrap();
    request.ends_with_cookie().await
}

#[tokio::test]
async fn a_visitor_without_changes_costs_nothing_and_a_page_costs_one_read() {
    let service = Service::start().await;
    let visit = Request::begin(&service.sessions, None).await;
    assert!(is_left(&visit.finish().await));
    assert!(service.proxy.operations().is_empty());

    let id = begun(&service, json!({ "a": 1 })).await;
    service.proxy.forget();
    let page = Request::begin(&service.sessions, Some(&id)).await.set("a", 1);
    assert!(is_left(&page.finish().await));
    assert_eq!(service.proxy.operations(), ["GetItem"], "an equal value is no change");

    service.proxy.forget();
    let page = Request::begin(&service.sessions, Some(&id)).await.set("a", 2);
    page.finish().await.unwrap();
    assert_eq!(service.proxy.operations(), ["GetItem", "UpdateItem"]);
}

/// The tests of the frameworks read the same cases.
#[tokio::test]
async fn of_requests_at_once_each_case_of_the_rules_holds() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../cases/requests_at_once.json")).unwrap();
    let service = Service::start().await;
    for case in cases {
        let id = begun(&service, case["stored"].clone()).await;
        let begin = async |change: &Value| {
            let mut begun = Request::begin(&service.sessions, Some(&id)).await;
            for (key, value) in change["set"].as_object().into_iter().flatten() {
                begun = begun.set(key, value.clone());
            }
            let removed = change["remove"].as_array().into_iter().flatten();
            removed.fold(begun, |begun, key| begun.remove(key.as_str().unwrap()))
        };
        let (request, meanwhile) = (begin(&case["request"]).await, begin(&case["meanwhile"]).await);
        meanwhile.finish().await.unwrap();
        request.finish().await.unwrap();
        assert_eq!(stored(&service, &id).await.unwrap_or(json!({})), case["left"], "{}", case["rule"]);
    }
}

#[tokio::test]
async fn requests_that_change_different_keys_do_not_lose_each_others_changes() {
    let service = Service::start().await;
    let id = begun(&service, json!({ "x": 0, "gone": 1, "both": 0 })).await;
    let first = Request::begin(&service.sessions, Some(&id)).await.set("a", 1).remove("gone").set("both", 1);
    let second = Request::begin(&service.sessions, Some(&id)).await.set("b", 2).set("both", 2);
    service.proxy.forget();
    first.finish().await.unwrap();
    second.finish().await.unwrap();
    assert_eq!(stored(&service, &id).await.unwrap(), json!({ "x": 0, "both": 2, "a": 1, "b": 2 }));
    let merged = ["UpdateItem", "UpdateItem", "GetItem", "UpdateItem"];
    assert_eq!(service.proxy.operations()[..4], merged, "only a conflict costs more");
}

#[tokio::test]
async fn of_many_requests_at_once_every_change_lasts() {
    let service = Service::start().await;
    let id = begun(&service, json!({ "x": 0 })).await;
    let mut requests = Vec::new();
    for n in 0..6 {
        requests.push(Request::begin(&service.sessions, Some(&id)).await.set(&format!("k{n}"), n));
    }
    let ends: Vec<_> = requests.into_iter().map(|request| tokio::spawn(request.finish())).collect();
    for end in ends {
        end.await.unwrap().unwrap();
    }
    assert_eq!(stored(&service, &id).await.unwrap().as_object().unwrap().len(), 7);
}

#[tokio::test]
async fn a_request_that_stores_twice_does_not_remove_what_others_have_stored_between() {
    let service = Service::start().await;
    let id = begun(&service, json!({ "x": 0 })).await;
    let mut twice = Request::begin(&service.sessions, Some(&id)).await.set("a", 1);
    Request::begin(&service.sessions, Some(&id)).await.set("b", 2).finish().await.unwrap();
    let data = twice.data.to_string();
    twice.session.finish(&data, Lifetime::Keep, CookieRefresh::Never).await.unwrap();
    Request::begin(&service.sessions, Some(&id)).await.set("c", 3).finish().await.unwrap();
    twice.set("d", 4).finish().await.unwrap();
    assert_eq!(stored(&service, &id).await.unwrap(), json!({ "x": 0, "b": 2, "a": 1, "c": 3, "d": 4 }));
}

#[tokio::test]
async fn merging_can_be_turned_off() {
    let service = Service::with(Config { merge: false, ..Config::default() }).await;
    let id = begun(&service, json!({ "x": 0 })).await;
    let first = Request::begin(&service.sessions, Some(&id)).await.set("a", 1);
    let second = Request::begin(&service.sessions, Some(&id)).await.set("b", 2);
    first.finish().await.unwrap();
    second.finish().await.unwrap();
    assert_eq!(stored(&service, &id).await.unwrap(), json!({ "x": 0, "b": 2 }));
}

#[tokio::test]
async fn a_session_whose_last_key_goes_ends_unless_another_request_has_set_one() {
    let service = Service::start().await;
    let id = begun(&service, json!({ "a": 1 })).await;
    let removes = Request::begin(&service.sessions, Some(&id)).await.remove("a");
    Request::begin(&service.sessions, Some(&id)).await.set("b", 2).finish().await.unwrap();
    assert!(!matches!(removes.finish().await.unwrap(), Cookie::Delete));
    assert_eq!(stored(&service, &id).await.unwrap(), json!({ "b": 2 }));

    let removes = Request::begin(&service.sessions, Some(&id)).await.remove("b");
    assert!(matches!(removes.finish().await.unwrap(), Cookie::Delete));
    assert_eq!(stored(&service, &id).await, None);
}

#[tokio::test]
async fn a_login_takes_the_changes_and_keeps_what_others_have_stored_meanwhile() {
    let service = Service::start().await;
    let id = begun(&service, json!({ "cart": [1] })).await;
    let mut login = Request::begin(&service.sessions, Some(&id)).await.set("user", "alice");
    Request::begin(&service.sessions, Some(&id)).await.set("cart", json!([1, 2])).finish().await.unwrap();
    login.log_in("alice").await.unwrap();
    assert_eq!(login.data, json!({ "cart": [1, 2], "user": "alice", "at": 1 }));
    service.proxy.forget();
    let new = login.ends_with_cookie().await;
    assert!(service.proxy.operations().is_empty(), "the login has stored everything");
    assert_eq!(stored(&service, &id).await, None);
    let session = service.sessions.peek::<Value>(&new).await.unwrap().unwrap();
    assert_eq!(session.subject().unwrap().as_str(), "alice");
}

#[tokio::test]
async fn a_login_that_was_refused_or_failed_leaves_everything_as_it_was() {
    let config =
        Config { max_per_subject: 1, at_max_per_subject: AtMaxPerSubject::Refuse, ..Config::default() };
    let service = Service::with(config).await;
    logged_in(&service, "alice").await;
    for anonymous in [None, Some(begun(&service, json!({ "cart": 1 })).await)] {
        let changed = json!({ "user": "alice", "cart": 2 });
        let mut login = Request::begin(&service.sessions, anonymous.as_ref()).await;
        login.data = changed.clone();
        assert!(matches!(login.log_in("alice").await, Err(Error::TooManySessions { .. })));
        assert_eq!(login.data.get("user"), None, "the user is not logged in");
        assert!(is_left(&login.set("user", "alice").finish().await), "nothing is stored after it");

        let mut login = Request::begin(&service.sessions, anonymous.as_ref()).await;
        login.data = changed;
        service.proxy.on_every(|_| Action::Respond(500, String::new()));
        assert!(matches!(login.log_in("bob").await, Err(Error::Unavailable(_))));
        service.proxy.on_every(Action::Forward);
        assert!(is_left(&login.finish().await));
        if let Some(id) = &anonymous {
            assert_eq!(stored(&service, id).await.unwrap(), json!({ "cart": 1 }));
        }
    }
}

#[tokio::test]
async fn a_login_that_is_stored_keeps_its_cookie_when_the_rest_of_its_request_fails() {
    let service = Service::start().await;
    for cart in [None, Some(begun(&service, json!({ "cart": 1 })).await)] {
        let mut login = Request::begin(&service.sessions, cart.as_ref()).await;
        login.log_in("alice").await.unwrap();
        let mut login = login.set("seen", true);
        service.proxy.on_every(|_| Action::Respond(500, String::new()));
        let Request { session, data, lifetime, refresh, .. } = &mut login;
        let failed = session.finish(&data.to_string(), *lifetime, *refresh).await;
        assert!(matches!(failed, Err(Error::Unavailable(_))));
        service.proxy.on_every(Action::Forward);
        service.proxy.forget();
        let new = login.ends_with_cookie().await;
        assert!(service.proxy.operations().is_empty(), "nothing is stored after it");
        let stored = stored(&service, &new).await.unwrap();
        assert_eq!((stored.get("cart").is_some(), stored.get("seen")), (cart.is_some(), None));
    }
    // A session that could not be begun has none.
    let mut visit = Request::begin(&service.sessions, None).await.set("seen", true);
    service.proxy.on_every(|_| Action::Respond(500, String::new()));
    let failed = visit.session.finish(&visit.data.to_string(), visit.lifetime, visit.refresh).await;
    assert!(matches!(failed, Err(Error::Unavailable(_))));
    assert!(is_left(&visit.finish().await));
}

#[tokio::test]
async fn of_two_logins_from_one_session_both_are_logged_in() {
    let service = Service::start().await;
    let id = begun(&service, json!({ "cart": 1 })).await;
    let mut clicks = Vec::new();
    for _ in 0..2 {
        clicks.push(Request::begin(&service.sessions, Some(&id)).await.set("user", "alice"));
    }
    for mut click in clicks {
        click.log_in("alice").await.unwrap();
        let new = click.ends_with_cookie().await;
        assert_eq!(stored(&service, &new).await.unwrap()["user"], "alice");
    }
}

#[tokio::test]
async fn a_lifetime_that_was_set_before_a_login_holds() {
    let service = Service::start().await;
    let anonymous = begun(&service, json!({ "cart": 1 })).await;
    let in_an_hour = Lifetime::Until(service.clock.now().plus_seconds(3600));
    for cookie in [None, Some(&anonymous)] {
        for (lifetime, idle, absolute) in [
            (Lifetime::Seconds(1_209_600), 1_209_600, 1_209_600),
            (Lifetime::Seconds(300), 300, 43_200),
            (in_an_hour, 3600, 3600),
        ] {
            let mut login = Request::begin(&service.sessions, cookie).await.set("user", "a").living(lifetime);
            login.log_in("alice").await.unwrap();
            let timeouts = login.session.session().unwrap().timeouts;
            assert_eq!((timeouts.idle_seconds, timeouts.absolute_seconds), (idle, absolute), "{lifetime:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_comes_after_a_renewal_leaves_the_cookie_and_stores_nothing() {
    let service = Service::start().await;
    let old = begun(&service, json!({ "n": 1 })).await;
    let reads = Request::begin(&service.sessions, Some(&old)).await;
    let writes = Request::begin(&service.sessions, Some(&old)).await.set("n", 2);
    let mut login = Request::begin(&service.sessions, Some(&old)).await;
    login.log_in("alice").await.unwrap();
    let new = login.ends_with_cookie().await;
    service.clock.advance(120);
    assert!(is_left(&reads.finish().await), "also of a cookie that slides");
    assert!(matches!(writes.finish().await, Err(Error::NotFound(_))));

    let late = Request::begin(&service.sessions, Some(&old)).await;
    assert!(late.session.is_superseded());
    assert!(is_left(&late.finish().await));
    let late = Request::begin(&service.sessions, Some(&old)).await.set("last", "/hit");
    let records = service.records().await;
    assert!(matches!(late.finish().await, Err(Error::NotFound(_))));
    assert_eq!(service.records().await, records, "no session is made beside the new one");
    assert_eq!(stored(&service, &new).await.unwrap(), json!({ "n": 1, "at": 1 }));
}

#[tokio::test]
async fn the_cookie_of_a_dead_session_is_deleted_only_by_the_request_that_ended_it() {
    let service = Service::start().await;
    let id = logged_in(&service, "alice").await;
    let late = Request::begin(&service.sessions, Some(&id)).await;
    let mut logout = Request::begin(&service.sessions, Some(&id)).await;
    logout.session.log_out().await.unwrap();
    logout.data = json!({});
    assert!(matches!(logout.finish().await.unwrap(), Cookie::Delete));
    assert!(is_left(&late.finish().await));
    let mut again = Request::begin(&service.sessions, Some(&id)).await;
    again.session.log_out().await.unwrap();
    assert!(is_left(&again.finish().await), "the session was dead");
    let visit = Request::begin(&service.sessions, Some(&id)).await;
    assert!(!visit.session.is_superseded());
    let new = visit.set("a", 1).ends_with_cookie().await;
    assert_eq!(stored(&service, &new).await.unwrap(), json!({ "a": 1 }), "an expired session is no obstacle");
}

#[tokio::test]
async fn after_a_logout_the_request_may_begin_a_new_session() {
    let service = Service::start().await;
    let id = logged_in(&service, "alice").await;
    let mut logout = Request::begin(&service.sessions, Some(&id)).await;
    logout.session.log_out().await.unwrap();
    logout.data = json!({ "message": "bye" });
    let new = logout.ends_with_cookie().await;
    assert_eq!(stored(&service, &id).await, None);
    let session = service.sessions.peek::<Value>(&new).await.unwrap().unwrap();
    assert_eq!(session.subject(), None);
    assert_eq!(session.data, json!({ "message": "bye" }));
}

#[tokio::test]
async fn an_application_that_removes_everything_logs_its_user_out() {
    let service = Service::start().await;
    for (kept, meanwhile) in
        [(json!({}), "change"), (json!({ "message": "bye" }), "change"), (json!({}), "renewal")]
    {
        let id = logged_in(&service, "alice").await;
        let mut logout = Request::begin(&service.sessions, Some(&id)).await;
        match meanwhile {
            "change" => {
                drop(Request::begin(&service.sessions, Some(&id)).await.set("b", 1).finish().await.unwrap())
            }
            _ => drop(service.sessions.renew::<Value>(&id).await.unwrap().unwrap()),
        }
        logout.session.cleared();
        logout.data = kept.clone();
        let cookie = logout.finish().await.unwrap();
        assert_eq!(service.list("alice").await, [""; 0], "{meanwhile}");
        match cookie {
            Cookie::Delete => assert_eq!(kept, json!({})),
            Cookie::Set { id, .. } => assert_eq!(stored(&service, &id).await, Some(kept)),
            Cookie::Leave => panic!("{meanwhile}"),
        }
    }
    let anonymous = begun(&service, json!({ "a": 1 })).await;
    let mut clears = Request::begin(&service.sessions, Some(&anonymous)).await;
    clears.session.cleared();
    clears.data = json!({ "b": 1 });
    clears.finish().await.unwrap();
    assert_eq!(stored(&service, &anonymous).await, Some(json!({ "b": 1 })), "a session of nobody goes on");
}

#[tokio::test]
async fn a_session_that_is_cleared_before_it_was_read_ends_too() {
    let service = Service::start().await;
    for data in ["{}", r#"{"message":"bye"}"#] {
        let id = logged_in(&service, "alice").await;
        let mut session = RequestSession::new(service.sessions.clone(), Some(id.expose()));
        session.cleared();
        session.finish(data, Lifetime::Keep, CookieRefresh::OnUse).await.unwrap();
        assert_eq!(service.list("alice").await, [""; 0], "{data}");
    }
}

#[tokio::test]
async fn a_late_logout_ends_the_session_under_its_new_id() {
    let service = Service::start().await;
    let id = logged_in(&service, "alice").await;
    service.sessions.renew::<Value>(&id).await.unwrap().unwrap();
    let mut late = Request::begin(&service.sessions, Some(&id)).await;
    assert!(late.session.is_superseded());
    late.session.cleared();
    assert!(matches!(late.finish().await.unwrap(), Cookie::Delete));
    assert_eq!(service.list("alice").await, [""; 0]);
}

#[tokio::test]
async fn losing_the_subject_and_taking_one_go_with_the_data() {
    let service = Service::start().await;
    let id = begun(&service, json!({ "a": 1 })).await;
    for (subject, listed) in [
        (SubjectChange::To("bob".parse().unwrap()), ["bob"].as_slice()),
        (SubjectChange::To("alice".parse().unwrap()), &["alice"]),
        (SubjectChange::Remove, &[]),
    ] {
        let mut request = Request::begin(&service.sessions, Some(&id)).await;
        request.session.set_subject(subject.clone());
        request.finish().await.unwrap();
        for user in ["alice", "bob"] {
            assert_eq!(!service.list(user).await.is_empty(), listed.contains(&user), "{user} {subject:?}");
        }
    }
    assert_eq!(stored(&service, &id).await, Some(json!({ "a": 1 })));
}

#[tokio::test]
async fn cookie_and_session_live_equally_long() {
    let service = Service::start().await;
    let id = begun(&service, json!({ "a": 1 })).await;
    let mut cookie_ends = service.clock.now().plus_seconds(7200);
    for seconds in [10, 50, 100, 1000, 5] {
        service.clock.advance(seconds);
        let cookie = Request::begin(&service.sessions, Some(&id)).await.finish().await.unwrap();
        if let Cookie::Set { max_age_seconds, .. } = cookie {
            cookie_ends = service.clock.now().plus_seconds(max_age_seconds);
        }
        let session = service.sessions.peek::<Value>(&id).await.unwrap().unwrap();
        assert_eq!(session.expires(), cookie_ends, "after {seconds} more");
    }
    assert_ne!(cookie_ends.seconds_since(service.clock.now()), 7200 - 1165, "it slides");

    let remember = Request::begin(&service.sessions, Some(&id)).await.living(Lifetime::Seconds(1_209_600));
    let Cookie::Set { max_age_seconds, .. } = remember.finish().await.unwrap() else { panic!("no cookie") };
    let session = service.sessions.peek::<Value>(&id).await.unwrap().unwrap();
    assert_eq!(session.expires().seconds_since(service.clock.now()), max_age_seconds);
    assert_eq!(session.timeouts.idle_seconds, 1_209_600);
    let back = Request::begin(&service.sessions, Some(&id)).await.living(Lifetime::Default);
    assert!(matches!(back.finish().await.unwrap(), Cookie::Set { max_age_seconds: 7200, .. }));
}

#[tokio::test]
async fn a_passive_request_does_not_keep_the_session_alive() {
    let passive_paths = vec!["/poll".to_owned(), "/static/".to_owned()];
    let service = Service::with(Config { passive_paths, ..Config::default() }).await;
    let id = begun(&service, json!({ "a": 1 })).await;
    let expires = service.recorded(&id, "expires").await;
    service.clock.advance(600);
    for (path, keeps_alive) in
        [("/poll", false), ("/static/a.css", false), ("/polls", true), ("/static", true)]
    {
        let mut session = RequestSession::new(service.sessions.clone(), Some(id.expose())).with_path(path);
        session.open().await.unwrap();
        session.finish(r#"{"a":1}"#, Lifetime::Keep, CookieRefresh::Never).await.unwrap();
        assert_eq!(service.recorded(&id, "expires").await != expires, keeps_alive, "{path}");
        if keeps_alive {
            break;
        }
    }
    service.clock.advance(600);
    let mut poll = Request::begin(&service.sessions, Some(&id)).await;
    poll.session.keep_alive(false);
    let before = service.recorded(&id, "expires").await;
    poll.finish().await.unwrap();
    assert_eq!(service.recorded(&id, "expires").await, before);
}

#[tokio::test]
async fn a_record_of_another_program_is_no_session() {
    let service = Service::start().await;
    let id = service.sessions.create(json!([1, 2])).await.unwrap();
    let visit = Request::begin(&service.sessions, Some(id.id())).await;
    assert!(visit.session.session().is_none() && !visit.session.is_superseded());
    let new = visit.set("a", 1).ends_with_cookie().await;
    assert_eq!(stored(&service, &new).await.unwrap(), json!({ "a": 1 }));
}

#[tokio::test]
async fn a_lifetime_of_nothing_ends_the_session() {
    let service = Service::start().await;
    let id = begun(&service, json!({ "a": 1 })).await;
    let over = Request::begin(&service.sessions, Some(&id)).await.living(Lifetime::Seconds(0));
    assert!(matches!(over.finish().await.unwrap(), Cookie::Delete));
    assert_eq!(stored(&service, &id).await, None);
    let none = Request::begin(&service.sessions, None).await.set("a", 1).living(Lifetime::Seconds(0));
    assert!(is_left(&none.finish().await));
}

#[tokio::test]
async fn generated_requests_of_one_browser_never_lose_a_key_nor_the_login() {
    let service = Service::start().await;
    let mut jar = begun(&service, json!({ "k0": 0 })).await;
    let mut expected: HashMap<String, u64> = HashMap::from([("k0".into(), 0)]);
    for round in 0..20_u64 {
        let (first, second) = (format!("k{}", round % 4), format!("k{}", (round + 1) % 4));
        let one = Request::begin(&service.sessions, Some(&jar)).await.set(&first, round);
        let two = Request::begin(&service.sessions, Some(&jar)).await.set(&second, round + 100);
        let mut login = Request::begin(&service.sessions, Some(&jar)).await;
        one.finish().await.unwrap();
        expected.insert(first, round);
        if round % 5 == 4 {
            login.log_in("alice").await.unwrap();
            jar = login.ends_with_cookie().await;
            expected.insert("at".into(), 1);
            assert!(matches!(two.finish().await, Err(Error::NotFound(_))));
        } else {
            two.finish().await.unwrap();
            expected.insert(second, round + 100);
        }
        assert_eq!(stored(&service, &jar).await.unwrap(), json!(expected));
    }
}
