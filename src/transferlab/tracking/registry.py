"""The champion as a model in MLflow: logged once, registered, and found by the alias `champion`.

It is the file of the stage champion, a copy of this package that reads it, and what a request looks
like. Nothing in it is a pickle.
"""

import base64
import contextlib
import io
import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from ..data.images import load_images
from ..pipeline.files import read_json
from ..pipeline.places import checkout, home
from .address import database_of, in_one_line, tracking_uri
from .mlflow_runs import KEY, Store, lock
from .store import connect
from .writer import Writer

ALIAS, COLUMN = "champion", "image"
LOADER = "transferlab.delivery.served"
DATA = "data/model.safetensors"
"""The file that the loader is given."""
TENSORS, MODEL = "transferlab.tensors_sha256", "transferlab.model_id"
"""Tags of a version, which does not tell of which model it is."""
PACKAGES = ("mlflow", "numpy", "pillow", "pydantic", "safetensors", "torch", "torchvision")
ROOMS = ("data", "delivery", "network", "params", "pipeline", "prediction")
"""What answering a request imports, of others and of this package."""

Facts = Mapping[str, Any]
"""`champion/facts.json`, see `delivery.model.Facts`."""


def facts_of(root: Path) -> Facts | None:
    """What is known of a checkout's champion; None where there is no model."""
    path = root / "champion/facts.json"
    facts = read_json(path) if path.is_file() else {}
    return facts if "key" in facts else None


class Registry:
    """The models of one data set, of which a checkout's champion is or will be one.

    Args:
        store: The experiment.
        root: The checkout.
        facts: Of `facts_of`.
    """

    def __init__(self, store: Store, root: Path, facts: Facts) -> None:
        self.store, self.client, self.root, self.facts = store, store.client, root, facts
        self.name = facts["dataset"]
        self.own = {KEY: facts["key"], TENSORS: facts["tensors_sha256"]}

    def register(self, training: Writer, comparison: Writer, data: Any) -> str:
        """Log and register the champion, unless it is registered.

        The alias goes to what the repository itself has: a queued experiment's champion is a
        version without it.

        Args:
            training: The run that made the model, complete.
            comparison: The run that chose it.
            data: The test images, an `mlflow.entities.Dataset`; None where DVC does not know them.

        Returns:
            Which version it is, such as `hymenoptera version 2 (champion)`.
        """
        with lock("registry"):
            found = self._version() or self._new_version(training, data)
        for run in (training, comparison):
            run.outputs(found.tags[MODEL])
        said = f"{self.name} version {found.version}"
        if checkout().resolve() != home():
            return said
        aliases = self.client.get_registered_model(self.name).aliases
        if str(aliases.get(ALIAS)) != str(found.version):
            self.client.set_registered_model_alias(self.name, ALIAS, found.version)
        return f"{said} ({ALIAS})"

    def _version(self) -> Any | None:
        """The version with these tensors, if its model is still in this experiment."""
        from mlflow.exceptions import MlflowException

        for found in self.client.search_model_versions(f"name = '{self.name}'"):
            if not self.own.items() <= found.tags.items():
                continue
            try:
                model = self.client.get_logged_model(found.tags[MODEL])
            except MlflowException:  # somebody deleted it
                continue
            if model.experiment_id == self.store.experiment:
                return found
        return None

    def _new_version(self, training: Writer, data: Any) -> Any:
        from mlflow.exceptions import MlflowException

        named = {name: str(self.facts[name]) for name in ("backbone", "strategy", "seed")}
        model = self._log(named, training, data)
        try:
            self.client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self.client.create_model_version(
            self.name,
            source=model.artifact_location,
            run_id=training.run_id,
            tags={**named, **self.own, MODEL: model.model_id},
            description=in_words(self.facts),
            model_id=model.model_id,
        )
        listed = json.dumps([{"name": self.name, "version": made.version}])
        self.client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": listed})
        return made

    def _log(self, named: Mapping[str, str], training: Writer, data: Any) -> Any:
        """Upload the model; one that does not arrive whole is marked as failed."""
        model = self.client.create_logged_model(
            self.store.experiment,
            name=f"{self.name}-{self.facts['strategy']}",
            source_run_id=training.run_id,
            tags={**named, **self.own},
            params=dict(named),
            model_type="image classifier",
        )
        status = "FAILED"
        try:
            with tempfile.TemporaryDirectory() as folder:
                write(Path(folder) / "model", self.root, self.facts, model.model_id)
                self.client.log_model_artifacts(model.model_id, f"{folder}/model")
            training.measure_model(model.model_id, data)
            status = "READY"
        finally:
            self.client.finalize_logged_model(model.model_id, status)
        return model


@contextlib.contextmanager
def downloaded(uri: str) -> Iterator[Path]:
    """The file of a champion, for as long as it is needed; no code that lies beside it is run.

    Args:
        uri: Such as `models:/hymenoptera@champion` or `models:/hymenoptera/2`.

    Raises:
        ValueError: There is no such model, or no store.
    """
    database = database_of(tracking_uri())
    if database is not None and not database.is_file():
        raise ValueError(f"{uri}: expected models in {database}, found no such file.")
    connect()
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    mlflow.set_registry_uri(tracking_uri())
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{uri.rstrip('/')}/{DATA}",
                dst_path=folder,
                tracking_uri=tracking_uri(),
            )
        except (MlflowException, OSError) as error:
            raise ValueError(
                f"{uri}: expected a champion in MLflow, got none: {in_one_line(error)}"
            ) from error
        yield Path(found)


def in_words(facts: Facts) -> str:
    """What a version is, in two sentences."""
    known = facts["known"]
    return (
        f"{facts['backbone']}, {facts['title']}; seed {facts['seed']}. "
        f"{known['test_right']} of {known['test_images']} test images right."
    )


def write(folder: Path, root: Path, facts: Facts, model_id: str) -> None:
    """Write a model as MLflow serves it.

    Args:
        folder: To be made.
        root: The checkout.
        facts: Of its champion.
        model_id: Of MLflow.
    """
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about MLflow's own insides, when it is imported
        import mlflow.pyfunc
        from mlflow.models import Model

        data, code = Path(place) / "model.safetensors", Path(place) / "transferlab"
        _copy_code(code)
        shutil.copyfile(root / "champion/model.safetensors", data)  # others may read the copy
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=LOADER,
            data_path=str(data),
            code_paths=[str(code)],
            mlflow_model=Model(model_uuid=model_id, model_id=model_id),
            signature=_signature(),
            input_example=_example(root, facts),
            pip_requirements=[f"{name}=={version(name)}" for name in PACKAGES],
            metadata=dict(facts),
        )


def _copy_code(folder: Path) -> None:
    source = checkout() / "src/transferlab"
    for room in ROOMS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source / room, folder / room, ignore=ignored)
    (folder / "__init__.py").touch()


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import DataType
    from mlflow.types.schema import AnyType, ColSpec, Map, Schema

    answer: dict[str, Any] = {
        "label": DataType.string,
        "probability": DataType.double,
        "unsure": DataType.boolean,
        "probabilities": Map(DataType.double),
    }
    return ModelSignature(
        Schema([ColSpec(AnyType(), COLUMN)]),  # type: ignore[no-untyped-call]
        Schema([ColSpec(kind, name) for name, kind in answer.items()]),
    )


def _example(root: Path, facts: Facts) -> Any:
    """A request with one test image, as a file in base64."""
    import pandas as pd

    images = load_images(root / "data/processed/test", facts["classes"])
    file = io.BytesIO()
    Image.fromarray(images[0]).save(file, "PNG")
    return pd.DataFrame({COLUMN: [base64.b64encode(file.getvalue()).decode()]})
