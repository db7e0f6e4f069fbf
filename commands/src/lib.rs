//! The commands for a session table. The packages for Python and Node and `cargo run` have them from here, so that their words, their
//! JSON and their exit codes are the same.

mod check;
mod sessions;

use std::path::PathBuf;
use std::process::ExitCode;

use aws_config::Region;
use aws_sdk_dynamodb::Client;
use clap::{Args, Parser, Subcommand};
use dynamodb_web_session::{
    BoxError, Config, ConfigError, SessionManager, aws_defaults, chain, create_table,
};
use serde_json::{Value, json};

/// Commands for a session table in DynamoDB.
///
/// The settings (SESSION_TABLE_NAME and so on) are environment variables; credentials and Region are found as the AWS CLI finds them.
/// The exit code is 0 when all is well, 1 when it is not, and 2 when the arguments are wrong.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    table: Table,
    #[command(subcommand)]
    command: Command,
}

/// Which table, and how the answer is printed.
#[derive(Args)]
struct Table {
    /// The table's name or ARN, in place of SESSION_TABLE_NAME.
    #[arg(long, global = true, value_name = "NAME")]
    table: Option<String>,
    /// The Region, in place of AWS_REGION.
    #[arg(long, global = true)]
    region: Option<String>,
    /// The DynamoDB endpoint, in place of AWS_ENDPOINT_URL_DYNAMODB.
    #[arg(long, global = true, value_name = "URL")]
    endpoint: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Create the table with its TTL attribute, unless it exists.
    CreateTable,
    /// Look at the table and at what these credentials may do. It changes nothing.
    Check,
    /// Show a session. Its ID comes from the standard input, because other users of this machine see arguments.
    Show,
    /// List the sessions of a subject, without their IDs.
    Sessions {
        /// Whose sessions.
        #[arg(long)]
        subject: String,
    },
    /// End one session, or all of a subject.
    Revoke {
        /// The loggable ID of one session, from a log or from `sessions`.
        #[arg(required_unless_present = "subject", conflicts_with = "subject", value_name = "LOGGABLE_ID")]
        session: Option<String>,
        /// Whose sessions.
        #[arg(long)]
        subject: Option<String>,
        /// The loggable ID of a session of the subject that goes on.
        #[arg(long, requires = "subject", value_name = "LOGGABLE_ID")]
        except: Option<String>,
    },
    /// Serve an embedded DynamoDB with the session table on this machine, for development and tests.
    Local {
        /// The port on 127.0.0.1; 0 picks a free one.
        #[arg(long, default_value_t = 8010)]
        port: u16,
        /// Keep the sessions in this file instead of in memory.
        #[arg(long, value_name = "FILE")]
        data: Option<PathBuf>,
    },
}

/// What a command has to say: to a person, and as JSON.
struct Answer {
    text: String,
    json: Value,
    is_well: bool,
}

impl Answer {
    fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, is_well: true }
    }
}

/// Runs a command with these arguments, the first of which is the program's name. It prints, and returns the exit code.
pub async fn run(arguments: impl IntoIterator<Item = String>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // `--help` is such an error too. When nobody reads, there is nobody to tell.
            drop(error.print());
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let as_json = arguments.table.json;
    match execute(arguments).await {
        Ok(answer) => {
            match as_json {
                true => println!("{:#}", answer.json),
                false => println!("{}", answer.text),
            }
            u8::from(!answer.is_well)
        }
        Err(error) => {
            eprintln!("error: {}", chain(error.as_ref()));
            1
        }
    }
}

/// As [`run`], for a program that has no runtime.
///
/// # Errors
/// The operating system refuses a thread.
pub fn run_blocking(arguments: impl IntoIterator<Item = String>) -> std::io::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(run(arguments)))
}

/// As [`run`], for `main`.
pub async fn main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    ExitCode::from(run(arguments).await)
}

/// What [`Command::Check`] finds for these settings: a JSON array of objects with `name`, `state` (`ok`, `wrong`, `not known`) and
/// `detail`.
pub async fn findings(config: Config) -> String {
    let findings = match Connected::with(config).await {
        Ok(connected) => check::findings(&connected).await,
        Err(error) => vec![check::wrong("settings", chain(&error))],
    };
    check::json(&findings).to_string()
}

/// The table, and the client for it.
pub(crate) struct Connected {
    client: Client,
    config: Config,
}

impl Connected {
    async fn to(table: Table) -> Result<Self, BoxError> {
        let mut config = Config::from_env()?;
        if let Some(name) = table.table {
            config.table_name = name;
        }
        (config.endpoint_url, config.region) = (table.endpoint, table.region);
        config.validate()?;
        Ok(Self::with(config).await?)
    }

    async fn with(config: Config) -> Result<Self, ConfigError> {
        let mut loader = aws_defaults()?;
        if let Some(region) = &config.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let aws = loader.load().await;
        if aws.region().is_none() {
            return Err(ConfigError {
                variable: "AWS_REGION".into(),
                accepted: "an AWS Region, such as us-east-1".into(),
                given: "neither set nor in the profile".into(),
            });
        }
        let mut client = aws_sdk_dynamodb::config::Builder::from(&aws);
        if let Some(url) = &config.endpoint_url {
            client = client.endpoint_url(url);
        }
        Ok(Self { client: Client::from_conf(client.build()), config })
    }

    fn sessions(&self) -> Result<SessionManager, BoxError> {
        Ok(SessionManager::new(self.client.clone(), self.config.clone())?)
    }

    fn name(&self) -> &str {
        &self.config.table_name
    }
}

async fn execute(Arguments { table, command }: Arguments) -> Result<Answer, BoxError> {
    if let Command::Local { port, data } = command {
        return local(port, data, table).await;
    }
    let connected = Connected::to(table).await?;
    match command {
        Command::CreateTable => {
            create_table(&connected.client, connected.name()).await?;
            let name = connected.name();
            Ok(Answer::new(format!("The table {name} is there."), json!({ "table": name })))
        }
        Command::Check => Ok(check::check(&connected).await),
        Command::Show => sessions::show(&connected, std::io::stdin().lock()).await,
        Command::Sessions { subject } => sessions::list(&connected, &subject).await,
        Command::Revoke { session: Some(session), .. } => sessions::revoke(&connected, &session).await,
        Command::Revoke { subject, except, .. } => {
            sessions::revoke_all(&connected, &subject.unwrap_or_default(), except.as_deref()).await
        }
        Command::Local { .. } => Err("served above".into()),
    }
}

async fn local(port: u16, data: Option<PathBuf>, table: Table) -> Result<Answer, BoxError> {
    let name = match table.table {
        Some(name) => name,
        None => Config::from_env()?.table_name,
    };
    let url = embedded::serve(port, data.as_deref(), &name).await?;
    let stopped = stopped()?; // before anybody reads that it is ready, and may stop it
    println!(
        "DynamoDB with the table {name} is ready. Let your application use it:\n\n\
         export AWS_ENDPOINT_URL_DYNAMODB={url}\n\
         export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_REGION=us-east-1"
    );
    stopped.await;
    Ok(Answer::new("stopped", json!({ "stopped": true })))
}

/// Completes at Ctrl-C, or at the signal that ends a service (SIGTERM, which Windows does not have). It takes the signals from
/// the call on, before it is awaited.
///
/// # Errors
/// The signal cannot be waited for.
pub fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let (mut interrupted, mut terminated) = {
        use tokio::signal::unix::{SignalKind, signal};
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    #[cfg(windows)]
    let mut interrupted = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        #[cfg(windows)]
        interrupted.recv().await;
    })
}
