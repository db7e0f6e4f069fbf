//! `cargo run -- --data FILE`: acknowledged writes survive kills of the process and a full disk.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dynamodb_web_session::SessionId;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::harness::{LocalServer, program};

/// A folder that is removed at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dynamodb-web-session-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn save(url: &str, id: &SessionId, data: Value) -> Option<u16> {
    let save =
        reqwest::Client::new().put(url).header("x-session-id", id.expose()).json(&json!({ "data": data }));
    save.send().await.ok().map(|answer| answer.status().as_u16())
}

/// Saves growing numbers until the server has ended. `acknowledged` is the last number whose save was acknowledged.
async fn count_up(url: String, id: SessionId, from: u64, acknowledged: Arc<AtomicU64>, all: Arc<AtomicU64>) {
    for n in from.. {
        match save(&url, &id, json!({ "n": n })).await {
            Some(204) => acknowledged.store(n, Ordering::SeqCst),
            Some(status) => panic!("{status}"),
            None => return,
        }
        all.fetch_add(1, Ordering::SeqCst);
    }
}

/// No run of eight bytes of sealed data is in any file of the table. Plain data is found.
#[tokio::test]
async fn the_file_of_the_table_has_no_run_of_sealed_data() {
    let folder = Folder::new("sealed");
    let text = "It was the best of times, it was the worst of times";
    for (seal, is_found) in [("true", false), ("false", true)] {
        let file = folder.join(&format!("{seal}.db"));
        let server = LocalServer::start(&["--data", file.to_str().unwrap()], &[("SESSION_SEAL", seal)]).await;
        let id = server.create(json!({ "text": text })).await;
        assert_eq!(save(&server.url, &id, json!({ "text": text, "n": 2 })).await, Some(204));
        let renew =
            reqwest::Client::new().post(format!("{}/renew", server.url)).header("x-session-id", id.expose());
        assert_eq!(renew.send().await.unwrap().json::<Value>().await.unwrap()["data"]["text"], text);
        assert!(server.stop("-TERM").await.status.success());
        let files: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().path()).collect();
        let files = files.iter().filter(|path| path.to_string_lossy().contains(&format!("{seal}.db")));
        let bytes: Vec<_> = files.flat_map(|path| std::fs::read(path).unwrap()).collect();
        assert!(bytes.len() > 4096);
        // SQLite may hold a text in base64 too.
        let encoded = BASE64_STANDARD.encode(text);
        let runs = [text.as_bytes(), encoded.as_bytes()].into_iter().flat_map(|text| text.windows(8));
        let runs: HashSet<_> = runs.collect();
        let found = bytes.windows(8).filter(|window| runs.contains(window)).count();
        assert_eq!(found > 0, is_found, "{seal}: {found} runs");
    }
}

/// `KILLS` is the number of kills; 20 by default.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_saves_survive_kills() {
    let kills: u64 = std::env::var("KILLS").map_or(20, |text| text.parse().unwrap());
    let folder = Folder::new("killed");
    let file = folder.join("sessions.db");
    let file = file.to_str().unwrap();
    let mut ids = Vec::new();
    let mut acknowledged: Vec<Arc<AtomicU64>> = Vec::new();
    for kill in 0..=kills {
        let server = LocalServer::start(&["--data", file], &[]).await;
        for (id, acknowledged) in ids.iter().zip(&acknowledged) {
            let loaded = server.load(id).await;
            assert_eq!(loaded.status(), 200, "after {kill} kills");
            let found = loaded.json::<Value>().await.unwrap()["data"]["n"].as_u64().unwrap();
            let acknowledged = acknowledged.swap(found, Ordering::SeqCst);
            // The save in progress may have been stored.
            assert!(
                (acknowledged..=acknowledged + 1).contains(&found),
                "{acknowledged} was acknowledged, {found} is stored"
            );
        }
        while ids.len() < 4 {
            ids.push(server.create(json!({ "n": 0 })).await);
            acknowledged.push(Arc::default());
        }
        let all = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for (id, acknowledged) in ids.iter().zip(&acknowledged) {
            let from = acknowledged.load(Ordering::SeqCst) + 1;
            clients.spawn(count_up(
                server.url.clone(),
                id.clone(),
                from,
                Arc::clone(acknowledged),
                Arc::clone(&all),
            ));
        }
        while all.load(Ordering::SeqCst) < kill * 7 % 40 {
            tokio::task::yield_now().await;
        }
        server.stop("-KILL").await;
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
    }
}

/// The disk is a file system with 2 MB free, in the server's own mount namespace.
#[tokio::test]
async fn a_full_disk_is_503_until_there_is_room() {
    let folder = Folder::new("full");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "bash", "-euc"]);
    command.arg("mount -t tmpfs -o size=4m none \"$1\"; head -c 2000000 /dev/zero > \"$1/filler\"; exec \"$2\" --port 0 --data \"$1/s.db\"");
    command.arg("bash").arg(&folder.0).arg(program("local").await);
    let server = LocalServer::spawn(command).await;

    let small = server.create(json!({ "small": true })).await;
    // Data that stays large when it is deflated.
    let noise = |n: u32| BASE64_STANDARD.encode(Sha512::digest(n.to_be_bytes()));
    let large: String = (0..1200).map(noise).collect();
    let mut kept = Vec::new();
    let full = loop {
        let create = reqwest::Client::new().post(&server.url).json(&json!({ "data": { "large": large } }));
        let answer = create.send().await.unwrap();
        match answer.status().as_u16() {
            201 => {
                let document: Value = answer.json().await.unwrap();
                kept.push(document["session_id"].as_str().unwrap().parse::<SessionId>().unwrap());
            }
            _ => break answer,
        }
        assert!(kept.len() < 100, "the disk did not fill up");
    };
    assert_eq!(full.status(), 503);
    assert_eq!(full.headers()["retry-after"], "1");
    for id in kept.iter().chain([&small]) {
        assert_eq!(server.load(id).await.status(), 200, "an acknowledged session is stored");
    }

    let seen_by_server = Path::new("/proc").join(server.process_id().to_string()).join("root");
    std::fs::remove_file(seen_by_server.join(folder.join("filler").strip_prefix("/").unwrap())).unwrap();
    assert_eq!(save(&server.url, &small, json!({ "small": large })).await, Some(204));
    for id in kept.iter().chain([&small]) {
        assert_eq!(server.load(id).await.status(), 200);
    }
    server.stop("-TERM").await;
}
