//! HTTP messages of the wire as schemes see them, and back: split and joined, never decoded or encoded anew.

use std::borrow::Cow;

use tonic::Status;

use crate::{
    grpc::status::{invalid, status},
    proto::v1,
    scheme::{MAX_BODY, Message, Signed},
};

/// A URL, or what stands in a request line, in its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Target<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: Option<&'a str>,
    query: Option<&'a str>,
}

/// A request, as schemes see it. What it leaves empty is not there.
pub(super) fn request(asked: Option<&v1::HttpRequest>) -> Result<Message<'_>, Status> {
    let asked = asked.ok_or_else(|| {
        invalid(
            "HTTP_MESSAGE_MISSING",
            "`request` is not set; set the HTTP request that is meant",
        )
    })?;
    Ok(Message {
        headers: headers(&asked.headers)?,
        body: body(&asked.body)?,
        ..line(asked)?
    })
}

/// A response, as schemes see it: with request line and headers of what it answers, if that is given.
pub(super) fn response<'a>(
    asked: Option<&'a v1::HttpResponse>,
    answered: Option<&'a v1::HttpRequest>,
) -> Result<Message<'a>, Status> {
    let asked = asked.ok_or_else(|| {
        invalid(
            "HTTP_MESSAGE_MISSING",
            "`response` is not set; set the HTTP response that is meant",
        )
    })?;
    let status = u16::try_from(asked.status_code)
        .ok()
        .filter(|status| (100..600).contains(status))
        .ok_or_else(|| {
            invalid(
                "HTTP_STATUS_INVALID",
                format!(
                    "`status_code` is {}; expected 100 to 599",
                    asked.status_code
                ),
            )
        })?;
    Ok(Message {
        status: Some(status),
        headers: headers(&asked.headers)?,
        request_headers: answered.map_or_else(|| Ok(Vec::new()), |one| headers(&one.headers))?,
        body: body(&asked.body)?,
        ..answered.map_or_else(|| Ok(Message::default()), line)?
    })
}

/// The request with everything in place that its scheme has set.
pub(super) fn signed_request(asked: v1::HttpRequest, signed: &mut Signed) -> v1::HttpRequest {
    let target = Target::of(&asked.url).unwrap_or_default();
    let url = match target.query == signed.query.as_deref() {
        true => asked.url,
        false => target.with_query(signed.query.as_deref()),
    };
    v1::HttpRequest {
        method: asked.method,
        url,
        headers: with_headers(asked.headers, &signed.headers),
        body: std::mem::take(&mut signed.body).into(),
    }
}

/// The response with everything in place that its scheme has set.
pub(super) fn signed_response(asked: v1::HttpResponse, signed: &mut Signed) -> v1::HttpResponse {
    v1::HttpResponse {
        status_code: asked.status_code,
        headers: with_headers(asked.headers, &signed.headers),
        body: std::mem::take(&mut signed.body).into(),
    }
}

/// Headers for the wire.
pub(super) fn set_headers(set: &[(String, String)]) -> Vec<v1::HttpHeader> {
    let header = |(name, value): &(String, String)| v1::HttpHeader {
        name: name.clone(),
        value: value.clone(),
    };
    set.iter().map(header).collect()
}

/// What stands in the request line.
fn line(asked: &v1::HttpRequest) -> Result<Message<'_>, Status> {
    let method = asked.method.as_str();
    if method.len() > MAX_METHOD || !method.bytes().all(is_token) {
        return Err(invalid(
            "HTTP_METHOD_INVALID",
            format!(
                "`method` is no method (RFC 9110 section 9.1): expected at most {MAX_METHOD} token characters, such as POST"
            ),
        ));
    }
    let target = Target::of(&asked.url)
        .map_err(|why| invalid("HTTP_URL_INVALID", format!("`url`: {why}")))?;
    Ok(Message {
        method: (!method.is_empty()).then_some(Cow::Borrowed(method)),
        scheme: target.scheme.map(Cow::Borrowed),
        authority: target.authority.map(Cow::Borrowed),
        path: target.path.map(Cow::Borrowed),
        query: target.query.map(Cow::Borrowed),
        ..Message::default()
    })
}

type Header<'a> = (Cow<'a, str>, Cow<'a, [u8]>);

fn headers(asked: &[v1::HttpHeader]) -> Result<Vec<Header<'_>>, Status> {
    if asked.len() > MAX_HEADERS {
        return Err(invalid(
            "TOO_MANY_HEADERS",
            format!("{} headers; expected at most {MAX_HEADERS}", asked.len()),
        ));
    }
    asked.iter().map(header).collect()
}

fn header(asked: &v1::HttpHeader) -> Result<Header<'_>, Status> {
    let (name, value) = (asked.name.as_str(), asked.value.as_str());
    let wrong = |why: String| Err(invalid("HTTP_HEADER_INVALID", why));
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_token) {
        return wrong(format!(
            "{:?} is no header's name (RFC 9110 section 5.1): expected 1 to {MAX_NAME} token characters",
            shown(name)
        ));
    }
    if value.len() > MAX_VALUE {
        return wrong(format!(
            "the value of {name} has {} bytes; expected at most {MAX_VALUE}",
            value.len()
        ));
    }
    // RFC 9110 section 5.5: a line end or NUL in a value would be another header, or the end of one.
    if value
        .bytes()
        .any(|byte| byte != b'\t' && byte.is_ascii_control())
    {
        return wrong(format!(
            "the value of {name} has control characters in it, such as a line end"
        ));
    }
    if value.trim_matches([' ', '\t']).len() != value.len() {
        return wrong(format!(
            "the value of {name} has white space around it, which is no part of it; take it away"
        ));
    }
    Ok((Cow::Borrowed(name), Cow::Borrowed(value.as_bytes())))
}

fn body(asked: &[u8]) -> Result<Cow<'_, [u8]>, Status> {
    if asked.len() > MAX_BODY {
        return Err(status(
            tonic::Code::InvalidArgument,
            "BODY_TOO_LARGE",
            format!(
                "the body has {} bytes; expected at most {MAX_BODY}",
                asked.len()
            ),
            [("limit", MAX_BODY.to_string())],
        ));
    }
    Ok(Cow::Borrowed(asked))
}

/// One header of each name that is set, behind those that stay.
fn with_headers(mut headers: Vec<v1::HttpHeader>, set: &[(String, String)]) -> Vec<v1::HttpHeader> {
    headers.retain(|header| {
        !set.iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(&header.name))
    });
    headers.extend(set_headers(set));
    headers
}

impl<'a> Target<'a> {
    fn of(url: &'a str) -> Result<Self, String> {
        if url.is_empty() {
            return Ok(Self::default());
        }
        if url.len() > MAX_URL {
            return Err(format!(
                "it has {} bytes; expected at most {MAX_URL}",
                url.len()
            ));
        }
        if url
            .bytes()
            .any(|byte| byte == b' ' || byte.is_ascii_control())
        {
            return Err("a space or control character is in it; percent-encode it".to_owned());
        }
        if url.contains('#') {
            return Err("a fragment, from # on, is never sent; leave it out".to_owned());
        }
        if url.starts_with('/') {
            return Ok(Self::default().with_target(url));
        }
        let expected = "expected https://host/path?query, or /path?query";
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(expected.to_owned());
        };
        if !["http", "https"]
            .iter()
            .any(|one| one.eq_ignore_ascii_case(scheme))
        {
            return Err(expected.to_owned());
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.is_empty() || authority.contains(['@', '\\']) {
            return Err(format!("{expected}; a host, and no user's name before it"));
        }
        Ok(Self {
            scheme: Some(scheme),
            authority: Some(authority),
            ..Self::default().with_target(target)
        })
    }

    fn with_target(self, target: &'a str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Self {
            // What is sent for an empty path (RFC 9112 section 3.2.1).
            path: Some(if path.is_empty() { "/" } else { path }),
            query,
            ..self
        }
    }

    fn with_query(self, query: Option<&str>) -> String {
        let mut url = String::new();
        if let (Some(scheme), Some(authority)) = (self.scheme, self.authority) {
            url = format!("{scheme}://{authority}");
        }
        url += self.path.unwrap_or_default();
        if let Some(query) = query {
            url.push('?');
            url += query;
        }
        url
    }
}

/// RFC 9110 section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

const MAX_METHOD: usize = 32;
const MAX_URL: usize = 64 * 1024;
/// Servers of HTTP take about a hundred.
const MAX_HEADERS: usize = 256;
const MAX_NAME: usize = 256;
const MAX_VALUE: usize = 64 * 1024;

#[cfg(test)]
mod tests;
