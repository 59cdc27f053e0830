#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A few rounds of what test_kill_long.py does two hundred times."""
from harness import case, main
from killing import kill_again_and_again


@case
def no_acknowledged_write_is_lost():
    kill_again_and_again(5)


if __name__ == "__main__":
    main()
