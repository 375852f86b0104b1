//! The components of an HTTP message that RFC 9421 section 2 knows, and their exact values.

use std::borrow::Cow;

use crate::scheme::{
    document::{Item, SchemeError},
    encoding::{self, Kept},
    fault::Fault,
    message::Message,
    source::Source,
    structured::{self, Bare, FieldType, Member, Parameters},
};

/// A component as it is named in a signature. Two are the same whatever the order of their parameters.
#[derive(Clone, Debug)]
pub(super) struct Component {
    name: String,
    parameters: Parameters,
}

/// A component as a scheme lists it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) component: Component,
    /// For `sf` and `key`: how the field is to be read.
    field_type: Option<FieldType>,
    /// It is covered if the message has it.
    pub(super) optional: bool,
}

impl Listed {
    pub(super) fn list(item: &Item<'_>) -> Result<Vec<Self>, SchemeError> {
        let mut listed: Vec<Self> = Vec::new();
        for item in item.list()? {
            let one = Self::parse(&item)?;
            if listed.iter().any(|other| other.component == one.component) {
                let message = format!("{} is listed already", one.component.identifier());
                return Err(item.refuse("REPEATED_NAME", message));
            }
            listed.push(one);
        }
        if listed.len() > MAX_COMPONENTS {
            let message = format!("expected at most {MAX_COMPONENTS} components");
            return Err(item.refuse("WRONG_VALUE", message));
        }
        Ok(listed)
    }

    fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        let mut listed = Self {
            component: Component {
                name: String::new(),
                parameters: Vec::new(),
            },
            field_type: None,
            optional: false,
        };
        if let Some(name) = item.as_text() {
            listed.component.name = name.to_owned();
        } else if item.is_table() {
            let mut entries = item.fields()?;
            listed.component.name = entries.take("name")?.text()?.to_owned();
            let optional = entries.maybe("optional");
            listed.optional = optional.map_or(Ok(false), |item| item.boolean())?;
            let parameters = &mut listed.component.parameters;
            if let Some(param) = entries.maybe("param") {
                let encoded = encoding::percent_encode(param.text()?.as_bytes(), Kept::Form);
                let name = structured::string(&without_plus(encoded));
                let name = name.map_err(|fault| param.refuse("WRONG_VALUE", fault))?;
                parameters.push(("name".to_owned(), name));
            }
            if let Some(sf) = entries.maybe("sf") {
                listed.field_type = Some(match sf.text()? {
                    "dictionary" => FieldType::Dictionary,
                    "list" => FieldType::List,
                    "item" => FieldType::Item,
                    other => {
                        let message = format!("expected dictionary, list or item, found {other:?}");
                        return Err(sf.refuse("WRONG_VALUE", message));
                    }
                });
                parameters.push(("sf".to_owned(), Bare::Boolean(true)));
            }
            if let Some(key) = entries.maybe("key") {
                let text = structured::string(key.text()?.as_bytes());
                let text = text.map_err(|fault| key.refuse("WRONG_VALUE", fault))?;
                parameters.push(("key".to_owned(), text));
            }
            if let Some(bs) = entries.maybe("bs")
                && bs.boolean()?
            {
                parameters.push(("bs".to_owned(), Bare::Boolean(true)));
            }
            if let Some(req) = entries.maybe("req")
                && req.boolean()?
            {
                parameters.push(("req".to_owned(), Bare::Boolean(true)));
            }
            entries.end()?;
        } else {
            return Err(item.wrong("a component: its name, or a table with `name`"));
        }
        let component = &listed.component;
        component.check().map_err(|why| {
            item.refuse("WRONG_VALUE", format!("{}: {why}", component.identifier()))
        })?;
        if listed.optional && component.name.starts_with('@') {
            return Err(item.refuse("WRONG_VALUE", "only a field can be optional"));
        }
        Ok(listed)
    }

    /// Whether the message has the field.
    pub(super) fn is_in(&self, message: &Message<'_>) -> bool {
        let headers = match self.component.has("req") {
            true => &message.request_headers,
            false => &message.headers,
        };
        let mut names = headers.iter().map(|(name, _)| name);
        names.any(|name| name.eq_ignore_ascii_case(&self.component.name))
    }

    pub(super) fn value(&self, message: &Message<'_>) -> Result<Vec<u8>, Fault> {
        self.component.value(message, self.field_type)
    }

    /// The sources whose bytes are known to be signed when the component is covered.
    pub(super) fn covers(&self) -> Vec<Source> {
        let component = &self.component;
        let of_request = component.has("req");
        if component.parameters.len() != usize::from(of_request) {
            return Vec::new();
        }
        match component.name.as_str() {
            // Sources name no header of the request that is answered.
            name if of_request && !name.starts_with('@') => Vec::new(),
            "@method" => vec![Source::Method],
            "@authority" => vec![Source::Authority],
            "@scheme" => vec![Source::Scheme],
            "@path" => vec![Source::Path],
            "@query" => vec![Source::Query],
            "@status" => vec![Source::Status],
            "@request-target" => vec![Source::Target],
            "@target-uri" => vec![Source::Scheme, Source::Authority, Source::Target],
            "content-digest" => vec![Source::Header("content-digest".to_owned()), Source::Body],
            name => vec![Source::Header(name.to_owned())],
        }
    }
}

impl Component {
    /// From an item of the inner list in `Signature-Input`.
    pub(super) fn read(item: structured::Item) -> Result<Self, Fault> {
        let Bare::String(name) = item.bare else {
            return Err(Fault::Family("a component's name is a string"));
        };
        let component = Self {
            name,
            parameters: item.parameters,
        };
        component.check().map_err(Fault::Family)?;
        Ok(component)
    }

    pub(super) fn item(&self) -> structured::Item {
        structured::Item {
            bare: Bare::String(self.name.clone()),
            parameters: self.parameters.clone(),
        }
    }

    /// As it stands in the signature base.
    pub(super) fn identifier(&self) -> String {
        structured::write_item(&self.item())
    }

    /// Whether it is the digest of the message's own body; that of a request that is answered is not known here.
    pub(super) fn is_content_digest(&self) -> bool {
        self.name == "content-digest" && !self.has("req")
    }

    /// Whether its bytes are to be shown to nobody.
    pub(super) fn is_secret(&self) -> bool {
        is_secret(&self.name)
    }

    fn has(&self, parameter: &str) -> bool {
        self.parameters.iter().any(|(name, _)| name == parameter)
    }

    fn check(&self) -> Result<(), &'static str> {
        let has = |key: &str| self.has(key);
        for (key, value) in &self.parameters {
            match (key.as_str(), value) {
                ("sf" | "bs" | "req", Bare::Boolean(true)) | ("key" | "name", Bare::String(_)) => {}
                ("tr", _) => {
                    return Err("trailers are no part of the messages that are handed over here");
                }
                _ => return Err("has a parameter that RFC 9421 section 2 does not know"),
            }
        }
        let query = self.name == "@query-param";
        if has("name") != query {
            return Err("@query-param has a name, and nothing else has");
        }
        if self.name.starts_with('@') {
            if !DERIVED.contains(&self.name.as_str()) {
                return Err("is no derived component of RFC 9421 section 2.2");
            }
            if self.parameters.len() != usize::from(query) + usize::from(has("req")) {
                return Err("a derived component takes no such parameter");
            }
            if self.name == "@status" && has("req") {
                return Err("a request has no status");
            }
        } else if !is_field_name(&self.name) {
            return Err("is no field's name in lower case");
        }
        if [has("bs"), has("sf"), has("key")]
            .iter()
            .filter(|one| **one)
            .count()
            > 1
        {
            return Err("only one of sf, key and bs can be said of a field");
        }
        Ok(())
    }

    /// RFC 9421 sections 2.1 and 2.2.
    pub(super) fn value(
        &self,
        message: &Message<'_>,
        field_type: Option<FieldType>,
    ) -> Result<Vec<u8>, Fault> {
        let response = message.status.is_some();
        let value = match (self.has("req"), response) {
            (true, true) => self.raw_value(&message.answered(), field_type)?,
            (true, false) => {
                return Err(Fault::Family(
                    "a request answers none: req is for responses",
                ));
            }
            (false, true) if self.name.starts_with('@') && self.name != "@status" => {
                return Err(Fault::Family("is of the request: in a response it has req"));
            }
            (false, _) => self.raw_value(message, field_type)?,
        };
        // A line end would be the next line of the signature base.
        match value
            .iter()
            .all(|byte| (0x20..0x7f).contains(byte) || *byte == b'\t')
        {
            true => Ok(value),
            false => Err(Fault::Encoding("ASCII without control characters")),
        }
    }

    fn raw_value(
        &self,
        message: &Message<'_>,
        field_type: Option<FieldType>,
    ) -> Result<Vec<u8>, Fault> {
        fn there<'t>(text: &'t Option<Cow<'_, str>>) -> Result<&'t str, Fault> {
            text.as_deref().ok_or(Fault::Absent)
        }
        let path = || {
            there(&message.path).map(|path| match path {
                "" => "/",
                path => path,
            })
        };
        let query = || match &message.query {
            Some(query) => format!("?{query}"),
            None => String::new(),
        };
        let text = match self.name.as_str() {
            "@method" => there(&message.method)?.to_owned(),
            "@scheme" => there(&message.scheme)?.to_ascii_lowercase(),
            "@authority" => authority(message)?,
            "@path" => path()?.to_owned(),
            "@query" => {
                there(&message.path)?;
                format!("?{}", message.query.as_deref().unwrap_or_default())
            }
            "@request-target" => format!("{}{}", path()?, query()),
            "@target-uri" => format!(
                "{}://{}{}{}",
                there(&message.scheme)?.to_ascii_lowercase(),
                there(&message.authority)?,
                path()?,
                query()
            ),
            "@status" => message.status.ok_or(Fault::Absent)?.to_string(),
            "@query-param" => return self.query_parameter(message),
            _ => return self.field(message, field_type),
        };
        Ok(text.into_bytes())
    }

    fn text_parameter(&self, key: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find_map(|(name, value)| match value {
                Bare::String(text) if name == key => Some(text.as_str()),
                _ => None,
            })
    }

    /// RFC 9421 section 2.2.8.
    fn query_parameter(&self, message: &Message<'_>) -> Result<Vec<u8>, Fault> {
        let wanted = self.text_parameter("name").unwrap_or_default();
        let query = message.query.as_deref().unwrap_or_default();
        let mut found = None;
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let again = |text: &str| -> Result<Vec<u8>, Fault> {
                let decoded = encoding::percent_decode(text.as_bytes().into(), Kept::Form)?;
                Ok(without_plus(encoding::percent_encode(&decoded, Kept::Form)))
            };
            if again(name)? == wanted.as_bytes() && found.replace(again(value)?).is_some() {
                return Err(Fault::Repeated);
            }
        }
        found.ok_or(Fault::Absent)
    }

    /// RFC 9421 section 2.1.
    fn field(
        &self,
        message: &Message<'_>,
        field_type: Option<FieldType>,
    ) -> Result<Vec<u8>, Fault> {
        let has = |key: &str| self.parameters.iter().any(|(name, _)| name == key);
        if has("bs") {
            let lines: Vec<_> = lines(message, &self.name)
                .map(|line| {
                    structured::write_item(&structured::Item {
                        bare: Bare::Bytes(line.to_vec()),
                        parameters: Vec::new(),
                    })
                })
                .collect();
            return match lines.is_empty() {
                true => Err(Fault::Absent),
                false => Ok(lines.join(", ").into_bytes()),
            };
        }
        let value = field(message, &self.name)?;
        if let Some(key) = self.text_parameter("key") {
            let members = structured::dictionary(&value)?;
            let member = members.into_iter().find(|(name, _)| name == key);
            let (_, member) = member.ok_or(Fault::Absent)?;
            return Ok(structured::write_member(&member).into_bytes());
        }
        match (has("sf"), field_type) {
            (false, _) => Ok(value),
            (true, Some(kind)) => structured::canonical(&value, kind).map(String::into_bytes),
            (true, None) => Err(Fault::Family(
                "the scheme does not say whether the field is a dictionary, list or item",
            )),
        }
    }
}

impl PartialEq for Component {
    fn eq(&self, other: &Self) -> bool {
        let all_in = |left: &Parameters, right: &Parameters| {
            left.iter().all(|parameter| right.contains(parameter))
        };
        self.name == other.name
            && all_in(&self.parameters, &other.parameters)
            && all_in(&other.parameters, &self.parameters)
    }
}

/// The lines of a field without the space around them.
pub(super) fn lines<'m>(message: &'m Message<'_>, name: &str) -> impl Iterator<Item = &'m [u8]> {
    let of_name = message.headers.iter();
    of_name
        .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim_ascii())
}

/// All lines of a field as one (RFC 9110 section 5.2).
pub(super) fn field(message: &Message<'_>, name: &str) -> Result<Vec<u8>, Fault> {
    let mut lines = lines(message, name);
    let mut whole = lines.next().ok_or(Fault::Absent)?.to_vec();
    for line in lines {
        whole.extend_from_slice(b", ");
        whole.extend_from_slice(line);
    }
    Ok(whole)
}

/// RFC 9421 section 2.2.3: lower case, without the scheme's own port.
pub(super) fn authority(message: &Message<'_>) -> Result<String, Fault> {
    let authority = match &message.authority {
        Some(authority) => authority.to_ascii_lowercase(),
        None => {
            let host = message.header("host")?.ok_or(Fault::Absent)?;
            let host = std::str::from_utf8(host).map_err(|_| Fault::Utf8)?;
            host.trim().to_ascii_lowercase()
        }
    };
    let port = match message.scheme.as_deref() {
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => ":80",
        _ => ":443",
    };
    Ok(match authority.strip_suffix(port) {
        Some(host) => host.to_owned(),
        None => authority,
    })
}

/// Checks a `Content-Digest` (RFC 9530): every digest that is known, of which there must be one.
pub(super) fn check_content_digest(message: &Message<'_>) -> Result<(), Fault> {
    use crate::algorithm::Hash;
    let mut checked = false;
    for (name, member) in structured::dictionary(&field(message, "content-digest")?)? {
        let hash = match name.as_str() {
            "sha-256" => Hash::Sha256,
            "sha-512" => Hash::Sha512,
            _ => continue,
        };
        let Member::Item(structured::Item {
            bare: Bare::Bytes(digest),
            ..
        }) = member
        else {
            return Err(Fault::Encoding("bytes between colons"));
        };
        if digest != hash.digest(&message.body) {
            return Err(Fault::Digest);
        }
        checked = true;
    }
    match checked {
        true => Ok(()),
        false => Err(Fault::Family("has neither sha-256 nor sha-512 (RFC 9530)")),
    }
}

/// Whether a field holds what nobody should be shown.
pub(super) fn is_secret(name: &str) -> bool {
    [
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-amz-security-token",
    ]
    .iter()
    .any(|secret| name.eq_ignore_ascii_case(secret))
}

pub(super) fn is_field_name(name: &str) -> bool {
    let token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    !name.is_empty() && name.bytes().all(token)
}

/// A space is `%20` in a signature, also where forms have a plus.
fn without_plus(encoded: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&encoded).replace('+', "%20");
    text.into_bytes()
}

const DERIVED: [&str; 9] = [
    "@method",
    "@target-uri",
    "@authority",
    "@scheme",
    "@request-target",
    "@path",
    "@query",
    "@query-param",
    "@status",
];

/// Components of one signature.
pub(super) const MAX_COMPONENTS: usize = 64;
