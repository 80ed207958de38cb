"""track: make MLflow equal to a search's own record."""

from humtune.cli.options import DEFAULT_STORAGE, SearchName, StorageUri


def track(name: SearchName, storage: StorageUri = DEFAULT_STORAGE) -> None:
    """Bring MLflow up to date with the search's own record.

    Safe to repeat: what is there already stays as it is. MLFLOW_TRACKING_URI says where MLflow is;
    without it, in the storage. Example: humtune track fans
    """
    from humtune.ledger import Ledger
    from humtune.names import console
    from humtune.sounds.parallel import tracked
    from humtune.storage import Storage
    from humtune.tracking import browse, readable, sync, tracking_uri

    ledger = Ledger.open(Storage(storage), name)
    uri = tracking_uri(ledger.storage)
    screen = console()
    screen.print(f"MLflow at {readable(uri)}", soft_wrap=True)
    synced = sync(ledger, uri=uri, progress=lambda trials: tracked(trials, total=len(trials), title=name))
    done = f"{synced.created} runs created, {synced.updated} updated, {synced.unchanged} unchanged"
    screen.print(f"{name}: {done}", soft_wrap=True)
    screen.print(f"to browse: {browse(uri)}", soft_wrap=True)
