"""How many processors a process may use, from files as kernels and containers have them."""

import os

import pytest

from tailgate.service import processors
from tailgate.service.processors import Processors, cpu_quota

V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1_CPU = "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct"
V1_MEMORY = "36 31 0:33 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
OTHERS = "22 1 0:21 / /proc rw,nosuid - proc proc rw\n1 0 8:1 / / rw - ext4 /dev/root rw"


@pytest.fixture
def machine(tmp_path):
    """Return a function that lays out /proc/self and the mounted groups, and reads the quota from there."""

    def read(memberships, mounts, files):
        proc = tmp_path / "proc"
        proc.mkdir()
        (proc / "cgroup").write_text("\n".join(memberships) + "\n")
        (proc / "mountinfo").write_text("\n".join([OTHERS, *mounts]) + "\n")
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")
        return cpu_quota(proc, tmp_path)

    return read


@pytest.mark.parametrize(
    ("memberships", "files", "quota"),
    [
        (["0::/"], {}, None),
        (["0::/app"], {"app/cpu.max": "max 100000"}, None),
        (["0::/app"], {"app/cpu.max": "200000 100000"}, 2.0),
        (["0::/app"], {"app/cpu.max": "50000 100000"}, 0.5),
        (["0::/app"], {"app/cpu.max": "25000 10000"}, 2.5),
        (["0::/a/b/c"], {"a/cpu.max": "300000 100000"}, 3.0),
        (["0::/a/b/c"], {"a/cpu.max": "300000 100000", "a/b/c/cpu.max": "400000 100000"}, 3.0),
        (["0::/a/b/c"], {"a/cpu.max": "max 100000", "a/b/cpu.max": "100000 50000"}, 2.0),
        (["0::/a/b"], {"a/other/cpu.max": "100000 100000"}, None),
        (
            ["0::/"],
            {"cpu.max": "150000 100000"},
            1.5,
        ),  # a container's own namespace: its group is the top of what it sees
        (["0::/../sibling"], {"cpu.max": "150000 100000"}, 1.5),
        (["0::/a:b"], {"a:b/cpu.max": "100000 100000"}, 1.0),
        (["0::/app"], {"app/cpu.max": "nonsense"}, None),
        (["0::/app"], {"app/cpu.max": "100000"}, None),
        (["0::/app"], {"app/cpu.max": "0 100000"}, None),
        (["0::/app"], {"app/cpu.max": ""}, None),
    ],
)
def test_the_least_quota_of_a_group_and_those_above_it_counts(machine, memberships, files, quota):
    files = {f"sys/fs/cgroup/{path}": text for path, text in files.items()}
    assert machine(memberships, [V2], files) == quota


@pytest.mark.parametrize(
    ("group", "files", "quota"),
    [
        ("/", {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, None),
        ("/job", {"job/cpu.cfs_quota_us": "50000", "job/cpu.cfs_period_us": "100000"}, 0.5),
        (
            "/pods/one",
            {
                "pods/cpu.cfs_quota_us": "600000",
                "pods/cpu.cfs_period_us": "100000",
                "pods/one/cpu.cfs_quota_us": "-1",
                "pods/one/cpu.cfs_period_us": "100000",
            },
            6.0,
        ),
        ("/job", {"job/cpu.cfs_quota_us": "50000"}, None),
    ],
)
def test_quotas_of_version_1_count_in_the_hierarchy_of_the_processors(machine, group, files, quota):
    memberships = [f"4:cpu,cpuacct:{group}", "3:memory:/elsewhere", "1:name=systemd:/user", "0::/user"]
    unified = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
    files = {f"sys/fs/cgroup/cpu,cpuacct/{path}": text for path, text in files.items()}
    assert machine(memberships, [V1_MEMORY, V1_CPU, unified], files) == quota


def test_a_container_that_sees_the_hosts_names_finds_its_group_where_it_is_mounted(machine):
    """Docker without a namespace for groups: what is mounted is the container's group, under the host's name."""
    mount = "900 899 0:30 /docker/0123 /sys/fs/cgroup/cpu ro,nosuid master:11 - cgroup cgroup rw,cpu"
    files = {
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us": "70000",
        "sys/fs/cgroup/cpu/inner/cpu.cfs_period_us": "100000",
    }
    assert machine(["5:cpu:/docker/0123/inner"], [mount], files) == 0.7


def test_a_mount_point_may_have_spaces_in_its_name(machine):
    mount = r"31 23 0:28 / /sys/my\040groups rw - cgroup2 cgroup2 rw"
    assert machine(["0::/a"], [mount], {"sys/my groups/a/cpu.max": "100000 50000"}) == 2.0


@pytest.mark.parametrize(
    ("memberships", "mounts"),
    [
        (["0::/app"], []),
        ([], [V2]),
        (["garbage"], [V2]),
        (["0::/app"], ["garbage - "]),
        (["0::/app"], ["1 2 - cgroup2 x rw"]),
    ],
)
def test_what_cannot_be_read_is_no_limit(machine, memberships, mounts):
    assert machine(memberships, mounts, {"sys/fs/cgroup/app/cpu.max": "50000 100000"}) is None


def test_without_such_files_there_is_no_limit(tmp_path):
    assert cpu_quota(tmp_path, tmp_path) is None


@pytest.mark.parametrize(
    ("runnable", "quota", "available", "text"),
    [
        (2, None, 2, "2"),
        (64, 2.0, 2, "2 of 64, by a CPU quota of 2"),
        (64, 2.9, 2, "2 of 64, by a CPU quota of 2.9"),
        (64, 0.5, 1, "1 of 64, by a CPU quota of 0.5"),
        (64, 1.0, 1, "1 of 64, by a CPU quota of 1"),
        (2, 8.0, 2, "2"),
        (1, 0.1, 1, "1"),
    ],
)
def test_whole_processors_within_the_quota_are_available_and_at_least_one(runnable, quota, available, text):
    found = Processors(runnable, quota)
    assert (found.available, str(found)) == (available, text)


def test_this_process_may_use_what_its_affinity_and_its_quota_allow(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(processors, "cpu_quota", lambda: 4.5)
    assert processors.processors() == Processors(64, 4.5)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors.processors() == Processors(1, 4.5)
