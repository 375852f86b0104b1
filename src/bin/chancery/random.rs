//! `chancery random`.

use clap::Args;
use serde_json::json;

use chancery::proto::v1::GenerateRandomRequest;

use crate::{
    Session,
    output::{self, BytesOutput},
    trouble::Trouble,
};

/// Get random bytes from the token's generator
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Random {
    /// How many bytes
    #[arg(value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..=1024))]
    length: i32,
    /// Which token; needed only if the daemon has several
    #[arg(long, value_name = "NAME")]
    token: Option<String>,
    #[command(flatten)]
    output: BytesOutput,
}

impl Random {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        self.output.check(session.streams, session.global.json)?;
        let request = GenerateRandomRequest {
            token: self.token.unwrap_or_default(),
            length: self.length,
        };
        let random = session.client()?.random(request).await?;
        if session.global.json {
            self.output.write_file(session.streams, &random.data)?;
            return session.streams.json(&json!({
                "data": output::base64(&random.data),
                "data_crc32c": random.data_crc32c,
            }));
        }
        self.output.write(session.streams, &random.data)
    }
}
