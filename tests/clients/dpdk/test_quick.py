#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""dmadev_autotest once, for places where everything is done again: an installation, an unprivileged user."""
from dpdk import dmadev_autotest
from harness import case, main


@case("two engines, one of each kind, beside an NVMe controller")
def _(directory):
    dmadev_autotest(directory, ["3.4", "3.3"], more=["nvme,size=16M"])


if __name__ == "__main__":
    main()
