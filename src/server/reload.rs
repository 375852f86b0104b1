//! Files that are read again: on SIGHUP, and when one has changed. Whole or not at all, and recorded either way.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{signal::unix::Signal, time::interval};

use crate::{
    audit::{Digest, Event, Reloadable, Reloaded},
    config,
    signer::Signer,
    tls::Endpoint,
};

/// Reloads on SIGHUP, and when a file has changed. A bad file changes nothing, and is said.
pub(super) async fn reload_on_change(
    mut hangup: Signal,
    policy_file: PathBuf,
    platforms: config::Platforms,
    signer: Arc<Signer>,
    endpoint: Arc<Endpoint>,
) {
    let mut ticks = interval(endpoint.reload_interval().min(Duration::from_secs(5)));
    let mut seen = fingerprint(&policy_file);
    let mut seen_platforms = platforms.fingerprint();
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            _ = ticks.tick() => false,
        };
        let now = fingerprint(&policy_file);
        if asked || now != seen {
            seen = now;
            match config::load_policy(&policy_file) {
                Ok(policy) if policy.digest() == signer.policy().digest() => {}
                Ok(policy) => {
                    tracing::info!(
                        policy = policy.digest(),
                        rules = policy.len(),
                        "policy reloaded"
                    );
                    let digest = Some(Digest::from_bytes(*policy.sha256()));
                    // Before it decides anything.
                    if record(&signer, Reloadable::Policy, digest, true).await {
                        signer.replace_policy(policy);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the new policy is refused; the old one stays in force");
                    record(&signer, Reloadable::Policy, None, false).await;
                }
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

/// All partners and schemes, whole or not at all. Their vectors are run, which takes a while.
async fn reload_partners(platforms: config::Platforms, signer: &Signer) {
    match tokio::task::spawn_blocking(move || config::load_partners(&platforms)).await {
        Ok(Ok(partners)) => {
            tracing::info!(
                partners = partners.iter().count(),
                schemes = partners.schemes().count(),
                "partners reloaded"
            );
            if record(signer, Reloadable::Partners, None, true).await {
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

fn fingerprint(path: &std::path::Path) -> Option<(SystemTime, u64)> {
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
