"""However many ranks there are, a report is small, and says who is slow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from interactive_dl.telemetry import events, journal, spread
from interactive_dl.telemetry.events import Record
from interactive_dl.telemetry.history import History

seconds = st.floats(0, 1e4, allow_subnormal=False)


@st.composite
def many_times(draw: st.DrawFn, least: int = spread.TOLD_RANKS + 1) -> dict[str, np.ndarray]:
    ranks = draw(st.integers(least, 2 * spread.TOLD_RANKS))
    return {
        name: draw(arrays.arrays(float, ranks, elements=seconds, fill=seconds))
        for name in spread.PHASES
    }


def own_s(times: spread.ByRank) -> np.ndarray:
    return times["data_wait_s"] + times["compute_s"]


def as_told(values: np.ndarray) -> list[float]:
    return values.round(6).tolist()


@given(many_times())
def test_the_quantiles_go_from_the_fastest_rank_to_the_slowest(times: spread.ByRank) -> None:
    told = spread.time_spread(times)
    for name, values in {**times, "own_s": own_s(times)}.items():
        quantiles = getattr(told, name)
        assert list(quantiles) == sorted(quantiles)
        assert [quantiles[0], quantiles[-1]] == as_told(np.array([values.min(), values.max()]))
        assert quantiles[3] == pytest.approx(np.median(values), abs=1e-6)
        for share, quantile in zip(spread.QUANTILES, quantiles, strict=True):
            assert (values <= quantile + 1e-6).mean() >= share - 1 / len(values)


@given(many_times())
def test_the_worst_are_those_with_the_most_time_of_their_own_and_are_told_whole(
    times: spread.ByRank,
) -> None:
    told = spread.time_spread(times)
    own = own_s(times)
    worst = list(told.worst)
    assert len(set(worst)) == spread.WORST
    assert own[worst].tolist() == sorted(own.tolist(), reverse=True)[: spread.WORST]
    for name in spread.PHASES:
        assert list(getattr(told.worst_times, name)) == as_told(times[name][worst])


@given(many_times(), st.randoms(use_true_random=False))
def test_the_ranks_numbers_matter_for_the_names_of_the_worst_alone(
    times: spread.ByRank, random: np.random.Generator
) -> None:
    order = list(range(len(times["compute_s"])))
    random.shuffle(order)  # type: ignore[arg-type]
    renamed = spread.time_spread({name: values[order] for name, values in times.items()})
    told = spread.time_spread(times)
    anonymous = {"worst": (), "worst_times": None}
    assert msgspec.structs.replace(renamed, **anonymous) == msgspec.structs.replace(
        told, **anonymous
    )
    own = own_s(times)
    assert own[[order[rank] for rank in renamed.worst]].tolist() == own[list(told.worst)].tolist()


@given(many_times(least=1))
def test_few_ranks_are_all_told_and_many_in_short(times: spread.ByRank) -> None:
    ranks = len(times["compute_s"])
    progress = events.Progress(1, 0, 1, {}, 0.1, **spread.time_fields(times))
    if ranks <= spread.TOLD_RANKS:
        assert progress.spread is None
        assert progress.ranks is not None
        assert list(progress.ranks.other_s) == as_told(times["other_s"])
    else:
        assert progress.ranks is None
        assert progress.spread == spread.time_spread(times)


def usage(ranks: int, *, gpus: bool) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(ranks)
    memory = chance.integers(2**30, 2**36, ranks).astype(float)
    nothing = np.empty(0)
    return {
        "cpu_percent": chance.uniform(0, 800, ranks).round(1),
        "rss_bytes": memory,
        "gpu_percent": chance.uniform(0, 100, ranks).round(1) if gpus else nothing,
        "gpu_memory_bytes": memory[::-1] if gpus else nothing,
    }


@pytest.mark.parametrize("gpus", [False, True])
def test_of_many_ranks_those_with_the_most_memory_are_told_whole(gpus: bool) -> None:
    used = usage(1000, gpus=gpus)
    told = spread.resources(used)
    assert (told.cpu_percent, told.rss_bytes) == ((), ())
    assert told.spread is not None
    worst = list(told.spread.worst)
    assert worst == np.argsort(used["rss_bytes"])[::-1][: spread.WORST].tolist()
    for name, values in used.items():
        expected = values[worst].tolist() if len(values) else []
        assert list(getattr(told.spread.worst_use, name)) == expected
        quantiles = getattr(told.spread.all, name)
        assert list(quantiles) == sorted(quantiles)
        assert len(quantiles) == (len(spread.QUANTILES) if len(values) else 0)
    assert told.spread.all.rss_bytes[-1] == used["rss_bytes"].max()


@pytest.mark.parametrize("gpus", [False, True])
def test_of_few_ranks_all_resources_are_told(gpus: bool) -> None:
    used = usage(spread.TOLD_RANKS, gpus=gpus)
    told = spread.resources(used)
    assert told.spread is None
    for name, values in used.items():
        assert list(getattr(told, name)) == values.tolist()


def some_times(ranks: int) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(ranks)
    return {name: chance.uniform(0.001, 0.9, ranks) for name in spread.PHASES}


def line_bytes(event: events.AnyEvent) -> int:
    return len(events.encode(Record("rpv-20261125-101500-a1b2", 0, 10**6, 1.7e9 + 1 / 7, event)))


def progress(times: spread.ByRank) -> events.Progress:
    return events.Progress(
        10**5, 10, 10, {"loss": 1 / 7}, 1e-3, 1 / 7, 1 / 7, **spread.time_fields(times)
    )


@pytest.mark.parametrize("ranks", [129, 1000, 20_000])
def test_a_report_of_many_ranks_is_small(ranks: int) -> None:
    """A thousand ranks' were 36 kB of times and 37 kB of resources."""
    assert line_bytes(progress(some_times(ranks))) < 1300
    assert line_bytes(spread.resources(usage(ranks, gpus=True))) < 1300


def test_a_report_that_tells_all_ranks_is_not_large() -> None:
    ranks = spread.TOLD_RANKS
    assert line_bytes(progress(some_times(ranks))) < 6000


def test_a_report_comes_back_as_it_was_told() -> None:
    reported = progress(some_times(500))
    for event in (reported, spread.resources(usage(500, gpus=True))):
        record = Record("run", 3, 0, 10.0, event)
        assert events.decode(events.encode(record)) == record


OLD_PROGRESS = (
    b'{"run":"r","engine":0,"seq":4,"time_s":1.5,"event":{"kind":"Progress","step":5,"epoch":0,'
    b'"batch":5,"metrics":{"loss":0.5},"learning_rate":0.1,"ranks":{"data_wait_s":[0.1,0.2],'
    b'"compute_s":[1.0,2.0],"allreduce_wait_s":[1.1,0.0],"other_s":[0.0,0.0]}}}'
)
OLD_RESOURCES = (
    b'{"run":"r","engine":0,"seq":5,"time_s":1.5,"event":{"kind":"Resources",'
    b'"cpu_percent":[99.0,100.0],"rss_bytes":[10,20]}}'
)


def test_journals_from_before_there_were_spreads_are_read() -> None:
    history = History()
    history.extend(map(events.decode, (OLD_PROGRESS, OLD_RESOURCES)))
    assert history.rank_times.compute_s.tolist() == [[1.0, 2.0]]
    assert history.resources.rss_bytes.tolist() == [[10, 20]]
    assert len(history.time_spread.step) == len(history.resource_spread.time_s) == 0


class _OldResources(msgspec.Struct, tag="Resources", tag_field="kind"):
    cpu_percent: tuple[float, ...]
    rss_bytes: tuple[int, ...]


class _OldRecord(msgspec.Struct):
    event: _OldResources


def test_a_version_from_before_there_were_spreads_reads_new_journals() -> None:
    line = events.encode(Record("r", 0, 0, 1.0, spread.resources(usage(500, gpus=True))))
    assert msgspec.json.decode(line, type=_OldRecord).event.cpu_percent == ()


def sketched(records: list[Record]) -> Sequence[Record]:
    lines = b"".join(events.encode(record) + b"\n" for record in records)
    return journal.sketches(journal.Chunk(1, lines, 1 + len(lines)), "r")


@pytest.mark.parametrize("read", [list, sketched])
def test_a_history_has_the_spread_of_each_report(
    read: Callable[[list[Record]], Sequence[Record]],
) -> None:
    records = []
    slow = some_times(200)
    slow["compute_s"][77] = 5.0
    for seq, times in enumerate((some_times(2), slow, some_times(300))):
        event = events.Progress(seq + 1, 0, 1, {}, 0.1, **spread.time_fields(times))
        records.append(Record("r", 0, seq, float(seq), event))
    records.append(Record("r", 0, 3, 3.0, spread.resources(usage(200, gpus=False))))
    history = History()
    history.extend(read(records))
    found = history.time_spread
    assert history.rank_times.step.tolist() == [1]
    assert (found.step.tolist(), found.ranks.tolist()) == ([2, 3], [200, 300])
    assert found.worst.shape == (2, spread.WORST)
    assert found.worst[0, 0] == 77
    assert found.worst_times["compute_s"][0, 0] == 5.0
    assert found.compute_s.shape == (2, len(spread.QUANTILES))
    assert found.compute_s[0, -1] == 5.0
    assert history.resource_spread.rss_bytes.shape == (1, len(spread.QUANTILES))
    assert history.resource_spread.gpu_percent.shape == (1, 0)
    assert history.resource_spread.worst_use["rss_bytes"].shape == (1, spread.WORST)


def test_frames_have_a_row_for_each_quantile_and_each_of_the_worst() -> None:
    history = History()
    assert len(history.frame("quantiles")) == len(history.frame("worst")) == 0
    times = some_times(200)
    history.add(
        Record("r", 0, 0, 0.0, events.Progress(9, 0, 1, {}, 0.1, **spread.time_fields(times)))
    )
    quantiles, worst = history.frame("quantiles"), history.frame("worst")
    assert quantiles["quantile"].tolist() == list(spread.QUANTILES)
    assert quantiles["compute_s"].max() == pytest.approx(times["compute_s"].max(), abs=1e-6)
    assert worst["rank"].tolist() == spread.most(own_s(times)).tolist()
    assert worst["compute_s"].tolist() == as_told(times["compute_s"][worst["rank"]])
