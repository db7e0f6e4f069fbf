//! `cargo run`: the session service on this machine.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dynamodb_web_session::{BoxError, Config, SessionManager, create_table};
use local::{Gateway, Page, ProtectedApi, RecentLog, Template};
use service::log::{self, LevelFilter};
use service::{IdTransport, SessionService, Settings};
use tokio::net::TcpListener;

/// Serves web sessions on this machine, on an embedded DynamoDB.
///
/// The settings (SESSION_TABLE_NAME and so on) are environment variables, as for the Lambda functions.
#[derive(Parser)]
#[command(name = "local")]
struct Arguments {
    /// The port to serve on; 0 picks a free one.
    #[arg(long, value_name = "N", default_value_t = 3000)]
    port: u16,

    /// Keep the sessions in this file instead of in memory.
    #[arg(long, value_name = "FILE", conflicts_with = "endpoint")]
    data: Option<PathBuf>,

    /// Serve the embedded DynamoDB on this port too, for other programs; 0 picks a free one.
    #[arg(long, value_name = "N")]
    dynamodb_port: Option<u16>,

    /// Serve the API of the SAM template in this folder too, behind the authorizer; its functions must be in Python.
    #[arg(long, value_name = "FOLDER")]
    protect: Option<PathBuf>,

    /// Use the DynamoDB at this URL instead of the embedded one, for example DynamoDB Local at http://localhost:8000.
    #[arg(long, value_name = "URL", conflicts_with = "dynamodb_port")]
    endpoint: Option<String>,

    #[command(subcommand)]
    table: Option<TableCommand>,
}

#[derive(Subcommand)]
enum TableCommand {
    /// Commands for a session table: create it, check it, look at sessions and end them. `table --help` lists them.
    #[command(disable_help_flag = true)]
    Table {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        arguments: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if let Some(TableCommand::Table { arguments }) = arguments.table.take() {
        return commands::main(["table".to_owned()].into_iter().chain(arguments)).await;
    }
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", dynamodb_web_session::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), BoxError> {
    let config = Config { endpoint_url: arguments.endpoint.clone(), ..Config::from_env()? };
    config.validate()?;
    let mut settings = Settings::from_env()?;
    if std::env::var_os("SESSION_LOG_LEVEL").is_none() {
        settings.log_level = LevelFilter::DEBUG; // so that the page has a line for each load
    }
    let recent_log = RecentLog::default();
    let recent = recent_log.clone();
    log::to(&config.table_name, settings.log_level, move |line| {
        recent.keep(line);
        // A closed terminal does not stop the server.
        let _ = std::io::stderr().write_all(line.as_bytes());
    });
    let transport = settings.id_transport;
    let template = Template::load()?;
    let protected = arguments.protect.as_deref().map(ProtectedApi::load).transpose()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port))
        .await
        .map_err(|error| format!("cannot serve on port {}: {error}; try --port 0", arguments.port))?;
    let address = format!("http://localhost:{}", listener.local_addr()?.port());

    let endpoint = match arguments.endpoint {
        Some(url) => url,
        None => embedded::start(arguments.data.as_deref()).await?,
    };
    let shown = match arguments.dynamodb_port {
        Some(port) => embedded::serve_programs_only(&endpoint, port).await?,
        None => endpoint.clone(),
    };
    let client = embedded::client(&endpoint).await?;
    create_table(&client, &config.table_name).await.map_err(|error| {
        let causes = dynamodb_web_session::chain(&error);
        format!("cannot create table {} at {endpoint}: {causes}", config.table_name)
    })?;
    let page = Page::new(client.clone(), config.table_name.clone(), recent_log);
    let service = SessionService { sessions: SessionManager::new(client, config)?, settings };
    let routes = protected.as_ref().map(ProtectedApi::routes).unwrap_or_default();
    let gateway = Gateway::new(template, service)?.with_page(page).with_protected(protected);

    println!("{address}/session is ready (DynamoDB at {shown}).");
    println!("See it at {address}/ or try, in another terminal:\n");
    println!("{}", examples(&address, transport));
    for route in routes {
        println!("Behind the authorizer, unless its template says otherwise: {route}");
    }
    gateway.serve(listener, commands::stopped()?).await?;
    println!("stopped");
    Ok(())
}

fn examples(address: &str, transport: IdTransport) -> String {
    match transport {
        IdTransport::Header => format!(
            "curl -X POST {address}/session -H 'content-type: application/json' -d '{{\"data\":{{\"fruit\":\"apple\"}}}}'\n\
             curl {address}/session -H 'x-session-id: PASTE_THE_SESSION_ID'\n\
             curl -X DELETE {address}/session -H 'x-session-id: PASTE_THE_SESSION_ID' -i\n"
        ),
        IdTransport::Cookie => format!(
            "curl -X POST {address}/session -i -H 'sec-fetch-site: same-origin'\n\
             curl {address}/session -H 'cookie: __Host-id=PASTE_THE_COOKIE'\n\
             curl -X DELETE {address}/session -H 'cookie: __Host-id=PASTE_THE_COOKIE' -H 'sec-fetch-site: same-origin' -i\n"
        ),
    }
}
