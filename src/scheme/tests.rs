//! The shipped schemes, and what the language refuses.

use std::{fs, path::Path};

use crate::scheme::Scheme;

#[test]
fn every_shipped_scheme_proves_itself() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schemes");
    let mut faults = Vec::new();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        match Scheme::parse(&fs::read_to_string(&path).unwrap()) {
            Ok(scheme) => {
                assert_eq!(scheme.name(), name);
                assert!(!scheme.notes().is_empty(), "{name}");
                names.push(name);
            }
            Err(error) => faults.push(format!("{name}: {error}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(names.len() >= 28, "{names:?}");
}
