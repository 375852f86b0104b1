//! How many calls of each method there were, how they ended and how long they took.
//!
//! Everything is counted in place, without a lock: the methods are known beforehand, from the descriptors of
//! the services, and what is called by another name is counted as one.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status};
use tower::{Layer, Service};

/// The counts, by method.
#[derive(Debug)]
pub struct Calls {
    methods: Vec<MethodCalls>,
    /// From `/package.Service/Method` to its place.
    places: HashMap<String, usize>,
}

/// The calls of one method.
#[derive(Debug)]
pub struct MethodCalls {
    name: String,
    ended: [AtomicU64; CODES.len()],
    /// How many calls took at most as long as [`BOUNDS`] say but longer than the bound before; the last
    /// is of those that took longer than all.
    durations: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// The layer that counts; outermost, so that it sees what the caller sees.
#[derive(Clone, Debug)]
pub struct CountCalls(pub Arc<Calls>);

/// The service that the layer makes.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    calls: Arc<Calls>,
}

/// A body that knows how its call ended when it is over.
#[derive(Debug)]
pub struct CountedBody<B> {
    inner: B,
    running: Running,
}

/// A call that is under way; counted when this is dropped. As long as nothing else is known, the caller
/// has gone before its end.
#[derive(Debug)]
struct Running {
    calls: Arc<Calls>,
    method: usize,
    started: Instant,
    code: Code,
}

impl Calls {
    /// For the methods of these encoded `FileDescriptorSet`s, and `unknown` for all others.
    ///
    /// # Panics
    ///
    /// If a set can't be decoded: they are part of the program.
    pub fn new(descriptors: &[&[u8]]) -> Self {
        let mut methods = Vec::new();
        let mut places = HashMap::new();
        for set in descriptors {
            let set = FileDescriptorSet::decode(*set).expect("the descriptors that were built in");
            for file in &set.file {
                for service in &file.service {
                    for method in &service.method {
                        let name =
                            format!("{}.{}/{}", file.package(), service.name(), method.name());
                        places.insert(format!("/{name}"), methods.len());
                        methods.push(MethodCalls::new(name));
                    }
                }
            }
        }
        methods.push(MethodCalls::new("unknown".to_owned()));
        Self { methods, places }
    }

    /// Every method, and `unknown` last.
    pub fn methods(&self) -> &[MethodCalls] {
        &self.methods
    }

    fn start(self: &Arc<Self>, path: &str) -> Running {
        Running {
            method: self
                .places
                .get(path)
                .copied()
                .unwrap_or(self.methods.len() - 1),
            calls: Arc::clone(self),
            started: Instant::now(),
            code: Code::Cancelled,
        }
    }
}

impl MethodCalls {
    fn new(name: String) -> Self {
        Self {
            name,
            ended: Default::default(),
            durations: Default::default(),
            nanoseconds: AtomicU64::new(0),
        }
    }

    /// Such as `chancery.v1.SigningService/Sign`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many calls ended with each code that any call ended with, by its name in the specification.
    pub fn ended(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.ended.iter().map(|count| count.load(Ordering::Relaxed));
        CODES
            .into_iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
    }

    /// How many calls took at most so many seconds, but longer than the bound before. The last bound is
    /// infinite.
    pub fn durations(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self
            .durations
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        BOUNDS.into_iter().chain([f64::INFINITY]).zip(counts)
    }

    /// How long all calls together took.
    pub fn total_duration(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }

    fn count(&self, code: Code, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().take_while(|bound| seconds > **bound).count();
        self.ended[code as usize].fetch_add(1, Ordering::Relaxed);
        self.durations[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

impl Running {
    fn see(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.code = status.code();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.calls.methods[self.method].count(self.code, self.started.elapsed());
    }
}

impl<S> Layer<S> for CountCalls {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            calls: Arc::clone(&self.0),
        }
    }
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<CountedBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut running = self.calls.start(request.uri().path());
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            // An error that comes before any message comes as headers alone.
            running.see(response.headers());
            Ok(response.map(|inner| CountedBody { inner, running }))
        })
    }
}

impl<B: Body + Unpin> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.running.see(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The names of the codes, by their numbers (gRPC, "Status codes and their use").
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Seconds. A MAC takes 0.1 ms, an RSA signature a few, a network HSM some tens, a hang some thousands.
const BOUNDS: [f64; 12] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_method_code_and_time() {
        let calls = Arc::new(Calls::new(&[crate::proto::DESCRIPTORS]));
        let find = |name: &str| {
            let found = calls.methods().iter().find(|method| method.name() == name);
            found.unwrap()
        };
        calls.start("/chancery.v1.SigningService/Sign").code = Code::Ok;
        drop(calls.start("/chancery.v1.SigningService/Sign"));
        drop(calls.start("/chancery.v1.SigningService/Sign/"));
        drop(calls.start("/unknown"));

        let sign = find("chancery.v1.SigningService/Sign");
        assert_eq!(
            sign.ended().collect::<Vec<_>>(),
            [("OK", 1), ("CANCELLED", 1)]
        );
        assert_eq!(
            find("unknown").ended().collect::<Vec<_>>(),
            [("CANCELLED", 2)]
        );
        assert_eq!(calls.methods().len(), 46 + 1, "a method was added");

        for (took, bucket) in [
            (0, 0),
            (250, 0),
            (251, 1),
            (10_000_000, 11),
            (10_000_001, 12),
        ] {
            let before: Vec<_> = sign.durations().collect();
            sign.count(Code::DataLoss, Duration::from_micros(took));
            let after: Vec<_> = sign.durations().collect();
            let changed = (0..after.len()).find(|at| after[*at] != before[*at]);
            assert_eq!(changed, Some(bucket), "{took} us");
        }
        assert_eq!(sign.ended().last(), Some(("DATA_LOSS", 5)));
        assert_eq!(sign.durations().last(), Some((f64::INFINITY, 1)));
        assert!(sign.total_duration() > Duration::from_secs(20));
    }
}
