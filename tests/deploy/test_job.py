"""The Jobs of ``deploy/kubernetes``, executed: pods are processes; they are killed, evicted, paused, started twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deploy.accounts import Account, account
from tests.deploy.controller import Controller
from tests.deploy.kubelet import Kubelet, Pod
from tests.deploy.manifests import KUBERNETES, PLACEHOLDER_ENDPOINT, only, own_overlay, resources
from tests.deploy.policy import KILLED
from tests.e2e.conftest import StartGated
from tests.e2e.gated import Gated
from tests.e2e.program import Program, lines, record
from tests.objects.s3 import S3Bucket
from tests.postgresql.server import PASSWORD as DATABASE_PASSWORD
from tests.postgresql.server import Served, Server

EMAIL, PASSWORD = "migration@acme.com", "open-sesame"
RECORDS = 3600
SHARDS = 4
DRAINED, IN_USE, REFUSED, DOUBTFUL = 6, 8, 9, 4
SECRETS = {"veetro-batch-login": {"password": PASSWORD}}
HERE = {
    "--metrics-host=0.0.0.0": "--metrics-host=127.0.0.1",
    "--metrics-port=9464": "--metrics-port=0",  # all pods have one address here
    "--metrics-linger=60": "--metrics-linger=0",  # nobody scrapes
    "--ledger-wait=60": "--ledger-wait=0",
}
"""Texts of the manifests that are others on this machine."""

StartJob = Callable[[list[dict[str, object]], Mapping[str, Mapping[str, str]], Mapping[str, str]], Controller]


@pytest.fixture
def service(start_gated: StartGated) -> Gated:
    """Wants a login, and takes its time."""
    return start_gated(latency=0.02, login=(EMAIL, PASSWORD))


@pytest.fixture
def start_job(tmp_path: Path, service: Gated) -> Iterator[StartJob]:
    """Applies rendered manifests; all that still runs is ended at the test's end."""
    started: list[Path] = []
    with ExitStack() as stack:

        def start(
            found: list[dict[str, object]], secrets: Mapping[str, Mapping[str, str]], replaced: Mapping[str, str]
        ) -> Controller:
            folder = tmp_path / f"job-{len(started)}" if started else tmp_path
            folder.mkdir(exist_ok=True)
            started.append(folder)
            kubelet = Kubelet(folder, found, secrets, {**HERE, PLACEHOLDER_ENDPOINT: service.url, **replaced})
            stack.callback(kubelet.close)
            return Controller(only(found, "Job"), kubelet)

        yield start


def records(*, unsafe: bool) -> bytes:
    """No two share a SourceID; some that must not be sent twice, or none."""
    return lines(
        *(
            record(number, ImportSyncRecordID=0 if unsafe and number in unsafe_numbers() else number)
            for number in range(1, RECORDS + 1)
        )
    )


def unsafe_numbers() -> range:
    """Of the records that must not be sent twice."""
    return range(3, RECORDS + 1, 3)


def wait_for(controller: Controller, service: Gated, applied: int, index: int = 0) -> None:
    """Until a pod of *index* has logged in, the others standing still, and the service has applied so many records.

    It applies no more until it is waited for again: however late that is, no pod has come to its end meanwhile.
    """
    service.let(applied)

    def logged_in() -> bool:
        pod = controller.active(index)
        return pod is not None and '"logged_in"' in pod.log

    controller.step()  # those that are missing stand still as well
    with controller.standstill(index):
        controller.run_until(logged_in)
    controller.run_until(lambda: len(service.stats().applied) >= applied)


def end(controller: Controller, service: Gated, how: str, index: int = 0) -> None:
    """Let the pod of *index* be killed or evicted."""
    pod = controller.active(index)
    assert pod is not None
    controller.tell(pod, f"{how} after {len(service.stats().applied)} records were applied")
    if how == "killed":
        pod.kill()
    else:
        pod.evict()


def start_twice(controller: Controller, index: int = 0) -> Pod:
    """A second pod of *index*, from its start to its end, while the first is cut off: it runs on only afterwards."""
    assert controller.active(index) is not None
    with controller.standstill():
        twin = controller.start(index)
        controller.run_until(lambda: twin not in controller.running)
    return twin


def told_code(pod: Pod) -> int | None:
    """The exit code in its termination message, where it left one."""
    return None if pod.message is None else int(pod.message["exit_code"])


def tell(job: Controller, done: Account) -> None:
    """Print what happened and what came of it; pytest -s shows it."""
    print("", *job.log, f"outcomes {done.outcomes}, applied {done.applied}, twice {done.repeated}", sep="\n")  # noqa: T201
    job.log.clear()


def in_shards(count: int, address: str, by: str) -> list[dict[str, object]]:
    """Patches that make a Job of so many shards, which read the object at *address*."""
    changed = {
        "completions": count,
        "parallelism": count,
        "template/spec/containers/0/args/0": address,
        "template/spec/containers/0/args/1": f"--shard=$(JOB_COMPLETION_INDEX)/{count}",
    }
    replaced = [{"op": "replace", "path": f"/spec/{path}", "value": value} for path, value in changed.items()]
    return [*replaced, {"op": "add", "path": "/spec/template/spec/containers/0/args/2", "value": f"--shard-by={by}"}]


@pytest.fixture
def database(postgresql: Server) -> Iterator[str]:
    """The address of the run's ledgers, the same for all shards; desk and pods have its password."""
    with Served(postgresql, lease=120) as served:  # a pod that stands still keeps it until its twin has ended
        yield served.ledger


def ledgers_at(address: str) -> dict[str, dict[str, str]]:
    """The Secret that a user makes."""
    return {"veetro-batch-ledger": {"url": address, "password": DATABASE_PASSWORD}}


def settle(program: Program, service: Gated, ledger: str, keys: Mapping[int, str]) -> None:
    """A person looks in the service for the records in doubt (line: key), tells what was found, sends what is left."""
    applied = service.stats().applied
    for word, there in (("--applied", True), ("--not-applied", False)):
        known = [str(line) for line, key in keys.items() if (key in applied) == there]
        if known:
            assert program.run("settle", ledger, "--line", ",".join(known), word).code == 0
    if keys:
        login = ("--email", EMAIL, "--results=none")
        environ = {"VEETRO_BATCH_PASSWORD": PASSWORD}
        assert program.run("resubmit", ledger, "--endpoint", service.url, *login, environ=environ).code == 0


def settle_all(program: Program, service: Gated, done: Account) -> None:
    """The same for the ledgers of all shards; then every record is applied, and none twice that may not be."""
    for ledger, keys in done.in_doubt.items():
        settle(program, service, ledger, keys)
    applied = service.stats().applied
    assert sorted(applied) == sorted(f"S-{number}" for number in range(1, RECORDS + 1))
    assert {applied[f"S-{number}"] for number in unsafe_numbers()} == {1}


def test_one_pod(tmp_path: Path, service: Gated, start_job: StartJob, program: Program) -> None:
    """The base: killed, evicted, doubled, paused and resumed, it ends complete, and every record is applied."""
    given = records(unsafe=False)
    job = start_job(resources(KUBERNETES / "base"), SECRETS, {})
    claim = tmp_path / "claim-veetro-batch"
    claim.mkdir()
    (claim / "records.ndjson").write_bytes(given)
    job.step()
    assert job.pods == []  # it is applied suspended
    job.resume()
    wait_for(job, service, 300)
    end(job, service, "killed")
    wait_for(job, service, 900)
    end(job, service, "evicted")
    wait_for(job, service, 1500)
    twin = start_twice(job)
    job.suspend()
    service.let(2100)
    job.run_until(lambda: not job.running)
    job.resume()
    wait_for(job, service, 2100)
    end(job, service, "killed")
    service.let()
    assert job.finish() == "Complete"
    assert twin.code == IN_USE
    assert [pod.code for pod in job.pods if pod is not twin] == [KILLED, DRAINED, DRAINED, KILLED, 0]
    assert [told_code(pod) for pod in job.pods] == [None, DRAINED, DRAINED, None, None, 0]
    assert job.standing.failures == {0: 2}  # the kills alone
    done = account(program, [str(claim / "ledger")], given, service.stats().applied)
    assert (done.outcomes, done.applied) == ({"delivered": RECORDS}, RECORDS)
    assert program.run("verify", claim / "ledger", claim / "records.ndjson").code == 0
    tell(job, done)


@pytest.mark.parametrize("by", ["key", "range"])
def test_shards(
    tmp_path: Path, service: Gated, start_job: StartJob, program: Program, in_s3: S3Bucket, database: str, by: str
) -> None:
    """The overlay: its shards fail and go on each for itself, and what is in doubt in the end a person can settle.

    They read their records from a store, with the keys of their Secret.
    """
    given = records(unsafe=True)
    address = in_s3.put("records.ndjson", given)
    (tmp_path / "overlay").mkdir()
    overlay = own_overlay(tmp_path / "overlay", in_shards(SHARDS, address, by), of=KUBERNETES / "indexed")
    store = {"veetro-batch-objects": in_s3.environ()}
    job = start_job(resources(overlay), SECRETS | ledgers_at(database) | store, {})
    job.resume()
    wait_for(job, service, 200, index=0)
    end(job, service, "killed", index=0)
    wait_for(job, service, 400, index=1)
    end(job, service, "evicted", index=1)
    wait_for(job, service, 600, index=2)
    twin = start_twice(job, index=2)
    wait_for(job, service, 800, index=1)
    end(job, service, "killed", index=1)
    service.let()
    job.finish()
    assert (twin.index, twin.code) == (2, IN_USE)
    assert job.standing.failures == {0: 1, 1: 1}
    ledgers = [f"{database}&shard={index}/{SHARDS}" for index in range(SHARDS)]
    done = account(program, ledgers, given, service.stats().applied)
    doubtful = {index for index, ledger in enumerate(ledgers) if done.in_doubt[ledger]}
    assert {pod.index for pod in job.pods if pod.code == DOUBTFUL} == doubtful == job.standing.failed <= {0, 1}
    assert job.standing.condition == ("Failed" if doubtful else "Complete")
    tell(job, done)
    settle_all(program, service, done)
    assert program.run("verify", database, address, environ=in_s3.environ()).code == 0


def test_another_number_of_shards(
    tmp_path: Path, service: Gated, start_job: StartJob, program: Program, in_s3: S3Bucket, database: str
) -> None:
    """A Job that was suspended and deleted goes on as one of more shards: nothing is lost, and no more is sent twice.

    A pod of before that is late is turned away.
    """
    given = records(unsafe=True)
    address = in_s3.put("records.ndjson", given)
    store = {"veetro-batch-objects": in_s3.environ()}
    jobs = []
    for count in (2, 3):
        folder = tmp_path / f"of-{count}"
        folder.mkdir()
        overlay = own_overlay(folder, in_shards(count, address, "key"), of=KUBERNETES / "indexed")
        jobs.append(start_job(resources(overlay), SECRETS | ledgers_at(database) | store, {}))
    before, after = jobs
    before.resume()
    wait_for(before, service, 300, index=0)
    end(before, service, "killed", index=0)
    wait_for(before, service, 900, index=0)
    before.suspend()
    service.let(1500)
    before.run_until(lambda: not before.running)
    assert 0 < len(service.stats().applied) < RECORDS
    after.resume()
    wait_for(after, service, 1500)
    late = before.start(0)
    before.run_until(lambda: late not in before.running)
    assert late.code == REFUSED
    service.let()
    after.finish()
    ledgers = [f"{database}&shard={index}/3" for index in range(3)]
    done = account(program, ledgers, given, service.stats().applied)
    assert {pod.code for pod in after.pods} <= {0, DOUBTFUL}
    tell(after, done)
    settle_all(program, service, done)
    assert program.run("verify", database, address, environ=in_s3.environ()).code == 0
