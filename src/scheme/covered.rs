//! What a signature covers: nothing else of a message may be called authentic, or tell its time.

use crate::scheme::{
    document::{Item, SchemeError},
    expression::Expression,
    family,
    source::Source,
};

/// What is signed, in every form.
pub(super) struct Signed<'v> {
    pub(super) forms: &'v [Expression],
    pub(super) values: &'v [(String, Expression)],
    /// What says by a standard of its own what is signed, in place of forms.
    pub(super) family: Option<&'v family::Verifying>,
    /// What was decrypted came from these.
    pub(super) decrypted: &'v [&'v Expression],
}

impl Signed<'_> {
    /// Whether a source is signed, all of it: nothing of it can be changed without the signature being wrong.
    pub(super) fn covers_whole(&self, source: &Source) -> bool {
        match source {
            // Who answers knows it, and the message can't change it.
            Source::Constant(_) | Source::Input(_) | Source::Signature => true,
            // Families give only what is signed.
            Source::Parameter(_) => true,
            _ if self.family.is_some() => {
                let least = self.family.map_or_else(Vec::new, family::Verifying::covers);
                let wanted = self.traced(source, Expression::sources);
                wanted.into_iter().all(|one| match one {
                    Source::Constant(_) | Source::Input(_) | Source::Parameter(_) => true,
                    one => least.iter().any(|whole| one.is_part_of(whole)),
                })
            }
            // Without a signature nothing is.
            _ if self.forms.is_empty() => false,
            _ => self.forms.iter().all(|form| {
                let signed = self.origins(form);
                let is_signed = |one: &Source| signed.iter().any(|whole| one.is_part_of(whole));
                self.origin(source).into_iter().all(|one| {
                    // What was decrypted is as good as all that it was decrypted from.
                    let plain = matches!(
                        one,
                        Source::Decrypted
                            | Source::Json {
                                decrypted: true,
                                ..
                            }
                    );
                    let mut from = self.decrypted.iter().flat_map(|one| one.sources());
                    is_signed(one) || plain && from.all(is_signed)
                })
            }),
        }
    }

    /// Whether all that an expression names is signed, or what it was taken from is: whole, or as a field of what is
    /// joined, which can't be moved into another since no text is taken that could be read as other fields.
    pub(super) fn covers(
        &self,
        item: &Item<'_>,
        expression: &Expression,
    ) -> Result<(), SchemeError> {
        let joined = |one: &Source| {
            !self.forms.is_empty() && self.forms.iter().all(|form| form.joins_field(one))
        };
        let mut named = expression.sources().into_iter();
        let is_signed = named.all(|source| {
            let mut from = self.traced(source, Expression::sources).into_iter();
            self.covers_whole(source) || from.all(|one| self.covers_whole(one) || joined(one))
        });
        match is_signed {
            true => Ok(()),
            false => Err(item.refuse(
                "NOT_SIGNED",
                "is no part of what is signed: whoever sends a message again could change it",
            )),
        }
    }

    /// Whether there are fields to hand on of every message, whichever form of the string is signed.
    pub(super) fn tells_fields(&self) -> bool {
        !self.forms.is_empty() && self.forms.iter().all(Expression::tells_fields)
    }

    /// Where a form's bytes come from: what it names, and what its values were taken from.
    fn origins<'s>(&'s self, form: &'s Expression) -> Vec<&'s Source> {
        let mut found = form.whole_sources();
        for source in form.whole_sources() {
            found.extend(self.traced(source, Expression::whole_sources));
        }
        found
    }

    /// A value that is signed itself stands for itself, any other for what it was taken from.
    fn origin<'s>(&'s self, source: &'s Source) -> Vec<&'s Source> {
        match self
            .forms
            .iter()
            .all(|form| form.sources().contains(&source))
        {
            true => vec![source],
            false => self.traced(source, Expression::sources),
        }
    }

    // A value names only values before it, so this ends.
    fn traced<'s>(&'s self, source: &'s Source, sources: SourcesOf) -> Vec<&'s Source> {
        let named = |name: &str| self.values.iter().find(|(other, _)| other == name);
        match source {
            Source::Value(name) => named(name).map_or_else(Vec::new, |(_, value)| {
                let found = sources(value).into_iter();
                found
                    .flat_map(|source| self.traced(source, sources))
                    .collect()
            }),
            other => vec![other],
        }
    }
}

/// All sources of an expression, or those of which nothing gets lost.
type SourcesOf = for<'e> fn(&'e Expression) -> Vec<&'e Source>;
