//! Gives the errors that the gRPC library makes itself (an unknown method, a message that is too large or
//! not protobuf) the same details as ours: every error has an `ErrorInfo`. And has a stream that the caller
//! broke off end with an error: the library takes a reset for the end of the stream, and a part of a message
//! would be signed for the whole.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::status::status;

/// The layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompleteStatus;

/// The service that the layer makes.
#[derive(Clone, Debug)]
pub struct Completed<S>(S);

impl<S> Layer<S> for CompleteStatus {
    type Service = Completed<S>;

    fn layer(&self, inner: S) -> Completed<S> {
        Completed(inner)
    }
}

impl<S, R> Service<Request<Body>> for Completed<S>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self
            .0
            .call(request.map(|body| Body::new(body.map_err(broken_off))));
        Box::pin(async move { response.await.map(complete) })
    }
}

/// An error that came as headers alone, without details, gets them.
fn complete<R: Default>(response: Response<R>) -> Response<R> {
    let bare = Status::from_header_map(response.headers())
        .filter(|status| status.code() != Code::Ok && status.details().is_empty());
    let Some(bare) = bare else {
        return response;
    };
    let mut completed = with_details(bare).into_http::<R>();
    completed
        .extensions_mut()
        .extend(response.into_parts().0.extensions);
    completed
}

/// An error of the library's own, with the details that all have.
pub(super) fn with_details(bare: Status) -> Status {
    let (code, reason) = match bare.code() {
        Code::Unimplemented => (Code::Unimplemented, "METHOD_UNKNOWN"),
        Code::OutOfRange | Code::ResourceExhausted => (Code::InvalidArgument, "REQUEST_TOO_LARGE"),
        Code::DeadlineExceeded => (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        Code::Cancelled if bare.message() == TIMEOUT => {
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
        }
        // Reading from a connection that is lost is unknown to tonic; nobody reads this but the metrics.
        Code::Cancelled | Code::Unknown => (Code::Cancelled, "CALLER_GONE"),
        Code::Internal | Code::InvalidArgument => (Code::InvalidArgument, "REQUEST_MALFORMED"),
        other => (other, "PROTOCOL_ERROR"),
    };
    let text = match (bare.message(), reason) {
        ("", "METHOD_UNKNOWN") => "there is no such method".to_owned(),
        (text, _) => text.to_owned(),
    };
    status(code, reason, text, [])
}

/// The one code that the library takes for an end is made another.
fn broken_off(error: Status) -> Status {
    match error.code() {
        Code::Cancelled => Status::unknown("the caller broke the stream off"),
        _ => error,
    }
}

/// What tonic answers at the deadline that the request named.
const TIMEOUT: &str = "Timeout expired";
