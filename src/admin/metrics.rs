//! What is counted elsewhere, gathered when somebody asks for it: `/metrics`, as OpenMetrics.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use crate::{
    admin::Shown,
    grpc::MethodCalls,
    pkcs11::{Health, Token},
};

/// `OpenMetrics` 1.0, which Prometheus asks for first.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics; their names begin with `chancery_`.
pub(super) fn registry(shown: Shown) -> Registry {
    let mut registry = Registry::with_prefix("chancery");
    registry.register_collector(Box::new(All(shown)));
    registry
}

/// The text of `/metrics`.
pub(super) fn text(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    text::encode(&mut text, registry)?;
    Ok(text)
}

struct All(Shown);

impl fmt::Debug for All {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("All")
    }
}

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.tokens(&mut encoder)?;
        self.connections(&mut encoder)?;
        self.calls(&mut encoder)?;
        self.audit(&mut encoder)?;
        let refused = self.0.signer.policy_trouble().is_some();
        let metric = encoder.encode_descriptor(
            "policy_file_refused",
            "Whether the policy file is refused, and the policy before it in force: 1 or 0.",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(u64::from(refused)).encode(metric)?;
        let metric = encoder.encode_descriptor(
            "policy_denials",
            "Requests that no rule of the policy allows.",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(self.0.signer.denials()).encode(metric)?;
        counter(
            &mut encoder,
            "quota_refusals",
            "Requests refused because a quota of the policy is used up, by quota and the limit that was reached.",
            self.0
                .signer
                .quota_refusals()
                .into_iter()
                .map(|(quota, kind, count)| {
                    (
                        [
                            ("quota", quota.to_string()),
                            ("kind", kind.name().to_owned()),
                        ],
                        count,
                    )
                }),
        )
    }
}

impl All {
    fn tokens(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let tokens = self.0.signer.tokens();
        let each = |value: fn(&Token) -> u64| {
            let one = move |token: &Arc<Token>| {
                ([("token", token.name().as_str().to_owned())], value(token))
            };
            tokens.iter().map(one).collect::<Vec<_>>()
        };
        gauge(
            encoder,
            "token_up",
            "Whether the token serves: 1 or 0.",
            each(|token| u64::from(*token.health().borrow() == Health::Ready)),
        )?;
        gauge(
            encoder,
            "token_keys",
            "Usable keys in the token, whatever their versions.",
            each(|token| token.keys().iter().count() as u64),
        )?;
        gauge(
            encoder,
            "token_queue_length",
            "Operations that wait for the token.",
            each(|token| token.counters().queue_length.load(Ordering::Relaxed) as u64),
        )?;
        counter(
            encoder,
            "token_queue_refusals",
            "Operations refused because too many were waiting.",
            each(|token| token.counters().queue_refusals.load(Ordering::Relaxed)),
        )?;
        counter(
            encoder,
            "token_worker_starts",
            "Worker processes that came up.",
            each(|token| token.counters().worker_starts.load(Ordering::Relaxed)),
        )?;
        counter(
            encoder,
            "token_worker_start_failures",
            "Worker processes that did not come up.",
            each(|token| {
                let counters = token.counters();
                counters.worker_start_failures.load(Ordering::Relaxed)
            }),
        )?;
        counter(
            encoder,
            "token_worker_hangs",
            "Worker processes killed because an operation hung.",
            each(|token| token.counters().worker_hangs.load(Ordering::Relaxed)),
        )?;
        counter(
            encoder,
            "token_worker_losses",
            "Worker processes that died, or were ended because the token failed.",
            each(|token| token.counters().worker_losses.load(Ordering::Relaxed)),
        )
    }

    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let door = self.0.endpoint.counters();
        let metric = encoder.encode_descriptor(
            "tls_connections_active",
            "Connections that there are now.",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(door.active()).encode(metric)?;
        counter(
            encoder,
            "tls_connections",
            "Connections that came, by what became of them.",
            [
                ([("outcome", "accepted")], door.accepted()),
                ([("outcome", "handshake_failed")], door.handshake_failures()),
                ([("outcome", "shed")], door.shed()),
            ],
        )?;
        if let Some(at) = self.0.endpoint.certificate_not_after() {
            let metric = encoder.encode_descriptor(
                "tls_certificate_not_after_seconds",
                "When the server's certificate expires, in seconds since 1970.",
                None,
                MetricType::Gauge,
            )?;
            ConstGauge::new(at).encode(metric)?;
        }
        Ok(())
    }

    fn audit(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let signer = &self.0.signer;
        let Some(audit) = signer.audit() else {
            return Ok(());
        };
        let (checkpoints, waits) = (signer.checkpoints(), signer.audit_waits());
        let none: [(&str, &str); 0] = [];
        gauge(
            encoder,
            "audit_up",
            "Whether the audit log is written: 1 or 0. At 0 nothing is signed.",
            [(none, u64::from(signer.audit_fault().is_none()))],
        )?;
        counter(
            encoder,
            "audit_records",
            "Records of the audit log that are durable, from its beginning.",
            [(none, audit.durable())],
        )?;
        gauge(
            encoder,
            "audit_checkpoint_age_seconds",
            "How long ago the last checkpoint of the audit log was signed; without one, since the start.",
            [(none, checkpoints.age().as_secs())],
        )?;
        counter(
            encoder,
            "audit_checkpoint_failures",
            "Checkpoints that the token did not sign.",
            [(none, checkpoints.failed())],
        )?;
        let buckets: Vec<_> = waits.buckets().collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder
            .encode_descriptor(
                "audit_durable_seconds",
                "How long calls waited for their records to be durable.",
                None,
                MetricType::Histogram,
            )?
            .encode_histogram::<[(&str, &str); 0]>(
                waits.total().as_secs_f64(),
                count,
                &buckets,
                None,
            )
    }

    fn calls(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let methods = self.0.calls.methods();
        let by_code = |method: &MethodCalls| {
            let name = method.name().to_owned();
            method
                .ended()
                .map(move |(code, count)| {
                    ([("method", name.clone()), ("code", code.to_owned())], count)
                })
                .collect::<Vec<_>>()
        };
        counter(
            encoder,
            "rpc_requests",
            "Calls that have ended, by method and gRPC code; CANCELLED are those whose caller had gone.",
            methods.iter().flat_map(by_code),
        )?;
        let mut metric = encoder.encode_descriptor(
            "rpc_duration_seconds",
            "How long calls took, from their headers to the end of the answer.",
            None,
            MetricType::Histogram,
        )?;
        for method in methods {
            let buckets: Vec<_> = method.durations().collect();
            let count = buckets.iter().map(|(_, count)| count).sum();
            let sum = method.total_duration().as_secs_f64();
            metric
                .encode_family(&[("method", method.name())])?
                .encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

type Labels<N, const L: usize> = [(&'static str, N); L];

fn counter<N: AsRef<str>, const L: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels<N, L>, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        let labels = labels
            .each_ref()
            .map(|(name, value)| (*name, value.as_ref()));
        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauge<N: AsRef<str>, const L: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels<N, L>, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        let labels = labels
            .each_ref()
            .map(|(name, value)| (*name, value.as_ref()));
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
