"""MLflow as a mirror of the ledger: whatever happened to either, `sync` makes them equal again."""

from humtune.tracking.mirror import Mirror
from humtune.tracking.place import browse, readable, tracking_uri
from humtune.tracking.sync import Synced, Tracker, sync

__all__ = ["Mirror", "Synced", "Tracker", "browse", "readable", "sync", "tracking_uri"]
