/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target once over each file that it is given, or each in the folders that it is
 * given: where there is no libFuzzer, its seeds and regressions are tests all the same. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t runs;

static void run_file(const char *path) {
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(2);
    }
    size_t size = fread(data, 1, sizeof(data), file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    runs++;
}

static void run_folder(const char *path) {
    DIR *folder = opendir(path);
    const struct dirent *entry;
    if (!folder) {
        perror(path);
        exit(2);
    }
    while ((entry = readdir(folder))) {
        char file[4096];
        struct stat info;
        snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        if (stat(file, &info) == 0 && S_ISREG(info.st_mode))
            run_file(file);
    }
    closedir(folder);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct stat info;
        if (stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode))
            run_folder(argv[i]);
        else
            run_file(argv[i]);
    }
    printf("%zu inputs\n", runs);
    return runs ? 0 : 2;
}
