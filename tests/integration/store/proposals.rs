//! What needs approval is approved by others than its author, and executed once.

use chancery::{
    identity::IdentityName,
    store::{NewProposal, Proposal, ProposalConfig, Refusal, Settings, Store, StoreError},
};

use super::place::{at, on_both};

fn who(name: &str) -> IdentityName {
    format!("spiffe://example.org/{name}").parse().unwrap()
}

async fn propose(store: &Store, required: u32) -> Proposal {
    let author = who("author");
    let new = NewProposal {
        act: "destroy",
        subject: "payouts/1",
        content: b"\0\xff",
        author: &author,
        required,
        expires_at: at(100),
    };
    store.proposals().propose(new, at(0)).await.unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Refusal {
    match result.unwrap_err() {
        StoreError::Proposal { refusal, .. } => refusal,
        other => panic!("{other}"),
    }
}

on_both! {
    async fn a_proposal_is_executed_once_when_enough_have_approved(place) {
        let store = place.open().await;
        let proposals = store.proposals();
        let id = propose(&store, 2).await.id;
        let early = refusal(proposals.execute(id, &who("author"), at(1)).await);
        assert_eq!(early, Refusal::Unapproved { given: 0, required: 2 });
        assert_eq!(refusal(proposals.approve(id, &who("author"), at(1)).await), Refusal::OwnAuthor);
        proposals.approve(id, &who("a"), at(2)).await.unwrap();
        assert_eq!(refusal(proposals.approve(id, &who("a"), at(3)).await), Refusal::ApprovedBefore);
        let early = refusal(proposals.execute(id, &who("a"), at(3)).await);
        assert_eq!(early, Refusal::Unapproved { given: 1, required: 2 });
        proposals.approve(id, &who("b"), at(4)).await.unwrap();
        assert_eq!(refusal(proposals.finish(id, "done").await), Refusal::NotExecuting);
        let executing = proposals.execute(id, &who("author"), at(5)).await.unwrap();
        assert_eq!(executing.approvals, [(who("a"), at(2)), (who("b"), at(4))]);
        assert_eq!(refusal(proposals.execute(id, &who("a"), at(6)).await), Refusal::Executed);
        assert_eq!(refusal(proposals.approve(id, &who("c"), at(6)).await), Refusal::Executed);
        assert_eq!(refusal(proposals.withdraw(id, &who("author"), at(6)).await), Refusal::Executed);
        proposals.finish(id, "done").await.unwrap();
        assert_eq!(refusal(proposals.finish(id, "twice").await), Refusal::NotExecuting);
        let read = place.open().await.proposals().proposal(id).await.unwrap();
        let execution = read.execution.unwrap();
        assert_eq!((execution.by, execution.outcome.as_deref()), (who("author"), Some("done")));
        assert_eq!((&*read.content, &*read.act, &*read.subject), (&b"\0\xff"[..], "destroy", "payouts/1"));
    }

    async fn time_and_its_author_end_a_proposal(place) {
        let store = place.open().await;
        let proposals = store.proposals();
        let id = propose(&store, 1).await.id;
        proposals.approve(id, &who("a"), at(99)).await.unwrap();
        assert_eq!(refusal(proposals.execute(id, &who("a"), at(100)).await), Refusal::Expired);
        assert_eq!(refusal(proposals.approve(id, &who("b"), at(100)).await), Refusal::Expired);
        assert_eq!(refusal(proposals.withdraw(id, &who("a"), at(9)).await), Refusal::NotItsAuthor);
        proposals.withdraw(id, &who("author"), at(9)).await.unwrap();
        assert_eq!(refusal(proposals.execute(id, &who("a"), at(10)).await), Refusal::Withdrawn);
        let unknown = uuid::Uuid::now_v7();
        let none = proposals.approve(unknown, &who("a"), at(1)).await;
        assert_eq!(none, Err(StoreError::NoSuchProposal(unknown)));
    }

    async fn of_many_who_execute_one_does(place) {
        let stores = [place.open().await, place.open().await];
        let id = propose(&stores[0], 1).await.id;
        stores[1].proposals().approve(id, &who("a"), at(1)).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..32_usize {
            let store = stores[task % 2].clone();
            tasks.spawn(async move { store.proposals().execute(id, &who("b"), at(2)).await });
        }
        let (done, refused): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(done.len(), 1);
        assert!(refused.into_iter().all(|one| refusal(one) == Refusal::Executed));
    }

    async fn so_many_of_one_author_stand_open(place) {
        let settings = Settings {
            proposals: ProposalConfig { max_open_per_author: 2 },
            ..Settings::default()
        };
        let store = Store::open(&place.config, settings).await.unwrap();
        let (author, other) = (who("author"), who("other"));
        let propose = async |by: &IdentityName, now, until| {
            let new = NewProposal {
                act: "destroy",
                subject: "payouts/1",
                content: b"",
                author: by,
                required: 1,
                expires_at: at(until),
            };
            store.proposals().propose(new, at(now)).await.map(|made| made.id)
        };
        let full = Err(StoreError::TooManyProposals { limit: 2 });
        let first = propose(&author, 0, 10).await.unwrap();
        let second = propose(&author, 0, 20).await.unwrap();
        assert_eq!(propose(&author, 9, 20).await, full);
        // Another's do not count, nor what has expired, was executed or withdrawn.
        propose(&other, 9, 20).await.unwrap();
        let third = propose(&author, 10, 30).await.unwrap();
        assert_eq!(propose(&author, 11, 30).await, full);
        store.proposals().withdraw(third, &author, at(12)).await.unwrap();
        propose(&author, 13, 30).await.unwrap();
        assert_eq!(propose(&author, 13, 30).await, full);
        store.proposals().approve(second, &other, at(14)).await.unwrap();
        assert_eq!(propose(&author, 14, 30).await, full);
        store.proposals().execute(second, &author, at(15)).await.unwrap();
        propose(&author, 15, 30).await.unwrap();
        assert_eq!(store.proposals().list(None, 10).await.unwrap().len(), 6);
        assert!(store.proposals().proposal(first).await.is_ok());
    }

    async fn proposals_are_listed_from_the_latest(place) {
        let store = place.open().await;
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.insert(0, propose(&store, 1).await.id);
        }
        let list = async |before, most| {
            let found = store.proposals().list(before, most).await.unwrap();
            found.into_iter().map(|one| one.id).collect::<Vec<_>>()
        };
        assert_eq!(list(None, 3).await, ids[..3]);
        assert_eq!(list(Some(ids[2]), 3).await, ids[3..]);
    }
}
