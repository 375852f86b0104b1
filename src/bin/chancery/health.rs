//! `chancery health`: `grpc.health.v1`, a service at a time.

use clap::Args;
use serde_json::{Map, Value};

use chancery::client::{
    Code, Failure,
    health_pb::{HealthCheckRequest, health_check_response::ServingStatus},
};

use crate::{Session, trouble::Trouble};

/// Ask whether the daemon and its token are serving
///
/// Exits with 0 if everything asked for is serving, with 4 if not.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Health {
    /// Services to ask for [default: the daemon as a whole, and each of its services]
    service: Vec<String>,
}

impl Health {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let services = if self.service.is_empty() {
            SERVICES.map(str::to_owned).to_vec()
        } else {
            self.service
        };
        let client = session.client()?;
        let mut health = client.health();
        let mut found = Vec::new();
        for service in services {
            let request = client.request(HealthCheckRequest {
                service: service.clone(),
            });
            let status = match health.check(request).await {
                Ok(response) => response.into_inner().status(),
                Err(status) if status.code() == Code::NotFound => ServingStatus::ServiceUnknown,
                Err(status) => return Err(Failure::from(status).into()),
            };
            found.push((service, status));
        }
        let all = found
            .iter()
            .all(|(_, status)| *status == ServingStatus::Serving);
        if session.global.json {
            let services = found
                .into_iter()
                .map(|(service, status)| (service, Value::from(status.as_str_name())))
                .collect::<Map<_, _>>();
            session
                .streams
                .json(&serde_json::json!({"serving": all, "services": services}))?;
        } else {
            let rows = found
                .into_iter()
                .map(|(service, status)| {
                    let service = if service.is_empty() {
                        "(all)".to_owned()
                    } else {
                        service
                    };
                    vec![service, status.as_str_name().to_owned()]
                })
                .collect();
            session.streams.table(&["service", "status"], rows)?;
        }
        if all {
            Ok(())
        } else {
            Err(Trouble::NotServing)
        }
    }
}

/// The empty name stands for the daemon as a whole.
const SERVICES: [&str; 8] = [
    "",
    "chancery.v1.KeyService",
    "chancery.v1.ApprovalService",
    "chancery.v1.SigningService",
    "chancery.v1.JoseService",
    "chancery.v1.PartnerService",
    "chancery.v1.PlatformService",
    "chancery.v1.AuditService",
];
