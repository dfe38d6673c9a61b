# SPDX-License-Identifier: BSD-2-Clause
"""Software vCPUs against the host's KVM: the same programs, and the same lines.

    test_soft.py UVFIO GUESTS TINYVMM EDU EXPECTED

GUESTS prints every exit of small guests. Its lines are the same on the host's KVM and on software vCPUs, and those
of software vCPUs are recorded in EXPECTED. TINYVMM is examples/tinyvmm.c, which drives EDU.
"""
import os
import subprocess
import sys

UVFIO, GUESTS, TINYVMM, EDU, EXPECTED = sys.argv[1:6]
os.environ["UVFIO"] = UVFIO
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
import harness  # noqa: E402
from harness import Skip, case, equal  # noqa: E402


def run(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=120, check=False)
    if done.returncode or done.stderr:
        raise AssertionError(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.splitlines()


def need_host():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("there is no /dev/kvm")


def same(got, expected, what):
    for number, lines in enumerate(zip(got, expected), 1):
        if lines[0] != lines[1]:
            raise AssertionError(f"{what}, line {number}: {lines[0]!r}, expected {lines[1]!r}")
    equal(len(got), len(expected), f"{what}: lines")


@case("the exits of small guests are those of the host's KVM, line by line")
def guests_host(_directory):
    need_host()
    same(run(UVFIO, "run", "--kvm=soft", "--", GUESTS, "common"), run(GUESTS, "common"), "guests")


@case("a program that reads the registers at each exit sees the same, and changes nothing")
def guests_watched(_directory):
    need_host()
    same(run(UVFIO, "run", "--kvm=soft", "--", GUESTS, "watched"), run(GUESTS, "watched"), "guests")


@case("the exits of small guests are the recorded ones")
def guests_recorded(_directory):
    with open(EXPECTED, encoding="ascii") as file:
        same(run(UVFIO, "run", "--kvm=soft", "--", GUESTS), file.read().splitlines(), "guests")


def tinyvmm(kvm):
    return run(UVFIO, "run", f"--kvm={kvm}", "--device", EDU, "--", TINYVMM, "0000:00:01.0")


TINYVMM_SAYS = ["edcba987", "00000078", "1c8cfc00", "9 accesses to the device came here, of them 0 to the doorbell"]


@case("tinyvmm on software vCPUs: a guest's doorbell by ioeventfd, the device's MSI by irqfd")
def tinyvmm_soft(_directory):
    equal(tinyvmm("soft"), TINYVMM_SAYS, "tinyvmm")


@case("tinyvmm on the host's KVM says the same")
def tinyvmm_host(_directory):
    need_host()
    equal(tinyvmm("host"), TINYVMM_SAYS, "tinyvmm")


@case("ten tinyvmms one after the other")
def tinyvmm_again(_directory):
    for _ in range(10):
        equal(tinyvmm("soft"), TINYVMM_SAYS, "tinyvmm")


harness.main()
