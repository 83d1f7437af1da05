"""Small nodes on real local clusters."""

import contextlib
import itertools
import logging
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from distributed import Client
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro_datasets.json import JSONDataset
from tiny_nodes import at_work_until, die, fail, listening, meet, records, where_and_when

from coala_kedro.datasets import RecordFolderDataset
from coala_kedro.progress import Bars
from coala_kedro.runners import ClusterError, DaskRunner, dask_runner
from coala_kedro.runners.cluster_settings import Cluster


@pytest.fixture
def catalog(tmp_path, monkeypatch):
    """Files for what nodes hand on; two GPUs are pretended."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    entries = {f"fold_{k}": tmp_path / f"fold_{k}.json" for k in range(5)}
    files = {name: JSONDataset(filepath=str(path)) for name, path in entries.items()}
    return DataCatalog(
        files
        | {
            "params:seconds": MemoryDataset(0.3),
            "params:long": MemoryDataset(4.0),
            "params:n_scans": MemoryDataset(6),
        }
    )


def fold(k, func=where_and_when, inputs=("params:seconds",)):
    return Node(func, [*inputs], f"fold_{k}", name=f"train_{k}", tags="gpu")


def overlap(one, other):
    return one["begun"] < other["ended"] and other["begun"] < one["ended"]


def assert_one_at_a_time_on_two_gpus(pieces):
    assert {piece["gpu"] for piece in pieces} == {"0", "1"}
    pairs = [pair for pair in itertools.combinations(pieces, 2) if overlap(*pair)]
    assert pairs, "the GPUs took turns"
    for one, other in pairs:
        assert one["gpu"] != other["gpu"]
        assert one["worker"] != other["worker"]


@pytest.mark.slow
def test_two_folds_never_share_a_gpu(catalog, monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    DaskRunner().run(Pipeline([fold(k) for k in range(5)]), catalog)
    folds = [catalog.load(f"fold_{k}") for k in range(5)]
    assert_one_at_a_time_on_two_gpus(folds)
    assert [fold["of_dask"] for fold in folds] == [[]] * 5, "trainings would be slow"


@pytest.mark.slow
def test_no_fold_waits_behind_another_while_a_gpu_is_free(catalog, tmp_path):
    short = [fold(k) for k in range(1, 5)]
    files = [str(tmp_path / f"{node.outputs[0]}.json") for node in short]
    catalog["params:files"] = MemoryDataset(files)
    long = fold(0, at_work_until, inputs=("params:files",))
    DaskRunner().run(Pipeline([long, *short]), catalog)
    first, *others = (catalog.load(f"fold_{k}") for k in range(5))
    assert {other["gpu"] for other in others} == {"0", "1"} - {first["gpu"]}
    assert max(other["ended"] for other in others) < first["ended"]


@pytest.mark.slow
def test_what_most_wait_for_comes_first_and_scans_make_room(catalog, tmp_path):
    """As pseudo-labels, the student's trainings and the teacher's test scans do."""
    for name in ("labelled", "tested"):
        catalog[name] = RecordFolderDataset(path=str(tmp_path / name))
    inputs = ["params:seconds", "params:n_scans"]
    catalog["params:few_scans"] = MemoryDataset(3)
    few = ["params:seconds", "params:few_scans"]
    nodes = [
        Node(records, few, "tested", name="a_test", tags="gpu"),
        Node(records, inputs, "labelled", name="pseudo_labels", tags="gpu"),
        *(fold(k, inputs=("params:long", "labelled")) for k in range(3)),
    ]
    DaskRunner().run(Pipeline(nodes), catalog)
    folds = [catalog.load(f"fold_{k}") for k in range(3)]
    labelled, tested = (catalog.load(name).values() for name in ("labelled", "tested"))
    assert {scan["gpu"] for scan in labelled} == {"0", "1"}
    assert max(scan["ended"] for scan in labelled) <= min(fold["begun"] for fold in folds)
    last = max(folds, key=lambda fold: fold["begun"])
    assert all(last["begun"] - 0.1 < scan["begun"] for scan in tested)
    assert all(scan["ended"] < last["ended"] for scan in tested), "a GPU was left idle"
    assert_one_at_a_time_on_two_gpus([*folds, *labelled, *tested])


@pytest.mark.slow
def test_trainings_have_a_gpu_each_though_scans_are_under_way(catalog, tmp_path, monkeypatch):
    """Workers have some scans more or less in hand when three trainings come.

    Dask would take the one with the fewest for the best place of two of them.
    """
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    catalog["scans"] = RecordFolderDataset(path=str(tmp_path / "scans"))
    catalog["prepared"] = JSONDataset(filepath=str(tmp_path / "prepared.json"))
    catalog["params:n_scans"] = MemoryDataset(12)
    catalog["params:meeting"] = MemoryDataset(str(tmp_path))
    catalog["params:n_folds"] = MemoryDataset(3)
    catalog["params:scan_seconds"] = MemoryDataset(2.0)
    inputs = ["params:scan_seconds", "params:n_scans"]
    nodes = [
        Node(records, inputs, "scans", name="scans", tags="gpu"),
        Node(where_and_when, "params:long", "prepared", name="earlier", tags="gpu"),
        *(fold(k, meet, ("params:meeting", "params:n_folds", "prepared")) for k in range(3)),
    ]
    DaskRunner().run(Pipeline(nodes), catalog)
    folds = [catalog.load(f"fold_{k}") for k in range(3)]
    assert len({fold["gpu"] for fold in folds}) == 3
    scans = catalog.load("scans").values()
    assert any(overlap(scan, fold) for scan in scans for fold in folds)


@pytest.mark.slow
def test_nothing_listens_beyond_the_loopback(catalog):
    DaskRunner(workers=1).run(Pipeline([fold(0, listening)]), catalog)
    assert catalog.load("fold_0") == ["127.0.0.1"]


@pytest.mark.slow
def test_scans_of_a_node_spread_over_the_gpus(catalog, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "coala_kedro")
    told = []
    monkeypatch.setattr(Bars, "show", lambda _, state: told.append(state))
    catalog["scans"] = RecordFolderDataset(path=str(tmp_path / "scans"))
    scans = Node(records, ["params:seconds", "params:n_scans"], "scans", tags="gpu")
    DaskRunner(threads_per_worker=3).run(Pipeline([scans, fold(0)]), catalog)
    pieces = [*catalog.load("scans").values(), catalog.load("fold_0")]
    assert len(pieces) == 7
    assert_one_at_a_time_on_two_gpus(pieces)
    # What a worker logs, and how far it is, is seen here.
    assert re.search(r"/scans: 6 made, 0 stood", caplog.text)
    assert {(state["unit"], state["total"]) for state in told} == {("scan", 6)}
    assert [(state["done"], state["ended"]) for state in (told[0], told[-1])] == [
        (0, False),
        (6, True),
    ]


@pytest.mark.slow
def test_a_failed_node_gives_its_reason_and_holds_up_only_what_needs_it(catalog, caplog):
    nodes = [
        fold(0, fail),
        fold(1, inputs=["params:seconds", "fold_0"]),
        fold(2),
        fold(3, inputs=["params:seconds", "fold_2"]),
    ]
    with pytest.raises(ArithmeticError, match="the loss is not finite"):
        DaskRunner().run(Pipeline(nodes), catalog)
    assert "Node train_0 failed" in caplog.text
    assert [catalog.exists(f"fold_{k}") for k in range(4)] == [False, False, True, True]
    assert catalog.load("fold_2")["ended"] <= catalog.load("fold_3")["begun"]


@pytest.mark.slow
def test_a_node_that_kills_its_workers_is_given_up(catalog, caplog):
    caplog.set_level(logging.CRITICAL, "distributed")
    with pytest.raises(ClusterError, match=r"'train_0' was given up.*cluster\.lost_workers"):
        DaskRunner(lost_workers=1).run(Pipeline([fold(0, die), fold(1)]), catalog)
    assert catalog.exists("fold_1")


@pytest.fixture
def dask(tmp_path):
    """Starts a part of Dask as a user does; the function returns its process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            command = [sys.executable, "-m", "dask", *map(str, arguments), "--host", "127.0.0.1"]
            process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield start


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [0, 1])
def test_a_lost_scheduler_ends_the_run(catalog, dask, tmp_path, monkeypatch, n_workers):
    """Also where no worker has come, so that no node is at work."""
    monkeypatch.setattr(dask_runner, "_RENEW_EVERY_S", 0.5)
    file = tmp_path / "scheduler.json"
    scheduler = dask("scheduler", "--port", 0, "--scheduler-file", file, "--no-dashboard")
    for _ in range(n_workers):
        dask("worker", "--scheduler-file", file, "--resources", "GPU=1", "--no-dashboard")
    catalog["params:files"] = MemoryDataset([str(tmp_path / "never")])
    nodes = [fold(0, at_work_until, inputs=("params:files",)), fold(1)]

    def kill_scheduler():
        with Client(scheduler_file=str(file)) as client:
            while (
                len(client.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.clients])) < 3
                or sum(map(len, client.processing().values())) < n_workers
            ):
                time.sleep(0.1)
            scheduler.kill()

    killing = threading.Thread(target=kill_scheduler)
    killing.start()
    with pytest.raises(ClusterError, match=r"scheduler ended.*run the same command again"):
        DaskRunner(kind="scheduler", address=str(file)).run(Pipeline(nodes), catalog)
    killing.join()


@pytest.mark.parametrize("output", ["in_memory", "uncatalogued"])
def test_what_is_handed_on_in_memory_is_refused(catalog, output):
    catalog["in_memory"] = MemoryDataset()
    node = Node(where_and_when, "params:seconds", output, name="train")
    with pytest.raises(ValueError, match=f"'{output}', made by node 'train', is held in memory"):
        DaskRunner().run(Pipeline([fold(0), node]), catalog)
    assert not catalog.exists("fold_0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 3}, r"cluster\.workers is 3 and the GPUs are \['0', '1'\]"),
        ({"kind": "scheduler"}, "a running scheduler is kind 'scheduler' with its address"),
        ({"address": "tcp://127.0.0.1:8786"}, "all others have no address"),
        ({"worker": 2}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_cluster_is_refused_before_the_first_node(catalog, changes, message):
    with pytest.raises((ValueError, ClusterError), match=message):
        DaskRunner(**changes).run(Pipeline([fold(0)]), catalog)
    assert not catalog.exists("fold_0")


def test_the_documented_cluster_is_the_default(conf):
    assert Cluster.model_validate(conf("base")["parameters"]["cluster"]) == Cluster()


def test_loading_in_threads_is_refused():
    with pytest.raises(ValueError, match="leave out --async"):
        DaskRunner(is_async=True)
