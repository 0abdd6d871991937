"""What can be seen from outside: the objects' statuses as they change, and what was delivered, in order."""

import threading
import time

import repositories
from cluster_api import Watch, path_of
from tenants import DELIVERED, NAMESPACES


class Observation:
    """Watches the honest namespaces."""

    def __init__(self, api, tenants):
        self.api, self.tenants = api, tenants
        self.by_key = {(one.namespace, one.name): one for one in tenants.objects}
        self.by_prefix = {(one.namespace, one.name.replace("-", "_")): one for one in tenants.objects}
        # The images that were seen in ConfigMaps, by object, in order: (seconds, image).
        self.config_maps = {}
        self.lock = threading.Lock()
        for namespace in NAMESPACES:
            Watch(api, path_of(namespace, "patchsets"), self.patch_set)
            Watch(
                api,
                path_of(namespace, "configmaps", group="/api/v1"),
                self.config_map,
                f"metadata.name={DELIVERED}",
            )

    def patch_set(self, kind, thing):
        one = self.by_key.get((thing["metadata"]["namespace"], thing["metadata"]["name"]))
        if one and kind != "DELETED":
            one.observe(thing.get("status", {}), time.monotonic())

    def config_map(self, kind, thing):
        if kind == "DELETED":
            return
        now = time.monotonic()
        for key, image in thing.get("data", {}).items():
            prefix = key.removesuffix("_reference")
            one = self.by_prefix.get((thing["metadata"]["namespace"], prefix)) if prefix != key else None
            if one:
                with self.lock:
                    seen = self.config_maps.setdefault(f"{one.namespace}/{one.name}", [])
                    if not seen or seen[-1][1] != image:
                        seen.append((now, image))

    def commits(self):
        """The images that were committed, by object, in commit order."""
        found = {}
        for namespace in NAMESPACES:
            repository = f"{self.tenants.folder}/{namespace}/gitops.git"
            for _, file, image in repositories.image_lines(repository, "main"):
                name = file.removeprefix("apps/").removesuffix(".yaml")
                if image != "none":
                    found.setdefault(f"{namespace}/{name}", []).append(image)
        return found

    def events(self, namespaces):
        """How many Kubernetes Events there are, by reason."""
        counts = {}
        for namespace in namespaces:
            for event in self.api.list(path_of(namespace, "events", group="/api/v1")):
                reason = event.get("reason", "?")
                counts[reason] = counts.get(reason, 0) + 1
        return counts
