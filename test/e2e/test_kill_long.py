#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The node is killed two hundred times while guests write."""
from harness import case, main
from killing import kill_again_and_again


@case
def no_acknowledged_write_is_lost_in_two_hundred_kills():
    kill_again_and_again(200)


if __name__ == "__main__":
    main()
