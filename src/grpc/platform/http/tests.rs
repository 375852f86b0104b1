//! What is split comes back joined, for whatever text; and what is no HTTP message is refused with its reason.

use proptest::prelude::*;
use tonic_types::StatusExt;

use super::*;

fn asked(url: &str) -> v1::HttpRequest {
    v1::HttpRequest {
        method: "POST".to_owned(),
        url: url.to_owned(),
        ..v1::HttpRequest::default()
    }
}

fn reason(status: Status) -> String {
    status.get_details_error_info().unwrap().reason
}

#[test]
fn a_url_is_split_where_it_is_and_no_byte_of_it_changes() {
    type Parts<'a> = (
        Option<&'a str>,
        Option<&'a str>,
        Option<&'a str>,
        Option<&'a str>,
    );
    let cases: [(&str, Parts<'_>); 8] = [
        (
            "/v1/pay?b=%2F&a=1,2",
            (None, None, Some("/v1/pay"), Some("b=%2F&a=1,2")),
        ),
        (
            "https://api.example.com:8443/a%20b?",
            (
                Some("https"),
                Some("api.example.com:8443"),
                Some("/a%20b"),
                Some(""),
            ),
        ),
        (
            "https://example.com",
            (Some("https"), Some("example.com"), Some("/"), None),
        ),
        (
            "http://example.com?x=1",
            (Some("http"), Some("example.com"), Some("/"), Some("x=1")),
        ),
        (
            "//double//slash",
            (None, None, Some("//double//slash"), None),
        ),
        ("/a?b=c?d=/e", (None, None, Some("/a"), Some("b=c?d=/e"))),
        (
            "https://[::1]:80/@x",
            (Some("https"), Some("[::1]:80"), Some("/@x"), None),
        ),
        ("", (None, None, None, None)),
    ];
    for (url, parts) in cases {
        let asked = asked(url);
        let message = request(Some(&asked)).unwrap();
        let found = (
            message.scheme.as_deref(),
            message.authority.as_deref(),
            message.path.as_deref(),
            message.query.as_deref(),
        );
        assert_eq!(found, parts, "{url}");
    }
}

#[test]
fn what_is_no_url_method_header_or_status_has_its_reason() {
    for url in [
        "pay",
        "*",
        "ftp://h/",
        "https:///p",
        "https://u@h/",
        "/a b",
        "/a#b",
        "/a\r\nX: 1",
        "https://",
        "://h/",
    ] {
        let asked = asked(url);
        assert_eq!(
            reason(request(Some(&asked)).err().unwrap()),
            "HTTP_URL_INVALID",
            "{url:?}"
        );
    }
    for method in ["PO ST", "GET\n", "ä", &"A".repeat(33)] {
        let asked = v1::HttpRequest {
            method: method.to_owned(),
            ..asked("/")
        };
        assert_eq!(
            reason(request(Some(&asked)).err().unwrap()),
            "HTTP_METHOD_INVALID"
        );
    }
    for (name, value) in [
        ("", "v"),
        ("a b", "v"),
        ("a:", "v"),
        ("é", "v"),
        ("a", "v\r\nb: c"),
        ("a", "\0"),
        ("a", " v"),
        ("a", "v\t"),
    ] {
        let header = v1::HttpHeader {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let asked = v1::HttpRequest {
            headers: vec![header],
            ..asked("/")
        };
        assert_eq!(
            reason(request(Some(&asked)).err().unwrap()),
            "HTTP_HEADER_INVALID",
            "{name:?} {value:?}"
        );
    }
    let many = v1::HttpRequest {
        headers: vec![
            v1::HttpHeader {
                name: "a".to_owned(),
                value: String::new()
            };
            257
        ],
        ..asked("/")
    };
    assert_eq!(
        reason(request(Some(&many)).err().unwrap()),
        "TOO_MANY_HEADERS"
    );
    for status_code in [-1, 0, 99, 600, i32::MAX] {
        let asked = v1::HttpResponse {
            status_code,
            ..v1::HttpResponse::default()
        };
        assert_eq!(
            reason(response(Some(&asked), None).err().unwrap()),
            "HTTP_STATUS_INVALID"
        );
    }
    let large = v1::HttpRequest {
        body: vec![0; MAX_BODY + 1].into(),
        ..asked("/")
    };
    assert_eq!(
        reason(request(Some(&large)).err().unwrap()),
        "BODY_TOO_LARGE"
    );
    assert_eq!(reason(request(None).err().unwrap()), "HTTP_MESSAGE_MISSING");
    assert_eq!(
        reason(response(None, None).err().unwrap()),
        "HTTP_MESSAGE_MISSING"
    );
}

#[test]
fn a_response_has_the_request_line_of_what_it_answers_and_nothing_else_of_it() {
    let header = |name: &str| v1::HttpHeader {
        name: name.to_owned(),
        value: "1".to_owned(),
    };
    let answered = v1::HttpRequest {
        headers: vec![header("X-Theirs")],
        body: "theirs".into(),
        ..asked("/a?b")
    };
    let asked = v1::HttpResponse {
        status_code: 200,
        headers: vec![header("X-Ours")],
        body: "ours".into(),
    };
    let message = response(Some(&asked), Some(&answered)).unwrap();
    assert_eq!(
        (
            message.method.as_deref(),
            message.path.as_deref(),
            message.query.as_deref()
        ),
        (Some("POST"), Some("/a"), Some("b"))
    );
    assert_eq!(
        (message.status, &*message.body, message.headers.len()),
        (Some(200), &b"ours"[..], 1)
    );
    assert_eq!(&message.headers[0].0, "X-Ours");
}

#[test]
fn what_is_set_replaces_headers_of_its_name_and_goes_behind_the_others() {
    let header = |name: &str, value: &str| v1::HttpHeader {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let asked = v1::HttpRequest {
        headers: vec![header("x-sign", "old"), header("Accept", "*/*")],
        ..asked("https://h/p?a=1")
    };
    let mut signed = Signed {
        headers: vec![("X-Sign".to_owned(), "new".to_owned())],
        query: Some("a=1&sign=2".to_owned()),
        body: b"{}".to_vec(),
        values: Default::default(),
        signature: vec![],
    };
    let sent = signed_request(asked, &mut signed);
    assert_eq!(sent.url, "https://h/p?a=1&sign=2");
    assert_eq!(
        sent.headers,
        [header("Accept", "*/*"), header("X-Sign", "new")]
    );
    assert_eq!(&*sent.body, b"{}");
}

proptest! {
    #[test]
    fn what_is_split_is_joined_to_the_same(url in "(https?://[a-z.:0-9]{1,9})?/[!-\"$->@-~]{0,20}(\\?[!-\"$-~]{0,20})?") {
        let target = Target::of(&url).unwrap();
        prop_assert_eq!(target.with_query(target.query), url);
    }

    #[test]
    fn no_text_makes_it_panic(url in ".{0,40}", name in ".{0,9}", value in ".{0,9}") {
        let header = v1::HttpHeader { name, value };
        let _ = request(Some(&v1::HttpRequest { headers: vec![header], ..asked(&url) }));
    }
}
