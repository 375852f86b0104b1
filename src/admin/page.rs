//! The status page: how the tokens are, what the calls came to; one page, without scripts.

use std::fmt::{self, Write};

use crate::{admin::Shown, key::Custody, pkcs11::Health};

/// The page, as HTML. It asks for itself again every few seconds.
pub(super) fn page(shown: &Shown) -> Result<String, fmt::Error> {
    let mut page = String::from(HEAD);
    tokens(&mut page, shown)?;
    partners(&mut page, shown)?;
    facts(&mut page, shown)?;
    calls(&mut page, shown)?;
    page.push_str("<p><a href=\"metrics\">metrics</a> <a href=\"readyz\">readyz</a> <a href=\".well-known/jwks.json\">public keys</a></p>\n");
    Ok(page)
}

fn tokens(page: &mut String, shown: &Shown) -> fmt::Result {
    page.push_str(
        "<h2>Tokens</h2>\n<table><tr><th>name<th>health<th>model<th>serial<th>keys<th>unusable</tr>\n",
    );
    for token in shown.signer.tokens() {
        let health = token.health().borrow().clone();
        let (class, health) = match &health {
            Health::Ready => ("good", "ready"),
            Health::Starting => ("bad", "starting"),
            Health::Down(why) => ("bad", why.as_str()),
        };
        let (facts, keys) = (token.facts(), token.keys());
        writeln!(
            page,
            "<tr><td>{}<td class={class}>{}<td>{} {}<td>{}<td class=number>{}<td class=number>{}</tr>",
            Escaped(token.name().as_str()),
            Escaped(health),
            Escaped(&facts.manufacturer),
            Escaped(&facts.model),
            Escaped(&facts.serial),
            keys.iter().count(),
            keys.problems().len(),
        )?;
    }
    page.push_str("</table>\n");
    for token in shown.signer.tokens() {
        for problem in token.keys().problems() {
            writeln!(
                page,
                "<p class=bad>{}: {}: {}</p>",
                Escaped(token.name().as_str()),
                Escaped(&problem.label),
                Escaped(&problem.text),
            )?;
        }
        let keys = token.keys();
        let readable = keys
            .iter()
            .filter(|key| key.custody == Custody::WorkerReadable);
        for key in readable {
            writeln!(
                page,
                "<p class=bad>{}: {}: worker-readable: the token shows it to whoever has its PIN</p>",
                Escaped(token.name().as_str()),
                Escaped(key.name.as_str()),
            )?;
        }
    }
    Ok(())
}

fn partners(page: &mut String, shown: &Shown) -> fmt::Result {
    let partners = shown.signer.partners();
    let not_ready = shown.signer.not_ready();
    writeln!(
        page,
        "<h2>Partners</h2>\n<p>{} schemes</p>",
        partners.schemes().count()
    )?;
    if partners.iter().next().is_none() {
        return Ok(());
    }
    page.push_str("<table><tr><th>partner<th>title<th>schemes<th>keys</tr>\n");
    for partner in partners.iter() {
        let schemes: Vec<_> = partner.schemes().map(|(name, _)| name.as_str()).collect();
        let problems: Vec<_> = not_ready
            .iter()
            .filter(|one| one.partner == *partner.name())
            .map(|one| format!("{} {} ({}): {}", one.scheme, one.role, one.key, one.why))
            .collect();
        let (class, keys) = match problems.is_empty() {
            true => ("good", "ready".to_owned()),
            false => ("bad", problems.join("; ")),
        };
        writeln!(
            page,
            "<tr><td>{}<td>{}<td>{}<td class={class}>{}</tr>",
            Escaped(partner.name().as_str()),
            Escaped(partner.title()),
            Escaped(&schemes.join(" ")),
            Escaped(&keys),
        )?;
    }
    page.push_str("</table>\n");
    Ok(())
}

fn audit(shown: &Shown) -> (&'static str, String) {
    let signer = &shown.signer;
    let Some(audit) = signer.audit() else {
        return ("bad", "none: nothing is recorded".to_owned());
    };
    if let Some(fault) = signer.audit_fault() {
        return ("bad", fault);
    }
    let (records, checkpoints) = (audit.durable(), signer.checkpoints());
    match checkpoints.vkey() {
        Some(vkey) => (
            "good",
            format!(
                "{records} records, last checkpoint {} s ago, {vkey}",
                checkpoints.age().as_secs()
            ),
        ),
        None => (
            "bad",
            format!("{records} records, no key for checkpoints yet"),
        ),
    }
}

fn facts(page: &mut String, shown: &Shown) -> fmt::Result {
    let (class, store) = store(shown);
    let (policy, door) = (shown.signer.policy(), shown.endpoint.counters());
    let (audit_class, audit) = audit(shown);
    writeln!(
        page,
        "<h2>Door</h2>\n<table>\n\
         <tr><th>store<td class={class}>{}</tr>\n\
         <tr><th>version<td>{}</tr>\n\
         <tr><th>policy<td>{} ({} rules)</tr>\n\
         <tr><th>audit log<td class={audit_class}>{}</tr>
         <tr><th>requests denied<td>{}</tr>\n\
         <tr><th>connections<td>{} now, {} so far</tr>\n\
         <tr><th>handshakes refused<td>{}</tr>\n\
         <tr><th>connections shed<td>{}</tr>\n\
         </table>",
        Escaped(&store),
        env!("CARGO_PKG_VERSION"),
        Escaped(policy.digest()),
        policy.len(),
        Escaped(&audit),
        shown.signer.denials(),
        door.active(),
        door.accepted(),
        door.handshake_failures(),
        door.shed(),
    )
}

/// How the store is, and what that means for callers.
pub(super) fn store(shown: &Shown) -> (&'static str, String) {
    match shown.signer.store_trouble() {
        None => ("good", "ready".to_owned()),
        Some(why) => (
            "bad",
            format!(
                "down: {why}; signatures go on, changes of keys, request ids and callbacks are refused"
            ),
        ),
    }
}

fn calls(page: &mut String, shown: &Shown) -> fmt::Result {
    page.push_str("<h2>Calls</h2>\n<table><tr><th>method<th>ended<th>mean</tr>\n");
    for method in shown.calls.methods() {
        let ended: Vec<_> = method.ended().collect();
        let count: u64 = ended.iter().map(|(_, count)| count).sum();
        if count == 0 {
            continue;
        }
        write!(page, "<tr><td>{}<td>", Escaped(method.name()))?;
        for (code, count) in ended {
            write!(page, "{code} {count} ")?;
        }
        let mean = method.total_duration().as_secs_f64() * 1000.0 / count as f64;
        writeln!(page, "<td class=number>{mean:.2} ms</tr>")?;
    }
    page.push_str("</table>\n");
    Ok(())
}

/// Text in which nothing is markup.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sign in self.0.chars() {
            match sign {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

const HEAD: &str = "<!doctype html>
<html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5><title>Chancery</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; color: #222 }
table { border-collapse: collapse } td, th { padding: .2rem 1rem .2rem 0; text-align: left; vertical-align: top }
.number { text-align: right } .good { color: #060 } .bad { color: #a00 }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd } .good { color: #6c6 } .bad { color: #f88 } a { color: #9cf } }
</style>
<h1>Chancery</h1>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let shown = Escaped("<a href=\"x\" b='y'>&amp;é").to_string();
        assert_eq!(
            shown,
            "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;é"
        );
    }
}
