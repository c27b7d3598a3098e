// Finds, loads and checks the CUDA backend's module once a process.
#include "host/module.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/base/services.h"

#define MODULE_NAME "libfastscnn-cuda.so"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const fs_backend *table;
static char why[512];

static bool module_path(char *path, size_t size) {
    const char *given = getenv("FASTSCNN_CUDA_MODULE");
    if (given && given[0]) return (size_t)snprintf(path, size, "%s", given) < size;
    Dl_info here;
    if (dladdr((const void *)&once, &here) == 0 || here.dli_fname == NULL) return false;
    const char *slash = strrchr(here.dli_fname, '/');
    const int folder = slash ? (int)(slash - here.dli_fname) : 1;
    return (size_t)snprintf(path, size, "%.*s/%s", folder, slash ? here.dli_fname : ".", MODULE_NAME) < size;
}

static void load(void) {
    char path[PATH_MAX];
    if (!module_path(path, sizeof path)) {
        snprintf(why, sizeof why, "the path of " MODULE_NAME " is too long");
        return;
    }
    if (access(path, R_OK) != 0) {
        snprintf(why, sizeof why,
                 "this build has no CUDA backend (no %.300s): build on a machine with the CUDA toolkit (nvcc)", path);
        return;
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        snprintf(why, sizeof why, "the CUDA backend cannot be loaded: %.450s", dlerror());
        return;
    }
    fs_module_fn entry;
    void *symbol = dlsym(handle, FS_CUDA_MODULE_SYMBOL);
    memcpy(&entry, &symbol, sizeof entry); // a function pointer, which C does not let be cast from an object pointer
    const fs_backend *loaded = entry ? entry(FS_BACKEND_ABI, fs_services_own()) : NULL;
    if (loaded == NULL || loaded->abi != FS_BACKEND_ABI) {
        snprintf(why, sizeof why, "%.400s belongs to another version of this library: install both from one build",
                 path);
        dlclose(handle);
        return;
    }
    fs_log(FS_LOG_DEBUG, "loaded %s", path);
    table = loaded;
}

const fs_backend *fs_module_cuda(const char **reason) {
    pthread_once(&once, load);
    if (reason) *reason = why;
    return table;
}
