// Where tests find the shared test data (golden checkpoints, street frames): FASTSCNN_TEST_DATA or ../shared.
#ifndef FS_TESTS_DATA_H
#define FS_TESTS_DATA_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// The folder, or NULL when this machine has none: the test then skips, and says so.
static inline const char *fs_test_data(void) {
    const char *folder = getenv("FASTSCNN_TEST_DATA");
    if (folder == NULL) folder = FS_SOURCE_DIR "/../shared";
    char index[4096];
    snprintf(index, sizeof index, "%s/golden/index.json", folder);
    if (access(index, R_OK) == 0) return folder;
    fprintf(stderr, "SKIP: no test data at %s (set FASTSCNN_TEST_DATA)\n", folder);
    return NULL;
}

#endif
