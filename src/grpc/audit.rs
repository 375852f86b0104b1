//! AuditService.

use std::ops::Range;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};

use super::{Services, key_name, status::invalid};
use crate::{
    audit::{Filter, Order, Timestamp},
    proto::v1::{self, audit_service_server::AuditService},
    signer::LogRead,
    wire::PartnerResource,
};

mod record;

use record::{checkpoint, describe};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AuditService for Services {
    async fn list_audit_records(
        &self,
        request: Request<v1::ListAuditRecordsRequest>,
    ) -> Answer<v1::ListAuditRecordsResponse> {
        let call = self.call(&request, "AuditService.ListAuditRecords")?;
        let asked = request.into_inner();
        let listing = Wanted::parse(&asked)?;
        let signer = std::sync::Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let read = signer.read_log(&call, move |reader| {
                let (first, end) = (reader.first()?, reader.end()?);
                let range = match listing.rest {
                    Some(rest) => rest.start..rest.end.min(end),
                    None => {
                        let start = listing.start.unwrap_or(first);
                        start..listing.end.unwrap_or(end).min(end)
                    }
                };
                let page =
                    reader.list(range.clone(), listing.order, &listing.filter, listing.most)?;
                let more = !page.rest.is_empty();
                let looked_at = match listing.order {
                    Order::NewestFirst if more => page.rest.end,
                    Order::NewestFirst | Order::OldestFirst => range.start,
                };
                let token = more.then(|| token(&page.rest, &listing.question));
                let records = page.records.iter();
                Ok(LogRead {
                    value: v1::ListAuditRecordsResponse {
                        records: records
                            .map(|(record, line)| describe(record, line))
                            .collect(),
                        next_page_token: token.unwrap_or_default(),
                        first_sequence: signed(first),
                    },
                    first: looked_at,
                    shown: page.records.len() as u64,
                })
            });
            Ok(read.await?)
        })
        .await
    }

    async fn get_audit_record(
        &self,
        request: Request<v1::GetAuditRecordRequest>,
    ) -> Answer<v1::GetAuditRecordResponse> {
        let call = self.call(&request, "AuditService.GetAuditRecord")?;
        let number = sequence(&request.get_ref().name)?;
        let signer = std::sync::Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let read = signer.read_log(&call, move |reader| {
                let (record, line, proof) = reader.record(number)?;
                Ok(LogRead {
                    value: v1::GetAuditRecordResponse {
                        record: Some(describe(&record, &line)),
                        inclusion_proof: proof.map(|proof| record::inclusion(&line, &proof)),
                        checkpoint: reader.checkpoint().ok().map(checkpoint),
                    },
                    first: number,
                    shown: 1,
                })
            });
            Ok(read.await?)
        })
        .await
    }

    async fn get_audit_checkpoint(
        &self,
        request: Request<v1::GetAuditCheckpointRequest>,
    ) -> Answer<v1::GetAuditCheckpointResponse> {
        let call = self.call(&request, "AuditService.GetAuditCheckpoint")?;
        let signer = std::sync::Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let vkey = signer.checkpoints().vkey().map(ToString::to_string);
            let read = signer.read_log(&call, move |reader| {
                let (first, end) = (reader.first()?, reader.end()?);
                Ok(LogRead {
                    value: v1::GetAuditCheckpointResponse {
                        checkpoint: reader.checkpoint().ok().map(checkpoint),
                        vkey: vkey.unwrap_or_default(),
                        record_count: signed(end),
                        first_sequence: signed(first),
                    },
                    first: end,
                    shown: 0,
                })
            });
            Ok(read.await?)
        })
        .await
    }

    async fn get_audit_consistency_proof(
        &self,
        request: Request<v1::GetAuditConsistencyProofRequest>,
    ) -> Answer<v1::GetAuditConsistencyProofResponse> {
        let call = self.call(&request, "AuditService.GetAuditConsistencyProof")?;
        let old = u64::try_from(request.get_ref().old_tree_size).unwrap_or_default();
        if old == 0 {
            return Err(invalid(
                "TREE_SIZE_INVALID",
                "`old_tree_size` is not 1 or more: the number of records that the older checkpoint covers",
            ));
        }
        let signer = std::sync::Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let read = signer.read_log(&call, move |reader| {
                let last = reader.checkpoint()?;
                let hashes = reader.consistency(old, last.checkpoint.size)?;
                let bytes = |hash: &crate::audit::Digest| hash.as_bytes().to_vec().into();
                Ok(LogRead {
                    value: v1::GetAuditConsistencyProofResponse {
                        hashes: hashes.iter().map(bytes).collect(),
                        checkpoint: Some(checkpoint(last)),
                    },
                    first: old,
                    shown: 0,
                })
            });
            Ok(read.await?)
        })
        .await
    }
}

/// What is to be listed, checked.
struct Wanted {
    filter: Filter,
    order: Order,
    most: usize,
    start: Option<u64>,
    end: Option<u64>,
    /// Where an earlier page ended.
    rest: Option<Range<u64>>,
    /// What tells these pages from those of another question.
    question: [u8; QUESTION],
}

impl Wanted {
    fn parse(asked: &v1::ListAuditRecordsRequest) -> Result<Self, Status> {
        let most = match asked.page_size {
            0 => 100,
            1.. => asked.page_size.min(1000) as usize,
            _ => {
                return Err(invalid(
                    "PAGE_SIZE_INVALID",
                    format!("`page_size` is {}; expected 0 to 1000", asked.page_size),
                ));
            }
        };
        let order = match v1::AuditOrder::try_from(asked.order) {
            Ok(v1::AuditOrder::Unspecified | v1::AuditOrder::OldestFirst) => Order::OldestFirst,
            Ok(v1::AuditOrder::NewestFirst) => Order::NewestFirst,
            Err(_) => return Err(invalid("AUDIT_FILTER_INVALID", "`order` is not known here")),
        };
        let question = question(asked);
        Ok(Self {
            filter: filter(asked)?,
            order,
            most,
            start: bound("start_sequence", asked.start_sequence)?,
            end: bound("end_sequence", asked.end_sequence)?,
            rest: rest(&asked.page_token, &question)?,
            question,
        })
    }
}

fn filter(asked: &v1::ListAuditRecordsRequest) -> Result<Filter, Status> {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let wrong = |field: &str, error: &dyn std::fmt::Display| {
        invalid("AUDIT_FILTER_INVALID", format!("`{field}`: {error}"))
    };
    let key = match asked.key.as_str() {
        "" => None,
        name => Some(key_name(name)?.to_string()),
    };
    let partner = match asked.partner.as_str() {
        "" => None,
        name => {
            let PartnerResource(partner) =
                name.parse().map_err(|error| wrong("partner", &error))?;
            Some(partner.to_string())
        }
    };
    let operation = text(&asked.operation)
        .map(|text| text.parse().map_err(|error| wrong("operation", &error)))
        .transpose()?;
    Ok(Filter {
        identity: text(&asked.identity),
        key,
        kind: record::kind_from_proto(asked.kind)?,
        partner,
        operation,
        result: record::result_from_proto(asked.result)?,
        since: moment("start_time", asked.start_time)?,
        until: moment("end_time", asked.end_time)?,
    })
}

/// Records are made at whole microseconds, and both bounds are moved up to the next one.
fn moment(field: &str, time: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Status> {
    let Some(time) = time else {
        return Ok(None);
    };
    let nanos = u64::try_from(time.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000);
    let Some(nanos) = nanos else {
        return Err(invalid(
            "AUDIT_FILTER_INVALID",
            format!("`{field}.nanos` is not 0 to 999999999"),
        ));
    };
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    let microseconds = seconds.saturating_mul(1_000_000);
    Ok(Some(Timestamp::from_microseconds(
        microseconds.saturating_add(nanos.div_ceil(1000)),
    )))
}

fn bound(field: &str, number: Option<i64>) -> Result<Option<u64>, Status> {
    number
        .map(|number| {
            u64::try_from(number).map_err(|_| {
                invalid(
                    "AUDIT_FILTER_INVALID",
                    format!("`{field}` is {number}; expected 0 or more"),
                )
            })
        })
        .transpose()
}

fn sequence(name: &str) -> Result<u64, Status> {
    let digits = name.strip_prefix("auditRecords/").unwrap_or_default();
    let canonical = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    let number = canonical.then(|| digits.parse().ok()).flatten();
    number.ok_or_else(|| {
        invalid(
            "AUDIT_RECORD_NAME_INVALID",
            "`name` is not auditRecords/ and a number, such as auditRecords/17",
        )
    })
}

/// A hash of all that decides which records are listed.
fn question(asked: &v1::ListAuditRecordsRequest) -> [u8; QUESTION] {
    let asked = v1::ListAuditRecordsRequest {
        page_size: 0,
        page_token: String::new(),
        ..asked.clone()
    };
    let hash = Sha256::digest(asked.encode_to_vec());
    hash[..QUESTION]
        .try_into()
        .expect("32 bytes are more than that")
}

/// Which records are left, and of which question.
fn token(rest: &Range<u64>, question: &[u8; QUESTION]) -> String {
    let mut bytes = question.to_vec();
    bytes.extend_from_slice(&rest.start.to_be_bytes());
    bytes.extend_from_slice(&rest.end.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rest(token: &str, question: &[u8; QUESTION]) -> Result<Option<Range<u64>>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let range = bytes.as_deref().and_then(|bytes| {
        let bounds = bytes.strip_prefix(question)?;
        let (start, end) = bounds.split_first_chunk::<8>()?;
        let end = <[u8; 8]>::try_from(end).ok()?;
        Some(u64::from_be_bytes(*start)..u64::from_be_bytes(end))
    });
    match range {
        Some(range) => Ok(Some(range)),
        None => Err(invalid(
            "PAGE_TOKEN_INVALID",
            "`page_token` is not one that this service gave for this question: all but `page_size` must stay as it was",
        )),
    }
}

/// A number as the protocol has it; a log of 2^63 records is not possible.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const QUESTION: usize = 16;
