/* SPDX-License-Identifier: MIT */
/* An ordinary program: prints a line and ends with a status that is not zero. */
#include <stdio.h>

int main(void) {
    puts("greetings from a stock C program");
    return 3;
}
