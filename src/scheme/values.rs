//! Values that a scheme makes: times, nonces, request ids, and what is put together of them.

use std::collections::BTreeMap;

use crate::scheme::{
    declared::{Declared, Here, own_name},
    document::{Item, SchemeError},
    expression::Expression,
    fault::{EvaluationError, Fault},
    message::{Bindings, Message},
    source::Given,
    text::Step,
    time::{Offset, TimeFormat, UnixMilliseconds, time_format, time_offset},
};

/// The values of a part, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    /// The place in the file.
    at: String,
    values: Vec<(String, Value)>,
}

/// What they came to.
pub(super) type Made = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Debug)]
enum Value {
    Now {
        format: TimeFormat,
        offset: Offset,
        /// How far in the future, in milliseconds.
        later: u64,
    },
    Uuid,
    Random {
        length: usize,
        alphabet: Alphabet,
    },
    Expression(Expression),
}

#[derive(Clone, Copy, Debug)]
struct Alphabet(&'static [u8]);

impl Values {
    /// What stands behind the values in the file may name them.
    pub(super) fn parse(
        table: Option<Item<'_>>,
        declared: &Declared,
        here: &mut Here,
    ) -> Result<Self, SchemeError> {
        let Some(table) = table else {
            return Ok(Self::default());
        };
        let mut values = Vec::new();
        for (name, item) in table.fields()?.rest() {
            let name = own_name(name, &item)?;
            let value = Value::parse(&item, declared, here)?;
            let secret = matches!(&value, Value::Expression(one) if one.is_secret());
            here.values.insert(name.clone(), secret);
            values.push((name, value));
        }
        Ok(Self {
            at: table.at().to_owned(),
            values,
        })
    }

    pub(super) fn make(
        &self,
        message: &Message<'_>,
        bindings: &Bindings,
        now: UnixMilliseconds,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Made, EvaluationError> {
        let mut values = BTreeMap::new();
        for (name, value) in &self.values {
            let made = match (value, bindings.values.get(name)) {
                (Value::Expression(expression), _) => {
                    expression.bytes(Given::new(bindings, &values).with(message))?
                }
                (Value::Now { .. } | Value::Uuid | Value::Random { .. }, Some(given)) => {
                    let wrong = |fault| EvaluationError {
                        at: format!("{}.{name}", self.at),
                        rule: value.rule(),
                        fault,
                    };
                    value.check(given).map_err(wrong)?;
                    given.clone()
                }
                (
                    Value::Now {
                        format,
                        offset,
                        later,
                    },
                    None,
                ) => {
                    let time = UnixMilliseconds(now.0.saturating_add(*later));
                    format.write(time, *offset).into_bytes()
                }
                (Value::Uuid, None) => {
                    let mut bytes = [0; 16];
                    random(&mut bytes);
                    let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
                    uuid.to_string().into_bytes()
                }
                (Value::Random { length, alphabet }, None) => alphabet.text(*length, random),
            };
            values.insert(name.clone(), made);
        }
        Ok(values)
    }

    /// The names of those that may be given instead of made.
    pub(super) fn given(&self) -> impl Iterator<Item = &str> {
        let values = self.values.iter();
        values
            .filter(|(_, value)| !matches!(value, Value::Expression(_)))
            .map(|(name, _)| name.as_str())
    }

    /// Each value with its rule, those of secrets left out.
    pub(super) fn steps(&self, made: &Made) -> Vec<Step> {
        let value = |(name, value): &(String, Value)| Step {
            at: format!("{}.{name}", self.at),
            rule: value.rule(),
            bytes: match value {
                Value::Expression(expression) if expression.is_secret() => None,
                _ => made.get(name).cloned(),
            },
        };
        self.values.iter().map(value).collect()
    }
}

impl Value {
    fn parse(item: &Item<'_>, declared: &Declared, here: &Here) -> Result<Self, SchemeError> {
        if !item.is_table() {
            return Expression::parse(item, &declared.at(here)).map(Self::Expression);
        }
        let mut entries = item.fields()?;
        if let Some(now) = entries.maybe("now") {
            let format = time_format(&now)?;
            let offset = time_offset(entries.maybe("offset"), format)?;
            let later = entries.maybe("plus_seconds");
            let later = later.map_or(Ok(0), |item| item.number(1..86_401))? * 1000;
            entries.end()?;
            Ok(Self::Now {
                format,
                offset,
                later,
            })
        } else if let Some(uuid) = entries.maybe("uuid") {
            entries.end()?;
            match uuid.boolean()? {
                true => Ok(Self::Uuid),
                false => Err(uuid.refuse("WRONG_VALUE", "expected true")),
            }
        } else if let Some(length) = entries.maybe("random") {
            let alphabet = entries.take("alphabet")?;
            entries.end()?;
            let alphabet = match alphabet.text()? {
                "hex" => Alphabet(b"0123456789abcdef"),
                "decimal" => Alphabet(b"0123456789"),
                "alphanumeric" => {
                    Alphabet(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
                }
                other => {
                    let message = format!("expected hex, decimal or alphanumeric, found {other:?}");
                    return Err(alphabet.refuse("WRONG_VALUE", message));
                }
            };
            let length = usize::try_from(length.number(8..257)?).unwrap_or(8);
            Ok(Self::Random { length, alphabet })
        } else {
            Expression::parse(item, &declared.at(here)).map(Self::Expression)
        }
    }

    /// Whether a value that is given could have been made so.
    fn check(&self, given: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Now { format, offset, .. } => match format.read(given, *offset) {
                Some(_) => Ok(()),
                None => Err(Fault::Time(format.name())),
            },
            Self::Uuid | Self::Random { .. } => {
                let plain = given.iter().all(u8::is_ascii_graphic);
                match plain && (1..=MAX_GIVEN).contains(&given.len()) {
                    true => Ok(()),
                    false => Err(Fault::Encoding("1 to 256 printable ASCII characters")),
                }
            }
            Self::Expression(_) => Ok(()),
        }
    }

    fn rule(&self) -> String {
        match self {
            Self::Now { format, .. } => format!("now as {}", format.name()),
            Self::Uuid => "a random UUID".to_owned(),
            Self::Random { length, .. } => format!("{length} random characters"),
            Self::Expression(expression) => expression.rule(),
        }
    }
}

impl Alphabet {
    fn text(self, length: usize, random: &mut dyn FnMut(&mut [u8])) -> Vec<u8> {
        let mut character = || {
            let mut bytes = [0; 8];
            random(&mut bytes);
            // Of 64 bits, what is left of dividing by at most 62 is even enough.
            let index = u64::from_le_bytes(bytes) % self.0.len() as u64;
            self.0[usize::try_from(index).unwrap_or(0)]
        };
        (0..length).map(|_| character()).collect()
    }
}

/// The longest nonce or request id that may be given, in bytes.
const MAX_GIVEN: usize = 256;
