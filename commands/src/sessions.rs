//! Commands for the sessions in the table.

use std::io::BufRead;

use dynamodb_web_session::{BoxError, LoggableId, SessionId, Subject};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::{Answer, Connected};

pub(crate) async fn show(connected: &Connected, mut input: impl BufRead) -> Result<Answer, BoxError> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let id: SessionId = line.trim().parse()?;
    let session =
        connected.sessions()?.peek::<Box<RawValue>>(&id).await?.ok_or("there is no such session")?;
    let subject = session.subject().map(|subject| subject.as_str().to_owned());
    let shown = json!({
        "loggable_session_id": session.loggable_id().as_str(),
        "subject": subject,
        "created": session.created().to_string(),
        "idle_until": session.idle_deadline().to_string(),
        "ends": session.absolute_deadline().to_string(),
        "etag": session.etag().as_str(),
    });
    let mut text: Vec<_> = shown
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name:20} {}", value.as_str().unwrap_or("none")))
        .collect();
    text.push(format!("{:20} {}", "data", session.data));
    let mut shown = shown;
    shown["data"] = serde_json::from_str(session.data.get())?;
    Ok(Answer::new(text.join("\n"), shown))
}

pub(crate) async fn list(connected: &Connected, subject: &str) -> Result<Answer, BoxError> {
    let subject: Subject = subject.parse()?;
    let listed = connected.sessions()?.sessions_of(&subject).await?;
    let sessions: Vec<Value> = listed
        .iter()
        .map(|session| {
            json!({
                "loggable_session_id": session.loggable_id.as_str(),
                "created": session.created.to_string(),
                "last_used": session.last_used.to_string(),
                "expires": session.expires.to_string(),
            })
        })
        .collect();
    let mut lines = vec![format!("{} sessions of {}", listed.len(), subject.as_str())];
    lines.extend(listed.iter().map(|session| {
        format!(
            "{}  created {}  last used {}  expires {}",
            session.loggable_id, session.created, session.last_used, session.expires
        )
    }));
    Ok(Answer::new(lines.join("\n"), json!({ "subject": subject.as_str(), "sessions": sessions })))
}

pub(crate) async fn revoke(connected: &Connected, session: &str) -> Result<Answer, BoxError> {
    let id: LoggableId = session.parse()?;
    connected.sessions()?.revoke(&id).await?;
    Ok(Answer::new("The session has ended.", json!({ "loggable_session_id": id.as_str() })))
}

pub(crate) async fn revoke_all(
    connected: &Connected,
    subject: &str,
    except: Option<&str>,
) -> Result<Answer, BoxError> {
    let subject: Subject = subject.parse()?;
    let except: Option<LoggableId> = except.map(str::parse).transpose()?;
    connected.sessions()?.revoke_all(&subject, except.as_ref()).await?;
    let all = if except.is_some() { "All other sessions" } else { "All sessions" };
    let text = format!("{all} of {} have ended.", subject.as_str());
    Ok(Answer::new(text, json!({ "subject": subject.as_str(), "except": except.map(|id| id.to_string()) })))
}
