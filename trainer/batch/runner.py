"""Leads a batch job: reads the input, lets its parts be done side by side, and publishes the output once all are there.

The folder of the output is complete when it has the marker, which says what the files are. It goes before anything
else does, and comes last. An attempt removes what attempts before it have written, and asks whether the job is still
its own before each file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import polars as pl

from common.compute import Compute
from common.errors import Unavailable
from common.files.outputs import OutputFolder, Outputs
from common.logs import get_logger
from trainer.batch.inputs import PART_LINES, BatchInput, LinePart, read_input
from trainer.batch.results import ENDING, PartResult, Results
from trainer.files.sources import SourceFile, Sources
from trainer.worker import JobContext
from trainer.workspace import Workspace

__all__ = ["MARKER", "MAX_FILES", "BatchFiles", "BatchRunner", "Counts", "Work"]

#: Name of the file that Personalize leaves beside the output.
MARKER: Final = "_CHECK"
#: Files of an input at most.
MAX_FILES: Final = 1000
_log = get_logger(__name__)
Asked = TypeVar("Asked")


@dataclass(frozen=True, slots=True)
class BatchFiles:
    """Where a job reads from and writes to, as its owner named it.

    Attributes:
        input_location: A file, or a folder whose files are all read.
        output_location: A folder.
        part_lines: Lines of a part at most: fewer where the answers of many would not fit into memory.
    """

    input_location: str
    output_location: str
    part_lines: int = PART_LINES


@dataclass(frozen=True, slots=True)
class Counts:
    """What a job has done.

    Attributes:
        answered: Lines that have an output.
        failed: Lines that have an error.
    """

    answered: int
    failed: int


@dataclass(frozen=True, slots=True)
class Work(Generic[Asked]):
    """How a part is answered.

    Attributes:
        task: A function of a module, called in another process; answers a part with `Answers`.
        ask: Returns what the task is given for a part, which can be pickled; called here, when the part's turn comes.
        output_columns: The members of an `output`, as columns of Parquet.
    """

    task: Callable[[Asked], PartResult]
    ask: Callable[[LinePart], Asked]
    output_columns: Mapping[str, pl.DataType]


class _Questions(Sequence[Any]):
    """What the task is given for each part, made when it is read."""

    def __init__(self, parts: BatchInput, ask: Callable[[LinePart], Any]) -> None:
        self._parts = parts
        self._ask = ask

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, place: Any) -> Any:
        return self._ask(self._parts[place])


class BatchRunner:
    """Runs batch jobs of any kind.

    Args:
        sources: Finds the input.
        outputs: Opens the folder of the output.
        workspace: Makes folders for files of running jobs.
        compute: Does parts side by side.
    """

    def __init__(self, sources: Sources, outputs: Outputs, workspace: Workspace, compute: Compute) -> None:
        self._sources = sources
        self._outputs = outputs
        self._workspace = workspace
        self._compute = compute

    def run(self, files: BatchFiles, prepare: Callable[[Path, BatchInput], Work[Any]], context: JobContext) -> Counts:
        """Do a job.

        Args:
            files: Its input and output.
            prepare: Returns how parts are answered; is given a folder for files that stay until the job has ended, and
                the input. Called once both are known to be there.
            context: Progress and cancellation of the job.

        Raises:
            InvalidInput: The input cannot be read, or the output cannot be written to.
            Unavailable: Something needed cannot be reached now.
            JobCancelled: The job must end; the output has no marker.
        """
        output = self._outputs.open(files.output_location, manifest=MARKER)
        output.check()
        try:
            with self._workspace.folder() as folder:
                for name in ("sources", "input", "work", "output"):
                    (folder / name).mkdir()
                context.report(fraction=0.0, activity="reading the input")
                sources = self._sources.fetch(files.input_location, folder=folder / "sources", check=context.check)
                _require_apart(output, sources, files)
                batch_input = read_input(
                    sources,
                    folder / "input",
                    location=files.input_location,
                    part_lines=files.part_lines,
                    check=context.check,
                )
                work = prepare(folder / "work", batch_input)
                context.confirm()
                names = {f"{file.name}{ENDING}" for file in batch_input.files}
                output.begin(names.__contains__)
                with Results(batch_input, folder / "output", output_columns=work.output_columns) as results:
                    self._answer(batch_input, work, results, context)
                    context.report(fraction=1.0, activity="writing the output")
                    for file in results.files():
                        context.confirm()
                        output.put(file.name, file.path, rows=file.lines)
                    context.confirm()
                    output.finish({"answered": results.answered, "failed": results.failed})
                    counts = Counts(results.answered, results.failed)
        except OSError as error:
            raise Unavailable(f"the trainer's work folder cannot be used: {error}") from error
        _log.info("batch_answered", answered=counts.answered, failed=counts.failed, files=len(batch_input.files))
        return counts

    def _answer(self, batch_input: BatchInput, work: Work[Any], results: Results, context: JobContext) -> None:
        questions, n_parts = _Questions(batch_input, work.ask), len(batch_input)
        for done, (place, result) in enumerate(self._compute.run(work.task, questions, check=context.check), start=1):
            results.add(place, result)
            lines = results.answered + results.failed
            context.report(fraction=done / n_parts, activity=f"{lines:,} of {batch_input.n_lines:,} lines answered")


def _require_apart(output: OutputFolder, sources: Sequence[SourceFile], files: BatchFiles) -> None:
    """Check that nothing is written where the input is read, by whatever names the folder is called.

    Of a service a folder has one name, which was compared when the job was created.

    Raises:
        InvalidInput: The input is in the folder of the output.
    """
    if output.folder is not None and any(source.path.parent.samefile(output.folder) for source in sources):
        raise output.stood_in.invalid(files.output_location, f"want another folder than that of {files.input_location}")
