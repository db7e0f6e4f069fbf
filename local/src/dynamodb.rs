//! The DynamoDB of the local service: an embedded one, or the one at a given URL.

use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use aws_config::Region;
use aws_config::environment::credentials::EnvironmentVariableCredentialsProvider;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};
use dynamodb_web_session::{BoxError, ConfigError};
use dynoxide::Database;
use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::ORIGIN;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;

use crate::gateway::refuse_foreign;
use crate::template::TableProperties;

const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Starts an embedded DynamoDB on the loopback interface, and returns its URL.
///
/// It lets every web page read it (`access-control-allow-origin: *`), so it gets an address that no page can guess: any
/// of 127.0.0.0/8, where the system has them all, as Linux does. [`guard`] is for other programs.
/// It runs as
/// long as the runtime.
///
/// # Errors
/// When the file cannot be opened, or no port can be bound.
pub async fn start_embedded(file: Option<&Path>) -> Result<String, BoxError> {
    let database = match file {
        Some(path) => {
            // The file holds the data as it was sent, so only its owner may read it.
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| format!("cannot open {}: {error}", path.display()))?;
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

/// Room for a burst of connections: beyond the usual 128 one waits a second, and the client gives up.
const BACKLOG: u32 = 1024;

fn listen(address: Ipv4Addr, port: u16) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((address, port).into())?;
    socket.listen(BACKLOG)
}

/// Serves the DynamoDB at `url` on this port of 127.0.0.1 too, for other programs but not for web pages, and returns that
/// URL.
///
/// # Errors
/// When the port cannot be bound.
pub async fn guard(url: &str, port: u16) -> Result<String, BoxError> {
    let listener = listen(Ipv4Addr::LOCALHOST, port)
        .map_err(|error| format!("cannot serve DynamoDB on port {port}: {error}"))?;
    let guarded = format!("http://{}", listener.local_addr()?);
    let upstream = url.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let upstream = upstream.clone();
            // A broken connection concerns its client only.
            tokio::spawn(async move { forward_programs(stream, &upstream).await.ok() });
        }
    });
    Ok(guarded)
}

/// Forwards the requests of one connection. Browsers send `Origin` or `Sec-Fetch-Site` with each request, and cannot be made
/// to leave both out; programs send neither.
async fn forward_programs(stream: TcpStream, upstream: &str) -> Result<(), BoxError> {
    let onward = TcpStream::connect(upstream).await?;
    // A client may send the head and the body of a request one after the other: together with delayed acknowledgements,
    // Nagle's algorithm would make each of its requests 40 ms longer.
    stream.set_nodelay(true)?;
    onward.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(onward)).await?;
    tokio::spawn(connection);
    let sender = Mutex::new(sender);
    let service = service_fn(|request: Request<Incoming>| async {
        let headers = request.headers();
        if headers.contains_key(ORIGIN)
            || headers.contains_key("sec-fetch-site")
            || refuse_foreign(headers, request.version()).is_some()
        {
            let mut refusal = Response::new(Either::Left(Empty::<Bytes>::new()));
            *refusal.status_mut() = StatusCode::FORBIDDEN;
            return Ok::<_, hyper::Error>(refusal);
        }
        Ok(sender.lock().await.send_request(request).await?.map(Either::Right))
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?;
    Ok(())
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

/// Creates the table as the template describes it, unless it exists.
///
/// # Errors
/// When DynamoDB returns an error.
pub async fn ensure_table(client: &Client, name: &str, table: &TableProperties) -> Result<(), BoxError> {
    match client.describe_table().table_name(name).send().await {
        Ok(_) => return Ok(()),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {}
        Err(error) => return Err(error.into()),
    }
    let mut create = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for attribute in &table.attribute_definitions {
        create = create.attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name(&attribute.attribute_name)
                .attribute_type(ScalarAttributeType::from(attribute.attribute_type.as_str()))
                .build()?,
        );
    }
    for element in &table.key_schema {
        create = create.key_schema(
            KeySchemaElement::builder()
                .attribute_name(&element.attribute_name)
                .key_type(KeyType::from(element.key_type.as_str()))
                .build()?,
        );
    }
    create.send().await?;
    let ttl = TimeToLiveSpecification::builder()
        .attribute_name(&table.time_to_live_specification.attribute_name)
        .enabled(true)
        .build()?;
    client.update_time_to_live().table_name(name).time_to_live_specification(ttl).send().await?;
    Ok(())
}
