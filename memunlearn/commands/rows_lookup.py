"""Where the rows of a patch's run are looked for: beside the patch, where the run read them, and where the user says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.commands.inputs import check_fits, load_paragraphs
from memunlearn.commands.made_rows import with_made_rows
from memunlearn.commands.patch_settings import paragraphs_of, split_seed_of
from memunlearn.commands.run_rows import Pool, RunRows, alternatives_of, find_rows
from memunlearn.errors import UserError
from memunlearn.models.hub_patches import located_patch
from memunlearn.models.loading import LoadedModel
from memunlearn.models.patches import Patch
from memunlearn.paragraphs.roles import UNKNOWN, Roles, row_hashes
from memunlearn.paragraphs.row_file import ROWS, RowFile, read_rows


def rows_of_the_run(
    cfg: DictConfig,
    patch: Patch,
    roles: Roles,
    measurements: BaseMeasurements,
    loaded: LoadedModel,
    *,
    rows_named: bool,
) -> RunRows:
    """Rows by role from `rows.safetensors` beside the patch; where that is not to be had from the run's own paragraphs, and
    then from those that the command line names. Of the latter, rows that are none of the run's are added as `unknown`.

    Says what was found. Raises UserError where none of the run's rows was.
    """
    file = rows_beside(located_patch(str(cfg.patch)), roles, cfg.paragraphs.prefix_length, cfg.paragraphs.continuation_length)
    source, pools = paragraphs_of(patch, cfg), []
    if file is not None:
        check_fits(loaded, file.paragraphs)
        pools.append(Pool(f"{ROWS} beside the patch", file.paragraphs, file.bins, file.self_generated))
    elif source is not None:
        try:
            pools.append(_pool(source, cfg, patch, measurements, loaded))
        except UserError as error:
            print(f"the run's own paragraphs are not to be had: {error}", flush=True)
    # Of a patch without a config no other paragraphs are known than those of this command.
    named = rows_named or source is None
    given = _pool(cfg.paragraphs.source, cfg, patch, measurements, loaded) if named else None
    try:
        chosen = find_rows(roles, pools, given)
    except ValueError as error:
        raise UserError(
            f"none of the {len(roles.hashes)} rows that {cfg.patch} knows by their hashes was found: copy its run's {ROWS} "
            "beside it, or name a file that holds them (paragraphs=files paragraphs.path=CORPUS), cut into "
            f"{cfg.paragraphs.prefix_length} + {cfg.paragraphs.continuation_length} tokens as in the run"
        ) from error
    counts = ", ".join(f"{name} {found} of {of}" for name, (found, of) in chosen.found.items())
    print(f"rows of the run, from {' and '.join(pool.where for pool in pools) or 'those named'}: {counts}", flush=True)
    if given is not None:
        unknown = list(chosen.names).count(UNKNOWN)
        print(f"rows that were named: {len(given.rows)}, {unknown} of them in no role of this patch ({UNKNOWN})", flush=True)
    if file is not None:
        chosen = replace(chosen, alternatives=alternatives_of(roles, file, chosen))
    if roles.alternatives is not None and chosen.alternatives is None:
        print(f"alternative_em is not known: the alternatives of this edit are only in its run's {ROWS}", flush=True)
    return chosen


def _pool(source: DictConfig, cfg: DictConfig, patch: Patch, measurements: BaseMeasurements, loaded: LoadedModel) -> Pool:
    """What this source gives; rows that the run had the model make are made as it did."""
    known = split_seed_of(patch)
    seed = cfg.seed if known is None else known
    paragraphs = load_paragraphs(source, loaded)
    return Pool.of(with_made_rows(paragraphs, loaded, measurements, seed=seed, batch_size=cfg.batch_size).paragraphs)


def rows_beside(patch_file: Path, roles: Roles, prefix_length: int, continuation_length: int) -> RowFile | None:
    """The `rows.safetensors` of the folder that the patch lies in (a trial's: of the folder above); None where there is none.

    One that cannot be read, or lacks a row that the patch knows, is not believed, which is said: it is another run's, or was
    changed.
    """
    folder = patch_file.parent.parent if patch_file.parent.name == "patches" else patch_file.parent
    path = next((place for place in (patch_file.parent / ROWS, folder / ROWS) if place.is_file()), None)
    if path is None:
        return None
    try:
        file = read_rows(path, prefix_length)
    except UserError as error:
        print(f"warning: {error}; it is not used", flush=True)
        return None
    if file.paragraphs.continuation_length != continuation_length:
        raise UserError(
            f"the rows in {path} have {file.paragraphs.ids.shape[1]} tokens, not {prefix_length} + {continuation_length}: "
            "leave out paragraphs.prefix_length and paragraphs.continuation_length, and the run's are taken"
        )
    lacking = len(roles.hashes - set(row_hashes(file.paragraphs.ids)))
    if lacking:
        print(
            f"warning: {path} lacks {lacking} of the {len(roles.hashes)} rows of this patch: it is another run's, or was "
            "changed, and is not used",
            flush=True,
        )
        return None
    return file
