//! Credentials that outlast the patience of one call: a credential process, SSO or STS may take longer than a call may.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_config::ConfigLoader;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::Notify;

use super::connector::Connections;

/// How long the first call waits for credentials, beside its own time.
const FIRST: Duration = Duration::from_secs(5);

/// The instance metadata is in the same machine, or not there at all.
const METADATA: Duration = Duration::from_millis(500);

/// How long credentials are kept for the call after one that has given up waiting for them.
const KEPT: Duration = Duration::from_secs(60);

/// The SDK's own chain of providers, asked in a task that goes on when the call that waits for it gives up.
#[derive(Clone, Debug)]
pub(super) struct PatientCredentials {
    provider: SharedCredentialsProvider,
    kept: Arc<Mutex<Option<(Instant, Credentials)>>>,
    loaded: Arc<Notify>,
}

impl PatientCredentials {
    /// The default chain. The instance metadata is asked once, briefly.
    pub(super) async fn of_default_chain(connections: Connections) -> Self {
        let config = ProviderConfig::default().with_http_client(connections);
        let metadata = aws_config::imds::Client::builder()
            .configure(&config)
            .connect_timeout(METADATA)
            .read_timeout(METADATA)
            .max_attempts(1)
            .build();
        let chain = DefaultCredentialsChain::builder().configure(config).imds_client(metadata);
        Self::over(chain.build().await)
    }

    fn over(provider: impl ProvideCredentials + 'static) -> Self {
        let provider = SharedCredentialsProvider::new(provider);
        Self { provider, kept: Arc::default(), loaded: Arc::default() }
    }

    /// Uses these credentials, and loads them now: the first call has time for them.
    pub(super) async fn load_first(self, loader: ConfigLoader) -> ConfigLoader {
        // The call itself reports what fails.
        drop(tokio::time::timeout(FIRST, self.load()).await);
        loader.credentials_provider(self)
    }

    async fn load(&self) -> provider::Result {
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        let loaded = self.loaded.notified();
        let this = self.clone();
        let loading = tokio::spawn(async move {
            let credentials = this.provider.provide_credentials().await?;
            *this.kept.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((Instant::now(), credentials.clone()));
            this.loaded.notify_waiters();
            Ok(credentials)
        });
        tokio::select! {
            loaded = loading => loaded.unwrap_or_else(|error| Err(CredentialsError::unhandled(error))),
            () = loaded => self.kept().ok_or_else(|| CredentialsError::unhandled("they have expired")),
        }
    }

    fn kept(&self) -> Option<Credentials> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (loaded, credentials) = kept.as_ref()?;
        let lasts = credentials.expiry().is_none_or(|expiry| expiry > SystemTime::now() + KEPT);
        (lasts && loaded.elapsed() < KEPT).then(|| credentials.clone())
    }
}

impl ProvideCredentials for PatientCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Debug)]
    struct Slow {
        asked: Arc<AtomicUsize>,
        answers: Arc<Notify>,
    }

    impl ProvideCredentials for Slow {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            self.asked.fetch_add(1, Ordering::SeqCst);
            future::ProvideCredentials::new(async {
                self.answers.notified().await;
                Ok(Credentials::new("id", "secret", None, None, "test"))
            })
        }
    }

    #[tokio::test]
    async fn a_call_that_gives_up_does_not_stop_the_loading_of_credentials() {
        let (asked, answers) = (Arc::default(), Arc::new(Notify::new()));
        let slow = Slow { asked: Arc::clone(&asked), answers: Arc::clone(&answers) };
        let credentials = PatientCredentials::over(slow);
        {
            let call = std::pin::pin!(credentials.load());
            tokio::select! {
                biased;
                _ = call => panic!("nobody has answered yet"),
                () = tokio::task::yield_now() => {}
            }
        }
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        answers.notify_one();
        while credentials.kept().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(credentials.load().await.unwrap().access_key_id(), "id");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "the second call has what the first has asked for");
    }
}
