//! An embedded DynamoDB with the session table: for `cargo run`, for tests, and for the packages' own local mode.

mod loopback;
mod programs_only;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use aws_config::Region;
use aws_config::environment::credentials::EnvironmentVariableCredentialsProvider;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use dynamodb_web_session::{BoxError, ConfigError, create_table};
use dynoxide::Database;
use rand::TryRng;
use rand::rngs::SysRng;

pub use loopback::is_this_machine;
use loopback::listen;
pub use programs_only::serve_programs_only;

const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Serves an embedded DynamoDB with the session table on a port of 127.0.0.1, for programs but not for web pages, and returns
/// its URL. 0 picks a free port. The sessions are in memory, or in `file`. It runs as long as the runtime.
///
/// # Errors
/// When the file cannot be opened, the port cannot be bound, or the table cannot be created.
pub async fn serve(port: u16, file: Option<&Path>, table: &str) -> Result<String, BoxError> {
    let url = start(file).await?;
    create_table(&client(&url).await?, table).await?;
    serve_programs_only(&url, port).await
}

/// Empties the session table at `url`, which [`serve`] has returned: for the next test.
///
/// # Errors
/// When there is no such table any more.
pub async fn empty(url: &str, table: &str) -> Result<(), BoxError> {
    let client = client(url).await?;
    client.delete_table().table_name(table).send().await?;
    create_table(&client, table).await?;
    Ok(())
}

/// Starts an embedded DynamoDB on the loopback interface, without a table, and returns its URL. It runs as long as the runtime.
///
/// Any web page could read this server (`access-control-allow-origin: *`), so it listens on a random address of 127.0.0.0/8,
/// where the system has them all, as Linux does. [`serve_programs_only`] is for other programs.
///
/// # Errors
/// When the file cannot be opened, or no port can be bound.
pub async fn start(file: Option<&Path>) -> Result<String, BoxError> {
    let database = match file {
        Some(path) => {
            make_private(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
            let path = path.to_str().ok_or("the path of the data file is not UTF-8")?;
            Database::new(path).map_err(|error| format!("cannot open {path}: {error}"))?
        }
        None => Database::memory().map_err(|error| error.to_string())?,
    };
    let mut address = [0; 3];
    SysRng.try_fill_bytes(&mut address)?;
    let [a, b, c] = address.map(|byte| byte.clamp(1, 254));
    let listener = listen(Ipv4Addr::new(127, a, b, c), 0).or_else(|_| listen(Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(sweep(database.clone()));
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    Ok(url)
}

/// Creates the file unless it exists. It holds the data as it was sent, so only its owner may read it.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Deletes expired items at intervals. DynamoDB does so by itself; the embedded one does not.
async fn sweep(database: Database) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        let database = database.clone();
        // A failed sweep needs no handling: the next one repeats it, and no session depends on it.
        let _ = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
    }
}

/// A client for the DynamoDB at `url`, with the functions' timeouts and retries. If the environment has no Region or no
/// credentials, it uses placeholders, because a local DynamoDB accepts any.
///
/// # Errors
/// When `AWS_CA_BUNDLE` does not name a file of certificates.
pub async fn client(url: &str) -> Result<Client, ConfigError> {
    let placeholder = Credentials::new("local", "local", None, None, "local");
    let credentials =
        CredentialsProviderChain::first_try("environment", EnvironmentVariableCredentialsProvider::new())
            .or_else("local", placeholder);
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(Region::from_static("us-east-1"));
    let defaults = dynamodb_web_session::aws_defaults()?;
    let config = defaults.credentials_provider(credentials).region(region).load().await;
    Ok(Client::from_conf(aws_sdk_dynamodb::config::Builder::from(&config).endpoint_url(url).build()))
}
