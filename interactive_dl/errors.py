"""What can go wrong, as one tree.

    InteractiveDLError
    ├── SetupError                   the environment cannot run what was asked for
    │   ├── MPINotFoundError
    │   └── MixedMPIError            two MPIs in one environment
    ├── ClusterError
    │   ├── ClusterNotFoundError
    │   ├── ClusterNotRunningError
    │   ├── ClusterElsewhereError    it was started on another host, which cannot be asked from here
    │   ├── NotEnoughSlotsError
    │   ├── EnginesNotRegisteredError
    │   ├── WorldSizeError           an MPI world of the wrong size, or ids that are not ranks
    │   ├── RequestError             options that no cluster or scheduler has
    │   ├── AllocationError          a scheduler's job does not come to run, or has ended
    │   │   ├── AllocationRefusedError
    │   │   └── UnfitHostsError      hosts that ssh does not reach, or that lack something
    │   ├── SchedulerError           the scheduler does not answer
    │   └── HealError
    ├── GroupError                   a group of engines could not be formed
    ├── TrainingError
    │   ├── DriftError               the ranks' weights differ
    │   ├── NotReducedError          a training whose gradients would not be averaged
    │   ├── PeerFailedError          another rank raised or died
    │   └── CheckpointError
    │       └── CheckpointTakenError  another training writes it now
    ├── TelemetryError               a run cannot be told, followed or steered
    │   ├── RecorderUnreachableError  nobody answers, or not to this key
    │   ├── RecorderRefusedError     it speaks another version
    │   ├── JournalError             a journal cannot be written or read
    │   ├── RunNotFoundError
    │   ├── CommandRefusedError      a run does not do what it was told
    │   └── ReplayError              a run cannot be trained again from its journal
    ├── SearchError                  a search cannot be described, continued or told
    │   ├── SpaceError               a space that makes no sense, or values outside of it
    │   ├── UnknownNameError         no sampler, pruner or option of this name
    │   ├── TransitionError          an event that cannot follow what happened before
    │   ├── ActionRefusedError       a search does not do what it was asked
    │   ├── EnginesBusyError         something else runs on the engines
    │   └── SearchNotFoundError
    ├── ScienceError                 a seed case cannot be had
    │   ├── UnknownCaseError
    │   └── UnknownSizeError
    └── DataError
        ├── SourceNotFoundError
        ├── MissingKeyError
        ├── UnreadableSourceError    the data file is there but makes no sense
        ├── SourcesDifferError       the ranks see different data
        ├── StagingError             files cannot be copied to the nodes
        └── TooFewSamplesError

Every message states the rule, the values received, and what to type next.
"""

from __future__ import annotations


class InteractiveDLError(Exception):
    """Root of every error that this package raises on purpose."""


class InteractiveDLWarning(UserWarning):
    """Root of every warning that this package gives."""


class SetupError(InteractiveDLError):
    """The environment cannot run what was asked for."""


class MPINotFoundError(SetupError):
    """There is no ``mpiexec`` to start a world with."""


class MixedMPIError(SetupError):
    """Two MPIs in one environment: every rank would see a world of size 1."""


class ClusterError(InteractiveDLError):
    """A cluster could not be started, reached, stopped or mended."""


class ClusterNotFoundError(ClusterError):
    """No cluster has this id."""


class ClusterNotRunningError(ClusterError):
    """The cluster was not started, or was stopped."""


class ClusterElsewhereError(ClusterError):
    """The cluster was started on another host, which cannot be asked from this one."""


class NotEnoughSlotsError(ClusterError):
    """More engines were asked for than the machine has slots."""


class EnginesNotRegisteredError(ClusterError):
    """Engines were launched but did not register in time."""


class WorldSizeError(ClusterError):
    """The MPI world has the wrong size, or engine ids are not its ranks."""


class RequestError(ClusterError, ValueError):
    """Options of a cluster are unknown or make no sense."""


class AllocationError(ClusterError):
    """The scheduler's job does not come to run, or has ended."""


class AllocationRefusedError(AllocationError):
    """The scheduler does not take the job."""


class UnfitHostsError(AllocationError):
    """Hosts that ssh does not reach, or that lack what engines need."""


class SchedulerError(ClusterError):
    """The scheduler, or its commands, do not answer."""


class HealError(ClusterError):
    """Dead engines could not be replaced."""


class GroupError(InteractiveDLError):
    """A group of engines could not be formed."""


class TrainingError(InteractiveDLError):
    """A distributed training cannot go on."""


class DriftError(TrainingError):
    """The ranks' weights differ although they train one model."""


class NotReducedError(TrainingError):
    """Gradients would not be averaged over the ranks."""


class PeerFailedError(TrainingError):
    """Another rank of the group raised an exception or died."""


class CheckpointError(TrainingError):
    """A checkpoint cannot be written or read."""


class CheckpointTakenError(CheckpointError):
    """Another training has taken a checkpoint over, and writes it from now on."""


class TelemetryError(InteractiveDLError):
    """A run cannot be told, followed or steered."""


class RecorderUnreachableError(TelemetryError):
    """No recorder answers at this address, or it does not accept our key."""


class RecorderRefusedError(TelemetryError):
    """The recorder speaks another version."""


class JournalError(TelemetryError):
    """A journal cannot be written or read."""


class RunNotFoundError(TelemetryError, KeyError):
    """No run has this name or id."""

    __str__ = Exception.__str__  # a KeyError shows its message in quotation marks


class CommandRefusedError(TelemetryError):
    """The run, or who would pass it on, refused a command; nothing has changed."""


class ReplayError(TelemetryError):
    """A run cannot be trained again from its journal, or came out otherwise."""


class SearchError(InteractiveDLError):
    """A hyper-parameter search cannot be described, continued or told."""


class SpaceError(SearchError, ValueError):
    """A search space makes no sense, or values lie outside of it."""


class UnknownNameError(SearchError, ValueError):
    """No sampler, pruner or option has this name."""


class TransitionError(SearchError):
    """An event cannot follow what happened before; nothing has changed."""


class ActionRefusedError(SearchError):
    """A search does not do what it was asked; nothing has changed."""


class EnginesBusyError(SearchError):
    """Something else runs on the engines, and is not cut."""


class SearchNotFoundError(SearchError, KeyError):
    """No search has this name or id."""

    __str__ = Exception.__str__  # a KeyError shows its message in quotation marks


class ScienceError(InteractiveDLError):
    """A seed case cannot be had as it was asked for."""


class UnknownCaseError(ScienceError, ValueError):
    """No case has this name."""


class UnknownSizeError(ScienceError, ValueError):
    """The case has no size of this name."""


class DataError(InteractiveDLError):
    """Training data cannot be opened or shared out."""


class SourceNotFoundError(DataError):
    """The data file is not there."""


class MissingKeyError(DataError):
    """The data file has no dataset of this name."""


class UnreadableSourceError(DataError):
    """The data file cannot be read, or its arrays do not belong together."""


class SourcesDifferError(DataError):
    """The ranks see different data."""


class StagingError(DataError):
    """Files cannot be copied to the nodes' own storage."""


class TooFewSamplesError(DataError):
    """There are fewer samples than ranks."""
