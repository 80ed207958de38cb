"""track: make MLflow equal to a search's own record."""

from humtune.cli.options import DEFAULT_STORAGE, SearchName, StorageUri


def track(name: SearchName, storage: StorageUri = DEFAULT_STORAGE) -> None:
    """Bring MLflow up to date with the search's own record.

    Safe to repeat: what is there already stays as it is. MLFLOW_TRACKING_URI says where MLflow is;
    without it, in the storage. Example: humtune track fans
    """
    from rich.console import Console

    from humtune.ledger import Ledger
    from humtune.sounds.parallel import tracked
    from humtune.storage import Storage
    from humtune.tracking import browse, readable, sync, tracking_uri

    ledger = Ledger.open(Storage(storage), name)
    uri = tracking_uri(ledger.storage)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"MLflow at {readable(uri)}")
    synced = sync(ledger, uri=uri, progress=lambda trials: tracked(trials, total=len(trials), title=name))
    console.print(
        f"{name}: {synced.created} runs created, {synced.updated} updated, {synced.unchanged} unchanged"
    )
    console.print(f"to browse: {browse(uri)}")
