# SPDX-License-Identifier: BSD-2-Clause
"""Software vCPUs against the host's KVM: the same programs, and the same lines.

    test_soft.py UVFIO GUESTS TINYVMM EDU EXPECTED WRONG

GUESTS prints every exit of small guests. Its lines are the same on the host's KVM and on software vCPUs, and those
of software vCPUs are recorded in EXPECTED. TINYVMM is examples/tinyvmm.c, which drives EDU. WRONG
makes mistakes, whose reasons a trace has.
"""
import os
import re
import subprocess
import sys

UVFIO, GUESTS, TINYVMM, EDU, EXPECTED, WRONG = sys.argv[1:7]
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


SOFT = "it is not there with --kvm=soft"
REASONS = [
    "KVM_GET_API_VERSION /dev/kvm = -1 EINVAL: the argument is 1, must be 0",
    "KVM_GET_VCPU_MMAP_SIZE /dev/kvm = -1 EINVAL: the argument is 2, must be 0",
    "KVM_RUN /dev/kvm request=0xae80 = -1 EINVAL: KVM_RUN is for a vcpu of KVM's; this is /dev/kvm",
    f"KVM_CREATE_PIT2 anon_inode:kvm-vm request=0x4040ae77 = -1 ENOTTY: {SOFT}",
    "KVM_GET_REGS anon_inode:kvm-vm request=0x8090ae81 = -1 ENOTTY: KVM_GET_REGS is for a vcpu of KVM's; this is "
    "kvm-vm",
    "ioctl anon_inode:kvm-vm request=0x1234 = -1 ENOTTY: no request of KVM has this number",
    "KVM_SET_USER_MEMORY_REGION anon_inode:kvm-vm slot=99999 gpa=0x0 size=0x0 hva=0x0 = -1 EINVAL: slot 34463 (the low "
    "16 bits of 99999), the last is 32763",
    "KVM_SIGNAL_MSI anon_inode:kvm-vm address=0x000000000 data=0x0 = -1 EINVAL: the VM has no interrupt controllers",
    "KVM_SIGNAL_MSI anon_inode:kvm-vm address=0x000000000 data=0x0 = -1 EINVAL: unknown flags 0x4",
    "KVM_RUN anon_inode:kvm-vcpu:0 exit=IO OUT port=0x3f8 size=1 count=1 = 0",
    "KVM_RUN anon_inode:kvm-vcpu:0 exit=MMIO WRITE gpa=0x5000 len=1 = 0",
    "KVM_RUN anon_inode:kvm-vcpu:0 = -1 EINVAL: the argument is 3, must be 0",
    f"KVM_SET_GUEST_DEBUG anon_inode:kvm-vcpu:0 request=0x4048ae9b = -1 EINVAL: {SOFT}",
    "KVM_IRQFD anon_inode:kvm-vcpu:0 request=0x4020ae76 = -1 EINVAL: KVM_IRQFD is for a vm of KVM's; this is kvm-vcpu",
]


@case("a trace says why KVM_RUN returned, and why a call failed")
def traces(_directory):
    done = subprocess.run([UVFIO, "run", "--kvm=soft", "--trace=ioctl", "--", WRONG], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    equal(done.returncode, 0, done.stderr)
    lines = [re.sub(r"^\[[^]]*\] ioctl +| \([0-9.]+ us\)$", "", line) for line in done.stderr.splitlines()]
    same([line for line in lines if " = -1 " in line or " exit=" in line], REASONS, "trace")


def refused(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False)
    return done.returncode, done.stderr


@case("an unusable /dev/kvm is named, and what needs none")
def unusable(_directory):
    if os.geteuid() or not os.path.exists("/dev/kvm"):
        raise Skip("needs root and /dev/kvm")
    inside = ("unshare", "-m", "sh", "-c")
    other = "mount --bind /dev/null /dev/kvm || exit 77; "
    if subprocess.run([*inside, other], stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skip("nothing can be mounted here")
    equal(refused(*inside, other + '"$0" run --kvm=host -- true', UVFIO),
          (1, "uvfio: run: --kvm=host: /dev/kvm is something else than KVM (--kvm=soft needs none)\n"),
          "something else")
    # Without root's capabilities it is somebody else's.
    foreign = ("mknod -m 0 /tmp/kvm.$$ c 1 3 && chown 1:1 /tmp/kvm.$$ && mount --bind /tmp/kvm.$$ /dev/kvm; "
               "rm /tmp/kvm.$$; exec setpriv --bounding-set=-all --inh-caps=-all ")
    equal(refused(*inside, foreign + '"$0" run --kvm=host -- true', UVFIO),
          (1, "uvfio: run: --kvm=host: /dev/kvm: Permission denied (it is for the group kvm; --kvm=soft needs none)\n"),
          "somebody else's")


harness.main()
