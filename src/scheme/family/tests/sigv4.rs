//! AWS Signature Version 4: what is shown, and what is refused; the shipped file has the signatures.

use super::*;

fn explained(
    message: &Message<'_>,
    bindings: &Bindings,
) -> Result<Vec<crate::scheme::Step>, Refusal> {
    let scheme = shipped("aws-sigv4");
    let draft = scheme.draft(message, bindings, UnixMilliseconds(0), &mut |_| {})?;
    Ok(draft.explain())
}

/// The canonical request and the string of `get-vanilla` in AWS's test suite.
#[test]
fn the_canonical_request_is_shown() {
    let scheme = shipped("aws-sigv4");
    let vector = &scheme.vectors()[0];
    let steps = explained(&vector.message, &vector.bindings).ok().unwrap();
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let canonical = format!(
        "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n{hash}"
    );
    // The value of time, then the date, then the request line by line, then the string.
    let shown: Vec<u8> = steps[2..steps.len() - 1]
        .iter()
        .flat_map(|step| step.bytes.clone().unwrap())
        .collect();
    assert_eq!(String::from_utf8(shown).unwrap(), canonical);
    let string = steps.last().unwrap().bytes.clone().unwrap();
    assert_eq!(
        String::from_utf8(string).unwrap(),
        "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\nbb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63"
    );
}

#[test]
fn a_session_token_is_not_shown() {
    let scheme = shipped("aws-sigv4");
    let vector = scheme
        .vectors()
        .iter()
        .find(|one| one.name() == "temporary credentials")
        .unwrap();
    let steps = explained(&vector.message, &vector.bindings).ok().unwrap();
    assert!(
        steps
            .iter()
            .any(|step| step.rule == "header.x-amz-security-token" && step.bytes.is_none())
    );
    let all = format!("{steps:?}");
    assert!(!all.contains("TOKEN"), "{all}");
}

#[test]
fn what_would_be_read_in_two_ways_is_refused() {
    let scheme = shipped("aws-sigv4");
    let vector = &scheme.vectors()[0];
    let refused = |message: Message<'_>, bindings: &Bindings| {
        explained(&message, bindings).err().unwrap().reason()
    };
    let plus = Message {
        query: Some("a=b+c".into()),
        ..vector.message.borrowed()
    };
    assert_eq!(refused(plus, &vector.bindings), "SIGNATURE_MALFORMED");
    let mut line = vector.message.borrowed();
    line.headers.push(header("X-A", "a\nhost:b"));
    assert_eq!(refused(line, &vector.bindings), "ENCODING_INVALID");
    let mut scope = vector.bindings.clone();
    scope.constants.insert("region".to_owned(), b"a/b".to_vec());
    assert_eq!(
        refused(vector.message.borrowed(), &scope),
        "ENCODING_INVALID"
    );
    let mut time = vector.bindings.clone();
    time.values.insert("time".to_owned(), b"2015".to_vec());
    assert_eq!(refused(vector.message.borrowed(), &time), "TIME_INVALID");
}
