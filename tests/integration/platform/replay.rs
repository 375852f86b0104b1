//! A message that came before is known, also after a restart; one that is not authentic uses nothing up.

use chancery::{
    client::Code,
    proto::v1::{Algorithm as A, Verdict},
};
use sha2::{Digest, Sha256};

use crate::{
    platform::{
        shared::{OLD, SECRET, explain, github, world},
        world::{Held, World},
    },
    softhsm::Token,
};

#[tokio::test]
async fn a_callback_is_valid_once_and_then_a_duplicate_that_says_the_same() {
    let world = world().await;
    let hook = github(b"{\"once\":true}", SECRET);
    let first = world.verdict("github", "", hook.clone()).await;
    assert_eq!(
        (first.verdict(), first.reason.as_str()),
        (Verdict::Valid, "")
    );
    assert_eq!(&*first.authenticated[0].value, b"{\"once\":true}");
    assert_eq!(first.scheme, "schemes/github");
    assert_eq!(first.key.as_ref().unwrap().name, "keys/hooks/versions/1");
    let protections = first.protections.as_ref().unwrap();
    assert!(protections.replay && protections.past_window.is_none());
    assert!(
        protections
            .lacking
            .iter()
            .any(|one| one.contains("no time")),
        "{protections:?}"
    );

    let again = world.verdict("github", "", hook).await;
    assert_eq!(
        (again.verdict(), again.reason.as_str()),
        (Verdict::Duplicate, "DUPLICATE")
    );
    assert_eq!(again.authenticated, first.authenticated);
}

/// A message that is not authentic uses nothing up: else anyone could make the true one a duplicate.
#[tokio::test]
async fn what_is_not_valid_is_not_remembered() {
    let world = world().await;
    let true_one = github(b"{\"twice\":1}", SECRET);
    for _ in 0..2 {
        let forged = world
            .verdict("github", "", github(b"{\"twice\":1}", OLD))
            .await;
        assert_eq!(
            (forged.verdict(), forged.reason.as_str()),
            (Verdict::Invalid, "SIGNATURE_INVALID")
        );
        assert!(forged.authenticated.is_empty() && forged.key.is_none());
    }
    let explained = explain(world, "github", true_one.clone()).await;
    assert_eq!(explained.reason, "");
    assert_eq!(&*explained.strings_to_sign[0], b"{\"twice\":1}");
    assert_eq!(
        &*explained.string_sha256[0],
        &Sha256::digest(b"{\"twice\":1}")[..]
    );
    assert_eq!(
        world.verdict("github", "", true_one).await.verdict(),
        Verdict::Valid
    );
}

/// What can't be remembered can't be told from a replay: it is refused, and the others go on.
#[tokio::test]
async fn a_full_memory_refuses_what_is_new_and_still_knows_what_it_has_seen() {
    let partner = |name: &str| {
        let text = format!(
            "[partner]\nname = {name:?}\ntitle = \"t\"\n[keys.platform]\nkey = \"hooks\"\n[schemes.github]\n"
        );
        (name.to_owned(), text)
    };
    let partners = [partner("one"), partner("two")];
    let tables = "[replay]\nmax_entries_per_partner = 1\n";
    let world = World::with(&partners, Token::new("full"), tables);
    world
        .import(Held {
            name: "hooks",
            algorithm: A::Hs256,
            secret: SECRET,
            readable: false,
        })
        .await;
    let hook = |body: &[u8]| github(body, SECRET);
    assert_eq!(
        world.verdict("one", "", hook(b"1")).await.verdict(),
        Verdict::Valid
    );
    let refused = world.callback("one", "", hook(b"2")).await.unwrap_err();
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert_eq!(refused.reason, "REPLAY_MEMORY_FULL");
    assert_eq!(
        world.verdict("one", "", hook(b"1")).await.verdict(),
        Verdict::Duplicate
    );
    assert_eq!(
        world.verdict("two", "", hook(b"2")).await.verdict(),
        Verdict::Valid
    );
    // After a restart it is known too.
    let mut world = world;
    world.daemon.restart().await;
    assert_eq!(
        world.verdict("two", "", hook(b"2")).await.verdict(),
        Verdict::Duplicate
    );
}
