//! Files that are read again: on SIGHUP, and when one has changed. Whole or not at all, and recorded either way.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{signal::unix::Signal, time::interval};

use crate::{
    audit::{Digest, Event, Reloadable, Reloaded},
    config,
    signer::{PolicyLeave, Signer},
    tls::Endpoint,
};

/// Reloads on SIGHUP, and when a file has changed. A bad file changes nothing, and is said. `seen_platforms` is what
/// the files of schemes and partners looked like just before they were read.
pub(super) async fn reload_on_change(
    mut hangup: Signal,
    policy_file: PathBuf,
    platforms: config::Platforms,
    mut seen_platforms: config::Files,
    signer: Arc<Signer>,
    endpoint: Arc<Endpoint>,
) {
    let mut ticks = interval(endpoint.reload_interval().min(Duration::from_secs(5)));
    // It was read long ago, before the store was open and the ports were bound: once more, then, whatever it looks like.
    let mut seen = None;
    let mut waiting = false;
    let mut forgotten = false;
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            _ = ticks.tick() => false,
        };
        let now = fingerprint(&policy_file);
        // A file that waits for approval is looked at again and again.
        if asked || now != seen || waiting {
            let is_news = asked || now != seen;
            seen = now;
            match reload_policy(&policy_file, &signer, is_news).await {
                File::Waits => waiting = true,
                File::Settled => waiting = false,
                File::Forgotten => (waiting, forgotten) = (false, true),
            }
        }
        // Until the store knows what is in force, a start would give back what was taken away.
        if forgotten {
            let policy = signer.policy();
            let again = signer.adopt_policy(&policy, PolicyLeave::Free).await;
            forgotten = again.is_err();
            if !forgotten {
                tracing::info!(
                    policy = policy.digest(),
                    "the policy in force is remembered now"
                );
            }
        }
        let now = platforms.fingerprint();
        if asked || now != seen_platforms {
            seen_platforms = now;
            reload_partners(platforms.clone(), &signer).await;
        }
        let door = Arc::clone(&endpoint);
        let reloaded = tokio::task::spawn_blocking(move || {
            let reloaded = (asked || door.changed()).then(|| door.reload());
            (reloaded, door.recheck())
        });
        match reloaded.await {
            Ok((Some(Ok(closed)), _)) => {
                tracing::info!(closed, "certificates reloaded");
                tell_fault(&endpoint);
                record(&signer, Reloadable::Certificates, None, true).await;
            }
            Ok((Some(Err(error)), _)) => {
                tracing::error!(%error, "the new certificates are refused; the old ones stay in force");
                record(&signer, Reloadable::Certificates, None, false).await;
            }
            Ok((None, 0)) | Err(_) => {}
            Ok((None, closed)) => {
                tracing::info!(closed, "connections closed whose certificates have expired")
            }
        }
    }
}

/// The daemon works without a certificate that clients take; nobody else would say so here.
pub(super) fn tell_fault(endpoint: &Endpoint) {
    if let Some(fault) = endpoint.certificate_fault() {
        tracing::error!(%fault, "no client will connect");
    }
}

/// What became of the policy's file.
enum File {
    /// It is in force, or refused.
    Settled,
    /// It waits for what may come: approvals, or the store.
    Waits,
    /// It is in force, and the store does not know that.
    Forgotten,
}

/// The policy.
async fn reload_policy(file: &Path, signer: &Signer, is_news: bool) -> File {
    let policy = match config::load_policy(file) {
        Ok(policy) if policy.sha256() == signer.policy().sha256() => {
            signer.refuse_policy(None);
            return File::Settled;
        }
        Ok(policy) => policy,
        Err(error) => {
            signer.refuse_policy(Some(error.to_string()));
            tracing::error!(%error, "the new policy is refused; the old one stays in force");
            record(signer, Reloadable::Policy, None, false).await;
            return File::Settled;
        }
    };
    let digest = Some(Digest::from_bytes(*policy.sha256()));
    let leave = match signer.leave_for_policy(&policy).await {
        Ok(leave) => leave,
        Err(refused) => {
            signer.refuse_policy(Some(refused.to_string()));
            if is_news {
                tracing::error!(error = %refused, "the new policy is refused; the old one stays in force");
                record(signer, Reloadable::Policy, digest, false).await;
            }
            return File::Waits;
        }
    };
    let mut settled = File::Settled;
    if let Err(error) = signer.adopt_policy(&policy, leave).await {
        if leave != PolicyLeave::Free {
            signer.refuse_policy(Some(error.to_string()));
            tracing::error!(%error, "the new policy can't be taken yet; the old one stays in force");
            return File::Waits;
        }
        // It allows no more than the old one, or nobody asked for approval: that must not wait for the store.
        tracing::warn!(%error, "that this policy is in force can't be remembered yet; it is tried again");
        settled = File::Forgotten;
    }
    // Before it decides anything.
    if record(signer, Reloadable::Policy, digest, true).await {
        let (digest, rules) = (policy.digest().to_owned(), policy.len());
        signer.replace_policy(policy);
        signer.refuse_policy(None);
        tracing::info!(policy = digest, rules, "policy reloaded");
    }
    settled
}

/// All partners and schemes, whole or not at all. Their vectors are run, which takes a while.
async fn reload_partners(platforms: config::Platforms, signer: &Signer) {
    let load = move || config::load_partners(&platforms).map(|found| (found, platforms.digest()));
    match tokio::task::spawn_blocking(load).await {
        Ok(Ok((partners, digest))) => {
            tracing::info!(
                partners = partners.iter().count(),
                schemes = partners.schemes().count(),
                "partners reloaded"
            );
            if record(signer, Reloadable::Partners, Some(digest), true).await {
                signer.replace_partners(partners);
            }
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the new partners are refused; the old ones stay in force");
            record(signer, Reloadable::Partners, None, false).await;
        }
        Err(error) => tracing::error!(%error, "the partners can't be reloaded"),
    }
}

fn fingerprint(path: &Path) -> Option<(SystemTime, u64)> {
    let facts = std::fs::metadata(path).ok()?;
    Some((facts.modified().ok()?, facts.len()))
}

/// Says what was read again, and whether it is in force. Whether that is on the disk.
async fn record(signer: &Signer, what: Reloadable, digest: Option<Digest>, applied: bool) -> bool {
    let Some(audit) = signer.audit() else {
        return true;
    };
    let event = Event::Reloaded(Reloaded {
        what,
        digest,
        applied,
    });
    match audit.record(event).await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, ?what, "it can't be recorded; what was in force stays so");
            false
        }
    }
}
