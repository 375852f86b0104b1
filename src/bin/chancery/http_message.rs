//! HTTP messages in files: as they travel in HTTP/1.1, the body to its last byte; or as JSON, or a curl command.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use chancery::proto::v1::{HttpHeader, HttpRequest, HttpResponse};
use serde::Deserialize;

use crate::{Session, arguments, schemes::curl, trouble::Trouble};

/// Reads a request, from stdin if there is no path or it is `-`.
pub(crate) fn request(
    session: &mut Session<'_>,
    path: Option<&Path>,
) -> Result<HttpRequest, Trouble> {
    let bytes = arguments::contents(session.streams, path)?;
    let request = match bytes.trim_ascii_start().first() {
        Some(b'{') => Described::parse(&bytes).map(Described::request),
        _ => parse_request(&bytes),
    };
    request.map_err(|why| wrong(path, &why))
}

/// Reads a response.
pub(crate) fn response(
    session: &mut Session<'_>,
    path: Option<&Path>,
) -> Result<HttpResponse, Trouble> {
    let bytes = arguments::contents(session.streams, path)?;
    let response = match bytes.trim_ascii_start().first() {
        Some(b'{') => Described::parse(&bytes).and_then(Described::response),
        _ => parse_response(&bytes),
    };
    response.map_err(|why| wrong(path, &why))
}

/// Reads the request that a curl command sends.
pub(crate) fn curl_request(session: &mut Session<'_>, path: &Path) -> Result<HttpRequest, Trouble> {
    let bytes = arguments::contents(session.streams, Some(path))?;
    let command = curl::Command::parse(&bytes).map_err(|why| wrong(Some(path), &why))?;
    let query = command
        .query
        .map_or_else(String::new, |query| format!("?{query}"));
    let (scheme, authority, path) = (command.scheme, command.authority, command.path);
    let header = |(name, value)| HttpHeader { name, value };
    Ok(HttpRequest {
        method: command.method,
        url: format!("{scheme}://{authority}{path}{query}"),
        headers: command.headers.into_iter().map(header).collect(),
        body: command.body.into(),
    })
}

/// A message as one JSON object, as `chancery schemes explain` takes it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Described {
    method: String,
    scheme: Option<String>,
    authority: Option<String>,
    path: String,
    query: Option<String>,
    status: Option<i32>,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Described {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    fn headers(headers: BTreeMap<String, String>) -> Vec<HttpHeader> {
        let header = |(name, value)| HttpHeader { name, value };
        headers.into_iter().map(header).collect()
    }

    fn request(self) -> HttpRequest {
        let query = self
            .query
            .map_or_else(String::new, |query| format!("?{query}"));
        let target = format!("{}{query}", self.path);
        HttpRequest {
            method: self.method,
            url: match self.authority {
                None => target,
                Some(authority) => {
                    let scheme = self.scheme.as_deref().unwrap_or("https");
                    format!("{scheme}://{authority}{target}")
                }
            },
            headers: Self::headers(self.headers),
            body: self.body.into(),
        }
    }

    fn response(self) -> Result<HttpResponse, String> {
        Ok(HttpResponse {
            status_code: self.status.ok_or("expected the entry status")?,
            headers: Self::headers(self.headers),
            body: self.body.into(),
        })
    }
}

/// The request as it is sent in HTTP/1.1, but for the headers about its transfer.
pub(crate) fn write_request(request: &HttpRequest) -> Vec<u8> {
    let target = match request.url.split_once("://") {
        None => request.url.as_str(),
        Some((_, rest)) => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
    };
    let slash = if target.starts_with('/') { "" } else { "/" };
    let line = format!("{} {slash}{target} HTTP/1.1\r\n", request.method);
    message(line, &request.headers, &request.body)
}

/// The response as it is sent in HTTP/1.1, but for the headers about its transfer.
pub(crate) fn write_response(response: &HttpResponse) -> Vec<u8> {
    let line = format!("HTTP/1.1 {} \r\n", response.status_code);
    message(line, &response.headers, &response.body)
}

/// `Name: value` lines, as `curl --header @FILE` takes them.
pub(crate) fn write_headers(headers: &[HttpHeader]) -> String {
    let line = |header: &HttpHeader| format!("{}: {}\r\n", header.name, header.value);
    headers.iter().map(line).collect()
}

fn message(line: String, headers: &[HttpHeader], body: &[u8]) -> Vec<u8> {
    let head = line + &write_headers(headers) + "\r\n";
    [head.as_bytes(), body].concat()
}

fn parse_request(bytes: &[u8]) -> Result<HttpRequest, String> {
    let (line, headers, body) = parse(bytes)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), version, None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(
            "the first line is no request line; expected such as `POST /pay HTTP/1.1`".into(),
        );
    };
    if version.is_some_and(|version| !version.starts_with("HTTP/")) {
        return Err("the first line ends in no version; expected such as HTTP/1.1".into());
    }
    // Host says whom it is for; that it is https is what nearly everyone means.
    let host = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("host"));
    let url = match host {
        Some(host) if target.starts_with('/') => format!("https://{}{target}", host.value),
        _ => target.to_owned(),
    };
    Ok(HttpRequest {
        method: method.to_owned(),
        url,
        headers,
        body: body.to_vec().into(),
    })
}

fn parse_response(bytes: &[u8]) -> Result<HttpResponse, String> {
    let (line, headers, body) = parse(bytes)?;
    let status = line
        .strip_prefix("HTTP/")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|word| word.parse().ok());
    Ok(HttpResponse {
        status_code: status
            .ok_or("the first line is no status line; expected such as `HTTP/1.1 200 OK`")?,
        headers,
        body: body.to_vec().into(),
    })
}

/// The first line, the headers, and all that follows the empty line.
fn parse(bytes: &[u8]) -> Result<(&str, Vec<HttpHeader>, &[u8]), String> {
    let mut rest = bytes;
    let first = next_line(&mut rest)?.ok_or("the file is empty; expected an HTTP message")?;
    let mut headers = Vec::new();
    while let Some(line) = next_line(&mut rest)? {
        if line.is_empty() {
            return Ok((first, headers, rest));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| {
            format!("{line:?} is no header; expected `Name: value`, or an empty line and the body")
        })?;
        headers.push(HttpHeader {
            name: name.to_owned(),
            value: value.trim_matches([' ', '\t']).to_owned(),
        });
    }
    Ok((first, headers, rest))
}

/// A line of the head, which may end as Unix has it; `None` at the end.
fn next_line<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a str>, String> {
    if rest.is_empty() {
        return Ok(None);
    }
    let end = rest.iter().position(|byte| *byte == b'\n');
    let line = &rest[..end.unwrap_or(rest.len())];
    *rest = end.map_or(&[][..], |end| &rest[end + 1..]);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    str::from_utf8(line)
        .map(Some)
        .map_err(|_| "the head is not UTF-8".to_owned())
}

fn wrong(path: Option<&Path>, why: &str) -> Trouble {
    let path: PathBuf = arguments::regular(path)
        .unwrap_or_else(|| Path::new("stdin"))
        .to_owned();
    Trouble::Scheme(format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_to_the_last_byte_of_its_body() {
        for text in [
            &b"POST /pay?a=1 HTTP/1.1\r\nHost: h:1\r\nX-A:  b \r\n\r\n{}\r\n"[..],
            b"POST /pay?a=1\nHost: h:1\nX-A: b\n\n{}\r\n",
        ] {
            let request = parse_request(text).unwrap();
            assert_eq!(request.method, "POST");
            assert_eq!(request.url, "https://h:1/pay?a=1");
            assert_eq!(request.headers[1].value, "b");
            assert_eq!(&*request.body, b"{}\r\n");
            assert_eq!(
                write_request(&request),
                b"POST /pay?a=1 HTTP/1.1\r\nHost: h:1\r\nX-A: b\r\n\r\n{}\r\n"
            );
        }
        let bare = parse_request(b"GET /x HTTP/1.1").unwrap();
        assert_eq!((bare.url.as_str(), bare.body.len()), ("/x", 0));
        for bad in [
            &b""[..],
            b"POST\n\n",
            b"POST /a b HTTP/1.1\n\n",
            b"POST / FTP/1\n\n",
            b"POST / HTTP/1.1\nno header\n\n",
            b"POST /\xff HTTP/1.1\n\n",
        ] {
            assert!(parse_request(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_response_is_read_and_written() {
        let response = parse_response(b"HTTP/2 202\nX-Sign: a\n\n\xff\x00").unwrap();
        assert_eq!(
            (response.status_code, &*response.body),
            (202, &b"\xff\x00"[..])
        );
        assert_eq!(
            write_response(&response),
            b"HTTP/1.1 202 \r\nX-Sign: a\r\n\r\n\xff\x00"
        );
        for bad in [&b"HTTP/1.1\n\n"[..], b"202 OK\n\n", b"HTTP/1.1 OK\n\n"] {
            assert!(parse_response(bad).is_err(), "{bad:?}");
        }
    }
}
