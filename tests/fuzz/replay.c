// Replays every file of the folders given as arguments through a fuzz target, so that any compiler can check a corpus.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

// The copy is exactly as long as the file: a sanitizer then sees a read beyond it.
static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) return 0;
    size_t size = 0, room = 1 << 16;
    uint8_t *bytes = malloc(room);
    for (size_t n; bytes != NULL && (n = fread(bytes + size, 1, room - size, file)) > 0;) {
        size += n;
        if (size == room) bytes = realloc(bytes, room *= 2);
    }
    fclose(file);
    uint8_t *exact = bytes != NULL ? malloc(size > 0 ? size : 1) : NULL;
    if (exact != NULL) {
        memcpy(exact, bytes, size);
        fprintf(stderr, "%s\n", path); // names the culprit should the target stop the program
        LLVMFuzzerTestOneInput(exact, size);
    }
    free(exact);
    free(bytes);
    return exact != NULL;
}

int main(int argc, char **argv) {
    int replayed = 0;
    for (int i = 1; i < argc; i++) {
        struct dirent **entries = NULL;
        int count = scandir(argv[i], &entries, visible, alphasort);
        if (count <= 0) {
            fprintf(stderr, "%s: no corpus here\n", argv[i]);
            return 1;
        }
        for (int k = 0; k < count; k++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], entries[k]->d_name);
            replayed += replay_file(path);
            free(entries[k]);
        }
        free(entries);
    }
    printf("%d inputs replayed\n", replayed);
    return replayed > 0 ? 0 : 1;
}
