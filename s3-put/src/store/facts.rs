//! What is known of a failed request, taken out of the SDK's error.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// How far a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It never left: no connection.
    Connect,
    /// It may have been executed: reset, time-out, half an answer.
    Sent,
    /// It could not be built: credentials, key, a bug.
    Build,
    /// The server has answered.
    Answered,
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub stage: Stage,
    /// HTTP status; 0 when there was no answer.
    pub status: u16,
    /// S3's error code, as NoSuchKey; empty when the answer had none.
    pub code: String,
    pub message: String,
    /// x-amz-bucket-region.
    pub region: Option<String>,
    pub location: Option<String>,
    /// The server's Date header.
    pub date: Option<String>,
    /// No credentials were found by the chain.
    pub no_credentials: bool,
}

impl Facts {
    /// A request of which nothing moved for too long.
    pub fn stalled(message: String) -> Self {
        Self {
            stage: Stage::Sent,
            status: 0,
            code: String::new(),
            message,
            region: None,
            location: None,
            date: None,
            no_credentials: false,
        }
    }

    pub fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let text = chain(error);
        let stage = match error {
            SdkError::ConstructionFailure(_) => Stage::Build,
            SdkError::DispatchFailure(failure) if failure.is_user() => Stage::Build,
            // The connector says "other" of an answer that ends too early or is no HTTP.
            SdkError::DispatchFailure(_) if no_credentials(error) => Stage::Build,
            SdkError::DispatchFailure(_) if never_connected(&text) => Stage::Connect,
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
                Stage::Sent
            }
            _ => Stage::Answered,
        };
        let meta = error.as_service_error().map(ProvideErrorMetadata::meta);
        let raw = error.raw_response();
        let header = |name: &str| raw.and_then(|r| r.headers().get(name)).map(str::to_owned);
        let body = raw.and_then(|r| r.body().bytes()).map(String::from_utf8_lossy).unwrap_or_default();
        let said = meta.and_then(|m| m.message()).map(str::to_owned);
        Self {
            stage,
            status: raw.map_or(0, |r| r.status().as_u16()),
            code: meta
                .and_then(|m| m.code())
                .map(str::to_owned)
                .or_else(|| element(&body, "Code"))
                .unwrap_or_default(),
            message: said.or_else(|| element(&body, "Message")).unwrap_or(text),
            region: header("x-amz-bucket-region").or_else(|| element(&body, "Region")),
            location: header("location"),
            date: header("date"),
            no_credentials: no_credentials(error),
        }
    }
}

/// An error and its causes in one line; those that say nothing new are left out.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let (mut text, mut next) = (String::new(), Some(error));
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = if text.is_empty() { words } else { format!("{text}: {words}") };
        }
        next = cause.source();
    }
    text
}

/// "connection reset" is something else.
fn never_connected(text: &str) -> bool {
    ["tcp connect", "dns error", "error (Connect)", "connect timeout"]
        .iter()
        .any(|words| text.contains(words))
}

fn no_credentials<E: std::error::Error + 'static>(error: &SdkError<E, HttpResponse>) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if text.contains("credentials provider was not enabled")
            || text.contains("no providers in chain provided credentials")
            || text.contains("failed to load credentials")
        {
            return true;
        }
        next = cause.source();
    }
    false
}

/// The text of one element of an error document, which has no attributes and no nesting in what we look for.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    (!text.is_empty()).then(|| text.to_owned())
}
