"""Verifies a repository: files against manifests, signatures, and the versions that config.pbtxt serves."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from export.errors import RepositoryError, SignatureError
from export.repository.calls import changed_calls
from export.repository.configuration import effective, require_hardware
from export.repository.fatal_values import check_values
from export.repository.hardware import has_gpu, misfit
from export.repository.manifest import (
    MANIFEST,
    SIGNATURE,
    check_model_name,
    clear_errors,
    damage,
    files_in,
    parse_manifest,
)
from export.repository.policy import CONFIG, Configs, companions, read_config, served, without_policies
from export.repository.promotion import champion, own_configs, present_configs, require_version, wanted_configs
from export.repository.signing import check_signature
from export.repository.store import RepositoryLike, Store, open_store, repository_flag
from traffic_signs.progress import ProgressCallback, silent


@dataclass(frozen=True)
class Check:
    """The result for one version, or, with version None, for the files beside the versions of a model."""

    model: str
    version: int | None
    problems: list[str] = field(default_factory=list)  # a sentence each
    notices: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)  # files of the version that were not published
    signature: str = "none"  # `none`, `unchecked` without a key, `valid` or `invalid`
    misfit: str = ""  # why this machine cannot run it, such as an engine for another GPU; empty if it can


def check_folder(folder: Path, model: str, version: int, public_key: Path | None = None) -> Check:
    """Checks a version in a folder of this machine; raises RepositoryError if the public key cannot be used.

    A version without a manifest was made by hand: a notice without a key, a problem with one.
    """
    check = Check(model, version, signature="unchecked" if (folder / SIGNATURE).exists() else "none")
    if not (folder / MANIFEST).exists():
        text = f"{folder} has no {MANIFEST}: it was made by hand, and its files cannot be checked"
        (check.notices if public_key is None else check.problems).append(text)
        return check
    try:
        manifest = parse_manifest((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    except RepositoryError as error:
        check.problems.append(str(error))
        return check
    if (manifest.model, manifest.version) != (model, version):
        check.problems.append(f"{folder} says it is {manifest.model} {manifest.version}, not {model} {version}")
    check.problems.extend(damage(folder, manifest))
    check.extra.extend(name for name in files_in(folder) if name not in manifest.files)
    if manifest.built_for and not check.problems:
        check = replace(check, misfit=misfit(manifest.built_for))
    if public_key is None:
        return check
    try:
        check_signature(folder, public_key)
    except SignatureError as error:
        check.problems.append(str(error))
        return replace(check, signature="invalid" if check.signature != "none" else "none")
    return replace(check, signature="valid")


def verify(
    repository: RepositoryLike,
    model: str | None = None,
    version: int | None = None,
    public_key: Path | None = None,
    progress: ProgressCallback = silent,
) -> list[Check]:
    """Checks versions: every file against the manifest, extra files, and, with a key, the signature.

    For whole models it also checks the history, and that config.pbtxt follows it.

    Raises:
        RepositoryError: the repository cannot be read, has no such model or version, or `version` has no `model`.
    """
    store = open_store(repository)
    if version is not None and model is None:
        raise RepositoryError(f"version {version} of which model? Give the name of the model too")
    with clear_errors(f"verify {store.name}"):
        models = store.models() if model is None else [check_model_name(model)]
        if model is not None and version is not None:
            if version not in store.versions(model):
                require_version(store, model, version)
            todo = [(model, version)]
        else:
            todo = [(each, number) for each in models for number in store.versions(each)]
            if model is not None and not todo:
                raise RepositoryError(f"there is no model {model} in {store.name}")
            if not models:  # or a misspelt address would pass
                raise RepositoryError(f"there is no model in {store.name}: nothing was verified; check the path")
        checks = []
        for done, (each, number) in enumerate(todo, start=1):
            with store.folder(each, number, progress) as folder:
                found = check_folder(folder, each, number, public_key)
            where = f"{store.name}/{each}/{number}"
            problems = [text.replace(str(folder), where) for text in found.problems]
            problems += [f"{where}/{name} was not published" for name in found.extra]
            notices = [text.replace(str(folder), where) for text in found.notices]
            if found.misfit:
                # A machine without a GPU may only manage the repository.
                (problems if has_gpu() else notices).append(f"{where} cannot run here: {found.misfit}")
            checks.append(replace(found, problems=problems, notices=notices))
            progress("verifying versions", done, len(todo))
        if version is None:
            checks.extend(_check_model(store, each) for each in models)
        return checks


def _check_model(store: Store, model: str) -> Check:
    check = Check(model, None)
    where = f"{store.name}/{model}/{CONFIG}"
    try:
        best, present = champion(store, model), store.versions(model)
        if best is not None and best not in present:
            check.problems.append(f"version {best} of {model} is the champion, but it is missing")
        config = read_config(store.read(f"{model}/{CONFIG}"), where)
        check_values(config, where)
        numbers = served(config, present)
        if not numbers:
            check.problems.append(f"{where} serves no existing version")
        there, wanted = present_configs(store, model), wanted_configs(store, model)
        for path in _different(there, wanted) if best is not None and numbers else ():
            check.problems.append(
                f"{store.name}/{model}/{path} {_state(there, path, 'the champion')}: `signs repository promote {model} "
                f"{best}{repository_flag(store.name)}` writes it again"
            )
        for path in _different(without_policies(there), without_policies(wanted)) if best is None and wanted else ():
            state = _state(there, path, f"version {present[-1]}, the newest")
            check.notices.append(f"{store.name}/{model}/{path} {state}")
        for number in numbers:
            altered = _altered_companions(store, model, number, there)
            check.problems.extend(f"{text}: pull or promote that version again" for text in altered)
        check.problems.extend(
            f"{store.name}/{model}/{name}, which {CONFIG} names, is not there: Triton would not load {model}"
            for name in companions(*there.values())
            if not _is_there(store, f"{model}/{name}")
        )
        check.notices.extend(changed_calls(store, model))
    except FileNotFoundError:
        check.notices.append(
            f"{where} is missing, and `signs serve` and the images load no model without one: publish it with one"
        )
    except RepositoryError as error:
        check.problems.append(str(error))
    return check


def _different(there: Configs, wanted: Configs) -> list[str]:
    """Returns the paths of configurations that differ, are extra or missing."""
    return sorted(path for path in there.keys() | wanted.keys() if there.get(path) != wanted.get(path))


def _state(there: Configs, path: str, version: str) -> str:
    """Says how a configuration beside the versions differs from that of one of them."""
    return f"is not that of {version}" if path in there else f"is missing, unlike in {version}"


def _is_there(store: Store, path: str) -> bool:
    with suppress(FileNotFoundError):
        store.read(path)
        return True
    return False


def check_hardware(repository: Path, configuration: str = "", gpu: bool | None = None) -> None:
    """Checks whether a server on this folder can run its models; `check_served` checks their files.

    Args:
        configuration: its name; models without it use config.pbtxt.
        gpu: whether the server has a GPU; None looks at this machine.

    Raises:
        RepositoryError: a configuration would end the server, or a model or engine does not run on its hardware.
    """
    store = open_store(repository)
    models: dict[str, Configs] = {}
    for folder, configs, numbers in _loaded(repository, store, configuration):
        models[folder.name] = configs
        for path, config in configs.items():
            check_values(config, f"{folder}/{path}")
        for version in numbers:
            reason = ""
            with suppress(RepositoryError):  # a damaged manifest is for `check_served`
                manifest = require_version(store, folder.name, version)
                reason = misfit(manifest.built_for) if manifest and manifest.built_for else ""
            if reason:
                raise RepositoryError(
                    f"{folder / str(version)} cannot run here: {reason}. Promote a version in ONNX, or build the "
                    f"engine on this machine with `signs export engine {folder.name} VERSION`"
                )
    has = has_gpu() if gpu is None else gpu
    require_hardware(models, configuration, has, "this server has none", f"{store.name}: ")


def check_served(repository: Path, public_key: Path | None = None, configuration: str = "") -> list[str]:
    """Checks the files of the versions that a server with this configuration would load from this folder.

    Returns:
        Notices, as of versions that were made by hand.

    Raises:
        RepositoryError: a file is missing or altered, or a signature is invalid; the message names it.
    """
    notices: list[str] = []
    store = open_store(repository)
    for folder, there, numbers in _loaded(repository, store, configuration):
        for version in numbers:
            check = check_folder(folder / str(version), folder.name, version, public_key)
            own = own_configs(store, folder.name, version)
            different = _different(without_policies(there), without_policies(own))
            if public_key is not None:
                check.problems.extend(_unsigned_beside(folder, version, different, companions(*own.values())))
            elif CONFIG in there:
                check.problems.extend(_altered_companions(store, folder.name, version, there))
                check.notices.extend(
                    f"{folder / each} {_state(there, each, f'version {version}')}" for each in different
                )
            if check.problems:
                raise RepositoryError(
                    f"{check.problems[0]}: it is not served. Publish or pull the version again, or promote another"
                )
            notices += check.notices
            notices += [f"{folder / str(version) / name} was not published" for name in check.extra]
    return notices


def _loaded(repository: Path, store: Store, configuration: str) -> Iterator[tuple[Path, Configs, list[int]]]:
    """Yields folder, configurations and served versions of each model that a server on this folder would load."""
    folders = (path for path in repository.iterdir() if path.is_dir()) if repository.is_dir() else ()
    for folder in sorted(folders):  # Triton loads those with a leading dot, too
        present, there = store.versions(folder.name), present_configs(store, folder.name)
        config = effective(there, configuration) if CONFIG in there else None
        yield folder, there, served(config, present) if config is not None else present[-1:]


def _altered_companions(store: Store, model: str, version: int, configs: Configs) -> Iterator[str]:
    """Yields a sentence for each file beside the versions that configurations name and that is not of this version."""
    for name in companions(*configs.values()):
        with suppress(FileNotFoundError):  # early versions have none; missing files beside are reported elsewhere
            if store.read(f"{model}/{name}") != store.read(f"{model}/{version}/{name}"):
                yield f"{store.name}/{model}/{name} is not that of version {version}"


def _unsigned_beside(folder: Path, version: int, different: list[str], names: list[str]) -> Iterator[str]:
    """Yields a sentence for each file beside a signed version that differs from its own, signed one.

    Args:
        different: paths of the configurations that differ.
        names: the other files that Triton reads beside them.
    """
    signed = folder / str(version)
    if not (signed / CONFIG).exists():
        yield f"{signed} was published without its configuration, so no signature covers {folder / CONFIG}"
        return
    altered = [
        name
        for name in names
        if not (folder / name).exists() or (folder / name).read_bytes() != (signed / name).read_bytes()
    ]
    for name in (*different, *altered):
        yield f"{folder / name} is not the one that was signed"
