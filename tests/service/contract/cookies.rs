//! Cookie transport: the callers are browsers.

use dynamodb_web_session::{Config, Timeouts};
use serde_json::json;
use service::{SameSite, Settings};

use crate::harness::{Service, cookies};

const EXPIRED_COOKIE: &str = "__Host-id=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";

#[tokio::test]
async fn the_session_id_is_in_a_secure_cookie() {
    let service = Service::served(cookies()).await;
    let created = service.post().by_page().json(&json!({ "data": { "a": 1 } })).send().await;
    let id = created.assert_status(201).cookie_id();
    let expected = format!("__Host-id={}; Path=/; Secure; HttpOnly; SameSite=Strict", id.expose());
    assert_eq!(created.header("set-cookie"), expected);
    assert!(!created.body.contains(id.expose()), "script must not be able to read it");
    assert!(created.json().get("session_id").is_none());

    assert_eq!(service.get().cookie(&id).send().await.assert_status(200).data(), json!({ "a": 1 }));
    service.put().by_page().cookie(&id).json(&json!({ "data": { "a": 2 } })).send().await.assert_status(204);
    assert_eq!(service.get().cookie(&id).send().await.data(), json!({ "a": 2 }));

    let cleared = service.delete().by_page().cookie(&id).send().await;
    assert_eq!(cleared.assert_status(204).header("set-cookie"), EXPIRED_COOKIE);
    assert_eq!(
        cleared.header("clear-site-data"),
        "",
        "it deletes the cookies of sibling hosts too: only by a setting"
    );
    assert!(!service.record(&id).await.unwrap().contains_key("data"));
    let dead = service.get().cookie(&id).send().await;
    dead.problem(404);
    assert_eq!(dead.header("set-cookie"), "", "a renewal may have replaced the cookie in the meantime");
    assert_eq!(service.get().send().await, dead);
}

#[tokio::test]
async fn the_settings_choose_the_attributes_of_the_cookie() {
    let timeouts = Timeouts { idle_seconds: 100, absolute_seconds: 1000 };
    let lax = Settings { cookie_same_site: SameSite::Lax, cookie_persistent: true, ..cookies() };
    let settings = Settings { clear_site_data: true, ..lax };
    let service = Service::with_all(Config { timeouts, ..Config::default() }, settings).await;
    let attributes = "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=";
    let created = service.post().by_page().send().await;
    let id = created.cookie_id();
    assert_eq!(created.header("set-cookie"), format!("__Host-id={}; {attributes}1000", id.expose()));

    service.clock.advance(70);
    let renewed = service.post_renew().by_page().cookie(&id).send().await;
    let id = renewed.assert_status(200).cookie_id();
    let expected = format!("__Host-id={}; {attributes}930", id.expose());
    assert_eq!(renewed.header("set-cookie"), expected, "the remaining lifetime of the session");

    let cleared = service.delete().by_page().cookie(&id).send().await;
    assert_eq!(cleared.assert_status(204).header("set-cookie"), format!("__Host-id=; {attributes}0"));
    assert_eq!(cleared.header("clear-site-data"), r#""cookies", "storage""#);
    let dead = service.get().cookie(&id).send().await;
    assert_eq!((dead.header("set-cookie"), dead.header("clear-site-data")), ("", ""));
}

#[tokio::test]
async fn other_cookies_are_ignored_and_two_of_ours_are_malformed() {
    let service = Service::served(cookies()).await;
    let id = service.post().by_page().send().await.cookie_id();
    let ours = format!("__Host-id={}", id.expose());
    for cookies in [
        format!("lang=\u{e9}; {ours}"),
        format!("{ours}; lang=\u{1F36A}"),
        format!("a=b; {ours}; c=d"),
        format!("{ours};x"),
        format!("id=1; {ours}; Host-id=2; __host-id=3"),
    ] {
        service.get().header("cookie", &cookies).send().await.assert_status(200);
    }
    for cookies in [
        format!("{ours}; {ours}"),
        format!("{ours}; __Host-id="),
        format!("__Host-id=x; {ours}"),
        format!("__Host-id=\"{}\"", id.expose()),
        "__Host-id".to_owned(),
        ";;;===".to_owned(),
    ] {
        service.get().header("cookie", &cookies).send().await.problem(404);
    }
    service.get().cookie(&id).cookie(&id).send().await.problem(404);
}

/// Two tabs renew at once, or one renews while a call of another is under way: the late response must not delete the
/// cookie of the winner.
#[tokio::test]
async fn only_create_renew_and_clear_set_the_cookie() {
    let service = Service::served(cookies()).await;
    let old = service.post().by_page().send().await.cookie_id();
    let (one, other) = tokio::join!(
        service.post_renew().by_page().cookie(&old).send(),
        service.post_renew().by_page().cookie(&old).send()
    );
    let (winner, loser) = if one.status == 200 { (one, other) } else { (other, one) };
    loser.problem(404);
    assert_eq!(loser.header("set-cookie"), "");
    let save = service.put().by_page().cookie(&old).json(&json!({ "data": {} })).send().await;
    let load = service.get().by_page().cookie(&old).send().await;
    for late in [save, load] {
        late.problem(404);
        assert_eq!(late.header("set-cookie"), "");
    }
    service.get().cookie(&winner.cookie_id()).send().await.assert_status(200);
}

#[tokio::test]
async fn each_transport_reads_the_id_from_its_own_place_only() {
    let service = Service::served(cookies()).await;
    let id = service.post().by_page().send().await.cookie_id();
    service.get().id(&id).send().await.problem(404);
    service.delete().by_page().id(&id).send().await.assert_status(204);
    service.get().cookie(&id).send().await.assert_status(200);

    let service = Service::start().await;
    let id = service.create(json!({})).await;
    service.get().cookie(&id).send().await.problem(404);
    service.delete().by_page().cookie(&id).send().await.assert_status(204);
    let loaded = service.load(&id).await;
    assert_eq!(loaded.assert_status(200).header("set-cookie"), "");
}

#[tokio::test]
async fn a_browser_may_not_choose_its_timeouts() {
    let service = Service::served(cookies()).await;
    let id = service.post().by_page().send().await.cookie_id();
    for body in [
        json!({ "idle_timeout_seconds": 60 }),
        json!({ "absolute_timeout_seconds": 60 }),
        json!({ "data": {}, "idle_timeout_seconds": 60 }),
    ] {
        service.post().by_page().json(&body).send().await.problem(400);
        service.put().by_page().cookie(&id).json(&body).send().await.problem(400);
    }
}
