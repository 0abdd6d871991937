//! Any YAML file with markers: an edit changes only the marked values, and these say what they
//! should.

#![no_main]

use libfuzzer_sys::fuzz_target;
use gitops_markers::{DeliveredImage, PatchSetName, edit_file};

const MARKERS: [&str; 4] = [
    " # {\"$patchset\": \"ns:app\"}\n",
    " # {\"$patchset\": \"ns:app:tag\"}\n",
    " # {\"$patchset\": \"ns:app:repository\"}\n",
    " # {\"$patchset\": \"ns:other\"}\n",
];

fuzz_target!(|data: &[u8]| {
    // The bytes 0 to 3, which YAML does not allow, stand for markers.
    let mut text = String::new();
    for c in String::from_utf8_lossy(data).chars() {
        match MARKERS.get(c as usize) {
            Some(marker) => text.push_str(marker),
            None => text.push(c),
        }
    }
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let image = DeliveredImage {
        patch_set: PatchSetName::new("ns", "app"),
        repository: "registry.example.org/team/app".to_owned(),
        tag: "1.0.0-p1".to_owned(),
        digest: digest.to_owned(),
        reference: format!("registry.example.org/team/app:1.0.0-p1@{digest}"),
        revision: "1.0.0@sha1:1111111111111111111111111111111111111111".to_owned(),
    };
    let image_of = |patch_set: &PatchSetName| (patch_set.name == "app").then_some(&image);
    let Ok(edited) = edit_file(&text, image_of) else { return };
    let Some(after) = &edited.text else {
        assert!(edited.changes.is_empty());
        return;
    };
    let again = edit_file(after, image_of).expect("what was edited can be read");
    assert_eq!(again.text, None, "an edit of {text:?} is not its own end: {after:?}");
    assert_eq!(again.followed, edited.followed);
    assert_eq!(again.values.len(), edited.values.len());
    for change in &edited.changes {
        assert_eq!(change.after, change.marker.value_of(&image));
    }
});
