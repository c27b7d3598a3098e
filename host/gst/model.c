// Where the element finds the model that comes with the library: as the command does, beside what is installed.
#include "host/gst/model.h"

#include <glib.h>
#include <stdlib.h>
#include <unistd.h>

#define BUNDLED_NAME "street11.safetensors"

// Debian's folders of libraries are a level deeper than others: lib/x86_64-linux-gnu/gstreamer-1.0.
enum { MOST_LEVELS = 4 };

static char *if_readable(char *path) {
    if (access(path, R_OK) == 0) return path;
    g_free(path);
    return NULL;
}

char *fs_bundled_model(const char *plugin) {
    char *real = plugin != NULL ? realpath(plugin, NULL) : NULL; // a link to the plugin may lie anywhere
    char *found = NULL;
    char *folder = g_strdup(real != NULL ? real : "");
    for (int level = 0; found == NULL && real != NULL && level < MOST_LEVELS; level++) {
        char *parent = g_path_get_dirname(folder);
        g_free(folder);
        folder = parent;
        found = if_readable(g_build_filename(folder, "share", "fastscnn", BUNDLED_NAME, NULL));
    }
    g_free(folder);
    free(real);
#ifdef FS_MODEL_DIR
    if (found == NULL) found = if_readable(g_build_filename(FS_MODEL_DIR, BUNDLED_NAME, NULL));
#endif
    return found;
}
