//! Lays parts of a manifest over a whole one.

use serde_json::Value;

/// Lays `over` over `base`: objects are merged key by key, a null removes, lists whose elements all
/// have a `name` are merged by it, and anything else is replaced. That is what a strategic merge
/// patch does with the lists of a pod template that users touch (containers, env, volumes,
/// imagePullSecrets); `volumeMounts` are merged by `mountPath`, as there.
pub fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.remove(key);
                } else {
                    overlay(base.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(base), Value::Array(over)) => match key_of(over).filter(|_| !base.is_empty()) {
            Some(key) if key_of(base) == Some(key) => {
                for element in over {
                    match base.iter_mut().find(|known| known.get(key) == element.get(key)) {
                        Some(known) => overlay(known, element),
                        None => base.push(element.clone()),
                    }
                }
            }
            _ => base.clone_from(over),
        },
        (base, over) => *base = over.clone(),
    }
}

/// The key that identifies the elements of a list.
fn key_of(list: &[Value]) -> Option<&'static str> {
    ["mountPath", "name"].into_iter().find(|key| {
        list.iter()
            .all(|element| element.get(key).is_some_and(Value::is_string))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges_by_name_and_replaces_the_rest() {
        let mut base = json!({
            "spec": {
                "containers": [{ "name": "build", "args": ["a", "b"], "env": [{ "name": "A", "value": "1" }],
                    "volumeMounts": [{ "name": "w", "mountPath": "/w" }],
                    "securityContext": { "runAsUser": 1000, "seccompProfile": { "type": "Unconfined" } } }],
                "restartPolicy": "Never"
            }
        });
        overlay(
            &mut base,
            &json!({
                "metadata": { "labels": { "team": "x" } },
                "spec": {
                    "nodeSelector": { "arch": "amd64" },
                    "containers": [
                        { "name": "build", "env": [{ "name": "A", "value": "2" }, { "name": "B", "value": "3" }],
                          "volumeMounts": [{ "name": "w", "mountPath": "/x" }],
                          "securityContext": { "privileged": true, "runAsUser": null } },
                        { "name": "side", "image": "i" }
                    ]
                }
            }),
        );
        assert_eq!(
            base,
            json!({
                "metadata": { "labels": { "team": "x" } },
                "spec": {
                    "nodeSelector": { "arch": "amd64" },
                    "containers": [
                        { "name": "build", "args": ["a", "b"],
                          "env": [{ "name": "A", "value": "2" }, { "name": "B", "value": "3" }],
                          "volumeMounts": [{ "name": "w", "mountPath": "/w" }, { "name": "w", "mountPath": "/x" }],
                          "securityContext": { "privileged": true, "seccompProfile": { "type": "Unconfined" } } },
                        { "name": "side", "image": "i" }
                    ],
                    "restartPolicy": "Never"
                }
            })
        );
    }
}
