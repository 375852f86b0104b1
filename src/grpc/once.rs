//! Calls with a `request_id`: the same one gets the same answer.

use std::sync::Arc;

use prost::Message;
use sha2::{Digest, Sha256};
use tonic::{Response, Status};

use super::{
    Services,
    status::{internal, invalid},
};
use crate::signer::{Call, Error, Identified, Signer};

/// The id of a request, if it has one: 1 to 128 printable ASCII characters.
pub(super) fn identified(
    method: &'static str,
    id: &str,
    message: &impl Message,
) -> Result<Option<Identified>, Status> {
    if id.is_empty() {
        return Ok(None);
    }
    if id.len() > MOST_CHARACTERS || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid(
            "REQUEST_ID_INVALID",
            format!(
                "`request_id` is not 1 to {MOST_CHARACTERS} printable ASCII characters without blanks; a UUID is one"
            ),
        ));
    }
    Ok(Some(Identified {
        method,
        id: id.to_owned(),
        content: Sha256::digest(message.encode_to_vec()).into(),
        signs: None,
    }))
}

impl Services {
    /// Does the work in a task of its own: once, if the request has an id.
    pub(super) fn once<T, F>(
        &self,
        call: Call,
        request: Option<Identified>,
        work: impl FnOnce(Arc<Signer>, Call) -> F + Send + 'static,
    ) -> impl Future<Output = Result<Response<T>, Status>> + Send
    where
        T: Message + Default + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let signer = Arc::clone(&self.signer);
        let deadline = call.deadline;
        // What is moved to the task is small: the work is made in its place.
        self.run(deadline, async move {
            let Some(request) = request else {
                return Ok(Box::pin(work(signer, call)).await?);
            };
            let answer = signer.once(&call, &request, |call| {
                let work = work(Arc::clone(&signer), call);
                async { work.await.map(|answer| answer.encode_to_vec()) }
            });
            let answer = Box::pin(answer).await?;
            T::decode(answer.as_slice())
                .map_err(|_| internal("the answer that was kept can't be read"))
        })
    }
}

const MOST_CHARACTERS: usize = 128;
