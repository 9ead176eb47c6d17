//! Failures as problem details (RFC 9457). A client cannot take one for an answer.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::protocol::{ErrorCode, Failure};
use crate::server::content::NoAnswer;
use crate::server::metrics::Told;

pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Why there is no answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// What sort of problem it is, for programs: `urn:hashward:problem:` and the sort.
    #[serde(rename = "type")]
    kind: String,
    /// The same in words.
    title: String,
    /// The status of the response.
    status: u16,
    /// What was expected, what was found, and what to do.
    detail: String,
    #[serde(skip)]
    retry_after_s: Option<u64>,
    /// As what it is counted.
    #[serde(skip)]
    told: Told,
}

impl Problem {
    fn new(status: StatusCode, title: &str, detail: impl Into<String>, told: Told) -> Problem {
        let kind = format!("urn:hashward:problem:{}", title.replace(' ', "-"));
        let (title, status, detail) = (title.to_owned(), status.as_u16(), detail.into());
        Problem { kind, title, status, detail, retry_after_s: None, told }
    }

    /// What was asked is not what this API says.
    pub(super) fn malformed(detail: impl Into<String>) -> Problem {
        Failure::new(ErrorCode::Malformed, detail).into()
    }

    /// There is no room now.
    pub(super) fn busy(detail: impl Into<String>) -> Problem {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail, Told::Busy);
        Problem { retry_after_s: Some(1), ..problem }
    }

    /// What HTTP itself has a status and a name for.
    pub(super) fn of(status: StatusCode, detail: &str) -> Problem {
        let title = status.canonical_reason().expect("a status that has a name").to_lowercase();
        Problem::new(status, &title, detail, Told::Failure(ErrorCode::Malformed))
    }

    /// As what it is counted.
    pub(super) fn told(&self) -> Told {
        self.told
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        let status = match failure.code {
            ErrorCode::Malformed | ErrorCode::Unsupported => StatusCode::BAD_REQUEST,
            ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::Forbidden => StatusCode::FORBIDDEN,
            ErrorCode::Refused => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::Internal | ErrorCode::Damaged => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Timeout => StatusCode::REQUEST_TIMEOUT,
            ErrorCode::Conflict => StatusCode::CONFLICT,
            ErrorCode::OverBudget => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorCode::Gone => StatusCode::GONE,
        };
        let problem = Problem::new(status, failure.code.name(), failure.text, Told::Failure(failure.code));
        // In whole seconds, and never before there is room.
        let retry_after_s = failure.retry_after_ms.map(|after| after.div_ceil(1_000).max(1));
        Problem { retry_after_s, ..problem }
    }
}

impl From<NoAnswer> for Problem {
    fn from(none: NoAnswer) -> Problem {
        match none {
            NoAnswer::Failed(failure) => failure.into(),
            NoAnswer::Busy(text) => Problem::busy(text),
        }
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Problem {
        Problem::malformed(rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Problem {
        Problem::malformed(rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("made from a status");
        let body = serde_json::to_vec(&self).expect("a problem is plain data");
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        response.extensions_mut().insert(self.told);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
