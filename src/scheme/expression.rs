//! Expressions: lists of segments, checked when the scheme is loaded and evaluated over a message.

use std::{borrow::Cow, sync::Arc};

use crate::scheme::{
    document::{Item, SchemeError},
    fault::{EvaluationError, Fault},
    fields::Field,
    function::{self, Function, MAX_OUTPUT, Type, Value},
    source::{Context, Source},
    text::{Placed, Text},
};

/// A list of segments whose bytes follow one another.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
struct Segment {
    /// Its place in the file.
    at: Arc<str>,
    /// The source and its functions, as they are shown.
    rule: Arc<str>,
    kind: Kind,
    then: Vec<Function>,
    absent: Absent,
    empty_is_absent: bool,
    /// Whether its bytes are masked where the expression is shown.
    secret: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Literal(String),
    Source(Source),
    Group(Vec<Segment>),
}

/// What stands for a segment whose source is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Absent {
    Error,
    Omit,
    Empty,
    Text(String),
}

/// What an expression may name, and what of it is secret.
pub(super) trait Names {
    /// Whether the source's bytes are secret; or why it may not stand here.
    fn is_secret(&self, source: &Source) -> Result<bool, (&'static str, String)>;
}

impl Expression {
    /// A list of segments, or one segment alone.
    pub(super) fn parse(item: &Item<'_>, names: &dyn Names) -> Result<Self, SchemeError> {
        let mut count = 0;
        let segments = if item.is_list() {
            segments(item, names, 0, &mut count)?
        } else {
            vec![Segment::parse(item, names, 0, &mut count)?]
        };
        Ok(Self { segments })
    }

    /// One source alone, which no entry of the file spells out.
    pub(super) fn of(at: &str, rule: &str, source: Source) -> Self {
        let segment = Segment {
            at: at.into(),
            rule: rule.into(),
            kind: Kind::Source(source),
            then: Vec::new(),
            absent: Absent::Error,
            empty_is_absent: false,
            secret: false,
        };
        Self {
            segments: vec![segment],
        }
    }

    /// Whether any of its bytes are secret.
    pub(super) fn is_secret(&self) -> bool {
        self.segments.iter().any(|segment| segment.secret)
    }

    /// Every source, those in groups too.
    pub(super) fn sources(&self) -> Vec<&Source> {
        let mut found = Vec::new();
        for segment in &self.segments {
            segment.sources(&mut found);
        }
        found
    }

    /// Every source of which nothing gets lost.
    pub(super) fn whole_sources(&self) -> Vec<&Source> {
        let mut found = Vec::new();
        for segment in &self.segments {
            segment.whole_sources(&mut found);
        }
        found
    }

    /// The fields that are joined in it, as they are joined; none if other fields could be joined to the same bytes.
    pub(super) fn joined<'c>(
        &'c self,
        context: Context<'c>,
    ) -> Result<Vec<Field<'c>>, EvaluationError> {
        let mut found = Vec::new();
        for segment in &self.segments {
            if !segment.then.iter().any(Function::is_join) {
                continue;
            }
            let joined = segment.start(context).and_then(|start| {
                function::joined(&segment.then, start).map_err(|fault| segment.error(fault))
            });
            match joined {
                // Other bytes stand in its place.
                Err(error) if error.fault == Fault::Absent => {}
                joined => found.extend(joined?),
            }
        }
        Ok(found)
    }

    /// Whether it has fields to tell: those of one join, behind which nothing gets lost.
    pub(super) fn tells_fields(&self) -> bool {
        let mut joins = self.segments.iter().filter_map(|segment| {
            let last = segment.then.iter().rposition(Function::is_join)?;
            Some(function::keep_all(&segment.then[last + 1..]))
        });
        joins.next() == Some(true) && joins.next().is_none()
    }

    /// Whether this source is one of those fields.
    pub(super) fn joins_field(&self, field: &Source) -> bool {
        self.segments.iter().any(|segment| match &segment.kind {
            Kind::Source(whole) => function::joins_field(whole, &segment.then, field),
            Kind::Literal(_) | Kind::Group(_) => false,
        })
    }

    /// Whether fields are joined in it in whose texts separators may stand.
    pub(super) fn joins_unescaped(&self) -> bool {
        self.segments.iter().any(|segment| {
            let then = &segment.then;
            then.iter().any(Function::is_join) && !then.iter().any(Function::escapes)
        })
    }

    pub(super) fn evaluate(&self, context: Context<'_>) -> Result<Text, EvaluationError> {
        let mut text = Text {
            omitted: true,
            ..Text::default()
        };
        for segment in &self.segments {
            let start = text.bytes.len();
            let hole = match &segment.kind {
                Kind::Source(Source::Secret(role)) => {
                    text.holes.push((start, role.clone()));
                    text.omitted = false;
                    true
                }
                Kind::Source(_) | Kind::Literal(_) | Kind::Group(_) => {
                    if let Some(bytes) = segment.evaluate(context)? {
                        text.bytes.extend_from_slice(&bytes);
                        text.omitted = false;
                    }
                    false
                }
            };
            if text.bytes.len() > MAX_OUTPUT {
                return Err(segment.error(Fault::TooLong(MAX_OUTPUT)));
            }
            text.steps.push(Placed {
                at: Arc::clone(&segment.at),
                rule: Arc::clone(&segment.rule),
                range: start..text.bytes.len(),
                secret: segment.secret,
                hole,
            });
        }
        Ok(text)
    }

    /// Evaluates what can't hold secrets to be put in.
    pub(super) fn bytes(&self, context: Context<'_>) -> Result<Vec<u8>, EvaluationError> {
        self.evaluate(context).map(|text| text.bytes)
    }

    /// The same; `None` if every segment is left out.
    pub(super) fn unless_omitted(
        &self,
        context: Context<'_>,
    ) -> Result<Option<Vec<u8>>, EvaluationError> {
        let text = self.evaluate(context)?;
        Ok((!text.omitted).then_some(text.bytes))
    }

    /// The rules of its segments, as they are shown.
    pub(super) fn rule(&self) -> String {
        let rules: Vec<_> = self.segments.iter().map(|one| &*one.rule).collect();
        rules.join(" ")
    }

    pub(super) fn error(&self, fault: Fault) -> EvaluationError {
        // No list of segments is empty.
        let (at, rule) = self
            .segments
            .first()
            .map_or(("", ""), |segment| (&*segment.at, &*segment.rule));
        EvaluationError {
            at: at.to_owned(),
            rule: rule.to_owned(),
            fault,
        }
    }
}

fn segments(
    item: &Item<'_>,
    names: &dyn Names,
    depth: usize,
    count: &mut usize,
) -> Result<Vec<Segment>, SchemeError> {
    let list = item.list()?;
    if list.is_empty() {
        return Err(item.refuse("WRONG_VALUE", "the list is empty; expected a segment"));
    }
    list.iter()
        .map(|one| Segment::parse(one, names, depth, count))
        .collect()
}

impl Segment {
    fn parse(
        item: &Item<'_>,
        names: &dyn Names,
        depth: usize,
        count: &mut usize,
    ) -> Result<Self, SchemeError> {
        *count += 1;
        if *count > MAX_SEGMENTS || depth > MAX_GROUPS {
            return Err(item.refuse(
                "TOO_MANY_SEGMENTS",
                format!("more than {MAX_SEGMENTS} segments, or more than {MAX_GROUPS} groups in one another"),
            ));
        }
        if let Some(text) = item.as_text() {
            return Ok(Self {
                at: item.at().into(),
                rule: format!("{text:?}").into(),
                kind: Kind::Literal(text.to_owned()),
                then: Vec::new(),
                absent: Absent::Error,
                empty_is_absent: false,
                secret: false,
            });
        }
        if !item.is_table() {
            return Err(item.wrong("a segment: text, or a table with `from` or `all`"));
        }
        let mut entries = item.fields()?;
        let (kind, shown, mut secret) = match (entries.maybe("from"), entries.maybe("all")) {
            (Some(from), None) => {
                let source = Source::parse(from.text()?)
                    .map_err(|why| from.refuse("UNKNOWN_SOURCE", why))?;
                let secret = names
                    .is_secret(&source)
                    .map_err(|(reason, why)| from.refuse(reason, why))?;
                (Kind::Source(source), from.text()?.to_owned(), secret)
            }
            (None, Some(all)) => {
                let inner = segments(&all, names, depth + 1, count)?;
                let secret = inner.iter().any(|segment| segment.secret);
                let rules: Vec<_> = inner.iter().map(|one| &*one.rule).collect();
                let shown = format!("({})", rules.join(" "));
                (Kind::Group(inner), shown, secret)
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(item.refuse("WRONG_VALUE", "expected either `from` or `all`"));
            }
        };
        let (then, shown) = pipeline(entries.maybe("then"), shown)?;
        let absent = entries
            .maybe("absent")
            .map_or(Ok(Absent::Error), |item| Absent::parse(&item))?;
        let empty_is_absent = entries.maybe("empty_is_absent");
        let empty_is_absent = empty_is_absent.map_or(Ok(false), |item| item.boolean())?;
        if let Kind::Source(Source::Secret(_)) = kind {
            secret = true;
            if depth > 0 || !then.is_empty() || absent != Absent::Error {
                return Err(item.refuse(
                    "SECRET_MISPLACED",
                    "a secret stands alone in the string, without functions: it is put in where it is kept",
                ));
            }
        }
        entries.end()?;
        Ok(Self {
            at: item.at().into(),
            rule: shown.into(),
            kind,
            then,
            absent,
            empty_is_absent,
            secret,
        })
    }

    fn sources<'s>(&'s self, found: &mut Vec<&'s Source>) {
        match &self.kind {
            Kind::Literal(_) => {}
            Kind::Source(source) => found.push(source),
            Kind::Group(inner) => inner.iter().for_each(|segment| segment.sources(found)),
        }
    }

    fn whole_sources<'s>(&'s self, found: &mut Vec<&'s Source>) {
        if !function::keep_all(&self.then) {
            return;
        }
        match &self.kind {
            Kind::Literal(_) => {}
            Kind::Source(source) => found.push(source),
            Kind::Group(inner) => inner
                .iter()
                .for_each(|segment| segment.whole_sources(found)),
        }
    }

    /// The bytes; `None` if they are left out.
    fn evaluate<'c>(
        &'c self,
        context: Context<'c>,
    ) -> Result<Option<Cow<'c, [u8]>>, EvaluationError> {
        match self.piped(context) {
            Err(EvaluationError {
                fault: Fault::Absent,
                at,
                rule,
            }) => match &self.absent {
                // The innermost segment is the one that people look for.
                Absent::Error => Err(EvaluationError {
                    at,
                    rule,
                    fault: Fault::Absent,
                }),
                Absent::Omit => Ok(None),
                Absent::Empty => Ok(Some(Cow::Borrowed(&[]))),
                Absent::Text(text) => Ok(Some(Cow::Borrowed(text.as_bytes()))),
            },
            other => other.map(Some),
        }
    }

    fn piped<'c>(&'c self, context: Context<'c>) -> Result<Cow<'c, [u8]>, EvaluationError> {
        let start = self.start(context)?;
        apply(&self.then, start).map_err(|fault| self.error(fault))
    }

    /// What its functions are applied to.
    fn start<'c>(&'c self, context: Context<'c>) -> Result<Cow<'c, [u8]>, EvaluationError> {
        let start = match &self.kind {
            Kind::Literal(text) => Cow::Borrowed(text.as_bytes()),
            Kind::Source(source) => {
                let found = source.bytes(context).map_err(|fault| self.error(fault))?;
                found.ok_or_else(|| self.error(Fault::Absent))?
            }
            Kind::Group(inner) => {
                let mut whole = Vec::new();
                for segment in inner {
                    whole.extend_from_slice(&segment.evaluate(context)?.unwrap_or_default());
                    if whole.len() > MAX_OUTPUT {
                        return Err(segment.error(Fault::TooLong(MAX_OUTPUT)));
                    }
                }
                Cow::Owned(whole)
            }
        };
        if start.is_empty() && self.empty_is_absent {
            return Err(self.error(Fault::Absent));
        }
        Ok(start)
    }

    fn error(&self, fault: Fault) -> EvaluationError {
        EvaluationError {
            at: self.at.to_string(),
            rule: self.rule.to_string(),
            fault,
        }
    }
}

/// Applies functions whose types were checked, from bytes to bytes.
pub(super) fn apply<'v>(
    functions: &[Function],
    start: Cow<'v, [u8]>,
) -> Result<Cow<'v, [u8]>, Fault> {
    let mut value = Value::Bytes(start);
    for function in functions {
        value = function.apply(value)?;
    }
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        Value::Map(_) => unreachable!("a pipeline ends in bytes, which is checked at load"),
    }
}

/// The functions of a list, from bytes to bytes, and how source and functions are shown together.
pub(super) fn pipeline(
    item: Option<Item<'_>>,
    mut shown: String,
) -> Result<(Vec<Function>, String), SchemeError> {
    let Some(item) = item else {
        return Ok((Vec::new(), shown));
    };
    let list = item.list()?;
    if list.len() > MAX_FUNCTIONS {
        return Err(item.refuse(
            "WRONG_VALUE",
            format!("more than {MAX_FUNCTIONS} functions one after the other"),
        ));
    }
    let mut functions = Vec::with_capacity(list.len());
    let mut flows = Type::Bytes;
    for one in &list {
        let function = Function::parse(one)?;
        flows = function.applied_to(flows).map_err(|takes| {
            one.refuse(
                "WRONG_TYPE",
                format!(
                    "{} takes {takes}, and what comes is {flows}",
                    function.shown
                ),
            )
        })?;
        shown = format!("{shown} | {}", function.shown);
        functions.push(function);
    }
    if flows == Type::Map {
        return Err(item.refuse(
            "WRONG_TYPE",
            "a pipeline must end in bytes, and this one ends in a map; expected {join, pair} or {field} at its end",
        ));
    }
    Ok((functions, shown))
}

impl Absent {
    fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        let expected = "\"omit\", \"empty\", or { text = \"…\" }";
        match item.as_text() {
            Some("omit") => Ok(Self::Omit),
            Some("empty") => Ok(Self::Empty),
            Some(other) => Err(item.refuse(
                "WRONG_VALUE",
                format!("expected {expected}, found {other:?}"),
            )),
            None if item.is_table() => {
                let mut entries = item.fields()?;
                let text = entries.take("text")?.text()?.to_owned();
                entries.end()?;
                Ok(Self::Text(text))
            }
            None => Err(item.wrong(expected)),
        }
    }
}

/// Groups in one another.
const MAX_GROUPS: usize = 4;
/// Segments of one expression, those in groups too.
const MAX_SEGMENTS: usize = 128;
/// Functions of one segment.
const MAX_FUNCTIONS: usize = 16;
