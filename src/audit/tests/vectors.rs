//! Roots, proofs and notes that another implementation made, Go's `sumdb/tlog` and `sumdb/note`.

use serde_json::Value;

use super::*;

fn given() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/audit/tlog.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The first eight are those of the test vectors of certificate-transparency.
fn leaves(given: &Value) -> Vec<Digest> {
    let known = given["leaves"].as_array().unwrap();
    let mut leaves: Vec<_> = known
        .iter()
        .map(|leaf| tree::leaf(&hex::decode(leaf.as_str().unwrap()).unwrap()))
        .collect();
    leaves.extend((8..600).map(|at| tree::leaf(format!("leaf {at}").as_bytes())));
    leaves
}

fn roots(given: &Value) -> BTreeMap<u64, Digest> {
    let roots = given["roots"].as_object().unwrap().iter();
    roots
        .map(|(size, root)| {
            (
                size.parse().unwrap(),
                root.as_str().unwrap().parse().unwrap(),
            )
        })
        .collect()
}

fn path(value: &Value) -> Vec<Digest> {
    let hashes = value["path"].as_array().unwrap().iter();
    hashes
        .map(|hash| hash.as_str().unwrap().parse().unwrap())
        .collect()
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let given = given();
    let roots = roots(&given);
    // RFC 6962's own test vectors, as certificate-transparency publishes them.
    assert_eq!(
        roots[&8].to_string(),
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    );
    assert_eq!(
        Tree::default().root().to_string(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    let mut tree = Tree::default();
    let mut compared = 0;
    for leaf in leaves(&given) {
        tree.push(leaf);
        if let Some(root) = roots.get(&tree.size()) {
            assert_eq!(tree.root(), *root, "{}", tree.size());
            compared += 1;
        }
    }
    assert_eq!(compared, 24);
}

#[test]
fn inclusion_proofs_are_the_same_and_are_accepted() {
    let given = given();
    let (leaves, roots) = (leaves(&given), roots(&given));
    for one in given["inclusion"].as_array().unwrap() {
        let (index, size) = (
            one["index"].as_u64().unwrap(),
            one["size"].as_u64().unwrap(),
        );
        let path = path(one);
        let ours = tree::inclusion(&mut leaves.as_slice(), index, size).unwrap();
        assert_eq!(ours, path, "{index} in {size}");
        let leaf = leaves[index as usize];
        let root = roots[&size];
        assert_eq!(
            tree::check_inclusion(leaf, index, size, &path, root),
            Ok(())
        );
        for at in 0..path.len() {
            let mut wrong = path.clone();
            wrong[at] = leaf;
            let verdict = tree::check_inclusion(leaf, index, size, &wrong, root);
            assert_eq!(verdict, Err(tree::BadProof::Root));
            wrong.remove(at);
            assert!(tree::check_inclusion(leaf, index, size, &wrong, root).is_err());
        }
        let long = [path.as_slice(), &[leaf]].concat();
        assert!(tree::check_inclusion(leaf, index, size, &long, root).is_err());
        assert!(tree::check_inclusion(leaf, index ^ 1, size, &path, root).is_err() || size == 1);
    }
}

#[test]
fn consistency_proofs_are_the_same_and_are_accepted() {
    let given = given();
    let (leaves, roots) = (leaves(&given), roots(&given));
    let root = |size: u64| {
        let mut tree = Tree::default();
        leaves[..size as usize]
            .iter()
            .for_each(|leaf| tree.push(*leaf));
        assert!(roots.get(&size).is_none_or(|root| *root == tree.root()));
        tree.root()
    };
    for one in given["consistency"].as_array().unwrap() {
        let (old, new) = (one["old"].as_u64().unwrap(), one["new"].as_u64().unwrap());
        let path = path(one);
        let ours = tree::consistency(&mut leaves.as_slice(), old, new).unwrap();
        assert_eq!(ours, path, "{old} to {new}");
        let (older, newer) = ((old, root(old)), (new, root(new)));
        assert_eq!(tree::check_consistency(older, newer, &path), Ok(()));
        for at in 0..path.len() {
            let mut wrong = path.clone();
            wrong[at] = leaves[0];
            assert!(tree::check_consistency(older, newer, &wrong).is_err() || wrong == path);
            wrong.remove(at);
            assert!(tree::check_consistency(older, newer, &wrong).is_err());
        }
        let other = (new, leaves[1]);
        assert!(tree::check_consistency(older, other, &path).is_err());
    }
}

/// Every size up to 70, every proof, against the checks of RFC 9162.
#[test]
fn all_proofs_of_small_trees_hold() {
    let leaves: Vec<_> = (0..70_u8).map(|at| tree::leaf(&[at])).collect();
    let mut roots = vec![Tree::default().root()];
    let mut tree = Tree::default();
    for leaf in &leaves {
        tree.push(*leaf);
        roots.push(tree.root());
    }
    let mut source = leaves.as_slice();
    for size in 1..=leaves.len() as u64 {
        assert_eq!(
            Tree::load(&mut source, size).unwrap().root(),
            roots[size as usize]
        );
        for index in 0..size {
            let path = tree::inclusion(&mut source, index, size).unwrap();
            let (leaf, root) = (leaves[index as usize], roots[size as usize]);
            assert_eq!(
                tree::check_inclusion(leaf, index, size, &path, root),
                Ok(())
            );
            let old = index + 1;
            let path = tree::consistency(&mut source, old, size).unwrap();
            let older = (old, roots[old as usize]);
            assert_eq!(tree::check_consistency(older, (size, root), &path), Ok(()));
        }
    }
}

#[test]
fn a_note_of_another_program_is_accepted_and_ours_has_its_bytes() {
    let given = given();
    let theirs: Vkey = given["vkey"].as_str().unwrap().parse().unwrap();
    assert_eq!(theirs.to_string(), vkey().to_string());
    let text = given["note"].as_str().unwrap();
    let note: SignedCheckpoint = text.parse().unwrap();
    let checkpoint = note.verified(&theirs).unwrap().clone();
    assert_eq!(
        (checkpoint.size, checkpoint.root),
        (600, roots(&given)[&600])
    );
    // Ed25519 has one signature for each text.
    let signature = signer().sign(checkpoint.body().as_bytes());
    let ours = vkey().seal(&checkpoint, signature.as_ref()).unwrap();
    assert_eq!(ours.text(), text);
    for wrong in [
        text.replace("600", "601"),
        text.replace("600", "0600"),
        text.replace("— ", "- "),
        text.trim_end().to_owned(),
        text.replace("/test\n6", "/other\n6"),
        text.replace('\n', "\r\n"),
        String::new(),
    ] {
        let verdict = wrong.parse::<SignedCheckpoint>();
        let verdict = verdict.and_then(|note| note.verified(&theirs).cloned());
        assert!(verdict.is_err(), "{wrong}");
    }
    let two = format!("{text}— example.com/witness AAAAAA==\n");
    assert!(
        two.parse::<SignedCheckpoint>().is_err(),
        "a signature of no bytes"
    );
    let two = format!("{text}— example.com/witness AAAAAAA=\n");
    let two: SignedCheckpoint = two.parse().unwrap();
    two.verified(&theirs).unwrap();
}

#[test]
fn a_key_with_another_id_is_no_key() {
    let good = vkey().to_string();
    for wrong in [
        good.replacen("test+", "test+0", 1),
        good.replacen("/test", "/text", 1),
        good[..good.len() - 4].to_owned(),
        String::new(),
        "a+b".to_owned(),
    ] {
        assert!(wrong.parse::<Vkey>().is_err(), "{wrong}");
    }
}

#[test]
fn a_proof_is_a_text_that_another_can_read() {
    let mut log = Log::new();
    for _ in 0..200 {
        log.sign("payouts");
    }
    let signed = log.checkpoint();
    let reader = Reader::open(log.path()).unwrap();
    for index in [0, 1, 255, 256, 400] {
        let (line, proof) = reader.prove(index).unwrap();
        let text = proof.to_string();
        assert!(text.starts_with(&format!("c2sp.org/tlog-proof@v1\nindex {index}\n")));
        assert!(text.ends_with(signed.text()));
        let read: Proof = text.parse().unwrap();
        assert_eq!(read, proof);
        read.verified(line.as_bytes(), &vkey()).unwrap();
        let other = line.replace("payouts", "payout5");
        if other != line {
            assert!(read.verified(other.as_bytes(), &vkey()).is_err());
        }
    }
    assert!(matches!(
        reader.prove(401),
        Err(ReadError::NotCovered {
            index: 401,
            size: 401
        })
    ));
}
